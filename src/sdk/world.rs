//! The real world, assembled: clients, the signer and the clock of a Lambda function.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_types::SdkConfig;
use time::OffsetDateTime;
use url::form_urlencoded::byte_serialize;

use super::{
    clients::{Clients, sdk_retry_config},
    web::Web,
};
use crate::{
    aws::{Aws, Cloud, Fault, StackDescription, StackResource, Stacks, Tags},
    error::{Code, Failure},
    identity::{Identity, IdentityToken, NoToken, Proof, ProofRequest},
    names::{Partition, Region, StackId, one_line},
    ports::{Clock, NoProgress, Ports},
};

/// Where the template tells the function which stack it belongs to.
pub const STACK_ID_VARIABLE: &str = "HAWSER_STACK_ID";

/// The form body of `sts:GetCallerIdentity`.
const CALLER_IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// The form body of `sts:GetWebIdentityToken`, but for the audience and the tag's value. The role's policy allows nothing else.
const WEB_IDENTITY_TOKEN: &str = "Action=GetWebIdentityToken&Version=2011-06-15&SigningAlgorithm=ES384&DurationSeconds=300\
    &Tags.member.1.Key=hawser-event-sha256";

/// STS answers in some 100 ms. A customer waits for the stack, and without a token the notice has another proof.
const TOKEN_LIMIT: Duration = Duration::from_secs(3);
/// See [`TOKEN_LIMIT`].
const TOKEN_TRIES: usize = 2;

/// Everything outside, for the life of one execution environment.
#[derive(Debug)]
pub struct LivePorts {
    web: Web,
    cloud: RealCloud,
    signer: Signer,
    clock: SystemClock,
}

impl LivePorts {
    /// Builds clients from AWS's standard environment, as it is in a Lambda function. Nothing is sent.
    ///
    /// # Errors
    /// The words of the TLS library.
    pub async fn from_env() -> Result<Self, String> {
        let web = Web::new()?;
        let (retries, limits) = sdk_retry_config();
        let region = aws_types::region::Region::new(own_region());
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .region(region)
            .http_client(web.for_aws())
            .retry_config(retries)
            .timeout_config(limits)
            .load()
            .await;
        let mut world = Self::of(web, config);
        world.cloud.own_stack = variable(STACK_ID_VARIABLE).and_then(|stack| stack.parse().ok());
        if let Some(billing) = Partition::of_region(&own_region()).billing_region() {
            world.cloud.at(&billing);
        }
        Ok(world)
    }

    /// The world of whoever the configuration has credentials of.
    pub fn of(web: Web, config: SdkConfig) -> Self {
        let signer = Signer { web: web.clone(), credentials: config.credentials_provider() };
        let cloud = RealCloud { own_stack: None, web: web.clone(), config, clients: Mutex::default() };
        Self { cloud, web, signer, clock: SystemClock }
    }

    /// The world as the handler sees it.
    pub fn ports(&self) -> Ports<'_> {
        Ports {
            cloud: &self.cloud,
            stacks: &self.cloud,
            identity: &self.signer,
            vendor: &self.web,
            mailbox: &self.web,
            clock: &self.clock,
            progress: &NoProgress,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "AWS's standard environment is read here and nowhere else")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn own_region() -> String {
    variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned())
}

/// A service's endpoint where the environment names one (AWS SDKs and Tools Reference, "Service-specific endpoints").
fn endpoint(service_variable: &str) -> Option<String> {
    variable(service_variable).or_else(|| variable("AWS_ENDPOINT_URL"))
}

#[derive(Debug)]
struct RealCloud {
    web: Web,
    own_stack: Option<StackId>,
    config: SdkConfig,
    clients: Mutex<BTreeMap<Region, Arc<Clients>>>,
}

impl RealCloud {
    fn clients(&self, region: &Region) -> Arc<Clients> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clients.entry(region.clone()).or_insert_with(|| Arc::new(Clients::new(&self.config, region))))
    }
}

impl Cloud for RealCloud {
    fn at(&self, region: &Region) -> Arc<dyn Aws> {
        self.clients(region)
    }

    fn open_bucket_connections(&self, region: &Region, count: usize) {
        let own = || format!("https://s3.{region}.{}", Partition::of_region(region.as_str()).dns_suffix());
        if let Ok(url) = url::Url::parse(&endpoint("AWS_ENDPOINT_URL_S3").unwrap_or_else(own)) {
            self.web.open_connections(&url, count);
        }
    }
}

#[async_trait]
impl Stacks for RealCloud {
    fn own(&self) -> Option<&StackId> {
        self.own_stack.as_ref()
    }

    async fn stack(&self, stack: &StackId) -> Result<StackDescription, Fault> {
        self.clients(&stack.region).stack(stack).await
    }

    async fn stack_tags(&self, stack: &StackId) -> Result<Tags, Fault> {
        self.clients(&stack.region).stack_tags(stack).await
    }

    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        self.clients(&stack.region).stack_resource(stack, logical_id).await
    }
}

/// Signs with the credentials that the calls are made with: in Lambda, the function's own.
#[derive(Debug)]
struct Signer {
    web: Web,
    credentials: Option<SharedCredentialsProvider>,
}

impl Signer {
    /// A signed request to STS, with these headers beside those that every one has.
    async fn sign(
        &self,
        request: &ProofRequest,
        body: String,
        more: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Proof, String> {
        let provider = self.credentials.as_ref().ok_or("there are no credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|why| why.to_string())?;
        let own = || format!("https://sts.{}.{}/", request.region, request.partition.dns_suffix());
        let mut url = endpoint("AWS_ENDPOINT_URL_STS").unwrap_or_else(own);
        if !url.ends_with('/') {
            url.push('/');
        }
        let parsed = url::Url::parse(&url).map_err(|why| why.to_string())?;
        let host = parsed.host_str().unwrap_or_default();
        let host = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = BTreeMap::from([
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ("host".to_owned(), host),
        ]);
        headers.extend(more);
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(request.region.as_str())
            .name("sts")
            .time(request.now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|why| why.to_string())?;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable =
            SignableRequest::new("POST", &url, pairs, SignableBody::Bytes(body.as_bytes())).map_err(|why| why.to_string())?;
        let signed = sign(signable, &parameters.into()).map_err(|why| why.to_string())?;
        let (added, _) = signed.into_parts();
        let (added, _) = added.into_parts();
        headers.extend(added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())));
        Ok(Proof { method: "POST".to_owned(), url, headers, body })
    }
}

#[async_trait]
impl Identity for Signer {
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure> {
        let binding = [
            ("x-hawser-audience".to_owned(), request.audience.clone()),
            ("x-hawser-event-sha256".to_owned(), request.event_sha256.clone()),
        ];
        self.sign(request, CALLER_IDENTITY.to_owned(), binding)
            .await
            .map_err(|why| Failure::new(Code::CredentialsMissing, format!("the proof of identity could not be signed: {why}")))
    }

    async fn token(&self, request: &ProofRequest) -> Result<IdentityToken, NoToken> {
        let audience: String = byte_serialize(request.audience.as_bytes()).collect();
        let body = format!("{WEB_IDENTITY_TOKEN}&Audience.member.1={audience}&Tags.member.1.Value={}", request.event_sha256);
        let signed = self.sign(request, body, []).await.map_err(NoToken)?;
        let url = url::Url::parse(&signed.url).map_err(|why| NoToken(why.to_string()))?;
        let mut last = String::new();
        for _ in 0..TOKEN_TRIES {
            let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let answer = match self.web.send(&url, headers, &signed.body, TOKEN_LIMIT).await {
                Ok(answer) => answer,
                Err(why) => {
                    last = why.to_string();
                    continue;
                }
            };
            let xml = String::from_utf8_lossy(&answer.body);
            if let Some(token) = IdentityToken::in_answer(&xml).filter(|_| answer.status == 200) {
                return Ok(token);
            }
            let code = xml.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
            last = one_line(&format!("it answered {} `{code}`", answer.status));
            if answer.status < 500 && answer.status != 429 {
                break;
            }
        }
        Err(NoToken(last))
    }
}

#[derive(Debug)]
struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
