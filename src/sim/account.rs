//! The customer's account, in memory: what others own in it, what Hawser makes in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

pub use super::account_file::{AccountFile, BucketFile, OrganizationFile, ReportFile};
use super::{
    FOREVER, Mishap, Script,
    actors::{Actor, Promises},
    locked,
    parties::{killed, note},
    script::Run,
    stack::CloudFormation,
};
use crate::{
    billing::{Report, Tags},
    execute::TEST_OBJECT,
    names::{AccountId, BucketName, Region, ReportName, StackId},
    organization::Organization,
    ports::{Aws, Cloud, Fault, FaultKind, StackResource, Version},
};

/// A bucket as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its Region.
    pub region: String,
    /// Another account's, if given.
    pub owner: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Its policy, as text.
    pub policy: Option<String>,
    /// Keys of its objects.
    pub objects: BTreeSet<String>,
    /// Public access is blocked by its own setting.
    pub public_access_blocked: bool,
    /// SSE-S3 is set by its own setting.
    pub encrypted: bool,
    /// Unfinished uploads end after so many days.
    pub upload_days: Option<u16>,
}

/// Everything in the account that can be compared before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Things {
    /// Reports with their tags.
    pub reports: BTreeMap<String, (Report, Tags)>,
    /// Buckets.
    pub buckets: BTreeMap<String, Bucket>,
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
    report_limit: usize,
    inner: Arc<Mutex<Inner>>,
    script: Arc<Script>,
    cloudformation: Arc<CloudFormation>,
    run: Option<Arc<Run>>,
}

#[derive(Debug, Default)]
struct Inner {
    things: Things,
    organization: OrganizationFile,
    lags: Lags,
    /// Until when the handler's role is too new.
    role_ready: Option<Instant>,
    made: BTreeMap<String, Instant>,
    policy_written: BTreeMap<String, Instant>,
    /// Which run asked for which bucket.
    asked: BTreeSet<(u64, String)>,
    /// Changes by stack.
    writes: BTreeMap<String, u64>,
    /// What no handler may ever do.
    offences: Vec<String>,
    runs_at_work: usize,
    actor: Option<Actor>,
    promises: Promises,
}

/// Calls of the settings of a bucket, which a bucket that was just made may not take yet.
const SETTINGS: [&str; 4] =
    ["s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:PutBucketPolicy"];

impl Account {
    /// An account as a file describes it.
    pub fn new(file: AccountFile, script: Arc<Script>, cloudformation: Arc<CloudFormation>) -> Self {
        let reports = file.reports.into_iter().map(|report| (report.name.clone(), report.into_report()));
        let buckets = file.buckets.into_iter().map(|b| {
            let bucket = Bucket {
                region: b.region,
                owner: b.owner,
                tags: b.tags,
                policy: b.policy.map(|policy| policy.to_string()),
                objects: b.objects.into_iter().collect(),
                ..Bucket::default()
            };
            (b.name, bucket)
        });
        let things = Things { reports: reports.collect(), buckets: buckets.collect() };
        let promises = Promises::of(&things);
        let inner = Inner { things, organization: file.organization, promises, ..Inner::default() };
        Self { report_limit: file.report_limit, inner: Arc::new(Mutex::new(inner)), script, cloudformation, run: None }
    }

    pub(crate) fn for_run(&self, run: Arc<Run>) -> Self {
        Self { run: Some(run), ..self.clone() }
    }

    /// Everything in the account.
    pub fn things(&self) -> Things {
        locked(&self.inner).things.clone()
    }

    /// Changes something, as the customer or AWS would.
    pub fn change(&self, change: impl FnOnce(&mut Things)) {
        change(&mut locked(&self.inner).things);
    }

    /// Sets how slowly AWS shows what was done.
    pub fn set_lags(&self, lags: Lags) {
        locked(&self.inner).lags = lags;
    }

    /// Lets others act in the account, by chance.
    pub fn let_act(&self, actor: Actor) {
        locked(&self.inner).actor = Some(actor);
    }

    /// Ends the acts of others. What was promised to them stays promised.
    pub fn let_rest(&self) {
        locked(&self.inner).actor = None;
    }

    /// What others own or were promised, and must still have.
    pub fn promises(&self) -> Promises {
        locked(&self.inner).promises.clone()
    }

    /// What was done that must never be done.
    pub fn offences(&self) -> Vec<String> {
        locked(&self.inner).offences.clone()
    }

    /// AWS delivers to every report's bucket.
    pub fn deliver(&self) {
        let mut inner = locked(&self.inner);
        let Inner { things, promises, .. } = &mut *inner;
        promises.deliver(things);
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

    /// One call: recorded, perhaps spoiled, else done.
    async fn call<T>(&self, action: &'static str, effect: impl FnOnce(&mut Inner) -> Result<T, Fault>) -> Result<T, Fault> {
        // Every call takes a moment, so that nothing relies on being done at once.
        let lag = locked(&self.inner).lags.call;
        if lag.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(lag).await;
        }
        let run = self.run.as_deref();
        let mishap = self.script.enter(run, action);
        note(&self.script, run, action, mishap);
        let act = locked(&self.inner).others_act(action);
        if let Some(act) = act {
            self.script.note(|| format!("      (meanwhile: {act})"));
        }
        match mishap {
            None => self.done(action, effect),
            Some(Mishap::AnswerLost) => {
                let _ = self.done(action, effect);
                Err(fault(action, FaultKind::Unavailable, "NoConnection"))
            }
            Some(Mishap::HalfAnswer) => {
                let _ = self.done(action, effect);
                Err(fault(action, FaultKind::Refused, "Unreadable"))
            }
            Some(Mishap::Denied) => Err(fault(action, FaultKind::Denied, "AccessDenied")),
            Some(Mishap::DeniedByScp) => Err(fault(action, FaultKind::DeniedByScp, "AccessDenied")),
            Some(Mishap::Throttled) => Err(fault(action, FaultKind::Throttled, "Throttling")),
            Some(Mishap::Unavailable | Mishap::Broken | Mishap::Redirected) => {
                Err(fault(action, FaultKind::Unavailable, "InternalError"))
            }
            Some(Mishap::Silent) => {
                tokio::time::sleep(FOREVER).await;
                Err(fault(action, FaultKind::Unavailable, "TimedOut"))
            }
            Some(Mishap::KilledBefore) => {
                killed(run).await;
                Err(fault(action, FaultKind::Unavailable, "Killed"))
            }
            Some(Mishap::KilledAfter) => {
                let answer = self.done(action, effect);
                killed(run).await;
                answer
            }
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(Mishap::Panic) => panic!("{action} panics, as the script says"),
        }
    }

    /// The effect of a call, and who has changed something by it.
    fn done<T>(&self, action: &'static str, effect: impl FnOnce(&mut Inner) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut inner = locked(&self.inner);
        if inner.role_ready.is_some_and(|ready| Instant::now() < ready) {
            return Err(fault(action, FaultKind::Denied, "AccessDenied"));
        }
        let answer = effect(&mut inner);
        let writes = ["Put", "Create", "Delete"].iter().any(|verb| action.split(':').nth(1).is_some_and(|a| a.starts_with(verb)));
        if let (true, true, Some(run)) = (writes, answer.is_ok(), &self.run) {
            *inner.writes.entry(run.stack.clone()).or_default() += 1;
            run.writes.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn bucket<T>(
        &self,
        action: &'static str,
        name: &BucketName,
        effect: impl FnOnce(&mut Bucket) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call(action, |inner| {
            let too_new = inner.made.get(name.as_str()).is_some_and(|made| Instant::now() < *made + inner.lags.bucket);
            match inner.things.buckets.get_mut(name.as_str()) {
                None => Err(fault(action, FaultKind::Missing, "NoSuchBucket")),
                Some(_) if too_new && SETTINGS.contains(&action) => Err(fault(action, FaultKind::Missing, "NoSuchBucket")),
                Some(bucket) if bucket.owner.is_some() => Err(fault(action, FaultKind::Denied, "AccessDenied")),
                Some(bucket) => effect(bucket),
            }
        })
        .await
    }
}

impl Inner {
    /// Changes that concern a stack: its own and those of others who are no stack.
    fn changes_of(&self, stack: &str) -> u64 {
        self.writes.get(stack).copied().unwrap_or_default() + self.promises.acts
    }

    fn others_act(&mut self, action: &str) -> Option<String> {
        let Inner { things, organization, actor, promises, runs_at_work, .. } = self;
        let act = actor.as_mut()?.strike(action, *runs_at_work, things, organization, promises)?;
        Some(act.to_string())
    }
}

fn fault(action: &'static str, kind: FaultKind, code: &str) -> Fault {
    Fault { action, kind, code: code.to_owned(), message: String::new(), request_id: Some("sim".to_owned()) }
}

impl Cloud for Account {
    fn at(&self, _region: &Region) -> Arc<dyn Aws> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Aws for Account {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        let action = "organizations:DescribeOrganization";
        self.call(action, |inner| match &inner.organization {
            OrganizationFile::None => Ok(None),
            OrganizationFile::Denied => Err(fault(action, FaultKind::Denied, "AccessDeniedException")),
            OrganizationFile::Member { id, management_account, feature_set } => Ok(Some(Organization {
                id: id.clone(),
                management_account: management_account.as_ref().and_then(|id| id.parse().ok()),
                feature_set: feature_set.clone(),
            })),
        })
        .await
    }

    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        let all = |inner: &mut Inner| Ok(inner.things.reports.values().map(|(report, _)| report.clone()).collect());
        self.call("cur:DescribeReportDefinitions", all).await
    }

    async fn report_tags(&self, report: &ReportName) -> Result<Tags, Fault> {
        let action = "cur:ListTagsForResource";
        self.call(action, |inner| match inner.things.reports.get(report.as_str()) {
            Some((_, tags)) => Ok(tags.clone()),
            None => Err(fault(action, FaultKind::Missing, "ResourceNotFoundException")),
        })
        .await
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:PutReportDefinition";
        self.call(action, |inner| {
            let seen = inner.policy_written.get(&report.bucket).is_none_or(|at| Instant::now() >= *at + inner.lags.policy);
            let things = &mut inner.things;
            if things.reports.contains_key(&report.name) {
                return Err(fault(action, FaultKind::Exists, "DuplicateReportNameException"));
            }
            if things.reports.len() >= self.report_limit {
                return Err(fault(action, FaultKind::LimitReached, "ReportLimitReachedException"));
            }
            let bucket = things.buckets.get_mut(&report.bucket).filter(|bucket| bucket.owner.is_none());
            let allows = |bucket: &Bucket| bucket.policy.as_ref().is_some_and(|p| p.contains("billingreports.amazonaws.com"));
            let Some(bucket) = bucket.filter(|bucket| seen && allows(bucket)) else {
                return Err(fault(action, FaultKind::BucketUnverified, "ValidationException"));
            };
            bucket.objects.insert(TEST_OBJECT.to_owned());
            things.reports.insert(report.name.clone(), (report.clone(), tags.clone()));
            Ok(())
        })
        .await
    }

    async fn delete_report(&self, report: &ReportName) -> Result<(), Fault> {
        let remove = |inner: &mut Inner| {
            inner.things.reports.remove(report.as_str());
            Ok(())
        };
        self.call("cur:DeleteReportDefinition", remove).await
    }

    async fn bucket_exists(&self, bucket: &BucketName, _owner: &AccountId) -> Result<bool, Fault> {
        let action = "s3:ListBucket";
        self.call(action, |inner| {
            let run = self.run.as_ref().map_or(0, |run| run.number);
            inner.asked.insert((run, bucket.as_str().to_owned()));
            match inner.things.buckets.get(bucket.as_str()) {
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
            if !inner.asked.contains(&(self.run.as_ref().map_or(0, |run| run.number), name.clone())) {
                inner.offences.push(format!("bucket `{name}` is made without asking whether it is there"));
            }
            match inner.things.buckets.get(&name) {
                Some(known) if known.owner.is_some() => Err(fault(action, FaultKind::Taken, "BucketAlreadyExists")),
                Some(_) => Err(fault(action, FaultKind::Exists, "BucketAlreadyOwnedByYou")),
                None => {
                    let made = Bucket { region: "us-east-1".to_owned(), tags: tags.clone(), ..Bucket::default() };
                    inner.made.insert(name.clone(), Instant::now());
                    inner.things.buckets.insert(name, made);
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
            let below = bucket.objects.iter().filter(|key| key.starts_with(prefix));
            Ok(below.take(max.into()).map(version).collect())
        };
        self.bucket("s3:ListBucketVersions", bucket, list).await
    }

    async fn delete_versions(&self, bucket: &BucketName, _owner: &AccountId, versions: &[Version]) -> Result<(), Fault> {
        let remove = |bucket: &mut Bucket| {
            bucket.objects.retain(|key| !versions.iter().any(|version| version.key == *key));
            Ok(())
        };
        match self.bucket("s3:DeleteObject", bucket, remove).await {
            Err(fault) if fault.kind == FaultKind::Missing => Ok(()),
            answer => answer,
        }
    }

    async fn delete_bucket(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let action = "s3:DeleteBucket";
        self.call(action, |inner| match inner.things.buckets.get(bucket.as_str()) {
            None => Ok(()),
            Some(known) if known.owner.is_some() => Err(fault(action, FaultKind::Denied, "AccessDenied")),
            Some(known) if !known.objects.is_empty() => Err(fault(action, FaultKind::NotEmpty, "BucketNotEmpty")),
            Some(_) => {
                inner.promises.statements.retain(|(name, _)| name != bucket.as_str());
                inner.things.buckets.remove(bucket.as_str());
                Ok(())
            }
        })
        .await
    }

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
