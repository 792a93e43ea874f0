//! What a launch finds: a stack of its name, and an organization that lets StackSets in.

use async_trait::async_trait;
use hawser::{aws::Fault, names::Region};

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
