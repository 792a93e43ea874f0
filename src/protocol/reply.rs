//! Verdict to CloudFormation's response object: pure, and never more than 4,096 bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::{Code, Failure},
    names::{Digest16, shorten},
    protocol::envelope::Envelope,
};

/// The whole body, in bytes of JSON (CloudFormation quota "Custom resource response size"). Over it, CloudFormation
/// reports "Response object is too long." and hides the real error (HW-A4, F-33).
pub const RESPONSE_BYTES_MAX: usize = 4096;

/// Longest reason: what a person reads in a stack event, and far from filling the response (F-6).
const REASON_BYTES_MAX: usize = 1024;

/// Longest physical id (CloudFormation, custom resource response objects: "up to 1 KB").
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// A remark is not cut to less: a sentence and what AWS says of the denial, with its authorization id, need about as much.
const REMARK_BYTES_MIN: usize = 512;

/// Attributes that may be shortened for the response to fit, the longest-winded first. All others are exact.
const SHORTENABLE_ATTRIBUTES: [&str; 3] = ["Decision", "Message", "Backfill"];

/// Attributes, by name. Sorted, so that equal verdicts are equal bytes.
pub type Attributes = BTreeMap<&'static str, String>;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Success {
        physical_id: String,
        /// Every attribute of the resource type, on every request type (HW-A6, F-30); none on Delete.
        attributes: Attributes,
        /// What the reader of the stack event should still know.
        remark: Option<String>,
    },
    Failed {
        /// The resource's id: the same as on success, so that the Delete of a rollback finds what was half made (F-1).
        physical_id: String,
        /// Why, and what to do next.
        failure: Failure,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: Attributes,
}

/// How the id of a resource begins of which nothing can have been made.
pub const NOTHING_MADE: &str = "hawser/nothing-made/";

/// The id of a resource of which nothing can have been made: its request could not even be read.
///
/// A later Delete recognises it as not one of ours and succeeds at once.
pub fn placeholder_id(envelope: &Envelope) -> String {
    format!("{NOTHING_MADE}{}", Digest16::derive(&[&envelope.stack_id, &envelope.logical_resource_id]))
}

/// The response as the bytes to upload: at most [`RESPONSE_BYTES_MAX`], unless the event's own ids are so long that
/// repeating them verbatim, as CloudFormation demands, is already too much.
pub fn render(envelope: &Envelope, reply_content: &Reply) -> Vec<u8> {
    match reply_content {
        Reply::Success { physical_id, attributes, remark } => {
            let mut attributes = attributes.clone();
            let mut remark = remark.clone();
            loop {
                let body = body(envelope, physical_id, "SUCCESS", remark.as_deref(), attributes.clone());
                let Some(excess) = body.len().checked_sub(RESPONSE_BYTES_MAX).filter(|excess| *excess > 0) else {
                    return body;
                };
                // The remark gives way first, then words; a name or an ARN is never cut.
                if let Some(text) = remark.take() {
                    let room = text.len().saturating_sub(excess);
                    remark = (room >= REMARK_BYTES_MIN).then(|| shorten(&text, room));
                    continue;
                }
                if shorten_one(&mut attributes, excess) {
                    continue;
                }
                let failure = Failure::new(
                    Code::ResponseTooLarge,
                    format!("the answer is {excess} bytes longer than CloudFormation's {RESPONSE_BYTES_MAX}"),
                );
                return failed(envelope, physical_id, &failure);
            }
        }
        Reply::Failed { physical_id, failure } => failed(envelope, physical_id, failure),
    }
}

fn failed(envelope: &Envelope, physical_id: &str, failure: &Failure) -> Vec<u8> {
    let code = failure.code.as_str();
    let mut reason = failure.to_string();
    if reason.len() > REASON_BYTES_MAX {
        // The next step and the request id stand at the end, so the cause is what gives way.
        let cause = failure.cause.trim_end_matches('.');
        let room = REASON_BYTES_MAX.saturating_sub(reason.len() - cause.len());
        reason = Failure { cause: shorten(cause, room), ..failure.clone() }.to_string();
    }
    loop {
        let body = body(envelope, physical_id, "FAILED", Some(&reason), Attributes::new());
        if body.len() <= RESPONSE_BYTES_MAX || reason == code {
            return body;
        }
        // Escapes make JSON longer than the text: halving ends in a few rounds whatever the text. The code is never cut.
        let half = reason.len() / 2;
        reason = if half > code.len() + '…'.len_utf8() { shorten(&reason, half) } else { code.to_owned() };
    }
}

fn body(envelope: &Envelope, physical_id: &str, status: &'static str, reason: Option<&str>, data: Attributes) -> Vec<u8> {
    let response = Response {
        status,
        reason: reason.map(str::to_owned),
        physical_resource_id: &shorten(physical_id, PHYSICAL_ID_BYTES_MAX),
        stack_id: &envelope.stack_id,
        request_id: &envelope.request_id,
        logical_resource_id: &envelope.logical_resource_id,
        data,
    };
    // Strings and maps of strings always serialize.
    serde_json::to_vec(&response).unwrap_or_default()
}

/// Shortens the first elastic attribute that still has something to give.
fn shorten_one(attributes: &mut Attributes, excess: usize) -> bool {
    for name in SHORTENABLE_ATTRIBUTES {
        if let Some(text) = attributes.get_mut(name).filter(|text| text.len() > '…'.len_utf8()) {
            // Escaped text shrinks by more than asked for, never by less.
            *text = shorten(text, text.len().saturating_sub(excess + '…'.len_utf8()).max('…'.len_utf8()));
            return true;
        }
    }
    false
}
