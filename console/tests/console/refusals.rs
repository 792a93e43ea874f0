//! What is refused before anybody is asked: the signature, the form, the launch. STS must not hear of any of it.

use axum::body::Body;
use hawser_console::{document, refusal::Reason, routes::NOTICE_BYTES_MAX};
use http::Request;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{ACCOUNT, NOW, OTHER_ACCOUNT, SESSION_TOKEN, Stack, TestConsole, code, parse};

async fn assert_refused(world: &TestConsole, request: Request<Body>, status: u16, expected: &str) -> Value {
    let calls = world.sts.calls();
    let (given, body) = world.post(request).await;
    assert_eq!((given, code(&body)), (status, expected), "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(world.sts.calls(), calls, "STS was asked");
    assert_eq!(world.connections().await.len(), 0);
    body
}

#[tokio::test]
async fn signatures() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let good = || stack.send(stack.event("established", NOW), NOW);

    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut request = good();
        request.headers_mut().remove(header);
        assert_refused(&world, request, 400, "request-malformed").await;
        let mut request = good();
        let value = request.headers()[header].clone();
        request.headers_mut().append(header, value);
        assert_refused(&world, request, 400, "request-malformed").await;
    }
    for (header, value, status, expected) in [
        ("webhook-timestamp", "now", 400, "request-malformed"),
        ("webhook-timestamp", "-1", 400, "request-malformed"),
        ("webhook-timestamp", "1795341601", 401, "signature-unknown"),
        ("webhook-id", "0123456789abcdef0123456789abcdef", 401, "signature-unknown"),
        ("webhook-signature", "v1,", 401, "signature-unknown"),
        ("webhook-signature", "", 401, "signature-unknown"),
        ("webhook-signature", "v1a,AAAA", 401, "signature-unknown"),
        ("content-type", "application/json", 415, "media-type"),
    ] {
        let mut request = good();
        request.headers_mut().insert(header, value.parse().unwrap());
        assert_refused(&world, request, status, expected).await;
    }
    // Another token, or a token for another external ID.
    let other = world.stack("51af3dc1").await;
    let forged = Stack { token: other.token.clone(), stack_id: stack.stack_id.clone(), ..world.stack("x").await };
    assert_refused(&world, forged.send(forged.event("established", NOW), NOW), 401, "signature-unknown").await;
    let unknown = Stack { external_id: "nobody".to_owned(), stack_id: stack.stack_id.clone(), ..other };
    assert_refused(&world, unknown.send(unknown.event("established", NOW), NOW), 401, "signature-unknown").await;
    // The signature is over the body as it was sent.
    let event = stack.prove(stack.event("established", NOW), NOW);
    let (mut parts, _) = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW).into_parts();
    parts.headers.remove("content-length");
    let request = Request::from_parts(parts, Body::from(format!("{event} ")));
    assert_refused(&world, request, 401, "signature-unknown").await;

    // One good signature among others is enough: that is how keys are changed.
    let mut request = good();
    let both = format!("v1,AAAA v2,BBBB {}", request.headers()["webhook-signature"].to_str().unwrap());
    request.headers_mut().insert("webhook-signature", both.parse().unwrap());
    assert_eq!(world.post(request).await.0, 200);
}

#[tokio::test]
async fn signatures_have_their_time() {
    for (seconds, accepted) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let world = TestConsole::new().await;
        let stack = world.stack("51af3dc0").await;
        let event = stack.prove(stack.event("established", NOW), NOW);
        let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW + Duration::seconds(seconds));
        if accepted {
            assert_eq!(world.post(request).await.0, 200, "{seconds}");
        } else {
            assert_refused(&world, request, 401, "signature-stale").await;
        }
    }
}

/// Forms that are refused; the answer names the place and repeats nothing that is there.
#[tokio::test]
async fn forms() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("data.proofs.headers.host", |e| e["data"]["proofs"][0]["headers"]["host"] = json!([SESSION_TOKEN])),
        ("specversion", |e| e["specversion"] = json!("0.3")),
        ("datacontenttype", |e| e["datacontenttype"] = json!("text/plain")),
        ("data.billingStatus", |e| e["type"] = json!("hawser.billing.status")),
        ("data.billingStatus", |e| e["data"]["billingStatus"] = json!(null)),
        ("type", |e| e["type"] = json!({"hawser.connection.removed": null})),
        ("data.proofs.kind", |e| e["data"]["proofs"] = json!(["request"])),
        ("data.proofs", |e| {
            let proof = e["data"]["proofs"][0].clone();
            e["data"]["proofKinds"] = json!(["request", "request"]);
            e["data"]["proofs"] = json!([proof, proof]);
        }),
        ("data.organization", |e| e["data"]["organization"] = json!("")),
        ("data.billingExport.kind", |e| e["data"]["billingExport"]["kind"] = json!(null)),
        ("time", |e| e["time"] = json!("2026-11-22T11:00:00+01:00")),
        ("time", |e| e["time"] = json!(1_795_341_600)),
        ("time", |e| e["time"] = json!("1969-12-31T23:59:59Z")),
        ("data.partition", |e| e["data"]["partition"] = json!("aws-iso")),
        ("data.packs.billing", |e| e["data"]["packs"]["billing"] = json!(true)),
        ("data.regions", |e| e["data"]["regions"] = json!("eu-west-1")),
        ("data.regions[1]", |e| e["data"]["regions"][1] = json!(1)),
    ];
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for (place, change) in cases {
        let mut event = stack.prove(stack.event("established", NOW), NOW);
        change(&mut event);
        let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW);
        let body = assert_refused(&world, request, 400, "notice-malformed").await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("`{place}`")), "{place}: {detail}");
        assert!(!detail.contains(SESSION_TOKEN), "{detail}");
    }
    for key in ["specversion", "id", "source", "subject", "type", "time", "datacontenttype"] {
        let mut event = stack.prove(stack.event("established", NOW), NOW);
        let id = event["id"].as_str().unwrap().to_owned();
        event.as_object_mut().unwrap().remove(key);
        assert_refused(&world, stack.sign(&id, &event.to_string(), NOW), 400, "notice-malformed").await;
    }
}

/// What two readers might not read alike, in fields that this version knows and in others.
#[tokio::test]
async fn documents_with_two_readings() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let event = stack.prove(stack.event("established", NOW), NOW);
    let (id, text) = (event["id"].as_str().unwrap(), event.to_string());
    let nested = |lists: usize| format!("{}0{}", "[".repeat(lists), "]".repeat(lists));
    let later = |value: &str| format!("\"later\":{value},\"subject\":");
    let cases = [
        ("\"subject\":", "\"subject\":\"444455556666\",\"subject\":".to_owned()),
        ("\"accountId\":", "\"accountId\":\"444455556666\",\"accountId\":".to_owned()),
        ("\"packs\":{", "\"packs\":{\"billing\":\"ReadOnly\",".to_owned()),
        ("\"headers\":{", "\"headers\":{\"host\":\"sts.example.com\",".to_owned()),
        ("\"organization\":{", "\"organization\":{\"featureSet\":\"ALL\",".to_owned()),
        ("\"billingExport\":{", "\"billingExport\":{\"name\":\"x\",".to_owned()),
        ("\"method\":", "\"method\":\"GET\",\"method\":".to_owned()),
        // The same name, written in two ways.
        ("\"subject\":", "\"subj\\u0065ct\":\"444455556666\",\"subject\":".to_owned()),
        ("\"subject\":", later("{\"a\":{\"b\":1,\"b\":1}}")),
        ("\"subject\":", later("[{\"a\":0},{\"b\":1,\"b\":1}]")),
        // RFC 8785 sorts names by UTF-16, other readers by code points.
        ("\"subject\":", later("{\"é\":0}")),
        ("\"subject\":", later("{\"\\u00e9\":0}")),
        // Fractions, exponents and large numbers have more than one text.
        ("\"subject\":", later("1.0")),
        ("\"subject\":", later("1e3")),
        ("\"subject\":", later("-0")),
        ("\"subject\":", later("-0.0")),
        ("\"subject\":", later("9007199254740992")),
        ("\"subject\":", later("-9007199254740992")),
        ("\"subject\":", later("18446744073709551616")),
        ("\"subject\":", later("[{\"a\":0.5}]")),
        ("\"subject\":", later("NaN")),
        // Half of a pair is no character.
        ("\"subject\":", later("\"\\ud800\"")),
        ("\"subject\":", later("\"\\udc00\\ud800\"")),
        ("\"subject\":", later("{\"\\ud800\":0}")),
        // The event is the first of sixteen.
        ("\"subject\":", later(&nested(document::DEPTH_MAX))),
        ("\"subject\":", later(&nested(20_000))),
    ];
    for (from, to) in cases {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let request = stack.sign(id, &text.replace(from, &to), NOW);
        assert_refused(&world, request, 400, "notice-malformed").await;
    }
    let twice = format!("{text}{text}");
    assert_refused(&world, stack.sign(id, &twice, NOW), 400, "notice-malformed").await;
    // At the limits.
    let mut event = stack.event("established", NOW);
    event["later"] = serde_json::from_str(&nested(document::DEPTH_MAX - 1)).unwrap();
    event["data"]["later"] = json!([document::NUMBER_MAX, -9_007_199_254_740_991_i64, 0, null, true, "é\u{1f600}", {"": {}}]);
    assert_eq!(world.post(stack.send(event, NOW)).await.0, 200);
    assert_eq!(world.connections().await[0]["data"]["later"], json!(null));
}

/// Whoever does not name our contract is told which one it is, whatever else the notice holds.
#[tokio::test]
async fn contracts() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for schema in
        [json!("urn:hawser:notice:2"), json!("urn:hawser:notice"), json!("urn:hawser:notice:1.1"), json!(1), json!(null)]
    {
        let mut event = stack.event("established", NOW);
        event["dataschema"] = schema;
        let body = assert_refused(&world, stack.send(event.clone(), NOW), 422, "contract-version").await;
        assert!(body["detail"].as_str().unwrap().contains(document::CONTRACT), "{body}");
        event.as_object_mut().unwrap().remove("dataschema");
        assert_refused(&world, stack.send(event, NOW), 422, "contract-version").await;
    }
    assert_refused(&world, stack.sign("0", "{\"dataschema\":\"urn:hawser:notice:2\"}", NOW), 422, "contract-version").await;
}

#[tokio::test]
async fn bodies_that_are_no_notices() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let empty = json!({"dataschema": document::CONTRACT, "data": {}}).to_string();
    for body in ["", "null", "[]", "{", "\u{feff}{}", &empty, &"[".repeat(20_000)] {
        assert_refused(&world, stack.sign("0", body, NOW), 400, "notice-malformed").await;
    }
    let full = " ".repeat(NOTICE_BYTES_MAX + 1);
    assert_refused(&world, stack.sign("0", &full, NOW), 413, "notice-too-large").await;
    // At the limit it is read.
    let event = stack.prove(stack.event("established", NOW), NOW);
    let text = event.to_string();
    let padded = format!("{text}{}", " ".repeat(NOTICE_BYTES_MAX - text.len()));
    assert_eq!(world.post(stack.sign(event["id"].as_str().unwrap(), &padded, NOW)).await.0, 200);
}

/// The `webhook-id` that was signed is the event's id.
#[tokio::test]
async fn the_id_is_one() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let event = stack.prove(stack.event("established", NOW), NOW);
    let request = stack.sign("0123456789abcdef0123456789abcdef", &event.to_string(), NOW);
    assert_refused(&world, request, 422, "notice-inconsistent").await;
}

#[tokio::test]
async fn launches() {
    let world = TestConsole::new().await;
    // An expired launch.
    let stack = world.stack("51af3dc0").await;
    let late = NOW + Duration::hours(24);
    world.set_clock(late);
    assert_refused(&world, stack.send(stack.event("established", late), late), 403, "launch-expired").await;
    world.set_clock(late - Duration::seconds(1));
    // A launch for another account.
    let launch = world.launch(Some(OTHER_ACCOUNT)).await;
    let stack = Stack::new(&launch, "51af3dc1", &world.sts.url);
    let now = world.now();
    let body = assert_refused(&world, stack.send(stack.event("established", now), now), 403, "launch-of-other-account").await;
    assert!(body["detail"].as_str().unwrap().contains(&format!("`{ACCOUNT}`")));
    // A launch for this account.
    let stack = Stack::new(&world.launch(Some(ACCOUNT)).await, "51af3dc2", &world.sts.url);
    assert_eq!(world.post(stack.send(stack.event("established", now), now)).await.0, 200);
}

/// F-39: the external ID is the vendor's. The customer's edit of the parameter does not become the connection's.
#[tokio::test]
async fn the_external_id_is_never_taken_from_the_notice() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let edited = Stack {
        external_id: "my-own".to_owned(),
        token: stack.token.clone(),
        stack_id: stack.stack_id.clone(),
        ..world.stack("x").await
    };
    assert_refused(&world, edited.send(edited.event("established", NOW), NOW), 401, "signature-unknown").await;
    // Once the stack is known its key is found by the stack, and the edit is named.
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    for (kind, external_id) in [("updated", "my-own"), ("updated", ""), ("removed", "my-own")] {
        let edited = Stack {
            external_id: external_id.to_owned(),
            token: stack.token.clone(),
            stack_id: stack.stack_id.clone(),
            ..world.stack(kind).await
        };
        let (status, body) = world.notify(&edited, kind, 60).await;
        assert_eq!((status, code(&body)), (403, "external-id"), "{kind} `{external_id}`: {body}");
    }
    let connections = world.connections().await;
    assert_eq!(connections[0]["data"]["externalId"], stack.external_id);
    assert_eq!(connections[0]["state"], "announced");
}

/// Words for the person who reads the stack event: each says what to do, and none holds what must not be seen.
#[test]
fn every_refusal_says_what_to_do() {
    let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let problem = reason.with("x").problem();
        // Part of a failure reason of at most 4,096 bytes, beside the handler's own words.
        assert!(problem.detail.len() < 300, "{}", problem.detail);
        let next = ["deploy", "ask", "again", "leave", "sign in", "remove", "update", "use the way"];
        assert!(next.iter().any(|word| problem.detail.contains(word)), "{}", problem.detail);
    }
}

#[test]
fn a_notice_never_prints_its_proof() {
    let stack = Stack::new(&crate::support::launch(1, None), "51af3dc0", "http://127.0.0.1:1/");
    let event = stack.prove(stack.event("established", NOW), NOW);
    let notice = parse(&event, NOW).unwrap();
    let printed = format!("{notice:?}");
    assert!(!printed.contains(SESSION_TOKEN) && !printed.contains("Signature="), "{printed}");
}
