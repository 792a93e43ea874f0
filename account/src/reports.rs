//! Cost and Usage Reports.
//!
//! Source: AWS Cost and Usage Report API Reference, the operations of these names.

use hawser::aws::{FaultKind, Report, Tags};

use crate::services::{Refusal, Services};

/// Who puts the data of reports into buckets.
pub const REPORT_SERVICE: &str = "billingreports.amazonaws.com";

/// The element of a report that the account must have opted in to; written out, so that a slip in the handler shows.
const SPLIT_ELEMENT: &str = "SPLIT_COST_ALLOCATION_DATA";

impl Services {
    pub fn describe_reports(&self) -> Vec<Report> {
        self.state.reports.values().map(|(report, _)| report.clone()).collect()
    }

    pub fn report_tags(&self, name: &str) -> Result<Tags, Refusal> {
        let known = self.state.reports.get(name).map(|(_, tags)| tags.clone());
        known.ok_or_else(|| Refusal::new(FaultKind::Missing, "ResourceNotFoundException", ""))
    }

    /// What `PutReportDefinition` looks at before the bucket.
    pub fn check_report(&self, report: &Report) -> Result<(), Refusal> {
        if self.state.reports.contains_key(&report.name) {
            return Err(Refusal::new(FaultKind::Exists, "DuplicateReportNameException", ""));
        }
        if !self.split_cost_allocation && report.elements.iter().any(|element| element == SPLIT_ELEMENT) {
            return Err(Refusal::invalid(format!("{SPLIT_ELEMENT} is not valid: the account has not opted in to it")));
        }
        if self.state.reports.len() >= self.report_limit {
            return Err(Refusal::new(FaultKind::LimitReached, "ReportLimitReachedException", ""));
        }
        Ok(())
    }

    /// Adds a report whose bucket was verified.
    pub fn put_report(&mut self, report: &Report, tags: &Tags) -> Result<(), Refusal> {
        self.check_report(report)?;
        self.state.reports.insert(report.name.clone(), (report.clone(), tags.clone()));
        Ok(())
    }

    /// One that is gone already is success.
    pub fn delete_report(&mut self, name: &str) -> Result<(), Refusal> {
        self.state.reports.remove(name);
        Ok(())
    }
}
