//! What the operator's systems receive: `{"type", "timestamp", "data"}`, the payload of the Standard Webhooks specification.
//!
//! Why not a CloudEvent, as the notices that come in are: headers carry the message's id and signature already, every receiver that
//! speaks Standard Webhooks reads these three fields, and a CloudEvent demands a `source`, which a console without a public name lacks.
//!
//! Event types are an open enumeration: later versions send further ones, and a receiver answers 2xx to a type that it does not know.
//! One that is here is never renamed, and never changes its meaning. `data` may get further fields.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::ids::EventId;

/// Receivers may refuse larger ones. Standard Webhooks advises less than 20 KB; a connection's description has a few.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

hawser_codes::codes! {
    /// The types of events, each with its meaning, what `data` describes, and what a receiver does about it.
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "String", into = "&'static str")]
    pub enum EventType { data: &'static str }

    /// a stack has sent its first notice, and AWS has not confirmed it yet
    ConnectionAnnounced = "connection.announced", "connection",
        "Wait for `connection.connected`.";
    /// the vendor's role was tried and works as granted
    ConnectionConnected = "connection.connected", "connection",
        "Start to read the account.";
    /// the role works, but a part of what was granted is refused
    ConnectionDegraded = "connection.degraded", "connection",
        "Read the problems of the connection: each says what is lost and who must act.";
    /// the role cannot be assumed any more
    ConnectionUnavailable = "connection.unavailable", "connection",
        "Stop reading the account, and tell the customer what the problem says.";
    /// the operator has paused the connection
    ConnectionPaused = "connection.paused", "connection",
        "Stop reading the account.";
    /// the operator has resumed the connection
    ConnectionResumed = "connection.resumed", "connection",
        "Wait for `connection.connected`, then read on.";
    /// the stack is gone, or the connection was ended
    ConnectionRemoved = "connection.removed", "connection",
        "Stop reading the account, and drop what is kept about it.";
    /// two stacks claim the connection
    ConnectionContested = "connection.contested", "connection",
        "Ask the customer which one is right.";
    /// the label of the connection has changed
    ConnectionRenamed = "connection.renamed", "connection",
        "Show the new label.";
    /// the external ID of the role has changed
    ConnectionRotated = "connection.rotated", "connection",
        "Use the new external ID.";
    /// an export is there, and its first data is awaited
    BillingWaiting = "billing.waiting", "connection",
        "Wait until the time in `data`.";
    /// billing data was delivered
    BillingDelivered = "billing.delivered", "connection",
        "Read the new data.";
    /// billing data is late
    BillingStalled = "billing.stalled", "connection",
        "Show that the costs are not of today.";
    /// billing data cannot be delivered
    BillingFailed = "billing.failed", "connection",
        "Read the problem: it says what the customer has to repair.";
    /// nothing was heard of the billing data when it should have been
    BillingSilent = "billing.silent", "connection",
        "Show that the state of the costs is unknown.";
    /// a problem of a connection was found
    ProblemOpened = "problem.opened", "problem",
        "Tell whom the problem names as the one to act.";
    /// a problem of a connection is gone
    ProblemClosed = "problem.closed", "problem",
        "Tell the same one that it is gone.";
    /// nothing has reached an endpoint for half an hour
    WebhookFailing = "webhook.failing", "endpoint",
        "Look at the attempts of the endpoint.";
    /// an event did not reach an endpoint by any of its attempts
    WebhookExhausted = "webhook.exhausted", "endpoint",
        "Repair the endpoint, then read from the API what it has missed.";
    /// an endpoint was disabled, by a person, after five days of failures, or because it answered 410
    WebhookDisabled = "webhook.disabled", "endpoint",
        "Repair the endpoint, then enable it.";
    /// an endpoint that was failing has received an event
    WebhookRecovered = "webhook.recovered", "endpoint",
        "Read from the API what it has missed.";
    /// the operator tries an endpoint
    WebhookTest = "webhook.test", "endpoint",
        "Nothing.";
}

impl EventType {
    /// Whether it is about webhooks themselves.
    pub fn is_about_endpoint(self) -> bool {
        self.data() == "endpoint"
    }
}

impl FromStr for EventType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|event_type| event_type.as_str() == text).ok_or("no such event type")
    }
}

impl TryFrom<String> for EventType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventType> for &'static str {
    fn from(event_type: EventType) -> Self {
        event_type.as_str()
    }
}

/// One event. Its payload is made once: every attempt signs and sends the same bytes under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    id: EventId,
    event_type: EventType,
    payload: String,
}

/// The payload would be larger than [`PAYLOAD_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload has {0} bytes, {PAYLOAD_BYTES_MAX} are allowed")]
pub struct PayloadTooLarge(pub usize);

impl Event {
    /// Something that happened at a time.
    ///
    /// # Errors
    /// It is too large.
    pub fn new(id: EventId, event_type: EventType, at: OffsetDateTime, data: &Value) -> Result<Self, PayloadTooLarge> {
        let timestamp = at.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default();
        let payload = json!({"type": event_type, "timestamp": timestamp, "data": data}).to_string();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadTooLarge(payload.len()));
        }
        Ok(Self { id, event_type, payload })
    }

    /// The `webhook-id` of every attempt.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The `type` in the payload.
    pub fn event_type(&self) -> EventType {
        self.event_type
    }

    /// The body of every attempt.
    pub fn payload(&self) -> &str {
        &self.payload
    }
}
