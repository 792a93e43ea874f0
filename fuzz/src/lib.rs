//! The fuzz targets' bodies are the repository's `tests/fuzzed`, so that `make test` replays the corpus without a fuzzing
//! engine; what is here is how JSON is changed into other JSON.

#[path = "../../console/tests/fuzzed/mod.rs"]
mod console;
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

/// Any body as a notice to the console.
pub fn notice(data: &[u8]) {
    console::notice(data);
}

/// Any JSON as the proof in a notice.
pub fn proof(data: &[u8]) {
    console::proof(data);
}

/// Any text as a token and as a set of keys.
pub fn token(data: &[u8]) {
    console::token(data);
}

/// Any text as what AWS STS answers to a proof.
pub fn answer(data: &[u8]) {
    console::answer(data);
}
