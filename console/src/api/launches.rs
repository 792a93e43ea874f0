//! Launches: make, list, look at, revoke.

use std::collections::BTreeSet;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    answer::{self, Page},
    idempotency,
    input::{Caller, Id, Input, Launch as MayLaunch, Params, Read, page, unique},
    refusal::{ApiCode, ApiRefusal},
};
use crate::{
    Console,
    access::Access,
    config::role_name,
    launch::{Audience, Disclosure, EXPIRES_IN_HOURS_DEFAULT, Launch, LaunchView, Organization, Terms},
    random,
    secret::Secret,
    speaker::Way,
    store::{LaunchFilter, Listed},
};

/// What a launch is made for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(example = json!({"customerId": "customer-4711", "accountId": "111122223333", "expiresInHours": 24}))]
pub(super) struct LaunchOrder {
    /// Your own id of the customer, 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    customer_id: String,
    /// The only account that may use it; any when left out.
    #[schema(pattern = "^[0-9]{12}$")]
    account_id: Option<String>,
    /// For the accounts of this organization, one stack in each. Not together with `accountId`.
    organization: Option<OrganizationOrder>,
    /// How it may be used; `["stack"]` when left out.
    #[serde(default, deserialize_with = "unique")]
    #[schema(min_items = 1)]
    ways: Option<BTreeSet<Way>>,
    /// A name that the handler's role may have beside the one that CloudFormation makes.
    #[schema(pattern = "^[A-Za-z0-9_+=,.@-]{1,64}$")]
    handler_role_name: Option<String>,
    /// How long it connects new stacks: at most a week, for an organization a year. 24 when left out.
    #[schema(minimum = 1, maximum = 8784)]
    expires_in_hours: Option<u32>,
}

/// An organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OrganizationOrder {
    /// `o-…`
    #[schema(pattern = "^o-[a-z0-9]{10,32}$")]
    organization_id: String,
    /// The account that pays for it.
    #[schema(pattern = "^[0-9]{12}$")]
    management_account_id: String,
}

impl LaunchOrder {
    /// The terms, and for how many hours.
    fn terms(self) -> Result<(Terms, u32), String> {
        let of = |field: &'static str| move |why: &str| format!("`{field}`: {why}");
        let hours = self.expires_in_hours.unwrap_or(EXPIRES_IN_HOURS_DEFAULT);
        let audience = match (self.account_id, self.organization) {
            (Some(_), Some(_)) => return Err("either `accountId` or `organization`".to_owned()),
            (id, None) => Audience::Stack(id.map(|id| id.parse()).transpose().map_err(of("accountId"))?),
            (None, Some(order)) => Audience::Organization(Organization {
                id: order.organization_id.parse().map_err(of("organizationId"))?,
                management_account_id: order.management_account_id.parse().map_err(of("managementAccountId"))?,
            }),
        };
        let mut terms = Terms::new(self.customer_id.parse().map_err(of("customerId"))?, audience);
        let name = self.handler_role_name.as_deref().map(role_name).transpose();
        terms.handler_role_name = name.map_err(|why| format!("`handlerRoleName`: {why}"))?;
        if let Some(ways) = self.ways {
            terms.ways = ways;
        }
        if terms.ways.is_empty() {
            return Err("`ways` must name one".to_owned());
        }
        let max = terms.audience.expires_in_hours_max();
        if !(1..=max).contains(&hours) {
            return Err(format!("`expiresInHours` must be between 1 and {max}"));
        }
        Ok((terms, hours))
    }
}

/// Make a launch
///
/// What you put into one launch link. The answer has the token and the external ID; no other answer ever has the token. With an
/// `Idempotency-Key` the same request makes one launch, and gets its answer again, for 24 hours.
#[utoipa::path(post, path = "/launches", operation_id = "createLaunch", tag = "launches",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, new for each launch.")),
    request_body = LaunchOrder,
    responses((status = 201, description = "The launch with its token.", body = Disclosure,
        example = json!({"launchId": "6f5e4d3c2b1a0918", "customerId": "customer-4711", "token": "whsec_…", "externalId": "8c1d…", "ways": ["stack"], "handlerRoleName": null, "accountId": "111122223333", "organization": null, "expiresAt": "2026-11-23T10:00:00Z"}))))]
pub(super) async fn create_launch(
    State(console): State<Console>,
    caller: Caller<MayLaunch>,
    headers: HeaderMap,
    Input { body, bytes }: Input<LaunchOrder>,
) -> Result<Response, ApiRefusal> {
    let key = idempotency::key(&headers)?;
    let (terms, hours) = body.terms().map_err(|why| ApiCode::BodyInvalid.with(why))?;
    if !caller.access.customers.include(terms.customer_id.as_str()) {
        return Err(ApiCode::CustomerRefused.into());
    }
    let now = (console.clock)();
    let launch = Launch::new(&random::bytes().ok_or(ApiCode::NoRandomness)?, terms, now, hours);
    let answer = Secret::new(serde_json::to_string(&launch.disclose()).map_err(|error| ApiCode::BodyInvalid.with(error))?);
    let once = key.map(|key| idempotency::once(&caller.access, "createLaunch", &key, &bytes, &answer));
    let made = console.store.add_launch(&caller.access, &launch, once.as_ref(), now).await?;
    idempotency::created(made, answer)
}

/// Which launches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct LaunchParams {
    /// Of this customer.
    customer_id: Option<String>,
    /// Made for this account only.
    account_id: Option<String>,
    /// `next` of the page before. Without it: the first page.
    cursor: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List launches
///
/// In the order they were made, without tokens and external IDs.
#[utoipa::path(get, path = "/launches", operation_id = "listLaunches", tag = "launches", params(LaunchParams),
    responses((status = 200, description = "One page.", body = Page<LaunchView>)))]
pub(super) async fn list_launches(
    State(console): State<Console>,
    caller: Caller<Read>,
    Params(params): Params<LaunchParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("launches", params.cursor.as_deref(), params.limit)?;
    let filter = LaunchFilter { customer_id: params.customer_id, account_id: params.account_id };
    let (Listed { items, next }, now) = (console.store.launches(&caller.access, &filter, page).await?, (console.clock)());
    let items = items.into_iter().map(|launch| LaunchView::new(launch, now).without_external_id()).collect();
    Ok(answer::json(StatusCode::OK, &Page::new("launches", Listed { items, next })))
}

/// Look at a launch
///
/// Where it stands, with its external ID and without its token.
#[utoipa::path(get, path = "/launches/{launchId}", operation_id = "getLaunch", tag = "launches",
    params(("launchId" = String, Path, description = "See `launchId` in the list.")),
    responses((status = 200, description = "The launch.", body = LaunchView)))]
pub(super) async fn get_launch(
    State(console): State<Console>,
    caller: Caller<Read>,
    Id(launch_id): Id,
) -> Result<Response, ApiRefusal> {
    shown(&console, &caller.access, &launch_id).await
}

/// Revoke a launch
///
/// Ends it at once: notices of its stacks are refused, but for removals. To revoke what is revoked changes nothing.
#[utoipa::path(post, path = "/launches/{launchId}/revoke", operation_id = "revokeLaunch", tag = "launches",
    params(("launchId" = String, Path, description = "See `launchId` in the list.")),
    responses((status = 200, description = "The launch as it is now.", body = LaunchView)))]
pub(super) async fn revoke_launch(
    State(console): State<Console>,
    caller: Caller<MayLaunch>,
    Id(launch_id): Id,
) -> Result<Response, ApiRefusal> {
    if !console.store.revoke(&caller.access, &launch_id, (console.clock)()).await? {
        return Err(ApiCode::NotFound.into());
    }
    shown(&console, &caller.access, &launch_id).await
}

async fn shown(console: &Console, access: &Access, launch_id: &str) -> Result<Response, ApiRefusal> {
    let launch = console.store.launch(access, launch_id).await?.ok_or(ApiCode::NotFound)?;
    Ok(answer::json(StatusCode::OK, &LaunchView::new(launch, (console.clock)())))
}
