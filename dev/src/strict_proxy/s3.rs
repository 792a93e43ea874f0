//! Amazon S3 on the wire: which operation a request is, its members as the service model names them, and the checks of S3
//! that the emulator leaves out.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    model::{Model, Violation},
    wire::{AwsError, Request, decode},
};

/// Query names that every operation may carry.
const ANY_QUERY: [&str; 1] = ["x-id"];

/// `x-amz-` headers that belong to signing, checksums and the SDK, and to no operation.
const ANY_HEADER: [&str; 9] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-checksum-",
];

/// The bucket of a path-style request.
pub(crate) fn bucket(request: &Request) -> Option<String> {
    let first = request.path.strip_prefix('/')?.split('/').next()?;
    (!first.is_empty()).then(|| decode(first))
}

/// The object of a path-style request.
fn key(request: &Request) -> Option<String> {
    request.path.strip_prefix('/')?.split_once('/').map(|(_, key)| decode(key))
}

/// Whether the request names an object.
pub(crate) fn names_object(request: &Request) -> bool {
    request.path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty())
}

/// Whether the request reads an object: these are checked as all others. Whatever writes one goes through unchecked, because
/// the handler has no such call.
pub(crate) fn reads(request: &Request) -> bool {
    matches!(request.method, Method::GET | Method::HEAD)
}

/// The operation of a request: method, and the path and query names that the model's URI asks for.
pub(crate) fn operation(model: &Model, request: &Request) -> Option<String> {
    let query = request.query_pairs();
    let wanted = if names_object(request) { "/{Bucket}/{Key+}" } else { "/{Bucket}" };
    model
        .operations()
        .filter(|(_, operation)| operation["deprecated"] != json!(true))
        .filter(|(_, operation)| operation["http"]["method"] == request.method.as_str())
        .filter_map(|(name, operation)| {
            let uri = operation["http"]["requestUri"].as_str()?;
            let (path, flags) = uri.split_once('?').unwrap_or((uri, ""));
            let flags: Vec<&str> = flags.split('&').filter(|flag| !flag.is_empty()).collect();
            let fits = path == wanted
                && flags.iter().all(|flag| {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                    query.iter().any(|(given, with)| given == name && (value.is_empty() || with == value))
                });
            fits.then_some((flags.len(), name))
        })
        // Among equals the first by name: `GetBucketLifecycleConfiguration`'s older twin is marked as deprecated already.
        .max_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(left.1)))
        .map(|(_, name)| name.clone())
}

/// The members of a bucket-level request, or S3's error when it has something that the model does not know.
pub(crate) fn input(model: &Model, operation: &str, request: &Request) -> Result<Value, AwsError> {
    let shape = model.input(operation).map_or(&Value::Null, |name| model.shape(name));
    let members = shape["members"].as_object();
    let mut input = Map::new();
    let mut known_query: Vec<&str> = uri_flags(model, operation);
    let mut known_headers: Vec<String> = Vec::new();
    known_query.extend(ANY_QUERY);
    let query = request.query_pairs();
    for (name, member) in members.into_iter().flatten() {
        let kind = model.shape(member["shape"].as_str().unwrap_or_default());
        let wire = member["locationName"].as_str().unwrap_or(name);
        match member["location"].as_str() {
            Some("uri") => {
                input.insert(name.clone(), if name == "Key" { json!(key(request)) } else { json!(bucket(request)) });
            }
            Some("querystring") => {
                known_query.push(wire);
                if let Some((_, value)) = query.iter().find(|(given, _)| given == wire) {
                    input.insert(name.clone(), scalar(kind, value).map_err(|wrong| argument(wire, wrong))?);
                }
            }
            Some("header") => {
                known_headers.push(wire.to_ascii_lowercase());
                if let Some(value) = request.headers.get(wire).and_then(|value| value.to_str().ok()) {
                    input.insert(name.clone(), scalar(kind, value).map_err(|wrong| argument(wire, wrong))?);
                }
            }
            _ => {}
        }
    }
    if let Some((name, _)) = query.iter().find(|(name, _)| !known_query.contains(&name.as_str())) {
        return Err(argument(name, "not a parameter of this operation"));
    }
    let unknown = request.headers.keys().map(http::HeaderName::as_str).find(|name| {
        name.starts_with("x-amz-")
            && !known_headers.iter().any(|known| known == name)
            && !ANY_HEADER.iter().any(|any| name == any || (any.ends_with('-') && name.starts_with(any)))
    });
    if let Some(name) = unknown {
        return Err(argument(name, "not a header of this operation"));
    }
    if let Some(payload) = shape["payload"].as_str()
        && !request.body.is_empty()
    {
        let member = &shape["members"][payload];
        input.insert(payload.to_owned(), body(model, member, payload, request)?);
    }
    Ok(Value::Object(input))
}

/// What a constraint of a Region is called by the model.
const LOCATION: &str = "createBucketConfiguration.locationConstraint";

/// Members that S3 does not refuse by its model's rules: a policy, and outside us-east-1 the constraint, which is compared with
/// the endpoint's Region there (`tests/recordings/s3/`, policy-malformed and location).
pub(crate) fn judged_later(violation: &Violation, region: &str) -> bool {
    violation.at == "policy" || (violation.at == LOCATION && region != "us-east-1")
}

/// The answer to members that break the model's rules.
pub(crate) fn refusal(violations: &[Violation], payload: Option<&str>, input: &Value) -> AwsError {
    if violations.iter().any(|violation| violation.at == LOCATION) {
        let given = input["CreateBucketConfiguration"]["LocationConstraint"].clone();
        let refused = AwsError::new(400, "InvalidLocationConstraint", "The specified location-constraint is not valid");
        return refused.with("LocationConstraint", given);
    }
    let text = super::model::sentence(violations);
    let in_body = payload.is_some_and(|payload| {
        let payload = payload.to_ascii_lowercase();
        violations.iter().any(|violation| violation.at.to_ascii_lowercase().starts_with(&payload))
    });
    if in_body { malformed_xml(&text) } else { AwsError::new(400, "InvalidArgument", text) }
}

/// The name of the member that travels in the body.
pub(crate) fn payload<'m>(model: &'m Model, operation: &str) -> Option<&'m str> {
    model.shape(model.input(operation)?)["payload"].as_str()
}

/// Operations that change settings want a checksum of their body.
pub(crate) fn checksum_missing(model: &Model, operation: &str, request: &Request) -> Option<AwsError> {
    let required = model.operation(operation)?["httpChecksum"]["requestChecksumRequired"] == json!(true);
    let given = request
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .any(|name| name == "content-md5" || (name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-type"));
    (required && !given).then(|| {
        AwsError::new(400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    })
}

fn uri_flags<'m>(model: &'m Model, operation: &str) -> Vec<&'m str> {
    let uri = model.operation(operation).and_then(|found| found["http"]["requestUri"].as_str()).unwrap_or_default();
    let flags = uri.split_once('?').map_or("", |(_, flags)| flags);
    flags.split('&').filter(|flag| !flag.is_empty()).map(|flag| flag.split('=').next().unwrap_or(flag)).collect()
}

fn argument(name: &str, why: &str) -> AwsError {
    AwsError::new(400, "InvalidArgument", format!("`{name}` is {why}"))
}

fn malformed_xml(detail: &str) -> AwsError {
    let text = "The XML you provided was not well-formed or did not validate against our published schema";
    AwsError::new(400, "MalformedXML", format!("{text}: {detail}"))
}

fn scalar(shape: &Value, text: &str) -> Result<Value, &'static str> {
    match shape["type"].as_str().unwrap_or_default() {
        "boolean" => text.parse::<bool>().map(Value::from).map_err(|_| "not a boolean"),
        "integer" | "long" => text.parse::<i64>().map(Value::from).map_err(|_| "not a number"),
        "list" => Ok(text.split(',').map(str::trim).collect()),
        _ => Ok(json!(text)),
    }
}

fn body(model: &Model, member: &Value, payload: &str, request: &Request) -> Result<Value, AwsError> {
    let shape_name = member["shape"].as_str().unwrap_or_default();
    let text = std::str::from_utf8(&request.body).map_err(|_| malformed_xml("not UTF-8"))?;
    if model.shape(shape_name)["type"] != "structure" {
        return Ok(json!(text));
    }
    let document = roxmltree::Document::parse(text).map_err(|error| malformed_xml(&error.to_string()))?;
    let root = document.root_element();
    let expected = member["locationName"].as_str().unwrap_or(payload);
    if root.tag_name().name() != expected {
        return Err(malformed_xml(&format!("expected `{expected}`, found `{}`", root.tag_name().name())));
    }
    element(model, shape_name, root)
}

fn element(model: &Model, shape_name: &str, node: roxmltree::Node<'_, '_>) -> Result<Value, AwsError> {
    let shape = model.shape(shape_name);
    match shape["type"].as_str().unwrap_or_default() {
        "structure" => {
            let mut found = Map::new();
            for child in node.children().filter(roxmltree::Node::is_element) {
                let tag = child.tag_name().name();
                let member = shape["members"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .find(|(name, member)| member["locationName"].as_str().unwrap_or(name) == tag);
                let Some((name, member)) = member else {
                    return Err(malformed_xml(&format!("`{tag}` is not an element of `{}`", node.tag_name().name())));
                };
                let inner = member["shape"].as_str().unwrap_or_default();
                let list = model.shape(inner);
                if list["type"] == "list" && (list["flattened"] == json!(true) || member["flattened"] == json!(true)) {
                    let item = element(model, list["member"]["shape"].as_str().unwrap_or_default(), child)?;
                    match found.entry(name.clone()).or_insert_with(|| json!([])) {
                        Value::Array(items) => items.push(item),
                        _ => return Err(malformed_xml(tag)),
                    }
                } else if found.insert(name.clone(), element(model, inner, child)?).is_some() {
                    return Err(malformed_xml(&format!("`{tag}` occurs twice")));
                }
            }
            Ok(Value::Object(found))
        }
        "list" => {
            let item = shape["member"]["locationName"].as_str().unwrap_or("member");
            let inner = shape["member"]["shape"].as_str().unwrap_or_default();
            node.children()
                .filter(roxmltree::Node::is_element)
                .map(|child| match child.tag_name().name() {
                    name if name == item => element(model, inner, child),
                    name => Err(malformed_xml(&format!("`{name}` is not a `{item}`"))),
                })
                .collect()
        }
        _ => scalar(shape, node.text().unwrap_or_default()).map_err(malformed_xml),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn model() -> Model {
        Model::load(&crate::venv::botocore().unwrap(), "s3").unwrap()
    }

    fn request(method: Method, target: &str, headers: &[(&'static str, &'static str)], body: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        Request { method, path: path.into(), query: query.into(), headers: map, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn operations_are_known_by_method_and_query() {
        let model = model();
        for (method, target, expected) in [
            (Method::PUT, "/b", "CreateBucket"),
            (Method::HEAD, "/b/", "HeadBucket"),
            (Method::PUT, "/b?policy", "PutBucketPolicy"),
            (Method::GET, "/b?policy=", "GetBucketPolicy"),
            (Method::GET, "/b?tagging", "GetBucketTagging"),
            (Method::PUT, "/b?publicAccessBlock", "PutPublicAccessBlock"),
            (Method::PUT, "/b?encryption", "PutBucketEncryption"),
            (Method::PUT, "/b?ownershipControls", "PutBucketOwnershipControls"),
            (Method::PUT, "/b?lifecycle", "PutBucketLifecycleConfiguration"),
            (Method::GET, "/b?location", "GetBucketLocation"),
            (Method::GET, "/b?versions&max-keys=1000", "ListObjectVersions"),
            (Method::GET, "/b?list-type=2", "ListObjectsV2"),
            (Method::GET, "/b?list-type=2&prefix=a%2F&delimiter=%2F", "ListObjectsV2"),
            (Method::GET, "/b?encryption", "GetBucketEncryption"),
            (Method::GET, "/b/a/b.json", "GetObject"),
            (Method::HEAD, "/b/a/b.json", "HeadObject"),
            (Method::POST, "/b?delete", "DeleteObjects"),
            (Method::DELETE, "/b", "DeleteBucket"),
        ] {
            let found = operation(&model, &request(method, target, &[], ""));
            assert_eq!(found.as_deref(), Some(expected), "{target}");
        }
    }

    #[test]
    fn bodies_become_members_and_strangers_are_refused() {
        let model = model();
        let tags = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Tags><Tag><Key>k</Key>\
                    <Value>v</Value></Tag></Tags></CreateBucketConfiguration>";
        let good = request(Method::PUT, "/b", &[("x-amz-object-ownership", "BucketOwnerEnforced")], tags);
        let members = input(&model, "CreateBucket", &good).unwrap();
        assert_eq!(members["CreateBucketConfiguration"]["Tags"], json!([{"Key": "k", "Value": "v"}]));
        assert_eq!(members["ObjectOwnership"], "BucketOwnerEnforced");
        assert_eq!(model.check("CreateBucket", &members), []);

        let code = |request: Request| {
            let name = operation(&model, &request).unwrap();
            input(&model, &name, &request).map(|members| model.check(&name, &members).len()).map_err(|error| error.code)
        };
        let stranger = tags.replace("Tags", "Labels");
        assert_eq!(code(request(Method::PUT, "/b", &[], &stranger)), Err("MalformedXML".into()));
        assert_eq!(code(request(Method::PUT, "/b", &[("x-amz-surprise", "1")], "")), Err("InvalidArgument".into()));
        assert_eq!(code(request(Method::GET, "/b?versions&max-keys=ten", &[], "")), Err("InvalidArgument".into()));
        assert_eq!(code(request(Method::GET, "/b?versions&surprise=1", &[], "")), Err("InvalidArgument".into()));
        assert_eq!(code(request(Method::PUT, "/b", &[("x-amz-object-ownership", "Mine")], "")), Ok(1));
        let rule = "<LifecycleConfiguration><Rule><Status>On</Status></Rule></LifecycleConfiguration>";
        assert_eq!(code(request(Method::PUT, "/b?lifecycle", &[], rule)), Ok(1));
    }

    #[test]
    fn settings_want_a_checksum() {
        let model = model();
        let bare = request(Method::PUT, "/b?policy", &[], "{}");
        assert_eq!(checksum_missing(&model, "PutBucketPolicy", &bare).unwrap().code, "InvalidRequest");
        let summed = request(Method::PUT, "/b?policy", &[("x-amz-checksum-crc32", "AAAAAA==")], "{}");
        assert_eq!(checksum_missing(&model, "PutBucketPolicy", &summed), None);
    }
}
