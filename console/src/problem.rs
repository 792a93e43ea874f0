//! What is wrong with a connection, and whose turn it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

hawser_codes::codes! {
    /// Why AWS has not confirmed a connection, or not as before. Each stands in the connection's `problem` until AWS does.
    pub enum ProblemCode { actor: &'static str }

    /// the console has no AWS credentials of the vendor's
    NoCredentials = "vendor-credentials-missing", "vendor",
        "Give `hawser-console serve` credentials that may assume the customers' roles.";
    /// the role cannot be assumed with the external ID
    RoleRefused = "role-refused", "customer",
        "Check the role's trust policy, and policies of the organization that deny `sts:AssumeRole` from outside.";
    /// the role may not read the resources of its own stack
    StackUnreadable = "stack-unreadable", "customer",
        "Update the stack with the newest template, which grants `cloudformation:DescribeStackResources` on itself.";
    /// AWS does not answer
    Unavailable = "aws-unavailable", "aws",
        "Wait, it is asked again.";
    /// the stack has other resources than the notice states
    Foreign = "stack-foreign", "vendor",
        "Do not use the role, and ask the customer who sent the notice.";
    /// the role can be assumed without the external ID that was issued for it
    RoleOpen = "role-open", "customer",
        "Let the role's trust policy demand the external ID (`sts:ExternalId`), as the template's own role does.";
    /// the console gave up asking about it, because each time it was stopped, or did not come to an end
    JobFailed = "job-failed", "vendor",
        "Look into the console's log, and verify the connection again.";
    /// the billing data cannot arrive, as the stack found
    BillingFailed = "billing-failed", "customer",
        "Follow the stack's own words.";
    /// no new billing data have arrived for too long
    BillingStalled = "billing-stalled", "customer",
        "Check in the account whether the export still runs and whether its bucket takes what AWS delivers.";
    /// the stack is not heard any more
    BillingSilent = "billing-silent", "customer",
        "Check whether the stack, its function and its schedule are still there, and whether they reach the notice URL.";
    /// the stack has proven itself with a token of AWS STS before, and came without one
    Downgraded = "proof-downgraded", "customer",
        "Check whether outbound identity federation was switched off in the account, and update the stack once it is on.";
}

/// One open problem of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subject: String,
    cause: String,
    actor: String,
    next_step: String,
}

impl Problem {
    /// With what was found, where that says more.
    pub fn new(code: ProblemCode, found: &str) -> Self {
        let colon = if found.is_empty() { "" } else { ": " };
        Self {
            code: code.as_str().to_owned(),
            subject: String::new(),
            cause: format!("{}{colon}{found}", code.meaning()),
            actor: code.actor().to_owned(),
            next_step: code.next_step().to_owned(),
        }
    }

    /// The same, of one thing where a connection has several.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        subject.clone_into(&mut self.subject);
        self
    }

    /// The stable word.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What it is about, where a connection can have several of its code.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether it is that problem, whatever else is said of it.
    pub fn is(&self, code: &str, subject: &str) -> bool {
        self.code == code && self.subject == subject
    }

    /// Whether it says nothing of the customer's account: AWS, or we, could not tell.
    pub fn is_outage(&self) -> bool {
        [ProblemCode::NoCredentials, ProblemCode::Unavailable].iter().any(|code| code.as_str() == self.code)
    }
}
