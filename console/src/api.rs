//! The API below `/api/v1`, for the operator and for programs with a token: one file for each group of operations.
//!
//! [`input`] says who asks and what for, [`refusal`] why not, [`answer`] how JSON is answered. [`document`] is the description of all of
//! it, made from the code: `docs/openapi.json`.

pub mod answer;
mod connections;
mod idempotency;
pub mod input;
mod launches;
mod problems;
pub mod refusal;
mod tokens;
mod webhooks;

use std::sync::Arc;

use axum::{Router, middleware, routing::get};
use http::header;
use refusal::{ApiCode, ProblemDetails};
use utoipa::{
    OpenApi as _, PartialSchema as _, ToSchema as _,
    openapi::{
        Content, OpenApi, Ref, RefOr, Schema,
        path::{Operation, PathItem},
        response::ResponseBuilder,
        schema::{ArrayItems, ComponentsBuilder},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Console;

/// Below which all of it is.
const PREFIX: &str = "/api/v1";
/// The name of the kind of tokens in the description.
const TOKEN: &str = "apiToken";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "hawser-console",
        version = "1",
        description = "Connections of customers' AWS accounts, the launches that make them, and what is wrong with them.\n\nLists come in pages: pass on `next` as `cursor`. Every refusal is a problem (RFC 9457) with a code, what was found and the next step; the codes are in `docs/errors.md`. A token of one customer sees that customer's data only: everything else is `not-found`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "http://127.0.0.1:8444", description = "The operator's listener, as `hawser-console serve --admin-listen` has it.")),
    tags(
        (name = "connections", description = "Accounts that are connected, or were."),
        (name = "launches", description = "Permissions to connect, each for one stack or one organization."),
        (name = "problems", description = "What is wrong with connections now."),
        (name = "webhooks", description = "Where changes are posted to. Needs the scope `admin`."),
        (name = "tokens", description = "Tokens of this API. Needs the scope `admin`.")
    )
)]
struct Head;

fn operations() -> OpenApiRouter<Console> {
    let below = OpenApiRouter::new()
        .routes(routes!(connections::list_connections))
        .routes(routes!(connections::get_connection, connections::update_connection))
        .routes(routes!(connections::get_connection_history))
        .routes(routes!(connections::pause_connection))
        .routes(routes!(connections::resume_connection))
        .routes(routes!(connections::verify_connection))
        .routes(routes!(connections::disconnect))
        .routes(routes!(launches::list_launches, launches::create_launch))
        .routes(routes!(launches::get_launch))
        .routes(routes!(launches::revoke_launch))
        .routes(routes!(problems::list_problems))
        .routes(routes!(webhooks::list_webhook_endpoints, webhooks::create_webhook_endpoint))
        .routes(routes!(webhooks::list_webhook_attempts))
        .routes(routes!(webhooks::rotate_webhook_secret))
        .routes(routes!(webhooks::disable_webhook_endpoint))
        .routes(routes!(webhooks::enable_webhook_endpoint))
        .routes(routes!(webhooks::test_webhook_endpoint))
        .routes(routes!(webhooks::remove_webhook_endpoint))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token));
    OpenApiRouter::with_openapi(Head::openapi()).nest(PREFIX, below)
}

/// The operations, each with its caller's token looked at, and their description at `openapi.json`.
pub fn router(console: &Console) -> Router<Console> {
    let (operations, _) = operations().split_for_parts();
    let text: Arc<str> = serde_json::to_string(&document()).unwrap_or_default().into();
    let described = move || {
        let text = text.to_string();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    operations
        .route_layer(middleware::from_fn_with_state(console.clone(), input::admit))
        .route(&format!("{PREFIX}/openapi.json"), get(described))
}

/// The description of the API (OpenAPI 3.1).
pub fn document() -> OpenApi {
    let (_, mut document) = operations().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for operation in all_of(item) {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(TOKEN, [])]);
            describe_errors(path, operation);
        }
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "`hwt_…`, from `hawser-console token create`. Without `serve --require-api-token`, requests on this machine need none.",
        ))
        .build();
    let components = document.components.take().unwrap_or_default();
    let components = ComponentsBuilder::from(components)
        .schema(ProblemDetails::name(), ProblemDetails::schema())
        .security_scheme(TOKEN, SecurityScheme::Http(scheme));
    let mut components = components.build();
    for (name, schema) in &mut components.schemas {
        name_items(name, schema);
    }
    document.components = Some(components);
    document
}

/// A page of something has the thing's own schema for its items, and not a copy of it.
fn name_items(name: &str, schema: &mut RefOr<Schema>) {
    if let (Some(item), RefOr::T(Schema::Object(page))) = (name.strip_prefix("Page_"), schema)
        && let Some(RefOr::T(Schema::Array(array))) = page.properties.get_mut("items")
    {
        array.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::from_schema_name(item))));
    }
}

fn all_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch].into_iter().flatten()
}

/// What an operation can be refused for: each status with its codes.
fn describe_errors(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let parameters: Vec<_> = operation.parameters.iter().flatten().collect();
    let has = |name: &str| parameters.iter().any(|one| matches!(one, RefOr::T(one) if one.name == name));
    let (is_list, has_key, has_id) = (has("cursor"), has("Idempotency-Key"), path.contains('{'));
    let is_for_customers = has_body && !has_id;
    for status in [400, 401, 403, 404, 408, 413, 415, 421, 422, 429, 503] {
        let applies = |code: &ApiCode| match code {
            ApiCode::QueryInvalid | ApiCode::CursorUnknown => is_list,
            ApiCode::BodyMalformed
            | ApiCode::BodyTooSlow
            | ApiCode::BodyTooLarge
            | ApiCode::BodyMediaType
            | ApiCode::BodyInvalid => has_body,
            ApiCode::IdempotencyKeyInvalid | ApiCode::IdempotencyKeyReused | ApiCode::TooManyIdempotencyKeys => has_key,
            ApiCode::CustomerRefused | ApiCode::NoRandomness => is_for_customers,
            ApiCode::NotFound => has_id,
            ApiCode::TooManyEndpoints => path.ends_with("/webhook-endpoints") && has_body,
            ApiCode::RouteUnknown | ApiCode::MethodNotAllowed => false,
            _ => true,
        };
        let codes: Vec<_> = ApiCode::ALL.iter().filter(|code| code.status() == status && applies(code)).collect();
        if codes.is_empty() {
            continue;
        }
        let lines: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.meaning())).collect();
        let response = ResponseBuilder::new()
            .description(lines.join(" "))
            .content("application/problem+json", Content::new(Some(Ref::from_schema_name(ProblemDetails::name()))))
            .build();
        operation.responses.responses.insert(status.to_string(), RefOr::T(response));
    }
}
