//! A plan's steps through the ports, in order. Nothing is decided here: what a step needs, it carries.

use std::{future::Future, time::Duration};

use futures::future::join_all;
use time::OffsetDateTime;
use tracing::info;

use crate::{
    billing::{
        Report, Tags,
        choice::limit_reached,
        plan::{Plan, PolicySeen, Step, UPLOAD_DAYS_MAX},
        policy,
    },
    error::{Code, Failure},
    event::{Origin, RequestType},
    names::{AccountId, BucketName},
    ports::{Aws, Clock, Fault, FaultKind, Ports, Version},
};

/// Waits between tries of a call that eventual consistency can refuse: 7 s in all. IAM and S3 settle within seconds,
/// and the stack's patience is `ServiceTimeout`, not ours.
pub(crate) const PATIENCE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// `DeleteObjects` takes at most 1,000 keys (Amazon S3 API Reference).
const VERSIONS_PER_DELETE: u16 = 1000;

/// The object that the report service writes at a bucket's root to test it: AWS's, not the customer's.
pub const TEST_OBJECT: &str = "aws-programmatic-access-test-object";

/// Deleting data stops this long before the work has to end, so that the stack's deletion never fails because of the
/// amount of data (F-27).
const DATA_RESERVE: time::Duration = time::Duration::seconds(15);

/// Why a plan was not carried through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Something the plan was to make is there already: another delivery of the same event (HW-L5), or another actor,
    /// was faster. Observe and plan again.
    Raced(Failure),
    /// A step failed.
    Failed(Failure),
}

impl From<Halt> for Failure {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Raced(failure) | Halt::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

/// Tries a call again while eventual consistency may be the cause: a conflict with an operation under way, and, on
/// Create and on the Delete that may follow at once, a denial, because the role and its policies can be seconds old (AWS
/// IAM User Guide, "Changes that I make are not always immediately visible"). A service control policy's denial is final.
pub(crate) async fn patiently<T, F, Fut>(clock: &dyn Clock, origin: &Origin, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let fresh_role = origin.request_type != RequestType::Update;
    let may_pass = |kind| kind == FaultKind::Conflict || (fresh_role && kind == FaultKind::Denied);
    patiently_while(clock, may_pass, call).await
}

async fn patiently_while<T, F, Fut>(clock: &dyn Clock, may_pass: impl Fn(FaultKind) -> bool, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    for wait in PATIENCE {
        match call().await {
            Err(fault) if may_pass(fault.kind) => {
                info!(action = fault.action, code = fault.code, wait_s = wait.as_secs(), "trying again");
                clock.sleep(wait).await;
            }
            answer => return answer,
        }
    }
    call().await
}

/// Carries a plan through, a round at a time, and returns what the reader of the stack event should still know.
///
/// A failed step does not cancel the others of its round: each ends as it would alone, so that what was half made is
/// the same whatever the timing.
///
/// # Errors
/// [`Halt`]; what was made by then stays for the next request to find.
pub async fn execute(plan: &Plan, origin: &Origin, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Vec<String>, Halt> {
    let region = origin.stack.partition.billing_region().unwrap_or_else(|| origin.stack.region.clone());
    let aws = ports.cloud.at(&region);
    let run = Run { aws: &*aws, origin, owner: &origin.stack.account, until, clock: ports.clock };
    let mut remarks = Vec::new();
    for round in &plan.rounds {
        for (step, outcome) in round.iter().zip(join_all(round.iter().map(|step| run.step(step))).await) {
            info!(step = step.name(), ok = outcome.is_ok(), "{step}");
            remarks.extend(outcome?);
        }
    }
    Ok(remarks)
}

struct Run<'a> {
    aws: &'a dyn Aws,
    origin: &'a Origin,
    owner: &'a AccountId,
    until: OffsetDateTime,
    clock: &'a dyn Clock,
}

impl Run<'_> {
    async fn step(&self, step: &Step) -> Result<Option<String>, Halt> {
        match step {
            Step::EnsureBucket { bucket, tags } => self.ensure_bucket(bucket, tags).await?,
            Step::EnsurePublicAccessBlocked(bucket) => {
                self.on_bucket(|| self.aws.block_public_access(bucket, self.owner)).await?;
            }
            Step::EnsureEncryption(bucket) => self.on_bucket(|| self.aws.encrypt_bucket(bucket, self.owner)).await?,
            Step::EnsureUploadsExpire(bucket) => {
                self.on_bucket(|| self.aws.expire_uploads(bucket, self.owner, UPLOAD_DAYS_MAX)).await?;
            }
            Step::EnsureDeliveryAllowed { bucket, policy, from } => self.ensure_delivery_allowed(bucket, policy, from).await?,
            Step::EnsureReport { report, tags } => self.ensure_report(report, tags).await?,
            Step::RetireReport(report) => self.patiently(|| self.aws.delete_report(report)).await?,
            Step::RetireData { bucket, prefix } => return self.retire_data(bucket, prefix).await,
            Step::RetireEmptyBucket(bucket) => return self.retire_empty_bucket(bucket).await,
        }
        Ok(None)
    }

    async fn ensure_bucket(&self, bucket: &BucketName, tags: &Tags) -> Result<(), Halt> {
        match self.patiently(|| self.aws.create_bucket(bucket, tags)).await {
            Err(fault) if fault.kind == FaultKind::Exists => Err(Halt::Raced(fault.into())),
            Err(fault) if fault.kind == FaultKind::Taken => {
                let cause = format!("bucket `{bucket}` belongs to another account");
                Err(Failure::explained(&fault, Code::BillingBucketNotOurs, cause).into())
            }
            answer => Ok(answer?),
        }
    }

    /// A policy is written whole, so a statement that somebody added since the plan was made would be lost (HW-O3).
    async fn ensure_delivery_allowed(&self, bucket: &BucketName, policy: &str, from: &PolicySeen) -> Result<(), Halt> {
        if let PolicySeen::Was(seen) = from
            && self.patiently(|| self.aws.bucket_policy(bucket, self.owner)).await? != *seen
        {
            let cause = format!("the policy of bucket `{bucket}` keeps changing");
            return Err(Halt::Raced(Failure::new(Code::BucketPolicyUnmergeable, cause)));
        }
        Ok(self.on_bucket(|| self.aws.put_bucket_policy(bucket, self.owner, policy)).await?)
    }

    /// The report service reads the bucket's policy, which takes seconds to be seen everywhere (HW-B6, F-16, F-18).
    async fn ensure_report(&self, report: &Report, tags: &Tags) -> Result<(), Halt> {
        let mut waits = PATIENCE.iter();
        let fault = loop {
            let Err(fault) = self.patiently(|| self.aws.put_report(report, tags)).await else { return Ok(()) };
            match (fault.kind, waits.next()) {
                (FaultKind::BucketUnverified, Some(wait)) => self.clock.sleep(*wait).await,
                _ => break fault,
            }
        };
        match fault.kind {
            FaultKind::Exists => Err(Halt::Raced(fault.into())),
            FaultKind::LimitReached => Err(limit_reached(&self.aws.describe_reports().await?).into()),
            FaultKind::BucketUnverified => {
                let bucket = BucketName::existing(&report.bucket);
                let found = self.what_is_wrong_with(&bucket).await;
                let cause = format!("AWS does not accept bucket `{bucket}` for the report ({}); {found}", fault.message);
                Err(Failure::explained(&fault, Code::BillingBucketRejected, cause).into())
            }
            _ => Err(fault.into()),
        }
    }

    /// Reads back what the report service looks at, so that the stack event names the cause.
    async fn what_is_wrong_with(&self, bucket: &BucketName) -> String {
        match self.aws.bucket_policy(bucket, self.owner).await {
            Ok(text) if policy::was_set_up(text.as_deref()) => {
                "its policy allows delivery, so something above the bucket denies it".to_owned()
            }
            Ok(_) => "its policy no longer holds what was written a moment ago".to_owned(),
            Err(fault) => format!("its policy could not be read back: {fault}"),
        }
    }

    async fn retire_data(&self, bucket: &BucketName, prefix: &str) -> Result<Option<String>, Halt> {
        loop {
            let page = self.patiently(|| self.aws.list_versions(bucket, self.owner, prefix, VERSIONS_PER_DELETE)).await;
            let page = match page {
                Err(fault) if fault.kind == FaultKind::Missing => return Ok(None),
                page => page?,
            };
            if page.is_empty() {
                return Ok(None);
            }
            if self.clock.now() + DATA_RESERVE > self.until {
                return Ok(Some(format!("bucket `{bucket}` still holds data: there was too much to delete in time")));
            }
            self.patiently(|| self.aws.delete_versions(bucket, self.owner, &page)).await?;
        }
    }

    async fn retire_empty_bucket(&self, bucket: &BucketName) -> Result<Option<String>, Halt> {
        // Two are enough to tell "only AWS's test object" from "data".
        let page: Vec<Version> = match self.patiently(|| self.aws.list_versions(bucket, self.owner, "", 2)).await {
            Err(fault) if fault.kind == FaultKind::Missing => return Ok(None),
            page => page?,
        };
        let kept = || Ok(Some(format!("bucket `{bucket}` was kept, because it holds data")));
        match page.as_slice() {
            [] => {}
            [only] if only.key == TEST_OBJECT => {
                self.patiently(|| self.aws.delete_versions(bucket, self.owner, &page)).await?;
            }
            _ => return kept(),
        }
        match self.patiently(|| self.aws.delete_bucket(bucket, self.owner)).await {
            // S3 itself is the judge: an object that arrived since the look keeps its bucket.
            Err(fault) if fault.kind == FaultKind::NotEmpty => kept(),
            answer => Ok(answer.map(|()| None)?),
        }
    }

    /// A bucket that was made a moment ago is not known to all of S3 at once (Amazon S3 User Guide, "Amazon S3 data
    /// consistency model": bucket configurations are eventually consistent).
    async fn on_bucket<F, Fut>(&self, call: F) -> Result<(), Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), Fault>>,
    {
        let missing_yet = |kind| kind == FaultKind::Missing;
        patiently_while(self.clock, missing_yet, || self.patiently(&call)).await
    }

    async fn patiently<T, F, Fut>(&self, call: F) -> Result<T, Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        patiently(self.clock, self.origin, call).await
    }
}
