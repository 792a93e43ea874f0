//! Events as CloudFormation sends them, and the handler's answers.

use std::collections::BTreeMap;

use hawser::{
    billing, connection,
    error::{Code, Failure},
    handler,
    names::StackId,
    ports::Ports,
    protocol::origin::RequestType,
};
use serde_json::{Value, json};
use time::Duration;

use crate::{connect::stackless::CapturedReply, error::CommandError};

/// The resource of billing data in the template.
pub const BILLING: &str = "BillingExport";

/// The resource of the notice in the template.
pub const NOTICE: &str = "Connection";

/// How long the handler may take for one event: a person waits longer than a function may run, and no longer than for a stack.
const LIMIT: Duration = Duration::minutes(5);

/// Where no answer ever goes: the response is caught before it is sent. RFC 2606 reserves the name.
const RESPONSE_URL: &str = "https://response.invalid/";

/// One event.
#[derive(Debug, Clone)]
pub struct SyntheticEvent<'a> {
    /// Create, Update or Delete.
    pub request_type: RequestType,
    pub stack: StackId,
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_id: &'a str,
    /// The id that the resource answered with before.
    pub physical_id: Option<String>,
    /// What the template says of it.
    pub properties: Value,
}

/// What the handler answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventOutcome {
    pub physical_id: String,
    pub attributes: BTreeMap<String, String>,
    /// What else is worth knowing.
    pub remark: Option<String>,
}

impl SyntheticEvent<'_> {
    /// As the handler is sent it.
    pub fn event(&self) -> Value {
        let resource_type = if self.logical_id == BILLING { billing::RESOURCE_TYPE } else { connection::RESOURCE_TYPE };
        let mut event = json!({
            "RequestType": self.request_type.as_str(),
            "ResponseURL": RESPONSE_URL,
            "StackId": self.stack.as_str(),
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_id,
            "ResourceType": resource_type,
            "ResourceProperties": self.properties,
        });
        if let Some(id) = &self.physical_id {
            event["PhysicalResourceId"] = json!(id);
        }
        event
    }

    /// Has the handler deal with it, as in Lambda: the same guarantees, the same words.
    ///
    /// # Errors
    /// [`CommandError`] with the reason that a stack event would show.
    pub async fn ask(&self, ports: &Ports<'_>) -> Result<EventOutcome, CommandError> {
        let mailbox = CapturedReply::default();
        let ports = Ports { mailbox: &mailbox, ..*ports };
        let unreadable = || Failure::new(Code::Internal, "the handler did not answer");
        handler::answer(&self.event(), ports.clock.now() + LIMIT, &ports).await.map_err(|_| unreadable())?;
        let body = mailbox.take().ok_or_else(unreadable)?;
        let response: Value = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let reason = response["Reason"].as_str().map(str::to_owned);
        if response["Status"] != "SUCCESS" {
            return Err(CommandError::of_answer(&reason.unwrap_or_default()));
        }
        let attributes = response["Data"].as_object().into_iter().flatten();
        Ok(EventOutcome {
            physical_id: response["PhysicalResourceId"].as_str().unwrap_or_default().to_owned(),
            attributes: attributes.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            remark: reason,
        })
    }
}
