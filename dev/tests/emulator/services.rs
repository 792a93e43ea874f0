//! The services that the front serves itself: what AWS answers, checks and refuses in Data Exports, Support and Organizations,
//! and that the emulator's IAM decides about them as about all others.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STRANGER},
    strict_proxy::{
        delivery::TEST_OBJECT,
        scenario::{ExportStatus, Fault, FaultAnswer, Scenario},
        shared::BILLING_REGION,
    },
};
use serde_json::{Value, json};

use crate::{
    front::{BUCKET, Customer},
    world::data_export,
};

impl Customer {
    /// With a bucket that Data Exports may write to.
    async fn with_bucket(scenario: Scenario) -> Self {
        let customer = Self::new(scenario).await;
        customer.bucket().await;
        customer.let_in(CUSTOMER).await;
        customer
    }

    async fn let_in(&self, source_account: &str) {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "bcm-data-exports.amazonaws.com"}, "Action": "s3:PutObject",
             "Resource": format!("arn:aws:s3:::{BUCKET}/*"), "Condition": {
                "StringEquals": {"aws:SourceAccount": source_account},
                "ArnLike": {"aws:SourceArn": format!("arn:aws:bcm-data-exports:us-east-1:{source_account}:export/*")}}}]});
        self.account.s3().put_bucket_policy().bucket(BUCKET).policy(policy.to_string()).send().await.unwrap();
    }

    async fn call(&self, service: &str, operation: &str, input: &Value) -> Value {
        call(&self.account, service, operation, input).await
    }

    async fn exports(&self, operation: &str, input: &Value) -> Value {
        self.call("bcm-data-exports", operation, input).await
    }

    /// The ARN of a new export, or the error.
    async fn create(&self, export: &Value) -> String {
        let answer = self.exports("CreateExport", &json!({"Export": export})).await;
        answer["ExportArn"].as_str().map_or_else(|| error(&answer), str::to_owned)
    }
}

async fn call(account: &Account, service: &str, operation: &str, input: &Value) -> Value {
    let prefix = match service {
        "bcm-data-exports" => "AWSBillingAndCostManagementDataExports",
        "support" => "AWSSupport_20130415",
        _ => "AWSOrganizationsV20161128",
    };
    account.json(service, &format!("{prefix}.{operation}"), input).await.unwrap().1
}

/// `Code: message`.
fn error(answer: &Value) -> String {
    let message = answer["Message"].as_str().or(answer["message"].as_str()).unwrap_or_default();
    format!("{}: {message}", answer["__type"].as_str().unwrap_or("no error"))
}

fn export(name: &str, columns: &str, table: &str, properties: &Value) -> Value {
    data_export(name, BUCKET, columns, table, properties)
}

fn cur2(name: &str) -> Value {
    export(name, "bill_payer_account_id, product.region AS region", "COST_AND_USAGE_REPORT", &json!({}))
}

/// All pages of a list, each of which is small.
async fn pages(customer: &Customer, operation: &str, input: &Value, member: &str) -> Vec<Value> {
    let (mut all, mut input) = (Vec::new(), input.clone());
    loop {
        let answer = customer.exports(operation, &input).await;
        let page = answer[member].as_array().unwrap_or_else(|| panic!("{operation}: {answer}"));
        assert!(page.len() <= 2);
        all.extend(page.iter().cloned());
        match &answer["NextToken"] {
            Value::Null => return all,
            token => input["NextToken"] = token.clone(),
        }
    }
}

/// CreateExport looks at the bucket first, and leaves AWS's test object, as PutReportDefinition does (F-16, F-18).
#[tokio::test(flavor = "multi_thread")]
async fn an_export_needs_a_bucket_that_lets_aws_in() {
    let customer = Customer::new(Scenario::default()).await;
    let refused = "ValidationException: S3 bucket permission validation failed";
    assert!(customer.create(&cur2("no-bucket")).await.starts_with(refused));
    customer.account.s3().create_bucket().bucket(BUCKET).send().await.unwrap();
    assert!(customer.create(&cur2("no-policy")).await.starts_with(refused));
    customer.let_in(STRANGER).await;
    assert!(customer.create(&cur2("another-accounts-policy")).await.starts_with(refused));
    customer.let_in(CUSTOMER).await;
    let arn = customer.create(&cur2("good")).await;
    assert!(arn.starts_with("arn:aws:bcm-data-exports:us-east-1:111122223333:export/good-"), "{arn}");
    customer.account.s3().head_object().bucket(BUCKET).key(TEST_OBJECT).send().await.unwrap();

    // Another account's bucket, by that account's leave only.
    let stranger = Account::root(customer.emulator.front().url(), STRANGER, BILLING_REGION);
    let mut theirs = cur2("into-anothers-bucket");
    let create =
        async |export: &Value| error(&call(&stranger, "bcm-data-exports", "CreateExport", &json!({"Export": export})).await);
    assert!(create(&theirs).await.starts_with(refused));
    theirs["DestinationConfigurations"]["S3Destination"]["S3BucketOwner"] = json!(CUSTOMER);
    assert!(create(&theirs).await.starts_with(refused));
    customer.let_in(STRANGER).await;
    assert!(create(&theirs).await.starts_with("no error"));
    // Each account has its own.
    assert_eq!(pages(&customer, "ListExports", &json!({}), "Exports").await.len(), 1);
}

/// Columns, properties and values are those of the table's dictionary; names and quotas are the account's.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_checked_against_its_table() {
    let customer = Customer::with_bucket(Scenario { split_cost_allocation: false, ..Scenario::default() }).await;
    let table = "COST_AND_USAGE_REPORT";
    for (columns, table, properties, expected) in [
        ("line_item_resource_id", table, json!({}), "line_item_resource_id"),
        ("no_such_column", table, json!({}), "no_such_column"),
        ("*", table, json!({"TIME_GRANULARITY": "WEEKLY"}), "WEEKLY"),
        ("*", table, json!({"INCLUDE_ALL": "TRUE"}), "INCLUDE_ALL"),
        ("*", table, json!({"INCLUDE_SPLIT_COST_ALLOCATION_DATA": "TRUE"}), "not enabled"),
        ("*", "FOCUS_9_9_AWS", json!({}), "FOCUS_9_9_AWS"),
    ] {
        let answer = customer.create(&export("wrong", columns, table, &properties)).await;
        assert!(answer.starts_with("ValidationException") && answer.contains(expected), "{expected}: {answer}");
    }
    let resources = export("with-resources", "line_item_resource_id", table, &json!({"INCLUDE_RESOURCES": "TRUE"}));
    assert!(customer.create(&resources).await.starts_with("arn:"));
    assert!(customer.create(&resources).await.contains("already exists"));
    for number in 2..=5 {
        assert!(customer.create(&cur2(&format!("export-{number}"))).await.starts_with("arn:"));
    }
    let answer = customer.exports("CreateExport", &json!({"Export": cur2("one-too-many")})).await;
    assert_eq!(answer["__type"], "ServiceQuotaExceededException");
    assert!(answer["QuotaCode"].is_string() && answer["ServiceCode"].is_string(), "{answer}");
    for number in 1..=3 {
        let answer = customer.create(&export(&format!("focus-{number}"), "BilledCost, Tags", "FOCUS_1_2_AWS", &json!({}))).await;
        assert_eq!(answer.starts_with("arn:"), number <= 2, "{answer}");
    }
}

/// What the model does not allow never reaches the service, and the record says so.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_checked_against_the_models() {
    let customer = Customer::with_bucket(Scenario { support_plan: true, ..Scenario::default() }).await;
    let mut wrong = cur2("wrong");
    wrong["RefreshCadence"]["Frequency"] = json!("DAILY");
    let with_surprise = json!({"ExportArn": "arn:aws:bcm-data-exports:us-east-1:111122223333:export/x", "Surprise": 1});
    for (service, operation, input) in [
        ("bcm-data-exports", "CreateExport", json!({"Export": wrong})),
        ("bcm-data-exports", "CreateExport", json!({"Export": {"Name": "only-a-name"}})),
        ("bcm-data-exports", "UpdateExport", json!({"ExportArn": with_surprise["ExportArn"]})),
        ("bcm-data-exports", "GetExport", json!({"ExportArn": "no-arn-at-all-but-long-enough"})),
        ("bcm-data-exports", "GetExport", with_surprise),
        ("bcm-data-exports", "ListExports", json!({"MaxResults": 301})),
        ("support", "DescribeCases", json!({"maxResults": 5})),
        ("support", "CreateCase", json!({"subject": "hello"})),
        ("support", "CreateCase", json!({"subject": "hello", "communicationBody": "x".repeat(8001)})),
        ("organizations", "ListInboundResponsibilityTransfers", json!({})),
        ("organizations", "ListDelegatedServicesForAccount", json!({"AccountId": "1"})),
    ] {
        let answer = customer.call(service, operation, &input).await;
        assert_eq!(answer["__type"], "ValidationException", "{operation} {input}: {answer}");
        let call = customer.emulator.front().calls().all().pop().unwrap();
        assert!(call.misfit.is_some(), "{call:?}");
    }
    customer.exports("ListExports", &json!({})).await;
    assert_eq!(customer.emulator.front().calls().all().pop().unwrap().misfit, None);
    let elsewhere = customer.account.in_region("eu-west-1");
    for (service, target) in [
        ("bcm-data-exports", "AWSBillingAndCostManagementDataExports.ListExports"),
        ("support", "AWSSupport_20130415.DescribeServices"),
    ] {
        assert!(elsewhere.json(service, target, &json!({})).await.is_err(), "{service} has no endpoint there");
    }
}

/// Lists come in pages, tables with their columns, tags and states with their exports; an update replaces the whole definition.
#[tokio::test(flavor = "multi_thread")]
async fn exports_live_and_change() {
    let unhealthy =
        ExportStatus { code: "UNHEALTHY".into(), reason: Some("INSUFFICIENT_PERMISSION".into()), ..ExportStatus::default() };
    let run = |code: &str, at: &str| json!({"code": code, "created_at": at});
    let fresh: ExportStatus = serde_json::from_value(json!({
        "code": "HEALTHY", "last_refreshed_at": "2026-11-22T01:00:00Z",
        "executions": [run("DELIVERY_SUCCESS", "2026-11-21T00:00:00Z"), run("QUERY_FAILURE", "2026-11-20T00:00:00Z"),
                       run("DELIVERY_IN_PROCESS", "2026-11-22T00:00:00Z")]}))
    .unwrap();
    let scenario =
        Scenario { export_status: [("sick".to_owned(), unhealthy), ("*".to_owned(), fresh)].into(), ..Scenario::default() };
    let customer = Customer::with_bucket(scenario).await;
    let tables = pages(&customer, "ListTables", &json!({}), "Tables").await;
    let names: BTreeSet<&str> = tables.iter().filter_map(|table| table["TableName"].as_str()).collect();
    assert!(names.is_superset(&["COST_AND_USAGE_REPORT", "FOCUS_1_0_AWS", "FOCUS_1_2_AWS"].into()), "{names:?}");
    let table = customer.exports("GetTable", &json!({"TableName": "COST_AND_USAGE_REPORT"})).await;
    assert!(
        table["Schema"].as_array().unwrap().len() > 100 && table["TableProperties"]["TIME_GRANULARITY"] == "HOURLY",
        "{table}"
    );

    let tags: Vec<Value> = (0..5).map(|number| json!({"Key": format!("key-{number}"), "Value": "v"})).collect();
    let arn =
        customer.exports("CreateExport", &json!({"Export": cur2("tagged"), "ResourceTags": tags})).await["ExportArn"].clone();
    for name in ["sick", "third"] {
        customer.create(&cur2(name)).await;
    }
    let list = pages(&customer, "ListExports", &json!({"MaxResults": 100}), "Exports").await;
    let states: Vec<(&Value, &Value)> = list.iter().map(|one| (&one["ExportName"], &one["ExportStatus"]["StatusCode"])).collect();
    assert_eq!(json!(states), json!([["sick", "UNHEALTHY"], ["tagged", "HEALTHY"], ["third", "HEALTHY"]]));
    let of = json!({"ResourceArn": arn});
    assert_eq!(pages(&customer, "ListTagsForResource", &of, "ResourceTags").await, tags);
    customer.exports("UntagResource", &json!({"ResourceArn": arn, "ResourceTagKeys": ["key-0", "key-1"]})).await;
    customer.exports("TagResource", &json!({"ResourceArn": arn, "ResourceTags": [{"Key": "key-2", "Value": "w"}]})).await;
    let left = pages(&customer, "ListTagsForResource", &of, "ResourceTags").await;
    assert!(left.len() == 3 && left[0] == json!({"Key": "key-2", "Value": "w"}), "{left:?}");

    let one = json!({"ExportArn": arn});
    let runs = pages(&customer, "ListExecutions", &one, "Executions").await;
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[1]["ExecutionStatus"]["StatusCode"], "QUERY_FAILURE");
    let changed = export("tagged", "line_item_usage_amount", "COST_AND_USAGE_REPORT", &json!({"TIME_GRANULARITY": "DAILY"}));
    let update = customer.exports("UpdateExport", &json!({"ExportArn": arn, "Export": changed})).await;
    assert_eq!(update["ExportArn"], arn);
    let read = customer.exports("GetExport", &one).await;
    assert_eq!(read["Export"]["DataQuery"], changed["DataQuery"]);
    assert_eq!(read["ExportStatus"]["LastRefreshedAt"], "2026-11-22T01:00:00Z");
    for other in [cur2("renamed"), export("tagged", "BilledCost", "FOCUS_1_2_AWS", &json!({}))] {
        let refused = customer.exports("UpdateExport", &json!({"ExportArn": arn, "Export": other})).await;
        assert_eq!(refused["__type"], "ValidationException", "{refused}");
    }
    customer.exports("DeleteExport", &one).await;
    for operation in ["GetExport", "DeleteExport", "ListExecutions"] {
        let gone = customer.exports(operation, &one).await;
        assert_eq!((&gone["__type"], &gone["ResourceId"]), (&json!("ResourceNotFoundException"), &arn), "{operation}: {gone}");
    }
}

/// Without a plan the API of Support refuses every call; with one, cases are opened, listed in pages, and looked for.
#[tokio::test(flavor = "multi_thread")]
async fn support_needs_a_plan() {
    let customer = Customer::new(Scenario::default()).await;
    for operation in ["DescribeServices", "DescribeSeverityLevels", "DescribeCases", "CreateCase"] {
        let input = if operation == "CreateCase" { json!({"subject": "s", "communicationBody": "b"}) } else { json!({}) };
        let answer = customer.call("support", operation, &input).await;
        assert_eq!(answer["__type"], "SubscriptionRequiredException", "{operation}");
    }
    customer.emulator.front().set_scenario(Scenario::named("support-plan").unwrap());
    let services = customer.call("support", "DescribeServices", &json!({"serviceCodeList": ["billing"]})).await;
    let case = json!({"subject": "Past months", "communicationBody": "Please", "serviceCode": services["services"][0]["code"],
                      "categoryCode": "other-billing-questions", "severityCode": "low", "issueType": "customer-service"});
    for (member, value) in [("serviceCode", "nope"), ("categoryCode", "nope"), ("severityCode", "nope"), ("issueType", "nope")] {
        let mut wrong = case.clone();
        wrong[member] = json!(value);
        assert_eq!(customer.call("support", "CreateCase", &wrong).await["__type"], "ValidationException", "{member}");
    }
    let mut rehearsal = case.clone();
    rehearsal["dryRun"] = json!(true);
    assert_eq!(customer.call("support", "CreateCase", &rehearsal).await["__type"], "DryRunOperationException");
    let id = customer.call("support", "CreateCase", &case).await["caseId"].clone();

    let list = async |mut input: Value| {
        let mut subjects = Vec::new();
        loop {
            let answer = customer.call("support", "DescribeCases", &input).await;
            let page = answer["cases"].as_array().unwrap_or_else(|| panic!("{answer}"));
            subjects.extend(page.iter().map(|case| case["subject"].as_str().unwrap().to_owned()));
            match &answer["nextToken"] {
                Value::Null => return subjects,
                token => input["nextToken"] = token.clone(),
            }
        }
    };
    let open = list(json!({})).await;
    assert!(open.first().is_some_and(|newest| newest == "Past months"), "{open:?}");
    let all = list(json!({"includeResolvedCases": true})).await;
    assert!(all.len() > open.len() && all.len() > 4, "{all:?}");
    let recent =
        (time::OffsetDateTime::now_utc() - time::Duration::days(1)).format(&time::format_description::well_known::Rfc3339);
    assert_eq!(list(json!({"includeResolvedCases": true, "afterTime": recent.unwrap()})).await, ["Past months"]);
    assert_eq!(list(json!({"caseIdList": [id]})).await, ["Past months"]);
    assert_eq!(customer.call("support", "DescribeCases", &json!({"caseIdList": ["case-1"]})).await["__type"], "CaseIdNotFound");
}

/// Billing transfers and delegated administrators, as the scenario has them.
#[tokio::test(flavor = "multi_thread")]
async fn organizations_know_transfers_and_delegates() {
    let transfers = |direction: &str| (format!("List{direction}ResponsibilityTransfers"), json!({"Type": "BILLING"}));
    let delegated = || ("ListDelegatedServicesForAccount".to_owned(), json!({"AccountId": CUSTOMER}));
    let customer = Customer::new(Scenario::default()).await;
    for (scenario, (operation, input), expected) in [
        ("standalone", transfers("Inbound"), "AWSOrganizationsNotInUseException"),
        ("management", transfers("Outbound"), "none"),
        ("management", delegated(), "AccountNotRegisteredException"),
        ("member", transfers("Outbound"), "AccessDeniedException"),
        ("member", delegated(), "AccessDeniedException"),
        ("billing-transferred-away", transfers("Outbound"), "444455556666"),
        ("billing-transferred-away", transfers("Inbound"), "none"),
        ("billing-transferred-here", transfers("Inbound"), "444455556666"),
        ("delegated-administrator", delegated(), "billing-cost-management.amazonaws.com"),
    ] {
        customer.emulator.front().set_scenario(Scenario::named(scenario).unwrap());
        let answer = customer.call("organizations", &operation, &input).await;
        let found = match (answer["ResponsibilityTransfers"].as_array(), answer["DelegatedServices"].as_array()) {
            (Some(list), _) if list.is_empty() => "none",
            (Some(list), _) if operation.contains("Outbound") => list[0]["Target"]["ManagementAccountId"].as_str().unwrap(),
            (Some(list), _) => list[0]["Source"]["ManagementAccountId"].as_str().unwrap(),
            (_, Some(list)) => list[0]["ServicePrincipal"].as_str().unwrap(),
            _ => answer["__type"].as_str().unwrap(),
        };
        assert_eq!(found, expected, "{scenario} {operation}: {answer}");
    }
}

/// Every error that the models know can be had by its name, with the members that the model asks for.
#[tokio::test(flavor = "multi_thread")]
async fn modelled_errors_are_answered_by_name() {
    let customer = Customer::new(Scenario::default()).await;
    for (service, operation, name, required) in [
        ("bcm-data-exports", "ListTables", "ThrottlingException", &["Message"][..]),
        ("bcm-data-exports", "ListTables", "ServiceQuotaExceededException", &["Message", "QuotaCode", "ServiceCode"]),
        ("support", "DescribeServices", "InternalServerError", &["message"]),
        ("organizations", "DescribeOrganization", "TooManyRequestsException", &["Message"]),
        ("organizations", "DescribeOrganization", "NoModelKnowsThis", &["Message"]),
    ] {
        let fault =
            Fault { service: service.into(), operation: operation.into(), nth: Some(1), answer: FaultAnswer::Error(name.into()) };
        customer.emulator.front().set_scenario(Scenario { faults: vec![fault], support_plan: true, ..Scenario::default() });
        let answer = customer.call(service, operation, &json!({})).await;
        assert_eq!(answer["__type"], name);
        assert!(required.iter().all(|member| answer[member].is_string()), "{answer}");
        let call = customer.emulator.front().calls().all().pop().unwrap();
        assert_eq!(call.status, if name == "InternalServerError" { 500 } else { 400 });
    }
}

/// A role that may do nothing of this but what its policy names: IAM decides with the emulator's own evaluator, in AWS's words.
#[tokio::test(flavor = "multi_thread")]
async fn iam_decides_about_these_calls_too() {
    let customer = Customer::with_bucket(Scenario { support_plan: true, ..Scenario::default() }).await;
    let prefix = "arn:aws:bcm-data-exports:us-east-1:111122223333:";
    let whole = [
        ("bcm-data-exports:CreateExport", format!("{prefix}export/hawser-*")),
        ("bcm-data-exports:CreateExport", format!("{prefix}table/*")),
        ("bcm-data-exports:TagResource", format!("{prefix}export/hawser-*")),
        ("cur:PutReportDefinition", "arn:aws:cur:us-east-1:111122223333:*".to_owned()),
        ("support:DescribeServices", "*".to_owned()),
    ];
    let create = json!({"Export": cur2("hawser-1"), "ResourceTags": [{"Key": "k", "Value": "v"}]});
    for missing in 0..4 {
        let session =
            session(&customer, whole.iter().enumerate().filter(|(number, _)| *number != missing).map(|(_, one)| one)).await;
        let (action, resource) = &whole[missing];
        let answer = call(&session, "bcm-data-exports", "CreateExport", &create).await;
        let text = error(&answer);
        assert!(text.starts_with("AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/"), "{text}");
        assert!(text.contains(&format!("is not authorized to perform: {action} on resource: ")), "{text}");
        assert!(text.contains(resource.split('*').next().unwrap()), "{text}");
        assert!(text.ends_with(&format!("because no identity-based policy allows the {action} action")), "{text}");
    }
    let session = session(&customer, whole.iter()).await;
    let arn = call(&session, "bcm-data-exports", "CreateExport", &create).await["ExportArn"].clone();
    assert!(arn.is_string());
    assert!(call(&session, "support", "DescribeServices", &json!({})).await["services"].is_array());
    for (service, operation, input) in [
        ("bcm-data-exports", "ListExports", json!({})),
        ("bcm-data-exports", "GetExport", json!({"ExportArn": arn})),
        ("bcm-data-exports", "GetTable", json!({"TableName": "FOCUS_1_2_AWS"})),
        ("support", "DescribeSeverityLevels", json!({})),
        ("organizations", "ListOutboundResponsibilityTransfers", json!({"Type": "BILLING"})),
    ] {
        let text = error(&call(&session, service, operation, &input).await);
        assert!(text.contains("AccessDeniedException") && text.contains(&format!("{service}:{operation}")), "{text}");
    }
    // A role whose name is not covered, and a signature that does not fit.
    let mut other = create.clone();
    other["Export"]["Name"] = json!("theirs");
    assert!(error(&call(&session, "bcm-data-exports", "CreateExport", &other).await).contains("export/theirs"));
    let forged = Credentials::new("ASIAIOSFODNN7EXAMPLE", "wrong", None, None, "test");
    let stranger = Account::with(customer.emulator.front().url(), CUSTOMER, BILLING_REGION, forged);
    let answer = call(&stranger, "bcm-data-exports", "ListExports", &json!({})).await;
    assert!(answer["__type"].is_string() && answer["Exports"].is_null(), "{answer}");
}

/// A session of a new role with these permissions.
async fn session<'a>(customer: &Customer, allowed: impl Iterator<Item = &'a (&'a str, String)>) -> Account {
    let root = customer.emulator.root(CUSTOMER, BILLING_REGION);
    let statements: Vec<Value> =
        allowed.map(|(action, resource)| json!({"Effect": "Allow", "Action": action, "Resource": resource})).collect();
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{CUSTOMER}:root")}, "Action": "sts:AssumeRole"}]});
    let name = format!("role-{}", statements.len() * 100 + policy.len());
    let form = |pairs: &[(&str, &str)]| {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.append_pair("Version", "2010-05-08").extend_pairs(pairs).finish()
    };
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    for body in [
        form(&[("Action", "CreateRole"), ("RoleName", &name), ("AssumeRolePolicyDocument", &trust.to_string())]),
        form(&[("Action", "PutRolePolicy"), ("RoleName", &name), ("PolicyName", "p"), ("PolicyDocument", &policy)]),
    ] {
        let (status, body) = root.raw("iam", "POST", "/", &headers, body).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    let arn = format!("arn:aws:iam::{CUSTOMER}:role/{name}");
    hawser_dev::constants::assume(&customer.emulator, CUSTOMER, &arn, None).await.unwrap().unwrap()
}

/// What the delivery watch asks of S3: an encryption key, one level of keys, an object, each by its owner.
#[tokio::test(flavor = "multi_thread")]
async fn buckets_can_be_looked_into() {
    let customer = Customer::with_bucket(Scenario::default()).await;
    let s3 = customer.account.s3();
    let key = "arn:aws:kms:us-east-1:111122223333:key/1a2b3c4d";
    let kms = json!({"key": key}).to_string();
    let rule = format!(
        "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>\
         </ServerSideEncryptionConfiguration>"
    );
    let root = customer.emulator.root(CUSTOMER, BILLING_REGION);
    for name in ["a/1", "a/b/2", "a/c/3", "d"] {
        root.s3().put_object().bucket(BUCKET).key(name).body(kms.clone().into_bytes().into()).send().await.unwrap();
    }
    let (status, body) = root.raw("s3", "PUT", &format!("/{BUCKET}?encryption"), &[], rule).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let seen = s3.get_bucket_encryption().bucket(BUCKET).expected_bucket_owner(CUSTOMER).send().await.unwrap();
    let rules = seen.server_side_encryption_configuration().unwrap().rules();
    let default = rules[0].apply_server_side_encryption_by_default().unwrap();
    assert_eq!((default.sse_algorithm().as_str(), default.kms_master_key_id()), ("aws:kms", Some(key)));

    let list = || s3.list_objects_v2().bucket(BUCKET).prefix("a/").delimiter("/");
    let level = list().expected_bucket_owner(CUSTOMER).send().await.unwrap();
    let folders: Vec<&str> = level.common_prefixes().iter().filter_map(|one| one.prefix()).collect();
    let keys: Vec<&str> = level.contents().iter().filter_map(|one| one.key()).collect();
    assert_eq!((folders.as_slice(), keys.as_slice()), (&["a/b/", "a/c/"][..], &["a/1"][..]));
    let first = list().max_keys(1).send().await.unwrap();
    let token = first.next_continuation_token().unwrap();
    assert_eq!(list().continuation_token(token).send().await.unwrap().key_count(), Some(2));

    let get = || s3.get_object().bucket(BUCKET).key("a/1");
    assert_eq!(get().expected_bucket_owner(CUSTOMER).send().await.unwrap().body.collect().await.unwrap().into_bytes(), kms);
    for refused in [
        get().expected_bucket_owner(STRANGER).send().await.map(|_| ()).unwrap_err().raw_response().unwrap().status().as_u16(),
        list().expected_bucket_owner(STRANGER).send().await.map(|_| ()).unwrap_err().raw_response().unwrap().status().as_u16(),
    ] {
        assert_eq!(refused, 403);
    }
}
