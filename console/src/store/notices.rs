//! What a notice finds, and what is stored of it.

use sqlx::{AnyConnection, FromRow};
use time::OffsetDateTime;

use super::{
    error::{RecordError, StoreError},
    history::{known_problems, settle},
    issuers, jobs,
    open::Store,
    rows::{ConnectionRow, LaunchRow, connection_columns, launch_columns, nanos, position, storable, write},
    writes::{self, bind_launch, save_connection},
};
use crate::{
    billing::ReportedStatus,
    connection::Connection,
    job,
    launch::Launch,
    ledger::{self, Answer, Decision, LedgerState, Prior, REMOVAL_MEMORY},
    notice::{Hint, Kind, Notice},
    signature::KEYS_PER_NOTICE_MAX,
    speaker::Speaker,
    token::{Attested, Issuer, Keys},
};

/// Notices of one stack that are remembered, to recognize a repetition: more than a stack sends while Lambda or CloudFormation may
/// repeat one of them.
const NOTICES_PER_STACK_MAX: i64 = 64;

/// A billing status comes four times a day, and none of them is needed for long: Lambda runs a function again for the same
/// request for six hours at most (Lambda developer guide, "How Lambda handles errors and retries with asynchronous
/// invocation"), so after four times that nobody repeats it any more.
const STATUS_MEMORY: time::Duration = time::Duration::hours(24);

impl Store {
    /// The launches whose token may have signed a notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn launches_for(&self, hint: &Hint) -> Result<Vec<Launch>, StoreError> {
        let rows: Vec<LaunchRow> = sqlx::query_as(concat!(
            launch_columns!(),
            " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND u.stack_id = $1 \
             WHERE l.external_id = $2 OR u.stack_id = $1 \
             ORDER BY CASE WHEN l.external_id = $2 THEN 0 ELSE 1 END, l.expires_at DESC LIMIT $3"
        ))
        .bind(storable(&hint.stack_id))
        .bind(storable(&hint.external_id))
        .bind(i64::try_from(KEYS_PER_NOTICE_MAX).unwrap_or(i64::MAX))
        .fetch_all(&self.database.pool)
        .await?;
        rows.into_iter().map(|row| row.open(&self.keys)).collect()
    }

    /// An issuer's keys as they were last seen, if it is an account's.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, issuer: &Issuer) -> Result<Option<(Keys, OffsetDateTime)>, StoreError> {
        issuers::keys(&self.database.pool, issuer).await
    }

    /// What is known that matters to this notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn known(&self, notice: &Notice, launch: &Launch, now: OffsetDateTime) -> Result<LedgerState, StoreError> {
        self.load(&mut *self.database.pool.acquire().await?, notice, &launch.id, now).await
    }

    /// Stores a verified notice and what follows from it, in one transaction. What is known is read again inside it:
    /// another notice may have come in while AWS was asked.
    ///
    /// # Errors
    /// The refusals of [`ledger`], or the database's.
    pub async fn record(
        &self,
        notice: &Notice,
        launch: &Launch,
        (speaker, attested): (&Speaker, Option<&Attested>),
        now: OffsetDateTime,
    ) -> Result<Answer, RecordError> {
        let mut transaction = self.database.begin(launch.terms.customer_id.as_str()).await?;
        let known = self.load(&mut transaction, notice, &launch.id, now).await?;
        if let Some(answer) = ledger::admit(notice, &known, now)? {
            return Ok(answer);
        }
        let decision = ledger::decide(notice, (speaker, attested), &known, now)?;
        if let Some(attested) = attested {
            issuers::admit(&mut transaction, notice.account(), speaker, attested, now).await?;
        }
        let token_id = attested.map(|attested| attested.id.as_str());
        self.save(&mut transaction, notice, launch, (speaker, token_id), &decision, now).await?;
        let asked = known.connection.as_ref().is_some_and(|connection| connection.candidate.is_some());
        if let Some(connection) = decision.connection.as_ref().filter(|connection| asked && connection.candidate.is_none()) {
            let subject = (connection.id.as_str(), connection.customer_id.as_str());
            known_problems(&mut transaction, subject, now).await?;
        }
        if let Answer::Accepted { connection_id, .. } = &decision.answer {
            settle(&mut transaction, connection_id, now).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(decision.answer)
    }

    async fn load(
        &self,
        connection: &mut AnyConnection,
        notice: &Notice,
        launch_id: &str,
        now: OffsetDateTime,
    ) -> Result<LedgerState, StoreError> {
        let launch: LaunchRow = sqlx::query_as(concat!(
        launch_columns!(),
        " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND (l.for_organization = 0 OR u.account_id = $1) WHERE l.launch_id = $2"
    ))
    .bind(notice.account().as_str())
    .bind(launch_id)
    .fetch_one(&mut *connection)
    .await?;
        let prior: Option<PriorRow> =
            sqlx::query_as("SELECT fingerprint, connection_id, message FROM notices WHERE stack_id = $1 AND notice_id = $2")
                .bind(notice.stack.as_str())
                .bind(&notice.position.id)
                .fetch_optional(&mut *connection)
                .await?;
        let row: Option<ConnectionRow> = sqlx::query_as(concat!(connection_columns!(), " WHERE c.stack_id = $1"))
            .bind(notice.stack.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let reported = row.as_ref().map(ConnectionRow::heard).transpose()?.flatten();
        let remembered_since = nanos(now - REMOVAL_MEMORY)?;
        let removal: Option<(i64, String, String)> = sqlx::query_as(
        "SELECT time, kind, notice_id FROM notices WHERE stack_id = $1 AND kind = $2 AND resource = $3 AND launch_id = $4 AND received_at > $5 \
         ORDER BY time DESC, notice_id DESC LIMIT 1",
    )
    .bind(notice.stack.as_str())
    .bind(Kind::Removed.as_str())
    .bind(storable(&notice.resource))
    .bind(launch_id)
    .bind(remembered_since)
    .fetch_optional(&mut *connection)
    .await?;
        let count = "SELECT COUNT(*) FROM notices WHERE launch_id = $1 AND connection_id IS NULL AND received_at > $2";
        let removals: i64 = sqlx::query_scalar(count).bind(launch_id).bind(remembered_since).fetch_one(&mut *connection).await?;
        let count = "SELECT COUNT(*) FROM connections WHERE launch_id = $1 AND unconfirmed = 1 AND latest_kind <> 'hawser.connection.removed'";
        let unconfirmed: i64 = sqlx::query_scalar(count).bind(launch_id).fetch_one(&mut *connection).await?;
        Ok(LedgerState {
            launch: launch.open(&self.keys)?,
            prior: prior.map(|row| Prior {
                fingerprint: row.fingerprint,
                answer: match row.connection_id {
                    Some(connection_id) => Answer::Accepted { connection_id, message: row.message },
                    None => Answer::Unknown,
                },
            }),
            connection: row.map(Connection::try_from).transpose()?,
            reported,
            removal: removal.map(|(time, kind, id)| position(time, &kind, id)).transpose()?,
            removals,
            unconfirmed,
        })
    }

    async fn save(
        &self,
        database: &mut AnyConnection,
        notice: &Notice,
        launch: &Launch,
        (speaker, token_id): (&Speaker, Option<&str>),
        decision: &Decision,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if let Some(connection) = &decision.connection {
            save_connection(database, connection, now).await?;
            // What changes who speaks, or with which role and external ID, is AWS's to confirm.
            let changes = !notice.position.kind.is_scheduled() || decision.binds_launch;
            if !connection.unconfirmed && !connection.is_removed() && changes || connection.confirmed_at.is_none() {
                jobs::request(database, job::Kind::Verify, &connection.id, now).await?;
            }
        }
        if let Some(reported) = &decision.reported {
            save_status(database, reported, notice, now).await?;
        }
        if decision.reserves_launch {
            writes::reserve_launch(database, &launch.id, notice).await?;
        }
        if decision.binds_launch {
            bind_launch(database, &launch.id, notice.account(), notice.stack.as_str(), now).await?;
        }
        if decision.spoke {
            writes::spoke(database, notice, now).await?;
        }
        if !decision.remembered {
            return Ok(());
        }
        let (connection_id, message) = match &decision.answer {
            Answer::Accepted { connection_id, message } => (Some(connection_id.as_str()), message.as_str()),
            Answer::Unknown | Answer::Ignored => (None, ""),
        };
        sqlx::query(
            "INSERT INTO notices (notice_id, stack_id, time, kind, launch_id, fingerprint, verified_arn, \
             resource, received_at, connection_id, message, token_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&notice.position.id)
        .bind(notice.stack.as_str())
        .bind(nanos(notice.position.time)?)
        .bind(notice.position.kind.as_str())
        .bind(&launch.id)
        .bind(&notice.fingerprint)
        .bind(&speaker.arn)
        .bind(storable(&notice.resource))
        .bind(nanos(now)?)
        .bind(connection_id)
        .bind(message)
        .bind(token_id.map(storable))
        .execute(&mut *database)
        .await?;
        sqlx::query(
            "DELETE FROM notices WHERE stack_id = $1 AND sequence NOT IN \
             (SELECT sequence FROM notices WHERE stack_id = $1 ORDER BY received_at DESC, sequence DESC LIMIT $2)",
        )
        .bind(notice.stack.as_str())
        .bind(NOTICES_PER_STACK_MAX)
        .execute(database)
        .await?;
        Ok(())
    }
}

#[derive(FromRow)]
struct PriorRow {
    fingerprint: String,
    connection_id: Option<String>,
    message: String,
}

async fn save_status(
    database: &mut AnyConnection,
    reported: &ReportedStatus,
    notice: &Notice,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO billing_statuses (stack_id, heard_at, status) VALUES ($1, $2, $3) \
         ON CONFLICT (stack_id) DO UPDATE SET heard_at = excluded.heard_at, status = excluded.status",
    )
    .bind(notice.stack.as_str())
    .bind(nanos(reported.at)?)
    .bind(write(&reported.status)?)
    .execute(&mut *database)
    .await?;
    sqlx::query("DELETE FROM notices WHERE stack_id = $1 AND kind = $2 AND received_at < $3")
        .bind(notice.stack.as_str())
        .bind(Kind::BillingStatus.as_str())
        .bind(nanos(now - STATUS_MEMORY)?)
        .execute(database)
        .await?;
    Ok(())
}
