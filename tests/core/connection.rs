//! The notice as the vendor gets it, and what each of the vendor's answers does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use hawser::{
    aws::{StackDescription, StackResource},
    connection::{self, VendorAnswer, notice::Type},
    error::Code,
    handler,
    names::Partition,
    ports::{NoResponse, Ports, Vendor, VendorResponse},
    request::Request,
};
use hawser_account::AccountFile;
use hawser_sim::{InjectedFault, World};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::support::read;

const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
const RESPONSE_URL: &str =
    "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/x?X-Amz-Signature=y";

fn event(request_type: &str) -> Value {
    json!({
        "RequestType": request_type, "RequestId": "r-1", "ResponseURL": RESPONSE_URL, "LogicalResourceId": "Connection",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70", "ResourceType": "Custom::AccountConnection",
        "PhysicalResourceId": "hawser/account-connection/a", "ResourceProperties": {
            "NoticeUrl": "https://vendor.example:8443/notices", "LaunchToken": TOKEN, "ConnectionName": "Zürich \"main\"",
            "RoleArn": "arn:aws:iam::111122223333:role/vendor", "ExternalId": "ext-1", "Regions": ["eu-west-1", ""],
            "Packs": { "billing": "ReadOnly", "ebs": "None" }, "TemplateVersion": "1",
            "Organization": { "AccountRole": "standalone" }, "Billing": { "Kind": "None", "Origin": "none" },
        },
    })
}

/// A vendor that answers from a list, with the notice's id where an answer says `{id}`, and keeps what it got.
struct Listed {
    answers: Mutex<Vec<Result<VendorResponse, NoResponse>>>,
    got: Mutex<Vec<(BTreeMap<&'static str, String>, String)>>,
}

#[async_trait]
impl Vendor for Listed {
    async fn post(
        &self,
        _: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        _: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        self.got.lock().unwrap().push((headers.clone(), body.to_owned()));
        let mut answers = self.answers.lock().unwrap();
        let mut answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }?;
        answer.body = String::from_utf8(answer.body).unwrap().replace("{id}", &headers["webhook-id"]).into_bytes();
        Ok(answer)
    }
}

fn status(status: u16, body: &str) -> Result<VendorResponse, NoResponse> {
    Ok(VendorResponse { status, retry_after: None, body: body.as_bytes().to_vec() })
}

/// The vendor's agreement.
fn agrees() -> Result<VendorResponse, NoResponse> {
    status(200, r#"{"noticeId":"{id}"}"#)
}

/// What came of one event: the response, the seconds it took, and what the vendor got.
struct Outcome {
    response: Value,
    seconds: i64,
    got: Vec<(BTreeMap<&'static str, String>, String)>,
}

fn answered(event: &Value, answers: Vec<Result<VendorResponse, NoResponse>>) -> Outcome {
    answered_within(Duration::from_secs(120), event, answers)
}

fn answered_within(time: Duration, event: &Value, answers: Vec<Result<VendorResponse, NoResponse>>) -> Outcome {
    answered_in(|_| {}, time, event, answers)
}

fn answered_in(
    prepare: impl FnOnce(&mut World),
    time: Duration,
    event: &Value,
    answers: Vec<Result<VendorResponse, NoResponse>>,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(AccountFile::default());
        prepare(&mut world);
        let vendor = Listed { answers: Mutex::new(answers), got: Mutex::default() };
        let ports = Ports { vendor: &vendor, ..world.ports() };
        let started = ports.clock.now();
        handler::answer(event, started + time, &ports).await.unwrap();
        let seconds = (ports.clock.now() - started).whole_seconds();
        let response = world.mailbox.responses(RESPONSE_URL).remove(0);
        Outcome { response, seconds, got: vendor.got.into_inner().unwrap() }
    })
}

/// The id this stack's connection has, as a Delete carries it.
fn own_id() -> String {
    let Request::Connection(origin, _) = Request::parse(&event("Create")).unwrap() else { unreachable!() };
    connection::physical_id(&origin)
}

fn delete() -> Value {
    let mut delete = event("Delete");
    delete["PhysicalResourceId"] = own_id().into();
    delete
}

#[test]
fn the_notice_is_signed_and_its_proof_vouches_for_its_data() {
    // HW-C2, HW-C3.
    let outcome = answered(&event("Create"), vec![status(200, r#"{"noticeId":"{id}","connectionId":"c-9","message":"hello"}"#)]);
    assert_eq!(outcome.response["Data"]["ConnectionId"], "c-9");
    assert_eq!(outcome.response["Data"]["Message"], "hello");
    let (headers, body) = &outcome.got[0];
    let timestamp: i64 = headers["webhook-timestamp"].parse().unwrap();
    let key = standardwebhooks::Webhook::new(TOKEN).unwrap();
    assert_eq!(headers["webhook-signature"], key.sign(&headers["webhook-id"], timestamp, body.as_bytes()).unwrap());
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    let notice: Value = serde_json::from_str(body).unwrap();
    assert_eq!(notice["id"], headers["webhook-id"].as_str());
    assert_eq!(notice["id"], outcome.response["Data"]["NoticeId"]);
    assert_eq!(notice["type"], "hawser.connection.established");
    assert_eq!(notice["time"], "2026-11-22T10:00:00Z");
    let (mut event, data) = (notice.clone(), notice["data"].clone());
    let proofs = event["data"].as_object_mut().unwrap().remove("proofs").unwrap();
    assert_eq!((&notice["dataschema"], &data["proofKinds"]), (&json!("urn:hawser:notice:1"), &json!(["request"])));
    assert_eq!((proofs.as_array().unwrap().len(), &proofs[0]["kind"]), (1, &json!("request")));
    assert_eq!(proofs[0]["headers"]["x-hawser-audience"], "vendor.example:8443");
    // The canonical form of maps of ASCII strings is sorted, compact JSON: what serde_json's own map gives.
    let digest = hex::encode(Sha256::digest(event.to_string()));
    assert_eq!(proofs[0]["headers"]["x-hawser-event-sha256"], digest.as_str());
    assert_eq!((&data["resource"], &data["way"]), (&json!(own_id()), &json!("stack")));
    assert_eq!(data["packs"], json!({ "billing": "ReadOnly" }), "packs that are off are left out");
    assert_eq!(data["regions"], json!(["eu-west-1"]), "an empty list arrives as one empty string");
    assert_eq!(data["organization"]["managementAccountId"], "", "every field is there");
}

/// A notice of the handler, the example and the schema have the same fields, and know the same partitions.
#[test]
fn the_documented_notice_is_the_handlers() {
    let sent: Value = serde_json::from_str(&answered(&event("Create"), vec![agrees()]).got[0].1).unwrap();
    let example: Value = serde_json::from_str(&read("docs/examples/notice-established.json")).unwrap();
    let schema: Value = serde_json::from_str(&read("docs/notice.schema.json")).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for group in ["/data", "/data/organization", "/data/billingExport"] {
        let [sent, example] = [&sent, &example].map(|notice| names(notice.pointer(group).unwrap()));
        assert_eq!(sent, example, "{group} of docs/examples/notice-established.json");
    }
    let mut known = names(&schema["$defs"]["data"]["properties"]);
    known.remove("billingStatus");
    assert_eq!(names(&sent["data"]), known, "docs/notice.schema.json");
    let partitions = Partition::ALL.map(Partition::as_str);
    assert_eq!(schema["$defs"]["data"]["properties"]["partition"]["enum"], json!(partitions));
}

/// Contract 1 only grows: what a kept notice has, the handler's has too, of the same type. Vendors read what stacks sent years ago.
#[test]
fn what_was_ever_sent_is_still_sent() {
    fn holds(kept: &Value, sent: &Value, place: &str) {
        let same = std::mem::discriminant(kept) == std::mem::discriminant(sent);
        assert!(same, "`{place}` of docs/notices/v1/established is {kept}, and now it is {sent}");
        for (name, kept) in kept.as_object().into_iter().flatten().filter(|_| !place.ends_with("packs")) {
            holds(kept, &sent[name], &format!("{place}.{name}"));
        }
        if let (Some([kept, ..]), Some([sent, ..])) = (kept.as_array().map(Vec::as_slice), sent.as_array().map(Vec::as_slice)) {
            holds(kept, sent, place);
        }
    }
    let mut sent: Value = serde_json::from_str(&answered(&event("Create"), vec![agrees()]).got[0].1).unwrap();
    // What the signer adds is AWS's.
    let kept: Value = serde_json::from_str(&read("docs/notices/v1/established/body.json")).unwrap();
    sent["data"]["proofs"][0]["headers"] = kept["data"]["proofs"][0]["headers"].clone();
    holds(&kept, &sent, "");
    assert_eq!(sent["dataschema"], kept["dataschema"]);
}

/// The logical ids that vendors may rely on, in AWS's answers about a stack and in the names that it makes of them.
#[test]
fn logical_ids_of_the_contract_are_the_templates() {
    let template = read("template.yaml");
    for (id, kind) in [
        ("HandlerRole", "AWS::IAM::Role"),
        ("Handler", "AWS::Lambda::Function"),
        ("VendorRole", "AWS::IAM::Role"),
        (connection::LOGICAL_ID, connection::RESOURCE_TYPE),
    ] {
        let (_, resource) = template.split_once(&format!("\n  {id}:\n")).unwrap_or_else(|| panic!("no {id}"));
        let (resource, _) = resource.split_once("\n    Properties:").unwrap();
        assert!(
            resource.contains(&format!("    Type: {kind}\n")) || resource.ends_with(&format!("    Type: {kind}")),
            "{id}: {resource}"
        );
    }
    assert_eq!(connection::LOGICAL_ID, "Connection");
}

#[test]
fn every_delivery_of_an_event_sends_the_same_id_and_each_request_its_own() {
    let id = |event: &Value| answered(event, vec![agrees()]).got[0].0["webhook-id"].clone();
    assert_eq!(id(&event("Create")), id(&event("Create")));
    let mut other = event("Create");
    other["RequestId"] = "r-2".into();
    assert_ne!(id(&event("Create")), id(&other));
}

#[test]
fn a_refusal_fails_the_stack_with_the_vendors_own_words() {
    // HW-C4, F-6.
    let problem = r#"{"title":"No","detail":"token\nalready used by stack `x`"}"#;
    let outcome = answered(&event("Create"), vec![status(409, problem)]);
    assert_eq!(outcome.got.len(), 1, "a refusal is not asked again");
    let reason = outcome.response["Reason"].as_str().unwrap();
    assert!(reason.starts_with("VENDOR_REFUSED: the vendor answered 409: token already used by stack `x`."), "{reason}");
}

#[test]
fn what_may_pass_is_tried_again_at_the_pace_the_vendor_asks_for() {
    let busy = Ok(VendorResponse { status: 429, retry_after: Some(Duration::from_secs(9)), body: Vec::new() });
    let outcome =
        answered(&event("Update"), vec![status(503, ""), busy, Err(NoResponse::Failed("no connection".to_owned())), agrees()]);
    assert_eq!(outcome.response["Status"], "SUCCESS");
    assert_eq!(outcome.got.len(), 4);
    assert_eq!(outcome.seconds, 1 + 9 + 4, "1 s, then what Retry-After says, then 4 s");
    assert!(outcome.got[0].1.contains("hawser.connection.updated"));
}

#[test]
fn a_vendor_that_stays_down_fails_a_create_in_time_and_never_a_delete() {
    // HW-C5, F-28.
    let away = || vec![Err(NoResponse::Failed("no connection".to_owned()))];
    let create = answered(&event("Create"), away());
    assert!(create.response["Reason"].as_str().unwrap().starts_with("VENDOR_UNREACHABLE: `vendor.example:8443`"));
    assert!(create.seconds < 110, "{} s", create.seconds);
    let gone = answered(&delete(), away());
    assert_eq!(gone.response["Status"], "SUCCESS");
    assert!(gone.seconds <= 30, "{} s", gone.seconds);
    assert!(gone.response["Reason"].as_str().unwrap().contains("VENDOR_UNREACHABLE"));
}

/// HW-C4: it will not verify in a minute either, so nothing is tried again, and the customer learns whose certificate it is.
#[test]
fn a_certificate_that_does_not_verify_is_final() {
    let expired = || vec![Err(NoResponse::Untrusted("invalid peer certificate: Expired".to_owned()))];
    let create = answered(&event("Create"), expired());
    let reason = create.response["Reason"].as_str().unwrap();
    assert!(
        reason.starts_with("VENDOR_CERTIFICATE_INVALID: the certificate of `vendor.example:8443` does not verify"),
        "{reason}"
    );
    assert_eq!((create.got.len(), create.seconds), (1, 0));
    let gone = answered(&delete(), expired());
    assert_eq!((gone.response["Status"].as_str(), gone.got.len(), gone.seconds), (Some("SUCCESS"), 1, 0));
    assert!(gone.response["Reason"].as_str().unwrap().contains("VENDOR_CERTIFICATE_INVALID"));
}

/// HW-C4: what stands between the account and the vendor may answer for it.
#[test]
fn an_answer_in_the_vendors_place_is_asked_again_and_then_fails() {
    let page = || status(200, "<html>Sign in</html>");
    let outcome = answered(&event("Create"), vec![page(), status(204, ""), agrees()]);
    assert_eq!((outcome.response["Status"].as_str(), outcome.got.len()), (Some("SUCCESS"), 3));
    let outcome = answered(&event("Create"), vec![page()]);
    let reason = outcome.response["Reason"].as_str().unwrap();
    assert!(reason.starts_with("VENDOR_ANSWER_FOREIGN: `vendor.example:8443` did not accept the notice in time"), "{reason}");
    let gone = answered(&delete(), vec![page()]);
    assert_eq!(gone.response["Status"], "SUCCESS");
    assert!(gone.response["Reason"].as_str().unwrap().contains("VENDOR_ANSWER_FOREIGN") && gone.seconds <= 30);
}

/// A wait that the vendor asks for is kept where there is time for it, however long; of a longer one the last tries make the best.
#[test]
fn retry_after_is_kept_where_there_is_time() {
    let after = |seconds| Ok(VendorResponse { status: 503, retry_after: Some(Duration::from_secs(seconds)), body: Vec::new() });
    let kept = answered(&event("Create"), vec![after(75), agrees()]);
    assert_eq!((kept.response["Status"].as_str(), kept.seconds), (Some("SUCCESS"), 75));
    let longer = answered(&event("Create"), vec![after(3600), agrees()]);
    assert_eq!((longer.response["Status"].as_str(), longer.seconds), (Some("SUCCESS"), 20));
}

/// A vendor refuses a signature that is five minutes old.
#[test]
fn a_notice_that_waits_is_signed_and_proven_again() {
    let time = Duration::from_secs(900);
    let busy = |seconds| Ok(VendorResponse { status: 503, retry_after: Some(Duration::from_secs(seconds)), body: Vec::new() });
    let outcome = answered_within(time, &event("Create"), vec![busy(239), busy(1), busy(100), busy(140), agrees()]);
    assert_eq!(outcome.response["Status"], "SUCCESS");
    let started: i64 = outcome.got[0].0["webhook-timestamp"].parse().unwrap();
    let signed = |(headers, _): &(BTreeMap<&str, String>, String)| headers["webhook-timestamp"].parse::<i64>().unwrap() - started;
    assert_eq!(outcome.got.iter().map(signed).collect::<Vec<_>>(), [0, 0, 240, 240, 480]);
    let event = |(_, body): &(BTreeMap<&str, String>, String)| {
        let mut event: Value = serde_json::from_str(body).unwrap();
        event["data"].as_object_mut().unwrap().remove("proofs");
        event
    };
    assert!(outcome.got.iter().all(|notice| event(notice) == event(&outcome.got[0])), "it says the same, at the same time");
}

#[test]
fn a_delete_succeeds_whatever_the_vendor_says() {
    for answer in
        [agrees(), status(200, ""), status(404, ""), status(410, ""), status(403, "{}"), status(302, ""), status(500, "")]
    {
        let outcome = answered(&delete(), vec![answer.clone()]);
        assert_eq!(outcome.response["Status"], "SUCCESS", "{answer:?}");
        assert!(outcome.got[0].1.contains("hawser.connection.removed"));
    }
}

#[test]
fn a_delete_under_another_id_sends_no_notice() {
    // HW-L6, F-34: CloudFormation's own id for a Create that was never answered.
    let mut other = delete();
    other["PhysicalResourceId"] = "acme-Connection-1A2B3C4D5E6F".into();
    let outcome = answered(&other, vec![agrees()]);
    assert_eq!((outcome.response["Status"].as_str(), outcome.got.len()), (Some("SUCCESS"), 0));
}

#[test]
fn addresses_that_are_not_for_notices_are_refused_before_anything_is_sent() {
    // HW-C1.
    for url in
        ["http://vendor.example/", "https://me@vendor.example/", "https://vendor.example/#x", "ftp://x/", "nonsense", "https://"]
    {
        let mut event = event("Create");
        event["ResourceProperties"]["NoticeUrl"] = url.into();
        let outcome = answered(&event, vec![agrees()]);
        assert!(outcome.got.is_empty());
        assert!(outcome.response["Reason"].as_str().unwrap().starts_with("NOTICE_URL_REFUSED"), "{url}: {}", outcome.response);
    }
}

#[test]
fn every_status_has_one_meaning() {
    for code in 100..=599 {
        for kind in [Type::Established, Type::Updated, Type::Removed] {
            let answer = VendorResponse { status: code, retry_after: None, body: b"{\"noticeId\":\"n\"}".to_vec() };
            match (code, connection::interpret(kind, "n", &answer)) {
                (200..=299, VendorAnswer::Accepted(_)) | (408 | 425 | 429 | 500..=599, VendorAnswer::TryAgain(..)) => {}
                (404 | 410, VendorAnswer::Accepted(_)) => assert_eq!(kind, Type::Removed),
                (300..=399, VendorAnswer::Refused(failure)) => assert_eq!(failure.code, Code::VendorRedirected),
                (_, VendorAnswer::Refused(failure)) => assert_eq!(failure.code, Code::VendorRefused),
                (code, interpret) => panic!("{code} means {interpret:?}"),
            }
        }
    }
}

/// HW-I1: the function has the permissions of its own stack, and whoever may invoke it can name any other.
#[test]
fn an_event_of_another_stack_is_refused() {
    let time = Duration::from_secs(120);
    let of = |stack: &'static str| move |world: &mut World| world.account.own_stack = stack.parse().ok();
    let own = of("arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70");
    let other = of("arn:aws:cloudformation:eu-west-1:111122223333:stack/other/5e0c1b71");
    assert_eq!(answered_in(own, time, &event("Create"), vec![agrees()]).response["Status"], "SUCCESS");
    for event in [event("Create"), event("Update"), delete()] {
        let outcome = answered_in(other, time, &event, vec![agrees()]);
        assert!(outcome.got.is_empty());
        assert!(outcome.response["Reason"].as_str().unwrap().starts_with("EVENT_OF_ANOTHER_STACK"), "{}", outcome.response);
    }
    // What such a Create was answered with, its stack can delete.
    let (mut create, mut refused) = (event("Create"), delete());
    create.as_object_mut().unwrap().remove("PhysicalResourceId");
    refused["PhysicalResourceId"] = answered_in(other, time, &create, vec![agrees()]).response["PhysicalResourceId"].clone();
    assert_eq!(answered_in(other, time, &refused, vec![agrees()]).response["Status"], "SUCCESS");
}

/// HW-I2, HW-I3: an event that somebody made up is about a stack that waits for nothing and keeps what it has.
#[test]
fn the_vendor_is_notified_only_of_what_cloudformation_asks_for() {
    const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70";
    let shown = |status: &'static str, resource: Option<&'static str>| {
        move |world: &mut World| {
            let description = StackDescription { status: status.to_owned(), ..StackDescription::default() };
            world.cloudformation.show_stack(STACK, description);
            if let Some(status) = resource {
                let resource = StackResource { status: status.to_owned(), physical_id: own_id() };
                world.cloudformation.show_resource(STACK, "Connection", resource);
            }
        }
    };
    let time = Duration::from_secs(120);
    let mut update = event("Update");
    update["PhysicalResourceId"] = own_id().into();
    let mut elsewhere = delete();
    elsewhere["LogicalResourceId"] = "Elsewhere".into();
    let Request::Connection(origin, _) = Request::parse(&elsewhere).unwrap() else { unreachable!() };
    elsewhere["PhysicalResourceId"] = connection::physical_id(&origin).into();
    for (event, status, resource, is_notified) in [
        (event("Create"), "CREATE_COMPLETE", Some("CREATE_COMPLETE"), false),
        (event("Create"), "UPDATE_COMPLETE", Some("UPDATE_COMPLETE"), false),
        (event("Create"), "CREATE_IN_PROGRESS", Some("CREATE_IN_PROGRESS"), true),
        (update.clone(), "UPDATE_COMPLETE", Some("UPDATE_COMPLETE"), false),
        (update.clone(), "CREATE_COMPLETE", Some("CREATE_COMPLETE"), false),
        (update, "UPDATE_IN_PROGRESS", Some("UPDATE_IN_PROGRESS"), true),
        (delete(), "CREATE_COMPLETE", Some("CREATE_COMPLETE"), false),
        (delete(), "UPDATE_COMPLETE", Some("UPDATE_COMPLETE"), false),
        (delete(), "UPDATE_IN_PROGRESS", Some("UPDATE_COMPLETE"), false),
        (delete(), "DELETE_IN_PROGRESS", Some("DELETE_IN_PROGRESS"), true),
        (delete(), "ROLLBACK_IN_PROGRESS", Some("CREATE_FAILED"), true),
        // An Update takes the connection out of the template.
        (delete(), "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some("DELETE_IN_PROGRESS"), true),
        // B-3
        (delete(), "DELETE_IN_PROGRESS", None, true),
        (delete(), "UPDATE_ROLLBACK_IN_PROGRESS", None, true),
        (elsewhere, "UPDATE_COMPLETE", Some("UPDATE_COMPLETE"), false),
    ] {
        let outcome = answered_in(shown(status, resource), time, &event, vec![agrees()]);
        assert_eq!(
            outcome.got.len(),
            usize::from(is_notified),
            "{} {status} {resource:?}: {}",
            event["RequestType"],
            outcome.response
        );
    }
    // A role that may not ask must not keep the stack from going.
    let denied = |world: &mut World| {
        shown("CREATE_COMPLETE", Some("CREATE_COMPLETE"))(world);
        world.script.inject_all("cloudformation:DescribeStackResources", InjectedFault::Denied);
        world.script.inject_all("cloudformation:DescribeStacks", InjectedFault::Denied);
    };
    assert_eq!(answered_in(denied, time, &delete(), vec![agrees()]).got.len(), 1);
}
