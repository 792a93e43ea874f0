//! A call to AWS that failed, as far as Hawser decides by it.

use std::fmt;

use thiserror::Error;

use crate::{
    error::{Code, Failure},
    names::{Region, one_line},
};

/// Why a call failed, as far as Hawser decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Nothing allows the call, or AWS does not say what denies it. It may pass: a role and its policies can be seconds old.
    Denied,
    /// A policy of this type denies the call, and will deny it again (F-5, F-52).
    DeniedBy(PolicyType),
    /// Some policy denies the call explicitly, which no other one and no waiting changes (F-52).
    DeniedExplicitly,
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

/// The type of a policy that denies a call, as AWS's own text says it (IAM User Guide, "Troubleshoot access denied error
/// messages").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyType {
    /// The organization's, for what its accounts' principals do.
    ServiceControlPolicy,
    /// The organization's, for what is done to its accounts' resources.
    ResourceControlPolicy,
    PermissionsBoundary,
    SessionPolicy,
    VpcEndpointPolicy,
    /// Such as a bucket's policy.
    ResourceBasedPolicy,
    /// An explicit deny in the role's own policies.
    IdentityBasedPolicy,
}

impl PolicyType {
    pub const ALL: [Self; 7] = [
        Self::ServiceControlPolicy,
        Self::ResourceControlPolicy,
        Self::PermissionsBoundary,
        Self::SessionPolicy,
        Self::VpcEndpointPolicy,
        Self::ResourceBasedPolicy,
        Self::IdentityBasedPolicy,
    ];

    /// AWS's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceControlPolicy => "service control policy",
            Self::ResourceControlPolicy => "resource control policy",
            Self::PermissionsBoundary => "permissions boundary",
            Self::SessionPolicy => "session policy",
            Self::VpcEndpointPolicy => "VPC endpoint policy",
            Self::ResourceBasedPolicy => "resource-based policy",
            Self::IdentityBasedPolicy => "identity-based policy",
        }
    }

    /// The policy that an AccessDenied text names: "with an explicit deny in a …", or "because no … allows". That no
    /// identity-based policy allows a call is no denial by a policy.
    pub fn of_message(message: &str) -> Option<Self> {
        let message = message.to_lowercase();
        Self::ALL.into_iter().find(|policy_type| {
            let name = policy_type.as_str().to_lowercase();
            let explicit =
                ["a", "an", "the"].iter().any(|article| message.contains(&format!("explicit deny in {article} {name}")));
            let implicit = *policy_type != Self::IdentityBasedPolicy && message.contains(&format!("because no {name} allows"));
            explicit || implicit
        })
    }

    /// Whether an AccessDenied text speaks of an explicit deny, in whatever policy.
    pub fn is_explicit(message: &str) -> bool {
        message.to_lowercase().contains("explicit deny")
    }

    fn article(self) -> &'static str {
        if self == Self::IdentityBasedPolicy { "an" } else { "a" }
    }

    fn code(self) -> Code {
        match self {
            Self::ServiceControlPolicy => Code::AwsDeniedByScp,
            Self::ResourceControlPolicy => Code::AwsDeniedByRcp,
            Self::PermissionsBoundary => Code::AwsDeniedByBoundary,
            Self::SessionPolicy => Code::AwsDeniedBySessionPolicy,
            Self::VpcEndpointPolicy => Code::AwsDeniedByEndpointPolicy,
            Self::ResourceBasedPolicy => Code::AwsDeniedByResourcePolicy,
            Self::IdentityBasedPolicy => Code::AwsDeniedByIdentityPolicy,
        }
    }
}

/// What S3 answers to tags in `CreateBucket` where it does not know them: aws-eusc the first (F-49).
const TAGS_UNSUPPORTED: [&str; 3] = ["UnsupportedArgument", "NotImplemented", "MalformedXML"];

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
    /// Where the bucket is that the call was about, if S3 says so (`x-amz-bucket-region`, also with 301, 400 and 403).
    pub bucket_region: Option<Region>,
}

impl Fault {
    /// Whether the call may succeed another time: it says nothing about the account.
    pub fn is_outage(&self) -> bool {
        matches!(self.kind, FaultKind::Throttled | FaultKind::Unavailable)
    }

    /// Whether AWS's text says that a policy of the caller's account or organization is the cause. S3 says "Access Denied" and no
    /// more of what belongs to another account (B-10).
    pub fn is_of_this_account(&self) -> bool {
        matches!(self.kind, FaultKind::DeniedBy(_) | FaultKind::DeniedExplicitly)
            || (self.kind == FaultKind::Denied && self.message.contains("is not authorized to perform"))
    }

    /// Whether a call that creates something may succeed without tags (F-49, B-1): some partitions take none at creation, and a
    /// denial may be of tagging alone. AWS's text names the action that was denied; where it names none, it may be that one.
    pub fn may_be_of_tags(&self) -> bool {
        match self.kind {
            FaultKind::Denied | FaultKind::DeniedBy(_) | FaultKind::DeniedExplicitly => {
                let denied = self.message.split_once("to perform: ").map(|(_, action)| action.split_whitespace().next());
                denied.flatten().is_none_or(|action| action.contains("Tag"))
            }
            FaultKind::Refused => TAGS_UNSUPPORTED.contains(&self.code.as_str()) || self.message.to_lowercase().contains("tag"),
            _ => false,
        }
    }

    /// Whether AWS denied the call, by whatever policy.
    pub fn is_denial(&self) -> bool {
        matches!(self.kind, FaultKind::Denied | FaultKind::DeniedBy(_) | FaultKind::DeniedExplicitly)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Denied => write!(f, "`{}` was denied", self.action)?,
            FaultKind::DeniedExplicitly => {
                write!(f, "`{}` was denied explicitly by a policy that AWS does not name", self.action)?
            }
            FaultKind::DeniedBy(policy_type) => {
                write!(f, "`{}` was denied by {} {}", self.action, policy_type.article(), policy_type.as_str())?
            }
            FaultKind::Throttled => write!(f, "`{}` was throttled", self.action)?,
            FaultKind::Unavailable => write!(f, "`{}` could not be reached", self.action)?,
            _ => write!(f, "`{}` was refused", self.action)?,
        }
        write!(f, " ({}", self.code)?;
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
            FaultKind::DeniedExplicitly => Code::AwsDeniedExplicitly,
            FaultKind::DeniedBy(policy_type) => policy_type.code(),
            FaultKind::Throttled => Code::AwsThrottled,
            FaultKind::Unavailable => Code::AwsUnavailable,
            _ => Code::AwsRefused,
        };
        let cause = fault.to_string();
        Self::explained(&fault, code, cause)
    }
}
