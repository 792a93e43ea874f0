//! The packs as policy documents, and how they fit into IAM's limits ("IAM and AWS STS quotas").

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{BillingPlace, Place, WayError, json::compact, setting};
use crate::template::Template;

/// Characters of a managed policy, without white space.
pub const MANAGED_POLICY_CHARACTERS_MAX: usize = 6_144;
/// Characters of all inline policies of a role, without white space.
pub const ROLE_INLINE_CHARACTERS_MAX: usize = 10_240;
/// Managed policies of a role or a user, unless AWS was asked for more.
pub const MANAGED_POLICIES_MAX: usize = 10;
/// The most that AWS grants when asked.
pub const MANAGED_POLICIES_QUOTA_MAX: usize = 20;

/// A pack that is on.
#[derive(Debug, Clone)]
pub struct PackPolicy {
    /// The pack.
    pub pack: String,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub purpose: String,
    /// Why each statement is there, by its id.
    pub why: BTreeMap<String, String>,
    /// The mode, as the parameter has it.
    pub mode: String,
    /// Policies of AWS's own that go with it, by ARN.
    pub managed_policies: Vec<String>,
    /// The document.
    pub document: Value,
}

/// The packs that are on with these parameters, each checked for its size.
///
/// # Errors
/// [`WayError::NoPacks`], [`WayError::PolicyTooLarge`], or what the template refuses.
pub fn packs(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    place: &Place,
    billing: Option<&BillingPlace>,
) -> Result<Vec<PackPolicy>, WayError> {
    let resolved = template.resolve(&setting(template, parameters, place, billing))?;
    let documents: BTreeMap<String, Value> = resolved.policies().into_iter().collect();
    let mut found = Vec::new();
    for pack in template.packs() {
        let Some(document) = documents.get(&pack.name) else { continue };
        check_size(&format!("the policy of pack `{}`", pack.name), document, MANAGED_POLICY_CHARACTERS_MAX)?;
        let arn = |name: &String| format!("arn:{}:iam::aws:policy/{name}", place.partition);
        found.push(PackPolicy {
            mode: super::value(template, parameters, &pack.parameter).unwrap_or_default(),
            managed_policies: pack.managed_policies.iter().map(arn).collect(),
            why: pack.statements.into_iter().map(|statement| (statement.sid, statement.why)).collect(),
            pack: pack.name,
            title: pack.title,
            purpose: pack.purpose,
            document: document.clone(),
        });
    }
    if found.is_empty() { Err(WayError::NoPacks) } else { Ok(found) }
}

/// Characters as IAM counts them.
pub fn characters(document: &Value) -> usize {
    compact(document).chars().filter(|c| !c.is_whitespace()).count()
}

fn check_size(what: &str, document: &Value, max: usize) -> Result<(), WayError> {
    let characters = characters(document);
    if characters > max {
        return Err(WayError::PolicyTooLarge { what: what.to_owned(), characters, max });
    }
    Ok(())
}

/// How many managed policies these packs are for one role or user, AWS's own among them.
///
/// # Errors
/// [`WayError::TooManyPolicies`].
pub fn check_count(packs: &[PackPolicy], quota: usize) -> Result<usize, WayError> {
    let count = packs.iter().map(|pack| 1 + pack.managed_policies.len()).sum();
    check_attached(count, quota).map(|()| count)
}

/// Whether so many managed policies can be attached.
///
/// # Errors
/// [`WayError::TooManyPolicies`].
pub fn check_attached(count: usize, quota: usize) -> Result<(), WayError> {
    if count > quota { Err(WayError::TooManyPolicies { count, max: quota }) } else { Ok(()) }
}

/// All packs in one document for a role's inline policies.
///
/// # Errors
/// [`WayError::PolicyTooLarge`].
pub fn inline(packs: &[PackPolicy]) -> Result<Value, WayError> {
    let document = document(&packs.iter().flat_map(prefixed).collect::<Vec<_>>());
    check_size("the inline policy of these packs", &document, ROLE_INLINE_CHARACTERS_MAX)?;
    Ok(document)
}

/// All packs in as few documents as fit into `characters_max` each: whole packs where they fit, the largest first, and the statements
/// of a pack that is larger by itself one after the other.
///
/// # Errors
/// [`WayError::PolicyTooLarge`] for a single statement that does not fit.
pub fn combine(packs: &[PackPolicy], characters_max: usize) -> Result<Vec<Value>, WayError> {
    let mut pieces: Vec<(Vec<Value>, String)> = Vec::new();
    for pack in packs {
        let statements = prefixed(pack);
        if characters(&document(&statements)) <= characters_max {
            pieces.push((statements, pack.pack.clone()));
        } else {
            pieces.extend(statements.into_iter().map(|statement| (vec![statement], pack.pack.clone())));
        }
    }
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
