//! Which database it is: a file of SQLite's, or PostgreSQL by URL. Statements are written once, in what both understand; what they
//! differ in is here.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{Any, AnyPool, Executor as _, Transaction, any::AnyPoolOptions, migrate::Migrator, sqlite::SqliteConnectOptions};

use super::error::StoreError;
/// A writer of SQLite's waits this long for another one; longer and a stack would rather send its notice again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// SQLite has one writer at a time; a few readers beside it are plenty.
const SQLITE_CONNECTIONS_MAX: u32 = 4;
/// PostgreSQL allows 100 in all where nobody says more; some replicas share them.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Waiting longer for a connection than a stack waits for its answer helps nobody.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

static SQLITE_SCHEMA: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_SCHEMA: Migrator = sqlx::migrate!("migrations/postgres");

/// A database, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) pool: AnyPool,
    dialect: Dialect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Database {
    /// Opens it, makes the file of SQLite's when it is missing, and brings the schema up to date.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
        if url.starts_with("sqlite:") {
            let options_of_file = SqliteConnectOptions::from_str(url)?;
            let file = options_of_file.get_filename();
            // The name that sqlx gives to `sqlite::memory:`. Each connection has a database of its own there.
            let in_memory = file.to_string_lossy().starts_with("file:sqlx-in-memory-");
            if !in_memory {
                make_private(file)?;
            }
            // Which journal there is stands in the file; an answer says that the notice is stored: it is, also when the power goes.
            let settings = format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = {}",
                BUSY_TIMEOUT.as_millis()
            );
            let connections = if in_memory { 1 } else { SQLITE_CONNECTIONS_MAX };
            let pool = options
                .max_connections(connections)
                .after_connect(move |connection, _| {
                    let settings = sqlx::AssertSqlSafe(settings.clone());
                    Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
                })
                .connect(url)
                .await?;
            SQLITE_SCHEMA.run(&pool).await?;
            return Ok(Self { pool, dialect: Dialect::Sqlite });
        }
        let pool = options.max_connections(POSTGRES_CONNECTIONS_MAX).connect(url).await?;
        POSTGRES_SCHEMA.run(&pool).await?;
        Ok(Self { pool, dialect: Dialect::Postgres })
    }

    /// A unit of work of one customer's: nothing of that customer's changes until it ends, except by it. SQLite has one writer at a
    /// time anyway.
    pub(super) async fn begin(&self, customer_id: &str) -> Result<Transaction<'static, Any>, StoreError> {
        match self.dialect {
            Dialect::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Dialect::Postgres => {
                let mut transaction = self.pool.begin().await?;
                sqlx::query("SELECT COUNT(*) FROM pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(customer_id)
                    .execute(&mut *transaction)
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// What follows the selection of rows that one worker takes and the others pass by.
    pub(super) fn skip_locked(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// The version of the schema that this program knows.
pub(super) fn newest_version(url: &str) -> i64 {
    let schema = if url.starts_with("sqlite:") { &SQLITE_SCHEMA } else { &POSTGRES_SCHEMA };
    schema.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Makes the file for its owner only: it names customers and their accounts. SQLite gives its side files the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    Ok(())
}
