//! The world of one handler process: an AWS account, CloudFormation's response mailbox and a vendor, behind TLS.
//!
//! Each service has a listener (a port) of its own, as it has a host of its own on AWS, so a handler cannot share one connection
//! between services here that it could not share there.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::answers::{CONFLICT, PROBE, conflict, is_setting, respond};
use crate::record::{Call, Service};
use crate::tls::Authority;
use crate::world::{HttpRequest, S3Ways, State};

/// How long S3 leaves a connection open on which nothing happens: five seconds have been seen to be safe and ten not to be
/// (awslabs/aws-sdk-kotlin issue 1214). AWS documents none.
const S3_IDLE: Duration = Duration::from_secs(6);
/// The same of the services that speak JSON, and of the others: about 50 seconds have been seen (JuliaCloud/AWSCore.jl issue 35).
const IDLE: Duration = Duration::from_secs(50);

/// Everything that one handler process can reach.
pub(crate) struct StubAws {
    state: Arc<Mutex<State>>,
    addresses: BTreeMap<Service, SocketAddr>,
    servers: Vec<JoinHandle<()>>,
}

impl StubAws {
    /// Starts the listeners; `connecting` is how long each new connection waits before its TLS handshake.
    pub(crate) async fn open(authority: &Authority, connecting: Duration, s3: S3Ways) -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State { s3, ..State::default() }));
        let acceptor = TlsAcceptor::from(Arc::clone(&authority.server));
        let (mut addresses, mut servers) = (BTreeMap::new(), Vec::new());
        for service in Service::ALL {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening for the stub")?;
            addresses.insert(service, listener.local_addr()?);
            let server = Server { service, acceptor: acceptor.clone(), connecting, state: Arc::clone(&state) };
            servers.push(tokio::spawn(server.accept(listener)));
        }
        Ok(Self { state, addresses, servers })
    }

    /// `https://127.0.0.1:<port>`: an address, not a name, so that S3 clients put the bucket into the path.
    pub(crate) fn url(&self, service: Service) -> String {
        self.addresses.get(&service).map_or_else(String::new, |address| format!("https://{address}"))
    }

    /// What was recorded.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A new event: an empty account, nothing recorded, the connections that are open stay open.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        *state = State { s3: state.s3, ..State::default() };
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
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(if service == Service::S3 { S3_IDLE } else { IDLE })
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
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
    let (answer, latency, errors_close) = {
        let mut state = lock(&state);
        let is_setting = service == Service::S3 && is_setting(&request);
        let is_refused = is_setting && state.s3.conflicts && state.settings > 0;
        let answer = if is_refused { conflict() } else { respond(service, &mut state, &request) };
        state.settings += usize::from(is_setting && !is_refused);
        (answer, state.latency, service == Service::S3 && state.s3.errors_close)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if service == Service::S3 && is_setting(&request) && answer.operation != CONFLICT {
        lock(&state).settings -= 1;
    }
    if answer.operation == PROBE {
        lock(&state).probes += 1;
    } else if answer.operation != CONFLICT {
        lock(&state).calls.push(Call { service, operation: answer.operation, start, end: Instant::now() });
    }
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if errors_close && answer.status.is_client_error() {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
