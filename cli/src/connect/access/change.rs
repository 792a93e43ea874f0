//! One change of what a connection has in IAM, and how it is made.

use std::fmt;

use hawser::{
    aws::{FaultKind, Tags},
    error::Failure,
    ports::Clock,
    protocol::retry::retry_while,
};
use serde_json::Value;

use super::{desired::DesiredAccess, names::TAG_NOTIFIED};
use crate::connect::iam::{Iam, Policy, Role};

/// Most versions of a managed policy (IAM quotas, "IAM and STS quotas").
const VERSIONS_MAX: usize = 5;

/// One thing to do, named as what it is for people.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    CreateRole(Box<Role>),
    /// Let others assume it than before.
    ChangeTrust {
        role: String,
        /// Who may.
        trust: Value,
    },
    /// Describe it otherwise.
    Describe {
        role: String,
        description: String,
    },
    /// Give it this boundary, or none.
    SetBoundary {
        role: String,
        boundary: Option<String>,
    },
    CreatePolicy {
        policy: Box<Policy>,
        /// What people call it.
        title: String,
    },
    /// Let it say something else.
    ChangePolicy {
        name: String,
        arn: String,
        /// What it says from now on.
        document: Value,
        /// What people call it.
        title: String,
    },
    /// Attach a policy to a role.
    Attach {
        role: String,
        arn: String,
    },
    Detach {
        role: String,
        arn: String,
    },
    /// Remove a policy of ours, from the roles that have it too.
    DeletePolicy {
        name: String,
        arn: String,
        roles: Vec<String>,
    },
    /// Remove a role of ours, with everything that is on it.
    DeleteRole {
        name: String,
        /// Policies that are attached to it then.
        attached: Vec<String>,
        inline: Vec<String>,
    },
}

impl Change {
    /// What is done, as it is planned and as it was done, and to what.
    fn words(&self) -> (&'static str, &'static str, String) {
        let short = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::CreateRole(role) => ("create", "created", format!("role `{}`", role.name)),
            Self::ChangeTrust { role, .. } => ("change", "changed", format!("who may assume role `{role}`")),
            Self::Describe { role, description } => ("describe", "described", format!("role `{role}` as `{description}`")),
            Self::SetBoundary { role, boundary: Some(boundary) } => {
                ("set", "set", format!("the permissions boundary of role `{role}` to `{}`", short(boundary)))
            }
            Self::SetBoundary { role, boundary: None } => {
                ("remove", "removed", format!("the permissions boundary from role `{role}`"))
            }
            Self::CreatePolicy { policy, title } => ("create", "created", format!("policy `{}` ({title})", policy.name)),
            Self::ChangePolicy { name, title, .. } => ("change", "changed", format!("policy `{name}` ({title})")),
            Self::Attach { role, arn } => ("attach", "attached", format!("`{}` to role `{role}`", short(arn))),
            Self::Detach { role, arn } => ("detach", "detached", format!("`{}` from role `{role}`", short(arn))),
            Self::DeletePolicy { name, .. } => ("remove", "removed", format!("policy `{name}`")),
            Self::DeleteRole { name, .. } => ("remove", "removed", format!("role `{name}`")),
        }
    }

    /// The same once it is done.
    pub fn past_tense(&self) -> String {
        let (_, past, what) = self.words();
        format!("{past} {what}")
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (present, _, what) = self.words();
        write!(f, "{present} {what}")
    }
}

/// Carries out one change.
///
/// # Errors
/// What IAM refused, after all tries.
pub async fn apply(change: &Change, iam: &dyn Iam, clock: &dyn Clock) -> Result<(), Failure> {
    match change {
        Change::CreateRole(role) => iam.create_role(role).await?,
        Change::ChangeTrust { role, trust } => iam.put_trust(role, trust).await?,
        Change::Describe { role, description } => iam.describe_role(role, description).await?,
        Change::SetBoundary { role, boundary } => iam.put_boundary(role, boundary.as_deref()).await?,
        Change::CreatePolicy { policy, .. } => iam.create_policy(policy).await?,
        Change::ChangePolicy { arn, document, .. } => {
            let old = iam.old_versions(arn).await?;
            // With the default one there are as many as IAM keeps: the oldest makes room.
            for version in old.iter().take((old.len() + 2).saturating_sub(VERSIONS_MAX)) {
                iam.delete_version(arn, version).await?;
            }
            iam.put_document(arn, document).await?;
        }
        Change::Attach { role, arn } => retry_while(clock, |kind| kind == FaultKind::Missing, || iam.attach(role, arn)).await?,
        Change::Detach { role, arn } => iam.detach(role, arn).await?,
        Change::DeletePolicy { arn, roles, .. } => {
            for role in roles {
                iam.detach(role, arn).await?;
            }
            for version in iam.old_versions(arn).await? {
                iam.delete_version(arn, &version).await?;
            }
            retry_while(clock, |kind| kind == FaultKind::Conflict, || iam.delete_policy(arn)).await?;
        }
        Change::DeleteRole { name, attached, inline } => {
            for arn in attached {
                iam.detach(name, arn).await?;
            }
            for policy in inline {
                iam.delete_inline(name, policy).await?;
            }
            retry_while(clock, |kind| kind == FaultKind::Conflict, || iam.delete_role(name)).await?;
        }
    }
    Ok(())
}

/// Writes down what the vendor agreed to, on a thing that stays; on nothing if the connection has nothing in IAM.
///
/// # Errors
/// What IAM refused.
pub async fn record(desired: &DesiredAccess, fingerprint: &str, iam: &dyn Iam) -> Result<(), Failure> {
    let tag = Tags::from([(TAG_NOTIFIED.to_owned(), fingerprint.to_owned())]);
    match (desired.roles.first(), desired.policies.first()) {
        (Some(role), _) => iam.tag_role(&role.role.name, &tag).await?,
        (None, Some(policy)) => iam.tag_policy(&policy.policy.arn, &tag).await?,
        (None, None) => {}
    }
    Ok(())
}
