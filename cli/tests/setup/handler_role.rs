//! What AWS may ask the handler's role for when a Data Export is created, each way that its documentation leaves open (B-1).

use std::time::Duration;

use hawser::{billing, handler};
use hawser_account::{
    AccountFile,
    file::{CreationFile, TagsAtCreation},
};
use hawser_cli::template::Template;
use hawser_sim::World;
use serde_json::{Value, json};

use crate::{context, parameters};

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70";
const EXPORTS: &str = "arn:aws:bcm-data-exports:us-east-1:111122223333";

/// The statements of the handler's role, resolved for a stack that exports data.
fn statements() -> Vec<Value> {
    let with = [("BillingKind", "Focus"), ("NamePrefix", "acme")];
    let context = hawser_cli::template::ResolveContext {
        parameters: parameters(&[&crate::VENDOR[..], &with].concat()),
        partial: true,
        ..context(&[])
    };
    let resolved = Template::ours().resolve(&context).unwrap();
    let policies = resolved.resources()["HandlerRole"]["Properties"]["Policies"].as_array().unwrap().clone();
    policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone()).collect()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().map_or_else(|| value.as_str().into_iter().collect(), |all| all.iter().filter_map(Value::as_str).collect())
}

/// IAM's wildcards: `*` is any text, `${*}` an asterisk (IAM User Guide, "IAM policy elements: Variables and tags").
fn matches(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("${*}") {
        return text.strip_prefix('*').is_some_and(|text| matches(rest, text));
    }
    match pattern.split_at_checked(1) {
        None => text.is_empty(),
        Some(("*", rest)) => (0..=text.len()).any(|from| matches(rest, &text[from..])),
        Some((one, rest)) => text.strip_prefix(one).is_some_and(|text| matches(rest, text)),
    }
}

fn is_allowed(statements: &[Value], action: &str, resource: &str) -> bool {
    statements.iter().any(|statement| {
        list(&statement["Action"]).contains(&action) && list(&statement["Resource"]).iter().any(|arn| matches(arn, resource))
    })
}

/// B-1: every way of asking ends in an export with its tags, by a grant or by a second call without tags; and none of the grants
/// reaches an export of the customer's.
#[tokio::test(start_paused = true)]
async fn an_export_is_created_and_tagged_whatever_aws_asks_for() {
    let statements = statements();
    let allowed = |action: &str, name: &str| is_allowed(&statements, &format!("bcm-data-exports:{action}"), name);
    let named = format!("{EXPORTS}:export/acme-0123456789abcdef-5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f");
    let unnamed = format!("{EXPORTS}:export/*");
    let table = format!("{EXPORTS}:table/FOCUS_1_2_AWS");
    let view = "arn:aws:billing::111122223333:billingview/primary".to_owned();
    let theirs = format!("{EXPORTS}:export/finance-5e0c1b70");
    for creation in [&named, &unnamed, &table, &view] {
        assert!(allowed("CreateExport", creation), "{creation}");
    }
    for action in ["CreateExport", "UpdateExport", "DeleteExport", "TagResource"] {
        assert!(!allowed(action, &theirs), "{action}");
    }
    // What exists has its name.
    assert!(allowed("TagResource", &named));
    let mut modes = Vec::new();
    for asked in [&named, &unnamed, &table, &view] {
        let mode = if allowed("TagResource", asked) { TagsAtCreation::Accepted } else { TagsAtCreation::Denied };
        modes.push(mode);
        let creation = CreationFile { tags: mode, ..CreationFile::default() };
        let world = World::new(AccountFile { creation, ..AccountFile::default() });
        let event = json!({
            "RequestType": "Create", "RequestId": "r", "StackId": STACK, "ResourceType": billing::RESOURCE_TYPE,
            "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/r",
            "LogicalResourceId": "BillingExport", "ResourceProperties": { "Kind": "Focus", "NamePrefix": "acme" },
        });
        handler::answer(&event, world.now() + Duration::from_secs(120), &world.ports()).await.unwrap();
        let response = world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).pop().unwrap();
        assert_eq!(response["Status"], "SUCCESS", "{asked}: {response}");
        let state = world.account.state();
        let tags: Vec<_> = state.exports.values().map(|known| known.tags.get("hawser:stack-id").map(String::as_str)).collect();
        assert_eq!(tags, [Some(STACK)], "{asked}");
    }
    // Both ways are taken here.
    assert!(modes.contains(&TagsAtCreation::Accepted) && modes.contains(&TagsAtCreation::Denied));
}
