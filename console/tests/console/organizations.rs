//! One launch for the accounts of an organization: a roll-out by StackSet has one set of parameters.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{ACCOUNT, NOW, OTHER_ACCOUNT, Stack, TestConsole, code};

const ORGANIZATION: &str = "o-exampleorgid";
const THIRD_ACCOUNT: &str = "777788889999";
const HOUR: i64 = 3600;

/// A stack of a roll-out, and what it says of its organization.
struct Rollout {
    launch: Value,
    stated: Value,
}

impl Rollout {
    async fn of(world: &TestConsole, organization: Value, hours: u32) -> Self {
        let order = json!({"organization": organization, "expiresInHours": hours}).to_string();
        let request = Request::post("/launches").header("content-type", "application/json").body(Body::from(order)).unwrap();
        let (status, launch) = world.operate(request).await;
        assert_eq!(status, 201, "{launch}");
        Self { launch, stated: facts(ORGANIZATION, ACCOUNT) }
    }

    fn in_organization(&self, id: &str, management_account: &str) -> Self {
        Self { launch: self.launch.clone(), stated: facts(id, management_account) }
    }

    async fn stack(&self, world: &TestConsole, account: &str, uuid: &str) -> Stack {
        let text = |name: &str| self.launch[name].as_str().unwrap().to_owned();
        Stack {
            account: account.to_owned(),
            stack_id: format!("arn:aws:cloudformation:eu-west-1:{account}:stack/StackSet-hawser-members/{uuid}"),
            token: text("token"),
            external_id: text("externalId"),
            ..world.stack(uuid).await
        }
    }

    /// A good notice `hours` after the start.
    async fn notify(&self, world: &TestConsole, stack: &Stack, kind: &str, hours: i64) -> (u16, Value) {
        let at = NOW + Duration::seconds(hours * HOUR);
        world.set_clock(at);
        let mut event = stack.event(kind, at);
        event["data"]["organization"] = self.stated.clone();
        world.post(stack.send(event, at)).await
    }
}

fn facts(id: &str, management_account: &str) -> Value {
    json!({"accountRole": "member", "managementAccountId": management_account, "organizationId": id, "featureSet": "ALL"})
}

async fn states(world: &TestConsole) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    world.connections().await.iter().map(|one| (text(&one["data"]["accountId"]), text(&one["state"]))).collect()
}

#[tokio::test]
async fn each_account_of_an_organization_is_connected_once() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, json!({}), 24).await;
    assert_eq!(rollout.launch["organization"], json!({"organizationId": null, "managementAccountId": null}));
    for (account, uuid) in [(ACCOUNT, "a1"), (OTHER_ACCOUNT, "b1"), (THIRD_ACCOUNT, "c1")] {
        let stack = rollout.stack(&world, account, uuid).await;
        assert_eq!(rollout.notify(&world, &stack, "established", 0).await.0, 200, "{account}");
        assert_eq!(rollout.notify(&world, &stack, "updated", 1).await.0, 200, "{account}");
    }
    let connected = |account: &str| (account.to_owned(), "connected".to_owned());
    assert_eq!(states(&world).await, [ACCOUNT, OTHER_ACCOUNT, THIRD_ACCOUNT].map(connected));
    for connection in world.connections().await {
        assert_eq!(connection["launchId"], rollout.launch["launchId"]);
    }
    // A second stack in one of them, for example in another Region (F-9).
    let second = rollout.stack(&world, OTHER_ACCOUNT, "b2").await;
    let (status, problem) = rollout.notify(&world, &second, "established", 2).await;
    assert_eq!((status, code(&problem)), (403, "launch-used-in-account"));
    // It is nobody's, so its rollback removes nothing; the first one's updates still count.
    let (status, problem) = rollout.notify(&world, &second, "removed", 2).await;
    assert_eq!((status, code(&problem)), (404, "connection-unknown"));
    let first = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &first, "updated", 3).await.0, 200);
    assert_eq!(states(&world).await, [ACCOUNT, OTHER_ACCOUNT, THIRD_ACCOUNT].map(connected));
}

/// An account that leaves its organizational unit and comes back gets another stack from the same StackSet (F-12).
#[tokio::test]
async fn an_account_that_was_removed_may_come_back() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, json!({}), 24).await;
    let first = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &first, "established", 0).await.0, 200);
    assert_eq!(rollout.notify(&world, &first, "removed", 1).await.0, 200);
    let second = rollout.stack(&world, OTHER_ACCOUNT, "b2").await;
    assert_eq!(rollout.notify(&world, &second, "established", 2).await.0, 200);
    let state = |state: &str| (OTHER_ACCOUNT.to_owned(), state.to_owned());
    assert_eq!(states(&world).await, [state("removed"), state("connected")]);
    // From then on the launch is the second one's.
    let (status, problem) = rollout.notify(&world, &first, "updated", 3).await;
    assert_eq!((status, code(&problem)), (403, "launch-used-in-account"));
    assert_eq!(rollout.notify(&world, &second, "removed", 4).await.0, 200);
    assert_eq!(states(&world).await, [state("removed"), state("removed")]);
}

#[tokio::test]
async fn other_organizations_are_refused() {
    let world = TestConsole::new().await;
    for (known, name) in [
        (json!({"organizationId": ORGANIZATION}), "its id"),
        (json!({"managementAccountId": ACCOUNT}), "its management account"),
        (json!({}), "its first stack"),
    ] {
        let rollout = Rollout::of(&world, known.clone(), 24).await;
        let uuid = |n: usize| format!("{n}{}", name.replace(' ', "-"));
        if known == json!({}) {
            let first = rollout.stack(&world, THIRD_ACCOUNT, &uuid(0)).await;
            assert_eq!(rollout.notify(&world, &first, "established", 0).await.0, 200);
        }
        let stranger = rollout.stack(&world, OTHER_ACCOUNT, &uuid(1)).await;
        let other = rollout.in_organization("o-anotherorgid", OTHER_ACCOUNT);
        let calls = world.sts.calls();
        let (status, problem) = other.notify(&world, &stranger, "established", 0).await;
        assert_eq!((status, code(&problem)), (403, "launch-of-other-organization"), "{name}");
        let outside = rollout.in_organization("", "");
        let (status, problem) = outside.notify(&world, &stranger, "established", 0).await;
        assert_eq!((status, code(&problem)), (403, "launch-outside-organization"), "{name}");
        assert_eq!(world.sts.calls(), calls, "{name}: STS was asked");
        assert_eq!(rollout.notify(&world, &stranger, "established", 0).await.0, 200, "{name}");
        // Once connected, the account stays so wherever it goes, and can always say that it leaves.
        assert_eq!(other.notify(&world, &stranger, "updated", 1).await.0, 200, "{name}");
        assert_eq!(outside.notify(&world, &stranger, "removed", 2).await.0, 200, "{name}");
    }
}

/// What one management account paid for, another one cannot take over by the same organization id.
#[tokio::test]
async fn the_first_stack_says_which_organization_it_is() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, json!({"organizationId": ORGANIZATION}), 24).await;
    let first = rollout.stack(&world, ACCOUNT, "a1").await;
    assert_eq!(rollout.notify(&world, &first, "established", 0).await.0, 200);
    let second = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    let lying = rollout.in_organization(ORGANIZATION, OTHER_ACCOUNT);
    let (status, problem) = lying.notify(&world, &second, "established", 0).await;
    assert_eq!((status, code(&problem)), (403, "launch-of-other-organization"));
}

#[tokio::test]
async fn accounts_may_join_until_the_launch_expires() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, json!({}), 8784).await;
    let first = rollout.stack(&world, ACCOUNT, "a1").await;
    assert_eq!(rollout.notify(&world, &first, "established", 0).await.0, 200);
    let late = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &late, "established", 8783).await.0, 200);
    let (status, problem) = {
        let too_late = rollout.stack(&world, THIRD_ACCOUNT, "c1").await;
        rollout.notify(&world, &too_late, "established", 8784).await
    };
    assert_eq!((status, code(&problem)), (403, "launch-expired"));
    // What is connected stays so.
    assert_eq!(rollout.notify(&world, &late, "updated", 9000).await.0, 200);
}

/// A stack without its external ID in hand, whose Create was never heard: the launch is found by the stack.
#[tokio::test]
async fn a_removal_without_external_id_finds_the_launch() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, json!({}), 24).await;
    let stack = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &stack, "established", 0).await.0, 200);
    let nameless = Stack { external_id: String::new(), ..stack };
    assert_eq!(rollout.notify(&world, &nameless, "removed", 1).await.0, 200);
    assert_eq!(states(&world).await, [(OTHER_ACCOUNT.to_owned(), "removed".to_owned())]);
}

#[tokio::test]
async fn bad_orders() {
    let world = TestConsole::new().await;
    for (body, expected) in [
        ("{\"organization\":{},\"accountId\":\"111122223333\"}", 422),
        ("{\"organization\":{\"organizationId\":\"r-root\"}}", 422),
        ("{\"organization\":{\"managementAccountId\":\"o-exampleorgid\"}}", 422),
        ("{\"organization\":{},\"expiresInHours\":8785}", 422),
        ("{\"organization\":true}", 400),
        ("{\"organization\":{\"id\":\"o-exampleorgid\"}}", 400),
    ] {
        let request = Request::post("/launches").header("content-type", "application/json").body(Body::from(body)).unwrap();
        let (status, problem) = world.operate(request).await;
        assert_eq!(status, expected, "{body}: {problem}");
    }
}

/// An account moves between two looks, and its stack is not updated: the status tells, and the operator sees it.
#[tokio::test]
async fn a_changed_organization_is_seen() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    let before = stack.event("established", NOW)["data"]["organization"].clone();
    let standalone = json!({"accountRole": "standalone", "managementAccountId": "", "organizationId": "", "featureSet": ""});
    let unknown = json!({"accountRole": "unknown", "managementAccountId": "", "organizationId": "", "featureSet": ""});
    let send = async |organization: &Value, hours: i64| {
        let at = NOW + Duration::hours(hours);
        world.set_clock(at);
        let mut event = stack.status_event("delivered", at);
        event["data"]["organization"] = organization.clone();
        let (status, body) = world.post(stack.send(event, at)).await;
        assert_eq!(status, 200, "{body}");
        let connection = world.connections().await.remove(0);
        (body["message"].as_str().unwrap().to_owned(), connection["organizationChange"].clone())
    };
    assert_eq!(send(&before, 6).await, ("stored".to_owned(), json!(null)));
    // What nobody could see is no change.
    assert_eq!(send(&unknown, 12).await.1, json!(null));
    assert_eq!(send(&before, 18).await.1, json!(null));
    let change = json!({"before": before, "at": "2026-11-23T10:00:00Z"});
    let reported = "stored; the account's place in its organization has changed".to_owned();
    assert_eq!(send(&standalone, 24).await, (reported, change.clone()));
    // It is remembered, also by an update that says the same.
    assert_eq!(send(&standalone, 30).await, ("stored".to_owned(), change));
    // The same heartbeat, run again after another move, is the same heartbeat.
    let at = NOW + Duration::hours(30);
    let mut again = stack.status_event("delivered", at);
    again["data"]["organization"] = before.clone();
    let (status, body) = world.post(stack.send(again, at)).await;
    assert_eq!((status, &body["message"]), (200, &json!("stored")));
}
