//! A connection as the operator sees it, from what is stored. Pure.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    billing::{self, ReportedStatus, StatusSummary},
    ledger::{Connection, OrganizationChange},
    notice::Kind,
};

/// A connection as the operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionView {
    /// See [`Connection::id`].
    pub connection_id: String,
    pub state: State,
    /// The connection of the newer stack that took over (F-29).
    pub replaced_by: Option<String>,
    /// See [`Connection::launch_id`].
    pub launch_id: String,
    /// See [`Connection::since`].
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// The stack's last word.
    pub latest_notice: LatestNotice,
    /// See [`Connection::verified_arn`].
    pub verified_arn: String,
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
    /// Its stack is there, as far as we heard.
    Connected,
    /// A newer stack of the same account and connection name was made after this one's last word.
    Replaced,
    /// Its stack was deleted.
    Removed,
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
    /// How it stands now: `replaced_by` is the newer connection that took over, `reported` its last billing status.
    pub fn new(
        connection: Connection,
        replaced_by: Option<String>,
        reported: Option<&ReportedStatus>,
        now: OffsetDateTime,
    ) -> Self {
        let state = match (connection.latest.kind, &replaced_by) {
            (Kind::Removed, _) => State::Removed,
            (_, Some(_)) => State::Replaced,
            (_, None) => State::Connected,
        };
        let export = &connection.data["billingExport"];
        // Its kind may be one that this version does not know, or that nobody knows; where it is, is always known.
        let has_export = export["kind"] != "None" && export["bucketName"].as_str().is_some_and(|bucket| !bucket.is_empty());
        let expected = has_export && state != State::Removed;
        // A way that this version does not know may have them.
        let has_heartbeats = connection.data["way"] != "direct";
        Self {
            connection_id: connection.id,
            state,
            billing: expected.then(|| billing::status_summary(reported, has_heartbeats, connection.since, now)),
            replaced_by: replaced_by.filter(|_| state == State::Replaced),
            launch_id: connection.launch_id,
            since: connection.since,
            latest_notice: LatestNotice {
                id: connection.latest.id,
                kind: connection.latest.kind.as_str().to_owned(),
                time: connection.latest.time,
            },
            verified_arn: connection.verified_arn,
            organization_change: connection.organization_change,
            data: connection.data,
        }
    }
}
