//! One account of the emulator, seen as its root or as a session: the clients that the stack driver, the front's own look-ups
//! and the tests use.

use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningInstructions, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// MiniStack takes a twelve-digit access key id as the root of that account, and this as its secret.
pub const ROOT_SECRET: &str = "test";

/// Credentials in one account, at one endpoint, in one Region.
#[derive(Clone, Debug)]
pub struct Account {
    id: String,
    region: String,
    endpoint: String,
    credentials: Credentials,
}

impl Account {
    /// The root of account `id`.
    pub fn root(endpoint: &str, id: &str, region: &str) -> Self {
        Self::with(endpoint, id, region, Credentials::new(id, ROOT_SECRET, None, None, "emulator root"))
    }

    /// A session in account `id`, for example the answer of AssumeRole.
    pub fn with(endpoint: &str, id: &str, region: &str, credentials: Credentials) -> Self {
        Self { id: id.to_owned(), region: region.to_owned(), endpoint: endpoint.to_owned(), credentials }
    }

    /// The same credentials in another Region.
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The account id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The Region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where its requests go.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }

    /// Amazon S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config())
    }

    /// The cost and usage report service.
    pub fn reports(&self) -> aws_sdk_costandusagereport::Client {
        aws_sdk_costandusagereport::Client::new(&self.config())
    }

    /// CloudFormation.
    pub fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config())
    }

    /// The security token service.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config())
    }

    /// A request signed by hand: for the services of which one call is needed, and for calls that an SDK would not make.
    pub async fn raw(
        &self,
        service: &str,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(u16, Bytes)> {
        let body = body.into();
        let url = format!("{}{path_and_query}", self.endpoint);
        let instructions = self.sign(service, method, &url, headers, &body)?;
        let mut request = http::Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::new(body))?;
        instructions.apply_to_request_http1x(&mut request);
        let answer = http_client().request(request).await.context("the emulator did not answer")?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// The headers by which a request is signed, for somebody else to send it.
    pub fn signature(
        &self,
        service: &str,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Vec<(String, String)>> {
        let instructions = self.sign(service, method, url, headers, body)?;
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn sign(
        &self,
        service: &str,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<SigningInstructions> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body))?;
        Ok(sign(signable, &params)?.into_parts().0)
    }

    /// One operation of a service that speaks AWS JSON.
    pub async fn json(&self, service: &str, target: &str, input: &serde_json::Value) -> anyhow::Result<(u16, serde_json::Value)> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let (status, body) = self.raw(service, "POST", "/", &headers, input.to_string()).await?;
        let value =
            serde_json::from_slice(&body).map_err(|error| anyhow!("`{target}` answered {status} and no JSON: {error}"))?;
        Ok((status, value))
    }
}

/// A plain client for loopback addresses.
pub(crate) fn http_client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}
