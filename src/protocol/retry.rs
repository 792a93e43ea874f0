//! Every retry: the policies, and when another try follows.

use std::{fmt::Display, time::Duration};

use time::OffsetDateTime;
use tracing::info;

use super::origin::{Origin, RequestType};
use crate::{
    aws::{Fault, FaultKind},
    ports::{Clock, Ports},
};

/// How often, and after which waits, something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The wait after the first try, doubled each time; and the shortest there is, whoever asks for another.
    pub first_wait: Duration,
    /// No wait is longer, but one that the other side asks for.
    pub longest_wait: Duration,
    /// Tries in all; where there is no number, a deadline ends them.
    pub tries: Option<u32>,
    /// The longest that one try may take.
    pub try_limit: Duration,
}

/// What eventual consistency can refuse: 1, 2 and 4 s. IAM and S3 settle within seconds, and the stack's patience is
/// `ServiceTimeout`, not ours.
pub const EVENTUAL_CONSISTENCY: Policy = Policy {
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(4),
    tries: Some(4),
    // The SDK bounds each call.
    try_limit: Duration::MAX,
};

/// A conflict with another operation on the same thing: S3 answers 409 while two settings of one bucket overlap, which is over in
/// milliseconds, and while a bucket of that name is being removed, which takes seconds. 10 s in all.
pub const CONFLICT: Policy = Policy {
    first_wait: Duration::from_millis(50),
    longest_wait: Duration::from_secs(4),
    tries: Some(9),
    // The SDK bounds each call.
    try_limit: Duration::MAX,
};

/// A call of the SDK, before its fault counts (F-44). AWS's control planes answer in well under a second.
pub const SDK_CALL: Policy = Policy {
    first_wait: Duration::from_millis(500),
    longest_wait: Duration::from_secs(20),
    tries: Some(4),
    try_limit: Duration::from_secs(8),
};

/// A call of the SDK with all its tries, well within the function's time.
pub const SDK_CALL_LIMIT: Duration = Duration::from_secs(25);

/// A notice, until the deadline. The vendor verifies the proof with STS while it is being posted to, and may ask for a wait by
/// `Retry-After`.
pub const NOTICE: Policy = Policy {
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(20),
    tries: None,
    try_limit: Duration::from_secs(15),
};

/// The response, until the deadline. S3 answers in milliseconds, and nothing else helps a stack that waits.
pub const RESPONSE_UPLOAD: Policy = Policy {
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::MAX,
    tries: None,
    try_limit: Duration::from_secs(5),
};

/// A look at a stack that is being changed, after the answer, until the function's time ends. A rollback takes from seconds to minutes.
pub const STACK_AT_REST: Policy = Policy {
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(8),
    tries: None,
    // The SDK bounds each call.
    try_limit: Duration::MAX,
};

/// The tries of one thing. The loop is the caller's; whether there is another turn is told here.
pub struct Tries<'a> {
    policy: &'a Policy,
    clock: &'a dyn Clock,
    until: Option<OffsetDateTime>,
    wait: Duration,
    made: u32,
}

impl Policy {
    /// Begins; with a deadline where there is one.
    pub fn tries<'a>(&'a self, clock: &'a dyn Clock, until: Option<OffsetDateTime>) -> Tries<'a> {
        Tries { policy: self, clock, until, wait: self.first_wait, made: 0 }
    }
}

impl Tries<'_> {
    /// How long the next try may take.
    pub fn limit(&self) -> Duration {
        let left = self.until.map_or(Duration::MAX, |until| Duration::try_from(until - self.clock.now()).unwrap_or_default());
        self.policy.try_limit.min(left)
    }

    /// Waits, as long as was asked for or as the policy says; or says that the try which ended so was the last one. Of a wait that
    /// there is no time for, as much as the policy allows.
    pub async fn again(&mut self, last: &(dyn Display + Sync), asked_for: Option<Duration>) -> bool {
        let Policy { first_wait, longest_wait, tries, .. } = *self.policy;
        let left = self.until.map(|until| Duration::try_from(until - self.clock.now()).unwrap_or_default());
        let fits = |pause: &Duration| left.is_none_or(|left| *pause < left);
        let asked_for = asked_for.map(|asked_for| asked_for.max(first_wait));
        let pause = asked_for.filter(fits).unwrap_or(if asked_for.is_some() { longest_wait } else { self.wait });
        self.made += 1;
        if tries.is_some_and(|most| self.made >= most) || !fits(&pause) {
            return false;
        }
        info!(%last, pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "trying again");
        self.clock.sleep(pause).await;
        self.wait = (self.wait * 2).min(longest_wait);
        true
    }
}

/// Tries a call again while eventual consistency may be the cause: a conflict with an operation under way, and a denial, because the
/// role, or with an Update its policies, can be seconds old (AWS IAM User Guide, "Changes that I make are not always immediately
/// visible"; B-25). Of a heartbeat, the one Update without a physical id, neither is. A service control policy's denial is final.
pub async fn retry_eventual<T, F, Fut>(ports: &Ports<'_>, origin: &Origin, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let fresh_permissions = origin.request_type != RequestType::Update || origin.physical_id.is_some();
    let may_pass = |kind| kind == FaultKind::Conflict || (fresh_permissions && kind == FaultKind::Denied);
    let answer = retry_while(ports.clock, may_pass, call).await;
    if let Err(fault) = &answer
        && fault.is_denial()
    {
        ports.progress.denied(fault.action);
    }
    answer
}

/// Tries a call again, as [`EVENTUAL_CONSISTENCY`] and [`CONFLICT`] say, while it ends in a fault that may pass.
///
/// # Errors
/// The first fault that does not pass, or the last one.
pub async fn retry_while<T, F, Fut>(clock: &dyn Clock, may_pass: impl Fn(FaultKind) -> bool, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let (mut tries, mut conflicts) = (EVENTUAL_CONSISTENCY.tries(clock, None), CONFLICT.tries(clock, None));
    loop {
        match call().await {
            Err(fault) if may_pass(fault.kind) => {
                let tries = if fault.kind == FaultKind::Conflict { &mut conflicts } else { &mut tries };
                if !tries.again(&fault, None).await {
                    return Err(fault);
                }
            }
            answer => return answer,
        }
    }
}
