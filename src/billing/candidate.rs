//! What the account has already, and whether it can serve: reports of the one service, exports of the other. Pure.

use time::OffsetDateTime;

use crate::{
    aws::{DataExport, Report},
    billing::{
        facts::{BucketCheck, Facts},
        first_data::{STALLED_AFTER, delivery_time, first_data_due_by, first_data_grace_ends},
        query::{self, kind_of},
        request::{Export, Format, Kind, Versioning, is_plain},
    },
    names::{AccountId, Partition, Region},
};

/// Something that delivers billing data, in whichever service it is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// A Cost and Usage Report.
    Report(Report),
    Export(DataExport),
}

/// How many missing columns are named; the first says enough.
const COLUMNS_NAMED: usize = 3;

/// `Compression` of Cost and Usage Reports (API reference, "ReportDefinition"). Data Exports writes the same in capitals.
const COMPRESSIONS: [&str; 3] = ["Parquet", "GZIP", "ZIP"];

impl Candidate {
    /// Everything that there is in both services.
    pub fn all<'a>(
        reports: &'a [Report],
        exports: impl IntoIterator<Item = &'a DataExport> + 'a,
    ) -> impl Iterator<Item = Self> + 'a {
        reports.iter().cloned().map(Self::Report).chain(exports.into_iter().cloned().map(Self::Export))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Report(report) => &report.name,
            Self::Export(export) => &export.name,
        }
    }

    /// What tells it from every other: a report's name, an export's ARN.
    pub fn key(&self) -> &str {
        match self {
            Self::Report(report) => &report.name,
            Self::Export(export) => &export.arn,
        }
    }

    /// Its bucket's name, Region, and the key below which its data are.
    pub fn location(&self) -> (&str, &str, &str) {
        match self {
            Self::Report(report) => (&report.bucket, &report.region, &report.prefix),
            Self::Export(export) => (&export.bucket, &export.region, &export.prefix),
        }
    }

    /// What kind of data it holds; `None` for tables that are no costs, such as recommendations.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Report(_) => Some(Kind::CostAndUsageReport),
            Self::Export(export) => query::table_of(export).and_then(|table| kind_of(&table)),
        }
    }

    /// The format of its files, as far as it is one of the two that Hawser offers: CSV files are gzipped.
    pub fn format(&self) -> Option<Format> {
        let (format, compression) = match self {
            Self::Report(report) => (report.format.as_str(), report.compression.as_str()),
            Self::Export(export) => (export.format.as_str(), export.compression.as_str()),
        };
        match (format, compression) {
            ("Parquet", "Parquet") | ("PARQUET", "PARQUET") => Some(Format::Parquet),
            ("textORcsv" | "TEXT_OR_CSV", "GZIP") => Some(Format::Csv),
            _ => None,
        }
    }

    /// How its files are compressed, in the words of Cost and Usage Reports; `None` for a word that this version does not know.
    pub fn compression(&self) -> Option<&'static str> {
        let (Self::Report(Report { compression, .. }) | Self::Export(DataExport { compression, .. })) = self;
        COMPRESSIONS.into_iter().find(|word| word.eq_ignore_ascii_case(compression))
    }

    /// Whether AWS delivers a month again that it corrects after it was closed; `None` for Data Exports, which has no such setting and
    /// of which AWS does not say.
    pub fn refreshes_closed_months(&self) -> Option<bool> {
        match self {
            Self::Report(report) => Some(report.refresh_closed),
            Self::Export(_) => None,
        }
    }

    /// What it promises less than a report or an export of Hawser's, and serves all the same.
    pub fn limitation(&self) -> Option<String> {
        match self {
            Self::Report(report) if !report.refresh_closed => Some(
                "closed months are not delivered again when AWS corrects them, because RefreshClosedReports is false".to_owned(),
            ),
            Self::Report(_) | Self::Export(_) => None,
        }
    }

    /// What becomes of the files of an earlier delivery; `None` for a word that this version does not know.
    pub fn versioning(&self) -> Option<Versioning> {
        let (Self::Report(Report { versioning: word, .. }) | Self::Export(DataExport { overwrite: word, .. })) = self;
        Versioning::ALL.into_iter().find(|versioning| versioning.in_aws() == word)
    }

    /// Whether it says which IAM principal caused each cost.
    pub fn includes_iam_principals(&self) -> bool {
        match self {
            Self::Report(_) => false,
            Self::Export(export) => query::includes_iam_principals(export),
        }
    }

    /// What it has that was not asked for. It serves all the same, and the decision says so.
    pub fn extras(&self, export: &Export) -> Vec<String> {
        let keeps = self.versioning() == Some(Versioning::CreateNewReport) && export.versioning != Versioning::CreateNewReport;
        let keeps = keeps.then(|| "each delivery comes beside the earlier ones (CREATE_NEW_REPORT)".to_owned());
        let names = self.includes_iam_principals() && !export.iam_principals;
        let names = names.then(|| "it also says which IAM principal caused each cost".to_owned());
        keeps.into_iter().chain(names).collect()
    }

    /// Whether its files are zipped CSV, whose format the notice has no word for.
    pub fn is_zip(&self) -> bool {
        match self {
            Self::Report(report) => (report.format.as_str(), report.compression.as_str()) == ("textORcsv", "ZIP"),
            Self::Export(export) => (export.format.as_str(), export.compression.as_str()) == ("TEXT_OR_CSV", "ZIP"),
        }
    }

    /// Its ARN.
    pub fn arn(&self, partition: Partition, region: &Region, account: &AccountId) -> String {
        match self {
            Self::Report(report) => report.arn(partition, region, account),
            Self::Export(export) => export.arn.clone(),
        }
    }

    /// When it was made, RFC 3339, where AWS tells.
    pub fn created_at(&self) -> Option<&str> {
        match self {
            Self::Report(_) => None,
            Self::Export(export) => export.status.created_at.as_deref(),
        }
    }

    /// When data were last delivered, as AWS writes it.
    pub fn last_delivery(&self) -> Option<&str> {
        let at = match self {
            Self::Report(report) => report.last_delivery.as_deref(),
            Self::Export(export) => export.status.last_refreshed_at.as_deref(),
        };
        at.filter(|at| !at.is_empty())
    }

    /// The same as a time, where it can be read.
    pub fn delivered_at(&self) -> Option<OffsetDateTime> {
        self.last_delivery().and_then(delivery_time)
    }

    /// Whether data were ever delivered.
    pub fn has_delivered(&self) -> bool {
        self.last_delivery().is_some()
    }

    /// Why no data are to be expected of it (F-54): it stopped delivering, or never began though its first data were due. AWS does
    /// not say when a report was created, so one that never delivered may have been broken for years.
    pub fn idle_reason(&self, now: OffsetDateTime) -> Option<String> {
        if let Some(last) = self.last_delivery() {
            // A time in a form that nobody knows says that it delivers, and no more.
            let last = delivery_time(last).filter(|at| now - *at > STALLED_AFTER)?;
            return Some(format!("its last delivery was on {}", last.date()));
        }
        let Some(created) = self.created_at().filter(|at| delivery_time(at).is_some()) else {
            return Some("it has never delivered".to_owned());
        };
        let late = first_data_grace_ends(&first_data_due_by(created)).is_some_and(|late| now > late);
        late.then(|| format!("it was created on {} and has never delivered", created.get(..10).unwrap_or(created)))
    }

    /// AWS's own word for what is wrong with its delivery.
    pub fn delivery_error(&self) -> Option<String> {
        match self {
            Self::Report(report) => report.last_status.clone().filter(|status| status != "SUCCESS"),
            Self::Export(export) if export.status.code == "UNHEALTHY" => {
                Some(export.status.reason.clone().unwrap_or_else(|| export.status.code.clone()))
            }
            Self::Export(_) => None,
        }
    }

    /// The same in a sentence.
    pub fn failing_reason(&self) -> Option<String> {
        self.delivery_error().map(|delivery_error| format!("its last delivery was {delivery_error}"))
    }

    /// What makes it less than what was asked for, from its definition alone; the worst first. What the customer names
    /// may fall short of it.
    pub fn mismatches(&self, export: &Export) -> Vec<String> {
        let granularity = |unit: &str| format!("it is {}", unit.to_lowercase());
        let no_resource_ids = || "it has no resource ids".to_owned();
        // The whole bill of the account may be named as a view.
        let one_view =
            |view: &str| (!view.ends_with("billingview/primary")).then(|| "it covers one billing view only".to_owned());
        let mut all = Vec::new();
        if self.kind() != Some(export.kind) {
            let kind = match (self.kind(), self) {
                (Some(kind), _) => format!("a {}", kind.title()),
                (None, Self::Export(other)) => {
                    format!("an export of {}", query::table_of(other).as_deref().unwrap_or("no known table"))
                }
                (None, Self::Report(_)) => String::new(),
            };
            return vec![format!("it is {kind}")];
        }
        match self {
            Self::Report(report) => {
                if report.time_unit != "HOURLY" {
                    all.push(granularity(&report.time_unit));
                }
                if !report.elements.iter().any(|element| element == "RESOURCES") {
                    all.push(no_resource_ids());
                }
                all.extend(self.other_format(export.format));
                all.extend(report.billing_view.as_deref().and_then(one_view));
            }
            Self::Export(known) => {
                let properties = known.tables.values().next();
                let property = |name: &str| properties.and_then(|properties| properties.get(name)).map(String::as_str);
                // FOCUS 1.0 has no such property and is hourly.
                if let Some(unit) = property("TIME_GRANULARITY").filter(|unit| *unit != "HOURLY") {
                    all.push(granularity(unit));
                }
                if export.kind == Kind::CostAndUsageReport2 {
                    // Left out, the dictionary's defaults hold: hourly, and no resources.
                    all.extend((property("INCLUDE_RESOURCES") != Some("TRUE")).then(no_resource_ids));
                }
                all.extend(self.other_format(export.format));
                all.extend(property("BILLING_VIEW_ARN").filter(|view| !view.is_empty()).and_then(one_view));
                let lacks_principals = export.iam_principals && !query::includes_iam_principals(known);
                all.extend(lacks_principals.then(|| "it does not say which IAM principal caused each cost".to_owned()));
                all.extend(query_mismatch(export.kind, &known.query));
            }
        }
        let overwrites = export.versioning == Versioning::CreateNewReport && self.versioning() != Some(export.versioning);
        all.extend(overwrites.then(|| "each delivery overwrites the earlier ones (OVERWRITE_REPORT)".to_owned()));
        all
    }

    fn other_format(&self, asked: Format) -> Option<String> {
        let (format, compression) = match self {
            Self::Report(report) => (&report.format, &report.compression),
            Self::Export(export) => (&export.format, &export.compression),
        };
        (self.format() != Some(asked)).then(|| format!("its format is {format}/{compression}"))
    }

    /// What makes it of no use, whoever asks for it.
    pub fn disqualification(&self, facts: &Facts) -> Option<String> {
        let (bucket, _, prefix) = self.location();
        let owner = match self {
            Self::Report(_) => None,
            Self::Export(export) => export.bucket_owner.as_deref().filter(|owner| *owner != facts.account.as_str()),
        };
        if let Some(owner) = owner {
            return Some(format!("it delivers to account {owner}"));
        }
        if facts.other_stacks.contains(self.key()) {
            return Some("a Hawser stack created it and may delete it".to_owned());
        }
        if !is_plain(prefix) || !is_plain(self.name()) {
            // It stands in a policy as it is.
            return Some("its prefix contains characters that a policy would interpret".to_owned());
        }
        match facts.candidate_buckets.get(bucket) {
            Some(BucketCheck::Usable) => None,
            Some(BucketCheck::Absent) => Some("its bucket does not exist".to_owned()),
            Some(BucketCheck::Elsewhere(why)) => Some(format!("its bucket could not be read: {why}")),
            Some(BucketCheck::Refused(why)) => Some(format!("its bucket could not be read: {why}")),
            None => Some("its bucket could not be read: it was not checked".to_owned()),
        }
    }

    /// The order of preference among those that suit, best first. Only what changes by somebody's hand counts, so that the
    /// choice is stable (HW-B3): without limitation, then more detail, then the older, which has more history, then the name.
    pub fn rank(&self) -> (bool, bool, String, String) {
        let limited = self.limitation().is_some();
        match self {
            Self::Report(report) => (limited, report.without_split_columns().is_none(), String::new(), report.name.clone()),
            Self::Export(export) => {
                (limited, !export.is_split(), export.status.created_at.clone().unwrap_or_default(), export.arn.clone())
            }
        }
    }
}

fn query_mismatch(kind: Kind, text: &str) -> Option<String> {
    let Some(asked) = query::read(text) else { return Some("its query is not a plain list of columns".to_owned()) };
    if asked.filtered {
        return Some("its query filters out costs".to_owned());
    }
    let missing = query::missing_columns(kind, &asked.columns?);
    let named: Vec<String> = missing.iter().take(COLUMNS_NAMED).map(|column| format!("`{column}`")).collect();
    let more = missing.len().saturating_sub(COLUMNS_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!missing.is_empty()).then(|| format!("its query lacks {}{more}", named.join(", ")))
}
