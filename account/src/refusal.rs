//! Why a service refuses a call, before it is a fault of that call.

use hawser::{
    aws::{Fault, FaultKind},
    names::Region,
};

/// Why a service refuses a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: FaultKind,
    /// AWS's error code.
    pub code: &'static str,
    pub message: String,
    /// Where the bucket is that was asked about elsewhere.
    pub bucket_region: Option<Region>,
}

impl Refusal {
    pub fn new(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), bucket_region: None }
    }

    /// What a service finds wrong with a request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Refused, "ValidationException", message)
    }

    /// The fault of the call that was refused.
    pub fn of(self, action: &'static str) -> Fault {
        let Self { kind, code, message, bucket_region } = self;
        Fault { action, kind, code: code.to_owned(), message, request_id: Some("sim".to_owned()), bucket_region }
    }
}
