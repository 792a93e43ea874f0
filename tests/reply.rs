//! Whatever happened, the response fits, and says what to do (HW-A4, F-6, F-33).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use hawser::{
    billing::ATTRIBUTES,
    error::{Code, Failure},
    event::Envelope,
    reply::{Attributes, RESPONSE_BYTES_MAX, Verdict, render},
};
use proptest::prelude::*;
use serde_json::Value;

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
    assert!(body.len() <= RESPONSE_BYTES_MAX, "{} bytes", body.len());
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
        let response = parsed(&render(&envelope(), &Verdict::Failed { physical_id: id.clone(), failure }));
        prop_assert_eq!(response["Status"].as_str(), Some("FAILED"));
        prop_assert_eq!(response["PhysicalResourceId"].as_str(), Some(id.as_str()));
        let reason = response["Reason"].as_str().unwrap();
        prop_assert!(reason.starts_with(code.as_str()), "{}", reason);
    }

    // F-6.
    #[test]
    fn a_plain_failure_of_any_length_keeps_its_end(cause in "[a-z ]{0,6000}") {
        let failure = Failure { code: Code::AwsRefused, cause, aws_request_id: Some("aws-request".to_owned()) };
        let response = parsed(&render(&envelope(), &Verdict::Failed { physical_id: "id".to_owned(), failure }));
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
        let verdict = Verdict::Success { physical_id: "id".to_owned(), attributes, remark };
        let response = parsed(&render(&envelope(), &verdict));
        prop_assert_eq!(response["Status"].as_str(), Some("SUCCESS"));
        let data = response["Data"].as_object().unwrap();
        prop_assert_eq!(data.len(), ATTRIBUTES.len());
        prop_assert_eq!(data["Name"].as_str(), Some(name.as_str()));
        let said = data["Decision"].as_str().unwrap();
        prop_assert!(decision.starts_with(said.trim_end_matches('…')));
    }
}

#[test]
fn names_that_cannot_fit_are_a_failure_that_says_so() {
    let attributes: Attributes = ATTRIBUTES.into_iter().map(|name| (name, "x".repeat(400))).collect();
    let verdict = Verdict::Success { physical_id: "id".to_owned(), attributes, remark: None };
    let response = parsed(&render(&envelope(), &verdict));
    assert_eq!(response["Status"], "FAILED");
    assert!(response["Reason"].as_str().unwrap().starts_with("RESPONSE_TOO_LARGE"));
}
