//! AWS Support.
//!
//! Source: AWS Support API Reference. Its services and categories are a few of the real ones.

use hawser::aws::{FaultKind, NewCase, SupportService};

use crate::{
    file::SupportPlan,
    refusal::Refusal,
    services::{OpenedCase, Services},
};

/// Code and name.
type Named = (&'static str, &'static str);

const SERVICES: [(Named, &[Named]); 4] = [
    (
        ("amazon-simple-storage-service", "Simple Storage Service (S3)"),
        &[("bucket-issues", "Bucket Issues"), ("general-guidance", "General guidance"), ("other", "Other")],
    ),
    (
        ("billing", "Billing"),
        &[
            ("dispute-a-charge", "Dispute a Charge"),
            ("other-billing-questions", "Other Billing Questions"),
            ("reserved-instances", "Reserved Instances"),
            ("update-billing-details", "Update Billing Details"),
        ],
    ),
    (("customer-account", "Account"), &[("other-account-issues", "Other Account Issues")]),
    (("general-info", "General Info and Getting Started"), &[("using-aws", "Using AWS & Services")]),
];

/// What a plan with the API offers, in AWS's order.
pub const SEVERITIES: [Named; 5] = [
    ("low", "General guidance"),
    ("normal", "System impaired"),
    ("high", "Production system impaired"),
    ("urgent", "Production system down"),
    ("critical", "Business-critical system down"),
];

/// Longest `communicationBody`.
const BODY_CHARS_MAX: usize = 8000;

impl Services {
    /// Not every plan has the API.
    pub fn may_use_support(&self) -> Result<(), Refusal> {
        match self.support {
            SupportPlan::Paid => Ok(()),
            SupportPlan::None => Err(Refusal::new(
                FaultKind::NoSubscription,
                "SubscriptionRequiredException",
                "Amazon Web Services Premium Support Subscription is required to use this service.",
            )),
        }
    }

    pub fn support_services(&self) -> Vec<SupportService> {
        let owned = |(code, name): &Named| ((*code).to_owned(), (*name).to_owned());
        let services = SERVICES.iter().map(|((code, name), categories)| SupportService {
            code: (*code).to_owned(),
            name: (*name).to_owned(),
            categories: categories.iter().map(owned).collect(),
        });
        services.collect()
    }

    /// Opens a case; its id.
    pub fn open_case(&mut self, case: &NewCase, run: Option<u64>) -> Result<String, Refusal> {
        let service = SERVICES.iter().find(|((code, _), _)| *code == case.service);
        let known = service.is_some_and(|(_, categories)| categories.iter().any(|(code, _)| *code == case.category));
        if !known || !SEVERITIES.iter().any(|(code, _)| *code == case.severity) {
            return Err(Refusal::invalid("the case's codes are not valid"));
        }
        if case.subject.trim().is_empty() || case.body.is_empty() || case.body.chars().count() > BODY_CHARS_MAX {
            return Err(Refusal::invalid("the case's text is too short or too long"));
        }
        let number = self.state.cases.len() + 1;
        let display_id = format!("17000000{number:02}");
        let id = format!("case-{}-muen-2026-{number:016x}", self.account);
        let opened = OpenedCase { id: id.clone(), display_id, opened_at: self.now, resolved: false, case: case.clone(), run };
        self.state.cases.push(opened);
        Ok(id)
    }
}
