//! What is stored about a stack when a verified notice arrives: pure, and the same in whatever order notices come.
//!
//! A stack's notices may overtake each other (a Delete while the Create still runs, F-34; a move between
//! organizational units, F-12). So a connection keeps two places in their order: which notice described it last, and
//! which was the last word of all. Each only moves forward. A connection is removed when its last word is a removal.
//!
//! A heartbeat may describe, and is never a word of that second kind: it comes by a schedule that may outlive the
//! connection by moments, and a late removal must still count.

use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::{
    billing::ReportedStatus,
    connection::{Candidate, Connection},
    launch::{Launch, ROLLED_BACK_AFTER},
    notice::{Kind, Notice, NoticePosition},
    refusal::{Reason, Refusal},
    speaker::{Speaker, Way},
    token::Attested,
};

/// After this long a removal is final: a stack's id never comes back, and a Create that its Delete overtook has ended (Lambda runs a
/// function for 15 minutes at most).
pub const REMOVAL_FINAL_AFTER: Duration = Duration::minutes(15);
/// Removals of stacks without a connection that are remembered for one launch. Each Create that is cancelled makes one.
pub const REMOVALS_PER_LAUNCH_MAX: i64 = 16;
/// How long: a Create that was overtaken is long over.
pub const REMOVAL_MEMORY: Duration = Duration::hours(24);
/// A removed connection is kept, and what its stack sent is not, once nobody sends it again: CloudFormation's requests end within a day.
pub const NOTICES_OF_REMOVED_KEPT_FOR: Duration = Duration::days(30);
/// Accounts of one launch that wait for AWS's word, and for how long.
pub const UNCONFIRMED_PER_LAUNCH_MAX: i64 = 100;
/// See [`UNCONFIRMED_PER_LAUNCH_MAX`].
pub const UNCONFIRMED_KEPT_FOR: Duration = Duration::days(7);

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
    /// How many such removals are remembered of the launch.
    pub removals: i64,
    /// How many accounts of the launch wait for AWS's word.
    pub unconfirmed: i64,
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
    /// Whether the launch is kept for this stack until AWS has judged the role that asks to speak with it.
    pub reserves_launch: bool,
    /// Whether the notice is remembered. A removal of what nobody knows is, as long as there is room.
    pub remembered: bool,
    /// Whether the connection's stack has spoken, which one that was taken over should not.
    pub spoke: bool,
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
    let (launch, connection) = (&known.launch, known.connection.as_ref());
    let (removal, scheduled) = (notice.position.kind == Kind::Removed, notice.position.kind.is_scheduled());
    if launch.revoked_at.is_some() && !removal {
        return Err(Reason::LaunchRevoked.into());
    }
    if removal && connection.is_none() {
        // Also for a stack that failed because its launch was used: its rollback's removal names its own stack, finds nothing, and
        // leaves the connection of the first stack alone (F-1). Who speaks is judged by the way, so it has to be one of the launch.
        return if launch.terms.ways.contains(&way(notice, known)) { Ok(None) } else { Err(Reason::Way.into()) };
    }
    if notice.external_id != launch.external_id && !(removal && notice.external_id.is_empty()) {
        return Err(Reason::ExternalId.into());
    }
    if connection.is_some_and(|connection| connection.customer_id != launch.terms.customer_id) {
        return Err(Reason::LaunchOfOtherCustomer.into());
    }
    // Neither makes a launch this stack's own.
    if scheduled && connection.is_none() && (launch.is_reserved() || !launch.is_bound_to(&notice.stack, now)) {
        return Err(Reason::StatusOfUnknown.into());
    }
    if (removal || scheduled) && !launch.is_bound_to(&notice.stack, now) {
        launch.admit(&notice.stack, now)?;
        return Err(launch.used());
    }
    let removed = connection.map_or(known.removal.is_some(), Connection::is_removed);
    if scheduled && removed {
        return Err(Reason::StatusOfRemoved.into());
    }
    let way = way(notice, known);
    if connection.is_some_and(|connection| connection.way != way) || !launch.terms.ways.contains(&way) {
        return Err(Reason::Way.into());
    }
    if let Some(connection) = connection.filter(|connection| !removal && is_final(connection, now)) {
        // A person may connect again what the same person removed, or what the vendor makes a new launch for.
        let again = connection.way == Way::Direct
            && notice.position.kind == Kind::Established
            && (connection.ended_at.is_none() || !launch.is_bound_to(&notice.stack, now));
        if !again {
            return Err(Reason::Removed.into());
        }
    }
    launch.admit(&notice.stack, now)?;
    Ok(None)
}

/// As the notice says; one that does not say it, because it knows no more of it, is of the way that it has.
fn way(notice: &Notice, known: &LedgerState) -> Way {
    match (notice.data["way"].as_str(), &known.connection) {
        (None | Some(""), Some(connection)) => connection.way,
        (word, _) => Way::of(word.unwrap_or_default()),
    }
}

fn is_final(connection: &Connection, now: OffsetDateTime) -> bool {
    let is_over = connection.removed_at.is_some_and(|at| now >= at + REMOVAL_FINAL_AFTER);
    connection.is_removed() && (is_over || connection.ended_at.is_some())
}

/// What a notice that [`admit`] let through and AWS vouched for changes.
///
/// # Errors
/// [`Reason::Speaker`]: somebody else of the account sent it. [`Reason::LaunchOfOtherOrganization`]: too many accounts wait already.
pub fn decide(
    notice: &Notice,
    (speaker, attested): (&Speaker, Option<&Attested>),
    known: &LedgerState,
    now: OffsetDateTime,
) -> Result<Decision, Refusal> {
    let (position, launch, kind) = (&notice.position, &known.launch, notice.position.kind);
    let id = connection_id(notice.stack.as_str());
    let way = way(notice, known);
    let expected = launch.expects(&notice.data, attested.and_then(|attested| attested.organization_id.as_deref()));
    let nothing = Decision {
        answer: Answer::Unknown,
        connection: None,
        reported: None,
        binds_launch: false,
        reserves_launch: false,
        remembered: true,
        spoke: false,
    };
    let accepted = |message: &str| Answer::Accepted { connection_id: id.clone(), message: message.to_owned() };
    let Some(old) = &known.connection else {
        speaker.admit(&notice.stack, way, launch.terms.handler_role_name.as_deref())?;
        if kind == Kind::Removed {
            let remembered = known.removals < REMOVALS_PER_LAUNCH_MAX;
            return Ok(Decision { remembered, ..nothing });
        }
        let unconfirmed = !expected;
        if unconfirmed && known.unconfirmed >= UNCONFIRMED_PER_LAUNCH_MAX {
            return Err(Reason::LaunchOfOtherOrganization.into());
        }
        let latest = known.removal.as_ref().map_or(position.clone(), |removal| position.or_later(removal));
        let connection = Connection {
            id: id.clone(),
            stack_id: notice.stack.as_str().to_owned(),
            customer_id: launch.terms.customer_id.clone(),
            way,
            launch_id: launch.id.clone(),
            speaker: speaker.clone(),
            earlier: None,
            candidate: None,
            confirmed_at: None,
            unconfirmed,
            removed_at: (latest.kind == Kind::Removed).then_some(now),
            ended_at: None,
            since: position.time,
            described: position.clone(),
            latest,
            data: notice.data.clone(),
            organization_change: None,
        };
        let message = match () {
            () if connection.is_removed() => "stored, but this stack has already been removed",
            () if unconfirmed => {
                "stored; this account waits until it is known to be in the organization that the link was made for"
            }
            () if kind.is_scheduled() => "connected again; it was not known",
            () => "connected",
        };
        let reported = notice.status.clone().map(|status| ReportedStatus { status, at: now });
        return Ok(Decision { answer: accepted(message), connection: Some(connection), reported, binds_launch: true, ..nothing });
    };
    let again = way == Way::Direct && is_final(old, now);
    let anew = again && !launch.is_bound_to(&notice.stack, now);
    if !old.trusts(speaker, now) && !anew {
        // A changed path, or a changed name, gives the stack another role; nobody but its own handler has what AWS then confirms.
        let asks = way == Way::Stack && kind == Kind::Updated;
        let waits = old.candidate.as_ref().is_some_and(|candidate| candidate.speaker.is(speaker));
        let may_ask = asks || waits && kind.is_scheduled();
        // A launch that was replaced may have leaked; one that was only rolled back may come again, with another role.
        if (launch.is_earlier() && launch.replaced) || !may_ask {
            return Err(Reason::Speaker.with("another principal of the account speaks for this stack"));
        }
        if old.speaker.bearer.is_some() && speaker.bearer.is_none() {
            return Err(
                Reason::Speaker.with("this stack has proven itself with a token, and another role asks to speak without one")
            );
        }
        speaker.admit(&notice.stack, way, launch.terms.handler_role_name.as_deref())?;
        let newer = old.candidate.as_ref().is_none_or(|candidate| position.supersedes(&candidate.position))
            && position.supersedes(&old.latest);
        let candidate = Candidate {
            speaker: speaker.clone(),
            launch_id: launch.id.clone(),
            position: position.clone(),
            data: notice.data.clone(),
        };
        return Ok(Decision {
            answer: accepted(if newer || waits {
                "stored; it counts once AWS confirms that the role which sent it is this stack's"
            } else {
                "ignored: a newer update of this stack waits for AWS's word"
            }),
            reserves_launch: asks && newer && !launch.is_bound_to(&notice.stack, now),
            connection: (asks && newer).then(|| Connection { candidate: Some(candidate), ..old.clone() }),
            ..nothing
        });
    }
    if kind.is_scheduled() {
        return Ok(record_scheduled(notice, old, (speaker, expected), known, now));
    }
    if kind == Kind::Removed {
        let last = position.or_later(&old.latest);
        let speaks = old.data["resource"] == notice.resource.as_str();
        let counts = speaks && last == *position;
        return Ok(Decision {
            answer: accepted(match () {
                () if !speaks => "ignored: another resource of this stack describes the connection",
                () if counts => "disconnected",
                () => "stored, but a newer notice of this stack takes precedence",
            }),
            connection: counts.then(|| Connection {
                latest: last,
                removed_at: old.removed_at.or(Some(now)),
                candidate: old.candidate.clone().filter(|candidate| !position.supersedes(&candidate.position)),
                ..old.clone()
            }),
            ..nothing
        });
    }
    // What was removed before says nothing of a connection that begins again.
    let latest = if again { position.clone() } else { position.or_later(&old.latest) };
    let removed_at = old.removed_at.filter(|_| latest.kind == Kind::Removed);
    let since = if again { position.time } else { old.since.min(position.time) };
    let connection = if again || position.supersedes(&old.described) {
        let next = old.spoken_by(speaker, &notice.data["roleArn"], now);
        Connection {
            // Whoever spoke for what was removed speaks for nothing of what comes after it.
            earlier: next.earlier.clone().filter(|_| !again),
            confirmed_at: next.confirmed_at.filter(|_| !again),
            launch_id: launch.id.clone(),
            unconfirmed: old.unconfirmed && !expected,
            since,
            described: position.clone(),
            latest,
            removed_at,
            ended_at: old.ended_at.filter(|_| !again),
            data: notice.data.clone(),
            organization_change: old.organization_change(&notice.data, position.time),
            ..next
        }
    } else {
        Connection { since, ..old.clone() }
    };
    // A role that asked before this to speak is the stack's no more: its update was rolled back.
    let candidate = old.candidate.clone().filter(|candidate| !position.supersedes(&candidate.position));
    let connection = Connection { candidate, ..connection };
    let message = match () {
        () if connection.latest == *position => "connected",
        () if connection.is_removed() => "stored, but this stack has already been removed",
        () => "stored, but a newer notice of this stack takes precedence",
    };
    // What was overtaken is no rollback: it says nothing of the launch that counts now.
    let binds_launch = connection.described == *position;
    Ok(Decision { answer: accepted(message), connection: Some(connection), binds_launch, spoke: true, ..nothing })
}

/// A heartbeat of a connection that stands. Of billing statuses the newest counts. It describes the connection as an update does, so
/// that a notice that was lost is made good.
fn record_scheduled(
    notice: &Notice,
    connection: &Connection,
    (speaker, expected): (&Speaker, bool),
    known: &LedgerState,
    now: OffsetDateTime,
) -> Decision {
    let checked_later =
        |reported: &&ReportedStatus| notice.status.as_ref().is_some_and(|s| reported.status.checked_at > s.checked_at);
    let earlier = known.reported.as_ref().filter(checked_later).map(|reported| &reported.status);
    let change = connection.organization_change(&notice.data, notice.position.time);
    // A heartbeat of the earlier role, or with the earlier launch, must not undo what the later one said; with the earlier launch it does
    // once it can only have begun after a rollback, whose notice was lost.
    let rolled_back = known.launch.is_earlier() && notice.position.time >= connection.described.time + ROLLED_BACK_AFTER;
    let describes = notice.position.supersedes(&connection.described)
        && connection.speaker.is(speaker)
        && (rolled_back || !known.launch.is_earlier());
    let message = match earlier {
        Some(_) => "stored, but a newer status of this stack takes precedence",
        None if describes && change != connection.organization_change => {
            "stored; the account's place in its organization has changed"
        }
        None if describes && notice.data != connection.data => "stored; the connection was out of date",
        None => "stored",
    };
    let described = Connection {
        launch_id: known.launch.id.clone(),
        unconfirmed: connection.unconfirmed && !expected,
        described: notice.position.clone(),
        data: notice.data.clone(),
        organization_change: change,
        ..connection.spoken_by(speaker, &notice.data["roleArn"], now)
    };
    Decision {
        answer: Answer::Accepted { connection_id: connection.id.clone(), message: message.to_owned() },
        connection: describes.then_some(described),
        reported: earlier.or(notice.status.as_ref()).map(|status| ReportedStatus { status: status.clone(), at: now }),
        binds_launch: describes && (rolled_back || known.launch.is_reserved()),
        reserves_launch: false,
        remembered: true,
        spoke: true,
    }
}

/// Derived, so that it is the same however often a stack is heard.
pub fn connection_id(stack_id: &str) -> String {
    // 80 bits: no two stacks of one vendor meet by chance.
    format!("con-{}", &hex::encode(Sha256::digest(stack_id))[..20])
}
