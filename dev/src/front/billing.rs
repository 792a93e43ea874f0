//! Cost and usage reports and organizations: what AWS checks and the emulator does not.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::delivery;
use super::scenario::Organization;
use super::wire::{Answer, AwsError, respond_json};
use super::{Asked, Shared};

/// The Region of the billing services in the partition `aws`, the only one the emulator has accounts of.
pub const BILLING_REGION: &str = "us-east-1";

/// Whether a service has an endpoint in a Region (AWS SDK `endpoints.json`; one home for each partition). In any other, the
/// name does not exist.
pub(super) fn lives_in(service: &str, region: &str) -> bool {
    match service {
        "cur" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1"].contains(&region),
        "organizations" => [BILLING_REGION, "cn-northwest-1", "eusc-de-east-1", "us-gov-west-1"].contains(&region),
        _ => true,
    }
}

/// `DescribeReportDefinitions` has pages of five, no more and no fewer.
const PAGE: usize = 5;

/// The refusals that come before the call reaches the emulator.
pub(super) async fn before(shared: &Shared, asked: &Asked) -> Result<(), AwsError> {
    if asked.service == "cur" && asked.operation == "PutReportDefinition" {
        let report = &asked.input["ReportDefinition"];
        combination(report)?;
        let reports = existing(shared, &asked.account).await?;
        // The emulator itself answers to a name that is taken.
        if reports.iter().any(|other| other["ReportName"] == report["ReportName"]) {
            return Ok(());
        }
        let limit = shared.scenario().report_limit;
        if reports.len() >= limit {
            let text = format!("The account already has {limit} reports, which is the limit.");
            return Err(AwsError::new(400, "ReportLimitReachedException", text));
        }
        delivery::check(shared, &asked.account, report).await?;
    }
    Ok(())
}

/// What comes after a call that the emulator let through: its answer may be replaced, so that IAM has decided first.
pub(super) async fn after(shared: &Shared, asked: &Asked, body: &Value) -> Result<Option<Answer>, AwsError> {
    match (asked.service.as_str(), asked.operation.as_str()) {
        ("organizations", operation) => organization(shared, &asked.account, operation),
        ("cur", "DescribeReportDefinitions") => page(shared, &asked.input, body).map(Some),
        ("cur", "PutReportDefinition") => {
            complete_report(shared, asked).await.map_err(|error| internal(&error))?;
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
    let from = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => token_offset(token)
            .filter(|from| *from < reports.len())
            .ok_or_else(|| AwsError::new(400, "ValidationException", "The next token is not valid."))?,
    };
    let mut answer = json!({"ReportDefinitions": reports.iter().skip(from).take(PAGE).collect::<Vec<_>>()});
    if from + PAGE < reports.len() {
        answer["NextToken"] = json!(STANDARD.encode(format!("from {}", from + PAGE)));
    }
    Ok(respond_json(&answer))
}

fn token_offset(token: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}

/// The emulator forgets the tags of PutReportDefinition, and nothing in it writes AWS's test object.
async fn complete_report(shared: &Shared, asked: &Asked) -> anyhow::Result<()> {
    let report = &asked.input["ReportDefinition"];
    if let Some(tags) = asked.input["Tags"].as_array().filter(|tags| !tags.is_empty()) {
        let input = json!({"ReportName": report["ReportName"], "Tags": tags});
        let target = "AWSOrigamiServiceGatewayService.TagResource";
        let (status, _) = shared.root(&asked.account, BILLING_REGION).json("cur", target, &input).await?;
        anyhow::ensure!(status == 200, "the emulator did not tag the report ({status})");
    }
    let region = report["S3Region"].as_str().unwrap_or(BILLING_REGION);
    let bucket = report["S3Bucket"].as_str().context("a report without bucket")?;
    delivery::write_test_object(shared, &asked.account, region, bucket).await
}

fn organization(shared: &Shared, account: &str, operation: &str) -> Result<Option<Answer>, AwsError> {
    let place = shared.scenario().organizations.get(account).cloned().unwrap_or_default();
    let (payer, feature_set) = match place {
        Organization::None => {
            let text = "Your account is not a member of an organization.";
            return Err(AwsError::new(400, "AWSOrganizationsNotInUseException", text));
        }
        Organization::Denied => {
            let text = format!(
                "User: arn:aws:iam::{account}:root is not authorized to perform: organizations:{operation} on resource: * \
                 with an explicit deny in a service control policy"
            );
            return Err(AwsError::new(400, "AccessDeniedException", text));
        }
        Organization::Management { feature_set } => (account.to_owned(), feature_set),
        Organization::Member { management_account_id, feature_set } => (management_account_id, feature_set),
    };
    if operation != "DescribeOrganization" {
        let text = "You don't have permissions to access this resource.";
        return if payer == account { Ok(None) } else { Err(AwsError::new(400, "AccessDeniedException", text)) };
    }
    let id = organization_id(&payer);
    let mut organization = Map::new();
    for (name, value) in [
        ("Id", id.clone()),
        ("Arn", format!("arn:aws:organizations::{payer}:organization/{id}")),
        ("FeatureSet", feature_set),
        ("MasterAccountArn", format!("arn:aws:organizations::{payer}:account/{id}/{payer}")),
        ("MasterAccountId", payer.clone()),
        ("MasterAccountEmail", format!("payer+{payer}@example.com")),
    ] {
        organization.insert(name.into(), json!(value));
    }
    organization.insert("AvailablePolicyTypes".into(), json!([]));
    Ok(Some(respond_json(&json!({"Organization": organization}))))
}

/// The id of the organization that an account pays for; the same in every run.
pub fn organization_id(payer: &str) -> String {
    format!("o-{}", &hex::encode(Sha256::digest(payer))[..10])
}

fn internal(error: &anyhow::Error) -> AwsError {
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

    #[test]
    fn tokens_are_ours_only() {
        assert_eq!(token_offset(&STANDARD.encode("from 5")), Some(5));
        assert_eq!(token_offset("from 5"), None);
    }
}
