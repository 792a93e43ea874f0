//! A call to AWS that failed, as far as Hawser decides by it.

use std::fmt;

use thiserror::Error;

use crate::{
    error::{Code, Failure},
    names::one_line,
};

/// Why a call failed, as far as Hawser decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    Denied,
    /// Access denied by an explicit deny in a service control policy (F-5).
    DeniedByScp,
    /// Throttled until the client's tries were used up.
    Throttled,
    /// 5xx, a time-out or no connection until the client's tries were used up.
    Unavailable,
    /// The thing does not exist.
    Missing,
    /// Something of that name is there already, and the account's own.
    Exists,
    /// The name belongs to another account.
    Taken,
    /// `ReportLimitReachedException`, or `ServiceQuotaExceededException` of Data Exports.
    LimitReached,
    /// `SubscriptionRequiredException`: the account's plan with AWS Support has no API.
    NoSubscription,
    /// `ValidationException: Failed to verify customer bucket permission.` (F-16)
    BucketUnverified,
    /// `BucketNotEmpty`
    NotEmpty,
    /// `OperationAborted`: another operation on the same thing is under way.
    Conflict,
    /// Any other refusal; the fault's code says which.
    Refused,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Fault {
    /// The IAM action that was tried, such as `s3:CreateBucket`.
    pub action: &'static str,
    pub kind: FaultKind,
    /// AWS's error code, or what the transport said.
    pub code: String,
    /// AWS's own words.
    pub message: String,
    pub request_id: Option<String>,
}

impl Fault {
    /// Whether the call may succeed another time: it says nothing about the account.
    pub fn is_outage(&self) -> bool {
        matches!(self.kind, FaultKind::Throttled | FaultKind::Unavailable)
    }

    /// Whether AWS denied the call, by whatever policy.
    pub fn is_denial(&self) -> bool {
        matches!(self.kind, FaultKind::Denied | FaultKind::DeniedByScp)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Denied => "was denied",
            FaultKind::DeniedByScp => "was denied by a service control policy",
            FaultKind::Throttled => "was throttled",
            FaultKind::Unavailable => "could not be reached",
            _ => "was refused",
        };
        write!(f, "`{}` {what} ({}", self.action, self.code)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        f.write_str(")")
    }
}

impl Failure {
    /// The same failure under a code and cause that say more.
    pub fn explained(fault: &Fault, code: Code, cause: impl Into<String>) -> Self {
        Self { code, cause: one_line(&cause.into()), aws_request_id: fault.request_id.as_deref().map(one_line) }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Denied => Code::AwsAccessDenied,
            FaultKind::DeniedByScp => Code::AwsDeniedByScp,
            FaultKind::Throttled => Code::AwsThrottled,
            FaultKind::Unavailable => Code::AwsUnavailable,
            _ => Code::AwsRefused,
        };
        let cause = fault.to_string();
        Self::explained(&fault, code, cause)
    }
}
