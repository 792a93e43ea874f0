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
    async fn of(world: &TestConsole, hours: u32) -> Self {
        let organization = json!({"organizationId": ORGANIZATION, "managementAccountId": ACCOUNT});
        let order = json!({"customerId": "acme", "organization": organization, "expiresInHours": hours}).to_string();
        let request =
            Request::post("/api/v1/launches").header("content-type", "application/json").body(Body::from(order)).unwrap();
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
            stack_id: format!("arn:aws:cloudformation:eu-west-1:{account}:stack/hawser/{uuid}"),
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
    let rollout = Rollout::of(&world, 24).await;
    assert_eq!(rollout.launch["organization"], json!({"organizationId": ORGANIZATION, "managementAccountId": ACCOUNT}));
    for (account, uuid) in [(ACCOUNT, "a1"), (OTHER_ACCOUNT, "b1"), (THIRD_ACCOUNT, "c1")] {
        let stack = rollout.stack(&world, account, uuid).await;
        assert_eq!(rollout.notify(&world, &stack, "established", 0).await.0, 200, "{account}");
        assert_eq!(rollout.notify(&world, &stack, "updated", 1).await.0, 200, "{account}");
    }
    let connected = |account: &str| (account.to_owned(), "announced".to_owned());
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
    let rollout = Rollout::of(&world, 24).await;
    let first = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &first, "established", 0).await.0, 200);
    assert_eq!(rollout.notify(&world, &first, "removed", 1).await.0, 200);
    let second = rollout.stack(&world, OTHER_ACCOUNT, "b2").await;
    assert_eq!(rollout.notify(&world, &second, "established", 2).await.0, 200);
    let state = |state: &str| (OTHER_ACCOUNT.to_owned(), state.to_owned());
    assert_eq!(states(&world).await, [state("removed"), state("announced")]);
    // From then on the launch is the second one's.
    let (status, problem) = rollout.notify(&world, &first, "updated", 3).await;
    assert_eq!((status, code(&problem)), (410, "connection-removed"));
    assert_eq!(rollout.notify(&world, &second, "removed", 4).await.0, 200);
    assert_eq!(states(&world).await, [state("removed"), state("removed")]);
}

/// A roll-out goes over to a new launch, and one of its stacks is rolled back: the others still go over.
#[tokio::test]
async fn one_rollback_stops_no_roll_out() {
    let world = TestConsole::new().await;
    let (old, new) = (Rollout::of(&world, 240).await, Rollout::of(&world, 240).await);
    let send = async |rollout: &Rollout, account: &str, uuid: &str, kind: &str, hours: i64| {
        let stack = rollout.stack(&world, account, uuid).await;
        let (status, body) = rollout.notify(&world, &stack, kind, hours).await;
        (status, code(&body).to_owned())
    };
    let (ok, replaced) = ((200, String::new()), (403, "launch-replaced".to_owned()));
    for (account, uuid) in [(ACCOUNT, "a1"), (OTHER_ACCOUNT, "b1"), (THIRD_ACCOUNT, "c1")] {
        assert_eq!(send(&old, account, uuid, "established", 0).await, ok, "{account}");
    }
    assert_eq!(send(&new, ACCOUNT, "a1", "updated", 1).await, ok);
    assert_eq!(send(&old, ACCOUNT, "a1", "updated", 2).await, ok);
    assert_eq!(send(&new, OTHER_ACCOUNT, "b1", "updated", 3).await, ok);
    // The earlier launch connects no new account, whoever is still updated with it.
    assert_eq!(send(&old, THIRD_ACCOUNT, "c1", "updated", 4).await, ok);
    assert_eq!(send(&old, "555566667777", "d1", "established", 5).await, replaced);
    assert_eq!(send(&new, "555566667777", "d1", "established", 6).await, ok);
}

/// Once the whole roll-out is rolled back, its launch connects accounts that join later.
#[tokio::test]
async fn a_roll_out_that_was_rolled_back_goes_on() {
    let world = TestConsole::new().await;
    let (old, new) = (Rollout::of(&world, 240).await, Rollout::of(&world, 240).await);
    for (rollout, kind, hours) in [(&old, "established", 0), (&new, "updated", 1), (&old, "updated", 2)] {
        let stack = rollout.stack(&world, ACCOUNT, "a1").await;
        assert_eq!(rollout.notify(&world, &stack, kind, hours).await.0, 200, "{kind} at {hours}");
    }
    let joined = old.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(old.notify(&world, &joined, "established", 3).await.0, 200);
}

/// An account whose update was rolled back is deleted and created again by the StackSet, with the newer launch.
#[tokio::test]
async fn a_rolled_back_account_may_be_added_again() {
    let world = TestConsole::new().await;
    let (old, new) = (Rollout::of(&world, 240).await, Rollout::of(&world, 240).await);
    let ok = async |rollout: &Rollout, uuid: &str, kind: &str, hours: i64| {
        let stack = rollout.stack(&world, ACCOUNT, uuid).await;
        let (status, body) = rollout.notify(&world, &stack, kind, hours).await;
        assert_eq!(status, 200, "{uuid} {kind}: {body}");
    };
    for (rollout, kind, hours) in [(&old, "established", 0), (&new, "updated", 1), (&old, "updated", 2), (&old, "removed", 3)] {
        ok(rollout, "a1", kind, hours).await;
    }
    ok(&new, "a2", "established", 4).await;
}

async fn waiting(world: &TestConsole) -> Vec<Value> {
    let request = Request::get("/api/v1/connections?state=unconfirmed").body(Body::empty()).unwrap();
    world.operate(request).await.1["items"].as_array().unwrap().clone()
}

/// Accounts that state another organization, or none, wait: nobody assumes their role, they take over nothing, and they stand in a list
/// of their own.
#[tokio::test]
async fn accounts_of_other_organizations_wait() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, 24).await;
    for (at, (id, management_account)) in
        [("o-anotherorgid", OTHER_ACCOUNT), (ORGANIZATION, OTHER_ACCOUNT), ("o-anotherorgid", ACCOUNT), ("", "")]
            .into_iter()
            .enumerate()
    {
        let account = format!("55556666777{at}");
        let stranger = rollout.stack(&world, &account, &format!("b{at}")).await;
        let lying = rollout.in_organization(id, management_account);
        let (status, answer) = lying.notify(&world, &stranger, "established", 0).await;
        assert_eq!(status, 200);
        assert!(answer["message"].as_str().unwrap().starts_with("stored; this account waits"), "{answer}");
        world.confirm(&stranger).await;
        assert_eq!(states(&world).await, []);
        let all = waiting(&world).await;
        assert_eq!((all.len(), &all[at]["state"]), (at + 1, &json!("unconfirmed")));
    }
    assert_eq!(world.stacks.questions.lock().unwrap().len(), 0, "a role of an account that waits was assumed");
    // What it states later counts, and what it says when it goes.
    let moved = rollout.stack(&world, "555566667770", "b0").await;
    assert_eq!(rollout.notify(&world, &moved, "updated", 1).await.0, 200);
    assert_eq!(states(&world).await, [("555566667770".to_owned(), "announced".to_owned())]);
    // Once it is one of the organization, it stays so wherever it goes.
    assert_eq!(rollout.in_organization("", "").notify(&world, &moved, "updated", 2).await.0, 200);
    assert_eq!(states(&world).await[0].1, "announced");
    // The others are dropped after a week, and the launch is free for their accounts again.
    world.set_clock(NOW + Duration::days(8));
    world.ask_aws().await;
    assert_eq!((waiting(&world).await.len(), states(&world).await.len()), (0, 1));
}

/// S14: somebody with the token of a roll-out fills no list, and keeps no account of the organization out.
#[tokio::test]
async fn a_hundred_accounts_may_wait() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, 24).await;
    let outside = rollout.in_organization("o-anotherorgid", OTHER_ACCOUNT);
    for number in 0..=100 {
        let stranger = rollout.stack(&world, &format!("{number:012}"), &format!("b{number}")).await;
        let (status, body) = outside.notify(&world, &stranger, "established", 0).await;
        let expected = if number < 100 { (200, "") } else { (403, "launch-of-other-organization") };
        assert_eq!((status, code(&body)), expected, "{number}");
    }
    let member = rollout.stack(&world, THIRD_ACCOUNT, "c1").await;
    assert_eq!(rollout.notify(&world, &member, "established", 0).await.0, 200);
    assert_eq!(states(&world).await, [(THIRD_ACCOUNT.to_owned(), "announced".to_owned())]);
}

#[tokio::test]
async fn accounts_may_join_until_the_launch_expires() {
    let world = TestConsole::new().await;
    let rollout = Rollout::of(&world, 8784).await;
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
    let rollout = Rollout::of(&world, 24).await;
    let stack = rollout.stack(&world, OTHER_ACCOUNT, "b1").await;
    assert_eq!(rollout.notify(&world, &stack, "established", 0).await.0, 200);
    let nameless = Stack { external_id: String::new(), ..stack };
    assert_eq!(rollout.notify(&world, &nameless, "removed", 1).await.0, 200);
    assert_eq!(states(&world).await, [(OTHER_ACCOUNT.to_owned(), "removed".to_owned())]);
}

#[tokio::test]
async fn bad_orders() {
    let world = TestConsole::new().await;
    let both = "\"organizationId\":\"o-exampleorgid\",\"managementAccountId\":\"111122223333\"";
    for (body, expected) in [
        (format!("\"organization\":{{{both}}},\"accountId\":\"111122223333\""), 422),
        ("\"organization\":{\"organizationId\":\"r-root\",\"managementAccountId\":\"111122223333\"}".to_owned(), 422),
        ("\"organization\":{\"organizationId\":\"o-exampleorgid\",\"managementAccountId\":\"o-exampleorgid\"}".to_owned(), 422),
        (format!("\"organization\":{{{both}}},\"expiresInHours\":8785"), 422),
        ("\"organization\":{}".to_owned(), 422),
        ("\"organization\":{\"organizationId\":\"o-exampleorgid\"}".to_owned(), 422),
        ("\"organization\":{\"managementAccountId\":\"111122223333\"}".to_owned(), 422),
        ("\"organization\":true".to_owned(), 422),
        ("\"organization\":{\"id\":\"o-exampleorgid\"}".to_owned(), 422),
    ] {
        let body = format!("{{\"customerId\":\"acme\",{body}}}");
        let request =
            Request::post("/api/v1/launches").header("content-type", "application/json").body(Body::from(body.clone())).unwrap();
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
