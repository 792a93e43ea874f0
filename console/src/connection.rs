//! A connection as it is stored, and what becomes of it when its stack speaks. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    launch::EARLIER_VALID_FOR,
    names::CustomerId,
    notice::{Kind, NoticePosition, TOKEN_PROOF},
    problem::{Problem, ProblemCode},
    speaker::{Speaker, Way},
};

/// A connection as it is stored, keyed by its stack (F-1).
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Ours, derived from the stack id.
    pub id: String,
    pub stack_id: String,
    /// Of the launch that connected it. It never changes.
    pub customer_id: CustomerId,
    /// Never changes either.
    pub way: Way,
    /// Whose token signed the description.
    pub launch_id: String,
    /// The one principal whose word counts.
    pub speaker: Speaker,
    /// The one before, and until when its word counts as well.
    pub earlier: Option<Earlier>,
    /// Another role that asks to speak: it counts from when AWS confirms it.
    pub candidate: Option<Candidate>,
    /// When AWS last confirmed that speaker and role are this stack's own.
    pub confirmed_at: Option<OffsetDateTime>,
    /// Whether its account is none of those that the launch was made for, as far as the account says.
    pub unconfirmed: bool,
    /// When its removal came in.
    pub removed_at: Option<OffsetDateTime>,
    /// When the operator ended it: its stack connects no more, whatever it sends.
    pub ended_at: Option<OffsetDateTime>,
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

/// A principal that was replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    pub speaker: Speaker,
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// What a role that nobody knows says of a stack, until AWS confirms that it is the stack's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub speaker: Speaker,
    pub launch_id: String,
    pub position: NoticePosition,
    pub data: Value,
}

/// An account that left its organization, joined one, or whose management account changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrganizationChange {
    /// `organization` of the description before.
    pub before: Value,
    /// The time of the notice that told it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Connection {
    /// The last change once this description counts. What is not known on either side is no change.
    pub(crate) fn organization_change(&self, data: &Value, at: OffsetDateTime) -> Option<OrganizationChange> {
        let (before, now) = (&self.data["organization"], &data["organization"]);
        let known = |facts: &Value| !matches!(facts["accountRole"].as_str(), None | Some("" | "unknown"));
        if before != now && known(before) && known(now) {
            Some(OrganizationChange { before: before.clone(), at })
        } else {
            self.organization_change.clone()
        }
    }

    /// Whether a token vouched for it before, and its description came without one. Then the account's federation was switched off, or
    /// the token was held back.
    fn is_downgraded(&self) -> bool {
        let sent = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind == TOKEN_PROOF);
        self.speaker.bearer.is_some() && !self.data["proofKinds"].as_array().is_some_and(sent)
    }

    /// The problem of such a connection.
    pub fn downgrade(&self) -> Option<Problem> {
        self.is_downgraded().then(|| Problem::new(ProblemCode::Downgraded, ""))
    }

    /// The connection once the operator has ended it, because its stack cannot: final at once.
    #[must_use]
    pub fn ended(&self, now: OffsetDateTime) -> Self {
        let last_word = NoticePosition { time: now.max(self.latest.time), kind: Kind::Removed, id: self.latest.id.clone() };
        Self {
            latest: last_word,
            removed_at: self.removed_at.or(Some(now)),
            ended_at: self.ended_at.or(Some(now)),
            candidate: None,
            ..self.clone()
        }
    }

    /// Whether its last word is a removal.
    pub fn is_removed(&self) -> bool {
        self.latest.kind == Kind::Removed
    }

    /// Whether this principal's word counts.
    pub(crate) fn trusts(&self, speaker: &Speaker, now: OffsetDateTime) -> bool {
        self.speaker.is(speaker)
            || self.earlier.as_ref().is_some_and(|earlier| earlier.speaker.is(speaker) && now < earlier.until)
    }

    /// The connection once a principal whose word counts has updated it: that principal is the one from now on, and the one before
    /// keeps its word for a day. What AWS confirmed, it confirmed of the speaker and the role.
    pub(crate) fn spoken_by(&self, speaker: &Speaker, role_arn: &Value, now: OffsetDateTime) -> Self {
        let changed = !self.speaker.is(speaker);
        let earlier = changed.then(|| Earlier { speaker: self.speaker.clone(), until: now + EARLIER_VALID_FOR });
        let before = [Some(&self.speaker), self.earlier.as_ref().map(|earlier| &earlier.speaker)];
        let before = before.into_iter().flatten().find(|before| before.is(speaker));
        Self {
            speaker: before.map_or_else(|| speaker.clone(), |before| speaker.and_before(before)),
            earlier: earlier.or_else(|| self.earlier.clone()),
            confirmed_at: self.confirmed_at.filter(|_| !changed && self.data["roleArn"] == *role_arn),
            ..self.clone()
        }
    }

    /// The connection once AWS has confirmed the role that asked to speak. What it said counts more than what heartbeats of the earlier
    /// role repeated since.
    #[must_use]
    pub fn promoted(&self, candidate: &Candidate, now: OffsetDateTime) -> Self {
        let position = &candidate.position;
        let next = self.spoken_by(&candidate.speaker, &candidate.data["roleArn"], now);
        Self {
            candidate: None,
            confirmed_at: Some(now),
            launch_id: candidate.launch_id.clone(),
            described: position.or_later(&self.described),
            latest: position.or_later(&self.latest),
            organization_change: self.organization_change(&candidate.data, position.time),
            data: candidate.data.clone(),
            ..next
        }
    }
}
