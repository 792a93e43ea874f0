//! Conditions, intrinsic functions and rules, as CloudFormation evaluates them ("Intrinsic function reference").

use std::collections::{BTreeMap, BTreeSet};

use hawser::names::{Partition, StackId};
use serde_json::{Map, Value, json};

use super::document::Template;
use crate::error::{CommandCode, CommandError};

/// Conditions that refer to each other deeper than this refer to each other in a circle.
const DEPTH_MAX: usize = 32;

/// What a template is resolved for.
#[derive(Debug, Clone, Default)]
pub struct ResolveContext {
    /// The parameters that are given; the others have their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Whether parameters without a default may be left out. What refers to them then stays a reference.
    pub partial: bool,
    /// `AWS::AccountId`.
    pub account_id: String,
    /// `AWS::Partition`; also decides `AWS::URLSuffix`.
    pub partition: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// `AWS::StackId`.
    pub stack_id: String,
    /// What `Fn::GetAtt` gives, by resource and attribute. What is not known stays a reference.
    pub attributes: BTreeMap<(String, String), String>,
    /// What `Ref` gives, by resource. What is not known stays a reference.
    pub references: BTreeMap<String, String>,
}

impl ResolveContext {
    /// For a stack of the given parameters.
    pub fn of_stack(stack: &StackId, parameters: &BTreeMap<String, String>) -> Self {
        Self {
            parameters: parameters.clone(),
            account_id: stack.account.as_str().to_owned(),
            partition: stack.partition.as_str().to_owned(),
            region: stack.region.as_str().to_owned(),
            stack_name: stack.name().to_owned(),
            stack_id: stack.as_str().to_owned(),
            ..Self::default()
        }
    }
}

/// A template for one setting.
#[derive(Debug, Clone)]
pub struct Resolved {
    resources: Map<String, Value>,
    outputs: Map<String, Value>,
    conditions: BTreeMap<String, bool>,
    packs: Vec<(String, String)>,
}

impl Resolved {
    /// The resources whose condition holds, everything in them filled in. What is known only once the stack is there stays
    /// a reference, in long form.
    pub fn resources(&self) -> &Map<String, Value> {
        &self.resources
    }

    /// The outputs whose condition holds: each with `Description` and `Value`.
    pub fn outputs(&self) -> &Map<String, Value> {
        &self.outputs
    }

    /// Whether a condition of the template holds; `None` for one that the template does not have.
    pub fn condition(&self, name: &str) -> Option<bool> {
        self.conditions.get(name).copied()
    }

    /// The policy documents of the packs that are on, by the pack's name, in the order of the template.
    pub fn policies(&self) -> Vec<(String, Value)> {
        let document = |(pack, logical_id): &(String, String)| {
            let document = self.resources.get(logical_id)?["Properties"]["PolicyDocument"].clone();
            Some((pack.clone(), document))
        };
        self.packs.iter().filter_map(document).collect()
    }
}

/// The references that are left in a value, such as `BillingExport.ReadableKeys`: what is known only once the stack is there.
pub fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_references(value, &mut found);
    found
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(pairs) => {
            for (key, inner) in pairs {
                match (key.as_str(), inner) {
                    ("Ref", Value::String(name)) => drop(found.insert(name.clone())),
                    ("Fn::GetAtt", Value::Array(path)) => {
                        let path: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
                        found.insert(path.join("."));
                    }
                    ("Fn::Sub", Value::String(text)) => found.extend(variables(text).into_iter().map(str::to_owned)),
                    _ => collect_references(inner, found),
                }
            }
        }
        _ => {}
    }
}

/// The names in `${...}`, without literals (`${!...}`).
fn variables(text: &str) -> Vec<&str> {
    let named = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    named.filter(|name| !name.starts_with('!')).collect()
}

impl Template {
    /// Refuses parameters that the template does not have, values that it does not allow and values that do not go together.
    /// Whether all that are needed are there is for [`Template::resolve`] to say.
    ///
    /// # Errors
    /// [`CommandError`], the first there is.
    pub fn check(&self, given: &BTreeMap<String, String>) -> Result<(), CommandError> {
        self.check_values(given)?;
        self.check_rules(given, true)
    }

    /// What CloudFormation makes of the template: values checked, conditions decided, references filled in.
    ///
    /// # Errors
    /// [`CommandError`], the first there is.
    pub fn resolve(&self, context: &ResolveContext) -> Result<Resolved, CommandError> {
        self.check_values(&context.parameters)?;
        let parameters = self.parameters();
        let missing: Vec<String> = parameters
            .iter()
            .filter(|parameter| parameter.default.is_none() && !context.parameters.contains_key(&parameter.name))
            .map(|parameter| parameter.name.clone())
            .collect();
        if !missing.is_empty() && !context.partial {
            return Err(missing_parameters(&missing));
        }
        self.check_rules(&context.parameters, context.partial)?;
        let evaluation = Evaluation::new(self, context);
        let mut conditions = BTreeMap::new();
        for name in object(&self.json, "Conditions").keys() {
            conditions.insert(name.clone(), evaluation.holds(&json!({ "Condition": name }), 0)?);
        }
        let [resources, outputs] = ["Resources", "Outputs"].map(|section| evaluation.section(object(&self.json, section)));
        let packs = self.packs().into_iter().map(|pack| (pack.name, pack.logical_id)).collect();
        Ok(Resolved { resources: resources?, outputs: outputs?, conditions, packs })
    }

    /// Fills in what became known since the template was resolved.
    ///
    /// # Errors
    /// [`CommandCode::TemplateInvalid`]
    pub fn fill(&self, resolved: &Resolved, context: &ResolveContext) -> Result<Resolved, CommandError> {
        let evaluation = Evaluation::new(self, context);
        let (resources, outputs) = (evaluation.section(&resolved.resources)?, evaluation.section(&resolved.outputs)?);
        Ok(Resolved { resources, outputs, ..resolved.clone() })
    }

    /// The template's rules over what is given; a rule that needs a value which is not there yet is for later, be it that of one
    /// customer while the values are those of all.
    fn check_rules(&self, given: &BTreeMap<String, String>, partial: bool) -> Result<(), CommandError> {
        let context = ResolveContext { parameters: given.clone(), partial: true, ..ResolveContext::default() };
        let mut evaluation = Evaluation::new(self, &context);
        if partial && given.get(EXTERNAL_ID).is_none_or(String::is_empty) {
            evaluation.known.remove(EXTERNAL_ID);
        }
        for (name, rule) in object(&self.json, "Rules") {
            let names = references(rule);
            if names.iter().any(|name| !evaluation.known.contains_key(name)) {
                continue;
            }
            if let Some(condition) = rule.get("RuleCondition")
                && !evaluation.holds(condition, 0)?
            {
                continue;
            }
            for assertion in rule["Assertions"].as_array().into_iter().flatten() {
                if !evaluation.holds(&assertion["Assert"], 0)? {
                    let description = assertion["AssertDescription"].as_str().unwrap_or("these parameters contradict each other");
                    return Err(CommandError::new(CommandCode::RuleFailed, format!("{description} (rule `{name}`)")));
                }
            }
        }
        Ok(())
    }
}

/// What a vendor generates for each customer, and a stack is not made without.
pub const EXTERNAL_ID: &str = "ExternalId";

fn object<'a>(json: &'a Value, section: &str) -> &'a Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    json[section].as_object().unwrap_or_else(|| &NONE)
}

fn invalid(why: String) -> CommandError {
    CommandError::new(CommandCode::TemplateInvalid, why)
}

fn missing_parameters(names: &[String]) -> CommandError {
    let (are, have) = if names.len() == 1 { ("is", "has") } else { ("are", "have") };
    CommandError::new(CommandCode::ParameterMissing, format!("`{}` {are} not given and {have} no default", names.join("`, `")))
}

/// Whether something in a value is known only later.
fn is_open(value: &Value) -> bool {
    !references(value).is_empty()
}

struct Evaluation<'a> {
    template: &'a Template,
    context: &'a ResolveContext,
    /// What `Ref` gives.
    known: BTreeMap<String, Value>,
}

impl<'a> Evaluation<'a> {
    fn new(template: &'a Template, context: &'a ResolveContext) -> Self {
        let mut known = BTreeMap::new();
        for parameter in template.parameters() {
            let Some(value) = context.parameters.get(&parameter.name).cloned().or(parameter.default) else { continue };
            let value = match parameter.kind.as_str() {
                "CommaDelimitedList" => value.split(',').map(|item| Value::from(item.trim())).collect(),
                _ => Value::from(value),
            };
            known.insert(parameter.name, value);
        }
        for (resource, value) in &context.references {
            known.insert(resource.clone(), Value::from(value.as_str()));
        }
        let suffix = context.partition.parse::<Partition>().map(Partition::dns_suffix).unwrap_or_default();
        for (name, value) in [
            ("AWS::AccountId", context.account_id.as_str()),
            ("AWS::Partition", &context.partition),
            ("AWS::Region", &context.region),
            ("AWS::StackName", &context.stack_name),
            ("AWS::StackId", &context.stack_id),
            ("AWS::URLSuffix", suffix),
        ] {
            if !value.is_empty() {
                known.insert(name.to_owned(), Value::from(value));
            }
        }
        Self { template, context, known }
    }

    /// The members of a section whose condition holds, each with everything filled in.
    fn section(&self, declared: &Map<String, Value>) -> Result<Map<String, Value>, CommandError> {
        let mut found = Map::new();
        for (name, declared) in declared {
            let mut kept = declared.as_object().cloned().unwrap_or_default();
            if let Some(condition) = kept.remove("Condition")
                && !self.holds(&json!({ "Condition": condition }), 0)?
            {
                continue;
            }
            for key in ["Properties", "Value"] {
                if let Some(value) = kept.get_mut(key) {
                    *value = self.value(value)?.unwrap_or(Value::Null);
                }
            }
            found.insert(name.clone(), Value::Object(kept));
        }
        Ok(found)
    }

    /// A condition function.
    fn holds(&self, condition: &Value, depth: usize) -> Result<bool, CommandError> {
        if depth > DEPTH_MAX {
            return Err(invalid("its conditions refer to each other in a cycle".to_owned()));
        }
        let [(function, given)] = condition.as_object().map(|pairs| pairs.iter().collect::<Vec<_>>()).unwrap_or_default()[..]
        else {
            return Err(invalid(format!("`{condition}` is not a condition")));
        };
        let each = |least: usize| {
            let all = given.as_array().filter(|all| all.len() >= least);
            all.ok_or_else(|| invalid(format!("`{function}` takes a list of at least {least}, not `{given}`")))
        };
        match function.as_str() {
            "Condition" => {
                let name = given.as_str().unwrap_or_default();
                let declared = self.template.json["Conditions"].get(name);
                self.holds(declared.ok_or_else(|| invalid(format!("it has no condition `{name}`")))?, depth + 1)
            }
            "Fn::Not" => Ok(!self.holds(&each(1)?[0], depth + 1)?),
            "Fn::And" => each(2)?.iter().try_fold(true, |all, one| Ok(all & self.holds(one, depth + 1)?)),
            "Fn::Or" => each(2)?.iter().try_fold(false, |any, one| Ok(any | self.holds(one, depth + 1)?)),
            "Fn::Equals" | "Fn::Contains" => {
                let [one, other] = [self.closed(&each(2)?[0])?, self.closed(&each(2)?[1])?];
                match function.as_str() {
                    "Fn::Equals" => Ok(one == other),
                    _ => Ok(one.as_array().is_some_and(|items| items.contains(&other))),
                }
            }
            other => Err(invalid(format!("`{other}` is not known here as a condition"))),
        }
    }

    /// A value that conditions compare: parameters and literals, as CloudFormation demands.
    fn closed(&self, value: &Value) -> Result<Value, CommandError> {
        let value = self.value(value)?.unwrap_or(Value::Null);
        match references(&value).into_iter().next() {
            None => Ok(value),
            Some(name) => Err(missing_parameters(&[name])),
        }
    }

    /// A value with everything filled in that is known; `None` for `AWS::NoValue`.
    fn value(&self, value: &Value) -> Result<Option<Value>, CommandError> {
        match value {
            Value::Array(items) => {
                let items: Vec<Option<Value>> = items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?;
                Ok(Some(items.into_iter().flatten().collect()))
            }
            Value::Object(pairs) => {
                if let [(function, given)] = pairs.iter().collect::<Vec<_>>()[..]
                    && (function == "Ref" || function.starts_with("Fn::"))
                {
                    return self.function(function, given);
                }
                let mut object = Map::new();
                for (key, value) in pairs {
                    if let Some(value) = self.value(value)? {
                        object.insert(key.clone(), value);
                    }
                }
                Ok(Some(Value::Object(object)))
            }
            other => Ok(Some(other.clone())),
        }
    }

    fn function(&self, function: &str, given: &Value) -> Result<Option<Value>, CommandError> {
        let wrong = || invalid(format!("`{function}` does not take `{given}`"));
        if function == "Ref" {
            let name = given.as_str().ok_or_else(wrong)?;
            return (name != "AWS::NoValue").then(|| self.reference(name)).transpose();
        }
        if function == "Fn::If" {
            let [name, then, otherwise] = given.as_array().ok_or_else(wrong)?.as_slice() else { return Err(wrong()) };
            return self.value(if self.holds(&json!({ "Condition": name }), 0)? { then } else { otherwise });
        }
        if function == "Fn::GetAtt" {
            let path: Vec<&str> = given.as_array().ok_or_else(wrong)?.iter().filter_map(Value::as_str).collect();
            let [resource, attribute] = path[..] else { return Err(wrong()) };
            return self.attribute(resource, attribute).map(Some);
        }
        if function == "Fn::Sub" {
            return self.sub(given).map(Some);
        }
        let given = self.value(given)?.unwrap_or(Value::Null);
        if is_open(&given) {
            return Ok(Some(json!({ function: given })));
        }
        let Some([one, two]) = given.as_array().map(Vec::as_slice) else { return Err(wrong()) };
        match function {
            "Fn::Join" => {
                let items = two.as_array().ok_or_else(wrong)?.iter().map(Value::as_str).collect::<Option<Vec<&str>>>();
                Ok(Some(items.ok_or_else(wrong)?.join(one.as_str().ok_or_else(wrong)?).into()))
            }
            "Fn::Split" => {
                let (by, text) = (one.as_str().ok_or_else(wrong)?, two.as_str().ok_or_else(wrong)?);
                Ok(Some(text.split(by).map(Value::from).collect()))
            }
            "Fn::Select" => {
                let index = one.as_u64().or_else(|| one.as_str()?.parse().ok()).ok_or_else(wrong)?;
                let item = usize::try_from(index).ok().and_then(|index| two.as_array()?.get(index));
                Ok(Some(item.ok_or_else(wrong)?.clone()))
            }
            other => Err(invalid(format!("`{other}` is not known here"))),
        }
    }

    /// What `Ref` gives, or the reference itself where that is known only later.
    fn reference(&self, name: &str) -> Result<Value, CommandError> {
        let declared = |section: &str| self.template.json[section].get(name).is_some();
        match self.known.get(name) {
            Some(value) => Ok(value.clone()),
            None if declared("Parameters") || declared("Resources") || name.starts_with("AWS::") => Ok(json!({ "Ref": name })),
            None => Err(invalid(format!("`{name}` is neither a parameter nor a resource"))),
        }
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, CommandError> {
        if self.template.json["Resources"].get(resource).is_none() {
            return Err(invalid(format!("`{resource}.{attribute}` refers to a resource that it does not have")));
        }
        let known = self.context.attributes.get(&(resource.to_owned(), attribute.to_owned()));
        Ok(known.map_or_else(|| json!({ "Fn::GetAtt": [resource, attribute] }), |value| Value::from(value.as_str())))
    }

    /// `Fn::Sub` in both its forms. What is not known yet stays in the text.
    fn sub(&self, given: &Value) -> Result<Value, CommandError> {
        let wrong = || invalid(format!("`Fn::Sub` does not take `{given}`"));
        let (text, own) = match given {
            Value::String(text) => (text.as_str(), None),
            Value::Array(both) => match both.as_slice() {
                [Value::String(text), Value::Object(own)] => (text.as_str(), Some(own)),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        // The text with everything filled in, and the same as `Fn::Sub` would need it again.
        let (mut filled, mut again, mut left, mut open) = (String::new(), String::new(), Map::new(), false);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            again.push_str(before);
            let (name, after) = after.split_once('}').ok_or_else(wrong)?;
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                filled.push_str(&format!("${{{literal}}}"));
                again.push_str(&format!("${{{name}}}"));
                continue;
            }
            let value = match (own.and_then(|own| own.get(name)), name.split_once('.')) {
                (Some(value), _) => self.value(value)?.ok_or_else(wrong)?,
                (None, Some((resource, attribute))) => self.attribute(resource, attribute)?,
                (None, None) => self.reference(name)?,
            };
            match value {
                Value::String(text) => {
                    again.push_str(&text.replace("${", "${!"));
                    filled.push_str(&text);
                }
                later if is_open(&later) => {
                    open = true;
                    again.push_str(&format!("${{{name}}}"));
                    if own.is_some_and(|own| own.contains_key(name)) {
                        left.insert(name.to_owned(), later);
                    }
                }
                _ => return Err(invalid(format!("`${{{name}}}` in `Fn::Sub` is not a string"))),
            }
        }
        Ok(match (open, left.is_empty()) {
            (false, _) => Value::from(filled + rest),
            (true, true) => json!({ "Fn::Sub": again + rest }),
            (true, false) => json!({ "Fn::Sub": [again + rest, left] }),
        })
    }
}
