//! Does the jobs that are due: asks AWS about connections and tests their roles. The store keeps what follows.

use std::time::Duration;

use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    Console,
    confirm::{self, Due, Question, Resources, wrong_external_ids},
    job::{CLAIMS_MAX, CONCURRENT_MAX, Job, Kind, QUEUES, TIMEOUT},
    problem::{Problem, ProblemCode},
    random,
    role_test::{ASSUME, PACKS, STACK, Step},
    store::{Delivery, StoreError},
    webhook::{self, attempt::Outcome, schedule::Jitter},
};

/// Between two looks for jobs that are due, where nothing says that there is one.
const PAUSE: Duration = Duration::from_secs(5);
/// Two calls to AWS, each of which tries again by itself.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// Some dozen calls, a few at a time; what is not answered by then is not known.
const PROBES_TIMEOUT: Duration = Duration::from_secs(90);

/// A job that the database, or the time, kept from its end is done again after this long.
const POSTPONED: time::Duration = time::Duration::minutes(1);

/// Between two looks for what is kept for a time only.
const FORGET_PAUSE: Duration = Duration::from_secs(60);

/// Does every job when it is due, until the console ends.
pub async fn work(console: Console) {
    let forget = async {
        loop {
            if let Err(error) = console.store.forget((console.clock)()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
            }
            tokio::time::sleep(FORGET_PAUSE).await;
        }
    };
    let [first, second] = [0, 1].map(|queue| serve(&console, queue));
    tokio::join!(forget, first, second);
}

/// Does every job of one queue when it is due, and as many of them at once as may be.
async fn serve(console: &Console, queue: usize) {
    let (kinds, signal) = (QUEUES[queue], console.signal.of(queue));
    let mut working = JoinSet::new();
    loop {
        let free = CONCURRENT_MAX - i64::try_from(working.len()).unwrap_or(i64::MAX);
        match console.store.claim(kinds, free, (console.clock)()).await {
            Ok(jobs) => {
                for job in jobs {
                    working.spawn(attempt(console.clone(), job));
                }
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database"),
        }
        let is_full = working.len() >= usize::try_from(CONCURRENT_MAX).unwrap_or(usize::MAX);
        tokio::select! {
            ended = working.join_next(), if !working.is_empty() => {
                report(ended);
                // What it did may be news for an endpoint.
                console.signal.wake();
            }
            () = signal.notified(), if !is_full => {}
            () = tokio::time::sleep(PAUSE), if !is_full => {}
        }
    }
}

/// A job that fails, or panics, has ended nothing: it is taken again once its lease is over.
fn report(ended: Option<Result<Result<(), StoreError>, JoinError>>) {
    match ended {
        Some(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "a job panicked"),
        Some(Ok(Err(error))) => tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database"),
        Some(Ok(Ok(()))) | None => {}
    }
}

/// Does every job that is due now, and those that follow from them.
///
/// # Errors
/// The database's.
pub async fn once(console: &Console) -> Result<(), StoreError> {
    console.store.forget((console.clock)()).await?;
    loop {
        let mut jobs = Vec::new();
        for kinds in QUEUES {
            jobs.extend(console.store.claim(kinds, CONCURRENT_MAX, (console.clock)()).await?);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            attempt(console.clone(), job).await?;
        }
    }
}

/// One job, within its time. One that takes longer is taken again once its lease is over.
async fn attempt(console: Console, job: Job) -> Result<(), StoreError> {
    if job.claims > CLAIMS_MAX {
        tracing::error!("job.kind" = job.kind.as_str(), "job.subject" = job.subject, "laid aside: it never came to an end");
        return console.store.bury(&job, (console.clock)()).await;
    }
    let done = match job.kind {
        Kind::Verify => timeout(TIMEOUT.unsigned_abs(), verify(&console, &job)).await,
        Kind::Deliver => timeout(TIMEOUT.unsigned_abs(), deliver(&console, &job)).await,
        Kind::Listen => Ok(console.store.listen(&job, (console.clock)()).await),
    };
    match done {
        Ok(Ok(())) => Ok(()),
        // The database's trouble, or AWS's, is no fault of the job's: it kills nobody.
        Ok(Err(error)) => {
            console.store.postpone(&job, (console.clock)() + POSTPONED).await?;
            Err(error)
        }
        Err(_) => {
            tracing::warn!("job.kind" = job.kind.as_str(), "job.subject" = job.subject, "given up: it took too long");
            console.store.postpone(&job, (console.clock)() + POSTPONED).await
        }
    }
}

/// Posts an event to an endpoint, and keeps what came of it.
async fn deliver(console: &Console, job: &Job) -> Result<(), StoreError> {
    let Some(delivery) = console.store.delivery(job).await? else { return console.store.drop_job(job).await };
    let jitter = random::bytes().map_or(Jitter::NONE, |bytes| Jitter::new(u16::from_le_bytes(bytes)));
    let Delivery { endpoint, event, number } = &delivery;
    let attempt = webhook::deliver(console.webhooks.as_ref(), endpoint, event, *number, (console.clock)()).await;
    if let Outcome::Failure { kind, status, .. } = &attempt.outcome {
        tracing::warn!("endpoint.id" = %endpoint.id, "event.id" = %event.id(), number, failure = kind.as_str(), status, "webhook not delivered");
    }
    console.store.delivered(job, &delivery, &attempt, jitter, (console.clock)()).await
}

/// Asks AWS whether the connection is what its stack says, and tries its role.
async fn verify(console: &Console, job: &Job) -> Result<(), StoreError> {
    let Some(due) = console.store.due(job, (console.clock)()).await? else { return console.store.drop_job(job).await };
    let outcome = test(console, &due).await;
    let (id, stack) = (&due.connection.id, &due.connection.stack_id);
    if let Some(own) = due.doubt(&outcome.confirmed)
        && ask(console, own).await.is_ok_and(|(resources, _)| due.has_own_role(own, &resources))
    {
        tracing::info!("connection.id" = id, "stack.id" = stack, "the stack has its earlier role again");
        return console.store.forget_candidate(&due, (console.clock)()).await;
    }
    match &outcome.confirmed {
        Ok(_) => tracing::info!("connection.id" = id, "stack.id" = stack, "connection confirmed"),
        Err(problem) => {
            tracing::warn!(code = problem.code(), "connection.id" = id, "stack.id" = stack, "connection not confirmed");
        }
    }
    for problem in outcome.steps.iter().filter_map(|step| step.problem.as_ref()) {
        tracing::info!(code = problem.code(), "connection.id" = id, "stack.id" = stack, "the role did not pass its test");
    }
    console.store.conclude(&due, outcome, (console.clock)()).await
}

/// Tries the role step by step, and ends where there is nothing more to try (F-63).
async fn test(console: &Console, due: &Due) -> confirm::Outcome {
    let (resources, external_id) = match ask(console, &due.question).await {
        Ok(answer) => answer,
        Err(problem) => {
            let is_unreadable = problem.is(ProblemCode::StackUnreadable.as_str(), "");
            let assumed = is_unreadable.then(|| Step::passed(ASSUME));
            let name = if is_unreadable { STACK } else { ASSUME };
            let steps = assumed.into_iter().chain([Step::failed(name, problem.clone())]).collect();
            return confirm::Outcome { confirmed: Err(problem), steps };
        }
    };
    let mut steps = vec![Step::passed(ASSUME)];
    if let Err(problem) = due.judge(&resources) {
        steps.push(Step::failed(STACK, problem.clone()));
        return confirm::Outcome { confirmed: Err(problem), steps };
    }
    if due.question.reads_stack {
        steps.push(Step::passed(STACK));
    }
    for (name, wrong, what) in wrong_external_ids(&external_id) {
        let asked = timeout(ASK_TIMEOUT, console.aws.can_assume(&due.question, wrong.as_deref())).await;
        steps.push(match asked.unwrap_or_else(|_| Err(Problem::new(ProblemCode::Unavailable, ""))) {
            Ok(false) => Step::passed(name),
            Ok(true) => Step::failed(name, Problem::new(ProblemCode::RoleOpen, what)),
            Err(problem) => Step::failed(name, problem),
        });
    }
    let with_its_id = Question { external_id: external_id.clone(), ..due.question.clone() };
    match timeout(PROBES_TIMEOUT, console.aws.try_packs(&with_its_id, &due.packs())).await {
        Ok(Ok(tried)) => steps.extend(tried.into_iter().map(Step::from)),
        // The role was assumed a moment ago.
        Ok(Err(problem)) => steps.push(Step::unknown(PACKS, problem)),
        Err(_) => steps.push(Step::unknown(PACKS, Problem::new(ProblemCode::Unavailable, ""))),
    }
    confirm::Outcome { confirmed: Ok(external_id), steps }
}

/// What AWS answers, and the external ID that the role has. Where it refuses the newest one, the earlier ones are tried.
async fn ask(console: &Console, question: &Question) -> Result<(Resources, String), Problem> {
    let mut refused = None;
    for external_id in [&question.external_id].into_iter().chain(&question.earlier_ids) {
        let question = Question { external_id: external_id.clone(), ..question.clone() };
        let asked = timeout(ASK_TIMEOUT, console.aws.resources(&question)).await;
        match asked.unwrap_or_else(|_| Err(Problem::new(ProblemCode::Unavailable, ""))) {
            Ok(resources) => return Ok((resources, external_id.clone())),
            // Of several refusals the first is told: it is about the ID that should work.
            Err(problem) if problem.is_refusal() => _ = refused.get_or_insert(problem),
            Err(problem) => return Err(problem),
        }
    }
    Err(refused.unwrap_or_else(|| Problem::new(ProblemCode::Unavailable, "")))
}
