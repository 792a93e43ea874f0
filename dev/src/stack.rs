//! `template.yaml` on the emulator's CloudFormation: packaged, created, updated, by change sets too, deleted, and told as events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, Parameter, ResourceChange};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_smithy_types::error::display::DisplayErrorContext;
pub use hawser_publish::template;
use sha2::{Digest as _, Sha256};

use crate::account::Account;
use crate::venv::repository;

/// Names another zip than the one that `make build` makes.
const ZIP_VARIABLE: &str = "HAWSER_ZIP";

/// The handler's code as `template.yaml` names it, until it is packaged.
const LOCAL_CODE: &str = "Code: target/lambda/hawser";

/// CloudFormation's limit for a template that is sent inline; a longer one is read from S3.
const INLINE_BYTES_MAX: usize = 51_200;

/// Longer than any flow of the tests takes, and shorter than a hung stack's ServiceTimeout.
const OPERATION_LIMIT: Duration = Duration::from_secs(240);

/// Between two looks at a stack.
const POLL: Duration = Duration::from_millis(100);

/// The zip that `make build` makes, byte for byte what is published.
pub fn handler_zip() -> anyhow::Result<PathBuf> {
    let made = repository().join("target/lambda/hawser-x86_64.zip");
    let path = std::env::var_os(ZIP_VARIABLE).map_or(made, PathBuf::from);
    if !path.is_file() {
        bail!("there is no `{}` (hint: run `make build`)", path.display());
    }
    Ok(path)
}

/// Uploads the zip under a key that holds its hash, in the stack's Region, and puts bucket and key into the template, as
/// `aws cloudformation package` does.
pub async fn package(account: &Account, template: &str, zip: &Path) -> anyhow::Result<String> {
    let code = std::fs::read(zip).with_context(|| format!("could not read `{}`", zip.display()))?;
    let (bucket, key) = upload(account, code, "zip").await?;
    with_code(template, &bucket, &key)
}

/// Puts a file into the bucket that a publisher has in this Region, under a key that holds its hash.
async fn upload(account: &Account, file: Vec<u8>, kind: &str) -> anyhow::Result<(String, String)> {
    let bucket = format!("artifacts-{}-{}", account.id(), account.region());
    let key = format!("hawser/{}.{kind}", hex::encode(Sha256::digest(&file)));
    let s3 = account.s3();
    let location = (account.region() != "us-east-1").then(|| {
        let constraint = BucketLocationConstraint::from(account.region());
        CreateBucketConfiguration::builder().location_constraint(constraint).build()
    });
    if s3.head_bucket().bucket(&bucket).send().await.is_err() {
        s3.create_bucket()
            .bucket(&bucket)
            .set_create_bucket_configuration(location)
            .send()
            .await
            .context("could not make the bucket for the code")?;
    }
    s3.put_object().bucket(&bucket).key(&key).body(file.into()).send().await.context("could not upload the code")?;
    Ok((bucket, key))
}

/// `TemplateBody` or `TemplateURL`, whichever takes the template.
async fn sent(account: &Account, template: &str) -> anyhow::Result<(Option<String>, Option<String>)> {
    if template.len() <= INLINE_BYTES_MAX {
        return Ok((Some(template.to_owned()), None));
    }
    let (bucket, key) = upload(account, template.into(), "yaml").await?;
    Ok((None, Some(format!("{}/{bucket}/{key}", account.endpoint()))))
}

fn with_code(template: &str, bucket: &str, key: &str) -> anyhow::Result<String> {
    if template.matches(LOCAL_CODE).count() != 1 {
        bail!("template.yaml does not name its code as `{LOCAL_CODE}`, once");
    }
    Ok(template.replace(LOCAL_CODE, &format!("Code: {{ S3Bucket: {bucket}, S3Key: {key} }}")))
}

/// One line of a stack's history.
#[derive(Clone, Debug)]
pub struct Event {
    /// The order in which it happened.
    pub id: String,
    /// `10:00:00`.
    pub time: String,
    /// `CREATE_COMPLETE` and so on.
    pub status: String,
    /// For example `Custom::BillingExport`.
    pub resource_type: String,
    /// The name in the template.
    pub logical_id: String,
    /// The resource's id, empty when it has none yet.
    pub physical_id: String,
    /// Why, empty when there is nothing to say.
    pub reason: String,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: String,
    /// The events of this operation, oldest first.
    pub events: Vec<Event>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// The reason of the first event that failed, empty when none did.
    pub fn first_failure(&self) -> &str {
        let failed = self.events.iter().find(|event| event.status.ends_with("_FAILED"));
        failed.map_or("", |event| event.reason.as_str())
    }

    /// The first event of this resource with this status.
    pub fn event(&self, logical_id: &str, status: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.logical_id == logical_id && event.status == status)
    }
}

/// What a change set is going to do to one resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// `Add`, `Modify` or `Remove`.
    pub action: String,
    /// The name in the template.
    pub logical_id: String,
    /// For example `AWS::IAM::ManagedPolicy`.
    pub resource_type: String,
    /// `True`, `Conditional` or `False`; empty when the resource is not modified.
    pub replacement: String,
    /// The properties that change.
    pub properties: BTreeSet<String>,
}

/// The parameters of a stack, by name.
pub type Parameters = BTreeMap<String, String>;

/// One stack, in the account and Region of `account`.
#[derive(Clone, Debug)]
pub struct Stack {
    account: Account,
    name: String,
    id: String,
    /// The ids of the events that were seen. A count would not do: what happens between two pages shifts them.
    seen: BTreeSet<String>,
}

impl Stack {
    /// A stack that somebody else made.
    pub fn existing(account: &Account, id: &str) -> Self {
        let name = id.split('/').nth(1).unwrap_or_default().to_owned();
        Self { account: account.clone(), name, id: id.to_owned(), seen: BTreeSet::new() }
    }

    /// Creates a stack and waits for the end of it, which may be a rollback.
    pub async fn create(
        account: &Account,
        name: &str,
        template: &str,
        parameters: &Parameters,
        on_event: &mut (dyn FnMut(&Event) + Send),
    ) -> anyhow::Result<(Self, Outcome)> {
        let started = Instant::now();
        let (body, url) = sent(account, template).await?;
        let answer = account
            .cloudformation()
            .create_stack()
            .stack_name(name)
            .set_template_body(body)
            .set_template_url(url)
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(list(parameters)))
            .send()
            .await
            .map_err(|error| refused("create", &error))?;
        let id = answer.stack_id().context("a stack without id")?.to_owned();
        let mut stack = Self { account: account.clone(), name: name.to_owned(), id, seen: BTreeSet::new() };
        let outcome = stack.wait(started, on_event).await?;
        Ok((stack, outcome))
    }

    /// Updates the stack and waits for the end of it, which may be a rollback.
    pub async fn update(
        &mut self,
        template: &str,
        parameters: &Parameters,
        on_event: &mut (dyn FnMut(&Event) + Send),
    ) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let (body, url) = sent(&self.account, template).await?;
        self.account
            .cloudformation()
            .update_stack()
            .stack_name(&self.name)
            .set_template_body(body)
            .set_template_url(url)
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(list(parameters)))
            .send()
            .await
            .map_err(|error| refused("update", &error))?;
        self.wait(started, on_event).await
    }

    /// Makes a change set as a customer does: the template that the stack has, some parameters changed, all others kept. The
    /// answer is what it shows.
    pub async fn change_set(&self, name: &str, changes: &[(&str, &str)]) -> anyhow::Result<Vec<Change>> {
        let cloudformation = self.account.cloudformation();
        let stacks = cloudformation.describe_stacks().stack_name(&self.id).send().await;
        let stacks = stacks.map_err(|error| refused("describe", &error))?;
        let kept = stacks.stacks().first().context("no such stack")?.parameters().iter().filter_map(Parameter::parameter_key);
        let kept = kept.filter(|key| changes.iter().all(|(changed, _)| changed != key));
        let kept = kept.map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build());
        let changed = changes.iter().map(|(key, value)| Parameter::builder().parameter_key(*key).parameter_value(*value).build());
        cloudformation
            .create_change_set()
            .stack_name(&self.name)
            .change_set_name(name)
            .use_previous_template(true)
            .capabilities(Capability::CapabilityIam)
            .set_parameters(Some(kept.chain(changed).collect()))
            .send()
            .await
            .map_err(|error| refused("make a change set of", &error))?;
        let started = Instant::now();
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = cloudformation
                .describe_change_set()
                .stack_name(&self.name)
                .change_set_name(name)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| refused("describe a change set of", &error))?;
            match page.status() {
                Some(ChangeSetStatus::CreateComplete) => {}
                Some(ChangeSetStatus::Failed) => bail!("the change set failed: {}", page.status_reason().unwrap_or_default()),
                status if started.elapsed() > OPERATION_LIMIT => bail!("the change set is still in {status:?}"),
                _ => {
                    tokio::time::sleep(POLL).await;
                    token = None;
                    continue;
                }
            }
            found.extend(page.changes().iter().filter_map(|change| change.resource_change()).map(change));
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Executes a change set and waits for the end of it, which may be a rollback.
    pub async fn execute(&mut self, name: &str, on_event: &mut (dyn FnMut(&Event) + Send)) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        self.account
            .cloudformation()
            .execute_change_set()
            .stack_name(&self.name)
            .change_set_name(name)
            .send()
            .await
            .map_err(|error| refused("execute a change set of", &error))?;
        self.wait(started, on_event).await
    }

    /// Deletes the stack and waits for the end of it.
    pub async fn delete(&mut self, on_event: &mut (dyn FnMut(&Event) + Send)) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        self.account
            .cloudformation()
            .delete_stack()
            .stack_name(&self.name)
            .send()
            .await
            .map_err(|error| refused("delete", &error))?;
        self.wait(started, on_event).await
    }

    /// The stack's ARN.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The account and Region it is in.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The outputs, by name.
    pub async fn outputs(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let stacks = self.account.cloudformation().describe_stacks().stack_name(&self.id).send().await?;
        let outputs = stacks.stacks().first().context("no such stack")?.outputs();
        Ok(outputs
            .iter()
            .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
            .collect())
    }

    /// The physical ids of the stack's resources, by logical id.
    pub async fn resources(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let answer = self.account.cloudformation().describe_stack_resources().stack_name(&self.id).send().await?;
        Ok(answer
            .stack_resources()
            .iter()
            .filter_map(|resource| {
                let logical_id = resource.logical_resource_id()?.to_owned();
                Some((logical_id, resource.physical_resource_id()?.to_owned()))
            })
            .collect())
    }

    async fn wait(&mut self, started: Instant, on_event: &mut (dyn FnMut(&Event) + Send)) -> anyhow::Result<Outcome> {
        let mut events = Vec::new();
        loop {
            // The status first: when it is final, the events read after it are complete.
            let status = self.status().await?;
            for event in self.new_events().await? {
                on_event(&event);
                events.push(event);
            }
            if !status.ends_with("_IN_PROGRESS") {
                return Ok(Outcome { status, events, took: started.elapsed() });
            }
            if started.elapsed() > OPERATION_LIMIT {
                bail!("the stack is still in {status} after {} s", OPERATION_LIMIT.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn status(&self) -> anyhow::Result<String> {
        let answer = self.account.cloudformation().describe_stacks().stack_name(&self.id).send().await;
        let stacks = answer.map_err(|error| refused("describe", &error))?;
        let stack = stacks.stacks().first().context("no such stack")?;
        Ok(stack.stack_status().map_or("", |status| status.as_str()).to_owned())
    }

    /// The events after the last look, oldest first.
    async fn new_events(&mut self) -> anyhow::Result<Vec<Event>> {
        let mut newest_first = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .account
                .cloudformation()
                .describe_stack_events()
                .stack_name(&self.id)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| refused("describe the events of", &error))?;
            newest_first.extend(page.stack_events().iter().map(event));
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        newest_first.reverse();
        newest_first.retain(|event| self.seen.insert(event.id.clone()));
        Ok(newest_first)
    }
}

fn event(event: &aws_sdk_cloudformation::types::StackEvent) -> Event {
    let time = event.timestamp().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at.secs()).ok());
    Event {
        id: event.event_id().unwrap_or_default().to_owned(),
        time: time.map_or_else(String::new, |at| {
            let (hour, minute, second) = at.to_hms();
            format!("{hour:02}:{minute:02}:{second:02}")
        }),
        status: event.resource_status().map_or("", |status| status.as_str()).to_owned(),
        resource_type: event.resource_type().unwrap_or_default().to_owned(),
        logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
        physical_id: event.physical_resource_id().unwrap_or_default().to_owned(),
        reason: event.resource_status_reason().unwrap_or_default().to_owned(),
    }
}

fn change(change: &ResourceChange) -> Change {
    let target = |detail: &aws_sdk_cloudformation::types::ResourceChangeDetail| detail.target()?.name().map(str::to_owned);
    Change {
        action: change.action().map_or("", |action| action.as_str()).to_owned(),
        logical_id: change.logical_resource_id().unwrap_or_default().to_owned(),
        resource_type: change.resource_type().unwrap_or_default().to_owned(),
        replacement: change.replacement().map_or("", |replacement| replacement.as_str()).to_owned(),
        properties: change.details().iter().filter_map(target).collect(),
    }
}

fn list(parameters: &Parameters) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build()).collect()
}

fn refused(what: &str, error: &dyn std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("could not {what} the stack: {}", DisplayErrorContext(error))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn packaging_replaces_the_folder_and_nothing_else() {
        let template = template().unwrap();
        let packaged = with_code(&template, "bucket", "key.zip").unwrap();
        let changed: Vec<(&str, &str)> =
            template.lines().zip(packaged.lines()).filter(|(before, after)| before != after).collect();
        assert_eq!(changed, [("      Code: target/lambda/hawser", "      Code: { S3Bucket: bucket, S3Key: key.zip }")]);
        assert!(with_code("Code: elsewhere", "bucket", "key.zip").is_err());
    }
}
