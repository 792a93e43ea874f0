//! Where a bucket answers.

use std::{future::Future, sync::Arc};

use crate::{
    aws::{Aws, Fault, FaultKind},
    names::{AccountId, BucketName, Region},
    ports::Ports,
};

/// The action that asks for a bucket's Region.
const LOCATION: &str = "s3:GetBucketLocation";

/// Asks about a bucket in the Region where it is said to be; and where S3 says that it is elsewhere, there (F-45, B-11): S3 answers
/// only in a bucket's own Region, and elsewhere with 301, or with 400 in Regions that have to be enabled. Where such an answer names
/// no Region, `GetBucketLocation` is asked, which most Regions answer for all.
///
/// # Errors
/// What the last call ended in.
pub(crate) async fn in_bucket_region<T, F, Fut>(
    ports: &Ports<'_>,
    home: &Region,
    bucket: &BucketName,
    owner: &AccountId,
    call: F,
) -> Result<T, Fault>
where
    F: Fn(Arc<dyn Aws>) -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let fault = match call(ports.cloud.at(home)).await {
        Err(fault) if fault.bucket_region.is_some() || fault.kind == FaultKind::Refused => fault,
        answer => return answer,
    };
    let region = match &fault.bucket_region {
        Some(region) => Some(region.clone()),
        None if fault.action == LOCATION => None,
        None => ports.cloud.at(home).bucket_region(bucket, owner).await.ok(),
    };
    match region {
        Some(region) if region != *home => call(ports.cloud.at(&region)).await,
        _ => Err(fault),
    }
}
