//! Cost and Usage Reports (service `cur`).

use async_trait::async_trait;

use super::{Fault, Tags};
use crate::names::{AccountId, ExportName, Partition, Region};

/// The calls of Cost and Usage Reports.
#[async_trait]
pub trait CostReports: Send + Sync {
    /// `cur:DescribeReportDefinitions`, every page (HW-B4).
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault>;
    /// `cur:ListTagsForResource`
    async fn report_tags(&self, report: &ExportName) -> Result<Tags, Fault>;
    /// `cur:PutReportDefinition`; without tags if there are none.
    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault>;
    /// `cur:TagResource`: adds these tags to those it has.
    async fn tag_report(&self, report: &ExportName, tags: &Tags) -> Result<(), Fault>;
    /// `cur:DeleteReportDefinition`; one that is gone already is success.
    async fn delete_report(&self, report: &ExportName) -> Result<(), Fault>;
}

/// A Cost and Usage Report definition, in the service's own words so that nothing is lost in translation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Unique in the account.
    pub name: String,
    /// `HOURLY`, `DAILY` or `MONTHLY`.
    pub time_unit: String,
    /// `Parquet` or `textORcsv`.
    pub format: String,
    /// `Parquet`, `GZIP` or `ZIP`.
    pub compression: String,
    /// `RESOURCES`, `SPLIT_COST_ALLOCATION_DATA`, and what AWS adds; compared as a set.
    pub elements: Vec<String>,
    /// Where data is delivered.
    pub bucket: String,
    pub prefix: String,
    pub region: String,
    /// `ATHENA`, `REDSHIFT`, `QUICKSIGHT`.
    pub artifacts: Vec<String>,
    /// `OVERWRITE_REPORT` or `CREATE_NEW_REPORT`.
    pub versioning: String,
    /// Whether closed months are issued again when AWS corrects them.
    pub refresh_closed: bool,
    /// For a Billing Conductor view; such a report holds a group's costs at other rates.
    pub billing_view: Option<String>,
    /// `SUCCESS`, `ERROR_PERMISSIONS` or `ERROR_NO_BUCKET`; absent until the first attempt.
    pub last_status: Option<String>,
    /// When data was last delivered; absent until then.
    pub last_delivery: Option<String>,
}

/// The element that an account may not be opted in to.
pub const SPLIT_ELEMENT: &str = "SPLIT_COST_ALLOCATION_DATA";

impl Report {
    /// The same without split cost allocation data, if it asks for them.
    pub fn without_split_columns(&self) -> Option<Self> {
        let elements: Vec<String> = self.elements.iter().filter(|element| *element != SPLIT_ELEMENT).cloned().collect();
        (elements.len() < self.elements.len()).then(|| Self { elements, ..self.clone() })
    }

    /// The report's ARN.
    pub fn arn(&self, partition: Partition, region: &Region, account: &AccountId) -> String {
        format!("arn:{partition}:cur:{region}:{account}:definition/{}", self.name)
    }
}
