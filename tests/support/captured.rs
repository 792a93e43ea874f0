//! A log that a test can read: what `tracing` is given to write to.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{Layer, Registry, fmt::MakeWriter, layer::SubscriberExt};

/// Everything of this thread goes to this layer, until what is returned is dropped.
pub(crate) fn listen(layer: impl Layer<Registry> + Send + Sync) -> DefaultGuard {
    // With one subscriber in the process, `tracing` asks the thread that meets a line first whether anybody wants it, and that
    // may be another test's. With two it asks each time.
    static SECOND: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&SECOND);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

/// Everything that was logged. A clone is the same log.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was logged so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
