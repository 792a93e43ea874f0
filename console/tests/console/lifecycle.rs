//! A connection's life through the routes: established, updated, removed, and everything that customers do to it.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{ACCOUNT, Behaviour, NOW, REGION, Stack, TestConsole, call, code, error_xml, open_store};

#[tokio::test]
async fn a_connection_is_made_updated_and_removed() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;

    let (status, answer) = world.notify(&stack, "established", 0).await;
    assert_eq!((status, answer["message"].as_str()), (200, Some("connected")));
    let connections = world.connections().await;
    let [connection] = connections.as_slice() else { panic!("{connections:?}") };
    assert_eq!(connection["connectionId"], answer["connectionId"]);
    assert_eq!(connection["state"], "announced");
    assert_eq!(connection["since"], "2026-11-22T10:00:00Z");
    assert_eq!(
        connection["verifiedArn"],
        format!("arn:aws:sts::{ACCOUNT}:assumed-role/hawser-HandlerRole-1A2B3C4D5E6F/hawser-Handler-3C4D")
    );
    assert_eq!(connection["data"], stack.event("established", NOW)["data"]);

    let mut event = stack.event("updated", NOW + Duration::hours(48));
    event["data"]["regions"] = json!(["eu-central-1"]);
    world.set_clock(NOW + Duration::hours(48));
    let (status, again) = world.post(stack.send(event, world.now())).await;
    // The launch has expired long ago: it is this connection's key all the same.
    assert_eq!((status, &again["connectionId"]), (200, &answer["connectionId"]));
    let connections = world.connections().await;
    assert_eq!((connections.len(), &connections[0]["data"]["regions"]), (1, &json!(["eu-central-1"])));

    // A removal may know little.
    let mut event = stack.event("removed", NOW + Duration::hours(49));
    for (name, empty) in [
        ("roleArn", json!("")),
        ("packs", json!({})),
        ("regions", json!([])),
        ("organization", json!({})),
        ("billingExport", json!({})),
    ] {
        event["data"][name] = empty;
    }
    world.set_clock(NOW + Duration::hours(49));
    let (status, last) = world.post(stack.send(event, world.now())).await;
    assert_eq!((status, last["message"].as_str()), (200, Some("disconnected")));
    let connections = world.connections().await;
    assert_eq!((connections.len(), &connections[0]["state"]), (1, &json!("removed")));
    assert_eq!(connections[0]["data"]["regions"], json!(["eu-central-1"]));
    assert_eq!(connections[0]["latestNotice"]["type"], "hawser.connection.removed");

    // Delete may be told twice, by another request.
    let (status, last) = world.notify(&stack, "removed", 50 * 3600).await;
    assert_eq!((status, last["message"].as_str()), (200, Some("disconnected")));
}

#[tokio::test]
async fn the_same_notice_again_gets_the_same_answer() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let first = world.notify(&stack, "established", 0).await;
    assert_eq!(first.0, 200);

    // The same bytes: a retry.
    assert_eq!(world.post(stack.send(stack.event("established", NOW), NOW)).await, first);
    // The same request in a second run: new time, new proof.
    world.set_clock(NOW + Duration::minutes(4));
    let mut event = stack.event("established", NOW);
    event["time"] = json!("2026-11-22T10:04:00Z");
    assert_eq!(world.post(stack.send(event, world.now())).await, first);
    assert_eq!(world.sts.calls(), 1, "what is known needs no proof");
    assert_eq!(world.connections().await[0]["latestNotice"]["time"], "2026-11-22T10:00:00Z");

    // Another content under the same id.
    for change in [
        |e: &mut serde_json::Value| e["data"]["regions"] = json!([]),
        |e: &mut serde_json::Value| e["type"] = json!("hawser.connection.removed"),
    ] {
        let mut event = stack.event("established", NOW);
        change(&mut event);
        let (status, body) = world.post(stack.send(event, world.now())).await;
        assert_eq!((status, code(&body)), (409, "notice-id-reused"), "{body}");
    }
    assert_eq!(world.connections().await[0]["state"], "announced");
}

/// Everything may happen in one second, and then the proofs of two notices with the same data are the same: SigV4 has no
/// chance in it.
#[tokio::test]
async fn two_notices_in_one_second() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    assert_eq!(world.notify(&stack, "removed", 0).await.0, 200);
    assert_eq!(world.connections().await[0]["state"], "removed");
}

/// An update and its rollback in one second: the stack told them one after the other, so the later arrival counts.
#[tokio::test]
async fn an_update_and_its_rollback_in_one_second() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    // Ids are hashes: whichever of these is the larger one, the second word is the last.
    for (id, regions) in [("a", "eu-central-1"), ("b", "eu-north-1"), ("c", "eu-west-2"), ("0", "eu-west-3")] {
        let mut event = stack.event("updated", NOW);
        event["id"] = json!(format!("{id:0<32}"));
        event["data"]["regions"] = json!([regions]);
        assert_eq!(world.post(stack.send(event, NOW)).await.1["message"], "connected");
        assert_eq!(world.connections().await[0]["data"]["regions"], json!([regions]));
    }
}

/// F-1: a second stack from the same launch link fails, rolls back, and its removal leaves the first connection alone.
#[tokio::test]
async fn a_used_launch_and_its_rollback_touch_nothing() {
    let world = TestConsole::new().await;
    let first = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&first, "established", 0).await.0, 200);
    let before = world.connections().await;

    let second = Stack { stack_id: first.stack_id.replace("51af3dc0", "9999"), ..first.clone() };
    for (kind, seconds, status, expected) in
        [("established", 60, 403, "launch-used"), ("updated", 70, 403, "launch-used"), ("removed", 80, 404, "connection-unknown")]
    {
        let (given, body) = world.notify(&second, kind, seconds).await;
        assert_eq!((given, code(&body)), (status, expected), "{kind}: {body}");
    }
    assert_eq!(world.connections().await, before);
}

/// F-1: a removal signed with another connection's token does not remove this one, whatever it names.
#[tokio::test]
async fn a_removal_removes_its_own_connection_only() {
    let world = TestConsole::new().await;
    let (first, second) = (world.stack("51af3dc0").await, world.stack("51af3dc1").await);
    assert_eq!(world.notify(&first, "established", 0).await.0, 200);
    assert_eq!(world.notify(&second, "established", 0).await.0, 200);
    let fresh = world.stack("51af3dc2").await;
    for key in [&second, &fresh] {
        let crossed = Stack { stack_id: first.stack_id.clone(), ..key.clone() };
        let (status, body) = world.notify(&crossed, "removed", 60).await;
        assert_eq!((status, code(&body)), (403, "launch-used"), "{body}");
    }
    assert!(world.connections().await.iter().all(|connection| connection["state"] == "announced"));
    assert_eq!(world.notify(&second, "removed", 61).await.0, 200);
    let states: Vec<_> = world.connections().await.iter().map(|c| c["state"].clone()).collect();
    assert_eq!(states, ["announced", "removed"]);
}

/// F-28: nothing to remove is 404, which the handler takes as done; and it stays 404 when asked again.
#[tokio::test]
async fn removing_what_is_unknown_succeeds() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for _ in 0..2 {
        let (status, body) = world.notify(&stack, "removed", 0).await;
        assert_eq!((status, code(&body)), (404, "connection-unknown"), "{body}");
    }
    assert_eq!(world.sts.calls(), 1);
    // The launch was not used up by it: the customer deploys again from the same link.
    let again = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), ..stack.clone() };
    assert_eq!(world.notify(&again, "established", 60).await.0, 200);
    // Even that is not for strangers: without a proof nothing is remembered.
    let stranger = world.stack("51af3dc3").await;
    let mut event = stranger.prove(stranger.event("removed", NOW), world.now());
    event["data"]["proofs"][0]["headers"]["x-hawser-audience"] = json!("evil.example.com");
    let request = stranger.sign(event["id"].as_str().unwrap(), &event.to_string(), world.now());
    assert_eq!(world.post(request).await.0, 403);
}

/// A stack updated with the parameters of a new launch link keeps its connection and changes its key.
#[tokio::test]
async fn a_stack_may_get_a_new_launch() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let (_, first) = world.notify(&stack, "established", 0).await;
    let fresh = world.stack("51af3dc0").await;
    let (status, second) = world.notify(&fresh, "updated", 60).await;
    assert_eq!((status, &second["connectionId"]), (200, &first["connectionId"]));
    assert_eq!(world.connections().await[0]["data"]["externalId"], fresh.external_id);
    // The update is rolled back: the earlier parameters are the stack's own as well.
    assert_eq!(world.notify(&stack, "updated", 120).await.0, 200);
    let connections = world.connections().await;
    assert_eq!((connections.len(), &connections[0]["data"]["externalId"]), (1, &json!(stack.external_id)));
}

#[tokio::test]
async fn notices_at_the_same_moment_are_stored_once() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let send = || async { world.notify(&stack, "established", 0).await };
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    assert_eq!(a.0, 200, "{a:?}");
    assert!(a == b && b == c && c == d, "{a:?} {b:?} {c:?} {d:?}");
    assert_eq!(world.connections().await.len(), 1);

    // Two stacks race for one launch: one gets it.
    let first = world.stack("a1").await;
    let second = Stack { stack_id: first.stack_id.replace("/a1", "/a2"), ..first.clone() };
    let (a, b) = tokio::join!(world.notify(&first, "established", 0), world.notify(&second, "established", 0));
    let mut statuses = [a.0, b.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403], "{a:?} {b:?}");
    assert_eq!(world.connections().await.len(), 2);
}

/// Sixteen stacks race for one launch, and AWS takes its time: all have passed the first look when the first one is stored.
#[tokio::test]
async fn sixteen_stacks_race_for_one_launch() {
    let world = TestConsole::new().await;
    world.sts.behave(Behaviour::Slow(std::time::Duration::from_millis(500)));
    let first = world.stack("a0").await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 0..16 {
        let stack = Stack { stack_id: first.stack_id.replace("/a0", &format!("/a{number}")), ..first.clone() };
        let app = hawser_console::routes::public(world.console.clone());
        racing.spawn(call(app, stack.send(stack.event("established", NOW), NOW)));
    }
    let answers = racing.join_all().await;
    assert_eq!(world.sts.calls(), 16);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, body)| code(body) == "launch-used").count(), 15, "{answers:?}");
    assert_eq!(world.connections().await.len(), 1);
}

/// What a removed stack sent is kept for a month; the connection stays removed.
#[tokio::test]
async fn notices_of_removed_connections_are_dropped() {
    let world = TestConsole::new().await;
    let (gone, stays) = (world.stack("51af3dc0").await, world.stack("51af3dc1").await);
    for stack in [&gone, &stays] {
        assert_eq!(world.notify(stack, "established", 0).await.0, 200);
    }
    assert_eq!(world.notify(&gone, "removed", 60).await.0, 200);
    let database = crate::support::database(&world.directory).await;
    let kept = async |days: i64| -> i64 {
        world.set_clock(NOW + Duration::days(days));
        world.ask_aws().await;
        sqlx::query_scalar("SELECT COUNT(*) FROM notices").fetch_one(&database).await.unwrap()
    };
    assert_eq!((kept(29).await, kept(31).await), (3, 1));
    let states: Vec<_> = world.connections().await.iter().map(|c| c["state"].clone()).collect();
    assert_eq!(states, ["removed", "announced"]);
    let (status, body) = world.notify(&gone, "established", 31 * 24 * 3600).await;
    assert_eq!((status, code(&body)), (410, "connection-removed"));
}

/// What was answered with 200 is there after a restart, and so is the memory of what was seen.
#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut world = TestConsole::new().await;
    let (stack, gone) = (world.stack("51af3dc0").await, world.stack("51af3dc1").await);
    let first = world.notify(&stack, "established", 0).await;
    assert_eq!(world.notify(&gone, "removed", 10).await.0, 404);
    let before = world.connections().await;

    world.console.store.close().await;
    let (status, _) = world.post(stack.send(stack.event("updated", NOW), NOW)).await;
    assert_eq!(status, 503, "a closed database is the vendor's trouble");
    world.console.store = open_store(&world.directory).await;

    assert_eq!(world.connections().await, before);
    assert_eq!(world.notify(&stack, "established", 0).await, first);
    // F-34: the Create that its Delete overtook comes in after the restart.
    let (status, answer) = world.notify(&gone, "established", 5).await;
    assert_eq!((status, answer["message"].as_str()), (200, Some("stored, but this stack has already been removed")));
    assert_eq!(world.connections().await[1]["state"], "removed");
    assert_eq!(world.sts.calls(), 3);
}

/// What is stored holds no proof: nothing in the database could be sent to STS, or tell a signature.
#[tokio::test]
async fn proofs_are_not_stored() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let event = stack.prove(stack.event("established", NOW), NOW);
    let request = stack.sign(event["id"].as_str().unwrap(), &event.to_string(), NOW);
    let webhook_signature = request.headers()["webhook-signature"].to_str().unwrap().trim_start_matches("v1,").to_owned();
    assert_eq!(world.post(request).await.0, 200);
    let url = crate::support::database_url(&world.directory);
    world.console.store.close().await;

    let headers = &event["data"]["proofs"][0]["headers"];
    let proof_signature = headers["authorization"].as_str().unwrap().rsplit('=').next().unwrap();
    let mut stored = Vec::new();
    if url.starts_with("sqlite:") {
        for file in std::fs::read_dir(world.directory.path()).unwrap() {
            stored.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
    } else {
        let database = sqlx::PgPool::connect(&url).await.unwrap();
        for table in ["connections", "events", "issuers", "jobs", "launches", "launch_uses", "notices", "problems", "seals"] {
            let statement = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(statement).fetch_all(&database).await.unwrap();
            stored.extend(rows.concat().into_bytes());
        }
    }
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(REGION), "the search itself works");
    // The launch token is sealed.
    for secret in [
        stack.token.as_str(),
        stack.token.trim_start_matches("whsec_"),
        proof_signature,
        headers["x-amz-security-token"].as_str().unwrap(),
        &webhook_signature,
    ] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test]
async fn public_routes_are_two() {
    let world = TestConsole::new().await;
    let public = || hawser_console::routes::public(world.console.clone());
    use tower::ServiceExt;
    for (request, status) in [
        (Request::get("/healthz"), 200),
        (Request::get("/api/v1/connections"), 404),
        (Request::post("/api/v1/launches"), 404),
        (Request::get("/notices"), 405),
    ] {
        let answer = public().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

/// F-9: a stack in each of two Regions of one account, each with its own launch: both connect, and each is a connection of its own.
#[tokio::test]
async fn an_account_may_have_a_stack_in_every_region() {
    let world = TestConsole::new().await;
    let mut stacks = Vec::new();
    for (at, region) in [(0, "eu-west-1"), (60, "us-east-1"), (120, "ap-southeast-2")] {
        let stack = world.stack(&format!("51af3dc{at}")).await;
        let stack = Stack { connection_name: region.to_owned(), stack_id: stack.stack_id.replace(REGION, region), ..stack };
        let (status, answer) = world.notify(&stack, "established", at).await;
        assert_eq!((status, &answer["message"]), (200, &json!("connected")), "{region}: {answer}");
        stacks.push(stack);
    }
    let states = |connections: &[serde_json::Value]| connections.iter().map(|c| c["state"].clone()).collect::<Vec<_>>();
    assert_eq!(states(&world.connections().await), ["announced", "announced", "announced"]);
    assert_eq!(world.notify(&stacks[1], "removed", 180).await.0, 200);
    assert_eq!(states(&world.connections().await), ["announced", "removed", "announced"]);
}

/// F-9: the same launch in every Region, as a StackSet passes it on: one stack gets it, and every other is told why it does not, in
/// words that say what to do. Nothing of that reaches the first one.
#[tokio::test]
async fn one_launch_in_every_region_connects_one_stack_and_refuses_the_others() {
    let world = TestConsole::new().await;
    let first = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&first, "established", 0).await.0, 200);
    let before = world.connections().await;
    for region in ["us-east-1", "ap-southeast-2"] {
        let other = Stack { stack_id: first.stack_id.replace(REGION, region), ..first.clone() };
        let (status, body) = world.notify(&other, "established", 60).await;
        assert_eq!((status, code(&body)), (403, "launch-used"), "{body}");
        assert!(body["detail"].as_str().unwrap().contains("ask the vendor for a new one, each connects one stack"), "{body}");
        assert_eq!(world.notify(&other, "removed", 70).await.0, 404);
    }
    assert_eq!(world.connections().await, before);
}

/// `removed` counts for the resource that described the connection last: another one of the same stack was replaced, or never was it.
#[tokio::test]
async fn a_removal_counts_for_the_resource_that_describes_the_connection() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let send = async |kind: &str, resource: &str, seconds: i64| {
        let at = NOW + Duration::seconds(seconds);
        let mut event = stack.event(kind, at);
        event["data"]["resource"] = json!(resource);
        world.set_clock(at);
        let (status, body) = world.post(stack.send(event, at)).await;
        let state = world.connections().await.first().map(|one| one["state"].as_str().unwrap().to_owned());
        (status, body["message"].as_str().unwrap_or_default().to_owned(), state.unwrap_or_default())
    };
    // Before anything is known, a removal is remembered for its own resource.
    assert_eq!(send("removed", "old", 5).await.0, 404);
    assert_eq!(send("established", "new", 1).await, (200, "connected".to_owned(), "announced".to_owned()));
    let ignored = "ignored: another resource of this stack describes the connection".to_owned();
    assert_eq!(send("removed", "old", 10).await, (200, ignored, "announced".to_owned()));
    assert_eq!(send("updated", "newer", 11).await.2, "announced");
    assert_eq!(send("removed", "new", 12).await.2, "announced");
    assert_eq!(send("removed", "newer", 13).await, (200, "disconnected".to_owned(), "removed".to_owned()));
}

/// A notice of a type to come: verified like the others, answered, and nothing is stored of it.
#[tokio::test]
async fn an_unknown_type_is_ignored_once_it_is_proven() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for times in 1..=2 {
        let (status, body) = world.notify(&stack, "rotated", 0).await;
        assert_eq!((status, &body["connectionId"]), (200, &json!("")), "{body}");
        assert_eq!(world.sts.calls(), times);
    }
    assert_eq!(world.connections().await, Vec::<Value>::new());
    // It binds no launch.
    let other = Stack { stack_id: stack.stack_id.replace("51af3dc0", "51af3dc1"), ..stack.clone() };
    assert_eq!(world.notify(&other, "established", 1).await.0, 200);
    let (status, body) = world.notify(&stack, "rotated", 2).await;
    assert_eq!((status, code(&body)), (403, "launch-used"));
    // Unproven, it is refused.
    world.sts.behave(Behaviour::Fixed(403, "text/xml", error_xml("ExpiredToken")));
    let (status, body) = world.notify(&other, "rotated", 3).await;
    assert_eq!((status, code(&body)), (403, "sts-refused"));
}
