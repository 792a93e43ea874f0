//! CloudFormation's place where there is no stack.
//!
//! The handler asks whether a request is still wanted, because CloudFormation sends requests late, twice and out of order
//! ([`hawser::protocol::lifecycle`]). Here requests come from one place, one after the other, and the answer is known.

use async_trait::async_trait;
use hawser::{
    aws::{Fault, FaultKind, StackDescription, StackResource, Stacks, Tags},
    names::StackId,
};
use hawser_account::Refusal;

/// What a run does with the connection's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStack {
    /// Makes and changes them; a Delete is about an id that a resource had earlier.
    Connecting,
    /// Removes them, whatever ids they had.
    Disconnecting,
}

#[async_trait]
impl Stacks for NoStack {
    async fn stack(&self, _stack: &StackId) -> Result<StackDescription, Fault> {
        match self {
            // Nothing here ever rolls back: what failed half-way is finished by running again.
            Self::Connecting => Err(Refusal::new(FaultKind::Refused, "ValidationError", "").of("cloudformation:DescribeStacks")),
            Self::Disconnecting => {
                Ok(StackDescription { status: "DELETE_IN_PROGRESS".to_owned(), ..StackDescription::default() })
            }
        }
    }

    async fn stack_tags(&self, _stack: &StackId) -> Result<Tags, Fault> {
        Ok(Tags::new())
    }

    async fn stack_resource(&self, _stack: &StackId, _logical_id: &str) -> Result<Option<StackResource>, Fault> {
        let going = StackResource { status: "DELETE_IN_PROGRESS".to_owned(), physical_id: String::new() };
        Ok((*self == Self::Disconnecting).then_some(going))
    }
}
