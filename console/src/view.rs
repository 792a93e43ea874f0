//! A connection as the operator sees it, from what is stored. Pure.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    billing::{self, ReportedStatus, StatusSummary},
    confirm::{Problem, ProblemCode},
    connection::{Connection, OrganizationChange},
    names::CustomerId,
    speaker::Way,
};

/// A connection as the operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionView {
    /// See [`Connection::id`].
    pub connection_id: String,
    /// See [`Connection::customer_id`].
    pub customer_id: CustomerId,
    pub way: Way,
    pub state: State,
    /// The connection of the newer stack that took over (F-29).
    pub replaced_by: Option<String>,
    /// The other connection, where both claim the same name.
    pub contested_with: Option<String>,
    /// Why AWS has not confirmed it, or not what was said last, or not as well as before.
    pub problem: Option<Problem>,
    /// See [`Connection::launch_id`].
    pub launch_id: String,
    /// The external ID with which the role could be assumed last; `data` has the one that the stack stated last.
    pub external_id_in_use: Option<String>,
    /// When that launch was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// See [`Connection::since`].
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// See [`Connection::ended_at`].
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The stack's last word.
    pub latest_notice: LatestNotice,
    /// When its stack was heard last, by whatever notice.
    #[serde(with = "time::serde::rfc3339::option")]
    pub heard_at: Option<OffsetDateTime>,
    /// See [`Connection::speaker`].
    pub verified_arn: String,
    /// That role as a token of AWS STS named it, with its path; None where no token ever vouched for it.
    pub token_arn: Option<String>,
    /// The role that asks to speak in its place.
    pub candidate_arn: Option<String>,
    /// See [`Connection::confirmed_at`].
    #[serde(with = "time::serde::rfc3339::option")]
    pub confirmed_at: Option<OffsetDateTime>,
    /// How its billing data arrives. None where there is none to arrive: without an export, or after its removal.
    pub billing: Option<StatusSummary>,
    /// See `Connection::organization_change`.
    pub organization_change: Option<OrganizationChange>,
    /// See [`Connection::data`].
    pub data: Value,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its stack has said so, and AWS has not confirmed yet that it is the stack's own word and role.
    Announced,
    /// AWS has confirmed it.
    Connected,
    /// Its account is none of those that the launch was made for, as far as the account says.
    Unconfirmed,
    /// A newer stack of the same customer, account and connection name took over.
    Replaced,
    /// The same, and the older one's stack has spoken since: somebody has to decide.
    Contested,
    /// Its stack was deleted, or the operator ended it.
    Removed,
}

/// What is stored of a connection beside its stack's word.
#[derive(Debug, Default)]
pub struct Beside {
    pub replaced_by: Option<String>,
    /// Only where that one still stands.
    pub contested_with: Option<String>,
    pub problem: Option<Problem>,
    pub external_id_in_use: Option<String>,
    pub revoked_at: Option<OffsetDateTime>,
    pub heard_at: Option<OffsetDateTime>,
    /// Its last billing status.
    pub reported: Option<ReportedStatus>,
}

/// The stack's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LatestNotice {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
}

impl ConnectionView {
    /// How it stands now.
    pub fn new(connection: Connection, beside: Beside, now: OffsetDateTime) -> Self {
        let state = match () {
            () if connection.is_removed() => State::Removed,
            () if connection.unconfirmed => State::Unconfirmed,
            () if beside.contested_with.is_some() => State::Contested,
            () if beside.replaced_by.is_some() => State::Replaced,
            () if connection.confirmed_at.is_some() => State::Connected,
            () => State::Announced,
        };
        let export = &connection.data["billingExport"];
        // Its kind may be one that this version does not know, or that nobody knows; where it is, is always known.
        let has_export = export["kind"] != "None" && export["bucketName"].as_str().is_some_and(|bucket| !bucket.is_empty());
        let expected = has_export && state != State::Removed;
        let downgraded = connection.is_downgraded().then(|| Problem::new(ProblemCode::Downgraded, ""));
        let has_heartbeats = connection.way == Way::Stack;
        Self {
            connection_id: connection.id,
            customer_id: connection.customer_id,
            way: connection.way,
            state,
            billing: expected.then(|| billing::status_summary(beside.reported.as_ref(), has_heartbeats, connection.since, now)),
            replaced_by: beside.replaced_by.filter(|_| state == State::Replaced),
            contested_with: beside.contested_with.filter(|_| state == State::Contested),
            problem: beside.problem.or(downgraded).filter(|_| state != State::Removed),
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
