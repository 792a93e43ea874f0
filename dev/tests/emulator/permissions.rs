//! HW-S1, least privilege, proven: without any one of its actions the handler's role is not enough.
//!
//! The emulator decides by the role that `template.yaml` made, also about the calls that only the front can answer. Each action
//! is taken away in a copy of the template, and a flow that needs it is run. Of reports: a stack with a bucket of its own, an
//! update, one that the vendor refuses, a delete with data in versions; then a stack that reuses a report, and one whose Create
//! is never answered. Of exports: a CUR 2.0 export of its own with past months asked for, brought up to date, watched and
//! deleted; or one that is reused, and watched; or none, because of whose bill it is.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use hawser_dev::{
    constants::{CUSTOMER, STACK},
    stack::{Outcome, Stack, template},
    strict_proxy::{
        calls::Call,
        scenario::{Execution, ExportStatus, Fault, FaultAnswer, Scenario},
    },
    vendor::Script,
    watch,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::world::Testbed;

/// Denied calls are tried again for some seconds, which is mostly waiting; more at a time than there are cores is well.
const AT_A_TIME: usize = 8;

/// Nothing but the Create that is never answered takes so long: denied calls are tried again for 7 s.
const SERVICE_TIMEOUT_SECONDS: u64 = 15;

const CUR2: &str = "CostAndUsageReport2";

/// Actions without which a stack is made all the same, and says what it lacks, with the call that is denied then: settings that are
/// S3's defaults (F-50), tags that can be given afterwards (F-49), and a question that is asked again in another way (F-53).
const DONE_WITHOUT: [(&str, &str); 6] = [
    ("s3:TagResource", "s3:CreateBucket"),
    ("s3:PutBucketOwnershipControls", "s3:CreateBucket"),
    ("s3:PutBucketPublicAccessBlock", "s3:PutPublicAccessBlock"),
    ("s3:PutEncryptionConfiguration", "s3:PutBucketEncryption"),
    ("s3:PutLifecycleConfiguration", "s3:PutBucketLifecycleConfiguration"),
    ("s3:ListBucket", "s3:HeadBucket"),
];

/// Something nobody needs, in the place of what is taken away.
const HARMLESS: &str = "sts:GetCallerIdentity";

/// The actions in the handler's policies, as `template.yaml` has them.
fn actions(template: &str) -> BTreeSet<String> {
    let action =
        Regex::new(r"\b(bcm-data-exports|cloudformation|cur|kms|logs|organizations|s3|support):[A-Z][A-Za-z]+\b").unwrap();
    let found = policies(template).map(|policy| action.find_iter(policy)).into_iter().flatten();
    // One of them is a condition.
    found.map(|found| found.as_str().to_owned()).filter(|name| name != "kms:ViaService").collect()
}

/// The role, and what it is given once the bucket is known.
fn policies(template: &str) -> [&str; 2] {
    [("\n  HandlerRole:", "\n  Handler:"), ("\n  DeliveryWatchAccess:", "\n  DeliveryWatch:")].map(|(from, to)| {
        let (start, end) = (template.find(from).unwrap(), template.find(to).unwrap());
        // Comments may speak of actions; the statements begin with the policies.
        &template[start..end]
    })
}

fn without(template: &str, action: &str) -> String {
    let taken = Regex::new(&format!(r"\b{action}\b")).unwrap();
    policies(template)
        .iter()
        .fold(template.to_owned(), |whole, policy| whole.replace(policy, &taken.replace_all(policy, HARMLESS)))
}

/// A flow, by what it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flow {
    Reports,
    OwnExport,
    ReusedExport,
    Places,
}

impl Flow {
    /// The one that needs an action.
    fn of(action: &str) -> Self {
        match action.split_once(':').unwrap() {
            ("bcm-data-exports" | "support", _) => Self::OwnExport,
            ("kms", _) | ("s3", "GetEncryptionConfiguration" | "GetObject") => Self::ReusedExport,
            ("organizations", name) if name != "DescribeOrganization" => Self::Places,
            _ => Self::Reports,
        }
    }

    /// The calls that were denied; or the first thing that is not as it should be, with them.
    async fn run(self, template: &str) -> Result<BTreeSet<String>, String> {
        let hasty = template.replace("ServiceTimeout: 600", &format!("ServiceTimeout: {SERVICE_TIMEOUT_SECONDS}"));
        let world = Testbed::with_template("standalone", &hasty).await;
        let result = match self {
            Self::Reports => reports(&world).await,
            Self::OwnExport => own_export(&world).await,
            Self::ReusedExport => reused_export(&world).await,
            Self::Places => places(&world).await,
        };
        // The answer of a HEAD has no code. An account without federation gets no token, which is no denial.
        let denied = |call: &Call| {
            call.status == 403 && call.service != "sts"
                || call.error.as_deref().is_some_and(|error| error.starts_with("AccessDenied"))
        };
        let denied: BTreeSet<String> = world.calls().iter().filter(|call| denied(call)).map(Call::name).collect();
        match result {
            Ok(()) => Ok(denied),
            Err(why) => Err(format!("{why}; denied: {denied:?}")),
        }
    }
}

async fn reports(world: &Testbed) -> Result<(), String> {
    own_bucket(world).await?;
    reuse(world).await?;
    never_answered(world).await?;
    logs(world)
}

/// Whose bill it is, which is in the decision.
async fn places(world: &Testbed) -> Result<(), String> {
    let plan = |scenario: &str| world.emulator.front().set_scenario(Scenario::named(scenario).unwrap());
    for (scenario, says) in [
        ("billing-transferred-away", "billing transfer"),
        ("billing-transferred-here", "need an export of their billing view"),
        ("delegated-administrator", "billing-cost-management.amazonaws.com"),
    ] {
        plan(scenario);
        let (mut stack, outcome) = world.create_named(&format!("{STACK}-{scenario}"), &[("BillingKind", CUR2)]).await;
        expect(&outcome, "CREATE_COMPLETE")?;
        let decision = stack.outputs().await.unwrap()["Decision"].clone();
        expect(&stack.delete(&mut |_| {}).await.unwrap(), "DELETE_COMPLETE")?;
        if !decision.contains(says) {
            return Err(format!("{scenario}: {decision}; {}", world.emulator.handler_log()));
        }
    }
    Ok(())
}

async fn own_export(world: &Testbed) -> Result<(), String> {
    let set = |scenario: Scenario| world.emulator.front().set_scenario(Scenario { support_plan: true, ..scenario });
    set(Scenario::default());
    let wanted = [("BillingKind", CUR2), ("RequestBackfill", "true"), ("BillingReuse", "Never")];
    let (mut stack, outcome) = world.create(&wanted).await;
    expect(&outcome, "CREATE_COMPLETE")?;
    let outputs = stack.outputs().await.unwrap();
    if world.emulator.front().cases(CUSTOMER).len() != 1 {
        return Err(outputs["Backfill"].clone());
    }
    let columns_added: BTreeMap<_, _> = [("COST_AND_USAGE_REPORT".to_owned(), vec!["x_new".to_owned()])].into();
    set(Scenario { columns_added: columns_added.clone(), ..Scenario::default() });
    let changed = world.with(&[&wanted[..], &[("BillingRetention", "Delete")]].concat());
    let outcome = stack.update(&world.template, &changed, &mut |_| {}).await.unwrap();
    expect(&outcome, "UPDATE_COMPLETE")?;
    if !world.exports()[0].to_string().contains("x_new") {
        return Err("the export was not brought up to date".to_owned());
    }
    // The last run of the export failed, which ListExecutions alone knows.
    let execution = Execution { code: "QUERY_FAILURE".into(), reason: None, created_at: "2026-11-22T00:00:00Z".into() };
    let failing = ExportStatus { code: "HEALTHY".into(), executions: vec![execution], ..ExportStatus::default() };
    set(Scenario { columns_added, export_status: [("*".to_owned(), failing)].into(), ..Scenario::default() });
    watched(world, &stack, "failed").await?;
    set(Scenario::default());
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    expect(&outcome, "DELETE_COMPLETE")?;
    match world.exports().as_slice() {
        [] => Ok(()),
        left => Err(format!("the export is left: {left:?}; {}", world.emulator.handler_log())),
    }
}

/// The customer's export in a bucket that encrypts with the customer's key, with data in it.
async fn reused_export(world: &Testbed) -> Result<(), String> {
    let (bucket, key) = ("theirs-export-111122223333", "arn:aws:kms:us-east-1:111122223333:key/1a2b3c4d");
    world.billing().s3().create_bucket().bucket(bucket).send().await.unwrap();
    world.encrypt(bucket, key).await;
    world.customers_export("theirs", "COST_AND_USAGE_REPORT", bucket, &[]);
    let folder = "exports/theirs";
    let file = format!("{folder}/data/BILLING_PERIOD=2026-11/theirs-00001.snappy.parquet");
    world.deliver(bucket, &file).await;
    let manifest = json!({"dataFiles": [format!("s3://{bucket}/{file}")], "billingPeriod": "2026-11"}).to_string();
    let name = format!("{folder}/metadata/BILLING_PERIOD=2026-11/theirs-Manifest.json");
    world.billing().s3().put_object().bucket(bucket).key(name).body(manifest.into_bytes().into()).send().await.unwrap();
    let (mut stack, outcome) = world.create_named(&format!("{STACK}-export"), &[("BillingKind", CUR2)]).await;
    expect(&outcome, "CREATE_COMPLETE")?;
    let reported = &world.vendor.notices().pop().unwrap().event["data"]["billingExport"];
    if reported["name"] != "theirs" || reported["kmsKeyArn"] != key {
        return Err(format!("{reported}; {}", world.emulator.handler_log()));
    }
    watched(world, &stack, "delivered").await?;
    expect(&stack.delete(&mut |_| {}).await.unwrap(), "DELETE_COMPLETE")
}

async fn watched(world: &Testbed, stack: &Stack, state: &str) -> Result<(), String> {
    let run = watch::run(stack, &world.vendor).await.map_err(|error| format!("{error:#}"))?;
    if run.status()["state"] == state { Ok(()) } else { Err(format!("not {state}: {} {:?}", run.status(), run.error)) }
}

async fn own_bucket(world: &Testbed) -> Result<(), String> {
    let own = [("BillingReuse", "Never"), ("BillingRetention", "Delete")];
    let (mut stack, outcome) = world.create(&own).await;
    expect(&outcome, "CREATE_COMPLETE")?;
    let outputs = stack.outputs().await.unwrap();
    if outputs["AccountRole"] != "standalone" {
        return Err(outputs["Decision"].clone());
    }
    let changed = world.with(&[("BillingReuse", "Never"), ("BillingRetention", "Delete"), ("RequestBackfill", "true")]);
    let outcome = stack.update(&world.template, &changed, &mut |_| {}).await.unwrap();
    expect(&outcome, "UPDATE_COMPLETE")?;
    world.vendor.set_script(Script::Refuse { status: 403, detail: "not now".into() });
    let refused = world.with(&[("BillingReuse", "Never"), ("BillingRetention", "Delete"), ("ConnectionName", "another")]);
    let outcome = stack.update(&world.template, &refused, &mut |_| {}).await.unwrap();
    expect(&outcome, "UPDATE_ROLLBACK_COMPLETE").map_err(|why| format!("{why}; {}", world.emulator.handler_log()))?;
    world.vendor.set_script(Script::Accept);
    let (bucket, prefix) = (&outputs["BucketName"], world.reports().await[0].s3_prefix().to_owned());
    world.enable_versioning(bucket).await;
    for key in ["a", "a", "b"] {
        world.deliver(bucket, &format!("{prefix}/{key}")).await;
    }
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    expect(&outcome, "DELETE_COMPLETE")?;
    match world.buckets().await.as_slice() {
        [] => Ok(()),
        left => Err(format!("the bucket is left: {left:?}; {}", world.emulator.handler_log())),
    }
}

async fn reuse(world: &Testbed) -> Result<(), String> {
    world.customers_report("theirs", "theirs-111122223333", &[], true).await;
    let (mut stack, outcome) = world.create_named(&format!("{STACK}-reusing"), &[]).await;
    expect(&outcome, "CREATE_COMPLETE")?;
    let outputs = stack.outputs().await.unwrap();
    if outputs["ReportName"] != "theirs" {
        return Err(outputs["Decision"].clone());
    }
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    expect(&outcome, "DELETE_COMPLETE")
}

async fn never_answered(world: &Testbed) -> Result<(), String> {
    let killed = |nth| {
        let (service, operation) = ("upload".to_owned(), "BillingExport".to_owned());
        Fault { service, operation, nth: Some(nth), answer: FaultAnswer::KillBefore }
    };
    world.emulator.front().set_scenario(Scenario { faults: [1, 2, 3].map(killed).into(), ..Scenario::default() });
    let (_, outcome) = world.create_named(&format!("{STACK}-silent"), &[("BillingReuse", "Never")]).await;
    expect(&outcome, "ROLLBACK_COMPLETE")?;
    match world.report_names().await.as_slice() {
        [theirs] if theirs == "theirs" => Ok(()),
        left => Err(format!("a report is left: {left:?}; {}", world.emulator.handler_log())),
    }
}

/// Lambda drops the log of a function that may not write it.
fn logs(world: &Testbed) -> Result<(), String> {
    let log = world.emulator.handler_log();
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    match lines.find(|line| line["written"] != json!(true)) {
        Some(line) => Err(format!("the role may not write the function's log: {}", line["denied"])),
        None => Ok(()),
    }
}

fn expect(outcome: &Outcome, status: &str) -> Result<(), String> {
    if outcome.status == status { Ok(()) } else { Err(format!("{}: {}", outcome.status, outcome.first_failure())) }
}

/// With everything the template grants, nothing is missing: the other test would prove nothing otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_template_is_enough() {
    let template = template().unwrap();
    let flows = [Flow::Reports, Flow::OwnExport, Flow::ReusedExport, Flow::Places];
    let results = futures::future::join_all(flows.map(|flow| flow.run(&template))).await;
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// F-4, F-38: take one action away, and the flow fails and names it.
#[tokio::test(flavor = "multi_thread")]
async fn no_action_of_the_role_can_be_missed() {
    let template = template().unwrap();
    let actions = actions(&template);
    assert!(actions.len() > 40, "the handler's policies were not read: {actions:?}");
    let results: Vec<(&String, Result<BTreeSet<String>, String>)> = futures::stream::iter(&actions)
        .map(|action| {
            let mut template = without(&template, action);
            // Buckets are tagged afterwards only where their creation takes no tags.
            if action == "s3:PutBucketTagging" {
                template = without(&template, "s3:TagResource");
            }
            async move { (action, Flow::of(action).run(&template).await) }
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let wrong: Vec<String> = results
        .iter()
        .filter_map(|(action, result)| match result {
            Ok(denied) if DONE_WITHOUT.iter().any(|(without, call)| without == action && denied.contains(*call)) => None,
            Ok(denied) => Some(format!("`{action}` is not missed; denied: {denied:?}")),
            Err(reason) if reason.contains(action.as_str()) => None,
            Err(reason) => Some(format!("without `{action}` the reason does not name it: {reason}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// CreateExport asks for cur:PutReportDefinition too, which the role has for reports of its own anyway: that is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn exporting_costs_is_a_permission_of_its_own() {
    let template = template().unwrap();
    let start = template.find("PolicyName: ExportData").unwrap();
    let (before, after) = template.split_at(start);
    let without = format!("{before}{}", after.replacen("cur:PutReportDefinition", HARMLESS, 1));
    let reason = Flow::OwnExport.run(&without).await.unwrap_err();
    assert!(
        reason.contains("cur:PutReportDefinition on resource: arn:aws:cur:us-east-1:111122223333:/putReportDefinition"),
        "{reason}"
    );
}

/// Names with the template's prefix and no others; costs and cases only where the stack is about them. Asked of the emulator's own
/// simulation of the role's policies.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_may_touch_its_own_things_only() {
    let world = Testbed::new("support-plan").await;
    let (plain, outcome) = world.create_named("plain", &[]).await;
    expect(&outcome, "CREATE_COMPLETE").unwrap();
    let (full, outcome) = world.create_named("full", &[("BillingKind", CUR2), ("RequestBackfill", "true")]).await;
    expect(&outcome, "CREATE_COMPLETE").unwrap();
    let export = |name: &str| format!("arn:aws:bcm-data-exports:us-east-1:{CUSTOMER}:export/{name}-1a2b");
    let (own, theirs, elsewhere) = (export("hawser-0"), export("theirs"), export("hawser-0").replace(CUSTOMER, "999988887777"));
    let put = format!("arn:aws:cur:us-east-1:{CUSTOMER}:/putReportDefinition");
    for (action, resource, allowed) in [
        ("bcm-data-exports:GetExport", &theirs, [true, true]),
        ("bcm-data-exports:GetExport", &elsewhere, [false, false]),
        ("bcm-data-exports:DeleteExport", &own, [true, true]),
        ("bcm-data-exports:DeleteExport", &theirs, [false, false]),
        ("bcm-data-exports:UpdateExport", &theirs, [false, false]),
        ("bcm-data-exports:TagResource", &theirs, [false, false]),
        ("bcm-data-exports:UntagResource", &own, [false, false]),
        ("cur:PutReportDefinition", &put, [false, true]),
        ("support:CreateCase", &"*".to_owned(), [false, true]),
        ("support:ResolveCase", &"*".to_owned(), [false, false]),
    ] {
        let found = [may(&plain, action, resource).await, may(&full, action, resource).await];
        assert_eq!(found, allowed, "{action} on {resource}");
    }
}

/// Whether the stack's role may do this, by SimulatePrincipalPolicy.
async fn may(stack: &Stack, action: &str, resource: &str) -> bool {
    let role = &stack.resources().await.unwrap()["HandlerRole"];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "SimulatePrincipalPolicy")
        .append_pair("Version", "2010-05-08")
        .append_pair("PolicySourceArn", &format!("arn:aws:iam::{CUSTOMER}:role/{role}"))
        .append_pair("ActionNames.member.1", action)
        .append_pair("ResourceArns.member.1", resource)
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, answer) = stack.account().raw("iam", "POST", "/", &headers, body).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(status == 200 && answer.contains(&format!("<EvalActionName>{action}</EvalActionName>")), "{answer}");
    answer.contains("<EvalDecision>allowed</EvalDecision>")
}
