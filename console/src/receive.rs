//! One notice in, one answer out: read, verify, look up, check the proof, ask AWS, store.

use http::HeaderMap;
use time::OffsetDateTime;

use crate::{
    Console,
    document::Document,
    ledger::{self, Answer},
    limits::Prover,
    notice::{Hint, Kind, Notice},
    proof::{self, StsRequest},
    refusal::{Reason, Refusal},
    routes::Trace,
    signature::SignatureHeaders,
    speaker::Speaker,
    store::{RecordError, StoreError},
    token::{self, Attested},
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
        let token = notice.token.as_ref().map(token::Unverified::read).transpose()?;
        let sts_request = match (&notice.proof, &token) {
            (None, Some(_)) => None,
            _ => Some(proof::check(&notice, &self.trust, &self.authorities, now)?),
        };
        if self.requires_token && token.is_none() {
            return Err(Reason::TokenRequired.into());
        }
        let known = self.store.known(&notice, launch, now).await.map_err(storage)?;
        if let Some(answer) = ledger::admit(&notice, &known, now)? {
            return Ok(answer);
        }
        let signer = match (&sts_request, &token) {
            (Some(request), _) => request.access_key_id.clone(),
            (None, token) => token.as_ref().map(|token| token.issuer.as_str().to_owned()).unwrap_or_default(),
        };
        let prover = Prover { launch_id: launch.id.clone(), network: trace.network, signer };
        self.limits.admit(&prover, now)?;
        let proven = {
            let _place = self.limits.place(&prover, now).await?;
            self.prove(&notice, sts_request.as_ref(), token.as_ref(), now).await
        };
        let (speaker, attested) = proven.inspect_err(|refusal| {
            if matches!(refusal.reason, Reason::StsRefused | Reason::Identity | Reason::Token) {
                self.limits.count_bad_proof(prover.clone(), now);
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
        match self.store.record(&notice, launch, (&speaker, attested.as_ref()), now).await {
            Ok(answer) => {
                // What changed nothing could be sent again and again, to make up for bad ones.
                if matches!(answer, Answer::Accepted { .. }) {
                    self.limits.count_good_proof(&prover);
                }
                self.signal.wake();
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
            Err(RecordError::Refused(refusal)) => {
                if matches!(refusal.reason, Reason::Speaker | Reason::Token | Reason::LaunchOfOtherOrganization) {
                    self.limits.count_bad_proof(prover, now);
                }
                Err(refusal)
            }
            Err(RecordError::Store(error)) => Err(storage(error)),
        }
    }

    /// Asks AWS about the request and checks the token, of which there is at least one: every proof that is there has to hold. A token
    /// whose issuer's keys cannot be had is as none, unless there is nothing else.
    async fn prove(
        &self,
        notice: &Notice,
        sts_request: Option<&StsRequest>,
        token: Option<&token::Unverified>,
        now: OffsetDateTime,
    ) -> Result<(Speaker, Option<Attested>), Refusal> {
        let by_request = async {
            let Some(sts_request) = sts_request else { return Ok(None) };
            self.sts.ask(sts_request).await?.speaker(notice).map(Some)
        };
        let by_token = async {
            let Some(token) = token else { return Ok(None) };
            let stored = self.store.keys(&token.issuer).await.map_err(storage)?;
            let Some(keys) = self.issuers.keys(&token.issuer, &token.key_id, stored, now).await else { return Ok(None) };
            token::check(notice, token, keys, &self.authorities, now).map(Some)
        };
        let (by_request, by_token) = tokio::join!(by_request, by_token);
        let attested = by_token?;
        if self.requires_token && attested.is_none() {
            return Err(Reason::IssuerUnavailable.into());
        }
        let speaker = Speaker::proven(by_request?, attested.as_ref().map(|attested| &attested.bearer))?;
        Ok((speaker, attested))
    }
}

/// The customer learns that it was us; the log learns what it was.
fn storage(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
    Reason::Storage.into()
}
