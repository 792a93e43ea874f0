//! Answers of custom resources, as CloudFormation takes them: an upload to a presigned S3 URL first, and only then a JSON
//! document that CloudFormation reads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::{SigningOutput, sign::v4};
use hawser_account::response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use url::Url;

use super::calls::{Upload, lock};
use super::refusal::refused;
use super::shared::Shared;
use super::wire::{Answer, AwsError, Request, decode, respond};
use crate::faults;
use crate::serve::{Ending, Peer};

/// What a scenario calls the upload.
const SERVICE: &str = "upload";

/// How the bucket of CloudFormation's response URLs begins; the Region without dashes follows.
pub(super) const BUCKET: &str = "/cloudformation-custom-resource-response-";

/// Whose signature the URLs have, here and in the emulator's start script.
const ACCESS_KEY: &str = "AKIACLOUDFORMATION00";

/// What S3 leaves unescaped in a key.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Takes an upload, unless a fault meets it.
pub(super) async fn receive(shared: Arc<Shared>, peer: Peer, request: Request) -> Result<Answer, Ending> {
    let mut upload = named(&request);
    upload.fault = shared.faults.next(SERVICE, &upload.logical_id);
    let fault = upload.fault.clone();
    if let Some(instead) = faults::before(fault.as_ref(), peer, |refusal| refused(None, "s3", "PutObject", &refusal).xml()).await
    {
        upload.status = instead.as_ref().map_or(0, |answer| answer.status().as_u16());
        lock(&shared.uploads).push(upload);
        return instead;
    }
    // In a task of its own: what has begun is finished even when the client goes.
    let taken = tokio::spawn(async move { take(&shared, &request, upload).await }).await;
    faults::after(fault.as_ref(), peer, taken.map_err(|_| Ending::Close)?).await
}

/// Which request it answers, by the URL's key.
fn named(request: &Request) -> Upload {
    let key = decode(&request.path).splitn(3, '/').nth(2).unwrap_or_default().to_owned();
    let mut parts = key.split('|').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Upload {
        stack_id: part(),
        logical_id: part(),
        request_id: part(),
        status: 200,
        problem: None,
        body: Value::Null,
        accepted: false,
        fault: None,
    }
}

/// S3's checks, CloudFormation's checks, and on to the emulator.
async fn take(shared: &Shared, request: &Request, mut upload: Upload) -> Answer {
    if let Err(error) = stored(&shared.response_key, request, OffsetDateTime::now_utc()) {
        upload.status = error.status;
        upload.problem = Some(error.code.clone());
        lock(&shared.uploads).push(upload);
        return error.xml();
    }
    let asked = json!({"StackId": upload.stack_id, "LogicalResourceId": upload.logical_id, "RequestId": upload.request_id});
    let document = response::accept(&asked, &request.body);
    upload.problem = document.as_ref().err().cloned();
    upload.body = serde_json::from_slice(&request.body).unwrap_or_default();
    let physical_id = upload.body["PhysicalResourceId"].as_str().unwrap_or_default().to_owned();
    let handed_on =
        document.unwrap_or_else(|problem| json!({"Status": "FAILED", "Reason": problem, "PhysicalResourceId": physical_id}));
    let request_id = upload.request_id.clone();
    let accepted = {
        let mut uploads = lock(&shared.uploads);
        upload.accepted = !uploads.iter().any(|earlier| earlier.accepted && earlier.request_id == request_id);
        uploads.push(upload);
        uploads.last().is_some_and(|upload| upload.accepted)
    };
    if accepted {
        shared.forward_response(&request_id, &handed_on).await;
    }
    respond(200, "application/xml", "")
}

/// S3's side: signature over the bytes of the URL, expiry, length, and no content type.
fn stored(key: &str, request: &Request, now: OffsetDateTime) -> Result<(), AwsError> {
    let query = request.query_pairs();
    let value = |name: &str| query.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.as_str());
    let date = format_description!("[year][month][day]T[hour][minute][second]Z");
    let signed_at = time::PrimitiveDateTime::parse(value("X-Amz-Date"), date).map(time::PrimitiveDateTime::assume_utc);
    let lifetime = value("X-Amz-Expires").parse().map(Duration::from_secs);
    let (Ok(signed_at), Ok(lifetime)) = (signed_at, lifetime) else {
        return Err(AwsError::new(400, "AuthorizationQueryParametersError", "X-Amz-Date or X-Amz-Expires is malformed"));
    };
    let region = value("X-Amz-Credential").split('/').nth(2).unwrap_or_default();
    let url = format!("http://{}{}", request.header("host"), request.path);
    let signed = signed_put(key, &url, region, signed_at, lifetime);
    let mismatch = |why: &str| AwsError::new(403, "SignatureDoesNotMatch", why);
    let is_signed = signed.is_ok_and(|signed| {
        let given: BTreeSet<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        given == signed.output().params().iter().map(|(name, value)| (*name, value.as_ref())).collect()
    });
    if request.method != http::Method::PUT || !is_signed {
        let text = "The request signature we calculated does not match the signature you provided.";
        return Err(mismatch(text));
    }
    // URLs of the older kind sign an empty content type, so any other is refused; the handler must suit both kinds.
    if !request.header("content-type").is_empty() {
        return Err(mismatch("The content type is signed, and it is empty."));
    }
    if now > signed_at + lifetime {
        return Err(AwsError::new(403, "AccessDenied", "Request has expired"));
    }
    if request.header("content-length").is_empty() {
        return Err(AwsError::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header."));
    }
    Ok(())
}

/// A response URL as CloudFormation makes them, for events that a test sends itself.
pub(super) fn presign(key: &str, front: &str, ids: [&str; 3], now: OffsetDateTime, expires: Duration) -> anyhow::Result<String> {
    let [stack_id, logical_id, request_id] = ids;
    let region = stack_id.split(':').nth(3).unwrap_or_default();
    let name = format!("{stack_id}|{logical_id}|{request_id}");
    let name = utf8_percent_encode(&name, UNRESERVED).to_string().replace("%2F", "/");
    let mut url = Url::parse(&format!("{front}{BUCKET}{}/{name}", region.replace('-', "")))?;
    let (instructions, _) = signed_put(key, url.as_str(), region, now, expires)?.into_parts();
    url.query_pairs_mut().extend_pairs(instructions.params());
    Ok(url.into())
}

/// How the query of `url` has to sign a PUT to it, over the bytes of its path.
fn signed_put(
    key: &str,
    url: &str,
    region: &str,
    at: OffsetDateTime,
    expires: Duration,
) -> anyhow::Result<SigningOutput<SigningInstructions>> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(expires);
    // S3 takes a path as it is.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = Credentials::new(ACCESS_KEY, key, None, None, "response URLs").into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("s3").time(at.into()).settings(settings);
    let request = SignableRequest::new("PUT", url, std::iter::empty(), SignableBody::UnsignedPayload)?;
    Ok(sign(request, &params.build()?.into())?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 10:00:00 UTC);
    const KEY: &str = "a key";
    const IDS: [&str; 3] = ["arn:aws:cloudformation:eu-west-1:111122223333:stack/s/uuid", "BillingExport", "request"];

    fn put() -> Request {
        let url = presign(KEY, "http://127.0.0.1:1", IDS, NOW, Duration::from_secs(7200)).unwrap();
        let rest = url.strip_prefix("http://127.0.0.1:1").unwrap();
        let (path, query) = rest.split_once('?').unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:1"));
        headers.insert("content-length", HeaderValue::from_static("2"));
        Request { method: Method::PUT, path: path.into(), query: query.into(), headers, body: Bytes::from("{}") }
    }

    fn refused(change: impl FnOnce(&mut Request), at: OffsetDateTime) -> String {
        let mut request = put();
        change(&mut request);
        stored(KEY, &request, at).unwrap_err().code
    }

    #[test]
    fn the_url_as_given_is_accepted() {
        assert_eq!(stored(KEY, &put(), NOW), Ok(()));
        assert!(put().path.contains("%3A") && put().path.contains("%7C") && put().path.contains("stack/s/uuid"));
    }

    #[test]
    fn s3_refuses_what_it_refuses() {
        let decoded = |request: &mut Request| request.path = request.path.replace("%7C", "|");
        assert_eq!(refused(decoded, NOW), "SignatureDoesNotMatch");
        let typed = |request: &mut Request| {
            request.headers.insert("content-type", HeaderValue::from_static("application/json"));
        };
        assert_eq!(refused(typed, NOW), "SignatureDoesNotMatch");
        let chunked = |request: &mut Request| {
            request.headers.remove("content-length");
        };
        assert_eq!(refused(chunked, NOW), "MissingContentLength");
        assert_eq!(refused(|_| {}, NOW + Duration::from_secs(7201)), "AccessDenied");
    }
}
