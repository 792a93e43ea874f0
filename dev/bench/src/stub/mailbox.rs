//! CloudFormation's response URL: a presigned `PUT` into a bucket of CloudFormation's.

use std::time::Instant;

use http::{Method, StatusCode};

use super::{Answer, Asked, Inside};

/// CloudFormation refuses a longer response, CloudFormation User Guide, "Quotas".
const LONGEST_RESPONSE: usize = 4_096;

pub(super) fn answer(inside: &mut Inside, asked: &Asked) -> Result<Answer, String> {
    if asked.head.method != Method::PUT {
        return Err("not a PUT".to_owned());
    }
    if asked.head.uri.path_and_query().map(http::uri::PathAndQuery::as_str) != Some(&inside.response_path) {
        return Err("the URL's bytes were changed".to_owned());
    }
    if asked.header("content-type").is_some_and(|it| !it.is_empty()) {
        return Err("SignatureDoesNotMatch: a content type".to_owned());
    }
    if asked.header("content-length").is_none() {
        return Err("MissingContentLength".to_owned());
    }
    if asked.body.len() > LONGEST_RESPONSE {
        return Err("Response object is too long.".to_owned());
    }
    let response = serde_json::from_slice(&asked.body).map_err(|error| format!("the response: {error}"))?;
    if inside.response.replace(response).is_some() {
        return Err("a second response".to_owned());
    }
    inside.responded = Some(Instant::now());
    Ok(Answer::new("PutResponse", StatusCode::OK, "application/xml", ""))
}
