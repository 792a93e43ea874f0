//! AWS Support in memory.
//!
//! Source: AWS Support API Reference. Its services and categories are a few of the real ones.

use async_trait::async_trait;
use hawser::aws::{Fault, FaultKind, NewCase, Support, SupportCase, SupportService};
use time::OffsetDateTime;

use crate::{
    account::{Account, Inner},
    account_file::{CaseFile, SupportPlan},
    calls::{fault, refused},
    stack::ACCOUNT,
};

/// A case as the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedCase {
    /// What a person calls it by.
    pub display_id: String,
    /// When it was opened.
    pub opened_at: OffsetDateTime,
    pub case: NewCase,
    /// The run that opened it; none for what was there before.
    pub run: Option<u64>,
}

impl From<CaseFile> for OpenedCase {
    fn from(file: CaseFile) -> Self {
        let none = String::new;
        let case = NewCase { service: none(), category: none(), severity: none(), subject: file.subject, body: none() };
        Self { display_id: file.display_id, opened_at: file.opened_at, case, run: None }
    }
}

/// Code and name of a service, and of its categories.
type Service = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SERVICES: [Service; 4] = [
    ("amazon-simple-storage-service", "Simple Storage Service (S3)", &[("bucket-issues", "Bucket Issues"), ("other", "Other")]),
    (
        "billing",
        "Billing",
        &[
            ("dispute-a-charge", "Dispute a Charge"),
            ("other-billing-questions", "Other Billing Questions"),
            ("update-billing-details", "Update Billing Details"),
        ],
    ),
    ("customer-account", "Account", &[("other-account-issues", "Other Account Issues")]),
    ("general-info", "General Info and Getting Started", &[("using-aws", "Using AWS & Services")]),
];

const SEVERITIES: [&str; 5] = ["low", "normal", "high", "urgent", "critical"];

/// Longest `communicationBody`.
const BODY_CHARS_MAX: usize = 8000;

impl Account {
    /// A call of AWS Support, which not every plan has.
    async fn support_call<T>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Inner) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call(action, |inner| match inner.support {
            SupportPlan::None => Err(Fault {
                message: "Amazon Web Services Premium Support Subscription is required to use this service.".to_owned(),
                ..fault(action, FaultKind::NoSubscription, "SubscriptionRequiredException")
            }),
            SupportPlan::Paid => effect(inner),
        })
        .await
    }
}

#[async_trait]
impl Support for Account {
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault> {
        let owned = |(code, name): &(&str, &str)| ((*code).to_owned(), (*name).to_owned());
        let services = SERVICES.iter().map(|(code, name, categories)| SupportService {
            code: (*code).to_owned(),
            name: (*name).to_owned(),
            categories: categories.iter().map(owned).collect(),
        });
        self.support_call("support:DescribeServices", |_| Ok(services.collect())).await
    }

    async fn support_severities(&self) -> Result<Vec<String>, Fault> {
        self.support_call("support:DescribeSeverityLevels", |_| Ok(SEVERITIES.map(str::to_owned).into())).await
    }

    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault> {
        let listed =
            |known: &OpenedCase| SupportCase { display_id: known.display_id.clone(), subject: known.case.subject.clone() };
        self.support_call("support:DescribeCases", |inner| {
            inner.cases_shown.insert(self.run_number(), inner.state.cases.len());
            Ok(inner.state.cases.iter().filter(|known| known.opened_at >= after).map(listed).collect())
        })
        .await
    }

    async fn open_case(&self, case: &NewCase) -> Result<String, Fault> {
        let action = "support:CreateCase";
        self.support_call(action, |inner| {
            let service = SERVICES.iter().find(|(code, ..)| *code == case.service);
            let known = service.is_some_and(|(_, _, categories)| categories.iter().any(|(code, _)| *code == case.category));
            if !known || !SEVERITIES.contains(&case.severity.as_str()) {
                return Err(refused(action, "the case's codes are not valid"));
            }
            if case.subject.is_empty() || case.body.is_empty() || case.body.chars().count() > BODY_CHARS_MAX {
                return Err(refused(action, "the case's text is too short or too long"));
            }
            // Two runs that look at the same moment cannot know of each other; one that could know is to blame.
            let (run, known) = (self.run_number(), &inner.state.cases);
            let shown = inner.cases_shown.get(&run).copied().unwrap_or_default();
            let same = |(number, other): (usize, &OpenedCase)| {
                other.case.body == case.body && (number < shown || other.run == Some(run))
            };
            if known.iter().enumerate().any(same) {
                inner.violations.push(format!("a second case is opened: {}", case.subject));
            }
            let number = inner.state.cases.len() + 1;
            let opened_at = inner.now();
            let display_id = format!("17000000{number:02}");
            inner.state.cases.push(OpenedCase { display_id, opened_at, case: case.clone(), run: Some(run) });
            Ok(format!("case-{ACCOUNT}-muen-2026-{number:016x}"))
        })
        .await
    }
}
