//! The binary as a vendor runs it: TLS, a database file, signals, and logs that hold no secret.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::body::Body;
use http::Request;
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use time::OffsetDateTime;

use crate::support::{
    ACCOUNT, Behaviour, Principal, REGION, SESSION_TOKEN, Stack, StsStub, code, database_url, error_xml, key_file,
};

pub(crate) struct Running {
    child: Child,
    pub(crate) hello: Value,
    stderr: PathBuf,
    rest: BufReader<std::process::ChildStdout>,
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawser-console"));
    // The tests' own environment must not decide.
    command.env_clear();
    // A filter that another program would take from here.
    command.env("RUST_LOG", "trace");
    command
}

impl Running {
    /// With the authorities in this file as the only ones that STS may have its certificate from.
    fn start(directory: &tempfile::TempDir, sts: &StsStub, trusted: &str) -> Self {
        let file = |name: &str| directory.path().join(name);
        let mut command = Self::command(directory, sts);
        command.args(["--log", "debug"]).env("SSL_CERT_FILE", file(trusted));
        command.arg("--tls-cert").arg(file("cert.pem")).arg("--tls-key").arg(file("key.pem"));
        Self::spawn(directory, command)
    }

    /// Without TLS, as behind a proxy.
    pub(crate) fn start_plain(directory: &tempfile::TempDir, sts: &StsStub) -> Self {
        Self::spawn(directory, Self::command(directory, sts))
    }

    /// One of several on the same database, at a port that stays the same, with an AWS to ask.
    pub(crate) fn start_on(port: u16, authority: &str, directory: &tempfile::TempDir, sts: &StsStub, aws: &str) -> Self {
        let mut command = command();
        command.args(["serve", "--admin-listen", "127.0.0.1:0", "--authority", authority, "--loopback-endpoints"]);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--sts-endpoint", &sts.url]);
        command.args(["--database", &database_url(directory), "--key-file", &key_file(directory)]);
        command.envs([("AWS_ENDPOINT_URL", aws), ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x")]);
        command.envs([("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", REGION)]);
        Self::spawn(directory, command)
    }

    /// SIGKILL, and it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn command(directory: &tempfile::TempDir, sts: &StsStub) -> Command {
        Self::command_at("127.0.0.1:0", directory, sts)
    }

    fn command_at(address: &str, directory: &tempfile::TempDir, sts: &StsStub) -> Command {
        let mut command = command();
        command.args(["serve", "--listen", address, "--admin-listen", "127.0.0.1:0", "--authority", "localhost:0"]).args([
            "--sts-endpoint",
            &sts.url,
            "--database",
            &database_url(directory),
            "--key-file",
            &key_file(directory),
        ]);
        command
    }

    fn spawn(directory: &tempfile::TempDir, mut command: Command) -> Self {
        let stderr = directory.path().join("stderr");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&stderr).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut hello = String::new();
        rest.read_line(&mut hello).unwrap();
        let log = std::fs::read_to_string(&stderr).unwrap();
        Self { child, hello: serde_json::from_str(&hello).unwrap_or_else(|_| panic!("{hello}{log}")), stderr, rest }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// SIGTERM, and what else it wrote to stdout.
    fn stop(mut self) -> String {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut rest = String::new();
        self.rest.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only when a test failed: after `stop` there is nobody to kill.
        let _ = self.child.kill();
    }
}

/// Sends a request of the in-process tests to the real address.
pub(crate) async fn send(client: &reqwest::Client, base: &str, request: Request<Body>) -> (u16, Value) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let answer = client
        .request(parts.method, format!("{base}{}", parts.uri.path()))
        .headers(parts.headers)
        .body(body.to_vec())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn client(root: &[u8]) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(root).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap()
}

/// A stack deployed from a launch that is made beside the running server.
fn deployed(directory: &tempfile::TempDir, running: &Running, sts: &StsStub) -> Stack {
    let made = command()
        .args([
            "launch",
            "--database",
            &database_url(directory),
            "--key-file",
            &key_file(directory),
            "--customer-id",
            "acme",
            "--account-id",
            ACCOUNT,
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let launch: Value = serde_json::from_slice(&made.stdout).unwrap();
    Stack {
        account: ACCOUNT.to_owned(),
        stack_id: format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/hawser/51af3dc0"),
        connection_name: "production".to_owned(),
        token: launch["token"].as_str().unwrap().to_owned(),
        external_id: launch["externalId"].as_str().unwrap().to_owned(),
        sts_url: sts.url.clone(),
        audience: running.hello["authority"].as_str().unwrap().to_owned(),
        session_token: SESSION_TOKEN.to_owned(),
        principal: Principal::Handler,
    }
}

pub(crate) fn certificate(directory: &Path, prefix: &str) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(directory.join(format!("{prefix}cert.pem")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{prefix}key.pem")), key.serialize_pem()).unwrap();
    certificate.pem().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_runs_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = certificate(directory.path(), "");
    certificate(directory.path(), "other-");
    let sts = StsStub::start_tls(directory.path()).await;
    let running = Running::start(&directory, &sts, "cert.pem");
    let client = client(&root);
    let (address, admin) = (running.hello["listening"].as_str().unwrap(), running.hello["admin"].as_str().unwrap());
    let authority = running.hello["authority"].as_str().unwrap().to_owned();
    let public = format!("https://{authority}");
    assert!(address.ends_with(authority.strip_prefix("localhost").unwrap()), "{}", running.hello);
    assert_eq!(running.hello["noticeUrl"], format!("{public}/notices"));
    let get = |url: String| client.get(url).send();
    assert_eq!(get(format!("{public}/healthz")).await.unwrap().status(), 200);
    assert_eq!(get(format!("{admin}/healthz")).await.unwrap().status(), 200);

    let stack = deployed(&directory, &running, &sts);

    // Good and bad notices; what of each must be in no log.
    let mut secrets = vec![stack.token.clone(), SESSION_TOKEN.to_owned(), "AWS4-HMAC-SHA256".to_owned(), "Signature=".to_owned()];
    let mut notify = async |event: Value, expected: u16| {
        let now = now();
        let event = stack.prove(event, now);
        let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), now);
        let headers = request.headers();
        secrets.push(headers["webhook-signature"].to_str().unwrap().trim_start_matches("v1,").to_owned());
        let authorization = event["data"]["proofs"][0]["headers"]["authorization"].as_str().unwrap();
        secrets.push(authorization.rsplit('=').next().unwrap().to_owned());
        let (status, body) = send(&client, &public, request).await;
        assert_eq!(status, expected, "{body}");
        (event, body)
    };
    let at = now().replace_nanosecond(0).unwrap();
    let (established, connected) = notify(stack.event("established", at), 200).await;
    sts.behave(Behaviour::Fixed(403, "text/xml", error_xml("ExpiredToken")));
    notify(stack.event("updated", at), 403).await;
    sts.behave(Behaviour::Fixed(500, "text/xml", String::new()));
    notify(stack.event("updated", at), 503).await;
    sts.behave(Behaviour::Honest);
    let mut malformed = stack.event("updated", at);
    malformed["data"]["regions"] = SESSION_TOKEN.into();
    notify(malformed, 400).await;
    let mut foreign = stack.event("updated", at);
    foreign["data"]["roleArn"] = "arn:aws:iam::444455556666:role/x".into();
    notify(foreign, 422).await;
    notify(stack.event("updated", at), 200).await;

    let connections = get(format!("{admin}/api/v1/connections")).await.unwrap().text().await.unwrap();
    let listed: Value = serde_json::from_str(&connections).unwrap();
    assert_eq!(listed["items"][0]["state"], "announced");
    let said = running.stop();

    // Again, on the same file: nothing is forgotten, and the same notice has the same answer.
    let running = Running::start(&directory, &sts, "other-cert.pem");
    let admin = running.hello["admin"].as_str().unwrap();
    let again = client.get(format!("{admin}/api/v1/connections")).send().await.unwrap().text().await.unwrap();
    assert_eq!(again, connections);
    let base = format!("https://{}", running.hello["authority"].as_str().unwrap());
    let moved = Stack { audience: running.hello["authority"].as_str().unwrap().to_owned(), ..stack.clone() };
    let replay = moved.send(established, now());
    assert_eq!(send(&client, &base, replay).await, (200, connected));
    // An STS that the trusted authorities do not know is not asked.
    let calls = sts.calls();
    let (status, body) = send(&client, &base, moved.send(moved.event("removed", at), now())).await;
    assert_eq!((status, code(&body), sts.calls()), (503, "sts-unavailable", calls), "{body}");
    let said = said + &running.stop();
    // What an operator ends by hand.
    for (name, id, done) in [
        ("revoke", &listed["items"][0]["launchId"], "revoked"),
        ("disconnect", &listed["items"][0]["connectionId"], "disconnected"),
    ] {
        let flag = if name == "revoke" { "--launch-id" } else { "--connection-id" };
        let end = |id: &str| {
            command()
                .args([name, "--database", &database_url(&directory), "--key-file", &key_file(&directory), flag, id])
                .output()
                .unwrap()
        };
        let (ended, unknown) = (end(id.as_str().unwrap()), end("nobody"));
        let answer: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.status.success(), &answer[done]), (true, &true.into()), "{name}");
        assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(1), 0), "{name}");
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("has the id `nobody`"), "{name}");
    }

    let log = std::fs::read_to_string(directory.path().join("stderr")).unwrap();
    for expected in ["notice verified and stored", "sts-refused", "sts-unavailable", "notice-malformed", "told to stop"] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        // Whatever other crates say of requests and headers, they say it below this level.
        let own = line["target"].as_str().unwrap().starts_with("hawser_console");
        assert!(own || ["WARN", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
    }
    for secret in &secrets {
        for (place, text) in [("log", &log), ("stdout", &said), ("connections", &connections)] {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
    assert_eq!(said, "", "one line on stdout, the first");
    for file in std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("console.") {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}

/// A stack that waits for its answer gets it, although the vendor is stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_run_end_first() {
    let directory = tempfile::tempdir().unwrap();
    let (root, sts) = (certificate(directory.path(), ""), StsStub::start().await);
    let running = Running::start(&directory, &sts, "cert.pem");
    let (client, stack) = (client(&root), deployed(&directory, &running, &sts));
    let base = format!("https://{}", running.hello["authority"].as_str().unwrap());
    sts.behave(Behaviour::Slow(Duration::from_secs(1)));
    let now = now();
    let request = stack.send(stack.event("established", now.replace_nanosecond(0).unwrap()), now);
    let sent = tokio::spawn(async move { send(&client, &base, request).await });
    while sts.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop();
    let (status, body) = sent.await.unwrap();
    assert_eq!((status, &body["message"]), (200, &"connected".into()));
}

/// A bad start says what is wrong, and ends.
#[test]
fn a_failed_start_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path(), "");
    let (good, missing) = (directory.path().join("cert.pem"), directory.path().join("missing.pem"));
    let database = database_url(&directory);
    let text = |path: &Path| path.display().to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&[], "--authority"),
        (&["--authority", "https://x"], "host:port"),
        (&["--authority", "x", "--tls-cert", &text(&good)], "--tls-key"),
        (&["--authority", "x", "--tls-cert", &text(&missing), "--tls-key", &text(&missing)], "missing.pem`"),
        (&["--authority", "x", "--tls-cert", &text(&good), "--tls-key", &text(&good)], "cert.pem`"),
        (&["--authority", "x", "--admin-listen", "0.0.0.0:0"], "loopback"),
        (&["--authority", "x", "--sts-endpoint", "http://127.0.0.1/path"], "only scheme, host and port"),
        (
            &["--authority", "x", "--database", "sqlite:/nowhere/at/all.db"],
            "failed to make the database file `/nowhere/at/all.db`",
        ),
        (&["--authority", "x", "--database", "mysql://x"], "neither `sqlite:` and a file nor"),
        (&["--authority", "x", "--listen", &taken], "(`--listen`)"),
    ];
    for (args, expected) in cases {
        let mut command = command();
        command.arg("serve");
        // A flag that comes again is an error of its own, so the case's words replace the common ones.
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--admin-listen", "127.0.0.1:0"), ("--database", &database)] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let ended = command.args(*args).output().unwrap();
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && words.contains(expected), "{args:?}: {words}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the binary under test reads the real clock")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Launch tokens and customers' data would cross the network in clear, unless a proxy on the way has the certificate.
#[tokio::test]
async fn plain_http_for_other_machines_is_logged() {
    let sts = StsStub::start().await;
    for (address, proxies, expected) in
        [("0.0.0.0:0", None, true), ("0.0.0.0:0", Some("192.0.2.1"), false), ("127.0.0.1:0", None, false)]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Running::command_at(address, &directory, &sts);
        command.args(proxies.map(|proxies| ["--proxies", proxies]).into_iter().flatten());
        let running = Running::spawn(&directory, command);
        assert_eq!(running.log().contains("plain HTTP for other machines"), expected, "{address} {proxies:?}: {}", running.log());
        running.stop();
    }
}
