//! Connections: list, look at, manage.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};

use super::{
    answer::{self, Page},
    input::{Caller, Id, Input, Manage, PageParams, Params, Read, page},
    refusal::{ApiCode, ApiRefusal},
};
use crate::{
    Console,
    access::Access,
    api_token::is_label,
    store::{Change, ConnectionFilter, Listed},
    view::{ConnectionView, Event, State as ConnectionState},
};

/// A label is a line in a list.
const LABEL_CHARS_MAX: usize = 128;
/// Longer than any label, name or account id.
const TEXT_CHARS_MAX: usize = 256;

/// Which connections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionParams {
    /// Of this customer.
    customer_id: Option<String>,
    /// Of this AWS account.
    account_id: Option<String>,
    /// In one of these states, separated by commas. Without it: in any but `unconfirmed`.
    #[param(example = "partial,unavailable")]
    state: Option<String>,
    /// Part of the label, the name or the account id; capitals and small letters of ASCII are the same.
    #[param(max_length = 256)]
    text: Option<String>,
    /// `next` of the page before. Without it: the first page.
    cursor: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

impl ConnectionParams {
    fn filter(&self) -> Result<ConnectionFilter, ApiRefusal> {
        let words = self.state.as_deref().unwrap_or_default().split(',').filter(|word| !word.is_empty());
        let state = |word: &str| {
            ConnectionState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
                let all = ConnectionState::ALL.map(|state| format!("`{}`", state.as_str())).join(", ");
                ApiCode::QueryInvalid.with(format!("`state` must be one of {all}, or several, separated by commas"))
            })
        };
        let text = self.text.as_deref().filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
            return Err(ApiCode::QueryInvalid.with(format!("`text` must have at most {TEXT_CHARS_MAX} characters")));
        }
        Ok(ConnectionFilter {
            customer_id: self.customer_id.clone(),
            account_id: self.account_id.clone(),
            states: words.map(state).collect::<Result<_, _>>()?,
            text: text.map(str::to_owned),
        })
    }
}

/// List connections
///
/// In the order they were made, as they stand now, without their external IDs.
#[utoipa::path(get, path = "/connections", operation_id = "listConnections", tag = "connections", params(ConnectionParams),
    responses((status = 200, description = "One page.", body = Page<ConnectionView>)))]
pub(super) async fn list_connections(
    State(console): State<Console>,
    caller: Caller<Read>,
    Params(params): Params<ConnectionParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("connections", params.cursor.as_deref(), params.limit)?;
    let Listed { items, next } = console.store.connections(&caller.access, &params.filter()?, page, (console.clock)()).await?;
    let items = items.into_iter().map(ConnectionView::without_external_ids).collect();
    Ok(answer::json(StatusCode::OK, &Page::new("connections", Listed { items, next })))
}

/// Look at a connection
///
/// As it stands now: its state and what follows from it, its problems, the last test of its role, and what its stack stated, with the
/// external ID that the role is assumed with.
#[utoipa::path(get, path = "/connections/{connectionId}", operation_id = "getConnection", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")),
    responses((status = 200, description = "The connection.", body = ConnectionView)))]
pub(super) async fn get_connection(
    State(console): State<Console>,
    caller: Caller<Read>,
    Id(connection_id): Id,
) -> Result<Response, ApiRefusal> {
    shown(&console, &caller.access, &connection_id, StatusCode::OK).await
}

/// Look at a connection's history
///
/// What happened to it, and who did it, the newest first.
#[utoipa::path(get, path = "/connections/{connectionId}/history", operation_id = "getConnectionHistory", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list."), PageParams),
    responses((status = 200, description = "One page.", body = Page<Event>,
        example = json!({"items": [{"sequence": 42, "connectionId": "con-1f2e3d4c5b6a79881f2e3d4c5b6a7988", "customerId": "customer-4711", "at": "2026-11-24T16:00:02Z", "type": "connection.paused", "actor": "token:6f5e4d3c2b1a0918", "data": {}}], "next": null}))))]
pub(super) async fn get_connection_history(
    State(console): State<Console>,
    caller: Caller<Read>,
    Id(connection_id): Id,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("history", params.cursor.as_deref(), params.limit)?;
    let listed = console.store.history(&caller.access, &connection_id, page).await?.ok_or(ApiCode::NotFound)?;
    Ok(answer::json(StatusCode::OK, &Page::new("history", listed)))
}

/// What is changed of a connection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "Acme, production"}))]
pub(super) struct ConnectionPatch {
    /// Your own name for it, 1 to 128 characters; null takes it away.
    #[serde(deserialize_with = "stated")]
    #[schema(required, max_length = 128)]
    label: Option<String>,
}

/// Null is a value, and nothing is none.
fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// Name a connection
///
/// Sets the label, your own name for it.
#[utoipa::path(patch, path = "/connections/{connectionId}", operation_id = "updateConnection", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")), request_body = ConnectionPatch,
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView)))]
pub(super) async fn update_connection(
    State(console): State<Console>,
    caller: Caller<Manage>,
    Id(connection_id): Id,
    Input { body, .. }: Input<ConnectionPatch>,
) -> Result<Response, ApiRefusal> {
    if body.label.as_ref().is_some_and(|label| !is_label(label, LABEL_CHARS_MAX)) {
        let why = format!("`label` must have 1 to {LABEL_CHARS_MAX} characters that can be seen, or be null");
        return Err(ApiCode::BodyInvalid.with(why));
    }
    change(&console, &caller.access, &connection_id, &Change::Label(body.label), StatusCode::OK).await
}

/// Pause a connection
///
/// Its role is neither tested nor to be used until it is resumed. To pause what is paused changes nothing.
#[utoipa::path(post, path = "/connections/{connectionId}/pause", operation_id = "pauseConnection", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")),
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView)))]
pub(super) async fn pause_connection(
    State(console): State<Console>,
    caller: Caller<Manage>,
    Id(connection_id): Id,
) -> Result<Response, ApiRefusal> {
    change(&console, &caller.access, &connection_id, &Change::Pause, StatusCode::OK).await
}

/// Resume a connection
///
/// Ends a pause, and tests the role. To resume what is not paused changes nothing.
#[utoipa::path(post, path = "/connections/{connectionId}/resume", operation_id = "resumeConnection", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")),
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView)))]
pub(super) async fn resume_connection(
    State(console): State<Console>,
    caller: Caller<Manage>,
    Id(connection_id): Id,
) -> Result<Response, ApiRefusal> {
    change(&console, &caller.access, &connection_id, &Change::Resume, StatusCode::OK).await
}

/// Verify a connection
///
/// Its role is tested now, and not only within a day. The answer comes before the test; `roleTest` of the connection has its outcome,
/// some seconds later.
#[utoipa::path(post, path = "/connections/{connectionId}/verify", operation_id = "verifyConnection", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")),
    responses((status = 202, description = "The connection as it is before the test.", body = ConnectionView)))]
pub(super) async fn verify_connection(
    State(console): State<Console>,
    caller: Caller<Manage>,
    Id(connection_id): Id,
) -> Result<Response, ApiRefusal> {
    change(&console, &caller.access, &connection_id, &Change::Verify, StatusCode::ACCEPTED).await
}

/// Disconnect
///
/// Ends a connection whose stack cannot: it is `removed` at once and for good, and whatever its stack sends is refused. The stack and
/// its role stay until the customer deletes them.
#[utoipa::path(post, path = "/connections/{connectionId}/disconnect", operation_id = "disconnect", tag = "connections",
    params(("connectionId" = String, Path, description = "See `connectionId` in the list.")),
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView)))]
pub(super) async fn disconnect(
    State(console): State<Console>,
    caller: Caller<Manage>,
    Id(connection_id): Id,
) -> Result<Response, ApiRefusal> {
    change(&console, &caller.access, &connection_id, &Change::Disconnect, StatusCode::OK).await
}

async fn change(
    console: &Console,
    access: &Access,
    connection_id: &str,
    change: &Change,
    status: StatusCode,
) -> Result<Response, ApiRefusal> {
    if !console.store.change(access, connection_id, change, (console.clock)()).await? {
        return Err(ApiCode::NotFound.into());
    }
    console.signal.wake();
    shown(console, access, connection_id, status).await
}

async fn shown(console: &Console, access: &Access, connection_id: &str, status: StatusCode) -> Result<Response, ApiRefusal> {
    let connection = console.store.connection(access, connection_id, (console.clock)()).await?.ok_or(ApiCode::NotFound)?;
    Ok(answer::json(status, &connection))
}
