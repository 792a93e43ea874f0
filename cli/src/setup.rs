//! The ways to connect that are texts: links, policy documents, scripts, modules, pages. All are made from the template, so that
//! none of them grants what another does not (HW-P4). Pure.

pub mod guide;
pub mod json;
pub mod left;
pub mod link;
mod page;
pub mod policies;
pub mod script;
pub mod terraform;
pub mod trust;

use std::collections::BTreeMap;

use hawser::{
    billing::DATA_ROOT,
    names::{AccountId, Partition, Region},
};

use crate::{
    error::{CommandCode, CommandError},
    template::{ResolveContext, Template},
};

/// The account that is being connected.
#[derive(Debug, Clone)]
pub struct SetupTarget {
    /// Its id, or what stands for it in a text that is filled in elsewhere.
    pub account: String,
    pub partition: Partition,
    /// A Region of it.
    pub region: String,
    /// The prefix of the names of new users, roles and policies, in place of a stack name.
    pub name: String,
}

impl SetupTarget {
    /// The account with this id, in the partition of a Region.
    ///
    /// # Errors
    /// [`CommandCode::NameInvalid`].
    pub fn new(account: &AccountId, region: &Region, name: &str) -> Result<Self, CommandError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.bytes().all(legal) || name.len() > NAME_BYTES_MAX
        {
            let cause = format!("`{name}` must begin with a letter and have up to {NAME_BYTES_MAX} letters, digits and hyphens");
            return Err(CommandError::new(CommandCode::NameInvalid, cause));
        }
        let partition = Partition::of_region(region.as_str());
        Ok(Self { account: account.to_string(), partition, region: region.to_string(), name: name.to_owned() })
    }
}

/// Names of users and roles have 64 characters (IAM quotas), and `-engine-boundary` and the like come after this one.
const NAME_BYTES_MAX: usize = 40;

/// The boundary of the vendor's own user, in the template.
pub(crate) const USER_BOUNDARY: &str = "VendorUserBoundary";

/// Where billing data is.
#[derive(Debug, Clone)]
pub struct BillingLocation {
    pub(crate) bucket: String,
    /// Down to the folder of the report; empty for the whole bucket.
    pub(crate) prefix: String,
    pub(crate) kms_key: Option<String>,
}

impl BillingLocation {
    /// A bucket, a prefix in it (empty for the whole bucket) and the ARN of the key that it encrypts with.
    ///
    /// # Errors
    /// [`CommandCode::BucketInvalid`] for what S3 or IAM would not take.
    pub fn new(bucket: &str, prefix: &str, kms_key: Option<&str>) -> Result<Self, CommandError> {
        let invalid = |cause: String| Err(CommandError::new(CommandCode::BucketInvalid, cause));
        if !is_bucket_name(bucket) {
            return invalid(format!("`{bucket}` is not a valid bucket name"));
        }
        if prefix.contains(['"', '\\', '$']) || prefix.chars().any(char::is_control) {
            return invalid(format!("`{prefix}` contains characters that cannot be used in a policy"));
        }
        if let Some(key) = kms_key.filter(|key| !key.starts_with("arn:") || !key.contains(":key/")) {
            return invalid(format!("`{key}` is not the ARN of a key; IAM policies name a key by its ARN, not by its alias"));
        }
        if !prefix.is_empty() && prefix.bytes().all(|b| b == b'/') {
            return invalid(format!("`{prefix}` names no more than the whole bucket, which leaving it out does"));
        }
        // A leading slash is a part of the keys.
        let prefix = prefix.trim_end_matches('/').to_owned();
        Ok(Self { bucket: bucket.to_owned(), prefix, kms_key: kms_key.map(str::to_owned) })
    }
}

/// Whether a bucket can have this name.
pub(crate) fn is_bucket_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    BUCKET_BYTES.contains(&text.len()) && text.bytes().all(legal)
}

/// Lengths of bucket names, those of before 2018 in us-east-1 among them (S3, "Bucket naming rules").
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=255;

/// What the template is resolved for where there is no stack: the values are the person's, and `BillingExport` answers as the
/// handler would for a bucket that is brought, or for none.
pub fn context(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
    billing: Option<&BillingLocation>,
) -> ResolveContext {
    let partition = target.partition;
    let (bucket_arn, keys, key) = match billing {
        Some(BillingLocation { bucket, prefix, kms_key }) => {
            // A name may hold `*`, which IAM would read as a pattern.
            let prefix = prefix.replace('*', "${*}");
            let keys = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
            (format!("arn:{partition}:s3:::{bucket}"), keys, kms_key.clone())
        }
        None => {
            // As the handler answers where there is nothing to read: legal ARNs of things that nobody has.
            let prefix = value(template, parameters, "NamePrefix").unwrap_or_default();
            (format!("arn:{partition}:s3:::{prefix}-{}-none", target.account), format!("{DATA_ROOT}*"), None)
        }
    };
    let key = key.unwrap_or_else(|| format!("arn:{partition}:kms:{}:{}:key/none", target.region, target.account));
    let mut attributes: BTreeMap<(String, String), String> = [
        ("ReadableObjectsArn", format!("{bucket_arn}/{keys}")),
        ("ReadableBucketArn", bucket_arn),
        ("ReadableKeys", keys),
        ("DecryptableKeyArn", key),
    ]
    .map(|(name, value)| (("BillingExport".to_owned(), name.to_owned()), value))
    .into();
    // What packs name of the stack's other resources, by the names that these have without it.
    let path = value(template, parameters, "RolePath").unwrap_or_default();
    let arn = |kind: &str, name: &str| format!("arn:{partition}:iam::{}:{kind}{path}{name}", target.account);
    let mut references: BTreeMap<String, String> = template
        .resource_names()
        .iter()
        .filter(|id| template.json()["Resources"][id.as_str()]["Type"] == "AWS::IAM::ManagedPolicy")
        .map(|id| (id.clone(), arn("policy", &policy_name(target, id))))
        .collect();
    references.insert("VendorUser".to_owned(), target.name.clone());
    attributes.insert(("VendorUser".to_owned(), "Arn".to_owned()), arn("user", &target.name));
    // Secrets Manager adds six characters of its own ("Determining the ARN", Secrets Manager User Guide).
    let secret =
        format!("arn:{partition}:secretsmanager:{}:{}:secret:{}-??????", target.region, target.account, secret_name(target));
    references.insert("VendorAccessKeySecret".to_owned(), secret);
    ResolveContext {
        parameters: parameters.clone(),
        partial: true,
        account_id: target.account.clone(),
        partition: partition.to_string(),
        region: target.region.clone(),
        stack_name: target.name.clone(),
        stack_id: String::new(),
        attributes,
        references,
    }
}

/// The name of a policy of the template's, by its logical id: `hawser-ec2` of `PackEc2Policy`.
pub(crate) fn policy_name(target: &SetupTarget, logical_id: &str) -> String {
    format!("{}{}", target.name, policy_suffix(logical_id))
}

/// What comes after the prefix: `-ec2` of `PackEc2Policy`.
pub(crate) fn policy_suffix(logical_id: &str) -> String {
    let id = logical_id.strip_prefix("Pack").unwrap_or(logical_id);
    let mut suffix = String::new();
    for letter in id.strip_suffix("Policy").unwrap_or(id).chars() {
        if letter.is_ascii_uppercase() {
            suffix.push('-');
        }
        suffix.push(letter.to_ascii_lowercase());
    }
    suffix
}

/// The secret in which the access key is.
pub(crate) fn secret_name(target: &SetupTarget) -> String {
    format!("{}-access-key", target.name)
}

/// A parameter's value, or its default; `None` without either, or when it is empty.
pub fn value(template: &Template, parameters: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let default = || template.json()["Parameters"][name]["Default"].as_str().map(str::to_owned);
    parameters.get(name).cloned().or_else(default).filter(|value| !value.is_empty())
}

/// A parameter that a way cannot do without.
pub(crate) fn needed(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    name: &str,
    method: &str,
) -> Result<String, CommandError> {
    value(template, parameters, name)
        .ok_or_else(|| CommandError::new(CommandCode::ParameterMissing, format!("{method} needs `{name}`")))
}
