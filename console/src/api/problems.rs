//! What is wrong with connections now.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::{self, Page},
    input::{Caller, Params, Read, page},
    refusal::ApiRefusal,
};
use crate::{Console, store::ProblemFilter, view::OpenProblem};

/// Which problems.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ProblemParams {
    /// Of this customer.
    customer_id: Option<String>,
    /// Of this connection.
    connection_id: Option<String>,
    /// With this code.
    #[param(example = "role-refused")]
    code: Option<String>,
    /// `next` of the page before. Without it: the first page.
    cursor: Option<String>,
    /// At most so many items.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List open problems
///
/// What is wrong with connections now, whose turn it is, and what to do next; what opened first comes first. A problem that is gone
/// closes by itself and stands in the connection's history.
#[utoipa::path(get, path = "/problems", operation_id = "listProblems", tag = "problems", params(ProblemParams),
    responses((status = 200, description = "One page.", body = Page<OpenProblem>,
        example = json!({"items": [{"problemId": 7, "connectionId": "con-1f2e3d4c5b6a79881f2e3d4c5b6a7988", "customerId": "customer-4711", "code": "role-refused", "cause": "the role cannot be assumed with the external ID: `AccessDenied`", "actor": "customer", "nextStep": "Check the role's trust policy, and policies of the organization that deny `sts:AssumeRole` from outside.", "openedAt": "2026-11-24T16:00:02Z"}], "next": null}))))]
pub(super) async fn list_problems(
    State(console): State<Console>,
    caller: Caller<Read>,
    Params(params): Params<ProblemParams>,
) -> Result<Response, ApiRefusal> {
    let page = page("problems", params.cursor.as_deref(), params.limit)?;
    let filter = ProblemFilter { customer_id: params.customer_id, connection_id: params.connection_id, code: params.code };
    let listed = console.store.problems(&caller.access, &filter, page).await?;
    Ok(answer::json(StatusCode::OK, &Page::new("problems", listed)))
}
