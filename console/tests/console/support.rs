//! A customer's stack, and an STS that checks signatures: what the tests set against the console.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
    routing::any,
};
use hawser_console::{
    Console,
    access::Access,
    confirm::{Aws, Packs, Question, Resources},
    document::Document,
    issuers::Issuers,
    launch::{Audience, Entropy, Launch, Organization, Terms},
    limits::Limits,
    notice::Notice,
    probe::{self, Finding, How, NotTried, Statement, Tried, granted},
    problem::{Problem, ProblemCode},
    proof::{BODY, Trust},
    refusal::Refusal,
    routes,
    seal::SealKeys,
    serve,
    signal::Signal,
    store::Store,
    sts::Sts,
    webhook::{egress::Egress, endpoint_url::Reach, sender::HttpSender},
    worker,
};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection as _, Executor as _};
use standardwebhooks::Webhook;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::datetime};
use tower::ServiceExt;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const OTHER_ACCOUNT: &str = "444455556666";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const AUDIENCE: &str = "hawser.example.com:8443";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI-secret-access-key-EXAMPLE";
pub(crate) const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE-session-token//////////";

/// A customer's stack: all it sends passes every check.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) account: String,
    pub(crate) stack_id: String,
    pub(crate) connection_name: String,
    pub(crate) token: String,
    pub(crate) external_id: String,
    pub(crate) sts_url: String,
    pub(crate) audience: String,
    pub(crate) session_token: String,
    /// Whose credentials it has: see [`Principal`].
    pub(crate) principal: Principal,
}

/// A principal of an account, for whom the STS vouches. The access key names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The role that CloudFormation made for the stack `hawser`, by its function.
    Handler,
    /// The same role, by somebody who may assume it.
    Assumed,
    /// The role after a change of its path: the same stack's, another id.
    NextHandler,
    /// The read-only role of another vendor.
    VendorB,
    /// A role that somebody named as the stack's handler's, and another one deleted and made again by its name.
    Namesake,
    User,
    Root,
    Federated,
}

impl Principal {
    const ALL: [Self; 8] =
        [Self::Handler, Self::Assumed, Self::NextHandler, Self::VendorB, Self::Namesake, Self::User, Self::Root, Self::Federated];

    /// ARN and `UserId`, as `sts:GetCallerIdentity` says them.
    pub(crate) fn of(self, account: &str) -> (String, String) {
        let session = |role: &str, id: &str, session: &str| {
            (format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"), format!("{id}:{session}"))
        };
        match self {
            Self::Handler => session(HANDLER_ROLE, "AROA123456789EXAMPLE", FUNCTION),
            Self::Assumed => session(HANDLER_ROLE, "AROA123456789EXAMPLE", "mallory"),
            Self::NextHandler => session("hawser-HandlerRole-9Z8Y7X6W5V4U", "AROANEXTHANDLEROLE12", FUNCTION),
            Self::VendorB => session("vendor-b-VendorRole-77A1B2C3D4E5", "AROAVENDORB123456789", "robot"),
            Self::Namesake => session(HANDLER_ROLE, "AROANAMESAKE12345678", FUNCTION),
            Self::User => (format!("arn:aws:iam::{account}:user/team/mallory"), "AIDA123456789EXAMPLE".to_owned()),
            Self::Root => (format!("arn:aws:iam::{account}:root"), account.to_owned()),
            Self::Federated => (format!("arn:aws:sts::{account}:federated-user/mallory"), format!("{account}:mallory")),
        }
    }
}

pub(crate) const HANDLER_ROLE: &str = "hawser-HandlerRole-1A2B3C4D5E6F";
pub(crate) const FUNCTION: &str = "hawser-Handler-3C4D";
pub(crate) const VENDOR_ROLE: &str = "hawser-VendorRole-1A2B3C";

impl Stack {
    pub(crate) fn new(launch: &Launch, uuid: &str, sts_url: &str) -> Self {
        Self {
            account: ACCOUNT.to_owned(),
            stack_id: format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/hawser/{uuid}"),
            connection_name: "production".to_owned(),
            token: launch.token.expose().to_owned(),
            external_id: launch.external_id.clone(),
            sts_url: sts_url.to_owned(),
            audience: AUDIENCE.to_owned(),
            session_token: SESSION_TOKEN.to_owned(),
            principal: Principal::Handler,
        }
    }

    /// The same words with another's credentials.
    pub(crate) fn by(&self, principal: Principal) -> Self {
        Self { principal, ..self.clone() }
    }

    /// Where the stack is, as its ARN says.
    pub(crate) fn region(&self) -> &str {
        self.stack_id.split(':').nth(3).unwrap()
    }

    /// The event without its proof. The id depends on everything that makes a request of its own.
    pub(crate) fn event(&self, kind: &str, time: OffsetDateTime) -> Value {
        let account = &self.account;
        let id = hex::encode(Sha256::digest(format!("{}\n{kind}{time}", self.stack_id)));
        let example = include_str!("../../../docs/examples/notice-established.json").replace(ACCOUNT, account);
        let mut event: Value = serde_json::from_str(&example).unwrap();
        for (name, value) in [("id", &id[..32]), ("source", &self.stack_id), ("type", &format!("hawser.connection.{kind}"))] {
            event[name] = json!(value);
        }
        event["time"] = json!(time.format(&Rfc3339).unwrap());
        event["data"].as_object_mut().unwrap().remove("proofs");
        for (name, value) in [
            ("region", self.region()),
            ("stackId", &self.stack_id),
            ("connectionName", &self.connection_name),
            ("roleArn", &format!("arn:aws:iam::{account}:role/{VENDOR_ROLE}")),
            ("externalId", &self.external_id),
        ] {
            event["data"][name] = json!(value);
        }
        event
    }

    /// A billing status, looked up at this time, of a state with all that belongs to it.
    pub(crate) fn status_event(&self, state: &str, time: OffsetDateTime) -> Value {
        let mut event = self.event(&format!("status{state}"), time);
        event["type"] = json!("hawser.billing.status");
        event["data"]["billingStatus"] = billing_status(state, time);
        event
    }

    /// Adds a proof that vouches for the event as it is now.
    pub(crate) fn prove(&self, mut event: Value, at: OffsetDateTime) -> Value {
        event["data"].as_object_mut().unwrap().remove("proofs");
        let canonical = serde_json_canonicalizer::to_vec(&event).unwrap();
        let mut proof = proof(&Proving {
            account: &format!("{}{:?}", self.account, self.principal),
            region: self.region(),
            url: &self.sts_url,
            audience: &self.audience,
            session_token: &self.session_token,
            event_sha256: &hex::encode(Sha256::digest(canonical)),
            at,
        });
        proof["kind"] = json!("request");
        event["data"]["proofs"] = json!([proof]);
        event
    }

    /// Signs a body as Standard Webhooks do.
    pub(crate) fn sign(&self, id: &str, body: &str, at: OffsetDateTime) -> Request<Body> {
        let signature = Webhook::new(&self.token).unwrap().sign(id, at.unix_timestamp(), body.as_bytes()).unwrap();
        Request::post("/notices")
            .header("content-type", "application/cloudevents+json")
            .header("user-agent", "hawser/0.1.0")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.unix_timestamp())
            .header("webhook-signature", signature)
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    /// Serializes and signs.
    pub(crate) fn sign_event(&self, event: &Value, at: OffsetDateTime) -> Request<Body> {
        self.sign(event["id"].as_str().unwrap(), &event.to_string(), at)
    }

    /// Proves, serializes and signs.
    pub(crate) fn send(&self, event: Value, at: OffsetDateTime) -> Request<Body> {
        self.sign_event(&self.prove(event, at), at)
    }
}

/// What a stack says of its billing data in each state.
pub(crate) fn billing_status(state: &str, checked_at: OffsetDateTime) -> Value {
    let manifest = "hawser/1a2b3c4d/hawser-1a2b3c4d5e6f7a8b/20261101-20261201/hawser-1a2b3c4d5e6f7a8b-Manifest.json";
    let first = json!({"period": "2026-11", "manifest": manifest, "deliveredAt": "2026-11-22T21:14:07Z"});
    let mut latest = first.clone();
    latest["files"] = json!(14);
    latest["bytes"] = json!(1_238_400);
    let (first, latest) = if ["delivered", "stalled"].contains(&state) { (first, latest) } else { (Value::Null, Value::Null) };
    let problem = (state == "failed").then(|| {
        json!({
            "code": "BILLING_BUCKET_REJECTED", "cause": "the bucket's policy does not let AWS write",
            "nextStep": "Restore the statement `HawserBillingDelivery`.",
        })
    });
    json!({
        "state": state, "checkedAt": checked_at.format(&Rfc3339).unwrap(), "dueBy": "2026-11-23T10:00:00Z", "first": first,
        "latest": latest, "problem": problem,
    })
}

pub(crate) struct Proving<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) url: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) session_token: &'a str,
    pub(crate) event_sha256: &'a str,
    pub(crate) at: OffsetDateTime,
}

/// A signed GetCallerIdentity, as a handler makes it.
pub(crate) fn proof(proving: &Proving<'_>) -> Value {
    let host = proving.url.split_once("://").unwrap().1.trim_end_matches('/');
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", host),
        ("x-hawser-audience", proving.audience),
        ("x-hawser-event-sha256", proving.event_sha256),
    ];
    let mut all = signature_headers((proving.account, proving.region, proving.session_token), proving.url, &headers, proving.at);
    all.extend(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let all: serde_json::Map<String, Value> = all.into_iter().map(|(name, value)| (name, value.into())).collect();
    json!({"method": "POST", "url": proving.url, "headers": all, "body": BODY})
}

/// What SigV4 adds: date, session token, authorization. AWS's own implementation.
fn signature_headers(
    (account, region, session_token): (&str, &str, &str),
    url: &str,
    headers: &[(&str, &str)],
    at: OffsetDateTime,
) -> Vec<(String, String)> {
    let key_id = format!("ASIA{account}");
    let identity = Credentials::new(key_id, SECRET_KEY, Some(session_token.to_owned()), None, "tests").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(SystemTime::from(at))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(BODY.as_bytes())).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// How the STS answers.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Checks the signature and names whoever signed.
    Honest,
    Fixed(u16, &'static str, String),
    /// Honest, after a while.
    Slow(std::time::Duration),
    /// A redirect to another address.
    Redirect(String),
}

/// An STS on a local port. Its honest answers depend on the signature of the request as it arrived: it signs the request
/// again and compares.
#[derive(Clone)]
pub(crate) struct StsStub {
    pub(crate) url: String,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
}

impl StsStub {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            url: format!("http://{}/", listener.local_addr().unwrap()),
            calls: Arc::default(),
            behaviour: Arc::new(Mutex::new(Behaviour::Honest)),
        };
        let app = Router::new().fallback(any(answer)).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        stub
    }

    /// The same over TLS, with `cert.pem` and `key.pem` of a directory, as `localhost`.
    pub(crate) async fn start_tls(directory: &Path) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            url: format!("https://localhost:{}/", listener.local_addr().unwrap().port()),
            calls: Arc::default(),
            behaviour: Arc::new(Mutex::new(Behaviour::Honest)),
        };
        let app = Router::new().fallback(any(answer)).with_state(stub.clone());
        let tls = serve::tls(&directory.join("cert.pem"), &directory.join("key.pem")).unwrap();
        tokio::spawn(serve::serve(listener, Some(tls), app, serve::Clients::Operators, std::future::pending()));
        stub
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn answer(State(stub): State<StsStub>, headers: HeaderMap, body: Bytes) -> Response {
    stub.calls.fetch_add(1, Ordering::SeqCst);
    let behaviour = stub.behaviour.lock().unwrap().clone();
    if let Behaviour::Slow(delay) = behaviour {
        tokio::time::sleep(delay).await;
    }
    match behaviour {
        Behaviour::Fixed(status, media_type, body) => {
            (StatusCode::from_u16(status).unwrap(), [("content-type", media_type)], body).into_response()
        }
        Behaviour::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)], "").into_response(),
        Behaviour::Honest | Behaviour::Slow(_) => match signer(&stub.url, &headers, &body) {
            Some(key) => {
                let (account, name) = key.split_at(12);
                let principal = Principal::ALL.into_iter().find(|principal| format!("{principal:?}") == name);
                let xml = identified(account, principal.unwrap_or(Principal::Handler));
                (StatusCode::OK, [("content-type", "text/xml")], xml).into_response()
            }
            None => (StatusCode::FORBIDDEN, [("content-type", "text/xml")], error_xml("SignatureDoesNotMatch")).into_response(),
        },
    }
}

/// Account and principal whose credentials signed exactly this request.
fn signer(url: &str, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let authorization = text("authorization")?;
    let mut scope = authorization.split_once("Credential=ASIA")?.1.split('/');
    let (account, region) = (scope.next()?, scope.nth(1)?);
    let signed = authorization.split_once("SignedHeaders=")?.1.split(',').next()?;
    let signed: Vec<(&str, &str)> = signed
        .split(';')
        .filter(|name| !["x-amz-date", "x-amz-security-token"].contains(name))
        .map(|name| Some((name, text(name)?)))
        .collect::<Option<_>>()?;
    let form = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = PrimitiveDateTime::parse(text("x-amz-date")?, form).ok()?.assume_utc();
    let again = signature_headers((account, region, text("x-amz-security-token")?), url, &signed, at);
    let same = again.iter().all(|(name, value)| text(name) == Some(value));
    (same && body == BODY.as_bytes()).then(|| account.to_owned())
}

pub(crate) fn identity_xml(account: &str) -> String {
    identified(account, Principal::Handler)
}

pub(crate) fn identified(account: &str, principal: Principal) -> String {
    let (arn, user_id) = principal.of(account);
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <GetCallerIdentityResult>\n    \
         <Arn>{arn}</Arn>\n    <UserId>{user_id}</UserId>\n    <Account>{account}</Account>\n  \
         </GetCallerIdentityResult>\n  <ResponseMetadata>\n    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  \
         </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    )
}

pub(crate) fn error_xml(code: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>words that may hold parts of the request</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}

/// A console on a database of its own, with an STS and a clock that tests set.
pub(crate) struct TestConsole {
    pub(crate) console: Console,
    pub(crate) sts: StsStub,
    pub(crate) directory: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    launches: AtomicUsize,
    pub(crate) stacks: StackStub,
}

/// AWS as the vendor sees it: what each stack has, where the vendor has credentials to ask.
#[derive(Clone, Default)]
pub(crate) struct StackStub {
    answers: Arc<Mutex<BTreeMap<String, Result<Resources, Problem>>>>,
    /// Roles, and external ids, with which none can be assumed.
    pub(crate) refused: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) questions: Arc<Mutex<Vec<Question>>>,
    pub(crate) open: Arc<Mutex<Open>>,
    /// AWS's words by the statements that it denies.
    pub(crate) denied: Arc<Mutex<BTreeMap<String, String>>>,
}

#[async_trait::async_trait]
impl Aws for StackStub {
    async fn resources(&self, question: &Question) -> Result<Resources, Problem> {
        self.questions.lock().unwrap().push(question.clone());
        if [question.role.as_str(), &question.external_id].iter().any(|name| self.refused.lock().unwrap().contains(*name)) {
            return Err(Problem::new(ProblemCode::RoleRefused, "`AccessDenied`"));
        }
        let answer = self.answers.lock().unwrap().get(question.stack.as_str()).cloned();
        answer.unwrap_or_else(|| Err(Problem::new(ProblemCode::NoCredentials, "")))
    }

    async fn can_assume(&self, question: &Question, external_id: Option<&str>) -> Result<bool, Problem> {
        assert_ne!(external_id, Some(&*question.external_id), "its own is no wrong one");
        match *self.open.lock().unwrap() {
            Open::Closed => Ok(false),
            Open::WithoutId => Ok(external_id.is_none()),
            Open::WithAnyId => Ok(external_id.is_some()),
            Open::Unknown => Err(Problem::new(ProblemCode::Unavailable, "")),
        }
    }

    async fn try_packs(&self, _: &Question, packs: &Packs) -> Result<Vec<Tried>, Problem> {
        Ok(tried(packs, &self.denied.lock().unwrap()))
    }
}

/// A pack's statements, tried: all allowed, but for those that AWS denies.
fn tried(packs: &Packs, denied: &BTreeMap<String, String>) -> Vec<Tried> {
    let outcome = |statement: &Statement| match &statement.how {
        How::NoProbe(_) => Err(NotTried::NoProbe),
        How::Probe(probe) => Ok(denied.get(&statement.sid).map_or(probe::Outcome::Allowed, |words| {
            probe::Outcome::Denied(Finding::denied("AccessDenied", &words.replace("{action}", &probe.action)))
        })),
    };
    granted(&packs.granted).map(|statement| Tried { statement, result: outcome(statement) }).collect()
}

/// Which wrong external IDs open the roles.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Open {
    #[default]
    Closed,
    WithoutId,
    WithAnyId,
    /// AWS does not answer.
    Unknown,
}

impl StackStub {
    pub(crate) fn refuse(&self, name: &str) {
        self.refused.lock().unwrap().insert(name.to_owned());
    }

    pub(crate) fn answer(&self, stack: &Stack, answer: Result<Resources, Problem>) {
        self.answers.lock().unwrap().insert(stack.stack_id.clone(), answer);
    }
}

/// What the stack `hawser` has.
pub(crate) fn resources(handler_role: &str) -> Resources {
    let all =
        [("HandlerRole", handler_role), ("Handler", FUNCTION), ("VendorRole", VENDOR_ROLE), ("Connection", "hawser-connection")];
    all.map(|(logical, physical)| (logical.to_owned(), physical.to_owned())).into()
}

impl TestConsole {
    pub(crate) async fn new() -> Self {
        let (sts, directory) = (StsStub::start().await, tempfile::tempdir().unwrap());
        let clock = Arc::new(AtomicI64::new(NOW.unix_timestamp()));
        let (hand, stacks) = (Arc::clone(&clock), StackStub::default());
        let console = Console {
            store: open_store(&directory).await,
            sts: Sts::new().unwrap(),
            issuers: Issuers::new().unwrap(),
            requires_token: false,
            requires_api_token: false,
            trust: Trust::Only(sts.url.parse().unwrap()),
            limits: Limits::default(),
            aws: Arc::new(stacks.clone()),
            reach: Reach::PublicAndLoopback,
            webhooks: Arc::new(HttpSender::new(&Egress::Direct { loopback: true }).unwrap()),
            signal: Signal::default(),
            authorities: vec![AUDIENCE.to_owned()],
            clock: Arc::new(move || OffsetDateTime::from_unix_timestamp(hand.load(Ordering::SeqCst)).unwrap()),
        };
        Self { console, sts, directory, clock, launches: AtomicUsize::new(0), stacks }
    }

    /// AWS has the stack as it says, and is asked.
    pub(crate) async fn confirm(&self, stack: &Stack) {
        self.stacks.answer(stack, Ok(resources(HANDLER_ROLE)));
        self.ask_aws().await;
    }

    /// What the worker does when it looks.
    pub(crate) async fn ask_aws(&self) {
        worker::once(&self.console).await.unwrap();
    }

    /// A launch, stored.
    pub(crate) async fn launch(&self, account: Option<&str>) -> Launch {
        self.launch_with(|terms| terms.audience = Audience::Stack(account.map(|a| a.parse().unwrap()))).await
    }

    /// A launch with terms of its own, stored.
    pub(crate) async fn launch_with(&self, change: impl FnOnce(&mut Terms)) -> Launch {
        let mut launch = launch(self.launches.fetch_add(1, Ordering::SeqCst), None);
        change(&mut launch.terms);
        self.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        launch
    }

    /// A launch, and a stack deployed from it.
    pub(crate) async fn stack(&self, uuid: &str) -> Stack {
        Stack::new(&self.launch(None).await, uuid, &self.sts.url)
    }

    pub(crate) fn set_clock(&self, now: OffsetDateTime) {
        self.clock.store(now.unix_timestamp(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.console.clock)()
    }

    /// A notice through the router: status and body.
    pub(crate) async fn post(&self, request: Request<Body>) -> (u16, Value) {
        call(routes::public(self.console.clone()), request).await
    }

    /// A good notice `seconds` after the start, sent at that moment.
    pub(crate) async fn notify(&self, stack: &Stack, kind: &str, seconds: i64) -> (u16, Value) {
        let at = NOW + Duration::seconds(seconds);
        self.set_clock(self.now().max(at));
        self.post(stack.send(stack.event(kind, at), self.now())).await
    }

    /// A good billing status, looked up `seconds` after the start and sent at that moment.
    pub(crate) async fn notify_status(&self, stack: &Stack, state: &str, seconds: i64) -> (u16, Value) {
        let at = NOW + Duration::seconds(seconds);
        self.set_clock(self.now().max(at));
        self.post(stack.send(stack.status_event(state, at), self.now())).await
    }

    /// The connections as the operator sees them.
    pub(crate) async fn connections(&self) -> Vec<Value> {
        let (status, body) = self.operate(Request::get("/api/v1/connections?limit=1000").body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200);
        let mut connections = Vec::new();
        for listed in body["items"].as_array().unwrap() {
            let path = format!("/api/v1/connections/{}", listed["connectionId"].as_str().unwrap());
            let (status, connection) = self.operate(Request::get(path).body(Body::empty()).unwrap()).await;
            assert_eq!((status, &connection["state"]), (200, &listed["state"]));
            connections.push(connection);
        }
        connections
    }

    pub(crate) async fn operate(&self, mut request: Request<Body>) -> (u16, Value) {
        request.headers_mut().entry("host").or_insert("127.0.0.1:8444".parse().unwrap());
        call(routes::admin(self.console.clone()), request).await
    }
}

/// A notice as the console reads its body.
pub(crate) fn parse(event: &Value, now: OffsetDateTime) -> Result<Notice, Refusal> {
    Notice::parse(&Document::read(event.to_string().as_bytes())?, event["id"].as_str().unwrap_or_default(), now)
}

pub(crate) fn launch(number: usize, account: Option<&str>) -> Launch {
    let mut entropy = Entropy::from([7; size_of::<Entropy>()]);
    for part in entropy.chunks_mut(8) {
        part.copy_from_slice(&(number as u64).to_le_bytes());
    }
    Launch::new(&entropy, terms(Audience::Stack(account.map(|a| a.parse().unwrap()))), NOW, 24)
}

/// For the accounts of an organization.
pub(crate) fn rollout_launch(now: OffsetDateTime) -> Launch {
    let organization = Organization { id: "o-exampleorgid".parse().unwrap(), management_account_id: ACCOUNT.parse().unwrap() };
    Launch::new(&[9; size_of::<Entropy>()], terms(Audience::Organization(organization)), now, 24)
}

/// A launch of the one customer that most tests have.
pub(crate) fn terms(audience: Audience) -> Terms {
    Terms::new("acme".parse().unwrap(), audience)
}

#[expect(clippy::disallowed_methods, reason = "which database the tests run on")]
fn postgres() -> Option<String> {
    std::env::var("HAWSER_TEST_POSTGRES").ok()
}

/// SQLite's file of a test; or, where a server of PostgreSQL's is running for the tests, a schema that is the test's own.
pub(crate) fn database_url(directory: &tempfile::TempDir) -> String {
    let Some(server) = postgres() else {
        return format!("sqlite:{}", directory.path().join("console.db").display());
    };
    let schema = format!("test_{}", &hex::encode(Sha256::digest(directory.path().as_os_str().as_encoded_bytes()))[..16]);
    let (url, statement) = (server.clone(), format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        });
    });
    made.join().unwrap();
    format!("{server}&options=-c%20search_path%3D{schema}")
}

/// Where the keys are that a test's secrets are sealed with.
pub(crate) fn key_file(directory: &tempfile::TempDir) -> String {
    directory.path().join("console.key").display().to_string()
}

pub(crate) fn seal_keys() -> SealKeys {
    SealKeys::new(&[[7; 32]]).unwrap()
}

pub(crate) async fn open_store(directory: &tempfile::TempDir) -> Store {
    Store::open(&database_url(directory), SealKeys::open(Path::new(&key_file(directory))).unwrap()).await.unwrap()
}

/// The database itself.
pub(crate) async fn database(directory: &tempfile::TempDir) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(&database_url(directory)).await.unwrap()
}

pub(crate) async fn call(app: Router, request: Request<Body>) -> (u16, Value) {
    let answer = app.oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let media_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let expected = if parts.status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(media_type, expected, "{}", String::from_utf8_lossy(&body));
    (parts.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The last part of a problem's type.
pub(crate) fn code(body: &Value) -> &str {
    body["type"].as_str().and_then(|t| t.strip_prefix("urn:hawser:problem:")).unwrap_or_default()
}
