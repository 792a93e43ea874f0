//! What an account has, and what its services know of it.

use std::collections::BTreeMap;

use hawser::{
    aws::{DataExport, Execution, Fault, FaultKind, NewCase, Report, Tags},
    names::Region,
};
use time::OffsetDateTime;

use crate::{
    ACCOUNT, EPOCH,
    buckets::Bucket,
    file::{AccountFile, CaseFile, CreationFile, ExportFile, OrganizationFile, SupportPlan, TransfersFile},
    tables::Dictionary,
};

/// What an account hears that has not opted in to split cost allocation data.
pub(crate) const NO_SPLIT: &str = "Split cost allocation data is not enabled for this account.";

/// Why a service refuses a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: FaultKind,
    /// AWS's error code.
    pub code: &'static str,
    pub message: String,
    /// Where the bucket is that was asked about elsewhere.
    pub bucket_region: Option<Region>,
}

impl Refusal {
    pub fn new(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), bucket_region: None }
    }

    /// What a service finds wrong with a request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Refused, "ValidationException", message)
    }

    /// The fault of the call that was refused.
    pub fn of(self, action: &'static str) -> Fault {
        let Self { kind, code, message, bucket_region } = self;
        Fault { action, kind, code: code.to_owned(), message, request_id: Some("sim".to_owned()), bucket_region }
    }
}

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
        }
    }
}
