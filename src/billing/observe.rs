//! What the account looks like: the facts that the plan is made from.
//!
//! A few rounds of calls: what does not depend on an answer is asked together.

use std::{collections::BTreeSet, future::Future};

use futures::{StreamExt, future::join_all, stream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    aws::{Fault, FaultKind, Tags},
    billing::{
        candidate::Candidate,
        choice::matches_name,
        facts::{Facts, Leftover, OwnBucket, OwnExport, OwnedResources, or_empty, own_bucket},
        id::ExportId,
        ownership::{TAG_CREATED_AT, TAG_STACK},
        request::{Existing, Export, Kind, Reuse},
    },
    error::{Code, Failure},
    names::{BucketName, NamePrefix, Region},
    ports::Ports,
    protocol::{
        lifecycle::{ResourceFate, is_generated_by_cloudformation, resource_fate},
        origin::{Origin, RequestType},
    },
};

mod look;
mod remains;

use look::{BucketUse, Detail, Observer};
use remains::remains;

/// Which questions a request needs answers to.
struct Lookups {
    reports: bool,
    exports: bool,
    /// Whether what others own is looked at.
    others: bool,
    tables: bool,
    own_bucket: bool,
    existing_bucket: Option<BucketName>,
}

impl Lookups {
    fn of(export: &Export, region: Option<&Region>, leftover: Option<&ExportId>) -> Self {
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
async fn call_if<T: Default>(asked: bool, question: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
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
    let observer = Observer { origin, owner: &origin.stack.account, aws: &*ports.cloud.at(&home), region: &home, ports };
    let left_behind = left_behind(origin, &id, before);
    let lookups = Lookups::of(export, region.as_ref(), left_behind.as_ref());
    let bucket = own_bucket(origin, &id)?;
    let (billing_position, reports, listed, tables, exists, stack_tags) = tokio::join!(
        observer.billing_position(),
        call_if(lookups.reports, observer.retry_eventual(|| observer.aws.describe_reports())),
        call_if(lookups.exports, observer.retry_eventual(|| observer.aws.list_exports())),
        call_if(lookups.tables, observer.retry_eventual(|| observer.aws.list_tables())),
        call_if(lookups.own_bucket, observer.retry_eventual(|| observer.aws.bucket_exists(&bucket, observer.owner))),
        call_if(lookups.own_bucket, observer.retry_eventual(|| ports.stacks.stack_tags(&origin.stack))),
    );
    let (billing_position, transfers) = billing_position?;
    let reports = unless_unknown(reports, !export.kind.is_data_export())?;
    let names: BTreeSet<String> = left_behind.iter().chain([&id]).map(|id| id.report().as_str().to_owned()).collect();
    let listed = listed
        .map(|listed| listed.into_iter().filter(|summary| lookups.others || names.contains(&summary.name)).collect::<Vec<_>>());
    let (owned, details, billing_relations) = tokio::join!(
        observer.owned(&id, or_empty(&reports), exists, BucketUse::Deliver),
        observer.details(listed),
        observer.billing_relations(&billing_position, transfers)
    );
    let (owned, mut details, billing_relations) =
        (owned?, unless_unknown(details, export.kind.is_data_export())?, billing_relations?);
    let ours = owned.report.or_else(|| oldest_of(&observer.owned_exports(&id, &bucket, or_empty(&details))));
    let (now, settled) = (ports.clock.now(), is_settled(origin, export, before));
    let serves = |candidate: &Candidate| lookups.others && ours.is_none() && may_serve(candidate, export, settled);
    let all = or_empty(&details).iter().map(|(export, _)| Candidate::Export(export.clone()));
    let idle = all.filter(|export| export.idle_reason(now).is_some() && serves(export));
    let executions = observer.newest_executions(idle.map(|export| export.key().to_owned()).collect()).await?;
    for (export, _) in details.iter_mut().flatten() {
        let newest = executions.get(&export.arn).into_iter().chain(&export.status.last_refreshed_at).max();
        export.status.last_refreshed_at = newest.cloned();
    }
    let own = observer.owned_exports(&id, &bucket, or_empty(&details));
    let all = Candidate::all(or_empty(&reports), or_empty(&details).iter().map(|(export, _)| export));
    let candidates: Vec<Candidate> = all.filter(serves).collect();
    let stays_on = own.first().map(|(export, _)| export);
    // A bucket of ours may have a key of the customer's by now.
    let own_bucket_made = matches!(owned.bucket, OwnBucket::Tagged { .. }).then_some(&bucket);
    let source = async {
        if !lookups.tables {
            return Ok(None);
        }
        observer.source(export, &tables, stays_on).await.map(Some)
    };
    let (candidates, source, leftover) = tokio::join!(
        observer.candidates(&candidates, lookups.existing_bucket.as_ref(), own_bucket_made),
        source,
        observer.leftover(left_behind, or_empty(&reports), or_empty(&details)),
    );
    let (mut candidates, leftover) = (candidates?, leftover?);
    // Also this stack's own under another id, which goes when the stack is updated, whether or not it shows its tags yet (B-22), and
    // what is left of a run that ended early.
    let own_names: BTreeSet<String> = ExportId::all(origin, &export.prefix).map(|id| id.report().as_str().to_owned()).collect();
    let of_stacks =
        or_empty(&details).iter().filter(|(export, tags)| tags.contains_key(TAG_STACK) || own_names.contains(&export.name));
    candidates.other_stacks.extend(of_stacks.map(|(export, _)| export.arn.clone()));
    candidates.other_stacks.extend(own_names);
    if let Some(Leftover { id, remains, .. }) = &leftover {
        candidates.other_stacks.extend(remains.exports.iter().cloned());
        candidates.other_stacks.extend(remains.report.then(|| id.report().as_str().to_owned()));
    }
    let mut facts = Facts {
        account: observer.owner.clone(),
        now,
        settled,
        region,
        billing_position,
        bill_recipient: billing_relations.bill_recipient,
        bill_senders: billing_relations.bill_senders,
        transfers_unreadable: billing_relations.transfers_unreadable,
        delegated_services: billing_relations.delegated_services,
        source: source?,
        stack_tags,
        ours,
        bucket: owned.bucket,
        candidate_buckets: candidates.buckets,
        bucket_regions: candidates.regions,
        bucket_keys: candidates.keys,
        unreadable_keys: candidates.unreadable_keys,
        other_stacks: candidates.other_stacks,
        leftover,
        reports,
        exports: details.map(|details| details.into_iter().map(|(export, _)| export).collect()),
        id,
    };
    // A report that may be anybody's leaves as little to choose from as one that is not listed.
    if let Some(fault) = owned.unreadable.or(candidates.unreadable) {
        facts.reports = Err(fault);
    }
    if let Ok(reports) = &mut facts.reports {
        // Removed since they were listed, such as by another stack that goes: nothing to choose.
        let own = facts.id.report();
        reports.retain(|report| !(candidates.gone.contains(&report.name) || (owned.gone && report.name == own.as_str())));
    }
    if let Ok(exports) = &mut facts.exports {
        exports.retain(|export| !candidates.gone.contains(&export.arn));
    }
    // A bucket that is marked and empty, without its report, may be one that was only half made.
    if let (None, OwnBucket::Tagged { in_use, .. }) = (&facts.ours, &mut facts.bucket) {
        *in_use = match observer.retry_eventual(|| observer.aws.list_versions(&bucket, observer.owner, "", 1)).await {
            Ok(first) => !first.is_empty(),
            Err(fault) if fault.kind == FaultKind::Missing => false,
            Err(fault) if fault.is_outage() => return Err(fault.into()),
            // Its settings may be the customer's by now.
            Err(_) => true,
        };
    }
    Ok(facts)
}

/// Whether an Update asks for what the stack was answered with: CloudFormation has the resource under this very id, and either nothing
/// that a choice depends on changes, or it is the way back from a replacement that failed.
fn is_settled(origin: &Origin, export: &Export, before: Option<&Export>) -> bool {
    let id = export.id(origin);
    let in_place = origin.request_type == RequestType::Update && origin.physical_id.as_deref() == Some(&id.to_string());
    let asked = |export: &Export| (export.reuse, export.scope, export.iam_principals);
    let same = |before: &Export| asked(before) == asked(export);
    in_place && before.is_none_or(|before| before.id(origin) != id || same(before))
}

/// What a service answered, as a fact about the account: a denial is one, and so is that the service whose exports are not
/// asked for does not answer.
fn unless_unknown<T>(answer: Result<T, Fault>, asked_for: bool) -> Result<Result<T, Fault>, Failure> {
    match answer {
        Err(fault) if asked_for && !fault.is_denial() => Err(fault.into()),
        answer => Ok(answer),
    }
}

/// Whether a candidate is worth a look at its bucket.
fn may_serve(candidate: &Candidate, export: &Export, settled: bool) -> bool {
    match &export.existing {
        Some(Existing::Named(named)) => matches_name(candidate, named),
        _ => candidate.mismatches(export).is_empty() && (settled || candidate.delivery_error().is_none()),
    }
}

fn oldest_of(own: &[&Detail]) -> Option<OwnExport> {
    let ((first, tags), duplicates) = own.split_first()?;
    Some(OwnExport {
        arn: first.arn.clone(),
        tags: tags.clone(),
        duplicates: duplicates.iter().map(|(twin, _)| twin.arn.clone()).collect(),
    })
}

/// The ids whose things a Delete is to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteScope {
    pub ids: Vec<ExportId>,
    /// What the reader of the stack event should know about others.
    pub remark: Option<String>,
}

/// Asks CloudFormation how far a Delete reaches. While the whole resource goes, that is every id it can ever have had:
/// also one that was never answered (F-34), and one whose clean-up failed three times (HW-L9). Else it is the id that the
/// Delete names and no other, and not even that if the stack still has it (HW-L8).
///
/// # Errors
/// [`Code::RequestOutdated`], and outages: nothing is removed on a guess.
pub async fn delete_scope(origin: &Origin, prefix: Option<&NamePrefix>, ports: &Ports<'_>) -> Result<DeleteScope, Failure> {
    let physical_id = origin.physical_id.as_deref().unwrap_or_default();
    let own = ExportId::from_physical_id(origin, physical_id);
    // Another resource's id, or that of a request which could not even be read: nothing was made (HW-L6).
    if own.is_none() && !is_generated_by_cloudformation(physical_id) {
        return Ok(DeleteScope::default());
    }
    let resource_fate = match resource_fate(origin, physical_id, ports).await {
        Ok(resource_fate) => resource_fate,
        // A role that may not ask must not keep the stack from going.
        Err(fault) if fault.is_denial() => {
            let remark = format!("only what the request names was looked for: {fault}");
            return Ok(DeleteScope { ids: own.into_iter().collect(), remark: Some(remark) });
        }
        Err(fault) => return Err(fault.into()),
    };
    let ids: Vec<ExportId> = match (resource_fate, prefix.or(own.as_ref().map(ExportId::prefix))) {
        (ResourceFate::Current, _) => {
            let cause = format!("the stack has `{physical_id}` and is not removing it, so this Delete is outdated");
            return Err(Failure::new(Code::RequestOutdated, cause));
        }
        (ResourceFate::Deleting, Some(prefix)) => ExportId::all(origin, prefix).collect(),
        _ => own.into_iter().collect(),
    };
    Ok(DeleteScope { ids, remark: None })
}

/// Buckets that a Delete looks for at once: each may need a connection of its own, whose handshake costs more than its call.
const BUCKETS_AT_ONCE: usize = 12;

/// Two deliveries of one event may each create an export, because `CreateExport` knows no idempotency token. Beside an export that is
/// younger than this, the other one may not be listed yet (B-22).
const TWIN_SHOWN_AFTER: time::Duration = time::Duration::seconds(10);

/// What a Delete finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovalFacts {
    /// What each id owns.
    pub remains: Vec<(ExportId, OwnedResources)>,
    /// What the reader of the stack event should know.
    pub remarks: Vec<String>,
    /// Something of our name is there without our mark, a bucket without what it was created for, or a new export: where that was created
    /// moments ago, AWS may not show all of it yet (B-22).
    pub is_partial: bool,
}

/// Reads what each id owns, for a Delete. A service that none of the `sure` kinds needs, and that does not answer, does not keep
/// the stack from going: Data Exports is not in every partition. Nor does any denial (F-55).
///
/// # Errors
/// What AWS refused or could not answer, after all tries.
pub async fn observe_removal(
    origin: &Origin,
    mut ids: Vec<ExportId>,
    sure: &[Kind],
    ports: &Ports<'_>,
) -> Result<RemovalFacts, Failure> {
    // Of that kind nothing is ever made.
    ids.retain(|id| id.kind() != Kind::None);
    let Some(region) = origin.stack.partition.billing_region().filter(|_| !ids.is_empty()) else {
        return Ok(RemovalFacts::default());
    };
    let observer = Observer { origin, owner: &origin.stack.account, aws: &*ports.cloud.at(&region), region: &region, ports };
    let buckets: Vec<BucketName> = ids.iter().map(|id| own_bucket(origin, id)).collect::<Result<_, _>>()?;
    let (aws, owner) = (observer.aws, observer.owner);
    let exists = |bucket| observer.retry_eventual(move || aws.bucket_exists(bucket, owner));
    let lookups: Vec<_> = buckets.iter().map(exists).collect();
    let exist = stream::iter(lookups).buffered(BUCKETS_AT_ONCE).collect::<Vec<_>>();
    let any = |data_export: bool| ids.iter().any(|id| id.kind().is_data_export() == data_export);
    let (reports, listed, exist) = tokio::join!(
        call_if(any(false), observer.retry_eventual(|| aws.describe_reports())),
        call_if(any(true), observer.retry_eventual(|| aws.list_exports())),
        exist
    );
    let mut remarks = Vec::new();
    // Why it is not known what a service has of the ids whose bucket is there.
    let mut unknown: [Option<String>; 2] = [None, None];
    let mut not_searched = |data_export: bool, fault: Fault| {
        let of_it = ids.iter().zip(&exist).filter(|(id, _)| id.kind().is_data_export() == data_export);
        // A report or an export is made after its bucket: where no bucket is, none was made, unless somebody removed the bucket since.
        let none_made = of_it.into_iter().all(|(_, exists)| matches!(exists, Ok(false)));
        let is_sure = sure.iter().any(|kind| *kind != Kind::None && kind.is_data_export() == data_export);
        // An outage passes. A denial may last for ever, and must not keep the stack from going (F-55).
        if fault.is_outage() && (is_sure || !none_made) {
            return Err(Failure::from(fault));
        }
        if none_made && !is_sure {
            remarks.push(format!("one service was not searched, because nothing was created there: {fault}"));
        } else {
            unknown[usize::from(data_export)] = Some(fault.to_string());
        }
        Ok(())
    };
    let reports = match reports {
        Ok(reports) => reports,
        Err(fault) => not_searched(false, fault).map(|()| Vec::new())?,
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(fault) => not_searched(true, fault).map(|()| Vec::new())?,
    };
    let names: BTreeSet<String> = ids.iter().map(|id| id.report().as_str().to_owned()).collect();
    let tagged = observer.tags_of_exports(listed.into_iter().filter(|summary| names.contains(&summary.name))).await?;
    let is_bare = |tags: &Result<Tags, Fault>| tags.as_ref().is_ok_and(Tags::is_empty);
    let untagged = tagged.iter().filter(|(_, tags)| is_bare(tags)).map(|(summary, _)| summary.clone()).collect();
    // What cannot be read is nobody's remnant.
    let untagged =
        observer.details(Ok(untagged)).await.or_else(|fault| if fault.is_outage() { Err(fault) } else { Ok(Vec::new()) })?;
    let all = ids.into_iter().zip(exist).zip(&buckets).map(|((id, exists), bucket)| {
        let (reports, tagged, untagged, unknown) = (&reports, &tagged, &untagged, &unknown);
        async move {
            let named = tagged.iter().filter(|(summary, _)| summary.name == id.report().as_str());
            let unreadable = named.clone().find_map(|(summary, tags)| {
                let why = |fault| format!("whose export `{}` is could not be read: {fault}", summary.arn);
                tags.as_ref().err().map(why)
            });
            let of_name = named.clone().count();
            let own = named.filter(|(summary, tags)| tags.as_ref().is_ok_and(|tags| observer.is_own(&id, &summary.name, tags)));
            let own = own.map(|(summary, _)| summary.arn.clone());
            let remnants = observer.owned_exports(&id, bucket, untagged).into_iter().map(|(export, _)| export.arn.clone());
            let exports: Vec<String> = own.chain(remnants).collect();
            let created = |tags: &Tags| OffsetDateTime::parse(tags.get(TAG_CREATED_AT)?, &Rfc3339).ok();
            let of_id = tagged.iter().filter(|(summary, _)| exports.contains(&summary.arn));
            let newest = of_id.filter_map(|(_, tags)| created(tags.as_ref().ok()?)).max();
            let has_new_export = newest.is_some_and(|newest| ports.clock.now() - newest < TWIN_SHOWN_AFTER);
            let owned = observer.owned(&id, reports, exists, BucketUse::Remove).await?;
            let is_listed = reports.iter().any(|report| report.name == id.report().as_str());
            let unmarked = of_name > exports.len() || (owned.report.is_none() && !owned.gone && is_listed);
            let unknown = unreadable.or_else(|| unknown[usize::from(id.kind().is_data_export())].clone());
            // What AWS denies is not shown by another look either.
            let is_partial = unknown.is_none()
                && match owned.bucket {
                    OwnBucket::Untagged => true,
                    OwnBucket::Absent => unmarked || has_new_export,
                    _ => unmarked || has_new_export || (owned.report.is_none() && exports.is_empty()),
                };
            let (remains, kept) = remains(&id, bucket, owned, exports, unknown);
            Ok::<_, Failure>(((id, remains), kept, is_partial))
        }
    });
    let mut facts = RemovalFacts { remarks, ..RemovalFacts::default() };
    let mut all_kept = Vec::new();
    for (remains, kept, is_partial) in join_all(all).await.into_iter().collect::<Result<Vec<_>, _>>()? {
        facts.remains.push(remains);
        all_kept.extend(kept);
        facts.is_partial |= is_partial;
    }
    // The bucket of what could not be searched for may be gone, and then nothing else says that something stays.
    let unreported =
        unknown.into_iter().flatten().filter(|why| !all_kept.iter().any(|kept: &String| kept.contains(why.as_str())));
    facts.remarks.extend(
        unreported
            .map(|why| format!("what one service may have of this stack was kept, because it could not be searched: {why}")),
    );
    facts.remarks.extend(all_kept);
    Ok(facts)
}

/// The id under which a rolled-back replacement may have left things (HW-L4): the Update's own is the one CloudFormation
/// knows, and the properties it comes from made another one. In a replacement that goes forward the two differ, and
/// CloudFormation deletes the old id itself.
fn left_behind(origin: &Origin, id: &ExportId, before: Option<&Export>) -> Option<ExportId> {
    let in_place = origin.request_type == RequestType::Update && origin.physical_id.as_deref() == Some(&id.to_string());
    let other = before?.id(origin);
    (in_place && other != *id && other.kind() != Kind::None && other.prefix() == id.prefix()).then_some(other)
}
