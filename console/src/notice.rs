//! The notice: a CloudEvents 1.0 event in structured form, parsed strictly.
//!
//! [`Hint`] is read before the signature is checked and only says whose key to look up. [`Notice`] is the whole,
//! with every name in it checked and every part agreeing with the others. `docs/notices.md` has it field by field.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    billing::Status,
    names::{AccountId, Partition, RoleArn, StackId, utc_time},
    refusal::{Reason, Refusal},
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
    /// The body is not JSON or has not both.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Event {
            data: Data,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            stack_id: String,
            external_id: String,
        }
        let Event { data } = from_json(body)?;
        Ok(Self { stack_id: data.stack_id, external_id: data.external_id })
    }
}

/// What happened to the stack's connection. The order is the rank of notices that carry the same time: a removal is
/// a stack's last word, and what CloudFormation had told counts more than what a schedule repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Kind {
    /// The stack was created.
    #[serde(rename = "hawser.connection.established")]
    Established,
    /// It looked at its billing data, and said what it is beside that.
    #[serde(rename = "hawser.billing.status")]
    BillingStatus,
    #[serde(rename = "hawser.connection.updated")]
    Updated,
    /// It is being deleted.
    #[serde(rename = "hawser.connection.removed")]
    Removed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Established, Self::BillingStatus, Self::Updated, Self::Removed];

    /// The event's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "hawser.connection.established",
            Self::BillingStatus => "hawser.billing.status",
            Self::Updated => "hawser.connection.updated",
            Self::Removed => "hawser.connection.removed",
        }
    }
}

/// A notice's place in the order of its stack's notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticePosition {
    /// The event's `time`.
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
}

/// A verified form, not yet a verified origin: that takes the signature and the proof.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Id, type and time.
    pub position: NoticePosition,
    pub stack: StackId,
    /// The vendor role, when the stack still has one.
    pub role: Option<RoleArn>,
    /// As the stack has it; to be compared with the issued one, never to be believed (F-39).
    pub external_id: String,
    /// The customer's name for the connection.
    pub connection_name: String,
    /// How the billing data arrives: in a [`Kind::BillingStatus`], and in no other.
    pub status: Option<Status>,
    /// The proof of identity.
    pub proof: Proof,
    /// What describes the connection: `data` without the proof and the status, as received.
    pub data: Value,
    /// Hex SHA-256 of the RFC 8785 form of `data` without the proof: what the proof must vouch for.
    pub data_sha256: String,
    /// Hex SHA-256 of all that makes two notices the same: type, source, subject and data. Not the time, the proof and the
    /// status, which a second run of the same request makes anew.
    pub fingerprint: String,
}

/// The signed `sts:GetCallerIdentity` request, not yet checked.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub method: String,
    pub url: String,
    /// Header names and values.
    pub headers: UniqueMap,
    pub body: String,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([redacted])")
    }
}

/// Later than our clock by more than this, a notice's time would keep all honest ones after it from counting.
pub const TIME_AHEAD_MAX: time::Duration = time::Duration::minutes(5);

impl Notice {
    /// Parses a body whose signature was found good.
    ///
    /// # Errors
    /// [`Reason::Malformed`] names the place that has not the documented form, [`Reason::Inconsistent`] says which
    /// parts disagree.
    pub fn parse(body: &[u8], webhook_id: &str, now: OffsetDateTime) -> Result<Self, Refusal> {
        let event: Event = from_json(body)?;
        let require = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(Reason::Inconsistent.with(why)) };

        require(event.id == webhook_id, "`id` is not the `webhook-id`")?;
        let legal_id = event.id.len() == 32 && event.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        require(legal_id, "`id` is not 32 lowercase hex digits")?;
        require(event.time <= now + TIME_AHEAD_MAX, "`time` is in the future")?;

        let data = event.data;
        data.check(event.kind)?;
        let stack = StackId::from_str(&data.stack_id).map_err(|why| Reason::Inconsistent.with(why))?;
        require(event.source == data.stack_id, "`source` is not the stack id")?;
        require(event.subject == data.account_id, "`subject` is not the account id")?;
        require(data.account_id == stack.account.as_str(), "the account is not the stack's")?;
        require(data.partition == stack.partition, "the partition is not the stack's")?;
        require(data.region == stack.region, "the Region is not the stack's")?;
        let role = match data.role_arn.as_str() {
            "" => None,
            text => Some(RoleArn::from_str(text).map_err(|why| Reason::Inconsistent.with(why))?),
        };
        if let Some(role) = &role {
            require(role.account == stack.account, "the role is in another account than the stack")?;
            require(role.partition == stack.partition, "the role is in another partition than the stack")?;
        }
        require(role.is_some() || event.kind == Kind::Removed, "the role ARN is empty")?;
        if !data.access_key_secret_arn.is_empty() {
            let ours = format!("arn:{}:secretsmanager:{}:{}:secret:", data.partition.as_str(), data.region, data.account_id);
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
        if let Some(status) = &data.billing_status {
            // A later one would keep all honest ones after it from counting.
            require(status.checked_at <= now + TIME_AHEAD_MAX, "`checkedAt` is in the future")?;
            require(status.is_whole(), "the billing status lacks what its state requires")?;
        }

        // The typed parse above refused every repeated name, so this second reading sees the same document.
        let mut raw: Value = from_json(body)?;
        let mut raw_data = raw["data"].take();
        let leave_out = |data: &mut Value, name: &str| data.as_object_mut().map(|map| map.remove(name));
        leave_out(&mut raw_data, "proof");
        let data_sha256 = canonical_sha256(&raw_data)?;
        leave_out(&mut raw_data, BILLING_STATUS);
        let whole = serde_json::json!({
            "type": event.kind.as_str(), "source": event.source, "subject": event.subject, "data": raw_data,
        });
        Ok(Self {
            position: NoticePosition { time: event.time, kind: event.kind, id: event.id },
            stack,
            role,
            external_id: data.external_id,
            connection_name: data.connection_name,
            status: data.billing_status,
            proof: data.proof,
            data_sha256,
            fingerprint: canonical_sha256(&whole)?,
            data: raw_data,
        })
    }

    /// The account that the notice is about.
    pub fn account(&self) -> &AccountId {
        &self.stack.account
    }
}

/// Hex SHA-256 of the RFC 8785 (JCS) form.
fn canonical_sha256(value: &Value) -> Result<String, Refusal> {
    let canonical = serde_json_canonicalizer::to_vec(value).map_err(|_| Reason::Malformed.with("`data`"))?;
    Ok(hex::encode(Sha256::digest(canonical)))
}

/// How much of a place in the body an answer repeats.
const PLACE_CHARS_MAX: usize = 80;

/// Reads JSON; the error says where, and never repeats what is there: it could be a signature.
fn from_json<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let place = |path: String| {
        let legal = |c: &char| c.is_ascii_alphanumeric() || ".-_[]".contains(*c);
        let place: String = path.chars().filter(legal).take(PLACE_CHARS_MAX).collect();
        Reason::Malformed.with(format!("`{place}`"))
    };
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| place(error.path().to_string()))?;
    reader.end().map_err(|_| place("end".to_owned()))?;
    Ok(value)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    #[serde(rename = "specversion")]
    _spec_version: SpecVersion,
    id: String,
    source: String,
    subject: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(deserialize_with = "utc_time")]
    time: OffsetDateTime,
    #[serde(rename = "datacontenttype")]
    _data_content_type: DataContentType,
    data: Data,
}

#[derive(Deserialize)]
enum SpecVersion {
    #[serde(rename = "1.0")]
    One,
}

#[derive(Deserialize)]
enum DataContentType {
    #[serde(rename = "application/json")]
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Data {
    account_id: String,
    #[serde(deserialize_with = "partition")]
    partition: Partition,
    region: String,
    stack_id: String,
    connection_name: String,
    role_arn: String,
    external_id: String,
    access_key_secret_arn: String,
    access_key_id: String,
    packs: UniqueMap,
    #[serde(rename = "regions")]
    _regions: Vec<String>,
    organization: UniqueMap,
    billing_export: UniqueMap,
    #[serde(rename = "templateVersion")]
    _template_version: String,
    #[serde(rename = "handlerVersion")]
    _handler_version: String,
    #[serde(default, deserialize_with = "written")]
    billing_status: Option<Status>,
    proof: Proof,
}

/// The names a group of facts has, all of them, and the values each may take; an empty list is any text. The empty
/// value is "not known", or "there is none".
type Group = [(&'static str, &'static [&'static str])];

const ORGANIZATION: &Group = &[
    ("accountRole", &["management", "member", "standalone", "unknown", ""]),
    ("featureSet", &[]),
    ("managementAccountId", &[]),
    ("organizationId", &[]),
];

const BILLING_EXPORT: &Group = &[
    ("arn", &[]),
    ("backfill", &[]),
    ("bucketArn", &[]),
    ("bucketName", &[]),
    ("bucketRegion", &[]),
    ("decision", &[]),
    ("firstDataDueBy", &[]),
    ("format", &["Parquet", "Csv", ""]),
    ("kmsKeyArn", &[]),
    ("kind", &["None", "CostAndUsageReport", "CostAndUsageReport2", "Focus", ""]),
    ("name", &[]),
    ("origin", &["created", "reused", "none", ""]),
    ("prefix", &[]),
];

/// The part of `data` that only a [`Kind::BillingStatus`] has.
const BILLING_STATUS: &str = "billingStatus";

/// The modes of a granted pack; one that was not granted is not in the map.
const PACK_MODES: [&str; 2] = ["ReadOnly", "ReadWrite"];

impl Data {
    /// The forms that types alone do not say.
    fn check(&self, kind: Kind) -> Result<(), Refusal> {
        let malformed = |place: &str| Err(Reason::Malformed.with(format!("`data.{place}`")));
        if !self.packs.0.values().all(|mode| PACK_MODES.contains(&mode.as_str())) {
            return malformed("packs");
        }
        if self.billing_status.is_some() != (kind == Kind::BillingStatus) {
            return malformed(BILLING_STATUS);
        }
        for (place, map, group) in
            [("organization", &self.organization.0, ORGANIZATION), ("billingExport", &self.billing_export.0, BILLING_EXPORT)]
        {
            // A removal may come when nobody knows these facts any more.
            if map.is_empty() && kind == Kind::Removed {
                continue;
            }
            if map.len() != group.len() {
                return malformed(place);
            }
            for (name, values) in group {
                match map.get(*name) {
                    Some(value) if values.is_empty() || values.contains(&value.as_str()) => {}
                    _ => return malformed(&format!("{place}.{name}")),
                }
            }
        }
        Ok(())
    }
}

/// A map of texts in which no name comes twice. Serde's own maps keep the last of two silently, and another reader
/// might keep the first: then two parties would verify two different documents.
#[derive(Clone, Default)]
pub struct UniqueMap(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = UniqueMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<UniqueMap, M::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry()? {
                    if map.insert(name, value).is_some() {
                        return Err(M::Error::custom("a name is repeated"));
                    }
                }
                Ok(UniqueMap(map))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// What may be left out, but is not `null` where it is written.
fn written<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn partition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Partition, D::Error> {
    Partition::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}
