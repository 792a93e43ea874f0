//! A request as it came in, and an answer as AWS would write it.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

pub(crate) use crate::serve::Answer;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The bytes of the path, still percent-encoded.
    pub(crate) path: String,
    /// The bytes of the query, still percent-encoded.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// A header's value, empty when it is absent or not text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The query in order, decoded; a flag such as `?policy` has an empty value.
    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect()
    }

    /// Path and query as they came.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// Percent-decoding; what is not UTF-8 is replaced.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Who signed a request, for which service and Region: the credential scope of SigV4.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    /// Reads `Authorization: AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …`.
    pub(crate) fn of(request: &Request) -> Self {
        let credential = request
            .header("authorization")
            .split([' ', ','])
            .find_map(|part| part.strip_prefix("Credential="))
            .unwrap_or_default();
        let parts: Vec<&str> = credential.split('/').collect();
        match parts.as_slice() {
            [access_key, _date, region, service, "aws4_request"] => {
                // Signed under the name of S3, and another service with other operations (Amazon S3 Control).
                let is_control = *service == "s3" && !request.header("x-amz-account-id").is_empty();
                let service = if is_control { "s3-control" } else { *service };
                Self { access_key: (*access_key).into(), region: (*region).into(), service: service.into() }
            }
            _ => Self::default(),
        }
    }
}

/// An error that the front answers itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// What the error has besides its message.
    members: Map<String, Value>,
}

impl AwsError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), members: Map::new() }
    }

    /// The same with one member more.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// As the JSON services write it; they do not agree on the name of the message.
    pub(crate) fn json(&self, message: &str) -> Answer {
        let mut body = self.members.clone();
        body.insert("__type".to_owned(), json!(self.code));
        body.insert(message.to_owned(), json!(self.message));
        respond(self.status, "application/x-amz-json-1.1", Value::Object(body).to_string())
    }

    /// As the services of the query protocol write it.
    pub(crate) fn query(&self) -> Answer {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>",
            escape(&self.code),
            escape(&self.message)
        );
        respond(self.status, "text/xml", body)
    }

    /// As S3 writes it.
    pub(crate) fn xml(&self) -> Answer {
        let members = self.members.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let fields = [("Code", self.code.as_str()), ("Message", &self.message)].into_iter().chain(members);
        let fields: String = fields.map(|(name, value)| format!("<{name}>{}</{name}>", escape(value))).collect();
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{fields}</Error>");
        respond(self.status, "application/xml", body)
    }
}

/// An answer with a body.
pub(crate) fn respond(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    answer
}

/// A JSON answer of an AWS JSON service.
pub(crate) fn respond_json(body: &Value) -> Answer {
    respond(200, "application/x-amz-json-1.1", body.to_string())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name for the log of an object-level request; these go through unchecked.
fn object_operation(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "PutObject",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::DELETE => "DeleteObject",
        _ => "Object",
    }
}

/// The operation of a request that is not validated, for the log.
pub(crate) fn operation_name(request: &Request, service: &str) -> String {
    if service == "s3" {
        return object_operation(&request.method).to_owned();
    }
    if let Some((_, operation)) = request.header("x-amz-target").rsplit_once('.') {
        return operation.to_owned();
    }
    let form = std::str::from_utf8(&request.body).unwrap_or_default();
    match form.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        Some(action) => action.to_owned(),
        None => request.method.to_string(),
    }
}

/// The error code in the answer of a JSON, query or S3 call.
pub(crate) fn error_code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let code = value["__type"].as_str().or(value["code"].as_str())?;
        return Some(code.rsplit('#').next().unwrap_or(code).to_owned());
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    if let Some(code) = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")) {
        return Some(code.0.to_owned());
    }
    headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(|code| code.trim_end_matches(':').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_read_from_the_credential() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "authorization",
            http::HeaderValue::from_static(
                "AWS4-HMAC-SHA256 Credential=ASIA1/20261122/us-east-1/cur/aws4_request, SignedHeaders=host, Signature=00",
            ),
        );
        let mut request =
            Request { method: Method::POST, path: "/".into(), query: "a=%2F&policy".into(), headers, body: Bytes::new() };
        let scope = Scope { access_key: "ASIA1".into(), region: "us-east-1".into(), service: "cur".into() };
        assert_eq!(Scope::of(&request), scope);
        assert_eq!(request.query_pairs(), [("a".into(), "/".into()), ("policy".into(), String::new())]);
        request.headers.clear();
        assert_eq!(Scope::of(&request), Scope::default());
    }

    #[test]
    fn error_codes_are_found_in_all_three_shapes() {
        let none = HeaderMap::new();
        let code = |body: &str| error_code(&none, body.as_bytes());
        assert_eq!(code(r#"{"__type":"com.amazonaws#AccessDeniedException"}"#).as_deref(), Some("AccessDeniedException"));
        assert_eq!(code("<Error><Code>NoSuchBucket</Code></Error>").as_deref(), Some("NoSuchBucket"));
        assert_eq!(code(""), None);
    }
}
