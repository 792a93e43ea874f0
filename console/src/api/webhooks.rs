//! Endpoints of webhooks: make, list, try, rotate, disable, remove, and what was attempted.

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{
    answer::{self, Page},
    idempotency,
    input::{Admin, Caller, Id, Input, PageParams, Params, page},
    refusal::{ApiCode, ApiRefusal},
};
use crate::{
    Console,
    access::Customers,
    names::CustomerId,
    random,
    secret::Secret,
    store::{EndpointView, Listed, Made, NewEndpoint},
    webhook::{
        attempt::{Attempt, Outcome},
        endpoint::Filter,
        endpoint_url::EndpointUrl,
        event::{Event, EventType},
        ids::{EndpointId, EventId},
        secrets::{OVERLAP_DEFAULT, RotationRefused, SigningSecret},
    },
};

/// Where events are to be posted to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"url": "https://hooks.example.com/hawser", "events": ["connection.*", "problem.*"], "customerId": null}))]
pub(super) struct EndpointOrder {
    /// `https`, on a public address, without user name, password and fragment. No answer ever has more of it than its host.
    #[schema(max_length = 2048)]
    url: String,
    /// Types of events, groups of them such as `problem.*`, or `*`.
    #[schema(min_items = 1, max_items = 64)]
    events: Vec<String>,
    /// The only customer whose events it takes; all when left out.
    #[schema(pattern = "^[!-~]{1,128}$")]
    customer_id: Option<String>,
}

/// The secret that signs what is posted to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSecret<'a> {
    endpoint_id: String,
    /// `whsec_…`, as Standard Webhooks has it. No other answer ever has it.
    secret: &'a str,
}

fn with_secret(id: &EndpointId, secret: &SigningSecret) -> Result<Secret, ApiRefusal> {
    let answer = EndpointSecret { endpoint_id: id.to_string(), secret: secret.expose() };
    Ok(Secret::new(serde_json::to_string(&answer).map_err(|error| ApiCode::BodyInvalid.with(error))?))
}

/// Make an endpoint
///
/// Events that happen from now on are posted to it. With an `Idempotency-Key` the same request makes one endpoint, and gets its answer
/// again, for 24 hours.
#[utoipa::path(post, path = "/webhook-endpoints", operation_id = "createWebhookEndpoint", tag = "webhooks",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, new for each endpoint.")),
    request_body = EndpointOrder,
    responses((status = 201, description = "Its id and secret.", body = EndpointSecret,
        example = json!({"endpointId": "ep_0123456789abcdef0123456789abcdef", "secret": "whsec_…"}))))]
pub(super) async fn create_webhook_endpoint(
    State(console): State<Console>,
    caller: Caller<Admin>,
    headers: HeaderMap,
    Input { body, bytes }: Input<EndpointOrder>,
) -> Result<Response, ApiRefusal> {
    let key = idempotency::key(&headers)?;
    let invalid = |field: &str, why: &dyn std::fmt::Display| ApiCode::BodyInvalid.with(format!("`{field}`: {why}"));
    let url = EndpointUrl::parse(&body.url, console.reach).map_err(|why| invalid("url", &why))?;
    let filter = Filter::parse(&body.events).map_err(|why| invalid("events", &why))?;
    let customer_id = body.customer_id.map(|id| id.parse::<CustomerId>()).transpose();
    let customer_id = customer_id.map_err(|why| invalid("customerId", &why))?;
    if let Customers::One(own) = &caller.access.customers
        && customer_id.as_ref() != Some(own)
    {
        return Err(ApiCode::CustomerRefused.into());
    }
    let id = EndpointId::new(random::bytes().ok_or(ApiCode::NoRandomness)?);
    let secret = SigningSecret::new(&random::bytes().ok_or(ApiCode::NoRandomness)?);
    let answer = with_secret(&id, &secret)?;
    let once = key.map(|key| idempotency::once(&caller.access, "createWebhookEndpoint", &key, &bytes, &answer));
    let customer_id = customer_id.map(|id| id.as_str().to_owned());
    let endpoint = NewEndpoint { id, customer_id, url, filter, secret };
    let made = console.store.add_endpoint(&endpoint, once.as_ref(), (console.clock)()).await?;
    idempotency::created(made.ok_or(ApiCode::TooManyEndpoints)?, answer)
}

/// List endpoints
///
/// In the order they were made. There are 64 at most, all on one page.
#[utoipa::path(get, path = "/webhook-endpoints", operation_id = "listWebhookEndpoints", tag = "webhooks",
    responses((status = 200, description = "All of them.", body = Page<EndpointView>)))]
pub(super) async fn list_webhook_endpoints(
    State(console): State<Console>,
    caller: Caller<Admin>,
) -> Result<Response, ApiRefusal> {
    let items = console.store.endpoints(&caller.access).await?;
    Ok(answer::json(StatusCode::OK, &Page::new("webhook-endpoints", Listed { items, next: None })))
}

/// One attempt to post an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptView {
    event_id: String,
    /// Of the event, from 1.
    number: u32,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// `result` is `success` or `failure`; a failure has a `kind` ([errors.md](errors.md)), and a `status` where there was a response.
    #[schema(value_type = Object)]
    outcome: Outcome,
    duration_ms: u64,
    /// The beginning of the response's body.
    excerpt: String,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let Attempt { event_id, number, at, outcome, duration_ms, excerpt, .. } = attempt;
        Self { event_id: event_id.to_string(), number, at, outcome, duration_ms, excerpt }
    }
}

/// List the attempts at an endpoint
///
/// The newest first, of the last 30 days, without what was sent.
#[utoipa::path(get, path = "/webhook-endpoints/{endpointId}/attempts", operation_id = "listWebhookAttempts", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list."), PageParams),
    responses((status = 200, description = "The newest of them.", body = Page<AttemptView>)))]
pub(super) async fn list_webhook_attempts(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("webhook-attempts", params.cursor.as_deref(), params.limit)?;
    let listed = console.store.attempts(&caller.access, &endpoint_id, page).await?.ok_or(ApiCode::NotFound)?;
    let listed = Listed { items: listed.items.into_iter().map(AttemptView::from).collect(), next: listed.next };
    Ok(answer::json(StatusCode::OK, &Page::new("webhook-attempts", listed)))
}

/// An endpoint that was changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedEndpoint {
    endpoint_id: String,
    /// Always true.
    done: bool,
}

fn done(endpoint_id: String) -> Response {
    answer::json(StatusCode::OK, &ChangedEndpoint { endpoint_id, done: true })
}

/// How the secret is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"overlapHours": 24}))]
pub(super) struct RotationOrder {
    /// How long the secret of before signs as well; 0 after a leak. 24 when left out.
    #[schema(minimum = 0, maximum = 168)]
    overlap_hours: Option<u32>,
}

/// Rotate an endpoint's secret
///
/// Until the overlap ends each message has both signatures, so that a receiver can change its secret at any time in between.
#[utoipa::path(post, path = "/webhook-endpoints/{endpointId}/rotate-secret", operation_id = "rotateWebhookSecret", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list.")),
    request_body = RotationOrder,
    responses((status = 201, description = "The new secret.", body = EndpointSecret)))]
pub(super) async fn rotate_webhook_secret(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
    Input { body, .. }: Input<RotationOrder>,
) -> Result<Response, ApiRefusal> {
    let now = (console.clock)();
    let overlap = body.overlap_hours.map_or(OVERLAP_DEFAULT, |hours| Duration::hours(hours.into()));
    let next = SigningSecret::new(&random::bytes().ok_or(ApiCode::NoRandomness)?);
    let id: EndpointId = endpoint_id.parse().map_err(|_| ApiCode::NotFound)?;
    let changed = console.store.change_endpoint(&caller.access, &endpoint_id, |endpoint| {
        endpoint.secrets = endpoint.secrets.rotate(next.clone(), overlap, now)?;
        Ok::<_, RotationRefused>(())
    });
    changed.await?.ok_or(ApiCode::NotFound)?.map_err(|why| ApiCode::BodyInvalid.with(format!("`overlapHours`: {why}")))?;
    idempotency::created(Made::Now, with_secret(&id, &next)?)
}

/// Disable an endpoint
///
/// Nothing is posted to it until it is enabled, and what happens meanwhile never is.
#[utoipa::path(post, path = "/webhook-endpoints/{endpointId}/disable", operation_id = "disableWebhookEndpoint", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list.")),
    responses((status = 200, description = "It is disabled.", body = ChangedEndpoint)))]
pub(super) async fn disable_webhook_endpoint(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
) -> Result<Response, ApiRefusal> {
    let now = (console.clock)();
    let changed = console.store.change_endpoint(&caller.access, &endpoint_id, |endpoint| {
        endpoint.health = endpoint.health.disabled_by_operator(now).0;
        Ok::<_, std::convert::Infallible>(())
    });
    changed.await?.ok_or(ApiCode::NotFound)?.ok();
    Ok(done(endpoint_id))
}

/// Enable an endpoint
///
/// Also one that was disabled after five days of failures.
#[utoipa::path(post, path = "/webhook-endpoints/{endpointId}/enable", operation_id = "enableWebhookEndpoint", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list.")),
    responses((status = 200, description = "It is enabled.", body = ChangedEndpoint)))]
pub(super) async fn enable_webhook_endpoint(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
) -> Result<Response, ApiRefusal> {
    let changed = console.store.change_endpoint(&caller.access, &endpoint_id, |endpoint| {
        endpoint.health = endpoint.health.enabled_by_operator();
        Ok::<_, std::convert::Infallible>(())
    });
    changed.await?.ok_or(ApiCode::NotFound)?.ok();
    Ok(done(endpoint_id))
}

/// Try an endpoint
///
/// Posts an event of the type `webhook.test` to it, whatever events it takes. What comes of it is among its attempts.
#[utoipa::path(post, path = "/webhook-endpoints/{endpointId}/test", operation_id = "testWebhookEndpoint", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list.")),
    responses((status = 200, description = "It is on its way.", body = ChangedEndpoint)))]
pub(super) async fn test_webhook_endpoint(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
) -> Result<Response, ApiRefusal> {
    let now = (console.clock)();
    let id = EventId::new(random::bytes().ok_or(ApiCode::NoRandomness)?);
    let event = Event::new(id, EventType::WebhookTest, now, &json!({"endpoint": {"id": endpoint_id}}));
    let event = event.map_err(|error| ApiCode::NotFound.with(error))?;
    if !console.store.post_to(&caller.access, &endpoint_id, &event, now).await? {
        return Err(ApiCode::NotFound.into());
    }
    console.signal.wake();
    Ok(done(endpoint_id))
}

/// Remove an endpoint
///
/// What was on its way to it is dropped.
#[utoipa::path(post, path = "/webhook-endpoints/{endpointId}/remove", operation_id = "removeWebhookEndpoint", tag = "webhooks",
    params(("endpointId" = String, Path, description = "See `endpointId` in the list.")),
    responses((status = 200, description = "It is gone.", body = ChangedEndpoint)))]
pub(super) async fn remove_webhook_endpoint(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(endpoint_id): Id,
) -> Result<Response, ApiRefusal> {
    if !console.store.remove_endpoint(&caller.access, &endpoint_id).await? {
        return Err(ApiCode::NotFound.into());
    }
    Ok(done(endpoint_id))
}
