//! One harmless call per statement of the granted packs, made with the session of the customer's role.
//!
//! 1. [`granted`]: the statements that a connection's packs have, each with its probe or the reason why it has none (`data`).
//! 2. [`request()`]: the probe as an HTTP request.
//! 3. [`Aws::call`]: signed and sent by [`Caller`].
//! 4. [`judge`]: allowed, denied, or an answer that says nothing about the permission; `denial`: by which policy, and who can change it.
//!
//! 1, 2 and 4 are pure. [`run`] does all of it.

mod answer;
mod caller;
mod data;
mod denial;
mod request;

pub use answer::{Answer, Outcome, judge};
pub use caller::{Aws, Caller, NoAnswer};
pub use data::{How, Mode, Probe, Statement, granted, statements};
pub use denial::{Finding, FindingCode};
pub use request::{BillingBucket, NotTried, Place, Request, request};

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};

/// Few, because throttled calls of the vendor's are throttled calls of the customer's.
const CALLS_AT_ONCE: usize = 4;
/// Before the second try, which is the last.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of one statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    pub statement: &'static Statement,
    /// AWS's answer, or why it was not asked.
    pub result: Result<Outcome, NotTried>,
}

impl Tried {
    /// Whether a permission is missing without which the pack is of no use.
    pub fn lacks_required(&self) -> bool {
        let is_required = matches!(&self.statement.how, How::Probe(probe) if probe.required);
        is_required && matches!(self.result, Ok(Outcome::Denied(_)))
    }
}

/// Tries each statement of the granted packs (`data.packs` of the notice) at one place, and returns them in the order of the template.
/// Reads only, and retries once what was throttled or failed at AWS.
pub async fn run(aws: &dyn Aws, place: &Place, packs: &BTreeMap<String, String>) -> Vec<Tried> {
    run_some(aws, place, granted(packs)).await
}

/// The same with some of the statements.
pub async fn run_some(
    aws: &dyn Aws,
    place: &Place,
    statements: impl IntoIterator<Item = &'static Statement> + Send,
) -> Vec<Tried> {
    let tried: Vec<_> = statements.into_iter().map(|statement| try_one(aws, place, statement)).collect();
    stream::iter(tried).buffered(CALLS_AT_ONCE).collect().await
}

async fn try_one(aws: &dyn Aws, place: &Place, statement: &'static Statement) -> Tried {
    Tried { statement, result: try_out(aws, place, statement).await }
}

async fn try_out(aws: &dyn Aws, place: &Place, statement: &Statement) -> Result<Outcome, NotTried> {
    let How::Probe(probe) = &statement.how else { return Err(NotTried::NoProbe) };
    let request = request(probe, place)?;
    let (outcome, again) = ask(aws, probe, &request).await;
    if !again {
        return Ok(outcome);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(ask(aws, probe, &request).await.0)
}

/// The outcome, and whether another try may have another.
async fn ask(aws: &dyn Aws, probe: &Probe, request: &Request) -> (Outcome, bool) {
    match aws.call(request).await {
        Ok(answer) => {
            let outcome = judge(probe, &answer);
            let again = answer.status >= 500 || matches!(outcome, Outcome::Throttled(_));
            (outcome, again)
        }
        Err(NoAnswer(why)) => (Outcome::Unavailable(Finding::new(FindingCode::Unanswered, why)), false),
    }
}
