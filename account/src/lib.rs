//! An AWS account as a file describes it, and the rules by which Organizations, Cost and Usage Reports, Data Exports, S3 and
//! Support answer in it.
//!
//! There is no clock, no runtime and no fault here: `hawser plan` reads an account through [`ReadOnly`], the simulation adds
//! time, faults and other actors through [`port::Access`], and the emulator's strict proxy serves [`Services`] on the wire.

use time::{OffsetDateTime, macros::datetime};

pub mod bucket_policy;
pub mod buckets;
mod creation;
pub mod denials;
pub mod exports;
pub mod file;
pub mod freedoms;
pub mod organizations;
pub mod port;
mod read_only;
pub mod refusal;
pub mod reports;
pub mod response;
pub mod services;
pub mod support;
pub mod tables;
pub mod tags;
pub mod under_way;

pub use file::AccountFile;
pub use freedoms::Freedoms;
pub use read_only::ReadOnly;
pub use refusal::Refusal;
pub use services::{AccountState, Services};

/// The account that files describe.
pub const ACCOUNT: &str = "111122223333";

/// The date of files that name none.
pub const EPOCH: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);
