//! Why a request to the API is refused, as problem details (RFC 9457).

use std::{error::Error, fmt::Display};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::store::StoreError;

hawser_codes::codes! {
    /// Why a request to the operator's listener is refused: the last part of the problem's `type`.
    pub enum ApiCode { status: u16 }

    /// the query has a parameter that there is not, or a value that it cannot have
    QueryInvalid = "query-invalid", 400,
        "compare the query with `docs/openapi.json`";
    /// the cursor is not one that this list gave
    CursorUnknown = "cursor-unknown", 400,
        "pass on `next` of the page before unchanged, or begin without `cursor`";
    /// the body is not JSON
    BodyMalformed = "body-malformed", 400,
        "send one JSON object in UTF-8";
    /// the header `Idempotency-Key` is not 1 to 128 visible ASCII characters, or is there more than once
    IdempotencyKeyInvalid = "idempotency-key-invalid", 400,
        "send one random value, such as a UUID, for each thing that you make";
    /// the request has no token
    ApiTokenMissing = "api-token-missing", 401,
        "send `Authorization: Bearer hwt_…`; `hawser-console token create` makes one";
    /// the token is none of this console's
    ApiTokenUnknown = "api-token-unknown", 401,
        "compare it with what `hawser-console token create` printed";
    /// the token has expired
    ApiTokenExpired = "api-token-expired", 401,
        "make another one with `hawser-console token create`";
    /// the token was revoked
    ApiTokenRevoked = "api-token-revoked", 401,
        "ask who runs the console for another one";
    /// the token does not have the scope that this needs
    ScopeMissing = "scope-missing", 403,
        "ask with a token that has it";
    /// the token is for one customer, and this is for another or for all
    CustomerRefused = "customer-refused", 403,
        "name the token's own customer, or ask with a token of all customers";
    /// the request comes from a web page
    WebPage = "web-page-refused", 403,
        "ask from a program, which sends no `Origin`";
    /// there is nothing of this id, or it is another customer's
    NotFound = "not-found", 404,
        "look for it in the list";
    /// there is no such route
    RouteUnknown = "route-unknown", 404,
        "compare the path with `docs/openapi.json`";
    /// the route does not take this method
    MethodNotAllowed = "method-not-allowed", 405,
        "use one of those in the header `Allow`";
    /// the body did not arrive in time
    BodyTooSlow = "body-too-slow", 408,
        "send it again";
    /// the body is too large
    BodyTooLarge = "body-too-large", 413,
        "send only what `docs/openapi.json` names";
    /// the content type is not `application/json`
    BodyMediaType = "body-media-type", 415,
        "send `Content-Type: application/json`";
    /// the request is for another host
    HostRefused = "host-refused", 421,
        "use `127.0.0.1`, `[::1]` or `localhost` in the URL";
    /// the body does not have the documented form
    BodyInvalid = "body-invalid", 422,
        "compare it with `docs/openapi.json`";
    /// this idempotency key came with another request before
    IdempotencyKeyReused = "idempotency-key-reused", 422,
        "use a new key for another request, and the same body for the same one";
    /// there are 64 endpoints already
    TooManyEndpoints = "too-many-endpoints", 422,
        "remove one that is not needed";
    /// there were too many requests with this token
    TooManyRequests = "too-many-requests", 429,
        "wait for as many seconds as `Retry-After` says";
    /// there were too many idempotency keys within 24 hours
    TooManyIdempotencyKeys = "too-many-idempotency-keys", 429,
        "wait until earlier ones are 24 hours old";
    /// the database does not answer
    DatabaseUnavailable = "database-unavailable", 503,
        "try again, and look into the console's log";
    /// the operating system provided no randomness
    NoRandomness = "randomness-unavailable", 503,
        "try again";
}

impl ApiCode {
    /// A refusal for this reason that says what was found.
    pub fn with(self, found: impl Display) -> ApiRefusal {
        ApiRefusal { code: self, found: found.to_string(), retry_after: None }
    }

    fn title(self) -> &'static str {
        match self.status() {
            401 => "The token is not accepted",
            403 | 421 => "The request is not allowed",
            404 => "There is no such thing",
            405 => "The method is not allowed",
            429 => "Too many requests",
            503 => "The console cannot do it now",
            _ => "The request cannot be read",
        }
    }
}

/// One refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRefusal {
    code: ApiCode,
    found: String,
    /// In seconds.
    retry_after: Option<u64>,
}

impl ApiRefusal {
    /// The same, with the time after which it may be tried again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

impl From<ApiCode> for ApiRefusal {
    fn from(code: ApiCode) -> Self {
        code.with("")
    }
}

impl From<StoreError> for ApiRefusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn Error, "failed to use the database");
        ApiCode::DatabaseUnavailable.into()
    }
}

/// Problem details (RFC 9457), `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDetails {
    /// `urn:hawser:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:hawser:problem:not-found")]
    kind: String,
    /// The same for all problems of a kind.
    title: &'static str,
    /// The HTTP status again.
    status: u16,
    /// What went wrong here.
    detail: String,
    /// What to do next.
    next_step: &'static str,
}

/// After a short outage; longer ones are met by trying again.
const RETRY_AFTER_SECONDS: u64 = 2;

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let code = self.code;
        let colon = if self.found.is_empty() { "" } else { ": " };
        let details = ProblemDetails {
            kind: format!("urn:hawser:problem:{code}"),
            title: code.title(),
            status: code.status(),
            detail: format!("{}{colon}{}", code.meaning(), self.found),
            next_step: code.next_step(),
        };
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer::json(status, &details);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hawser-console\""));
        }
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
            headers.insert(header::RETRY_AFTER, self.retry_after.unwrap_or(RETRY_AFTER_SECONDS).into());
        }
        response
    }
}
