//! What a bucket policy means, whatever its form.
//!
//! S3 does not give a policy back as it was put: lists come in another order, a list of one as its element, statements in any
//! order (F-46). To IAM none of it makes a difference (IAM User Guide, "Grammar of the IAM JSON policy language"; IAM JSON
//! policy elements: condition keys and actions have no letter case). What this module does not understand is
//! [`Match::Maybe`], never a guess.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::names::{AccountId, BucketName, Partition};

/// Whether a part of a statement applies to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    Maybe,
    Yes,
}

impl Match {
    fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

/// Whether AWS may deliver to a bucket, by the bucket's own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryAccess {
    Allowed,
    /// It depends on what cannot be read from the policy.
    Uncertain,
    Denied,
}

/// A delivery, as a bucket's policy sees it.
#[derive(Debug, Clone)]
pub struct DeliveryCall<'a> {
    pub bucket: &'a BucketName,
    pub partition: Partition,
    pub account: &'a AccountId,
    /// The export's or report's own ARN.
    pub source_arn: &'a str,
    /// The service principal that delivers it.
    pub service: &'a str,
    /// A key below which is delivered, without a `/` at its end.
    pub prefix: &'a str,
}

/// One call under judgement.
struct Call<'a> {
    service: &'a str,
    account: &'a str,
    source_arn: &'a str,
    action: &'a str,
    resource: &'a str,
}

/// Judges a policy; none at all lets nobody in. A denial whose condition is not known here leaves it uncertain: what keeps strangers
/// out by organization or network keeps AWS's services out too, unless it excepts them (IAM User Guide,
/// "aws:PrincipalIsAWSService").
pub fn delivery_access(policy: Option<&str>, delivery: &DeliveryCall<'_>) -> DeliveryAccess {
    let statements = policy.and_then(|text| parsed(text).ok()).map(|policy| policy.statements).unwrap_or_default();
    let arn = delivery.bucket.arn(delivery.partition);
    let object = format!("{arn}/{}/object", delivery.prefix);
    let judge = |action, resource: &str| {
        let (service, account, source_arn) = (delivery.service, delivery.account.as_str(), delivery.source_arn);
        allows(&statements, &Call { service, account, source_arn, action, resource })
    };
    match (judge("s3:putobject", &object), judge("s3:getbucketpolicy", &arn)) {
        (Match::No, _) => DeliveryAccess::Denied,
        (Match::Yes, Match::Yes) => DeliveryAccess::Allowed,
        // AWS looks at the policy when an export is made; whether it does at each delivery is not documented (B-9).
        _ => DeliveryAccess::Uncertain,
    }
}

fn allows(statements: &[Value], call: &Call<'_>) -> Match {
    let by_effect = |effect: &str| {
        let statements = statements.iter().filter(|it| it.get("Effect").and_then(Value::as_str) == Some(effect));
        statements.map(|statement| applies(statement, call)).max().unwrap_or(Match::No)
    };
    by_effect("Deny").not().min(by_effect("Allow"))
}

fn applies(statement: &Value, call: &Call<'_>) -> Match {
    let element =
        |name: &str, negated: &str, matches: &dyn Fn(&Value) -> Match| match (statement.get(name), statement.get(negated)) {
            (Some(value), None) => matches(value),
            (None, Some(value)) => matches(value).not(),
            _ => Match::Maybe,
        };
    let action = |value: &Value| any_pattern(value, &call.action.to_lowercase(), str::to_lowercase);
    let resource = |value: &Value| any_pattern(value, call.resource, str::to_owned);
    let conditions = statement.get("Condition").map_or(Match::Yes, |conditions| conditions_hold(conditions, call));
    [
        element("Principal", "NotPrincipal", &|value| principal_matches(value, call.service)),
        element("Action", "NotAction", &action),
        element("Resource", "NotResource", &resource),
        conditions,
    ]
    .into_iter()
    .min()
    .unwrap_or(Match::Maybe)
}

fn principal_matches(principal: &Value, service: &str) -> Match {
    let named = |kind: &str, name: &str| principal.get(kind).is_some_and(|names| texts(names).iter().any(|text| text == name));
    Match::of(principal.as_str() == Some("*") || named("AWS", "*") || named("Service", service) || named("Service", "*"))
}

fn conditions_hold(conditions: &Value, call: &Call<'_>) -> Match {
    let Some(operators) = conditions.as_object() else { return Match::Maybe };
    let each = operators.iter().map(|(operator, keys)| {
        let Some(keys) = keys.as_object() else { return Match::Maybe };
        keys.iter().map(|(key, values)| condition_holds(operator, &key.to_lowercase(), values, call)).min().unwrap_or(Match::Yes)
    });
    each.min().unwrap_or(Match::Yes)
}

/// The keys that a service fills when it delivers (Cost and Usage Reports and Data Exports User Guides, their bucket policies).
fn condition_holds(operator: &str, key: &str, values: &Value, call: &Call<'_>) -> Match {
    let given = match key {
        "aws:sourceaccount" => call.account,
        "aws:sourcearn" => call.source_arn,
        "aws:securetransport" | "aws:principalisawsservice" => "true",
        "aws:principalservicename" => call.service,
        _ => return Match::Maybe,
    };
    let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
    // Each of these keys has one value, so that any of them is all of them.
    let operator = ["ForAnyValue:", "ForAllValues:"].iter().find_map(|set| operator.strip_prefix(set)).unwrap_or(operator);
    let exact = |value: &Value| any_of(value, |text| text == given);
    let same_letters = |value: &Value| any_of(value, |text| text.eq_ignore_ascii_case(given));
    let pattern = |value: &Value| any_pattern(value, given, str::to_owned);
    match operator {
        // Literally: with a `*` in it the condition never holds for an export (F-15). Of reports AWS's own page has it so, and they are
        // delivered (B-23).
        "StringEquals" | "StringNotEquals" if key == "aws:sourcearn" && names_any_report(values, call) => Match::Maybe,
        "StringEquals" => exact(values),
        "StringNotEquals" => exact(values).not(),
        "StringEqualsIgnoreCase" | "Bool" => same_letters(values),
        "StringNotEqualsIgnoreCase" => same_letters(values).not(),
        "StringLike" | "ArnLike" | "ArnEquals" => pattern(values),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => pattern(values).not(),
        // "Is the key absent?"
        "Null" => Match::of(texts(values).iter().all(|text| text.eq_ignore_ascii_case("false"))),
        _ => Match::Maybe,
    }
}

/// Whether the account's reports are meant, as the bucket policy of AWS's page on legacy reports writes it.
fn names_any_report(values: &Value, call: &Call<'_>) -> bool {
    let any = call.source_arn.rsplit_once("definition/").map(|(before, _)| format!("{before}definition/*"));
    any.is_some_and(|any| call.source_arn.contains(":cur:") && texts(values).contains(&any))
}

fn any_pattern(patterns: &Value, text: &str, letters: impl Fn(&str) -> String) -> Match {
    any_of(patterns, |pattern| matches_pattern(&letters(pattern), text))
}

/// Whether one of the values matches. A variable is filled in for each call.
fn any_of(values: &Value, matches: impl Fn(&str) -> bool) -> Match {
    let one = |value: &String| if value.contains("${") { Match::Maybe } else { Match::of(matches(value)) };
    texts(values).iter().map(one).max().unwrap_or(Match::No)
}

/// `*` for any run of characters, `?` for one (IAM User Guide, "IAM JSON policy elements: Resource").
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut next, mut star) = (0, 0, None);
    while next < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(&one) if one == '?' || one == text[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                next = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|&left| left == '*')
}

/// A policy's statements, and what else it says.
pub(super) struct Parsed {
    pub(super) statements: Vec<Value>,
    pub(super) rest: Map<String, Value>,
}

/// Reads a policy; IAM's grammar allows a single statement without its list.
///
/// # Errors
/// Why it is not a policy.
pub(super) fn parsed(text: &str) -> Result<Parsed, String> {
    let mut rest: Map<String, Value> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let statements = match rest.remove("Statement") {
        None => Vec::new(),
        Some(Value::Array(statements)) => statements,
        Some(statement @ Value::Object(_)) => vec![statement],
        Some(_) => return Err("its `Statement` is neither a list nor an object".to_owned()),
    };
    Ok(Parsed { statements, rest })
}

/// Whether two policies mean the same.
pub fn same_policy(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) if one != other => match (parsed(one), parsed(other)) {
            (Ok(one), Ok(other)) => one.rest == other.rest && same_statements(&one.statements, &other.statements),
            _ => false,
        },
        (one, other) => one == other,
    }
}

/// Whether two lists of statements mean the same, whatever their order.
pub(super) fn same_statements(one: &[Value], other: &[Value]) -> bool {
    let counted = |statements: &[Value]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for statement in statements {
            *counts.entry(canonical(statement).to_string()).or_default() += 1;
        }
        counts
    };
    counted(one) == counted(other)
}

/// A statement in the one form that all its equals have.
fn canonical(statement: &Value) -> Value {
    let Some(elements) = statement.as_object() else { return statement.clone() };
    let element = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "Action" | "NotAction" => set(value, str::to_lowercase),
            "Resource" | "NotResource" => set(value, str::to_owned),
            "Principal" | "NotPrincipal" => canonical_principal(value),
            "Condition" => canonical_conditions(value),
            _ => value.clone(),
        };
        (name.clone(), value)
    };
    elements.iter().map(element).collect::<Map<_, _>>().into()
}

/// In a bucket policy `"*"` is `{"AWS": "*"}`, and an account's number is its root's ARN (IAM User Guide, "AWS JSON policy
/// elements: Principal").
fn canonical_principal(principal: &Value) -> Value {
    let account = |text: &str| {
        let id = text.strip_prefix("arn:").and_then(|arn| arn.split_once(":iam::")).and_then(|(_, id)| id.strip_suffix(":root"));
        id.unwrap_or(text).to_owned()
    };
    match principal {
        Value::Object(kinds) => kinds.iter().map(|(kind, ids)| (kind.clone(), set(ids, account))).collect::<Map<_, _>>().into(),
        everyone => Map::from_iter([("AWS".to_owned(), set(everyone, str::to_owned))]).into(),
    }
}

fn canonical_conditions(conditions: &Value) -> Value {
    let Some(operators) = conditions.as_object() else { return conditions.clone() };
    let keys = |keys: &Value| match keys {
        Value::Object(keys) => {
            keys.iter().map(|(key, values)| (key.to_lowercase(), set(values, str::to_owned))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    };
    operators.iter().map(|(operator, of)| (operator.clone(), keys(of))).collect::<Map<_, _>>().into()
}

/// One value or a list of them, as the set that both are.
fn set(value: &Value, form: impl Fn(&str) -> String) -> Value {
    let mut all: Vec<String> = texts(value).iter().map(|text| form(text)).collect();
    all.sort();
    all.dedup();
    all.into()
}

/// The values of an element; numbers and booleans are texts to IAM.
fn texts(value: &Value) -> Vec<String> {
    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => vec![text(one)],
    }
}
