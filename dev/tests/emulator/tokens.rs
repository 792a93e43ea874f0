//! Proofs by token: the handler asks STS, and the console checks with the keys that STS serves.

use hawser_dev::{
    constants::{CUSTOMER, STACK, parameters},
    stack::{Parameters, Stack, template},
    vendor::{Console, Launch, Script},
};
use serde_json::{Value, json};

use crate::world::Testbed;

impl Testbed {
    /// The root of the account switches outbound identity federation on or off.
    async fn federation(&self, operation: &str) {
        let body = format!("Action={operation}&Version=2010-05-08");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let (status, answer) = self.customer().raw("iam", "POST", "/", &form, body).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }

    /// The real vendor side behind the scripted one, and a launch of it.
    async fn console(&self) -> (Console, Launch) {
        let console = Console::start(&self.emulator, &self.vendor.authority()).await.unwrap();
        self.vendor.set_script(Script::Relay(console.listening().to_owned()));
        let launch = console.launch(CUSTOMER).await.unwrap();
        (console, launch)
    }

    fn for_launch(&self, launch: &Launch, proof: &str) -> Parameters {
        let mut wanted = parameters(&self.vendor.notice_url(), launch);
        wanted.insert("IdentityProof".into(), proof.into());
        wanted
    }

    /// The kinds of proof of the last notice.
    fn kinds(&self) -> Value {
        let notices = self.vendor.notices();
        let data = &notices.last().unwrap().event["data"];
        let sent: Vec<&Value> = data["proofs"].as_array().unwrap().iter().map(|proof| &proof["kind"]).collect();
        assert_eq!(json!(sent), data["proofKinds"]);
        data["proofKinds"].clone()
    }
}

const ENABLE: &str = "EnableOutboundWebIdentityFederation";
const DISABLE: &str = "DisableOutboundWebIdentityFederation";

/// HW-C3: with federation, without it, and with it again, under another issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_beside_the_request() {
    let world = Testbed::new("standalone").await;
    let (console, launch) = world.console().await;
    world.federation(ENABLE).await;
    let wanted = world.for_launch(&launch, "Auto");
    let (mut stack, outcome) = Stack::create(&world.customer(), STACK, &world.template, &wanted, &mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "CREATE_COMPLETE");
    assert_eq!(world.kinds(), json!(["request", "token"]));
    let connection = console.connected(stack.id()).await.unwrap();
    let role = &stack.resources().await.unwrap()["HandlerRole"];
    assert_eq!(connection["tokenArn"], json!(format!("arn:aws:iam::{CUSTOMER}:role/{role}")), "{}", console.log());

    for (operation, regions, kinds, problem) in [
        (DISABLE, "eu-west-2", json!(["request"]), json!("proof-downgraded")),
        (ENABLE, "eu-west-3", json!(["request", "token"]), Value::Null),
    ] {
        world.federation(operation).await;
        let mut changed = wanted.clone();
        changed.insert("Regions".into(), regions.into());
        let outcome = stack.update(&world.template, &changed, &mut |_| {}).await.unwrap();
        world.expect_status(&outcome, "UPDATE_COMPLETE");
        assert_eq!(world.kinds(), kinds, "{operation}");
        let expected = |connection: &Value| connection["state"] == "verified" && connection["problems"][0]["code"] == problem;
        let connection = console.wait_for(stack.id(), expected).await.unwrap();
        assert_eq!(connection["data"]["regions"], json!([regions]), "{operation}");
    }
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    assert_eq!(console.connections().await.unwrap()[0]["state"], "removed");
    world.assert_notices_fit_the_schema(&["established", "updated", "removed"]);
    world.assert_no_leaks();
}

/// The customer's choice: nothing but a token leaves the account, or none is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_or_none() {
    let world = Testbed::new("standalone").await;
    let (console, launch) = world.console().await;
    let alone = world.for_launch(&launch, "Token");
    let (stack, outcome) = Stack::create(&world.customer(), STACK, &world.template, &alone, &mut |_| {}).await.unwrap();
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE");
    let reason = outcome.first_failure();
    assert!(reason.contains("IDENTITY_TOKEN_MISSING") && reason.contains("FederationDisabled"), "{reason}");
    assert!(world.vendor.notices().is_empty(), "without a token nothing is sent");
    drop(stack);

    world.federation(ENABLE).await;
    let name = format!("{STACK}-2");
    let (mut stack, outcome) = Stack::create(&world.customer(), &name, &world.template, &alone, &mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "CREATE_COMPLETE");
    assert_eq!(world.kinds(), json!(["token"]));
    let connection = console.connected(stack.id()).await.unwrap();
    assert_eq!(connection["verifiedArn"], connection["tokenArn"]);
    let outcome = stack.delete(&mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "DELETE_COMPLETE");
    assert_eq!(console.connections().await.unwrap()[0]["state"], "removed", "{}", console.log());

    let asked = |world: &Testbed| world.calls().iter().filter(|call| call.operation == "GetWebIdentityToken").count();
    let before = asked(&world);
    let request = world.for_launch(&console.launch(CUSTOMER).await.unwrap(), "Request");
    let (_, outcome) =
        Stack::create(&world.customer(), &format!("{STACK}-3"), &world.template, &request, &mut |_| {}).await.unwrap();
    world.expect_status(&outcome, "CREATE_COMPLETE");
    assert_eq!((world.kinds(), asked(&world)), (json!(["request"]), before));
    world.assert_no_leaks();
}

/// HW-S1: the role may ask for this vendor, five minutes and the one tag, and for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_may_ask_for_nothing_else() {
    let whole = template().unwrap();
    for (from, to) in [
        ("[sts:GetWebIdentityToken, ", "[sts:GetCallerIdentity, "),
        (" sts:TagGetWebIdentityToken]", " sts:GetCallerIdentity]"),
        ("aws:TagKeys: hawser-event-sha256", "aws:TagKeys: another"),
        ("sts:SigningAlgorithm: ES384", "sts:SigningAlgorithm: RS256"),
        ("sts:DurationSeconds: 300", "sts:DurationSeconds: 299"),
        ("sts:IdentityTokenAudience: !Select [2, !Split [\"/\", !Ref NoticeUrl]]", "sts:IdentityTokenAudience: another.example"),
    ] {
        assert_eq!(whole.matches(from).count(), 1, "{from}");
        let world = Testbed::with_template("standalone", &whole.replace(from, to)).await;
        world.federation(ENABLE).await;
        world.created(&[]).await;
        assert_eq!(world.kinds(), json!(["request"]), "{from} was not needed");
        let denied = world.calls().into_iter().find(|call| call.operation == "GetWebIdentityToken").unwrap();
        assert_eq!((denied.status, denied.error.as_deref()), (403, Some("AccessDenied")), "{from}");
    }
}
