//! Who speaks for a stack: AWS confirms its handler through the vendor's role, and nobody else of the account is heard, also not the
//! role of another vendor that reads what it may.

use std::collections::BTreeMap;

use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK, STACK_REGION, STRANGER, VENDOR, assume, parameters},
    stack::{Outcome, Parameters, Stack},
    vendor::{Console, Launch, Notice, Script, ScriptedVendor},
    watch,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    access::iam,
    world::{TOKEN, Testbed},
};

/// The real vendor side behind the scripted one.
pub(crate) async fn console_of(world: &Testbed) -> Console {
    let console = Console::start(&world.emulator, &world.vendor.authority()).await.unwrap();
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    console
}

/// Parameters of a stack without billing data: there is less to wait for.
pub(crate) fn little(notice_url: &str, launch: &Launch) -> Parameters {
    let mut wanted = parameters(notice_url, launch);
    wanted.insert("BillingKind".into(), "None".into());
    wanted.insert("PackSecurityAudit".into(), "None".into());
    wanted
}

async fn create(world: &Testbed, name: &str, template: &str, wanted: &Parameters) -> (Stack, Outcome) {
    Stack::create(&world.customer(), name, template, wanted, &mut |_| {}).await.unwrap()
}

/// One operation of CloudFormation or EventBridge in a session, and what came of it.
async fn ask(session: &Account, service: &str, operation: &str, input: &[(&str, &str)]) -> (u16, String) {
    let (status, answer) = if service == "events" {
        let input: BTreeMap<&str, &str> = input.iter().copied().collect();
        let target = format!("AWSEvents.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        session.raw(service, "POST", "/", &headers, json!(input).to_string()).await.unwrap()
    } else {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([("Action", operation), ("Version", "2010-05-15")]).extend_pairs(input);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        session.raw(service, "POST", "/", &headers, form.finish()).await.unwrap()
    };
    (status, String::from_utf8_lossy(&answer).into_owned())
}

/// What another principal of the account sends in a stack's place: the stack's own notice, signed with the launch's token, with
/// something else in it and a proof by this session.
struct Forgery<'a> {
    session: &'a Account,
    /// The notice that is imitated.
    model: &'a Notice,
    launch: &'a Launch,
}

impl Forgery<'_> {
    /// The headers and the body.
    fn make(&self, kind: &str, id: char, changes: &[(&str, Value)]) -> (Vec<(String, String)>, String) {
        let (id, now) = (id.to_string().repeat(32), OffsetDateTime::now_utc());
        let mut event = self.model.event.clone();
        let model = event["data"].as_object_mut().unwrap().remove("proofs").unwrap()[0].clone();
        event["id"] = json!(id);
        event["type"] = json!(kind);
        event["time"] = json!(now.format(&Rfc3339).unwrap());
        event["data"]["externalId"] = json!(self.launch.external_id);
        event["data"]["proofKinds"] = json!(["request"]);
        for (pointer, value) in changes {
            *event.pointer_mut(pointer).unwrap() = value.clone();
        }

        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let covered = hex::encode(Sha256::digest(serde_json_canonicalizer::to_vec(&event).unwrap()));
        let bound: Vec<(String, String)> = ["content-type", "host", "x-hawser-audience"]
            .into_iter()
            .map(|name| (name.to_owned(), text(&model["headers"][name])))
            .chain([("x-hawser-event-sha256".to_owned(), covered)])
            .collect();
        let (url, body) = (text(&model["url"]), text(&model["body"]));
        let given: Vec<(&str, &str)> = bound.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let signed = self.session.signature("sts", "POST", &url, &given, body.as_bytes()).unwrap();
        let headers: BTreeMap<String, String> = bound.into_iter().chain(signed).collect();
        event["data"]["proofs"] = json!([{"kind": "request", "method": "POST", "url": url, "headers": headers, "body": body}]);

        let (body, at) = (event.to_string(), now.unix_timestamp());
        let key = standardwebhooks::Webhook::new(&self.launch.token).unwrap();
        let headers = [
            ("content-type", "application/cloudevents+json".to_owned()),
            ("webhook-signature", key.sign(&id, at, body.as_bytes()).unwrap()),
            ("webhook-id", id),
            ("webhook-timestamp", at.to_string()),
        ];
        (headers.map(|(name, value)| (name.to_owned(), value)).into(), body)
    }
}

/// F-60: the console assumes the role with the external ID, reads the stack, and finds that its handler spoke. Another vendor's role
/// in the account, with the security audit pack, cannot see the launch token; and had it all the same, nothing that it says is heard.
#[tokio::test(flavor = "multi_thread")]
async fn another_vendors_role_does_not_speak_for_the_stack() {
    let world = Testbed::new("standalone").await;
    let console = console_of(&world).await;
    let launch = console.launch(CUSTOMER).await.unwrap();
    let wanted = parameters(&world.vendor.notice_url(), &launch);
    let (mut stack, outcome) = create(&world, STACK, &world.template, &wanted).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let connection = console.connected(stack.id()).await.unwrap();
    assert!(connection["confirmedAt"].is_string() && connection["problems"] == json!([]), "{connection}");
    let by_console = world.emulator.front().calls().all().into_iter().filter(|call| {
        // What the packs grant is tried in many other services.
        call.principal == "vendor" && ["sts", "cloudformation"].contains(&call.service.as_str())
    });
    let by_console: Vec<String> = by_console.map(|call| format!("{} {} {}", call.name(), call.region, call.status)).collect();
    // Without the external ID, and with a wrong one, it is refused; the last is the session in which the packs are tried.
    let (assumed, refused) = ("sts:AssumeRole eu-west-1 200", "sts:AssumeRole eu-west-1 403");
    assert_eq!(by_console, [assumed, "cloudformation:DescribeStackResources eu-west-1 200", refused, refused, assumed]);

    let other = ScriptedVendor::start(world.emulator.certificates(), Script::Accept).await.unwrap();
    let others = Launch { token: TOKEN.to_owned(), external_id: "external-id-of-the-other".to_owned() };
    let mut asked = parameters(&other.notice_url(), &others);
    asked.insert("VendorAccountId".into(), STRANGER.into());
    asked.insert("BillingKind".into(), "None".into());
    let (others_stack, outcome) = create(&world, "other", &world.template, &asked).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let role = others_stack.outputs().await.unwrap()["RoleArn"].clone();
    let session = assume(&world.emulator, STRANGER, &role, Some(&others.external_id)).await.unwrap().unwrap();
    let session = session.in_region(STACK_REGION);

    // What it may see of the first stack.
    let rule = stack.resources().await.unwrap()["DeliveryWatch"].clone();
    for (service, operation, input) in [
        ("cloudformation", "DescribeStacks", vec![("StackName", stack.id())]),
        ("cloudformation", "DescribeStacks", vec![("StackName", STACK)]),
        ("cloudformation", "DescribeStacks", vec![]),
        ("cloudformation", "DescribeStackEvents", vec![("StackName", stack.id())]),
        ("cloudformation", "DescribeEvents", vec![("StackName", stack.id())]),
        ("cloudformation", "DescribeChangeSet", vec![("StackName", stack.id()), ("ChangeSetName", "change")]),
        ("cloudformation", "DescribeStackSet", vec![("StackSetName", "members")]),
        (
            "cloudformation",
            "DescribeStackInstance",
            vec![("StackSetName", "members"), ("StackInstanceAccount", CUSTOMER), ("StackInstanceRegion", STACK_REGION)],
        ),
        ("events", "ListTargetsByRule", vec![("Rule", rule.as_str())]),
    ] {
        let (status, answer) = ask(&session, service, operation, &input).await;
        let denied = answer.contains("AccessDenied") && answer.contains(&format!("{service}:{operation}"));
        assert!((400..=403).contains(&status) && denied, "{operation} {input:?}: {status} {answer}");
        assert!(!answer.contains(&launch.token), "{operation}");
    }
    // The template has the form of a token (`^whsec_…`), and none.
    let tokens = regex::Regex::new("whsec_[A-Za-z0-9+/]{8}").unwrap();
    for (operation, shows) in [("DescribeStackResources", "HandlerRole"), ("GetTemplate", "LaunchToken")] {
        let (status, answer) = ask(&session, "cloudformation", operation, &[("StackName", stack.id())]).await;
        assert!(status == 200 && answer.contains(shows), "{operation}: {status} {answer}");
        for secret in [launch.token.as_str(), &launch.token["whsec_".len()..], &launch.external_id] {
            assert!(!answer.contains(secret), "{operation} shows a secret");
        }
        assert_eq!(tokens.find(&answer).map(|found| found.as_str()), None, "{operation}");
    }

    // What it may say for it.
    let status = watch::run(&stack, &world.vendor).await.unwrap();
    assert_eq!(status.error, None, "{}", world.emulator.handler_log());
    let before = console.connected(stack.id()).await.unwrap();
    let (delivery, established) = (&status.notices[0], &world.vendor.notices()[0]);
    let forged = |model: &Notice, launch: &Launch, kind: &str, id: char, changes: &[(&str, Value)]| {
        Forgery { session: &session, model, launch }.make(kind, id, changes)
    };
    let fresh = console.launch(CUSTOMER).await.unwrap();
    let invented =
        format!("arn:aws:cloudformation:{STACK_REGION}:{CUSTOMER}:stack/invented/1a2b3c4d-0000-0000-0000-000000000000");
    let invented = [("/source", json!(invented)), ("/data/stackId", json!(invented))];
    let role = [("/data/roleArn", json!(role))];
    for (problem, (headers, body)) in [
        ("speaker", forged(established, &launch, "hawser.connection.established", 'a', &role)),
        ("speaker", forged(established, &launch, "hawser.connection.updated", 'b', &role)),
        ("speaker", forged(established, &launch, "hawser.connection.alive", 'c', &role)),
        ("speaker", forged(delivery, &launch, "hawser.billing.status", 'd', &[])),
        ("speaker", forged(established, &launch, "hawser.connection.removed", 'e', &[])),
        // With a launch that nobody has used, too.
        ("speaker", forged(established, &fresh, "hawser.connection.updated", 'f', &role)),
        ("speaker", forged(established, &fresh, "hawser.connection.established", '0', &invented)),
        ("speaker", forged(established, &fresh, "hawser.connection.removed", '1', &invented)),
        // One launch, one stack.
        ("launch-used", forged(established, &launch, "hawser.connection.established", '2', &invented)),
    ] {
        let (status, answer) = console.post(&headers, body).await.unwrap();
        assert_eq!((status, &answer["type"]), (403, &json!(format!("urn:hawser:problem:{problem}"))), "{answer}");
    }
    assert_eq!(console.connections().await.unwrap(), [before]);
    let log = console.log();
    assert!(!log.contains(&launch.token) && !log.contains(&fresh.token));

    // The stack itself is still heard.
    assert_eq!(watch::run(&stack, &world.vendor).await.unwrap().error, None, "{}", world.emulator.handler_log());
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    console.wait_for(stack.id(), |connection| connection["state"] == "removed").await.unwrap();
}

/// F-60, F-39: without AWS's word a connection stays announced, and says why; an external ID that the vendor did not issue is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_aws_does_not_confirm_stays_announced() {
    let world = Testbed::new("standalone").await;
    let console = console_of(&world).await;
    let notice_url = world.vendor.notice_url();

    let launch = console.launch(CUSTOMER).await.unwrap();
    let mistaken = Launch { external_id: "external-id-of-their-own".to_owned(), ..launch.clone() };
    let (_, outcome) = create(&world, "mistaken", &world.template, &little(&notice_url, &mistaken)).await;
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
    let reason = outcome.first_failure();
    assert!(reason.contains("VENDOR_REFUSED") && reason.contains("were not issued together by this vendor"), "{reason}");
    assert_eq!(console.connections().await.unwrap(), Vec::<Value>::new());

    let trusts = "sts:ExternalId: !If [UsesStackId, !Select [2, !Split [\"/\", !Ref AWS::StackId]], !Ref ExternalId]";
    let confirms = "            Action: cloudformation:DescribeStackResources\n";
    for (name, from, to, code, cause) in [
        ("trusting", trusts, "sts:ExternalId: external-id-of-their-own", "role-refused", "`AccessDenied`"),
        ("silent", confirms, "            Action: cloudformation:ListStacks\n", "stack-unreadable", "`AccessDenied`"),
    ] {
        assert_eq!(world.template.matches(from).count(), 1, "{from}");
        let launch = console.launch(CUSTOMER).await.unwrap();
        let template = world.template.replace(from, to);
        let (mut stack, outcome) = create(&world, name, &template, &little(&notice_url, &launch)).await;
        world.expect_status(&outcome, "CREATE_COMPLETE");
        let connection = console.wait_for(stack.id(), |connection| connection["problems"] != json!([])).await.unwrap();
        assert_eq!((&connection["state"], &connection["problems"][0]["code"]), (&json!("announced"), &json!(code)));
        assert!(connection["problems"][0]["cause"].as_str().unwrap().ends_with(cause), "{connection}");
        // It is heard all the same, and mended by an update.
        assert_eq!(watch::run(&stack, &world.vendor).await.unwrap().error, None, "{}", world.emulator.handler_log());
        let mut mended = little(&notice_url, &launch);
        mended.insert("Regions".into(), "eu-west-2".into());
        let outcome = stack.update(&world.template, &mended, &mut |_| {}).await.unwrap();
        world.expect_status(&outcome, "UPDATE_COMPLETE");
        let connection = console.connected(stack.id()).await.unwrap();
        assert!(connection["problems"] == json!([]), "{connection}");
        // So that the next one is no newer stack of the same name.
        stack.delete(&mut |_| {}).await.unwrap();
    }
}

/// The customer takes the external ID out of the role's trust policy: whoever works for the vendor may get in then, and the vendor is
/// told until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_role_is_reported() {
    let world = Testbed::new("standalone").await;
    let console = console_of(&world).await;
    let launch = console.launch(CUSTOMER).await.unwrap();
    let mut wanted = little(&world.vendor.notice_url(), &launch);
    let (mut stack, outcome) = create(&world, STACK, &world.template, &wanted).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    assert!(console.connected(stack.id()).await.unwrap()["problems"] == json!([]));
    let role = stack.resources().await.unwrap()["VendorRole"].clone();
    for (condition, regions, problem) in [
        (json!({}), "eu-west-1,eu-west-2", json!("role-open")),
        (json!({"StringLike": {"sts:ExternalId": "*"}}), "eu-west-1,eu-west-3", json!("role-open")),
        (json!({"StringEquals": {"sts:ExternalId": launch.external_id}}), "eu-west-1,eu-north-1", Value::Null),
    ] {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{VENDOR}:root")}, "Action": "sts:AssumeRole",
            "Condition": condition}]});
        let body = url::form_urlencoded::Serializer::new("Action=UpdateAssumeRolePolicy&Version=2010-05-08".to_owned())
            .append_pair("RoleName", &role)
            .append_pair("PolicyDocument", &trust.to_string())
            .finish();
        iam(&world, body).await;
        wanted.insert("Regions".into(), regions.into());
        let outcome = stack.update(&world.template, &wanted, &mut |_| {}).await.unwrap();
        world.expect_status(&outcome, "UPDATE_COMPLETE");
        let state = if problem.is_null() { "verified" } else { "partial" };
        let reported = |connection: &Value| connection["state"] == state && connection["problems"][0]["code"] == problem;
        console.wait_for(stack.id(), reported).await.unwrap();
    }
    world.deleted(&mut stack).await;
}
