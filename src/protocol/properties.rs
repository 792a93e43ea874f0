//! A typed reader of `ResourceProperties`: every scalar arrives as a string, and a slip of the pen is an error.

use std::{collections::BTreeMap, str::FromStr};

use serde_json::{Map, Value};

use crate::{
    error::{Code, Failure},
    names::shorten,
};

/// Present in every custom resource's properties and read by CloudFormation alone.
const CLOUDFORMATION_PROPERTIES: [&str; 2] = ["ServiceToken", "ServiceTimeout"];

/// How much of a wrong value an error repeats.
const VALUE_QUOTED_BYTES_MAX: usize = 60;

/// The properties of one request, each read at most once; what is left over at [`Properties::finish`] is unknown.
#[derive(Debug)]
pub struct Properties<'a> {
    unread: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Properties<'a> {
    /// Opens the properties; absent ones are none at all (CloudFormation does not require them).
    pub fn new(object: Option<&'a Map<String, Value>>) -> Self {
        let known = |name: &str| !CLOUDFORMATION_PROPERTIES.contains(&name);
        let unread = object.into_iter().flatten().map(|(name, value)| (name.as_str(), value));
        Self { unread: unread.filter(|(name, _)| known(name)).collect() }
    }

    /// A string, if given. Numbers and booleans are taken by their JSON text: an `sam local invoke` event written by
    /// hand may hold them, CloudFormation itself sends strings only.
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] for a list or a map.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Failure> {
        match self.unread.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(invalid(name, "must be a single value")),
        }
    }

    /// A string that must be given and not be empty.
    ///
    /// # Errors
    /// [`Code::PropertyMissing`], or [`Code::PropertyInvalid`] for a list or a map.
    pub fn required(&mut self, name: &'static str) -> Result<String, Failure> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
    }

    /// A value of a type that reads itself from text; `None` when absent or empty.
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] with the type's own reason.
    pub fn parsed<T>(&mut self, name: &'static str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        match self.text(name)?.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|why: T::Err| invalid(name, &why.to_string())),
        }
    }

    /// As [`Properties::parsed`], but it must be given.
    ///
    /// # Errors
    /// [`Code::PropertyMissing`] or [`Code::PropertyInvalid`].
    pub fn required_parsed<T>(&mut self, name: &'static str) -> Result<T, Failure>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.parsed(name)?.ok_or_else(|| missing(name))
    }

    /// One of a closed list of words, the first of which is the default.
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] for any other word; the error names the legal ones (F-43).
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<T, Failure> {
        let given = self.text(name)?.filter(|text| !text.is_empty());
        let Some(given) = given else {
            return words.first().map(|(_, value)| *value).ok_or_else(|| missing(name));
        };
        words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
            let legal: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            invalid(name, &format!("is `{}`; allowed values are {}", shorten(&given, VALUE_QUOTED_BYTES_MAX), legal.join(", ")))
        })
    }

    /// `true` or `false`, in any case CloudFormation or a person may write them; absent is `false` (F-43).
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] for any other word.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Failure> {
        let text = self.text(name)?.unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            _ => Err(invalid(
                name,
                &format!("is `{}`; allowed values are `true` and `false`", shorten(&text, VALUE_QUOTED_BYTES_MAX)),
            )),
        }
    }

    /// A list of strings without empty ones: an empty `CommaDelimitedList` arrives as `[""]`.
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] for anything but a list of strings or one string.
    pub fn list(&mut self, name: &'static str) -> Result<Vec<String>, Failure> {
        let items = match self.unread.remove(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::String(text)) => {
                return Ok(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect());
            }
            Some(Value::Array(items)) => items,
            Some(_) => return Err(invalid(name, "must be a list of strings")),
        };
        let text = |item: &Value| item.as_str().map(|text| text.trim().to_owned());
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        let texts = texts.ok_or_else(|| invalid(name, "must be a list of strings"))?;
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// A map of strings.
    ///
    /// # Errors
    /// [`Code::PropertyInvalid`] for anything else.
    pub fn map(&mut self, name: &'static str) -> Result<BTreeMap<String, String>, Failure> {
        let object = match self.unread.remove(name) {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::String(text)) if text.is_empty() => return Ok(BTreeMap::new()),
            Some(Value::Object(object)) => object,
            Some(_) => return Err(invalid(name, "must be a map of strings")),
        };
        let pair = |(key, value): (&String, &Value)| value.as_str().map(|text| (key.clone(), text.to_owned()));
        object.iter().map(pair).collect::<Option<_>>().ok_or_else(|| invalid(name, "must be a map of strings"))
    }

    /// Refuses what no one asked for.
    ///
    /// # Errors
    /// [`Code::PropertyUnknown`] naming every property that was not read.
    pub fn finish(self) -> Result<(), Failure> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.unread.keys().map(|name| format!("`{}`", shorten(name, VALUE_QUOTED_BYTES_MAX))).collect();
        Err(Failure::new(Code::PropertyUnknown, format!("unknown property {}", shorten(&names.join(", "), 400))))
    }
}

/// The failure of a property with a wrong value; `why` ends the sentence that begins with its name.
pub(crate) fn invalid(name: &str, why: &str) -> Failure {
    Failure::new(Code::PropertyInvalid, format!("property `{name}` {why}"))
}

fn missing(name: &str) -> Failure {
    Failure::new(Code::PropertyMissing, format!("property `{name}` is missing or empty"))
}
