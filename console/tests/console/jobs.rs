//! Jobs of the console, its problems and its history, on whichever database the tests run.

use std::collections::BTreeSet;

use axum::body::Body;
use hawser_console::{
    confirm::{Outcome, not_assumed},
    job::{CLAIMS_MAX, CONCURRENT_MAX, Kind, LEASE},
    probe::{How, statements},
    problem::{Problem, ProblemCode},
    worker,
};
use http::Request;
use serde_json::{Value, json};
use time::Duration;
use tokio::task::JoinSet;

use crate::support::{HANDLER_ROLE, NOW, Stack, TestConsole, database, open_store, resources};

const HOUR: i64 = 3600;

async fn announced(world: &TestConsole, uuid: &str) -> Stack {
    let stack = world.stack(uuid).await;
    assert_eq!(world.notify(&stack, "established", 0).await.0, 200);
    world.stacks.answer(&stack, Ok(resources(HANDLER_ROLE)));
    stack
}

/// What is wrong with the role: how billing data arrive is another story.
fn codes(connection: &Value) -> Vec<&str> {
    let codes = connection["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap());
    codes.filter(|code| !code.starts_with("billing-")).collect()
}

async fn history(world: &TestConsole, connection: &Value) -> Vec<String> {
    let path = format!("/api/v1/connections/{}/history", connection["connectionId"].as_str().unwrap());
    let (status, body) = world.operate(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200, "{body}");
    let kind = |event: &Value| {
        let code = event["data"]["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{code}", event["type"].as_str().unwrap())
    };
    let kinds = body["items"].as_array().unwrap().iter().rev().map(kind);
    kinds.filter(|kind| !kind.contains("billing")).collect()
}

/// Workers that look at the same time share the jobs: each is one's alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_jobs_and_no_job_is_done_twice() {
    let world = TestConsole::new().await;
    let many = CONCURRENT_MAX * 3 + 1;
    for number in 0..many {
        announced(&world, &format!("stack-{number}")).await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..6 {
        let (store, now) = (open_store(&world.directory).await, world.now());
        workers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let jobs = store.claim(&[Kind::Verify], CONCURRENT_MAX, now).await.unwrap();
                if jobs.is_empty() {
                    return taken;
                }
                assert!(jobs.len() <= usize::try_from(CONCURRENT_MAX).unwrap());
                taken.extend(jobs.into_iter().map(|job| job.subject));
            }
        });
    }
    let taken = workers.join_all().await.concat();
    assert_eq!(taken.len(), usize::try_from(many).unwrap());
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
}

/// A worker that is killed in the middle of a job loses nothing: another one takes it when the lease is over, and no sooner. What the
/// first one says, should it live, counts no more.
#[tokio::test]
async fn a_killed_workers_job_is_taken_again() {
    let world = TestConsole::new().await;
    announced(&world, "51af3dc0").await;
    let store = &world.console.store;
    let job = store.claim(&[Kind::Verify], CONCURRENT_MAX, world.now()).await.unwrap().remove(0);
    let slow = store.due(&job, world.now()).await.unwrap().unwrap();
    assert!(store.claim(&[Kind::Verify], CONCURRENT_MAX, world.now() + LEASE - Duration::seconds(1)).await.unwrap().is_empty());
    world.set_clock(world.now() + LEASE);
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!(connection["state"], "verified");
    let refused = Outcome { confirmed: Err(Problem::new(ProblemCode::RoleRefused, "")), steps: Vec::new() };
    store.conclude(&slow, refused, world.now()).await.unwrap();
    assert_eq!(world.connections().await.remove(0), connection);
}

/// A notice that comes while AWS is asked asks again: the answer is about what was.
#[tokio::test]
async fn a_request_during_a_job_is_not_lost() {
    let world = TestConsole::new().await;
    let stack = announced(&world, "51af3dc0").await;
    let store = &world.console.store;
    let job = store.claim(&[Kind::Verify], CONCURRENT_MAX, world.now()).await.unwrap().remove(0);
    let due = store.due(&job, world.now()).await.unwrap().unwrap();
    assert_eq!(world.notify(&stack, "updated", 10).await.0, 200);
    let outcome = Outcome { confirmed: Ok(stack.external_id.clone()), steps: Vec::new() };
    store.conclude(&due, outcome, world.now()).await.unwrap();
    assert_eq!(world.connections().await[0]["state"], "announced");
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["state"], "verified");
    let jobs = store.claim(&[Kind::Verify], CONCURRENT_MAX, world.now() + Duration::hours(23)).await.unwrap();
    assert!(jobs.iter().all(|job| job.kind == Kind::Listen), "done once more, and not again today: {jobs:?}");
}

/// A job that never comes to an end is laid aside, and that is a problem until somebody asks again.
#[tokio::test]
async fn a_job_that_never_ends_is_a_problem() {
    let world = TestConsole::new().await;
    let stack = announced(&world, "51af3dc0").await;
    for claim in 1..=CLAIMS_MAX {
        let taken = world.console.store.claim(&[Kind::Verify], CONCURRENT_MAX, world.now()).await.unwrap();
        assert_eq!(taken.iter().map(|job| job.claims).collect::<Vec<_>>(), [claim]);
        world.set_clock(world.now() + LEASE);
    }
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("announced"), vec!["job-failed"]));
    world.set_clock(world.now() + Duration::days(2));
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["state"], "announced");
    assert_eq!(world.notify(&stack, "updated", 50 * HOUR).await.0, 200);
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("verified"), vec![]));
}

/// F-64: a role that stops working is found out within a day, and so is that it works again; both stand in the history.
#[tokio::test]
async fn a_connection_that_breaks_is_found_and_heals() {
    let world = TestConsole::new().await;
    let stack = announced(&world, "51af3dc0").await;
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["availableAt"]), (&json!("verified"), &json!("2026-11-22T10:00:00Z")));
    let steps = connection["roleTest"]["steps"].as_array().unwrap().iter();
    let (statements, others): (Vec<_>, Vec<_>) = steps.partition(|step| step["name"].as_str().unwrap().contains('/'));
    let names: Vec<_> = others.iter().map(|step| step["name"].clone()).collect();
    assert_eq!(
        names,
        ["assume-with-external-id", "stack-resources", "refuse-without-external-id", "refuse-other-external-id"],
        "{connection}"
    );
    assert!(statements.iter().any(|step| step["name"].as_str().unwrap().starts_with("billing/") && step["result"] == "passed"));
    assert!(statements.iter().all(|step| step["result"] == "passed" || step["note"].is_string()), "{statements:?}");

    // Not ours to judge while AWS does not answer.
    world.stacks.answer(&stack, Err(Problem::new(ProblemCode::Unavailable, "")));
    world.set_clock(NOW + Duration::hours(24));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("verified"), vec!["aws-unavailable"]));

    world.stacks.answer(&stack, Err(Problem::new(ProblemCode::RoleRefused, "`AccessDenied`")));
    world.set_clock(NOW + Duration::hours(26));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("unavailable"), vec!["role-refused"]));
    assert_eq!(connection["availableAt"], json!("2026-11-22T10:00:00Z"));

    world.stacks.answer(&stack, Ok(resources(HANDLER_ROLE)));
    world.set_clock(NOW + Duration::hours(28));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("verified"), vec![]));
    assert_eq!(
        history(&world, &connection).await,
        [
            "connection.announced",
            "connection.verified",
            "problem.opened aws-unavailable",
            "problem.closed aws-unavailable",
            "problem.opened role-refused",
            "connection.unavailable",
            "problem.closed role-refused",
            "connection.verified",
        ]
    );
    let (status, body) = world.operate(Request::get("/api/v1/problems").body(Body::empty()).unwrap()).await;
    assert_eq!((status, &body["items"]), (200, &connection["problems"]));
}

/// F-64: a stack that is not heard any more is a problem when its time has come, without any notice; one status and it is none.
#[tokio::test]
async fn a_stack_that_falls_silent_is_a_problem_until_it_speaks() {
    let world = TestConsole::new().await;
    let stack = announced(&world, "51af3dc0").await;
    let found = async |seconds: i64| {
        world.set_clock(NOW + Duration::seconds(seconds));
        world.ask_aws().await;
        let connection = world.connections().await.remove(0);
        (connection["billing"]["state"].clone(), connection["problems"].to_string().contains("billing-silent"))
    };
    assert_eq!(found(12 * HOUR).await, (json!("unheard"), false));
    assert_eq!(found(12 * HOUR + 1).await, (json!("silent"), true));
    assert_eq!(world.notify_status(&stack, "delivered", 13 * HOUR).await.0, 200);
    assert_eq!(found(25 * HOUR).await, (json!("delivered"), false));
    assert_eq!(found(25 * HOUR + 1).await, (json!("silent"), true));
    assert_eq!(world.notify_status(&stack, "failed", 26 * HOUR).await.0, 200);
    let connection = world.connections().await.remove(0);
    assert_eq!(connection["problems"][0]["code"], "billing-failed");
    assert!(connection["problems"][0]["cause"].as_str().unwrap().contains("Restore the statement"), "{connection}");
    assert_eq!(world.notify(&stack, "removed", 27 * HOUR).await.0, 200);
    assert_eq!(world.connections().await[0]["problems"], json!([]), "of what is gone nothing is wrong");
}

/// The two schemas are one: the same tables with the same columns, which may be null or not in both.
#[tokio::test]
async fn both_databases_have_the_same_schema() {
    let columns = |text: &str| -> BTreeSet<String> {
        let plain = text.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
        let plain = plain.replace(" COLLATE \"C\"", "").replace("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "KEY");
        let plain =
            plain.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "KEY").replace("BIGINT", "INTEGER").replace(") STRICT;", ");");
        plain.split(';').map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let sqlite = include_str!("../../migrations/sqlite/0001_init.sql");
    let postgres = include_str!("../../migrations/postgres/0001_init.sql");
    assert_eq!(columns(sqlite), columns(postgres));
    // And the database that the tests run on has it.
    let world = TestConsole::new().await;
    let jobs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM jobs").fetch_one(&database(&world.directory).await).await.unwrap();
    assert_eq!(jobs, 0);
}

/// F-62, F-63: each permission that is missing is a problem of its own, with what is lost, whose turn it is and what to do; it closes when the
/// permission is back.
#[tokio::test]
async fn missing_permissions_are_found_one_by_one() {
    let world = TestConsole::new().await;
    announced(&world, "51af3dc0").await;
    let user = "User: arn:aws:sts::111122223333:assumed-role/hawser-VendorRole-1A2B3C/hawser-console";
    let because = [
        ("ListBillingFiles", "because no identity-based policy allows the {action} action", "permission-missing", "customer"),
        (
            "ReadReportDefinitions",
            "with an explicit deny in a service control policy: arn:aws:organizations::444455556666:policy/o-x/p-1",
            "denied-by-scp",
            "organization",
        ),
    ];
    let sids: BTreeSet<_> =
        statements().iter().filter(|one| matches!(one.how, How::Probe(_))).map(|one| one.sid.as_str()).collect();
    for (sid, words, _, _) in &because {
        assert!(sids.contains(sid), "{sid} of {sids:?}");
        let words = format!("{user} is not authorized to perform: {{action}} {words}");
        world.stacks.denied.lock().unwrap().insert((*sid).to_owned(), words);
    }
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!(connection["state"], "partial");
    let problems = connection["problems"].as_array().unwrap();
    for (sid, _, code, actor) in because {
        let problem = problems.iter().find(|problem| problem["subject"].as_str().unwrap().ends_with(sid)).unwrap();
        assert_eq!((&problem["code"], &problem["actor"]), (&json!(code), &json!(actor)));
        assert!(problem["cause"].as_str().unwrap().contains("Without it: "), "{problem}");
        assert!(!problem["cause"].as_str().unwrap().contains("User: "), "{problem}");
    }
    // Nothing is known for a while: what was wrong stands. Then it is whole again.
    *world.stacks.open.lock().unwrap() = crate::support::Open::Unknown;
    world.set_clock(NOW + Duration::hours(1));
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["problems"].as_array().unwrap().len(), 2);
    *world.stacks.open.lock().unwrap() = crate::support::Open::Closed;
    world.stacks.denied.lock().unwrap().clear();
    world.set_clock(NOW + Duration::hours(2));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], codes(&connection)), (&json!("verified"), vec![]));
}

/// F-62: AWS's words say whose policy it is that keeps the vendor out: the customer's, the organization's or the vendor's own.
#[test]
fn who_keeps_the_vendor_out_is_said() {
    let words = "User: arn:aws:iam::999988887777:role/console is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/x";
    for (code, because, expected, actor) in [
        ("AccessDenied", "", "role-refused", "customer"),
        ("AccessDenied", " because no resource-based policy allows the sts:AssumeRole action", "role-refused", "customer"),
        ("AccessDenied", " with an explicit deny in a resource control policy", "role-refused-by-rcp", "organization"),
        ("AccessDenied", " because no identity-based policy allows the sts:AssumeRole action", "vendor-not-allowed", "vendor"),
        ("AccessDenied", " with an explicit deny in a service control policy", "vendor-not-allowed", "vendor"),
        ("AccessDenied", " because no permissions boundary allows the sts:AssumeRole action", "vendor-not-allowed", "vendor"),
        ("ValidationError", "", "role-refused", "customer"),
        ("RegionDisabledException", "", "vendor-region-disabled", "vendor"),
        ("InvalidClientTokenId", "", "vendor-region-disabled", "vendor"),
        ("ExpiredTokenException", "", "vendor-credentials-missing", "vendor"),
        ("Throttling", "", "aws-unavailable", "aws"),
        ("", "", "aws-unavailable", "aws"),
    ] {
        let problem = json!(not_assumed(code, &format!("{words}{because}")));
        assert_eq!((&problem["code"], &problem["actor"]), (&json!(expected), &json!(actor)), "{code}{because}");
        assert!(!problem.to_string().contains("User: "), "{problem}");
    }
}

/// An outage of AWS's, or of the vendor's own, closes nothing: what was wrong with the role stands, beside the outage.
#[tokio::test]
async fn an_outage_mends_nothing() {
    for outage in [ProblemCode::Unavailable, ProblemCode::NoCredentials, ProblemCode::VendorNotAllowed] {
        let world = TestConsole::new().await;
        let stack = announced(&world, "51af3dc0").await;
        let words = "not authorized to perform: {action} because no identity-based policy allows the {action} action";
        world.stacks.denied.lock().unwrap().insert("ListBillingFiles".to_owned(), words.to_owned());
        world.ask_aws().await;
        let before = world.connections().await.remove(0);
        assert_eq!((&before["state"], codes(&before)), (&json!("partial"), vec!["permission-missing"]));
        world.stacks.answer(&stack, Err(Problem::new(outage, "")));
        world.set_clock(NOW + Duration::hours(1));
        world.ask_aws().await;
        let during = world.connections().await.remove(0);
        assert_eq!((&during["state"], codes(&during)), (&json!("partial"), vec!["permission-missing", outage.as_str()]));
        assert_eq!(during["problems"][0]["openedAt"], before["problems"][0]["openedAt"]);
        world.stacks.answer(&stack, Ok(resources(HANDLER_ROLE)));
        world.set_clock(NOW + Duration::hours(2));
        world.ask_aws().await;
        assert_eq!(codes(&world.connections().await.remove(0)), ["permission-missing"], "{outage}");
    }
}

/// What the database keeps from its end is done again soon, however often, and is never laid aside for it.
#[tokio::test]
async fn an_outage_of_the_database_lays_nothing_aside() {
    let world = TestConsole::new().await;
    announced(&world, "51af3dc0").await;
    let database = database(&world.directory).await;
    for _ in 0..CLAIMS_MAX * 2 {
        // The worker takes the job, asks AWS, and cannot store what came of it.
        sqlx::query("ALTER TABLE problems RENAME TO unreachable").execute(&database).await.unwrap();
        assert!(worker::once(&world.console).await.is_err());
        sqlx::query("ALTER TABLE unreachable RENAME TO problems").execute(&database).await.unwrap();
        let asked = world.stacks.questions.lock().unwrap().len();
        world.ask_aws().await;
        assert_eq!(world.stacks.questions.lock().unwrap().len(), asked, "not before a minute is over");
        world.set_clock(world.now() + Duration::minutes(1));
    }
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["state"], "verified");
}

/// F-63: as long as nobody could try whether the role is closed to others, it is not called verified.
#[tokio::test]
async fn a_role_is_verified_by_a_whole_test_only() {
    let world = TestConsole::new().await;
    announced(&world, "51af3dc0").await;
    *world.stacks.open.lock().unwrap() = crate::support::Open::Unknown;
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], connection["confirmedAt"].is_string()), (&json!("announced"), true));
    *world.stacks.open.lock().unwrap() = crate::support::Open::Closed;
    world.set_clock(NOW + Duration::seconds(15));
    world.ask_aws().await;
    assert_eq!(world.connections().await[0]["state"], "verified");
}

/// Of a connection that another one has taken over nothing is asked and nothing is wrong, although its stack says nothing any more.
#[tokio::test]
async fn a_replaced_connection_raises_no_alarm() {
    let world = TestConsole::new().await;
    let old = announced(&world, "51af3dc0").await;
    world.ask_aws().await;
    let next = world.stack("51af3dc1").await;
    assert_eq!(world.notify(&next, "established", HOUR).await.0, 200);
    world.stacks.answer(&next, Ok(resources(HANDLER_ROLE)));
    world.ask_aws().await;
    world.stacks.answer(&old, Err(Problem::new(ProblemCode::RoleRefused, "`AccessDenied`")));
    world.stacks.questions.lock().unwrap().clear();
    world.set_clock(NOW + Duration::days(3));
    world.ask_aws().await;
    let connection = world.connections().await.remove(0);
    assert_eq!((&connection["state"], &connection["problems"]), (&json!("replaced"), &json!([])));
    let asked = world.stacks.questions.lock().unwrap().iter().filter(|asked| asked.stack.as_str() == old.stack_id).count();
    assert_eq!(asked, 0);
}
