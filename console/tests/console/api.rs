//! The API as the operator uses it: every operation, what it answers, what it refuses, and its description.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex},
};

use axum::body::Body;
use hawser_console::{api, routes};
use http::{HeaderMap, Method, Request};
use jsonschema::Validator;
use serde_json::{Value, json};
use time::Duration;
use tower::ServiceExt as _;

use crate::support::{ACCOUNT, HANDLER_ROLE, NOW, OTHER_ACCOUNT, Stack, TestConsole, code, resources};

/// A request and its answer, headers included.
pub(crate) async fn ask(
    world: &TestConsole,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> (u16, HeaderMap, Value) {
    let mut request =
        Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap();
    let answer = routes::admin(world.console.clone()).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let expected = if parts.status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(parts.headers["content-type"], expected, "{method} {path}: {}", String::from_utf8_lossy(&body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_described(method, path, parts.status.as_u16(), &body);
    if !parts.status.is_success() {
        assert_eq!(body["status"], parts.status.as_u16());
        let whole = ["title", "detail", "nextStep"].iter().all(|name| body[*name].as_str().is_some_and(|text| !text.is_empty()));
        assert!(whole && !code(&body).is_empty(), "{body}");
    }
    (parts.status.as_u16(), parts.headers, body)
}

/// An answer is one that the description has for the operation, in the form that it has there.
fn assert_described(method: &str, path: &str, status: u16, answer: &Value) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(api::document()).unwrap());
    static FORMS: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let place: Vec<_> = path.split('?').next().unwrap().split('/').collect();
    let is_at = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        parts.len() == place.len() && parts.iter().zip(&place).all(|(part, here)| part.starts_with('{') || part == here)
    };
    let Some((template, item)) = DOCUMENT["paths"].as_object().unwrap().iter().find(|(template, _)| is_at(template)) else {
        return;
    };
    let operation = &item[method.to_lowercase()];
    if operation.is_null() {
        return;
    }
    let key = format!("{method} {template} {status}");
    let mut forms = FORMS.lock().unwrap();
    let form = forms.entry(key.clone()).or_insert_with(|| {
        let content = operation["responses"][status.to_string()]["content"].as_object();
        let content = content.unwrap_or_else(|| panic!("{key} is not described"));
        let schema = json!({"allOf": [content.values().next().unwrap()["schema"]], "components": DOCUMENT["components"]});
        Arc::new(jsonschema::draft202012::new(&schema).unwrap())
    });
    let errors: Vec<String> = form.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{key}: {errors:?}");
}

/// Status and body of what the operator asks.
pub(crate) async fn get(world: &TestConsole, path: &str) -> (u16, Value) {
    let (status, _, body) = ask(world, ("GET", path), &[], None).await;
    (status, body)
}

/// The values of one field of what is listed.
fn all(body: &Value, pointer: &str) -> Vec<Value> {
    body["items"].as_array().unwrap().iter().map(|item| item.pointer(pointer).unwrap().clone()).collect()
}

/// A connection of this customer, and its id.
pub(crate) async fn connection(world: &TestConsole, customer: &str, uuid: &str, name: &str) -> (Stack, String) {
    let launch = world.launch_with(|terms| terms.customer_id = customer.parse().unwrap()).await;
    let stack = Stack { connection_name: name.to_owned(), ..Stack::new(&launch, uuid, &world.sts.url) };
    let (status, body) = world.notify(&stack, "established", 0).await;
    assert_eq!(status, 200, "{body}");
    world.stacks.answer(&stack, Ok(resources(HANDLER_ROLE)));
    (stack, body["connectionId"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_connection_is_managed() {
    let world = TestConsole::new().await;
    let (stack, id) = connection(&world, "acme", "51af3dc0", "production").await;
    world.ask_aws().await;
    let path = format!("/api/v1/connections/{id}");
    let shown = get(&world, &path).await.1;
    assert_eq!((&shown["state"], &shown["externalIdInUse"]), (&json!("verified"), &json!(stack.external_id)));
    assert_eq!(shown["data"]["externalId"], json!(stack.external_id));
    // External ids are for who assumes the role: not in lists.
    let listed = get(&world, "/api/v1/connections").await.1;
    assert_eq!((all(&listed, "/connectionId"), &listed["next"]), (vec![json!(id)], &json!(null)));
    assert!(!listed.to_string().contains(&stack.external_id), "{listed}");

    let (status, _, renamed) = ask(&world, ("PATCH", &path), &[], Some("{\"label\":\"Acme, Zürich\"}")).await;
    assert_eq!((status, &renamed["label"]), (200, &json!("Acme, Zürich")));
    for (operation, status, state) in
        [("pause", 200, "paused"), ("pause", 200, "paused"), ("resume", 200, "verified"), ("verify", 202, "verified")]
    {
        let (got, _, body) = ask(&world, ("POST", &format!("{path}/{operation}")), &[], None).await;
        assert_eq!((got, &body["state"]), (status, &json!(state)), "{operation}");
    }
    let questions = world.stacks.questions.lock().unwrap().len();
    world.ask_aws().await;
    assert!(world.stacks.questions.lock().unwrap().len() > questions, "it was verified again");
    let (status, _, gone) = ask(&world, ("PATCH", &path), &[], Some("{\"label\":null}")).await;
    assert_eq!((status, &gone["label"]), (200, &json!(null)));
    let (status, _, ended) = ask(&world, ("POST", &format!("{path}/disconnect")), &[], None).await;
    assert_eq!((status, &ended["state"]), (200, &json!("removed")));
    // All of it stands in the history, the newest first, with who did it.
    let history = get(&world, &format!("{path}/history")).await.1;
    let done: Vec<_> = history["items"].as_array().unwrap().iter().filter(|event| event["actor"] == "operator").collect();
    let kinds: Vec<_> = done.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "connection.removed",
            "connection.disconnected",
            "connection.renamed",
            "connection.verification-requested",
            "connection.verified",
            "connection.resumed",
            "connection.paused",
            "connection.renamed"
        ]
    );
    assert_eq!(done[2]["data"], json!({"before": "Acme, Zürich", "label": null}));
    let (mut cursor, mut pages) = (String::new(), Vec::new());
    loop {
        let page = get(&world, &format!("{path}/history?limit=4{cursor}")).await.1;
        pages.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(pages), history["items"]);
}

#[tokio::test]
async fn launches_are_listed_and_revoked() {
    let world = TestConsole::new().await;
    let order = |body: Value| body.to_string();
    let mut ids = Vec::new();
    for body in [
        json!({"customerId": "acme"}),
        json!({"customerId": "acme", "accountId": ACCOUNT, "ways": ["direct"]}),
        json!({"customerId": "other", "organization": {"organizationId": "o-exampleorgid", "managementAccountId": ACCOUNT}}),
    ] {
        let (status, headers, made) = ask(&world, ("POST", "/api/v1/launches"), &[], Some(&order(body))).await;
        assert_eq!((status, headers["cache-control"].to_str().unwrap()), (201, "no-store"), "{made}");
        assert!(made["token"].as_str().unwrap().starts_with("whsec_"));
        let (status, shown) = get(&world, &format!("/api/v1/launches/{}", made["launchId"].as_str().unwrap())).await;
        assert_eq!((status, &shown["state"], &shown["externalId"]), (200, &json!("open"), &made["externalId"]));
        assert!(!shown.to_string().contains("whsec_"));
        ids.push(made["launchId"].as_str().unwrap().to_owned());
    }
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    for (query, expected) in [
        ("", vec!["open", "open", "open", "used"]),
        ("?customerId=other", vec!["open"]),
        (&format!("?accountId={ACCOUNT}"), vec!["open"]),
        ("?customerId=nobody", vec![]),
    ] {
        let body = get(&world, &format!("/api/v1/launches{query}")).await.1;
        assert_eq!(all(&body, "/state"), expected, "{query}");
        assert!(!body.to_string().contains("externalId") && !body.to_string().contains("whsec_"));
    }
    let revoke = format!("/api/v1/launches/{}/revoke", ids[0]);
    for _ in 0..2 {
        let (status, _, revoked) = ask(&world, ("POST", &revoke), &[], None).await;
        assert_eq!((status, &revoked["state"], &revoked["revokedAt"]), (200, &json!("revoked"), &json!("2026-11-22T10:00:00Z")));
    }
    world.set_clock(NOW + Duration::hours(25));
    assert_eq!(all(&get(&world, "/api/v1/launches?limit=2").await.1, "/state"), ["revoked", "expired"]);
}

#[tokio::test]
async fn problems_are_listed() {
    let world = TestConsole::new().await;
    let (mut ids, mut stacks) = (Vec::new(), Vec::new());
    for (number, customer) in ["acme", "acme", "other"].into_iter().enumerate() {
        let (stack, id) = connection(&world, customer, &format!("51af3dc{number}"), &format!("name-{number}")).await;
        world.stacks.refuse(&stack.external_id);
        ids.push(id);
        stacks.push(stack);
    }
    world.ask_aws().await;
    for (query, count) in [
        (String::new(), 3),
        ("?customerId=acme".to_owned(), 2),
        (format!("?connectionId={}", ids[2]), 1),
        ("?code=role-refused".to_owned(), 3),
        ("?code=role-open".to_owned(), 0),
        (format!("?customerId=acme&connectionId={}", ids[2]), 0),
    ] {
        let body = get(&world, &format!("/api/v1/problems{query}")).await.1;
        assert_eq!(body["items"].as_array().unwrap().len(), count, "{query}: {body}");
        assert!(stacks.iter().all(|stack| !body.to_string().contains(&stack.external_id)));
    }
    let first = get(&world, "/api/v1/problems?limit=2").await.1;
    let second = get(&world, &format!("/api/v1/problems?limit=2&cursor={}", first["next"].as_str().unwrap())).await.1;
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next"]), (1, &json!(null)));
}

/// Four by two and five by two: a full last page is the last one.
#[tokio::test]
async fn lists_come_in_pages() {
    let world = TestConsole::new().await;
    for count in 1..=5 {
        connection(&world, "acme", &format!("5{count}"), &format!("connection-{count}")).await;
        let (mut names, mut sizes, mut path) = (Vec::new(), Vec::new(), "/api/v1/connections?limit=2".to_owned());
        loop {
            let (status, body) = get(&world, &path).await;
            assert_eq!(status, 200);
            names.extend(all(&body, "/data/connectionName"));
            sizes.push(body["items"].as_array().unwrap().len());
            let Some(next) = body["next"].as_str() else { break };
            path = format!("/api/v1/connections?limit=2&cursor={next}");
        }
        let expected: &[usize] = match count {
            4 => &[2, 2],
            5 => &[2, 2, 1],
            3 => &[2, 1],
            count => &[count],
        };
        assert_eq!(sizes, expected);
        assert_eq!(names, (1..=count).map(|number| json!(format!("connection-{number}"))).collect::<Vec<_>>());
    }
    // A cursor is one of this list's, as it was given.
    let launches = get(&world, "/api/v1/launches?limit=2").await.1["next"].as_str().unwrap().to_owned();
    for cursor in ["2", "x", "Y29ubmVjdGlvbnM6", &launches, ""] {
        let (status, body) = get(&world, &format!("/api/v1/connections?cursor={cursor}")).await;
        assert_eq!((status, code(&body)), (400, "cursor-unknown"), "{cursor}");
    }
}

/// What is searched for is plain text, whatever it means to a database.
#[tokio::test]
async fn connections_are_filtered_and_found() {
    let world = TestConsole::new().await;
    let names = ["100% blue", "100 blue", "a_b", "axb", "it's \"quoted\"", "back\\slash", "wow!", "Zürich"];
    for (number, name) in names.into_iter().enumerate() {
        let customer = if number % 2 == 0 { "even" } else { "odd" };
        connection(&world, customer, &format!("5{number}"), name).await;
    }
    let launch = world.launch(None).await;
    let elsewhere = Stack {
        account: OTHER_ACCOUNT.to_owned(),
        stack_id: format!("arn:aws:cloudformation:eu-west-1:{OTHER_ACCOUNT}:stack/hawser/elsewhere"),
        connection_name: "elsewhere".to_owned(),
        ..Stack::new(&launch, "elsewhere", &world.sts.url)
    };
    assert_eq!(world.notify(&elsewhere, "established", 0).await.0, 200);
    let labelled = get(&world, "/api/v1/connections?text=axb").await.1["items"][0]["connectionId"].as_str().unwrap().to_owned();
    let label = Some("{\"label\":\"Label One\"}");
    assert_eq!(ask(&world, ("PATCH", &format!("/api/v1/connections/{labelled}")), &[], label).await.0, 200);

    let escaped = |text: &str| text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"));
    for (text, expected) in [
        ("%", vec!["100% blue"]),
        ("100% ", vec!["100% blue"]),
        ("_", vec!["a_b"]),
        ("a_b", vec!["a_b"]),
        ("'", vec!["it's \"quoted\""]),
        ("\"", vec!["it's \"quoted\""]),
        ("' OR 1=1 --", vec![]),
        ("\\", vec!["back\\slash"]),
        ("!", vec!["wow!"]),
        ("BLUE", vec!["100% blue", "100 blue"]),
        ("zürich", vec!["Zürich"]),
        ("label one", vec!["axb"]),
        (&OTHER_ACCOUNT[..6], vec!["elsewhere"]),
        ("\0", vec![]),
        ("nothing like it", vec![]),
    ] {
        let (status, body) = get(&world, &format!("/api/v1/connections?text={}", escaped(text))).await;
        assert_eq!(
            (status, all(&body, "/data/connectionName")),
            (200, expected.into_iter().map(Value::from).collect()),
            "{text}"
        );
    }
    for (query, count) in [
        ("customerId=even", 4),
        ("customerId=even&text=w", 1),
        ("customerId=%27", 0),
        (&format!("accountId={OTHER_ACCOUNT}"), 1),
        ("state=announced", 9),
        ("state=verified,announced", 9),
        ("state=verified", 0),
        ("state=announced&limit=3", 3),
        ("text=", 9),
    ] {
        let body = get(&world, &format!("/api/v1/connections?{query}")).await.1;
        assert_eq!(body["items"].as_array().unwrap().len(), count, "{query}");
    }
}

/// Every kind of request that cannot be read has its own problem, and leaves nothing behind.
#[tokio::test]
async fn what_is_refused_has_a_problem() {
    let world = TestConsole::new().await;
    let (_, id) = connection(&world, "acme", "51af3dc0", "production").await;
    let connection = format!("/api/v1/connections/{id}");
    let long = format!("{{\"label\":\"{}\"}}", "x".repeat(129));
    let huge = format!("{{\"label\":\"{}\"}}", "x".repeat(api::input::BODY_BYTES_MAX));
    let before = get(&world, &connection).await;
    for (method, path, body, status, expected) in [
        ("PATCH", &*connection, Some(""), 400, "body-malformed"),
        ("PATCH", &connection, Some("{"), 400, "body-malformed"),
        ("PATCH", &connection, Some("{\"label\":\"a\"} x"), 400, "body-malformed"),
        ("PATCH", &connection, Some("{}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("[]"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":1}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":\"\"}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":\"a\\u0000\"}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":\"a\\u202eb\"}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":\"a\",\"label\":\"b\"}"), 422, "body-invalid"),
        ("PATCH", &connection, Some("{\"label\":\"a\",\"state\":\"removed\"}"), 422, "body-invalid"),
        ("PATCH", &connection, Some(&long), 422, "body-invalid"),
        ("PATCH", &connection, Some(&huge), 413, "body-too-large"),
        ("PATCH", &connection, None, 415, "body-media-type"),
        ("DELETE", &connection, None, 405, "method-not-allowed"),
        ("POST", "/api/v1/problems", None, 405, "method-not-allowed"),
        ("GET", "/api/v1/nothing", None, 404, "route-unknown"),
        ("GET", "/connections", None, 404, "route-unknown"),
        ("GET", "/", None, 404, "route-unknown"),
        ("GET", "/api/v1/connections/con-0", None, 404, "not-found"),
        ("GET", "/api/v1/connections/%FF", None, 404, "not-found"),
        ("GET", "/api/v1/connections/%00", None, 404, "not-found"),
        ("GET", "/api/v1/connections/con-0/history", None, 404, "not-found"),
        ("POST", "/api/v1/connections/con-0/pause", None, 404, "not-found"),
        ("POST", "/api/v1/connections/con-0/resume", None, 404, "not-found"),
        ("POST", "/api/v1/connections/con-0/verify", None, 404, "not-found"),
        ("POST", "/api/v1/connections/con-0/disconnect", None, 404, "not-found"),
        ("PATCH", "/api/v1/connections/con-0", Some("{\"label\":null}"), 404, "not-found"),
        ("GET", "/api/v1/launches/0", None, 404, "not-found"),
        ("POST", "/api/v1/launches/0/revoke", None, 404, "not-found"),
        ("POST", "/api/v1/tokens/0/revoke", None, 404, "not-found"),
        ("GET", "/api/v1/connections?limit=0", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?limit=1001", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?limit=-1", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?limit=x", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?limit=1&limit=2", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?after=1", None, 400, "query-invalid"),
        ("GET", "/api/v1/connections?state=connected", None, 400, "query-invalid"),
        ("GET", "/api/v1/problems?state=verified", None, 400, "query-invalid"),
        ("GET", "/api/v1/launches?before=1", None, 400, "query-invalid"),
        ("GET", "/api/v1/tokens?name=x", None, 400, "query-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\"x\",\"scopes\":[]}"), 422, "body-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\"x\",\"scopes\":[\"all\"]}"), 422, "body-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\"x\",\"scopes\":[\"read\",\"read\"]}"), 422, "body-invalid"),
        ("POST", "/api/v1/launches", Some("{\"customerId\":\"acme\",\"ways\":[\"stack\",\"stack\"]}"), 422, "body-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\" \",\"scopes\":[\"read\"]}"), 422, "body-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\"x\",\"scopes\":[\"read\"],\"expiresInDays\":367}"), 422, "body-invalid"),
        ("POST", "/api/v1/tokens", Some("{\"name\":\"x\",\"scopes\":[\"read\"],\"customerId\":\"a b\"}"), 422, "body-invalid"),
    ] {
        let (got, headers, problem) = ask(&world, (method, path), &[], body).await;
        assert_eq!((got, code(&problem)), (status, expected), "{method} {path} {body:?}: {problem}");
        assert_eq!(headers.contains_key("allow"), status == 405, "{method} {path}");
        assert!(problem["detail"].as_str().unwrap().len() < 600, "{problem}");
    }
    assert_eq!(get(&world, &connection).await, before);
    assert_eq!(get(&world, "/api/v1/tokens").await.1["items"], json!([]));
    for (header, value, status, expected) in
        [("origin", "https://evil.example.com", 403, "web-page-refused"), ("host", "rebound.example.com", 421, "host-refused")]
    {
        let mut request = Request::get("/api/v1/connections").header("host", "localhost").body(Body::empty()).unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        let (got, problem) = world.operate(request).await;
        assert_eq!((got, code(&problem)), (status, expected));
    }
}

#[tokio::test]
async fn it_says_whether_it_is_ready() {
    let world = TestConsole::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&world, path).await, (200, json!({"status": "ok"})));
        assert_eq!(world.post(Request::get(path).body(Body::empty()).unwrap()).await, (200, json!({"status": "ok"})));
    }
    world.console.store.close().await;
    for path in ["/healthz", "/readyz", "/api/v1/connections"] {
        let (status, headers, problem) = ask(&world, ("GET", path), &[], None).await;
        assert_eq!((status, code(&problem), &headers["retry-after"]), (503, "database-unavailable", &"2".parse().unwrap()));
    }
}

/// The description is the code's: checked in, served, with everything that is said of each operation.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
async fn the_description_is_up_to_date_and_whole() {
    let document = serde_json::to_value(api::document()).unwrap();
    let text = format!("{document:#}\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("HAWSER_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == text, "docs/openapi.json is out of date: run `make bless`");
    let world = TestConsole::new().await;
    assert_eq!(get(&world, "/api/v1/openapi.json").await, (200, document.clone()));

    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let whole =
                ["summary", "description"].iter().all(|name| operation[*name].as_str().is_some_and(|text| !text.is_empty()));
            assert!(whole, "{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            for status in ["401", "403", "421", "429", "503"] {
                let content = &operation["responses"][status]["content"];
                assert!(content["application/problem+json"].is_object(), "{method} {path} {status}");
            }
            assert_eq!(operation["responses"]["404"].is_object(), path.contains('{'), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {parameter}");
            }
            // Whatever it describes is there.
            let concrete = path.replace("{connectionId}", "x").replace("{launchId}", "x").replace("{tokenId}", "x");
            let (_, _, body) = ask(&world, (&method.to_uppercase(), &concrete), &[], None).await;
            assert!(!["route-unknown", "method-not-allowed"].contains(&code(&body)), "{method} {path}");
        }
    }
    assert_eq!(ids.len(), 24);
    // Every example is a good one.
    let mut examples = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let Some(example) = schema.get("example").filter(|_| schema["type"] == "object") else { continue };
        let form = json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "components": document["components"]});
        let form = jsonschema::draft202012::new(&form).unwrap();
        assert!(form.is_valid(example), "{name}: {:?}", form.iter_errors(example).map(|e| e.to_string()).collect::<Vec<_>>());
        examples += 1;
    }
    assert_eq!(examples, 7);
    for operation in document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values()) {
        for response in operation["responses"].as_object().unwrap().values() {
            let content = &response["content"]["application/json"];
            let Some(example) = content.get("example") else { continue };
            let form = json!({"allOf": [content["schema"]], "components": document["components"]});
            assert!(jsonschema::draft202012::new(&form).unwrap().is_valid(example), "{example}");
        }
    }
    // Every reference leads somewhere.
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        left.extend(value.as_object().into_iter().flat_map(serde_json::Map::values));
        left.extend(value.as_array().into_iter().flatten());
    }
}
