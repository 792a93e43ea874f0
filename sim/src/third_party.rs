//! What others must still have after a handler was at work.

use std::collections::BTreeSet;

use hawser::{aws::Tags, billing::TAG_STACK};
use hawser_account::{AccountState, freedoms::PartitionCase};

/// What is promised to the owners of the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThirdPartyState {
    /// Reports, exports and buckets without a mark: byte for byte.
    pub theirs: AccountState,
    /// Objects that the customer put into buckets of ours.
    pub objects: BTreeSet<(String, String)>,
    /// Objects that AWS delivered into buckets of ours. Kept while `Retention` says so.
    pub delivered: BTreeSet<(String, String)>,
    /// Statement ids that the customer added to policies of ours.
    pub statements: BTreeSet<(String, String)>,
    /// Reports and exports that were ours until the customer took them over, by name.
    pub taken_over: BTreeSet<String>,
    /// Reports, exports and buckets of ours that the customer deleted, by name.
    pub dropped: BTreeSet<String>,
    /// How Data Exports spells the partition of a month.
    pub(crate) partition: PartitionCase,
    /// How often others changed something of ours or theirs.
    pub acts: u64,
}

/// Whether tags carry any stack's mark.
pub fn is_anyones(tags: &Tags) -> bool {
    tags.contains_key(TAG_STACK)
}

impl ThirdPartyState {
    /// Everything that is there and carries no mark of a stack that this simulation runs.
    pub(crate) fn of(state: &AccountState) -> Self {
        Self { theirs: state.clone(), ..Self::default() }
    }
}
