//! HW-S1, least privilege, proven: without any one of its actions the handler's role is not enough.
//!
//! The emulator decides by the role that `template.yaml` made. Each action is taken away in a copy of the template, and the same
//! flow is run: a stack with a bucket of its own, an update, one that the vendor refuses, a delete with data in versions; then a
//! stack that reuses a report, and one whose Create is never answered.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use hawser_dev::front::scenario::{Fault, FaultAnswer, Scenario};
use hawser_dev::setting::STACK;
use hawser_dev::stack::{Outcome, template};
use hawser_dev::vendor::Script;
use regex::Regex;
use serde_json::{Value, json};

use crate::world::World;

/// Denied calls are tried again for some seconds, which is mostly waiting; more at a time than there are cores is well.
const AT_A_TIME: usize = 6;

/// Nothing but the Create that is never answered takes so long: denied calls are tried again for 7 s.
const SERVICE_TIMEOUT_SECONDS: u64 = 15;

/// Something nobody needs, in the place of what is taken away.
const HARMLESS: &str = "sts:GetCallerIdentity";

/// The actions in the handler's role, as `template.yaml` has them.
fn actions(template: &str) -> BTreeSet<String> {
    let action = Regex::new(r"\b(cloudformation|cur|logs|organizations|s3):[A-Z][A-Za-z]+\b").unwrap();
    action.find_iter(handler_role(template)).map(|found| found.as_str().to_owned()).collect()
}

fn handler_role(template: &str) -> &str {
    let start = template.find("\n  HandlerRole:").unwrap();
    let end = template.find("\n  Handler:").unwrap();
    // Comments may speak of actions; the statements begin with the policies.
    &template[start..end]
}

fn without(template: &str, action: &str) -> String {
    let role = handler_role(template);
    let taken = Regex::new(&format!(r"\b{action}\b")).unwrap().replace_all(role, HARMLESS).into_owned();
    template.replace(role, &taken)
}

/// The whole flow; the first thing that is not as it should be.
async fn flow(template: &str) -> Result<(), String> {
    let hasty = template.replace("ServiceTimeout: 600", &format!("ServiceTimeout: {SERVICE_TIMEOUT_SECONDS}"));
    let world = World::with_template("standalone", &hasty).await;
    own_bucket(&world).await?;
    reuse(&world).await?;
    never_answered(&world).await?;
    logs(&world)
}

async fn own_bucket(world: &World) -> Result<(), String> {
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

async fn reuse(world: &World) -> Result<(), String> {
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

async fn never_answered(world: &World) -> Result<(), String> {
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
fn logs(world: &World) -> Result<(), String> {
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
    assert_eq!(flow(&template().unwrap()).await, Ok(()));
}

/// F-4, F-38: take one action away, and the flow fails and names it.
#[tokio::test(flavor = "multi_thread")]
async fn no_action_of_the_role_can_be_missed() {
    let template = template().unwrap();
    let actions = actions(&template);
    assert!(actions.len() > 20, "the handler's role was not read: {actions:?}");
    let results: Vec<(&String, Result<(), String>)> = futures::stream::iter(&actions)
        .map(|action| {
            let template = without(&template, action);
            async move { (action, flow(&template).await) }
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let wrong: Vec<String> = results
        .iter()
        .filter_map(|(action, result)| match result {
            Ok(()) => Some(format!("`{action}` is not missed")),
            Err(reason) if reason.contains(action.as_str()) => None,
            Err(reason) => Some(format!("without `{action}` the reason does not name it: {reason}")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
