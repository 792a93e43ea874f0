//! CloudFormation, as far as Hawser asks about its own stack.

use async_trait::async_trait;

use super::{Fault, Tags};
use crate::names::StackId;

/// The calls of CloudFormation, each in the Region of the stack.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// `cloudformation:DescribeStacks`: the stack's `StackStatus`. Asked in the stack's own Region.
    async fn stack_status(&self, stack: &StackId) -> Result<String, Fault>;
    /// `cloudformation:DescribeStacks`: the tags that the stack was given, `aws:` ones of other services included; none if
    /// CloudFormation knows no such stack.
    async fn stack_tags(&self, stack: &StackId) -> Result<Tags, Fault>;
    /// `cloudformation:DescribeStackResources` of one resource; `None` if CloudFormation knows no such stack or resource.
    /// Asked in the stack's own Region. Stacks that were deleted are known for 90 days.
    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault>;
}

/// A resource of a stack as CloudFormation knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `ResourceStatus`, such as `CREATE_IN_PROGRESS`.
    pub status: String,
    /// The id the resource answered with last; empty before the first answer.
    pub physical_id: String,
}
