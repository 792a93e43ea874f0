//! AWS's word that a notice is its stack's own: what CloudFormation says that the stack has, asked through the vendor's role in it (F-60).
//!
//! The role of the handler is known by its name and its unique id alone until then, and the connection is `announced`: it takes over
//! nothing. Pure, but for the port: [`worker`](crate::worker) asks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    connection::Connection,
    job::Job,
    names::{RoleArn, StackId},
    probe::{BillingBucket, Finding, FindingCode, Place, Tried},
    problem::{Problem, ProblemCode},
    role_test::{REFUSE_OTHER, REFUSE_WITHOUT, Step},
    speaker::{HANDLER_ROLE, Speaker, Way},
};

/// A new role may refuse for a minute, and a stack's resources are complete when it is; after this many attempts, which take two
/// minutes, something else is wrong.
const QUICK_ATTEMPTS: i64 = 8;
/// Between the first attempts, and after them.
const QUICK_PAUSE: time::Duration = time::Duration::seconds(15);
/// See [`QUICK_PAUSE`].
pub(crate) const SLOW_PAUSE: time::Duration = time::Duration::hours(1);
/// Between two tests of a role with which nothing was wrong: who changed it by hand is found out within a day.
pub(crate) const DAILY: time::Duration = time::Duration::hours(24);

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

    /// Tries what the role was granted, statement by statement, with the external ID.
    ///
    /// # Errors
    /// The role could not be assumed.
    async fn try_packs(&self, question: &Question, packs: &Packs) -> Result<Vec<Tried>, Problem>;
}

/// What was granted, and where it is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Packs {
    /// Modes by pack, as the notice states them.
    pub granted: BTreeMap<String, String>,
    pub place: Place,
}

impl Packs {
    /// What a description states, for the stack's own account and Region.
    pub fn read(stack: &StackId, data: &Value) -> Self {
        let granted = serde_json::from_value(data["packs"].clone()).unwrap_or_default();
        let export = &data["billingExport"];
        let text = |name: &str| export[name].as_str().unwrap_or_default().to_owned();
        // The role may list below the export's own name only; what the customer brought has none.
        let prefix = match (text("prefix"), text("name")) {
            (prefix, name) if name.is_empty() => prefix,
            (prefix, name) => format!("{prefix}/{name}"),
        };
        let bucket = BillingBucket { name: text("bucketName"), region: text("bucketRegion"), prefix };
        let place = Place {
            partition: stack.partition,
            account: stack.account.clone(),
            region: stack.region.clone(),
            billing: (!bucket.name.is_empty()).then_some(bucket),
        };
        Self { granted, place }
    }
}

/// Why AWS STS does not let the role be assumed, by its error (F-62, B-26). Policies of the vendor's side and of the customer's come together
/// in this one call: only resource control policies and the role's trust policy are the customer's.
pub fn not_assumed(code: &str, message: &str) -> Problem {
    let shown = format!("`{code}`");
    match code {
        "AccessDenied" | "AccessDeniedException" => match Finding::denied(code, message).code {
            FindingCode::DeniedByRcp => Problem::new(ProblemCode::RoleRefusedByRcp, &shown),
            FindingCode::PermissionMissing
            | FindingCode::DeniedByIdentityPolicy
            | FindingCode::DeniedByScp
            | FindingCode::DeniedByBoundary
            | FindingCode::DeniedBySessionPolicy
            | FindingCode::DeniedByEndpointPolicy => Problem::new(ProblemCode::VendorNotAllowed, &shown),
            _ => Problem::new(ProblemCode::RoleRefused, &shown),
        },
        "ValidationError" => Problem::new(ProblemCode::RoleRefused, &shown),
        "RegionDisabledException" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            Problem::new(ProblemCode::VendorRegionDisabled, &shown)
        }
        "ExpiredToken" | "ExpiredTokenException" | "SignatureDoesNotMatch" => Problem::new(ProblemCode::NoCredentials, &shown),
        _ => Problem::new(ProblemCode::Unavailable, code),
    }
}

/// What came of asking AWS.
#[derive(Debug)]
pub struct Outcome {
    /// The external ID that the role has, once AWS has confirmed the connection; or why it has not.
    pub confirmed: Result<String, Problem>,
    /// What was tried, in this order.
    pub steps: Vec<Step>,
}

/// External IDs that must not open a role that has this one, none and another one, and what to say of a role that they open (AWS
/// Foundational Technical Review, "cross-account access": test that a missing or a wrong external ID is refused).
pub fn wrong_external_ids(external_id: &str) -> [(&'static str, Option<String>, &'static str); 2] {
    [(REFUSE_WITHOUT, None, "without any"), (REFUSE_OTHER, Some(format!("{external_id}0")), "with another one")]
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
    pub job: Job,
    pub connection: Connection,
    pub question: Question,
    /// The question about the role that speaks, where another one asks to.
    pub own: Option<Question>,
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

    /// What the role to be confirmed was granted.
    pub fn packs(&self) -> Packs {
        let Connection { candidate, data, .. } = &self.connection;
        Packs::read(&self.question.stack, candidate.as_ref().map_or(data, |candidate| &candidate.data))
    }

    /// What is asked next: about the role that speaks, where the one that asks to was not there for two minutes. Its update may have been
    /// rolled back, and the notice of that lost.
    pub fn doubt<T>(&self, outcome: &Result<T, Problem>) -> Option<&Question> {
        let is_gone = |problem: &Problem| problem.is_refusal() || problem.code() == ProblemCode::StackUnreadable.as_str();
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
        self.job.attempts >= QUICK_ATTEMPTS
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
