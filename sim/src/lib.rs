//! An account, a vendor, Lambda and CloudFormation itself, in memory, with faults by call.
//!
//! Everything that the handler meets through [`hawser::ports`] is here again, small enough to read and strict enough to
//! catch a handler that relies on kindness. `hawser plan` uses the account alone.
//!
//! Read [`script`] (what goes wrong), [`account`], [`exports`], [`cases`], [`actors`] and [`parties`] (whom the handler meets), [`stack`] and [`lambda`]
//! (CloudFormation, Lambda), [`life`] (what happens to stacks), [`model`] (what must hold), [`random`] (lives by seed).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use hawser::ports::{Clock, NoProgress, Ports};
use time::{OffsetDateTime, macros::datetime};
use tokio::time::Instant;

pub mod account;
pub mod account_file;
pub mod actors;
mod calls;
pub mod cases;
pub mod coverage;
mod delivery;
pub mod exports;
pub mod lambda;
pub mod life;
pub mod model;
pub mod objects;
mod organizations;
pub mod parties;
pub mod random;
pub mod script;
pub mod stack;
pub mod systematic;
pub mod tables;

pub use account::{Account, AccountFile};
pub use parties::{Signer, SimMailbox, SimVendor};
use script::Run;
pub use script::{InjectedFault, Script};
use stack::CloudFormation;

/// Longer than any deadline in the simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(3 * 3600);

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One simulated world. A clone is the same world.
#[derive(Debug, Clone)]
pub struct World {
    /// Which calls go wrong.
    pub script: Arc<Script>,
    pub account: Account,
    pub vendor: SimVendor,
    /// CloudFormation's bucket for responses.
    pub mailbox: SimMailbox,
    /// What CloudFormation knows of the account's stacks.
    pub cloudformation: Arc<CloudFormation>,
    signer: Signer,
    clock: SimClock,
}

impl World {
    /// A world around an account; must be made inside a tokio runtime, whose clock it shows.
    pub fn new(file: AccountFile) -> Self {
        let script = Arc::new(Script::default());
        let cloudformation = Arc::new(CloudFormation::default());
        let clock = SimClock::default();
        let account = Account::new(file, Arc::clone(&script), Arc::clone(&cloudformation), clock.clone());
        let vendor = SimVendor::new(Arc::clone(&script));
        Self {
            mailbox: SimMailbox::new(account.clone(), vendor.clone(), Arc::clone(&script), clock.clone()),
            account,
            vendor,
            cloudformation,
            signer: Signer { script: Arc::clone(&script), run: None },
            clock,
            script,
        }
    }

    /// The same world, whose calls are made by a run of the function.
    pub(crate) fn for_run(&self, run: &Arc<Run>) -> Self {
        Self {
            account: self.account.for_run(Arc::clone(run)),
            vendor: self.vendor.for_run(Arc::clone(run)),
            mailbox: self.mailbox.for_run(Arc::clone(run)),
            signer: Signer { script: Arc::clone(&self.script), run: Some(Arc::clone(run)) },
            ..self.clone()
        }
    }

    /// The world as the handler sees it.
    pub fn ports(&self) -> Ports<'_> {
        Ports {
            cloud: &self.account,
            stacks: &self.account,
            identity: &self.signer,
            vendor: &self.vendor,
            mailbox: &self.mailbox,
            clock: &self.clock,
            progress: &NoProgress,
        }
    }

    /// Simulated time.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

/// When every simulated world begins.
pub const EPOCH: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);

/// Tokio's clock, paused in tests, shown as a date.
#[derive(Debug, Clone)]
pub struct SimClock {
    started: Instant,
}

impl Default for SimClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
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
