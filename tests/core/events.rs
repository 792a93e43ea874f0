//! The files in `events/`: their shape, their expectations and their table say the same.

use std::collections::{BTreeMap, BTreeSet};

use hawser::{billing, connection, delivery, error::Code, protocol::envelope::Envelope, request::Request};
use serde_json::Value;

use crate::support::{self, assert_written, cases::Event};

/// Two files that are not even objects.
const NO_OBJECTS: [&str; 2] = ["malformed.json", "not-an-object.json"];

/// The expectations themselves.
const EXPECTED: &str = "expected.json";

fn read(name: &str) -> String {
    support::read(format!("events/{name}"))
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_str(&read(EXPECTED)).unwrap()
}

/// The codes an event may end with, or be told to the vendor; none is a success.
fn codes(expectation: &Value) -> Vec<String> {
    match &expectation["code"] {
        Value::String(code) => vec![code.clone()],
        Value::Array(codes) => codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// The events that are answered with SUCCESS, by file.
fn good() -> Vec<(String, Value)> {
    let good = expected().into_iter().filter(|(_, expectation)| expectation["status"] == "SUCCESS");
    good.map(|(name, _)| (name.clone(), serde_json::from_str(&read(&name)).unwrap())).collect()
}

#[test]
fn files_expectations_and_table_name_the_same_events() {
    let files: BTreeSet<String> = support::files("events", "json")
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != EXPECTED)
        .collect();
    assert_eq!(files, expected().into_keys().collect());

    let table = read("README.md");
    let rows: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .filter(|(name, _)| name.ends_with(".json"))
        .collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), files.iter().map(String::as_str).collect());
    for (name, expectation) in expected() {
        let status = expectation["status"].as_str().unwrap();
        let says = rows[name.as_str()].rsplit('|').nth(1).unwrap();
        let word = match status {
            "UNANSWERABLE" => "none",
            answered => answered,
        };
        assert!(says.trim().starts_with(word), "{name}: {says}");
        for code in codes(&expectation) {
            assert!(says.contains(&format!("`{code}`")), "{name}: {says}");
            assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{name}: {code} is no code");
        }
        assert_eq!(status == "FAILED", !codes(&expectation).is_empty() && status != "UNANSWERABLE", "{name}");
    }
}

/// What is the same in many events is written once.
#[test]
fn every_event_is_its_base_with_its_differences() {
    let events: BTreeMap<String, Event> = support::yaml("tests/events.yaml");
    let stated = events.keys().map(|name| format!("{name}.json")).chain(NO_OBJECTS.map(str::to_owned));
    assert_eq!(stated.collect::<BTreeSet<_>>(), expected().into_keys().collect());
    for (name, event) in &events {
        let text = format!("{}\n", serde_json::to_string_pretty(&event.whole()).unwrap());
        assert_written(&format!("events/{name}.json"), &text);
    }
}

/// The schedule's event is the one that `template.yaml` sends: it names the stack, and holds no secret.
#[test]
fn the_schedules_event_is_the_templates() {
    let event: Value = serde_json::from_str(&read("delivery-watch.json")).unwrap();
    assert!(delivery::is_delivery_check(&event));
    assert!(Envelope::parse(&event).is_err(), "there is nowhere to send a response to");
    let template = support::read("template.yaml");
    let (_, rest) = template.split_once("          Input: !Sub '").unwrap();
    let (input, _) = rest.split_once("'\n").unwrap();
    let mut input: Value = serde_json::from_str(input).unwrap();
    assert_eq!(input["detail"]["StackId"], "${AWS::StackId}");
    input["detail"]["StackId"] = event["detail"]["StackId"].clone();
    assert_eq!(input, event);
}

#[test]
fn every_good_event_has_cloudformations_shape() {
    let mut seen = BTreeSet::new();
    for (name, event) in good() {
        let request = Request::parse(&event).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let kind = request.origin().request_type;
        assert_eq!(kind.as_str(), event["RequestType"], "{name}");
        seen.insert((event["ResourceType"].as_str().unwrap().to_owned(), kind));
    }
    assert_eq!(seen.len(), 6, "both resources, each of Create, Update and Delete: {seen:?}");
}

#[test]
fn every_response_url_has_the_shape_of_a_presigned_one_and_opens_nothing() {
    let mut urls = 0;
    for name in expected().into_keys() {
        let Ok(event) = serde_json::from_str::<Value>(&read(&name)) else { continue };
        let Ok((_, url)) = Envelope::parse(&event) else { continue };
        let raw = event["ResponseURL"].as_str().unwrap();
        assert_eq!(url.expose().as_str(), raw, "{name}: the bytes change on the way");
        for part in ["%3Acloudformation%3A", "%7C", "X-Amz-SignedHeaders=host", "X-Amz-Expires=7200", "X-Amz-Signature=example0"]
        {
            assert!(raw.contains(part), "{name}: no {part}");
        }
        let familiar = event["StackId"].as_str().unwrap().split(':').nth(1) != Some("aws-iso");
        assert_eq!(url.is_cloudformation_host(), familiar, "{name}: `{}`", url.host());
        urls += 1;
    }
    assert!(urls >= 30, "{urls}");
}

#[test]
fn physical_ids_in_events_are_ids_that_this_code_answers_with() {
    for (name, event) in good() {
        let request = Request::parse(&event).unwrap();
        let origin = request.origin();
        let given = event["PhysicalResourceId"].as_str();
        let strange = name.contains("made-up-id") || name.contains("foreign-id");
        let (recognised, answered) = match &request {
            Request::Billing(origin, asked) => (
                given.map(|id| billing::ExportId::from_physical_id(origin, id).is_some()),
                match asked {
                    billing::BillingRequest::Ensure { export, .. } => export.id(origin).to_string(),
                    billing::BillingRequest::Remove { .. } => given.unwrap().to_owned(),
                },
            ),
            Request::Connection(origin, _) => {
                let own = connection::physical_id(origin);
                (given.map(|id| id == own), given.map_or(own, str::to_owned))
            }
        };
        assert_eq!(recognised, given.map(|_| !strange), "{name}");
        assert_eq!(expected()[&name]["physicalId"], answered, "{name}");
        assert!(!origin.logical_id.is_empty(), "{name}");
    }
}
