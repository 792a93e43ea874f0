//! The operator's routes.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Stack, TestConsole};

fn order(body: &str) -> Request<Body> {
    Request::post("/api/v1/launches").header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn a_launch_is_made_and_used() {
    let world = TestConsole::new().await;
    let (status, launch) =
        world.operate(order("{\"customerId\":\"acme\",\"accountId\":\"111122223333\",\"expiresInHours\":2}")).await;
    assert_eq!(status, 201);
    assert_eq!(launch["accountId"], ACCOUNT);
    assert_eq!(launch["expiresAt"], "2026-11-22T12:00:00Z");
    assert!(launch["token"].as_str().unwrap().starts_with("whsec_"));
    let stack = Stack {
        token: launch["token"].as_str().unwrap().to_owned(),
        external_id: launch["externalId"].as_str().unwrap().to_owned(),
        ..world.stack("51af3dc0").await
    };
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    assert_eq!(world.connections().await[0]["launchId"], launch["launchId"]);
    assert!(!Value::from(world.connections().await).to_string().contains("whsec_"));
}

#[tokio::test]
async fn launches_are_unique() {
    let world = TestConsole::new().await;
    let (mut tokens, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let (status, launch) = world.operate(order("{\"customerId\":\"acme\"}")).await;
        assert_eq!((status, &launch["accountId"], &launch["expiresAt"]), (201, &json!(null), &json!("2026-11-23T10:00:00Z")));
        tokens.push(launch["token"].as_str().unwrap().to_owned());
        ids.push(launch["externalId"].as_str().unwrap().to_owned());
    }
    for mut all in [tokens, ids] {
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    }
}

#[tokio::test]
async fn bad_orders() {
    let world = TestConsole::new().await;
    for (body, expected) in [
        ("", 400),
        ("[]", 422),
        ("{\"account\":\"111122223333\"}", 422),
        ("{\"accountId\":111122223333}", 422),
        ("{}", 422),
        ("{\"customerId\":\"\"}", 422),
        ("{\"customerId\":\"a b\"}", 422),
        ("{\"customerId\":\"acme\",\"ways\":[]}", 422),
        ("{\"customerId\":\"acme\",\"ways\":[\"pipeline\"]}", 422),
        ("{\"customerId\":\"acme\",\"handlerRoleName\":\"a/b\"}", 422),
        ("{\"customerId\":\"acme\",\"accountId\":\"1111\"}", 422),
        ("{\"customerId\":\"acme\",\"expiresInHours\":0}", 422),
        ("{\"customerId\":\"acme\",\"expiresInHours\":169}", 422),
    ] {
        let (status, problem) = world.operate(order(body)).await;
        assert_eq!(status, expected, "{body}: {problem}");
    }
    // What is wrong is said.
    let (_, problem) = world.operate(order("{\"accountId\":111122223333}")).await;
    assert!(problem["detail"].as_str().unwrap().contains("invalid type: integer"), "{problem}");
    let (status, problem) = world.operate(Request::get("/elsewhere").body(Body::empty()).unwrap()).await;
    assert_eq!((status, problem["status"].as_u64()), (404, Some(404)), "{problem}");
    // A form of another web page cannot set the content type, and its browser names the page.
    for path in ["/api/v1/launches", "/api/v1/launches/1/revoke", "/api/v1/connections/con-0/disconnect"] {
        let form = Request::post(path).header("origin", "https://evil.example.com").body(Body::empty()).unwrap();
        assert_eq!(world.operate(form).await.0, 403, "{path}");
    }
    let form = Request::post("/api/v1/launches").header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    assert_eq!(world.operate(form).await.0, 415);
}

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let world = TestConsole::new().await;
    for (host, expected) in [
        ("127.0.0.1:8444", 200),
        ("localhost:8444", 200),
        ("[::1]:8444", 200),
        ("rebound.example.com", 421),
        ("127.0.0.1.example.com:8444", 421),
    ] {
        let request = Request::get("/api/v1/connections").header("host", host).body(Body::empty()).unwrap();
        assert_eq!(world.operate(request).await.0, expected, "{host}");
    }
}
