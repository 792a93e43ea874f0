//! What the modules of `tests/core` share: the repository's files, pages that are written from the code, events and cases, the log.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

pub(crate) mod captured;
pub(crate) mod cases;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub(crate) fn yaml<T: DeserializeOwned>(path: impl AsRef<Path>) -> T {
    serde_norway::from_str(&read(path.as_ref())).unwrap_or_else(|why| panic!("{}: {why}", path.as_ref().display()))
}

/// The files of a folder whose names end so, in order.
pub(crate) fn files(folder: impl AsRef<Path>, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// Every file below some places of the repository.
pub(crate) fn files_below(places: &[&str]) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files
}

/// Whether to write what is expected instead of comparing it: `make bless`.
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
pub(crate) fn is_blessed() -> bool {
    env::var_os("HAWSER_BLESS").is_some()
}

/// A file that is written from something else says what that says.
pub(crate) fn assert_written(path: &str, text: &str) {
    if is_blessed() {
        fs::write(root().join(path), text).unwrap();
    }
    assert!(fs::read_to_string(root().join(path)).unwrap_or_default() == text, "{path} is out of date: run `make bless`");
}
