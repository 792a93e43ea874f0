//! The Python example of `docs/notices.md` does what the page says it does: it is run, not only shown.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use hawser_console::{document::Document, speaker::is_handler_role};
use serde_json::{Value, json};
use time::Duration;

use crate::support::{
    ACCOUNT, AUDIENCE, Behaviour, NOW, OTHER_ACCOUNT, Principal, Stack, StsStub, error_xml, identity_xml, launch,
};

/// Reads cases as JSON on stdin: the name of a function of the example and its arguments. Prints one line for each: `null` and
/// the result, or the error's class.
const HARNESS: &str = r#"
import sys
def run(case):
    name, args = case
    if name == "verify_signature":
        args[1] = args[1].encode()
    if name == "read":
        args[0] = args[0].encode()
    try:
        return [None, globals()[name](*args)]
    except Exception as error:
        return [type(error).__name__, str(error)]
for case in json.load(sys.stdin):
    print(json.dumps(run(case)))
"#;

fn python(cases: &Value) -> Vec<Value> {
    let page = include_str!("../../../docs/notices.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert!(example.contains(&format!("AUDIENCE = \"{AUDIENCE}\"")));
    let mut child = Command::new("python3")
        .args(["-c", &format!("{example}\n{HARNESS}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn signature_and_proof() {
    let stack = Stack::new(&launch(1, None), "51af3dc0", "https://sts.eu-west-1.amazonaws.com/");
    let mut event = stack.event("established", NOW);
    event["data"]["connectionName"] = json!("Größe \u{1}\u{7f} \"€\" \u{1f600} </x>");
    let event = stack.prove(event, NOW);
    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW);
    let headers: serde_json::Map<String, Value> =
        request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let (now, late) = (NOW.unix_timestamp(), (NOW + Duration::minutes(16)).unix_timestamp());
    let signature = |body: String, token: &str, now: i64| json!(["verify_signature", [headers, body, token, now]]);
    let other = launch(2, None);
    let mut cases = vec![
        (true, "good", signature(event.to_string(), &stack.token, now)),
        (false, "another body", signature(format!("{event} "), &stack.token, now)),
        (false, "another token", signature(event.to_string(), other.token.expose(), now)),
        (false, "late", signature(event.to_string(), &stack.token, late)),
        (true, "good proof", json!(["verify_proof", [event, now]])),
        (false, "old proof", json!(["verify_proof", [event, late]])),
    ];
    for (pointer, value) in [
        ("/type", "hawser.connection.removed"),
        ("/data/accountId", OTHER_ACCOUNT),
        ("/data/partition", "aws-later"),
        ("/data/region", "eu-west-1.example.com/"),
        ("/data/proofKinds/0", "token"),
        ("/data/proofs/0/kind", "token"),
        ("/data/proofs/0/url", "https://sts.example.com/"),
        ("/data/proofs/0/url", "http://sts.eu-west-1.amazonaws.com/"),
        ("/data/proofs/0/method", "GET"),
        ("/data/proofs/0/body", "Action=AssumeRole&Version=2011-06-15"),
        ("/data/proofs/0/headers/host", "sts.example.com"),
        ("/data/proofs/0/headers/x-hawser-audience", "evil.example.com"),
        ("/data/proofs/0/headers/x-amz-security-token", "a\r\nb: c"),
        ("/data/proofs/0/headers/authorization", "AWS4-HMAC-SHA256 x"),
    ] {
        let mut event = event.clone();
        *event.pointer_mut(pointer).unwrap() = json!(value);
        cases.push((false, pointer, json!(["verify_proof", [event, now]])));
    }
    let mut altered = event.clone();
    altered["data"]["proofs"][0]["headers"]["accept"] = json!("application/json");
    cases.push((false, "an extra header", json!(["verify_proof", [altered, now]])));
    let mut altered = event.clone();
    let unsigned = event["data"]["proofs"][0]["headers"]["authorization"].as_str().unwrap().replace(";x-hawser-audience", "");
    altered["data"]["proofs"][0]["headers"]["authorization"] = json!(unsigned);
    cases.push((false, "an unsigned header", json!(["verify_proof", [altered, now]])));

    // Whole numbers and `null` are canonical in Python's JSON as well.
    let mut status = stack.prove(stack.status_event("delivered", NOW), NOW);
    cases.push((true, "a billing status", json!(["verify_proof", [status, now]])));
    status["data"]["billingStatus"]["latest"]["files"] = json!(15);
    cases.push((false, "another number of files", json!(["verify_proof", [status, now]])));

    let asked: Value = cases.iter().map(|(.., case)| case.clone()).collect();
    let answers = python(&asked);
    assert_eq!(answers.len(), cases.len());
    for ((good, name, _), answer) in cases.iter().zip(answers) {
        let expected = if *good { json!([null, null]) } else { json!(["PermissionError", answer[1]]) };
        assert_eq!(answer, expected, "{name}");
    }
}

/// The example and the console refuse the same documents.
#[test]
fn documents() {
    let stack = Stack::new(&launch(1, None), "51af3dc0", "https://sts.eu-west-1.amazonaws.com/");
    let text = stack.prove(stack.status_event("delivered", NOW), NOW).to_string();
    let nested = |lists: usize| format!("{}0{}", "[".repeat(lists), "]".repeat(lists));
    let values = [
        "0",
        "-1",
        "null",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740992",
        "1.0",
        "1e3",
        "-0",
        "NaN",
        "-Infinity",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "{\"a\":1}",
        "{\"a\":1,\"a\":1}",
        "{\"é\":1}",
        "{\"\\u0061\":1,\"a\":1}",
        &nested(15),
        &nested(16),
    ];
    let later = |value: &str| text.replacen('{', &format!("{{\"later\":{value},"), 1);
    let mut bodies: Vec<String> = values.iter().map(|value| later(value)).collect();
    bodies.push(text.clone());
    bodies.push(text.replace("urn:hawser:notice:1", "urn:hawser:notice:2"));
    let cases: Vec<Value> = bodies.iter().map(|body| json!(["read", [body]])).collect();
    let mut taken = 0;
    for (body, answer) in bodies.iter().zip(python(&json!(cases))) {
        let read = Document::read(body.as_bytes()).is_ok();
        assert_eq!(answer[0].is_null(), read, "{body}: {answer}");
        taken += usize::from(read);
    }
    assert_eq!(taken, 8);
}

/// F-60: the example takes the same speakers as the console.
#[test]
fn speakers() {
    let long = "a".repeat(45);
    let data = |stack: &str, way: &str| json!({"accountId": ACCOUNT, "partition": "aws", "way": way, "stackId": format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/{stack}/51af3dc0")});
    let (hawser, handler) = (data("hawser", "stack"), Principal::Handler);
    let mut cases = vec![
        (true, handler, hawser.clone(), json!(null)),
        (true, handler, hawser.clone(), json!("AROA123456789EXAMPLE")),
        (false, Principal::Namesake, hawser.clone(), json!("AROA123456789EXAMPLE")),
        (false, handler, data("another", "stack"), json!(null)),
        (false, handler, data("hawser", "direct"), json!(null)),
    ];
    let others = [Principal::VendorB, Principal::User, Principal::Root, Principal::Federated];
    cases.extend(others.map(|principal| (false, principal, hawser.clone(), json!(null))));
    let mut asked: Vec<Value> = Vec::new();
    for (_, principal, data, pinned) in &cases {
        let (arn, user_id) = principal.of(ACCOUNT);
        asked.push(json!(["speaker", [{"Account": ACCOUNT, "Arn": arn, "UserId": user_id}, data, pinned]]));
    }
    let names = [
        ("hawser", "hawser-HandlerRole-1A2B3C4D5E6F"),
        ("hawser", "hawser-HandlerRole-1A2B"),
        ("hawser", "x-HandlerRole-1A2B3C4D5E6F"),
    ]
    .map(|(stack, name)| (stack.to_owned(), name.to_owned()));
    let cut = (33..=41).map(|chars| (long.clone(), format!("{}-HandlerRole-1A2B3C4D5E6F", &long[..chars])));
    let names: Vec<(String, String)> = names.into_iter().chain(cut).collect();
    asked.extend(names.iter().map(|(stack, name)| json!(["is_handler_role", [name, stack]])));
    let answers = python(&json!(asked));
    for ((good, principal, data, _), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer[0].is_null(), *good, "{principal:?} {data}: {answer}");
    }
    for ((stack, name), answer) in names.iter().zip(&answers[cases.len()..]) {
        assert_eq!(answer[1], is_handler_role(name, stack), "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_question_to_sts() {
    let (sts, elsewhere) = (StsStub::start().await, StsStub::start().await);
    elsewhere.behave(Behaviour::Fixed(200, "text/xml", identity_xml(ACCOUNT)));
    let stack = Stack::new(&launch(1, None), "51af3dc0", &sts.url);
    let event = stack.prove(stack.event("established", NOW), NOW);
    let ask = json!([["ask_sts", [event["data"]["proofs"][0]]]]);
    let answer = python(&ask);
    assert_eq!((&answer[0][0], &answer[0][1]["Account"]), (&json!(null), &json!(ACCOUNT)), "{answer:?}");

    let twice = identity_xml(ACCOUNT).replace("<Account>", "<Account>444455556666</Account><Account>");
    for behaviour in [
        Behaviour::Redirect(elsewhere.url.clone()),
        Behaviour::Fixed(403, "text/xml", error_xml("ExpiredToken")),
        Behaviour::Fixed(200, "text/xml", twice),
        Behaviour::Fixed(200, "text/xml", format!("<!DOCTYPE x>{}", identity_xml(ACCOUNT))),
        Behaviour::Fixed(200, "text/xml", "{}".to_owned()),
        Behaviour::Fixed(200, "text/xml", identity_xml(ACCOUNT) + &" ".repeat(9000)),
    ] {
        sts.behave(behaviour);
        let answer = python(&ask);
        assert!(answer[0][0].is_string(), "{answer:?}");
    }
    assert_eq!(elsewhere.calls(), 0);
}
