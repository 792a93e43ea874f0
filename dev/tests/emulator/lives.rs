//! Lives of stacks under faults, and what must hold after each step of them: what `faults`, `kills` and `chaos` share.
//!
//! A life is a create, an update and a delete in an account in which the customer has things too. Several lives go on at the
//! same time, in lanes: each lane has an emulator of its own, because faults are counted by emulator, and lives one life after
//! the other. What must hold is written down here without looking at how the handler works.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    sync::{Arc, Mutex},
};

use hawser_dev::{
    emulator::Run,
    stack::{Outcome, Stack},
    strict_proxy::scenario::{Fault, FaultAnswer, Scenario},
    vendor::Notice,
};
use serde_json::{Value, json};

use crate::world::Testbed;

/// The mark of ownership, by `docs/ARCHITECTURE.md`.
const OWNERSHIP_TAG: &str = "hawser:stack-id";

/// Runs only the cases whose name contains this.
const CASE_VARIABLE: &str = "HAWSER_CASE";

/// Everything that S3 can say about a bucket, by the query that asks for it.
const SETTINGS: [&str; 9] =
    ["policy", "tagging", "versioning", "encryption", "lifecycle", "publicAccessBlock", "ownershipControls", "acl", "versions"];

/// One call of a flow: service, operation, and which call of that operation.
pub(crate) type Step = (String, String, usize);

/// An account with things of the customer's, and how they were before any stack.
pub(crate) struct Lane {
    pub(crate) world: Testbed,
    customers: BTreeMap<String, String>,
}

/// Where the records of a lane stood, to look at later ones only.
#[derive(Clone, Copy)]
pub(crate) struct LogPosition {
    calls: usize,
    runs: usize,
    uploads: usize,
    notices: usize,
}

impl Lane {
    /// A lane whose stacks have this kind of billing data.
    pub(crate) async fn of(kind: &str) -> Self {
        let mut world = Testbed::new("standalone").await;
        world.parameters.insert("BillingKind".into(), kind.into());
        Self::new(world).await
    }

    pub(crate) async fn new(world: Testbed) -> Self {
        world.customers_report("theirs", "theirs-111122223333", &[("TimeUnit", json!("DAILY"))], true).await;
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "Auditors", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::theirs-111122223333"}]});
        let s3 = world.billing().s3();
        s3.put_bucket_policy().bucket("theirs-111122223333").policy(policy.to_string()).send().await.unwrap();
        world.enable_versioning("theirs-111122223333").await;
        for key in ["billing/a", "billing/a", "hawser/b"] {
            world.deliver("theirs-111122223333", key).await;
        }
        s3.create_bucket().bucket("hawser-111122223333-photos").send().await.unwrap();
        world.deliver("hawser-111122223333-photos", "holiday.jpg").await;
        let customers = account_resources(&world, None).await;
        assert!(customers.len() > 20, "{customers:?}");
        Self { world, customers }
    }

    /// From now on these faults meet calls, notices and uploads.
    pub(crate) fn set(&self, scenario: &Scenario) {
        self.world.vendor.set_faults(scenario);
        self.world.emulator.front().set_scenario(scenario.clone());
    }

    pub(crate) fn set_one(&self, fault: Option<&Fault>) {
        self.set(&Scenario { faults: fault.into_iter().cloned().collect(), ..Scenario::default() });
    }

    pub(crate) fn mark(&self) -> LogPosition {
        LogPosition {
            calls: self.world.emulator.front().calls().mark(),
            runs: self.world.emulator.runs().len(),
            uploads: self.world.emulator.front().uploads().len(),
            notices: self.world.vendor.notices().len(),
        }
    }

    /// Every call, notice and upload since the mark, in the words of a fault.
    pub(crate) fn steps(&self, since: LogPosition) -> Vec<Step> {
        let calls = self.world.emulator.front().calls().since(since.calls).into_iter().map(|call| (call.service, call.operation));
        // Given up as soon as the account is known to be no management account: whether they are made to the end is chance.
        let calls = calls.filter(|(_, operation)| !operation.ends_with("ResponsibilityTransfers"));
        let notices = self.world.vendor.notices().split_off(since.notices);
        let notices = notices.iter().map(|notice| ("vendor".to_owned(), notice.kind().rsplit('.').next().unwrap().to_owned()));
        let uploads = self.world.emulator.front().uploads().split_off(since.uploads);
        let uploads = uploads.into_iter().map(|upload| ("upload".to_owned(), upload.logical_id));
        let mut counts = BTreeMap::new();
        let numbered = calls.chain(notices).chain(uploads).map(|(service, operation)| {
            let count: &mut usize = counts.entry((service.clone(), operation.clone())).or_default();
            *count += 1;
            (service, operation, *count)
        });
        numbered.collect()
    }

    /// The faults that met something since the mark.
    pub(crate) fn met(&self, since: LogPosition) -> Vec<FaultAnswer> {
        let calls = self.world.emulator.front().calls().since(since.calls).into_iter().filter_map(|call| call.fault);
        let notices = self.world.vendor.notices().split_off(since.notices).into_iter().filter_map(|notice| notice.fault);
        let uploads =
            self.world.emulator.front().uploads().split_off(since.uploads).into_iter().filter_map(|upload| upload.fault);
        calls.chain(notices).chain(uploads).collect()
    }

    /// The reasons of all responses since the mark.
    pub(crate) fn reasons(&self, since: LogPosition) -> String {
        let uploads = self.world.emulator.front().uploads().split_off(since.uploads);
        uploads.iter().filter_map(|upload| upload.body["Reason"].as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The runs that have ended since the mark.
    pub(crate) fn runs(&self, since: LogPosition) -> Vec<Run> {
        self.world.emulator.runs().split_off(since.runs)
    }

    /// Runs that ended with an error since the mark: Lambda delivered their events again.
    fn failed_runs(&self, since: LogPosition) -> usize {
        self.runs(since).iter().filter(|run| !run.error.is_empty()).count()
    }

    /// HW-O2, HW-O3: nothing of the customer's has changed, and the vendor and the account agree, unless the stack's events say
    /// that they may not.
    pub(crate) async fn violations(&self, stack: &Stack, status: &str, since: LogPosition) -> Vec<String> {
        let mut wrong = Vec::new();
        let customers = account_resources(&self.world, None).await;
        let keys: BTreeSet<&String> = customers.keys().chain(self.customers.keys()).collect();
        for key in keys.into_iter().filter(|key| customers.get(*key) != self.customers.get(*key)) {
            wrong.push(format!("the customer's `{key}` was {:?} and is {:?}", self.customers.get(key), customers.get(key)));
        }
        let said = self.reasons(since).contains("was not notified");
        wrong.extend(self.vendor_mismatch(stack, status).await.filter(|_| !said));
        wrong
    }

    /// HW-A2, HW-A4, HW-A6, HW-L1, HW-L2: every request was answered once, and all deliveries of its event would have said the
    /// same. `some`: an event that fared badly three times may have no answer, and its deliveries may have fared differently.
    pub(crate) fn answers(&self, since: LogPosition, some: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let uploads = self.world.emulator.front().uploads().split_off(since.uploads);
        let runs = self.runs(since);
        let requests: BTreeMap<&str, _> = runs.iter().map(|run| (run.request.as_str(), run)).collect();
        let mut attributes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (request, run) in requests {
            let stored: Vec<_> =
                uploads.iter().filter(|up| up.request_id == request && (up.status == 200 && up.body != Value::Null)).collect();
            let what = format!("{} of {} ({request})", run.kind, run.resource);
            let accepted = stored.iter().filter(|upload| upload.accepted).count();
            if accepted > 1 || (accepted == 0 && !some) {
                wrong.push(format!("{what} has {accepted} accepted answers: {stored:?}"));
            }
            for upload in &stored {
                wrong.extend(upload.problem.iter().map(|problem| format!("{what}: {problem}")));
                let id = upload.body["PhysicalResourceId"].as_str().unwrap_or_default();
                // A delivery that came when the stack had its answer, and says so, is read by nobody.
                let reason = upload.body["Reason"].as_str().unwrap_or_default();
                let is_late = accepted == 1 && !upload.accepted && reason.starts_with("REQUEST_OUTDATED");
                let is_another = id != stored[0].body["PhysicalResourceId"] || upload.body["Status"] != stored[0].body["Status"];
                if !some && !is_late && is_another {
                    wrong.push(format!("{what} has answers that differ: {stored:?}"));
                }
                let keeps = run.kind == "Delete" || (run.kind == "Update" && upload.body["Status"] == "FAILED");
                if keeps && id != run.id {
                    wrong.push(format!("{what} came with id {} and was answered with {id}", run.id));
                }
                if upload.body["Status"] == "SUCCESS" && run.kind != "Delete" {
                    let names = upload.body["Data"].as_object().map(|data| data.keys().cloned().collect()).unwrap_or_default();
                    let known = attributes.entry(&run.resource).or_insert_with(|| BTreeSet::clone(&names));
                    if *known != names {
                        wrong.push(format!("{what} has other attributes: {known:?} and {names:?}"));
                    }
                }
            }
        }
        wrong
    }

    /// The vendor holds a connection exactly while the stack has one, and knows its role.
    async fn vendor_mismatch(&self, stack: &Stack, status: &str) -> Option<String> {
        let notices = self.world.vendor.notices();
        let accepted = |notice: &&Notice| notice.stack_id() == stack.id() && (200..300).contains(&notice.status);
        let last = notices.iter().rfind(accepted).filter(|notice| notice.kind() != "hawser.connection.removed");
        match status {
            "DELETE_COMPLETE" | "ROLLBACK_COMPLETE" => {
                last.map(|last| format!("the vendor believes in a connection that is gone, by {}", last.kind()))
            }
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" => {
                let role = stack.outputs().await.unwrap()["RoleArn"].clone();
                let known = last.and_then(|last| last.event["data"]["roleArn"].as_str());
                (known != Some(&role)).then(|| format!("the vendor knows role {known:?} and not {role}"))
            }
            // What failed is not over: the next operation decides.
            _ => None,
        }
    }

    /// What carries the stack's mark, by name.
    pub(crate) async fn marked(&self, stack: &Stack) -> Vec<String> {
        let account_resources = account_resources(&self.world, Some(stack.id())).await;
        let names: BTreeSet<String> =
            account_resources.keys().filter_map(|key| Some(key.rsplit_once(' ')?.0.to_owned())).collect();
        names.into_iter().collect()
    }

    /// What carries the stack's mark, with names that another stack's would have too: two creates that say the same are equal.
    pub(crate) async fn made(&self, stack: &Stack) -> String {
        let account_resources = account_resources(&self.world, Some(stack.id())).await;
        let text = account_resources.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect::<String>();
        let text = text.replace(stack.id(), "<stack>");
        let uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
        let names = format!("hawser-(111122223333-)?[0-9a-z]{{8,}}(-{uuid})?|hawser/[0-9a-z]{{8,}}|stack (life-[0-9]+|clean)");
        let names = regex::Regex::new(&names).unwrap();
        let dates = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z?|\d{8}T\d{6}Z|epoch_[0-9]+|\b\d{19}\b").unwrap();
        dates.replace_all(&names.replace_all(&text, "<name>"), "<date>").into_owned()
    }
}

/// Reports, exports and buckets, each with all that can be read of it: those with the stack's mark, or those with nobody's.
pub(crate) async fn account_resources(world: &Testbed, stack_id: Option<&str>) -> BTreeMap<String, String> {
    let mut account_resources = BTreeMap::new();
    let root = world.billing();
    for export in world.exports().into_iter().filter(|export| export["tags"][OWNERSHIP_TAG].as_str() == stack_id) {
        account_resources.insert(format!("export {} everything", export["name"].as_str().unwrap()), export.to_string());
    }
    for report in world.reports().await {
        let (name, target) = (report.report_name(), "AWSOrigamiServiceGatewayService.ListTagsForResource");
        let (_, tags) = root.json("cur", target, &json!({"ReportName": name})).await.unwrap();
        let pairs = tags["Tags"].as_array().into_iter().flatten();
        let owner = pairs.into_iter().find(|tag| tag["Key"] == OWNERSHIP_TAG).and_then(|tag| tag["Value"].as_str());
        if owner == stack_id {
            account_resources.insert(format!("report {name} definition"), format!("{report:?}"));
            account_resources.insert(format!("report {name} tags"), tags["Tags"].to_string());
        }
    }
    for bucket in world.buckets().await {
        let ask = async |query: &str| {
            let (status, body) = root.raw("s3", "GET", &format!("/{bucket}{query}"), &[], "").await.unwrap();
            let text = String::from_utf8_lossy(&body).into_owned();
            // An error names its own request.
            if status == 200 { text } else { format!("{status} {}", text.split("<RequestId>").next().unwrap_or_default()) }
        };
        let tagging = ask("?tagging").await;
        let ours = stack_id.is_some_and(|id| tagging.contains(id));
        if ours || (stack_id.is_none() && !tagging.contains(OWNERSHIP_TAG)) {
            for setting in SETTINGS {
                account_resources.insert(format!("bucket {bucket} {setting}"), ask(&format!("?{setting}")).await);
            }
            for key in world.keys(&bucket).await {
                account_resources.insert(format!("bucket {bucket} {key}"), ask(&format!("/{key}")).await);
            }
        }
    }
    account_resources
}

/// A fault at a step.
pub(crate) fn fault(step: &Step, answer: FaultAnswer) -> Fault {
    let (service, operation, nth) = step.clone();
    Fault { service, operation, nth: Some(nth), answer }
}

/// `s3:CreateBucket#1 lost`.
pub(crate) fn describe(fault: &Fault) -> String {
    let nth = fault.nth.map_or_else(String::new, |nth| format!("#{nth}"));
    format!("{}:{}{nth} {}", fault.service, fault.operation, json!(fault.answer).to_string().replace('"', ""))
}

/// One life: at most one fault in each of its three operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultCase {
    pub(crate) create: Option<Fault>,
    pub(crate) update: Option<Fault>,
    pub(crate) delete: Option<Fault>,
}

impl FaultCase {
    pub(crate) fn name(&self) -> String {
        let part = |fault: &Option<Fault>| fault.as_ref().map_or_else(|| "-".to_owned(), describe);
        format!("create {} / update {} / delete {}", part(&self.create), part(&self.update), part(&self.delete))
    }
}

/// The steps of each operation of a life without faults.
pub(crate) struct Clean {
    pub(crate) create: Vec<Step>,
    pub(crate) update: Vec<Step>,
    pub(crate) delete: Vec<Step>,
    made: String,
}

/// Creates, updates (with another format: so the report is replaced) and deletes one stack, and checks after each.
pub(crate) async fn run_case(lane: &Lane, name: &str, case: &FaultCase, clean: Option<&Clean>) -> Result<Clean, String> {
    let world = &lane.world;
    let mut mark = lane.mark();
    lane.set_one(case.create.as_ref());
    let created = Stack::create(&world.customer(), name, &world.template, &world.parameters, &mut |_| {}).await;
    let (mut stack, outcome) = created.map_err(|error| format!("{error:#}"))?;
    after(lane, &stack, mark, &outcome, "CREATE_COMPLETE", case.create.as_ref()).await?;
    let create = lane.steps(mark);
    let made = lane.made(&stack).await;
    if let Some(clean) = clean.filter(|clean| clean.made != made) {
        let differ = |these: &str, those: &str| these.lines().filter(|line| !those.contains(line)).collect::<Vec<_>>().join("\n");
        let (has, lacks) = (differ(&made, &clean.made), differ(&clean.made, &made));
        return Err(format!("create left something else than without a fault:\n{has}\ninstead of\n{lacks}"));
    }

    mark = lane.mark();
    lane.set_one(case.update.as_ref());
    let changed = world.with(&[("BillingFormat", "Csv")]);
    let outcome = stack.update(&world.template, &changed, &mut |_| {}).await.map_err(|error| format!("{error:#}"))?;
    after(lane, &stack, mark, &outcome, "UPDATE_COMPLETE", case.update.as_ref()).await?;
    let update = lane.steps(mark);
    let marked = lane.marked(&stack).await;
    if marked.len() != 2 {
        return Err(format!("after the update not one report and one bucket: {marked:?}"));
    }

    mark = lane.mark();
    lane.set_one(case.delete.as_ref());
    let outcome = stack.delete(&mut |_| {}).await.map_err(|error| format!("{error:#}"))?;
    after(lane, &stack, mark, &outcome, "DELETE_COMPLETE", case.delete.as_ref()).await?;
    let delete = lane.steps(mark);
    match lane.marked(&stack).await.as_slice() {
        [] => Ok(Clean { create, update, delete, made }),
        left => Err(format!("the delete left {left:?}")),
    }
}

async fn after(
    lane: &Lane,
    stack: &Stack,
    mark: LogPosition,
    outcome: &Outcome,
    status: &str,
    fault: Option<&Fault>,
) -> Result<(), String> {
    lane.set_one(None);
    let during = &outcome.status;
    if outcome.status != status {
        return Err(format!("{during} and not {status}: {}", outcome.first_failure()));
    }
    let met = lane.met(mark);
    if met != fault.map(|fault| fault.answer.clone()).into_iter().collect::<Vec<_>>() {
        return Err(format!("{during}: {} met {met:?}", fault.map_or_else(|| "no fault".to_owned(), describe)));
    }
    let kills = met.iter().filter(|met| matches!(met, FaultAnswer::KillBefore | FaultAnswer::KillAfter)).count();
    if lane.failed_runs(mark) != kills {
        return Err(format!("{during}: {kills} runs were killed, and {} ended with an error", lane.failed_runs(mark)));
    }
    let mut wrong = lane.answers(mark, false);
    wrong.extend(lane.violations(stack, status, mark).await);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{during}: {}", wrong.join("; "))) }
}

/// What a life without faults is made of, on a new lane, of stacks with this kind of billing data.
pub(crate) async fn clean(kind: &str) -> (Lane, Clean) {
    let lane = Lane::of(kind).await;
    let clean = run_case(&lane, "clean", &FaultCase::default(), None).await.unwrap();
    (lane, clean)
}

/// Every step with every answer.
pub(crate) fn each(steps: &[Step], answers: &[FaultAnswer]) -> Vec<Fault> {
    steps.iter().flat_map(|step| answers.iter().map(|answer| fault(step, answer.clone()))).collect()
}

/// Lives in which each of the faults happens once.
pub(crate) fn fault_cases(create: Vec<Fault>, update: Vec<Fault>, delete: Vec<Fault>) -> Vec<FaultCase> {
    let [mut create, mut update, mut delete] = [create, update, delete].map(Vec::into_iter);
    let next = move || {
        let case = FaultCase { create: create.next(), update: update.next(), delete: delete.next() };
        (case.create.is_some() || case.update.is_some() || case.delete.is_some()).then_some(case)
    };
    std::iter::from_fn(next).collect()
}

/// Lives all of them, some beside each other. Fails with those that went wrong, what is wrong, and how to live them again.
pub(crate) async fn run_all(test: &str, first: Lane, clean: Clean, fault_cases: Vec<FaultCase>, lanes: usize) {
    let wanted = std::env::var(CASE_VARIABLE).unwrap_or_default();
    let chosen: Vec<(usize, FaultCase)> =
        fault_cases.into_iter().enumerate().filter(|(_, case)| case.name().contains(&wanted)).collect();
    assert!(!chosen.is_empty(), "no case contains `{wanted}`");
    let clean = Arc::new(clean);
    let run = move |lane: Arc<Lane>, (number, case): (usize, FaultCase)| {
        let clean = Arc::clone(&clean);
        async move { run_case(&lane, &format!("life-{number}"), &case, Some(&clean)).await.map(|_| ()) }
    };
    let name = |(_, case): &(usize, FaultCase)| case.name();
    let kind = first.world.parameters["BillingKind"].clone();
    let mut all = vec![first];
    while all.len() < lanes.min(chosen.len()) {
        all.push(Lane::of(&kind).await);
    }
    let wrong = in_lanes(all, chosen, name, run).await;
    let replay = |name: &str| format!("{CASE_VARIABLE}='{name}' cargo nextest run -p hawser-dev --all-features {test}");
    let wrong: Vec<String> = wrong.iter().map(|(name, why)| format!("{name}\n  {why}\n  {}", replay(name))).collect();
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs cases in lanes; the names of those that failed or panicked, with the reason.
pub(crate) async fn in_lanes<C, F, R>(
    lanes: Vec<Lane>,
    cases: Vec<C>,
    name: impl Fn(&C) -> String,
    run: F,
) -> Vec<(String, String)>
where
    C: Send + 'static,
    F: Fn(Arc<Lane>, C) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), String>> + Send + 'static,
{
    let queue: VecDeque<(String, C)> = cases.into_iter().map(|case| (name(&case), case)).collect();
    let (queue, wrong) = (Arc::new(Mutex::new(queue)), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = Vec::new();
    for lane in lanes {
        let (lane, queue, wrong, run) = (Arc::new(lane), Arc::clone(&queue), Arc::clone(&wrong), run.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let next = queue.lock().unwrap().pop_front();
                let Some((name, case)) = next else { break };
                // In a task of its own, so that a panic is this case's failure and not the lane's.
                let why = match tokio::spawn(run(Arc::clone(&lane), case)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(why)) => why,
                    Err(panic) => panic.to_string(),
                };
                lane.set_one(None);
                wrong.lock().unwrap().push((name, why));
            }
            lane.world.assert_no_leaks();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    std::mem::take(&mut *wrong.lock().unwrap())
}
