//! What the customer has already: exports that serve, those that are named, a bucket; whose bill it is; and past months.

use hawser_dev::{
    constants::CUSTOMER,
    stack::{Outcome, Stack},
    strict_proxy::scenario::{BillingTransfer, Direction, ExportStatus, Fault, FaultAnswer, Organization, Scenario},
};
use serde_json::{Value, json};

use crate::{
    events,
    lives::account_resources,
    world::{Testbed, describe},
};

const BUCKET: &str = "theirs-111122223333";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000";
const CUR2: (&str, &str) = ("CostAndUsageReport2", "COST_AND_USAGE_REPORT");
const FOCUS: (&str, &str) = ("Focus", "FOCUS_1_2_AWS");
/// In letters that are not all ASCII.
const NAME: &str = "Größe & Söhne (日本)";

/// A bucket of the customer's with data, and a policy of its own.
async fn bucket(world: &Testbed, name: &str) {
    let s3 = world.billing().s3();
    s3.create_bucket().bucket(name).send().await.unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Auditors", "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{CUSTOMER}:root")},
        "Action": "s3:ListBucket", "Resource": format!("arn:aws:s3:::{name}")}]});
    s3.put_bucket_policy().bucket(name).policy(policy.to_string()).send().await.unwrap();
    world.deliver(name, "exports/theirs/data/part.parquet").await;
}

/// The resource of one statement of a managed policy of the stack, as IAM has it.
async fn resource(stack: &Stack, policy: &str, sid: &str) -> Value {
    let arn = &stack.resources().await.unwrap()[policy];
    let ask = async |action: &str, more: &str| {
        let body = format!("Version=2010-05-08&Action={action}&PolicyArn={arn}{more}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let (status, body) = stack.account().raw("iam", "POST", "/", &headers, body).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, 200, "{text}");
        text
    };
    let within = |text: &str, tag: &str| {
        let rest = text.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("no {tag} in {text}")).1;
        rest.split_once("</").unwrap().0.to_owned()
    };
    let version = within(&ask("GetPolicy", "").await, "DefaultVersionId");
    let document = within(&ask("GetPolicyVersion", &format!("&VersionId={version}")).await, "Document");
    let document = percent_encoding::percent_decode_str(&document).decode_utf8().unwrap().replace("&quot;", "\"");
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut statements = document["Statement"].as_array().unwrap().iter();
    statements.find(|statement| statement["Sid"] == sid).unwrap()["Resource"].clone()
}

/// The handler wrote nothing of AWS's, and asked nothing that AWS's models do not allow.
fn assert_only_read(world: &Testbed, since: usize) {
    let writes = ["Put", "Create", "Delete", "Tag", "Untag", "Modify", "Update"];
    let calls = world.emulator.front().calls().since(since);
    let wrote: Vec<String> =
        calls.iter().filter(|call| writes.iter().any(|write| call.operation.starts_with(write))).map(describe).collect();
    assert_eq!(wrote, Vec::<String>::new());
    world.assert_all_fit();
}

async fn outcome(world: &Testbed, name: &str, changes: &[(&str, &str)]) -> (Stack, Outcome) {
    world.create_named(name, changes).await
}

async fn created(world: &Testbed, name: &str, changes: &[(&str, &str)]) -> Stack {
    let (stack, outcome) = outcome(world, name, changes).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    stack
}

/// HW-B3, HW-B4, HW-B5, F-19: an export of the customer's that suits is used as it is, whatever page it is on; what does not suit
/// is named with the reason; nothing of it is touched. The key of its bucket reaches the roles, and no other key does.
#[tokio::test(flavor = "multi_thread")]
async fn suitable_exports_are_reused_and_left_alone() {
    let world = Testbed::new("management").await;
    bucket(&world, BUCKET).await;
    world.encrypt(BUCKET, KEY).await;
    bucket(&world, "plain-111122223333").await;
    let set =
        |table: &str, property: &str, value: &str| (format!("/DataQuery/TableConfigurations/{table}/{property}"), json!(value));
    for (_, table) in [CUR2, FOCUS] {
        let (daily, value) = set(table, "TIME_GRANULARITY", "DAILY");
        world.customers_export(&format!("daily-{table}"), table, BUCKET, &[(&daily, value)]);
        let some = json!(format!("SELECT * FROM {table} WHERE a = 'b'"));
        world.customers_export(&format!("some-{table}"), table, BUCKET, &[("/DataQuery/QueryStatement", some)]);
        let place = "/DestinationConfigurations/S3Destination/S3Bucket";
        let home = if table == CUR2.1 { BUCKET } else { "plain-111122223333" };
        world.customers_export(&format!("good-{table}"), table, BUCKET, &[(place, json!(home))]);
    }
    let (resources, value) = set(CUR2.1, "INCLUDE_RESOURCES", "FALSE");
    world.customers_export("no-resources", CUR2.1, BUCKET, &[(&resources, value)]);
    let before = account_resources(&world, None).await;
    for (kind, table) in [CUR2, FOCUS] {
        let mark = world.emulator.front().calls().mark();
        let mut stack = created(&world, &format!("hawser-{kind}"), &[("BillingKind", kind)]).await;
        let outputs = stack.outputs().await.unwrap();
        assert_eq!(outputs["ReportName"], format!("good-{table}"), "{}", outputs["Decision"]);
        for rejected in [format!("daily-{table}"), format!("some-{table}")] {
            assert!(outputs["Decision"].contains(&format!("not export `{rejected}`: ")), "{}", outputs["Decision"]);
        }
        let notice = world.vendor.notices().pop().unwrap();
        let billing = &notice.event["data"]["billingExport"];
        assert_eq!(
            (&billing["origin"], &billing["prefix"], &billing["kind"]),
            (&json!("reused"), &json!("exports"), &json!(kind))
        );
        let encrypted = kind == CUR2.0;
        for (policy, sid) in [("DeliveryWatchAccess", "DecryptManifests"), ("PackBillingPolicy", "DecryptBillingFiles")] {
            let key = resource(&stack, policy, sid).await;
            assert_eq!(key == KEY, encrypted, "{policy}: {key}");
            assert!(key.as_str().unwrap().starts_with("arn:aws:kms:"), "{key}");
        }
        let manifests = resource(&stack, "DeliveryWatchAccess", "ReadManifests").await;
        let home = if encrypted { BUCKET } else { "plain-111122223333" };
        assert_eq!(manifests, format!("arn:aws:s3:::{home}/exports/good-{table}/*anifest.json"));
        world.deleted(&mut stack).await;
        assert_only_read(&world, mark);
        assert_eq!(account_resources(&world, None).await, before);
    }
    world.assert_no_leaks();
}

/// F-21, F-19: an export that does not deliver, or delivers elsewhere, is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn unhealthy_exports_are_not_reused() {
    let world = Testbed::new("standalone").await;
    bucket(&world, BUCKET).await;
    world.customers_export("sick", CUR2.1, BUCKET, &[]);
    let destination = "/DestinationConfigurations/S3Destination";
    world.customers_export("gone", CUR2.1, BUCKET, &[(&format!("{destination}/S3Bucket"), json!("gone-111122223333"))]);
    let elsewhere = json!({"S3Bucket": "vendor-999988887777", "S3BucketOwner": "999988887777", "S3Prefix": "p", "S3Region": "us-east-1",
        "S3OutputConfigurations": {"OutputType": "CUSTOM", "Format": "PARQUET", "Compression": "PARQUET", "Overwrite": "OVERWRITE_REPORT"}});
    world.customers_export("elsewhere", CUR2.1, BUCKET, &[(destination, elsewhere)]);
    let sick =
        ExportStatus { code: "UNHEALTHY".into(), reason: Some("INSUFFICIENT_PERMISSION".into()), ..ExportStatus::default() };
    let export_status = [("sick".to_owned(), sick)].into();
    world.emulator.front().set_scenario(Scenario { export_status, ..Scenario::default() });
    let mut stack = world.created(&[("BillingKind", CUR2.0)]).await;
    let outputs = stack.outputs().await.unwrap();
    let decision = &outputs["Decision"];
    for said in ["`sick`", "INSUFFICIENT_PERMISSION", "`gone`", "`elsewhere`", "999988887777"] {
        assert!(decision.contains(said), "{said}: {decision}");
    }
    assert!(outputs["ReportName"].starts_with("hawser-"), "{decision}");
    world.deleted(&mut stack).await;
    world.assert_all_fit();
}

/// What the customer names is used, by name or ARN, report or export, or a bare bucket; what is not there is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_customer_names_is_used() {
    let world = Testbed::new("standalone").await;
    bucket(&world, BUCKET).await;
    world.customers_report("monthly", BUCKET, &[("TimeUnit", json!("MONTHLY"))], false).await;
    let arn = world.customers_export("named", FOCUS.1, BUCKET, &[]);
    world.customers_export("another", FOCUS.1, BUCKET, &[]);
    let before = account_resources(&world, None).await;
    let mark = world.emulator.front().calls().mark();
    for (number, (changes, name, says)) in [
        (vec![("BillingKind", FOCUS.0), ("ExistingExport", arn.as_str())], "named", "as ExistingExport says"),
        (vec![("BillingKind", FOCUS.0), ("ExistingExport", "another")], "another", "as ExistingExport says"),
        (vec![("ExistingExport", "monthly")], "monthly", "but it is monthly"),
        (vec![("ExistingBucket", BUCKET), ("ExistingPrefix", "exports/theirs")], "", "as ExistingBucket says"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stack = created(&world, &format!("hawser-{number}"), &changes).await;
        let outputs = stack.outputs().await.unwrap();
        assert_eq!((outputs["ReportName"].as_str(), outputs["BucketName"].as_str()), (name, BUCKET), "{}", outputs["Decision"]);
        assert!(outputs["Decision"].contains(says), "{}", outputs["Decision"]);
        world.deleted(&mut stack).await;
    }
    for (changes, code, says) in [
        ([("ExistingExport", "nobody-has-this"), ("BillingKind", FOCUS.0)], "BILLING_EXPORT_NOT_FOUND", "`another`"),
        ([("ExistingBucket", "nobody-has-this"), ("BillingKind", FOCUS.0)], "BILLING_EXPORT_UNUSABLE", "nobody-has-this"),
    ] {
        let (_, outcome) = outcome(&world, &format!("hawser-{}", code.to_lowercase().replace('_', "-")), &changes).await;
        assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
        let reason = outcome.first_failure();
        assert!(reason.contains(code) && reason.contains(says), "{reason}");
    }
    assert_only_read(&world, mark);
    assert_eq!(account_resources(&world, None).await, before);
    world.assert_no_leaks();
}

/// F-23, F-24: whose bill it is, said with what follows from it; a member has an export of its own only if it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_of_the_bill_is_named() {
    let world = Testbed::new("member").await;
    let other = "444455556666";
    let account = ("BillingScope", "Account");
    type Changes = [(&'static str, &'static str)];
    let cases: [(&str, &Changes, bool, [&str; 2]); 6] = [
        ("member", &[], false, [other, "Scope to Account"]),
        ("member", &[account], true, [other, "this account only"]),
        ("delegated-administrator", &[], false, [other, "billing-cost-management.amazonaws.com"]),
        ("billing-transferred-away", &[], false, [other, "billing transfer"]),
        ("billing-transferred-away", &[account], true, [other, "transferred"]),
        ("billing-transferred-here", &[], true, [other, "billing view"]),
    ];
    for (number, (scenario, changes, made, says)) in cases.into_iter().enumerate() {
        world.emulator.front().set_scenario(Scenario::named(scenario).unwrap());
        let changes = [&[("BillingKind", CUR2.0)], changes].concat();
        let mut stack = created(&world, &format!("hawser-{number}"), &changes).await;
        let outputs = stack.outputs().await.unwrap();
        let decision = &outputs["Decision"];
        assert!(says.iter().all(|word| decision.contains(word)), "{scenario}: {decision}");
        assert_eq!((world.exports().len() == 1, outputs["ReportName"].is_empty()), (made, !made), "{scenario}: {decision}");
        // Not asked for again by an update: what was made stays.
        world.deleted(&mut stack).await;
        assert_eq!(world.exports().len(), 0);
    }
    // The bill goes away while the stack is there: what it made is not abandoned.
    world.emulator.front().set_scenario(Scenario::named("management").unwrap());
    let mut stack = created(&world, "hawser-moving", &[("BillingKind", CUR2.0)]).await;
    let transfer =
        BillingTransfer { direction: Direction::Outbound, other: other.into(), status: "ACCEPTED".into(), start: 0, end: None };
    let place = Organization::Management { feature_set: "ALL".into(), billing_transfers: vec![transfer] };
    let moved = Scenario { organizations: [(CUSTOMER.to_owned(), place)].into(), ..Scenario::default() };
    world.emulator.front().set_scenario(moved);
    world.updated(&mut stack, &[("BillingKind", CUR2.0), ("ConnectionName", NAME)]).await;
    assert_eq!(world.vendor.notices().last().unwrap().event["data"]["connectionName"], NAME);
    assert_eq!(world.exports().len(), 1);
    world.deleted(&mut stack).await;
    world.assert_all_fit();
}

/// One support case, whatever is lost, repeated or changed.
#[tokio::test(flavor = "multi_thread")]
async fn past_months_are_requested_once() {
    let world = Testbed::new("support-plan").await;
    let wanted = [("BillingKind", CUR2.0), ("RequestBackfill", "true")];
    let lost = Fault { service: "support".into(), operation: "CreateCase".into(), nth: Some(1), answer: FaultAnswer::Lost };
    let plan = Scenario::named("support-plan").unwrap();
    world.emulator.front().set_scenario(Scenario { faults: vec![lost], ..plan.clone() });
    let mut stack = world.created(&wanted).await;
    world.emulator.front().set_scenario(plan);
    let cases = || world.emulator.front().cases(CUSTOMER);
    assert_eq!(cases().len(), 1);
    let outputs = stack.outputs().await.unwrap();
    let case = &cases()[0];
    let subject = case["subject"].as_str().unwrap();
    assert_eq!(outputs["Backfill"], format!("requested in the AWS Support case `{subject}`"));
    let body = case["recentCommunications"]["communications"][0]["body"].as_str().unwrap();
    assert!(body.contains(&outputs["ReportName"]) && body.contains(&outputs["BucketName"]), "{body}");
    assert_eq!((&case["serviceCode"], &case["severityCode"]), (&json!("billing"), &json!("low")));

    // Lambda delivers an event again, when CloudFormation has its answer; CloudFormation updates.
    let mut event = events::event(&world, &stack, "again", "Create", None);
    event["ResourceProperties"]["Kind"] = json!(CUR2.0);
    event["ResourceProperties"]["RequestBackfill"] = json!("true");
    let uploads = events::invoke(&world, &stack, &event).await;
    let reason = uploads[0].body["Reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("REQUEST_OUTDATED"), "{}", uploads[0].body);
    world.updated(&mut stack, &[wanted[0], wanted[1], ("BillingRetention", "Delete")]).await;
    assert_eq!(stack.outputs().await.unwrap()["Backfill"], outputs["Backfill"]);
    assert_eq!(cases().len(), 1);
    // Another export is another wish.
    world.updated(&mut stack, &[("BillingKind", FOCUS.0), wanted[1]]).await;
    assert_eq!(cases().len(), 2);
    world.deleted(&mut stack).await;
    assert_eq!(cases().len(), 2);
    world.assert_all_fit();
    world.assert_no_leaks();
}

/// Without a plan, or when AWS Support fails, the stack succeeds, and says what to write and where.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_support_plan_the_request_text_is_given() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[("RequestBackfill", "true")]).await;
    let outputs = stack.outputs().await.unwrap();
    for said in
        ["paid plan", "https://support.console.aws.amazon.com/", outputs["ReportName"].as_str(), outputs["BucketName"].as_str()]
    {
        assert!(outputs["Backfill"].contains(said), "{said}: {}", outputs["Backfill"]);
    }
    let notice = world.vendor.notices().pop().unwrap();
    assert!(notice.event["data"].to_string().contains("paid plan"), "{}", notice.event["data"]);
    let calls = world.calls();
    let asked: Vec<String> = calls.iter().filter(|call| call.service == "support").map(describe).collect();
    assert_eq!(asked, ["support:DescribeCases us-east-1 111122223333 400 SubscriptionRequiredException"]);
    world.deleted(&mut stack).await;
    world.assert_all_fit();
}

/// Without room for another export the failure names those that are there.
#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_an_export_is_said_with_the_names() {
    let world = Testbed::new("standalone").await;
    bucket(&world, BUCKET).await;
    for name in ["focus-1", "focus-2"] {
        let granularity = "/DataQuery/TableConfigurations/FOCUS_1_2_AWS/TIME_GRANULARITY";
        world.customers_export(name, FOCUS.1, BUCKET, &[(granularity, json!("DAILY"))]);
    }
    let before = account_resources(&world, None).await;
    let (_, outcome) = world.create(&[("BillingKind", FOCUS.0)]).await;
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
    let reason = outcome.first_failure();
    assert!(reason.contains("BILLING_EXPORT_QUOTA") && reason.contains("`focus-2`"), "{reason}");
    assert_eq!(account_resources(&world, None).await, before, "the rollback left something");
    world.assert_all_fit();
    world.assert_no_leaks();
}

/// Where AWS lets an account have two exports of one name, an answer that was lost leaves one all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_one_export() {
    let world = Testbed::new("standalone").await;
    let lost =
        Fault { service: "bcm-data-exports".into(), operation: "CreateExport".into(), nth: Some(1), answer: FaultAnswer::Lost };
    for (number, twin_exports) in [false, true].into_iter().enumerate() {
        world.emulator.front().set_scenario(Scenario { faults: vec![lost.clone()], twin_exports, ..Scenario::default() });
        let mut stack = created(&world, &format!("hawser-{number}"), &[("BillingKind", CUR2.0)]).await;
        let exports = world.exports();
        assert_eq!(exports.len(), 1, "{exports:#?}");
        assert_eq!(world.vendor.notices().pop().unwrap().event["data"]["billingExport"]["arn"], exports[0]["arn"]);
        world.deleted(&mut stack).await;
        assert_eq!(world.exports().len(), 0);
    }
}

/// A report does not need Data Exports, nor an export the report service: an organization may have closed either.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_service_may_be_closed() {
    let world = Testbed::new("standalone").await;
    let closed = |service: &str, operation: &str| {
        let fault = Fault { service: service.into(), operation: operation.into(), nth: None, answer: FaultAnswer::Deny };
        world.emulator.front().set_scenario(Scenario { faults: vec![fault], ..Scenario::default() });
    };
    for (kind, service, operation) in
        [("CostAndUsageReport", "bcm-data-exports", "ListExports"), (FOCUS.0, "cur", "DescribeReportDefinitions")]
    {
        closed(service, operation);
        let mut stack = created(&world, &format!("hawser-{kind}"), &[("BillingKind", kind)]).await;
        let outputs = stack.outputs().await.unwrap();
        assert!(outputs["ReportName"].starts_with("hawser-"), "{outputs:?}");
        assert!(outputs["Decision"].contains("could not be listed"), "{}", outputs["Decision"]);
        world.deleted(&mut stack).await;
        assert_eq!((world.exports().len(), world.report_names().await.len()), (0, 0));
    }
}
