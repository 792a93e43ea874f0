//! Whole lives of stacks against CloudFormation, Lambda, an account and a vendor in memory, each checked by the reference
//! model in `src/sim/model.rs`. Three nets: every small life, every step x every mishap, and lives by seed.
//!
//! `make sim SEEDS=100000` runs all of the second net and as much as you like of the third; here it is a part of both, so
//! that `make test` stays short. A failing seed is told by `make replay SEED=…`.
#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use std::{collections::BTreeSet, time::Duration};

use hawser::billing::{Format, TAG_LOGICAL_ID, TAG_STACK};
use hawser_account::{AccountFile, AccountState, EPOCH, buckets::Object, file::SupportPlan};
use hawser_sim::{
    InjectedFault, World,
    account::Lags,
    cloudformation::{Showing, ShownReplacement},
    coverage::{self, Coverage},
    exchange::RequestOutcome,
    lambda::{Deliveries, Delivery},
    life::{Op, Scenario, ScenarioRun, run_isolated},
    model,
    parties::SIGNATURE,
    random::{self, TOKEN, parameters},
    script::Label,
    stack::{BILLING, CONNECTION, Cancellation, Stack, Status, WITHOUT},
    systematic,
};
use serde_json::json;
use tracing_subscriber::{Layer, filter::LevelFilter};

use crate::support::captured::{Captured, listen};

/// Seeds that `make test` lives; `make sim` lives more, elsewhere.
const SEEDS: u64 = 1500;

/// Of the systematic cases `make test` runs one in so many; `make sim` runs all.
const ONE_IN: usize = 14;

fn create(changes: &[(&'static str, &str)]) -> Op {
    Op::Create(parameters(changes), None)
}

fn update(changes: &[(&'static str, &str)]) -> Op {
    Op::Update(parameters(changes), None)
}

fn quietly(scenario: &Scenario) -> ScenarioRun {
    let scenario_run = run_isolated(scenario, |_| {}).unwrap();
    model::check(scenario, &scenario_run).unwrap_or_else(|what| panic!("`{}`: {what}", scenario.name));
    scenario_run
}

fn marked(scenario_run: &ScenarioRun) -> Vec<String> {
    let reports = scenario_run.state.reports.iter().filter(|(_, (_, tags))| tags.contains_key(TAG_STACK));
    let exports = scenario_run.state.exports.iter().filter(|(_, known)| known.tags.contains_key(TAG_STACK));
    let buckets = scenario_run.state.buckets.iter().filter(|(_, bucket)| bucket.tags.contains_key(TAG_STACK));
    let names = reports.map(|(name, _)| name).chain(exports.map(|(arn, _)| arn)).chain(buckets.map(|(name, _)| name));
    names.cloned().collect()
}

/// What is there, whenever it came.
fn timeless(scenario_run: &ScenarioRun) -> AccountState {
    let mut state = scenario_run.state.clone();
    let objects = state.buckets.values_mut().flat_map(|bucket| bucket.objects.values_mut());
    objects.for_each(|object| *object = Object::of_size(0, EPOCH));
    state.cases.iter_mut().for_each(|case| case.run = None);
    state
}

/// HW-L5: an event that comes twice, at once or late, leaves the same world.
#[test]
fn every_event_delivered_twice_leaves_the_same_world() {
    let mut compared = 0;
    for scenario in systematic::scenarios().into_iter().filter(|scenario| !scenario.has_cancellation()) {
        if scenario.stacks.iter().any(|stack| !matches!(stack.deliveries, Deliveries::Plain)) {
            continue;
        }
        let once = quietly(&scenario);
        for seconds in [0, 2] {
            let again = Delivery { again: Some(Duration::from_secs(seconds)), ..Delivery::default() };
            let mut twice = scenario.clone();
            for stack in &mut twice.stacks {
                stack.deliveries = Deliveries::All(again);
            }
            let twice = quietly(&twice);
            let statuses =
                |scenario_run: &ScenarioRun| scenario_run.stacks.iter().map(|stack| stack.statuses.clone()).collect::<Vec<_>>();
            assert_eq!(statuses(&once), statuses(&twice), "{}, again after {seconds} s", scenario.name);
            // What AWS delivered bears the S3 prefix of the request, and lies there since another second.
            assert_eq!(timeless(&once), timeless(&twice), "{}, again after {seconds} s", scenario.name);
            assert_eq!(once.world.vendor.connected(), twice.world.vendor.connected(), "{}", scenario.name);
            compared += 1;
        }
    }
    assert!(compared >= 16, "only {compared} lives were compared");
}

/// Every life of up to three operations over every small choice of parameters, each with every way of delivery.
#[test]
fn every_small_scenario_ends_well() {
    let parameters: [&[(&'static str, &str)]; 7] = [
        &[],
        &[("Kind", "CostAndUsageReport2")],
        &[("Kind", "Focus"), ("Reuse", "Never"), ("Retention", "Delete")],
        &[("Kind", "None")],
        &[("ConnectionName", "second")],
        &[(WITHOUT, CONNECTION)],
        &[("Format", "Excel")],
    ];
    let deliveries = [None, Some(Duration::ZERO), Some(Duration::from_secs(100))];
    let accounts = [AccountFile::default(), systematic::scenarios()[1].account.clone()];
    let mut scenarios = 0;
    for first in parameters {
        for second in parameters {
            for third in parameters {
                for again in deliveries {
                    for account in &accounts {
                        let ops = vec![create(first), update(second), update(third), Op::Rest];
                        let mut scenario = Scenario::of_one(&format!("{first:?} {second:?} {third:?} {again:?}"), ops);
                        scenario.account = account.clone();
                        scenario.stacks[0].deliveries = Deliveries::All(Delivery { again, ..Delivery::default() });
                        let scenario_run = quietly(&scenario);
                        assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{}", scenario.name);
                        assert!(scenario_run.world.vendor.connected().is_empty(), "{}", scenario.name);
                        scenarios += 1;
                    }
                }
            }
        }
    }
    println!("{scenarios} lives");
    assert_eq!(scenarios, 7 * 7 * 7 * 3 * 2);
}

/// F-3, F-28, F-44, HW-A3, HW-C5: a part of every step x every mishap; `make sim` runs the whole.
#[test]
fn every_step_goes_wrong_in_every_way() {
    let scenarios = systematic::scenarios();
    let mut coverage = Coverage::default();
    let mut run = 0;
    for (number, scenario) in scenarios.iter().enumerate() {
        let scenario_run = systematic::run_without_faults(scenario).unwrap();
        coverage.add(&scenario_run.world.script);
        let cases = systematic::cases(number, &scenario_run);
        for case in cases.iter().skip(number % ONE_IN).step_by(ONE_IN) {
            systematic::run(&scenarios, case, &mut coverage)
                .unwrap_or_else(|what| panic!("{what}\n  the same again: make sim SEEDS=0 START=0"));
            run += 1;
        }
    }
    assert_eq!(coverage.impossible(), [], "these were said to be unreachable");
    let met = coverage::pairs().len() - coverage.missed().len();
    println!("{run} cases, {met} of {} pairs of step and fault", coverage::pairs().len());
    assert!(run > 1000 && met * 10 > coverage::pairs().len() * 6, "{run} cases, {met} pairs");
}

/// HW-W2, F-7, F-8: lives by seed; no secret is in their logs and transcripts.
#[test]
fn random_scenarios_end_well() {
    let (mut ops, mut unwell) = (0, 0);
    for seed in 0..SEEDS {
        let captured = Captured::default();
        let layer = tracing_subscriber::fmt::layer().json().with_writer(captured.clone()).with_filter(LevelFilter::TRACE);
        let listened = seed % 10 == 0;
        let guard = listened.then(|| listen(layer));
        let (scenario, per_mille) = random::scenario(seed);
        let scenario_run = run_isolated(&scenario, |script| {
            if listened {
                script.record();
            }
            random::inject(seed, per_mille, script);
        });
        let scenario_run = scenario_run.unwrap();
        drop(guard);
        model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{what}\n  to see it: make replay SEED={seed}"));
        ops += scenario.stacks.iter().map(|stack| stack.ops.len() + 1).sum::<usize>();
        unwell +=
            scenario_run.stacks.iter().flat_map(|stack| &stack.statuses).filter(|status| **status != Status::Complete).count();
        let said = captured.text() + &scenario_run.world.script.transcript().join("\n");
        for secret in [TOKEN, &TOKEN[6..30], SIGNATURE] {
            assert!(!said.contains(secret), "seed {seed}: `{secret}` was logged");
        }
    }
    println!("{SEEDS} seeds, {ops} operations, {unwell} of them did not end as asked");
    assert!(unwell > 500, "only {unwell} operations went wrong: the mishaps had no effect");
}

/// HW-L7, HW-O3, F-34: lives that once ended with something left behind or lost: an export's twin, what a run made late or of a resource
/// that was replaced meanwhile, a statement of the customer's; or with a rollback that could not go on.
#[test]
fn scenarios_that_once_failed_end_well() {
    for seed in [
        4938,
        37036,
        90484,
        99466,
        7_027_479,
        7_028_973,
        7_052_860,
        7_056_275,
        7_098_459,
        83_422_727,
        123_483_688,
        123_523_685,
        123_529_679,
        123_541_031,
        298_777_562,
        298_815_150,
        298_822_716,
    ] {
        let (scenario, per_mille) = random::scenario(seed);
        let scenario_run = run_isolated(&scenario, |script| random::inject(seed, per_mille, script)).unwrap();
        model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{what}\n  to see it: make replay SEED={seed}"));
    }
}

/// The seed is the life: a replay is the same, call by call.
#[test]
fn a_seed_gives_the_same_scenario_twice() {
    for seed in [3, 17, 642, 15442] {
        let stated = || {
            let (scenario, per_mille) = random::scenario(seed);
            let scenario_run = run_isolated(&scenario, |script| {
                script.record();
                random::inject(seed, per_mille, script);
            });
            scenario_run.unwrap().world.script.transcript()
        };
        let first = stated();
        assert!(first.len() > 20, "seed {seed}");
        assert_eq!(first, stated(), "seed {seed}");
    }
}

/// HW-C6, HW-C5, F-28: a vendor that refuses, is away or answers nonsense for good fails what is asked for, and nothing more.
#[test]
fn a_vendor_alone_blocks_neither_rollback_nor_delete() {
    let label = |request| Label { resource: CONNECTION, request };
    for injected in [
        InjectedFault::Denied,
        InjectedFault::Throttled,
        InjectedFault::Unavailable,
        InjectedFault::Broken,
        InjectedFault::AnswerLost,
        InjectedFault::HalfAnswer,
        InjectedFault::Silent,
        InjectedFault::Redirected,
    ] {
        let scenario = Scenario::of_one(
            "a vendor",
            vec![create(&[]), update(&[("ConnectionName", "second")]), update(&[("Format", "Csv")])],
        );
        let scenario_run = run_isolated(&scenario, |script| {
            script.inject_at_step((label("Update"), "vendor:POST"), usize::MAX, injected);
            script.inject_at_step((label("Delete"), "vendor:POST"), usize::MAX, injected);
        });
        let scenario_run = scenario_run.unwrap();
        model::check(&scenario, &scenario_run).unwrap_or_else(|what| panic!("{injected:?}: {what}"));
        let expected = [Status::Complete, Status::RolledBack, Status::RolledBack, Status::Complete];
        assert_eq!(scenario_run.stacks[0].statuses, expected, "{injected:?}");
        assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{injected:?}");
    }
}

/// HW-L7, F-34, F-12: a Create that is cancelled at any moment, or comes when the stack has given up, leaves nothing behind, in the
/// account and with the vendor.
#[test]
fn a_cancelled_create_removes_what_it_created() {
    let mut taken_back = 0;
    let late = Delivery { late: Duration::from_secs(5), ..Delivery::default() };
    for (resource, delete) in [BILLING, CONNECTION].into_iter().flat_map(|one| [(one, None), (one, Some(late))]) {
        for milliseconds in (0..400).step_by(10) {
            let cancellation = Cancellation { resource, after: Duration::from_millis(milliseconds) };
            let mut scenario = Scenario::of_one("cancelled", vec![Op::Create(parameters(&[]), Some(cancellation))]);
            scenario.lags.call = Duration::from_millis(20);
            if let Some(delivery) = delete {
                scenario.stacks[0].deliveries = Deliveries::One(Label { resource, request: "Delete" }, delivery);
            }
            let scenario_run = quietly(&scenario);
            assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{cancellation:?}");
            assert!(scenario_run.world.vendor.connected().is_empty(), "{cancellation:?}");
            let was_cut = scenario_run.stacks[0].exchanges.iter().any(|exchange| exchange.closed == RequestOutcome::Cancelled);
            let steps = scenario_run.world.script.steps();
            let create = Label { resource: BILLING, request: "Create" };
            let removes =
                ["s3:DeleteBucket", "cur:DeleteReportDefinition"].iter().any(|call| steps.contains_key(&(create, *call)));
            taken_back += usize::from(was_cut && removes);
        }
    }
    assert!(taken_back > 3, "only {taken_back} Creates had something to take back themselves");
}

/// B-2, B-3: whatever CloudFormation shows of a resource that is replaced or was cancelled, the new export stays and nothing is left.
#[test]
fn whichever_resource_cloudformation_shows_is_safe() {
    for replacement in [ShownReplacement::New, ShownReplacement::Old, ShownReplacement::NewAsGoing] {
        for hides_removed in [false, true] {
            let showing = Showing { replacement, hides_removed };
            let run = |ops: Vec<Op>, milliseconds: u64| {
                let mut scenario = Scenario::of_one(&format!("{showing:?}, given up on after {milliseconds} ms"), ops);
                (scenario.showing, scenario.lags.call) = (showing, Duration::from_millis(20));
                let scenario_run = quietly(&scenario);
                assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{}", scenario.name);
                scenario_run
            };
            let (cur2, csv) = (("Kind", "CostAndUsageReport2"), ("Format", "Csv"));
            let replaced = run(vec![create(&[]), update(&[cur2]), update(&[cur2, csv]), update(&[]), Op::Rest], 0);
            let (report, _) = random::names("acme", Format::Parquet).unwrap();
            let steady_state = &replaced.stacks[0].steady_state;
            assert!(steady_state.state.reports.contains_key(&report), "{showing:?}: {:?}", steady_state.export);
            for milliseconds in (0..200).step_by(20) {
                let cancellation = Some(Cancellation { resource: BILLING, after: Duration::from_millis(milliseconds) });
                run(vec![Op::Create(parameters(&[]), cancellation)], milliseconds);
                run(vec![create(&[(WITHOUT, BILLING)]), Op::Update(parameters(&[]), cancellation), Op::Rest], milliseconds);
            }
        }
    }
}

/// HW-L6, F-34: a Create that was never answered, by whatever death of its function, is removed under the id that CloudFormation
/// made up, and the vendor hears of it.
#[test]
fn what_an_unanswered_create_made_is_removed() {
    for (resource, call) in
        [(BILLING, "mailbox:PUT"), (BILLING, "cur:PutReportDefinition"), (CONNECTION, "mailbox:PUT"), (CONNECTION, "vendor:POST")]
    {
        let scenario = Scenario::of_one("killed thrice", vec![create(&[])]);
        let step = (Label { resource, request: "Create" }, call);
        let scenario_run =
            run_isolated(&scenario, |script| script.inject_at_step(step, usize::MAX, InjectedFault::KilledBefore)).unwrap();
        model::check(&scenario, &scenario_run).unwrap();
        let stack = &scenario_run.stacks[0];
        assert_eq!(stack.statuses, [Status::RolledBack, Status::Complete], "{step:?}");
        let made_up = stack.exchanges.iter().filter(|exchange| exchange.label.request == "Delete");
        let made_up =
            made_up.filter(|exchange| exchange.event["PhysicalResourceId"].as_str().unwrap().starts_with("stack-")).count();
        assert_eq!(made_up, 1, "{step:?}");
        assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{step:?}");
        assert!(scenario_run.world.vendor.connected().is_empty(), "{step:?}");
    }
}

const KINDS: [&str; 4] = ["None", "CostAndUsageReport", "CostAndUsageReport2", "Focus"];

/// HW-O4, HW-L3: each kind becomes each other and itself again; what was delivered stays, and of the customer's nothing changes.
#[test]
fn every_kind_becomes_every_other_and_comes_back() {
    for (first, second) in KINDS.iter().flat_map(|first| KINDS.map(|second| (*first, second))) {
        let of = |kind| [("Kind", kind), ("Reuse", "Never")];
        let ops = vec![create(&of(first)), Op::Deliver, update(&of(second)), Op::Deliver, update(&of(first)), Op::Deliver];
        let mut scenario = Scenario::of_one(&format!("{first} becomes {second}"), ops);
        let others = systematic::scenarios().into_iter().find(|scenario| scenario.account.exports.len() == 2).unwrap();
        scenario.account = others.account;
        let scenario_run = quietly(&scenario);
        assert_eq!(scenario_run.stacks[0].statuses, [Status::Complete; 4], "{}", scenario.name);
        assert_eq!(scenario_run.state.exports.len(), 2, "{}", scenario.name);
        let delivered = scenario_run.third_party.delivered.iter().filter(|(_, key)| key.ends_with("-Manifest.json")).count();
        let expected = [first, second, first].iter().filter(|kind| **kind != "None").count();
        // An export that stays delivers into the same place again.
        assert_eq!(delivered, if first == second { expected / 3 } else { expected }, "{}", scenario.name);
    }
}

/// HW-L5, HW-B10: `CreateExport` knows no idempotency token, so an answer that was lost can lead to two exports. One stays, and none is
/// left when the stack is gone.
#[test]
fn an_export_that_was_created_twice_is_kept_once() {
    let kind = ("Kind", "CostAndUsageReport2");
    let ops = vec![create(&[kind]), Op::Wait(Duration::from_secs(60)), update(&[kind, ("Retention", "Delete")]), Op::Rest];
    let mut scenario = Scenario::of_one("made twice", ops);
    let create = Label { resource: BILLING, request: "Create" };
    scenario.always = Some(((create, "bcm-data-exports:CreateExport"), InjectedFault::AnswerLost));
    // Longer than the handler looks for what it may have created (B-22).
    scenario.lags.list = Duration::from_secs(20);
    let scenario_run = quietly(&scenario);
    let calls = scenario_run.world.script.calls();
    let count = |call: &str| calls.iter().filter(|called| **called == call).count();
    assert_eq!(count("bcm-data-exports:DeleteExport"), 2, "one by the Update, one by the Delete");
    assert_eq!(scenario_run.stacks[0].steady_state.state.exports.len(), 1);
    assert_eq!(marked(&scenario_run), Vec::<String>::new());
}

/// HW-B12: a case is opened for each export, and for none of them twice, however often events come.
#[test]
fn past_months_are_requested_once() {
    for again in [None, Some(1), Some(90)] {
        let backfill = ("RequestBackfill", "true");
        let ops = vec![
            create(&[backfill]),
            update(&[backfill, ("Retention", "Delete")]),
            update(&[backfill, ("Kind", "Focus")]),
            Op::Wait(Duration::from_secs(200)),
            update(&[backfill, ("Kind", "Focus"), ("Retention", "Delete")]),
        ];
        let mut scenario = Scenario::of_one("asked for", ops);
        scenario.account.support.plan = SupportPlan::Paid;
        let again = again.map(Duration::from_secs);
        scenario.stacks[0].deliveries = Deliveries::All(Delivery { again, ..Delivery::default() });
        let scenario_run = quietly(&scenario);
        let mut subjects: Vec<&str> = scenario_run.state.cases.iter().map(|case| case.case.subject.as_str()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        assert_eq!((subjects.len(), scenario_run.state.cases.len()), (2, 2), "again after {again:?}: {subjects:?}");
    }
}

/// HW-L8: an old Update that comes again, or that the stack gave up on, does not move an export back.
#[test]
fn an_old_update_does_not_move_an_export() {
    let (cur2, csv) = (("Kind", "CostAndUsageReport2"), ("Format", "Csv"));
    let again = Delivery { again: Some(Duration::from_secs(40)), ..Delivery::default() };
    let ops = vec![create(&[cur2]), update(&[cur2, csv]), update(&[cur2]), Op::Wait(Duration::from_secs(100)), Op::Rest];
    let mut comes_again = Scenario::of_one("an Update comes again after the next one", ops);
    comes_again.stacks[0].deliveries = Deliveries::One(Label { resource: BILLING, request: "Update" }, again);
    quietly(&comes_again);
    for milliseconds in (0..160).step_by(10) {
        let cancellation = Cancellation { resource: BILLING, after: Duration::from_millis(milliseconds) };
        let ops = vec![
            create(&[cur2]),
            Op::Update(parameters(&[cur2, csv]), Some(cancellation)),
            Op::Wait(Duration::from_secs(100)),
            Op::Rest,
        ];
        let mut given_up = Scenario::of_one(&format!("an Update is given up on after {milliseconds} ms"), ops);
        given_up.lags.call = Duration::from_millis(20);
        quietly(&given_up);
    }
}

/// HW-L8: a clean-up that comes again when its export is the stack's own once more removes nothing.
#[test]
fn an_old_delete_keeps_what_the_stack_has() {
    let again = Delivery { again: Some(Duration::from_secs(40)), ..Delivery::default() };
    let ops = vec![create(&[]), update(&[("Format", "Csv")]), update(&[]), Op::Wait(Duration::from_secs(60)), Op::Rest];
    let mut scenario = Scenario::of_one("there and back", ops);
    scenario.stacks[0].deliveries = Deliveries::One(Label { resource: BILLING, request: "Delete" }, again);
    let scenario_run = quietly(&scenario);
    let (report, bucket) = random::names("acme", Format::Parquet).unwrap();
    let steady_state = &scenario_run.stacks[0].steady_state;
    assert!(
        steady_state.state.reports.contains_key(&report) && steady_state.state.buckets.contains_key(&bucket),
        "{:?}",
        steady_state.state
    );
    let answers = scenario_run.stacks[0]
        .exchanges
        .iter()
        .flat_map(|exchange| &exchange.stored)
        .map(|stored| String::from_utf8_lossy(&stored.body));
    assert!(answers.into_iter().any(|answer| answer.contains("REQUEST_OUTDATED")), "nobody said that it was an old one");
}

/// HW-L9, F-1: three failed clean-ups leave a replaced export behind; it goes with the stack.
#[test]
fn what_failed_clean_ups_left_goes_with_the_stack() {
    let scenario = Scenario::of_one("forgotten", vec![create(&[]), update(&[("Format", "Csv")])]);
    let step = (Label { resource: BILLING, request: "Delete" }, "cur:DeleteReportDefinition");
    let scenario_run =
        run_isolated(&scenario, |script| (0..3).for_each(|nth| script.inject_at_step(step, nth, InjectedFault::Unavailable)))
            .unwrap();
    model::check(&scenario, &scenario_run).unwrap();
    let (report, _) = random::names("acme", Format::Parquet).unwrap();
    assert!(scenario_run.stacks[0].steady_state.state.reports.contains_key(&report), "the clean-ups did not fail");
    assert_eq!(marked(&scenario_run), Vec::<String>::new());
}

/// HW-L8: the way back from a failed Update, come again when the stack has gone forward after all, removes nothing.
#[test]
fn an_old_rollback_keeps_what_the_stack_has() {
    let label = Label { resource: BILLING, request: "Update" };
    let again = Delivery { again: Some(Duration::from_secs(40)), ..Delivery::default() };
    let (soon, later) = (Op::Wait(Duration::from_secs(20)), Op::Wait(Duration::from_secs(30)));
    let csv = || update(&[("Format", "Csv")]);
    let mut scenario = Scenario::of_one("forward after all", vec![create(&[]), csv(), soon, csv(), later, Op::Deliver]);
    scenario.stacks[0].deliveries = Deliveries::One(label, again);
    // The way back is sent, and comes again, only when the Update before it is done.
    scenario.lags.call = Duration::from_millis(20);
    let step = (label, "cur:PutReportDefinition");
    let scenario_run = run_isolated(&scenario, |script| script.inject_at_step(step, 0, InjectedFault::Unavailable)).unwrap();
    model::check(&scenario, &scenario_run).unwrap();
    let stack = &scenario_run.stacks[0];
    assert_eq!(stack.statuses, [Status::Complete, Status::RolledBack, Status::Complete, Status::Complete]);
    let mut updates = stack.exchanges.iter().filter(|exchange| exchange.label == label);
    assert!(updates.nth(1).unwrap().runs.iter().any(|run| run.too_late), "the way back came once only");
    let (report, bucket) = random::names("acme", Format::Csv).unwrap();
    let state = &stack.steady_state.state;
    assert!(state.reports.contains_key(&report) && state.buckets.contains_key(&bucket), "{state:?}");
    // It was never away either: what AWS delivers then goes where the stack says.
    assert_eq!(state.reports[&report].0.prefix, stack.steady_state.export["Prefix"], "the report was made anew");
}

/// HW-L7, HW-I2: a Create that comes when its stack has given up tells the vendor nothing, however often it comes.
#[test]
fn a_create_that_comes_too_late_is_not_announced() {
    let label = Label { resource: CONNECTION, request: "Create" };
    let late = Delivery { late: Duration::from_secs(650), again: Some(Duration::from_secs(200)), lost: false };
    let mut scenario = Scenario::of_one("too late, twice", vec![create(&[])]);
    // Things go wrong as long as any stack lives.
    let mut other = scenario.stacks[0].clone();
    other.name = "beta".to_owned();
    other.ops = vec![create(&[(WITHOUT, CONNECTION)]), Op::Wait(Duration::from_secs(1000))];
    scenario.stacks.push(other);
    scenario.stacks[0].deliveries = Deliveries::One(label, late);
    let scenario_run = run_isolated(&scenario, |_| {}).unwrap();
    model::check(&scenario, &scenario_run).unwrap();
    let kinds: Vec<String> = scenario_run.world.vendor.notices().iter().map(|notice| notice["type"].to_string()).collect();
    assert!(!kinds.iter().any(|kind| kind.contains("established")), "{kinds:?}");
    assert!(scenario_run.world.vendor.connected().is_empty(), "{kinds:?}");
}

/// HW-B7, HW-O2: a report of ours whose bucket is not ours any more is not said to be had.
#[test]
fn a_report_without_its_bucket_is_created_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let mut stack = Stack::new(&world, "acme");
        assert_eq!(stack.create(parameters(&[])).await, Status::Complete);
        world.account.change(|state| state.buckets.values_mut().for_each(|bucket| bucket.tags.clear()));
        let before = world.account.state().buckets;
        assert_eq!(stack.update(parameters(&[("Retention", "Delete")])).await, Status::RolledBack);
        stack.drain_runs().await;
        let refused = stack
            .exchanges()
            .iter()
            .flat_map(|exchange| exchange.stored.clone())
            .any(|stored| String::from_utf8_lossy(&stored.body).contains("BILLING_BUCKET_NOT_OURS"));
        assert!(refused, "the Update said that it has an export");
        assert_eq!(stack.attributes(BILLING)["Origin"], "none");
        assert_eq!(stack.delete().await, Status::Complete);
        assert_eq!(world.account.state().buckets, before, "the customer's bucket");
    });
}

/// HW-O2, F-1: our names under another stack's mark, or another resource's, are not ours to remove.
#[test]
fn a_delete_keeps_what_has_other_ownership_tags() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for (tag, value) in [(TAG_STACK, "arn:aws:cloudformation:eu-west-1:111122223333:stack/other/1"), (TAG_LOGICAL_ID, "Another")]
    {
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            let mut stack = Stack::new(&world, "acme");
            assert_eq!(stack.create(parameters(&[("Retention", "Delete")])).await, Status::Complete);
            world.account.change(|state| {
                let reports = state.reports.values_mut().map(|(_, tags)| tags);
                for tags in reports.chain(state.buckets.values_mut().map(|bucket| &mut bucket.tags)) {
                    tags.insert(tag.to_owned(), value.to_owned());
                }
            });
            let before = world.account.state();
            assert_eq!(stack.delete().await, Status::Complete);
            assert_eq!(world.account.state(), before, "{tag}");
            assert_eq!(before.reports.len() + before.buckets.len(), 2);
        });
    }
}

/// F-55: a report or an export whose bucket somebody removed may still be there when AWS does not let the handler look, and the answer
/// to the Delete says so.
#[test]
fn a_delete_reports_what_it_could_not_search_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for (kind, call) in
        [("CostAndUsageReport", "cur:DescribeReportDefinitions"), ("CostAndUsageReport2", "bcm-data-exports:ListExports")]
    {
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            let mut stack = Stack::new(&world, "acme");
            assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
            world.account.change(|state| state.buckets.clear());
            world.script.inject_all(call, InjectedFault::Denied);
            assert_eq!(stack.delete().await, Status::Complete, "{kind}");
            let state = world.account.state();
            assert_eq!(state.reports.len() + state.exports.len(), 1, "{kind}");
            let label = Label { resource: BILLING, request: "Delete" };
            let answers: Vec<_> = stack.exchanges().into_iter().filter(|it| it.label == label).flat_map(|it| it.stored).collect();
            let answers: Vec<_> = answers.iter().map(|stored| String::from_utf8_lossy(&stored.body)).collect();
            let says = |answer: &str| answer.contains("was kept, because it could not be searched") && answer.contains(call);
            assert!(!answers.is_empty() && answers.iter().all(|answer| says(answer)), "{kind}: {answers:?}");
        });
    }
}

/// HW-L5: of two runs of one Delete, the slower one finds the bucket gone under its hands, which is what it wants.
#[test]
fn a_delete_that_another_run_overtakes_succeeds() {
    let label = Label { resource: BILLING, request: "Delete" };
    let scenarios = [vec![create(&[])], vec![create(&[("Retention", "Delete")]), Op::Deliver]];
    for ops in scenarios {
        let mut scenario = Scenario::of_one("twice at once", ops);
        scenario.stacks[0].deliveries = Deliveries::One(label, Delivery { again: Some(Duration::ZERO), ..Delivery::default() });
        let scenario_run =
            run_isolated(&scenario, |script| script.inject_at_step((label, "s3:DeleteObject"), 1, InjectedFault::Denied))
                .unwrap();
        model::check(&scenario, &scenario_run).unwrap();
        assert!(!scenario_run.world.script.met().is_empty(), "neither run was held up");
        let stored = scenario_run.stacks[0].exchanges.iter().filter(|exchange| exchange.label == label).flat_map(|e| &e.stored);
        let answers: Vec<_> = stored.map(|stored| String::from_utf8_lossy(&stored.body)).collect();
        assert!(answers.len() == 2 && answers.iter().all(|answer| answer.contains("SUCCESS")), "{answers:?}");
    }
}

/// HW-O1, F-34: a Create that is killed at any moment after its bucket is there is finished by
/// the next one: every setting is made.
#[test]
fn a_partly_created_bucket_is_set_up_completely() {
    let label = Label { resource: BILLING, request: "Create" };
    for call in [
        "s3:CreateBucket",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutBucketPolicy",
    ] {
        let scenario = Scenario::of_one("half made", vec![create(&[])]);
        let scenario_run =
            run_isolated(&scenario, |script| script.inject_at_step((label, call), 0, InjectedFault::KilledAfter)).unwrap();
        model::check(&scenario, &scenario_run).unwrap();
        assert_eq!(scenario_run.stacks[0].statuses, [Status::Complete, Status::Complete], "{call}");
        let (_, bucket) = random::names("acme", Format::Parquet).unwrap();
        let bucket = &scenario_run.stacks[0].steady_state.state.buckets[&bucket];
        assert!(bucket.public_access_blocked && bucket.encrypted && bucket.upload_days.is_some(), "{call}: {bucket:?}");
    }
}

/// What somebody does a moment after an Update was sent, between the calls of the handler, which take 20 ms each.
async fn update_while(world: &World, stack: &mut Stack, milliseconds: u64, act: impl FnOnce(&mut AccountState)) -> Status {
    world.account.set_lags(Lags { call: Duration::from_millis(20), ..Lags::default() });
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        world.account.change(act);
    };
    tokio::join!(stack.update(parameters(&[("Retention", "Delete")])), meanwhile).0
}

/// HW-O3: somebody writes the policy between our look and our write: nobody's statements are lost.
#[test]
fn a_policy_that_changes_before_it_is_written_is_merged_with_again() {
    let (_, bucket) = random::names("acme", Format::Parquet).unwrap();
    let objects = format!("arn:aws:s3:::{bucket}/*");
    let policy = |sids: &[&str]| {
        let statement = |sid: &&str| {
            serde_json::json!({
                "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": objects,
            })
        };
        let statements: Vec<_> = sids.iter().map(statement).collect();
        Some(serde_json::json!({ "Version": "2012-10-17", "Statement": statements }).to_string())
    };
    let write =
        |state: &mut AccountState, policy: Option<String>| state.buckets.values_mut().for_each(|b| b.policy.clone_from(&policy));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let mut stack = Stack::new(&world, "acme");
        assert_eq!(stack.create(parameters(&[])).await, Status::Complete);
        // Ours is lost, so that there is something to write.
        world.account.change(|state| write(state, policy(&["Theirs"])));
        let status = update_while(&world, &mut stack, 50, |state| write(state, policy(&["Theirs", "Added"]))).await;
        assert_eq!(status, Status::Complete);
        let policy = world.account.state().buckets[&bucket].policy.clone().unwrap();
        for sid in ["Theirs", "Added", "HawserBillingWrite"] {
            assert!(policy.contains(sid), "`{sid}` is not in {policy}");
        }
    });
}

/// HW-B3: a report that goes between being listed and being looked at is neither reused nor in the way.
#[test]
fn a_report_that_is_deleted_while_it_is_read_is_not_chosen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (report, _) = random::names("acme", Format::Parquet).unwrap();
    for goes in ["finance", &report] {
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            let mut stack = Stack::new(&world, "acme");
            let kind = if goes == report { "CostAndUsageReport" } else { "None" };
            assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
            if goes != report {
                world.account.change(|state| *state = World::new(systematic::scenarios()[1].account.clone()).account.state());
                assert!(world.account.state().reports.contains_key(goes), "the account has no report of the customer's");
            }
            let status = update_while(&world, &mut stack, 30, |state| drop(state.reports.remove(goes))).await;
            assert_eq!(status, Status::Complete, "{goes}");
            assert_eq!(stack.attributes(BILLING)["Origin"], "created", "{goes}");
            assert!(world.account.state().reports.contains_key(&report), "{goes}");
        });
    }
}

/// F-35: a role that is seconds old is denied now and then: the next try counts, on a Delete as on a Create.
#[test]
fn a_temporary_denial_fails_neither_create_nor_delete() {
    let scenario = Scenario::of_one("a fresh role", vec![create(&[("Retention", "Delete")]), Op::Deliver]);
    let steps = systematic::run_without_faults(&scenario).unwrap().world.script.steps();
    let of_aws =
        steps.keys().filter(|(_, call)| ["cloudformation:", "organizations:", "cur:", "s3:"].iter().any(|s| call.starts_with(s)));
    let mut denied = 0;
    for step in of_aws {
        let scenario_run = run_isolated(&scenario, |script| script.inject_at_step(*step, 0, InjectedFault::Denied)).unwrap();
        model::check(&scenario, &scenario_run).unwrap();
        assert_eq!(scenario_run.stacks[0].statuses, [Status::Complete, Status::Complete], "{step:?}");
        assert_eq!(marked(&scenario_run), Vec::<String>::new(), "{step:?}");
        denied += 1;
    }
    assert!(denied > 15, "only {denied} calls were denied");
}

/// HW-B7: the account had room for the report when the stack was made, and has none when it rolls back.
#[test]
fn a_stack_rolls_back_without_an_export_that_is_no_longer_available() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let mut stack = Stack::new(&world, "acme");
        assert_eq!(stack.create(parameters(&[])).await, Status::Complete);
        // The customer takes the report over, so that it is the stack's no more.
        world.account.change(|state| {
            let owner = || [("owner".to_owned(), "finance".to_owned())].into();
            state.reports.values_mut().for_each(|(_, tags)| *tags = owner());
        });
        assert_eq!(stack.update(parameters(&[("ConnectionName", "second"), ("Format", "Excel")])).await, Status::RolledBack);
        let text = |name: &str| stack.attributes(BILLING)[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("Origin"), "none");
        assert!(text("Decision").contains("BILLING_REPORT_NOT_OURS"), "{}", text("Decision"));
        assert_eq!(stack.delete().await, Status::Complete);
        assert_eq!(world.account.state().reports.len(), 1, "the customer's report");
    });
}

/// HW-B7: a policy denies one of the reads from now on. The stack goes back all the same, and goes when it is deleted.
#[test]
fn a_read_that_is_denied_for_good_leaves_no_stack_stuck() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let theirs = json!({ "reports": [{ "name": "theirs", "bucket": "theirs" }], "buckets": [{ "name": "theirs" }] });
    let accounts: [AccountFile; 2] = [AccountFile::default(), serde_json::from_value(theirs).unwrap()];
    let mut denied = BTreeSet::new();
    for (account, kind) in accounts.iter().flat_map(|account| [(account, "CostAndUsageReport"), (account, "CostAndUsageReport2")])
    {
        let update = || parameters(&[("Kind", kind), ("ConnectionName", "second"), ("Format", "Csv")]);
        let play = |read: Option<(&str, InjectedFault)>| {
            runtime.block_on(async {
                let world = World::new(account.clone());
                let mut stack = Stack::new(&world, "acme");
                assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
                let before = world.script.calls().len();
                if let Some((action, injected)) = read {
                    world.script.inject_all(action, injected);
                }
                let updated = stack.update(update()).await;
                let reads: BTreeSet<String> = world.script.calls().iter().skip(before).map(ToString::to_string).collect();
                assert!([Status::Complete, Status::RolledBack].contains(&updated), "{kind} without {read:?}: {updated:?}");
                assert_eq!(stack.delete().await, Status::Complete, "{kind} without {read:?}");
                reads
            })
        };
        let is_read = |call: &String| {
            call.split_once(':').is_some_and(|(_, name)| ["Get", "List", "Describe"].iter().any(|verb| name.starts_with(verb)))
        };
        for read in play(None).into_iter().filter(is_read) {
            for injected in [InjectedFault::Denied, InjectedFault::DeniedByPolicy] {
                play(Some((&read, injected)));
            }
            denied.insert(read);
        }
    }
    assert!(denied.len() > 10, "only {denied:?}");
}

/// HW-O3: a statement that the customer adds between our look and our write survives.
#[test]
fn a_statement_that_is_added_meanwhile_survives() {
    let (mut added, mut seeds) = (0, 0);
    for seed in 0..400 {
        let ops = vec![create(&[]), update(&[("Kind", "None")]), update(&[]), Op::Rest];
        let mut scenario = Scenario::of_one("others at work", ops);
        scenario.actor = Some(hawser_sim::actors::Actor::new(seed, 150));
        let scenario_run = quietly(&scenario);
        added += scenario_run.third_party.statements.len();
        seeds += 1;
    }
    println!("{seeds} lives, {added} statements of the customer's at the end");
    assert!(added > 50, "only {added} statements were there to lose");
}

/// F-19, F-20, HW-B3: two stacks at once in one account do not rely on each other's reports, whatever the order.
#[test]
fn two_stacks_at_once_stay_apart() {
    for milliseconds in [0, 20, 700] {
        let mut scenario = Scenario::of_one("two", vec![create(&[]), update(&[("Format", "Csv")])]);
        let mut other = scenario.stacks[0].clone();
        other.name = "beta".to_owned();
        scenario.stacks.push(other);
        scenario.lags.call = Duration::from_millis(milliseconds);
        let scenario_run = quietly(&scenario);
        let origins: BTreeSet<&str> =
            scenario_run.stacks.iter().map(|stack| stack.steady_state.export["Origin"].as_str().unwrap()).collect();
        assert_eq!(origins, BTreeSet::from(["created"]));
        let buckets: BTreeSet<&str> =
            scenario_run.stacks.iter().map(|stack| stack.steady_state.export["BucketName"].as_str().unwrap()).collect();
        assert_eq!(buckets.len(), 2);
    }
}
