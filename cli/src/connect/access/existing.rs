//! What a connection has in IAM.

use std::collections::BTreeMap;

use hawser::{aws::Tags, names::StackId};

use super::names::{FUNCTION_ROLE, has_ownership_tags, logical_id_of, name};
use crate::{
    connect::iam::{Entities, Iam, Policy, Role},
    error::{CommandCode, CommandError},
    template::Template,
};

/// The roles of the template that are made here, by their names in it.
fn role_ids(template: &Template) -> Vec<&str> {
    let is_role = |name: &&str| template.json()["Resources"][*name]["Type"] == "AWS::IAM::Role" && *name != FUNCTION_ROLE;
    template.resource_names().iter().map(String::as_str).filter(is_role).collect()
}

/// A role that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExistingRole {
    pub role: Role,
    /// What is attached to it, by ARN.
    pub attached: Vec<String>,
    /// Its inline policies, by name.
    pub inline: Vec<String>,
}

/// A policy that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExistingPolicy {
    pub policy: Policy,
    /// Who has it.
    pub entities: Entities,
}

/// What a connection has in IAM, by names in the template. All of it carries the connection's mark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExistingAccess {
    pub roles: BTreeMap<String, ExistingRole>,
    pub policies: BTreeMap<String, ExistingPolicy>,
}

impl ExistingAccess {
    /// Looks.
    ///
    /// # Errors
    /// What AWS refused, and [`CommandError`] for a thing of our name without our mark (HW-O2).
    pub async fn read(template: &Template, stack: &StackId, iam: &dyn Iam) -> Result<Self, CommandError> {
        let mut existing = Self::default();
        let not_ours = |what: &str, name: &str| {
            let cause = format!("{what} `{name}` exists and does not have this connection's ownership tags");
            CommandError::new(CommandCode::ConnectNotOurs, cause)
        };
        for logical_id in role_ids(template) {
            let name = name(stack, logical_id);
            let Some(role) = iam.role(&name).await? else { continue };
            if !has_ownership_tags(&role.tags, stack, logical_id) {
                return Err(not_ours("role", &name));
            }
            let (attached, inline) = (iam.attached(&name).await?, iam.inline(&name).await?);
            existing.roles.insert(logical_id.to_owned(), ExistingRole { role, attached, inline });
        }
        // By name, because a policy cannot be asked for without its path, which an earlier run may have had another of.
        for (name, arn) in iam.policies().await? {
            let Some(logical_id) = logical_id_of(stack, &name) else { continue };
            let Some(policy) = iam.policy(&arn).await? else { continue };
            if !has_ownership_tags(&policy.tags, stack, &logical_id) {
                return Err(not_ours("policy", &name));
            }
            let entities = iam.entities(&arn).await?;
            existing.policies.insert(logical_id, ExistingPolicy { policy, entities });
        }
        Ok(existing)
    }

    fn tags(&self) -> impl Iterator<Item = &Tags> {
        self.roles
            .values()
            .map(|existing| &existing.role.tags)
            .chain(self.policies.values().map(|existing| &existing.policy.tags))
    }

    /// What an earlier run wrote down.
    pub fn recorded(&self, tag: &str) -> Option<&str> {
        self.tags().find_map(|tags| tags.get(tag)).map(String::as_str)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.policies.is_empty()
    }
}
