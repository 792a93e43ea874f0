//! What CloudFormation tells of stacks when it is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hawser::aws::{StackDescription, StackResource};

use crate::clock::locked;

/// What CloudFormation tells of stacks when it is asked.
#[derive(Debug, Default)]
pub struct CloudFormation {
    stacks: Mutex<BTreeMap<String, View>>,
    showing: Mutex<Showing>,
    runs: AtomicU64,
}

/// What CloudFormation shows of a resource that is replaced, while the old one is removed. AWS does not say which (B-2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShownReplacement {
    /// The new one, as it is.
    #[default]
    New,
    /// The old one, which goes.
    Old,
    /// The new id, with the status of the old one.
    NewAsGoing,
}

/// How CloudFormation shows what AWS does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Showing {
    pub replacement: ShownReplacement,
    /// A resource whose Create failed or was cancelled, or that was removed, is not listed (B-3).
    pub hides_removed: bool,
}

/// A stack as it is shown.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) description: StackDescription,
    pub(crate) resources: BTreeMap<String, StackResource>,
    /// Of a resource that is replaced, the old id, while it is removed.
    pub(crate) replaced: BTreeMap<String, String>,
}

impl CloudFormation {
    /// Status, parameters and outputs.
    pub fn describe(&self, stack: &str) -> Option<StackDescription> {
        locked(&self.stacks).get(stack).map(|view| view.description.clone())
    }

    /// From here on a stack is described so.
    pub fn show_stack(&self, stack: &str, description: StackDescription) {
        self.set(stack, |view| view.description = description);
    }

    /// From here on a stack has a resource in this state.
    pub fn show_resource(&self, stack: &str, logical_id: &str, resource: StackResource) {
        self.set(stack, |view| drop(view.resources.insert(logical_id.to_owned(), resource)));
    }

    /// `ResourceStatus` and id.
    pub fn resource(&self, stack: &str, logical_id: &str) -> Option<StackResource> {
        let (stacks, showing) = (locked(&self.stacks), *locked(&self.showing));
        let view = stacks.get(stack)?;
        let known = view.resources.get(logical_id).cloned()?;
        let going = || "DELETE_IN_PROGRESS".to_owned();
        match (showing.replacement, view.replaced.get(logical_id)) {
            (ShownReplacement::Old, Some(old)) => Some(StackResource { status: going(), physical_id: old.clone() }),
            (ShownReplacement::NewAsGoing, Some(_)) => Some(StackResource { status: going(), ..known }),
            _ => (!showing.hides_removed || !["CREATE_FAILED", "DELETE_COMPLETE"].contains(&known.status.as_str()))
                .then_some(known),
        }
    }

    /// From here on what AWS does not say is shown so.
    pub fn show(&self, showing: Showing) {
        *locked(&self.showing) = showing;
    }

    pub(super) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn set(&self, stack: &str, change: impl FnOnce(&mut View)) {
        change(locked(&self.stacks).entry(stack.to_owned()).or_default());
    }
}
