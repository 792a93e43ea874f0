//! A connection without a stack: the handler's own code, with a person's own credentials (`hawser connect`, `hawser disconnect`).
//!
//! What CloudFormation does for a stack is done here. The template is resolved ([`crate::template`]); billing data and the
//! notice are left to the handler, by the same events that CloudFormation sends ([`events`]); role and packs are made as the
//! template has them ([`access`]). There is no function in the account afterwards, so nothing watches the delivery of data.
//!
//! The connection's id is derived from the account and the connection's name, so that every run finds what the earlier ones
//! made. Nothing is remembered outside of the account. Nothing is made or removed before the plan was shown and agreed to (HW-P5).

use std::collections::BTreeMap;

use hawser::{
    billing::{
        self, Export, ExportId, Kind, Retention,
        observe::observe_removal,
        plan::{self as billing_plan, Step},
    },
    connection,
    decide::{self, DryRun},
    error::{Code, Failure},
    names::{AccountId, LaunchToken, NamePrefix, NoticeUrl, Partition, Region, StackId, digest_hex},
    ports::Ports,
    protocol::{
        origin::{Origin, RequestType},
        reply::Attributes,
    },
    request::Request,
};
use serde_json::Value;

use crate::{
    error::{CommandCode, CommandError},
    template::{ResolveContext, Resolved, Template},
};

pub mod access;
mod caller;
pub mod events;
pub mod fake_iam;
pub mod iam;
mod plan;
pub mod sdk;
pub mod stackless;

pub use caller::{Caller, CallerKind};
pub use plan::{ConnectionPlan, ConnectionResult};

use access::{Change, DesiredAccess, ExistingAccess, TAG_NAME_PREFIX, TAG_NOTIFIED};
use events::{BILLING, NOTICE, SyntheticEvent};
use iam::Iam;
use plan::PlanInputs;
use stackless::{Progress, StacklessAws};

/// The stack name in the id of a connection without a stack.
const STACK_NAME: &str = "hawser-connect";

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    pub template: Template,
    /// Its parameters, those of the launch included.
    pub parameters: BTreeMap<String, String>,
    pub caller: Caller,
    /// The Region that the template's own Region stands for in policies.
    pub region: Region,
    /// How many managed policies AWS allows on a role of this account, where it was asked to allow more.
    pub managed_policies_quota: Option<u64>,
}

/// The id of a connection without a stack: of the form of a stack's, derived, and the same wherever the command runs.
///
/// Its Region is the one of the account's billing, which is always enabled: the proof of identity is made for STS there.
///
/// # Errors
/// None in practice: all parts were checked.
pub fn connection_id(account: &AccountId, partition: Partition, name: &str) -> Result<StackId, Failure> {
    let region = partition.billing_region().unwrap_or_else(|| partition.support_region());
    let digest = digest_hex(&["hawser connect", account.as_str(), name], 16);
    // A UUID of version 8, which RFC 9562 leaves to whoever derives one.
    let uuid = format!("{}-{}-8{}-a{}-{}", &digest[..8], &digest[8..12], &digest[13..16], &digest[17..20], &digest[20..32]);
    let id = format!("arn:{partition}:cloudformation:{region}:{account}:stack/{STACK_NAME}/{uuid}");
    id.parse().map_err(|_| Failure::new(Code::Internal, "the connection's id is not of a stack's form"))
}

impl ConnectRequest {
    fn parameter(&self, name: &str) -> String {
        let default = || self.template.parameters().into_iter().find(|known| known.name == name)?.default;
        self.parameters.get(name).cloned().or_else(default).unwrap_or_default()
    }

    fn stack(&self) -> Result<StackId, Failure> {
        connection_id(&self.caller.account, self.caller.partition, &self.parameter("ConnectionName"))
    }

    /// The template for this connection. Names and ARNs of role and policies are known before they are made; of billing data
    /// what the handler answered.
    fn resolve(&self, stack: &StackId, attributes: &BTreeMap<String, String>) -> Result<Resolved, CommandError> {
        let mut context = ResolveContext {
            parameters: self.parameters.clone(),
            account_id: stack.account.as_str().to_owned(),
            partition: stack.partition.as_str().to_owned(),
            region: self.region.as_str().to_owned(),
            stack_name: STACK_NAME.to_owned(),
            stack_id: stack.as_str().to_owned(),
            ..ResolveContext::default()
        };
        let first = self.template.resolve(&context)?;
        for (logical_id, resource) in first.resources() {
            let path = resource["Properties"]["Path"].as_str().unwrap_or("/");
            let name = access::name(stack, logical_id);
            let (kind, attribute) = match resource["Type"].as_str() {
                Some("AWS::IAM::Role") => ("role", "Arn"),
                Some("AWS::IAM::ManagedPolicy") => ("policy", "PolicyArn"),
                _ => continue,
            };
            let arn = access::arn(stack, kind, path, &name);
            // What `Ref` gives: of a role its name, of a policy its ARN.
            context.references.insert(logical_id.clone(), if kind == "role" { name } else { arn.clone() });
            context.attributes.insert((logical_id.clone(), attribute.to_owned()), arn);
        }
        // Neither is there: what refers to them is not made here.
        context.references.remove(access::FUNCTION_ROLE);
        context.attributes.remove(&(access::FUNCTION_ROLE.to_owned(), "Arn".to_owned()));
        // Read off a policy's order in a stack, where the watch comes first.
        context.references.insert("DeliveryWatch".to_owned(), String::new());
        context.attributes.extend(attributes.iter().map(|(name, value)| ((BILLING.to_owned(), name.clone()), value.clone())));
        self.template.resolve(&context)
    }

    fn properties(&self, resolved: &Resolved, logical_id: &str) -> Result<Value, CommandError> {
        let resource = resolved.resources().get(logical_id);
        let missing = || Failure::new(Code::Internal, format!("the template has no `{logical_id}`"));
        Ok(resource.ok_or_else(missing)?["Properties"].clone())
    }

    /// Vendors take the word of a role or a user only (docs/notices.md, "Verify a notice").
    fn check_caller(&self) -> Result<(), CommandError> {
        match self.caller.kind() {
            CallerKind::Role | CallerKind::User => Ok(()),
            CallerKind::Root | CallerKind::Other => {
                let cause =
                    format!("you are `{}`, and vendors accept a proof of identity from a role or a user only", self.caller.arn);
                Err(CommandError::new(CommandCode::ConnectCaller, cause))
            }
        }
    }

    /// What the vendor can be told with.
    fn require_launch_token(&self) -> Result<(), CommandError> {
        if self.parameter("ExternalId").is_empty() {
            let cause = "`ExternalId` is empty, and there is no stack to generate one".to_owned();
            return Err(CommandError::new(CommandCode::ConnectExternalId, cause));
        }
        if self.parameter("LaunchToken").parse::<LaunchToken>().is_err() {
            let cause = "the launch token is missing or malformed".to_owned();
            return Err(CommandError::new(CommandCode::ConnectToken, cause));
        }
        Ok(())
    }
}

/// A connection with everything that it needs of the world.
pub struct StacklessConnection<'a> {
    request: &'a ConnectRequest,
    stack: StackId,
    /// Of this run: it tells the vendor's notices, and the places of reports that are made, apart.
    request_id: String,
    ports: Ports<'a>,
    aws: &'a StacklessAws<'a>,
    iam: &'a dyn Iam,
    progress: &'a dyn Progress,
}

impl<'a> StacklessConnection<'a> {
    /// For a wish. `ports.cloud` is replaced by `aws`.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(
        request: &'a ConnectRequest,
        ports: Ports<'a>,
        aws: &'a StacklessAws<'a>,
        iam: &'a dyn Iam,
        progress: &'a dyn Progress,
    ) -> Result<Self, CommandError> {
        let stack = request.stack()?;
        let now = ports.clock.now().unix_timestamp_nanos().to_string();
        let request_id = digest_hex(&["hawser connect", stack.as_str(), &now], 16);
        Ok(Self { request, stack, request_id, ports: Ports { cloud: aws, stacks: aws, ..ports }, aws, iam, progress })
    }

    fn synthetic_event(
        &self,
        request_type: RequestType,
        logical_id: &'a str,
        physical_id: Option<&str>,
        properties: Value,
    ) -> SyntheticEvent<'a> {
        SyntheticEvent {
            request_type,
            stack: self.stack.clone(),
            request_id: self.request_id.clone(),
            logical_id,
            physical_id: physical_id.map(str::to_owned),
            properties,
        }
    }

    /// What the connection would have its billing data by.
    fn export(&self, resolved: &Resolved) -> Result<(Export, Value), CommandError> {
        let properties = self.request.properties(resolved, BILLING)?;
        Ok((Export::parse(properties.as_object())?, properties))
    }

    fn origin(&self, request_type: RequestType, logical_id: &str) -> Origin {
        Origin {
            request_type,
            stack: self.stack.clone(),
            request_id: self.request_id.clone(),
            logical_id: logical_id.to_owned(),
            physical_id: None,
        }
    }

    /// The ids of billing data under which something of ours is left, without the one that is kept.
    async fn leftover_ids(
        &self,
        prefix: &NamePrefix,
        kept: Option<&ExportId>,
        kind: Kind,
    ) -> Result<Vec<(ExportId, billing::facts::OwnedResources)>, CommandError> {
        let origin = self.origin(RequestType::Delete, BILLING);
        let ids = ExportId::all(&origin, prefix).filter(|id| Some(id) != kept).collect();
        let found = observe_removal(&origin, ids, &[kind], &self.ports).await?;
        Ok(found.remains.into_iter().filter(|(_, remains)| *remains != Default::default()).collect())
    }

    /// The connection's name prefix as it was made with, which never changes.
    fn prefix(&self, export: &Export, existing: &ExistingAccess) -> Result<NamePrefix, CommandError> {
        let recorded = existing.recorded(TAG_NAME_PREFIX).and_then(|tag| tag.parse().ok());
        Ok(recorded.unwrap_or_else(|| export.prefix.clone()))
    }

    /// Looks at everything and says what connecting would do. Changes nothing.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn plan(&self) -> Result<ConnectionPlan, CommandError> {
        self.request.check_caller()?;
        self.request.require_launch_token()?;
        let first = self.request.resolve(&self.stack, &BTreeMap::new())?;
        let (export, properties) = self.export(&first)?;
        access::check_resource_types(&first)?;
        let existing = ExistingAccess::read(&self.request.template, &self.stack, self.iam).await?;
        let id = export.id(&self.origin(RequestType::Create, BILLING));
        let prefix = self.prefix(&export, &existing)?;
        let left = self.leftover_ids(&prefix, Some(&id), export.kind).await?;
        let notified_before = existing.recorded(TAG_NOTIFIED).map(str::to_owned);
        let current = match left.first() {
            Some((old, _)) => old.to_string(),
            // Under another prefix, so that the handler refuses to change it in its own words.
            None if prefix != export.prefix => {
                Export { prefix: prefix.clone(), ..export.clone() }.id(&self.origin(RequestType::Create, BILLING)).to_string()
            }
            None => id.to_string(),
        };
        let current = (notified_before.is_some() || prefix != export.prefix).then_some(current);
        let billing = self.dry(&self.billing_event(current.as_deref(), properties)).await?;
        let attributes = owned(&billing.attributes);
        let resolved = self.request.resolve(&self.stack, &attributes)?;
        let desired = DesiredAccess::read(&self.request.template, &resolved, &self.stack, export.prefix.as_str())?;
        self.check_policy_quota(&desired).await?;
        self.check_roles_exist(&desired).await?;
        let access = access::plan(&self.request.template, &desired, &existing)?;
        let reported = self.fingerprint(&resolved)?;
        let rounds: Vec<String> = billing.rounds.iter().flatten().cloned().collect();
        let changes = !rounds.is_empty() || !access.before.is_empty() || !access.after.is_empty() || !left.is_empty();
        let is_new = notified_before.is_none();
        let notifies = changes || notified_before.as_deref() != Some(&reported);
        let mut afterwards = lines(&access.after);
        for (id, remains) in &left {
            let removal = billing_plan::plan_removal(
                &self.origin(RequestType::Delete, BILLING),
                &[(id.clone(), remains.clone())],
                export.retention,
            )?;
            afterwards.extend(removal.rounds.iter().flatten().map(Step::to_string));
        }
        Ok(ConnectionPlan {
            command: if is_new { "connect" } else { "update" },
            decision: billing.decision,
            billing: rounds,
            access: lines(&access.before),
            notice: if notifies { Some(self.notice_line(is_new, &resolved)?) } else { None },
            afterwards,
            work: PlanInputs {
                old: left.into_iter().map(|(id, _)| id).collect(),
                current,
                existing,
                notified_before,
                removal: Vec::new(),
            },
            ..self.plan_header()
        })
    }

    fn plan_header(&self) -> ConnectionPlan {
        ConnectionPlan {
            command: "connect",
            account_id: self.stack.account.as_str().to_owned(),
            caller: self.request.caller.arn.clone(),
            connection: self.request.parameter("ConnectionName"),
            vendor: Some(self.request.parameter("VendorName"))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "the vendor".to_owned()),
            id: self.stack.as_str().to_owned(),
            decision: String::new(),
            billing: Vec::new(),
            access: Vec::new(),
            notice: None,
            afterwards: Vec::new(),
            work: PlanInputs::default(),
        }
    }

    fn billing_event(&self, current: Option<&str>, properties: Value) -> SyntheticEvent<'a> {
        let request_type = if current.is_some() { RequestType::Update } else { RequestType::Create };
        self.synthetic_event(request_type, BILLING, current, properties)
    }

    async fn dry(&self, synthetic_event: &SyntheticEvent<'_>) -> Result<DryRun, CommandError> {
        Ok(decide::preview(&synthetic_event.event(), &self.ports).await?)
    }

    async fn check_policy_quota(&self, desired: &DesiredAccess) -> Result<(), CommandError> {
        let quota = match self.request.managed_policies_quota {
            Some(quota) => Some(quota),
            // Who may not ask finds out when IAM refuses.
            None => self.iam.summary().await.ok().and_then(|summary| summary.get("AttachedPoliciesPerRoleQuota").copied()),
        };
        quota.map_or(Ok(()), |quota| access::check_policy_quota(desired, quota))
    }

    /// A role of the customer's must be there: nothing else about it is looked at.
    async fn check_roles_exist(&self, desired: &DesiredAccess) -> Result<(), CommandError> {
        let own = |name: &&String| desired.roles.iter().any(|role| role.role.name == **name);
        let names: std::collections::BTreeSet<&String> =
            desired.policies.iter().flat_map(|policy| &policy.roles).filter(|name| !own(name)).collect();
        for name in names {
            if self.iam.role(name).await?.is_none() {
                let cause = format!("this account has no role `{name}`");
                return Err(CommandError::new(CommandCode::ConnectRoleMissing, cause));
            }
        }
        Ok(())
    }

    fn notice_line(&self, is_new: bool, resolved: &Resolved) -> Result<String, CommandError> {
        let properties = self.request.properties(resolved, NOTICE)?;
        let url: Option<NoticeUrl> = properties["NoticeUrl"].as_str().and_then(|url| url.parse().ok());
        let what = if is_new { "established" } else { "updated" };
        Ok(format!(
            "notify `{}` (`{what}`) about role `{}`, with a proof of identity",
            url.map(|url| url.authority()).unwrap_or_default(),
            properties["RoleArn"].as_str().unwrap_or_default()
        ))
    }

    /// A digest of what the vendor is told, without what differs from look to look.
    fn fingerprint(&self, resolved: &Resolved) -> Result<String, CommandError> {
        let mut properties = self.request.properties(resolved, NOTICE)?;
        if let Some(billing) = properties["Billing"].as_object_mut() {
            for changing in ["Decision", "FirstDataDueBy", "Backfill", "Arn"] {
                billing.remove(changing);
            }
        }
        if let Some(all) = properties.as_object_mut() {
            all.remove("ServiceToken");
        }
        let canonical = serde_json_canonicalizer::to_string(&properties);
        let canonical = canonical.map_err(|why| Failure::new(Code::Internal, why.to_string()))?;
        // The launch token in it is at least 24 random bytes, which no digest gives away.
        Ok(digest_hex(&[&canonical], 16))
    }

    /// Carries a plan of [`StacklessConnection::plan`] out. Whatever it stops at, running it again goes on, and disconnecting removes what is
    /// there.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn connect(&self, plan: &ConnectionPlan) -> Result<ConnectionResult, CommandError> {
        let work = &plan.work;
        let first = self.request.resolve(&self.stack, &BTreeMap::new())?;
        let (export, properties) = self.export(&first)?;
        let billing_outcome = self.billing_event(work.current.as_deref(), properties.clone()).ask(&self.ports).await?;
        self.aws.mark_present(BILLING, &billing_outcome.physical_id);
        let resolved = self.request.resolve(&self.stack, &billing_outcome.attributes)?;
        let desired = DesiredAccess::read(&self.request.template, &resolved, &self.stack, export.prefix.as_str())?;
        let access = access::plan(&self.request.template, &desired, &work.existing)?;
        self.apply(&access.before).await?;
        let mut done = ConnectionResult {
            changed: !plan.is_empty(),
            role_arn: self.request.properties(&resolved, NOTICE)?["RoleArn"].as_str().unwrap_or_default().to_owned(),
            billing: billing_outcome.attributes,
            remarks: billing_outcome.remark.into_iter().collect(),
            ..ConnectionResult::default()
        };
        if plan.notice.is_some() {
            let notice = self.notify(work.notified_before.is_some(), &resolved)?.ask(&self.ports).await?;
            let mut said = notice.attributes;
            done.connection_id = said.remove("ConnectionId").unwrap_or_default();
            done.message = said.remove("Message").unwrap_or_default();
            done.remarks.extend(notice.remark);
            self.progress.done(if work.notified_before.is_some() {
                "notified the vendor of the change"
            } else {
                "notified the vendor"
            });
            access::record(&desired, &self.fingerprint(&resolved)?, self.iam).await?;
        }
        self.apply(&access.after).await?;
        for old in &work.old {
            let removal = self.synthetic_event(RequestType::Delete, BILLING, Some(&old.to_string()), properties.clone());
            done.remarks.extend(removal.ask(&self.ports).await?.remark);
        }
        Ok(done)
    }

    fn notify(&self, notified_before: bool, resolved: &Resolved) -> Result<SyntheticEvent<'a>, CommandError> {
        let properties = self.request.properties(resolved, NOTICE)?;
        let id = connection::physical_id(&self.origin(RequestType::Update, NOTICE));
        self.aws.mark_present(NOTICE, &id);
        let (request_type, id) = if notified_before { (RequestType::Update, Some(id)) } else { (RequestType::Create, None) };
        Ok(self.synthetic_event(request_type, NOTICE, id.as_deref(), properties))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), CommandError> {
        for change in changes {
            access::apply(change, self.iam, self.ports.clock).await?;
            self.progress.done(&change.past_tense());
        }
        Ok(())
    }

    /// Looks at everything and says what disconnecting would do. Changes nothing.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn plan_disconnect(&self, notifies: bool) -> Result<ConnectionPlan, CommandError> {
        if notifies {
            self.request.require_launch_token()?;
        }
        let resolved = self.request.resolve(&self.stack, &BTreeMap::new())?;
        let (export, _) = self.export(&resolved)?;
        let existing = ExistingAccess::read(&self.request.template, &self.stack, self.iam).await?;
        let prefix = self.prefix(&export, &existing)?;
        let left = self.leftover_ids(&prefix, None, export.kind).await?;
        let removal = access::plan_removal(&existing)?;
        let mut afterwards = lines(&removal);
        let end = billing_plan::plan_removal(&self.origin(RequestType::Delete, BILLING), &left, export.retention)?;
        afterwards.extend(end.rounds.iter().flatten().map(Step::to_string));
        let role_arn = self.request.properties(&resolved, NOTICE)?["RoleArn"].as_str().unwrap_or_default().to_owned();
        let url: Option<NoticeUrl> = self.request.parameter("NoticeUrl").parse().ok();
        let host = url.map(|url| url.authority()).unwrap_or_default();
        let kept = match export.retention {
            Retention::Retain => "delivered data and its bucket are kept",
            Retention::Delete => "delivered data and its bucket are deleted",
        };
        let decision = if left.is_empty() { "this connection has no billing export".to_owned() } else { kept.to_owned() };
        Ok(ConnectionPlan {
            command: "disconnect",
            decision,
            notice: notifies
                .then(|| format!("notify `{host}` (`removed`) about role `{role_arn}`; it goes on whatever the vendor answers")),
            afterwards,
            work: PlanInputs { old: left.into_iter().map(|(id, _)| id).collect(), existing, removal, ..PlanInputs::default() },
            ..self.plan_header()
        })
    }

    /// Carries a plan of [`StacklessConnection::plan_disconnect`] out. As in a stack: the vendor first, then what it may do, then billing data.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn disconnect(&self, plan: &ConnectionPlan) -> Result<ConnectionResult, CommandError> {
        let resolved = self.request.resolve(&self.stack, &BTreeMap::new())?;
        let (export, properties) = self.export(&resolved)?;
        let mut done = ConnectionResult { changed: !plan.is_empty(), ..ConnectionResult::default() };
        if plan.notice.is_some() {
            let id = connection::physical_id(&self.origin(RequestType::Delete, NOTICE));
            self.aws.mark_deleting(NOTICE, &id);
            let mut terms = self.request.properties(&resolved, NOTICE)?;
            // Of what goes, nothing is known any more.
            terms["Organization"] = Value::Object(Default::default());
            terms["Billing"] = Value::Object(Default::default());
            let reported = self.synthetic_event(RequestType::Delete, NOTICE, Some(&id), terms).ask(&self.ports).await?;
            match reported.remark {
                Some(remark) => done.remarks.push(remark),
                None => self.progress.done("notified the vendor"),
            }
        }
        self.apply(&plan.work.removal).await?;
        if let Some(id) = plan.work.old.first() {
            let id = id.to_string();
            self.aws.mark_deleting(BILLING, &id);
            let mut properties = properties;
            // Names are found by the prefix that they were made with.
            properties["NamePrefix"] = self.prefix(&export, &plan.work.existing)?.as_str().into();
            let removed = self.synthetic_event(RequestType::Delete, BILLING, Some(&id), properties).ask(&self.ports).await?;
            done.remarks.extend(removed.remark);
        }
        Ok(done)
    }

    /// What of the connection is in the account now, in words: for a person whose run stopped half-way.
    pub async fn existing_resources(&self) -> Vec<String> {
        let mut there = Vec::new();
        if let Ok(existing) = ExistingAccess::read(&self.request.template, &self.stack, self.iam).await {
            there.extend(existing.roles.values().map(|existing| format!("role `{}`", existing.role.name)));
            there.extend(existing.policies.values().map(|existing| format!("policy `{}`", existing.policy.name)));
        }
        let Ok(prefix) = self.request.parameter("NamePrefix").parse::<NamePrefix>() else { return there };
        for (id, remains) in self.leftover_ids(&prefix, None, Kind::None).await.unwrap_or_default() {
            there.extend(remains.report.then(|| format!("report `{}`", id.report())));
            there.extend(remains.exports.iter().map(|arn| format!("export `{arn}`")));
            let bucket = id.bucket(&self.stack.account).ok().filter(|_| remains.bucket);
            there.extend(bucket.map(|bucket| format!("bucket `{bucket}`")));
        }
        there
    }
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

fn owned(attributes: &Attributes) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// The request that an event is: for tests, and for whoever wants to see that it is one.
///
/// # Errors
/// What the handler would answer.
pub fn request(synthetic_event: &SyntheticEvent<'_>) -> Result<Request, Failure> {
    Request::parse(&synthetic_event.event())
}
