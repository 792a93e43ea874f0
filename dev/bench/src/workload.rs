//! The two things that are asked of every handler, and how to tell that they were done.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::record::{Service, tally};
use crate::stub::{ACCOUNT, STACK_REGION, State, StubAws};

/// What S3 leaves as it is in the path of a presigned URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Signs the notices of the run; made up, and known to nobody else's world.
const LAUNCH_TOKEN: &str = "whsec_YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=";

/// Whether the stack still wants what was made: asked after the answer, by Hawser only.
const LOOK_AFTERWARDS: &str = "cloudformation:DescribeStackResources";

/// A thing to do, for the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Create of `Custom::BillingExport` in the management account of an organization, with no report and no bucket.
    BillingExport,
    /// Create of `Custom::AccountConnection`: one notice to the vendor.
    AccountConnection,
}

/// How much of the work a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only the response.
    OnlyAnswers,
    /// All calls.
    Works,
    /// All calls, those that only Hawser makes, the proof of identity in the notice, and a look at the stack after the answer.
    Proves,
}

impl Workload {
    /// Both.
    pub const ALL: [Self; 2] = [Self::BillingExport, Self::AccountConnection];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::BillingExport => "Custom::BillingExport",
            Self::AccountConnection => "Custom::AccountConnection",
        }
    }

    /// What it consists of, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::BillingExport => "Create on an empty account: 9 AWS calls, 12 of hawser, and the response",
            Self::AccountConnection => "Create: the notice and the response",
        }
    }

    /// The calls of a handler that does the work.
    fn calls(self) -> &'static [&'static str] {
        match self {
            Self::BillingExport => &[
                "organizations:DescribeOrganization",
                "cur:DescribeReportDefinitions",
                "s3:HeadBucket",
                "s3:CreateBucket",
                "s3:PutPublicAccessBlock",
                "s3:PutBucketEncryption",
                "s3:PutBucketLifecycleConfiguration",
                "s3:PutBucketPolicy",
                "cur:PutReportDefinition",
                "mailbox:PutResponse",
            ],
            Self::AccountConnection => &["vendor:PostNotice", "mailbox:PutResponse"],
        }
    }

    /// What Hawser asks besides, before it answers: what the other billing service has, and who receives the bill.
    fn only_hawser(self) -> &'static [&'static str] {
        match self {
            Self::BillingExport => &[
                "bcm-data-exports:ListExports",
                "organizations:ListOutboundResponsibilityTransfers",
                "organizations:ListInboundResponsibilityTransfers",
            ],
            Self::AccountConnection => &[],
        }
    }

    /// How often each operation has to be called; nothing else may be.
    fn expected(self, depth: Depth) -> BTreeMap<String, usize> {
        let (calls, more, after): (&[&str], &[&str], &[&str]) = match depth {
            Depth::OnlyAnswers => (&["mailbox:PutResponse"], &[], &[]),
            Depth::Works => (self.calls(), &[], &[]),
            Depth::Proves => (self.calls(), self.only_hawser(), &[LOOK_AFTERWARDS]),
        };
        calls.iter().chain(more).chain(after).map(|&it| (it.to_owned(), 1)).collect()
    }
}

/// One event: what the handler gets, and what the world has to know of it.
#[derive(Debug)]
pub struct Event {
    pub json: String,
    response_path: String,
    resource_type: &'static str,
    stack_id: String,
    request_id: String,
    logical_id: &'static str,
}

impl Event {
    /// The `number`th event of this run: each is a stack of its own, so no handler can know it.
    pub fn new(workload: Workload, number: u64, world: &StubAws) -> Self {
        let uuid = format!("{number:08x}-0000-4000-8000-00000000beec");
        let request = format!("{number:08x}-1111-4111-8111-11111111beec");
        let stack = format!("arn:aws:cloudformation:{STACK_REGION}:{ACCOUNT}:stack/hawser-bench/{uuid}");
        let logical = match workload {
            Workload::BillingExport => "BillingExport",
            Workload::AccountConnection => "Connection",
        };
        let key = format!("{stack}|{logical}|{request}");
        let response_path = format!(
            "/{}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261122T100000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=7200\
             &X-Amz-Credential=ASIAEXAMPLE%2F20261122%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature={number:064x}",
            utf8_percent_encode(&key, KEPT)
        );
        let token = "arn:aws:lambda:eu-west-1:111122223333:function:hawser";
        let mut properties = properties(workload, &uuid, &world.url(Service::Vendor));
        properties["ServiceToken"] = json!(token);
        properties["ServiceTimeout"] = json!("600");
        let json = json!({
            "RequestType": "Create",
            "ServiceToken": token,
            "ResponseURL": world.url(Service::Mailbox) + &response_path,
            "StackId": stack,
            "RequestId": request,
            "LogicalResourceId": logical,
            "ResourceType": workload.name(),
            "ResourceProperties": properties,
        })
        .to_string();
        Self { json, response_path, resource_type: workload.name(), stack_id: stack, request_id: request, logical_id: logical }
    }

    /// Tells the world what it has to know of the event.
    pub fn announce(&self, state: &mut State) {
        state.stack_id.clone_from(&self.stack_id);
        self.logical_id.clone_into(&mut state.logical_id);
        state.resource_type = self.resource_type;
        state.response_path.clone_from(&self.response_path);
        LAUNCH_TOKEN.clone_into(&mut state.launch_token);
    }
}

fn properties(workload: Workload, uuid: &str, vendor: &str) -> Value {
    match workload {
        Workload::BillingExport => json!({
            "Kind": "CostAndUsageReport", "Format": "Parquet", "Reuse": "WhenSuitable", "Scope": "Payer",
            "ExistingExport": "", "ExistingBucket": "", "ExistingPrefix": "", "Retention": "Retain", "NamePrefix": "hawser",
            "RequestBackfill": "false",
        }),
        Workload::AccountConnection => json!({
            "NoticeUrl": format!("{vendor}/notices"),
            "LaunchToken": LAUNCH_TOKEN,
            "ConnectionName": "production",
            "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/hawser-VendorRole-0123456789AB"),
            "ExternalId": uuid,
            "AccessKeySecretArn": "",
            "AccessKeyId": "",
            "Regions": ["eu-west-1", "us-east-1"],
            "Packs": {"billing": "ReadOnly", "security-audit": "ReadOnly"},
            "TemplateVersion": "0.1.0",
            "Organization": {
                "AccountRole": "management", "ManagementAccountId": ACCOUNT, "OrganizationId": "o-exampleorgid", "FeatureSet": "ALL",
            },
            "Billing": {
                "Kind": "CostAndUsageReport", "Name": "hawser-0123456789abcdef",
                "Arn": format!("arn:aws:cur:us-east-1:{ACCOUNT}:definition/hawser-0123456789abcdef"),
                "BucketName": format!("hawser-{ACCOUNT}-0123456789abcdef"),
                "BucketArn": format!("arn:aws:s3:::hawser-{ACCOUNT}-0123456789abcdef"),
                "BucketRegion": "us-east-1", "Prefix": "hawser/01234567", "Format": "Parquet", "Origin": "created",
                "Decision": "created a new report, because the account has none", "FirstDataDueBy": "2026-11-24T10:00:00Z",
                "Backfill": "", "KmsKeyArn": "",
            },
        }),
    }
}

/// Everything that is not as it should be after `event`; empty when the work was done.
pub fn faults(workload: Workload, depth: Depth, event: &Event, state: &State) -> Vec<String> {
    let mut faults = state.violations.clone();
    let expected = workload.expected(depth);
    let called = tally(&state.calls);
    if called != expected {
        faults.push(format!("it called {called:?} and not {expected:?}"));
    }
    match &state.response {
        None => faults.push("no response came".to_owned()),
        Some(response) => {
            if response["Status"] != "SUCCESS" {
                faults.push(format!("the response is {}: {}", response["Status"], response["Reason"]));
            }
            if response["PhysicalResourceId"].as_str().is_none_or(str::is_empty) {
                faults.push("the response has no `PhysicalResourceId`".to_owned());
            }
            let ids = [("StackId", &*event.stack_id), ("RequestId", &event.request_id), ("LogicalResourceId", event.logical_id)];
            for (key, expected) in ids {
                if response[key] != expected {
                    faults.push(format!("the response's `{key}` is {}", response[key]));
                }
            }
        }
    }
    if depth != Depth::OnlyAnswers {
        match workload {
            Workload::BillingExport => billing_faults(state, &mut faults),
            Workload::AccountConnection => notice_faults(depth, state, &mut faults),
        }
    }
    if !faults.is_empty() {
        faults.extend(state.handshakes_failed.iter().cloned());
    }
    faults
}

fn billing_faults(state: &State, faults: &mut Vec<String>) {
    let mut buckets = state.account.buckets.iter();
    let (Some((name, bucket)), None) = (buckets.next(), buckets.next()) else {
        faults.push(format!("there are {} buckets, not one", state.account.buckets.len()));
        return;
    };
    for (done, what) in [
        (bucket.owner_enforced, "its owner is not enforced"),
        (bucket.tagged, "it has no tag of ours"),
        (bucket.closed, "public access is not blocked"),
        (bucket.encrypted, "it is not encrypted"),
        (bucket.lifecycle, "it has no lifecycle rule"),
        (bucket.delivery_allowed(), "its policy does not allow the delivery"),
    ] {
        if !done {
            faults.push(format!("the bucket: {what}"));
        }
    }
    match state.account.reports.as_slice() {
        [report] if report["S3Bucket"] == **name => {}
        reports => faults.push(format!("there are {} reports, not one into `{name}`", reports.len())),
    }
    let reported = state.response.as_ref().map(|it| it["Data"]["BucketName"].clone());
    if reported != Some(json!(name)) {
        faults.push(format!("the response names the bucket {reported:?}, not `{name}`"));
    }
}

fn notice_faults(depth: Depth, state: &State, faults: &mut Vec<String>) {
    let reported = state.response.as_ref().map(|it| it["Data"]["ConnectionId"].clone());
    if reported != Some(json!("connection-1")) {
        faults.push(format!("the response's `ConnectionId` is {reported:?}, not the vendor's"));
    }
    let proof = state.notice.as_ref().map(|it| &it["data"]["proof"]["headers"]["authorization"]);
    if depth == Depth::Proves && !proof.is_some_and(Value::is_string) {
        faults.push("the notice has no proof of identity".to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, Instant};

    use super::*;
    use crate::record::Call;
    use crate::stub::Bucket;
    use crate::tls::Authority;

    /// An event, and what is left of it by a handler that made these calls and did all else right.
    async fn after(workload: Workload, calls: &[&'static str]) -> (Event, State) {
        let world = StubAws::open(&Authority::new().unwrap(), Duration::ZERO).await.unwrap();
        let event = Event::new(workload, 1, &world);
        let now = Instant::now();
        let call = |name: &&'static str| {
            let (service, operation) = name.split_once(':').unwrap();
            let service = Service::ALL.into_iter().find(|it| it.to_string() == service).unwrap();
            Call { service, operation, start: now, end: now }
        };
        let mut state = State { calls: calls.iter().map(call).collect(), ..State::default() };
        let bucket = Bucket {
            owner_enforced: true,
            tagged: true,
            closed: true,
            encrypted: true,
            lifecycle: true,
            policy: Some(json!({"Statement": [{
                "Effect": "Allow", "Principal": {"Service": "billingreports.amazonaws.com"},
                "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy", "s3:PutObject"],
            }]})),
        };
        state.account.buckets.insert("b-1".to_owned(), bucket);
        state.account.reports.push(json!({"S3Bucket": "b-1"}));
        state.response = Some(json!({
            "Status": "SUCCESS", "PhysicalResourceId": "x", "StackId": event.stack_id, "RequestId": event.request_id,
            "LogicalResourceId": event.logical_id, "Data": {"BucketName": "b-1", "ConnectionId": "connection-1"},
        }));
        state.notice = Some(json!({"data": {"proof": {"headers": {"authorization": "x"}}}}));
        (event, state)
    }

    /// All that Hawser has to call.
    fn all(workload: Workload) -> Vec<&'static str> {
        workload.calls().iter().chain(workload.only_hawser()).copied().chain([LOOK_AFTERWARDS]).collect()
    }

    #[tokio::test]
    async fn each_handler_makes_the_calls_of_its_depth_and_no_other() {
        for workload in Workload::ALL {
            let everything = all(workload);
            let without = |left_out: &str| everything.iter().copied().filter(|it| *it != left_out).collect::<Vec<_>>();
            let (event, state) = after(workload, &everything).await;
            assert_eq!(faults(workload, Depth::Proves, &event, &state), Vec::<String>::new());
            assert!(!faults(workload, Depth::Works, &event, &state).is_empty(), "only Hawser makes all of them");
            for call in &everything {
                let (event, state) = after(workload, &without(call)).await;
                assert!(!faults(workload, Depth::Proves, &event, &state).is_empty(), "`{call}` is missing");
                let (event, state) = after(workload, &[&*everything, &[call]].concat()).await;
                assert!(!faults(workload, Depth::Proves, &event, &state).is_empty(), "`{call}` comes twice");
            }
            let (event, state) = after(workload, workload.calls()).await;
            assert_eq!(faults(workload, Depth::Works, &event, &state), Vec::<String>::new());
            for &call in workload.only_hawser() {
                let (event, state) = after(workload, &[workload.calls(), &[call]].concat()).await;
                assert!(!faults(workload, Depth::Works, &event, &state).is_empty(), "`{call}` is no work of a rival's");
            }
        }
    }

    #[test]
    fn the_description_counts_the_calls() {
        let aws = |calls: &[&str]| calls.iter().filter(|it| !it.starts_with("mailbox:")).count();
        let work = Workload::BillingExport;
        let (rivals, hawser) = (aws(work.calls()), aws(work.calls()) + aws(work.only_hawser()));
        assert!(work.describe().contains(&format!("{rivals} AWS calls, {hawser} of hawser")), "{}", work.describe());
    }
}
