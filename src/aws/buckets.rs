//! Amazon S3.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Fault, Tags};
use crate::names::{AccountId, BucketName, Region};

/// The calls of Amazon S3.
///
/// Every call names the account that must own the bucket (HW-O5), so that a squatted name is refused by S3 itself.
#[async_trait]
pub trait Buckets: Send + Sync {
    /// `s3:GetBucketEncryption`: the KMS key that new objects are encrypted with, as the bucket names it; `None` where S3's
    /// own keys or the account's default key for S3 do it.
    async fn bucket_key(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault>;
    /// `s3:ListObjectsV2` with `/` as the delimiter, every page up to [`OBJECTS_LISTED_MAX`]: one level of a bucket.
    async fn list_folder(&self, bucket: &BucketName, owner: &AccountId, prefix: &str) -> Result<FolderListing, Fault>;
    /// `s3:GetObject`, at most the first `max` bytes.
    async fn read_object(&self, bucket: &BucketName, owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault>;
    /// `s3:HeadBucket`: `true` if the owner has it, `false` if nobody has it; another owner's is [`FaultKind::Denied`](super::FaultKind::Denied).
    async fn bucket_exists(&self, bucket: &BucketName, owner: &AccountId) -> Result<bool, Fault>;
    /// `s3:GetBucketLocation`
    async fn bucket_region(&self, bucket: &BucketName, owner: &AccountId) -> Result<Region, Fault>;
    /// `s3:GetBucketTagging`; a bucket without tags has none.
    async fn bucket_tags(&self, bucket: &BucketName, owner: &AccountId) -> Result<Tags, Fault>;
    /// `s3:GetBucketPolicy`; `None` if it has none.
    async fn bucket_policy(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault>;
    /// `s3:CreateBucket`, with its tags, if there are any, and with object ownership enforced. To be called only after
    /// [`Buckets::bucket_exists`] said no: in us-east-1, creating a bucket one already owns resets its ACL.
    async fn create_bucket(&self, bucket: &BucketName, namespace: BucketNamespace, tags: &Tags) -> Result<(), Fault>;
    /// `s3:PutBucketTagging`: these are all the tags that it has afterwards.
    async fn put_bucket_tags(&self, bucket: &BucketName, owner: &AccountId, tags: &Tags) -> Result<(), Fault>;
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
    /// `s3:DeleteBucket`; one that is gone already is success, one with data is [`FaultKind::NotEmpty`](super::FaultKind::NotEmpty).
    async fn delete_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault>;
}

/// Where the name of a bucket is unique (Amazon S3 User Guide, "Namespaces for general purpose buckets").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BucketNamespace {
    /// Among all accounts of the partition.
    Global,
    /// In this account and Region, because nobody else may use such a name. An organization can demand it by
    /// `s3:x-amz-bucket-namespace`.
    AccountRegional,
}

/// One level of a bucket's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderListing {
    /// The objects directly below the prefix.
    pub objects: Vec<Object>,
    /// What looks like folders below it: whole keys that end in `/`.
    pub folders: Vec<String>,
    /// Whether there is more than was listed ([`OBJECTS_LISTED_MAX`]).
    pub truncated: bool,
}

/// Objects and folders of one level, at most: ten pages. A month of the largest reports has some hundred files.
pub const OBJECTS_LISTED_MAX: usize = 10_000;

/// The action of [`Buckets::read_object`].
pub const READ_OBJECT: &str = "s3:GetObject";

/// Largest object that is read, and so the largest answer of AWS: a report's manifest, which has two megabytes for ten thousand
/// files and some more for many columns.
pub const OBJECT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// `LastModified`.
    pub modified: OffsetDateTime,
}

/// One version of one object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub key: String,
    /// S3's version id; `null` in a bucket that never had versioning.
    pub version_id: String,
}

/// The object that the report service writes at a bucket's root to test it: AWS's, not the customer's.
pub const TEST_OBJECT: &str = "aws-programmatic-access-test-object";
