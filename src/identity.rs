//! The proof of identity: a signed request that lets its holder ask STS who signed it.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    error::Failure,
    names::{Partition, Region},
};

/// Signs the proof of identity. Nothing leaves the function here.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Signs the request that lets its holder ask STS who signed it.
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure>;
}

/// A request to sign: who it is for, and what it vouches for.
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
