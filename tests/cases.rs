//! One folder, one story: `event.json` and `account.json` in, `plan.snap` out.
//!
//! A new case is a new folder. `make bless` writes the plans again; read the difference before you commit it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, path::Path};

use hawser::{dry_run::dry_run, sim::AccountFile};
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn every_case_plans_as_told() {
    let mut folders: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    for folder in &folders {
        let read =
            |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|why| panic!("{}/{name}: {why}", folder.display()));
        let event: Value = serde_json::from_str(&read("event.json")).unwrap();
        let account: AccountFile =
            serde_json::from_str(&read("account.json")).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        let run = dry_run(&event, account).await;
        let plan = run.map_or_else(|failure| format!("FAILED\n  {failure}\n"), |run| run.to_string());
        insta::with_settings!({
            snapshot_path => folder, prepend_module_to_snapshot => false, omit_expression => true, description => read("story.txt").trim(),
        }, { insta::assert_snapshot!("plan", plan) });
    }
    assert!(folders.len() >= 50, "cases went missing: {}", folders.len());
}
