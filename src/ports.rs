//! What Hawser needs of the world, in its own words. SDK types, HTTP and the clock stop here.
//!
//! One trait per remote party: [`Aws`], [`Vendor`], [`Mailbox`], and [`Clock`]; [`Identity`] signs locally.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use thiserror::Error;
use time::OffsetDateTime;
use url::Url;

use crate::{
    billing::{
        Report, Tags,
        export::{DataExport, ExportSummary, Table},
    },
    connection::{Proof, ProofRequest},
    error::Failure,
    names::{AccountId, BucketName, Region, ReportName, StackId},
    organization::Organization,
};

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "aws")]
pub mod real;
#[cfg(feature = "aws")]
pub mod web;

/// Everything outside, as the handler is given it.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// AWS, by Region.
    pub cloud: &'a dyn Cloud,
    /// The signer of the proof of identity.
    pub identity: &'a dyn Identity,
    /// The vendor.
    pub vendor: &'a dyn Vendor,
    /// Where responses are uploaded.
    pub mailbox: &'a dyn Mailbox,
    /// Time.
    pub clock: &'a dyn Clock,
}

/// AWS as seen from one account.
pub trait Cloud: Send + Sync {
    /// The account's billing services and buckets, through the given Region's endpoints.
    fn at(&self, region: &Region) -> Arc<dyn Aws>;
}

/// The calls of Data Exports (`bcm-data-exports`).
#[async_trait]
pub trait Exports: Send + Sync {
    /// `bcm-data-exports:ListExports`, every page (HW-B4).
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault>;
    /// `bcm-data-exports:GetExport`
    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault>;
    /// `bcm-data-exports:ListTagsForResource`, every page.
    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault>;
    /// `bcm-data-exports:CreateExport`; the new export's ARN. The service knows no idempotency token.
    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault>;
    /// `bcm-data-exports:UpdateExport`, which takes the whole definition.
    async fn update_export(&self, export: &DataExport) -> Result<(), Fault>;
    /// `bcm-data-exports:DeleteExport`; one that is gone already is success.
    async fn delete_export(&self, arn: &str) -> Result<(), Fault>;
    /// `bcm-data-exports:ListTables`, every page.
    async fn list_tables(&self) -> Result<Vec<Table>, Fault>;
    /// `bcm-data-exports:GetTable`: the names of the columns that a table has in the given configuration.
    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault>;
    /// `bcm-data-exports:ListExecutions`: the newest execution of an export; `None` before the first.
    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault>;
}

/// The calls of AWS Support. Each can be [`FaultKind::NoSubscription`].
#[async_trait]
pub trait Support: Send + Sync {
    /// `support:DescribeServices`: what a case can be about.
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault>;
    /// `support:DescribeSeverityLevels`: the codes, as AWS orders them.
    async fn support_severities(&self) -> Result<Vec<String>, Fault>;
    /// `support:DescribeCases`, every page, resolved ones as well, those opened after the given time.
    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault>;
    /// `support:CreateCase`; the new case's id. The service knows no idempotency token.
    async fn open_case(&self, case: &NewCase) -> Result<String, Fault>;
}

/// The calls Hawser makes of AWS, named as the API operations they are.
///
/// Every bucket call names the account that must own the bucket (HW-O5), so that a squatted name is refused by S3 itself.
#[async_trait]
pub trait Aws: Exports + Support {
    /// `organizations:DescribeOrganization`; `None` is `AWSOrganizationsNotInUseException`.
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault>;
    /// `cur:DescribeReportDefinitions`, every page (HW-B4).
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault>;
    /// `cur:ListTagsForResource`
    async fn report_tags(&self, report: &ReportName) -> Result<Tags, Fault>;
    /// `cur:PutReportDefinition`
    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault>;
    /// `cur:DeleteReportDefinition`; one that is gone already is success.
    async fn delete_report(&self, report: &ReportName) -> Result<(), Fault>;
    /// `organizations:ListDelegatedServicesForAccount`, every page: what the account administers for its organization.
    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault>;
    /// `organizations:ListOutboundResponsibilityTransfers` or its inbound sister, every page, of type `BILLING`.
    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault>;
    /// `s3:GetBucketEncryption`: the KMS key that new objects are encrypted with, as the bucket names it; `None` where S3's
    /// own keys or the account's default key for S3 do it.
    async fn bucket_key(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault>;
    /// `s3:ListObjectsV2` with `/` as the delimiter, every page up to [`OBJECTS_LISTED_MAX`]: one level of a bucket.
    async fn list_level(&self, bucket: &BucketName, owner: &AccountId, prefix: &str) -> Result<Level, Fault>;
    /// `s3:GetObject`, at most the first `max` bytes.
    async fn read_object(&self, bucket: &BucketName, owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault>;
    /// `s3:HeadBucket`: `true` if the owner has it, `false` if nobody has it; another owner's is [`FaultKind::Denied`].
    async fn bucket_exists(&self, bucket: &BucketName, owner: &AccountId) -> Result<bool, Fault>;
    /// `s3:GetBucketLocation`
    async fn bucket_region(&self, bucket: &BucketName, owner: &AccountId) -> Result<Region, Fault>;
    /// `s3:GetBucketTagging`; a bucket without tags has none.
    async fn bucket_tags(&self, bucket: &BucketName, owner: &AccountId) -> Result<Tags, Fault>;
    /// `s3:GetBucketPolicy`; `None` if it has none.
    async fn bucket_policy(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault>;
    /// `s3:CreateBucket`, with its tags and with object ownership enforced. To be called only after
    /// [`Aws::bucket_exists`] said no: in us-east-1, creating a bucket one already owns resets its ACL.
    async fn create_bucket(&self, bucket: &BucketName, tags: &Tags) -> Result<(), Fault>;
    /// `s3:PutPublicAccessBlock`, all four settings on.
    async fn block_public_access(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault>;
    /// `s3:PutBucketEncryption` with SSE-S3.
    async fn encrypt_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault>;
    /// `s3:PutBucketLifecycleConfiguration`: unfinished uploads end after the given days.
    async fn expire_uploads(&self, bucket: &BucketName, owner: &AccountId, days: u16) -> Result<(), Fault>;
    /// `s3:PutBucketPolicy`
    async fn put_bucket_policy(&self, bucket: &BucketName, owner: &AccountId, policy: &str) -> Result<(), Fault>;
    /// `s3:ListObjectVersions`, one page of at most `max`: object versions and delete markers.
    async fn list_versions(&self, bucket: &BucketName, owner: &AccountId, prefix: &str, max: u16) -> Result<Vec<Version>, Fault>;
    /// `s3:DeleteObjects`, at most 1,000 at once; in a bucket that is gone already it is success.
    async fn delete_versions(&self, bucket: &BucketName, owner: &AccountId, versions: &[Version]) -> Result<(), Fault>;
    /// `s3:DeleteBucket`; one that is gone already is success, one with data is [`FaultKind::NotEmpty`].
    async fn delete_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault>;
    /// `cloudformation:DescribeStacks`: the stack's `StackStatus`. Asked in the stack's own Region.
    async fn stack_status(&self, stack: &StackId) -> Result<String, Fault>;
    /// `cloudformation:DescribeStackResources` of one resource; `None` if CloudFormation knows no such stack or resource.
    /// Asked in the stack's own Region. Stacks that were deleted are known for 90 days.
    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault>;
}

/// A resource of a stack as CloudFormation knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `ResourceStatus`, such as `CREATE_IN_PROGRESS`.
    pub status: String,
    /// The id the resource answered with last; empty before the first answer.
    pub physical_id: String,
}

/// One version of one object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The object's key.
    pub key: String,
    /// S3's version id; `null` in a bucket that never had versioning.
    pub version_id: String,
}

/// One level of a bucket's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// The objects directly below the prefix.
    pub objects: Vec<Object>,
    /// What looks like folders below it: whole keys that end in `/`.
    pub folders: Vec<String>,
    /// Whether there is more than was listed ([`OBJECTS_LISTED_MAX`]).
    pub cut: bool,
}

/// Objects and folders of one level, at most: ten pages. A month of the largest reports has some hundred files.
pub const OBJECTS_LISTED_MAX: usize = 10_000;

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// `LastModified`.
    pub modified: OffsetDateTime,
}

/// One run of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// `ExecutionStatusCode`, such as `DELIVERY_SUCCESS` or `QUERY_FAILURE`.
    pub code: String,
    /// `ExecutionStatusReason`, such as `INSUFFICIENT_PERMISSION`.
    pub reason: Option<String>,
}

/// Which way a bill is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// This organization's bill goes to another one's management account.
    Outbound,
    /// Another organization's bill comes here.
    Inbound,
}

/// A transfer of the responsibility for a bill (AWS Organizations API Reference, `ResponsibilityTransfer`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingTransfer {
    /// `ACCEPTED` or another status.
    pub status: String,
    /// The other organization's management account.
    pub other: Option<AccountId>,
    /// From when on.
    pub start: Option<OffsetDateTime>,
    /// Until when; open where absent.
    pub end: Option<OffsetDateTime>,
}

impl BillingTransfer {
    /// Whether it decides who receives the bill at a time.
    pub fn is_in_force(&self, at: OffsetDateTime) -> bool {
        self.status == "ACCEPTED" && self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at < end)
    }
}

/// A service that AWS Support takes cases about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportService {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Its categories: code and name.
    pub categories: Vec<(String, String)>,
}

/// A case as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportCase {
    /// What a person calls it by; the longer id where there is none.
    pub display_id: String,
    /// Its subject.
    pub subject: String,
}

/// A case to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// From [`Support::support_services`].
    pub service: String,
    /// From [`Support::support_services`].
    pub category: String,
    /// From [`Support::support_severities`].
    pub severity: String,
    /// The subject.
    pub subject: String,
    /// At most 8,000 characters.
    pub body: String,
}

/// Why a call failed, as far as Hawser decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Access denied.
    Denied,
    /// Access denied by an explicit deny in a service control policy (F-5).
    DeniedByScp,
    /// Throttled until the client's tries were used up.
    Throttled,
    /// 5xx, a time-out or no connection until the client's tries were used up.
    Unavailable,
    /// The thing does not exist.
    Missing,
    /// Something of that name is there already, and the account's own.
    Exists,
    /// The name belongs to another account.
    Taken,
    /// `ReportLimitReachedException`, or `ServiceQuotaExceededException` of Data Exports.
    LimitReached,
    /// `SubscriptionRequiredException`: the account's plan with AWS Support has no API.
    NoSubscription,
    /// `ValidationException: Failed to verify customer bucket permission.` (F-16)
    BucketUnverified,
    /// `BucketNotEmpty`
    NotEmpty,
    /// `OperationAborted`: another operation on the same thing is under way.
    Conflict,
    /// Any other refusal; the fault's code says which.
    Refused,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Fault {
    /// The IAM action that was tried, such as `s3:CreateBucket`.
    pub action: &'static str,
    /// What it means.
    pub kind: FaultKind,
    /// AWS's error code, or what the transport said.
    pub code: String,
    /// AWS's own words.
    pub message: String,
    /// AWS's request id.
    pub request_id: Option<String>,
}

impl Fault {
    /// Whether the call may succeed another time: it says nothing about the account.
    pub fn is_outage(&self) -> bool {
        matches!(self.kind, FaultKind::Throttled | FaultKind::Unavailable)
    }

    /// Whether AWS denied the call, by whatever policy.
    pub fn is_denial(&self) -> bool {
        matches!(self.kind, FaultKind::Denied | FaultKind::DeniedByScp)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Denied => "was denied",
            FaultKind::DeniedByScp => "was denied by a service control policy",
            FaultKind::Throttled => "was throttled",
            FaultKind::Unavailable => "could not be reached",
            _ => "was refused",
        };
        write!(f, "`{}` {what} ({}", self.action, self.code)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        f.write_str(")")
    }
}

/// Signs the proof of identity. Nothing leaves the function here.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Signs the request that lets its holder ask STS who signed it.
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure>;
}

/// What came back from the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, when it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The first bytes of the body, at most [`VENDOR_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// How much of a vendor's answer is read: room for an id and a sentence, and no more memory than that.
pub const VENDOR_BODY_BYTES_MAX: usize = 16 * 1024;

/// No answer at all: the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// The vendor's end.
#[async_trait]
pub trait Vendor: Send + Sync {
    /// One POST, redirects not followed, ended after `limit`.
    async fn post(
        &self,
        url: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<HttpAnswer, NoAnswer>;
}

/// Where CloudFormation waits for responses.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// One PUT with an empty Content-Type and an exact Content-Length, ended after `limit`; the status.
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoAnswer>;
}

/// Time, the only source of it in the core.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> OffsetDateTime;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}
