//! Whole lives under faults by chance: every call, notice and upload may meet one, and each seed is another life.
//!
//! `HAWSER_CHAOS_SEEDS=50` lives more of them, `HAWSER_CHAOS_START=7` those from 7 on (else the clock chooses), `HAWSER_CHAOS_SEED=7`
//! that one again.

#![expect(clippy::print_stderr, reason = "the seeds are printed, so that any of them can be lived again")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawser_dev::{
    stack::{Outcome, Stack, template},
    strict_proxy::scenario::{
        Chaos,
        FaultAnswer::{Deny, KillAfter, KillBefore, LateMs, LatencyMs, Lost, Reset, ServerError, Throttle, Truncate},
        Scenario,
    },
};

use crate::{
    lives::{Lane, LogPosition, in_lanes},
    world::Testbed,
};

/// How many lives, unless the environment says.
const SEEDS: u64 = 6;
const SEEDS_VARIABLE: &str = "HAWSER_CHAOS_SEEDS";

/// The first seed. `.ci/run` takes it from the commit, so that the same commit repeats.
const START_VARIABLE: &str = "HAWSER_CHAOS_START";

/// Lives this one and no other.
const SEED_VARIABLE: &str = "HAWSER_CHAOS_SEED";

/// Mostly waiting.
const LANES: usize = 3;

/// One call in eight: most operations meet some, and most of those get through.
const PERCENT: u8 = 12;

/// Within one try of the handler's clients, and beyond it (8 s).
const SLOW_MS: u64 = 400;
const TOO_SLOW_MS: u64 = 9_000;

/// Longer than one run of the function may take, and shorter than three.
const SERVICE_TIMEOUT_SECONDS: u64 = 30;

/// The function's time-out in these lives.
const TIMEOUT_SECONDS: u64 = 20;

/// What a Delete says where AWS denied the search: of the service, and of a bucket that what was not found may deliver to.
const NOT_SEARCHED: [&str; 2] = ["because it could not be searched", "because something of this stack may still deliver to it"];

/// Every final status of a stack.
const FINAL: [&str; 9] = [
    "CREATE_COMPLETE",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_FAILED",
    "DELETE_COMPLETE",
    "DELETE_FAILED",
    "CREATE_FAILED",
];

/// A template whose function has little time, and which waits for it no longer than a test can.
pub(crate) fn hasty_template(service_timeout: u64) -> String {
    let template = template().unwrap();
    assert_eq!((template.matches(" Timeout: 120").count(), template.matches("ServiceTimeout: 600").count()), (1, 2));
    let template = template.replace(" Timeout: 120", &format!(" Timeout: {TIMEOUT_SECONDS}"));
    template.replace("ServiceTimeout: 600", &format!("ServiceTimeout: {service_timeout}"))
}

/// HW-A2, HW-L5, HW-O2, HW-C5: whatever goes wrong, the stack comes to an end, harms nothing, and can be deleted afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn no_seed_leaves_a_stack_that_cannot_be_deleted() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() % 1_000_000_000;
    let first = number(START_VARIABLE).unwrap_or(clock);
    let seeds: Vec<u64> = match number(SEED_VARIABLE) {
        Some(seed) => vec![seed],
        None => (0..number(SEEDS_VARIABLE).unwrap_or(SEEDS)).map(|step| first + step).collect(),
    };
    eprintln!("seeds {}..={}; one again: {SEED_VARIABLE}={}", seeds[0], seeds[seeds.len() - 1], seeds[0]);
    let template = hasty_template(SERVICE_TIMEOUT_SECONDS);
    let mut lanes = Vec::new();
    while lanes.len() < LANES.min(seeds.len()) {
        lanes.push(Lane::new(Testbed::with_template("standalone", &template).await).await);
    }
    let wrong = in_lanes(lanes, seeds, ToString::to_string, |lane, seed| async move { case(&lane, seed).await }).await;
    let replay = |seed: &str| format!("{SEED_VARIABLE}={seed} cargo nextest run -p hawser-dev --all-features chaos::");
    let wrong: Vec<String> = wrong.iter().map(|(seed, why)| format!("seed {seed}: {why}\n  {}", replay(seed))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Create, update there and back, delete; then without faults, delete again if need be.
async fn case(lane: &Lane, seed: u64) -> Result<(), String> {
    let world = &lane.world;
    let said = |error: anyhow::Error| format!("{error:#}");
    let mut log = Vec::new();
    let start = lane.mark();
    let mut mark = start;
    lane.set(&chaos(seed, 0));
    let name = format!("chaos-{seed}");
    let created = Stack::create(&world.customer(), &name, &world.template, &world.parameters, &mut |_| {}).await;
    let (mut stack, outcome) = created.map_err(said)?;
    log.push(judge(lane, &stack, mark, &outcome, &log).await?);
    if outcome.status == "CREATE_COMPLETE" {
        // The second is a change whether or not the first was rolled back.
        for (step, format, backfill) in [(1, "Csv", "false"), (2, "Parquet", "true")] {
            mark = lane.mark();
            lane.set(&chaos(seed, step));
            let changed = world.with(&[("BillingFormat", format), ("RequestBackfill", backfill)]);
            let outcome = stack.update(&world.template, &changed, &mut |_| {}).await.map_err(said)?;
            log.push(judge(lane, &stack, mark, &outcome, &log).await?);
            if outcome.status == "UPDATE_ROLLBACK_FAILED" {
                // Only ContinueUpdateRollback and DeleteStack are allowed now.
                break;
            }
        }
    }
    mark = lane.mark();
    lane.set(&chaos(seed, 3));
    let mut outcome = stack.delete(&mut |_| {}).await.map_err(said)?;
    log.push(judge(lane, &stack, mark, &outcome, &log).await?);
    if outcome.status != "DELETE_COMPLETE" {
        lane.set_one(None);
        outcome = stack.delete(&mut |_| {}).await.map_err(said)?;
        log.push(outcome.status.clone());
    }
    lane.set_one(None);
    let reported = |what: &str| format!("{what}, after {}", log.join(", "));
    if outcome.status != "DELETE_COMPLETE" {
        return Err(reported(&format!("cannot be deleted: {}", outcome.first_failure())));
    }
    // What AWS denied may stay, if the stack's events say so (F-55).
    let reasons = lane.reasons(start);
    let mut left = lane.marked(&stack).await;
    left.retain(|what| !reasons.contains(what.rsplit(' ').next().unwrap()));
    if NOT_SEARCHED.iter().any(|words| reasons.contains(words)) {
        left.clear();
    }
    if left.is_empty() { Ok(()) } else { Err(reported(&format!("left behind {left:?}"))) }
}

/// Another life for each seed, and other faults for each of its operations.
fn chaos(seed: u64, step: u64) -> Scenario {
    let answers = vec![
        Throttle,
        ServerError,
        Deny,
        Reset,
        Reset,
        Truncate,
        Lost,
        Lost,
        LatencyMs(SLOW_MS),
        LatencyMs(TOO_SLOW_MS),
        LateMs(SLOW_MS),
        LateMs(TOO_SLOW_MS),
        KillBefore,
        KillBefore,
        KillAfter,
        KillAfter,
    ];
    let chaos = Chaos { seed: seed.wrapping_mul(4).wrapping_add(step), percent: PERCENT, answers };
    Scenario { chaos: Some(chaos), ..Scenario::default() }
}

/// What must hold even then; the operation in words.
async fn judge(lane: &Lane, stack: &Stack, mark: LogPosition, outcome: &Outcome, log: &[String]) -> Result<String, String> {
    let reported = format!("{} with {:?}", outcome.status, lane.met(mark));
    let mut wrong = lane.violations(stack, &outcome.status, mark).await;
    if !FINAL.contains(&outcome.status.as_str()) {
        wrong.push(format!("{} is not final", outcome.status));
    }
    wrong.extend(lane.answers(mark, true));
    if wrong.is_empty() {
        Ok(reported)
    } else {
        Err(format!("{reported}: {}; before that: {}", wrong.join("; "), log.join(", ")))
    }
}
