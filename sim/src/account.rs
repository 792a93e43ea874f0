//! The customer's account, in memory: what others own in it, what Hawser makes in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use hawser::aws::{Buckets, CostReports, Organizations, Stacks};
use time::{Date, OffsetDateTime};
use tokio::time::Instant;

use crate::{
    Script, SimClock,
    account_file::{SupportPlan, TransfersFile},
    actors::{Actor, ThirdPartyState},
    calls::{fault, refused},
    delivery::{Delivery, REPORT_SERVICE},
    locked,
    script::Run,
    stack::CloudFormation,
    tables::Dictionary,
};
pub use crate::{
    account_file::{AccountFile, BucketFile, ExportFile, OrganizationFile, ReportFile},
    cases::OpenedCase,
    exports::Exported,
    objects::{Bucket, Object},
};
use hawser::{
    aws::{
        Aws, BillingTransfer, Cloud, Direction, Fault, FaultKind, FolderListing, Organization, Report, StackResource,
        TEST_OBJECT, Tags, Version,
    },
    names::{AccountId, BucketName, ExportName, Region, StackId},
    ports::Clock,
};

/// Everything in the account that can be compared before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Reports with their tags.
    pub reports: BTreeMap<String, (Report, Tags)>,
    /// Data Exports, by ARN.
    pub exports: BTreeMap<String, Exported>,
    pub buckets: BTreeMap<String, Bucket>,
    /// Cases with AWS Support, in the order they were opened.
    pub cases: Vec<OpenedCase>,
}

/// How long AWS takes to show everywhere what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lags {
    /// Every call takes this long.
    pub call: Duration,
    /// A new role is denied everything.
    pub role: Duration,
    /// A new bucket takes no settings.
    pub bucket: Duration,
    /// The report service does not see a new policy.
    pub policy: Duration,
}

/// The account.
#[derive(Debug, Clone)]
pub struct Account {
    pub(super) inner: Arc<Mutex<Inner>>,
    pub(super) script: Arc<Script>,
    cloudformation: Arc<CloudFormation>,
    pub(super) run: Option<Arc<Run>>,
    pub(super) region: Option<Region>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) state: AccountState,
    pub(super) clock: SimClock,
    pub(super) organization: OrganizationFile,
    /// What a member administers for its organization.
    pub(super) delegated: Option<Vec<String>>,
    pub(super) transfers: TransfersFile,
    report_limit: usize,
    pub(super) exports_denied: bool,
    pub(super) names_unique: bool,
    pub(super) split_cost_allocation: bool,
    pub(super) dictionary: Dictionary,
    pub(super) support: SupportPlan,
    /// How many cases each run was shown when it asked last.
    pub(super) cases_shown: BTreeMap<u64, usize>,
    /// Exports that were made so far; no two have the same ARN.
    pub(super) exports_made: u64,
    pub(super) lags: Lags,
    /// Until when the handler's role is too new.
    pub(super) role_ready: Option<Instant>,
    pub(super) made: BTreeMap<String, Instant>,
    pub(super) policy_written: BTreeMap<String, Instant>,
    /// Which run asked for which bucket.
    asked: BTreeSet<(u64, String)>,
    /// Changes by stack.
    pub(super) writes: BTreeMap<String, u64>,
    /// What no handler may ever do.
    pub(super) violations: Vec<String>,
    runs_at_work: usize,
    actor: Option<Actor>,
    third_party: ThirdPartyState,
}

impl Account {
    /// An account as a file describes it.
    pub fn new(file: AccountFile, script: Arc<Script>, cloudformation: Arc<CloudFormation>, clock: SimClock) -> Self {
        let dictionary = Dictionary::new(file.tables);
        let reports = file.reports.into_iter().map(|report| (report.name.clone(), report.into_report()));
        let exports = file.exports.into_iter().map(|file| Exported::from_file(file, &dictionary));
        let state = AccountState {
            reports: reports.collect(),
            exports: exports.map(|known| (known.export.arn.clone(), known)).collect(),
            buckets: file.buckets.into_iter().map(|bucket| (bucket.name.clone(), bucket.into())).collect(),
            cases: file.support.cases.into_iter().map(OpenedCase::from).collect(),
        };
        let third_party = ThirdPartyState::of(&state);
        let inner = Inner {
            state,
            clock,
            organization: file.organization,
            delegated: file.delegated_services,
            transfers: file.transfers,
            report_limit: file.report_limit,
            exports_denied: file.data_exports_denied,
            names_unique: file.export_names_unique,
            split_cost_allocation: file.split_cost_allocation,
            dictionary,
            support: file.support.plan,
            third_party,
            ..Inner::default()
        };
        Self { inner: Arc::new(Mutex::new(inner)), script, cloudformation, run: None, region: None }
    }

    pub(crate) fn for_run(&self, run: Arc<Run>) -> Self {
        Self { run: Some(run), ..self.clone() }
    }

    /// Everything in the account.
    pub fn state(&self) -> AccountState {
        locked(&self.inner).state.clone()
    }

    /// Changes something, as the customer or AWS would.
    pub fn change(&self, change: impl FnOnce(&mut AccountState)) {
        change(&mut locked(&self.inner).state);
    }

    /// Sets how slowly AWS shows what was done.
    pub fn set_lags(&self, lags: Lags) {
        locked(&self.inner).lags = lags;
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
        let today = locked(&self.inner).now().date();
        self.deliver_month(today);
    }

    /// AWS delivers the month of a day, such as the last one when it has closed.
    pub fn deliver_month(&self, day: Date) {
        let mut inner = locked(&self.inner);
        let at = inner.now();
        let Inner { state, third_party, .. } = &mut *inner;
        third_party.deliver(state, Delivery { period: day, at });
    }

    /// AWS adds a column to every table of Data Exports.
    pub fn grow_tables(&self) {
        locked(&self.inner).dictionary.grow();
    }

    /// The run that calls; 0 outside of any.
    pub(super) fn run_number(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.number)
    }

    /// The Region whose endpoints are called.
    pub(super) fn region(&self) -> String {
        self.region.as_ref().map_or_else(|| "us-east-1".to_owned(), |region| region.as_str().to_owned())
    }

    /// The stack makes the handler's role, which takes a while to be known everywhere.
    pub(crate) fn make_role(&self) {
        let mut inner = locked(&self.inner);
        inner.role_ready = Some(Instant::now() + inner.lags.role);
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

    /// Simulated time.
    pub(super) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(super) fn others_act(&mut self, action: &str) -> Option<String> {
        let now = self.now();
        let Inner { state, organization, actor, third_party, runs_at_work, .. } = self;
        let act = actor.as_mut()?.maybe_act(action, *runs_at_work, state, organization, third_party, now)?;
        Some(act.to_string())
    }
}

impl Cloud for Account {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        Arc::new(Self { region: Some(region.clone()), ..self.clone() })
    }
}

/// The element of a report that the account must have opted in to.
const SPLIT_ELEMENT: &str = "SPLIT_COST_ALLOCATION_DATA";

#[async_trait]
impl Organizations for Account {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        let action = "organizations:DescribeOrganization";
        self.call(action, |inner| inner.described(action)).await
    }

    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault> {
        let action = "organizations:ListDelegatedServicesForAccount";
        self.call(action, |inner| inner.delegated_services(action, account.as_str())).await
    }

    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        let action = match direction {
            Direction::Outbound => "organizations:ListOutboundResponsibilityTransfers",
            Direction::Inbound => "organizations:ListInboundResponsibilityTransfers",
        };
        self.call(action, |inner| inner.billing_transfers(action, direction)).await
    }
}

#[async_trait]
impl CostReports for Account {
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        let all = |inner: &mut Inner| Ok(inner.state.reports.values().map(|(report, _)| report.clone()).collect());
        self.call("cur:DescribeReportDefinitions", all).await
    }

    async fn report_tags(&self, report: &ExportName) -> Result<Tags, Fault> {
        let action = "cur:ListTagsForResource";
        self.call(action, |inner| match inner.state.reports.get(report.as_str()) {
            Some((_, tags)) => Ok(tags.clone()),
            None => Err(fault(action, FaultKind::Missing, "ResourceNotFoundException")),
        })
        .await
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:PutReportDefinition";
        self.call(action, |inner| {
            let (seen, now) = (inner.policy_is_seen(&report.bucket), inner.now());
            let state = &mut inner.state;
            if state.reports.contains_key(&report.name) {
                return Err(fault(action, FaultKind::Exists, "DuplicateReportNameException"));
            }
            let wants_split = report.elements.iter().any(|element| element == SPLIT_ELEMENT);
            if wants_split && !inner.split_cost_allocation {
                return Err(refused(action, &format!("{SPLIT_ELEMENT} is not valid: the account has not opted in to it")));
            }
            if state.reports.len() >= inner.report_limit {
                return Err(fault(action, FaultKind::LimitReached, "ReportLimitReachedException"));
            }
            let bucket = state.buckets.get_mut(&report.bucket).filter(|bucket| bucket.owner.is_none());
            let Some(bucket) = bucket.filter(|bucket| seen && bucket.admits(REPORT_SERVICE) && bucket.region == report.region)
            else {
                return Err(fault(action, FaultKind::BucketUnverified, "ValidationException"));
            };
            bucket.objects.insert(TEST_OBJECT.to_owned(), Object::holding("", now));
            state.reports.insert(report.name.clone(), (report.clone(), tags.clone()));
            Ok(())
        })
        .await
    }

    async fn delete_report(&self, report: &ExportName) -> Result<(), Fault> {
        let remove = |inner: &mut Inner| {
            inner.state.reports.remove(report.as_str());
            Ok(())
        };
        self.call("cur:DeleteReportDefinition", remove).await
    }
}

#[async_trait]
impl Buckets for Account {
    async fn bucket_exists(&self, bucket: &BucketName, _owner: &AccountId) -> Result<bool, Fault> {
        let action = "s3:ListBucket";
        self.call(action, |inner| {
            inner.asked.insert((self.run_number(), bucket.as_str().to_owned()));
            match inner.state.buckets.get(bucket.as_str()) {
                None => Ok(false),
                Some(bucket) if bucket.owner.is_some() => Err(fault(action, FaultKind::Denied, "HTTP 403")),
                Some(_) => Ok(true),
            }
        })
        .await
    }

    async fn bucket_region(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Region, Fault> {
        let action = "s3:GetBucketLocation";
        let region = |bucket: &mut Bucket| bucket.region.parse().map_err(|_| fault(action, FaultKind::Refused, "BadRegion"));
        self.bucket(action, bucket, region).await
    }

    async fn bucket_tags(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Tags, Fault> {
        self.bucket("s3:GetBucketTagging", bucket, |bucket| Ok(bucket.tags.clone())).await
    }

    async fn bucket_policy(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Option<String>, Fault> {
        self.bucket("s3:GetBucketPolicy", bucket, |bucket| Ok(bucket.policy.clone())).await
    }

    async fn create_bucket(&self, bucket: &BucketName, tags: &Tags) -> Result<(), Fault> {
        let action = "s3:CreateBucket";
        self.call(action, |inner| {
            let name = bucket.as_str().to_owned();
            if !inner.asked.contains(&(self.run_number(), name.clone())) {
                inner.violations.push(format!("bucket `{name}` is made without asking whether it is there"));
            }
            match inner.state.buckets.get(&name) {
                Some(known) if known.owner.is_some() => Err(fault(action, FaultKind::Taken, "BucketAlreadyExists")),
                Some(_) => Err(fault(action, FaultKind::Exists, "BucketAlreadyOwnedByYou")),
                None => {
                    let made = Bucket { region: self.region(), tags: tags.clone(), ..Bucket::default() };
                    inner.made.insert(name.clone(), Instant::now());
                    inner.state.buckets.insert(name, made);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn block_public_access(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.public_access_blocked = true;
            Ok(())
        };
        self.bucket("s3:PutBucketPublicAccessBlock", bucket, set).await
    }

    async fn encrypt_bucket(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.encrypted = true;
            Ok(())
        };
        self.bucket("s3:PutEncryptionConfiguration", bucket, set).await
    }

    async fn expire_uploads(&self, bucket: &BucketName, _owner: &AccountId, days: u16) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.upload_days = Some(days);
            Ok(())
        };
        self.bucket("s3:PutLifecycleConfiguration", bucket, set).await
    }

    async fn put_bucket_policy(&self, bucket: &BucketName, _owner: &AccountId, policy: &str) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.policy = Some(policy.to_owned());
            Ok(())
        };
        self.bucket("s3:PutBucketPolicy", bucket, set).await?;
        locked(&self.inner).policy_written.insert(bucket.as_str().to_owned(), Instant::now());
        Ok(())
    }

    async fn list_versions(
        &self,
        bucket: &BucketName,
        _owner: &AccountId,
        prefix: &str,
        max: u16,
    ) -> Result<Vec<Version>, Fault> {
        let version = |key: &String| Version { key: key.clone(), version_id: "null".to_owned() };
        let list = |bucket: &mut Bucket| {
            let below = bucket.objects.keys().filter(|key| key.starts_with(prefix));
            Ok(below.take(max.into()).map(version).collect())
        };
        self.bucket("s3:ListBucketVersions", bucket, list).await
    }

    async fn delete_versions(&self, bucket: &BucketName, _owner: &AccountId, versions: &[Version]) -> Result<(), Fault> {
        let remove = |bucket: &mut Bucket| {
            bucket.objects.retain(|key, _| !versions.iter().any(|version| version.key == *key));
            Ok(())
        };
        match self.bucket("s3:DeleteObject", bucket, remove).await {
            Err(fault) if fault.kind == FaultKind::Missing => Ok(()),
            answer => answer,
        }
    }

    async fn delete_bucket(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let action = "s3:DeleteBucket";
        self.call(action, |inner| match inner.state.buckets.get(bucket.as_str()) {
            None => Ok(()),
            Some(known) if known.owner.is_some() => Err(fault(action, FaultKind::Denied, "AccessDenied")),
            Some(known) if !known.objects.is_empty() => Err(fault(action, FaultKind::NotEmpty, "BucketNotEmpty")),
            Some(_) => {
                inner.third_party.statements.retain(|(name, _)| name != bucket.as_str());
                inner.state.buckets.remove(bucket.as_str());
                Ok(())
            }
        })
        .await
    }

    async fn bucket_key(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Option<String>, Fault> {
        self.bucket("s3:GetEncryptionConfiguration", bucket, |bucket| Ok(bucket.kms_key.clone())).await
    }

    async fn list_folder(&self, bucket: &BucketName, _owner: &AccountId, prefix: &str) -> Result<FolderListing, Fault> {
        self.bucket("s3:ListBucket", bucket, |bucket| Ok(bucket.listing(prefix))).await
    }

    async fn read_object(&self, bucket: &BucketName, _owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault> {
        let action = "s3:GetObject";
        self.bucket(action, bucket, |bucket| match bucket.objects.get(key) {
            Some(object) => Ok(object.body.iter().copied().take(max).collect()),
            None => Err(fault(action, FaultKind::Missing, "NoSuchKey")),
        })
        .await
    }
}

#[async_trait]
impl Stacks for Account {
    async fn stack_status(&self, stack: &StackId) -> Result<String, Fault> {
        let action = "cloudformation:DescribeStacks";
        let status = |_: &mut Inner| {
            self.cloudformation.status(stack.as_str()).ok_or_else(|| fault(action, FaultKind::Refused, "ValidationError"))
        };
        self.call(action, status).await
    }

    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        let known = |_: &mut Inner| Ok(self.cloudformation.resource(stack.as_str(), logical_id));
        self.call("cloudformation:DescribeStackResources", known).await
    }
}
