//! A plan's steps through the ports, in order. Nothing is decided here: what a step needs, it carries.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Mutex, PoisonError},
};

use futures::future::join_all;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::info;

use crate::{
    aws::{Aws, BucketNamespace, DataExport, Fault, FaultKind, Report, SPLIT_PROPERTY, Tags},
    billing::{
        attributes::plain,
        backfill::{Backfill, BackfillOutcome},
        choice::{limit_reached, quota_reached},
        plan::{Plan, PolicyBefore, Resource, Step, UPLOAD_DAYS_MAX},
        policy, query,
    },
    error::{Code, Failure},
    names::{AccountId, BucketName, ExportName},
    ports::Ports,
    protocol::{
        lifecycle::is_awaited,
        origin::Origin,
        reply::Attributes,
        retry::{retry_eventual, retry_while},
    },
};

mod retire;
mod tags;

/// Why a plan was not carried through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepError {
    /// Something the plan was to make is there already: another delivery of the same event (HW-L5), or another actor,
    /// was faster. Observe and plan again.
    Raced(Failure),
    Failed(Failure),
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Raced(failure) | StepError::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for StepError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

/// What a plan's steps brought to light.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// What the reader of the stack event should still know.
    pub remarks: Vec<String>,
    /// Attributes that are known only now.
    pub attributes: Attributes,
    /// What a step did, in words.
    done: Option<String>,
    /// A bucket that is not to be removed, because something of ours may still deliver to it.
    kept: Option<BucketName>,
}

impl Journal {
    fn done(what: String) -> Self {
        Self { done: Some(what), ..Self::default() }
    }

    fn remark(remark: String) -> Self {
        Self { remarks: vec![remark], ..Self::default() }
    }

    fn attribute(name: &'static str, value: String) -> Self {
        Self { attributes: Attributes::from([(name, value)]), ..Self::default() }
    }
}

/// Carries a plan through, a round at a time.
///
/// A failed step does not cancel the others of its round: each ends as it would alone, so that what was half made is
/// the same whatever the timing.
///
/// # Errors
/// [`StepError`]; what was made by then stays for the next request to find.
pub async fn execute(plan: &Plan, origin: &Origin, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Journal, StepError> {
    let region = origin.stack.partition.billing_region().unwrap_or_else(|| origin.stack.region.clone());
    let aws = ports.cloud.at(&region);
    let run = Run {
        aws: &*aws,
        origin,
        owner: &origin.stack.account,
        began: ports.clock.now(),
        until,
        ports,
        refused: Mutex::default(),
    };
    let mut journal = Journal::default();
    let mut kept = BTreeSet::new();
    for round in &plan.rounds {
        let stays = |step: &&Step| matches!(step, Step::RetireEmptyBucket(bucket) if kept.contains(bucket));
        let round: Vec<&Step> = round.iter().filter(|step| !stays(step)).collect();
        for (step, outcome) in round.iter().zip(join_all(round.iter().map(|step| run.follow(step))).await) {
            info!(step = step.name(), ok = outcome.is_ok(), "{step}");
            let done = outcome?;
            journal.remarks.extend(done.remarks);
            journal.attributes.extend(done.attributes);
            kept.extend(done.kept);
        }
    }
    Ok(journal)
}

/// How long nobody else has written the policy of a bucket that this run made. Longer, and another delivery of the event may have ended
/// with it, and the customer gone on.
const NEW_BUCKET: time::Duration = time::Duration::seconds(5);

/// How far our clock and AWS Support's may differ.
const CASE_CLOCK_SKEW: time::Duration = time::Duration::hours(1);

/// Whether a definition itself was refused, and not for its bucket, its name or the room there is.
fn is_refused(fault: &Fault) -> bool {
    fault.kind == FaultKind::Refused && fault.code == "ValidationException"
}

/// What two refusals come to: the first one, unless the second has another cause, such as no room, which says more.
fn more_specific(first: Fault, again: Fault) -> Fault {
    if is_refused(&again) { first } else { again }
}

/// An account has these data only if it is opted in to them (Cost and Usage Reports User Guide, "Enabling split cost allocation
/// data"); what AWS answers where it is not is B-13.
fn split_columns_dropped(fault: &Fault) -> String {
    format!("split cost allocation data is left out, because AWS does not accept it here: {fault}")
}

/// What may help where a policy denies creating a bucket whose name is global.
const SET_NAMESPACE: &str = "if it demands buckets of the account-regional namespace, set `BucketNamespace` to `AccountRegional`";

/// A creation that failed. A policy that denies it may demand something that the customer can give (F-51).
fn creation_denied(fault: Fault, also: Option<&str>) -> Failure {
    let FaultKind::DeniedBy(_) = fault.kind else { return fault.into() };
    let mut failure = Failure::from(fault);
    failure.cause += "; if that policy demands tags on what is created, give this stack those tags";
    also.iter().for_each(|hint| failure.cause += &format!("; {hint}"));
    failure
}

/// What was removed meanwhile is looked for again, as is what another run has been at work on for longer than a conflict lasts.
fn raced_if_changed(fault: Fault) -> StepError {
    let is_changed = matches!(fault.kind, FaultKind::Missing | FaultKind::Conflict);
    let failure = fault.into();
    if is_changed { StepError::Raced(failure) } else { StepError::Failed(failure) }
}

/// Where a policy forbids a setting that is S3's default for new buckets since 2023, or mere housekeeping, the export is created
/// without it, and the stack event says so (F-50).
fn unless_denied(answer: Result<(), Fault>, done: String, without: &str) -> Result<Journal, StepError> {
    match answer {
        Ok(()) => Ok(Journal::done(done)),
        Err(fault) if fault.is_denial() => Ok(Journal::remark(format!("{without}: {fault}"))),
        Err(fault) => Err(raced_if_changed(fault)),
    }
}

struct Run<'a> {
    aws: &'a dyn Aws,
    origin: &'a Origin,
    owner: &'a AccountId,
    /// When the first round began.
    began: OffsetDateTime,
    until: OffsetDateTime,
    ports: &'a Ports<'a>,
    /// Why something was last not created: since then, time may have passed.
    refused: Mutex<Option<Fault>>,
}

impl Run<'_> {
    /// Does a step, and tells whoever follows the run as soon as it is done.
    async fn follow(&self, step: &Step) -> Result<Journal, StepError> {
        let journal = self.step(step).await?;
        journal.done.iter().for_each(|what| self.ports.progress.done(what));
        Ok(journal)
    }

    async fn step(&self, step: &Step) -> Result<Journal, StepError> {
        let done = match step {
            Step::EnsureBucket { bucket, namespace, tags } => return self.ensure_bucket(bucket, *namespace, tags).await,
            Step::EnsureTags { resource, tags } => {
                let remarks = self.tag(resource, tags).await.map_err(raced_if_changed)?;
                let done = remarks.is_empty().then(|| format!("tagged {resource}"));
                return Ok(Journal { done, remarks, ..Journal::default() });
            }
            Step::EnsurePublicAccessBlocked(bucket) => {
                let answer = self.retry_bucket_conflict(|| self.aws.block_public_access(bucket, self.owner)).await;
                let without = "the bucket has no public access block of its own (S3 blocks public access by default)";
                return unless_denied(answer, format!("blocked public access to `{bucket}`"), without);
            }
            Step::EnsureEncryption(bucket) => {
                let answer = self.retry_bucket_conflict(|| self.aws.encrypt_bucket(bucket, self.owner)).await;
                let without = "the bucket has no encryption setting of its own (S3 encrypts with SSE-S3 by default)";
                return unless_denied(answer, format!("encrypted `{bucket}` by default"), without);
            }
            Step::EnsureUploadsExpire(bucket) => {
                let answer = self.retry_bucket_conflict(|| self.aws.expire_uploads(bucket, self.owner, UPLOAD_DAYS_MAX)).await;
                let done = format!("set unfinished uploads to `{bucket}` to expire after {UPLOAD_DAYS_MAX} days");
                return unless_denied(answer, done, "unfinished uploads to the bucket do not expire");
            }
            Step::EnsureDeliveryAllowed { bucket, policy, from } => {
                self.ensure_delivery_allowed(bucket, policy, from).await?;
                format!("allowed AWS to deliver to `{bucket}`")
            }
            Step::EnsureReport { report, tags } => return self.ensure_report(report, tags).await,
            Step::EnsureExport { export, tags } => return self.ensure_export(export, tags).await,
            Step::EnsureExportCurrent(export) => return self.ensure_export_current(export).await,
            Step::AskForBackfill(backfill) => {
                let outcome = self.ask_for_backfill(backfill).await;
                let done = (outcome == BackfillOutcome::Requested).then(|| "requested past months from AWS Support".to_owned());
                return Ok(Journal { done, ..Journal::attribute("Backfill", plain(&backfill.status_text(&outcome))) });
            }
            Step::RetireReport { report, bucket } => return self.retire(Resource::Report(report.clone()), bucket).await,
            Step::RetireExport { arn, bucket } => return self.retire(Resource::Export(arn.clone()), bucket).await,
            Step::RetireData { bucket, prefix } => return self.retire_data(bucket, prefix).await,
            Step::RetireEmptyBucket(bucket) => return self.retire(Resource::Bucket(bucket.clone()), bucket).await,
        };
        Ok(Journal::done(done))
    }

    async fn ensure_bucket(&self, bucket: &BucketName, namespace: BucketNamespace, tags: &Tags) -> Result<Journal, StepError> {
        let create = |tags: Tags| async move { self.retry_creation(|| self.aws.create_bucket(bucket, namespace, &tags)).await };
        match self.create_tagged(tags, create, |()| Resource::Bucket(bucket.clone())).await {
            Ok((_, remarks)) => Ok(Journal { remarks, ..Journal::done(format!("created bucket `{bucket}`")) }),
            Err(fault) if matches!(fault.kind, FaultKind::Exists | FaultKind::Missing) => Err(StepError::Raced(fault.into())),
            Err(fault) if fault.kind == FaultKind::Taken => {
                let cause = format!("bucket `{bucket}` belongs to another account");
                Err(Failure::explained(&fault, Code::BillingBucketNotOurs, cause).into())
            }
            Err(fault) => {
                let is_global = namespace == BucketNamespace::Global;
                Err(creation_denied(fault, is_global.then_some(SET_NAMESPACE)).into())
            }
        }
    }

    /// A policy is written whole, so a statement that somebody added since the plan was made would be lost (HW-O3).
    async fn ensure_delivery_allowed(&self, bucket: &BucketName, wanted: &str, from: &PolicyBefore) -> Result<(), StepError> {
        let seen = match from {
            PolicyBefore::NewBucket if self.ports.clock.now() - self.began <= NEW_BUCKET => None,
            PolicyBefore::NewBucket => Some(None),
            PolicyBefore::Existing(seen) => Some(seen.as_deref()),
        };
        if let Some(seen) = seen
            && let now = self.retry_eventual(|| self.aws.bucket_policy(bucket, self.owner)).await?
            && !policy::same_policy(now.as_deref(), seen)
        {
            let cause = format!("the policy of bucket `{bucket}` keeps changing");
            return Err(StepError::Raced(Failure::new(Code::BucketPolicyUnmergeable, cause)));
        }
        self.retry_bucket_conflict(|| self.aws.put_bucket_policy(bucket, self.owner, wanted)).await.map_err(raced_if_changed)
    }

    /// Tries to create something again while the billing service does not see the bucket's policy, which takes seconds to be seen
    /// everywhere (HW-B6, F-16, F-18), and as ever; but not once the stack has its answer from another delivery: what comes later, nobody
    /// may find to remove.
    async fn retry_creation<T, F, Fut>(&self, call: F) -> Result<T, Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let create = || async {
            let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(fault) = refused
                && !is_awaited(self.origin, self.ports).await
            {
                return Err(fault);
            }
            call().await.inspect_err(|fault| {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
            })
        };
        let unseen = |kind| kind == FaultKind::BucketUnverified;
        retry_while(self.ports.clock, unseen, || self.retry_eventual(&create)).await
    }

    async fn ensure_report(&self, report: &Report, tags: &Tags) -> Result<Journal, StepError> {
        let made = |remarks| Ok(Journal { remarks, ..Journal::done(format!("created report `{}`", report.name)) });
        let fault = match (self.put_report(report, tags).await, report.without_split_columns()) {
            (Ok(remarks), _) => return made(remarks),
            (Err(fault), Some(less)) if is_refused(&fault) => match self.put_report(&less, tags).await {
                Ok(remarks) => return made(std::iter::once(split_columns_dropped(&fault)).chain(remarks).collect()),
                Err(again) => more_specific(fault, again),
            },
            (Err(fault), _) => fault,
        };
        match fault.kind {
            FaultKind::Exists | FaultKind::Missing => Err(StepError::Raced(fault.into())),
            FaultKind::LimitReached => Err(limit_reached(&self.aws.describe_reports().await?).into()),
            FaultKind::BucketUnverified => Err(self.bucket_rejected(&report.bucket, &fault).await),
            _ => Err(creation_denied(fault, None).into()),
        }
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<Vec<String>, Fault> {
        let create = |tags: Tags| async move { self.retry_creation(|| self.aws.put_report(report, &tags)).await };
        let (_, remarks) = self.create_tagged(tags, create, |()| Resource::Report(ExportName::existing(&report.name))).await?;
        Ok(remarks)
    }

    /// `CreateExport` knows no idempotency token, so it is never repeated blindly: an answer that was lost sends the handler to
    /// look again (HW-B10).
    async fn ensure_export(&self, export: &DataExport, tags: &Tags) -> Result<Journal, StepError> {
        let made = |arn: String, remarks| {
            let done = Some(format!("created export `{}`", export.name));
            Ok(Journal { done, remarks, ..Journal::attribute("Arn", arn) })
        };
        let fault = match self.create_export(export, tags).await {
            Ok((arn, remarks)) => return made(arn, remarks),
            Err(fault) if is_refused(&fault) && export.is_split() => {
                let less = self.drop_split_columns(export).await?;
                match self.create_export(&less, tags).await {
                    Ok((arn, remarks)) => {
                        return made(arn, std::iter::once(split_columns_dropped(&fault)).chain(remarks).collect());
                    }
                    Err(again) => more_specific(fault, again),
                }
            }
            Err(fault) => fault,
        };
        match fault.kind {
            FaultKind::Exists | FaultKind::Missing | FaultKind::Unavailable | FaultKind::Throttled => {
                Err(StepError::Raced(fault.into()))
            }
            FaultKind::LimitReached => {
                let all = self.aws.list_exports().await?;
                let names: Vec<&str> = all.iter().map(|export| export.name.as_str()).collect();
                Err(quota_reached(&fault, &names).into())
            }
            FaultKind::BucketUnverified => Err(self.bucket_rejected(&export.bucket, &fault).await),
            _ => Err(creation_denied(fault, None).into()),
        }
    }

    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<(String, Vec<String>), Fault> {
        let create = |tags: Tags| async move { self.retry_creation(|| self.aws.create_export(export, &tags)).await };
        self.create_tagged(tags, create, |arn: &String| Resource::Export(arn.clone())).await
    }

    /// The same export without split cost allocation data: with the columns that its table has then.
    async fn drop_split_columns(&self, export: &DataExport) -> Result<DataExport, StepError> {
        let mut less = export.clone();
        for (table, properties) in &mut less.tables {
            properties.insert(SPLIT_PROPERTY.to_owned(), "FALSE".to_owned());
            let columns = self.retry_eventual(|| self.aws.table_columns(table, properties)).await?;
            less.query = query::statement(table, &columns)?;
        }
        Ok(less)
    }

    /// Our export delivers as it is: that it could not be brought up to its table is worth a remark and no failure.
    async fn ensure_export_current(&self, export: &DataExport) -> Result<Journal, StepError> {
        match self.retry_eventual(|| self.aws.update_export(export)).await {
            Ok(()) => Ok(Journal::done(format!("updated export `{}`", export.name))),
            Err(fault) if fault.kind == FaultKind::Missing => Err(StepError::Raced(fault.into())),
            // Whether it has what was switched is not known any more.
            Err(fault) => Ok(Journal {
                attributes: Attributes::from([("IamPrincipalData", String::new())]),
                ..Journal::remark(format!("export `{}` was not updated: {fault}", export.name))
            }),
        }
    }

    async fn bucket_rejected(&self, bucket: &str, fault: &Fault) -> StepError {
        let bucket = BucketName::existing(bucket);
        let found = self.diagnose_bucket(&bucket).await;
        let cause = format!("AWS does not accept bucket `{bucket}` for the export ({}); {found}", fault.message);
        Failure::explained(fault, Code::BillingBucketRejected, cause).into()
    }

    /// Asks once. What was asked before is looked for first, and again if the answer was lost, because `CreateCase` knows no
    /// idempotency token (HW-B12). Nothing here fails a stack.
    async fn ask_for_backfill(&self, backfill: &Backfill) -> BackfillOutcome {
        let support = self.ports.cloud.at(&self.origin.stack.partition.support_region());
        let since = OffsetDateTime::parse(&backfill.since, &Rfc3339).unwrap_or_else(|_| self.ports.clock.now());
        let failed = |fault: Fault| match fault.kind {
            FaultKind::NoSubscription => BackfillOutcome::NoSupportPlan,
            _ => BackfillOutcome::Failed(fault.to_string()),
        };
        let asked_already = || async {
            let cases = support.support_cases(since - CASE_CLOCK_SKEW).await?;
            Ok::<_, Fault>(backfill.matching_case(&cases).map(|_| BackfillOutcome::Requested))
        };
        match asked_already().await {
            Ok(None) => {}
            Ok(Some(case)) => return case,
            Err(fault) => return failed(fault),
        }
        let case = match tokio::try_join!(support.support_services(), support.support_severities()) {
            Ok((services, severities)) => backfill.new_case(&services, &severities),
            Err(fault) => return failed(fault),
        };
        let Some(case) = case else { return BackfillOutcome::Failed("AWS Support lists no service for billing".to_owned()) };
        match support.open_case(&case).await {
            Ok(case) => {
                info!(case, "requested past months from AWS Support");
                BackfillOutcome::Requested
            }
            Err(fault) if fault.kind == FaultKind::Unavailable => {
                asked_already().await.ok().flatten().unwrap_or_else(|| failed(fault))
            }
            Err(fault) => failed(fault),
        }
    }

    /// Reads back what the report service looks at, so that the stack event names the cause.
    async fn diagnose_bucket(&self, bucket: &BucketName) -> String {
        match self.aws.bucket_policy(bucket, self.owner).await {
            Ok(text) if policy::was_set_up(text.as_deref()) => {
                "its policy allows delivery, so another policy denies it".to_owned()
            }
            Ok(_) => "its policy no longer contains what was just written".to_owned(),
            Err(fault) => format!("its policy could not be read back: {fault}"),
        }
    }

    /// A bucket that was made a moment ago is not known to all of S3 at once (Amazon S3 User Guide, "Amazon S3 data
    /// consistency model": bucket configurations are eventually consistent).
    async fn retry_bucket_conflict<F, Fut>(&self, call: F) -> Result<(), Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), Fault>>,
    {
        let missing_yet = |kind| kind == FaultKind::Missing;
        retry_while(self.ports.clock, missing_yet, || self.retry_eventual(&call)).await
    }

    async fn retry_eventual<T, F, Fut>(&self, call: F) -> Result<T, Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        retry_eventual(self.ports, self.origin, call).await
    }
}
