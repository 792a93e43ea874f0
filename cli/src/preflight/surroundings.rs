//! What a launch finds: a stack of its name, and an organization that lets StackSets in.

use async_trait::async_trait;
use hawser::{aws::Fault, names::Region};
use serde_json::Value;

use super::Report;
use crate::{
    error::{CommandCode, CommandError},
    template::{MEMBERS, Resolved},
};

/// The calls that tell of it.
#[async_trait]
pub trait Surroundings: Send + Sync {
    /// `cloudformation:DescribeStacks` by name, in a Region: the stack's status; `None` if there is none of the name.
    async fn stack_named(&self, name: &str, region: &Region) -> Result<Option<String>, Fault>;
    /// `cloudformation:DescribeOrganizationsAccess`: whether StackSets has trusted access to the organization.
    async fn stack_sets_are_trusted(&self) -> Result<bool, Fault>;
    /// `organizations:DescribeOrganizationalUnit`, or `organizations:ListRoots` for a root: whether the organization has it.
    async fn has_unit(&self, id: &str) -> Result<bool, Fault>;
}

/// What AWS answers in a Region that the account has not enabled (IAM User Guide, "Managing AWS STS in an AWS Region").
const NOT_ENABLED: [&str; 4] = ["AuthFailure", "InvalidClientTokenId", "OptInRequired", "UnrecognizedClientException"];

impl Report {
    pub(super) async fn check_stack(&mut self, region: &Region, surroundings: &dyn Surroundings) {
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
    pub(super) async fn check_roll_out(&mut self, resolved: &Resolved, surroundings: &dyn Surroundings) {
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
    pub(super) fn could_not_look(&mut self, what: String) {
        self.outcome = super::Outcome::CouldNotLook;
        self.unknown.push(what);
    }
}
