//! What to do about a billing export: every decision, as data. Pure.

use std::fmt;

use time::OffsetDateTime;

use super::{
    Asked, DATA_ROOT, Export, Id, Report, Retention, TAG_CREATED_AT, Tags,
    choice::{Chosen, choose},
    first_data_due_by, mark, no_attributes,
    observe::{Facts, OwnBucket, Remains, own_bucket},
    policy, rfc3339,
};
use crate::{
    error::{Code, Failure},
    event::Origin,
    names::{BucketName, ReportName, one_line},
    reply::Attributes,
};

/// Unfinished multipart uploads are billed and invisible; AWS's delivery is done with any of its own long before.
pub const UPLOAD_DAYS_MAX: u16 = 7;

/// One thing to bring about, named as the state afterwards. Run twice it is the same as run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The bucket exists, tagged, with object ownership enforced. Planned only where it does not exist.
    EnsureBucket {
        /// The bucket.
        bucket: BucketName,
        /// Its tags: the mark of ownership comes into being with the bucket.
        tags: Tags,
    },
    /// No access point, ACL or policy can make the bucket public.
    EnsurePublicAccessBlocked(BucketName),
    /// New objects are encrypted with SSE-S3.
    EnsureEncryption(BucketName),
    /// Unfinished uploads end after [`UPLOAD_DAYS_MAX`].
    EnsureUploadsExpire(BucketName),
    /// AWS may deliver, over TLS only; every other statement of the policy is as it was.
    EnsureDeliveryAllowed {
        /// The bucket.
        bucket: BucketName,
        /// The whole merged policy.
        policy: String,
        /// What it was merged from: it replaces this policy and no other.
        from: PolicySeen,
    },
    /// The report exists.
    EnsureReport {
        /// Its definition.
        report: Box<Report>,
        /// Its tags.
        tags: Tags,
    },
    /// The report does not exist. Planned only with our mark on it.
    RetireReport(ReportName),
    /// Nothing delivered for this export is in the bucket.
    RetireData {
        /// The bucket, with our mark.
        bucket: BucketName,
        /// Below which key.
        prefix: &'static str,
    },
    /// The bucket does not exist, unless it holds data. Planned only with our mark on it.
    RetireEmptyBucket(BucketName),
}

/// The policy that a merged one was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySeen {
    /// None: the plan makes the bucket.
    NewBucket,
    /// As S3 held it, if it held one. Somebody may change it until ours is written, so it is looked at again.
    Was(Option<String>),
}

impl Step {
    /// The step's name, for logs and transcripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureBucket { .. } => "EnsureBucket",
            Self::EnsurePublicAccessBlocked(_) => "EnsurePublicAccessBlocked",
            Self::EnsureEncryption(_) => "EnsureEncryption",
            Self::EnsureUploadsExpire(_) => "EnsureUploadsExpire",
            Self::EnsureDeliveryAllowed { .. } => "EnsureDeliveryAllowed",
            Self::EnsureReport { .. } => "EnsureReport",
            Self::RetireReport(_) => "RetireReport",
            Self::RetireData { .. } => "RetireData",
            Self::RetireEmptyBucket(_) => "RetireEmptyBucket",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnsureBucket { bucket, .. } => write!(f, "ensure bucket `{bucket}`"),
            Self::EnsurePublicAccessBlocked(bucket) => write!(f, "ensure public access to `{bucket}` is blocked"),
            Self::EnsureEncryption(bucket) => write!(f, "ensure `{bucket}` encrypts with SSE-S3"),
            Self::EnsureUploadsExpire(bucket) => {
                write!(f, "ensure unfinished uploads to `{bucket}` end after {UPLOAD_DAYS_MAX} days")
            }
            Self::EnsureDeliveryAllowed { bucket, .. } => write!(f, "ensure AWS may deliver to `{bucket}`"),
            Self::EnsureReport { report, .. } => {
                write!(f, "ensure report `{}` to `{}/{}`", report.name, report.bucket, report.prefix)
            }
            Self::RetireReport(report) => write!(f, "retire report `{report}`"),
            Self::RetireData { bucket, prefix } => write!(f, "retire the data below `{bucket}/{prefix}`"),
            Self::RetireEmptyBucket(bucket) => write!(f, "retire bucket `{bucket}` if it holds no data"),
        }
    }
}

/// What to do, and what to answer when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rounds in order; the steps within one do not depend on each other and run together.
    pub rounds: Vec<Vec<Step>>,
    /// The attributes that hold afterwards; none for a Delete.
    pub attributes: Attributes,
    /// Why this export, or why nothing is to be done.
    pub sentence: String,
}

/// Refuses what an Update cannot do, before anything is looked at.
///
/// The handler's role may touch names of the template's prefix only, so the clean-up Delete after a change of prefix
/// could not remove the old things. Compared with the physical id and not with the old properties, so that the
/// rollback of a refused Update is itself accepted.
///
/// # Errors
/// [`Code::PropertyImmutable`]
pub fn refuse_impossible(origin: &Origin, export: &Export) -> Result<(), Failure> {
    let current = origin.physical_id.as_deref().and_then(|id| Id::recognise(origin, id));
    match current {
        Some(id) if *id.prefix() != export.prefix => Err(Failure::new(
            Code::PropertyImmutable,
            format!("property `NamePrefix` cannot change from `{}` to `{}`", id.prefix(), export.prefix),
        )),
        _ => Ok(()),
    }
}

/// Plans a Create or an Update.
///
/// # Errors
/// What [`choose`] refuses, [`Code::BillingBucketNotOurs`], or [`Code::BucketPolicyUnmergeable`].
pub fn plan(origin: &Origin, export: &Export, facts: &Facts, now: OffsetDateTime) -> Result<Plan, Failure> {
    let choice = choose(export, facts)?;
    let mut attributes = of_the_account(export, facts);
    let bucket = own_bucket(origin, &facts.id)?;
    let mut rounds = Vec::new();
    match &choice.export {
        Chosen::Nothing => describe_nothing(&mut attributes, origin, export),
        // No step: what the customer had is never changed (HW-B5).
        Chosen::Reuse(report) => describe(&mut attributes, origin, export, facts, report, "reused", ""),
        Chosen::Ours(report) => {
            let created_at = facts.ours.as_ref().map(|ours| ours.created_at.as_str()).unwrap_or_default();
            describe(&mut attributes, origin, export, facts, report, "created", created_at);
            match &facts.bucket {
                // Only the delivery policy is mended: everything else about the bucket may have become the customer's.
                OwnBucket::Marked { policy, .. } => {
                    let from = PolicySeen::Was(policy.clone());
                    let policy = merged(origin, facts, &bucket, policy.as_deref())?;
                    rounds.extend(policy.map(|policy| vec![Step::EnsureDeliveryAllowed { bucket, policy, from }]));
                }
                // Without its bucket the report delivers nothing: it was deleted, or two runs crossed.
                OwnBucket::Absent | OwnBucket::Unmarked | OwnBucket::Hidden(_) => rounds = bucket_rounds(origin, facts, &bucket)?,
            }
        }
        Chosen::Create => {
            let Some(region) = &facts.region else {
                return Err(Failure::new(Code::Internal, "a report was chosen where there is no report service"));
            };
            rounds = bucket_rounds(origin, facts, &bucket)?;
            let report = Report::wanted(&facts.id, export.format, &bucket, region, &origin.request_id);
            let created_at = rfc3339(now);
            describe(&mut attributes, origin, export, facts, &report, "created", &created_at);
            let mut tags = mark(origin);
            tags.insert(TAG_CREATED_AT.to_owned(), created_at);
            rounds.push(vec![Step::EnsureReport { report: Box::new(report), tags }]);
        }
    }
    // Names of the customer's reports are in it.
    let sentence = one_line(&choice.sentence);
    attributes.insert("Decision", sentence.clone());
    if let Some(leftover) = &facts.leftover {
        rounds.extend(removal_rounds(origin, &leftover.id, export.retention, leftover.remains)?);
    }
    Ok(Plan { rounds, attributes, sentence })
}

/// Plans the way back from a failed Update when the export to go back to cannot be had any more: nothing is set up, the
/// answer says why, and the stack is not stuck (HW-B7). What the failed Update left is removed all the same.
///
/// # Errors
/// None in practice.
pub fn plan_without(origin: &Origin, export: &Export, facts: &Facts, why: &Failure) -> Result<Plan, Failure> {
    let mut attributes = of_the_account(export, facts);
    describe_nothing(&mut attributes, origin, export);
    let sentence = format!("no billing export, because the earlier one cannot be had any more: {}: {}", why.code, why.cause);
    attributes.insert("Decision", sentence.clone());
    let rounds = match &facts.leftover {
        Some(leftover) => removal_rounds(origin, &leftover.id, export.retention, leftover.remains)?,
        None => Vec::new(),
    };
    Ok(Plan { rounds, attributes, sentence })
}

/// What holds whatever is chosen.
fn of_the_account(export: &Export, facts: &Facts) -> Attributes {
    let mut attributes = no_attributes();
    attributes.insert("Kind", export.kind.as_str().to_owned());
    attributes.insert("Origin", "none".to_owned());
    attributes.insert("AccountRole", facts.role.name().as_str().to_owned());
    if let Some(organization) = facts.role.organization() {
        let payer = organization.management_account.as_ref().map(|id| id.as_str().to_owned());
        attributes.insert("ManagementAccountId", payer.unwrap_or_default());
        attributes.insert("OrganizationId", organization.id.clone());
        attributes.insert("FeatureSet", organization.feature_set.clone());
    }
    attributes
}

/// Plans a Delete: only what carries our mark, only what the retention allows.
///
/// # Errors
/// None in practice.
pub fn plan_removal(origin: &Origin, remains: &[(Id, Remains)], retention: Retention) -> Result<Plan, Failure> {
    let mut rounds = Vec::new();
    for (id, remains) in remains {
        rounds.extend(removal_rounds(origin, id, retention, *remains)?);
    }
    let sentence = if rounds.is_empty() { "nothing of this stack's is left" } else { "what this stack made is removed" };
    Ok(Plan { rounds, attributes: Attributes::new(), sentence: sentence.to_owned() })
}

fn removal_rounds(origin: &Origin, id: &Id, retention: Retention, remains: Remains) -> Result<Vec<Vec<Step>>, Failure> {
    let bucket = own_bucket(origin, id)?;
    let mut rounds = Vec::new();
    if remains.report {
        rounds.push(vec![Step::RetireReport(id.report())]);
    }
    if remains.bucket {
        if retention == Retention::Delete {
            rounds.push(vec![Step::RetireData { bucket: bucket.clone(), prefix: DATA_ROOT }]);
        }
        rounds.push(vec![Step::RetireEmptyBucket(bucket)]);
    }
    Ok(rounds)
}

/// The bucket and its settings, for a report that is about to be made.
fn bucket_rounds(origin: &Origin, facts: &Facts, bucket: &BucketName) -> Result<Vec<Vec<Step>>, Failure> {
    let mut rounds = Vec::new();
    let (from, set_up) = match &facts.bucket {
        OwnBucket::Unmarked => {
            let cause = format!("bucket `{bucket}` exists and does not carry this stack's mark");
            return Err(Failure::new(Code::BillingBucketNotOurs, cause));
        }
        OwnBucket::Hidden(fault) => {
            let cause = format!("bucket `{bucket}` exists in another account, or may not be looked at: {fault}");
            return Err(Failure::explained(fault, Code::BillingBucketNotOurs, cause));
        }
        OwnBucket::Absent => {
            rounds.push(vec![Step::EnsureBucket { bucket: bucket.clone(), tags: mark(origin) }]);
            (PolicySeen::NewBucket, false)
        }
        OwnBucket::Marked { policy, in_use } => (PolicySeen::Was(policy.clone()), *in_use),
    };
    let policy = match &from {
        PolicySeen::NewBucket => None,
        PolicySeen::Was(policy) => policy.as_deref(),
    };
    let mut settings = Vec::new();
    // Made once, while the bucket is new: afterwards a KMS key or a lifecycle rule may be the customer's.
    if !set_up {
        settings.push(Step::EnsurePublicAccessBlocked(bucket.clone()));
        settings.push(Step::EnsureEncryption(bucket.clone()));
        settings.push(Step::EnsureUploadsExpire(bucket.clone()));
    }
    let policy = merged(origin, facts, bucket, policy)?;
    settings.extend(policy.map(|policy| Step::EnsureDeliveryAllowed { bucket: bucket.clone(), policy, from }));
    rounds.extend((!settings.is_empty()).then_some(settings));
    Ok(rounds)
}

fn merged(origin: &Origin, facts: &Facts, bucket: &BucketName, existing: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(region) = &facts.region else { return Ok(None) };
    policy::merge(existing, bucket, origin.stack.partition, &origin.stack.account, region)
        .map_err(|why| Failure::new(Code::BucketPolicyUnmergeable, why.to_string()))
}

fn describe_nothing(attributes: &mut Attributes, origin: &Origin, export: &Export) {
    // A policy needs a legal ARN even where there is nothing to read; no bucket can have this name for long enough to
    // matter, because the policy also demands that it be this account's.
    let bucket = format!("arn:{}:s3:::{}-{}-none", origin.stack.partition, export.prefix, origin.stack.account);
    readable(attributes, bucket, format!("{DATA_ROOT}*"));
    attributes.insert("Backfill", if export.backfill { "not possible: there is no export" } else { "" }.to_owned());
}

fn describe(
    attributes: &mut Attributes,
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    report: &Report,
    source: &str,
    created_at: &str,
) {
    let partition = origin.stack.partition;
    let home = facts.region.as_ref().unwrap_or(&origin.stack.region);
    let bucket_arn = BucketName::existing(&report.bucket).arn(partition);
    // The report's own keys and no other's. Its name and prefix may hold `*`, which IAM would read as a pattern.
    let keys = format!("{}/{}/", report.prefix, report.name).replace('*', "${*}");
    readable(attributes, bucket_arn.clone(), format!("{keys}*"));
    let due = if report.last_delivery.is_some() { String::new() } else { first_data_due_by(created_at) };
    let backfill =
        if export.backfill { "open a case with AWS Support (Billing) and ask to backfill this report" } else { "not requested" };
    attributes.extend([
        ("Name", report.name.clone()),
        ("Arn", report.arn(partition, home, &origin.stack.account)),
        ("BucketName", report.bucket.clone()),
        ("BucketArn", bucket_arn),
        ("BucketRegion", report.region.clone()),
        ("Prefix", report.prefix.clone()),
        ("Format", if report.format == "Parquet" { "Parquet" } else { "Csv" }.to_owned()),
        ("Origin", source.to_owned()),
        ("FirstDataDueBy", due),
        ("Backfill", backfill.to_owned()),
    ]);
}

/// What a pack may grant to read: always legal in a policy, never more than one export's files.
fn readable(attributes: &mut Attributes, bucket_arn: String, keys: String) {
    attributes.insert("ReadableObjectsArn", format!("{bucket_arn}/{keys}"));
    attributes.insert("ReadableBucketArn", bucket_arn);
    attributes.insert("ReadableKeys", keys);
}

/// The id a request's resource has, so that it is known before any call: the same for success, for failure and for
/// every delivery of the event (F-1, F-2).
pub fn physical_id(origin: &Origin, asked: &Asked) -> String {
    match (asked, &origin.physical_id) {
        (Asked::Have { export, .. }, _) => export.id(origin).to_string(),
        (Asked::Remove { .. }, id) => id.clone().unwrap_or_default(),
    }
}
