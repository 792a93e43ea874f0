//! CloudFormation's response URL: a presigned `PUT` into a bucket of CloudFormation's.

use std::time::Instant;

use http::{Method, StatusCode};

use super::{Answer, HttpRequest, State};

/// CloudFormation refuses a longer response, CloudFormation User Guide, "Quotas".
const LONGEST_RESPONSE: usize = 4_096;

pub(super) fn answer(state: &mut State, request: &HttpRequest) -> Result<Answer, String> {
    if request.head.method != Method::PUT {
        return Err("not a PUT".to_owned());
    }
    if request.head.uri.path_and_query().map(http::uri::PathAndQuery::as_str) != Some(&state.response_path) {
        return Err("the URL's bytes were changed".to_owned());
    }
    if request.header("content-type").is_some_and(|it| !it.is_empty()) {
        return Err("SignatureDoesNotMatch: a content type".to_owned());
    }
    if request.header("content-length").is_none() {
        return Err("MissingContentLength".to_owned());
    }
    if request.body.len() > LONGEST_RESPONSE {
        return Err("Response object is too long.".to_owned());
    }
    let response = serde_json::from_slice(&request.body).map_err(|error| format!("the response: {error}"))?;
    if state.response.replace(response).is_some() {
        return Err("a second response".to_owned());
    }
    state.responded = Some(Instant::now());
    Ok(Answer::new("PutResponse", StatusCode::OK, "application/xml", ""))
}
