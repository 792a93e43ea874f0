//! The strict front: an HTTP proxy that is the handler's `AWS_ENDPOINT_URL` and hands its calls on to the emulator.
//!
//! The emulator keeps the state and decides what IAM allows. The front checks every billing, organizations, support and bucket
//! request against AWS's own service models, serves Data Exports, Organizations and Support by the rules of `hawser-account`,
//! closes the emulator's gaps by the run's [`Scenario`], takes the answers of custom resources as S3 and CloudFormation would, and keeps the record of calls that tests
//! assert on.
//!
//! Read [`scenario`] first, then [`shared`], this file, [`billing`] and `delivery`, `exports`, `support`, `organizations`,
//! `s3`, [`upload`], [`model`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use hawser_account::bucket_policy;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;

/// What the console's calls to AWS have in their user agent.
pub(crate) const CONSOLE_APP_ID: &str = "hawser-console";

pub mod billing;
pub mod calls;
pub mod delivery;
mod exports;
pub mod model;
mod organizations;
mod paging;
mod refusal;
mod s3;
pub mod scenario;
pub mod shared;
mod support;
pub mod upload;
mod wire;

use crate::faults::{self, Faults};
use crate::serve::{Ending, Peer, serve};
use calls::{Call, CallLog, Upload, lock};
use model::Model;
use refusal::{refused, written};
use scenario::Scenario;
use shared::{AwsCall, Shared, is_served_in};
use wire::{Answer, AwsError, Request, Scope, respond_json};

/// What the front needs to know before it serves.
#[derive(Debug)]
pub struct Settings {
    /// `http://127.0.0.1:<port>` of the emulator.
    pub emulator: String,
    /// The interpreter that has the emulator's policy evaluator.
    pub python: PathBuf,
    /// botocore's folder.
    pub botocore: PathBuf,
    /// Signs response URLs; shared with the emulator's start script.
    pub response_key: String,
    /// The circumstances of the run.
    pub scenario: Scenario,
}

/// A running front. Dropping it stops it.
#[derive(Debug)]
pub struct StrictProxy {
    shared: Arc<Shared>,
    url: String,
    serving: tokio::task::JoinHandle<()>,
}

impl StrictProxy {
    /// Serves on a listener that is bound already, because the emulator has to know the front's address at its own start.
    pub fn serve(listener: TcpListener, settings: Settings) -> anyhow::Result<Self> {
        let mut models = BTreeMap::new();
        for service in ["bcm-data-exports", "cur", "organizations", "s3", "support"] {
            models.insert(service, Model::load(&settings.botocore, service)?);
        }
        let url = format!("http://{}", listener.local_addr()?);
        let faults = Faults::default();
        faults.set(&settings.scenario);
        let shared = Arc::new(Shared {
            emulator: settings.emulator,
            python: settings.python,
            response_key: settings.response_key,
            models,
            scenario: Mutex::new(settings.scenario),
            faults,
            log: CallLog::default(),
            uploads: Mutex::default(),
            secrets: Mutex::default(),
            accounts: Mutex::default(),
            services: Mutex::default(),
            client: crate::account::http_client(),
        });
        let serving = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, url, serving })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The record of calls.
    pub fn calls(&self) -> &CallLog {
        &self.shared.log
    }

    /// Everything that came to a response URL so far.
    pub fn uploads(&self) -> Vec<Upload> {
        lock(&self.shared.uploads).clone()
    }

    /// The Data Exports of an account, as only the front knows them: ARN, name, definition, tags.
    pub fn exports(&self, account: &str) -> Vec<Value> {
        exports::shown(&self.shared, account)
    }

    /// Gives an account an export that it had before, without any check; its ARN.
    pub fn put_export(&self, account: &str, definition: Value) -> String {
        exports::put(&self.shared, account, &definition)
    }

    /// The support cases that an account opened in this run.
    pub fn cases(&self, account: &str) -> Vec<Value> {
        support::shown(&self.shared, account)
    }

    /// Forgets them, as AWS Support does after twelve months.
    pub fn forget_cases(&self, account: &str) {
        self.shared.services(account, |services| services.state.cases.clear());
    }

    /// Changes the circumstances from the next request on.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.shared.faults.set(&scenario);
        *lock(&self.shared.scenario) = scenario;
    }

    /// Session tokens and signatures that went through. They are kept for one purpose: to look for them in what was printed.
    pub fn secrets(&self) -> Vec<String> {
        lock(&self.shared.secrets).iter().cloned().collect()
    }

    /// A response URL for an event that a test sends itself.
    pub fn response_url(&self, stack_id: &str, logical_id: &str, request_id: &str, expires: Duration) -> anyhow::Result<String> {
        let ids = [stack_id, logical_id, request_id];
        upload::presign(&self.shared.response_key, &self.url, ids, OffsetDateTime::now_utc(), expires)
    }
}

impl Drop for StrictProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(serve(stream, move |peer, request| serve_one(Arc::clone(&shared), peer, request)));
    }
}

async fn serve_one(shared: Arc<Shared>, peer: Peer, request: http::Request<Incoming>) -> Result<Answer, Ending> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Ending::Close)?.to_bytes();
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    shared.remember_secrets(&request);
    if request.path == "/_front/calls" {
        return Ok(respond_json(&json!(shared.log.all())));
    }
    if request.path.starts_with(upload::BUCKET) {
        return upload::receive(shared, peer, request).await;
    }
    // The handler opens its connections before it needs them; that is no call of AWS's.
    if request.method == http::Method::HEAD && request.path == "/" {
        return Ok(shared.forward(&request).await);
    }
    shared.call(peer, request).await
}

/// Whether the vendor's console makes it, as itself or in a role that it assumed.
fn is_of_console(request: &Request) -> bool {
    let agent = request.header("user-agent");
    agent.contains(&format!("app/{CONSOLE_APP_ID}")) || agent.starts_with("hawser-console/")
}

impl Shared {
    /// One AWS call, logged.
    async fn call(self: Arc<Self>, peer: Peer, request: Request) -> Result<Answer, Ending> {
        let started = self.log.now();
        let scope = Scope::of(&request);
        let account = self.account_of(&scope.access_key).await;
        let aws_call = self.parse_call(&request, &scope, &account);
        let (operation, parameters) = match &aws_call {
            Ok(Some(aws_call)) => (aws_call.operation.clone(), aws_call.input.clone()),
            _ => (wire::operation_name(&request, &scope.service), Value::Null),
        };
        let mut call = Call {
            service: scope.service,
            operation,
            region: scope.region,
            principal: match () {
                () if is_of_console(&request) => "vendor",
                () if scope.access_key == account => "root",
                () => "role",
            },
            account,
            status: 0,
            error: None,
            misfit: aws_call.as_ref().err().map(|error| format!("{}: {}", error.code, error.message)),
            fault: None,
            parameters,
            started_ms: millis(started),
            ended_ms: 0,
        };
        if aws_call.is_ok() {
            if !is_served_in(&call.service, &call.region) {
                // As when the name of the endpoint does not exist.
                self.log.push(Call { error: Some("EndpointDoesNotExist".to_owned()), ended_ms: millis(self.log.now()), ..call });
                return Err(Ending::Close);
            }
            call.fault = self.faults.next(&call.service, &call.operation);
        }
        let fault = call.fault.clone();
        let model = self.models.get(call.service.as_str());
        let refuse = |refusal| written(&call.service, &refused(model, &call.service, &call.operation, &refusal));
        if let Some(instead) = faults::before(fault.as_ref(), peer, refuse).await {
            return match instead {
                Ok(answer) => Ok(self.logged(call, answer).await),
                Err(ending) => {
                    self.log.push(Call { ended_ms: millis(self.log.now()), ..call });
                    Err(ending)
                }
            };
        }
        // In a task of its own: what has begun is finished, and logged, even when the client goes.
        let made = tokio::spawn(async move {
            let answer = match aws_call {
                Ok(Some(aws_call)) => self.handle_strictly(&request, &aws_call).await,
                // The emulator would take it for S3, and answer as if it knew.
                Ok(None) if call.service == "s3-control" => {
                    written(&call.service, &AwsError::new(501, "NotImplemented", "Amazon S3 Control is not emulated"))
                }
                Ok(None) => self.forward(&request).await,
                Err(error) => written(&call.service, &error),
            };
            self.logged(call, answer).await
        });
        faults::after(fault.as_ref(), peer, made.await.map_err(|_| Ending::Close)?).await
    }

    /// Writes a call down with its answer.
    async fn logged(&self, call: Call, answer: Answer) -> Answer {
        let (status, error, answer) = look_at(answer).await;
        self.log.push(Call { status, error, ended_ms: millis(self.log.now()), ..call });
        answer
    }

    /// The members of a request of a validated service; nothing for all other services.
    fn parse_call(&self, request: &Request, scope: &Scope, account: &str) -> Result<Option<AwsCall>, AwsError> {
        let Some(model) = self.models.get(scope.service.as_str()) else { return Ok(None) };
        let aws_call = |operation: String, input: Value| AwsCall {
            service: scope.service.clone(),
            operation,
            account: account.to_owned(),
            input,
        };
        if scope.service == "s3" {
            if s3::bucket(request).is_none() || (s3::names_object(request) && !s3::reads(request)) {
                return Ok(None);
            }
            let operation = s3::operation(model, request)
                .ok_or_else(|| AwsError::new(405, "MethodNotAllowed", "no operation of S3 is asked for like this"))?;
            let input = s3::input(model, &operation, request)?;
            let mut violations = model.check(&operation, &input);
            violations.retain(|violation| !s3::judged_later(violation, &scope.region));
            if !violations.is_empty() {
                return Err(s3::refusal(&violations, s3::payload(model, &operation), &input));
            }
            if let Some(error) = s3::checksum_missing(model, &operation, request) {
                return Err(error);
            }
            return Ok(Some(aws_call(operation, input)));
        }
        let target = request.header("x-amz-target");
        let (prefix, operation) = target.rsplit_once('.').unwrap_or_default();
        if !model.serves(prefix) || model.operation(operation).is_none() {
            return Err(AwsError::new(400, "UnknownOperationException", format!("`{target}` is not an operation")));
        }
        let input: Value = serde_json::from_slice(&request.body)
            .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))?;
        let violations = model.check(operation, &input);
        if !violations.is_empty() {
            return Err(AwsError::new(400, "ValidationException", model::sentence(&violations)));
        }
        Ok(Some(aws_call(operation.to_owned(), input)))
    }

    /// A request of a validated service: AWS's own checks, the emulator, and AWS's view of its answer.
    async fn handle_strictly(&self, request: &Request, aws_call: &AwsCall) -> Answer {
        tokio::time::sleep(Duration::from_millis(self.scenario().latency_ms)).await;
        let checked =
            if aws_call.service == "s3" { self.check_bucket(aws_call).await } else { billing::before(self, aws_call).await };
        if let Err(error) = checked {
            return written(&aws_call.service, &error);
        }
        let answer = self.forward(request).await;
        if aws_call.service == "s3" || !answer.status().is_success() {
            return answer;
        }
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_or_else(|never: Infallible| match never {}, |body| body.to_bytes());
        let value = serde_json::from_slice(&body).unwrap_or_default();
        // IAM has let the call through.
        let instead = match aws_call.service.as_str() {
            "bcm-data-exports" => exports::answer(self, aws_call).await.map(Some),
            "organizations" => organizations::answer(self, aws_call),
            "support" => support::answer(self, aws_call).map(Some),
            _ => billing::after(self, aws_call, &value).await,
        };
        match instead {
            Ok(Some(answer)) => respond_json(&answer),
            Ok(None) => Response::from_parts(parts, Full::new(body)),
            Err(error) => written(&aws_call.service, &error),
        }
    }

    /// S3's checks that the emulator leaves out.
    async fn check_bucket(&self, aws_call: &AwsCall) -> Result<(), AwsError> {
        let bucket = aws_call.text("Bucket");
        if let Some(expected) = aws_call.input["ExpectedBucketOwner"].as_str() {
            let exists = self.owned_by(&aws_call.account, bucket).await;
            if exists.is_some() && self.owned_by(expected, bucket).await != Some(true) {
                return Err(AwsError::new(403, "AccessDenied", "Access Denied"));
            }
        }
        if aws_call.operation == "PutBucketPolicy"
            && let Some(refusal) = bucket_policy::malformed(aws_call.text("Policy"), bucket)
        {
            return Err(AwsError::new(400, refusal.code, refusal.message));
        }
        Ok(())
    }
}

/// Status and error code of an answer, for the log.
async fn look_at(answer: Answer) -> (u16, Option<String>, Answer) {
    let status = answer.status();
    if status.is_success() {
        return (status.as_u16(), None, answer);
    }
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_or_else(|never: Infallible| match never {}, |body| body.to_bytes());
    let code = wire::error_code(&parts.headers, &body);
    (status.as_u16(), code, Response::from_parts(parts, Full::new(body)))
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// A listener on a free loopback port.
pub async fn listen() -> anyhow::Result<TcpListener> {
    listen_at(Ipv4Addr::LOCALHOST.into()).await
}

/// A listener on a free port of an address of this machine.
pub(crate) async fn listen_at(host: IpAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, 0)).await.with_context(|| format!("could not bind a port of {host}"))
}
