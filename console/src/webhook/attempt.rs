//! What came of one attempt, as it is stored and shown.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ids::{EndpointId, EventId};

/// Of a response's body, as much is kept: an error's first lines.
pub const EXCERPT_BYTES_MAX: usize = 1024;

hawser_codes::codes! {
    /// Why an attempt failed, whether the endpoint may have received the event all the same, and what to do.
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "String", into = "&'static str")]
    pub enum FailureKind { maybe_received: bool }

    /// the host has no address
    Dns = "dns", false,
        "Check the host of the URL, and the DNS server of the console.";
    /// the host has an address that is not public
    AddressNotPublic = "address-not-public", false,
        "Give the endpoint a host all of whose addresses are public, or let an egress proxy decide.";
    /// there is no connection to the host
    Connect = "connect", false,
        "Check that the endpoint listens, and that a firewall lets the console through.";
    /// the egress proxy did not let the request through
    Proxy = "proxy", false,
        "Check that the egress proxy runs, and that it allows the host.";
    /// TLS failed
    Tls = "tls", false,
        "Give the endpoint a certificate for its host that the console's system trusts.";
    /// no response came in time
    Timeout = "timeout", true,
        "Let the endpoint answer first and work later: it has 15 seconds.";
    /// the connection broke before the response was there
    BrokenOff = "broken-off", true,
        "Look for a crash in the endpoint's logs.";
    /// the response is a redirect, and those are not followed
    Redirect = "redirect", true,
        "Give the endpoint the URL to which it redirects.";
    /// the response has another status than 2xx
    Status = "status", true,
        "Look for the event's id in the endpoint's logs.";
}

impl TryFrom<String> for FailureKind {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or("no such kind of failure")
    }
}

impl From<FailureKind> for &'static str {
    fn from(kind: FailureKind) -> Self {
        kind.as_str()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "result")]
pub enum Outcome {
    /// The status is 2xx, whatever the body is.
    Success { status: u16 },
    Failure {
        kind: FailureKind,
        /// Of the response, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// What it asks for by `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
        /// What was found, for a person.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
}

impl Outcome {
    /// Without a response.
    pub fn failed(kind: FailureKind, detail: &str) -> Self {
        Self::Failure { kind, status: None, retry_after_seconds: None, detail: printable(detail.as_bytes()) }
    }

    /// What a status means.
    pub fn of(status: u16, retry_after_seconds: Option<u32>) -> Self {
        let kind = match status {
            200..=299 => return Self::Success { status },
            300..=399 => FailureKind::Redirect,
            _ => FailureKind::Status,
        };
        Self::Failure { kind, status: Some(status), retry_after_seconds, detail: String::new() }
    }

    /// Whether the event was received.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success { .. })
    }

    /// Whether the endpoint says that it is gone for good.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Failure { status: Some(410), .. })
    }
}

/// One attempt. It holds neither the URL nor what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub endpoint_id: EndpointId,
    pub event_id: EventId,
    /// From 1.
    pub number: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub outcome: Outcome,
    pub duration_ms: u64,
    /// The beginning of the response's body.
    pub excerpt: String,
}

/// Text that others wrote, as it may be printed and stored: what is no text, cannot be seen or changes the direction of reading is
/// escaped, and the length is bounded.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for char in String::from_utf8_lossy(bytes).chars() {
        if text.len() >= EXCERPT_BYTES_MAX {
            break;
        }
        match char {
            // Both are visible, and an excerpt is JSON most of the time.
            '"' | '\'' => text.push(char),
            // Writing to a string cannot fail.
            _ => drop(write!(text, "{}", char.escape_debug())),
        }
    }
    text
}
