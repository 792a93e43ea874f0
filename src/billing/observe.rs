//! What the account looks like: the facts that the plan is made from.
//!
//! Two rounds of calls at most: what does not depend on an answer is asked together.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join_all};

use super::{Export, Id, Kind, Report, Reuse, TAG_CREATED_AT, TAG_STACK, Tags, choice, is_marked};
use crate::{
    error::{Code, Failure},
    event::{Origin, RequestType},
    execute::patiently,
    lifecycle::{Fate, fate, is_current, is_made_up},
    names::{BucketName, NamePrefix, Region, ReportName},
    organization::AccountRole,
    ports::{Aws, Fault, FaultKind, Ports},
};

/// The account, as far as one billing export is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The id everything is derived from.
    pub id: Id,
    /// The partition's billing Region; none where the service does not exist.
    pub region: Option<Region>,
    /// Whose bill it is.
    pub role: AccountRole,
    /// The account's reports.
    pub reports: Reports,
    /// Set if the report with our name carries our mark.
    pub ours: Option<Ours>,
    /// The bucket with our name.
    pub bucket: OwnBucket,
    /// Buckets of the customer's reports that could serve.
    pub candidate_buckets: BTreeMap<String, BucketSeen>,
    /// Reports that carry another stack's mark.
    pub other_stacks: BTreeSet<String>,
    /// What a failed replacement of this resource left behind, and the rollback must remove.
    pub leftover: Option<Leftover>,
}

/// The account's reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reports {
    /// All of them, from every page.
    Seen(Vec<Report>),
    /// The account may not look.
    Denied(Fault),
}

/// What is known of this stack's own report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// [`TAG_CREATED_AT`]
    pub created_at: String,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remains {
    /// The report with the id's name carries our mark.
    pub report: bool,
    /// The bucket with the id's name carries our mark.
    pub bucket: bool,
}

/// What one id owns in the account.
struct Owned {
    ours: Option<Ours>,
    bucket: OwnBucket,
    /// The report was listed, and is gone.
    gone: bool,
}

/// Reads the account for a Create or an Update.
///
/// # Errors
/// What AWS refused or could not answer, after all tries.
pub async fn observe(origin: &Origin, export: &Export, before: Option<&Export>, ports: &Ports<'_>) -> Result<Facts, Failure> {
    let id = export.id(origin);
    let region = origin.stack.partition.billing_region();
    let mut facts = Facts {
        id: id.clone(),
        region: region.clone(),
        role: AccountRole::Standalone,
        reports: Reports::Seen(Vec::new()),
        ours: None,
        bucket: OwnBucket::Absent,
        candidate_buckets: BTreeMap::new(),
        other_stacks: BTreeSet::new(),
        leftover: None,
    };
    // The organization is asked everywhere: the vendor wants to know the account's place even without an export.
    let home = region.clone().unwrap_or_else(|| origin.stack.region.clone());
    let aws = ports.cloud.at(&home);
    let leftover = left_behind(origin, &id, before);
    let wants_billing = region.is_some() && (export.kind != Kind::None || leftover.is_some());
    if !wants_billing {
        facts.role = role(origin, &*aws, ports).await?;
        return Ok(facts);
    }
    let bucket = own_bucket(origin, &id)?;
    let (role, reports, exists) = tokio::join!(
        role(origin, &*aws, ports),
        patiently(ports.clock, origin, || aws.describe_reports()),
        patiently(ports.clock, origin, || aws.bucket_exists(&bucket, &origin.stack.account)),
    );
    facts.role = role?;
    facts.reports = match reports {
        Ok(reports) => Reports::Seen(reports),
        Err(fault) if fault.is_denial() => Reports::Denied(fault),
        Err(fault) => return Err(fault.into()),
    };
    let seen: &[Report] = match &facts.reports {
        Reports::Seen(reports) => reports,
        Reports::Denied(_) => &[],
    };
    let owned = owned(origin, &id, seen, exists, &*aws, ports);
    let (owned, candidates, leftover) =
        tokio::join!(owned, candidates(origin, export, &id, seen, &*aws, ports), left(origin, leftover, seen, &*aws, ports));
    let (owned, candidates) = (owned?, candidates?);
    (facts.candidate_buckets, facts.other_stacks) = (candidates.buckets, candidates.other_stacks);
    facts.leftover = leftover?;
    // Removed since they were listed, such as by another stack that goes: nothing to choose.
    if let Reports::Seen(reports) = &mut facts.reports {
        let own = id.report();
        let is_gone = |name: &str| candidates.gone.contains(name) || (owned.gone && name == own.as_str());
        reports.retain(|report| !is_gone(&report.name));
    }
    (facts.ours, facts.bucket) = (owned.ours, owned.bucket);
    // A bucket that is marked and empty, without its report, may be one that was only half made.
    if let (None, OwnBucket::Marked { in_use, .. }) = (&facts.ours, &mut facts.bucket) {
        let bucket = own_bucket(origin, &id)?;
        let first = patiently(ports.clock, origin, || aws.list_versions(&bucket, &origin.stack.account, "", 1)).await;
        *in_use = match first {
            Ok(first) => !first.is_empty(),
            Err(fault) if fault.kind == FaultKind::Missing => false,
            Err(fault) => return Err(fault.into()),
        };
    }
    Ok(facts)
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

/// Reads what each id owns, for a Delete.
///
/// # Errors
/// What AWS refused or could not answer, after all tries.
pub async fn observe_removal(origin: &Origin, mut ids: Vec<Id>, ports: &Ports<'_>) -> Result<Vec<(Id, Remains)>, Failure> {
    // Of that kind nothing is ever made.
    ids.retain(|id| id.kind() != Kind::None);
    let Some(region) = origin.stack.partition.billing_region().filter(|_| !ids.is_empty()) else {
        return Ok(Vec::new());
    };
    let aws = &*ports.cloud.at(&region);
    let buckets: Vec<BucketName> = ids.iter().map(|id| own_bucket(origin, id)).collect::<Result<_, _>>()?;
    let owner = &origin.stack.account;
    let exists = |bucket| patiently(ports.clock, origin, move || aws.bucket_exists(bucket, owner));
    let exist = join_all(buckets.iter().map(exists));
    let (reports, exist) = tokio::join!(patiently(ports.clock, origin, || aws.describe_reports()), exist);
    let reports = reports?;
    let all = ids.into_iter().zip(exist).map(|(id, exists)| {
        let reports = &reports;
        async move {
            let remains = remains(owned(origin, &id, reports, exists, aws, ports).await?)?;
            Ok((id, remains))
        }
    });
    join_all(all).await.into_iter().collect()
}

/// What there is to remove. A bucket that may not be looked at is another account's, as far as anyone can tell, and so
/// does not keep the stack from going; but beside a report of ours it is ours, and leaving it silently would lose it.
fn remains(owned: Owned) -> Result<Remains, Failure> {
    let report = owned.ours.is_some();
    match owned.bucket {
        OwnBucket::Hidden(fault) if report => Err(fault.into()),
        OwnBucket::Hidden(_) | OwnBucket::Absent | OwnBucket::Unmarked => Ok(Remains { report, bucket: false }),
        OwnBucket::Marked { .. } => Ok(Remains { report, bucket: true }),
    }
}

/// The id under which a rolled-back replacement may have left things (HW-L4): the Update's own is the one CloudFormation
/// knows, and the properties it comes from made another one. In a replacement that goes forward the two differ, and
/// CloudFormation deletes the old id itself.
fn left_behind(origin: &Origin, id: &Id, before: Option<&Export>) -> Option<Id> {
    let in_place = origin.request_type == RequestType::Update && origin.physical_id.as_deref() == Some(&id.to_string());
    let other = before?.id(origin);
    (in_place && other != *id && other.kind() != Kind::None && other.prefix() == id.prefix()).then_some(other)
}

async fn left(
    origin: &Origin,
    id: Option<Id>,
    reports: &[Report],
    aws: &dyn Aws,
    ports: &Ports<'_>,
) -> Result<Option<Leftover>, Failure> {
    let Some(id) = id else { return Ok(None) };
    let bucket = own_bucket(origin, &id)?;
    let exists = aws.bucket_exists(&bucket, &origin.stack.account).await;
    let remains = remains(owned(origin, &id, reports, exists, aws, ports).await?)?;
    let is_left = remains != Remains::default() && is_current(origin, ports).await;
    Ok(is_left.then_some(Leftover { id, remains }))
}

async fn role(origin: &Origin, aws: &dyn Aws, ports: &Ports<'_>) -> Result<AccountRole, Failure> {
    let answer = patiently(ports.clock, origin, || aws.describe_organization()).await;
    Ok(AccountRole::classify(&origin.stack.account, answer)?)
}

async fn owned(
    origin: &Origin,
    id: &Id,
    reports: &[Report],
    bucket_exists: Result<bool, Fault>,
    aws: &dyn Aws,
    ports: &Ports<'_>,
) -> Result<Owned, Failure> {
    let name = id.report();
    let ours = async {
        if !reports.iter().any(|report| report.name == name.as_str()) {
            return Ok::<_, Failure>((None, false));
        }
        let Some(tags) = tags_of(origin, &name, aws, ports).await? else { return Ok((None, true)) };
        let created_at = tags.get(TAG_CREATED_AT).cloned().unwrap_or_default();
        Ok((is_marked(&tags, origin).then_some(Ours { created_at }), false))
    };
    let (ours, bucket) = tokio::join!(ours, bucket_state(origin, id, bucket_exists, aws, ports));
    let (ours, gone) = ours?;
    Ok(Owned { ours, bucket: bucket?, gone })
}

async fn bucket_state(
    origin: &Origin,
    id: &Id,
    exists: Result<bool, Fault>,
    aws: &dyn Aws,
    ports: &Ports<'_>,
) -> Result<OwnBucket, Failure> {
    let (bucket, owner) = (own_bucket(origin, id)?, &origin.stack.account);
    match exists {
        Ok(false) => return Ok(OwnBucket::Absent),
        Ok(true) => {}
        Err(fault) if fault.is_denial() => {
            return Ok(OwnBucket::Hidden(fault));
        }
        Err(fault) => return Err(fault.into()),
    }
    let (tags, policy) = tokio::join!(
        patiently(ports.clock, origin, || aws.bucket_tags(&bucket, owner)),
        patiently(ports.clock, origin, || aws.bucket_policy(&bucket, owner)),
    );
    // Removed since it was asked for.
    if tags.as_ref().is_err_and(|fault| fault.kind == FaultKind::Missing) {
        return Ok(OwnBucket::Absent);
    }
    if is_marked(&tags?, origin) { Ok(OwnBucket::Marked { policy: policy?, in_use: true }) } else { Ok(OwnBucket::Unmarked) }
}

/// What is known of the customer's reports that could serve.
#[derive(Default)]
struct Candidates {
    buckets: BTreeMap<String, BucketSeen>,
    other_stacks: BTreeSet<String>,
    gone: BTreeSet<String>,
}

async fn candidates(
    origin: &Origin,
    export: &Export,
    id: &Id,
    reports: &[Report],
    aws: &dyn Aws,
    ports: &Ports<'_>,
) -> Result<Candidates, Failure> {
    let own_exists = reports.iter().any(|report| report.name == id.report().as_str());
    if export.kind == Kind::None || export.reuse == Reuse::Never || own_exists {
        return Ok(Candidates::default());
    }
    let possible: Vec<&Report> =
        reports.iter().filter(|report| choice::suitable_by_definition(report, export.format).is_ok()).collect();
    let buckets: BTreeMap<&str, &str> = possible.iter().map(|r| (r.bucket.as_str(), r.region.as_str())).collect();
    let buckets = buckets.into_iter().map(|(bucket, region)| async move {
        let name = BucketName::existing(bucket);
        let seen = patiently(ports.clock, origin, || aws.bucket_region(&name, &origin.stack.account)).await;
        let seen = match seen {
            Ok(actual) if actual.as_str() == region => BucketSeen::Here,
            Ok(actual) => BucketSeen::Hidden(format!("it is in {actual}, the report says {region}")),
            Err(fault) => match fault.kind {
                FaultKind::Missing => BucketSeen::Absent,
                FaultKind::Throttled | FaultKind::Unavailable => return Err(Failure::from(fault)),
                _ => BucketSeen::Hidden(fault.to_string()),
            },
        };
        Ok((bucket.to_owned(), seen))
    });
    let others = possible.iter().map(|report| async move {
        let name = ReportName::existing(&report.name);
        Ok::<_, Failure>((report.name.clone(), tags_of(origin, &name, aws, ports).await?))
    });
    let (buckets, others) = tokio::join!(try_join_all(buckets), join_all(others));
    let mut candidates = Candidates { buckets: buckets?.into_iter().collect(), ..Candidates::default() };
    for other in others {
        match other? {
            (name, None) => drop(candidates.gone.insert(name)),
            (name, Some(tags)) if tags.contains_key(TAG_STACK) => drop(candidates.other_stacks.insert(name)),
            (_, Some(_)) => {}
        }
    }
    Ok(candidates)
}

/// A report's tags; `None` if it was removed since it was listed.
async fn tags_of(origin: &Origin, name: &ReportName, aws: &dyn Aws, ports: &Ports<'_>) -> Result<Option<Tags>, Failure> {
    match patiently(ports.clock, origin, || aws.report_tags(name)).await {
        Ok(tags) => Ok(Some(tags)),
        Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

/// The bucket of an id, which its checked prefix always makes legal.
pub(super) fn own_bucket(origin: &Origin, id: &Id) -> Result<BucketName, Failure> {
    id.bucket(&origin.stack.account).map_err(|why| Failure::new(Code::Internal, why.to_string()))
}
