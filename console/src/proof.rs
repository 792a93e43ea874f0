//! The proof of identity: a signed `sts:GetCallerIdentity` request that we forward to STS.
//!
//! Whoever may send any request to a host of their choice through us could shape the answer (HashiCorp Vault,
//! CVE-2020-16250), so nothing here is parsed and corrected: method, URL, body and every header must be exactly the
//! ones that a stack of this Region sends, and the signature must cover all headers. STS then says whether the
//! signature is good, and whose.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime, PrimitiveDateTime, macros::format_description};
use url::Url;

use crate::{
    names::StackId,
    notice::Notice,
    refusal::{Reason, Refusal},
    secret::Secret,
};

/// STS takes a signature until 15 minutes after its date.
pub const AGE_MAX: Duration = Duration::minutes(15);
/// Clocks differ; the same as for the notice's own signature.
pub const AHEAD_MAX: Duration = Duration::minutes(5);
/// A session token has at most 4,096 bytes (STS API reference, "MinimumSessionTokenSize"); before 2026-09 AWS named no maximum, and
/// may raise this one. The notice's own limit is eight times this.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// An access key's id has at most 128 characters (IAM API reference, `accessKeyIdType`); it is remembered while it is refused.
const KEY_ID_BYTES_MAX: usize = 128;

/// The only form we forward (AWS STS API reference, `GetCallerIdentity`, version 2011-06-15).
pub const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

const AUTHORIZATION: &str = "authorization";
const SESSION_TOKEN: &str = "x-amz-security-token";
/// The headers of the proof: all but the session token, which only temporary credentials have, must be there.
const HEADERS: [&str; 7] =
    [AUTHORIZATION, "content-type", "host", "x-amz-date", SESSION_TOKEN, "x-hawser-audience", "x-hawser-event-sha256"];

/// Which STS endpoints are believed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// AWS's own: the Regional endpoint of the stack's Region, and no other.
    Aws,
    /// This one URL, whatever the Region: an emulator.
    Only(Url),
}

impl Trust {
    /// The only URL that a proof from this stack may name, byte for byte. One comparison refuses foreign hosts, plain
    /// HTTP, ports, user names, paths and queries alike.
    fn url(&self, stack: &StackId) -> String {
        match self {
            Self::Aws => format!("https://sts.{}.{}/", stack.region, stack.partition.dns_suffix()),
            Self::Only(url) => url.as_str().to_owned(),
        }
    }
}

/// A request to STS that is safe to send.
#[derive(Debug, Clone)]
pub struct StsRequest {
    /// Made here, not taken from the notice.
    pub url: String,
    /// To be sent as they are; without `host`, which follows from the URL.
    pub headers: Vec<(String, Secret)>,
    /// Whose signature it says it has.
    pub access_key_id: String,
}

/// Checks everything about the proof that can be known without asking AWS. `audiences` are our names in notice URLs, of now and of
/// before.
///
/// # Errors
/// [`Reason::Proof`] with the first thing that is not as it must be.
pub fn check(notice: &Notice, trust: &Trust, audiences: &[String], now: OffsetDateTime) -> Result<StsRequest, Refusal> {
    let require = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(Reason::Proof.with(why)) };
    let proof = notice.proof.as_ref().ok_or_else(|| Reason::Proof.with("there is none of a kind that this version checks"))?;
    let url = trust.url(&notice.stack);
    require(proof.method == "POST", "its method is not POST")?;
    require(proof.url == url, "its URL is not the STS endpoint of the stack's Region")?;
    require(proof.body == BODY, "its body is not GetCallerIdentity")?;

    let headers = &proof.headers;
    // Names in lower case only: `Host` beside `host` is unknown, and so is every other header.
    require(headers.keys().all(|name| HEADERS.contains(&name.as_str())), "it has an unknown header")?;
    let text = |name: &str| match headers.get(name) {
        Some(value) if is_header_value(value) => Ok(value.as_str()),
        _ => Err(Reason::Proof.with("a header is missing or not plain text")),
    };
    for name in HEADERS.into_iter().filter(|name| *name != SESSION_TOKEN || headers.contains_key(*name)) {
        text(name)?;
    }
    require(text("content-type")? == CONTENT_TYPE, "its content type is not a form")?;
    require(text("host")? == authority(&url), "its host is not the STS endpoint of the stack's Region")?;
    let audience = text("x-hawser-audience")?;
    require(audiences.iter().any(|ours| ours == audience), "it was made for another vendor")?;
    require(text("x-hawser-event-sha256")? == notice.event_sha256, "it covers another event than this notice")?;

    let date = text("x-amz-date")?;
    let signed_at = amz_date(date).ok_or_else(|| Reason::Proof.with("its date does not have the form `YYYYMMDDThhmmssZ`"))?;
    require(now - signed_at <= AGE_MAX, "it is older than 15 minutes")?;
    require(signed_at - now <= AHEAD_MAX, "its date is in the future")?;

    let authorization = Authorization::read(text(AUTHORIZATION)?)
        .ok_or_else(|| Reason::Proof.with("its `authorization` does not have the AWS4-HMAC-SHA256 form"))?;
    let scope = [&date[..8], notice.stack.region.as_str(), "sts", "aws4_request"];
    require(authorization.scope == scope, "its scope is not the day, the stack's Region and STS")?;
    // A header that is not signed could have been put there, or left out, by anyone on the way.
    let sent: BTreeSet<&str> = headers.keys().map(String::as_str).filter(|name| *name != AUTHORIZATION).collect();
    require(authorization.signed_headers.iter().copied().eq(sent), "one of its headers is not signed")?;

    Ok(StsRequest {
        access_key_id: authorization.key_id.to_owned(),
        headers: headers
            .iter()
            .filter(|(name, _)| *name != "host")
            .map(|(name, value)| (name.clone(), Secret::new(value.as_str())))
            .collect(),
        url,
    })
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…` (AWS general reference, "Create a signed request").
struct Authorization<'a> {
    key_id: &'a str,
    scope: [&'a str; 4],
    signed_headers: Vec<&'a str>,
}

impl<'a> Authorization<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.strip_prefix("AWS4-HMAC-SHA256 ")?.split(", ").collect();
        let [credential, signed_headers, signature] = parts.as_slice() else { return None };
        let credential: Vec<&str> = credential.strip_prefix("Credential=")?.split('/').collect();
        let [key_id, day, region, service, end] = credential.as_slice() else { return None };
        let key_id_legal = (1..=KEY_ID_BYTES_MAX).contains(&key_id.len()) && key_id.bytes().all(|b| b.is_ascii_alphanumeric());
        let signature = signature.strip_prefix("Signature=")?;
        let signature_legal = signature.len() == 64 && signature.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (key_id_legal && signature_legal).then_some(Self {
            key_id,
            scope: [day, region, service, end],
            signed_headers: signed_headers.strip_prefix("SignedHeaders=")?.split(';').collect(),
        })
    }
}

/// The text between `//` and the last `/` of a URL that [`Trust::url`] made.
fn authority(url: &str) -> &str {
    url.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'))
}

fn is_header_value(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() || b == b' ';
    !value.is_empty() && value.len() <= HEADER_BYTES_MAX && value.bytes().all(plain)
}

fn amz_date(text: &str) -> Option<OffsetDateTime> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    // The parser may take a sign before the year; AWS does not.
    let legal = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z');
    PrimitiveDateTime::parse(text, form).ok().filter(|_| legal).map(PrimitiveDateTime::assume_utc)
}
