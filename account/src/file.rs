//! An account as a file describes it: the input of `hawser plan`, and of the stories in `tests/cases`.

use std::collections::BTreeMap;

use hawser::{
    aws::{DataExport, ExportStatus, Report, TableConfigurations, Tags},
    names::rfc3339,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

pub use crate::creation::{CreationFile, TagsAtCreation};
use crate::{
    ACCOUNT, EPOCH,
    tables::{self, TableFile},
};

/// An account as a file describes it: the input of `hawser plan` and of the cases in `tests/cases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountFile {
    /// The account's place in its organization.
    pub organization: OrganizationFile,
    /// The services that the account, a member, administers for its organization; absent where it administers none, so
    /// that it may not even ask.
    pub delegated_services: Option<Vec<String>>,
    /// Transfers of its bill, which only a management account has.
    pub transfers: TransfersFile,
    /// Its Cost and Usage Reports.
    pub reports: Vec<ReportFile>,
    pub exports: Vec<ExportFile>,
    /// Buckets, its own and other accounts'.
    pub buckets: Vec<BucketFile>,
    /// How many reports AWS allows; the documentation says 10, the API's error text says 5.
    pub report_limit: usize,
    /// Nobody in the account may use Data Exports.
    pub data_exports_denied: bool,
    /// AWS does not take a second export of the same name. Its documentation does not say.
    pub export_names_unique: bool,
    /// Split cost allocation data is switched on in the payer's preferences.
    pub split_cost_allocation: bool,
    /// What the tables of Data Exports have differently, by name.
    pub tables: BTreeMap<String, TableFile>,
    /// Its plan with AWS Support.
    pub support: SupportFile,
    /// What `DescribeStacks` answers of the stack's own tags; nobody may ask where it is null.
    pub stack_tags: Option<Tags>,
    /// What is demanded of things that are made, and what is refused.
    pub creation: CreationFile,
}

impl Default for AccountFile {
    fn default() -> Self {
        Self {
            organization: OrganizationFile::None,
            delegated_services: None,
            transfers: TransfersFile::default(),
            reports: Vec::new(),
            exports: Vec::new(),
            buckets: Vec::new(),
            report_limit: 10,
            data_exports_denied: false,
            export_names_unique: false,
            split_cost_allocation: true,
            tables: BTreeMap::new(),
            support: SupportFile::default(),
            stack_tags: Some(Tags::new()),
            creation: CreationFile::default(),
        }
    }
}

/// What `DescribeOrganization` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum OrganizationFile {
    /// In no organization.
    #[default]
    None,
    #[serde(rename_all = "camelCase")]
    Member {
        /// `o-…`
        id: String,
        /// The account that pays; the account's own id makes it the management account.
        management_account: Option<String>,
        /// `ALL` or `CONSOLIDATED_BILLING`
        feature_set: String,
    },
    /// The account may not ask.
    Denied,
}

/// Transfers of the responsibility for bills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TransfersFile {
    /// This organization's bill goes elsewhere.
    pub outbound: Vec<TransferFile>,
    /// Other organizations' bills come here.
    pub inbound: Vec<TransferFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferFile {
    /// `REQUESTED`, `DECLINED`, `CANCELED`, `EXPIRED`, `ACCEPTED` or `WITHDRAWN`.
    pub status: String,
    /// The other organization's management account.
    #[serde(default)]
    pub other: Option<String>,
    /// From when on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub start: Option<OffsetDateTime>,
    /// Until when.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub end: Option<OffsetDateTime>,
}

/// A plan with AWS Support.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SupportFile {
    /// Whether it has an API.
    pub plan: SupportPlan,
    /// Cases that were opened.
    pub cases: Vec<CaseFile>,
}

/// Whether AWS Support answers calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SupportPlan {
    /// A plan without an API: `SubscriptionRequiredException`.
    #[default]
    None,
    /// Business, Enterprise or above.
    Paid,
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
    /// What a person calls it by.
    pub display_id: String,
    pub subject: String,
    /// When it was opened.
    #[serde(default = "CaseFile::yesterday", with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
    #[serde(default)]
    pub resolved: bool,
}

impl CaseFile {
    pub(crate) fn yesterday() -> OffsetDateTime {
        EPOCH - time::Duration::days(1)
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportFile {
    pub name: String,
    pub bucket: String,
    #[serde(default = "ReportFile::prefix")]
    pub prefix: String,
    #[serde(default = "ReportFile::region")]
    pub region: String,
    /// `HOURLY`, `DAILY` or `MONTHLY`.
    #[serde(default = "ReportFile::time_unit")]
    pub time_unit: String,
    /// `Parquet` or `textORcsv`.
    #[serde(default = "ReportFile::format")]
    pub format: String,
    /// `Parquet`, `GZIP` or `ZIP`.
    #[serde(default = "ReportFile::format")]
    pub compression: String,
    /// Additional schema elements.
    #[serde(default = "ReportFile::elements")]
    pub elements: Vec<String>,
    /// `ATHENA`, `REDSHIFT`, `QUICKSIGHT`.
    #[serde(default)]
    pub artifacts: Vec<String>,
    /// `OVERWRITE_REPORT` or `CREATE_NEW_REPORT`.
    #[serde(default = "ReportFile::versioning")]
    pub versioning: String,
    /// For a Billing Conductor view.
    #[serde(default)]
    pub billing_view: Option<String>,
    /// The last delivery's status.
    #[serde(default)]
    pub last_status: Option<String>,
    /// `RefreshClosedReports`
    #[serde(default = "ReportFile::refresh_closed_reports")]
    pub refresh_closed_reports: bool,
    /// When data was last delivered. Left out, it was this morning, and never of what a stack has created; `null` says never.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<Option<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl ReportFile {
    /// The report and its tags, as they stand in an account.
    pub fn into_report(self) -> (Report, Tags) {
        let delivers = self.tags.is_empty();
        let report = Report {
            name: self.name,
            time_unit: self.time_unit,
            format: self.format,
            compression: self.compression,
            elements: self.elements,
            bucket: self.bucket,
            prefix: self.prefix,
            region: self.region,
            artifacts: self.artifacts,
            versioning: self.versioning,
            refresh_closed: self.refresh_closed_reports,
            billing_view: self.billing_view,
            last_status: self.last_status,
            last_delivery: self.last_delivery.unwrap_or_else(|| delivers.then(|| compact(this_morning()))),
        };
        (report, self.tags)
    }

    /// A report that suits and delivers, without tags.
    pub fn hourly(name: &str, bucket: &str) -> Self {
        Self {
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            prefix: Self::prefix(),
            region: Self::region(),
            time_unit: Self::time_unit(),
            format: Self::format(),
            compression: Self::format(),
            elements: Self::elements(),
            artifacts: Vec::new(),
            versioning: Self::versioning(),
            billing_view: None,
            last_status: None,
            refresh_closed_reports: Self::refresh_closed_reports(),
            last_delivery: None,
            tags: Tags::new(),
        }
    }
    fn refresh_closed_reports() -> bool {
        true
    }
    fn prefix() -> String {
        "billing".to_owned()
    }
    fn region() -> String {
        "us-east-1".to_owned()
    }
    fn time_unit() -> String {
        "HOURLY".to_owned()
    }
    fn format() -> String {
        "Parquet".to_owned()
    }
    fn elements() -> Vec<String> {
        vec!["RESOURCES".to_owned()]
    }
    fn versioning() -> String {
        "OVERWRITE_REPORT".to_owned()
    }
}

fn this_morning() -> OffsetDateTime {
    EPOCH - time::Duration::hours(4)
}

/// A time as the report service writes it in `lastDelivery`.
pub fn compact(at: OffsetDateTime) -> String {
    at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default()
}

/// A value that is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A Data Export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportFile {
    pub name: String,
    /// The end of its ARN; made from the name where it is not given.
    #[serde(default)]
    pub id: Option<String>,
    pub bucket: String,
    /// Whose bucket it is; the export's own account when absent.
    #[serde(default)]
    pub bucket_owner: Option<String>,
    #[serde(default = "ReportFile::prefix")]
    pub prefix: String,
    #[serde(default = "ReportFile::region")]
    pub region: String,
    /// The table that it selects from.
    #[serde(default = "ExportFile::table")]
    pub table: String,
    /// The table's configuration; of CUR 2.0 the most granular where it is not given.
    #[serde(default)]
    pub configuration: Option<BTreeMap<String, String>>,
    /// The query; every column of the table where it is not given.
    #[serde(default)]
    pub query: Option<String>,
    /// Columns that the query leaves out.
    #[serde(default)]
    pub without: Vec<String>,
    /// `CUSTOM`, `ATHENA` or `REDSHIFT`.
    #[serde(default = "ExportFile::output_type")]
    pub output_type: String,
    /// `PARQUET` or `TEXT_OR_CSV`.
    #[serde(default = "ExportFile::format")]
    pub format: String,
    /// `PARQUET`, `GZIP` or `ZIP`.
    #[serde(default = "ExportFile::format")]
    pub compression: String,
    /// `OVERWRITE_REPORT` or `CREATE_NEW_REPORT`.
    #[serde(default = "ReportFile::versioning")]
    pub overwrite: String,
    /// `HEALTHY` or `UNHEALTHY`.
    #[serde(default = "ExportFile::status")]
    pub status: String,
    /// Why it is not healthy.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was made.
    #[serde(default = "ExportFile::created_at")]
    pub created_at: String,
    /// When data was last delivered. Left out, it was this morning, and never of what a stack has created; `null` says never.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub last_refreshed_at: Option<Option<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl ExportFile {
    /// An export of CUR 2.0 that suits and delivers, without tags.
    pub fn hourly(name: &str, bucket: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            bucket: bucket.to_owned(),
            bucket_owner: None,
            prefix: ReportFile::prefix(),
            region: ReportFile::region(),
            table: Self::table(),
            configuration: None,
            query: None,
            without: Vec::new(),
            output_type: Self::output_type(),
            format: Self::format(),
            compression: Self::format(),
            overwrite: ReportFile::versioning(),
            status: Self::status(),
            reason: None,
            created_at: Self::created_at(),
            last_refreshed_at: None,
            tags: Tags::new(),
        }
    }

    /// The export and its tags, as they stand in an account with this dictionary.
    pub fn into_export(self, dictionary: &tables::Dictionary) -> (DataExport, Tags) {
        let delivers = self.tags.is_empty();
        let configuration = self.configuration.unwrap_or_else(|| tables::most_granular(&self.table));
        let query = self.query.unwrap_or_else(|| {
            let columns = dictionary.columns(ACCOUNT, &self.table, &configuration).unwrap_or_default();
            let kept: Vec<String> = columns.into_iter().filter(|column| !self.without.contains(column)).collect();
            format!("SELECT {} FROM {}", kept.join(", "), self.table)
        });
        let id = self.id.unwrap_or_else(|| tables::uuid(&[&self.name]));
        let export = DataExport {
            arn: format!("arn:aws:bcm-data-exports:us-east-1:{ACCOUNT}:export/{}-{id}", self.name),
            name: self.name,
            description: String::new(),
            query,
            tables: TableConfigurations::from([(self.table, configuration)]),
            bucket: self.bucket,
            bucket_owner: self.bucket_owner,
            prefix: self.prefix,
            region: self.region,
            output_type: self.output_type,
            format: self.format,
            compression: self.compression,
            overwrite: self.overwrite,
            status: ExportStatus {
                code: self.status,
                reason: self.reason,
                created_at: Some(self.created_at),
                last_refreshed_at: self.last_refreshed_at.unwrap_or_else(|| delivers.then(|| rfc3339(this_morning()))),
            },
        };
        (export, self.tags)
    }

    fn table() -> String {
        tables::CUR2.to_owned()
    }
    fn output_type() -> String {
        "CUSTOM".to_owned()
    }
    fn format() -> String {
        "PARQUET".to_owned()
    }
    fn status() -> String {
        "HEALTHY".to_owned()
    }
    fn created_at() -> String {
        rfc3339(EPOCH - time::Duration::days(200))
    }
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketFile {
    pub name: String,
    #[serde(default = "ReportFile::region")]
    pub region: String,
    /// Another account's, if given.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub policy: Option<Value>,
    #[serde(default)]
    pub objects: Vec<ObjectFile>,
    /// The customer's KMS key that new objects are encrypted with.
    #[serde(default)]
    pub kms_key: Option<String>,
}

/// An object: its key alone, or more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ObjectFile {
    /// Something of which only the key matters.
    Key(String),
    /// Something that is looked at.
    Whole(WholeObject),
}

/// An object that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeObject {
    pub(crate) key: String,
    /// Bytes; as many as the body has where they are not given.
    #[serde(default)]
    pub(crate) size: Option<u64>,
    /// `LastModified`
    #[serde(default = "CaseFile::yesterday", with = "time::serde::rfc3339")]
    pub(crate) modified: OffsetDateTime,
    /// What it holds: text as it is, anything else as JSON.
    #[serde(default)]
    pub(crate) body: Value,
    /// Object Lock or a legal hold keeps it.
    #[serde(default)]
    pub(crate) locked: bool,
}

impl BucketFile {
    /// A bucket of the customer's, with data, where AWS may deliver, with a statement of the customer's own besides.
    pub fn customers(name: &str) -> Self {
        let deny = json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*",
        });
        let deliver = json!({
            "Effect": "Allow", "Principal": { "Service": ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"] },
            "Action": ["s3:GetBucketPolicy", "s3:PutObject"], "Resource": "*",
        });
        Self {
            name: name.to_owned(),
            region: ReportFile::region(),
            owner: None,
            tags: Tags::new(),
            policy: Some(json!({ "Version": "2012-10-17", "Statement": [deny, deliver] })),
            objects: ["billing/finance/1.parquet", "notes.txt"].map(|key| ObjectFile::Key(key.to_owned())).into(),
            kms_key: None,
        }
    }
}
