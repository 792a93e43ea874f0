//! Events that CloudFormation sends more than once, late, or for something that is not ours. The function is invoked with them
//! through the emulator's Lambda API; its answers go to response URLs at the front.

use std::{collections::BTreeSet, time::Duration};

use hawser_dev::{stack::Stack, strict_proxy::calls::Upload};
use serde_json::{Value, json};

use crate::world::Testbed;

/// Two hours, as CloudFormation's own URLs.
const EXPIRES: Duration = Duration::from_secs(7200);

/// A request of the stack's `BillingExport`, as CloudFormation would send it.
pub(crate) fn event(world: &Testbed, stack: &Stack, request: &str, kind: &str, physical_id: Option<&str>) -> Value {
    let mut event = json!({
        "RequestType": kind,
        "RequestId": request,
        "StackId": stack.id(),
        "ResponseURL": world.emulator.front().response_url(stack.id(), "BillingExport", request, EXPIRES).unwrap(),
        "ResourceType": "Custom::BillingExport",
        "LogicalResourceId": "BillingExport",
        "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:handler",
        "ResourceProperties": {
            "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:handler", "ServiceTimeout": "600",
            "Kind": "CostAndUsageReport", "Format": "Parquet", "Reuse": "WhenSuitable", "Retention": "Retain",
            "NamePrefix": "hawser", "RequestBackfill": "false"},
    });
    if let Some(id) = physical_id {
        event["PhysicalResourceId"] = json!(id);
    }
    event
}

/// Runs the stack's function with an event, and returns what came to the response URL since.
pub(crate) async fn invoke(world: &Testbed, stack: &Stack, event: &Value) -> Vec<Upload> {
    let before = world.emulator.front().uploads().len();
    let function = &stack.resources().await.unwrap()["Handler"];
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (status, body) = world.customer().raw("lambda", "POST", &path, &[], event.to_string()).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    world.emulator.front().uploads().split_off(before)
}

fn status(uploads: &[Upload]) -> &str {
    assert_eq!(uploads.len(), 1, "not one answer: {uploads:?}");
    assert_eq!(uploads[0].problem, None);
    uploads[0].body["Status"].as_str().unwrap()
}

/// HW-L5: Lambda may deliver an event twice: the same answer, the same account.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_twice_leaves_the_same_account() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let reports = format!("{:?}", world.reports().await);
    let event = event(&world, &stack, "duplicate", "Create", None);
    let first = invoke(&world, &stack, &event).await;
    let second = invoke(&world, &stack, &event).await;
    assert_eq!(status(&first), "SUCCESS");
    assert_eq!(first[0].body, second[0].body);
    let id = &stack.resources().await.unwrap()["BillingExport"];
    assert_eq!(first[0].body["PhysicalResourceId"], **id);
    assert_eq!(format!("{:?}", world.reports().await), reports);
    world.deleted(&mut stack).await;
    world.assert_no_leaks();
}

/// HW-L6, F-34: Delete of what was never made, of an id that CloudFormation made up while the stack has the resource under
/// another, and of another stack's: done, and nothing is removed.
#[tokio::test(flavor = "multi_thread")]
async fn delete_of_what_is_not_ours_is_done_at_once() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let own = stack.resources().await.unwrap()["BillingExport"].clone();
    let last = own.chars().last().unwrap();
    let never_made = format!("{}{}", own.trim_end_matches(last), if last == '0' { '1' } else { '0' });
    let reports = world.report_names().await;
    for id in [never_made.as_str(), "hawser-BillingExport-1A2B3C4D5E6F7", "hawser/someone/else"] {
        let mark = world.emulator.front().calls().mark();
        let uploads = invoke(&world, &stack, &event(&world, &stack, "delete", "Delete", Some(id))).await;
        assert_eq!(status(&uploads), "SUCCESS", "{id}");
        assert_eq!(uploads[0].body["PhysicalResourceId"], id);
        let calls = world.emulator.front().calls().since(mark);
        assert!(!calls.iter().any(|call| call.operation.starts_with("Delete")), "{id}: {calls:?}");
        // An id of ours is known by recomputing it; one that CloudFormation made up is worth a question.
        let services: BTreeSet<&str> = calls.iter().map(|call| call.service.as_str()).collect();
        let expected = (!id.contains('/')).then_some("cloudformation");
        assert_eq!(services, expected.into_iter().collect(), "{id}");
    }
    assert_eq!(world.report_names().await, reports);
    world.deleted(&mut stack).await;
}

/// HW-O2, F-1: a mark of another stack protects a report that has our name.
#[tokio::test(flavor = "multi_thread")]
async fn delete_keeps_a_report_without_our_tags() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let name = world.report_names().await.remove(0);
    let target = "AWSOrigamiServiceGatewayService.TagResource";
    let tags = json!({"ReportName": name, "Tags": [{"Key": "hawser:stack-id", "Value": "arn:aws:cloudformation:another"}]});
    let (status, _) = world.billing().json("cur", target, &tags).await.unwrap();
    assert_eq!(status, 200);
    world.deleted(&mut stack).await;
    assert_eq!(world.report_names().await, [name]);
}

/// HW-A1: an event that names a property we do not know is answered, and nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn bad_properties_are_answered() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let mut event = event(&world, &stack, "typo", "Create", None);
    event["ResourceProperties"]["Retentoin"] = json!("Retain");
    let mark = world.emulator.front().calls().mark();
    let uploads = invoke(&world, &stack, &event).await;
    assert_eq!(status(&uploads), "FAILED");
    assert!(uploads[0].body["Reason"].as_str().unwrap().contains("Retentoin"));
    assert_eq!(world.emulator.front().calls().since(mark).len(), 0);
    world.deleted(&mut stack).await;
}

/// HW-A5: an expired response URL: the upload is refused, and Lambda is told that the event was not answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_undelivered_answer_is_an_error_to_lambda() {
    let world = Testbed::with_little_time().await;
    let mut stack = world.created(&[]).await;
    let mut event = event(&world, &stack, "late", "Delete", Some("someone/else"));
    event["ResponseURL"] =
        json!(world.emulator.front().response_url(stack.id(), "BillingExport", "late", Duration::ZERO).unwrap());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let function = &stack.resources().await.unwrap()["Handler"];
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let (_, body) = world.customer().raw("lambda", "POST", &path, &[], event.to_string()).await.unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(answer["errorMessage"].is_string(), "{answer}");
    let uploads = world.emulator.front().uploads();
    let refused: Vec<_> = uploads.iter().filter(|upload| upload.request_id == "late").collect();
    assert!(!refused.is_empty() && refused.iter().all(|upload| upload.status == 403), "{refused:?}");
    world.deleted(&mut stack).await;
    world.assert_no_leaks();
}

/// HW-A2, HW-A4: each run of the function answers once: as many uploads as requests, all of them good.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_answer() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    world.updated(&mut stack, &[("RequestBackfill", "true")]).await;
    world.deleted(&mut stack).await;
    let uploads = world.emulator.front().uploads();
    let mut requests: Vec<&str> = uploads.iter().map(|upload| upload.request_id.as_str()).collect();
    assert!(uploads.iter().all(|upload| upload.status == 200 && upload.problem.is_none()), "{uploads:?}");
    requests.sort_unstable();
    requests.dedup();
    assert_eq!(requests.len(), uploads.len());
    assert_eq!(requests.len(), 6, "two Creates, two Updates, two Deletes");
}
