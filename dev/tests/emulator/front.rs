//! The front itself: what AWS refuses and the emulator would let pass.

use aws_sdk_costandusagereport::error::ProvideErrorMetadata as _;
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STRANGER},
    emulator::Emulator,
    strict_proxy::{
        delivery::TEST_OBJECT,
        scenario::{Fault, FaultAnswer, Scenario},
        shared::BILLING_REGION,
    },
};
use serde_json::{Value, json};

pub(crate) const BUCKET: &str = "theirs-111122223333";

/// The customer's root, through the front.
pub(crate) struct Customer {
    pub(crate) emulator: Emulator,
    pub(crate) account: Account,
}

impl Customer {
    pub(crate) async fn new(scenario: Scenario) -> Self {
        let emulator = Emulator::start(scenario).await.unwrap();
        let account = Account::root(emulator.front().url(), CUSTOMER, BILLING_REGION);
        Self { emulator, account }
    }

    async fn cur(&self, operation: &str, input: &Value) -> (u16, Value) {
        self.account.json("cur", &format!("AWSOrigamiServiceGatewayService.{operation}"), input).await.unwrap()
    }

    async fn put_report(&self, name: &str) -> String {
        let report = json!({
            "ReportName": name, "TimeUnit": "DAILY", "Format": "textORcsv", "Compression": "GZIP", "S3Prefix": "billing",
            "AdditionalSchemaElements": [], "S3Bucket": BUCKET, "S3Region": BILLING_REGION});
        let (status, answer) = self.cur("PutReportDefinition", &json!({"ReportDefinition": report})).await;
        if status == 200 { String::new() } else { format!("{}: {}", answer["__type"], answer["Message"]) }
    }

    pub(crate) async fn bucket(&self) {
        self.account.s3().create_bucket().bucket(BUCKET).send().await.unwrap();
    }

    async fn put_policy(&self, policy: &Value) -> Result<(), String> {
        let policy = policy.as_str().map_or_else(|| policy.to_string(), str::to_owned);
        let answer = self.account.s3().put_bucket_policy().bucket(BUCKET).policy(policy).send().await;
        answer.map(|_| ()).map_err(|error| error.code().unwrap_or_default().to_owned())
    }
}

fn delivery_policy(source_account: &str) -> Value {
    let condition = json!({"StringEquals": {"aws:SourceAccount": source_account},
                           "ArnLike": {"aws:SourceArn": format!("arn:aws:cur:us-east-1:{source_account}:definition/*")}});
    let service = json!({"Service": "billingreports.amazonaws.com"});
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": service, "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"],
         "Resource": format!("arn:aws:s3:::{BUCKET}"), "Condition": condition},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
         "Resource": format!("arn:aws:s3:::{BUCKET}/*"), "Condition": condition}]})
}

/// PutReportDefinition looks at the bucket first (F-16, F-18), and leaves AWS's test object.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_needs_a_bucket_that_lets_aws_in() {
    let customer = Customer::new(Scenario::default()).await;
    let not_verified = "Failed to verify customer bucket permission.";
    assert!(customer.put_report("no-bucket").await.contains(not_verified));
    customer.bucket().await;
    assert!(customer.put_report("no-policy").await.contains(not_verified));
    customer.put_policy(&delivery_policy(STRANGER)).await.unwrap();
    assert!(customer.put_report("another-accounts-policy").await.contains(not_verified));
    customer.put_policy(&delivery_policy(CUSTOMER)).await.unwrap();
    assert_eq!(customer.put_report("good").await, "");
    customer.account.s3().head_object().bucket(BUCKET).key(TEST_OBJECT).send().await.unwrap();
}

/// Pages of five, a limit, and no name twice.
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_paged_and_limited() {
    let customer = Customer::new(Scenario { report_limit: 7, ..Scenario::default() }).await;
    customer.bucket().await;
    customer.put_policy(&delivery_policy(CUSTOMER)).await.unwrap();
    for number in 1..=7 {
        assert_eq!(customer.put_report(&format!("report-{number}")).await, "");
    }
    assert!(customer.put_report("report-8").await.contains("ReportLimitReachedException"));
    assert!(customer.put_report("report-1").await.contains("DuplicateReportNameException"));

    let (_, first) = customer.cur("DescribeReportDefinitions", &json!({"MaxResults": 5})).await;
    assert_eq!(first["ReportDefinitions"].as_array().unwrap().len(), 5);
    let next = json!({"NextToken": first["NextToken"]});
    let (_, second) = customer.cur("DescribeReportDefinitions", &next).await;
    assert_eq!(second["ReportDefinitions"].as_array().unwrap().len(), 2);
    assert!(second.get("NextToken").is_none());
    let (status, answer) = customer.cur("DescribeReportDefinitions", &json!({"NextToken": "nonsense"})).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("ValidationException")));
    let (_, answer) = customer.cur("DescribeReportDefinitions", &json!({"MaxResults": 10})).await;
    assert_eq!(answer["__type"], "ValidationException");
}

/// The billing services have no endpoint anywhere else (F-14): there is no answer at all.
#[tokio::test(flavor = "multi_thread")]
async fn billing_is_in_its_region_only() {
    let customer = Customer::new(Scenario::default()).await;
    let elsewhere = customer.account.in_region("eu-west-1");
    let target = "AWSOrigamiServiceGatewayService.DescribeReportDefinitions";
    assert!(elsewhere.json("cur", target, &json!({})).await.is_err());
    let last = customer.emulator.front().calls().all().pop().unwrap();
    assert_eq!((last.status, last.region.as_str()), (0, "eu-west-1"));
}

/// S3's answers to policies that are none for this bucket, and to an owner that is another.
#[tokio::test(flavor = "multi_thread")]
async fn bucket_requests_are_checked() {
    let customer = Customer::new(Scenario::default()).await;
    customer.bucket().await;
    let malformed = Err("MalformedPolicy".to_owned());
    assert_eq!(customer.put_policy(&json!("{nope")).await, malformed);
    let mut foreign = delivery_policy(CUSTOMER);
    foreign["Statement"][1]["Resource"] = json!("arn:aws:s3:::another-bucket/*");
    assert_eq!(customer.put_policy(&foreign).await, malformed);

    let s3 = customer.account.s3();
    let head = s3.head_bucket().bucket(BUCKET).expected_bucket_owner(STRANGER).send().await;
    assert_eq!(head.unwrap_err().raw_response().unwrap().status().as_u16(), 403);
    s3.head_bucket().bucket(BUCKET).expected_bucket_owner(CUSTOMER).send().await.unwrap();
    let missing = s3.head_bucket().bucket("nobody-has-this").expected_bucket_owner(CUSTOMER).send().await;
    assert_eq!(missing.unwrap_err().raw_response().unwrap().status().as_u16(), 404);

    let again = customer.account.in_region("eu-west-1");
    let body = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    let (status, answer) = again.raw("s3", "PUT", &format!("/{BUCKET}"), &[], body).await.unwrap();
    assert!(status == 409 && String::from_utf8_lossy(&answer).contains("BucketAlreadyOwnedByYou"));
}

/// Organizations as the scenario has it.
#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_as_the_scenario_says() {
    let target = "AWSOrganizationsV20161128.DescribeOrganization";
    for (scenario, expected) in [
        ("standalone", "AWSOrganizationsNotInUseException"),
        ("organization-denied", "AccessDeniedException"),
        ("management", CUSTOMER),
        ("member", "444455556666"),
    ] {
        let customer = Customer::new(Scenario::named(scenario).unwrap()).await;
        let (_, answer) = customer.account.json("organizations", target, &json!({})).await.unwrap();
        let seen = answer["__type"].as_str().or(answer["Organization"]["MasterAccountId"].as_str());
        assert_eq!(seen, Some(expected), "{scenario}: {answer}");
    }
}

/// Faults meet the call that they name, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn faults_apply_to_the_call_they_name() {
    let fault = |answer: FaultAnswer| Fault {
        service: "cur".into(),
        operation: "DescribeReportDefinitions".into(),
        nth: Some(2),
        answer,
    };
    for (answer, expected) in [
        (FaultAnswer::Throttle, "ThrottlingException"),
        (FaultAnswer::ServerError, "InternalErrorException"),
        (FaultAnswer::Deny, "AccessDeniedException"),
    ] {
        let customer = Customer::new(Scenario { faults: vec![fault(answer)], ..Scenario::default() }).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (_, answer) = customer.cur("DescribeReportDefinitions", &json!({})).await;
            seen.push(answer["__type"].as_str().unwrap_or("ok").to_owned());
        }
        assert_eq!(seen, ["ok", expected, "ok"]);
    }
}

/// The record of calls is there for people too, and holds no credentials.
#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_calls_can_be_read() {
    let customer = Customer::new(Scenario::default()).await;
    customer.cur("DescribeReportDefinitions", &json!({"MaxResults": 5})).await;
    let (_, body) = customer.account.raw("front", "GET", "/_front/calls", &[], "").await.unwrap();
    let calls: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(calls[0]["operation"], "DescribeReportDefinitions");
    assert_eq!(calls[0]["parameters"], json!({"MaxResults": 5}));
    assert_eq!(calls[0]["principal"], "root");
    let text = String::from_utf8_lossy(&body).into_owned();
    for secret in customer.emulator.front().secrets() {
        assert!(!text.contains(&secret));
    }
}
