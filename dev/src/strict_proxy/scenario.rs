//! What this run's AWS is like: data, not code, so that a test reads as a list of circumstances.
//!
//! A scenario is a JSON file in `dev/scenarios/`. Everything in it is optional; the empty scenario is a stand-alone account
//! with no faults.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use hawser_account::{
    Services,
    file::{CaseFile, OrganizationFile, SupportPlan, TransferFile, TransfersFile},
    services::OpenedCase,
    tables::{Dictionary, TableFile},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

/// AWS documents ten reports for an account (the error text says five; the larger number is the published quota).
const REPORT_LIMIT: usize = 10;

/// The circumstances of one run.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for the reader.
    pub description: String,
    /// The place of each account in its organization; an account that is not listed is in none.
    pub organizations: BTreeMap<String, Organization>,
    /// How many reports an account may have.
    pub report_limit: usize,
    /// `ReportStatus` by report name, as the billing service reports it after a delivery.
    pub report_status: BTreeMap<String, ReportStatus>,
    /// How many exports of one table an account may have, instead of that table's quota.
    pub export_quota: Option<usize>,
    /// How exports fare, by name; `*` is for all others. Without either an export is healthy and has no data yet.
    pub export_status: BTreeMap<String, ExportStatus>,
    /// Whether an account may have two exports of one name: AWS does not promise that it may not.
    pub twin_exports: bool,
    /// Tables that AWS no longer, or not yet, has.
    pub tables_missing: Vec<String>,
    /// Columns by table that the dictionary of this project does not know: AWS adds some now and then.
    pub columns_added: BTreeMap<String, Vec<String>>,
    /// Columns that no table has any more.
    pub columns_missing: Vec<String>,
    /// Whether the payer has opted in to split cost allocation data.
    pub split_cost_allocation: bool,
    /// Whether the account pays for a plan with AWS Support, and so may use its API.
    pub support_plan: bool,
    /// Cases that the account has opened already.
    pub support_cases: Vec<SupportCase>,
    /// Added to every call of the validated services, so that calls made together can be seen to overlap.
    pub latency_ms: u64,
    /// Calls that do not go as asked.
    pub faults: Vec<Fault>,
    pub chaos: Option<Chaos>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            description: String::new(),
            organizations: BTreeMap::new(),
            report_limit: REPORT_LIMIT,
            report_status: BTreeMap::new(),
            export_quota: None,
            export_status: BTreeMap::new(),
            twin_exports: false,
            tables_missing: Vec::new(),
            columns_added: BTreeMap::new(),
            columns_missing: Vec::new(),
            split_cost_allocation: true,
            support_plan: false,
            support_cases: Vec::new(),
            latency_ms: 0,
            faults: Vec::new(),
            chaos: None,
        }
    }
}

impl Scenario {
    /// Reads `dev/scenarios/<name>.json`.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read `{}`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("could not parse `{}`", path.display()))
    }

    /// Brings an account's services into these circumstances, now.
    pub(super) fn apply(&self, services: &mut Services) {
        services.now = OffsetDateTime::now_utc();
        services.report_limit = self.report_limit;
        services.export_quota = self.export_quota;
        services.export_names_unique = !self.twin_exports;
        services.split_cost_allocation = self.split_cost_allocation;
        services.support = if self.support_plan { SupportPlan::Paid } else { SupportPlan::None };
        services.dictionary = self.dictionary();
        let account = services.account.clone();
        let member = |payer: &String, feature_set: &String| OrganizationFile::Member {
            id: organization_id(payer),
            management_account: Some(payer.clone()),
            feature_set: feature_set.clone(),
        };
        services.delegated = None;
        services.transfers = TransfersFile::default();
        services.organization = match self.organizations.get(&account) {
            None | Some(Organization::None) => OrganizationFile::None,
            Some(Organization::Denied) => OrganizationFile::Denied,
            Some(Organization::Management { feature_set, billing_transfers }) => {
                for transfer in billing_transfers {
                    let transfers = match transfer.direction {
                        Direction::Inbound => &mut services.transfers.inbound,
                        Direction::Outbound => &mut services.transfers.outbound,
                    };
                    transfers.push(transfer.into());
                }
                member(&account, feature_set)
            }
            Some(Organization::Member { management_account_id, feature_set, delegated_services }) => {
                services.delegated = (!delegated_services.is_empty()).then(|| delegated_services.clone());
                member(management_account_id, feature_set)
            }
        };
        let opened = services.state.cases.drain(..).filter(|case| case.run.is_some()).collect::<Vec<_>>();
        let earlier = self.support_cases.iter().enumerate().map(|(number, case)| CaseFile {
            display_id: (1_600_000_000 + number).to_string(),
            subject: case.subject.clone(),
            opened_at: services.now - time::Duration::days(case.days_ago),
            resolved: case.resolved,
        });
        services.state.cases = earlier.map(OpenedCase::from).chain(opened).collect();
    }

    /// The tables of this run's AWS.
    fn dictionary(&self) -> Dictionary {
        let change = |name: &String| TableFile {
            gone: self.tables_missing.contains(name),
            with: self.columns_added.get(name).cloned().unwrap_or_default(),
            without: self.columns_missing.clone(),
            ..TableFile::default()
        };
        let names = Dictionary::default().tables().into_iter().map(|table| table.name);
        Dictionary::new(names.map(|name| (name.clone(), change(&name))).collect())
    }
}

/// The id of the organization that an account pays for; the same in every run.
pub fn organization_id(payer: &str) -> String {
    format!("o-{}", &hex::encode(Sha256::digest(payer))[..10])
}

/// What `DescribeOrganization` answers in one account.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Organization {
    /// `AWSOrganizationsNotInUseException`.
    #[default]
    None,
    /// The account is the management account.
    Management {
        /// `ALL` or `CONSOLIDATED_BILLING`.
        #[serde(default = "all_features")]
        feature_set: String,
        /// Bills that come from or go to other organizations.
        #[serde(default)]
        billing_transfers: Vec<BillingTransfer>,
    },
    /// The account is a member.
    Member {
        /// The account that pays.
        management_account_id: String,
        /// `ALL` or `CONSOLIDATED_BILLING`.
        #[serde(default = "all_features")]
        feature_set: String,
        /// The services that the account administers for its organization, as their principals.
        #[serde(default)]
        delegated_services: Vec<String>,
    },
    /// A service control policy denies the call.
    Denied,
}

fn all_features() -> String {
    "ALL".to_owned()
}

/// A transfer of the responsibility for a bill (AWS Organizations API Reference, `ResponsibilityTransfer`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BillingTransfer {
    /// Which way the bill goes.
    pub direction: Direction,
    /// The management account of the other organization.
    pub other: String,
    /// `ACCEPTED`, `REQUESTED`, `WITHDRAWN` and so on.
    pub status: String,
    /// Seconds since 1970.
    pub start: i64,
    /// Seconds since 1970; absent while it is open.
    #[serde(default)]
    pub end: Option<i64>,
}

impl From<&BillingTransfer> for TransferFile {
    fn from(transfer: &BillingTransfer) -> Self {
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Self {
            status: transfer.status.clone(),
            other: Some(transfer.other.clone()),
            start: time(transfer.start),
            end: transfer.end.and_then(time),
        }
    }
}

/// Which way a bill goes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From another organization to this one.
    Inbound,
    /// From this organization to another one.
    Outbound,
}

/// `ExportStatus` of Data Exports, and the runs of the export.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportStatus {
    /// `HEALTHY` or `UNHEALTHY`.
    pub code: String,
    /// `INSUFFICIENT_PERMISSION` and so on.
    #[serde(default)]
    pub reason: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub last_refreshed_at: Option<String>,
    /// In the order in which they are listed, which AWS does not promise to be any.
    #[serde(default)]
    pub executions: Vec<Execution>,
}

/// One run of an export.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// `DELIVERY_SUCCESS` and so on.
    pub code: String,
    /// `INSUFFICIENT_PERMISSION` and so on.
    #[serde(default)]
    pub reason: Option<String>,
    /// RFC 3339.
    pub created_at: String,
}

/// A case that was opened before the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupportCase {
    /// What it is about.
    pub subject: String,
    /// When it was opened.
    pub days_ago: i64,
    /// Resolved cases are listed on request only.
    pub resolved: bool,
}

/// `ReportStatus` of the cost and usage report API.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct ReportStatus {
    /// `20261122T031500Z`.
    pub last_delivery: String,
    /// `SUCCESS`, `ERROR_PERMISSIONS` or `ERROR_NO_BUCKET`.
    pub last_status: String,
}

/// One call that does not go as asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The signing name (`cur`, `bcm-data-exports`, `support`, `organizations`, `s3`, `cloudformation`), `vendor`, or `upload` for
    /// the response.
    pub service: String,
    /// The API operation; of the vendor `established`, `updated`, `removed` or `status`; of an upload the resource's logical id.
    pub operation: String,
    /// Which call of this operation fails, from 1; absent: every one.
    pub nth: Option<usize>,
    pub answer: FaultAnswer,
}

impl Fault {
    /// Whether it meets the `nth` call of an operation.
    pub fn meets(&self, service: &str, operation: &str, nth: usize) -> bool {
        self.service == service && self.operation == operation && self.nth.is_none_or(|wanted| wanted == nth)
    }
}

/// What happens instead of the call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAnswer {
    /// The service's error of this name, as its model describes it; the call is not made.
    Error(String),
    /// The service's throttling error (the vendor's: 429 with `Retry-After`); the call is not made.
    Throttle,
    /// An explicit deny in a service control policy (the vendor's: 403); the call is not made.
    Deny,
    /// An internal error; the call is not made.
    ServerError,
    /// The call is made after this many milliseconds, unless the caller has gone by then.
    LatencyMs(u64),
    /// The connection is reset; the call is not made.
    Reset,
    /// The call is made, and its answer comes this many milliseconds later.
    LateMs(u64),
    /// The call is made, and its answer ends half-way.
    Truncate,
    /// The call is made, and the connection closes without an answer.
    Lost,
    /// The function is killed; the call is not made.
    KillBefore,
    /// The call is made, and the function is killed before it hears of it.
    KillAfter,
}

/// Faults by chance: each call meets one, or none, by its seed, its operation and how many there were of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// The same seed gives the same faults.
    pub seed: u64,
    /// How many calls of a hundred meet a fault.
    pub percent: u8,
    /// Which, with equal chances; one that is listed twice has twice the chance.
    pub answers: Vec<FaultAnswer>,
}

impl Chaos {
    /// What meets the `nth` call of an operation.
    pub fn roll(&self, service: &str, operation: &str, nth: usize) -> Option<FaultAnswer> {
        let hash = Sha256::digest(format!("{} {service} {operation} {nth}", self.seed));
        let (chance, which) = (u64::from(hash[0]) * 100 / 256, usize::from(hash[1]));
        let met = chance < u64::from(self.percent);
        met.then(|| self.answers.get(which % self.answers.len().max(1)).cloned())?
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn every_scenario_file_parses_and_says_what_it_is_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
            let scenario = Scenario::named(&name).unwrap();
            assert!(!scenario.description.is_empty(), "`{name}` has no description");
            seen += 1;
        }
        assert!(seen > 0, "there are no scenarios");
    }

    #[test]
    fn a_misspelt_field_is_an_error() {
        assert!(serde_json::from_str::<Scenario>(r#"{"latency": 5}"#).is_err());
    }
}
