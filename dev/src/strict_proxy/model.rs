//! AWS's own service models, as botocore ships them, and the check of a request against them.
//!
//! botocore's client checks required members and types only; enums, patterns and lengths are checked here too, as the
//! service would.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use regex::Regex;
use serde_json::{Map, Value};

/// A service model (`service-2.json`).
#[derive(Debug)]
pub struct Model {
    document: Value,
    patterns: BTreeMap<String, Regex>,
}

/// Why a request does not fit its model, in the words AWS uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Where, for example `reportDefinition.timeUnit`.
    pub at: String,
    /// What is wrong there.
    pub constraint: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value at '{}' failed to satisfy constraint: {}", self.at, self.constraint)
    }
}

/// The sentence of a ValidationException.
pub fn sentence(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "error" } else { "errors" };
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    format!("{} validation {plural} detected: {}", violations.len(), list.join("; "))
}

impl Model {
    /// Reads the newest model of `service` below botocore's `data` folder.
    pub fn load(botocore: &Path, service: &str) -> anyhow::Result<Self> {
        let folder = botocore.join("data").join(service);
        let newest = std::fs::read_dir(&folder)
            .with_context(|| format!("botocore has no service `{service}` in `{}`", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("service-2.json.gz").is_file())
            .max()
            .with_context(|| format!("`{}` holds no service-2.json.gz", folder.display()))?;
        let packed = std::fs::read(newest.join("service-2.json.gz"))?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text)?;
        Self::parse(&text).with_context(|| format!("could not read the model of `{service}`"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let document: Value = serde_json::from_str(text)?;
        let Some(shapes) = document["shapes"].as_object() else { bail!("no shapes") };
        let mut patterns = BTreeMap::new();
        for (name, shape) in shapes {
            if let Some(pattern) = shape["pattern"].as_str() {
                // A pattern the Rust engine cannot read (look-around) is left out; none of the services used here has one
                // on a member that Hawser sends, which `patterns_of_what_we_send_compile` checks.
                if let Ok(regex) = Regex::new(&format!("^(?:{pattern})$")) {
                    patterns.insert(name.clone(), regex);
                }
            }
        }
        Ok(Self { document, patterns })
    }

    /// Whether `X-Amz-Target` of this service begins with `prefix`.
    pub fn serves(&self, prefix: &str) -> bool {
        self.document["metadata"]["targetPrefix"] == prefix
    }

    /// One operation, or nothing when the service has none of this name.
    pub fn operation(&self, name: &str) -> Option<&Value> {
        self.document["operations"].get(name)
    }

    /// All operations.
    pub fn operations(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.document["operations"].as_object().into_iter().flatten()
    }

    /// One shape.
    pub fn shape(&self, name: &str) -> &Value {
        &self.document["shapes"][name]
    }

    /// The names of the errors that an operation is modelled to answer with.
    pub fn errors(&self, operation: &str) -> Vec<String> {
        let errors = self.operation(operation).and_then(|found| found["errors"].as_array());
        let shapes = errors.into_iter().flatten().filter_map(|error| error["shape"].as_str());
        shapes.map(|name| self.shape(name)["error"]["code"].as_str().unwrap_or(name).to_owned()).collect()
    }

    /// The shape of the error with this name.
    pub(super) fn error(&self, code: &str) -> &Value {
        let shapes = self.document["shapes"].as_object().into_iter().flatten();
        let mut errors = shapes.filter(|(_, shape)| shape["exception"] == true);
        let found = errors.find(|(name, shape)| shape["error"]["code"].as_str().unwrap_or(name) == code);
        found.map_or(&Value::Null, |(_, shape)| shape)
    }

    /// The input shape of an operation.
    pub fn input(&self, operation: &str) -> Option<&str> {
        self.operation(operation)?["input"]["shape"].as_str()
    }

    /// Checks the input of an operation.
    pub fn check(&self, operation: &str, input: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        match self.input(operation) {
            Some(shape) => self.check_shape(shape, input, "", &mut violations),
            None if input.as_object().is_some_and(Map::is_empty) => {}
            None => violations.push(violation("", "Operation takes no members")),
        }
        violations
    }

    fn check_shape(&self, name: &str, value: &Value, at: &str, out: &mut Vec<Violation>) {
        let shape = self.shape(name);
        match shape["type"].as_str().unwrap_or_default() {
            "structure" => self.check_structure(shape, value, at, out),
            "list" => match value.as_array() {
                Some(items) => {
                    self.check_bounds(shape, items.len() as f64, at, out);
                    let member = shape["member"]["shape"].as_str().unwrap_or_default();
                    for (index, item) in items.iter().enumerate() {
                        self.check_shape(member, item, &format!("{at}.{}.member", index + 1), out);
                    }
                }
                None => out.push(violation(at, "Member must be a list")),
            },
            "map" => match value.as_object() {
                Some(entries) => {
                    self.check_bounds(shape, entries.len() as f64, at, out);
                    let inner = shape["value"]["shape"].as_str().unwrap_or_default();
                    for (key, item) in entries {
                        self.check_shape(inner, item, &format!("{at}.{key}"), out);
                    }
                }
                None => out.push(violation(at, "Member must be a map")),
            },
            "string" | "timestamp" | "blob" => match value.as_str() {
                Some(text) => self.check_string(name, shape, text, at, out),
                None => out.push(violation(at, "Member must be a string")),
            },
            "boolean" if !value.is_boolean() => out.push(violation(at, "Member must be a boolean")),
            "integer" | "long" | "float" | "double" => match value.as_f64() {
                Some(number) => self.check_bounds(shape, number, at, out),
                None => out.push(violation(at, "Member must be a number")),
            },
            _ => {}
        }
    }

    fn check_structure(&self, shape: &Value, value: &Value, at: &str, out: &mut Vec<Violation>) {
        let (Some(given), Some(members)) = (value.as_object(), shape["members"].as_object()) else {
            out.push(violation(at, "Member must be a structure"));
            return;
        };
        for required in shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if given.get(required).is_none_or(Value::is_null) {
                out.push(violation(&join(at, required), "Member must not be null"));
            }
        }
        for (name, item) in given {
            match members.get(name).and_then(|member| member["shape"].as_str()) {
                Some(inner) if !item.is_null() => self.check_shape(inner, item, &join(at, name), out),
                Some(_) => {}
                None => out.push(violation(&join(at, name), "Member is not known to this operation")),
            }
        }
    }

    fn check_string(&self, name: &str, shape: &Value, text: &str, at: &str, out: &mut Vec<Violation>) {
        if let Some(values) = shape["enum"].as_array()
            && !values.iter().any(|allowed| allowed == text)
        {
            let set: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            out.push(violation(at, &format!("Member must satisfy enum value set: [{}]", set.join(", "))));
        }
        if let Some(pattern) = self.patterns.get(name)
            && !pattern.is_match(text)
        {
            let pattern = shape["pattern"].as_str().unwrap_or_default();
            out.push(violation(at, &format!("Member must satisfy regular expression pattern: {pattern}")));
        }
        let length = text.chars().count() as f64;
        if let Some(max) = shape["max"].as_f64().filter(|max| length > *max) {
            out.push(violation(at, &format!("Member must have length less than or equal to {max}")));
        }
        if let Some(min) = shape["min"].as_f64().filter(|min| length < *min) {
            out.push(violation(at, &format!("Member must have length greater than or equal to {min}")));
        }
    }

    fn check_bounds(&self, shape: &Value, number: f64, at: &str, out: &mut Vec<Violation>) {
        if let Some(max) = shape["max"].as_f64().filter(|max| number > *max) {
            out.push(violation(at, &format!("Member must have value less than or equal to {max}")));
        }
        if let Some(min) = shape["min"].as_f64().filter(|min| number < *min) {
            out.push(violation(at, &format!("Member must have value greater than or equal to {min}")));
        }
    }
}

fn violation(at: &str, constraint: &str) -> Violation {
    Violation { at: at.to_owned(), constraint: constraint.to_owned() }
}

/// AWS writes members in lower camel case in these messages.
fn join(at: &str, name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase()).into_iter();
    let name: String = first.chain(letters).collect();
    if at.is_empty() { name } else { format!("{at}.{name}") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use serde_json::json;

    use super::*;

    fn cur() -> Model {
        Model::load(&crate::venv::botocore().unwrap(), "cur").unwrap()
    }

    fn report() -> Value {
        json!({"ReportDefinition": {
            "ReportName": "hawser-0123456789abcdef", "TimeUnit": "HOURLY", "Format": "Parquet", "Compression": "Parquet",
            "AdditionalSchemaElements": ["RESOURCES"], "S3Bucket": "hawser-111122223333-0123456789abcdef",
            "S3Prefix": "hawser/1a2b3c4d", "S3Region": "us-east-1", "AdditionalArtifacts": ["ATHENA"],
            "RefreshClosedReports": true, "ReportVersioning": "OVERWRITE_REPORT"},
            "Tags": [{"Key": "hawser:stack-id", "Value": "arn"}]})
    }

    /// `(JSON pointer, value)` is set in an otherwise good report; the violation must name this place.
    fn check(pointer: &str, value: Value, at: &str) {
        let mut input = report();
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { &mut input } else { input.pointer_mut(parent).unwrap() };
        parent[last] = value;
        let violations = cur().check("PutReportDefinition", &input);
        assert_eq!(violations.iter().map(|found| found.at.as_str()).collect::<Vec<_>>(), [at], "{violations:?}");
    }

    #[test]
    fn a_good_report_passes() {
        assert_eq!(cur().check("PutReportDefinition", &report()), []);
    }

    #[test]
    fn what_botocore_accepts_is_refused() {
        check("/ReportDefinition/TimeUnit", json!("WEEKLY"), "reportDefinition.timeUnit");
        check("/ReportDefinition/S3Region", json!("mars-1"), "reportDefinition.s3Region");
        check("/ReportDefinition/ReportName", json!("has spaces"), "reportDefinition.reportName");
        check("/ReportDefinition/S3Prefix", json!("x".repeat(257)), "reportDefinition.s3Prefix");
        check("/ReportDefinition/Surprise", json!("x"), "reportDefinition.surprise");
        check("/ReportDefinition/RefreshClosedReports", json!("true"), "reportDefinition.refreshClosedReports");
        check("/ReportDefinition/S3Bucket", Value::Null, "reportDefinition.s3Bucket");
        check("/Tags/0/Key", json!(""), "tags.1.member.key");
    }

    #[test]
    fn pages_are_of_five_exactly() {
        assert_eq!(cur().check("DescribeReportDefinitions", &json!({"MaxResults": 5})), []);
        assert_eq!(cur().check("DescribeReportDefinitions", &json!({"MaxResults": 10})).len(), 1);
        assert_eq!(cur().check("DescribeReportDefinitions", &json!({"MaxResults": 4})).len(), 1);
    }

    #[test]
    fn an_operation_without_input_takes_none() {
        let organizations = Model::load(&crate::venv::botocore().unwrap(), "organizations").unwrap();
        assert_eq!(organizations.check("DescribeOrganization", &json!({})), []);
        assert_eq!(organizations.check("DescribeOrganization", &json!({"Id": "o-1"})).len(), 1);
    }

    #[test]
    fn patterns_of_what_we_send_compile() {
        for service in ["cur", "organizations", "bcm-data-exports", "support"] {
            let model = Model::load(&crate::venv::botocore().unwrap(), service).unwrap();
            for (name, shape) in model.document["shapes"].as_object().unwrap() {
                assert!(shape["pattern"].is_null() || model.patterns.contains_key(name), "{service}: {name}");
            }
        }
    }
}
