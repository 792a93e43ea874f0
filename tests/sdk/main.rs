//! The handler with the SDK: bytes on the wire, and servers of every kind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../support/canned.rs"]
mod canned;
#[path = "../support/captured.rs"]
mod captured;

mod aws;
mod aws_exports;
mod hostile;
mod wire;
