//! What a vendor publishes: [`package`] makes `dist/` of it, [`upload`] puts that into one bucket per Region.
//!
//! Every object has its own hash in its key, so nothing that was published ever changes: a stack that is updated to the same
//! address gets the same template, and that the same code (F-30).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use hawser::names::{Partition, Region};
use serde::{Deserialize, Serialize};

pub mod package;
pub mod sbom;
mod text;
pub mod upload;

/// Says what `dist/` holds and where it goes.
pub const MANIFEST: &str = "manifest.json";

/// What is in `dist/` to be uploaded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// The version of Hawser.
    pub version: String,
    /// A bucket's name is this, a hyphen and its Region.
    pub bucket_prefix: String,
    /// Where it is published.
    pub regions: Vec<String>,
    /// In the order in which they are uploaded: nothing refers to what comes after it.
    pub files: Vec<File>,
}

/// One file of `dist/`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Its name in `dist/`.
    pub name: String,
    /// Its key in each bucket.
    pub key: String,
    pub content_type: String,
    /// Hex.
    pub sha256: String,
    pub bytes: usize,
}

impl Manifest {
    /// Reads it from `dist/`.
    ///
    /// # Errors
    /// There is none, or it is none.
    pub fn read(dist: &Path) -> anyhow::Result<Self> {
        let path = dist.join(MANIFEST);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read `{}` (hint: run `make package`)", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("`{}` is not what `make package` writes", path.display()))
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The address of a file in one of the Regions, as CloudFormation takes it.
    pub fn url(&self, file: &File, region: &str) -> String {
        format!("https://{}/{}", bucket_host(&self.bucket_prefix, region), file.key)
    }
}

/// The bucket of a Region.
pub fn bucket(prefix: &str, region: &str) -> String {
    format!("{prefix}-{region}")
}

fn bucket_host(prefix: &str, region: &str) -> String {
    let suffix = Partition::of_region(region).dns_suffix();
    format!("{}.s3.{region}.{suffix}", bucket(prefix, region))
}

/// Longest name of a bucket (Amazon S3 User Guide, "General purpose bucket naming rules").
const BUCKET_NAME_MAX: usize = 63;

/// Refuses what cannot be bucket names in these Regions, and Regions that one account cannot have.
///
/// # Errors
/// Says which.
pub fn check_buckets(prefix: &str, regions: &[Region]) -> anyhow::Result<()> {
    let first = regions.first().context("no Region is given")?;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        prefix.len() >= 3 && prefix.bytes().all(legal) && !prefix.starts_with('-') && !prefix.ends_with('-'),
        "`{prefix}` cannot begin a bucket's name: 3 or more lowercase letters, digits and hyphens, with no hyphen at its ends"
    );
    let partition = Partition::of_region(first.as_str());
    for (number, region) in regions.iter().enumerate() {
        let name = bucket(prefix, region.as_str());
        ensure!(name.len() <= BUCKET_NAME_MAX, "`{name}` is longer than the {BUCKET_NAME_MAX} characters of a bucket's name");
        ensure!(!regions[..number].contains(region), "the Region `{region}` is given twice");
        if Partition::of_region(region.as_str()) != partition {
            bail!("`{first}` and `{region}` belong to different partitions, which no account is in; publish to each on its own");
        }
    }
    Ok(())
}

/// Parameters of the template that a publisher must not fill in: each customer has its own, and a template is public.
const NEVER_PUBLISHED: [&str; 2] = ["LaunchToken", "ExternalId"];

/// Refuses parameters that do not belong into a published template.
///
/// # Errors
/// Names the parameter.
pub fn check_defaults(defaults: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for name in NEVER_PUBLISHED {
        ensure!(!defaults.contains_key(name), "`{name}` is made for one customer and cannot be in a published template");
    }
    Ok(())
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The text of `template.yaml`.
///
/// # Errors
/// If the file cannot be read.
pub fn template() -> anyhow::Result<String> {
    let path = repository().join("template.yaml");
    std::fs::read_to_string(&path).with_context(|| format!("could not read `{}`", path.display()))
}
