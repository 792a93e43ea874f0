//! The command line without a stack: `hawser connect`, `disconnect` and `preflight`, run as a person runs them, with the
//! credentials of an IAM user or a role, before the real vendor side.

use std::{path::PathBuf, process::Stdio};

use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK_REGION, STRANGER, VENDOR, may_assume},
    vendor::{Console, Script},
};
use regex::Regex;
use serde_json::{Value, json};

use crate::world::{TOKEN, Testbed};

/// Everything, as an administrator may.
const ADMINISTRATOR: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// The same without some actions.
fn without(actions: &[&str]) -> String {
    let statement =
        json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": actions, "Resource": "*"}]);
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// One call of IAM or STS, which must succeed.
async fn call(account: &Account, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("Action", action), ("Version", version)]).extend_pairs(parameters);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, body) = account.raw(service, "POST", "/", &headers, form.finish()).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, 200, "{action}: {text}");
    text
}

fn element(xml: &str, name: &str) -> String {
    let pattern = Regex::new(&format!("<{name}>([^<]*)</{name}>")).unwrap();
    pattern.captures(xml).unwrap_or_else(|| panic!("no `{name}` in {xml}"))[1].to_owned()
}

/// Every name in the account's IAM, to compare before and after.
async fn names(world: &Testbed) -> Vec<String> {
    let iam = world.billing();
    let roles = call(&iam, "iam", "ListRoles", &[]).await;
    let policies = call(&iam, "iam", "ListPolicies", &[("Scope", "Local")]).await;
    let found = Regex::new("<(?:RoleName|PolicyName)>([^<]*)<").unwrap();
    found.captures_iter(&(roles + &policies)).map(|name| name[1].to_owned()).collect()
}

/// Somebody with credentials in the customer's account.
struct CallerSession {
    name: &'static str,
    credentials: Vec<(&'static str, String)>,
}

impl CallerSession {
    /// An IAM user with this policy.
    async fn user(world: &Testbed, name: &'static str, policy: &str) -> Self {
        let iam = world.billing();
        call(&iam, "iam", "CreateUser", &[("UserName", name), ("Path", "/people/")]).await;
        let person = Self { name, credentials: Vec::new() };
        person.may(world, policy).await;
        let key = call(&iam, "iam", "CreateAccessKey", &[("UserName", name)]).await;
        let credentials = vec![
            ("AWS_ACCESS_KEY_ID", element(&key, "AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY", element(&key, "SecretAccessKey")),
        ];
        Self { name, credentials }
    }

    /// From now on, the user may this and no more.
    async fn may(&self, world: &Testbed, policy: &str) {
        let parameters = [("UserName", self.name), ("PolicyName", "may"), ("PolicyDocument", policy)];
        call(&world.billing(), "iam", "PutUserPolicy", &parameters).await;
    }

    /// A session of a role with this policy.
    async fn session(world: &Testbed, name: &'static str, policy: &str) -> Self {
        let iam = world.billing();
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                           "Principal": {"AWS": format!("arn:aws:iam::{CUSTOMER}:root")}}]});
        let trust = trust.to_string();
        let made = [("RoleName", name), ("Path", "/people/"), ("AssumeRolePolicyDocument", trust.as_str())];
        let role = element(&call(&iam, "iam", "CreateRole", &made).await, "Arn");
        call(&iam, "iam", "PutRolePolicy", &[("RoleName", name), ("PolicyName", "may"), ("PolicyDocument", policy)]).await;
        let given = call(&iam, "sts", "AssumeRole", &[("RoleArn", &role), ("RoleSessionName", "anna")]).await;
        let credentials = vec![
            ("AWS_ACCESS_KEY_ID", element(&given, "AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY", element(&given, "SecretAccessKey")),
            ("AWS_SESSION_TOKEN", element(&given, "SessionToken")),
        ];
        Self { name, credentials }
    }
}

/// What a run of the command line came to.
struct CommandRun {
    exit: i32,
    out: String,
    err: String,
}

impl CommandRun {
    fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{}\n{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}", self.out))
    }
}

/// The command line beside this program.
fn binary() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join("hawser")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no `hawser` beside this program (hint: run `cargo build -p hawser --all-features`)"))
}

/// Runs it; nothing of this process's environment reaches it.
async fn hawser(world: &Testbed, person: &CallerSession, token: Option<&str>, arguments: &[&str]) -> CommandRun {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(arguments)
        .env_clear()
        .env("HOME", world.emulator.folder())
        .env("AWS_REGION", STACK_REGION)
        .env("AWS_ENDPOINT_URL", world.emulator.front().url())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("SSL_CERT_FILE", &world.emulator.certificates().authority)
        .envs(person.credentials.iter().map(|(name, value)| (*name, value.as_str())))
        .envs(token.map(|token| ("HAWSER_LAUNCH_TOKEN", token)))
        .stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = CommandRun { exit: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    // HW-W2: no secret is ever printed.
    let secrets = person.credentials.iter().skip(1).map(|(_, secret)| secret.as_str());
    for secret in secrets.chain(token).chain(world.emulator.front().secrets().iter().map(String::as_str)) {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{} printed a secret", arguments[0]);
    }
    ran
}

/// The settings of a launch, as arguments.
fn settings(world: &Testbed, external_id: &str, changes: &[(&str, &str)]) -> Vec<String> {
    let url = world.vendor.notice_url();
    let given = [
        ("VendorName", "Example Vendor"),
        ("PackSecurityAudit", "ReadOnly"),
        ("VendorAccountId", VENDOR),
        ("NoticeUrl", &url),
        ("ConnectionName", "Production"),
        ("ExternalId", external_id),
    ];
    given.iter().chain(changes).flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]).collect()
}

/// The customer's own things are as they were: a report that does not suit, its bucket, a role.
async fn assert_theirs(world: &Testbed, before: &[String]) {
    assert_eq!(world.report_names().await, ["theirs"]);
    assert_eq!(world.buckets().await, ["their-bucket"]);
    assert_eq!(names(world).await, before);
}

/// HW-O1, HW-O2, HW-C3, HW-L5: the whole life, with an IAM user's own credentials and the real vendor side, which asks STS whose
/// word it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_connects_changes_and_disconnects_without_a_stack() {
    let world = Testbed::new("standalone").await;
    let console = Console::start(&world.emulator, &world.vendor.authority()).await.unwrap();
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    let launch = console.launch_direct(CUSTOMER).await.unwrap();
    let token = Some(launch.token.as_str());
    world.customers_report("theirs", "their-bucket", &[("TimeUnit", json!("DAILY"))], true).await;
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    call(&world.billing(), "iam", "CreateRole", &[("RoleName", "theirs"), ("AssumeRolePolicyDocument", trust)]).await;
    let before = names(&world).await;
    let anna = CallerSession::user(&world, "anna", ADMINISTRATOR).await;
    let run = async |command: &str, more: &[&str], changes: &[(&str, &str)]| {
        let settings = settings(&world, &launch.external_id, changes);
        let arguments: Vec<&str> =
            [command].into_iter().chain(settings.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        hawser(&world, &anna, token, &arguments).await
    };

    // Shown, and not done without a word.
    let asked = run("connect", &[], &[]).await.expect(2);
    assert!(
        asked.out.contains("create role `hawser-VendorRole-") && asked.out.contains("ensure report `hawser-"),
        "{}",
        asked.out
    );
    assert!(asked.err.starts_with("error: CONFIRMATION_MISSING: "), "{}", asked.err);
    assert_theirs(&world, &before).await;

    let made = run("connect", &["--yes"], &[]).await.expect(0);
    assert!(
        made.out.contains("  created report `hawser-")
            && made.out.contains("  notified `")
            && made.out.contains("(`hawser.connection.established`)\n"),
        "{}",
        made.out
    );
    assert!(made.out.contains("the vendor is not told whether billing data arrives"), "{}", made.out);
    assert!(made.out.ends_with("\nthe vendor says: connected\n"), "{}", made.out);
    let connections = console.connections().await.unwrap();
    assert_eq!(connections.len(), 1, "{connections:?}");
    let stack_id = connections[0]["data"]["stackId"].as_str().unwrap();
    let connection = console.connected(stack_id).await.unwrap();
    assert_eq!(connection["verifiedArn"], format!("arn:aws:iam::{CUSTOMER}:user/people/anna"));
    let data = &connection["data"];
    assert_eq!(data["packs"], json!({"billing": "ReadOnly", "security-audit": "ReadOnly"}));
    let bucket = data["billingExport"]["bucketName"].as_str().unwrap();
    assert!(world.buckets().await.iter().any(|name| name == bucket));
    let role = data["roleArn"].as_str().unwrap();
    assert!(may_assume(&world.emulator, VENDOR, role, Some(&launch.external_id)).await.unwrap());
    assert!(!may_assume(&world.emulator, VENDOR, role, Some("another-external-id")).await.unwrap());
    assert!(!may_assume(&world.emulator, VENDOR, role, None).await.unwrap());
    assert!(!may_assume(&world.emulator, STRANGER, role, Some(&launch.external_id)).await.unwrap());

    // The same again changes nothing, and nobody is told.
    let (state, reported) = (names(&world).await, world.vendor.notices().len());
    let again = run("connect", &[], &[]).await.expect(0);
    assert!(again.out.ends_with("  nothing changes\n"), "{}", again.out);
    assert_eq!((names(&world).await, world.vendor.notices().len()), (state, reported));

    // Another pack comes, one goes, and billing data changes its kind.
    let changes = [("PackEc2", "ReadOnly"), ("PackSecurityAudit", "None"), ("BillingKind", "CostAndUsageReport2")];
    let changed = run("connect", &["--yes", "--output", "json"], &changes).await.expect(0).json();
    assert_eq!((&changed["plan"]["command"], &changed["done"]["changed"]), (&json!("update"), &json!(true)));
    let connection = console.connected(stack_id).await.unwrap();
    assert_eq!(connection["data"]["packs"], json!({"billing": "ReadOnly", "ec2": "ReadOnly"}));
    assert_eq!(connection["data"]["billingExport"]["kind"], "CostAndUsageReport2");
    assert_eq!(connection["data"]["roleArn"], role);
    assert_eq!(world.report_names().await, ["theirs"], "the report that was replaced is gone");
    assert_eq!(world.exports().len(), 1);
    assert!(!names(&world).await.iter().any(|name| name.contains("SecurityAudit")));
    assert!(may_assume(&world.emulator, VENDOR, role, Some(&launch.external_id)).await.unwrap());

    let ended = run("disconnect", &["--yes"], &changes).await.expect(0);
    assert!(ended.out.contains("  removed role `hawser-VendorRole-"), "{}", ended.out);
    assert_eq!(console.connections().await.unwrap()[0]["state"], "removed");
    assert_theirs(&world, &before).await;
    assert!(world.exports().is_empty());
    assert!(!may_assume(&world.emulator, VENDOR, role, Some(&launch.external_id)).await.unwrap());
    // Again: nothing is left to remove.
    run("disconnect", &["--yes", "--without-notice"], &changes).await.expect(0);
    assert_theirs(&world, &before).await;
    world.assert_notices_fit_the_schema(&["established", "updated", "removed"]);
    world.assert_all_fit();
}

/// A session of a role, as of IAM Identity Center; and what stops half-way is said, finished and removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_finished_by_running_again() {
    let world = Testbed::new("management").await;
    let before = names(&world).await;
    let little = CallerSession::user(&world, "little", &without(&["iam:AttachRolePolicy"])).await;
    let settings = settings(&world, "external-id-of-the-test", &[]);
    let arguments = |command: &'static str, more: &[&'static str]| -> Vec<String> {
        let words = [command].into_iter().chain(more.iter().copied()).map(str::to_owned);
        words.chain(settings.iter().cloned()).collect()
    };
    let run = async |person: &CallerSession, command: &'static str, more: &[&'static str]| {
        let arguments = arguments(command, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        hawser(&world, person, Some(TOKEN), &arguments).await
    };
    let stopped = run(&little, "connect", &["--yes"]).await.expect(1);
    assert!(
        stopped.err.starts_with("error: AWS_DENIED_BY_IDENTITY_POLICY: `iam:AttachRolePolicy` was denied"),
        "{}",
        stopped.err
    );
    let there = stopped.err.lines().find(|line| line.contains("there is now: ")).unwrap();
    assert!(["role `hawser-", "report `hawser-", "bucket `hawser-"].iter().all(|fixture| there.contains(fixture)), "{there}");
    assert!(world.vendor.notices().is_empty(), "the vendor hears of nothing that is half made");

    let admin = CallerSession::session(&world, "Admin", ADMINISTRATOR).await;
    let done = run(&admin, "connect", &["--yes"]).await.expect(0);
    assert!(!done.out.contains("created report"), "what is there is kept: {}", done.out);
    let established = world.vendor.notices();
    assert_eq!(established.len(), 1);
    assert_eq!(established[0].kind(), "hawser.connection.established");
    assert_eq!(established[0].event["data"]["organization"]["accountRole"], "management");

    // The vendor does not answer: the customer can leave all the same.
    world.vendor.set_script(Script::Refuse { status: 403, detail: "no".into() });
    let ended = run(&admin, "disconnect", &["--yes"]).await.expect(0);
    assert!(ended.out.contains("note: removed, but the vendor was not notified"), "{}", ended.out);
    let mut left = names(&world).await;
    left.retain(|name| name != "Admin");
    assert_eq!(left, before);
    assert_eq!((world.report_names().await, world.buckets().await), (Vec::<String>::new(), Vec::<String>::new()));

    // Without credentials, and with those of the root user.
    let nobody = CallerSession { name: "nobody", credentials: Vec::new() };
    let none = run(&nobody, "connect", &["--yes"]).await.expect(1);
    assert!(none.err.starts_with("error: CREDENTIALS_MISSING: "), "{}", none.err);
    let root = vec![("AWS_ACCESS_KEY_ID", CUSTOMER.to_owned()), ("AWS_SECRET_ACCESS_KEY", "test".to_owned())];
    let command_error = run(&CallerSession { name: "root", credentials: root }, "connect", &["--yes"]).await.expect(3);
    assert!(command_error.err.starts_with("error: CONNECT_CALLER: "), "{}", command_error.err);
}

/// Looks only, and its exit code tells a script.
#[tokio::test(flavor = "multi_thread")]
async fn preflight_before_a_launch() {
    let world = Testbed::new("standalone").await;
    let anna = CallerSession::user(&world, "anna", ADMINISTRATOR).await;
    let look = async |more: &[&str]| {
        let arguments: Vec<&str> = ["preflight", "--profile", "cost-insights"].into_iter().chain(more.iter().copied()).collect();
        let ran = hawser(&world, &anna, None, &arguments).await;
        (ran.exit, if more.contains(&"json") { ran.json() } else { Value::Null }, ran.out)
    };
    let (exit, _, text) = look(&[]).await;
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("  organization  standalone") && text.ends_with("ready: no problem was found\n"), "{text}");
    assert!(!text.contains("which permissions you lack"), "{text}");

    // What decides is IAM's own word about this very user, narrow as it may be.
    let lacks = async |policy: &str| {
        anna.may(&world, policy).await;
        look(&["--output", "json"]).await
    };
    let (exit, report, _) = lacks(&without(&["iam:CreateRole", "lambda:DeleteFunction"])).await;
    assert_eq!((exit, &report["outcome"]), (3, &json!("would-fail")), "{report}");
    let lack = |action: &str| report["lacks"].as_array().unwrap().iter().find(|lack| lack["action"] == action).cloned().unwrap();
    assert_eq!(lack("iam:CreateRole")["resources"], json!(["HandlerRole", "VendorRole"]));
    assert_eq!(lack("iam:CreateRole")["why"], "a policy of this account denies it");
    assert_eq!(lack("lambda:DeleteFunction")["phase"], "delete");
    assert_eq!(report["failures"].as_array().unwrap().len(), 1, "{report}");
    let narrow = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "NotAction": "iam:CreateRole", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:CreateRole", "Resource": format!("arn:aws:iam::{CUSTOMER}:role/hawser-*")}]});
    assert_eq!(lacks(&narrow.to_string()).await.0, 0, "a permission by name is one");

    // Who may not ask IAM is told so, and the rest is said.
    let (exit, report, _) = lacks(&without(&["iam:SimulatePrincipalPolicy", "organizations:*"])).await;
    assert_eq!((exit, &report["outcome"]), (4, &json!("could-not-look")), "{report}");
    let unknown = report["unknown"].to_string();
    assert!(unknown.contains("which permissions you lack: `iam:SimulatePrincipalPolicy` was denied"), "{unknown}");
    assert!(unknown.contains("you may not call `organizations:DescribeOrganization`"), "{unknown}");
    // Who may not see reports cannot know what the stack would do about them.
    let (exit, report, _) = lacks(&without(&["cur:*"])).await;
    assert_eq!((exit, &report["outcome"]), (4, &json!("could-not-look")), "{report}");
    anna.may(&world, ADMINISTRATOR).await;

    for number in 0..10 {
        let changes = [("TimeUnit", json!("DAILY"))];
        world.customers_report(&format!("report-{number}"), "their-bucket", &changes, number == 0).await;
    }
    let (exit, _, text) = look(&[]).await;
    assert_eq!(exit, 3, "{text}");
    assert!(text.contains("  reports       10 of 10: `report-0`") && text.contains("  BILLING_REPORT_LIMIT: "), "{text}");
    assert_eq!(look(&["--set", "BillingKind=None"]).await.0, 0);
    assert_eq!(look(&["--set", "PackEc3=ReadOnly"]).await.0, 2);
    assert_eq!(look(&["--region", "mars-1"]).await.0, 2, "there is no such Region");
    assert_eq!(look(&["--region", "cn-north-1"]).await.0, 2, "a Region of another partition");
    let writes = |call: &hawser_dev::strict_proxy::calls::Call| {
        !["Get", "List", "Describe", "Head", "Simulate"].iter().any(|read| call.operation.starts_with(read))
    };
    let written: Vec<String> =
        world.calls().iter().filter(|call| writes(call)).map(hawser_dev::strict_proxy::calls::Call::name).collect();
    assert_eq!(written, Vec::<String>::new(), "it only looks");
}
