//! A file for each command; `common` has settings, output and exit codes.

pub(crate) mod common;
pub(crate) mod connect;
pub(crate) mod disconnect;
pub(crate) mod guide;
pub(crate) mod link;
pub(crate) mod person;
pub(crate) mod plan;
pub(crate) mod policies;
pub(crate) mod preflight;
pub(crate) mod profiles;
pub(crate) mod script;
pub(crate) mod template;
pub(crate) mod terraform;
pub(crate) mod trust;
