//! The record of calls: what tests assert on, and what `GET /_front/calls` shows.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::scenario::FaultAnswer;

/// One call that went through the front. It never holds an `Authorization` header, a token or a response URL.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The signing name, for example `cur`.
    pub service: String,
    /// The API operation, for example `PutReportDefinition`.
    pub operation: String,
    /// The Region that the request was signed for.
    pub region: String,
    /// The account of the credentials, empty when unsigned.
    pub account: String,
    /// `root` or `role`, or `vendor` for all calls of the vendor's console.
    pub principal: &'static str,
    /// HTTP status of the service, whether or not the caller heard of it; 0 when the call was not made.
    pub status: u16,
    /// The error code, when it failed.
    pub error: Option<String>,
    /// Why the request does not fit the service's model; nothing for what is not validated. AWS would refuse it always.
    pub misfit: Option<String>,
    /// The fault that met it.
    pub fault: Option<FaultAnswer>,
    /// Request members of the validated services.
    pub parameters: Value,
    /// Milliseconds since the front started.
    pub started_ms: u64,
    /// Milliseconds since the front started.
    pub ended_ms: u64,
}

impl Call {
    /// `service:Operation`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }
}

/// An upload that came to a response URL.
#[derive(Clone, Debug)]
pub struct Upload {
    /// From the URL's key.
    pub stack_id: String,
    /// From the URL's key.
    pub logical_id: String,
    /// From the URL's key.
    pub request_id: String,
    /// What S3 answered to the upload.
    pub status: u16,
    /// What CloudFormation has to say against the document, when it was stored.
    pub problem: Option<String>,
    /// The document; null when it is no JSON or was not stored.
    pub body: Value,
    /// Whether CloudFormation goes by it: the first that was stored for its request.
    pub accepted: bool,
    /// The fault that met it.
    pub fault: Option<FaultAnswer>,
}

/// All calls of a run, in the order in which they ended.
#[derive(Debug)]
pub struct CallLog {
    started: Instant,
    calls: Mutex<Vec<Call>>,
}

impl Default for CallLog {
    fn default() -> Self {
        Self { started: Instant::now(), calls: Mutex::default() }
    }
}

impl CallLog {
    /// Time since the front started.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn push(&self, call: Call) {
        lock(&self.calls).push(call);
    }

    /// A copy of the log.
    pub fn all(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// How many calls there are, to look at later ones only.
    pub fn mark(&self) -> usize {
        lock(&self.calls).len()
    }

    /// The calls after a mark.
    pub fn since(&self, mark: usize) -> Vec<Call> {
        lock(&self.calls).iter().skip(mark).cloned().collect()
    }
}

/// How many calls had to wait for an earlier one: the longest chain in which each call began after the one before it ended.
/// Give the scenario a latency: without one, calls made together may be too short to overlap.
pub fn rounds(calls: &[Call]) -> usize {
    let mut ordered: Vec<&Call> = calls.iter().collect();
    ordered.sort_by_key(|call| call.ended_ms);
    let mut longest: Vec<usize> = Vec::with_capacity(ordered.len());
    for (at, call) in ordered.iter().enumerate() {
        let before = (0..at).filter(|&earlier| ordered[earlier].ended_ms <= call.started_ms).map(|i| longest[i]);
        longest.push(before.max().unwrap_or(0) + 1);
    }
    longest.into_iter().max().unwrap_or(0)
}

/// A poisoned lock only means that some test panicked; the data is still good to read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(started_ms: u64, ended_ms: u64) -> Call {
        Call {
            service: "s3".into(),
            operation: "HeadBucket".into(),
            region: "us-east-1".into(),
            account: "111122223333".into(),
            principal: "role",
            status: 200,
            error: None,
            misfit: None,
            fault: None,
            parameters: Value::Null,
            started_ms,
            ended_ms,
        }
    }

    #[test]
    fn rounds_are_the_longest_chain_of_waiting() {
        assert_eq!(rounds(&[]), 0);
        assert_eq!(rounds(&[call(0, 30), call(1, 31), call(2, 29)]), 1);
        assert_eq!(rounds(&[call(0, 30), call(1, 31), call(31, 60), call(33, 61), call(61, 90)]), 3);
        assert_eq!(rounds(&[call(60, 90), call(0, 30), call(30, 60)]), 3);
    }
}
