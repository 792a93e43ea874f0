//! A Cost and Usage Report as the service `cur` holds it.

use super::{Format, Id, prefix_of};
use crate::names::{AccountId, BucketName, Partition, Region};

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
    /// Below which key.
    pub prefix: String,
    /// The bucket's Region.
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
const SPLIT_ELEMENT: &str = "SPLIT_COST_ALLOCATION_DATA";

impl Report {
    /// The same without split cost allocation data, if it asks for them.
    pub fn without_split(&self) -> Option<Self> {
        let elements: Vec<String> = self.elements.iter().filter(|element| *element != SPLIT_ELEMENT).cloned().collect();
        (elements.len() < self.elements.len()).then(|| Self { elements, ..self.clone() })
    }

    /// The definition Hawser makes: the most granular one there is, in the asked format.
    ///
    /// The S3 prefix differs by request, because re-creating an OVERWRITE_REPORT with the same name, bucket and prefix
    /// can corrupt its data (Cost and Usage Reports User Guide, "Editing your report"). It never ends in `/`, `|` or
    /// `.` (F-17).
    pub fn wanted(id: &Id, format: Format, bucket: &BucketName, region: &Region, request_id: &str) -> Self {
        let (file_format, compression, artifacts) = match format {
            Format::Parquet => ("Parquet", "Parquet", vec!["ATHENA".to_owned()]),
            Format::Csv => ("textORcsv", "GZIP", Vec::new()),
        };
        Self {
            name: id.report().as_str().to_owned(),
            time_unit: "HOURLY".to_owned(),
            format: file_format.to_owned(),
            compression: compression.to_owned(),
            elements: vec!["RESOURCES".to_owned(), SPLIT_ELEMENT.to_owned()],
            bucket: bucket.as_str().to_owned(),
            prefix: prefix_of(request_id),
            region: region.as_str().to_owned(),
            artifacts,
            versioning: "OVERWRITE_REPORT".to_owned(),
            refresh_closed: true,
            billing_view: None,
            last_status: None,
            last_delivery: None,
        }
    }

    /// The report's ARN.
    pub fn arn(&self, partition: Partition, region: &Region, account: &AccountId) -> String {
        format!("arn:{partition}:cur:{region}:{account}:definition/{}", self.name)
    }
}
