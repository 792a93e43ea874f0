//! The customer's account: the services of `hawser-account`, with time, faults, and others who act in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
};

use async_trait::async_trait;
use hawser::{
    aws::{Aws, Cloud, Fault, FaultKind, StackDescription, StackResource, Stacks, Tags},
    names::{Partition, Region, StackId},
    ports::Clock,
};
use hawser_account::{
    AccountFile, AccountState, Freedoms, Refusal, Services,
    file::OrganizationFile,
    port::{Access, Call, Port},
    services::OpenedCase,
    under_way::{Entered, Meeting, UnderWay},
};
use time::Date;
use tokio::time::Instant;

use crate::{
    actors::Actor,
    clock::{FOREVER, SimClock, locked},
    cloudformation::CloudFormation,
    delivery::Delivery,
    script::{InjectedFault, Run, Script, killed},
    third_party::ThirdPartyState,
};

/// Calls of the settings of a bucket, which a bucket that was just made may not take yet.
const SETTINGS: [&str; 5] = [
    "s3:PutBucketPublicAccessBlock",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketTagging",
];

pub use hawser_account::freedoms::Lags;

/// The account.
#[derive(Debug, Clone)]
pub struct Account {
    inner: Arc<Mutex<Inner>>,
    script: Arc<Script>,
    cloudformation: Arc<CloudFormation>,
    run: Option<Arc<Run>>,
    /// The stack that the function belongs to.
    pub own_stack: Option<StackId>,
}

#[derive(Debug)]
struct Inner {
    services: Services,
    clock: SimClock,
    /// How many cases each run was shown when it asked last.
    cases_shown: BTreeMap<u64, usize>,
    under_way: UnderWay,
    /// Until when the handler's role is too new.
    role_ready: Option<Instant>,
    made: BTreeMap<String, Instant>,
    policy_written: BTreeMap<String, Instant>,
    /// Which run asked for which bucket.
    asked: BTreeSet<(u64, String)>,
    /// Changes by stack.
    writes: BTreeMap<String, u64>,
    /// What no handler may ever do.
    violations: Vec<String>,
    runs_at_work: usize,
    actor: Option<Actor>,
    third_party: ThirdPartyState,
}

impl Account {
    /// An account as a file describes it.
    pub fn new(file: AccountFile, script: Arc<Script>, cloudformation: Arc<CloudFormation>, clock: SimClock) -> Self {
        let services = Services::new(file);
        let inner = Inner {
            third_party: ThirdPartyState::of(&services.state),
            services,
            clock,
            cases_shown: BTreeMap::new(),
            under_way: UnderWay::default(),
            role_ready: None,
            made: BTreeMap::new(),
            policy_written: BTreeMap::new(),
            asked: BTreeSet::new(),
            writes: BTreeMap::new(),
            violations: Vec::new(),
            runs_at_work: 0,
            actor: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), script, cloudformation, run: None, own_stack: None }
    }

    pub(crate) fn for_run(&self, run: Arc<Run>) -> Self {
        Self { own_stack: run.stack.parse().ok(), run: Some(run), ..self.clone() }
    }

    /// Everything in the account.
    pub fn state(&self) -> AccountState {
        locked(&self.inner).services.state.clone()
    }

    pub(crate) fn unseen(&self) -> BTreeSet<String> {
        locked(&self.inner).services.unseen()
    }

    /// Changes something, as the customer or AWS would.
    pub fn change(&self, change: impl FnOnce(&mut AccountState)) {
        change(&mut locked(&self.inner).services.state);
    }

    /// Moves the account to another place among organizations.
    pub fn move_to(&self, organization: OrganizationFile) {
        locked(&self.inner).services.organization = organization;
    }

    /// Sets how slowly AWS shows what was done.
    pub fn set_lags(&self, lags: Lags) {
        locked(&self.inner).services.lags = lags;
    }

    /// Sets what AWS chooses where it is free to.
    pub fn set_freedoms(&self, freedoms: Freedoms) {
        let mut inner = locked(&self.inner);
        inner.third_party.partition = freedoms.partition;
        inner.services.freedoms = freedoms;
    }

    /// Lets others act in the account, by chance.
    pub fn start_actor(&self, actor: Actor) {
        locked(&self.inner).actor = Some(actor);
    }

    /// Ends the acts of others. What was promised to them stays promised.
    pub fn stop_actor(&self) {
        locked(&self.inner).actor = None;
    }

    /// What others own or were promised, and must still have.
    pub fn third_party(&self) -> ThirdPartyState {
        locked(&self.inner).third_party.clone()
    }

    /// What was done that must never be done.
    pub fn violations(&self) -> Vec<String> {
        locked(&self.inner).violations.clone()
    }

    /// AWS delivers the month that it is to the bucket of every report and of every export.
    pub fn deliver(&self) {
        let today = locked(&self.inner).clock.now().date();
        self.deliver_month(today);
    }

    /// AWS delivers the month of a day, such as the last one when it has closed.
    pub fn deliver_month(&self, day: Date) {
        let mut inner = locked(&self.inner);
        let at = inner.clock.now();
        let Inner { services, third_party, .. } = &mut *inner;
        third_party.deliver(&mut services.state, Delivery { period: day, at });
    }

    /// AWS adds a column to every table of Data Exports.
    pub fn grow_tables(&self) {
        locked(&self.inner).services.dictionary.grow();
    }

    /// The run that calls; 0 outside of any.
    fn run_number(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.number)
    }

    /// The stack makes the handler's role, which takes a while to be known everywhere.
    pub(crate) fn make_role(&self) {
        let mut inner = locked(&self.inner);
        inner.role_ready = Some(Instant::now() + inner.services.lags.role);
    }

    pub(crate) fn run_begins(&self, stack: &str) -> u64 {
        let mut inner = locked(&self.inner);
        inner.runs_at_work += 1;
        inner.changes_of(stack)
    }

    pub(crate) fn run_ends(&self) {
        locked(&self.inner).runs_at_work -= 1;
    }

    /// Whether anybody but the run itself changed things since it began.
    pub(crate) fn was_disturbed(&self, run: &Run) -> bool {
        locked(&self.inner).changes_of(&run.stack) != run.began_at + run.writes.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Changes that concern a stack: its own and those of others who are no stack.
    fn changes_of(&self, stack: &str) -> u64 {
        self.writes.get(stack).copied().unwrap_or_default() + self.third_party.acts
    }

    fn others_act(&mut self, action: &str) -> Option<String> {
        let now = self.clock.now();
        let Self { services, actor, third_party, runs_at_work, .. } = self;
        let (state, organization) = (&mut services.state, &mut services.organization);
        let act = actor.as_mut()?.maybe_act(action, *runs_at_work, state, organization, third_party, now)?;
        Some(act.to_string())
    }

    /// Whether a call comes too early for a bucket that was just made.
    fn is_too_early(&self, call: Call<'_>) -> bool {
        let made = call.bucket.and_then(|bucket| self.made.get(bucket));
        SETTINGS.contains(&call.action) && made.is_some_and(|made| Instant::now() < *made + self.services.lags.bucket)
    }

    /// What a call shows of its caller, before it has any effect.
    fn watch(&mut self, call: Call<'_>, run: u64) {
        let Some(bucket) = call.bucket.map(str::to_owned) else { return };
        if ["s3:ListBucket", "s3:GetBucketTagging"].contains(&call.action) {
            self.asked.insert((run, bucket));
        } else if call.action == "s3:CreateBucket" && !self.asked.contains(&(run, bucket.clone())) {
            self.violations.push(format!("bucket `{bucket}` is made without asking whether it is there"));
        }
    }

    /// What follows from a call that had its effect.
    fn follow(&mut self, call: Call<'_>, run: u64) {
        match (call.action, call.bucket.map(str::to_owned)) {
            ("s3:CreateBucket", Some(bucket)) => drop(self.made.insert(bucket, Instant::now())),
            ("s3:PutBucketPolicy", Some(bucket)) => drop(self.policy_written.insert(bucket, Instant::now())),
            ("s3:DeleteBucket", Some(bucket)) => self.third_party.statements.retain(|(name, _)| *name != bucket),
            ("support:DescribeCases", _) => drop(self.cases_shown.insert(run, self.services.state.cases.len())),
            ("support:CreateCase", _) => self.check_new_case(run),
            _ => {}
        }
    }

    /// Two runs may both do what was to be done; one that nobody disturbed looked first.
    fn blame_idle_writes(&mut self, run: Option<&Run>) {
        let idle = std::mem::take(&mut self.services.idle_writes);
        let alone = run.is_some_and(|run| self.changes_of(&run.stack) == run.began_at + run.writes.load(Ordering::Relaxed));
        if alone && self.runs_at_work <= 1 {
            self.violations.extend(idle);
        }
    }

    /// Two runs that look at the same moment cannot know of each other's case; one that could know is to blame.
    fn check_new_case(&mut self, run: u64) {
        let Some((new, earlier)) = self.services.state.cases.split_last() else { return };
        let shown = self.cases_shown.get(&run).copied().unwrap_or_default();
        let same = |(number, other): (usize, &OpenedCase)| {
            other.case.body == new.case.body && (number < shown || other.run == Some(run))
        };
        if earlier.iter().enumerate().any(same) {
            self.violations.push(format!("a second case is opened: {}", new.case.subject));
        }
    }
}

impl Access for Account {
    async fn call<T: Send>(
        &self,
        call: Call<'_>,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        // Every call takes a moment, so that nothing relies on being done at once.
        let lag = locked(&self.inner).services.lags.call;
        let crowded = {
            let (_entered, crowded) = self.enter(call).unzip();
            if lag.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(lag).await;
            }
            crowded.flatten()
        };
        let action = call.action;
        self.check_endpoint(call);
        let run = self.run.as_deref();
        let injected = self.script.enter(run, action);
        self.script.note_call(run, action, injected);
        let act = locked(&self.inner).others_act(action);
        if let Some(act) = act {
            self.script.note(|| format!("      (meanwhile: {act})"));
        }
        match injected {
            None if let Some(refusal) = crowded => Err(refusal.of(action)),
            None => self.done(call, effect),
            Some(InjectedFault::AnswerLost) => {
                let _ = self.done(call, effect);
                Err(fault(action, FaultKind::Unavailable, "NoConnection"))
            }
            Some(InjectedFault::HalfAnswer) => {
                let _ = self.done(call, effect);
                // As the SDK tells of a success that cannot be read (src/sdk/fault.rs).
                Err(fault(action, FaultKind::Unavailable, "HTTP 200"))
            }
            Some(denied @ (InjectedFault::Denied | InjectedFault::DeniedByPolicy)) => {
                let named = denied == InjectedFault::DeniedByPolicy;
                Err(locked(&self.inner).services.freedoms.denied(action, named).of(action))
            }
            Some(InjectedFault::Refused) => Err(fault(action, FaultKind::Refused, "InvalidRequest")),
            Some(InjectedFault::Throttled) => Err(fault(action, FaultKind::Throttled, "Throttling")),
            Some(InjectedFault::Unavailable | InjectedFault::Broken | InjectedFault::Redirected) => {
                Err(fault(action, FaultKind::Unavailable, "InternalError"))
            }
            Some(InjectedFault::Silent) => {
                tokio::time::sleep(FOREVER).await;
                Err(fault(action, FaultKind::Unavailable, "TimedOut"))
            }
            Some(InjectedFault::KilledBefore) => {
                killed(run).await;
                Err(fault(action, FaultKind::Unavailable, "Killed"))
            }
            Some(InjectedFault::KilledAfter) => {
                let answer = self.done(call, effect);
                killed(run).await;
                answer
            }
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(InjectedFault::Panic) => panic!("{action} panics, as the script says"),
        }
    }

    fn run(&self) -> Option<u64> {
        Some(self.run_number())
    }
}

impl Account {
    /// Counts a call among those under way that it can meet.
    fn enter(&self, call: Call<'_>) -> Option<(Entered, Option<Refusal>)> {
        let meeting = match call.bucket {
            Some(bucket) if SETTINGS.contains(&call.action) => Meeting::Settings(bucket.to_owned()),
            _ if call.action.starts_with("bcm-data-exports:") => Meeting::Exports(self.run_number().to_string()),
            _ => return None,
        };
        let inner = locked(&self.inner);
        Some(inner.under_way.enter(meeting, &inner.services.freedoms))
    }

    /// HW-B1: these services have one endpoint in a partition, and no host elsewhere.
    fn check_endpoint(&self, call: Call<'_>) {
        let Call { action, region: Some(region), .. } = call else { return };
        let partition = Partition::of_region(region.as_str());
        let home = match action.split(':').next() {
            Some("cur" | "bcm-data-exports") => partition.billing_region(),
            Some("support") => Some(partition.support_region()),
            _ => return,
        };
        if home.as_ref() != Some(region) {
            locked(&self.inner).violations.push(format!("`{action}` is called in {region}, where there is no such service"));
        }
    }

    /// The effect of a call, and who has changed something by it.
    fn done<T>(&self, call: Call<'_>, effect: impl FnOnce(&mut Services) -> Result<T, Refusal>) -> Result<T, Fault> {
        let mut inner = locked(&self.inner);
        if inner.role_ready.is_some_and(|ready| Instant::now() < ready) {
            return Err(inner.services.freedoms.denied(call.action, false).of(call.action));
        }
        if inner.is_too_early(call) {
            return Err(fault(call.action, FaultKind::Missing, "NoSuchBucket"));
        }
        let run = self.run_number();
        inner.watch(call, run);
        let written = call.bucket.and_then(|bucket| inner.policy_written.get(bucket));
        inner.services.policy_unseen = written.is_some_and(|at| Instant::now() < *at + inner.services.lags.policy);
        inner.services.now = inner.clock.now();
        let answer = effect(&mut inner.services).map_err(|refusal| refusal.of(call.action))?;
        inner.follow(call, run);
        inner.blame_idle_writes(self.run.as_deref());
        if let (true, Some(run)) = (call.writes(), &self.run) {
            *inner.writes.entry(run.stack.clone()).or_default() += 1;
            run.writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

fn fault(action: &'static str, kind: FaultKind, code: &'static str) -> Fault {
    Refusal::new(kind, code, "").of(action)
}

impl Cloud for Account {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        Arc::new(Port { access: self.clone(), region: region.clone() })
    }
}

#[async_trait]
impl Stacks for Account {
    fn own(&self) -> Option<&StackId> {
        self.own_stack.as_ref()
    }

    async fn stack(&self, stack: &StackId) -> Result<StackDescription, Fault> {
        let call = Call { action: "cloudformation:DescribeStacks", bucket: None, region: None };
        let unknown = || Refusal::new(FaultKind::Refused, "ValidationError", "");
        self.call(call, |_| self.cloudformation.describe(stack.as_str()).ok_or_else(unknown)).await
    }

    async fn stack_tags(&self, _stack: &StackId) -> Result<Tags, Fault> {
        let call = Call { action: "cloudformation:DescribeStacks", bucket: None, region: None };
        self.call(call, |services| services.stack_tags()).await
    }

    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        let call = Call { action: "cloudformation:DescribeStackResources", bucket: None, region: None };
        self.call(call, |_| Ok(self.cloudformation.resource(stack.as_str(), logical_id))).await
    }
}
