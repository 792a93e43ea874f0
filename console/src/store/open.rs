//! Opens the database, with the keys of its secrets.

use std::sync::Arc;

use super::{database::Database, error::StoreError};
use crate::{seal::SealKeys, secret::Secret};

/// What opens only if the keys are those that the database's secrets were sealed with.
pub(super) const CHECK: (&str, &str) = ("seals/check", "hawser-console");

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) database: Database,
    pub(super) keys: Arc<SealKeys>,
}

impl Store {
    /// Opens the database, makes SQLite's file when it is missing, and brings the schema up to date. The keys open its secrets.
    ///
    /// # Errors
    /// The URL, the file, the server or the schema is not usable, or the keys are another database's.
    pub async fn open(url: &str, keys: SealKeys) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        let (place, text) = CHECK;
        sqlx::query("INSERT INTO seals (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(place)
            .bind(keys.seal(place, &Secret::new(text))?)
            .execute(&database.pool)
            .await?;
        let sealed: String =
            sqlx::query_scalar("SELECT sealed FROM seals WHERE name = $1").bind(place).fetch_one(&database.pool).await?;
        keys.unseal(place, &sealed)?;
        Ok(Self { database, keys: Arc::new(keys) })
    }

    /// Whether it can do its work: the database answers with the schema that this program knows, and the keys open its secrets.
    ///
    /// # Errors
    /// It cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        let (place, _) = CHECK;
        let sealed: String =
            sqlx::query_scalar("SELECT sealed FROM seals WHERE name = $1").bind(place).fetch_one(&self.database.pool).await?;
        self.keys.unseal(place, &sealed)?;
        Ok(())
    }

    /// Waits for running statements and closes the database.
    pub async fn close(&self) {
        self.database.pool.close().await;
    }

    /// Seals every secret with the first of the keys, so that the others are needed no more. How many it sealed anew.
    ///
    /// # Errors
    /// The database's, or a secret that none of the keys opens.
    pub async fn reseal(&self) -> Result<usize, StoreError> {
        let mut resealed = 0;
        for (read, update) in [
            (
                "SELECT launch_id, token FROM launches ORDER BY launch_id",
                "UPDATE launches SET token = $1 WHERE launch_id = $2 AND token = $3",
            ),
            (
                "SELECT key_id, answer FROM idempotency_keys ORDER BY key_id",
                "UPDATE idempotency_keys SET answer = $1 WHERE key_id = $2 AND answer = $3",
            ),
            (
                "SELECT endpoint_id, url FROM webhook_endpoints ORDER BY sequence",
                "UPDATE webhook_endpoints SET url = $1 WHERE endpoint_id = $2 AND url = $3",
            ),
            (
                "SELECT endpoint_id, secrets FROM webhook_endpoints ORDER BY sequence",
                "UPDATE webhook_endpoints SET secrets = $1 WHERE endpoint_id = $2 AND secrets = $3",
            ),
            ("SELECT name, sealed FROM seals ORDER BY name", "UPDATE seals SET sealed = $1 WHERE name = $2 AND sealed = $3"),
        ] {
            let rows: Vec<(String, String)> = sqlx::query_as(read).fetch_all(&self.database.pool).await?;
            for (place, sealed) in rows.into_iter().filter(|(_, sealed)| !self.keys.is_current(sealed)) {
                let anew = self.keys.seal(&place, &self.keys.unseal(&place, &sealed)?)?;
                // What was changed since, a running console sealed, with the first key if it has the same file.
                sqlx::query(update).bind(anew).bind(place).bind(&sealed).execute(&self.database.pool).await?;
                resealed += 1;
            }
        }
        Ok(resealed)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.database.pool).await?;
        Ok(())
    }
}
