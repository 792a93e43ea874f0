//! IAM in memory, strict enough to catch a caller that relies on kindness: for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use hawser::{
    aws::{Fault, FaultKind, Tags},
    names::Region,
};
use serde_json::Value;

use hawser_cli::{
    connect::iam::{Decision, Entities, Iam, Policy, Role, Verdict},
    preflight::{BillSegment, Surroundings},
};

/// Most versions of a policy.
const VERSIONS_MAX: usize = 5;

/// Everything in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct IamState {
    /// Roles by name.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Policies by ARN: each with its versions, of which the last is the default.
    pub(crate) policies: BTreeMap<String, (Policy, Vec<(String, Value)>)>,
    /// What is attached: role and policy.
    pub(crate) attached: BTreeSet<(String, String)>,
    /// Users and groups that have a policy: name and policy.
    pub(crate) others: BTreeSet<(String, String)>,
    /// Inline policies: role and name.
    pub(crate) inline: BTreeSet<(String, String)>,
    pub(crate) summary: BTreeMap<String, u64>,
    /// What the simulator does not allow.
    pub(crate) missing_permissions: BTreeMap<String, Verdict>,
    /// Whether the simulator counts policies of an organization, and what it was not told.
    pub(crate) counts_organization: bool,
    pub(crate) missing_context: Vec<String>,
    /// Stacks by name, with their status.
    pub(crate) stacks: BTreeMap<String, String>,
    pub(crate) stack_sets_trusted: bool,
    pub(crate) units: Vec<String>,
    pub(crate) bill: Vec<BillSegment>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct FakeIam {
    state: Mutex<IamState>,
    /// Actions that are denied from now on.
    denied: Mutex<BTreeSet<&'static str>>,
    calls: Mutex<Vec<&'static str>>,
    /// How many calls more see IAM as it was a moment ago.
    lag: Mutex<usize>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeIam {
    /// Everything, to look at and to change.
    pub(crate) fn state(&self) -> MutexGuard<'_, IamState> {
        locked(&self.state)
    }

    /// Shows what was done a moment ago only after as many calls that depend on it.
    pub(crate) fn lag(&self, calls: usize) {
        *locked(&self.lag) = calls;
    }

    fn lags(&self) -> bool {
        let mut lag = locked(&self.lag);
        let lags = *lag > 0;
        *lag = lag.saturating_sub(1);
        lags
    }

    /// Denies an action from now on.
    pub(crate) fn deny(&self, action: &'static str) {
        locked(&self.denied).insert(action);
    }

    /// Denies nothing any more.
    pub(crate) fn allow_all(&self) {
        locked(&self.denied).clear();
    }

    /// The actions that were asked for so far, those that write only; and none from now on.
    pub(crate) fn writes(&self) -> Vec<&'static str> {
        let calls = std::mem::take(&mut *locked(&self.calls));
        let reads = |action: &str| {
            let operation = action.split_once(':').unwrap().1;
            ["Describe", "Get", "List", "Simulate"].iter().any(|read| operation.starts_with(read))
        };
        calls.into_iter().filter(|action| !reads(action)).collect()
    }

    fn enter(&self, action: &'static str) -> Result<MutexGuard<'_, IamState>, Fault> {
        locked(&self.calls).push(action);
        if locked(&self.denied).contains(action) {
            return Err(fault(action, FaultKind::Denied, "AccessDenied"));
        }
        Ok(self.state())
    }
}

fn fault(action: &'static str, kind: FaultKind, code: &str) -> Fault {
    Fault { action, kind, code: code.to_owned(), message: String::new(), request_id: None, bucket_region: None }
}

fn missing(action: &'static str) -> Fault {
    fault(action, FaultKind::Missing, "NoSuchEntity")
}

#[async_trait]
impl Iam for FakeIam {
    async fn role(&self, name: &str) -> Result<Option<Role>, Fault> {
        Ok(self.enter("iam:GetRole")?.roles.get(name).cloned())
    }

    async fn create_role(&self, role: &Role) -> Result<(), Fault> {
        let mut state = self.enter("iam:CreateRole")?;
        if state.roles.contains_key(&role.name) {
            return Err(fault("iam:CreateRole", FaultKind::Exists, "EntityAlreadyExists"));
        }
        state.roles.insert(role.name.clone(), role.clone());
        Ok(())
    }

    async fn describe_role(&self, name: &str, description: &str) -> Result<(), Fault> {
        let mut state = self.enter("iam:UpdateRole")?;
        let role = state.roles.get_mut(name).ok_or_else(|| missing("iam:UpdateRole"))?;
        role.description = description.to_owned();
        Ok(())
    }

    async fn put_trust(&self, name: &str, trust: &Value) -> Result<(), Fault> {
        let mut state = self.enter("iam:UpdateAssumeRolePolicy")?;
        let role = state.roles.get_mut(name).ok_or_else(|| missing("iam:UpdateAssumeRolePolicy"))?;
        role.trust = trust.clone();
        Ok(())
    }

    async fn put_boundary(&self, name: &str, boundary: Option<&str>) -> Result<(), Fault> {
        let mut state = self.enter("iam:PutRolePermissionsBoundary")?;
        let role = state.roles.get_mut(name).ok_or_else(|| missing("iam:PutRolePermissionsBoundary"))?;
        role.boundary = boundary.map(str::to_owned);
        Ok(())
    }

    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), Fault> {
        let mut state = self.enter("iam:TagRole")?;
        let role = state.roles.get_mut(name).ok_or_else(|| missing("iam:TagRole"))?;
        role.tags.extend(tags.clone());
        Ok(())
    }

    async fn delete_role(&self, name: &str) -> Result<(), Fault> {
        let mut state = self.enter("iam:DeleteRole")?;
        let in_use = state.attached.iter().chain(&state.inline).any(|(role, _)| role == name);
        if in_use || self.lags() {
            return Err(fault("iam:DeleteRole", FaultKind::Conflict, "DeleteConflict"));
        }
        state.roles.remove(name);
        Ok(())
    }

    async fn attached(&self, role: &str) -> Result<Vec<String>, Fault> {
        let state = self.enter("iam:ListAttachedRolePolicies")?;
        Ok(state.attached.iter().filter(|(name, _)| name == role).map(|(_, arn)| arn.clone()).collect())
    }

    async fn attach(&self, role: &str, policy_arn: &str) -> Result<(), Fault> {
        let mut state = self.enter("iam:AttachRolePolicy")?;
        let known = policy_arn.contains(":iam::aws:policy/") || state.policies.contains_key(policy_arn);
        if !known || !state.roles.contains_key(role) || self.lags() {
            return Err(missing("iam:AttachRolePolicy"));
        }
        state.attached.insert((role.to_owned(), policy_arn.to_owned()));
        Ok(())
    }

    async fn detach(&self, role: &str, policy_arn: &str) -> Result<(), Fault> {
        self.enter("iam:DetachRolePolicy")?.attached.remove(&(role.to_owned(), policy_arn.to_owned()));
        Ok(())
    }

    async fn inline(&self, role: &str) -> Result<Vec<String>, Fault> {
        let state = self.enter("iam:ListRolePolicies")?;
        Ok(state.inline.iter().filter(|(name, _)| name == role).map(|(_, policy)| policy.clone()).collect())
    }

    async fn delete_inline(&self, role: &str, name: &str) -> Result<(), Fault> {
        self.enter("iam:DeleteRolePolicy")?.inline.remove(&(role.to_owned(), name.to_owned()));
        Ok(())
    }

    async fn policies(&self) -> Result<Vec<(String, String)>, Fault> {
        let state = self.enter("iam:ListPolicies")?;
        Ok(state.policies.values().map(|(policy, _)| (policy.name.clone(), policy.arn.clone())).collect())
    }

    async fn policy(&self, arn: &str) -> Result<Option<Policy>, Fault> {
        let state = self.enter("iam:GetPolicy")?;
        let known = state.policies.get(arn);
        Ok(known.map(|(policy, versions)| Policy {
            document: versions.last().map(|(_, document)| document.clone()).unwrap_or_default(),
            ..policy.clone()
        }))
    }

    async fn create_policy(&self, policy: &Policy) -> Result<(), Fault> {
        let mut state = self.enter("iam:CreatePolicy")?;
        if state.policies.values().any(|(known, _)| known.name == policy.name) {
            return Err(fault("iam:CreatePolicy", FaultKind::Exists, "EntityAlreadyExists"));
        }
        let versions = vec![("v1".to_owned(), policy.document.clone())];
        state.policies.insert(policy.arn.clone(), (policy.clone(), versions));
        Ok(())
    }

    async fn put_document(&self, arn: &str, document: &Value) -> Result<(), Fault> {
        let mut state = self.enter("iam:CreatePolicyVersion")?;
        let (_, versions) = state.policies.get_mut(arn).ok_or_else(|| missing("iam:CreatePolicyVersion"))?;
        if versions.len() == VERSIONS_MAX {
            return Err(fault("iam:CreatePolicyVersion", FaultKind::LimitReached, "LimitExceeded"));
        }
        let last = versions.last().and_then(|(id, _)| id.trim_start_matches('v').parse::<u64>().ok()).unwrap_or_default();
        versions.push((format!("v{}", last + 1), document.clone()));
        Ok(())
    }

    async fn old_versions(&self, arn: &str) -> Result<Vec<String>, Fault> {
        let state = self.enter("iam:ListPolicyVersions")?;
        let (_, versions) = state.policies.get(arn).ok_or_else(|| missing("iam:ListPolicyVersions"))?;
        Ok(versions.iter().rev().skip(1).rev().map(|(id, _)| id.clone()).collect())
    }

    async fn delete_version(&self, arn: &str, version: &str) -> Result<(), Fault> {
        let mut state = self.enter("iam:DeletePolicyVersion")?;
        if let Some((_, versions)) = state.policies.get_mut(arn) {
            versions.retain(|(id, _)| id != version);
        }
        Ok(())
    }

    async fn tag_policy(&self, arn: &str, tags: &Tags) -> Result<(), Fault> {
        let mut state = self.enter("iam:TagPolicy")?;
        let (policy, _) = state.policies.get_mut(arn).ok_or_else(|| missing("iam:TagPolicy"))?;
        policy.tags.extend(tags.clone());
        Ok(())
    }

    async fn entities(&self, arn: &str) -> Result<Entities, Fault> {
        let state = self.enter("iam:ListEntitiesForPolicy")?;
        let of =
            |set: &BTreeSet<(String, String)>| set.iter().filter(|(_, own)| own == arn).map(|(name, _)| name.clone()).collect();
        Ok(Entities { roles: of(&state.attached), others: of(&state.others) })
    }

    async fn delete_policy(&self, arn: &str) -> Result<(), Fault> {
        let mut state = self.enter("iam:DeletePolicy")?;
        let in_use = state.attached.iter().chain(&state.others).any(|(_, own)| own == arn);
        let has_versions = state.policies.get(arn).is_some_and(|(_, versions)| versions.len() > 1);
        if in_use || has_versions || self.lags() {
            return Err(fault("iam:DeletePolicy", FaultKind::Conflict, "DeleteConflict"));
        }
        state.policies.remove(arn);
        Ok(())
    }

    async fn summary(&self) -> Result<BTreeMap<String, u64>, Fault> {
        Ok(self.enter("iam:GetAccountSummary")?.summary.clone())
    }

    async fn simulate(
        &self,
        _principal_arn: &str,
        actions: &[String],
        _resource: &str,
        _context: &[(String, String)],
    ) -> Result<Vec<Decision>, Fault> {
        let state = self.enter("iam:SimulatePrincipalPolicy")?;
        let verdict = |action: &String| state.missing_permissions.get(action).copied().unwrap_or(Verdict::Allowed);
        Ok(actions
            .iter()
            .map(|action| Decision {
                action: action.clone(),
                verdict: verdict(action),
                counts_organization: state.counts_organization,
                missing_context: state.missing_context.clone(),
            })
            .collect())
    }
}

#[async_trait]
impl Surroundings for FakeIam {
    async fn stack_named(&self, name: &str, _region: &Region) -> Result<Option<String>, Fault> {
        Ok(self.enter("cloudformation:DescribeStacks")?.stacks.get(name).cloned())
    }

    async fn stack_sets_are_trusted(&self) -> Result<bool, Fault> {
        Ok(self.enter("cloudformation:DescribeOrganizationsAccess")?.stack_sets_trusted)
    }

    async fn has_unit(&self, id: &str) -> Result<bool, Fault> {
        Ok(self.enter("organizations:DescribeOrganizationalUnit")?.units.iter().any(|unit| unit == id))
    }

    async fn bill_segments(&self) -> Result<Vec<BillSegment>, Fault> {
        Ok(self.enter("billing:ListBillingViewSegments")?.bill.clone())
    }
}
