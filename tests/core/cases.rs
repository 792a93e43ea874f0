//! One case per file (`tests/cases/<name>.yaml`): its story, the request as differences from a base, and the account. Beside it, in
//! `<name>.snap`, the plan with its decision, and the response that CloudFormation gets.
//!
//! A new case is a new `.yaml`. `make bless` writes the snapshot; read the difference before you commit it.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use hawser::{
    decide::{DryRun, preview},
    handler,
};
use hawser_account::AccountFile;
use hawser_sim::World;
use serde_json::Value;

use crate::support::{
    cases::{CASES, Case, cases},
    is_blessed, root,
};

/// A look at the wrong place would prove nothing.
const CASES_MIN: usize = 150;

/// Attributes that are known only when something was made or asked for, which takes its time.
const KNOWN_LATE: [&str; 3] = ["Arn", "Backfill", "FirstDataDueBy"];

/// The function's time-out.
const TIME: Duration = Duration::from_secs(120);

/// What the handler itself answers, in a world of its own.
async fn answered(case: &Case, account: AccountFile) -> Value {
    let world = World::new(account);
    handler::answer(&case.request, world.now() + TIME, &world.ports()).await.unwrap();
    let uploads = world.mailbox.uploads();
    assert_eq!(uploads.len(), 1, "{}", case.name);
    assert_eq!(world.account.violations(), Vec::<String>::new(), "{}", case.name);
    serde_json::from_slice(&uploads[0].body).unwrap()
}

/// What is planned is what is answered.
fn check_promise(name: &str, plan: &DryRun, response: &Value) {
    if response["Status"] != "SUCCESS" {
        return;
    }
    assert_eq!(response["PhysicalResourceId"], plan.physical_resource_id.as_str(), "{name}");
    for (attribute, planned) in plan.attributes.iter().filter(|(attribute, _)| !KNOWN_LATE.contains(attribute)) {
        assert_eq!(response["Data"][*attribute], planned.as_str(), "{name}: {attribute}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_case_is_planned_and_answered_as_stated() {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(root().join(CASES));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for case in cases() {
        let account: AccountFile =
            serde_json::from_value(case.account.clone()).unwrap_or_else(|why| panic!("{}: {why}", case.name));
        let plan = preview(&case.request, &World::new(account.clone()).ports()).await;
        let response = answered(&case, account).await;
        match &plan {
            Ok(plan) => check_promise(&case.name, plan, &response),
            Err(_) => assert_eq!(response["Status"], "FAILED", "{}", case.name),
        }
        let planned = plan.map_or_else(|failure| format!("FAILED\n  {failure}\n"), |plan| plan.to_string());
        let stated = format!("{}\n\n{response:#}", planned.trim_end());
        settings.bind(|| insta::assert_snapshot!(case.name, stated));
    }
}

/// A case without its snapshot was not blessed, and a snapshot without its case tells nothing.
#[test]
fn every_case_is_whole() {
    let cases = cases();
    for case in &cases {
        assert!(case.story.ends_with('.') && case.story.lines().count() == 1, "{}: {}", case.name, case.story);
    }
    assert!(cases.len() >= CASES_MIN, "cases went missing: {}", cases.len());
    let expected: BTreeSet<PathBuf> = cases
        .iter()
        .flat_map(|case| ["yaml", "snap"].map(|kind| root().join(CASES).join(format!("{}.{kind}", case.name))))
        .collect();
    let found: BTreeSet<PathBuf> = fs::read_dir(root().join(CASES)).unwrap().map(|entry| entry.unwrap().path()).collect();
    let alone: Vec<&PathBuf> = expected.symmetric_difference(&found).collect();
    assert!(alone.is_empty() || is_blessed(), "{alone:?}");
}
