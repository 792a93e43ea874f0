//! The vendor's role and its packs, made and changed without CloudFormation: what the template wants, what there is, and what
//! to do about it. Deciding is pure.
//!
//! Names are derived, so that every run finds what an earlier one made; a thing of such a name without the mark is somebody
//! else's, and stays as it is (HW-O1, HW-O2).

use std::{collections::BTreeMap, fmt};

use hawser::{
    aws::{Fault, FaultKind, Tags},
    billing::{TAG_LOGICAL_ID, TAG_STACK},
    error::{Code, Failure},
    names::{Digest16, StackId},
    ports::Clock,
    protocol::retry::EVENTUAL_CONSISTENCY_BACKOFF,
};
use serde_json::{Map, Value};

use crate::{
    connect::iam::{Entities, Iam, Policy, Role},
    error::{CommandCode, CommandError},
    template::{Resolved, Template, references},
};

/// The role that the function runs as. Without the function, neither it nor what is attached to it is made.
pub(super) const FUNCTION_ROLE: &str = "HandlerRole";

/// The property `NamePrefix` of the billing data, kept as a tag: it stays as it was (HW-L1).
pub const TAG_NAME_PREFIX: &str = "hawser:name-prefix";

/// A digest of what the vendor agreed to last, kept as a tag.
pub const TAG_NOTIFIED: &str = "hawser:told";

/// Most versions of a managed policy (IAM quotas, "IAM and STS quotas").
const VERSIONS_MAX: usize = 5;

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

/// The name of what a connection makes in IAM: unique in the account whatever its path, and derived.
pub fn name(stack: &StackId, logical_id: &str) -> String {
    format!("hawser-{logical_id}-{}", Digest16::derive(&[stack.as_str(), logical_id]))
}

/// Which thing of a connection has this name; none if it cannot be one of its own.
pub fn logical_id_of(stack: &StackId, given: &str) -> Option<String> {
    let logical_id = given.strip_prefix("hawser-")?.rsplit_once('-')?.0;
    (name(stack, logical_id) == given).then(|| logical_id.to_owned())
}

fn ownership_tags(stack: &StackId, logical_id: &str, prefix: &str) -> Tags {
    Tags::from([
        (TAG_STACK.to_owned(), stack.as_str().to_owned()),
        (TAG_LOGICAL_ID.to_owned(), logical_id.to_owned()),
        (TAG_NAME_PREFIX.to_owned(), prefix.to_owned()),
    ])
}

fn has_ownership_tags(tags: &Tags, stack: &StackId, logical_id: &str) -> bool {
    tags.get(TAG_STACK).is_some_and(|tag| tag == stack.as_str()) && tags.get(TAG_LOGICAL_ID).is_some_and(|tag| tag == logical_id)
}

/// The ARN that IAM will give.
pub fn arn(stack: &StackId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:{}:iam::{}:{kind}{path}{name}", stack.partition, stack.account)
}

/// The roles of the template that are made here, by their names in it.
fn role_ids(template: &Template) -> Vec<&str> {
    let is_role = |name: &&str| template.json()["Resources"][*name]["Type"] == "AWS::IAM::Role" && *name != FUNCTION_ROLE;
    template.resource_names().iter().map(String::as_str).filter(is_role).collect()
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

/// The function and what belongs to it, which is not made; billing data and the notice, which are the handler's own; and what
/// is made here.
const SUPPORTED_RESOURCE_TYPES: [&str; 6] =
    ["AWS::Lambda::", "AWS::Logs::LogGroup", "AWS::Events::Rule", "Custom::", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy"];

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

/// One thing to do, named as what it is for people.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    CreateRole(Box<Role>),
    /// Let others assume it than before.
    ChangeTrust {
        role: String,
        /// Who may.
        trust: Value,
    },
    /// Describe it otherwise.
    Describe {
        role: String,
        description: String,
    },
    /// Give it this boundary, or none.
    SetBoundary {
        role: String,
        boundary: Option<String>,
    },
    CreatePolicy {
        policy: Box<Policy>,
        /// What people call it.
        title: String,
    },
    /// Let it say something else.
    ChangePolicy {
        name: String,
        arn: String,
        /// What it says from now on.
        document: Value,
        /// What people call it.
        title: String,
    },
    /// Attach a policy to a role.
    Attach {
        role: String,
        arn: String,
    },
    Detach {
        role: String,
        arn: String,
    },
    /// Remove a policy of ours, from the roles that have it too.
    DeletePolicy {
        name: String,
        arn: String,
        roles: Vec<String>,
    },
    /// Remove a role of ours, with everything that is on it.
    DeleteRole {
        name: String,
        /// Policies that are attached to it then.
        attached: Vec<String>,
        inline: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::CreateRole(role) => write!(f, "create role `{}`", role.name),
            Self::ChangeTrust { role, .. } => write!(f, "change who may assume role `{role}`"),
            Self::Describe { role, description } => write!(f, "describe role `{role}` as `{description}`"),
            Self::SetBoundary { role, boundary: Some(boundary) } => {
                write!(f, "set the permissions boundary of role `{role}` to `{}`", short(boundary))
            }
            Self::SetBoundary { role, boundary: None } => write!(f, "remove the permissions boundary from role `{role}`"),
            Self::CreatePolicy { policy, title } => write!(f, "create policy `{}` ({title})", policy.name),
            Self::ChangePolicy { name, title, .. } => write!(f, "change policy `{name}` ({title})"),
            Self::Attach { role, arn } => write!(f, "attach `{}` to role `{role}`", short(arn)),
            Self::Detach { role, arn } => write!(f, "detach `{}` from role `{role}`", short(arn)),
            Self::DeletePolicy { name, .. } => write!(f, "remove policy `{name}`"),
            Self::DeleteRole { name, .. } => write!(f, "remove role `{name}`"),
        }
    }
}

impl Change {
    /// The same once it is done.
    pub fn past_tense(&self) -> String {
        let request = self.to_string();
        let (verb, rest) = request.split_once(' ').unwrap_or((&request, ""));
        let past = match verb {
            "create" => "created",
            "take" => "took",
            "change" => "changed",
            "describe" => "described",
            "bound" => "bounded",
            "attach" => "attached",
            "detach" => "detached",
            "remove" => "removed",
            other => other,
        };
        format!("{past} {rest}")
    }
}

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

/// Carries out one change.
///
/// # Errors
/// What IAM refused, after all tries.
pub async fn apply(change: &Change, iam: &dyn Iam, clock: &dyn Clock) -> Result<(), Failure> {
    match change {
        Change::CreateRole(role) => iam.create_role(role).await?,
        Change::ChangeTrust { role, trust } => iam.put_trust(role, trust).await?,
        Change::Describe { role, description } => iam.describe_role(role, description).await?,
        Change::SetBoundary { role, boundary } => iam.put_boundary(role, boundary.as_deref()).await?,
        Change::CreatePolicy { policy, .. } => iam.create_policy(policy).await?,
        Change::ChangePolicy { arn, document, .. } => {
            let old = iam.old_versions(arn).await?;
            // With the default one there are as many as IAM keeps: the oldest makes room.
            for version in old.iter().take((old.len() + 2).saturating_sub(VERSIONS_MAX)) {
                iam.delete_version(arn, version).await?;
            }
            iam.put_document(arn, document).await?;
        }
        Change::Attach { role, arn } => retry_eventual(clock, FaultKind::Missing, || iam.attach(role, arn)).await?,
        Change::Detach { role, arn } => iam.detach(role, arn).await?,
        Change::DeletePolicy { arn, roles, .. } => {
            for role in roles {
                iam.detach(role, arn).await?;
            }
            for version in iam.old_versions(arn).await? {
                iam.delete_version(arn, &version).await?;
            }
            retry_eventual(clock, FaultKind::Conflict, || iam.delete_policy(arn)).await?;
        }
        Change::DeleteRole { name, attached, inline } => {
            for arn in attached {
                iam.detach(name, arn).await?;
            }
            for policy in inline {
                iam.delete_inline(name, policy).await?;
            }
            retry_eventual(clock, FaultKind::Conflict, || iam.delete_role(name)).await?;
        }
    }
    Ok(())
}

/// Tries again while eventual consistency may be the cause: what was made or detached a moment ago is not seen everywhere at once
/// (IAM User Guide, "Changes that I make are not always immediately visible").
async fn retry_eventual<F, Fut>(clock: &dyn Clock, may_pass: FaultKind, call: F) -> Result<(), Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), Fault>>,
{
    for wait in EVENTUAL_CONSISTENCY_BACKOFF {
        match call().await {
            Err(fault) if fault.kind == may_pass => clock.sleep(wait).await,
            answer => return answer,
        }
    }
    call().await
}

/// Writes down what the vendor agreed to, on a thing that stays; on nothing if the connection has nothing in IAM.
///
/// # Errors
/// What IAM refused.
pub async fn record(desired: &DesiredAccess, fingerprint: &str, iam: &dyn Iam) -> Result<(), Failure> {
    let tag = Tags::from([(TAG_NOTIFIED.to_owned(), fingerprint.to_owned())]);
    match (desired.roles.first(), desired.policies.first()) {
        (Some(role), _) => iam.tag_role(&role.role.name, &tag).await?,
        (None, Some(policy)) => iam.tag_policy(&policy.policy.arn, &tag).await?,
        (None, None) => {}
    }
    Ok(())
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

/// An answer of IAM's that is none.
pub(crate) fn unreadable(action: &'static str) -> Failure {
    Failure::new(Code::AwsRefused, format!("the answer to `{action}` cannot be read"))
}
