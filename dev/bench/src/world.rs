//! What one handler process can reach, as it is remembered: the event, the calls, and what was wrong with them.

use std::time::{Duration, Instant};

use http::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::record::Call;

/// The account that everything happens in: empty, the management account of its organization.
pub(crate) const ACCOUNT: &str = "111122223333";
/// Where the stack and the function are.
pub(crate) const STACK_REGION: &str = "eu-west-1";
/// Where billing is, in the partition `aws`.
pub(crate) const BILLING_REGION: &str = "us-east-1";
/// The credentials that the handlers are given; the stub checks the two parts that travel.
pub(crate) const ACCESS_KEY: &str = "ASIAEXAMPLEEXAMPLE00";
pub(crate) const SECRET_KEY: &str = "bench-bench-bench-bench-bench-bench-bench";
pub(crate) const SESSION_TOKEN: &str = "bench-session-token";
/// Signs the notices of the run; made up, and known to nobody else's world.
pub(crate) const LAUNCH_TOKEN: &str = "whsec_YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=";
/// How the vendor calls a connection.
pub(crate) const CONNECTION_ID: &str = "connection-1";

/// One event: what the handler gets, and what the world has to know of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Event {
    pub(crate) json: String,
    /// The path and query that the response has to be put to.
    pub(crate) response_path: String,
    pub(crate) resource_type: &'static str,
    pub(crate) stack_id: String,
    pub(crate) request_id: String,
    pub(crate) logical_id: &'static str,
}

/// How S3 behaves where AWS is free to do either.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct S3Ways {
    /// A setting of a bucket is answered with 409 OperationAborted while another one is being made (Amazon S3 API Reference, "Error
    /// responses").
    pub(crate) conflicts: bool,
    /// An error ends its connection (`Connection: close`), that of an unsigned probe too (B-19).
    pub(crate) errors_close: bool,
}

/// What the world remembers of the event being handled.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Added to every call.
    pub(crate) latency: Duration,
    pub(crate) event: Event,
    pub(crate) s3: S3Ways,
    /// Settings of the bucket that are being made.
    pub(crate) settings: usize,
    /// Every call, in the order in which they ended.
    pub(crate) calls: Vec<Call>,
    /// Unsigned `HEAD /` requests: they request nothing and only open a connection ahead of need.
    pub(crate) probes: usize,
    /// TLS connections that were opened.
    pub(crate) connections: usize,
    /// Connections that came to nothing. Other programs of the machine look for ports too, so alone they are no fault; where the
    /// work was not done they may say why.
    pub(crate) handshakes_failed: Vec<String>,
    /// What was wrong with requests.
    pub(crate) violations: Vec<String>,
    /// The bucket that was made; empty before.
    pub(crate) bucket: String,
    /// When the response had arrived.
    pub(crate) responded: Option<Instant>,
    pub(crate) response: Value,
    pub(crate) notice: Value,
}

/// A request, read to its end.
pub(crate) struct HttpRequest {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
}

impl HttpRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// An answer, and the name of the operation for the record.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) operation: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}
