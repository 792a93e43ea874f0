//! Webhooks out: what changes here is posted to the operator's own systems, so that no connection breaks in silence (F-64).
//!
//! 1. [`event`]: what is sent, as a Standard Webhooks payload, with the table of event types.
//! 2. [`endpoint`]: where it goes, under which rules ([`endpoint_url`]), and which event types it takes; [`secrets`] sign it.
//! 3. [`sender`]: one HTTP request; [`egress`] and [`address`] decide where one may go.
//! 4. [`attempt`]: what came of it, as it is stored.
//! 5. [`schedule`]: when the next attempt follows; [`health`]: what the attempts say of the endpoint; [`settle()`] is both.
//!
//! All but `sender` and `egress` is pure: time and chance are arguments.
//!
//! Who runs the jobs calls [`deliver`] outside of any transaction, and then [`settle()`] within the one that stores the attempt, with the
//! health that the endpoint has there: attempts for one endpoint run side by side, and none may undo what another one said.

pub mod address;
pub mod attempt;
pub mod egress;
pub mod endpoint;
pub mod endpoint_url;
pub mod event;
pub mod health;
pub mod ids;
pub mod schedule;
pub mod secrets;
pub mod sender;

use std::time::Duration;

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::{
    attempt::{Attempt, Outcome},
    endpoint::Endpoint,
    event::{Event, EventType},
    health::Health,
    schedule::{Jitter, Next},
    sender::{Request, Sender},
};

/// Makes one attempt, the first of which has number 1.
pub async fn deliver(sender: &dyn Sender, endpoint: &Endpoint, event: &Event, number: u32, now: OffsetDateTime) -> Attempt {
    let request = Request {
        url: endpoint.url.clone(),
        id: event.id().to_string(),
        timestamp: now,
        signatures: endpoint.secrets.sign(event, now),
        body: event.payload().to_owned(),
    };
    let answer = sender.send(request).await;
    Attempt {
        endpoint_id: endpoint.id.clone(),
        event_id: event.id().clone(),
        number,
        at: now,
        outcome: answer.outcome,
        duration_ms: milliseconds(answer.duration),
        excerpt: answer.excerpt,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The endpoint's from here on.
    pub health: Health,
    /// This message's.
    pub next: Next,
    /// Events about the endpoint, for the other endpoints: see [`Endpoint::takes`].
    pub events: Vec<EventType>,
}

/// What follows from an attempt that ended now.
pub fn settle(health: Health, event_type: EventType, attempt: &Attempt, now: OffsetDateTime, jitter: Jitter) -> Settled {
    let (health, event) = health.after(attempt.number, &attempt.outcome, now);
    let next = if health.is_disabled() && !attempt.outcome.is_success() {
        Next::Stopped
    } else {
        schedule::after(attempt.number, &attempt.outcome, now, jitter)
    };
    let mut events: Vec<EventType> = event.into_iter().collect();
    // Otherwise two endpoints that are both down would send each other such events for ever.
    if next == Next::Exhausted && !event_type.is_about_endpoint() {
        events.push(EventType::WebhookExhausted);
    }
    Settled { health, next, events }
}

/// The `data` of an event about an endpoint. No URL: those of many receivers hold a token.
pub fn about(health: &Health, attempt: &Attempt) -> Value {
    let text = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let (failure, status) = match &attempt.outcome {
        Outcome::Success { .. } => (None, None),
        Outcome::Failure { kind, status, .. } => (Some(kind.as_str()), *status),
    };
    json!({"endpoint": {
        "id": attempt.endpoint_id,
        "state": health.as_str(),
        "since": health.since().map(text),
        "lastAttempt": {
            "eventId": attempt.event_id,
            "number": attempt.number,
            "at": text(attempt.at),
            "failure": failure,
            "status": status,
        },
    }})
}
