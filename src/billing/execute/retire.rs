//! What is removed, and what is kept where it may not be.

use std::collections::BTreeSet;

use super::{Journal, Run, StepError};
use crate::{
    aws::{Fault, FaultKind, TEST_OBJECT, Version},
    billing::plan::Resource,
    names::BucketName,
    protocol::retry::EVENTUAL_CONSISTENCY,
};

/// `DeleteObjects` takes at most 1,000 keys (Amazon S3 API Reference).
const VERSIONS_PER_DELETE: u16 = 1000;

/// Deleting data stops this long before the work has to end, so that the stack's deletion never fails because of the
/// amount of data (F-27).
const DATA_RESERVE: time::Duration = time::Duration::seconds(15);

impl Run<'_> {
    /// A report or an export that AWS does not let the handler remove stays, with its ownership tags, and does not keep the stack from
    /// going or from rolling back (F-55). It goes on delivering, so its bucket stays too: a name that is free could be taken by
    /// somebody else, who would then get the bill. What may pass is a failure.
    pub(super) async fn retire(&self, resource: Resource, bucket: &BucketName) -> Result<Journal, StepError> {
        let answer = match &resource {
            Resource::Report(report) => self.retry_eventual(|| self.aws.delete_report(report)).await,
            Resource::Export(arn) => self.retry_eventual(|| self.aws.delete_export(arn)).await,
            Resource::Bucket(bucket) => return self.retire_empty_bucket(bucket).await,
        };
        match answer {
            Ok(()) => Ok(Journal::done(format!("removed {resource}"))),
            Err(fault) if fault.is_outage() => Err(fault.into()),
            Err(fault) => Ok(Journal {
                kept: Some(bucket.clone()),
                ..Journal::remark(format!(
                    "{resource} was kept, because it could not be removed, and goes on delivering to bucket `{bucket}`, which was kept \
                     with it: {fault}"
                ))
            }),
        }
    }

    /// Removes what may be removed. What somebody holds back, by a policy, Object Lock, a legal hold or MFA delete, is kept with its
    /// bucket, which carries our tags, and the stack goes (F-27, F-55).
    pub(super) async fn retire_data(&self, bucket: &BucketName, prefix: &str) -> Result<Journal, StepError> {
        let (mut count, mut held, mut why) = (0, BTreeSet::new(), None);
        let remark = loop {
            let page = self.retry_eventual(|| self.aws.list_versions(bucket, self.owner, prefix, VERSIONS_PER_DELETE)).await;
            let page = match page {
                Err(fault) if fault.kind == FaultKind::Missing => Vec::new(),
                Err(fault) if !fault.is_outage() => break Some(format!("the data in bucket `{bucket}` were kept: {fault}")),
                page => page?,
            };
            // Whatever was said of them: what is not listed any more is gone.
            let still_there = !page.is_empty();
            let removable: Vec<Version> = page.into_iter().filter(|version| !held.contains(version)).collect();
            if removable.is_empty() {
                break why.filter(|_| still_there).map(|fault: Fault| {
                    format!("data in bucket `{bucket}` were kept, because they could not be deleted: {fault}")
                });
            }
            if self.ports.clock.now() + DATA_RESERVE > self.until {
                break Some(format!("bucket `{bucket}` still contains data: there was too much to delete in time"));
            }
            match self.delete_versions(bucket, &removable).await {
                // Those of them that are listed again are held; S3 tells of one only.
                Err(fault) if !fault.is_outage() => {
                    held.extend(removable);
                    why = Some(fault);
                }
                answer => {
                    answer?;
                    count += removable.len();
                }
            }
        };
        let done = (count > 0).then(|| format!("removed {count} object{} from `{bucket}`", if count == 1 { "" } else { "s" }));
        Ok(Journal { done, remarks: remark.into_iter().collect(), ..Journal::default() })
    }

    /// The call succeeds when S3 cannot remove single keys now, so nobody tries these again (Amazon S3 API Reference, `DeleteObjects`).
    async fn delete_versions(&self, bucket: &BucketName, versions: &[Version]) -> Result<(), Fault> {
        let mut tries = EVENTUAL_CONSISTENCY.tries(self.ports.clock, Some(self.until));
        loop {
            match self.retry_eventual(|| self.aws.delete_versions(bucket, self.owner, versions)).await {
                Err(fault) if fault.is_outage() && tries.again(&fault, None).await => {}
                answer => return answer,
            }
        }
    }

    /// Removes the bucket if it is empty. Whatever keeps it does not keep the stack from going (F-27, F-55).
    async fn retire_empty_bucket(&self, bucket: &BucketName) -> Result<Journal, StepError> {
        let kept = |fault: Fault| match fault.kind {
            FaultKind::NotEmpty => Ok(Journal::remark(format!("bucket `{bucket}` was kept, because it contains data"))),
            _ if fault.is_outage() => Err(fault.into()),
            _ => Ok(Journal::remark(format!("bucket `{bucket}` was kept: {fault}"))),
        };
        // Two are enough to tell "only AWS's test object" from "data".
        let page: Vec<Version> = match self.retry_eventual(|| self.aws.list_versions(bucket, self.owner, "", 2)).await {
            Err(fault) if fault.kind == FaultKind::Missing => return Ok(Journal::default()),
            Err(fault) => return kept(fault),
            Ok(page) => page,
        };
        let refused = match page.as_slice() {
            [] => None,
            [only] if only.key == TEST_OBJECT => match self.delete_versions(bucket, &page).await {
                Err(fault) if fault.is_outage() => return Err(fault.into()),
                answer => answer.err(),
            },
            _ => return Ok(Journal::remark(format!("bucket `{bucket}` was kept, because it contains data"))),
        };
        // S3 itself is the judge: an object that arrived since the look, or could not be deleted, keeps its bucket.
        match self.retry_eventual(|| self.aws.delete_bucket(bucket, self.owner)).await {
            Ok(()) => Ok(Journal::done(format!("removed bucket `{bucket}`"))),
            Err(fault) if fault.kind == FaultKind::NotEmpty => kept(refused.unwrap_or(fault)),
            Err(fault) => kept(fault),
        }
    }
}
