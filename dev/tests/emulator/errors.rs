//! Every error that AWS's models name for every call the handler makes, one at a time: each is answered with a stable code and a
//! next step, or with success where it does not matter, and nothing hangs.
//!
//! The list of errors is read from the models, so one that AWS adds is a case here that nobody has judged yet, and fails.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use hawser_dev::{
    constants::CUSTOMER,
    stack::Stack,
    strict_proxy::{
        calls::Upload,
        model::Model,
        scenario::{Fault, FaultAnswer, Scenario},
    },
    venv::{botocore, repository},
    watch,
};
use serde_json::{Value, json};

use crate::{events, world::Testbed};

/// Mostly waiting: for the tries after the first.
const LANES: usize = 6;

/// What a call that fails comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ExpectedOutcome {
    /// FAILED with this code.
    Failed(&'static str),
    /// SUCCESS, and the decision or the words about past months name the error.
    Said,
    /// SUCCESS: the error says that what was wanted is so already, or that there is nothing to know.
    Done,
}

use ExpectedOutcome::{Done, Failed, Said};

/// How to have an operation called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scene {
    /// A Create of this kind in these circumstances.
    Create(&'static str, &'static str),
    /// An Update of what a Create of this kind made.
    Update(&'static str),
    /// A Delete of it.
    Delete(&'static str),
    /// A run of the delivery watch.
    Watch,
}

/// Each operation that the handler calls of the services with models, and one way to have it called.
const OPERATIONS: [(&str, &str, Scene); 21] = [
    ("organizations", "DescribeOrganization", Scene::Create("standalone", "Focus")),
    ("organizations", "ListDelegatedServicesForAccount", Scene::Create("delegated-administrator", "Focus")),
    ("organizations", "ListInboundResponsibilityTransfers", Scene::Create("management", "Focus")),
    ("organizations", "ListOutboundResponsibilityTransfers", Scene::Create("management", "Focus")),
    ("cur", "DescribeReportDefinitions", Scene::Create("standalone", "CostAndUsageReport")),
    ("cur", "PutReportDefinition", Scene::Create("standalone", "CostAndUsageReport")),
    ("cur", "ListTagsForResource", Scene::Update("CostAndUsageReport")),
    ("cur", "DeleteReportDefinition", Scene::Delete("CostAndUsageReport")),
    ("bcm-data-exports", "ListExports", Scene::Create("standalone", "Focus")),
    ("bcm-data-exports", "ListTables", Scene::Create("standalone", "Focus")),
    ("bcm-data-exports", "GetTable", Scene::Create("standalone", "Focus")),
    ("bcm-data-exports", "CreateExport", Scene::Create("standalone", "Focus")),
    ("bcm-data-exports", "GetExport", Scene::Update("Focus")),
    ("bcm-data-exports", "ListTagsForResource", Scene::Update("Focus")),
    ("bcm-data-exports", "UpdateExport", Scene::Update("Focus")),
    ("bcm-data-exports", "DeleteExport", Scene::Delete("Focus")),
    ("bcm-data-exports", "ListExecutions", Scene::Watch),
    ("support", "DescribeCases", Scene::Create("support-plan", "Focus")),
    ("support", "DescribeServices", Scene::Create("support-plan", "Focus")),
    ("support", "DescribeSeverityLevels", Scene::Create("support-plan", "Focus")),
    ("support", "CreateCase", Scene::Create("support-plan", "Focus")),
];

/// What is right, judged by hand; nothing for an error that nobody has judged.
fn expected(service: &str, operation: &str, error: &str) -> Option<ExpectedOutcome> {
    Some(match (operation, error) {
        // Past months are a wish: AWS Support never fails a stack.
        ("CreateCase", "AttachmentSetExpired" | "AttachmentSetIdNotFound" | "CaseCreationLimitExceeded")
        | ("DescribeCases", "CaseIdNotFound")
        | (
            "CreateCase" | "DescribeCases" | "DescribeServices" | "DescribeSeverityLevels",
            "DryRunOperationException" | "InternalServerError",
        ) => Said,
        // Only this one means stand-alone; what says no means that the account's place is not known (F-22).
        ("DescribeOrganization", "AWSOrganizationsNotInUseException") => Done,
        ("DescribeOrganization", "AccessDeniedException" | "ConcurrentModificationException") => Said,
        // What a member administers is said and decides nothing.
        (
            "ListDelegatedServicesForAccount",
            "AccessDeniedException"
            | "AccountNotFoundException"
            | "AccountNotRegisteredException"
            | "AWSOrganizationsNotInUseException"
            | "ConstraintViolationException"
            | "InvalidInputException"
            | "ServiceException"
            | "TooManyRequestsException"
            | "UnsupportedAPIEndpointException",
        ) => Done,
        // Who receives the bill decides: an outage fails, a refusal is said.
        (
            "ListInboundResponsibilityTransfers" | "ListOutboundResponsibilityTransfers",
            "AccessDeniedException"
            | "AWSOrganizationsNotInUseException"
            | "ConstraintViolationException"
            | "InvalidInputException"
            | "ResponsibilityTransferNotFoundException"
            | "UnsupportedAPIEndpointException",
        ) => Said,
        // Why the last run failed is a help and no more.
        (
            "ListExecutions",
            "InternalServerException" | "ResourceNotFoundException" | "ThrottlingException" | "ValidationException",
        ) => Done,
        // An export that delivers is not failed for a column that it lacks.
        ("UpdateExport", "InternalServerException" | "ThrottlingException" | "ValidationException") => Said,
        ("DeleteExport", "ResourceNotFoundException") => Done,
        // What AWS does not let the handler remove is kept and said (F-55).
        ("DeleteExport" | "DeleteReportDefinition", "ValidationException") => Said,
        // Listed a moment before, and gone: it is not ours any more to update, and nothing to choose.
        ("GetExport", "ResourceNotFoundException") => GONE,
        ("ListTagsForResource", "ResourceNotFoundException") if service == "bcm-data-exports" => GONE,
        ("CreateExport", "ServiceQuotaExceededException") => Failed("BILLING_EXPORT_QUOTA"),
        ("PutReportDefinition", "ReportLimitReachedException") => Failed("BILLING_REPORT_LIMIT"),
        // A name that is taken, and no report of that name to be seen.
        ("PutReportDefinition", "DuplicateReportNameException" | "ResourceNotFoundException") => Failed("AWS_REFUSED"),
        ("UpdateExport" | "ListTagsForResource", "ResourceNotFoundException") => Failed("AWS_REFUSED"),
        (_, "ThrottlingException" | "TooManyRequestsException") => Failed("AWS_THROTTLED"),
        (_, "InternalErrorException" | "InternalServerException" | "ServiceException") => Failed("AWS_UNAVAILABLE"),
        (_, "AccessDeniedException") => Failed("AWS_ACCESS_DENIED"),
        (_, "ValidationException") => Failed("AWS_REFUSED"),
        _ => return None,
    })
}

/// The export cannot be found, and cannot be made: its name is taken.
const GONE: ExpectedOutcome = Failed("AWS_REFUSED");

/// A stack whose role may do everything, and whose function is given events of things that the stack does not have.
struct Lane {
    world: Testbed,
    stack: Stack,
}

impl Lane {
    async fn new() -> Self {
        let world = Testbed::new("support-plan").await;
        let stack = world.created(&[("BillingKind", "CostAndUsageReport2"), ("RequestBackfill", "true")]).await;
        Self { world, stack }
    }

    /// Runs the function with a request for this kind.
    async fn ask(&self, request: &str, kind: &str, event_type: &str, physical_id: Option<&str>) -> Vec<Upload> {
        let mut event = events::event(&self.world, &self.stack, request, event_type, physical_id);
        event["ResourceProperties"]["Kind"] = json!(kind);
        event["ResourceProperties"]["Reuse"] = json!("Never");
        event["ResourceProperties"]["RequestBackfill"] = json!("true");
        if event_type == "Update" {
            event["OldResourceProperties"] = event["ResourceProperties"].clone();
        }
        events::invoke(&self.world, &self.stack, &event).await
    }

    /// One case; what the call came to.
    async fn run_scene(&self, service: &str, operation: &str, error: &str, scene: Scene) -> Result<ExpectedOutcome, String> {
        let set = |scenario: Scenario| self.world.emulator.front().set_scenario(scenario);
        let answers = |service: &str, operation: &str, error: &str| Fault {
            service: service.into(),
            operation: operation.into(),
            nth: None,
            answer: FaultAnswer::Error(error.into()),
        };
        // CloudFormation sent none of these requests. Where it knows nothing of a stack, each counts as waited for.
        let unknown =
            ["DescribeStackResources", "DescribeStacks"].map(|asked| answers("cloudformation", asked, "ValidationError"));
        let clean = Scenario { faults: unknown.to_vec(), ..Scenario::named("support-plan").unwrap() };
        let failing = |scenario: Scenario| Scenario {
            faults: [vec![answers(service, operation, error)], unknown.to_vec()].concat(),
            ..scenario
        };
        let name = format!("{operation}-{error}");
        let mark = self.world.emulator.front().calls().mark();
        let ending = match scene {
            Scene::Create(circumstances, kind) => {
                // A case that was opened before would be found again.
                self.world.emulator.front().forget_cases(CUSTOMER);
                set(failing(Scenario::named(circumstances).unwrap()));
                let uploads = self.ask(&name, kind, "Create", None).await;
                set(clean);
                if let Some(id) = uploads.first().and_then(|upload| upload.body["PhysicalResourceId"].as_str()) {
                    self.removed(&name, kind, id).await?;
                }
                actual_outcome(&uploads, error)
            }
            Scene::Update(kind) | Scene::Delete(kind) => {
                // A column that is new to the table makes an Update one of the export.
                let older = Scenario { columns_missing: vec!["Tags".into()], ..clean.clone() };
                set(if operation == "UpdateExport" { older } else { clean.clone() });
                let made = self.ask(&format!("{name}-before"), kind, "Create", None).await;
                let id = made[0].body["PhysicalResourceId"].as_str().unwrap().to_owned();
                if made[0].body["Status"] != "SUCCESS" {
                    return Err(format!("could not begin: {}", made[0].body));
                }
                set(failing(clean.clone()));
                let event_type = if matches!(scene, Scene::Update(_)) { "Update" } else { "Delete" };
                let uploads = self.ask(&name, kind, event_type, Some(&id)).await;
                set(clean);
                self.removed(&name, kind, &id).await?;
                actual_outcome(&uploads, error)
            }
            Scene::Watch => {
                // The stack is CloudFormation's, and the check reads it.
                set(Scenario { faults: vec![answers(service, operation, error)], ..clean.clone() });
                let run = watch::run(&self.stack, &self.world.vendor).await.map_err(|error| format!("{error:#}"))?;
                set(clean);
                match run.status()["state"].as_str() {
                    Some("waiting") if run.error.is_none() => Ok(Done),
                    _ => Err(format!("{run:?}")),
                }
            }
        };
        let calls = self.world.emulator.front().calls().since(mark);
        let met = calls.iter().any(|call| call.fault.is_some() && (&*call.service, &*call.operation) == (service, operation));
        if met { ending } else { Err(format!("{operation} was not called; {ending:?}")) }
    }

    /// Nothing but the stack's own export is left.
    async fn removed(&self, name: &str, kind: &str, id: &str) -> Result<(), String> {
        let uploads = self.ask(&format!("{name}-after"), kind, "Delete", Some(id)).await;
        let left = (self.world.exports().len(), self.world.report_names().await.len());
        if left == (1, 0) { Ok(()) } else { Err(format!("{left:?} exports and reports are left: {uploads:?}")) }
    }
}

fn actual_outcome(uploads: &[Upload], error: &str) -> Result<ExpectedOutcome, String> {
    let [upload] = uploads else { return Err(format!("not one answer: {uploads:?}")) };
    let body = &upload.body;
    let reason = body["Reason"].as_str().unwrap_or_default();
    if let Some(problem) = &upload.problem {
        return Err(problem.clone());
    }
    if body["Status"] == "FAILED" {
        let codes = codes();
        let (code, _) = reason.split_once(": ").unwrap_or_default();
        let (code, next_step) = codes.get_key_value(code).ok_or_else(|| format!("no code of docs/errors.md: {reason}"))?;
        return if reason.contains(next_step) { Ok(Failed(code)) } else { Err(format!("no next step: {reason}")) };
    }
    let reported = [&body["Reason"], &body["Data"]["Decision"], &body["Data"]["Backfill"]];
    let said = reported.iter().any(|text| text.as_str().is_some_and(|text| text.contains(error)));
    Ok(if said { Said } else { Done })
}

/// Code to next step, as people are told in `docs/errors.md`.
fn codes() -> &'static BTreeMap<String, String> {
    static CODES: std::sync::OnceLock<BTreeMap<String, String>> = std::sync::OnceLock::new();
    CODES.get_or_init(|| {
        let text = std::fs::read_to_string(repository().join("docs/errors.md")).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        rows.map(cells).map(|cells| (cells[1].trim_matches('`').to_owned(), cells[4].clone())).collect()
    })
}

/// Every case: service, operation, error, scene.
fn cases() -> Vec<(&'static str, &'static str, String, Scene)> {
    let mut cases = Vec::new();
    for (service, operation, scene) in OPERATIONS {
        let model = Model::load(&botocore().unwrap(), service).unwrap();
        let errors = model.errors(operation);
        assert!(!errors.is_empty(), "{service}:{operation} is not in the model");
        cases.extend(errors.into_iter().map(|error| (service, operation, error, scene)));
    }
    cases
}

/// See the module.
#[tokio::test(flavor = "multi_thread")]
async fn every_modelled_error_is_answered() {
    let cases = cases();
    let unjudged: Vec<String> = cases
        .iter()
        .filter(|(service, operation, error, _)| expected(service, operation, error).is_none())
        .map(|(service, operation, error, _)| format!("{service}:{operation} {error}"))
        .collect();
    let (queue, wrong) = (Arc::new(Mutex::new(VecDeque::from(cases))), Arc::new(Mutex::new(unjudged)));
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let lanes = (0..LANES).map(|_| {
        let (queue, wrong, seen) = (Arc::clone(&queue), Arc::clone(&wrong), Arc::clone(&seen));
        tokio::spawn(async move {
            let lane = Lane::new().await;
            loop {
                let next = queue.lock().unwrap().pop_front();
                let Some((service, operation, error, scene)) = next else { break };
                let ending = lane.run_scene(service, operation, &error, scene).await;
                if ending != expected(service, operation, &error).ok_or(String::new()) {
                    wrong.lock().unwrap().push(format!("{service}:{operation} {error}: {ending:?}"));
                }
            }
            lane.world.assert_all_fit();
            lane.world.assert_no_leaks();
            let calls = lane.world.calls().into_iter().map(|call| (call.service, call.operation));
            seen.lock().unwrap().extend(calls);
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    let wrong = wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} of the errors:\n{}", wrong.len(), wrong.join("\n"));
    // Whatever else the handler called has to have its errors here too.
    let known: BTreeSet<(String, String)> = OPERATIONS.iter().map(|(one, two, _)| ((*one).into(), (*two).into())).collect();
    let services: BTreeSet<&str> = OPERATIONS.iter().map(|(service, ..)| *service).collect();
    let seen = seen.lock().unwrap();
    let unknown: Vec<_> = seen.iter().filter(|one| services.contains(one.0.as_str()) && !known.contains(one)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(seen.is_superset(&known), "not called: {:?}", known.difference(&seen).collect::<Vec<_>>());
}

/// The same through whole stacks: the stack's event shows it, and the stack ends.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_end_with_the_reason() {
    let world = Testbed::new("standalone").await;
    let failing = |service: &str, operation: &str, answer: FaultAnswer| {
        let fault = Fault { service: service.into(), operation: operation.into(), nth: None, answer };
        Scenario { faults: vec![fault], support_plan: true, ..Scenario::default() }
    };
    let error = |name: &str| FaultAnswer::Error(name.to_owned());
    for (number, (service, operation, answer, code)) in [
        ("bcm-data-exports", "CreateExport", error("ValidationException"), "AWS_REFUSED"),
        ("bcm-data-exports", "ListTables", error("ThrottlingException"), "AWS_THROTTLED"),
        ("bcm-data-exports", "GetTable", error("InternalServerException"), "AWS_UNAVAILABLE"),
        ("bcm-data-exports", "GetTable", FaultAnswer::Deny, "AWS_DENIED_BY_SCP"),
    ]
    .into_iter()
    .enumerate()
    {
        world.emulator.front().set_scenario(failing(service, operation, answer));
        let (_, outcome) = world.create_named(&format!("hawser-{number}"), &[("BillingKind", "Focus")]).await;
        assert_eq!(outcome.status, "ROLLBACK_COMPLETE", "{operation}");
        let reason = outcome.first_failure();
        let wanted = format!("{code}: ");
        assert!(reason.contains(&wanted) && reason.contains(&codes()[code]), "{operation}: {reason}");
        assert_eq!((world.exports(), world.buckets().await), (Vec::<Value>::new(), vec![]), "{operation} left something");
    }
    world.emulator.front().set_scenario(failing("support", "CreateCase", error("CaseCreationLimitExceeded")));
    let wanted = [("BillingKind", "Focus"), ("RequestBackfill", "true")];
    let mut stack = world.created(&wanted).await;
    let backfill = stack.outputs().await.unwrap()["Backfill"].clone();
    assert!(backfill.contains("CaseCreationLimitExceeded") && backfill.contains("https://"), "{backfill}");
    // A Delete that meets an outage fails, says why, and succeeds when it is tried again.
    world.emulator.front().set_scenario(failing("bcm-data-exports", "DeleteExport", error("InternalServerException")));
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    assert_eq!(outcome.status, "DELETE_FAILED");
    assert!(outcome.first_failure().contains("AWS_UNAVAILABLE: "), "{}", outcome.first_failure());
    world.emulator.front().set_scenario(Scenario::default());
    world.deleted(&mut stack).await;
    assert_eq!(world.exports(), Vec::<Value>::new());
    world.assert_no_leaks();
}
