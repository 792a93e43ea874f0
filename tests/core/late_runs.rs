//! What comes late, or again, when CloudFormation has its answer: it makes nothing, because nobody would know of it.

use std::time::Duration;

use hawser::{
    aws::{StackDescription, StackResource},
    billing::{RESOURCE_TYPE, TAG_STACK},
    handler,
};
use hawser_account::{AccountFile, AccountState};
use hawser_sim::{
    Script, World,
    account::Lags,
    exchange::RequestOutcome,
    lambda::{Deliveries, Delivery},
    life::{Op, Scenario, run_isolated},
    model,
    random::parameters,
    script::{InjectedFault, Label, VENDOR_CALL},
    stack::{BILLING, CONNECTION, Cancellation, Stack, Status, WITHOUT, stack_id},
};
use serde_json::json;

const AGAIN_AFTER: Duration = Duration::from_secs(90);

/// Longer than a run takes that nothing holds up.
const HELD_UP: Duration = Duration::from_secs(2);

/// What the customer deletes while the late run is on its way.
type Deletes = fn(&mut AccountState);

fn names(state: &AccountState) -> Vec<String> {
    let reports = state.reports.iter().filter(|(_, (_, tags))| tags.contains_key(TAG_STACK)).map(|(name, _)| name);
    let exports = state.exports.values().filter(|known| known.tags.contains_key(TAG_STACK)).map(|known| &known.export.name);
    let buckets = state.buckets.iter().filter(|(_, bucket)| bucket.tags.contains_key(TAG_STACK)).map(|(name, _)| name);
    reports.chain(exports).chain(buckets).cloned().collect()
}

/// A stack whose events of one kind come again when they were answered long ago, and its names afterwards.
fn left_by(again: &'static str, kind: &'static str, updates: &[&[(&'static str, &str)]], deletes: Deletes) -> [Vec<String>; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let mut stack = Stack::new(&world, "acme");
        let label = Label { resource: BILLING, request: again };
        stack.deliveries = Deliveries::One(label, Delivery { again: Some(AGAIN_AFTER), ..Delivery::default() });
        assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
        for update in updates {
            let changes: Vec<_> = [("Kind", kind)].into_iter().chain(update.iter().copied()).collect();
            assert_eq!(stack.update(parameters(&changes)).await, Status::Complete);
            stack.deliveries = Deliveries::Plain;
        }
        world.account.change(deletes);
        let before = names(&world.account.state());
        stack.drain_runs().await;
        let after = names(&world.account.state());
        assert_eq!(stack.delete().await, Status::Complete);
        assert_eq!(names(&world.account.state()), Vec::<String>::new());
        [before, after]
    })
}

/// The report or the export was deleted by the customer, its bucket was, or both.
const DELETIONS: [Deletes; 3] = [
    |state| {
        state.reports.clear();
        state.exports.clear();
    },
    |state| state.buckets.clear(),
    |state| *state = AccountState::default(),
];

#[test]
fn a_late_run_makes_nothing() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        for deletes in DELETIONS {
            for (again, updates) in [("Create", &[][..]), ("Update", &[&[("Retention", "Delete")][..]][..])] {
                let [before, after] = left_by(again, kind, updates, deletes);
                assert_eq!(before, after, "{again} of {kind}");
            }
        }
    }
}

/// The properties were changed since, and perhaps changed back.
#[test]
fn a_late_update_does_not_bring_earlier_properties_back() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        let csv = &[("Format", "Csv")][..];
        let [before, after] = left_by("Update", kind, &[csv, &[]], |_| {});
        assert_eq!(before, after, "{kind}");
        assert_eq!(before.len(), 2, "{kind}: {before:?}");
    }
}

/// HW-L7, F-34: the run of a cancelled Update, held up until the rollback has found nothing to remove yet, removes the replacement that it
/// made. Nobody else would: a later Update takes the resource out, and its Delete names the id that the stack kept.
#[test]
fn a_cancelled_update_removes_the_replacement_that_came_too_late() {
    let mut taken_back = 0;
    for (kind, calls) in [
        ("CostAndUsageReport", ["s3:CreateBucket", "s3:PutBucketPolicy", "cur:PutReportDefinition"]),
        ("CostAndUsageReport2", ["s3:CreateBucket", "s3:PutBucketPolicy", "bcm-data-exports:CreateExport"]),
    ] {
        for (call, injected) in
            calls.into_iter().flat_map(|call| [(call, InjectedFault::Silent), (call, InjectedFault::AnswerLost)])
        {
            for milliseconds in (0..400).step_by(40) {
                let cancellation = Cancellation { resource: BILLING, after: Duration::from_millis(milliseconds) };
                let (before, replacement) = ([("Kind", kind)], [("Kind", kind), ("Format", "Csv")]);
                let scenario = Scenario::of_one(
                    &format!("{kind}, {call} {injected:?}, cancelled after {milliseconds} ms"),
                    vec![
                        Op::Create(parameters(&before), None),
                        Op::Update(parameters(&replacement), Some(cancellation)),
                        Op::Rest,
                        Op::Update(parameters(&[("Kind", kind), (WITHOUT, BILLING)]), None),
                        Op::Rest,
                    ],
                );
                let scenario = Scenario { lags: Lags { call: Duration::from_millis(20), ..Lags::default() }, ..scenario };
                let update = Label { resource: BILLING, request: "Update" };
                let scenario_run = run_isolated(&scenario, |script| script.inject_at_step((update, call), 0, injected)).unwrap();
                model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{}: {what}", scenario.name));
                let before_the_end = &scenario_run.stacks[0].steady_state.state;
                assert_eq!(names(before_the_end), Vec::<String>::new(), "{}", scenario.name);
                let exchanges = &scenario_run.stacks[0].exchanges;
                let cut = exchanges.iter().filter(|exchange| exchange.closed == RequestOutcome::Cancelled);
                taken_back += cut.filter(|exchange| exchange.runs.iter().any(|run| run.took > HELD_UP)).count();
            }
        }
    }
    assert!(taken_back > 10, "only {taken_back} runs came too late");
}

/// HW-L7, F-34: the run of a cancelled Update ends while a later Update to something else is under way, which could be its own as far as
/// the stack's status tells. The rollback of that one would not look for what the first made, and its Delete names another id.
#[test]
fn a_cancelled_update_removes_the_replacement_also_during_a_later_update() {
    let mut during = 0;
    for (kind, call) in
        [("CostAndUsageReport", "cur:PutReportDefinition"), ("CostAndUsageReport2", "bcm-data-exports:CreateExport")]
    {
        for milliseconds in (40..400).step_by(40) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let world = World::new(AccountFile::default());
                world.account.set_lags(Lags { call: Duration::from_millis(20), ..Lags::default() });
                let mut stack = Stack::new(&world, "acme");
                assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
                let update = Label { resource: BILLING, request: "Update" };
                world.script.inject_at_step((update, call), 0, InjectedFault::AnswerLost);
                let cancellation = Cancellation { resource: BILLING, after: Duration::from_millis(milliseconds) };
                let csv = parameters(&[("Kind", kind), ("Format", "Csv")]);
                stack.update_cancelled_by(csv, Some(cancellation)).await;
                stack.deliveries = Deliveries::One(update, Delivery { late: AGAIN_AFTER, ..Delivery::default() });
                assert_eq!(stack.update(parameters(&[("Kind", "Focus")])).await, Status::Complete);
                stack.drain_runs().await;
                stack.update(parameters(&[("Kind", "Focus"), (WITHOUT, BILLING)])).await;
                stack.drain_runs().await;
                let what = format!("{kind}, cancelled after {milliseconds} ms");
                assert_eq!(names(&world.account.state()), Vec::<String>::new(), "{what}");
                let exchanges = stack.exchanges();
                let cut = exchanges.iter().filter(|exchange| exchange.closed == RequestOutcome::Cancelled);
                during += cut.filter(|exchange| exchange.runs.iter().any(|run| run.took > HELD_UP)).count();
            });
        }
    }
    assert!(during > 10, "only {during} runs went on during a later Update");
}

/// What CloudFormation is told is soon shown, so that an ordinary run ends soon, however long the rest of the stack takes.
#[test]
fn a_replacement_does_not_wait_for_its_stack() {
    let replacement = vec![Op::Create(parameters(&[]), None), Op::Update(parameters(&[("Format", "Csv")]), None), Op::Rest];
    let mut scenario = Scenario::of_one("a replacement", replacement);
    let connection = Label { resource: CONNECTION, request: "Update" };
    scenario.stacks[0].deliveries = Deliveries::One(connection, Delivery { late: AGAIN_AFTER, ..Delivery::default() });
    let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
    model::check(&scenario, &scenario_run).unwrap();
    let stack = &scenario_run.stacks[0];
    assert_eq!(stack.statuses[1], Status::Complete);
    let update = Label { resource: BILLING, request: "Update" };
    let first = stack.exchanges.iter().find(|exchange| exchange.label == update).unwrap();
    assert!(first.runs[0].took < HELD_UP, "{:?}", first.runs[0].took);
}

/// The same of an Update whose failure was read.
#[tokio::test(start_paused = true)]
async fn a_failed_update_does_not_wait_for_its_stack() {
    let world = World::new(AccountFile::default());
    let stack = stack_id("acme");
    let before = "hawser/billing-export/acme-before";
    let status = "UPDATE_IN_PROGRESS".to_owned();
    world.cloudformation.show_stack(&stack, StackDescription { status, ..StackDescription::default() });
    let failed = StackResource { status: "UPDATE_FAILED".to_owned(), physical_id: before.to_owned() };
    world.cloudformation.show_resource(&stack, BILLING, failed);
    let event = json!({
        "RequestType": "Update", "RequestId": "request-1", "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/1",
        "ResourceType": RESOURCE_TYPE, "StackId": stack, "LogicalResourceId": BILLING, "PhysicalResourceId": before,
        "ResourceProperties": { "Kind": "Focus", "NamePrefix": "acme" },
        "OldResourceProperties": { "Kind": "CostAndUsageReport", "NamePrefix": "acme" },
    });
    let began = world.now();
    handler::answer(&event, began + Duration::from_secs(120), &world.ports()).await.unwrap();
    assert!(world.now() - began < AGAIN_AFTER / 2, "{}", world.now() - began);
}

/// F-12: an Update of the connection that the vendor could not be told of comes again when its stack has gone back.
#[test]
fn the_vendor_is_notified_of_no_update_that_its_stack_gave_up() {
    let update = Label { resource: CONNECTION, request: "Update" };
    let operations =
        vec![Op::Create(parameters(&[]), None), Op::Update(parameters(&[("ConnectionName", "Later")]), None), Op::Rest];
    let mut scenario = Scenario::of_one("repeated after the rollback", operations);
    scenario.stacks[0].deliveries = Deliveries::One(update, Delivery { again: Some(AGAIN_AFTER), ..Delivery::default() });
    let scenario_run =
        run_isolated(&scenario, |script| script.inject_at_step((update, VENDOR_CALL), 0, InjectedFault::Denied)).unwrap();
    model::check(&scenario, &scenario_run).unwrap();
    assert_eq!(scenario_run.stacks[0].statuses[1], Status::RolledBack);
    let notices = scenario_run.world.vendor.notices();
    assert!(notices.iter().all(|notice| notice["data"]["connectionName"] != "Later"), "{notices:?}");
}

/// Two who pause what goes wrong are both heard.
#[test]
fn nothing_goes_wrong_until_everybody_resumes() {
    let meets = |act: fn(&Script)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            world.script.inject_all("organizations:DescribeOrganization", InjectedFault::Unavailable);
            act(&world.script);
            let mut stack = Stack::new(&world, "acme");
            stack.create(parameters(&[])).await != Status::Complete
        })
    };
    assert!(meets(|_| {}));
    assert!(!meets(|script| {
        script.pause();
        script.pause();
        script.resume();
    }));
}
