//! Asks AWS about the connections that wait for its word, one after the other; the store keeps what follows.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    Console,
    confirm::{Confirmed, Problem, ProblemCode, Question, Resources, wrong_external_ids},
    store::StoreError,
};

/// Between two looks for connections that are due, where nothing says that there is one.
const PAUSE: Duration = Duration::from_secs(5);
/// Two calls to AWS, each of which tries again by itself.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks about every connection that is due, until the console ends.
pub async fn work(console: Console) {
    loop {
        if let Err(error) = once(&console).await {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to use the database");
        }
        let _ = timeout(PAUSE, console.announced.notified()).await;
    }
}

/// Asks about every connection that is due now.
///
/// # Errors
/// The database's.
pub async fn once(console: &Console) -> Result<(), StoreError> {
    console.store.forget((console.clock)()).await?;
    for due in console.store.due((console.clock)()).await? {
        let outcome = ask(console, &due.question).await.and_then(|(resources, id)| due.judge(&resources).map(|()| id));
        let (id, stack) = (&due.connection.id, &due.connection.stack_id);
        if let Some(own) = due.doubt(&outcome)
            && ask(console, own).await.is_ok_and(|(resources, _)| due.has_own_role(own, &resources))
        {
            tracing::info!("connection.id" = id, "stack.id" = stack, "the stack has its earlier role again");
            console.store.forget_candidate(&due, (console.clock)()).await?;
            continue;
        }
        let outcome = match outcome {
            Ok(external_id) => {
                tracing::info!("connection.id" = id, "stack.id" = stack, "connection confirmed");
                let problem = open_role(console, &due.question, &external_id).await;
                if let Some(problem) = &problem {
                    tracing::warn!(code = problem.code(), "connection.id" = id, "stack.id" = stack, "the role is open");
                }
                Ok(Confirmed { external_id, problem })
            }
            Err(problem) => {
                tracing::warn!(code = problem.code(), "connection.id" = id, "stack.id" = stack, "connection not confirmed");
                Err(problem)
            }
        };
        console.store.conclude(&due, outcome, (console.clock)()).await?;
    }
    Ok(())
}

/// The problem of a role that an external ID opens which is not its own. Where AWS does not answer nothing is said.
async fn open_role(console: &Console, question: &Question, external_id: &str) -> Option<Problem> {
    for (wrong, what) in wrong_external_ids(external_id) {
        let asked = timeout(ASK_TIMEOUT, console.aws.can_assume(question, wrong.as_deref())).await;
        if let Ok(Ok(true)) = asked {
            return Some(Problem::new(ProblemCode::RoleOpen, what));
        }
    }
    None
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
