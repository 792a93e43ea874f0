//! The vendor, the signer and CloudFormation's mailbox, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;
use url::Url;

use crate::{
    account::Account,
    clock::{FOREVER, SimClock, locked},
    script::{IDENTITY_CALL, InjectedFault, MAILBOX_CALL, Run, Script, VENDOR_CALL, killed},
};
use hawser::{
    error::{Code, Failure},
    identity::{Identity, IdentityToken, NoToken, Proof, ProofRequest},
    ports::{Clock, Mailbox, NoResponse, Vendor, VendorResponse},
};
use hawser_account::AccountState;

/// Stands in every simulated signature, so that a test can search all output for it.
pub const SIGNATURE: &str = "5eC2eTs1gNaTuRe";

/// Signs with a fixed signature.
#[derive(Debug, Clone)]
pub struct Signer {
    pub(crate) script: Arc<Script>,
    pub(crate) run: Option<Arc<Run>>,
}

#[async_trait]
impl Identity for Signer {
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure> {
        match self.script.enter(self.run.as_deref(), IDENTITY_CALL) {
            None => {}
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(InjectedFault::Panic) => panic!("the signer panics, as the script says"),
            Some(InjectedFault::KilledBefore | InjectedFault::KilledAfter) => killed(self.run.as_deref()).await,
            Some(_) => return Err(Failure::new(Code::CredentialsMissing, "there are no credentials")),
        }
        Ok(Proof {
            method: "POST".to_owned(),
            url: format!("https://sts.{}.{}/", request.region, request.partition.dns_suffix()),
            headers: BTreeMap::from([
                ("authorization".to_owned(), format!("AWS4-HMAC-SHA256 Signature={SIGNATURE}")),
                ("x-hawser-audience".to_owned(), request.audience.clone()),
                ("x-hawser-event-sha256".to_owned(), request.event_sha256.clone()),
            ]),
            body: "Action=GetCallerIdentity&Version=2011-06-15".to_owned(),
        })
    }

    /// The account has no federation, as nearly all.
    async fn token(&self, _request: &ProofRequest) -> Result<IdentityToken, NoToken> {
        Err(NoToken("`OutboundWebIdentityFederationDisabledException`".to_owned()))
    }
}

/// A vendor that keeps one connection per stack, as a careful one does: a repeated notice has no second effect, and one
/// that is older than what is known has none at all.
#[derive(Debug, Clone)]
pub struct SimVendor {
    ledger: Arc<Mutex<Ledger>>,
    script: Arc<Script>,
    run: Option<Arc<Run>>,
}

#[derive(Debug, Default)]
struct Ledger {
    connections: BTreeMap<String, Connection>,
    answered: BTreeMap<String, (u16, Value)>,
    notices: Vec<Value>,
}

#[derive(Debug, Clone)]
struct Connection {
    /// None when it was removed.
    data: Option<Value>,
    time: String,
    /// The run that said so: of two at one instant of the paused clock, the one that began later is newer.
    run: u64,
}

impl SimVendor {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        Self { ledger: Arc::default(), script, run: None }
    }

    pub(crate) fn for_run(&self, run: Arc<Run>) -> Self {
        Self { run: Some(run), ..self.clone() }
    }

    /// The data of the connected stacks, by stack id.
    pub fn connected(&self) -> BTreeMap<String, Value> {
        let ledger = locked(&self.ledger);
        ledger.connections.iter().filter_map(|(stack, known)| Some((stack.clone(), known.data.clone()?))).collect()
    }

    /// Every notice that arrived, in order.
    pub fn notices(&self) -> Vec<Value> {
        locked(&self.ledger).notices.clone()
    }

    /// The run that told of a stack last.
    fn last_run(&self, stack: &str) -> Option<u64> {
        locked(&self.ledger).connections.get(stack).map(|known| known.run)
    }

    fn receive(&self, body: &str) -> VendorResponse {
        let (status, answer) = locked(&self.ledger).take(body, self.run.as_ref().map_or(0, |run| run.number));
        VendorResponse { status, retry_after: None, body: answer.to_string().into_bytes() }
    }
}

impl Ledger {
    fn take(&mut self, body: &str, run: u64) -> (u16, Value) {
        let Ok(notice) = serde_json::from_str::<Value>(body) else {
            return (400, json!({ "detail": "the notice is not JSON" }));
        };
        let text = |pointer: &str| notice.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, stack, kind, time) = (text("/id"), text("/source"), text("/type"), text("/time"));
        if let Some(answer) = self.answered.get(&id) {
            return answer.clone();
        }
        self.notices.push(notice.clone());
        let removal = kind == "hawser.connection.removed";
        let known = self.connections.get(&stack);
        let answer = match known {
            // Times are RFC 3339 in UTC; whole seconds come without a fraction, so they are compared as numbers.
            Some(known) if (seconds(&known.time), known.run) > (seconds(&time), run) => (200, json!({ "noticeId": id })),
            _ => {
                let was_connected = known.is_some_and(|known| known.data.is_some());
                let data = (!removal).then(|| notice.get("data").cloned().unwrap_or_default());
                self.connections.insert(stack, Connection { data, time, run });
                if removal && !was_connected {
                    (404, json!({ "detail": "no such connection" }))
                } else {
                    (200, json!({ "noticeId": id, "connectionId": "c-1", "message": "welcome" }))
                }
            }
        };
        self.answered.insert(id, answer.clone());
        answer
    }
}

fn seconds(time: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).ok()
}

#[async_trait]
impl Vendor for SimVendor {
    async fn post(
        &self,
        _url: &Url,
        _headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        tokio::task::yield_now().await;
        let status = |status, retry_after| {
            Ok(VendorResponse { status, retry_after, body: b"{\"detail\":\"as the script says\"}".to_vec() })
        };
        let injected = self.script.enter(self.run.as_deref(), VENDOR_CALL);
        self.script.note_call(self.run.as_deref(), VENDOR_CALL, injected);
        match injected {
            None => Ok(self.receive(body)),
            Some(InjectedFault::AnswerLost) => {
                self.receive(body);
                Err(NoResponse::Failed("the connection broke".to_owned()))
            }
            Some(InjectedFault::HalfAnswer) => {
                let mut answer = self.receive(body);
                answer.body.truncate(answer.body.len() / 2);
                Ok(answer)
            }
            Some(InjectedFault::Denied | InjectedFault::DeniedByPolicy | InjectedFault::Refused) => status(403, None),
            Some(InjectedFault::Throttled) => status(429, Some(Duration::from_secs(7))),
            Some(InjectedFault::Unavailable) => status(503, None),
            Some(InjectedFault::Redirected) => status(302, None),
            Some(InjectedFault::Broken) => Err(NoResponse::Failed("no connection".to_owned())),
            Some(InjectedFault::Silent) => silence(limit).await,
            Some(InjectedFault::KilledBefore) => {
                killed(self.run.as_deref()).await;
                status(503, None)
            }
            Some(InjectedFault::KilledAfter) => {
                let answer = self.receive(body);
                killed(self.run.as_deref()).await;
                Ok(answer)
            }
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(InjectedFault::Panic) => panic!("the vendor's client panics, as the script says"),
        }
    }
}

/// A party that never answers: the client's own limit ends it, as a real one's would.
async fn silence<T>(limit: Duration) -> Result<T, NoResponse> {
    tokio::time::sleep(limit.min(FOREVER)).await;
    Err(NoResponse::Failed("no answer in time".to_owned()))
}

/// What S3 stored under a response URL, and the world as it was at that moment.
#[derive(Debug, Clone)]
pub struct Stored {
    pub body: Vec<u8>,
    /// The run that uploaded it.
    pub run: u64,
    pub state: AccountState,
    /// What the vendor has of the stack.
    pub connected: Option<Value>,
    /// What was made, and nothing tells of yet: reports by name, exports by ARN.
    pub unseen: BTreeSet<String>,
    /// Somebody else changed the stack's things while the run was at work, or a later run told the vendor of it.
    pub disturbed: bool,
}

/// One try of an upload, as the handler saw it.
#[derive(Debug, Clone)]
pub struct Upload {
    pub run: u64,
    pub url: String,
    pub body: Vec<u8>,
    /// The handler was told that it is stored.
    pub confirmed: bool,
}

/// Responses by URL. As S3 does, it stores what comes; as CloudFormation does, the first one counts.
#[derive(Debug, Clone)]
pub struct SimMailbox {
    shelves: Arc<Uploads>,
    account: Account,
    vendor: SimVendor,
    script: Arc<Script>,
    clock: SimClock,
    run: Option<Arc<Run>>,
}

#[derive(Debug, Default)]
struct Uploads {
    stored: Mutex<BTreeMap<String, Vec<Stored>>>,
    uploads: Mutex<Vec<Upload>>,
    arrived: Notify,
}

impl SimMailbox {
    pub(crate) fn new(account: Account, vendor: SimVendor, script: Arc<Script>, clock: SimClock) -> Self {
        Self { shelves: Arc::default(), account, vendor, script, clock, run: None }
    }

    pub(crate) fn for_run(&self, run: Arc<Run>) -> Self {
        Self { run: Some(run), ..self.clone() }
    }

    /// Every response stored under a URL that is JSON.
    pub fn responses(&self, url: &str) -> Vec<Value> {
        self.stored(url).iter().filter_map(|stored| serde_json::from_slice(&stored.body).ok()).collect()
    }

    /// Everything stored under a URL.
    pub fn stored(&self, url: &str) -> Vec<Stored> {
        locked(&self.shelves.stored).get(url).cloned().unwrap_or_default()
    }

    /// Every try of an upload, in order.
    pub fn uploads(&self) -> Vec<Upload> {
        locked(&self.shelves.uploads).clone()
    }

    /// Waits for the first response under a URL.
    pub(crate) async fn wait(&self, url: &str) -> Stored {
        loop {
            let arrived = self.shelves.arrived.notified();
            if let Some(first) = locked(&self.shelves.stored).get(url).and_then(|stored| stored.first()) {
                return first.clone();
            }
            arrived.await;
        }
    }

    fn store(&self, url: &Url, body: &[u8]) {
        let stored = Stored {
            body: body.to_vec(),
            run: self.run.as_ref().map_or(0, |run| run.number),
            state: self.account.state(),
            unseen: self.account.unseen(),
            connected: self.run.as_ref().and_then(|run| self.vendor.connected().remove(&run.stack)),
            disturbed: self.run.as_ref().is_some_and(|run| {
                self.account.was_disturbed(run) || self.vendor.last_run(&run.stack).is_some_and(|last| last > run.number)
            }),
        };
        locked(&self.shelves.stored).entry(url.as_str().to_owned()).or_default().push(stored);
        self.shelves.arrived.notify_waiters();
    }

    async fn take(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse> {
        let injected = self.script.enter(self.run.as_deref(), MAILBOX_CALL);
        self.script.note_call(self.run.as_deref(), MAILBOX_CALL, injected);
        match injected {
            None | Some(InjectedFault::HalfAnswer) => {
                self.store(url, body);
                Ok(200)
            }
            Some(InjectedFault::AnswerLost) => {
                self.store(url, body);
                Err(NoResponse::Failed("the connection broke".to_owned()))
            }
            Some(InjectedFault::Denied | InjectedFault::DeniedByPolicy | InjectedFault::Refused) => Ok(403),
            Some(InjectedFault::Throttled | InjectedFault::Unavailable) => Ok(503),
            Some(InjectedFault::Redirected) => Ok(302),
            Some(InjectedFault::Broken) => Err(NoResponse::Failed("no connection".to_owned())),
            Some(InjectedFault::Silent) => silence(limit).await,
            Some(InjectedFault::KilledBefore) => {
                killed(self.run.as_deref()).await;
                Ok(503)
            }
            Some(InjectedFault::KilledAfter) => {
                self.store(url, body);
                killed(self.run.as_deref()).await;
                Ok(200)
            }
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(InjectedFault::Panic) => panic!("the upload panics, as the script says"),
        }
    }
}

#[async_trait]
impl Mailbox for SimMailbox {
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse> {
        tokio::task::yield_now().await;
        let at = locked(&self.shelves.uploads).len();
        let run = self.run.as_ref().map_or(0, |run| run.number);
        let upload = Upload { run, url: url.as_str().to_owned(), body: body.to_vec(), confirmed: false };
        locked(&self.shelves.uploads).push(upload);
        let answer = self.take(url, body, limit).await;
        if matches!(answer, Ok(200)) {
            locked(&self.shelves.uploads)[at].confirmed = true;
        }
        self.script.note(|| format!("{} response {answer:?}", self.clock.now()));
        answer
    }
}
