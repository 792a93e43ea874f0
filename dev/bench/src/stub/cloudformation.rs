//! CloudFormation in the stack's own Region: Query protocol, the operation in `Action`, the answer in XML. Hawser looks once
//! after its answer whether the stack still wants the resource; here it always does.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use url::form_urlencoded;

use super::{Answer, HttpRequest, State};

const XML: &str = "text/xml";
const FORM: &str = "application/x-www-form-urlencoded";
const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

pub(super) fn answer(state: &State, request: &HttpRequest) -> Result<Answer, String> {
    if request.head.method != Method::POST || request.header("content-type") != Some(FORM) {
        return Err(format!("not a POST of `{FORM}`"));
    }
    let input: BTreeMap<_, _> = form_urlencoded::parse(&request.body).into_owned().collect();
    for (key, expected) in [
        ("Version", "2010-05-15"),
        ("Action", "DescribeStackResources"),
        ("StackName", &state.stack_id),
        ("LogicalResourceId", &state.logical_id),
    ] {
        let is = input.get(key).map(String::as_str);
        if is != Some(expected) {
            return Err(format!("`{key}` is {is:?}, not `{expected}`"));
        }
    }
    // Asked earlier it would cost the stack time, and could not say what became of the answer.
    if state.responded.is_none() {
        return Err("asked before the response was there".to_owned());
    }
    let (stack, logical, resource_type) = (&state.stack_id, &state.logical_id, &state.resource_type);
    let name = stack.split('/').nth(1).unwrap_or_default();
    // The shape of the API reference's example; CloudFormation takes a moment to read a response that has arrived.
    let body = format!(
        "<DescribeStackResourcesResponse xmlns=\"{NAMESPACE}\"><DescribeStackResourcesResult><StackResources><member>\
         <StackId>{stack}</StackId><StackName>{name}</StackName><LogicalResourceId>{logical}</LogicalResourceId>\
         <ResourceType>{resource_type}</ResourceType><Timestamp>2026-11-22T10:00:00.000Z</Timestamp>\
         <ResourceStatus>CREATE_IN_PROGRESS</ResourceStatus>\
         <DriftInformation><StackResourceDriftStatus>NOT_CHECKED</StackResourceDriftStatus></DriftInformation>\
         </member></StackResources></DescribeStackResourcesResult>\
         <ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata>\
         </DescribeStackResourcesResponse>"
    );
    Ok(Answer::new("DescribeStackResources", StatusCode::OK, XML, body))
}
