//! Long because every rule that a life is judged by stands here, and the excuses beside them.
//! What must hold after every life: a reference model, written from `docs/requirements.md` and from CloudFormation's own
//! rules, knowing nothing of how the handler decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hawser::{
    aws::Tags,
    billing::{self, TAG_STACK},
    connection,
};
use hawser_account::AccountState;
use serde_json::Value;

use crate::{
    exchange::{Ended, Exchange, Invocation, RequestOutcome},
    lambda::{Deliveries, FUNCTION_TIMEOUT},
    life::{Scenario, ScenarioRun, StackRun},
    parties::{SIGNATURE, Stored, Upload},
    script::{InjectedFault, Label, VENDOR_CALL},
    stack::{BILLING, CONNECTION, Status},
    third_party::is_anyones,
};

/// A response leaves at least this long before the deadline (HW-A3).
const SAFETY: Duration = Duration::from_secs(2);

/// CloudFormation's quota for a response, in its own number and not in the handler's.
const RESPONSE_BYTES_MAX: usize = 4096;

/// Longest physical id (CloudFormation, custom resource response objects).
const PHYSICAL_ID_BYTES_MAX: usize = 1024;

/// AWS does not do it, and trying again does not help.
const REFUSALS: [InjectedFault; 3] = [InjectedFault::Denied, InjectedFault::DeniedByPolicy, InjectedFault::Refused];

/// Calls without which something of the stack's is kept (HW-O4, F-55).
const KEPT_WITHOUT: [&str; 11] = [
    "cur:DescribeReportDefinitions",
    "cur:ListTagsForResource",
    "cur:DeleteReportDefinition",
    "bcm-data-exports:ListExports",
    "bcm-data-exports:ListTagsForResource",
    "bcm-data-exports:DeleteExport",
    "s3:ListBucket",
    "s3:GetBucketTagging",
    "s3:ListBucketVersions",
    "s3:DeleteObject",
    "s3:DeleteBucket",
];

/// Checks a life.
///
/// # Errors
/// One sentence: which rule is broken, and by what.
pub fn check(scenario: &Scenario, scenario_run: &ScenarioRun) -> Result<(), String> {
    if let Some(violation) = scenario_run.violations.first() {
        return Err(violation.clone());
    }
    let uploads = by_run(&scenario_run.world.mailbox.uploads());
    for stack in &scenario_run.stacks {
        for exchange in &stack.exchanges {
            let context = || format!("{} ({}) of {}", exchange.label, exchange.event["RequestId"], stack.id);
            // The Create of a stack that gave up may tell the vendor once more, and takes it back itself: `check_end` looks whether it did.
            // An Update that was cancelled may tell the vendor after its rollback did: CloudFormation shows both alike, and what the vendor
            // has then, the next status mends.
            let of_late = |request| stack.exchanges.iter().any(|exchange| has_late_run(exchange, request));
            let overtaken = match (exchange.label.resource, exchange.label.request) {
                (CONNECTION, "Delete") => of_late("Create"),
                (CONNECTION, "Update") => of_late("Update"),
                _ => false,
            };
            check_exchange(exchange, &uploads, overtaken, scenario_run).map_err(|what| format!("{}: {what}", context()))?;
        }
        check_steady_state(stack, scenario_run).map_err(|what| format!("{}: {what}", stack.id))?;
        check_end(stack, scenario_run).map_err(|what| format!("{}: {what}", stack.id))?;
    }
    check_third_party(scenario, scenario_run)?;
    check_vendor_alone(scenario, scenario_run)
}

/// Whether a run of such a request of the connection went on, or began, when CloudFormation waited for it no more.
fn has_late_run(exchange: &Exchange, request: &'static str) -> bool {
    let answered = matches!(exchange.closed, RequestOutcome::Answered(_));
    exchange.label == Label { resource: CONNECTION, request } && (!answered || exchange.runs.iter().any(|run| run.too_late))
}

fn by_run(uploads: &[Upload]) -> BTreeMap<u64, Vec<Upload>> {
    let mut runs = BTreeMap::<u64, Vec<Upload>>::new();
    for upload in uploads {
        runs.entry(upload.run).or_default().push(upload.clone());
    }
    runs
}

/// What holds for every request, whatever went wrong.
fn check_exchange(
    exchange: &Exchange,
    uploads: &BTreeMap<u64, Vec<Upload>>,
    overtaken: bool,
    scenario_run: &ScenarioRun,
) -> Result<(), String> {
    for run in &exchange.runs {
        let none = Vec::new();
        check_run(run, uploads.get(&run.number).unwrap_or(&none), scenario_run)?;
    }
    if let RequestOutcome::Refused(why) = &exchange.closed {
        return Err(format!("CloudFormation does not take the response: {why}"));
    }
    let mut ids = BTreeSet::new();
    // CloudFormation reads the first one, if it still waits.
    let heard = matches!(exchange.closed, RequestOutcome::Answered(_));
    for (nth, stored) in exchange.stored.iter().enumerate() {
        if stored.body.len() > RESPONSE_BYTES_MAX {
            return Err(format!("a response of {} bytes", stored.body.len()));
        }
        let text = String::from_utf8_lossy(&stored.body);
        let token = exchange.event["ResourceProperties"]["LaunchToken"].as_str().unwrap_or(SIGNATURE);
        if text.contains(SIGNATURE) || text.contains(token) {
            return Err("a secret is in the response".to_owned());
        }
        let response: Value = serde_json::from_slice(&stored.body).map_err(|why| why.to_string())?;
        check_response(&exchange.event, &response)?;
        ids.insert(response["PhysicalResourceId"].as_str().unwrap_or_default().to_owned());
        if heard && nth == 0 && !stored.disturbed && !overtaken && response["Status"] == "SUCCESS" {
            check_claim(&exchange.event, &response, stored, scenario_run)?;
        }
    }
    // HW-L1: every delivery of a Create answers with one id. An Update that fails after it replaced echoes the old one.
    if ids.len() > 1 && exchange.label.request != "Update" {
        return Err(format!("different ids for one request: {ids:?}"));
    }
    Ok(())
}

fn check_run(run: &Invocation, uploads: &[Upload], scenario_run: &ScenarioRun) -> Result<(), String> {
    let faulted = scenario_run.world.script.faulted_runs().contains(&run.number);
    // HW-A3, F-3: before the deadline, with two seconds to spare unless the upload itself is what hangs.
    let hung = faulted && uploads.iter().any(|upload| !upload.confirmed);
    let limit = if hung { FUNCTION_TIMEOUT } else { FUNCTION_TIMEOUT - SAFETY };
    if run.took > limit || matches!(run.ended, Ended::TimedOut | Ended::Panicked) {
        return Err(format!("run {} took {:?} and {:?}", run.number, run.took, run.ended));
    }
    // HW-A2: one response, sent again only as long as it is not confirmed.
    let confirmed = uploads.iter().position(|upload| upload.confirmed);
    if confirmed.is_some_and(|at| at + 1 < uploads.len()) {
        return Err(format!("run {} answered again after its response was stored", run.number));
    }
    if uploads.windows(2).any(|pair| pair[0].body != pair[1].body || pair[0].url != pair[1].url) {
        return Err(format!("run {} sent two different responses", run.number));
    }
    // HW-A5: an error for Lambda exactly when nothing was delivered.
    match run.ended {
        Ended::Well if confirmed.is_none() => Err(format!("run {} ended without a response", run.number)),
        Ended::InError if confirmed.is_some() => Err(format!("run {} told Lambda of an error after it answered", run.number)),
        Ended::InError | Ended::Killed if !faulted => {
            Err(format!("run {} ended {:?} though nothing went wrong", run.number, run.ended))
        }
        _ => Ok(()),
    }
}

/// The response alone, against its request.
fn check_response(event: &Value, response: &Value) -> Result<(), String> {
    let same = |field: &str| response[field] == event[field] && response[field].as_str().is_some_and(|text| !text.is_empty());
    if !same("StackId") || !same("RequestId") || !same("LogicalResourceId") {
        return Err("an id of the request is not repeated".to_owned());
    }
    let id = response["PhysicalResourceId"].as_str().unwrap_or_default();
    if id.is_empty() || id.len() > PHYSICAL_ID_BYTES_MAX {
        return Err("the physical id is empty or too long".to_owned());
    }
    let incoming = event["PhysicalResourceId"].as_str();
    let kind = event["RequestType"].as_str().unwrap_or_default();
    // HW-L2, F-2: a failure and a Delete keep the id they came with.
    if (response["Status"] == "FAILED" || kind == "Delete") && incoming.is_some_and(|incoming| incoming != id) {
        return Err(format!("the physical id changed to `{id}`"));
    }
    if response["Status"] == "FAILED" {
        let reason = response["Reason"].as_str().unwrap_or_default();
        let code = reason.split(": ").next().unwrap_or_default();
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        return if is_code { Ok(()) } else { Err(format!("a failure without a code: {reason}")) };
    }
    if kind == "Delete" {
        return Ok(());
    }
    // HW-A6, F-30: the same attributes on every request type.
    let names: BTreeSet<&str> = response["Data"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let expected: BTreeSet<&str> = match event["ResourceType"].as_str() {
        Some(billing::RESOURCE_TYPE) => billing::ATTRIBUTES.into(),
        _ => connection::ATTRIBUTES.into(),
    };
    if names == expected { Ok(()) } else { Err(format!("the attributes are {names:?}")) }
}

/// SUCCESS only if what it claims is really there, at the moment it is said.
fn check_claim(event: &Value, response: &Value, stored: &Stored, scenario_run: &ScenarioRun) -> Result<(), String> {
    let (kind, stack) = (event["RequestType"].as_str().unwrap_or_default(), event["StackId"].as_str().unwrap_or_default());
    if event["ResourceType"] == connection::RESOURCE_TYPE {
        return check_notified(kind, event, response, stored);
    }
    let state = &stored.state;
    let mine = |tags: &Tags| tags.get(TAG_STACK).is_some_and(|owner| owner == stack);
    if kind == "Delete" {
        let id = response["PhysicalResourceId"].as_str().unwrap_or_default();
        let name = id.rsplit('/').next().unwrap_or_default();
        // `CreateExport` knows no idempotency token; the Delete of the whole resource finds what was made twice. What another run made
        // without a bucket that could tell of it, that run removes: `check_end` looks whether it did.
        let reports = state.reports.get(name).into_iter().filter(|(report, _)| !stored.unseen.contains(&report.name));
        let reports = reports.map(|(report, tags)| (&report.name, tags));
        let exports = state.exports.iter().filter(|(arn, _)| !stored.unseen.contains(*arn));
        let exports = exports.map(|(_, known)| (&known.export.name, &known.tags));
        // F-55: what AWS does not let the handler look at or remove keeps no stack from going, and the answer says so.
        let kept = response["Reason"].as_str().is_some_and(|reason| reason.contains("was kept"));
        let mut left =
            reports.chain(exports.filter(|(known, _)| *known == name)).filter(|_| !(kept && may_be_kept(scenario_run)));
        return left.find(|(_, tags)| mine(tags)).map_or(Ok(()), |(name, _)| Err(format!("`{name}` is still there")));
    }
    // F-45: no fault of that question fails a stack, and the decision says what follows.
    let is_said = response["Data"]["Decision"].as_str().is_some_and(|decision| decision.contains("the role cannot decrypt"));
    let keys_seen =
        !is_said || !scenario_run.world.script.met().keys().any(|((_, call), _)| *call == "s3:GetEncryptionConfiguration");
    check_key(&response["Data"], state, keys_seen)?;
    check_export(&event["ResourceProperties"], &response["Data"], state, mine)
}

/// Whether AWS refused to say what there is, or to remove it.
fn may_be_kept(scenario_run: &ScenarioRun) -> bool {
    scenario_run.world.script.met().keys().any(|((_, call), injected)| KEPT_WITHOUT.contains(call) && REFUSALS.contains(injected))
}

/// The role is granted the key that the bucket names, if that could be seen, and no other.
fn check_key(data: &Value, state: &AccountState, seen: bool) -> Result<(), String> {
    let data = |name: &str| data[name].as_str().unwrap_or_default();
    let bucket = state.buckets.get(data("BucketName")).filter(|_| data("Origin") != "none");
    let key = bucket.and_then(|bucket| bucket.kms_key.as_deref()).unwrap_or_default();
    let stated = data("KmsKeyArn");
    if stated == key || (!seen && stated.is_empty()) {
        Ok(())
    } else {
        Err(format!("the bucket's key is `{key}`, and `{stated}` is told"))
    }
}

/// The attributes, and what they say is there.
fn check_export(properties: &Value, data: &Value, state: &AccountState, mine: impl Fn(&Tags) -> bool) -> Result<(), String> {
    let data = |name: &str| data[name].as_str().unwrap_or_default();
    // HW-A8: the template puts them into JSON text.
    let ends_a_string = |text: &str| text.chars().any(|c| c == '"' || c == '\\' || c.is_control());
    if let Some(name) = billing::ATTRIBUTES.into_iter().find(|name| ends_a_string(data(name))) {
        return Err(format!("attribute `{name}` breaks the template's JSON: {}", data(name)));
    }
    let bucket = state.buckets.get(data("BucketName"));
    // What the customer brings is not looked for under a name of ours.
    if properties["ExistingBucket"].as_str().is_some_and(|name| !name.is_empty()) && data("Origin") == "reused" {
        let there = bucket.is_some_and(|bucket| bucket.owner.is_none());
        return if there { Ok(()) } else { Err(format!("there is no bucket `{}` to read", data("BucketName"))) };
    }
    if data("Arn").contains(":bcm-data-exports:") {
        let known = state
            .exports
            .get(data("Arn"))
            .filter(|known| known.export.name == data("Name") && known.export.bucket == data("BucketName"));
        return match (data("Origin"), known) {
            ("created", Some(known)) if mine(&known.tags) => can_be_delivered_to(state, &known.export.bucket, &mine),
            ("reused", Some(known)) if !is_anyones(&known.tags) && bucket.is_some() => Ok(()),
            (origin, known) => Err(format!("Origin is `{origin}` and Arn `{}`, but there is {known:?}", data("Arn"))),
        };
    }
    let report = state.reports.get(data("Name"));
    match (data("Origin"), report) {
        ("none", None) if data("Name").is_empty() => Ok(()),
        ("created", Some((report, tags))) if mine(tags) && report.bucket == data("BucketName") => {
            can_be_delivered_to(state, &report.bucket, &mine)
        }
        ("reused", Some((report, tags))) if !is_anyones(tags) && report.bucket == data("BucketName") => {
            if state.buckets.contains_key(&report.bucket) { Ok(()) } else { Err("the reused report has no bucket".to_owned()) }
        }
        (origin, report) => Err(format!("Origin is `{origin}` and Name `{}`, but there is {report:?}", data("Name"))),
    }
}

fn can_be_delivered_to(state: &AccountState, bucket: &str, mine: impl Fn(&Tags) -> bool) -> Result<(), String> {
    let ours = state.buckets.get(bucket).filter(|bucket| mine(&bucket.tags) && bucket.owner.is_none());
    let allowed = ours.and_then(|bucket| bucket.policy.as_deref()).is_some_and(|policy| policy.contains("HawserBillingWrite"));
    if allowed { Ok(()) } else { Err(format!("AWS cannot deliver to `{bucket}`")) }
}

/// The vendor has what the account said, or the answer says that it does not.
fn check_notified(kind: &str, event: &Value, response: &Value, stored: &Stored) -> Result<(), String> {
    let reason = response["Reason"].as_str().unwrap_or_default();
    if reason.contains("not notified") {
        return Ok(());
    }
    let properties = &event["ResourceProperties"];
    match (kind, &stored.connected) {
        ("Delete", None) => Ok(()),
        ("Delete", Some(_))
            if event["PhysicalResourceId"].as_str().is_some_and(|id| !id.starts_with("hawser/account-connection/")) =>
        {
            Ok(())
        }
        ("Delete", Some(_)) => Err("the vendor still shows the connection".to_owned()),
        (_, None) => Err("the vendor does not know the connection".to_owned()),
        (_, Some(data)) => {
            let named = data["connectionName"] == properties["ConnectionName"];
            let packs =
                data["packs"]["billing"].as_str().unwrap_or("None") == properties["Packs"]["billing"].as_str().unwrap_or("None");
            if named && packs { Ok(()) } else { Err(format!("the vendor has other data: {data}")) }
        }
    }
}

/// While the stack lived: no late event took away what it has (HW-L8).
fn check_steady_state(stack: &StackRun, scenario_run: &ScenarioRun) -> Result<(), String> {
    let steady_state = &stack.steady_state;
    let text = |name: &str| steady_state.export.get(name).and_then(Value::as_str).unwrap_or_default();
    let settled = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"].contains(&steady_state.status.as_str());
    // A role that may not ask cannot tell an old Delete from a new one, and a run that gets no answer whether it is too late.
    let blind = scenario_run.world.script.met().keys().any(|((label, call), injected)| {
        *call == "cloudformation:DescribeStackResources" && (label.request != "Delete" || REFUSALS.contains(injected))
    });
    // A run that took things back crossed one that made the same again: between its last look and its call lies one moment.
    let was_cut = stack.exchanges.iter().any(|exchange| exchange.closed == RequestOutcome::Cancelled);
    let crossed = was_cut
        && ["Create", "Update"].iter().any(|request| {
            let label = Label { resource: BILLING, request };
            let removals = ["cur:DeleteReportDefinition", "bcm-data-exports:DeleteExport"];
            removals.iter().any(|call| scenario_run.world.script.steps().contains_key(&(label, *call)))
        });
    // A resource that a person skipped is what the person says it is.
    if blind || crossed || !settled || text("Origin") != "created" || !stack.recovered.is_empty() {
        return Ok(());
    }
    let (report, bucket) = (text("Name"), text("BucketName"));
    let excused =
        |name: &str| scenario_run.third_party.dropped.contains(name) || scenario_run.third_party.taken_over.contains(name);
    let mine = |tags: &Tags| tags.get(TAG_STACK) == Some(&stack.id);
    // Of two exports with one name and one path either will do.
    let exports = steady_state.state.exports.values().filter(|known| known.export.name == report && mine(&known.tags));
    let places: Vec<(&str, &str)> = exports
        .map(|known| (known.export.format.as_str(), known.export.prefix.as_str()))
        .chain(steady_state.state.reports.get(report).map(|(report, _)| (report.format.as_str(), report.prefix.as_str())))
        .collect();
    if places.is_empty() && !excused(report) {
        return Err(format!("`{report}` is gone while the stack ({}) has it", steady_state.status));
    }
    let format: &[&str] = if text("Format") == "Csv" { &["textORcsv", "TEXT_OR_CSV"] } else { &["Parquet", "PARQUET"] };
    let stated = |(known, prefix): &(&str, &str)| format.contains(known) && *prefix == text("Prefix");
    if !places.is_empty() && !places.iter().any(stated) {
        return Err(format!("`{report}` delivers {places:?}, and the stack says {} to {}", text("Format"), text("Prefix")));
    }
    if !steady_state.state.buckets.contains_key(bucket) && !excused(bucket) {
        return Err(format!("bucket `{bucket}` is gone while the stack ({}) has it", steady_state.status));
    }
    Ok(())
}

/// After the stack is gone.
fn check_end(stack: &StackRun, scenario_run: &ScenarioRun) -> Result<(), String> {
    // F-1, F-27, F-28: when nothing goes wrong any more, nothing keeps a stack from going on or from going.
    let taken_over = !scenario_run.third_party.taken_over.is_empty();
    for (what, status) in &stack.recovered {
        if *status == Status::Failed && !(taken_over && *what == "ContinueUpdateRollback") {
            return Err(format!("{what} fails though nothing goes wrong any more"));
        }
    }
    if stack.status != "DELETE_COMPLETE" {
        return Err(format!("the stack ends as {}", stack.status));
    }
    let mine = |tags: &Tags| tags.get(TAG_STACK) == Some(&stack.id);
    if !remains_are_explained(stack, BILLING, scenario_run) {
        if let Some((name, _)) = scenario_run.state.reports.iter().find(|(_, (_, tags))| mine(tags)) {
            return Err(format!("report `{name}` of the deleted stack is left"));
        }
        if let Some((arn, _)) = scenario_run.state.exports.iter().find(|(_, known)| mine(&known.tags)) {
            return Err(format!("export `{arn}` of the deleted stack is left"));
        }
        let empty = scenario_run.state.buckets.iter().find(|(_, bucket)| mine(&bucket.tags) && bucket.objects.is_empty());
        if let Some((name, _)) = empty {
            return Err(format!("empty bucket `{name}` of the deleted stack is left"));
        }
    }
    if stack.connected && !remains_are_explained(stack, CONNECTION, scenario_run) {
        return Err("the vendor still shows the connection of the deleted stack".to_owned());
    }
    Ok(())
}

/// What no handler can mend, because it was never run again: said of each resource, as narrowly as it can be.
fn remains_are_explained(stack: &StackRun, resource: &str, scenario_run: &ScenarioRun) -> bool {
    let faulted = scenario_run.world.script.faulted_runs();
    let met = scenario_run.world.script.met();
    let met = |request: &str, call: &str, mishaps: &[InjectedFault]| {
        met.keys().any(|((label, name), injected)| {
            label.resource == resource && label.request == request && *name == call && mishaps.contains(injected)
        })
    };
    let of_resource: Vec<&Exchange> = stack.exchanges.iter().filter(|exchange| exchange.label.resource == resource).collect();
    // A run that the stack did not wait for, and that met a mishap, perhaps just where it would have taken things back.
    let late_and_faulted = of_resource.iter().any(|exchange| {
        let heard = match exchange.closed {
            RequestOutcome::Answered(_) => exchange.stored.first().map(|stored| stored.run),
            _ => None,
        };
        let unheard = |run: &Invocation| run.too_late || heard != Some(run.number);
        exchange.label.request != "Delete" && exchange.runs.iter().any(|run| unheard(run) && faulted.contains(&run.number))
    });
    // CloudFormation gave up on its Delete and forgot it: three clean-ups failed, and no later one knows that prefix.
    let last_delete = of_resource.iter().rev().find(|exchange| exchange.label.request == "Delete");
    let prefix = |exchange: &Exchange| exchange.event["ResourceProperties"]["NamePrefix"].clone();
    let forgotten = last_delete.is_some_and(|last| {
        let deletes = of_resource.iter().filter(|exchange| exchange.label.request == "Delete");
        // Or no later one reaches that id, because an Update took the resource out: while it cleans up, a Delete is of one id.
        let is_delete_of = |exchange: &Exchange, of: &str| exchange.label.resource == of && exchange.label.request == "Delete";
        let position = |of: &str| stack.exchanges.iter().rposition(|exchange| is_delete_of(exchange, of));
        let taken_out = position(resource) < position(CONNECTION);
        let given_up = |exchange: &&&Exchange| {
            let of_id = |other: &&&Exchange| other.event["PhysicalResourceId"] == exchange.event["PhysicalResourceId"];
            !deletes.clone().filter(of_id).any(|other| succeeded(other))
        };
        !succeeded(last)
            || deletes.clone().any(|exchange| !succeeded(exchange) && prefix(exchange) != prefix(last))
            || (taken_out && deletes.clone().any(|exchange| given_up(&exchange)))
    });
    if resource == CONNECTION {
        // HW-C5: the stack goes although the vendor did not hear, and says so.
        let said = last_delete.is_some_and(|exchange| match &exchange.closed {
            RequestOutcome::Answered(response) => {
                response["Reason"].as_str().is_some_and(|reason| reason.contains("not notified"))
            }
            _ => false,
        });
        return late_and_faulted || forgotten || said;
    }
    let lookups = ["cloudformation:DescribeStackResources", "cloudformation:DescribeStacks"];
    let denied_lookup = lookups.iter().any(|call| met("Delete", call, &REFUSALS));
    let kept = ["Update", "Delete"].iter().any(|request| KEPT_WITHOUT.iter().any(|call| met(request, call, &REFUSALS)));
    late_and_faulted || forgotten || denied_lookup || kept
}

fn succeeded(exchange: &Exchange) -> bool {
    matches!(&exchange.closed, RequestOutcome::Answered(response) if response["Status"] == "SUCCESS")
}

/// Nothing of anybody's was lost.
fn check_third_party(scenario: &Scenario, scenario_run: &ScenarioRun) -> Result<(), String> {
    let (state, third_party) = (&scenario_run.state, &scenario_run.third_party);
    for (name, report) in &third_party.theirs.reports {
        if state.reports.get(name) != Some(report) {
            return Err(format!("the customer's report `{name}` was changed: {:?}", state.reports.get(name)));
        }
    }
    for (arn, known) in &third_party.theirs.exports {
        if state.exports.get(arn) != Some(known) {
            return Err(format!("the customer's export `{arn}` was changed: {:?}", state.exports.get(arn)));
        }
    }
    if let Some(case) = state.cases.iter().find(|case| case.run.is_some() && !scenario.asks_for_backfill()) {
        return Err(format!("nobody asked for support case {}", case.display_id));
    }
    for (name, bucket) in &third_party.theirs.buckets {
        if state.buckets.get(name) != Some(bucket) {
            return Err(format!("the customer's bucket `{name}` was changed: {:?}", state.buckets.get(name)));
        }
    }
    let has = |bucket: &str, key: &str| state.buckets.get(bucket).is_some_and(|bucket| bucket.objects.contains_key(key));
    if let Some((bucket, key)) = third_party.objects.iter().find(|(bucket, key)| !has(bucket, key)) {
        return Err(format!("the customer's `{bucket}/{key}` is gone"));
    }
    if scenario.keeps_data()
        && let Some((bucket, key)) = third_party.delivered.iter().find(|(bucket, key)| !has(bucket, key))
    {
        return Err(format!("delivered data `{bucket}/{key}` is gone though it is to be kept"));
    }
    for (name, sid) in &third_party.statements {
        let policy = state.buckets.get(name).map(|bucket| bucket.policy.clone().unwrap_or_default());
        if policy.is_some_and(|policy| !policy.contains(sid)) {
            return Err(format!("the customer's statement `{sid}` in the policy of `{name}` is gone"));
        }
    }
    Ok(())
}

/// What a vendor alone can do to a stack: fail its Create and its Updates, and never more (HW-C5, HW-C6, F-28).
fn check_vendor_alone(scenario: &Scenario, scenario_run: &ScenarioRun) -> Result<(), String> {
    let met = scenario_run.world.script.met();
    let run_without_faults = scenario.stacks.iter().all(|stack| matches!(stack.deliveries, Deliveries::Plain));
    let others = !run_without_faults
        || scenario.has_cancellation()
        || scenario.actor.is_some()
        || met.keys().any(|((_, call), _)| *call != VENDOR_CALL);
    let broke_itself = met
        .keys()
        .any(|(_, injected)| matches!(injected, InjectedFault::Panic | InjectedFault::KilledBefore | InjectedFault::KilledAfter));
    // Without rollback nothing goes back; that it goes is looked at all the same.
    let stuck = scenario.stacks.iter().zip(&scenario_run.stacks).any(|(scenario, stack)| {
        let statuses = if scenario.express { &stack.statuses[stack.statuses.len() - 1..] } else { &stack.statuses[..] };
        statuses.contains(&Status::Failed)
    });
    if !others && !broke_itself && stuck {
        Err("a vendor kept a stack from rolling back or from going".to_owned())
    } else {
        Ok(())
    }
}
