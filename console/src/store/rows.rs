//! Rows of the database as what they stand for.

use std::str::FromStr;

use serde_json::Value;
use sqlx::FromRow;
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    billing::ReportedStatus,
    launch::{Audience, Launch, Organization},
    ledger::{Connection, OrganizationChange},
    names::{AccountId, OrganizationId},
    notice::{Kind, NoticePosition},
    secret::Secret,
    view::ConnectionView,
};

/// Something in the database was not written by this program.
#[derive(Debug, Error)]
#[error("failed to read a row: {0}")]
pub struct RowError(pub(super) &'static str);

/// The columns of a connection, and which newer one took over. A newer one counts whether or not it is still there:
/// its removal does not bring the older stack back to life. A later word of the older stack does.
macro_rules! connection_columns {
    () => {
        "SELECT c.*, b.heard_at, b.status, (SELECT r.connection_id FROM connections r WHERE r.account_id = c.account_id \
         AND r.connection_name = c.connection_name AND r.stack_id <> c.stack_id AND r.since > c.latest_time \
         ORDER BY r.since DESC, r.sequence DESC LIMIT 1) AS replaced_by FROM connections c LEFT JOIN billing_statuses b ON b.stack_id = c.stack_id"
    };
}
pub(super) use connection_columns;

/// The columns of a launch. Which of an organization's stacks is meant, a join with `launch_uses` says, named `u`.
macro_rules! launch_columns {
    () => {
        "SELECT l.launch_id, l.token, l.external_id, l.account_id, l.expires_at, l.for_organization, l.organization_id, \
         l.management_account_id, COALESCE(l.stack_id, u.stack_id) AS stack_id, EXISTS (SELECT 1 FROM connections g \
         WHERE g.stack_id = u.stack_id AND g.latest_kind = 'hawser.connection.removed') AS vacant FROM launches l"
    };
}
pub(super) use launch_columns;

#[derive(FromRow)]
pub(super) struct LaunchRow {
    launch_id: String,
    token: String,
    external_id: String,
    account_id: Option<String>,
    expires_at: i64,
    for_organization: bool,
    organization_id: Option<String>,
    management_account_id: Option<String>,
    stack_id: Option<String>,
    vacant: bool,
}

impl TryFrom<LaunchRow> for Launch {
    type Error = RowError;

    fn try_from(row: LaunchRow) -> Result<Self, RowError> {
        let account = |text: Option<String>| text.as_deref().map(AccountId::from_str).transpose().map_err(RowError);
        let audience = if row.for_organization {
            let id = row.organization_id.as_deref().map(OrganizationId::from_str).transpose().map_err(RowError)?;
            Audience::Organization(Organization { id, management_account_id: account(row.management_account_id)? })
        } else {
            Audience::Stack(account(row.account_id)?)
        };
        Ok(Self {
            id: row.launch_id,
            token: Secret::new(row.token),
            external_id: row.external_id,
            audience,
            expires_at: from_nanos(row.expires_at)?,
            stack_id: row.stack_id,
            vacant: row.vacant,
        })
    }
}

#[derive(FromRow)]
pub(super) struct ConnectionRow {
    pub(super) sequence: i64,
    connection_id: String,
    stack_id: String,
    launch_id: String,
    verified_arn: String,
    since: i64,
    described_time: i64,
    described_kind: String,
    described_id: String,
    latest_time: i64,
    latest_kind: String,
    latest_id: String,
    data: String,
    organization_before: Option<String>,
    organization_changed_at: Option<i64>,
    replaced_by: Option<String>,
    heard_at: Option<i64>,
    status: Option<String>,
}

impl ConnectionRow {
    pub(super) fn heard(&self) -> Result<Option<ReportedStatus>, RowError> {
        let (Some(at), Some(status)) = (self.heard_at, &self.status) else { return Ok(None) };
        let status = serde_json::from_str(status).map_err(|_| RowError("`status` is not a billing status"))?;
        Ok(Some(ReportedStatus { status, at: from_nanos(at)? }))
    }

    pub(super) fn view(self, now: OffsetDateTime) -> Result<ConnectionView, RowError> {
        let (replaced_by, reported) = (self.replaced_by.clone(), self.heard()?);
        Ok(ConnectionView::new(self.try_into()?, replaced_by, reported.as_ref(), now))
    }
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = RowError;

    fn try_from(row: ConnectionRow) -> Result<Self, RowError> {
        Ok(Self {
            id: row.connection_id,
            stack_id: row.stack_id,
            launch_id: row.launch_id,
            verified_arn: row.verified_arn,
            since: from_nanos(row.since)?,
            described: position(row.described_time, &row.described_kind, row.described_id)?,
            latest: position(row.latest_time, &row.latest_kind, row.latest_id)?,
            data: json(&row.data)?,
            organization_change: match (row.organization_before, row.organization_changed_at) {
                (Some(before), Some(at)) => Some(OrganizationChange { before: json(&before)?, at: from_nanos(at)? }),
                _ => None,
            },
        })
    }
}

fn json(text: &str) -> Result<Value, RowError> {
    serde_json::from_str(text).map_err(|_| RowError("what a notice said is not JSON"))
}

pub(super) fn position(time: i64, kind: &str, id: String) -> Result<NoticePosition, RowError> {
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
    Ok(NoticePosition { time: from_nanos(time)?, kind: kind.ok_or(RowError("unknown kind of notice"))?, id })
}

pub(super) fn nanos(time: OffsetDateTime) -> Result<i64, RowError> {
    i64::try_from(time.unix_timestamp_nanos()).map_err(|_| RowError("a time after the year 2262"))
}

fn from_nanos(nanos: i64) -> Result<OffsetDateTime, RowError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).map_err(|_| RowError("a time is not a time"))
}
