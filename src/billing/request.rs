//! What a request asks of `Custom::BillingExport`.

use serde_json::{Map, Value};

use crate::{
    aws::BucketNamespace,
    error::Failure,
    names::{BucketName, NamePrefix},
    protocol::properties::{Properties, invalid},
};

/// The resource type in the template.
pub const RESOURCE_TYPE: &str = "Custom::BillingExport";

/// A bucket in the account-regional namespace is `<prefix>-<16 hex>-<12 digits>-<Region>-an`; the billing Region with the longest code
/// has 14 characters. The same in every partition, so that a template that works in one works in all.
const NAME_PREFIX_REGIONAL_BYTES_MAX: usize = 15;

/// Whether a bucket with this prefix can have its name in the namespace.
pub(super) fn fits(namespace: BucketNamespace, prefix: &NamePrefix) -> bool {
    namespace == BucketNamespace::Global || prefix.as_str().len() <= NAME_PREFIX_REGIONAL_BYTES_MAX
}

/// What is asked of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
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

/// What AWS does with what it delivered before, when it delivers a month again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Versioning {
    /// The new files take the place of the old ones.
    OverwriteReport,
    /// The new files come beside the old ones, and the newest manifest names them.
    CreateNewReport,
}

/// Whether an export the customer already has may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reuse {
    /// If one is suitable.
    WhenSuitable,
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

impl Versioning {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::OverwriteReport, Self::CreateNewReport];

    /// The property's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OverwriteReport => "OverwriteReport",
            Self::CreateNewReport => "CreateNewReport",
        }
    }

    /// The word of both services (`ReportVersioning`, Cost and Usage Reports API Reference; `Overwrite`, Data Exports API Reference).
    pub fn in_aws(self) -> &'static str {
        match self {
            Self::OverwriteReport => "OVERWRITE_REPORT",
            Self::CreateNewReport => "CREATE_NEW_REPORT",
        }
    }
}

/// The export that is asked for: the properties of a Create or an Update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub kind: Kind,
    /// In which file format.
    pub format: Format,
    /// What becomes of the files of an earlier delivery.
    pub versioning: Versioning,
    /// Whether CUR 2.0 is to say which IAM principal caused each cost.
    pub iam_principals: bool,
    /// Whether the customer's own may serve.
    pub reuse: Reuse,
    pub scope: Scope,
    /// What the customer brings.
    pub existing: Option<Existing>,
    /// What becomes of the data on removal.
    pub retention: Retention,
    /// Where the name of a bucket that is made is unique.
    pub namespace: BucketNamespace,
    /// The beginning of every name.
    pub prefix: NamePrefix,
    /// Whether history is wanted.
    pub backfill: bool,
}

/// What a request asks of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillingRequest {
    /// Create or Update: have this export; `before` is what an Update comes from, where that can be read.
    Ensure {
        /// The export to have.
        export: Export,
        /// The earlier properties.
        before: Option<Export>,
    },
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

/// The words of `Versioning`, the default first.
const VERSIONINGS: [(&str, Versioning); 2] =
    [("OverwriteReport", Versioning::OverwriteReport), ("CreateNewReport", Versioning::CreateNewReport)];

/// The words of `BucketNamespace`, the default first.
const NAMESPACES: [(&str, BucketNamespace); 2] =
    [("Global", BucketNamespace::Global), ("AccountRegional", BucketNamespace::AccountRegional)];

/// What a Delete asks. Properties that cannot be read are no failure, and mean `Retain`: nothing is lost by a slip.
pub fn removal(properties: Option<&Map<String, Value>>) -> BillingRequest {
    let mut properties = Properties::new(properties);
    BillingRequest::Remove {
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
            versioning: properties.choice("Versioning", &VERSIONINGS)?,
            iam_principals: properties.flag("IncludeIamPrincipalData")?,
            reuse: properties.choice("Reuse", &[("WhenSuitable", Reuse::WhenSuitable), ("Never", Reuse::Never)])?,
            scope: properties.choice("Scope", &[("Payer", Scope::Payer), ("Account", Scope::Account)])?,
            existing: Existing::parse(&mut properties)?,
            retention: properties.choice("Retention", &RETENTIONS)?,
            namespace: properties.choice("BucketNamespace", &NAMESPACES)?,
            prefix: properties.required_parsed("NamePrefix")?,
            backfill: properties.flag("RequestBackfill")?,
        };
        // CloudFormation sends an Update only where a property changed: this one is there to change, and means nothing else.
        properties.text("Repair")?;
        properties.finish()?;
        if !fits(export.namespace, &export.prefix) {
            let most = NAME_PREFIX_REGIONAL_BYTES_MAX;
            return Err(invalid(
                "NamePrefix",
                &format!("must have at most {most} characters where `BucketNamespace` is `AccountRegional`"),
            ));
        }
        if export.iam_principals && export.kind != Kind::CostAndUsageReport2 {
            return Err(invalid("IncludeIamPrincipalData", "is for `Kind` `CostAndUsageReport2` only"));
        }
        if let (Kind::None, Some(existing)) = (export.kind, &export.existing) {
            return Err(invalid(existing.property(), "is set, but `Kind` is `None`"));
        }
        Ok(export)
    }
}

/// Longest `ExistingExport`: an ARN with the longest name.
const EXISTING_BYTES_MAX: usize = 400;

/// Longest key of an S3 object (Amazon S3 User Guide, "Naming Amazon S3 objects").
const KEY_BYTES_MAX: usize = 1024;

/// Longest name of a bucket that may still exist: us-east-1 once allowed 255 (Amazon S3 User Guide, "General purpose bucket
/// naming rules").
const BUCKET_BYTES_MAX: usize = 255;

/// Whether text can stand in a key, in a policy and in JSON as it is: what AWS allows in a report's name and prefix
/// (`ReportDefinition`, Cost and Usage Reports API Reference), and `:` for ARNs.
pub fn is_plain(text: &str) -> bool {
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
            return Err(invalid("ExistingBucket", "must be a bucket name: letters, digits and . _ -"));
        }
        if prefix.as_deref().is_some_and(|prefix| prefix.contains("://") || prefix.starts_with("arn:")) {
            return Err(invalid(
                "ExistingPrefix",
                "must be a prefix of keys in the bucket, such as `billing/finance`, and no address",
            ));
        }
        // It would be the whole bucket, which leaving it out asks for.
        if prefix.as_deref().is_some_and(|prefix| prefix.bytes().all(|b| b == b'/')) {
            return Err(invalid("ExistingPrefix", "must name more than `/`"));
        }
        match (named, bucket, prefix) {
            (None, None, None) => Ok(None),
            (Some(named), None, None) => Ok(Some(Self::Named(named))),
            (None, Some(bucket), prefix) => {
                let prefix = prefix.unwrap_or_default().trim_end_matches('/').to_owned();
                Ok(Some(Self::Bucket { bucket, prefix }))
            }
            (None, None, Some(_)) => Err(invalid("ExistingPrefix", "needs `ExistingBucket`")),
            (Some(_), ..) => Err(invalid("ExistingExport", "cannot be combined with `ExistingBucket` or `ExistingPrefix`")),
        }
    }

    fn property(&self) -> &'static str {
        match self {
            Self::Named(_) => "ExistingExport",
            Self::Bucket { .. } => "ExistingBucket",
        }
    }
}
