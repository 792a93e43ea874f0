//! One thing that a plan brings about.

use std::fmt;

use crate::{
    aws::{BucketNamespace, DataExport, Report, Tags},
    billing::{backfill::Backfill, query},
    names::{BucketName, ExportName},
};

/// Unfinished multipart uploads are billed and invisible; AWS's delivery is done with any of its own long before.
pub const UPLOAD_DAYS_MAX: u16 = 7;

/// One thing to bring about, named as the state afterwards. Run twice it is the same as run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The bucket exists, tagged, with object ownership enforced. Planned only where it does not exist.
    EnsureBucket {
        bucket: BucketName,
        namespace: BucketNamespace,
        /// Its tags: the mark of ownership comes into being with the bucket, or at once afterwards where AWS takes no tags (F-49).
        tags: Tags,
    },
    /// No access point, ACL or policy can make the bucket public.
    EnsurePublicAccessBlocked(BucketName),
    /// New objects are encrypted with SSE-S3.
    EnsureEncryption(BucketName),
    /// Unfinished uploads end after [`UPLOAD_DAYS_MAX`].
    EnsureUploadsExpire(BucketName),
    /// AWS may deliver, over TLS only; every other statement of the policy is as it was.
    EnsureDeliveryAllowed {
        bucket: BucketName,
        /// The whole merged policy.
        policy: String,
        /// What it was merged from: it replaces this policy and no other.
        from: PolicyBefore,
    },
    /// The resource, which is ours, has these tags beside those it has.
    EnsureTags {
        resource: Resource,
        tags: Tags,
    },
    EnsureReport {
        report: Box<Report>,
        tags: Tags,
    },
    /// The Data Export exists.
    EnsureExport {
        export: Box<DataExport>,
        tags: Tags,
    },
    /// The Data Export, which is ours, asks for every column that its table has by now.
    EnsureExportCurrent(Box<DataExport>),
    /// requested past months from AWS Support, once.
    AskForBackfill(Box<Backfill>),
    /// The report does not exist. Planned only with our mark on it.
    RetireReport {
        report: ExportName,
        /// Where it delivers.
        bucket: BucketName,
    },
    /// The Data Export, by ARN, does not exist. Planned only with our mark on it.
    RetireExport {
        arn: String,
        /// Where it delivers.
        bucket: BucketName,
    },
    /// Nothing delivered for this export is in the bucket.
    RetireData {
        /// The bucket, with our mark.
        bucket: BucketName,
        prefix: &'static str,
    },
    /// The bucket does not exist, unless it holds data. Planned only with our mark on it.
    RetireEmptyBucket(BucketName),
}

/// What tags are given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Bucket(BucketName),
    Report(ExportName),
    /// By its ARN.
    Export(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(bucket) => write!(f, "bucket `{bucket}`"),
            Self::Report(report) => write!(f, "report `{report}`"),
            Self::Export(arn) => write!(f, "export `{arn}`"),
        }
    }
}

/// The policy that a merged one was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyBefore {
    /// None: the plan makes the bucket.
    NewBucket,
    /// As S3 held it, if it held one. Somebody may change it until ours is written, so it is looked at again.
    Existing(Option<String>),
}

impl Step {
    /// The step's name, for logs and transcripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureBucket { .. } => "EnsureBucket",
            Self::EnsurePublicAccessBlocked(_) => "EnsurePublicAccessBlocked",
            Self::EnsureEncryption(_) => "EnsureEncryption",
            Self::EnsureUploadsExpire(_) => "EnsureUploadsExpire",
            Self::EnsureDeliveryAllowed { .. } => "EnsureDeliveryAllowed",
            Self::EnsureTags { .. } => "EnsureTags",
            Self::EnsureReport { .. } => "EnsureReport",
            Self::EnsureExport { .. } => "EnsureExport",
            Self::EnsureExportCurrent(_) => "EnsureExportCurrent",
            Self::AskForBackfill(_) => "AskForBackfill",
            Self::RetireReport { .. } => "RetireReport",
            Self::RetireExport { .. } => "RetireExport",
            Self::RetireData { .. } => "RetireData",
            Self::RetireEmptyBucket(_) => "RetireEmptyBucket",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnsureBucket { bucket, .. } => write!(f, "ensure bucket `{bucket}`"),
            Self::EnsurePublicAccessBlocked(bucket) => write!(f, "ensure public access to `{bucket}` is blocked"),
            Self::EnsureEncryption(bucket) => write!(f, "ensure `{bucket}` encrypts with SSE-S3"),
            Self::EnsureUploadsExpire(bucket) => {
                write!(f, "ensure unfinished uploads to `{bucket}` expire after {UPLOAD_DAYS_MAX} days")
            }
            Self::EnsureDeliveryAllowed { bucket, .. } => write!(f, "ensure AWS may deliver to `{bucket}`"),
            Self::EnsureTags { resource, tags } => {
                let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
                write!(f, "ensure {resource} has the tags `{}`", keys.join("`, `"))
            }
            Self::EnsureReport { report, .. } => {
                write!(f, "ensure report `{}` to `{}/{}`", report.name, report.bucket, report.prefix)
            }
            Self::EnsureExport { export, .. } => {
                let table = query::table_of(export).unwrap_or_default();
                write!(f, "ensure export `{}` of {table} to `{}/{}`", export.name, export.bucket, export.prefix)
            }
            Self::EnsureExportCurrent(export) => write!(f, "ensure export `{}` has every column of its table", export.name),
            Self::AskForBackfill(backfill) => write!(f, "ask AWS Support once to backfill `{}`", backfill.name),
            Self::RetireReport { report, .. } => write!(f, "retire report `{report}`"),
            Self::RetireExport { arn, .. } => write!(f, "retire export `{arn}`"),
            Self::RetireData { bucket, prefix } => write!(f, "retire the data below `{bucket}/{prefix}`"),
            Self::RetireEmptyBucket(bucket) => write!(f, "retire bucket `{bucket}` if it holds no data"),
        }
    }
}
