//! Which IAM actions each call of the handler needs: its role holds exactly these (HW-S1).
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys" of each service.

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
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
    /// The name of no export: the asterisk itself, which is no wildcard (B-1).
    UnnamedExport,
    /// The account's own billing view.
    BillingView,
    /// Tables to export from.
    Tables,
    /// Every bucket, to ask where it is.
    AnyBucket,
    /// Buckets whose name begins with prefix and account, or begins with the prefix and ends in the account-regional namespace.
    OwnBuckets,
    /// The bucket that the customer brings, below the prefix that goes with it.
    ExistingBucket,
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

/// Actions, and what they are allowed on.
type Grant = (Scope, &'static [&'static str]);

/// By the condition of the policy, in the order of the template.
pub(crate) const ACTIONS: [(&str, &[Grant]); 5] = [
    (
        "",
        &[
            // Whether the stack is rolling back, or the resource being deleted.
            (Scope::OwnStack, &["cloudformation:DescribeStacks", "cloudformation:DescribeStackResources"]),
            (
                Scope::Any,
                &[
                    "sts:GetWebIdentityToken",
                    "sts:TagGetWebIdentityToken",
                    "organizations:DescribeOrganization",
                    "organizations:ListDelegatedServicesForAccount",
                    "organizations:ListInboundResponsibilityTransfers",
                    "organizations:ListOutboundResponsibilityTransfers",
                    "cur:DescribeReportDefinitions",
                    "bcm-data-exports:ListExports",
                    "bcm-data-exports:ListTables",
                ],
            ),
            (Scope::AnyReport, &["cur:ListTagsForResource"]),
            (Scope::OwnReports, &["cur:PutReportDefinition", "cur:TagResource", "cur:DeleteReportDefinition"]),
            (
                Scope::AnyExport,
                &["bcm-data-exports:GetExport", "bcm-data-exports:ListTagsForResource", "bcm-data-exports:ListExecutions"],
            ),
            (Scope::Tables, &["bcm-data-exports:GetTable", "bcm-data-exports:CreateExport", "bcm-data-exports:UpdateExport"]),
            // CreateExport may ask for these too (B-1).
            (Scope::UnnamedExport, &["bcm-data-exports:CreateExport", "bcm-data-exports:TagResource"]),
            (Scope::BillingView, &["bcm-data-exports:CreateExport", "bcm-data-exports:UpdateExport"]),
            (
                Scope::OwnExports,
                &[
                    "bcm-data-exports:CreateExport",
                    "bcm-data-exports:TagResource",
                    "bcm-data-exports:UpdateExport",
                    "bcm-data-exports:DeleteExport",
                ],
            ),
            (Scope::AnyBucket, &["s3:GetEncryptionConfiguration", "s3:GetBucketLocation"]),
            (
                Scope::OwnBuckets,
                &[
                    // HeadBucket.
                    "s3:ListBucket",
                    "s3:GetBucketTagging",
                    "s3:GetBucketPolicy",
                    "s3:CreateBucket",
                    "s3:TagResource",
                    "s3:PutBucketOwnershipControls",
                    "s3:PutBucketTagging",
                    "s3:PutBucketPublicAccessBlock",
                    "s3:PutEncryptionConfiguration",
                    "s3:PutLifecycleConfiguration",
                    "s3:PutBucketPolicy",
                    // Whether a bucket was ever used.
                    "s3:ListBucketVersions",
                    "s3:DeleteBucket",
                ],
            ),
            (Scope::OwnObjects, &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
            (Scope::OwnLogs, &["logs:CreateLogStream", "logs:PutLogEvents"]),
        ],
    ),
    // CreateExport asks for it too.
    ("ExportsData", &[(Scope::ReportService, &["cur:PutReportDefinition"])]),
    // What is at a place that the customer brings.
    ("HasExistingBucket", &[(Scope::ExistingBucket, &["s3:ListBucket"])]),
    (
        "AsksForBackfill",
        &[(
            Scope::Any,
            &["support:DescribeCases", "support:DescribeServices", "support:DescribeSeverityLevels", "support:CreateCase"],
        )],
    ),
    (
        "HasBilling",
        &[
            (Scope::WatchedBucket, &["s3:ListBucket"]),
            (Scope::WatchedManifests, &["s3:GetObject"]),
            (Scope::WatchedKey, &["kms:Decrypt"]),
        ],
    ),
];
