//! Tags on what is created: with it, or at once afterwards.

use std::future::Future;

use tracing::info;

use super::Run;
use crate::{
    aws::{Fault, FaultKind, Tags},
    billing::{ownership::is_own_tag, plan::Resource},
};

impl Run<'_> {
    /// Creates with tags; or, where AWS may refuse only the tags, without, and tags at once (F-49, B-1). A run that ends in between
    /// leaves a remnant, which the next one finds ([`ownership::is_remnant`](crate::billing::ownership::is_remnant)).
    pub(super) async fn create_tagged<T, F, Fut>(
        &self,
        tags: &Tags,
        create: F,
        resource: impl FnOnce(&T) -> Resource,
    ) -> Result<(T, Vec<String>), Fault>
    where
        F: Fn(Tags) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let fault = match create(tags.clone()).await {
            Err(fault) if fault.may_be_of_tags() => fault,
            answer => return answer.map(|made| (made, Vec::new())),
        };
        match create(Tags::new()).await {
            Ok(made) => {
                info!(action = fault.action, code = fault.code, "created without tags, which were refused");
                let remarks = self.tag(&resource(&made), tags).await?;
                Ok((made, remarks))
            }
            // It was not the tags.
            Err(again) if again.is_denial() => Err(fault),
            Err(again) => Err(again),
        }
    }

    /// Gives tags to what is ours. The ownership tags it must have; without the stack's it goes, and that is said.
    pub(super) async fn tag(&self, resource: &Resource, tags: &Tags) -> Result<Vec<String>, Fault> {
        let Err(fault) = self.add_tags(resource, tags).await else { return Ok(Vec::new()) };
        let own: Tags = tags.iter().filter(|(key, _)| is_own_tag(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
        if own.len() == tags.len() || fault.kind == FaultKind::Missing {
            return Err(fault);
        }
        if !own.is_empty() {
            self.add_tags(resource, &own).await?;
        }
        Ok(vec![format!("the stack's own tags are not on {resource}: {fault}")])
    }

    async fn add_tags(&self, resource: &Resource, tags: &Tags) -> Result<(), Fault> {
        match resource {
            Resource::Report(report) => self.retry_eventual(|| self.aws.tag_report(report, tags)).await,
            Resource::Export(arn) => self.retry_eventual(|| self.aws.tag_export(arn, tags)).await,
            // S3 replaces the whole set, so what it has is looked at as late as possible.
            Resource::Bucket(bucket) => {
                self.retry_bucket_conflict(|| async {
                    let mut all = self.aws.bucket_tags(bucket, self.owner).await?;
                    all.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
                    self.aws.put_bucket_tags(bucket, self.owner, &all).await
                })
                .await
            }
        }
    }
}
