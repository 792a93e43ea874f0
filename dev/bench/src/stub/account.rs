//! The AWS account: empty, the management account of its organization.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything that handlers make.
#[derive(Debug, Default)]
pub struct Account {
    /// By name.
    pub buckets: BTreeMap<String, Bucket>,
    /// As `PutReportDefinition` got them.
    pub reports: Vec<Value>,
}

/// A bucket's settings, `true` once made as they should be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent settings, each there or not")]
pub struct Bucket {
    /// Object ownership `BucketOwnerEnforced`.
    pub owner_enforced: bool,
    /// Tagged while it was made.
    pub tagged: bool,
    /// All four switches of the public access block.
    pub closed: bool,
    /// Encrypted by default.
    pub encrypted: bool,
    /// With at least one lifecycle rule that is on.
    pub lifecycle: bool,
    pub policy: Option<Value>,
}

impl Bucket {
    /// Whether the billing service may deliver here: Put checks it, AWS Billing User Guide, "Setting up an Amazon S3 bucket
    /// for Cost and Usage Reports".
    pub fn delivery_allowed(&self) -> bool {
        let statements = self.policy.as_ref().and_then(|it| it["Statement"].as_array());
        let allowed = |action: &str| {
            statements.into_iter().flatten().any(|it| {
                it["Effect"] == "Allow"
                    && it["Principal"].to_string().contains("billingreports.amazonaws.com")
                    && it["Action"].to_string().contains(&format!("\"{action}\""))
            })
        };
        ["s3:GetBucketAcl", "s3:GetBucketPolicy", "s3:PutObject"].into_iter().all(allowed)
    }
}
