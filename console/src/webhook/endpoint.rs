//! An endpoint: a URL of the operator's, and which events it takes.

use serde::{Deserialize, Serialize};

use super::{endpoint_url::EndpointUrl, event::EventType, health::Health, ids::EndpointId, secrets::SigningSecrets};

/// More than there are event types.
const PATTERNS_MAX: usize = 64;

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: EndpointUrl,
    pub filter: Filter,
    pub secrets: SigningSecrets,
    pub health: Health,
}

impl Endpoint {
    /// Whether an event goes to this endpoint. One about an endpoint never goes to the same one, whose failures would tell of
    /// themselves; `about` is that endpoint. A test goes only where the operator sends it, so it is never taken here.
    pub fn takes(&self, event_type: EventType, about: Option<&EndpointId>) -> bool {
        takes((&self.id, &self.filter, &self.health), event_type, about)
    }
}

/// The same where the URL and the secrets are not at hand.
pub(crate) fn takes(
    (id, filter, health): (&EndpointId, &Filter, &Health),
    event_type: EventType,
    about: Option<&EndpointId>,
) -> bool {
    !health.is_disabled() && event_type != EventType::WebhookTest && about != Some(id) && filter.takes(event_type)
}

/// Which event types an endpoint takes: their names, `connection.*` for all of a group, `*` for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(Vec<String>);

/// Why a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterRefused {
    #[error("name at least one event type, or `*` for all")]
    Empty,
    #[error("name at most {PATTERNS_MAX} event types")]
    TooMany,
    #[error("`{0}` is no event type, and no group of them such as `connection.*`")]
    Unknown(String),
}

impl Filter {
    /// Reads what the operator gives. Each must match something, so that a misspelled one does not wait for ever; what was stored is
    /// read without this check, because a later version may have written it.
    ///
    /// # Errors
    /// See [`FilterRefused`].
    pub fn parse<T: AsRef<str>>(patterns: &[T]) -> Result<Self, FilterRefused> {
        if patterns.is_empty() {
            return Err(FilterRefused::Empty);
        }
        if patterns.len() > PATTERNS_MAX {
            return Err(FilterRefused::TooMany);
        }
        let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        match patterns.iter().find(|pattern| !EventType::ALL.iter().any(|event_type| matches(pattern, *event_type))) {
            Some(unknown) => Err(FilterRefused::Unknown(unknown.chars().take(64).collect())),
            None => Ok(Self(patterns)),
        }
    }

    /// Whether it lets a type through.
    pub fn takes(&self, event_type: EventType) -> bool {
        self.0.iter().any(|pattern| matches(pattern, event_type))
    }
}

fn matches(pattern: &str, event_type: EventType) -> bool {
    let name = event_type.as_str();
    match pattern.strip_suffix(".*") {
        Some(group) => name.split_once('.').is_some_and(|(of, _)| of == group),
        None => pattern == "*" || pattern == name,
    }
}
