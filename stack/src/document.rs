//! CloudFormation's YAML, short forms written out as its JSON has them: `!Ref X` as `{"Ref": "X"}`, `!GetAtt X.Y` as
//! `{"Fn::GetAtt": ["X", "Y"]}`.

use std::fmt;

use anyhow::{Context as _, ensure};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};
use serde_saphyr::Tagged;

/// A template as data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The whole template in its long form.
    pub json: Value,
    /// The names of all parameters, in the order of the text, which JSON does not keep.
    pub parameters: Vec<String>,
    /// The names of all resources, in the order of the text.
    pub resources: Vec<String>,
}

/// Reads a template in YAML with short forms, or in JSON.
///
/// # Errors
/// When the text is not YAML, has a key twice or a key that is not a string, or has no resources.
pub fn read(text: &str) -> anyhow::Result<Document> {
    let order: Order = parse(text)?;
    ensure!(!order.resources.0.is_empty(), "it has no `Resources`");
    Ok(Document { json: value(text)?, parameters: order.parameters.0, resources: order.resources.0 })
}

/// The same as a text, which is what the command line's `Template` reads.
///
/// # Errors
/// As [`read`].
pub fn to_json(text: &str) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&read(text)?)?)
}

/// Any YAML with CloudFormation's short forms.
pub(crate) fn value(text: &str) -> anyhow::Result<Value> {
    let Tagged(LongForm(value), tag) = parse(text)?;
    Ok(long_form(tag.as_deref(), value))
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> anyhow::Result<T> {
    // The scalars of YAML 1.2: `Y` is a name, and a number with a leading zero an account id.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).context("not YAML")
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Order {
    parameters: Keys,
    resources: Keys,
}

#[derive(Default)]
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Keys;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a section of a template")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Keys(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

struct LongForm(Value);

impl<'de> Deserialize<'de> for LongForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(LongForm)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value of a template")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tagged(LongForm(item), tag)) = items.next_element()? {
            list.push(long_form(tag.as_deref(), item));
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Tagged(LongForm(value), tag))) = pairs.next_entry::<String, Tagged<LongForm>>()? {
            let value = attribute(&key, long_form(tag.as_deref(), value));
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

/// The value, within the function that its tag names.
fn long_form(tag: Option<&str>, value: Value) -> Value {
    let Some(name) = tag.and_then(|tag| tag.strip_prefix('!')) else { return value };
    let name = if ["Ref", "Condition"].contains(&name) { name.to_owned() } else { format!("Fn::{name}") };
    let value = attribute(&name, value);
    json!({ name: value })
}

/// `X.Y` as `[X, Y]`, where it is a reference to an attribute.
fn attribute(function: &str, value: Value) -> Value {
    match value.as_str().and_then(|path| path.split_once('.')) {
        Some((resource, attribute)) if function == "Fn::GetAtt" => json!([resource, attribute]),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn short_forms_are_written_out() {
        for (text, expected) in [
            ("!Ref X", json!({ "Ref": "X" })),
            ("!Ref Y", json!({ "Ref": "Y" })),
            ("!Condition X", json!({ "Condition": "X" })),
            ("!GetAtt X.Y.Z", json!({ "Fn::GetAtt": ["X", "Y.Z"] })),
            ("Fn::GetAtt: X.Y", json!({ "Fn::GetAtt": ["X", "Y"] })),
            ("!If [A, !Ref B, !Sub \"${C}\"]", json!({ "Fn::If": ["A", { "Ref": "B" }, { "Fn::Sub": "${C}" }] })),
            ("a: !Sub\n  - ${b}\n  - b: !Ref B\n", json!({ "a": { "Fn::Sub": ["${b}", { "b": { "Ref": "B" } }] } })),
            ("{a: 1, b: -1, c: 1.5, d: true, e: 2012-10-17, f: \"1\", g: , h: Y, i: 012}", {
                json!({ "a": 1, "b": -1, "c": 1.5, "d": true, "e": "2012-10-17", "f": "1", "g": null, "h": "Y", "i": "012" })
            }),
            (r#"{"Ref": "X"}"#, json!({ "Ref": "X" })),
        ] {
            assert_eq!(value(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for text in ["a: [", "a: b", "Resources: {}", "Resources: [1]", "Resources: { a: 1, a: 2 }", "Resources: { ? [a] : 1 }"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_keep_their_order() {
        let document = read("Parameters: { B: {}, A: {} }\nResources: { Z: { Type: !Ref A }, Y: {} }").unwrap();
        assert_eq!(document.parameters, ["B", "A"]);
        assert_eq!(document.resources, ["Z", "Y"]);
    }
}
