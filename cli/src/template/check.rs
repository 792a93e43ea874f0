//! Parameters: what the template says of each, and whether a value is one it allows.

use std::collections::BTreeMap;

use hawser::names::shorten;
use regex_lite::Regex;
use serde_json::Value;

use super::document::Template;
use crate::error::{CommandCode, CommandError};

/// Largest value of a parameter (CloudFormation quotas).
const VALUE_BYTES_MAX: usize = 4_096;
/// How much of a wrong value an error repeats.
const VALUE_QUOTED_BYTES_MAX: usize = 80;
/// Names further apart than this are no slips of the finger.
const TYPOS_MAX: usize = 4;

/// A parameter, with all that the console shows of it.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    /// `String`, `Number` or `CommaDelimitedList`.
    pub kind: String,
    /// What the console calls it.
    pub label: String,
    /// The heading under which the console shows it.
    pub group: String,
    pub description: String,
    /// Its value when none is given; a parameter without one must be given.
    pub default: Option<String>,
    /// The legal values; empty when they are not listed.
    pub allowed: Vec<String>,
    /// The pattern that the whole value, or each item of a list, must match.
    pub pattern: Option<String>,
    /// That pattern in words: the end of a sentence.
    pub constraint: Option<String>,
    pub limits: Constraint,
    /// Whether CloudFormation hides the value. Launch links drop such a parameter without a word.
    pub no_echo: bool,
}

/// Limits of length and of size.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Constraint {
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_value: Option<f64>,
    pub max_value: Option<f64>,
}

impl Template {
    /// All parameters, in the order of the template, with what the console shows.
    pub fn parameters(&self) -> Vec<Parameter> {
        let interface = &self.json["Metadata"]["AWS::CloudFormation::Interface"];
        let groups: Vec<&Value> = interface["ParameterGroups"].as_array().into_iter().flatten().collect();
        let parameter = |name: &String| {
            let declared = &self.json["Parameters"][name];
            let text = |key: &str| scalar(&declared[key]);
            let holds = |group: &&&Value| group["Parameters"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
            let number = |key: &str| scalar(&declared[key]).and_then(|text| text.parse().ok());
            let count = |key: &str| scalar(&declared[key]).and_then(|text| text.parse().ok());
            Parameter {
                name: name.clone(),
                kind: text("Type").unwrap_or_default(),
                label: scalar(&interface["ParameterLabels"][name]["default"]).unwrap_or_else(|| name.clone()),
                group: groups.iter().find(holds).and_then(|group| scalar(&group["Label"]["default"])).unwrap_or_default(),
                description: text("Description").unwrap_or_default(),
                default: text("Default"),
                allowed: declared["AllowedValues"].as_array().into_iter().flatten().filter_map(scalar).collect(),
                pattern: text("AllowedPattern"),
                constraint: text("ConstraintDescription"),
                limits: Constraint {
                    min_length: count("MinLength"),
                    max_length: count("MaxLength"),
                    min_value: number("MinValue"),
                    max_value: number("MaxValue"),
                },
                no_echo: text("NoEcho").is_some_and(|word| word == "true"),
            }
        };
        self.parameters.iter().map(parameter).collect()
    }

    /// Refuses parameters that the template does not have, and values that it does not allow.
    pub(super) fn check_values(&self, given: &BTreeMap<String, String>) -> Result<(), CommandError> {
        let parameters = self.parameters();
        for (name, value) in given {
            match parameters.iter().find(|parameter| parameter.name == *name) {
                Some(parameter) => parameter.check(value)?,
                None => {
                    let like = nearest(name, &parameters).map_or_else(String::new, |like| format!(" (similar: `{like}`)"));
                    return Err(CommandError::new(
                        CommandCode::ParameterUnknown,
                        format!("the template has no parameter `{name}`{like}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Numbers and booleans by their text, as CloudFormation takes them.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

impl Parameter {
    /// Refuses a value that CloudFormation would refuse.
    ///
    /// # Errors
    /// [`CommandCode::ParameterInvalid`], which says what is allowed.
    pub fn check(&self, value: &str) -> Result<(), CommandError> {
        let refused = |why: String| {
            let value = if self.no_echo { "(hidden)" } else { value };
            // Of a token, nothing is repeated.
            let value = if value.starts_with("whsec_") { "whsec_…" } else { value };
            let cause = format!("`{}` is `{}` but {why}", self.name, shorten(value, VALUE_QUOTED_BYTES_MAX));
            Err(CommandError::new(CommandCode::ParameterInvalid, cause))
        };
        let constraint = || self.constraint.clone();
        if value.len() > VALUE_BYTES_MAX {
            return refused(format!("may have {VALUE_BYTES_MAX} bytes"));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| allowed == value) {
            let allowed: Vec<String> = self.allowed.iter().map(|word| format!("`{word}`")).collect();
            return refused(format!("must be one of {}", allowed.join(", ")));
        }
        let Constraint { min_length, max_length, min_value, max_value } = self.limits;
        let length = value.chars().count() as u64;
        if min_length.is_some_and(|min| length < min) || max_length.is_some_and(|max| length > max) {
            let limits = (min_length.unwrap_or(0), max_length.map_or_else(|| "any".to_owned(), |max| max.to_string()));
            return refused(constraint().unwrap_or_else(|| format!("must have {} to {} characters", limits.0, limits.1)));
        }
        if self.kind == "Number" {
            let Ok(number) = value.parse::<f64>() else { return refused("must be a number".to_owned()) };
            if let Some(min) = min_value.filter(|min| number < *min) {
                return refused(format!("must be at least {min}"));
            }
            if let Some(max) = max_value.filter(|max| number > *max) {
                return refused(format!("must be at most {max}"));
            }
        }
        if let Some(pattern) = &self.pattern {
            // CloudFormation matches the whole value, and each item of a list.
            let invalid = |why| {
                CommandError::new(CommandCode::TemplateInvalid, format!("the pattern of `{}` is not valid: {why}", self.name))
            };
            let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(invalid)?;
            let items: Vec<&str> = match self.kind.as_str() {
                "CommaDelimitedList" => value.split(',').map(str::trim).collect(),
                _ => vec![value],
            };
            if !items.iter().all(|item| whole.is_match(item)) {
                return refused(constraint().unwrap_or_else(|| format!("must match `{pattern}`")));
            }
        }
        Ok(())
    }
}

/// The parameter whose name a slip may have meant.
fn nearest(name: &str, parameters: &[Parameter]) -> Option<String> {
    let distance = |other: &str| strsim::levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let (distance, near) = parameters.iter().map(|parameter| (distance(&parameter.name), &parameter.name)).min()?;
    (distance <= TYPOS_MAX.min(name.len() / 2)).then(|| near.clone())
}
