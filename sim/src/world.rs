//! One simulated world.

use std::sync::Arc;

use hawser::ports::{Clock, NoProgress, Ports};
use hawser_account::AccountFile;
use time::OffsetDateTime;

use crate::{
    account::Account,
    clock::SimClock,
    cloudformation::CloudFormation,
    parties::{Signer, SimMailbox, SimVendor},
    script::{Run, Script},
};

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
