//! The delivery watch of a deployed stack, run now instead of in some hours: its rule is read through the events API, and the
//! function is invoked with what the rule would send.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::stack::Stack;
use crate::vendor::{Notice, ScriptedVendor};

/// The rule's name in `template.yaml`.
const RULE: &str = "DeliveryWatch";

/// Longer than the function's own time-out.
const NOTICE_LIMIT: Duration = Duration::from_secs(150);

/// Between two looks at the vendor.
const POLL: Duration = Duration::from_millis(50);

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the vendor received meanwhile, retries included.
    pub notices: Vec<Notice>,
    /// The function's own error, which makes Lambda try again; nothing when it ended well.
    pub error: Option<String>,
}

impl Run {
    /// The `billingStatus` of the last notice.
    pub fn status(&self) -> &Value {
        self.notices.last().map_or(&Value::Null, |notice| &notice.event["data"]["billingStatus"])
    }
}

/// The rule as it was deployed.
#[derive(Clone, Debug)]
pub struct Rule {
    pub arn: String,
    /// For example `rate(6 hours)`.
    pub schedule: String,
    /// The ARN of the function it invokes.
    pub function: String,
    /// The event that the function is given.
    pub input: Value,
}

/// Reads the stack's rule, which must be enabled, have one target, and be allowed to invoke it.
pub async fn rule(stack: &Stack) -> anyhow::Result<Rule> {
    let account = stack.account();
    let resources = stack.resources().await?;
    let name = resources.get(RULE).with_context(|| format!("the stack has no `{RULE}`"))?;
    let (status, known) = account.json("events", "AWSEvents.DescribeRule", &json!({"Name": name})).await?;
    ensure!(status == 200 && known["State"] == "ENABLED", "the rule is not enabled: {known}");
    let (_, targets) = account.json("events", "AWSEvents.ListTargetsByRule", &json!({"Rule": name})).await?;
    let [target] = targets["Targets"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        bail!("the rule has not one target: {targets}");
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let input = serde_json::from_str(target["Input"].as_str().unwrap_or_default()).context("the target's Input is no JSON")?;
    let rule =
        Rule { arn: text(&known["Arn"]), schedule: text(&known["ScheduleExpression"]), function: text(&target["Arn"]), input };
    let (_, body) = account.raw("lambda", "GET", &format!("/2015-03-31/functions/{}/policy", rule.function), &[], "").await?;
    ensure!(may_invoke(&body, &rule), "the function's policy does not let the rule in: {}", String::from_utf8_lossy(&body));
    Ok(rule)
}

/// Whether a statement of the function's policy names EventBridge, for this rule alone.
fn may_invoke(answer: &[u8], rule: &Rule) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let policy: Value = serde_json::from_str(answer["Policy"].as_str().unwrap_or_default()).unwrap_or_default();
    policy["Statement"].as_array().into_iter().flatten().any(|statement| {
        statement["Effect"] == "Allow"
            && statement["Principal"]["Service"] == "events.amazonaws.com"
            && statement["Action"] == "lambda:InvokeFunction"
            && statement["Resource"] == rule.function.as_str()
            && statement["Condition"]["ArnLike"]["AWS:SourceArn"] == rule.arn.as_str()
    })
}

/// Runs the watch once and waits for its end.
pub async fn run(stack: &Stack, vendor: &ScriptedVendor) -> anyhow::Result<Run> {
    let rule = rule(stack).await?;
    let before = vendor.notices().len();
    let (status, body) = invoke(stack, &rule, "RequestResponse").await?;
    ensure!(status == 200, "the function was not invoked: {status} {}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = answer["errorMessage"].as_str().map(str::to_owned);
    Ok(Run { notices: vendor.notices().split_off(before), error })
}

/// Leaves the event in Lambda's queue, as EventBridge does, and waits until the vendor has received `wanted` notices.
pub async fn queue(stack: &Stack, vendor: &ScriptedVendor, wanted: usize) -> anyhow::Result<Vec<Notice>> {
    let rule = rule(stack).await?;
    let before = vendor.notices().len();
    let (status, body) = invoke(stack, &rule, "Event").await?;
    ensure!(status == 202, "the event was not taken: {status} {}", String::from_utf8_lossy(&body));
    let started = Instant::now();
    while vendor.notices().len() < before + wanted {
        ensure!(started.elapsed() < NOTICE_LIMIT, "the vendor received {} notices", vendor.notices().len() - before);
        tokio::time::sleep(POLL).await;
    }
    Ok(vendor.notices().split_off(before))
}

async fn invoke(stack: &Stack, rule: &Rule, kind: &str) -> anyhow::Result<(u16, bytes::Bytes)> {
    let path = format!("/2015-03-31/functions/{}/invocations", rule.function);
    stack.account().raw("lambda", "POST", &path, &[("x-amz-invocation-type", kind)], rule.input.to_string()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_statement_for_this_rule_lets_it_in() {
        let rule = Rule { arn: "arn:rule".into(), schedule: String::new(), function: "arn:function".into(), input: Value::Null };
        let with = |source: &str| {
            let statement = json!({"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                "Action": "lambda:InvokeFunction", "Resource": "arn:function", "Condition": {"ArnLike": {"AWS:SourceArn": source}}});
            json!({"Policy": json!({"Statement": [statement]}).to_string()}).to_string()
        };
        assert!(may_invoke(with("arn:rule").as_bytes(), &rule));
        assert!(!may_invoke(with("arn:another").as_bytes(), &rule));
        assert!(!may_invoke(b"", &rule));
    }
}
