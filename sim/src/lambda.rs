//! Lambda in memory: an event reaches the function late, twice or never, and again after an error.
//!
//! Source: Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use hawser::handler;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    clock::locked,
    exchange::{Ended, Exchange, Invocation, RequestOutcome},
    script::{Label, Run},
    world::World,
};

/// The function's time-out, as `template.yaml` has it.
pub const FUNCTION_TIMEOUT: Duration = Duration::from_secs(120);

/// `MaximumEventAgeInSeconds`, as `template.yaml` has it: an event that is older is dropped.
pub const EVENT_AGE_MAX: Duration = Duration::from_secs(600);

/// Lambda runs an event that ended in an error again, after one minute and after two more.
const REDELIVERIES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(120)];

/// How an event reaches the function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    pub lost: bool,
    /// So much later.
    pub late: Duration,
    /// And once more, so much later than the first time.
    pub again: Option<Duration>,
}

/// Where deliveries come from.
#[derive(Debug, Clone, Default)]
pub enum Deliveries {
    /// At once, and once.
    #[default]
    Plain,
    /// All in this way.
    All(Delivery),
    /// In this way for one kind of event, plainly for all others.
    One(Label, Delivery),
    /// By chance.
    ByChance(fastrand::Rng),
}

impl Deliveries {
    pub(super) fn next(&mut self, label: Label) -> Delivery {
        match self {
            Self::Plain => Delivery::default(),
            Self::All(delivery) => *delivery,
            Self::One(meant, delivery) if *meant == label => *delivery,
            Self::One(..) => Delivery::default(),
            Self::ByChance(random) => {
                let seconds = |random: &mut fastrand::Rng| {
                    Duration::from_secs(*[0, 0, 1, 3, 20, 90, 400].get(random.usize(0..7)).unwrap_or(&0))
                };
                Delivery {
                    lost: random.u32(0..100) == 0,
                    late: if random.u32(0..10) == 0 { seconds(random) } else { Duration::ZERO },
                    again: (random.u32(0..8) == 0).then(|| seconds(random)),
                }
            }
        }
    }
}

/// Lambda's asynchronous invocation of one event.
pub(super) async fn invoke(world: World, stack: String, exchange: Arc<Mutex<Exchange>>, late: Duration) {
    tokio::time::sleep(late).await;
    let Exchange { event, label, .. } = locked(&exchange).clone();
    let queued = tokio::time::Instant::now();
    for wait in REDELIVERIES {
        tokio::time::sleep(wait).await;
        if queued.elapsed() > EVENT_AGE_MAX {
            return;
        }
        let number = world.cloudformation.next_run();
        let began_at = world.account.run_begins(&stack);
        let run = Arc::new(Run::new(number, label, stack.clone(), began_at));
        let too_late = locked(&exchange).closed != RequestOutcome::Open;
        world.script.note(|| format!("{}    run {number} of {label}", world.now()));
        let (ended, took) = run_once(&world.for_run(&run), &run, &event).await;
        world.account.run_ends();
        world.script.note(|| format!("{}    run {number} ended: {ended:?}", world.now()));
        locked(&exchange).runs.push(Invocation { number, took, ended, too_late });
        if ended == Ended::Well {
            return;
        }
    }
}

async fn run_once(world: &World, run: &Run, event: &Value) -> (Ended, Duration) {
    let started = tokio::time::Instant::now();
    let ports = world.ports();
    let answer = AssertUnwindSafe(handler::answer(event, world.now() + FUNCTION_TIMEOUT, &ports)).catch_unwind();
    let ended = tokio::select! {
        biased;
        () = run.killed() => Ended::Killed,
        answer = timeout(FUNCTION_TIMEOUT, answer) => match answer {
            Ok(Ok(Ok(()))) => Ended::Well,
            Ok(Ok(Err(_))) => Ended::InError,
            Ok(Err(_)) => Ended::Panicked,
            Err(_) => Ended::TimedOut,
        },
    };
    (ended, started.elapsed())
}
