//! What an account has, and what its services know of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hawser::aws::{DataExport, Execution, ExportSummary, NewCase, Report, Tags};
use time::OffsetDateTime;

use crate::{
    ACCOUNT, EPOCH,
    buckets::Bucket,
    file::{AccountFile, CaseFile, CreationFile, ExportFile, OrganizationFile, SupportPlan, TransfersFile},
    freedoms::{Freedoms, Lags},
    tables::Dictionary,
};

/// What an account hears that has not opted in to split cost allocation data.
pub(crate) const NO_SPLIT: &str = "Split cost allocation data is not enabled for this account.";

/// Everything in the account that can be compared before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Reports with their tags.
    pub reports: BTreeMap<String, (Report, Tags)>,
    /// Data Exports, by ARN.
    pub exports: BTreeMap<String, Exported>,
    pub buckets: BTreeMap<String, Bucket>,
    /// Cases with AWS Support, in the order they were opened.
    pub cases: Vec<OpenedCase>,
}

/// An export as the account has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Its definition and health.
    pub export: DataExport,
    pub tags: Tags,
    /// Its newest run.
    pub execution: Option<Execution>,
}

impl Exported {
    /// An export as a file describes it, never run.
    pub fn from_file(file: ExportFile, dictionary: &Dictionary) -> Self {
        let (export, tags) = file.into_export(dictionary);
        Self { export, tags, execution: None }
    }
}

/// A case as the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedCase {
    pub id: String,
    /// What a person calls it by.
    pub display_id: String,
    pub opened_at: OffsetDateTime,
    pub resolved: bool,
    pub case: NewCase,
    /// The run of the handler that opened it; none for what was there before.
    pub run: Option<u64>,
}

impl From<CaseFile> for OpenedCase {
    fn from(file: CaseFile) -> Self {
        let CaseFile { display_id, subject, opened_at, resolved } = file;
        let case = NewCase {
            service: "customer-account".to_owned(),
            category: "other-account-issues".to_owned(),
            severity: "low".to_owned(),
            subject,
            body: "Hello".to_owned(),
        };
        Self { id: format!("case-{ACCOUNT}-muen-2025-{display_id}"), display_id, opened_at, resolved, case, run: None }
    }
}

/// The services of one account.
#[derive(Debug)]
pub struct Services {
    /// Whose they are.
    pub account: String,
    /// The time of the call; whoever lends the services sets it.
    pub now: OffsetDateTime,
    pub state: AccountState,
    pub organization: OrganizationFile,
    /// What a member administers for its organization.
    pub delegated: Option<Vec<String>>,
    pub transfers: TransfersFile,
    pub report_limit: usize,
    pub exports_denied: bool,
    pub export_names_unique: bool,
    pub split_cost_allocation: bool,
    pub dictionary: Dictionary,
    /// How many exports of one table the account may have, instead of the table's quota.
    pub export_quota: Option<usize>,
    pub support: SupportPlan,
    /// The tags of the stack that is asked about; none if nobody may ask.
    pub stack_tags: Option<Tags>,
    pub creation: CreationFile,
    /// Exports that were made so far; no two have the same ARN.
    pub exports_made: u64,
    /// The services that deliver do not see the newest policy of the call's bucket yet.
    pub policy_unseen: bool,
    pub freedoms: Freedoms,
    pub lags: Lags,
    /// What is shown late.
    pub late: Late,
    /// Writes that change nothing, which no careful caller makes.
    pub idle_writes: Vec<String>,
}

impl Services {
    /// The services of the account that a file describes.
    pub fn new(file: AccountFile) -> Self {
        let dictionary = Dictionary::new(file.tables);
        let reports = file.reports.into_iter().map(|report| (report.name.clone(), report.into_report()));
        let exports = file.exports.into_iter().map(|file| Exported::from_file(file, &dictionary));
        let state = AccountState {
            reports: reports.collect(),
            exports: exports.map(|known| (known.export.arn.clone(), known)).collect(),
            buckets: file.buckets.into_iter().map(|bucket| (bucket.name.clone(), bucket.into())).collect(),
            cases: file.support.cases.into_iter().map(OpenedCase::from).collect(),
        };
        Self {
            account: ACCOUNT.to_owned(),
            now: EPOCH,
            state,
            organization: file.organization,
            delegated: file.delegated_services,
            transfers: file.transfers,
            report_limit: file.report_limit,
            exports_denied: file.data_exports_denied,
            export_names_unique: file.export_names_unique,
            split_cost_allocation: file.split_cost_allocation,
            dictionary,
            export_quota: None,
            support: file.support.plan,
            stack_tags: file.stack_tags,
            creation: file.creation,
            exports_made: 0,
            policy_unseen: false,
            freedoms: Freedoms::default(),
            lags: Lags::default(),
            late: Late::default(),
            idle_writes: Vec::new(),
        }
    }
}

/// What was done so lately that it may not be shown yet (see [`Lags`]).
#[derive(Debug, Default)]
pub struct Late {
    /// When each report, export and bucket was made.
    made: BTreeMap<String, OffsetDateTime>,
    /// Names that were freed, and when.
    freed: BTreeMap<String, OffsetDateTime>,
    /// Reports and exports that are gone, and when they went.
    pub(crate) reports: Vec<(Report, OffsetDateTime)>,
    pub(crate) exports: Vec<(ExportSummary, OffsetDateTime)>,
    policies: BTreeMap<String, Change<Option<String>>>,
    tags: BTreeMap<String, Change<Tags>>,
}

/// What was put, in place of what, and when. What another put since is always shown: who overlooked it would overwrite it, and AWS
/// knows no conditional writes.
#[derive(Debug)]
struct Change<T> {
    before: T,
    put: T,
    at: OffsetDateTime,
}

impl<T: PartialEq> Change<T> {
    /// What is shown of `now` by a service with such a lag.
    fn shown<'a>(change: Option<&'a Self>, now: &'a T, at: OffsetDateTime, lag: Duration) -> &'a T {
        match change {
            Some(change) if change.put == *now && at < change.at + lag => &change.before,
            _ => now,
        }
    }
}

impl Services {
    pub fn note_made(&mut self, name: &str, tags: &Tags) {
        self.late.made.insert(name.to_owned(), self.now);
        self.note_tags(name, Tags::new(), tags);
    }

    pub fn note_freed(&mut self, name: &str) {
        self.late.freed.insert(name.to_owned(), self.now);
    }

    /// Whether something that was made is shown in lists.
    pub fn is_listed(&self, name: &str) -> bool {
        self.late.made.get(name).is_none_or(|made| self.now >= *made + self.lags.list)
    }

    /// Whether what went is shown in lists no more.
    pub(crate) fn is_forgotten(&self, went: OffsetDateTime) -> bool {
        self.now >= went + self.lags.list
    }

    /// Tags as they are shown.
    pub fn shown_tags(&self, name: &str, tags: &Tags) -> Tags {
        Change::shown(self.late.tags.get(name), tags, self.now, self.lags.tags).clone()
    }

    pub(crate) fn note_tags(&mut self, name: &str, before: Tags, put: &Tags) {
        self.late.tags.insert(name.to_owned(), Change { before, put: put.clone(), at: self.now });
    }

    /// Whether a name was freed so lately that it cannot be taken yet.
    pub(crate) fn is_held_back(&self, name: &str) -> bool {
        self.late.freed.get(name).is_some_and(|freed| self.now < *freed + self.lags.name)
    }

    /// Reports, by name, and exports, by ARN, that no list shows yet and nothing tells of: those whose bucket is gone, and exports made
    /// before one of the same name was removed. Whoever removes what there is cannot know of them.
    pub fn unseen(&self) -> BTreeSet<String> {
        let is_lost = |bucket: &String| !self.state.buckets.contains_key(bucket);
        let freed = |known: &Exported| self.late.freed.get(&known.export.name);
        let is_twin = |(arn, known): &(&String, &Exported)| {
            freed(known).is_some_and(|freed| self.late.made.get(*arn).is_some_and(|made| made <= freed))
        };
        let reports = self.state.reports.iter().filter(|(_, (report, _))| is_lost(&report.bucket)).map(|(name, _)| name);
        let exports = self.state.exports.iter().filter(|known| is_lost(&known.1.export.bucket) || is_twin(known));
        reports.chain(exports.map(|(arn, _)| arn)).filter(|key| !self.is_listed(key)).cloned().collect()
    }

    pub fn note_policy(&mut self, bucket: &str, before: Option<String>, put: &str) {
        self.late.policies.insert(bucket.to_owned(), Change { before, put: Some(put.to_owned()), at: self.now });
    }

    /// A bucket's policy as `GetBucketPolicy` gives it back.
    pub fn shown_policy(&mut self, bucket: &str, policy: &Option<String>) -> Option<String> {
        let shown = Change::shown(self.late.policies.get(bucket), policy, self.now, self.lags.policy_read).clone();
        shown.map(|policy| self.freedoms.given_back(&policy))
    }
}
