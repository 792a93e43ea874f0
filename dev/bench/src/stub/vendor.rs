//! The vendor: takes one notice, checks its signature (not the proof of identity, which only Hawser makes).

use http::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{ACCOUNT, Answer, HttpRequest, State};

const CONNECTION_ID: &str = "connection-1";

pub(super) fn answer(state: &mut State, request: &HttpRequest) -> Result<Answer, String> {
    if request.head.method != Method::POST {
        return Err("not a POST".to_owned());
    }
    if request.header("content-type") != Some("application/cloudevents+json") {
        return Err("not a CloudEvent".to_owned());
    }
    let signed = Webhook::new(&state.launch_token).and_then(|it| it.verify(&request.body, &request.head.headers));
    signed.map_err(|error| format!("the signature: {error}"))?;
    let notice: Value = serde_json::from_slice(&request.body).map_err(|error| format!("the notice: {error}"))?;
    for (key, expected) in [
        ("/specversion", "1.0"),
        ("/type", "hawser.connection.established"),
        ("/subject", ACCOUNT),
        ("/data/accountId", ACCOUNT),
        ("/data/packs/billing", "ReadOnly"),
    ] {
        if notice.pointer(key).and_then(Value::as_str) != Some(expected) {
            return Err(format!("`{key}` is not `{expected}`"));
        }
    }
    state.notice = Some(notice);
    let body = json!({"connectionId": CONNECTION_ID, "message": "Welcome."});
    Ok(Answer::new("PostNotice", StatusCode::OK, "application/json", body.to_string()))
}
