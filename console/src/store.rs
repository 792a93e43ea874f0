//! SQLite: launches, connections and the notices that made them. SQL stops here.

mod confirmations;
mod issuers;
mod rows;
mod writes;

use std::{path::Path, str::FromStr, time::Duration};

use rows::{ConnectionRow, LaunchRow, connection_columns, connection_row, launch_columns, nanos, position, write};
use sqlx::{
    FromRow, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use time::OffsetDateTime;
pub use writes::{RecordError, StoreError};
use writes::{bind_launch, save_connection};

use crate::{
    billing::ReportedStatus,
    connection::Connection,
    launch::{Audience, Launch},
    ledger::{self, Answer, Decision, LedgerState, Prior, REMOVAL_MEMORY},
    names::AccountId,
    notice::{Hint, Kind, Notice},
    signature::KEYS_PER_NOTICE_MAX,
    speaker::Speaker,
    token::{Attested, Issuer, Keys},
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
        let terms = &launch.terms;
        let (account, organization) = match &terms.audience {
            Audience::Stack(account) => (account.as_ref(), None),
            Audience::Organization(organization) => (None, Some(organization)),
        };
        sqlx::query(
            "INSERT INTO launches (launch_id, token, external_id, customer_id, account_id, ways, handler_role_name, expires_at, \
             for_organization, organization_id, management_account_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&launch.id)
        .bind(launch.token.expose())
        .bind(&launch.external_id)
        .bind(terms.customer_id.as_str())
        .bind(account.map(AccountId::as_str))
        .bind(write(&terms.ways)?)
        .bind(&terms.handler_role_name)
        .bind(nanos(launch.expires_at)?)
        .bind(organization.is_some())
        .bind(organization.map(|organization| organization.id.as_str()))
        .bind(organization.map(|organization| organization.management_account_id.as_str()))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a launch: from now on it is good for nothing but removals, and roles that asked to speak with it are forgotten. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke(&self, launch_id: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let revoked = sqlx::query("UPDATE launches SET revoked_at = COALESCE(revoked_at, ?) WHERE launch_id = ?")
            .bind(nanos(now)?)
            .bind(launch_id)
            .execute(&mut *transaction)
            .await?;
        writes::forget_candidates(&mut transaction, launch_id, now).await?;
        transaction.commit().await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// Ends a connection whose stack cannot: its launch stays, for others of an organization. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn disconnect(&self, connection_id: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(row) = connection_row(&mut *transaction, connection_id).await? else { return Ok(false) };
        save_connection(&mut transaction, &Connection::try_from(row)?.ended(now), now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The launches whose token may have signed a notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn launches_for(&self, hint: &Hint) -> Result<Vec<Launch>, StoreError> {
        let rows: Vec<LaunchRow> = sqlx::query_as(concat!(
            launch_columns!(),
            " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND u.stack_id = ?1 \
             WHERE l.external_id = ?2 OR u.stack_id = ?1 ORDER BY l.external_id = ?2 DESC, l.expires_at DESC LIMIT ?3"
        ))
        .bind(&hint.stack_id)
        .bind(&hint.external_id)
        .bind(i64::try_from(KEYS_PER_NOTICE_MAX).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Launch::try_from).collect::<Result<_, _>>()?)
    }

    /// An issuer's keys as they were last seen, if it is an account's.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, issuer: &Issuer) -> Result<Option<(Keys, OffsetDateTime)>, StoreError> {
        issuers::keys(&self.pool, issuer).await
    }

    /// What is known that matters to this notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn known(&self, notice: &Notice, launch: &Launch, now: OffsetDateTime) -> Result<LedgerState, StoreError> {
        load(&mut *self.pool.acquire().await?, notice, &launch.id, now).await
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
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from)?;
        let known = load(&mut transaction, notice, &launch.id, now).await?;
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
            writes::forget_problem(&mut transaction, &connection.id).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(decision.answer)
    }

    async fn save(
        &self,
        database: &mut SqliteConnection,
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
                writes::schedule(database, &connection.id, now).await?;
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
             resource, received_at, connection_id, message, token_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&notice.position.id)
        .bind(notice.stack.as_str())
        .bind(nanos(notice.position.time)?)
        .bind(notice.position.kind.as_str())
        .bind(&launch.id)
        .bind(&notice.fingerprint)
        .bind(&speaker.arn)
        .bind(&notice.resource)
        .bind(nanos(now)?)
        .bind(connection_id)
        .bind(message)
        .bind(token_id)
        .execute(&mut *database)
        .await?;
        sqlx::query(
            "DELETE FROM notices WHERE stack_id = ?1 AND rowid NOT IN \
             (SELECT rowid FROM notices WHERE stack_id = ?1 ORDER BY received_at DESC, rowid DESC LIMIT ?2)",
        )
        .bind(notice.stack.as_str())
        .bind(NOTICES_PER_STACK_MAX)
        .execute(database)
        .await?;
        Ok(())
    }

    /// A page of connections in the order they were made, as they stand now, and where the next page begins: of one customer, or of
    /// all. Accounts that nobody confirmed are a list of their own.
    ///
    /// # Errors
    /// The database's.
    pub async fn connections(
        &self,
        list: &List,
        after: i64,
        limit: u32,
        now: OffsetDateTime,
    ) -> Result<(Vec<ConnectionView>, Option<i64>), StoreError> {
        let rows: Vec<ConnectionRow> =
            sqlx::query_as(concat!(connection_columns!(), " WHERE c.sequence > ? AND c.unconfirmed = ? AND c.customer_id = COALESCE(?, c.customer_id) ORDER BY c.sequence LIMIT ?"))
                .bind(after)
                .bind(list.unconfirmed)
                .bind(&list.customer_id)
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
        let row = connection_row(&self.pool, connection_id).await?;
        Ok(row.map(|row| row.view(now)).transpose()?)
    }
}

/// Which connections are listed.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Of this customer only.
    pub customer_id: Option<String>,
    /// Those of accounts that nobody confirmed, and no others.
    pub unconfirmed: bool,
}

#[derive(FromRow)]
struct PriorRow {
    fingerprint: String,
    connection_id: Option<String>,
    message: String,
}

async fn load(
    connection: &mut SqliteConnection,
    notice: &Notice,
    launch_id: &str,
    now: OffsetDateTime,
) -> Result<LedgerState, StoreError> {
    let launch: LaunchRow = sqlx::query_as(concat!(
        launch_columns!(),
        " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND (l.for_organization = 0 OR u.account_id = ?) WHERE l.launch_id = ?"
    ))
    .bind(notice.account().as_str())
    .bind(launch_id)
    .fetch_one(&mut *connection)
    .await?;
    let prior: Option<PriorRow> =
        sqlx::query_as("SELECT fingerprint, connection_id, message FROM notices WHERE stack_id = ? AND notice_id = ?")
            .bind(notice.stack.as_str())
            .bind(&notice.position.id)
            .fetch_optional(&mut *connection)
            .await?;
    let row: Option<ConnectionRow> = sqlx::query_as(concat!(connection_columns!(), " WHERE c.stack_id = ?"))
        .bind(notice.stack.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let reported = row.as_ref().map(ConnectionRow::heard).transpose()?.flatten();
    let remembered_since = nanos(now - REMOVAL_MEMORY)?;
    let removal: Option<(i64, String, String)> = sqlx::query_as(
        "SELECT time, kind, notice_id FROM notices WHERE stack_id = ? AND kind = ? AND resource = ? AND launch_id = ? AND received_at > ? \
         ORDER BY time DESC, notice_id DESC LIMIT 1",
    )
    .bind(notice.stack.as_str())
    .bind(Kind::Removed.as_str())
    .bind(&notice.resource)
    .bind(launch_id)
    .bind(remembered_since)
    .fetch_optional(&mut *connection)
    .await?;
    let count = "SELECT COUNT(*) FROM notices WHERE launch_id = ? AND connection_id IS NULL AND received_at > ?";
    let removals: i64 = sqlx::query_scalar(count).bind(launch_id).bind(remembered_since).fetch_one(&mut *connection).await?;
    let count =
        "SELECT COUNT(*) FROM connections WHERE launch_id = ? AND unconfirmed AND latest_kind <> 'hawser.connection.removed'";
    let unconfirmed: i64 = sqlx::query_scalar(count).bind(launch_id).fetch_one(&mut *connection).await?;
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
        removals,
        unconfirmed,
    })
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
    .bind(write(&reported.status)?)
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
        let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        made.map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    }
    Ok(())
}
