//! Buckets and what lies in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use hawser::{
    aws::{FaultKind, FolderListing, OBJECTS_LISTED_MAX, Object as Listed, Tags},
    names::Region,
};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    file::{BucketFile, CaseFile, ObjectFile},
    freedoms::RegionNamed,
    refusal::Refusal,
};

/// Bytes of an object of which only the key matters.
const SIZE: u64 = 1000;

/// Regions that have to be enabled, whose endpoints know nothing of the others' buckets (AWS Account Management, "Enable or disable
/// AWS Regions in your account").
const OPT_IN: [&str; 3] = ["af-south-1", "ap-southeast-7", "eu-south-2"];

/// S3 answers in a bucket's own Region: elsewhere with 301, or 400 where the Region has to be enabled, and, as far as it has to be `named`,
/// where the bucket is. Only `GetBucketLocation` is answered in us-east-1 for the Regions that are older (F-45).
///
/// # Errors
/// In any other Region.
pub fn answers_at(home: &str, action: &str, region: &Region, named: RegionNamed) -> Result<(), Refusal> {
    let opt_in = OPT_IN.contains(&home);
    let located = action == "s3:GetBucketLocation" && region.as_str() == "us-east-1" && !opt_in;
    if located || home == region.as_str() {
        return Ok(());
    }
    let code = if opt_in { "IllegalLocationConstraintException" } else { "PermanentRedirect" };
    let is_named = named == RegionNamed::Always || action == "s3:ListBucket";
    let bucket_region = home.parse().ok().filter(|_| is_named);
    Err(Refusal { bucket_region, ..Refusal::new(FaultKind::Refused, code, "") })
}

/// A bucket as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    pub region: String,
    /// Another account's, if given.
    pub owner: Option<String>,
    pub tags: Tags,
    /// Its policy, as text.
    pub policy: Option<String>,
    /// Its objects, by key.
    pub objects: BTreeMap<String, Object>,
    /// Public access is blocked by its own setting.
    pub public_access_blocked: bool,
    /// SSE-S3 is set by its own setting.
    pub encrypted: bool,
    /// The customer's KMS key that new objects are encrypted with.
    pub kms_key: Option<String>,
    /// Unfinished uploads end after so many days.
    pub upload_days: Option<u16>,
}

/// An object. Printed, it shows how much it holds, not what.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// Bytes; more than the body where nobody reads it.
    pub size: u64,
    /// `LastModified`
    pub modified: OffsetDateTime,
    /// What it holds, where somebody reads it.
    pub body: Arc<[u8]>,
    /// Object Lock or a legal hold keeps it.
    pub locked: bool,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.size, self.modified)
    }
}

impl Object {
    /// An object whose body is as long as it is.
    pub fn holding(body: &str, modified: OffsetDateTime) -> Self {
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Self { body: body.as_bytes().into(), ..Self::of_size(size, modified) }
    }

    /// An object of which nobody reads what it holds.
    pub fn of_size(size: u64, modified: OffsetDateTime) -> Self {
        Self { size, modified, body: Arc::default(), locked: false }
    }
}

impl Object {
    fn from_file(file: ObjectFile) -> (String, Self) {
        match file {
            ObjectFile::Key(key) => (key, Self::of_size(SIZE, CaseFile::yesterday())),
            ObjectFile::Whole(file) => {
                let body = match file.body {
                    Value::Null => String::new(),
                    Value::String(text) => text,
                    value => value.to_string(),
                };
                let object = Self::holding(&body, file.modified);
                (file.key, Self { size: file.size.unwrap_or(object.size), locked: file.locked, ..object })
            }
        }
    }
}

impl From<BucketFile> for Bucket {
    fn from(file: BucketFile) -> Self {
        Self {
            region: file.region,
            owner: file.owner,
            tags: file.tags,
            policy: file.policy.map(|policy| policy.to_string()),
            objects: file.objects.into_iter().map(Object::from_file).collect(),
            kms_key: file.kms_key,
            ..Self::default()
        }
    }
}

impl Bucket {
    /// One level of keys, as `ListObjectsV2` with `/` as the delimiter shows it.
    pub(crate) fn listing(&self, prefix: &str) -> FolderListing {
        let (mut objects, mut folders) = (Vec::new(), BTreeSet::new());
        for (key, object) in &self.objects {
            let Some(below) = key.strip_prefix(prefix) else { continue };
            match below.split_once('/') {
                Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
                None => objects.push(Listed { key: key.clone(), size: object.size, modified: object.modified }),
            }
            if objects.len() + folders.len() >= OBJECTS_LISTED_MAX {
                return FolderListing { objects, folders: folders.into_iter().collect(), truncated: true };
            }
        }
        FolderListing { objects, folders: folders.into_iter().collect(), truncated: false }
    }

    /// Whether one of AWS's services may put objects here on the account's behalf.
    ///
    /// Reads what policies of billing buckets say: an `Allow` for the service, bound to the account or not at all, and no
    /// unconditional `Deny`. Other conditions are not weighed.
    pub fn admits(&self, service: &str, account: &str) -> bool {
        let policy: Option<Value> = self.policy.as_deref().and_then(|policy| serde_json::from_str(policy).ok());
        let statements = policy.map(|policy| list(&policy["Statement"])).unwrap_or_default();
        let puts = |statement: &&Value| {
            let actions = list(&statement["Action"]);
            actions.iter().any(|action| action == "s3:PutObject" || action == "s3:*" || action == "*")
        };
        let names = |statement: &Value| list(&statement["Principal"]["Service"]).iter().any(|named| named == service);
        let of_account = |statement: &Value| {
            let conditions = statement["Condition"].as_object();
            let values = conditions.into_iter().flatten().filter_map(|(_, keys)| keys.get("aws:SourceAccount"));
            values.into_iter().all(|value| list(value).iter().any(|named| *named == account))
        };
        let denies = |statement: &Value| {
            statement["Effect"] == "Deny"
                && statement["Condition"].is_null()
                && (names(statement) || statement["Principal"] == "*" || statement["Principal"]["AWS"] == "*")
        };
        let mut puts_of = statements.iter().filter(puts);
        let allowed =
            puts_of.clone().any(|statement| statement["Effect"] == "Allow" && names(statement) && of_account(statement));
        allowed && !puts_of.any(denies)
    }
}

/// One or many, as policies have it.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}
