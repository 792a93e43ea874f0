//! What must hold of any input whatever, one function for each fuzz target.
//!
//! `fuzz/` feeds them what libFuzzer makes up, `tests/core/corpus.rs` what was found worth keeping. A function that returns
//! had nothing to say against its input; one that panics says what is wrong. They are written from
//! `docs/requirements.md` and AWS's documentation, not from the code they judge.

pub(crate) mod event;
pub(crate) mod policy;
pub(crate) mod reply;
