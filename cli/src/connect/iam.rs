//! What is needed of IAM, in our words: roles, managed policies, and what a person may do.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hawser::aws::{Fault, Tags};
use serde_json::Value;

/// A role as IAM has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Role {
    /// Its name, unique in the account whatever its path.
    pub name: String,
    /// Its ARN, which holds the path.
    pub arn: String,
    pub path: String,
    pub description: String,
    /// Who may assume it.
    pub trust: Value,
    /// Its permissions boundary, if it has one.
    pub boundary: Option<String>,
    pub tags: Tags,
}

/// A managed policy of the account as IAM has it, in its default version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Its name, unique in the account whatever its path.
    pub name: String,
    /// Its ARN, which holds the path.
    pub arn: String,
    pub path: String,
    /// What people read; IAM never changes it.
    pub description: String,
    pub document: Value,
    pub tags: Tags,
}

/// Who a policy is attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entities {
    /// Roles, by name.
    pub roles: Vec<String>,
    /// Users and groups, by name.
    pub others: Vec<String>,
}

/// Whether a principal may do one thing, as IAM's simulator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub action: String,
    pub verdict: Verdict,
    /// Whether policies of the account's organization were counted.
    pub counts_organization: bool,
    /// Condition keys that policies ask for and the question did not give.
    pub missing_context: Vec<String>,
}

/// An answer of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// No policy allows it.
    NotAllowed,
    /// A policy of the account denies it.
    Denied,
    /// A policy of the organization denies it, or does not allow it.
    DeniedByOrganization,
    /// The principal's permissions boundary does not allow it.
    OutsideOfBoundary,
}

/// The calls of IAM, named as the API operations they are. Each is for the account of whoever calls.
#[async_trait]
pub trait Iam: Send + Sync {
    /// `iam:GetRole`; `None` if there is none of the name.
    async fn role(&self, name: &str) -> Result<Option<Role>, Fault>;
    /// `iam:CreateRole`
    async fn create_role(&self, role: &Role) -> Result<(), Fault>;
    /// `iam:UpdateRole`
    async fn describe_role(&self, name: &str, description: &str) -> Result<(), Fault>;
    /// `iam:UpdateAssumeRolePolicy`
    async fn put_trust(&self, name: &str, trust: &Value) -> Result<(), Fault>;
    /// `iam:PutRolePermissionsBoundary`, or `iam:DeleteRolePermissionsBoundary`.
    async fn put_boundary(&self, name: &str, boundary: Option<&str>) -> Result<(), Fault>;
    /// `iam:TagRole`
    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), Fault>;
    /// `iam:DeleteRole`; one that is gone already is success.
    async fn delete_role(&self, name: &str) -> Result<(), Fault>;
    /// `iam:ListAttachedRolePolicies`, every page: ARNs.
    async fn attached(&self, role: &str) -> Result<Vec<String>, Fault>;
    /// `iam:AttachRolePolicy`, which may be repeated.
    async fn attach(&self, role: &str, policy_arn: &str) -> Result<(), Fault>;
    /// `iam:DetachRolePolicy`; what is not attached is success.
    async fn detach(&self, role: &str, policy_arn: &str) -> Result<(), Fault>;
    /// `iam:ListRolePolicies`, every page: the names of its inline policies.
    async fn inline(&self, role: &str) -> Result<Vec<String>, Fault>;
    /// `iam:DeleteRolePolicy`; one that is gone already is success.
    async fn delete_inline(&self, role: &str, name: &str) -> Result<(), Fault>;
    /// `iam:ListPolicies` of the account's own, every page: names and ARNs.
    async fn policies(&self) -> Result<Vec<(String, String)>, Fault>;
    /// `iam:GetPolicy` and `iam:GetPolicyVersion`; `None` if there is none.
    async fn policy(&self, arn: &str) -> Result<Option<Policy>, Fault>;
    /// `iam:CreatePolicy`
    async fn create_policy(&self, policy: &Policy) -> Result<(), Fault>;
    /// `iam:CreatePolicyVersion`, which becomes the default.
    async fn put_document(&self, arn: &str, document: &Value) -> Result<(), Fault>;
    /// `iam:ListPolicyVersions`, every page: those that are not the default, the oldest first.
    async fn old_versions(&self, arn: &str) -> Result<Vec<String>, Fault>;
    /// `iam:DeletePolicyVersion`; one that is gone already is success.
    async fn delete_version(&self, arn: &str, version: &str) -> Result<(), Fault>;
    /// `iam:TagPolicy`
    async fn tag_policy(&self, arn: &str, tags: &Tags) -> Result<(), Fault>;
    /// `iam:ListEntitiesForPolicy`, every page.
    async fn entities(&self, arn: &str) -> Result<Entities, Fault>;
    /// `iam:DeletePolicy`; one that is gone already is success.
    async fn delete_policy(&self, arn: &str) -> Result<(), Fault>;
    /// `iam:GetAccountSummary`: what there is, and quotas.
    async fn summary(&self) -> Result<BTreeMap<String, u64>, Fault>;
    /// `iam:SimulatePrincipalPolicy`: may the principal do this to that, where the request has these condition keys.
    async fn simulate(
        &self,
        principal_arn: &str,
        actions: &[String],
        resource: &str,
        context: &[(String, String)],
    ) -> Result<Vec<Decision>, Fault>;
}
