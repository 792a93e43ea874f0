//! What CloudFormation tells of stacks when it is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hawser::aws::StackResource;

use crate::clock::locked;

/// What CloudFormation tells of stacks when it is asked.
#[derive(Debug, Default)]
pub struct CloudFormation {
    stacks: Mutex<BTreeMap<String, View>>,
    runs: AtomicU64,
}

/// A stack as it is shown.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) status: String,
    pub(crate) resources: BTreeMap<String, StackResource>,
}

impl CloudFormation {
    /// `StackStatus`
    pub fn status(&self, stack: &str) -> Option<String> {
        locked(&self.stacks).get(stack).map(|view| view.status.clone())
    }

    /// `ResourceStatus` and id.
    pub fn resource(&self, stack: &str, logical_id: &str) -> Option<StackResource> {
        locked(&self.stacks).get(stack)?.resources.get(logical_id).cloned()
    }

    pub(super) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn set(&self, stack: &str, change: impl FnOnce(&mut View)) {
        change(locked(&self.stacks).entry(stack.to_owned()).or_default());
    }
}
