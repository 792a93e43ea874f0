//! What Hawser asks AWS to deliver.

use super::{
    id::{ExportId, prefix_of},
    request::{Format, Versioning},
};
use crate::{
    aws::{Report, SPLIT_ELEMENT},
    names::{BucketName, Region},
};

/// The definition Hawser makes: the most granular one there is, in the asked format.
///
/// The S3 prefix differs by request, because re-creating an OVERWRITE_REPORT with the same name, bucket and prefix
/// can corrupt its data (Cost and Usage Reports User Guide, "Editing your report"). It never ends in `/`, `|` or
/// `.` (F-17).
///
/// The files for Athena come only with Parquet that is overwritten (ibid., "Creating reports"); that it may be had without them, delivered as new versions, is B-18.
pub fn report(
    id: &ExportId,
    (format, versioning): (Format, Versioning),
    bucket: &BucketName,
    region: &Region,
    request_id: &str,
) -> Report {
    let (file_format, compression) = match format {
        Format::Parquet => ("Parquet", "Parquet"),
        Format::Csv => ("textORcsv", "GZIP"),
    };
    let for_athena = (format, versioning) == (Format::Parquet, Versioning::OverwriteReport);
    Report {
        name: id.report().as_str().to_owned(),
        time_unit: "HOURLY".to_owned(),
        format: file_format.to_owned(),
        compression: compression.to_owned(),
        elements: vec!["RESOURCES".to_owned(), SPLIT_ELEMENT.to_owned()],
        bucket: bucket.as_str().to_owned(),
        prefix: prefix_of(request_id),
        region: region.as_str().to_owned(),
        artifacts: for_athena.then(|| "ATHENA".to_owned()).into_iter().collect(),
        versioning: versioning.in_aws().to_owned(),
        refresh_closed: true,
        billing_view: None,
        last_status: None,
        last_delivery: None,
    }
}
