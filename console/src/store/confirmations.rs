//! What waits for AWS's word, and what follows from it.

use serde_json::{Value, json};
use sqlx::AnyConnection;
use time::OffsetDateTime;

use super::{
    error::{RowError, StoreError},
    history::{Source, known_problems, record, set_problems, settle},
    issuers::pin,
    jobs,
    once::KEPT_FOR,
    open::Store,
    rows::{ConnectionRow, connection_row, nanos, write},
    webhooks::ATTEMPTS_KEPT_FOR,
    writes::{bind_launch, save_connection},
};
use crate::{
    access::Actor,
    confirm::{DAILY, Due, Outcome, SLOW_PAUSE, question},
    connection::Connection,
    job::{self, Job},
    ledger::{NOTICES_OF_REMOVED_KEPT_FOR, REMOVAL_MEMORY, UNCONFIRMED_KEPT_FOR},
    notice::Kind,
    problem::{Problem, ProblemCode},
    role_test::{RoleTest, STACK, Step, Verdict},
};

/// Earlier external IDs that are tried: a launch of before is valid for a day, and nobody rotates often in one.
const EARLIER_IDS_MAX: i64 = 3;

/// Accounts that nobody confirmed in time. What the operator ended stays so.
macro_rules! forgotten {
    () => {
        "connections WHERE unconfirmed = 1 AND ended_at IS NULL AND made_at < $1"
    };
}

/// A confirmed connection takes over from those of its name that said nothing since it was made.
async fn take_over(database: &mut AnyConnection, connection: &Connection) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE connections SET replaced_by = $1 WHERE connection_id IN (SELECT o.connection_id FROM connections o \
         JOIN connections n ON n.connection_id = $1 WHERE o.customer_id = n.customer_id AND o.account_id = n.account_id \
         AND o.connection_name = n.connection_name AND o.connection_id <> n.connection_id AND o.latest_kind <> $2 \
         AND o.latest_time < n.since AND o.contested_with IS NULL AND o.unconfirmed = 0)",
    )
    .bind(&connection.id)
    .bind(Kind::Removed.as_str())
    .execute(database)
    .await?;
    Ok(())
}

/// Whether a connection is still as it was.
async fn stands(database: &mut AnyConnection, connection: &Connection) -> Result<bool, StoreError> {
    let row = connection_row(database, &connection.id).await?;
    Ok(row.map(Connection::try_from).transpose()?.as_ref() == Some(connection))
}

/// Whether another stack has this launch: the whole, or its part for the account. One of an organization is free again when it is gone.
async fn is_used_by_another(database: &mut AnyConnection, launch_id: &str, connection: &Connection) -> Result<bool, StoreError> {
    let uses: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM launch_uses u JOIN launches l ON l.launch_id = u.launch_id \
         WHERE u.launch_id = $1 AND u.stack_id <> $2 AND (l.for_organization = 0 OR u.account_id = $3 AND NOT EXISTS \
         (SELECT 1 FROM connections g WHERE g.stack_id = u.stack_id AND g.latest_kind = 'hawser.connection.removed'))",
    )
    .bind(launch_id)
    .bind(&connection.stack_id)
    .bind(connection.data["accountId"].as_str())
    .fetch_one(database)
    .await?;
    Ok(uses > 0)
}

impl Store {
    /// What AWS is to be asked about a job's connection now. None where nobody needs to know.
    ///
    /// # Errors
    /// The database's.
    pub async fn due(&self, job: &Job, now: OffsetDateTime) -> Result<Option<Due>, StoreError> {
        let Some(row) = connection_row(&self.database.pool, &job.subject).await? else { return Ok(None) };
        let (is_revoked, is_paused) = (row.revoked_at.is_some(), row.paused_at.is_some());
        let is_replaced = row.replaced_by.is_some();
        let connection = Connection::try_from(row)?;
        if connection.unconfirmed || connection.is_removed() || is_paused || is_replaced {
            return Ok(None);
        }
        let question_about = async |launch_id: &str, data: &Value| {
            let external_id = self.external_id(launch_id).await?;
            let earlier_ids = self.earlier_external_ids(launch_id, &connection, now).await?;
            question(&connection, data, external_id, earlier_ids).ok_or(StoreError::Row(RowError("a connection without a role")))
        };
        let own = (&connection.launch_id, &connection.data);
        let (question, own) = match &connection.candidate {
            Some(candidate) => {
                let own = if is_revoked { None } else { Some(question_about(own.0, own.1).await?) };
                (question_about(&candidate.launch_id, &candidate.data).await?, own)
            }
            None if is_revoked => return Ok(None),
            None => (question_about(own.0, own.1).await?, None),
        };
        Ok(Some(Due { job: job.clone(), connection, question, own }))
    }

    async fn external_id(&self, launch_id: &str) -> Result<String, StoreError> {
        let found = sqlx::query_scalar("SELECT external_id FROM launches WHERE launch_id = $1");
        Ok(found.bind(launch_id).fetch_one(&self.database.pool).await?)
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
            "SELECT l.external_id FROM launch_uses u JOIN launches l ON l.launch_id = u.launch_id WHERE u.stack_id = $1 \
             AND l.launch_id <> $2 AND u.reserved = 0 AND (u.until IS NULL OR u.until > $3) AND l.revoked_at IS NULL \
             ORDER BY COALESCE(u.until, 9223372036854775807) DESC LIMIT $4",
        );
        Ok(found
            .bind(&connection.stack_id)
            .bind(launch_id)
            .bind(nanos(now)?)
            .bind(EARLIER_IDS_MAX)
            .fetch_all(&self.database.pool)
            .await?)
    }

    /// Stores what AWS said, unless the connection is another one by now: then it is asked again.
    ///
    /// # Errors
    /// The database's.
    pub async fn conclude(&self, due: &Due, outcome: Outcome, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.database.begin(due.connection.customer_id.as_str()).await?;
        let subject = (due.connection.id.as_str(), due.connection.customer_id.as_str());
        if !jobs::is_current(&mut transaction, &due.job).await? {
            return Ok(());
        }
        let row = connection_row(&mut *transaction, subject.0).await?;
        let id_before = row.as_ref().and_then(|row| row.external_id_in_use.clone());
        let before = row.as_ref().map(ConnectionRow::beside).transpose()?.and_then(|beside| beside.role_test);
        if row.map(Connection::try_from).transpose()?.as_ref() != Some(&due.connection) {
            jobs::end(&mut transaction, &due.job, Some((now, due.job.attempts))).await?;
            transaction.commit().await?;
            return Ok(());
        }
        let Outcome { confirmed, mut steps } = outcome;
        let foreign = |found| Problem::new(ProblemCode::Foreign, found);
        let confirmed = match (confirmed, due.speaker().bearer.as_ref()) {
            // The customer's own stack said so with this issuer's token, and AWS that it is that stack's role and function.
            (Ok(_), Some(bearer)) if !pin(&mut transaction, &due.question.stack.account, &bearer.issuer).await? => {
                Err(foreign("the issuer of its token is another account's"))
            }
            (confirmed, _) => confirmed,
        };
        let confirmed = match (confirmed, &due.connection.candidate) {
            (Ok(_), Some(candidate)) if is_used_by_another(&mut transaction, &candidate.launch_id, &due.connection).await? => {
                Err(foreign("its launch belongs to another stack"))
            }
            (confirmed, _) => confirmed,
        };
        if let Err(problem) = &confirmed
            && steps.iter().all(|step| step.problem.as_ref() != Some(problem))
        {
            steps.retain(|step| step.name != STACK);
            steps.push(Step::failed(STACK, problem.clone()));
        }
        let is_foreign = confirmed.as_ref().err().is_some_and(|problem| problem.is(ProblemCode::Foreign.as_str(), ""));
        // Once AWS has said for two minutes that another role has nothing to do with the stack, it need not be asked again.
        let forgets = is_foreign && due.connection.candidate.is_some() && due.gives_up();
        // A test of a role that only asks to speak says nothing of the one that does.
        let test = RoleTest::of(steps, before.as_ref(), now).filter(|_| confirmed.is_ok() || due.connection.candidate.is_none());
        let known = before.as_ref().map(RoleTest::problems).unwrap_or_default();
        let (problems, again) = match confirmed {
            Err(_) if forgets => (known, (now, 0)),
            Err(problem) => {
                // Neither an outage nor another role's failure mends what was wrong with this one.
                let stands = problem.is_outage() || due.connection.candidate.is_some();
                let others = known.into_iter().filter(|one| stands && !one.is(problem.code(), problem.subject()));
                let problems = others.chain([problem.clone()]).collect();
                (problems, (due.next_attempt(now), due.job.attempts + 1))
            }
            Ok(external_id) => {
                let next = match &due.connection.candidate {
                    Some(candidate) => {
                        let account = due.question.stack.account.clone();
                        bind_launch(&mut transaction, &candidate.launch_id, &account, &due.connection.stack_id, now).await?;
                        due.connection.promoted(candidate, now)
                    }
                    None => Connection { confirmed_at: Some(now), ..due.connection.clone() },
                };
                save_connection(&mut transaction, &next, now).await?;
                take_over(&mut transaction, &next).await?;
                sqlx::query("UPDATE connections SET external_id_in_use = $1 WHERE connection_id = $2")
                    .bind(&external_id)
                    .bind(subject.0)
                    .execute(&mut *transaction)
                    .await?;
                if id_before.is_some_and(|before| before != external_id) {
                    record(&mut transaction, subject, Actor::Console, "connection.rotated", json!({}), now).await?;
                }
                let problems = test.as_ref().map(RoleTest::problems).unwrap_or_default();
                // What is wrong, or not known, is looked at more often, until it is closed.
                match &test {
                    // Nothing is known of the role yet but that it is there: soon again.
                    None => (problems, (due.next_attempt(now), due.job.attempts + 1)),
                    Some(test) if problems.is_empty() && !test.is_incomplete() => (problems, (now + DAILY, 0)),
                    Some(_) => (problems, (now + SLOW_PAUSE, 0)),
                }
            }
        };
        if forgets {
            let without = Connection { candidate: None, ..due.connection.clone() };
            save_connection(&mut transaction, &without, now).await?;
        }
        if let Some(test) = &test {
            let available = (test.verdict != Verdict::Unavailable).then(|| nanos(now)).transpose()?;
            sqlx::query(
                "UPDATE connections SET role_test = $1, available_at = COALESCE($2, available_at) WHERE connection_id = $3",
            )
            .bind(write(test)?)
            .bind(available)
            .bind(subject.0)
            .execute(&mut *transaction)
            .await?;
        }
        set_problems(&mut transaction, subject, Source::Verification, &problems, now).await?;
        set_problems(&mut transaction, subject, Source::Jobs, &[], now).await?;
        jobs::end(&mut transaction, &due.job, Some(again)).await?;
        settle(&mut transaction, subject.0, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends a job for which there is nothing to do, unless somebody asked for it again.
    ///
    /// # Errors
    /// The database's.
    pub async fn drop_job(&self, job: &Job) -> Result<(), StoreError> {
        jobs::end(&mut *self.database.pool.acquire().await?, job, None).await
    }

    /// Puts a job off that could not come to its end, without a fault of its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn postpone(&self, job: &Job, until: OffsetDateTime) -> Result<(), StoreError> {
        jobs::end(&mut *self.database.pool.acquire().await?, job, Some((until, job.attempts))).await
    }

    /// A job was taken too often without an end. It waits for somebody to look, and is a problem of its connection's.
    ///
    /// # Errors
    /// The database's.
    pub async fn bury(&self, job: &Job, now: OffsetDateTime) -> Result<(), StoreError> {
        if job.kind == job::Kind::Deliver {
            return self.give_up_delivery(job, now).await;
        }
        let Some(row) = connection_row(&self.database.pool, &job.subject).await? else { return self.drop_job(job).await };
        let mut transaction = self.database.begin(&row.customer_id).await?;
        if jobs::bury(&mut transaction, job, now).await? {
            let problem = Problem::new(ProblemCode::JobFailed, "");
            set_problems(&mut transaction, (&job.subject, &row.customer_id), Source::Jobs, &[problem], now).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Forgets a role that asked to speak, unless the connection is another one by now, and asks about the one that speaks.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_candidate(&self, due: &Due, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.database.begin(due.connection.customer_id.as_str()).await?;
        let current = jobs::is_current(&mut transaction, &due.job).await?;
        if current && stands(&mut transaction, &due.connection).await? {
            save_connection(&mut transaction, &Connection { candidate: None, ..due.connection.clone() }, now).await?;
            let subject = (due.connection.id.as_str(), due.connection.customer_id.as_str());
            known_problems(&mut transaction, subject, now).await?;
            settle(&mut transaction, subject.0, now).await?;
        }
        if current {
            jobs::request(&mut transaction, job::Kind::Verify, &due.connection.id, now).await?;
        }
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
        let anything: i64 = sqlx::query_scalar(concat!(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM ",
            forgotten!(),
            ") \
             OR EXISTS (SELECT 1 FROM notices WHERE connection_id IS NULL AND received_at <= $2) \
             OR EXISTS (SELECT 1 FROM connections c JOIN notices n ON n.stack_id = c.stack_id WHERE c.removed_at < $3) \
             OR EXISTS (SELECT 1 FROM webhook_attempts WHERE at < $4) \
             OR EXISTS (SELECT 1 FROM idempotency_keys WHERE made_at <= $5) THEN 1 ELSE 0 END"
        ))
        .bind(old)
        .bind(nanos(now - REMOVAL_MEMORY)?)
        .bind(nanos(now - NOTICES_OF_REMOVED_KEPT_FOR)?)
        .bind(nanos(now - ATTEMPTS_KEPT_FOR)?)
        .bind(nanos(now - KEPT_FOR)?)
        .fetch_one(&self.database.pool)
        .await?;
        if anything == 0 {
            return Ok(());
        }
        let mut transaction = self.database.pool.begin().await?;
        for statement in [
            concat!("DELETE FROM jobs WHERE subject IN (SELECT connection_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM problems WHERE connection_id IN (SELECT connection_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM events WHERE connection_id IN (SELECT connection_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM billing_statuses WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM launch_uses WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM notices WHERE stack_id IN (SELECT stack_id FROM ", forgotten!(), ")"),
            concat!("DELETE FROM ", forgotten!()),
        ] {
            sqlx::query(statement).bind(old).execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM notices WHERE connection_id IS NULL AND received_at <= $1")
            .bind(nanos(now - REMOVAL_MEMORY)?)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM idempotency_keys WHERE made_at <= $1")
            .bind(nanos(now - KEPT_FOR)?)
            .execute(&mut *transaction)
            .await?;
        for statement in ["DELETE FROM webhook_attempts WHERE at < $1", "DELETE FROM webhook_deliveries WHERE made_at < $1"] {
            sqlx::query(statement).bind(nanos(now - ATTEMPTS_KEPT_FOR)?).execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM notices WHERE stack_id IN (SELECT stack_id FROM connections WHERE removed_at < $1)")
            .bind(nanos(now - NOTICES_OF_REMOVED_KEPT_FOR)?)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}
