//! The two things that are asked of every handler, and how to tell that they were done.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::record::{Service, tally};
use crate::stub::StubAws;
use crate::world::{ACCOUNT, CONNECTION_ID, Event, LAUNCH_TOKEN, STACK_REGION, State};

/// What S3 leaves as it is in the path of a presigned URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Whether the stack still wants what was made: asked after the answer, by Hawser only.
const LOOK_AFTERWARDS: &str = "cloudformation:DescribeStackResources";

/// A thing to do, for the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Create of `Custom::BillingExport` in the management account of an organization, with no report and no bucket.
    BillingExport,
    /// Create of `Custom::AccountConnection`: one notice to the vendor.
    AccountConnection,
}

/// How much of the work a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only the response.
    OnlyAnswers,
    /// All calls.
    Works,
    /// All calls, those that only Hawser makes, the proof of identity in the notice, and a look at the stack after the answer.
    Proves,
}

impl Workload {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::BillingExport, Self::AccountConnection];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BillingExport => "Custom::BillingExport",
            Self::AccountConnection => "Custom::AccountConnection",
        }
    }

    /// What it consists of, for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::BillingExport => "Create on an empty account: 9 AWS calls, 14 of hawser, and the response",
            Self::AccountConnection => "Create: the notice and the response; 2 AWS calls of hawser before them",
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

    /// What Hawser asks besides, before it answers: whether the stack waits, its tags, what the other billing service has, who receives
    /// the bill, and a token that proves who sends the notice.
    fn only_hawser(self) -> &'static [&'static str] {
        match self {
            Self::BillingExport => &[
                "cloudformation:DescribeStackResources",
                "cloudformation:DescribeStacks",
                "bcm-data-exports:ListExports",
                "organizations:ListOutboundResponsibilityTransfers",
                "organizations:ListInboundResponsibilityTransfers",
            ],
            Self::AccountConnection => &["cloudformation:DescribeStackResources", "sts:GetWebIdentityToken"],
        }
    }

    /// How often each operation has to be called; nothing else may be.
    fn expected(self, depth: Depth) -> BTreeMap<String, usize> {
        let (calls, more, after): (&[&str], &[&str], &[&str]) = match depth {
            Depth::OnlyAnswers => (&["mailbox:PutResponse"], &[], &[]),
            Depth::Works => (self.calls(), &[], &[]),
            Depth::Proves => (self.calls(), self.only_hawser(), &[LOOK_AFTERWARDS]),
        };
        let mut expected = BTreeMap::new();
        for call in calls.iter().chain(more).chain(after) {
            *expected.entry((*call).to_owned()).or_default() += 1;
        }
        expected
    }
}

/// The `number`th event of this run: each is a stack of its own, so no handler can know it.
pub(crate) fn event(workload: Workload, number: u64, world: &StubAws) -> Event {
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
    Event { json, response_path, resource_type: workload.name(), stack_id: stack, request_id: request, logical_id: logical }
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
                "Compression": "Parquet", "RefreshesClosedMonths": "true", "Versioning": "OverwriteReport", "IamPrincipalData": "false",
                "Decision": "created a new report, because the account has none", "FirstDataDueBy": "2026-11-24T10:00:00Z",
                "Backfill": "", "KmsKeyArn": "",
            },
        }),
    }
}

/// Everything that is not as it should be after an event; empty when the work was done.
pub(crate) fn faults(workload: Workload, depth: Depth, state: &State) -> Vec<String> {
    let mut faults = state.violations.clone();
    let expected = workload.expected(depth);
    let called = tally(&state.calls);
    if called != expected {
        faults.push(format!("it called {called:?} and not {expected:?}"));
    }
    let (response, event) = (&state.response, &state.event);
    let mut says = |pointer: &str, expected: &str| {
        let found = response.pointer(pointer).unwrap_or(&Value::Null);
        if found != expected {
            faults.push(format!("`{pointer}` of the response is {found}, not `{expected}`: {}", response["Reason"]));
        }
    };
    says("/Status", "SUCCESS");
    says("/StackId", &event.stack_id);
    says("/RequestId", &event.request_id);
    says("/LogicalResourceId", event.logical_id);
    match workload {
        _ if depth == Depth::OnlyAnswers => {}
        Workload::BillingExport => says("/Data/BucketName", &state.bucket),
        Workload::AccountConnection => says("/Data/ConnectionId", CONNECTION_ID),
    }
    if response["PhysicalResourceId"].as_str().is_none_or(str::is_empty) {
        faults.push("the response has no `PhysicalResourceId`".to_owned());
    }
    let proof = &state.notice["data"]["proofs"][0]["headers"]["authorization"];
    if workload == Workload::AccountConnection && depth == Depth::Proves && !proof.is_string() {
        faults.push("the notice has no proof of identity".to_owned());
    }
    if !faults.is_empty() {
        faults.extend(state.handshakes_failed.iter().cloned());
    }
    faults
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Instant;

    use super::*;
    use crate::record::Call;

    /// What is left by a handler that made these calls and did all else right.
    fn after(calls: &[&'static str]) -> State {
        let now = Instant::now();
        let call = |name: &&'static str| {
            let (service, operation) = name.split_once(':').unwrap();
            let service = Service::ALL.into_iter().find(|it| it.to_string() == service).unwrap();
            Call { service, operation, start: now, end: now }
        };
        State {
            calls: calls.iter().map(call).collect(),
            event: Event { stack_id: "s".to_owned(), request_id: "r".to_owned(), logical_id: "l", ..Event::default() },
            bucket: "b-1".to_owned(),
            response: json!({
                "Status": "SUCCESS", "PhysicalResourceId": "x", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l",
                "Data": {"BucketName": "b-1", "ConnectionId": CONNECTION_ID},
            }),
            notice: json!({"data": {"proofs": [{"headers": {"authorization": "x"}}]}}),
            ..State::default()
        }
    }

    /// All that Hawser has to call.
    fn all(workload: Workload) -> Vec<&'static str> {
        workload.calls().iter().chain(workload.only_hawser()).copied().chain([LOOK_AFTERWARDS]).collect()
    }

    #[test]
    fn each_handler_makes_the_calls_of_its_depth_and_no_other() {
        for workload in Workload::ALL {
            let everything = all(workload);
            let without = |left_out: &str| everything.iter().copied().filter(|it| *it != left_out).collect::<Vec<_>>();
            let state = after(&everything);
            assert_eq!(faults(workload, Depth::Proves, &state), Vec::<String>::new());
            assert!(!faults(workload, Depth::Works, &state).is_empty(), "only Hawser makes all of them");
            for call in &everything {
                let state = after(&without(call));
                assert!(!faults(workload, Depth::Proves, &state).is_empty(), "`{call}` is missing");
                let state = after(&[&*everything, &[call]].concat());
                assert!(!faults(workload, Depth::Proves, &state).is_empty(), "`{call}` comes twice");
            }
            let state = after(workload.calls());
            assert_eq!(faults(workload, Depth::Works, &state), Vec::<String>::new());
            for &call in workload.only_hawser() {
                let state = after(&[workload.calls(), &[call]].concat());
                assert!(!faults(workload, Depth::Works, &state).is_empty(), "`{call}` is no work of a rival's");
            }
        }
    }

    #[test]
    fn what_a_handler_gets_wrong_beside_its_calls_is_a_fault() {
        for (workload, wrong) in [
            (Workload::BillingExport, json!({"/Status": "FAILED"})),
            (Workload::BillingExport, json!({"/PhysicalResourceId": ""})),
            (Workload::BillingExport, json!({"/RequestId": "another"})),
            (Workload::BillingExport, json!({"/Data/BucketName": "b-2"})),
            (Workload::AccountConnection, json!({"/Data/ConnectionId": "another"})),
        ] {
            let mut state = after(&all(workload));
            for (pointer, value) in wrong.as_object().unwrap() {
                *state.response.pointer_mut(pointer).unwrap() = value.clone();
            }
            assert_eq!(faults(workload, Depth::Proves, &state).len(), 1, "{wrong}");
        }
        let state = State { notice: json!({}), ..after(&all(Workload::AccountConnection)) };
        assert_eq!(faults(Workload::AccountConnection, Depth::Proves, &state), ["the notice has no proof of identity"]);
    }

    #[test]
    fn the_description_counts_the_calls() {
        let aws = |calls: &[&str]| calls.iter().filter(|it| !it.starts_with("mailbox:")).count();
        let work = Workload::BillingExport;
        let (rivals, hawser) = (aws(work.calls()), aws(work.calls()) + aws(work.only_hawser()));
        assert!(work.describe().contains(&format!("{rivals} AWS calls, {hawser} of hawser")), "{}", work.describe());
        let work = Workload::AccountConnection;
        assert!(work.describe().contains(&format!("{} AWS calls of hawser", aws(work.only_hawser()))), "{}", work.describe());
    }
}
