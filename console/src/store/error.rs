//! Why the database does not do what it is asked.

use std::path::PathBuf;

use thiserror::Error;

use crate::{refusal::Refusal, seal::SealError};

/// Something in the database was not written by this program.
#[derive(Debug, Error)]
#[error("failed to read a row: {0}")]
pub struct RowError(pub(super) &'static str);

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database's or sqlx's own words.
    #[error("failed to use the database")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("failed to bring the database's schema up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file could not be made.
    #[error("failed to make the database file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's own words.
        source: std::io::Error,
    },
    #[error(transparent)]
    Row(#[from] RowError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Why a verified notice was not stored.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}
