//! Long because a stack is one machine: its requests, their rollbacks and its clean-ups share their state.
//!
//! CloudFormation in memory: two custom resources, created in order, deleted in reverse, rolled back when one fails, cancelled
//! when asked.
//!
//! Sources: CloudFormation User Guide, "Custom resource request types", "Custom resource response objects", "Continue
//! rolling back an update", "Troubleshooting CloudFormation" (three clean-ups), "Express mode" (no rollback by default).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use hawser::{aws::StackResource, billing, connection};
use hawser_account::{ACCOUNT, response};
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    clock::locked,
    exchange::{Exchange, RequestOutcome},
    lambda::{Deliveries, invoke},
    parties::SIGNATURE,
    script::Label,
    world::World,
};

/// `ServiceTimeout`, as `template.yaml` has it: so long CloudFormation waits for an answer.
pub const SERVICE_TIMEOUT: Duration = Duration::from_secs(600);

/// CloudFormation tries to clean up a replaced resource three times, then lets it go.
const CLEAN_UP_TRIES: u8 = 3;

/// The billing export's name in the template.
pub const BILLING: &str = "BillingExport";
/// The connection's name in the template.
pub const CONNECTION: &str = "Connection";
/// The order in which they are created.
const IN_ORDER: [&str; 2] = [BILLING, CONNECTION];

/// What a template's parameters come to, for the two resources.
pub type Parameters = BTreeMap<&'static str, String>;

/// Names a resource that is not in the template, as a parameter.
pub const WITHOUT: &str = "Without";

/// How an operation on a stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Complete,
    /// Back to what was before.
    RolledBack,
    /// Stuck: a Delete failed, or a rollback did.
    Failed,
}

/// The stack is told to give up while this resource is worked on, so long after its request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancellation {
    pub resource: &'static str,
    /// After its request was sent.
    pub after: Duration,
}

/// A resource as CloudFormation knows it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    physical_id: String,
    properties: Value,
    attributes: Map<String, Value>,
}

type Resources = BTreeMap<&'static str, Known>;

/// An Update that is being rolled back: where to, and what is still to be done.
#[derive(Debug, Clone)]
struct PendingRollback {
    earlier: Resources,
    failed: Parameters,
    left: Vec<&'static str>,
    reached: Resources,
}

/// A stack.
#[derive(Debug)]
pub struct Stack {
    world: World,
    id: String,
    resources: Resources,
    parameters: Parameters,
    pending_rollback: Option<PendingRollback>,
    requests: usize,
    at_work: JoinSet<()>,
    /// Everything that was sent, in order.
    exchanges: Vec<Arc<Mutex<Exchange>>>,
    /// How events reach the function.
    pub deliveries: Deliveries,
    /// Deployed in express mode: what fails stays as it is, until the stack is deleted.
    pub express: bool,
}

enum Answer {
    Success {
        known: Known,
        /// Every attribute is there that the template reads; else what depends on them fails.
        whole: bool,
    },
    Failed {
        physical_id: String,
    },
}

/// The ARN of a simulated stack.
pub fn stack_id(name: &str) -> String {
    format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/{name}/5e0c1b70-c7a1-11f1-8000-0a{name:0>10}")
}

impl Stack {
    /// A stack that does not exist yet; `name` tells stacks apart.
    pub fn new(world: &World, name: &str) -> Self {
        Self {
            world: world.clone(),
            id: stack_id(name),
            resources: Resources::new(),
            parameters: Parameters::new(),
            pending_rollback: None,
            requests: 0,
            at_work: JoinSet::new(),
            exchanges: Vec::new(),
            deliveries: Deliveries::Plain,
            express: false,
        }
    }

    /// The stack's ARN.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `StackStatus`; empty before the Create.
    pub fn status(&self) -> String {
        self.world.cloudformation.describe(&self.id).map(|stack| stack.status).unwrap_or_default()
    }

    /// Attributes of a resource, as GetAtt reads them.
    pub fn attributes(&self, resource: &str) -> Map<String, Value> {
        self.resources.get(resource).map(|known| known.attributes.clone()).unwrap_or_default()
    }

    /// The properties that a resource was last brought to; none if there is no such resource.
    pub fn properties_of(&self, resource: &str) -> Option<Value> {
        self.resources.get(resource).map(|known| known.properties.clone())
    }

    /// Everything that was sent, in order, and all that came of it.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let seen = self.exchanges.iter().map(|exchange| locked(exchange).clone());
        seen.map(|mut exchange| {
            exchange.stored = self.world.mailbox.stored(&exchange.url);
            exchange
        })
        .collect()
    }

    /// Waits until no run of the function is at work, and none will come any more.
    pub async fn drain_runs(&mut self) {
        while self.at_work.join_next().await.is_some() {}
    }

    /// Creates the stack; a failure rolls back by deleting what was begun.
    pub async fn create(&mut self, parameters: Parameters) -> Status {
        self.create_cancelled_by(parameters, None).await
    }

    /// Creates the stack, and perhaps is told to give up on the way.
    pub async fn create_cancelled_by(&mut self, parameters: Parameters, truncated: Option<Cancellation>) -> Status {
        self.parameters = parameters;
        self.set_status("CREATE_IN_PROGRESS");
        self.world.account.make_role();
        for name in self.wanted() {
            if !self.make(name, truncated).await {
                if self.express {
                    return self.ends("CREATE_FAILED", Status::Failed);
                }
                self.set_status("ROLLBACK_IN_PROGRESS");
                return if self.delete_all().await {
                    self.ends("ROLLBACK_COMPLETE", Status::RolledBack)
                } else {
                    self.ends("ROLLBACK_FAILED", Status::Failed)
                };
            }
        }
        self.ends("CREATE_COMPLETE", Status::Complete)
    }

    /// Updates the stack; a failure sends Updates back to the earlier properties.
    pub async fn update(&mut self, parameters: Parameters) -> Status {
        self.update_cancelled_by(parameters, None).await
    }

    /// Updates the stack, and perhaps is told to give up on the way (`CancelUpdateStack`).
    pub async fn update_cancelled_by(&mut self, parameters: Parameters, truncated: Option<Cancellation>) -> Status {
        let (failed, earlier) = (parameters.clone(), self.resources.clone());
        let before = std::mem::replace(&mut self.parameters, parameters);
        self.set_status("UPDATE_IN_PROGRESS");
        if self.apply_update(truncated).await {
            self.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS");
            self.clean_up(&earlier).await;
            return self.ends("UPDATE_COMPLETE", Status::Complete);
        }
        if self.express {
            return self.ends("UPDATE_FAILED", Status::Failed);
        }
        self.parameters = before;
        let left = IN_ORDER.into_iter().filter(|name| earlier.contains_key(name)).collect();
        self.pending_rollback = Some(PendingRollback { earlier, failed, left, reached: self.resources.clone() });
        self.roll_back(false).await
    }

    /// `ContinueUpdateRollback`, perhaps with every resource that is left named in `ResourcesToSkip`.
    pub async fn continue_update_rollback(&mut self, skip: bool) -> Status {
        self.roll_back(skip).await
    }

    /// Deletes the stack, in reverse order.
    pub async fn delete(&mut self) -> Status {
        self.set_status("DELETE_IN_PROGRESS");
        if self.delete_all().await {
            self.ends("DELETE_COMPLETE", Status::Complete)
        } else {
            self.ends("DELETE_FAILED", Status::Failed)
        }
    }

    fn set_status(&self, status: &str) {
        self.world.script.note(|| format!("{} {status} {}", self.world.now(), self.id));
        self.world.cloudformation.set(&self.id, |view| view.description.status = status.to_owned());
    }

    fn ends(&self, status: &str, ended: Status) -> Status {
        self.set_status(status);
        ended
    }

    fn set_resource(&self, name: &str, status: &str, physical_id: Option<&str>) {
        self.world.cloudformation.set(&self.id, |view| {
            let known = view
                .resources
                .entry(name.to_owned())
                .or_insert_with(|| StackResource { status: String::new(), physical_id: String::new() });
            known.status = status.to_owned();
            if let Some(id) = physical_id {
                known.physical_id = id.to_owned();
            }
        });
    }

    /// The resources that the template has with these parameters.
    fn wanted(&self) -> Vec<&'static str> {
        let without = self.parameters.get(WITHOUT).cloned().unwrap_or_default();
        IN_ORDER.into_iter().filter(|name| *name != without).collect()
    }

    /// Creates one resource. What failed is known by the id to delete it with.
    async fn make(&mut self, name: &'static str, truncated: Option<Cancellation>) -> bool {
        let properties = self.properties(name);
        self.set_resource(name, "CREATE_IN_PROGRESS", Some(""));
        match self.request("Create", name, None, properties.clone(), None, truncated).await {
            Answer::Success { known, whole } => {
                self.set_resource(name, "CREATE_COMPLETE", Some(&known.physical_id));
                self.resources.insert(name, known);
                whole
            }
            Answer::Failed { physical_id } => {
                self.set_resource(name, "CREATE_FAILED", Some(&physical_id));
                self.resources.insert(name, Known { physical_id, properties, attributes: Map::new() });
                false
            }
        }
    }

    async fn apply_update(&mut self, truncated: Option<Cancellation>) -> bool {
        for name in self.wanted() {
            let wanted = self.properties(name);
            let Some(known) = self.resources.get(name).cloned() else {
                if self.make(name, truncated).await {
                    continue;
                }
                return false;
            };
            if known.properties != wanted && !self.change(name, &known, wanted, known.properties.clone(), truncated).await {
                return false;
            }
        }
        true
    }

    async fn change(
        &mut self,
        name: &'static str,
        known: &Known,
        wanted: Value,
        old: Value,
        truncated: Option<Cancellation>,
    ) -> bool {
        self.set_resource(name, "UPDATE_IN_PROGRESS", None);
        match self.request("Update", name, Some(&known.physical_id), wanted, Some(old), truncated).await {
            Answer::Success { known, whole } => {
                self.set_resource(name, "UPDATE_COMPLETE", Some(&known.physical_id));
                self.resources.insert(name, known);
                whole
            }
            Answer::Failed { .. } => {
                self.set_resource(name, "UPDATE_FAILED", None);
                false
            }
        }
    }

    async fn roll_back(&mut self, skip: bool) -> Status {
        self.set_status("UPDATE_ROLLBACK_IN_PROGRESS");
        let Some(mut way) = self.pending_rollback.take() else {
            return self.ends("UPDATE_ROLLBACK_COMPLETE", Status::RolledBack);
        };
        while let Some(name) = way.left.first().copied() {
            let Some(before) = way.earlier.get(name) else { continue };
            // The failed properties are the old ones now, also where the failed Update changed nothing.
            let forward = std::mem::replace(&mut self.parameters, way.failed.clone());
            let old = self.properties(name);
            self.parameters = forward;
            let known = self.resources.get(name).cloned().unwrap_or_else(|| before.clone());
            let touched = old != before.properties || known.properties != before.properties;
            if touched && !skip && !self.change(name, &known, before.properties.clone(), old, None).await {
                self.pending_rollback = Some(way);
                return self.ends("UPDATE_ROLLBACK_FAILED", Status::Failed);
            }
            if skip {
                self.resources.insert(name, Known { properties: before.properties.clone(), ..known });
            }
            way.left.remove(0);
        }
        self.set_status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS");
        // What the failed Update created goes, as does what it replaced by another id.
        let reached = way.reached.clone();
        for name in IN_ORDER.into_iter().rev().filter(|name| !way.earlier.contains_key(name)) {
            if let Some(known) = self.resources.remove(name) {
                self.try_to_remove(name, &known, true).await;
            }
        }
        self.clean_up(&reached).await;
        self.ends("UPDATE_ROLLBACK_COMPLETE", Status::RolledBack)
    }

    /// Deletes what was replaced, the old id with the old properties, and what the template has no more.
    async fn clean_up(&mut self, before: &Resources) {
        let wanted = self.wanted();
        for (name, old) in before.iter().rev() {
            let gone = !wanted.contains(name) && self.resources.remove(name).is_some();
            let replaced = self.resources.get(name).is_some_and(|now| now.physical_id != old.physical_id);
            if gone || replaced {
                self.try_to_remove(name, old, gone).await;
            }
        }
    }

    async fn try_to_remove(&mut self, name: &'static str, old: &Known, whole: bool) {
        for _ in 0..CLEAN_UP_TRIES {
            if whole {
                self.set_resource(name, "DELETE_IN_PROGRESS", None);
            } else {
                self.world
                    .cloudformation
                    .set(&self.id, |view| drop(view.replaced.insert(name.to_owned(), old.physical_id.clone())));
            }
            let answer = self.request("Delete", name, Some(&old.physical_id), old.properties.clone(), None, None).await;
            let done = matches!(answer, Answer::Success { .. });
            if !whole {
                self.world.cloudformation.set(&self.id, |view| drop(view.replaced.remove(name)));
            }
            if whole {
                self.set_resource(name, if done { "DELETE_COMPLETE" } else { "DELETE_FAILED" }, None);
            }
            if done {
                break;
            }
        }
    }

    async fn delete_all(&mut self) -> bool {
        self.pending_rollback = None;
        for name in IN_ORDER.into_iter().rev() {
            let Some(known) = self.resources.get(name).cloned() else { continue };
            self.set_resource(name, "DELETE_IN_PROGRESS", None);
            let answer = self.request("Delete", name, Some(&known.physical_id), known.properties, None, None).await;
            if matches!(answer, Answer::Failed { .. }) {
                self.set_resource(name, "DELETE_FAILED", None);
                return false;
            }
            self.set_resource(name, "DELETE_COMPLETE", None);
            self.resources.remove(name);
        }
        true
    }

    fn properties(&self, resource: &str) -> Value {
        let parameter = |name: &str| self.parameters.get(name).cloned().unwrap_or_default();
        if resource == BILLING {
            return json!({
                "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:handler", "ServiceTimeout": "600",
                "Kind": parameter("Kind"), "Format": parameter("Format"), "Reuse": parameter("Reuse"),
                "Scope": parameter("Scope"), "Retention": parameter("Retention"), "NamePrefix": parameter("NamePrefix"),
                "Versioning": parameter("Versioning"), "IncludeIamPrincipalData": parameter("IncludeIamPrincipalData"),
                "BucketNamespace": parameter("BucketNamespace"),
                "RequestBackfill": parameter("RequestBackfill"), "ExistingExport": parameter("ExistingExport"),
                "ExistingBucket": parameter("ExistingBucket"), "ExistingPrefix": parameter("ExistingPrefix"),
            });
        }
        let export = self.attributes(BILLING);
        let pick = |names: &[&str]| -> Map<String, Value> {
            names.iter().map(|name| ((*name).to_owned(), export.get(*name).cloned().unwrap_or_default())).collect()
        };
        json!({
            "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:handler", "ServiceTimeout": "600",
            "NoticeUrl": parameter("NoticeUrl"), "LaunchToken": parameter("LaunchToken"),
            "ConnectionName": parameter("ConnectionName"), "ExternalId": "ext-1", "Regions": ["eu-west-1"],
            "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/vendor"), "TemplateVersion": "sim",
            "Packs": { "billing": parameter("PackBilling") },
            "Organization": pick(&["AccountRole", "ManagementAccountId", "OrganizationId", "FeatureSet"]),
            "Billing": pick(&["Kind", "Name", "Arn", "BucketName", "BucketArn", "BucketRegion", "Prefix", "Format",
                "Origin", "Decision", "FirstDataDueBy", "Backfill"]),
        })
    }

    async fn request(
        &mut self,
        kind: &'static str,
        resource: &'static str,
        id: Option<&str>,
        properties: Value,
        old: Option<Value>,
        truncated: Option<Cancellation>,
    ) -> Answer {
        self.requests += 1;
        let request_id = format!("request-{}", self.requests);
        let url = format!(
            "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/{}%7C{resource}%7C{request_id}?X-Amz-Signature={SIGNATURE}",
            self.id.replace(':', "%3A"),
        );
        let resource_type = if resource == BILLING { billing::RESOURCE_TYPE } else { connection::RESOURCE_TYPE };
        let mut event = json!({
            "RequestType": kind, "RequestId": request_id, "StackId": self.id, "ResponseURL": url,
            "ResourceType": resource_type, "LogicalResourceId": resource, "ResourceProperties": properties,
        });
        if let Some(id) = id {
            event["PhysicalResourceId"] = json!(id);
        }
        if let Some(old) = old {
            event["OldResourceProperties"] = old;
        }
        let label = Label { resource, request: kind };
        let exchange =
            Exchange { event, url: url.clone(), label, runs: Vec::new(), closed: RequestOutcome::Open, stored: Vec::new() };
        let exchange = Arc::new(Mutex::new(exchange));
        self.exchanges.push(Arc::clone(&exchange));
        let delivery = self.deliveries.next(label);
        self.world.script.note(|| format!("{} {label} {} {request_id} {delivery:?}", self.world.now(), id.unwrap_or_default()));
        if !delivery.lost {
            self.at_work.spawn(invoke(self.world.clone(), self.id.clone(), Arc::clone(&exchange), delivery.late));
        }
        if let Some(again) = delivery.again {
            self.at_work.spawn(invoke(self.world.clone(), self.id.clone(), Arc::clone(&exchange), delivery.late + again));
        }
        let truncated = truncated.filter(|truncated| truncated.resource == resource).map(|truncated| truncated.after);
        let first = timeout(truncated.unwrap_or(SERVICE_TIMEOUT), self.world.mailbox.wait(&url)).await;
        let closed = match (&first, truncated) {
            (Ok(stored), _) => response::accept(&locked(&exchange).event, &stored.body)
                .map_or_else(RequestOutcome::Refused, RequestOutcome::Answered),
            (Err(_), Some(_)) => RequestOutcome::Cancelled,
            (Err(_), None) => RequestOutcome::TimedOut,
        };
        self.world.script.note(|| match &closed {
            RequestOutcome::Answered(response) => {
                let text = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
                format!("{} {label}: {} {} {}", self.world.now(), text("Status"), text("PhysicalResourceId"), text("Reason"))
            }
            other => format!("{} {label}: {other:?}", self.world.now()),
        });
        locked(&exchange).closed = closed.clone();
        self.read(&closed, id, resource, &locked(&exchange).event)
    }

    fn read(&self, closed: &RequestOutcome, id: Option<&str>, resource: &str, event: &Value) -> Answer {
        // CloudFormation makes an id up for a Create that it got no usable answer to, and goes on.
        let kept = || id.map_or_else(|| format!("stack-{resource}-1A2B3C4D5E6F"), str::to_owned);
        let RequestOutcome::Answered(response) = closed else { return Answer::Failed { physical_id: kept() } };
        let answered = response["PhysicalResourceId"].as_str().unwrap_or_default().to_owned();
        if response["Status"] != "SUCCESS" {
            return Answer::Failed { physical_id: id.map_or(answered, str::to_owned) };
        }
        let attributes = response["Data"].as_object().cloned().unwrap_or_default();
        let read: &[&str] = if resource == BILLING { &billing::ATTRIBUTES } else { &connection::ATTRIBUTES };
        let whole = event["RequestType"] == "Delete" || read.iter().all(|name| attributes.contains_key(*name));
        let known = Known { physical_id: answered, properties: event["ResourceProperties"].clone(), attributes };
        Answer::Success { known, whole }
    }
}
