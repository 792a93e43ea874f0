//! What others answer, and what it is taken for: total functions over every answer (HW-B2, HW-C4, HW-C5; F-22, F-28).

use hawser::{
    aws::{Fault, FaultKind, Organization, PolicyType},
    billing::account_role::{BillingPosition, PositionName},
    connection::{Receipt, VendorAnswer, interpret, notice::Type},
    error::{Code, Failure},
    names::{AccountId, one_line},
    ports::VendorResponse,
};
use serde_json::{Value, json};

const KINDS: [Type; 3] = [Type::Established, Type::Updated, Type::Removed];

fn answer(status: u16, body: impl Into<Vec<u8>>) -> VendorResponse {
    VendorResponse { status, retry_after: None, body: body.into() }
}

fn accepted(body: &Value) -> Receipt {
    match interpret(Type::Established, &answer(200, body.to_string())) {
        VendorAnswer::Accepted(receipt) => receipt,
        other => panic!("{body} means {other:?}"),
    }
}

fn refused(status: u16, body: impl Into<Vec<u8>>) -> Failure {
    match interpret(Type::Established, &answer(status, body)) {
        VendorAnswer::Refused(failure) => failure,
        other => panic!("{status} means {other:?}"),
    }
}

#[test]
fn not_found_is_success_only_for_a_removal() {
    for status in [404, 410] {
        for kind in KINDS {
            let agreed = matches!(interpret(kind, &answer(status, "{}")), VendorAnswer::Accepted(_));
            assert_eq!(agreed, kind == Type::Removed, "{status} to {kind:?}");
        }
    }
}

#[test]
fn a_connection_id_is_accepted_whole_or_refused() {
    for length in [0, 1, 255, 256] {
        let id = "c".repeat(length);
        assert_eq!(accepted(&json!({ "connectionId": id })).connection_id, id);
    }
    for length in [257, 5000] {
        let failure = refused(200, json!({ "connectionId": "c".repeat(length) }).to_string());
        assert_eq!(failure.code, Code::VendorRefused);
        assert!(failure.cause.contains("longer than 256 bytes"), "{failure}");
    }
}

#[test]
fn a_vendors_words_are_one_line_and_not_too_many() {
    let said = accepted(&json!({ "connectionId": "a\nb", "message": "hello\r\nSUCCESS\u{1b}[2J" }));
    assert_eq!((said.connection_id.as_str(), said.message.as_str()), ("a b", "hello  SUCCESS [2J"));
    let said = accepted(&json!({ "message": "a\u{202e}b\u{2028}c\u{200b}d\u{feff}e" }));
    assert_eq!(said.message, "abcde");
    let message = "m".repeat(600);
    assert_eq!(accepted(&json!({ "message": message })).message, message);
    let cancellation = accepted(&json!({ "message": "m".repeat(601) })).message;
    assert_eq!(cancellation, format!("{}…", "m".repeat(597)));
    let failure = refused(403, json!({ "detail": "d".repeat(5000) }).to_string());
    assert_eq!(failure.cause, format!("the vendor answered 403: {}…", "d".repeat(597)));
    let failure = refused(403, json!({ "detail": "no\nAWS_REFUSED: never" }).to_string());
    assert_eq!(failure.cause, "the vendor answered 403: no AWS_REFUSED: never");
}

/// Whatever could turn a line round, or look like the end of one.
#[test]
fn one_line_drops_every_character_that_is_not_seen() {
    use unicode_general_category::{GeneralCategory as Category, get_general_category};
    for c in '\0'..=char::MAX {
        let shown = one_line(&c.to_string());
        let expected = match get_general_category(c) {
            Category::Format | Category::LineSeparator | Category::ParagraphSeparator => String::new(),
            Category::Control => " ".to_owned(),
            _ => c.to_string(),
        };
        assert_eq!(shown, expected, "{c:?}");
    }
}

#[test]
fn a_problem_is_described_by_its_detail_else_by_its_title() {
    for (body, words) in [
        (json!({ "detail": "d", "title": "t" }).to_string(), ": d"),
        (json!({ "detail": "", "title": "t" }).to_string(), ": t"),
        (json!({ "title": "t" }).to_string(), ": t"),
        (json!({ "detail": "", "title": "" }).to_string(), ""),
        (json!({ "detail": 7 }).to_string(), ""),
        (json!(["detail"]).to_string(), ""),
        ("<html>".to_owned(), ""),
        (String::new(), ""),
    ] {
        assert_eq!(refused(400, body.clone()).cause, format!("the vendor answered 400{words}"), "{body}");
        let again = interpret(Type::Updated, &answer(503, body.clone()));
        assert_eq!(again, VendorAnswer::TryAgain(format!("the vendor answered 503{words}"), None), "{body}");
    }
}

#[test]
fn a_body_that_is_not_a_receipt_does_not_refuse_a_2xx() {
    for body in ["", "ok", "[]", "{\"connectionId\":1}", "null", "{\"connectionId\":\"c\""] {
        let read = interpret(Type::Updated, &answer(202, body));
        assert_eq!(read, VendorAnswer::Accepted(Receipt::default()), "{body}");
    }
}

fn fault(kind: FaultKind) -> Fault {
    Fault {
        action: "organizations:DescribeOrganization",
        kind,
        code: "Code".to_owned(),
        message: "message".to_owned(),
        request_id: None,
        bucket_region: None,
    }
}

#[test]
fn only_aws_itself_can_say_that_an_account_is_alone() {
    let own: AccountId = "111122223333".parse().unwrap();
    let organization = |payer: Option<&str>| Organization {
        id: "o-example".to_owned(),
        management_account: payer.map(|id| id.parse().unwrap()),
        feature_set: "ALL".to_owned(),
    };
    let role = |answer| BillingPosition::classify(&own, answer).map(|role| role.name());
    assert_eq!(role(Ok(None)), Ok(PositionName::Standalone));
    assert_eq!(role(Ok(Some(organization(Some("111122223333"))))), Ok(PositionName::Management));
    assert_eq!(role(Ok(Some(organization(Some("999988887777"))))), Ok(PositionName::Member));
    assert_eq!(role(Ok(Some(organization(None)))), Ok(PositionName::Unknown));
    for kind in [FaultKind::Denied, FaultKind::DeniedBy(PolicyType::ServiceControlPolicy), FaultKind::Missing, FaultKind::Refused]
    {
        let BillingPosition::Unknown(why) = BillingPosition::classify(&own, Err(fault(kind))).unwrap() else {
            panic!("{kind:?} says something about the account")
        };
        assert!(why.contains("organizations:DescribeOrganization") && why.contains("message"), "{why}");
    }
    // Not facts about the account: tried again later, they may be gone.
    for kind in [FaultKind::Throttled, FaultKind::Unavailable] {
        assert_eq!(role(Err(fault(kind))), Err(fault(kind)));
    }
}
