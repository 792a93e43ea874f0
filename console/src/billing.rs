//! How a customer's billing data arrives: the `billingStatus` of a notice, and what the operator reads of it later.
//!
//! [`Status`] is what a stack said. [`status_summary`] is what that means at a moment: a stack that says nothing any more cannot say so.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use crate::{
    document::object_or_null,
    names::{UTC_BYTES_MAX, utc_time},
    problem::{self, ProblemCode},
};

/// A stack speaks every six hours; when two in a row are missing, something keeps it from it.
pub const SILENT_AFTER: Duration = Duration::hours(12);

/// An object key has at most 1,024 bytes (Amazon S3 user guide, "Naming Amazon S3 objects").
const KEY_BYTES_MAX: usize = 1024;
/// A code is one word of capitals, the handler's longest has 25.
const CODE_BYTES_MAX: usize = 64;
/// A sentence may name a bucket, a prefix, an ARN and AWS's own words.
const SENTENCE_CHARS_MAX: usize = 2000;

/// What a stack found when it looked at its billing export and at the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillingStatus)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub state: DeliveryState,
    #[serde(serialize_with = "time::serde::rfc3339::serialize", deserialize_with = "utc_time")]
    pub checked_at: OffsetDateTime,
    /// When AWS should have delivered for the first time, or empty.
    #[serde(default, deserialize_with = "utc_text_or_empty")]
    pub due_by: String,
    /// The first delivery that it found.
    #[serde(default, deserialize_with = "object_or_null")]
    pub first: Option<First>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub latest: Option<Latest>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub problem: Option<Problem>,
}

impl Status {
    /// Whether the state's word has beside it what it stands for.
    pub fn is_whole(&self) -> bool {
        match self.state {
            DeliveryState::Delivered => self.latest.is_some(),
            DeliveryState::Failed => self.problem.is_some(),
            DeliveryState::Waiting | DeliveryState::Stalled | DeliveryState::Unknown => true,
        }
    }
}

/// The state's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", from = "String")]
pub enum DeliveryState {
    /// AWS delivered nothing yet.
    Waiting,
    /// The newest delivery is fresh.
    Delivered,
    /// Nothing new for longer than AWS leaves between two deliveries.
    Stalled,
    /// AWS or the stack cannot do its part.
    Failed,
    /// A word that a later handler knows.
    Unknown,
}

impl From<String> for DeliveryState {
    fn from(word: String) -> Self {
        match word.as_str() {
            "waiting" => Self::Waiting,
            "delivered" => Self::Delivered,
            "stalled" => Self::Stalled,
            "failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// The first delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FirstDelivery)]
#[serde(rename_all = "camelCase")]
pub struct First {
    #[serde(deserialize_with = "period")]
    pub period: String,
    /// The manifest's object key.
    #[serde(deserialize_with = "object_key")]
    pub manifest: String,
    /// When the manifest was written.
    #[serde(deserialize_with = "utc_text")]
    pub delivered_at: String,
}

/// The newest delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LatestDelivery)]
#[serde(rename_all = "camelCase")]
pub struct Latest {
    #[serde(deserialize_with = "period")]
    pub period: String,
    /// The manifest's object key.
    #[serde(deserialize_with = "object_key")]
    pub manifest: String,
    /// When the manifest was written.
    #[serde(deserialize_with = "utc_text")]
    pub delivered_at: String,
    /// How many files the manifest names.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BillingProblem)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable.
    #[serde(deserialize_with = "code")]
    pub code: String,
    /// One sentence.
    #[serde(deserialize_with = "sentence")]
    pub cause: String,
    /// One sentence.
    #[serde(deserialize_with = "sentence")]
    pub next_step: String,
}

/// A status as it is stored with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedStatus {
    /// The newest one, by its own time.
    pub status: Status,
    /// When the last one came in, whether or not it was the newest: by our clock.
    pub at: OffsetDateTime,
}

/// What the operator sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusSummary {
    /// The status's word, or one that no stack can say.
    pub state: SummaryState,
    /// The same and what belongs to it, one sentence.
    pub summary: String,
    /// When the stack was last heard.
    #[serde(with = "time::serde::rfc3339::option")]
    pub heard_at: Option<OffsetDateTime>,
    pub status: Option<Status>,
}

/// The state of a connection's billing data at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the first four are those of `DeliveryState`")]
pub enum SummaryState {
    Waiting,
    Delivered,
    Stalled,
    Failed,
    /// See [`DeliveryState::Unknown`].
    Unknown,
    /// Nothing that was left in the account could send one: `hawser connect` made the connection.
    None,
    /// The first status is still to come.
    Unheard,
    /// Nothing was heard for [`SILENT_AFTER`].
    Silent,
}

impl SummaryState {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Unheard => "unheard",
            Self::Silent => "silent",
        }
    }
}

impl StatusSummary {
    /// The problem that it is, if it is one.
    pub fn problem(&self) -> Option<problem::Problem> {
        let code = match self.state {
            SummaryState::Failed => ProblemCode::BillingFailed,
            SummaryState::Stalled => ProblemCode::BillingStalled,
            SummaryState::Silent => ProblemCode::BillingSilent,
            SummaryState::Waiting
            | SummaryState::Delivered
            | SummaryState::Unknown
            | SummaryState::None
            | SummaryState::Unheard => {
                return None;
            }
        };
        Some(problem::Problem::new(code, &self.summary))
    }

    /// When it is too long that nothing was heard; None where nothing is to be heard, or it is too long already.
    pub fn silent_at(&self, since: OffsetDateTime) -> Option<OffsetDateTime> {
        let is_heard = !matches!(self.state, SummaryState::None | SummaryState::Silent);
        is_heard.then(|| self.heard_at.unwrap_or(since) + SILENT_AFTER + Duration::SECOND)
    }
}

/// What is known at a moment of a connection that stands since `since`. `has_heartbeats`: whether a stack is there to send them.
pub fn status_summary(
    reported: Option<&ReportedStatus>,
    has_heartbeats: bool,
    since: OffsetDateTime,
    now: OffsetDateTime,
) -> StatusSummary {
    let last = reported.map_or(since, |reported| reported.at);
    let stated = reported.map(|reported| summarize(&reported.status, now));
    let (state, summary) = match (stated, now - last > SILENT_AFTER) {
        (None, _) if !has_heartbeats => {
            (SummaryState::None, "none: the connection was made without a stack, so nothing sends a status".to_owned())
        }
        (Some((_, stated)), true) => {
            (SummaryState::Silent, format!("silent: no heartbeat since {}; before that, {stated}", text(last)))
        }
        (None, true) => (SummaryState::Silent, format!("silent: no heartbeat since the connection was made at {}", text(last))),
        (Some(stated), false) => stated,
        (None, false) => (SummaryState::Unheard, "no status yet; the stack sends one every six hours".to_owned()),
    };
    StatusSummary {
        state,
        summary,
        heard_at: reported.map(|reported| reported.at),
        status: reported.map(|reported| reported.status.clone()),
    }
}

/// What a status says, in one sentence.
fn summarize(status: &Status, now: OffsetDateTime) -> (SummaryState, String) {
    let due = OffsetDateTime::parse(&status.due_by, &Rfc3339).ok();
    let (was, due_by) = (if due.is_some_and(|due| due < now) { " was" } else { "" }, &status.due_by);
    let (word, mut sentence) = match (status.state, &status.latest) {
        (DeliveryState::Waiting, _) if due.is_none() => (SummaryState::Waiting, "waiting for AWS".to_owned()),
        (DeliveryState::Waiting, _) => (SummaryState::Waiting, format!("waiting for AWS, first data{was} due by {due_by}")),
        (DeliveryState::Delivered, Some(latest)) => {
            let (files, size) = (if latest.files == 1 { "file" } else { "files" }, size(latest.bytes));
            let at = format!("latest {} at {}", latest.period, latest.delivered_at);
            (SummaryState::Delivered, format!("delivered: {at}, {} {files}, {size}", latest.files))
        }
        (DeliveryState::Delivered, None) => (SummaryState::Delivered, "delivered".to_owned()),
        (DeliveryState::Stalled, Some(latest)) => {
            (SummaryState::Stalled, format!("stalled: no new data since {}", latest.delivered_at))
        }
        (DeliveryState::Stalled, None) if due.is_none() => {
            (SummaryState::Stalled, "stalled: nothing was ever delivered".to_owned())
        }
        (DeliveryState::Stalled, None) => {
            (SummaryState::Stalled, format!("stalled: no data arrived, first data{was} due by {due_by}"))
        }
        (DeliveryState::Failed, _) => (SummaryState::Failed, "failed".to_owned()),
        (DeliveryState::Unknown, _) => {
            (SummaryState::Unknown, "unknown: the stack is newer than this console, which does not know its word".to_owned())
        }
    };
    if let Some(Problem { code, cause, next_step }) = &status.problem {
        let end = |sentence: &str| format!("{}.", sentence.trim_end().trim_end_matches('.'));
        let joint = if word == SummaryState::Failed { ": " } else { "; " };
        sentence.push_str(&format!("{joint}{code}: {} {}", end(cause), end(next_step)));
    }
    (word, sentence)
}

/// A number of bytes for people: decimal units, as AWS's bills have them.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    let in_tenths = UNITS.map(|(unit, scale)| (unit, (bytes.saturating_mul(10) + scale / 2) / scale));
    // Rounded first, so that what rounds up to a thousand is one of the next unit.
    let [.., largest] = in_tenths;
    let (unit, tenths) = in_tenths.into_iter().find(|(_, tenths)| *tenths < 10_000).unwrap_or(largest);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// A text that `legal` takes.
fn text_if<'de, D: Deserializer<'de>>(deserializer: D, legal: impl Fn(&str) -> bool) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if legal(&text) { Ok(text) } else { Err(D::Error::custom("not of the documented form")) }
}

fn is_utc(text: &str) -> bool {
    text.len() <= UTC_BYTES_MAX && text.ends_with('Z') && OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

fn utc_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, is_utc)
}

fn utc_text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, |text| text.is_empty() || is_utc(text))
}

fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, |text| {
        let (year, month) = text.split_once('-').unwrap_or_default();
        let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
    })
}

fn object_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, |text| (1..=KEY_BYTES_MAX).contains(&text.len()))
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, |text| {
        let word = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        text.len() <= CODE_BYTES_MAX && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(word)
    })
}

fn sentence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text_if(deserializer, |text| (1..=SENTENCE_CHARS_MAX).contains(&text.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::NUMBER_MAX;

    #[test]
    fn sizes_are_readable() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1_238_400, "1.2 MB"),
            (9_950_000, "10.0 MB"),
            (999_960_000, "1.0 GB"),
            (NUMBER_MAX, "9007.2 TB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }
}
