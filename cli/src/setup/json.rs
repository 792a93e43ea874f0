//! Policies as JSON, keys in the order in which policies are read.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// Keys that come first, in this order; all others follow by name.
const FIRST: [&str; 11] = [
    "Version",
    "Id",
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Where a key goes.
pub(super) fn rank(key: &str) -> usize {
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(pairs) => {
                let mut pairs: Vec<(&String, &Value)> = pairs.iter().collect();
                pairs.sort_by_key(|(key, _)| (rank(key), *key));
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

/// Indented, for readers.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&Ordered(value)).unwrap_or_default()
}

/// Without white space, as IAM counts it.
pub fn compact(value: &Value) -> String {
    serde_json::to_string(&Ordered(value)).unwrap_or_default()
}
