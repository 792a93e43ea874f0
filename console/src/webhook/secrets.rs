//! The keys that sign what is sent: one of now, and those of before until they end, so that a receiver may change its own at any time
//! in between.

use base64::{Engine, engine::general_purpose::STANDARD};
use standardwebhooks::Webhook;
use time::{Duration, OffsetDateTime};

use super::event::Event;
use crate::secret::Secret;

/// As long as the output of its HMAC-SHA256.
pub const SECRET_BYTES: usize = 32;
/// What Standard Webhooks allows.
const SECRET_BYTES_ALLOWED: std::ops::RangeInclusive<usize> = 24..=64;
const PREFIX: &str = "whsec_";

/// With each one valid, the signature's header grows; receivers, our own among them, read four.
pub const SECRETS_MAX: usize = 4;

/// How long the secret of before counts as well: a day, for people who deploy once a day.
pub const OVERLAP_DEFAULT: Duration = Duration::hours(24);
/// Longer, and nobody remembers that it has to be changed.
pub const OVERLAP_MAX: Duration = Duration::days(7);

/// `whsec_` and the key in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret(Secret);

impl SigningSecret {
    /// From random bytes.
    pub fn new(bytes: &[u8; SECRET_BYTES]) -> Self {
        Self(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
    }

    /// The text, for storing it and for showing it once.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Reads what was stored, or what the operator brings from elsewhere.
    ///
    /// # Errors
    /// Standard Webhooks allows no such secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let key = text.strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
        match key {
            Some(key) if SECRET_BYTES_ALLOWED.contains(&key.len()) => Ok(Self(Secret::new(text))),
            _ => Err("a signing secret is `whsec_` and 24 to 64 bytes in base64"),
        }
    }
}

/// A secret of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    pub secret: SigningSecret,
    /// From here on it signs nothing.
    pub valid_until: OffsetDateTime,
}

/// All secrets of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecrets {
    pub current: SigningSecret,
    /// The newest first.
    pub previous: Vec<PreviousSecret>,
}

/// Why a secret is not replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefused {
    #[error("{SECRETS_MAX} secrets are valid already; wait until one of them ends, or replace it without overlap")]
    TooMany,
    #[error("the overlap is 0 to 7 days")]
    Overlap,
    #[error("this secret is valid already")]
    Same,
}

impl SigningSecrets {
    /// Of a new endpoint.
    pub fn new(current: SigningSecret) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// Replaces the secret. The one of before counts as well for a while; without overlap, as after a leak, none of before counts.
    ///
    /// # Errors
    /// See [`RotationRefused`].
    pub fn rotate(&self, next: SigningSecret, overlap: Duration, now: OffsetDateTime) -> Result<Self, RotationRefused> {
        if overlap.is_negative() || overlap > OVERLAP_MAX {
            return Err(RotationRefused::Overlap);
        }
        if overlap.is_zero() {
            return if next == self.current { Err(RotationRefused::Same) } else { Ok(Self::new(next)) };
        }
        let mut previous: Vec<_> = self.previous.iter().filter(|previous| previous.valid_until > now).cloned().collect();
        if next == self.current || previous.iter().any(|previous| previous.secret == next) {
            return Err(RotationRefused::Same);
        }
        if previous.len() + 2 > SECRETS_MAX {
            return Err(RotationRefused::TooMany);
        }
        previous.insert(0, PreviousSecret { secret: self.current.clone(), valid_until: now + overlap });
        Ok(Self { current: next, previous })
    }

    /// Those that sign now, the current one first.
    pub fn valid(&self, now: OffsetDateTime) -> impl Iterator<Item = &SigningSecret> {
        let previous = self.previous.iter().filter(move |previous| previous.valid_until > now).map(|previous| &previous.secret);
        std::iter::once(&self.current).chain(previous)
    }

    /// The value of `webhook-signature`: one signature for each valid secret, separated by spaces, as Standard Webhooks says. The time is
    /// the attempt's: a receiver refuses one that is five minutes old, and the eighth attempt comes a day after the first.
    pub fn sign(&self, event: &Event, now: OffsetDateTime) -> String {
        let sign = |secret: &SigningSecret| {
            Webhook::new(secret.expose())
                .and_then(|key| key.sign(&event.id().to_string(), now.unix_timestamp(), event.payload().as_bytes()))
                .ok()
        };
        self.valid(now).filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}
