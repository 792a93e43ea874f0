//! AWS through its SDK. SDK types, error codes and quirks stop in this file.

use std::{error::Error as StdError, time::Duration};

use async_trait::async_trait;
use aws_sdk_bcmdataexports as exports;
use aws_sdk_cloudformation as cloudformation;
use aws_sdk_costandusagereport as cur;
use aws_sdk_organizations as organizations;
use aws_sdk_s3 as s3;
use aws_sdk_support as support;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{error::metadata::ProvideErrorMetadata, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, request_id::RequestId as _};

use super::{Aws, BillingTransfer, Direction, Fault, FaultKind, Level, OBJECTS_LISTED_MAX, Object, StackResource, Version};
use crate::{
    billing::{Report, Tags},
    names::{AccountId, BucketName, Region, ReportName, StackId},
    organization::Organization,
};

mod cases;
mod data_exports;

/// Tries of one call before its fault counts (F-44).
const TRIES_MAX: u32 = 4;
/// One try; AWS's control planes answer in well under a second.
const TRY_LIMIT: Duration = Duration::from_secs(8);
/// One call with all its tries, well within the function's time.
const CALL_LIMIT: Duration = Duration::from_secs(25);

/// How calls are retried and bounded.
pub fn patience() -> (RetryConfig, TimeoutConfig) {
    let retries = RetryConfig::standard().with_max_attempts(TRIES_MAX).with_initial_backoff(Duration::from_millis(500));
    let limits = TimeoutConfig::builder().operation_attempt_timeout(TRY_LIMIT).operation_timeout(CALL_LIMIT).build();
    (retries, limits)
}

/// The clients of one account in one Region.
#[derive(Debug)]
pub struct Clients {
    cloudformation: cloudformation::Client,
    exports: exports::Client,
    organizations: organizations::Client,
    cur: cur::Client,
    s3: s3::Client,
    support: support::Client,
    region: Region,
}

impl Clients {
    /// Clients for a Region, sharing the configuration's HTTP client and credentials.
    pub fn new(config: &SdkConfig, region: &Region) -> Self {
        let config = config.to_builder().region(aws_types::region::Region::new(region.as_str().to_owned())).build();
        Self {
            cloudformation: cloudformation::Client::new(&config),
            exports: exports::Client::new(&config),
            organizations: organizations::Client::new(&config),
            cur: cur::Client::new(&config),
            // Path style: all buckets share one host and so one set of connections, and a bucket of a customer's may
            // have a name that no host can (upper case and `_` were legal in us-east-1).
            s3: s3::Client::from_conf(s3::config::Builder::from(&config).force_path_style(true).build()),
            support: support::Client::new(&config),
            region: region.clone(),
        }
    }
}

#[async_trait]
impl Aws for Clients {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        let answer = self.organizations.describe_organization().send().await;
        let organization = match answer {
            Ok(answer) => answer.organization,
            Err(why) if why.code() == Some("AWSOrganizationsNotInUseException") => return Ok(None),
            Err(why) => return Err(fault("organizations:DescribeOrganization", why)),
        };
        // A success without an organization is no organization we know anything of: not "standalone".
        let known = organization.ok_or_else(|| unreadable("organizations:DescribeOrganization"))?;
        Ok(Some(Organization {
            id: known.id.unwrap_or_default(),
            management_account: known.master_account_id.and_then(|id| id.parse().ok()),
            feature_set: known.feature_set.map(|set| set.as_str().to_owned()).unwrap_or_default(),
        }))
    }

    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        let mut reports = Vec::new();
        let mut pages = self.cur.describe_report_definitions().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|why| fault("cur:DescribeReportDefinitions", why))?;
            reports.extend(page.report_definitions.unwrap_or_default().into_iter().map(report));
        }
        Ok(reports)
    }

    async fn report_tags(&self, report: &ReportName) -> Result<Tags, Fault> {
        let answer = self.cur.list_tags_for_resource().report_name(report.as_str()).send().await;
        let answer = answer.map_err(|why| fault("cur:ListTagsForResource", why))?;
        Ok(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:PutReportDefinition";
        let tag = |(key, value): (&String, &String)| cur::types::Tag::builder().key(key).value(value).build();
        let tags = tags.iter().map(tag).collect::<Result<Vec<_>, _>>().map_err(|_| unreadable(action))?;
        let definition = definition(report).map_err(|_| unreadable(action))?;
        let answer = self.cur.put_report_definition().report_definition(definition).set_tags(Some(tags)).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn delete_report(&self, report: &ReportName) -> Result<(), Fault> {
        let answer = self.cur.delete_report_definition().report_name(report.as_str()).send().await;
        let Err(why) = answer else { return Ok(()) };
        let fault = fault("cur:DeleteReportDefinition", why);
        // The API has no "not found": a missing report is a ValidationException like any other, so it is looked for.
        let doubtful = matches!(fault.kind, FaultKind::Refused | FaultKind::Missing);
        if doubtful && !self.describe_reports().await?.iter().any(|known| known.name == report.as_str()) {
            return Ok(());
        }
        Err(fault)
    }

    async fn bucket_exists(&self, bucket: &BucketName, owner: &AccountId) -> Result<bool, Fault> {
        let answer = self.s3.head_bucket().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str()).send().await;
        match answer.map_err(|why| fault("s3:ListBucket", why)) {
            Ok(_) => Ok(true),
            Err(fault) if fault.kind == FaultKind::Missing => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    async fn bucket_region(&self, bucket: &BucketName, owner: &AccountId) -> Result<Region, Fault> {
        let action = "s3:GetBucketLocation";
        let answer = self.s3.get_bucket_location().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str()).send().await;
        let answer = answer.map_err(|why| fault(action, why))?;
        let constraint = answer.location_constraint.map(|c| c.as_str().to_owned()).unwrap_or_default();
        // S3's oldest Regions have no constraint, or one that is not a Region code (GetBucketLocation API reference).
        let region = match constraint.as_str() {
            "" => "us-east-1",
            "EU" => "eu-west-1",
            region => region,
        };
        region.parse().map_err(|_| unreadable(action))
    }

    async fn bucket_tags(&self, bucket: &BucketName, owner: &AccountId) -> Result<Tags, Fault> {
        let answer = self.s3.get_bucket_tagging().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str()).send().await;
        match answer {
            Ok(answer) => Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()),
            Err(why) if why.code() == Some("NoSuchTagSet") => Ok(Tags::new()),
            Err(why) => Err(fault("s3:GetBucketTagging", why)),
        }
    }

    async fn bucket_policy(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault> {
        let answer = self.s3.get_bucket_policy().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str()).send().await;
        match answer {
            Ok(answer) => Ok(answer.policy),
            Err(why) if why.code() == Some("NoSuchBucketPolicy") => Ok(None),
            Err(why) => Err(fault("s3:GetBucketPolicy", why)),
        }
    }

    async fn create_bucket(&self, bucket: &BucketName, tags: &Tags) -> Result<(), Fault> {
        let action = "s3:CreateBucket";
        let tag = |(key, value): (&String, &String)| s3::types::Tag::builder().key(key).value(value).build();
        let tags = tags.iter().map(tag).collect::<Result<Vec<_>, _>>().map_err(|_| unreadable(action))?;
        let mut configuration = s3::types::CreateBucketConfiguration::builder().set_tags(Some(tags));
        // us-east-1 is where a bucket is made without a constraint; it is not a legal value for one.
        if self.region.as_str() != "us-east-1" {
            configuration = configuration.location_constraint(self.region.as_str().into());
        }
        let request = self.s3.create_bucket().bucket(bucket.as_str());
        let request = request.object_ownership(s3::types::ObjectOwnership::BucketOwnerEnforced);
        let answer = request.create_bucket_configuration(configuration.build()).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn block_public_access(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        let all = s3::types::PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let request = self.s3.put_public_access_block().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = request.public_access_block_configuration(all).send().await;
        answer.map(|_| ()).map_err(|why| fault("s3:PutBucketPublicAccessBlock", why))
    }

    async fn encrypt_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        let action = "s3:PutEncryptionConfiguration";
        let by_default =
            s3::types::ServerSideEncryptionByDefault::builder().sse_algorithm(s3::types::ServerSideEncryption::Aes256);
        let by_default = by_default.build().map_err(|_| unreadable(action))?;
        let rule = s3::types::ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).build();
        let configuration = s3::types::ServerSideEncryptionConfiguration::builder().rules(rule);
        let configuration = configuration.build().map_err(|_| unreadable(action))?;
        let request = self.s3.put_bucket_encryption().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = request.server_side_encryption_configuration(configuration).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn expire_uploads(&self, bucket: &BucketName, owner: &AccountId, days: u16) -> Result<(), Fault> {
        let action = "s3:PutLifecycleConfiguration";
        let rule = s3::types::LifecycleRule::builder()
            .id("hawser-unfinished-uploads")
            .status(s3::types::ExpirationStatus::Enabled)
            .filter(s3::types::LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(
                s3::types::AbortIncompleteMultipartUpload::builder().days_after_initiation(days.into()).build(),
            );
        let rule = rule.build().map_err(|_| unreadable(action))?;
        let configuration = s3::types::BucketLifecycleConfiguration::builder().rules(rule);
        let configuration = configuration.build().map_err(|_| unreadable(action))?;
        let request = self.s3.put_bucket_lifecycle_configuration().bucket(bucket.as_str());
        let answer = request.expected_bucket_owner(owner.as_str()).lifecycle_configuration(configuration).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn put_bucket_policy(&self, bucket: &BucketName, owner: &AccountId, policy: &str) -> Result<(), Fault> {
        let request = self.s3.put_bucket_policy().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = request.policy(policy).send().await;
        answer.map(|_| ()).map_err(|why| fault("s3:PutBucketPolicy", why))
    }

    async fn list_versions(&self, bucket: &BucketName, owner: &AccountId, prefix: &str, max: u16) -> Result<Vec<Version>, Fault> {
        let request = self.s3.list_object_versions().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = request.prefix(prefix).max_keys(max.into()).send().await;
        let answer = answer.map_err(|why| fault("s3:ListBucketVersions", why))?;
        let version = |key: Option<String>, id: Option<String>| {
            Some(Version { key: key?, version_id: id.unwrap_or_else(|| "null".to_owned()) })
        };
        let versions = answer.versions.unwrap_or_default().into_iter().filter_map(|v| version(v.key, v.version_id));
        let markers = answer.delete_markers.unwrap_or_default().into_iter().filter_map(|m| version(m.key, m.version_id));
        Ok(versions.chain(markers).collect())
    }

    async fn delete_versions(&self, bucket: &BucketName, owner: &AccountId, versions: &[Version]) -> Result<(), Fault> {
        let action = "s3:DeleteObject";
        let object = |v: &Version| s3::types::ObjectIdentifier::builder().key(&v.key).version_id(&v.version_id).build();
        let objects = versions.iter().map(object).collect::<Result<Vec<_>, _>>().map_err(|_| unreadable(action))?;
        let delete = s3::types::Delete::builder().set_objects(Some(objects)).quiet(true);
        let delete = delete.build().map_err(|_| unreadable(action))?;
        let request = self.s3.delete_objects().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = match request.delete(delete).send().await.map_err(|why| fault(action, why)) {
            Err(fault) if fault.kind == FaultKind::Missing => return Ok(()),
            answer => answer?,
        };
        // The call succeeds even when single keys were refused.
        match answer.errors.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(refused) => {
                let (code, message) = (refused.code.unwrap_or_default(), refused.message.unwrap_or_default());
                Err(Fault { action, kind: kind(&code, &message, None), code, message, request_id: None })
            }
        }
    }

    async fn delete_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        let request = self.s3.delete_bucket().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        match request.send().await.map_err(|why| fault("s3:DeleteBucket", why)) {
            Err(fault) if fault.kind != FaultKind::Missing => Err(fault),
            _ => Ok(()),
        }
    }

    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault> {
        let request = self.organizations.list_delegated_services_for_account().account_id(account.as_str());
        let mut pages = request.into_paginator().items().send();
        let mut services = Vec::new();
        while let Some(service) = pages.next().await {
            let service = service.map_err(|why| fault("organizations:ListDelegatedServicesForAccount", why))?;
            services.extend(service.service_principal);
        }
        Ok(services)
    }

    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        let billing = organizations::types::ResponsibilityTransferType::Billing;
        let (mut transfers, mut token) = (Vec::new(), None);
        loop {
            let page;
            (page, token) = match direction {
                Direction::Outbound => {
                    let request = self.organizations.list_outbound_responsibility_transfers().r#type(billing.clone());
                    let answer = request.set_next_token(token).send().await;
                    let answer = answer.map_err(|why| fault("organizations:ListOutboundResponsibilityTransfers", why))?;
                    (answer.responsibility_transfers, answer.next_token)
                }
                Direction::Inbound => {
                    let request = self.organizations.list_inbound_responsibility_transfers().r#type(billing.clone());
                    let answer = request.set_next_token(token).send().await;
                    let answer = answer.map_err(|why| fault("organizations:ListInboundResponsibilityTransfers", why))?;
                    (answer.responsibility_transfers, answer.next_token)
                }
            };
            transfers.extend(page.unwrap_or_default().into_iter().map(|known| transfer(known, direction)));
            if token.is_none() {
                return Ok(transfers);
            }
        }
    }

    async fn bucket_key(&self, bucket: &BucketName, owner: &AccountId) -> Result<Option<String>, Fault> {
        let request = self.s3.get_bucket_encryption().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(why) if why.code() == Some("ServerSideEncryptionConfigurationNotFoundError") => return Ok(None),
            Err(why) => return Err(fault("s3:GetEncryptionConfiguration", why)),
        };
        let rules = answer.server_side_encryption_configuration.map(|configuration| configuration.rules).unwrap_or_default();
        Ok(rules.into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default?.kms_master_key_id))
    }

    async fn list_level(&self, bucket: &BucketName, owner: &AccountId, prefix: &str) -> Result<Level, Fault> {
        let request = self.s3.list_objects_v2().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let mut pages = request.prefix(prefix).delimiter("/").into_paginator().send();
        let mut level = Level::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|why| fault("s3:ListBucket", why))?;
            level.objects.extend(page.contents.unwrap_or_default().into_iter().filter_map(object));
            level.folders.extend(page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix));
            if level.objects.len() + level.folders.len() >= OBJECTS_LISTED_MAX {
                level.cut = page.is_truncated == Some(true);
                break;
            }
        }
        Ok(level)
    }

    async fn read_object(&self, bucket: &BucketName, owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault> {
        let action = "s3:GetObject";
        let request = self.s3.get_object().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let mut body = request.key(key).send().await.map_err(|why| fault(action, why))?.body;
        let mut read = Vec::new();
        while read.len() < max {
            match body.next().await {
                None => break,
                Some(Ok(bytes)) => read.extend_from_slice(&bytes),
                Some(Err(_)) => return Err(Fault { kind: FaultKind::Unavailable, ..unreadable(action) }),
            }
        }
        read.truncate(max);
        Ok(read)
    }

    async fn stack_status(&self, stack: &StackId) -> Result<String, Fault> {
        let action = "cloudformation:DescribeStacks";
        let answer = self.cloudformation.describe_stacks().stack_name(stack.as_str()).send().await;
        let stacks = answer.map_err(|why| fault(action, why))?.stacks.unwrap_or_default();
        let status = stacks.into_iter().find_map(|known| known.stack_status);
        status.map(|status| status.as_str().to_owned()).ok_or_else(|| unreadable(action))
    }

    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        let request = self.cloudformation.describe_stack_resources().stack_name(stack.as_str());
        let answer = match request.logical_resource_id(logical_id).send().await {
            Ok(answer) => answer,
            // The API has no code of its own for a stack or a resource that it does not know.
            Err(why) if why.code() == Some("ValidationError") => return Ok(None),
            Err(why) => return Err(fault("cloudformation:DescribeStackResources", why)),
        };
        let known = answer.stack_resources.unwrap_or_default().into_iter().next();
        Ok(known.map(|known| StackResource {
            status: known.resource_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            physical_id: known.physical_resource_id.unwrap_or_default(),
        }))
    }
}

fn object(known: s3::types::Object) -> Option<Object> {
    let size = known.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
    Some(Object { key: known.key?, size, modified: when(&known.last_modified?)? })
}

fn transfer(known: organizations::types::ResponsibilityTransfer, direction: Direction) -> BillingTransfer {
    let other = match direction {
        Direction::Outbound => known.target,
        Direction::Inbound => known.source,
    };
    BillingTransfer {
        status: known.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        other: other.and_then(|other| other.management_account_id?.parse().ok()),
        start: known.start_timestamp.as_ref().and_then(when),
        end: known.end_timestamp.as_ref().and_then(when),
    }
}

/// A time of the SDK's; `None` where it is none that a calendar has.
fn when(time: &aws_smithy_types::DateTime) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(time.secs()).ok()
}

fn report(known: cur::types::ReportDefinition) -> Report {
    let status = known.report_status;
    Report {
        name: known.report_name,
        time_unit: known.time_unit.as_str().to_owned(),
        format: known.format.as_str().to_owned(),
        compression: known.compression.as_str().to_owned(),
        elements: known.additional_schema_elements.iter().map(|e| e.as_str().to_owned()).collect(),
        bucket: known.s3_bucket,
        prefix: known.s3_prefix,
        region: known.s3_region.as_str().to_owned(),
        artifacts: known.additional_artifacts.unwrap_or_default().iter().map(|a| a.as_str().to_owned()).collect(),
        versioning: known.report_versioning.map(|v| v.as_str().to_owned()).unwrap_or_default(),
        refresh_closed: known.refresh_closed_reports.unwrap_or_default(),
        billing_view: known.billing_view_arn,
        last_status: status.as_ref().and_then(|s| Some(s.last_status.as_ref()?.as_str().to_owned())),
        last_delivery: status.and_then(|s| s.last_delivery),
    }
}

fn definition(report: &Report) -> Result<cur::types::ReportDefinition, aws_smithy_types::error::operation::BuildError> {
    cur::types::ReportDefinition::builder()
        .report_name(&report.name)
        .time_unit(report.time_unit.as_str().into())
        .format(report.format.as_str().into())
        .compression(report.compression.as_str().into())
        .set_additional_schema_elements(Some(report.elements.iter().map(|e| e.as_str().into()).collect()))
        .s3_bucket(&report.bucket)
        .s3_prefix(&report.prefix)
        .s3_region(report.region.as_str().into())
        .set_additional_artifacts(Some(report.artifacts.iter().map(|a| a.as_str().into()).collect()))
        .report_versioning(report.versioning.as_str().into())
        .refresh_closed_reports(report.refresh_closed)
        .set_billing_view_arn(report.billing_view.clone())
        .build()
}

/// An answer, or a request of ours, that the SDK's own model does not allow.
fn unreadable(action: &'static str) -> Fault {
    Fault {
        action,
        kind: FaultKind::Refused,
        code: "Unreadable".to_owned(),
        message: "the call does not fit the service's model".to_owned(),
        request_id: None,
    }
}

/// An SDK error in our words.
pub(crate) fn fault<E>(action: &'static str, why: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = why.raw_response().map(|response| response.status().as_u16());
    let request_id = why.request_id().map(str::to_owned);
    if let SdkError::ServiceError(_) | SdkError::ResponseError(_) = &why {
        let code = why.code().map_or_else(|| status.map_or_else(String::new, |s| format!("HTTP {s}")), str::to_owned);
        let message = why.message().unwrap_or_default().to_owned();
        return Fault { action, kind: kind(&code, &message, status), code, message, request_id };
    }
    let code = match &why {
        SdkError::TimeoutError(_) => "TimedOut",
        SdkError::ConstructionFailure(_) => "NotSent",
        _ => "NoConnection",
    };
    let kind = if code == "NotSent" { FaultKind::Refused } else { FaultKind::Unavailable };
    Fault { action, kind, code: code.to_owned(), message: cause(&why), request_id }
}

/// The innermost cause: the outer ones say only that something inside failed.
pub(crate) fn cause(why: &dyn StdError) -> String {
    let mut innermost = why;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// What an error code means. AccessDenied and throttling are in no service's model, so codes are matched as text.
fn kind(code: &str, message: &str, status: Option<u16>) -> FaultKind {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedAccess" | "HTTP 403" | "Forbidden" => {
            if message.contains("service control policy") { FaultKind::DeniedByScp } else { FaultKind::Denied }
        }
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" | "SlowDown" => {
            FaultKind::Throttled
        }
        "NoSuchBucket" | "NoSuchKey" | "NotFound" | "ResourceNotFoundException" | "HTTP 404" => FaultKind::Missing,
        "DuplicateReportNameException" | "BucketAlreadyOwnedByYou" => FaultKind::Exists,
        "BucketAlreadyExists" => FaultKind::Taken,
        "ReportLimitReachedException" | "ServiceQuotaExceededException" => FaultKind::LimitReached,
        "SubscriptionRequiredException" => FaultKind::NoSubscription,
        "BucketNotEmpty" => FaultKind::NotEmpty,
        "OperationAborted" | "ConcurrentModificationException" => FaultKind::Conflict,
        "ValidationException" if says_bucket_unverified(message) => FaultKind::BucketUnverified,
        // Data Exports models no code of its own for a name that is taken.
        "ValidationException" if message.contains("already exist") => FaultKind::Exists,
        "InternalErrorException"
        | "InternalServerException"
        | "InternalServerError"
        | "InternalError"
        | "ServiceException"
        | "ServiceUnavailable" => FaultKind::Unavailable,
        // A success that cannot be read is half an answer.
        _ if status.is_some_and(|status| status >= 500 || (200..300).contains(&status)) => FaultKind::Unavailable,
        _ => FaultKind::Refused,
    }
}

/// Whether a billing service says that it may not write to the bucket. The report service says so in fixed words; those of
/// Data Exports are not documented.
fn says_bucket_unverified(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("bucket") && ["permission", "verify", "policy", "access"].iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_decides_something_is_known() {
        let cases = [
            ("AccessDenied", "", Some(403), FaultKind::Denied),
            ("HTTP 403", "", Some(403), FaultKind::Denied),
            ("AccessDeniedException", "… with an explicit deny in a service control policy", Some(400), FaultKind::DeniedByScp),
            ("ThrottlingException", "", Some(400), FaultKind::Throttled),
            ("NoSuchBucket", "", Some(404), FaultKind::Missing),
            ("DuplicateReportNameException", "", Some(400), FaultKind::Exists),
            ("BucketAlreadyExists", "", Some(409), FaultKind::Taken),
            ("BucketAlreadyOwnedByYou", "", Some(409), FaultKind::Exists),
            ("ReportLimitReachedException", "", Some(400), FaultKind::LimitReached),
            ("ValidationException", "Failed to verify customer bucket permission.", Some(400), FaultKind::BucketUnverified),
            ("ValidationException", "", Some(400), FaultKind::Refused),
            ("BucketNotEmpty", "", Some(409), FaultKind::NotEmpty),
            ("OperationAborted", "", Some(409), FaultKind::Conflict),
            ("WhoKnows", "", Some(503), FaultKind::Unavailable),
            ("HTTP 200", "", Some(200), FaultKind::Unavailable),
            ("WhoKnows", "", Some(400), FaultKind::Refused),
        ];
        for (code, message, status, expected) in cases {
            assert_eq!(kind(code, message, status), expected, "{code} {message}");
        }
    }
}
