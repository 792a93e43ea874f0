#![expect(clippy::unwrap_used, reason = "tests")]

use http::{Method, Request};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::*;

fn scope(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> HttpRequest {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    HttpRequest { head, body: Bytes::from(body.to_owned()) }
}

fn json_call(service: Service, target: &str, body: &Value) -> HttpRequest {
    let authorization = scope(&service.to_string());
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-amz-security-token", SESSION_TOKEN),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
    ];
    request(Method::POST, "/", &headers, &body.to_string())
}

fn s3_call(method: Method, path: &str, extra: &[(&str, &str)], body: &str) -> HttpRequest {
    let authorization = scope("s3");
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("x-amz-security-token", SESSION_TOKEN),
        ("x-amz-expected-bucket-owner", ACCOUNT),
        ("x-amz-checksum-crc32", "AAAAAA=="),
    ];
    headers.extend(extra);
    request(method, path, &headers, body)
}

fn ask(state: &mut State, service: Service, asked: &HttpRequest) -> (u16, &'static str, String) {
    let answer = respond(service, state, asked);
    (answer.status.as_u16(), answer.operation, answer.body)
}

const CREATE: &str = r#"<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Tags><Tag>
    <Key>hawser:stack-id</Key><Value>x</Value></Tag></Tags></CreateBucketConfiguration>"#;

fn report() -> Value {
    json!({"ReportDefinition": {
        "ReportName": "r", "TimeUnit": "HOURLY", "Format": "Parquet", "Compression": "Parquet",
        "AdditionalSchemaElements": ["RESOURCES"], "S3Bucket": "b-1", "S3Prefix": "p", "S3Region": "us-east-1",
        "AdditionalArtifacts": ["ATHENA"], "RefreshClosedReports": true, "ReportVersioning": "OVERWRITE_REPORT",
    }, "Tags": [{"Key": "k", "Value": "v"}]})
}

fn policy() -> String {
    json!({"Statement": [
        {"Effect": "Allow", "Principal": {"Service": "billingreports.amazonaws.com"},
         "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"], "Resource": "arn:aws:s3:::b-1"},
        {"Effect": "Allow", "Principal": {"Service": ["billingreports.amazonaws.com"]},
         "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b-1/*"},
    ]})
    .to_string()
}

#[test]
fn the_organization_has_the_documented_shape() {
    let mut state = State::default();
    let call = json_call(Service::Organizations, "AWSOrganizationsV20161128.DescribeOrganization", &json!({}));
    let (status, operation, body) = ask(&mut state, Service::Organizations, &call);
    assert_eq!((status, operation), (200, "DescribeOrganization"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["Organization"]["MasterAccountId"], ACCOUNT);
    assert!(state.violations.is_empty(), "{:?}", state.violations);
}

#[test]
fn there_are_no_data_exports_and_no_bill_goes_elsewhere() {
    let listings = [
        (Service::DataExports, "AWSBillingAndCostManagementDataExports", "ListExports", json!({}), "Exports"),
        (
            Service::Organizations,
            "AWSOrganizationsV20161128",
            "ListOutboundResponsibilityTransfers",
            json!({"Type": "BILLING"}),
            "ResponsibilityTransfers",
        ),
        (
            Service::Organizations,
            "AWSOrganizationsV20161128",
            "ListInboundResponsibilityTransfers",
            json!({"Type": "BILLING", "MaxResults": 20}),
            "ResponsibilityTransfers",
        ),
    ];
    for (service, prefix, operation, input, list) in listings {
        let mut state = State::default();
        let (status, reported, body) = ask(&mut state, service, &json_call(service, &format!("{prefix}.{operation}"), &input));
        assert_eq!((status, reported), (200, operation), "{:?}", state.violations);
        // The last page: with no token, and the member there.
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({list: []}));
    }
}

#[test]
fn a_bucket_is_absent_then_made_then_set() {
    let mut state = State::default();
    let mut s3 = |call: &HttpRequest| ask(&mut state, Service::S3, call);
    assert_eq!(s3(&s3_call(Method::HEAD, "/b-1", &[], "")).0, 404);
    let owner = [("x-amz-object-ownership", "BucketOwnerEnforced")];
    assert_eq!(s3(&s3_call(Method::PUT, "/b-1", &owner, CREATE)).1, "CreateBucket");
    assert_eq!(s3(&s3_call(Method::HEAD, "/b-1/", &[], "")).0, 200);
    let closed = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
        <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    assert_eq!(s3(&s3_call(Method::PUT, "/b-1?publicAccessBlock", &[], closed)).1, "PutPublicAccessBlock");
    let encrypted = "<R><SSEAlgorithm>AES256</SSEAlgorithm></R>";
    assert_eq!(s3(&s3_call(Method::PUT, "/b-1?encryption=", &[], encrypted)).1, "PutBucketEncryption");
    let rule = "<L><Rule><Status>Enabled</Status></Rule></L>";
    assert_eq!(s3(&s3_call(Method::PUT, "/b-1?lifecycle", &[], rule)).1, "PutBucketLifecycleConfiguration");
    assert_eq!(s3(&s3_call(Method::PUT, "/b-1?policy&x-id=PutBucketPolicy", &[], &policy())).0, 204);
    let bucket = state.account.buckets.remove("b-1").unwrap();
    assert!(bucket.delivery_allowed());
    let expected = Bucket {
        owner_enforced: true,
        tagged: true,
        closed: true,
        encrypted: true,
        lifecycle: true,
        policy: bucket.policy.clone(),
    };
    assert_eq!(bucket, expected);
    assert!(state.violations.is_empty(), "{:?}", state.violations);
}

#[test]
fn half_a_public_access_block_does_not_close_a_bucket() {
    let mut state = State::default();
    state.account.buckets.insert("b-1".to_owned(), Bucket::default());
    let half = "<P><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls></P>";
    ask(&mut state, Service::S3, &s3_call(Method::PUT, "/b-1?publicAccessBlock", &[], half));
    assert!(!state.account.buckets["b-1"].closed);
}

#[test]
fn a_report_needs_a_bucket_that_may_be_delivered_to() {
    let mut state = State::default();
    let put = json_call(Service::Cur, "AWSOrigamiServiceGatewayService.PutReportDefinition", &report());
    let (status, _, body) = ask(&mut state, Service::Cur, &put);
    assert_eq!(status, 400);
    assert!(body.contains("Failed to verify customer bucket permission."), "{body}");
    let policy = serde_json::from_str(&policy()).unwrap();
    state.account.buckets.insert("b-1".to_owned(), Bucket { policy: Some(policy), ..Bucket::default() });
    assert_eq!(ask(&mut state, Service::Cur, &put).0, 200);
    let list = json_call(Service::Cur, "AWSOrigamiServiceGatewayService.DescribeReportDefinitions", &json!({"MaxResults": 5}));
    let (_, _, body) = ask(&mut state, Service::Cur, &list);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["ReportDefinitions"][0]["ReportName"], "r");
}

#[test]
fn requests_that_aws_would_refuse_are_violations() {
    let wrong_region = scope("s3").replace("us-east-1", "eu-west-1");
    let location = "<C><LocationConstraint>us-east-1</LocationConstraint></C>";
    let mut daily = report();
    daily["ReportDefinition"]["TimeUnit"] = json!("DAILY");
    let exports = |input: Value| json_call(Service::DataExports, "AWSBillingAndCostManagementDataExports.ListExports", &input);
    let transfers = |direction: &str, input: Value| {
        let target = format!("AWSOrganizationsV20161128.List{direction}ResponsibilityTransfers");
        json_call(Service::Organizations, &target, &input)
    };
    let json_1_0 = {
        let mut call = exports(json!({}));
        call.head.headers.insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
        call
    };
    let no_checksum = {
        let mut call = s3_call(Method::PUT, "/b-1?policy", &[], &policy());
        call.head.headers.remove("x-amz-checksum-crc32");
        call
    };
    let cases = [
        (Service::S3, request(Method::HEAD, "/b-1", &[], ""), "not signed"),
        (Service::S3, request(Method::HEAD, "/b-1", &[("authorization", &wrong_region)], ""), "signed for"),
        (Service::S3, request(Method::HEAD, "/b-1", &[("authorization", &scope("s3"))], ""), "session token"),
        (Service::S3, s3_call(Method::PUT, "/b-1", &[], location), "LocationConstraint"),
        (Service::S3, s3_call(Method::PUT, "/b-2?policy", &[], "{}"), "no such bucket"),
        (Service::S3, no_checksum, "checksum"),
        (Service::S3, s3_call(Method::GET, "/b-1?location", &[], ""), "not part of the work"),
        (Service::Cur, json_call(Service::Cur, "AWSOrigamiServiceGatewayService.DeleteReportDefinition", &json!({})), "not part"),
        (
            Service::Cur,
            json_call(Service::Organizations, "AWSOrganizationsV20161128.DescribeOrganization", &json!({})),
            "signed for",
        ),
        (Service::Cur, json_call(Service::Cur, "AWSOrigamiServiceGatewayService.PutReportDefinition", &daily), "TimeUnit"),
        (
            Service::Cur,
            json_call(Service::Cur, "AWSOrigamiServiceGatewayService.DescribeReportDefinitions", &json!({"MaxResults": 9})),
            "MaxResults",
        ),
        (Service::DataExports, json_1_0, "content type"),
        (Service::DataExports, exports(json!({"NextToken": "x"})), "`NextToken`"),
        (Service::DataExports, exports(json!({"MaxResults": 301})), "MaxResults"),
        (Service::DataExports, exports(json!([])), "not an object"),
        (
            Service::DataExports,
            json_call(Service::DataExports, "AWSBillingAndCostManagementDataExports.ListTables", &json!({})),
            "not part",
        ),
        (Service::DataExports, transfers("Inbound", json!({"Type": "BILLING"})), "signed for"),
        (Service::Cur, exports(json!({})), "signed for"),
        (Service::Organizations, transfers("Outbound", json!({})), "`Type`"),
        (Service::Organizations, transfers("Inbound", json!({"Type": "billing"})), "`Type`"),
        (Service::Organizations, transfers("Inbound", json!({"Type": "BILLING", "Id": "rt-12345678"})), "`Id`"),
        (Service::Organizations, transfers("Outbound", json!({"Type": "BILLING", "MaxResults": 21})), "MaxResults"),
        (Service::Organizations, transfers("Sideways", json!({"Type": "BILLING"})), "not part"),
    ];
    for (service, call, expected) in cases {
        let mut state = State::default();
        assert_eq!(ask(&mut state, service, &call).0, 400, "{expected}");
        assert!(state.violations.iter().any(|it| it.contains(expected)), "{expected}: {:?}", state.violations);
    }
}

#[test]
fn the_mailbox_takes_one_response_at_the_exact_url() {
    let path = "/arn%3Aaws%3Acloudformation%7CX?X-Amz-Signature=0";
    let mut state = State { response_path: path.to_owned(), ..State::default() };
    let body = r#"{"Status":"SUCCESS"}"#;
    let length = [("content-length", "20"), ("content-type", "")];
    let put = |path: &str, headers: &[(&str, &str)]| request(Method::PUT, path, headers, body);
    for (call, expected) in [
        (put("/arn:aws:cloudformation%7CX?X-Amz-Signature=0", &length), "bytes were changed"),
        (put(path, &[("content-length", "20"), ("content-type", "application/json")]), "content type"),
        (put(path, &[]), "MissingContentLength"),
        (request(Method::PUT, path, &length, &"x".repeat(4_097)), "too long"),
    ] {
        assert_eq!(ask(&mut state, Service::Mailbox, &call).0, 400, "{expected}");
        assert!(state.violations.iter().any(|it| it.contains(expected)), "{expected}: {:?}", state.violations);
    }
    assert_eq!(ask(&mut state, Service::Mailbox, &put(path, &length)).0, 200);
    assert!(state.responded.is_some());
    assert_eq!(ask(&mut state, Service::Mailbox, &put(path, &length)).0, 400, "a second response");
}

fn look(stack: &str, resource: &str) -> HttpRequest {
    let authorization = scope("cloudformation").replace("us-east-1", "eu-west-1");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-amz-security-token", SESSION_TOKEN),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = format!("Action=DescribeStackResources&Version=2010-05-15&StackName={stack}&LogicalResourceId={resource}");
    request(Method::POST, "/", &headers, &form)
}

#[test]
fn the_stack_still_waits_when_it_is_asked_after_the_response() {
    let stack = format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/hawser-bench/0");
    let announced = || State {
        stack_id: stack.clone(),
        logical_id: "BillingExport".to_owned(),
        resource_type: "Custom::BillingExport",
        ..State::default()
    };
    let encoded = stack.replace(':', "%3A").replace('/', "%2F");
    let mut state = announced();
    assert_eq!(ask(&mut state, Service::CloudFormation, &look(&encoded, "BillingExport")).0, 400);
    assert!(state.violations[0].contains("before the response"), "{:?}", state.violations);
    state = State { responded: Some(Instant::now()), ..announced() };
    let (status, operation, body) = ask(&mut state, Service::CloudFormation, &look(&encoded, "BillingExport"));
    assert_eq!((status, operation), (200, "DescribeStackResources"), "{:?}", state.violations);
    let document = roxmltree::Document::parse(&body).unwrap();
    let text = |name: &str| document.descendants().find(|it| it.tag_name().name() == name).and_then(|it| it.text());
    assert_eq!(text("ResourceStatus"), Some("CREATE_IN_PROGRESS"));
    assert_eq!((text("StackId"), text("StackName")), (Some(&*stack), Some("hawser-bench")));
    for (call, expected) in [
        (look("another", "BillingExport"), "`StackName`"),
        (look(&encoded, "Another"), "`LogicalResourceId`"),
        (request(Method::POST, "/", &[("authorization", &scope("cloudformation"))], ""), "signed for"),
    ] {
        assert_eq!(ask(&mut state, Service::CloudFormation, &call).0, 400, "{expected}");
        assert!(state.violations.iter().any(|it| it.contains(expected)), "{expected}: {:?}", state.violations);
    }
}

#[test]
fn the_vendor_takes_a_signed_notice_only() {
    let token = "whsec_YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=";
    let notice = json!({
        "specversion": "1.0", "type": "hawser.connection.established", "subject": ACCOUNT,
        "data": {"accountId": ACCOUNT, "organization": {"accountRole": "management"}, "packs": {"billing": "ReadOnly"}},
    })
    .to_string();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let signature = Webhook::new(token).unwrap().sign("id", now, notice.as_bytes()).unwrap();
    let now = now.to_string();
    let headers = |signature| {
        [
            ("content-type", "application/cloudevents+json"),
            ("webhook-id", "id"),
            ("webhook-timestamp", now.as_str()),
            ("webhook-signature", signature),
        ]
    };
    let mut state = State { launch_token: token.to_owned(), ..State::default() };
    let forged = request(Method::POST, "/notices", &headers("v1,AAAA"), &notice);
    assert_eq!(ask(&mut state, Service::Vendor, &forged).0, 400);
    assert!(state.notice.is_none());
    let signed = request(Method::POST, "/notices", &headers(&signature), &notice);
    let (status, _, body) = ask(&mut state, Service::Vendor, &signed);
    assert_eq!(status, 200, "{:?}", state.violations);
    assert!(body.contains("connectionId"));
}

#[test]
fn a_probe_is_neither_work_nor_a_violation() {
    let mut state = State::default();
    assert_eq!(ask(&mut state, Service::Cur, &request(Method::HEAD, "/", &[], "")).1, PROBE);
    assert!(state.violations.is_empty());
}
