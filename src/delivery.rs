//! The delivery watch: every few hours, does billing data arrive?
//!
//! A schedule invokes the handler with its connection's own data. It looks at what AWS says of the export and at what is in
//! the bucket ([`layout`]), judges, and tells the vendor with one `hawser.billing.status` notice. It keeps nothing and writes
//! nothing (HW-D3), so each run is right by itself, and a vendor that hears no more knows that the stack is gone (F-31, F-32).

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::{
    aws::FaultKind,
    billing::{candidate::Candidate, first_data_grace_ends, policy},
    connection::{
        self, Terms,
        status::{First, Problem, State, Status},
    },
    error::{Code, Failure},
    names::{BucketName, Region, StackId, StackIdError, rfc3339},
    ports::Ports,
    protocol::{
        origin::{Origin, RequestType},
        retry::patiently,
    },
};

pub mod layout;

use layout::Found;

/// `source` of the event that the schedule sends.
pub const SOURCE: &str = "hawser";

/// `detail-type` of the event that the schedule sends.
pub const DETAIL_TYPE: &str = "Delivery Watch";

/// "Updated at least once a day" (Cost and Usage Reports User Guide, "What are AWS Cost and Usage Reports?"): half a day more than
/// that is late.
pub const STALLED_AFTER: time::Duration = time::Duration::hours(36);

/// How long the vendor may keep the function waiting. Lambda tries again twice, and the next heartbeat comes anyway.
const TELL_LIMIT: Duration = Duration::from_secs(30);

/// Kept free before the deadline.
const SAFETY: Duration = Duration::from_secs(5);

/// Whether an event is the schedule's.
pub fn is_heartbeat(event: &Value) -> bool {
    let is = |field: &str, word: &str| event.get(field).and_then(Value::as_str) == Some(word);
    is("source", SOURCE) && is("detail-type", DETAIL_TYPE)
}

/// What the schedule says: which stack, and what the vendor knows of it (HW-D2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    stack: StackId,
    terms: Terms,
}

impl Heartbeat {
    /// Reads the event.
    ///
    /// # Errors
    /// [`Code::EventInvalid`], or what [`Terms::parse`] says of `detail.Properties`.
    pub fn parse(event: &Value) -> Result<Self, Failure> {
        let detail = |field: &str| event.get("detail").and_then(|detail| detail.get(field));
        let stack = detail("StackId").and_then(Value::as_str).unwrap_or_default();
        let stack = stack.parse().map_err(|why: StackIdError| Failure::new(Code::EventInvalid, why.to_string()))?;
        let terms = Terms::parse(detail("Properties").and_then(Value::as_object))?;
        Ok(Self { stack, terms })
    }

    /// An attribute of the export, as the stack knows it.
    fn export(&self, attribute: &str) -> &str {
        self.terms.billing.get(attribute).map(String::as_str).unwrap_or_default()
    }
}

/// Looks, judges and tells.
///
/// # Errors
/// What keeps the vendor from being told: Lambda then runs the event again.
pub async fn beat(event: &Value, invocation: &str, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Failure> {
    let heartbeat = Heartbeat::parse(event)?;
    if heartbeat.export("BucketName").is_empty() {
        info!("there is no billing export to watch");
        return Ok(());
    }
    let origin = Origin {
        request_type: RequestType::Update,
        stack: heartbeat.stack.clone(),
        // The same for every delivery of the event, and another one for each heartbeat.
        request_id: invocation.to_owned(),
        logical_id: "DeliveryWatch".to_owned(),
        physical_id: None,
    };
    let seen = look(&origin, &heartbeat, ports).await?;
    let status = judge(&seen, ports.clock.now());
    match &status.problem {
        Some(problem) => warn!(state = ?status.state, code = problem.code, "{}", problem.cause),
        None => info!(state = ?status.state, "looked at the billing data"),
    }
    let until = (ports.clock.now() + TELL_LIMIT).min(deadline - SAFETY);
    connection::tell_status(&origin, &heartbeat.terms, status, until, ports).await
}

/// What AWS says of the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is there, and this is wrong with its delivery, if anything.
    There {
        /// AWS's words.
        ailment: Option<String>,
        /// Whether it has ever delivered.
        has_delivered: bool,
    },
    /// It was removed.
    Gone,
    /// Something else delivers, or AWS may not be asked.
    NotKnown,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The export.
    pub health: Health,
    /// Why AWS cannot deliver to a bucket of ours by now.
    pub closed: Option<String>,
    /// What is in the bucket, or why it could not be seen.
    pub found: Result<Option<Found>, Failure>,
    /// `FirstDataDueBy`.
    pub due_by: String,
}

async fn look(origin: &Origin, heartbeat: &Heartbeat, ports: &Ports<'_>) -> Result<Seen, Failure> {
    let region: Option<Region> = heartbeat.export("BucketRegion").parse().ok();
    let bucket = BucketName::existing(heartbeat.export("BucketName"));
    let aws = ports.cloud.at(region.as_ref().unwrap_or(&origin.stack.region));
    let (prefix, name) = (heartbeat.export("Prefix"), heartbeat.export("Name"));
    let (health, closed, found) = tokio::join!(
        health(origin, heartbeat, ports),
        closed(origin, heartbeat, &bucket, ports),
        layout::find(&*aws, &origin.stack.account, &bucket, prefix, name),
    );
    // What may pass is no status (HW-D4): the event is run again.
    let found = match found {
        Err(layout::Trouble::Fault(fault)) if fault.is_outage() => return Err(fault.into()),
        Err(layout::Trouble::Fault(fault)) if fault.kind == FaultKind::Missing => {
            Err(Failure::explained(&fault, Code::BillingDeliveryFailed, format!("bucket `{bucket}` does not exist")))
        }
        Err(layout::Trouble::Fault(fault)) => Err(fault.into()),
        Err(layout::Trouble::Unreadable(why)) => Err(Failure::new(Code::BillingDataMissing, why)),
        Ok(found) => Ok(found),
    };
    Ok(Seen { health: health?, closed: closed?, found, due_by: heartbeat.export("FirstDataDueBy").to_owned() })
}

async fn health(origin: &Origin, heartbeat: &Heartbeat, ports: &Ports<'_>) -> Result<Health, Failure> {
    let (name, arn) = (heartbeat.export("Name"), heartbeat.export("Arn"));
    let Some(region) = origin.stack.partition.billing_region().filter(|_| !name.is_empty()) else {
        return Ok(Health::NotKnown);
    };
    let aws = ports.cloud.at(&region);
    let there = |candidate: Candidate, ailment: Option<String>| Health::There {
        ailment: candidate.ailment().or(ailment),
        has_delivered: candidate.has_delivered(),
    };
    let answer = if arn.contains(":bcm-data-exports:") {
        let (export, execution) = tokio::join!(
            patiently(ports.clock, origin, || aws.get_export(arn)),
            patiently(ports.clock, origin, || aws.last_execution(arn))
        );
        // An execution explains; whether the export is there does not depend on it.
        let failed = execution.ok().flatten().filter(|execution| execution.code.ends_with("_FAILURE"));
        let failed =
            failed.map(|execution| execution.reason.map_or(execution.code.clone(), |why| format!("{} ({why})", execution.code)));
        export.map(|export| Some(there(Candidate::Export(export), failed)))
    } else {
        let reports = patiently(ports.clock, origin, || aws.describe_reports()).await;
        reports.map(|reports| {
            let report = reports.into_iter().find(|report| report.name == name)?;
            Some(there(Candidate::Report(report), None))
        })
    };
    match answer {
        Ok(Some(health)) => Ok(health),
        Ok(None) => Ok(Health::Gone),
        Err(fault) if fault.kind == FaultKind::Missing => Ok(Health::Gone),
        Err(fault) if fault.is_outage() => Err(fault.into()),
        Err(fault) => {
            warn!(action = fault.action, code = fault.code, "what AWS says of the export is not known");
            Ok(Health::NotKnown)
        }
    }
}

/// Whether the policy of a bucket of ours still lets AWS in. A policy that somebody changed stops delivery at the next try, and
/// silently (F-15): this is known before AWS says so.
async fn closed(
    origin: &Origin,
    heartbeat: &Heartbeat,
    bucket: &BucketName,
    ports: &Ports<'_>,
) -> Result<Option<String>, Failure> {
    let Some(region) = origin.stack.partition.billing_region().filter(|_| heartbeat.export("Origin") == "created") else {
        return Ok(None);
    };
    let (aws, owner) = (ports.cloud.at(&region), &origin.stack.account);
    match patiently(ports.clock, origin, || aws.bucket_policy(bucket, owner)).await {
        Ok(text) => {
            let merged = policy::merge(text.as_deref(), bucket, origin.stack.partition, owner, &region);
            let as_it_was = matches!(merged, Ok(None));
            Ok((!as_it_was).then(|| format!("the policy of bucket `{bucket}` was changed and may no longer let AWS deliver")))
        }
        Err(fault) if fault.is_outage() => Err(fault.into()),
        // The look into the bucket tells why.
        Err(_) => Ok(None),
    }
}

/// Judges what was seen: total, and the same for the same facts.
pub fn judge(seen: &Seen, now: OffsetDateTime) -> Status {
    let found = seen.found.as_ref().ok().and_then(Option::as_ref);
    let first = found.map(|found| First {
        period: found.first.period.clone(),
        manifest: found.first.key.clone(),
        delivered_at: rfc3339(found.first.modified),
    });
    let latest = found.map(|found| found.latest.clone());
    let due_by = if found.is_some() { String::new() } else { seen.due_by.clone() };
    let (state, problem) = verdict(seen, found, now);
    Status { state, checked_at: rfc3339(now), due_by, first, latest, problem }
}

fn verdict(seen: &Seen, found: Option<&Found>, now: OffsetDateTime) -> (State, Option<Problem>) {
    let failed = |problem| (State::Failed, Some(problem));
    let has_delivered = match &seen.health {
        Health::Gone => {
            return failed(Problem::new(Code::BillingExportGone, "the billing export does not exist any more"));
        }
        Health::There { ailment: Some(ailment), .. } => {
            let why = seen.closed.as_ref().map_or_else(String::new, |closed| format!("; {closed}"));
            return failed(Problem::new(Code::BillingDeliveryFailed, format!("AWS could not deliver: {ailment}{why}")));
        }
        Health::There { ailment: None, has_delivered } => *has_delivered,
        Health::NotKnown => false,
    };
    if let Err(failure) = &seen.found {
        return failed(Problem::of(failure));
    }
    if let Some(closed) = &seen.closed {
        return failed(Problem::new(Code::BillingDeliveryFailed, closed.clone()));
    }
    let Some(found) = found else {
        return match first_data_grace_ends(&seen.due_by) {
            Some(late) if now > late => {
                let cause = format!("first data were due by {} and have not come", seen.due_by);
                (State::Stalled, Some(Problem::new(Code::BillingDataLate, cause)))
            }
            None if has_delivered => {
                let cause = "AWS says that it delivered, and there is no manifest in the bucket";
                failed(Problem::new(Code::BillingDataMissing, cause))
            }
            _ => (State::Waiting, None),
        };
    };
    if !found.missing.is_empty() {
        let count = found.missing.len();
        let cause = format!("{count} of the files that the manifest names are not there, such as `{}`", found.missing[0]);
        return failed(Problem::new(Code::BillingDataMissing, cause));
    }
    if now - found.newest > STALLED_AFTER {
        let cause = format!("nothing new has come since {}", rfc3339(found.newest));
        return (State::Stalled, Some(Problem::new(Code::BillingDataLate, cause)));
    }
    (State::Delivered, None)
}
