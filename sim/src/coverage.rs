//! Which steps can go wrong in which ways, and which of these did.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    script::{IDENTITY_CALL, InjectedFault, Label, MAILBOX_CALL, Step, VENDOR_CALL},
    stack::{BILLING, CONNECTION},
};

/// Every call that the handler can make.
pub const CALLS: [&str; 45] = [
    "bcm-data-exports:CreateExport",
    "bcm-data-exports:DeleteExport",
    "bcm-data-exports:GetExport",
    "bcm-data-exports:GetTable",
    "bcm-data-exports:ListExecutions",
    "bcm-data-exports:ListExports",
    "bcm-data-exports:ListTables",
    "bcm-data-exports:ListTagsForResource",
    "bcm-data-exports:TagResource",
    "bcm-data-exports:UpdateExport",
    "cloudformation:DescribeStackResources",
    "cloudformation:DescribeStacks",
    "cur:DeleteReportDefinition",
    "cur:DescribeReportDefinitions",
    "cur:ListTagsForResource",
    "cur:PutReportDefinition",
    "cur:TagResource",
    IDENTITY_CALL,
    MAILBOX_CALL,
    "organizations:DescribeOrganization",
    "organizations:ListDelegatedServicesForAccount",
    "organizations:ListInboundResponsibilityTransfers",
    "organizations:ListOutboundResponsibilityTransfers",
    "s3:CreateBucket",
    "s3:DeleteBucket",
    "s3:DeleteObject",
    "s3:GetBucketLocation",
    "s3:GetBucketPolicy",
    "s3:GetBucketTagging",
    "s3:GetEncryptionConfiguration",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketTagging",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "support:CreateCase",
    "support:DescribeCases",
    "support:DescribeServices",
    "support:DescribeSeverityLevels",
    VENDOR_CALL,
    // Not calls of the handler's code: Lambda logs for it.
    "logs:CreateLogStream",
    "logs:PutLogEvents",
];

/// Every kind of event.
pub fn labels() -> impl Iterator<Item = Label> {
    [BILLING, CONNECTION]
        .into_iter()
        .flat_map(|resource| ["Create", "Update", "Delete"].map(|request| Label { resource, request }))
}

/// Why an event of this kind never makes this call; `None` if it does.
pub fn unreachable(label: Label, call: &str) -> Option<&'static str> {
    let begins = |starts: &[&str]| starts.iter().any(|start| call.starts_with(start));
    let makes = begins(&["s3:Create", "s3:Put", "cur:Put", "bcm-data-exports:Create", "bcm-data-exports:Update"])
        || call.ends_with(":TagResource");
    let chooses = begins(&["organizations:", "bcm-data-exports:GetTable", "bcm-data-exports:ListTables"])
        || ["s3:GetBucketLocation", "s3:GetEncryptionConfiguration"].contains(&call);
    let alike = |asked: &str| call == asked;
    match (label.resource, label.request) {
        _ if call.starts_with("logs:") => Some("Lambda writes the log, not the handler"),
        _ if alike("s3:GetObject") => Some("only the delivery check reads what was delivered"),
        (BILLING, _) if alike(VENDOR_CALL) || alike(IDENTITY_CALL) => Some("the billing export tells nobody"),
        (CONNECTION, _) if begins(&["s3:", "cur:", "bcm-data-exports:", "organizations:", "support:"]) => {
            Some("the connection is told about the account by its properties")
        }
        (BILLING, "Delete") if makes => Some("a Delete makes nothing"),
        (BILLING, "Delete") if alike("s3:GetBucketPolicy") => Some("to remove a bucket its policy does not matter"),
        (BILLING, "Delete") if chooses || alike("bcm-data-exports:ListExecutions") => Some("a Delete chooses nothing"),
        (BILLING, "Delete") if begins(&["support:"]) => Some("a Delete asks for no history"),
        _ => None,
    }
}

/// Every step that can be taken.
pub fn steps() -> impl Iterator<Item = Step> {
    labels()
        .flat_map(|label| CALLS.into_iter().map(move |call| (label, call)))
        .filter(|(label, call)| unreachable(*label, call).is_none())
}

/// Every pair of a step and a mishap that can happen.
pub fn pairs() -> BTreeSet<(Step, InjectedFault)> {
    steps()
        .flat_map(|step| {
            InjectedFault::ALL
                .into_iter()
                .filter(move |injected| injected.applies_to(step.1))
                .map(move |injected| (step, injected))
        })
        .collect()
}

/// What happened in many lives.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// How often each step was taken.
    pub steps: BTreeMap<Step, u64>,
    /// How often each mishap happened to each step.
    pub met: BTreeMap<(Step, InjectedFault), u64>,
}

impl Coverage {
    /// Adds what one life saw.
    pub fn add(&mut self, script: &super::Script) {
        for (step, count) in script.steps() {
            *self.steps.entry(step).or_default() += u64::try_from(count).unwrap_or(u64::MAX);
        }
        for (pair, count) in script.met() {
            *self.met.entry(pair).or_default() += count;
        }
    }

    /// Adds what other lives saw.
    pub fn merge(&mut self, other: Self) {
        for (step, count) in other.steps {
            *self.steps.entry(step).or_default() += count;
        }
        for (pair, count) in other.met {
            *self.met.entry(pair).or_default() += count;
        }
    }

    /// Pairs that can happen and did not.
    pub fn missed(&self) -> Vec<(Step, InjectedFault)> {
        pairs().into_iter().filter(|pair| !self.met.contains_key(pair)).collect()
    }

    /// Steps that were taken although they are said to be unreachable.
    pub fn impossible(&self) -> Vec<Step> {
        self.steps.keys().filter(|(label, call)| unreachable(*label, call).is_some() || !CALLS.contains(call)).copied().collect()
    }

    /// How often each mishap happened.
    pub fn by_fault(&self) -> BTreeMap<InjectedFault, u64> {
        let mut by_fault = BTreeMap::new();
        for ((_, injected), count) in &self.met {
            *by_fault.entry(*injected).or_default() += count;
        }
        by_fault
    }
}
