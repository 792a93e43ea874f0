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

use super::{
    clients::{Clients, sdk_retry_config},
    web::Web,
};
use crate::{
    aws::{Aws, Cloud, Fault, StackDescription, StackResource, Stacks, Tags},
    error::{Code, Failure},
    identity::{Identity, Proof, ProofRequest},
    names::{Partition, Region, StackId},
    ports::{Clock, NoProgress, Ports},
};

/// Where the template tells the function which stack it belongs to.
pub const STACK_ID_VARIABLE: &str = "HAWSER_STACK_ID";

/// The form body of `sts:GetCallerIdentity`.
const CALLER_IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

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
        let signer = Signer { credentials: config.credentials_provider() };
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
    credentials: Option<SharedCredentialsProvider>,
}

#[async_trait]
impl Identity for Signer {
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure> {
        let missing =
            |why: String| Failure::new(Code::CredentialsMissing, format!("the proof of identity could not be signed: {why}"));
        let provider = self.credentials.as_ref().ok_or_else(|| missing("there are none".to_owned()))?;
        let credentials = provider.provide_credentials().await.map_err(|why| missing(why.to_string()))?;
        let own = || format!("https://sts.{}.{}/", request.region, request.partition.dns_suffix());
        let mut url = endpoint("AWS_ENDPOINT_URL_STS").unwrap_or_else(own);
        if !url.ends_with('/') {
            url.push('/');
        }
        let parsed = url::Url::parse(&url).map_err(|why| missing(why.to_string()))?;
        let host = parsed.host_str().unwrap_or_default();
        let host = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = BTreeMap::from([
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ("host".to_owned(), host),
            ("x-hawser-audience".to_owned(), request.audience.clone()),
            ("x-hawser-event-sha256".to_owned(), request.event_sha256.clone()),
        ]);
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(request.region.as_str())
            .name("sts")
            .time(request.now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|why| missing(why.to_string()))?;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new("POST", &url, pairs, SignableBody::Bytes(CALLER_IDENTITY.as_bytes()))
            .map_err(|why| missing(why.to_string()))?;
        let signed = sign(signable, &parameters.into()).map_err(|why| missing(why.to_string()))?;
        let (added, _) = signed.into_parts();
        let (added, _) = added.into_parts();
        headers.extend(added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())));
        Ok(Proof { method: "POST".to_owned(), url, headers, body: CALLER_IDENTITY.to_owned() })
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
