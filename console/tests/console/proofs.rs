//! Every way around the proof that we know of, one row each. Pure: nothing is sent.

use hawser_console::{
    proof::{self, Trust},
    refusal::{Reason, Refusal},
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::support::{AUDIENCE, NOW, OTHER_ACCOUNT, Stack, launch, parse};

const STS_URL: &str = "https://sts.eu-west-1.amazonaws.com/";

fn stack() -> Stack {
    Stack::new(&launch(1, None), "51af3dc0-da77-11e4-872e-1234567db123", STS_URL)
}

/// The proof of an event, at a time, by a console with this audience.
fn check_at(event: &Value, trust: &Trust, audience: &str, now: OffsetDateTime) -> Result<proof::StsRequest, Refusal> {
    let notice = parse(event, now)?;
    proof::check(&notice, trust, &[audience.to_owned()], now)
}

fn good() -> Value {
    stack().prove(stack().event("established", NOW), NOW)
}

#[test]
fn a_handlers_proof_is_forwarded_as_it_is() {
    let event = good();
    let sts_request = check_at(&event, &Trust::Aws, AUDIENCE, NOW).unwrap();
    assert_eq!(sts_request.url, STS_URL);
    let sent: Vec<&str> = sts_request.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["authorization", "content-type", "x-amz-date", "x-amz-security-token", "x-hawser-audience", "x-hawser-event-sha256"];
    assert_eq!(sent, expected);
    assert!(!format!("{sts_request:?}").contains("Signature="));
}

#[test]
fn nothing_but_a_handlers_proof_is_forwarded() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &str)] = &[
        ("another method", |p| p["method"] = json!("GET"), "its method is not POST"),
        ("method in lower case", |p| p["method"] = json!("post"), "its method is not POST"),
        ("another action", |p| p["body"] = json!("Action=AssumeRole&Version=2011-06-15"), "its body is not GetCallerIdentity"),
        ("a second action", |p| p["body"] = json!(format!("{}&Action=GetFederationToken", proof::BODY)), "its body is not"),
        ("an empty body", |p| p["body"] = json!(""), "its body is not"),
        ("a foreign host", |p| p["url"] = json!("https://sts.example.com/"), "its URL is not"),
        ("a host that begins right", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com.example.com/"), "its URL is not"),
        ("a host that ends right", |p| p["url"] = json!("https://evil-sts.eu-west-1.amazonaws.com/"), "its URL is not"),
        ("another service", |p| p["url"] = json!("https://s3.eu-west-1.amazonaws.com/"), "its URL is not"),
        ("another Region", |p| p["url"] = json!("https://sts.us-east-1.amazonaws.com/"), "its URL is not"),
        ("another partition", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com.cn/"), "its URL is not"),
        ("the global endpoint", |p| p["url"] = json!("https://sts.amazonaws.com/"), "its URL is not"),
        ("plain http", |p| p["url"] = json!("http://sts.eu-west-1.amazonaws.com/"), "its URL is not"),
        ("a port", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com:8443/"), "its URL is not"),
        ("the default port, written", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com:443/"), "its URL is not"),
        ("a user name", |p| p["url"] = json!("https://a@sts.eu-west-1.amazonaws.com/"), "its URL is not"),
        (
            "a user name that looks like the host",
            |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com@example.com/"),
            "its URL is not",
        ),
        ("a path", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com/x"), "its URL is not"),
        ("no path", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com"), "its URL is not"),
        ("a query", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com/?Action=AssumeRole"), "its URL is not"),
        ("a fragment", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com/#"), "its URL is not"),
        ("capitals in the host", |p| p["url"] = json!("https://STS.eu-west-1.amazonaws.com/"), "its URL is not"),
        ("a line break in the URL", |p| p["url"] = json!("https://sts.eu-west-1.amazonaws.com/\n"), "its URL is not"),
        ("an extra header", |p| p["headers"]["x-amz-target"] = json!("x"), "it has an unknown header"),
        (
            "a header that changes the answer's form",
            |p| p["headers"]["accept"] = json!("application/json"),
            "it has an unknown header",
        ),
        ("a second host by case", |p| p["headers"]["Host"] = json!("sts.example.com"), "it has an unknown header"),
        ("a second audience by case", |p| p["headers"]["X-Hawser-Audience"] = json!(AUDIENCE), "it has an unknown header"),
        ("an empty header name", |p| p["headers"][""] = json!("x"), "it has an unknown header"),
        ("another host header", |p| p["headers"]["host"] = json!("sts.us-east-1.amazonaws.com"), "its host is not"),
        (
            "another content type",
            |p| p["headers"]["content-type"] = json!("application/x-amz-json-1.1"),
            "its content type is not",
        ),
        (
            "made for another vendor",
            |p| p["headers"]["x-hawser-audience"] = json!("evil.example.com"),
            "it was made for another vendor",
        ),
        (
            "our name without the port",
            |p| p["headers"]["x-hawser-audience"] = json!("hawser.example.com"),
            "it was made for another vendor",
        ),
        ("another data hash", |p| p["headers"]["x-hawser-event-sha256"] = json!("0".repeat(64)), "it covers another event"),
        ("a header split by a line break", |p| p["headers"]["x-amz-security-token"] = json!("a\r\nhost: evil"), "not plain text"),
        ("an empty session token", |p| p["headers"]["x-amz-security-token"] = json!(""), "not plain text"),
        ("a session token above our limit", |p| p["headers"]["x-amz-security-token"] = json!("a".repeat(8193)), "not plain text"),
        ("no audience", |p| drop(p["headers"].as_object_mut().unwrap().remove("x-hawser-audience")), "a header is missing"),
        ("no data hash", |p| drop(p["headers"].as_object_mut().unwrap().remove("x-hawser-event-sha256")), "a header is missing"),
        ("no host", |p| drop(p["headers"].as_object_mut().unwrap().remove("host")), "a header is missing"),
        ("no date", |p| drop(p["headers"].as_object_mut().unwrap().remove("x-amz-date")), "a header is missing"),
        ("no content type", |p| drop(p["headers"].as_object_mut().unwrap().remove("content-type")), "a header is missing"),
        ("no authorization", |p| drop(p["headers"].as_object_mut().unwrap().remove("authorization")), "a header is missing"),
        (
            "a session token taken out",
            |p| drop(p["headers"].as_object_mut().unwrap().remove("x-amz-security-token")),
            "one of its headers is not signed",
        ),
        ("audience not signed", |p| unsign(p, "x-hawser-audience"), "one of its headers is not signed"),
        ("data hash not signed", |p| unsign(p, "x-hawser-event-sha256"), "one of its headers is not signed"),
        ("host not signed", |p| unsign(p, "host"), "one of its headers is not signed"),
        ("date not signed", |p| unsign(p, "x-amz-date"), "one of its headers is not signed"),
        ("session token not signed", |p| unsign(p, "x-amz-security-token"), "one of its headers is not signed"),
        ("content type not signed", |p| unsign(p, "content-type"), "one of its headers is not signed"),
        (
            "a header signed twice",
            |p| swap(p, "=content-type;", "=content-type;content-type;"),
            "one of its headers is not signed",
        ),
        (
            "a header signed that is not sent",
            |p| swap(p, ";x-amz-date;", ";x-amz-date;x-amz-expires;"),
            "one of its headers is not signed",
        ),
        ("signed in capitals", |p| swap(p, ";host;", ";Host;"), "one of its headers is not signed"),
        (
            "another algorithm",
            |p| swap(p, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            "does not have the AWS4-HMAC-SHA256 form",
        ),
        (
            "a second credential",
            |p| swap(p, "SignedHeaders", "Credential=A/20261122/eu-west-1/sts/aws4_request, SignedHeaders"),
            "does not have the AWS4",
        ),
        (
            "a short signature",
            |p| {
                p["headers"]["authorization"] =
                    json!(p["headers"]["authorization"].as_str().unwrap().trim_end_matches(|c: char| c.is_ascii_hexdigit()))
            },
            "does not have the AWS4",
        ),
        ("another Region's scope", |p| swap(p, "/eu-west-1/", "/us-east-1/"), "its scope is not"),
        ("another service's scope", |p| swap(p, "/sts/", "/iam/"), "its scope is not"),
        ("another day's scope", |p| swap(p, "/20261122/", "/20261121/"), "its scope is not"),
        ("a date without time", |p| p["headers"]["x-amz-date"] = json!("20261122"), "its date does not have the form"),
        (
            "a date with an offset",
            |p| p["headers"]["x-amz-date"] = json!("20261122T100000+0000"),
            "its date does not have the form",
        ),
    ];
    for (name, change, expected) in cases {
        let mut event = good();
        change(&mut event["data"]["proofs"][0]);
        match check_at(&event, &Trust::Aws, AUDIENCE, NOW) {
            Err(Refusal { reason: Reason::Proof, found }) => assert!(found.contains(expected), "{name}: {found}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Every leaf of the event is vouched for, also one that this version does not know: change any one after the proof was made, and it
/// is refused.
#[test]
fn an_event_altered_after_the_proof_is_refused() {
    let mut event = stack().event("established", NOW);
    event["later"] = json!({"a": ["b"]});
    event["data"]["later"] = json!("c");
    let event = stack().prove(event, NOW);
    let mut pointers = Vec::new();
    leaves(&event, String::new(), &mut pointers);
    pointers.retain(|pointer| !pointer.starts_with("/data/proofs/"));
    assert!(pointers.len() > 38, "{pointers:?}");
    for pointer in pointers {
        let mut altered = event.clone();
        let leaf = altered.pointer_mut(&pointer).unwrap();
        // Stays well formed where forms are checked before the proof.
        *leaf = match leaf.as_str().unwrap() {
            "hawser.connection.established" => json!("hawser.connection.updated"),
            "2026-11-22T10:00:00Z" => json!("2026-11-22T10:00:01Z"),
            text => json!(format!("{text}x")),
        };
        match check_at(&altered, &Trust::Aws, AUDIENCE, NOW) {
            Err(Refusal { reason: Reason::Proof, found }) => {
                assert_eq!(found, "it covers another event than this notice", "{pointer}")
            }
            Err(Refusal { reason: Reason::Inconsistent | Reason::Malformed | Reason::ContractVersion, .. }) => {}
            other => panic!("{pointer}: {other:?}"),
        }
    }
}

#[test]
fn a_proof_is_valid_for_a_limited_time() {
    let event = good();
    let at = |seconds: i64| check_at(&event, &Trust::Aws, AUDIENCE, NOW + Duration::seconds(seconds)).map(drop);
    assert_eq!(at(15 * 60), Ok(()));
    assert_eq!(at(15 * 60 + 1), Err(Reason::Proof.with("it is older than 15 minutes")));
    let early = stack().prove(stack().event("established", NOW - Duration::minutes(10)), NOW);
    let at = |seconds: i64| check_at(&early, &Trust::Aws, AUDIENCE, NOW - Duration::seconds(seconds)).map(drop);
    assert_eq!(at(5 * 60), Ok(()));
    assert_eq!(at(5 * 60 + 1), Err(Reason::Proof.with("its date is in the future")));
}

/// Every proof covers which kinds were sent, so none can be taken away, added or exchanged on the way.
#[test]
fn the_kinds_of_proofs_are_those_that_were_sent() {
    let sent = |kinds: &[&str], there: &[&str]| {
        let mut event = stack().event("established", NOW);
        event["data"]["proofKinds"] = json!(kinds);
        let mut event = stack().prove(event, NOW);
        let known = event["data"]["proofs"][0].take();
        let proof = |kind: &&str| if *kind == "request" { known.clone() } else { json!({"kind": kind, "text": "x"}) };
        event["data"]["proofs"] = there.iter().map(proof).collect();
        check_at(&event, &Trust::Aws, AUDIENCE, NOW).map(drop).map_err(|refusal| refusal.reason)
    };
    for (kinds, there, expected) in [
        (&["request"][..], &["request"][..], Ok(())),
        (&["later", "request"], &["later", "request"], Ok(())),
        (&["request", "later", "later"], &["request", "later", "later"], Ok(())),
        (&["request", "later"], &["request"], Err(Reason::Inconsistent)),
        (&["request"], &["request", "later"], Err(Reason::Inconsistent)),
        (&["request", "later"], &["later", "request"], Err(Reason::Inconsistent)),
        (&["later"], &["later"], Err(Reason::Proof)),
        (&[], &[], Err(Reason::Proof)),
        (&["request", "request"], &["request", "request"], Err(Reason::Malformed)),
    ] {
        assert_eq!(sent(kinds, there), expected, "{kinds:?} {there:?}");
    }
}

/// A vendor that changes its host name goes on hearing the stacks that were made under the old one.
#[test]
fn a_vendor_may_have_several_names() {
    let event = good();
    let notice = parse(&event, NOW).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(proof::check(&notice, &Trust::Aws, &names(&["new.example.com", AUDIENCE]), NOW).is_ok());
    for foreign in [&["new.example.com"][..], &[]] {
        assert!(proof::check(&notice, &Trust::Aws, &names(foreign), NOW).is_err());
    }
}

#[test]
fn another_vendors_proof_is_of_no_use_here() {
    let relayed = Stack { audience: "evil.example.com".to_owned(), ..stack() };
    let event = relayed.prove(relayed.event("established", NOW), NOW);
    let refusal = check_at(&event, &Trust::Aws, AUDIENCE, NOW).unwrap_err();
    assert_eq!(refusal, Reason::Proof.with("it was made for another vendor"));
}

/// The endpoint for emulators replaces AWS's own, it does not stand beside them.
#[test]
fn only_the_configured_endpoint_is_believed() {
    let only = Trust::Only("http://127.0.0.1:4566".parse().unwrap());
    let refusal = check_at(&good(), &only, AUDIENCE, NOW).unwrap_err();
    assert_eq!(refusal, Reason::Proof.with("its URL is not the STS endpoint of the stack's Region"));
    let local = Stack { sts_url: "http://127.0.0.1:4566/".to_owned(), ..stack() };
    let event = local.prove(local.event("established", NOW), NOW);
    assert_eq!(check_at(&event, &only, AUDIENCE, NOW).unwrap().url, "http://127.0.0.1:4566/");
    assert!(check_at(&event, &Trust::Aws, AUDIENCE, NOW).is_err());
}

#[test]
fn each_partition_has_its_own_hosts() {
    for (partition, region, url) in [
        ("aws", "eu-west-1", "https://sts.eu-west-1.amazonaws.com/"),
        ("aws-cn", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"),
        ("aws-us-gov", "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com/"),
        ("aws-eusc", "eusc-de-east-1", "https://sts.eusc-de-east-1.amazonaws.eu/"),
    ] {
        let own = stack();
        let text = own.event("established", NOW).to_string();
        let text = text.replace("arn:aws:cloudformation:eu-west-1:", &format!("arn:{partition}:cloudformation:{region}:"));
        let text = text.replace("\"arn:aws:", &format!("\"arn:{partition}:"));
        let mut event: Value = serde_json::from_str(&text).unwrap();
        event["data"]["partition"] = json!(partition);
        event["data"]["region"] = json!(region);
        let mut event = Stack { sts_url: url.to_owned(), ..own }.prove(event, NOW);
        swap(&mut event["data"]["proofs"][0], "/eu-west-1/", &format!("/{region}/"));
        assert_eq!(check_at(&event, &Trust::Aws, AUDIENCE, NOW).unwrap().url, url);
    }
}

#[test]
fn accounts_must_agree_before_anything_is_sent() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("account id", |e| e["data"]["accountId"] = json!(OTHER_ACCOUNT)),
        ("subject", |e| e["subject"] = json!(OTHER_ACCOUNT)),
        ("role", |e| e["data"]["roleArn"] = json!(format!("arn:aws:iam::{OTHER_ACCOUNT}:role/x"))),
        ("role's partition", |e| e["data"]["roleArn"] = json!("arn:aws-cn:iam::111122223333:role/x")),
        ("no role", |e| e["data"]["roleArn"] = json!("")),
        ("stack", |e| e["data"]["stackId"] = json!(format!("arn:aws:cloudformation:eu-west-1:{OTHER_ACCOUNT}:stack/hawser/1"))),
        ("source", |e| e["source"] = json!(format!("arn:aws:cloudformation:eu-west-1:{OTHER_ACCOUNT}:stack/hawser/1"))),
        ("Region", |e| e["data"]["region"] = json!("us-east-1")),
        ("partition", |e| e["data"]["partition"] = json!("aws-cn")),
        ("id", |e| e["id"] = json!("X".repeat(32))),
        ("time", |e| e["time"] = json!("2026-11-22T10:05:01Z")),
    ];
    for (name, change) in cases {
        let mut event = stack().event("established", NOW);
        change(&mut event);
        let event = stack().prove(event, NOW);
        let refusal = check_at(&event, &Trust::Aws, AUDIENCE, NOW).unwrap_err();
        assert_eq!(refusal.reason, Reason::Inconsistent, "{name}: {refusal:?}");
    }
}

fn unsign(proof: &mut Value, header: &str) {
    let authorization = proof["headers"]["authorization"].as_str().unwrap();
    let shorter = authorization.replace(&format!(";{header}"), "").replace(&format!("={header};"), "=");
    assert_ne!(shorter, authorization);
    proof["headers"]["authorization"] = json!(shorter);
}

fn swap(proof: &mut Value, from: &str, to: &str) {
    let authorization = proof["headers"]["authorization"].as_str().unwrap();
    assert!(authorization.contains(from), "{from}");
    proof["headers"]["authorization"] = json!(authorization.replace(from, to));
}

fn leaves(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| leaves(inner, format!("{pointer}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, inner)| leaves(inner, format!("{pointer}/{at}"), found)),
        _ => found.push(pointer),
    }
}
