//! A probe as an HTTP request, before it is signed. Pure.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::data::{Probe, Protocol, Service, service};
use crate::names::{AccountId, Partition};

/// What an AWS signature leaves as it is (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a connection is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub partition: Partition,
    pub account: AccountId,
    pub region: String,
    /// Without billing data, none.
    pub billing: Option<BillingBucket>,
}

/// Where the billing data is. `prefix` is that of its keys, without the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingBucket {
    pub name: String,
    pub region: String,
    pub prefix: String,
}

/// One call, which anyone with credentials can sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// The Region of the signature.
    pub region: String,
    /// The service's name in the signature.
    pub signing_name: String,
}

/// Why a probe was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTried {
    /// The statement has none, and says why.
    NoProbe,
    /// The partition does not have the service.
    NoService,
    /// The connection has no billing data.
    NoBillingBucket,
    /// The notice states something else in place of a Region of this partition, and nothing is sent there.
    NotARegion,
}

/// What is sent to AWS.
///
/// # Errors
/// Why there is nothing to send.
pub fn request(probe: &Probe, place: &Place) -> Result<Request, NotTried> {
    let service = service(&probe.service).ok_or(NotTried::NoService)?;
    let parameters: BTreeMap<&str, Value> =
        probe.parameters.iter().map(|(name, value)| Ok((name.as_str(), place.fill_in(value)?))).collect::<Result<_, _>>()?;
    let names_bucket = probe.parameters.values().any(|value| value == "{billingBucket}");
    let region = place.billing.as_ref().filter(|_| names_bucket).map_or(&place.region, |bucket| &bucket.region);
    let (host, region) = host(service, place, region)?;
    let mut request = Request {
        method: "POST".to_owned(),
        host,
        path: "/".to_owned(),
        query: String::new(),
        headers: service.headers.iter().map(|(name, value)| (name.clone(), place.text(value))).collect(),
        body: String::new(),
        region,
        signing_name: service.signing.clone(),
    };
    match service.protocol {
        Protocol::Query | Protocol::Ec2 => {
            let pairs = parameters.iter().map(|(name, value)| format!("&{name}={}", encoded(value)));
            request.body = format!("Action={}&Version={}{}", probe.operation, service.version, pairs.collect::<String>());
            request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        }
        Protocol::Json10 | Protocol::Json11 => {
            let version = if service.protocol == Protocol::Json10 { "1.0" } else { "1.1" };
            request.body = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>().to_string();
            request.header("content-type", &format!("application/x-amz-json-{version}"));
            request.header("x-amz-target", &format!("{}.{}", service.target, probe.operation));
        }
        Protocol::RestJson | Protocol::RestXml => {
            let operation = service.operations.get(&probe.operation).ok_or(NotTried::NoService)?;
            let (method, uri) = operation.split_once(' ').ok_or(NotTried::NoService)?;
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let fill_in = |text: &str| {
                let fill = |text: String, (name, value): (&&str, &Value)| text.replace(&format!("{{{name}}}"), &encoded(value));
                parameters.iter().fold(text.to_owned(), fill)
            };
            (request.method, request.path, request.query) = (method.to_owned(), fill_in(path), fill_in(query));
        }
    }
    Ok(request)
}

/// The host, and the Region of the signature. What stands for a Region has the form of one, so that the host is AWS's.
fn host(service: &Service, place: &Place, region: &str) -> Result<(String, String), NotTried> {
    if !place.partition.has_region(region) {
        return Err(NotTried::NotARegion);
    }
    if service.endpoints.is_empty() {
        let host = format!("{}.{region}.{}", place.text(&service.endpoint), place.partition.dns_suffix());
        return Ok((host, region.to_owned()));
    }
    let endpoint = service.endpoints.get(place.partition.as_str()).ok_or(NotTried::NoService)?;
    Ok((endpoint.host.clone(), endpoint.region.clone()))
}

impl Request {
    fn header(&mut self, name: &str, value: &str) {
        self.headers.insert(name.to_owned(), value.to_owned());
    }
}

impl Place {
    fn fill_in(&self, value: &Value) -> Result<Value, NotTried> {
        let Value::String(text) = value else { return Ok(value.clone()) };
        if !text.contains("{billing") {
            return Ok(self.text(text).into());
        }
        let bucket = self.billing.as_ref().ok_or(NotTried::NoBillingBucket)?;
        Ok(text.replace("{billingBucket}", &bucket.name).replace("{billingPrefix}", &bucket.prefix).into())
    }

    fn text(&self, text: &str) -> String {
        text.replace("{account}", self.account.as_str()).replace("{partition}", self.partition.as_str())
    }
}

fn encoded(value: &Value) -> String {
    match value {
        Value::String(text) => utf8_percent_encode(text, ENCODED).to_string(),
        other => other.to_string(),
    }
}
