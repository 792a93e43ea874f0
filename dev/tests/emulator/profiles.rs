//! Each profile, deployed: the vendor is told what it was given, gets in as it should and as nobody else does, can do what the
//! packs say and nothing besides, and in the end nothing is left of it.

use std::collections::{BTreeMap, BTreeSet};

use hawser_cli::{profile::Profile, template::Template};
use hawser_dev::{
    constants::{CUSTOMER, STRANGER, VENDOR, assume, may_assume},
    stack::Stack,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    calls::{Vendor, checks, checks_of},
    world::Testbed,
};

/// The packs and modes that these parameters come to.
pub(crate) fn packs_of(parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let packs = Template::ours().packs().into_iter().filter_map(|pack| {
        let by_default = pack.default.map(|mode| mode.as_str().to_owned());
        let mode = parameters.get(&pack.parameter).cloned().or(by_default)?;
        (mode != "None").then_some((pack.name, mode))
    });
    packs.collect()
}

/// The parameters of a profile, with others.
pub(crate) fn parameters_of(profile: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut parameters = Profile::find(profile).unwrap().parameters;
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    parameters
}

pub(crate) fn as_pairs(parameters: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Every user, role, policy, key, secret, function, log group and rule of the account, by name; not what a test made itself.
pub(crate) async fn inventory(world: &Testbed) -> BTreeSet<String> {
    let customer = world.customer();
    let mut found = BTreeSet::new();
    let iam = |action: &'static str| {
        let body = format!("Action={action}&Version=2010-05-08&Scope=Local&MaxItems=1000");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let customer = &customer;
        async move { String::from_utf8(customer.raw("iam", "POST", "/", &headers, body).await.unwrap().1.to_vec()).unwrap() }
    };
    let arn = Regex::new("<Arn>(.+?)</Arn>").unwrap();
    for action in ["ListUsers", "ListRoles", "ListPolicies", "ListInstanceProfiles"] {
        let answer = iam(action).await;
        assert!(answer.contains(&format!("<{action}Result>")), "{answer}");
        found.extend(arn.captures_iter(&answer).map(|found| found[1].to_owned()));
    }
    for (service, target, pointer, name) in [
        ("secretsmanager", "secretsmanager.ListSecrets", "/SecretList", "ARN"),
        ("logs", "Logs_20140328.DescribeLogGroups", "/logGroups", "arn"),
        ("events", "AWSEvents.ListRules", "/Rules", "Arn"),
    ] {
        let (status, answer) = customer.json(service, target, &json!({})).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let list = answer.pointer(pointer).and_then(Value::as_array).unwrap();
        found.extend(list.iter().map(|one| one[name].as_str().unwrap().to_owned()));
    }
    let (status, functions) = customer.raw("lambda", "GET", "/2015-03-31/functions/", &[], "").await.unwrap();
    assert_eq!(status, 200);
    let functions: Value = serde_json::from_slice(&functions).unwrap();
    let functions = functions["Functions"].as_array().unwrap();
    found.extend(functions.iter().map(|one| one["FunctionArn"].as_str().unwrap().to_owned()));
    found.retain(|name| !name.contains("thing-"));
    found
}

/// What the stack told the vendor at last.
pub(crate) fn reported(world: &Testbed) -> Value {
    world.vendor.notices().pop().unwrap().event["data"].clone()
}

/// The vendor, in the role of this stack.
pub(crate) async fn vendor_of<'world>(world: &'world Testbed, stack: &Stack) -> Vendor<'world> {
    let outputs = stack.outputs().await.unwrap();
    let role = &outputs["RoleArn"];
    let session = assume(&world.emulator, VENDOR, role, Some(&world.parameters["ExternalId"])).await.unwrap().unwrap();
    let boundary = stack.resources().await.unwrap().remove("EngineBoundary");
    let boundary = boundary.map(|arn| ("engine_boundary".to_owned(), arn));
    Vendor::new(&world.emulator, session, role, given(world, &outputs).await.into_iter().chain(boundary))
}

/// What calls name that is the stack's.
async fn given(world: &Testbed, outputs: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut given = vec![("stack".to_owned(), hawser_dev::constants::STACK.to_owned())];
    if !outputs["BucketName"].is_empty() {
        let folder = format!("{}/{}/", world.reports().await[0].s3_prefix(), outputs["ReportName"]);
        given.push(("bucket".to_owned(), outputs["BucketName"].clone()));
        given.push(("report".to_owned(), outputs["ReportName"].clone()));
        given.push(("folder".to_owned(), folder));
    }
    given
}

/// The vendor with the external ID, and nobody without both.
pub(crate) async fn assert_only_the_vendor_gets_in(world: &Testbed, role: &str) {
    let external_id = world.parameters["ExternalId"].as_str();
    for (account, external_id, expected) in [
        (VENDOR, Some(external_id), true),
        (VENDOR, Some("another-external-id"), false),
        (VENDOR, None, false),
        (STRANGER, Some(external_id), false),
        (STRANGER, None, false),
    ] {
        let may = may_assume(&world.emulator, account, role, external_id).await.unwrap();
        assert_eq!(may, expected, "account {account} with {external_id:?}");
    }
}

/// HW-P2, HW-P3: a whole life of a profile in which the vendor uses the role.
async fn run_profile(profile: &str, more: &[(&str, &str)]) {
    let world = Testbed::new("standalone").await;
    let before = inventory(&world).await;
    let parameters = parameters_of(profile, more);
    let mut stack = world.created(&as_pairs(&parameters)).await;
    let (reported, packs) = (reported(&world), packs_of(&parameters));
    assert_eq!(reported["packs"], json!(packs));
    let role = stack.outputs().await.unwrap()["RoleArn"].clone();
    assert_eq!(reported["roleArn"], role);
    assert_only_the_vendor_gets_in(&world, &role).await;
    let wrong = vendor_of(&world, &stack).await.wrong(&checks_of(&packs)).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.deleted(&mut stack).await;
    assert!(!may_assume(&world.emulator, VENDOR, &role, Some(&world.parameters["ExternalId"])).await.unwrap());
    let after = inventory(&world).await;
    let left: Vec<&String> = after.difference(&before).filter(|arn| !stays(arn)).collect();
    assert!(left.is_empty(), "{left:?}");
    world.assert_notices_fit_the_schema(&["established", "removed"]);
    world.assert_no_leaks();
}

/// The boundary of roles that the vendor made: as long as one of these roles is there, it must be.
fn stays(arn: &str) -> bool {
    arn.starts_with(&format!("arn:aws:iam::{CUSTOMER}:policy/")) && arn.contains("EngineBoundary")
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_insights() {
    run_profile("cost-insights", &[("BillingRetention", "Delete")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autonomous_optimizer() {
    run_profile("autonomous-optimizer", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autonomous_optimizer_that_acts() {
    run_profile("autonomous-optimizer-read-write", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn security_posture() {
    run_profile("security-posture", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_engine() {
    run_profile("analytics-engine", &[]).await;
}

/// With both packs that the product's guide has for some customers only.
#[tokio::test(flavor = "multi_thread")]
async fn analytics_engine_with_sessions_and_load_balancing() {
    let more = [("PackSessionManager", "ReadWrite"), ("PackLoadBalancing", "ReadWrite"), ("HostedZoneId", "ZENGINE")];
    run_profile("analytics-engine", &more).await;
}

/// Reading alone, of the packs whose profiles write.
#[tokio::test(flavor = "multi_thread")]
async fn packs_that_only_read() {
    let reading =
        ["PackAnalyticsEngine", "PackSessionManager", "PackLoadBalancing", "PackCloudIam"].map(|pack| (pack, "ReadOnly"));
    run_profile("analytics-engine", &reading).await;
}

/// The checks above are ones that fail: of a pack that allows too much, and of one that allows too little.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_with_another_action_is_noticed() {
    let template = hawser_dev::stack::template().unwrap();
    let (start, end) = (template.find("\n  PackEc2Policy:").unwrap(), template.find("\n  PackEcsPolicy:").unwrap());
    let pack = &template[start..end];
    assert!(pack.contains("- ec2:StopInstances\n"));
    let wider = pack.replace("- ec2:StopInstances\n", "- ec2:TerminateInstances\n");
    let world = Testbed::with_template("standalone", &template.replace(pack, &wider)).await;
    let parameters = parameters_of("security-posture", &[("PackSecurityAudit", "None"), ("PackEc2", "ReadWrite")]);
    let stack = world.created(&as_pairs(&parameters)).await;
    let wrong = vendor_of(&world, &stack).await.wrong(&checks_of(&packs_of(&parameters))).await;
    let found: Vec<&str> = wrong.iter().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(found, ["ec2:StopInstances", "ec2:TerminateInstances"], "{wrong:#?}");
}

/// The table has calls for every pack that a profile deploys, in the profile's mode. For all others the requests of
/// `dev/policies/requests.yaml` are enough.
#[test]
fn every_pack_of_a_profile_is_tried_in_its_mode() {
    let tried: BTreeSet<(String, String)> = checks().iter().map(|check| (check.pack.clone(), check.mode.clone())).collect();
    for profile in Profile::all() {
        let deployed = packs_of(&profile.parameters).into_iter().collect();
        assert!(tried.is_superset(&deployed), "{}: {:?}", profile.name, deployed.difference(&tried));
    }
    let packs = Template::ours().packs();
    let known = packs.iter().flat_map(|pack| pack.modes.iter().map(|mode| (pack.name.clone(), mode.as_str().to_owned())));
    assert!(tried.is_subset(&known.collect()));
}

/// Each profile is one that is tested here, and none writes unless its name or its product says so.
#[test]
fn profiles_are_known_and_read_unless_writing_is_the_product() {
    let writes = |profile: &Profile| profile.parameters.values().any(|mode| mode == "ReadWrite");
    let found: Vec<(String, bool)> = Profile::all().iter().map(|profile| (profile.name.clone(), writes(profile))).collect();
    let expected = [
        ("cost-insights", false),
        ("autonomous-optimizer", false),
        ("autonomous-optimizer-read-write", true),
        ("security-posture", false),
        ("cloud-iam", true),
        ("analytics-engine", true),
    ];
    assert_eq!(found, expected.map(|(name, writes)| (name.to_owned(), writes)));
}
