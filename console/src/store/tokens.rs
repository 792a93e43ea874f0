//! Tokens of the API.

use serde_json::json;
use sqlx::FromRow;
use time::{Duration, OffsetDateTime};

use super::{
    error::{RowError, StoreError},
    history::record,
    lists::{Listed, Page, Selection},
    once::{Made, Once},
    open::Store,
    rows::{from_nanos, nanos, read, storable, write},
};
use crate::{
    access::Access,
    api_token::{self, ApiToken},
    names::CustomerId,
    secret::Secret,
};

/// To know whether a token is used at all needs no write for each request.
const LAST_USE_KEPT_EVERY: Duration = Duration::MINUTE;

#[derive(FromRow)]
struct TokenRow {
    sequence: i64,
    token_id: String,
    name: String,
    scopes: String,
    customer_id: Option<String>,
    made_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<TokenRow> for ApiToken {
    type Error = RowError;

    fn try_from(row: TokenRow) -> Result<Self, RowError> {
        Ok(Self {
            token_id: row.token_id,
            name: row.name,
            scopes: read(&row.scopes)?,
            customer_id: row.customer_id.map(|id| id.parse::<CustomerId>()).transpose().map_err(RowError)?,
            made_at: from_nanos(row.made_at)?,
            expires_at: from_nanos(row.expires_at)?,
            last_used_at: row.last_used_at.map(from_nanos).transpose()?,
            revoked_at: row.revoked_at.map(from_nanos).transpose()?,
        })
    }
}

impl Store {
    /// Stores a new token, as a hash, once where its request has an idempotency key.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_token(
        &self,
        access: &Access,
        token: &ApiToken,
        text: &Secret,
        once: Option<&Once>,
    ) -> Result<Made, StoreError> {
        let customer_id = token.customer_id.as_ref().map_or("", CustomerId::as_str);
        let mut transaction = self.database.begin(once.map_or(customer_id, |once| &once.key_id)).await?;
        if let Some(once) = once {
            let made = self.once(&mut transaction, once, token.made_at).await?;
            if made != Made::Now {
                return Ok(made);
            }
        }
        sqlx::query(
            "INSERT INTO api_tokens (token_id, token_sha256, name, scopes, customer_id, made_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&token.token_id)
        .bind(api_token::hash(text))
        .bind(storable(&token.name))
        .bind(write(&token.scopes)?)
        .bind(token.customer_id.as_ref().map(CustomerId::as_str))
        .bind(nanos(token.made_at)?)
        .bind(nanos(token.expires_at)?)
        .execute(&mut *transaction)
        .await?;
        let data = json!({"tokenId": token.token_id, "name": token.name, "scopes": token.scopes});
        record(&mut transaction, ("", customer_id), access.actor.clone(), "token.made", data, token.made_at).await?;
        transaction.commit().await?;
        Ok(Made::Now)
    }

    /// The token that has this hash, whoever's it is: it says itself what it may see. That it was used is kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn use_token(&self, text: &Secret, now: OffsetDateTime) -> Result<Option<ApiToken>, StoreError> {
        let row: Option<TokenRow> = sqlx::query_as("SELECT * FROM api_tokens WHERE token_sha256 = $1")
            .bind(api_token::hash(text))
            .fetch_optional(&self.database.pool)
            .await?;
        let Some(token) = row.map(ApiToken::try_from).transpose()? else { return Ok(None) };
        let is_good = token.revoked_at.is_none() && now < token.expires_at;
        if is_good && token.last_used_at.is_none_or(|at| at + LAST_USE_KEPT_EVERY <= now) {
            sqlx::query("UPDATE api_tokens SET last_used_at = $1 WHERE token_id = $2")
                .bind(nanos(now)?)
                .bind(&token.token_id)
                .execute(&self.database.pool)
                .await?;
        }
        Ok(Some(token))
    }

    /// Tokens in the order they were made.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens(&self, access: &Access, page: Page) -> Result<Listed<ApiToken>, StoreError> {
        let mut selection = Selection::new("SELECT t.* FROM api_tokens t");
        selection.within(access, "t.customer_id");
        let Listed { items, next } = selection.page(self, ("t.sequence", false), page, |row: &TokenRow| row.sequence).await?;
        Ok(Listed { items: items.into_iter().map(ApiToken::try_from).collect::<Result<_, _>>()?, next })
    }

    /// Ends a token at once. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke_token(&self, access: &Access, token_id: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let customer_id: Option<(Option<String>,)> = sqlx::query_as("SELECT customer_id FROM api_tokens WHERE token_id = $1")
            .bind(storable(token_id))
            .fetch_optional(&self.database.pool)
            .await?;
        let Some((customer_id,)) = customer_id else { return Ok(false) };
        let customer_id = customer_id.unwrap_or_default();
        if !access.customers.include(&customer_id) {
            return Ok(false);
        }
        let mut transaction = self.database.begin(&customer_id).await?;
        let revoked = sqlx::query("UPDATE api_tokens SET revoked_at = $1 WHERE token_id = $2 AND revoked_at IS NULL")
            .bind(nanos(now)?)
            .bind(token_id)
            .execute(&mut *transaction)
            .await?;
        if revoked.rows_affected() > 0 {
            let data = json!({"tokenId": token_id});
            record(&mut transaction, ("", &customer_id), access.actor.clone(), "token.revoked", data, now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
