//! Cost and Usage Reports.
//!
//! Source: AWS Cost and Usage Report API Reference, the operations of these names.

use hawser::aws::{FaultKind, Report, Tags};

use crate::{
    refusal::Refusal,
    services::{NO_SPLIT, Services},
};

/// Who puts the data of reports into buckets.
pub const REPORT_SERVICE: &str = "billingreports.amazonaws.com";

/// The element of a report that the account must have opted in to; written out, so that a slip in the handler shows.
const SPLIT_ELEMENT: &str = "SPLIT_COST_ALLOCATION_DATA";

impl Services {
    pub fn describe_reports(&self) -> Vec<Report> {
        let known = self.state.reports.values().map(|(report, _)| report).filter(|report| self.is_listed(&report.name));
        let gone = self.late.reports.iter().filter(|(_, went)| !self.is_forgotten(*went)).map(|(report, _)| report);
        let gone = gone.filter(|report| !self.state.reports.contains_key(&report.name));
        known.chain(gone).cloned().collect()
    }

    pub fn report_tags(&self, name: &str) -> Result<Tags, Refusal> {
        let known = self.state.reports.get(name).map(|(_, tags)| self.shown_tags(name, tags));
        known.ok_or_else(|| Refusal::new(FaultKind::Missing, "ResourceNotFoundException", ""))
    }

    /// What `PutReportDefinition` looks at before the bucket.
    pub fn check_report(&self, report: &Report) -> Result<(), Refusal> {
        if self.state.reports.contains_key(&report.name) {
            return Err(Refusal::new(FaultKind::Exists, "DuplicateReportNameException", ""));
        }
        combination(report)?;
        if !self.split_cost_allocation && report.elements.iter().any(|element| element == SPLIT_ELEMENT) {
            return Err(Refusal::invalid(NO_SPLIT));
        }
        let limit = self.report_limit;
        if self.state.reports.len() >= limit {
            let text = format!("The account already has {limit} reports, which is the limit.");
            return Err(Refusal::new(FaultKind::LimitReached, "ReportLimitReachedException", text));
        }
        Ok(())
    }

    /// Adds a report whose bucket was verified.
    pub fn put_report(&mut self, report: &Report, tags: &Tags) -> Result<(), Refusal> {
        self.check_report(report)?;
        self.state.reports.insert(report.name.clone(), (report.clone(), tags.clone()));
        self.note_made(&report.name, tags);
        Ok(())
    }

    /// One that is gone already is success.
    pub fn delete_report(&mut self, name: &str) -> Result<(), Refusal> {
        let went = self.state.reports.remove(name);
        self.late.reports.extend(went.map(|(report, _)| (report, self.now)));
        Ok(())
    }
}

/// The combinations that the billing console and API refuse.
fn combination(report: &Report) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid(why));
    let has = |artifact: &str| report.artifacts.iter().any(|other| other == artifact);
    let (parquet, overwrites) = (report.format == "Parquet", report.versioning == "OVERWRITE_REPORT");
    if parquet != (report.compression == "Parquet") {
        return refuse("Parquet format and Parquet compression go together");
    }
    if has("ATHENA") && (report.artifacts.len() > 1 || !parquet || !overwrites) {
        return refuse("ATHENA is for Parquet with OVERWRITE_REPORT and without other artifacts");
    }
    if !report.artifacts.is_empty() && !has("ATHENA") && (overwrites || parquet) {
        return refuse("REDSHIFT and QUICKSIGHT are for textORcsv with CREATE_NEW_REPORT");
    }
    // The rule of the service since 2025: at least two characters, and no `/`, `|` or `.` at the end (F-17).
    let prefix = &report.prefix;
    if prefix.chars().count() < 2 || prefix.ends_with(['/', '|', '.']) {
        return Err(Refusal::invalid(format!("S3Prefix `{prefix}` must satisfy regular expression pattern: ^.+[^/|.]$")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::ReportFile;

    fn report() -> Report {
        Report { artifacts: vec!["ATHENA".to_owned()], ..ReportFile::hourly("cost", "b").into_report().0 }
    }

    #[test]
    fn what_hawser_creates_is_a_legal_combination() {
        assert_eq!(combination(&report()), Ok(()));
        let csv = Report { format: "textORcsv".to_owned(), compression: "GZIP".to_owned(), artifacts: Vec::new(), ..report() };
        assert_eq!(combination(&csv), Ok(()));
    }

    #[test]
    fn illegal_combinations_are_refused() {
        let prefix = |prefix: &str| Report { prefix: prefix.to_owned(), ..report() };
        for refused in [
            Report { compression: "GZIP".to_owned(), ..report() },
            Report { versioning: "CREATE_NEW_REPORT".to_owned(), ..report() },
            Report { artifacts: vec!["ATHENA".to_owned(), "REDSHIFT".to_owned()], ..report() },
            prefix("hawser/"),
            prefix(""),
        ] {
            assert!(combination(&refused).is_err(), "{refused:?}");
        }
    }
}
