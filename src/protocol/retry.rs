//! Every wait and every retry.

use std::time::Duration;

use tracing::info;

use super::origin::{Origin, RequestType};
use crate::{
    aws::{Fault, FaultKind},
    ports::Clock,
};

/// Waits between tries of a call that eventual consistency can refuse: 7 s in all. IAM and S3 settle within seconds,
/// and the stack's patience is `ServiceTimeout`, not ours.
pub const EVENTUAL_CONSISTENCY_BACKOFF: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Tries a call again while eventual consistency may be the cause: a conflict with an operation under way, and, on
/// Create and on the Delete that may follow at once, a denial, because the role and its policies can be seconds old (AWS
/// IAM User Guide, "Changes that I make are not always immediately visible"). A service control policy's denial is final.
pub async fn retry_eventual<T, F, Fut>(clock: &dyn Clock, origin: &Origin, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    let fresh_role = origin.request_type != RequestType::Update;
    let may_pass = |kind| kind == FaultKind::Conflict || (fresh_role && kind == FaultKind::Denied);
    retry_while(clock, may_pass, call).await
}

/// Tries a call again after each wait of [`EVENTUAL_CONSISTENCY_BACKOFF`] while it ends in a fault that may pass.
///
/// # Errors
/// The first fault that does not pass, or the last one.
pub async fn retry_while<T, F, Fut>(clock: &dyn Clock, may_pass: impl Fn(FaultKind) -> bool, call: F) -> Result<T, Fault>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Fault>>,
{
    for wait in EVENTUAL_CONSISTENCY_BACKOFF {
        match call().await {
            Err(fault) if may_pass(fault.kind) => {
                info!(action = fault.action, code = fault.code, wait_s = wait.as_secs(), "trying again");
                clock.sleep(wait).await;
            }
            answer => return answer,
        }
    }
    call().await
}
