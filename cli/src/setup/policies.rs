//! The packs as policy documents, and how they fit into IAM's limits ("IAM and AWS STS quotas").

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::{CommandCode, CommandError},
    setup::{BillingLocation, SetupTarget, USER_BOUNDARY, context, json::compact, policy_name},
    template::{Template, references},
};

/// Characters of a managed policy, without white space.
pub const MANAGED_POLICY_CHARACTERS_MAX: usize = 6_144;
/// Characters of all inline policies of a role, without white space.
pub const ROLE_INLINE_CHARACTERS_MAX: usize = 10_240;
/// Managed policies of a role or a user, unless AWS was asked for more.
pub const MANAGED_POLICIES_MAX: usize = 10;
/// The most that AWS grants when asked.
pub const MANAGED_POLICIES_QUOTA_MAX: usize = 20;

/// A pack that is on.
#[derive(Debug, Clone, Serialize)]
pub struct PackPolicy {
    pub pack: String,
    /// The policy's name in IAM.
    pub name: String,
    pub title: String,
    /// What it is for.
    pub purpose: String,
    /// Why each statement is there, by its id.
    pub why: BTreeMap<String, String>,
    /// The mode, as the parameter has it.
    pub mode: String,
    /// Policies of AWS's own that go with it, by ARN.
    pub managed_policies: Vec<String>,
    pub document: Value,
}

/// A policy that is attached to nobody: a boundary of roles that the vendor makes, or of its own user.
#[derive(Debug, Clone, Serialize)]
pub struct Boundary {
    /// Its name in IAM.
    pub name: String,
    pub description: String,
    pub document: Value,
    /// Whether it is the boundary of the vendor's own user.
    pub of_user: bool,
}

/// All that these parameters grant.
#[derive(Debug, Clone, Serialize)]
pub struct Grants {
    /// The packs, in the order of the template.
    pub packs: Vec<PackPolicy>,
    /// What the packs name besides.
    pub boundaries: Vec<Boundary>,
    /// With an access key: what the role may do, while the user has the packs.
    pub read_access_key: Option<Boundary>,
}

/// The packs that are on with these parameters and what goes with them, each checked for its size.
///
/// # Errors
/// [`CommandCode::NoPacks`], [`CommandCode::PolicyTooLarge`], [`CommandCode::ParameterMissing`], or what the template refuses.
pub fn grants(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
    billing: Option<&BillingLocation>,
) -> Result<Grants, CommandError> {
    let resolved = template.resolve(&context(template, parameters, target, billing))?;
    let documents: BTreeMap<String, Value> = resolved.policies().into_iter().collect();
    let mut found = Vec::new();
    for pack in template.packs() {
        let Some(document) = documents.get(&pack.name) else { continue };
        check_closed(&pack.name, document)?;
        check_size(&format!("the policy of pack `{}`", pack.name), document, MANAGED_POLICY_CHARACTERS_MAX)?;
        let arn = |name: &String| format!("arn:{}:iam::aws:policy/{name}", target.partition);
        found.push(PackPolicy {
            mode: super::value(template, parameters, &pack.parameter).unwrap_or_default(),
            managed_policies: pack.managed_policies.iter().map(arn).collect(),
            why: pack.statements.into_iter().map(|statement| (statement.sid, statement.why)).collect(),
            name: policy_name(target, &pack.logical_id),
            pack: pack.name,
            title: pack.title,
            purpose: pack.purpose,
            document: document.clone(),
        });
    }
    if found.is_empty() {
        return Err(CommandError::new(CommandCode::NoPacks, "no pack is enabled, so there is nothing to grant"));
    }
    let (mut boundaries, mut read_access_key) = (Vec::new(), None);
    for (id, resource) in resolved.resources() {
        let properties = &resource["Properties"];
        // The handler's role is no part of ways without a handler.
        let of_handler = properties["Roles"].to_string().contains("HandlerRole");
        if resource["Type"] != "AWS::IAM::ManagedPolicy" || !resource["Metadata"]["Pack"].is_null() || of_handler {
            continue;
        }
        let document = properties["PolicyDocument"].clone();
        check_closed(id, &document)?;
        let name = policy_name(target, id);
        check_size(&format!("the policy `{name}`"), &document, MANAGED_POLICY_CHARACTERS_MAX)?;
        let description = properties["Description"].as_str().unwrap_or_default().to_owned();
        let policy = Boundary { name, description, document, of_user: id == USER_BOUNDARY };
        match properties["Roles"].is_null() {
            true => boundaries.push(policy),
            false => read_access_key = Some(policy),
        }
    }
    Ok(Grants { packs: found, boundaries, read_access_key })
}

/// Whether the billing pack names a placeholder, because the bucket was not given.
pub fn has_placeholder_bucket(grants: &Grants, billing: Option<&BillingLocation>) -> bool {
    billing.is_none() && grants.packs.iter().any(|pack| pack.pack == "billing")
}

/// A document in which nothing is left open.
fn check_closed(what: &str, document: &Value) -> Result<(), CommandError> {
    match references(document).into_iter().next() {
        None => Ok(()),
        Some(name) => Err(CommandError::new(CommandCode::ParameterMissing, format!("`{what}` needs `{name}`"))),
    }
}

/// Characters as IAM counts them.
pub fn characters(document: &Value) -> usize {
    compact(document).chars().filter(|c| !c.is_whitespace()).count()
}

fn check_size(what: &str, document: &Value, max: usize) -> Result<(), CommandError> {
    let characters = characters(document);
    if characters > max {
        let cause = format!("{what} has {characters} characters without white space and IAM allows {max}");
        return Err(CommandError::new(CommandCode::PolicyTooLarge, cause));
    }
    Ok(())
}

/// How many managed policies these packs are for one role or user, AWS's own among them.
///
/// # Errors
/// [`CommandCode::ManagedPoliciesLimit`].
pub fn check_count(packs: &[PackPolicy], quota: usize) -> Result<usize, CommandError> {
    let count = packs.iter().map(|pack| 1 + pack.managed_policies.len()).sum();
    check_attached(count, quota).map(|()| count)
}

/// Whether so many managed policies can be attached.
///
/// # Errors
/// [`CommandCode::ManagedPoliciesLimit`].
pub fn check_attached(count: usize, quota: usize) -> Result<(), CommandError> {
    if count <= quota {
        return Ok(());
    }
    let cause = format!("these packs are {count} managed policies and a role or user takes {quota}");
    Err(CommandError::new(CommandCode::ManagedPoliciesLimit, cause))
}

/// All packs in one document for a role's inline policies.
///
/// # Errors
/// [`CommandCode::PolicyTooLarge`].
pub fn inline(packs: &[PackPolicy]) -> Result<Value, CommandError> {
    let document = document(&packs.iter().flat_map(prefixed).collect::<Vec<_>>());
    check_size("the inline policy of these packs", &document, ROLE_INLINE_CHARACTERS_MAX)?;
    Ok(document)
}

/// All packs in as few documents as fit into `characters_max` each: whole packs where that is no more documents than with the packs
/// taken apart.
///
/// # Errors
/// [`CommandCode::PolicyTooLarge`] for a single statement that does not fit.
pub fn combine(packs: &[PackPolicy], characters_max: usize) -> Result<Vec<Value>, CommandError> {
    let one_by_one = |pack: &PackPolicy| -> Vec<Piece> {
        prefixed(pack).into_iter().map(|statement| (vec![statement], pack.pack.clone())).collect()
    };
    let whole = |pack: &PackPolicy| match prefixed(pack) {
        statements if characters(&document(&statements)) <= characters_max => vec![(statements, pack.pack.clone())],
        _ => one_by_one(pack),
    };
    let kept_whole = fill(packs.iter().flat_map(whole).collect(), characters_max)?;
    let apart = fill(packs.iter().flat_map(one_by_one).collect(), characters_max)?;
    Ok(if apart.len() < kept_whole.len() { apart } else { kept_whole })
}

/// Statements that stay together, and the pack they are of.
type Piece = (Vec<Value>, String);

/// The largest piece first, each into the first document that has room for it.
fn fill(mut pieces: Vec<Piece>, characters_max: usize) -> Result<Vec<Value>, CommandError> {
    pieces.sort_by_key(|(statements, _)| std::cmp::Reverse(characters(&document(statements))));
    let mut documents: Vec<Vec<Value>> = Vec::new();
    for (statements, pack) in pieces {
        check_size(&format!("a statement of pack `{pack}`"), &document(&statements), characters_max)?;
        let fits = |one: &&mut Vec<Value>| {
            let together: Vec<Value> = one.iter().chain(&statements).cloned().collect();
            characters(&document(&together)) <= characters_max
        };
        match documents.iter_mut().find(fits) {
            Some(one) => one.extend(statements),
            None => documents.push(statements),
        }
    }
    Ok(documents.iter().map(|statements| document(statements)).collect())
}

fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Ids are unique within a document, and two packs may use the same.
fn prefixed(pack: &PackPolicy) -> Vec<Value> {
    let words = pack.pack.split('-').map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    let prefix: String = words.collect();
    let statements = pack.document["Statement"].as_array().into_iter().flatten().cloned();
    let named = |mut statement: Value| {
        if let Some(sid) = statement["Sid"].as_str() {
            statement["Sid"] = format!("{prefix}{sid}").into();
        }
        statement
    };
    statements.map(named).collect()
}
