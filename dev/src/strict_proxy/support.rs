//! AWS Support on the wire, which the emulator does not have (AWS Support API Reference).

use hawser::aws::NewCase;
use hawser_account::{services::OpenedCase, support::SEVERITIES};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    paging,
    shared::{AwsCall, Shared},
    wire::AwsError,
};

/// The languages of the API.
const LANGUAGES: [&str; 4] = ["en", "ja", "zh", "ko"];

/// The answer to a call that IAM allows.
pub(super) fn answer(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    shared.ask(aws_call, |services| services.may_use_support())?;
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
            let mut services = shared.services(&aws_call.account, |services| services.support_services());
            services.retain(|service| wanted.is_none_or(|wanted| wanted.iter().any(|one| *one == service.code)));
            let named = |(code, name): &(String, String)| json!({"code": code, "name": name});
            let services = services.iter().map(|service| {
                let categories: Value = service.categories.iter().map(named).collect();
                json!({"code": service.code, "name": service.name, "categories": categories})
            });
            Ok(json!({"services": services.collect::<Value>()}))
        }
        "DescribeSeverityLevels" => {
            let levels = SEVERITIES.iter().map(|(code, name)| json!({"code": code, "name": name}));
            Ok(json!({"severityLevels": levels.collect::<Value>()}))
        }
        "DescribeCases" => cases(shared, aws_call),
        "CreateCase" => {
            if !["customer-service", "technical"].contains(&input["issueType"].as_str().unwrap_or("technical")) {
                return Err(invalid("issueType is neither customer-service nor technical."));
            }
            let text = |member: &str| aws_call.text(member).to_owned();
            let case = NewCase {
                service: text("serviceCode"),
                category: text("categoryCode"),
                severity: text("severityCode"),
                subject: text("subject"),
                body: text("communicationBody"),
            };
            shared.ask(aws_call, |services| Ok(json!({"caseId": services.open_case(&case, Some(0))?})))
        }
        other => Err(AwsError::new(400, "UnknownOperationException", format!("`{other}` is not served"))),
    }
}

/// The newest first; those that are resolved only if they are asked for.
fn cases(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let input = &aws_call.input;
    let time = |member: &str| match input[member].as_str() {
        None => Ok(None),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339).map(Some).map_err(|_| invalid(&format!("{member} is not a time."))),
    };
    let (after, before) = (time("afterTime")?, time("beforeTime")?);
    let ids = input["caseIdList"].as_array();
    let mut found = shared.services(&aws_call.account, |services| services.state.cases.clone());
    if let Some(missing) = ids.into_iter().flatten().find(|id| !found.iter().any(|case| **id == case.id)) {
        return Err(AwsError::new(400, "CaseIdNotFound", format!("Case ID {missing} not found")));
    }
    found.retain(|case| {
        (ids.is_some() || !case.resolved || input["includeResolvedCases"] == true)
            && ids.is_none_or(|ids| ids.iter().any(|id| *id == case.id))
            && input["displayId"].as_str().is_none_or(|id| case.display_id == id)
            && after.is_none_or(|after| case.opened_at >= after)
            && before.is_none_or(|before| case.opened_at <= before)
    });
    found.sort_by_key(|case| std::cmp::Reverse(case.opened_at));
    let with_communications = input["includeCommunications"] != false;
    let items = found.iter().map(|case| written(case, with_communications)).collect();
    let (some, next) = paging::page("DescribeCases", items, input["nextToken"].as_str(), paging::SMALL)
        .map_err(|_| invalid("nextToken is not valid."))?;
    let mut answer = json!({"cases": some});
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

/// The cases that an account opened in this run, for tests.
pub(super) fn shown(shared: &Shared, account: &str) -> Vec<Value> {
    let cases = shared.services(account, |services| services.state.cases.clone());
    cases.iter().filter(|case| case.run.is_some()).map(|case| written(case, true)).collect()
}

fn written(known: &OpenedCase, with_communications: bool) -> Value {
    let created = known.opened_at.format(&Rfc3339).unwrap_or_default();
    let status = match (known.resolved, known.run) {
        (true, _) => "resolved",
        (false, None) => "opened",
        (false, Some(_)) => "unassigned",
    };
    let mut case = json!({
        "caseId": known.id, "displayId": known.display_id, "subject": known.case.subject, "status": status,
        "serviceCode": known.case.service, "categoryCode": known.case.category, "severityCode": known.case.severity,
        "submittedBy": "root@example.com", "ccEmailAddresses": [], "language": "en", "timeCreated": created,
    });
    if with_communications {
        let one = json!({"caseId": known.id, "body": known.case.body, "submittedBy": "root@example.com", "timeCreated": created});
        case["recentCommunications"] = json!({"communications": [one]});
    }
    case
}

fn invalid(why: &str) -> AwsError {
    AwsError::new(400, "ValidationException", why)
}
