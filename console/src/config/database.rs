//! Where the data is, for every command.

use std::{fmt, path::PathBuf};

use clap::Args;

use crate::secret::Secret;

/// Where the data is.
#[derive(Debug, Args)]
pub struct Database {
    /// `sqlite:` and a file, which is created if it is missing, or the URL of a PostgreSQL database (`postgres://…`).
    #[arg(long, env = "HAWSER_CONSOLE_DATABASE", default_value = "sqlite:hawser-console.db", value_parser = database_url, hide_env_values = true)]
    pub database: DatabaseUrl,
    /// The keys that secrets are sealed with in the database, one in each line as 64 hexadecimal digits: the first seals, all of them
    /// open. Created with a new key if it is missing.
    #[arg(long, env = "HAWSER_CONSOLE_KEY_FILE", default_value = "hawser-console.key")]
    pub key_file: PathBuf,
}

/// The URL of a database. That of PostgreSQL may hold a password.
#[derive(Clone)]
pub struct DatabaseUrl(Secret);

impl DatabaseUrl {
    /// The URL itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expose().split(':').next().unwrap_or_default())
    }
}

fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    let is_known = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme));
    let url = || DatabaseUrl(Secret::new(text));
    is_known.then(url).ok_or_else(|| "neither `sqlite:` and a file nor `postgres://…`".to_owned())
}
