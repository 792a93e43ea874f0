//! CloudFormation in memory: two custom resources, created in order, deleted in reverse, rolled back when one fails.
//!
//! Sources: CloudFormation User Guide, "Custom resource request types" and "Response objects"; Lambda Developer
//! Guide, "How Lambda handles errors and retries with asynchronous invocation".

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::World;
use crate::{billing, connection, handler};

/// The function's time-out, as `template.yaml` has it.
pub const FUNCTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Lambda runs an event that ended in an error again, after one minute and after two more.
const REDELIVERIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// CloudFormation tries to clean up a replaced resource three times, then lets it go.
const CLEAN_UP_TRIES: u8 = 3;

/// The account every simulated stack is in.
pub const ACCOUNT: &str = "111122223333";

const BILLING: &str = "BillingExport";
const CONNECTION: &str = "Connection";

/// What a template's parameters come to, for the two resources.
pub type Parameters = BTreeMap<&'static str, String>;

/// How an operation on a stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Complete,
    /// Back to what was before.
    RolledBack,
    /// Stuck: a Delete failed, or a rollback did.
    Failed,
}

/// One request and all that came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The event that was sent.
    pub event: Value,
    /// How often the function was run with it.
    pub runs: usize,
    /// When each run ended, after its start.
    pub took: Vec<Duration>,
    /// Runs that ended in an error for Lambda.
    pub errors: usize,
    /// Every response that was stored for it, of which CloudFormation reads the first.
    pub responses: Vec<Value>,
}

/// A resource as CloudFormation knows it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    physical_id: String,
    properties: Value,
    attributes: Map<String, Value>,
}

/// A stack.
#[derive(Debug)]
pub struct Stack<'w> {
    world: &'w World,
    id: String,
    resources: BTreeMap<&'static str, Known>,
    parameters: Parameters,
    requests: usize,
    /// Everything that was sent, in order.
    pub exchanges: Vec<Exchange>,
    /// Deliver every event twice, as Lambda may.
    pub twice: bool,
}

enum Answer {
    Success(Known),
    Failed { physical_id: String },
}

impl<'w> Stack<'w> {
    /// A stack that does not exist yet; `name` tells stacks apart.
    pub fn new(world: &'w World, name: &str) -> Self {
        Self {
            world,
            id: format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/{name}/5e0c1b70-c7a1-11f1-8000-0a{name:0>10}"),
            resources: BTreeMap::new(),
            parameters: Parameters::new(),
            requests: 0,
            exchanges: Vec::new(),
            twice: false,
        }
    }

    /// The stack's ARN.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Attributes of a resource, as GetAtt reads them.
    pub fn attributes(&self, resource: &str) -> Map<String, Value> {
        self.resources.get(resource).map(|known| known.attributes.clone()).unwrap_or_default()
    }

    /// Creates the stack; a failure rolls back by deleting what was begun.
    pub async fn create(&mut self, parameters: Parameters) -> Status {
        self.parameters = parameters;
        for name in [BILLING, CONNECTION] {
            let properties = self.properties(name);
            match self.request("Create", name, None, properties.clone(), None).await {
                Answer::Success(known) => {
                    self.resources.insert(name, known);
                }
                Answer::Failed { physical_id } => {
                    let begun = Known { physical_id, properties, attributes: Map::new() };
                    self.resources.insert(name, begun);
                    return if self.delete().await == Status::Complete { Status::RolledBack } else { Status::Failed };
                }
            }
        }
        Status::Complete
    }

    /// Updates the stack; a failure sends Updates back to the earlier properties.
    pub async fn update(&mut self, parameters: Parameters) -> Status {
        let (earlier, before) = (std::mem::replace(&mut self.parameters, parameters), self.resources.clone());
        if self.bring_forward().await {
            self.clean_up(&before).await;
            return Status::Complete;
        }
        let (failed, reached) = (std::mem::replace(&mut self.parameters, earlier), self.resources.clone());
        for name in [BILLING, CONNECTION] {
            let Some(known) = self.resources.get(name).cloned() else { continue };
            let wanted = self.properties(name);
            // The failed properties are the old ones now, also where the failed Update changed nothing.
            let forward = std::mem::replace(&mut self.parameters, failed.clone());
            let old = self.properties(name);
            self.parameters = forward;
            if old == wanted && known.properties == wanted {
                continue;
            }
            match self.request("Update", name, Some(&known.physical_id), wanted, Some(old)).await {
                Answer::Success(known) => {
                    self.resources.insert(name, known);
                }
                Answer::Failed { .. } => return Status::Failed,
            }
        }
        self.clean_up(&reached).await;
        Status::RolledBack
    }

    /// Deletes the stack, in reverse order.
    pub async fn delete(&mut self) -> Status {
        for name in [CONNECTION, BILLING] {
            let Some(known) = self.resources.get(name).cloned() else { continue };
            match self.request("Delete", name, Some(&known.physical_id), known.properties, None).await {
                Answer::Success(_) => {
                    self.resources.remove(name);
                }
                Answer::Failed { .. } => return Status::Failed,
            }
        }
        Status::Complete
    }

    async fn bring_forward(&mut self) -> bool {
        for name in [BILLING, CONNECTION] {
            let wanted = self.properties(name);
            let Some(known) = self.resources.get(name).cloned() else { continue };
            if known.properties == wanted {
                continue;
            }
            let answer = self.request("Update", name, Some(&known.physical_id), wanted, Some(known.properties)).await;
            match answer {
                Answer::Success(known) => {
                    self.resources.insert(name, known);
                }
                Answer::Failed { .. } => return false,
            }
        }
        true
    }

    /// Deletes what was replaced: the old id with the old properties.
    async fn clean_up(&mut self, before: &BTreeMap<&'static str, Known>) {
        for (name, old) in before {
            let replaced = self.resources.get(name).is_some_and(|now| now.physical_id != old.physical_id);
            for _ in 0..if replaced { CLEAN_UP_TRIES } else { 0 } {
                let answer = self.request("Delete", name, Some(&old.physical_id), old.properties.clone(), None).await;
                if matches!(answer, Answer::Success(_)) {
                    break;
                }
            }
        }
    }

    fn properties(&self, resource: &str) -> Value {
        let parameter = |name: &str| self.parameters.get(name).cloned().unwrap_or_default();
        if resource == BILLING {
            return json!({
                "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:handler", "ServiceTimeout": "600",
                "Kind": parameter("Kind"), "Format": parameter("Format"), "Reuse": parameter("Reuse"),
                "Retention": parameter("Retention"), "NamePrefix": parameter("NamePrefix"), "RequestBackfill": "false",
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

    async fn request(&mut self, kind: &str, resource: &str, id: Option<&str>, properties: Value, old: Option<Value>) -> Answer {
        self.requests += 1;
        let request_id = format!("request-{}", self.requests);
        let url = format!(
            "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/{}%7C{resource}%7C{request_id}?X-Amz-Signature={}",
            self.id.replace(':', "%3A"),
            super::parties::SIGNATURE
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
        let mut exchange = Exchange { event, runs: 0, took: Vec::new(), errors: 0, responses: Vec::new() };
        self.deliver(&mut exchange).await;
        if self.twice {
            self.deliver(&mut exchange).await;
        }
        exchange.responses = self.world.mailbox.responses(&url);
        let answer = Self::read(&exchange, id, resource);
        self.exchanges.push(exchange);
        answer
    }

    /// Lambda's asynchronous invocation of one event.
    async fn deliver(&self, exchange: &mut Exchange) {
        let ports = self.world.ports();
        for wait in [Duration::ZERO].into_iter().chain(REDELIVERIES) {
            tokio::time::sleep(wait).await;
            let started = ports.clock.now();
            // Lambda kills the function at its time-out; a handler that needs that has already failed.
            let run =
                tokio::time::timeout(FUNCTION_TIMEOUT, handler::answer(&exchange.event, started + FUNCTION_TIMEOUT, &ports));
            let ended = run.await;
            exchange.runs += 1;
            exchange.took.push(Duration::try_from(ports.clock.now() - started).unwrap_or_default());
            if let Ok(Ok(())) = ended {
                return;
            }
            exchange.errors += 1;
        }
    }

    fn read(exchange: &Exchange, id: Option<&str>, resource: &str) -> Answer {
        // Never answered: CloudFormation makes an id up for a Create and goes on.
        let made_up = || format!("stack-{resource}-1A2B3C4D5E6F");
        let Some(response) = exchange.responses.first() else {
            return Answer::Failed { physical_id: id.map_or_else(made_up, str::to_owned) };
        };
        let physical_id = response["PhysicalResourceId"].as_str().unwrap_or_default().to_owned();
        if response["Status"] != "SUCCESS" {
            return Answer::Failed { physical_id: id.map_or(physical_id, str::to_owned) };
        }
        Answer::Success(Known {
            physical_id,
            properties: exchange.event["ResourceProperties"].clone(),
            attributes: response["Data"].as_object().cloned().unwrap_or_default(),
        })
    }
}
