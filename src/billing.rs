//! `Custom::BillingExport`: one billing export that the vendor can read, chosen, reused or made.
//!
//! [`observe`] reads the account, [`candidate`] says what could serve, [`choice`] decides which export, [`query`] words it for
//! Data Exports, [`plan`] says what to do about it, [`policy`] merges the bucket policy, [`backfill`] asks for past months.
//! All but the first are pure.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::Failure,
    event::Origin,
    names::{AccountId, BucketName, Key, NameError, NamePrefix, ReportName, digest_hex},
    properties::{Properties, invalid},
};

pub mod attributes;
pub mod backfill;
pub mod candidate;
pub mod choice;
pub mod export;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod query;
pub mod report;

pub use attributes::ATTRIBUTES;
pub use report::Report;

/// The resource type in the template.
pub const RESOURCE_TYPE: &str = "Custom::BillingExport";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The mark of ownership: the stack's ARN. Nothing without this stack's mark is ever modified or deleted (HW-O2, F-1).
pub const TAG_STACK: &str = "hawser:stack-id";
/// Which resource of the stack: two exports in one stack do not touch each other's things.
pub const TAG_LOGICAL_ID: &str = "hawser:logical-id";
/// When the report was made, RFC 3339: what [`FIRST_DATA_WITHIN`] counts from.
pub const TAG_CREATED_AT: &str = "hawser:created-at";

/// "It can take up to 24 hours for AWS to start delivering reports" (Cost and Usage Reports User Guide).
pub const FIRST_DATA_WITHIN: Duration = Duration::hours(24);

/// First part of every S3 prefix that Hawser lets AWS deliver to, so that removal finds all of it.
pub const DATA_ROOT: &str = "hawser/";

/// What is asked of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No billing export.
    None,
    /// The legacy Cost and Usage Report (service `cur`).
    CostAndUsageReport,
    /// CUR 2.0, of Data Exports (service `bcm-data-exports`).
    CostAndUsageReport2,
    /// FOCUS 1.x, of Data Exports.
    Focus,
}

/// File format of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Gzipped CSV.
    Csv,
}

/// Whether an export the customer already has may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reuse {
    /// If one is suitable.
    WhenSuitable,
    /// Never.
    Never,
}

/// Whose costs the export is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything on the bill that this account receives; nothing, if another account receives it (HW-B8).
    Payer,
    /// Whatever this account can have, be it its own costs only (F-24).
    Account,
}

/// What the customer brings in place of an export that Hawser finds or makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// A report or an export, by its name or its ARN.
    Named(String),
    /// A bucket into which something else delivers.
    Bucket {
        /// The bucket.
        bucket: BucketName,
        /// Below which key; everything in the bucket if empty.
        prefix: String,
    },
}

/// What becomes of delivered data when the export is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// It stays, with its bucket (HW-O4, F-27).
    Retain,
    /// What was delivered for this export is deleted, and the bucket if nothing else is in it.
    Delete,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::None, Self::CostAndUsageReport, Self::CostAndUsageReport2, Self::Focus];

    /// The property's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::CostAndUsageReport => "CostAndUsageReport",
            Self::CostAndUsageReport2 => "CostAndUsageReport2",
            Self::Focus => "Focus",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::CostAndUsageReport => "Cost and Usage Report",
            Self::CostAndUsageReport2 => "CUR 2.0 export",
            Self::Focus => "FOCUS export",
        }
    }

    /// Whether Data Exports delivers it.
    pub fn is_data_export(self) -> bool {
        matches!(self, Self::CostAndUsageReport2 | Self::Focus)
    }
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Parquet, Self::Csv];

    /// The property's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "Csv",
        }
    }
}

/// The export that is asked for: the properties of a Create or an Update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Which service's export.
    pub kind: Kind,
    /// In which file format.
    pub format: Format,
    /// Whether the customer's own may serve.
    pub reuse: Reuse,
    /// Whose costs.
    pub scope: Scope,
    /// What the customer brings.
    pub existing: Option<Existing>,
    /// What becomes of the data on removal.
    pub retention: Retention,
    /// The beginning of every name.
    pub prefix: NamePrefix,
    /// Whether history is wanted.
    pub backfill: bool,
}

/// What a request asks of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Create or Update: have this export; `before` is what an Update comes from, where that can be read.
    Have {
        /// The export to have.
        export: Export,
        /// The earlier properties.
        before: Option<Export>,
    },
    /// Delete.
    Remove {
        /// Which kind the properties ask for, where they can be read.
        kind: Option<Kind>,
        /// What becomes of the data.
        retention: Retention,
        /// The beginning of the names, where it can be read.
        prefix: Option<NamePrefix>,
    },
}

/// The words of `Kind`, the default first.
const KINDS: [(&str, Kind); 4] = [
    ("CostAndUsageReport", Kind::CostAndUsageReport),
    ("None", Kind::None),
    ("CostAndUsageReport2", Kind::CostAndUsageReport2),
    ("Focus", Kind::Focus),
];

const RETENTIONS: [(&str, Retention); 2] = [("Retain", Retention::Retain), ("Delete", Retention::Delete)];

/// What a Delete asks. Properties that cannot be read are no failure, and mean `Retain`: nothing is lost by a slip.
pub fn removal(properties: Option<&Map<String, Value>>) -> Asked {
    let mut properties = Properties::new(properties);
    Asked::Remove {
        kind: properties.choice("Kind", &KINDS).ok(),
        retention: properties.choice("Retention", &RETENTIONS).unwrap_or(Retention::Retain),
        prefix: properties.parsed("NamePrefix").unwrap_or_default(),
    }
}

impl Export {
    /// Reads the properties.
    ///
    /// # Errors
    /// What [`Properties`] says, and [`Code::PropertyInvalid`](crate::error::Code::PropertyInvalid) for properties that contradict each other.
    pub fn parse(properties: Option<&Map<String, Value>>) -> Result<Self, Failure> {
        let mut properties = Properties::new(properties);
        let export = Self {
            kind: properties.choice("Kind", &KINDS)?,
            format: properties.choice("Format", &[("Parquet", Format::Parquet), ("Csv", Format::Csv)])?,
            reuse: properties.choice("Reuse", &[("WhenSuitable", Reuse::WhenSuitable), ("Never", Reuse::Never)])?,
            scope: properties.choice("Scope", &[("Payer", Scope::Payer), ("Account", Scope::Account)])?,
            existing: Existing::parse(&mut properties)?,
            retention: properties.choice("Retention", &RETENTIONS)?,
            prefix: properties.required_parsed("NamePrefix")?,
            backfill: properties.flag("RequestBackfill")?,
        };
        // CloudFormation sends an Update only where a property changed: this one is there to change, and means nothing else.
        properties.text("Repair")?;
        properties.finish()?;
        if let (Kind::None, Some(existing)) = (export.kind, &export.existing) {
            return Err(invalid(existing.property(), "is given although `Kind` is `None`"));
        }
        Ok(export)
    }

    /// The id of this export: derived from the request alone, so known before any call (HW-L1, F-2). What cannot be changed
    /// in place (HW-L3; AWS::CUR::ReportDefinition marks name, granularity, elements and versioning create-only) makes another id,
    /// so CloudFormation deletes the old one only after the update succeeded, and the old export delivers until then. So does the
    /// format, also where AWS would change it in place: files of two formats below one key are no readable data, and an Update that
    /// comes late or again could turn it back.
    pub fn id(&self, origin: &Origin) -> Id {
        match &self.existing {
            Some(_) => Id::of_existing(origin, &self.prefix),
            None => Id { prefix: self.prefix.clone(), key: key(origin, self.kind, self.format), kind: self.kind },
        }
    }
}

/// Longest `ExistingExport`: an ARN with the longest name.
const EXISTING_BYTES_MAX: usize = 400;

/// Longest key of an S3 object (Amazon S3 User Guide, "Naming Amazon S3 objects").
const KEY_BYTES_MAX: usize = 1024;

/// Whether text can stand in a key, in a policy and in JSON as it is: what AWS allows in a report's name and prefix
/// (`ReportDefinition`, Cost and Usage Reports API Reference), and `:` for ARNs.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!-_.*'()/:".contains(&byte))
}

impl Existing {
    fn parse(properties: &mut Properties<'_>) -> Result<Option<Self>, Failure> {
        let text = |value: Option<String>| value.filter(|text| !text.is_empty());
        let named = text(properties.text("ExistingExport")?);
        let bucket: Option<BucketName> = text(properties.text("ExistingBucket")?).map(|name| BucketName::existing(&name));
        let prefix = text(properties.text("ExistingPrefix")?);
        for (name, value, most) in [
            ("ExistingExport", named.as_deref(), EXISTING_BYTES_MAX),
            ("ExistingBucket", bucket.as_ref().map(BucketName::as_str), BUCKET_BYTES_MAX),
            ("ExistingPrefix", prefix.as_deref(), KEY_BYTES_MAX),
        ] {
            if value.is_some_and(|value| value.len() > most || !is_plain(value)) {
                return Err(invalid(name, &format!("must be at most {most} letters, digits and ! - _ . * ' ( ) / :")));
            }
        }
        if bucket
            .as_ref()
            .is_some_and(|bucket| !bucket.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)))
        {
            return Err(invalid("ExistingBucket", "must be the name of a bucket: letters, digits and . _ -"));
        }
        match (named, bucket, prefix) {
            (None, None, None) => Ok(None),
            (Some(named), None, None) => Ok(Some(Self::Named(named))),
            (None, Some(bucket), prefix) => {
                let prefix = prefix.unwrap_or_default().trim_end_matches('/').to_owned();
                Ok(Some(Self::Bucket { bucket, prefix }))
            }
            (None, None, Some(_)) => Err(invalid("ExistingPrefix", "needs `ExistingBucket`")),
            (Some(_), ..) => Err(invalid("ExistingExport", "cannot be given together with `ExistingBucket` or `ExistingPrefix`")),
        }
    }

    fn property(&self) -> &'static str {
        match self {
            Self::Named(_) => "ExistingExport",
            Self::Bucket { .. } => "ExistingBucket",
        }
    }
}

/// Longest name of a bucket that may still exist: us-east-1 once allowed 255 (Amazon S3 User Guide, "General purpose bucket
/// naming rules").
const BUCKET_BYTES_MAX: usize = 255;

fn key(origin: &Origin, kind: Kind, format: Format) -> Key {
    Key::derive(&[origin.stack.as_str(), &origin.logical_id, kind.as_str(), format.as_str()])
}

/// The physical id of a billing export, and with it the names of all that Hawser makes for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    prefix: NamePrefix,
    key: Key,
    kind: Kind,
}

/// What every id of this resource type begins with; [`crate::lifecycle::ID_ROOT`] first.
const ID_ROOT: &str = "hawser/billing-export/";

impl Id {
    /// Recognises an id that this very resource of this stack can have answered with; `None` for any other, such as
    /// the one CloudFormation makes up when a Create was never answered (F-34).
    pub fn recognise(origin: &Origin, physical_id: &str) -> Option<Self> {
        let name = physical_id.strip_prefix(ID_ROOT)?;
        let (prefix, given) = name.rsplit_once('-')?;
        let prefix: NamePrefix = prefix.parse().ok()?;
        Self::all(origin, &prefix).find(|id| id.key.as_str() == given)
    }

    /// Every id that this resource of this stack can ever have answered with.
    pub fn all(origin: &Origin, prefix: &NamePrefix) -> impl Iterator<Item = Self> {
        let all = Kind::ALL.into_iter().flat_map(|kind| Format::ALL.map(|format| (kind, format)));
        let made = all.map(move |(kind, format)| Self { prefix: prefix.clone(), key: key(origin, kind, format), kind });
        made.chain(std::iter::once(Self::of_existing(origin, prefix)))
    }

    /// What the customer brings: nothing is made under this id, so whichever thing it is can change in place.
    fn of_existing(origin: &Origin, prefix: &NamePrefix) -> Self {
        let key = Key::derive(&[origin.stack.as_str(), &origin.logical_id, "Existing"]);
        Self { prefix: prefix.clone(), key, kind: Kind::None }
    }

    /// The prefix every name begins with.
    pub fn prefix(&self) -> &NamePrefix {
        &self.prefix
    }

    /// Which kind of export can be made under the id; [`Kind::None`] if none.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of the report or the export.
    pub fn report(&self) -> ReportName {
        ReportName::new(&self.prefix, &self.key)
    }

    /// The bucket's name: it holds the account, so that policies can be narrow, and the key, so that it is no one
    /// else's by chance.
    ///
    /// # Errors
    /// None in practice: the prefix was checked to make a legal name.
    pub fn bucket(&self, account: &AccountId) -> Result<BucketName, NameError> {
        BucketName::from_str(&format!("{}-{account}-{}", self.prefix, self.key))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_ROOT}{}-{}", self.prefix, self.key)
    }
}

/// The tags of what a request makes (HW-O1).
pub fn mark(origin: &Origin) -> Tags {
    Tags::from([(TAG_STACK.to_owned(), origin.stack.as_str().to_owned()), (TAG_LOGICAL_ID.to_owned(), origin.logical_id.clone())])
}

/// Whether tags carry this very resource's mark.
pub fn is_marked(tags: &Tags, origin: &Origin) -> bool {
    mark(origin).iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// Below which key the data of an export go that a request makes or moves.
pub(crate) fn prefix_of(request_id: &str) -> String {
    format!("{DATA_ROOT}{}", digest_hex(&[request_id], 4))
}

/// RFC 3339 in UTC, whole seconds.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// When the first data is due, from the time a report was made; empty if that is not known.
pub(crate) fn first_data_due_by(created_at: &str) -> String {
    let created = OffsetDateTime::parse(created_at, &Rfc3339).ok();
    created.and_then(|at| at.checked_add(FIRST_DATA_WITHIN)).map(rfc3339).unwrap_or_default()
}

/// When data that were due by a time are late: "up to 24 hours" is often a day more.
pub(crate) fn first_data_grace_ends(due_by: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(due_by, &Rfc3339).ok()?.checked_add(FIRST_DATA_WITHIN)
}
