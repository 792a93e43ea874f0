//! Simulated time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use hawser::ports::Clock;
use hawser_account::EPOCH;
use time::OffsetDateTime;
use tokio::time::Instant;

/// Longer than any deadline in the simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(3 * 3600);

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
