//! Organizations, Cost and Usage Reports and Data Exports: AWS JSON 1.1, the operation in `x-amz-target`.

use http::StatusCode;
use serde_json::{Value, json};

use super::account::Account;
use super::{ACCOUNT, Answer, HttpRequest};
use crate::record::Service;

const JSON: &str = "application/x-amz-json-1.1";
const ORGANIZATIONS: &str = "AWSOrganizationsV20161128";
const CUR: &str = "AWSOrigamiServiceGatewayService";
const DATA_EXPORTS: &str = "AWSBillingAndCostManagementDataExports";
/// `MaxResults` of `DescribeReportDefinitions` has no other legal value.
const PAGE: u64 = 5;
/// The most of `MaxResults` of `ListExports`.
const EXPORTS_PAGE_MAX: u64 = 300;
/// The most of `MaxResults` of both listings of transfers.
const TRANSFERS_PAGE_MAX: u64 = 20;

pub(super) fn answer(service: Service, account: &mut Account, request: &HttpRequest) -> Result<Answer, String> {
    if request.header("content-type") != Some(JSON) {
        return Err(format!("the content type is not `{JSON}`"));
    }
    let target = request.header("x-amz-target").ok_or("no `x-amz-target`")?;
    let input: Value = serde_json::from_slice(&request.body).map_err(|error| format!("the body: {error}"))?;
    match (service, target.split_once('.')) {
        (Service::Organizations, Some((ORGANIZATIONS, "DescribeOrganization"))) => Ok(describe_organization()),
        (Service::Organizations, Some((ORGANIZATIONS, "ListOutboundResponsibilityTransfers"))) => {
            no_transfers("ListOutboundResponsibilityTransfers", &input)
        }
        (Service::Organizations, Some((ORGANIZATIONS, "ListInboundResponsibilityTransfers"))) => {
            no_transfers("ListInboundResponsibilityTransfers", &input)
        }
        (Service::DataExports, Some((DATA_EXPORTS, "ListExports"))) => no_exports(&input),
        (Service::Cur, Some((CUR, "DescribeReportDefinitions"))) => describe_reports(account, &input),
        (Service::Cur, Some((CUR, "PutReportDefinition"))) => put_report(account, &input),
        _ => Err(format!("`{target}` is not part of the work")),
    }
}

fn describe_organization() -> Answer {
    let body = json!({"Organization": {
        "Id": "o-exampleorgid",
        "Arn": format!("arn:aws:organizations::{ACCOUNT}:organization/o-exampleorgid"),
        "FeatureSet": "ALL",
        "MasterAccountArn": format!("arn:aws:organizations::{ACCOUNT}:account/o-exampleorgid/{ACCOUNT}"),
        "MasterAccountId": ACCOUNT,
        "MasterAccountEmail": "billing@example.com",
        "AvailablePolicyTypes": [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}],
    }});
    Answer::new("DescribeOrganization", StatusCode::OK, JSON, body.to_string())
}

/// Nobody else pays this organization's bill, and it pays nobody else's.
fn no_transfers(operation: &'static str, input: &Value) -> Result<Answer, String> {
    if input["Type"] != "BILLING" {
        return Err(format!("`Type` is {}, not \"BILLING\"", input["Type"]));
    }
    only(input, &["Type", "MaxResults"])?;
    page_size(input, TRANSFERS_PAGE_MAX)?;
    Ok(Answer::new(operation, StatusCode::OK, JSON, json!({"ResponsibilityTransfers": []}).to_string()))
}

fn no_exports(input: &Value) -> Result<Answer, String> {
    only(input, &["MaxResults"])?;
    page_size(input, EXPORTS_PAGE_MAX)?;
    Ok(Answer::new("ListExports", StatusCode::OK, JSON, json!({"Exports": []}).to_string()))
}

/// That the input has these members at most: a token of a page that nobody gave, or one transfer's id, is not the work.
fn only(input: &Value, members: &[&str]) -> Result<(), String> {
    let input = input.as_object().ok_or("the body is not an object")?;
    input.keys().find(|it| !members.contains(&it.as_str())).map_or(Ok(()), |it| Err(format!("`{it}` is not part of the work")))
}

fn page_size(input: &Value, most: u64) -> Result<(), String> {
    match &input["MaxResults"] {
        Value::Null => Ok(()),
        value if value.as_u64().is_some_and(|it| (1..=most).contains(&it)) => Ok(()),
        value => Err(format!("`MaxResults` is {value}, not within 1 and {most}")),
    }
}

fn describe_reports(account: &Account, input: &Value) -> Result<Answer, String> {
    if !matches!(input["MaxResults"].as_u64(), None | Some(PAGE)) {
        return Err(format!("`MaxResults` must be {PAGE}"));
    }
    let body = json!({"ReportDefinitions": account.reports});
    Ok(Answer::new("DescribeReportDefinitions", StatusCode::OK, JSON, body.to_string()))
}

fn put_report(account: &mut Account, input: &Value) -> Result<Answer, String> {
    let report = &input["ReportDefinition"];
    let is = |key: &str, expected: &Value| {
        if report[key] == *expected { Ok(()) } else { Err(format!("`{key}` is {}, not {expected}", report[key])) }
    };
    is("TimeUnit", &json!("HOURLY"))?;
    is("Format", &json!("Parquet"))?;
    is("Compression", &json!("Parquet"))?;
    is("S3Region", &json!("us-east-1"))?;
    is("AdditionalArtifacts", &json!(["ATHENA"]))?;
    is("RefreshClosedReports", &json!(true))?;
    is("ReportVersioning", &json!("OVERWRITE_REPORT"))?;
    if !report["AdditionalSchemaElements"].as_array().is_some_and(|it| it.contains(&json!("RESOURCES"))) {
        return Err("`AdditionalSchemaElements` lacks `RESOURCES`".to_owned());
    }
    for key in ["ReportName", "S3Prefix"] {
        if report[key].as_str().is_none_or(str::is_empty) {
            return Err(format!("`{key}` is missing"));
        }
    }
    if input["Tags"].as_array().is_none_or(Vec::is_empty) {
        return Err("the report has no tag".to_owned());
    }
    let bucket = report["S3Bucket"].as_str().and_then(|name| account.buckets.get(name));
    if !bucket.is_some_and(super::Bucket::delivery_allowed) {
        // The words of the real service.
        let body = json!({"__type": "ValidationException", "message": "Failed to verify customer bucket permission."});
        return Ok(Answer::new("PutReportDefinition", StatusCode::BAD_REQUEST, JSON, body.to_string()));
    }
    account.reports.push(report.clone());
    Ok(Answer::new("PutReportDefinition", StatusCode::OK, JSON, "{}"))
}
