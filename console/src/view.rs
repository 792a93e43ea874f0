//! A connection as the operator sees it, from what is stored. Pure.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    billing::{self, ReportedStatus, StatusSummary},
    connection::{Connection, OrganizationChange},
    names::CustomerId,
    problem::Problem,
    role_test::{RoleTest, Verdict},
    speaker::Way,
};

/// A connection as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "connectionId": "con-1f2e3d4c5b6a79881f2e", "customerId": "customer-4711", "way": "stack", "state": "verified", "problems": [],
    "roleTest": {"checkedAt": "2026-11-24T10:00:05Z", "verdict": "verified", "steps": [{"name": "assume-with-external-id", "result": "passed"}]},
    "availableAt": "2026-11-24T10:00:05Z", "label": "Acme, production", "pausedAt": null, "launchId": "6f5e4d3c2b1a0918",
    "externalIdInUse": "8c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f", "since": "2026-11-22T10:00:00Z", "heardAt": "2026-11-24T16:00:02Z",
    "latestNotice": {"id": "0123456789abcdef0123456789abcdef", "type": "hawser.connection.established", "time": "2026-11-22T10:00:00Z"},
    "verifiedArn": "arn:aws:sts::111122223333:assumed-role/hawser-HandlerRole-1A2B3C4D5E6F/hawser-Handler-1A2B3C4D5E6F",
    "confirmedAt": "2026-11-22T10:00:05Z",
    "data": {"accountId": "111122223333", "connectionName": "production", "roleArn": "arn:aws:iam::111122223333:role/hawser-VendorRole-1A2B3C4D5E6F", "externalId": "8c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f"}
}))]
pub struct ConnectionView {
    /// Ours; it stays the same as long as the stack does.
    pub connection_id: String,
    /// The customer of the launch that connected it. It never changes.
    pub customer_id: CustomerId,
    pub way: Way,
    pub state: State,
    /// The connection of the newer stack that took over (F-29).
    pub replaced_by: Option<String>,
    /// The other connection, where both claim the same name.
    pub contested_with: Option<String>,
    /// What is wrong with it now, the oldest first.
    pub problems: Vec<OpenProblem>,
    /// The last test of its role.
    pub role_test: Option<RoleTest>,
    /// When the role could last be used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub available_at: Option<OffsetDateTime>,
    /// The operator's own name for it.
    pub label: Option<String>,
    /// When the operator paused it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub paused_at: Option<OffsetDateTime>,
    /// The launch whose token its stack signs with.
    pub launch_id: String,
    /// The external ID with which the role could be assumed last; `data` has the one that the stack stated last. Neither is in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id_in_use: Option<String>,
    /// When that launch was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// The time of the first notice that described it.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// When the operator ended it: its stack connects no more, whatever it sends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The stack's last word.
    pub latest_notice: LatestNotice,
    /// When its stack was heard last, by whatever notice.
    #[serde(with = "time::serde::rfc3339::option")]
    pub heard_at: Option<OffsetDateTime>,
    /// The one principal whose word counts, as AWS STS names it.
    pub verified_arn: String,
    /// That role as a token of AWS STS named it, with its path; null where no token ever vouched for it.
    pub token_arn: Option<String>,
    /// The role that asks to speak in its place.
    pub candidate_arn: Option<String>,
    /// When AWS last confirmed that speaker and role are this stack's own.
    #[serde(with = "time::serde::rfc3339::option")]
    pub confirmed_at: Option<OffsetDateTime>,
    /// How its billing data arrives. Null where there is none to arrive: without an export, or after its removal.
    pub billing: Option<StatusSummary>,
    /// The last change of the account's place in its organization, if there was one.
    pub organization_change: Option<OrganizationChange>,
    /// What the stack states: the data of its newest notice, without the proofs (`docs/notice.schema.json`).
    #[schema(value_type = Object)]
    pub data: Value,
}

/// One open problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenProblem {
    /// Ours; those that opened later have higher ones.
    pub problem_id: i64,
    pub connection_id: String,
    pub customer_id: String,
    #[serde(flatten)]
    pub problem: Problem,
    #[serde(with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
}

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its place in the history of all connections.
    pub sequence: i64,
    pub connection_id: String,
    pub customer_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Such as `connection.verified` or `problem.opened`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `console`, `operator`, or `token:` and the id of the API token that was used.
    pub actor: String,
    pub data: Value,
}

/// Where a connection stands: derived from what is stored, never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its stack has said so, and AWS has not confirmed yet that it is the stack's own word and role, or the role was not tested yet.
    Announced,
    /// AWS has confirmed it, and its role can be used as it should.
    Verified,
    /// The same, and something is wrong with the role.
    Partial,
    /// AWS has confirmed it, and its role cannot be used any more.
    Unavailable,
    /// The operator wants nothing to be done with it for a while.
    Paused,
    /// Its account is none of those that the launch was made for, as far as the account says.
    Unconfirmed,
    /// A newer stack of the same customer, account and connection name took over.
    Replaced,
    /// The same, and the older one's stack has spoken since: somebody has to decide.
    Contested,
    /// Its stack was deleted, or the operator ended it.
    Removed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Announced,
        Self::Verified,
        Self::Partial,
        Self::Unavailable,
        Self::Paused,
        Self::Unconfirmed,
        Self::Replaced,
        Self::Contested,
        Self::Removed,
    ];

    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Verified => "verified",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
            Self::Paused => "paused",
            Self::Unconfirmed => "unconfirmed",
            Self::Replaced => "replaced",
            Self::Contested => "contested",
            Self::Removed => "removed",
        }
    }

    /// The state that follows from what is stored.
    pub fn of(connection: &Connection, beside: &Beside) -> Self {
        let verdict = beside.role_test.as_ref().map(|test| test.verdict);
        match () {
            () if connection.is_removed() => Self::Removed,
            () if connection.unconfirmed => Self::Unconfirmed,
            () if beside.contested_with.is_some() => Self::Contested,
            () if beside.replaced_by.is_some() => Self::Replaced,
            () if beside.paused_at.is_some() => Self::Paused,
            () if connection.confirmed_at.is_none() || verdict.is_none() => Self::Announced,
            () if verdict == Some(Verdict::Unavailable) => Self::Unavailable,
            () if verdict == Some(Verdict::Partial) => Self::Partial,
            () => Self::Verified,
        }
    }
}

/// What is stored of a connection beside its stack's word.
#[derive(Debug, Default)]
pub struct Beside {
    pub replaced_by: Option<String>,
    /// Only where that one still stands.
    pub contested_with: Option<String>,
    pub role_test: Option<RoleTest>,
    pub available_at: Option<OffsetDateTime>,
    pub label: Option<String>,
    pub paused_at: Option<OffsetDateTime>,
    pub external_id_in_use: Option<String>,
    pub revoked_at: Option<OffsetDateTime>,
    pub heard_at: Option<OffsetDateTime>,
    /// Its last billing status.
    pub reported: Option<ReportedStatus>,
}

/// How a connection's billing data arrives. None where there is none to arrive.
pub fn billing_of(connection: &Connection, beside: &Beside, now: OffsetDateTime) -> Option<StatusSummary> {
    let export = &connection.data["billingExport"];
    // Its kind may be one that this version does not know, or that nobody knows; where it is, is always known.
    let has_export = export["kind"] != "None" && export["bucketName"].as_str().is_some_and(|bucket| !bucket.is_empty());
    let has_heartbeats = connection.way == Way::Stack;
    let expected = has_export && !connection.is_removed();
    expected.then(|| billing::status_summary(beside.reported.as_ref(), has_heartbeats, connection.since, now))
}

/// The stack's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LatestNotice {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
}

impl ConnectionView {
    /// As lists have it: without the external IDs, which only who assumes the role needs.
    #[must_use]
    pub fn without_external_ids(mut self) -> Self {
        self.external_id_in_use = None;
        if let Some(data) = self.data.as_object_mut() {
            data.remove("externalId");
        }
        self
    }

    /// How it stands now.
    pub fn new(connection: Connection, beside: Beside, problems: Vec<OpenProblem>, now: OffsetDateTime) -> Self {
        let (state, billing) = (State::of(&connection, &beside), billing_of(&connection, &beside, now));
        Self {
            connection_id: connection.id,
            customer_id: connection.customer_id,
            way: connection.way,
            state,
            billing,
            replaced_by: beside.replaced_by.filter(|_| state == State::Replaced),
            contested_with: beside.contested_with.filter(|_| state == State::Contested),
            problems,
            role_test: beside.role_test,
            available_at: beside.available_at,
            label: beside.label,
            paused_at: beside.paused_at,
            external_id_in_use: beside.external_id_in_use,
            revoked_at: beside.revoked_at,
            heard_at: beside.heard_at,
            candidate_arn: connection.candidate.map(|candidate| candidate.speaker.arn),
            confirmed_at: connection.confirmed_at,
            launch_id: connection.launch_id,
            since: connection.since,
            ended_at: connection.ended_at,
            latest_notice: LatestNotice {
                id: connection.latest.id,
                kind: connection.latest.kind.as_str().to_owned(),
                time: connection.latest.time,
            },
            verified_arn: connection.speaker.arn,
            token_arn: connection.speaker.bearer.map(|bearer| bearer.role_arn),
            organization_change: connection.organization_change,
            data: connection.data,
        }
    }
}
