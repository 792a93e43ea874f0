//! Long because the vendor's listener, its console and its launches are one party of every test.
//! The vendor's side: the real one (`hawser-console`), and a scripted one that refuses, is down, redirects or is slow.
//!
//! Both speak TLS with the certificate of the run. The scripted one can also stand before the real one and relay to it, which
//! is how the demo shows a notice as the vendor saw it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::account::ROOT_SECRET;
use crate::certs::Certificates;
use crate::emulator::Emulator;
use crate::faults::{self, Faults, InjectedError};
use crate::receiver::Receiver;
use crate::serve::{Answer, Ending, Peer, serve};
use crate::strict_proxy::calls::lock;
use crate::strict_proxy::scenario::{FaultAnswer, Scenario};
use crate::strict_proxy::{CONSOLE_APP_ID, listen_at};

/// The vendor's account, which may assume the role.
pub const VENDOR: &str = "999988887777";

/// Names another console than the one beside this program.
const CONSOLE_VARIABLE: &str = "HAWSER_CONSOLE_BIN";

/// The one customer that this vendor has.
const CUSTOMER_ID: &str = "customer-4711";

/// The console binds two listeners and opens a database; this allows for a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The console asks AWS at once, and after a refusal every 15 seconds; this allows for a busy machine.
const CONFIRMATION_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a connection.
const POLL: Duration = Duration::from_millis(50);

/// Longer than any function may run in the tests.
const SILENCE: Duration = Duration::from_secs(900);

/// Where a proof has what must not be printed.
const SECRETS_OF_PROOFS: [&str; 3] = ["/headers/authorization", "/headers/x-amz-security-token", "/token"];

/// What a scripted vendor does with a notice.
#[derive(Clone, Debug)]
pub enum Script {
    /// 200 with a connection id.
    Accept,
    /// `application/problem+json` with these words.
    Refuse {
        /// A 4xx status.
        status: u16,
        /// The vendor's own words.
        detail: String,
    },
    /// This status and no body, for example 503.
    Status(u16),
    /// 302 to somewhere else.
    Redirect(String),
    /// Accepts, after this long.
    Slow(Duration),
    /// 200 with a page in the vendor's place, as a firewall answers.
    Foreign,
    /// 200 with a body that is no JSON.
    WrongJson,
    /// Accepts with a body of a receipt and this many bytes more.
    Long(usize),
    /// 200 with a body that never ends.
    Endless,
    /// Accepts, a byte at a time.
    SlowBody,
    /// Takes the connection and never says a word, so that the TLS handshake does not end.
    Unresponsive,
    /// Hands the notice on to another vendor at this address, over TLS.
    Relay(String),
    /// What the last part of the path says: `refuse`, `redirect`, `gone`, `silent`, or anything else to accept.
    ByPath,
}

impl Script {
    fn of_path(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("refuse") => Self::Refuse { status: 400, detail: "this launch link was used already".to_owned() },
            Some("redirect") => Self::Redirect("https://elsewhere.example/".to_owned()),
            Some("gone") => Self::Status(410),
            Some("silent") => Self::Slow(SILENCE),
            _ => Self::Accept,
        }
    }
}

/// A notice as it arrived.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    pub event: Value,
    /// The CloudEvent as it was signed.
    body: Bytes,
    /// What was decided, whether or not the handler heard of it.
    pub status: u16,
    /// The body of the answer.
    pub answer: String,
    /// The fault that met the answer.
    pub fault: Option<FaultAnswer>,
}

impl Notice {
    /// `hawser.connection.established` and so on.
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap_or_default()
    }

    /// Whether it is signed with this launch token, as Standard Webhooks says.
    pub fn is_signed_with(&self, token: &str) -> bool {
        let headers = self.headers.iter().map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        let headers: Option<http::HeaderMap> = headers.collect();
        let webhook = standardwebhooks::Webhook::new(token);
        headers.is_some_and(|headers| webhook.is_ok_and(|webhook| webhook.verify(&self.body, &headers).is_ok()))
    }

    /// The stack that it speaks of.
    pub fn stack_id(&self) -> &str {
        self.event["data"]["stackId"].as_str().unwrap_or_default()
    }

    /// The notice without its secrets, for people: signature, proof, and the headers of the proof that sign.
    pub fn redacted(&self) -> Value {
        let mut event = self.event.clone();
        for secret in SECRETS_OF_PROOFS {
            for proof in event["data"]["proofs"].as_array_mut().into_iter().flatten() {
                if let Some(value) = proof.pointer_mut(secret) {
                    *value = json!("(redacted)");
                }
            }
        }
        let headers: serde_json::Map<String, Value> = self
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("webhook-") || name == "content-type" || name == "user-agent")
            .map(|(name, value)| {
                let shown = if name == "webhook-signature" { "(redacted)" } else { value.as_str() };
                (name.clone(), json!(shown))
            })
            .collect();
        json!({"headers": headers, "event": event})
    }

    /// The values that must not be printed: the notice's signature, and what proofs prove with.
    pub fn secrets(&self) -> Vec<String> {
        let signature = self.headers.iter().find(|(name, _)| name == "webhook-signature").map(|(_, value)| value.clone());
        let proofs = self.event["data"]["proofs"].as_array().into_iter().flatten();
        let proofs = proofs.flat_map(|proof| SECRETS_OF_PROOFS.iter().filter_map(|secret| proof.pointer(secret)?.as_str()));
        signature.into_iter().chain(proofs.map(str::to_owned)).collect()
    }
}

/// A vendor that does as it is told, over TLS. Dropping it stops it.
#[derive(Debug)]
pub struct ScriptedVendor {
    authority: String,
    state: Arc<State>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    faults: Faults,
    notices: Mutex<Vec<Notice>>,
    trust: Arc<ClientConfig>,
}

impl ScriptedVendor {
    /// Listens on a free port with the run's certificate.
    pub async fn start(certificates: &Certificates, script: Script) -> anyhow::Result<Self> {
        let listener = listen_at(certificates.host).await?;
        let address = listener.local_addr()?;
        let authority = if address.ip().is_loopback() { format!("localhost:{}", address.port()) } else { address.to_string() };
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server()?));
        let state = Arc::new(State {
            script: Mutex::new(script),
            faults: Faults::default(),
            notices: Mutex::default(),
            trust: Arc::new(certificates.client()?),
        });
        let serving = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self { authority, state, serving })
    }

    /// Host and port: what proofs name as their audience.
    pub fn authority(&self) -> String {
        self.authority.clone()
    }

    /// The address that a stack is given.
    pub fn notice_url(&self) -> String {
        format!("https://{}/notices", self.authority())
    }

    /// Does something else from the next notice on.
    pub fn set_script(&self, script: Script) {
        *lock(&self.state.script) = script;
    }

    /// From the next notice on, the scenario's faults of `vendor` meet them.
    pub fn set_faults(&self, scenario: &Scenario) {
        self.state.faults.set(scenario);
    }

    /// The notices so far that were read, the retried ones included.
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.state.notices).clone()
    }
}

impl Drop for ScriptedVendor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            if matches!(*lock(&state.script), Script::Unresponsive) {
                return unresponsive(stream).await;
            }
            // A failed handshake is the client's to report.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            serve(stream, move |peer, request| answer(Arc::clone(&state), peer, request)).await;
        });
    }
}

/// Listens for as long as the client speaks, and does not answer.
async fn unresponsive(mut stream: TcpStream) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn answer(state: Arc<State>, peer: Peer, request: http::Request<Incoming>) -> Result<Answer, Ending> {
    let (parts, body) = request.into_parts();
    // Only opens the connection, ahead of the notice.
    if parts.method == http::Method::HEAD && parts.uri.path() == "/" {
        return Ok(reply(204, "text/plain", String::new()));
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = event["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default();
    let fault = state.faults.next("vendor", kind);
    let instead = faults::before(fault.as_ref(), peer, refused).await;
    let made = instead.is_none();
    let script = match lock(&state.script).clone() {
        Script::ByPath => Script::of_path(parts.uri.path()),
        script => script,
    };
    let pause = if let (true, Script::Slow(pause)) = (made, &script) { *pause } else { Duration::ZERO };
    let outcome = match instead {
        Some(instead) => instead,
        None => by_script(&state, script, &parts, &body).await,
    };
    let headers = parts.headers.iter();
    let notice = Notice {
        headers: headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect(),
        event,
        body,
        status: match &outcome {
            Ok(response) => response.status().as_u16(),
            Err(_) if made => 200,
            Err(_) => 0,
        },
        answer: match &outcome {
            Ok(response) => text_of(response).await,
            Err(_) => String::new(),
        },
        fault: fault.clone(),
    };
    lock(&state.notices).push(notice);
    tokio::time::sleep(pause).await;
    if made { faults::after(fault.as_ref(), peer, outcome?).await } else { outcome }
}

fn refused(refusal: InjectedError) -> Answer {
    match refusal {
        InjectedError::Throttled => {
            let mut response = reply(429, "text/plain", String::new());
            response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
            response
        }
        InjectedError::Denied => reply(403, "text/plain", String::new()),
        InjectedError::Failed | InjectedError::Named(_) => reply(500, "text/plain", String::new()),
    }
}

/// What the script says: an ending is an acceptance that does not arrive in one piece.
async fn by_script(state: &State, script: Script, parts: &http::request::Parts, body: &Bytes) -> Result<Answer, Ending> {
    let id = parts.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let receipt = || json!({"noticeId": id, "connectionId": "con-1", "message": "welcome"}).to_string();
    let accepted = || reply(200, "application/json", receipt());
    Ok(match script {
        Script::Accept | Script::Unresponsive | Script::Slow(_) | Script::ByPath => accepted(),
        Script::Refuse { status, detail } => {
            let problem = json!({"type": "about:blank", "title": "refused", "status": status, "detail": detail});
            reply(status, "application/problem+json", problem.to_string())
        }
        Script::Status(status) => reply(status, "text/plain", String::new()),
        Script::Redirect(to) => {
            let mut response = reply(302, "text/plain", String::new());
            if let Ok(to) = to.parse() {
                response.headers_mut().insert(http::header::LOCATION, to);
            }
            response
        }
        Script::Foreign => reply(200, "text/html", "<!doctype html><title>Sign in</title>".to_owned()),
        Script::WrongJson => reply(200, "application/json", r#"[{"connectionId": 7}, "message": "\ud800""#.to_owned()),
        Script::Long(bytes) => reply(200, "application/json", receipt() + &" ".repeat(bytes)),
        Script::Endless => return Err(Ending::endless()),
        Script::SlowBody => return Err(Ending::slow_body(accepted()).await),
        Script::Relay(to) => match relay(Arc::clone(&state.trust), &to, parts, body.clone()).await {
            Ok(response) => response,
            Err(error) => reply(502, "text/plain", format!("{error:#}")),
        },
    })
}

async fn text_of(response: &Answer) -> String {
    let body = response.body().clone().collect().await;
    body.map_or_else(|never| match never {}, |body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

async fn relay(trust: Arc<ClientConfig>, to: &str, parts: &http::request::Parts, body: Bytes) -> anyhow::Result<Answer> {
    let mut request = http::Request::builder().method(parts.method.clone()).uri(parts.uri.clone());
    for (name, value) in &parts.headers {
        request = request.header(name, value);
    }
    send(trust, to, request.body(Full::new(body))?).await
}

/// One request over TLS, to a vendor at this address.
async fn send(trust: Arc<ClientConfig>, to: &str, request: http::Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("could not reach `{to}`"))?;
    let stream = TlsConnector::from(trust).connect(ServerName::try_from("localhost")?, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}

fn reply(status: u16, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// The real vendor side: a `hawser-console` process. Dropping it ends the process.
#[derive(Debug)]
pub struct Console {
    _child: Child,
    trust: Arc<ClientConfig>,
    listening: String,
    admin: String,
    notice_url: String,
    log: PathBuf,
}

/// What the vendor puts into one launch link.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The stack's `LaunchToken`.
    pub token: String,
    /// The stack's `ExternalId`.
    pub external_id: String,
}

impl Console {
    /// Starts the console with the run's certificate and the vendor's credentials; `authority` is the host and port that stacks are
    /// given, and `localhost:0` means its own.
    pub async fn start(emulator: &Emulator, authority: &str) -> anyhow::Result<Self> {
        let certificates = emulator.certificates();
        let log = emulator.folder().join("console.log");
        let mut child = Command::new(console_binary()?)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--authority", authority, "--loopback-endpoints"])
            .arg("--tls-cert")
            .arg(&certificates.certificate)
            .arg("--tls-key")
            .arg(&certificates.key)
            .arg("--database")
            .arg(format!("sqlite:{}", emulator.folder().join("console.db").display()))
            .arg("--key-file")
            .arg(emulator.folder().join("console.key"))
            .args(["--sts-endpoint", emulator.front().url()])
            .env_clear()
            .env("HTTPS_PROXY", emulator.issuers())
            .env("SSL_CERT_FILE", &certificates.authority)
            .env("AWS_ENDPOINT_URL", emulator.front().url())
            .envs([("AWS_ACCESS_KEY_ID", VENDOR), ("AWS_SECRET_ACCESS_KEY", ROOT_SECRET)])
            // What this machine is, is nothing to it.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // By this the front knows its calls, also those in a role.
            .env("AWS_SDK_UA_APP_ID", CONSOLE_APP_ID)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("could not start `hawser-console`")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let line = tokio::time::timeout(START_LIMIT, BufReader::new(stdout).lines().next_line())
            .await
            .context("`hawser-console` was not ready in time")??;
        let Some(line) = line else {
            bail!("`hawser-console` ended at once: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let reported: Value = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
        let text = |name: &str| reported[name].as_str().unwrap_or_default().to_owned();
        let listening = text("listening").trim_start_matches("https://").to_owned();
        let trust = Arc::new(certificates.client()?);
        Ok(Self { _child: child, trust, listening, admin: text("admin"), notice_url: text("noticeUrl"), log })
    }

    /// `127.0.0.1:<port>` of the public listener.
    pub fn listening(&self) -> &str {
        &self.listening
    }

    /// The address that a stack is given.
    pub fn notice_url(&self) -> &str {
        &self.notice_url
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A launch for one account.
    pub async fn launch(&self, account: &str) -> anyhow::Result<Launch> {
        self.order(&json!({"customerId": CUSTOMER_ID, "accountId": account})).await
    }

    /// The same for a person who runs `hawser connect`.
    pub async fn launch_direct(&self, account: &str) -> anyhow::Result<Launch> {
        self.order(&json!({"customerId": CUSTOMER_ID, "accountId": account, "ways": ["direct"]})).await
    }

    /// A launch for the accounts of the organization that this account pays for.
    pub async fn launch_for_organization(&self, id: &str, management_account: &str) -> anyhow::Result<Launch> {
        let organization = json!({"organizationId": id, "managementAccountId": management_account});
        self.order(&json!({"customerId": CUSTOMER_ID, "organization": organization})).await
    }

    async fn order(&self, order: &Value) -> anyhow::Result<Launch> {
        let launch = self.make("/launches", order).await?;
        let text = |name: &str| launch[name].as_str().map(str::to_owned).with_context(|| format!("no `{name}`"));
        Ok(Launch { token: text("token")?, external_id: text("externalId")? })
    }

    /// Has what happens posted to this receiver, and tells it the secret.
    pub async fn post_to(&self, receiver: &Receiver) -> anyhow::Result<String> {
        let made = self.make("/webhook-endpoints", &json!({"url": receiver.url(), "events": ["*"]})).await?;
        let secret = made["secret"].as_str().context("no `secret`")?;
        receiver.expect(secret);
        Ok(secret.to_owned())
    }

    /// Has the role of a connection tested now.
    pub async fn verify(&self, connection_id: &str) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/connections/{connection_id}/verify", self.admin);
        admin_json(http::Request::post(url).body(Full::default())?).await.map(drop)
    }

    /// What happened to a connection, the oldest first.
    pub async fn history(&self, connection_id: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/api/v1/connections/{connection_id}/history", self.admin);
        let answer = admin_json(http::Request::get(url).body(Full::default())?).await?;
        Ok(answer["items"].as_array().into_iter().flatten().rev().cloned().collect())
    }

    async fn make(&self, path: &str, order: &Value) -> anyhow::Result<Value> {
        let request = http::Request::post(format!("{}/api/v1{path}", self.admin))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(order.to_string())))?;
        admin_json(request).await
    }

    /// All connections as the console shows them, with their external IDs, which no list has.
    pub async fn connections(&self) -> anyhow::Result<Vec<Value>> {
        let get = async |path: &str| {
            let request = http::Request::get(format!("{}/api/v1/connections{path}", self.admin)).body(Full::new(Bytes::new()))?;
            admin_json(request).await
        };
        let mut connections = Vec::new();
        for listed in get("?limit=1000").await?["items"].as_array().into_iter().flatten() {
            connections.push(get(&format!("/{}", listed["connectionId"].as_str().unwrap_or_default())).await?);
        }
        Ok(connections)
    }

    /// Waits until what it lists of this stack is as it should be. AWS is asked after the stack has its answer, so that comes later.
    pub async fn wait_for(&self, stack_id: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let found = self.connections().await?.into_iter().find(|connection| connection["data"]["stackId"] == stack_id);
            if let Some(connection) = found.as_ref().filter(|connection| holds(connection)) {
                return Ok(connection.clone());
            }
            if started.elapsed() > CONFIRMATION_LIMIT {
                bail!("the console lists {}\n{}", found.unwrap_or_default(), self.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until AWS has confirmed the connection of this stack.
    pub async fn connected(&self, stack_id: &str) -> anyhow::Result<Value> {
        self.wait_for(stack_id, |connection| connection["state"] == "verified").await
    }

    /// Sends a notice of the caller's own making, and returns the status and the body of the answer.
    pub async fn post(&self, headers: &[(String, String)], body: String) -> anyhow::Result<(u16, Value)> {
        let url: http::Uri = self.notice_url.parse()?;
        let mut request = http::Request::post(url.path()).header("host", &self.listening);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = send(Arc::clone(&self.trust), &self.listening, request.body(Full::new(Bytes::from(body)))?).await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?))
    }
}

async fn admin_json(request: http::Request<Full<Bytes>>) -> anyhow::Result<Value> {
    let answer = crate::account::http_client().request(request).await.context("the console did not answer")?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("the console answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Beside this program: cargo puts all binaries of a profile in one folder, and tests one below.
fn console_binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os(CONSOLE_VARIABLE) {
        return Ok(PathBuf::from(named));
    }
    let program = std::env::current_exe()?;
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join("hawser-console")).find(|path| path.is_file());
    found.context("there is no `hawser-console` beside this program (hint: run `cargo build -p hawser-console`)")
}
