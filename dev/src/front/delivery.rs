//! Delivery of billing data: what PutReportDefinition checks at the bucket, as the service principal that writes to it.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::Shared;
use super::billing::BILLING_REGION;
use super::wire::AwsError;

/// The service principal that delivers cost and usage reports.
const PRINCIPAL: &str = "billingreports.amazonaws.com";

/// The object that AWS writes at the root of the bucket to see whether it may.
pub const TEST_OBJECT: &str = "aws-programmatic-access-test-object";

/// The one sentence AWS has for every failure of this check (F-16).
const NOT_VERIFIED: &str = "Failed to verify customer bucket permission.";

/// Bucket exists, is this account's, is in the named Region, and its policy lets the service in.
pub(super) async fn check(shared: &Shared, account: &str, report: &Value) -> Result<(), AwsError> {
    match verify(shared, account, report).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(AwsError::new(400, "ValidationException", NOT_VERIFIED)),
        Err(error) => Err(AwsError::new(500, "InternalErrorException", format!("the front could not check: {error:#}"))),
    }
}

async fn verify(shared: &Shared, account: &str, report: &Value) -> anyhow::Result<bool> {
    let bucket = report["S3Bucket"].as_str().context("a report without bucket")?;
    let region = report["S3Region"].as_str().context("a report without Region")?;
    let name = report["ReportName"].as_str().context("a report without name")?;
    let s3 = shared.root(account, region).s3();
    let Ok(location) = s3.get_bucket_location().bucket(bucket).send().await else { return Ok(false) };
    let place = location.location_constraint().map_or(BILLING_REGION, |constraint| constraint.as_str());
    let place = if place.is_empty() { BILLING_REGION } else { place };
    if place != region {
        return Ok(false);
    }
    let Ok(policy) = s3.get_bucket_policy().bucket(bucket).send().await else { return Ok(false) };
    let policy = policy.policy().unwrap_or_default();
    let decisions = decisions(shared, policy, &questions(account, bucket, name, report["S3Prefix"].as_str())).await?;
    Ok(decisions.iter().all(|decision| decision == "Allow"))
}

/// What the service does in the bucket, in whose name.
fn questions(account: &str, bucket: &str, name: &str, prefix: Option<&str>) -> Value {
    let context = json!({
        "aws:SourceAccount": account,
        "aws:SourceArn": format!("arn:aws:cur:{BILLING_REGION}:{account}:definition/{name}"),
    });
    let bucket = format!("arn:aws:s3:::{bucket}");
    let object = format!("{bucket}/{}/{name}/20261101-20261201/{name}-Manifest.json", prefix.unwrap_or_default());
    json!([
        {"action": "s3:GetBucketAcl", "resource": bucket, "context": context},
        {"action": "s3:GetBucketPolicy", "resource": bucket, "context": context},
        {"action": "s3:PutObject", "resource": format!("{bucket}/{TEST_OBJECT}"), "context": context},
        {"action": "s3:PutObject", "resource": object, "context": context},
    ])
}

/// Asks the emulator's own policy evaluator.
async fn decisions(shared: &Shared, policy: &str, checks: &Value) -> anyhow::Result<Vec<String>> {
    let asked = json!({"policy": policy, "service": PRINCIPAL, "region": BILLING_REGION, "checks": checks});
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/evaluate.py");
    let mut child = tokio::process::Command::new(&shared.python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not start the policy evaluator")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(asked.to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("the policy evaluator failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What AWS leaves behind in the bucket.
pub(super) async fn write_test_object(shared: &Shared, account: &str, region: &str, bucket: &str) -> anyhow::Result<()> {
    let s3 = shared.root(account, region).s3();
    s3.put_object().bucket(bucket).key(TEST_OBJECT).send().await.context("could not write AWS's test object")?;
    Ok(())
}
