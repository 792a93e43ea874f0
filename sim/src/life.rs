//! What happens to stacks: operations in order, several stacks at once, in an account with a past.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    account::Lags,
    actors::Actor,
    cloudformation::Showing,
    exchange::Exchange,
    lambda::Deliveries,
    script::{InjectedFault, Script, Step},
    stack::{BILLING, Cancellation, Parameters, Stack, Status},
    third_party::ThirdPartyState,
    world::World,
};
use hawser_account::{AccountFile, AccountState, Freedoms};

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Op {
    /// The stack is created with these parameters, and perhaps told to give up.
    Create(Parameters, Option<Cancellation>),
    /// The stack is updated to these parameters, and perhaps told to give up.
    Update(Parameters, Option<Cancellation>),
    /// AWS delivers data for every report and every export.
    Deliver,
    /// AWS adds a column to every table of Data Exports.
    Grow,
    Wait(Duration),
    /// Time goes by until no event is under way.
    Rest,
}

/// What happens to one stack. A Delete ends it.
#[derive(Debug, Clone)]
pub struct StackScenario {
    pub name: String,
    /// In this order.
    pub ops: Vec<Op>,
    /// How events reach the function.
    pub deliveries: Deliveries,
    /// CloudFormation's express mode, without rollback.
    pub express: bool,
}

/// What happens in one account.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    /// What is there before.
    pub account: AccountFile,
    /// How slow AWS is.
    pub lags: Lags,
    /// What AWS chooses where it is free to.
    pub freedoms: Freedoms,
    /// What goes wrong in it in any case, the first time.
    pub always: Option<(Step, InjectedFault)>,
    /// What others do meanwhile.
    pub actor: Option<Actor>,
    /// How CloudFormation shows what AWS does not say.
    pub showing: Showing,
    /// The stacks, all at once.
    pub stacks: Vec<StackScenario>,
}

impl Scenario {
    /// A life of one stack in an empty account, without lags, others or repetitions.
    pub fn of_one(name: &str, ops: Vec<Op>) -> Self {
        let stack = StackScenario { name: "acme".to_owned(), ops, deliveries: Deliveries::Plain, express: false };
        let account = AccountFile::default();
        Self {
            name: name.to_owned(),
            account,
            lags: Lags::default(),
            freedoms: Freedoms::default(),
            always: None,
            actor: None,
            showing: Showing::default(),
            stacks: vec![stack],
        }
    }

    /// Whether every stack keeps its data, always.
    pub fn keeps_data(&self) -> bool {
        self.parameters().all(|parameters| parameters.get("Retention").is_some_and(|retention| retention == "Retain"))
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameters> {
        let ops = self.stacks.iter().flat_map(|stack| &stack.ops);
        ops.filter_map(|op| match op {
            Op::Create(parameters, _) | Op::Update(parameters, _) => Some(parameters),
            Op::Deliver | Op::Grow | Op::Wait(_) | Op::Rest => None,
        })
    }

    /// Whether any stack ever asks for past months.
    pub fn asks_for_backfill(&self) -> bool {
        self.parameters().any(|parameters| parameters.get("RequestBackfill").is_some_and(|asked| asked == "true"))
    }

    /// Whether any operation is told to give up.
    pub fn has_cancellation(&self) -> bool {
        let mut ops = self.stacks.iter().flat_map(|stack| &stack.ops);
        ops.any(|op| matches!(op, Op::Create(_, Some(_)) | Op::Update(_, Some(_))))
    }
}

/// What became of one stack.
#[derive(Debug, Clone)]
pub struct StackRun {
    pub id: String,
    /// How each of its operations ended; the last one is its Delete.
    pub statuses: Vec<Status>,
    /// How what was stuck went on when nothing went wrong any more.
    pub recovered: Vec<(&'static str, Status)>,
    /// Its status at the very end.
    pub status: String,
    /// What the stack said it had, and the account, just before the Delete.
    pub steady_state: SteadyState,
    pub exchanges: Vec<Exchange>,
    /// The vendor still shows it as connected.
    pub connected: bool,
}

/// A stack before its Delete.
#[derive(Debug, Clone)]
pub struct SteadyState {
    /// `StackStatus`
    pub status: String,
    /// The billing export's attributes, as GetAtt reads them.
    pub export: Map<String, Value>,
    pub state: AccountState,
}

/// What a life left behind.
#[derive(Debug)]
pub struct ScenarioRun {
    pub stacks: Vec<StackRun>,
    pub state: AccountState,
    /// What others must still have.
    pub third_party: ThirdPartyState,
    /// What was done that must never be done.
    pub violations: Vec<String>,
    /// The world, for its uploads and notices.
    pub world: World,
}

/// Lives a life while things go wrong as `inject` says; then nothing goes wrong any more, and everything that is left is
/// deleted. Must run on a paused tokio clock.
pub async fn run_scenario(scenario: &Scenario, inject: impl FnOnce(&Script)) -> ScenarioRun {
    let world = World::new(scenario.account.clone());
    world.account.set_lags(scenario.lags);
    world.cloudformation.show(scenario.showing);
    world.account.set_freedoms(scenario.freedoms.clone());
    if let Some(actor) = &scenario.actor {
        world.account.start_actor(actor.clone());
    }
    if let Some((step, injected)) = scenario.always {
        world.script.inject_at_step(step, 0, injected);
    }
    inject(&world.script);
    let scenarios = scenario.stacks.iter().map(|stack| drive(&world, stack));
    let mut driven = futures::future::join_all(scenarios).await;
    world.script.note(|| format!("{} -- from here on nothing goes wrong any more", world.now()));
    world.script.clear_faults();
    world.account.stop_actor();
    let mut stacks = Vec::new();
    for Driven { stack, statuses, recovered, steady_state } in &mut driven {
        stack.drain_runs().await;
        stack.deliveries = Deliveries::Plain;
        if stack.status() != "DELETE_COMPLETE" {
            recovered.push(("Delete", stack.delete().await));
        }
        stack.drain_runs().await;
        stacks.push(StackRun {
            id: stack.id().to_owned(),
            statuses: std::mem::take(statuses),
            recovered: std::mem::take(recovered),
            status: stack.status(),
            steady_state: steady_state.clone(),
            exchanges: stack.exchanges(),
            connected: world.vendor.connected().contains_key(stack.id()),
        });
    }
    let (state, third_party, violations) = (world.account.state(), world.account.third_party(), world.account.violations());
    ScenarioRun { stacks, state, third_party, violations, world }
}

struct Driven {
    stack: Stack,
    statuses: Vec<Status>,
    recovered: Vec<(&'static str, Status)>,
    steady_state: SteadyState,
}

async fn drive(world: &World, scenario: &StackScenario) -> Driven {
    let mut stack = Stack::new(world, &scenario.name);
    stack.deliveries = scenario.deliveries.clone();
    stack.express = scenario.express;
    let (mut statuses, mut recovered) = (Vec::new(), Vec::new());
    for op in &scenario.ops {
        match op {
            Op::Create(parameters, truncated) => {
                statuses.push(stack.create_cancelled_by(parameters.clone(), *truncated).await);
                if statuses.last() != Some(&Status::Complete) {
                    break;
                }
            }
            Op::Update(parameters, truncated) => {
                statuses.push(stack.update_cancelled_by(parameters.clone(), *truncated).await);
                if statuses.last() == Some(&Status::Failed) {
                    if scenario.express {
                        break;
                    }
                    recovered.push(("ContinueUpdateRollback", recover(world, &mut stack).await));
                }
            }
            Op::Deliver => world.account.deliver(),
            Op::Grow => world.account.grow_tables(),
            Op::Wait(time) => tokio::time::sleep(*time).await,
            Op::Rest => stack.drain_runs().await,
        }
    }
    let steady_state = SteadyState { status: stack.status(), export: stack.attributes(BILLING), state: world.account.state() };
    statuses.push(stack.delete().await);
    // What comes late comes while things still go wrong.
    stack.drain_runs().await;
    Driven { stack, statuses, recovered, steady_state }
}

/// A person mends what went wrong and lets the rollback go on; if even that fails, without the resources that are left.
async fn recover(world: &World, stack: &mut Stack) -> Status {
    world.script.pause();
    let deliveries = std::mem::take(&mut stack.deliveries);
    let status = stack.continue_update_rollback(false).await;
    if status == Status::Failed {
        stack.continue_update_rollback(true).await;
    }
    stack.deliveries = deliveries;
    world.script.resume();
    status
}

/// Lives a life on a clock of its own.
///
/// # Errors
/// The runtime's, if the machine has no resources for one.
pub fn run_isolated(scenario: &Scenario, inject: impl FnOnce(&Script)) -> std::io::Result<ScenarioRun> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(run_scenario(scenario, inject)))
}
