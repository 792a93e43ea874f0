//! The routes. Stacks reach [`public`]; [`admin`] is for the operator, on loopback.

use std::{collections::BTreeSet, error::Error, net::IpAddr, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{
        Path, Query, Request, State,
        rejection::{JsonRejection, QueryRejection},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use standardwebhooks::HEADER_WEBHOOK_ID;

use crate::{
    Console,
    config::role_name,
    launch::{Audience, EXPIRES_IN_HOURS_DEFAULT, Entropy, Launch, Organization, Terms},
    ledger::Answer,
    names::{StackId, is_unseen},
    refusal::{Problem, Reason, Refusal},
    serve::{Peer, Slot, end_connection, slots},
    speaker::Way,
    store::{Change, List, StoreError},
};

/// A notice has 4 to 12 KB: a session token of 1 to 4 KB and a sentence about each report the account has.
pub const NOTICE_BYTES_MAX: usize = 64 * 1024;
/// The time for a notice's body to arrive; a stack sends it in one piece.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);
/// For answers that ask to be sent the same again: STS, SQLite and crowds recover in seconds or in minutes, and a stack has not
/// minutes.
const RETRY_AFTER_SECONDS: &str = "2";

/// Connections in one page when nothing is said, and at most.
const PAGE_DEFAULT: u32 = 100;
/// See [`PAGE_DEFAULT`].
const PAGE_MAX: u32 = 1000;

/// What stacks can reach.
pub fn public(console: Console) -> Router {
    Router::new()
        .route("/notices", post(take_notice))
        .route("/healthz", get(health))
        .layer(middleware::from_fn(end_connection))
        .with_state(console)
}

/// What the operator can reach. Answers only requests whose `Host` is loopback: a web page that resolves its own name to
/// 127.0.0.1 would otherwise speak as the operator.
pub fn admin(console: Console) -> Router {
    Router::new()
        .route("/launches", post(make_launch))
        .route("/launches/{launch_id}/revoke", post(revoke_launch))
        .route("/connections/{connection_id}/disconnect", post(disconnect))
        .route("/connections/{connection_id}/pause", post(pause))
        .route("/connections/{connection_id}/resume", post(resume))
        .route("/connections/{connection_id}/verify", post(verify))
        .route("/connections/{connection_id}/history", get(show_history))
        .route("/problems", get(list_problems))
        .route("/connections", get(list_connections))
        .route("/connections/{connection_id}", get(show_connection))
        .route("/healthz", get(health))
        .fallback(async || operator_problem(StatusCode::NOT_FOUND, "there is no such route"))
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
        Err(error) => storage_problem(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LaunchRequest {
    customer_id: String,
    account_id: Option<String>,
    organization: Option<OrganizationRequest>,
    ways: Option<BTreeSet<Way>>,
    handler_role_name: Option<String>,
    expires_in_hours: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OrganizationRequest {
    organization_id: String,
    management_account_id: String,
}

impl LaunchRequest {
    fn terms(self) -> Result<Terms, String> {
        let audience = match (self.account_id, self.organization) {
            (Some(_), Some(_)) => return Err("either `accountId` or `organization`".to_owned()),
            (id, None) => Audience::Stack(id.map(|id| id.parse()).transpose()?),
            (None, Some(order)) => Audience::Organization(Organization {
                id: order.organization_id.parse()?,
                management_account_id: order.management_account_id.parse()?,
            }),
        };
        let mut terms = Terms::new(self.customer_id.parse()?, audience);
        terms.handler_role_name = self.handler_role_name.as_deref().map(role_name).transpose()?;
        if let Some(ways) = self.ways {
            terms.ways = ways;
        }
        if terms.ways.is_empty() { Err("`ways` must name one".to_owned()) } else { Ok(terms) }
    }
}

async fn make_launch(State(console): State<Console>, order: Result<Json<LaunchRequest>, JsonRejection>) -> Response {
    let order = match order {
        Ok(Json(order)) => order,
        Err(rejection) => {
            let why = format!(
                "the body must be JSON with `customerId`, and perhaps `accountId` or `organization` (`organizationId` and \
                 `managementAccountId`), `ways`, `handlerRoleName` and `expiresInHours`: {rejection}"
            );
            return operator_problem(StatusCode::BAD_REQUEST, &why);
        }
    };
    let hours = order.expires_in_hours.unwrap_or(EXPIRES_IN_HOURS_DEFAULT);
    let terms = match order.terms() {
        Ok(terms) => terms,
        Err(why) => return operator_problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let max = terms.audience.expires_in_hours_max();
    if !(1..=max).contains(&hours) {
        let why = format!("`expiresInHours` must be between 1 and {max}");
        return operator_problem(StatusCode::UNPROCESSABLE_ENTITY, &why);
    }
    let Some(entropy) = entropy() else {
        return operator_problem(StatusCode::SERVICE_UNAVAILABLE, "the operating system provided no randomness");
    };
    let launch = Launch::new(&entropy, terms, (console.clock)(), hours);
    match console.store.add_launch(&launch).await {
        Ok(()) => (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(launch.disclose())).into_response(),
        Err(error) => storage_problem(&error),
    }
}

async fn revoke_launch(State(console): State<Console>, Path(launch_id): Path<String>) -> Response {
    match console.store.revoke(&launch_id, (console.clock)()).await {
        Ok(true) => shown(&json!({"launchId": launch_id, "revoked": true})),
        Ok(false) => operator_problem(StatusCode::NOT_FOUND, "no launch has this id"),
        Err(error) => storage_problem(&error),
    }
}

async fn disconnect(State(console): State<Console>, Path(connection_id): Path<String>) -> Response {
    change(&console, &connection_id, &Change::Disconnect, "disconnected").await
}

async fn pause(State(console): State<Console>, Path(connection_id): Path<String>) -> Response {
    change(&console, &connection_id, &Change::Pause, "paused").await
}

async fn resume(State(console): State<Console>, Path(connection_id): Path<String>) -> Response {
    change(&console, &connection_id, &Change::Resume, "resumed").await
}

async fn verify(State(console): State<Console>, Path(connection_id): Path<String>) -> Response {
    change(&console, &connection_id, &Change::Verify, "requested").await
}

async fn change(console: &Console, connection_id: &str, change: &Change, done: &str) -> Response {
    match console.store.change(connection_id, change, (console.clock)()).await {
        Ok(true) => {
            console.signal.wake();
            shown(&json!({"connectionId": connection_id, done: true}))
        }
        Ok(false) => operator_problem(StatusCode::NOT_FOUND, "no connection has this id"),
        Err(error) => storage_problem(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HistoryPage {
    before: Option<i64>,
    limit: Option<u32>,
}

async fn show_history(
    State(console): State<Console>,
    Path(connection_id): Path<String>,
    page: Result<Query<HistoryPage>, QueryRejection>,
) -> Response {
    let Ok(Query(page)) = page else {
        return operator_problem(StatusCode::BAD_REQUEST, "`before` and `limit` must be numbers");
    };
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let known = console.store.connection(&connection_id, (console.clock)()).await;
    match (known, console.store.history(&connection_id, page.before.unwrap_or(i64::MAX), limit).await) {
        (Ok(None), _) => operator_problem(StatusCode::NOT_FOUND, "no connection has this id"),
        (Ok(Some(_)), Ok(events)) => shown(&json!({"events": events})),
        (Err(error), _) | (_, Err(error)) => storage_problem(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ProblemPage {
    customer_id: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

async fn list_problems(State(console): State<Console>, page: Result<Query<ProblemPage>, QueryRejection>) -> Response {
    let Ok(Query(page)) = page else {
        return operator_problem(StatusCode::BAD_REQUEST, "`after` and `limit` must be numbers");
    };
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    match console.store.problems((None, page.customer_id.as_deref()), page.after.unwrap_or(0), limit).await {
        Ok(problems) => shown(&json!({"problems": problems})),
        Err(error) => storage_problem(&error),
    }
}

/// Randomness from the operating system, when it has some.
pub fn entropy() -> Option<Entropy> {
    let mut entropy = Entropy::from([0; size_of::<Entropy>()]);
    getrandom::fill(&mut entropy).ok().map(|()| entropy)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Page {
    customer_id: Option<String>,
    #[serde(default)]
    unconfirmed: bool,
    after: Option<i64>,
    limit: Option<u32>,
}

async fn list_connections(State(console): State<Console>, page: Result<Query<Page>, QueryRejection>) -> Response {
    let Ok(Query(page)) = page else {
        return operator_problem(StatusCode::BAD_REQUEST, "`after` and `limit` must be numbers, `unconfirmed` `true` or `false`");
    };
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let list = List { customer_id: page.customer_id, unconfirmed: page.unconfirmed };
    match console.store.connections(&list, page.after.unwrap_or(0), limit, (console.clock)()).await {
        Ok((connections, next)) => shown(&json!({"connections": connections, "next": next})),
        Err(error) => storage_problem(&error),
    }
}

async fn show_connection(State(console): State<Console>, Path(connection_id): Path<String>) -> Response {
    match console.store.connection(&connection_id, (console.clock)()).await {
        Ok(Some(connection)) => shown(&json!(connection)),
        Ok(None) => operator_problem(StatusCode::NOT_FOUND, "no connection has this id"),
        Err(error) => storage_problem(&error),
    }
}

/// JSON that a terminal can show: names are the customer's. JSON escapes the control characters below U+0020 and no other: U+009B begins
/// a terminal's escape sequence as ESC does, and U+202E turns the rest of a line round.
fn shown(what: &Value) -> Response {
    let mut text = String::new();
    for c in what.to_string().chars() {
        // Outside of texts JSON is plain ASCII, so this is always inside one.
        if c.is_control() || is_unseen(c) {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn only_loopback_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    match host.as_ref().map(|host| host.host()) {
        // A browser says which page asks (Fetch Standard, "Origin header"); no page is the operator's.
        Some("127.0.0.1" | "[::1]" | "localhost") if request.headers().contains_key(header::ORIGIN) => {
            operator_problem(StatusCode::FORBIDDEN, "the operator's routes answer to no web page")
        }
        Some("127.0.0.1" | "[::1]" | "localhost") => next.run(request).await,
        _ => operator_problem(StatusCode::MISDIRECTED_REQUEST, "the operator's routes answer to loopback names only"),
    }
}

fn operator_problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let status = status.as_u16();
    problem(&Problem { kind: "about:blank".to_owned(), title, status, detail: detail.to_owned() })
}

fn storage_problem(error: &StoreError) -> Response {
    tracing::error!(error = error as &dyn Error, "failed to use the database");
    operator_problem(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
}
