//! What Hawser needs of the world, in its own words: AWS, the vendor, where CloudFormation waits, a signer, a clock and whoever follows.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use thiserror::Error;
use time::OffsetDateTime;
use url::Url;

use crate::{
    aws::{Cloud, Stacks},
    identity::Identity,
};

/// Everything outside, as the handler is given it.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// AWS, by Region.
    pub cloud: &'a dyn Cloud,
    /// CloudFormation, asked about the stack itself.
    pub stacks: &'a dyn Stacks,
    /// The signer of the proof of identity.
    pub identity: &'a dyn Identity,
    pub vendor: &'a dyn Vendor,
    /// Where responses are uploaded.
    pub mailbox: &'a dyn Mailbox,
    pub clock: &'a dyn Clock,
    /// Whoever follows the run.
    pub progress: &'a dyn Progress,
}

/// Whoever follows a run: told of each thing as it happens.
pub trait Progress: Send + Sync {
    /// One thing that was done, in words.
    fn done(&self, what: &str);
    /// AWS denied this action, after all tries.
    fn denied(&self, _action: &'static str) {}
}

/// Follows nothing: in a function, the log does.
#[derive(Debug, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn done(&self, _what: &str) {}
}

/// What came back from the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorResponse {
    pub status: u16,
    /// `Retry-After`, when it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The first bytes of the body, at most [`VENDOR_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// How much of a vendor's answer is read: room for an id and a sentence, and no more memory than that.
pub const VENDOR_BODY_BYTES_MAX: usize = 16 * 1024;

/// No answer at all: the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoResponse {
    /// It may pass.
    #[error("{0}")]
    Failed(String),
    /// The certificate of whoever answers does not verify. It will not until somebody changes it.
    #[error("{0}")]
    Untrusted(String),
}

/// The vendor's end.
#[async_trait]
pub trait Vendor: Send + Sync {
    /// One POST, redirects not followed, ended after `limit`.
    async fn post(
        &self,
        url: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse>;
    /// Opens a connection to the host ahead of need, and waits for nothing.
    fn open_connection(&self, _url: &Url) {}
}

/// Where CloudFormation waits for responses.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// One PUT with an empty Content-Type and an exact Content-Length, ended after `limit`; the status.
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse>;
    /// Opens a connection to the host ahead of need, and waits for nothing.
    fn open_connection(&self, _url: &Url) {}
}

/// Time, the only source of it in the core.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> OffsetDateTime;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}
