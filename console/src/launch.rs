//! A launch: what the vendor puts into one launch link. A token that signs notices, and the external id of the role.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::{
    names::{AccountId, StackId},
    refusal::Refusal,
    secret::Secret,
};

/// The default, and the limit, of how long an unused launch can be used. A day is enough to find the person who may
/// deploy; the token is visible in the stack's parameters, so it is not for longer than a week.
pub const EXPIRES_IN_HOURS_DEFAULT: u32 = 24;
/// See [`EXPIRES_IN_HOURS_DEFAULT`].
pub const EXPIRES_IN_HOURS_MAX: u32 = 7 * 24;

/// The token's key: as long as the output of its HMAC-SHA256. Standard Webhooks allows 24 to 64 bytes.
const TOKEN_BYTES: usize = 32;
/// Unguessable and unique for every launch (IAM user guide, "access to AWS accounts owned by third parties").
const EXTERNAL_ID_BYTES: usize = 16;
/// Only has to be unique.
const LAUNCH_ID_BYTES: usize = 8;

/// One launch as it is stored.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Ours, for people.
    pub id: String,
    /// `whsec_…`: signs every notice of the stack.
    pub token: Secret,
    /// Made by us and only by us (F-39).
    pub external_id: String,
    /// The only account that may use it, when the vendor knows it already.
    pub account: Option<AccountId>,
    /// From here on it connects no new stack.
    pub expires_at: OffsetDateTime,
    /// The one stack that it has connected.
    pub stack_id: Option<String>,
}

/// Fresh randomness, from the operating system in the binary and from anywhere in tests.
pub type Entropy = [u8; TOKEN_BYTES + EXTERNAL_ID_BYTES + LAUNCH_ID_BYTES];

impl Launch {
    /// A new launch, unused.
    pub fn new(entropy: &Entropy, account: Option<AccountId>, now: OffsetDateTime, hours: u32) -> Self {
        let (token, rest) = entropy.split_at(TOKEN_BYTES);
        let (external_id, id) = rest.split_at(EXTERNAL_ID_BYTES);
        Self {
            id: hex::encode(id),
            token: Secret::new(format!("whsec_{}", STANDARD.encode(token))),
            external_id: hex::encode(external_id),
            account,
            expires_at: now + Duration::hours(i64::from(hours.min(EXPIRES_IN_HOURS_MAX))),
            stack_id: None,
        }
    }

    /// Whether this launch may speak for a stack in this account: it is bound to it, or free and fresh.
    ///
    /// # Errors
    /// Used by another stack, expired, or made for another account.
    pub fn admit(&self, stack: &StackId, now: OffsetDateTime) -> Result<(), Refusal> {
        if self.account.as_ref().is_some_and(|account| *account != stack.account) {
            return Err(Refusal::LaunchOfOtherAccount(stack.account.clone()));
        }
        match &self.stack_id {
            Some(bound) if bound == stack.as_str() => Ok(()),
            Some(_) => Err(Refusal::LaunchUsed),
            None if now >= self.expires_at => Err(Refusal::LaunchExpired),
            None => Ok(()),
        }
    }

    /// What the vendor needs for the launch link. The only place where the token leaves this program.
    pub fn disclose(&self) -> Disclosure<'_> {
        Disclosure {
            launch_id: &self.id,
            token: self.token.expose(),
            external_id: &self.external_id,
            account_id: self.account.as_ref().map(AccountId::as_str),
            expires_at: self.expires_at,
        }
    }
}

/// The answer to the making of a launch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disclosure<'a> {
    launch_id: &'a str,
    token: &'a str,
    external_id: &'a str,
    account_id: Option<&'a str>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}
