//! One folder, one story: what is asked (`request.json`) of which account (`account.json`), and why it is told (`story.txt`);
//! what is planned, with the decision (`plan.snap`), and what CloudFormation is answered when it is carried out (`response.json`).
//!
//! A new case is a new folder with the first three. `make bless` writes the others; read the difference before you commit it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hawser::{
    decide::{DryRun, look},
    handler,
};
use hawser_sim::{AccountFile, World};
use serde_json::Value;

/// What every folder holds, and nothing else.
const FILES: [&str; 5] = ["account.json", "plan.snap", "request.json", "response.json", "story.txt"];

/// Folders, at least: a look at the wrong place would prove nothing.
const CASES_MIN: usize = 150;

/// Attributes that are known only when something was made or asked for, which takes its time.
const KNOWN_LATE: [&str; 3] = ["Arn", "Backfill", "FirstDataDueBy"];

/// The function's time-out.
const TIME: Duration = Duration::from_secs(120);

fn folders() -> Vec<PathBuf> {
    let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
fn is_blessed() -> bool {
    env::var_os("HAWSER_BLESS").is_some()
}

struct Case {
    folder: PathBuf,
    request: Value,
    account: AccountFile,
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let of = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|why| panic!("{}/{name}: {why}", folder.display()));
        let request = serde_json::from_slice(&of("request.json")).unwrap();
        let account = serde_json::from_slice(&of("account.json")).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        Self { folder, request, account }
    }

    /// What the handler itself answers, in a world of its own.
    async fn answered(&self) -> Value {
        let world = World::new(self.account.clone());
        handler::answer(&self.request, world.now() + TIME, &world.ports()).await.unwrap();
        let uploads = world.mailbox.uploads();
        assert_eq!(uploads.len(), 1, "{}", self.folder.display());
        assert_eq!(world.account.offences(), Vec::<String>::new(), "{}", self.folder.display());
        serde_json::from_slice(&uploads[0].body).unwrap()
    }

    fn check_response(&self, response: &Value) {
        let path = self.folder.join("response.json");
        let text = format!("{}\n", serde_json::to_string_pretty(response).unwrap());
        if is_blessed() {
            fs::write(&path, text).unwrap();
            return;
        }
        let known = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert_eq!(known, text, "{}: if it is meant so, `make bless`", path.display());
    }

    /// What is planned is what is answered.
    fn check_promise(&self, plan: &DryRun, response: &Value) {
        let name = self.folder.display();
        if response["Status"] != "SUCCESS" {
            return;
        }
        assert_eq!(response["PhysicalResourceId"], plan.physical_resource_id.as_str(), "{name}");
        for (attribute, planned) in plan.attributes.iter().filter(|(attribute, _)| !KNOWN_LATE.contains(attribute)) {
            assert_eq!(response["Data"][*attribute], planned.as_str(), "{name}: {attribute}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_case_is_planned_and_answered_as_told() {
    for folder in folders() {
        let case = Case::read(folder);
        let plan = look(&case.request, &World::new(case.account.clone()).ports()).await;
        let told = plan.as_ref().map_or_else(|failure| format!("FAILED\n  {failure}\n"), ToString::to_string);
        let story = fs::read_to_string(case.folder.join("story.txt")).unwrap();
        insta::with_settings!({
            snapshot_path => &case.folder, prepend_module_to_snapshot => false, omit_expression => true, description => story.trim(),
        }, { insta::assert_snapshot!("plan", told) });
        let response = case.answered().await;
        match &plan {
            Ok(plan) => case.check_promise(plan, &response),
            Err(_) => assert_eq!(response["Status"], "FAILED", "{}", case.folder.display()),
        }
        case.check_response(&response);
    }
}

/// A folder that lacks a file tells no story, and a file that nobody reads tells nothing.
#[test]
fn every_case_is_whole() {
    let folders = folders();
    for folder in &folders {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = files.filter(|name| !is_blessed() || FILES.contains(&name.as_str())).collect();
        let expected: BTreeSet<String> = FILES.map(str::to_owned).into();
        assert!(files == expected || is_blessed(), "{}: {files:?}", folder.display());
        let story = fs::read_to_string(folder.join("story.txt")).unwrap();
        assert!(story.trim().ends_with('.') && story.lines().count() == 1, "{}: {story}", folder.display());
    }
    assert!(folders.len() >= CASES_MIN, "cases went missing: {}", folders.len());
}
