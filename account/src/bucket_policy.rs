//! What S3 demands of a bucket policy.

use hawser::aws::FaultKind;
use serde_json::Value;

use crate::refusal::Refusal;

/// A bucket policy may have 20 KB.
const POLICY_BYTES_MAX: usize = 20 * 1024;

/// What S3 says to a bucket policy that is no policy for this bucket.
pub fn malformed(policy: &str, bucket: &str) -> Option<Refusal> {
    let malformed = |message: &str| Some(Refusal::new(FaultKind::Refused, "MalformedPolicy", message));
    if policy.len() > POLICY_BYTES_MAX {
        return malformed("Policy exceeds the maximum allowed document size.");
    }
    let Ok(Value::Object(document)) = serde_json::from_str(policy) else {
        return malformed("Policies must be valid JSON and the first byte must be '{'");
    };
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => list.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => return malformed("Missing required field Statement"),
    };
    if !matches!(document.get("Version").and_then(Value::as_str), None | Some("2012-10-17" | "2008-10-17")) {
        return malformed("The policy must contain a valid version string");
    }
    let mut ids: Vec<&str> = statements.iter().filter_map(|statement| statement["Sid"].as_str()).collect();
    let named = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != named {
        return malformed("Statement IDs (SID) in a single policy must be unique.");
    }
    for statement in &statements {
        for field in ["Effect", "Principal", "Action", "Resource"] {
            if statement.get(field).is_none() && statement.get(format!("Not{field}")).is_none() {
                return malformed(&format!("Missing required field {field}"));
            }
        }
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return malformed("Invalid effect");
        }
        let own = |resource: &str| {
            let mut parts = resource.splitn(6, ':');
            let arn = parts.next() == Some("arn") && parts.next().is_some() && parts.next() == Some("s3");
            let place = resource.splitn(6, ':').nth(5).unwrap_or_default();
            arn && (place == bucket || place.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('/')))
        };
        let resources = &statement["Resource"];
        let one = resources.as_str().into_iter();
        let many = resources.as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(foreign) = one.chain(many).find(|resource| !own(resource)) {
            return malformed(&format!("Policy has invalid resource `{foreign}`"));
        }
    }
    None
}

/// Whether two policies say the same: the order of keys, lists and statements has no meaning, and a list of one is its element.
pub fn means_the_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str(text).ok().map(|document: Value| normal(document).to_string());
    read(one).is_some_and(|one| read(other) == Some(one))
}

fn normal(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, normal(value))).collect(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            if items.len() == 1 { items.remove(0) } else { Value::Array(items) }
        }
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_must_be_one_for_this_bucket() {
        let statement = json!({"Sid": "A", "Effect": "Allow", "Principal": {"Service": "x"}, "Action": "s3:PutObject",
                               "Resource": "arn:aws:s3:::b/*"});
        let with = |name: &str, value: Value| {
            let mut changed = statement.clone();
            changed[name] = value;
            json!({"Version": "2012-10-17", "Statement": [changed]}).to_string()
        };
        assert_eq!(malformed(&with("Sid", json!("A")), "b"), None);
        let message = |policy: &str| malformed(policy, "b").unwrap().message;
        assert!(message("{nope").contains("valid JSON"));
        assert!(message(&with("Resource", json!(["arn:aws:s3:::b", "arn:aws:s3:::bc/*"]))).contains("bc/*"));
        assert!(message(&with("Effect", json!("Maybe"))).contains("effect"));
        let mut headless = statement.clone();
        headless.as_object_mut().unwrap().remove("Principal");
        assert!(message(&json!({"Statement": [headless]}).to_string()).contains("Principal"));
        let twice = json!({"Statement": [statement, statement]}).to_string();
        assert!(message(&twice).contains("unique"));
        assert!(message(&"x".repeat(POLICY_BYTES_MAX + 1)).contains("size"));
    }
}
