//! The questions themselves: each asks AWS one thing, patiently, and says what the answer means.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::Arc,
};

use futures::{
    StreamExt, TryStreamExt,
    future::{Either, join, join_all, select, try_join_all},
    stream,
};
use tracing::{info, warn};

use super::remains::{OwnershipFacts, remains, with_policy};
use crate::{
    aws::{Aws, BillingTransfer, DataExport, Direction, ExportSummary, Fault, FaultKind, Report, Table, Tags},
    billing::{
        account_role::BillingPosition,
        bucket_region::in_bucket_region,
        candidate::Candidate,
        facts::{BucketCheck, Leftover, OwnBucket, OwnExport, OwnedResources, own_bucket},
        id::{DATA_ROOT, ExportId},
        ownership::{TAG_STACK, is_marked, is_remnant},
        query::{self, TableSource},
        request::Export,
    },
    error::Failure,
    names::{AccountId, BucketName, ExportName, Region},
    ports::Ports,
    protocol::{
        lifecycle::is_current,
        origin::Origin,
        retry::{EVENTUAL_CONSISTENCY, retry_eventual},
    },
};

/// An export with its tags.
pub(super) type Detail = (DataExport, Tags);

/// The transfers of the bill to others, and from others.
pub(super) type Transfers = (Result<Vec<BillingTransfer>, Fault>, Result<Vec<BillingTransfer>, Fault>);

/// What is known of the account's place beside its role.
#[derive(Default)]
pub(super) struct BillingRelations {
    pub(super) bill_recipient: Option<AccountId>,
    pub(super) bill_senders: Vec<AccountId>,
    pub(super) transfers_unreadable: Option<String>,
    pub(super) delegated_services: Vec<String>,
}

/// What is known of the customer's exports that could serve.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) buckets: BTreeMap<String, BucketCheck>,
    pub(super) regions: BTreeMap<String, String>,
    pub(super) keys: BTreeMap<String, String>,
    pub(super) unreadable_keys: BTreeMap<String, String>,
    pub(super) other_stacks: BTreeSet<String>,
    pub(super) gone: BTreeSet<String>,
    /// Why it is not known whose one of the reports is.
    pub(super) unreadable: Option<Fault>,
}

impl Candidates {
    fn keep(&mut self, bucket: &str, key: BucketKey) {
        match key {
            BucketKey::Known(key) => self.keys.extend(key.map(|key| (bucket.to_owned(), key))),
            BucketKey::Unreadable(why) => drop(self.unreadable_keys.insert(bucket.to_owned(), why)),
        }
    }
}

/// A bucket of the customer's.
struct BucketFacts {
    check: BucketCheck,
    region: Option<Region>,
    /// The KMS key it encrypts with, as it names it.
    key: BucketKey,
}

/// The KMS key that a bucket encrypts with.
enum BucketKey {
    /// As the bucket names it; none where S3's own do.
    Known(Option<String>),
    /// AWS may not be asked, and why.
    Unreadable(String),
}

/// What was removed since it was listed is none.
fn unless_gone<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
        answer => answer.map(Some),
    }
}

/// Exports that are asked about at once: Data Exports says nothing of its limits, and a throttled Create would fail (B-15).
const ASKED_AT_ONCE: usize = 4;

/// All that is still there, a few calls at a time.
async fn a_few_at_once<T>(calls: impl Iterator<Item = impl Future<Output = Result<Option<T>, Fault>>>) -> Result<Vec<T>, Fault> {
    stream::iter(calls).buffered(ASKED_AT_ONCE).try_filter_map(|one| async move { Ok(one) }).try_collect().await
}

/// One look at an account.
#[derive(Clone, Copy)]
pub(super) struct Observer<'a> {
    pub(super) origin: &'a Origin,
    pub(super) owner: &'a AccountId,
    pub(super) aws: &'a dyn Aws,
    /// Where the billing service is, and so our own buckets.
    pub(super) region: &'a Region,
    pub(super) ports: &'a Ports<'a>,
}

impl Observer<'_> {
    pub(super) async fn retry_eventual<T, F, Fut>(&self, call: F) -> Result<T, Fault>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        retry_eventual(self.ports, self.origin, call).await
    }

    /// The account's place in its organization, and the transfers of its bill if it is a management account. Both are asked together, so
    /// that a management account costs no round more; another one is refused, which is not waited for.
    pub(super) async fn billing_position(&self) -> Result<(BillingPosition, Option<Transfers>), Failure> {
        let position = pin!(self.retry_eventual(|| self.aws.describe_organization()));
        let asked = join(self.aws.billing_transfers(Direction::Outbound), self.aws.billing_transfers(Direction::Inbound));
        let classify = |answer| BillingPosition::classify(self.owner, answer);
        Ok(match select(position, asked).await {
            Either::Left((answer, asked)) => match classify(answer)? {
                position @ BillingPosition::Management(_) => (position, Some(asked.await)),
                position => (position, None),
            },
            Either::Right((transfers, position)) => (classify(position.await)?, Some(transfers)),
        })
    }

    /// Refines the role. A member may ask only if it administers something; a management account that is refused is told so.
    ///
    /// # Errors
    /// Outages: an export in the wrong account is worse than another try.
    pub(super) async fn billing_relations(
        &self,
        billing_position: &BillingPosition,
        transfers: Option<Transfers>,
    ) -> Result<BillingRelations, Failure> {
        let mut billing_relations = BillingRelations::default();
        match (billing_position, transfers) {
            (BillingPosition::Management(_), Some((outbound, inbound))) => {
                let (outbound, inbound) =
                    tokio::join!(self.transfers(outbound, Direction::Outbound), self.transfers(inbound, Direction::Inbound));
                let now = self.ports.clock.now();
                let mut in_force = |transfers: Result<Vec<BillingTransfer>, Fault>| match transfers {
                    Ok(transfers) => {
                        Ok(transfers.into_iter().filter(|it| it.is_in_force(now)).filter_map(|it| it.other).collect())
                    }
                    Err(fault) if fault.is_outage() => Err(fault),
                    Err(fault) => {
                        billing_relations.transfers_unreadable = Some(fault.to_string());
                        Ok(Vec::new())
                    }
                };
                let (outbound, inbound): (Vec<AccountId>, Vec<AccountId>) = (in_force(outbound)?, in_force(inbound)?);
                (billing_relations.bill_recipient, billing_relations.bill_senders) = (outbound.into_iter().next(), inbound);
            }
            (BillingPosition::Member(_), _) => match self.aws.delegated_services(self.owner).await {
                Ok(services) => billing_relations.delegated_services = services,
                // Nothing is decided by it.
                Err(fault) => info!(action = fault.action, code = fault.code, "what this account administers is not known"),
            },
            (BillingPosition::Management(_) | BillingPosition::Standalone | BillingPosition::Unknown(_), _) => {}
        }
        Ok(billing_relations)
    }

    /// The first answer, or another one where that may pass: it was asked before it was known to matter.
    async fn transfers(
        &self,
        first: Result<Vec<BillingTransfer>, Fault>,
        direction: Direction,
    ) -> Result<Vec<BillingTransfer>, Fault> {
        match first {
            Err(fault) if fault.is_denial() || fault.kind == FaultKind::Conflict => {
                self.retry_eventual(|| self.aws.billing_transfers(direction)).await
            }
            first => first,
        }
    }

    pub(super) async fn details(&self, listed: Result<Vec<ExportSummary>, Fault>) -> Result<Vec<Detail>, Fault> {
        let aws = self.aws;
        let detail = |summary: ExportSummary| async move {
            let (export, tags) = tokio::join!(
                self.retry_eventual(|| aws.get_export(&summary.arn)),
                self.retry_eventual(|| aws.export_tags(&summary.arn))
            );
            unless_gone(export.and_then(|export| Ok((export, tags?))))
        };
        a_few_at_once(listed?.into_iter().map(detail)).await
    }

    /// When the newest execution of each of these exports began, unless it failed. An export that seems to be idle may deliver all the
    /// same, because AWS may not fill in `LastRefreshedAt` (B-16). Whoever may not look believes the status.
    pub(super) async fn newest_executions(&self, arns: Vec<String>) -> Result<BTreeMap<String, String>, Fault> {
        let looks = arns.into_iter().map(|arn| async move {
            let newest = match self.retry_eventual(|| self.aws.last_execution(&arn)).await {
                Err(fault) if fault.is_outage() => return Err(fault),
                newest => newest.ok().flatten().filter(|execution| !execution.has_failed()),
            };
            Ok(newest.and_then(|execution| execution.created_at).map(|at| (arn, at)))
        });
        Ok(a_few_at_once(looks).await?.into_iter().collect())
    }

    /// The tags of each of these exports, or why they may not be read.
    pub(super) async fn tags_of_exports(
        &self,
        exports: impl Iterator<Item = ExportSummary>,
    ) -> Result<Vec<(ExportSummary, Result<Tags, Fault>)>, Fault> {
        let aws = self.aws;
        let tags = |summary: ExportSummary| async move {
            match unless_gone(self.retry_eventual(|| aws.export_tags(&summary.arn)).await) {
                Err(fault) if fault.is_outage() => Err(fault),
                Err(fault) => Ok(Some((summary, Err(fault)))),
                Ok(tags) => Ok(tags.map(|tags| (summary, Ok(tags)))),
            }
        };
        a_few_at_once(exports.map(tags)).await
    }

    /// Whether an export is this resource's, under an id.
    pub(super) fn is_own(&self, id: &ExportId, name: &str, tags: &Tags) -> bool {
        name == id.report().as_str() && is_marked(tags, self.origin)
    }

    /// Whether an export under an id's name was left by a run that ended before it was marked.
    pub(super) fn is_remnant_of(&self, own: &BucketName, (export, tags): &Detail) -> bool {
        is_remnant(tags, (&export.bucket, &export.prefix), export.status.last_refreshed_at.as_deref(), own)
    }

    /// This resource's exports under an id, the oldest first, so that every run keeps the same one.
    pub(super) fn owned_exports<'a>(&self, id: &ExportId, own: &BucketName, details: &'a [Detail]) -> Vec<&'a Detail> {
        let is_owned = |detail: &&Detail| {
            let (export, tags) = detail;
            self.is_own(id, &export.name, tags) || (export.name == id.report().as_str() && self.is_remnant_of(own, detail))
        };
        let mut owned_exports: Vec<&Detail> = details.iter().filter(is_owned).collect();
        owned_exports.sort_by_key(|(export, _)| (&export.status.created_at, &export.arn));
        owned_exports
    }

    /// What a Data Export asks for: the table in its most granular form, with the columns it has then. Whoever may not look
    /// hears of it only if an export is to be made.
    pub(super) async fn source(
        &self,
        export: &Export,
        tables: &Result<Vec<Table>, Fault>,
        ours: Option<&DataExport>,
    ) -> Result<Result<TableSource, Failure>, Failure> {
        let denied = |fault: Fault| if fault.is_denial() { Ok(Err(fault.into())) } else { Err(fault.into()) };
        let tables = match tables {
            Ok(tables) => tables,
            Err(fault) => return denied(fault.clone()),
        };
        let configured = match query::configure((export.kind, export.iam_principals), tables, ours) {
            Ok(configured) => configured,
            Err(failure) => return Ok(Err(failure)),
        };
        match self.retry_eventual(|| self.aws.table_columns(&configured.table, &configured.properties)).await {
            Ok(columns) => Ok(Ok(TableSource { configured, columns })),
            Err(fault) => denied(fault),
        }
    }

    pub(super) async fn leftover(
        &self,
        id: Option<ExportId>,
        reports: &[Report],
        details: &[Detail],
    ) -> Result<Option<Leftover>, Failure> {
        let Some(id) = id else { return Ok(None) };
        let bucket = own_bucket(self.origin, &id)?;
        let exists = self.aws.bucket_exists(&bucket, self.owner).await;
        let exports: Vec<String> =
            self.owned_exports(&id, &bucket, details).into_iter().map(|(export, _)| export.arn.clone()).collect();
        let owned = self.owned(&id, reports, exists, BucketUse::Remove).await?;
        let is_partial = match owned.bucket {
            OwnBucket::Untagged => true,
            OwnBucket::Tagged { .. } | OwnBucket::Remnant { .. } => owned.report.is_none() && exports.is_empty(),
            OwnBucket::Absent | OwnBucket::Unreadable(_) => false,
        };
        let (remains, kept) = remains(&id, &bucket, owned, exports, None);
        kept.iter().for_each(|why| warn!("{why}"));
        let is_left = (is_partial || remains != OwnedResources::default()) && is_current(self.origin, self.ports).await;
        Ok(is_left.then_some(Leftover { id, remains, is_partial }))
    }

    pub(super) async fn owned(
        &self,
        id: &ExportId,
        reports: &[Report],
        bucket_exists: Result<bool, Fault>,
        use_of_it: BucketUse,
    ) -> Result<OwnershipFacts, Failure> {
        let name = id.report();
        let own = own_bucket(self.origin, id)?;
        let listed = reports.iter().find(|report| !id.kind().is_data_export() && report.name == name.as_str());
        let ours = async {
            let Some(report) = listed else { return Ok::<_, Fault>((None, false)) };
            let Some(tags) = self.tags_of(&name).await? else { return Ok((None, true)) };
            let is_owned = is_marked(&tags, self.origin)
                || is_remnant(&tags, (&report.bucket, &report.prefix), report.last_delivery.as_deref(), &own);
            Ok((is_owned.then(|| OwnExport { tags, ..OwnExport::default() }), false))
        };
        let (ours, bucket) = tokio::join!(ours, self.bucket_state(id, bucket_exists, use_of_it));
        // An outage passes; a denial may last, and is a fact about the account.
        let (ours, unreadable) = match ours {
            Err(fault) if !fault.is_outage() => ((None, false), Some(fault)),
            ours => (ours?, None),
        };
        let (report, gone) = ours;
        Ok(OwnershipFacts { report, bucket: bucket?, gone, unreadable })
    }

    /// The bucket with an id's name. To remove it its policy does not matter, and one whose tags nobody may read is kept.
    async fn bucket_state(&self, id: &ExportId, exists: Result<bool, Fault>, use_of_it: BucketUse) -> Result<OwnBucket, Failure> {
        let bucket = own_bucket(self.origin, id)?;
        let tags = self.retry_eventual(|| self.aws.bucket_tags(&bucket, self.owner));
        let policy = async {
            match use_of_it {
                BucketUse::Deliver => self.retry_eventual(|| self.aws.bucket_policy(&bucket, self.owner)).await,
                BucketUse::Remove => Ok(None),
            }
        };
        let (tags, policy) = match exists {
            Ok(false) => return Ok(OwnBucket::Absent),
            Ok(true) => tokio::join!(tags, policy),
            Err(fault) if fault.is_outage() => return Err(fault.into()),
            // Our buckets are where the billing service is: another account has the name.
            Err(fault) if fault.bucket_region.as_ref().is_some_and(|region| region != self.region) => {
                return Ok(OwnBucket::Unreadable(fault));
            }
            // A HEAD's answer has no body, be it 301, 400 or 403, so a call whose answer has one says why (F-45, F-53), or that the
            // bucket is there after all.
            Err(_) => match tags.await {
                Err(fault) if !fault.is_outage() && fault.kind != FaultKind::Missing => return Ok(OwnBucket::Unreadable(fault)),
                tags => (tags, policy.await),
            },
        };
        let tags = match tags {
            // Removed since it was asked for.
            Err(fault) if fault.kind == FaultKind::Missing => return Ok(OwnBucket::Absent),
            Err(fault) if !fault.is_outage() => return Ok(OwnBucket::Unreadable(fault)),
            tags => tags?,
        };
        if is_marked(&tags, self.origin) {
            return with_policy(policy, |policy| OwnBucket::Tagged { policy, in_use: true, tags });
        }
        if !tags.is_empty() {
            return Ok(OwnBucket::Untagged);
        }
        match self.retry_eventual(|| self.aws.list_versions(&bucket, self.owner, "", 1)).await {
            Ok(first) if first.is_empty() => with_policy(policy, |policy| OwnBucket::Remnant { policy }),
            Err(fault) if fault.kind == FaultKind::Missing => Ok(OwnBucket::Absent),
            Err(fault) if fault.is_outage() => Err(fault.into()),
            Ok(_) | Err(_) => Ok(OwnBucket::Untagged),
        }
    }

    /// Where the customer's exports deliver to, with which key, and whose the reports are.
    pub(super) async fn candidates(
        &self,
        possible: &[Candidate],
        existing: Option<&BucketName>,
        own: Option<&BucketName>,
    ) -> Result<Candidates, Failure> {
        let mut bucket_facts: BTreeMap<&str, Option<&str>> =
            possible.iter().map(|candidate| (candidate.location().0, Some(candidate.location().1))).collect();
        bucket_facts.extend(existing.map(|bucket| (bucket.as_str(), None)));
        let bucket_facts = bucket_facts.into_iter().map(|(bucket, region)| async move {
            Ok::<_, Failure>((bucket.to_owned(), self.bucket_facts(&BucketName::existing(bucket), region).await?))
        });
        // The tags of exports are known, but those that a stack gave moments ago.
        let others =
            possible.iter().filter(|candidate| matches!(candidate, Candidate::Report(_)) || is_in_place_of_ours(candidate));
        let others = others.map(|candidate| async move { (candidate, self.settled_tags(candidate).await) });
        let own_key = async {
            match own {
                Some(own) => Some((own.as_str().to_owned(), self.key(own, None, true).await)),
                None => None,
            }
        };
        let (bucket_facts, others, own_key) = tokio::join!(try_join_all(bucket_facts), join_all(others), own_key);
        let mut candidates = Candidates::default();
        if let Some((bucket, key)) = own_key {
            candidates.keep(&bucket, key);
        }
        for (bucket, BucketFacts { check, region, key }) in bucket_facts? {
            candidates.keep(&bucket, key);
            candidates.regions.extend(region.map(|region| (bucket.clone(), region.as_str().to_owned())));
            candidates.buckets.insert(bucket, check);
        }
        for (candidate, tags) in others {
            let key = || candidate.key().to_owned();
            match tags {
                Ok(None) => drop(candidates.gone.insert(key())),
                Ok(Some(tags)) if tags.contains_key(TAG_STACK) => drop(candidates.other_stacks.insert(key())),
                Ok(Some(_)) => {}
                Err(fault) if fault.is_outage() => return Err(fault.into()),
                Err(fault) if matches!(candidate, Candidate::Report(_)) => candidates.unreadable = Some(fault),
                // What it had at the first look counts.
                Err(_) => {}
            }
        }
        Ok(candidates)
    }

    /// Whether a bucket is where its report says, and the key it encrypts with.
    async fn bucket_facts(&self, bucket: &BucketName, region: Option<&str>) -> Result<BucketFacts, Failure> {
        // The key of a bucket that cannot serve is nobody's business.
        let home = region.and_then(|region| region.parse().ok());
        let (location, key) = tokio::join!(
            self.in_its_region(home.as_ref(), bucket, |aws| async move { aws.bucket_region(bucket, self.owner).await }),
            self.key(bucket, home.as_ref(), false)
        );
        let actual = location.as_ref().ok().cloned();
        let check = match location {
            Ok(actual) if region.is_none_or(|region| actual.as_str() == region) => BucketCheck::Usable,
            Ok(actual) => BucketCheck::Elsewhere(format!("it is in {actual}, the report says {}", region.unwrap_or_default())),
            Err(fault) if fault.kind == FaultKind::Missing => BucketCheck::Absent,
            Err(fault) if fault.is_outage() => return Err(Failure::from(fault)),
            Err(fault) => BucketCheck::Refused(fault),
        };
        let key = if check == BucketCheck::Usable { key } else { BucketKey::Known(None) };
        Ok(BucketFacts { check, region: actual, key })
    }

    /// The KMS key that a bucket encrypts with, as far as that may be known; one that is going has none. It only adds a remark, so
    /// that no fault fails a stack (F-45).
    async fn key(&self, bucket: &BucketName, home: Option<&Region>, may_go: bool) -> BucketKey {
        match self.in_its_region(home, bucket, |aws| async move { aws.bucket_key(bucket, self.owner).await }).await {
            Ok(key) => BucketKey::Known(key),
            Err(fault) if may_go && fault.kind == FaultKind::Missing => BucketKey::Known(None),
            Err(fault) => BucketKey::Unreadable(fault.to_string()),
        }
    }

    /// Asks about a bucket in the Region where it is said to be, or else in the billing Region, or in the one where S3 says it is.
    async fn in_its_region<T, F, Fut>(&self, home: Option<&Region>, bucket: &BucketName, call: F) -> Result<T, Fault>
    where
        F: Fn(Arc<dyn Aws>) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let call = &call;
        let asked = |aws: Arc<dyn Aws>| async move { self.retry_eventual(|| call(Arc::clone(&aws))).await };
        in_bucket_region(self.ports, home.unwrap_or(self.region), bucket, self.owner, asked).await
    }

    /// The tags of a candidate; `None` if it was removed since it was listed. One that delivers to where stacks of Hawser deliver may
    /// have been created by one moments ago, and not show it yet (B-22).
    async fn settled_tags(&self, candidate: &Candidate) -> Result<Option<Tags>, Fault> {
        let mut tries = EVENTUAL_CONSISTENCY.tries(self.ports.clock, None);
        loop {
            let tags = match candidate {
                Candidate::Report(report) => self.tags_of(&ExportName::existing(&report.name)).await?,
                Candidate::Export(export) => unless_gone(self.retry_eventual(|| self.aws.export_tags(&export.arn)).await)?,
            };
            let may_come = is_in_place_of_ours(candidate) && tags.as_ref().is_some_and(Tags::is_empty);
            if !may_come || !tries.again(&"a stack may have created it moments ago", None).await {
                return Ok(tags);
            }
        }
    }

    /// A report's tags; `None` if it was removed since it was listed.
    async fn tags_of(&self, name: &ExportName) -> Result<Option<Tags>, Fault> {
        unless_gone(self.retry_eventual(|| self.aws.report_tags(name)).await)
    }
}

/// Whether a candidate delivers to where stacks of Hawser deliver.
fn is_in_place_of_ours(candidate: &Candidate) -> bool {
    candidate.location().2.starts_with(DATA_ROOT)
}

/// What a bucket is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BucketUse {
    Deliver,
    Remove,
}
