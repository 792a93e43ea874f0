//! The story of one event: parse, observe, plan, execute, reply.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;
use tracing::{error, info, warn};

use crate::{
    billing::{
        self, Export, Id, Kind, Retention,
        execute::{Halt, execute},
        facts::Facts,
        observe::{Doomed, doomed, observe, observe_removal},
        plan,
    },
    connection, delivery,
    error::{Blame, Code, Failure},
    names::{NamePrefix, ResponseUrl, one_line},
    ports::Ports,
    protocol::{
        envelope::{Envelope, Unanswerable},
        lifecycle::{is_on_its_way_back, is_unwanted},
        origin::{Origin, RequestType},
        reply::{Attributes, Verdict, nothing_made_id, render},
        retry::PATIENCE,
    },
    request::Request,
};

/// Kept free of work before the deadline: the upload of the response with several tries, of which the last still ends
/// [`SAFETY`] before the function is stopped (HW-A3, F-3).
const REPLY_RESERVE: Duration = Duration::from_secs(12);

/// A response leaves at least this long before the deadline.
const SAFETY: Duration = Duration::from_secs(2);

/// The share of the time left that the reply may take when a function is configured with little time: half.
const REPLY_SHARE: u32 = 2;

/// What is assumed when the deadline has passed already or cannot be one: some local runtimes send a duration in place
/// of a time. Shorter than any time-out this function is deployed with.
const BUDGET_UNKNOWN: Duration = Duration::from_secs(20);

/// The longest one upload may take; S3 answers in milliseconds.
const UPLOAD_LIMIT: Duration = Duration::from_secs(5);

/// First wait between uploads; doubled each time.
const UPLOAD_WAIT: Duration = Duration::from_millis(200);

/// How often a plan is made again because somebody else was faster. Once is what a duplicate delivery needs.
const RACES_MAX: u8 = 2;

/// No response reached CloudFormation: the only case in which Lambda should deliver the event again.
#[derive(Debug, Error)]
pub enum Unanswered {
    /// The event does not say where to.
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    /// The upload failed until time ran out.
    #[error("{}: the response could not be uploaded to `{host}`: {last}. {}", Code::ResponseUndelivered, Code::ResponseUndelivered.next_step())]
    Undelivered {
        /// Where to.
        host: String,
        /// How the last try ended.
        last: String,
    },
}

/// Why an event was not dealt with: the only cases in which Lambda should deliver it again.
#[derive(Debug, Error)]
pub enum Unhandled {
    /// CloudFormation has no response.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The vendor does not know how delivery fares.
    #[error("{0}")]
    Untold(Failure),
}

/// Deals with whatever event the function is invoked with: a request of CloudFormation's, or the schedule's heartbeat.
///
/// # Errors
/// [`Unhandled`]
pub async fn handle(event: &Value, invocation: &str, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unhandled> {
    if !delivery::is_heartbeat(event) {
        return Ok(answer(event, deadline, ports).await?);
    }
    let left = Duration::try_from(deadline - ports.clock.now()).ok().filter(|left| !left.is_zero()).unwrap_or(BUDGET_UNKNOWN);
    let beat = delivery::beat(event, invocation, ports.clock.now() + left, ports);
    within(left - SAFETY.min(left / REPLY_SHARE), beat, ports).await.map_err(Unhandled::Untold)
}

/// Answers one event, exactly once, before `deadline`.
///
/// # Errors
/// [`Unanswered`], and only then (HW-A5): after a response was delivered an error would make Lambda run the event again.
pub async fn answer(event: &Value, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unanswered> {
    let started = ports.clock.now();
    let (envelope, response_url) = Envelope::parse(event)?;
    if !response_url.is_familiar() {
        warn!(host = response_url.host(), "the response goes to a host that is not one of CloudFormation's");
    }
    let left = Duration::try_from(deadline - started).ok().filter(|left| !left.is_zero()).unwrap_or(BUDGET_UNKNOWN);
    let reserve = REPLY_RESERVE.min(left / REPLY_SHARE);
    let work_until = started + (left - reserve);
    let reply_until = started + left.saturating_sub(SAFETY.min(reserve / REPLY_SHARE));

    // The id is known before anything is tried, and outside of what may fail, so every ending answers with it.
    let request = catch_unwind(|| Request::parse(event)).unwrap_or_else(|_| Err(panicked()));
    let physical_id = request.as_ref().map_or_else(|_| kept_id(&envelope), physical_id);
    let outcome = match &request {
        Ok(request) => within(left - reserve, fulfil(request, work_until, ports), ports).await,
        Err(failure) => Err(failure.clone()),
    };
    let verdict = match outcome {
        Ok(Done { attributes, remarks }) => {
            let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
            Verdict::Success { physical_id, attributes, remark }
        }
        // A failed Update keeps the id it came with (HW-L2): another one would have CloudFormation delete something (F-2).
        Err(failure) => Verdict::Failed { physical_id: envelope.physical_resource_id.clone().unwrap_or(physical_id), failure },
    };
    log(&envelope, request.as_ref().ok(), &verdict, ports.clock.now() - started);
    deliver(response_url, &render(&envelope, &verdict), reply_until, ports).await?;
    if let Ok(request) = &request {
        take_back_if_unwanted(request, reply_until, ports).await;
    }
    Ok(())
}

/// Whatever becomes of the work, it ends: a panic is a failure, and so is the end of its time (HW-A3).
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>, ports: &Ports<'_>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        outcome = AssertUnwindSafe(work).catch_unwind() => outcome.unwrap_or_else(|_| Err(panicked())),
        () = ports.clock.sleep(limit) => {
            Err(Failure::new(Code::DeadlineExceeded, "the work was not done before the function's time ran out"))
        }
    }
}

/// A request that was fulfilled.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    attributes: Attributes,
    remarks: Vec<String>,
}

async fn fulfil(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Done, Failure> {
    match request {
        Request::Billing(origin, billing::Asked::Have { export, before }) => {
            plan::refuse_impossible(origin, export)?;
            let mut races = 0;
            loop {
                let facts = observe(origin, export, before.as_ref(), ports).await?;
                match have(origin, export, &facts, until, ports).await {
                    Ok(done) => return Ok(done),
                    Err(Halt::Raced(_)) if races < RACES_MAX => races += 1,
                    Err(Halt::Raced(failure) | Halt::Failed(failure)) => {
                        return go_back_without(origin, export, &facts, failure, until, ports).await;
                    }
                }
            }
        }
        Request::Billing(origin, billing::Asked::Remove { kind, retention, prefix }) => {
            remove(origin, *kind, *retention, prefix.as_ref(), until, ports).await
        }
        Request::Connection(origin, asked) => {
            let (attributes, remarks) = connection::fulfil(origin, asked, until, ports).await?;
            Ok(Done { attributes, remarks })
        }
    }
}

async fn have(origin: &Origin, export: &Export, facts: &Facts, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Done, Halt> {
    let plan = plan::plan(origin, export, facts, ports.clock.now())?;
    info!(decision = plan.sentence, account_role = facts.role.name().as_str(), "decided");
    let journal = execute(&plan, origin, until, ports).await?;
    let attributes = plan.attributes.into_iter().chain(journal.attributes).collect();
    Ok(Done { attributes, remarks: journal.remarks })
}

/// The account may have changed since the stack was as it is to be again, so that it cannot be had: ten reports by now, a
/// mark that was taken away. A stack that cannot go back is stuck, so it goes back without an export (HW-B7). What may pass
/// is a failure as ever: the rollback can be continued.
async fn go_back_without(
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    failure: Failure,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Done, Failure> {
    let lasting = failure.code.blame() == Blame::Customer && origin.request_type == RequestType::Update;
    if !lasting || !is_on_its_way_back(origin, ports).await {
        return Err(failure);
    }
    let plan = plan::plan_without(origin, export, facts, &failure)?;
    let journal = execute(&plan, origin, until, ports).await.map_err(Failure::from)?;
    let remarks = std::iter::once(format!("rolled back without a billing export: {failure}")).chain(journal.remarks).collect();
    Ok(Done { attributes: plan.attributes, remarks })
}

async fn remove(
    origin: &Origin,
    kind: Option<Kind>,
    retention: Retention,
    prefix: Option<&NamePrefix>,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Done, Failure> {
    let Doomed { ids, remark } = doomed(origin, prefix, ports).await?;
    let named = origin.physical_id.as_deref().and_then(|id| Id::recognise(origin, id)).map(|id| id.kind());
    let sure: Vec<Kind> = kind.into_iter().chain(named).collect();
    let found = observe_removal(origin, ids, &sure, ports).await?;
    let plan = plan::plan_removal(origin, &found.remains, retention)?;
    info!(decision = plan.sentence, "decided");
    let journal = execute(&plan, origin, until, ports).await?;
    Ok(Done { attributes: Attributes::new(), remarks: remark.into_iter().chain(found.remarks).chain(journal.remarks).collect() })
}

/// After a Create or an Update: a stack that gave up meanwhile has sent its Delete already, and nobody else will ever
/// remove what was made since (HW-L7, F-34).
///
/// The order makes it sure: the resource is condemned before its Delete is sent. If it was not when this looked, its
/// Delete comes later and finds everything. The answer is delivered by now, so this costs the stack no time, and its
/// failure is only logged.
async fn take_back_if_unwanted(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) {
    if request.origin().request_type == RequestType::Delete {
        return;
    }
    let work = async {
        let mut waits = PATIENCE.iter();
        loop {
            let outcome = AssertUnwindSafe(take_back(request, until, ports)).catch_unwind().await;
            match (outcome.unwrap_or_else(|_| Err(panicked())), waits.next()) {
                // Nobody comes after this run, so it tries again itself; a denial was waited for already.
                (Err(failure), Some(wait)) if failure.code != Code::AwsAccessDenied => {
                    info!(code = failure.code.as_str(), "trying again");
                    ports.clock.sleep(*wait).await;
                }
                (outcome, _) => return outcome,
            }
        }
    };
    let limit = Duration::try_from(until - ports.clock.now()).unwrap_or_default();
    if let Err(failure) = within(limit, work, ports).await {
        warn!(code = failure.code.as_str(), "it is not known whether the stack still waits, or what it left: {failure}");
    }
}

async fn take_back(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Failure> {
    let origin = request.origin();
    if !is_unwanted(origin, ports).await? {
        return Ok(());
    }
    info!("the stack did not wait for this resource; what it made is removed");
    match request {
        Request::Billing(_, billing::Asked::Have { export, .. }) => {
            let found = observe_removal(origin, Id::all(origin, &export.prefix).collect(), &[export.kind], ports).await?;
            let plan = plan::plan_removal(origin, &found.remains, export.retention)?;
            // Asked once more, because a stack that got over it may already be making the same again.
            if !plan.rounds.is_empty() && is_unwanted(origin, ports).await? {
                execute(&plan, origin, until, ports).await?;
            }
        }
        Request::Connection(_, connection::Asked::Have(terms)) => connection::withdraw(origin, terms, until, ports).await,
        Request::Billing(_, billing::Asked::Remove { .. }) | Request::Connection(_, connection::Asked::Remove(_)) => {}
    }
    Ok(())
}

/// The id a request's resource has; derived from the request alone.
fn physical_id(request: &Request) -> String {
    match request {
        Request::Billing(origin, asked) => plan::physical_id(origin, asked),
        Request::Connection(origin, _) => origin.physical_id.clone().unwrap_or_else(|| connection::physical_id(origin)),
    }
}

/// The id when the request cannot be read: the one it came with, or one that says nothing was made.
fn kept_id(envelope: &Envelope) -> String {
    envelope.physical_resource_id.clone().unwrap_or_else(|| nothing_made_id(envelope))
}

fn panicked() -> Failure {
    Failure::new(Code::Internal, "the handler met a condition it was not written for")
}

/// Uploads the response until it is stored or time runs out. Takes the URL, so that there is no second response (HW-A2).
async fn deliver(url: ResponseUrl, body: &[u8], until: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unanswered> {
    let mut wait = UPLOAD_WAIT;
    loop {
        let left = Duration::try_from(until - ports.clock.now()).unwrap_or(Duration::ZERO);
        let limit = UPLOAD_LIMIT.min(left);
        let last = match AssertUnwindSafe(ports.mailbox.put(url.expose(), body, limit)).catch_unwind().await {
            Ok(Ok(status)) if (200..300).contains(&status) => return Ok(()),
            Ok(Ok(status)) => format!("status {status}"),
            Ok(Err(why)) => why.to_string(),
            Err(_) => "the upload panicked".to_owned(),
        };
        let now = ports.clock.now();
        if now + wait >= until {
            return Err(Unanswered::Undelivered { host: url.host().to_owned(), last });
        }
        warn!(host = url.host(), last, "the response was not stored; trying again");
        ports.clock.sleep(wait).await;
        wait *= 2;
    }
}

fn log(envelope: &Envelope, request: Option<&Request>, verdict: &Verdict, took: time::Duration) {
    let origin: Option<&Origin> = request.map(Request::origin);
    let request_type = origin.map(|origin| origin.request_type.as_str()).unwrap_or_default();
    let duration_ms = i64::try_from(took.whole_milliseconds()).unwrap_or(i64::MAX);
    let ids = [&envelope.stack_id, &envelope.request_id, &envelope.logical_resource_id, physical_id_of(verdict)];
    let [stack, request, resource, physical_id] = ids.map(|id| one_line(id));
    match verdict {
        Verdict::Success { remark, .. } => {
            info!(stack, request, resource, request_type, physical_id, remark, duration_ms, "SUCCESS");
        }
        Verdict::Failed { failure, .. } => {
            let code = failure.code.as_str();
            if failure.code.blame() == Blame::Hawser {
                error!(stack, request, resource, request_type, physical_id, code, duration_ms, "FAILED {failure}");
            } else {
                warn!(stack, request, resource, request_type, physical_id, code, duration_ms, "FAILED {failure}");
            }
        }
    }
}

fn physical_id_of(verdict: &Verdict) -> &String {
    match verdict {
        Verdict::Success { physical_id, .. } | Verdict::Failed { physical_id, .. } => physical_id,
    }
}
