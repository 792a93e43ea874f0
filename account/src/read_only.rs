//! An account that is only looked at, with nobody else in the world: all that a plan needs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use hawser::{
    aws::{Aws, Cloud, Fault, FaultKind, StackDescription, StackResource, Stacks, Tags},
    error::{Code, Failure},
    identity::{Identity, IdentityToken, NoToken, Proof, ProofRequest},
    names::{Region, StackId},
    ports::{Clock, Mailbox, NoProgress, NoResponse, Ports, Vendor, VendorResponse},
};
use time::OffsetDateTime;
use url::Url;

use crate::{
    EPOCH,
    file::AccountFile,
    port::{Access, Call, Port},
    refusal::Refusal,
    services::Services,
};

/// An account that nothing changes. A clone is the same account.
#[derive(Debug, Clone)]
pub struct ReadOnly(Arc<Mutex<Services>>);

impl ReadOnly {
    pub fn new(file: AccountFile) -> Self {
        Self(Arc::new(Mutex::new(Services::new(file))))
    }

    /// The account, and a world without CloudFormation, vendor and passing time.
    pub fn ports(&self) -> Ports<'_> {
        Ports { cloud: self, stacks: self, identity: self, vendor: self, mailbox: self, clock: self, progress: &NoProgress }
    }
}

impl Access for ReadOnly {
    async fn call<T: Send>(
        &self,
        call: Call<'_>,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        if call.writes() {
            return Err(Refusal::new(FaultKind::Denied, "ReadOnly", "the account is only looked at").of(call.action));
        }
        effect(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|refusal| refusal.of(call.action))
    }
}

impl Cloud for ReadOnly {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        Arc::new(Port { access: self.clone(), region: region.clone() })
    }
}

#[async_trait]
impl Stacks for ReadOnly {
    async fn stack(&self, _stack: &StackId) -> Result<StackDescription, Fault> {
        Err(Refusal::new(FaultKind::Refused, "ValidationError", "").of("cloudformation:DescribeStacks"))
    }

    async fn stack_tags(&self, _stack: &StackId) -> Result<Tags, Fault> {
        let services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        services.stack_tags().map_err(|refusal| refusal.of("cloudformation:DescribeStacks"))
    }

    async fn stack_resource(&self, _stack: &StackId, _logical_id: &str) -> Result<Option<StackResource>, Fault> {
        Ok(None)
    }
}

#[async_trait]
impl Identity for ReadOnly {
    async fn prove(&self, _request: &ProofRequest) -> Result<Proof, Failure> {
        Err(Failure::new(Code::CredentialsMissing, "there are no credentials"))
    }

    async fn token(&self, _request: &ProofRequest) -> Result<IdentityToken, NoToken> {
        Err(NoToken("there are no credentials".to_owned()))
    }
}

#[async_trait]
impl Vendor for ReadOnly {
    async fn post(
        &self,
        _url: &Url,
        _headers: &BTreeMap<&'static str, String>,
        _body: &str,
        _limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        Err(nobody())
    }
}

#[async_trait]
impl Mailbox for ReadOnly {
    async fn put(&self, _url: &Url, _body: &[u8], _limit: Duration) -> Result<u16, NoResponse> {
        Err(nobody())
    }
}

fn nobody() -> NoResponse {
    NoResponse::Failed("a plan sends nothing".to_owned())
}

#[async_trait]
impl Clock for ReadOnly {
    fn now(&self) -> OffsetDateTime {
        EPOCH
    }

    async fn sleep(&self, _duration: Duration) {}
}
