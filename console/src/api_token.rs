//! Bearer tokens of the API: what one may do, for whom, and until when. Of the token itself only a hash is stored.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::{
    access::{Access, Actor, Customers, Scope},
    names::{CustomerId, is_unseen},
    secret::Secret,
};

/// How a token begins: scanners of source code find one by it.
pub const PREFIX: &str = "hwt_";
/// Nobody guesses it, so its hash needs no salt.
const TOKEN_BYTES: usize = 32;
/// Only has to be unique.
const TOKEN_ID_BYTES: usize = 8;
/// A quarter: a program's token is replaced as often as its certificate.
pub const EXPIRES_IN_DAYS_DEFAULT: u32 = 90;
/// A year, and a day for whoever replaces it on the same date.
pub const EXPIRES_IN_DAYS_MAX: u32 = 366;
/// A name tells people whose the token is.
pub const NAME_CHARS_MAX: usize = 128;

/// Fresh randomness for a token and its id.
pub type Entropy = [u8; TOKEN_BYTES + TOKEN_ID_BYTES];

/// One token as it is stored and listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken {
    /// Names it in the history and when it is revoked; not a secret.
    pub token_id: String,
    /// For people.
    pub name: String,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// The only customer whose data it sees; null: all customers.
    pub customer_id: Option<CustomerId>,
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// What somebody wants a token for.
#[derive(Debug, Clone)]
pub struct Order {
    pub name: String,
    pub scopes: BTreeSet<Scope>,
    pub customer_id: Option<CustomerId>,
    pub expires_in_days: u32,
}

impl ApiToken {
    /// A new token, and what its holder is given once.
    ///
    /// # Errors
    /// What is wrong with the order.
    pub fn new(entropy: &Entropy, order: Order, now: OffsetDateTime) -> Result<(Self, Secret), String> {
        let Order { name, scopes, customer_id, expires_in_days } = order;
        if !is_label(&name, NAME_CHARS_MAX) {
            return Err(format!("`name` must have 1 to {NAME_CHARS_MAX} characters that can be seen"));
        }
        if scopes.is_empty() {
            return Err("`scopes` must name one".to_owned());
        }
        if !(1..=EXPIRES_IN_DAYS_MAX).contains(&expires_in_days) {
            return Err(format!("`expiresInDays` must be between 1 and {EXPIRES_IN_DAYS_MAX}"));
        }
        let (token, id) = entropy.split_at(TOKEN_BYTES);
        let made = Self {
            token_id: hex::encode(id),
            name,
            scopes,
            customer_id,
            made_at: now,
            expires_at: now + Duration::days(i64::from(expires_in_days)),
            last_used_at: None,
            revoked_at: None,
        };
        Ok((made, Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token)))))
    }

    /// Who asks with it, within which data.
    pub fn access(&self) -> Access {
        let customers = self.customer_id.clone().map_or(Customers::All, Customers::One);
        Access { actor: Actor::Token(self.token_id.clone()), customers }
    }
}

/// What is stored of a token, and what it is looked up by.
pub fn hash(token: &Secret) -> String {
    hex::encode(Sha256::digest(token.expose()))
}

/// Whether people can read it as a name: not empty, not too long, nothing in it that is not seen.
pub fn is_label(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(|c| c.is_control() || is_unseen(c))
}
