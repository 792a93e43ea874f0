//! What must hold of anything that strangers send to the console, one function for each fuzz target. A fuzzer may feed them what it
//! makes up, `console/tests/console/fuzzed_inputs.rs` the kept notices and what is near them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hawser_console::{
    document::Document,
    identity::Identity,
    notice::{Hint, Notice},
    proof::{self, Trust},
    secret::Secret,
    token::{Keys, Unverified},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::datetime};

/// Of the kept notices, so that their proofs are fresh.
const NOW: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);
/// The audience of the kept notices.
const AUDIENCE: &str = "hawser.example.com:8443";

/// Any body as a notice.
pub(crate) fn notice(data: &[u8]) {
    let Ok(document) = Document::read(data) else { return };
    let event: Value = serde_json::from_slice(data).expect("what the strict reader takes, every reader takes");
    let _ = Hint::read(&document);
    let Ok(notice) = Notice::parse(&document, event["id"].as_str().unwrap_or_default(), NOW) else { return };
    assert_eq!(event["data"]["accountId"], notice.account().as_str());
    assert_eq!(event["source"], notice.stack.as_str());
    let mut covered = event;
    covered["data"].as_object_mut().map(|data| data.remove("proofs"));
    let canonical = serde_json_canonicalizer::to_vec(&covered).expect("it is JSON");
    assert_eq!(notice.event_sha256, hex::encode(Sha256::digest(canonical)), "the digest is of something else than was sent");
    assert!(notice.data["proofs"].is_null(), "a proof would be stored");
    let Ok(request) = proof::check(&notice, &Trust::Aws, &[AUDIENCE.to_owned()], NOW) else { return };
    let host = format!("https://sts.{}.{}/", notice.stack.region, notice.stack.partition.dns_suffix());
    assert_eq!(request.url, host, "a request would go elsewhere");
    assert!(!notice.stack.region.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-'), "{}", notice.stack.region);
    for (name, value) in &request.headers {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        assert!(value.expose().bytes().all(|b| b.is_ascii_graphic() || b == b' '), "a value of `{name}` is no header's");
    }
}

/// Any JSON as the proof of a good notice.
pub(crate) fn proof(data: &[u8]) {
    let Ok(made_up) = serde_json::from_slice::<Value>(data) else { return };
    let kept = include_str!("../../../docs/notices/v1/established/body.json");
    let mut event: Value = serde_json::from_str(kept).expect("a kept notice");
    event["data"]["proofs"][0] = made_up;
    notice(event.to_string().as_bytes());
}

/// Any text as a token, whole and part by part, and as the key set of an issuer.
pub(crate) fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Keys::read(text);
    let parts: Vec<String> = text.split('.').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    for token in [text.to_owned(), parts.join(".")] {
        let Ok(unverified) = Unverified::read(&Secret::new(token)) else { continue };
        let host = unverified.issuer.keys_url();
        let host = host.strip_prefix("https://").and_then(|rest| rest.strip_suffix("/.well-known/jwks.json"));
        let zone = host.and_then(|host| host.strip_suffix(".tokens.sts.global.api.aws"));
        assert!(zone.is_some_and(|id| id.len() == 36 && !id.contains(['.', '/', ':', '@'])), "keys would be fetched elsewhere");
    }
}

/// Any text as the answer of AWS STS.
pub(crate) fn answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(identity) = Identity::read(text) {
        assert!(!text.contains("<!DOCTYPE"), "{identity:?}");
    }
}
