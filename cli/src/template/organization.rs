//! The template for an organization: the stack of the management account, and with it a StackSet that connects the members
//! (F-10, F-11).

use serde_json::{Map, Value, json};

use super::document::Template;
use crate::error::{CommandCode, CommandError};

/// What is added.
const ADDITIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/organization.json"));

/// The resource that connects the members.
pub const MEMBERS: &str = "MemberAccounts";

/// The parameter that says where their template is. It has no default here: a publisher knows.
pub const MEMBER_TEMPLATE_URL: &str = "MemberTemplateUrl";

/// The parameter that says in which Region they get their stacks.
pub const MEMBER_REGION: &str = "MemberRegion";

impl Template {
    /// This template and the roll-out to the members of the organization, flat as this one. The members get every parameter of
    /// this template that `organization.yaml` does not set for them.
    ///
    /// # Errors
    /// [`CommandCode::TemplateInvalid`] when both define the same name.
    pub fn for_organization(&self) -> Result<Self, CommandError> {
        let mut additions = Self::read(ADDITIONS)?;
        pass_on(self, &mut additions.json);
        let mut whole = self.clone();
        for (name, section) in object(&mut additions.json) {
            match (name.as_str(), section) {
                ("Metadata", section) => {
                    let (ours, theirs) = (interface(&mut whole.json), interface_of(section));
                    let groups = theirs["ParameterGroups"].as_array().into_iter().flatten().cloned();
                    if let Some(all) = ours["ParameterGroups"].as_array_mut() {
                        all.extend(groups);
                    }
                    add(object(&mut ours["ParameterLabels"]), theirs["ParameterLabels"].as_object())?;
                }
                (name, section) => {
                    if whole.json[name].is_null() {
                        whole.json[name] = json!({});
                    }
                    add(object(&mut whole.json[name]), section.as_object())?;
                }
            }
        }
        whole.parameters.append(&mut additions.parameters);
        whole.resources.append(&mut additions.resources);
        Ok(whole)
    }
}

/// Adds to the StackSet's parameters all of the template's that it does not have: its own value for a list is joined, because a
/// StackSet takes texts only.
fn pass_on(template: &Template, additions: &mut Value) {
    let given = &mut additions["Resources"][MEMBERS]["Properties"]["Parameters"];
    let Some(given) = given.as_array_mut() else { return };
    for name in &template.parameters {
        if given.iter().any(|one| one["ParameterKey"] == name.as_str()) {
            continue;
        }
        let kind = template.json["Parameters"][name]["Type"].as_str().unwrap_or_default();
        let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
        let value = if is_list { json!({"Fn::Join": [",", {"Ref": name}]}) } else { json!({"Ref": name}) };
        given.push(json!({"ParameterKey": name, "ParameterValue": value}));
    }
}

fn add(to: &mut Map<String, Value>, from: Option<&Map<String, Value>>) -> Result<(), CommandError> {
    for (name, value) in from.into_iter().flatten() {
        if to.insert(name.clone(), value.clone()).is_some() {
            return Err(CommandError::new(
                CommandCode::TemplateInvalid,
                format!("`{name}` is in both the template and `organization.yaml`"),
            ));
        }
    }
    Ok(())
}

const INTERFACE: &str = "AWS::CloudFormation::Interface";

fn interface(template: &mut Value) -> &mut Value {
    &mut template["Metadata"][INTERFACE]
}

fn interface_of(metadata: &Value) -> &Value {
    &metadata[INTERFACE]
}

/// The object that a value is, made into an empty one when it is none.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was just made one"),
    }
}
