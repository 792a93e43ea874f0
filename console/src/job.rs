//! Work that follows from a change: committed with it, done later, by whichever worker is free. Pure.

use time::Duration;

/// The longest that a job may take; what takes longer is given up, and tried again later.
pub const TIMEOUT: Duration = Duration::minutes(4);
/// A job that a worker has taken is another's after this long: its worker was killed, for one that lives gave up before.
pub const LEASE: Duration = Duration::minutes(5);
/// A job that was taken this often and never ended kills its workers, or never gets to an end in time. It waits for somebody to look.
pub const CLAIMS_MAX: i64 = 5;
/// Jobs of one queue that one process does at the same time: they wait for AWS, or for a receiver, nearly all the time.
pub const CONCURRENT_MAX: i64 = 8;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks AWS about a connection, and tests its role.
    Verify,
    /// Looks whether a stack that was to be heard by now was.
    Listen,
    /// Posts an event to an endpoint.
    Deliver,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Verify, Self::Listen, Self::Deliver];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Listen => "listen",
            Self::Deliver => "deliver",
        }
    }
}

/// Kinds that are done side by side: an endpoint that hangs keeps no role from being tested.
pub const QUEUES: [&[Kind]; 2] = [&[Kind::Verify, Kind::Listen], &[Kind::Deliver]];

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub(crate) id: i64,
    pub kind: Kind,
    /// What it is about: the id of a connection, or of a delivery.
    pub subject: String,
    /// How often it was done since it was asked for, and has to be done again.
    pub attempts: i64,
    /// How often it was taken without an end, this time included.
    pub claims: i64,
    /// Another one once somebody asks for the job again, or takes it.
    pub(crate) version: i64,
}
