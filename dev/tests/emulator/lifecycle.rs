//! Create, Update, Delete: the stack as a customer lives with it.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use hawser_dev::{
    constants::{CUSTOMER, STACK, STRANGER, VENDOR, assume, may_assume, parameters},
    stack::Stack,
    strict_proxy::calls::{Call, rounds},
    vendor::{Console, Script},
};
use serde_json::{Value, json};

use crate::world::{Testbed, describe};

/// HW-C2, HW-C3: the whole life, with the real vendor side, which verifies the notice's signature and asks STS whose proof it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_connects_changes_and_disconnects() {
    let world = Testbed::new("management").await;
    let console = Console::start(&world.emulator, &world.vendor.authority()).await.unwrap();
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    let launch = console.launch(CUSTOMER).await.unwrap();
    let mut wanted = parameters(&world.vendor.notice_url(), &launch);

    let created = Stack::create(&world.customer(), STACK, &world.template, &wanted, &mut |_| {}).await.unwrap();
    let (mut stack, outcome) = created;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(outputs["AccountRole"], "management");
    assert_eq!(world.report_names().await, [outputs["ReportName"].clone()]);

    let connections = console.connections().await.unwrap();
    assert_eq!(connections.len(), 1, "{connections:?}");
    let connection = console.connected(stack.id()).await.unwrap();
    assert_eq!(connection["connectionId"], *outputs["ConnectionId"]);
    assert_eq!(connection["data"]["roleArn"], *outputs["RoleArn"]);
    assert_eq!(connection["data"]["billingExport"]["bucketName"], *outputs["BucketName"]);
    assert_eq!(connection["data"]["organization"]["managementAccountId"], CUSTOMER);
    let handler = &stack.resources().await.unwrap()["HandlerRole"];
    let arn = connection["verifiedArn"].as_str().unwrap();
    assert!(arn.starts_with(&format!("arn:aws:sts::{CUSTOMER}:assumed-role/{handler}/")), "{arn}");

    let role = &outputs["RoleArn"];
    assert!(may_assume(&world.emulator, VENDOR, role, Some(&launch.external_id)).await.unwrap());
    assert!(!may_assume(&world.emulator, VENDOR, role, Some("another-external-id")).await.unwrap());
    assert!(!may_assume(&world.emulator, VENDOR, role, None).await.unwrap());
    assert!(!may_assume(&world.emulator, STRANGER, role, Some(&launch.external_id)).await.unwrap());

    wanted.insert("PackSecurityAudit".into(), "None".into());
    wanted.insert("Regions".into(), "eu-west-1,eu-central-1".into());
    let outcome = stack.update(&world.template, &wanted, &mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "UPDATE_COMPLETE");
    assert_eq!(stack.outputs().await.unwrap()["BucketName"], outputs["BucketName"]);
    let connection = &console.connections().await.unwrap()[0];
    assert_eq!(connection["latestNotice"]["type"], "hawser.connection.updated");
    assert_eq!(connection["data"]["regions"], json!(["eu-west-1", "eu-central-1"]));
    assert_eq!(connection["data"]["packs"], json!({"billing": "ReadOnly"}));

    world.deliver(&outputs["BucketName"], "hawser/1a2b3c4d/report.parquet").await;
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    assert_eq!(console.connections().await.unwrap()[0]["state"], "removed");
    assert!(!may_assume(&world.emulator, VENDOR, role, Some(&launch.external_id)).await.unwrap());
    assert_eq!(world.report_names().await, Vec::<String>::new());
    world.assert_no_leaks();
    let secrets = [("the launch token", launch.token.as_str())];
    let texts = [("the console's log", console.log()), ("the handler's log", world.emulator.handler_log())];
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(hawser_dev::leaks::search(&texts, &secrets), []);
}

/// HW-O4, F-27: the default keeps the data, and the stack goes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn delete_keeps_the_data() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let bucket = stack.outputs().await.unwrap()["BucketName"].clone();
    world.deliver(&bucket, "hawser/1a2b3c4d/report.parquet").await;
    world.deleted(&mut stack).await;
    assert!(world.keys(&bucket).await.contains(&"hawser/1a2b3c4d/report.parquet".to_owned()));
    assert_eq!(world.report_names().await, Vec::<String>::new());
    world.assert_notices_fit_the_schema(&["established", "removed"]);
    world.assert_no_leaks();
}

/// `BillingRetention: Delete` removes every version of the data, and the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_the_data_when_asked_to() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[("BillingRetention", "Delete")]).await;
    let outputs = stack.outputs().await.unwrap();
    let bucket = &outputs["BucketName"];
    let prefix = world.reports().await[0].s3_prefix().to_owned();
    world.enable_versioning(bucket).await;
    for key in ["a", "a", "b"] {
        world.deliver(bucket, &format!("{prefix}/{key}")).await;
    }
    world.deleted(&mut stack).await;
    assert_eq!(world.buckets().await, Vec::<String>::new());
    world.assert_no_leaks();
}

/// HW-B1: the billing services are in us-east-1 whatever the stack's Region is (F-14), and independent calls are made together.
#[tokio::test(flavor = "multi_thread")]
async fn create_is_twelve_calls_in_four_rounds_all_in_the_billing_region() {
    let world = Testbed::new("slow").await;
    let mut stack = world.created(&[]).await;
    let mut calls = world.emulator.front().calls().all();
    // Asked in case that the account is a management account, and given up as soon as it is known to be none.
    calls.retain(|call| !call.operation.ends_with("ResponsibilityTransfers"));
    // The connection asks for a token, while others look whether their Creates are still wanted.
    assert_eq!(calls.extract_if(.., |call| call.service == "sts").count(), 1);
    let list: Vec<String> = calls.iter().map(describe).collect();
    // The connection asks whether the stack waits before it notifies the vendor; and after its answer, which nobody waits for, each
    // Create looks whether the stack still wants it.
    let looks = calls.split_off(12);
    assert!(looks.len() == 3 && looks.iter().all(|call| call.operation == "DescribeStackResources"), "{list:#?}");
    assert_eq!(rounds(&calls), 4, "{list:#?}");
    let in_region = |call: &Call| call.region == if call.service == "cloudformation" { "eu-west-1" } else { "us-east-1" };
    assert!(calls.iter().all(|call| in_region(call) && call.principal == "role"), "{list:#?}");
    world.deleted(&mut stack).await;
    let calls = world.emulator.front().calls().all();
    assert!(
        calls.iter().all(|call| call.region == "us-east-1" || ["cloudformation", "sts"].contains(&call.service.as_str())),
        "{calls:#?}"
    );
}

/// HW-O1, HW-O5: what is created is private and marked, and each call on a bucket names its owner.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_is_private_and_has_the_ownership_tags() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let outputs = stack.outputs().await.unwrap();
    let bucket = outputs["BucketName"].as_str();
    let report = world.reports().await.remove(0);
    assert_eq!(report.s3_bucket(), bucket);
    assert!(report.s3_prefix().starts_with("hawser/"), "{}", report.s3_prefix());

    let s3 = world.billing().s3();
    let tags = s3.get_bucket_tagging().bucket(bucket).send().await.unwrap();
    assert!(tags.tag_set().iter().any(|tag| tag.key() == "hawser:stack-id" && tag.value() == stack.id()));
    let block = s3.get_public_access_block().bucket(bucket).send().await.unwrap();
    let block = block.public_access_block_configuration().unwrap();
    let blocked =
        [block.block_public_acls(), block.ignore_public_acls(), block.block_public_policy(), block.restrict_public_buckets()];
    assert_eq!(blocked, [Some(true); 4]);
    let ownership = s3.get_bucket_ownership_controls().bucket(bucket).send().await.unwrap();
    let rules = ownership.ownership_controls().unwrap().rules();
    assert_eq!(rules[0].object_ownership().as_str(), "BucketOwnerEnforced");

    let target = "AWSOrigamiServiceGatewayService.ListTagsForResource";
    let (_, tags) = world.billing().json("cur", target, &json!({"ReportName": report.report_name()})).await.unwrap();
    let marked = |tag: &Value| tag["Key"] == "hawser:stack-id" && tag["Value"] == stack.id();
    assert!(tags["Tags"].as_array().unwrap().iter().any(marked), "{tags}");
    world.deleted(&mut stack).await;
    for call in world.emulator.front().calls().all().iter().filter(|call| call.service == "s3") {
        let owner = call.parameters["ExpectedBucketOwner"].as_str();
        assert_eq!(owner, (call.operation != "CreateBucket").then_some(CUSTOMER), "{}", describe(call));
    }
}

/// HW-O3: a customer's own statement in the bucket's policy survives an Update that mends ours (B4 of the AWS guide: the policy is
/// replaced whole, so it must be merged).
#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_policy_is_merged_and_not_overwritten() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let bucket = stack.outputs().await.unwrap()["BucketName"].clone();
    let s3 = world.billing().s3();
    let theirs = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Auditors", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "s3:ListBucket", "Resource": format!("arn:aws:s3:::{bucket}")}]});
    s3.put_bucket_policy().bucket(&bucket).policy(theirs.to_string()).send().await.unwrap();

    world.updated(&mut stack, &[("RequestBackfill", "true")]).await;
    let policy = s3.get_bucket_policy().bucket(&bucket).send().await.unwrap();
    let policy: Value = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let ids: Vec<&str> = policy["Statement"].as_array().unwrap().iter().filter_map(|one| one["Sid"].as_str()).collect();
    assert!(ids.contains(&"Auditors"), "{ids:?}");
    assert!(ids.len() > 1, "the delivery statements were not mended: {ids:?}");
    world.deleted(&mut stack).await;
}

/// HW-L3: a change that cannot be made in place makes a new report, and the old one goes only when the update has succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn another_format_is_another_report() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let before = stack.outputs().await.unwrap();
    world.updated(&mut stack, &[("BillingFormat", "Csv")]).await;
    let after = stack.outputs().await.unwrap();
    assert_ne!(before["ReportName"], after["ReportName"]);
    assert_eq!(world.report_names().await, [after["ReportName"].clone()]);
    assert_eq!(world.reports().await[0].format().as_str(), "textORcsv");
    world.deleted(&mut stack).await;
    assert_eq!(world.report_names().await, Vec::<String>::new());
}

/// HW-L2, HW-L4, F-2: a failed Update is rolled back: the replacement's report goes, the first one stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_leaves_the_account_as_it_was() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let before = stack.outputs().await.unwrap();
    world.vendor.set_script(Script::Refuse { status: 403, detail: "the launch link is used up".into() });
    let changes = world.with(&[("BillingFormat", "Csv")]);
    let outcome = stack.update(&world.template, &changes, &mut |_| {}).await.unwrap();
    assert!(outcome.first_failure().contains("the launch link is used up"), "{}", outcome.first_failure());
    world.expect_status(&outcome, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(world.report_names().await, [before["ReportName"].clone()]);
    world.vendor.set_script(Script::Accept);
    world.deleted(&mut stack).await;
    world.assert_notices_fit_the_schema(&["established", "updated"]);
    world.assert_no_leaks();
}

/// HW-S3, F-37, F-12: nothing has a fixed name, and another stack's report is not relied on.
#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_coexist_in_one_account() {
    let world = Testbed::new("standalone").await;
    let mut first = world.created(&[]).await;
    let (mut second, outcome) = world.create_named("hawser-two", &[]).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let outputs = [first.outputs().await.unwrap(), second.outputs().await.unwrap()];
    assert_ne!(outputs[0]["ReportName"], outputs[1]["ReportName"]);
    assert_ne!(outputs[0]["RoleArn"], outputs[1]["RoleArn"]);
    world.deleted(&mut first).await;
    assert_eq!(world.report_names().await, [outputs[1]["ReportName"].clone()]);
    world.deleted(&mut second).await;
    assert_eq!(world.report_names().await, Vec::<String>::new());
}

/// HW-S4, F-42: the declared log group holds the handler's log, and goes with the stack for good.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_group_holds_the_log_and_does_not_come_back() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[]).await;
    let group = stack.resources().await.unwrap()["HandlerLogGroup"].clone();
    let input = json!({"logGroupName": group});
    let (_, streams) = world.customer().json("logs", "Logs_20140328.DescribeLogStreams", &input).await.unwrap();
    assert!(!streams["logStreams"].as_array().unwrap().is_empty(), "{streams}");
    world.deleted(&mut stack).await;
    let (_, groups) = world.customer().json("logs", "Logs_20140328.DescribeLogGroups", &json!({})).await.unwrap();
    assert_eq!(groups["logGroups"], json!([]));
}

/// With the billing pack alone the vendor's session reads the report's files, and nothing else in the account.
#[tokio::test(flavor = "multi_thread")]
async fn the_vendor_reads_the_billing_data_and_nothing_else() {
    let world = Testbed::new("standalone").await;
    // AWS's SecurityAudit policy, of the other pack, may list any bucket.
    let stack = world.created(&[("PackSecurityAudit", "None")]).await;
    let outputs = stack.outputs().await.unwrap();
    let (bucket, external_id) = (outputs["BucketName"].as_str(), world.parameters["ExternalId"].as_str());
    let folder = format!("{}/{}", world.reports().await[0].s3_prefix(), outputs["ReportName"]);
    let (data, other) = (format!("{folder}/20261101-20261201/report.parquet"), "elsewhere/report.parquet");
    world.deliver(bucket, &data).await;
    world.deliver(bucket, other).await;
    world.billing().s3().create_bucket().bucket("private-111122223333").send().await.unwrap();
    world.deliver("private-111122223333", &data).await;

    let session = assume(&world.emulator, VENDOR, &outputs["RoleArn"], Some(external_id)).await.unwrap().unwrap();
    let s3 = session.s3();
    s3.get_object().bucket(bucket).key(&data).send().await.unwrap();
    s3.list_objects_v2().bucket(bucket).prefix(format!("{folder}/")).send().await.unwrap();
    session.reports().describe_report_definitions().send().await.unwrap();

    let denied = "AccessDenied";
    let read = s3.get_object().bucket(bucket).key(other).send().await;
    assert_eq!(read.unwrap_err().code(), Some(denied));
    let list = s3.list_objects_v2().bucket(bucket).send().await;
    assert_eq!(list.unwrap_err().code(), Some(denied));
    let read = s3.get_object().bucket("private-111122223333").key(&data).send().await;
    assert_eq!(read.unwrap_err().code(), Some(denied));
    let write = s3.put_object().bucket(bucket).key(&data).send().await;
    assert_eq!(write.unwrap_err().code(), Some(denied));
    let delete = s3.delete_object().bucket(bucket).key(&data).send().await;
    assert_eq!(delete.unwrap_err().code(), Some(denied));
    let delete = session.reports().delete_report_definition().report_name(&outputs["ReportName"]).send().await;
    assert_eq!(delete.unwrap_err().code(), Some("AccessDeniedException"));
}
