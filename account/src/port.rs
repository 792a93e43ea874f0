//! The ports of AWS, over the services of an account.

use std::{collections::BTreeMap, future::Future};

use async_trait::async_trait;
use hawser::{
    aws::{
        BillingTransfer, BucketNamespace, Buckets, CostReports, DataExport, DataExports, Direction, Execution, ExportSummary,
        Fault, FaultKind, FolderListing, NewCase, Organization, Organizations, Report, Support, SupportCase, SupportService,
        TEST_OBJECT, Table, Tags, Version,
    },
    names::{AccountId, BucketName, ExportName, Region},
};
use time::OffsetDateTime;

use crate::{
    bucket_policy::{self, means_the_same},
    buckets::{Bucket, Object, answers_at},
    exports::EXPORT_SERVICE,
    refusal::Refusal,
    reports::REPORT_SERVICE,
    services::{OpenedCase, Services},
    support::SEVERITIES,
    tags::{check_tags, is_account_regional},
};

/// How the names of calls that change something begin.
const WRITING: [&str; 5] = ["Put", "Create", "Update", "Delete", "Tag"];

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The IAM action.
    pub action: &'static str,
    /// The bucket that it is about; of `CreateExport` and `PutReportDefinition` the one that is delivered to.
    pub bucket: Option<&'a str>,
    /// The Region whose endpoint is called, where it matters.
    pub region: Option<&'a Region>,
}

impl Call<'_> {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        WRITING.iter().any(|verb| self.action.split(':').nth(1).is_some_and(|name| name.starts_with(verb)))
    }
}

/// Lends the services to one call at a time: here come time, faults and permissions.
pub trait Access: Send + Sync {
    /// The effect of a call, or the fault that it met.
    fn call<T: Send>(
        &self,
        call: Call<'_>,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> impl Future<Output = Result<T, Fault>> + Send;

    /// The run of the handler that calls.
    fn run(&self) -> Option<u64> {
        None
    }
}

/// The services of one Region.
#[derive(Debug)]
pub struct Port<A> {
    pub access: A,
    pub region: Region,
}

impl<A: Access> Port<A> {
    async fn call<T: Send>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        self.access.call(Call { action, bucket: None, region: Some(&self.region) }, effect).await
    }

    /// A call of Data Exports, which an account may be kept from altogether.
    async fn export_call<T: Send>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        self.call(action, |services| services.may_use_exports().and_then(|()| effect(services))).await
    }

    /// A call of AWS Support, which not every plan has.
    async fn support_call<T: Send>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        self.call(action, |services| services.may_use_support().and_then(|()| effect(services))).await
    }

    /// A call about a bucket, by its name.
    async fn bucket_call<T: Send>(
        &self,
        action: &'static str,
        bucket: &str,
        effect: impl FnOnce(&mut Services) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        self.access.call(Call { action, bucket: Some(bucket), region: Some(&self.region) }, effect).await
    }

    /// A call about a bucket that the account must have.
    async fn bucket<T: Send>(
        &self,
        action: &'static str,
        name: &BucketName,
        effect: impl FnOnce(&mut Bucket) -> Result<T, Refusal> + Send,
    ) -> Result<T, Fault> {
        self.bucket_call(action, name.as_str(), |services| effect(services.own_bucket_at(name.as_str(), action, &self.region)?))
            .await
    }
}

/// What S3 says of an object that Object Lock keeps.
const LOCKED: &str = "Access Denied because object protected by object lock.";

/// What S3 says while another operation on the same bucket is under way, or its name is not free yet.
pub fn conflict() -> Refusal {
    let text = "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    Refusal::new(FaultKind::Conflict, "OperationAborted", text)
}

/// The answer to a HEAD has a status and no words (F-53).
fn without_body(fault: Fault) -> Fault {
    let (kind, code) = match fault.kind {
        FaultKind::Denied | FaultKind::DeniedBy(_) | FaultKind::DeniedExplicitly => (FaultKind::Denied, "HTTP 403"),
        FaultKind::Refused => (FaultKind::Refused, "HTTP 400"),
        _ => return fault,
    };
    Fault { kind, code: code.to_owned(), message: String::new(), ..fault }
}

#[async_trait]
impl<A: Access> Organizations for Port<A> {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        self.call("organizations:DescribeOrganization", |services| services.describe_organization()).await
    }

    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault> {
        let action = "organizations:ListDelegatedServicesForAccount";
        self.call(action, |services| services.delegated_services(account.as_str())).await
    }

    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        let action = match direction {
            Direction::Outbound => "organizations:ListOutboundResponsibilityTransfers",
            Direction::Inbound => "organizations:ListInboundResponsibilityTransfers",
        };
        self.call(action, |services| services.billing_transfers(direction)).await
    }
}

#[async_trait]
impl<A: Access> CostReports for Port<A> {
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        self.call("cur:DescribeReportDefinitions", |services| Ok(services.describe_reports())).await
    }

    async fn report_tags(&self, report: &ExportName) -> Result<Tags, Fault> {
        self.call("cur:ListTagsForResource", |services| services.report_tags(report.as_str())).await
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:PutReportDefinition";
        self.bucket_call(action, &report.bucket, |services| {
            services.check_creation(action, tags, None)?;
            services.check_report(report)?;
            services.verify_bucket(REPORT_SERVICE, &report.bucket, None, &report.region)?;
            services.put_report(report, tags)
        })
        .await
    }

    async fn tag_report(&self, report: &ExportName, tags: &Tags) -> Result<(), Fault> {
        self.call("cur:TagResource", |services| services.tag_report(report.as_str(), tags)).await
    }

    async fn delete_report(&self, report: &ExportName) -> Result<(), Fault> {
        self.call("cur:DeleteReportDefinition", |services| services.delete_report(report.as_str())).await
    }
}

#[async_trait]
impl<A: Access> DataExports for Port<A> {
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault> {
        self.export_call("bcm-data-exports:ListExports", |services| Ok(services.list_exports())).await
    }

    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault> {
        self.export_call("bcm-data-exports:GetExport", |services| services.shown_export(arn)).await
    }

    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault> {
        self.export_call("bcm-data-exports:ListTagsForResource", |services| {
            Ok(services.shown_tags(arn, &services.export(arn)?.tags))
        })
        .await
    }

    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault> {
        let action = "bcm-data-exports:CreateExport";
        self.bucket_call(action, &export.bucket, |services| {
            services.may_use_exports()?;
            services.check_creation(action, tags, None)?;
            services.check_new_export(export)?;
            services.verify_bucket(EXPORT_SERVICE, &export.bucket, export.bucket_owner.as_deref(), &export.region)?;
            services.create_export(export, tags, self.region.as_str())
        })
        .await
    }

    async fn tag_export(&self, arn: &str, tags: &Tags) -> Result<(), Fault> {
        self.export_call("bcm-data-exports:TagResource", |services| services.tag_export(arn, tags)).await
    }

    async fn update_export(&self, export: &DataExport) -> Result<(), Fault> {
        self.bucket_call("bcm-data-exports:UpdateExport", &export.bucket, |services| {
            services.may_use_exports()?;
            services.check_changed_export(export)?;
            services.verify_bucket(EXPORT_SERVICE, &export.bucket, export.bucket_owner.as_deref(), &export.region)?;
            services.update_export(export)
        })
        .await
    }

    async fn delete_export(&self, arn: &str) -> Result<(), Fault> {
        self.export_call("bcm-data-exports:DeleteExport", |services| services.delete_export(arn)).await
    }

    async fn list_tables(&self) -> Result<Vec<Table>, Fault> {
        self.export_call("bcm-data-exports:ListTables", |services| Ok(services.list_tables())).await
    }

    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        self.export_call("bcm-data-exports:GetTable", |services| services.table_columns(table, properties)).await
    }

    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault> {
        self.export_call("bcm-data-exports:ListExecutions", |services| services.last_execution(arn)).await
    }
}

#[async_trait]
impl<A: Access> Buckets for Port<A> {
    async fn bucket_exists(&self, bucket: &BucketName, _owner: &AccountId) -> Result<bool, Fault> {
        let action = "s3:ListBucket";
        self.bucket_call(action, bucket.as_str(), |services| match services.state.buckets.get(bucket.as_str()) {
            None => Ok(false),
            Some(bucket) if bucket.owner.is_some() => Err(Refusal::new(FaultKind::Denied, "AccessDenied", "")),
            Some(bucket) => answers_at(&bucket.region, action, &self.region, services.freedoms.region).map(|()| true),
        })
        .await
        .map_err(without_body)
    }

    async fn bucket_region(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Region, Fault> {
        let region = |bucket: &mut Bucket| bucket.region.parse().map_err(|_| Refusal::new(FaultKind::Refused, "BadRegion", ""));
        self.bucket("s3:GetBucketLocation", bucket, region).await
    }

    async fn bucket_tags(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Tags, Fault> {
        let name = bucket.as_str();
        self.bucket_call("s3:GetBucketTagging", name, |services| {
            let tags = services.own_bucket_at(name, "s3:GetBucketTagging", &self.region)?.tags.clone();
            Ok(services.shown_tags(name, &tags))
        })
        .await
    }

    async fn bucket_policy(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Option<String>, Fault> {
        let name = bucket.as_str();
        self.bucket_call("s3:GetBucketPolicy", name, |services| {
            let policy = services.own_bucket_at(name, "s3:GetBucketPolicy", &self.region)?.policy.clone();
            Ok(services.shown_policy(name, &policy))
        })
        .await
    }

    async fn create_bucket(&self, bucket: &BucketName, namespace: BucketNamespace, tags: &Tags) -> Result<(), Fault> {
        let (action, name) = ("s3:CreateBucket", bucket.as_str());
        self.bucket_call(action, name, |services| {
            services.check_creation(action, tags, Some(namespace))?;
            if is_account_regional(name, &services.account, self.region.as_str())
                != (namespace == BucketNamespace::AccountRegional)
            {
                return Err(Refusal::new(FaultKind::Refused, "InvalidBucketName", "The specified bucket is not valid."));
            }
            match services.state.buckets.get(name) {
                Some(known) if known.owner.is_some() => Err(Refusal::new(FaultKind::Taken, "BucketAlreadyExists", "")),
                Some(_) => Err(Refusal::new(FaultKind::Exists, "BucketAlreadyOwnedByYou", "")),
                None if services.is_held_back(name) => Err(conflict()),
                None => {
                    services.note_made(name, tags);
                    let made = Bucket { region: self.region.as_str().to_owned(), tags: tags.clone(), ..Bucket::default() };
                    services.state.buckets.insert(name.to_owned(), made);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn put_bucket_tags(&self, bucket: &BucketName, _owner: &AccountId, tags: &Tags) -> Result<(), Fault> {
        let name = bucket.as_str();
        self.bucket_call("s3:PutBucketTagging", name, |services| {
            let known = services.own_bucket_at(name, "s3:PutBucketTagging", &self.region)?;
            check_tags(tags, true)?;
            let before = std::mem::replace(&mut known.tags, tags.clone());
            services.note_tags(name, before, tags);
            Ok(())
        })
        .await
    }

    async fn block_public_access(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.public_access_blocked = true;
            Ok(())
        };
        self.bucket("s3:PutBucketPublicAccessBlock", bucket, set).await
    }

    async fn encrypt_bucket(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.encrypted = true;
            Ok(())
        };
        self.bucket("s3:PutEncryptionConfiguration", bucket, set).await
    }

    async fn expire_uploads(&self, bucket: &BucketName, _owner: &AccountId, days: u16) -> Result<(), Fault> {
        let set = |bucket: &mut Bucket| {
            bucket.upload_days = Some(days);
            Ok(())
        };
        self.bucket("s3:PutLifecycleConfiguration", bucket, set).await
    }

    async fn put_bucket_policy(&self, bucket: &BucketName, _owner: &AccountId, policy: &str) -> Result<(), Fault> {
        let name = bucket.as_str();
        self.bucket_call("s3:PutBucketPolicy", name, |services| {
            let known = services.own_bucket_at(name, "s3:PutBucketPolicy", &self.region)?;
            bucket_policy::malformed(policy, name).map_or(Ok(()), Err)?;
            let before = known.policy.replace(policy.to_owned());
            // Who is shown an earlier policy cannot know better.
            if services.lags.policy_read.is_zero() && before.as_deref().is_some_and(|before| means_the_same(before, policy)) {
                services.idle_writes.push(format!("the policy of `{name}` is written, and means what it meant"));
            }
            services.note_policy(name, before, policy);
            Ok(())
        })
        .await
    }

    async fn list_versions(
        &self,
        bucket: &BucketName,
        _owner: &AccountId,
        prefix: &str,
        max: u16,
    ) -> Result<Vec<Version>, Fault> {
        let version = |key: &String| Version { key: key.clone(), version_id: "null".to_owned() };
        let list = |bucket: &mut Bucket| {
            let below = bucket.objects.keys().filter(|key| key.starts_with(prefix));
            Ok(below.take(max.into()).map(version).collect())
        };
        self.bucket("s3:ListBucketVersions", bucket, list).await
    }

    async fn delete_versions(&self, bucket: &BucketName, _owner: &AccountId, versions: &[Version]) -> Result<(), Fault> {
        let remove = |bucket: &mut Bucket| {
            let named = |key: &String| versions.iter().any(|version| version.key == *key);
            bucket.objects.retain(|key, object| object.locked || !named(key));
            match bucket.objects.keys().find(|key| named(key)) {
                None => Ok(()),
                Some(_) => Err(Refusal::new(FaultKind::Denied, "AccessDenied", LOCKED)),
            }
        };
        match self.bucket("s3:DeleteObject", bucket, remove).await {
            Err(fault) if fault.kind == FaultKind::Missing => Ok(()),
            answer => answer,
        }
    }

    async fn delete_bucket(&self, bucket: &BucketName, _owner: &AccountId) -> Result<(), Fault> {
        self.bucket_call("s3:DeleteBucket", bucket.as_str(), |services| match services.state.buckets.get(bucket.as_str()) {
            None => Ok(()),
            Some(known) if known.owner.is_some() => Err(Refusal::new(FaultKind::Denied, "AccessDenied", "")),
            Some(known) if !known.objects.is_empty() => Err(Refusal::new(FaultKind::NotEmpty, "BucketNotEmpty", "")),
            Some(_) => {
                services.state.buckets.remove(bucket.as_str());
                services.note_freed(bucket.as_str());
                Ok(())
            }
        })
        .await
    }

    async fn bucket_key(&self, bucket: &BucketName, _owner: &AccountId) -> Result<Option<String>, Fault> {
        self.bucket("s3:GetEncryptionConfiguration", bucket, |bucket| Ok(bucket.kms_key.clone())).await
    }

    async fn list_folder(&self, bucket: &BucketName, _owner: &AccountId, prefix: &str) -> Result<FolderListing, Fault> {
        self.bucket("s3:ListBucket", bucket, |bucket| Ok(bucket.listing(prefix))).await
    }

    async fn read_object(&self, bucket: &BucketName, _owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault> {
        self.bucket("s3:GetObject", bucket, |bucket| match bucket.objects.get(key) {
            Some(object) => Ok(object.body.iter().copied().take(max).collect()),
            None => Err(Refusal::new(FaultKind::Missing, "NoSuchKey", "")),
        })
        .await
    }
}

#[async_trait]
impl<A: Access> Support for Port<A> {
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault> {
        self.support_call("support:DescribeServices", |services| Ok(services.support_services())).await
    }

    async fn support_severities(&self) -> Result<Vec<String>, Fault> {
        let codes = SEVERITIES.map(|(code, _)| code.to_owned());
        self.support_call("support:DescribeSeverityLevels", |_| Ok(codes.into())).await
    }

    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault> {
        let listed =
            |known: &OpenedCase| SupportCase { display_id: known.display_id.clone(), subject: known.case.subject.clone() };
        self.support_call("support:DescribeCases", |services| {
            Ok(services.state.cases.iter().filter(|known| known.opened_at >= after).map(listed).collect())
        })
        .await
    }

    async fn open_case(&self, case: &NewCase) -> Result<String, Fault> {
        self.support_call("support:CreateCase", |services| services.open_case(case, self.access.run())).await
    }
}

impl Services {
    /// A bucket that is the account's own.
    fn own_bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        match self.state.buckets.get_mut(name) {
            None => Err(Refusal::new(FaultKind::Missing, "NoSuchBucket", "")),
            Some(bucket) if bucket.owner.is_some() => Err(Refusal::new(FaultKind::Denied, "AccessDenied", "")),
            Some(bucket) => Ok(bucket),
        }
    }

    /// The same, asked for in a Region.
    fn own_bucket_at(&mut self, name: &str, action: &str, region: &Region) -> Result<&mut Bucket, Refusal> {
        let named = self.freedoms.region;
        let bucket = self.own_bucket(name)?;
        answers_at(&bucket.region, action, region, named)?;
        Ok(bucket)
    }

    /// A service looks whether it may deliver to a bucket, and leaves its test object there.
    fn verify_bucket(&mut self, service: &str, name: &str, owner: Option<&str>, region: &str) -> Result<(), Refusal> {
        let seen = !self.policy_unseen;
        let bucket = self.state.buckets.get_mut(name).filter(|bucket| bucket.owner.as_deref() == owner);
        let account = &self.account;
        let Some(bucket) = bucket.filter(|bucket| seen && bucket.admits(service, account) && bucket.region == region) else {
            let message = "Failed to verify customer bucket permission.";
            return Err(Refusal::new(FaultKind::BucketUnverified, "ValidationException", message));
        };
        bucket.objects.insert(TEST_OBJECT.to_owned(), Object::holding("", self.now));
        Ok(())
    }
}
