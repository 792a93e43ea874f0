//! What is written by more than one part of the store.

use sqlx::AnyConnection;
use time::OffsetDateTime;

use super::{
    error::{RowError, StoreError},
    history::known_problems,
    jobs,
    rows::{flag, nanos, storable, write},
};
use crate::{
    connection::Connection,
    job::Kind,
    launch::EARLIER_VALID_FOR,
    names::AccountId,
    notice::{self, Notice},
};

/// The launch is this stack's from now on: the whole, or its part for the account. What the stack had before is its own for a day more,
/// and connects nobody new.
pub(super) async fn bind_launch(
    database: &mut AnyConnection,
    launch_id: &str,
    account: &AccountId,
    stack_id: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO launch_uses (launch_id, account_id, stack_id) VALUES ($1, $2, $3) \
         ON CONFLICT (launch_id, account_id) DO UPDATE SET stack_id = excluded.stack_id, until = NULL, reserved = 0",
    )
    .bind(launch_id)
    .bind(account.as_str())
    .bind(stack_id)
    .execute(&mut *database)
    .await?;
    // One of an organization is replaced as a whole, by a newer one for the same organization. Going back to an earlier one replaces
    // nothing: other stacks still go forward.
    sqlx::query(
        "UPDATE launches SET replaced = 1 WHERE launch_id IN (SELECT o.launch_id FROM launch_uses u \
         JOIN launches o ON o.launch_id = u.launch_id JOIN launches n ON n.launch_id = $1 \
         WHERE u.stack_id = $2 AND (u.until IS NULL OR u.until > $3) AND u.reserved = 0 AND o.organization_id IS NOT DISTINCT FROM n.organization_id \
         AND o.sequence < n.sequence)",
    )
    .bind(launch_id)
    .bind(stack_id)
    .bind(nanos(now)?)
    .execute(&mut *database)
    .await?;
    // A newer one was rolled back: the stack may try it again as long as it is fresh.
    sqlx::query(
        "UPDATE launch_uses SET until = (SELECT CASE WHEN launch_uses.until < x.until THEN launch_uses.until ELSE x.until END \
         FROM (SELECT o.launch_id, CASE WHEN o.sequence > n.sequence AND o.expires_at > $3 THEN o.expires_at ELSE $3 END AS until \
         FROM launches o JOIN launches n ON n.launch_id = $1) x WHERE x.launch_id = launch_uses.launch_id) \
         WHERE stack_id = $2 AND launch_id <> $1 AND reserved = 0",
    )
    .bind(launch_id)
    .bind(stack_id)
    .bind(nanos(now + EARLIER_VALID_FOR)?)
    .execute(&mut *database)
    .await?;
    // It opens again once no stack is left that has gone over to a newer one.
    sqlx::query(
        "UPDATE launches SET replaced = 0 WHERE launch_id = $1 AND NOT EXISTS (SELECT 1 FROM launch_uses b \
         JOIN launch_uses a ON a.stack_id = b.stack_id AND a.until IS NULL AND a.reserved = 0 JOIN launches n ON n.launch_id = a.launch_id \
         WHERE b.launch_id = $1 AND b.until IS NOT NULL AND n.organization_id IS NOT DISTINCT FROM launches.organization_id \
         AND n.sequence > launches.sequence)",
    )
    .bind(launch_id)
    .execute(database)
    .await?;
    Ok(())
}

/// The launch is kept for this stack until AWS has judged the role that asks to speak with it. What the stack has stays as it is.
pub(super) async fn reserve_launch(database: &mut AnyConnection, launch_id: &str, notice: &Notice) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO launch_uses (launch_id, account_id, stack_id, reserved) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (launch_id, account_id) DO UPDATE SET stack_id = excluded.stack_id, until = NULL, reserved = 1",
    )
    .bind(launch_id)
    .bind(notice.account().as_str())
    .bind(notice.stack.as_str())
    .execute(database)
    .await?;
    Ok(())
}

/// Stores a connection. A launch is kept for its stack only while a role asks to speak with it.
pub(super) async fn save_connection(
    database: &mut AnyConnection,
    connection: &Connection,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let (described, latest) = (&connection.described, &connection.latest);
    let name = connection.data["connectionName"].as_str().ok_or(RowError("`data` has no connection name"))?;
    let account = connection.data["accountId"].as_str().ok_or(RowError("`data` has no account"))?;
    let saved = sqlx::query(
        "INSERT INTO connections (connection_id, stack_id, customer_id, way, launch_id, account_id, connection_name, speaker_id, \
         verified_arn, bearer, earlier, candidate, candidate_launch_id, confirmed_at, unconfirmed, removed_at, ended_at, since, described_time, described_kind, \
         described_id, latest_time, latest_kind, latest_id, data, organization_before, organization_changed_at, made_at, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, '') \
         ON CONFLICT (stack_id) DO UPDATE SET launch_id = excluded.launch_id, connection_name = excluded.connection_name, \
         speaker_id = excluded.speaker_id, verified_arn = excluded.verified_arn, bearer = excluded.bearer, earlier = excluded.earlier, \
         candidate = excluded.candidate, candidate_launch_id = excluded.candidate_launch_id, confirmed_at = excluded.confirmed_at, unconfirmed = excluded.unconfirmed, \
         removed_at = excluded.removed_at, ended_at = excluded.ended_at, since = excluded.since, described_time = excluded.described_time, \
         described_kind = excluded.described_kind, described_id = excluded.described_id, \
         latest_time = excluded.latest_time, latest_kind = excluded.latest_kind, latest_id = excluded.latest_id, \
         data = excluded.data, organization_before = excluded.organization_before, \
         organization_changed_at = excluded.organization_changed_at WHERE connections.customer_id = excluded.customer_id",
    )
    .bind(&connection.id)
    .bind(&connection.stack_id)
    .bind(connection.customer_id.as_str())
    .bind(connection.way.as_str())
    .bind(&connection.launch_id)
    .bind(account)
    .bind(storable(name))
    .bind(&connection.speaker.id)
    .bind(&connection.speaker.arn)
    .bind(connection.speaker.bearer.as_ref().map(write).transpose()?)
    .bind(connection.earlier.as_ref().map(write).transpose()?)
    .bind(connection.candidate.as_ref().map(write).transpose()?)
    .bind(connection.candidate.as_ref().map(|candidate| &candidate.launch_id))
    .bind(connection.confirmed_at.map(nanos).transpose()?)
    .bind(flag(connection.unconfirmed))
    .bind(connection.removed_at.map(nanos).transpose()?)
    .bind(connection.ended_at.map(nanos).transpose()?)
    .bind(nanos(connection.since)?)
    .bind(nanos(described.time)?)
    .bind(described.kind.as_str())
    .bind(&described.id)
    .bind(nanos(latest.time)?)
    .bind(latest.kind.as_str())
    .bind(&latest.id)
    .bind(connection.data.to_string())
    .bind(connection.organization_change.as_ref().map(|change| change.before.to_string()))
    .bind(connection.organization_change.as_ref().map(|change| nanos(change.at)).transpose()?)
    .bind(nanos(now)?)
    .execute(&mut *database)
    .await?;
    // Two customers' launches spoke for one new stack at once: the second one is refused when it comes again.
    if saved.rows_affected() == 0 {
        return Err(RowError("the stack has become another customer's connection meanwhile").into());
    }
    sqlx::query("DELETE FROM launch_uses WHERE stack_id = $1 AND reserved = 1 AND launch_id <> $2")
        .bind(&connection.stack_id)
        .bind(connection.candidate.as_ref().map_or("", |candidate| &candidate.launch_id))
        .execute(database)
        .await?;
    Ok(())
}

/// A connection's stack has spoken. If another one took over from it and was there by then, both claim the name; if that one is gone,
/// this one has it again.
pub(super) async fn spoke(database: &mut AnyConnection, notice: &Notice, now: OffsetDateTime) -> Result<(), StoreError> {
    sqlx::query("UPDATE connections SET alive_at = CASE WHEN alive_at > $1 THEN alive_at ELSE $1 END WHERE stack_id = $2")
        .bind(nanos(now)?)
        .bind(notice.stack.as_str())
        .execute(&mut *database)
        .await?;
    let newer: Option<(String, String, String)> = sqlx::query_as(
        "SELECT c.connection_id, n.connection_id, n.latest_kind FROM connections c \
         JOIN connections n ON n.connection_id = c.replaced_by WHERE c.stack_id = $1 AND n.since < $2",
    )
    .bind(notice.stack.as_str())
    .bind(nanos(notice.position.time)?)
    .fetch_optional(&mut *database)
    .await?;
    let Some((this, newer, kind)) = newer else { return Ok(()) };
    sqlx::query("UPDATE connections SET replaced_by = NULL WHERE connection_id = $1").bind(&this).execute(&mut *database).await?;
    if kind != notice::Kind::Removed.as_str() {
        for (one, other) in [(&this, &newer), (&newer, &this)] {
            sqlx::query("UPDATE connections SET contested_with = $1 WHERE connection_id = $2")
                .bind(other)
                .bind(one)
                .execute(&mut *database)
                .await?;
        }
    }
    Ok(())
}

/// Forgets the roles that asked to speak with this launch, and asks about those that speak.
pub(super) async fn forget_candidates(
    database: &mut AnyConnection,
    launch_id: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<(String, String)> =
        sqlx::query_as("SELECT connection_id, customer_id FROM connections WHERE candidate_launch_id = $1")
            .bind(launch_id)
            .fetch_all(&mut *database)
            .await?;
    for (id, customer) in &ids {
        sqlx::query("UPDATE connections SET candidate = NULL, candidate_launch_id = NULL WHERE connection_id = $1")
            .bind(id)
            .execute(&mut *database)
            .await?;
        known_problems(&mut *database, (id, customer), now).await?;
        jobs::request(&mut *database, Kind::Verify, id, now).await?;
    }
    sqlx::query("DELETE FROM launch_uses WHERE launch_id = $1 AND reserved = 1").bind(launch_id).execute(database).await?;
    Ok(())
}
