//! SQLite: launches, connections and the notices that made them. SQL stops here.

mod rows;

use std::{path::Path, str::FromStr, time::Duration};

use rows::{ConnectionRow, LaunchRow, RowError, connection_columns, launch_columns, nanos, position};
use sqlx::{
    FromRow, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    billing::ReportedStatus,
    launch::{Audience, Launch, Organization},
    ledger::{self, Answer, Connection, LedgerState, Prior},
    names::{AccountId, OrganizationId},
    notice::{Hint, Kind, Notice},
    refusal::Refusal,
    signature::KEYS_PER_NOTICE_MAX,
    view::ConnectionView,
};

/// A writer waits this long for another one; longer and a stack would rather send its notice again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// SQLite has one writer at a time; a few readers beside it are plenty.
const CONNECTIONS_MAX: u32 = 4;

/// Notices of one stack that are remembered, to recognize a repetition: more than a stack sends while Lambda or CloudFormation may
/// repeat one of them.
const NOTICES_PER_STACK_MAX: i64 = 64;

/// A billing status comes four times a day, and none of them is needed for long: Lambda runs a function again for the same
/// request for six hours at most (Lambda developer guide, "How Lambda handles errors and retries with asynchronous
/// invocation"), so after four times that nobody repeats it any more.
const STATUS_MEMORY: time::Duration = time::Duration::hours(24);

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite's or sqlx's own words.
    #[error("failed to use the database")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("failed to bring the database's schema up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file could not be made.
    #[error("failed to make the database file")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Row(#[from] RowError),
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database, makes it when it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// The URL, the file or the schema is not usable.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An answer says that the notice is stored: it is, also when the power goes.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        make_private(options.get_filename())?;
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    /// Waits for running statements and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Stores a new launch.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_launch(&self, launch: &Launch) -> Result<(), StoreError> {
        let (account, organization) = match &launch.audience {
            Audience::Stack(account) => (account.as_ref(), None),
            Audience::Organization(organization) => (None, Some(organization)),
        };
        sqlx::query(
            "INSERT INTO launches (launch_id, token, external_id, account_id, expires_at, for_organization, organization_id, \
             management_account_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&launch.id)
        .bind(launch.token.expose())
        .bind(&launch.external_id)
        .bind(account.map(AccountId::as_str))
        .bind(nanos(launch.expires_at)?)
        .bind(organization.is_some())
        .bind(organization.and_then(|organization| organization.id.as_ref()).map(OrganizationId::as_str))
        .bind(organization.and_then(|organization| organization.management_account_id.as_ref()).map(AccountId::as_str))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The launches whose token may have signed a notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn launches_for(&self, hint: &Hint) -> Result<Vec<Launch>, StoreError> {
        let rows: Vec<LaunchRow> = sqlx::query_as(concat!(
            launch_columns!(),
            " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND u.stack_id = ?1 \
             WHERE l.external_id = ?2 OR l.stack_id = ?1 OR u.stack_id = ?1 ORDER BY l.external_id = ?2 DESC, l.expires_at DESC LIMIT ?3"
        ))
        .bind(&hint.stack_id)
        .bind(&hint.external_id)
        .bind(i64::try_from(KEYS_PER_NOTICE_MAX).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Launch::try_from).collect::<Result<_, _>>()?)
    }

    /// What is known that matters to this notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn known(&self, notice: &Notice, launch: &Launch) -> Result<LedgerState, StoreError> {
        load(&mut *self.pool.acquire().await?, notice, &launch.id).await
    }

    /// Stores a verified notice and what follows from it, in one transaction. What is known is read again inside it:
    /// another notice may have come in while AWS was asked.
    ///
    /// # Errors
    /// [`ledger::admit`]'s refusals, or the database's as [`Storage`](crate::refusal::Reason::Storage).
    pub async fn record(
        &self,
        notice: &Notice,
        launch: &Launch,
        verified_arn: &str,
        now: OffsetDateTime,
    ) -> Result<Answer, RecordError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from)?;
        let known = load(&mut transaction, notice, &launch.id).await?;
        if let Some(answer) = ledger::admit(notice, &known, now)? {
            return Ok(answer);
        }
        let decision = ledger::decide(notice, verified_arn, &known, now);
        if let Some(connection) = &decision.connection {
            save_connection(&mut transaction, connection, notice).await?;
        }
        if let Some(reported) = &decision.reported {
            save_status(&mut transaction, reported, notice, now).await?;
        }
        if decision.binds_launch {
            bind_launch(&mut transaction, &known.launch, notice).await.map_err(StoreError::from)?;
        }
        let (connection_id, message) = match &decision.answer {
            Answer::Accepted { connection_id, message } => (Some(connection_id.as_str()), message.as_str()),
            Answer::Unknown | Answer::Ignored => (None, ""),
        };
        sqlx::query(
            "INSERT INTO notices (notice_id, stack_id, time, kind, launch_id, fingerprint, verified_arn, \
             resource, received_at, connection_id, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&notice.position.id)
        .bind(notice.stack.as_str())
        .bind(nanos(notice.position.time).map_err(StoreError::from)?)
        .bind(notice.position.kind.as_str())
        .bind(&launch.id)
        .bind(&notice.fingerprint)
        .bind(verified_arn)
        .bind(&notice.resource)
        .bind(nanos(now).map_err(StoreError::from)?)
        .bind(connection_id)
        .bind(message)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        sqlx::query(
            "DELETE FROM notices WHERE stack_id = ?1 AND rowid NOT IN \
             (SELECT rowid FROM notices WHERE stack_id = ?1 ORDER BY received_at DESC, rowid DESC LIMIT ?2)",
        )
        .bind(notice.stack.as_str())
        .bind(NOTICES_PER_STACK_MAX)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(decision.answer)
    }

    /// A page of connections in the order they were made, as they stand now, and where the next page begins.
    ///
    /// # Errors
    /// The database's.
    pub async fn connections(
        &self,
        after: i64,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<(Vec<ConnectionView>, Option<i64>), StoreError> {
        let rows: Vec<ConnectionRow> =
            sqlx::query_as(concat!(connection_columns!(), " WHERE c.sequence > ? ORDER BY c.sequence LIMIT ?"))
                .bind(after)
                // One more than asked for tells whether there is a next page.
                .bind(i64::from(limit) + 1)
                .fetch_all(&self.pool)
                .await?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = if rows.len() > page { rows.get(page.saturating_sub(1)).map(|row| row.sequence) } else { None };
        let views: Result<_, _> = rows.into_iter().take(page).map(|row| row.view(now)).collect();
        Ok((views?, next))
    }

    /// One connection, as it stands now.
    ///
    /// # Errors
    /// The database's.
    pub async fn connection(&self, connection_id: &str, now: OffsetDateTime) -> Result<Option<ConnectionView>, StoreError> {
        let row: Option<ConnectionRow> = sqlx::query_as(concat!(connection_columns!(), " WHERE c.connection_id = ?"))
            .bind(connection_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.view(now)).transpose()?)
    }
}

/// Why a verified notice was not stored.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(FromRow)]
struct PriorRow {
    fingerprint: String,
    connection_id: Option<String>,
    message: String,
}

async fn load(connection: &mut SqliteConnection, notice: &Notice, launch_id: &str) -> Result<LedgerState, StoreError> {
    let launch: LaunchRow = sqlx::query_as(concat!(
        launch_columns!(),
        " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND u.account_id = ? WHERE l.launch_id = ?"
    ))
    .bind(notice.account().as_str())
    .bind(launch_id)
    .fetch_one(&mut *connection)
    .await?;
    let prior: Option<PriorRow> = sqlx::query_as("SELECT fingerprint, connection_id, message FROM notices WHERE notice_id = ?")
        .bind(&notice.position.id)
        .fetch_optional(&mut *connection)
        .await?;
    let row: Option<ConnectionRow> = sqlx::query_as(concat!(connection_columns!(), " WHERE c.stack_id = ?"))
        .bind(notice.stack.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let reported = row.as_ref().map(ConnectionRow::heard).transpose()?.flatten();
    let removal: Option<(i64, String, String)> = sqlx::query_as(
        "SELECT time, kind, notice_id FROM notices WHERE stack_id = ? AND kind = ? AND resource = ? \
         ORDER BY time DESC, notice_id DESC LIMIT 1",
    )
    .bind(notice.stack.as_str())
    .bind(Kind::Removed.as_str())
    .bind(&notice.resource)
    .fetch_optional(&mut *connection)
    .await?;
    let takes_over: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM connections WHERE account_id = ? AND connection_name = ? AND stack_id <> ? \
         AND latest_time < ? AND latest_kind <> ?)",
    )
    .bind(notice.account().as_str())
    .bind(&notice.connection_name)
    .bind(notice.stack.as_str())
    .bind(nanos(notice.position.time)?)
    .bind(Kind::Removed.as_str())
    .fetch_one(&mut *connection)
    .await?;
    Ok(LedgerState {
        launch: launch.try_into()?,
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
        takes_over,
    })
}

/// The launch is this stack's from now on: the whole, or its part for the account. What it did not know of its organization, it
/// knows now.
async fn bind_launch(database: &mut SqliteConnection, launch: &Launch, notice: &Notice) -> Result<(), sqlx::Error> {
    if let Audience::Stack(_) = launch.audience {
        sqlx::query("UPDATE launches SET stack_id = ? WHERE launch_id = ?")
            .bind(notice.stack.as_str())
            .bind(&launch.id)
            .execute(database)
            .await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO launch_uses (launch_id, account_id, stack_id) VALUES (?, ?, ?) \
         ON CONFLICT (launch_id, account_id) DO UPDATE SET stack_id = excluded.stack_id",
    )
    .bind(&launch.id)
    .bind(notice.account().as_str())
    .bind(notice.stack.as_str())
    .execute(&mut *database)
    .await?;
    let stated = Organization::from_notice(&notice.data).unwrap_or_default();
    sqlx::query(
        "UPDATE launches SET organization_id = COALESCE(organization_id, ?), \
         management_account_id = COALESCE(management_account_id, ?) WHERE launch_id = ?",
    )
    .bind(stated.id.as_ref().map(OrganizationId::as_str))
    .bind(stated.management_account_id.as_ref().map(AccountId::as_str))
    .bind(&launch.id)
    .execute(database)
    .await?;
    Ok(())
}

async fn save_connection(database: &mut SqliteConnection, connection: &Connection, notice: &Notice) -> Result<(), StoreError> {
    let (described, latest) = (&connection.described, &connection.latest);
    let name = connection.data["connectionName"].as_str().ok_or(RowError("`data` has no connection name"))?;
    sqlx::query(
        "INSERT INTO connections (connection_id, stack_id, launch_id, account_id, connection_name, verified_arn, since, \
         described_time, described_kind, described_id, latest_time, latest_kind, latest_id, data, \
         organization_before, organization_changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (stack_id) DO UPDATE SET launch_id = excluded.launch_id, connection_name = excluded.connection_name, \
         verified_arn = excluded.verified_arn, since = excluded.since, described_time = excluded.described_time, \
         described_kind = excluded.described_kind, described_id = excluded.described_id, \
         latest_time = excluded.latest_time, latest_kind = excluded.latest_kind, latest_id = excluded.latest_id, \
         data = excluded.data, organization_before = excluded.organization_before, \
         organization_changed_at = excluded.organization_changed_at",
    )
    .bind(&connection.id)
    .bind(&connection.stack_id)
    .bind(&connection.launch_id)
    .bind(notice.account().as_str())
    .bind(name)
    .bind(&connection.verified_arn)
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
    .execute(database)
    .await?;
    Ok(())
}

async fn save_status(
    database: &mut SqliteConnection,
    reported: &ReportedStatus,
    notice: &Notice,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO billing_statuses (stack_id, heard_at, status) VALUES (?, ?, ?) \
         ON CONFLICT (stack_id) DO UPDATE SET heard_at = excluded.heard_at, status = excluded.status",
    )
    .bind(notice.stack.as_str())
    .bind(nanos(reported.at)?)
    .bind(serde_json::to_string(&reported.status).map_err(|_| RowError("a billing status has no JSON"))?)
    .execute(&mut *database)
    .await?;
    sqlx::query("DELETE FROM notices WHERE stack_id = ? AND kind = ? AND received_at < ?")
        .bind(notice.stack.as_str())
        .bind(Kind::BillingStatus.as_str())
        .bind(nanos(now - STATUS_MEMORY)?)
        .execute(database)
        .await?;
    Ok(())
}

/// Makes the file for its owner only: it holds the launch tokens. SQLite gives its side files the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    // The name that sqlx gives to `sqlite::memory:`.
    let in_memory = path.to_string_lossy().starts_with("file:sqlx-in-memory-");
    if !in_memory {
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    }
    Ok(())
}
