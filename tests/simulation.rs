//! Every call x every mishap over whole lives of a stack, against CloudFormation in memory.
//!
//! A failing run names its life, call and mishap; `make test ARGS='-E "test(=every_call_of_every_life_goes_wrong_once)"'`
//! runs it again, the same way: there is no chance in it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should stop, and says how much it did")]

use std::{collections::BTreeSet, time::Duration};

use hawser::{
    billing, connection,
    sim::{
        AccountFile, Mishap, World,
        account::{BucketFile, ReportFile, Things},
        parties::{MAILBOX_CALL, SIGNATURE, VENDOR_CALL},
        stack::{FUNCTION_TIMEOUT, Parameters, Stack, Status},
    },
};
use serde_json::{Value, json};

const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";

fn parameters(changes: &[(&'static str, &str)]) -> Parameters {
    let mut all = Parameters::from([
        ("Kind", "CostAndUsageReport".to_owned()),
        ("Format", "Parquet".to_owned()),
        ("Reuse", "WhenSuitable".to_owned()),
        ("Retention", "Retain".to_owned()),
        ("NamePrefix", "acme".to_owned()),
        ("NoticeUrl", "https://vendor.example/notices".to_owned()),
        ("LaunchToken", TOKEN.to_owned()),
        ("ConnectionName", "first".to_owned()),
        ("PackBilling", "ReadOnly".to_owned()),
    ]);
    all.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    all
}

/// What happens to one stack: its account, and the parameters of its Create and of each Update. A Delete ends it.
struct Life {
    name: &'static str,
    account: fn() -> AccountFile,
    steps: Vec<Parameters>,
    data: bool,
}

fn lives() -> Vec<Life> {
    vec![
        Life {
            name: "a report is made, renamed for the vendor, replaced by another format",
            account: AccountFile::default,
            steps: vec![parameters(&[]), parameters(&[("ConnectionName", "second")]), parameters(&[("Format", "Csv")])],
            data: false,
        },
        Life {
            name: "the customer's report is reused, then one of our own is asked for",
            account: with_a_report,
            steps: vec![parameters(&[]), parameters(&[("Reuse", "Never")])],
            data: false,
        },
        Life {
            name: "data was delivered and is kept",
            account: AccountFile::default,
            steps: vec![parameters(&[]), parameters(&[("Kind", "None")]), parameters(&[])],
            data: true,
        },
        Life {
            name: "data was delivered and is deleted on request",
            account: AccountFile::default,
            steps: vec![parameters(&[("Retention", "Delete")])],
            data: true,
        },
    ]
}

fn with_a_report() -> AccountFile {
    let report: ReportFile = serde_json::from_value(json!({ "name": "finance", "bucket": "finance-data" })).unwrap();
    let bucket: BucketFile = serde_json::from_value(json!({
        "name": "finance-data", "objects": ["billing/finance/1.parquet", "notes.txt"],
        "policy": { "Version": "2012-10-17", "Statement": { "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*" } },
    }))
    .unwrap();
    AccountFile { reports: vec![report], buckets: vec![bucket], ..AccountFile::default() }
}

/// What no stack's mark is on.
fn of_the_customer(things: &Things) -> Things {
    let mut theirs = things.clone();
    theirs.reports.retain(|_, (_, tags)| !tags.contains_key(billing::TAG_STACK));
    theirs.buckets.retain(|_, bucket| !bucket.tags.contains_key(billing::TAG_STACK));
    theirs
}

fn marked(things: &Things) -> (Vec<String>, Vec<String>) {
    let reports = things.reports.iter().filter(|(_, (_, tags))| tags.contains_key(billing::TAG_STACK));
    let buckets = things.buckets.iter().filter(|(_, bucket)| bucket.tags.contains_key(billing::TAG_STACK));
    (reports.map(|(name, _)| name.clone()).collect(), buckets.map(|(name, _)| name.clone()).collect())
}

/// What a run left behind, for the checks that depend on what was spoiled.
struct Lived {
    statuses: Vec<Status>,
    calls: Vec<String>,
    things: Things,
    connected: bool,
}

/// Lives one life, with one call spoiled (or all of its name, for `usize::MAX`); then heals the world and deletes until it is gone.
async fn live(life: &Life, twice: bool, spoiled: Option<(&str, usize, Mishap)>) -> Result<Lived, String> {
    let world = World::new((life.account)());
    let before = world.account.things();
    if let Some((name, nth, mishap)) = spoiled {
        world.script.spoil(name, nth, mishap);
    }
    let mut stack = Stack::new(&world, "acme");
    stack.twice = twice;
    let mut statuses = Vec::new();
    for (index, step) in life.steps.iter().enumerate() {
        let status = if index == 0 { stack.create(step.clone()).await } else { stack.update(step.clone()).await };
        statuses.push(status);
        if life.data {
            // AWS delivers, and the customer leaves something of its own beside it.
            world.account.change(|things| {
                for (report, _) in things.reports.values() {
                    let bucket = things.buckets.get_mut(&report.bucket).unwrap();
                    bucket.objects.insert(format!("{}/{}/1.parquet", report.prefix, report.name));
                }
            });
        }
        if status != Status::Complete && index == 0 {
            break;
        }
    }
    statuses.push(stack.delete().await);
    let calls = world.script.calls();
    world.script.heal();
    if stack.delete().await != Status::Complete {
        return Err("a healed world could not delete the stack".to_owned());
    }
    check_exchanges(&stack, spoiled.is_some_and(|(name, _, _)| name == MAILBOX_CALL))?;
    let things = world.account.things();
    if of_the_customer(&things) != of_the_customer(&before) {
        return Err("something of the customer's was changed".to_owned());
    }
    let connected = !world.vendor.connected().is_empty();
    Ok(Lived { statuses, calls, things, connected })
}

/// What holds for every request, whatever went wrong.
fn check_exchanges(stack: &Stack<'_>, uploads_spoiled: bool) -> Result<(), String> {
    for exchange in &stack.exchanges {
        let (kind, resource) = (&exchange.event["RequestType"], &exchange.event["LogicalResourceId"]);
        let fail = |what: &str| Err(format!("{kind} of {resource}: {what}\n{exchange:#?}"));
        // HW-A3, F-3: always before the deadline, with two seconds to spare unless the upload itself is what hangs.
        let limit = if uploads_spoiled { FUNCTION_TIMEOUT } else { FUNCTION_TIMEOUT - Duration::from_secs(2) };
        if exchange.took.iter().any(|took| *took > limit) {
            return fail("a run took too long");
        }
        // HW-A5: an error for Lambda exactly when nothing was delivered.
        let delivered = exchange.runs - exchange.errors;
        if !uploads_spoiled && (exchange.errors > 0 || exchange.responses.len() != delivered) {
            return fail("a run ended without its one response");
        }
        for response in &exchange.responses {
            let text = response.to_string();
            if text.contains(TOKEN) || text.contains(SIGNATURE) {
                return fail("a secret is in the response");
            }
            check_response(&exchange.event, response).or_else(|what| fail(&what))?;
        }
    }
    Ok(())
}

fn check_response(event: &Value, response: &Value) -> Result<(), String> {
    let same = |field: &str| response[field] == event[field] && response[field].as_str().is_some_and(|text| !text.is_empty());
    if !same("StackId") || !same("RequestId") || !same("LogicalResourceId") {
        return Err("an id was not repeated".to_owned());
    }
    let id = response["PhysicalResourceId"].as_str().unwrap_or_default();
    if id.is_empty() || id.len() > 1024 {
        return Err("the physical id is empty or too long".to_owned());
    }
    let incoming = event["PhysicalResourceId"].as_str();
    let kind = event["RequestType"].as_str().unwrap();
    // HW-L2, F-2: a failure and a Delete keep the id they came with.
    if (response["Status"] == "FAILED" || kind == "Delete") && incoming.is_some_and(|incoming| incoming != id) {
        return Err("the physical id changed".to_owned());
    }
    if response["Status"] == "FAILED" {
        let reason = response["Reason"].as_str().unwrap_or_default();
        return if reason.contains(": ") { Ok(()) } else { Err("a failure without a reason".to_owned()) };
    }
    if kind == "Delete" {
        return Ok(());
    }
    // HW-A6, F-30: the same attributes on every request type.
    let names: BTreeSet<&str> = response["Data"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = match event["ResourceType"].as_str() {
        Some(billing::RESOURCE_TYPE) => billing::ATTRIBUTES.into(),
        _ => connection::ATTRIBUTES.into(),
    };
    if names != expected {
        return Err(format!("attributes are {names:?}"));
    }
    Ok(())
}

/// After a life without mishaps on removal, only data is left (HW-O4), also of replacements that failed (HW-L4).
fn check_remains(life: &Life, lived: &Lived) -> Result<(), String> {
    let (reports, buckets) = marked(&lived.things);
    if !reports.is_empty() {
        return Err(format!("reports {reports:?} of this stack are left"));
    }
    for name in buckets {
        let bucket = &lived.things.buckets[&name];
        if bucket.objects.is_empty() {
            return Err(format!("empty bucket `{name}` of this stack is left"));
        }
        if !life.data {
            return Err(format!("bucket `{name}` is left with {:?}", bucket.objects));
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn without_mishaps_every_life_is_lived_to_its_end() {
    for life in lives() {
        let lived = live(&life, false, None).await.unwrap();
        assert!(lived.statuses.iter().all(|status| *status == Status::Complete), "{}: {:?}", life.name, lived.statuses);
        check_remains(&life, &lived).unwrap_or_else(|what| panic!("{}: {what}", life.name));
        assert!(!lived.connected, "{}: the vendor still shows the connection", life.name);
        let kept = lived.things.buckets.values().any(|bucket| bucket.objects.iter().any(|key| key.ends_with(".parquet")));
        let asked_to_keep = life.data && life.steps[0]["Retention"] == "Retain" || life.name.contains("reused");
        assert_eq!(kept, asked_to_keep, "{}: data kept", life.name);
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_delivered_twice_leaves_the_same_world() {
    // HW-L5.
    for life in lives() {
        let once = live(&life, false, None).await.unwrap();
        let twice = live(&life, true, None).await.unwrap();
        assert_eq!(once.statuses, twice.statuses, "{}", life.name);
        assert_eq!(once.things, twice.things, "{}", life.name);
        assert_eq!(once.connected, twice.connected, "{}", life.name);
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_every_life_goes_wrong_once() {
    let (mut runs, mut failed_operations) = (0, 0);
    for life in lives() {
        let calls = live(&life, false, None).await.unwrap().calls;
        let names: BTreeSet<&String> = calls.iter().collect();
        for name in names {
            for nth in 0..calls.iter().filter(|call| *call == name).count() {
                for mishap in Mishap::ALL {
                    let context = format!("life `{}`, {mishap:?} at call {nth} of `{name}`", life.name);
                    let lived = live(&life, false, Some((name, nth, mishap))).await;
                    let lived = lived.unwrap_or_else(|what| panic!("{context}: {what}"));
                    check_remains(&life, &lived).unwrap_or_else(|what| panic!("{context}: {what}"));
                    runs += 1;
                    failed_operations += lived.statuses.iter().filter(|status| **status != Status::Complete).count();
                }
            }
        }
    }
    println!("{runs} runs, {failed_operations} failed operations");
    assert!(runs > 1000, "only {runs} runs: calls were not found");
    assert!(failed_operations > 300, "only {failed_operations} operations failed: mishaps had no effect");
}

#[tokio::test(start_paused = true)]
async fn a_party_that_never_recovers_hangs_no_request() {
    for life in lives() {
        let calls: BTreeSet<String> = live(&life, false, None).await.unwrap().calls.into_iter().collect();
        for name in &calls {
            for mishap in Mishap::ALL {
                let context = format!("life `{}`, {mishap:?} at every `{name}`", life.name);
                let lived = live(&life, false, Some((name, usize::MAX, mishap))).await;
                let lived = lived.unwrap_or_else(|what| panic!("{context}: {what}"));
                // HW-C5, F-28: the vendor alone never keeps a customer from removing the stack.
                if name == VENDOR_CALL && mishap != Mishap::Panic {
                    assert_eq!(lived.statuses.last(), Some(&Status::Complete), "{context}");
                }
            }
        }
    }
}
