//! The notice's signature, after the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body` with the
//! launch token. It says which launch the sender has; who the sender is, the proof says.

use http::HeaderMap;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use crate::{
    launch::Launch,
    refusal::{Reason, Refusal},
    secret::Secret,
};

/// The specification's advice, and its libraries' fixed value: five minutes either way.
pub const TOLERANCE_SECONDS: u64 = 5 * 60;

/// Signatures in one header: the specification allows several while a key changes; more than a few is not that.
const SIGNATURES_MAX: usize = 4;

/// Keys tried for one notice: those of its stack and the one of its external ID. While a launch is replaced a stack has two; one that
/// was given more than this has to be looked at by a person.
pub const KEYS_PER_NOTICE_MAX: usize = 4;
/// The key in place of one that is not there; nothing that it signed counts.
const UNUSED_TOKEN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What the three headers say.
#[derive(Debug, Clone)]
pub struct SignatureHeaders {
    /// `webhook-id`.
    pub id: String,
    timestamp: i64,
    signatures: Vec<Secret>,
}

impl SignatureHeaders {
    /// Reads the headers; each must be there exactly once.
    ///
    /// # Errors
    /// One is missing, comes twice or is not text, or the timestamp is not a number.
    pub fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let one = |name: &str, why: &'static str| {
            let mut values = headers.get_all(name).iter();
            match (values.next().map(|v| v.to_str()), values.next()) {
                (Some(Ok(text)), None) => Ok(text),
                _ => Err(Reason::Request.with(why)),
            }
        };
        let id = one(HEADER_WEBHOOK_ID, "header `webhook-id` must be there once")?;
        let timestamp = one(HEADER_WEBHOOK_TIMESTAMP, "header `webhook-timestamp` must be there once")?;
        let signatures = one(HEADER_WEBHOOK_SIGNATURE, "header `webhook-signature` must be there once")?;
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        let timestamp = timestamp.parse().ok().filter(|_| digits);
        Ok(Self {
            id: id.to_owned(),
            timestamp: timestamp.ok_or_else(|| Reason::Request.with("header `webhook-timestamp` must be Unix seconds"))?,
            signatures: signatures.split(' ').take(SIGNATURES_MAX).map(Secret::new).collect(),
        })
    }

    /// The launch whose token signed this body, now.
    ///
    /// # Errors
    /// None of them did, or the signature is too old or too new.
    pub fn verify<'a>(&self, body: &[u8], launches: &'a [Launch], now: OffsetDateTime) -> Result<&'a Launch, Refusal> {
        // As many computations whatever is known, so that the time tells nobody which stacks and external IDs are.
        let nobody = Secret::new(UNUSED_TOKEN);
        let mut signer = None;
        for at in 0..KEYS_PER_NOTICE_MAX {
            let launch = launches.get(at);
            if self.is_signed_by(launch.map_or(&nobody, |launch| &launch.token), body) {
                signer = signer.or(launch);
            }
        }
        let launch = signer.ok_or(Reason::SignatureUnknown)?;
        // After the signature: only who has a token learns about our clock.
        let age = now.unix_timestamp().abs_diff(self.timestamp);
        if age > TOLERANCE_SECONDS { Err(Reason::Stale.with(format!("it is {age} seconds away"))) } else { Ok(launch) }
    }

    fn is_signed_by(&self, token: &Secret, body: &[u8]) -> bool {
        // The crate's own `verify` reads the system's clock; its `sign` is the same computation without one.
        let expected = Webhook::new(token.expose()).and_then(|key| key.sign(&self.id, self.timestamp, body));
        let Ok(expected) = expected else { return false };
        self.signatures.iter().any(|given| given.expose().as_bytes().ct_eq(expected.as_bytes()).into())
    }
}
