//! Issuers of tokens, their keys, and which tokens were used.

use sqlx::{AnyConnection, AnyPool};
use time::OffsetDateTime;

use super::{
    error::{RecordError, StoreError},
    rows::{from_nanos, nanos, storable},
};
use crate::{
    names::AccountId,
    refusal::Reason,
    speaker::Speaker,
    token::{Attested, Issuer, Keys},
};

/// Whether a token may vouch for this account's notice: it is new, and its issuer is no other account's. Its issuer is this account's
/// from now on if a request vouched beside it.
pub(super) async fn admit(
    database: &mut AnyConnection,
    account: &AccountId,
    speaker: &Speaker,
    attested: &Attested,
    now: OffsetDateTime,
) -> Result<(), RecordError> {
    let used: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM notices WHERE token_id = $1")
        .bind(storable(&attested.id))
        .fetch_one(&mut *database)
        .await
        .map_err(StoreError::from)?;
    if used > 0 {
        return Err(Reason::Token.with("it was used before").into());
    }
    let issuer = &attested.bearer.issuer;
    let pinned = if speaker.id.is_empty() {
        owner(database, issuer).await?.is_none_or(|owner| owner == account.as_str())
    } else {
        pin(database, account, issuer).await?
    };
    if !pinned {
        return Err(Reason::Token.with("its issuer is another account's").into());
    }
    sqlx::query(
        "UPDATE issuers SET keys = $1, fetched_at = $2 WHERE account_id = $3 AND issuer = $4 AND keys IS DISTINCT FROM $1",
    )
    .bind(attested.keys.as_str())
    .bind(nanos(now).map_err(StoreError::from)?)
    .bind(account.as_str())
    .bind(issuer.as_str())
    .execute(database)
    .await
    .map_err(StoreError::from)?;
    Ok(())
}

/// The account that has this issuer.
async fn owner(database: &mut AnyConnection, issuer: &Issuer) -> Result<Option<String>, StoreError> {
    let owner = sqlx::query_scalar("SELECT account_id FROM issuers WHERE issuer = $1");
    Ok(owner.bind(issuer.as_str()).fetch_optional(database).await?)
}

/// Makes the issuer the account's, in place of the one before: an account gets another when it switches federation off and on again.
/// False if it is another account's.
pub(super) async fn pin(database: &mut AnyConnection, account: &AccountId, issuer: &Issuer) -> Result<bool, StoreError> {
    if owner(database, issuer).await?.is_some_and(|owner| owner != account.as_str()) {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO issuers (account_id, issuer) VALUES ($1, $2) ON CONFLICT (account_id) DO UPDATE SET issuer = excluded.issuer, \
         keys = NULL, fetched_at = NULL WHERE issuers.issuer <> excluded.issuer",
    )
    .bind(account.as_str())
    .bind(issuer.as_str())
    .execute(database)
    .await?;
    Ok(true)
}

/// An issuer's keys as they were last seen, if it is an account's.
pub(super) async fn keys(pool: &AnyPool, issuer: &Issuer) -> Result<Option<(Keys, OffsetDateTime)>, StoreError> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT keys, fetched_at FROM issuers WHERE issuer = $1 AND keys IS NOT NULL")
            .bind(issuer.as_str())
            .fetch_optional(pool)
            .await?;
    let Some((keys, at)) = row else { return Ok(None) };
    let at = from_nanos(at)?;
    Ok(Keys::read(&keys).map(|keys| (keys, at)))
}
