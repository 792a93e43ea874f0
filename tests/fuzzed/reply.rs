//! Any verdict as a response: it fits, it is JSON, it keeps its code, and gives up no more than it must (HW-A4, HW-A6;
//! F-6, F-30, F-33).
//!
//! A verdict is written as JSON, with long texts in short: `{"repeat": "ü", "times": 2000}`.

use std::collections::BTreeMap;

use hawser::{
    billing, connection,
    error::{Code, Failure},
    protocol::{
        envelope::Envelope,
        reply::{Attributes, RESPONSE_BYTES_MAX, Reply, render},
    },
};
use serde_json::{Map, Value, json};

/// Longest reason in a stack event.
const REASON_BYTES_MAX: usize = 1024;

/// CloudFormation, custom resource response objects: "up to 1 KB".
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// Texts for people, which may be cut; names and ARNs may not.
const WORDS: [&str; 3] = ["Decision", "Message", "Backfill"];

/// What a cut text ends in.
const CUT: &str = "…";

/// A request id of AWS's that is longer may itself be cut.
const ROOM_FOR_WORDS: usize = 200;

/// Beside ids of so many bytes a reason of the longest kind has room.
const SHELL_WITH_ROOM: usize = RESPONSE_BYTES_MAX - REASON_BYTES_MAX - CUT.len();

/// One character more or less, in its longest escape, on each of the ids' and the reason's ends.
const SLACK: usize = 64;

/// Longer than any text AWS or a vendor is let to say.
const TEXT_BYTES_MAX: usize = 20_000;

/// A verdict's description through the trimming.
pub(crate) fn check(data: &[u8]) {
    let Ok(described) = serde_json::from_slice::<Value>(data) else { return };
    let text = |name: &str| long(&described[name]);
    let envelope = Envelope {
        stack_id: text("stackId"),
        request_id: text("requestId"),
        logical_resource_id: text("logicalResourceId"),
        physical_resource_id: None,
    };
    let physical_id = text("physicalId");
    let reply_content = match code(&described["code"]) {
        Some(code) => {
            let aws_request_id = described.get("awsRequestId").map(long);
            Reply::Failed { physical_id, failure: Failure { code, cause: text("cause"), aws_request_id } }
        }
        None => Reply::Success {
            physical_id,
            attributes: attributes(&described["attributes"]),
            remark: described.get("remark").map(long),
        },
    };
    holds(&envelope, &reply_content);
}

/// What every response must be.
pub(crate) fn holds(envelope: &Envelope, reply_content: &Reply) {
    let bytes = render(envelope, reply_content);
    assert_eq!(render(envelope, reply_content), bytes, "the same verdict is said in two ways");
    let response: Map<String, Value> = serde_json::from_slice(&bytes).expect("a response is JSON");
    assert_eq!(response["StackId"], envelope.stack_id.as_str());
    assert_eq!(response["RequestId"], envelope.request_id.as_str());
    assert_eq!(response["LogicalResourceId"], envelope.logical_resource_id.as_str());
    let (Reply::Success { physical_id, .. } | Reply::Failed { physical_id, .. }) = reply_content;
    let answered = response["PhysicalResourceId"].as_str().expect("an id is text");
    assert!(answered.len() <= PHYSICAL_ID_BYTES_MAX);
    assert!(is_cut_of(answered, physical_id) && (physical_id.len() > PHYSICAL_ID_BYTES_MAX || answered == physical_id));
    let shell = Shell { envelope, physical_id: answered };
    match reply_content {
        Reply::Failed { failure, .. } => failed(&shell, failure, &response, bytes.len()),
        Reply::Success { attributes, remark, .. } => success(&shell, attributes, remark.as_deref(), &response, bytes.len()),
    }
}

/// What a response repeats, to measure what would fit beside it.
struct Shell<'a> {
    envelope: &'a Envelope,
    physical_id: &'a str,
}

impl Shell<'_> {
    fn bytes(&self, status: &str, reason: Option<&str>, data: &Attributes) -> usize {
        let mut response = json!({
            "Status": status, "PhysicalResourceId": self.physical_id, "StackId": self.envelope.stack_id,
            "RequestId": self.envelope.request_id, "LogicalResourceId": self.envelope.logical_resource_id,
        });
        if let Some(reason) = reason {
            response["Reason"] = reason.into();
        }
        if !data.is_empty() {
            response["Data"] = json!(data);
        }
        response.to_string().len()
    }
}

fn failed(shell: &Shell<'_>, failure: &Failure, response: &Map<String, Value>, bytes: usize) {
    assert_eq!(response["Status"], "FAILED");
    assert!(!response.contains_key("Data"));
    let reason = response["Reason"].as_str().expect("a failure has its reason");
    assert!(!reason.is_empty());
    // The ids must be repeated as they came; if they leave no room for the code, nothing else can be promised.
    let code = failure.code.as_str();
    if shell.bytes("FAILED", Some(code), &Attributes::new()) > RESPONSE_BYTES_MAX {
        return;
    }
    assert!(bytes <= RESPONSE_BYTES_MAX, "{bytes} bytes");
    assert!(reason.starts_with(code), "`{reason}` has lost `{code}`");
    let whole = failure.to_string();
    if whole.len() <= REASON_BYTES_MAX && shell.bytes("FAILED", Some(&whole), &Attributes::new()) <= RESPONSE_BYTES_MAX {
        assert_eq!(reason, whole, "it was cut without need");
        return;
    }
    // The next step and AWS's request id outlive the cause, where nothing in the way needs JSON's escapes.
    let plain = |text: &str| text.len() <= ROOM_FOR_WORDS && Value::from(text).to_string().len() == text.len() + 2;
    let id = failure.aws_request_id.as_deref().unwrap_or_default();
    let shell_bytes = shell.bytes("FAILED", Some(""), &Attributes::new());
    if Value::from(whole.as_str()).to_string().len() == whole.len() + 2 && plain(id) && shell_bytes < SHELL_WITH_ROOM {
        assert!(reason.len() <= REASON_BYTES_MAX, "{} bytes of reason", reason.len());
        assert!(reason.contains(failure.code.next_step()), "`{reason}` does not say what to do");
        assert!(reason.contains(id), "`{reason}` has lost `{id}`");
    }
    // Escapes or not, what is left out is at most about half of what would have had room.
    assert!(
        reason.len() >= REASON_BYTES_MAX / 2 - CUT.len() || bytes >= RESPONSE_BYTES_MAX / 2 - SLACK,
        "{bytes} bytes with a reason of {}: too much was cut",
        reason.len()
    );
}

fn success(shell: &Shell<'_>, wanted: &Attributes, remark: Option<&str>, response: &Map<String, Value>, bytes: usize) {
    let all = |attributes: &Attributes, remark| shell.bytes("SUCCESS", remark, attributes);
    let least: Attributes = wanted.iter().map(|(name, value)| (*name, least(name, value))).collect();
    if response["Status"] == "FAILED" {
        assert!(all(&least, None) > RESPONSE_BYTES_MAX, "a request that was fulfilled is failed without need");
        let code = Code::ResponseTooLarge.as_str();
        if shell.bytes("FAILED", Some(code), &Attributes::new()) <= RESPONSE_BYTES_MAX {
            let reason = response["Reason"].as_str().unwrap_or_default();
            assert!(reason.starts_with(code), "`{reason}` has lost `{code}`");
            assert!(bytes <= RESPONSE_BYTES_MAX, "{bytes} bytes");
        }
        return;
    }
    assert_eq!(response["Status"], "SUCCESS");
    assert!(bytes <= RESPONSE_BYTES_MAX, "{bytes} bytes");
    let nothing = Map::new();
    let data = response.get("Data").and_then(Value::as_object).unwrap_or(&nothing);
    assert!(data.keys().eq(wanted.keys()), "the attributes are others: {data:?}");
    let mut cut = false;
    for (name, value) in wanted {
        let said = data[*name].as_str().expect("an attribute is text");
        cut |= said != value;
        assert!(said == value || WORDS.contains(name) && is_cut_of(said, value), "`{name}` became `{said}`");
    }
    let said = response.get("Reason").map(|reason| reason.as_str().expect("a remark is text"));
    match said {
        Some(said) if Some(said) == remark => assert!(!cut, "words are cut before the remark is left out"),
        Some(said) => {
            assert!(!cut && said.contains('…') && all(wanted, remark) > RESPONSE_BYTES_MAX, "the remark is cut without need")
        }
        None => assert!(remark.is_none() || all(wanted, remark) > RESPONSE_BYTES_MAX, "the remark is left out without need"),
    }
    assert!(!cut || all(wanted, None) > RESPONSE_BYTES_MAX, "words are cut without need");
    // Escaped or wider characters may leave some room that no shorter cut would have filled.
    let plain = wanted.values().all(|value| Value::from(value.as_str()).to_string().len() == value.len() + 2 && value.is_ascii());
    assert!(!(cut && plain) || bytes + CUT.len() >= RESPONSE_BYTES_MAX, "{bytes} bytes: more is cut than must be");
}

/// An attribute with as little as may be left of it.
fn least(name: &str, value: &str) -> String {
    if WORDS.contains(&name) && value.len() > CUT.len() { CUT.to_owned() } else { value.to_owned() }
}

/// Whether a text is another one, or its beginning with a mark where it was cut.
fn is_cut_of(said: &str, whole: &str) -> bool {
    said == whole || said.strip_suffix(CUT).is_some_and(|beginning| whole.starts_with(beginning))
}

fn long(value: &Value) -> String {
    let times = value["times"].as_u64().and_then(|times| usize::try_from(times).ok()).unwrap_or_default();
    match value["repeat"].as_str() {
        Some(unit) => unit.repeat(times.min(TEXT_BYTES_MAX / unit.len().max(1))),
        None => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn code(value: &Value) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| Some(code.as_str()) == value.as_str())
}

fn attributes(described: &Value) -> Attributes {
    let known: BTreeMap<&str, &'static str> =
        billing::ATTRIBUTES.into_iter().chain(connection::ATTRIBUTES).map(|name| (name, name)).collect();
    let given = described.as_object().into_iter().flatten();
    given.filter_map(|(name, value)| Some((*known.get(name.as_str())?, long(value)))).collect()
}
