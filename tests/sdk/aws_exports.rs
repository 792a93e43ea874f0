//! Data DataExports, Support, Organizations' transfers and S3's listing, as they leave the SDK and as their answers are read; and where
//! each service is, for every Region the SDK knows.

use std::collections::BTreeMap;

use hawser::{
    aws::{
        Buckets, CostReports, DataExport, DataExports, Direction, Execution, ExportSummary, FaultKind, NewCase, Organizations,
        Support,
    },
    names::{AccountId, BucketName, Partition, Region},
};
use serde_json::{Value, json};
use time::macros::datetime;

use crate::canned::Canned;

const ARN: &str = "arn:aws:bcm-data-exports:us-east-1:111122223333:export/acme-0-5e0c1b70";

fn home() -> Region {
    Partition::Aws.billing_region().unwrap()
}

fn owner() -> AccountId {
    "111122223333".parse().unwrap()
}

fn bucket() -> BucketName {
    BucketName::existing("finance-data")
}

/// The table, by Region: its partition.
fn regions() -> BTreeMap<String, String> {
    let rows =
        include_str!("../regions.tsv").lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('\t').unwrap());
    rows.map(|(region, partition)| (region.to_owned(), partition.to_owned())).collect()
}

/// Every Region that any enumeration of the SDK's names.
fn known_to_the_sdk() -> Vec<&'static str> {
    let of_s3 = aws_sdk_s3::types::BucketLocationConstraint::values();
    let of_cur = aws_sdk_costandusagereport::types::AwsRegion::values();
    of_s3.iter().chain(of_cur).copied().filter(|region| *region != "EU").collect()
}

/// F-13, F-14, F-25, HW-B1: whatever Region a stack is in, each service is called where its partition has it, at a host that the
/// SDK's own endpoint rules make; where a partition lacks one, it is not called.
#[tokio::test]
async fn every_region_has_its_services_somewhere() {
    let regions = regions();
    for known in known_to_the_sdk() {
        assert!(regions.contains_key(known), "{known} is not in tests/regions.tsv");
    }
    let hosts = [
        ("aws", "cur.us-east-1.amazonaws.com", "bcm-data-exports.us-east-1.api.aws", "support.us-east-1.amazonaws.com"),
        (
            "aws-cn",
            "cur.cn-northwest-1.amazonaws.com.cn",
            "bcm-data-exports.cn-northwest-1.api.amazonwebservices.com.cn",
            "support.cn-north-1.amazonaws.com.cn",
        ),
        (
            "aws-eusc",
            "cur.eusc-de-east-1.amazonaws.eu",
            "bcm-data-exports.eusc-de-east-1.api.amazonwebservices.eu",
            "support.eusc-de-east-1.amazonaws.eu",
        ),
        ("aws-us-gov", "", "", "support.us-gov-west-1.amazonaws.com"),
    ];
    for (region, expected) in &regions {
        let partition = Partition::of_region(region);
        assert_eq!(partition.as_str(), expected, "{region}");
        let stack = format!("arn:{expected}:cloudformation:{region}:111122223333:stack/acme/5e0c1b70");
        let stack: hawser::names::StackId = stack.parse().unwrap_or_else(|why| panic!("{region}: {why}"));
        assert_eq!((stack.partition, stack.region.as_str()), (partition, region.as_str()));
    }
    for (partition, cur, exports, support) in hosts {
        let partition: Partition = partition.parse().unwrap();
        assert!(regions.values().any(|known| known == partition.as_str()));
        let canned = Canned::with(&[(200, "{}"), (200, "{}")]);
        match partition.billing_region() {
            None => assert!(cur.is_empty() && exports.is_empty(), "{partition}"),
            Some(region) => {
                let aws = canned.clients(&region);
                aws.describe_reports().await.unwrap();
                aws.list_exports().await.unwrap();
                let sent = canned.sent();
                let uris: Vec<&str> = sent.iter().map(|sent| sent.uri.as_str()).collect();
                assert_eq!(uris, [format!("https://{cur}/"), format!("https://{exports}/")], "{partition}");
                let scope = format!("/{region}/bcm-data-exports/aws4_request");
                assert!(sent[1].header("authorization").contains(&scope), "{partition}");
            }
        }
        let canned = Canned::with(&[(200, r#"{"services": []}"#)]);
        canned.clients(&partition.support_region()).support_services().await.unwrap();
        assert_eq!(canned.sent()[0].uri, format!("https://{support}/"), "{partition}");
    }
}

fn export() -> DataExport {
    let properties = [("TIME_GRANULARITY".to_owned(), "HOURLY".to_owned())];
    DataExport {
        name: "acme-0".to_owned(),
        description: "Made by stack acme".to_owned(),
        query: "SELECT a FROM COST_AND_USAGE_REPORT".to_owned(),
        tables: [("COST_AND_USAGE_REPORT".to_owned(), properties.into())].into(),
        bucket: "acme-data".to_owned(),
        prefix: "hawser/0a1b2c3d".to_owned(),
        region: "us-east-1".to_owned(),
        output_type: "CUSTOM".to_owned(),
        format: "PARQUET".to_owned(),
        compression: "PARQUET".to_owned(),
        overwrite: "OVERWRITE_REPORT".to_owned(),
        ..DataExport::default()
    }
}

/// F-49, F-51: an export that is created without tags, and tags that come after.
#[tokio::test]
async fn an_export_is_created_without_tags_and_tagged() {
    let canned = Canned::with(&[(200, &json!({ "ExportArn": ARN }).to_string()), (200, "{}")]);
    let clients = canned.clients(&home());
    assert_eq!(clients.create_export(&export(), &BTreeMap::new()).await.unwrap(), ARN);
    clients.tag_export(ARN, &[("CostCenter".to_owned(), "42".to_owned())].into()).await.unwrap();
    let bodies: Vec<Value> = canned.sent().iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect();
    assert!(bodies[0].get("ResourceTags").is_none(), "{}", bodies[0]);
    assert_eq!(bodies[1], json!({ "ResourceArn": ARN, "ResourceTags": [{ "Key": "CostCenter", "Value": "42" }] }));
    assert!(canned.sent()[1].header("x-amz-target").ends_with(".TagResource"));
}

fn wire() -> Value {
    json!({
        "Name": "acme-0", "Description": "Made by stack acme",
        "DataQuery": {
            "QueryStatement": "SELECT a FROM COST_AND_USAGE_REPORT",
            "TableConfigurations": { "COST_AND_USAGE_REPORT": { "TIME_GRANULARITY": "HOURLY" } },
        },
        "DestinationConfigurations": { "S3Destination": {
            "S3Bucket": "acme-data", "S3Prefix": "hawser/0a1b2c3d", "S3Region": "us-east-1",
            "S3OutputConfigurations": {
                "OutputType": "CUSTOM", "Format": "PARQUET", "Compression": "PARQUET", "Overwrite": "OVERWRITE_REPORT",
            },
        } },
        "RefreshCadence": { "Frequency": "SYNCHRONOUS" },
    })
}

#[tokio::test]
async fn an_export_is_sent_and_read_whole() {
    let created = json!({ "ExportArn": ARN }).to_string();
    let mut known = wire();
    known["ExportArn"] = json!(ARN);
    known["DestinationConfigurations"]["S3Destination"]["S3BucketOwner"] = json!("999988887777");
    let status = json!({ "StatusCode": "UNHEALTHY", "StatusReason": "INSUFFICIENT_PERMISSION", "CreatedAt": "2026-01-01T00:00:00Z", "LastRefreshedAt": "2026-01-02T00:00:00Z" });
    let got = json!({ "Export": known, "ExportStatus": status }).to_string();
    let canned = Canned::with(&[(200, &created), (200, &created), (200, &got)]);
    let aws = canned.clients(&home());
    let tags = [("hawser:stack-id".to_owned(), "stack".to_owned())].into();
    assert_eq!(aws.create_export(&export(), &tags).await.unwrap(), ARN);
    let mine = DataExport { arn: ARN.to_owned(), ..export() };
    aws.update_export(&mine).await.unwrap();
    let sent: Vec<Value> = canned.sent().iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect();
    assert_eq!(sent[0], json!({ "Export": wire(), "ResourceTags": [{ "Key": "hawser:stack-id", "Value": "stack" }] }));
    let mut whole = wire();
    whole["ExportArn"] = json!(ARN);
    assert_eq!(sent[1], json!({ "ExportArn": ARN, "Export": whole }));

    let read = aws.get_export(ARN).await.unwrap();
    assert_eq!(read.status.code, "UNHEALTHY");
    assert_eq!(read.status.reason.as_deref(), Some("INSUFFICIENT_PERMISSION"));
    assert_eq!(read.status.created_at.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(read.status.last_refreshed_at.as_deref(), Some("2026-01-02T00:00:00Z"));
    assert_eq!(read.bucket_owner.as_deref(), Some("999988887777"));
    assert_eq!(DataExport { status: mine.status.clone(), bucket_owner: None, ..read }, mine);
}

/// HW-B10: two requests could be two exports, or two cases.
#[tokio::test]
async fn what_cannot_be_repeated_is_sent_once() {
    for answer in [(500, r#"{"__type": "InternalServerException"}"#), (400, r#"{"__type": "ThrottlingException"}"#)] {
        let canned = Canned::with(&[answer, answer, answer]);
        let aws = canned.clients(&home());
        assert!(aws.create_export(&export(), &BTreeMap::new()).await.is_err());
        assert_eq!(canned.sent().len(), 1, "{answer:?}");
        assert!(aws.open_case(&case()).await.is_err());
        assert_eq!(canned.sent().len(), 2, "{answer:?}");
        assert!(aws.list_exports().await.is_ok());
        assert_eq!(canned.sent().len(), 4, "a look may be repeated");
    }
}

/// HW-B4.
#[tokio::test]
async fn every_page_is_read() {
    let page = |name: &str, next: Option<&str>| {
        json!({ "Exports": [{ "ExportArn": format!("arn-{name}"), "ExportName": name, "ExportStatus": {} }], "NextToken": next })
            .to_string()
    };
    let canned = Canned::with(&[(200, &page("a", Some("t"))), (200, &page("b", None))]);
    let all = canned.clients(&home()).list_exports().await.unwrap();
    let named = |name: &str| ExportSummary { arn: format!("arn-{name}"), name: name.to_owned() };
    assert_eq!(all, [named("a"), named("b")]);
    assert!(canned.sent()[1].body.contains("\"NextToken\":\"t\""));

    let tags =
        |key: &str, next: Option<&str>| json!({ "ResourceTags": [{ "Key": key, "Value": "v" }], "NextToken": next }).to_string();
    let canned = Canned::with(&[(200, &tags("a", Some("t"))), (200, &tags("b", None))]);
    let all = canned.clients(&home()).export_tags(ARN).await.unwrap();
    assert_eq!(all.into_keys().collect::<Vec<_>>(), ["a", "b"]);

    let tables = |name: &str, next: Option<&str>| {
        let property = json!({ "Name": "TIME_GRANULARITY", "ValidValues": ["HOURLY"], "DefaultValue": "HOURLY" });
        json!({ "Tables": [{ "TableName": name, "TableProperties": [property] }], "NextToken": next }).to_string()
    };
    let canned = Canned::with(&[(200, &tables("a", Some("t"))), (200, &tables("b", None))]);
    let all = canned.clients(&home()).list_tables().await.unwrap();
    assert_eq!(all.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((all[0].properties[0].valid_values.len(), all[0].properties[0].default.as_deref()), (1, Some("HOURLY")));

    // AWS promises no order of executions.
    let execution = |id: &str, at: &str, code: &str| json!({ "ExecutionId": id, "ExecutionStatus": { "StatusCode": code, "StatusReason": "INTERNAL_FAILURE", "CreatedAt": at } });
    let first = json!({ "Executions": [execution("1", "2026-11-22T20:00:00Z", "QUERY_FAILURE"), execution("2", "2026-11-22T10:00:00Z", "DELIVERY_SUCCESS")], "NextToken": "t" }).to_string();
    let second = json!({ "Executions": [execution("3", "2026-11-22T15:00:00Z", "DELIVERY_FAILURE")] }).to_string();
    let canned = Canned::with(&[(200, &first), (200, &second)]);
    let newest = canned.clients(&home()).last_execution(ARN).await.unwrap();
    assert_eq!(
        newest,
        Some(Execution {
            code: "QUERY_FAILURE".to_owned(),
            reason: Some("INTERNAL_FAILURE".to_owned()),
            created_at: Some("2026-11-22T20:00:00Z".to_owned())
        })
    );

    let transfer = |id: &str, next: Option<&str>| {
        let participant = |account: &str| json!({ "ManagementAccountId": account });
        let one = json!({
            "Id": id, "Type": "BILLING", "Status": "ACCEPTED", "StartTimestamp": 1_767_225_600,
            "Source": participant("111122223333"), "Target": participant("999988887777"),
        });
        json!({ "ResponsibilityTransfers": [one], "NextToken": next }).to_string()
    };
    for (direction, operation, other) in [
        (Direction::Outbound, "ListOutboundResponsibilityTransfers", "999988887777"),
        (Direction::Inbound, "ListInboundResponsibilityTransfers", "111122223333"),
    ] {
        let canned = Canned::with(&[(200, &transfer("rt-1", Some("t"))), (200, &transfer("rt-2", None))]);
        let all = canned.clients(&home()).billing_transfers(direction).await.unwrap();
        assert_eq!((all.len(), all[0].other.as_ref().map(AccountId::as_str)), (2, Some(other)));
        assert!(all[0].is_in_force(datetime!(2026-11-22 0:00 UTC)) && !all[0].is_in_force(datetime!(2025-11-22 0:00 UTC)));
        let sent = canned.sent();
        assert!(sent[0].header("x-amz-target").ends_with(operation) && sent[0].body.contains("BILLING"), "{sent:?}");
    }

    let services = |name: &str, next: Option<&str>| {
        json!({ "DelegatedServices": [{ "ServicePrincipal": name }], "NextToken": next }).to_string()
    };
    let canned = Canned::with(&[(200, &services("a", Some("t"))), (200, &services("b", None))]);
    assert_eq!(canned.clients(&home()).delegated_services(&owner()).await.unwrap(), ["a", "b"]);
}

fn case() -> NewCase {
    let text = str::to_owned;
    NewCase { service: text("billing"), category: text("other"), severity: text("low"), subject: text("s"), body: text("b") }
}

#[tokio::test]
async fn a_case_is_looked_for_and_opened() {
    let cases = |id: &str, next: Option<&str>| {
        json!({ "cases": [{ "caseId": "long", "displayId": id, "subject": "s" }], "nextToken": next }).to_string()
    };
    let services =
        json!({ "services": [{ "code": "billing", "name": "Billing", "categories": [{ "code": "c", "name": "n" }] }] })
            .to_string();
    let severities = json!({ "severityLevels": [{ "code": "low", "name": "Low" }] }).to_string();
    let canned = Canned::with(&[
        (200, &cases("1", Some("t"))),
        (200, &cases("2", None)),
        (200, &services),
        (200, &severities),
        (200, r#"{"caseId": "case-1"}"#),
        (400, r#"{"__type": "SubscriptionRequiredException", "message": "Premium Support Subscription is required"}"#),
    ]);
    let aws = canned.clients(&Partition::Aws.support_region());
    let all = aws.support_cases(datetime!(2026-11-22 10:00 UTC)).await.unwrap();
    assert_eq!(all.iter().map(|case| case.display_id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(aws.support_services().await.unwrap()[0].categories, [("c".to_owned(), "n".to_owned())]);
    assert_eq!(aws.support_severities().await.unwrap(), ["low"]);
    assert_eq!(aws.open_case(&case()).await.unwrap(), "case-1");
    assert_eq!(aws.support_services().await.unwrap_err().kind, FaultKind::NoSubscription);
    let sent: Vec<Value> = canned.sent().iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect();
    assert_eq!(
        sent[0],
        json!({ "afterTime": "2026-11-22T10:00:00Z", "includeResolvedCases": true, "includeCommunications": false })
    );
    assert_eq!(
        sent[4],
        json!({
            "subject": "s", "serviceCode": "billing", "severityCode": "low", "categoryCode": "other", "communicationBody": "b",
            "language": "en", "issueType": "customer-service",
        })
    );
}

/// HW-O5, and one level at a time.
#[tokio::test]
async fn a_bucket_is_listed_by_level_and_read_up_to_a_bound() {
    let page = |key: &str, next: &str| {
        format!(
            "<ListBucketResult><Contents><Key>{key}</Key><LastModified>2026-11-22T10:00:00.000Z</LastModified><Size>7</Size></Contents>\
             <CommonPrefixes><Prefix>{key}-folder/</Prefix></CommonPrefixes>{next}</ListBucketResult>"
        )
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    let canned = Canned::with(&[(200, &page("a", more)), (200, &page("b", "")), (200, "0123456789")]);
    let aws = canned.clients(&home());
    let level = aws.list_folder(&bucket(), &owner(), "billing/").await.unwrap();
    assert_eq!(level.objects.iter().map(|object| (object.key.as_str(), object.size)).collect::<Vec<_>>(), [("a", 7), ("b", 7)]);
    assert_eq!(level.objects[0].modified, datetime!(2026-11-22 10:00 UTC));
    assert_eq!(level.folders, ["a-folder/", "b-folder/"]);
    assert_eq!(aws.read_object(&bucket(), &owner(), "a", 4).await.unwrap(), b"0123");
    let sent = canned.sent();
    assert!(sent[0].uri.contains("prefix=billing%2F") && sent[0].uri.contains("delimiter=%2F"), "{}", sent[0].uri);
    assert!(sent.iter().all(|sent| sent.header("x-amz-expected-bucket-owner") == "111122223333"));
}

#[tokio::test]
async fn the_key_of_a_bucket_is_the_one_that_it_names() {
    let encryption = |inner: &str| {
        format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{inner}</ApplyServerSideEncryptionByDefault>\
             </Rule></ServerSideEncryptionConfiguration>"
        )
    };
    let kms = encryption("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>1234</KMSMasterKeyID>");
    let own = encryption("<SSEAlgorithm>aws:kms</SSEAlgorithm>");
    let s3 = encryption("<SSEAlgorithm>AES256</SSEAlgorithm>");
    let none = "<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code></Error>";
    let canned = Canned::with(&[(200, &kms), (200, &own), (200, &s3), (404, none)]);
    let aws = canned.clients(&home());
    for expected in [Some("1234"), None, None, None] {
        assert_eq!(aws.bucket_key(&bucket(), &owner()).await.unwrap().as_deref(), expected);
    }
}

#[tokio::test]
async fn refusals_of_data_exports_are_distinguished() {
    for (status, code, message, kind) in [
        (400, "ServiceQuotaExceededException", "", FaultKind::LimitReached),
        (400, "ResourceNotFoundException", "", FaultKind::Missing),
        (400, "AccessDeniedException", "", FaultKind::Denied),
        (400, "ValidationException", "S3 bucket permission validation failed", FaultKind::BucketUnverified),
        (400, "ValidationException", "An export of that name already exists", FaultKind::Exists),
        (400, "ValidationException", "The query is not valid", FaultKind::Refused),
        (500, "InternalServerException", "", FaultKind::Unavailable),
    ] {
        let canned = Canned::with(&[(status, &json!({ "__type": code, "Message": message, "message": message }).to_string())]);
        let fault = canned.clients(&home()).create_export(&export(), &BTreeMap::new()).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{code} {message}");
    }
    let gone = Canned::with(&[(400, r#"{"__type": "ResourceNotFoundException"}"#)]);
    gone.clients(&home()).delete_export(ARN).await.unwrap();
}
