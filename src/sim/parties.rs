//! The vendor, the signer and CloudFormation's mailbox, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::{FOREVER, Mishap, Script, locked};
use crate::{
    connection::{Proof, ProofRequest},
    error::Failure,
    ports::{HttpAnswer, Identity, Mailbox, NoAnswer, Vendor},
    reply::RESPONSE_BYTES_MAX,
};

/// Stands in every simulated signature, so that a test can search all output for it.
pub const SIGNATURE: &str = "5eC2eTs1gNaTuRe";

/// Signs with a fixed signature.
#[derive(Debug, Clone, Copy)]
pub struct Signer;

#[async_trait]
impl Identity for Signer {
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure> {
        Ok(Proof {
            method: "POST".to_owned(),
            url: format!("https://sts.{}.{}/", request.region, request.partition.dns_suffix()),
            headers: BTreeMap::from([
                ("authorization".to_owned(), format!("AWS4-HMAC-SHA256 Signature={SIGNATURE}")),
                ("x-hawser-audience".to_owned(), request.audience.clone()),
                ("x-hawser-data-sha256".to_owned(), request.data_sha256.clone()),
            ]),
            body: "Action=GetCallerIdentity&Version=2011-06-15".to_owned(),
        })
    }
}

/// The name under which the script counts calls of the vendor.
pub const VENDOR_CALL: &str = "vendor:POST";
/// The name under which the script counts uploads.
pub const MAILBOX_CALL: &str = "mailbox:PUT";

/// A vendor that keeps one connection per stack.
#[derive(Debug)]
pub struct SimVendor {
    connected: Mutex<BTreeMap<String, Value>>,
    notices: Mutex<Vec<Value>>,
    script: Arc<Script>,
}

impl SimVendor {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        Self { connected: Mutex::default(), notices: Mutex::default(), script }
    }

    /// The data of the connected stacks, by stack id.
    pub fn connected(&self) -> BTreeMap<String, Value> {
        locked(&self.connected).clone()
    }

    /// Every notice that arrived, in order.
    pub fn notices(&self) -> Vec<Value> {
        locked(&self.notices).clone()
    }

    fn receive(&self, body: &str) -> HttpAnswer {
        let answer = |status, body: Value| HttpAnswer { status, retry_after: None, body: body.to_string().into_bytes() };
        let Ok(notice) = serde_json::from_str::<Value>(body) else {
            return answer(400, json!({ "detail": "the notice is not JSON" }));
        };
        let text = |pointer: &str| notice.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (stack, kind) = (text("/source"), text("/type"));
        locked(&self.notices).push(notice.clone());
        let mut connected = locked(&self.connected);
        match kind.as_str() {
            "hawser.connection.removed" => match connected.remove(&stack) {
                Some(_) => answer(200, json!({})),
                None => answer(404, json!({ "detail": "no such connection" })),
            },
            _ => {
                connected.insert(stack, notice.get("data").cloned().unwrap_or_default());
                answer(200, json!({ "connectionId": "c-1", "message": "welcome" }))
            }
        }
    }
}

#[async_trait]
impl Vendor for SimVendor {
    async fn post(
        &self,
        _url: &Url,
        _headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<HttpAnswer, NoAnswer> {
        tokio::task::yield_now().await;
        let status = |status| Ok(HttpAnswer { status, retry_after: None, body: b"{\"detail\":\"as the script says\"}".to_vec() });
        match self.script.enter(VENDOR_CALL) {
            None => Ok(self.receive(body)),
            Some(Mishap::AnswerLost) => {
                self.receive(body);
                Err(NoAnswer("the connection broke".to_owned()))
            }
            Some(Mishap::Denied | Mishap::DeniedByScp | Mishap::Forbidden) => status(403),
            Some(Mishap::Throttled) => status(429),
            Some(Mishap::Unavailable) => status(503),
            Some(Mishap::Redirected) => status(302),
            Some(Mishap::Broken) => Err(NoAnswer("no connection".to_owned())),
            Some(Mishap::Silent) => silence(limit).await,
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(Mishap::Panic) => panic!("the vendor's client panics, as the script says"),
        }
    }
}

/// A party that never answers: the client's own limit ends it, as a real one's would.
async fn silence<T>(limit: Duration) -> Result<T, NoAnswer> {
    tokio::time::sleep(limit.min(FOREVER)).await;
    Err(NoAnswer("no answer in time".to_owned()))
}

/// Responses by URL. As S3 does, it stores what comes; as CloudFormation does, the first one counts.
#[derive(Debug)]
pub struct SimMailbox {
    responses: Mutex<BTreeMap<String, Vec<Value>>>,
    script: Arc<Script>,
}

impl SimMailbox {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        Self { responses: Mutex::default(), script }
    }

    /// Every response stored under a URL.
    pub fn responses(&self, url: &str) -> Vec<Value> {
        locked(&self.responses).get(url).cloned().unwrap_or_default()
    }

    fn store(&self, url: &Url, body: &[u8]) -> u16 {
        let Ok(response) = serde_json::from_slice(body) else { return 400 };
        if body.len() > RESPONSE_BYTES_MAX {
            return 400;
        }
        locked(&self.responses).entry(url.as_str().to_owned()).or_default().push(response);
        200
    }
}

#[async_trait]
impl Mailbox for SimMailbox {
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoAnswer> {
        tokio::task::yield_now().await;
        match self.script.enter(MAILBOX_CALL) {
            None => Ok(self.store(url, body)),
            Some(Mishap::AnswerLost) => {
                self.store(url, body);
                Err(NoAnswer("the connection broke".to_owned()))
            }
            Some(Mishap::Denied | Mishap::DeniedByScp | Mishap::Forbidden) => Ok(403),
            Some(Mishap::Throttled | Mishap::Unavailable) => Ok(503),
            Some(Mishap::Redirected) => Ok(302),
            Some(Mishap::Broken) => Err(NoAnswer("no connection".to_owned())),
            Some(Mishap::Silent) => silence(limit).await,
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(Mishap::Panic) => panic!("the upload panics, as the script says"),
        }
    }
}
