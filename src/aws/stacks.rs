//! CloudFormation, as far as Hawser asks about its own stack.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;

use super::{Fault, Tags};
use crate::names::StackId;

/// The calls of CloudFormation, each in the Region of the stack.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// The stack that the function belongs to; none where nothing says so, as in `hawser connect`.
    fn own(&self) -> Option<&StackId> {
        None
    }
    /// `cloudformation:DescribeStacks`. Asked in the stack's own Region.
    async fn stack(&self, stack: &StackId) -> Result<StackDescription, Fault>;
    /// `cloudformation:DescribeStacks`: the stack's `StackStatus`.
    async fn stack_status(&self, stack: &StackId) -> Result<String, Fault> {
        Ok(self.stack(stack).await?.status)
    }
    /// `cloudformation:DescribeStacks`: the tags that the stack was given, `aws:` ones of other services included; none if
    /// CloudFormation knows no such stack.
    async fn stack_tags(&self, stack: &StackId) -> Result<Tags, Fault>;
    /// `cloudformation:DescribeStackResources` of one resource; `None` if CloudFormation knows no such stack or resource.
    /// Asked in the stack's own Region. Stacks that were deleted are known for 90 days.
    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault>;
}

/// A stack as CloudFormation describes it. Its parameters hold the launch token, so it prints redacted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StackDescription {
    /// `StackStatus`, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// By name, in the values of now.
    pub parameters: BTreeMap<String, String>,
    /// By name; as they were when the stack was at rest last.
    pub outputs: BTreeMap<String, String>,
}

impl fmt::Debug for StackDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackDescription").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A resource of a stack as CloudFormation knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `ResourceStatus`, such as `CREATE_IN_PROGRESS`.
    pub status: String,
    /// The id the resource answered with last; empty before the first answer.
    pub physical_id: String,
}
