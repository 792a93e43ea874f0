//! What one id owns, and what of it is removed.

use crate::{
    aws::{Fault, FaultKind},
    billing::{
        facts::{OwnBucket, OwnExport, OwnedResources},
        id::ExportId,
    },
    error::Failure,
    names::BucketName,
};

/// What one id owns in the account.
pub(super) struct OwnershipFacts {
    pub(super) report: Option<OwnExport>,
    pub(super) bucket: OwnBucket,
    /// The report was listed, and is gone.
    pub(super) gone: bool,
    /// Why it is not known whose the report is that was listed.
    pub(super) unreadable: Option<Fault>,
}

/// What there is to remove, and why something is kept. A bucket that may not be looked at is another account's, as far as anyone can
/// tell; but beside a report of ours, or where a policy of this account's denies it, it is ours. So is one to which something may
/// deliver of which it is `unknown`, and why, whether it is there. What is kept does not keep the stack from going (F-27, F-55).
pub(super) fn remains(
    id: &ExportId,
    bucket: &BucketName,
    owned: OwnershipFacts,
    exports: Vec<String>,
    unknown: Option<String>,
) -> (OwnedResources, Vec<String>) {
    let report = owned.report.is_some();
    let unreadable = |fault: &Fault| format!("whose report `{}` is could not be read: {fault}", id.report());
    let unknown = owned.unreadable.as_ref().map(unreadable).or(unknown);
    let mut kept = Vec::new();
    match &owned.bucket {
        OwnBucket::Unreadable(fault) if report || !exports.is_empty() || fault.is_of_this_account() => {
            kept.push(format!("bucket `{bucket}` was kept, because it could not be looked at: {fault}"));
        }
        OwnBucket::Absent => {}
        _ => kept.extend(
            unknown
                .as_ref()
                .map(|why| format!("bucket `{bucket}` was kept, because something of this stack may still deliver to it: {why}")),
        ),
    }
    let is_own = matches!(owned.bucket, OwnBucket::Tagged { .. } | OwnBucket::Remnant { .. });
    (OwnedResources { report, exports, bucket: is_own && unknown.is_none() }, kept)
}

/// A bucket of ours, as far as its policy may be read: one that cannot be read cannot be added to.
pub(super) fn with_policy(
    policy: Result<Option<String>, Fault>,
    bucket: impl FnOnce(Option<String>) -> OwnBucket,
) -> Result<OwnBucket, Failure> {
    match policy {
        Ok(policy) => Ok(bucket(policy)),
        Err(fault) if fault.kind == FaultKind::Missing => Ok(OwnBucket::Absent),
        Err(fault) if fault.is_outage() => Err(fault.into()),
        Err(fault) => Ok(OwnBucket::Unreadable(fault)),
    }
}
