//! Wire JSON to [`Envelope`](crate::protocol::envelope::Envelope) (lenient: whom to answer), then to [`Request`] (strict: what was asked).
//!
//! The order is the point (HW-A1, F-3): the envelope is read from plain JSON before anything can fail, so a slip in the
//! properties becomes a FAILED response and not a stack that hangs for an hour.

use serde_json::{Map, Value};

use crate::{
    billing::{self, Export},
    connection::{self, Terms},
    error::{Code, Failure},
    names::{StackIdError, shorten},
    protocol::origin::{Origin, RequestType},
};

/// How much of a wrong word an error repeats.
const QUOTED_BYTES_MAX: usize = 80;

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
        let text = |name: &str| event.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let need = |name: &str| text(name).ok_or_else(|| invalid(format!("the event has no `{name}`")));
        let request_type = match need("RequestType")? {
            "Create" => RequestType::Create,
            "Update" => RequestType::Update,
            "Delete" => RequestType::Delete,
            other => return Err(invalid(format!("`{}` is not a request type", shorten(other, QUOTED_BYTES_MAX)))),
        };
        let origin = Origin {
            request_type,
            stack: need("StackId")?.parse().map_err(|why: StackIdError| {
                let code = match why {
                    StackIdError::Partition(_) => Code::PartitionUnsupported,
                    StackIdError::Malformed(_) => Code::EventInvalid,
                };
                Failure::new(code, why.to_string())
            })?,
            request_id: need("RequestId")?.to_owned(),
            logical_id: need("LogicalResourceId")?.to_owned(),
            physical_id: match request_type {
                RequestType::Create => None,
                RequestType::Update | RequestType::Delete => Some(need("PhysicalResourceId")?.to_owned()),
            },
        };
        let properties = match Self::properties(event, "ResourceProperties") {
            Err(_) if request_type == RequestType::Delete => None,
            properties => properties?,
        };
        match need("ResourceType")? {
            billing::RESOURCE_TYPE => {
                let asked = match request_type {
                    RequestType::Delete => billing::removal(properties),
                    RequestType::Create => billing::BillingRequest::Ensure { export: Export::parse(properties)?, before: None },
                    RequestType::Update => billing::BillingRequest::Ensure {
                        export: Export::parse(properties)?,
                        before: Self::properties(event, "OldResourceProperties").ok().and_then(|old| Export::parse(old).ok()),
                    },
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

    /// What both resources share.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Billing(origin, _) | Self::Connection(origin, _) => origin,
        }
    }

    fn properties<'a>(event: &'a Value, field: &str) -> Result<Option<&'a Map<String, Value>>, Failure> {
        match event.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(invalid(format!("`{field}` is not an object"))),
        }
    }
}

fn invalid(cause: String) -> Failure {
    Failure::new(Code::EventInvalid, cause)
}
