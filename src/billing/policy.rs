//! The bucket policy that lets AWS deliver, merged into whatever policy a bucket has. Pure.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::names::{AccountId, BucketName, Partition, Region};

mod meaning;

use meaning::Parsed;
pub use meaning::{DeliveryAccess, DeliveryCall, delivery_access, same_policy};

/// Largest bucket policy S3 takes (Amazon S3 User Guide, "Bucket policies").
pub const POLICY_BYTES_MAX: usize = 20 * 1024;

/// The services that deliver billing data: the legacy report's and Data Exports', so that a later kind needs no change.
const DELIVERY_SERVICES: [&str; 2] = [REPORTS_SERVICE, EXPORTS_SERVICE];

/// Delivers legacy reports (B-7), in every partition that has them (B-4).
pub const REPORTS_SERVICE: &str = "billingreports.amazonaws.com";

/// Delivers Data Exports (B-7).
pub const EXPORTS_SERVICE: &str = "bcm-data-exports.amazonaws.com";

/// Statement ids begin with this; a statement is ours by its id.
const SID_CHECK: &str = "HawserBillingCheck";
const SID_WRITE: &str = "HawserBillingWrite";
const SID_TLS: &str = "HawserTlsOnly";

/// Why a bucket's policy cannot be merged with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// S3 never stores such a policy, so nothing is guessed about it.
    #[error("the policy of bucket `{bucket}` cannot be parsed: {why}")]
    Unreadable { bucket: String, why: String },
    /// S3 would refuse it.
    #[error("the policy of bucket `{bucket}` would grow to {bytes} bytes; S3 allows {POLICY_BYTES_MAX}")]
    TooLarge {
        bucket: String,
        /// How large it would be.
        bytes: usize,
    },
}

/// The statements that delivery needs, for a bucket of this account. AWS's pages name the Region for aws only (B-5), and nothing
/// says that AWS itself uses TLS (B-8).
///
/// Both services, `aws:SourceAccount` by equality and `aws:SourceArn` by pattern: written with `StringEquals` and a
/// literal `*` the same condition silently stops delivery (F-15). Source: Cost and Usage Reports User Guide,
/// "Setting up an Amazon S3 bucket for Cost and Usage Reports"; Data Exports, "Setting up an Amazon S3 bucket".
fn statements(bucket: &BucketName, partition: Partition, account: &AccountId, billing_region: &Region) -> Vec<Value> {
    let arn = bucket.arn(partition);
    let objects = format!("{arn}/*");
    let condition = json!({
        "StringEquals": { "aws:SourceAccount": account.as_str() },
        "ArnLike": { "aws:SourceArn": [
            format!("arn:{partition}:cur:{billing_region}:{account}:definition/*"),
            format!("arn:{partition}:bcm-data-exports:{billing_region}:{account}:export/*"),
        ] },
    });
    vec![
        json!({
            "Sid": SID_CHECK, "Effect": "Allow", "Principal": { "Service": DELIVERY_SERVICES },
            "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"], "Resource": arn, "Condition": condition,
        }),
        // On the whole bucket: validation writes `aws-programmatic-access-test-object` at its root.
        json!({
            "Sid": SID_WRITE, "Effect": "Allow", "Principal": { "Service": DELIVERY_SERVICES },
            "Action": "s3:PutObject", "Resource": objects, "Condition": condition,
        }),
        json!({
            "Sid": SID_TLS, "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, objects],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }),
    ]
}

/// The policy a bucket should have (HW-O3): every statement it has that is not ours, in its order, then ours.
///
/// `None` if it has ours already, in whatever form S3 gives them back (F-46), so that nothing is written.
///
/// # Errors
/// [`PolicyError`]; the customer's statements are never dropped to make room.
pub fn merge(
    existing: Option<&str>,
    bucket: &BucketName,
    partition: Partition,
    account: &AccountId,
    billing_region: &Region,
) -> Result<Option<String>, PolicyError> {
    let Parsed { statements: existing, rest: mut policy } = match existing {
        None => Parsed { statements: Vec::new(), rest: Map::from_iter([("Version".to_owned(), json!("2012-10-17"))]) },
        Some(text) => meaning::parsed(text).map_err(|why| PolicyError::Unreadable { bucket: bucket.as_str().to_owned(), why })?,
    };
    let (theirs, present): (Vec<Value>, Vec<Value>) = existing.into_iter().partition(|statement| !is_ours(statement));
    let wanted = statements(bucket, partition, account, billing_region);
    if meaning::same_statements(&present, &wanted) {
        return Ok(None);
    }
    policy.insert("Statement".to_owned(), theirs.into_iter().chain(wanted).collect());
    let text = Value::Object(policy).to_string();
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLarge { bucket: bucket.as_str().to_owned(), bytes: text.len() });
    }
    Ok(Some(text))
}

/// Whether a policy holds any statement of ours: what was written to the bucket once.
pub fn was_set_up(policy: Option<&str>) -> bool {
    policy.and_then(|text| meaning::parsed(text).ok()).is_some_and(|policy| policy.statements.iter().any(is_ours))
}

fn is_ours(statement: &Value) -> bool {
    let sid = statement.get("Sid").and_then(Value::as_str);
    sid.is_some_and(|sid| [SID_CHECK, SID_WRITE, SID_TLS].contains(&sid))
}
