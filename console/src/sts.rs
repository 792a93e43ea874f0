//! AWS STS: forwards a proof and reads who made it. The only party this program calls.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::redirect;

use crate::{
    identity::{self, Identity},
    proof::{self, StsRequest},
    refusal::{Reason, Refusal},
};

/// STS answers in well under a second. The handler waits for us while we wait for STS: short, so that it can try again.
const TIMEOUT: Duration = Duration::from_secs(4);
/// See [`TIMEOUT`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer has about 500 bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// STS's codes for "too fast" come with status 400 as well (AWS STS API reference, common errors).
const BUSY_CODES: [&str; 3] = ["Throttling", "ThrottlingException", "RequestLimitExceeded"];

/// The client.
#[derive(Debug, Clone)]
pub struct Sts {
    http: reqwest::Client,
}

impl Sts {
    /// Trusts the system's certificate authorities, or those in `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// None could be read.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self::through(client()?))
    }

    /// Reaches STS through a client of the caller's, who answers for its limits, and that it follows no redirect.
    pub fn through(http: reqwest::Client) -> Self {
        Self { http }
    }

    /// Sends the signed request and reads the one identity in the answer.
    ///
    /// # Errors
    /// STS refused it, was not there, or answered with something else.
    pub async fn ask(&self, sts_request: &StsRequest) -> Result<Identity, Refusal> {
        let mut request = self.http.post(&sts_request.url).body(proof::BODY);
        for (name, value) in &sts_request.headers {
            let refused = |_| Reason::Proof.with("a header is missing or not plain text");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| refused(e.to_string()))?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|e| refused(e.to_string()))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let mut answer = request.send().await.map_err(|_| Reason::StsUnavailable)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| Reason::StsUnavailable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Reason::StsAnswer.with("it is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        let media_type = answer.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        judge(answer.status(), media_type.unwrap_or_default(), &body)
    }
}

/// The HTTP client towards AWS.
///
/// # Errors
/// As [`Sts::new`].
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails when one was installed before: then that one is used, and it can only be ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        // A redirect would send the customer's signed request to someone else, and take their word for AWS's.
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// What an answer means.
fn judge(status: StatusCode, media_type: &str, body: &[u8]) -> Result<Identity, Refusal> {
    let xml = std::str::from_utf8(body).map_err(|_| Reason::StsAnswer.with("it is not UTF-8"))?;
    if status == StatusCode::OK {
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        return match media_type {
            "text/xml" | "application/xml" => Identity::read(xml),
            _ => Err(Reason::StsAnswer.with("it is not XML")),
        };
    }
    match (status.as_u16(), identity::error_code(xml)) {
        (429 | 500.., _) => Err(Reason::StsUnavailable.into()),
        (400.., code) if BUSY_CODES.contains(&code.as_str()) => Err(Reason::StsUnavailable.into()),
        (400.., code) => Err(Reason::StsRefused.with(format!("`{code}`"))),
        (300.., _) => Err(Reason::StsAnswer.with("it is a redirect")),
        _ => Err(Reason::StsAnswer.with("its status is not 200")),
    }
}
