//! What to do about a billing export: every decision, as data. Pure.

use time::OffsetDateTime;

use crate::{
    aws::{DataExport, Tags},
    billing::{
        attributes::{account_attributes, describe, describe_bucket, describe_no_export, plain, undecryptable_reason},
        backfill::{self, Backfill, BackfillOutcome},
        candidate::Candidate,
        choice::{Selection, choose},
        definition,
        facts::{Facts, OwnBucket, OwnedResources, own_bucket},
        id::{DATA_ROOT, ExportId, prefix_of},
        ownership::{BUCKET_TAGS_MAX, EXPORT_TAGS_MAX, TAG_CREATED_AT, TagsToAdd, mark, tags_to_add},
        policy, query,
        request::{BillingRequest, Export, Format, Kind, Retention},
    },
    error::{Code, Failure},
    names::{BucketName, Region, rfc3339},
    protocol::{origin::Origin, reply::Attributes},
};

pub use super::step::{PolicyBefore, Resource, Step, UPLOAD_DAYS_MAX};

/// The settings of a new bucket, which are made together: public access, encryption, lifecycle, policy.
pub const BUCKET_SETTINGS: usize = 4;

/// What to do, and what to answer when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rounds in order; the steps within one do not depend on each other and run together.
    pub rounds: Vec<Vec<Step>>,
    /// The attributes that hold afterwards; none for a Delete.
    pub attributes: Attributes,
    /// Why this export, or why nothing is to be done.
    pub decision: String,
}

impl Plan {
    /// A remark where the stack's tags would be given to something and are not known. It is none of the decision, which is the same
    /// for the same account whether or not CloudFormation answers.
    pub fn tags_unknown(&self, facts: &Facts) -> Option<String> {
        let makes =
            |step: &Step| matches!(step, Step::EnsureBucket { .. } | Step::EnsureReport { .. } | Step::EnsureExport { .. });
        let fault = facts.stack_tags.as_ref().err()?;
        self.rounds.iter().flatten().any(makes).then(|| format!("the stack's own tags are not on what was created: {fault}"))
    }
}

/// Refuses what an Update cannot do, before anything is looked at.
///
/// The handler's role may touch names of the template's prefix only, so the clean-up Delete after a change of prefix
/// could not remove the old things. Compared with the physical id and not with the old properties, so that the
/// rollback of a refused Update is itself accepted.
///
/// # Errors
/// [`Code::PropertyImmutable`]
pub fn check_change_is_possible(origin: &Origin, export: &Export) -> Result<(), Failure> {
    let current = origin.physical_id.as_deref().and_then(|id| ExportId::from_physical_id(origin, id));
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
pub fn plan(origin: &Origin, export: &Export, facts: &Facts) -> Result<Plan, Failure> {
    let now = facts.now;
    let choice = choose(export, facts)?;
    let mut attributes = account_attributes(origin, export, facts);
    let bucket = own_bucket(origin, &facts.id)?;
    let mut rounds = Vec::new();
    let mut remarks = Vec::new();
    let made = match &choice.export {
        Selection::Nothing => {
            describe_no_export(&mut attributes, origin, export);
            None
        }
        // No step: what the customer had is never changed (HW-B5).
        Selection::Reuse(candidate) => {
            // Of a report AWS does not tell when it was made.
            let since = candidate.created_at().map_or_else(|| rfc3339(now), str::to_owned);
            describe(&mut attributes, origin, facts, candidate, "reused", &since);
            None
        }
        Selection::Bucket { bucket, prefix } => {
            describe_bucket(&mut attributes, origin, facts, bucket, prefix);
            None
        }
        Selection::Own(ours) => {
            let known = facts.ours.clone().unwrap_or_default();
            let is_remnant = known.tags.is_empty();
            let created_at = if is_remnant { rfc3339(now) } else { known.created_at().unwrap_or_default().to_owned() };
            let current = current_definition(facts, ours);
            let described = current.clone().map_or_else(|| ours.clone(), Candidate::Export);
            describe(&mut attributes, origin, facts, &described, "created", &created_at);
            let own = if is_remnant { mark_of_export(origin, &created_at) } else { mark(origin) };
            let resource = match ours {
                Candidate::Report(_) => Resource::Report(facts.id.report()),
                Candidate::Export(export) => Resource::Export(export.arn.clone()),
            };
            let tags = wanted_tags(facts, &known.tags, &own, EXPORT_TAGS_MAX, &resource, &mut remarks);
            rounds.extend(ensure_tags(resource, tags));
            match &facts.bucket {
                // Only tags and the delivery policy are mended: everything else about the bucket may have become the customer's.
                OwnBucket::Tagged { policy, tags, .. } => {
                    rounds.extend(bucket_tags(origin, facts, &bucket, tags, &mut remarks));
                    let from = PolicyBefore::Existing(policy.clone());
                    let policy = merged_policy(origin, facts, &bucket, policy.as_deref())?;
                    rounds
                        .extend(policy.map(|policy| vec![Step::EnsureDeliveryAllowed { bucket: bucket.clone(), policy, from }]));
                }
                // Without its bucket the report delivers nothing: it was deleted, or two runs crossed.
                OwnBucket::Absent | OwnBucket::Remnant { .. } | OwnBucket::Untagged | OwnBucket::Unreadable(_) => {
                    rounds.extend(bucket_rounds(origin, export, facts, &bucket, &mut remarks)?);
                }
            }
            rounds.extend(current.map(|export| vec![Step::EnsureExportCurrent(Box::new(export))]));
            rounds.extend(retire_exports(known.duplicates, &bucket));
            Some((ours.clone(), created_at))
        }
        Selection::Create => {
            let Some(region) = &facts.region else {
                return Err(Failure::new(Code::Internal, "an export was chosen where there is no service for it"));
            };
            let created_at = rfc3339(now);
            let own = mark_of_export(origin, &created_at);
            let resource = Resource::Report(facts.id.report());
            let tags = wanted_tags(facts, &Tags::new(), &own, EXPORT_TAGS_MAX, &resource, &mut remarks);
            let (candidate, step) = if export.kind.is_data_export() {
                let wanted = wanted_export(origin, export, facts, &bucket, region)?;
                remarks.extend(columns_missing(export, facts));
                (Candidate::Export(wanted.clone()), Step::EnsureExport { export: Box::new(wanted), tags })
            } else {
                let report =
                    definition::report(&facts.id, (export.format, export.versioning), &bucket, region, &origin.request_id);
                (Candidate::Report(report.clone()), Step::EnsureReport { report: Box::new(report), tags })
            };
            rounds = bucket_rounds(origin, export, facts, &bucket, &mut remarks)?;
            describe(&mut attributes, origin, facts, &candidate, "created", &created_at);
            rounds.push(vec![step]);
            Some((candidate, created_at))
        }
    };
    let (backfill, step) = backfill_step(origin, export, &choice.export, made, now);
    attributes.insert("Backfill", backfill);
    rounds.extend(step.map(|step| vec![step]));
    remarks.extend(undecryptable_reason(facts, &attributes));
    let decision = std::iter::once(choice.decision).chain(remarks).collect::<Vec<_>>().join("; ");
    // Names of the customer's reports are in it.
    let decision = plain(&decision);
    attributes.insert("Decision", decision.clone());
    if let Some(leftover) = &facts.leftover {
        rounds.extend(removal_rounds(origin, &leftover.id, export.retention, &leftover.remains)?);
    }
    Ok(Plan { rounds, attributes, decision })
}

/// The Data Export that Hawser makes: every column that the table has, in the asked format.
///
/// The S3 prefix differs by request, as a report's does.
fn wanted_export(
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    bucket: &BucketName,
    region: &Region,
) -> Result<DataExport, Failure> {
    let source = match &facts.source {
        Some(Ok(source)) => source,
        Some(Err(failure)) => return Err(failure.clone()),
        None => return Err(Failure::new(Code::Internal, "an export was chosen whose table was not looked at")),
    };
    let (query, tables) = source.definition()?;
    let (format, compression) = match export.format {
        Format::Parquet => ("PARQUET", "PARQUET"),
        Format::Csv => ("TEXT_OR_CSV", "GZIP"),
    };
    Ok(DataExport {
        name: facts.id.report().as_str().to_owned(),
        description: format!("Made by stack {}", origin.stack.name()),
        query,
        tables,
        bucket: bucket.as_str().to_owned(),
        prefix: prefix_of(&origin.request_id),
        region: region.as_str().to_owned(),
        output_type: "CUSTOM".to_owned(),
        format: format.to_owned(),
        compression: compression.to_owned(),
        overwrite: export.versioning.in_aws().to_owned(),
        ..DataExport::default()
    })
}

/// Our own export as its table is now, if it differs, for an update in place: the columns that AWS added since (HW-B9), and who caused
/// each cost, where that was switched (B-18).
fn current_definition(facts: &Facts, ours: &Candidate) -> Option<DataExport> {
    let (Candidate::Export(ours), Some(Ok(source))) = (ours, &facts.source) else { return None };
    let (query, asked) = source.definition().ok()?;
    let mut wanted = ours.clone();
    if !query::same_data(&query, &ours.query) {
        wanted.query = query;
    }
    if !source.configured.is_met_by(&ours.tables) {
        // What AWS added stays: an update takes the whole definition (F-47, B-14).
        for (table, properties) in asked {
            wanted.tables.entry(table).or_default().extend(properties);
        }
    }
    (wanted != *ours).then_some(wanted)
}

/// What the vendor relies on and AWS does not offer: no failure, but said.
fn columns_missing(export: &Export, facts: &Facts) -> Option<String> {
    let Some(Ok(source)) = &facts.source else { return None };
    let mut missing = query::missing_columns(export.kind, &source.columns);
    missing.extend((export.iam_principals && !query::has_iam_principals(&source.columns)).then_some(query::IAM_PRINCIPAL_COLUMN));
    (!missing.is_empty()).then(|| format!("AWS's table has no `{}`", missing.join("`, `")))
}

/// What becomes of the wish for past months, and the step that asks for them.
fn backfill_step(
    origin: &Origin,
    export: &Export,
    chosen: &Selection,
    made: Option<(Candidate, String)>,
    now: OffsetDateTime,
) -> (String, Option<Step>) {
    let said = |text: &str| (text.to_owned(), None);
    let Some((made, created_at)) = made else {
        return match chosen {
            Selection::Reuse(candidate) if export.backfill => (not_owned(origin, candidate), None),
            Selection::Bucket { .. } if export.backfill => said("not possible: what delivers to the bucket is not known"),
            Selection::Reuse(_) | Selection::Bucket { .. } => said("not requested"),
            Selection::Nothing | Selection::Own(_) | Selection::Create => said(backfill_of_no_export(export)),
        };
    };
    if !export.backfill {
        return said("not requested");
    }
    let backfill = backfill_request(origin, &made, &created_at);
    if is_recent(&created_at, now) {
        return ("to be requested".to_owned(), Some(Step::AskForBackfill(Box::new(backfill))));
    }
    (backfill.status_text(&BackfillOutcome::Failed("the export is older than the case history of AWS Support".to_owned())), None)
}

/// The same where there is no export.
fn backfill_of_no_export(export: &Export) -> &'static str {
    if export.backfill { "not possible: there is no export" } else { "" }
}

fn backfill_request(origin: &Origin, made: &Candidate, since: &str) -> Backfill {
    let (bucket, _, prefix) = made.location();
    Backfill {
        kind: made.kind().unwrap_or(Kind::None),
        name: made.name().to_owned(),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        account: origin.stack.account.clone(),
        partition: origin.stack.partition,
        since: since.to_owned(),
    }
}

fn is_recent(created_at: &str, now: OffsetDateTime) -> bool {
    let created = OffsetDateTime::parse(created_at, &time::format_description::well_known::Rfc3339);
    created.is_ok_and(|created| now - created <= backfill::WITHIN)
}

/// A case about an export of the customer's is the customer's to open: AWS would write into its bucket (HW-B5).
fn not_owned(origin: &Origin, candidate: &Candidate) -> String {
    let backfill_request = backfill_request(origin, candidate, "");
    format!(
        "not requested, because the export is yours; to get its past months, open a case at {} and write: {}",
        backfill_request.link(),
        backfill_request.body()
    )
}

/// Plans the way back from a failed Update when the export to go back to cannot be had any more: nothing is set up, the
/// answer says why, and the stack is not stuck (HW-B7). What the failed Update left is removed all the same.
///
/// # Errors
/// None in practice.
pub fn plan_without(origin: &Origin, export: &Export, facts: &Facts, why: &Failure) -> Result<Plan, Failure> {
    let mut attributes = account_attributes(origin, export, facts);
    describe_no_export(&mut attributes, origin, export);
    attributes.insert("Backfill", backfill_of_no_export(export).to_owned());
    let decision = format!("no billing export, because the earlier one is no longer available: {}: {}", why.code, why.cause);
    let decision = plain(&decision);
    attributes.insert("Decision", decision.clone());
    let rounds = match &facts.leftover {
        Some(leftover) => removal_rounds(origin, &leftover.id, export.retention, &leftover.remains)?,
        None => Vec::new(),
    };
    Ok(Plan { rounds, attributes, decision })
}

/// Plans a Delete: only what carries our mark, only what the retention allows.
///
/// # Errors
/// None in practice.
pub fn plan_removal(origin: &Origin, remains: &[(ExportId, OwnedResources)], retention: Retention) -> Result<Plan, Failure> {
    let mut rounds = Vec::new();
    for (id, remains) in remains {
        rounds.extend(removal_rounds(origin, id, retention, remains)?);
    }
    let decision = if rounds.is_empty() { "nothing of this stack is left" } else { "what this stack created is removed" };
    Ok(Plan { rounds, attributes: Attributes::new(), decision: decision.to_owned() })
}

fn removal_rounds(
    origin: &Origin,
    id: &ExportId,
    retention: Retention,
    remains: &OwnedResources,
) -> Result<Vec<Vec<Step>>, Failure> {
    let bucket = own_bucket(origin, id)?;
    let mut rounds = Vec::new();
    if remains.report {
        rounds.push(vec![Step::RetireReport { report: id.report(), bucket: bucket.clone() }]);
    }
    rounds.extend(retire_exports(remains.exports.clone(), &bucket));
    if remains.bucket {
        if retention == Retention::Delete {
            rounds.push(vec![Step::RetireData { bucket: bucket.clone(), prefix: DATA_ROOT }]);
        }
        rounds.push(vec![Step::RetireEmptyBucket(bucket)]);
    }
    Ok(rounds)
}

fn retire_exports(arns: Vec<String>, bucket: &BucketName) -> Option<Vec<Step>> {
    let retire = |arn| Step::RetireExport { arn, bucket: bucket.clone() };
    (!arns.is_empty()).then(|| arns.into_iter().map(retire).collect())
}

/// The ownership tags of a report or an export.
fn mark_of_export(origin: &Origin, created_at: &str) -> Tags {
    let mut tags = mark(origin);
    tags.insert(TAG_CREATED_AT.to_owned(), created_at.to_owned());
    tags
}

/// The tags that a resource is to get (F-51), and a remark on those for which it has no room.
fn wanted_tags(facts: &Facts, present: &Tags, own: &Tags, most: usize, resource: &Resource, remarks: &mut Vec<String>) -> Tags {
    let none = Tags::new();
    let TagsToAdd { tags, left_out } = tags_to_add(present, own, facts.stack_tags.as_ref().unwrap_or(&none), most);
    if !left_out.is_empty() {
        let names = left_out.join("`, `");
        remarks.push(format!("{resource} may have {most} tags, so the stack's tags `{names}` are not on it"));
    }
    tags
}

fn ensure_tags(resource: Resource, tags: Tags) -> Option<Vec<Step>> {
    (!tags.is_empty()).then(|| vec![Step::EnsureTags { resource, tags }])
}

/// The tags that our bucket lacks.
fn bucket_tags(
    origin: &Origin,
    facts: &Facts,
    bucket: &BucketName,
    present: &Tags,
    remarks: &mut Vec<String>,
) -> Option<Vec<Step>> {
    let resource = Resource::Bucket(bucket.clone());
    let tags = wanted_tags(facts, present, &mark(origin), BUCKET_TAGS_MAX, &resource, remarks);
    ensure_tags(resource, tags)
}

/// The bucket and its settings, for a report that is about to be made.
fn bucket_rounds(
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    bucket: &BucketName,
    remarks: &mut Vec<String>,
) -> Result<Vec<Vec<Step>>, Failure> {
    let mut rounds = Vec::new();
    let (from, set_up) = match &facts.bucket {
        OwnBucket::Untagged => {
            let cause = format!("bucket `{bucket}` exists and does not have this stack's ownership tags");
            return Err(Failure::new(Code::BillingBucketNotOurs, cause));
        }
        OwnBucket::Unreadable(fault) if fault.is_of_this_account() => return Err(fault.clone().into()),
        OwnBucket::Unreadable(fault) => {
            let cause = format!("bucket `{bucket}` exists in another account, or may not be read: {fault}");
            return Err(Failure::explained(fault, Code::BillingBucketNotOurs, cause));
        }
        OwnBucket::Absent => {
            let resource = Resource::Bucket(bucket.clone());
            let tags = wanted_tags(facts, &Tags::new(), &mark(origin), BUCKET_TAGS_MAX, &resource, remarks);
            rounds.push(vec![Step::EnsureBucket { bucket: bucket.clone(), namespace: export.namespace, tags }]);
            (PolicyBefore::NewBucket, false)
        }
        // Marked before anything else is done to it.
        OwnBucket::Remnant { policy } => {
            rounds.extend(bucket_tags(origin, facts, bucket, &Tags::new(), remarks));
            (PolicyBefore::Existing(policy.clone()), false)
        }
        OwnBucket::Tagged { policy, in_use, tags } => {
            rounds.extend(bucket_tags(origin, facts, bucket, tags, remarks));
            (PolicyBefore::Existing(policy.clone()), *in_use)
        }
    };
    let policy = match &from {
        PolicyBefore::NewBucket => None,
        PolicyBefore::Existing(policy) => policy.as_deref(),
    };
    let mut settings = Vec::new();
    // Made once, while the bucket is new: afterwards a KMS key or a lifecycle rule may be the customer's.
    if !set_up {
        settings.push(Step::EnsurePublicAccessBlocked(bucket.clone()));
        settings.push(Step::EnsureEncryption(bucket.clone()));
        settings.push(Step::EnsureUploadsExpire(bucket.clone()));
    }
    let policy = merged_policy(origin, facts, bucket, policy)?;
    settings.extend(policy.map(|policy| Step::EnsureDeliveryAllowed { bucket: bucket.clone(), policy, from }));
    rounds.extend((!settings.is_empty()).then_some(settings));
    Ok(rounds)
}

fn merged_policy(origin: &Origin, facts: &Facts, bucket: &BucketName, existing: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(region) = &facts.region else { return Ok(None) };
    policy::merge(existing, bucket, origin.stack.partition, &origin.stack.account, region)
        .map_err(|why| Failure::new(Code::BucketPolicyUnmergeable, why.to_string()))
}

/// The id a request's resource has, so that it is known before any call: the same for success, for failure and for
/// every delivery of the event (F-1, F-2).
pub fn physical_id(origin: &Origin, asked: &BillingRequest) -> String {
    match (asked, &origin.physical_id) {
        (BillingRequest::Ensure { export, .. }, _) => export.id(origin).to_string(),
        (BillingRequest::Remove { .. }, id) => id.clone().unwrap_or_default(),
    }
}
