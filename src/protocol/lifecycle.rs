//! What CloudFormation itself says of the stack and the resource that a request is about.
//!
//! A request does not say whether it is still wanted: a Create may have been cancelled while it ran, a Delete may be
//! a late repetition, an Update may be the way back from a failed one (F-34). CloudFormation knows, and can be asked.
//!
//! Source: AWS CloudFormation API Reference, `StackStatus` of `Stack` and `ResourceStatus` of `StackResource`. What it shows of a
//! replaced and of a cancelled resource is not documented (B-2, B-3).

use tracing::warn;

use crate::{
    aws::{Fault, StackResource},
    ports::Ports,
    protocol::{
        origin::Origin,
        retry::{EVENTUAL_CONSISTENCY, retry_eventual},
    },
};

/// What becomes of the thing that a Delete names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceFate {
    /// The whole resource is being removed, whatever ids it had: nothing of it is wanted any more.
    Deleting,
    /// The stack has this very id and is not removing it: the Delete is an old one.
    Current,
    /// Neither: one id of a resource that stays, such as the one an Update replaced, or CloudFormation did not say.
    Unknown,
}

impl ResourceFate {
    /// Reads it off the resource, for the id that the Delete names.
    pub fn of(resource: Option<&StackResource>, physical_id: &str) -> Self {
        match resource {
            Some(resource) if is_being_deleted(resource) => Self::Deleting,
            Some(resource) if resource.physical_id == physical_id => Self::Current,
            _ => Self::Unknown,
        }
    }
}

/// Whether a resource is being removed, was removed, or is about to be: one whose creation failed or was cancelled.
/// `DELETE_SKIPPED` is what a deletion policy keeps.
pub fn is_being_deleted(resource: &StackResource) -> bool {
    matches!(resource.status.as_str(), "CREATE_FAILED" | "DELETE_IN_PROGRESS" | "DELETE_COMPLETE" | "DELETE_FAILED")
}

/// Whether a stack is on its way back from a failed Update.
pub fn is_rolling_back(stack_status: &str) -> bool {
    stack_status == "UPDATE_ROLLBACK_IN_PROGRESS"
}

/// The marker of every physical id that this handler answers with. One without it was made up by CloudFormation for a
/// Create that it never got an answer to.
pub const ID_ROOT: &str = "hawser/";

/// Whether CloudFormation made an id up.
pub fn is_generated_by_cloudformation(physical_id: &str) -> bool {
    !physical_id.starts_with(ID_ROOT)
}

/// The resource as CloudFormation has it; `None` if it has none.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn stack_resource(origin: &Origin, ports: &Ports<'_>) -> Result<Option<StackResource>, Fault> {
    retry_eventual(ports, origin, || ports.stacks.stack_resource(&origin.stack, &origin.logical_id)).await
}

/// What becomes of the id that a Delete names. Asks again while the answer is that the stack keeps what it was told to
/// remove: that may be an answer from a moment ago.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn resource_fate(origin: &Origin, physical_id: &str, ports: &Ports<'_>) -> Result<ResourceFate, Fault> {
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
    loop {
        match ResourceFate::of(stack_resource(origin, ports).await?.as_ref(), physical_id) {
            ResourceFate::Current if tries.again(&"the stack keeps the resource", None).await => {}
            fate => return Ok(fate),
        }
    }
}

/// Whether an Update is about what the stack has now. A late repetition of an old one is not: what was a leftover then may
/// be the stack's own by now (HW-L8). If CloudFormation cannot be asked, nothing is removed; that is done with the stack (HW-L9).
pub async fn is_current(origin: &Origin, ports: &Ports<'_>) -> bool {
    match ports.stacks.stack_resource(&origin.stack, &origin.logical_id).await {
        Ok(resource) => resource.is_none_or(|resource| origin.physical_id.as_ref() == Some(&resource.physical_id)),
        Err(fault) => {
            warn!(action = fault.action, code = fault.code, "what a failed replacement may have left stays until the stack goes");
            false
        }
    }
}

/// Whether the stack is removing, or has removed, the resource that a Create or an Update is for.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn is_resource_being_deleted(origin: &Origin, ports: &Ports<'_>) -> Result<bool, Fault> {
    let resource = stack_resource(origin, ports).await?;
    Ok(resource.is_some_and(|resource| is_being_deleted(&resource)))
}

/// Whether the stack is on its way back from a failed Update. If CloudFormation does not say, it is not.
pub async fn is_stack_rolling_back(origin: &Origin, ports: &Ports<'_>) -> bool {
    match ports.stacks.stack_status(&origin.stack).await {
        Ok(status) => is_rolling_back(&status),
        Err(fault) => {
            warn!(action = fault.action, code = fault.code, "it is not known whether the stack is rolling back");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(status: &str) -> StackResource {
        StackResource { status: status.to_owned(), physical_id: "hawser/a".to_owned() }
    }

    /// HW-L8, HW-L9: every status of the API reference.
    #[test]
    fn a_resource_is_being_deleted_or_not() {
        for going in ["CREATE_FAILED", "DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED"] {
            assert_eq!(ResourceFate::of(Some(&resource(going)), "hawser/a"), ResourceFate::Deleting, "{going}");
            assert_eq!(ResourceFate::of(Some(&resource(going)), "hawser/b"), ResourceFate::Deleting, "{going}");
        }
        for staying in [
            "CREATE_IN_PROGRESS",
            "CREATE_COMPLETE",
            "UPDATE_IN_PROGRESS",
            "UPDATE_COMPLETE",
            "UPDATE_FAILED",
            "DELETE_SKIPPED",
            "IMPORT_COMPLETE",
            "ROLLBACK_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
            "a status of next year",
        ] {
            assert_eq!(ResourceFate::of(Some(&resource(staying)), "hawser/a"), ResourceFate::Current, "{staying}");
            assert_eq!(ResourceFate::of(Some(&resource(staying)), "hawser/b"), ResourceFate::Unknown, "{staying}");
        }
        assert_eq!(ResourceFate::of(None, "hawser/a"), ResourceFate::Unknown);
    }

    /// HW-C6.
    #[test]
    fn only_a_rollback_status_is_a_rollback() {
        assert!(is_rolling_back("UPDATE_ROLLBACK_IN_PROGRESS"));
        for other in ["UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", ""] {
            assert!(!is_rolling_back(other), "{other}");
        }
    }
}
