//! What happens to stacks: operations in order, several stacks at once, in an account with a past.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    World,
    account::{AccountFile, Lags, Things},
    actors::{Actor, Promises},
    lambda::Deliveries,
    script::Script,
    stack::{BILLING, Cut, Exchange, Parameters, Stack, Status},
};

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Op {
    /// The stack is created with these parameters, and perhaps told to give up.
    Create(Parameters, Option<Cut>),
    /// The stack is updated to these parameters, and perhaps told to give up.
    Update(Parameters, Option<Cut>),
    /// AWS delivers data for every report and every export.
    Deliver,
    /// AWS adds a column to every table of Data Exports.
    Grow,
    /// Time goes by.
    Wait(Duration),
    /// Time goes by until no event is under way.
    Rest,
}

/// What happens to one stack. A Delete ends it.
#[derive(Debug, Clone)]
pub struct StackLife {
    /// The stack's name.
    pub name: String,
    /// In this order.
    pub ops: Vec<Op>,
    /// How events reach the function.
    pub deliveries: Deliveries,
}

/// What happens in one account.
#[derive(Debug, Clone)]
pub struct Life {
    /// For messages.
    pub name: String,
    /// What is there before.
    pub account: AccountFile,
    /// How slow AWS is.
    pub lags: Lags,
    /// What others do meanwhile.
    pub actor: Option<Actor>,
    /// The stacks, all at once.
    pub stacks: Vec<StackLife>,
}

impl Life {
    /// A life of one stack in an empty account, without lags, others or repetitions.
    pub fn of_one(name: &str, ops: Vec<Op>) -> Self {
        let stack = StackLife { name: "acme".to_owned(), ops, deliveries: Deliveries::Plain };
        let account = AccountFile::default();
        Self { name: name.to_owned(), account, lags: Lags::default(), actor: None, stacks: vec![stack] }
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
    pub fn is_cut(&self) -> bool {
        let mut ops = self.stacks.iter().flat_map(|stack| &stack.ops);
        ops.any(|op| matches!(op, Op::Create(_, Some(_)) | Op::Update(_, Some(_))))
    }
}

/// What became of one stack.
#[derive(Debug, Clone)]
pub struct StackLived {
    /// Its ARN.
    pub id: String,
    /// How each of its operations ended; the last one is its Delete.
    pub statuses: Vec<Status>,
    /// How what was stuck went on when nothing went wrong any more.
    pub healed: Vec<(&'static str, Status)>,
    /// Its status at the very end.
    pub status: String,
    /// What the stack said it had, and the account, just before the Delete.
    pub alive: Alive,
    /// Every request.
    pub exchanges: Vec<Exchange>,
    /// The vendor still shows it as connected.
    pub connected: bool,
}

/// A stack before its Delete.
#[derive(Debug, Clone)]
pub struct Alive {
    /// `StackStatus`
    pub status: String,
    /// The billing export's attributes, as GetAtt reads them.
    pub export: Map<String, Value>,
    /// The account.
    pub things: Things,
}

/// What a life left behind.
#[derive(Debug)]
pub struct Lived {
    /// The stacks.
    pub stacks: Vec<StackLived>,
    /// The account.
    pub things: Things,
    /// What others must still have.
    pub promises: Promises,
    /// What was done that must never be done.
    pub offences: Vec<String>,
    /// The world, for its uploads and notices.
    pub world: World,
}

/// Lives a life while things go wrong as `spoil` says; then nothing goes wrong any more, and everything that is left is
/// deleted. Must run on a paused tokio clock.
pub async fn live(life: &Life, spoil: impl FnOnce(&Script)) -> Lived {
    let world = World::new(life.account.clone());
    world.account.set_lags(life.lags);
    if let Some(actor) = &life.actor {
        world.account.let_act(actor.clone());
    }
    spoil(&world.script);
    let lives = life.stacks.iter().map(|stack| drive(&world, stack));
    let mut driven = futures::future::join_all(lives).await;
    world.script.note(|| format!("{} -- from here on nothing goes wrong any more", world.now()));
    world.script.heal();
    world.account.let_rest();
    let mut stacks = Vec::new();
    for Driven { stack, statuses, healed, alive } in &mut driven {
        stack.come_to_rest().await;
        stack.deliveries = Deliveries::Plain;
        if stack.status() != "DELETE_COMPLETE" {
            healed.push(("Delete", stack.delete().await));
        }
        stack.come_to_rest().await;
        stacks.push(StackLived {
            id: stack.id().to_owned(),
            statuses: std::mem::take(statuses),
            healed: std::mem::take(healed),
            status: stack.status(),
            alive: alive.clone(),
            exchanges: stack.exchanges(),
            connected: world.vendor.connected().contains_key(stack.id()),
        });
    }
    let (things, promises, offences) = (world.account.things(), world.account.promises(), world.account.offences());
    Lived { stacks, things, promises, offences, world }
}

struct Driven {
    stack: Stack,
    statuses: Vec<Status>,
    healed: Vec<(&'static str, Status)>,
    alive: Alive,
}

async fn drive(world: &World, life: &StackLife) -> Driven {
    let mut stack = Stack::new(world, &life.name);
    stack.deliveries = life.deliveries.clone();
    let (mut statuses, mut healed) = (Vec::new(), Vec::new());
    for op in &life.ops {
        match op {
            Op::Create(parameters, cut) => {
                statuses.push(stack.create_cut(parameters.clone(), *cut).await);
                if statuses.last() != Some(&Status::Complete) {
                    break;
                }
            }
            Op::Update(parameters, cut) => {
                statuses.push(stack.update_cut(parameters.clone(), *cut).await);
                if statuses.last() == Some(&Status::Failed) {
                    healed.push(("ContinueUpdateRollback", unstick(world, &mut stack).await));
                }
            }
            Op::Deliver => world.account.deliver(),
            Op::Grow => world.account.grow_tables(),
            Op::Wait(time) => tokio::time::sleep(*time).await,
            Op::Rest => stack.come_to_rest().await,
        }
    }
    let alive = Alive { status: stack.status(), export: stack.attributes(BILLING), things: world.account.things() };
    statuses.push(stack.delete().await);
    // What comes late comes while things still go wrong.
    stack.come_to_rest().await;
    Driven { stack, statuses, healed, alive }
}

/// A person mends what went wrong and lets the rollback go on; if even that fails, without the resources that are left.
async fn unstick(world: &World, stack: &mut Stack) -> Status {
    world.script.pause(true);
    let deliveries = std::mem::take(&mut stack.deliveries);
    let status = stack.continue_update_rollback(false).await;
    if status == Status::Failed {
        stack.continue_update_rollback(true).await;
    }
    stack.deliveries = deliveries;
    world.script.pause(false);
    status
}

/// Lives a life on a clock of its own.
///
/// # Errors
/// The runtime's, if the machine has no resources for one.
pub fn live_alone(life: &Life, spoil: impl FnOnce(&Script)) -> std::io::Result<Lived> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(live(life, spoil)))
}
