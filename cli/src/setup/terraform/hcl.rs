//! HCL expressions from the template's JSON: references as variables and locals, conditions as conditional expressions.
//!
//! Written as text: `hcl-rs` writes no comments, neither it nor `hcl-edit` aligns as `terraform fmt` does, and building their
//! expressions takes more code than the quoting here. The tests parse the module with `hcl-rs`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use crate::{
    error::{CommandCode, CommandError},
    setup::{json::rank, policy_suffix},
    template::Template,
};

/// Around an HCL expression within a text, until the text is quoted. Private use characters, which no template has.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// An expression that is to be filled into a text.
pub(super) fn interpolation(expression: &str) -> String {
    format!("{OPEN}{expression}{CLOSE}")
}

/// Whether a text holds what only [`interpolation`] may.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains([OPEN, CLOSE])
}

/// A text as a quoted template (HCL syntax, "Quoted templates").
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            OPEN => quoted.push_str("${"),
            CLOSE => quoted.push('}'),
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '$' | '%' if rest.peek() == Some(&'{') => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `PackEc2` as `pack_ec2`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn unwritable(what: String) -> CommandError {
    CommandError::new(CommandCode::TemplateInvalid, format!("{what} cannot be written in HCL"))
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// Lines of `name = value`, the signs below each other as `terraform fmt` has them.
pub(super) fn aligned<K: AsRef<str>>(entries: &[(K, String)], depth: usize) -> String {
    let mut lines = String::new();
    let mut at = 0;
    while at < entries.len() {
        // Lines that are one below the other; a value of several lines stands alone.
        let run = entries[at..].iter().take_while(|(_, value)| !value.contains('\n')).count().max(1);
        let width = entries[at..at + run].iter().map(|(key, _)| key.as_ref().chars().count()).max().unwrap_or_default();
        for (key, value) in &entries[at..at + run] {
            lines.push_str(&format!("{}{:width$} = {value}\n", indent(depth), key.as_ref()));
        }
        at += run;
    }
    lines
}

/// JSON without references.
pub(super) fn literal(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => list(items.iter().map(|item| literal(item, depth + 1)), depth),
        Value::Object(pairs) => object(pairs.iter().map(|(key, value)| (key.clone(), literal(value, depth + 1))), depth),
        other => other.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>, depth: usize) -> String {
    let items: Vec<String> = items.map(|item| format!("{}{item},\n", indent(depth + 1))).collect();
    if items.is_empty() { "[]".to_owned() } else { format!("[\n{}{}]", items.concat(), indent(depth)) }
}

fn object(entries: impl Iterator<Item = (String, String)>, depth: usize) -> String {
    let plain = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut entries: Vec<(String, String)> = entries.collect();
    entries.sort_by(|(one, _), (other, _)| (rank(one), one).cmp(&(rank(other), other)));
    let key = |key: String| if plain(&key) { key } else { quoted(&key) };
    let entries: Vec<(String, String)> = entries.into_iter().map(|(name, value)| (key(name), value)).collect();
    format!("{{\n{}{}}}", aligned(&entries, depth + 1), indent(depth))
}

/// Writes expressions and remembers which variables and locals they need.
pub(super) struct Writer<'a> {
    template: &'a Template,
    parameters: RefCell<BTreeSet<String>>,
    conditions: RefCell<BTreeSet<String>>,
    /// Why a statement is there, by its id; a comment above it.
    pub(super) reasons: BTreeMap<String, String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(template: &'a Template) -> Self {
        Self { template, parameters: RefCell::default(), conditions: RefCell::default(), reasons: BTreeMap::new() }
    }

    /// The parameters that were needed.
    pub(super) fn parameters(&self) -> BTreeSet<String> {
        self.parameters.borrow().clone()
    }

    /// A condition of the template as an expression.
    pub(super) fn use_condition(&self, name: &str) -> String {
        self.conditions.borrow_mut().insert(name.to_owned());
        format!("local.{}", snake(name))
    }

    /// What holds in a module whatever its variables are: no access key, and never an empty external ID.
    fn fixed(&self, condition: &str) -> Option<bool> {
        match condition {
            "MakesUser" => return Some(false),
            "UsesStackId" => return Some(false),
            _ => {}
        }
        let all = self.template.json()["Conditions"][condition]["Fn::And"].as_array()?;
        let parts = all.iter().map(|part| self.fixed(part["Condition"].as_str()?));
        parts.flatten().any(|holds| !holds).then_some(false)
    }

    /// The conditions that were needed, as locals.
    pub(super) fn conditions(&self) -> Result<String, CommandError> {
        let mut done: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let needed = self.conditions.borrow().clone();
            let Some(name) = needed.iter().find(|name| !done.contains_key(*name)) else { break };
            let declared = &self.template.json()["Conditions"][name.as_str()];
            let expression = match self.fixed(name) {
                Some(holds) => holds.to_string(),
                None => self.condition(declared)?,
            };
            done.insert(name.clone(), expression);
        }
        let entries: Vec<(String, String)> = done.into_iter().map(|(name, value)| (snake(&name), value)).collect();
        Ok(aligned(&entries, 1))
    }

    fn condition(&self, condition: &Value) -> Result<String, CommandError> {
        let unknown = || unwritable(format!("`{condition}`"));
        let (function, given) = condition.as_object().and_then(|pairs| pairs.iter().next()).ok_or_else(unknown)?;
        let each = || given.as_array().map(Vec::as_slice).unwrap_or_default();
        let joined = |by: &str| -> Result<String, CommandError> {
            let parts = each().iter().map(|one| self.condition(one)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("({})", parts.join(by)))
        };
        match (function.as_str(), each()) {
            ("Condition", _) => Ok(self.use_condition(given.as_str().ok_or_else(unknown)?)),
            ("Fn::Not", [one]) => match one.get("Fn::Equals").and_then(Value::as_array).map(Vec::as_slice) {
                Some([one, other]) => Ok(format!("{} != {}", self.expression(one, 0)?, self.expression(other, 0)?)),
                _ => Ok(format!("!{}", self.condition(one)?)),
            },
            ("Fn::Equals", [one, other]) => Ok(format!("{} == {}", self.expression(one, 0)?, self.expression(other, 0)?)),
            ("Fn::And", _) => joined(" && "),
            ("Fn::Or", _) => joined(" || "),
            _ => Err(unknown()),
        }
    }

    /// A value of the template as an expression.
    pub(super) fn expression(&self, value: &Value, depth: usize) -> Result<String, CommandError> {
        match value {
            Value::Array(items) => self.list(items, depth),
            Value::Object(pairs) => match pairs.iter().next() {
                Some((function, given)) if pairs.len() == 1 && (function == "Ref" || function.starts_with("Fn::")) => {
                    self.function(function, given, depth)
                }
                _ => {
                    let entries = pairs.iter().map(|(key, value)| Ok((key.clone(), self.expression(value, depth + 1)?)));
                    let entries = entries.collect::<Result<Vec<_>, CommandError>>()?;
                    Ok(object(entries.into_iter(), depth))
                }
            },
            other => Ok(literal(other, depth)),
        }
    }

    /// Statements that depend on a condition are null without it, and nulls are left out.
    fn list(&self, items: &[Value], depth: usize) -> Result<String, CommandError> {
        let optional = |item: &&Value| item["Fn::If"][2] == json!({ "Ref": "AWS::NoValue" });
        let kept: Vec<&Value> = items.iter().filter(|item| self.is_possible(item)).collect();
        let sifted = kept.iter().any(optional);
        let inner = if sifted { depth + 1 } else { depth };
        let mut written = Vec::new();
        for item in kept {
            let statement = if item["Fn::If"].is_array() { &item["Fn::If"][1] } else { item };
            let why = statement["Sid"].as_str().and_then(|sid| self.reasons.get(sid));
            let comment = why.map(|why| format!("# {why}\n{}", indent(inner + 1))).unwrap_or_default();
            written.push(format!("{comment}{}", self.expression(item, inner + 1)?));
        }
        let list = list(written.into_iter(), inner);
        let around = indent(inner);
        Ok(if sifted { format!("[\n{around}for item in {list} : item if item != null\n{}]", indent(depth)) } else { list })
    }

    /// Whether an item can be there in a module.
    fn is_possible(&self, item: &Value) -> bool {
        let [Value::String(condition), _, otherwise] = item["Fn::If"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return true;
        };
        self.fixed(condition) != Some(false) || *otherwise != json!({ "Ref": "AWS::NoValue" })
    }

    fn function(&self, function: &str, given: &Value, depth: usize) -> Result<String, CommandError> {
        let unknown = || unwritable(format!("`{function}` of `{given}`"));
        match (function, given) {
            ("Ref", Value::String(name)) => Ok(match self.reference(name).ok_or_else(unknown)? {
                text if text.contains(OPEN) => quoted(&text),
                expression => expression,
            }),
            ("Fn::If", Value::Array(branches)) => {
                let [Value::String(condition), then, otherwise] = branches.as_slice() else { return Err(unknown()) };
                match self.fixed(condition) {
                    Some(holds) => self.expression(if holds { then } else { otherwise }, depth),
                    None => {
                        let (then, otherwise) = (self.expression(then, depth)?, self.expression(otherwise, depth)?);
                        Ok(format!("{} ? {then} : {otherwise}", self.use_condition(condition)))
                    }
                }
            }
            ("Fn::GetAtt", Value::Array(path)) => {
                let path: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
                self.attribute(&path.join(".")).ok_or_else(unknown)
            }
            ("Fn::Sub", Value::String(text)) => {
                let (mut filled, mut rest) = (String::new(), text.as_str());
                while let Some((before, after)) = rest.split_once("${") {
                    filled.push_str(before);
                    let (name, after) = after.split_once('}').ok_or_else(unknown)?;
                    rest = after;
                    match name.strip_prefix('!') {
                        Some(literal) => filled.push_str(&format!("${{{literal}}}")),
                        None => match self.reference(name).or_else(|| self.attribute(name)).ok_or_else(unknown)? {
                            text if text.contains(OPEN) => filled.push_str(&text),
                            expression => filled.push_str(&interpolation(&expression)),
                        },
                    }
                }
                Ok(quoted(&(filled + rest)))
            }
            _ => Err(unknown()),
        }
    }

    /// What `Ref` is in a module: an expression, or a text with expressions in it.
    fn reference(&self, name: &str) -> Option<String> {
        let known = match name {
            "AWS::NoValue" => Some("null"),
            "AWS::AccountId" => Some("local.account_id"),
            "AWS::Partition" => Some("local.partition"),
            "AWS::Region" => Some("local.region"),
            "AWS::StackName" => Some("local.name"),
            _ => None,
        };
        if let Some(known) = known {
            return Some(known.to_owned());
        }
        let json = self.template.json();
        if json["Parameters"].get(name).is_some() {
            self.parameters.borrow_mut().insert(name.to_owned());
            return Some(format!("var.{}", snake(name)));
        }
        // By its name, as without a module: the policy that names it need not wait for it.
        (json["Resources"][name]["Type"] == "AWS::IAM::ManagedPolicy").then(|| {
            let (partition, account) = (interpolation("local.partition"), interpolation("local.account_id"));
            let (path, own) = (interpolation("var.role_path"), interpolation("local.name"));
            format!("arn:{partition}:iam::{account}:policy{path}{own}{}", policy_suffix(name))
        })
    }

    fn attribute(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("BillingExport.")?;
        let known = ["ReadableBucketArn", "ReadableObjectsArn", "ReadableKeys", "DecryptableKeyArn"];
        known.contains(&name).then(|| format!("local.{}", snake(name)))
    }
}
