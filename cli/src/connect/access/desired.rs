//! The vendor's role and its packs as the template wants them.

use std::collections::BTreeMap;

use hawser::names::StackId;
use serde_json::{Map, Value};

use super::names::{FUNCTION_ROLE, arn, name, ownership_tags};
use crate::{
    connect::iam::{Policy, Role},
    error::{CommandCode, CommandError},
    template::{Resolved, Template, references},
};

/// A role as the template wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredRole {
    /// Its name in the template.
    pub logical_id: String,
    pub role: Role,
    /// Policies of AWS's own on it, by ARN.
    pub managed: Vec<String>,
}

/// A policy as the template wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredPolicy {
    /// Its name in the template.
    pub logical_id: String,
    pub policy: Policy,
    /// What people call it, such as `EC2 instances, ReadOnly`.
    pub title: String,
    /// The roles that have it, by name.
    pub roles: Vec<String>,
}

/// What the template wants of IAM, for one connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredAccess {
    pub roles: Vec<DesiredRole>,
    pub policies: Vec<DesiredPolicy>,
}

impl DesiredAccess {
    /// Reads it off the template, resolved for this connection.
    ///
    /// # Errors
    /// [`CommandError`] for what cannot be made without a stack.
    pub fn read(template: &Template, resolved: &Resolved, stack: &StackId, prefix: &str) -> Result<Self, CommandError> {
        let packs = template.packs();
        let title = |logical_id: &str| {
            let pack = packs.iter().find(|pack| pack.logical_id == logical_id);
            let mode = |parameter: &str| resolved_mode(resolved, parameter);
            pack.map_or_else(|| logical_id.to_owned(), |pack| format!("{}, {}", pack.title, mode(&pack.parameter)))
        };
        let mut desired = Self::default();
        for (logical_id, resource) in resolved.resources() {
            let properties = resource["Properties"].as_object().cloned().unwrap_or_default();
            let kind = resource["Type"].as_str().unwrap_or_default();
            let open = references(&Value::Object(properties.clone()));
            if logical_id == FUNCTION_ROLE || open.iter().any(|name| name.split('.').next() == Some(FUNCTION_ROLE)) {
                continue;
            }
            match kind {
                "AWS::IAM::Role" => desired.roles.push(role(stack, logical_id, prefix, &properties)),
                "AWS::IAM::ManagedPolicy" => {
                    let (policy, roles) = policy(stack, logical_id, prefix, &properties);
                    desired.policies.push(DesiredPolicy {
                        logical_id: logical_id.clone(),
                        policy,
                        title: title(logical_id),
                        roles,
                    });
                }
                _ => continue,
            }
            if let Some(open) = open.first() {
                let cause = format!("`{logical_id}` refers to `{open}`, which does not exist without a stack");
                return Err(CommandError::new(CommandCode::ConnectNeedsStack, cause));
            }
        }
        Ok(desired)
    }

    /// How many managed policies the busiest role would have.
    pub fn most_policies(&self) -> (String, usize) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for role in &self.roles {
            *counts.entry(&role.role.name).or_default() += role.managed.len();
        }
        for name in self.policies.iter().flat_map(|policy| &policy.roles) {
            *counts.entry(name).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.map_or_else(|| (String::new(), 0), |(name, count)| (name.to_owned(), count))
    }
}

/// The function and what belongs to it and the policy that confirms a stack, which are not made; billing data and the notice, which are the
/// handler's own; and what is made here.
const SUPPORTED_RESOURCE_TYPES: [&str; 7] = [
    "AWS::Lambda::",
    "AWS::Logs::LogGroup",
    "AWS::Events::Rule",
    "Custom::",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::ManagedPolicy",
];

/// Refuses what is made by a stack only, before anything is looked at.
///
/// # Errors
/// [`CommandError`]
pub fn check_resource_types(resolved: &Resolved) -> Result<(), CommandError> {
    let kinds = resolved.resources().iter().map(|(name, resource)| (name, resource["Type"].as_str().unwrap_or_default()));
    let other = kinds.into_iter().find(|(_, kind)| !SUPPORTED_RESOURCE_TYPES.iter().any(|known| kind.starts_with(known)));
    other.map_or(Ok(()), |(name, kind)| {
        let cause = format!("`{name}` is a `{kind}`, which only a stack can create");
        Err(CommandError::new(CommandCode::ConnectNeedsStack, cause))
    })
}

/// The mode of a pack, by the conditions that decide about it.
fn resolved_mode(resolved: &Resolved, parameter: &str) -> &'static str {
    if resolved.condition(&format!("{parameter}Writes")) == Some(true) { "ReadWrite" } else { "ReadOnly" }
}

fn text(properties: &Map<String, Value>, name: &str) -> String {
    properties.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(properties: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = properties.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn role(stack: &StackId, logical_id: &str, prefix: &str, properties: &Map<String, Value>) -> DesiredRole {
    let (name, path) = (name(stack, logical_id), text(properties, "Path"));
    DesiredRole {
        logical_id: logical_id.to_owned(),
        managed: list(properties, "ManagedPolicyArns"),
        role: Role {
            arn: arn(stack, "role", &path, &name),
            path,
            description: text(properties, "Description"),
            trust: properties.get("AssumeRolePolicyDocument").cloned().unwrap_or_default(),
            boundary: Some(text(properties, "PermissionsBoundary")).filter(|arn| !arn.is_empty()),
            tags: ownership_tags(stack, logical_id, prefix),
            name,
        },
    }
}

fn policy(stack: &StackId, logical_id: &str, prefix: &str, properties: &Map<String, Value>) -> (Policy, Vec<String>) {
    let (name, path) = (name(stack, logical_id), text(properties, "Path"));
    let policy = Policy {
        arn: arn(stack, "policy", &path, &name),
        path,
        description: text(properties, "Description"),
        document: properties.get("PolicyDocument").cloned().unwrap_or_default(),
        tags: ownership_tags(stack, logical_id, prefix),
        name,
    };
    (policy, list(properties, "Roles"))
}

/// Refuses more managed policies on a role than the account allows.
///
/// # Errors
/// [`CommandError`] with the number.
pub fn check_policy_quota(desired: &DesiredAccess, quota: u64) -> Result<(), CommandError> {
    let (role, count) = desired.most_policies();
    if u64::try_from(count).unwrap_or(u64::MAX) <= quota {
        return Ok(());
    }
    let cause = format!("role `{role}` would have {count} managed policies, and this account allows {quota} on a role");
    Err(CommandError::new(CommandCode::ManagedPoliciesLimit, cause))
}
