//! What befell others who connect accounts, played against the handler and an account in memory.

use std::{collections::BTreeSet, time::Duration};

use hawser::{
    billing::{self, Export, definition},
    connection, handler,
    names::Partition,
    request::Request,
};
use hawser_account::{
    AccountFile,
    file::{BucketFile, OrganizationFile, ReportFile},
};
use hawser_sim::{InjectedFault, World};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
/// More turns than a Create needs until it has written the bucket's policy.
const POLLS_MAX: usize = 10_000;
const TIME_OUT: Duration = Duration::from_secs(120);

/// A stack somewhere: enough to make its events.
struct Stack {
    id: String,
    properties: Map<String, Value>,
}

impl Stack {
    fn new(partition: Partition, region: &str, uuid: &str) -> Self {
        let properties = json!({ "Kind": "CostAndUsageReport", "NamePrefix": "acme" });
        Self {
            id: format!("arn:{partition}:cloudformation:{region}:111122223333:stack/acme/{uuid}"),
            properties: properties.as_object().unwrap().clone(),
        }
    }

    fn with(mut self, property: &str, value: Value) -> Self {
        self.properties.insert(property.to_owned(), value);
        self
    }

    fn event(&self, kind: &str, request: &str, id: Option<&Value>) -> Value {
        let mut event = json!({
            "RequestType": kind, "RequestId": request, "StackId": self.id, "ResourceType": billing::RESOURCE_TYPE,
            "ResponseURL": format!("https://cloudformation-custom-resource-response.s3.amazonaws.com/{}/{request}", self.id.replace(':', "%3A")),
            "LogicalResourceId": "BillingExport", "ResourceProperties": self.properties,
        });
        if let Some(id) = id {
            event["PhysicalResourceId"] = id.clone();
        }
        if kind == "Update" {
            event["OldResourceProperties"] = Value::Object(self.properties.clone());
        }
        event
    }

    /// The event of the stack's connection, told of an export's attributes.
    fn connection_event(&self, kind: &str, request: &str, export: &Value) -> Value {
        let mut event = self.event(kind, request, None);
        let billing: Map<String, Value> = export["Data"].as_object().cloned().unwrap_or_default();
        event["ResourceType"] = connection::RESOURCE_TYPE.into();
        event["LogicalResourceId"] = "Connection".into();
        event["ResourceProperties"] = json!({
            "NoticeUrl": "https://vendor.example/notices", "LaunchToken": TOKEN, "ConnectionName": "main",
            "RoleArn": "arn:aws:iam::111122223333:role/vendor", "ExternalId": "ext-1", "Billing": billing,
        });
        if kind == "Delete" {
            let created = self.connection_event("Create", request, export);
            let Request::Connection(origin, _) = Request::parse(&created).unwrap() else { unreachable!() };
            event["PhysicalResourceId"] = connection::physical_id(&origin).into();
        }
        event
    }
}

fn here() -> Stack {
    Stack::new(Partition::Aws, "eu-west-1", "5e0c1b70")
}

/// One delivery of an event: its first response, which must come in time.
async fn answer(world: &World, event: &Value) -> Value {
    let ports = world.ports();
    let started = ports.clock.now();
    handler::answer(event, started + TIME_OUT, &ports).await.unwrap();
    assert!(ports.clock.now() - started < TIME_OUT - Duration::from_secs(2), "{event}");
    world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).remove(0)
}

async fn create(world: &World, stack: &Stack) -> Value {
    let made = answer(world, &stack.event("Create", "create", None)).await;
    assert_eq!(made["Status"], "SUCCESS", "{made}");
    made
}

/// Every call so far, in order.
fn calls(world: &World) -> Vec<String> {
    world.script.calls().iter().map(ToString::to_string).collect()
}

/// The account's billing calls, without what else the handler looks at.
fn billing_calls(world: &World) -> Vec<String> {
    let of_billing = |call: &String| ["organizations:", "cur:", "s3:"].iter().any(|service| call.starts_with(service));
    calls(world).into_iter().filter(of_billing).collect()
}

/// A report that others made, with its bucket.
fn theirs(name: &str, change: &Value) -> ReportFile {
    let mut report = json!({ "name": name, "bucket": "theirs" });
    report.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(report).unwrap()
}

fn their_bucket() -> BucketFile {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Theirs", "Effect": "Allow" }] });
    serde_json::from_value(json!({ "name": "theirs", "policy": policy, "objects": ["theirs/1.parquet"] })).unwrap()
}

/// An Update of the template gives the role permissions seconds before the resource needs them: to another kind, for example.
#[tokio::test(start_paused = true)]
async fn permissions_that_an_update_brings_are_waited_for() {
    for action in ["bcm-data-exports:ListTables", "cur:PutReportDefinition", "bcm-data-exports:CreateExport", "s3:CreateBucket"] {
        for (injected, status) in [(InjectedFault::Denied, "SUCCESS"), (InjectedFault::DeniedByPolicy, "FAILED")] {
            let world = World::new(AccountFile::default());
            let made = create(&world, &here()).await;
            let asked =
                |kind: &str| here().with("Kind", json!(kind)).event("Update", "update", Some(&made["PhysicalResourceId"]));
            let event = if action == "cur:PutReportDefinition" {
                here().with("Format", json!("Csv")).event("Update", "update", Some(&made["PhysicalResourceId"]))
            } else {
                asked("CostAndUsageReport2")
            };
            let before = calls(&world).iter().filter(|call| *call == action).count();
            for nth in 0..3 {
                world.script.inject(action, before + nth, injected);
            }
            let response = answer(&world, &event).await;
            assert_eq!(response["Status"], status, "{action} {injected:?}: {response}");
        }
    }
}

/// F-1, F-2, F-4, F-5: whichever permission is missing, on create and on delete: an answer in time, under the id that success
/// has, that names the action and, where AWS says so, the policy that denies it.
#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named_and_no_stack_hangs() {
    let tried = World::new(AccountFile::default());
    let made = create(&tried, &here()).await;
    let on_create = billing_calls(&tried);
    answer(&tried, &here().event("Delete", "delete", Some(&made["PhysicalResourceId"]))).await;
    let on_delete = billing_calls(&tried).split_off(on_create.len());
    let mut denied = 0;
    for (kind, calls) in [("Create", on_create), ("Delete", on_delete)] {
        for action in calls.into_iter().collect::<BTreeSet<_>>() {
            for (injected, code) in
                [(InjectedFault::Denied, "AWS_ACCESS_DENIED"), (InjectedFault::DeniedByPolicy, "AWS_DENIED_BY_")]
            {
                let world = World::new(AccountFile::default());
                let id = (kind == "Delete").then_some(&made["PhysicalResourceId"]);
                if kind == "Delete" {
                    create(&world, &here()).await;
                }
                world.script.inject_all(&action, injected);
                let response = answer(&world, &here().event(kind, "denied", id)).await;
                let context = format!("{kind} without `{action}` ({injected:?}): {response}");
                assert_eq!(response["PhysicalResourceId"], made["PhysicalResourceId"], "{context}");
                let reason = response["Reason"].as_str().unwrap_or_default();
                match (kind, action.as_str()) {
                    // Whose bill it is cannot be known, and the decision says why.
                    ("Create", "organizations:DescribeOrganization") => {
                        assert_eq!(response["Data"]["AccountRole"], "unknown", "{context}");
                        assert!(response["Data"]["Decision"].as_str().unwrap().contains(&action), "{context}");
                    }
                    // F-53: the call whose answer has a body says that there is no such bucket.
                    ("Create", "s3:ListBucket") => assert_eq!(response["Status"], "SUCCESS", "{context}"),
                    // F-50: S3's default or housekeeping; a denied `s3:PutBucketPolicy` fails.
                    (
                        "Create",
                        "s3:PutBucketPublicAccessBlock" | "s3:PutEncryptionConfiguration" | "s3:PutLifecycleConfiguration",
                    ) => {
                        assert_eq!(response["Status"], "SUCCESS", "{context}");
                        assert!(reason.contains(&format!("`{action}`")), "{context}");
                    }
                    // Whose bucket it is, its tags say.
                    ("Delete", "s3:ListBucket") => {
                        assert!(response["Status"] == "SUCCESS" || reason.contains(&action), "{context}")
                    }
                    // F-27, F-55: what is kept for that keeps no stack from going, and is said. Where a report may go on delivering, its
                    // bucket is kept with it.
                    ("Delete", _) => {
                        assert_eq!(response["Status"], "SUCCESS", "{context}");
                        assert!(reason.contains("was kept") && reason.contains(&format!("`{action}`")), "{context}");
                        let state = world.account.state();
                        assert!(state.reports.is_empty() || !state.buckets.is_empty(), "{context}");
                        assert_eq!(state.reports.is_empty(), action.starts_with("s3:"), "{context}");
                    }
                    _ => {
                        assert_eq!(response["Status"], "FAILED", "{context}");
                        assert!(reason.starts_with(code) && reason.contains(&format!("`{action}`")), "{context}");
                    }
                }
                denied += 1;
            }
        }
    }
    assert!(denied > 25, "only {denied} denials");
}

/// F-9, F-12, F-37: any number of stacks in one account, in one Region or in several, and one made again after it was deleted:
/// no name is shared, and each removes what is its own.
#[tokio::test(start_paused = true)]
async fn stacks_of_one_account_do_not_meet() {
    let world = World::new(AccountFile::default());
    let places = [("eu-west-1", "a1"), ("eu-west-1", "a2"), ("us-east-1", "a3"), ("ap-southeast-2", "a4")];
    let stacks = places.map(|(region, uuid)| Stack::new(Partition::Aws, region, uuid));
    let mut made = Vec::new();
    for stack in &stacks {
        made.push(create(&world, stack).await);
    }
    for name in ["Name", "BucketName"] {
        let names: BTreeSet<&str> = made.iter().map(|response| response["Data"][name].as_str().unwrap()).collect();
        assert_eq!(names.len(), stacks.len(), "{name}");
    }
    assert_eq!(world.account.state().reports.len(), stacks.len());
    for (index, stack) in stacks.iter().enumerate() {
        answer(&world, &stack.event("Delete", &format!("delete-{index}"), Some(&made[index]["PhysicalResourceId"]))).await;
        let left: Vec<String> = world.account.state().reports.into_keys().collect();
        let expected: BTreeSet<&str> =
            made[index + 1..].iter().map(|response| response["Data"]["Name"].as_str().unwrap()).collect();
        assert_eq!(left.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    }
    // Again from the same link: another stack, whatever is left of the old one.
    let again = create(&world, &Stack::new(Partition::Aws, "eu-west-1", "a5")).await;
    assert!(made.iter().all(|old| old["PhysicalResourceId"] != again["PhysicalResourceId"]));
}

/// F-15: the delivery policy, word by word, in each partition and from a Region that is not the report service's.
#[tokio::test(start_paused = true)]
async fn the_delivery_policy_names_the_billing_region_with_the_right_operators() {
    for (partition, region, home) in [
        (Partition::Aws, "eu-west-1", "us-east-1"),
        (Partition::Aws, "us-east-1", "us-east-1"),
        (Partition::AwsCn, "cn-north-1", "cn-northwest-1"),
        (Partition::AwsEusc, "eusc-de-east-1", "eusc-de-east-1"),
    ] {
        let world = World::new(AccountFile::default());
        let made = create(&world, &Stack::new(partition, region, "a1")).await;
        let bucket = made["Data"]["BucketName"].as_str().unwrap();
        let arn = format!("arn:{partition}:s3:::{bucket}");
        let policy: Value = serde_json::from_str(world.account.state().buckets[bucket].policy.as_ref().unwrap()).unwrap();
        let services = json!({ "Service": ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"] });
        let condition = json!({
            "StringEquals": { "aws:SourceAccount": "111122223333" },
            "ArnLike": { "aws:SourceArn": [
                format!("arn:{partition}:cur:{home}:111122223333:definition/*"),
                format!("arn:{partition}:bcm-data-exports:{home}:111122223333:export/*"),
            ] },
        });
        let expected = json!([
            {
                "Sid": "HawserBillingCheck", "Effect": "Allow", "Principal": services,
                "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"], "Resource": arn, "Condition": condition,
            },
            {
                "Sid": "HawserBillingWrite", "Effect": "Allow", "Principal": services,
                "Action": "s3:PutObject", "Resource": format!("{arn}/*"), "Condition": condition,
            },
            {
                "Sid": "HawserTlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": [arn, format!("{arn}/*")], "Condition": { "Bool": { "aws:SecureTransport": "false" } },
            },
        ]);
        assert_eq!(policy["Statement"], expected, "{partition} {region}");
    }
}

/// What the report service sees of the bucket's policy, once it was written.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// Nothing, for some seconds.
    Late,
    /// Something else took it away.
    Gone,
    /// All of it, and it is denied elsewhere.
    DeniedAbove,
}

/// Makes the account show `seen` from the moment the policy is written.
async fn corrupt_policy(world: &World, seen: Seen) {
    let is_written = || {
        let called = calls(world).iter().any(|call| call == "s3:PutBucketPolicy");
        called && world.account.state().buckets.values().any(|bucket| bucket.policy.is_some())
    };
    // A handler that never writes one must fail the test and not hang it.
    for _ in 0..POLLS_MAX {
        if is_written() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(is_written(), "no policy was written: {:?}", calls(world));
    let mut written = None;
    world.account.change(|state| {
        let bucket = state.buckets.values_mut().next().unwrap();
        written.clone_from(&bucket.policy);
        bucket.policy = match seen {
            Seen::Late | Seen::Gone => None,
            Seen::DeniedAbove => {
                written.as_ref().map(|policy| policy.replace("billingreports.amazonaws.com", "nobody.amazonaws.com"))
            }
        };
    });
    if matches!(seen, Seen::Late) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.account.change(|state| state.buckets.values_mut().next().unwrap().policy = written);
    }
}

/// F-16: a bucket that AWS does not accept yet is tried again; one that it never accepts is looked at, and the cause named.
#[tokio::test(start_paused = true)]
async fn a_bucket_that_aws_does_not_accept_is_tried_again_and_then_explained() {
    for (seen, words) in
        [(Seen::Late, None), (Seen::Gone, Some("no longer contains")), (Seen::DeniedAbove, Some("another policy denies it"))]
    {
        let world = World::new(AccountFile::default());
        let event = here().event("Create", "create", None);
        let (response, ()) = tokio::join!(biased; answer(&world, &event), corrupt_policy(&world, seen));
        let puts = calls(&world).iter().filter(|call| *call == "cur:PutReportDefinition").count();
        assert!(puts > 1, "{seen:?}: put {puts} times");
        match words {
            None => assert_eq!(response["Status"], "SUCCESS", "{response}"),
            Some(words) => {
                let reason = response["Reason"].as_str().unwrap();
                assert!(reason.starts_with("BILLING_BUCKET_REJECTED") && reason.contains(words), "{seen:?}: {reason}");
            }
        }
    }
}

/// F-18: everything that is written to the bucket is written before the report is asked for.
#[tokio::test(start_paused = true)]
async fn the_report_is_the_last_thing_made() {
    let world = World::new(AccountFile::default());
    create(&world, &here()).await;
    let calls = calls(&world);
    let report = calls.iter().position(|call| call == "cur:PutReportDefinition").unwrap();
    let written = |call: &&String| ["s3:Put", "s3:Create"].iter().any(|write| call.starts_with(write));
    assert_eq!(calls[..report].iter().filter(written).count(), 5, "{calls:?}");
    assert_eq!(calls[report..].iter().filter(written).count(), 0, "{calls:?}");
}

/// F-17: no request makes a prefix that AWS refuses.
#[test]
fn prefixes_end_as_aws_demands() {
    let Request::Billing(origin, _) = Request::parse(&here().event("Create", "create", None)).unwrap() else { unreachable!() };
    let bucket = "acme-111122223333-0123456789abcdef".parse().unwrap();
    let home = Partition::Aws.billing_region().unwrap();
    for format in ["Parquet", "Csv"] {
        let stack = here().with("Format", json!(format));
        let export = Export::parse(Some(&stack.properties)).unwrap();
        for request in 0..1000 {
            let wanted = definition::report(
                &export.id(&origin),
                (export.format, export.versioning),
                &bucket,
                &home,
                &format!("request-{request}"),
            );
            let legal = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()/".contains(c);
            assert!(wanted.prefix.len() >= 2 && wanted.prefix.chars().all(legal), "{}", wanted.prefix);
            assert!(!wanted.prefix.ends_with(['/', '|', '.']), "{}", wanted.prefix);
        }
    }
}

/// F-19, F-21: whatever the customer has is looked at and named, with the reason why it cannot serve.
#[tokio::test(start_paused = true)]
async fn every_report_that_was_found_is_named() {
    let reports = vec![
        theirs("daily", &json!({ "timeUnit": "DAILY" })),
        theirs("plain", &json!({ "elements": [] })),
        theirs("csv", &json!({ "format": "textORcsv", "compression": "GZIP" })),
        theirs("group", &json!({ "billingView": "arn:aws:billing::111122223333:billingview/x" })),
        theirs("failing", &json!({ "lastStatus": "ERROR_PERMISSIONS" })),
        theirs("gone", &json!({ "bucket": "nowhere" })),
        theirs("stacks", &json!({ "tags": { "hawser:stack-id": "another" } })),
    ];
    let names: Vec<String> = reports.iter().map(|report| report.name.clone()).collect();
    let world = World::new(AccountFile { reports, buckets: vec![their_bucket()], ..AccountFile::default() });
    let made = create(&world, &here()).await;
    let decision = made["Data"]["Decision"].as_str().unwrap();
    assert!(decision.starts_with("a new report"), "{decision}");
    for name in names {
        assert!(decision.contains(&format!("not `{name}`: ")), "{name} is not in: {decision}");
    }
}

/// F-24: what a member may call is not what it is: one that may not look at reports connects all the same, and a report that this
/// stack made before its account became a member stays.
#[tokio::test(start_paused = true)]
async fn a_member_without_permission_is_still_a_member() {
    let organization = || OrganizationFile::Member {
        id: "o-example".to_owned(),
        management_account: Some("444455556666".to_owned()),
        feature_set: "ALL".to_owned(),
    };
    let world = World::new(AccountFile { organization: organization(), ..AccountFile::default() });
    world.script.inject_all("cur:DescribeReportDefinitions", InjectedFault::DeniedByPolicy);
    let made = create(&world, &here()).await;
    assert_eq!((&made["Data"]["AccountRole"], &made["Data"]["Origin"]), (&json!("member"), &json!("none")));
    assert_eq!(made["Data"]["ManagementAccountId"], "444455556666");

    let before = World::new(AccountFile::default());
    let made = create(&before, &here()).await;
    let joined = World::new(AccountFile { organization: organization(), ..AccountFile::default() });
    let state = before.account.state();
    joined.account.change(|joined| *joined = state);
    let updated = answer(&joined, &here().event("Update", "update", Some(&made["PhysicalResourceId"]))).await;
    assert_eq!((&updated["Data"]["AccountRole"], &updated["Data"]["Origin"]), (&json!("member"), &json!("created")));
    assert_eq!(updated["Data"]["Name"], made["Data"]["Name"]);
}

/// F-26: wherever the stack is, the bucket is where the report service is and is said to be there; the vendor hears the same from
/// the handler itself. There is nothing to set.
#[tokio::test(start_paused = true)]
async fn no_region_has_to_match_another() {
    for region in ["us-east-1", "eu-west-1", "ap-southeast-2"] {
        let world = World::new(AccountFile::default());
        let stack = Stack::new(Partition::Aws, region, "a1");
        let made = create(&world, &stack).await;
        let bucket = made["Data"]["BucketName"].as_str().unwrap();
        assert_eq!(made["Data"]["BucketRegion"], world.account.state().buckets[bucket].region);
        assert_eq!(made["Data"]["BucketRegion"], "us-east-1");
        answer(&world, &stack.connection_event("Create", "connect", &made)).await;
        let notice = world.vendor.notices().remove(0);
        assert_eq!(
            (&notice["data"]["region"], &notice["data"]["billingExport"]["bucketRegion"]),
            (&json!(region), &json!("us-east-1"))
        );
        let set = answer(&world, &stack.with("BucketRegion", json!(region)).event("Create", "set", None)).await;
        assert!(set["Reason"].as_str().unwrap().starts_with("PROPERTY_UNKNOWN"), "{set}");
    }
}

/// F-29: a removal may be told twice, and a stack that is made again is a connection of its own.
#[tokio::test(start_paused = true)]
async fn a_stack_that_is_made_again_connects_again() {
    let world = World::new(AccountFile::default());
    let (old, new) = (here(), Stack::new(Partition::Aws, "eu-west-1", "6f1d2c81"));
    let mut ids = BTreeSet::new();
    for (request, kind, stack, connected) in [
        ("1", "Create", &old, vec![&old.id]),
        ("2", "Delete", &old, vec![]),
        ("3", "Delete", &old, vec![]),
        ("4", "Create", &new, vec![&new.id]),
        // What comes late of the old stack is not the new one's.
        ("5", "Delete", &old, vec![&new.id]),
    ] {
        let response = answer(&world, &stack.connection_event(kind, request, &json!({}))).await;
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        assert_eq!(world.vendor.connected().keys().collect::<Vec<_>>(), connected, "after request {request}");
        ids.insert(response["PhysicalResourceId"].to_string());
    }
    assert_eq!(ids.len(), 2);
}

/// F-31: when first data is due is said at once and stays the same, until data has come.
#[tokio::test(start_paused = true)]
async fn the_first_data_has_a_due_time_until_it_comes() {
    let world = World::new(AccountFile::default());
    let stack = here();
    let now = world.ports().clock.now();
    let made = create(&world, &stack).await;
    let due = made["Data"]["FirstDataDueBy"].as_str().unwrap();
    let wait = OffsetDateTime::parse(due, &Rfc3339).unwrap() - now;
    assert_eq!(wait.whole_hours(), 24, "{due}");
    answer(&world, &stack.connection_event("Create", "connect", &made)).await;
    assert_eq!(world.vendor.notices()[0]["data"]["billingExport"]["firstDataDueBy"], due);

    tokio::time::advance(Duration::from_secs(10 * 3600)).await;
    let update = stack.event("Update", "later", Some(&made["PhysicalResourceId"]));
    assert_eq!(answer(&world, &update).await["Data"]["FirstDataDueBy"], due);

    world.account.change(|state| {
        let (report, _) = state.reports.values_mut().next().unwrap();
        (report.last_status, report.last_delivery) = (Some("SUCCESS".to_owned()), Some("20261122T200000Z".to_owned()));
    });
    let update = stack.event("Update", "delivered", Some(&made["PhysicalResourceId"]));
    assert_eq!(answer(&world, &update).await["Data"]["FirstDataDueBy"], "");
}

/// F-32: a bucket that is reused is not written to in a whole life.
#[tokio::test(start_paused = true)]
async fn a_reused_bucket_is_left_as_it_is() {
    let file =
        AccountFile { reports: vec![theirs("theirs", &json!({}))], buckets: vec![their_bucket()], ..AccountFile::default() };
    let world = World::new(file);
    let before = world.account.state();
    let stack = here().with("Retention", json!("Delete"));
    let made = create(&world, &stack).await;
    assert_eq!(made["Data"]["Origin"], "reused");
    for (kind, request) in [("Update", "update"), ("Delete", "delete")] {
        let response = answer(&world, &stack.event(kind, request, Some(&made["PhysicalResourceId"]))).await;
        assert_eq!(response["Status"], "SUCCESS", "{response}");
    }
    assert_eq!(world.account.state(), before);
    let writes = ["s3:Put", "s3:Create", "s3:Delete", "cur:Put", "cur:Delete", "cur:Tag"];
    let calls = calls(&world);
    assert!(!calls.iter().any(|call| writes.iter().any(|write| call.starts_with(write))), "{calls:?}");
}

/// F-43: a boolean comes as text, and `"false"` is false.
#[tokio::test(start_paused = true)]
async fn booleans_are_read_in_any_form() {
    for (value, wanted) in [(json!("true"), true), (json!("True"), true), (json!("false"), false), (json!(""), false)] {
        let world = World::new(AccountFile::default());
        let made = create(&world, &here().with("RequestBackfill", value.clone())).await;
        assert_eq!(made["Data"]["Backfill"] != "not requested", wanted, "{value}");
    }
    for value in [json!("yes"), json!("0"), json!(["true"])] {
        let world = World::new(AccountFile::default());
        let response = answer(&world, &here().with("RequestBackfill", value.clone()).event("Create", "create", None)).await;
        assert!(response["Reason"].as_str().unwrap().starts_with("PROPERTY_INVALID"), "{value}: {response}");
    }
}

/// F-55: what was refused at Create goes again, without a call, whatever is wrong with the request; so does what was never answered,
/// whose id CloudFormation made up. An id that stands for something is no such thing.
#[tokio::test(start_paused = true)]
async fn what_was_refused_can_be_deleted() {
    let here = Stack::new(Partition::Aws, "eu-west-1", "5e0c1b70");
    let made = create(&World::new(AccountFile::default()), &here).await["PhysicalResourceId"].clone();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("RESOURCE_TYPE_UNKNOWN", |event| event["ResourceType"] = "Custom::BillingExprt".into()),
        ("PARTITION_UNSUPPORTED", |event| {
            event["StackId"] = "arn:aws-iso:cloudformation:us-iso-east-1:111122223333:stack/acme/5e0c1b70".into();
        }),
        ("EVENT_INVALID", |event| event["StackId"] = "stack/acme".into()),
        ("EVENT_INVALID", |event| event["LogicalResourceId"] = 7.into()),
        ("EVENT_INVALID", |event| event["ResourceProperties"] = "none".into()),
        ("PROPERTY_UNKNOWN", |event| event["ResourceProperties"]["Knid"] = "Focus".into()),
    ];
    for (code, change) in changes {
        let world = World::new(AccountFile::default());
        let mut event = here.event("Create", "create", None);
        change(&mut event);
        let refused = answer(&world, &event).await;
        assert!(refused["Reason"].as_str().is_some_and(|reason| reason.starts_with(code)), "{code}: {refused}");
        let mut delete = here.event("Delete", "delete", Some(&refused["PhysicalResourceId"]));
        change(&mut delete);
        let gone = answer(&world, &delete).await;
        assert_eq!(gone["Status"], "SUCCESS", "{code}: {gone}");
        assert_eq!(gone["PhysicalResourceId"], refused["PhysicalResourceId"], "{code}");
        if code != "PROPERTY_UNKNOWN" {
            assert!(billing_calls(&world).is_empty(), "{code}: {:?}", billing_calls(&world));
        }
        if ["RESOURCE_TYPE_UNKNOWN", "PARTITION_UNSUPPORTED"].contains(&code) {
            let mut delete = here.event("Delete", "made-up", Some(&json!("acme-BillingExport-1A2B3C4D5E6F")));
            change(&mut delete);
            assert_eq!(answer(&world, &delete).await["Status"], "SUCCESS", "{code}");
            let mut delete = here.event("Delete", "of-what-is-there", Some(&made));
            change(&mut delete);
            assert_eq!(answer(&world, &delete).await["Status"], "FAILED", "{code}: it may be there");
        }
    }
}
