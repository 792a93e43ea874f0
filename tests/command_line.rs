//! `hawser plan` as a person types it: what it prints, and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::process::{Command, Output};

fn hawser(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawser"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap()
}

fn plan(case: &str, more: &[&str]) -> Output {
    let (event, account) = (format!("tests/cases/{case}/request.json"), format!("tests/cases/{case}/account.json"));
    hawser(&[&["plan", "--event", &event, "--account", &account], more].concat())
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn a_plan_is_printed_for_people_and_for_programs() {
    let text = plan("delete-deletes", &[]);
    assert_eq!(text.status.code(), Some(0));
    insta::assert_snapshot!(printed(&text), @"
    Delete of BillingExport
      physical id   hawser/billing-export/acme-5a3786aa0a9f623d
      decision      what this stack made is removed
      round 1       retire report `acme-5a3786aa0a9f623d`
      round 2       retire the data below `acme-111122223333-5a3786aa0a9f623d/hawser/`
      round 3       retire bucket `acme-111122223333-5a3786aa0a9f623d` if it holds no data
    ");
    let json = plan("delete-deletes", &["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(printed(&json)).unwrap();
    assert_eq!(json["rounds"].as_array().unwrap().len(), 3);
}

#[test]
fn an_event_that_would_fail_its_stack_says_so_with_code_3() {
    let text = plan("ten-reports", &[]);
    assert_eq!(text.status.code(), Some(3));
    assert!(printed(&text).contains("BILLING_REPORT_LIMIT: "), "{}", printed(&text));
    let json = plan("ten-reports", &["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(printed(&json)).unwrap();
    assert_eq!(json["code"], "BILLING_REPORT_LIMIT");
}

#[test]
fn a_file_that_cannot_be_read_and_a_word_that_is_not_known_are_told_apart() {
    let missing = hawser(&["plan", "--event", "no-such-file", "--account", "no-such-file"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with("error: could not read `no-such-file`"));
    let not_an_account =
        hawser(&["plan", "--event", "events/billing-export-create.json", "--account", "events/billing-export-create.json"]);
    assert_eq!(not_an_account.status.code(), Some(1), "an account file with unknown fields");
    assert_eq!(hawser(&["plan", "--evnt", "x"]).status.code(), Some(2));
}

#[test]
fn help_shows_an_example_that_works() {
    let help = hawser(&["plan", "--help"]);
    let example = printed(&help).lines().find(|line| line.trim().starts_with("hawser plan")).unwrap().trim();
    let arguments: Vec<&str> = example.split_whitespace().skip(1).collect();
    let run = hawser(&arguments);
    assert_eq!(run.status.code(), Some(0), "{example}: {}", String::from_utf8_lossy(&run.stderr));
}
