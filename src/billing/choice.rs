//! Which export: ours first, then a suitable one of the customer's, then a new one. Pure, and the same facts always
//! give the same choice (HW-B3).

use std::fmt;

use super::{
    Export, Format, Kind, Report, Reuse,
    observe::{BucketSeen, Facts, Reports},
};
use crate::{
    error::{Code, Failure},
    names::shorten,
    organization::AccountRole,
};

/// More reports than this no account can have: AWS's documentation says 10, the API's error text says 5. Between the
/// two AWS itself decides, by `ReportLimitReachedException`.
pub const REPORTS_MAX: usize = 10;

/// How much of the reports' names an error repeats.
const NAMES_SHOWN_BYTES: usize = 500;

/// The chosen export and the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub export: Chosen,
    /// What was chosen, and why each other candidate was not (F-19).
    pub sentence: String,
}

/// Which export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// This stack's own, made by an earlier request.
    Ours(Report),
    /// One of the customer's.
    Reuse(Report),
    /// A new one.
    Create,
    /// None, for the reason in the sentence.
    Nothing,
}

/// Why one of the customer's reports cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsuitable {
    /// Coarser than hourly.
    Granularity(String),
    /// Without resource ids.
    NoResourceIds,
    /// Not the asked format, or a compression that does not go with it.
    Format(String),
    /// For one Billing Conductor group only.
    BillingView,
    /// AWS could not deliver it the last time.
    Delivery(String),
    /// Its bucket is gone, another account's, or not visible to the handler.
    Bucket(BucketSeen),
    /// Marked by another Hawser stack, which may delete it.
    OtherStack,
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granularity(unit) => write!(f, "it is {}", unit.to_lowercase()),
            Self::NoResourceIds => f.write_str("it has no resource ids"),
            Self::Format(format) => write!(f, "its format is {format}"),
            Self::BillingView => f.write_str("it covers one billing view only"),
            Self::Delivery(status) => write!(f, "its last delivery was {status}"),
            Self::Bucket(BucketSeen::Absent) => f.write_str("its bucket does not exist"),
            Self::Bucket(BucketSeen::Hidden(why)) => write!(f, "its bucket could not be seen: {why}"),
            Self::Bucket(BucketSeen::Here) => f.write_str("its bucket is in another Region than it says"),
            Self::OtherStack => f.write_str("another stack made it and may remove it"),
        }
    }
}

/// What can be said of a report without looking at its bucket. The observer asks for the buckets of those that pass.
pub fn suitable_by_definition(report: &Report, format: Format) -> Result<(), Unsuitable> {
    if report.time_unit != "HOURLY" {
        return Err(Unsuitable::Granularity(report.time_unit.clone()));
    }
    if !report.elements.iter().any(|element| element == "RESOURCES") {
        return Err(Unsuitable::NoResourceIds);
    }
    let readable: &[(&str, &str)] = match format {
        Format::Parquet => &[("Parquet", "Parquet")],
        Format::Csv => &[("textORcsv", "GZIP"), ("textORcsv", "ZIP")],
    };
    if !readable.contains(&(report.format.as_str(), report.compression.as_str())) {
        return Err(Unsuitable::Format(format!("{}/{}", report.format, report.compression)));
    }
    if report.billing_view.is_some() {
        return Err(Unsuitable::BillingView);
    }
    match report.last_status.as_deref() {
        None | Some("SUCCESS") => Ok(()),
        Some(status) => Err(Unsuitable::Delivery(status.to_owned())),
    }
}

fn suitable(report: &Report, export: &Export, facts: &Facts) -> Result<(), Unsuitable> {
    suitable_by_definition(report, export.format)?;
    if facts.other_stacks.contains(&report.name) {
        return Err(Unsuitable::OtherStack);
    }
    match facts.candidate_buckets.get(&report.bucket) {
        Some(BucketSeen::Here) => Ok(()),
        Some(seen) => Err(Unsuitable::Bucket(seen.clone())),
        None => Err(Unsuitable::Bucket(BucketSeen::Hidden("it was not looked at".to_owned()))),
    }
}

/// Chooses.
///
/// # Errors
/// [`Code::BillingReportNotOurs`] if the derived name belongs to a report without this stack's mark,
/// [`Code::BillingReportLimit`] if there is no room for a new one, or the fault that hid the account's reports.
pub fn choose(export: &Export, facts: &Facts) -> Result<Choice, Failure> {
    if export.kind == Kind::None {
        return Ok(nothing("no billing export, because Kind is None"));
    }
    let Some(region) = &facts.region else {
        return Ok(nothing(
            "no billing export, because this partition has no Cost and Usage Report service; its charges are in the \
             report of the paired commercial account: launch the stack there",
        ));
    };
    let reports = match &facts.reports {
        Reports::Seen(reports) => reports.as_slice(),
        // A member may be forbidden to look (organizations can deny it), which changes nothing for it (F-24).
        Reports::Denied(fault) => match facts.role {
            AccountRole::Member(_) | AccountRole::Unknown(_) => &[],
            AccountRole::Management(_) | AccountRole::Standalone => return Err(fault.clone().into()),
        },
    };
    // Ours first, whatever the organization looks like by now: what this stack made is never abandoned by an Update.
    if let Some(ours) = reports.iter().find(|report| report.name == facts.id.report().as_str()) {
        if facts.ours.is_none() {
            return Err(Failure::new(
                Code::BillingReportNotOurs,
                format!("report `{}` exists and does not carry this stack's mark", ours.name),
            ));
        }
        let broken = ours.last_status.as_deref().filter(|status| *status != "SUCCESS");
        let health = broken.map_or_else(String::new, |status| format!("; its last delivery was {status}"));
        return Ok(Choice {
            export: Chosen::Ours(ours.clone()),
            sentence: format!("this stack's own report `{}`{health}", ours.name),
        });
    }
    match &facts.role {
        AccountRole::Member(organization) => {
            let payer = organization.management_account.as_ref().map_or("unknown", |id| id.as_str());
            return Ok(nothing(&format!(
                "no billing export, because this account is a member of organization {} and account {payer} receives \
                 its bill: launch the stack there for the costs of all accounts",
                organization.id
            )));
        }
        AccountRole::Unknown(why) => {
            return Ok(nothing(&format!(
                "no billing export, because it is not known whose bill this account's costs are on: {why}"
            )));
        }
        AccountRole::Management(_) | AccountRole::Standalone => {}
    }
    let mut rejected = Vec::new();
    if export.reuse == Reuse::WhenSuitable {
        let mut candidates: Vec<&Report> = reports.iter().collect();
        // By name: AWS promises no order, and nothing about a report that changes by itself may change the choice.
        candidates.sort_by(|a, b| a.name.cmp(&b.name));
        let mut found = None;
        for report in candidates {
            match suitable(report, export, facts) {
                Ok(()) if found.is_none() => found = Some(report),
                Ok(()) => rejected.push(format!("`{}` would do as well", report.name)),
                Err(why) => rejected.push(format!("not `{}`: {why}", report.name)),
            }
        }
        if let Some(report) = found {
            return Ok(Choice {
                export: Chosen::Reuse(report.clone()),
                sentence: with_rejected(&format!("the existing report `{}`", report.name), &rejected),
            });
        }
    } else if !reports.is_empty() {
        rejected.push("existing reports were not looked at, because Reuse is Never".to_owned());
    }
    if reports.len() >= REPORTS_MAX {
        return Err(limit_reached(reports));
    }
    let sentence = format!("a new report `{}` in {region}", facts.id.report());
    Ok(Choice { export: Chosen::Create, sentence: with_rejected(&sentence, &rejected) })
}

/// The failure of an account without room for another report: it names those that are there.
pub fn limit_reached(reports: &[Report]) -> Failure {
    let names: Vec<String> = reports.iter().map(|report| format!("`{}`", report.name)).collect();
    let names = shorten(&names.join(", "), NAMES_SHOWN_BYTES);
    Failure::new(Code::BillingReportLimit, format!("this account already has {} reports ({names})", reports.len()))
}

fn nothing(sentence: &str) -> Choice {
    Choice { export: Chosen::Nothing, sentence: sentence.to_owned() }
}

fn with_rejected(sentence: &str, rejected: &[String]) -> String {
    if rejected.is_empty() { sentence.to_owned() } else { format!("{sentence}; {}", rejected.join("; ")) }
}
