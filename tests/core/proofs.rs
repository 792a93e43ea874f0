//! Which proofs of identity a notice has, by what the customer wants and what AWS STS says.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use hawser::{
    error::{Code, Failure},
    handler,
    identity::{Identity, IdentityProof, IdentityToken, NoToken, Proof, ProofKind, ProofRequest},
    ports::{NoResponse, Ports, Vendor, VendorResponse},
};
use hawser_account::AccountFile;
use hawser_sim::World;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

const RESPONSE_URL: &str =
    "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/x?X-Amz-Signature=y";

#[test]
fn proofs_by_request_and_answer() {
    use ProofKind::{Request, Token};
    let why = NoToken("it answered 403 `OutboundWebIdentityFederationDisabledException`".to_owned());
    for (word, asks, falls_back) in [
        ("Auto", &[Request, Token][..], Ok(&[Request][..])),
        ("Request", &[Request], Ok(&[Request])),
        ("Token", &[Token], Err(Code::IdentityTokenMissing)),
    ] {
        let (_, asked) = IdentityProof::WORDS.into_iter().find(|(known, _)| *known == word).unwrap();
        assert_eq!(asked.kinds(), asks, "{word}");
        assert_eq!(asked.kinds_without(&why).map_err(|failure| failure.code), falls_back, "{word}");
    }
    assert_eq!(IdentityProof::WORDS[0].0, "Auto", "the first is the default");
}

#[test]
fn tokens_are_read_from_answers() {
    let answer = |token: &str| {
        let xml =
            format!("<a><GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken></GetWebIdentityTokenResult></a>");
        IdentityToken::in_answer(&xml)
    };
    let token = answer("eyJh.eyJi-_.c2ln").unwrap();
    assert_eq!(json!(token), "eyJh.eyJi-_.c2ln");
    assert_eq!(format!("{token:?}"), "IdentityToken([redacted])");
    for bad in ["", "a b", "a\"b", "a<b", "é"] {
        assert_eq!(answer(bad), None, "{bad}");
    }
    for xml in ["", "<WebIdentityToken>a.b.c", "a.b.c</WebIdentityToken>", "{}"] {
        assert_eq!(IdentityToken::in_answer(xml), None, "{xml}");
    }
}

/// STS, as far as it makes tokens.
struct Sts {
    federated: bool,
    asked: Mutex<Vec<ProofRequest>>,
}

#[async_trait]
impl Identity for Sts {
    async fn prove(&self, request: &ProofRequest) -> Result<Proof, Failure> {
        let headers = BTreeMap::from([("x-hawser-event-sha256".to_owned(), request.event_sha256.clone())]);
        Ok(Proof { method: "POST".to_owned(), url: String::new(), headers, body: String::new() })
    }

    async fn token(&self, request: &ProofRequest) -> Result<IdentityToken, NoToken> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = format!("<WebIdentityToken>{}</WebIdentityToken>", request.event_sha256);
        IdentityToken::in_answer(&answer).filter(|_| self.federated).ok_or_else(|| NoToken("it answered 403".to_owned()))
    }
}

/// Agrees, and keeps what it got.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

#[async_trait]
impl Vendor for Kept {
    async fn post(
        &self,
        _: &Url,
        headers: &BTreeMap<&'static str, String>,
        body: &str,
        _: Duration,
    ) -> Result<VendorResponse, NoResponse> {
        self.0.lock().unwrap().push(serde_json::from_str(body).unwrap());
        let body = json!({"noticeId": headers["webhook-id"]}).to_string().into_bytes();
        Ok(VendorResponse { status: 200, retry_after: None, body })
    }
}

/// What came of a Create: response, notices, and what STS was asked.
fn created(asked: Option<&str>, federated: bool) -> (Value, Vec<Value>, Vec<ProofRequest>) {
    let event = json!({
        "RequestType": "Create", "RequestId": "r-1", "ResponseURL": RESPONSE_URL, "LogicalResourceId": "Connection",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70", "ResourceType": "Custom::AccountConnection",
        "ResourceProperties": {
            "NoticeUrl": "https://vendor.example:8443/notices", "RoleArn": "arn:aws:iam::111122223333:role/vendor",
            "LaunchToken": "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==", "ExternalId": "ext-1", "IdentityProof": asked,
        },
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (world, vendor) = (World::new(AccountFile::default()), Kept::default());
        let sts = Sts { federated, asked: Mutex::default() };
        let ports = Ports { vendor: &vendor, identity: &sts, ..world.ports() };
        handler::answer(&event, ports.clock.now() + Duration::from_secs(120), &ports).await.unwrap();
        let response = world.mailbox.responses(RESPONSE_URL).remove(0);
        (response, vendor.0.into_inner().unwrap(), sts.asked.into_inner().unwrap())
    })
}

/// HW-C3: each proof covers the same event, which says the kinds of proof that it came with.
#[test]
fn every_proof_covers_the_event_as_it_is_sent() {
    for (property, federated, kinds, asked) in [
        (None, true, &["request", "token"][..], 1),
        (None, false, &["request"], 1),
        (Some("Auto"), true, &["request", "token"], 1),
        (Some("Request"), true, &["request"], 0),
        (Some("Token"), true, &["token"], 1),
    ] {
        let (response, notices, requests) = created(property, federated);
        assert_eq!(
            (&response["Status"], notices.len(), requests.len()),
            (&json!("SUCCESS"), 1, asked),
            "{property:?} {federated}"
        );
        let mut event = notices[0].clone();
        let proofs = event["data"].as_object_mut().unwrap().remove("proofs").unwrap();
        assert_eq!(event["data"]["proofKinds"], json!(kinds));
        let proofs = proofs.as_array().unwrap();
        assert!(proofs.iter().map(|proof| &proof["kind"]).eq(kinds.iter()), "{proofs:?}");
        let digest = hex::encode(Sha256::digest(event.to_string()));
        for proof in proofs {
            let covered = if proof["kind"] == "token" { &proof["token"] } else { &proof["headers"]["x-hawser-event-sha256"] };
            assert_eq!(covered, digest.as_str(), "{property:?} {federated}");
        }
        assert!(requests.iter().all(|request| request.audience == "vendor.example:8443"));
    }
}

/// Whoever wants a token alone gets no request sent in its place.
#[test]
fn a_token_alone_is_never_replaced() {
    let (response, notices, _) = created(Some("Token"), false);
    assert_eq!((&response["Status"], notices.len()), (&json!("FAILED"), 0));
    assert!(response["Reason"].as_str().unwrap().contains("IDENTITY_TOKEN_MISSING"), "{response}");
    let (response, ..) = created(Some("token"), true);
    assert!(response["Reason"].as_str().unwrap().contains("PROPERTY_INVALID"), "{response}");
}
