//! Any text as a bucket's policy: what is not ours stays, in its order, or nothing is written (HW-O3, HW-L5; F-15).

use hawser::{
    billing::policy::{POLICY_BYTES_MAX, PolicyError, merge, was_set_up},
    names::{AccountId, BucketName, Partition, Region},
};
use serde_json::{Map, Value};

/// A statement is ours by its id, and by nothing else.
pub(crate) const OURS: [&str; 3] = ["HawserBillingCheck", "HawserBillingWrite", "HawserTlsOnly"];

/// The policy merged with, for one bucket of one account.
pub(crate) fn merged(existing: Option<&str>) -> Result<Option<String>, PolicyError> {
    let bucket: BucketName = "acme-111122223333-5a3786aa0a9f623d".parse().expect("a bucket name");
    let account: AccountId = "111122223333".parse().expect("an account id");
    let region: Region = "us-east-1".parse().expect("a Region");
    merge(existing, &bucket, Partition::Aws, &account, &region)
}

/// The bytes of a policy through the merge.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let outcome = merged(Some(text));
    let wanted = statements(&parsed(&merged(None).expect("an empty bucket takes our policy").expect("it has none of ours")));
    let readable = serde_json::from_str::<Map<String, Value>>(text).ok();
    let readable = readable.filter(|p| matches!(p.get("Statement"), None | Some(Value::Array(_) | Value::Object(_))));
    let Some(before) = readable else {
        let refused = matches!(outcome, Err(PolicyError::Unreadable { .. }));
        assert!(refused, "something was made of what is no policy: {outcome:?}");
        return;
    };
    let (ours_before, theirs): (Vec<Value>, Vec<Value>) = statements(&before).into_iter().partition(is_ours);
    // The policy as it should become, put together without the code that is judged.
    let mut expected = before.clone();
    expected.insert("Statement".to_owned(), theirs.iter().chain(&wanted).cloned().collect());
    let bytes = Value::Object(expected.clone()).to_string().len();
    match outcome {
        Ok(None) => {
            let (before, wanted) = (meaning(&ours_before.into()), meaning(&wanted.into()));
            assert_eq!(before, wanted, "nothing is written though ours are not as they should be");
        }
        Ok(Some(after)) => {
            assert_ne!(ours_before, wanted, "a policy that is right is written again");
            assert_eq!(parsed(&after), expected, "something else than our statements changed");
            assert!(after.len() <= POLICY_BYTES_MAX, "{} bytes", after.len());
            assert_eq!(merged(Some(&after)), Ok(None), "merging twice is not merging once");
            assert!(was_set_up(Some(&after)));
        }
        Err(PolicyError::TooLarge { bytes: said, .. }) => {
            assert_ne!(ours_before, wanted);
            assert_eq!(said, bytes);
            assert!(bytes > POLICY_BYTES_MAX, "{bytes} bytes are refused");
        }
        Err(why @ PolicyError::Unreadable { .. }) => panic!("a policy that can be read is refused: {why}"),
    }
}

/// What a value says, written without the code that is judged: a list is a set, a list of one its element, a boolean its text, a
/// name of an action or a condition key has no letter case, and `*` is everybody.
fn meaning(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut texts: Vec<String> = list.iter().map(|one| meaning(one).to_string()).collect();
            texts.sort();
            texts.dedup();
            if texts.len() == 1 { serde_json::from_str(&texts[0]).expect("it was JSON") } else { texts.into() }
        }
        Value::Object(map) if map.len() == 1 && map.contains_key("AWS") && meaning(&map["AWS"]) == "*" => "*".into(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.to_lowercase(), meaning(value))).collect::<Map<_, _>>().into(),
        Value::String(text) => text.to_lowercase().into(),
        scalar => scalar.to_string().into(),
    }
}

/// A policy's statements, whether it has a list of them or a single one.
pub(crate) fn statements(policy: &Map<String, Value>) -> Vec<Value> {
    match policy.get("Statement") {
        None => Vec::new(),
        Some(Value::Array(statements)) => statements.clone(),
        Some(statement) => vec![statement.clone()],
    }
}

/// A policy's text as a map.
pub(crate) fn parsed(policy: &str) -> Map<String, Value> {
    serde_json::from_str(policy).expect("a merged policy is JSON")
}

/// Whether a statement is ours.
pub(crate) fn is_ours(statement: &Value) -> bool {
    statement["Sid"].as_str().is_some_and(|sid| OURS.contains(&sid))
}
