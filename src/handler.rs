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
        self, Export, ExportId, Kind, Retention,
        execute::{StepError, execute},
        facts::Facts,
        observe::{DeleteScope, delete_scope, observe, observe_removal},
        plan,
    },
    connection, delivery,
    error::{Code, Failure, FixedBy},
    names::{NamePrefix, ResponseUrl, one_line},
    ports::Ports,
    protocol::{
        envelope::{Envelope, Unanswerable},
        lifecycle::{is_resource_being_deleted, is_stack_rolling_back},
        origin::{Origin, RequestType},
        reply::{Attributes, Reply, placeholder_id, render},
        retry::EVENTUAL_CONSISTENCY_BACKOFF,
    },
    request::Request,
};

/// Kept free of work before the deadline: the upload of the response with several tries, of which the last still ends
/// [`SAFETY_MARGIN`] before the function is stopped (HW-A3, F-3).
const REPLY_RESERVE: Duration = Duration::from_secs(12);

/// A response leaves at least this long before the deadline.
const SAFETY_MARGIN: Duration = Duration::from_secs(2);

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
    NotNotified(Failure),
}

/// Deals with whatever event the function is invoked with: a request of CloudFormation's, or the schedule's heartbeat.
///
/// # Errors
/// [`Unhandled`]
pub async fn handle(event: &Value, invocation: &str, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unhandled> {
    if !delivery::is_delivery_check(event) {
        return Ok(answer(event, deadline, ports).await?);
    }
    let left = Duration::try_from(deadline - ports.clock.now()).ok().filter(|left| !left.is_zero()).unwrap_or(BUDGET_UNKNOWN);
    let delivery_check = delivery::check(event, invocation, ports.clock.now() + left, ports);
    within(left - SAFETY_MARGIN.min(left / REPLY_SHARE), delivery_check, ports).await.map_err(Unhandled::NotNotified)
}

/// Answers one event, exactly once, before `deadline`.
///
/// # Errors
/// [`Unanswered`], and only then (HW-A5): after a response was delivered an error would make Lambda run the event again.
pub async fn answer(event: &Value, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unanswered> {
    let started = ports.clock.now();
    let (envelope, response_url) = Envelope::parse(event)?;
    if !response_url.is_cloudformation_host() {
        warn!(host = response_url.host(), "the response goes to a host that is not one of CloudFormation's");
    }
    let left = Duration::try_from(deadline - started).ok().filter(|left| !left.is_zero()).unwrap_or(BUDGET_UNKNOWN);
    let reserve = REPLY_RESERVE.min(left / REPLY_SHARE);
    let work_until = started + (left - reserve);
    let reply_until = started + left.saturating_sub(SAFETY_MARGIN.min(reserve / REPLY_SHARE));

    // The id is known before anything is tried, and outside of what may fail, so every ending answers with it.
    let request = catch_unwind(|| Request::parse(event)).unwrap_or_else(|_| Err(panicked()));
    let physical_id = request.as_ref().map_or_else(|_| previous_id(&envelope), physical_id);
    let outcome = match &request {
        Ok(request) => within(left - reserve, fulfil(request, work_until, ports), ports).await,
        Err(failure) => Err(failure.clone()),
    };
    let reply_content = match outcome {
        Ok(Fulfilled { attributes, remarks }) => {
            let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
            Reply::Success { physical_id, attributes, remark }
        }
        // A failed Update keeps the id it came with (HW-L2): another one would have CloudFormation delete something (F-2).
        Err(failure) => Reply::Failed { physical_id: envelope.physical_resource_id.clone().unwrap_or(physical_id), failure },
    };
    log(&envelope, request.as_ref().ok(), &reply_content, ports.clock.now() - started);
    upload_response(response_url, &render(&envelope, &reply_content), reply_until, ports).await?;
    if let Ok(request) = &request {
        undo_if_resource_is_being_deleted(request, reply_until, ports).await;
    }
    Ok(())
}

/// Whatever becomes of the work, it ends: a panic is a failure, and so is the end of its time (HW-A3).
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>, ports: &Ports<'_>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        outcome = AssertUnwindSafe(work).catch_unwind() => outcome.unwrap_or_else(|_| Err(panicked())),
        () = ports.clock.sleep(limit) => {
            Err(Failure::new(Code::DeadlineExceeded, "the work did not finish before the function's deadline"))
        }
    }
}

/// A request that was fulfilled.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fulfilled {
    attributes: Attributes,
    remarks: Vec<String>,
}

async fn fulfil(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Fulfilled, Failure> {
    match request {
        Request::Billing(origin, billing::BillingRequest::Ensure { export, before }) => {
            plan::check_change_is_possible(origin, export)?;
            let mut races = 0;
            loop {
                let facts = observe(origin, export, before.as_ref(), ports).await?;
                match ensure(origin, export, &facts, until, ports).await {
                    Ok(done) => return Ok(done),
                    Err(StepError::Raced(_)) if races < RACES_MAX => races += 1,
                    Err(StepError::Raced(failure) | StepError::Failed(failure)) => {
                        return roll_back_without_export(origin, export, &facts, failure, until, ports).await;
                    }
                }
            }
        }
        Request::Billing(origin, billing::BillingRequest::Remove { kind, retention, prefix }) => {
            remove(origin, *kind, *retention, prefix.as_ref(), until, ports).await
        }
        Request::Connection(origin, asked) => {
            let (attributes, remarks) = connection::fulfil(origin, asked, until, ports).await?;
            Ok(Fulfilled { attributes, remarks })
        }
    }
}

async fn ensure(
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, StepError> {
    let plan = plan::plan(origin, export, facts, ports.clock.now())?;
    info!(decision = plan.decision, account_role = facts.billing_position.name().as_str(), "decided");
    let journal = execute(&plan, origin, until, ports).await?;
    let attributes = plan.attributes.into_iter().chain(journal.attributes).collect();
    Ok(Fulfilled { attributes, remarks: journal.remarks })
}

/// The account may have changed since the stack was as it is to be again, so that it cannot be had: ten reports by now, a
/// mark that was taken away. A stack that cannot go back is stuck, so it goes back without an export (HW-B7). What may pass
/// is a failure as ever: the rollback can be continued.
async fn roll_back_without_export(
    origin: &Origin,
    export: &Export,
    facts: &Facts,
    failure: Failure,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, Failure> {
    let lasting = failure.code.fixed_by() == FixedBy::Customer && origin.request_type == RequestType::Update;
    if !lasting || !is_stack_rolling_back(origin, ports).await {
        return Err(failure);
    }
    let plan = plan::plan_without(origin, export, facts, &failure)?;
    let journal = execute(&plan, origin, until, ports).await.map_err(Failure::from)?;
    let remarks = std::iter::once(format!("rolled back without a billing export: {failure}")).chain(journal.remarks).collect();
    Ok(Fulfilled { attributes: plan.attributes, remarks })
}

async fn remove(
    origin: &Origin,
    kind: Option<Kind>,
    retention: Retention,
    prefix: Option<&NamePrefix>,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, Failure> {
    let DeleteScope { ids, remark } = delete_scope(origin, prefix, ports).await?;
    let named = origin.physical_id.as_deref().and_then(|id| ExportId::from_physical_id(origin, id)).map(|id| id.kind());
    let sure: Vec<Kind> = kind.into_iter().chain(named).collect();
    let found = observe_removal(origin, ids, &sure, ports).await?;
    let plan = plan::plan_removal(origin, &found.remains, retention)?;
    info!(decision = plan.decision, "decided");
    let journal = execute(&plan, origin, until, ports).await?;
    Ok(Fulfilled {
        attributes: Attributes::new(),
        remarks: remark.into_iter().chain(found.remarks).chain(journal.remarks).collect(),
    })
}

/// After a Create or an Update: a stack that gave up meanwhile has sent its Delete already, and nobody else will ever
/// remove what was made since (HW-L7, F-34).
///
/// The order makes it sure: the resource is condemned before its Delete is sent. If it was not when this looked, its
/// Delete comes later and finds everything. The answer is delivered by now, so this costs the stack no time, and its
/// failure is only logged.
async fn undo_if_resource_is_being_deleted(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) {
    if request.origin().request_type == RequestType::Delete {
        return;
    }
    let work = async {
        let mut waits = EVENTUAL_CONSISTENCY_BACKOFF.iter();
        loop {
            let outcome = AssertUnwindSafe(undo(request, until, ports)).catch_unwind().await;
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
        warn!(code = failure.code.as_str(), "could not determine whether the stack still waits, or what it left: {failure}");
    }
}

async fn undo(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Failure> {
    let origin = request.origin();
    if !is_resource_being_deleted(origin, ports).await? {
        return Ok(());
    }
    info!("the stack did not wait for this resource; removing what was created");
    match request {
        Request::Billing(_, billing::BillingRequest::Ensure { export, .. }) => {
            let found = observe_removal(origin, ExportId::all(origin, &export.prefix).collect(), &[export.kind], ports).await?;
            let plan = plan::plan_removal(origin, &found.remains, export.retention)?;
            // Asked once more, because a stack that got over it may already be making the same again.
            if !plan.rounds.is_empty() && is_resource_being_deleted(origin, ports).await? {
                execute(&plan, origin, until, ports).await?;
            }
        }
        Request::Connection(_, connection::ConnectionRequest::Ensure(terms)) => {
            connection::retract(origin, terms, until, ports).await
        }
        Request::Billing(_, billing::BillingRequest::Remove { .. })
        | Request::Connection(_, connection::ConnectionRequest::Remove(_)) => {}
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
fn previous_id(envelope: &Envelope) -> String {
    envelope.physical_resource_id.clone().unwrap_or_else(|| placeholder_id(envelope))
}

fn panicked() -> Failure {
    Failure::new(Code::Internal, "the handler failed unexpectedly")
}

/// Uploads the response until it is stored or time runs out. Takes the URL, so that there is no second response (HW-A2).
async fn upload_response(url: ResponseUrl, body: &[u8], until: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Unanswered> {
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

fn log(envelope: &Envelope, request: Option<&Request>, reply_content: &Reply, took: time::Duration) {
    let origin: Option<&Origin> = request.map(Request::origin);
    let request_type = origin.map(|origin| origin.request_type.as_str()).unwrap_or_default();
    let duration_ms = i64::try_from(took.whole_milliseconds()).unwrap_or(i64::MAX);
    let ids = [&envelope.stack_id, &envelope.request_id, &envelope.logical_resource_id, physical_id_of(reply_content)];
    let [stack, request, resource, physical_id] = ids.map(|id| one_line(id));
    match reply_content {
        Reply::Success { remark, .. } => {
            info!(stack, request, resource, request_type, physical_id, remark, duration_ms, "SUCCESS");
        }
        Reply::Failed { failure, .. } => {
            let code = failure.code.as_str();
            if failure.code.fixed_by() == FixedBy::Hawser {
                error!(stack, request, resource, request_type, physical_id, code, duration_ms, "FAILED {failure}");
            } else {
                warn!(stack, request, resource, request_type, physical_id, code, duration_ms, "FAILED {failure}");
            }
        }
    }
}

fn physical_id_of(reply_content: &Reply) -> &String {
    match reply_content {
        Reply::Success { physical_id, .. } | Reply::Failed { physical_id, .. } => physical_id,
    }
}
