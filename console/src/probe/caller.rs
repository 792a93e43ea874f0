//! AWS with the session of a customer's role: signs a probe's request and sends it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use http::{HeaderName, HeaderValue, Method, header};
use time::OffsetDateTime;
use url::Url;

use super::{answer::Answer, request::Request};

/// Longer than for STS: nobody waits for it, and some of these calls list.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest page that is asked for lists 20 databases.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// By which, beside the session's name, a customer finds the call in CloudTrail.
const USER_AGENT: &str = concat!("hawser-console/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer: no part of the request or of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer(pub &'static str);

/// The port: AWS, with the session of a customer's role.
#[async_trait]
pub trait Aws: Send + Sync {
    /// Signs and sends one request, once.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn call(&self, request: &Request) -> Result<Answer, NoAnswer>;
}

/// A session and the way to AWS.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    credentials: Credentials,
    endpoint: Option<Url>,
    clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
}

impl Caller {
    /// With the keys that `AssumeRole` gave, through the console's one client ([`crate::sts::client`]), which follows no redirect. Whoever
    /// answers in place of AWS at `endpoint` (`AWS_ENDPOINT_URL`) gets every call.
    pub fn new(
        http: reqwest::Client,
        credentials: Credentials,
        endpoint: Option<Url>,
        clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    ) -> Self {
        Self { http, credentials, endpoint, clock }
    }

    fn url(&self, request: &Request) -> Result<Url, NoAnswer> {
        let wrong = |_| NoAnswer("the address is not a URL");
        let mut url = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&format!("https://{}/", request.host)).map_err(wrong)?,
        };
        url.set_path(&request.path);
        url.set_query(Some(request.query.as_str()).filter(|query| !query.is_empty()));
        Ok(url)
    }

    fn signed(&self, request: &Request, url: &Url) -> Option<Vec<(String, String)>> {
        let mut settings = SigningSettings::default();
        if request.signing_name == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&request.region)
            .name(&request.signing_name)
            .time((self.clock)().into())
            .settings(settings)
            .build()
            .ok()?;
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let signable =
            SignableRequest::new(&request.method, url.as_str(), headers, SignableBody::Bytes(request.body.as_bytes())).ok()?;
        let (instructions, _) = sign(signable, &parameters.into()).ok()?.into_parts();
        let (added, _) = instructions.into_parts();
        Some(added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect())
    }
}

#[async_trait]
impl Aws for Caller {
    async fn call(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let url = self.url(request)?;
        let signed = self.signed(request, &url).ok_or(NoAnswer("the request could not be signed"))?;
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| NoAnswer("the request has no method"))?;
        let mut sent = self.http.request(method, url).timeout(TIMEOUT).body(request.body.clone());
        sent = sent.header(header::USER_AGENT, USER_AGENT);
        for (name, value) in request.headers.iter().chain(signed.iter().map(|(name, value)| (name, value))) {
            let unfit = NoAnswer("a header is not plain text");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit)?;
            let mut value = HeaderValue::from_str(value).map_err(|_| unfit)?;
            value.set_sensitive(true);
            sent = sent.header(name, value);
        }
        let mut answer = sent.send().await.map_err(|error| no_answer(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| no_answer(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer("the answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
    }
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    match error {
        error if error.is_timeout() => NoAnswer("timeout"),
        error if error.is_connect() => NoAnswer("no connection"),
        _ => NoAnswer("the connection broke"),
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
