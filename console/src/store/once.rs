//! Requests that may be repeated: the first answer is kept, sealed, and given again.

use sqlx::AnyConnection;
use time::{Duration, OffsetDateTime};

use super::{error::StoreError, open::Store, rows::nanos};
use crate::secret::Secret;

/// For so long a request may be repeated.
pub const KEPT_FOR: Duration = Duration::hours(24);
/// Keys of one caller within that time: as many launches as no vendor makes in a day.
pub const KEYS_PER_CALLER_MAX: i64 = 10_000;

/// A request with an idempotency key.
#[derive(Debug, Clone)]
pub struct Once {
    /// A hash of who asks, for what, with which key.
    pub key_id: String,
    /// Who asks.
    pub actor: String,
    /// A hash of what is asked.
    pub request_sha256: String,
    /// What is answered, should it be the first.
    pub answer: Secret,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It was done.
    Now,
    /// It was done before, and answered so.
    Before(Secret),
    /// The key belongs to another request.
    OtherRequest,
    /// This caller has no room for another key.
    TooManyKeys,
}

impl Store {
    /// What is known of this request. [`Made::Now`] where it is to be done: then its answer is kept with what it does.
    pub(super) async fn once(&self, database: &mut AnyConnection, once: &Once, now: OffsetDateTime) -> Result<Made, StoreError> {
        sqlx::query("DELETE FROM idempotency_keys WHERE made_at <= $1")
            .bind(nanos(now - KEPT_FOR)?)
            .execute(&mut *database)
            .await?;
        let earlier: Option<(String, String)> =
            sqlx::query_as("SELECT request_sha256, answer FROM idempotency_keys WHERE key_id = $1")
                .bind(&once.key_id)
                .fetch_optional(&mut *database)
                .await?;
        match earlier {
            Some((request, answer)) if request == once.request_sha256 => {
                return Ok(Made::Before(self.keys.unseal(&once.key_id, &answer)?));
            }
            Some(_) => return Ok(Made::OtherRequest),
            None => {}
        }
        let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM idempotency_keys WHERE actor = $1")
            .bind(&once.actor)
            .fetch_one(&mut *database)
            .await?;
        if kept >= KEYS_PER_CALLER_MAX {
            return Ok(Made::TooManyKeys);
        }
        sqlx::query("INSERT INTO idempotency_keys (key_id, actor, request_sha256, answer, made_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(&once.key_id)
            .bind(&once.actor)
            .bind(&once.request_sha256)
            .bind(self.keys.seal(&once.key_id, &once.answer)?)
            .bind(nanos(now)?)
            .execute(database)
            .await?;
        Ok(Made::Now)
    }
}
