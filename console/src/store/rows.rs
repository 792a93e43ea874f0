//! Rows of the database as what they stand for.

use std::str::FromStr;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{FromRow, SqliteExecutor};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    billing::ReportedStatus,
    connection::{Connection, OrganizationChange},
    launch::{Audience, Binding, Launch, Organization, Terms},
    names::{AccountId, CustomerId, OrganizationId},
    notice::{Kind, NoticePosition},
    secret::Secret,
    speaker::{Speaker, Way},
    view::{Beside, ConnectionView},
};

/// Something in the database was not written by this program.
#[derive(Debug, Error)]
#[error("failed to read a row: {0}")]
pub struct RowError(pub(super) &'static str);

/// The columns of a connection, what was heard of its billing data, and whether what it is contested with still stands.
macro_rules! connection_columns {
    () => {
        "SELECT c.*, b.heard_at, b.status, l.revoked_at, EXISTS (SELECT 1 FROM connections r JOIN launches o ON o.launch_id = r.launch_id \
         WHERE r.connection_id = c.contested_with AND r.latest_kind <> 'hawser.connection.removed' AND o.revoked_at IS NULL) AS contested \
         FROM connections c JOIN launches l ON l.launch_id = c.launch_id LEFT JOIN billing_statuses b ON b.stack_id = c.stack_id"
    };
}
pub(super) use connection_columns;

/// One connection.
pub(super) async fn connection_row(database: impl SqliteExecutor<'_>, id: &str) -> Result<Option<ConnectionRow>, sqlx::Error> {
    sqlx::query_as(concat!(connection_columns!(), " WHERE c.connection_id = ?")).bind(id).fetch_optional(database).await
}

/// The columns of a launch. Which of an organization's stacks is meant, a join with `launch_uses` says, named `u`.
macro_rules! launch_columns {
    () => {
        "SELECT l.*, u.stack_id, u.until, u.reserved, l.for_organization AND EXISTS (SELECT 1 FROM connections g \
         WHERE g.stack_id = u.stack_id AND g.latest_kind = 'hawser.connection.removed') AS vacant FROM launches l"
    };
}
pub(super) use launch_columns;

#[derive(FromRow)]
pub(super) struct LaunchRow {
    launch_id: String,
    token: String,
    external_id: String,
    customer_id: String,
    account_id: Option<String>,
    ways: String,
    handler_role_name: Option<String>,
    expires_at: i64,
    revoked_at: Option<i64>,
    replaced: bool,
    for_organization: bool,
    organization_id: Option<String>,
    management_account_id: Option<String>,
    stack_id: Option<String>,
    until: Option<i64>,
    reserved: Option<bool>,
    vacant: bool,
}

impl TryFrom<LaunchRow> for Launch {
    type Error = RowError;

    fn try_from(row: LaunchRow) -> Result<Self, RowError> {
        let account = |id: Option<String>| id.map(|id| AccountId::from_str(&id)).transpose().map_err(RowError);
        let audience = if row.for_organization {
            let missing = RowError("a launch for no organization");
            Audience::Organization(Organization {
                id: OrganizationId::from_str(&row.organization_id.unwrap_or_default()).map_err(RowError)?,
                management_account_id: account(row.management_account_id)?.ok_or(missing)?,
            })
        } else {
            Audience::Stack(account(row.account_id)?)
        };
        Ok(Self {
            id: row.launch_id,
            token: Secret::new(row.token),
            external_id: row.external_id,
            terms: Terms {
                customer_id: CustomerId::from_str(&row.customer_id).map_err(RowError)?,
                audience,
                ways: read(&row.ways)?,
                handler_role_name: row.handler_role_name,
            },
            expires_at: from_nanos(row.expires_at)?,
            revoked_at: row.revoked_at.map(from_nanos).transpose()?,
            replaced: row.replaced,
            bound: match row.stack_id {
                Some(stack_id) => Some(Binding {
                    stack_id,
                    until: row.until.map(from_nanos).transpose()?,
                    vacant: row.vacant,
                    reserved: row.reserved.unwrap_or_default(),
                }),
                None => None,
            },
        })
    }
}

#[derive(FromRow)]
pub(super) struct ConnectionRow {
    pub(super) sequence: i64,
    connection_id: String,
    stack_id: String,
    customer_id: String,
    way: String,
    launch_id: String,
    speaker_id: String,
    verified_arn: String,
    bearer: Option<String>,
    earlier: Option<String>,
    candidate: Option<String>,
    confirmed_at: Option<i64>,
    problem: Option<String>,
    external_id_in_use: Option<String>,
    unconfirmed: bool,
    removed_at: Option<i64>,
    ended_at: Option<i64>,
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
    alive_at: Option<i64>,
    pub(super) replaced_by: Option<String>,
    contested_with: Option<String>,
    contested: bool,
    pub(super) revoked_at: Option<i64>,
    heard_at: Option<i64>,
    status: Option<String>,
    pub(super) confirm_attempts: i64,
}

impl ConnectionRow {
    pub(super) fn heard(&self) -> Result<Option<ReportedStatus>, RowError> {
        let (Some(at), Some(status)) = (self.heard_at, &self.status) else { return Ok(None) };
        Ok(Some(ReportedStatus { status: read(status)?, at: from_nanos(at)? }))
    }

    pub(super) fn view(self, now: OffsetDateTime) -> Result<ConnectionView, RowError> {
        let beside = Beside {
            replaced_by: self.replaced_by.clone(),
            contested_with: self.contested_with.clone().filter(|_| self.contested),
            problem: self.problem.as_deref().map(read).transpose()?,
            external_id_in_use: self.external_id_in_use.clone(),
            revoked_at: self.revoked_at.map(from_nanos).transpose()?,
            heard_at: self.alive_at.map(from_nanos).transpose()?,
            reported: self.heard()?,
        };
        Ok(ConnectionView::new(self.try_into()?, beside, now))
    }
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = RowError;

    fn try_from(row: ConnectionRow) -> Result<Self, RowError> {
        Ok(Self {
            id: row.connection_id,
            stack_id: row.stack_id,
            customer_id: CustomerId::from_str(&row.customer_id).map_err(RowError)?,
            way: Way::of(&row.way),
            launch_id: row.launch_id,
            speaker: Speaker { id: row.speaker_id, arn: row.verified_arn, bearer: row.bearer.as_deref().map(read).transpose()? },
            earlier: row.earlier.as_deref().map(read).transpose()?,
            candidate: row.candidate.as_deref().map(read).transpose()?,
            confirmed_at: row.confirmed_at.map(from_nanos).transpose()?,
            unconfirmed: row.unconfirmed,
            removed_at: row.removed_at.map(from_nanos).transpose()?,
            ended_at: row.ended_at.map(from_nanos).transpose()?,
            since: from_nanos(row.since)?,
            described: position(row.described_time, &row.described_kind, row.described_id)?,
            latest: position(row.latest_time, &row.latest_kind, row.latest_id)?,
            data: read(&row.data)?,
            organization_change: match (row.organization_before, row.organization_changed_at) {
                (Some(before), Some(at)) => Some(OrganizationChange { before: read(&before)?, at: from_nanos(at)? }),
                _ => None,
            },
        })
    }
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|_| RowError("what should be our own JSON is not"))
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<String, RowError> {
    serde_json::to_string(value).map_err(|_| RowError("a value has no JSON"))
}

pub(super) fn position(time: i64, kind: &str, id: String) -> Result<NoticePosition, RowError> {
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
    Ok(NoticePosition { time: from_nanos(time)?, kind: kind.ok_or(RowError("unknown kind of notice"))?, id })
}

pub(super) fn nanos(time: OffsetDateTime) -> Result<i64, RowError> {
    i64::try_from(time.unix_timestamp_nanos()).map_err(|_| RowError("a time after the year 2262"))
}

pub(super) fn from_nanos(nanos: i64) -> Result<OffsetDateTime, RowError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).map_err(|_| RowError("a time is not a time"))
}
