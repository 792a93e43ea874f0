//! Where the account stands in its organization, and which report is chosen.

use hawser_dev::strict_proxy::scenario::{Fault, FaultAnswer, Scenario};
use serde_json::json;

use crate::world::Testbed;

/// F-23, F-24: a member is told whose bill it is on, and nothing is created that would hold only a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_account_connects_without_a_report_and_says_who_pays() {
    let world = Testbed::new("member").await;
    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(outputs["AccountRole"], "member");
    assert!(outputs["Decision"].contains("444455556666"), "{}", outputs["Decision"]);
    assert_eq!(outputs["ReportName"], "");
    assert_eq!(world.report_names().await, Vec::<String>::new());
    assert_eq!(world.buckets().await, Vec::<String>::new());
    let notice = &world.vendor.notices()[0];
    assert_eq!(notice.event["data"]["organization"]["managementAccountId"], "444455556666");
    world.deleted(&mut stack).await;
    world.assert_no_leaks();
}

/// F-22: only `AWSOrganizationsNotInUseException` means stand-alone; a stand-alone account has a report of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_account_gets_a_report() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(outputs["AccountRole"], "standalone");
    assert_eq!(world.report_names().await, [outputs["ReportName"].clone()]);
    world.deleted(&mut stack).await;
}

/// HW-B2, F-22: a denied look at the organization is not taken for "no organization": nothing is created on a guess.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_organization_creates_nothing() {
    let world = Testbed::new("organization-denied").await;
    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(outputs["AccountRole"], "unknown");
    assert_eq!(world.report_names().await, Vec::<String>::new());
    assert_eq!(world.buckets().await, Vec::<String>::new());
    world.deleted(&mut stack).await;
}

/// HW-B3, HW-B4, HW-B5, F-19: a suitable report of the customer's is used as it is, found on the second page, and never touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_suitable_report_is_reused_and_left_alone() {
    let world = Testbed::new("standalone").await;
    for number in 1..=5 {
        let daily = [("TimeUnit", json!("DAILY"))];
        world.customers_report(&format!("daily-{number}"), &format!("daily-{number}-111122223333"), &daily, true).await;
    }
    world.customers_report("theirs", "theirs-111122223333", &[], true).await;
    let before = format!("{:?}", world.reports().await);

    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(outputs["ReportName"], "theirs");
    assert_eq!(outputs["BucketName"], "theirs-111122223333");
    assert!(outputs["Decision"].contains("daily"), "{}", outputs["Decision"]);
    let notice = &world.vendor.notices()[0].event["data"]["billingExport"];
    assert_eq!((&notice["origin"], &notice["prefix"]), (&json!("reused"), &json!("billing")));

    world.deleted(&mut stack).await;
    assert_eq!(format!("{:?}", world.reports().await), before);
    assert_eq!(world.buckets().await.len(), 6);
    let writes = ["Put", "Create", "Delete", "Tag", "Modify"];
    let calls = world.emulator.front().calls().all();
    assert!(
        !calls.iter().any(|call| writes.iter().any(|write| call.operation.starts_with(write))),
        "something was changed: {:?}",
        calls.iter().map(crate::world::describe).collect::<Vec<_>>()
    );
}

/// F-21, F-19: a report whose bucket is gone is not relied on, and the decision says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_its_bucket_is_not_reused() {
    let world = Testbed::new("standalone").await;
    world.customers_report("theirs", "gone-111122223333", &[], false).await;
    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    assert_ne!(outputs["ReportName"], "theirs");
    assert!(outputs["Decision"].contains("`theirs`: its bucket does not exist"), "{}", outputs["Decision"]);
    world.deleted(&mut stack).await;
    assert_eq!(world.report_names().await, ["theirs"]);
}

/// A report whose delivery fails is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_report_is_not_reused() {
    let world = Testbed::new("broken-delivery").await;
    world.customers_report("theirs", "theirs-111122223333", &[], true).await;
    let mut stack = world.created(&[]).await;
    let decision = stack.outputs().await.unwrap()["Decision"].clone();
    assert!(decision.contains("ERROR_PERMISSIONS"), "{decision}");
    world.deleted(&mut stack).await;
}

/// At the limit the failure names the reports that are there.
#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_a_report_is_said_with_the_names() {
    let world = Testbed::new("five-reports-at-most").await;
    for number in 1..=5 {
        let daily = [("TimeUnit", json!("DAILY"))];
        world.customers_report(&format!("daily-{number}"), &format!("daily-{number}-111122223333"), &daily, true).await;
    }
    let (_, outcome) = world.create(&[]).await;
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
    let reason = outcome.first_failure();
    assert!(reason.contains("BILLING_REPORT_LIMIT") && reason.contains("daily-5"), "{reason}");
    assert_eq!(world.report_names().await.len(), 5);
    assert_eq!(world.buckets().await.len(), 5, "the rollback left a bucket");
    world.assert_no_leaks();
}

/// `BillingKind: None` connects without looking at billing at all.
#[tokio::test(flavor = "multi_thread")]
async fn none_means_no_billing_call() {
    let world = Testbed::new("management").await;
    let mut stack = world.created(&[("BillingKind", "None")]).await;
    assert_eq!(stack.outputs().await.unwrap()["AccountRole"], "management");
    let calls = world.emulator.front().calls().all();
    assert!(calls.iter().all(|call| ["organizations", "cloudformation", "sts"].contains(&call.service.as_str())), "{calls:?}");
    world.deleted(&mut stack).await;
}

/// HW-B6: AWS is asked again when it throttles or fails for a moment (F-44).
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_call_is_tried_again() {
    let world = Testbed::new("bad-moment").await;
    let mut stack = world.created(&[]).await;
    let calls = world.emulator.front().calls().all();
    let errors: Vec<&str> = calls.iter().filter_map(|call| call.error.as_deref()).collect();
    for expected in ["ThrottlingException", "SlowDown", "InternalErrorException"] {
        assert!(errors.contains(&expected), "{errors:?}");
    }
    world.deleted(&mut stack).await;
}

/// HW-A3, F-3: when AWS does not answer in time, the stack gets an answer all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_answered_before_the_deadline() {
    let world = Testbed::with_little_time().await;
    let hang =
        Fault { service: "s3".into(), operation: "CreateBucket".into(), nth: None, answer: FaultAnswer::LatencyMs(60_000) };
    world.emulator.front().set_scenario(Scenario { faults: vec![hang], ..Scenario::default() });
    let (_, outcome) = world.create(&[]).await;
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
    let reason = outcome.first_failure();
    assert!(reason.contains("DEADLINE_EXCEEDED") || reason.contains("AWS_UNAVAILABLE"), "{reason}");
    assert!(outcome.took.as_secs() < 60, "{:?}", outcome.took);
}
