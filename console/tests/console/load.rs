//! F-61: what strangers do to the listener of the real binary does not keep a stack from being heard.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use hawser_console::access::Access;
use http::Request;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    binary::{Running, now, send},
    support::{ACCOUNT, Behaviour, NOW, Stack, StsStub, code, open_store, rollout_launch},
};

/// A server, and a roll-out in whose accounts stacks come up.
struct World {
    _directory: tempfile::TempDir,
    sts: StsStub,
    running: Running,
    base: String,
    launch: hawser_console::launch::Launch,
    stacks: AtomicUsize,
}

impl World {
    async fn new() -> Self {
        let (directory, sts) = (tempfile::tempdir().unwrap(), StsStub::start().await);
        let running = Running::start_plain(&directory, &sts);
        let launch = rollout_launch(now());
        open_store(&directory).await.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        let base = running.hello["listening"].as_str().unwrap().to_owned();
        Self { _directory: directory, sts, running, base, launch, stacks: AtomicUsize::new(1) }
    }

    /// An account's stack that nobody has heard of, and its first notice.
    fn established(&self) -> (Stack, Value) {
        let mut stack = Stack::new(&self.launch, "51af3dc0", &self.sts.url);
        let account = format!("{:012}", self.stacks.fetch_add(1, Ordering::Relaxed));
        stack.stack_id = stack.stack_id.replace(&stack.account, &account);
        stack.account = account;
        stack.audience = self.running.hello["authority"].as_str().unwrap().to_owned();
        let mut event = stack.event("established", now().replace_nanosecond(0).unwrap());
        event["data"]["organization"]["managementAccountId"] = json!(ACCOUNT);
        (stack, event)
    }

    /// An honest stack that sends again what could not be taken, and how long it took until it was.
    async fn connect(&self, client: &reqwest::Client) -> Duration {
        let (stack, event) = self.established();
        let begun = Instant::now();
        loop {
            let (status, body) = send(client, &self.base, stack.send(event.clone(), now())).await;
            if status == 200 {
                return begun.elapsed();
            }
            assert!([429, 503].contains(&status), "{status} {body}");
            sleep(Duration::from_secs(2)).await;
        }
    }

    fn address(&self) -> SocketAddr {
        self.base.strip_prefix("http://").unwrap().parse().unwrap()
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
}

/// A proof with another access key: AWS refuses it.
fn with_key(mut event: Value, stack: &Stack, key: &str) -> Value {
    let authorization = &mut event["data"]["proofs"][0]["headers"]["authorization"];
    *authorization = json!(authorization.as_str().unwrap().replace(&format!("ASIA{}", stack.account), key));
    event
}

/// From one of the addresses of the attackers.
async fn open(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2 + u8::try_from(number % 4).unwrap()], 0)))?;
    socket.connect(to).await
}

/// Says nothing.
async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 1]).await.map(drop)
}

/// Sends a notice's headers, then a byte a second.
async fn slow(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(
            b"POST /notices HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\ncontent-length: 9999\r\n\r\n",
        )
        .await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(b" ").await?;
    }
}

/// Sends requests until it cannot, and reads no answer.
async fn unread(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(&b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100)).await?;
    }
}

/// F-61: whoever holds many connections takes them from themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_slow_and_unread_connections_switch_nothing_off() {
    let world = World::new().await;
    let (to, held) = (world.address(), Arc::new(AtomicUsize::new(0)));
    let mut attackers = JoinSet::new();
    for number in 0..3 * 256 {
        let held = Arc::clone(&held);
        attackers.spawn(async move {
            loop {
                if let Ok(stream) = open(number, to).await {
                    held.fetch_add(1, Ordering::Relaxed);
                    let _ = match number % 3 {
                        0 => idle(stream).await,
                        1 => slow(stream).await,
                        _ => unread(stream).await,
                    };
                    held.fetch_sub(1, Ordering::Relaxed);
                }
                // Whoever is put out comes back.
                sleep(Duration::from_millis(500)).await;
            }
        });
    }
    sleep(Duration::from_secs(2)).await;
    assert!(held.load(Ordering::Relaxed) > 256, "nobody attacks");
    let client = client();
    for _ in 0..10 {
        let took = world.connect(&client).await;
        assert!(took < Duration::from_secs(1), "an honest notice waited for {took:?}");
        sleep(Duration::from_millis(200)).await;
    }
    attackers.shutdown().await;
}

/// F-61: a stranger's connection ends by itself: after its one request, and in any case after half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_has_one_request_in_each_connection() {
    let world = World::new().await;
    let ([ask, miss, open], close) = (["GET /healthz", "GET /x", "HEAD /"], "connection: close");
    // A request that opens the connection is one more, once.
    for (requests, statuses) in [
        (&[ask, ask] as &[&str], &["200 OK"] as &[&str]),
        (&[miss, ask], &["404 Not Found"]),
        (&[open, ask, ask], &["204 No Content", "200 OK"]),
        (&[open, open, ask], &["204 No Content", "204 No Content"]),
        (&[ask, open], &["200 OK"]),
    ] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let sent: String = requests.iter().map(|request| format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        // What comes after the last request may be met by a closed connection.
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answers)).await.unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let answered: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.lines().next().unwrap()).collect();
        assert_eq!(answered, statuses, "{requests:?}");
        assert_eq!(answers.matches(close).count(), 1, "{requests:?}: {answers}");
    }

    let begun = Instant::now();
    let silent = idle(TcpStream::connect(world.address()).await.unwrap());
    let _ = timeout(Duration::from_secs(30), silent).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "headers have ten seconds");
    // No header may have 16 KiB.
    let long = Request::get(format!("{}/healthz", world.base)).header("x", "y".repeat(20_000)).body(Body::empty()).unwrap();
    let answer = client().get(long.uri().to_string()).headers(long.headers().clone()).send().await.unwrap();
    assert_eq!(answer.status(), 431);
}

/// F-61: somebody who knows the token of a roll-out invents an access key for each bad proof, more of them than AWS answers meanwhile.
/// Honest stacks of another address have half of the launch's places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_proofs_with_invented_keys_leave_half_of_the_places() {
    let world = Arc::new(World::new().await);
    world.sts.behave(Behaviour::Slow(Duration::from_millis(1500)));
    let elsewhere = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).local_address(IpAddr::from([127, 0, 0, 2]));
    let (client, elsewhere, stop) = (client(), elsewhere.build().unwrap(), Arc::new(AtomicBool::new(false)));
    let attack = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut sent, mut number) = (JoinSet::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let (world, client) = (Arc::clone(&world), elsewhere.clone());
                sent.spawn(async move {
                    let (stack, event) = world.established();
                    let event = with_key(stack.prove(event, now()), &stack, &format!("ASIA9{number:011}"));
                    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), now());
                    send(&client, &world.base, request).await
                });
                sleep(Duration::from_millis(20)).await;
            }
            while sent.join_next().await.is_some() {}
        })
    };
    // Until the address has had its share of bad proofs, it has all places; who waits for one waits for three seconds.
    while world.sts.calls() < 100 {
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(4)).await;
    for _ in 0..3 {
        let took = world.connect(&client).await;
        assert!(took < Duration::from_secs(3), "an honest notice waited for {took:?}");
    }
    stop.store(true, Ordering::Relaxed);
    attack.await.unwrap();
}

/// F-61: a roll-out behind one address is no stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_accounts_of_one_address_connect_in_a_minute() {
    let world = Arc::new(World::new().await);
    let (client, begun, mut workers) = (client(), Instant::now(), JoinSet::new());
    for _ in 0..20 {
        let (world, client) = (Arc::clone(&world), client.clone());
        workers.spawn(async move {
            for _ in 0..50 {
                world.connect(&client).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// F-61: somebody who knows the token of a roll-out sends proofs of other accounts: with one access key or with many, from the address of
/// honest stacks. AWS takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_proofs_delay_no_honest_notice() {
    let world = Arc::new(World::new().await);
    world.sts.behave(Behaviour::Slow(Duration::from_millis(300)));
    let (client, stop) = (client(), Arc::new(AtomicBool::new(false)));
    let attack = {
        let (world, client, stop) = (Arc::clone(&world), client.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut sent, mut codes) = (JoinSet::new(), std::collections::BTreeSet::new());
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let (world, client) = (Arc::clone(&world), client.clone());
                sent.spawn(async move {
                    let (stack, event) = world.established();
                    let key = if number % 2 == 0 { "ASIA999999999999".to_owned() } else { format!("ASIA9{number:011}") };
                    let event = with_key(stack.prove(event, now()), &stack, &key);
                    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), now());
                    send(&client, &world.base, request).await
                });
                sleep(Duration::from_millis(20)).await;
            }
            while let Some(answer) = sent.join_next().await {
                let (_, body) = answer.unwrap();
                codes.insert(code(&body).to_owned());
            }
            (number, codes)
        })
    };
    sleep(Duration::from_secs(1)).await;
    for _ in 0..6 {
        let took = world.connect(&client).await;
        assert!(took < Duration::from_secs(5), "an honest notice waited for {took:?}");
        sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (number, codes) = attack.await.unwrap();
    assert!(number > 100, "{number} bad proofs");
    for expected in ["identity-mismatch", "too-many-bad-proofs", "too-many-refused"] {
        assert!(codes.contains(expected), "{expected} in {codes:?}");
    }
    // One access key that AWS refuses is not asked about again and again.
    assert!(world.sts.calls() < number, "{} calls for {number} bad proofs", world.sts.calls());
    // One line for each that was refused, and it says who, until the address has had its share of them.
    let log = world.running.log();
    let refused: Vec<Value> =
        log.lines().map(|l| serde_json::from_str(l).unwrap()).filter(|l: &Value| l["message"] == "notice refused").collect();
    assert!((100..200).contains(&refused.len()), "{} lines", refused.len());
    for line in &refused {
        assert_eq!((&line["launch.id"], &line["address"]), (&json!(world.launch.id), &json!("127.0.0.1")), "{line}");
        assert!(line["stack.id"].as_str().unwrap().contains(line["account.id"].as_str().unwrap()), "{line}");
    }
}
