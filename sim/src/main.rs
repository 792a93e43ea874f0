//! Lives of stacks, simulated by the thousand: `make sim SEEDS=100000`, and one of them told: `make replay SEED=7`.
#![expect(clippy::print_stdout, reason = "a command line prints")]
#![expect(clippy::disallowed_methods, reason = "it measures how fast it is; the lives themselves have a clock of their own")]

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use hawser_sim::{
    coverage::{CALLS, Coverage, labels, pairs, unreachable},
    life::{ScenarioRun, run_isolated},
    model, random, systematic,
};

/// Simulates stacks in random scenarios and checks each of them against the requirements.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many random scenarios from each start.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed, of one range or of several; one that nobody chose where none is given.
    #[arg(long, value_name = "SEED")]
    start: Vec<u64>,
    /// Replay one random scenario, call by call.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "start"])]
    replay: Option<u64>,
}

/// So many failures tell what is wrong; the rest would be more of the same.
const FAILURES_MAX: usize = 10;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic that a mishap asks for is caught, and none of the reader's business.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = match arguments.replay {
        Some(seed) => replay(seed),
        None => simulate(&starts(arguments.start), arguments.seeds),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("FAILED {what}");
            ExitCode::FAILURE
        }
    }
}

/// Starts by chance are below this, so that they can be read and typed.
const START_MAX: u64 = 1_000_000_000;

/// Where to begin. A range that is always the same finds what it found; any other finds more.
fn starts(given: Vec<u64>) -> Vec<u64> {
    if given.is_empty() { vec![fastrand::u64(..START_MAX)] } else { given }
}

fn scenario_run(seed: u64, stated: bool) -> Result<(ScenarioRun, Result<(), String>), String> {
    let (scenario, per_mille) = random::scenario(seed);
    let scenario_run = run_isolated(&scenario, |script| {
        if stated {
            script.record();
        }
        random::inject(seed, per_mille, script);
    });
    let scenario_run = scenario_run.map_err(|why| why.to_string())?;
    let checked = model::check(&scenario, &scenario_run);
    Ok((scenario_run, checked))
}

fn replay(seed: u64) -> Result<(), String> {
    let (scenario, per_mille) = random::scenario(seed);
    println!("seed {seed}: {per_mille} of 1,000 calls go wrong; {:?}, others act: {}", scenario.lags, scenario.actor.is_some());
    let (scenario_run, checked) = scenario_run(seed, true)?;
    for line in scenario_run.world.script.transcript() {
        println!("{line}");
    }
    for stack in &scenario_run.stacks {
        println!("{} ends as {}: {:?}, recovered {:?}", stack.id, stack.status, stack.statuses, stack.recovered);
    }
    checked
}

/// Runs `work` for each number below `count` on every core, with progress, until one fails.
fn on_every_core<T: Sync>(
    what: &str,
    count: usize,
    coverage: &Mutex<Coverage>,
    context: &T,
    work: impl Fn(&T, usize, &mut Coverage) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, stop, started) = (AtomicUsize::new(0), AtomicBool::new(false), Instant::now());
    let failures = Mutex::new(Vec::<String>::new());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut own = Coverage::default();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    if let Err(why) = work(context, number, &mut own) {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(why);
                        if failures.len() >= FAILURES_MAX {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                coverage.lock().unwrap_or_else(PoisonError::into_inner).merge(own);
            });
        }
        let mut shown = Instant::now();
        while !stop.load(Ordering::Relaxed) && next.load(Ordering::Relaxed) < count {
            std::thread::sleep(Duration::from_millis(50));
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                println!("   {what}: {} of {count}", next.load(Ordering::Relaxed).min(count));
            }
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failures.is_empty() {
        return Err(failures.join("\nFAILED "));
    }
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / seconds.max(0.001);
    println!("{what}: {count} scenarios in {seconds:.1} s, {rate:.0} a second");
    Ok(())
}

fn simulate(starts: &[u64], seeds: u64) -> Result<(), String> {
    let again = starts.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    println!("the same again: make sim SEEDS={seeds} START=\"{again}\"");
    let coverage = Mutex::new(Coverage::default());
    let scenarios = systematic::scenarios();
    let mut cases = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let scenario_run = systematic::run_without_faults(scenario)?;
        cases.extend(systematic::cases(number, &scenario_run));
        coverage.lock().unwrap_or_else(PoisonError::into_inner).add(&scenario_run.world.script);
    }
    on_every_core("systematic", cases.len(), &coverage, &(scenarios, cases), |(scenarios, cases), number, coverage| {
        systematic::run(scenarios, &cases[number], coverage)
    })?;
    let count = usize::try_from(seeds).map_err(|why| why.to_string())?;
    for start in starts {
        on_every_core(&format!("random, seeds from {start}"), count, &coverage, start, |start, number, coverage| {
            let seed = start.wrapping_add(u64::try_from(number).unwrap_or_default());
            let (scenario_run, checked) = scenario_run(seed, false)?;
            coverage.add(&scenario_run.world.script);
            checked.map_err(|what| format!("{what}\n  to see it: make replay SEED={seed}"))
        })?;
    }
    report(&coverage.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn report(coverage: &Coverage) -> Result<(), String> {
    println!("\nmishaps:");
    for (injected, count) in coverage.by_fault() {
        println!("  {:<13} {count:>9}", format!("{injected:?}"));
    }
    let (all, missed) = (pairs().len(), coverage.missed());
    println!("\n{} of {all} pairs of step and fault were met", all - missed.len());
    println!("\nnot reachable:");
    for label in labels() {
        let mut reasons = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for call in CALLS {
            if let Some(reason) = unreachable(label, call) {
                reasons.entry(reason).or_default().push(call);
            }
        }
        for (reason, calls) in reasons {
            println!("  {label}: {reason} ({})", calls.join(", "));
        }
    }
    if let Some(step) = coverage.impossible().first() {
        return Err(format!("{} for {} was said to be unreachable", step.1, step.0));
    }
    if missed.is_empty() {
        return Ok(());
    }
    for ((label, call), injected) in &missed {
        println!("not met: {injected:?} at {call} for {label}");
    }
    Err(format!("{} pairs of step and fault were not met", missed.len()))
}
