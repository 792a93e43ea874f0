//! The keys of accounts' token issuers, fetched from AWS and kept.
//!
//! A set that was fetched is used for as long as a newer one cannot be had: AWS announces a key before it signs with it, and what it took
//! back is rare. Whoever has a launch token can name issuers, so everything here is bounded.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use reqwest::redirect;
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::timeout,
};

use crate::token::{Issuer, Keys};

/// Waiting for a place among those that fetch, and the fetch: a stack waits ten seconds for its answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);
/// A set has a few keys of up to 1 KB.
const SET_BYTES_MAX: usize = 32 * 1024;
/// AWS's servers answer from caches; more at once than this is not what stacks do.
const FETCHES_MAX: usize = 8;
/// Issuers in memory. Those of accounts that proved themselves are in the database, too.
const ISSUERS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// How long a set counts as the newest.
const FRESH_FOR: time::Duration = time::Duration::hours(6);
/// Between two fetches from one issuer, whatever tokens say of its keys.
const PAUSE: time::Duration = time::Duration::seconds(10);

/// What is known of one issuer.
#[derive(Debug, Default)]
struct Known {
    keys: Option<(Keys, OffsetDateTime)>,
    tried_at: Option<OffsetDateTime>,
}

/// The client, and what it has fetched.
#[derive(Debug, Clone)]
pub struct Issuers {
    http: reqwest::Client,
    known: Arc<Mutex<LruCache<Issuer, Arc<AsyncMutex<Known>>>>>,
    fetches: Arc<Semaphore>,
}

impl Issuers {
    /// Trusts the system's certificate authorities, or those in `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// None could be read.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Fails when one was installed before: then that one is used, and it can only be ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            reqwest::Client::builder().redirect(redirect::Policy::none()).https_only(true).timeout(FETCH_TIMEOUT).build()?;
        Ok(Self::through(http))
    }

    /// Reaches them through a client of the caller's, who answers for its limits, and that it follows no redirect.
    pub fn through(http: reqwest::Client) -> Self {
        let known = Arc::new(Mutex::new(LruCache::new(ISSUERS_MAX)));
        Self { http, known, fetches: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }

    /// The issuer's keys, this one among them if it has it; None where there are none to be had. `stored` is what the database has.
    pub async fn keys(
        &self,
        issuer: &Issuer,
        key_id: &str,
        stored: Option<(Keys, OffsetDateTime)>,
        now: OffsetDateTime,
    ) -> Option<Keys> {
        let known = {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.get_or_insert(issuer.clone(), || Arc::new(AsyncMutex::new(Known { keys: stored, tried_at: None }))))
        };
        // Who comes while the set is fetched waits for it.
        let mut known = known.lock().await;
        let is_good = known.keys.as_ref().is_some_and(|(keys, at)| keys.has(key_id) && now - *at < FRESH_FOR);
        if !is_good && known.tried_at.is_none_or(|at| now - at >= PAUSE) {
            known.tried_at = Some(now);
            match timeout(FETCH_TIMEOUT, self.fetch(issuer)).await.ok().flatten() {
                Some(keys) => known.keys = Some((keys, now)),
                None => tracing::warn!(issuer = issuer.as_str(), "the issuer's keys could not be fetched"),
            }
        }
        // A set that lacks the key says something of the token only where it is the newest.
        let says_all = |at: OffsetDateTime| known.tried_at.is_none_or(|tried_at| tried_at == at);
        known.keys.as_ref().filter(|(keys, at)| keys.has(key_id) || says_all(*at)).map(|(keys, _)| keys.clone())
    }

    async fn fetch(&self, issuer: &Issuer) -> Option<Keys> {
        let _place = self.fetches.acquire().await.ok()?;
        let mut answer = self.http.get(issuer.keys_url()).send().await.ok()?;
        if answer.status() != http::StatusCode::OK {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Keys::read(std::str::from_utf8(&body).ok()?)
    }
}
