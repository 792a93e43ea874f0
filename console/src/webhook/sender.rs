//! One HTTP request to an endpoint.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{
    HeaderValue,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use reqwest::{Client, ClientBuilder, Proxy, redirect};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use super::{
    attempt::{EXCERPT_BYTES_MAX, FailureKind, Outcome, printable},
    egress::{self, Egress, Guard, Lookup, SystemLookup},
    endpoint_url::{EndpointUrl, Reach},
    schedule,
};

/// The name is resolved and the connection is made within it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A receiver that works before it answers would be slow for others too; Standard Webhooks advises 15 to 30 seconds.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// The status decides; for the text beside it nobody waits longer.
pub const EXCERPT_TIMEOUT: Duration = Duration::from_secs(2);

const USER_AGENT: &str = concat!("hawser-console/", env!("CARGO_PKG_VERSION"));

/// What is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub url: EndpointUrl,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`: now.
    pub timestamp: OffsetDateTime,
    /// `webhook-signature`.
    pub signatures: String,
    pub body: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub duration: Duration,
    /// The beginning of the response's body, printable.
    pub excerpt: String,
}

/// The port: an endpoint.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Posts once.
    async fn send(&self, request: Request) -> Answer;
}

/// Over HTTP.
pub struct HttpSender {
    client: Client,
    reach: Reach,
}

/// Why there is no sender.
#[derive(Debug, thiserror::Error)]
pub enum SenderRefused {
    /// It is not shown: it may hold a password.
    #[error("the URL of the egress proxy is none that HTTP requests can go through")]
    Proxy,
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
}

impl HttpSender {
    /// Trusts the system's certificate authorities, or those in `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// See [`SenderRefused`].
    pub fn new(egress: &Egress) -> Result<Self, SenderRefused> {
        Self::through(Client::builder(), egress, Arc::new(SystemLookup))
    }

    /// With further certificate authorities and a DNS of the caller's.
    ///
    /// # Errors
    /// See [`SenderRefused`].
    pub fn through(client: ClientBuilder, egress: &Egress, lookup: Arc<dyn Lookup>) -> Result<Self, SenderRefused> {
        // Fails when one was installed before: then that one is used, and it can only be ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = egress.reach();
        // The environment's proxy is not asked: it would see the addresses instead of us.
        let client = client.no_proxy();
        let client = match egress {
            Egress::Direct { .. } => client.dns_resolver(Arc::new(Guard::new(lookup, reach))),
            Egress::Proxy(url) => client.proxy(Proxy::all(url.expose()).map_err(|_| SenderRefused::Proxy)?),
        };
        let client = client
            // A redirect could lead into our own network, and the receiver can give its own address instead.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Each attempt checks the addresses of its own time.
            .pool_max_idle_per_host(0)
            .user_agent(USER_AGENT)
            .build()
            .map_err(SenderRefused::Client)?;
        Ok(Self { client, reach })
    }

    async fn post(&self, request: Request) -> (Outcome, String) {
        let url = request.url.expose().clone();
        // The client asks its resolver about names only.
        if let Some(Err(refused)) = url.host().map(|host| self.reach.check_host(host)) {
            return (Outcome::failed(FailureKind::AddressNotPublic, &refused.to_string()), String::new());
        }
        let sent = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(HEADER_WEBHOOK_ID, request.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, request.timestamp.unix_timestamp())
            .header(HEADER_WEBHOOK_SIGNATURE, request.signatures)
            .body(request.body)
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return (self.failure(&error), String::new()),
        };
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| schedule::retry_after_seconds(text, request.timestamp));
        let outcome = Outcome::of(response.status().as_u16(), asked);
        let mut body = Vec::new();
        let read = async {
            while body.len() < EXCERPT_BYTES_MAX
                && let Ok(Some(chunk)) = response.chunk().await
            {
                body.extend_from_slice(&chunk);
            }
        };
        // Too slow, broken off or endless: what came so far is enough.
        let _ = timeout(EXCERPT_TIMEOUT, read).await;
        body.truncate(EXCERPT_BYTES_MAX);
        (outcome, printable(&body))
    }

    fn failure(&self, error: &reqwest::Error) -> Outcome {
        if let Some(refused) = egress::refusal(error) {
            return Outcome::failed(FailureKind::AddressNotPublic, &refused.to_string());
        }
        let is_tls = egress::causes(error).any(|cause| cause.is::<rustls::Error>());
        let kind = if error.is_timeout() {
            FailureKind::Timeout
        } else if is_tls {
            FailureKind::Tls
        } else if error.is_connect() && self.reach == Reach::Proxy {
            FailureKind::Proxy
        } else if error.is_dns() {
            FailureKind::Dns
        } else if error.is_connect() {
            FailureKind::Connect
        } else {
            FailureKind::BrokenOff
        };
        // The first line of the client's error has the URL, which may hold a token; the last cause has what happened.
        let detail = egress::causes(error).skip(1).last().map(ToString::to_string).unwrap_or_default();
        Outcome::failed(kind, &detail)
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, request: Request) -> Answer {
        let start = Instant::now();
        let (outcome, excerpt) = self.post(request).await;
        Answer { outcome, duration: start.elapsed(), excerpt }
    }
}
