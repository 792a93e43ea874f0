//! The notice: a CloudEvents 1.0 event in structured form, of contract 1.
//!
//! [`Hint`] is read before the signature is checked and only says whose key to look up. [`Notice`] is the whole,
//! with every name in it checked and every part agreeing with the others. `docs/notices.md` has it field by field.
//!
//! Fields are added within the contract and never removed, so only those that every notice has for ever are required here; one that
//! is missing is not known, and so is the value of an enumeration that a later handler knows and this version does not.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    billing::Status,
    document::{Document, object},
    names::{AccountId, Partition, RoleArn, StackId, utc_time},
    refusal::{Reason, Refusal},
    secret::Secret,
};

/// What a notice says of itself before anything is verified: for looking up keys, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The claimed stack.
    pub stack_id: String,
    /// The claimed external ID.
    pub external_id: String,
}

impl Hint {
    /// Reads the two texts; everything else may be anything.
    ///
    /// # Errors
    /// The document has not both.
    pub fn read(document: &Document) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Event {
            #[serde(deserialize_with = "object")]
            data: Data,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            stack_id: String,
            external_id: String,
        }
        let Event { data } = document.part()?;
        Ok(Self { stack_id: data.stack_id, external_id: data.external_id })
    }
}

/// What happened to the stack's connection. The order is the rank of notices that carry the same time: a removal is
/// a stack's last word, and what CloudFormation had told counts more than what a schedule repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The stack was created.
    Established,
    /// It has no billing data to look at, and is there.
    Alive,
    /// It looked at its billing data, and said what it is beside that.
    BillingStatus,
    Updated,
    /// It is being deleted.
    Removed,
    /// Something that a later handler tells: proven like the others, answered, and not stored.
    Unknown,
}

impl Kind {
    /// All that are stored.
    pub const ALL: [Self; 5] = [Self::Established, Self::Alive, Self::BillingStatus, Self::Updated, Self::Removed];

    /// The event's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "hawser.connection.established",
            Self::Alive => "hawser.connection.alive",
            Self::BillingStatus => "hawser.billing.status",
            Self::Updated => "hawser.connection.updated",
            Self::Removed => "hawser.connection.removed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it comes by a schedule and not from CloudFormation: it may describe, and connects nothing.
    pub fn is_scheduled(self) -> bool {
        matches!(self, Self::Alive | Self::BillingStatus)
    }

    fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Unknown)
    }
}

/// A notice's place in the order of its stack's notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticePosition {
    /// The event's `time`.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The event's `type`.
    pub kind: Kind,
    /// The event's `id`.
    pub id: String,
}

impl NoticePosition {
    /// Whether this one counts when both have arrived, this one last. By time, then by kind; two of one kind in one second
    /// are told one after the other by their stack, which waits for each answer, so the later arrival is the later word.
    pub fn supersedes(&self, earlier: &Self) -> bool {
        (self.time, self.kind) >= (earlier.time, earlier.kind)
    }

    /// Of this one and an earlier arrival, the one that counts.
    pub fn or_later(&self, earlier: &Self) -> Self {
        if self.supersedes(earlier) { self.clone() } else { earlier.clone() }
    }
}

/// A verified form, not yet a verified origin: that takes the signature and the proof.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Id, type and time.
    pub position: NoticePosition,
    pub stack: StackId,
    /// The physical id of the resource that speaks.
    pub resource: String,
    /// The vendor role, when the stack still has one.
    pub role: Option<RoleArn>,
    /// As the stack has it; to be compared with the issued one, never to be believed (F-39).
    pub external_id: String,
    /// The customer's name for the connection.
    pub connection_name: String,
    /// How the billing data arrives: in a [`Kind::BillingStatus`], and in no other.
    pub status: Option<Status>,
    /// The signed request to STS, if one was sent.
    pub proof: Option<Proof>,
    /// The token that STS made, if one was sent.
    pub token: Option<Secret>,
    /// What describes the connection: the known fields of `data` without the proofs and the status; what is not known is empty.
    pub data: Value,
    /// Hex SHA-256 of the RFC 8785 form of the whole event without `data.proofs`: what each proof must vouch for.
    pub event_sha256: String,
    /// Hex SHA-256 of all that makes two notices the same: type, source, subject and [`Notice::data`]. Not the time, the proofs, the
    /// status and what was looked up for it, which a second run of the same request makes anew.
    pub fingerprint: String,
}

/// The signed `sts:GetCallerIdentity` request, not yet checked.
#[derive(Clone, Deserialize)]
pub struct Proof {
    pub method: String,
    pub url: String,
    /// Header names and values.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([redacted])")
    }
}

/// Later than our clock by more than this, a notice's time would keep all honest ones after it from counting.
pub const TIME_AHEAD_MAX: time::Duration = time::Duration::minutes(5);

/// A connection's name, and that of a pack: the template allows 64 and fewer. For people, who make them longer than that elsewhere.
const NAME_CHARS_MAX: usize = 256;
/// Any other text. A stack's texts are parameters, or attributes of its resources in one response: each has at most 4,096 bytes (AWS
/// CloudFormation quotas, and its user guide, "Custom resource response objects").
const TEXT_CHARS_MAX: usize = 4096;
/// Regions, packs, proofs: AWS has 40 Regions, and the template fewer packs.
const LIST_MAX: usize = 64;

/// A physical id has at most 1,024 bytes (CloudFormation user guide, "Custom resource response objects").
const RESOURCE_BYTES_MAX: usize = 1024;

impl Notice {
    /// Parses a document whose signature was found good.
    ///
    /// # Errors
    /// [`Reason::Malformed`] names the place that has not the documented form, [`Reason::Inconsistent`] says which
    /// parts disagree.
    pub fn parse(document: &Document, webhook_id: &str, now: OffsetDateTime) -> Result<Self, Refusal> {
        let event: Event = document.part()?;
        let require = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(Reason::Inconsistent.with(why)) };

        let kind = Kind::of(&event.kind);
        let constants =
            [("specversion", &event.specversion, "1.0"), ("datacontenttype", &event.datacontenttype, "application/json")];
        if let Some((place, ..)) = constants.into_iter().find(|(_, value, only)| value != only) {
            return Err(Reason::Malformed.with(format!("`{place}`")));
        }
        require(event.id == webhook_id, "`id` is not the `webhook-id`")?;
        let legal_id = event.id.len() == 32 && event.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        require(legal_id, "`id` is not 32 lowercase hex digits")?;
        require(event.time <= now + TIME_AHEAD_MAX, "`time` is in the future")?;

        let mut data = event.data;
        let stack = StackId::from_str(&data.stack_id).map_err(|why| Reason::Inconsistent.with(why))?;
        require(event.source == data.stack_id, "`source` is not the stack id")?;
        require(event.subject == data.account_id, "`subject` is not the account id")?;
        require(data.account_id == stack.account.as_str(), "the account is not the stack's")?;
        require(data.partition == stack.partition.as_str(), "the partition is not the stack's")?;
        require(data.region == stack.region, "the Region is not the stack's")?;
        require((1..=RESOURCE_BYTES_MAX).contains(&data.resource.len()), "`resource` is not a physical id")?;
        let role = match data.role_arn.as_str() {
            "" => None,
            text => Some(RoleArn::from_str(text).map_err(|why| Reason::Inconsistent.with(why))?),
        };
        if let Some(role) = &role {
            require(role.account == stack.account, "the role is in another account than the stack")?;
            require(role.partition == stack.partition, "the role is in another partition than the stack")?;
        }
        require(role.is_some() || kind == Kind::Removed, "the role ARN is empty")?;
        let export = &data.billing_export;
        require(is_own(&export.arn, &stack), "`billingExport.arn` is not an export in the stack's account")?;
        // An ARN of a bucket names no account, and a bucket may be encrypted with another account's key.
        for (arn, service) in [(&export.bucket_arn, "s3"), (&export.kms_key_arn, "kms")] {
            let of_service = arn.starts_with(&format!("arn:{}:{service}:", data.partition));
            require(arn.is_empty() || of_service, "`billingExport` has an ARN of something else")?;
        }
        if !data.access_key_secret_arn.is_empty() {
            let ours = format!("arn:{}:secretsmanager:{}:{}:secret:", data.partition, data.region, data.account_id);
            let name = data.access_key_secret_arn.strip_prefix(&ours).unwrap_or_default();
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b);
            require(
                !name.is_empty() && name.bytes().all(legal),
                "`accessKeySecretArn` is not a secret in the stack's account and Region",
            )?;
        }
        // IAM's `accessKeyIdType`.
        let legal_key = |id: &str| (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        require(data.access_key_id.is_empty() || legal_key(&data.access_key_id), "`accessKeyId` is not an access key id")?;
        let status = data.billing_status.take().filter(|_| kind == Kind::BillingStatus);
        if kind == Kind::BillingStatus {
            let status = status.as_ref().ok_or_else(|| Reason::Malformed.with("`data.billingStatus`"))?;
            // A later one would keep all honest ones after it from counting.
            require(status.checked_at <= now + TIME_AHEAD_MAX, "`checkedAt` is in the future")?;
            require(status.is_whole(), "the billing status lacks what its state requires")?;
        }
        let (proof, token) =
            (data.proof(REQUEST_PROOF)?, data.proof(TOKEN_PROOF)?.map(|TokenProof { token }| Secret::new(token)));
        data.forget_unknown_values();
        data.check_lengths()?;

        let mut unproven = document.event.clone();
        unproven["data"].as_object_mut().map(|data| data.remove("proofs"));
        let described = json!(data);
        let mut same = json!({
            "type": event.kind, "source": event.source, "subject": event.subject, "data": described,
        });
        let anew = if kind.is_scheduled() { &["proofKinds", "organization"][..] } else { &["proofKinds"] };
        for name in anew {
            same["data"].as_object_mut().map(|data| data.remove(*name));
        }
        Ok(Self {
            position: NoticePosition { time: event.time, kind, id: event.id },
            stack,
            resource: data.resource,
            role,
            external_id: data.external_id,
            connection_name: data.connection_name,
            status,
            proof,
            token,
            data: described,
            event_sha256: canonical_sha256(&unproven)?,
            fingerprint: canonical_sha256(&same)?,
        })
    }

    /// The account that the notice is about.
    pub fn account(&self) -> &AccountId {
        &self.stack.account
    }
}

/// Whether an ARN, where there is one, names something in the stack's partition and account.
fn is_own(arn: &str, stack: &StackId) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, _, _, account, _] => *partition == stack.partition.as_str() && *account == stack.account.as_str(),
        _ => arn.is_empty(),
    }
}

/// Hex SHA-256 of the RFC 8785 (JCS) form.
fn canonical_sha256(value: &Value) -> Result<String, Refusal> {
    let canonical = serde_json_canonicalizer::to_vec(value).map_err(|_| Reason::Malformed.with("`data`"))?;
    Ok(hex::encode(Sha256::digest(canonical)))
}

#[derive(Deserialize)]
struct Event {
    specversion: String,
    id: String,
    source: String,
    subject: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(deserialize_with = "utc_time")]
    time: OffsetDateTime,
    datacontenttype: String,
    #[serde(deserialize_with = "object")]
    data: Data,
}

/// The fields of `data` that this version knows. The first seven and the proofs are there for ever.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    account_id: String,
    #[serde(deserialize_with = "partition")]
    partition: String,
    region: String,
    stack_id: String,
    resource: String,
    external_id: String,
    #[serde(skip_serializing)]
    proofs: Vec<Value>,
    /// Missing at most in a removal.
    #[serde(default)]
    role_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof_kinds: Option<Vec<String>>,
    #[serde(default)]
    way: String,
    #[serde(default)]
    connection_name: String,
    #[serde(default)]
    access_key_secret_arn: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    packs: BTreeMap<String, String>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default, deserialize_with = "object")]
    organization: OrganizationFacts,
    #[serde(default, deserialize_with = "object")]
    billing_export: BillingExport,
    #[serde(default)]
    template_version: String,
    #[serde(default)]
    handler_version: String,
    #[serde(default, deserialize_with = "written", skip_serializing)]
    billing_status: Option<Status>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct OrganizationFacts {
    account_role: String,
    feature_set: String,
    management_account_id: String,
    organization_id: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct BillingExport {
    arn: String,
    backfill: String,
    bucket_arn: String,
    bucket_name: String,
    bucket_region: String,
    compression: String,
    decision: String,
    first_data_due_by: String,
    format: String,
    #[cfg(feature = "newest-fields")]
    iam_principal_data: String,
    kms_key_arn: String,
    kind: String,
    name: String,
    origin: String,
    prefix: String,
    refreshes_closed_months: String,
    #[cfg(feature = "newest-fields")]
    versioning: String,
}

/// The ways on which a connection is made that this version knows: by a stack, or by `hawser connect`, which leaves nothing behind
/// that could send a heartbeat.
pub const WAYS: [&str; 2] = ["stack", "direct"];

/// The modes of a granted pack; one that was not granted is not in the map.
const PACK_MODES: [&str; 2] = ["ReadOnly", "ReadWrite"];

/// The kind of a [`Proof`].
const REQUEST_PROOF: &str = "request";
/// The kind of [`Notice::token`].
pub const TOKEN_PROOF: &str = "token";

#[derive(Deserialize)]
struct TokenProof {
    token: String,
}

impl Data {
    /// The one proof of a kind, if it was sent. Unknown kinds are skipped; `proofKinds`, which every proof covers, says if one was
    /// taken away or added on the way.
    fn proof<T: DeserializeOwned>(&self, kind: &str) -> Result<Option<T>, Refusal> {
        let malformed = |place: &str| Reason::Malformed.with(format!("`data.{place}`"));
        let kinds: Option<Vec<&str>> = self.proofs.iter().map(|proof| proof["kind"].as_str()).collect();
        let kinds = kinds.ok_or_else(|| malformed("proofs.kind"))?;
        if self.proof_kinds.as_ref().is_some_and(|named| *named != kinds) {
            return Err(Reason::Inconsistent.with("`proofKinds` names other proofs than `proofs` has"));
        }
        let mut of_kind = self.proofs.iter().filter(|proof| proof["kind"] == kind);
        match (of_kind.next(), of_kind.next()) {
            (None, _) => Ok(None),
            (Some(proof), None) => {
                serde_path_to_error::deserialize(proof).map(Some).map_err(|error| malformed(&format!("proofs.{}", error.path())))
            }
            (Some(_), Some(_)) => Err(malformed("proofs")),
        }
    }

    /// What is stored and shown has an end. Only the place of what is too long is named.
    fn check_lengths(&self) -> Result<(), Refusal> {
        let too_long = |place: &str| Reason::Malformed.with(format!("`data.{place}` is too long"));
        let fits = |text: &str, max: usize| text.len() <= max || text.chars().count() <= max;
        let lists = [("proofs", self.proofs.len()), ("regions", self.regions.len()), ("packs", self.packs.len())];
        let kinds = ("proofKinds", self.proof_kinds.as_ref().map_or(0, Vec::len));
        if let Some((place, _)) = lists.into_iter().chain([kinds]).find(|(_, length)| *length > LIST_MAX) {
            return Err(too_long(place));
        }
        if !fits(&self.connection_name, NAME_CHARS_MAX) {
            return Err(too_long("connectionName"));
        }
        if !self.packs.keys().all(|name| fits(name, NAME_CHARS_MAX)) {
            return Err(too_long("packs"));
        }
        let described = json!(self);
        for (name, value) in described.as_object().into_iter().flatten() {
            let texts: Vec<&Value> = match value {
                Value::Object(fields) => fields.values().collect(),
                Value::Array(items) => items.iter().collect(),
                text => vec![text],
            };
            if !texts.into_iter().filter_map(Value::as_str).all(|text| fits(text, TEXT_CHARS_MAX)) {
                return Err(too_long(name));
            }
        }
        Ok(())
    }

    /// Enumerations are open: a value that a later handler knows is not known here, and that is the empty text.
    fn forget_unknown_values(&mut self) {
        let (organization, export) = (&mut self.organization, &mut self.billing_export);
        let enumerations = [
            (&mut self.way, &WAYS[..]),
            (&mut organization.account_role, &["management", "member", "standalone", "unknown"][..]),
            (&mut export.kind, &["None", "CostAndUsageReport", "CostAndUsageReport2", "Focus"][..]),
            (&mut export.format, &["Parquet", "Csv"][..]),
            (&mut export.compression, &["Parquet", "GZIP", "ZIP"][..]),
            (&mut export.refreshes_closed_months, &["true", "false"][..]),
            #[cfg(feature = "newest-fields")]
            (&mut export.versioning, &["OverwriteReport", "CreateNewReport"][..]),
            #[cfg(feature = "newest-fields")]
            (&mut export.iam_principal_data, &["true", "false"][..]),
            (&mut export.origin, &["created", "reused", "none"][..]),
        ];
        let modes = self.packs.values_mut().map(|mode| (mode, &PACK_MODES[..]));
        for (value, known) in enumerations.into_iter().chain(modes) {
            if !known.contains(&value.as_str()) {
                value.clear();
            }
        }
    }
}

/// An object that may be left out, but is not `null` where it is written.
fn written<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

/// One that we do not know has no endpoint of STS that we could ask, so this enumeration is closed.
fn partition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Partition::from_str(&text).map(|_| text).map_err(D::Error::custom)
}
