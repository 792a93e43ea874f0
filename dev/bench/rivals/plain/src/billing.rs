//! `Custom::BillingExport`: nine AWS calls on an empty account, one after the other.

use std::collections::BTreeMap;

use aws_sdk_costandusagereport::types as cur;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types as s3;
use lambda_runtime::{Error, tracing};
use serde_json::{Value, json};

use crate::{text, BILLING_REGION, Clients, Done};

pub(crate) async fn create(clients: &Clients, event: &Value) -> Result<Done, Error> {
    let stack_id = text(event, "StackId")?;
    let account = stack_id.split(':').nth(4).ok_or("the StackId names no account")?;
    let prefix = text(&event["ResourceProperties"], "NamePrefix")?;
    let stack_uuid = stack_id.rsplit('/').next().unwrap_or_default().replace('-', "");
    let key = stack_uuid.get(..16).ok_or("the StackId has no uuid")?;
    let bucket = format!("{prefix}-{account}-{key}");
    let report = format!("{prefix}-{key}");

    let role = match clients.organizations.describe_organization().send().await {
        Ok(answer) if answer.organization().and_then(|it| it.master_account_id()) == Some(account) => "management",
        Ok(_) => "member",
        Err(error) if error.code() == Some("AWSOrganizationsNotInUseException") => "standalone",
        Err(error) => return Err(error.into()),
    };
    tracing::info!(role, "account");

    let mut reports = clients.reports.describe_report_definitions().max_results(5).into_paginator().send();
    while let Some(page) = reports.next().await {
        if page?.report_definitions().iter().any(|it| it.report_name() == report) {
            return Err(format!("report `{report}` is already there").into());
        }
    }

    match clients.s3.head_bucket().bucket(&bucket).expected_bucket_owner(account).send().await {
        Ok(_) => return Err(format!("bucket `{bucket}` is already there").into()),
        Err(error) if error.as_service_error().is_some_and(|it| it.is_not_found()) => {}
        Err(error) => return Err(error.into()),
    }
    make_bucket(&clients.s3, &bucket, account, event).await?;

    clients
        .reports
        .put_report_definition()
        .report_definition(definition(&report, &bucket)?)
        .tags(cur::Tag::builder().key("hawser:stack-id").value(stack_id).build()?)
        .send()
        .await?;
    tracing::info!(report, bucket, "created");

    let data = BTreeMap::from([
        ("Kind", "CostAndUsageReport".to_owned()),
        ("Name", report.clone()),
        ("Arn", format!("arn:aws:cur:{BILLING_REGION}:{account}:definition/{report}")),
        ("BucketName", bucket.clone()),
        ("BucketArn", format!("arn:aws:s3:::{bucket}")),
        ("BucketRegion", BILLING_REGION.to_owned()),
        ("Prefix", "hawser".to_owned()),
        ("Format", "Parquet".to_owned()),
        ("Origin", "created".to_owned()),
        ("AccountRole", role.to_owned()),
    ]);
    Ok(Done { physical_id: format!("{account}/{report}"), data })
}

async fn make_bucket(client: &aws_sdk_s3::Client, bucket: &str, account: &str, event: &Value) -> Result<(), Error> {
    let tag = |key: &str, value: &str| s3::Tag::builder().key(key).value(value).build();
    let configuration = s3::CreateBucketConfiguration::builder()
        .tags(tag("hawser:stack-id", text(event, "StackId")?)?)
        .tags(tag("hawser:logical-id", text(event, "LogicalResourceId")?)?)
        .build();
    client
        .create_bucket()
        .bucket(bucket)
        .object_ownership(s3::ObjectOwnership::BucketOwnerEnforced)
        .create_bucket_configuration(configuration)
        .send()
        .await?;

    let closed = s3::PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    client
        .put_public_access_block()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .public_access_block_configuration(closed)
        .send()
        .await?;

    let by_default = s3::ServerSideEncryptionByDefault::builder().sse_algorithm(s3::ServerSideEncryption::Aes256).build()?;
    let encryption = s3::ServerSideEncryptionConfiguration::builder()
        .rules(s3::ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).build())
        .build()?;
    client
        .put_bucket_encryption()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .server_side_encryption_configuration(encryption)
        .send()
        .await?;

    let unfinished = s3::AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build();
    let rule = s3::LifecycleRule::builder()
        .id("hawser-unfinished-uploads")
        .status(s3::ExpirationStatus::Enabled)
        .filter(s3::LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(unfinished)
        .build()?;
    client
        .put_bucket_lifecycle_configuration()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .lifecycle_configuration(s3::BucketLifecycleConfiguration::builder().rules(rule).build()?)
        .send()
        .await?;

    client
        .put_bucket_policy()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .policy(delivery_policy(bucket, account).to_string())
        .send()
        .await?;
    Ok(())
}

/// The delivery policy of AWS's page "Setting up an Amazon S3 bucket for Cost and Usage Reports", TLS only.
fn delivery_policy(bucket: &str, account: &str) -> Value {
    let principal = json!({"Service": "billingreports.amazonaws.com"});
    let condition = json!({
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": format!("arn:aws:cur:{BILLING_REGION}:{account}:definition/*")},
    });
    let (whole, objects) = (format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*"));
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Check", "Effect": "Allow", "Principal": principal, "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"],
         "Resource": whole, "Condition": condition},
        {"Sid": "Write", "Effect": "Allow", "Principal": principal, "Action": "s3:PutObject",
         "Resource": objects, "Condition": condition},
        {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [whole, objects],
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]})
}

fn definition(report: &str, bucket: &str) -> Result<cur::ReportDefinition, Error> {
    Ok(cur::ReportDefinition::builder()
        .report_name(report)
        .time_unit(cur::TimeUnit::Hourly)
        .format(cur::ReportFormat::Parquet)
        .compression(cur::CompressionFormat::Parquet)
        .additional_schema_elements(cur::SchemaElement::Resources)
        .additional_schema_elements(cur::SchemaElement::SplitCostAllocationData)
        .s3_bucket(bucket)
        .s3_prefix("hawser")
        .s3_region(BILLING_REGION.into())
        .additional_artifacts(cur::AdditionalArtifact::Athena)
        .refresh_closed_reports(true)
        .report_versioning(cur::ReportVersioning::OverwriteReport)
        .build()?)
}
