//! Webhooks out, from a change to the receiver: what is stored with a change is posted, once, whoever dies on the way. F-64.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use hawser_console::{
    access::Access,
    job::{CONCURRENT_MAX, Kind, LEASE},
    problem::{Problem, ProblemCode},
    store::NewEndpoint,
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

use crate::support::{HANDLER_ROLE, NOW, Stack, TestConsole, database, resources, rollout_launch};

/// A system of the operator's, that keeps what it receives.
#[derive(Clone)]
struct Receiver {
    url: String,
    secret: SigningSecret,
    received: Arc<Mutex<Vec<(String, Value)>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    async fn start(byte: u8) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hooks?token=of-the-receiver", listener.local_addr().unwrap()),
            secret: SigningSecret::new(&[byte; 32]),
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
        assert!(world.console.store.add_endpoint(&endpoint).await.unwrap());
        id
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
    let expected = Webhook::new(receiver.secret.expose()).unwrap().sign(&id, at, &body).unwrap();
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
    for seconds in [0, 10, 400, 2400] {
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
    let attempts = world.console.store.attempts(&id, 10).await.unwrap();
    let numbers: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome.is_success())).collect();
    assert_eq!(numbers, [(5, true), (4, false), (3, false), (2, false), (1, false)]);
    // Of where it goes nothing more than the host is shown, and nothing of the secret.
    let shown = format!("{:?} {}", world.console.store.endpoints().await.unwrap(), json!(attempts));
    assert!(!shown.contains("of-the-receiver") && !shown.contains(failing.secret.expose()), "{shown}");

    assert!(world.console.store.remove_endpoint(&id).await.unwrap());
    assert!(!world.console.store.remove_endpoint(&id).await.unwrap());
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
}
