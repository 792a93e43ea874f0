//! A request of CloudFormation's, the runs of the function that it came to, and how it ended.

use std::time::Duration;

use serde_json::Value;

use crate::{parties::Stored, script::Label};

/// How CloudFormation took a request's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOutcome {
    Open,
    Answered(Value),
    /// With a response that breaks the rules.
    Refused(String),
    /// Nothing came in time.
    TimedOut,
    /// It was told to give up.
    Cancelled,
}

/// One request and all that came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The event that was sent.
    pub event: Value,
    /// Where the response goes.
    pub url: String,
    pub label: Label,
    /// Every run of the function with it.
    pub runs: Vec<Invocation>,
    pub closed: RequestOutcome,
    /// What was stored under the URL; filled when the stack comes to rest.
    pub stored: Vec<Stored>,
}

/// How a run of the function ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With success, as Lambda sees it.
    Well,
    /// With an error for Lambda.
    InError,
    /// The process was killed.
    Killed,
    /// At the function's time-out.
    TimedOut,
    /// The handler itself panicked, which it must never.
    Panicked,
}

/// One run of the function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its number, as in uploads.
    pub number: u64,
    /// How long it took.
    pub took: Duration,
    pub ended: Ended,
    /// Whether it began when CloudFormation had stopped waiting.
    pub too_late: bool,
}
