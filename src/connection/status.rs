//! What the vendor is told about delivery.

use serde::Serialize;

use crate::{
    error::{Code, Failure},
    names::shorten,
};

/// How delivery fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// No data yet, and none due.
    Waiting,
    /// Data arrive.
    Delivered,
    /// Data are late.
    Stalled,
    /// Data cannot arrive, or cannot be read.
    Failed,
}

/// What the vendor is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    pub state: DeliveryState,
    /// When it was looked at, RFC 3339.
    pub checked_at: String,
    /// When first data are due, RFC 3339; empty once they came, and where it is not known.
    pub due_by: String,
    pub first: Option<FirstData>,
    pub latest: Option<LatestData>,
    pub problem: Option<DeliveryProblem>,
}

/// The first data that were delivered, as far as they are still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstData {
    /// The billing period, `YYYY-MM`.
    pub period: String,
    pub manifest: String,
    /// When the manifest was written last, RFC 3339.
    pub delivered_at: String,
}

/// What is wrong, in the same words as a stack event would use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryProblem {
    pub code: &'static str,
    pub cause: String,
    /// What to do next.
    pub next_step: &'static str,
}

/// How much of a fault a status repeats.
const CAUSE_BYTES_MAX: usize = 600;

impl DeliveryProblem {
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self { code: code.as_str(), cause: shorten(&cause.into(), CAUSE_BYTES_MAX), next_step: code.next_step() }
    }

    pub fn of(failure: &Failure) -> Self {
        Self::new(failure.code, failure.cause.clone())
    }
}

/// The latest data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestData {
    /// The billing period, `YYYY-MM`.
    pub period: String,
    pub manifest: String,
    /// When the manifest was written, RFC 3339.
    pub delivered_at: String,
    /// How many files it names.
    pub files: usize,
    /// How large they are together, as far as their folders were listed.
    pub bytes: u64,
}
