//! `template.yaml` as data: its parameters, its permission packs, and what CloudFormation would make of it. Pure.
//!
//! The template is the one source of every permission. Whatever else describes them (policy JSON, Terraform, scripts, pages)
//! is made from what is read here.

mod check;
mod code;
mod document;
mod inline;
mod narrow;
mod organization;
mod read;
mod resolve;

pub use check::{Constraint, Parameter};
pub use code::{Architecture, PublishedCode};
pub use document::Template;
pub use inline::INLINE_BYTES_MAX;
pub use organization::{MEMBER_REGION, MEMBER_TEMPLATE_URL, MEMBERS};
pub use read::{Mode, Pack, Statement};
pub use resolve::{EXTERNAL_ID, ResolveContext, Resolved, references};
