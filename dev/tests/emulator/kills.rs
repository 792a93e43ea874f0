//! HW-L5, HW-A5, HW-L6: the handler is killed at any call, and the event is delivered again, as Lambda does it.

use std::time::Duration;

use hawser_dev::{
    emulator::Run,
    stack::{Outcome, Stack},
    strict_proxy::scenario::{
        Fault,
        FaultAnswer::{self, KillAfter, KillBefore, LatencyMs},
        Scenario,
    },
};

use crate::{
    chaos::hasty_template,
    lives::{Lane, clean, each, fault_cases, run_all},
    world::Testbed,
};

/// Mostly waiting: for a new process, and for the stack.
const LANES: usize = 3;

/// Killed before a call is made and after it was made, at every call of a create, an update and a delete, at every notice, and
/// at every upload of a response: the next delivery finishes what the first began.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_handler_is_followed_by_one_that_finishes() {
    let (lane, clean) = clean("CostAndUsageReport").await;
    let both = [KillBefore, KillAfter];
    let all = fault_cases(each(&clean.create, &both), each(&clean.update, &both), each(&clean.delete, &both));
    run_all("kills::", lane, clean, all, LANES).await;
}

/// Longer than three runs that are killed take, and not long to wait for.
const SERVICE_TIMEOUT_SECONDS: u64 = 8;

/// All three deliveries of an event meet the same.
fn three_times(service: &str, operation: &str, answer: FaultAnswer) -> Scenario {
    let fault = |nth| Fault { service: service.into(), operation: operation.into(), nth: Some(nth), answer: answer.clone() };
    Scenario { faults: vec![fault(1), fault(2), fault(3)], ..Scenario::default() }
}

/// Creates a stack of which one resource never answers; it must be rolled back, and nothing left.
async fn never_answered(lane: &Lane, name: &str, scenario: &Scenario) -> (Stack, Outcome) {
    let world = &lane.world;
    lane.set(scenario);
    let mark = lane.mark();
    let created = Stack::create(&world.customer(), name, &world.template, &world.parameters, &mut |_| {}).await;
    lane.set_one(None);
    let (stack, outcome) = created.unwrap();
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE", "{name}: {}", outcome.first_failure());
    let reason = outcome.first_failure();
    assert!(reason.starts_with("CloudFormation did not receive a response from your Custom Resource."), "{name}: {reason}");
    assert_eq!(lane.answers(mark, true), [""; 0], "{name}");
    assert_eq!(lane.violations(&stack, &outcome.status, mark).await, [""; 0], "{name}");
    (stack, outcome)
}

/// HW-L6, F-34: a Create that none of three deliveries answers ends by ServiceTimeout. CloudFormation makes an id up for its
/// Delete, and what the Create had made by then goes with it; the vendor, if it had been told, is told again.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_never_answered_leaves_nothing() {
    let lane = Lane::new(Testbed::with_template("standalone", &hasty_template(SERVICE_TIMEOUT_SECONDS)).await).await;
    let cases = [
        ("BillingExport", three_times("cur", "DescribeReportDefinitions", KillBefore)),
        ("BillingExport", three_times("upload", "BillingExport", KillBefore)),
        ("Connection", three_times("vendor", "established", KillBefore)),
        ("Connection", three_times("vendor", "established", KillAfter)),
    ];
    for (number, (resource, scenario)) in cases.into_iter().enumerate() {
        let mark = lane.mark();
        let name = format!("silent-{number}");
        let (stack, outcome) = never_answered(&lane, &name, &scenario).await;
        let runs: Vec<_> = lane.runs(mark).into_iter().filter(|run| run.resource == resource).collect();
        let kinds: Vec<(&str, usize)> = runs.iter().map(|run| (run.kind.as_str(), run.run)).collect();
        assert_eq!(kinds, [("Create", 1), ("Create", 2), ("Create", 3), ("Delete", 1)], "{name}");
        assert!(runs[3].id.starts_with(&format!("{name}-{resource}-")), "{}", runs[3].id);
        assert!(outcome.event(resource, "DELETE_COMPLETE").is_some(), "{name}");
        assert_eq!(lane.marked(&stack).await, [""; 0], "{name}: the rollback left something");
    }
    lane.world.assert_no_leaks();
}

/// Enough for a Delete whose answer is late, also on a busy machine.
const NOT_LONG_SECONDS: u64 = 6;

/// When the Delete has looked already; shorter than one try of the handler's clients (8 s).
const TOO_LONG_MS: u64 = 7_000;

/// The answer to the Delete comes after what is made too late: before it the rollback does not take the function's role away.
/// Shorter than one try of the upload (5 s).
const LATE_ANSWER_MS: u64 = 4_500;

/// HW-L7: a Create that its stack did not wait for is still at work while the Delete of it comes and goes. When it is done it
/// sees that nobody wants it, and takes back what it made and what it told.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_create_undoes_itself() {
    let lane = Lane::new(Testbed::with_template("standalone", &hasty_template(NOT_LONG_SECONDS)).await).await;
    let slow = |service: &str, operation: &str| {
        let fault = |service: &str, operation: &str, late| Fault {
            service: service.into(),
            operation: operation.into(),
            nth: Some(1),
            answer: LatencyMs(late),
        };
        // The first answer is the Delete's.
        let faults = vec![fault(service, operation, TOO_LONG_MS), fault("upload", "BillingExport", LATE_ANSWER_MS)];
        Scenario { faults, ..Scenario::default() }
    };
    for (number, (service, operation)) in [("s3", "CreateBucket"), ("cur", "PutReportDefinition")].into_iter().enumerate() {
        let mark = lane.mark();
        let (stack, _) = never_answered(&lane, &format!("late-{number}"), &slow(service, operation)).await;
        let is_late_create = |run: &Run| run.resource == "BillingExport" && run.kind == "Create";
        let ended = async {
            while !lane.runs(mark).iter().any(is_late_create) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
        assert_eq!(lane.marked(&stack).await, [""; 0], "{service}:{operation} came late, and stayed");
    }
    lane.world.assert_no_leaks();
}
