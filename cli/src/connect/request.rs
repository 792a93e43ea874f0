//! What a person asks for, and the template resolved for it.

use std::collections::BTreeMap;

use hawser::{
    error::{Code, Failure},
    names::{AccountId, LaunchToken, Partition, Region, StackId, digest_hex},
};
use serde_json::Value;

use super::{
    access::{FUNCTION_ROLE, arn, name},
    caller::{Caller, CallerKind},
};
use crate::{
    error::{CommandCode, CommandError},
    template::{ResolveContext, Resolved, Template},
};

/// The resource of billing data in the template.
pub const BILLING: &str = "BillingExport";

/// The resource of the notice in the template.
pub const NOTICE: &str = hawser::connection::LOGICAL_ID;

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
    pub(super) fn parameter(&self, name: &str) -> String {
        let default = || self.template.parameters().into_iter().find(|known| known.name == name)?.default;
        self.parameters.get(name).cloned().or_else(default).unwrap_or_default()
    }

    pub(super) fn stack(&self) -> Result<StackId, Failure> {
        connection_id(&self.caller.account, self.caller.partition, &self.parameter("ConnectionName"))
    }

    /// The template for this connection, without what is known of billing data only once it was decided. Names and ARNs of role
    /// and policies are derived, so they are known.
    pub(super) fn resolve(&self, stack: &StackId) -> Result<Resolved, CommandError> {
        let region = self.region.as_str().to_owned();
        let resolved = self.template.resolve(&ResolveContext { region, ..ResolveContext::of_stack(stack, &self.parameters) })?;
        let mut known = ResolveContext::default();
        // Without the function, what refers to its role is not made either.
        for (logical_id, resource) in resolved.resources().iter().filter(|(logical_id, _)| *logical_id != FUNCTION_ROLE) {
            let path = resource["Properties"]["Path"].as_str().unwrap_or("/");
            let name = name(stack, logical_id);
            let (kind, attribute) = match resource["Type"].as_str() {
                Some("AWS::IAM::Role") => ("role", "Arn"),
                Some("AWS::IAM::ManagedPolicy") => ("policy", "PolicyArn"),
                _ => continue,
            };
            let arn = arn(stack, kind, path, &name);
            // What `Ref` gives: of a role its name, of a policy its ARN.
            known.references.insert(logical_id.clone(), if kind == "role" { name } else { arn.clone() });
            known.attributes.insert((logical_id.clone(), attribute.to_owned()), arn);
        }
        self.template.fill(&resolved, &known)
    }

    /// Vendors take the word of a role or a user only (docs/notices.md, "Verify a notice").
    pub(super) fn check_caller(&self) -> Result<(), CommandError> {
        match self.caller.kind() {
            CallerKind::Role | CallerKind::User => Ok(()),
            CallerKind::Root | CallerKind::Other => {
                let cause =
                    format!("you are `{}`, and vendors accept a proof of identity from a role or a user only", self.caller.arn);
                Err(CommandError::new(CommandCode::ConnectCaller, cause))
            }
        }
    }

    /// Without a stack there is no other external ID.
    pub(super) fn require_external_id(&self) -> Result<(), CommandError> {
        if self.parameter("ExternalId").is_empty() {
            let cause = "`ExternalId` is empty, and there is no stack to generate one".to_owned();
            return Err(CommandError::new(CommandCode::ConnectExternalId, cause));
        }
        Ok(())
    }

    /// What the vendor can be told with.
    pub(super) fn require_launch_token(&self) -> Result<(), CommandError> {
        if self.parameter("LaunchToken").parse::<LaunchToken>().is_err() {
            let cause = "the launch token is missing or malformed".to_owned();
            return Err(CommandError::new(CommandCode::ConnectToken, cause));
        }
        Ok(())
    }
}

/// The properties of a resource.
pub(super) fn properties(resolved: &Resolved, logical_id: &str) -> Result<Value, Failure> {
    let missing = || Failure::new(Code::Internal, format!("the template has no `{logical_id}`"));
    Ok(resolved.resources().get(logical_id).ok_or_else(missing)?["Properties"].clone())
}
