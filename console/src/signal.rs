//! How workers learn that there is something to do.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::job::QUEUES;

/// Says to the workers of this process that there may be jobs. Others look by themselves.
#[derive(Debug, Clone, Default)]
pub struct Signal(Arc<[Notify; QUEUES.len()]>);

impl Signal {
    /// Wakes the worker of each queue, or keeps it from sleeping.
    pub fn wake(&self) {
        self.0.iter().for_each(Notify::notify_one);
    }

    /// Of one queue.
    pub(crate) fn of(&self, queue: usize) -> &Notify {
        &self.0[queue]
    }
}
