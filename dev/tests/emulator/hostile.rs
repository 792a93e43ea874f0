//! A vendor that means harm, and names that do.

use std::time::Duration;

use hawser_dev::{
    stack::{Stack, template},
    vendor::Script,
};
use serde_json::{Value, json};

use crate::{
    chaos::hasty_template,
    events::{event, invoke},
    lives::{Lane, in_lanes},
    world::Testbed,
};

/// Longer than a hasty run of the function takes.
const SERVICE_TIMEOUT_SECONDS: u64 = 60;

/// Mostly waiting for the end of the function's time.
const LANES: usize = 5;

/// A line of its own in a log that forgets to escape, an end of the string in a JSON that does, and colours.
const FORGERY: &str = "a\n{\"level\":\"INFO\",\"forged\":1}\r\n\u{1b}[2J\u{9b}31m\",\"forged\":\"";

/// HW-C1, HW-C4, HW-C5: the status decides, no more of the body is read than fits, and what does not come in time has not come.
/// Whatever the vendor does, the stack comes to an end, and goes when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn no_vendor_blocks_the_handler() {
    let cases: Vec<(Script, &'static str, &'static str)> = vec![
        (Script::Unresponsive, "ROLLBACK_COMPLETE", "VENDOR_UNREACHABLE"),
        (Script::Slow(Duration::from_secs(30)), "ROLLBACK_COMPLETE", "VENDOR_UNREACHABLE"),
        (Script::SlowBody, "ROLLBACK_COMPLETE", "VENDOR_UNREACHABLE"),
        (Script::Endless, "ROLLBACK_COMPLETE", "VENDOR_ANSWER_FOREIGN"),
        (Script::Long(1_000), "CREATE_COMPLETE", ""),
        // What is read of it holds the notice's id.
        (Script::Long(10_000_000), "CREATE_COMPLETE", ""),
        (Script::WrongJson, "ROLLBACK_COMPLETE", "VENDOR_ANSWER_FOREIGN"),
        (Script::Foreign, "ROLLBACK_COMPLETE", "VENDOR_ANSWER_FOREIGN"),
    ];
    let mut lanes = Vec::new();
    let template = hasty_template(SERVICE_TIMEOUT_SECONDS);
    while lanes.len() < LANES {
        lanes.push(Lane::new(Testbed::with_template("standalone", &template).await).await);
    }
    let name = |case: &(Script, &str, &str)| format!("{:?}", case.0);
    let wrong = in_lanes(lanes, cases, name, |lane, (script, status, reason)| async move {
        let world = &lane.world;
        let mark = lane.mark();
        let name = format!("{script:?}").chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        world.vendor.set_script(script);
        let created = Stack::create(&world.customer(), &name, &world.template, &world.parameters, &mut |_| {}).await;
        let (mut stack, outcome) = created.unwrap();
        let failure = outcome.first_failure();
        if outcome.status != status || !failure.contains(reason) {
            return Err(format!("{} and not {status} with `{reason}`: {failure}", outcome.status));
        }
        let outcome = stack.delete(&mut |_| {}).await.unwrap();
        if outcome.status != "DELETE_COMPLETE" {
            return Err(format!("{}: {}", outcome.status, outcome.first_failure()));
        }
        let mut wrong = lane.answers(mark, false);
        wrong.extend(lane.marked(&stack).await);
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    })
    .await;
    assert_eq!(wrong, []);
}

/// HW-W1, HW-W2: names that try to write log lines of their own end inside a JSON string, or are refused with a code.
#[tokio::test(flavor = "multi_thread")]
async fn names_forge_no_log_line() {
    let text = template().unwrap();
    let parameter = text.split_once("\n  ConnectionName:\n").unwrap().1;
    let pattern = parameter.lines().find(|line| line.contains("AllowedPattern")).unwrap();
    assert_eq!(text.matches(pattern).count(), 1, "a pattern of its own");
    // CloudFormation would refuse the name; the handler must not rely on that.
    let world = Testbed::with_template("standalone", &text.replace(pattern, "")).await;
    // Without what XML cannot say, and the emulator's CloudFormation says all the same.
    let connection = FORGERY.replace('\u{1b}', "");
    let mut stack = world.created(&[("ConnectionName", &connection)]).await;
    assert_eq!(world.vendor.notices()[0].event["data"]["connectionName"], connection);
    for (member, code) in [
        ("StackId", "EVENT_OF_ANOTHER_STACK"),
        ("LogicalResourceId", ""),
        ("RequestId", ""),
        ("ResourceType", "RESOURCE_TYPE_UNKNOWN"),
        ("RequestType", "EVENT_INVALID"),
        ("PhysicalResourceId", ""),
    ] {
        let kind = if member == "PhysicalResourceId" { "Delete" } else { "Create" };
        let mut event = event(&world, &stack, &format!("forged-{member}"), kind, None);
        event[member] = json!(match member {
            "StackId" => stack.id().replace("/hawser/", &format!("/{FORGERY}/")),
            "ResourceType" => format!("Custom::{FORGERY}"),
            _ => FORGERY.to_owned(),
        });
        let uploads = invoke(&world, &stack, &event).await;
        assert_eq!(uploads.len(), 1, "{member}");
        let reason = uploads[0].body["Reason"].as_str().unwrap_or_default();
        assert!(reason.contains(code), "{member}: {reason}");
    }
    // S3 refused tags with such names, as it should; in other tests that is a failure.
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    let log = world.emulator.handler_log();
    let runs = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<String> = runs.flat_map(|run| serde_json::from_value::<Vec<String>>(run["lines"].clone()).unwrap()).collect();
    assert!(lines.iter().any(|line| line.contains("forged")), "the names are not in the log at all: {lines:#?}");
    for line in lines {
        let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(parsed.is_object() && parsed.get("forged").is_none(), "{line:?}");
        assert!(parsed["level"].is_string() && parsed["timestamp"].is_string(), "{line:?}");
        assert!(!line.chars().any(|c| c.is_ascii_control()), "{line:?}");
    }
    world.assert_no_leaks();
}
