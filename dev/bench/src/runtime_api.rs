//! Lambda's Runtime API, the part that a runtime needs: `invocation/next`, `…/response`, `…/error`, `init/error`
//! (AWS Lambda Developer Guide, "Using the Lambda runtime API"). The deadline is an epoch time, as on Lambda.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// The timeout of the function in `template.yaml`.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(120);
const GONE: &str = "the Runtime API is gone";
const BASE: &str = "/2018-06-01/runtime/";

/// What the runtime told Lambda about an event, and when.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When all of it had arrived.
    pub(crate) at: Instant,
    /// `Err` with the body of `…/error` or `init/error`.
    pub(crate) result: Result<(), String>,
}

/// One function's Runtime API. Its server ends when this is dropped.
pub(crate) struct RuntimeApi {
    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Instant>,
    events: mpsc::UnboundedSender<Bytes>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    server: JoinHandle<()>,
}

struct State {
    asked: mpsc::UnboundedSender<Instant>,
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

impl RuntimeApi {
    /// Listens on a free port of the loopback address.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening for the Runtime API")?;
        let address = listener.local_addr().context("asking for the Runtime API's port")?;
        let (asked_in, asked) = mpsc::unbounded_channel();
        let (events, events_out) = mpsc::unbounded_channel();
        let (outcomes_in, outcomes) = mpsc::unbounded_channel();
        let state = Arc::new(State { asked: asked_in, events: Mutex::new(events_out), outcomes: outcomes_in });
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Small answers must not wait for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let state = Arc::clone(&state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, asked, events, outcomes, server })
    }

    /// When the runtime asked for its next event: the end of init, or of the event before. `Err` with what it said instead.
    pub(crate) async fn asked(&mut self) -> Result<Instant, String> {
        tokio::select! {
            asked = self.asked.recv() => asked.ok_or_else(|| GONE.to_owned()),
            outcome = self.outcomes.recv() => Err(format!("it reported an outcome without an event: {outcome:?}")),
        }
    }

    /// Hands over an event.
    pub(crate) fn send_event(&self, event: String) -> Instant {
        let now = Instant::now();
        // It fails only when the server is gone, and then the outcome never comes and the wait for it says so.
        let _ = self.events.send(Bytes::from(event));
        now
    }

    /// What became of the event.
    pub(crate) async fn outcome(&mut self) -> Result<Outcome, String> {
        self.outcomes.recv().await.ok_or_else(|| GONE.to_owned())
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(BASE).unwrap_or_default();
    if head.method == Method::GET && path == "invocation/next" {
        let _ = state.asked.send(Instant::now());
        // Lambda holds this call as long as it takes.
        let event = state.events.lock().await.recv().await;
        return Ok(event.map_or_else(|| empty(StatusCode::GONE), next));
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let result = match (&head.method, path.rsplit_once('/')) {
        (&Method::POST, Some((_, "response"))) => Ok(()),
        (&Method::POST, Some((_, "error"))) => Err(String::from_utf8_lossy(&body).into_owned()),
        _ => return Ok(empty(StatusCode::NOT_FOUND)),
    };
    let _ = state.outcomes.send(Outcome { at: Instant::now(), result });
    Ok(empty(StatusCode::ACCEPTED))
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn next(event: Bytes) -> Response<Full<Bytes>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = (now + FUNCTION_TIMEOUT).as_millis().to_string();
    // A request id is a UUID; ours only has to differ from the last one.
    let id = format!("00000000-0000-4000-8000-{:012x}", now.as_micros() & 0xffff_ffff_ffff);
    let mut response = Response::new(Full::new(event));
    let headers = response.headers_mut();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:111122223333:function:hawser"),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0"),
        ("content-type", "application/json"),
    ] {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_deadline_is_an_epoch_time_ahead_of_now() {
        let response = next(Bytes::from_static(b"{}"));
        let deadline: u128 = response.headers()["lambda-runtime-deadline-ms"].to_str().unwrap().parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(deadline > now && deadline <= now + FUNCTION_TIMEOUT.as_millis(), "{deadline} at {now}");
        assert!(response.headers().contains_key("lambda-runtime-aws-request-id"));
    }
}
