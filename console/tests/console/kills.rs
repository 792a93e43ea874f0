//! Processes of the console are killed, a hundred times, in the middle of everything: nothing that was answered is lost, nothing that
//! matters happens twice. On PostgreSQL two of them share the work.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use hawser_console::{
    access::Access,
    store::{ConnectionFilter, NewEndpoint, Page},
    webhook::{
        endpoint::Filter,
        endpoint_url::{EndpointUrl, Reach},
        ids::EndpointId,
        secrets::SigningSecret,
    },
};
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    binary::{Running, now},
    support::{FUNCTION, HANDLER_ROLE, Stack, StsStub, VENDOR_ROLE, database, database_url, launch, open_store},
};

const KILLS: u64 = 100;
const STACKS: usize = 6;
/// Of the pauses between two kills.
const SEED: u64 = 0x4861_7773_6572;

/// AWS as the vendor: every role opens with an external ID of 32 digits, every stack is what it says, and every probe is allowed.
async fn aws() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    url
}

async fn answer(body: Bytes) -> Response {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    match of("Action") {
        "AssumeRole" if of("ExternalId").len() == 32 => {
            "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE\
             </AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>"
                .into_response()
        }
        "AssumeRole" => {
            let error = "<ErrorResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                         <Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
            (StatusCode::FORBIDDEN, error).into_response()
        }
        "DescribeStackResources" => {
            let all = [("HandlerRole", HANDLER_ROLE), ("Handler", FUNCTION), ("VendorRole", VENDOR_ROLE)];
            let members = all.map(|(logical, physical)| {
                format!(
                    "<member><LogicalResourceId>{logical}</LogicalResourceId><PhysicalResourceId>{physical}</PhysicalResourceId>\
                     <ResourceType>x</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
                     <Timestamp>2026-11-22T10:00:00Z</Timestamp></member>"
                )
            });
            format!(
                "<DescribeStackResourcesResponse xmlns='http://cloudformation.amazonaws.com/doc/2010-05-15/'><DescribeStackResourcesResult>\
                 <StackResources>{}</StackResources></DescribeStackResourcesResult></DescribeStackResourcesResponse>",
                members.concat()
            )
            .into_response()
        }
        _ => StatusCode::OK.into_response(),
    }
}

/// What a receiver has: bodies by id.
type Received = Arc<Mutex<BTreeMap<String, BTreeSet<Bytes>>>>;

async fn receiver() -> (String, Received) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, received) = (format!("http://{}/", listener.local_addr().unwrap()), Received::default());
    let keep = async |State(received): State<Received>, headers: http::HeaderMap, body: Bytes| {
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        received.lock().unwrap().entry(id).or_default().insert(body);
    };
    let app = Router::new().fallback(keep).with_state(Arc::clone(&received));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

/// A small generator, so that a run can be had again.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// Sends until it is answered with 200, to whichever process answers.
async fn deliver(client: &reqwest::Client, bases: &[String], stack: &Stack, kind: &str, seconds: i64) {
    let at = now().replace_nanosecond(0).unwrap() + time::Duration::seconds(seconds);
    let event = if kind == "status" { stack.status_event("delivered", at) } else { stack.event(kind, at) };
    for attempt in 0.. {
        let base = &bases[attempt % bases.len()];
        let request = stack.send(event.clone(), now());
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let sent = client.post(format!("{base}/notices")).headers(parts.headers).body(body).send().await;
        if let Ok(answer) = sent {
            match answer.status().as_u16() {
                200 => return,
                429 | 503 => {}
                other => panic!("{kind}: {other} {:?}", answer.text().await),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ports that nobody is given while their process is dead: below those that the system gives to whoever asks for any.
fn ports(count: usize) -> Vec<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let free = (first..32_000).filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.take(count).collect()
}

/// F-61 in its hardest form, and design's "a kill loses none".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_nothing_and_double_nothing() {
    let (directory, sts, aws) = (tempfile::tempdir().unwrap(), StsStub::start().await, aws().await);
    let replicas = if database_url(&directory).starts_with("postgres") { 2 } else { 1 };
    let store = open_store(&directory).await;
    let (url, received) = receiver().await;
    let endpoint = NewEndpoint {
        id: EndpointId::new([1; 16]),
        customer_id: None,
        url: EndpointUrl::parse(&url, Reach::PublicAndLoopback).unwrap(),
        filter: Filter::parse(&["*"]).unwrap(),
        secret: SigningSecret::new(&[1; 32]),
    };
    assert!(store.add_endpoint(&endpoint, None, now()).await.unwrap().is_some());

    let ports = ports(replicas);
    let authority = format!("localhost:{}", ports[0]);
    let start = |port: u16| Running::start_on(port, &authority, &directory, &sts, &aws);
    let mut running: Vec<_> = ports.iter().map(|port| Some(start(*port))).collect();
    let bases: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();

    let over = Arc::new(AtomicBool::new(false));
    let mut stacks = JoinSet::new();
    for number in 0..STACKS {
        let mut launch = launch(number, None);
        launch.expires_at = now() + time::Duration::hours(24);
        store.add_launch(&Access::operator(), &launch, None, now()).await.unwrap();
        let mut stack = Stack::new(&launch, &format!("stack-{number}"), &sts.url);
        stack.audience.clone_from(&authority);
        stack.connection_name = format!("connection-{number}");
        let (bases, over) = (bases.clone(), Arc::clone(&over));
        stacks.spawn(async move {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
            let mut sent = 0;
            deliver(&client, &bases, &stack, "established", -3600).await;
            while !over.load(Ordering::SeqCst) {
                sent += 1;
                let kind = if sent % 3 == 0 { "updated" } else { "status" };
                deliver(&client, &bases, &stack, kind, -3600 + sent).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            deliver(&client, &bases, &stack, "updated", 0).await;
            (stack, sent)
        });
    }

    let mut state = SEED;
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random(&mut state, 90))).await;
        let which = usize::try_from(random(&mut state, replicas as u64)).unwrap();
        running[which].take().unwrap().kill();
        running[which] = Some(start(ports[which]));
    }
    over.store(true, Ordering::SeqCst);
    let sent = stacks.join_all().await;
    let heard: Vec<_> = sent.iter().map(|(_, sent)| *sent).collect();
    assert!(heard.iter().all(|sent| *sent > 5), "the stacks were heard in between: {heard:?}");

    // What a killed process had taken comes back when its lease is over, which is not waited for here.
    let database = database(&directory).await;
    let count = async |statement: &'static str| -> i64 { sqlx::query_scalar(statement).fetch_one(&database).await.unwrap() };
    let begun = tokio::time::Instant::now();
    loop {
        sqlx::query("UPDATE jobs SET run_at = 0 WHERE kind = 'deliver' OR subject IN (SELECT connection_id FROM connections WHERE confirmed_at IS NULL)")
            .execute(&database)
            .await
            .unwrap();
        let undelivered = count("SELECT COUNT(*) FROM webhook_deliveries WHERE ended_at IS NULL").await;
        let unverified = count("SELECT COUNT(*) FROM connections WHERE state <> 'verified'").await;
        if undelivered + unverified == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{undelivered} {unverified} {}", running[0].as_ref().unwrap().log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    assert_eq!(count("SELECT COUNT(*) FROM connections").await, i64::try_from(STACKS).unwrap());
    for (stack, _) in &sent {
        let page = Page { after: None, limit: 100 };
        let listed = store.connections(&Access::operator(), &ConnectionFilter::default(), page, now()).await.unwrap();
        let connection = listed.items.iter().find(|one| one.data["stackId"] == stack.stack_id.as_str()).unwrap();
        let of = |kind: &str| {
            let kind = kind.to_owned();
            let (store, id) = (store.clone(), connection.connection_id.clone());
            async move {
                store
                    .history(&Access::operator(), &id, Page { after: None, limit: 1000 })
                    .await
                    .unwrap()
                    .unwrap()
                    .items
                    .iter()
                    .filter(|event| event.kind == kind)
                    .count()
            }
        };
        assert_eq!((of("connection.announced").await, of("connection.verified").await), (1, 1), "{}", stack.stack_id);
        assert_eq!(connection.problems, [], "{}", stack.stack_id);
    }
    // Every event was posted, each under one id with one body, however often.
    let received = received.lock().unwrap().clone();
    assert!(received.values().all(|bodies| bodies.len() == 1));
    let events: Vec<Value> = received.values().flatten().map(|body| serde_json::from_slice(body).unwrap()).collect();
    let connected = events.iter().filter(|event| event["type"] == "connection.connected").count();
    assert_eq!(connected, STACKS);
    assert_eq!(i64::try_from(received.len()).unwrap(), count("SELECT COUNT(*) FROM webhook_deliveries").await);
}
