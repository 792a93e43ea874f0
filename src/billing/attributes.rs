//! What a billing export answers with: every attribute, always. Pure.

use crate::{
    billing::{
        account_role::BillingPosition,
        candidate::Candidate,
        facts::Facts,
        first_data::first_data_due_by,
        id::DATA_ROOT,
        request::{Export, Format, Kind, Versioning},
    },
    names::{AccountId, BucketName, Partition, Region, StackId, digest_hex, one_line},
    protocol::{origin::Origin, reply::Attributes},
};

/// The names of all attributes of this resource type. Every answer to Create and Update holds each of them (F-30).
pub const ATTRIBUTES: [&str; 26] = [
    "Kind",
    "Name",
    "Arn",
    "BucketName",
    "BucketArn",
    "BucketRegion",
    "Prefix",
    "Format",
    "Compression",
    "RefreshesClosedMonths",
    "Versioning",
    "IamPrincipalData",
    "Origin",
    "Decision",
    "AccountRole",
    "ManagementAccountId",
    "OrganizationId",
    "FeatureSet",
    "FirstDataDueBy",
    "Backfill",
    "ReadableBucketArn",
    "ReadableObjectsArn",
    "ReadableKeys",
    "KmsKeyArn",
    "DecryptableKeyArn",
    "Schedule",
];

/// An attribute set with every name and no value.
fn empty_attributes() -> Attributes {
    ATTRIBUTES.into_iter().map(|name| (name, String::new())).collect()
}

/// Attributes pass through the template into JSON text, where these would end a string (HW-A8).
pub(crate) fn plain(text: &str) -> String {
    one_line(text).replace('"', "'").replace('\\', "/")
}

/// How often a stack with something to watch looks, in hours: AWS delivers at least daily, and three times a day at most.
const WATCH: u32 = 6;

/// How often a stack with nothing to watch says that it is there, in hours.
const DAY: u32 = 24;

/// When the schedule runs, as Amazon EventBridge reads it: every so many hours, at a minute that follows from the stack's id. `rate`
/// begins when the rule is created, so that all accounts of a StackSet, or all stacks of a new template version, would call the vendor
/// in the same minutes for years (HW-D6).
fn schedule(stack: &StackId, hours: u32) -> String {
    let share = u32::from_str_radix(&digest_hex(&[stack.as_str(), "schedule"], 4), 16).unwrap_or_default() % (hours * 60);
    let (hour, minute) = (share / 60, share % 60);
    let hour = if hours < DAY { format!("{hour}/{hours}") } else { hour.to_string() };
    format!("cron({minute} {hour} * * ? *)")
}

/// What holds whatever is chosen.
pub(super) fn account_attributes(origin: &Origin, export: &Export, facts: &Facts) -> Attributes {
    let mut attributes = empty_attributes();
    attributes.insert("Schedule", schedule(&origin.stack, DAY));
    attributes.insert("Kind", export.kind.as_str().to_owned());
    attributes.insert("Origin", "none".to_owned());
    attributes.extend(organization_attributes(&facts.billing_position));
    attributes
}

/// The account's place in its organization.
pub fn organization_attributes(position: &BillingPosition) -> [(&'static str, String); 4] {
    let organization = position.organization();
    let payer = organization.and_then(|organization| organization.management_account.as_ref());
    [
        ("AccountRole", position.name().as_str().to_owned()),
        ("ManagementAccountId", payer.map(|id| id.as_str().to_owned()).unwrap_or_default()),
        ("OrganizationId", organization.map(|organization| organization.id.clone()).unwrap_or_default()),
        ("FeatureSet", organization.map(|organization| organization.feature_set.clone()).unwrap_or_default()),
    ]
}

pub(super) fn describe_no_export(attributes: &mut Attributes, origin: &Origin, export: &Export) {
    // A policy needs a legal ARN even where there is nothing to read; no bucket can have this name for long enough to
    // matter, because the policy also demands that it be this account's.
    let bucket = format!("arn:{}:s3:::{}-{}-none", origin.stack.partition, export.prefix, origin.stack.account);
    readable(attributes, bucket, format!("{DATA_ROOT}*"));
    decryptable(attributes, origin, None);
}

pub(super) fn describe(
    attributes: &mut Attributes,
    origin: &Origin,
    facts: &Facts,
    chosen: &Candidate,
    source: &str,
    created_at: &str,
) {
    let partition = origin.stack.partition;
    let home = facts.region.as_ref().unwrap_or(&origin.stack.region);
    let (bucket, region, prefix) = chosen.location();
    let bucket_arn = BucketName::existing(bucket).arn(partition);
    // The export's own keys and no other's. Its name and prefix may hold `*`, which IAM would read as a pattern.
    let keys = format!("{prefix}/{}/", chosen.name()).replace('*', "${*}");
    readable(attributes, bucket_arn.clone(), format!("{keys}*"));
    decryptable(attributes, origin, facts.bucket_keys.get(bucket).map(|key| (key.as_str(), region)));
    let due = if chosen.has_delivered() { String::new() } else { first_data_due_by(created_at) };
    let format = chosen.format().map(Format::as_str).unwrap_or_default();
    let refreshes = chosen.refreshes_closed_months().map(|refreshes| refreshes.to_string());
    attributes.extend([
        ("Kind", chosen.kind().unwrap_or(Kind::None).as_str().to_owned()),
        ("Name", chosen.name().to_owned()),
        ("Arn", chosen.arn(partition, home, &origin.stack.account)),
        ("BucketName", bucket.to_owned()),
        ("BucketArn", bucket_arn),
        ("BucketRegion", region.to_owned()),
        ("Prefix", prefix.to_owned()),
        ("Format", format.to_owned()),
        ("Compression", chosen.compression().unwrap_or_default().to_owned()),
        ("RefreshesClosedMonths", refreshes.unwrap_or_default()),
        ("Versioning", chosen.versioning().map(Versioning::as_str).unwrap_or_default().to_owned()),
        ("IamPrincipalData", chosen.includes_iam_principals().to_string()),
        ("Origin", source.to_owned()),
        ("FirstDataDueBy", due),
        ("Schedule", schedule(&origin.stack, WATCH)),
    ]);
}

/// A bucket that the customer brings: what delivers to it has no name here, and its kind and format are not known.
pub(super) fn describe_bucket(attributes: &mut Attributes, origin: &Origin, facts: &Facts, bucket: &BucketName, prefix: &str) {
    let bucket_arn = bucket.arn(origin.stack.partition);
    let keys = if prefix.is_empty() { "*".to_owned() } else { format!("{}/*", prefix.replace('*', "${*}")) };
    readable(attributes, bucket_arn.clone(), keys);
    let region = facts.bucket_regions.get(bucket.as_str()).cloned().unwrap_or_default();
    decryptable(attributes, origin, facts.bucket_keys.get(bucket.as_str()).map(|key| (key.as_str(), region.as_str())));
    attributes.extend([
        ("BucketName", bucket.as_str().to_owned()),
        ("BucketArn", bucket_arn),
        ("BucketRegion", region),
        ("Prefix", prefix.to_owned()),
        ("Kind", String::new()),
        ("Format", String::new()),
        ("Origin", "reused".to_owned()),
        ("Schedule", schedule(&origin.stack, WATCH)),
    ]);
}

/// What a pack may grant to read: always legal in a policy, never more than one export's files.
fn readable(attributes: &mut Attributes, bucket_arn: String, keys: String) {
    attributes.insert("ReadableObjectsArn", format!("{bucket_arn}/{keys}"));
    attributes.insert("ReadableBucketArn", bucket_arn);
    attributes.insert("ReadableKeys", keys);
}

/// The key that a pack may grant to decrypt with: the one the bucket names, with its Region, or one that nobody has.
fn decryptable(attributes: &mut Attributes, origin: &Origin, key: Option<(&str, &str)>) {
    let (partition, account) = (origin.stack.partition, &origin.stack.account);
    let arn = key.and_then(|(key, region)| match key.strip_prefix("arn:") {
        Some(_) => is_key_arn(key, partition, region).then(|| key.to_owned()),
        None => is_key_id(key).then(|| format!("arn:{partition}:kms:{region}:{account}:key/{key}")),
    });
    let none = format!("arn:{partition}:kms:{}:{account}:key/none", origin.stack.region);
    attributes.insert("DecryptableKeyArn", arn.clone().unwrap_or(none));
    attributes.insert("KmsKeyArn", arn.unwrap_or_default());
}

/// Whether it names one key where the bucket is: S3 keeps what it was given, and a policy would read `*` as a pattern.
fn is_key_arn(text: &str, partition: Partition, region: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", of_partition, "kms", of_region, account, resource] = parts[..] else { return false };
    let in_place =
        of_partition == partition.as_str() && of_region.parse::<Region>().is_ok() && (region.is_empty() || region == of_region);
    in_place && account.parse::<AccountId>().is_ok() && resource.strip_prefix("key/").is_some_and(is_key_id)
}

fn is_key_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Why a key of the bucket's is not told: IAM grants a key by its ARN and not by its alias, or nobody may look.
pub(super) fn undecryptable_reason(facts: &Facts, attributes: &Attributes) -> Option<String> {
    let bucket = attributes.get("BucketName")?;
    if let Some(why) = facts.unreadable_keys.get(bucket) {
        return Some(format!(
            "if its bucket encrypts with a KMS key of yours, the role cannot decrypt, because the key is not known: {why}"
        ));
    }
    let key = facts.bucket_keys.get(bucket)?;
    let is_reported = key.ends_with("alias/aws/s3") || attributes.get("KmsKeyArn").is_some_and(|arn| !arn.is_empty());
    (!is_reported).then(|| {
        let key = plain(key);
        format!("its bucket refers to its KMS key as `{key}`: use the ARN instead, so that the role can be allowed to decrypt")
    })
}
