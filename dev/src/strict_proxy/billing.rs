//! Cost and usage reports: what AWS checks and the emulator does not.

use serde_json::{Value, json};

use super::{
    AwsCall, Shared,
    delivery::Delivery,
    paging,
    wire::{Answer, AwsError, respond_json},
};

/// The Region of the billing services in the partition `aws`, the only one the emulator has accounts of.
pub const BILLING_REGION: &str = "us-east-1";

/// Whether a service has an endpoint in a Region (AWS SDK `endpoints.json`; one home for each partition). In any other, the
/// name does not exist.
pub(super) fn is_served_in(service: &str, region: &str) -> bool {
    match service {
        "cur" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1"].contains(&region),
        "bcm-data-exports" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        "organizations" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        "support" => [BILLING_REGION, "cn-north-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        _ => true,
    }
}

/// The one sentence AWS has for every failure of the check of the bucket (F-16).
const NOT_VERIFIED: &str = "Failed to verify customer bucket permission.";

/// `DescribeReportDefinitions` has pages of five, no more and no fewer.
const PAGE: usize = 5;

/// The refusals that come before the call reaches the emulator.
pub(super) async fn before(shared: &Shared, aws_call: &AwsCall) -> Result<(), AwsError> {
    if aws_call.service == "cur" && aws_call.operation == "PutReportDefinition" {
        let report = &aws_call.input["ReportDefinition"];
        combination(report)?;
        let reports = existing(shared, &aws_call.account).await?;
        // The emulator itself answers to a name that is taken.
        if reports.iter().any(|other| other["ReportName"] == report["ReportName"]) {
            return Ok(());
        }
        let limit = shared.scenario().report_limit;
        if reports.len() >= limit {
            let text = format!("The account already has {limit} reports, which is the limit.");
            return Err(AwsError::new(400, "ReportLimitReachedException", text));
        }
        if !delivery(&aws_call.account, report).allowed(shared).await.map_err(|error| internal(&error))? {
            return Err(AwsError::new(400, "ValidationException", NOT_VERIFIED));
        }
        if !shared.scenario().split_cost_allocation && contains(&report["AdditionalSchemaElements"], "SPLIT_COST_ALLOCATION_DATA")
        {
            let text = "Split cost allocation data is not enabled for this account.";
            return Err(AwsError::new(400, "ValidationException", text));
        }
    }
    Ok(())
}

/// What comes after a call that the emulator let through: its answer may be replaced, so that IAM has decided first.
pub(super) async fn after(shared: &Shared, aws_call: &AwsCall, body: &Value) -> Result<Option<Answer>, AwsError> {
    match (aws_call.service.as_str(), aws_call.operation.as_str()) {
        ("cur", "DescribeReportDefinitions") => page(shared, &aws_call.input, body).map(Some),
        ("cur", "PutReportDefinition") => {
            complete_report(shared, aws_call).await.map_err(|error| internal(&error))?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// The combinations that the billing console and API refuse.
fn combination(report: &Value) -> Result<(), AwsError> {
    let refuse = |why: String| Err(AwsError::new(400, "ValidationException", why));
    let artifacts: Vec<&str> = report["AdditionalArtifacts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (format, compression) = (report["Format"].as_str(), report["Compression"].as_str());
    if (format == Some("Parquet")) != (compression == Some("Parquet")) {
        return refuse("Parquet format and Parquet compression go together".into());
    }
    let overwrites = report["ReportVersioning"] == "OVERWRITE_REPORT";
    if artifacts.contains(&"ATHENA") && (artifacts.len() > 1 || format != Some("Parquet") || !overwrites) {
        return refuse("ATHENA is for Parquet with OVERWRITE_REPORT and without other artifacts".into());
    }
    if !artifacts.is_empty() && !artifacts.contains(&"ATHENA") && (overwrites || format == Some("Parquet")) {
        return refuse("REDSHIFT and QUICKSIGHT are for textORcsv with CREATE_NEW_REPORT".into());
    }
    // The rule of the service since 2025: at least two characters, and no `/`, `|` or `.` at the end (F-17).
    let prefix = report["S3Prefix"].as_str().unwrap_or_default();
    if prefix.chars().count() < 2 || prefix.ends_with(['/', '|', '.']) {
        return refuse(format!("S3Prefix `{prefix}` must satisfy regular expression pattern: ^.+[^/|.]$"));
    }
    Ok(())
}

async fn existing(shared: &Shared, account: &str) -> Result<Vec<Value>, AwsError> {
    let (_, body) = shared
        .root(account, BILLING_REGION)
        .json("cur", "AWSOrigamiServiceGatewayService.DescribeReportDefinitions", &json!({}))
        .await
        .map_err(|error| internal(&error))?;
    Ok(body["ReportDefinitions"].as_array().cloned().unwrap_or_default())
}

fn page(shared: &Shared, input: &Value, body: &Value) -> Result<Answer, AwsError> {
    let statuses = shared.scenario().report_status;
    let mut reports = body["ReportDefinitions"].as_array().cloned().unwrap_or_default();
    for report in &mut reports {
        if let Some(status) = report["ReportName"].as_str().and_then(|name| statuses.get(name)) {
            report["ReportStatus"] = json!({"lastDelivery": status.last_delivery, "lastStatus": status.last_status});
        }
    }
    let (some, next) = paging::page("DescribeReportDefinitions", reports, input["NextToken"].as_str(), PAGE)
        .map_err(|_| AwsError::new(400, "ValidationException", "The next token is not valid."))?;
    let mut answer = json!({"ReportDefinitions": some});
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(respond_json(&answer))
}

/// The emulator forgets the tags of PutReportDefinition, and nothing in it writes AWS's test object.
async fn complete_report(shared: &Shared, aws_call: &AwsCall) -> anyhow::Result<()> {
    let report = &aws_call.input["ReportDefinition"];
    if let Some(tags) = aws_call.input["Tags"].as_array().filter(|tags| !tags.is_empty()) {
        let input = json!({"ReportName": report["ReportName"], "Tags": tags});
        let target = "AWSOrigamiServiceGatewayService.TagResource";
        let (status, _) = shared.root(&aws_call.account, BILLING_REGION).json("cur", target, &input).await?;
        anyhow::ensure!(status == 200, "the emulator did not tag the report ({status})");
    }
    delivery(&aws_call.account, report).write_test_object(shared).await
}

fn contains(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|item| item == wanted))
}

/// A report is delivered to a bucket of its own account.
fn delivery<'a>(account: &'a str, report: &'a Value) -> Delivery<'a> {
    let text = |member: &str| report[member].as_str().unwrap_or_default();
    let name = text("ReportName");
    Delivery {
        principal: "billingreports.amazonaws.com",
        account,
        source_arn: format!("arn:aws:cur:{BILLING_REGION}:{account}:definition/{name}"),
        owner: account,
        bucket: text("S3Bucket"),
        region: text("S3Region"),
        reads: &["s3:GetBucketAcl", "s3:GetBucketPolicy"],
        key: format!("{}/{name}/20261101-20261201/{name}-Manifest.json", text("S3Prefix")),
    }
}

pub(super) fn internal(error: &anyhow::Error) -> AwsError {
    AwsError::new(500, "InternalErrorException", format!("the front could not look this up: {error:#}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn report(changes: &[(&str, Value)]) -> Value {
        let mut report = json!({"Format": "Parquet", "Compression": "Parquet", "AdditionalArtifacts": ["ATHENA"],
                                "ReportVersioning": "OVERWRITE_REPORT", "S3Prefix": "hawser/1a2b3c4d"});
        for (name, value) in changes {
            report[*name] = value.clone();
        }
        report
    }

    #[test]
    fn what_hawser_creates_is_a_legal_combination() {
        assert_eq!(combination(&report(&[])), Ok(()));
        let csv = [("Format", json!("textORcsv")), ("Compression", json!("GZIP")), ("AdditionalArtifacts", json!([]))];
        assert_eq!(combination(&report(&csv)), Ok(()));
    }

    #[test]
    fn illegal_combinations_are_refused() {
        for change in [
            ("Compression", json!("GZIP")),
            ("ReportVersioning", json!("CREATE_NEW_REPORT")),
            ("AdditionalArtifacts", json!(["ATHENA", "REDSHIFT"])),
            ("S3Prefix", json!("hawser/")),
            ("S3Prefix", json!("")),
        ] {
            let refused = combination(&report(std::slice::from_ref(&change)));
            assert_eq!(refused.unwrap_err().code, "ValidationException", "{change:?}");
        }
    }
}
