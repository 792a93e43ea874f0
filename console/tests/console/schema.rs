//! `docs/notice.schema.json` against `docs/examples/`, against what stacks send, and against the console's own parser.

use hawser_console::names::Partition;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use time::Duration;

use crate::support::{NOW, Stack, billing_status, launch, parse};

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

/// Puts a list of an object's values in its place, in the order of the console's own fields, which serde would take for it.
fn as_list(event: &mut Value, pointer: &str, fields: &[&str]) {
    let place = event.pointer_mut(pointer).unwrap();
    assert_eq!(place.as_object().unwrap().len(), fields.len(), "{pointer}");
    *place = fields.iter().map(|name| place[*name].take()).collect();
}

fn parses(event: &Value) -> bool {
    parse(event, NOW + Duration::days(3)).is_ok()
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
        "compression": "", "refreshesClosedMonths": "", "versioning": "", "iamPrincipalData": "",
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
    long_term_key["data"]["proofs"][0]["headers"].as_object_mut().unwrap().remove("x-amz-security-token");
    let status = |state| stack.prove(stack.status_event(state, NOW), NOW);
    let mut long = example();
    long["data"]["connectionName"] = json!("ü".repeat(256));
    long["data"]["billingExport"]["decision"] = json!("ü".repeat(4096));
    long["data"]["regions"] = json!(vec!["eu-west-1"; 64]);
    let connection =
        [long, example(), sent("established"), sent("updated"), sent("removed"), empty_removal(example()), role_only, with_keys];
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
        ("no status in a billing status", |e| e["type"] = json!("hawser.billing.status")),
        ("no role in a billing status", |e| {
            e["type"] = json!("hawser.billing.status");
            e["data"]["billingStatus"] = billing_status("waiting", NOW);
            e["data"]["roleArn"] = json!("");
        }),
        ("no contract", |e| drop(e.as_object_mut().unwrap().remove("dataschema"))),
        ("another contract", |e| e["dataschema"] = json!("urn:hawser:notice:2")),
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
        ("an unknown partition", |e| e["data"]["partition"] = json!("aws-iso")),
        ("a boolean mode", |e| e["data"]["packs"]["billing"] = json!(true)),
        ("an account role that is no text", |e| e["data"]["organization"]["accountRole"] = json!(1)),
        ("an origin that is null", |e| e["data"]["billingExport"]["origin"] = json!(null)),
        ("a way that is no text", |e| e["data"]["way"] = json!(["stack"])),
        ("an empty resource", |e| e["data"]["resource"] = json!("")),
        ("a proof without a kind", |e| drop(e["data"]["proofs"][0].as_object_mut().unwrap().remove("kind"))),
        ("proofs that are one", |e| e["data"]["proofs"] = e["data"]["proofs"][0].take()),
        ("regions as text", |e| e["data"]["regions"] = json!("eu-west-1")),
        ("no role when established", |e| e["data"]["roleArn"] = json!("")),
        ("a role that is a user", |e| e["data"]["roleArn"] = json!("arn:aws:iam::111122223333:user/x")),
        ("a secret that is none", |e| e["data"]["accessKeySecretArn"] = json!("keys")),
        ("a secret that is a parameter", |e| {
            e["data"]["accessKeySecretArn"] = json!("arn:aws:ssm:eu-west-1:111122223333:parameter/x");
        }),
        ("an organization as a list", |e| {
            as_list(e, "/data/organization", &["accountRole", "featureSet", "managementAccountId", "organizationId"]);
        }),
        ("a billing export as a list", |e| e["data"]["billingExport"] = vec![""; 17].into()),
        ("a billing status as a list", |e| {
            *e = status_example();
            as_list(e, "/data/billingStatus", &["state", "checkedAt", "dueBy", "first", "latest", "problem"]);
        }),
        ("a first delivery as a list", |e| {
            *e = status_example();
            as_list(e, "/data/billingStatus/first", &["period", "manifest", "deliveredAt"]);
        }),
        ("a latest delivery as a list", |e| {
            *e = status_example();
            as_list(e, "/data/billingStatus/latest", &["period", "manifest", "deliveredAt", "files", "bytes"]);
        }),
        ("a problem as a list", |e| {
            *e = status_example();
            e["data"]["billingStatus"]["problem"] = json!(["BILLING_BUCKET_REJECTED", "AWS may not write", "Allow it."]);
        }),
        ("packs as a list", |e| e["data"]["packs"] = json!([["billing", "ReadOnly"]])),
        ("data as a list", |e| e["data"] = e["data"].as_object().unwrap().values().cloned().collect()),
        ("a name without end", |e| e["data"]["connectionName"] = json!("ü".repeat(257))),
        ("a decision without end", |e| e["data"]["billingExport"]["decision"] = json!("ü".repeat(4097))),
        ("a version without end", |e| e["data"]["templateVersion"] = json!("1".repeat(4097))),
        ("a feature set without end", |e| e["data"]["organization"]["featureSet"] = json!("A".repeat(4097))),
        ("a Region without end", |e| e["data"]["regions"] = json!(["a".repeat(4097)])),
        ("Regions without end", |e| e["data"]["regions"] = json!(vec!["eu-west-1"; 65])),
        ("packs without end", |e| {
            e["data"]["packs"] = (0..65).map(|number| (format!("p{number}"), json!("ReadOnly"))).collect::<Map<_, _>>().into();
        }),
        ("a pack without end", |e| e["data"]["packs"]["p".repeat(257)] = json!("ReadOnly")),
        ("proofs without end", |e| {
            e["data"].as_object_mut().unwrap().remove("proofKinds");
            let later = vec![json!({"kind": "later"}); 64];
            e["data"]["proofs"].as_array_mut().unwrap().extend(later);
        }),
        ("a time without end", |e| e["time"] = json!(format!("2026-11-22T10:00:00.{}Z", "0".repeat(64)))),
        ("a due time without end", |e| {
            *e = status_example();
            e["data"]["billingStatus"]["dueBy"] = json!(format!("2026-11-22T10:00:00.{}Z", "0".repeat(64)));
        }),
        ("a key that is none", |e| e["data"]["accessKeyId"] = json!("AKIA/..")),
    ];
    let schema = schema();
    for (name, change) in cases {
        let mut event = example();
        change(&mut event);
        assert!(!schema.is_valid(&event), "the schema takes {name}");
        assert!(!parses(&event), "the parser takes {name}");
    }
}

/// Every value that the schema names is taken as it is, and any other as not known.
#[test]
fn enumerations_are_open() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    let mut enumerations = 0;
    for (holder, group) in [("/data", "data"), ("/data/organization", "organization"), ("/data/billingExport", "billingExport")] {
        for (name, field) in schema["$defs"][group]["properties"].as_object().unwrap() {
            let Some(known) = field["examples"].as_array() else { continue };
            enumerations += 1;
            let pointer = format!("{holder}/{name}");
            let stored = |value: &Value| {
                let mut event = example();
                *event.pointer_mut(&pointer).unwrap() = value.clone();
                parse(&event, NOW).unwrap().data.pointer(pointer.strip_prefix("/data").unwrap()).unwrap().clone()
            };
            for value in known {
                assert_eq!(stored(value), *value, "{pointer}");
            }
            // The one list that AWS keeps and not the handler: told as it is.
            let later = json!("later");
            assert_eq!(stored(&later), if name == "featureSet" { later } else { json!("") }, "{pointer}");
        }
    }
    assert_eq!(enumerations, 10);
    let modes = schema["$defs"]["data"]["properties"]["packs"]["additionalProperties"]["examples"].clone();
    assert_eq!(modes, json!(["ReadOnly", "ReadWrite"]));
    let mut event = example();
    event["data"]["packs"] = json!({"a": "ReadOnly", "b": "ReadWrite", "c": "Full"});
    assert_eq!(parse(&event, NOW).unwrap().data["packs"], json!({"a": "ReadOnly", "b": "ReadWrite", "c": ""}));
}

/// Schema and parser know the same partitions.
#[test]
fn every_partition_of_the_schema_is_the_consoles() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    let partitions = Partition::ALL.map(Partition::as_str);
    assert_eq!(schema["$defs"]["data"]["properties"]["partition"]["enum"], json!(partitions));
}

/// Leave out what every notice has for ever, and it is not a notice. Leave out anything else, and it is one that says less.
#[test]
fn a_field_is_required_for_ever_or_not_at_all() {
    const EVENT: [&str; 9] = ["specversion", "id", "source", "subject", "type", "time", "datacontenttype", "dataschema", "data"];
    const DATA: [&str; 8] = ["accountId", "partition", "region", "stackId", "resource", "externalId", "proofs", "roleArn"];
    const PROOF: [&str; 5] = ["kind", "method", "url", "headers", "body"];
    let schema = schema();
    for (holder, required) in [
        ("", &EVENT[..]),
        ("/data", &DATA),
        ("/data/organization", &[]),
        ("/data/billingExport", &[]),
        ("/data/proofs/0", &PROOF),
    ] {
        let names: Vec<String> = example().pointer(holder).unwrap().as_object().unwrap().keys().cloned().collect();
        assert!(required.iter().all(|name| names.iter().any(|one| one == name)), "{holder}");
        for name in names {
            let mut event = example();
            event.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(&name);
            let expected = !required.contains(&name.as_str());
            assert_eq!((schema.is_valid(&event), parses(&event)), (expected, expected), "{holder}/{name}");
        }
    }
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
        ("no digest", |p| drop(p["headers"].as_object_mut().unwrap().remove("x-hawser-event-sha256"))),
        ("a hash that is none", |p| p["headers"]["x-hawser-event-sha256"] = json!("abc")),
        ("a date that is none", |p| p["headers"]["x-amz-date"] = json!("2026-11-22T10:00:00Z")),
        ("an access key id without end", |p| {
            let authorization = p["headers"]["authorization"].as_str().unwrap();
            p["headers"]["authorization"] =
                json!(authorization.replace("Credential=", &format!("Credential={}", "A".repeat(129))));
        }),
        ("another algorithm", |p| p["headers"]["authorization"] = json!("Bearer x")),
    ];
    let schema = schema();
    for (name, change) in cases {
        let mut event = example();
        change(&mut event["data"]["proofs"][0]);
        assert!(!schema.is_valid(&event), "the schema takes {name}");
    }
}
