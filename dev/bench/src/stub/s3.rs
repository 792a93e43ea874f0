//! S3's control calls on a bucket, path style: `HEAD /bucket`, `PUT /bucket`, `PUT /bucket?<setting>`.

use http::{Method, StatusCode};
use roxmltree::Document;

use super::account::{Account, Bucket};
use super::{ACCOUNT, Answer, HttpRequest};

const XML: &str = "application/xml";

pub(super) fn answer(account: &mut Account, request: &HttpRequest) -> Result<Answer, String> {
    let uri = &request.head.uri;
    let name = uri.path().trim_matches('/');
    if name.is_empty() || name.contains('/') {
        return Err("not a call on a bucket".to_owned());
    }
    // SDKs add `x-id=<Operation>` to some calls, for the record only.
    let query: Vec<&str> =
        uri.query().unwrap_or_default().split('&').filter(|it| !it.is_empty() && !it.starts_with("x-id=")).collect();
    let setting = query.first().map(|it| it.split('=').next().unwrap_or_default());
    match (&request.head.method, setting) {
        (&Method::HEAD, None) => {
            expect_owner(request)?;
            let status = if account.buckets.contains_key(name) { StatusCode::OK } else { StatusCode::NOT_FOUND };
            Ok(done("HeadBucket", status).with("x-amz-bucket-region", "us-east-1"))
        }
        (&Method::PUT, None) => create(account, name, request),
        (&Method::PUT, Some(setting)) => {
            expect_owner(request)?;
            if !request.head.headers.keys().any(|it| it.as_str().starts_with("x-amz-checksum-") || it == "content-md5") {
                return Err("neither `content-md5` nor a checksum".to_owned());
            }
            let bucket = account.buckets.get_mut(name).ok_or("no such bucket")?;
            set(bucket, name, setting, request)
        }
        _ => Err("not part of the work".to_owned()),
    }
}

fn done(operation: &'static str, status: StatusCode) -> Answer {
    Answer::new(operation, status, XML, "").with("x-amz-request-id", "0123456789ABCDEF").with("x-amz-id-2", "bench")
}

fn expect_owner(request: &HttpRequest) -> Result<(), String> {
    match request.header("x-amz-expected-bucket-owner") {
        Some(ACCOUNT) => Ok(()),
        _ => Err("`x-amz-expected-bucket-owner` is not this account".to_owned()),
    }
}

fn body(request: &HttpRequest) -> Result<&str, String> {
    std::str::from_utf8(&request.body).map_err(|error| format!("the body: {error}"))
}

fn create(account: &mut Account, name: &str, request: &HttpRequest) -> Result<Answer, String> {
    if account.buckets.contains_key(name) {
        return Err("created twice".to_owned());
    }
    let text = body(request)?;
    let document = Document::parse(text).map_err(|error| format!("the body: {error}"))?;
    // `us-east-1` is not a legal value of it, API reference of `CreateBucket`.
    if texts(&document, "LocationConstraint").next().is_some() {
        return Err("a `LocationConstraint` in us-east-1".to_owned());
    }
    let owner_enforced = request.header("x-amz-object-ownership") == Some("BucketOwnerEnforced");
    let tagged = texts(&document, "Key").any(|it| it == "hawser:stack-id");
    account.buckets.insert(name.to_owned(), Bucket { owner_enforced, tagged, ..Bucket::default() });
    Ok(done("CreateBucket", StatusCode::OK).with("location", &format!("/{name}")))
}

fn set(bucket: &mut Bucket, name: &str, setting: &str, request: &HttpRequest) -> Result<Answer, String> {
    let text = body(request)?;
    if setting == "policy" {
        let policy: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("MalformedPolicy: {error}"))?;
        if !policy.to_string().contains(&format!("arn:aws:s3:::{name}")) {
            return Err("MalformedPolicy: it names another bucket".to_owned());
        }
        bucket.policy = Some(policy);
        return Ok(done("PutBucketPolicy", StatusCode::NO_CONTENT));
    }
    let document = Document::parse(text).map_err(|error| format!("the body: {error}"))?;
    let all = |name: &str, value: &str| texts(&document, name).any(|it| it == value);
    match setting {
        "publicAccessBlock" => {
            let switches = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
            bucket.closed = switches.into_iter().all(|it| all(it, "true"));
            Ok(done("PutPublicAccessBlock", StatusCode::OK))
        }
        "encryption" => {
            bucket.encrypted = all("SSEAlgorithm", "AES256");
            Ok(done("PutBucketEncryption", StatusCode::OK))
        }
        "lifecycle" => {
            bucket.lifecycle = all("Status", "Enabled");
            Ok(done("PutBucketLifecycleConfiguration", StatusCode::OK))
        }
        other => Err(format!("`?{other}` is not part of the work")),
    }
}

fn texts<'d>(document: &'d Document<'_>, name: &'d str) -> impl Iterator<Item = &'d str> {
    document.descendants().filter(move |it| it.tag_name().name() == name).filter_map(|it| it.text())
}
