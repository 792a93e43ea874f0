//! The other ways in: access keys, a role that the customer has, and no billing data at all.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK_REGION, VENDOR, assume},
    leaks,
    stack::{Outcome, Stack},
    strict_proxy::shared::BILLING_REGION,
    vendor::{Notice, Script},
    watch,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    calls::{AccessDecision, Vendor, checks_of, named},
    profiles::{as_pairs, assert_only_the_vendor_gets_in, inventory, packs_of, parameters_of, reported, vendor_of},
    world::Testbed,
};

/// What the vendor finds in Secrets Manager.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    id: String,
    secret: String,
}

/// The vendor assumes the role and reads the secret that the notice names.
async fn read_key(world: &Testbed, notice: &Value) -> Key {
    let role = notice["roleArn"].as_str().unwrap();
    let session = assume(&world.emulator, VENDOR, role, Some(&world.parameters["ExternalId"])).await.unwrap().unwrap();
    let input = json!({"SecretId": notice["accessKeySecretArn"]});
    let target = "secretsmanager.GetSecretValue";
    let (status, answer) = session.in_region(STACK_REGION).json("secretsmanager", target, &input).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let found: Value = serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap();
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    Key { id: text("AccessKeyId"), secret: text("SecretAccessKey") }
}

/// Whether AWS takes the key at all.
async fn works(world: &Testbed, key: &Key) -> bool {
    let credentials = aws_credential_types::Credentials::new(&key.id, &key.secret, None, None, "access key");
    let account = Account::with(world.emulator.front().url(), CUSTOMER, BILLING_REGION, credentials);
    match account.sts().get_caller_identity().send().await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("InvalidClientTokenId"), "{error:?}");
            false
        }
    }
}

/// HW-P6, HW-W2: no secret key in a log, a notice, an event, an output or a description of the stack.
async fn assert_keys_are_nowhere(world: &Testbed, stack: &Stack, outcomes: &[Outcome], keys: &[Key]) {
    world.assert_no_leaks();
    let cloudformation = stack.account().cloudformation();
    let described = cloudformation.describe_stacks().stack_name(stack.id()).send().await.unwrap();
    let resources = cloudformation.describe_stack_resources().stack_name(stack.id()).send().await.unwrap();
    let notices: Vec<Value> = world.vendor.notices().iter().map(|notice| notice.event.clone()).collect();
    let texts = [
        ("events", format!("{outcomes:?}")),
        ("stack", format!("{described:?} {resources:?}")),
        ("notices", json!(notices).to_string()),
        ("uploads", format!("{:?}", world.emulator.front().uploads())),
        ("calls", json!(world.emulator.front().calls().all()).to_string()),
        ("emulator", world.emulator.log()),
        ("handler", world.emulator.handler_log()),
    ];
    let texts: Vec<(&str, &str)> = texts.iter().map(|(place, text)| (*place, text.as_str())).collect();
    for key in keys {
        assert!(key.secret.len() > 20, "no secret to look for");
        // The id of a key is the id of a resource, and shows that keys would be found.
        assert_ne!(leaks::search(&texts, &[("an id", &key.id)]), [], "the texts do not speak of {}", key.id);
        let found = leaks::search(&texts, &[("a secret access key", &key.secret)]);
        assert!(found.iter().all(|leak| leak.kind != "a secret access key"), "{found:?}");
    }
}

/// HW-P6: the user's own checks, by key; the role that reads the key can do nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_needs_keys_reads_them_by_its_role() {
    let world = Testbed::new("standalone").await;
    let before = inventory(&world).await;
    let parameters = parameters_of("cloud-iam", &[]);
    let packs = packs_of(&parameters);
    let (mut stack, created) = world.create(&as_pairs(&parameters)).await;
    world.expect_status(&created, "CREATE_COMPLETE");
    let reported = reported(&world);
    assert_eq!(reported["packs"], json!(packs));
    let outputs = stack.outputs().await.unwrap();
    assert_eq!(reported["accessKeySecretArn"], outputs["AccessKeySecretArn"]);
    assert_only_the_vendor_gets_in(&world, &outputs["RoleArn"]).await;

    let first = read_key(&world, &reported).await;
    let user = stack.resources().await.unwrap()["VendorUser"].clone();
    let vendor = Vendor::with_key(&world.emulator, &user, &first.id, &first.secret);
    let wrong = vendor.wrong(&checks_of(&packs)).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let role = vendor_of(&world, &stack).await;
    let list = named("list_users");
    vendor.expect(list, &AccessDecision::Allowed).await.unwrap();
    role.expect(list, &AccessDecision::Denied).await.unwrap();
    role.expect(named("read_secret"), &AccessDecision::Denied).await.unwrap();

    let mut changed = world.with(&as_pairs(&parameters));
    changed.insert("AccessKeySerial".into(), "2".into());
    let rotated = stack.update(&world.template, &changed, &mut |_| {}).await.unwrap();
    world.expect_status(&rotated, "UPDATE_COMPLETE");
    let (at_first, reported) = (reported, self::reported(&world));
    let second = read_key(&world, &reported).await;
    assert_ne!(first, second);
    assert_eq!((at_first["accessKeyId"].as_str(), reported["accessKeyId"].as_str()), (Some(&*first.id), Some(&*second.id)));
    assert!(!works(&world, &first).await, "the old key is left");
    assert!(works(&world, &second).await);
    let vendor = Vendor::with_key(&world.emulator, &user, &second.id, &second.secret);
    vendor.expect(list, &AccessDecision::Allowed).await.unwrap();

    // A rotation that comes with a change that the vendor refuses is taken back: the key that the vendor has stays.
    world.vendor.set_script(Script::Refuse { status: 403, detail: "not now".into() });
    changed.extend([("AccessKeySerial".into(), "3".into()), ("ConnectionName".into(), "another".into())]);
    let refused = stack.update(&world.template, &changed, &mut |_| {}).await.unwrap();
    world.expect_status(&refused, "UPDATE_ROLLBACK_COMPLETE");
    world.vendor.set_script(Script::Accept);
    assert_eq!(read_key(&world, &reported).await, second);
    assert!(works(&world, &second).await);

    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    assert!(!works(&world, &second).await);
    let after = inventory(&world).await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_keys_are_nowhere(&world, &stack, &[created, rotated, refused, outcome], &[first, second]).await;
    world.assert_notices_fit_the_schema(&["established", "updated", "removed"]);
}

/// The ARNs of what is attached to a role of the customer's.
async fn attached(world: &Testbed, role: &str) -> Vec<String> {
    let body = format!("Action=ListAttachedRolePolicies&Version=2010-05-08&RoleName={role}");
    let answer = iam(world, body).await;
    let arn = Regex::new("<PolicyArn>(.+?)</PolicyArn>").unwrap();
    arn.captures_iter(&answer).map(|found| found[1].to_owned()).collect()
}

pub(crate) async fn iam(world: &Testbed, body: String) -> String {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, answer) = world.customer().raw("iam", "POST", "/", &headers, body).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert_eq!(status, 200, "{answer}");
    answer
}

/// HW-P4: the packs attach to the customer's role and come off again; the role, its trust and its own policy stay.
#[tokio::test(flavor = "multi_thread")]
async fn an_existing_role_gets_the_packs_and_outlives_them() {
    let world = Testbed::new("standalone").await;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{VENDOR}:root")}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": world.parameters["ExternalId"]}}}]});
    let body = url::form_urlencoded::Serializer::new("Action=CreateRole&Version=2010-05-08".to_owned())
        .append_pair("RoleName", "thing-theirs")
        .append_pair("Path", "/partners/")
        .append_pair("AssumeRolePolicyDocument", &trust.to_string())
        .finish();
    iam(&world, body).await;
    let own = "arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess";
    iam(&world, format!("Action=AttachRolePolicy&Version=2010-05-08&RoleName=thing-theirs&PolicyArn={own}")).await;
    let before = inventory(&world).await;
    let wanted = [("ExistingRoleName", "thing-theirs"), ("RolePath", "/partners/"), ("BillingRetention", "Delete")];
    let parameters = parameters_of("cost-insights", &wanted);
    let packs = packs_of(&parameters);

    let mut stack = world.created(&as_pairs(&parameters)).await;
    let role = format!("arn:aws:iam::{CUSTOMER}:role/partners/thing-theirs");
    let reported = reported(&world);
    assert_eq!((&reported["packs"], &reported["roleArn"]), (&json!(packs), &json!(role)));
    assert_eq!(attached(&world, "thing-theirs").await.len(), 1 + packs.len());
    assert_only_the_vendor_gets_in(&world, &role).await;
    let wrong = vendor_of(&world, &stack).await.wrong(&checks_of(&packs)).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    world.deleted(&mut stack).await;
    assert_eq!(attached(&world, "thing-theirs").await, [own]);
    assert_only_the_vendor_gets_in(&world, &role).await;
    assert_eq!(inventory(&world).await, before);
    world.assert_no_leaks();
}

/// A name that is no role's fails the stack in IAM's words, and nothing is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_exist_is_refused() {
    let world = Testbed::new("standalone").await;
    let before = inventory(&world).await;
    let wanted = parameters_of("security-posture", &[("ExistingRoleName", "nobody")]);
    let (mut stack, outcome) = world.create(&as_pairs(&wanted)).await;
    world.expect_status(&outcome, "ROLLBACK_COMPLETE");
    assert_eq!(outcome.first_failure(), "The role with name nobody cannot be found.");
    assert_eq!(world.vendor.notices().len(), 0);
    stack.delete(&mut |_| {}).await.unwrap();
    assert_eq!(inventory(&world).await, before);
}

/// No billing data and no pack: the vendor is told of an account, and gets into a role that can do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_connects_without_anything() {
    let world = Testbed::new("standalone").await;
    let before = inventory(&world).await;
    let nothing = [("BillingKind", "None"), ("PackBilling", "None"), ("PackSecurityAudit", "None")];
    let mut stack = world.created(&nothing).await;
    let reported = reported(&world);
    assert_eq!(reported["packs"], json!({}));
    assert_only_the_vendor_gets_in(&world, reported["roleArn"].as_str().unwrap()).await;
    let vendor = vendor_of(&world, &stack).await;
    vendor.expect(named("list_users"), &AccessDecision::Denied).await.unwrap();
    let run = watch::run(&stack, &world.vendor).await.unwrap();
    assert_eq!(run.error, None, "{}", world.emulator.handler_log());
    let said: Vec<&str> = run.notices.iter().map(Notice::kind).collect();
    assert_eq!(said, ["hawser.connection.alive"], "HW-D6: a stack without a billing export says that it is there");
    world.deleted(&mut stack).await;
    assert_eq!(inventory(&world).await, before);
    assert_eq!(world.buckets().await, Vec::<String>::new());
    world.assert_notices_fit_the_schema(&["established", "alive", "removed"]);
}

/// A session of a new role of the vendor's that may assume any role.
async fn session_of_vendor_role(world: &Testbed, name: &str) -> Account {
    let root = Account::root(world.emulator.url(), VENDOR, STACK_REGION);
    let statement = |more: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole"});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let trust = statement(json!({"Principal": {"AWS": format!("arn:aws:iam::{VENDOR}:root")}}));
    let allowed = statement(json!({"Resource": "*"}));
    for pairs in [
        [("Action", "CreateRole"), ("AssumeRolePolicyDocument", &trust), ("Path", "/")],
        [("Action", "PutRolePolicy"), ("PolicyName", "p"), ("PolicyDocument", &allowed)],
    ] {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("Version", "2010-05-08").append_pair("RoleName", name).extend_pairs(pairs).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let (status, body) = root.raw("iam", "POST", "/", &headers, body).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    let arn = format!("arn:aws:iam::{VENDOR}:role/{name}");
    let answer = root.sts().assume_role().role_arn(arn).role_session_name("collector").send().await.unwrap();
    let given = answer.credentials().unwrap();
    let token = Some(given.session_token().to_owned());
    let credentials =
        aws_credential_types::Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "AssumeRole");
    Account::with(world.emulator.url(), VENDOR, STACK_REGION, credentials)
}

/// `VendorPrincipalArn`: one role of the vendor's, and nobody else of its account; a role of another account than the vendor's lets
/// nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn one_role_of_the_vendors_gets_in() {
    let world = Testbed::new("standalone").await;
    let (collector, intern) = (session_of_vendor_role(&world, "collector").await, session_of_vendor_role(&world, "intern").await);
    let gets_in = async |session: &Account, role: &str| {
        let request = session.sts().assume_role().role_arn(role).role_session_name("connection-check");
        request.external_id(&world.parameters["ExternalId"]).send().await.is_ok()
    };
    let principal = format!("arn:aws:iam::{VENDOR}:role/collector");
    let mut stack = world.created(&[("BillingKind", "None"), ("VendorPrincipalArn", &principal)]).await;
    let role = stack.outputs().await.unwrap()["RoleArn"].clone();
    assert!(gets_in(&collector, &role).await);
    assert!(!gets_in(&intern, &role).await);
    assert!(assume(&world.emulator, VENDOR, &role, Some(&world.parameters["ExternalId"])).await.unwrap().is_none());
    // The vendor's whole account again.
    world.updated(&mut stack, &[("BillingKind", "None")]).await;
    assert!(gets_in(&intern, &role).await);
    let elsewhere = [("BillingKind", "None"), ("VendorPrincipalArn", &principal), ("VendorAccountId", "555566667777")];
    world.updated(&mut stack, &elsewhere).await;
    assert!(!gets_in(&collector, &role).await);
    world.deleted(&mut stack).await;
}
