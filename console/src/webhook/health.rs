//! What the attempts say of an endpoint as a whole.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::{attempt::Outcome, event::EventType};

/// Failures are certain, and `webhook.failing` is sent once, when everything has failed for so long: the fourth attempt of one message comes
/// then. Sooner, every restart of a receiver would be reported. One message that a receiver cannot process does not count, as long as others
/// get through.
pub const FAILING_AFTER: Duration = Duration::minutes(30);

/// An endpoint that nothing reached for so long is disabled.
pub const DISABLED_AFTER: Duration = Duration::days(5);

/// And only by a message that was tried as often: where one event comes each week, the first failure of the second one would come after
/// more than five days.
pub const DISABLED_BY_ATTEMPT: u32 = 4;

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum Health {
    /// The last attempt succeeded, or there was none.
    #[default]
    Active,
    /// Every attempt since then has failed.
    Failing {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
        /// Whether `webhook.failing` was sent.
        reported: bool,
    },
    /// Nothing is sent until the operator enables it.
    Disabled {
        by: DisabledBy,
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
    },
}

/// Who or what has disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisabledBy {
    Operator,
    /// See [`DISABLED_AFTER`].
    Failures,
    /// The endpoint answered 410 Gone.
    Gone,
}

impl Health {
    /// What an attempt that ended now makes of it, and the event that is to be sent about it.
    pub fn after(self, attempt_number: u32, outcome: &Outcome, now: OffsetDateTime) -> (Self, Option<EventType>) {
        let (since, reported) = match self {
            // Attempts that were under way when it was disabled say nothing.
            Self::Disabled { .. } => return (self, None),
            Self::Active => (now, false),
            Self::Failing { since, reported } => (since, reported),
        };
        if outcome.is_success() {
            return (Self::Active, reported.then_some(EventType::WebhookRecovered));
        }
        if outcome.is_gone() {
            return (Self::Disabled { by: DisabledBy::Gone, since: now }, Some(EventType::WebhookDisabled));
        }
        let lasts = now - since;
        if lasts >= DISABLED_AFTER && attempt_number >= DISABLED_BY_ATTEMPT {
            return (Self::Disabled { by: DisabledBy::Failures, since: now }, Some(EventType::WebhookDisabled));
        }
        let reports = !reported && lasts >= FAILING_AFTER;
        (Self::Failing { since, reported: reported || reports }, reports.then_some(EventType::WebhookFailing))
    }

    /// After the operator has disabled it, and the event that is to be sent about it.
    pub fn disabled_by_operator(self, now: OffsetDateTime) -> (Self, Option<EventType>) {
        match self {
            Self::Disabled { .. } => (self, None),
            _ => (Self::Disabled { by: DisabledBy::Operator, since: now }, Some(EventType::WebhookDisabled)),
        }
    }

    /// After the operator has enabled it. Failures of before do not count.
    pub fn enabled_by_operator(self) -> Self {
        if self.is_disabled() { Self::Active } else { self }
    }

    /// Whether nothing is sent.
    pub fn is_disabled(&self) -> bool {
        matches!(self, Self::Disabled { .. })
    }

    /// The state's name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing { .. } => "failing",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// Since when it is in this state, as far as that is known.
    pub fn since(&self) -> Option<OffsetDateTime> {
        match *self {
            Self::Active => None,
            Self::Failing { since, .. } | Self::Disabled { since, .. } => Some(since),
        }
    }
}
