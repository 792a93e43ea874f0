//! The documents say what the template, the program and the repository have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
mod support;

mod costs;
mod coverage;
mod documents;
mod errors;
mod permissions;
