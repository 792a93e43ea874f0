//! The console from outside: its decisions by table, its routes on a database of their own, its binary as a process.
#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

mod api;
mod api_access;
mod billing;
mod binary;
mod commands;
#[path = "../fuzzed/mod.rs"]
#[expect(clippy::expect_used, reason = "a panic is the finding")]
mod fuzzed;
mod fuzzed_inputs;
mod hostile;
mod identities;
mod jobs;
mod kept;
mod kills;
mod lifecycle;
mod load;
mod operator;
mod ordering;
mod organizations;
mod probe;
mod proofs;
mod python;
mod refusals;
mod schema;
mod speakers;
mod support;
mod tokens;
mod webhook_deliveries;
mod webhooks;
mod webhooks_addresses;
mod webhooks_http;
