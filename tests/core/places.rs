//! A place that the customer brings, looked at when the stack is created (F-48).

use std::time::Duration;

use hawser::{billing, handler};
use hawser_account::{AccountFile, buckets::Object};
use hawser_sim::{InjectedFault, World};
use serde_json::{Value, json};

const TIME_OUT: Duration = Duration::from_secs(120);

const REPORT: [&str; 2] =
    ["billing/finance/20261101-20261201/finance-Manifest.json", "billing/finance/20261101-20261201/f-1.csv.gz"];
const EXPORT: [&str; 2] =
    ["exports/n/metadata/billing_period=2026-11/n-Manifest.json", "exports/n/data/billing_period=2026-11/n-00001.snappy.parquet"];
const OTHER: [&str; 1] = ["log/2026/11/22.gz"];

fn world(region: &str, keys: &[&str]) -> World {
    let account: AccountFile = serde_json::from_value(json!({ "buckets": [{ "name": "b", "region": region }] })).unwrap();
    let world = World::new(account);
    let now = world.now();
    world.account.change(|state| {
        let objects = &mut state.buckets.get_mut("b").unwrap().objects;
        objects.extend(keys.iter().map(|key| ((*key).to_owned(), Object::holding("", now))));
    });
    world
}

async fn create(world: &World, prefix: &str) -> Value {
    let event = json!({
        "RequestType": "Create", "RequestId": "r", "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70",
        "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/r",
        "ResourceType": billing::RESOURCE_TYPE, "LogicalResourceId": "BillingExport",
        "ResourceProperties": { "NamePrefix": "acme", "ExistingBucket": "b", "ExistingPrefix": prefix },
    });
    handler::answer(&event, world.now() + TIME_OUT, &world.ports()).await.unwrap();
    world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).pop().unwrap()
}

/// F-48: what is not billing data is said at once, and what can never be is refused.
#[tokio::test(start_paused = true)]
async fn a_place_without_billing_data_is_reported_at_creation() {
    for (keys, prefix, says) in [
        (&REPORT[..], "billing/finance", ""),
        (&REPORT, "billing/", ""),
        (&REPORT, "", ""),
        (&EXPORT, "exports/n", ""),
        (&EXPORT, "exports", ""),
        (&EXPORT, "", ""),
        (&[], "", "BILLING_DATA_NOT_FOUND"),
        (&[], "billing/finance", "BILLING_DATA_NOT_FOUND"),
        (&OTHER, "", "without ExistingPrefix, the vendor may read everything else that it contains"),
        (&OTHER, "log", "BILLING_DATA_NOT_FOUND"),
        (&REPORT, "billing/other", "contains no manifest of a report or export below `billing/other/`"),
        (&REPORT, "billing/fin", "`billing/finance/` begins with it"),
        // Files that no manifest names are no delivery.
        (&EXPORT[1..], "exports/n", "BILLING_DATA_NOT_FOUND"),
        (&EXPORT, "exports/n/data", "BILLING_DATA_NOT_FOUND"),
        // Never right: next month's data are elsewhere.
        (&REPORT, REPORT[0], "BILLING_EXPORT_UNUSABLE: `billing/finance/20261101-20261201/finance-Manifest.json` is an object"),
        (
            &REPORT,
            "billing/finance/20261101-20261201",
            "BILLING_EXPORT_UNUSABLE: `billing/finance/20261101-20261201` in bucket `b` is a part of an export; all of its data are below `billing/finance`",
        ),
        (&EXPORT, "exports/n/metadata", "all of its data are below `exports/n`"),
        (&["a/20261101-20261201/8f3c/f-1.csv.gz"], "a/20261101-20261201/8f3c", "all of its data are below `a`"),
        // A customer's own folder may look like a period.
        (&["20260101-20261231/n/20261101-20261201/n-Manifest.json"], "20260101-20261231", ""),
        (
            &["metadata/BILLING_PERIOD=2026-11/n-Manifest.json"],
            "metadata",
            "all of its data are below the bucket without a prefix",
        ),
        // A customer's own folder may be called so, too.
        (&["billing/metadata/n/metadata/BILLING_PERIOD=2026-11/n-Manifest.json"], "billing/metadata", ""),
        (&REPORT, "/", "PROPERTY_INVALID"),
        (&REPORT, "//", "PROPERTY_INVALID"),
        (&REPORT, "s3://b/billing/finance", "PROPERTY_INVALID"),
        (&REPORT, "arn:aws:s3:::b/billing", "PROPERTY_INVALID"),
    ] {
        // The bucket's own Region answers, also one that has to be enabled.
        for region in ["us-east-1", "eu-west-1", "af-south-1"] {
            let world = world(region, keys);
            let response = create(&world, prefix).await;
            let reason = response["Reason"].as_str().unwrap_or_default();
            let context = format!("{keys:?} below `{prefix}` in {region}: {response}");
            assert!(reason.contains(says) && reason.is_empty() == says.is_empty(), "{context}");
            let refused = ["UNUSABLE", "PROPERTY", "all of its"].iter().any(|word| says.contains(word));
            assert_eq!(response["Status"], if refused { "FAILED" } else { "SUCCESS" }, "{context}");
        }
    }
}

/// F-45: the look only adds a remark, so that nothing that happens to it fails a stack.
#[tokio::test(start_paused = true)]
async fn no_fault_of_the_look_fails_a_stack() {
    for fault in [
        InjectedFault::Denied,
        InjectedFault::DeniedByPolicy,
        InjectedFault::Refused,
        InjectedFault::Throttled,
        InjectedFault::Unavailable,
        InjectedFault::HalfAnswer,
        InjectedFault::Silent,
    ] {
        let world = world("eu-west-1", &REPORT);
        let began = world.now();
        world.script.inject_all("s3:ListBucket", fault);
        let response = create(&world, "billing/finance").await;
        assert_eq!(response["Status"], "SUCCESS", "{fault:?}: {response}");
        assert!(response["Reason"].as_str().is_some_and(|reason| reason.contains("bucket `b`")), "{fault:?}: {response}");
        assert!(world.now() - began < time::Duration::seconds(60), "{fault:?} took {}", world.now() - began);
    }
}
