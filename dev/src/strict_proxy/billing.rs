//! Cost and usage reports: what AWS checks and the emulator does not.

use hawser::{
    aws::{Report, Tags},
    billing::DATA_ROOT,
};
use hawser_account::file::compact;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    delivery::Delivery,
    paging,
    shared::{AwsCall, BILLING_REGION, Shared, internal},
    wire::AwsError,
};

/// The one sentence AWS has for every failure of the check of the bucket (F-16).
const NOT_VERIFIED: &str = "Failed to verify customer bucket permission.";

/// `DescribeReportDefinitions` has pages of five, no more and no fewer.
const PAGE: usize = 5;

/// The refusals that come before the call reaches the emulator, which keeps the reports.
pub(super) async fn before(shared: &Shared, aws_call: &AwsCall) -> Result<(), AwsError> {
    if aws_call.service == "cur" && aws_call.operation == "PutReportDefinition" {
        let definition = &aws_call.input["ReportDefinition"];
        let (report, existing) = (report(definition), existing(shared, &aws_call.account).await?);
        shared.ask(aws_call, |services| {
            let known = existing.iter().map(|definition| (self::report(definition), Tags::new()));
            services.state.reports = known.map(|known| (known.0.name.clone(), known)).collect();
            services.check_report(&report)
        })?;
        if !delivery(&aws_call.account, definition).allowed(shared).await.map_err(|error| internal(&error))? {
            return Err(AwsError::new(400, "ValidationException", NOT_VERIFIED));
        }
    }
    Ok(())
}

/// A definition in the words of the port.
fn report(definition: &Value) -> Report {
    let text = |member: &str| definition[member].as_str().unwrap_or_default().to_owned();
    let list = |member: &str| -> Vec<String> {
        definition[member].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Report {
        name: text("ReportName"),
        time_unit: text("TimeUnit"),
        format: text("Format"),
        compression: text("Compression"),
        elements: list("AdditionalSchemaElements"),
        bucket: text("S3Bucket"),
        prefix: text("S3Prefix"),
        region: text("S3Region"),
        artifacts: list("AdditionalArtifacts"),
        versioning: text("ReportVersioning"),
        refresh_closed: definition["RefreshClosedReports"] == true,
        billing_view: definition["BillingViewArn"].as_str().map(str::to_owned),
        last_status: None,
        last_delivery: None,
    }
}

/// What comes after a call that the emulator let through: its answer may be replaced, so that IAM has decided first.
pub(super) async fn after(shared: &Shared, aws_call: &AwsCall, body: &Value) -> Result<Option<Value>, AwsError> {
    match (aws_call.service.as_str(), aws_call.operation.as_str()) {
        ("cur", "DescribeReportDefinitions") => page(shared, aws_call, body).map(Some),
        ("cur", "PutReportDefinition") => {
            complete_report(shared, aws_call).await.map_err(|error| internal(&error))?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

async fn existing(shared: &Shared, account: &str) -> Result<Vec<Value>, AwsError> {
    let (_, body) = shared
        .root(account, BILLING_REGION)
        .json("cur", "AWSOrigamiServiceGatewayService.DescribeReportDefinitions", &json!({}))
        .await
        .map_err(|error| internal(&error))?;
    Ok(body["ReportDefinitions"].as_array().cloned().unwrap_or_default())
}

fn page(shared: &Shared, aws_call: &AwsCall, body: &Value) -> Result<Value, AwsError> {
    let statuses = shared.scenario().report_status;
    let mut reports = body["ReportDefinitions"].as_array().cloned().unwrap_or_default();
    for report in &mut reports {
        if let Some(status) = report["ReportName"].as_str().and_then(|name| statuses.get(name)) {
            report["ReportStatus"] = json!({"lastDelivery": status.last_delivery, "lastStatus": status.last_status});
        } else if !report["S3Prefix"].as_str().is_some_and(|prefix| prefix.starts_with(DATA_ROOT)) {
            // What the handler did not create was there before, and delivers.
            let now = compact(OffsetDateTime::now_utc());
            report["ReportStatus"] = json!({"lastDelivery": now, "lastStatus": "SUCCESS"});
        }
    }
    paging::list(aws_call, "ReportDefinitions", reports, PAGE)
        .map_err(|_| AwsError::new(400, "ValidationException", "The next token is not valid."))
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
