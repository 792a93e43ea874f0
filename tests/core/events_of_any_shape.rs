//! Any JSON at all is answered once if it says where to, is refused clearly if not, and never panics (HW-A1, HW-A2,
//! HW-A7, F-3).

use std::time::Duration;

use hawser::handler::{self, Unanswered};
use hawser_account::AccountFile;
use hawser_sim::World;
use proptest::prelude::*;
use serde_json::{Value, json};

const URL: &str = "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/x?X-Amz-Signature=y";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        prop::sample::select(
            &["Create", "Update", "Delete", "Custom::BillingExport", "Custom::AccountConnection", "", "true"][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(FIELDS).prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const FIELDS: &[&str] = &[
    "RequestType",
    "RequestId",
    "StackId",
    "ResourceType",
    "LogicalResourceId",
    "PhysicalResourceId",
    "ResourceProperties",
    "OldResourceProperties",
    "Kind",
    "NamePrefix",
    "Format",
    "NoticeUrl",
    "LaunchToken",
    "Packs",
    "Regions",
    "other",
];

/// A good event with some fields replaced by anything.
fn mutated(replaced: Vec<(&'static str, Value)>) -> Value {
    let mut event = json!({
        "RequestType": "Create", "RequestId": "r", "ResponseURL": URL, "LogicalResourceId": "BillingExport",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70", "ResourceType": "Custom::BillingExport",
        "ResourceProperties": { "Kind": "CostAndUsageReport", "NamePrefix": "acme" },
    });
    for (field, value) in replaced {
        event[field] = value;
    }
    event
}

fn answered(event: &Value) -> Result<Value, Unanswered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let ports = world.ports();
        let deadline = ports.clock.now() + Duration::from_secs(120);
        handler::answer(event, deadline, &ports).await?;
        let mut responses = world.mailbox.responses(URL);
        assert_eq!(responses.len(), 1, "{event}");
        Ok(responses.remove(0))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    // F-3.
    #[test]
    fn a_good_event_with_anything_in_some_fields_is_answered(
        replaced in prop::collection::vec((prop::sample::select(FIELDS), any_json()), 1..4)
    ) {
        let response = answered(&mutated(replaced)).unwrap();
        prop_assert!(["SUCCESS", "FAILED"].contains(&response["Status"].as_str().unwrap()));
        prop_assert!(!response["PhysicalResourceId"].as_str().unwrap().is_empty());
    }

    #[test]
    fn anything_at_all_is_answered_or_refused_for_want_of_an_address(event in any_json()) {
        prop_assert!(matches!(answered(&event), Err(Unanswered::Unanswerable(_))), "{}", event);
    }
}

#[test]
fn a_good_event_succeeds() {
    assert_eq!(answered(&mutated(Vec::new())).unwrap()["Status"], "SUCCESS");
}

#[test]
fn an_invalid_deadline_is_ignored() {
    // Some local runtimes send a duration in place of a time: 1970 must not mean "no time left".
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        handler::answer(&mutated(Vec::new()), time::OffsetDateTime::UNIX_EPOCH, &world.ports()).await.unwrap();
        assert_eq!(world.mailbox.responses(URL)[0]["Status"], "SUCCESS");
    });
}
