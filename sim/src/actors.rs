//! What others do in the account while a handler is at work.

use std::fmt;

use hawser::{aws::Tags, names::rfc3339};
use hawser_account::{
    AccountState,
    buckets::{Bucket, Object},
    file::{BucketFile, ExportFile, OrganizationFile, ReportFile},
    services::Exported,
    tables::Dictionary,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    delivery::Delivery,
    third_party::{ThirdPartyState, is_anyones},
};

/// What others can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorAction {
    /// The customer puts a file of its own into a bucket of ours.
    PutObject(String),
    Deliver,
    /// The customer makes a report and a bucket of its own.
    MakeReport(String),
    /// The customer deletes its own report.
    DropOwnReport(String),
    /// The customer adds a statement to the policy of a bucket of ours.
    AddStatement(String),
    /// The customer deletes a report of ours.
    DropReport(String),
    /// The customer deletes an empty bucket of ours.
    DropBucket(String),
    /// The customer takes our mark off a report, which makes it the customer's.
    TakeOver(String),
    /// The customer makes an export and a bucket of its own.
    MakeExport(String),
    /// The customer deletes an export: its own, or ours.
    DropExport(String),
    /// The customer takes our mark off an export.
    TakeOverExport(String),
    /// The account leaves its organization, or the payer takes away the right to ask.
    Organization(OrganizationFile),
}

impl fmt::Display for ActorAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutObject(bucket) => write!(f, "the customer puts a file into `{bucket}`"),
            Self::Deliver => f.write_str("AWS delivers"),
            Self::MakeReport(name) => write!(f, "the customer makes report `{name}`"),
            Self::DropOwnReport(name) => write!(f, "the customer deletes its report `{name}`"),
            Self::AddStatement(bucket) => write!(f, "the customer adds a statement to the policy of `{bucket}`"),
            Self::DropReport(name) => write!(f, "the customer deletes our report `{name}`"),
            Self::DropBucket(name) => write!(f, "the customer deletes our bucket `{name}`"),
            Self::TakeOver(name) => write!(f, "the customer takes our mark off report `{name}`"),
            Self::MakeExport(name) => write!(f, "the customer makes export `{name}`"),
            Self::DropExport(arn) => write!(f, "the customer deletes export `{arn}`"),
            Self::TakeOverExport(arn) => write!(f, "the customer takes our mark off export `{arn}`"),
            Self::Organization(place) => write!(f, "the account's organization is {place:?} now"),
        }
    }
}

/// Before these calls nothing of ours has been looked at yet in a run. What is done to our own things afterwards is not
/// seen by anybody: S3 and the report service know no conditional writes.
const NOT_LOOKED_AT_YET: [&str; 3] = ["organizations:DescribeOrganization", "cur:DescribeReportDefinitions", "s3:ListBucket"];

/// Before this call no export has been looked at yet: its tags are read with it, and not again.
const EXPORTS_NOT_LOOKED_AT_YET: &str = "bcm-data-exports:ListExports";

/// Before these calls a policy may change too: it is looked at once more before ours is written (HW-O3).
const POLICY_STILL_SEEN: [&str; 4] =
    ["s3:GetBucketTagging", "cur:ListTagsForResource", "cur:PutReportDefinition", "bcm-data-exports:CreateExport"];

/// What can be done at a moment so that somebody sees it.
#[derive(Debug, Clone, Copy)]
struct ActorView {
    early: bool,
    exports: bool,
    policy: bool,
}

/// Others, acting by chance.
#[derive(Debug, Clone)]
pub struct Actor {
    random: fastrand::Rng,
    per_mille: u32,
}

impl Actor {
    /// Others who act before so many in a thousand calls.
    pub fn new(seed: u64, per_mille: u32) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), per_mille }
    }

    pub(crate) fn maybe_act(
        &mut self,
        action: &str,
        runs_at_work: usize,
        state: &mut AccountState,
        organization: &mut OrganizationFile,
        third_party: &mut ThirdPartyState,
        now: OffsetDateTime,
    ) -> Option<ActorAction> {
        if self.random.u32(0..1000) >= self.per_mille {
            return None;
        }
        let early = runs_at_work <= 1 && NOT_LOOKED_AT_YET.contains(&action);
        let exports = runs_at_work <= 1 && action == EXPORTS_NOT_LOOKED_AT_YET;
        let policy = early || (runs_at_work <= 1 && POLICY_STILL_SEEN.contains(&action));
        let act = self.choose(ActorView { early, exports, policy }, state, third_party)?;
        third_party.acts += 1;
        apply(&act, state, organization, third_party, now);
        Some(act)
    }

    fn choose(&mut self, view: ActorView, state: &AccountState, third_party: &ThirdPartyState) -> Option<ActorAction> {
        let reports: Vec<&String> = state.reports.iter().filter(|(_, (_, tags))| is_anyones(tags)).map(|(n, _)| n).collect();
        let buckets: Vec<(&String, &Bucket)> = state.buckets.iter().filter(|(_, bucket)| is_anyones(&bucket.tags)).collect();
        let ours = |name: &&String| !third_party.theirs.reports.contains_key(*name);
        let our_buckets: Vec<&(&String, &Bucket)> =
            buckets.iter().filter(|(name, _)| !third_party.theirs.buckets.contains_key(*name)).collect();
        let new = format!("customers-{}", third_party.acts);
        let mut possible = vec![ActorAction::Deliver, ActorAction::MakeReport(new.clone()), ActorAction::MakeExport(new)];
        possible.extend(our_buckets.iter().map(|(name, _)| ActorAction::PutObject((*name).clone())));
        if view.policy {
            let with_policy = our_buckets.iter().filter(|(_, bucket)| bucket.policy.is_some());
            possible.extend(with_policy.map(|(name, _)| ActorAction::AddStatement((*name).clone())));
        }
        if view.exports {
            let exports = state.exports.iter().filter(|(_, known)| is_anyones(&known.tags));
            let ours: Vec<&String> =
                exports.map(|(arn, _)| arn).filter(|arn| !third_party.theirs.exports.contains_key(*arn)).collect();
            possible.extend(ours.iter().map(|arn| ActorAction::DropExport((*arn).clone())));
            possible.extend(ours.iter().map(|arn| ActorAction::TakeOverExport((*arn).clone())));
            let own = state.exports.iter().filter(|(_, known)| known.export.name.starts_with("customers-"));
            possible.extend(own.map(|(arn, _)| ActorAction::DropExport(arn.clone())));
        }
        if view.early {
            possible.extend(reports.iter().filter(|name| ours(name)).map(|name| ActorAction::DropReport((*name).clone())));
            possible.extend(reports.iter().filter(|name| ours(name)).map(|name| ActorAction::TakeOver((*name).clone())));
            let empty = our_buckets.iter().filter(|(_, bucket)| bucket.objects.is_empty());
            possible.extend(empty.map(|(name, _)| ActorAction::DropBucket((*name).clone())));
            let own = state.reports.keys().filter(|name| name.starts_with("customers-"));
            possible.extend(own.map(|name| ActorAction::DropOwnReport(name.clone())));
            possible.push(ActorAction::Organization(OrganizationFile::None));
            possible.push(ActorAction::Organization(OrganizationFile::Denied));
        }
        self.random.choice(possible)
    }
}

fn apply(
    act: &ActorAction,
    state: &mut AccountState,
    organization: &mut OrganizationFile,
    third_party: &mut ThirdPartyState,
    now: OffsetDateTime,
) {
    match act {
        ActorAction::Deliver => third_party.deliver(state, Delivery { period: now.date(), at: now }),
        ActorAction::PutObject(name) => {
            if let Some(bucket) = state.buckets.get_mut(name) {
                let key = format!("customers/{}.txt", third_party.acts);
                bucket.objects.insert(key.clone(), Object::holding("theirs", now));
                third_party.objects.insert((name.clone(), key));
            }
        }
        ActorAction::MakeReport(name) => {
            let bucket = format!("{name}-bucket");
            let time_unit = if third_party.acts.is_multiple_of(2) { "HOURLY" } else { "DAILY" }.to_owned();
            let report = ReportFile { time_unit, ..ReportFile::hourly(name, &bucket) }.into_report();
            for owner in [state, &mut third_party.theirs] {
                owner.reports.insert(name.clone(), report.clone());
                owner.buckets.insert(bucket.clone(), new_bucket(&bucket));
            }
        }
        ActorAction::MakeExport(name) => {
            let bucket = format!("{name}-bucket");
            let focus = (!third_party.acts.is_multiple_of(3)).then(|| "FOCUS_1_2_AWS".to_owned());
            let file = ExportFile::hourly(name, &bucket);
            let file = ExportFile { table: focus.unwrap_or(file.table.clone()), created_at: rfc3339(now), ..file };
            let known = Exported::from_file(file, &Dictionary::default());
            for owner in [state, &mut third_party.theirs] {
                owner.exports.insert(known.export.arn.clone(), known.clone());
                owner.buckets.insert(bucket.clone(), new_bucket(&bucket));
            }
        }
        ActorAction::DropExport(arn) => {
            let known = state.exports.remove(arn);
            if third_party.theirs.exports.remove(arn).is_none() {
                third_party.dropped.extend(known.map(|known| known.export.name));
            }
        }
        ActorAction::TakeOverExport(arn) => {
            if let Some(known) = state.exports.get_mut(arn) {
                known.tags = tags_of_owner();
                third_party.taken_over.insert(known.export.name.clone());
                third_party.theirs.exports.insert(arn.clone(), known.clone());
            }
        }
        ActorAction::DropOwnReport(name) => {
            state.reports.remove(name);
            third_party.theirs.reports.remove(name);
        }
        ActorAction::AddStatement(name) => {
            if let Some(bucket) = state.buckets.get_mut(name) {
                let sid = format!("Customer{}", third_party.acts);
                bucket.policy = bucket.policy.as_deref().and_then(|policy| with_statement(policy, &sid, name));
                third_party.statements.insert((name.clone(), sid));
            }
        }
        ActorAction::DropReport(name) => {
            state.reports.remove(name);
            third_party.dropped.insert(name.clone());
        }
        ActorAction::DropBucket(name) => {
            state.buckets.remove(name);
            third_party.dropped.insert(name.clone());
            third_party.statements.retain(|(bucket, _)| bucket != name);
        }
        ActorAction::TakeOver(name) => {
            if let Some((report, tags)) = state.reports.get_mut(name) {
                *tags = tags_of_owner();
                third_party.theirs.reports.insert(name.clone(), (report.clone(), tags.clone()));
                third_party.taken_over.insert(name.clone());
            }
        }
        ActorAction::Organization(place) => *organization = place.clone(),
    }
}

/// What the customer puts in place of our mark: without any tag, what has delivered nothing yet is taken for a remnant (F-49).
fn tags_of_owner() -> Tags {
    [("owner".to_owned(), "finance".to_owned())].into()
}

fn new_bucket(name: &str) -> Bucket {
    Bucket::from(BucketFile { objects: Vec::new(), ..BucketFile::customers(name) })
}

fn with_statement(policy: &str, sid: &str, bucket: &str) -> Option<String> {
    let mut policy: Value = serde_json::from_str(policy).ok()?;
    let objects = format!("arn:aws:s3:::{bucket}/*");
    let statement = json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": objects });
    policy.get_mut("Statement")?.as_array_mut()?.push(statement);
    Some(policy.to_string())
}
