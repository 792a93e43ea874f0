//! The proofs of identity: a signed request that lets its holder ask STS who signed it, and a token in which STS says it.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    error::{Code, Failure},
    names::{Partition, Region},
};

/// Makes the proofs of identity.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Signs the request that lets its holder ask STS who signed it. Nothing leaves the function here.
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure>;

    /// Asks STS for a token.
    async fn token(&self, request: &ProofRequest) -> Result<IdentityToken, NoToken>;
}

/// A kind of proof, as a notice names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// [`Identity::prove`]
    Request,
    /// [`Identity::token`]
    Token,
}

/// Which proofs the customer wants to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityProof {
    /// The request, and a token where the account has outbound identity federation.
    Auto,
    /// The request alone.
    Request,
    /// A token alone: no signed request leaves the account.
    Token,
}

impl IdentityProof {
    /// The property's words, the default first.
    pub const WORDS: [(&str, Self); 3] = [("Auto", Self::Auto), ("Request", Self::Request), ("Token", Self::Token)];

    /// The proofs to send, in their order. They are part of what each proof covers, so that none can be taken away.
    pub fn kinds(self) -> &'static [ProofKind] {
        match self {
            Self::Auto => &[ProofKind::Request, ProofKind::Token],
            Self::Request => &[ProofKind::Request],
            Self::Token => &[ProofKind::Token],
        }
    }

    /// The proofs to send where STS made no token, whyever: the request is as good a proof, and the vendor sees that it came alone.
    ///
    /// # Errors
    /// [`Code::IdentityTokenMissing`] where the customer wants nothing else to leave the account.
    pub fn kinds_without(self, why: &NoToken) -> Result<&'static [ProofKind], Failure> {
        match self {
            Self::Auto | Self::Request => Ok(&[ProofKind::Request]),
            Self::Token => Err(Failure::new(Code::IdentityTokenMissing, format!("AWS STS made no token: {why}"))),
        }
    }
}

/// Why there is no token: AWS's code, or what happened to the call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NoToken(pub String);

/// A token that STS made (`sts:GetWebIdentityToken`): good for one vendor, one event and some minutes, and printed redacted.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct IdentityToken(String);

impl IdentityToken {
    /// The one in an answer of STS.
    pub fn in_answer(xml: &str) -> Option<Self> {
        let (_, rest) = xml.split_once("<WebIdentityToken>")?;
        let (token, _) = rest.split_once("</WebIdentityToken>")?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (!token.is_empty() && token.bytes().all(legal)).then(|| Self(token.to_owned()))
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityToken([redacted])")
    }
}

/// What to prove: to whom, and of which event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofRequest {
    /// `x-hawser-audience`: the only host that may accept the proof.
    pub audience: String,
    /// `x-hawser-event-sha256`: the event it vouches for, and no other.
    pub event_sha256: String,
    /// The STS endpoint's partition.
    pub partition: Partition,
    /// The STS endpoint's Region.
    pub region: Region,
    /// Signing time; STS accepts the signature for 15 minutes.
    pub now: OffsetDateTime,
}

/// A signed `sts:GetCallerIdentity` request for the vendor to forward: never credentials, but replayable for minutes,
/// so it prints redacted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `POST`
    pub method: String,
    /// The regional STS endpoint.
    pub url: String,
    /// Every header to send, by lowercase name; all but `authorization` are signed.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("url", &self.url).finish_non_exhaustive()
    }
}
