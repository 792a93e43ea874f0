//! Webhooks out on the wire: a receiver on a local port, and the names, addresses and answers that must not harm us.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::any,
};
use hawser_console::{
    secret::Secret,
    serve,
    webhook::{
        attempt::{Attempt, EXCERPT_BYTES_MAX, FailureKind, Outcome},
        deliver,
        egress::{Egress, Lookup, SystemLookup},
        endpoint_url::Reach,
        event::EventType,
        secrets::OVERLAP_DEFAULT,
        sender::{EXCERPT_TIMEOUT, HttpSender, SenderRefused, TIMEOUT},
    },
};
use http::{HeaderMap, StatusCode, Uri};
use rcgen::{CertificateParams, KeyPair};
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    binary::now,
    webhooks::{NOW, endpoint, event, secret},
    webhooks_addresses::NOT_PUBLIC_HOSTS,
};

const LOCAL: Egress = Egress::Direct { loopback: true };
const PUBLIC: Egress = Egress::Direct { loopback: false };

/// A DNS with these answers, one after another.
#[derive(Default)]
struct Answers {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    asked: AtomicUsize,
}

impl Answers {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Lookup for Answers {
    async fn addresses(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.ok_or_else(|| io::Error::other("no such host"))?;
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

/// A DNS that never answers.
struct Silent;

#[async_trait]
impl Lookup for Silent {
    async fn addresses(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

fn sender_through(egress: &Egress, lookup: Arc<dyn Lookup>) -> HttpSender {
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpSender::through(reqwest::Client::builder(), egress, lookup).unwrap()
}

/// Without DNS.
fn sender(egress: &Egress) -> HttpSender {
    sender_through(egress, Arc::new(Answers::default()))
}

async fn attempt(sender: &HttpSender, url: &str) -> Attempt {
    // Under the widest rules: what the sender itself refuses is tested here.
    let reach = if url.starts_with("http:") { Reach::PublicAndLoopback } else { Reach::Proxy };
    deliver(sender, &endpoint(url, reach), &event(EventType::ConnectionDegraded), 1, NOW).await
}

fn kind(attempt: &Attempt) -> Option<FailureKind> {
    match &attempt.outcome {
        Outcome::Success { .. } => None,
        Outcome::Failure { kind, .. } => Some(*kind),
    }
}

fn detail(attempt: &Attempt) -> &str {
    match &attempt.outcome {
        Outcome::Success { .. } => "",
        Outcome::Failure { detail, .. } => detail,
    }
}

/// An endpoint that keeps what it gets, and answers with the path as status and the query as headers.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (receiver, address) = (Self::default(), listener.local_addr().unwrap());
        let app = receiver.app();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, address)
    }

    fn app(&self) -> Router {
        Router::new().fallback(any(receive)).with_state(self.clone())
    }

    fn received(&self) -> Vec<(HeaderMap, Bytes)> {
        self.received.lock().unwrap().clone()
    }
}

async fn receive(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    receiver.received.lock().unwrap().push((headers, body));
    let status = uri.path().trim_start_matches('/').parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = (status.unwrap_or(StatusCode::OK), "thank you").into_response();
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// What a raw receiver does after its answer.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    /// Says nothing more; from then on the clock runs as fast as the test.
    Hangs,
    /// Goes on for ever.
    Repeats,
}

/// An endpoint that answers with these bytes, whatever it gets: its port, what it got, and how many connections there were.
async fn raw(answer: &'static [u8], then: Then) -> (SocketAddr, Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (got, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (kept, count) = (Arc::clone(&got), Arc::clone(&connections));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let request = request(&mut stream).await;
            kept.lock().unwrap().extend(request);
            // The other side may be gone by then.
            let _ = stream.write_all(answer).await;
            match then {
                Then::Closes => drop(stream),
                Then::Repeats => while stream.write_all(answer).await.is_ok() {},
                Then::Hangs => {
                    for _ in 0..1000 {
                        tokio::task::yield_now().await;
                    }
                    tokio::time::pause();
                    std::future::pending::<()>().await;
                }
            }
        }
    });
    (address, got, connections)
}

/// The head, and the body where it has one.
async fn request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let complete = if request.starts_with(b"CONNECT") { request.ends_with(b"\r\n\r\n") } else { request.ends_with(b"}") };
        if read == 0 || complete {
            return request;
        }
    }
}

/// Whether the official library accepts a request with one secret.
fn verifies(number: u8, (headers, body): &(HeaderMap, Bytes)) -> bool {
    Webhook::new(secret(number).expose()).unwrap().verify(body, headers).is_ok()
}

#[tokio::test]
async fn the_official_library_accepts_every_attempt() {
    let (receiver, address) = Receiver::start().await;
    let mut endpoint = endpoint(&format!("http://{address}/200"), Reach::PublicAndLoopback);
    let (sender, event, now) = (sender(&LOCAL), event(EventType::ConnectionDegraded), now());
    let earlier = now - time::Duration::minutes(2);
    for (number, at) in [(1, earlier), (2, now)] {
        let attempt = deliver(&sender, &endpoint, &event, number, at).await;
        assert_eq!((attempt.outcome, attempt.number, attempt.at), (Outcome::Success { status: 200 }, number, at));
        assert_eq!(attempt.excerpt, "thank you");
    }
    // Both secrets while they overlap, and one afterwards.
    let before = endpoint.secrets.clone();
    endpoint.secrets = before.rotate(secret(2), OVERLAP_DEFAULT, now).unwrap();
    deliver(&sender, &endpoint, &event, 3, now).await;
    endpoint.secrets = before.rotate(secret(2), OVERLAP_DEFAULT, now - OVERLAP_DEFAULT).unwrap();
    deliver(&sender, &endpoint, &event, 4, now).await;

    let received = receiver.received();
    let accepted: Vec<_> =
        received.iter().map(|request| [verifies(1, request), verifies(2, request), verifies(3, request)]).collect();
    assert_eq!(accepted, [[true, false, false], [true, false, false], [true, true, false], [false, true, false]]);
    for (number, (headers, body)) in received.iter().enumerate() {
        assert_eq!(body, event.payload(), "{number}");
        assert_eq!(headers["webhook-id"], event.id().to_string());
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].to_str().unwrap().starts_with("hawser-console/"));
        let at = if number == 0 { earlier } else { now };
        assert_eq!(headers["webhook-timestamp"], at.unix_timestamp().to_string());
    }
}

#[tokio::test]
async fn a_status_says_how_it_ended_and_no_redirect_is_followed() {
    let (receiver, address) = Receiver::start().await;
    let (sender, to) = (sender(&LOCAL), format!("location=http://{address}/200"));
    let after = |status, seconds| Outcome::of(status, Some(seconds));
    let plain = |status| Outcome::of(status, None);
    let rows = [
        ("200".to_owned(), plain(200)),
        ("202".to_owned(), plain(202)),
        ("204".to_owned(), plain(204)),
        (format!("301?{to}"), plain(301)),
        (format!("302?{to}"), plain(302)),
        (format!("307?{to}"), plain(307)),
        (format!("308?{to}"), plain(308)),
        ("400".to_owned(), plain(400)),
        ("410".to_owned(), plain(410)),
        ("429?retry-after=30".to_owned(), after(429, 30)),
        ("503?retry-after=Sun,+22+Nov+2026+10:02:00+GMT".to_owned(), after(503, 120)),
        ("503?retry-after=soon".to_owned(), plain(503)),
        ("500".to_owned(), plain(500)),
    ];
    for (at, (path, expected)) in rows.iter().enumerate() {
        let attempt = attempt(&sender, &format!("http://{address}/{path}")).await;
        assert_eq!(attempt.outcome, *expected, "{path}");
        assert_eq!(receiver.received().len(), at + 1, "{path}: one request each");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_failure_of_its_own_kind() {
    const ENDLESS: &[u8] = &[b'x'; 4096];
    for (answer, then, expected) in [
        (&b""[..], Then::Closes, Some(FailureKind::BrokenOff)),
        (b"HTTP/1.1 200 O", Then::Closes, Some(FailureKind::BrokenOff)),
        (b"SSH-2.0-OpenSSH\r\n", Then::Closes, Some(FailureKind::BrokenOff)),
        (ENDLESS, Then::Repeats, Some(FailureKind::BrokenOff)),
        // The status is there, so the rest is for the log.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart", Then::Closes, None),
        (b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\npart", Then::Closes, Some(FailureKind::Status)),
    ] {
        let (address, ..) = raw(answer, then).await;
        let attempt = attempt(&sender(&LOCAL), &format!("http://{address}/in/path-token")).await;
        assert_eq!(kind(&attempt), expected, "{:?}: {attempt:?}", String::from_utf8_lossy(answer).get(..20));
        assert!(!format!("{attempt:?}").contains("path-token"), "{attempt:?}");
        assert!(attempt.excerpt.is_empty() || attempt.excerpt == "part", "{attempt:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_nobody() {
    let (address, ..) = raw(b"", Then::Hangs).await;
    let attempt = attempt(&sender(&LOCAL), &format!("http://{address}/")).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Timeout));
    let duration = Duration::from_millis(attempt.duration_ms);
    assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&duration), "{duration:?}");
    assert!(FailureKind::Timeout.next_step().contains(&format!("{} seconds", TIMEOUT.as_secs())));
}

#[tokio::test]
async fn a_body_that_hangs_is_not_waited_for() {
    let (address, ..) = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart", Then::Hangs).await;
    let attempt = attempt(&sender(&LOCAL), &format!("http://{address}/")).await;
    assert_eq!((kind(&attempt), &*attempt.excerpt), (None, "part"));
    assert!(Duration::from_millis(attempt.duration_ms) < EXCERPT_TIMEOUT + Duration::from_secs(1), "{attempt:?}");
}

#[tokio::test]
async fn of_a_huge_body_the_begin_is_read() {
    const CHUNK: &[u8] = b"HTTP/1.1 500 No\r\n\r\nhuge\x1b[2J";
    let (address, ..) = raw(CHUNK, Then::Repeats).await;
    let attempt = attempt(&sender(&LOCAL), &format!("http://{address}/")).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Status));
    assert!(attempt.excerpt.starts_with("huge\\u{1b}[2JHTTP/1.1 500 No\\r\\n"), "{}", attempt.excerpt);
    assert!((EXCERPT_BYTES_MAX..EXCERPT_BYTES_MAX + 10).contains(&attempt.excerpt.len()), "{}", attempt.excerpt.len());
}

#[tokio::test]
async fn a_name_is_refused_if_any_of_its_addresses_is_not_public() {
    let (address, _, connections) = raw(b"HTTP/1.1 200 OK\r\n\r\n", Then::Closes).await;
    let port = address.port();
    for (egress, answer, expected, why) in [
        (PUBLIC, &["127.0.0.1"][..], FailureKind::AddressNotPublic, "loopback"),
        (PUBLIC, &["93.184.215.14", "10.0.0.1"], FailureKind::AddressNotPublic, "`10.0.0.1` is private"),
        (PUBLIC, &["10.0.0.1", "93.184.215.14"], FailureKind::AddressNotPublic, "`10.0.0.1` is private"),
        (PUBLIC, &["93.184.215.14", "fe80::1"], FailureKind::AddressNotPublic, "link-local"),
        (PUBLIC, &["::ffff:93.184.215.14"], FailureKind::AddressNotPublic, "mapped"),
        (PUBLIC, &["169.254.169.254"], FailureKind::AddressNotPublic, "link-local"),
        (PUBLIC, &["fd00:ec2::254"], FailureKind::AddressNotPublic, "unique local"),
        (LOCAL, &["127.0.0.1", "10.0.0.1"], FailureKind::AddressNotPublic, "`10.0.0.1` is private"),
        (LOCAL, &["127.0.0.1", "93.184.215.14", "0.0.0.0"], FailureKind::AddressNotPublic, "this network"),
        (LOCAL, &[], FailureKind::Dns, "no address"),
        (LOCAL, &["127.0.0.1"; 65], FailureKind::Dns, "too many"),
    ] {
        let lookup = Answers::new(&[answer]);
        let sender = sender_through(&egress, lookup.clone());
        let attempt = attempt(&sender, &format!("https://hooks.example.com:{port}/")).await;
        assert_eq!(kind(&attempt), Some(expected), "{answer:?}: {attempt:?}");
        assert!(detail(&attempt).contains(why), "{answer:?}: {attempt:?}");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1, "{answer:?}");
    }
    // What goes to this machine without TLS goes nowhere else.
    let lookup = Answers::new(&[&["93.184.215.14"]]);
    let refused = attempt(&sender_through(&LOCAL, lookup), &format!("http://localhost:{port}/")).await;
    assert_eq!(kind(&refused), Some(FailureKind::Dns), "{refused:?}");
    let unknown = attempt(&sender(&LOCAL), "https://hooks.example.com/").await;
    assert_eq!((kind(&unknown), detail(&unknown)), (Some(FailureKind::Dns), "no such host"));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_address_in_a_url_is_refused_without_a_connection() {
    let (address, _, connections) = raw(b"HTTP/1.1 200 OK\r\n\r\n", Then::Closes).await;
    for host in NOT_PUBLIC_HOSTS {
        let attempt = attempt(&sender(&PUBLIC), &format!("https://{host}:{}/", address.port())).await;
        assert_eq!(kind(&attempt), Some(FailureKind::AddressNotPublic), "{host}: {attempt:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// The name is asked for once in each attempt, and the connection is made to what was checked.
#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (receiver, address) = Receiver::start().await;
    let url = format!("http://localhost:{}/200", address.port());
    // The second answer is what an attacker's DNS gives to whoever connects after the check.
    let lookup = Answers::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let sender = sender_through(&LOCAL, lookup.clone());
    let first = attempt(&sender, &url).await;
    assert_eq!((kind(&first), lookup.asked.load(Ordering::SeqCst)), (None, 1), "{first:?}");
    assert_eq!(receiver.received()[0].0["host"], format!("localhost:{}", address.port()));
    // A later attempt checks again: the receiver keeps the connection open, and it is not used.
    let second = attempt(&sender, &url).await;
    assert_eq!(kind(&second), Some(FailureKind::AddressNotPublic), "{second:?}");
    assert_eq!((lookup.asked.load(Ordering::SeqCst), receiver.received().len()), (2, 1));
}

/// The system's own resolver, asked for the one name that it knows everywhere.
#[tokio::test]
async fn the_systems_dns_is_checked_as_well() {
    let (receiver, address) = Receiver::start().await;
    let url = format!("http://localhost:{}/200", address.port());
    assert_eq!(kind(&attempt(&HttpSender::new(&LOCAL).unwrap(), &url).await), None);
    let host = SystemLookup.addresses("localhost").await.unwrap();
    assert!(!host.is_empty() && host.iter().all(IpAddr::is_loopback), "{host:?}");
    let refused = attempt(&HttpSender::new(&PUBLIC).unwrap(), &url).await;
    assert_eq!(kind(&refused), Some(FailureKind::AddressNotPublic), "{refused:?}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dns_that_hangs_holds_nobody() {
    let attempt = attempt(&sender_through(&PUBLIC, Arc::new(Silent)), "https://hooks.example.com/").await;
    assert_eq!(kind(&attempt), Some(FailureKind::Timeout), "{attempt:?}");
    assert!(attempt.duration_ms <= 6000, "{attempt:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let attempt = attempt(&sender(&LOCAL), &format!("http://{address}/in/path-token")).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Connect), "{attempt:?}");
    assert!(detail(&attempt).contains("refused") && !detail(&attempt).contains("path-token"), "{attempt:?}");
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_for_the_host() {
    let (key, directory) = (KeyPair::generate().unwrap(), tempfile::tempdir().unwrap());
    let certificate = CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let [cert, private] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (receiver, port) = (Receiver::default(), listener.local_addr().unwrap().port());
    let tls = serve::tls(&cert, &private).unwrap();
    tokio::spawn(serve::serve(listener, Some(tls), receiver.app(), serve::Clients::Operators, std::future::pending()));

    let root = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    for (host, trusted, expected) in [
        ("hooks.example.com", true, None),
        ("hooks.example.com", false, Some(FailureKind::Tls)),
        ("other.example.com", true, Some(FailureKind::Tls)),
    ] {
        let client = reqwest::Client::builder();
        let client = if trusted { client.tls_certs_only([root.clone()]) } else { client };
        let sender = HttpSender::through(client, &LOCAL, Answers::new(&[&["127.0.0.1"]])).unwrap();
        let attempt = attempt(&sender, &format!("https://{host}:{port}/200")).await;
        assert_eq!(kind(&attempt), expected, "{host} {trusted}: {attempt:?}");
        assert_eq!(detail(&attempt).contains("certificate"), expected.is_some(), "{attempt:?}");
    }
    assert_eq!(receiver.received().len(), 1);
}

/// It alone sees the addresses: nothing is resolved here, and what it refuses stays unsent.
#[tokio::test]
async fn an_egress_proxy_decides() {
    let (proxy, got, _) = raw(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", Then::Closes).await;
    let lookup = Answers::new(&[]);
    let sender = sender_through(&Egress::Proxy(Secret::new(format!("http://user:proxy-password@{proxy}"))), lookup.clone());
    for host in ["hooks.internal", "10.0.0.1"] {
        let attempt = attempt(&sender, &format!("https://{host}/in/path-token")).await;
        assert_eq!(kind(&attempt), Some(FailureKind::Proxy), "{attempt:?}");
        for secret in ["proxy-password", "path-token"] {
            assert!(!format!("{attempt:?}").contains(secret), "{attempt:?}");
        }
        let got = String::from_utf8_lossy(&std::mem::take(&mut *got.lock().unwrap())).into_owned();
        assert!(got.starts_with(&format!("CONNECT {host}:443 HTTP/1.1\r\n")), "{got}");
        assert!(!got.contains("path-token") && !got.contains("webhook-signature"), "{got}");
    }
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 0);

    let malformed = Egress::Proxy(Secret::new("proxy-password@@"));
    let refused = HttpSender::new(&malformed).map(drop).unwrap_err();
    assert!(matches!(refused, SenderRefused::Proxy) && !format!("{refused:?} {refused}").contains("proxy-password"));
}
