//! Long because every check writes into the one report that this file defines and displays.
//!
//! A look before a launch, which changes nothing (`hawser preflight`).
//!
//! What the handler would do is the handler's own code over the account as it is ([`crate::plan`]); what CloudFormation
//! asks of the launcher is [`needs`], put to IAM's own simulator. What could not be found out is said, and is no failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;

pub mod needs;
mod surroundings;

use needs::{Need, Phase};
pub use surroundings::{BillSegment, Surroundings};

use crate::{
    connect::{
        BILLING, CallerKind, ConnectRequest, NoStack,
        iam::{Iam, Verdict},
    },
    cost::{self, Cost, Parts},
    error::{CommandCode, CommandError, Exit},
    setup::link::check_stack_name,
    template::{MEMBERS, ResolveContext, Resolved},
};
use hawser::{
    aws::Fault,
    billing::{BillingRequest, Export, account_role::BillingPosition},
    decide,
    error::Failure,
    names::{Region, StackId},
    ports::{Ports, Progress},
    protocol::origin::{Origin, RequestType},
};

/// Most reports of an account (Cost and Usage Reports User Guide, "Quotas and restrictions").
const REPORTS_MAX: usize = 10;

/// Actions in one question to the simulator: far below any limit of a request's size.
const ACTIONS_MAX: usize = 100;

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was found that would fail.
    Ready,
    WouldFail,
    /// What decides could not be looked at.
    CouldNotLook,
}

/// One thing that somebody may not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingPermission {
    pub action: String,
    /// When it is needed.
    pub phase: Phase,
    pub on: String,
    /// For which resources of the template.
    pub resources: Vec<String>,
    /// Why it is not allowed.
    pub why: &'static str,
}

/// A quota and what the stack adds to what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    pub of: &'static str,
    pub there: u64,
    /// The stack adds.
    pub adds: u64,
    /// AWS allows.
    pub most: u64,
}

impl Quota {
    fn is_exceeded(&self) -> bool {
        self.there + self.adds > self.most
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it comes to.
    pub outcome: Outcome,
    pub account_id: String,
    pub partition: &'static str,
    /// Where the stack would be.
    pub region: String,
    /// How it would be called.
    pub stack_name: String,
    /// Who would launch it.
    pub caller: String,
    /// What kind of principal that is.
    pub caller_kind: CallerKind,
    /// The account's place in its organization, in words.
    pub organization: String,
    /// Whether its costs are what AWS charges, and on whose bill, in words; none if AWS does not say.
    pub bill: Option<String>,
    /// The account's reports, by name; none if they may not be seen.
    pub reports: Option<Vec<String>>,
    pub exports: Option<Vec<String>>,
    /// What would be done about billing data, and why.
    pub decision: Option<String>,
    pub steps: Vec<String>,
    /// What CloudFormation asks of the launcher.
    pub needs: Vec<Need>,
    /// Whether IAM's simulator counted the organization's policies.
    pub organization_counts: bool,
    /// What the launcher may not do.
    pub lacks: Vec<MissingPermission>,
    /// What the stack and its bill would cost in a month, for a bill of [`cost::EXAMPLE`]'s size.
    pub costs: Vec<Cost>,
    /// Quotas of IAM.
    pub quotas: Vec<Quota>,
    /// Why a launch would fail.
    pub failures: Vec<String>,
    /// What could not be found out.
    pub unknown: Vec<String>,
}

/// Looks.
///
/// # Errors
/// [`CommandError`] for parameters that the template does not take.
pub async fn check(
    inquiry: &ConnectRequest,
    stack_name: &str,
    ports: &Ports<'_>,
    iam: &dyn Iam,
    surroundings: &dyn Surroundings,
) -> Result<Report, CommandError> {
    let caller = &inquiry.caller;
    check_stack_name(stack_name, CommandCode::StackName)?;
    let stack: StackId = format!(
        "arn:{}:cloudformation:{}:{}:stack/{}/00000000-0000-0000-0000-000000000000",
        caller.partition, inquiry.region, caller.account, stack_name
    )
    .parse()
    .map_err(|_| CommandError::new(CommandCode::StackName, format!("`{stack_name}` is not a valid stack name")))?;
    let context = ResolveContext { partial: true, ..ResolveContext::of_stack(&stack, &inquiry.parameters) };
    let resolved = inquiry.template.resolve(&context)?;
    let denials = Denials::default();
    let ports = Ports { stacks: &NoStack::Connecting, progress: &denials, ..*ports };
    let mut report = Report {
        outcome: Outcome::Ready,
        account_id: caller.account.as_str().to_owned(),
        partition: caller.partition.as_str(),
        region: inquiry.region.as_str().to_owned(),
        stack_name: stack_name.to_owned(),
        caller: caller.arn.clone(),
        caller_kind: caller.kind(),
        organization: String::new(),
        bill: None,
        reports: None,
        exports: None,
        decision: None,
        steps: Vec::new(),
        needs: needs::needs(&resolved, &stack),
        organization_counts: false,
        lacks: Vec::new(),
        costs: cost::monthly(Parts::of(&resolved), cost::EXAMPLE),
        quotas: Vec::new(),
        failures: Vec::new(),
        unknown: Vec::new(),
    };
    report.check_billing(&resolved, &stack, &ports).await;
    report.check_bill(surroundings).await;
    report.check_stack(&inquiry.region, surroundings).await;
    report.check_roll_out(&resolved, surroundings).await;
    report.check_permissions(inquiry, iam).await;
    report.check_quotas(inquiry, &resolved, iam).await;
    report.check_roles(&resolved, iam).await;
    let denied: Vec<&str> = denials.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    if !denied.is_empty() {
        report.unknown.push(format!(
            "you may not call `{}`; the stack's function may, so its decision may differ from this one",
            denied.join("`, `")
        ));
    }
    report
        .unknown
        .push("whether you can read the function's code in the vendor's bucket: the published template names it".to_owned());
    if report.organization.starts_with("management") || report.organization.starts_with("member") {
        if !report.organization_counts {
            report.unknown.push(
                "whether policies of your organization deny something to you: IAM's simulator did not count them".to_owned(),
            );
        }
        report.unknown.push(
            "whether a service control policy denies something to the role of the stack's function: IAM evaluates existing roles only".to_owned(),
        );
    }
    if !report.failures.is_empty() {
        report.outcome = Outcome::WouldFail;
    }
    Ok(report)
}

/// The actions that AWS denied, in words.
#[derive(Debug, Default)]
struct Denials(Mutex<BTreeSet<&'static str>>);

impl Progress for Denials {
    fn done(&self, _what: &str) {}

    fn denied(&self, action: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(action);
    }
}

fn noted<T>(answer: Result<T, Fault>, ports: &Ports<'_>) -> Result<T, Fault> {
    answer.inspect_err(|fault| {
        if fault.is_denial() {
            ports.progress.denied(fault.action);
        }
    })
}

/// What AWS answers in a Region that the account has not enabled (IAM User Guide, "Managing AWS STS in an AWS Region").
const NOT_ENABLED: [&str; 4] = ["AuthFailure", "InvalidClientTokenId", "OptInRequired", "UnrecognizedClientException"];

impl Report {
    /// Nothing depends on it, and nothing fails without it: in most accounts nobody may ask.
    async fn check_bill(&mut self, surroundings: &dyn Surroundings) {
        match surroundings.bill_segments().await {
            Ok(segments) => self.bill = describe_bill(&segments),
            Err(fault) => self.unknown.push(format!("whether the costs are pro forma: {fault}")),
        }
    }

    async fn check_stack(&mut self, region: &Region, surroundings: &dyn Surroundings) {
        match surroundings.stack_named(&self.stack_name, region).await {
            Ok(None) => {}
            Ok(Some(status)) => {
                let cause = format!("stack `{}` exists in {region}, with status {status}", self.stack_name);
                self.failures.push(CommandError::new(CommandCode::StackExists, cause).to_string());
            }
            Err(fault) if NOT_ENABLED.contains(&fault.code.as_str()) => {
                let cause = format!("Region `{region}` is not enabled for this account, or there is none of that name");
                self.failures.push(CommandError::new(CommandCode::RegionUnknown, cause).to_string());
            }
            Err(fault) => self.could_not_look(format!("whether a stack `{}` exists: {fault}", self.stack_name)),
        }
    }

    /// A roll-out to the members of an organization, if the parameters name units.
    async fn check_roll_out(&mut self, resolved: &Resolved, surroundings: &dyn Surroundings) {
        let Some(members) = resolved.resources().get(MEMBERS) else { return };
        if !self.organization.starts_with("management") {
            let found = &self.organization;
            let cause = format!("a roll-out is launched in an organization's management account, and this account is {found}");
            match found.starts_with("unknown") {
                true => self.could_not_look(cause),
                false => self.failures.push(CommandError::new(CommandCode::RollOutRefused, cause).to_string()),
            }
            return;
        }
        match surroundings.stack_sets_are_trusted().await {
            Ok(true) => {}
            Ok(false) => {
                let cause = "StackSets has no trusted access to the organization";
                self.failures.push(CommandError::new(CommandCode::RollOutRefused, cause).to_string());
            }
            Err(fault) => self.could_not_look(format!("whether StackSets has trusted access: {fault}")),
        }
        let groups = members["Properties"]["StackInstancesGroup"].as_array().into_iter().flatten();
        let units = groups.filter_map(|group| group["DeploymentTargets"]["OrganizationalUnitIds"].as_array()).flatten();
        for unit in units.filter_map(Value::as_str) {
            match surroundings.has_unit(unit).await {
                Ok(true) => {}
                Ok(false) => {
                    let cause = format!("the organization has no unit `{unit}`");
                    self.failures.push(CommandError::new(CommandCode::RollOutRefused, cause).to_string());
                }
                Err(fault) => self.could_not_look(format!("whether unit `{unit}` exists: {fault}")),
            }
        }
    }

    /// Something that decides whether a launch succeeds could not be found out.
    fn could_not_look(&mut self, what: String) {
        self.outcome = Outcome::CouldNotLook;
        self.unknown.push(what);
    }

    async fn check_billing(&mut self, resolved: &Resolved, stack: &StackId, ports: &Ports<'_>) {
        let home = stack.partition.billing_region().unwrap_or_else(|| stack.region.clone());
        let aws = ports.cloud.at(&home);
        let organization = noted(aws.describe_organization().await, ports);
        self.organization = match BillingPosition::classify(&stack.account, organization) {
            Ok(role) => describe_position(&role),
            Err(fault) => format!("unknown: {fault}"),
        };
        if stack.partition.billing_region().is_some() {
            self.reports = self.known(noted(aws.describe_reports().await, ports), |report| report.name);
            self.exports = self.known(noted(aws.list_exports().await, ports), |export| export.name);
        }
        let origin = Origin {
            request_type: RequestType::Create,
            stack: stack.clone(),
            request_id: "preflight".to_owned(),
            logical_id: BILLING.to_owned(),
            physical_id: None,
        };
        let plan = async {
            let properties = resolved.resources().get(BILLING).and_then(|billing| billing["Properties"].as_object());
            let asked = BillingRequest::Ensure { export: Export::parse(properties)?, before: None };
            let decided = decide::billing(&origin, &asked, ports).await?;
            Ok::<_, Failure>((decided.plan?, decided.remarks))
        };
        match plan.await {
            Ok((plan, remarks)) => {
                self.steps = plan.rounds.iter().flatten().map(ToString::to_string).collect();
                self.decision = Some(std::iter::once(plan.decision).chain(remarks).collect::<Vec<_>>().join("; "));
            }
            Err(failure) if CommandError::from(failure.clone()).exit() == Exit::External => {
                self.could_not_look(format!("what would be done about billing data: {failure}"));
            }
            Err(failure) => self.failures.push(failure.to_string()),
        }
    }

    fn known<T>(&mut self, answer: Result<Vec<T>, Fault>, name: impl Fn(T) -> String) -> Option<Vec<String>> {
        match answer {
            Ok(all) => Some(all.into_iter().map(name).collect()),
            Err(fault) => {
                if !fault.is_denial() {
                    self.unknown.push(fault.to_string());
                }
                None
            }
        }
    }

    async fn check_permissions(&mut self, inquiry: &ConnectRequest, iam: &dyn Iam) {
        let caller = &inquiry.caller;
        let principal = match caller.kind() {
            CallerKind::User => Ok(caller.arn.clone()),
            // A session names its role without the path, and the simulator wants the role.
            CallerKind::Role => match iam.role(caller.role_name().unwrap_or_default()).await {
                Ok(Some(role)) => Ok(role.arn),
                Ok(None) => Err("your role is not in this account".to_owned()),
                Err(fault) => Err(format!("your role's ARN could not be determined: {fault}")),
            },
            CallerKind::Root => {
                let may = "the root user may do everything that no policy of an organization denies".to_owned();
                match self.organization.starts_with("member") || self.organization.starts_with("unknown") {
                    true => self.could_not_look(may),
                    false => self.unknown.push(may),
                }
                return;
            }
            CallerKind::Other => Err("IAM does not simulate this kind of principal".to_owned()),
        };
        let lacks = match principal {
            Ok(principal) => self.simulate(&principal, iam).await.map_err(|fault| fault.to_string()),
            Err(why) => Err(why),
        };
        match lacks {
            Ok(lacks) => {
                for lack in lacks.iter().filter(|lack| lack.phase == Phase::Launch) {
                    let (action, why) = (&lack.action, lack.why);
                    self.failures.push(format!("you may not `{action}` for {}: {why}", named(&lack.resources)));
                }
                self.lacks = lacks;
            }
            Err(why) => self.could_not_look(format!("which permissions you lack: {why}")),
        }
    }

    async fn simulate(&mut self, principal: &str, iam: &dyn Iam) -> Result<Vec<MissingPermission>, Fault> {
        let mut lacks = Vec::new();
        let mut missing_context = BTreeSet::new();
        for need in &self.needs {
            let all: BTreeSet<&String> = need.actions.values().flatten().collect();
            let all: Vec<String> = all.into_iter().cloned().collect();
            let context: Vec<(String, String)> = need.context.clone().into_iter().collect();
            for some in all.chunks(ACTIONS_MAX) {
                for decision in iam.simulate(principal, some, &need.on, &context).await? {
                    self.organization_counts |= decision.counts_organization;
                    missing_context.extend(decision.missing_context);
                    let Some(why) = denial_reason(decision.verdict) else { continue };
                    let phases = need.actions.iter().filter(|(_, actions)| actions.contains(&decision.action));
                    lacks.extend(phases.map(|(phase, _)| MissingPermission {
                        action: decision.action.clone(),
                        phase: *phase,
                        on: need.on.clone(),
                        resources: need.resources.clone(),
                        why,
                    }));
                }
            }
        }
        if !missing_context.is_empty() {
            let keys: Vec<String> = missing_context.into_iter().collect();
            self.unknown
                .push(format!("what policies decide by `{}`, which a launch has and this question has not", keys.join("`, `")));
        }
        lacks.sort_by(|one, other| (one.phase, &one.action).cmp(&(other.phase, &other.action)));
        Ok(lacks)
    }

    async fn check_quotas(&mut self, inquiry: &ConnectRequest, resolved: &Resolved, iam: &dyn Iam) {
        let count = |kind: &str| resolved.resources().values().filter(|resource| resource["Type"] == kind).count() as u64;
        let on_a_role = most_policies_on_one_role(resolved);
        match iam.summary().await {
            Ok(summary) => {
                let of = |of, key: &str, adds| {
                    let most = *summary.get(&format!("{key}Quota"))?;
                    Some(Quota { of, there: *summary.get(key)?, adds, most })
                };
                self.quotas.extend(of("roles", "Roles", count("AWS::IAM::Role")));
                self.quotas.extend(of("managed policies", "Policies", count("AWS::IAM::ManagedPolicy")));
                let allowed = inquiry.managed_policies_quota.or_else(|| summary.get("AttachedPoliciesPerRoleQuota").copied());
                self.quotas.extend(allowed.map(|most| Quota {
                    of: "managed policies on one role",
                    there: 0,
                    adds: on_a_role,
                    most,
                }));
            }
            Err(fault) => self.unknown.push(format!("quotas of IAM: {fault}")),
        }
        for quota in self.quotas.iter().filter(|quota| quota.is_exceeded()) {
            let Quota { of, there, adds, most } = quota;
            let cause = format!("{there} {of} and {adds} more exceed AWS's quota of {most}");
            self.failures.push(CommandError::new(CommandCode::IamQuota, cause).to_string());
        }
    }

    /// A role that the customer brings must be there.
    async fn check_roles(&mut self, resolved: &Resolved, iam: &dyn Iam) {
        let policies = resolved.resources().values().filter(|resource| resource["Type"] == "AWS::IAM::ManagedPolicy");
        let names: BTreeSet<&str> = policies
            .flat_map(|policy| policy["Properties"]["Roles"].as_array())
            .flatten()
            .filter_map(|role| role.as_str())
            .collect();
        for name in names {
            match iam.role(name).await {
                Ok(Some(_)) => {}
                Ok(None) => self.failures.push(format!("this account has no role `{name}`, which ExistingRoleName names")),
                Err(fault) => self.could_not_look(format!("whether role `{name}` exists: {fault}")),
            }
        }
    }
}

/// Managed policies on the role that has most.
fn most_policies_on_one_role(resolved: &Resolved) -> u64 {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (logical_id, resource) in resolved.resources() {
        let list = |name: &str| resource["Properties"][name].as_array().cloned().unwrap_or_default();
        match resource["Type"].as_str() {
            Some("AWS::IAM::Role") => {
                *counts.entry(serde_json::json!({ "Ref": logical_id }).to_string()).or_default() +=
                    list("ManagedPolicyArns").len() as u64;
            }
            Some("AWS::IAM::ManagedPolicy") => {
                list("Roles").iter().for_each(|role| *counts.entry(role.to_string()).or_default() += 1);
            }
            _ => {}
        }
    }
    counts.into_values().max().unwrap_or_default()
}

fn denial_reason(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Allowed => None,
        Verdict::NotAllowed => Some("no policy of yours allows it"),
        Verdict::Denied => Some("a policy of this account denies it"),
        Verdict::DeniedByOrganization => Some("a service control policy of your organization does not allow it"),
        Verdict::OutsideOfBoundary => Some("your permissions boundary does not allow it"),
    }
}

fn describe_bill(segments: &[BillSegment]) -> Option<String> {
    let all: BTreeSet<String> = segments
        .iter()
        .map(|segment| {
            let kind = match segment.domain.as_str() {
                "BILLABLE" => "billable: what AWS charges".to_owned(),
                "PRO_FORMA" => "pro forma: prices of AWS Billing Conductor, and not what AWS charges".to_owned(),
                other => format!("of a kind that this version does not know: {other}"),
            };
            let whose = [
                (&segment.management_account, "on the bill of account"),
                (&segment.transfer_account, "transferred to account"),
                (&segment.group_account, "in the billing group of account"),
            ];
            let whose = whose.into_iter().filter_map(|(account, words)| Some(format!(", {words} {}", account.as_ref()?)));
            std::iter::once(kind).chain(whose).collect()
        })
        .collect();
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("; and this month also "))
}

fn describe_position(role: &BillingPosition) -> String {
    let payer = |organization: &hawser::aws::Organization| {
        organization.management_account.as_ref().map(|payer| payer.as_str().to_owned()).unwrap_or_default()
    };
    match role {
        BillingPosition::Management(organization) => format!("management account of `{}`", organization.id),
        BillingPosition::Member(organization) => {
            format!("member of `{}`, whose bill account {} receives", organization.id, payer(organization))
        }
        BillingPosition::Standalone => "standalone: in no organization".to_owned(),
        BillingPosition::Unknown(why) => format!("unknown: {why}"),
    }
}

fn named(resources: &[String]) -> String {
    if resources.is_empty() { "the stack".to_owned() } else { format!("`{}`", resources.join("`, `")) }
}

fn count_and_names(names: &Option<Vec<String>>, most: Option<usize>) -> String {
    let Some(names) = names else { return "not visible to you".to_owned() };
    let of = most.map(|most| format!(" of {most}")).unwrap_or_default();
    if names.is_empty() { format!("0{of}") } else { format!("{}{of}: `{}`", names.len(), names.join("`, `")) }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Account {} ({}), stack `{}` in {}", self.account_id, self.partition, self.stack_name, self.region)?;
        let mut line = |title: &str, text: &str| writeln!(f, "  {title:<13} {text}");
        line("you", &self.caller)?;
        line("organization", &self.organization)?;
        if self.organization_counts {
            line("", "its policies are counted in what you may do")?;
        }
        if let Some(bill) = &self.bill {
            line("costs", bill)?;
        }
        line("reports", &count_and_names(&self.reports, Some(REPORTS_MAX)))?;
        line("exports", &count_and_names(&self.exports, None))?;
        line("billing data", self.decision.as_deref().unwrap_or("not known, see below"))?;
        self.steps.iter().try_for_each(|step| line("", step))?;
        if !self.steps.is_empty() {
            line("", "(names end otherwise in a stack: its id is part of them)")?;
        }
        for (index, quota) in self.quotas.iter().enumerate() {
            let Quota { of, there, adds, most } = quota;
            line(if index == 0 { "quotas" } else { "" }, &format!("{of}: {there} and {adds} more, of {most}"))?;
        }
        for (index, cost) in self.costs.iter().enumerate() {
            let text = format!("{}: {} a month ({})", cost.what, cost.price(), cost.arithmetic);
            line(if index == 0 { "cost" } else { "" }, &text)?;
        }
        if !self.costs.is_empty() {
            let cost::BillSize { gigabytes, months } = cost::EXAMPLE;
            line("", &format!("(for {gigabytes} GB of billing data a month, kept {months} months: list prices of us-east-1)"))?;
        }
        let to_launch = self.needs.iter().filter_map(|need| Some((need, need.actions.get(&Phase::Launch)?)));
        for (index, (need, actions)) in to_launch.enumerate() {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            line(if index == 0 { "needs" } else { "" }, &format!("{}: {}", need.resource_type, actions.join(" ")))?;
        }
        let later = self.lacks.iter().filter(|lack| lack.phase != Phase::Launch);
        for (index, lack) in later.enumerate() {
            let when = if lack.phase == Phase::Update { "to change the stack" } else { "to delete the stack, or to roll back" };
            line(if index == 0 { "lacks later" } else { "" }, &format!("`{}` {when}: {}", lack.action, lack.why))?;
        }
        for (index, unknown) in self.unknown.iter().enumerate() {
            line(if index == 0 { "not known" } else { "" }, unknown)?;
        }
        match self.outcome {
            Outcome::Ready => writeln!(f, "ready: no problem was found"),
            Outcome::CouldNotLook => writeln!(f, "could not read what the result depends on, see \"not known\""),
            Outcome::WouldFail => {
                writeln!(f, "would fail:")?;
                self.failures.iter().try_for_each(|failure| writeln!(f, "  {failure}"))
            }
        }
    }
}
