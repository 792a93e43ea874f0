//! What waits for AWS's word, and what follows from it.

use serde_json::Value;
use sqlx::SqliteConnection;
use time::OffsetDateTime;

use super::{
    Store,
    issuers::pin,
    rows::{ConnectionRow, RowError, connection_columns, connection_row, nanos, write},
    writes::{StoreError, bind_launch, forget_problem, save_connection, schedule},
};
use crate::{
    confirm::{Confirmed, Due, Problem, ProblemCode, SLOW_PAUSE, question},
    connection::Connection,
    ledger::{NOTICES_OF_REMOVED_KEPT_FOR, REMOVAL_MEMORY, UNCONFIRMED_KEPT_FOR},
    notice::Kind,
};

/// Connections that are asked about before the next look.
const DUE_MAX: i64 = 16;

/// Earlier external IDs that are tried: a launch of before is valid for a day, and nobody rotates often in one.
const EARLIER_IDS_MAX: i64 = 3;

/// Accounts that nobody confirmed in time. What the operator ended stays so.
macro_rules! forgotten {
    () => {
        "connections WHERE unconfirmed AND ended_at IS NULL AND made_at < ?"
    };
}

/// A confirmed connection takes over from those of its name that said nothing since it was made.
async fn take_over(database: &mut SqliteConnection, connection: &Connection) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE connections SET replaced_by = ?1 WHERE connection_id IN (SELECT o.connection_id FROM connections o \
         JOIN connections n ON n.connection_id = ?1 WHERE o.customer_id = n.customer_id AND o.account_id = n.account_id \
         AND o.connection_name = n.connection_name AND o.connection_id <> n.connection_id AND o.latest_kind <> ?2 \
         AND o.latest_time < n.since AND o.contested_with IS NULL AND NOT o.unconfirmed)",
    )
    .bind(&connection.id)
    .bind(Kind::Removed.as_str())
    .execute(database)
    .await?;
    Ok(())
}

/// Whether a connection is still as it was.
async fn stands(database: &mut SqliteConnection, connection: &Connection) -> Result<bool, StoreError> {
    let row = connection_row(database, &connection.id).await?;
    Ok(row.map(Connection::try_from).transpose()?.as_ref() == Some(connection))
}

/// Whether another stack has this launch: the whole, or its part for the account. One of an organization is free again when it is gone.
async fn is_used_by_another(
    database: &mut SqliteConnection,
    launch_id: &str,
    connection: &Connection,
) -> Result<bool, StoreError> {
    let used = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM launch_uses u JOIN launches l ON l.launch_id = u.launch_id \
         WHERE u.launch_id = ? AND u.stack_id <> ? AND (NOT l.for_organization OR u.account_id = ? AND NOT EXISTS \
         (SELECT 1 FROM connections g WHERE g.stack_id = u.stack_id AND g.latest_kind = 'hawser.connection.removed')))",
    );
    Ok(used.bind(launch_id).bind(&connection.stack_id).bind(connection.data["accountId"].as_str()).fetch_one(database).await?)
}

impl Store {
    /// Connections that AWS is to be asked about now.
    ///
    /// # Errors
    /// The database's.
    pub async fn due(&self, now: OffsetDateTime) -> Result<Vec<Due>, StoreError> {
        let rows: Vec<ConnectionRow> = sqlx::query_as(concat!(
            connection_columns!(),
            " WHERE c.confirm_at <= ? AND NOT c.unconfirmed AND c.latest_kind <> 'hawser.connection.removed' \
             AND NOT EXISTS (SELECT 1 FROM launches r WHERE r.revoked_at IS NOT NULL \
             AND r.launch_id = COALESCE(json_extract(c.candidate, '$.launch_id'), c.launch_id)) ORDER BY c.confirm_at LIMIT ?"
        ))
        .bind(nanos(now)?)
        .bind(DUE_MAX)
        .fetch_all(&self.pool)
        .await?;
        let mut due = Vec::new();
        for row in rows {
            let attempts = row.confirm_attempts;
            let is_revoked = row.revoked_at.is_some();
            let connection = Connection::try_from(row)?;
            let question_about = async |launch_id: &str, data: &Value| {
                let external_id = self.external_id(launch_id).await?;
                let earlier_ids = self.earlier_external_ids(launch_id, &connection, now).await?;
                question(&connection, data, external_id, earlier_ids)
                    .ok_or(StoreError::Row(RowError("a connection without a role")))
            };
            let own = (&connection.launch_id, &connection.data);
            let (question, own) = match &connection.candidate {
                Some(candidate) => {
                    let own = if is_revoked { None } else { Some(question_about(own.0, own.1).await?) };
                    (question_about(&candidate.launch_id, &candidate.data).await?, own)
                }
                None => (question_about(own.0, own.1).await?, None),
            };
            due.push(Due { connection, question, own, attempts });
        }
        Ok(due)
    }

    async fn external_id(&self, launch_id: &str) -> Result<String, StoreError> {
        let found = sqlx::query_scalar("SELECT external_id FROM launches WHERE launch_id = ?");
        Ok(found.bind(launch_id).fetch_one(&self.pool).await?)
    }

    /// Those of the launches that are the stack's beside this one of its own; a role that asks to speak has none but its own.
    async fn earlier_external_ids(
        &self,
        launch_id: &str,
        connection: &Connection,
        now: OffsetDateTime,
    ) -> Result<Vec<String>, StoreError> {
        if launch_id != connection.launch_id {
            return Ok(Vec::new());
        }
        let found = sqlx::query_scalar(
            "SELECT l.external_id FROM launch_uses u JOIN launches l ON l.launch_id = u.launch_id WHERE u.stack_id = ? \
             AND l.launch_id <> ? AND NOT u.reserved AND COALESCE(u.until > ?, 1) AND l.revoked_at IS NULL \
             ORDER BY u.until DESC LIMIT ?",
        );
        Ok(found.bind(&connection.stack_id).bind(launch_id).bind(nanos(now)?).bind(EARLIER_IDS_MAX).fetch_all(&self.pool).await?)
    }

    /// Stores what AWS said, unless the connection is another one by now: then it is asked again.
    ///
    /// # Errors
    /// The database's.
    pub async fn conclude(&self, due: &Due, outcome: Result<Confirmed, Problem>, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let id = &due.connection.id;
        if !stands(&mut transaction, &due.connection).await? {
            return Ok(());
        }
        let outcome = match (outcome, due.speaker().bearer.as_ref()) {
            // The customer's own stack said so with this issuer's token, and AWS that it is that stack's role and function.
            (Ok(_), Some(bearer)) if !pin(&mut transaction, &due.question.stack.account, &bearer.issuer).await? => {
                Err(Problem::new(ProblemCode::Foreign, "the issuer of its token is another account's"))
            }
            (outcome, _) => outcome,
        };
        let outcome = match (outcome, &due.connection.candidate) {
            (Ok(_), Some(candidate)) if is_used_by_another(&mut transaction, &candidate.launch_id, &due.connection).await? => {
                Err(Problem::new(ProblemCode::Foreign, "its launch belongs to another stack"))
            }
            (outcome, _) => outcome,
        };
        let refused = outcome.as_ref().err().is_some_and(|problem| problem.code() == ProblemCode::Foreign.as_str());
        let (problem, next, external_id) = match outcome {
            Err(problem) => (Some(problem), Some(due.next_attempt(now)), None),
            Ok(Confirmed { external_id, problem }) => {
                let confirmed = match &due.connection.candidate {
                    Some(candidate) => {
                        let account = due.question.stack.account.clone();
                        bind_launch(&mut transaction, &candidate.launch_id, &account, &due.connection.stack_id, now).await?;
                        due.connection.promoted(candidate, now)
                    }
                    None => Connection { confirmed_at: Some(now), ..due.connection.clone() },
                };
                save_connection(&mut transaction, &confirmed, now).await?;
                take_over(&mut transaction, &confirmed).await?;
                // Looked at again until it is closed.
                let next = problem.as_ref().map(|_| now + SLOW_PAUSE);
                (problem, next, Some(external_id))
            }
        };
        // Once AWS has said for two minutes that another role has nothing to do with the stack, it need not be asked again.
        if refused && due.connection.candidate.is_some() && due.gives_up() {
            let without = Connection { candidate: None, ..due.connection.clone() };
            save_connection(&mut transaction, &without, now).await?;
        }
        sqlx::query(
            "UPDATE connections SET problem = ?, confirm_at = ?, confirm_attempts = confirm_attempts + 1, \
             external_id_in_use = COALESCE(?, external_id_in_use) WHERE connection_id = ?",
        )
        .bind(problem.as_ref().map(write).transpose()?)
        .bind(next.map(nanos).transpose()?)
        .bind(external_id)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets a role that asked to speak, unless the connection is another one by now, and asks about the one that speaks.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_candidate(&self, due: &Due, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if !stands(&mut transaction, &due.connection).await? {
            return Ok(());
        }
        save_connection(&mut transaction, &Connection { candidate: None, ..due.connection.clone() }, now).await?;
        forget_problem(&mut transaction, &due.connection.id).await?;
        schedule(&mut transaction, &due.connection.id, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Drops what is kept for a time only: accounts that nobody confirmed, removals of what nobody knew, and notices
    /// of what was removed long ago.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let old = nanos(now - UNCONFIRMED_KEPT_FOR)?;
        // Looked at often, and nearly always for nothing: no writer is kept waiting for that.
        let anything: bool = sqlx::query_scalar(concat!(
            "SELECT EXISTS (SELECT 1 FROM ",
            forgotten!(),
            ") \
             OR EXISTS (SELECT 1 FROM notices WHERE connection_id IS NULL AND received_at <= ?) \
             OR EXISTS (SELECT 1 FROM connections c JOIN notices n ON n.stack_id = c.stack_id WHERE c.removed_at < ?)"
        ))
        .bind(old)
        .bind(nanos(now - REMOVAL_MEMORY)?)
        .bind(nanos(now - NOTICES_OF_REMOVED_KEPT_FOR)?)
        .fetch_one(&self.pool)
        .await?;
        if !anything {
            return Ok(());
        }
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for statement in [
            concat!("DELETE FROM billing_statuses WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM launch_uses WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM notices WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM ", forgotten!()),
        ] {
            sqlx::query(statement).bind(old).execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM notices WHERE connection_id IS NULL AND received_at <= ?")
            .bind(nanos(now - REMOVAL_MEMORY)?)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM notices WHERE stack_id IN (SELECT stack_id FROM connections WHERE removed_at < ?)")
            .bind(nanos(now - NOTICES_OF_REMOVED_KEPT_FOR)?)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}
