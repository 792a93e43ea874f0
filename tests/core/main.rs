//! The handler without the SDK: what it decides, says and keeps, and what the documents say of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod beliefs;
mod cases;
mod columns;
mod connection;
mod corpus;
mod early_connections;
mod events;
mod events_of_any_shape;
mod exhaustive;
mod failures;
mod ftr;
mod kinds;
mod late_runs;
mod leaks;
mod manifests;
mod onboarding;
mod places;
mod policy;
mod proofs;
mod properties;
mod reply;
mod requirements;
mod retired_words;
mod shown_late;
mod simulation;
mod tags;
mod versions;
mod watch;
