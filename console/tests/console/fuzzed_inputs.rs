//! What the fuzz targets begin with, and everything near it: each kept notice cut off and changed in many places. Where
//! `HAWSER_FUZZ_INPUTS` names a folder, what they begin with is written there, each input as a file.

use std::{env, fs, path::Path};

use crate::{
    fuzzed,
    support::{ACCOUNT, identity_xml},
};

/// These take the place of others in turn.
const BYTES: &[u8] = b"\"\\{}[],:0-.eE\x00\x1f\x7f\x80\xc3\xed\xff ";

/// Between the places that are changed: a prime, so that they fall on names, values and signs alike, and few enough for seconds.
const STEP: usize = 31;

fn vary(target: &str, name: &str, text: &[u8], check: fn(&[u8])) {
    if let Some(folder) = inputs() {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
    check(text);
    for at in (0..text.len()).step_by(STEP) {
        check(&text[..at]);
        let mut changed = text.to_vec();
        changed[at] = BYTES[at % BYTES.len()];
        check(&changed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the variable with which the fuzzer's first inputs are asked for")]
fn inputs() -> Option<std::ffi::OsString> {
    env::var_os("HAWSER_FUZZ_INPUTS")
}

#[test]
fn kept_notices_and_their_neighbours() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/notices/v1"));
    let mut kept = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path().join("body.json"), entry.file_name())).unwrap();
        let (Ok(body), name) = (fs::read(path), name.to_str().unwrap()) else { continue };
        kept += 1;
        vary("notice", name, &body, fuzzed::notice);
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for proof in event["data"]["proofs"].as_array().unwrap() {
            vary("proof", name, proof.to_string().as_bytes(), fuzzed::proof);
            if let Some(token) = proof["token"].as_str() {
                vary("token", name, token.as_bytes(), fuzzed::token);
            }
        }
    }
    assert!(kept > 10);
    let claims = fuzzed::good_claims();
    vary("token", "parts", format!("{{\"alg\":\"ES384\",\"kid\":\"one\"}}.{claims}.x").as_bytes(), fuzzed::token);
    vary("token", "claims", claims.to_string().as_bytes(), fuzzed::token);
    vary("answer", "identity", identity_xml(ACCOUNT).as_bytes(), fuzzed::answer);
}

/// What the target of tokens begins with passes every check, or it would never reach the last one.
#[test]
fn the_claims_to_begin_with_are_good() {
    assert!(fuzzed::vouches(&fuzzed::good_claims().to_string()));
}
