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
    names::{Key, StackId},
    ports::Clock,
    protocol::retry::PATIENCE,
};
use serde_json::{Map, Value};

use crate::{
    connect::{
        Refusal,
        iam::{Entities, Iam, Policy, Role},
        refused,
    },
    template::{Resolved, Template, references},
};

/// The role that the function runs as. Without the function, neither it nor what is attached to it is made.
pub(super) const FUNCTION_ROLE: &str = "HandlerRole";

/// The property `NamePrefix` of the billing data, kept as a tag: it stays as it was (HW-L1).
pub const TAG_NAME_PREFIX: &str = "hawser:name-prefix";

/// A digest of what the vendor agreed to last, kept as a tag.
pub const TAG_TOLD: &str = "hawser:told";

/// Most versions of a managed policy (IAM quotas, "IAM and STS quotas").
const VERSIONS_MAX: usize = 5;

/// A role as the template wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedRole {
    /// Its name in the template.
    pub logical_id: String,
    /// The role.
    pub role: Role,
    /// Policies of AWS's own on it, by ARN.
    pub managed: Vec<String>,
}

/// A policy as the template wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedPolicy {
    /// Its name in the template.
    pub logical_id: String,
    /// The policy.
    pub policy: Policy,
    /// What people call it, such as `EC2 instances, ReadOnly`.
    pub title: String,
    /// The roles that have it, by name.
    pub roles: Vec<String>,
}

/// What the template wants of IAM, for one connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Roles.
    pub roles: Vec<WantedRole>,
    /// Policies.
    pub policies: Vec<WantedPolicy>,
}

/// The name of what a connection makes in IAM: unique in the account whatever its path, and derived.
pub fn name(stack: &StackId, logical_id: &str) -> String {
    format!("hawser-{logical_id}-{}", Key::derive(&[stack.as_str(), logical_id]))
}

/// Which thing of a connection has this name; none if it cannot be one of its own.
pub fn logical_id_of(stack: &StackId, given: &str) -> Option<String> {
    let logical_id = given.strip_prefix("hawser-")?.rsplit_once('-')?.0;
    (name(stack, logical_id) == given).then(|| logical_id.to_owned())
}

fn mark(stack: &StackId, logical_id: &str, prefix: &str) -> Tags {
    Tags::from([
        (TAG_STACK.to_owned(), stack.as_str().to_owned()),
        (TAG_LOGICAL_ID.to_owned(), logical_id.to_owned()),
        (TAG_NAME_PREFIX.to_owned(), prefix.to_owned()),
    ])
}

fn is_marked(tags: &Tags, stack: &StackId, logical_id: &str) -> bool {
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

impl Wanted {
    /// Reads it off the template, resolved for this connection.
    ///
    /// # Errors
    /// [`Refusal`] for what cannot be made without a stack.
    pub fn read(template: &Template, resolved: &Resolved, stack: &StackId, prefix: &str) -> Result<Self, Refusal> {
        let packs = template.packs();
        let title = |logical_id: &str| {
            let pack = packs.iter().find(|pack| pack.logical_id == logical_id);
            let mode = |parameter: &str| resolved_mode(resolved, parameter);
            pack.map_or_else(|| logical_id.to_owned(), |pack| format!("{}, {}", pack.title, mode(&pack.parameter)))
        };
        let mut wanted = Self::default();
        for (logical_id, resource) in resolved.resources() {
            let properties = resource["Properties"].as_object().cloned().unwrap_or_default();
            let kind = resource["Type"].as_str().unwrap_or_default();
            let open = references(&Value::Object(properties.clone()));
            if logical_id == FUNCTION_ROLE || open.iter().any(|name| name.split('.').next() == Some(FUNCTION_ROLE)) {
                continue;
            }
            match kind {
                "AWS::IAM::Role" => wanted.roles.push(role(stack, logical_id, prefix, &properties)),
                "AWS::IAM::ManagedPolicy" => {
                    let (policy, roles) = policy(stack, logical_id, prefix, &properties);
                    wanted.policies.push(WantedPolicy {
                        logical_id: logical_id.clone(),
                        policy,
                        title: title(logical_id),
                        roles,
                    });
                }
                _ => continue,
            }
            if let Some(open) = open.first() {
                let cause = format!("`{logical_id}` refers to `{open}`, which is not there without a stack");
                return Err(refused("CONNECT_NEEDS_STACK", cause, "Launch the stack instead."));
            }
        }
        Ok(wanted)
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
const KINDS: [&str; 6] =
    ["AWS::Lambda::", "AWS::Logs::LogGroup", "AWS::Events::Rule", "Custom::", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy"];

/// Refuses what is made by a stack only, before anything is looked at.
///
/// # Errors
/// [`Refusal`]
pub fn refuse_kinds(resolved: &Resolved) -> Result<(), Refusal> {
    let kinds = resolved.resources().iter().map(|(name, resource)| (name, resource["Type"].as_str().unwrap_or_default()));
    let other = kinds.into_iter().find(|(_, kind)| !KINDS.iter().any(|known| kind.starts_with(known)));
    other.map_or(Ok(()), |(name, kind)| {
        let cause = format!("`{name}` is a `{kind}`, which is not made without a stack");
        Err(refused("CONNECT_NEEDS_STACK", cause, "Set AccessMethod=Role, or launch the stack."))
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

fn role(stack: &StackId, logical_id: &str, prefix: &str, properties: &Map<String, Value>) -> WantedRole {
    let (name, path) = (name(stack, logical_id), text(properties, "Path"));
    WantedRole {
        logical_id: logical_id.to_owned(),
        managed: list(properties, "ManagedPolicyArns"),
        role: Role {
            arn: arn(stack, "role", &path, &name),
            path,
            description: text(properties, "Description"),
            trust: properties.get("AssumeRolePolicyDocument").cloned().unwrap_or_default(),
            boundary: Some(text(properties, "PermissionsBoundary")).filter(|arn| !arn.is_empty()),
            tags: mark(stack, logical_id, prefix),
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
        tags: mark(stack, logical_id, prefix),
        name,
    };
    (policy, list(properties, "Roles"))
}

/// A role that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenRole {
    /// The role.
    pub role: Role,
    /// What is attached to it, by ARN.
    pub attached: Vec<String>,
    /// Its inline policies, by name.
    pub inline: Vec<String>,
}

/// A policy that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeenPolicy {
    /// The policy.
    pub policy: Policy,
    /// Who has it.
    pub entities: Entities,
}

/// What a connection has in IAM, by names in the template. All of it carries the connection's mark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Roles.
    pub roles: BTreeMap<String, SeenRole>,
    /// Policies.
    pub policies: BTreeMap<String, SeenPolicy>,
}

impl Seen {
    /// Looks.
    ///
    /// # Errors
    /// What AWS refused, and [`Refusal`] for a thing of our name without our mark (HW-O2).
    pub async fn look(template: &Template, stack: &StackId, iam: &dyn Iam) -> Result<Self, Refusal> {
        let mut seen = Self::default();
        let not_ours = |what: &str, name: &str| {
            let cause = format!("{what} `{name}` exists and does not carry this connection's mark");
            refused("CONNECT_NOT_OURS", cause, "Rename or remove it, or restore its hawser tags, then try again.")
        };
        for logical_id in role_ids(template) {
            let name = name(stack, logical_id);
            let Some(role) = iam.role(&name).await? else { continue };
            if !is_marked(&role.tags, stack, logical_id) {
                return Err(not_ours("role", &name));
            }
            let (attached, inline) = (iam.attached(&name).await?, iam.inline(&name).await?);
            seen.roles.insert(logical_id.to_owned(), SeenRole { role, attached, inline });
        }
        // By name, because a policy cannot be asked for without its path, which an earlier run may have had another of.
        for (name, arn) in iam.policies().await? {
            let Some(logical_id) = logical_id_of(stack, &name) else { continue };
            let Some(policy) = iam.policy(&arn).await? else { continue };
            if !is_marked(&policy.tags, stack, &logical_id) {
                return Err(not_ours("policy", &name));
            }
            let entities = iam.entities(&arn).await?;
            seen.policies.insert(logical_id, SeenPolicy { policy, entities });
        }
        Ok(seen)
    }

    fn tags(&self) -> impl Iterator<Item = &Tags> {
        self.roles.values().map(|seen| &seen.role.tags).chain(self.policies.values().map(|seen| &seen.policy.tags))
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
    /// Make a role.
    MakeRole(Box<Role>),
    /// Let others assume it than before.
    ChangeTrust {
        /// The role's name.
        role: String,
        /// Who may.
        trust: Value,
    },
    /// Describe it otherwise.
    Describe {
        /// The role's name.
        role: String,
        /// For people.
        description: String,
    },
    /// Give it this boundary, or none.
    Bound {
        /// The role's name.
        role: String,
        /// The boundary's ARN.
        boundary: Option<String>,
    },
    /// Make a policy.
    MakePolicy {
        /// The policy.
        policy: Box<Policy>,
        /// What people call it.
        title: String,
    },
    /// Let it say something else.
    ChangePolicy {
        /// Its name.
        name: String,
        /// Its ARN.
        arn: String,
        /// What it says from now on.
        document: Value,
        /// What people call it.
        title: String,
    },
    /// Attach a policy to a role.
    Attach {
        /// The role's name.
        role: String,
        /// The policy's ARN.
        arn: String,
    },
    /// Detach it.
    Detach {
        /// The role's name.
        role: String,
        /// The policy's ARN.
        arn: String,
    },
    /// Remove a policy of ours, from the roles that have it too.
    RemovePolicy {
        /// Its name.
        name: String,
        /// Its ARN.
        arn: String,
        /// The roles.
        roles: Vec<String>,
    },
    /// Remove a role of ours, with everything that is on it.
    RemoveRole {
        /// Its name.
        name: String,
        /// Policies that are attached to it then.
        attached: Vec<String>,
        /// Its inline policies.
        inline: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::MakeRole(role) => write!(f, "make role `{}`", role.name),
            Self::ChangeTrust { role, .. } => write!(f, "change who may assume role `{role}`"),
            Self::Describe { role, description } => write!(f, "describe role `{role}` as `{description}`"),
            Self::Bound { role, boundary: Some(boundary) } => write!(f, "bound role `{role}` by `{}`", short(boundary)),
            Self::Bound { role, boundary: None } => write!(f, "take the permissions boundary from role `{role}`"),
            Self::MakePolicy { policy, title } => write!(f, "make policy `{}` ({title})", policy.name),
            Self::ChangePolicy { name, title, .. } => write!(f, "change policy `{name}` ({title})"),
            Self::Attach { role, arn } => write!(f, "attach `{}` to role `{role}`", short(arn)),
            Self::Detach { role, arn } => write!(f, "detach `{}` from role `{role}`", short(arn)),
            Self::RemovePolicy { name, .. } => write!(f, "remove policy `{name}`"),
            Self::RemoveRole { name, .. } => write!(f, "remove role `{name}`"),
        }
    }
}

impl Change {
    /// The same once it is done.
    pub fn done(&self) -> String {
        let wish = self.to_string();
        let (verb, rest) = wish.split_once(' ').unwrap_or((&wish, ""));
        let past = match verb {
            "make" => "made",
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
pub struct Access {
    /// What the vendor may rely on when it is told.
    pub before: Vec<Change>,
    /// What goes, once the vendor knows.
    pub after: Vec<Change>,
}

/// Plans from what there is to what is wanted. Pure.
///
/// # Errors
/// [`Refusal`] for what IAM never changes.
pub fn plan(template: &Template, wanted: &Wanted, seen: &Seen) -> Result<Access, Refusal> {
    let mut access = Access::default();
    for want in &wanted.roles {
        let name = &want.role.name;
        let there = seen.roles.get(&want.logical_id);
        match there {
            None => access.before.push(Change::MakeRole(Box::new(want.role.clone()))),
            Some(there) => {
                refuse_move("role", name, &there.role.path, &want.role.path)?;
                if there.role.trust != want.role.trust {
                    access.before.push(Change::ChangeTrust { role: name.clone(), trust: want.role.trust.clone() });
                }
                if there.role.description != want.role.description {
                    access.before.push(Change::Describe { role: name.clone(), description: want.role.description.clone() });
                }
                if there.role.boundary != want.role.boundary {
                    access.before.push(Change::Bound { role: name.clone(), boundary: want.role.boundary.clone() });
                }
            }
        }
        let attached: &[String] = there.map_or(&[], |there| &there.attached);
        let missing = want.managed.iter().filter(|arn| !attached.contains(arn));
        access.before.extend(missing.map(|arn| Change::Attach { role: name.clone(), arn: arn.clone() }));
        // Of AWS's own policies only those that a pack brings: another one is the customer's doing.
        let of_packs =
            |arn: &&String| template.packs().iter().flat_map(|pack| &pack.managed_policies).any(|own| is_aws_own(arn, own));
        let surplus = attached.iter().filter(of_packs).filter(|arn| !want.managed.contains(arn));
        access.after.extend(surplus.map(|arn| Change::Detach { role: name.clone(), arn: arn.clone() }));
    }
    for want in &wanted.policies {
        let (name, arn) = (want.policy.name.clone(), want.policy.arn.clone());
        let roles = match seen.policies.get(&want.logical_id) {
            None => {
                access.before.push(Change::MakePolicy { policy: Box::new(want.policy.clone()), title: want.title.clone() });
                &[][..]
            }
            Some(there) => {
                refuse_move("policy", &name, &there.policy.path, &want.policy.path)?;
                if there.policy.document != want.policy.document {
                    let (document, title) = (want.policy.document.clone(), want.title.clone());
                    access.before.push(Change::ChangePolicy { name, arn: arn.clone(), document, title });
                }
                &there.entities.roles[..]
            }
        };
        let missing = want.roles.iter().filter(|role| !roles.contains(role));
        access.before.extend(missing.map(|role| Change::Attach { role: role.clone(), arn: arn.clone() }));
        let surplus = roles.iter().filter(|role| !want.roles.contains(role));
        access.after.extend(surplus.map(|role| Change::Detach { role: role.clone(), arn: arn.clone() }));
    }
    let keeps_role = |logical_id: &String| wanted.roles.iter().any(|want| want.logical_id == *logical_id);
    let keeps_policy = |logical_id: &String| wanted.policies.iter().any(|want| want.logical_id == *logical_id);
    let policies = seen.policies.iter().filter(|(logical_id, _)| !keeps_policy(logical_id)).map(|(_, there)| there);
    let roles = seen.roles.iter().filter(|(logical_id, _)| !keeps_role(logical_id)).map(|(_, there)| there);
    access.after.extend(removal(policies, roles)?);
    Ok(access)
}

/// Plans the end of everything. Pure.
///
/// # Errors
/// [`Refusal`] where somebody else uses a policy of ours.
pub fn plan_removal(seen: &Seen) -> Result<Vec<Change>, Refusal> {
    removal(seen.policies.values(), seen.roles.values())
}

fn removal<'a>(
    policies: impl Iterator<Item = &'a SeenPolicy>,
    roles: impl Iterator<Item = &'a SeenRole>,
) -> Result<Vec<Change>, Refusal> {
    let (mut changes, mut gone) = (Vec::new(), Vec::new());
    for SeenPolicy { policy, entities } in policies {
        if !entities.others.is_empty() {
            let users = entities.others.join("`, `");
            let cause =
                format!("policy `{}` is attached to `{users}` as well, which is none of this connection's doing", policy.name);
            return Err(refused("CONNECT_POLICY_IN_USE", cause, "Detach it there, then try again."));
        }
        gone.push(policy.arn.clone());
        let (name, arn) = (policy.name.clone(), policy.arn.clone());
        changes.push(Change::RemovePolicy { name, arn, roles: entities.roles.clone() });
    }
    for SeenRole { role, attached, inline } in roles {
        let attached = attached.iter().filter(|arn| !gone.contains(arn)).cloned().collect();
        changes.push(Change::RemoveRole { name: role.name.clone(), attached, inline: inline.clone() });
    }
    Ok(changes)
}

fn refuse_move(what: &str, name: &str, from: &str, to: &str) -> Result<(), Refusal> {
    if from == to {
        return Ok(());
    }
    let cause = format!("{what} `{name}` has the path `{from}`, and IAM never changes a path to `{to}`");
    Err(refused("CONNECT_PATH_FIXED", cause, "Keep RolePath, or disconnect and connect again."))
}

fn is_aws_own(arn: &str, name: &str) -> bool {
    arn.split_once(":iam::aws:policy/").is_some_and(|(_, own)| own == name)
}

/// Carries out one change.
///
/// # Errors
/// What IAM refused, after all tries.
pub async fn carry_out(change: &Change, iam: &dyn Iam, clock: &dyn Clock) -> Result<(), Failure> {
    match change {
        Change::MakeRole(role) => iam.create_role(role).await?,
        Change::ChangeTrust { role, trust } => iam.put_trust(role, trust).await?,
        Change::Describe { role, description } => iam.describe_role(role, description).await?,
        Change::Bound { role, boundary } => iam.put_boundary(role, boundary.as_deref()).await?,
        Change::MakePolicy { policy, .. } => iam.create_policy(policy).await?,
        Change::ChangePolicy { arn, document, .. } => {
            let old = iam.old_versions(arn).await?;
            // With the default one there are as many as IAM keeps: the oldest makes room.
            for version in old.iter().take((old.len() + 2).saturating_sub(VERSIONS_MAX)) {
                iam.delete_version(arn, version).await?;
            }
            iam.put_document(arn, document).await?;
        }
        Change::Attach { role, arn } => patiently(clock, FaultKind::Missing, || iam.attach(role, arn)).await?,
        Change::Detach { role, arn } => iam.detach(role, arn).await?,
        Change::RemovePolicy { arn, roles, .. } => {
            for role in roles {
                iam.detach(role, arn).await?;
            }
            for version in iam.old_versions(arn).await? {
                iam.delete_version(arn, &version).await?;
            }
            patiently(clock, FaultKind::Conflict, || iam.delete_policy(arn)).await?;
        }
        Change::RemoveRole { name, attached, inline } => {
            for arn in attached {
                iam.detach(name, arn).await?;
            }
            for policy in inline {
                iam.delete_inline(name, policy).await?;
            }
            patiently(clock, FaultKind::Conflict, || iam.delete_role(name)).await?;
        }
    }
    Ok(())
}

/// Tries again while eventual consistency may be the cause: what was made or detached a moment ago is not seen everywhere at once
/// (IAM User Guide, "Changes that I make are not always immediately visible").
async fn patiently<F, Fut>(clock: &dyn Clock, may_pass: FaultKind, call: F) -> Result<(), Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), Fault>>,
{
    for wait in PATIENCE {
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
pub async fn record(wanted: &Wanted, told: &str, iam: &dyn Iam) -> Result<(), Failure> {
    let tag = Tags::from([(TAG_TOLD.to_owned(), told.to_owned())]);
    match (wanted.roles.first(), wanted.policies.first()) {
        (Some(role), _) => iam.tag_role(&role.role.name, &tag).await?,
        (None, Some(policy)) => iam.tag_policy(&policy.policy.arn, &tag).await?,
        (None, None) => {}
    }
    Ok(())
}

/// Refuses more managed policies on a role than the account allows.
///
/// # Errors
/// [`Refusal`] with the number.
pub fn refuse_too_many(wanted: &Wanted, quota: u64) -> Result<(), Refusal> {
    let (role, count) = wanted.most_policies();
    if u64::try_from(count).unwrap_or(u64::MAX) <= quota {
        return Ok(());
    }
    let cause = format!("role `{role}` would have {count} managed policies, and this account allows {quota} on a role");
    Err(refused(
        "MANAGED_POLICIES_LIMIT",
        cause,
        "Take fewer packs, or ask AWS to raise the quota `Managed policies per role` and give --managed-policies-quota.",
    ))
}

/// An answer of IAM's that is none.
pub(crate) fn unreadable(action: &'static str) -> Failure {
    Failure::new(Code::AwsRefused, format!("the answer to `{action}` cannot be read"))
}
