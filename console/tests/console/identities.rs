//! STS's answer: what is read as one identity, and what never is.

use hawser_console::{
    identity::{Identity, error_code},
    notice::Notice,
    refusal::{Reason, Refusal},
};

use crate::support::{
    ACCOUNT, Behaviour, FUNCTION, HANDLER_ROLE, NOW, OTHER_ACCOUNT, Principal, Stack, StsStub, TestConsole, code, error_xml,
    identified, identity_xml, launch, parse,
};

fn notice(kind: &str) -> Notice {
    let stack = Stack::new(&launch(1, None), "51af3dc0", "http://127.0.0.1:1/");
    let event = stack.prove(stack.event(kind, NOW), NOW);
    parse(&event, NOW).unwrap()
}

#[test]
fn the_answer_of_the_api_reference_is_read() {
    let identity = Identity::read(&identity_xml(ACCOUNT)).unwrap();
    let speaker = identity.speaker(&notice("established")).unwrap();
    assert_eq!(speaker.arn, format!("arn:aws:sts::{ACCOUNT}:assumed-role/{HANDLER_ROLE}/{FUNCTION}"));
    assert_eq!(speaker.id, "AROA123456789EXAMPLE");
    assert_eq!((speaker.role_name(), speaker.session_name()), (Some(HANDLER_ROLE), Some(FUNCTION)));
}

#[test]
fn anything_else_is_not() {
    let good = identity_xml(ACCOUNT);
    let result = &good[good.find("<GetCallerIdentityResult>").unwrap()..good.find("<ResponseMetadata>").unwrap()];
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let account = format!("<Account>{ACCOUNT}</Account>");
    let other = format!("<Account>{OTHER_ACCOUNT}</Account>");
    let cases = [
        ("empty", String::new()),
        ("not XML", "Account=111122223333".to_owned()),
        ("cut off", good[..good.len() - 40].to_owned()),
        ("two results", swap(result, &format!("{result}{result}"))),
        ("two identities in one result", swap(&account, &format!("{account}{other}"))),
        ("the other identity first", swap(&account, &format!("{other}{account}"))),
        ("two documents", format!("{good}{good}")),
        ("no account", swap(&account, "")),
        ("no result", swap(result, "")),
        ("an account in the metadata", swap("<RequestId>", &format!("{other}<RequestId>")).replacen(&account, "", 1)),
        ("an account cut by a comment", swap(&account, "<Account>111122<!-- -->223333</Account>")),
        ("an account with a comment behind it", swap(&account, "<Account>111122223333<!-- -->4</Account>")),
        ("an account with an element behind it", swap(&account, "<Account>111122223333<b/></Account>")),
        ("an account with an element", swap(&account, "<Account><b/>111122223333</Account>")),
        ("an account that is too short", swap(&account, "<Account>11112222333</Account>")),
        ("an account with spaces", swap(&account, "<Account> 111122223333 </Account>")),
        ("an unknown element", swap(&account, &format!("{account}<Extra>1</Extra>"))),
        ("a comment before the document", format!("<!-- x -->{good}")),
        ("text between elements", swap(&account, &format!("{account}x"))),
        ("another operation's answer", good.replace("GetCallerIdentityRes", "AssumeRoleRes")),
        ("another namespace", swap("https://sts.amazonaws.com/doc/2011-06-15/", "https://example.com/")),
        ("no namespace", swap(" xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"", "")),
        ("a foreign namespace inside", swap("<Account>", "<Account xmlns=\"https://example.com/\">")),
        ("an error", error_xml("AccessDenied")),
        ("a document type", format!("<!DOCTYPE x>{good}")),
        ("an entity", format!("<!DOCTYPE x [<!ENTITY e \"{ACCOUNT}\">]>{}", swap(&account, "<Account>&e;</Account>"))),
        (
            "a laughing entity",
            "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><x>&c;</x>".to_owned(),
        ),
        ("too many nodes", swap(result, &result.repeat(20))),
        ("too deep", format!("{}{}", "<a>".repeat(4000), "</a>".repeat(4000))),
    ];
    for (name, xml) in cases {
        let answer = Identity::read(&xml);
        assert!(matches!(answer, Err(Refusal { reason: Reason::StsAnswer, .. })), "{name}: {answer:?}");
    }
}

/// The account everywhere, and a role's session or a user: whatever the notice is, also a removal (F-60).
#[test]
fn the_identity_must_be_the_notices() {
    let good = identity_xml(ACCOUNT);
    let (session, id) = Principal::Handler.of(ACCOUNT);
    let named = |arn: &str, user_id: &str| Identity::read(&good.replace(&session, arn).replace(&id, user_id)).unwrap();
    let arn = |arn: &str| named(arn, &id);
    let user = |arn: &str| named(arn, "AIDA123456789EXAMPLE");
    let refused = [
        Identity::read(&identity_xml(OTHER_ACCOUNT)).unwrap(),
        Identity::read(&good.replace(&format!("<Account>{ACCOUNT}"), &format!("<Account>{OTHER_ACCOUNT}"))).unwrap(),
        Identity::read(&identified(ACCOUNT, Principal::Root)).unwrap(),
        Identity::read(&identified(ACCOUNT, Principal::Federated)).unwrap(),
        arn(&format!("arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/x/{FUNCTION}")),
        arn(&format!("arn:aws-cn:sts::111122223333:assumed-role/x/{FUNCTION}")),
        user("arn:aws:iam::111122223333:root"),
        user("arn:aws:iam::111122223333:user"),
        user("arn:aws:iam::111122223333:user/"),
        user("arn:aws:iam::111122223333:user//someone"),
        user("arn:aws:iam::111122223333:group/someone"),
        user("arn:aws:sts::111122223333:user/someone"),
        user(&format!("arn:aws:iam::{OTHER_ACCOUNT}:user/someone")),
        user("arn:aws:sts::111122223333:federated-user/someone"),
        arn(&format!("arn:aws:iam::111122223333:assumed-role/x/{FUNCTION}")),
        arn("arn:aws:sts::111122223333:assumed-role/x"),
        arn(&format!("arn:aws:sts::111122223333:assumed-role/x/{FUNCTION}/z")),
        arn(&format!("arn:aws:sts::111122223333:assumed-role//{FUNCTION}")),
        // The unique id must be one of such a principal, and of this session.
        arn("arn:aws:sts::111122223333:assumed-role/x/another"),
        named(&session, "AROA123456789EXAMPLE"),
        named(&session, "AIDA123456789EXAMPLE"),
        named(&session, &format!("AIDA123456789EXAMPLE:{FUNCTION}")),
        arn("arn:aws:iam::111122223333:user/someone"),
        arn("nonsense"),
    ];
    for identity in refused {
        for kind in ["established", "updated", "removed", "alive"] {
            let refused = identity.clone().speaker(&notice(kind));
            assert!(matches!(refused, Err(Refusal { reason: Reason::Identity, .. })), "{identity:?}");
        }
    }
    // A person with an IAM user runs `hawser connect`.
    for arn in ["arn:aws:iam::111122223333:user/someone", "arn:aws:iam::111122223333:user/team/a/someone"] {
        assert_eq!(user(arn).speaker(&notice("established")).unwrap().role_name(), None);
    }
}

#[test]
fn error_codes_are_one_word() {
    assert_eq!(error_code(&error_xml("ExpiredToken")), "ExpiredToken");
    assert_eq!(error_code(&error_xml("a b")), "no code");
    assert_eq!(error_code(&error_xml(&"a".repeat(65))), "no code");
    assert_eq!(error_code("nonsense"), "no code");
}

/// How STS's whole answer becomes ours, over the wire.
#[tokio::test]
async fn answers_of_sts_over_the_wire() {
    let xml = "text/xml";
    let mut oversized = identity_xml(ACCOUNT);
    oversized.push_str(&" ".repeat(9000));
    let cases = [
        ("expired", Behaviour::Fixed(403, xml, error_xml("ExpiredToken")), 403, "sts-refused"),
        ("malformed", Behaviour::Fixed(400, xml, "?".to_owned()), 403, "sts-refused"),
        ("throttled", Behaviour::Fixed(400, xml, error_xml("Throttling")), 503, "sts-unavailable"),
        ("too many", Behaviour::Fixed(429, xml, String::new()), 503, "sts-unavailable"),
        ("down", Behaviour::Fixed(500, xml, error_xml("InternalFailure")), 503, "sts-unavailable"),
        ("JSON", Behaviour::Fixed(200, "application/json", identity_xml(ACCOUNT)), 502, "sts-answer"),
        ("HTML", Behaviour::Fixed(200, "text/html", identity_xml(ACCOUNT)), 502, "sts-answer"),
        ("created", Behaviour::Fixed(201, xml, identity_xml(ACCOUNT)), 502, "sts-answer"),
        ("oversized", Behaviour::Fixed(200, xml, oversized), 502, "sts-answer"),
        ("another account", Behaviour::Fixed(200, xml, identity_xml(OTHER_ACCOUNT)), 403, "identity-mismatch"),
    ];
    for (name, behaviour, status, expected) in cases {
        let world = TestConsole::new().await;
        let stack = world.stack("51af3dc0").await;
        world.sts.behave(behaviour);
        let (given, body) = world.notify(&stack, "established", 0).await;
        assert_eq!((given, code(&body)), (status, expected), "{name}: {body}");
        assert_eq!(world.connections().await.len(), 0, "{name}");
        // Nothing was kept: the same launch still works when STS does.
        world.sts.behave(Behaviour::Honest);
        assert_eq!(world.notify(&stack, "established", 0).await.0, 200, "{name}");
    }
}

/// A redirect is an answer like another, and not followed: the second STS would have said what we want to hear.
#[tokio::test]
async fn redirects_are_not_followed() {
    let (world, elsewhere) = (TestConsole::new().await, StsStub::start().await);
    elsewhere.behave(Behaviour::Fixed(200, "text/xml", identity_xml(ACCOUNT)));
    world.sts.behave(Behaviour::Redirect(elsewhere.url.clone()));
    let stack = world.stack("51af3dc0").await;
    let (status, body) = world.notify(&stack, "established", 0).await;
    assert_eq!((status, code(&body)), (502, "sts-answer"), "{body}");
    assert_eq!((world.sts.calls(), elsewhere.calls()), (1, 0));
}

/// What our own checks cannot see, STS does: a signature that was made for something else.
#[tokio::test]
async fn a_signature_for_something_else_is_refused_by_sts() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    // A good proof of another moment, with the date put forward: all of it well formed.
    let old = stack.prove(stack.event("established", NOW), NOW - time::Duration::minutes(20));
    let mut event = old.clone();
    let headers = event["data"]["proofs"][0]["headers"].as_object_mut().unwrap();
    headers.insert("x-amz-date".to_owned(), "20261122T100000Z".into());
    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW);
    let (status, body) = world.post(request).await;
    assert_eq!((status, code(&body)), (403, "sts-refused"), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("`SignatureDoesNotMatch`"), "{body}");
    assert!(!body.to_string().contains("may hold parts of the request"), "{body}");
}
