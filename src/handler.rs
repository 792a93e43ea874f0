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
        BillingRequest, ExportId, Kind,
        execute::{StepError, execute},
        plan,
    },
    connection::{self, ConnectionRequest},
    decide::{self, Decided},
    delivery,
    error::{Code, Failure, FixedBy},
    names::{ResponseUrl, one_line},
    ports::Ports,
    protocol::{
        envelope::{Envelope, Unanswerable},
        lifecycle::{
            CreationFate, creation_fate, is_awaited, is_generated_by_cloudformation, is_resource_being_deleted,
            is_stack_rolling_back, of_own_stack,
        },
        origin::{Origin, RequestType},
        reply::{Attributes, NOTHING_MADE, Reply, placeholder_id, render},
        retry::{EVENTUAL_CONSISTENCY, RESPONSE_UPLOAD},
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
    let request = request.and_then(|request| of_own_stack(request.origin(), ports).map(|()| request));
    let physical_id = request.as_ref().map_or_else(|_| previous_id(&envelope), Request::physical_id);
    open_connections(request.as_ref().ok(), &response_url, ports);
    let outcome = match &request {
        Ok(request) => fulfil(request, work_until, ports).await,
        Err(failure) if deletes_nothing(event, &envelope, failure) => Ok(Fulfilled::default()),
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
        let made = matches!(reply_content, Reply::Success { .. });
        undo_if_not_wanted(request, made, reply_until, ports).await;
    }
    Ok(())
}

/// Opens the connections that the work needs after its first reads, beside them: for the response, for the notice, and for the settings
/// of a new bucket, which are made together.
fn open_connections(request: Option<&Request>, response_url: &ResponseUrl, ports: &Ports<'_>) {
    ports.mailbox.open_connection(response_url.expose());
    if let Some(Request::Connection(_, ConnectionRequest::Ensure(terms) | ConnectionRequest::Remove(Ok(terms)))) = request {
        ports.vendor.open_connection(terms.notice_url.as_url());
    }
    let Some(Request::Billing(origin, BillingRequest::Ensure { export, .. })) = request else { return };
    let makes = export.kind != Kind::None && export.existing.is_none();
    if let Some(region) = origin
        .stack
        .partition
        .billing_region()
        .filter(|_| makes && origin.physical_id.as_deref() != Some(&export.id(origin).to_string()))
    {
        // The first one is opened by the look at the bucket.
        ports.cloud.open_bucket_connections(&region, plan::BUCKET_SETTINGS - 1);
    }
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fulfilled {
    /// Every attribute of the resource type; none on Delete.
    pub attributes: Attributes,
    /// What the reader of the stack event should still know.
    pub remarks: Vec<String>,
}

/// Does what a request asks for, and ends by `until`.
///
/// # Errors
/// What the stack event would show.
pub async fn fulfil(request: &Request, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Fulfilled, Failure> {
    let work = async {
        match request {
            Request::Billing(origin, asked) => fulfil_billing(origin, asked, until, ports).await,
            Request::Connection(origin, asked) => {
                let plan = connection::decide(origin, asked, ports).await?;
                let (attributes, remarks) = connection::carry_out(origin, &plan, until, ports).await?;
                Ok(Fulfilled { attributes, remarks })
            }
        }
    };
    within(Duration::try_from(until - ports.clock.now()).unwrap_or_default(), work, ports).await
}

async fn fulfil_billing(
    origin: &Origin,
    asked: &BillingRequest,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, Failure> {
    // A plan is made again where somebody else was faster, and later, because what they did may not be shown yet (B-22).
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, Some(until));
    let mut looks = EVENTUAL_CONSISTENCY.tries(ports.clock, Some(until));
    loop {
        // Asked beside the first reads, so that it costs no round.
        let (decided, is_awaited) = tokio::join!(decide::billing(origin, asked, ports), is_awaited(origin, ports));
        let decided = decided?;
        // What is created beside one that is not shown yet would be a second one.
        let is_partial = is_awaited && decided.wanted.as_ref().is_some_and(|(_, facts)| facts.is_partial());
        if is_partial && looks.again(&"what the bucket was created for may not be shown yet", None).await {
            continue;
        }
        match carry_out(origin, &decided, is_awaited, until, ports).await {
            Ok(done) => return Ok(done),
            Err(StepError::Raced(ref faster)) if tries.again(faster, None).await => {}
            // What an earlier request created moments ago may not show its mark yet (B-22).
            Err(StepError::Failed(ref refused))
                if refused.code == Code::BillingReportNotOurs && looks.again(refused, None).await => {}
            Err(error) => return roll_back_without_export(origin, &decided, error.into(), until, ports).await,
        }
    }
}

async fn carry_out(
    origin: &Origin,
    decided: &Decided<'_>,
    is_awaited: bool,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, StepError> {
    let plan = decided.plan.clone()?;
    info!(decision = plan.decision, account_role = decided.account_role(), "decided");
    if !plan.rounds.is_empty() && !is_awaited {
        let cause = "the stack does not wait for this request any more, so nothing was created or changed";
        return Err(Failure::new(Code::RequestOutdated, cause).into());
    }
    let journal = execute(&plan, origin, until, ports).await?;
    Ok(Fulfilled {
        attributes: plan.attributes.into_iter().chain(journal.attributes).collect(),
        remarks: decided.remarks.iter().cloned().chain(journal.remarks).collect(),
    })
}

/// The account may have changed since the stack was as it is to be again, so that it cannot be had: ten reports by now, a
/// mark that was taken away. A stack that cannot go back is stuck, so it goes back without an export (HW-B7). What may pass
/// is a failure as ever: the rollback can be continued.
async fn roll_back_without_export(
    origin: &Origin,
    decided: &Decided<'_>,
    failure: Failure,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Fulfilled, Failure> {
    let lasting = failure.code.fixed_by() == FixedBy::Customer && origin.request_type == RequestType::Update;
    let Some((export, facts)) = decided.wanted.as_ref().filter(|_| lasting) else { return Err(failure) };
    if !is_stack_rolling_back(origin, ports).await {
        return Err(failure);
    }
    let plan = plan::plan_without(origin, export, facts, &failure)?;
    let journal = execute(&plan, origin, until, ports).await.map_err(Failure::from)?;
    let remarks = std::iter::once(format!("rolled back without a billing export: {failure}")).chain(journal.remarks).collect();
    Ok(Fulfilled { attributes: plan.attributes, remarks })
}

/// After a Create or an Update: a stack that gave up meanwhile has sent its Delete already, and nobody else will ever
/// remove what was made since (HW-L7, F-34).
///
/// The order makes it sure: the resource is condemned before its Delete is sent. If it was not when this looked, its
/// Delete comes later and finds everything. The answer is delivered by now, so this costs the stack no time, and its
/// failure is only logged.
async fn undo_if_not_wanted(request: &Request, made: bool, until: OffsetDateTime, ports: &Ports<'_>) {
    if request.origin().request_type == RequestType::Delete {
        return;
    }
    let work = async {
        let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
        loop {
            let outcome = AssertUnwindSafe(undo(request, made, until, ports)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(panicked())) {
                // Nobody comes after this run, so it tries again itself; a denial was waited for already.
                Err(failure) if failure.code != Code::AwsAccessDenied && tries.again(&failure, None).await => {}
                outcome => return outcome,
            }
        }
    };
    let limit = Duration::try_from(until - ports.clock.now()).unwrap_or_default();
    if let Err(failure) = within(limit, work, ports).await {
        warn!(code = failure.code.as_str(), "could not determine whether the stack still waits, or what it left: {failure}");
    }
}

async fn undo(request: &Request, made: bool, until: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Failure> {
    let origin = request.origin();
    match request {
        Request::Billing(_, BillingRequest::Ensure { export, .. }) => {
            let id = export.id(origin);
            let physical_id = id.to_string();
            let fate = creation_fate(origin, &physical_id, !made, until, ports).await?;
            let ids = match fate {
                CreationFate::Wanted => return Ok(()),
                CreationFate::ResourceDeleted => ExportId::all(origin, &export.prefix).collect(),
                CreationFate::Abandoned => vec![id],
            };
            info!(?fate, "the stack did not wait for this resource; removing what was created");
            let (decided, _) = decide::removal(origin, ids, &[export.kind], export.retention, made, ports).await?;
            let plan = decided.plan?;
            // Asked once more, because a stack that got over it may already be making the same again.
            let still = |now| now == fate || now == CreationFate::ResourceDeleted;
            if !plan.rounds.is_empty() && still(creation_fate(origin, &physical_id, !made, until, ports).await?) {
                execute(&plan, origin, until, ports).await?;
            }
        }
        Request::Connection(_, ConnectionRequest::Ensure(terms)) => {
            if is_resource_being_deleted(origin, ports).await? {
                info!("the stack did not wait for this resource; telling the vendor that the connection ends");
                connection::retract(origin, terms, until, ports).await;
            }
        }
        Request::Billing(_, BillingRequest::Remove { .. }) | Request::Connection(_, ConnectionRequest::Remove(_)) => {}
    }
    Ok(())
}

/// Whether a Delete names what was never made: its Create was refused before anything was tried, or never answered. A stack goes,
/// whatever else is wrong with the request (F-55).
fn deletes_nothing(event: &Value, envelope: &Envelope, failure: &Failure) -> bool {
    let id = envelope.physical_resource_id.as_deref().unwrap_or_default();
    let refused = matches!(failure.code, Code::ResourceTypeUnknown | Code::PartitionUnsupported | Code::EventOfAnotherStack);
    let nothing_made = id.starts_with(NOTHING_MADE) || (refused && is_generated_by_cloudformation(id));
    event.get("RequestType").and_then(Value::as_str) == Some("Delete") && !id.is_empty() && nothing_made
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
    let mut tries = RESPONSE_UPLOAD.tries(ports.clock, Some(until));
    loop {
        let put = ports.mailbox.put(url.expose(), body, tries.limit());
        let last = match AssertUnwindSafe(put).catch_unwind().await {
            Ok(Ok(status)) if (200..300).contains(&status) => return Ok(()),
            Ok(Ok(status)) => format!("status {status}"),
            Ok(Err(why)) => why.to_string(),
            Err(_) => "the upload panicked".to_owned(),
        };
        if !tries.again(&format!("`{}`: {last}", url.host()), None).await {
            return Err(Unanswered::Undelivered { host: url.host().to_owned(), last });
        }
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
