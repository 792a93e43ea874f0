//! A place that the customer brings, looked at before it is promised to the vendor (F-48).
//!
//! Keys are listed and nothing is read. What is found later belongs to the delivery check.

use std::time::Duration;

use super::{
    layout::{BucketListing, Periods, is_metadata, period_of},
    not_searched, nothing_at,
};
use crate::{
    aws::{Aws, Fault, FaultKind},
    billing::{Existing, Export, in_bucket_region},
    error::{Code, Failure},
    names::{AccountId, BucketName},
    ports::Ports,
    protocol::{origin::Origin, retry::retry_while},
};

/// The look ends then, whatever was seen: a bucket may have any number of folders, and a stack waits.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A manifest of a report or an export, or several.
    BillingData,
    /// No manifest: not yet, or not there.
    NoManifest,
    /// It is a whole bucket, and what is in it is something else.
    OtherData,
    /// No key is below it; this one begins with the same letters.
    Beginning(String),
    /// No manifest in what was looked at, and that is not everything.
    NotSearched,
    /// It is the key of an object.
    Object,
    /// It is inside of an export, whose keys are below this one.
    InsideExport(String),
}

/// Looks at the place that a request brings, if it brings one. `Some` is a remark on it: a new report has no data for a day, so that
/// an empty place may be right. No fault of the look fails a stack.
///
/// # Errors
/// [`Code::BillingExportUnusable`] for a place that can never be right.
pub async fn look(origin: &Origin, export: &Export, ports: &Ports<'_>) -> Result<Option<String>, Failure> {
    let Some(Existing::Bucket { bucket, prefix }) = &export.existing else { return Ok(None) };
    let owner = &origin.stack.account;
    let home = origin.stack.partition.billing_region().unwrap_or_else(|| origin.stack.region.clone());
    let seen = in_bucket_region(ports, &home, bucket, owner, |aws| async move {
        // Also on an Update: the permission to look into the bucket comes with its name.
        let may_pass = |kind| matches!(kind, FaultKind::Conflict | FaultKind::Denied);
        retry_while(ports.clock, may_pass, || place(&*aws, owner, bucket, prefix)).await
    });
    let seen = tokio::select! {
        biased;
        seen = seen => seen,
        () = ports.clock.sleep(LOOK_LIMIT) => {
            return Ok(Some(format!("bucket `{bucket}` has too many folders to look through them all now")));
        }
    };
    let unusable = |cause: String| Err(Failure::new(Code::BillingExportUnusable, cause));
    let not_found = |cause: String| Ok(Some(Failure::new(Code::BillingDataNotFound, cause).to_string()));
    match seen {
        Ok(Place::BillingData) => Ok(None),
        Ok(Place::NoManifest) => not_found(nothing_at(bucket.as_str(), prefix)),
        Ok(Place::NotSearched) => not_found(not_searched(bucket.as_str(), prefix)),
        Ok(Place::Beginning(key)) => {
            not_found(format!("{}; `{key}` begins with it and is not below it", nothing_at(bucket.as_str(), prefix)))
        }
        // It may be new and hold AWS's test object only.
        Ok(Place::OtherData) => {
            let cause = nothing_at(bucket.as_str(), prefix);
            not_found(format!("{cause}; without ExistingPrefix, the vendor may read everything else that it contains"))
        }
        Ok(Place::Object) => unusable(format!("`{prefix}` is an object in bucket `{bucket}`, and not a prefix")),
        Ok(Place::InsideExport(export)) => {
            let whole = if export.is_empty() { "the bucket without a prefix".to_owned() } else { format!("`{export}`") };
            unusable(format!("`{prefix}` in bucket `{bucket}` is a part of an export; all of its data are below {whole}"))
        }
        // Whether the bucket is there at all is asked for by the choice.
        Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
        Err(fault) => Ok(Some(format!("whether bucket `{bucket}` contains billing data could not be looked at: {fault}"))),
    }
}

async fn place(aws: &dyn Aws, owner: &AccountId, bucket: &BucketName, prefix: &str) -> Result<Place, Fault> {
    let listing = BucketListing { aws, owner, bucket };
    let Periods { found: periods, searched_all } = listing.periods(prefix, "").await?;
    if !searched_all && periods.is_empty() {
        return Ok(Place::NotSearched);
    }
    if !periods.is_empty() {
        // The folder of metadata holds the manifests, and not the files that they name.
        let is_here = |folder: &str| parent(folder.trim_end_matches('/')) == prefix && folder.contains('=');
        if is_metadata(prefix) && periods.iter().any(|(_, folder)| is_here(folder)) {
            return Ok(Place::InsideExport(parent(prefix).to_owned()));
        }
        let manifests = listing.manifests_at_ends("", &periods).await?;
        return Ok(if manifests.is_empty() { Place::NoManifest } else { Place::BillingData });
    }
    if prefix.is_empty() {
        let all = listing.listing("").await?;
        let is_empty = all.objects.is_empty() && all.folders.is_empty();
        return Ok(if is_empty { Place::NoManifest } else { Place::OtherData });
    }
    let below = listing.listing(&format!("{prefix}/")).await?;
    if !below.objects.is_empty() || !below.folders.is_empty() {
        return Ok(export_around(prefix).map_or(Place::NoManifest, |export| Place::InsideExport(export.to_owned())));
    }
    // A policy may allow the keys below the prefix and no others.
    let beside = match listing.listing(prefix).await {
        Err(fault) if fault.is_denial() => return Ok(Place::NoManifest),
        beside => beside?,
    };
    if beside.objects.iter().any(|object| object.key == prefix) {
        return Ok(Place::Object);
    }
    let first = beside.folders.into_iter().chain(beside.objects.into_iter().map(|object| object.key)).next();
    Ok(first.map_or(Place::NoManifest, Place::Beginning))
}

fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Below which key all data of a report are, if a key is that of one of its billing periods, or below it. Those of Data Exports have
/// `=` in them, which no prefix may have that is brought.
fn export_around(key: &str) -> Option<&str> {
    let keys = std::iter::successors(Some(key), |key| Some(parent(key)).filter(|key| !key.is_empty()));
    keys.into_iter().find(|key| period_of(key).is_some()).map(parent)
}
