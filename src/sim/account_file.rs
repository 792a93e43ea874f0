//! An account as a file describes it: the input of `hawser plan`, and of the stories in `tests/cases`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::billing::{Report, Tags};

/// An account as a file describes it: the input of `hawser plan` and of the cases in `tests/cases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountFile {
    /// The account's place in its organization.
    #[serde(default)]
    pub organization: OrganizationFile,
    /// Its Cost and Usage Reports.
    #[serde(default)]
    pub reports: Vec<ReportFile>,
    /// Buckets, its own and other accounts'.
    #[serde(default)]
    pub buckets: Vec<BucketFile>,
    /// How many reports AWS allows; the documentation says 10, the API's error text says 5.
    #[serde(default = "report_limit")]
    pub report_limit: usize,
}

fn report_limit() -> usize {
    10
}

impl Default for AccountFile {
    fn default() -> Self {
        Self { organization: OrganizationFile::None, reports: Vec::new(), buckets: Vec::new(), report_limit: report_limit() }
    }
}

/// What `DescribeOrganization` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum OrganizationFile {
    /// In no organization.
    #[default]
    None,
    /// In one.
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

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportFile {
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub bucket: String,
    /// Below which key.
    #[serde(default = "ReportFile::prefix")]
    pub prefix: String,
    /// The bucket's Region.
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
    /// For a Billing Conductor view.
    #[serde(default)]
    pub billing_view: Option<String>,
    /// The last delivery's status.
    #[serde(default)]
    pub last_status: Option<String>,
    /// When data was last delivered.
    #[serde(default)]
    pub last_delivery: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

impl ReportFile {
    /// The report and its tags, as they stand in an account.
    pub(super) fn into_report(self) -> (Report, Tags) {
        let report = Report {
            name: self.name,
            time_unit: self.time_unit,
            format: self.format,
            compression: self.compression,
            elements: self.elements,
            bucket: self.bucket,
            prefix: self.prefix,
            region: self.region,
            artifacts: Vec::new(),
            versioning: "OVERWRITE_REPORT".to_owned(),
            refresh_closed: true,
            billing_view: self.billing_view,
            last_status: self.last_status,
            last_delivery: self.last_delivery,
        };
        (report, self.tags)
    }

    /// A report that would suit, without tags and without a delivery yet.
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
            billing_view: None,
            last_status: None,
            last_delivery: None,
            tags: Tags::new(),
        }
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
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketFile {
    /// Its name.
    pub name: String,
    /// Its Region.
    #[serde(default = "ReportFile::region")]
    pub region: String,
    /// Another account's, if given.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// Its policy document.
    #[serde(default)]
    pub policy: Option<Value>,
    /// Keys of its objects.
    #[serde(default)]
    pub objects: Vec<String>,
}

impl BucketFile {
    /// A bucket of the customer's, with data and with a policy of its own.
    pub fn customers(name: &str) -> Self {
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*" });
        Self {
            name: name.to_owned(),
            region: ReportFile::region(),
            owner: None,
            tags: Tags::new(),
            policy: Some(json!({ "Version": "2012-10-17", "Statement": deny })),
            objects: vec!["billing/finance/1.parquet".to_owned(), "notes.txt".to_owned()],
        }
    }
}
