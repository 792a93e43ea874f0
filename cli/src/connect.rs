//! A connection without a stack: the handler's own code, with a person's own credentials (`hawser connect`, `hawser disconnect`).
//!
//! What CloudFormation does for a stack is done here. The template is resolved ([`crate::template`]); billing data and the
//! notice are left to the handler, by the same requests that CloudFormation makes; role and packs are made as the template has
//! them ([`access`]). There is no function in the account afterwards, so nothing watches the delivery of data.
//!
//! The connection's id is derived from the account and the connection's name, so that every run finds what the earlier ones
//! made. Nothing is remembered outside of the account. Nothing is made or removed before the plan was shown and agreed to (HW-P5).

use std::collections::BTreeSet;

use hawser::{
    billing::{
        BillingRequest, Export, ExportId, Kind, Retention,
        facts::OwnedResources,
        observe::observe_removal,
        plan::{self as billing_plan, Plan},
    },
    connection::{self, ConnectionRequest, NoticePlan, Terms, Way},
    decide,
    error::{Code, Failure},
    handler::{self, Fulfilled},
    identity::IdentityProof,
    names::{NamePrefix, StackId, digest_hex},
    ports::Ports,
    protocol::{
        origin::{Origin, RequestType},
        reply::Attributes,
    },
    request::Request,
};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    error::{CommandCode, CommandError},
    template::{ResolveContext, Resolved},
};

pub mod access;
mod caller;
pub mod iam;
mod plan;
mod request;
pub mod sdk;
mod stacks;

pub use caller::{Caller, CallerKind};
pub use plan::{ConnectionPlan, ConnectionResult};
pub use request::{BILLING, ConnectRequest, NOTICE, connection_id};
pub use stacks::NoStack;

use access::{Change, DesiredAccess, ExistingAccess, TAG_NAME_PREFIX, TAG_NOTIFIED};
use iam::Iam;
use plan::PlanInputs;
use request::properties;

/// How long the handler may take for one request: a person waits longer than a function may run, and no longer than for a stack.
const LIMIT: Duration = Duration::minutes(5);

/// A connection with everything that it needs of the world.
pub struct StacklessConnection<'a> {
    request: &'a ConnectRequest,
    stack: StackId,
    /// Of this run: it tells the vendor's notices, and the places of reports that are made, apart.
    request_id: String,
    /// The template, without what becomes known of billing data.
    resolved: Resolved,
    /// What the connection would have its billing data by.
    export: Export,
    ports: Ports<'a>,
    iam: &'a dyn Iam,
}

impl<'a> StacklessConnection<'a> {
    /// For a person's request. `ports.stacks` is not asked.
    ///
    /// # Errors
    /// What the template refuses.
    pub fn new(request: &'a ConnectRequest, ports: Ports<'a>, iam: &'a dyn Iam) -> Result<Self, CommandError> {
        let stack = request.stack()?;
        let now = ports.clock.now().unix_timestamp_nanos().to_string();
        let request_id = digest_hex(&["hawser connect", stack.as_str(), &now], 16);
        request.require_external_id()?;
        let resolved = request.resolve(&stack)?;
        let export = Export::parse(properties(&resolved, BILLING)?.as_object())?;
        Ok(Self { request, stack, request_id, resolved, export, ports: Ports { stacks: &NoStack::Connecting, ..ports }, iam })
    }

    /// The template with the attributes of billing data.
    fn with_billing(&self, attributes: &Attributes) -> Result<Resolved, CommandError> {
        let attributes = attributes.iter().map(|(name, value)| ((BILLING.to_owned(), (*name).to_owned()), value.clone()));
        let known = ResolveContext { attributes: attributes.collect(), ..ResolveContext::default() };
        self.request.template.fill(&self.resolved, &known)
    }

    fn origin(&self, logical_id: &str, request_type: RequestType, physical_id: Option<String>) -> Origin {
        Origin {
            request_type,
            stack: self.stack.clone(),
            request_id: self.request_id.clone(),
            logical_id: logical_id.to_owned(),
            physical_id,
        }
    }

    /// As CloudFormation asks for billing data: an Update if there is any.
    fn billing_request(&self, current: Option<&String>) -> (Origin, BillingRequest) {
        let request_type = if current.is_some() { RequestType::Update } else { RequestType::Create };
        let export = self.export.clone();
        (self.origin(BILLING, request_type, current.cloned()), BillingRequest::Ensure { export, before: None })
    }

    async fn remove_billing(&self, id: &ExportId, ports: &Ports<'_>) -> Result<Fulfilled, CommandError> {
        // Names are found by the prefix that they were made with.
        let (kind, retention, prefix) = (Some(self.export.kind), self.export.retention, Some(id.prefix().clone()));
        let origin = self.origin(BILLING, RequestType::Delete, Some(id.to_string()));
        self.fulfil(&Request::Billing(origin, BillingRequest::Remove { kind, retention, prefix }), ports).await
    }

    /// The id of the connection, as a notice has it.
    fn notice_id(&self) -> String {
        connection::physical_id(&self.origin(NOTICE, RequestType::Create, None))
    }

    fn terms(&self, resolved: &Resolved) -> Result<Box<Terms>, Failure> {
        direct(&properties(resolved, NOTICE)?)
    }

    /// What the vendor is told at the end: of what goes, nothing is known any more.
    fn terms_of_removal(&self) -> Result<Box<Terms>, Failure> {
        let mut terms = properties(&self.resolved, NOTICE)?;
        terms["Organization"] = json!({});
        terms["Billing"] = json!({});
        direct(&terms)
    }

    async fn fulfil(&self, request: &Request, ports: &Ports<'_>) -> Result<Fulfilled, CommandError> {
        Ok(handler::fulfil(request, ports.clock.now() + LIMIT, ports).await?)
    }

    /// The ids of billing data under which something of ours is left, without the one that is kept.
    async fn leftovers(
        &self,
        prefix: &NamePrefix,
        kept: Option<&ExportId>,
        kind: Kind,
    ) -> Result<Vec<(ExportId, OwnedResources)>, CommandError> {
        let origin = self.origin(BILLING, RequestType::Delete, None);
        let ids = ExportId::all(&origin, prefix).filter(|id| Some(id) != kept).collect();
        let found = observe_removal(&origin, ids, &[kind], &self.ports).await?;
        Ok(found.remains.into_iter().filter(|(_, remains)| *remains != OwnedResources::default()).collect())
    }

    /// What their removal would do.
    fn removal_steps(&self, left: &[(ExportId, OwnedResources)]) -> Result<Vec<String>, Failure> {
        let origin = self.origin(BILLING, RequestType::Delete, None);
        Ok(steps(&billing_plan::plan_removal(&origin, left, self.export.retention)?))
    }

    /// The connection's name prefix as it was made with, which never changes.
    fn prefix(&self, existing: &ExistingAccess) -> NamePrefix {
        let recorded = existing.recorded(TAG_NAME_PREFIX).and_then(|tag| tag.parse().ok());
        recorded.unwrap_or_else(|| self.export.prefix.clone())
    }

    /// Looks at everything and says what connecting would do. Changes nothing.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn plan(&self) -> Result<ConnectionPlan, CommandError> {
        self.request.check_caller()?;
        self.request.require_launch_token()?;
        access::check_resource_types(&self.resolved)?;
        let existing = ExistingAccess::read(&self.request.template, &self.stack, self.iam).await?;
        let new = self.origin(BILLING, RequestType::Create, None);
        let id = self.export.id(&new);
        let prefix = self.prefix(&existing);
        let left = self.leftovers(&prefix, Some(&id), self.export.kind).await?;
        let notified_before = existing.recorded(TAG_NOTIFIED).map(str::to_owned);
        let is_new = notified_before.is_none();
        let current = (!is_new || prefix != self.export.prefix).then(|| match left.first() {
            Some((old, _)) => old.to_string(),
            // Under another prefix, so that the handler refuses to change it in its own words.
            None => Export { prefix, ..self.export.clone() }.id(&new).to_string(),
        });
        let (origin, asked) = self.billing_request(current.as_ref());
        let billing = decide::billing(&origin, &asked, &self.ports).await?.plan?;
        let resolved = self.with_billing(&billing.attributes)?;
        let desired = DesiredAccess::read(&self.request.template, &resolved, &self.stack, self.export.prefix.as_str())?;
        self.check_policy_quota(&desired).await?;
        self.check_roles_exist(&desired).await?;
        let access = access::plan(&self.request.template, &desired, &existing)?;
        let is_known = notified_before.as_ref() == Some(&self.fingerprint(&resolved)?);
        let changes = !billing.rounds.is_empty() || !access.before.is_empty() || !access.after.is_empty() || !left.is_empty();
        let (origin, asked) = self.notice_request(is_new, self.terms(&resolved)?);
        let notice = connection::decide(&origin, &asked, &self.ports).await?;
        let mut afterwards = lines(&access.after);
        afterwards.extend(self.removal_steps(&left)?);
        Ok(ConnectionPlan {
            command: if is_new { "connect" } else { "update" },
            billing: steps(&billing),
            decision: billing.decision,
            access: lines(&access.before),
            notice: (changes || !is_known).then(|| format!("{notice}, with a proof of identity")),
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
        let names: BTreeSet<&String> =
            desired.policies.iter().flat_map(|policy| &policy.roles).filter(|name| !own(name)).collect();
        for name in names {
            if self.iam.role(name).await?.is_none() {
                let cause = format!("this account has no role `{name}`");
                return Err(CommandError::new(CommandCode::ConnectRoleMissing, cause));
            }
        }
        Ok(())
    }

    /// A digest of what the vendor is told, without what differs from look to look.
    fn fingerprint(&self, resolved: &Resolved) -> Result<String, CommandError> {
        let mut properties = properties(resolved, NOTICE)?;
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
        let (origin, asked) = self.billing_request(work.current.as_ref());
        let billing = self.fulfil(&Request::Billing(origin, asked), &self.ports).await?;
        let resolved = self.with_billing(&billing.attributes)?;
        let desired = DesiredAccess::read(&self.request.template, &resolved, &self.stack, self.export.prefix.as_str())?;
        let access = access::plan(&self.request.template, &desired, &work.existing)?;
        self.apply(&access.before).await?;
        let terms = self.terms(&resolved)?;
        let mut done = ConnectionResult {
            changed: !plan.is_empty(),
            role_arn: terms.role_arn.clone(),
            billing: billing.attributes,
            remarks: billing.remarks,
            ..ConnectionResult::default()
        };
        if plan.notice.is_some() {
            let (origin, asked) = self.notice_request(work.notified_before.is_none(), terms);
            let notice = self.fulfil(&Request::Connection(origin, asked), &self.ports).await?;
            let mut said = notice.attributes;
            done.connection_id = said.remove("ConnectionId").unwrap_or_default();
            done.message = said.remove("Message").unwrap_or_default();
            done.remarks.extend(notice.remarks);
            access::record(&desired, &self.fingerprint(&resolved)?, self.iam).await?;
        }
        self.apply(&access.after).await?;
        for old in &work.old {
            done.remarks.extend(self.remove_billing(old, &self.ports).await?.remarks);
        }
        Ok(done)
    }

    fn notice_request(&self, is_new: bool, terms: Box<Terms>) -> (Origin, ConnectionRequest) {
        let origin = if is_new {
            self.origin(NOTICE, RequestType::Create, None)
        } else {
            self.origin(NOTICE, RequestType::Update, Some(self.notice_id()))
        };
        (origin, ConnectionRequest::Ensure(terms))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), CommandError> {
        for change in changes {
            access::apply(change, self.iam, self.ports.clock).await?;
            self.ports.progress.done(&change.past_tense());
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
        let existing = ExistingAccess::read(&self.request.template, &self.stack, self.iam).await?;
        let left = self.leftovers(&self.prefix(&existing), None, self.export.kind).await?;
        let removal = access::plan_removal(&existing)?;
        let mut afterwards = lines(&removal);
        afterwards.extend(self.removal_steps(&left)?);
        let decision = match self.export.retention {
            _ if left.is_empty() => "this connection has no billing export",
            Retention::Retain => "delivered data and its bucket are kept",
            Retention::Delete => "delivered data and its bucket are deleted",
        };
        let terms = self.terms_of_removal();
        let notice = match &terms {
            Ok(terms) => NoticePlan::Removal(terms),
            Err(failure) => NoticePlan::Unreadable(failure),
        };
        Ok(ConnectionPlan {
            command: "disconnect",
            decision: decision.to_owned(),
            notice: notifies.then(|| format!("{notice}; it goes on whatever the vendor answers")),
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
        let ports = Ports { stacks: &NoStack::Disconnecting, ..self.ports };
        let mut done = ConnectionResult { changed: !plan.is_empty(), ..ConnectionResult::default() };
        if plan.notice.is_some() {
            let origin = self.origin(NOTICE, RequestType::Delete, Some(self.notice_id()));
            let asked = ConnectionRequest::Remove(self.terms_of_removal());
            done.remarks = self.fulfil(&Request::Connection(origin, asked), &ports).await?.remarks;
        }
        self.apply(&plan.work.removal).await?;
        if let Some(id) = plan.work.old.first() {
            done.remarks.extend(self.remove_billing(id, &ports).await?.remarks);
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
        for (id, remains) in self.leftovers(&prefix, None, Kind::None).await.unwrap_or_default() {
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

fn steps(plan: &Plan) -> Vec<String> {
    plan.rounds.iter().flatten().map(ToString::to_string).collect()
}

/// What a vendor is told by a person and not by a stack. A token would name the person's role, which AWS does not say of a user.
fn direct(properties: &Value) -> Result<Box<Terms>, Failure> {
    Ok(Box::new(Terms { way: Way::Direct, identity_proof: IdentityProof::Request, ..Terms::parse(properties.as_object())? }))
}
