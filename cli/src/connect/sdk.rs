//! AWS as a person reaches it: IAM and STS with the credentials that `credentials` finds. SDK types stop in this module.

mod credentials;
mod surroundings;

use std::{collections::BTreeMap, error::Error as StdError};

use async_trait::async_trait;
use aws_sdk_iam::{
    self as iam,
    types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType, PolicyScopeType, Tag},
};
use aws_sdk_sts as sts;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::{SdkConfig, request_id::RequestId};
use hawser::{
    aws::{Fault, FaultKind, Tags},
    error::{Code, Failure},
    names::{Partition, Region},
    ports::Ports,
    sdk::{
        fault::{cause, fault},
        web::Web,
        world::LivePorts,
    },
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    connect::{
        caller::Caller,
        iam::{Decision, Entities, Iam, Policy, Role, Verdict},
        request::ConnectRequest,
    },
    error::{CommandCode, CommandError},
    template::Template,
};

/// Where STS is asked who we are, unless the configuration says otherwise.
const REGION: &str = "us-east-1";

/// A person's AWS.
#[derive(Debug)]
pub struct CallerSession {
    world: LivePorts,
    config: SdkConfig,
    iam: iam::Client,
    caller: Caller,
    region: Region,
}

impl CallerSession {
    /// Finds credentials and Region, and asks AWS whose they are.
    ///
    /// # Errors
    /// As `credentials::load`; [`Code::CredentialsMissing`], or what AWS refused.
    pub async fn find(profile: Option<&str>, region: Option<&str>) -> Result<Self, CommandError> {
        let web = web()?;
        let config = credentials::load(&web, profile, region).await?;
        Self::of(web, config).await.map_err(|why| match profile {
            Some(name) if why.code() == Code::CredentialsMissing.as_str() => why.with_line(format!("of profile `{name}`")),
            _ => why,
        })
    }

    /// The person that a configuration has credentials of.
    ///
    /// # Errors
    /// As [`CallerSession::find`].
    pub async fn of(web: Web, mut config: SdkConfig) -> Result<Self, CommandError> {
        if config.region().is_none() {
            config = config.to_builder().region(aws_types::region::Region::new(REGION)).build();
        }
        let region = config.region().map_or(REGION, |region| region.as_ref()).to_owned();
        let caller = caller(&config).await?;
        if Partition::of_region(&region) != caller.partition {
            let cause =
                format!("Region `{region}` is not in partition `{}`, which these credentials belong to", caller.partition);
            return Err(CommandError::new(CommandCode::RegionElsewhere, cause));
        }
        let home = caller.partition.billing_region().unwrap_or_else(|| caller.partition.support_region());
        let of_iam = config.to_builder().region(aws_types::region::Region::new(home.as_str().to_owned())).build();
        let region =
            region.parse().map_err(|_| Failure::new(Code::PropertyInvalid, format!("`{region}` is not a Region code")))?;
        Ok(Self { iam: iam::Client::new(&of_iam), config: config.clone(), world: LivePorts::of(web, config), caller, region })
    }

    /// What this person asks for.
    pub fn request(
        &self,
        template: Template,
        parameters: BTreeMap<String, String>,
        managed_policies_quota: Option<u64>,
    ) -> ConnectRequest {
        let (caller, region) = (self.caller.clone(), self.region.clone());
        ConnectRequest { template, parameters, caller, region, managed_policies_quota }
    }

    /// The world as the handler sees it.
    pub fn ports(&self) -> Ports<'_> {
        self.world.ports()
    }
}

/// The one HTTP client.
///
/// # Errors
/// The words of the TLS library.
pub fn web() -> Result<Web, CommandError> {
    Ok(Web::new().map_err(|why| Failure::new(Code::Internal, format!("TLS could not be set up: {why}")))?)
}

async fn caller(config: &SdkConfig) -> Result<Caller, CommandError> {
    let action = "sts:GetCallerIdentity";
    let answer = sts::Client::new(config).get_caller_identity().send().await;
    let answer = answer.map_err(|why| match &why {
        // The SDK finds no credentials only when it needs them.
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) if !is_connection(&why) => {
            let found = format!("no AWS credentials were found: {}", cause(&why));
            CommandError::from(Failure::new(Code::CredentialsMissing, found))
        }
        _ => fault(action, why).into(),
    })?;
    let (arn, account) = (answer.arn().unwrap_or_default(), answer.account().unwrap_or_default());
    Ok(Caller::read(arn, account)
        .ok_or_else(|| Failure::new(Code::AwsRefused, format!("the answer to `{action}` cannot be read")))?)
}

fn is_connection<E>(why: &SdkError<E, HttpResponse>) -> bool {
    matches!(why, SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout())
}

/// IAM has codes of its own for what all services have.
fn iam_fault<E>(action: &'static str, why: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    SdkError<E, HttpResponse>: RequestId,
{
    let fault = fault(action, why);
    let kind = match fault.code.as_str() {
        "NoSuchEntity" => FaultKind::Missing,
        "EntityAlreadyExists" => FaultKind::Exists,
        "LimitExceeded" => FaultKind::LimitReached,
        // What was detached a moment ago may still count (IAM User Guide, "Changes that I make are not always immediately visible").
        "ConcurrentModification" | "DeleteConflict" => FaultKind::Conflict,
        "ServiceFailure" => FaultKind::Unavailable,
        _ => fault.kind,
    };
    Fault { kind, ..fault }
}

/// What is gone already is as it should be.
fn gone<T>(answer: Result<T, Fault>) -> Result<(), Fault> {
    match answer {
        Err(fault) if fault.kind != FaultKind::Missing => Err(fault),
        _ => Ok(()),
    }
}

/// What is not there is an answer.
fn found<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
        answer => answer.map(Some),
    }
}

/// IAM gives policies percent-encoded (IAM API Reference, `GetPolicyVersion`).
fn document(text: Option<&str>) -> Value {
    let text = percent_decode_str(text.unwrap_or_default()).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or_default()
}

fn tags(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    // A tag without key or value is the only one that the builder refuses.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

/// Every page of a list: `$call` with the marker of the page before, `$items` of an answer.
macro_rules! pages {
    ($action:literal, $call:expr, |$answer:ident| $items:expr) => {{
        let (mut all, mut marker) = (Vec::new(), None);
        loop {
            let $answer = $call.set_marker(marker.take()).send().await.map_err(|why| iam_fault($action, why))?;
            all.extend($items);
            marker = $answer.marker().filter(|_| $answer.is_truncated()).map(str::to_owned);
            if marker.is_none() {
                break all;
            }
        }
    }};
}

#[async_trait]
impl Iam for CallerSession {
    async fn role(&self, name: &str) -> Result<Option<Role>, Fault> {
        let answer = self.iam.get_role().role_name(name).send().await.map_err(|why| iam_fault("iam:GetRole", why));
        let Some(role) = found(answer)?.and_then(|answer| answer.role) else { return Ok(None) };
        Ok(Some(Role {
            name: role.role_name().to_owned(),
            arn: role.arn().to_owned(),
            path: role.path().to_owned(),
            description: role.description().unwrap_or_default().to_owned(),
            trust: document(role.assume_role_policy_document()),
            boundary: role.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn()).map(str::to_owned),
            tags: tags(role.tags()),
        }))
    }

    async fn create_role(&self, role: &Role) -> Result<(), Fault> {
        let request = self.iam.create_role().role_name(&role.name).path(&role.path).description(&role.description);
        let request = request.assume_role_policy_document(role.trust.to_string()).set_tags(Some(sdk_tags(&role.tags)));
        let answer = request.set_permissions_boundary(role.boundary.clone()).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:CreateRole", why))
    }

    async fn describe_role(&self, name: &str, description: &str) -> Result<(), Fault> {
        let answer = self.iam.update_role().role_name(name).description(description).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:UpdateRole", why))
    }

    async fn put_trust(&self, name: &str, trust: &Value) -> Result<(), Fault> {
        let answer = self.iam.update_assume_role_policy().role_name(name).policy_document(trust.to_string()).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:UpdateAssumeRolePolicy", why))
    }

    async fn put_boundary(&self, name: &str, boundary: Option<&str>) -> Result<(), Fault> {
        match boundary {
            Some(arn) => {
                let answer = self.iam.put_role_permissions_boundary().role_name(name).permissions_boundary(arn).send().await;
                answer.map(|_| ()).map_err(|why| iam_fault("iam:PutRolePermissionsBoundary", why))
            }
            None => {
                let answer = self.iam.delete_role_permissions_boundary().role_name(name).send().await;
                gone(answer.map_err(|why| iam_fault("iam:DeleteRolePermissionsBoundary", why)))
            }
        }
    }

    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), Fault> {
        let answer = self.iam.tag_role().role_name(name).set_tags(Some(sdk_tags(tags))).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:TagRole", why))
    }

    async fn delete_role(&self, name: &str) -> Result<(), Fault> {
        gone(self.iam.delete_role().role_name(name).send().await.map_err(|why| iam_fault("iam:DeleteRole", why)))
    }

    async fn attached(&self, role: &str) -> Result<Vec<String>, Fault> {
        let policies = pages!("iam:ListAttachedRolePolicies", self.iam.list_attached_role_policies().role_name(role), |answer| {
            answer.attached_policies().to_vec()
        });
        Ok(policies.into_iter().filter_map(|policy| policy.policy_arn).collect())
    }

    async fn attach(&self, role: &str, policy_arn: &str) -> Result<(), Fault> {
        let answer = self.iam.attach_role_policy().role_name(role).policy_arn(policy_arn).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:AttachRolePolicy", why))
    }

    async fn detach(&self, role: &str, policy_arn: &str) -> Result<(), Fault> {
        let answer = self.iam.detach_role_policy().role_name(role).policy_arn(policy_arn).send().await;
        gone(answer.map_err(|why| iam_fault("iam:DetachRolePolicy", why)))
    }

    async fn inline(&self, role: &str) -> Result<Vec<String>, Fault> {
        Ok(pages!("iam:ListRolePolicies", self.iam.list_role_policies().role_name(role), |answer| answer.policy_names().to_vec()))
    }

    async fn delete_inline(&self, role: &str, name: &str) -> Result<(), Fault> {
        let answer = self.iam.delete_role_policy().role_name(role).policy_name(name).send().await;
        gone(answer.map_err(|why| iam_fault("iam:DeleteRolePolicy", why)))
    }

    async fn policies(&self) -> Result<Vec<(String, String)>, Fault> {
        let request = || self.iam.list_policies().scope(PolicyScopeType::Local);
        let policies = pages!("iam:ListPolicies", request(), |answer| answer.policies().to_vec());
        Ok(policies.into_iter().filter_map(|policy| Some((policy.policy_name?, policy.arn?))).collect())
    }

    async fn policy(&self, arn: &str) -> Result<Option<Policy>, Fault> {
        let answer = self.iam.get_policy().policy_arn(arn).send().await.map_err(|why| iam_fault("iam:GetPolicy", why));
        let Some(policy) = found(answer)?.and_then(|answer| answer.policy) else { return Ok(None) };
        let version = policy.default_version_id().unwrap_or_default();
        let answer = self.iam.get_policy_version().policy_arn(arn).version_id(version).send().await;
        let answer = found(answer.map_err(|why| iam_fault("iam:GetPolicyVersion", why)))?;
        let Some(version) = answer.and_then(|answer| answer.policy_version) else { return Ok(None) };
        Ok(Some(Policy {
            name: policy.policy_name().unwrap_or_default().to_owned(),
            arn: arn.to_owned(),
            path: policy.path().unwrap_or("/").to_owned(),
            description: policy.description().unwrap_or_default().to_owned(),
            document: document(version.document()),
            tags: tags(policy.tags()),
        }))
    }

    async fn create_policy(&self, policy: &Policy) -> Result<(), Fault> {
        let request = self.iam.create_policy().policy_name(&policy.name).path(&policy.path).description(&policy.description);
        let request = request.policy_document(policy.document.to_string()).set_tags(Some(sdk_tags(&policy.tags)));
        request.send().await.map(|_| ()).map_err(|why| iam_fault("iam:CreatePolicy", why))
    }

    async fn put_document(&self, arn: &str, document: &Value) -> Result<(), Fault> {
        let request = self.iam.create_policy_version().policy_arn(arn).policy_document(document.to_string());
        let answer = request.set_as_default(true).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:CreatePolicyVersion", why))
    }

    async fn old_versions(&self, arn: &str) -> Result<Vec<String>, Fault> {
        let versions = pages!("iam:ListPolicyVersions", self.iam.list_policy_versions().policy_arn(arn), |answer| {
            answer.versions().to_vec()
        });
        let mut old: Vec<String> = versions
            .into_iter()
            .filter(|version| !version.is_default_version())
            .filter_map(|version| version.version_id)
            .collect();
        // `v9` before `v10`.
        old.sort_by_key(|version| version.trim_start_matches('v').parse::<u64>().unwrap_or_default());
        Ok(old)
    }

    async fn delete_version(&self, arn: &str, version: &str) -> Result<(), Fault> {
        let answer = self.iam.delete_policy_version().policy_arn(arn).version_id(version).send().await;
        gone(answer.map_err(|why| iam_fault("iam:DeletePolicyVersion", why)))
    }

    async fn tag_policy(&self, arn: &str, tags: &Tags) -> Result<(), Fault> {
        let answer = self.iam.tag_policy().policy_arn(arn).set_tags(Some(sdk_tags(tags))).send().await;
        answer.map(|_| ()).map_err(|why| iam_fault("iam:TagPolicy", why))
    }

    async fn entities(&self, arn: &str) -> Result<Entities, Fault> {
        let mut entities = Entities::default();
        let mut marker: Option<String> = None;
        loop {
            let answer = self.iam.list_entities_for_policy().policy_arn(arn).set_marker(marker.take()).send().await;
            let answer = answer.map_err(|why| iam_fault("iam:ListEntitiesForPolicy", why))?;
            entities.roles.extend(answer.policy_roles().iter().filter_map(|role| role.role_name().map(str::to_owned)));
            entities.others.extend(answer.policy_users().iter().filter_map(|user| user.user_name().map(str::to_owned)));
            entities.others.extend(answer.policy_groups().iter().filter_map(|group| group.group_name().map(str::to_owned)));
            marker = answer.marker().filter(|_| answer.is_truncated()).map(str::to_owned);
            if marker.is_none() {
                return Ok(entities);
            }
        }
    }

    async fn delete_policy(&self, arn: &str) -> Result<(), Fault> {
        gone(self.iam.delete_policy().policy_arn(arn).send().await.map_err(|why| iam_fault("iam:DeletePolicy", why)))
    }

    async fn summary(&self) -> Result<BTreeMap<String, u64>, Fault> {
        let answer = self.iam.get_account_summary().send().await.map_err(|why| iam_fault("iam:GetAccountSummary", why))?;
        let entries = answer.summary_map.unwrap_or_default().into_iter();
        Ok(entries.filter_map(|(key, value)| Some((key.as_str().to_owned(), u64::try_from(value).ok()?))).collect())
    }

    async fn simulate(
        &self,
        principal_arn: &str,
        actions: &[String],
        resource: &str,
        context: &[(String, String)],
    ) -> Result<Vec<Decision>, Fault> {
        let entry = |(key, value): &(String, String)| {
            let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
            entry.context_key_type(ContextKeyTypeEnum::String).build()
        };
        let context: Vec<ContextEntry> = context.iter().map(entry).collect();
        let request = || {
            let request = self.iam.simulate_principal_policy().policy_source_arn(principal_arn);
            let request = request.set_action_names(Some(actions.to_vec())).resource_arns(resource);
            request.set_context_entries((!context.is_empty()).then(|| context.clone()))
        };
        let results = pages!("iam:SimulatePrincipalPolicy", request(), |answer| answer.evaluation_results().to_vec());
        Ok(results
            .into_iter()
            .map(|result| {
                // With their conditions (since 2026-07-30); without a detail, no policy of an organization was counted.
                let organization = result.organizations_decision_detail().map(|detail| detail.allowed_by_organizations());
                let by_boundary =
                    result.permissions_boundary_decision_detail().is_some_and(|detail| !detail.allowed_by_permissions_boundary());
                let verdict = match result.eval_decision() {
                    _ if organization == Some(false) => Verdict::DeniedByOrganization,
                    PolicyEvaluationDecisionType::Allowed => Verdict::Allowed,
                    PolicyEvaluationDecisionType::ExplicitDeny => Verdict::Denied,
                    _ if by_boundary => Verdict::OutsideOfBoundary,
                    _ => Verdict::NotAllowed,
                };
                Decision {
                    action: result.eval_action_name().to_owned(),
                    verdict,
                    counts_organization: organization.is_some(),
                    missing_context: result.missing_context_values().to_vec(),
                }
            })
            .collect())
    }
}
