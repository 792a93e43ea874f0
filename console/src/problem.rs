//! What is wrong with a connection, and whose turn it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::probe::FindingCode;

hawser_codes::codes! {
    /// Why AWS has not confirmed a connection, or not as before. Each stands in the connection's `problem` until AWS does.
    pub enum ProblemCode { actor: &'static str }

    /// the console has no AWS credentials of the vendor's
    NoCredentials = "vendor-credentials-missing", "vendor",
        "Give `hawser-console serve` credentials that may assume the customers' roles.";
    /// the role cannot be assumed with the external ID
    RoleRefused = "role-refused", "customer",
        "Check the role's trust policy, and policies of the organization that deny `sts:AssumeRole` from outside.";
    /// a resource control policy of the organization denies that the role is assumed from outside
    RoleRefusedByRcp = "role-refused-by-rcp", "organization",
        "Exempt the vendor's account (`aws:PrincipalAccount`) from the resource control policy that denies `sts:AssumeRole`.";
    /// the vendor's own policies do not allow the console to assume the role
    VendorNotAllowed = "vendor-not-allowed", "vendor",
        "Allow the console's own principal `sts:AssumeRole` on the customers' roles, in its policies and those of the vendor's organization.";
    /// the vendor's credentials are not accepted in the stack's Region
    VendorRegionDisabled = "vendor-region-disabled", "vendor",
        "Enable the Region in the vendor's own account, and check that the console's credentials are still valid.";
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

/// What a table of codes says of one of them.
#[derive(Debug, Clone, Copy)]
pub struct Wording {
    code: &'static str,
    meaning: &'static str,
    actor: &'static str,
    next_step: &'static str,
}

impl From<ProblemCode> for Wording {
    fn from(code: ProblemCode) -> Self {
        Self { code: code.as_str(), meaning: code.meaning(), actor: code.actor(), next_step: code.next_step() }
    }
}

impl From<FindingCode> for Wording {
    fn from(code: FindingCode) -> Self {
        Self { code: code.as_str(), meaning: code.meaning(), actor: code.actor(), next_step: code.next_step() }
    }
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
    pub fn new(code: impl Into<Wording>, found: &str) -> Self {
        let Wording { code, meaning, actor, next_step } = code.into();
        let colon = if found.is_empty() { "" } else { ": " };
        Self {
            code: code.to_owned(),
            subject: String::new(),
            cause: format!("{meaning}{colon}{found}"),
            actor: actor.to_owned(),
            next_step: next_step.to_owned(),
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
        let vendors = [ProblemCode::NoCredentials, ProblemCode::VendorNotAllowed, ProblemCode::VendorRegionDisabled];
        vendors.iter().chain([&ProblemCode::Unavailable]).any(|code| code.as_str() == self.code)
    }

    /// Whether the customer's side refuses that the role is assumed.
    pub fn is_refusal(&self) -> bool {
        [ProblemCode::RoleRefused, ProblemCode::RoleRefusedByRcp].iter().any(|code| code.as_str() == self.code)
    }
}
