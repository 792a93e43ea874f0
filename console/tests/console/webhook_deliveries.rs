//! Webhooks out, from a change to the receiver: what is stored with a change is posted, once, whoever dies on the way. F-64.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use hawser_console::{
    access::Access,
    job::{CONCURRENT_MAX, Kind, LEASE},
    problem::{Problem, ProblemCode},
    store::{NewEndpoint, Page},
    webhook::{
        endpoint::Filter,
        endpoint_url::{EndpointUrl, Reach},
        ids::EndpointId,
        secrets::SigningSecret,
    },
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use time::Duration;

use crate::api::{ask, get};
use crate::support::{HANDLER_ROLE, NOW, Stack, TestConsole, code, database, resources, rollout_launch};

/// A system of the operator's, that keeps what it receives.
#[derive(Clone)]
struct Receiver {
    url: String,
    secret: SigningSecret,
    expected: Arc<Mutex<SigningSecret>>,
    received: Arc<Mutex<Vec<(String, Value)>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    async fn start(byte: u8) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hooks?token=of-the-receiver", listener.local_addr().unwrap()),
            secret: SigningSecret::new(&[byte; 32]),
            expected: Arc::new(Mutex::new(SigningSecret::new(&[byte; 32]))),
            received: Arc::default(),
            status: Arc::new(Mutex::new(200)),
        };
        let app = Router::new().route("/hooks", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    /// Makes it an endpoint of the console's.
    async fn register(&self, world: &TestConsole, byte: u8, customer: Option<&str>, filter: &[&str]) -> EndpointId {
        let id = EndpointId::new([byte; 16]);
        let endpoint = NewEndpoint {
            id: id.clone(),
            customer_id: customer.map(str::to_owned),
            url: EndpointUrl::parse(&self.url, Reach::PublicAndLoopback).unwrap(),
            filter: Filter::parse(filter).unwrap(),
            secret: self.secret.clone(),
        };
        assert!(world.console.store.add_endpoint(&endpoint, None, NOW).await.unwrap().is_some());
        id
    }

    /// From now on it knows this secret and no other.
    fn expect(&self, secret: &SigningSecret) {
        *self.expected.lock().unwrap() = secret.clone();
    }

    fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// The types of what came since the last look.
    fn types(&self) -> Vec<String> {
        self.take().iter().map(|(_, event)| event["type"].as_str().unwrap().to_owned()).collect()
    }

    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    // Its clock is the tests' own, so the time is not judged.
    let signature = headers["webhook-signature"].to_str().unwrap();
    let at = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let secret = receiver.expected.lock().unwrap().clone();
    let expected = Webhook::new(secret.expose()).unwrap().sign(&id, at, &body).unwrap();
    assert!(signature.split(' ').any(|one| one == expected), "{signature}");
    let status = *receiver.status.lock().unwrap();
    receiver.received.lock().unwrap().push((id, serde_json::from_slice(&body).unwrap()));
    StatusCode::from_u16(status).unwrap()
}

/// What happens to a connection is posted in the order in which it happened, to those who take it and to no other customer's.
#[tokio::test]
async fn what_happens_is_posted() {
    let world = TestConsole::new().await;
    let (all, problems, other) = (Receiver::start(1).await, Receiver::start(2).await, Receiver::start(3).await);
    all.register(&world, 1, None, &["*"]).await;
    problems.register(&world, 2, Some("acme"), &["problem.*", "connection.unavailable"]).await;
    other.register(&world, 3, Some("another"), &["*"]).await;

    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify_status(&stack, "delivered", 0).await.0, 404, "of what nobody knows nothing is posted");
    assert_eq!(world.notify(&stack, "established", 1).await.0, 200);
    assert_eq!(world.notify_status(&stack, "delivered", 2).await.0, 200);
    world.ask_aws().await;
    assert_eq!(all.types(), ["connection.announced", "billing.delivered", "problem.opened"]);
    world.confirm(&stack).await;
    world.set_clock(NOW + Duration::minutes(1));
    world.ask_aws().await;
    assert_eq!(all.types(), ["problem.closed", "connection.connected"]);
    assert_eq!(problems.types(), ["problem.opened", "problem.closed"]);

    world.stacks.answer(&stack, Err(Problem::new(ProblemCode::RoleRefused, "`AccessDenied`")));
    assert_eq!(world.notify_status(&stack, "delivered", 23 * 3600).await.0, 200);
    world.set_clock(NOW + Duration::hours(25));
    world.ask_aws().await;
    let broke = problems.take();
    let [(_, opened), (_, unavailable)] = &broke[..] else { panic!("{broke:?}") };
    assert_eq!(opened["data"]["problem"]["code"], "role-refused");
    assert!(opened["data"]["problem"]["nextStep"].as_str().unwrap().contains("trust policy"), "{opened}");
    let connection = &unavailable["data"]["connection"];
    assert_eq!((&connection["state"], &connection["accountId"]), (&json!("unavailable"), &json!("111122223333")));
    assert_eq!(all.types(), ["problem.opened", "connection.unavailable"]);

    assert_eq!(world.notify(&stack, "removed", 26 * 3600).await.0, 200);
    world.ask_aws().await;
    assert_eq!(all.types(), ["problem.closed", "connection.removed"]);
    assert_eq!(other.types(), Vec::<String>::new());
}

/// An endpoint that fails gets the same event again, by the schedule; that it fails is posted to the others, once, and that it is back.
#[tokio::test]
async fn a_failing_endpoint_gets_it_later() {
    let world = TestConsole::new().await;
    let (failing, healthy) = (Receiver::start(1).await, Receiver::start(2).await);
    let id = failing.register(&world, 1, None, &["connection.*"]).await.to_string();
    healthy.register(&world, 2, None, &["webhook.*"]).await;
    failing.answer(500);
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    // Each pause is up to a fifth longer.
    for seconds in [0, 10, 400, 2700] {
        world.set_clock(NOW + Duration::seconds(seconds));
        world.ask_aws().await;
    }
    let tries = failing.take();
    assert_eq!(tries.len(), 4, "{tries:?}");
    assert!(tries.iter().all(|one| *one == tries[0]), "the same id and the same event: {tries:?}");
    assert_eq!(healthy.types(), ["webhook.failing"]);
    failing.answer(204);
    world.set_clock(NOW + Duration::hours(4));
    world.ask_aws().await;
    assert_eq!(failing.take(), tries[..1]);
    assert_eq!(healthy.types(), ["webhook.recovered"]);
    let operator = Access::operator();
    let attempts = world.console.store.attempts(&operator, &id, Page { after: None, limit: 10 }).await.unwrap().unwrap().items;
    let numbers: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome.is_success())).collect();
    assert_eq!(numbers, [(5, true), (4, false), (3, false), (2, false), (1, false)]);
    // Of where it goes nothing more than the host is shown, and nothing of the secret.
    let shown = format!("{:?} {}", world.console.store.endpoints(&operator).await.unwrap(), json!(attempts));
    assert!(!shown.contains("of-the-receiver") && !shown.contains(failing.secret.expose()), "{shown}");

    assert!(world.console.store.remove_endpoint(&operator, &id).await.unwrap());
    assert!(!world.console.store.remove_endpoint(&operator, &id).await.unwrap());
}

/// A worker that dies after it has posted, and before that is stored, posts again: under the same id, by which receivers know it.
#[tokio::test]
async fn a_delivery_that_is_interrupted_is_repeated_under_its_id() {
    let world = TestConsole::new().await;
    let receiver = Receiver::start(1).await;
    receiver.register(&world, 1, None, &["connection.announced"]).await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    let store = &world.console.store;
    let job = store.claim(&[Kind::Deliver], CONCURRENT_MAX, world.now()).await.unwrap().remove(0);
    let delivery = store.delivery(&job).await.unwrap().unwrap();
    let sender = world.console.webhooks.as_ref();
    hawser_console::webhook::deliver(sender, &delivery.endpoint, &delivery.event, 1, world.now()).await;
    world.set_clock(NOW + LEASE);
    world.ask_aws().await;
    let received = receiver.take();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], received[1]);
    world.ask_aws().await;
    assert!(receiver.take().is_empty());
    let open: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries WHERE ended_at IS NULL")
        .fetch_one(&database(&world.directory).await)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

/// An account that says it belongs to another organization than its launch was made for is posted to nobody.
#[tokio::test]
async fn nothing_is_posted_of_an_unconfirmed_account() {
    let world = TestConsole::new().await;
    let receiver = Receiver::start(1).await;
    receiver.register(&world, 1, None, &["*"]).await;
    let launch = rollout_launch(NOW);
    world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
    let stack = Stack::new(&launch, "51af3dc0", &world.sts.url);
    let mut event = stack.event("established", NOW);
    event["data"]["organization"]["organizationId"] = json!("o-another0rg");
    assert_eq!(world.post(stack.send(event, NOW)).await.0, 200);
    world.stacks.answer(&stack, Ok(resources(HANDLER_ROLE)));
    for hours in [0, 13, 48] {
        world.set_clock(NOW + Duration::hours(hours));
        world.ask_aws().await;
    }
    assert_eq!(receiver.types(), Vec::<String>::new());
    // Of one that the launch was made for it is.
    let mut expected = Stack::new(&launch, "51af3dc1", &world.sts.url);
    expected.account = crate::support::OTHER_ACCOUNT.to_owned();
    expected.stack_id = expected.stack_id.replace(crate::support::ACCOUNT, &expected.account);
    world.set_clock(NOW);
    let mut event = expected.event("established", NOW);
    event["data"]["organization"]["managementAccountId"] = json!(crate::support::ACCOUNT);
    let (status, body) = world.post(expected.send(event, NOW)).await;
    assert_eq!(status, 200, "{body}");
    world.ask_aws().await;
    assert!(receiver.types().contains(&"connection.announced".to_owned()));
}

/// An endpoint as the operator makes, tries, rotates, disables and removes it.
#[tokio::test]
async fn an_endpoint_is_managed() {
    let world = TestConsole::new().await;
    let (receiver, stack) = (Receiver::start(1).await, world.stack("51af3dc0").await);
    let (status, connected) = world.notify(&stack, "established", 0).await;
    assert_eq!(status, 200);
    let post = async |path: &str, body: Option<&str>, headers: &[(&str, &str)]| {
        let (status, _, answer) = ask(&world, ("POST", &format!("/api/v1/webhook-endpoints{path}")), headers, body).await;
        (status, answer)
    };
    let order = json!({"url": receiver.url, "events": ["connection.*"]}).to_string();
    let key = [("idempotency-key", "first")];
    let (status, made) = post("", Some(&order), &key).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(post("", Some(&order), &key).await, (201, made.clone()), "one endpoint, however often it is asked for");
    let id = made["endpointId"].as_str().unwrap().to_owned();
    for (bad, why) in [
        (json!({"url": "http://192.0.2.1/", "events": ["*"]}), "url"),
        (json!({"url": "https://169.254.169.254/", "events": ["*"]}), "url"),
        (json!({"url": "https://hooks.example.com/", "events": []}), "events"),
        (json!({"url": "https://hooks.example.com/", "events": ["connection.conected"]}), "events"),
        (json!({"url": "https://hooks.example.com/", "events": ["*"], "customerId": "a b"}), "customerId"),
        (json!({"url": "https://hooks.example.com/", "events": ["*"], "secret": "x"}), "secret"),
    ] {
        let (status, answer) = post("", Some(&bad.to_string()), &[]).await;
        assert_eq!((status, code(&answer)), (422, "body-invalid"), "{bad}");
        assert!(answer["detail"].as_str().unwrap().contains(why), "{answer}");
    }

    // With the secret that the answer had, and then with both.
    let secret = |answer: &Value| SigningSecret::parse(answer["secret"].as_str().unwrap()).unwrap();
    receiver.expect(&secret(&made));
    assert_eq!(post(&format!("/{id}/test"), None, &[]).await.0, 200);
    world.ask_aws().await;
    assert_eq!(receiver.types(), ["webhook.test"]);
    let (status, rotated) = post(&format!("/{id}/rotate-secret"), Some("{}"), &[]).await;
    assert_eq!(status, 201, "{rotated}");
    for (hours, expected) in [(0, &made), (23, &rotated), (25, &rotated)] {
        world.set_clock(NOW + Duration::hours(hours));
        receiver.expect(&secret(expected));
        assert_eq!(post(&format!("/{id}/test"), None, &[]).await.0, 200);
        world.ask_aws().await;
        assert_eq!(receiver.types(), ["webhook.test"], "after {hours} hours");
    }
    assert_eq!(post(&format!("/{id}/rotate-secret"), Some("{\"overlapHours\": 169}"), &[]).await.0, 422);

    // What happens while it is disabled is not posted afterwards.
    assert_eq!(post(&format!("/{id}/disable"), None, &[]).await.0, 200);
    let pause = format!("/api/v1/connections/{}/pause", connected["connectionId"].as_str().unwrap());
    assert_eq!(ask(&world, ("POST", &pause), &[], None).await.0, 200);
    world.ask_aws().await;
    assert_eq!(get(&world, "/api/v1/webhook-endpoints").await.1["items"][0]["health"]["state"], "disabled");
    assert_eq!(post(&format!("/{id}/enable"), None, &[]).await.0, 200);
    world.ask_aws().await;
    assert_eq!(receiver.types(), Vec::<String>::new());
    assert_eq!(world.notify(&stack, "removed", 27 * 3600).await.0, 200);
    world.ask_aws().await;
    assert_eq!(receiver.types(), ["connection.removed"]);

    let (_, first) = get(&world, &format!("/api/v1/webhook-endpoints/{id}/attempts?limit=3")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let next = first["next"].as_str().unwrap();
    let (_, last) = get(&world, &format!("/api/v1/webhook-endpoints/{id}/attempts?limit=3&cursor={next}")).await;
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (2, &Value::Null));

    assert_eq!(post(&format!("/{id}/remove"), None, &[]).await.0, 200);
    for operation in ["test", "disable", "enable", "remove"] {
        let (status, answer) = post(&format!("/{id}/{operation}"), None, &[]).await;
        assert_eq!((status, code(&answer)), (404, "not-found"), "{operation}");
    }
    assert_eq!(get(&world, &format!("/api/v1/webhook-endpoints/{id}/attempts")).await.0, 404);
}
