//! Does the jobs that are due: asks AWS about connections and tests their roles. The store keeps what follows.

use std::time::Duration;

use tokio::{task::JoinSet, time::timeout};

use crate::{
    Console,
    confirm::{Due, Outcome, Question, Resources, wrong_external_ids},
    job::{CLAIMS_MAX, Job, Kind, TIMEOUT},
    problem::{Problem, ProblemCode},
    role_test::{ASSUME, STACK, Step},
    store::StoreError,
};

/// Between two looks for jobs that are due, where nothing says that there is one.
const PAUSE: Duration = Duration::from_secs(5);
/// Two calls to AWS, each of which tries again by itself.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Does every job when it is due, until the console ends.
pub async fn work(console: Console) {
    loop {
        if let Err(error) = once(&console).await {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
        }
        let _ = timeout(PAUSE, console.announced.notified()).await;
    }
}

/// Does every job that is due now.
///
/// # Errors
/// The database's.
pub async fn once(console: &Console) -> Result<(), StoreError> {
    console.store.forget((console.clock)()).await?;
    loop {
        let jobs = console.store.claim((console.clock)()).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        let mut working = JoinSet::new();
        for job in jobs {
            working.spawn(attempt(console.clone(), job));
        }
        // One that panics has ended nothing: it is taken again once its lease is over.
        while let Some(ended) = working.join_next().await {
            if let Ok(ended) = ended {
                ended?;
            }
        }
    }
}

/// One job, within its time. One that takes longer is taken again once its lease is over.
async fn attempt(console: Console, job: Job) -> Result<(), StoreError> {
    if job.claims > CLAIMS_MAX {
        tracing::error!("job.kind" = job.kind.as_str(), "connection.id" = job.subject, "laid aside: it never came to an end");
        return console.store.bury(&job, (console.clock)()).await;
    }
    let done = match job.kind {
        Kind::Verify => timeout(TIMEOUT.unsigned_abs(), verify(&console, &job)).await,
        Kind::Listen => Ok(console.store.listen(&job, (console.clock)()).await),
    };
    done.unwrap_or_else(|_| {
        tracing::warn!("job.kind" = job.kind.as_str(), "connection.id" = job.subject, "given up: it took too long");
        Ok(())
    })
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

/// Tries the role step by step, and ends where there is nothing more to try.
async fn test(console: &Console, due: &Due) -> Outcome {
    let (resources, external_id) = match ask(console, &due.question).await {
        Ok(answer) => answer,
        Err(problem) => {
            let is_unreadable = problem.is(ProblemCode::StackUnreadable.as_str(), "");
            let assumed = is_unreadable.then(|| Step::passed(ASSUME));
            let name = if is_unreadable { STACK } else { ASSUME };
            let steps = assumed.into_iter().chain([Step::failed(name, problem.clone())]).collect();
            return Outcome { confirmed: Err(problem), steps };
        }
    };
    let mut steps = vec![Step::passed(ASSUME)];
    if let Err(problem) = due.judge(&resources) {
        steps.push(Step::failed(STACK, problem.clone()));
        return Outcome { confirmed: Err(problem), steps };
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
    Outcome { confirmed: Ok(external_id), steps }
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
            Err(problem) if problem.code() == ProblemCode::RoleRefused.as_str() => _ = refused.get_or_insert(problem),
            Err(problem) => return Err(refused.unwrap_or(problem)),
        }
    }
    Err(refused.unwrap_or_else(|| Problem::new(ProblemCode::Unavailable, "")))
}
