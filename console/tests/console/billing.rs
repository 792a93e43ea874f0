//! `hawser.billing.status`: what is taken, what is refused, and what the operator reads of it.

use hawser_console::{
    proof::{self, Trust},
    refusal::Reason,
    speaker::Way,
};
use serde_json::{Value, json};
use time::Duration;

use crate::support::{
    AUDIENCE, Behaviour, NOW, OTHER_ACCOUNT, Stack, TestConsole, billing_status, code, error_xml, identity_xml, launch,
    open_store, parse,
};

const HOUR: i64 = 3600;

/// What the operator reads of the first connection's billing data.
async fn billing(world: &TestConsole) -> Value {
    world.connections().await[0]["billing"].clone()
}

/// An established connection.
async fn connected() -> (TestConsole, Stack) {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    (world, stack)
}

#[tokio::test]
async fn each_state_is_one_plain_sentence() {
    let (world, stack) = connected().await;
    let none = billing(&world).await;
    assert_eq!((&none["state"], &none["status"], &none["heardAt"]), (&json!("unheard"), &json!(null), &json!(null)));
    assert_eq!(none["summary"], "no status yet; the stack sends one every six hours");

    let cases = [
        ("waiting", "waiting for AWS, first data due by 2026-11-23T10:00:00Z"),
        ("delivered", "delivered: latest 2026-11 at 2026-11-22T21:14:07Z, 14 files, 1.2 MB"),
        ("stalled", "stalled: no new data since 2026-11-22T21:14:07Z"),
        (
            "failed",
            "failed: BILLING_BUCKET_REJECTED: the bucket's policy does not let AWS write. Restore the statement \
             `HawserBillingDelivery`.",
        ),
    ];
    for (at, (state, summary)) in (1..).zip(cases) {
        let (status, answer) = world.notify_status(&stack, state, at * HOUR).await;
        assert_eq!((status, &answer["message"]), (200, &json!("stored")), "{answer}");
        assert_eq!(answer["connectionId"], world.connections().await[0]["connectionId"]);
        let checked_at = NOW + Duration::hours(at);
        let expected = json!({
            "state": state, "summary": summary, "heardAt": format!("2026-11-22T{}:00:00Z", 10 + at),
            "status": billing_status(state, checked_at),
        });
        assert_eq!(billing(&world).await, expected);
    }
    // The status is no part of the description, and no word that changes where the connection stands.
    let connection = &world.connections().await[0];
    assert_eq!(connection["data"], stack.event("established", NOW)["data"]);
    assert_eq!(
        (&connection["state"], &connection["latestNotice"]["time"]),
        (&json!("announced"), &json!("2026-11-22T10:00:00Z"))
    );
}

/// What a state can say besides: a due time that has passed, one that nobody knows, a problem with data still coming.
#[tokio::test]
async fn sentences_follow_what_is_known() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &str)] = &[
        (
            "waiting",
            |s| s["dueBy"] = json!("2026-11-22T10:00:00Z"),
            "waiting for AWS, first data was due by 2026-11-22T10:00:00Z",
        ),
        ("waiting", |s| s["dueBy"] = json!(""), "waiting for AWS"),
        ("stalled", |s| s["latest"] = json!(null), "stalled: no data arrived, first data due by 2026-11-23T10:00:00Z"),
        (
            "stalled",
            |s| {
                s["latest"] = json!(null);
                s["dueBy"] = json!("");
            },
            "stalled: nothing was ever delivered",
        ),
        (
            "delivered",
            |s| {
                s["latest"]["files"] = json!(1);
                s["latest"]["bytes"] = json!(999);
            },
            "delivered: latest 2026-11 at 2026-11-22T21:14:07Z, 1 file, 999 bytes",
        ),
        (
            "stalled",
            |s| s["problem"] = json!({"code": "X_1", "cause": "A cause.", "nextStep": "do it"}),
            "stalled: no new data since 2026-11-22T21:14:07Z; X_1: A cause. do it.",
        ),
    ];
    let (world, stack) = connected().await;
    for (at, (state, change, summary)) in (1..).zip(cases) {
        let time = NOW + Duration::minutes(at);
        let mut event = stack.status_event(state, time);
        change(&mut event["data"]["billingStatus"]);
        world.set_clock(time);
        assert_eq!(world.post(stack.send(event, time)).await.0, 200, "{summary}");
        assert_eq!(billing(&world).await["summary"], *summary);
    }
}

/// Two schedules of six hours missed is a state of its own, found when it is looked at: who is silent cannot say so.
#[tokio::test]
async fn silence_is_noticed_by_the_reader() {
    let (world, stack) = connected().await;
    world.set_clock(NOW + Duration::hours(12));
    assert_eq!(billing(&world).await["state"], "unheard");
    world.set_clock(NOW + Duration::seconds(12 * HOUR + 1));
    let never = billing(&world).await;
    assert_eq!(never["state"], "silent");
    assert_eq!(never["summary"], "silent: no heartbeat since the connection was made at 2026-11-22T10:00:00Z");

    assert_eq!(world.notify_status(&stack, "delivered", 18 * HOUR).await.0, 200);
    world.set_clock(NOW + Duration::hours(30));
    assert_eq!(billing(&world).await["state"], "delivered");
    world.set_clock(NOW + Duration::seconds(30 * HOUR + 1));
    let silent = billing(&world).await;
    assert_eq!((&silent["state"], &silent["heardAt"]), (&json!("silent"), &json!("2026-11-23T04:00:00Z")));
    assert_eq!(
        silent["summary"],
        "silent: no heartbeat since 2026-11-23T04:00:00Z; before that, delivered: latest 2026-11 at 2026-11-22T21:14:07Z, 14 files, 1.2 MB"
    );
    // One page and all of them tell the same.
    let id = world.connections().await[0]["connectionId"].as_str().unwrap().to_owned();
    let request = http::Request::get(format!("/api/v1/connections/{id}")).body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.operate(request).await.1["billing"], silent);
    // Heard again.
    assert_eq!(world.notify_status(&stack, "delivered", 31 * HOUR).await.0, 200);
    assert_eq!(billing(&world).await["state"], "delivered");
}

/// `hawser connect` leaves nothing that could send a status: its silence is no alarm.
#[tokio::test]
async fn a_connection_without_a_stack_is_never_silent() {
    let world = TestConsole::new().await;
    let launch = world.launch_with(|terms| terms.ways = [Way::Direct].into()).await;
    let stack = Stack::new(&launch, "51af3dc0", &world.sts.url);
    let mut event = stack.event("established", NOW);
    event["data"]["way"] = json!("direct");
    assert_eq!(world.post(stack.send(event, NOW)).await.0, 200);
    for hours in [0, 48, 10_000] {
        world.set_clock(NOW + Duration::hours(hours));
        let summary = "none: the connection was made without a stack, so nothing sends a status";
        assert_eq!(billing(&world).await, json!({"state": "none", "summary": summary, "heardAt": null, "status": null}));
    }
}

/// Nothing is said of billing data where none is to come.
#[tokio::test]
async fn without_an_export_nothing_is_reported() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let mut event = stack.event("established", NOW);
    event["data"]["billingExport"]["kind"] = json!("None");
    assert_eq!(world.post(stack.send(event, NOW)).await.0, 200);
    world.set_clock(NOW + Duration::hours(48));
    assert_eq!(billing(&world).await, json!(null));
}

/// An older look never overwrites a newer one. That it came is a sign of life all the same.
#[tokio::test]
async fn an_older_status_does_not_count() {
    let (world, stack) = connected().await;
    assert_eq!(world.notify_status(&stack, "delivered", 12 * HOUR).await.0, 200);
    let before = billing(&world).await;
    world.set_clock(NOW + Duration::hours(13));
    let (status, answer) = world.notify_status(&stack, "waiting", 6 * HOUR).await;
    assert_eq!((status, &answer["message"]), (200, &json!("stored, but a newer status of this stack takes precedence")));
    let after = billing(&world).await;
    assert_eq!((&after["state"], &after["status"]), (&before["state"], &before["status"]));
    assert_eq!((&before["heardAt"], &after["heardAt"]), (&json!("2026-11-22T22:00:00Z"), &json!("2026-11-22T23:00:00Z")));
    // The same second again: the later arrival is the later word.
    world.set_clock(NOW + Duration::hours(12));
    let mut event = stack.status_event("stalled", NOW + Duration::hours(12));
    event["id"] = json!("0".repeat(32));
    assert_eq!(world.post(stack.send(event, world.now())).await.0, 200);
    assert_eq!(billing(&world).await["state"], "stalled");
}

/// A lost `updated` is made good by the next heartbeat, and an older heartbeat takes nothing back.
#[tokio::test]
async fn a_status_makes_up_for_a_lost_notice() {
    let (world, stack) = connected().await;
    let status = |hours: i64, region: &str| {
        let mut event = stack.status_event("delivered", NOW + Duration::hours(hours));
        event["data"]["regions"] = json!([region]);
        event["data"]["billingExport"]["prefix"] = json!(region);
        event
    };
    let update = |hours: i64, region: &str| {
        let mut event = stack.event("updated", NOW + Duration::hours(hours));
        event["data"]["regions"] = json!([region]);
        event["data"]["billingExport"]["prefix"] = json!(region);
        event
    };
    let stated = async |event: Value, arrives: i64| {
        world.set_clock(NOW + Duration::hours(arrives));
        let (status, answer) = world.post(stack.send(event, world.now())).await;
        assert_eq!(status, 200, "{answer}");
        let connections = world.connections().await;
        assert_eq!(connections[0]["data"]["billingExport"]["prefix"], connections[0]["data"]["regions"][0]);
        assert_eq!(connections[0]["data"]["billingStatus"], json!(null));
        (answer["message"].as_str().unwrap().to_owned(), connections[0]["data"]["regions"][0].as_str().unwrap().to_owned())
    };
    let text = |message: &str, region: &str| (message.to_owned(), region.to_owned());
    let recovered = "stored; the connection was out of date";
    assert_eq!(stated(status(6, "eu-north-1"), 6).await, text(recovered, "eu-north-1"));
    assert_eq!(stated(status(12, "eu-north-1"), 12).await, text("stored", "eu-north-1"));
    assert_eq!(stated(update(13, "eu-south-1"), 13).await, text("connected", "eu-south-1"));
    // Late ones: of before the update, and of before the newest heartbeat.
    assert_eq!(stated(status(11, "eu-north-1"), 14).await.1, "eu-south-1");
    assert_eq!(stated(status(18, "eu-south-1"), 18).await, text("stored", "eu-south-1"));
    let late = stated(update(17, "eu-west-2"), 19).await;
    assert_eq!(late, text("stored, but a newer notice of this stack takes precedence", "eu-south-1"));
    // In one second what CloudFormation had told counts more, in either order.
    assert_eq!(stated(update(20, "eu-west-3"), 20).await.1, "eu-west-3");
    assert_eq!(stated(status(20, "eu-south-1"), 20).await.1, "eu-west-3");
}

/// The same request in a second run of the function: another look, under the same id.
#[tokio::test]
async fn a_repetition_gets_the_same_answer() {
    let (world, stack) = connected().await;
    let first = world.notify_status(&stack, "waiting", 6 * HOUR).await;
    let calls = world.sts.calls();
    let id = stack.status_event("waiting", NOW + Duration::hours(6))["id"].clone();
    let again = |state: &str, minutes: i64| {
        let mut event = stack.status_event(state, NOW + Duration::hours(6) + Duration::minutes(minutes));
        event["id"] = id.clone();
        event
    };
    // The same bytes, and another look.
    for event in [again("waiting", 0), again("delivered", 2)] {
        world.set_clock(NOW + Duration::hours(6) + Duration::minutes(2));
        assert_eq!(world.post(stack.send(event, world.now())).await, first);
    }
    assert_eq!((billing(&world).await["state"].clone(), world.sts.calls()), (json!("waiting"), calls));
    // Another content under the same id.
    for (pointer, value) in [("/data/regions", json!([])), ("/type", json!("hawser.connection.updated"))] {
        let mut event = again("waiting", 2);
        *event.pointer_mut(pointer).unwrap() = value;
        if pointer == "/type" {
            event["data"].as_object_mut().unwrap().remove("billingStatus");
        }
        let (status, body) = world.post(stack.send(event, world.now())).await;
        assert_eq!((status, code(&body)), (409, "notice-id-reused"), "{body}");
    }
}

/// A recorded notice sent again later is stale, whatever is remembered of it.
#[tokio::test]
async fn a_replay_is_stale() {
    let (world, stack) = connected().await;
    let at = NOW + Duration::hours(6);
    world.set_clock(at);
    assert_eq!(world.post(stack.send(stack.status_event("waiting", at), at)).await.0, 200);
    world.set_clock(at + Duration::seconds(301));
    let (status, body) = world.post(stack.send(stack.status_event("waiting", at), at)).await;
    assert_eq!((status, code(&body)), (401, "signature-stale"), "{body}");
    // Signed anew over an old proof.
    world.set_clock(at + Duration::minutes(16));
    let event = stack.prove(stack.status_event("delivered", at + Duration::minutes(1)), at);
    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), world.now());
    let (status, body) = world.post(request).await;
    assert_eq!((status, code(&body)), (403, "proof-refused"), "{body}");
    assert_eq!(billing(&world).await["state"], "waiting");
}

/// Four a day for years: what is kept of them does not grow. Connection notices are kept.
#[tokio::test]
async fn old_statuses_are_forgotten() {
    let (world, stack) = connected().await;
    for number in 1..=20 {
        assert_eq!(world.notify_status(&stack, "delivered", number * 6 * HOUR).await.0, 200);
    }
    let mut remembered = Vec::new();
    for number in 1..=20 {
        let event = stack.prove(stack.status_event("delivered", NOW + Duration::hours(6 * number)), NOW);
        let notice = parse(&event, world.now()).unwrap();
        if world.console.store.known(&notice, &launch(0, None), world.now()).await.unwrap().prior.is_some() {
            remembered.push(number);
        }
    }
    assert_eq!(remembered, [16, 17, 18, 19, 20], "the last 24 hours");
    assert_eq!(world.notify(&stack, "established", 0).await.1["message"], "connected", "known by its id");
}

/// 404 and 410: the stack does not try again. STS is not asked for it.
#[tokio::test]
async fn a_status_needs_an_existing_connection() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let (status, body) = world.notify_status(&stack, "waiting", 0).await;
    assert_eq!((status, code(&body)), (404, "status-of-unknown"), "{body}");
    assert_eq!((world.sts.calls(), world.connections().await.len()), (0, 0));

    assert_eq!(world.notify(&stack, "established", 60).await.0, 200);
    assert_eq!(world.notify_status(&stack, "waiting", 120).await.0, 200);
    assert_eq!(world.notify(&stack, "removed", 180).await.0, 200);
    let calls = world.sts.calls();
    // Of after the removal, and late of before it.
    for seconds in [240, 170] {
        let (status, body) = world.notify_status(&stack, "delivered", seconds).await;
        assert_eq!((status, code(&body)), (410, "status-of-removed"), "{body}");
    }
    assert_eq!(world.sts.calls(), calls);
    let connection = &world.connections().await[0];
    assert_eq!((&connection["state"], &connection["billing"]), (&json!("removed"), &json!(null)));
    // Connected again, the last thing heard is there again.
    assert_eq!(world.notify(&stack, "established", 300).await.0, 200);
    assert_eq!(billing(&world).await["state"], "waiting");
}

/// A heartbeat that ran into the removal does not keep the late removal from counting.
#[tokio::test]
async fn a_status_does_not_prove_that_the_connection_exists() {
    let (world, stack) = connected().await;
    assert_eq!(world.notify_status(&stack, "delivered", 100).await.0, 200);
    assert_eq!(world.notify(&stack, "removed", 90).await.1["message"], "disconnected");
    assert_eq!(world.connections().await[0]["state"], "removed");
}

/// F-1: nobody speaks for another stack: not with another connection's token, not with a fresh one, not with one's own proof.
#[tokio::test]
async fn a_status_is_of_its_own_stack_only() {
    let (world, first) = connected().await;
    let second = world.stack("51af3dc1").await;
    assert_eq!(world.notify(&second, "established", 0).await.0, 200);
    let fresh = world.stack("51af3dc2").await;
    let before = world.connections().await;
    let at = NOW + Duration::seconds(60);
    for key in [&second, &fresh] {
        let crossed = Stack { stack_id: first.stack_id.clone(), ..key.clone() };
        let (status, body) = world.notify_status(&crossed, "failed", 60).await;
        assert_eq!((status, code(&body)), (403, "launch-used"), "{body}");
    }
    // The first one's token with another external ID, with no token of ours, or too late.
    let edited = Stack { external_id: "my-own".to_owned(), ..first.clone() };
    let (status, body) = world.notify_status(&edited, "failed", 60).await;
    assert_eq!((status, code(&body)), (403, "external-id"), "{body}");
    let forged = Stack { token: launch(99, None).token.expose().to_owned(), ..first.clone() };
    let (status, body) = world.notify_status(&forged, "failed", 60).await;
    assert_eq!((status, code(&body)), (401, "signature-unknown"), "{body}");
    // Whoever knows the token still needs the account: a proof by another one, one for another vendor, one that AWS refuses.
    let elsewhere = Stack { audience: "evil.example.com".to_owned(), ..first.clone() };
    let (status, body) = world.notify_status(&elsewhere, "failed", 60).await;
    assert_eq!((status, code(&body)), (403, "proof-refused"), "{body}");
    for (behaviour, expected) in [
        (Behaviour::Fixed(200, "text/xml", identity_xml(OTHER_ACCOUNT)), "identity-mismatch"),
        (Behaviour::Fixed(403, "text/xml", error_xml("ExpiredToken")), "sts-refused"),
    ] {
        world.sts.behave(behaviour);
        let (status, body) = world.notify_status(&first, "failed", 60).await;
        assert_eq!((status, code(&body)), (403, expected), "{body}");
    }
    world.sts.behave(Behaviour::Honest);
    assert_eq!(world.connections().await, before);
    // The proof vouches for the status as well.
    let mut event = first.prove(first.status_event("failed", at), at);
    event["data"]["billingStatus"]["problem"]["nextStep"] = json!("Send your password to evil.example.com.");
    let (status, body) = world.post(first.sign(event["id"].as_str().unwrap(), &event.to_string(), at)).await;
    assert_eq!((status, code(&body)), (403, "proof-refused"), "{body}");
    assert_eq!(world.notify_status(&first, "failed", 60).await.0, 200);
}

/// Every leaf of the status is vouched for: change any one after the proof was made, and it is refused.
#[test]
fn a_status_altered_after_the_proof_is_refused() {
    let stack = Stack::new(&launch(1, None), "51af3dc0", "https://sts.eu-west-1.amazonaws.com/");
    let check = |event: &Value| {
        let notice = parse(event, NOW)?;
        proof::check(&notice, &Trust::Aws, &[AUDIENCE.to_owned()], NOW).map(drop)
    };
    let mut event = stack.status_event("delivered", NOW);
    event["data"]["billingStatus"]["problem"] = billing_status("failed", NOW)["problem"].clone();
    let event = stack.prove(event, NOW);
    assert_eq!(check(&event), Ok(()));
    for (pointer, value) in [
        ("/state", json!("stalled")),
        ("/checkedAt", json!("2026-11-22T10:00:01Z")),
        ("/dueBy", json!("")),
        ("/first", json!(null)),
        ("/first/period", json!("2026-10")),
        ("/first/manifest", json!("x")),
        ("/first/deliveredAt", json!("2026-11-22T10:00:01Z")),
        ("/latest/period", json!("2026-10")),
        ("/latest/manifest", json!("x")),
        ("/latest/deliveredAt", json!("2026-11-22T10:00:01Z")),
        ("/latest/files", json!(15)),
        ("/latest/bytes", json!(0)),
        ("/problem", json!(null)),
        ("/problem/code", json!("X")),
        ("/problem/cause", json!("x")),
        ("/problem/nextStep", json!("x")),
    ] {
        let mut altered = event.clone();
        *altered["data"]["billingStatus"].pointer_mut(pointer).unwrap() = value;
        assert_eq!(check(&altered), Err(Reason::Proof.with("it covers another event than this notice")), "{pointer}");
    }
}

type Change = fn(&mut Value);

/// Forms that are refused, with the place. What is over a limit by one is refused, what is at it is taken.
const BAD: &[(&str, Change)] = &[
    (".state", |s| s["state"] = json!(null)),
    (".checkedAt", |s| s["checkedAt"] = json!("")),
    (".checkedAt", |s| s["checkedAt"] = json!("2026-11-22T11:00:00+01:00")),
    (".dueBy", |s| s["dueBy"] = json!("tomorrow")),
    (".dueBy", |s| s["dueBy"] = json!(null)),
    (".first", |s| s["first"] = json!({})),
    (".first.period", |s| s["first"]["period"] = json!("2026-13")),
    (".first.period", |s| s["first"]["period"] = json!("2026-1")),
    (".first.manifest", |s| s["first"]["manifest"] = json!("")),
    (".first.deliveredAt", |s| s["first"]["deliveredAt"] = json!("")),
    (".latest", |s| s["latest"] = json!("2026-11")),
    (".latest.period", |s| s["latest"]["period"] = json!("2026-00")),
    (".latest.manifest", |s| s["latest"]["manifest"] = json!("k".repeat(1025))),
    (".latest.files", |s| s["latest"]["files"] = json!("14")),
    (".latest.files", |s| s["latest"]["files"] = json!(-1)),
    (".latest.bytes", |s| s["latest"]["bytes"] = json!(1.5)),
    (".latest.bytes", |s| s["latest"]["bytes"] = json!(9_007_199_254_740_992_u64)),
    (".latest.bytes", |s| s["latest"]["bytes"] = json!(null)),
    (".problem", |s| s["problem"] = json!("x")),
    (".problem.code", |s| s["problem"] = json!({"code": "lower-case", "cause": "x", "nextStep": "x"})),
    (".problem.code", |s| s["problem"] = json!({"code": "X".repeat(65), "cause": "x", "nextStep": "x"})),
    (".problem.cause", |s| s["problem"] = json!({"code": "X", "cause": "", "nextStep": "x"})),
    (".problem.cause", |s| s["problem"] = json!({"code": "X", "cause": "é".repeat(2001), "nextStep": "x"})),
    (".problem.nextStep", |s| s["problem"] = json!({"code": "X", "cause": "x", "nextStep": "x".repeat(2001)})),
];

const GOOD: &[Change] = &[
    |s| drop(s.as_object_mut().unwrap().remove("dueBy")),
    |s| drop(s.as_object_mut().unwrap().remove("first")),
    |s| drop(s.as_object_mut().unwrap().remove("problem")),
    |s| s["state"] = json!("paused"),
    |s| s["later"] = json!({"a": [1, null]}),
    |s| s["first"]["files"] = json!(1),
    |s| s["problem"] = json!({"code": "X", "cause": "x", "nextStep": "x", "later": "x"}),
    |s| s["checkedAt"] = json!("2026-11-22T10:05:00Z"),
    |s| s["checkedAt"] = json!("2026-11-22T09:59:59.123Z"),
    |s| s["dueBy"] = json!(""),
    |s| s["first"] = json!(null),
    |s| s["latest"]["manifest"] = json!("k".repeat(1024)),
    |s| s["latest"]["files"] = json!(0),
    |s| s["latest"]["bytes"] = json!(9_007_199_254_740_991_u64),
    |s| s["problem"] = json!({"code": "X".repeat(64), "cause": "é".repeat(2000), "nextStep": "x".repeat(2000)}),
];

/// Forms that are refused, with a problem that names the place, and by the schema as well.
#[tokio::test]
async fn forms() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/notice.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let (world, stack) = connected().await;
    let send = async |change: Change| {
        let mut event = stack.status_event("delivered", NOW);
        change(&mut event["data"]["billingStatus"]);
        let event = stack.prove(event, NOW);
        let valid = schema.is_valid(&event);
        (valid, world.post(stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW)).await)
    };
    for (place, change) in BAD {
        let (valid, (status, body)) = send(*change).await;
        assert_eq!((valid, status, code(&body)), (false, 400, "notice-malformed"), "{place}: {body}");
        let expected = format!("the notice does not have the documented form: `data.billingStatus{place}`");
        assert!(body["detail"].as_str().unwrap().starts_with(&expected), "{place}: {body}");
    }
    // Both say what a status is; the rest says more.
    for name in ["state", "checkedAt"] {
        let mut event = stack.prove(stack.status_event("delivered", NOW), NOW);
        event["data"]["billingStatus"].as_object_mut().unwrap().remove(name);
        assert!(!schema.is_valid(&event), "{name}");
        let (status, body) = world.post(stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW)).await;
        assert_eq!((status, code(&body)), (400, "notice-malformed"), "{name}: {body}");
    }
    // Parts that do not belong together; a time that would keep all later ones from counting.
    for (change, why, in_schema) in [
        ((|s| s["latest"] = json!(null)) as Change, "the billing status lacks what its state requires", false),
        (|s| s["state"] = json!("failed"), "the billing status lacks what its state requires", false),
        (|s| s["checkedAt"] = json!("2026-11-22T10:05:01Z"), "`checkedAt` is in the future", true),
    ] {
        let (valid, (status, body)) = send(change).await;
        assert_eq!((valid, status, code(&body)), (in_schema, 422, "notice-inconsistent"), "{body}");
        assert!(body["detail"].as_str().unwrap().contains(why), "{body}");
    }
    // A name that comes twice.
    let event = stack.prove(stack.status_event("delivered", NOW), NOW);
    let (id, text) = (event["id"].as_str().unwrap(), event.to_string());
    for (from, to) in
        [("\"files\":14", "\"files\":15,\"files\":14"), ("\"billingStatus\":", "\"billingStatus\":{},\"billingStatus\":")]
    {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let (status, body) = world.post(stack.sign(id, &text.replace(from, to), NOW)).await;
        assert_eq!((status, code(&body)), (400, "notice-malformed"), "{body}");
    }
    assert_eq!(billing(&world).await["state"], "unheard", "nothing of this was stored");

    for (number, change) in GOOD.iter().enumerate() {
        let mut event = stack.status_event("delivered", NOW);
        event["id"] = json!(format!("{number:032x}"));
        change(&mut event["data"]["billingStatus"]);
        let event = stack.prove(event, NOW);
        let errors: Vec<String> = schema.iter_errors(&event).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let (status, body) = world.post(stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW)).await;
        assert_eq!(status, 200, "{number}: {body}");
    }
}

/// What was heard is there after a restart.
#[tokio::test]
async fn a_restart_forgets_no_status() {
    let (mut world, stack) = connected().await;
    assert_eq!(world.notify_status(&stack, "failed", HOUR).await.0, 200);
    let before = world.connections().await;
    world.console.store.close().await;
    world.console.store = open_store(&world.directory).await;
    assert_eq!(world.connections().await, before);
}
