//! The permission packs of a template.

use serde_json::{Value, json};

use super::document::Template;

/// What a pack lets the vendor do. Ordered: the later holds all of the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    ReadOnly,
    ReadWrite,
}

impl Mode {
    /// As the parameter has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "ReadOnly",
            Self::ReadWrite => "ReadWrite",
        }
    }
}

/// A permission pack: one managed policy, switched by one parameter.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Its short name, as notices have it: `ec2`.
    pub name: String,
    /// The parameter that switches it: `PackEc2`.
    pub parameter: String,
    /// The policy's resource: `PackEc2Policy`.
    pub logical_id: String,
    /// A few words.
    pub title: String,
    /// A sentence.
    pub purpose: String,
    /// The modes there are besides `None`.
    pub modes: Vec<Mode>,
    /// The mode when nothing is said; none for `None`.
    pub default: Option<Mode>,
    /// Policies of AWS's own that go with it, by name.
    pub managed_policies: Vec<String>,
    /// What it grants, statement by statement.
    pub statements: Vec<Statement>,
}

/// One statement of a pack, references as the template has them.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its id, unique within the pack.
    pub sid: String,
    /// The first mode that has it.
    pub mode: Mode,
    /// The other conditions of the template that it depends on; `!Name` where it depends on the opposite.
    pub conditions: Vec<String>,
    /// Why it is there.
    pub why: String,
    /// `Allow` or `Deny`.
    pub effect: String,
    pub actions: Vec<String>,
    pub json: Value,
}

impl Template {
    /// All permission packs, in the order of the template.
    pub fn packs(&self) -> Vec<Pack> {
        self.resources.iter().filter_map(|logical_id| pack(self, logical_id)).collect()
    }
}

fn pack(template: &Template, logical_id: &str) -> Option<Pack> {
    let resource = &template.json["Resources"][logical_id];
    let about = resource["Metadata"]["Pack"].as_object()?;
    let text = |name: &str| about.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let parameter = resource["Condition"].as_str().unwrap_or_default().to_owned();
    let mode = |word: &str| [Mode::ReadOnly, Mode::ReadWrite].into_iter().find(|mode| mode.as_str() == word);
    let declared = &template.json["Parameters"][&parameter];
    let reading =
        StatementReader { template, writes: format!("{parameter}Writes"), why: about.get("Why").unwrap_or(&Value::Null) };
    let mut statements = Vec::new();
    reading.statements(&resource["Properties"]["PolicyDocument"]["Statement"], Mode::ReadOnly, &[], &mut statements);
    Some(Pack {
        name: text("Name"),
        logical_id: logical_id.to_owned(),
        title: text("Title"),
        purpose: text("Purpose"),
        modes: strings(&declared["AllowedValues"]).iter().filter_map(|word| mode(word)).collect(),
        default: declared["Default"].as_str().and_then(mode),
        managed_policies: about.get("ManagedPolicies").map(strings).unwrap_or_default(),
        parameter,
        statements,
    })
}

struct StatementReader<'a> {
    template: &'a Template,
    /// The condition that holds in the mode ReadWrite alone.
    writes: String,
    why: &'a Value,
}

impl StatementReader<'_> {
    fn statements(&self, value: &Value, mode: Mode, conditions: &[String], found: &mut Vec<Statement>) {
        if let Some(items) = value.as_array() {
            return items.iter().for_each(|item| self.statements(item, mode, conditions, found));
        }
        if let Some([condition, then, otherwise]) = value.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice) {
            let name = condition.as_str().unwrap_or_default();
            let under = |name: String| {
                let mut all = conditions.to_vec();
                all.extend((name != self.writes).then_some(name));
                all
            };
            let needs = self.needs_writes(&json!({ "Condition": name }));
            self.statements(then, if needs { Mode::ReadWrite } else { mode }, &under(name.to_owned()), found);
            return self.statements(otherwise, mode, &under(format!("!{name}")), found);
        }
        let Some(sid) = value["Sid"].as_str() else { return };
        found.push(Statement {
            sid: sid.to_owned(),
            mode,
            conditions: conditions.to_vec(),
            why: self.why[sid].as_str().unwrap_or_default().to_owned(),
            effect: value["Effect"].as_str().unwrap_or_default().to_owned(),
            actions: strings(&value["Action"]),
            json: value.clone(),
        });
    }

    /// Whether a condition can only hold in the mode ReadWrite.
    fn needs_writes(&self, condition: &Value) -> bool {
        let each = |name: &str| condition.get(name).and_then(Value::as_array);
        if let Some(name) = condition.get("Condition").and_then(Value::as_str) {
            let declared = &self.template.json["Conditions"][name];
            return name == self.writes || (!declared.is_null() && self.needs_writes(declared));
        }
        each("Fn::And").is_some_and(|all| all.iter().any(|one| self.needs_writes(one)))
            || each("Fn::Or").is_some_and(|all| all.iter().all(|one| self.needs_writes(one)))
    }
}

/// Every text in a value, outside of the names of conditions.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(pairs) => pairs
            .get("Fn::If")
            .and_then(Value::as_array)
            .into_iter()
            .flat_map(|branches| branches.iter().skip(1))
            .flat_map(strings)
            .collect(),
        _ => Vec::new(),
    }
}
