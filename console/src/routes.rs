//! The routes. Stacks reach [`public`]; [`admin`] is for the operator and the vendor's programs, on loopback, with the API.

use std::{error::Error, net::IpAddr, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use standardwebhooks::HEADER_WEBHOOK_ID;

use crate::{
    Console,
    api::{
        self,
        refusal::{ApiCode, ApiRefusal},
    },
    ledger::Answer,
    names::StackId,
    refusal::{Problem, Reason, Refusal},
    serve::{Peer, Slot, end_connection, slots},
};

/// A notice has 4 to 12 KB: a session token of 1 to 4 KB and a sentence about each report the account has.
pub const NOTICE_BYTES_MAX: usize = 64 * 1024;
/// The time for a notice's body to arrive; a stack sends it in one piece.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);
/// For answers that ask to be sent the same again: STS, SQLite and crowds recover in seconds or in minutes, and a stack has not
/// minutes.
const RETRY_AFTER_SECONDS: &str = "2";

/// What stacks can reach.
pub fn public(console: Console) -> Router {
    Router::new()
        .route("/notices", post(take_notice))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn(end_connection))
        .with_state(console)
}

/// What the operator can reach. Answers only requests whose `Host` is loopback: a web page that resolves its own name to
/// 127.0.0.1 would otherwise speak as the operator.
pub fn admin(console: Console) -> Router {
    Router::new()
        .merge(api::router(&console))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(async || ApiRefusal::from(ApiCode::MethodNotAllowed))
        .fallback(async || ApiRefusal::from(ApiCode::RouteUnknown))
        .layer(middleware::from_fn(only_loopback_host))
        .with_state(console)
}

async fn take_notice(State(console): State<Console>, peer: Option<Extension<Peer>>, headers: HeaderMap, body: Body) -> Response {
    // What was accepted has this id; only who read the notice can repeat it.
    let notice_id = headers.get(HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let now = (console.clock)();
    let mut trace = Trace { network: peer.as_ref().map(|peer| sender(peer, &headers)), ..Trace::default() };
    let slot = peer.and_then(|Extension(peer)| peer.slot);
    let mut _working = None;
    let answer = match read_notice(&headers, body).await {
        Ok(body) => {
            // From here on the slot is not taken away.
            _working = slot.as_ref().map(Slot::work);
            console.receive(&headers, &body, &mut trace, now).await
        }
        Err(refusal) => Err(refusal),
    };
    match answer {
        Ok(Answer::Accepted { connection_id, message }) => {
            Json(json!({"noticeId": notice_id, "connectionId": connection_id, "message": message})).into_response()
        }
        Ok(Answer::Ignored) => {
            let message = "ignored: the vendor does not know notices of this type yet";
            Json(json!({"noticeId": notice_id, "connectionId": "", "message": message})).into_response()
        }
        // Counted and proven: no stranger's.
        Ok(Answer::Unknown) => trace.refuse(&Reason::ConnectionUnknown.into()),
        Err(refusal) => {
            let refusal = match trace.network {
                Some(network) => console.limits.refuse(network, refusal, now),
                None => refusal,
            };
            trace.refuse(&refusal)
        }
    }
}

/// The network that a request comes from. Of a configured proxy, the one that it names last: the others are the sender's own words.
fn sender(peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let last = forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).filter(|_| peer.is_proxy);
    slots::network(last.unwrap_or(peer.address))
}

/// What the log says of a refused notice beside the reason: what the notice claims, where that has the form of a name.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) network: Option<IpAddr>,
    pub(crate) stack: Option<StackId>,
    /// Whose token signed it, so no claim.
    pub(crate) launch_id: Option<String>,
}

impl Trace {
    /// The one log line of a refused notice, and its answer. Who is refused for having been refused often gets no more lines.
    fn refuse(&self, refusal: &Refusal) -> Response {
        if refusal.reason != Reason::TooManyRefused {
            tracing::warn!(
                code = refusal.reason.as_str(),
                status = refusal.reason.status(),
                reason = %refusal,
                address = self.network.map(tracing::field::display),
                "account.id" = self.stack.as_ref().map(|stack| stack.account.as_str()),
                "stack.id" = self.stack.as_ref().map(StackId::as_str),
                "launch.id" = self.launch_id,
                "notice refused"
            );
        }
        problem(&refusal.problem())
    }
}

async fn read_notice(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/cloudevents+json") {
        return Err(Reason::MediaType.into());
    }
    let bytes = tokio::time::timeout(NOTICE_TIMEOUT, to_bytes(body, NOTICE_BYTES_MAX))
        .await
        .map_err(|_| Reason::TooSlow.with(format!("it took over {} seconds", NOTICE_TIMEOUT.as_secs())))?;
    match bytes {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if is_over_limit(&error) => Err(Reason::TooLarge.with(format!("over {NOTICE_BYTES_MAX} bytes"))),
        Err(_) => Err(Reason::Request.with("its body broke off")),
    }
}

fn is_over_limit(error: &axum::Error) -> bool {
    error.source().is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = (status, Json(problem)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    answer
}

async fn health(State(console): State<Console>) -> Response {
    match console.store.ping().await {
        Ok(()) => Json(json!({"status": "ok"})).into_response(),
        Err(error) => ApiRefusal::from(error).into_response(),
    }
}

async fn ready(State(console): State<Console>) -> Response {
    match console.store.check().await {
        Ok(()) => Json(json!({"status": "ok"})).into_response(),
        Err(error) => ApiRefusal::from(error).into_response(),
    }
}

async fn only_loopback_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    match host.as_ref().map(|host| host.host()) {
        // A browser says which page asks (Fetch Standard, "Origin header"); no page is the operator's.
        Some("127.0.0.1" | "[::1]" | "localhost") if request.headers().contains_key(header::ORIGIN) => {
            ApiRefusal::from(ApiCode::WebPage).into_response()
        }
        Some("127.0.0.1" | "[::1]" | "localhost") => next.run(request).await,
        _ => ApiRefusal::from(ApiCode::HostRefused).into_response(),
    }
}
