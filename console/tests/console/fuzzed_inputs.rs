//! What the fuzz targets begin with, and everything near it: each kept notice cut off and changed in many places.

use std::{fs, path::Path};

use crate::{
    fuzzed,
    support::{ACCOUNT, identity_xml},
};

/// These take the place of others in turn.
const BYTES: &[u8] = b"\"\\{}[],:0-.eE\x00\x1f\x7f\x80\xc3\xed\xff ";

/// Between the places that are changed: a prime, so that they fall on names, values and signs alike, and few enough for seconds.
const STEP: usize = 31;

fn vary(text: &[u8], check: fn(&[u8])) {
    check(text);
    for at in (0..text.len()).step_by(STEP) {
        check(&text[..at]);
        let mut changed = text.to_vec();
        changed[at] = BYTES[at % BYTES.len()];
        check(&changed);
    }
}

#[test]
fn kept_notices_and_their_neighbours() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/notices/v1"));
    let bodies: Vec<_> =
        fs::read_dir(folder).unwrap().filter_map(|entry| fs::read(entry.unwrap().path().join("body.json")).ok()).collect();
    assert!(bodies.len() > 10);
    for body in bodies {
        vary(&body, fuzzed::notice);
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for proof in event["data"]["proofs"].as_array().unwrap() {
            vary(proof.to_string().as_bytes(), fuzzed::proof);
            vary(proof["token"].as_str().unwrap_or_default().as_bytes(), fuzzed::token);
        }
    }
    let claims = format!("{{\"iss\":\"https://{}.tokens.sts.global.api.aws\"}}", "00000001-1111-4222-8333-444455556666");
    vary(format!("{{\"alg\":\"ES384\",\"kid\":\"one\"}}.{claims}.x").as_bytes(), fuzzed::token);
    vary(identity_xml(ACCOUNT).as_bytes(), fuzzed::answer);
}
