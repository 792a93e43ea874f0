//! The vendor: takes one notice, checks its signature (not the proof of identity, which only Hawser makes).

use http::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{ACCOUNT, Answer, Asked, Inside};

const CONNECTION_ID: &str = "connection-1";

pub(super) fn answer(inside: &mut Inside, asked: &Asked) -> Result<Answer, String> {
    if asked.head.method != Method::POST {
        return Err("not a POST".to_owned());
    }
    if asked.header("content-type") != Some("application/cloudevents+json") {
        return Err("not a CloudEvent".to_owned());
    }
    let signed = Webhook::new(&inside.launch_token).and_then(|it| it.verify(&asked.body, &asked.head.headers));
    signed.map_err(|error| format!("the signature: {error}"))?;
    let notice: Value = serde_json::from_slice(&asked.body).map_err(|error| format!("the notice: {error}"))?;
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
    inside.notice = Some(notice);
    let body = json!({"connectionId": CONNECTION_ID, "message": "Welcome."});
    Ok(Answer::new("PostNotice", StatusCode::OK, "application/json", body.to_string()))
}
