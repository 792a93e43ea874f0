//! Who may ask the API what: tokens, scopes, customers, limits, and requests that are repeated.

use std::collections::BTreeSet;

use hawser_console::{
    access::{Access, Scope},
    api_token::{ApiToken, Order},
    limits::REQUESTS_AT_ONCE,
    random,
    store::{KEPT_FOR, Made, Once},
};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    api::{ask, connection, get},
    support::{NOW, TestConsole, code, database, key_file, launch, open_store},
};

/// A token with these scopes, and its id.
async fn token(world: &TestConsole, scopes: &[Scope], customer: Option<&str>) -> (String, String) {
    let order = Order {
        name: "test".to_owned(),
        scopes: scopes.iter().copied().collect(),
        customer_id: customer.map(|id| id.parse().unwrap()),
        expires_in_days: 30,
    };
    let (made, text) = ApiToken::new(&random::bytes().unwrap(), order, world.now()).unwrap();
    world.console.store.add_token(&Access::operator(), &made, &text, None).await.unwrap();
    (format!("Bearer {}", text.expose()), made.token_id)
}

async fn with(world: &TestConsole, token: &str, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
    let (status, _, body) = ask(world, (method, path), &[("authorization", token)], body).await;
    (status, body)
}

/// A console that wants tokens, also from this machine.
async fn guarded() -> TestConsole {
    let mut world = TestConsole::new().await;
    world.console.requires_api_token = true;
    world
}

#[tokio::test]
async fn a_token_is_made_used_and_revoked() {
    let world = TestConsole::new().await;
    let order = "{\"name\":\"billing service\",\"scopes\":[\"read\",\"manage\"],\"expiresInDays\":1}";
    let (status, headers, made) = ask(&world, ("POST", "/api/v1/tokens"), &[], Some(order)).await;
    assert_eq!((status, &headers["cache-control"]), (201, &"no-store".parse().unwrap()), "{made}");
    let text = made["token"].as_str().unwrap();
    assert!(text.starts_with("hwt_") && text.len() == 4 + 43, "{text}");
    assert_eq!((&made["expiresAt"], &made["customerId"]), (&json!("2026-11-23T10:00:00Z"), &json!(null)));
    let bearer = format!("Bearer {text}");
    assert_eq!(with(&world, &bearer, "GET", "/api/v1/connections", None).await.0, 200);
    // Nothing has it, or what it is looked up by.
    let listed = get(&world, "/api/v1/tokens").await.1;
    assert!(!listed.to_string().contains(text), "{listed}");
    assert_eq!(listed["items"][0]["lastUsedAt"], "2026-11-22T10:00:00Z");
    let stored: Vec<(String,)> =
        sqlx::query_as("SELECT token_sha256 FROM api_tokens").fetch_all(&database(&world.directory).await).await.unwrap();
    assert!(stored.iter().all(|(hash,)| hash.len() == 64 && !text.contains(hash.as_str())));
    // Its last use is kept to the minute.
    for (seconds, expected) in [(59, "2026-11-22T10:00:00Z"), (61, "2026-11-22T10:01:01Z")] {
        world.set_clock(NOW + Duration::seconds(seconds));
        with(&world, &bearer, "GET", "/api/v1/connections", None).await;
        assert_eq!(get(&world, "/api/v1/tokens").await.1["items"][0]["lastUsedAt"], expected);
    }
    // What its holder does stands in the history.
    let (_, id) = connection(&world, "acme", "51af3dc0", "production").await;
    let path = format!("/api/v1/connections/{id}");
    assert_eq!(with(&world, &bearer, "POST", &format!("{path}/pause"), None).await.0, 200);
    let history = get(&world, &format!("{path}/history")).await.1;
    let actor = format!("token:{}", made["tokenId"].as_str().unwrap());
    assert!(history["items"].as_array().unwrap().iter().any(|e| e["type"] == "connection.paused" && e["actor"] == *actor));

    let revoke = format!("/api/v1/tokens/{}/revoke", made["tokenId"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(ask(&world, ("POST", &revoke), &[], None).await.0, 200);
    }
    let (status, problem) = with(&world, &bearer, "GET", "/api/v1/connections", None).await;
    assert_eq!((status, code(&problem)), (401, "api-token-revoked"));
    let events: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, actor FROM events WHERE connection_id = '' ORDER BY sequence")
            .fetch_all(&database(&world.directory).await)
            .await
            .unwrap();
    let count = |kind: &str| events.iter().filter(|(one, actor)| one == kind && actor == "operator").count();
    assert_eq!((count("token.made"), count("token.revoked")), (1, 1), "{events:?}");
}

#[tokio::test]
async fn tokens_that_are_not_good() {
    let world = guarded().await;
    let (good, _) = token(&world, &[Scope::Read], None).await;
    let (status, headers, problem) = ask(&world, ("GET", "/api/v1/connections"), &[], None).await;
    assert_eq!((status, code(&problem)), (401, "api-token-missing"));
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let other = good.replace("Bearer ", "Basic ");
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer hwt_",
        "hwt_abc",
        "Bearer hwt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &good[..good.len() - 1],
        &other,
    ] {
        for world in [&world, &TestConsole::new().await] {
            let (status, problem) = with(world, bad, "GET", "/api/v1/connections", None).await;
            assert_eq!((status, code(&problem)), (401, "api-token-unknown"), "{bad}");
        }
    }
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    assert_eq!(ask(&world, ("GET", "/api/v1/connections"), &twice, None).await.0, 401);
    assert_eq!(with(&world, &good.replace("Bearer", "bearer"), "GET", "/api/v1/connections", None).await.0, 200);
    // No token is needed to learn how it is asked, and whether it is there.
    for path in ["/healthz", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(get(&world, path).await.0, 200, "{path}");
    }
    world.set_clock(NOW + Duration::days(30) - Duration::seconds(1));
    assert_eq!(with(&world, &good, "GET", "/api/v1/connections", None).await.0, 200);
    world.set_clock(NOW + Duration::days(30));
    let (status, problem) = with(&world, &good, "GET", "/api/v1/connections", None).await;
    assert_eq!((status, code(&problem)), (401, "api-token-expired"));
}

/// Every operation, and the scope without which it is refused before anything else is looked at.
#[tokio::test]
async fn scopes_decide_what_may_be_done() {
    let world = guarded().await;
    let (_, id) = connection(&world, "acme", "51af3dc0", "production").await;
    let launch = get_launch_id(&world).await;
    let (connection, launch) = (format!("/api/v1/connections/{id}"), format!("/api/v1/launches/{launch}"));
    let (label, order) = (Some("{\"label\":\"x\"}"), Some("{\"customerId\":\"acme\"}"));
    let new_token = Some("{\"name\":\"x\",\"scopes\":[\"read\"]}");
    let operations = [
        (Scope::Read, "GET", "/api/v1/connections".to_owned(), None),
        (Scope::Read, "GET", connection.clone(), None),
        (Scope::Read, "GET", format!("{connection}/history"), None),
        (Scope::Read, "GET", "/api/v1/launches".to_owned(), None),
        (Scope::Read, "GET", launch.clone(), None),
        (Scope::Read, "GET", "/api/v1/problems".to_owned(), None),
        (Scope::Manage, "PATCH", connection.clone(), label),
        (Scope::Manage, "POST", format!("{connection}/pause"), None),
        (Scope::Manage, "POST", format!("{connection}/resume"), None),
        (Scope::Manage, "POST", format!("{connection}/verify"), None),
        (Scope::Manage, "POST", format!("{connection}/disconnect"), None),
        (Scope::Launch, "POST", "/api/v1/launches".to_owned(), order),
        (Scope::Launch, "POST", format!("{launch}/revoke"), None),
        (Scope::Admin, "GET", "/api/v1/tokens".to_owned(), None),
        (Scope::Admin, "POST", "/api/v1/tokens".to_owned(), new_token),
    ];
    for scope in Scope::ALL {
        let (token, _) = token(&world, &[scope], None).await;
        for (needed, method, path, body) in &operations {
            let (status, answer) = with(&world, &token, method, path, *body).await;
            if scope == *needed || scope == Scope::Admin {
                assert!((200..300).contains(&status), "{scope:?} {method} {path}: {answer}");
            } else {
                assert_eq!((status, code(&answer)), (403, "scope-missing"), "{scope:?} {method} {path}");
                assert!(answer["detail"].as_str().unwrap().contains(needed.as_str()), "{answer}");
            }
        }
    }
}

async fn get_launch_id(world: &TestConsole) -> String {
    world.launch(None).await.id
}

/// A token of one customer: whatever is another's is not there.
#[tokio::test]
async fn customers_never_see_each_other() {
    let world = guarded().await;
    let (stack, theirs) = connection(&world, "other", "51af3dc0", "theirs").await;
    let (_, ours) = connection(&world, "acme", "51af3dc1", "ours").await;
    world.stacks.refuse(&stack.external_id);
    world.ask_aws().await;
    let (token, _) = token(&world, &Scope::ALL, Some("acme")).await;
    let their_token = token_of(&world, "other").await;
    let their_launch = world.launch_with(|terms| terms.customer_id = "other".parse().unwrap()).await.id;
    for list in ["connections", "launches", "problems", "tokens"] {
        for query in ["", "?customerId=other"] {
            if list == "tokens" && !query.is_empty() {
                continue;
            }
            let (status, body) = with(&world, &token, "GET", &format!("/api/v1/{list}{query}"), None).await;
            assert_eq!(status, 200);
            let items = body["items"].as_array().unwrap();
            assert!(items.iter().all(|item| item["customerId"] == "acme"), "{list}{query}: {body}");
            assert!(query.is_empty() || items.is_empty(), "{list}{query}: {body}");
        }
    }
    let (their_connection, label) = (format!("/api/v1/connections/{theirs}"), Some("{\"label\":\"x\"}"));
    let before = world.connections_of(&their_connection).await;
    for (method, path, body) in [
        ("GET", their_connection.clone(), None),
        ("GET", format!("{their_connection}/history"), None),
        ("PATCH", their_connection.clone(), label),
        ("POST", format!("{their_connection}/pause"), None),
        ("POST", format!("{their_connection}/resume"), None),
        ("POST", format!("{their_connection}/verify"), None),
        ("POST", format!("{their_connection}/disconnect"), None),
        ("GET", format!("/api/v1/launches/{their_launch}"), None),
        ("POST", format!("/api/v1/launches/{their_launch}/revoke"), None),
        ("POST", format!("/api/v1/tokens/{their_token}/revoke"), None),
    ] {
        let (status, problem) = with(&world, &token, method, &path, body).await;
        assert_eq!((status, code(&problem)), (404, "not-found"), "{method} {path}");
        // Word for word what is said of an id that nothing has.
        let unknown = path.replace(&theirs, "con-0").replace(&their_launch, "0").replace(&their_token, "0");
        assert_eq!(with(&world, &token, method, &unknown, body).await, (404, problem), "{method} {path}");
    }
    assert_eq!(world.connections_of(&their_connection).await, before, "nothing of theirs was changed");
    assert_eq!(with(&world, &token, "GET", &format!("/api/v1/connections/{ours}"), None).await.0, 200);
    // Nor does it make anything for others, or a token that sees more than it does itself.
    for (path, body) in [
        ("/api/v1/launches", "{\"customerId\":\"other\"}"),
        ("/api/v1/tokens", "{\"name\":\"x\",\"scopes\":[\"read\"],\"customerId\":\"other\"}"),
        ("/api/v1/tokens", "{\"name\":\"x\",\"scopes\":[\"read\"]}"),
    ] {
        let (status, problem) = with(&world, &token, "POST", path, Some(body)).await;
        assert_eq!((status, code(&problem)), (403, "customer-refused"), "{body}");
    }
    for (path, body) in [
        ("/api/v1/launches", "{\"customerId\":\"acme\"}"),
        ("/api/v1/tokens", "{\"name\":\"x\",\"scopes\":[\"read\"],\"customerId\":\"acme\"}"),
    ] {
        assert_eq!(with(&world, &token, "POST", path, Some(body)).await.0, 201, "{body}");
    }
}

async fn token_of(world: &TestConsole, customer: &str) -> String {
    token(world, &[Scope::Read], Some(customer)).await.1
}

impl TestConsole {
    /// One connection as the operator sees it, whatever tokens are wanted.
    async fn connections_of(&self, path: &str) -> Value {
        let (token, _) = token(self, &[Scope::Read], None).await;
        with(self, &token, "GET", path, None).await.1
    }
}

#[tokio::test]
async fn a_token_has_its_share_of_requests() {
    let world = TestConsole::new().await;
    let (busy, _) = token(&world, &[Scope::Read], None).await;
    let (other, _) = token(&world, &[Scope::Read], None).await;
    for _ in 0..REQUESTS_AT_ONCE {
        assert_eq!(with(&world, &busy, "GET", "/api/v1/problems", None).await.0, 200);
    }
    let (status, headers, problem) = ask(&world, ("GET", "/api/v1/problems"), &[("authorization", &busy)], None).await;
    assert_eq!((status, code(&problem), &headers["retry-after"]), (429, "too-many-requests", &"1".parse().unwrap()));
    assert_eq!(with(&world, &other, "GET", "/api/v1/problems", None).await.0, 200, "another token's are its own");
    assert_eq!(get(&world, "/api/v1/problems").await.0, 200, "so are the operator's");
    world.set_clock(NOW + Duration::seconds(1));
    assert_eq!(with(&world, &busy, "GET", "/api/v1/problems", None).await.0, 200);
    world.set_clock(NOW + Duration::minutes(1));
    for _ in 0..REQUESTS_AT_ONCE {
        assert_eq!(with(&world, &busy, "GET", "/api/v1/problems", None).await.0, 200);
    }
}

#[tokio::test]
async fn a_repeated_request_makes_one_thing() {
    let mut world = TestConsole::new().await;
    let acme = "{\"customerId\":\"acme\"}";
    let first = make(&world, "key-1", acme, None).await;
    assert_eq!(first.0, 201);
    assert_eq!(make(&world, "key-1", acme, None).await, first, "the same answer, with its token");
    let (status, problem) = make(&world, "key-1", "{\"customerId\":\"other\"}", None).await;
    assert_eq!((status, code(&problem)), (422, "idempotency-key-reused"));
    assert_ne!(make(&world, "key-2", acme, None).await, first);
    // Another caller's key is another one.
    let (one, _) = token(&world, &[Scope::Launch], None).await;
    assert_ne!(make(&world, "key-1", acme, Some(&one)).await, first);
    // So is another operation's; what is made there is made once as well.
    let tokens = async |world: &TestConsole| {
        let headers = [("idempotency-key", "key-1")];
        ask(world, ("POST", "/api/v1/tokens"), &headers, Some("{\"name\":\"x\",\"scopes\":[\"read\"]}")).await.2
    };
    let made = tokens(&world).await;
    assert!(made["token"].as_str().unwrap().starts_with("hwt_") && tokens(&world).await == made, "{made}");
    // A request that was refused has used nothing up.
    assert_eq!(make(&world, "key-3", "{\"customerId\":\"\"}", None).await.0, 422);
    assert_eq!(make(&world, "key-3", acme, None).await.0, 201);
    for bad in ["", "a b", &"x".repeat(129)] {
        let (status, problem) = make(&world, bad, acme, None).await;
        assert_eq!((status, code(&problem)), (400, "idempotency-key-invalid"), "{bad}");
    }
    assert_eq!(get(&world, "/api/v1/launches").await.1["items"].as_array().unwrap().len(), 4);
    // The answers are sealed, and stay readable when the keys are replaced.
    let answers: Vec<(String,)> =
        sqlx::query_as("SELECT answer FROM idempotency_keys").fetch_all(&database(&world.directory).await).await.unwrap();
    assert!(answers.iter().all(|(answer,)| answer.starts_with("v1.") && !answer.contains("whsec")));
    let (path, new) = (key_file(&world.directory), "0c".repeat(32));
    std::fs::write(&path, format!("{new}\n{}", std::fs::read_to_string(&path).unwrap())).unwrap();
    assert!(open_store(&world.directory).await.reseal().await.unwrap() > answers.len());
    std::fs::write(&path, &new).unwrap();
    world.console.store = open_store(&world.directory).await;
    // After a day it is a new request.
    world.set_clock(NOW + KEPT_FOR - Duration::seconds(1));
    assert_eq!(make(&world, "key-1", acme, None).await, first);
    world.set_clock(NOW + KEPT_FOR);
    let later = make(&world, "key-1", acme, None).await;
    assert_eq!(later.0, 201);
    assert_ne!(later, first);
}

/// A launch that is asked for with a key.
async fn make(world: &TestConsole, key: &str, body: &str, token: Option<&str>) -> (u16, Value) {
    let mut headers = vec![("idempotency-key", key)];
    headers.extend(token.map(|token| ("authorization", token)));
    let (status, _, body) = ask(world, ("POST", "/api/v1/launches"), &headers, Some(body)).await;
    (status, body)
}

/// However many send it at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_one_key_at_the_same_time_make_one_thing() {
    let world = TestConsole::new().await;
    let answers = futures_of(8, async |_| {
        let headers = [("idempotency-key", "one")];
        ask(&world, ("POST", "/api/v1/launches"), &headers, Some("{\"customerId\":\"acme\"}")).await
    })
    .await;
    assert!(answers.iter().all(|(status, _, body)| *status == 201 && *body == answers[0].2), "{answers:?}");
    // And with different requests, one of them.
    let answers = futures_of(8, async |number| {
        let (headers, body) = ([("idempotency-key", "two")], format!("{{\"customerId\":\"customer-{number}\"}}"));
        ask(&world, ("POST", "/api/v1/launches"), &headers, Some(&body)).await
    })
    .await;
    let made = answers.iter().filter(|(status, ..)| *status == 201).count();
    assert!(made == 1 && answers.iter().all(|(status, ..)| [201, 422].contains(status)), "{answers:?}");
    assert_eq!(get(&world, "/api/v1/launches").await.1["items"].as_array().unwrap().len(), 2);
}

/// So many at the same time.
async fn futures_of<T>(count: usize, ask: impl AsyncFn(usize) -> T) -> Vec<T> {
    let mut running: Vec<_> = (0..count).map(|number| Some(Box::pin(ask(number)))).collect();
    let mut ended: Vec<Option<T>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, ended) in running.iter_mut().zip(&mut ended) {
            if let Some(one) = future
                && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
            {
                *ended = Some(value);
                *future = None;
            }
        }
        if running.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    ended.into_iter().map(Option::unwrap).collect()
}

/// Nobody fills the database with keys.
#[tokio::test]
async fn idempotency_keys_are_bounded() {
    let world = TestConsole::new().await;
    let rows = hawser_console::store::KEYS_PER_CALLER_MAX;
    let insert =
        "INSERT INTO idempotency_keys (key_id, actor, request_sha256, answer, made_at) VALUES ($1, 'operator', '', '', $2)";
    let pool = database(&world.directory).await;
    let mut transaction = pool.begin().await.unwrap();
    let at = i64::try_from(NOW.unix_timestamp_nanos()).unwrap();
    for number in 0..rows {
        sqlx::query(insert).bind(number.to_string()).bind(at).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let once = Once {
        key_id: "one".to_owned(),
        actor: "operator".to_owned(),
        request_sha256: String::new(),
        answer: hawser_console::secret::Secret::new("x"),
    };
    let add = async |once: &Once, number: usize, now| {
        let store = &world.console.store;
        store.add_launch(&Access::operator(), &launch(number, None), Some(once), now).await.unwrap()
    };
    assert_eq!(add(&once, 1, NOW).await, Made::TooManyKeys);
    assert_eq!(add(&Once { actor: "token:a".to_owned(), ..once.clone() }, 1, NOW).await, Made::Now);
    assert_eq!(add(&Once { key_id: "two".to_owned(), ..once }, 2, NOW + KEPT_FOR).await, Made::Now);
    let headers = [("idempotency-key", "full")];
    assert_eq!(ask(&world, ("POST", "/api/v1/launches"), &headers, Some("{\"customerId\":\"acme\"}")).await.0, 201);
}

/// Scopes are words that people write: each is another one's.
#[test]
fn scopes_have_names_of_their_own() {
    let names: BTreeSet<_> = Scope::ALL.into_iter().map(Scope::as_str).collect();
    assert_eq!(names.len(), Scope::ALL.len());
}
