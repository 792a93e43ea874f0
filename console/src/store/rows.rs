//! Rows of the database as what they stand for.

use std::str::FromStr;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Any, Executor, FromRow};
use time::OffsetDateTime;

use super::error::{RowError, StoreError};
use crate::{
    billing::ReportedStatus,
    connection::{Connection, OrganizationChange},
    launch::{Audience, Binding, Launch, Organization, Terms},
    names::{AccountId, CustomerId, OrganizationId},
    notice::{Kind, NoticePosition},
    seal::SealKeys,
    speaker::{Speaker, Way},
    view::{Beside, ConnectionView, OpenProblem},
};

/// The columns of a connection, what was heard of its billing data, and whether what it is contested with still stands.
macro_rules! connection_columns {
    () => {
        "SELECT c.*, b.heard_at, b.status, l.revoked_at, CASE WHEN EXISTS (SELECT 1 FROM connections r \
         JOIN launches o ON o.launch_id = r.launch_id WHERE r.connection_id = c.contested_with \
         AND r.latest_kind <> 'hawser.connection.removed' AND o.revoked_at IS NULL) THEN 1 ELSE 0 END AS contested \
         FROM connections c JOIN launches l ON l.launch_id = c.launch_id LEFT JOIN billing_statuses b ON b.stack_id = c.stack_id"
    };
}
pub(super) use connection_columns;

/// One connection.
pub(super) async fn connection_row(
    database: impl Executor<'_, Database = Any>,
    id: &str,
) -> Result<Option<ConnectionRow>, sqlx::Error> {
    sqlx::query_as(concat!(connection_columns!(), " WHERE c.connection_id = $1"))
        .bind(storable(id))
        .fetch_optional(database)
        .await
}

/// The columns of a launch. Which of an organization's stacks is meant, a join with `launch_uses` says, named `u`.
macro_rules! launch_columns {
    () => {
        "SELECT l.*, u.stack_id, u.until, u.reserved, CASE WHEN l.for_organization = 1 AND EXISTS (SELECT 1 FROM connections g \
         WHERE g.stack_id = u.stack_id AND g.latest_kind = 'hawser.connection.removed') THEN 1 ELSE 0 END AS vacant FROM launches l"
    };
}
pub(super) use launch_columns;

#[derive(FromRow)]
pub(super) struct LaunchRow {
    pub(super) sequence: i64,
    launch_id: String,
    token: String,
    external_id: String,
    customer_id: String,
    account_id: Option<String>,
    ways: String,
    handler_role_name: Option<String>,
    expires_at: i64,
    revoked_at: Option<i64>,
    replaced: i64,
    for_organization: i64,
    organization_id: Option<String>,
    management_account_id: Option<String>,
    stack_id: Option<String>,
    until: Option<i64>,
    reserved: Option<i64>,
    vacant: i64,
}

impl LaunchRow {
    /// The launch, with its token unsealed.
    pub(super) fn open(self, keys: &SealKeys) -> Result<Launch, StoreError> {
        let row = self;
        let account = |id: Option<String>| id.map(|id| AccountId::from_str(&id)).transpose().map_err(RowError);
        let audience = if row.for_organization == 1 {
            let missing = RowError("a launch for no organization");
            Audience::Organization(Organization {
                id: OrganizationId::from_str(&row.organization_id.unwrap_or_default()).map_err(RowError)?,
                management_account_id: account(row.management_account_id)?.ok_or(missing)?,
            })
        } else {
            Audience::Stack(account(row.account_id)?)
        };
        Ok(Launch {
            token: keys.unseal(&row.launch_id, &row.token)?,
            id: row.launch_id,
            external_id: row.external_id,
            terms: Terms {
                customer_id: CustomerId::from_str(&row.customer_id).map_err(RowError)?,
                audience,
                ways: read(&row.ways)?,
                handler_role_name: row.handler_role_name,
            },
            expires_at: from_nanos(row.expires_at)?,
            revoked_at: row.revoked_at.map(from_nanos).transpose()?,
            replaced: row.replaced == 1,
            bound: match row.stack_id {
                Some(stack_id) => Some(Binding {
                    stack_id,
                    until: row.until.map(from_nanos).transpose()?,
                    vacant: row.vacant == 1,
                    reserved: row.reserved == Some(1),
                }),
                None => None,
            },
        })
    }
}

#[derive(FromRow)]
pub(super) struct ConnectionRow {
    pub(super) sequence: i64,
    pub(super) connection_id: String,
    stack_id: String,
    pub(super) customer_id: String,
    way: String,
    launch_id: String,
    speaker_id: String,
    verified_arn: String,
    bearer: Option<String>,
    earlier: Option<String>,
    candidate: Option<String>,
    confirmed_at: Option<i64>,
    pub(super) external_id_in_use: Option<String>,
    unconfirmed: i64,
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
    pub(super) contested_with: Option<String>,
    contested: i64,
    pub(super) revoked_at: Option<i64>,
    heard_at: Option<i64>,
    status: Option<String>,
    pub(super) label: Option<String>,
    pub(super) paused_at: Option<i64>,
    role_test: Option<String>,
    available_at: Option<i64>,
    pub(super) state: String,
    pub(super) billing_state: Option<String>,
}

impl ConnectionRow {
    pub(super) fn heard(&self) -> Result<Option<ReportedStatus>, RowError> {
        let (Some(at), Some(status)) = (self.heard_at, &self.status) else { return Ok(None) };
        Ok(Some(ReportedStatus { status: read(status)?, at: from_nanos(at)? }))
    }

    pub(super) fn beside(&self) -> Result<Beside, RowError> {
        Ok(Beside {
            replaced_by: self.replaced_by.clone(),
            contested_with: self.contested_with.clone().filter(|_| self.contested == 1),
            role_test: self.role_test.as_deref().map(read).transpose()?,
            available_at: self.available_at.map(from_nanos).transpose()?,
            label: self.label.clone(),
            paused_at: self.paused_at.map(from_nanos).transpose()?,
            external_id_in_use: self.external_id_in_use.clone(),
            revoked_at: self.revoked_at.map(from_nanos).transpose()?,
            heard_at: self.alive_at.map(from_nanos).transpose()?,
            reported: self.heard()?,
        })
    }

    pub(super) fn view(self, problems: Vec<OpenProblem>, now: OffsetDateTime) -> Result<ConnectionView, RowError> {
        let beside = self.beside()?;
        Ok(ConnectionView::new(self.try_into()?, beside, problems, now))
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
            unconfirmed: row.unconfirmed == 1,
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

/// What PostgreSQL can hold and compare: anything but U+0000, which nothing of ours has.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Of a connection: its id, and whose it is.
pub(super) type Subject<'a> = (&'a str, &'a str);

/// Neither database has the other's booleans.
pub(super) fn flag(is: bool) -> i64 {
    i64::from(is)
}

pub(super) fn nanos(time: OffsetDateTime) -> Result<i64, RowError> {
    i64::try_from(time.unix_timestamp_nanos()).map_err(|_| RowError("a time after the year 2262"))
}

pub(super) fn from_nanos(nanos: i64) -> Result<OffsetDateTime, RowError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).map_err(|_| RowError("a time is not a time"))
}
