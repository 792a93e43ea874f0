//! Whom to answer: read from plain JSON before anything can fail.

use serde_json::Value;
use thiserror::Error;

use crate::{error::Code, names::ResponseUrl};

/// The fields every response repeats verbatim, and the incoming physical id. Missing ones are empty: an answer that
/// CloudFormation may drop is still better than none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The stack's ARN, unchecked.
    pub stack_id: String,
    /// Unique per request; with the stack id it identifies the request.
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// The id this resource answered with before; none on Create.
    pub physical_resource_id: Option<String>,
}

/// Why an event cannot be answered at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: the event {why}. {next}", code = Code::EventUnanswerable, next = Code::EventUnanswerable.next_step())]
pub struct Unanswerable {
    why: &'static str,
}

impl Envelope {
    /// Reads whom to answer. Everything else about the event may be wrong.
    ///
    /// # Errors
    /// [`Unanswerable`] if there is no usable `ResponseURL` (HW-A7).
    pub fn parse(event: &Value) -> Result<(Self, ResponseUrl), Unanswerable> {
        let unanswerable = |why| Unanswerable { why };
        let event = event.as_object().ok_or(unanswerable("is not a JSON object"))?;
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let url = text("ResponseURL").ok_or(unanswerable("has no `ResponseURL`"))?;
        let url = ResponseUrl::parse(url).ok_or(unanswerable("has a `ResponseURL` that is not an http URL"))?;
        let envelope = Self {
            stack_id: text("StackId").unwrap_or_default().to_owned(),
            request_id: text("RequestId").unwrap_or_default().to_owned(),
            logical_resource_id: text("LogicalResourceId").unwrap_or_default().to_owned(),
            physical_resource_id: text("PhysicalResourceId").filter(|id| !id.is_empty()).map(str::to_owned),
        };
        Ok((envelope, url))
    }
}
