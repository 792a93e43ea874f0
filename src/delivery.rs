//! The delivery watch: every few hours, does billing data arrive?
//!
//! A schedule invokes the handler with no more than its stack's id. What the vendor is told, and with which token, it reads from the
//! stack as it is now, so that a rotated token is used at once and nobody who may invoke the function chooses what is said. It looks at
//! what AWS says of the export and at what is in the bucket ([`layout`]), judges, and tells the vendor with one `hawser.billing.status`
//! notice, or where there is no export with one `hawser.connection.alive`. It keeps nothing and writes nothing (HW-D3), so each run is
//! right by itself, and a vendor that hears no more knows that the stack is gone (F-31, F-32).

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::{
    aws::{Execution, FaultKind, StackDescription},
    billing::{
        STALLED_AFTER, account_role::BillingPosition, attributes::organization_attributes, candidate::Candidate,
        first_data_grace_ends, in_bucket_region, policy, policy::DeliveryAccess,
    },
    connection::{
        self, Terms,
        status::{DeliveryProblem, DeliveryState, DeliveryStatus, FirstData},
    },
    error::{Code, Failure},
    names::{BucketName, Region, StackIdError, rfc3339},
    ports::Ports,
    protocol::{
        lifecycle::of_own_stack,
        origin::{Origin, RequestType},
        retry::retry_eventual,
    },
};

pub mod layout;
pub mod place;

use layout::DeliveredData;

/// `source` of the event that the schedule sends.
pub const SOURCE: &str = "hawser";

/// `detail-type` of the event that the schedule sends.
pub const DETAIL_TYPE: &str = "Delivery Watch";

/// How long the vendor may keep the function waiting. Lambda tries again twice, and the next heartbeat comes anyway.
const NOTICE_LIMIT: Duration = Duration::from_secs(30);

/// Kept free before the deadline.
const SAFETY_MARGIN: Duration = Duration::from_secs(5);

/// Whether an event is the schedule's.
pub fn is_delivery_check(event: &Value) -> bool {
    let is = |field: &str, word: &str| event.get(field).and_then(Value::as_str) == Some(word);
    is("source", SOURCE) && is("detail-type", DETAIL_TYPE)
}

/// The stack's output that holds what the vendor is told and neither a parameter nor another output has, as JSON: properties of [`Terms`].
pub const TERMS_OUTPUT: &str = "Terms";

/// The parameters, and the outputs, that are properties of [`Terms`] under the same name.
pub const SAME_PARAMETERS: [&str; 5] = ["NoticeUrl", "LaunchToken", "IdentityProof", "ConnectionName", "Regions"];
pub const SAME_OUTPUTS: [&str; 3] = ["RoleArn", "AccessKeySecretArn", "ExternalId"];

/// How the name of a pack's parameter begins: `PackCloudIam` is the mode of `cloud-iam`.
const PACK_PARAMETER: &str = "Pack";

/// What a run is about: the connection, as its stack describes it (HW-D2, HW-D5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCheck {
    terms: Terms,
}

impl DeliveryCheck {
    /// Reads the stack; nothing where it does not speak now.
    ///
    /// # Errors
    /// What [`Terms::parse`] says of [`TERMS_OUTPUT`].
    pub fn of(stack: &StackDescription) -> Result<Option<Self>, Failure> {
        if !is_connected(&stack.status) {
            info!(status = stack.status, "the stack is being changed or is not connected: the vendor is not notified");
            return Ok(None);
        }
        let terms = stack.outputs.get(TERMS_OUTPUT).and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let missing = || Failure::new(Code::PropertyMissing, "the stack has no output `Terms`, or one that is no JSON");
        let mut properties = terms.ok_or_else(missing)?;
        let given = SAME_PARAMETERS.map(|name| (name, stack.parameters.get(name)));
        let made = SAME_OUTPUTS.map(|name| (name, stack.outputs.get(name)));
        let same =
            given.into_iter().chain(made).filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?.as_str()))));
        properties.extend(same);
        let packs = stack.parameters.iter();
        let packs =
            packs.filter_map(|(name, mode)| Some((pack_name(name.strip_prefix(PACK_PARAMETER)?), Value::from(mode.as_str()))));
        properties.insert("Packs".to_owned(), Value::Object(packs.collect()));
        Ok(Some(Self { terms: Terms::parse(Some(&properties))? }))
    }

    /// An attribute of the export, as the stack knows it.
    fn export(&self, attribute: &str) -> &str {
        self.terms.billing.get(attribute).map(String::as_str).unwrap_or_default()
    }
}

/// `cloud-iam` of `CloudIam`.
fn pack_name(parameter: &str) -> String {
    let words =
        parameter.char_indices().map(|(at, letter)| (if at > 0 && letter.is_ascii_uppercase() { "-" } else { "" }, letter));
    words.flat_map(|(dash, letter)| dash.chars().chain([letter.to_ascii_lowercase()])).collect()
}

/// Whether a stack with this status is connected and at rest. While it is changed, its parameters are the new ones and its outputs the
/// earlier ones; after a Create that failed, and once it is being deleted, there is no connection.
fn is_connected(stack_status: &str) -> bool {
    let is_changing = stack_status.ends_with("_IN_PROGRESS");
    !is_changing && !["CREATE_FAILED", "ROLLBACK_", "DELETE_"].iter().any(|ended| stack_status.starts_with(ended))
}

/// The stack that a run is about: the function's own.
fn origin(event: &Value, invocation: &str, ports: &Ports<'_>) -> Result<Origin, Failure> {
    let stack = event.get("detail").and_then(|detail| detail.get("StackId")).and_then(Value::as_str).unwrap_or_default();
    let origin = Origin {
        request_type: RequestType::Update,
        stack: stack.parse().map_err(|why: StackIdError| Failure::new(Code::EventInvalid, why.to_string()))?,
        // The same for every delivery of the event, and another one for each heartbeat.
        request_id: invocation.to_owned(),
        // It speaks for the connection.
        logical_id: connection::LOGICAL_ID.to_owned(),
        physical_id: None,
    };
    of_own_stack(&origin, ports).map(|()| origin)
}

/// Looks, judges and tells.
///
/// # Errors
/// What keeps the vendor from being told: Lambda then runs the event again.
pub async fn check(event: &Value, invocation: &str, deadline: OffsetDateTime, ports: &Ports<'_>) -> Result<(), Failure> {
    let origin = origin(event, invocation, ports)?;
    let stack = retry_eventual(ports, &origin, || ports.stacks.stack(&origin.stack));
    let (stack, organization) = tokio::join!(stack, current_organization(&origin, ports));
    let Some(delivery_check) = DeliveryCheck::of(&stack?)? else { return Ok(()) };
    let status = if delivery_check.export("BucketName").is_empty() {
        // HW-D6
        None
    } else {
        let status = judge(&observe(&origin, &delivery_check, ports).await?, ports.clock.now());
        match &status.problem {
            Some(problem) => warn!(state = ?status.state, code = problem.code, "{}", problem.cause),
            None => info!(state = ?status.state, "checked the billing data"),
        }
        Some(status)
    };
    let until = (ports.clock.now() + NOTICE_LIMIT).min(deadline - SAFETY_MARGIN);
    let mut terms = delivery_check.terms;
    terms.organization = organization.unwrap_or(terms.organization);
    connection::notify_alive(&origin, &terms, status, until, ports).await
}

/// The account's place in its organization as it is now: an account moves without an update of its stack. None where AWS does not
/// say, which is no news.
async fn current_organization(origin: &Origin, ports: &Ports<'_>) -> Option<BTreeMap<String, String>> {
    let aws = ports.cloud.at(&origin.stack.partition.billing_region()?);
    let answer = retry_eventual(ports, origin, || aws.describe_organization()).await;
    match BillingPosition::classify(&origin.stack.account, answer) {
        Ok(BillingPosition::Unknown(why)) => {
            info!("the organization is not known now: {why}");
            None
        }
        Ok(position) => {
            let facts = organization_attributes(&position).into_iter();
            Some(facts.map(|(name, value)| (name.to_owned(), value)).collect())
        }
        Err(fault) => {
            warn!(action = fault.action, code = fault.code, "could not ask about the organization");
            None
        }
    }
}

/// What AWS says of the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportState {
    /// It is there, and this is wrong with its delivery, if anything.
    Present {
        /// AWS's words.
        delivery_error: Option<String>,
        /// Whether it has ever delivered.
        has_delivered: bool,
    },
    Removed,
    /// Something else delivers, or AWS may not be asked.
    Unknown,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub export_state: ExportState,
    /// What a bucket of ours lets AWS do by now.
    pub delivery_access: DeliveryAccess,
    pub bucket: String,
    /// The prefix that the customer brought, where no export is known that delivers below it.
    pub place: Option<String>,
    /// What is in the bucket, or why it could not be seen.
    pub found: Result<Option<DeliveredData>, Failure>,
    /// `FirstDataDueBy`.
    pub due_by: String,
}

impl Observation {
    fn policy_change(&self) -> String {
        let effect = match self.delivery_access {
            DeliveryAccess::Denied => "no longer lets AWS deliver",
            DeliveryAccess::Allowed | DeliveryAccess::Uncertain => "may no longer let AWS deliver",
        };
        format!("the policy of bucket `{}` was changed and {effect}", self.bucket)
    }

    fn policy_risk(&self) -> DeliveryProblem {
        DeliveryProblem::new(Code::BillingDeliveryAtRisk, self.policy_change())
    }
}

async fn observe(origin: &Origin, delivery_check: &DeliveryCheck, ports: &Ports<'_>) -> Result<Observation, Failure> {
    let region: Region = delivery_check.export("BucketRegion").parse().unwrap_or_else(|_| origin.stack.region.clone());
    let (bucket, owner) = (&BucketName::existing(delivery_check.export("BucketName")), &origin.stack.account);
    let (prefix, name) = (delivery_check.export("Prefix"), delivery_check.export("Name"));
    let (export_state, delivery_access, found) = tokio::join!(
        export_state(origin, delivery_check, ports),
        bucket_access(origin, delivery_check, bucket, ports),
        // Where the bucket is now: one that was made again may be elsewhere (F-45).
        in_bucket_region(ports, &region, bucket, owner, |aws| async move {
            match layout::find(&*aws, owner, bucket, prefix, name).await {
                Err(layout::ReadError::Fault(fault)) => Err(fault),
                Err(layout::ReadError::Unreadable(why)) => Ok(Err(Failure::new(Code::BillingDataMissing, why))),
                Err(layout::ReadError::NotSearched) => {
                    Ok(Err(Failure::new(Code::BillingDataNotFound, not_searched(bucket.as_str(), prefix))))
                }
                Ok(found) => Ok(Ok(found)),
            }
        }),
    );
    // What may pass is no status (HW-D4): the event is run again.
    let found = match found {
        Err(fault) if fault.is_outage() => return Err(fault.into()),
        Err(fault) if fault.kind == FaultKind::Missing => {
            Err(Failure::explained(&fault, Code::BillingDeliveryFailed, format!("bucket `{bucket}` does not exist")))
        }
        Err(fault) => Err(fault.into()),
        Ok(found) => found,
    };
    Ok(Observation {
        export_state: export_state?,
        delivery_access: delivery_access?,
        bucket: bucket.as_str().to_owned(),
        place: name.is_empty().then(|| prefix.to_owned()),
        found,
        due_by: delivery_check.export("FirstDataDueBy").to_owned(),
    })
}

async fn export_state(origin: &Origin, delivery_check: &DeliveryCheck, ports: &Ports<'_>) -> Result<ExportState, Failure> {
    let (name, arn) = (delivery_check.export("Name"), delivery_check.export("Arn"));
    let Some(region) = origin.stack.partition.billing_region().filter(|_| !name.is_empty()) else {
        return Ok(ExportState::Unknown);
    };
    let aws = ports.cloud.at(&region);
    let present = |candidate: Candidate, delivery_error: Option<String>| ExportState::Present {
        delivery_error: candidate.delivery_error().or(delivery_error),
        has_delivered: candidate.has_delivered(),
    };
    let answer = if is_data_export(arn) {
        let (export, execution) = tokio::join!(
            retry_eventual(ports, origin, || aws.get_export(arn)),
            retry_eventual(ports, origin, || aws.last_execution(arn))
        );
        // An execution explains; whether the export is there does not depend on it.
        let failed = execution.ok().flatten().filter(Execution::has_failed);
        let failed =
            failed.map(|execution| execution.reason.map_or(execution.code.clone(), |why| format!("{} ({why})", execution.code)));
        export.map(|export| Some(present(Candidate::Export(export), failed)))
    } else {
        let reports = retry_eventual(ports, origin, || aws.describe_reports()).await;
        reports.map(|reports| {
            let report = reports.into_iter().find(|report| report.name == name)?;
            Some(present(Candidate::Report(report), None))
        })
    };
    match answer {
        Ok(Some(export_state)) => Ok(export_state),
        Ok(None) => Ok(ExportState::Removed),
        Err(fault) if fault.kind == FaultKind::Missing => Ok(ExportState::Removed),
        Err(fault) if fault.is_outage() => Err(fault.into()),
        Err(fault) => {
            warn!(action = fault.action, code = fault.code, "could not read the status of the export");
            Ok(ExportState::Unknown)
        }
    }
}

fn is_data_export(arn: &str) -> bool {
    arn.contains(":bcm-data-exports:")
}

/// Whether the policy of a bucket of ours still lets AWS in. A policy that somebody changed stops delivery at the next try, and
/// silently (F-15): this is known before AWS says so.
async fn bucket_access(
    origin: &Origin,
    delivery_check: &DeliveryCheck,
    bucket: &BucketName,
    ports: &Ports<'_>,
) -> Result<DeliveryAccess, Failure> {
    let partition = origin.stack.partition;
    let Some(region) = partition.billing_region().filter(|_| delivery_check.export("Origin") == "created") else {
        return Ok(DeliveryAccess::Allowed);
    };
    let (aws, owner) = (ports.cloud.at(&region), &origin.stack.account);
    match retry_eventual(ports, origin, || aws.bucket_policy(bucket, owner)).await {
        Ok(text) => {
            let (name, arn) = (delivery_check.export("Name"), delivery_check.export("Arn"));
            let report_arn = format!("arn:{partition}:cur:{region}:{owner}:definition/{name}");
            let is_export = is_data_export(arn);
            let delivery = policy::DeliveryCall {
                bucket,
                partition,
                account: owner,
                source_arn: if is_export { arn } else { &report_arn },
                service: if is_export { policy::EXPORTS_SERVICE } else { policy::REPORTS_SERVICE },
                prefix: &format!("{}/{name}", delivery_check.export("Prefix")),
            };
            Ok(policy::delivery_access(text.as_deref(), &delivery))
        }
        Err(fault) if fault.is_outage() => Err(fault.into()),
        // The look into the bucket tells why.
        Err(_) => Ok(DeliveryAccess::Allowed),
    }
}

/// Judges what was seen: total, and the same for the same facts.
pub fn judge(observation: &Observation, now: OffsetDateTime) -> DeliveryStatus {
    let found = observation.found.as_ref().ok().and_then(Option::as_ref);
    let first = found.map(|found| FirstData {
        period: found.first.period.clone(),
        manifest: found.first.key.clone(),
        delivered_at: rfc3339(found.first.modified),
    });
    let latest = found.map(|found| found.latest.clone());
    let due_by = if found.is_some() { String::new() } else { observation.due_by.clone() };
    let (state, problem) = assess(observation, found, now);
    // Told and not failed: data may go on to arrive (F-46).
    let at_risk = || (observation.delivery_access == DeliveryAccess::Uncertain).then(|| observation.policy_risk());
    let problem = problem.or_else(at_risk);
    DeliveryStatus { state, checked_at: rfc3339(now), due_by, first, latest, problem }
}

fn assess(
    observation: &Observation,
    found: Option<&DeliveredData>,
    now: OffsetDateTime,
) -> (DeliveryState, Option<DeliveryProblem>) {
    let failed = |problem| (DeliveryState::Failed, Some(problem));
    let has_delivered = match &observation.export_state {
        ExportState::Removed => {
            return failed(DeliveryProblem::new(Code::BillingExportGone, "the billing export no longer exists"));
        }
        ExportState::Present { delivery_error: Some(delivery_error), .. } => {
            let why = match observation.delivery_access {
                DeliveryAccess::Allowed => String::new(),
                DeliveryAccess::Uncertain | DeliveryAccess::Denied => format!("; {}", observation.policy_change()),
            };
            return failed(DeliveryProblem::new(
                Code::BillingDeliveryFailed,
                format!("AWS could not deliver: {delivery_error}{why}"),
            ));
        }
        ExportState::Present { delivery_error: None, has_delivered } => *has_delivered,
        ExportState::Unknown => false,
    };
    if let Err(failure) = &observation.found {
        return failed(DeliveryProblem::of(failure));
    }
    if observation.delivery_access == DeliveryAccess::Denied {
        return failed(DeliveryProblem::new(Code::BillingDeliveryFailed, observation.policy_change()));
    }
    let Some(found) = found else {
        if let Some(place) = &observation.place {
            return failed(DeliveryProblem::new(Code::BillingDataNotFound, nothing_at(&observation.bucket, place)));
        }
        return match first_data_grace_ends(&observation.due_by) {
            Some(late) if now > late => {
                let cause = format!("first data was due by {} and has not arrived", observation.due_by);
                (DeliveryState::Stalled, Some(DeliveryProblem::new(Code::BillingDataLate, cause)))
            }
            None if has_delivered => {
                let cause = "AWS reports a delivery, but the bucket contains no manifest";
                failed(DeliveryProblem::new(Code::BillingDataMissing, cause))
            }
            _ => (DeliveryState::Waiting, None),
        };
    };
    if !found.missing.is_empty() {
        let count = found.missing.len();
        let cause = format!("{count} of the files in the manifest are missing, such as `{}`", found.missing[0]);
        return failed(DeliveryProblem::new(Code::BillingDataMissing, cause));
    }
    if now - found.newest > STALLED_AFTER {
        let cause = format!("no new data since {}", rfc3339(found.newest));
        return (DeliveryState::Stalled, Some(DeliveryProblem::new(Code::BillingDataLate, cause)));
    }
    (DeliveryState::Delivered, None)
}

fn not_searched(bucket: &str, place: &str) -> String {
    format!(
        "{} in what was looked at, which was not everything: it has too many folders. Name the one with the billing data in ExistingPrefix",
        nothing_at(bucket, place)
    )
}

fn nothing_at(bucket: &str, place: &str) -> String {
    let below = if place.is_empty() { String::new() } else { format!(" below `{place}/`") };
    format!("bucket `{bucket}` contains no manifest of a report or export{below}")
}
