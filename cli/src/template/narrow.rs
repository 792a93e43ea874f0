//! The template with some parameters decided: smaller, and the same stack for everybody who would have decided them so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::document::Template;

/// What holds whatever the other parameters are; `None` where that depends on them.
type Folded = Option<bool>;

impl Template {
    /// This template with the packs that are off left out for good: their parameters, conditions and policies. CloudFormation takes
    /// 51,200 bytes in a request, which all packs together pass.
    #[must_use]
    pub fn without_disabled_packs(&self, given: &BTreeMap<String, String>) -> Self {
        let is_off = |parameter: &String| match (given.get(parameter), &self.json["Parameters"][parameter]["Default"]) {
            (Some(value), _) => value == "None",
            (None, default) => default == "None",
        };
        let off = self.packs().into_iter().map(|pack| pack.parameter).filter(is_off);
        self.decide(&off.map(|parameter| (parameter, "None".to_owned())).collect())
    }

    /// This template without `AccessMethod: AccessKey` and all that belongs to it, for vendors whose products assume the role: AWS asks of
    /// its partners not to collect keys of customers' users (Foundational Technical Review, CAA-003).
    #[must_use]
    pub fn without_access_key(&self) -> Self {
        self.decide(&BTreeMap::from([("AccessMethod".to_owned(), "Role".to_owned())]))
    }

    /// This template with parameters that are no parameters any more, but these values.
    fn decide(&self, values: &BTreeMap<String, String>) -> Self {
        let deciding = ConditionFolding { template: self, values };
        let mut json = Map::new();
        for (section, value) in self.json.as_object().into_iter().flatten() {
            let entries = || value.as_object().into_iter().flatten();
            let value = match section.as_str() {
                "Parameters" => entries().filter(|(name, _)| !values.contains_key(*name)).map(copied).collect(),
                "Conditions" => entries()
                    .filter(|(_, condition)| deciding.holds(condition).is_none())
                    .map(|(name, condition)| (name.clone(), deciding.condition(condition)))
                    .collect(),
                "Resources" | "Outputs" => {
                    entries().filter_map(|(name, one)| Some((name.clone(), deciding.item(one)?))).collect()
                }
                "Metadata" => continue,
                _ => deciding.value(value),
            };
            json.insert(section.clone(), value);
        }
        let mut json = Value::Object(json);
        // What only packs used that are left out, and what compared it.
        let now_used = used(&json);
        let unused: BTreeSet<String> = used(&self.json).difference(&now_used).cloned().collect();
        for section in ["Parameters", "Conditions", "Rules"] {
            let Some(entries) = json.get_mut(section).and_then(Value::as_object_mut) else { continue };
            entries.retain(|name, entry| !unused.contains(name) && !unused.iter().any(|one| refers(entry, one)));
        }
        if let Some(about) = self.json["Metadata"].as_object() {
            let kept = |name: &str| json["Parameters"].get(name).is_some();
            json["Metadata"] = about.iter().map(|(name, one)| (name.clone(), interface(one, &kept))).collect();
        }
        let left = |section: &str, names: &[String]| -> Vec<String> {
            names.iter().filter(|name| json[section].get(name.as_str()).is_some()).cloned().collect()
        };
        Self { parameters: left("Parameters", &self.parameters), resources: left("Resources", &self.resources), json }
    }
}

fn copied((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The parameters and conditions that resources and outputs come to.
fn used(json: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut text = ["Resources", "Outputs"].map(|section| json[section].to_string()).concat();
    let names = |section: &str| json[section].as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<String>>();
    while let Some(name) =
        names("Conditions").into_iter().find(|name| !found.contains(name) && text.contains(&format!("\"{name}\"")))
    {
        text += &json["Conditions"][&name].to_string();
        found.insert(name);
    }
    found.extend(
        names("Parameters")
            .into_iter()
            .filter(|name| text.contains(&format!("\"{name}\"")) || text.contains(&format!("${{{name}}}"))),
    );
    found
}

/// Whether a rule or a condition compares a parameter or a condition.
fn refers(entry: &Value, name: &str) -> bool {
    let text = entry.to_string();
    text.contains(&json!({ "Ref": name }).to_string()) || text.contains(&json!({ "Condition": name }).to_string())
}

/// What the console shows, without what there is no more.
fn interface(about: &Value, kept: &impl Fn(&str) -> bool) -> Value {
    let mut about = about.clone();
    if let Some(labels) = about.get_mut("ParameterLabels").and_then(Value::as_object_mut) {
        labels.retain(|name, _| kept(name));
    }
    if let Some(groups) = about.get_mut("ParameterGroups").and_then(Value::as_array_mut) {
        for group in groups.iter_mut() {
            if let Some(names) = group["Parameters"].as_array_mut() {
                names.retain(|name| name.as_str().is_none_or(kept));
            }
        }
        groups.retain(|group| group["Parameters"].as_array().is_none_or(|names| !names.is_empty()));
    }
    about
}

struct ConditionFolding<'a> {
    template: &'a Template,
    values: &'a BTreeMap<String, String>,
}

impl ConditionFolding<'_> {
    fn named(&self, condition: &str) -> Folded {
        self.holds(&self.template.json["Conditions"][condition])
    }

    fn holds(&self, condition: &Value) -> Folded {
        let (function, given) = condition.as_object()?.iter().next()?;
        let each = || given.as_array().into_iter().flatten();
        match function.as_str() {
            "Condition" => self.named(given.as_str()?),
            "Fn::Not" => self.holds(each().next()?).map(|holds| !holds),
            "Fn::And" if each().any(|one| self.holds(one) == Some(false)) => Some(false),
            "Fn::And" => each().all(|one| self.holds(one) == Some(true)).then_some(true),
            "Fn::Or" if each().any(|one| self.holds(one) == Some(true)) => Some(true),
            "Fn::Or" => each().all(|one| self.holds(one) == Some(false)).then_some(false),
            "Fn::Equals" => {
                let sides: Vec<Value> = each().map(|side| self.value(side)).collect();
                sides.iter().all(Value::is_string).then(|| sides.windows(2).all(|two| two[0] == two[1]))
            }
            _ => None,
        }
    }

    /// A condition that is still open, its decided parts as comparisons of literals.
    fn condition(&self, condition: &Value) -> Value {
        match self.holds(condition) {
            Some(holds) => json!({ "Fn::Equals": ["true", if holds { "true" } else { "false" }] }),
            None => match condition {
                Value::Object(pairs) => {
                    let part = |value: &Value| match value.as_array() {
                        Some(parts) => parts.iter().map(|part| self.condition(part)).collect(),
                        None => self.value(value),
                    };
                    let is_comparison = pairs.contains_key("Fn::Equals");
                    let inner = |value: &Value| if is_comparison { self.value(value) } else { part(value) };
                    Value::Object(pairs.iter().map(|(function, value)| (function.clone(), inner(value))).collect())
                }
                other => self.value(other),
            },
        }
    }

    /// A resource or an output; `None` for one that is never made.
    fn item(&self, item: &Value) -> Option<Value> {
        let mut item = item.as_object()?.clone();
        match item.get("Condition").and_then(Value::as_str).and_then(|name| self.named(name)) {
            Some(false) => return None,
            Some(true) => drop(item.remove("Condition")),
            None => {}
        }
        for (key, value) in &mut item {
            if key != "Metadata" {
                *value = self.value(value);
            }
        }
        Some(Value::Object(item))
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            // What is not there by decision is no item at all.
            Value::Array(items) => {
                items.iter().map(|item| self.value(item)).filter(|item| *item != json!({ "Ref": "AWS::NoValue" })).collect()
            }
            Value::Object(pairs) => {
                if let Some(name) = pairs.get("Ref").and_then(Value::as_str)
                    && let Some(value) = self.values.get(name)
                {
                    return Value::from(value.as_str());
                }
                if let Some([Value::String(name), then, otherwise]) =
                    pairs.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice)
                {
                    return match self.named(name) {
                        Some(holds) => self.value(if holds { then } else { otherwise }),
                        None => json!({ "Fn::If": [name, self.value(then), self.value(otherwise)] }),
                    };
                }
                Value::Object(pairs.iter().map(|(key, value)| (key.clone(), self.inner(key, value))).collect())
            }
            other => other.clone(),
        }
    }

    fn inner(&self, key: &str, value: &Value) -> Value {
        let filled = |text: &str| {
            let put = |text: String, (name, value): (&String, &String)| text.replace(&format!("${{{name}}}"), value);
            Value::from(self.values.iter().fold(text.to_owned(), put))
        };
        match (key, value) {
            ("Fn::Sub", Value::String(text)) => filled(text),
            ("Fn::Sub", Value::Array(both)) => {
                let rest = both.iter().skip(1).map(|value| self.value(value));
                both.first().and_then(Value::as_str).map(filled).into_iter().chain(rest).collect()
            }
            _ => self.value(value),
        }
    }
}
