//! Buckets and what lies in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use hawser::aws::{FolderListing, OBJECTS_LISTED_MAX, Object as Listed, Tags};
use time::OffsetDateTime;

use crate::account_file::BucketFile;

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
        Self { size, modified, body: Arc::default() }
    }
}

impl From<BucketFile> for Bucket {
    fn from(file: BucketFile) -> Self {
        Self {
            region: file.region,
            owner: file.owner,
            tags: file.tags,
            policy: file.policy.map(|policy| policy.to_string()),
            objects: file.objects.into_iter().map(|object| object.into_object()).collect(),
            kms_key: file.kms_key,
            ..Self::default()
        }
    }
}

impl Bucket {
    /// One level of keys, as `ListObjectsV2` with `/` as the delimiter shows it.
    pub(super) fn listing(&self, prefix: &str) -> FolderListing {
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
}
