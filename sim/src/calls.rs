//! A call of AWS: recorded, perhaps spoiled, else done.

use std::sync::atomic::Ordering;

use hawser::{
    aws::{Fault, FaultKind},
    names::{BucketName, Partition},
};
use tokio::time::Instant;

use crate::{
    FOREVER, InjectedFault,
    account::{Account, Inner},
    locked,
    objects::Bucket,
    parties::{killed, note},
};

/// Calls of the settings of a bucket, which a bucket that was just made may not take yet.
const SETTINGS: [&str; 4] =
    ["s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:PutBucketPolicy"];

/// How the names of calls that change something begin.
const WRITING: [&str; 4] = ["Put", "Create", "Update", "Delete"];

impl Account {
    /// One call: recorded, perhaps spoiled, else done.
    pub(super) async fn call<T>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Inner) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Every call takes a moment, so that nothing relies on being done at once.
        let lag = locked(&self.inner).lags.call;
        if lag.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(lag).await;
        }
        self.check_endpoint(action);
        let run = self.run.as_deref();
        let injected = self.script.enter(run, action);
        note(&self.script, run, action, injected);
        let act = locked(&self.inner).others_act(action);
        if let Some(act) = act {
            self.script.note(|| format!("      (meanwhile: {act})"));
        }
        match injected {
            None => self.done(action, effect),
            Some(InjectedFault::AnswerLost) => {
                let _ = self.done(action, effect);
                Err(fault(action, FaultKind::Unavailable, "NoConnection"))
            }
            Some(InjectedFault::HalfAnswer) => {
                let _ = self.done(action, effect);
                Err(fault(action, FaultKind::Refused, "Unreadable"))
            }
            Some(InjectedFault::Denied) => Err(fault(action, FaultKind::Denied, "AccessDenied")),
            Some(InjectedFault::DeniedByScp) => Err(fault(action, FaultKind::DeniedByScp, "AccessDenied")),
            Some(InjectedFault::Throttled) => Err(fault(action, FaultKind::Throttled, "Throttling")),
            Some(InjectedFault::Unavailable | InjectedFault::Broken | InjectedFault::Redirected) => {
                Err(fault(action, FaultKind::Unavailable, "InternalError"))
            }
            Some(InjectedFault::Silent) => {
                tokio::time::sleep(FOREVER).await;
                Err(fault(action, FaultKind::Unavailable, "TimedOut"))
            }
            Some(InjectedFault::KilledBefore) => {
                killed(run).await;
                Err(fault(action, FaultKind::Unavailable, "Killed"))
            }
            Some(InjectedFault::KilledAfter) => {
                let answer = self.done(action, effect);
                killed(run).await;
                answer
            }
            #[expect(clippy::panic, reason = "the mishap that is asked for")]
            Some(InjectedFault::Panic) => panic!("{action} panics, as the script says"),
        }
    }

    /// HW-B1: these services have one endpoint in a partition, and no host elsewhere.
    fn check_endpoint(&self, action: &'static str) {
        let Some(region) = &self.region else { return };
        let partition = Partition::of_region(region.as_str());
        let home = match action.split(':').next() {
            Some("cur" | "bcm-data-exports") => partition.billing_region(),
            Some("support") => Some(partition.support_region()),
            _ => return,
        };
        if home.as_ref() != Some(region) {
            locked(&self.inner).violations.push(format!("`{action}` is called in {region}, where there is no such service"));
        }
    }

    /// The effect of a call, and who has changed something by it.
    fn done<T>(&self, action: &'static str, effect: impl FnOnce(&mut Inner) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut inner = locked(&self.inner);
        if inner.role_ready.is_some_and(|ready| Instant::now() < ready) {
            return Err(fault(action, FaultKind::Denied, "AccessDenied"));
        }
        let answer = effect(&mut inner);
        let writes = WRITING.iter().any(|verb| action.split(':').nth(1).is_some_and(|name| name.starts_with(verb)));
        if let (true, true, Some(run)) = (writes, answer.is_ok(), &self.run) {
            *inner.writes.entry(run.stack.clone()).or_default() += 1;
            run.writes.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    pub(super) async fn bucket<T>(
        &self,
        action: &'static str,
        name: &BucketName,
        effect: impl FnOnce(&mut Bucket) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call(action, |inner| {
            let too_new = inner.made.get(name.as_str()).is_some_and(|made| Instant::now() < *made + inner.lags.bucket);
            match inner.state.buckets.get_mut(name.as_str()) {
                None => Err(fault(action, FaultKind::Missing, "NoSuchBucket")),
                Some(_) if too_new && SETTINGS.contains(&action) => Err(fault(action, FaultKind::Missing, "NoSuchBucket")),
                Some(bucket) if bucket.owner.is_some() => Err(fault(action, FaultKind::Denied, "AccessDenied")),
                Some(bucket) => effect(bucket),
            }
        })
        .await
    }
}

pub(super) fn fault(action: &'static str, kind: FaultKind, code: &str) -> Fault {
    Fault { action, kind, code: code.to_owned(), message: String::new(), request_id: Some("sim".to_owned()) }
}

/// What AWS finds wrong with a request.
pub(super) fn refused(action: &'static str, message: &str) -> Fault {
    Fault { message: message.to_owned(), ..fault(action, FaultKind::Refused, "ValidationException") }
}
