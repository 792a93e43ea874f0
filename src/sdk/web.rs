//! The one HTTP client: for the vendor, for the response upload, and lent to the AWS SDK.
//!
//! One TLS stack and one pool of connections for all three means that roots are parsed once and connections are
//! reused across services. Redirects are never followed: a notice or a signed request must not travel on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Client, Method, header, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::Instant;
use url::Url;

use crate::{
    aws::OBJECT_BYTES_MAX,
    ports::{Mailbox, NoResponse, VENDOR_BODY_BYTES_MAX, Vendor, VendorResponse},
};

/// A connection that is not there in this time will not be: AWS's and vendors' endpoints answer in tens of
/// milliseconds, and a retry needs the time more.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Shorter than the idle time-outs of AWS's endpoints, so that a pooled connection is not one that was just closed: S3 has been seen to
/// close after ten seconds and not after five (awslabs/aws-sdk-kotlin issue 1214). AWS documents none (B-24).
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// Longer than an endpoint needs to answer a request that only opens a connection; nothing waits for it.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// HTTP over rustls with ring.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client,
    /// When connections to a host were last opened ahead of need.
    opened: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Web {
    /// A client that trusts the system's roots, or those `SSL_CERT_FILE` names (`rustls-native-certs`).
    ///
    /// A system without roots is no failure here: every request will then say what is wrong, and the handler lives to
    /// answer.
    ///
    /// # Errors
    /// The words of the TLS library if it cannot be set up at all.
    pub fn new() -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_LIMIT)
            .tcp_nodelay(true)
            .build()
            .map_err(|why| chain(&why))?;
        Ok(Self { client, opened: Arc::default() })
    }

    /// The same client for the AWS SDK.
    pub fn for_aws(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.client.clone()));
        http_client_fn(move |_, _| connector.clone())
    }

    /// Opens connections to a host ahead of need, beside whatever else is done: with 60 ms for each, a call that finds one is faster by
    /// that much. Nothing waits for them, and one that cannot be opened, or that the endpoint closes again (B-19), costs nothing.
    ///
    /// An HTTP client opens one for a request only: an unsigned `HEAD /`, whose answer is not looked at.
    pub(super) fn open_connections(&self, url: &Url, count: usize) {
        let host = url.origin().ascii_serialization();
        let Ok(url) = Url::parse(&host) else { return };
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.get(&host).is_some_and(|at| at.elapsed() < IDLE_LIMIT) {
            return;
        }
        opened.insert(host, Instant::now());
        for _ in 0..count {
            let request = self.client.head(url.clone()).timeout(OPEN_LIMIT);
            tokio::spawn(async move {
                let _ = request.send().await;
            });
        }
    }
}

#[async_trait]
impl Vendor for Web {
    async fn post(
        &self,
        url: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        self.send(url, headers.iter().map(|(name, value)| (*name, value.as_str())), body, limit).await
    }

    fn open_connection(&self, url: &Url) {
        self.open_connections(url, 1);
    }
}

impl Web {
    /// [`Vendor::post`], to whomever.
    pub(super) async fn send<'a>(
        &self,
        url: &Url,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        body: &str,
        limit: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        let request = self.client.post(url.clone()).timeout(limit).body(body.to_owned());
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let mut response = request.send().await.map_err(|why| no_response(&why))?;
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        // Reads no more than is looked at: a vendor's endless answer ends here, not in the function's memory.
        while body.len() < VENDOR_BODY_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // The status has arrived, and it decides.
                Err(_) => break,
            }
        }
        body.truncate(VENDOR_BODY_BYTES_MAX);
        Ok(VendorResponse { status: response.status().as_u16(), retry_after, body })
    }
}

/// `Retry-After` (RFC 9110): seconds, or a date, which counts from the answer's own `Date`, so that no two clocks have to agree.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok();
    let asked_for = text(header::RETRY_AFTER)?;
    let seconds = || asked_for.parse().ok().map(Duration::from_secs);
    seconds().or_else(|| Duration::try_from(date(asked_for)? - date(text(header::DATE)?)?).ok())
}

#[async_trait]
impl Mailbox for Web {
    async fn put(&self, url: &Url, body: &[u8], limit: Duration) -> Result<u16, NoResponse> {
        // An empty Content-Type is right for every generation of presigned URL; any other breaks the older ones.
        let request = self.client.put(url.clone()).timeout(limit).header(header::CONTENT_TYPE, "").body(body.to_vec());
        request.send().await.map(|response| response.status().as_u16()).map_err(|why| no_response(&why))
    }

    fn open_connection(&self, url: &Url) {
        self.open_connections(url, 1);
    }
}

/// The words of a transport error without its URL, which may be a capability (F-8).
fn no_response(why: &reqwest::Error) -> NoResponse {
    if let Some(refused) = certificate_refused(why) {
        return NoResponse::Untrusted(refused.to_string());
    }
    let what = if why.is_timeout() {
        "no answer in time"
    } else if why.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    let cause = std::error::Error::source(why).map(chain).unwrap_or_default();
    NoResponse::Failed(if cause.is_empty() { what.to_owned() } else { format!("{what}: {cause}") })
}

/// Why the other side's certificate does not verify, if that is the cause.
fn certificate_refused(why: &reqwest::Error) -> Option<&rustls::Error> {
    let mut causes = std::iter::successors(Some(why as &(dyn std::error::Error + 'static)), |error| {
        // What an I/O error carries is not among its sources.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        carried.map(|carried| carried as &(dyn std::error::Error + 'static)).or_else(|| error.source())
    });
    let is_refusal =
        |tls: &&rustls::Error| matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    causes.find_map(|error| error.downcast_ref().filter(is_refusal))
}

/// An error and its causes; reqwest's own first line repeats the URL, so it starts from the first cause.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> = causes.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// reqwest as the SDK's connector. Time-outs of whole calls stay the SDK's.
#[derive(Debug)]
struct Connector(Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |why: &'static str| ConnectorError::user(why.into());
    let request = request.try_into_http1x().map_err(|why| ConnectorError::user(why.into()))?;
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|why| ConnectorError::user(why.into()))?;
    let method = Method::from_bytes(parts.method.as_str().as_bytes()).map_err(|why| ConnectorError::user(why.into()))?;
    let body = body.bytes().ok_or_else(|| user("a streaming request body"))?.to_vec();
    let response = client.request(method, url).headers(parts.headers).body(body).send().await.map_err(transport)?;
    let status = StatusCode::try_from(response.status().as_u16()).map_err(|why| ConnectorError::other(why.into(), None))?;
    let headers = response.headers().clone();
    let body = read(response).await?;
    let mut answer = HttpResponse::new(status, SdkBody::from(body));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            answer.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(answer)
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, ConnectorError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > OBJECT_BYTES_MAX {
            return Err(ConnectorError::other("an answer that is too large".into(), None));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn transport(why: reqwest::Error) -> ConnectorError {
    if why.is_timeout() { ConnectorError::timeout(why.into()) } else { ConnectorError::io(why.into()) }
}
