//! Events as differences from a named base (`tests/bases.yaml`), and the cases made of them (`tests/cases/`).

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_norway::Value;

use super::{files, yaml};

/// The folder of the cases.
pub(crate) const CASES: &str = "tests/cases";

static BASES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| yaml("tests/bases.yaml"));

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

pub(crate) fn cases() -> Vec<Case> {
    let case = |path: std::path::PathBuf| {
        let CaseFile { story, base, request, account } = yaml(&path);
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Case { name, story, request: Event { base, request }.json(), account }
    };
    files(CASES, "yaml").into_iter().map(case).collect()
}
