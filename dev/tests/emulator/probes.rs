//! The console's probes on the emulator: with its statement each one succeeds, and IAM denies it without.

use std::{collections::BTreeMap, str::FromStr as _, sync::Arc};

use aws_credential_types::Credentials;
use hawser_cli::template::Template;
use hawser_console::{
    names::{AccountId, Partition},
    probe::{self, BillingBucket, Caller, FindingCode, How, Outcome, Place},
    sts,
};
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK_REGION, VENDOR},
    emulator::Emulator,
    strict_proxy::{scenario::Scenario, shared::BILLING_REGION},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use url::{Url, form_urlencoded::byte_serialize};

const BUCKET: &str = "billing-111122223333";
const PREFIX: &str = "hawser/1a2b";
/// Those whose services the emulator does not have.
const NOT_EMULATED: [&str; 3] = ["ReadCommitments", "ReadScaling", "ReadStorageInventory"];

async fn iam(customer: &Account, parameters: &[(&str, &str)]) {
    let pairs =
        parameters.iter().map(|(name, value)| format!("&{name}={}", byte_serialize(value.as_bytes()).collect::<String>()));
    let body = format!("Version=2010-05-08{}", pairs.collect::<String>());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, answer) = customer.raw("iam", "POST", "/", &headers, body).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

/// A statement as a stack has it whose billing data is in [`BUCKET`].
fn filled_in(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(filled_in).collect(),
        Value::Object(pairs) => match pairs.iter().next().map(|(key, value)| (key.as_str(), value)) {
            Some(("Fn::Sub", text)) => {
                text.as_str().unwrap().replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", CUSTOMER).into()
            }
            Some(("Ref", name)) if name == "AWS::AccountId" => CUSTOMER.into(),
            Some(("Fn::GetAtt", path)) if path[1] == "ReadableBucketArn" => format!("arn:aws:s3:::{BUCKET}").into(),
            Some(("Fn::GetAtt", path)) if path[1] == "ReadableKeys" => format!("{PREFIX}/*").into(),
            _ => Value::Object(pairs.iter().map(|(key, value)| (key.clone(), filled_in(value))).collect::<Map<_, _>>()),
        },
        other => other.clone(),
    }
}

/// The statements that have a probe, by pack.
fn policies() -> BTreeMap<String, Vec<Value>> {
    let mut policies: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let packs = Template::ours().packs();
    for tried in probe::statements() {
        let How::Probe(probe) = &tried.how else { continue };
        let pack = packs.iter().find(|pack| pack.name == tried.pack).unwrap();
        let statement = pack.statements.iter().find(|statement| statement.sid == tried.sid);
        // AWS's managed policies are not the emulator's.
        let managed = || json!({"Sid": tried.sid, "Effect": "Allow", "Action": probe.action, "Resource": "*"});
        policies.entry(tried.pack.clone()).or_default().push(statement.map_or_else(managed, |one| filled_in(&one.json)));
    }
    policies
}

/// What comes of every probe with a role that has these policies, by Sid.
async fn tried(emulator: &Emulator, role: &str, policies: &BTreeMap<String, Vec<Value>>) -> BTreeMap<&'static str, Outcome> {
    let customer = emulator.root(CUSTOMER, STACK_REGION);
    let vendor = json!({"AWS": format!("arn:aws:iam::{VENDOR}:root")});
    let trust =
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": vendor, "Action": "sts:AssumeRole"}]});
    iam(&customer, &[("Action", "CreateRole"), ("RoleName", role), ("AssumeRolePolicyDocument", &trust.to_string())]).await;
    for (name, statements) in policies {
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        iam(&customer, &[("Action", "PutRolePolicy"), ("RoleName", role), ("PolicyName", name), ("PolicyDocument", &policy)])
            .await;
    }
    let sts = Account::root(emulator.url(), VENDOR, STACK_REGION).sts();
    let arn = format!("arn:aws:iam::{CUSTOMER}:role/{role}");
    let keys = sts.assume_role().role_arn(arn).role_session_name("probes").send().await.unwrap().credentials.unwrap();
    let keys = Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, "probes");
    let endpoint = Some(Url::parse(emulator.front().url()).unwrap());
    let caller = Caller::new(sts::client().unwrap(), keys, endpoint, Arc::new(OffsetDateTime::now_utc));
    let billing = BillingBucket { name: BUCKET.to_owned(), region: BILLING_REGION.to_owned(), prefix: PREFIX.to_owned() };
    let account = AccountId::from_str(CUSTOMER).unwrap();
    let place = Place { partition: Partition::Aws, account, region: STACK_REGION.to_owned(), billing: Some(billing) };
    let packs = probe::statements().iter().map(|statement| (statement.pack.clone(), "ReadWrite".to_owned())).collect();
    let tried = probe::run(&caller, &place, &packs).await;
    let called = tried.into_iter().filter(|one| matches!(one.statement.how, How::Probe(_)));
    called.map(|one| (one.statement.sid.as_str(), one.result.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_succeeds_with_its_statement_and_is_denied_without() {
    let emulator = Emulator::start(Scenario::named("standalone").unwrap()).await.unwrap();
    emulator.root(CUSTOMER, BILLING_REGION).s3().create_bucket().bucket(BUCKET).send().await.unwrap();
    let packs = policies();
    let denial = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
    let mut denied = packs.clone();
    denied.insert("denial".to_owned(), vec![denial]);
    for (role, policies, expected) in [
        ("with", &packs, None),
        ("without", &BTreeMap::new(), Some(FindingCode::PermissionMissing)),
        ("denied", &denied, Some(FindingCode::DeniedByIdentityPolicy)),
    ] {
        let outcomes = tried(&emulator, role, policies).await;
        assert_eq!(outcomes.len(), packs.values().map(Vec::len).sum::<usize>());
        for (sid, outcome) in outcomes {
            let found = outcome.finding().map(|finding| finding.code);
            if NOT_EMULATED.contains(&sid) {
                assert!(matches!(found, Some(FindingCode::Unexpected | FindingCode::Unanswered)), "{role}: {sid}: {outcome:?}");
                continue;
            }
            assert_eq!(found, expected, "{role}: {sid}: {outcome:?}");
        }
    }
}
