//! Requests that may be repeated, by the header `Idempotency-Key`.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::refusal::{ApiCode, ApiRefusal};
use crate::{
    access::Access,
    secret::Secret,
    store::{Made, Once},
};

const HEADER: &str = "idempotency-key";
/// Longer than a UUID or a hash.
const KEY_BYTES_MAX: usize = 128;
/// Keys are forgotten one by one, after a day each.
const RETRY_AFTER_SECONDS: u64 = 60 * 60;

/// The key of a request, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiRefusal> {
    let mut all = headers.get_all(HEADER).iter();
    let (Some(value), other) = (all.next(), all.next()) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if is_key && other.is_none() { Ok(Some(key.to_owned())) } else { Err(ApiCode::IdempotencyKeyInvalid.into()) }
}

/// A request of this caller's with a key, and the answer should it be the first.
pub(super) fn once(access: &Access, operation: &str, key: &str, body: &[u8], answer: &Secret) -> Once {
    let actor = access.actor.to_string();
    // No part has the separator in it.
    let key_id = hex::encode(Sha256::digest(format!("{actor}\n{operation}\n{key}")));
    Once { key_id, actor, request_sha256: hex::encode(Sha256::digest(body)), answer: answer.clone() }
}

/// The answer to a request that makes something: it has what no other answer has, so nobody keeps it on the way.
pub(super) fn created(made: Made, answer: Secret) -> Result<Response, ApiRefusal> {
    let answer = match made {
        Made::Now => answer,
        Made::Before(answer) => answer,
        Made::OtherRequest => return Err(ApiCode::IdempotencyKeyReused.into()),
        Made::TooManyKeys => return Err(ApiCode::TooManyIdempotencyKeys.with("").retry_after(RETRY_AFTER_SECONDS)),
    };
    let mut response = Response::new(answer.expose().to_owned().into());
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
