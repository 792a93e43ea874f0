//! What must hold of anything that strangers send to the console, one function for each fuzz target. A fuzzer may feed them what it
//! makes up, `console/tests/console/fuzzed_inputs.rs` the kept notices and what is near them.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hawser_console::{
    document::Document,
    identity::Identity,
    notice::{Hint, Notice},
    proof::{self, Trust},
    secret::Secret,
    token::{self, DIGEST_TAG, Keys, Unverified},
};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use serde_json::{Value, json};
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

/// Any text as a token, whole and part by part, as the key set of an issuer, and as claims that an issuer signed.
pub(crate) fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.starts_with('{') {
        vouches(text);
    }
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

/// Any text as the claims of a token with a good signature: whether it vouches for the kept notice. What does says all that it must.
pub(crate) fn vouches(text: &str) -> bool {
    let kept = include_str!("../../../docs/notices/v1/established/body.json");
    let document = Document::read(kept.as_bytes()).expect("a kept notice");
    let event: Value = serde_json::from_str(kept).expect("a kept notice");
    let notice = Notice::parse(&document, event["id"].as_str().unwrap_or_default(), NOW).expect("a kept notice");
    let Ok(said) = serde_json::from_str::<Value>(text) else { return false };
    let token = signed(text);
    let Ok(unverified) = Unverified::read(&Secret::new(token)) else { return false };
    let keys = Keys::read(&key_set().to_string()).expect("a key set");
    let Ok(attested) = token::check(&notice, &unverified, keys, &[AUDIENCE.to_owned()], NOW) else { return false };
    let aws = &said["https://sts.amazonaws.com/"];
    let audience = said["aud"].as_str().or_else(|| said["aud"][0].as_str());
    assert_eq!(audience, Some(AUDIENCE));
    assert_eq!(said["iss"], attested.bearer.issuer.as_str());
    assert_eq!(said["sub"], attested.bearer.role_arn);
    assert_eq!(said["jti"], attested.id);
    assert_eq!(aws["aws_account"], notice.account().as_str());
    assert_eq!(aws["request_tags"][DIGEST_TAG], notice.event_sha256);
    let role = format!("arn:{}:iam::{}:role/", notice.stack.partition.as_str(), notice.account().as_str());
    assert!(attested.bearer.role_arn.starts_with(&role), "{}", attested.bearer.role_arn);
    let now = NOW.unix_timestamp();
    assert!(said["iat"].as_i64().is_some_and(|iat| (now - 360..=now + 60).contains(&iat)), "{}", said["iat"]);
    assert!(said["exp"].as_i64().is_some_and(|exp| exp > now - 60), "{}", said["exp"]);
    true
}

/// Claims that vouch for the kept notice: what to begin with.
pub(crate) fn good_claims() -> Value {
    let kept: Value =
        serde_json::from_str(include_str!("../../../docs/notices/v1/established/body.json")).expect("a kept notice");
    let account = &kept["data"]["accountId"];
    let role = format!("arn:aws:iam::{}:role/hawser-HandlerRole-1A2B3C4D5E6F", account.as_str().unwrap_or_default());
    json!({
        "iss": "https://00000001-1111-4222-8333-444455556666.tokens.sts.global.api.aws", "sub": role, "aud": AUDIENCE,
        "iat": NOW.unix_timestamp(), "exp": NOW.unix_timestamp() + 300, "jti": "2f0c9d3e-7c1b-4b86-9d5a-0d2a3c4b5e6f",
        "https://sts.amazonaws.com/": {
            "aws_account": account, "org_id": "o-exampleorgid", "principal_id": role,
            "request_tags": {DIGEST_TAG: kept["data"]["proofs"][0]["headers"]["x-hawser-event-sha256"]},
        },
    })
}

/// Made for tests only, so it signs for nobody.
fn key() -> KeyPair {
    let text: String = include_str!("../console/keys/rsa.base64").split_whitespace().collect();
    KeyPair::from_pkcs8(&STANDARD.decode(text).expect("Base64")).expect("a key")
}

fn key_set() -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key().public());
    let [n, e] = [public.n, public.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({"keys": [{"kid": "one", "kty": "RSA", "use": "sig", "alg": "RS256", "n": n, "e": e}]})
}

fn signed(claims: &str) -> String {
    let [header, claims] = [r#"{"alg":"RS256","kid":"one"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Any text as the answer of AWS STS.
pub(crate) fn answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(identity) = Identity::read(text) {
        assert!(!text.contains("<!DOCTYPE"), "{identity:?}");
    }
}
