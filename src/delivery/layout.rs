//! Where AWS puts billing data: manifests are found by listing, never by computing names.
//!
//! Every layout there is (Cost and Usage Reports User Guide, "Viewing your reports in Amazon S3"; Data Exports, "Understanding
//! export delivery"), below `<prefix>/<name>/`:
//!
//! - `<YYYYMMDD-YYYYMMDD>/<name>-Manifest.json`, and a copy one level down for each assembly: the legacy report;
//! - `<name>/<YYYYMMDD-YYYYMMDD>/…`: the same for Athena, as the guide shows it;
//! - `metadata/BILLING_PERIOD=<YYYY-MM>/<name>-Manifest.json`, or one level down for each execution: Data Exports, which write
//!   the period's key in capitals for CUR 2.0 and in small letters for FOCUS, so that no letter case is relied on (F-48).

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    aws::{Aws, Fault, FaultKind, FolderListing, OBJECT_BYTES_MAX, Object, READ_OBJECT},
    connection::status::LatestData,
    names::{AccountId, BucketName, one_line, rfc3339, shorten},
};

/// How a manifest's name ends, with and without the report's own name before it, in small letters.
const MANIFEST: &str = "manifest.json";

/// What of it the function may read (the template's `ReadManifests`): AWS writes it large, and whoever copies reports may write it small.
const READABLE_MANIFEST: &str = "anifest.json";

/// How many periods are opened from each end: one that has no manifest yet does not hide the one before.
const PERIODS_OPENED: usize = 3;

/// How many folders of one level are opened: the assemblies of a month, three a day.
const FOLDERS_OPENED: usize = 100;

/// How many levels below a prefix that was brought are searched: a prefix of AWS's may have several, and the name is one more.
const LEVELS_SEARCHED: usize = 12;

/// How many folders hold the files of one manifest.
const DATA_FOLDERS_MAX: usize = 20;

/// Why what is there is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// S3 refused or did not answer.
    Fault(Fault),
    /// A manifest is not one.
    Unreadable(String),
    /// Nothing was found, and not everything was looked at.
    NotSearched,
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A manifest that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its billing period, `YYYY-MM`.
    pub period: String,
    pub key: String,
    /// When it was written last.
    pub modified: OffsetDateTime,
    /// Bytes.
    pub size: u64,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveredData {
    /// The manifest of the oldest period.
    pub first: Manifest,
    /// The newest data.
    pub latest: LatestData,
    /// When these were written.
    pub newest: OffsetDateTime,
    /// Files that the newest manifest names and that are not there.
    pub missing: Vec<String>,
}

/// Finds the data of an export, or of whatever delivers below a prefix where the name is empty. `None` if there are none yet.
///
/// # Errors
/// [`ReadError`]
pub async fn find(
    aws: &dyn Aws,
    owner: &AccountId,
    bucket: &BucketName,
    prefix: &str,
    name: &str,
) -> Result<Option<DeliveredData>, ReadError> {
    let listing = BucketListing { aws, owner, bucket };
    let is_gone = |read: &Result<_, ReadError>| matches!(read, Err(ReadError::Fault(fault)) if fault.kind == FaultKind::Missing && fault.action == READ_OBJECT);
    let mut found = read(&listing, prefix, name).await;
    if is_gone(&found) {
        // It was there a moment ago: written again by a delivery, or taken away.
        found = read(&listing, prefix, name).await;
    }
    if is_gone(&found) {
        return Err(ReadError::Unreadable("the newest manifest is listed and cannot be read: it is not there".to_owned()));
    }
    found
}

async fn read(listing: &BucketListing<'_>, prefix: &str, name: &str) -> Result<Option<DeliveredData>, ReadError> {
    let BucketListing { owner, bucket, .. } = *listing;
    let Periods { found: periods, searched_all } = listing.periods(prefix, name).await?;
    let manifests = listing.manifests_at_ends(name, &periods).await?;
    // A closed month is delivered again while the next one begins: the newest data are those written last.
    let (_, newest_from) = ends(&periods);
    let newest = manifests.iter().filter(|manifest| manifest.period.as_str() >= newest_from);
    let Some(latest) = newest.max_by(|a, b| a.modified.cmp(&b.modified).then(a.period.cmp(&b.period))).cloned() else {
        return if searched_all { Ok(None) } else { Err(ReadError::NotSearched) };
    };
    let first = manifests.into_iter().next().unwrap_or_else(|| latest.clone());
    if latest.size > OBJECT_BYTES_MAX as u64 {
        let (key, size) = (quoted(&latest.key), latest.size);
        let why = format!("manifest `{key}` cannot be read: it has {size} bytes, and at most {OBJECT_BYTES_MAX} are read");
        return Err(ReadError::Unreadable(why));
    }
    let body = listing.aws.read_object(bucket, owner, &latest.key, OBJECT_BYTES_MAX).await?;
    let files =
        files_of(&body).ok_or_else(|| ReadError::Unreadable(format!("manifest `{}` cannot be read", quoted(&latest.key))))?;
    let (sizes, folders) = listing.sizes(prefix, &files).await?;
    let is_missing = |file: &&String| folders.contains(folder_of(file)) && !sizes.contains_key(*file);
    let missing = files.iter().filter(is_missing).map(|file| quoted(file)).collect();
    let bytes = files.iter().filter_map(|file| sizes.get(file)).sum();
    Ok(Some(DeliveredData {
        first,
        latest: LatestData {
            period: latest.period,
            manifest: latest.key,
            delivered_at: rfc3339(latest.modified),
            files: files.len(),
            bytes,
        },
        newest: latest.modified,
        missing,
    }))
}

/// A key in a sentence.
fn quoted(key: &str) -> String {
    const SHOWN_BYTES: usize = 200;
    shorten(&one_line(key), SHOWN_BYTES)
}

/// The files that a manifest names, as keys without a leading `/`: `reportKeys` of a report, `dataFiles` of an export, which are
/// `s3://` addresses. `None` if it names neither.
pub fn files_of(manifest: &[u8]) -> Option<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let files = manifest.get("reportKeys").or_else(|| manifest.get("dataFiles"))?.as_array()?;
    let key = |file: &Value| {
        let file = file.as_str()?;
        let key = match file.strip_prefix("s3://") {
            Some(address) => address.split_once('/')?.1,
            None => file,
        };
        Some(key.trim_start_matches('/').to_owned())
    };
    files.iter().map(key).collect()
}

/// The billing period that a folder's name says: `20261101-20261201/`, or `BILLING_PERIOD=2026-11/` in any letter case.
pub fn period_of(folder: &str) -> Option<String> {
    let name = last_segment(folder);
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let partition = name.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("BILLING_PERIOD"));
    if let Some((year, month)) = partition.and_then(|(_, period)| period.split_once('-')) {
        return (digits(year, 4) && digits(month, 2)).then(|| format!("{year}-{month}"));
    }
    let (start, end) = name.split_once('-')?;
    (digits(start, 8) && digits(end, 8)).then(|| format!("{}-{}", &start[..4], &start[4..6]))
}

fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn last_segment(folder: &str) -> &str {
    let folder = folder.strip_suffix('/').unwrap_or(folder);
    folder.rsplit('/').next().unwrap_or_default()
}

/// The last of the oldest and the first of the newest periods that are opened. Several exports may each have a folder of one period.
fn ends(periods: &[(String, String)]) -> (&str, &str) {
    let distinct: BTreeSet<&str> = periods.iter().map(|(period, _)| period.as_str()).collect();
    let oldest = distinct.iter().take(PERIODS_OPENED).next_back();
    let newest = distinct.iter().rev().take(PERIODS_OPENED).next_back();
    (oldest.copied().unwrap_or_default(), newest.copied().unwrap_or_default())
}

/// The first of each list, then the second of each: none with many folders keeps the others from being looked at.
fn in_turn<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or_default();
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    (0..longest).flat_map(|_| lists.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect()
}

/// Folders of billing periods.
pub(super) struct Periods {
    /// Period and folder, the oldest first.
    pub(super) found: Vec<(String, String)>,
    /// Whether every folder in which there may be more was looked at.
    pub(super) searched_all: bool,
}

pub(super) struct BucketListing<'a> {
    pub(super) aws: &'a dyn Aws,
    pub(super) owner: &'a AccountId,
    pub(super) bucket: &'a BucketName,
}

impl BucketListing<'_> {
    pub(super) async fn listing(&self, prefix: &str) -> Result<FolderListing, Fault> {
        self.aws.list_folder(self.bucket, self.owner, prefix).await
    }

    /// The folders of billing periods, the oldest first.
    pub(super) async fn periods(&self, prefix: &str, name: &str) -> Result<Periods, Fault> {
        // An empty prefix of a report leaves its keys with a leading `/`; one of a bucket that was brought does not.
        let root = match (prefix, name) {
            ("", "") => String::new(),
            (prefix, "") => format!("{prefix}/"),
            (prefix, name) => format!("{prefix}/{name}/"),
        };
        let (mut found, mut searched_all) = (Vec::new(), true);
        let mut level = vec![self.listing(&root).await?];
        for depth in 0..LEVELS_SEARCHED {
            for listing in &level {
                found.extend(self.periods_among(listing).await?);
                searched_all &= !listing.truncated;
            }
            // Below a prefix that was brought there may be several exports, and the one that is nearest may be the one that stopped.
            if depth > 0 && !found.is_empty() && !name.is_empty() {
                break;
            }
            // Below it: Athena's copy below the report's own name, and whatever delivers below a prefix that was brought.
            let root = &root;
            let searched = level.iter().map(|listing| {
                let is_export = listing.folders.iter().any(|folder| is_metadata(folder));
                let below = listing.folders.iter().filter(move |folder| match name {
                    "" => may_hold_exports(folder, is_export),
                    name => last_segment(folder) == name && *folder != root,
                });
                below.collect::<Vec<_>>()
            });
            let folders = in_turn(searched.collect());
            searched_all &= folders.len() <= FOLDERS_OPENED && (depth + 1 < LEVELS_SEARCHED || folders.is_empty());
            let folders = folders.into_iter().take(FOLDERS_OPENED);
            level = try_join_all(folders.map(|folder| self.listing(folder))).await?;
        }
        found.sort();
        found.dedup();
        Ok(Periods { found, searched_all })
    }

    async fn periods_among(&self, listing: &FolderListing) -> Result<Vec<(String, String)>, Fault> {
        let mut folders = listing.folders.clone();
        if let Some(metadata) = listing.folders.iter().find(|folder| is_metadata(folder)) {
            folders.extend(self.listing(metadata).await?.folders);
        }
        Ok(folders.into_iter().filter_map(|folder| Some((period_of(&folder)?, folder))).collect())
    }

    /// The newest manifest of each folder of the first and the last of these periods, as far as they have one; the oldest first.
    pub(super) async fn manifests_at_ends(&self, name: &str, periods: &[(String, String)]) -> Result<Vec<Manifest>, Fault> {
        let (oldest_to, newest_from) = ends(periods);
        let is_old = |period: &str| period <= oldest_to && period < newest_from;
        let oldest = periods.iter().filter(|(period, _)| is_old(period)).take(FOLDERS_OPENED);
        let newest = periods.iter().filter(|(period, _)| period.as_str() >= newest_from);
        let newest = newest.rev().take(FOLDERS_OPENED).collect::<Vec<_>>().into_iter().rev();
        let manifests = oldest.chain(newest).map(|(period, folder)| async move {
            let listing = self.listing(folder).await?;
            let newest = match newest_manifest(name, &listing.objects) {
                Some(newest) => Some(newest),
                None => {
                    // One level down: an assembly or an execution each.
                    let folders = listing.folders.iter().rev().take(FOLDERS_OPENED);
                    let levels = try_join_all(folders.map(|folder| self.listing(folder))).await?;
                    let objects: Vec<Object> = levels.into_iter().flat_map(|listing| listing.objects).collect();
                    newest_manifest(name, &objects)
                }
            };
            Ok(newest.map(|object| Manifest {
                period: period.clone(),
                key: object.key,
                modified: object.modified,
                size: object.size,
            }))
        });
        Ok(try_join_all(manifests).await?.into_iter().flatten().collect())
    }

    /// The sizes of those files that are there, by listing the folders they are in, and the folders that were listed to the end.
    async fn sizes<'f>(&self, prefix: &str, files: &'f [String]) -> Result<(BTreeMap<String, u64>, BTreeSet<&'f str>), Fault> {
        let folders: BTreeSet<&str> = files.iter().map(|file| folder_of(file)).collect();
        let mut folders: BTreeSet<&str> = folders.into_iter().take(DATA_FOLDERS_MAX).collect();
        let levels = try_join_all(folders.iter().map(|folder| self.data_folder(prefix, folder))).await?;
        let mut truncated = levels.iter().map(|listing| listing.truncated);
        folders.retain(|_| truncated.next() == Some(false));
        let objects = levels.into_iter().flat_map(|listing| listing.objects);
        Ok((objects.map(|object| (object.key.trim_start_matches('/').to_owned(), object.size)).collect(), folders))
    }

    /// The files in a folder of data. The keys of a report whose prefix is empty or begins with `/` begin so too, whatever its manifest
    /// says; there either form may be the right one, and a policy for the keys of a prefix says nothing of the other.
    async fn data_folder(&self, prefix: &str, folder: &str) -> Result<FolderListing, Fault> {
        let forms = [format!("{folder}/"), format!("/{folder}/")];
        let possible = if prefix.is_empty() || prefix.starts_with('/') { 2 } else { 1 };
        let (mut listed, mut denied) = (None, None);
        for form in forms.iter().take(possible) {
            match self.listing(form).await {
                Ok(listing) if !listing.objects.is_empty() => return Ok(listing),
                Ok(listing) => listed = Some(listing),
                Err(fault) if fault.kind == FaultKind::Missing => listed = Some(FolderListing::default()),
                Err(fault) if fault.is_denial() => denied = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        match denied {
            Some(fault) if listed.is_none() => Err(fault),
            _ => Ok(listed.unwrap_or_default()),
        }
    }
}

/// The newest manifest; the export's own before what AWS writes beside it, such as `<name>-Manifest-FOCUS.json`.
fn newest_manifest(name: &str, objects: &[Object]) -> Option<Object> {
    let own = format!("{name}-{MANIFEST}");
    let file = |object: &Object| last_segment(&object.key).to_owned();
    // As a word of its own: `<name>-RedshiftManifest.json` is for Redshift.
    let is_manifest = |file: String| {
        let small = file.to_lowercase();
        let is_one = small.strip_suffix(MANIFEST).is_some_and(|before| before.is_empty() || before.ends_with('-'));
        is_one && file.ends_with(READABLE_MANIFEST)
    };
    let manifests = objects.iter().filter(|object| is_manifest(file(object)));
    let is_own = |object: &Object| !name.is_empty() && file(object).eq_ignore_ascii_case(&own);
    manifests.max_by(|a, b| (is_own(a), a.modified, &a.key).cmp(&(is_own(b), b.modified, &b.key))).cloned()
}

pub(super) fn is_metadata(folder: &str) -> bool {
    last_segment(folder).eq_ignore_ascii_case("metadata")
}

/// Whether exports may be below a folder: neither below the two of an export, `data` beside `metadata`, nor below a period or another
/// partition of Hive's, such as `year=2026`. A customer's own folder may be called `data` too.
fn may_hold_exports(folder: &str, is_export: bool) -> bool {
    let part = last_segment(folder);
    let is_its_own = is_export && (is_metadata(folder) || part.eq_ignore_ascii_case("data"));
    !(is_its_own || part.contains('=') || period_of(folder).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_folders_are_recognized() {
        for (folder, period) in [
            ("billing/finance/20261101-20261201/", Some("2026-11")),
            ("billing/finance/20180701-20180731/", Some("2018-07")),
            ("exports/x/metadata/BILLING_PERIOD=2026-02/", Some("2026-02")),
            ("exports/x/metadata/billing_period=2026-02/", Some("2026-02")),
            ("exports/x/metadata/Billing_Period=2026-02/", Some("2026-02")),
            ("exports/x/metadata/period=2026-02/", None),
            ("exports/x/data/", None),
            ("billing/finance/finance/", None),
            ("billing/finance/year=2026/", None),
            ("billing/finance/2026110-20261201/", None),
            ("BILLING_PERIOD=2026-2/", None),
            ("", None),
        ] {
            assert_eq!(period_of(folder).as_deref(), period, "{folder}");
        }
    }

    /// F-48: what is written beside a manifest is none, whatever its letter case.
    #[test]
    fn a_manifest_is_distinguished_from_its_neighbours() {
        let newest = |name: &str, files: &[&str]| {
            let object = |file: &&str| Object { key: format!("a/{file}"), size: 1, modified: OffsetDateTime::UNIX_EPOCH };
            newest_manifest(name, &files.iter().map(object).collect::<Vec<_>>()).map(|object| object.key)
        };
        for (name, files, expected) in [
            ("", &["n-Manifest.json", "n-RedshiftManifest.json"][..], Some("a/n-Manifest.json")),
            ("", &["n-RedshiftManifest.json"], None),
            ("", &["manifest.json"], Some("a/manifest.json")),
            ("", &["n-manifest.json", "n-1.csv.gz"], Some("a/n-manifest.json")),
            // The handler's role may not read it.
            ("", &["n-manifest.JSON"], None),
            ("n", &["n-Manifest.json", "n-x-Manifest.json"], Some("a/n-Manifest.json")),
        ] {
            assert_eq!(newest(name, files).as_deref(), expected, "{files:?}");
        }
    }

    #[test]
    fn a_manifest_without_files_is_invalid() {
        let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        for (manifest, expected) in [
            (r#"{"reportKeys": ["a/b/1.csv.gz", "/a/b/2.csv.gz"]}"#, keys(&["a/b/1.csv.gz", "a/b/2.csv.gz"])),
            (r#"{"dataFiles": ["s3://bucket/a/b/1.parquet"]}"#, keys(&["a/b/1.parquet"])),
            (r#"{"dataFiles": []}"#, keys(&[])),
            (r#"{"dataFiles": ["s3://bucket"]}"#, None),
            (r#"{"dataFiles": "s3://bucket/a"}"#, None),
            (r#"{"files": []}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(files_of(manifest.as_bytes()), expected, "{manifest}");
        }
    }
}
