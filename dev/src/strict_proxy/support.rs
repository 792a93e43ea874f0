//! AWS Support, which the emulator does not have: services, severities, and the cases of each account (AWS Support API
//! Reference).

use std::{collections::BTreeMap, sync::Mutex};

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{AwsCall, Shared, calls::lock, paging, scenario::Scenario, wire::AwsError};

/// The cases of each account, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct SupportCases(Mutex<BTreeMap<String, Vec<Case>>>);

#[derive(Clone, Debug)]
struct Case {
    shown: Value,
    body: String,
    opened: OffsetDateTime,
    resolved: bool,
}

/// Code and name.
type Named = (&'static str, &'static str);

/// A few of the some hundred services with their categories, with codes as AWS has them.
const SERVICES: [(&str, &str, &[Named]); 4] = [
    ("amazon-simple-storage-service", "Simple Storage Service (S3)", &[("general-guidance", "General guidance")]),
    (
        "billing",
        "Billing",
        &[
            ("other-billing-questions", "Other Billing Questions"),
            ("reserved-instances", "Reserved Instances"),
            ("update-billing-details", "Update Billing Details"),
        ],
    ),
    ("customer-account", "Account", &[("other-account-issues", "Other Account Issues")]),
    ("general-info", "General Info and Getting Started", &[("using-aws", "Using AWS & Services")]),
];

/// What a plan with the API offers, in AWS's order.
const SEVERITIES: [Named; 4] = [
    ("low", "General guidance"),
    ("normal", "System impaired"),
    ("high", "Production system impaired"),
    ("urgent", "Production system down"),
];

/// The languages of the API.
const LANGUAGES: [&str; 4] = ["en", "ja", "zh", "ko"];

/// The answer to a call that IAM allows.
pub(super) fn answer(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let scenario = shared.scenario();
    if !scenario.support_plan {
        let text = "Amazon Web Services Premium Support Subscription is required to use this service.";
        return Err(AwsError::new(400, "SubscriptionRequiredException", text));
    }
    let input = &aws_call.input;
    if input["language"].as_str().is_some_and(|language| !LANGUAGES.contains(&language)) {
        return Err(invalid("language is not one of those of the API."));
    }
    if input["dryRun"] == true {
        return Err(AwsError::new(400, "DryRunOperationException", "The request would have succeeded."));
    }
    match aws_call.operation.as_str() {
        "DescribeServices" => {
            let wanted = input["serviceCodeList"].as_array();
            let services = SERVICES.iter().filter(|(code, ..)| wanted.is_none_or(|wanted| wanted.iter().any(|one| one == code)));
            let named = |(code, name): &Named| json!({"code": code, "name": name});
            let services = services.map(|(code, name, categories)| {
                json!({"code": code, "name": name, "categories": categories.iter().map(named).collect::<Value>()})
            });
            Ok(json!({"services": services.collect::<Value>()}))
        }
        "DescribeSeverityLevels" => {
            let levels = SEVERITIES.iter().map(|(code, name)| json!({"code": code, "name": name}));
            Ok(json!({"severityLevels": levels.collect::<Value>()}))
        }
        "DescribeCases" => cases(shared, &scenario, aws_call),
        "CreateCase" => create(shared, aws_call),
        other => Err(AwsError::new(400, "UnknownOperationException", format!("`{other}` is not served"))),
    }
}

/// The newest first; those that are resolved only if they are asked for.
fn cases(shared: &Shared, scenario: &Scenario, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let input = &aws_call.input;
    let time = |member: &str| match input[member].as_str() {
        None => Ok(None),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339).map(Some).map_err(|_| invalid(&format!("{member} is not a time."))),
    };
    let (after, before) = (time("afterTime")?, time("beforeTime")?);
    let ids = input["caseIdList"].as_array();
    let mut found: Vec<Case> =
        scenario.support_cases.iter().enumerate().map(|(number, case)| Case::earlier(number, case)).collect();
    found.extend(lock(&shared.support_cases.0).get(&aws_call.account).cloned().unwrap_or_default());
    if let Some(missing) = ids.into_iter().flatten().find(|id| !found.iter().any(|case| case.shown["caseId"] == **id)) {
        let text = format!("Case ID {missing} not found");
        return Err(AwsError::new(400, "CaseIdNotFound", text));
    }
    found.retain(|case| {
        (ids.is_some() || !case.resolved || input["includeResolvedCases"] == true)
            && ids.is_none_or(|ids| ids.contains(&case.shown["caseId"]))
            && input["displayId"].as_str().is_none_or(|id| case.shown["displayId"] == id)
            && after.is_none_or(|after| case.opened >= after)
            && before.is_none_or(|before| case.opened <= before)
    });
    found.sort_by_key(|case| std::cmp::Reverse(case.opened));
    let with_communications = input["includeCommunications"] != false;
    let items = found.iter().map(|case| case.written(with_communications)).collect();
    let (some, next) = paging::page("DescribeCases", items, input["nextToken"].as_str(), paging::SMALL)
        .map_err(|_| invalid("nextToken is not valid."))?;
    let mut answer = json!({"cases": some});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

fn create(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let input = &aws_call.input;
    let text = |member: &str| input[member].as_str().unwrap_or_default();
    let categories = SERVICES.iter().find(|(code, ..)| *code == text("serviceCode")).map(|(_, _, categories)| *categories);
    let Some(categories) = categories else { return Err(invalid("serviceCode is not one of DescribeServices.")) };
    if !categories.iter().any(|(code, _)| *code == text("categoryCode")) {
        return Err(invalid("categoryCode is not one of the service's."));
    }
    if !SEVERITIES.iter().any(|(code, _)| *code == text("severityCode")) {
        return Err(invalid("severityCode is not one of DescribeSeverityLevels."));
    }
    if !["customer-service", "technical"].contains(&input["issueType"].as_str().unwrap_or("technical")) {
        return Err(invalid("issueType is neither customer-service nor technical."));
    }
    if text("subject").trim().is_empty() {
        return Err(invalid("subject must not be empty."));
    }
    let opened = OffsetDateTime::now_utc();
    let mut support_cases = lock(&shared.support_cases.0);
    let cases = support_cases.entry(aws_call.account.clone()).or_default();
    let id = format!("case-{}-muen-2026-{:016x}", aws_call.account, cases.len() + 1);
    let shown = json!({
        "caseId": id, "displayId": (1_700_000_001 + cases.len()).to_string(), "subject": text("subject"), "status": "unassigned",
        "serviceCode": text("serviceCode"), "categoryCode": text("categoryCode"), "severityCode": text("severityCode"),
        "submittedBy": "root@example.com", "ccEmailAddresses": input["ccEmailAddresses"].as_array().cloned().unwrap_or_default(),
        "language": input["language"].as_str().unwrap_or("en"),
    });
    cases.push(Case { shown, body: text("communicationBody").to_owned(), opened, resolved: false });
    Ok(json!({"caseId": id}))
}

impl SupportCases {
    /// The cases that an account opened in this run, for tests.
    pub(super) fn shown(&self, account: &str) -> Vec<Value> {
        let cases = lock(&self.0).get(account).cloned().unwrap_or_default();
        cases.iter().map(|case| case.written(true)).collect()
    }

    /// Forgets them.
    pub(super) fn forget(&self, account: &str) {
        lock(&self.0).remove(account);
    }
}

impl Case {
    fn earlier(number: usize, case: &super::scenario::SupportCase) -> Self {
        let shown = json!({
            "caseId": format!("case-111122223333-muen-2025-{number:016x}"), "displayId": (1_600_000_000 + number).to_string(),
            "subject": case.subject, "status": if case.resolved { "resolved" } else { "opened" }, "serviceCode": "customer-account",
            "categoryCode": "other-account-issues", "severityCode": "low", "submittedBy": "root@example.com",
            "ccEmailAddresses": [], "language": "en",
        });
        let opened = OffsetDateTime::now_utc() - Duration::days(case.days_ago);
        Self { shown, body: "Hello".into(), opened, resolved: case.resolved }
    }

    fn written(&self, with_communications: bool) -> Value {
        let mut case = self.shown.clone();
        let created = self.opened.format(&Rfc3339).unwrap_or_default();
        case["timeCreated"] = json!(created);
        if with_communications {
            let one =
                json!({"caseId": case["caseId"], "body": self.body, "submittedBy": case["submittedBy"], "timeCreated": created});
            case["recentCommunications"] = json!({"communications": [one]});
        }
        case
    }
}

fn invalid(why: &str) -> AwsError {
    AwsError::new(400, "ValidationException", why)
}
