//! Every layout that AWS has, with manifests as they are delivered (`tests/manifests/`): what the watch finds there is what was
//! delivered. `python -m dev.data make` made them, which knows nothing of the watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use hawser::{
    aws::{Cloud, OBJECTS_LISTED_MAX},
    delivery::layout::{self, DeliveredData, ReadError},
};
use hawser_account::AccountFile;
use hawser_sim::World;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{files_below, root};

const OLDER: &str = "2026-11-03T04:05:06Z";
const NEWER: &str = "2026-11-04T04:05:06Z";

/// One layout, as `index.json` has it.
#[derive(Deserialize)]
struct Layout {
    layout: String,
    bucket: String,
    prefix: String,
    name: String,
    periods: Vec<Period>,
    /// Key to file.
    manifests: BTreeMap<String, String>,
    /// Key to bytes.
    objects: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Period {
    period: String,
    manifest: String,
    files: Vec<String>,
    bytes: u64,
}

fn folder() -> PathBuf {
    root().join("tests/manifests")
}

fn layouts() -> Vec<Layout> {
    serde_json::from_str(&fs::read_to_string(folder().join("index.json")).unwrap()).unwrap()
}

impl Layout {
    /// The bucket with everything in it; what belongs to the period `newest` was written last.
    fn objects(&self, newest: &Period) -> Vec<Value> {
        let names = [newest.period.clone(), newest.period.replace('-', "") + "01-", newest.period.replace('-', "/month=")];
        let object = |(key, size): (&String, &u64)| {
            let modified = if names.iter().any(|name| key.contains(name)) { NEWER } else { OLDER };
            let body = self.manifests.get(key).map(|file| fs::read_to_string(folder().join(file)).unwrap());
            json!({ "key": key, "size": size, "modified": modified, "body": body })
        };
        self.objects.iter().map(object).collect()
    }

    /// What the watch finds below a prefix, for an export of this name or for whatever is there.
    async fn find(&self, objects: Vec<Value>, prefix: &str, name: &str) -> Result<Option<DeliveredData>, ReadError> {
        let account = json!({ "buckets": [{ "name": self.bucket, "objects": objects }] });
        let file: AccountFile = serde_json::from_value(account).unwrap();
        let world = World::new(file);
        let aws = world.account.at(&"us-east-1".parse().unwrap());
        let (owner, bucket) = ("111122223333".parse().unwrap(), hawser::names::BucketName::existing(&self.bucket));
        layout::find(&*aws, &owner, &bucket, prefix, name).await
    }
}

/// HW-D3: found by listing, in every layout, by the export's name or by the prefix alone; whichever period was written last is the
/// latest, and the oldest is the first.
#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_found_in_every_layout() {
    let layouts = layouts();
    assert_eq!(layouts.len(), 6);
    for layout in &layouts {
        let whole = format!("{}/{}", layout.prefix, layout.name);
        for (prefix, name) in [(layout.prefix.as_str(), layout.name.as_str()), (&layout.prefix, ""), (&whole, "")] {
            // The open month last; and, by the place that a notice tells, a closed one that AWS has delivered again.
            for newest in layout.periods.iter().rev().take(2) {
                let stated = format!("{}: `{prefix}` `{name}` {}", layout.layout, newest.period);
                let found = layout.find(layout.objects(newest), prefix, name).await.unwrap().unwrap();
                let latest = &found.latest;
                assert_eq!((&latest.period, &latest.manifest), (&newest.period, &newest.manifest), "{stated}");
                assert_eq!((latest.files, latest.bytes), (newest.files.len(), newest.bytes), "{stated}");
                assert_eq!((latest.delivered_at.as_str(), found.missing.len()), (NEWER, 0), "{stated}");
                let oldest = &layout.periods[0];
                assert_eq!((&found.first.period, &found.first.key), (&oldest.period, &oldest.manifest), "{stated}");
            }
        }
    }
}

/// F-48: keys of a prefix that begins with `/` begin so too, and the manifest names them without it.
#[tokio::test(start_paused = true)]
async fn files_below_a_leading_slash_are_found() {
    for layout in &layouts() {
        let mut objects = layout.objects(&layout.periods[1]);
        for object in &mut objects {
            object["key"] = json!(format!("/{}", object["key"].as_str().unwrap()));
        }
        let found = layout.find(objects, &format!("/{}", layout.prefix), &layout.name).await.unwrap().unwrap();
        assert_eq!((found.latest.bytes, found.missing.len()), (layout.periods[1].bytes, 0), "{}", layout.layout);
    }
}

/// What the manifest does not name is not counted, and what it names must be there.
#[tokio::test(start_paused = true)]
async fn the_manifest_decides_what_counts() {
    for layout in &layouts() {
        let (prefix, name) = (layout.prefix.as_str(), layout.name.as_str());
        let newest = &layout.periods[1];
        // A month that got smaller leaves a file behind; another period's file is no part of this one.
        let mut more = layout.objects(newest);
        more.push(json!({ "key": newest.files[0].replace("-00001.", "-00003."), "size": 7, "modified": NEWER }));
        let found = layout.find(more, prefix, name).await.unwrap().unwrap();
        assert_eq!((found.latest.files, found.latest.bytes), (newest.files.len(), newest.bytes), "{}", layout.layout);

        let gone = &newest.files[1];
        let mut fewer = layout.objects(newest);
        fewer.retain(|object| object["key"] != gone.as_str());
        let found = layout.find(fewer, prefix, name).await.unwrap().unwrap();
        assert_eq!(found.missing.as_slice(), std::slice::from_ref(gone), "{}", layout.layout);

        // Data without a manifest are not there yet: AWS writes it last.
        let mut unfinished = layout.objects(newest);
        unfinished.retain(|object| !object["key"].as_str().unwrap().ends_with("-Manifest.json"));
        assert_eq!(layout.find(unfinished, prefix, name).await, Ok(None), "{}", layout.layout);
    }
}

/// HW-D3: "missing" is said of what was looked for: not of a file in the twenty-first folder, nor of one in a folder too full to be
/// listed to its end.
#[tokio::test(start_paused = true)]
async fn what_was_not_listed_is_not_missing() {
    let layout = &layouts()[0];
    let files_in = |folders: usize| (1..=folders).map(|folder| format!("far/{folder:02}/1.csv.gz"));
    let find = |named: Vec<String>, there: Vec<String>| async move {
        let manifest = json!({ "reportKeys": named }).to_string();
        let mut objects = vec![json!({ "key": "p/n/20261101-20261201/n-Manifest.json", "modified": NEWER, "body": manifest })];
        objects.extend(there.iter().map(|key| json!({ "key": key, "size": 1, "modified": NEWER })));
        let found = layout.find(objects, "p", "n").await.unwrap().unwrap();
        (found.latest.files, found.latest.bytes, found.missing.len())
    };
    assert_eq!(find(files_in(25).collect(), files_in(25).collect()).await, (25, 20, 0));
    assert_eq!(find(files_in(25).collect(), Vec::new()).await, (25, 0, 20));
    let full: Vec<String> = (0..OBJECTS_LISTED_MAX + 2).map(|number| format!("far/full/{number:05}.csv.gz")).collect();
    assert_eq!(find(full.clone(), full).await, (OBJECTS_LISTED_MAX + 2, OBJECTS_LISTED_MAX as u64, 0));
}

/// The index names every file that is there, and each manifest names the files that were delivered with it.
#[test]
fn the_index_is_whole() {
    let mut known = BTreeSet::new();
    for layout in &layouts() {
        for (key, file) in &layout.manifests {
            let body = fs::read(folder().join(file)).unwrap();
            assert_eq!(u64::try_from(body.len()).unwrap(), layout.objects[key], "{file}");
            let period = layout.periods.iter().find(|period| file.contains(&period.period)).unwrap();
            assert_eq!(layout::files_of(&body).as_ref(), Some(&period.files), "{file}");
            assert_eq!(period.files.iter().map(|key| layout.objects[key]).sum::<u64>(), period.bytes, "{file}");
            known.insert(folder().join(file));
        }
    }
    let files = files_below(&["tests/manifests"]).into_iter().filter(|path| path.parent() != Some(&folder()));
    assert_eq!(files.collect::<BTreeSet<_>>(), known);
}
