//! `docs/notice.schema.json` against `docs/examples/`, against what stacks send, and against the console's own parser.

use hawser_console::{names::Partition, notice::Notice};
use jsonschema::Validator;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{NOW, Stack, billing_status, launch};

fn schema() -> Validator {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn example() -> Value {
    serde_json::from_str(include_str!("../../../docs/examples/notice-established.json")).unwrap()
}

/// The other one with what `docs/notices.md` shows of a billing status.
fn status_example() -> Value {
    let page = include_str!("../../../docs/notices.md");
    let status = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let mut event = example();
    event["type"] = json!("hawser.billing.status");
    event["time"] = json!("2026-11-24T16:00:02Z");
    event["data"]["billingStatus"] = serde_json::from_str(status).unwrap();
    event
}

fn parses(event: &Value) -> bool {
    Notice::parse(event.to_string().as_bytes(), event["id"].as_str().unwrap_or_default(), NOW + Duration::days(3)).is_ok()
}

fn empty_removal(mut event: Value) -> Value {
    event["type"] = json!("hawser.connection.removed");
    for (name, empty) in [
        ("roleArn", json!("")),
        ("externalId", json!("")),
        ("accessKeySecretArn", json!("")),
        ("accessKeyId", json!("")),
        ("packs", json!({})),
        ("regions", json!([])),
        ("organization", json!({})),
        ("billingExport", json!({})),
    ] {
        event["data"][name] = empty;
    }
    event
}

#[test]
fn good_notices_are_valid() {
    let schema = schema();
    let stack = Stack::new(&launch(1, None), "51af3dc0", "https://sts.eu-west-1.amazonaws.com/");
    let sent = |kind| stack.prove(stack.event(kind, NOW), NOW);
    let mut role_only = example();
    role_only["data"]["billingExport"] = json!({
        "kind": "None", "name": "", "arn": "", "bucketName": "", "bucketArn": "", "bucketRegion": "", "prefix": "", "format": "",
        "origin": "none", "decision": "none: not asked for", "firstDataDueBy": "", "backfill": "", "kmsKeyArn": "",
    });
    role_only["data"]["organization"] =
        json!({"accountRole": "standalone", "managementAccountId": "", "organizationId": "", "featureSet": ""});
    role_only["data"]["packs"] = json!({});
    let mut with_keys = example();
    with_keys["data"]["accessKeySecretArn"] =
        json!("arn:aws:secretsmanager:eu-west-1:111122223333:secret:VendorAccessKeySecret-1A2b3C");
    with_keys["data"]["accessKeyId"] = json!("AKIAIOSFODNN7EXAMPLE");
    let mut long_term_key = example();
    long_term_key["data"]["proof"]["headers"].as_object_mut().unwrap().remove("x-amz-security-token");
    let status = |state| stack.prove(stack.status_event(state, NOW), NOW);
    let connection =
        [example(), sent("established"), sent("updated"), sent("removed"), empty_removal(example()), role_only, with_keys];
    let statuses = [status_example(), status("waiting"), status("delivered"), status("stalled"), status("failed")];
    for event in connection.into_iter().chain(statuses).chain([long_term_key]) {
        let errors: Vec<String> = schema.iter_errors(&event).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert!(parses(&event), "{event}");
    }
}

/// Schema and parser refuse the same forms. Where parts must agree with each other, only the parser can tell.
#[test]
fn bad_notices_are_not() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("another specification", |e| e["specversion"] = json!("0.3")),
        ("an id that is too short", |e| e["id"] = json!("abc")),
        ("an id in capitals", |e| e["id"] = json!("0123456789ABCDEF0123456789ABCDEF")),
        ("an unknown type", |e| e["type"] = json!("hawser.connection.lost")),
        ("no status in a billing status", |e| e["type"] = json!("hawser.billing.status")),
        ("a status in another notice", |e| e["data"]["billingStatus"] = billing_status("waiting", NOW)),
        ("no role in a billing status", |e| {
            e["type"] = json!("hawser.billing.status");
            e["data"]["billingStatus"] = billing_status("waiting", NOW);
            e["data"]["roleArn"] = json!("");
        }),
        ("a time with an offset", |e| e["time"] = json!("2026-11-22T10:00:00+01:00")),
        ("a time that is a number", |e| e["time"] = json!(0)),
        ("a source that is no stack", |e| {
            e["source"] = json!("https://example.com");
            e["data"]["stackId"] = json!("https://example.com");
        }),
        ("a subject that is no account", |e| {
            e["subject"] = json!("1111");
            e["data"]["accountId"] = json!("1111");
        }),
        ("another content type", |e| e["datacontenttype"] = json!("text/plain")),
        ("something unknown", |e| e["extra"] = json!("x")),
        ("something unknown in the data", |e| e["data"]["extra"] = json!("x")),
        ("something unknown in the proof", |e| e["data"]["proof"]["extra"] = json!("x")),
        ("an unknown partition", |e| e["data"]["partition"] = json!("aws-iso")),
        ("a boolean mode", |e| e["data"]["packs"]["billing"] = json!(true)),
        ("an unknown mode", |e| e["data"]["packs"]["billing"] = json!("Full")),
        ("regions as text", |e| e["data"]["regions"] = json!("eu-west-1")),
        ("an unknown account role", |e| e["data"]["organization"]["accountRole"] = json!("payer")),
        ("something unknown in the organization", |e| e["data"]["organization"]["extra"] = json!("x")),
        ("an unknown kind", |e| e["data"]["billingExport"]["kind"] = json!("Cur")),
        ("an unknown format", |e| e["data"]["billingExport"]["format"] = json!("Orc")),
        ("an unknown origin", |e| e["data"]["billingExport"]["origin"] = json!("found")),
        ("something unknown in the export", |e| e["data"]["billingExport"]["extra"] = json!("x")),
        ("no role when established", |e| e["data"]["roleArn"] = json!("")),
        ("a role that is a user", |e| e["data"]["roleArn"] = json!("arn:aws:iam::111122223333:user/x")),
        ("a secret that is none", |e| e["data"]["accessKeySecretArn"] = json!("keys")),
        ("a secret that is a parameter", |e| {
            e["data"]["accessKeySecretArn"] = json!("arn:aws:ssm:eu-west-1:111122223333:parameter/x");
        }),
        ("a key that is none", |e| e["data"]["accessKeyId"] = json!("AKIA/..")),
        ("no facts when established", |e| e["data"]["organization"] = json!({})),
        ("no export when updated", |e| {
            e["type"] = json!("hawser.connection.updated");
            e["data"]["billingExport"] = json!({});
        }),
    ];
    let schema = schema();
    for (name, change) in cases {
        let mut event = example();
        change(&mut event);
        assert!(!schema.is_valid(&event), "the schema takes {name}");
        assert!(!parses(&event), "the parser takes {name}");
    }
}

/// Schema and parser know the same partitions.
#[test]
fn every_partition_of_the_schema_is_the_consoles() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    let partitions = Partition::ALL.map(Partition::as_str);
    assert_eq!(schema["$defs"]["data"]["properties"]["partition"]["enum"], json!(partitions));
}

/// Everything in the example is required: leave out any one, and it is not a notice.
#[test]
fn every_field_is_required() {
    let schema = schema();
    let mut left_out = 0;
    for holder in ["", "/data", "/data/organization", "/data/billingExport", "/data/proof", "/data/proof/headers"] {
        let names: Vec<String> = example().pointer(holder).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names.iter().filter(|name| *name != "x-amz-security-token") {
            let mut event = example();
            event.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(name);
            assert!(!schema.is_valid(&event), "{holder}/{name}");
            // The proof's headers are the business of its own check.
            assert!(holder.ends_with("headers") || !parses(&event), "{holder}/{name}");
            left_out += 1;
        }
    }
    assert_eq!(left_out, 8 + 16 + 4 + 13 + 4 + 6);
}

/// The schema also knows the proof's form, which the console checks in a step of its own.
#[test]
fn bad_proofs_are_not_valid() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("another method", |p| p["method"] = json!("GET")),
        ("another body", |p| p["body"] = json!("Action=AssumeRole&Version=2011-06-15")),
        ("plain text as URL", |p| p["url"] = json!("sts")),
        ("an unknown header", |p| p["headers"]["accept"] = json!("*/*")),
        ("a header in capitals", |p| p["headers"]["Host"] = json!("x")),
        ("another content type", |p| p["headers"]["content-type"] = json!("application/json")),
        ("a hash that is none", |p| p["headers"]["x-hawser-data-sha256"] = json!("abc")),
        ("a date that is none", |p| p["headers"]["x-amz-date"] = json!("2026-11-22T10:00:00Z")),
        ("another algorithm", |p| p["headers"]["authorization"] = json!("Bearer x")),
    ];
    let schema = schema();
    for (name, change) in cases {
        let mut event = example();
        change(&mut event["data"]["proof"]);
        assert!(!schema.is_valid(&event), "the schema takes {name}");
    }
}
