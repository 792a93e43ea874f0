//! A connection without a stack, in memory: what is shown, what is made, what changes, what goes, and what is refused.

use std::{collections::BTreeMap, sync::Mutex};

use hawser::ports::{Ports, Progress};
use hawser_account::{AccountFile, file::ReportFile};
use hawser_cli::{
    connect::{Caller, ConnectRequest, ConnectionPlan, ConnectionResult, StacklessConnection, access, connection_id, iam::Iam},
    error::{CommandError, Exit},
    template::Template,
};
use hawser_sim::{InjectedFault, World, script::VENDOR_CALL};

use crate::{
    ACCOUNT, TOKEN,
    fake_iam::{FakeIam, IamState},
    parameters, support,
};

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl Progress for Lines {
    fn done(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
}

/// An account, its IAM, a vendor, and a person.
struct Scene {
    world: World,
    iam: FakeIam,
    lines: Lines,
    caller: Caller,
}

fn settings(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let given = [
        ("VendorName", "Example Vendor"),
        ("VendorAccountId", "999988887777"),
        ("NoticeUrl", "https://vendor.example/notices"),
        ("ConnectionName", "Production"),
        ("ExternalId", "external-id-1"),
        ("LaunchToken", TOKEN),
        ("PackSecurityAudit", "ReadOnly"),
    ];
    parameters(&[&given, changes].concat())
}

impl Scene {
    fn new(account: AccountFile) -> Self {
        let caller = Caller::read(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/Admin/anna"), ACCOUNT).unwrap();
        let iam = FakeIam::default();
        iam.state().summary = BTreeMap::from([("AttachedPoliciesPerRoleQuota".to_owned(), 10)]);
        Self { world: World::new(account), iam, lines: Lines::default(), caller }
    }

    fn connect_request(&self, changes: &[(&str, &str)]) -> ConnectRequest {
        ConnectRequest {
            template: Template::ours(),
            parameters: settings(changes),
            caller: self.caller.clone(),
            region: "eu-west-1".parse().unwrap(),
            managed_policies_quota: None,
        }
    }

    fn ports(&self) -> Ports<'_> {
        Ports { progress: &self.lines, ..self.world.ports() }
    }

    async fn plan(&self, changes: &[(&str, &str)]) -> Result<ConnectionPlan, CommandError> {
        let (request, ports) = (self.connect_request(changes), self.ports());
        StacklessConnection::new(&request, ports, &self.iam)?.plan().await
    }

    async fn connect(&self, changes: &[(&str, &str)]) -> Result<(ConnectionPlan, ConnectionResult), CommandError> {
        let (request, ports) = (self.connect_request(changes), self.ports());
        // Each run of the command is a moment later than the last.
        ports.clock.sleep(std::time::Duration::from_secs(1)).await;
        let direct = StacklessConnection::new(&request, ports, &self.iam)?;
        let plan = direct.plan().await?;
        Ok((plan.clone(), direct.connect(&plan).await?))
    }

    async fn disconnect(&self, changes: &[(&str, &str)]) -> Result<(ConnectionPlan, ConnectionResult), CommandError> {
        let (request, ports) = (self.connect_request(changes), self.ports());
        ports.clock.sleep(std::time::Duration::from_secs(1)).await;
        let direct = StacklessConnection::new(&request, ports, &self.iam)?;
        let plan = direct.plan_disconnect(true).await?;
        Ok((plan.clone(), direct.disconnect(&plan).await?))
    }

    async fn there(&self) -> Vec<String> {
        let (request, ports) = (self.connect_request(&[]), self.ports());
        let direct = StacklessConnection::new(&request, ports, &self.iam).unwrap();
        direct.existing_resources().await
    }

    fn kinds(&self) -> Vec<String> {
        let kind = |notice: &serde_json::Value| notice["type"].as_str().unwrap().replace("hawser.connection.", "");
        self.world.vendor.notices().iter().map(kind).collect()
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.0.lock().unwrap())
    }

    fn state(&self) -> IamState {
        self.iam.state().clone()
    }
}

fn refusal<T>(answer: Result<T, CommandError>) -> CommandError {
    answer.err().unwrap()
}

/// HW-P5
#[tokio::test(start_paused = true)]
async fn everything_is_shown_before_anything_is_made() {
    let scene = Scene::new(AccountFile::default());
    let before = scene.world.account.state();
    let plan = scene.plan(&[("PackEc2", "ReadWrite")]).await.unwrap();
    insta::assert_snapshot!(plan.to_string());
    assert_eq!(scene.iam.writes(), Vec::<&str>::new());
    assert_eq!(scene.world.account.state(), before);
    assert!(scene.kinds().is_empty() && scene.lines().is_empty());
    assert!(!format!("{plan}{plan:?}{}", serde_json::to_string(&plan).unwrap()).contains(TOKEN));
}

/// HW-O1, HW-L5.
#[tokio::test(start_paused = true)]
async fn connecting_makes_what_the_template_has_and_again_changes_nothing() {
    let scene = Scene::new(AccountFile::default());
    let (_, done) = scene.connect(&[]).await.unwrap();
    assert!(done.changed);
    assert_eq!((done.connection_id.as_str(), done.message.as_str()), ("c-1", "welcome"));
    assert_eq!(scene.kinds(), ["established"]);
    insta::assert_snapshot!(scene.lines().join("\n"));

    // Role and packs are those of the template, word for word.
    let stack = connection_id(&scene.caller.account, scene.caller.partition, "Production").unwrap();
    let state = scene.state();
    let role = &state.roles[&access::name(&stack, "VendorRole")];
    assert_eq!(role.trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::999988887777:root");
    assert_eq!(role.trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "external-id-1");
    assert_eq!(done.role_arn, role.arn);
    let policies: Vec<&str> = state.policies.values().map(|(policy, _)| policy.description.as_str()).collect();
    assert_eq!(policies, ["Hawser pack billing", "Hawser pack security-audit"]);
    let bucket = done.billing["BucketName"].as_str();
    assert!(state.policies.values().any(|(_, versions)| versions[0].1.to_string().contains(bucket)), "{bucket}");
    assert!(!state.policies.values().any(|(_, versions)| versions[0].1.to_string().contains("\"Ref\"")));
    assert!(state.attached.contains(&(role.name.clone(), "arn:aws:iam::aws:policy/SecurityAudit".to_owned())));
    for tags in state.roles.values().map(|role| &role.tags).chain(state.policies.values().map(|(policy, _)| &policy.tags)) {
        assert_eq!(tags["hawser:stack-id"], stack.as_str());
    }
    let reported = &scene.world.vendor.connected()[stack.as_str()];
    assert_eq!(reported["roleArn"], role.arn.as_str());
    assert_eq!(reported["externalId"], "external-id-1");
    assert_eq!(reported["packs"], serde_json::json!({"billing": "ReadOnly", "security-audit": "ReadOnly"}));
    assert_eq!(reported["billingExport"]["bucketName"], bucket);

    let (account, _) = (scene.world.account.state(), scene.iam.writes());
    let (plan, done) = scene.connect(&[]).await.unwrap();
    assert!(plan.is_empty() && !done.changed, "{plan}");
    assert_eq!((scene.state(), scene.world.account.state()), (state, account));
    assert_eq!(scene.iam.writes(), Vec::<&str>::new());
    assert_eq!(scene.kinds(), ["established"]);
}

#[tokio::test(start_paused = true)]
async fn other_packs_and_another_kind_are_an_update() {
    let scene = Scene::new(AccountFile::default());
    scene.connect(&[("PackEc2", "ReadOnly")]).await.unwrap();
    let first = scene.world.account.state();
    scene.lines();
    let changes = [
        ("PackEc2", "ReadWrite"),
        ("PackSecurityAudit", "None"),
        ("PackEbs", "ReadOnly"),
        ("BillingKind", "CostAndUsageReport2"),
    ];
    let (plan, done) = scene.connect(&changes).await.unwrap();
    insta::assert_snapshot!(plan.to_string());
    assert_eq!(scene.kinds(), ["established", "updated"]);
    assert_eq!(done.billing["Kind"], "CostAndUsageReport2");
    let state = scene.world.account.state();
    assert!(state.reports.is_empty() && state.exports.len() == 1, "{state:?}");
    assert_eq!(first.reports.len(), 1);
    // What the vendor loses goes after it was told.
    let lines = scene.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {lines:#?}"));
    assert!(
        at("changed policy `hawser-PackEc2Policy") < at("notified `vendor.example`")
            && at("created export") < at("notified `vendor.example`")
    );
    assert!(
        at("notified `vendor.example`") < at("detached `SecurityAudit`")
            && at("notified `vendor.example`") < at("removed report")
    );
    let connected = scene.world.vendor.connected();
    assert_eq!(
        connected.values().next().unwrap()["packs"],
        serde_json::json!({"billing": "ReadOnly", "ec2": "ReadWrite", "ebs": "ReadOnly"})
    );
    let names: Vec<String> = scene.state().policies.values().map(|(policy, _)| policy.description.clone()).collect();
    assert_eq!(names, ["Hawser pack billing", "Hawser pack ebs", "Hawser pack ec2"]);
}

/// HW-O2: the customer's own things, and what the customer adds to ours.
#[tokio::test(start_paused = true)]
async fn disconnecting_removes_all_of_it_and_nothing_else() {
    let mut account = AccountFile::default();
    account.reports.push(ReportFile { time_unit: "DAILY".to_owned(), ..ReportFile::hourly("theirs", "their-bucket") });
    let scene = Scene::new(account);
    let theirs = hawser_cli::connect::iam::Role { name: "theirs".to_owned(), ..Default::default() };
    scene.iam.create_role(&theirs).await.unwrap();
    let before = (scene.world.account.state(), scene.state());
    let (_, done) = scene.connect(&[]).await.unwrap();
    let role = done.role_arn.rsplit('/').next().unwrap().to_owned();
    // Somebody has put more on our role.
    scene.iam.state().inline.insert((role.clone(), "more".to_owned()));
    scene.iam.attach(&role, "arn:aws:iam::aws:policy/ReadOnlyAccess").await.unwrap();
    scene.lines();
    let (plan, done) = scene.disconnect(&[]).await.unwrap();
    insta::assert_snapshot!(plan.to_string());
    insta::assert_snapshot!(scene.lines().join("\n"));
    assert_eq!(done.remarks, Vec::<String>::new());
    assert_eq!(scene.kinds(), ["established", "removed"]);
    assert!(scene.world.vendor.connected().is_empty());
    assert_eq!((scene.world.account.state(), scene.state()), before);
    assert_eq!(scene.there().await, Vec::<String>::new());

    // Again: the vendor has heard, and nothing is left.
    let (plan, _) = scene.disconnect(&[]).await.unwrap();
    assert!(plan.access.is_empty() && plan.afterwards.is_empty(), "{plan}");
    // And once more from the beginning, under the same names.
    scene.connect(&[]).await.unwrap();
    assert_eq!(scene.world.vendor.connected().len(), 1);
}

/// HW-O4.
#[tokio::test(start_paused = true)]
async fn data_is_kept_unless_deletion_is_requested() {
    for (retention, buckets) in [("Retain", 1), ("Delete", 0)] {
        let scene = Scene::new(AccountFile::default());
        let context = [("BillingRetention", retention)];
        let _ = scene.connect(&context).await.unwrap();
        scene.world.account.deliver();
        let (_, done) = scene.disconnect(&context).await.unwrap();
        assert_eq!(scene.world.account.state().buckets.len(), buckets, "{retention}");
        assert_eq!(done.remarks.len(), buckets, "{:?}", done.remarks);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_is_shown_finished_and_removed() {
    for action in ["iam:CreateRole", "iam:CreatePolicy", "iam:AttachRolePolicy", "iam:TagRole"] {
        let scene = Scene::new(AccountFile::default());
        scene.iam.deny(action);
        let why = refusal(scene.connect(&[]).await);
        assert!(why.exit() == Exit::External && why.to_string().starts_with("AWS_ACCESS_DENIED: "), "{why}");
        assert!(why.to_string().contains(action) && why.to_string().contains("Allow yourself the action"), "{why}");
        let there = scene.there().await;
        assert!(there.iter().any(|thing| thing.starts_with("report `hawser-")), "{there:?}");
        assert!(there.iter().any(|thing| thing.starts_with("bucket `hawser-")), "{there:?}");
        scene.iam.allow_all();
        scene.connect(&[]).await.unwrap();
        assert!(scene.plan(&[]).await.unwrap().is_empty(), "{action}");
        scene.disconnect(&[]).await.unwrap();
        assert_eq!(scene.there().await, Vec::<String>::new());

        scene.iam.deny(action);
        refusal(scene.connect(&[]).await);
        scene.iam.allow_all();
        scene.disconnect(&[]).await.unwrap();
        assert_eq!(scene.there().await, Vec::<String>::new(), "{action}");
        assert!(scene.world.vendor.connected().is_empty(), "{action}");
    }
}

/// HW-C4: nothing is written down as agreed that the vendor refused.
#[tokio::test(start_paused = true)]
async fn a_vendor_that_refuses_is_asked_again() {
    let scene = Scene::new(AccountFile::default());
    scene.world.script.inject_all(VENDOR_CALL, InjectedFault::Denied);
    let why = refusal(scene.connect(&[]).await);
    assert_eq!(why.code(), "VENDOR_REFUSED", "{why}");
    assert_ne!(why.exit(), Exit::External);
    scene.world.script.clear_faults();
    assert!(scene.plan(&[]).await.unwrap().notice.is_some());
    scene.connect(&[]).await.unwrap();
    assert_eq!(scene.kinds(), ["established"]);
    // HW-C5: on the way out its word does not count.
    scene.world.script.inject_all(VENDOR_CALL, InjectedFault::Denied);
    let (_, done) = scene.disconnect(&[]).await.unwrap();
    assert!(done.remarks[0].contains("the vendor was not notified"), "{:?}", done.remarks);
    assert_eq!(scene.there().await, Vec::<String>::new());
}

/// HW-O2.
#[tokio::test(start_paused = true)]
async fn a_resource_of_our_name_without_our_tags_is_foreign() {
    for kind in ["role", "policy"] {
        let scene = Scene::new(AccountFile::default());
        scene.connect(&[]).await.unwrap();
        {
            let mut state = scene.iam.state();
            match kind {
                "role" => state.roles.values_mut().for_each(|role| role.tags.clear()),
                _ => state.policies.values_mut().for_each(|(policy, _)| policy.tags.clear()),
            }
        }
        let before = scene.state();
        for why in [refusal(scene.connect(&[("PackEc2", "ReadOnly")]).await), refusal(scene.disconnect(&[]).await)] {
            assert_eq!(why.code(), "CONNECT_NOT_OURS", "{why}");
            assert!(why.to_string().contains(kind), "{why}");
        }
        assert_eq!(scene.state(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_others_use_is_not_taken_from_them() {
    let scene = Scene::new(AccountFile::default());
    scene.connect(&[]).await.unwrap();
    let arn = scene.state().policies.keys().next().unwrap().clone();
    scene.iam.state().others.insert(("anna".to_owned(), arn));
    let why = refusal(scene.disconnect(&[]).await);
    assert_eq!(why.code(), "CONNECT_POLICY_IN_USE", "{why}");
    assert!(why.to_string().contains("`anna`"), "{why}");
}

/// IAM keeps five versions of a policy.
#[tokio::test(start_paused = true)]
async fn a_pack_can_change_any_number_of_times() {
    let scene = Scene::new(AccountFile::default());
    for round in 0..7 {
        let mode = if round % 2 == 0 { "ReadOnly" } else { "ReadWrite" };
        scene.connect(&[("PackEc2", mode)]).await.unwrap();
        let state = scene.state();
        let (_, versions) = state.policies.values().find(|(policy, _)| policy.description.ends_with("ec2")).unwrap();
        assert!(versions.len() <= 5);
        assert_eq!(versions.last().unwrap().1.to_string().contains("ec2:StopInstances"), mode == "ReadWrite", "{round}");
    }
}

/// IAM User Guide, "Changes that I make are not always immediately visible".
#[tokio::test(start_paused = true)]
async fn what_iam_does_not_show_yet_is_waited_for() {
    let scene = Scene::new(AccountFile::default());
    scene.iam.lag(3);
    scene.connect(&[]).await.unwrap();
    scene.iam.lag(3);
    scene.disconnect(&[]).await.unwrap();
    assert_eq!(scene.there().await, Vec::<String>::new());
    // And not for ever.
    scene.iam.lag(100);
    assert!(refusal(scene.connect(&[]).await).to_string().contains("NoSuchEntity"));
}

#[tokio::test(start_paused = true)]
async fn an_existing_role_gets_only_the_packs() {
    let scene = Scene::new(AccountFile::default());
    let existing = [("ExistingRoleName", "theirs")];
    assert_eq!(refusal(scene.plan(&existing).await).code(), "CONNECT_ROLE_MISSING");
    let theirs = hawser_cli::connect::iam::Role { name: "theirs".to_owned(), path: "/".to_owned(), ..Default::default() };
    scene.iam.create_role(&theirs).await.unwrap();
    let (_, done) = scene.connect(&existing).await.unwrap();
    assert_eq!(done.role_arn, "arn:aws:iam::111122223333:role/theirs");
    let state = scene.state();
    assert_eq!(state.roles.values().collect::<Vec<_>>(), [&theirs]);
    assert!(state.attached.iter().all(|(role, _)| role == "theirs") && state.attached.len() == 2, "{:?}", state.attached);
    assert!(scene.plan(&existing).await.unwrap().is_empty());
    // From the customer's role to one of our own, and back.
    scene.connect(&[]).await.unwrap();
    assert!(scene.state().attached.iter().all(|(role, _)| role.starts_with("hawser-VendorRole-")));
    scene.connect(&existing).await.unwrap();
    scene.disconnect(&existing).await.unwrap();
    assert_eq!(scene.state().roles.values().collect::<Vec<_>>(), [&theirs]);
    assert!(scene.state().attached.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_roles_settings_follow() {
    let scene = Scene::new(AccountFile::default());
    scene.connect(&[]).await.unwrap();
    let boundary = ("PermissionsBoundaryArn", "arn:aws:iam::111122223333:policy/boundary");
    scene.connect(&[boundary, ("ExternalId", "external-id-2"), ("VendorName", "Another Name")]).await.unwrap();
    let role = scene.state().roles.into_values().next().unwrap();
    assert_eq!(role.boundary.as_deref(), Some(boundary.1));
    assert_eq!(role.trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "external-id-2");
    assert!(role.description.contains("Another Name"));
    scene.connect(&[]).await.unwrap();
    assert_eq!(scene.state().roles.into_values().next().unwrap().boundary, None);
    assert_eq!(scene.kinds(), ["established", "updated", "updated"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_before_anything_is_looked_at() {
    let caller = |arn: &str| Caller::read(arn, ACCOUNT).unwrap();
    let mut scene = Scene::new(AccountFile::default());
    let command_error = [
        ([("ExternalId", "")], "CONNECT_EXTERNAL_ID"),
        ([("AccessMethod", "AccessKey")], "CONNECT_NEEDS_STACK"),
        ([("PackEc2", "Everything")], "PARAMETER_INVALID"),
        ([("PackEcs2", "ReadOnly")], "PARAMETER_UNKNOWN"),
        ([("ExistingPrefix", "a")], "RULE_FAILED"),
    ];
    for (changes, code) in command_error {
        let why = refusal(scene.plan(&changes).await);
        assert_eq!(why.code(), code, "{why}");
    }
    for arn in ["arn:aws:iam::111122223333:root", "arn:aws:sts::111122223333:federated-user/anna"] {
        scene.caller = caller(arn);
        assert_eq!(refusal(scene.plan(&[]).await).code(), "CONNECT_CALLER", "{arn}");
    }
    scene.caller = caller("arn:aws:iam::111122223333:user/team/anna");
    scene.plan(&[]).await.unwrap();
    let mut request = scene.connect_request(&[]);
    request.parameters.insert("LaunchToken".to_owned(), "whsec_".to_owned() + &"A".repeat(33));
    let direct = StacklessConnection::new(&request, scene.ports(), &scene.iam).unwrap();
    assert_eq!(refusal(direct.plan().await).code(), "CONNECT_TOKEN");
    // Ten policies are AWS's quota; SecurityAudit itself is one.
    let all = ["Common", "Ebs", "Ec2", "Ecs", "Eks", "Lambda", "Rds", "S3"].map(|pack| (format!("Pack{pack}"), "ReadOnly"));
    let all: Vec<(&str, &str)> = all.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    let why = refusal(scene.plan(&all).await);
    assert_eq!(why.code(), "MANAGED_POLICIES_LIMIT", "{why}");
    assert!(why.to_string().contains("11 managed policies"), "{why}");
    scene.iam.state().summary.insert("AttachedPoliciesPerRoleQuota".to_owned(), 11);
    scene.plan(&all).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_never_changes_is_refused() {
    let scene = Scene::new(AccountFile::default());
    scene.connect(&[]).await.unwrap();
    assert_eq!(refusal(scene.plan(&[("RolePath", "/team/")]).await).code(), "CONNECT_PATH_FIXED");
    let why = refusal(scene.plan(&[("NamePrefix", "another")]).await);
    assert_eq!(why.code(), "PROPERTY_IMMUTABLE", "{why}");
    // The end finds what was made under the earlier prefix all the same.
    scene.disconnect(&[("NamePrefix", "another")]).await.unwrap();
    assert_eq!(scene.there().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_handlers_own_refusal_comes_with_its_own_words() {
    let daily = |n| ReportFile { time_unit: "DAILY".to_owned(), ..ReportFile::hourly(&format!("r{n}"), "b") };
    let scene = Scene::new(AccountFile { reports: (0..10).map(daily).collect(), ..AccountFile::default() });
    let why = refusal(scene.plan(&[]).await);
    assert_eq!(why.code(), "BILLING_REPORT_LIMIT", "{why}");
    assert!(scene.iam.writes().is_empty());
}

#[test]
fn the_id_is_the_same_wherever_the_command_runs() {
    let account = ACCOUNT.parse().unwrap();
    let id = |partition: &str, name| connection_id(&account, partition.parse().unwrap(), name).unwrap();
    assert_eq!(
        id("aws", "Production").as_str(),
        "arn:aws:cloudformation:us-east-1:111122223333:stack/hawser-connect/582dd494-72de-891b-a4e5-a3553d8fbbec"
    );
    assert_ne!(id("aws", "Production"), id("aws", "Staging"));
    for partition in ["aws-cn", "aws-us-gov", "aws-eusc"] {
        assert_eq!(id(partition, "a").partition.as_str(), partition);
    }
    // Longest names fit IAM: 64 letters for a role, 128 for a policy.
    assert!(access::name(&id("aws", "a"), "PackAnalyticsEnginePolicy").len() <= 64);
    assert_eq!(
        access::logical_id_of(&id("aws", "a"), &access::name(&id("aws", "a"), "VendorRole")).as_deref(),
        Some("VendorRole")
    );
    assert_eq!(access::logical_id_of(&id("aws", "b"), &access::name(&id("aws", "a"), "VendorRole")), None);
}

/// What a person reads first; each example is one that the command line takes.
#[test]
fn help_says_what_each_does_with_an_example_and_exit_codes() {
    let hawser = |arguments: &[&str]| {
        let mut command = support::hawser();
        command.args(arguments).env("HAWSER_LAUNCH_TOKEN", TOKEN).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    for command in ["connect", "disconnect", "preflight"] {
        let (exit, help, _) = hawser(&[command, "--help"]);
        assert_eq!(exit, 0);
        insta::assert_snapshot!(format!("help_{command}"), help);
        let example = help.lines().find(|line| line.trim().starts_with(&format!("hawser {command} "))).unwrap().trim();
        let arguments: Vec<&str> =
            example.split_whitespace().skip(1).filter(|word| !["--launch-token-file", "token.txt"].contains(word)).collect();
        let (exit, _, error) = hawser(&arguments);
        assert_eq!(exit, 1, "{error}");
        assert!(error.starts_with("error: CREDENTIALS_MISSING: "), "{command}: {error}");
        let (exit, json, _) = hawser(&[&arguments[..], &["--output", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((exit, &json["code"]), (1, &"CREDENTIALS_MISSING".into()));
    }
    // HW-W2: a token is no argument, and is not repeated.
    let (exit, _, error) = hawser(&["connect", "--set", &format!("LaunchToken={TOKEN}")]);
    assert_eq!(exit, 2);
    assert!(error.starts_with("error: TOKEN_IN_ARGUMENTS: ") && !error.contains(TOKEN), "{error}");
}
