//! The notice's bytes: CloudEvents envelope, Standard Webhooks signature, and what the proof of identity vouches for.
//!
//! Stacks live for years and cannot be changed from outside, so what [`CONTRACT`] names only grows: a field is added, and no field
//! is removed or gets another type or meaning.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    VERSION,
    connection::{
        status::DeliveryStatus,
        terms::{Terms, physical_id},
    },
    error::{Code, Failure},
    identity::{IdentityToken, Proof, ProofKind, ProofRequest},
    names::{LaunchToken, NoticeUrl, digest_hex},
    protocol::origin::Origin,
};

/// The contract that every notice names as its `dataschema`, with its major.
pub const CONTRACT: &str = "urn:hawser:notice:1";

/// The kind of notice: CloudEvents' `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// After a Create.
    Established,
    /// After an Update.
    Updated,
    /// Before the stack goes.
    Removed,
    /// Every few hours, from the delivery watch.
    Status,
    /// Daily, where nothing is delivered.
    Alive,
}

impl Type {
    /// The attribute's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "hawser.connection.established",
            Self::Updated => "hawser.connection.updated",
            Self::Removed => "hawser.connection.removed",
            Self::Status => "hawser.billing.status",
            Self::Alive => "hawser.connection.alive",
        }
    }
}

/// What the vendor is told: CloudEvents' `data`, without the proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    account_id: String,
    partition: &'static str,
    region: String,
    stack_id: String,
    resource: String,
    way: &'static str,
    connection_name: String,
    role_arn: String,
    external_id: String,
    access_key_secret_arn: String,
    access_key_id: String,
    packs: BTreeMap<String, String>,
    regions: Vec<String>,
    organization: BTreeMap<String, String>,
    billing_export: BTreeMap<String, String>,
    template_version: String,
    handler_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_status: Option<DeliveryStatus>,
    /// Set when the event is proven.
    proof_kinds: &'static [ProofKind],
}

const ORGANIZATION_FIELDS: [(&str, &str); 4] = [
    ("accountRole", "AccountRole"),
    ("managementAccountId", "ManagementAccountId"),
    ("organizationId", "OrganizationId"),
    ("featureSet", "FeatureSet"),
];

const BILLING_FIELDS: [(&str, &str); 17] = [
    ("kind", "Kind"),
    ("name", "Name"),
    ("arn", "Arn"),
    ("bucketName", "BucketName"),
    ("bucketArn", "BucketArn"),
    ("bucketRegion", "BucketRegion"),
    ("prefix", "Prefix"),
    ("format", "Format"),
    ("compression", "Compression"),
    ("refreshesClosedMonths", "RefreshesClosedMonths"),
    ("versioning", "Versioning"),
    ("iamPrincipalData", "IamPrincipalData"),
    ("origin", "Origin"),
    ("decision", "Decision"),
    ("firstDataDueBy", "FirstDataDueBy"),
    ("backfill", "Backfill"),
    ("kmsKeyArn", "KmsKeyArn"),
];

/// Every field the vendor's schema names is there, whatever the template passed on.
fn fields(names: &[(&str, &str)], attributes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |attribute: &str| attributes.get(attribute).cloned().unwrap_or_default();
    names.iter().map(|(field, attribute)| ((*field).to_owned(), value(attribute))).collect()
}

/// Gathers what the vendor is told.
pub fn data(origin: &Origin, terms: &Terms) -> Data {
    Data {
        account_id: origin.stack.account.as_str().to_owned(),
        partition: origin.stack.partition.as_str(),
        region: origin.stack.region.as_str().to_owned(),
        stack_id: origin.stack.as_str().to_owned(),
        resource: physical_id(origin),
        way: terms.way.as_str(),
        connection_name: terms.connection_name.clone(),
        role_arn: terms.role_arn.clone(),
        external_id: terms.external_id.clone(),
        access_key_secret_arn: terms.access_key_secret_arn.clone(),
        access_key_id: terms.access_key_id.clone(),
        packs: terms.packs.clone(),
        regions: terms.regions.clone(),
        organization: fields(&ORGANIZATION_FIELDS, &terms.organization),
        billing_export: fields(&BILLING_FIELDS, &terms.billing),
        template_version: terms.template_version.clone(),
        handler_version: VERSION,
        billing_status: None,
        proof_kinds: &[],
    }
}

impl Data {
    /// The same with how delivery fares, where anything is delivered.
    pub fn with_status(self, status: Option<DeliveryStatus>) -> Self {
        Self { billing_status: status, ..self }
    }
}

/// A proof as it is sent.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Sent {
    Request(Proof),
    Token { token: IdentityToken },
}

#[derive(Serialize)]
struct DataAndProofs<'a> {
    #[serde(flatten)]
    data: &'a Data,
    proofs: &'a [Sent],
}

#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    subject: &'a str,
    r#type: &'static str,
    time: &'a str,
    datacontenttype: &'static str,
    dataschema: &'static str,
    data: D,
}

/// What one notice says, before it is proven.
pub struct Draft<'a> {
    origin: &'a Origin,
    kind: Type,
    /// The same for every delivery of the request, so that the vendor can tell a repetition.
    id: String,
    time: String,
    data: Data,
}

fn broken(why: impl fmt::Display) -> Failure {
    Failure::new(Code::Internal, format!("the notice could not be written: {why}"))
}

impl<'a> Draft<'a> {
    /// # Errors
    /// [`Code::Internal`] if the time has no text, as all between the years 0 and 9999 have.
    pub fn new(origin: &'a Origin, (kind, id): (Type, String), data: Data, now: OffsetDateTime) -> Result<Self, Failure> {
        // Milliseconds, so that a vendor can order two notices of one second.
        let time = now.replace_millisecond(now.millisecond()).unwrap_or(now).format(&Rfc3339).map_err(broken)?;
        Ok(Self { origin, kind, id, time, data })
    }

    fn event<D>(&self, data: D) -> CloudEvent<'_, D> {
        CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source: self.origin.stack.as_str(),
            subject: self.origin.stack.account.as_str(),
            r#type: self.kind.as_str(),
            time: &self.time,
            datacontenttype: "application/json",
            dataschema: CONTRACT,
            data,
        }
    }

    /// The same event, to be proven by these kinds.
    pub fn proven_by(&mut self, kinds: &'static [ProofKind]) {
        self.data.proof_kinds = kinds;
    }

    /// What has to be signed for this event at this time (HW-C3). The digest is over its canonical form (RFC 8785) without the proofs, so that
    /// a vendor can compute it from the parsed notice in any language.
    ///
    /// # Errors
    /// None in practice: strings, whole numbers and maps of them always have a canonical form.
    pub fn proof_request(&self, url: &NoticeUrl, now: OffsetDateTime) -> Result<ProofRequest, Failure> {
        let canonical = serde_json_canonicalizer::to_vec(&self.event(&self.data)).map_err(broken)?;
        Ok(ProofRequest {
            audience: url.authority(),
            event_sha256: hex::encode(Sha256::digest(&canonical)),
            partition: self.origin.stack.partition,
            region: self.origin.stack.region.clone(),
            now,
        })
    }

    /// Writes and signs the notice, at this time.
    ///
    /// # Errors
    /// [`Code::Internal`] if it cannot be written, which strings and maps of strings always can.
    pub fn seal(&self, token: &LaunchToken, proofs: &[Sent], now: OffsetDateTime) -> Result<Notice, Failure> {
        let body = serde_json::to_string(&self.event(DataAndProofs { data: &self.data, proofs })).map_err(broken)?;
        let timestamp = now.unix_timestamp();
        let signature = token.sign(&self.id, timestamp, &body);
        let headers = BTreeMap::from([
            ("content-type", "application/cloudevents+json".to_owned()),
            ("user-agent", format!("hawser/{VERSION}")),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ]);
        Ok(Notice { id: self.id.clone(), sealed_at: now, headers, body })
    }
}

/// A notice ready to send. Not printable: the body holds a proof, the headers a signature.
pub struct Notice {
    /// The same for every delivery of the request, so that the vendor can tell a repetition.
    pub id: String,
    /// When it was signed.
    pub sealed_at: OffsetDateTime,
    pub headers: BTreeMap<&'static str, String>,
    pub body: String,
}

/// The notice's id (HW-C2): SHA-256 over stack id and request id, 128 bits of it in hexadecimal.
pub fn id(origin: &Origin) -> String {
    digest_hex(&[origin.stack.as_str(), &origin.request_id], 16)
}

/// The id of the notice that takes back what a request told (HW-L7). The request's own id is spent, and so is that of an
/// earlier withdrawal, if a late delivery of the event told the vendor once more: hence the time.
pub fn retraction_id(origin: &Origin, now: OffsetDateTime) -> String {
    let now = now.unix_timestamp_nanos().to_string();
    digest_hex(&[origin.stack.as_str(), &origin.request_id, "withdrawn", &now], 16)
}
