//! What AWS, the vendor and CloudFormation's response bucket answer. Answers have AWS's wire shapes; requests are checked for what
//! makes the work the same for all handlers. What is wrong becomes a *violation*, and a sample with one is an error.

use std::time::Instant;

use http::{Method, StatusCode};
use serde_json::Value;
use standardwebhooks::Webhook;
use url::form_urlencoded;

use crate::record::Service::{self, CloudFormation, Cur, DataExports, Mailbox, Organizations, S3, Sts, Vendor};
use crate::world::{ACCESS_KEY, Answer, BILLING_REGION, HttpRequest, LAUNCH_TOKEN, SESSION_TOKEN, STACK_REGION, State};

/// How an AWS endpoint answers a probe, and that it keeps the connection open then, is not documented; here it does.
pub(crate) const PROBE: &str = "Probe";
/// A setting of a bucket that was refused because another one was being made.
pub(crate) const CONFLICT: &str = "Conflict";

/// Whether a request to S3 makes a setting of a bucket.
pub(crate) fn is_setting(request: &HttpRequest) -> bool {
    request.head.method == Method::PUT && request.head.uri.query().is_some()
}

/// The shape of S3's errors.
pub(crate) fn conflict() -> Answer {
    let body = "<Error><Code>OperationAborted</Code><Message>A conflicting conditional operation is currently in progress against this \
                resource. Please try again.</Message></Error>";
    Answer { operation: CONFLICT, status: StatusCode::CONFLICT, content_type: "application/xml", body: body.to_owned() }
}

/// CloudFormation refuses a longer response, CloudFormation User Guide, "Quotas".
const LONGEST_RESPONSE: usize = 4_096;

/// An operation of the work. `{bucket}`, `{stack}`, `{resource}` and `{type}` stand for those of the event.
struct Operation {
    service: Service,
    /// The API's name for it.
    name: &'static str,
    /// How a request says that it is this one; see [`asked`].
    asked: &'static str,
    /// What a request has to have in its headers or in its body, without white space.
    has: &'static [&'static str],
    status: StatusCode,
    answer: &'static str,
}

const OWNER: &str = "x-amz-expected-bucket-owner:111122223333";
const NO_TRANSFERS: &str = r#"{"ResponsibilityTransfers": []}"#;

const fn operation(
    service: Service,
    name: &'static str,
    asked: &'static str,
    has: &'static [&'static str],
    answer: &'static str,
) -> Operation {
    Operation { service, name, asked, has, status: StatusCode::OK, answer }
}

const OPERATIONS: [Operation; 17] = [
    operation(
        Organizations,
        "DescribeOrganization",
        "DescribeOrganization",
        &[],
        r#"{"Organization": {
            "Id": "o-exampleorgid", "Arn": "arn:aws:organizations::111122223333:organization/o-exampleorgid",
            "FeatureSet": "ALL", "MasterAccountId": "111122223333", "MasterAccountEmail": "billing@example.com",
            "MasterAccountArn": "arn:aws:organizations::111122223333:account/o-exampleorgid/111122223333",
            "AvailablePolicyTypes": [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
        }}"#,
    ),
    // Nobody else pays this organization's bill, and it pays nobody else's.
    operation(
        Organizations,
        "ListOutboundResponsibilityTransfers",
        "ListOutboundResponsibilityTransfers",
        &[r#""Type":"BILLING""#],
        NO_TRANSFERS,
    ),
    operation(
        Organizations,
        "ListInboundResponsibilityTransfers",
        "ListInboundResponsibilityTransfers",
        &[r#""Type":"BILLING""#],
        NO_TRANSFERS,
    ),
    operation(DataExports, "ListExports", "ListExports", &[], r#"{"Exports": []}"#),
    operation(Cur, "DescribeReportDefinitions", "DescribeReportDefinitions", &[], r#"{"ReportDefinitions": []}"#),
    operation(
        Cur,
        "PutReportDefinition",
        "PutReportDefinition",
        &[
            r#""ReportName":"hawser-"#,
            r#""TimeUnit":"HOURLY""#,
            r#""Format":"Parquet""#,
            r#""Compression":"Parquet""#,
            r#""RESOURCES""#,
            r#""S3Bucket":"{bucket}""#,
            r#""S3Prefix":"hawser"#,
            r#""S3Region":"us-east-1""#,
            r#""AdditionalArtifacts":["ATHENA"]"#,
            r#""RefreshClosedReports":true"#,
            r#""ReportVersioning":"OVERWRITE_REPORT""#,
            r#""Tags":[{"#,
        ],
        "{}",
    ),
    Operation { status: StatusCode::NOT_FOUND, ..operation(S3, "HeadBucket", "HEAD ", &[OWNER], "") },
    operation(S3, "CreateBucket", "PUT ", &["x-amz-object-ownership:BucketOwnerEnforced", "<Key>hawser:stack-id</Key>"], ""),
    operation(
        S3,
        "PutPublicAccessBlock",
        "PUT publicAccessBlock",
        &[OWNER, "<BlockPublicAcls>true<", "<IgnorePublicAcls>true<", "<BlockPublicPolicy>true<", "<RestrictPublicBuckets>true<"],
        "",
    ),
    operation(S3, "PutBucketEncryption", "PUT encryption", &[OWNER, "<SSEAlgorithm>AES256<"], ""),
    operation(S3, "PutBucketLifecycleConfiguration", "PUT lifecycle", &[OWNER, "<Status>Enabled<"], ""),
    // What Put checks: AWS Billing User Guide, "Setting up an Amazon S3 bucket for Cost and Usage Reports".
    operation(
        S3,
        "PutBucketPolicy",
        "PUT policy",
        &[
            OWNER,
            r#""billingreports.amazonaws.com""#,
            r#""s3:GetBucketAcl""#,
            r#""s3:GetBucketPolicy""#,
            r#""s3:PutObject""#,
            r#""arn:aws:s3:::{bucket}""#,
        ],
        "",
    ),
    // The shape of the API reference's example; CloudFormation takes a moment to read a response that has arrived.
    operation(
        CloudFormation,
        "DescribeStackResources",
        "DescribeStackResources",
        &["&Version=2010-05-15&", "&StackName={stack}&", "&LogicalResourceId={resource}&"],
        "<DescribeStackResourcesResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
         <DescribeStackResourcesResult><StackResources><member>\
         <StackId>{stack}</StackId><StackName>hawser-bench</StackName><LogicalResourceId>{resource}</LogicalResourceId>\
         <ResourceType>{type}</ResourceType><Timestamp>2026-11-22T10:00:00.000Z</Timestamp>\
         <ResourceStatus>CREATE_IN_PROGRESS</ResourceStatus>\
         <DriftInformation><StackResourceDriftStatus>NOT_CHECKED</StackResourceDriftStatus></DriftInformation>\
         </member></StackResources></DescribeStackResourcesResult>\
         <ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata>\
         </DescribeStackResourcesResponse>",
    ),
    // A stack without tags.
    operation(
        CloudFormation,
        "DescribeStacks",
        "DescribeStacks",
        &["&Version=2010-05-15&", "&StackName={stack}&"],
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
         <DescribeStacksResult><Stacks><member>\
         <StackId>{stack}</StackId><StackName>hawser-bench</StackName><CreationTime>2026-11-22T10:00:00.000Z</CreationTime>\
         <StackStatus>CREATE_IN_PROGRESS</StackStatus>\
         </member></Stacks></DescribeStacksResult>\
         <ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata>\
         </DescribeStacksResponse>",
    ),
    // An account is as AWS makes it: outbound identity federation is off (STS API reference, `GetWebIdentityToken`).
    Operation {
        status: StatusCode::FORBIDDEN,
        ..operation(
            Sts,
            "GetWebIdentityToken",
            "GetWebIdentityToken",
            &[
                "&Version=2011-06-15&",
                "&SigningAlgorithm=ES384&",
                "&Tags.member.1.Key=hawser-event-sha256&",
                "&Audience.member.1=",
            ],
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>OutboundWebIdentityFederationDisabledException</Code>\
             <Message>Outbound web identity federation is disabled for this account.</Message></Error>\
             <RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>",
        )
    },
    operation(Mailbox, "PutResponse", "PUT", &["content-length:"], ""),
    operation(
        Vendor,
        "PostNotice",
        "POST",
        &[
            "content-type:application/cloudevents+json",
            r#""specversion":"1.0""#,
            r#""type":"hawser.connection.established""#,
            r#""subject":"111122223333""#,
            r#""accountId":"111122223333""#,
            r#""billing":"ReadOnly""#,
        ],
        r#"{"noticeId": "{notice}", "connectionId": "connection-1", "message": "Welcome."}"#,
    ),
];

pub(crate) fn respond(service: Service, state: &mut State, request: &HttpRequest) -> Answer {
    let path = request.head.uri.path();
    let content_type = match service {
        Organizations | Cur | DataExports => "application/x-amz-json-1.1",
        S3 | CloudFormation | Sts | Mailbox => "text/xml",
        Vendor => "application/json",
    };
    if request.head.method == Method::HEAD && path == "/" && request.header("authorization").is_none() {
        return Answer { operation: PROBE, status: StatusCode::FORBIDDEN, content_type, body: String::new() };
    }
    match accept(service, state, request) {
        Ok(Operation { name, status, answer, .. }) => {
            Answer { operation: name, status: *status, content_type, body: filled(answer, state) }
        }
        Err(violation) => {
            state.violations.push(format!("{service}: {} {path}: {violation}", request.head.method));
            Answer { operation: "refused", status: StatusCode::BAD_REQUEST, content_type, body: violation }
        }
    }
}

fn accept(service: Service, state: &mut State, request: &HttpRequest) -> Result<&'static Operation, String> {
    let asked = asked(service, request);
    let operation = OPERATIONS.iter().find(|it| it.service == service && it.asked == asked);
    let operation = operation.ok_or_else(|| format!("`{asked}` is not part of the work"))?;
    let uri = &request.head.uri;
    if service == S3 && operation.name != "HeadBucket" {
        let name = uri.path().trim_matches('/');
        if operation.name == "CreateBucket" && state.bucket.is_empty() {
            name.clone_into(&mut state.bucket);
        } else if name != state.bucket || operation.name == "CreateBucket" {
            return Err(format!("the bucket of the work is `{}`", state.bucket));
        }
    }
    let text = text(service, request);
    for part in signature(service).iter().map(String::as_str).chain(operation.has.iter().copied()) {
        if !text.contains(&filled(part, state)) {
            return Err(format!("it lacks `{part}`"));
        }
    }
    match service {
        Cur if operation.name == "PutReportDefinition" && !state.calls.iter().any(|it| it.operation == "PutBucketPolicy") => {
            return Err("Failed to verify customer bucket permission.".to_owned());
        }
        Mailbox => {
            if uri.path_and_query().map(http::uri::PathAndQuery::as_str) != Some(&state.event.response_path) {
                return Err("the URL's bytes were changed".to_owned());
            }
            if request.header("content-type").is_some_and(|it| !it.is_empty()) {
                return Err("SignatureDoesNotMatch: a content type".to_owned());
            }
            if request.body.len() > LONGEST_RESPONSE {
                return Err("Response object is too long.".to_owned());
            }
            if state.responded.replace(Instant::now()).is_some() {
                return Err("a second response".to_owned());
            }
            state.response = serde_json::from_slice(&request.body).map_err(|error| format!("the response: {error}"))?;
        }
        Vendor => {
            let signed = Webhook::new(LAUNCH_TOKEN).and_then(|it| it.verify(&request.body, &request.head.headers));
            signed.map_err(|error| format!("the signature: {error}"))?;
            state.notice = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        }
        _ => {}
    }
    Ok(operation)
}

/// Of S3 the method and the setting, of what is no AWS service the method, else the operation.
fn asked(service: Service, request: &HttpRequest) -> String {
    let method = request.head.method.as_str();
    match service {
        S3 => {
            // SDKs add `x-id=<Operation>` to some calls, for the record only.
            let query = request.head.uri.query().unwrap_or_default().split('&').find(|it| !it.starts_with("x-id="));
            format!("{method} {}", query.unwrap_or_default().trim_end_matches('='))
        }
        Mailbox | Vendor => method.to_owned(),
        CloudFormation | Sts => {
            let action = form_urlencoded::parse(&request.body).find(|(key, _)| key == "Action");
            action.map(|(_, value)| value.into_owned()).unwrap_or_default()
        }
        _ => request.header("x-amz-target").and_then(|it| it.rsplit('.').next()).unwrap_or_default().to_owned(),
    }
}

/// Headers and body, without white space.
fn text(service: Service, request: &HttpRequest) -> String {
    let headers = request.head.headers.iter();
    let mut text: String =
        headers.map(|(name, value)| format!("{name}:{}\n", String::from_utf8_lossy(value.as_bytes()))).collect();
    if [CloudFormation, Sts].contains(&service) {
        text.extend(form_urlencoded::parse(&request.body).map(|(key, value)| format!("&{key}={value}&")));
    } else {
        text.push_str(&String::from_utf8_lossy(&request.body));
    }
    text.retain(|it| !it.is_whitespace());
    text
}

/// That a request is signed for the service and its Region, with the credentials given (not the signature itself).
fn signature(service: Service) -> Vec<String> {
    let region = match service {
        Mailbox | Vendor => return Vec::new(),
        CloudFormation | Sts => STACK_REGION,
        _ => BILLING_REGION,
    };
    vec![
        format!("authorization:AWS4-HMAC-SHA256Credential={ACCESS_KEY}/"),
        format!("/{region}/{service}/aws4_request,"),
        format!("x-amz-security-token:{SESSION_TOKEN}"),
    ]
}

fn filled(pattern: &str, state: &State) -> String {
    let event = &state.event;
    let values = [
        ("{notice}", state.notice["id"].as_str().unwrap_or_default()),
        ("{bucket}", state.bucket.as_str()),
        ("{stack}", &event.stack_id),
        ("{resource}", event.logical_id),
        ("{type}", event.resource_type),
    ];
    values.into_iter().fold(pattern.to_owned(), |text, (name, value)| text.replace(name, value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hyper::body::Bytes;

    use super::*;
    use crate::record::Call;
    use crate::world::Event;

    const PATH: &str = "/arn%3Aaws%3Acloudformation%7CX?X-Amz-Signature=0";

    /// After the bucket with its policy and the response.
    fn state() -> State {
        let now = Instant::now();
        State {
            event: Event {
                response_path: PATH.to_owned(),
                resource_type: "Custom::BillingExport",
                stack_id: "arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser-bench/0".to_owned(),
                logical_id: "BillingExport",
                ..Event::default()
            },
            calls: vec![Call { service: S3, operation: "PutBucketPolicy", start: now, end: now }],
            bucket: "b-1".to_owned(),
            responded: Some(now),
            ..State::default()
        }
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpRequest {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        HttpRequest { head, body: Bytes::from(body.to_owned()) }
    }

    /// A request that has all that its operation needs, but for one part.
    fn call(operation: &Operation, without: &str) -> HttpRequest {
        let parts: Vec<String> = signature(operation.service)
            .into_iter()
            .chain(operation.has.iter().map(|it| (*it).to_owned()))
            .filter(|it| it != without)
            .map(|it| filled(&it, &state()))
            .collect();
        let is_header = |it: &&String| {
            ["authorization:", "content-type:", "content-length:", "x-amz-"].iter().any(|name| it.starts_with(name))
        };
        let target = format!("Service.{}", operation.asked);
        let mut headers: Vec<(&str, &str)> = parts.iter().filter(is_header).map(|it| it.split_once(':').unwrap()).collect();
        headers.push(("x-amz-target", &target));
        let mut body: String = parts.iter().filter(|it| !is_header(it)).map(|it| format!("{it} ")).collect();
        let (method, setting) = operation.asked.split_once(' ').unwrap_or((operation.asked, ""));
        match operation.service {
            S3 => request(method, &format!("/b-1?{setting}=&x-id={}", operation.name), &headers, &body),
            Mailbox => request("PUT", PATH, &headers, "{}"),
            Vendor => request("POST", "/notices", &headers, &body),
            CloudFormation | Sts => {
                let scope = body.find('&').map(|at| body.split_off(at)).unwrap_or_default();
                headers.push(("x-scope", body.trim()));
                let form = scope.replace(' ', "").replace(':', "%3A") + "&Action=" + operation.asked;
                request("POST", "/", &headers, &form)
            }
            _ => request("POST", "/", &headers, &body),
        }
    }

    fn ask(service: Service, state: &mut State, request: &HttpRequest) -> Result<&'static str, String> {
        let answer = respond(service, state, request);
        match state.violations.pop() {
            None => Ok(answer.operation),
            Some(violation) => {
                assert_eq!(answer.status, 400);
                Err(violation)
            }
        }
    }

    #[test]
    fn each_operation_is_accepted_with_all_its_parts_and_with_none_missing() {
        for operation in OPERATIONS.iter().filter(|it| it.service != Vendor) {
            let before = || match operation.service {
                S3 if operation.name == "CreateBucket" => State { bucket: String::new(), ..state() },
                Mailbox => State { responded: None, ..state() },
                _ => state(),
            };
            assert_eq!(ask(operation.service, &mut before(), &call(operation, "")), Ok(operation.name));
            for part in signature(operation.service).iter().map(String::as_str).chain(operation.has.iter().copied()) {
                let violation = ask(operation.service, &mut before(), &call(operation, part)).unwrap_err();
                assert!(violation.ends_with(&format!("it lacks `{part}`")), "{}: {violation}", operation.name);
            }
        }
    }

    #[test]
    fn other_work_and_another_order_are_violations() {
        let of = |name: &str| call(OPERATIONS.iter().find(|it| it.name == name).unwrap(), "");
        let no_policy = || State { calls: Vec::new(), ..state() };
        let unanswered = || State { responded: None, ..state() };
        let typed = request("PUT", PATH, &[("content-length", "2"), ("content-type", "application/json")], "{}");
        let length = [("content-length", "2")];
        for (service, mut state, request, expected) in [
            (S3, state(), request("GET", "/b-1?location", &[], ""), "`GET location` is not part of the work"),
            (S3, state(), of("CreateBucket"), "the bucket of the work is"),
            (S3, State { bucket: "b-2".to_owned(), ..state() }, of("PutBucketEncryption"), "the bucket of the work is"),
            (Cur, no_policy(), of("PutReportDefinition"), "Failed to verify customer bucket permission."),
            (Cur, state(), of("ListExports"), "`ListExports` is not part of the work"),
            (Mailbox, unanswered(), request("PUT", &PATH.replace("%3A", ":"), &length, "{}"), "bytes were changed"),
            (Mailbox, unanswered(), typed, "a content type"),
            (Mailbox, unanswered(), request("PUT", PATH, &length, &"x".repeat(4_097)), "too long"),
            (Mailbox, state(), of("PutResponse"), "a second response"),
        ] {
            let violation = ask(service, &mut state, &request).unwrap_err();
            assert!(violation.contains(expected), "{expected}: {violation}");
        }
    }

    #[test]
    fn the_vendor_takes_a_signed_notice_only() {
        let notice = r#"{"specversion": "1.0", "type": "hawser.connection.established", "subject": "111122223333",
            "data": {"accountId": "111122223333", "packs": {"billing": "ReadOnly"}}}"#;
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let signature = Webhook::new(LAUNCH_TOKEN).unwrap().sign("id", now, notice.as_bytes()).unwrap();
        let now = now.to_string();
        let post = |signature| {
            let headers = [
                ("content-type", "application/cloudevents+json"),
                ("webhook-id", "id"),
                ("webhook-timestamp", &*now),
                ("webhook-signature", signature),
            ];
            request("POST", "/notices", &headers, notice)
        };
        let mut state = state();
        assert!(ask(Vendor, &mut state, &post("v1,AAAA")).unwrap_err().contains("the signature"));
        assert_eq!(state.notice, Value::Null);
        assert_eq!(ask(Vendor, &mut state, &post(&signature)), Ok("PostNotice"));
        assert_eq!(state.notice["subject"], "111122223333");
    }

    #[test]
    fn a_probe_is_neither_work_nor_a_violation() {
        assert_eq!(ask(Cur, &mut state(), &request("HEAD", "/", &[], "")), Ok(PROBE));
    }
}
