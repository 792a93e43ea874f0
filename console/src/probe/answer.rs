//! What AWS's answer to a probe says about the permission. Pure.

use http::HeaderMap;
use roxmltree::{Document, Node, ParsingOptions};
use serde::Serialize;
use serde_json::Value;

use super::{
    data::Probe,
    denial::{Finding, FindingCode},
};

/// The codes of a denial, without `Client.` and `Exception` (the SDKs' models, and "Common errors" of the services' references).
const DENIALS: [&str; 8] = [
    "AccessDenied",
    "AccessDeniedForDependency",
    "AuthorizationError",
    "Forbidden",
    "NotAuthorized",
    "Unauthorized",
    "UnauthorizedAccess",
    "UnauthorizedOperation",
];
/// The session is not known there. It was good a moment ago where the role was assumed, so the Region does not know the account.
const UNKNOWN_THERE: [&str; 4] = ["AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClient"];
const NOT_SUBSCRIBED: [&str; 3] = ["OptInRequired", "PendingVerification", "SubscriptionRequired"];
const SESSION: [&str; 11] = [
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidSecurity",
    "InvalidSignature",
    "InvalidToken",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
const THROTTLED: [&str; 9] = [
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "Throttling",
    "TooManyRequests",
];
/// A code is a word, and is shown to people.
const CODE_CHARS_MAX: usize = 100;
/// An error has about ten elements.
const NODES_MAX: u32 = 200;

/// An HTTP response of AWS.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "finding")]
pub enum Outcome {
    Allowed,
    Denied(Finding),
    /// The Region, or the service in this account. It says nothing about the permission.
    NotEnabled(Finding),
    Throttled(Finding),
    /// No answer, or none that says something about the permission.
    Unavailable(Finding),
}

impl Outcome {
    /// Why it is not allowed.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Allowed => None,
            Self::Denied(finding) | Self::NotEnabled(finding) | Self::Throttled(finding) | Self::Unavailable(finding) => {
                Some(finding)
            }
        }
    }
}

/// Reads an answer to the probe.
pub fn judge(probe: &Probe, answer: &Answer) -> Outcome {
    if (200..300).contains(&answer.status) {
        return Outcome::Allowed;
    }
    let (code, message) = error(answer);
    if probe.allowed.contains(&code) {
        return Outcome::Allowed;
    }
    let plain = code.strip_prefix("Client.").unwrap_or(&code);
    let plain = plain.strip_suffix("Exception").unwrap_or(plain);
    let finding = |finding_code| Finding::new(finding_code, &code);
    match answer.status {
        _ if NOT_SUBSCRIBED.contains(&plain) => Outcome::NotEnabled(finding(FindingCode::ServiceNotEnabled)),
        _ if UNKNOWN_THERE.contains(&plain) => Outcome::NotEnabled(finding(FindingCode::RegionNotEnabled)),
        _ if SESSION.contains(&plain) => Outcome::Unavailable(finding(FindingCode::SessionRefused)),
        _ if THROTTLED.contains(&plain) => Outcome::Throttled(finding(FindingCode::Throttled)),
        _ if DENIALS.contains(&plain) || message.contains("is not authorized to perform") => {
            Outcome::Denied(Finding::denied(&code, &message))
        }
        // Nothing else is said where there is no body.
        403 if code == "HTTP 403" => Outcome::Denied(Finding::denied(&code, &message)),
        429 => Outcome::Throttled(finding(FindingCode::Throttled)),
        500.. => Outcome::Unavailable(finding(FindingCode::Unanswered)),
        _ => Outcome::Unavailable(finding(FindingCode::Unexpected)),
    }
}

/// Code and message, wherever the service's protocol has them. A service may answer in another than it was asked in.
fn error(answer: &Answer) -> (String, String) {
    let text = String::from_utf8_lossy(&answer.body);
    let (code, message) = if text.trim_start().starts_with('<') { of_xml(&text) } else { of_json(&text) };
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let query = header("x-amzn-query-error").and_then(|text| text.split(';').next());
    let code = query.or(header("x-amzn-errortype")).map(str::to_owned).or(code).map(|code| shape_name(&code).to_owned());
    let is_word = |code: &String| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        (1..=CODE_CHARS_MAX).contains(&code.len()) && code.chars().all(legal)
    };
    (code.filter(is_word).unwrap_or_else(|| format!("HTTP {}", answer.status)), message.unwrap_or_default())
}

/// `com.amazon.coral.service#AccessDeniedException` and `AccessDeniedException:http://internal.amazon.com/…` without what surrounds it.
fn shape_name(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code).trim()
}

fn of_json(text: &str) -> (Option<String>, Option<String>) {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return (None, None) };
    let find = |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_str().map(str::to_owned));
    (find(&["__type", "code", "Code"]), find(&["message", "Message", "errorMessage"]))
}

/// `<Error>` (S3), `<ErrorResponse><Error>` (query, REST) or `<Response><Errors><Error>` (EC2), in whatever namespace.
fn of_xml(text: &str) -> (Option<String>, Option<String>) {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let Ok(document) = Document::parse_with_options(text, options) else { return (None, None) };
    let named = |node: &Node<'_, '_>, name: &str| node.is_element() && node.tag_name().name() == name;
    let Some(error) = document.descendants().find(|node| named(node, "Error")) else { return (None, None) };
    let find = |name: &str| error.children().find(|node| named(node, name)).and_then(|node| node.text()).map(str::to_owned);
    (find("Code"), find("Message"))
}
