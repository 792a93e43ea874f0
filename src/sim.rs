//! An account, a vendor and CloudFormation itself, in memory, with faults by call.
//!
//! Everything that the handler meets through [`crate::ports`] is here again, small enough to read and strict enough to
//! catch a handler that relies on kindness. `hawser plan` uses the account alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use time::{OffsetDateTime, macros::datetime};
use tokio::time::Instant;

use crate::ports::{Clock, Ports};

pub mod account;
pub mod parties;
pub mod stack;

pub use account::{Account, AccountFile};
pub use parties::{Signer, SimMailbox, SimVendor};

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// Denied by the account's policies.
    Denied,
    /// Denied by a service control policy.
    DeniedByScp,
    /// Throttled until the client gave up.
    Throttled,
    /// 5xx until the client gave up; on the vendor and the mailbox, status 503.
    Unavailable,
    /// The connection broke before anything happened.
    Broken,
    /// The effect was done, the answer lost.
    AnswerLost,
    /// No answer until long after every deadline.
    Silent,
    /// The code that makes the call panics.
    Panic,
    /// Status 403: the vendor refuses, the mailbox's signature has expired.
    Forbidden,
    /// Status 302.
    Redirected,
}

impl Mishap {
    /// Every mishap.
    pub const ALL: [Self; 10] = [
        Self::Denied,
        Self::DeniedByScp,
        Self::Throttled,
        Self::Unavailable,
        Self::Broken,
        Self::AnswerLost,
        Self::Silent,
        Self::Panic,
        Self::Forbidden,
        Self::Redirected,
    ];
}

/// Longer than any deadline in the simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(3 * 3600);

/// Which calls go wrong: by name and by how often that name was called before. Shared by all parties, so that one
/// place counts every call.
#[derive(Debug, Default)]
pub struct Script {
    mishaps: Mutex<BTreeMap<(String, usize), Mishap>>,
    calls: Mutex<Vec<String>>,
}

impl Script {
    /// Lets the `nth` call (from 0) of that name go wrong.
    pub fn spoil(&self, call: &str, nth: usize, mishap: Mishap) {
        locked(&self.mishaps).insert((call.to_owned(), nth), mishap);
    }

    /// Lets every call of that name go wrong.
    pub fn spoil_all(&self, call: &str, mishap: Mishap) {
        self.spoil(call, usize::MAX, mishap);
    }

    /// Ends all mishaps; what was called stays on record.
    pub fn heal(&self) {
        locked(&self.mishaps).clear();
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<String> {
        locked(&self.calls).clone()
    }

    /// Records a call and says what goes wrong with it.
    pub(crate) fn enter(&self, call: &str) -> Option<Mishap> {
        let mut calls = locked(&self.calls);
        let nth = calls.iter().filter(|earlier| *earlier == call).count();
        calls.push(call.to_owned());
        let mishaps = locked(&self.mishaps);
        let exactly = mishaps.get(&(call.to_owned(), nth));
        exactly.or_else(|| mishaps.get(&(call.to_owned(), usize::MAX))).copied()
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One simulated world.
#[derive(Debug)]
pub struct World {
    /// Which calls go wrong.
    pub script: Arc<Script>,
    /// The customer's account.
    pub account: Account,
    /// The vendor.
    pub vendor: SimVendor,
    /// CloudFormation's bucket for responses.
    pub mailbox: SimMailbox,
    signer: Signer,
    clock: SimClock,
}

impl World {
    /// A world around an account; must be made inside a tokio runtime, whose clock it shows.
    pub fn new(file: AccountFile) -> Self {
        let script = Arc::new(Script::default());
        Self {
            account: Account::new(file, Arc::clone(&script)),
            vendor: SimVendor::new(Arc::clone(&script)),
            mailbox: SimMailbox::new(Arc::clone(&script)),
            signer: Signer,
            clock: SimClock { started: Instant::now() },
            script,
        }
    }

    /// The world as the handler sees it.
    pub fn ports(&self) -> Ports<'_> {
        Ports { cloud: &self.account, identity: &self.signer, vendor: &self.vendor, mailbox: &self.mailbox, clock: &self.clock }
    }
}

/// When every simulated world begins.
pub const EPOCH: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);

/// Tokio's clock, paused in tests, shown as a date.
#[derive(Debug)]
struct SimClock {
    started: Instant,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> OffsetDateTime {
        EPOCH + self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
