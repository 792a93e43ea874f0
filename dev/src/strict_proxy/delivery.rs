//! Delivery of billing data: what PutReportDefinition and CreateExport check at the bucket, as the service principal that writes
//! to it.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::shared::{BILLING_REGION, Shared};

/// The object that AWS writes at the root of the bucket to see whether it may.
pub const TEST_OBJECT: &str = "aws-programmatic-access-test-object";

/// Where billing data is to go, and in whose name it is written.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) principal: &'static str,
    /// `aws:SourceAccount`.
    pub(super) account: &'a str,
    /// `aws:SourceArn`.
    pub(super) source_arn: String,
    /// Whose bucket it is.
    pub(super) owner: &'a str,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
    /// What the service reads of the bucket before it writes.
    pub(super) reads: &'static [&'static str],
    /// One of the keys that it will write, besides the test object.
    pub(super) key: String,
}

impl Delivery<'_> {
    /// Bucket exists, is its owner's, is in the named Region, and its policy lets the service in.
    pub(super) async fn allowed(&self, shared: &Shared) -> anyhow::Result<bool> {
        let s3 = shared.root(self.owner, self.region).s3();
        let Ok(location) = s3.get_bucket_location().bucket(self.bucket).send().await else { return Ok(false) };
        let place = location.location_constraint().map_or(BILLING_REGION, |constraint| constraint.as_str());
        let place = if place.is_empty() { BILLING_REGION } else { place };
        if place != self.region {
            return Ok(false);
        }
        let Ok(policy) = s3.get_bucket_policy().bucket(self.bucket).send().await else { return Ok(false) };
        let policy = policy.policy().unwrap_or_default();
        let decisions = decisions(shared, policy, self.principal, &self.questions()).await?;
        Ok(decisions.iter().all(|decision| decision == "Allow"))
    }

    /// What the service does in the bucket, in whose name.
    fn questions(&self) -> Value {
        let context = json!({"aws:SourceAccount": self.account, "aws:SourceArn": self.source_arn});
        let bucket = format!("arn:aws:s3:::{}", self.bucket);
        let question = |action: &str, resource: &str| json!({"action": action, "resource": resource, "context": context});
        let reads = self.reads.iter().map(|action| question(action, &bucket));
        let keys = [TEST_OBJECT, &self.key].map(|key| format!("{bucket}/{key}"));
        let writes = keys.iter().map(|object| question("s3:PutObject", object));
        reads.chain(writes).collect()
    }

    /// Leaves behind what AWS leaves behind in the bucket.
    pub(super) async fn write_test_object(&self, shared: &Shared) -> anyhow::Result<()> {
        let s3 = shared.root(self.owner, self.region).s3();
        let put = s3.put_object().bucket(self.bucket).key(TEST_OBJECT).send().await;
        put.map(|_| ()).context("could not write AWS's test object")
    }
}

/// Asks the emulator's own policy evaluator.
async fn decisions(shared: &Shared, policy: &str, principal: &str, checks: &Value) -> anyhow::Result<Vec<String>> {
    let aws_call = json!({"policy": policy, "service": principal, "region": BILLING_REGION, "checks": checks});
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/evaluate.py");
    let mut child = tokio::process::Command::new(&shared.python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not start the policy evaluator")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(aws_call.to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("the policy evaluator failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
