//! Tags: the stack's own on what is created, and what becomes of things where AWS takes no tags at creation (F-49, F-51, B-1).

use std::time::Duration;

use hawser::{aws::Tags, billing, handler};
use hawser_account::{
    AccountFile, AccountState,
    file::{CreationFile, TagsAtCreation},
};
use hawser_sim::{InjectedFault, World};
use serde_json::{Map, Value, json};

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f";
const TIME_OUT: Duration = Duration::from_secs(120);
const KINDS: [(&str, &str); 3] = [
    ("CostAndUsageReport", "cur:TagResource"),
    ("CostAndUsageReport2", "bcm-data-exports:TagResource"),
    ("Focus", "bcm-data-exports:TagResource"),
];

fn account(tags: TagsAtCreation) -> AccountFile {
    AccountFile {
        stack_tags: Some([("CostCenter".to_owned(), "42".to_owned())].into()),
        creation: CreationFile { tags, ..CreationFile::default() },
        ..AccountFile::default()
    }
}

async fn deliver(world: &World, request: &str, kind: &str, physical_id: Option<&str>) -> Value {
    let properties = json!({ "Kind": kind, "Reuse": "Never", "NamePrefix": "acme" });
    let mut event = json!({
        "RequestType": request, "RequestId": request, "StackId": STACK, "ResourceType": billing::RESOURCE_TYPE,
        "ResponseURL": format!("https://cloudformation-custom-resource-response.s3.amazonaws.com/{request}"),
        "LogicalResourceId": "BillingExport", "ResourceProperties": properties,
    });
    if let Some(id) = physical_id {
        event["PhysicalResourceId"] = id.into();
    }
    if request == "Update" {
        event["OldResourceProperties"] = Value::Object(Map::new());
    }
    let now = world.now();
    handler::answer(&event, now + TIME_OUT, &world.ports()).await.unwrap();
    world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).pop().unwrap()
}

/// The tags of the one bucket, and of the one report or export.
fn tags(state: &AccountState) -> [Tags; 2] {
    let made = state.reports.values().map(|(_, tags)| tags).chain(state.exports.values().map(|known| &known.tags));
    let (buckets, made): (Vec<Tags>, Vec<Tags>) =
        (state.buckets.values().map(|bucket| bucket.tags.clone()).collect(), made.cloned().collect());
    let ([bucket], [made]) = (buckets.as_slice(), made.as_slice()) else { panic!("{state:?}") };
    [bucket.clone(), made.clone()]
}

fn assert_tagged(state: &AccountState, context: &str) {
    let [bucket, made] = tags(state);
    for tags in [&bucket, &made] {
        let value = |key: &str| tags.get(key).map(String::as_str).unwrap_or_default();
        assert_eq!((value("hawser:stack-id"), value("CostCenter")), (STACK, "42"), "{context}: {tags:?}");
    }
    assert!(made.contains_key("hawser:created-at"), "{context}: {made:?}");
}

/// F-49, F-51, B-1: whatever AWS says of tags at creation, all is created with them or tagged at once, and a second delivery of the
/// event changes nothing.
#[tokio::test(start_paused = true)]
async fn all_is_tagged_whatever_becomes_of_tags_at_creation() {
    for mode in TagsAtCreation::ALL {
        for (kind, _) in KINDS {
            let world = World::new(account(mode));
            let context = format!("{mode:?} {kind}");
            let response = deliver(&world, "Create", kind, None).await;
            assert_eq!((&response["Status"], &response["Data"]["Origin"]), (&json!("SUCCESS"), &json!("created")), "{context}");
            let state = world.account.state();
            assert_tagged(&state, &context);
            let again = deliver(&world, "Create", kind, None).await;
            assert_eq!((&again["Status"], &again["Data"]["Arn"]), (&json!("SUCCESS"), &response["Data"]["Arn"]), "{context}");
            assert_eq!(world.account.state(), state, "{context}");
        }
    }
}

/// F-49: a run that ends between creating and tagging leaves what the next one tags, or a Delete removes.
#[tokio::test(start_paused = true)]
async fn what_was_left_before_it_was_tagged_is_found() {
    for (kind, tagging) in KINDS {
        for call in ["s3:PutBucketTagging", tagging] {
            for fault in
                [InjectedFault::Unavailable, InjectedFault::Denied, InjectedFault::DeniedByPolicy, InjectedFault::AnswerLost]
            {
                for next in ["Create", "Delete"] {
                    let context = format!("{kind} {call} {fault:?} {next}");
                    let world = World::new(account(TagsAtCreation::Unsupported));
                    world.script.inject_all(call, fault);
                    let response = deliver(&world, "Create", kind, None).await;
                    // After a lost answer it looks again, and finds that all is done.
                    let done = fault == InjectedFault::AnswerLost && call == "bcm-data-exports:TagResource";
                    assert_eq!(response["Status"], if done { "SUCCESS" } else { "FAILED" }, "{context}");
                    world.script.clear_faults();
                    let id = response["PhysicalResourceId"].as_str().filter(|_| next == "Delete");
                    let response = deliver(&world, next, kind, id).await;
                    assert_eq!(response["Status"], "SUCCESS", "{context}: {response}");
                    let state = world.account.state();
                    if next == "Create" {
                        assert_tagged(&state, &context);
                    } else {
                        assert_eq!(state, AccountState::default(), "{context}");
                    }
                }
            }
        }
    }
}

/// F-51: the stack's own tags never keep an export from being created: where tagging is allowed only for ours, it goes with ours.
#[tokio::test(start_paused = true)]
async fn tags_of_the_stack_that_are_refused_are_left_out_and_reported() {
    for (kind, tagging) in KINDS {
        for (call, nth) in [("s3:PutBucketTagging", 0), (tagging, 0)] {
            let world = World::new(account(TagsAtCreation::DeniedByScp));
            world.script.inject(call, nth, InjectedFault::DeniedByPolicy);
            let response = deliver(&world, "Create", kind, None).await;
            let reason = response["Reason"].as_str().unwrap_or_default();
            assert_eq!(response["Status"], "SUCCESS", "{kind} {call}: {response}");
            assert!(reason.contains("the stack's own tags are not on"), "{kind} {call}: {reason}");
            let without = tags(&world.account.state()).iter().filter(|tags| !tags.contains_key("CostCenter")).count();
            assert_eq!(without, 1, "{kind} {call}");
            // The next Update tries again.
            let id = response["PhysicalResourceId"].as_str();
            let response = deliver(&world, "Update", kind, id).await;
            assert_eq!(response["Status"], "SUCCESS", "{kind} {call}: {response}");
            assert_tagged(&world.account.state(), kind);
        }
    }
}

/// F-51: an Update that changes nothing writes nothing, and the tags of a bucket that are somebody else's stay.
#[tokio::test(start_paused = true)]
async fn an_update_adds_what_is_missing_and_nothing_else() {
    for (kind, _) in KINDS {
        let world = World::new(account(TagsAtCreation::Accepted));
        let response = deliver(&world, "Create", kind, None).await;
        let id = response["PhysicalResourceId"].as_str();
        let before = world.account.state();
        deliver(&world, "Update", kind, id).await;
        assert_eq!(world.account.state(), before, "{kind}");
        assert!(!world.script.calls().iter().any(|call| call.contains("Tagging") && call.contains("Put")), "{kind}");
        world.account.change(|state| {
            let bucket = state.buckets.values_mut().next().unwrap();
            bucket.tags.remove("CostCenter");
            bucket.tags.insert("owner".to_owned(), "finance".to_owned());
        });
        deliver(&world, "Update", kind, id).await;
        assert_tagged(&world.account.state(), kind);
        assert_eq!(tags(&world.account.state())[0]["owner"], "finance");
    }
}
