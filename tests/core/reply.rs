//! Whatever happened, the response fits, and says what to do (HW-A4, F-6, F-33).

use hawser::{
    billing::ATTRIBUTES,
    error::{Code, Failure},
    names::shorten,
    protocol::{
        envelope::Envelope,
        reply::{Attributes, RESPONSE_BYTES_MAX, Reply, placeholder_id, render},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fuzzed::reply as fuzzed;

fn envelope() -> Envelope {
    Envelope {
        stack_id: format!(
            "arn:aws:cloudformation:eu-west-1:111122223333:stack/{}/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f",
            "n".repeat(128)
        ),
        request_id: "7bfe2d54-5c3e-4d0c-9d5e-0d6a4d1f2b3c".to_owned(),
        logical_resource_id: "L".repeat(255),
        physical_resource_id: None,
    }
}

fn parsed(body: &[u8]) -> Value {
    // CloudFormation's own number, which ours must not outgrow.
    assert!(body.len() <= 4096, "{} bytes", body.len());
    serde_json::from_slice(body).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    // F-6, F-33.
    #[test]
    fn a_failure_of_any_length_keeps_code_next_step_and_request_id(
        code in prop::sample::select(Code::ALL),
        cause in prop_oneof!["\\PC{0,6000}", "[\u{0}-\u{1f}\"\\\\]{0,3000}", "ü{0,5000}"],
        id in "[a-z0-9/-]{1,1024}",
    ) {
        let failure = Failure { code, cause, aws_request_id: Some("aws-request".to_owned()) };
        let response = parsed(&render(&envelope(), &Reply::Failed { physical_id: id.clone(), failure }));
        prop_assert_eq!(response["Status"].as_str(), Some("FAILED"));
        prop_assert_eq!(response["PhysicalResourceId"].as_str(), Some(id.as_str()));
        let reason = response["Reason"].as_str().unwrap();
        prop_assert!(reason.starts_with(code.as_str()), "{}", reason);
    }

    // F-6.
    #[test]
    fn a_plain_failure_of_any_length_keeps_its_end(cause in "[a-z ]{0,6000}") {
        let failure = Failure { code: Code::AwsRefused, cause, aws_request_id: Some("aws-request".to_owned()) };
        let response = parsed(&render(&envelope(), &Reply::Failed { physical_id: "id".to_owned(), failure }));
        let reason = response["Reason"].as_str().unwrap();
        prop_assert!(reason.len() <= 1024);
        prop_assert!(reason.ends_with("[aws request aws-request]"), "{}", reason);
        prop_assert!(reason.contains(Code::AwsRefused.next_step()));
    }

    // F-33.
    #[test]
    fn a_success_keeps_every_name_and_shortens_words_only(
        decision in prop_oneof!["\\PC{0,6000}", "\"{0,4000}"],
        name in "[a-z]{0,256}",
        remark in prop::option::of("\\PC{0,3000}"),
    ) {
        let mut attributes: Attributes = ATTRIBUTES.into_iter().map(|name| (name, String::new())).collect();
        attributes.insert("Decision", decision.clone());
        attributes.insert("Name", name.clone());
        let reply_content = Reply::Success { physical_id: "id".to_owned(), attributes, remark };
        let response = parsed(&render(&envelope(), &reply_content));
        prop_assert_eq!(response["Status"].as_str(), Some("SUCCESS"));
        let data = response["Data"].as_object().unwrap();
        prop_assert_eq!(data.len(), ATTRIBUTES.len());
        prop_assert_eq!(data["Name"].as_str(), Some(name.as_str()));
        let said = data["Decision"].as_str().unwrap();
        prop_assert!(decision.starts_with(said.trim_end_matches('…')));
    }
}

/// A text of any length, most often of a length that matters somewhere: near the reason's limit or the response's.
fn any_text() -> impl Strategy<Value = Value> {
    let unit = prop::sample::select(&["x", " ", "ü", "🚢", "\"", "\\", "\u{1}", "ab\n"][..]);
    let times = prop_oneof![0..40_u32, 700..1100_u32, 1900..4200_u32];
    let long = (unit, times).prop_map(|(unit, times)| json!({ "repeat": unit, "times": times }));
    prop_oneof!["\\PC{0,60}".prop_map(Value::from), long]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_response_shortens_no_more_than_it_must(
        failed in prop::option::of((prop::sample::select(Code::ALL), any_text(), prop::option::of("[0-9a-f-]{0,60}"))),
        attributes in prop::collection::btree_map(prop::sample::select(&ATTRIBUTES[..]), any_text(), 0..4),
        all_attributes in any::<bool>(),
        remark in prop::option::of(any_text()),
        stack_name in 1..=128_usize,
        logical_resource_id in 1..=255_usize,
        physical_id in 1..=512_usize,
    ) {
        let mut described = json!({
            "stackId": format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/{}/5e0c1b70", "n".repeat(stack_name)),
            "requestId": "r", "logicalResourceId": "L".repeat(logical_resource_id), "physicalId": "i\"".repeat(physical_id),
        });
        match failed {
            Some((code, cause, id)) => {
                (described["code"], described["cause"]) = (code.as_str().into(), cause);
                described["awsRequestId"] = id.into();
            }
            None => {
                let none = |name: &&'static str| (*name, Value::from(""));
                let base = ATTRIBUTES.iter().map(none).filter(|_| all_attributes);
                described["attributes"] = json!(base.chain(attributes).collect::<std::collections::BTreeMap<_, _>>());
                if let Some(remark) = remark {
                    described["remark"] = remark;
                }
            }
        }
        fuzzed::check(described.to_string().as_bytes());
    }
}

/// A success with so much to say that, with its remark, it has exactly `bytes` bytes.
fn success_of(bytes: usize, remark: &str) -> (Attributes, Value) {
    let said = |decision: usize, remark: Option<&str>| {
        let mut attributes: Attributes = ATTRIBUTES.into_iter().map(|name| (name, String::new())).collect();
        attributes.insert("Decision", "d".repeat(decision));
        let reply_content =
            Reply::Success { physical_id: "id".to_owned(), attributes: attributes.clone(), remark: remark.map(str::to_owned) };
        (attributes, render(&envelope(), &reply_content))
    };
    let least = said(0, Some(remark)).1.len();
    let (attributes, body) = said(bytes - least, Some(remark));
    (attributes, parsed(&body))
}

#[test]
fn what_fits_to_the_byte_is_left_as_it_is_and_a_byte_more_costs_the_remark_and_nothing_else() {
    let (attributes, response) = success_of(RESPONSE_BYTES_MAX, "removed");
    assert_eq!(
        (response["Reason"].as_str(), response["Data"]["Decision"].as_str()),
        (Some("removed"), attributes.get("Decision").map(String::as_str))
    );
    assert_eq!(response.to_string().len(), RESPONSE_BYTES_MAX);
    let (attributes, response) = success_of(RESPONSE_BYTES_MAX + 1, "removed");
    assert_eq!(response.get("Reason"), None);
    assert_eq!(response["Data"], json!(attributes));
}

/// F-52: what AWS says of a denial survives, and so does what was not made.
#[test]
fn a_long_remark_loses_its_middle_and_not_the_way_to_the_policy() {
    let id = "authorization id 0f6b3c1e-1111-4222-8333-444455556666";
    let remark = format!("the bucket has no encryption setting of its own: {} {id}", "denied ".repeat(150));
    let (attributes, response) = success_of(RESPONSE_BYTES_MAX + 400, &remark);
    let reason = response["Reason"].as_str().unwrap();
    assert!(reason.starts_with("the bucket has no encryption setting") && reason.ends_with(id), "{reason}");
    assert_eq!(response["Data"], json!(attributes));
}

#[test]
fn an_id_that_says_nothing_was_made_is_the_resources_own_and_no_exports() {
    // HW-L6: a later Delete takes it for what it is.
    let id = placeholder_id(&envelope());
    assert!(id.starts_with("hawser/nothing-made/") && id.len() < 64, "{id}");
    let other = Envelope { logical_resource_id: "Other".to_owned(), ..envelope() };
    assert_ne!(placeholder_id(&other), id);
    let again = Envelope { request_id: "another".to_owned(), ..envelope() };
    assert_eq!(placeholder_id(&again), id, "every delivery gives the same id");
}

#[test]
fn names_that_cannot_fit_are_a_failure_that_says_so() {
    let attributes: Attributes = ATTRIBUTES.into_iter().map(|name| (name, "x".repeat(400))).collect();
    let reply_content = Reply::Success { physical_id: "id".to_owned(), attributes, remark: None };
    let response = parsed(&render(&envelope(), &reply_content));
    assert_eq!(response["Status"], "FAILED");
    assert!(response["Reason"].as_str().unwrap().starts_with("RESPONSE_TOO_LARGE"));
}

#[test]
fn a_code_is_never_cut_where_the_ids_leave_room_for_it() {
    // The ids are CloudFormation's and repeated as they came; what is left may be a few bytes or none.
    for code in [Code::Internal, Code::AwsRefused, Code::BucketPolicyUnmergeable] {
        for length in 3850..3990 {
            let described = json!({
                "stackId": { "repeat": "n", "times": length }, "requestId": "r", "logicalResourceId": "L", "physicalId": "i",
                "code": code.as_str(), "cause": { "repeat": "c", "times": 2000 },
            });
            fuzzed::check(described.to_string().as_bytes());
        }
    }
}

#[test]
fn a_cause_that_ends_in_full_stops_loses_only_the_full_stops() {
    let cause = format!("it is said twice{}", ".".repeat(3000));
    let failure = Failure { code: Code::VendorRefused, cause, aws_request_id: None };
    let response = parsed(&render(&envelope(), &Reply::Failed { physical_id: "id".to_owned(), failure }));
    let next = Code::VendorRefused.next_step();
    assert_eq!(response["Reason"], format!("VENDOR_REFUSED: it is said twice. {next}"));
    let failure = Failure::new(Code::VendorRefused, format!("{}{}", "x".repeat(1500), ".".repeat(3000)));
    let response = parsed(&render(&envelope(), &Reply::Failed { physical_id: "id".to_owned(), failure }));
    let reason = response["Reason"].as_str().unwrap();
    assert!(reason.starts_with("VENDOR_REFUSED: xxx") && reason.ends_with(&format!("x…. {next}")), "{reason}");
}

/// F-52: the id and the link by which AWS explains a denial survive, or the id alone, or the beginning where there is room for nothing.
#[test]
fn the_authorization_id_survives_shortening() {
    let link = "Go to https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1#/authorization-details/1a2b3c for complete \
                details, or call GetRequestAuthorizationDetails with the following ";
    let id = "authorization id: 1a2b3c)";
    let text = format!("`s3:PutBucketPolicy` was denied (AccessDenied: {} {link}{id}", "User: é ".repeat(100));
    for bytes_max in [text.len() - 1, 600, link.len() + id.len() + 8] {
        let short = shorten(&text, bytes_max);
        assert!(short.len() <= bytes_max && short.starts_with('`') && short.ends_with(&format!("…{link}{id}")), "{short}");
    }
    let short = shorten(&text, 60);
    assert!(short.len() <= 60 && short.starts_with("`s3:") && short.ends_with(&format!("…{id}")), "{short}");
    for bytes_max in 0..id.len() + 3 {
        assert!(shorten(&text, bytes_max).len() <= bytes_max.max('…'.len_utf8()), "{bytes_max}");
    }
    assert_eq!(shorten("Go to https://example.com", 10), "Go to h…");
}
