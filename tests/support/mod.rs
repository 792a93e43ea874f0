//! Events as differences from a named base (`tests/bases.yaml`), and the cases made of them (`tests/cases/`).

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_norway::Value;

static BASES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| yaml(&root().join("tests/bases.yaml")));

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether to write what is expected instead of comparing it: `make bless`.
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
pub(crate) fn is_blessed() -> bool {
    env::var_os("HAWSER_BLESS").is_some()
}

pub(crate) fn yaml<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_norway::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The files of a folder whose names end so, in order.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// An event: a base, and what differs from it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    base: String,
    #[serde(default = "nothing")]
    request: Value,
}

fn nothing() -> Value {
    Value::Mapping(serde_norway::Mapping::new())
}

impl Event {
    /// The whole event, its fields in the base's order.
    pub(crate) fn whole(&self) -> Value {
        let base = BASES.get(&self.base).unwrap_or_else(|| panic!("`{}` is not in tests/bases.yaml", self.base));
        let mut event = base.clone();
        merge(&mut event, &self.request);
        if let Some(url) = event.get("ResponseURL").and_then(Value::as_str) {
            event["ResponseURL"] = response_url(url, &event).into();
        }
        event
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::to_value(self.whole()).unwrap()
    }
}

/// A JSON Merge Patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Mapping(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_mapping() {
        *target = nothing();
    }
    let Value::Mapping(fields) = target else { unreachable!("it was just made one") };
    for (name, change) in changes {
        if change.is_null() {
            fields.shift_remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The address with the event's own fields in place of the words in braces, as CloudFormation writes them into it.
fn response_url(pattern: &str, event: &Value) -> String {
    let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let region = field("StackId").split(':').nth(3).unwrap_or_default();
    pattern
        .replace("{RegionWithoutHyphens}", &region.replace('-', ""))
        .replace("{Region}", region)
        .replace("{StackId}", &field("StackId").replace(':', "%3A"))
        .replace("{LogicalResourceId}", field("LogicalResourceId"))
        .replace("{RequestId}", field("RequestId"))
}

/// A request in an account, and why it is here.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) story: String,
    pub(crate) request: serde_json::Value,
    pub(crate) account: serde_json::Value,
}

/// The file of a case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    story: String,
    base: String,
    #[serde(default = "nothing")]
    request: Value,
    account: serde_json::Value,
}

/// The folder of the cases.
pub(crate) fn cases_folder() -> PathBuf {
    root().join("tests/cases")
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |path: PathBuf| {
        let CaseFile { story, base, request, account } = yaml(&path);
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Case { name, story, request: Event { base, request }.json(), account }
    };
    files(&cases_folder(), "yaml").into_iter().map(case).collect()
}
