//! AWS's word that a notice is its stack's own: what CloudFormation says that the stack has, asked through the vendor's role in it (F-60).
//!
//! The role of the handler is known by its name and its unique id alone until then, and the connection is `announced`: it takes over
//! nothing. Pure, but for the port: [`worker`](crate::worker) asks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    connection::Connection,
    names::{RoleArn, StackId},
    speaker::{HANDLER_ROLE, Speaker, Way},
};

/// A new role may refuse for a minute, and a stack's resources are complete when it is; after this many attempts, which take two
/// minutes, something else is wrong.
const QUICK_ATTEMPTS: i64 = 8;
/// Between the first attempts, and after them.
const QUICK_PAUSE: time::Duration = time::Duration::seconds(15);
/// See [`QUICK_PAUSE`].
pub(crate) const SLOW_PAUSE: time::Duration = time::Duration::hours(1);

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
    /// the stack has proven itself with a token of AWS STS before, and came without one
    Downgraded = "proof-downgraded", "customer",
        "Check whether outbound identity federation was switched off in the account, and update the stack once it is on.";
}

/// One open problem of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    code: String,
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
            cause: format!("{}{colon}{found}", code.meaning()),
            actor: code.actor().to_owned(),
            next_step: code.next_step().to_owned(),
        }
    }

    /// The stable word.
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// What AWS is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub role: RoleArn,
    /// The one that we issued.
    pub external_id: String,
    /// Those that we issued before, and that are still valid: the role has one of them where an update was rolled back.
    pub earlier_ids: Vec<String>,
    pub stack: StackId,
    /// Without a stack there is nothing to read: then that the role can be assumed is the answer.
    pub reads_stack: bool,
}

/// Physical ids of a stack's resources, by logical id.
pub type Resources = BTreeMap<String, String>;

/// The port: AWS, as the vendor.
#[async_trait]
pub trait Aws: Send + Sync {
    /// Assumes the role with the external ID, and reads the resources of its stack.
    ///
    /// # Errors
    /// Why not.
    async fn resources(&self, question: &Question) -> Result<Resources, Problem>;

    /// Whether the role can be assumed with this external ID, or without one.
    ///
    /// # Errors
    /// Why nobody knows.
    async fn can_assume(&self, question: &Question, external_id: Option<&str>) -> Result<bool, Problem>;
}

/// What AWS has confirmed.
#[derive(Debug)]
pub struct Confirmed {
    /// The external ID that the role has.
    pub external_id: String,
    /// What is wrong with the role all the same.
    pub problem: Option<Problem>,
}

/// External IDs that must not open a role that has this one, none and another one, and what to say of a role that they open (AWS
/// Foundational Technical Review, "cross-account access": test that a missing or a wrong external ID is refused).
pub fn wrong_external_ids(external_id: &str) -> [(Option<String>, &'static str); 2] {
    [(None, "without any"), (Some(format!("{external_id}0")), "with another one")]
}

/// Whether the stack's own resources are those that a notice came from and speaks of (B-21).
///
/// # Errors
/// [`ProblemCode::Foreign`] with the first that is not.
pub fn judge(resources: &Resources, speaker: &Speaker, role: &RoleArn, resource: &str) -> Result<(), Problem> {
    let has = |logical_id: &str, physical_id: Option<&str>| resources.get(logical_id).map(String::as_str) == physical_id;
    let require = |holds: bool, what: &str| if holds { Ok(()) } else { Err(Problem::new(ProblemCode::Foreign, what)) };
    require(
        speaker.role_name().is_some() && has(HANDLER_ROLE, speaker.role_name()),
        "the role that sent it is not `HandlerRole`",
    )?;
    require(has("Handler", speaker.session_name()), "the function that sent it is not `Handler`")?;
    if resources.contains_key("VendorRole") {
        require(has("VendorRole", Some(role.name())), "the role in it is not `VendorRole`")
    } else {
        // A role of the customer's own: the stack that has this very resource speaks of it.
        require(has("Connection", Some(resource)), "the resource in it is not `Connection`")
    }
}

/// A connection that is due, with what to ask about it.
#[derive(Debug)]
pub struct Due {
    pub connection: Connection,
    pub question: Question,
    /// The question about the role that speaks, where another one asks to.
    pub own: Option<Question>,
    pub attempts: i64,
}

impl Due {
    /// What waits for confirmation: a role that asks to speak, or what the connection says already.
    ///
    /// # Errors
    /// [`ProblemCode::Foreign`].
    pub fn judge(&self, resources: &Resources) -> Result<(), Problem> {
        if !self.question.reads_stack {
            return Ok(());
        }
        let Connection { candidate, data, .. } = &self.connection;
        let data = candidate.as_ref().map_or(data, |candidate| &candidate.data);
        judge(resources, self.speaker(), &self.question.role, data["resource"].as_str().unwrap_or_default())
    }

    /// What is asked next: about the role that speaks, where the one that asks to was not there for two minutes. Its update may have been
    /// rolled back, and the notice of that lost.
    pub fn doubt<T>(&self, outcome: &Result<T, Problem>) -> Option<&Question> {
        let is_gone = |problem: &Problem| {
            [ProblemCode::RoleRefused, ProblemCode::StackUnreadable].iter().any(|code| code.as_str() == problem.code())
        };
        self.own.as_ref().filter(|_| self.gives_up() && outcome.as_ref().is_err_and(is_gone))
    }

    /// Whether the stack's own resources are those of the role that speaks.
    pub fn has_own_role(&self, own: &Question, resources: &Resources) -> bool {
        let Connection { speaker, data, .. } = &self.connection;
        judge(resources, speaker, &own.role, data["resource"].as_str().unwrap_or_default()).is_ok()
    }

    /// Who is to be confirmed: a role that asks to speak, or the one that does.
    pub fn speaker(&self) -> &Speaker {
        self.connection.candidate.as_ref().map_or(&self.connection.speaker, |candidate| &candidate.speaker)
    }

    /// Whether it was asked often enough for a new role and a new stack to be there.
    pub fn gives_up(&self) -> bool {
        self.attempts >= QUICK_ATTEMPTS
    }

    /// When to ask again.
    pub fn next_attempt(&self, now: OffsetDateTime) -> OffsetDateTime {
        now + if self.gives_up() { SLOW_PAUSE } else { QUICK_PAUSE }
    }
}

/// The question about a connection and one description of it; None where that has no role that could be asked.
pub fn question(connection: &Connection, data: &Value, external_id: String, earlier_ids: Vec<String>) -> Option<Question> {
    Some(Question {
        role: data["roleArn"].as_str()?.parse().ok()?,
        external_id,
        earlier_ids,
        stack: connection.stack_id.parse().ok()?,
        reads_stack: connection.way == Way::Stack,
    })
}
