//! Which calls go wrong, and the record of all calls: one place counts them, whichever party they go to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::clock::locked;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InjectedFault {
    /// Denied by the account's policies; the vendor and the mailbox answer 403; there are no credentials to sign with.
    Denied,
    /// Denied by a policy that AWS names.
    DeniedByPolicy,
    /// Refused by a rule of the service that nothing here knows.
    Refused,
    /// Throttled until the client gave up; the vendor answers 429 and says how long to wait.
    Throttled,
    /// 5xx until the client gave up.
    Unavailable,
    /// The connection broke before anything happened.
    Broken,
    /// The effect was done, the answer lost.
    AnswerLost,
    /// The effect was done, and half an answer came back.
    HalfAnswer,
    /// No answer until long after every deadline.
    Silent,
    /// The code that makes the call panics.
    Panic,
    /// The process is killed before anything happened.
    KilledBefore,
    /// The process is killed when the effect was done.
    KilledAfter,
    /// Status 302.
    Redirected,
}

/// The name under which the script counts notices.
pub const VENDOR_CALL: &str = "vendor:POST";
/// The name under which the script counts uploads.
pub const MAILBOX_CALL: &str = "mailbox:PUT";
/// The name under which the script counts proofs of identity.
pub const IDENTITY_CALL: &str = "identity:sign";

impl InjectedFault {
    /// Every mishap.
    pub const ALL: [Self; 13] = [
        Self::Denied,
        Self::DeniedByPolicy,
        Self::Refused,
        Self::Throttled,
        Self::Unavailable,
        Self::Broken,
        Self::AnswerLost,
        Self::HalfAnswer,
        Self::Silent,
        Self::Panic,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Redirected,
    ];

    /// Whether it can happen to a call. AWS's endpoints send no redirects that the client would show, the vendor and the
    /// mailbox know no rules and no policies of AWS, and signing is no call over a network.
    pub fn applies_to(self, call: &str) -> bool {
        match call {
            VENDOR_CALL | MAILBOX_CALL => !matches!(self, Self::DeniedByPolicy | Self::Refused),
            IDENTITY_CALL => matches!(self, Self::Denied | Self::Panic | Self::KilledBefore),
            _ => self != Self::Redirected,
        }
    }
}

/// On whose behalf a call is made: the resource and the request type of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The resource's name in the template.
    pub resource: &'static str,
    /// `Create`, `Update` or `Delete`.
    pub request: &'static str,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.request, self.resource)
    }
}

/// One step of the handler: a call that it makes for a kind of event.
pub type Step = (Label, &'static str);

/// One run of the function.
#[derive(Debug)]
pub struct Run {
    /// For the transcript.
    pub number: u64,
    /// What it works on.
    pub label: Label,
    pub stack: String,
    /// Changes of the account that it made itself.
    pub writes: AtomicU64,
    /// Changes that the stack and the actors had made when it began.
    pub began_at: u64,
    is_killed: AtomicBool,
    killed: Notify,
}

impl Run {
    pub(crate) fn new(number: u64, label: Label, stack: String, began_at: u64) -> Self {
        Self {
            number,
            label,
            stack,
            writes: AtomicU64::new(0),
            began_at,
            is_killed: AtomicBool::new(false),
            killed: Notify::new(),
        }
    }

    /// The process is killed here.
    pub(crate) async fn kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
        self.killed.notify_one();
        std::future::pending::<()>().await;
    }

    /// Ends when the process is killed.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }
}

/// Ends the run's process. Outside of a run there is none to end.
pub(crate) async fn killed(run: Option<&Run>) {
    if let Some(run) = run {
        run.kill().await;
    }
}

/// Which calls go wrong.
#[derive(Debug, Default)]
pub struct Script {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By name and by how often that name was called before.
    by_call: BTreeMap<(String, usize), InjectedFault>,
    /// By step and by how often that step was taken before.
    by_step: BTreeMap<(Step, usize), InjectedFault>,
    chance: Option<Chance>,
    /// How many asked for a pause.
    paused: usize,
    counts: BTreeMap<String, usize>,
    steps: BTreeMap<Step, usize>,
    calls: Vec<&'static str>,
    met: BTreeMap<(Step, InjectedFault), u64>,
    faulted_runs: BTreeSet<u64>,
    transcript: Option<Vec<String>>,
}

#[derive(Debug)]
struct Chance {
    random: fastrand::Rng,
    per_mille: u32,
}

impl Script {
    /// Lets the `nth` call (from 0) of that name go wrong.
    pub fn inject(&self, call: &str, nth: usize, injected: InjectedFault) {
        locked(&self.state).by_call.insert((call.to_owned(), nth), injected);
    }

    /// Lets every call of that name go wrong.
    pub fn inject_all(&self, call: &str, injected: InjectedFault) {
        self.inject(call, usize::MAX, injected);
    }

    /// Lets a step go wrong when it is taken for the `nth` time (from 0).
    pub fn inject_at_step(&self, step: Step, nth: usize, injected: InjectedFault) {
        locked(&self.state).by_step.insert((step, nth), injected);
    }

    /// Lets each call go wrong with a chance of so many in a thousand.
    pub fn inject_randomly(&self, seed: u64, per_mille: u32) {
        locked(&self.state).chance = Some(Chance { random: fastrand::Rng::with_seed(seed), per_mille });
    }

    /// Ends all mishaps; what was called stays on record.
    pub fn clear_faults(&self) {
        let mut state = locked(&self.state);
        state.by_call.clear();
        state.by_step.clear();
        state.chance = None;
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        locked(&self.state).calls.clone()
    }

    /// Every step that was taken, and how often.
    pub fn steps(&self) -> BTreeMap<Step, usize> {
        locked(&self.state).steps.clone()
    }

    /// Every mishap that happened to a step, and how often.
    pub fn met(&self) -> BTreeMap<(Step, InjectedFault), u64> {
        locked(&self.state).met.clone()
    }

    /// The runs that met a mishap.
    pub fn faulted_runs(&self) -> BTreeSet<u64> {
        locked(&self.state).faulted_runs.clone()
    }

    /// From here on nothing goes wrong, until whoever asked for it says [`Script::resume`].
    pub fn pause(&self) {
        locked(&self.state).paused += 1;
    }

    pub fn resume(&self) {
        locked(&self.state).paused -= 1;
    }

    /// Begins to write down what happens.
    pub fn record(&self) {
        locked(&self.state).transcript.get_or_insert_default();
    }

    /// What was written down.
    pub fn transcript(&self) -> Vec<String> {
        locked(&self.state).transcript.clone().unwrap_or_default()
    }

    /// Adds a line, if anybody reads it.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut locked(&self.state).transcript {
            let line = line();
            transcript.push(line);
        }
    }

    /// Adds who calls what, and what goes wrong.
    pub(crate) fn note_call(&self, run: Option<&Run>, call: &str, injected: Option<InjectedFault>) {
        self.note(|| {
            let by = run.map_or_else(String::new, |run| format!("run {}: ", run.number));
            injected.map_or_else(|| format!("      {by}{call}"), |injected| format!("      {by}{call}  <- {injected:?}"))
        });
    }

    /// Records a call and says what goes wrong with it.
    pub(crate) fn enter(&self, run: Option<&Run>, call: &'static str) -> Option<InjectedFault> {
        let mut state = locked(&self.state);
        let count = state.counts.entry(call.to_owned()).or_default();
        let nth = std::mem::replace(count, *count + 1);
        state.calls.push(call);
        let step = run.map(|run| (run.label, call));
        let nth_step = step.map(|step| {
            let count = state.steps.entry(step).or_default();
            (step, std::mem::replace(count, *count + 1))
        });
        if state.paused > 0 {
            return None;
        }
        let given = state.by_call.get(&(call.to_owned(), nth)).or_else(|| state.by_call.get(&(call.to_owned(), usize::MAX)));
        let always = step.and_then(|step| state.by_step.get(&(step, usize::MAX)));
        let given = given.or_else(|| nth_step.and_then(|key| state.by_step.get(&key))).or(always).copied();
        let injected = given.or_else(|| state.chance.as_mut().and_then(|chance| chance.roll(call)));
        if let (Some(step), Some(injected)) = (step, injected) {
            *state.met.entry((step, injected)).or_default() += 1;
            state.faulted_runs.extend(run.map(|run| run.number));
        }
        injected
    }
}

impl Chance {
    fn roll(&mut self, call: &str) -> Option<InjectedFault> {
        if self.random.u32(0..1000) >= self.per_mille {
            return None;
        }
        let possible: Vec<InjectedFault> = InjectedFault::ALL.into_iter().filter(|injected| injected.applies_to(call)).collect();
        self.random.choice(possible)
    }
}
