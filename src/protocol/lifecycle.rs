//! What CloudFormation itself says of the stack and the resource that a request is about.
//!
//! A request does not say whether it is still wanted: a Create may have been cancelled while it ran, a Delete may be
//! a late repetition, an Update may be the way back from a failed one (F-34). CloudFormation knows, and can be asked.
//!
//! Source: AWS CloudFormation API Reference, `StackStatus` of `Stack` and `ResourceStatus` of `StackResource`. What it shows of a
//! replaced and of a cancelled resource is not documented, so that whichever it shows is safe (B-2, B-3).

use time::OffsetDateTime;
use tracing::warn;

use crate::{
    aws::{Fault, StackResource},
    error::{Code, Failure},
    ports::Ports,
    protocol::{
        origin::{Origin, RequestType},
        retry::{EVENTUAL_CONSISTENCY, STACK_AT_REST, retry_eventual},
    },
};

/// What becomes of the thing that a Delete names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceFate {
    /// The whole resource is being removed, whatever ids it had: nothing of it is wanted any more.
    Deleting,
    /// The stack has this very id, or is about to, and is not removing it: the Delete is an old one.
    Current,
    /// Neither: one id of a resource that stays, such as the one an Update replaced, or CloudFormation did not say.
    Unknown,
}

impl ResourceFate {
    /// Reads it off the resource and the status of its stack, for the id that the Delete names.
    ///
    /// CloudFormation may show one id of a resource that stays as being deleted, the one that an Update replaced, under the old id or
    /// under the new one (B-2). So a resource goes as a whole only with its stack, or under the very id that the Delete names, and never
    /// while an Update is cleaned up. An id that CloudFormation made up is different: nothing of that resource was ever answered for, so
    /// there is no other id that could be wanted.
    pub fn of(resource: Option<&StackResource>, physical_id: &str, stack_status: Option<&str>) -> Self {
        let Some(resource) = resource else {
            return if stack_status.is_some_and(ends_whole) { Self::Deleting } else { Self::Unknown };
        };
        if !is_being_deleted(resource) {
            // What is being created again gets the id that it had, and what is being updated may get back one that it had; only an old
            // Delete names one by then, because CloudFormation sends none of a resource before its Update is done.
            let is_made_again = match resource.status.as_str() {
                "CREATE_IN_PROGRESS" => stack_status == Some("UPDATE_IN_PROGRESS"),
                "UPDATE_IN_PROGRESS" => stack_status.is_some_and(is_updating),
                _ => false,
            };
            return if resource.physical_id == physical_id || is_made_again { Self::Current } else { Self::Unknown };
        }
        let named = resource.physical_id == physical_id;
        let whole = match stack_status {
            Some(status) if ends_whole(status) => true,
            Some(status) if is_cleaning_up(status) => is_generated_by_cloudformation(physical_id) && named,
            Some(_) => named,
            None => false,
        };
        if whole { Self::Deleting } else { Self::Unknown }
    }
}

/// Whether a stack with this status goes with all of its resources.
fn ends_whole(stack_status: &str) -> bool {
    ["DELETE_", "ROLLBACK_"].iter().any(|ending| stack_status.starts_with(ending))
}

/// Whether a stack with this status updates its resources, be it on the way back.
fn is_updating(stack_status: &str) -> bool {
    ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"].contains(&stack_status)
}

/// Whether a stack with this status removes what an Update replaced or took out, be it on the way back.
fn is_cleaning_up(stack_status: &str) -> bool {
    ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"].contains(&stack_status)
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
        let (resource, status) = tokio::join!(stack_resource(origin, ports), stack_status(origin, ports));
        let status = match status {
            // A role that may not ask, or a stack that is not known any more: what is named goes, and nothing beyond it.
            Err(fault) if !fault.is_outage() => {
                warn!(action = fault.action, code = fault.code, "it is not known whether the whole resource goes");
                None
            }
            status => Some(status?),
        };
        match ResourceFate::of(resource?.as_ref(), physical_id, status.as_deref()) {
            ResourceFate::Current if tries.again(&"the stack keeps the resource", None).await => {}
            fate => return Ok(fate),
        }
    }
}

/// The function has the permissions of one stack, and whoever may invoke it can name any other (HW-I1).
///
/// # Errors
/// [`Code::EventOfAnotherStack`]
pub fn of_own_stack(origin: &Origin, ports: &Ports<'_>) -> Result<(), Failure> {
    match ports.stacks.own() {
        Some(own) if *own != origin.stack => {
            let cause =
                format!("this function belongs to stack `{}`, and the event is about `{}`", own.as_str(), origin.stack.as_str());
            Err(Failure::new(Code::EventOfAnotherStack, cause))
        }
        _ => Ok(()),
    }
}

/// Whether the stack is removing the resource, as CloudFormation says it or may not be asked: whoever may invoke the function can send a
/// Delete of their own (HW-I3). Asks again while the answer is that it stays: that may be an answer from a moment ago.
///
/// # Errors
/// What CloudFormation could not answer, after all tries.
pub async fn is_going(origin: &Origin, ports: &Ports<'_>) -> Result<bool, Fault> {
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
    loop {
        let (resource, status) = tokio::join!(stack_resource(origin, ports), stack_status(origin, ports));
        let is_going = match (resource, status) {
            (Err(fault), _) | (Ok(None), Err(fault)) if fault.is_outage() => return Err(fault),
            (Err(_), _) | (Ok(None), Err(_)) => true,
            (Ok(Some(resource)), _) => is_being_deleted(&resource),
            // Not listed any more, or never was (B-3).
            (Ok(None), Ok(status)) => ends_whole(&status) || status.ends_with("_IN_PROGRESS"),
        };
        if is_going || !tries.again(&"the stack keeps the resource", None).await {
            return Ok(is_going);
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

/// Whether CloudFormation still waits for the answer to a Create or an Update, of which a late or repeated run would make what nobody
/// knows of. A Delete makes nothing, and is not asked about. Asks again while the answer is that it does not wait: that may be an answer
/// from a moment ago. If CloudFormation cannot be asked, it waits.
pub async fn is_awaited(origin: &Origin, ports: &Ports<'_>) -> bool {
    if origin.request_type == RequestType::Delete {
        return true;
    }
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
    loop {
        match is_awaited_now(origin, ports).await {
            Ok(false) if tries.again(&"the stack does not wait", None).await => {}
            Ok(awaited) => return awaited,
            Err(fault) => {
                warn!(action = fault.action, code = fault.code, "it is not known whether the stack still waits");
                return true;
            }
        }
    }
}

async fn is_awaited_now(origin: &Origin, ports: &Ports<'_>) -> Result<bool, Fault> {
    let stacks = ports.stacks;
    let is_create = origin.request_type == RequestType::Create;
    match stacks.stack_resource(&origin.stack, &origin.logical_id).await? {
        Some(resource) if is_settled(&resource) => Ok(false),
        Some(resource) if is_create => Ok(!resource.status.starts_with("UPDATE_")),
        Some(resource) if origin.physical_id.as_ref() == Some(&resource.physical_id) => Ok(true),
        // A later Update is under way. On the way back, which id is sent and which is shown is not documented.
        Some(_) => Ok(stacks.stack_status(&origin.stack).await? != "UPDATE_IN_PROGRESS"),
        // Not listed yet, or not any more (B-3).
        None => Ok(!has_ended(&stacks.stack_status(&origin.stack).await?)),
    }
}

/// Whether no Create and no Update of a resource is under way.
fn is_settled(resource: &StackResource) -> bool {
    let status = resource.status.as_str();
    is_being_deleted(resource) || status == "DELETE_SKIPPED" || status.ends_with("_COMPLETE") || status.ends_with("_FAILED")
}

/// Whether a stack with this status creates and updates nothing any more.
fn has_ended(stack_status: &str) -> bool {
    is_at_rest(stack_status) || ends_whole(stack_status) || is_cleaning_up(stack_status)
}

/// Whether the stack is removing, or has removed, the resource that a Create or an Update is for. CloudFormation may not list one that
/// is gone, or whose Create was cancelled (B-3): then the stack's status tells, or that it stays unlisted. The rollback of an Update is
/// wanted by that Update.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn is_resource_being_deleted(origin: &Origin, ports: &Ports<'_>) -> Result<bool, Fault> {
    Ok(deletion(origin, ports).await?.0)
}

/// The same, with the resource as CloudFormation has it.
async fn deletion(origin: &Origin, ports: &Ports<'_>) -> Result<(bool, Option<StackResource>), Fault> {
    let is_create = origin.request_type == RequestType::Create;
    let mut tries = EVENTUAL_CONSISTENCY.tries(ports.clock, None);
    loop {
        let resource = stack_resource(origin, ports).await?;
        if resource.as_ref().is_some_and(|resource| !is_being_deleted(resource)) {
            return Ok((false, resource));
        }
        let status = match stack_status(origin, ports).await {
            // A stack that CloudFormation does not know has no Delete to come.
            Err(fault) if !fault.is_outage() && !fault.is_denial() => return Ok((resource.is_some(), resource)),
            status => status?,
        };
        let Some(resource) = resource else {
            let has_given_up = if is_create { has_given_up(&status) } else { ends_whole(&status) };
            if has_given_up || !tries.again(&"the stack does not list the resource", None).await {
                return Ok((true, None));
            }
            continue;
        };
        // Only a stack that goes, or that cleans up, has a resource that is just being deleted: with any other status, one of the two
        // answers is from a moment ago.
        let agrees = ends_whole(&status) || (!is_cleaning_up(&status) && resource.status != "DELETE_IN_PROGRESS");
        if agrees || (is_create && is_generated_by_cloudformation(&resource.physical_id)) {
            return Ok((true, Some(resource)));
        }
        // What is shown while an Update is cleaned up may be the id that it replaced (B-2); afterwards it is what the stack has.
        if !tries.again(&"the stack cleans up", None).await {
            return Ok((false, Some(resource)));
        }
    }
}

/// What becomes of what a Create or an Update made, once its answer is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreationFate {
    /// The stack has it, or its Delete is still to come.
    Wanted,
    /// The whole resource is being removed: nothing of it is wanted any more.
    ResourceDeleted,
    /// The stack kept what it had before: this replacement was made for an Update that it had given up.
    Abandoned,
}

impl CreationFate {
    /// Reads it off the resource, which is not being deleted, and the status of its stack, for the id under which something was made;
    /// `None` while it is not settled.
    ///
    /// Only a stack at rest shows which id it kept. While an Update is under way, be it forwards or back, the id that is shown may be that
    /// of a later Update to the same replacement, and while it is cleaned up, either one (B-2).
    fn of(resource: Option<&StackResource>, made: &str, stack_status: &str) -> Option<Self> {
        // What is shown is the id that stays, or a Delete of the whole resource follows.
        if resource.is_some_and(|resource| resource.physical_id == made) && !is_cleaning_up(stack_status) {
            return Some(Self::Wanted);
        }
        // Also of a stack that goes: its Delete may not be shown yet what was made moments ago (B-22).
        (is_at_rest(stack_status) || ends_whole(stack_status)).then_some(Self::Abandoned)
    }
}

/// What becomes of what was made under the id `made` for a request that has its answer, be it that it `failed` (HW-L7, F-34). A Create's
/// has one id; an Update may have made a replacement for a stack that went back before it was there, and whose rollback found nothing to
/// remove yet: such a run waits until the stack is at rest. So does one that changed the resource in place, if a later Update replaced
/// it meanwhile: the Delete of the replaced may have ended before all of it was there. Whatever is not settled by then stays.
///
/// An answer that was read shows within seconds. Until then, a stack that goes forward may be at a later Update, whose rollback would not
/// look under this id.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn creation_fate(
    origin: &Origin,
    made: &str,
    failed: bool,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<CreationFate, Fault> {
    let before = origin.physical_id.as_deref();
    let mut tries = STACK_AT_REST.tries(ports.clock, Some(until));
    loop {
        let (is_going, shown) = deletion(origin, ports).await?;
        if is_going {
            return Ok(CreationFate::ResourceDeleted);
        }
        let in_place = before == Some(made) && shown.is_none_or(|shown| shown.physical_id == made && !is_being_deleted(&shown));
        if in_place || before.is_none() {
            return Ok(CreationFate::Wanted);
        }
        // In this order: what is shown of a stack that is at rest already is what it kept.
        let status = stack_status(origin, ports).await?;
        let resource = stack_resource(origin, ports).await?;
        match CreationFate::of(resource.as_ref(), made, &status) {
            Some(fate) => return Ok(fate),
            // The failure was read, and the rollback that follows it looks under this id.
            None if failed && resource.is_some_and(|resource| resource.status == "UPDATE_FAILED") => {
                return Ok(CreationFate::Wanted);
            }
            None if tries.again(&"the stack is being changed", None).await => {}
            None => return Ok(CreationFate::Wanted),
        }
    }
}

/// Whether a stack with this status is not being changed.
fn is_at_rest(stack_status: &str) -> bool {
    stack_status.ends_with("_COMPLETE") || stack_status.ends_with("_FAILED")
}

/// Whether a stack with this status, and without a resource, gave up creating it.
fn has_given_up(stack_status: &str) -> bool {
    ends_whole(stack_status) || stack_status.starts_with("UPDATE_ROLLBACK_") || stack_status == "CREATE_FAILED"
}

/// `StackStatus`
async fn stack_status(origin: &Origin, ports: &Ports<'_>) -> Result<String, Fault> {
    retry_eventual(ports, origin, || ports.stacks.stack_status(&origin.stack)).await
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
        let cleaning = ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"].map(Some);
        let whole =
            ["DELETE_IN_PROGRESS", "DELETE_FAILED", "DELETE_COMPLETE", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED"].map(Some);
        let others =
            ["CREATE_FAILED", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE", "one of 2030"].map(Some);
        for going in ["CREATE_FAILED", "DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED"] {
            let fate = |id: &str, status| ResourceFate::of(Some(&resource(going)), id, status);
            for status in whole {
                assert_eq!(
                    (fate("hawser/a", status), fate("hawser/b", status)),
                    (ResourceFate::Deleting, ResourceFate::Deleting)
                );
            }
            // B-2: the one that stays may be shown with the status of the one that goes, under either id.
            for status in cleaning.into_iter().chain([None]) {
                assert_eq!((fate("hawser/a", status), fate("hawser/b", status)), (ResourceFate::Unknown, ResourceFate::Unknown));
            }
            for status in others {
                assert_eq!((fate("hawser/a", status), fate("hawser/b", status)), (ResourceFate::Deleting, ResourceFate::Unknown));
            }
            let made_up = StackResource { physical_id: "stack-BillingExport-1A".to_owned(), ..resource(going) };
            for status in cleaning {
                assert_eq!(ResourceFate::of(Some(&made_up), "stack-BillingExport-1A", status), ResourceFate::Deleting, "{going}");
            }
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
            for status in cleaning.into_iter().chain(whole).chain(others).chain([None]) {
                assert_eq!(ResourceFate::of(Some(&resource(staying)), "hawser/a", status), ResourceFate::Current, "{staying}");
                let made_again = matches!(
                    (staying, status),
                    ("CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS", Some("UPDATE_IN_PROGRESS"))
                        | ("UPDATE_IN_PROGRESS", Some("UPDATE_ROLLBACK_IN_PROGRESS"))
                );
                let other = if made_again { ResourceFate::Current } else { ResourceFate::Unknown };
                assert_eq!(ResourceFate::of(Some(&resource(staying)), "hawser/b", status), other, "{staying}");
            }
        }
        for (status, fate) in [("DELETE_IN_PROGRESS", ResourceFate::Deleting), ("UPDATE_COMPLETE", ResourceFate::Unknown)] {
            assert_eq!(ResourceFate::of(None, "hawser/a", Some(status)), fate, "{status}");
        }
        assert_eq!(ResourceFate::of(None, "hawser/a", None), ResourceFate::Unknown);
    }

    /// HW-L7: only a stack at rest that kept another id has abandoned what an Update made.
    #[test]
    fn what_was_made_is_abandoned_or_not() {
        let shown = |id: &str| StackResource { status: "UPDATE_COMPLETE".to_owned(), physical_id: id.to_owned() };
        let fate = |id: Option<&str>, status| CreationFate::of(id.map(shown).as_ref(), "hawser/made", status);
        for status in ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"] {
            assert_eq!(fate(Some("hawser/before"), status), Some(CreationFate::Abandoned), "{status}");
            assert_eq!(fate(None, status), Some(CreationFate::Abandoned), "{status}");
            assert_eq!(fate(Some("hawser/made"), status), Some(CreationFate::Wanted), "{status}");
        }
        for status in ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"] {
            assert_eq!(fate(Some("hawser/before"), status), None, "{status}");
            assert_eq!(fate(Some("hawser/made"), status), Some(CreationFate::Wanted), "{status}");
        }
        // B-2: either id may be shown.
        for status in ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"] {
            assert_eq!(fate(Some("hawser/before"), status), None, "{status}");
            assert_eq!(fate(Some("hawser/made"), status), None, "{status}");
        }
        for status in ["DELETE_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_IN_PROGRESS"] {
            assert_eq!(fate(Some("hawser/before"), status), Some(CreationFate::Abandoned), "{status}");
            assert_eq!(fate(Some("hawser/made"), status), Some(CreationFate::Wanted), "{status}");
        }
    }

    /// B-3: what a stack's status says of a resource that is not listed and was to be created.
    #[test]
    fn a_stack_has_given_up_or_not() {
        for status in [
            "CREATE_FAILED",
            "ROLLBACK_IN_PROGRESS",
            "ROLLBACK_COMPLETE",
            "ROLLBACK_FAILED",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE",
            "UPDATE_ROLLBACK_FAILED",
            "DELETE_IN_PROGRESS",
            "DELETE_COMPLETE",
            "DELETE_FAILED",
        ] {
            assert!(has_given_up(status), "{status}");
        }
        for status in ["CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED", ""] {
            assert!(!has_given_up(status), "{status}");
        }
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
