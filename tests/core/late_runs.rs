//! What comes late, or again, when CloudFormation has its answer: it makes nothing, because nobody would know of it.

use std::time::Duration;

use hawser::billing::TAG_STACK;
use hawser_account::{AccountFile, AccountState};
use hawser_sim::{
    Script, World,
    lambda::{Deliveries, Delivery},
    random::parameters,
    script::{InjectedFault, Label},
    stack::{BILLING, Stack, Status},
};

const AGAIN_AFTER: Duration = Duration::from_secs(90);

/// What the customer deletes while the late run is on its way.
type Deletes = fn(&mut AccountState);

fn names(state: &AccountState) -> Vec<String> {
    let reports = state.reports.iter().filter(|(_, (_, tags))| tags.contains_key(TAG_STACK)).map(|(name, _)| name);
    let exports = state.exports.values().filter(|known| known.tags.contains_key(TAG_STACK)).map(|known| &known.export.name);
    let buckets = state.buckets.iter().filter(|(_, bucket)| bucket.tags.contains_key(TAG_STACK)).map(|(name, _)| name);
    reports.chain(exports).chain(buckets).cloned().collect()
}

/// A stack whose events of one kind come again when they were answered long ago, and its names afterwards.
fn left_by(again: &'static str, kind: &'static str, updates: &[&[(&'static str, &str)]], deletes: Deletes) -> [Vec<String>; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(AccountFile::default());
        let mut stack = Stack::new(&world, "acme");
        let label = Label { resource: BILLING, request: again };
        stack.deliveries = Deliveries::One(label, Delivery { again: Some(AGAIN_AFTER), ..Delivery::default() });
        assert_eq!(stack.create(parameters(&[("Kind", kind)])).await, Status::Complete);
        for update in updates {
            let changes: Vec<_> = [("Kind", kind)].into_iter().chain(update.iter().copied()).collect();
            assert_eq!(stack.update(parameters(&changes)).await, Status::Complete);
            stack.deliveries = Deliveries::Plain;
        }
        world.account.change(deletes);
        let before = names(&world.account.state());
        stack.drain_runs().await;
        let after = names(&world.account.state());
        assert_eq!(stack.delete().await, Status::Complete);
        assert_eq!(names(&world.account.state()), Vec::<String>::new());
        [before, after]
    })
}

/// The report or the export was deleted by the customer, its bucket was, or both.
const DELETIONS: [Deletes; 3] = [
    |state| {
        state.reports.clear();
        state.exports.clear();
    },
    |state| state.buckets.clear(),
    |state| *state = AccountState::default(),
];

#[test]
fn a_late_run_makes_nothing() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        for deletes in DELETIONS {
            for (again, updates) in [("Create", &[][..]), ("Update", &[&[("Retention", "Delete")][..]][..])] {
                let [before, after] = left_by(again, kind, updates, deletes);
                assert_eq!(before, after, "{again} of {kind}");
            }
        }
    }
}

/// The properties were changed since, and perhaps changed back.
#[test]
fn a_late_update_does_not_bring_earlier_properties_back() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        let csv = &[("Format", "Csv")][..];
        let [before, after] = left_by("Update", kind, &[csv, &[]], |_| {});
        assert_eq!(before, after, "{kind}");
        assert_eq!(before.len(), 2, "{kind}: {before:?}");
    }
}

/// Two who pause what goes wrong are both heard.
#[test]
fn nothing_goes_wrong_until_everybody_resumes() {
    let meets = |act: fn(&Script)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(AccountFile::default());
            world.script.inject_all("organizations:DescribeOrganization", InjectedFault::Unavailable);
            act(&world.script);
            let mut stack = Stack::new(&world, "acme");
            stack.create(parameters(&[])).await != Status::Complete
        })
    };
    assert!(meets(|_| {}));
    assert!(!meets(|script| {
        script.pause();
        script.pause();
        script.resume();
    }));
}
