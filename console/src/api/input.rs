//! What a request brings: its caller, its query, its body. Everything that is not as documented is refused with its own problem.

use std::{collections::BTreeSet, error::Error as StdError, marker::PhantomData, time::Duration};

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, State, rejection::QueryRejection},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header, request::Parts};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use utoipa::IntoParams;

use super::{
    answer,
    refusal::{ApiCode, ApiRefusal},
};
use crate::{
    Console,
    access::{Access, Scope},
    secret::Secret,
    store,
};

/// An order has some hundred bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// The time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Items of a page where nothing is said.
const PAGE_DEFAULT: u32 = 100;
/// Items of a page at most.
const PAGE_MAX: u32 = 1000;

/// Who asks, and what it may do. An extension of the request.
#[derive(Debug, Clone)]
struct Granted {
    access: Access,
    /// None: everything.
    scopes: Option<Vec<Scope>>,
}

/// Lets in who has a good token; on this machine's own listener also who has none, unless tokens are required.
pub(super) async fn admit(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    match granted(&console, request.headers()).await {
        Ok(granted) => {
            request.extensions_mut().insert(granted);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn granted(console: &Console, headers: &HeaderMap) -> Result<Granted, ApiRefusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let text = match (all.next(), all.next()) {
        (None, _) if console.requires_api_token => return Err(ApiCode::ApiTokenMissing.into()),
        (None, _) => return Ok(Granted { access: Access::operator(), scopes: None }),
        (Some(value), None) => value.to_str().map_err(|_| ApiCode::ApiTokenUnknown)?,
        (Some(_), Some(_)) => return Err(ApiCode::ApiTokenUnknown.into()),
    };
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiCode::ApiTokenUnknown.into());
    }
    let now = (console.clock)();
    let token = console.store.use_token(&Secret::new(token.trim()), now).await?.ok_or(ApiCode::ApiTokenUnknown)?;
    if token.revoked_at.is_some() {
        return Err(ApiCode::ApiTokenRevoked.into());
    }
    if now >= token.expires_at {
        return Err(ApiCode::ApiTokenExpired.into());
    }
    console
        .limits
        .count_request(&token.token_id, now)
        .map_err(|seconds| ApiCode::TooManyRequests.with("").retry_after(seconds))?;
    Ok(Granted { access: token.access(), scopes: Some(token.scopes.into_iter().collect()) })
}

/// A scope as a type, for [`Caller`].
pub trait Needs {
    const SCOPE: Scope;
}

/// See [`Scope::Read`].
#[derive(Debug)]
pub struct Read;
/// See [`Scope::Manage`].
#[derive(Debug)]
pub struct Manage;
/// See [`Scope::Launch`].
#[derive(Debug)]
pub struct Launch;
/// See [`Scope::Admin`].
#[derive(Debug)]
pub struct Admin;

impl Needs for Read {
    const SCOPE: Scope = Scope::Read;
}
impl Needs for Manage {
    const SCOPE: Scope = Scope::Manage;
}
impl Needs for Launch {
    const SCOPE: Scope = Scope::Launch;
}
impl Needs for Admin {
    const SCOPE: Scope = Scope::Admin;
}

/// Who asks. An operation that takes it is done only for who has the scope.
#[derive(Debug)]
pub struct Caller<S> {
    pub access: Access,
    scope: PhantomData<S>,
}

impl<S: Needs, T: Send + Sync> FromRequestParts<T> for Caller<S> {
    type Rejection = ApiRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, ApiRefusal> {
        let Granted { access, scopes } = parts.extensions.get::<Granted>().cloned().ok_or(ApiCode::ApiTokenMissing)?;
        let may = scopes.is_none_or(|scopes| scopes.contains(&S::SCOPE) || scopes.contains(&Scope::Admin));
        if may {
            Ok(Self { access, scope: PhantomData })
        } else {
            Err(ApiCode::ScopeMissing.with(format!("`{}`", S::SCOPE.as_str())))
        }
    }
}

/// The id in the path.
#[derive(Debug)]
pub struct Id(pub String);

impl<T: Send + Sync> FromRequestParts<T> for Id {
    type Rejection = ApiRefusal;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Self, ApiRefusal> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiCode::NotFound)?;
        Ok(Self(id))
    }
}

/// The query.
#[derive(Debug)]
pub struct Params<P>(pub P);

impl<P: DeserializeOwned, T: Send + Sync> FromRequestParts<T> for Params<P> {
    type Rejection = ApiRefusal;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Self, ApiRefusal> {
        let query = Query::<P>::from_request_parts(parts, state).await;
        let Query(params) = query.map_err(|rejection: QueryRejection| {
            // Its own text repeats what axum says of every query.
            let cause = StdError::source(&rejection).and_then(StdError::source).map(ToString::to_string);
            ApiCode::QueryInvalid.with(cause.unwrap_or_else(|| rejection.body_text()))
        })?;
        Ok(Self(params))
    }
}

/// Which page of a list. In the query of every list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// `next` of the page before. Without it: the first page.
    pub cursor: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
}

/// The page that a query asks for.
pub fn page(list: &str, cursor: Option<&str>, limit: Option<u32>) -> Result<store::Page, ApiRefusal> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiCode::QueryInvalid.with(format!("`limit` must be between 1 and {PAGE_MAX}")));
    }
    let place = |cursor| answer::place(list, cursor).ok_or(ApiCode::CursorUnknown);
    Ok(store::Page { after: cursor.map(place).transpose()?, limit })
}

/// A set whose members are each there once.
pub(super) fn unique<'de, D: Deserializer<'de>, T: Deserialize<'de> + Ord>(
    deserializer: D,
) -> Result<Option<BTreeSet<T>>, D::Error> {
    let Some(all) = Option::<Vec<T>>::deserialize(deserializer)? else { return Ok(None) };
    let (count, set) = (all.len(), all.into_iter().collect::<BTreeSet<_>>());
    if set.len() == count { Ok(Some(set)) } else { Err(D::Error::custom("one is there more than once")) }
}

/// The body, and its bytes.
#[derive(Debug)]
pub struct Input<B> {
    pub body: B,
    pub bytes: Vec<u8>,
}

impl<B: DeserializeOwned, T: Send + Sync> FromRequest<T> for Input<B> {
    type Rejection = ApiRefusal;

    async fn from_request(request: Request, _: &T) -> Result<Self, ApiRefusal> {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(ApiCode::BodyMediaType.into());
        }
        let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX))
            .await
            .map_err(|_| ApiCode::BodyTooSlow.with(format!("it took over {} seconds", BODY_TIMEOUT.as_secs())))?;
        let bytes = bytes.map_err(|error| match StdError::source(&error) {
            Some(cause) if cause.is::<http_body_util::LengthLimitError>() => {
                ApiCode::BodyTooLarge.with(format!("over {BODY_BYTES_MAX} bytes"))
            }
            _ => ApiCode::BodyMalformed.with("it broke off"),
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let at = error.path().to_string();
            let cause = error.into_inner();
            match cause.classify() {
                serde_json::error::Category::Data if at == "." => ApiCode::BodyInvalid.with(cause),
                serde_json::error::Category::Data => ApiCode::BodyInvalid.with(format!("`{at}`: {cause}")),
                _ => ApiCode::BodyMalformed.with(cause),
            }
        })?;
        json.end().map_err(|error| ApiCode::BodyMalformed.with(error))?;
        Ok(Self { body, bytes: bytes.into() })
    }
}
