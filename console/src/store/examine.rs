//! A database looked at without changing it, and copies of SQLite's.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use sqlx::{AnyConnection, AnyPool, any::AnyPoolOptions, sqlite::SqliteConnectOptions};
use thiserror::Error;
use time::OffsetDateTime;

use super::{database, open::CHECK};
use crate::seal::{SealError, SealKeys};

/// A database that does not answer by then is one of the findings.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a database is.
#[derive(Debug)]
pub struct Examined {
    pub schema: Schema,
    /// Whether the keys open its secrets. None: it has none yet, or nobody gave keys.
    pub keys: Option<Result<(), SealError>>,
    /// Its server's clock. None: it has none of its own.
    pub clock: Option<OffsetDateTime>,
}

/// How a database's schema compares with the one that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// The next start of the server brings it up to date.
    Older,
    /// A newer version of the program has used it.
    Newer,
    /// Nothing has used it.
    Empty,
}

/// Why a database was not copied.
#[derive(Debug, Error)]
pub enum CopyError {
    #[error("this is PostgreSQL: use `{0}`, and keep the key file apart from what it writes")]
    Postgres(&'static str),
    #[error("there is no file in this URL")]
    NoFile,
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    #[error("failed to write or read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
    #[error("failed to use the database")]
    Database(#[from] sqlx::Error),
    #[error("`{}` is no backup of a console's database", .0.display())]
    NoBackup(PathBuf),
    #[error("the backup was made by a newer version of this program")]
    Newer,
    #[error("the key file does not open this backup")]
    Key(#[source] SealError),
}

/// Looks at a database.
///
/// # Errors
/// It is not there, or does not answer.
pub async fn examine(url: &str, keys: Option<&SealKeys>) -> Result<Examined, sqlx::Error> {
    let pool = connect(url).await?;
    let mut connection = pool.acquire().await?;
    let is_postgres = !url.starts_with("sqlite:");
    let clock = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT)";
    let seconds: Option<i64> =
        if is_postgres { Some(sqlx::query_scalar(clock).fetch_one(&mut *connection).await?) } else { None };
    // Reads the file, where there is one: what is no database says so here.
    if !is_postgres {
        sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut *connection).await?;
    }
    let schema = schema(&mut connection, url).await;
    let keys = match keys {
        Some(keys) if schema != Schema::Empty => opens(&mut connection, keys).await?,
        _ => None,
    };
    drop(connection);
    pool.close().await;
    let clock = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    Ok(Examined { schema, keys, clock })
}

async fn connect(url: &str) -> Result<AnyPool, sqlx::Error> {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect(url).await
}

async fn schema(connection: &mut AnyConnection, url: &str) -> Schema {
    let version: Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await;
    match version.ok().flatten() {
        None => Schema::Empty,
        Some(version) => match version.cmp(&database::newest_version(url)) {
            std::cmp::Ordering::Less => Schema::Older,
            std::cmp::Ordering::Equal => Schema::Current,
            std::cmp::Ordering::Greater => Schema::Newer,
        },
    }
}

async fn opens(connection: &mut AnyConnection, keys: &SealKeys) -> Result<Option<Result<(), SealError>>, sqlx::Error> {
    let (place, _) = CHECK;
    let sealed: Option<String> =
        sqlx::query_scalar("SELECT sealed FROM seals WHERE name = $1").bind(place).fetch_optional(connection).await?;
    Ok(sealed.map(|sealed| keys.unseal(place, &sealed).map(drop)))
}

/// Copies a database into a new file, for its owner only, as it is at one moment. How many bytes it has.
///
/// # Errors
/// It is no file of SQLite's, or the new file is there already.
pub async fn backup(url: &str, to: &Path) -> Result<u64, CopyError> {
    if !url.starts_with("sqlite:") {
        return Err(CopyError::Postgres("pg_dump --format=custom"));
    }
    let pool = connect(url).await?;
    // SQLite writes into a file that is there only if it is empty.
    new_file(to)?;
    let copied = sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&pool).await;
    pool.close().await;
    if let Err(error) = copied {
        let _ = fs::remove_file(to);
        return Err(error.into());
    }
    let size = File::open(to).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    Ok(size.map_err(|source| CopyError::File { path: to.to_owned(), source })?.len())
}

/// Makes a database of a backup whose secrets these keys open.
///
/// # Errors
/// There is one already, the file is no backup, or the keys are another database's.
pub async fn restore(url: &str, from: &Path, keys: &SealKeys) -> Result<(), CopyError> {
    if !url.starts_with("sqlite:") {
        return Err(CopyError::Postgres("pg_restore"));
    }
    let target = SqliteConnectOptions::from_str(url)?.get_filename().to_owned();
    if target.as_os_str().is_empty() || target.to_string_lossy().starts_with("file:sqlx-in-memory-") {
        return Err(CopyError::NoFile);
    }
    // SQLite would read what is left of an earlier database over the backup.
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = target.clone().into_os_string();
        beside.push(suffix);
        if Path::new(&beside).exists() {
            return Err(CopyError::Exists(beside.into()));
        }
    }
    let mut new = new_file(&target)?;
    let copied = async {
        let mut backup = File::open(from).map_err(|source| CopyError::File { path: from.to_owned(), source })?;
        let written = io::copy(&mut backup, &mut new).and_then(|_| new.sync_all());
        written.map_err(|source| CopyError::File { path: target.clone(), source })?;
        let no_backup = || CopyError::NoBackup(from.to_owned());
        let examined = examine(url, Some(keys)).await.map_err(|_| no_backup())?;
        match (examined.schema, examined.keys) {
            (Schema::Newer, _) => Err(CopyError::Newer),
            (Schema::Empty, _) | (_, None) => Err(no_backup()),
            (_, Some(Err(error))) => Err(CopyError::Key(error)),
            (_, Some(Ok(()))) => Ok(()),
        }
    }
    .await;
    if copied.is_err() {
        // It is ours: it was not there before.
        let _ = fs::remove_file(&target);
    }
    copied
}

fn new_file(path: &Path) -> Result<File, CopyError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CopyError::Exists(path.to_owned()),
        _ => CopyError::File { path: path.to_owned(), source },
    })
}
