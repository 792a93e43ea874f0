//! `Custom::BillingExport`: one billing export that the vendor can read, chosen, reused or made.
//!
//! [`observe`] reads the account, [`choice`] decides which export, [`plan`] says what to do about it, [`policy`]
//! merges the bucket policy. All but the first are pure.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::{Code, Failure},
    event::Origin,
    names::{AccountId, BucketName, Key, NameError, NamePrefix, Partition, Region, ReportName, digest_hex},
    properties::Properties,
    reply::Attributes,
};

pub mod choice;
pub mod export;
pub mod observe;
pub mod plan;
pub mod policy;

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

/// What becomes of delivered data when the export is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// It stays, with its bucket (HW-O4, F-27).
    Retain,
    /// What was delivered for this export is deleted, and the bucket if nothing else is in it.
    Delete,
}

impl Kind {
    const ALL: [Self; 2] = [Self::None, Self::CostAndUsageReport];

    /// The property's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::CostAndUsageReport => "CostAndUsageReport",
        }
    }
}

impl Format {
    const ALL: [Self; 2] = [Self::Parquet, Self::Csv];

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
        /// What becomes of the data.
        retention: Retention,
        /// The beginning of the names, where it can be read.
        prefix: Option<NamePrefix>,
    },
}

const RETENTIONS: [(&str, Retention); 2] = [("Retain", Retention::Retain), ("Delete", Retention::Delete)];

/// What a Delete asks. Properties that cannot be read are no failure, and mean `Retain`: nothing is lost by a slip.
pub fn removal(properties: Option<&Map<String, Value>>) -> Asked {
    let mut properties = Properties::new(properties);
    Asked::Remove {
        retention: properties.choice("Retention", &RETENTIONS).unwrap_or(Retention::Retain),
        prefix: properties.parsed("NamePrefix").unwrap_or_default(),
    }
}

impl Export {
    /// Reads the properties.
    ///
    /// # Errors
    /// [`Code::KindUnsupported`] for the Data Exports kinds, else what [`Properties`] says.
    pub fn parse(properties: Option<&Map<String, Value>>) -> Result<Self, Failure> {
        let mut properties = Properties::new(properties);
        let kinds = [
            ("CostAndUsageReport", Some(Kind::CostAndUsageReport)),
            ("None", Some(Kind::None)),
            ("CostAndUsageReport2", None),
            ("Focus", None),
        ];
        let unsupported = || {
            let cause = "property `Kind` asks for a Data Exports kind, which this version does not offer";
            Failure::new(Code::KindUnsupported, cause)
        };
        let export = Self {
            kind: properties.choice("Kind", &kinds)?.ok_or_else(unsupported)?,
            format: properties.choice("Format", &[("Parquet", Format::Parquet), ("Csv", Format::Csv)])?,
            reuse: properties.choice("Reuse", &[("WhenSuitable", Reuse::WhenSuitable), ("Never", Reuse::Never)])?,
            retention: properties.choice("Retention", &RETENTIONS)?,
            prefix: properties.required_parsed("NamePrefix")?,
            backfill: properties.flag("RequestBackfill")?,
        };
        properties.finish()?;
        Ok(export)
    }

    /// The id of this export: derived from the request alone, so known before any call (HW-L1, F-2). What cannot be changed
    /// in place (HW-L3; AWS::CUR::ReportDefinition marks name, granularity, elements and versioning create-only) makes
    /// another id, so CloudFormation deletes the old one only after the update succeeded.
    pub fn id(&self, origin: &Origin) -> Id {
        Id { prefix: self.prefix.clone(), key: key(origin, self.kind, self.format), kind: self.kind }
    }
}

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
        all.map(move |(kind, format)| Self { prefix: prefix.clone(), key: key(origin, kind, format), kind })
    }

    /// The prefix every name begins with.
    pub fn prefix(&self) -> &NamePrefix {
        &self.prefix
    }

    /// Which kind of export the id stands for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The report's name.
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

/// A Cost and Usage Report definition, in the service's own words so that nothing is lost in translation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Unique in the account.
    pub name: String,
    /// `HOURLY`, `DAILY` or `MONTHLY`.
    pub time_unit: String,
    /// `Parquet` or `textORcsv`.
    pub format: String,
    /// `Parquet`, `GZIP` or `ZIP`.
    pub compression: String,
    /// `RESOURCES`, `SPLIT_COST_ALLOCATION_DATA`, and what AWS adds; compared as a set.
    pub elements: Vec<String>,
    /// Where data is delivered.
    pub bucket: String,
    /// Below which key.
    pub prefix: String,
    /// The bucket's Region.
    pub region: String,
    /// `ATHENA`, `REDSHIFT`, `QUICKSIGHT`.
    pub artifacts: Vec<String>,
    /// `OVERWRITE_REPORT` or `CREATE_NEW_REPORT`.
    pub versioning: String,
    /// Whether closed months are issued again when AWS corrects them.
    pub refresh_closed: bool,
    /// For a Billing Conductor view; such a report holds a group's costs at other rates.
    pub billing_view: Option<String>,
    /// `SUCCESS`, `ERROR_PERMISSIONS` or `ERROR_NO_BUCKET`; absent until the first attempt.
    pub last_status: Option<String>,
    /// When data was last delivered; absent until then.
    pub last_delivery: Option<String>,
}

impl Report {
    /// The definition Hawser makes: the most granular one there is, in the asked format.
    ///
    /// The S3 prefix differs by request, because re-creating an OVERWRITE_REPORT with the same name, bucket and prefix
    /// can corrupt its data (Cost and Usage Reports User Guide, "Editing your report"). It never ends in `/`, `|` or
    /// `.` (F-17).
    pub fn wanted(id: &Id, format: Format, bucket: &BucketName, region: &Region, request_id: &str) -> Self {
        let (file_format, compression, artifacts) = match format {
            Format::Parquet => ("Parquet", "Parquet", vec!["ATHENA".to_owned()]),
            Format::Csv => ("textORcsv", "GZIP", Vec::new()),
        };
        Self {
            name: id.report().as_str().to_owned(),
            time_unit: "HOURLY".to_owned(),
            format: file_format.to_owned(),
            compression: compression.to_owned(),
            elements: vec!["RESOURCES".to_owned(), "SPLIT_COST_ALLOCATION_DATA".to_owned()],
            bucket: bucket.as_str().to_owned(),
            prefix: format!("{DATA_ROOT}{}", digest_hex(&[request_id], 4)),
            region: region.as_str().to_owned(),
            artifacts,
            versioning: "OVERWRITE_REPORT".to_owned(),
            refresh_closed: true,
            billing_view: None,
            last_status: None,
            last_delivery: None,
        }
    }

    /// The report's ARN.
    pub fn arn(&self, partition: Partition, region: &Region, account: &AccountId) -> String {
        format!("arn:{partition}:cur:{region}:{account}:definition/{}", self.name)
    }
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

/// The names of all attributes of this resource type. Every answer to Create and Update holds each of them (F-30).
pub const ATTRIBUTES: [&str; 19] = [
    "Kind",
    "Name",
    "Arn",
    "BucketName",
    "BucketArn",
    "BucketRegion",
    "Prefix",
    "Format",
    "Origin",
    "Decision",
    "AccountRole",
    "ManagementAccountId",
    "OrganizationId",
    "FeatureSet",
    "FirstDataDueBy",
    "Backfill",
    "ReadableBucketArn",
    "ReadableObjectsArn",
    "ReadableKeys",
];

/// An attribute set with every name and no value.
pub(crate) fn no_attributes() -> Attributes {
    ATTRIBUTES.into_iter().map(|name| (name, String::new())).collect()
}
