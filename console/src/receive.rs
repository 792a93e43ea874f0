//! One notice in, one answer out: read, verify, look up, check the proof, ask AWS, store.

use http::HeaderMap;
use time::OffsetDateTime;

use crate::{
    Console,
    ledger::{self, Verdict},
    notice::{Hint, Notice},
    proof,
    refusal::Refusal,
    signature::Claim,
    store::{RecordError, StoreError},
};

impl Console {
    /// Takes one notice, or says why not. A refused notice leaves no trace but its log line.
    ///
    /// # Errors
    /// Every [`Refusal`] except those about reading the request.
    pub async fn receive(&self, headers: &HeaderMap, body: &[u8], now: OffsetDateTime) -> Result<Verdict, Refusal> {
        let claim = Claim::read(headers)?;
        let launches = self.store.launches_for(&Hint::read(body)?).await.map_err(storage)?;
        let launch = claim.verify(body, &launches, now)?;
        let notice = Notice::parse(body, &claim.id, now)?;
        let forward = proof::check(&notice, &self.trust, &self.authority, now)?;
        let known = self.store.known(&notice, launch).await.map_err(storage)?;
        if let Some(verdict) = ledger::admit(&notice, &known, now)? {
            return Ok(verdict);
        }
        let identity = self.sts.ask(&forward).await?;
        identity.confirm(&notice)?;
        match self.store.record(&notice, launch, &identity.arn, now).await {
            Ok(verdict) => {
                tracing::info!(
                    "notice.id" = notice.mark.id,
                    "notice.type" = notice.mark.kind.as_str(),
                    "stack.id" = notice.stack.as_str(),
                    "launch.id" = launch.id,
                    "identity" = identity.arn,
                    "notice verified and stored"
                );
                Ok(verdict)
            }
            Err(RecordError::Refused(refusal)) => Err(refusal),
            Err(RecordError::Store(error)) => Err(storage(error)),
        }
    }
}

/// The customer learns that it was us; the log learns what it was.
fn storage(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
    Refusal::Storage
}
