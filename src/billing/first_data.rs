//! When data of an export are due: the first ones, and every day's.

use time::{
    Duration, OffsetDateTime,
    format_description::well_known::{Iso8601, Rfc3339},
};

use crate::names::rfc3339;

/// "It can take up to 24 hours for AWS to start delivering reports" (Cost and Usage Reports User Guide).
pub const FIRST_DATA_WITHIN: Duration = Duration::hours(24);

/// "Updated at least once a day" (Cost and Usage Reports User Guide, "What are AWS Cost and Usage Reports?"): half a day more than
/// that is late. What the delivery check would report as stalled at once is not reused either (F-54).
pub const STALLED_AFTER: Duration = Duration::hours(36);

/// When the first data is due, from the time a report was made; empty if that is not known.
pub fn first_data_due_by(created_at: &str) -> String {
    let created = OffsetDateTime::parse(created_at, &Rfc3339).ok();
    created.and_then(|at| at.checked_add(FIRST_DATA_WITHIN)).map(rfc3339).unwrap_or_default()
}

/// When data that were due by a time are late: "up to 24 hours" is often a day more.
pub fn first_data_grace_ends(due_by: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(due_by, &Rfc3339).ok()?.checked_add(FIRST_DATA_WITHIN)
}

/// A time as AWS's billing services write it: RFC 3339, or `YYYYMMDDThhmmssZ` or with an offset (`LastDelivery`, Cost and Usage
/// Reports API Reference).
pub(super) fn delivery_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Iso8601::PARSING)).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn every_form_of_a_delivery_time_is_read() {
        let at = datetime!(2025-03-12 10:11:12 UTC);
        for text in
            ["20250312T101112Z", "20250312T101112+0000", "20250312T121112+0200", "20250312T101112.000Z", "2025-03-12T10:11:12Z"]
        {
            assert_eq!(delivery_time(text), Some(at), "{text}");
        }
        for text in ["", "yesterday", "20250312", "2025-03-12", "20251312T101112Z"] {
            assert_eq!(delivery_time(text), None, "{text}");
        }
    }
}
