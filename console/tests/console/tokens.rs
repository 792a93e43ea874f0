//! Proofs by token (`sts:GetWebIdentityToken`): an STS of the tests' own makes them, and serves its keys under AWS's names.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hawser_console::{
    access::Access,
    issuers::Issuers,
    refusal::{Reason, Refusal},
    secret::Secret,
    serve,
    token::{self, Attested, Issuer, Keys, Unverified},
};
use http::{HeaderMap, Request, StatusCode};
use rcgen::{CertificateParams, KeyPair};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::support::{
    ACCOUNT, AUDIENCE, FUNCTION, HANDLER_ROLE, NOW, OTHER_ACCOUNT, Principal, REGION, Stack, TestConsole, code, launch,
    open_store, parse, resources, rollout_launch,
};

const DAY: i64 = 24 * 60 * 60;

/// The issuer of an account, by number: it gets another when federation is switched on anew.
fn issuer(number: u8) -> String {
    format!("https://{number:08x}-1111-4222-8333-444455556666.tokens.sts.global.api.aws")
}

/// Made for these tests, because the library makes none: `openssl genpkey -algorithm RSA`, PKCS #8.
const RSA_KEY: &str = include_str!("keys/rsa.base64");

/// The keys of an issuer.
struct Signer {
    elliptic: EcdsaKeyPair,
    rsa: rsa::KeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
        let elliptic = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let rsa = STANDARD.decode(RSA_KEY.split_whitespace().collect::<String>()).unwrap();
        Self { elliptic, rsa: rsa::KeyPair::from_pkcs8(&rsa).unwrap() }
    }

    /// The set that is served, each key under this id.
    fn keys(&self, id: &str) -> Value {
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let [n, e] = [public.n, public.e].map(|number| URL_SAFE_NO_PAD.encode(number));
        let (x, y) = self.elliptic.public_key().as_ref()[1..].split_at(48);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"keys": [
            {"kid": id, "kty": "EC", "crv": "P-384", "use": "sig", "alg": "ES384", "x": x, "y": y},
            {"kid": format!("{id}-rsa"), "kty": "RSA", "use": "sig", "alg": "RS256", "n": n, "e": e},
            {"kid": format!("{id}-enc"), "kty": "EC", "crv": "P-384", "use": "enc", "alg": "ES384", "x": x, "y": y},
            {"kid": format!("{id}-secret"), "kty": "oct", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        ]})
    }

    /// A token with this header, signed as its `alg` says.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let [header_part, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header_part}.{claims}");
        let bytes = message.as_bytes();
        let signature = match header["alg"].as_str() {
            Some("ES384") => self.elliptic.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec(),
            Some("RS256") => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature).unwrap();
                signature
            }
            // The old trick: the public key as the secret of an HMAC.
            Some("HS256") => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.elliptic.public_key().as_ref());
                hmac::sign(&key, bytes).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn header() -> Value {
    json!({"alg": "ES384", "kid": "one", "typ": "JWT"})
}

/// What STS says of the stack's function.
fn claims(issuer: &str, digest: &str, at: OffsetDateTime, id: &str) -> Value {
    json!({
        "iss": issuer,
        "sub": format!("arn:aws:iam::{ACCOUNT}:role/{HANDLER_ROLE}"),
        "aud": AUDIENCE,
        "iat": at.unix_timestamp(),
        "exp": at.unix_timestamp() + 300,
        "jti": id,
        "https://sts.amazonaws.com/": {
            "aws_account": ACCOUNT,
            "source_region": REGION,
            "org_id": "o-exampleorgid",
            "principal_id": format!("arn:aws:iam::{ACCOUNT}:role/{HANDLER_ROLE}"),
            "request_tags": {token::DIGEST_TAG: digest},
            "lambda_source_function_arn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"),
        },
    })
}

/// A proof for the event with this digest, and the keys of its issuer.
pub(crate) fn proof(digest: &str, at: OffsetDateTime) -> (Value, Value) {
    let signer = Signer::new();
    let token = signer.sign(&header(), &claims(&issuer(1), digest, at, "2f0c9d3e-7c1b-4b86-9d5a-0d2a3c4b5e6f"));
    (json!({"kind": "token", "token": token}), signer.keys("one"))
}

/// A console's way to the issuer of [`proof`], which serves these keys.
pub(crate) async fn issuers(keys: Option<Value>) -> Issuers {
    let sts = TokenSts::start().await;
    sts.serve(1, keys.map_or(Served::Status(404), Served::Keys));
    Issuers::through(sts.client)
}

// --- A token by itself ------------------------------------------------------------------------------------------------

fn stack() -> Stack {
    Stack::new(&launch(0, None), "51af3dc0-da77-11e4-872e-1234567db123", "https://sts.eu-west-1.amazonaws.com/")
}

/// What a token that is made by `make` is worth, at this time.
fn judge(signer: &Signer, make: impl FnOnce(&str) -> String, now: OffsetDateTime) -> Result<Attested, Refusal> {
    let notice = parse(&stack().prove(stack().event("established", NOW), NOW), NOW).unwrap();
    let token = Unverified::read(&Secret::new(make(&notice.event_sha256)))?;
    let keys = Keys::read(&signer.keys("one").to_string()).unwrap();
    token::check(&notice, &token, keys, &["new-name.example.com".to_owned(), AUDIENCE.to_owned()], now)
}

fn judge_with(signer: &Signer, change: impl FnOnce(&mut Value, &mut Value)) -> Result<Attested, Refusal> {
    let make = |digest: &str| {
        let (mut header, mut claims) = (header(), claims(&issuer(1), digest, NOW, "id-1"));
        change(&mut header, &mut claims);
        signer.sign(&header, &claims)
    };
    judge(signer, make, NOW)
}

#[test]
fn a_token_vouches_for_a_role_and_its_function() {
    let signer = Signer::new();
    for (algorithm, key) in [("ES384", "one"), ("RS256", "one-rsa")] {
        let attested = judge_with(&signer, |header, _| *header = json!({"alg": algorithm, "kid": key})).unwrap();
        assert_eq!(attested.bearer.role_arn, format!("arn:aws:iam::{ACCOUNT}:role/{HANDLER_ROLE}"));
        assert_eq!(attested.bearer.function.as_deref(), Some(FUNCTION));
        assert_eq!((attested.id.as_str(), attested.bearer.issuer.as_str()), ("id-1", issuer(1).as_str()));
    }
    // What may be left out, and what may be there.
    assert!(judge_with(&signer, |_, claims| claims["aud"] = json!([AUDIENCE])).is_ok());
    let of_aws = |change: fn(&mut Value)| judge_with(&signer, |_, claims| change(&mut claims["https://sts.amazonaws.com/"]));
    assert!(of_aws(|aws| drop(aws.as_object_mut().unwrap().remove("principal_id"))).is_ok());
    assert!(of_aws(|aws| aws["subject_mode"] = json!("AWSIdentity")).is_ok());
    assert!(of_aws(|aws| aws["request_tags"]["team"] = json!("x")).is_ok());
    let without = of_aws(|aws| drop(aws.as_object_mut().unwrap().remove("lambda_source_function_arn")));
    assert_eq!(without.unwrap().bearer.function, None);
}

#[test]
fn what_sts_does_not_sign_is_refused() {
    let signer = Signer::new();
    let of = |result: Result<Attested, Refusal>, name: &str, expected: &str| match result {
        Err(Refusal { reason: Reason::Token, found }) => assert!(found.contains(expected), "{name}: {found}"),
        other => panic!("{name}: {other:?}"),
    };
    for algorithm in ["none", "HS256", "HS384", "ES256", "RS384", "PS256", "EdDSA", "es384", ""] {
        let result = judge_with(&signer, |header, _| header["alg"] = json!(algorithm));
        let (not_known, not_signed) = ("it is not a JWT with an issuer", "its algorithm is not one that AWS STS signs with");
        let expected = if ["none", "es384", ""].contains(&algorithm) { not_known } else { not_signed };
        of(result, algorithm, expected);
    }
    let key = |algorithm: &str, key: &str| judge_with(&signer, |header, _| *header = json!({"alg": algorithm, "kid": key}));
    of(key("RS256", "one"), "an elliptic key for RSA", "its key is of no kind");
    of(key("ES384", "one-rsa"), "an RSA key for an elliptic algorithm", "its key is of no kind");
    of(key("ES384", "one-secret"), "a secret among the keys", "its key is of no kind");
    of(key("ES384", "one-enc"), "a key for something else", "its key is not its issuer's");
    of(key("ES384", "two"), "a key that is not there", "its key is not its issuer's");
    of(judge_with(&signer, |header, _| *header = json!({"alg": "ES384"})), "no key", "it names no key");
    of(judge_with(&signer, |header, _| header["crit"] = json!(["exp"])), "a critical header", "its key is of no kind");

    let made = |make: fn(String) -> String| {
        judge(&signer, |digest| make(signer.sign(&header(), &claims(&issuer(1), digest, NOW, "id-1"))), NOW)
    };
    of(made(|token| token[..token.rfind('.').unwrap() + 1].to_owned()), "no signature", "its signature is not good");
    of(made(|token| token[..token.rfind('.').unwrap()].to_owned()), "two parts", "it is not a JWT");
    of(made(|token| format!("{}AAAA", &token[..token.len() - 4])), "another signature", "its signature is not good");
    of(made(|token| token + "."), "four parts", "it is not a JWT");
    of(made(|token| token + &"A".repeat(8192)), "too large", "it is too large");
    of(made(|_| String::new()), "nothing", "it is not a JWT");
    let forged = made(|token| {
        let parts: Vec<&str> = token.split('.').collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.replace("id-1", "id-2")), parts[2])
    });
    of(forged, "other claims", "its signature is not good");
    let others = judge(&signer, |digest| Signer::new().sign(&header(), &claims(&issuer(1), digest, NOW, "id-1")), NOW);
    of(others, "another's key under the same id", "its signature is not good");
}

#[test]
fn what_does_not_vouch_for_the_notice_is_refused() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &str)] = &[
        ("a foreign issuer", |c| c["iss"] = json!("https://issuer.example.com"), "not an issuer of AWS STS"),
        ("AWS's name below another", |c| c["iss"] = json!(issuer(1) + ".example.com"), "not an issuer of AWS STS"),
        ("a path", |c| c["iss"] = json!(issuer(1) + "/x"), "not an issuer of AWS STS"),
        ("a slash", |c| c["iss"] = json!(issuer(1) + "/"), "not an issuer of AWS STS"),
        ("no TLS", |c| c["iss"] = json!(issuer(1).replace("https", "http")), "not an issuer of AWS STS"),
        ("a user name", |c| c["iss"] = json!(issuer(1).replace("https://", "https://a@")), "not an issuer of AWS STS"),
        ("capitals", |c| c["iss"] = json!(issuer(0xab).to_uppercase()), "not an issuer of AWS STS"),
        ("capitals in the id", |c| c["iss"] = json!(issuer(0xab).replace("ab", "AB")), "not an issuer of AWS STS"),
        ("a line break", |c| c["iss"] = json!(issuer(1) + "\n"), "not an issuer of AWS STS"),
        ("several issuers", |c| c["iss"] = json!([issuer(1)]), "it is not a JWT with an issuer"),
        ("another audience", |c| c["aud"] = json!("evil.example.com"), "it was made for another vendor"),
        ("no audience", |c| c["aud"] = json!([]), "it was made for another vendor"),
        ("several audiences", |c| c["aud"] = json!([AUDIENCE, "evil.example.com"]), "it was made for another vendor"),
        ("old, though it lasts an hour", |c| (c["iat"], c["exp"]) = (at(-361), at(3239)), "it is older than five minutes"),
        ("from the future", |c| c["iat"] = at(61), "it is from the future"),
        ("expired", |c| c["exp"] = at(-60), "it has expired"),
        ("a time that overflows", |c| c["iat"] = json!(i64::MIN), "it is older than five minutes"),
        ("another one", |c| c["exp"] = json!(u64::MAX), "its claims do not have the form"),
        ("no end", |c| drop(c.as_object_mut().unwrap().remove("exp")), "its claims do not have the form"),
        ("no id", |c| c["jti"] = json!(""), "it has no id"),
        ("no id at all", |c| drop(c.as_object_mut().unwrap().remove("jti")), "its claims do not have the form"),
        ("another account", |c| aws(c)["aws_account"] = json!(OTHER_ACCOUNT), "it is another account's"),
        ("nothing of AWS's", |c| drop(c.as_object_mut().unwrap().remove(AWS)), "its claims do not have the form"),
        ("a user", |c| c["sub"] = json!(format!("arn:aws:iam::{ACCOUNT}:user/mallory")), "its subject is not a role"),
        ("the root user", |c| c["sub"] = json!(format!("arn:aws:iam::{ACCOUNT}:root")), "its subject is not a role"),
        (
            "a session",
            |c| c["sub"] = json!(format!("arn:aws:sts::{ACCOUNT}:assumed-role/{HANDLER_ROLE}/{FUNCTION}")),
            "its subject is not a role",
        ),
        (
            "a federated user",
            |c| c["sub"] = json!(format!("arn:aws:sts::{ACCOUNT}:federated-user/mallory")),
            "its subject is not a role",
        ),
        (
            "a name that no role has",
            |c| c["sub"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/a b")),
            "its subject is not a role",
        ),
        (
            "a role of another account",
            |c| c["sub"] = json!(format!("arn:aws:iam::{OTHER_ACCOUNT}:role/{HANDLER_ROLE}")),
            "its subject is a role of another account",
        ),
        (
            "a role of another partition",
            |c| c["sub"] = json!(format!("arn:aws-cn:iam::{ACCOUNT}:role/{HANDLER_ROLE}")),
            "its subject is a role of another account",
        ),
        (
            "a subject of the sender's choice",
            |c| aws(c)["subject_mode"] = json!("OriginIdentity"),
            "its subject is of the sender's choice",
        ),
        (
            "asked for by another role",
            |c| aws(c)["principal_id"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/vendor-b")),
            "its subject is not who asked for it",
        ),
        ("no digest", |c| aws(c)["request_tags"] = json!({}), "it covers another event"),
        ("another digest", |c| aws(c)["request_tags"][token::DIGEST_TAG] = json!("0".repeat(64)), "it covers another event"),
        (
            "a function of another Region",
            |c| aws(c)["lambda_source_function_arn"] = json!(format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:{FUNCTION}")),
            "a function of another account or Region",
        ),
        (
            "a function of another account",
            |c| aws(c)["lambda_source_function_arn"] = json!(format!("arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:x")),
            "a function of another account or Region",
        ),
    ];
    let signer = Signer::new();
    for (name, change, expected) in cases {
        match judge_with(&signer, |_, claims| change(claims)) {
            Err(Refusal { reason: Reason::Token, found }) => assert!(found.contains(expected), "{name}: {found}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

const AWS: &str = "https://sts.amazonaws.com/";

fn aws(claims: &mut Value) -> &mut Value {
    &mut claims[AWS]
}

fn at(seconds: i64) -> Value {
    json!(NOW.unix_timestamp() + seconds)
}

#[test]
fn a_token_is_good_for_minutes() {
    let signer = Signer::new();
    let at = |seconds: i64| {
        let make = |digest: &str| signer.sign(&header(), &claims(&issuer(1), digest, NOW, "id-1"));
        judge(&signer, make, NOW + Duration::seconds(seconds)).map(drop).map_err(|refusal| refusal.found)
    };
    for good in [-60, 0, 300, 359] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
    assert_eq!(at(-61), Err("it is from the future".to_owned()));
    assert_eq!(at(360), Err("it has expired".to_owned()));
    assert_eq!(at(361), Err("it is older than five minutes".to_owned()));
}

#[test]
fn key_sets_are_bounded() {
    let signer = Signer::new();
    assert!(Keys::read(&signer.keys("one").to_string()).unwrap().has("one-rsa"));
    let of = |count: usize| json!({"keys": vec![signer.keys("one")["keys"][0].clone(); count]}).to_string();
    assert!(Keys::read(&of(16)).is_some());
    for bad in ["", "[]", "{}", r#"{"keys": []}"#, r#"{"keys": [1]}"#, &of(17)] {
        assert!(Keys::read(bad).is_none(), "{bad}");
    }
}

// --- Through the console ----------------------------------------------------------------------------------------------

/// What is served under an issuer's name.
#[derive(Clone)]
enum Served {
    Keys(Value),
    Status(u16),
    Text(String),
}

/// STS, as far as it makes tokens and serves keys.
struct TokenSts {
    signer: Signer,
    served: Arc<Mutex<BTreeMap<String, Served>>>,
    fetches: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<BTreeMap<String, Served>>>, Arc<Mutex<Vec<String>>>);

impl TokenSts {
    async fn start() -> Self {
        let signer = Signer::new();
        let hosts: Vec<String> = (1..=4).map(|number| issuer(number).replace("https://", "")).collect();
        let served = Arc::new(Mutex::new(BTreeMap::new()));
        let fetches = Arc::new(Mutex::new(Vec::new()));
        let (key, directory) = (KeyPair::generate().unwrap(), tempfile::tempdir().unwrap());
        let certificate = CertificateParams::new(hosts.clone()).unwrap().self_signed(&key).unwrap();
        let [cert, private] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        fs::write(&cert, certificate.pem()).unwrap();
        fs::write(&private, key.serialize_pem()).unwrap();
        let tls = serve::tls(&cert, &private).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/.well-known/jwks.json", get(serve_keys))
            .with_state(Shared(Arc::clone(&served), Arc::clone(&fetches)));
        tokio::spawn(serve::serve(listener, Some(tls), app, serve::Clients::Operators, std::future::pending()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = hosts.iter().fold(client, |client, host| client.resolve(host, address)).build().unwrap();
        let sts = Self { signer, served, fetches, client };
        for number in 1..=4 {
            sts.serve(number, Served::Keys(sts.signer.keys("one")));
        }
        sts
    }

    fn serve(&self, number: u8, what: Served) {
        self.served.lock().unwrap().insert(issuer(number), what);
    }

    fn fetches(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }

    /// A console that reaches these issuers, and has fetched nothing yet.
    fn reached_by(&self, world: &mut TestConsole) {
        world.console.issuers = Issuers::through(self.client.clone());
    }
}

async fn serve_keys(State(Shared(served, fetches)): State<Shared>, headers: HeaderMap) -> Response {
    let issuer = format!("https://{}", headers["host"].to_str().unwrap());
    fetches.lock().unwrap().push(issuer.clone());
    let what = served.lock().unwrap().get(&issuer).cloned();
    match what {
        Some(Served::Keys(keys)) => keys.to_string().into_response(),
        Some(Served::Text(text)) => text.into_response(),
        Some(Served::Status(status)) => {
            (StatusCode::from_u16(status).unwrap(), [("location", "https://elsewhere.example.com/")], "").into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A stack whose account has outbound identity federation.
struct Federated<'a> {
    world: &'a TestConsole,
    sts: &'a TokenSts,
    stack: Stack,
    issuer: u8,
    kinds: &'static [&'static str],
    key: &'static str,
    change: fn(&mut Value),
}

const BOTH: &[&str] = &["request", "token"];
const TOKEN: &[&str] = &["token"];
const REQUEST: &[&str] = &["request"];

impl<'a> Federated<'a> {
    fn new(world: &'a TestConsole, sts: &'a TokenSts, stack: Stack) -> Self {
        Self { world, sts, stack, issuer: 1, kinds: BOTH, key: "one", change: |_| {} }
    }

    /// A notice of this kind, `seconds` after the start, with these proofs: status, code of a refusal, body.
    async fn notify(&self, kind: &str, seconds: i64) -> (u16, String, Value) {
        let time = NOW + Duration::seconds(seconds);
        self.world.set_clock(self.world.now().max(time));
        let (status, body) = self.world.post(self.stack.sign_event(&self.proven(kind, time), self.world.now())).await;
        (status, code(&body).to_owned(), body)
    }

    fn proven(&self, kind: &str, time: OffsetDateTime) -> Value {
        let mut event = self.stack.event(kind, time);
        event["data"]["proofKinds"] = json!(self.kinds);
        let mut event = self.stack.prove(event, self.world.now());
        let request = event["data"]["proofs"][0].take();
        let digest = &request["headers"]["x-hawser-event-sha256"];
        let id = format!("{}-{}", self.issuer, event["id"].as_str().unwrap());
        let mut claims = claims(&issuer(self.issuer), digest.as_str().unwrap(), self.world.now(), &id);
        (self.change)(&mut claims);
        let mut header = header();
        header["kid"] = json!(self.key);
        let token = json!({"kind": "token", "token": self.sts.signer.sign(&header, &claims)});
        let all = self.kinds.iter().map(|kind| if *kind == "token" { token.clone() } else { request.clone() });
        event["data"]["proofs"] = all.collect();
        event
    }

    async fn connection(&self) -> Value {
        let all = self.world.connections().await;
        all.into_iter().find(|connection| connection["data"]["stackId"] == self.stack.stack_id).unwrap_or_default()
    }
}

async fn world() -> (TestConsole, TokenSts) {
    let (mut world, sts) = (TestConsole::new().await, TokenSts::start().await);
    sts.reached_by(&mut world);
    (world, sts)
}

fn role_arn() -> Value {
    json!(format!("arn:aws:iam::{ACCOUNT}:role/{HANDLER_ROLE}"))
}

#[tokio::test]
async fn a_request_and_a_token_vouch_together() {
    let (world, sts) = world().await;
    let federated = Federated::new(&world, &sts, world.stack("51af3dc0").await);
    let (status, _, body) = federated.notify("established", 0).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(federated.connection().await["tokenArn"], role_arn());
    assert_eq!(federated.connection().await["problems"], json!([]));
    // The keys are kept.
    assert_eq!(federated.notify("updated", 60).await.0, 200);
    assert_eq!((sts.fetches(), world.sts.calls()), (1, 2));
    // Each has to hold.
    let wrong =
        Federated { change: |claims| claims["aud"] = json!("evil.example.com"), ..Federated::new(&world, &sts, federated.stack) };
    assert_eq!(wrong.notify("updated", 120).await.1, "token-refused");
    let other_role = |claims: &mut Value| {
        claims["sub"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/vendor-b"));
        claims[AWS]["principal_id"] = claims["sub"].clone();
    };
    let (_, code, body) = Federated { change: other_role, ..wrong }.notify("updated", 121).await;
    assert_eq!(code, "token-refused", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("another role than the request does"), "{body}");
}

#[tokio::test]
async fn a_token_is_good_for_one_notice() {
    let (world, sts) = world().await;
    let federated = Federated {
        change: |claims| claims["jti"] = json!("once"),
        ..Federated::new(&world, &sts, world.stack("51af3dc0").await)
    };
    let again = federated.proven("established", NOW);
    assert_eq!(federated.notify("established", 0).await.0, 200);
    // The same notice is a repetition, whatever its signature's time.
    let (status, _) = world.post(federated.stack.sign_event(&again, NOW + Duration::seconds(20))).await;
    assert_eq!(status, 200);
    let (_, code, body) = federated.notify("updated", 60).await;
    assert_eq!(code, "token-refused", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("it was used before"), "{body}");
}

/// Any account has valid tokens: an issuer is one account's.
#[tokio::test]
async fn an_issuer_belongs_to_one_account() {
    let (world, sts) = world().await;
    let federated = Federated::new(&world, &sts, world.stack("51af3dc0").await);
    assert_eq!(federated.notify("established", 0).await.0, 200);
    let mut other = world.stack("61af3dc0").await;
    other.stack_id = other.stack_id.replace(ACCOUNT, OTHER_ACCOUNT);
    other.account = OTHER_ACCOUNT.to_owned();
    let elsewhere = |claims: &mut Value| *claims = claims.to_string().replace(ACCOUNT, OTHER_ACCOUNT).parse().unwrap();
    for kinds in [BOTH, TOKEN] {
        let stranger = Federated { kinds, change: elsewhere, ..Federated::new(&world, &sts, other.clone()) };
        let (_, code, body) = stranger.notify("established", 10).await;
        assert_eq!(code, "token-refused", "{body}");
        assert!(body["detail"].as_str().unwrap().contains("its issuer is another account's"), "{body}");
    }
    let own = Federated { issuer: 2, change: elsewhere, ..Federated::new(&world, &sts, other) };
    assert_eq!(own.notify("established", 20).await.0, 200);
}

/// An account that switches federation off and on again has another issuer.
#[tokio::test]
async fn a_new_issuer_takes_a_request_beside_it_or_the_word_of_aws() {
    let (world, sts) = world().await;
    let stack = world.stack("51af3dc0").await;
    let of = |issuer, kinds| Federated { issuer, kinds, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(of(1, BOTH).notify("established", 0).await.0, 200);
    assert_eq!(of(1, TOKEN).notify("alive", 10).await.0, 200);
    // With the token alone it is nobody that is known.
    assert_eq!(of(2, TOKEN).notify("alive", 20).await.1, "speaker");
    assert_eq!(of(2, TOKEN).notify("removed", 21).await.1, "speaker");
    assert_eq!(of(2, BOTH).notify("alive", 30).await.0, 200);
    assert_eq!(of(2, TOKEN).notify("alive", 40).await.0, 200);
    assert_eq!(of(1, TOKEN).notify("alive", 50).await.1, "speaker", "the earlier issuer is nobody's");
    // Or AWS confirms the stack.
    let (status, _, body) = of(3, TOKEN).notify("updated", 60).await;
    assert_eq!(status, 200, "{body}");
    assert!(body["message"].as_str().unwrap().contains("once AWS confirms"), "{body}");
    assert_eq!(of(3, TOKEN).notify("alive", 61).await.0, 200, "answered, and not counted");
    world.confirm(&stack).await;
    assert_eq!(of(3, TOKEN).notify("removed", 70).await.0, 200);
    assert_eq!(of(3, TOKEN).connection().await["state"], "removed");
}

#[tokio::test]
async fn a_token_alone() {
    let (world, sts) = world().await;
    let stack = world.stack("51af3dc0").await;
    let alone = Federated { kinds: TOKEN, ..Federated::new(&world, &sts, stack.clone()) };
    let other_role = |claims: &mut Value| {
        claims["sub"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/vendor-b-VendorRole-77A1B2C3D4E5"));
        claims[AWS]["principal_id"] = claims["sub"].clone();
    };
    let vendor_b = Federated { kinds: TOKEN, change: other_role, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(vendor_b.notify("established", 0).await.1, "speaker");
    let (status, _, body) = alone.notify("established", 1).await;
    assert_eq!((status, world.sts.calls()), (200, 0), "{body}");
    assert_eq!(alone.connection().await["state"], "announced");
    assert_eq!(alone.connection().await["verifiedArn"], role_arn());
    for kind in ["established", "updated", "alive", "removed"] {
        assert_eq!(vendor_b.notify(kind, 10).await.1, "speaker", "{kind}");
    }
    // Another function with the role's credentials.
    let elsewhere = |claims: &mut Value| {
        claims[AWS]["lambda_source_function_arn"] = json!(format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:other"));
    };
    let other = Federated { kinds: TOKEN, change: elsewhere, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(other.notify("alive", 11).await.1, "speaker");
    world.confirm(&stack).await;
    assert_eq!(alone.connection().await["state"], "verified");
    // From here on the issuer is the account's, and its keys are kept with it.
    assert_eq!(alone.notify("alive", 20).await.0, 200);
    let parsed: Issuer = issuer(1).parse().unwrap();
    assert!(world.console.store.keys(&parsed).await.unwrap().is_some());
    // The stack's own role by request: AWS confirms it anew.
    let by_request = Federated { kinds: REQUEST, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(by_request.notify("alive", 30).await.1, "speaker");
    let both = Federated::new(&world, &sts, stack.clone());
    assert_eq!(both.notify("updated", 31).await.0, 200);
    assert_eq!(both.connection().await["state"], "verified");
    assert_eq!(by_request.notify("alive", 40).await.0, 200, "its id is known now");
}

/// What AWS does not confirm is not pinned.
#[tokio::test]
async fn a_token_alone_waits_for_aws() {
    let (world, sts) = world().await;
    let stack = world.stack("51af3dc0").await;
    let alone = Federated { kinds: TOKEN, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(alone.notify("established", 0).await.0, 200);
    world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-000000000000")));
    world.ask_aws().await;
    assert_eq!(alone.connection().await["problems"][0]["code"], "stack-foreign");
    assert!(world.console.store.keys(&issuer(1).parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_that_is_held_back_is_seen() {
    let (world, sts) = world().await;
    let stack = world.stack("51af3dc0").await;
    let both = Federated::new(&world, &sts, stack.clone());
    assert_eq!(both.notify("established", 0).await.0, 200);
    world.confirm(&stack).await;
    // Taken from a notice that covers it.
    let mut event = both.proven("updated", NOW + Duration::seconds(10));
    event["data"]["proofs"].as_array_mut().unwrap().pop();
    let (_, body) = world.post(stack.sign_event(&event, NOW + Duration::seconds(10))).await;
    assert_eq!(code(&body), "notice-inconsistent");
    event["data"]["proofKinds"] = json!(REQUEST);
    let (_, body) = world.post(stack.sign_event(&event, NOW + Duration::seconds(10))).await;
    assert_eq!(code(&body), "proof-refused");
    // Never sent: from the pinned role only, and it is told.
    let request = Federated { kinds: REQUEST, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(request.notify("updated", 20).await.0, 200);
    assert_eq!(request.connection().await["problems"][0]["code"], "proof-downgraded");
    let next = Federated { kinds: REQUEST, ..Federated::new(&world, &sts, stack.by(Principal::NextHandler)) };
    let (_, code, body) = next.notify("updated", 30).await;
    assert_eq!(code, "speaker", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("without one"), "{body}");
    // The problem closes with the next token.
    assert_eq!(both.notify("alive", 40).await.0, 200);
    assert_eq!(both.connection().await["problems"], json!([]));
}

/// Without the keys a token is as none; it never keeps a notice out that has a request.
#[tokio::test]
async fn keys_that_cannot_be_had() {
    let set_of = |count: usize| Served::Text(json!({"keys": [], "x": "x".repeat(count)}).to_string());
    for (what, number) in
        [(Served::Status(404), 1), (Served::Status(307), 2), (Served::Text("<html>".to_owned()), 3), (set_of(40_000), 4)]
    {
        let (world, sts) = world().await;
        sts.serve(number, what);
        let federated = Federated { issuer: number, ..Federated::new(&world, &sts, world.stack("51af3dc0").await) };
        assert_eq!(federated.notify("established", 0).await.0, 200);
        assert_eq!(federated.connection().await["tokenArn"], Value::Null);
        assert_eq!(federated.connection().await["problems"], json!([]));
        let alone = Federated { issuer: number, kinds: TOKEN, ..Federated::new(&world, &sts, federated.stack.clone()) };
        let (status, code, body) = alone.notify("alive", 5).await;
        assert_eq!((status, code.as_str()), (503, "issuer-unavailable"), "{body}");
        // Neither of the two within ten seconds was asked for twice.
        assert_eq!(sts.fetches(), 1);
        sts.serve(number, Served::Keys(sts.signer.keys("one")));
        assert_eq!(federated.notify("alive", 10).await.0, 200);
        assert_eq!(federated.connection().await["tokenArn"], role_arn());
    }
}

#[tokio::test]
async fn keys_change() {
    let (mut world, sts) = world().await;
    let stack = world.stack("51af3dc0").await;
    fn of<'a>((sts, stack): (&'a TokenSts, &Stack), world: &'a TestConsole, key: &'static str) -> Federated<'a> {
        Federated { key, ..Federated::new(world, sts, stack.clone()) }
    }
    let both = (&sts, &stack);
    assert_eq!(of(both, &world, "one").notify("established", 0).await.0, 200);
    // A key that is not there is looked for, once in ten seconds.
    for (seconds, fetches) in [(5, 1), (11, 2), (15, 2)] {
        assert_eq!(of(both, &world, "two").notify("alive", seconds).await.1, "token-refused");
        assert_eq!(sts.fetches(), fetches, "{seconds}");
    }
    sts.serve(1, Served::Keys(sts.signer.keys("two")));
    assert_eq!(of(both, &world, "two").notify("alive", 30).await.0, 200);
    assert_eq!(of(both, &world, "one").notify("alive", 31).await.1, "token-refused", "the issuer has taken it back");
    // Where no newer set is to be had, a key that the last one lacks makes the token as none, and never the notice refused.
    sts.serve(1, Served::Status(500));
    for seconds in [45, 46] {
        assert_eq!(of(both, &world, "three").notify("alive", seconds).await.0, 200);
    }
    // A set is good while no newer one is to be had, also after a restart.
    sts.serve(1, Served::Status(500));
    assert_eq!(of(both, &world, "two").notify("alive", DAY).await.0, 200);
    assert_eq!(sts.fetches(), 5);
    sts.reached_by(&mut world);
    world.console.store = open_store(&world.directory).await;
    assert_eq!(of(both, &world, "two").notify("alive", DAY + 20).await.0, 200);
    // Nothing about tokens; no status of its billing data came in all that time.
    let connection = of(both, &world, "two").connection().await;
    let codes: Vec<_> = connection["problems"].as_array().unwrap().iter().map(|problem| &problem["code"]).collect();
    assert_eq!(codes, ["billing-silent"]);
}

/// An account that says it is in the launch's organization, and of which AWS says something else, waits.
#[tokio::test]
async fn a_token_names_the_organization() {
    for (named, state) in
        [(json!("o-exampleorgid"), "announced"), (json!("o-anotherorgid"), "unconfirmed"), (Value::Null, "announced")]
    {
        let (world, sts) = world().await;
        let launch = rollout_launch(NOW);
        world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        let stack = Stack::new(&launch, "51af3dc0", &world.sts.url);
        let change: fn(&mut Value) = match named.as_str() {
            Some("o-exampleorgid") => |_| {},
            Some(_) => |claims| claims[AWS]["org_id"] = json!("o-anotherorgid"),
            None => |claims| drop(claims[AWS].as_object_mut().unwrap().remove("org_id")),
        };
        let federated = Federated { change, ..Federated::new(&world, &sts, stack.clone()) };
        let (status, _, body) = federated.notify("established", 0).await;
        assert_eq!(status, 200, "{body}");
        let path = format!("/api/v1/connections/{}", body["connectionId"].as_str().unwrap());
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(world.operate(request).await.1["state"], state, "{named}");
    }
}

#[tokio::test]
async fn an_operator_may_require_tokens() {
    let (mut world, sts) = world().await;
    world.console.requires_token = true;
    let stack = world.stack("51af3dc0").await;
    let of = |kinds| Federated { kinds, ..Federated::new(&world, &sts, stack.clone()) };
    assert_eq!(of(REQUEST).notify("established", 0).await.1, "token-required");
    sts.serve(1, Served::Status(503));
    assert_eq!(of(BOTH).notify("established", 1).await.1, "issuer-unavailable");
    sts.serve(1, Served::Keys(sts.signer.keys("one")));
    assert_eq!(of(BOTH).notify("established", 12).await.0, 200);
    assert_eq!(world.sts.calls(), 2);
}
