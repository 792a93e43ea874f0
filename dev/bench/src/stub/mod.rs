//! The world of one handler process: an AWS account, CloudFormation's response mailbox and a vendor, behind TLS.
//!
//! Each service has a listener (a port) of its own, as it has a host of its own on AWS, so a handler cannot share one connection
//! between services here that it could not share there. Answers have AWS's wire shapes; requests are checked for what
//! makes the work the same for all handlers. What is wrong becomes a *violation*, and a sample with one is an error.

mod account;
mod aws_json;
mod cloudformation;
mod mailbox;
mod s3;
mod vendor;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use self::account::{Account, Bucket};
use crate::error::{Context, Error};
use crate::record::{Call, Service};
use crate::tls::Authority;

/// The account that everything happens in.
pub const ACCOUNT: &str = "111122223333";
/// Where the stack and the function are.
pub const STACK_REGION: &str = "eu-west-1";
/// Where billing is, in the partition `aws`.
const BILLING_REGION: &str = "us-east-1";
/// The credentials that the handlers are given; the stub checks the two parts that travel.
pub const ACCESS_KEY: &str = "ASIAEXAMPLEEXAMPLE00";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "bench-bench-bench-bench-bench-bench-bench";
/// See [`ACCESS_KEY`].
pub const SESSION_TOKEN: &str = "bench-session-token";

/// Everything that one handler process can reach.
pub struct StubAws {
    state: Arc<Mutex<State>>,
    addresses: BTreeMap<Service, SocketAddr>,
    servers: Vec<JoinHandle<()>>,
}

/// What the world remembers of the event being handled.
#[derive(Debug, Default)]
pub struct State {
    /// Added to every call.
    pub latency: Duration,
    pub account: Account,
    /// Every call, in the order in which they ended.
    pub calls: Vec<Call>,
    /// Unsigned `HEAD /` requests: they request nothing and only open a connection ahead of need.
    pub probes: usize,
    /// TLS connections that were opened.
    pub connections: usize,
    /// Connections that came to nothing. Other programs of the machine look for ports too, so alone they are no fault; where the
    /// work was not done they may say why.
    pub handshakes_failed: Vec<String>,
    /// What was wrong with requests.
    pub violations: Vec<String>,
    /// The event's stack, resource and type, as CloudFormation knows them.
    pub stack_id: String,
    /// See [`Self::stack_id`].
    pub logical_id: String,
    /// See [`Self::stack_id`].
    pub resource_type: &'static str,
    /// The path and query that the response has to be put to.
    pub response_path: String,
    /// When the response had arrived.
    pub responded: Option<Instant>,
    pub response: Option<serde_json::Value>,
    /// The secret that signs notices.
    pub launch_token: String,
    pub notice: Option<serde_json::Value>,
}

/// A request, read to its end.
struct HttpRequest {
    head: http::request::Parts,
    body: Bytes,
}

impl HttpRequest {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// An answer, and the name of the operation for the record.
struct Answer {
    operation: &'static str,
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn new(operation: &'static str, status: StatusCode, content_type: &'static str, body: impl Into<String>) -> Self {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
        Self { operation, status, headers, body: body.into() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl StubAws {
    /// Starts the listeners; `connecting` is how long each new connection waits before its TLS handshake.
    pub async fn open(authority: &Authority, connecting: Duration) -> Result<Self, Error> {
        let state: Arc<Mutex<State>> = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::clone(&authority.server));
        let (mut addresses, mut servers) = (BTreeMap::new(), Vec::new());
        for service in Service::ALL {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening for the stub")?;
            addresses.insert(service, listener.local_addr().context("reading the port of a listener")?);
            let server = Server { service, acceptor: acceptor.clone(), connecting, state: Arc::clone(&state) };
            servers.push(tokio::spawn(server.accept(listener)));
        }
        Ok(Self { state, addresses, servers })
    }

    /// `https://127.0.0.1:<port>`: an address, not a name, so that S3 clients put the bucket into the path.
    pub fn url(&self, service: Service) -> String {
        self.addresses.get(&service).map_or_else(String::new, |address| format!("https://{address}"))
    }

    /// What was recorded.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A new event: an empty account, nothing recorded, the connections that are open stay open.
    pub fn reset(&self) {
        *self.state() = State::default();
    }
}

impl Drop for StubAws {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Server {
    service: Service,
    acceptor: TlsAcceptor,
    connecting: Duration,
    state: Arc<Mutex<State>>,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().serve(stream));
        }
    }

    async fn serve(self, stream: TcpStream) {
        let Self { service, acceptor, connecting, state } = self;
        // Small answers must not wait for the peer's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        if !connecting.is_zero() {
            tokio::time::sleep(connecting).await;
        }
        match acceptor.accept(stream).await {
            Ok(stream) => {
                lock(&state).connections += 1;
                let answer = service_fn(move |request| attend(service, Arc::clone(&state), request));
                // A client that goes away between two requests is no fault.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            }
            Err(error) => lock(&state).handshakes_failed.push(format!("{service}: the TLS handshake failed: {error}")),
        }
    }
}

async fn attend(
    service: Service,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let request = HttpRequest { head, body };
    let (answer, latency) = {
        let mut state = lock(&state);
        (respond(service, &mut state, &request), state.latency)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if answer.operation == PROBE {
        lock(&state).probes += 1;
    } else {
        lock(&state).calls.push(Call { service, operation: answer.operation, start, end: Instant::now() });
    }
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

/// How an AWS endpoint answers a probe, and that it keeps the connection open then, is not documented; here it does.
const PROBE: &str = "Probe";

fn respond(service: Service, state: &mut State, request: &HttpRequest) -> Answer {
    if request.head.method == Method::HEAD && request.head.uri.path() == "/" && request.header("authorization").is_none() {
        return Answer::new(PROBE, StatusCode::FORBIDDEN, "text/plain", "");
    }
    let answered = match service {
        Service::Mailbox => mailbox::answer(state, request),
        Service::Vendor => vendor::answer(state, request),
        aws => check_signature(request, aws).and_then(|()| match aws {
            Service::S3 => s3::answer(&mut state.account, request),
            Service::CloudFormation => cloudformation::answer(state, request),
            _ => aws_json::answer(aws, &mut state.account, request),
        }),
    };
    answered.unwrap_or_else(|violation| {
        let HttpRequest { head, .. } = request;
        state.violations.push(format!("{service}: {} {}: {violation}", head.method, head.uri.path()));
        Answer::new("refused", StatusCode::BAD_REQUEST, "text/plain", violation)
    })
}

/// That the request is signed for the service's Region and this service, with the credentials given (not the signature itself).
fn check_signature(request: &HttpRequest, service: Service) -> Result<(), String> {
    let authorization = request.header("authorization").ok_or("not signed")?;
    let scope = authorization
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .and_then(|it| it.split(',').next())
        .ok_or("not signed by SigV4")?;
    let parts: Vec<&str> = scope.split('/').collect();
    let region = if service == Service::CloudFormation { STACK_REGION } else { BILLING_REGION };
    match parts.as_slice() {
        [ACCESS_KEY, _, at, signed_for, "aws4_request"] if *at == region && *signed_for == service.to_string() => {}
        _ => return Err(format!("signed for `{}`", parts.get(1..).unwrap_or_default().join("/"))),
    }
    if request.header("x-amz-security-token") != Some(SESSION_TOKEN) {
        return Err("the session token is missing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
