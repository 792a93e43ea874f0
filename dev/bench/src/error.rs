//! Why a measurement could not be made. A bench that cannot measure stops: it never prints a number in its place.

use std::io;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of this machine failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// A part that the bench needs is missing or does not work.
    #[error("{0}")]
    Setup(String),
    /// A handler did not do the work, or did other work than the rest.
    #[error("{handler} did not do the work of {workload}: {why}\nthe last it printed:\n{printed}")]
    Handler {
        handler: &'static str,
        workload: &'static str,
        /// Everything that was wrong.
        why: String,
        /// The tail of its output.
        printed: String,
    },
}

/// Adds to an I/O error what was being done.
pub trait Context<T> {
    /// `context` reads like "reading `path`".
    fn context(self, context: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, io::Error> {
    fn context(self, context: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { context: context.into(), source })
    }
}
