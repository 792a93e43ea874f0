//! When the next attempt follows: the schedule that Standard Webhooks recommends, and svix has.

use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc2822};

use super::attempt::{FailureKind, Outcome};

/// The pause before each attempt but the first, which is made at once: eight attempts within 28 hours, before jitter.
pub const PAUSES: [Duration; 7] = [
    Duration::seconds(5),
    Duration::minutes(5),
    Duration::minutes(30),
    Duration::hours(2),
    Duration::hours(5),
    Duration::hours(10),
    Duration::hours(10),
];

/// An endpoint that is overloaded, or too slow to answer, is left alone for at least so long.
const BUSY_PAUSE_MIN: Duration = Duration::minutes(1);

/// `Retry-After` counts up to so many times the pause that it would have been; an endpoint cannot put everything off for ever.
const RETRY_AFTER_TIMES_MAX: i32 = 2;

/// So that what failed together does not come again together: a pause is up to a fifth shorter or longer.
const JITTER_PERCENT_MAX: f64 = 20.0;

/// What chance adds to a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// The pauses are as they are.
    pub const NONE: Self = Self(1.0);

    /// From random bits.
    pub fn new(random: u16) -> Self {
        let fraction = f64::from(random) / f64::from(u16::MAX);
        Self(1.0 + (2.0 * fraction - 1.0) * JITTER_PERCENT_MAX / 100.0)
    }
}

/// What becomes of a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was received.
    Done,
    /// Another attempt at this time.
    At(OffsetDateTime),
    /// That was the last attempt.
    Exhausted,
    /// The endpoint is disabled.
    Stopped,
}

/// What follows from an attempt with this number, the first of which is 1, that ended now.
pub fn after(attempt_number: u32, outcome: &Outcome, now: OffsetDateTime, jitter: Jitter) -> Next {
    let Outcome::Failure { kind, status, retry_after_seconds, .. } = outcome else { return Next::Done };
    let before = usize::try_from(attempt_number.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(&pause) = PAUSES.get(before) else { return Next::Exhausted };
    let asks = matches!(status, Some(429 | 503));
    let least = if asks || *kind == FailureKind::Timeout { BUSY_PAUSE_MIN } else { Duration::ZERO };
    let asked = retry_after_seconds.filter(|_| asks).map_or(Duration::ZERO, |seconds| Duration::seconds(seconds.into()));
    let most = least.max(pause * RETRY_AFTER_TIMES_MAX);
    Next::At(now + (pause * jitter.0).max(least).max(asked.min(most)))
}

/// What `Retry-After` asks for, in seconds: a number, or a time (RFC 9110, section 10.2.3). None where it is neither.
pub fn retry_after_seconds(header: &str, now: OffsetDateTime) -> Option<u32> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(header.parse().unwrap_or(u32::MAX));
    }
    let until = OffsetDateTime::parse(header, &Rfc2822).ok()?;
    let seconds = (until.to_offset(UtcOffset::UTC) - now).whole_seconds().max(0);
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}
