//! What AWS shows later than it was done (B-22): lists and tags of what was created moments ago, names that are not free yet.

use std::time::Duration;

use hawser::{billing, handler};
use hawser_account::{AccountFile, AccountState, freedoms::Overlap};
use hawser_sim::{
    InjectedFault, World,
    account::Lags,
    lambda::{Deliveries, Delivery},
    life::{Op, Scenario, run_isolated},
    model,
    random::parameters,
    script::Label,
    stack::{BILLING, Cancellation, Stack, Status},
};
use serde_json::{Value, json};

const KINDS: [&str; 3] = ["CostAndUsageReport", "CostAndUsageReport2", "Focus"];

/// Each thing that may be late, and all of them.
fn lags() -> Vec<Lags> {
    let (call, late) = (Duration::from_millis(20), Duration::from_secs(3));
    let none = Lags { call, ..Lags::default() };
    vec![
        Lags { list: late, ..none },
        Lags { tags: late, ..none },
        Lags { name: late, ..none },
        // The settings of a bucket, and what delivers to it, are tried until its time is there.
        Lags { bucket: late, list: late, ..none },
        Lags { policy: late + late, list: late, ..none },
        Lags { role: late, list: late, tags: late, name: late, policy: late, ..none },
    ]
}

/// HW-L7, F-34: the cancelled Create is about to make its report or export when the Delete looks, and takes it back when that Delete has
/// removed the bucket already, by which alone it could have been found before it is listed.
#[test]
fn a_cancelled_create_leaves_nothing() {
    let mut cancelled = 0;
    for (kind, lags) in KINDS.into_iter().flat_map(|kind| lags().into_iter().map(move |lags| (kind, lags))) {
        for hold in [None, Some("s3:PutBucketPolicy"), Some("cur:PutReportDefinition"), Some("bcm-data-exports:CreateExport")] {
            for milliseconds in (20..260).step_by(40) {
                let cancellation = Cancellation { resource: BILLING, after: Duration::from_millis(milliseconds) };
                let name = format!("{kind}, {hold:?} held up, cancelled after {milliseconds} ms, {lags:?}");
                let create = Op::Create(parameters(&[("Kind", kind), ("Reuse", "Never")]), Some(cancellation));
                let scenario = Scenario { lags, ..Scenario::of_one(&name, vec![create, Op::Rest]) };
                let create = Label { resource: BILLING, request: "Create" };
                let scenario_run = run_isolated(&scenario, |script| {
                    hold.iter().for_each(|call| script.inject_at_step((create, call), 0, InjectedFault::AnswerLost));
                });
                let scenario_run = scenario_run.unwrap();
                model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{name}: {what}"));
                cancelled += usize::from(scenario_run.stacks[0].statuses[0] == Status::RolledBack);
            }
        }
    }
    assert!(cancelled > 200, "only {cancelled} Creates were cancelled");
}

/// A stack goes seconds after it came, and its bucket may be looked at or not.
#[test]
fn a_stack_that_goes_at_once_leaves_nothing() {
    for (kind, lags) in KINDS.into_iter().flat_map(|kind| lags().into_iter().map(move |lags| (kind, lags))) {
        for denied in [None, Some("s3:ListBucket"), Some("s3:GetBucketTagging")] {
            let name = format!("{kind}, {denied:?} denied, {lags:?}");
            let create = Op::Create(parameters(&[("Kind", kind)]), None);
            let scenario = Scenario { lags, ..Scenario::of_one(&name, vec![create]) };
            let delete = Label { resource: BILLING, request: "Delete" };
            let scenario_run = run_isolated(&scenario, |script| {
                denied.iter().for_each(|call| script.inject_at_step((delete, call), 0, InjectedFault::Refused));
            });
            let scenario_run = scenario_run.unwrap();
            model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{name}: {what}"));
            assert_eq!((scenario_run.state.reports.len(), scenario_run.state.exports.len()), (0, 0), "{name}");
            assert!(denied.is_some() || scenario_run.state.buckets.values().all(|bucket| !bucket.objects.is_empty()), "{name}");
        }
    }
}

/// An Update comes back to what was removed moments ago.
#[test]
fn an_update_comes_back_to_earlier_properties() {
    for (kind, lags) in KINDS.into_iter().flat_map(|kind| lags().into_iter().map(move |lags| (kind, lags))) {
        let name = format!("{kind}, {lags:?}");
        let plain = parameters(&[("Kind", kind)]);
        let operations = vec![
            Op::Create(plain.clone(), None),
            Op::Update(parameters(&[("Kind", kind), ("Format", "Csv")]), None),
            Op::Update(plain, None),
        ];
        let scenario = Scenario { lags, ..Scenario::of_one(&name, operations) };
        let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
        model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{name}: {what}"));
        assert!(scenario_run.stacks[0].statuses.iter().all(|status| *status == Status::Complete), "{name}");
    }
}

/// An Update that changes nothing comes moments after the Create.
#[test]
fn an_update_creates_no_second_export() {
    for (kind, lags) in KINDS.into_iter().flat_map(|kind| lags().into_iter().map(move |lags| (kind, lags))) {
        for changes in [&[("Retention", "Delete")][..], &[("Format", "Excel")]] {
            let name = format!("{kind}, {changes:?}, {lags:?}");
            let changes: Vec<_> = [("Kind", kind)].into_iter().chain(changes.iter().copied()).collect();
            let operations = vec![Op::Create(parameters(&[("Kind", kind)]), None), Op::Update(parameters(&changes), None)];
            let scenario = Scenario { lags, ..Scenario::of_one(&name, operations) };
            let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
            model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{name}: {what}"));
            let state = &scenario_run.stacks[0].steady_state.state;
            assert_eq!(state.reports.len() + state.exports.len(), 1, "{name}");
        }
    }
}

/// A stack changes the format and comes back, and the Delete of what it came back to is delivered `again` after so many milliseconds: it
/// has its export all the same.
fn comes_back_beside_a_late_delete(name: &str, kind: &str, again: u64, lags: Lags) {
    let plain = parameters(&[("Kind", kind)]);
    let csv = parameters(&[("Kind", kind), ("Format", "Csv")]);
    let operations = vec![Op::Create(plain.clone(), None), Op::Update(csv, None), Op::Update(plain, None), Op::Rest];
    let mut scenario = Scenario { lags, ..Scenario::of_one(name, operations) };
    let again = Delivery { again: Some(Duration::from_millis(again)), ..Delivery::default() };
    scenario.stacks[0].deliveries = Deliveries::One(Label { resource: BILLING, request: "Delete" }, again);
    let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
    model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{name}: {what}"));
    let state = &scenario_run.stacks[0].steady_state.state;
    assert_eq!(state.reports.len() + state.exports.len(), 1, "{name}");
}

/// HW-L8: a late Delete finds a bucket without its report, and looks again; meanwhile the stack has come back to both.
#[test]
fn a_delete_that_looked_again_takes_nothing_that_the_stack_has_by_then() {
    for (kind, again) in KINDS.into_iter().flat_map(|kind| (0..20).map(move |half_seconds| (kind, half_seconds * 500))) {
        let name = format!("{kind}, again after {again} ms");
        let late = Duration::from_secs(6);
        let lags = Lags { call: Duration::from_millis(20), policy: late, ..Lags::default() };
        comes_back_beside_a_late_delete(&name, kind, again, lags);
    }
}

/// HW-L4: the Update that rolls back a failed replacement waits for what its bucket was created for: once that is removed, nothing tells
/// of what is not shown yet.
#[test]
fn a_rollback_removes_what_is_not_listed_yet() {
    for (kind, call) in
        [("CostAndUsageReport", "cur:PutReportDefinition"), ("CostAndUsageReport2", "bcm-data-exports:CreateExport")]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            world.account.set_lags(Lags { call: Duration::from_millis(20), list: Duration::from_secs(3), ..Lags::default() });
            let mut stack = Stack::new(&world, "acme");
            assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let names = || {
                let AccountState { reports, exports, buckets, .. } = world.account.state();
                let exports = exports.into_values().map(|known| known.export.name);
                reports.into_keys().chain(exports).chain(buckets.into_keys()).collect::<Vec<_>>()
            };
            let before = names();
            let update = Label { resource: BILLING, request: "Update" };
            world.script.inject_at_step((update, call), 0, InjectedFault::KilledAfter);
            let cancellation = Cancellation { resource: BILLING, after: Duration::from_millis(500) };
            let csv = parameters(&[("Kind", kind), ("Format", "Csv")]);
            assert_eq!(stack.update_cancelled_by(csv, Some(cancellation)).await, Status::RolledBack, "{kind}");
            assert_eq!(names(), before, "{kind}");
        });
    }
}

/// HW-L8: a Delete that comes again, of an id that an Update under way comes back to.
#[test]
fn a_late_delete_takes_nothing_that_an_update_makes_again() {
    for (kind, again) in KINDS.into_iter().flat_map(|kind| (0..48).map(move |quarters| (kind, quarters * 250))) {
        let name = format!("{kind}, again after {again} ms");
        // Slow enough for a Delete to look before, and to remove after, what it names is there again.
        let lags = Lags { call: Duration::from_millis(700), policy: Duration::from_secs(3), ..Lags::default() };
        comes_back_beside_a_late_delete(&name, kind, again, lags);
    }
}

/// 409 `OperationAborted`: settings that are refused because of each other are made in turn, however long a new bucket takes none.
#[test]
fn settings_that_overlap_are_made_in_turn() {
    for seconds in 0..5 {
        let lags = Lags { bucket: Duration::from_secs(seconds), ..Lags::default() };
        let mut scenario = Scenario { lags, ..Scenario::of_one("overlap", vec![Op::Create(parameters(&[]), None)]) };
        scenario.freedoms.overlap = Overlap::Aborted;
        let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
        model::check(&scenario, &scenario_run).unwrap();
        assert_eq!(scenario_run.stacks[0].statuses[0], Status::Complete, "{seconds} s");
    }
}

async fn deliver(world: &World, request: &str, stack: &str, kind: &str, physical_id: Option<&Value>) -> Value {
    let url = format!("https://cloudformation-custom-resource-response.s3.amazonaws.com/{stack}{request}");
    let mut event = json!({
        "RequestType": request, "RequestId": request, "ResponseURL": url, "ResourceType": billing::RESOURCE_TYPE,
        "StackId": format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/{stack}/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f"),
        "LogicalResourceId": "BillingExport", "ResourceProperties": { "Kind": kind, "NamePrefix": "acme" },
    });
    physical_id.iter().for_each(|id| event["PhysicalResourceId"] = (*id).clone());
    handler::answer(&event, world.now() + Duration::from_secs(120), &world.ports()).await.unwrap();
    world.mailbox.responses(&url).pop().unwrap()
}

/// HW-B3: what another stack created moments ago, and what it removed, is nobody's to reuse, whatever is shown of it.
#[tokio::test(start_paused = true)]
async fn nothing_of_another_stack_is_reused() {
    for kind in KINDS {
        for removed in [false, true] {
            let world = World::new(AccountFile::default());
            let late = Duration::from_secs(3);
            world.account.set_lags(Lags { list: if removed { late } else { Duration::ZERO }, tags: late, ..Lags::default() });
            let first = deliver(&world, "Create", "first", kind, None).await;
            if removed {
                tokio::time::sleep(late).await;
                deliver(&world, "Delete", "first", kind, Some(&first["PhysicalResourceId"])).await;
            }
            let second = deliver(&world, "Create", "second", kind, None).await;
            let context = format!("{kind}, removed: {removed}: {second}");
            assert_eq!(
                (&first["Data"]["Origin"], &second["Data"]["Origin"]),
                (&json!("created"), &json!("created")),
                "{context}"
            );
            assert_ne!(first["Data"]["BucketName"], second["Data"]["BucketName"], "{context}");
        }
    }
}

/// HW-O3: a Create whose calls take seconds made the bucket itself, and the customer has given it a policy before the Create does.
#[tokio::test(start_paused = true)]
async fn a_policy_that_a_new_bucket_has_meanwhile_is_kept() {
    let world = World::new(AccountFile::default());
    world.account.set_lags(Lags { call: Duration::from_secs(6), ..Lags::default() });
    let customer = async {
        while world.account.state().buckets.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        world.account.change(|state| {
            for (name, bucket) in &mut state.buckets {
                let all = format!("arn:aws:s3:::{name}/theirs/*");
                let reader = json!({ "AWS": "arn:aws:iam::111122223333:root" });
                let statement =
                    json!({ "Sid": "Theirs", "Effect": "Allow", "Principal": reader, "Action": "s3:GetObject", "Resource": all });
                bucket.policy = Some(json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string());
            }
        });
        // From here on it is as fast as ever.
        world.account.set_lags(Lags::default());
    };
    let (created, ()) = tokio::join!(deliver(&world, "Create", "first", KINDS[0], None), customer);
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    let state = world.account.state();
    let policy = state.buckets.values().next().unwrap().policy.clone().unwrap();
    assert!(policy.contains("Theirs") && policy.contains("billingreports.amazonaws.com"), "{policy}");
}
