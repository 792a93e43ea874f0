//! The database: launches, connections and the notices that made them. SQL stops here.
//!
//! [`Store`] is opened once; each file adds what one part of the console asks of it.

mod confirmations;
mod database;
mod error;
mod examine;
mod history;
mod issuers;
mod jobs;
mod lists;
mod manage;
mod notices;
mod once;
mod open;
mod outbox;
mod rows;
mod tokens;
mod webhooks;
mod writes;

pub use error::{RecordError, StoreError};
pub use examine::{CopyError, Examined, Schema, backup, examine, restore};
pub use lists::{ConnectionFilter, LaunchFilter, Listed, Page, ProblemFilter};
pub use manage::Change;
pub use once::{KEPT_FOR, KEYS_PER_CALLER_MAX, Made, Once};
pub use open::Store;
pub use webhooks::{Delivery, EndpointView, NewEndpoint};
