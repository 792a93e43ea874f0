//! Which IAM actions each call needs: the handler's role holds exactly these (HW-S1), and a test compares.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys" of each service.

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The service knows no narrower resource, or the name is the customer's.
    Any,
    /// Every report of the account: tags are read to see whose a report is.
    AnyReport,
    /// Reports whose name begins with the prefix.
    OwnReports,
    /// Whatever the report service has in the account: Data Exports does not document what it asks for.
    ReportService,
    /// Every Data Export of the account: its definition and tags are read to choose one.
    AnyExport,
    /// Data Exports whose name begins with the prefix.
    OwnExports,
    /// Tables to export from.
    Tables,
    /// Every bucket, to ask where it is.
    AnyBucket,
    /// Buckets whose name begins with prefix and account.
    OwnBuckets,
    /// Objects in those buckets.
    OwnObjects,
    /// The function's own log group.
    OwnLogs,
    /// The stack the function is in.
    OwnStack,
    /// The bucket of the chosen export, below the export's own keys.
    WatchedBucket,
    /// The manifests among these.
    WatchedManifests,
    /// The KMS key of that bucket, where the customer has one.
    WatchedKey,
}

/// One action, on what, for which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// `service:Action`
    pub action: &'static str,
    pub scope: Scope,
    /// Which API calls or steps of the handler need it.
    pub needed_by: &'static str,
}

const fn grant(action: &'static str, scope: Scope, needed_by: &'static str) -> Grant {
    Grant { action, scope, needed_by }
}

/// Everything the handler's role may do.
pub const HANDLER_ACTIONS: &[Grant] = &[
    grant("cloudformation:DescribeStacks", Scope::OwnStack, "an Update of the connection: is the stack rolling back"),
    grant("cloudformation:DescribeStackResources", Scope::OwnStack, "after a Create, and on Delete: is the resource going"),
    grant("organizations:DescribeOrganization", Scope::Any, "observe: DescribeOrganization"),
    grant("cur:DescribeReportDefinitions", Scope::Any, "observe: DescribeReportDefinitions"),
    grant("cur:ListTagsForResource", Scope::AnyReport, "observe: ListTagsForResource"),
    grant("cur:PutReportDefinition", Scope::OwnReports, "EnsureReport"),
    grant("cur:TagResource", Scope::OwnReports, "EnsureReport, which tags what it makes"),
    grant("cur:DeleteReportDefinition", Scope::OwnReports, "RetireReport"),
    grant("organizations:ListDelegatedServicesForAccount", Scope::Any, "observe: what does a member administer"),
    grant(
        "organizations:ListInboundResponsibilityTransfers",
        Scope::Any,
        "observe: whose bills does a management account receive",
    ),
    grant("organizations:ListOutboundResponsibilityTransfers", Scope::Any, "observe: who receives a management account's bill"),
    grant("bcm-data-exports:ListExports", Scope::Any, "observe: ListExports"),
    grant("bcm-data-exports:ListTables", Scope::Any, "observe: ListTables"),
    grant("bcm-data-exports:GetExport", Scope::AnyExport, "observe and watch: GetExport"),
    grant("bcm-data-exports:ListTagsForResource", Scope::AnyExport, "observe: whose is an export"),
    grant("bcm-data-exports:ListExecutions", Scope::AnyExport, "watch: why did the last run fail"),
    grant("bcm-data-exports:GetTable", Scope::Tables, "observe: the columns of a table"),
    grant("bcm-data-exports:CreateExport", Scope::Tables, "EnsureExport"),
    grant("bcm-data-exports:UpdateExport", Scope::Tables, "EnsureExportCurrent"),
    grant("bcm-data-exports:CreateExport", Scope::OwnExports, "EnsureExport"),
    grant("bcm-data-exports:TagResource", Scope::OwnExports, "EnsureExport, which tags what it makes"),
    grant("bcm-data-exports:UpdateExport", Scope::OwnExports, "EnsureExportCurrent"),
    grant("bcm-data-exports:DeleteExport", Scope::OwnExports, "RetireExport"),
    grant("s3:GetEncryptionConfiguration", Scope::AnyBucket, "observe: the KMS key of the bucket of a reuse candidate"),
    grant("s3:GetBucketLocation", Scope::AnyBucket, "observe: GetBucketLocation on the bucket of a reuse candidate"),
    grant("s3:ListBucket", Scope::OwnBuckets, "observe: HeadBucket"),
    grant("s3:GetBucketTagging", Scope::OwnBuckets, "observe: GetBucketTagging"),
    grant("s3:GetBucketPolicy", Scope::OwnBuckets, "observe: GetBucketPolicy"),
    grant("s3:CreateBucket", Scope::OwnBuckets, "EnsureBucket"),
    grant("s3:TagResource", Scope::OwnBuckets, "EnsureBucket, which tags what it makes"),
    grant("s3:PutBucketOwnershipControls", Scope::OwnBuckets, "EnsureBucket, which enforces object ownership"),
    grant("s3:PutBucketPublicAccessBlock", Scope::OwnBuckets, "EnsurePublicAccessBlocked"),
    grant("s3:PutEncryptionConfiguration", Scope::OwnBuckets, "EnsureEncryption"),
    grant("s3:PutLifecycleConfiguration", Scope::OwnBuckets, "EnsureUploadsExpire"),
    grant("s3:PutBucketPolicy", Scope::OwnBuckets, "EnsureDeliveryAllowed"),
    grant("s3:ListBucketVersions", Scope::OwnBuckets, "observe: was a bucket ever used; RetireData, RetireEmptyBucket"),
    grant("s3:DeleteObject", Scope::OwnObjects, "RetireData, RetireEmptyBucket"),
    grant("s3:DeleteObjectVersion", Scope::OwnObjects, "RetireData, RetireEmptyBucket"),
    grant("s3:DeleteBucket", Scope::OwnBuckets, "RetireEmptyBucket"),
    grant("logs:CreateLogStream", Scope::OwnLogs, "Lambda's own logging"),
    grant("logs:PutLogEvents", Scope::OwnLogs, "Lambda's own logging"),
];

/// What the handler's role may do besides, for the kinds of Data Exports.
pub const EXPORT_ACTIONS: &[Grant] =
    &[grant("cur:PutReportDefinition", Scope::ReportService, "EnsureExport: CreateExport asks for it too")];

/// What the handler's role may do besides, if the customer asks for past months.
pub const BACKFILL_ACTIONS: &[Grant] = &[
    grant("support:DescribeCases", Scope::Any, "AskForBackfill: was it asked for already"),
    grant("support:DescribeServices", Scope::Any, "AskForBackfill: which service and category"),
    grant("support:DescribeSeverityLevels", Scope::Any, "AskForBackfill: which severity"),
    grant("support:CreateCase", Scope::Any, "AskForBackfill"),
];

/// What the handler's role may do besides, once the bucket is known.
pub const WATCH_ACTIONS: &[Grant] = &[
    grant("s3:ListBucket", Scope::WatchedBucket, "watch: ListObjectsV2"),
    grant("s3:GetObject", Scope::WatchedManifests, "watch: read the newest manifest"),
    grant("kms:Decrypt", Scope::WatchedKey, "watch: read a manifest that is encrypted with a key of the customer's"),
];
