//! Requests that may be repeated, by the header `Idempotency-Key`.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::refusal::{ApiCode, ApiRefusal};
use crate::{access::Access, secret::Secret, store::Once};

const HEADER: &str = "idempotency-key";
/// Longer than a UUID or a hash.
const KEY_BYTES_MAX: usize = 128;
/// Keys are forgotten one by one, after a day each.
pub(super) const RETRY_AFTER_SECONDS: u64 = 60 * 60;

/// The key of a request, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiRefusal> {
    let mut all = headers.get_all(HEADER).iter();
    let (Some(value), other) = (all.next(), all.next()) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if is_key && other.is_none() { Ok(Some(key.to_owned())) } else { Err(ApiCode::IdempotencyKeyInvalid.into()) }
}

/// A request of this caller's with a key, and the answer should it be the first.
pub(super) fn once(access: &Access, operation: &str, key: &str, body: &[u8], answer: Secret) -> Once {
    let actor = access.actor.to_string();
    // No part has the separator in it.
    let key_id = hex::encode(Sha256::digest(format!("{actor}\n{operation}\n{key}")));
    Once { key_id, actor, request_sha256: hex::encode(Sha256::digest(body)), answer }
}
