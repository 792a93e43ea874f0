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

/// The notice that is answered.
const ID: &str = "3b0a9f5d0c6e4c8f9a2b7d1e5f60718c";

const KINDS: [Type; 3] = [Type::Established, Type::Updated, Type::Removed];

fn answer(status: u16, body: impl Into<Vec<u8>>) -> VendorResponse {
    VendorResponse { status, retry_after: None, body: body.into() }
}

fn accepted(body: &Value) -> Receipt {
    let mut body = body.clone();
    body["noticeId"] = ID.into();
    match interpret(Type::Established, ID, &answer(200, body.to_string())) {
        VendorAnswer::Accepted(receipt) => receipt,
        other => panic!("{body} means {other:?}"),
    }
}

fn refused(status: u16, body: impl Into<Vec<u8>>) -> Failure {
    match interpret(Type::Established, ID, &answer(status, body)) {
        VendorAnswer::Refused(failure) => failure,
        other => panic!("{status} means {other:?}"),
    }
}

#[test]
fn not_found_is_success_only_for_a_removal() {
    for status in [404, 410] {
        for kind in KINDS {
            let agreed = matches!(interpret(kind, ID, &answer(status, "{}")), VendorAnswer::Accepted(_));
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
        let failure = refused(200, json!({ "noticeId": ID, "connectionId": "c".repeat(length) }).to_string());
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
        let again = interpret(Type::Updated, ID, &answer(503, body.clone()));
        let failure = Failure::new(Code::VendorUnreachable, format!("the vendor answered 503{words}"));
        assert_eq!(again, VendorAnswer::TryAgain(failure, None), "{body}");
    }
}

/// What a firewall, a proxy or a login page answers in the vendor's place is no agreement, whatever the notice says.
#[test]
fn a_2xx_without_the_notices_id_is_not_the_vendors() {
    let (other, part) = (ID.replace('3', "4"), &ID[..31]);
    let bodies = ["", "ok", "[]", "null", "<html>", r#"{"connectionId":"c"}"#, r#"{"noticeId":"#, r#"{"noticeId":7}"#];
    let with = |id: &str| json!({ "noticeId": id, "connectionId": "c" }).to_string();
    let bodies = bodies.map(str::to_owned).into_iter().chain([&other, part, "", &ID.to_uppercase()].map(with));
    for body in bodies.chain([json!([ID]).to_string(), json!({ "data": { "noticeId": ID } }).to_string(), ID.to_owned()]) {
        for kind in KINDS.into_iter().chain([Type::Status]) {
            match interpret(kind, ID, &answer(200, body.clone())) {
                VendorAnswer::TryAgain(failure, None) => assert_eq!(failure.code, Code::VendorAnswerForeign, "{body}"),
                other => panic!("{body} means {other:?}"),
            }
        }
    }
}

/// The id is what counts: the rest of the body is the vendor's own business.
#[test]
fn what_is_not_a_text_beside_the_notices_id_is_left_out() {
    for rest in [json!({}), json!({ "connectionId": 1, "message": ["a"] }), json!({ "connectionId": null, "more": { "a": 1 } })] {
        assert_eq!(accepted(&rest), Receipt::default(), "{rest}");
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
