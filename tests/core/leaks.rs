//! Everything the handler logs, at the finest level, and everything that can be printed, searched for secrets
//! (HW-W2, F-7, F-8).

use std::{collections::BTreeMap, time::Duration};

use hawser::{
    aws::StackDescription,
    handler,
    identity::Proof,
    names::{LaunchToken, ResponseUrl},
    protocol::envelope::Envelope,
    request::Request,
};
use hawser_account::AccountFile;
use hawser_sim::{
    InjectedFault, World,
    parties::SIGNATURE,
    script::{MAILBOX_CALL, VENDOR_CALL},
    stack::{Parameters, Stack},
};
use serde_json::json;
use tracing_subscriber::{Layer, filter::LevelFilter};

use crate::support::captured::{Captured, listen};

const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";

fn assert_clean(text: &str, what: &str) {
    for secret in [TOKEN, &TOKEN[6..30], SIGNATURE, "X-Amz-Signature", "%7C"] {
        assert!(!text.contains(secret), "{what} holds `{secret}`:\n{text}");
    }
}

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70";

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// One delivery check of a stack with this token.
async fn run_delivery_check(world: &World, token: &str) -> Result<(), handler::Unhandled> {
    let terms = json!({
        "Billing": { "Kind": "CostAndUsageReport", "Name": "acme", "BucketName": "acme-data", "BucketRegion": "us-east-1", "Prefix": "p" },
    });
    let description = StackDescription {
        status: "CREATE_COMPLETE".to_owned(),
        parameters: texts(&[("LaunchToken", token), ("NoticeUrl", "https://vendor.example/")]),
        outputs: texts(&[("RoleArn", "a"), ("ExternalId", "e"), ("Terms", &terms.to_string())]),
    };
    assert_clean(&format!("{description:?}"), "Debug");
    world.cloudformation.show_stack(STACK, description);
    let event = json!({ "source": "hawser", "detail-type": "Delivery Watch", "detail": { "StackId": STACK } });
    handler::handle(&event, "invocation", world.now() + Duration::from_secs(60), &world.ports()).await
}

/// F-7, F-8.
#[tokio::test(start_paused = true)]
async fn no_log_line_of_any_scenario_contains_a_secret() {
    let captured = Captured::default();
    let layer = tracing_subscriber::fmt::layer().json().with_writer(captured.clone()).with_filter(LevelFilter::TRACE);
    let _guard = listen(layer);
    let parameters = |name: &str| {
        Parameters::from([
            ("Kind", "CostAndUsageReport".to_owned()),
            ("NamePrefix", "acme".to_owned()),
            ("NoticeUrl", "https://vendor.example/notices".to_owned()),
            ("LaunchToken", TOKEN.to_owned()),
            ("ConnectionName", name.to_owned()),
        ])
    };
    for call in [VENDOR_CALL, MAILBOX_CALL, "cur:PutReportDefinition", "none"] {
        for injected in InjectedFault::ALL {
            let world = World::new(AccountFile::default());
            world.script.inject_all(call, injected);
            let mut stack = Stack::new(&world, "acme");
            stack.create(parameters("first")).await;
            stack.update(parameters("second")).await;
            stack.delete().await;
        }
    }
    // A heartbeat reads the token from the stack.
    for call in [VENDOR_CALL, "s3:ListBucket", "cur:DescribeReportDefinitions", "cloudformation:DescribeStacks", "none"] {
        for injected in InjectedFault::ALL.into_iter().filter(|injected| injected.applies_to(call)) {
            let world = World::new(AccountFile::default());
            world.script.inject_all(call, injected);
            assert_clean(&format!("{:?}", run_delivery_check(&world, TOKEN).await), "the outcome");
        }
    }
    let broken = run_delivery_check(&World::new(AccountFile::default()), &TOKEN.replace('_', "-")).await;
    assert_clean(&format!("{broken:?} {}", broken.as_ref().unwrap_err()), "the outcome");
    let log = captured.text();
    assert!(log.lines().count() > 500, "only {} lines were captured", log.lines().count());
    assert!(log.contains("cloudformation-custom-resource-response"), "the host alone may be logged, and is");
    assert_clean(&log, "the log");
}

/// F-7, F-8.
#[test]
fn what_is_secret_prints_redacted() {
    let event = json!({
        "RequestType": "Create", "RequestId": "r", "LogicalResourceId": "Connection", "ResourceType": "Custom::AccountConnection",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70",
        "ResponseURL": format!("https://x.s3.amazonaws.com/a%7Cb?X-Amz-Signature={SIGNATURE}"),
        "ResourceProperties": { "NoticeUrl": "https://vendor.example/", "LaunchToken": TOKEN, "RoleArn": "a", "ExternalId": "e" },
    });
    let (envelope, url) = Envelope::parse(&event).unwrap();
    let request = Request::parse(&event).unwrap();
    let token: LaunchToken = TOKEN.parse().unwrap();
    let proof = Proof {
        method: "POST".to_owned(),
        url: "https://sts.eu-west-1.amazonaws.com/".to_owned(),
        headers: [("authorization".to_owned(), SIGNATURE.to_owned()), ("x-amz-security-token".to_owned(), SIGNATURE.to_owned())]
            .into(),
        body: String::new(),
    };
    assert_clean(&format!("{envelope:?} {url:?} {request:#?} {token:?} {proof:#?}"), "Debug");
    assert!(ResponseUrl::parse("not a url").is_none());
}

#[test]
fn a_wrong_token_is_not_repeated() {
    let slip = TOKEN.replace("whsec_", "whsec-");
    let refused = slip.parse::<LaunchToken>().unwrap_err();
    assert_clean(&refused.to_string(), "the error");
}
