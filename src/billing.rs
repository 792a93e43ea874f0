//! `Custom::BillingExport`: one billing export that the vendor can read, chosen, reused or made.
//!
//! [`observe`] reads the account into [`facts`], [`candidate`] says what could serve, [`choice`] decides which export, [`query`]
//! words it for Data Exports, [`plan`] says what to do about it, step by step, [`policy`] merges the bucket policy, [`backfill`] asks for past
//! months, [`attributes`] says what is answered, and [`execute`] carries the plan out. All but the first and the last are pure.

pub mod account_role;
pub mod attributes;
pub mod backfill;
mod bucket_region;
pub mod candidate;
pub mod choice;
pub mod definition;
pub mod execute;
pub mod facts;
mod first_data;
mod id;
pub mod observe;
mod ownership;
pub mod plan;
pub mod policy;
pub mod query;
pub mod request;
mod step;

pub use attributes::ATTRIBUTES;
pub(crate) use bucket_region::in_bucket_region;
pub use first_data::{FIRST_DATA_WITHIN, STALLED_AFTER, first_data_due_by, first_data_grace_ends};
pub use id::{DATA_ROOT, ExportId, prefix_of};
pub use ownership::{TAG_CREATED_AT, TAG_LOGICAL_ID, TAG_STACK, is_marked, mark};
pub use request::{BillingRequest, Existing, Export, Format, Kind, RESOURCE_TYPE, Retention, Reuse, Scope, Versioning, removal};
