//! What the account looks like: the facts that the plan is made from.
//!
//! A few rounds of calls: what does not depend on an answer is asked together.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use futures::future::{join_all, try_join_all};
use tracing::info;

use super::{
    Existing, Export, Id, Kind, Report, Reuse, TAG_CREATED_AT, TAG_STACK, Tags,
    candidate::Candidate,
    choice::is_named,
    export::{DataExport, ExportSummary, Table},
    is_marked,
    query::{self, Source},
};
use crate::{
    error::{Code, Failure},
    event::{Origin, RequestType},
    execute::patiently,
    lifecycle::{Fate, fate, is_current, is_made_up},
    names::{AccountId, BucketName, NamePrefix, Region, ReportName},
    organization::AccountRole,
    ports::{Aws, BillingTransfer, Direction, Fault, FaultKind, Ports},
};

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
    /// What a member administers for its organization.
    pub administers: Vec<String>,
    /// The account's reports.
    pub reports: Reports,
    /// Its Data Exports: all that the request looks at.
    pub exports: Exports,
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
    /// The KMS keys that these encrypt with, as they name them.
    pub bucket_keys: BTreeMap<String, String>,
    /// Reports, by name, and exports, by ARN, that carry another stack's mark.
    pub other_stacks: BTreeSet<String>,
    /// What a failed replacement of this resource left behind, and the rollback must remove.
    pub leftover: Option<Leftover>,
}

/// The account's reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reports {
    /// All of them, from every page.
    Seen(Vec<Report>),
    /// The account may not look; or the service did not answer, and the request asks for the other service's exports.
    Denied(Fault),
}

/// The account's Data Exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exports {
    /// All that the request looks at, from every page.
    Seen(Vec<DataExport>),
    /// The account may not look; or the service did not answer, and the request asks for the other service's reports.
    Unseen(Fault),
}

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
    let (owned, details) = (owned?, seen(details, export.kind.is_data_export())?);
    let own = look.marked(&id, known(&details));
    let ours = owned.report.or_else(|| first_of(&own));
    let candidates = if questions.others && ours.is_none() {
        let all = known(&reports).iter().cloned().map(Candidate::Report);
        let all = all.chain(known(&details).iter().map(|(export, _)| Candidate::Export(export.clone())));
        all.filter(|candidate| may_serve(candidate, export)).collect()
    } else {
        Vec::new()
    };
    let stays_on = own.first().and_then(|(export, _)| export.tables.iter().next());
    let (candidates, source, leftover) = tokio::join!(
        look.candidates(&candidates, questions.existing_bucket.as_ref()),
        look.source(export, &tables, stays_on),
        look.left(left_behind, known(&reports), known(&details)),
    );
    let (candidates, leftover) = (candidates?, leftover?);
    let mut facts = Facts {
        account: look.owner.clone(),
        region,
        role,
        bill_goes_to: standing.bill_goes_to,
        bills_received: standing.bills_received,
        administers: standing.administers,
        source: source?,
        ours,
        bucket: owned.bucket,
        candidate_buckets: candidates.buckets,
        bucket_regions: candidates.regions,
        bucket_keys: candidates.keys,
        other_stacks: candidates.other_stacks,
        leftover,
        exports: match &details {
            Ok(details) => Exports::Seen(details.iter().map(|(export, _)| export.clone()).collect()),
            Err(fault) => Exports::Unseen(fault.clone()),
        },
        reports: match reports {
            // Removed since they were listed, such as by another stack that goes: nothing to choose.
            Ok(mut reports) => {
                let own = id.report();
                reports.retain(|report| !(candidates.gone.contains(&report.name) || (owned.gone && report.name == own.as_str())));
                Reports::Seen(reports)
            }
            Err(fault) => Reports::Denied(fault),
        },
        id,
    };
    let others = known(&details).iter().filter(|(_, tags)| tags.contains_key(TAG_STACK) && !is_marked(tags, origin));
    facts.other_stacks.extend(others.map(|(export, _)| export.arn.clone()));
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

fn known<T>(seen: &Result<Vec<T>, Fault>) -> &[T] {
    seen.as_deref().unwrap_or_default()
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
        if sure.iter().any(|kind| *kind != Kind::None && kind.is_data_export() == data_export) {
            return Err(Failure::from(fault));
        }
        remarks.push(format!("not looked for in the other service: {fault}"));
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
            let exports = look.marked_summaries(&id, tagged);
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

/// An export with its tags.
type Detail = (DataExport, Tags);

/// What is known of the account's place beside its role.
#[derive(Default)]
struct Standing {
    bill_goes_to: Option<AccountId>,
    bills_received: Vec<AccountId>,
    administers: Vec<String>,
}

/// What is known of the customer's exports that could serve.
#[derive(Default)]
struct Candidates {
    buckets: BTreeMap<String, BucketSeen>,
    regions: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    other_stacks: BTreeSet<String>,
    gone: BTreeSet<String>,
}

/// A bucket of the customer's.
struct Place {
    seen: BucketSeen,
    region: Option<Region>,
    /// The KMS key it encrypts with, as it names it.
    key: Option<String>,
}

/// One look at an account.
#[derive(Clone, Copy)]
struct Look<'a> {
    origin: &'a Origin,
    owner: &'a AccountId,
    aws: &'a dyn Aws,
    ports: &'a Ports<'a>,
}

impl Look<'_> {
    async fn patiently<T, F, Fut>(&self, call: F) -> Result<T, Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        patiently(self.ports.clock, self.origin, call).await
    }

    async fn role(&self) -> Result<AccountRole, Failure> {
        let answer = self.patiently(|| self.aws.describe_organization()).await;
        Ok(AccountRole::classify(self.owner, answer)?)
    }

    /// Refines the role. No answer is no failure: most accounts may not ask, and nothing is decided by silence.
    async fn standing(&self, role: &AccountRole) -> Standing {
        let unknown = |fault: Fault| info!(action = fault.action, code = fault.code, "not known");
        match role {
            AccountRole::Management(_) => {
                let (outbound, inbound) =
                    tokio::join!(self.aws.billing_transfers(Direction::Outbound), self.aws.billing_transfers(Direction::Inbound));
                let now = self.ports.clock.now();
                let in_force = |transfers: Result<Vec<BillingTransfer>, Fault>| {
                    let transfers = transfers.map_err(unknown).unwrap_or_default().into_iter();
                    transfers.filter(move |transfer| transfer.is_in_force(now)).filter_map(|transfer| transfer.other)
                };
                Standing {
                    bill_goes_to: in_force(outbound).next(),
                    bills_received: in_force(inbound).collect(),
                    ..Standing::default()
                }
            }
            AccountRole::Member(_) => {
                let administers = self.aws.delegated_services(self.owner).await.map_err(unknown).unwrap_or_default();
                Standing { administers, ..Standing::default() }
            }
            AccountRole::Standalone | AccountRole::Unknown(_) => Standing::default(),
        }
    }

    async fn details(&self, listed: Result<Vec<ExportSummary>, Fault>) -> Result<Vec<Detail>, Fault> {
        let aws = self.aws;
        let detail = |summary: ExportSummary| async move {
            let (export, tags) =
                tokio::join!(self.patiently(|| aws.get_export(&summary.arn)), self.patiently(|| aws.export_tags(&summary.arn)));
            match (export, tags) {
                (Ok(export), Ok(tags)) => Ok(Some((export, tags))),
                // Removed since it was listed.
                (Err(fault), _) | (_, Err(fault)) if fault.kind == FaultKind::Missing => Ok(None),
                (Err(fault), _) | (_, Err(fault)) => Err(fault),
            }
        };
        let details = join_all(listed?.into_iter().map(detail)).await;
        details.into_iter().filter_map(Result::transpose).collect()
    }

    async fn tags_of_exports(&self, exports: impl Iterator<Item = ExportSummary>) -> Result<Vec<(ExportSummary, Tags)>, Failure> {
        let aws = self.aws;
        let tags = |summary: ExportSummary| async move {
            match self.patiently(|| aws.export_tags(&summary.arn)).await {
                Ok(tags) => Ok(Some((summary, tags))),
                Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
                Err(fault) => Err(Failure::from(fault)),
            }
        };
        join_all(exports.map(tags)).await.into_iter().filter_map(Result::transpose).collect()
    }

    /// This resource's exports under an id, the oldest first, so that every run keeps the same one.
    fn marked<'a>(&self, id: &Id, details: &'a [Detail]) -> Vec<&'a Detail> {
        let name = id.report();
        let mut marked: Vec<&Detail> =
            details.iter().filter(|(export, tags)| export.name == name.as_str() && is_marked(tags, self.origin)).collect();
        marked.sort_by_key(|(export, _)| (&export.status.created_at, &export.arn));
        marked
    }

    fn marked_summaries(&self, id: &Id, tagged: &[(ExportSummary, Tags)]) -> Vec<String> {
        let name = id.report();
        let marked = tagged.iter().filter(|(summary, tags)| summary.name == name.as_str() && is_marked(tags, self.origin));
        marked.map(|(summary, _)| summary.arn.clone()).collect()
    }

    /// What a Data Export asks for: the table in its most granular form, with the columns it has then. Whoever may not look
    /// hears of it only if an export is to be made.
    async fn source(
        &self,
        export: &Export,
        tables: &Result<Vec<Table>, Fault>,
        stay: Option<(&String, &BTreeMap<String, String>)>,
    ) -> Result<Option<Result<Source, Failure>>, Failure> {
        if !export.kind.is_data_export() || export.existing.is_some() || self.origin.stack.partition.billing_region().is_none() {
            return Ok(None);
        }
        let denied = |fault: Fault| if fault.is_denial() { Ok(Some(Err(fault.into()))) } else { Err(fault.into()) };
        let tables = match tables {
            Ok(tables) => tables,
            Err(fault) => return denied(fault.clone()),
        };
        let configured = match query::configure(export.kind, tables, stay) {
            Ok(configured) => configured,
            Err(failure) => return Ok(Some(Err(failure))),
        };
        match self.patiently(|| self.aws.table_columns(&configured.table, &configured.properties)).await {
            Ok(columns) => Ok(Some(Ok(Source { configured, columns }))),
            Err(fault) => denied(fault),
        }
    }

    async fn left(&self, id: Option<Id>, reports: &[Report], details: &[Detail]) -> Result<Option<Leftover>, Failure> {
        let Some(id) = id else { return Ok(None) };
        let bucket = own_bucket(self.origin, &id)?;
        let exists = self.aws.bucket_exists(&bucket, self.owner).await;
        let exports = self.marked(&id, details).into_iter().map(|(export, _)| export.arn.clone()).collect();
        let remains = remains(self.owned(&id, reports, exists).await?, exports)?;
        let is_left = remains != Remains::default() && is_current(self.origin, self.ports).await;
        Ok(is_left.then_some(Leftover { id, remains }))
    }

    async fn owned(&self, id: &Id, reports: &[Report], bucket_exists: Result<bool, Fault>) -> Result<Owned, Failure> {
        let name = id.report();
        let ours = async {
            if id.kind().is_data_export() || !reports.iter().any(|report| report.name == name.as_str()) {
                return Ok::<_, Failure>((None, false));
            }
            let Some(tags) = self.tags_of(&name).await? else { return Ok((None, true)) };
            let created_at = tags.get(TAG_CREATED_AT).cloned().unwrap_or_default();
            Ok((is_marked(&tags, self.origin).then_some(Ours { created_at, ..Ours::default() }), false))
        };
        let (ours, bucket) = tokio::join!(ours, self.bucket_state(id, bucket_exists));
        let (report, gone) = ours?;
        Ok(Owned { report, bucket: bucket?, gone })
    }

    async fn bucket_state(&self, id: &Id, exists: Result<bool, Fault>) -> Result<OwnBucket, Failure> {
        let bucket = own_bucket(self.origin, id)?;
        match exists {
            Ok(false) => return Ok(OwnBucket::Absent),
            Ok(true) => {}
            Err(fault) if fault.is_denial() => {
                return Ok(OwnBucket::Hidden(fault));
            }
            Err(fault) => return Err(fault.into()),
        }
        let (tags, policy) = tokio::join!(
            self.patiently(|| self.aws.bucket_tags(&bucket, self.owner)),
            self.patiently(|| self.aws.bucket_policy(&bucket, self.owner)),
        );
        // Removed since it was asked for.
        if tags.as_ref().is_err_and(|fault| fault.kind == FaultKind::Missing) {
            return Ok(OwnBucket::Absent);
        }
        if is_marked(&tags?, self.origin) {
            Ok(OwnBucket::Marked { policy: policy?, in_use: true })
        } else {
            Ok(OwnBucket::Unmarked)
        }
    }

    /// Where the customer's exports deliver to, with which key, and whose the reports are.
    async fn candidates(&self, possible: &[Candidate], existing: Option<&BucketName>) -> Result<Candidates, Failure> {
        let mut places: BTreeMap<&str, Option<&str>> =
            possible.iter().map(|candidate| (candidate.place().0, Some(candidate.place().1))).collect();
        places.extend(existing.map(|bucket| (bucket.as_str(), None)));
        let places = places.into_iter().map(|(bucket, region)| async move {
            Ok::<_, Failure>((bucket.to_owned(), self.place(&BucketName::existing(bucket), region).await?))
        });
        let reports = possible.iter().filter(|candidate| matches!(candidate, Candidate::Report(_)));
        let others = reports.map(|report| async move {
            let name = ReportName::existing(report.name());
            Ok::<_, Failure>((report.name().to_owned(), self.tags_of(&name).await?))
        });
        let (places, others) = tokio::join!(try_join_all(places), join_all(others));
        let mut candidates = Candidates::default();
        for (bucket, Place { seen, region, key }) in places? {
            candidates.keys.extend(key.map(|key| (bucket.clone(), key)));
            candidates.regions.extend(region.map(|region| (bucket.clone(), region.as_str().to_owned())));
            candidates.buckets.insert(bucket, seen);
        }
        for other in others {
            match other? {
                (name, None) => drop(candidates.gone.insert(name)),
                (name, Some(tags)) if tags.contains_key(TAG_STACK) => drop(candidates.other_stacks.insert(name)),
                (_, Some(_)) => {}
            }
        }
        Ok(candidates)
    }

    /// Whether a bucket is where its report says, and the key it encrypts with.
    async fn place(&self, bucket: &BucketName, region: Option<&str>) -> Result<Place, Failure> {
        let (location, key) = tokio::join!(
            self.patiently(|| self.aws.bucket_region(bucket, self.owner)),
            self.patiently(|| self.aws.bucket_key(bucket, self.owner)),
        );
        let actual = location.as_ref().ok().cloned();
        let seen = match location {
            Ok(actual) if region.is_none_or(|region| actual.as_str() == region) => BucketSeen::Here,
            Ok(actual) => BucketSeen::Hidden(format!("it is in {actual}, the report says {}", region.unwrap_or_default())),
            Err(fault) => match fault.kind {
                FaultKind::Missing => BucketSeen::Absent,
                FaultKind::Throttled | FaultKind::Unavailable => return Err(Failure::from(fault)),
                _ => BucketSeen::Hidden(fault.to_string()),
            },
        };
        let key = match key {
            Ok(key) => key,
            Err(fault) if seen != BucketSeen::Here || fault.is_denial() => {
                info!(action = fault.action, code = fault.code, "the bucket's key is not known");
                None
            }
            Err(fault) => return Err(fault.into()),
        };
        Ok(Place { seen, region: actual, key })
    }

    /// A report's tags; `None` if it was removed since it was listed.
    async fn tags_of(&self, name: &ReportName) -> Result<Option<Tags>, Failure> {
        match self.patiently(|| self.aws.report_tags(name)).await {
            Ok(tags) => Ok(Some(tags)),
            Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// The bucket of an id, which its checked prefix always makes legal.
pub(super) fn own_bucket(origin: &Origin, id: &Id) -> Result<BucketName, Failure> {
    id.bucket(&origin.stack.account).map_err(|why| Failure::new(Code::Internal, why.to_string()))
}
