//! What an operator does with a connection or a launch.

use serde_json::json;
use time::OffsetDateTime;

use super::{
    Store,
    history::{Actor, Source, record, set_problems, settle, settle_for},
    jobs,
    rows::{LaunchRow, connection_row, launch_columns, nanos, storable},
    writes::{StoreError, forget_candidates, save_connection},
};
use crate::{connection::Connection, job::Kind, launch::Launch};

/// What an operator changes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The operator's own name for it; None takes it away.
    Label(Option<String>),
    /// Its role is neither tested nor, by the vendor's own products, used, until it is resumed.
    Pause,
    Resume,
    /// Its role is tested now, and not within a day.
    Verify,
    /// It ends, because its stack cannot end it: whatever the stack sends is refused from now on.
    Disconnect,
}

impl Store {
    /// Changes a connection. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn change(&self, connection_id: &str, change: &Change, now: OffsetDateTime) -> Result<bool, StoreError> {
        let Some(row) = connection_row(&self.database.pool, connection_id).await? else { return Ok(false) };
        let mut transaction = self.database.begin(&row.customer_id).await?;
        let Some(row) = connection_row(&mut *transaction, connection_id).await? else { return Ok(false) };
        let customer_id = row.customer_id.clone();
        let subject = (connection_id, customer_id.as_str());
        match change {
            Change::Label(label) if row.label != *label => {
                sqlx::query("UPDATE connections SET label = $1 WHERE connection_id = $2")
                    .bind(label.as_deref().map(storable))
                    .bind(connection_id)
                    .execute(&mut *transaction)
                    .await?;
                let data = json!({"before": row.label, "label": label});
                record(&mut transaction, subject, Actor::Operator, "connection.renamed", data, now).await?;
            }
            Change::Pause | Change::Resume if row.paused_at.is_some() != (*change == Change::Pause) => {
                let pauses = *change == Change::Pause;
                sqlx::query("UPDATE connections SET paused_at = $1 WHERE connection_id = $2")
                    .bind(pauses.then(|| nanos(now)).transpose()?)
                    .bind(connection_id)
                    .execute(&mut *transaction)
                    .await?;
                if !pauses {
                    record(&mut transaction, subject, Actor::Operator, "connection.resumed", json!({}), now).await?;
                    jobs::request(&mut transaction, Kind::Verify, connection_id, now).await?;
                }
            }
            Change::Verify => {
                set_problems(&mut transaction, subject, Source::Jobs, &[], now).await?;
                jobs::request(&mut transaction, Kind::Verify, connection_id, now).await?;
            }
            Change::Disconnect => {
                let connection = Connection::try_from(row)?;
                if connection.ended_at.is_none() {
                    save_connection(&mut transaction, &connection.ended(now), now).await?;
                    record(&mut transaction, subject, Actor::Operator, "connection.disconnected", json!({}), now).await?;
                }
            }
            // It is so already.
            Change::Label(_) | Change::Pause | Change::Resume => {}
        }
        settle_for(&mut transaction, connection_id, Actor::Operator, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends a launch: from now on it is good for nothing but removals, and roles that asked to speak with it are forgotten. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke(&self, launch_id: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let customer: Option<String> = sqlx::query_scalar("SELECT customer_id FROM launches WHERE launch_id = $1")
            .bind(storable(launch_id))
            .fetch_optional(&self.database.pool)
            .await?;
        let Some(customer) = customer else { return Ok(false) };
        let mut transaction = self.database.begin(&customer).await?;
        sqlx::query("UPDATE launches SET revoked_at = COALESCE(revoked_at, $1) WHERE launch_id = $2")
            .bind(nanos(now)?)
            .bind(launch_id)
            .execute(&mut *transaction)
            .await?;
        forget_candidates(&mut transaction, launch_id, now).await?;
        // What another connection is contested with counts no more.
        let contested: Vec<String> =
            sqlx::query_scalar("SELECT connection_id FROM connections WHERE launch_id = $1 AND contested_with IS NOT NULL")
                .bind(launch_id)
                .fetch_all(&mut *transaction)
                .await?;
        for id in contested {
            settle(&mut transaction, &id, now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Launches of one customer, or of all, in the order they were made, with their place in it.
    ///
    /// # Errors
    /// The database's.
    pub async fn launches(&self, customer_id: Option<&str>, after: i64, limit: u32) -> Result<Vec<(i64, Launch)>, StoreError> {
        let rows: Vec<LaunchRow> = sqlx::query_as(concat!(
            launch_columns!(),
            " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND l.for_organization = 0 \
             WHERE l.customer_id = COALESCE($1, l.customer_id) AND l.sequence > $2 ORDER BY l.sequence LIMIT $3"
        ))
        .bind(customer_id.map(storable))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.database.pool)
        .await?;
        rows.into_iter().map(|row| Ok((row.sequence, row.open(&self.keys)?))).collect()
    }
}
