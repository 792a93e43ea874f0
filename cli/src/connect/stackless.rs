//! The handler's ports where there is no stack: AWS as ever, and an honest answer to what the handler asks of CloudFormation.
//!
//! The handler asks whether a request is still wanted, because CloudFormation sends requests late, twice and out of order
//! ([`hawser::protocol::lifecycle`]). Here requests come from one place, one after the other, and the answer is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use hawser::{
    aws::{
        Aws, BillingTransfer, Buckets, Cloud, CostReports, DataExport, DataExports, Direction, Execution, ExportSummary, Fault,
        FolderListing, NewCase, Organization, Organizations, Report, StackResource, Stacks, Support, SupportCase, SupportService,
        Table, Tags, Version,
    },
    names::{AccountId, BucketName, ExportName, Region, StackId},
    ports::{Mailbox, NoResponse},
};
use time::OffsetDateTime;
use url::Url;

/// Told what was done, as it is done: one line each.
pub trait Progress: Send + Sync {
    /// One thing that was done.
    fn done(&self, what: &str);
}

/// Tells no one.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn done(&self, _what: &str) {}
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// AWS with a memory of its own in CloudFormation's place.
pub struct StacklessAws<'a> {
    cloud: &'a dyn Cloud,
    shared: Arc<Shared>,
}

struct Shared {
    /// What the connection has, by logical id: what CloudFormation would say of the stack.
    resources: Mutex<BTreeMap<String, StackResource>>,
    /// What AWS denied.
    denied: Mutex<BTreeSet<String>>,
    progress: Arc<dyn Progress>,
}

impl<'a> StacklessAws<'a> {
    /// Around AWS.
    pub fn new(cloud: &'a dyn Cloud, progress: Arc<dyn Progress>) -> Self {
        Self { cloud, shared: Arc::new(Shared { resources: Mutex::default(), denied: Mutex::default(), progress }) }
    }

    /// From now on, the connection has this resource and keeps it.
    pub fn mark_present(&self, logical_id: &str, physical_id: &str) {
        self.note(logical_id, "UPDATE_COMPLETE", physical_id);
    }

    /// From now on, this resource is being removed, whatever ids it had.
    pub fn mark_deleting(&self, logical_id: &str, physical_id: &str) {
        self.note(logical_id, "DELETE_IN_PROGRESS", physical_id);
    }

    fn note(&self, logical_id: &str, status: &str, physical_id: &str) {
        let resource = StackResource { status: status.to_owned(), physical_id: physical_id.to_owned() };
        locked(&self.shared.resources).insert(logical_id.to_owned(), resource);
    }

    /// The calls that AWS denied so far, in words.
    pub fn denied(&self) -> Vec<String> {
        locked(&self.shared.denied).iter().cloned().collect()
    }
}

impl Cloud for StacklessAws<'_> {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        Arc::new(StacklessRegion { aws: self.cloud.at(region), shared: Arc::clone(&self.shared) })
    }
}

/// AWS in one Region.
struct StacklessRegion {
    aws: Arc<dyn Aws>,
    shared: Arc<Shared>,
}

impl StacklessRegion {
    fn existing<T>(&self, answer: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &answer
            && fault.is_denial()
        {
            locked(&self.shared.denied).insert(fault.action.to_owned());
        }
        answer
    }

    fn report_done<T>(&self, answer: Result<T, Fault>, what: impl FnOnce() -> String) -> Result<T, Fault> {
        let answer = self.existing(answer);
        if answer.is_ok() {
            self.shared.progress.done(&what());
        }
        answer
    }
}

#[async_trait]
impl DataExports for StacklessRegion {
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault> {
        self.existing(self.aws.list_exports().await)
    }

    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault> {
        self.existing(self.aws.get_export(arn).await)
    }

    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault> {
        self.existing(self.aws.export_tags(arn).await)
    }

    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault> {
        self.report_done(self.aws.create_export(export, tags).await, || format!("created export `{}`", export.name))
    }

    async fn update_export(&self, export: &DataExport) -> Result<(), Fault> {
        self.report_done(self.aws.update_export(export).await, || format!("updated export `{}`", export.name))
    }

    async fn delete_export(&self, arn: &str) -> Result<(), Fault> {
        self.report_done(self.aws.delete_export(arn).await, || format!("removed export `{arn}`"))
    }

    async fn list_tables(&self) -> Result<Vec<Table>, Fault> {
        self.existing(self.aws.list_tables().await)
    }

    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        self.existing(self.aws.table_columns(table, properties).await)
    }

    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault> {
        self.existing(self.aws.last_execution(arn).await)
    }
}

#[async_trait]
impl Support for StacklessRegion {
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault> {
        self.existing(self.aws.support_services().await)
    }

    async fn support_severities(&self) -> Result<Vec<String>, Fault> {
        self.existing(self.aws.support_severities().await)
    }

    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault> {
        self.existing(self.aws.support_cases(after).await)
    }

    async fn open_case(&self, case: &NewCase) -> Result<String, Fault> {
        self.report_done(self.aws.open_case(case).await, || "requested past months from AWS Support".to_owned())
    }
}

/// Takes the handler's response in place of CloudFormation.
#[derive(Debug, Default)]
pub struct CapturedReply(Mutex<Option<Vec<u8>>>);

impl CapturedReply {
    /// The response, if there was one.
    pub fn take(&self) -> Option<Vec<u8>> {
        locked(&self.0).take()
    }
}

#[async_trait]
impl Mailbox for CapturedReply {
    async fn put(&self, _url: &Url, body: &[u8], _limit: Duration) -> Result<u16, NoResponse> {
        *locked(&self.0) = Some(body.to_vec());
        Ok(200)
    }
}

#[async_trait]
impl Organizations for StacklessRegion {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        self.existing(self.aws.describe_organization().await)
    }

    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault> {
        // A member that administers nothing may not even ask: that is an answer, and no permission that is lacking.
        self.aws.delegated_services(account).await
    }

    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        self.existing(self.aws.billing_transfers(direction).await)
    }
}

#[async_trait]
impl CostReports for StacklessRegion {
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        self.existing(self.aws.describe_reports().await)
    }

    async fn report_tags(&self, report: &ExportName) -> Result<Tags, Fault> {
        self.existing(self.aws.report_tags(report).await)
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        self.report_done(self.aws.put_report(report, tags).await, || format!("created report `{}`", report.name))
    }

    async fn delete_report(&self, report: &ExportName) -> Result<(), Fault> {
        self.report_done(self.aws.delete_report(report).await, || format!("removed report `{report}`"))
    }
}

#[async_trait]
impl Buckets for StacklessRegion {
    async fn bucket_key(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault> {
        self.existing(self.aws.bucket_key(bucket, owner).await)
    }

    async fn list_folder(&self, bucket: &BucketName, owner: &AccountId, prefix: &str) -> Result<FolderListing, Fault> {
        self.existing(self.aws.list_folder(bucket, owner, prefix).await)
    }

    async fn read_object(&self, bucket: &BucketName, owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault> {
        self.existing(self.aws.read_object(bucket, owner, key, max).await)
    }

    async fn bucket_exists(&self, bucket: &BucketName, owner: &AccountId) -> Result<bool, Fault> {
        self.existing(self.aws.bucket_exists(bucket, owner).await)
    }

    async fn bucket_region(&self, bucket: &BucketName, owner: &AccountId) -> Result<Region, Fault> {
        self.existing(self.aws.bucket_region(bucket, owner).await)
    }

    async fn bucket_tags(&self, bucket: &BucketName, owner: &AccountId) -> Result<Tags, Fault> {
        self.existing(self.aws.bucket_tags(bucket, owner).await)
    }

    async fn bucket_policy(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault> {
        self.existing(self.aws.bucket_policy(bucket, owner).await)
    }

    async fn create_bucket(&self, bucket: &BucketName, tags: &Tags) -> Result<(), Fault> {
        self.report_done(self.aws.create_bucket(bucket, tags).await, || format!("created bucket `{bucket}`"))
    }

    async fn block_public_access(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        self.report_done(self.aws.block_public_access(bucket, owner).await, || format!("blocked public access to `{bucket}`"))
    }

    async fn encrypt_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        self.report_done(self.aws.encrypt_bucket(bucket, owner).await, || format!("encrypted `{bucket}` by default"))
    }

    async fn expire_uploads(&self, bucket: &BucketName, owner: &AccountId, days: u16) -> Result<(), Fault> {
        self.report_done(self.aws.expire_uploads(bucket, owner, days).await, || {
            format!("set unfinished uploads to `{bucket}` to expire after {days} days")
        })
    }

    async fn put_bucket_policy(&self, bucket: &BucketName, owner: &AccountId, policy: &str) -> Result<(), Fault> {
        self.report_done(self.aws.put_bucket_policy(bucket, owner, policy).await, || {
            format!("allowed AWS to deliver to `{bucket}`")
        })
    }

    async fn list_versions(&self, bucket: &BucketName, owner: &AccountId, prefix: &str, max: u16) -> Result<Vec<Version>, Fault> {
        self.existing(self.aws.list_versions(bucket, owner, prefix, max).await)
    }

    async fn delete_versions(&self, bucket: &BucketName, owner: &AccountId, versions: &[Version]) -> Result<(), Fault> {
        self.report_done(self.aws.delete_versions(bucket, owner, versions).await, || {
            format!("removed {} objects from `{bucket}`", versions.len())
        })
    }

    async fn delete_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        self.report_done(self.aws.delete_bucket(bucket, owner).await, || format!("removed bucket `{bucket}`"))
    }
}

#[async_trait]
impl Stacks for StacklessAws<'_> {
    async fn stack_status(&self, _stack: &StackId) -> Result<String, Fault> {
        // Nothing here ever rolls back: what failed half-way is finished by running again.
        Ok("UPDATE_IN_PROGRESS".to_owned())
    }

    async fn stack_resource(&self, _stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        Ok(locked(&self.shared.resources).get(logical_id).cloned())
    }
}
