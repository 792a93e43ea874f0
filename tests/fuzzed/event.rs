//! Any JSON as an event: whom to answer is read whatever else is wrong, and what was asked is read or refused by name
//! (HW-A1, HW-A7, HW-L1, HW-W1, HW-W2; F-2, F-3, F-8).

use hawser::{
    billing::{self, ExportId, plan},
    connection,
    error::{Code, Failure},
    protocol::{
        envelope::Envelope,
        origin::RequestType,
        reply::{self, Attributes, Reply},
    },
    request::Request,
};
use serde_json::{Map, Value};

/// CloudFormation, custom resource response objects: "up to 1 KB".
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// A shorter secret can stand in a text by chance.
const SECRET_BYTES_MIN: usize = 12;

/// The bytes of an event through both parsers.
pub(crate) fn check(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let request = Request::parse(&event);
    assert_eq!(Request::parse(&event), request, "the same event is read in two ways");
    match Envelope::parse(&event) {
        Err(why) => {
            assert!(why.to_string().starts_with(Code::EventUnanswerable.as_str()), "{why}");
            let url = text("ResponseURL").unwrap_or_default();
            assert!(!is_plain_address(url), "`{url}` could have been answered to");
        }
        Ok((envelope, url)) => {
            for (repeated, field) in [
                (&envelope.stack_id, "StackId"),
                (&envelope.request_id, "RequestId"),
                (&envelope.logical_resource_id, "LogicalResourceId"),
            ] {
                assert_eq!(repeated, text(field).unwrap_or_default(), "{field} is not repeated as it came");
            }
            let came_with = text("PhysicalResourceId").filter(|id| !id.is_empty());
            assert_eq!(envelope.physical_resource_id.as_deref(), came_with);
            let shown = format!("{url:?}");
            let path_and_query = [url.expose().path(), url.expose().query().unwrap_or_default()];
            for secret in path_and_query.into_iter().filter(|text| is_secret(text)) {
                assert!(!shown.contains(secret), "the response URL is printed: {shown}");
            }
            answerable(&envelope, request.as_ref().err());
        }
    }
    match &request {
        Ok(request) => understood(&event, request),
        Err(failure) => refused(&event, failure),
    }
}

/// An address that nobody could call unusable, by a much narrower grammar than a URL's.
fn is_plain_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = host.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase())
}

/// Whether a text is of a secret's kind: no word that Hawser uses itself is this long and holds a digit.
fn is_secret(text: &str) -> bool {
    text.len() >= SECRET_BYTES_MIN && text.contains(|c: char| c.is_ascii_digit())
}

/// Whatever became of the request, there is a response with the envelope's own ids in it.
fn answerable(envelope: &Envelope, failure: Option<&Failure>) {
    let physical_id = envelope.physical_resource_id.clone().unwrap_or_else(|| reply::placeholder_id(envelope));
    let reply_content = match failure {
        Some(failure) => Reply::Failed { physical_id, failure: failure.clone() },
        None => Reply::Success { physical_id, attributes: Attributes::new(), remark: None },
    };
    let response: Map<String, Value> =
        serde_json::from_slice(&reply::render(envelope, &reply_content)).expect("a response is JSON");
    assert_eq!(response["StackId"], envelope.stack_id.as_str());
    assert_eq!(response["RequestId"], envelope.request_id.as_str());
    assert_eq!(response["LogicalResourceId"], envelope.logical_resource_id.as_str());
    assert_ne!(response["PhysicalResourceId"], "", "CloudFormation refuses an empty id");
}

fn understood(event: &Value, request: &Request) {
    let origin = request.origin();
    assert_eq!(event["RequestType"], origin.request_type.as_str());
    assert_eq!(event["StackId"], origin.stack.as_str());
    assert_eq!(event["RequestId"], origin.request_id.as_str());
    assert_eq!(event["LogicalResourceId"], origin.logical_id.as_str());
    match (&origin.physical_id, origin.request_type) {
        (None, RequestType::Create) => {}
        (Some(id), RequestType::Update | RequestType::Delete) => assert_eq!(event["PhysicalResourceId"], id.as_str()),
        (id, request_type) => panic!("{request_type:?} with the id {id:?}"),
    }
    let mut again = event.clone();
    again["RequestId"] = "another-request".into();
    let again = Request::parse(&again).expect("only the request's id is another");
    match (request, &again) {
        (Request::Billing(origin, asked), Request::Billing(other, asked_again)) => {
            assert_eq!(event["ResourceType"], billing::RESOURCE_TYPE);
            // HW-L1, F-2: derived from what was asked, the same for every delivery.
            let id = plan::physical_id(origin, asked);
            assert_eq!(id, plan::physical_id(other, asked_again), "the id depends on the request's own id");
            match asked {
                billing::BillingRequest::Ensure { export, .. } => {
                    assert!((1..=PHYSICAL_ID_BYTES_MAX).contains(&id.len()), "{id}");
                    let own = export.id(origin);
                    assert_eq!(ExportId::from_physical_id(origin, &id).as_ref(), Some(&own), "an id is not known again");
                    assert!(own.bucket(&origin.stack.account).is_ok(), "`{}` makes no bucket name", export.prefix);
                }
                billing::BillingRequest::Remove { .. } => assert_eq!(Some(&id), origin.physical_id.as_ref()),
            }
        }
        (Request::Connection(origin, asked), Request::Connection(other, _)) => {
            assert_eq!(event["ResourceType"], connection::RESOURCE_TYPE);
            assert_eq!(connection::physical_id(origin), connection::physical_id(other));
            let terms = match asked {
                connection::ConnectionRequest::Ensure(terms) | connection::ConnectionRequest::Remove(Ok(terms)) => terms,
                connection::ConnectionRequest::Remove(Err(_)) => return,
            };
            let url = terms.notice_url.as_url();
            // HW-C1.
            assert_eq!((url.scheme(), url.username(), url.password(), url.fragment()), ("https", "", None, None));
            let token = event["ResourceProperties"]["LaunchToken"].as_str().expect("a token that was read is text");
            assert!(!format!("{request:?}").contains(token), "the launch token is printed");
        }
        _ => panic!("another request id makes another resource"),
    }
}

fn refused(event: &Value, failure: &Failure) {
    let said = failure.to_string();
    assert!(said.starts_with(failure.code.as_str()) && said.contains(failure.code.next_step()), "{said}");
    let properties = event.get("ResourceProperties");
    let of_properties =
        matches!(failure.code, Code::PropertyMissing | Code::PropertyInvalid | Code::PropertyUnknown | Code::NoticeUrlRefused);
    if event["RequestType"] == "Delete" {
        assert!(!of_properties, "a slip in the properties keeps a stack from being deleted: {said}");
    }
    // HW-W2: a value that may be a real token with a slip in it, and the address that is a key to the stack's answer.
    let token = properties.and_then(|properties| properties.get("LaunchToken"));
    for secret in [token, event.get("ResponseURL")].into_iter().flatten().filter_map(Value::as_str) {
        let elsewhere = times_in(event, secret) > 1;
        assert!(!is_secret(secret) || elsewhere || !said.contains(secret), "a secret is repeated: {said}");
    }
}

/// How many texts of an event, names of fields too, hold another.
fn times_in(value: &Value, text: &str) -> usize {
    match value {
        Value::String(value) => usize::from(value.contains(text)),
        Value::Array(items) => items.iter().map(|item| times_in(item, text)).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| usize::from(name.contains(text)) + times_in(field, text)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
