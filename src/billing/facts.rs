//! What the account looks like: the facts that a plan is made from.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::{account_role::BillingPosition, id::ExportId, ownership::TAG_CREATED_AT, query::TableSource};
use crate::{
    aws::{DataExport, Fault, Report, Tags},
    error::{Code, Failure},
    names::{AccountId, BucketName, Region},
    protocol::origin::Origin,
};

/// The account, as far as one billing export is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub account: AccountId,
    /// The id everything is derived from.
    pub id: ExportId,
    /// When the account was looked at.
    pub now: OffsetDateTime,
    /// The request is an Update that asks for what the stack was answered with: whatever serves it now was chosen earlier.
    pub settled: bool,
    /// The partition's billing Region; none where the service does not exist.
    pub region: Option<Region>,
    /// Whose bill it is.
    pub billing_position: BillingPosition,
    /// The management account of another organization that receives this organization's bill (billing transfer).
    pub bill_recipient: Option<AccountId>,
    /// Management accounts whose bills are transferred to this one.
    pub bill_senders: Vec<AccountId>,
    /// Why it is not known whether bills are transferred.
    pub transfers_unreadable: Option<String>,
    /// What a member administers for its organization.
    pub delegated_services: Vec<String>,
    pub reports: Listed<Report>,
    /// Its Data Exports: all that the request looks at.
    pub exports: Listed<DataExport>,
    /// What a Data Export of ours is to ask for, or why that is not known; none where none is asked for.
    pub source: Option<Result<TableSource, Failure>>,
    /// The stack's own tags, for what is made; or why they are not known.
    pub stack_tags: Result<Tags, Fault>,
    /// Set if the report or the export with our name carries our mark, or is what a run left that ended before it was marked.
    pub ours: Option<OwnExport>,
    /// The bucket with our name.
    pub bucket: OwnBucket,
    /// Buckets of the customer's that could serve.
    pub candidate_buckets: BTreeMap<String, BucketCheck>,
    pub bucket_regions: BTreeMap<String, String>,
    /// The KMS keys that these, and the bucket with our name, encrypt with, as they name them.
    pub bucket_keys: BTreeMap<String, String>,
    /// Why the key of one of these is not known.
    pub unreadable_keys: BTreeMap<String, String>,
    /// Reports, by name, and exports, by ARN, that a stack of Hawser's made and may remove: another one, or this one under
    /// another id.
    pub other_stacks: BTreeSet<String>,
    /// What a failed replacement of this resource left behind, and the rollback must remove.
    pub leftover: Option<Leftover>,
}

impl Facts {
    /// Whether our bucket is there, or what is left of one, and what it was created for is not: it was removed, or not created yet, or
    /// AWS does not show it yet (B-22).
    pub fn is_partial(&self) -> bool {
        let is_lone = self.ours.is_none() && matches!(self.bucket, OwnBucket::Tagged { .. });
        is_lone || self.leftover.as_ref().is_some_and(|leftover| leftover.is_partial)
    }
}

/// What a service has of the account, from every page; or the fault that hid it: the account may not look, or the service did not
/// answer, and the request asks for the other service's exports.
pub type Listed<T> = Result<Vec<T>, Fault>;

impl OwnExport {
    /// [`TAG_CREATED_AT`], if it is known.
    pub fn created_at(&self) -> Option<&str> {
        self.tags.get(TAG_CREATED_AT).map(String::as_str)
    }
}

/// What is known of this stack's own report or export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnExport {
    /// An export's ARN; a report has only its name.
    pub arn: String,
    /// None at all on what a run left that ended before it was marked.
    pub tags: Tags,
    /// Other exports of ours with the same name: `CreateExport` knows no idempotency token, so two deliveries of one event can
    /// have made two.
    pub duplicates: Vec<String>,
}

/// The bucket with our name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnBucket {
    Absent,
    /// It carries our mark; its policy is the text S3 holds.
    Tagged {
        policy: Option<String>,
        /// Something is in it, if only the object that the report service tests a bucket with: so it was wholly set up,
        /// because the report is made last. Looked at only where there is no report of ours.
        in_use: bool,
        tags: Tags,
    },
    /// It is empty and has no tags at all: what a run left that ended between creating and tagging it (F-49).
    Remnant {
        /// The text S3 holds.
        policy: Option<String>,
    },
    /// It is there and does not carry our mark.
    Untagged,
    /// S3 denies looking: another account's (a squatted name), or the role lost a permission. Never touched.
    Unreadable(Fault),
}

/// The bucket of a reuse candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketCheck {
    /// In this account, where the report says it is.
    Usable,
    Absent,
    /// Somewhere else than the report says, and where.
    Elsewhere(String),
    /// Another account's, or not visible.
    Refused(Fault),
}

impl BucketCheck {
    /// The refusal of a policy of this account or its organization: no other bucket would be seen either.
    pub fn own_denial(&self) -> Option<&Fault> {
        match self {
            Self::Refused(fault) if fault.is_of_this_account() => Some(fault),
            _ => None,
        }
    }
}

/// Things of this stack under an id that was never answered with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub id: ExportId,
    /// What is left under it.
    pub remains: OwnedResources,
    /// There is a bucket without its mark, or without what it was created for.
    pub is_partial: bool,
}

/// What is there to be removed, and may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedResources {
    /// The report with the id's name carries our mark, or is a remnant.
    pub report: bool,
    /// The exports with the id's name that carry our mark or are remnants, by ARN.
    pub exports: Vec<String>,
    /// The bucket with the id's name carries our mark, or is a remnant.
    pub bucket: bool,
}

/// What is known, be it nothing.
pub fn or_empty<T>(listed: &Listed<T>) -> &[T] {
    listed.as_deref().unwrap_or_default()
}

/// The bucket of an id, which its checked prefix always makes legal.
pub fn own_bucket(origin: &Origin, id: &ExportId) -> Result<BucketName, Failure> {
    id.bucket(&origin.stack.account).map_err(|why| Failure::new(Code::Internal, why.to_string()))
}
