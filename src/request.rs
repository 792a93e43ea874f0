//! Wire JSON to [`Envelope`](crate::protocol::envelope::Envelope) (lenient: whom to answer), then to [`Request`] (strict: what was asked).
//!
//! The order is the point (HW-A1, F-3): the envelope is read from plain JSON before anything can fail, so a slip in the
//! properties becomes a FAILED response and not a stack that hangs for an hour.

use aws_lambda_events::cloudformation::{CreateRequest, DeleteRequest, UpdateRequest};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    billing::{self, Export},
    connection::{self, Terms},
    error::{Code, Failure},
    names::{StackIdError, one_line, shorten},
    protocol::origin::{Origin, RequestType},
};

/// How much of what is wrong an error repeats.
const QUOTED_BYTES_MAX: usize = 160;

/// A request, wholly checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `Custom::BillingExport`
    Billing(Origin, billing::BillingRequest),
    /// `Custom::AccountConnection`
    Connection(Origin, connection::ConnectionRequest),
}

impl Request {
    /// Reads what was asked.
    ///
    /// On Delete, properties that cannot be read are no failure: the stack must be deletable, and what was made is
    /// found by the physical id.
    ///
    /// # Errors
    /// A [`Failure`] whose code says which part of the event is wrong.
    pub fn parse(event: &Value) -> Result<Self, Failure> {
        let (request_type, resource_type, stack, ids, properties, old) = match event.get("RequestType").and_then(Value::as_str) {
            Some("Create") => {
                let it: CreateRequest<Properties> = wire(event)?;
                let ids = [it.request_id, it.logical_resource_id, String::new()];
                (RequestType::Create, it.resource_type, it.stack_id, ids, it.resource_properties, None)
            }
            Some("Update") => {
                let it: UpdateRequest<Properties, Properties> = wire(event)?;
                let ids = [it.request_id, it.logical_resource_id, it.physical_resource_id];
                (RequestType::Update, it.resource_type, it.stack_id, ids, it.resource_properties, it.old_resource_properties)
            }
            Some("Delete") => {
                let it: DeleteRequest<Properties> = wire(event)?;
                let ids = [it.request_id, it.logical_resource_id, it.physical_resource_id];
                (RequestType::Delete, it.resource_type, it.stack_id, ids, it.resource_properties, None)
            }
            other => {
                let other = shorten(other.unwrap_or_default(), QUOTED_BYTES_MAX);
                return Err(invalid(format!("`{other}` is not a request type")));
            }
        };
        let [request_id, logical_id, physical_id] = ids;
        let origin = Origin {
            request_type,
            stack: stack.parse().map_err(|why: StackIdError| {
                let code = match why {
                    StackIdError::Partition(_) => Code::PartitionUnsupported,
                    StackIdError::Malformed(_) => Code::EventInvalid,
                };
                Failure::new(code, why.to_string())
            })?,
            request_id: given("RequestId", request_id)?,
            logical_id: given("LogicalResourceId", logical_id)?,
            physical_id: match request_type {
                RequestType::Create => None,
                RequestType::Update | RequestType::Delete => Some(given("PhysicalResourceId", physical_id)?),
            },
        };
        let properties = match object("ResourceProperties", properties.as_ref()) {
            Err(_) if request_type == RequestType::Delete => None,
            properties => properties?,
        };
        match resource_type.as_str() {
            billing::RESOURCE_TYPE => {
                let asked = match request_type {
                    RequestType::Delete => billing::removal(properties),
                    RequestType::Create => billing::BillingRequest::Ensure { export: Export::parse(properties)?, before: None },
                    RequestType::Update => {
                        let old = object("OldResourceProperties", old.as_ref()).ok();
                        let before = old.and_then(|old| Export::parse(old).ok());
                        billing::BillingRequest::Ensure { export: Export::parse(properties)?, before }
                    }
                };
                Ok(Self::Billing(origin, asked))
            }
            connection::RESOURCE_TYPE => {
                let asked = match request_type {
                    RequestType::Delete => connection::ConnectionRequest::Remove(Terms::parse(properties).map(Box::new)),
                    RequestType::Create | RequestType::Update => {
                        connection::ConnectionRequest::Ensure(Box::new(Terms::parse(properties)?))
                    }
                };
                Ok(Self::Connection(origin, asked))
            }
            other => Err(Failure::new(
                Code::ResourceTypeUnknown,
                format!("`{}` is not a resource type of this function", shorten(other, QUOTED_BYTES_MAX)),
            )),
        }
    }

    /// The id that the resource has; derived from the request alone.
    pub fn physical_id(&self) -> String {
        match self {
            Self::Billing(origin, asked) => billing::plan::physical_id(origin, asked),
            Self::Connection(origin, _) => origin.physical_id.clone().unwrap_or_else(|| connection::physical_id(origin)),
        }
    }

    /// What both resources share.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Billing(origin, _) | Self::Connection(origin, _) => origin,
        }
    }
}

/// Read further below: on Delete they may be anything.
type Properties = Option<Value>;

fn wire<'a, T: Deserialize<'a>>(event: &'a Value) -> Result<T, Failure> {
    let why = |why: serde_json::Error| shorten(&one_line(&format!("the event is not a request: {why}")), QUOTED_BYTES_MAX);
    T::deserialize(event).map_err(|error| invalid(why(error)))
}

/// The types take an empty text for one that was given.
fn given(field: &str, text: String) -> Result<String, Failure> {
    if text.is_empty() { Err(invalid(format!("the event has no `{field}`"))) } else { Ok(text) }
}

fn object<'a>(field: &str, value: Option<&'a Value>) -> Result<Option<&'a Map<String, Value>>, Failure> {
    match value {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(invalid(format!("`{field}` is not an object"))),
    }
}

fn invalid(cause: String) -> Failure {
    Failure::new(Code::EventInvalid, cause)
}
