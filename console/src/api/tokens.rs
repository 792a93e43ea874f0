//! Tokens of the API: make, list, revoke.

use std::collections::BTreeSet;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{
    answer::{self, Page},
    idempotency,
    input::{Admin, Caller, Id, Input, PageParams, Params, page, unique},
    refusal::{ApiCode, ApiRefusal},
};
use crate::{
    Console,
    access::{Customers, Scope},
    api_token::{ApiToken, EXPIRES_IN_DAYS_DEFAULT, Order},
    names::CustomerId,
    random,
    secret::Secret,
};

/// What a token is made for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"name": "onboarding service", "scopes": ["read", "launch"], "customerId": null, "expiresInDays": 90}))]
pub(super) struct TokenOrder {
    /// For people: who has it.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[serde(deserialize_with = "unique_scopes")]
    #[schema(min_items = 1)]
    scopes: BTreeSet<Scope>,
    /// The only customer whose data it sees; all customers when left out.
    #[schema(pattern = "^[!-~]{1,128}$")]
    customer_id: Option<String>,
    /// 90 when left out.
    #[schema(minimum = 1, maximum = 366)]
    expires_in_days: Option<u32>,
}

/// Each once.
fn unique_scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Scope>, D::Error> {
    unique(deserializer).map(Option::unwrap_or_default)
}

/// A new token, and its text.
#[derive(Serialize, ToSchema)]
pub(super) struct NewToken<'a> {
    /// What its holder sends: `hwt_…`. No other answer ever has it.
    token: &'a str,
    #[serde(flatten)]
    made: &'a ApiToken,
}

/// Make a token
///
/// For a program that uses this API. The answer has the token; of the token itself only a hash is stored. With an `Idempotency-Key` the
/// same request makes one token, and gets its answer again, for 24 hours.
#[utoipa::path(post, path = "/tokens", operation_id = "createToken", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, new for each token.")),
    request_body = TokenOrder,
    responses((status = 201, description = "The token.", body = NewToken,
        example = json!({"token": "hwt_…", "tokenId": "6f5e4d3c2b1a0918", "name": "onboarding service", "scopes": ["read", "launch"], "customerId": null, "madeAt": "2026-11-22T10:00:00Z", "expiresAt": "2027-02-20T10:00:00Z", "lastUsedAt": null, "revokedAt": null}))))]
pub(super) async fn create_token(
    State(console): State<Console>,
    caller: Caller<Admin>,
    headers: HeaderMap,
    Input { body, bytes }: Input<TokenOrder>,
) -> Result<Response, ApiRefusal> {
    let key = idempotency::key(&headers)?;
    let invalid = |why: String| ApiCode::BodyInvalid.with(why);
    let customer_id = body.customer_id.map(|id| id.parse::<CustomerId>()).transpose();
    let customer_id = customer_id.map_err(|why| invalid(format!("`customerId`: {why}")))?;
    if let Customers::One(own) = &caller.access.customers
        && customer_id.as_ref() != Some(own)
    {
        return Err(ApiCode::CustomerRefused.into());
    }
    let expires_in_days = body.expires_in_days.unwrap_or(EXPIRES_IN_DAYS_DEFAULT);
    let order = Order { name: body.name, scopes: body.scopes, customer_id, expires_in_days };
    let entropy = random::bytes().ok_or(ApiCode::NoRandomness)?;
    let (made, text) = ApiToken::new(&entropy, order, (console.clock)()).map_err(invalid)?;
    let answer = serde_json::to_string(&NewToken { token: text.expose(), made: &made });
    let answer = Secret::new(answer.map_err(|error| ApiCode::BodyInvalid.with(error))?);
    let once = key.map(|key| idempotency::once(&caller.access, "createToken", &key, &bytes, &answer));
    let made = console.store.add_token(&caller.access, &made, &text, once.as_ref()).await?;
    idempotency::created(made, answer)
}

/// List tokens
///
/// In the order they were made, those that are over among them.
#[utoipa::path(get, path = "/tokens", operation_id = "listTokens", tag = "tokens", params(PageParams),
    responses((status = 200, description = "One page.", body = Page<ApiToken>,
        example = json!({"items": [{"tokenId": "6f5e4d3c2b1a0918", "name": "onboarding service", "scopes": ["read", "launch"], "customerId": null, "madeAt": "2026-11-22T10:00:00Z", "expiresAt": "2027-02-20T10:00:00Z", "lastUsedAt": "2026-11-24T16:00:02Z", "revokedAt": null}], "next": null}))))]
pub(super) async fn list_tokens(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("tokens", params.cursor.as_deref(), params.limit)?;
    Ok(answer::json(StatusCode::OK, &Page::new("tokens", console.store.tokens(&caller.access, page).await?)))
}

/// A token that was revoked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevokedToken {
    token_id: String,
    /// Always true.
    revoked: bool,
}

/// Revoke a token
///
/// It is good for nothing from now on. To revoke what is revoked changes nothing.
#[utoipa::path(post, path = "/tokens/{tokenId}/revoke", operation_id = "revokeToken", tag = "tokens",
    params(("tokenId" = String, Path, description = "See `tokenId` in the list.")),
    responses((status = 200, description = "It is revoked.", body = RevokedToken,
        example = json!({"tokenId": "6f5e4d3c2b1a0918", "revoked": true}))))]
pub(super) async fn revoke_token(
    State(console): State<Console>,
    caller: Caller<Admin>,
    Id(token_id): Id,
) -> Result<Response, ApiRefusal> {
    if !console.store.revoke_token(&caller.access, &token_id, (console.clock)()).await? {
        return Err(ApiCode::NotFound.into());
    }
    Ok(answer::json(StatusCode::OK, &RevokedToken { token_id, revoked: true }))
}
