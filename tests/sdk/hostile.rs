//! Neighbours that mean ill, or are broken, over real sockets: whoever answers at the notice URL and at the response URL,
//! and names that hold what could forge a line of a log or of a stack event.
//!
//! Every run is bounded in time and memory, ends in the right code, and prints no secret (HW-A3, HW-C1, HW-C4, HW-C5, HW-W2).

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use hawser::{
    connection,
    handler::{self, Unanswered},
    ports::{Mailbox, NoResponse, Ports, VENDOR_BODY_BYTES_MAX, Vendor, VendorResponse},
    request::Request,
    sdk::web::Web,
};
use hawser_account::{
    AccountFile,
    file::{BucketFile, ReportFile},
};
use hawser_sim::{World, parties::SIGNATURE};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tracing_subscriber::{Layer, filter::Targets};
use url::Url;

use crate::captured::{Captured, listen};

const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";

/// The time a run is given. The handler keeps half of it for the response when there is so little.
const TIME: Duration = Duration::from_secs(6);

/// What a slow neighbour needs, and is given: well within the handler's half.
const SLOW: Duration = Duration::from_millis(800);

/// More than a client that reads no further can be sent: the buffers of two sockets hold some megabytes.
const SENT_MAX: usize = 32 * 1024 * 1024;

/// How much a neighbour tries to send.
const FLOOD: usize = 512 * 1024 * 1024;

/// What a neighbour does with a connection.
#[derive(Debug, Clone)]
enum Does {
    /// Takes it and says nothing: a handshake that never ends where TLS is spoken.
    Nothing,
    /// Breaks it at once.
    Resets,
    /// Answers these bytes, whatever it is told.
    Answers(Vec<u8>),
    /// The same, after a while.
    AnswersAfter(Duration, Vec<u8>),
    /// The same without having read the request, and breaks the connection.
    AnswersUnasked(Vec<u8>),
    /// The first bytes, then the second ones again and again.
    Floods(Vec<u8>, Vec<u8>),
    /// The first bytes, then one byte a second.
    Drips(Vec<u8>, Vec<u8>),
}

/// Someone at a port of this machine, for as long as the test runs.
struct Neighbour {
    port: u16,
    /// How many connections it got.
    met: Arc<AtomicUsize>,
    /// How many bytes were taken from it.
    sent: Arc<AtomicUsize>,
    /// Everything it was told.
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Neighbour {
    /// One that does each of `does` with one connection after the other, and the last with all that follow.
    async fn that(does: &[Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let neighbour = Self { port, met: Arc::default(), sent: Arc::default(), heard: Arc::default() };
        let (met, sent, heard) = (Arc::clone(&neighbour.met), Arc::clone(&neighbour.sent), Arc::clone(&neighbour.heard));
        let does = does.to_vec();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let nth = met.fetch_add(1, Ordering::SeqCst);
                let does = does[nth.min(does.len() - 1)].clone();
                let (sent, heard) = (Arc::clone(&sent), Arc::clone(&heard));
                // A client that goes away ends it, and that is as it should be.
                tokio::spawn(async move { does.with(socket, &sent, &heard).await.unwrap_or_default() });
            }
        });
        neighbour
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.port)
    }
}

impl Does {
    async fn with(self, mut socket: TcpStream, sent: &AtomicUsize, heard: &Mutex<Vec<u8>>) -> io::Result<()> {
        let (answer, more, pause) = match self {
            Self::Nothing => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
            Self::Resets => {
                socket.set_zero_linger()?;
                return Ok(());
            }
            Self::AnswersUnasked(answer) => return socket.write_all(&answer).await,
            Self::AnswersAfter(wait, answer) => {
                request(&mut socket, heard).await?;
                tokio::time::sleep(wait).await;
                (answer, Vec::new(), Duration::ZERO)
            }
            Self::Answers(answer) => {
                request(&mut socket, heard).await?;
                (answer, Vec::new(), Duration::ZERO)
            }
            Self::Floods(answer, more) => {
                let times = FLOOD / more.len();
                request(&mut socket, heard).await?;
                socket.write_all(&answer).await?;
                for _ in 0..times {
                    socket.write_all(&more).await?;
                    sent.fetch_add(more.len(), Ordering::SeqCst);
                }
                return Ok(());
            }
            Self::Drips(answer, more) => {
                // Where TLS is spoken there is no request to wait for the end of.
                let mut start = vec![0; 16 * 1024];
                let read = socket.read(&mut start).await?;
                heard.lock().unwrap().extend_from_slice(&start[..read]);
                (answer, more, Duration::from_secs(1))
            }
        };
        socket.write_all(&answer).await?;
        for byte in more {
            tokio::time::sleep(pause).await;
            socket.write_all(&[byte]).await?;
        }
        // Whoever closes first with unread bytes resets; wait for the other end.
        socket.shutdown().await?;
        let _ = socket.read(&mut [0; 1024]).await?;
        Ok(())
    }
}

/// Reads one request to its end.
async fn request(socket: &mut TcpStream, heard: &Mutex<Vec<u8>>) -> io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = socket.read(&mut buffer).await?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(plan_header, body)| {
            let length = plan_header.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            body.len() >= length.unwrap_or(0)
        });
        if whole || read == 0 {
            heard.lock().unwrap().extend_from_slice(&request);
            return Ok(());
        }
    }
}

fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok(body: impl AsRef<[u8]>) -> Does {
    Does::Answers(http("200 OK", "", body))
}

/// The log of everything that happens on this thread, as the function writes it: JSON, our own lines from info on.
#[derive(Clone, Default)]
struct Log(Captured);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let filter = Targets::new().with_default(tracing::Level::WARN).with_target("hawser", tracing::Level::INFO);
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(log.0.clone());
        let guard = listen(lines.with_filter(filter));
        (log, guard)
    }

    fn text(&self) -> String {
        self.0.text()
    }

    /// Each line is one JSON object of ours: nothing that was said by others begins a line or ends one.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let control = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "a control character is in the log:\n{text}");
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let lines: Vec<Value> = text.lines().map(line).collect();
        assert!(!lines.is_empty());
        lines
    }
}

fn assert_no_secret(text: &str) {
    for secret in [TOKEN, &TOKEN[6..30], SIGNATURE, "X-Amz-Signature", "topsecret"] {
        assert!(!text.contains(secret), "`{secret}` is in:\n{text}");
    }
}

/// An event of the connection. Its response goes to the mailbox in memory.
fn event(kind: &str, notice_url: &str) -> Value {
    let mut event = json!({
        "RequestType": kind, "RequestId": "r-1", "LogicalResourceId": "Connection", "ResourceType": connection::RESOURCE_TYPE,
        "ResponseURL": "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/x?X-Amz-Signature=y",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70",
        "ResourceProperties": {
            "NoticeUrl": notice_url, "LaunchToken": TOKEN, "ConnectionName": "main", "ExternalId": "ext-1",
            "RoleArn": "arn:aws:iam::111122223333:role/vendor",
        },
    });
    if kind != "Create" {
        let created = self::event("Create", notice_url);
        let Request::Connection(origin, _) = Request::parse(&created).unwrap() else { unreachable!() };
        event["PhysicalResourceId"] = connection::physical_id(&origin).into();
        event["OldResourceProperties"] = event["ResourceProperties"].clone();
    }
    event
}

/// The real client, towards a neighbour that has no certificate: the notice goes to the same port without TLS.
struct WithoutTls(Web);

#[async_trait]
impl Vendor for WithoutTls {
    async fn post(
        &self,
        url: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        let plain = Url::parse(&url.as_str().replacen("https", "http", 1)).unwrap();
        self.0.post(&plain, headers, body, limit).await
    }
}

/// One run of the handler with a vendor: its response, and how long it took.
async fn run(event: &Value, vendor: &dyn Vendor) -> (Value, Duration) {
    let world = World::new(AccountFile::default());
    let ports = Ports { vendor, ..world.ports() };
    let started = Instant::now();
    handler::answer(event, ports.clock.now() + TIME, &ports).await.unwrap();
    let response = world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).remove(0);
    (response, started.elapsed())
}

/// What a response must be, whoever answered.
fn assert_sound(response: &Value, what: &dyn std::fmt::Debug) {
    assert!(response.to_string().len() <= 4096, "{what:?}: {response}");
    assert_no_secret(&response.to_string());
    // Words of others are in these; a name is never changed.
    for text in
        [&response["Reason"], &response["Data"]["Decision"], &response["Data"]["Message"], &response["Data"]["ConnectionId"]]
    {
        let text = text.as_str().unwrap_or_default();
        assert!(!text.chars().any(char::is_control), "{what:?}: {text:?}");
    }
}

/// The id of every notice about [`event`].
fn notice_id() -> String {
    connection::notice::id(Request::parse(&event("Create", "https://vendor.example/")).unwrap().origin())
}

/// Everything a vendor's address may do, and what a Create comes to.
fn vendors() -> Vec<(Does, &'static str)> {
    let answers = |status: &str, body: &str| Does::Answers(http(status, "", body));
    let (plan_header, endless) =
        (b"HTTP/1.1 200 OK\r\n".to_vec(), b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec());
    let many = vec![b'x'; 64 * 1024];
    let receipt = |connection_id: &str| json!({ "noticeId": notice_id(), "connectionId": connection_id }).to_string();
    let ten_megabytes = json!({ "noticeId": notice_id(), "message": "x".repeat(10_000_000) }).to_string();
    let huge_headers = format!("x-{}: {}\r\n", "n".repeat(1000), "v".repeat(1_000_000));
    let too_long = receipt(&"c".repeat(257));
    let (accepted, foreign) = ("SUCCESS", "VENDOR_ANSWER_FOREIGN");
    vec![
        // It does not answer, or not to the end.
        (Does::Nothing, "VENDOR_UNREACHABLE"),
        (Does::Resets, "VENDOR_UNREACHABLE"),
        (Does::AnswersAfter(SLOW, http("200 OK", "", receipt("c-1"))), accepted),
        (Does::AnswersAfter(TIME, http("200 OK", "", receipt("c-1"))), "VENDOR_UNREACHABLE"),
        (Does::Drips(Vec::new(), plan_header.clone()), "VENDOR_UNREACHABLE"),
        // The status has arrived, and the notice's id has not.
        (Does::Drips(endless.clone(), vec![b' '; 60]), "VENDOR_"),
        (Does::Drips(http("403 No", "", "").iter().take(24).copied().collect(), vec![b' '; 60]), "VENDOR_UNREACHABLE"),
        // It does not end.
        (Does::Floods(endless.clone(), many.clone()), foreign),
        (Does::Floods(b"HTTP/1.1 403 No\r\nContent-Length: 999999999999\r\n\r\n".to_vec(), many.clone()), "VENDOR_REFUSED"),
        (
            Does::Floods(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                [b"10000\r\n", many.as_slice(), b"\r\n"].concat(),
            ),
            foreign,
        ),
        (Does::Floods(plan_header.clone(), b"x-more: and more\r\n".repeat(1000)), "VENDOR_UNREACHABLE"),
        (Does::Floods(Vec::new(), many), "VENDOR_UNREACHABLE"),
        (Does::Answers(http("200 OK", &huge_headers, "{}")), "VENDOR_UNREACHABLE"),
        (ok(ten_megabytes), foreign),
        (Does::Answers(http("200 OK", "Content-Encoding: gzip\r\n", [0x1f, 0x8b, 8, 0])), foreign),
        // It is no HTTP, or not quite.
        (Does::Answers(b"220 smtp.example ESMTP\r\n".to_vec()), "VENDOR_UNREACHABLE"),
        (Does::Answers(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec()), "VENDOR_UNREACHABLE"),
        (Does::Answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_vec()), "VENDOR_UNREACHABLE"),
        // Whether this is an answer depends on which end was faster.
        (Does::AnswersUnasked(http("401 No", "", r#"{"detail":"not you"}"#)), "VENDOR_"),
        (answers("101 Switching Protocols", ""), "VENDOR_REFUSED"),
        (answers("999 Odd", ""), "VENDOR_REFUSED"),
        // Wrong JSON, or JSON that knows nothing of the notice: some other program has said yes.
        (ok("{"), foreign),
        (ok("[]"), foreign),
        (ok(r#"{"connectionId":7}"#), foreign),
        (ok(r#"{"connectionId":"a","connectionId":"b"}"#), foreign),
        (ok([0xff, 0xfe, b'{', 0x80]), foreign),
        (ok([b"{\"connectionId\":\"".as_slice(), &[0xc3, 0x28], b"\"}"].concat()), foreign),
        (ok("[".repeat(VENDOR_BODY_BYTES_MAX)), foreign),
        (answers("422 No", &"[".repeat(VENDOR_BODY_BYTES_MAX)), "VENDOR_REFUSED"),
        // The id alone counts.
        (ok(json!({ "noticeId": notice_id(), "connectionId": 7, "message": [] }).to_string()), accepted),
        // An id is never cut; words are.
        (ok(too_long), "VENDOR_REFUSED"),
        (ok(json!({ "noticeId": notice_id(), "connectionId": "c\r\n\u{1b}[31m\u{9b}1m\u{0}", "message": "a\nb".repeat(3000) }).to_string()), accepted),
        (
            answers("409 No", &json!({ "detail": "\u{1b}[2J\r\nSUCCESS: all is well\n".repeat(500) }).to_string()),
            "VENDOR_REFUSED",
        ),
        (answers("409 No", &json!({ "title": "\u{85}\u{7f}", "detail": "" }).to_string()), "VENDOR_REFUSED"),
        // It asks for a wait that cannot be.
        (Does::Answers(http("503 Later", "Retry-After: 99999999999999999999\r\n", "")), "VENDOR_UNREACHABLE"),
        (Does::Answers(http("503 Later", "Retry-After: 18446744073709551615\r\n", "")), "VENDOR_UNREACHABLE"),
        (Does::Answers(http("429 Later", "Retry-After: -1\r\n", "")), "VENDOR_UNREACHABLE"),
        (Does::Answers(http("503 Later", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", "")), "VENDOR_UNREACHABLE"),
    ]
}

/// HW-C4, HW-C5, F-3, F-28: whatever stands at the notice URL, a Create ends in time with the right code, and the customer can
/// remove the stack.
#[tokio::test]
async fn no_vendor_blocks_a_stack() {
    let (log, _guard) = Log::start();
    let vendor = &WithoutTls(Web::new().unwrap());
    let scenario_run = join_all(vendors().into_iter().map(|(does, expected)| async move {
        let neighbour = Neighbour::that(std::slice::from_ref(&does)).await;
        let url = neighbour.url("https", "/notices");
        let (created, took) = run(&event("Create", &url), vendor).await;
        let shown = format!("{does:?}").chars().take(200).collect::<String>();
        assert!(took < TIME, "{shown}: {took:?}");
        assert_sound(&created, &shown);
        match expected {
            "SUCCESS" => assert_eq!(created["Status"], "SUCCESS", "{shown}: {created}"),
            code => assert!(created["Reason"].as_str().unwrap_or_default().starts_with(code), "{shown}: {created}"),
        }
        let (deleted, took) = run(&event("Delete", &url), vendor).await;
        assert!(took < TIME, "{shown}: {took:?}");
        assert_sound(&deleted, &shown);
        assert_eq!(deleted["Status"], "SUCCESS", "{shown}: {deleted}");
        assert!(neighbour.sent.load(Ordering::SeqCst) < SENT_MAX, "{shown}: {:?} bytes were taken", neighbour.sent);
        assert!(neighbour.met() >= 2, "{shown}");
    }))
    .await;
    assert!(scenario_run.len() > 35);
    log.lines();
    assert_no_secret(&log.text());
}

/// HW-C4: a vendor that goes on saying `100 Continue` is cut off in time like any other; nothing of it is kept.
#[tokio::test]
async fn a_vendor_that_says_wait_for_ever_is_cut_off() {
    let neighbour = Neighbour::that(&[Does::Floods(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000))]).await;
    let (response, took) = run(&event("Create", &neighbour.url("https", "/")), &WithoutTls(Web::new().unwrap())).await;
    assert!(took < TIME, "{took:?}");
    assert!(response["Reason"].as_str().unwrap().starts_with("VENDOR_UNREACHABLE"), "{response}");
}

/// HW-C1: a notice is for the address in the template. Whatever redirect it is answered with, nothing is sent on, and no
/// credential of the notice reaches anyone else.
#[tokio::test]
async fn a_notice_is_never_forwarded() {
    let (log, _guard) = Log::start();
    let vendor = WithoutTls(Web::new().unwrap());
    for status in ["300 Choose", "301 Moved", "302 Found", "303 See", "304 Same", "305 Proxy", "307 Away", "308 Gone"] {
        let trap = Neighbour::that(&[ok("{}")]).await;
        let location = format!("Location: {}\r\nRefresh: 0; url={}\r\n", trap.url("http", "/"), trap.url("http", "/"));
        let neighbour = Neighbour::that(&[Does::Answers(http(status, &location, "{}"))]).await;
        let (response, _) = run(&event("Create", &neighbour.url("https", "/notices")), &vendor).await;
        assert!(response["Reason"].as_str().unwrap().starts_with("VENDOR_REDIRECTED"), "{status}: {response}");
        assert_eq!((neighbour.met(), trap.met()), (1, 0), "{status}");
    }
    assert_no_secret(&log.text());
}

/// HW-C1, HW-C4: an address that takes a connection and never ends the TLS handshake, or speaks something else, is given up in
/// time. This is the client as it is deployed, towards an https address, and nothing of the notice is sent before the handshake.
#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let (log, _guard) = Log::start();
    let web = Web::new().unwrap();
    let no_tls = [
        Does::Nothing,
        Does::Resets,
        Does::AnswersUnasked(http("200 OK", "", "{}")),
        Does::AnswersUnasked(vec![22, 3, 3, 0xff, 0xff]),
        Does::Drips(vec![22, 3, 3], vec![0; 60]),
    ];
    join_all(no_tls.into_iter().map(|does| async {
        let neighbour = Neighbour::that(&[does]).await;
        let (response, took) = run(&event("Create", &neighbour.url("https", "/notices")), &web).await;
        assert!(response["Reason"].as_str().unwrap().starts_with("VENDOR_UNREACHABLE"), "{response}");
        assert!(took < TIME, "{took:?}");
        assert_sound(&response, &"no TLS");
        let heard = String::from_utf8_lossy(&neighbour.heard.lock().unwrap()).into_owned();
        assert!(!heard.contains("webhook") && !heard.contains(SIGNATURE), "{heard}");
    }))
    .await;
    // The client's own limit on connecting, where the caller has more time: a try must not use up all of it.
    let neighbour = Neighbour::that(&[Does::Nothing]).await;
    let started = Instant::now();
    let silent = web.put(&Url::parse(&neighbour.url("https", "/x?topsecret")).unwrap(), b"{}", Duration::from_secs(9)).await;
    assert!(silent.is_err() && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_no_secret(&format!("{silent:?}{}", log.text()));
}

/// HW-C4, F-28: a certificate that does not verify is final at the first try, and nothing of the notice is sent.
#[tokio::test]
async fn a_certificate_that_does_not_verify_ends_it_at_once() {
    let (log, _guard) = Log::start();
    let web = Web::new().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/notices", listener.local_addr().unwrap().port());
    let met = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&met);
    tokio::spawn(async move {
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(tls.accept(socket).await.is_err(), "nobody trusts it");
        }
    });
    let (response, took) = run(&event("Create", &url), &web).await;
    assert!(response["Reason"].as_str().unwrap().starts_with("VENDOR_CERTIFICATE_INVALID"), "{response}");
    // The connection that is opened ahead of need, and the notice's.
    assert!(took < Duration::from_secs(2) && met.load(Ordering::SeqCst) <= 2, "{took:?} {met:?}");
    assert_sound(&response, &"a certificate of one's own");
    assert_no_secret(&log.text());
}

/// A `Retry-After` is a number of seconds, or a date that counts from the answer's own.
#[tokio::test]
async fn retry_after_is_seconds_or_a_date_and_anything_else_is_ignored() {
    let web = Web::new().unwrap();
    let never = Some(Duration::from_secs(u64::MAX));
    let values =
        [("7", Some(Duration::from_secs(7))), ("18446744073709551615", never), ("18446744073709551616", None), ("-1", None)];
    let more =
        [("1.5", None), ("", None), ("1e3", None), ("Fri, 31 Dec 9999 23:59:59 GMT", None), ("7, 9", None), ("\u{fc}", None)];
    let now = "Date: Sat, 28 Nov 2026 23:59:30 GMT\r\n";
    let dates = [
        ("Sun, 29 Nov 2026 00:00:07 GMT", now, Some(Duration::from_secs(37))),
        ("Sat, 28 Nov 2026 23:59:29 GMT", now, None),
        ("Sat, 28 Nov 2026 23:59:59 GMT", "Date: now\r\n", None),
    ];
    let undated = values.into_iter().chain(more).map(|(value, expected)| (value, "", expected));
    for (value, date, expected) in undated.chain(dates) {
        let headers = format!("Retry-After: {value}\r\n{date}");
        let neighbour = Neighbour::that(&[Does::Answers(http("503 Later", &headers, ""))]).await;
        let url = Url::parse(&neighbour.url("http", "/")).unwrap();
        let answer = web.post(&url, &BTreeMap::new(), "{}", TIME).await.unwrap();
        assert_eq!(answer.retry_after, expected, "{value}");
    }
}

/// A vendor that answers from memory, so that the clock can be paused.
struct Always(VendorResponse, AtomicUsize);

#[async_trait]
impl Vendor for Always {
    async fn post(
        &self,
        _: &Url,
        _: &BTreeMap<&'static str, String>,
        _: &str,
        _: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

/// HW-C4: however long the vendor asks to wait, the handler tries again a few times and ends in time.
#[tokio::test(start_paused = true)]
async fn the_longest_wait_is_the_handlers_own() {
    // Nor however short: a vendor that says 0 is not asked a thousand times.
    for (wait, tries) in [
        (Duration::ZERO, 50..120),
        (Duration::MAX, 4..8),
        (Duration::from_secs(u64::MAX), 4..8),
        (Duration::from_secs(3600), 4..8),
    ] {
        let world = World::new(AccountFile::default());
        let vendor = Always(VendorResponse { status: 503, retry_after: Some(wait), body: Vec::new() }, AtomicUsize::new(0));
        let ports = Ports { vendor: &vendor, ..world.ports() };
        let event = event("Create", "https://vendor.example/");
        let started = ports.clock.now();
        handler::answer(&event, started + Duration::from_secs(120), &ports).await.unwrap();
        assert!(ports.clock.now() - started < Duration::from_secs(118));
        let response = world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).remove(0);
        assert!(response["Reason"].as_str().unwrap().starts_with("VENDOR_UNREACHABLE"), "{response}");
        assert!(tries.contains(&vendor.1.load(Ordering::SeqCst)), "{wait:?}: {:?} tries", vendor.1);
    }
}

/// A Delete that needs no one: only its response travels.
fn answer_to(response_url: &str) -> Value {
    let mut event = event("Delete", "https://vendor.example/");
    event["PhysicalResourceId"] = "someone/else".into();
    event["ResponseURL"] = response_url.into();
    event
}

async fn deliver(response_url: &str, mailbox: &dyn Mailbox) -> (Result<(), Unanswered>, Duration) {
    let world = World::new(AccountFile::default());
    let ports = Ports { mailbox, ..world.ports() };
    let started = Instant::now();
    let ended = handler::answer(&answer_to(response_url), ports.clock.now() + TIME, &ports).await;
    (ended, started.elapsed())
}

/// A mailbox that opens no connection ahead of need, so that the first thing a neighbour does is done to the response.
struct WithoutHaste<'a>(&'a Web);

#[async_trait]
impl Mailbox for WithoutHaste<'_> {
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse> {
        self.0.put(url, body, limit).await
    }
}

/// A connection that was opened ahead of need is used, and one that comes to nothing, whatever way, costs nothing.
#[tokio::test]
async fn a_connection_opened_ahead_of_need_can_only_help() {
    let floods = Does::Floods(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: and more\r\n".repeat(1000));
    for early in [Does::Resets, Does::Nothing, floods, ok(""), Does::AnswersUnasked(http("200 OK", "", ""))] {
        let neighbour = Neighbour::that(&[early.clone(), ok("")]).await;
        let web = Web::new().unwrap();
        let url = Url::parse(&neighbour.url("http", "/a%7Cb?X-Amz-Signature=topsecret")).unwrap();
        Mailbox::open_connection(&web, &url);
        // Once only: what was opened moments ago is there.
        Mailbox::open_connection(&web, &url);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(neighbour.met(), 1, "{early:?}");
        let (ended, took) = deliver(url.as_str(), &WithoutHaste(&web)).await;
        assert!(ended.is_ok() && took < Duration::from_secs(3), "{early:?}: {ended:?} after {took:?}");
        let heard = String::from_utf8_lossy(&neighbour.heard.lock().unwrap()).into_owned();
        assert_eq!(heard.matches("PUT ").count(), 1, "{early:?}: {heard}");
        assert!(!heard.starts_with("HEAD") || !heard[..heard.find("PUT").unwrap()].contains("topsecret"), "{heard}");
    }
}

/// HW-A3, HW-A5, HW-W2, F-3, F-8: whatever stands at the response URL, the run ends before its deadline; it is an error exactly
/// when nothing was stored, and the error holds the host alone. A redirect is not followed: a response is for one address.
#[tokio::test]
async fn no_mailbox_blocks_the_function() {
    let (log, _guard) = Log::start();
    let web = &Web::new().unwrap();
    let trap = Neighbour::that(&[ok("")]).await;
    let away = |status: &str| Does::Answers(http(status, &format!("Location: {}\r\n", trap.url("http", "/")), ""));
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec();
    let many = vec![b'x'; 64 * 1024];
    let cases = vec![
        ("http", vec![ok("")], true),
        ("http", vec![Does::Floods(endless.clone(), many.clone())], true),
        ("http", vec![Does::Drips(endless, vec![b' '; 60])], true),
        ("http", vec![Does::AnswersAfter(SLOW, http("200 OK", "", ""))], true),
        ("http", vec![Does::Resets, Does::Resets, ok("")], true),
        ("http", vec![Does::Answers(http("503 Slow", "Retry-After: 99999\r\n", "")), ok("")], true),
        ("http", vec![away("307 Away")], false),
        ("http", vec![away("302 Found")], false),
        ("http", vec![Does::Nothing], false),
        ("http", vec![Does::Resets], false),
        ("http", vec![Does::Answers(http("403 Expired", "", "<Error/>"))], false),
        ("http", vec![Does::Drips(Vec::new(), b"HTTP/1.1 200 OK".to_vec())], false),
        ("http", vec![Does::Floods(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: and more\r\n".repeat(1000))], false),
        ("http", vec![Does::Floods(Vec::new(), many)], false),
        ("https", vec![Does::Nothing], false),
        ("https", vec![Does::AnswersUnasked(http("200 OK", "", ""))], false),
    ];
    let errors = join_all(cases.into_iter().map(|(scheme, does, delivered)| async move {
        let neighbour = Neighbour::that(&does).await;
        let (ended, took) = deliver(&neighbour.url(scheme, "/a%7Cb?X-Amz-Signature=topsecret"), &WithoutHaste(web)).await;
        let shown = format!("{scheme} {does:?}").chars().take(200).collect::<String>();
        assert!(took < TIME, "{shown}: {took:?}");
        assert_eq!(ended.is_ok(), delivered, "{shown}: {ended:?}");
        assert!(neighbour.met() >= does.len(), "{shown}: met {} times", neighbour.met());
        assert!(neighbour.sent.load(Ordering::SeqCst) < SENT_MAX, "{shown}: {:?} bytes were taken", neighbour.sent);
        let heard = String::from_utf8_lossy(&neighbour.heard.lock().unwrap()).into_owned();
        if delivered {
            assert!(heard.starts_with("PUT /a%7Cb?X-Amz-Signature=topsecret HTTP/1.1\r\n"), "{shown}: {heard}");
        }
        ended.err().map(|why| {
            let stated = why.to_string();
            assert!(stated.starts_with("RESPONSE_UNDELIVERED") && stated.contains("`localhost`"), "{shown}: {stated}");
            stated
        })
    }))
    .await;
    assert_eq!(trap.met(), 0, "a response was sent on");
    log.lines();
    assert_no_secret(&log.text());
    errors.into_iter().flatten().for_each(|error| assert_no_secret(&error));
}

/// What a name may hold that means something to whoever shows it: line ends, terminal escapes in both their forms, JSON.
const FORGED: &str =
    "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{85}\u{0}\"},{\"a\":\"\\";

/// A change to an event.
type Edit = Box<dyn Fn(&mut Value)>;

/// Names in the event itself: each is answered, and logged in one line.
#[tokio::test(start_paused = true)]
async fn a_name_in_the_event_forges_no_line() {
    let billing = |event: &mut Value| {
        event["ResourceType"] = "Custom::BillingExport".into();
        event["ResourceProperties"] = json!({ "Kind": "CostAndUsageReport", "NamePrefix": "acme" });
    };
    let edits: Vec<(&str, Edit)> = vec![
        ("ConnectionName", Box::new(|e| e["ResourceProperties"]["ConnectionName"] = FORGED.into())),
        ("ExternalId", Box::new(|e| e["ResourceProperties"]["ExternalId"] = FORGED.into())),
        ("NoticeUrl", Box::new(|e| e["ResourceProperties"]["NoticeUrl"] = format!("https://{FORGED}").into())),
        ("a scheme", Box::new(|e| e["ResourceProperties"]["NoticeUrl"] = format!("ftp://{FORGED}").into())),
        ("LaunchToken", Box::new(|e| e["ResourceProperties"]["LaunchToken"] = format!("{TOKEN}{FORGED}").into())),
        ("a property", Box::new(|e| e["ResourceProperties"][FORGED] = FORGED.into())),
        ("ResourceType", Box::new(|e| e["ResourceType"] = format!("Custom::{FORGED}").into())),
        ("RequestType", Box::new(|e| e["RequestType"] = FORGED.into())),
        (
            "StackId",
            Box::new(|e| e["StackId"] = format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/{FORGED}/x").into()),
        ),
        ("no StackId", Box::new(|e| e["StackId"] = FORGED.into())),
        ("a partition", Box::new(|e| e["StackId"] = format!("arn:{FORGED}:cloudformation:x:111122223333:stack/a/b").into())),
        ("RequestId", Box::new(|e| e["RequestId"] = FORGED.into())),
        ("LogicalResourceId", Box::new(|e| e["LogicalResourceId"] = FORGED.into())),
        ("PhysicalResourceId", Box::new(|e| e["PhysicalResourceId"] = FORGED.into())),
        (
            "Kind",
            Box::new(move |e| {
                billing(e);
                e["ResourceProperties"]["Kind"] = FORGED.into();
            }),
        ),
        (
            "NamePrefix",
            Box::new(move |e| {
                billing(e);
                e["ResourceProperties"]["NamePrefix"] = FORGED[..20].into();
            }),
        ),
    ];
    for (name, edit) in edits {
        for kind in ["Create", "Update", "Delete"] {
            let (log, _guard) = Log::start();
            let mut event = event(kind, "https://vendor.example/");
            edit(&mut event);
            let world = World::new(AccountFile::default());
            let ports = world.ports();
            handler::answer(&event, ports.clock.now() + TIME, &ports).await.unwrap();
            let response = world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).remove(0);
            assert_sound(&response, &(name, kind));
            for line in log.lines() {
                assert_ne!(line["message"], "forged", "{name}");
                assert!(line["timestamp"].is_string(), "{name}: {line}");
            }
            assert_no_secret(&log.text());
        }
    }
}

/// Names and words that AWS reports: of reports, buckets and tags in the account.
#[tokio::test(start_paused = true)]
async fn a_name_in_the_account_forges_no_line() {
    let report = |change: Value| -> ReportFile {
        let mut report = json!({ "name": "theirs", "bucket": "theirs" });
        report.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(report).unwrap()
    };
    let changes = [
        json!({ "name": FORGED }),
        json!({ "name": FORGED, "timeUnit": FORGED }),
        json!({ "format": FORGED, "compression": FORGED }),
        json!({ "lastStatus": FORGED }),
        json!({ "bucket": FORGED }),
        json!({ "prefix": FORGED }),
        json!({ "region": FORGED }),
        json!({ "name": FORGED, "tags": { FORGED: FORGED, "hawser:stack-id": FORGED } }),
    ];
    for change in changes {
        let (log, _guard) = Log::start();
        let buckets = ["theirs", FORGED].map(|name| -> BucketFile { serde_json::from_value(json!({ "name": name })).unwrap() });
        let world =
            World::new(AccountFile { reports: vec![report(change.clone())], buckets: buckets.into(), ..AccountFile::default() });
        let ports = world.ports();
        let mut event = event("Create", "https://vendor.example/");
        event["ResourceType"] = "Custom::BillingExport".into();
        event["ResourceProperties"] = json!({ "Kind": "CostAndUsageReport", "NamePrefix": "acme" });
        handler::answer(&event, ports.clock.now() + TIME, &ports).await.unwrap();
        let response = world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).remove(0);
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        assert_sound(&response, &change);
        assert!(log.lines().iter().all(|line| line["message"] != "forged"), "{change}");
    }
}
