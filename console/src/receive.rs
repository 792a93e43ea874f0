//! One notice in, one answer out: read, verify, look up, check the proof, ask AWS, store.

use http::HeaderMap;
use time::OffsetDateTime;

use crate::{
    Console,
    document::Document,
    ledger::{self, Answer},
    limits::Prover,
    notice::{Hint, Kind, Notice},
    proof,
    refusal::{Reason, Refusal},
    routes::Trace,
    signature::SignatureHeaders,
    store::{RecordError, StoreError},
};

impl Console {
    /// Takes one notice, or says why not. A refused notice leaves no trace but its log line.
    ///
    /// # Errors
    /// Every [`Refusal`] except those about reading the request.
    pub(crate) async fn receive(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        trace: &mut Trace,
        now: OffsetDateTime,
    ) -> Result<Answer, Refusal> {
        let signature_headers = SignatureHeaders::read(headers)?;
        let document = Document::read(body)?;
        let hint = Hint::read(&document)?;
        trace.stack = hint.stack_id.parse().ok();
        let launches = self.store.launches_for(&hint).await.map_err(storage)?;
        let launch = signature_headers.verify(body, &launches, now)?;
        trace.launch_id = Some(launch.id.clone());
        let notice = Notice::parse(&document, &signature_headers.id, now)?;
        let sts_request = proof::check(&notice, &self.trust, &self.authorities, now)?;
        let known = self.store.known(&notice, launch, now).await.map_err(storage)?;
        if let Some(answer) = ledger::admit(&notice, &known, now)? {
            return Ok(answer);
        }
        let prover =
            Prover { launch_id: launch.id.clone(), network: trace.network, access_key_id: sts_request.access_key_id.clone() };
        self.limits.admit(&prover, now)?;
        let identity = {
            let _place = self.limits.place(&launch.id).await?;
            self.sts.ask(&sts_request).await
        };
        let speaker = identity.and_then(|identity| identity.speaker(&notice)).inspect_err(|refusal| {
            if matches!(refusal.reason, Reason::StsRefused | Reason::Identity) {
                self.limits.count_bad_proof(prover, now);
            }
        })?;
        if notice.position.kind == Kind::Unknown {
            tracing::info!(
                "notice.id" = notice.position.id,
                "stack.id" = notice.stack.as_str(),
                "notice of an unknown type ignored"
            );
            return Ok(Answer::Ignored);
        }
        match self.store.record(&notice, launch, &speaker, now).await {
            Ok(answer) => {
                self.announced.notify_one();
                tracing::info!(
                    "notice.id" = notice.position.id,
                    "notice.type" = notice.position.kind.as_str(),
                    "stack.id" = notice.stack.as_str(),
                    "launch.id" = launch.id,
                    "identity" = speaker.arn,
                    "notice verified and stored"
                );
                Ok(answer)
            }
            Err(RecordError::Refused(refusal)) => Err(refusal),
            Err(RecordError::Store(error)) => Err(storage(error)),
        }
    }
}

/// The customer learns that it was us; the log learns what it was.
fn storage(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
    Reason::Storage.into()
}
