//! Amazon S3 through the SDK.

use async_trait::async_trait;
use aws_sdk_s3 as s3;
use aws_smithy_types::error::{metadata::ProvideErrorMetadata, operation::BuildError};

use super::{
    clients::{Clients, when},
    fault::{fault, incomplete, kind, unreadable},
};
use crate::{
    aws::{BucketNamespace, Buckets, Fault, FaultKind, FolderListing, OBJECTS_LISTED_MAX, Object, READ_OBJECT, Tags, Version},
    names::{AccountId, BucketName, Region},
};

#[async_trait]
impl Buckets for Clients {
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
        region.parse().map_err(|_| incomplete(action))
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

    async fn create_bucket(&self, bucket: &BucketName, namespace: BucketNamespace, tags: &Tags) -> Result<(), Fault> {
        let action = "s3:CreateBucket";
        let tags = (!tags.is_empty()).then(|| self::tags(tags)).transpose().map_err(|_| unreadable(action))?;
        // us-east-1 is where a bucket is made without a constraint; it is not a legal value for one.
        let constraint = (self.region.as_str() != "us-east-1").then(|| self.region.as_str().into());
        let configuration = (tags.is_some() || constraint.is_some())
            .then(|| s3::types::CreateBucketConfiguration::builder().set_tags(tags).set_location_constraint(constraint).build());
        let request = self.s3.create_bucket().bucket(bucket.as_str());
        // The header is left out for names of the global namespace, as before there was another.
        let namespace = (namespace == BucketNamespace::AccountRegional).then_some(s3::types::BucketNamespace::AccountRegional);
        let request = request.set_bucket_namespace(namespace).set_create_bucket_configuration(configuration);
        let enforced = request.clone().object_ownership(s3::types::ObjectOwnership::BucketOwnerEnforced);
        let answer = match enforced.send().await.map_err(|why| fault(action, why)) {
            // It is S3's own default by now, so a policy that forbids to set it takes nothing away ("Controlling ownership of objects").
            Err(fault) if fault.is_denial() && fault.message.contains("s3:PutBucketOwnershipControls") => {
                request.send().await.map_err(|why| self::fault(action, why))
            }
            answer => answer,
        };
        answer.map(|_| ())
    }

    async fn put_bucket_tags(&self, bucket: &BucketName, owner: &AccountId, tags: &Tags) -> Result<(), Fault> {
        let action = "s3:PutBucketTagging";
        let tags = self::tags(tags).and_then(|tags| s3::types::Tagging::builder().set_tag_set(Some(tags)).build());
        let request = self.s3.put_bucket_tagging().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let answer = request.tagging(tags.map_err(|_| unreadable(action))?).send().await;
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
        // The call succeeds even when single keys were refused. What may pass comes first: the others are refused again.
        let faults = answer.errors.unwrap_or_default().into_iter().map(|error| {
            let (code, message) = (error.code.unwrap_or_default(), error.message.unwrap_or_default());
            Fault { action, kind: kind(&code, &message, None), code, message, request_id: None, bucket_region: None }
        });
        faults.min_by_key(|fault| !fault.is_outage()).map_or(Ok(()), Err)
    }

    async fn delete_bucket(&self, bucket: &BucketName, owner: &AccountId) -> Result<(), Fault> {
        let request = self.s3.delete_bucket().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        match request.send().await.map_err(|why| fault("s3:DeleteBucket", why)) {
            Err(fault) if fault.kind != FaultKind::Missing => Err(fault),
            _ => Ok(()),
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

    async fn list_folder(&self, bucket: &BucketName, owner: &AccountId, prefix: &str) -> Result<FolderListing, Fault> {
        let request = self.s3.list_objects_v2().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let mut pages = request.prefix(prefix).delimiter("/").into_paginator().send();
        let mut listing = FolderListing::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|why| fault("s3:ListBucket", why))?;
            listing.objects.extend(page.contents.unwrap_or_default().into_iter().filter_map(object));
            listing.folders.extend(page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix));
            if listing.objects.len() + listing.folders.len() >= OBJECTS_LISTED_MAX {
                listing.truncated = page.is_truncated == Some(true);
                break;
            }
        }
        Ok(listing)
    }

    async fn read_object(&self, bucket: &BucketName, owner: &AccountId, key: &str, max: usize) -> Result<Vec<u8>, Fault> {
        let action = READ_OBJECT;
        let request = self.s3.get_object().bucket(bucket.as_str()).expected_bucket_owner(owner.as_str());
        let mut body = request.key(key).send().await.map_err(|why| fault(action, why))?.body;
        let mut read = Vec::new();
        while read.len() < max {
            match body.next().await {
                None => break,
                Some(Ok(bytes)) => read.extend_from_slice(&bytes),
                Some(Err(_)) => return Err(incomplete(action)),
            }
        }
        read.truncate(max);
        Ok(read)
    }
}

fn tags(tags: &Tags) -> Result<Vec<s3::types::Tag>, BuildError> {
    tags.iter().map(|(key, value)| s3::types::Tag::builder().key(key).value(value).build()).collect()
}

fn object(known: s3::types::Object) -> Option<Object> {
    let size = known.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
    Some(Object { key: known.key?, size, modified: when(&known.last_modified?)? })
}
