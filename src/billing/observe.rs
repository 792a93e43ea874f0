//! What the account looks like: the facts that the plan is made from.
//!
//! A few rounds of calls: what does not depend on an answer is asked together.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use futures::future::join_all;

use super::{
    Existing, Export, Id, Kind, Report, Reuse, TAG_CREATED_AT, TAG_STACK, candidate::Candidate, choice::is_named,
    export::DataExport, is_marked, query::Source,
};
use crate::{
    error::{Code, Failure},
    event::{Origin, RequestType},
    lifecycle::{Fate, fate, is_made_up},
    names::{AccountId, BucketName, NamePrefix, Region},
    organization::AccountRole,
    ports::{Fault, FaultKind, Ports},
};

mod look;

use look::{Detail, Look};

/// The account, as far as one billing export is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The account.
    pub account: AccountId,
    /// The id everything is derived from.
    pub id: Id,
    /// The partition's billing Region; none where the service does not exist.
    pub region: Option<Region>,
    /// Whose bill it is.
    pub role: AccountRole,
    /// The management account of another organization that receives this organization's bill (billing transfer).
    pub bill_goes_to: Option<AccountId>,
    /// Management accounts whose bills are transferred to this one.
    pub bills_received: Vec<AccountId>,
    /// Why it is not known whether bills are transferred.
    pub transfers_hidden: Option<String>,
    /// What a member administers for its organization.
    pub administers: Vec<String>,
    /// The account's reports.
    pub reports: Listed<Report>,
    /// Its Data Exports: all that the request looks at.
    pub exports: Listed<DataExport>,
    /// What a Data Export of ours is to ask for, or why that is not known; none where none is asked for.
    pub source: Option<Result<Source, Failure>>,
    /// Set if the report or the export with our name carries our mark.
    pub ours: Option<Ours>,
    /// The bucket with our name.
    pub bucket: OwnBucket,
    /// Buckets of the customer's that could serve.
    pub candidate_buckets: BTreeMap<String, BucketSeen>,
    /// Their Regions.
    pub bucket_regions: BTreeMap<String, String>,
    /// The KMS keys that these, and the bucket with our name, encrypt with, as they name them.
    pub bucket_keys: BTreeMap<String, String>,
    /// Why the key of one of these is not known.
    pub hidden_keys: BTreeMap<String, String>,
    /// Reports, by name, and exports, by ARN, that carry another stack's mark.
    pub other_stacks: BTreeSet<String>,
    /// What a failed replacement of this resource left behind, and the rollback must remove.
    pub leftover: Option<Leftover>,
}

/// What a service has of the account, from every page; or the fault that hid it: the account may not look, or the service did not
/// answer, and the request asks for the other service's exports.
pub type Listed<T> = Result<Vec<T>, Fault>;

/// What is known of this stack's own report or export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ours {
    /// An export's ARN; a report has only its name.
    pub arn: String,
    /// [`TAG_CREATED_AT`]
    pub created_at: String,
    /// Other exports of ours with the same name: `CreateExport` knows no idempotency token, so two deliveries of one event can
    /// have made two.
    pub twins: Vec<String>,
}

/// The bucket with our name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnBucket {
    /// There is none.
    Absent,
    /// It carries our mark; its policy is the text S3 holds.
    Marked {
        /// The bucket policy.
        policy: Option<String>,
        /// Something is in it, if only the object that the report service tests a bucket with: so it was wholly set up,
        /// because the report is made last. Looked at only where there is no report of ours.
        in_use: bool,
    },
    /// It is there and does not carry our mark.
    Unmarked,
    /// S3 denies looking: another account's (a squatted name), or the role lost a permission. Never touched.
    Hidden(Fault),
}

/// The bucket of a reuse candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketSeen {
    /// In this account, where the report says it is.
    Here,
    /// Gone.
    Absent,
    /// Another account's, or not visible, and why.
    Hidden(String),
}

/// Things of this stack under an id that was never answered with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The id.
    pub id: Id,
    /// What is left under it.
    pub remains: Remains,
}

/// What is there to be removed, and may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// The report with the id's name carries our mark.
    pub report: bool,
    /// The exports with the id's name that carry our mark, by ARN.
    pub exports: Vec<String>,
    /// The bucket with the id's name carries our mark.
    pub bucket: bool,
}

/// What one id owns in the account.
struct Owned {
    report: Option<Ours>,
    bucket: OwnBucket,
    /// The report was listed, and is gone.
    gone: bool,
}

/// Which questions a request needs answers to.
struct Questions {
    reports: bool,
    exports: bool,
    /// Whether what others own is looked at.
    others: bool,
    tables: bool,
    own_bucket: bool,
    existing_bucket: Option<BucketName>,
}

impl Questions {
    fn of(export: &Export, region: Option<&Region>, leftover: Option<&Id>) -> Self {
        let here = region.is_some();
        let delivers = here && export.kind != Kind::None;
        let (named, existing_bucket) = match &export.existing {
            Some(Existing::Named(_)) => (true, None),
            Some(Existing::Bucket { bucket, .. }) => (false, Some(bucket.clone())),
            None => (false, None),
        };
        let makes = delivers && export.existing.is_none();
        let others = delivers && (named || (makes && export.reuse == Reuse::WhenSuitable));
        let left = |data_export: bool| leftover.is_some_and(|id| id.kind().is_data_export() == data_export);
        Self {
            reports: here && (others || (makes && !export.kind.is_data_export()) || left(false)),
            exports: here && (others || (makes && export.kind.is_data_export()) || left(true)),
            others,
            tables: makes && export.kind.is_data_export(),
            own_bucket: makes,
            existing_bucket,
        }
    }
}

/// A question that is asked only if its answer matters.
async fn ask<T: Default>(asked: bool, question: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    if asked { question.await } else { Ok(T::default()) }
}

/// Reads the account for a Create or an Update.
///
/// # Errors
/// What AWS refused or could not answer, after all tries.
pub async fn observe(origin: &Origin, export: &Export, before: Option<&Export>, ports: &Ports<'_>) -> Result<Facts, Failure> {
    let id = export.id(origin);
    let region = origin.stack.partition.billing_region();
    // The organization is asked everywhere: the vendor wants to know the account's place even without an export.
    let home = region.clone().unwrap_or_else(|| origin.stack.region.clone());
    let look = Look { origin, owner: &origin.stack.account, aws: &*ports.cloud.at(&home), ports };
    let left_behind = left_behind(origin, &id, before);
    let questions = Questions::of(export, region.as_ref(), left_behind.as_ref());
    let bucket = own_bucket(origin, &id)?;
    let (role, reports, listed, tables, exists) = tokio::join!(
        look.role(),
        ask(questions.reports, look.patiently(|| look.aws.describe_reports())),
        ask(questions.exports, look.patiently(|| look.aws.list_exports())),
        ask(questions.tables, look.patiently(|| look.aws.list_tables())),
        ask(questions.own_bucket, look.patiently(|| look.aws.bucket_exists(&bucket, look.owner))),
    );
    let role = role?;
    let reports = seen(reports, !export.kind.is_data_export())?;
    let names: BTreeSet<String> = left_behind.iter().chain([&id]).map(|id| id.report().as_str().to_owned()).collect();
    let listed = listed
        .map(|listed| listed.into_iter().filter(|summary| questions.others || names.contains(&summary.name)).collect::<Vec<_>>());
    let (owned, details, standing) =
        tokio::join!(look.owned(&id, known(&reports), exists), look.details(listed), look.standing(&role));
    let (owned, details, standing) = (owned?, seen(details, export.kind.is_data_export())?, standing?);
    let own = look.marked(&id, known(&details));
    let ours = owned.report.or_else(|| first_of(&own));
    let candidates = if questions.others && ours.is_none() {
        let all = Candidate::all(known(&reports), known(&details).iter().map(|(export, _)| export));
        all.filter(|candidate| may_serve(candidate, export)).collect()
    } else {
        Vec::new()
    };
    let stays_on = own.first().and_then(|(export, _)| export.tables.iter().next());
    // A bucket of ours may have a key of the customer's by now.
    let own_bucket_made = matches!(owned.bucket, OwnBucket::Marked { .. }).then_some(&bucket);
    let source = async {
        if !questions.tables {
            return Ok(None);
        }
        look.source(export.kind, &tables, stays_on).await.map(Some)
    };
    let (candidates, source, leftover) = tokio::join!(
        look.candidates(&candidates, questions.existing_bucket.as_ref(), own_bucket_made),
        source,
        look.left(left_behind, known(&reports), known(&details)),
    );
    let (mut candidates, leftover) = (candidates?, leftover?);
    let others = known(&details).iter().filter(|(_, tags)| tags.contains_key(TAG_STACK) && !is_marked(tags, origin));
    candidates.other_stacks.extend(others.map(|(export, _)| export.arn.clone()));
    let mut facts = Facts {
        account: look.owner.clone(),
        region,
        role,
        bill_goes_to: standing.bill_goes_to,
        bills_received: standing.bills_received,
        transfers_hidden: standing.transfers_hidden,
        administers: standing.administers,
        source: source?,
        ours,
        bucket: owned.bucket,
        candidate_buckets: candidates.buckets,
        bucket_regions: candidates.regions,
        bucket_keys: candidates.keys,
        hidden_keys: candidates.hidden_keys,
        other_stacks: candidates.other_stacks,
        leftover,
        reports,
        exports: details.map(|details| details.into_iter().map(|(export, _)| export).collect()),
        id,
    };
    if let Ok(reports) = &mut facts.reports {
        // Removed since they were listed, such as by another stack that goes: nothing to choose.
        let own = facts.id.report();
        reports.retain(|report| !(candidates.gone.contains(&report.name) || (owned.gone && report.name == own.as_str())));
    }
    // A bucket that is marked and empty, without its report, may be one that was only half made.
    if let (None, OwnBucket::Marked { in_use, .. }) = (&facts.ours, &mut facts.bucket) {
        *in_use = match look.patiently(|| look.aws.list_versions(&bucket, look.owner, "", 1)).await {
            Ok(first) => !first.is_empty(),
            Err(fault) if fault.kind == FaultKind::Missing => false,
            Err(fault) => return Err(fault.into()),
        };
    }
    Ok(facts)
}

/// What a service answered, as a fact about the account: a denial is one, and so is that the service whose exports are not
/// asked for does not answer.
fn seen<T>(answer: Result<T, Fault>, asked_for: bool) -> Result<Result<T, Fault>, Failure> {
    match answer {
        Err(fault) if asked_for && !fault.is_denial() => Err(fault.into()),
        answer => Ok(answer),
    }
}

/// What is known, be it nothing.
pub(super) fn known<T>(listed: &Listed<T>) -> &[T] {
    listed.as_deref().unwrap_or_default()
}

/// Whether a candidate is worth a look at its bucket.
fn may_serve(candidate: &Candidate, export: &Export) -> bool {
    match &export.existing {
        Some(Existing::Named(named)) => is_named(candidate, named),
        _ => candidate.shortcomings(export).is_empty() && candidate.ailment().is_none(),
    }
}

fn first_of(own: &[&Detail]) -> Option<Ours> {
    let ((first, tags), twins) = own.split_first()?;
    Some(Ours {
        arn: first.arn.clone(),
        created_at: tags.get(TAG_CREATED_AT).cloned().unwrap_or_default(),
        twins: twins.iter().map(|(twin, _)| twin.arn.clone()).collect(),
    })
}

/// The ids whose things a Delete is to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doomed {
    /// The ids.
    pub ids: Vec<Id>,
    /// What the reader of the stack event should know about others.
    pub remark: Option<String>,
}

/// Asks CloudFormation how far a Delete reaches. While the whole resource goes, that is every id it can ever have had:
/// also one that was never answered (F-34), and one whose clean-up failed three times (HW-L9). Else it is the id that the
/// Delete names and no other, and not even that if the stack still has it (HW-L8).
///
/// # Errors
/// [`Code::RequestOutdated`], and outages: nothing is removed on a guess.
pub async fn doomed(origin: &Origin, prefix: Option<&NamePrefix>, ports: &Ports<'_>) -> Result<Doomed, Failure> {
    let physical_id = origin.physical_id.as_deref().unwrap_or_default();
    let own = Id::recognise(origin, physical_id);
    // Another resource's id, or that of a request which could not even be read: nothing was made (HW-L6).
    if own.is_none() && !is_made_up(physical_id) {
        return Ok(Doomed::default());
    }
    let fate = match fate(origin, physical_id, ports).await {
        Ok(fate) => fate,
        // A role that may not ask must not keep the stack from going.
        Err(fault) if fault.is_denial() => {
            let remark = format!("only what the request itself names was looked for: {fault}");
            return Ok(Doomed { ids: own.into_iter().collect(), remark: Some(remark) });
        }
        Err(fault) => return Err(fault.into()),
    };
    let ids: Vec<Id> = match (fate, prefix.or(own.as_ref().map(Id::prefix))) {
        (Fate::Live, _) => {
            let cause = format!("the stack has `{physical_id}` and is not removing it, so this Delete is an old one");
            return Err(Failure::new(Code::RequestOutdated, cause));
        }
        (Fate::Going, Some(prefix)) => Id::all(origin, prefix).collect(),
        _ => own.into_iter().collect(),
    };
    Ok(Doomed { ids, remark: None })
}

/// What a Delete finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What each id owns.
    pub remains: Vec<(Id, Remains)>,
    /// What the reader of the stack event should know.
    pub remarks: Vec<String>,
}

/// Reads what each id owns, for a Delete. A service that none of the `sure` kinds needs, and that does not answer, does not keep
/// the stack from going: Data Exports is not in every partition.
///
/// # Errors
/// What AWS refused or could not answer, after all tries.
pub async fn observe_removal(origin: &Origin, mut ids: Vec<Id>, sure: &[Kind], ports: &Ports<'_>) -> Result<Found, Failure> {
    // Of that kind nothing is ever made.
    ids.retain(|id| id.kind() != Kind::None);
    let Some(region) = origin.stack.partition.billing_region().filter(|_| !ids.is_empty()) else {
        return Ok(Found::default());
    };
    let look = Look { origin, owner: &origin.stack.account, aws: &*ports.cloud.at(&region), ports };
    let buckets: Vec<BucketName> = ids.iter().map(|id| own_bucket(origin, id)).collect::<Result<_, _>>()?;
    let (aws, owner) = (look.aws, look.owner);
    let exists = |bucket| look.patiently(move || aws.bucket_exists(bucket, owner));
    let exist = join_all(buckets.iter().map(exists));
    let any = |data_export: bool| ids.iter().any(|id| id.kind().is_data_export() == data_export);
    let (reports, listed, exist) = tokio::join!(
        ask(any(false), look.patiently(|| aws.describe_reports())),
        ask(any(true), look.patiently(|| aws.list_exports())),
        exist
    );
    let mut remarks = Vec::new();
    let mut needed = |data_export: bool, fault: Fault| {
        let of_it = ids.iter().zip(&exist).filter(|(id, _)| id.kind().is_data_export() == data_export);
        // A report or an export is made after its bucket: where no bucket is, none was made.
        let none_made = of_it.into_iter().all(|(_, exists)| matches!(exists, Ok(false)));
        let is_sure = sure.iter().any(|kind| *kind != Kind::None && kind.is_data_export() == data_export);
        // Where one is, something of ours may go on delivering. A denial may last for ever, an outage passes.
        let is_needed = !none_made || (is_sure && !fault.is_denial());
        if is_needed {
            return Err(Failure::from(fault));
        }
        remarks.push(format!("not looked for where nothing can be: {fault}"));
        Ok(())
    };
    let reports = match reports {
        Ok(reports) => reports,
        Err(fault) => needed(false, fault).map(|()| Vec::new())?,
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(fault) => needed(true, fault).map(|()| Vec::new())?,
    };
    let names: BTreeSet<String> = ids.iter().map(|id| id.report().as_str().to_owned()).collect();
    let tagged = look.tags_of_exports(listed.into_iter().filter(|summary| names.contains(&summary.name))).await?;
    let all = ids.into_iter().zip(exist).map(|(id, exists)| {
        let (reports, tagged) = (&reports, &tagged);
        async move {
            let own = tagged.iter().filter(|(summary, tags)| look.is_own(&id, &summary.name, tags));
            let exports = own.map(|(summary, _)| summary.arn.clone()).collect();
            let remains = remains(look.owned(&id, reports, exists).await?, exports)?;
            Ok::<_, Failure>((id, remains))
        }
    });
    let remains = join_all(all).await.into_iter().collect::<Result<_, _>>()?;
    Ok(Found { remains, remarks })
}

/// What there is to remove. A bucket that may not be looked at is another account's, as far as anyone can tell, and so
/// does not keep the stack from going; but beside a report of ours it is ours, and leaving it silently would lose it.
fn remains(owned: Owned, exports: Vec<String>) -> Result<Remains, Failure> {
    let report = owned.report.is_some();
    let bucket = match owned.bucket {
        OwnBucket::Hidden(fault) if report || !exports.is_empty() => return Err(fault.into()),
        OwnBucket::Hidden(_) | OwnBucket::Absent | OwnBucket::Unmarked => false,
        OwnBucket::Marked { .. } => true,
    };
    Ok(Remains { report, exports, bucket })
}

/// The id under which a rolled-back replacement may have left things (HW-L4): the Update's own is the one CloudFormation
/// knows, and the properties it comes from made another one. In a replacement that goes forward the two differ, and
/// CloudFormation deletes the old id itself.
fn left_behind(origin: &Origin, id: &Id, before: Option<&Export>) -> Option<Id> {
    let in_place = origin.request_type == RequestType::Update && origin.physical_id.as_deref() == Some(&id.to_string());
    let other = before?.id(origin);
    (in_place && other != *id && other.kind() != Kind::None && other.prefix() == id.prefix()).then_some(other)
}

/// The bucket of an id, which its checked prefix always makes legal.
pub(super) fn own_bucket(origin: &Origin, id: &Id) -> Result<BucketName, Failure> {
    id.bucket(&origin.stack.account).map_err(|why| Failure::new(Code::Internal, why.to_string()))
}
