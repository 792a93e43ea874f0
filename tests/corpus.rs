//! Every input that was ever found worth keeping, through the functions that `make fuzz` feeds (`tests/fuzzed`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

mod fuzzed;

/// All files below some folders of the repository.
fn inputs(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Runs every file of the folders `make fuzz` starts from, and says which ones fail.
fn replay(target: &str, folders: &[&str], at_least: usize, check: fn(&[u8])) {
    let inputs = inputs(folders);
    let fails = |path: &&PathBuf| {
        let data = fs::read(path).unwrap();
        catch_unwind(AssertUnwindSafe(|| check(&data))).is_err()
    };
    let failed: Vec<&PathBuf> = inputs.iter().filter(fails).collect();
    assert!(
        failed.is_empty(),
        "what is wrong stands above; replay with: make fuzz-replay TARGET={target} INPUT=…, one of {failed:#?}"
    );
    assert!(inputs.len() >= at_least, "inputs went missing: {} of {at_least}", inputs.len());
}

#[test]
fn every_event_found_so_far() {
    replay("event", &["fuzz/corpus/event", "events", "tests/cases"], 100, fuzzed::event::check);
}

#[test]
fn every_policy_found_so_far() {
    replay("policy", &["fuzz/corpus/policy", "fuzz/seeds/policy"], 20, fuzzed::policy::check);
}

#[test]
fn every_reply_found_so_far() {
    replay("reply", &["fuzz/corpus/reply", "fuzz/seeds/reply"], 20, fuzzed::reply::check);
}
