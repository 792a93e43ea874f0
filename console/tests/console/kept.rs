//! The notices in `docs/notices/`, which stay there for ever: every console takes each of them as it was answered when it was kept.
//!
//! One folder is one notice and all that its receiver has to know. `make bless` writes a folder that is missing and leaves the others alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::any,
};
use hawser_console::{
    Console,
    access::Access,
    launch::{Audience, Launch, Terms},
    limits::Limits,
    proof::Trust,
    secret::Secret,
    serve,
    signal::Signal,
    speaker::Way,
    sts::Sts,
    webhook::{egress::Egress, endpoint_url::Reach, sender::HttpSender},
};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::{
    support::{
        ACCOUNT, AUDIENCE, NOW, Principal, REGION, Stack, StackStub, TestConsole, call, error_xml, identified, identity_xml,
        launch, open_store, terms,
    },
    tokens,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/notices/v1");
const STS_HOST: &str = "sts.eu-west-1.amazonaws.com";

/// `case.json`: what the receiver gets beside `body.json`, what it knows, and what it does.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    headers: BTreeMap<String, String>,
    token: String,
    external_id: String,
    /// The receiver's name.
    authority: String,
    #[serde(with = "time::serde::rfc3339")]
    clock: OffsetDateTime,
    /// The folders of the notices that it took before.
    after: Vec<String>,
    /// What AWS says of the proof.
    sts: Reply,
    /// What the issuer of its token serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Value>,
    answer: Option<Reply>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reply {
    status: u16,
    body: Value,
}

fn file(name: &str, file: &str) -> PathBuf {
    Path::new(FOLDER).join(name).join(file)
}

fn body(name: &str) -> String {
    fs::read_to_string(file(name, "body.json")).unwrap()
}

impl Case {
    fn read(name: &str) -> Self {
        serde_json::from_str(&fs::read_to_string(file(name, "case.json")).unwrap()).unwrap()
    }

    fn request(&self, name: &str) -> Request<Body> {
        let headers = self.headers.iter().fold(Request::post("/notices"), |request, (name, value)| request.header(name, value));
        headers.body(Body::from(body(name))).unwrap()
    }
}

/// A client for which STS is here, with a certificate of its own name.
async fn sts(reply: &Reply) -> Sts {
    let (key, directory) = (KeyPair::generate().unwrap(), tempfile::tempdir().unwrap());
    let certificate = CertificateParams::new(vec![STS_HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
    let [cert, private] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    fs::write(&cert, certificate.pem()).unwrap();
    fs::write(&private, key.serialize_pem()).unwrap();
    let tls = serve::tls(&cert, &private).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (status, xml) = (reply.status, reply.body.as_str().unwrap().to_owned());
    let answer = move || {
        let xml = xml.clone();
        async move { (StatusCode::from_u16(status).unwrap(), [("content-type", "text/xml")], xml) }
    };
    tokio::spawn(serve::serve(
        listener,
        Some(tls),
        Router::new().fallback(any(answer)),
        serve::Clients::Operators,
        std::future::pending(),
    ));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    Sts::through(reqwest::Client::builder().tls_certs_only([root]).no_proxy().resolve(STS_HOST, address).build().unwrap())
}

/// How a console answers that knows what the case says.
async fn answer(name: &str, case: &Case) -> Reply {
    let directory = tempfile::tempdir().unwrap();
    let store = open_store(&directory).await;
    let launch = Launch {
        id: "kept".to_owned(),
        token: Secret::new(case.token.as_str()),
        external_id: case.external_id.clone(),
        terms: Terms { ways: Way::ALL.into(), ..terms(Audience::Stack(None)) },
        expires_at: case.clock + Duration::hours(1),
        revoked_at: None,
        replaced: false,
        bound: None,
    };
    store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
    let send = async |name: &str, case: &Case| {
        let clock = case.clock;
        let console = Console {
            store: store.clone(),
            sts: sts(&case.sts).await,
            issuers: tokens::issuers(case.keys.clone()).await,
            requires_token: false,
            requires_api_token: false,
            trust: Trust::Aws,
            limits: Limits::default(),
            aws: Arc::new(StackStub::default()),
            reach: Reach::PublicAndLoopback,
            webhooks: Arc::new(HttpSender::new(&Egress::Direct { loopback: false }).unwrap()),
            signal: Signal::default(),
            authorities: vec!["new-name.example.com".to_owned(), case.authority.clone()],
            clock: Arc::new(move || clock),
        };
        let (status, body) = call(hawser_console::routes::public(console), case.request(name)).await;
        Reply { status, body }
    };
    for earlier in &case.after {
        assert_eq!(send(earlier, &Case::read(earlier)).await.status, 200, "{earlier}, before {name}");
    }
    send(name, case).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kept_notice_is_answered_as_it_was() {
    keep_what_is_missing().await;
    let mut names: Vec<String> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= notices().len(), "{names:?}");
    let page = fs::read_to_string(Path::new(FOLDER).join("README.md")).unwrap();
    for name in names {
        let case = Case::read(&name);
        assert_eq!(Some(answer(&name, &case).await), case.answer, "{name}");
        assert!(page.contains(&format!("`{name}`")), "README.md does not say what {name} is");
    }
}

/// Every kept notice fits the schema, but the one that breaks the contract.
#[test]
fn kept_notices_fit_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    for (name, ..) in notices() {
        let event: Value = serde_json::from_str(&body(name)).unwrap();
        let errors: Vec<String> = schema.iter_errors(&event).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors.is_empty(), name != "future-major", "{name}: {errors:?}");
    }
}

/// A change to an event before it is proven.
type Change = fn(&mut Value);

/// The name of its folder, the folders that come before it, the kind, what is special, and STS's answer.
type ToKeep = (&'static str, &'static [&'static str], &'static str, Change, (u16, String));

/// What is kept.
fn notices() -> Vec<ToKeep> {
    let session = || (200, identity_xml(ACCOUNT));
    let user = || (200, identified(ACCOUNT, Principal::User));
    vec![
        ("established", &[], "established", |_| {}, session()),
        ("established-direct", &[], "established", |e| e["data"]["way"] = json!("direct"), user()),
        ("established-role-only", &[], "established", role_only, session()),
        ("established-4096-byte-session-token", &[], "established", |_| {}, session()),
        ("established-refused-by-sts", &[], "established", |_| {}, (403, error_xml("ExpiredToken"))),
        ("established-token", &[], "established", |e| e["data"]["proofKinds"] = json!(["request", "token"]), session()),
        ("established-token-only", &[], "established", |e| e["data"]["proofKinds"] = json!(["token"]), session()),
        ("updated", &["established"], "updated", |e| e["data"]["regions"] = json!(["eu-west-1", "us-east-1"]), session()),
        ("alive", &["established"], "alive", forgotten, session()),
        ("established-newest-fields", &[], "established", newest, session()),
        ("updated-access-key", &["established"], "updated", access_key, session()),
        ("status-waiting", &["established"], "waiting", |_| {}, session()),
        ("status-delivered", &["established"], "delivered", |_| {}, session()),
        ("status-stalled", &["established"], "stalled", |_| {}, session()),
        ("status-failed", &["established"], "failed", |_| {}, session()),
        ("removed", &["established"], "removed", forgotten, session()),
        ("removed-unknown", &[], "removed", forgotten, session()),
        ("minimal", &[], "established", minimal, session()),
        ("future", &[], "established", later, session()),
        ("future-status", &["established"], "delivered", later_status, session()),
        ("future-type", &["established"], "rotated", later, session()),
        ("future-proofs-only", &[], "established", |e| e["data"]["proofKinds"] = json!(["post-quantum"]), session()),
        ("future-major", &[], "established", |e| e["dataschema"] = json!("urn:hawser:notice:2"), session()),
    ]
}

fn role_only(event: &mut Value) {
    for (name, value) in event["data"]["billingExport"].as_object_mut().unwrap() {
        *value = json!(match name.as_str() {
            "kind" => "None",
            "origin" => "none",
            "decision" => "none: not asked for",
            _ => "",
        });
    }
    let organization = json!({"accountRole": "standalone", "managementAccountId": "", "organizationId": "", "featureSet": ""});
    event["data"]["organization"] = organization;
}

fn access_key(event: &mut Value) {
    event["data"]["accessKeySecretArn"] =
        json!(format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:VendorAccessKeySecret-1A2b3C"));
    event["data"]["accessKeyId"] = json!("AKIAIOSFODNN7EXAMPLE");
}

fn forgotten(event: &mut Value) {
    event["data"]["organization"] = json!({});
    event["data"]["billingExport"] = json!({});
}

/// The fields that the contract got last, each with a value: `console/Cargo.toml` names the feature that knows them.
const NEWEST: [(&str, &str); 2] = [("versioning", "CreateNewReport"), ("iamPrincipalData", "true")];

fn newest(event: &mut Value) {
    for (name, value) in NEWEST {
        event["data"]["billingExport"][name] = json!(value);
    }
}

/// A console that is one version behind takes them and drops what it does not know; the others store it.
#[tokio::test]
async fn the_newest_fields() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let mut event = stack.event("established", NOW);
    newest(&mut event);
    assert_eq!(world.post(stack.send(event, NOW)).await.0, 200);
    let stored = world.connections().await[0]["data"]["billingExport"].clone();
    for (name, value) in NEWEST {
        let known = cfg!(feature = "newest-fields").then_some(value);
        assert_eq!(stored.get(name).and_then(Value::as_str), known, "{name}: {stored}");
    }
}

/// Nothing but what every notice has for ever.
fn minimal(event: &mut Value) {
    const FOR_EVER: [&str; 7] = ["accountId", "partition", "region", "stackId", "resource", "externalId", "roleArn"];
    event["data"].as_object_mut().unwrap().retain(|name, _| FOR_EVER.contains(&name.as_str()));
}

/// What a later handler may add: fields at every level, values, and kinds of proof.
fn later(event: &mut Value) {
    event["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let data = &mut event["data"];
    data["way"] = json!("pipeline");
    data["partners"] = json!([{"id": 1, "since": null, "tags": {"": ["é", true, -9_007_199_254_740_991_i64]}}]);
    data["packs"]["quantum"] = json!("WriteOnly");
    data["organization"]["accountRole"] = json!("delegatedAdministrator");
    data["organization"]["accounts"] = json!(1_000_000);
    data["billingExport"]["kind"] = json!("CostAndUsageReport3");
    data["billingExport"]["format"] = json!("Iceberg");
    data["billingExport"]["origin"] = json!("adopted");
    data["billingExport"]["tables"] = json!([{"name": "x"}]);
    data["proofKinds"] = json!(["post-quantum", "request"]);
}

fn later_status(event: &mut Value) {
    later(event);
    let status = &mut event["data"]["billingStatus"];
    status["state"] = json!("paused");
    status["quality"] = json!({"rows": 12, "gaps": []});
    status["latest"]["rows"] = json!(1200);
}

/// Writes the folders that are not there yet.
#[expect(clippy::disallowed_methods, reason = "the variable with which all files of the tests are written")]
async fn keep_what_is_missing() {
    for (number, (name, after, kind, change, (status, xml))) in notices().into_iter().enumerate() {
        if std::env::var_os("HAWSER_BLESS").is_none() || file(name, "case.json").exists() {
            continue;
        }
        let uuid = "51af3dc0-da77-11e4-872e-1234567db123";
        let mut stack = Stack::new(&launch(7, None), uuid, &format!("https://{STS_HOST}/"));
        if name == "established-4096-byte-session-token" {
            stack.session_token = "x".repeat(4096);
        }
        let at = if after.is_empty() { NOW } else { NOW + Duration::hours(i64::try_from(number).unwrap()) };
        let mut event = if ["waiting", "delivered", "stalled", "failed"].contains(&kind) {
            stack.status_event(kind, at)
        } else {
            stack.event(kind, at)
        };
        change(&mut event);
        let mut event = stack.prove(event, at);
        let known = event["data"]["proofs"][0].take();
        let unknown = json!({"kind": "post-quantum", "lattice": "AAAA", "weights": [1, {"n": 2}]});
        let digest = known["headers"]["x-hawser-event-sha256"].as_str().unwrap_or_default();
        let (token, keys) = tokens::proof(digest, at);
        event["data"]["proofs"] = match name {
            "established-token" => json!([known, token]),
            "established-token-only" => json!([token]),
            "future-proofs-only" => json!([unknown]),
            _ if name.starts_with("future") && name != "future-major" => json!([unknown, known]),
            _ => json!([known]),
        };
        let text = event.to_string();
        let headers: BTreeMap<String, String> = stack
            .sign(event["id"].as_str().unwrap(), &text, at)
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let mut case = Case {
            headers,
            token: stack.token,
            external_id: stack.external_id,
            authority: AUDIENCE.to_owned(),
            clock: at + Duration::seconds(2),
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            sts: Reply { status, body: xml.into() },
            keys: name.starts_with("established-token").then_some(keys),
            answer: None,
        };
        fs::create_dir_all(Path::new(FOLDER).join(name)).unwrap();
        fs::write(file(name, "body.json"), text).unwrap();
        case.answer = Some(answer(name, &case).await);
        fs::write(file(name, "case.json"), format!("{:#}\n", json!(case))).unwrap();
    }
}
