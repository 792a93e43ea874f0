//! The role, the launch, or both are replaced under a connection, and it stays: forwards, rolled back before and after AWS has
//! confirmed the new ones, and in all accounts of a roll-out.

use aws_sdk_cloudformation::types::{Capability, Parameter};
use hawser_dev::{
    constants::{CUSTOMER, STACK, STACK_REGION, VENDOR},
    stack::{Parameters, Stack, template},
    strict_proxy::scenario::{Fault, Organization, Scenario, organization_id},
    vendor::{Console, Launch},
    watch,
};
use hawser_publish::{
    bucket,
    package::{ORGANIZATION, TEMPLATE},
};
use serde_json::{Value, json};

use crate::{
    publish::{dist_of, launch, make_bucket, settled, upload},
    rollout::{Directory, text, until},
    speakers::{console_of, little},
    world::Testbed,
};

/// A resource that fails once the vendor has been told.
const LATE: &str = r#"
  Late:
    Type: AWS::IAM::ManagedPolicy
    DependsOn: Connection
    Properties:
      Roles: [nobody]
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{ Effect: Allow, Action: "s3:ListAllMyBuckets", Resource: "*" }]
"#;

/// What changes.
#[derive(Clone, Copy, Debug)]
struct Rotation {
    path: bool,
    launch: bool,
}

struct Rotating {
    world: Testbed,
    console: Console,
    stack: Stack,
}

impl Rotating {
    /// A heartbeat now, which the vendor must take, and with which the connection is as `holds` says.
    async fn heard(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let heard_at = self.console.wait_for(self.stack.id(), |_| true).await.unwrap()["heardAt"].clone();
        let run = watch::run(&self.stack, &self.world.vendor).await.unwrap();
        let answers: Vec<(u16, &str)> = run.notices.iter().map(|notice| (notice.status, notice.answer.as_str())).collect();
        assert_eq!(run.error, None, "{what}: {answers:?}\n{}", self.world.emulator.handler_log());
        assert!(matches!(answers.as_slice(), [(200, _)]), "{what}: {answers:?}");
        let expected =
            |connection: &Value| connection["state"] == "verified" && connection["heardAt"] != heard_at && holds(connection);
        self.console.wait_for(self.stack.id(), expected).await.unwrap_or_else(|why| panic!("{what}: {why}"))
    }

    /// Makes these faults, and no others.
    fn set_faults(&self, faults: &[Value]) {
        let faults = faults.iter().map(|fault| serde_json::from_value::<Fault>(fault.clone()).unwrap()).collect();
        self.world.emulator.front().set_scenario(Scenario { faults, ..Scenario::named("standalone").unwrap() });
    }

    /// How often AWS has confirmed anything so far.
    fn confirmations(&self) -> usize {
        self.console.log().matches("connection confirmed").count()
    }
}

/// What AWS says to the vendor: no.
fn denied() -> Value {
    json!({"service": "sts", "operation": "AssumeRole", "answer": "deny"})
}

/// A connected stack that was heard, and the parameters by which it changes.
async fn begin(rotation: Rotation) -> (Rotating, Parameters, Value) {
    let world = Testbed::new("standalone").await;
    let console = console_of(&world).await;
    let notice_url = world.vendor.notice_url();
    let first = little(&notice_url, &console.launch(CUSTOMER).await.unwrap());
    let (stack, outcome) = Stack::create(&world.customer(), STACK, &world.template, &first, &mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let rotating = Rotating { world, console, stack };
    rotating.console.connected(rotating.stack.id()).await.unwrap();
    let original = rotating.heard("at first", |connection| connection["problems"] == json!([])).await;

    let mut next = first;
    if rotation.path {
        next.insert("RolePath".into(), "/partners/".into());
    }
    if rotation.launch {
        let launch = rotating.console.launch(CUSTOMER).await.unwrap();
        next.extend([("LaunchToken".into(), launch.token), ("ExternalId".into(), launch.external_id)]);
    }
    (rotating, next, original)
}

/// A stack that lives through a rotation that is rolled back before AWS has confirmed it, one that is rolled back after that, one that
/// succeeds, and its deletion.
async fn rotate(rotation: Rotation) {
    let (mut rotating, next, original) = begin(rotation).await;
    let failing = rotating.world.template.replace("\nOutputs:\n", &format!("{LATE}\nOutputs:\n"));
    assert_ne!(failing, rotating.world.template);

    // AWS refuses the vendor as long as the update lasts, or has the time to confirm it before it fails.
    let slow = json!({"service": "upload", "operation": "Connection", "answer": {"latency_ms": 2000}});
    for (fault, what) in [(denied(), "rolled back unconfirmed"), (slow, "rolled back confirmed")] {
        let (confirmed, is_refused) = (rotating.confirmations(), fault["answer"] == "deny");
        rotating.set_faults(&[fault]);
        let outcome = rotating.stack.update(&failing, &next, &mut |_| {}).await.unwrap();
        rotating.set_faults(&[]);
        rotating.world.expect_status(&outcome, "UPDATE_ROLLBACK_COMPLETE");
        let reason = outcome.first_failure();
        assert!(reason.contains("The role with name nobody cannot be found."), "{what}: {reason}");
        let as_before = |connection: &Value| {
            let same = ["launchId", "verifiedArn", "connectionId"].iter().all(|name| connection[name] == original[name])
                && ["roleArn", "externalId"].iter().all(|name| connection["data"][name] == original["data"][name]);
            same && connection["candidateArn"].is_null()
        };
        rotating.heard(what, as_before).await;
        let confirmed = rotating.confirmations() - confirmed;
        assert!(is_refused || !rotation.path || confirmed >= 2, "{what}: {confirmed} confirmations");
    }

    let template = rotating.world.template.clone();
    let outcome = rotating.stack.update(&template, &next, &mut |_| {}).await.unwrap();
    rotating.world.expect_status(&outcome, "UPDATE_COMPLETE");
    let (path, launch) = (rotation.path, rotation.launch);
    let rotated = |connection: &Value| {
        let differs = |pointer: &str| connection.pointer(pointer) != original.pointer(pointer);
        differs("/verifiedArn") == path
            && differs("/data/roleArn") == path
            && differs("/launchId") == launch
            && differs("/data/externalId") == launch
            && connection["candidateArn"].is_null()
            && connection["problems"] == json!([])
    };
    rotating.console.wait_for(rotating.stack.id(), rotated).await.unwrap();
    let connection = rotating.heard("forwards", rotated).await;
    assert_eq!(connection["connectionId"], original["connectionId"]);

    let outcome = rotating.stack.delete(&mut |_| {}).await.unwrap();
    rotating.world.expect_status(&outcome, "DELETE_COMPLETE");
    let removed = |connection: &Value| connection["state"] == "removed";
    rotating.console.wait_for(rotating.stack.id(), removed).await.unwrap();
}

/// F-60: another `RolePath` gives the stack other roles.
#[tokio::test(flavor = "multi_thread")]
async fn another_path() {
    rotate(Rotation { path: true, launch: false }).await;
}

/// F-60, F-39: another launch: token and external ID.
#[tokio::test(flavor = "multi_thread")]
async fn another_launch() {
    rotate(Rotation { path: false, launch: true }).await;
}

/// F-60, F-39: both in one update.
#[tokio::test(flavor = "multi_thread")]
async fn another_path_and_launch() {
    rotate(Rotation { path: true, launch: true }).await;
}

/// F-60: as long as AWS does not confirm another role, the connection is what it was, and the role's heartbeats are taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_not_confirmed_yet() {
    let wait = async |rotation: Rotation| {
        let (mut rotating, next, original) = begin(rotation).await;
        rotating.set_faults(&[denied()]);
        let template = rotating.world.template.clone();
        let outcome = rotating.stack.update(&template, &next, &mut |_| {}).await.unwrap();
        rotating.world.expect_status(&outcome, "UPDATE_COMPLETE");
        let waits = |connection: &Value| connection["problems"][0]["code"] == "vendor-not-allowed";
        let connection = rotating.console.wait_for(rotating.stack.id(), waits).await.unwrap();
        assert_eq!(connection["state"], "verified", "{rotation:?}");
        assert_eq!(connection["data"], original["data"], "{rotation:?}");
        assert!(connection["candidateArn"].is_string(), "{rotation:?}");
        let run = watch::run(&rotating.stack, &rotating.world.vendor).await.unwrap();
        let notice = &run.notices[0];
        assert_eq!((notice.status, run.error), (200, None), "{rotation:?}: {}", notice.answer);

        rotating.set_faults(&[]);
        let rotated = |connection: &Value| {
            connection["verifiedArn"] != original["verifiedArn"]
                && connection["data"]["roleArn"] != original["data"]["roleArn"]
                && (connection["launchId"] != original["launchId"]) == rotation.launch
                && connection["candidateArn"].is_null()
                && connection["problems"] == json!([])
        };
        rotating.console.wait_for(rotating.stack.id(), rotated).await.unwrap();
        rotating.heard("confirmed", rotated).await;
    };
    // Each waits until the console asks again.
    tokio::join!(wait(Rotation { path: true, launch: false }), wait(Rotation { path: true, launch: true }));
}

/// F-60, F-11: a new version of the template under a new launch, in the management account and by the StackSet in its members.
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_out_changes_version_and_launch() {
    let world = Testbed::new("management").await;
    let console = console_of(&world).await;
    let directory = Directory { root: world.customer() };
    let (top, unit) = (directory.top().await, directory.unit("workloads").await);
    let mut scenario = Scenario::named("management").unwrap();
    let mut accounts = vec![CUSTOMER.to_owned()];
    for name in ["shop", "data"] {
        let account = directory.account(name).await;
        let place = json!({"mode": "member", "management_account_id": CUSTOMER});
        scenario.organizations.insert(account.clone(), serde_json::from_value::<Organization>(place).unwrap());
        directory.move_account(&account, &top, &unit).await;
        accounts.push(account);
    }
    world.emulator.front().set_scenario(scenario);

    // Each version is published beside the one before.
    let notice_url = world.vendor.notice_url();
    let vendor = [("VendorName", "Acme"), ("VendorAccountId", VENDOR), ("NoticeUrl", notice_url.as_str())];
    let mut urls = Vec::new();
    for version in ["0.1.0", "0.2.0"] {
        let folder = world.emulator.folder().join(version);
        let template = template().unwrap().replace("0.1.0", version);
        let manifest = dist_of(&template, &folder, &[STACK_REGION], &vendor);
        if urls.is_empty() {
            make_bucket(&world.emulator, VENDOR, STACK_REGION, &bucket(&manifest.bucket_prefix, STACK_REGION)).await;
        }
        upload(&world.emulator, &folder).await.unwrap();
        urls.push([ORGANIZATION, TEMPLATE].map(|name| manifest.url(manifest.file(name).unwrap(), STACK_REGION)));
    }

    let first = console.launch_for_organization(&organization_id(CUSTOMER), CUSTOMER).await.unwrap();
    let wanted = |launch: &Launch| -> Parameters {
        let given = [
            ("LaunchToken", launch.token.as_str()),
            ("ExternalId", &launch.external_id),
            ("OrganizationalUnitIds", &unit),
            ("BillingKind", "None"),
        ];
        given.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    let customer = world.customer();
    let stack = launch(&customer, &urls[0][0], &wanted(&first)).await.unwrap();
    for account in &accounts {
        until(&console, account, "verified").await;
    }
    let before = console.connections().await.unwrap();
    assert_eq!(before.len(), 3, "{before:?}");

    let second = console.launch_for_organization(&organization_id(CUSTOMER), CUSTOMER).await.unwrap();
    let mut given = wanted(&second);
    given.insert("MemberTemplateUrl".into(), urls[1][1].clone());
    let given = given.iter().map(|(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build());
    let update = customer.cloudformation().update_stack().stack_name(&stack).template_url(&urls[1][0]);
    update.capabilities(Capability::CapabilityIam).set_parameters(Some(given.collect())).send().await.unwrap();
    assert_eq!(settled(&customer, &stack).await, "UPDATE_COMPLETE", "{}", world.emulator.log());

    for old in &before {
        let id = text(&old["data"]["stackId"]);
        let is_new = |connection: &Value| {
            connection["state"] == "verified"
                && connection["problems"] == json!([])
                && connection["launchId"] != old["launchId"]
                && connection["data"]["templateVersion"] == "0.2.0"
                && connection["data"]["externalId"] == second.external_id.as_str()
        };
        let connection = console.wait_for(&id, is_new).await.unwrap();
        assert_eq!(connection["connectionId"], old["connectionId"]);
        let account = world.emulator.root(&text(&old["data"]["accountId"]), STACK_REGION);
        let run = watch::run(&Stack::existing(&account, &id), &world.vendor).await.unwrap();
        assert_eq!(run.error, None, "{}", world.emulator.handler_log());
        let [notice] = run.notices.as_slice() else { panic!("{} notices", run.notices.len()) };
        assert_eq!((notice.kind(), notice.status), ("hawser.connection.alive", 200), "{}", notice.answer);
        let heard = |now: &Value| now["state"] == "verified" && now["heardAt"] != connection["heardAt"];
        console.wait_for(&id, heard).await.unwrap();
    }
    assert_eq!(console.connections().await.unwrap().len(), 3);
}
