//! When the first data of a new export are due.

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::names::rfc3339;

/// "It can take up to 24 hours for AWS to start delivering reports" (Cost and Usage Reports User Guide).
pub const FIRST_DATA_WITHIN: Duration = Duration::hours(24);

/// When the first data is due, from the time a report was made; empty if that is not known.
pub fn first_data_due_by(created_at: &str) -> String {
    let created = OffsetDateTime::parse(created_at, &Rfc3339).ok();
    created.and_then(|at| at.checked_add(FIRST_DATA_WITHIN)).map(rfc3339).unwrap_or_default()
}

/// When data that were due by a time are late: "up to 24 hours" is often a day more.
pub fn first_data_grace_ends(due_by: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(due_by, &Rfc3339).ok()?.checked_add(FIRST_DATA_WITHIN)
}
