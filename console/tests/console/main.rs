//! The console from outside: its decisions by table, its routes on a database of their own, its binary as a process.
#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

mod billing;
mod binary;
mod hostile;
mod identities;
mod kept;
mod lifecycle;
mod load;
mod operator;
mod ordering;
mod organizations;
mod proofs;
mod python;
mod refusals;
mod schema;
mod support;
