//! What is stored about a stack when a verified notice arrives: pure, and the same in whatever order notices come.
//!
//! A stack's notices may overtake each other (a Delete while the Create still runs, F-34; a move between
//! organizational units, F-12). So a connection keeps two places in their order: which notice described it last, and
//! which was the last word of all. Each only moves forward. A connection is removed when its last word is a removal.
//!
//! A heartbeat may describe, and is never a word of that second kind: it comes by a schedule that may outlive the
//! connection by moments, and a late removal must still count.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    billing::ReportedStatus,
    launch::{Launch, Organization},
    notice::{Kind, Notice, NoticePosition},
    refusal::{Reason, Refusal},
};

/// A connection as it is stored, keyed by its stack (F-1).
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Ours, derived from the stack id.
    pub id: String,
    pub stack_id: String,
    /// Whose token signed the description.
    pub launch_id: String,
    /// Who sent the description, as AWS said.
    pub verified_arn: String,
    /// The time of the first notice that described it.
    pub since: OffsetDateTime,
    /// The newest notice that described it.
    pub described: NoticePosition,
    /// The newest of all that CloudFormation had told.
    pub latest: NoticePosition,
    /// The description: the notice's data without the proof.
    pub data: Value,
    /// The last change of the account's place in its organization, if there was one.
    pub organization_change: Option<OrganizationChange>,
}

/// An account that left its organization, joined one, or whose management account changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrganizationChange {
    /// `organization` of the description before.
    pub before: Value,
    /// The time of the notice that told it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Connection {
    /// The last change once this notice describes the connection. What is not known on either side is no change.
    fn organization_change(&self, notice: &Notice) -> Option<OrganizationChange> {
        let (before, now) = (&self.data["organization"], &notice.data["organization"]);
        let known = |facts: &Value| !matches!(facts["accountRole"].as_str(), None | Some("" | "unknown"));
        if before != now && known(before) && known(now) {
            Some(OrganizationChange { before: before.clone(), at: notice.position.time })
        } else {
            self.organization_change.clone()
        }
    }
}

/// What the store knows that matters to one notice.
#[derive(Debug, Clone)]
pub struct LedgerState {
    /// The launch whose token signed it.
    pub launch: Launch,
    /// An accepted notice with the same id.
    pub prior: Option<Prior>,
    pub connection: Option<Connection>,
    /// What was heard of the connection's billing data.
    pub reported: Option<ReportedStatus>,
    /// The newest removal by this resource that came while its stack had no connection.
    pub removal: Option<NoticePosition>,
    /// Whether another stack of the account has a connection of this name that said nothing since.
    pub takes_over: bool,
}

/// An accepted notice: enough to recognize it and to answer it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prior {
    /// [`Notice::fingerprint`].
    pub fingerprint: String,
    pub answer: Answer,
}

/// The answer to an accepted notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The connection and a sentence for the stack's event.
    Accepted {
        /// [`Connection::id`].
        connection_id: String,
        /// For the customer.
        message: String,
    },
    /// A type of a later version: nothing was done.
    Ignored,
    /// A removal of a connection that we do not have. Remembered, so that its Create, when it comes late, does not
    /// connect a stack that is gone (F-34).
    Unknown,
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer, which is stored with the notice.
    pub answer: Answer,
    /// The connection as it is from now on, when there is one.
    pub connection: Option<Connection>,
    /// What was heard of its billing data, when this is what the notice brought.
    pub reported: Option<ReportedStatus>,
    /// Whether the launch now belongs to this stack.
    pub binds_launch: bool,
}

/// Checks that do not need AWS's word: whether the notice was seen before, and whether this launch may say this.
/// `Some` is the answer given earlier to the same notice.
///
/// # Errors
/// A different notice under the same id, or a launch that may not speak for this stack.
pub fn admit(notice: &Notice, known: &LedgerState, now: OffsetDateTime) -> Result<Option<Answer>, Refusal> {
    if let Some(prior) = &known.prior {
        return if prior.fingerprint == notice.fingerprint {
            Ok(Some(prior.answer.clone()))
        } else {
            Err(Reason::IdReused.into())
        };
    }
    let (removal, scheduled) = (notice.position.kind == Kind::Removed, notice.position.kind.is_scheduled());
    match &known.connection {
        // Also for a stack that failed because its launch was used: its rollback's removal names its own stack, finds
        // nothing, and leaves the connection of the first stack alone (F-1).
        None if removal => return Ok(None),
        None if scheduled => return Err(Reason::StatusOfUnknown.into()),
        _ => {}
    }
    if notice.external_id != known.launch.external_id && !(removal && notice.external_id.is_empty()) {
        return Err(Reason::ExternalId.into());
    }
    // Neither makes a launch this stack's own.
    if (removal || scheduled) && known.launch.stack_id.as_deref() != Some(notice.stack.as_str()) {
        return Err(known.launch.used());
    }
    if scheduled && known.connection.as_ref().is_some_and(|connection| connection.latest.kind == Kind::Removed) {
        return Err(Reason::StatusOfRemoved.into());
    }
    known.launch.admit(&notice.stack, Organization::from_notice(&notice.data).as_ref(), now)?;
    Ok(None)
}

/// What a notice that [`admit`] let through and AWS vouched for changes.
pub fn decide(notice: &Notice, verified_arn: &str, known: &LedgerState, now: OffsetDateTime) -> Decision {
    let position = &notice.position;
    let describes = position.kind != Kind::Removed;
    if let Some(connection) = known.connection.as_ref().filter(|_| position.kind.is_scheduled()) {
        return record_scheduled(notice, connection, verified_arn, known, now);
    }
    let speaks = |connection: &Connection| connection.data["resource"] == notice.resource.as_str();
    if let Some(connection) = known.connection.as_ref().filter(|connection| !describes && !speaks(connection)) {
        let message = "ignored: another resource of this stack describes the connection".to_owned();
        let answer = Answer::Accepted { connection_id: connection.id.clone(), message };
        return Decision { answer, connection: None, reported: None, binds_launch: false };
    }
    let later_of = |old: &NoticePosition| if position.supersedes(old) { position.clone() } else { old.clone() };
    let (id, text) = (connection_id(notice.stack.as_str()), |text: &str| text.to_owned());
    let connection = match &known.connection {
        None if !describes => {
            return Decision { answer: Answer::Unknown, connection: None, reported: None, binds_launch: false };
        }
        Some(old) if !describes => Connection { latest: later_of(&old.latest), ..old.clone() },
        Some(old) if !position.supersedes(&old.described) => Connection { since: old.since.min(position.time), ..old.clone() },
        old => Connection {
            id: id.clone(),
            stack_id: text(notice.stack.as_str()),
            launch_id: known.launch.id.clone(),
            verified_arn: text(verified_arn),
            since: old.as_ref().map_or(position.time, |old| old.since.min(position.time)),
            described: position.clone(),
            latest: old.as_ref().map(|old| &old.latest).or(known.removal.as_ref()).map_or(position.clone(), later_of),
            data: notice.data.clone(),
            organization_change: old.as_ref().and_then(|old| old.organization_change(notice)),
        },
    };
    let message = match (describes, connection.latest == *position) {
        (true, true) if known.takes_over => "connected; an earlier stack with this connection name is shown as replaced",
        (true, true) => "connected",
        (true, false) if connection.latest.kind == Kind::Removed => "stored, but this stack has already been removed",
        (false, true) => "disconnected",
        (_, false) => "stored, but a newer notice of this stack takes precedence",
    };
    Decision {
        answer: Answer::Accepted { connection_id: id, message: text(message) },
        connection: Some(connection),
        reported: None,
        binds_launch: describes,
    }
}

/// A heartbeat of a connection that stands. Of billing statuses the newest counts. It describes the connection as an update does, so
/// that a notice that was lost is made good.
fn record_scheduled(
    notice: &Notice,
    connection: &Connection,
    verified_arn: &str,
    known: &LedgerState,
    now: OffsetDateTime,
) -> Decision {
    let checked_later =
        |reported: &&ReportedStatus| notice.status.as_ref().is_some_and(|s| reported.status.checked_at > s.checked_at);
    let earlier = known.reported.as_ref().filter(checked_later).map(|reported| &reported.status);
    let describes = notice.position.supersedes(&connection.described);
    let message = match earlier {
        Some(_) => "stored, but a newer status of this stack takes precedence",
        None if describes && connection.organization_change(notice) != connection.organization_change => {
            "stored; the account's place in its organization has changed"
        }
        None if describes && notice.data != connection.data => "stored; the connection was out of date",
        None => "stored",
    };
    let described = Connection {
        launch_id: known.launch.id.clone(),
        verified_arn: verified_arn.to_owned(),
        described: notice.position.clone(),
        data: notice.data.clone(),
        organization_change: connection.organization_change(notice),
        ..connection.clone()
    };
    Decision {
        answer: Answer::Accepted { connection_id: connection.id.clone(), message: message.to_owned() },
        connection: describes.then_some(described),
        reported: earlier.or(notice.status.as_ref()).map(|status| ReportedStatus { status: status.clone(), at: now }),
        binds_launch: false,
    }
}

/// Derived, so that it is the same however often a stack is heard.
pub fn connection_id(stack_id: &str) -> String {
    // 80 bits: no two stacks of one vendor meet by chance.
    format!("con-{}", &hex::encode(Sha256::digest(stack_id))[..20])
}
