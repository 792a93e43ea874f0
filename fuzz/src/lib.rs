//! The fuzz targets' bodies are the repository's `tests/fuzzed`, so that `make test` replays the corpus without a fuzzing
//! engine; what is here is how JSON is changed into other JSON.

#[path = "../../tests/fuzzed/mod.rs"]
mod fuzzed;
pub mod mutate;

/// Any JSON as an event.
pub fn event(data: &[u8]) {
    fuzzed::event::check(data);
}

/// Any text as a bucket's policy.
pub fn policy(data: &[u8]) {
    fuzzed::policy::check(data);
}

/// Any verdict as a response.
pub fn reply(data: &[u8]) {
    fuzzed::reply::check(data);
}
