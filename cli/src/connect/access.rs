//! The vendor's role and its packs, made and changed without CloudFormation: from what there is to what the template wants.

use crate::{
    error::{CommandCode, CommandError},
    template::Template,
};

mod change;
mod desired;
mod existing;
mod names;

pub use change::{Change, apply, record};
pub use desired::{DesiredAccess, DesiredPolicy, DesiredRole, check_policy_quota, check_resource_types};
pub use existing::{ExistingAccess, ExistingPolicy, ExistingRole};
pub use names::{FUNCTION_ROLE, TAG_NAME_PREFIX, TAG_NOTIFIED, arn, logical_id_of, name};

/// What to do, before the vendor is told and after.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessPlan {
    /// What the vendor may rely on when it is told.
    pub before: Vec<Change>,
    /// What goes, once the vendor knows.
    pub after: Vec<Change>,
}

/// Plans from what there is to what is wanted. Pure.
///
/// # Errors
/// [`CommandError`] for what IAM never changes.
pub fn plan(template: &Template, desired: &DesiredAccess, existing: &ExistingAccess) -> Result<AccessPlan, CommandError> {
    let mut access = AccessPlan::default();
    for desired in &desired.roles {
        let name = &desired.role.name;
        let there = existing.roles.get(&desired.logical_id);
        match there {
            None => access.before.push(Change::CreateRole(Box::new(desired.role.clone()))),
            Some(there) => {
                check_path_is_unchanged("role", name, &there.role.path, &desired.role.path)?;
                if there.role.trust != desired.role.trust {
                    access.before.push(Change::ChangeTrust { role: name.clone(), trust: desired.role.trust.clone() });
                }
                if there.role.description != desired.role.description {
                    access.before.push(Change::Describe { role: name.clone(), description: desired.role.description.clone() });
                }
                if there.role.boundary != desired.role.boundary {
                    access.before.push(Change::SetBoundary { role: name.clone(), boundary: desired.role.boundary.clone() });
                }
            }
        }
        let attached: &[String] = there.map_or(&[], |there| &there.attached);
        let missing = desired.managed.iter().filter(|arn| !attached.contains(arn));
        access.before.extend(missing.map(|arn| Change::Attach { role: name.clone(), arn: arn.clone() }));
        // Of AWS's own policies only those that a pack brings: another one is the customer's doing.
        let of_packs =
            |arn: &&String| template.packs().iter().flat_map(|pack| &pack.managed_policies).any(|own| is_aws_managed(arn, own));
        let surplus = attached.iter().filter(of_packs).filter(|arn| !desired.managed.contains(arn));
        access.after.extend(surplus.map(|arn| Change::Detach { role: name.clone(), arn: arn.clone() }));
    }
    for desired in &desired.policies {
        let (name, arn) = (desired.policy.name.clone(), desired.policy.arn.clone());
        let roles = match existing.policies.get(&desired.logical_id) {
            None => {
                access
                    .before
                    .push(Change::CreatePolicy { policy: Box::new(desired.policy.clone()), title: desired.title.clone() });
                &[][..]
            }
            Some(there) => {
                check_path_is_unchanged("policy", &name, &there.policy.path, &desired.policy.path)?;
                if there.policy.document != desired.policy.document {
                    let (document, title) = (desired.policy.document.clone(), desired.title.clone());
                    access.before.push(Change::ChangePolicy { name, arn: arn.clone(), document, title });
                }
                &there.entities.roles[..]
            }
        };
        let missing = desired.roles.iter().filter(|role| !roles.contains(role));
        access.before.extend(missing.map(|role| Change::Attach { role: role.clone(), arn: arn.clone() }));
        let surplus = roles.iter().filter(|role| !desired.roles.contains(role));
        access.after.extend(surplus.map(|role| Change::Detach { role: role.clone(), arn: arn.clone() }));
    }
    let keeps_role = |logical_id: &String| desired.roles.iter().any(|desired| desired.logical_id == *logical_id);
    let keeps_policy = |logical_id: &String| desired.policies.iter().any(|desired| desired.logical_id == *logical_id);
    let policies = existing.policies.iter().filter(|(logical_id, _)| !keeps_policy(logical_id)).map(|(_, there)| there);
    let roles = existing.roles.iter().filter(|(logical_id, _)| !keeps_role(logical_id)).map(|(_, there)| there);
    access.after.extend(removal(policies, roles)?);
    Ok(access)
}

/// Plans the end of everything. Pure.
///
/// # Errors
/// [`CommandError`] where somebody else uses a policy of ours.
pub fn plan_removal(existing: &ExistingAccess) -> Result<Vec<Change>, CommandError> {
    removal(existing.policies.values(), existing.roles.values())
}

fn removal<'a>(
    policies: impl Iterator<Item = &'a ExistingPolicy>,
    roles: impl Iterator<Item = &'a ExistingRole>,
) -> Result<Vec<Change>, CommandError> {
    let (mut changes, mut gone) = (Vec::new(), Vec::new());
    for ExistingPolicy { policy, entities } in policies {
        if !entities.others.is_empty() {
            let users = entities.others.join("`, `");
            let cause = format!("policy `{}` is also attached to `{users}`, which this connection did not do", policy.name);
            return Err(CommandError::new(CommandCode::ConnectPolicyInUse, cause));
        }
        gone.push(policy.arn.clone());
        let (name, arn) = (policy.name.clone(), policy.arn.clone());
        changes.push(Change::DeletePolicy { name, arn, roles: entities.roles.clone() });
    }
    for ExistingRole { role, attached, inline } in roles {
        let attached = attached.iter().filter(|arn| !gone.contains(arn)).cloned().collect();
        changes.push(Change::DeleteRole { name: role.name.clone(), attached, inline: inline.clone() });
    }
    Ok(changes)
}

fn check_path_is_unchanged(what: &str, name: &str, from: &str, to: &str) -> Result<(), CommandError> {
    if from == to {
        return Ok(());
    }
    let cause = format!("{what} `{name}` has the path `{from}`, and IAM cannot change it to `{to}`");
    Err(CommandError::new(CommandCode::ConnectPathFixed, cause))
}

fn is_aws_managed(arn: &str, name: &str) -> bool {
    arn.split_once(":iam::aws:policy/").is_some_and(|(_, own)| own == name)
}
