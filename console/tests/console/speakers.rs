//! F-60: nobody but a stack's own handler speaks for it, and no customer for another.

use hawser_console::{
    access::Access,
    confirm::{Outcome, Resources},
    job::{CONCURRENT_MAX, Kind as JobKind},
    launch::{Audience, Entropy, Launch, Terms},
    notice::Hint,
    problem::{Problem, ProblemCode},
    speaker::Way,
};
use serde_json::{Value, json};
use time::Duration;

use crate::support::{HANDLER_ROLE, NOW, Open, Principal, Stack, TestConsole, VENDOR_ROLE, code, resources, terms};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

async fn states(world: &TestConsole) -> Vec<String> {
    world.connections().await.iter().map(|connection| connection["state"].as_str().unwrap().to_owned()).collect()
}

async fn assert_refused(world: &TestConsole, stack: &Stack, kind: &str, seconds: i64, expected: (u16, &str)) {
    let (status, body) = world.notify(stack, kind, seconds).await;
    assert_eq!((status, code(&body)), expected, "{kind} by {:?}: {body}", stack.principal);
}

/// A launch with a change of its terms, and a stack deployed from it.
async fn stack_of(world: &TestConsole, uuid: &str, change: impl FnOnce(&mut hawser_console::launch::Terms)) -> (Launch, Stack) {
    let launch = world.launch_with(change).await;
    let stack = Stack::new(&launch, uuid, &world.sts.url);
    (launch, stack)
}

/// A connection that AWS has confirmed.
async fn connected(world: &TestConsole, uuid: &str) -> Stack {
    let stack = world.stack(uuid).await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    world.confirm(&stack).await;
    stack
}

/// F-60: whoever may read the stack's parameters has the token, and some identity in the account.
#[tokio::test]
async fn other_principals_of_the_account_cannot_speak() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let before = world.connections().await;
    for principal in [Principal::VendorB, Principal::Namesake, Principal::User, Principal::Root, Principal::Federated] {
        let expected = if [Principal::Root, Principal::Federated].contains(&principal) { "identity-mismatch" } else { "speaker" };
        let mut seconds = 60;
        for kind in ["established", "alive", "removed"] {
            assert_refused(&world, &stack.by(principal), kind, seconds, (403, expected)).await;
            seconds += 1;
        }
        let (status, body) = world.notify_status(&stack.by(principal), "delivered", seconds).await;
        assert_eq!((status, code(&body)), (403, expected), "{principal:?}: {body}");
        // A role made by the name of the stack's own could be its next one: that one waits for AWS's word.
        if principal != Principal::Namesake {
            assert_refused(&world, &stack.by(principal), "updated", seconds + 1, (403, expected)).await;
        }
        assert_eq!(world.connections().await, before, "{principal:?}");
    }
    // The pinned role's word is its word, whoever runs the session; AWS confirmed the function.
    assert_eq!(world.notify(&stack.by(Principal::Assumed), "updated", 100).await.0, 200);
}

/// F-61: AWS vouches for another principal of the account, and is not asked about it again and again.
#[tokio::test]
async fn another_principal_is_soon_no_more_asked_about() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for attempt in 0..5 {
        assert_refused(&world, &stack.by(Principal::VendorB), "established", attempt, (403, "speaker")).await;
    }
    assert_refused(&world, &stack.by(Principal::VendorB), "established", 5, (429, "too-many-bad-proofs")).await;
    assert_eq!(world.sts.calls(), 5);
    // The stack's own role has an access key of its own.
    assert_eq!(world.notify(&stack, "established", 6).await.0, 200);
}

/// F-60: an invented stack, before the customer's own has spoken: the launch is not used up.
#[tokio::test]
async fn other_principals_of_the_account_cannot_begin() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let mut seconds = 0;
    for principal in [Principal::VendorB, Principal::User] {
        for name in ["hawser", "vendor-b", "invented"] {
            let invented = Stack { stack_id: stack.stack_id.replace("/hawser/", &format!("/{name}/")), ..stack.by(principal) };
            for kind in ["established", "updated", "removed"] {
                assert_refused(&world, &invented, kind, seconds, (403, "speaker")).await;
                // More of them at once, and AWS is not asked any more.
                seconds += 10;
            }
        }
    }
    assert_eq!(world.notify(&stack, "established", seconds).await.0, 200);
}

/// F-60: a template that names the role needs a launch that allows the name.
#[tokio::test]
async fn an_operator_allows_one_other_name() {
    let world = TestConsole::new().await;
    let (_, stack) = stack_of(&world, "51af3dc0", |terms| terms.handler_role_name = Some(HANDLER_ROLE.to_owned())).await;
    let elsewhere = Stack { stack_id: stack.stack_id.replace("/hawser/", "/another/"), ..stack };
    assert_refused(&world, &elsewhere.by(Principal::VendorB), "established", 0, (403, "speaker")).await;
    assert_eq!(world.notify(&elsewhere, "established", 0).await.0, 200);
}

/// F-60: `direct` takes a launch that was made for it, is that principal's, and a connection never changes its way.
#[tokio::test]
async fn ways() {
    let world = TestConsole::new().await;
    let (_, stack) = stack_of(&world, "51af3dc0", |_| {}).await;
    let (_, direct) = stack_of(&world, "51af3dc1", |terms| terms.ways = [Way::Direct].into()).await;
    let (_, both) = stack_of(&world, "51af3dc2", |terms| terms.ways = Way::ALL.into()).await;
    let send = async |stack: &Stack, kind: &str, way: &str, seconds: i64| {
        let mut event = stack.event(kind, NOW + Duration::seconds(seconds));
        event["data"]["way"] = json!(way);
        world.set_clock(NOW + Duration::seconds(seconds));
        let (status, body) = world.post(stack.send(event, world.now())).await;
        (status, code(&body).to_owned())
    };
    let (ok, refused) = ((200, String::new()), |code: &str| (403, code.to_owned()));
    let person = direct.by(Principal::User);
    assert_eq!(send(&stack.by(Principal::User), "established", "direct", 0).await, refused("way"));
    assert_eq!(send(&direct, "established", "stack", 0).await, refused("way"));
    // What nobody knows has the strict rules.
    assert_eq!(send(&direct, "established", "pipeline", 0).await, refused("way"));
    assert_eq!(send(&person, "established", "direct", 1).await, ok);
    for (at, other) in [Principal::VendorB, Principal::Handler].into_iter().enumerate() {
        let at = i64::try_from(at).unwrap();
        for (kind, seconds) in [("updated", 10), ("removed", 20), ("established", 30)] {
            assert_eq!(send(&direct.by(other), kind, "direct", seconds + at).await, refused("speaker"), "{kind} by {other:?}");
        }
    }
    assert_eq!(send(&person, "updated", "direct", 40).await, ok);
    assert_eq!(send(&both, "established", "stack", 41).await, ok);
    assert_eq!(send(&both, "updated", "direct", 42).await, refused("way"));
    assert_eq!(send(&both.by(Principal::User), "updated", "direct", 43).await, refused("way"));
    let ways: Vec<Value> = world.connections().await.iter().map(|connection| connection["way"].clone()).collect();
    assert_eq!(ways, ["direct", "stack"]);
}

/// A removal is final after a quarter of an hour; until then a Create that it overtook may come, and changes nothing.
#[tokio::test]
async fn what_was_removed_stays_so() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    assert_eq!(world.notify(&stack, "removed", HOUR).await.0, 200);
    assert_eq!(world.notify(&stack, "updated", HOUR - 1).await.0, 200);
    assert_eq!(states(&world).await, ["removed"]);
    let seconds = HOUR + 15 * MINUTE;
    // Told again, it is no later removal.
    assert_eq!(world.notify(&stack, "removed", seconds - 1).await.0, 200);
    for kind in ["established", "updated"] {
        assert_refused(&world, &stack, kind, seconds, (410, "connection-removed")).await;
        assert_refused(&world, &stack.by(Principal::VendorB), kind, seconds, (410, "connection-removed")).await;
    }
    assert_refused(&world, &stack, "alive", seconds, (410, "status-of-removed")).await;
    // A new launch does not change that.
    let fresh = world.stack("51af3dc0").await;
    assert_refused(&world, &fresh, "established", seconds + 1, (410, "connection-removed")).await;
    assert_eq!(states(&world).await, ["removed"]);
}

/// A person may connect again: the one who did, or whoever has a new launch.
#[tokio::test]
async fn a_direct_connection_may_come_back() {
    let world = TestConsole::new().await;
    let direct = |terms: &mut hawser_console::launch::Terms| terms.ways = [Way::Direct].into();
    let (_, stack) = stack_of(&world, "51af3dc0", direct).await;
    let send = async |stack: &Stack, kind: &str, seconds: i64| {
        let mut event = stack.event(kind, NOW + Duration::seconds(seconds));
        event["data"]["way"] = json!("direct");
        world.set_clock(NOW + Duration::seconds(seconds));
        let (status, body) = world.post(stack.send(event, world.now())).await;
        (status, code(&body).to_owned())
    };
    let (anna, other) = (stack.by(Principal::User), stack.by(Principal::VendorB));
    assert_eq!(send(&anna, "established", 0).await.0, 200);
    assert_eq!(send(&anna, "removed", HOUR).await.0, 200);
    assert_eq!(send(&other, "established", 2 * HOUR).await, (403, "speaker".to_owned()));
    assert_eq!(send(&anna, "updated", 2 * HOUR).await, (410, "connection-removed".to_owned()));
    assert_eq!(send(&anna, "established", 2 * HOUR + 1).await.0, 200);
    assert_eq!(states(&world).await, ["announced"]);
    assert_eq!(send(&anna, "removed", 3 * HOUR).await.0, 200);
    let (_, fresh) = stack_of(&world, "51af3dc0", direct).await;
    assert_eq!(send(&fresh.by(Principal::VendorB), "established", 4 * HOUR).await.0, 200);
    assert_eq!(send(&fresh.by(Principal::User), "updated", 4 * HOUR + 1).await, (403, "speaker".to_owned()));
    assert_eq!(states(&world).await, ["announced"]);
}

/// Removals of stacks that nobody knows: sixteen a launch, for a day.
#[tokio::test]
async fn removals_of_unknown_stacks_are_bounded() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let of = |number: usize| Stack { stack_id: stack.stack_id.replace("51af3dc0", &format!("a{number}")), ..stack.clone() };
    for number in 0..20 {
        assert_refused(&world, &of(number), "removed", 10, (404, "connection-unknown")).await;
    }
    // Remembered: its Create comes too late.
    let remembered = "stored, but this stack has already been removed";
    assert_eq!(world.notify(&of(15), "established", 5).await.1["message"], remembered);
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    let of = |number: usize| Stack { stack_id: stack.stack_id.replace("51af3dc0", &format!("a{number}")), ..stack.clone() };
    for number in 0..20 {
        assert_refused(&world, &of(number), "removed", 10, (404, "connection-unknown")).await;
    }
    assert_eq!(world.notify(&of(16), "established", 5).await.1["message"], "connected");
    // After a day there is room again.
    let late = world.stack("51af3dc1").await;
    assert_refused(&world, &late, "removed", 10, (404, "connection-unknown")).await;
    world.set_clock(NOW + Duration::hours(23));
    world.ask_aws().await;
    assert_eq!(world.notify(&late, "established", 5).await.1["message"], remembered);
    let later = world.stack("51af3dc2").await;
    assert_refused(&world, &later, "removed", 10, (404, "connection-unknown")).await;
    world.set_clock(NOW + Duration::hours(48));
    world.ask_aws().await;
    assert_refused(&world, &later, "established", 5, (403, "launch-expired")).await;
}

/// F-60: a stack that is being created has no connection yet. Another principal of its account calls itself a person and removes what comes,
/// with the stack's own token, with one of its own, or with one for persons.
#[tokio::test]
async fn nobody_removes_what_is_being_created() {
    let world = TestConsole::new().await;
    let victim = world.stack("51af3dc0").await;
    let (_, others) = stack_of(&world, "51af3dc0", |terms| terms.customer_id = "other".parse().unwrap()).await;
    let (_, persons) = stack_of(&world, "51af3dc0", |terms| {
        terms.customer_id = "other".parse().unwrap();
        terms.ways = Way::ALL.into();
    })
    .await;
    for (launch, expected) in [(&victim, (403, "way")), (&others, (403, "way")), (&persons, (404, "connection-unknown"))] {
        for principal in [Principal::VendorB, Principal::User] {
            let at = NOW + Duration::minutes(4);
            let sender = launch.by(principal);
            let mut event = sender.event("removed", at);
            event["data"]["way"] = json!("direct");
            let (status, body) = world.post(sender.send(event, NOW)).await;
            assert_eq!((status, code(&body)), expected, "{principal:?}: {body}");
        }
    }
    assert_eq!(world.notify(&victim, "established", 1).await.1["message"], "connected");
    assert_eq!(states(&world).await, ["announced"]);
}

/// F-60: AWS confirms a connection by what its stack has, through the role and the external ID that we issued.
#[tokio::test]
async fn aws_confirms() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    let look = async |seconds: i64, answer: Result<Resources, Problem>| {
        world.set_clock(NOW + Duration::seconds(seconds));
        world.stacks.answer(&stack, answer);
        world.ask_aws().await;
        let connection = world.connections().await.remove(0);
        (
            connection["state"].as_str().unwrap().to_owned(),
            connection["problems"][0]["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let announced = |code: &str| ("announced".to_owned(), code.to_owned());
    let without = |name: &str| resources(HANDLER_ROLE).into_iter().filter(|(logical, _)| logical != name).collect::<Resources>();
    let with = |name: &str, id: &str| {
        let mut all = resources(HANDLER_ROLE);
        all.insert(name.to_owned(), id.to_owned());
        all
    };
    let mut seconds = 0;
    for (answer, expected) in [
        (Err(Problem::new(ProblemCode::NoCredentials, "")), "vendor-credentials-missing"),
        (Err(Problem::new(ProblemCode::RoleRefused, "`AccessDenied`")), "role-refused"),
        (Ok(with("HandlerRole", "another")), "stack-foreign"),
        (Ok(with("Handler", "another")), "stack-foreign"),
        (Ok(with("VendorRole", "another")), "stack-foreign"),
        (Ok(without("HandlerRole")), "stack-foreign"),
        (Ok(without("Handler")), "stack-foreign"),
        // A role of the customer's: then the connection has to be this one's.
        (Ok(without("VendorRole")), "stack-foreign"),
    ] {
        assert_eq!(look(seconds, answer).await, announced(expected));
        seconds += 15;
    }
    // A heartbeat counts all the same.
    assert_eq!(world.notify_status(&stack, "delivered", seconds).await.0, 200);
    let mut own = without("VendorRole");
    own.insert("Connection".to_owned(), stack.event("established", NOW)["data"]["resource"].as_str().unwrap().to_owned());
    assert_eq!(look(seconds + HOUR, Ok(own)).await, ("verified".to_owned(), String::new()));
    let question = world.stacks.questions.lock().unwrap().pop().unwrap();
    assert_eq!(question.external_id, stack.external_id);
    assert_eq!(question.stack.as_str(), stack.stack_id);
    // Another role in an update is to be confirmed again.
    let mut event = stack.event("updated", NOW + Duration::seconds(2 * HOUR));
    event["data"]["roleArn"] = json!(format!("{}X", event["data"]["roleArn"].as_str().unwrap()));
    world.set_clock(NOW + Duration::seconds(2 * HOUR));
    assert_eq!(world.post(stack.send(event, world.now())).await.0, 200);
    assert_eq!(look(2 * HOUR, Ok(resources(HANDLER_ROLE))).await, announced("stack-foreign"));
    // The words of AWS's refusal that we show are a code.
    assert!(!world.connections().await[0]["problems"].to_string().contains(&stack.external_id));
}

/// F-60: a changed path gives the stack another role. It counts once AWS confirms it, and the earlier one may take it back for a day.
#[tokio::test]
async fn a_changed_role_counts_when_aws_confirms_it() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = stack.by(Principal::NextHandler);
    let regions = async || world.connections().await.remove(0)["data"]["regions"].clone();
    let update = async |stack: &Stack, region: &str, seconds: i64| {
        let mut event = stack.event("updated", NOW + Duration::seconds(seconds));
        event["data"]["regions"] = json!([region]);
        world.set_clock(NOW + Duration::seconds(seconds));
        world.post(stack.send(event, world.now())).await
    };
    let before = regions().await;
    world.stacks.answer(&stack, Err(Problem::new(ProblemCode::Unavailable, "")));
    let (status, answer) = update(&next, "eu-north-1", HOUR).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("once AWS confirms"), "{answer}");
    world.ask_aws().await;
    // Until then it says nothing that counts, and removes nothing.
    assert_eq!(world.notify_status(&next, "delivered", HOUR + 1).await.0, 200);
    assert_refused(&world, &next, "removed", HOUR + 2, (403, "speaker")).await;
    let connection = world.connections().await.remove(0);
    assert_eq!(
        (&connection["state"], regions().await, &connection["billing"]["state"]),
        (&json!("verified"), before, &json!("unheard"))
    );
    assert!(connection["candidateArn"].as_str().unwrap().contains("hawser-HandlerRole-9Z8Y7X6W5V4U"));

    world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-9Z8Y7X6W5V4U")));
    world.set_clock(NOW + Duration::seconds(2 * HOUR));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], regions().await), (&json!("verified"), json!(["eu-north-1"])));
    assert!(connection["verifiedArn"].as_str().unwrap().contains("hawser-HandlerRole-9Z8Y7X6W5V4U"));
    assert_eq!(world.notify_status(&next, "delivered", 3 * HOUR).await.0, 200);

    // The update is rolled back within the day: the earlier role speaks, and the other one's word counts for a day in its turn.
    assert_eq!(update(&stack, "eu-west-3", 25 * HOUR).await.0, 200);
    assert_eq!(regions().await, json!(["eu-west-3"]));
    assert_eq!(update(&next, "eu-north-1", 26 * HOUR).await.0, 200);
    assert_eq!(regions().await, json!(["eu-north-1"]));
    // After it, only the last one.
    assert_refused(&world, &stack, "alive", 51 * HOUR, (403, "speaker")).await;
    assert_eq!(world.notify(&next, "removed", 52 * HOUR).await.0, 200);
    assert_eq!(states(&world).await, ["removed"]);
}

/// F-60: a role by the name of the stack's own, which the stack has not: AWS says so, and it is forgotten.
#[tokio::test]
async fn a_role_that_aws_does_not_confirm_never_counts() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = stack.by(Principal::NextHandler);
    let before = world.connections().await.remove(0)["data"].clone();
    assert_eq!(world.notify(&next, "updated", HOUR).await.0, 200);
    for attempt in 0..10 {
        world.set_clock(NOW + Duration::seconds(HOUR + attempt * 15));
        world.ask_aws().await;
    }
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["candidateArn"], &connection["data"]), (&json!(null), &before));
    // With the role that speaks nothing is wrong; that another one tried stands in the history.
    assert_eq!((&connection["state"], &connection["problems"]), (&json!("verified"), &json!([])));
    let path = format!("/api/v1/connections/{}/history", connection["connectionId"].as_str().unwrap());
    assert!(crate::api::get(&world, &path).await.1.to_string().contains("stack-foreign"));
    assert_eq!(world.notify(&stack, "alive", 2 * HOUR).await.0, 200);
}

/// A changed path gives the vendor's role another ARN, too.
fn moved_role(stack: &Stack) -> String {
    format!("arn:aws:iam::{}:role/moved/{VENDOR_ROLE}", stack.account)
}

/// The stack's update under a changed path.
async fn move_roles(world: &TestConsole, next: &Stack, seconds: i64) {
    let at = NOW + Duration::seconds(seconds);
    let mut event = next.event("updated", at);
    event["data"]["roleArn"] = json!(moved_role(next));
    world.set_clock(at);
    let (status, answer) = world.post(next.send(event, at)).await;
    assert_eq!(status, 200, "{answer}");
}

/// AWS is asked as often as it takes to give up.
async fn ask_until_given_up(world: &TestConsole, seconds: i64) {
    for attempt in 0..10 {
        world.set_clock(NOW + Duration::seconds(seconds + attempt * 15));
        world.ask_aws().await;
    }
}

/// F-60: the update that changed the path is rolled back: the role that it made is the stack's no more.
#[tokio::test]
async fn a_rolled_back_role_is_forgotten() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = stack.by(Principal::NextHandler);
    let candidate = async || world.connections().await.remove(0)["candidateArn"].is_string();
    move_roles(&world, &next, HOUR).await;
    world.stacks.refuse(&moved_role(&stack));
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["problems"][0]["code"], "role-refused");
    // Neither a heartbeat nor a late word of before says that it was rolled back.
    assert_eq!(world.notify(&stack, "alive", HOUR + 5).await.0, 200);
    assert_eq!(world.notify(&stack, "updated", HOUR - 5).await.0, 200);
    assert!(candidate().await);
    assert_eq!(world.notify(&stack, "updated", HOUR + 10).await.0, 200);
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["candidateArn"], &connection["problems"]), (&json!(null), &json!([])));
    world.ask_aws().await;
    assert_eq!(states(&world).await, ["verified"]);
    assert_refused(&world, &next, "alive", HOUR + 20, (403, "speaker")).await;
    // Its update comes late: it was overtaken by its rollback.
    assert_eq!(world.notify(&next, "updated", HOUR + 8).await.0, 200);
    assert!(!candidate().await);
}

/// F-60: the notice of the rollback was lost, and AWS says whose the stack is.
#[tokio::test]
async fn a_lost_rollback_is_found_out() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = stack.by(Principal::NextHandler);
    move_roles(&world, &next, HOUR).await;
    world.stacks.refuse(&moved_role(&stack));
    ask_until_given_up(&world, HOUR).await;
    let connection = world.connections().await.remove(0);
    assert_eq!(
        (&connection["candidateArn"], &connection["problems"], &connection["state"]),
        (&json!(null), &json!([]), &json!("verified"))
    );
    let asked = world.stacks.questions.lock().unwrap().last().unwrap().role.as_str().to_owned();
    assert_eq!(json!(asked), connection["data"]["roleArn"]);
    assert_refused(&world, &next, "alive", 2 * HOUR, (403, "speaker")).await;
    assert_eq!(world.notify(&stack, "alive", 2 * HOUR + 1).await.0, 200);
}

/// F-60: where neither role can be assumed, nothing says that the update was rolled back.
#[tokio::test]
async fn a_role_that_cannot_be_assumed_waits() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = stack.by(Principal::NextHandler);
    move_roles(&world, &next, HOUR).await;
    let own = world.connections().await[0]["data"]["roleArn"].as_str().unwrap().to_owned();
    for role in [&own, &moved_role(&stack)] {
        world.stacks.refuse(role);
    }
    ask_until_given_up(&world, HOUR).await;
    let connection = world.connections().await.remove(0);
    assert!(connection["candidateArn"].is_string(), "{connection}");
    assert_eq!(connection["problems"][0]["code"], "role-refused");
    // Nor does it where the earlier role can be assumed, and the stack has another handler.
    world.stacks.refused.lock().unwrap().remove(&own);
    world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-9Z8Y7X6W5V4U")));
    world.set_clock(NOW + Duration::seconds(3 * HOUR));
    world.ask_aws().await;
    assert!(world.connections().await[0]["candidateArn"].is_string());
    world.stacks.refused.lock().unwrap().clear();
    world.set_clock(NOW + Duration::seconds(5 * HOUR));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["data"]["roleArn"]), (&json!("verified"), &json!(moved_role(&stack))));
}

/// F-29: the old stack's removal was lost, and a new stack under a new launch takes over, once AWS has confirmed it. What comes late from
/// the old stack finds only the old connection (F-12).
#[tokio::test]
async fn a_new_stack_replaces_the_old_one() {
    let world = TestConsole::new().await;
    let (old, new) = (connected(&world, "51af3dc0").await, world.stack("51af3dc1").await);
    let (status, answer) = world.notify(&new, "established", HOUR).await;
    assert_eq!((status, &answer["message"]), (200, &json!("connected")));
    assert_eq!(states(&world).await, ["verified", "announced"]);
    world.confirm(&new).await;
    let connections = world.connections().await;
    assert_eq!((&connections[0]["state"], &connections[0]["replacedBy"]), (&json!("replaced"), &answer["connectionId"]));
    assert_eq!((&connections[1]["state"], &connections[1]["replacedBy"]), (&json!("verified"), &json!(null)));
    // A late word of before is none of after.
    assert_eq!(world.notify(&old, "updated", HOUR - 1).await.0, 200);
    assert_eq!(states(&world).await, ["replaced", "verified"]);
    assert_eq!(world.notify(&old, "removed", 2 * HOUR).await.0, 200);
    assert_eq!(states(&world).await, ["removed", "verified"]);

    // A connection of another name is nobody's replacement.
    let other = Stack { connection_name: "staging".to_owned(), ..world.stack("51af3dc2").await };
    assert_eq!(world.notify(&other, "established", 3 * HOUR).await.0, 200);
    world.confirm(&other).await;
    assert_eq!(states(&world).await, ["removed", "verified", "verified"]);
}

/// F-60: two stacks that both speak for one name are for the operator to judge.
#[tokio::test]
async fn an_older_stack_that_speaks_makes_both_contested() {
    let world = TestConsole::new().await;
    let (old, new) = (connected(&world, "51af3dc0").await, world.stack("51af3dc1").await);
    assert_eq!(world.notify(&new, "established", HOUR).await.0, 200);
    world.confirm(&new).await;
    assert_eq!(world.notify_status(&old, "delivered", 2 * HOUR).await.0, 200);
    let connections = world.connections().await;
    assert_eq!(states(&world).await, ["contested", "contested"]);
    for (one, other) in [(0, 1), (1, 0)] {
        assert_eq!(connections[one]["contestedWith"], connections[other]["connectionId"]);
    }
    // Neither takes over again by speaking.
    assert_eq!(world.notify(&new, "updated", 3 * HOUR).await.0, 200);
    world.confirm(&new).await;
    assert_eq!(states(&world).await, ["contested", "contested"]);
    assert_eq!(world.notify(&new, "removed", 4 * HOUR).await.0, 200);
    assert_eq!(states(&world).await, ["verified", "removed"]);
}

/// The newer stack is gone before the older one speaks: nothing to judge.
#[tokio::test]
async fn an_older_stack_has_its_name_again_when_the_newer_is_gone() {
    let world = TestConsole::new().await;
    let (old, new) = (connected(&world, "51af3dc0").await, world.stack("51af3dc1").await);
    assert_eq!(world.notify(&new, "established", HOUR).await.0, 200);
    world.confirm(&new).await;
    assert_eq!(world.notify(&new, "removed", 2 * HOUR).await.0, 200);
    assert_eq!(states(&world).await, ["replaced", "removed"]);
    assert_eq!(world.notify(&old, "alive", 3 * HOUR).await.0, 200);
    assert_eq!(states(&world).await, ["verified", "removed"]);
}

/// F-60: another customer of the vendor has a launch of its own, and an invented stack in this one's account: nothing of it is this one's.
#[tokio::test]
async fn customers_are_strangers_to_each_other() {
    let world = TestConsole::new().await;
    let victim = connected(&world, "51af3dc0").await;
    let other = |terms: &mut hawser_console::launch::Terms| terms.customer_id = "other".parse().unwrap();
    let (_, attacker) = stack_of(&world, "51af3dc1", other).await;
    assert_refused(&world, &attacker.by(Principal::VendorB), "established", HOUR, (403, "speaker")).await;
    // Also with a role that somebody in the account made for it, and confirmed.
    assert_eq!(world.notify(&attacker, "established", HOUR).await.0, 200);
    world.confirm(&attacker).await;
    assert_eq!(states(&world).await, ["verified", "verified"]);
    // With its own launch it cannot speak for the victim's stack, whoever sends it.
    let crossed = Stack { stack_id: victim.stack_id.clone(), ..attacker };
    for kind in ["established", "updated", "alive", "removed"] {
        assert_refused(&world, &crossed, kind, 2 * HOUR, (403, "launch-of-other-customer")).await;
    }
    let list = async |query: &str| {
        let request = http::Request::get(format!("/api/v1/connections?{query}")).body(axum::body::Body::empty()).unwrap();
        let (_, body) = world.operate(request).await;
        body["items"].as_array().unwrap().iter().map(|one| one["customerId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list("customerId=other").await, ["other"]);
    assert_eq!(list("customerId=acme").await, ["acme"]);
    assert_eq!(list("customerId=nobody").await, Vec::<Value>::new());
    // Nor does an id that one used keep the other's notice out.
    let (id, at) = ("0123456789abcdef0123456789abcdef", NOW + Duration::seconds(2 * HOUR));
    for stack in [&victim, &stack_of(&world, "51af3dc2", |terms| terms.customer_id = "third".parse().unwrap()).await.1] {
        let mut event = stack.event(if stack.stack_id == victim.stack_id { "updated" } else { "established" }, at);
        event["id"] = json!(id);
        assert_eq!(world.post(stack.send(event, at)).await.0, 200);
    }
}

/// A stack that is updated with a new launch has both for a day, from its own role; then the earlier one is over.
#[tokio::test]
async fn a_rotated_launch_is_valid_for_a_day() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let fresh = world.stack("51af3dc0").await;
    let regions = async || world.connections().await.remove(0)["data"]["externalId"].clone();
    assert_eq!(world.notify(&fresh, "updated", HOUR).await.0, 200);
    assert_eq!(regions().await, json!(fresh.external_id));
    // It opens nothing new, at once.
    let another = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), ..stack.clone() };
    assert_refused(&world, &another, "established", HOUR + 1, (403, "launch-used")).await;
    // Nor does it let another role ask.
    assert_refused(&world, &stack.by(Principal::NextHandler), "updated", HOUR + 2, (403, "speaker")).await;
    // Heartbeats that were signed before the schedule knew; and the update's rollback.
    assert_eq!(world.notify(&stack, "alive", 2 * HOUR).await.0, 200);
    assert_eq!(world.notify(&stack, "updated", 3 * HOUR).await.0, 200);
    assert_eq!(regions().await, json!(stack.external_id));
    // The update may be tried again, and give the stack another role: it asks, and nothing changes until AWS confirms it.
    assert_eq!(world.notify(&fresh.by(Principal::NextHandler), "updated", 4 * HOUR).await.0, 200);
    assert_eq!(regions().await, json!(stack.external_id));
    // The one that was rolled back is over after its day, the restored one stays.
    assert_refused(&world, &fresh, "updated", 3 * HOUR + DAY, (403, "launch-replaced")).await;
    assert_refused(&world, &fresh, "alive", 3 * HOUR + DAY, (403, "launch-replaced")).await;
    assert_eq!(world.notify(&stack, "alive", 30 * DAY).await.0, 200);
    // Rotated again for good: the leaked one speaks no more, and removes nothing.
    let last = world.stack("51af3dc0").await;
    assert_eq!(world.notify(&last, "updated", 31 * DAY - 7 * HOUR).await.0, 403, "a launch has to be fresh to begin");
    let last = {
        let mut launch = hawser_console::launch::Launch::new(
            &[5; 56],
            crate::support::terms(hawser_console::launch::Audience::Stack(None)),
            world.now(),
            24,
        );
        launch.id = "last".to_owned();
        world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        Stack { token: launch.token.expose().to_owned(), external_id: launch.external_id.clone(), ..last }
    };
    assert_eq!(world.notify(&last, "updated", 31 * DAY).await.0, 200);
    for kind in ["updated", "alive", "removed"] {
        assert_refused(&world, &stack, kind, 32 * DAY + 1, (403, "launch-replaced")).await;
    }
    assert_eq!(world.notify(&last, "removed", 33 * DAY).await.0, 200);
}

/// F-60: the update with a new launch was rolled back, and the notice of that lost: the role has its earlier external ID, and the stack's
/// heartbeats are signed with the earlier token.
#[tokio::test]
async fn a_lost_rollback_of_a_rotation_is_found_out() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let fresh = world.stack("51af3dc0").await;
    let ids = async || {
        let connection = world.connections().await.remove(0);
        assert_eq!((&connection["state"], &connection["problems"]), (&json!("verified"), &json!([])));
        (
            connection["data"]["externalId"].as_str().unwrap().to_owned(),
            connection["externalIdInUse"].as_str().unwrap().to_owned(),
        )
    };
    let (before, after) = (stack.external_id.clone(), fresh.external_id.clone());
    assert_eq!(ids().await, (before.clone(), before.clone()));
    assert_eq!(world.notify(&fresh, "updated", HOUR).await.0, 200);
    world.stacks.refuse(&after);
    world.ask_aws().await;
    assert_eq!(ids().await, (after.clone(), before.clone()));
    // This one may have begun before the update.
    assert_eq!(world.notify(&stack, "alive", HOUR + 14 * MINUTE).await.0, 200);
    assert_eq!(ids().await.0, after);
    assert_eq!(world.notify(&stack, "alive", 2 * HOUR).await.0, 200);
    world.ask_aws().await;
    assert_eq!(ids().await, (before.clone(), before.clone()));
    let asked = world.stacks.questions.lock().unwrap().last().unwrap().external_id.clone();
    assert_eq!(asked, before);
    assert_eq!(world.notify(&stack, "alive", 30 * HOUR).await.0, 200);
    assert_refused(&world, &fresh, "alive", 30 * HOUR + 1, (403, "launch-replaced")).await;
}

/// Revocation ends everything at once but the stack's leave.
#[tokio::test]
async fn a_revoked_launch_is_good_for_removals_only() {
    let world = TestConsole::new().await;
    let (launch, stack) = stack_of(&world, "51af3dc0", |_| {}).await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    let unused = stack_of(&world, "51af3dc1", |_| {}).await;
    for id in [&launch.id, &unused.0.id] {
        let request = http::Request::post(format!("/api/v1/launches/{id}/revoke")).body(axum::body::Body::empty()).unwrap();
        assert_eq!(world.operate(request).await.0, 200);
    }
    let request = http::Request::post("/api/v1/launches/nobody/revoke").body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.operate(request).await.0, 404);
    for kind in ["established", "updated", "alive"] {
        assert_refused(&world, &stack, kind, 60, (403, "launch-revoked")).await;
    }
    assert_refused(&world, &unused.1, "established", 60, (403, "launch-revoked")).await;
    assert!(world.connections().await[0]["revokedAt"].is_string());
    // Nobody asks AWS with what was revoked.
    world.ask_aws().await;
    assert_eq!(world.stacks.questions.lock().unwrap().len(), 0);
    assert_refused(&world, &stack.by(Principal::VendorB), "removed", 70, (403, "speaker")).await;
    assert_eq!(world.notify(&stack, "removed", 70).await.0, 200);
    assert_eq!(states(&world).await, ["removed"]);
}

/// F-60: one update gives the stack another role and another launch. Both wait for AWS's word, however long, and nobody takes the launch
/// meanwhile; the earlier ones count as before.
#[tokio::test]
async fn a_new_role_under_a_new_launch() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
    let another = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), principal: Principal::Handler, ..next.clone() };
    world.stacks.answer(&stack, Err(Problem::new(ProblemCode::Unavailable, "")));
    assert_eq!(world.notify(&next, "updated", HOUR).await.0, 200);
    for hours in [2, 20, 31] {
        assert_eq!(world.notify(&next, "alive", hours * HOUR).await.0, 200, "{hours}");
        assert_refused(&world, &another, "established", hours * HOUR + 1, (403, "launch-used")).await;
        assert_eq!(world.notify(&stack, "alive", hours * HOUR + 2).await.0, 200, "{hours}");
    }
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["data"]["externalId"]), (&json!("verified"), &json!(stack.external_id)));
    world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-9Z8Y7X6W5V4U")));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["data"]["externalId"]), (&json!("verified"), &json!(next.external_id)));
    // From here on it is rotated: both for a day, then the newer one.
    assert_eq!(world.notify(&next, "alive", 32 * HOUR).await.0, 200);
    assert_eq!(world.notify(&stack, "alive", 33 * HOUR).await.0, 200);
    assert_refused(&world, &stack, "alive", 56 * HOUR, (403, "launch-replaced")).await;
    assert_eq!(world.notify(&next, "alive", 57 * HOUR).await.0, 200);
}

/// F-60: an update that was rolled back may be tried again with the same link, for as long as the link is fresh.
#[tokio::test]
async fn a_rolled_back_launch_may_be_tried_again_later() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let launch = Launch::new(&[5; 56], terms(Audience::Stack(None)), NOW, 168);
    world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
    let fresh = Stack { token: launch.token.expose().to_owned(), external_id: launch.external_id.clone(), ..stack.clone() };
    let issued = async || world.connections().await.remove(0)["data"]["externalId"].clone();
    for (sender, hours, expected) in [(&fresh, 1, &fresh), (&stack, 2, &stack), (&fresh, 100, &fresh), (&stack, 101, &stack)] {
        assert_eq!(world.notify(sender, "updated", hours * HOUR).await.0, 200, "{hours}");
        assert_eq!(issued().await, json!(expected.external_id), "{hours}");
    }
    // One that is superseded as well is over after a day.
    {
        let world = TestConsole::new().await;
        let stack = connected(&world, "51af3dc0").await;
        world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        let fresh = Stack { token: fresh.token.clone(), external_id: fresh.external_id.clone(), ..stack.clone() };
        let last = world.stack("51af3dc0").await;
        for (sender, hours) in [(&fresh, 1), (&stack, 2), (&last, 3)] {
            assert_eq!(world.notify(sender, "updated", hours * HOUR).await.0, 200, "{hours}");
        }
        assert_refused(&world, &fresh, "updated", 28 * HOUR, (403, "launch-replaced")).await;
    }
    // Nobody else may have it meanwhile, and it ends when it would have.
    let another = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), ..fresh.clone() };
    assert_refused(&world, &another, "established", 102 * HOUR, (403, "launch-used")).await;
    assert_refused(&world, &fresh, "updated", 168 * HOUR, (403, "launch-replaced")).await;
    assert_eq!(world.notify(&stack, "alive", 169 * HOUR).await.0, 200);
}

/// A role that anybody of the vendor's account can assume without its external ID is told until it is closed. The connection is the
/// stack's own all the same.
#[tokio::test]
async fn an_open_role_is_a_problem_until_it_is_closed() {
    for (open, found) in [
        (Open::WithoutId, Some("without any")),
        (Open::WithAnyId, Some("with another one")),
        (Open::Unknown, None),
        (Open::Closed, None),
    ] {
        let world = TestConsole::new().await;
        *world.stacks.open.lock().unwrap() = open;
        let stack = connected(&world, "51af3dc0").await;
        let connection = world.connections().await.remove(0);
        let state = match open {
            Open::WithoutId | Open::WithAnyId => "partial",
            Open::Closed => "verified",
            // Confirmed, and not tested yet.
            Open::Unknown => "announced",
        };
        assert_eq!(connection["state"], state, "{open:?}");
        let Some(found) = found else {
            assert_eq!(connection["problems"], json!([]), "{open:?}");
            continue;
        };
        assert_eq!(connection["problems"][0]["code"], "role-open", "{connection}");
        assert!(connection["problems"][0]["cause"].as_str().unwrap().ends_with(found), "{connection}");
        // Looked at each hour; a heartbeat changes nothing, and neither does an answer that AWS owes.
        *world.stacks.open.lock().unwrap() = Open::Unknown;
        let opened_at = connection["problems"][0]["openedAt"].clone();
        world.set_clock(NOW + Duration::seconds(HOUR));
        world.ask_aws().await;
        let connection = world.connections().await.remove(0);
        assert_eq!((&connection["state"], &connection["problems"][0]["openedAt"]), (&json!("partial"), &opened_at));
        *world.stacks.open.lock().unwrap() = Open::Closed;
        assert_eq!(world.notify(&stack, "alive", 2 * HOUR - 1).await.0, 200);
        world.ask_aws().await;
        assert_eq!(world.connections().await[0]["problems"][0]["code"], "role-open");
        world.set_clock(NOW + Duration::seconds(2 * HOUR));
        world.ask_aws().await;
        assert_eq!(world.connections().await[0]["problems"], json!([]));
    }
}

/// F-60: the operator ends one connection whose stack cannot. Nothing that the stack sends brings it back; its launch serves others.
#[tokio::test]
async fn an_operator_ends_a_connection() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let id = world.connections().await[0]["connectionId"].as_str().unwrap().to_owned();
    let disconnect = async |id: &str| {
        let path = format!("/api/v1/connections/{id}/disconnect");
        world.operate(http::Request::post(path).body(axum::body::Body::empty()).unwrap()).await
    };
    assert_eq!(disconnect("con-0").await.0, 404);
    let (status, connection) = disconnect(&id).await;
    assert_eq!((status, &connection["connectionId"], &connection["state"]), (200, &json!(id), &json!("removed")));
    assert_eq!(disconnect(&id).await.0, 200, "again");
    for (kind, code) in [("established", "connection-removed"), ("updated", "connection-removed"), ("alive", "status-of-removed")]
    {
        assert_refused(&world, &stack, kind, 60, (410, code)).await;
    }
    let next = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
    assert_refused(&world, &next, "updated", 61, (410, "connection-removed")).await;
    assert_eq!(world.notify(&stack, "removed", 62).await.0, 200);
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["endedAt"]), (&json!("removed"), &json!("2026-11-22T10:00:00Z")));

    // A person connects again with a new launch only.
    let direct = async |uuid: &str| {
        let terms = Terms { ways: Way::ALL.into(), ..terms(Audience::Stack(None)) };
        let entropy: Entropy = std::array::from_fn(|at| uuid.as_bytes()[at % uuid.len()]);
        let launch = Launch::new(&entropy, terms, NOW, 24);
        world.console.store.add_launch(&Access::operator(), &launch, None, NOW).await.unwrap();
        let stack_id = stack.stack_id.replace("51af3dc0", "d1");
        let token = launch.token.expose().to_owned();
        Stack { token, external_id: launch.external_id, stack_id, principal: Principal::User, ..stack.clone() }
    };
    let send = async |person: &Stack, seconds: i64| {
        let at = NOW + Duration::seconds(seconds);
        let mut event = person.event("established", at);
        event["data"]["way"] = json!("direct");
        world.set_clock(at);
        let (status, body) = world.post(person.send(event, at)).await;
        (status, code(&body).to_owned())
    };
    let (first, second) = (direct("first").await, direct("second").await);
    assert_eq!(send(&first, 70).await.0, 200);
    let id = world.connections().await.into_iter().find(|c| c["way"] == "direct").unwrap()["connectionId"].clone();
    assert_eq!(disconnect(id.as_str().unwrap()).await.0, 200);
    assert_eq!(send(&first, 80).await, (410, "connection-removed".to_owned()));
    // A person's clock may be slow.
    assert_eq!(send(&second, 75).await.0, 200);
    let connection = world.connections().await.into_iter().find(|c| c["way"] == "direct").unwrap();
    assert_eq!((&connection["state"], &connection["endedAt"]), (&json!("announced"), &json!(null)));
}

/// F-60: a role that is not the stack's keeps a launch from nobody for longer than AWS takes to say so.
#[tokio::test]
async fn a_launch_is_free_again_without_its_role() {
    for ended in ["foreign", "rolled back", "removed", "asked with another", "revoked"] {
        let world = TestConsole::new().await;
        let stack = connected(&world, "51af3dc0").await;
        let next = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
        let another =
            Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), principal: Principal::Handler, ..next.clone() };
        assert_eq!(world.notify(&next, "updated", HOUR).await.0, 200);
        assert_refused(&world, &another, "established", HOUR + 1, (403, "launch-used")).await;
        match ended {
            "foreign" => ask_until_given_up(&world, HOUR + 2).await,
            "rolled back" => assert_eq!(world.notify(&stack, "updated", HOUR + 10).await.0, 200),
            "removed" => assert_eq!(world.notify(&stack, "removed", HOUR + 10).await.0, 200),
            "asked with another" => {
                let third = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
                assert_eq!(world.notify(&third, "updated", HOUR + 10).await.0, 200);
            }
            _ => revoke(&world, &next).await,
        }
        let expected = if ended == "revoked" { 403 } else { 200 };
        let (status, body) = world.notify(&another, "established", HOUR + 200).await;
        assert_eq!(status, expected, "{ended}: {body}");
        // The honest launch was touched by none of it.
        if ended != "removed" {
            assert_eq!(world.notify(&stack, "alive", 40 * HOUR).await.0, 200, "{ended}");
        }
    }
}

/// F-60: a launch that went to another stack while a role asked with it stays there.
#[tokio::test]
async fn a_confirmed_role_takes_no_launch_away() {
    let world = TestConsole::new().await;
    let stack = connected(&world, "51af3dc0").await;
    let next = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
    let another = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), principal: Principal::Handler, ..next.clone() };
    assert_eq!(world.notify(&next, "updated", HOUR).await.0, 200);
    // As an earlier version left it.
    let database = crate::support::database(&world.directory).await;
    sqlx::query("DELETE FROM launch_uses WHERE reserved = 1").execute(&database).await.unwrap();
    assert_eq!(world.notify(&another, "established", HOUR + 1).await.0, 200);
    world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-9Z8Y7X6W5V4U")));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!(connection["data"]["externalId"], json!(stack.external_id));
    assert_eq!(connection["problems"][0]["code"], "stack-foreign");
    assert_eq!(world.notify(&another, "alive", HOUR + 2).await.0, 200);
}

async fn revoke(world: &TestConsole, stack: &Stack) {
    let hint = Hint { stack_id: String::new(), external_id: stack.external_id.clone() };
    let id = world.console.store.launches_for(&hint).await.unwrap().remove(0).id;
    assert!(world.console.store.revoke(&Access::operator(), &id, world.now()).await.unwrap());
}

/// F-60: a role that asks to speak with a new launch stands and falls with that launch, and not with the earlier one.
#[tokio::test]
async fn a_role_that_asks_depends_on_its_own_launch() {
    for revoked in ["the earlier one", "its own", "its own, while AWS is asked"] {
        let world = TestConsole::new().await;
        let stack = connected(&world, "51af3dc0").await;
        let next = Stack { principal: Principal::NextHandler, ..world.stack("51af3dc0").await };
        assert_eq!(world.notify(&next, "updated", HOUR).await.0, 200);
        world.stacks.answer(&stack, Ok(resources("hawser-HandlerRole-9Z8Y7X6W5V4U")));
        let job = world.console.store.claim(&[JobKind::Verify], CONCURRENT_MAX, world.now()).await.unwrap().remove(0);
        let due = world.console.store.due(&job, world.now()).await.unwrap().unwrap();
        revoke(&world, if revoked == "the earlier one" { &stack } else { &next }).await;
        if revoked.ends_with("asked") {
            let outcome = Outcome { confirmed: Ok(next.external_id.clone()), steps: Vec::new() };
            world.console.store.conclude(&due, outcome, world.now()).await.unwrap();
        }
        // The worker that asked is gone by then.
        world.set_clock(world.now() + hawser_console::job::LEASE);
        world.ask_aws().await;
        let connection = world.connections().await.remove(0);
        let counts = revoked == "the earlier one";
        assert_eq!(connection["verifiedArn"].as_str().unwrap().contains("9Z8Y7X6W5V4U"), counts, "{revoked}: {connection}");
        assert_eq!(connection["data"]["externalId"] == json!(next.external_id), counts, "{revoked}");
        assert_eq!(connection["candidateArn"], json!(null), "{revoked}");
        assert_eq!(connection["revokedAt"], json!(null), "{revoked}");
    }
}

/// A database that lost a connection has it again from its next heartbeat, where the launch is known to be the stack's.
#[tokio::test]
async fn a_lost_connection_heals() {
    for kind in ["alive", "status"] {
        let world = TestConsole::new().await;
        let stack = connected(&world, "51af3dc0").await;
        world.console.store.close().await;
        let database = crate::support::database(&world.directory).await;
        for table in ["billing_statuses", "connections", "jobs"] {
            let statement = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(statement).execute(&database).await.unwrap();
        }
        let mut world = world;
        world.console.store = crate::support::open_store(&world.directory).await;
        let send = async |stack: &Stack, seconds: i64| match kind {
            "alive" => world.notify(stack, "alive", seconds).await,
            _ => world.notify_status(stack, "delivered", seconds).await,
        };
        let (status, body) = send(&stack.by(Principal::VendorB), HOUR).await;
        assert_eq!((status, code(&body)), (403, "speaker"));
        let another = Stack { stack_id: stack.stack_id.replace("51af3dc0", "9999"), ..stack.clone() };
        let (status, body) = send(&another, HOUR).await;
        assert_eq!((status, code(&body)), (404, "status-of-unknown"));
        let (status, body) = send(&stack, HOUR).await;
        assert_eq!((status, &body["message"]), (200, &json!("connected again; it was not known")), "{body}");
        assert_eq!(states(&world).await, ["announced"]);
        world.confirm(&stack).await;
        assert_eq!(states(&world).await, ["verified"]);
    }
}

/// What a stack says of its billing data is the account's own.
#[tokio::test]
async fn billing_exports_belong_to_the_account() {
    let world = TestConsole::new().await;
    let stack = world.stack("51af3dc0").await;
    for (number, (name, value, good)) in [
        ("arn", "arn:aws:cur:us-east-1:444455556666:definition/x", false),
        ("arn", "arn:aws-cn:cur:cn-northwest-1:111122223333:definition/x", false),
        ("arn", "x", false),
        ("arn", "arn:aws:cur", false),
        ("arn", "arn:aws:bcm-data-exports:us-east-1:111122223333:export/x", true),
        ("bucketArn", "arn:aws:sqs:us-east-1:111122223333:x", false),
        ("bucketArn", "arn:aws-cn:s3:::x", false),
        ("kmsKeyArn", "arn:aws:iam::111122223333:role/x", false),
        // A bucket may be encrypted with another account's key.
        ("kmsKeyArn", "arn:aws:kms:us-east-1:444455556666:key/1234abcd", true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut event = stack.event("established", NOW);
        event["data"]["billingExport"][name] = json!(value);
        event["id"] = json!(format!("{number:032x}"));
        let (status, body) = world.post(stack.send(event, NOW)).await;
        assert_eq!(status == 200, good, "{name} {value}: {body}");
        assert!(good || code(&body) == "notice-inconsistent", "{body}");
    }
}
