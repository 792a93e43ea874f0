//! Asking AWS Support for past months: what to write, to whom, and whether it was asked for already. Pure.
//!
//! Source: AWS Support API Reference, `CreateCase` and `DescribeCases`; Cost and Usage Reports User Guide, "Backfilling".

use time::Duration;

use crate::{
    aws::{NewCase, SupportCase, SupportService},
    billing::request::Kind,
    names::{AccountId, Partition, shorten},
};

/// An export that is older than this has no case opened: AWS Support keeps cases for twelve months (`DescribeCases`), so whether
/// one was opened could no longer be told.
pub const WITHIN: Duration = Duration::days(360);

/// How much of a fault a sentence about it repeats.
const FAULT_BYTES_MAX: usize = 200;

/// A wish for past months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// What the export is.
    pub kind: Kind,
    pub name: String,
    /// The bucket it delivers to.
    pub bucket: String,
    pub prefix: String,
    pub account: AccountId,
    /// Where the console is.
    pub partition: Partition,
    /// Since when a case can have been opened: RFC 3339; empty if not known.
    pub since: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackfillOutcome {
    /// A case is open, or was.
    Requested,
    /// The account's support plan has no API.
    NoSupportPlan,
    /// It could not be asked for, and why.
    Failed(String),
}

impl Backfill {
    /// The subject, which tells a case from every other: it names the export and the account. The place is not in it: an event that
    /// comes late can make the same export elsewhere for a moment, and that is no reason for another case.
    pub fn subject(&self) -> String {
        format!("Backfill of {} {} in account {}", self.kind.title(), self.name, self.account)
    }

    /// What to write.
    pub fn body(&self) -> String {
        format!(
            "Please backfill {} `{}` of account {} with all past months that are available. It delivers to s3://{}/{}.",
            self.kind.title(),
            self.name,
            self.account,
            self.bucket,
            self.prefix
        )
    }

    /// Where a person opens a case by hand, on every plan ("Account and billing").
    pub fn link(&self) -> &'static str {
        match self.partition {
            Partition::Aws => "https://support.console.aws.amazon.com/support/home#/case/create?issueType=customer-service",
            Partition::AwsCn => "https://console.amazonaws.cn/support/home#/case/create?issueType=customer-service",
            Partition::AwsUsGov => "https://console.amazonaws-us-gov.com/support/home#/case/create",
            Partition::AwsEusc => "https://console.amazonaws-eusc.eu/support/home#/case/create",
        }
    }

    /// The case that was opened for it already.
    pub fn matching_case<'a>(&self, cases: &'a [SupportCase]) -> Option<&'a SupportCase> {
        let subject = self.subject();
        cases.iter().find(|case| case.subject == subject)
    }

    /// The case to open, in codes that AWS names at the time; `None` if it names no service for billing.
    pub fn new_case(&self, services: &[SupportService], severities: &[String]) -> Option<NewCase> {
        let says = |text: &str, word: &str| text.to_ascii_lowercase().contains(word);
        let service = services.iter().find(|service| service.code == "billing");
        let service = service.or_else(|| services.iter().find(|service| says(&service.name, "billing")))?;
        let of = |word: &str| service.categories.iter().find(|(code, name)| says(code, word) || says(name, word));
        let category =
            ["usage report", "usage-report", "data export", "data-export", "report", "other"].iter().find_map(|word| of(word));
        let (category, _) = category.or_else(|| service.categories.first())?;
        // History is never urgent.
        let severity = severities.iter().find(|code| *code == "low").or_else(|| severities.first());
        Some(NewCase {
            service: service.code.clone(),
            category: category.clone(),
            severity: severity.map_or("low", String::as_str).to_owned(),
            subject: self.subject(),
            body: self.body(),
        })
    }

    /// The attribute: what became of it, and what a person can do.
    pub fn status_text(&self, outcome: &BackfillOutcome) -> String {
        let by_hand =
            |why: &str| format!("{why}, so open a case (Account and billing) at {} and write: {}", self.link(), self.body());
        match outcome {
            // By its subject, which stays: its id has two forms.
            BackfillOutcome::Requested => format!("requested in the AWS Support case `{}`", self.subject()),
            BackfillOutcome::NoSupportPlan => by_hand("AWS Support accepts cases by API only from accounts with a paid plan"),
            BackfillOutcome::Failed(why) => by_hand(&format!("not requested ({})", shorten(why, FAULT_BYTES_MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backfill() -> Result<Backfill, crate::names::NameError> {
        Ok(Backfill {
            kind: Kind::CostAndUsageReport,
            name: "acme-0".to_owned(),
            bucket: "acme-data".to_owned(),
            prefix: "hawser/0".to_owned(),
            account: "111122223333".parse()?,
            partition: Partition::Aws,
            since: String::new(),
        })
    }

    fn service(code: &str, name: &str, categories: &[(&str, &str)]) -> SupportService {
        let categories = categories.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
        SupportService { code: code.to_owned(), name: name.to_owned(), categories }
    }

    #[test]
    fn codes_are_those_that_aws_names() -> Result<(), crate::names::NameError> {
        let general = service("general-info", "General Info and Getting Started", &[("using-aws", "Using AWS & Services")]);
        let severities = ["urgent", "low", "normal"].map(str::to_owned);
        let chosen = |services: &[SupportService], severities: &[String]| {
            Ok::<_, crate::names::NameError>(
                backfill()?.new_case(services, severities).map(|case| (case.service, case.category, case.severity)),
            )
        };
        let expect = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        let billing =
            service("billing", "Billing", &[("spend", "Spending"), ("other-billing-questions", "Other Billing Questions")]);
        assert_eq!(chosen(&[general.clone(), billing], &severities)?, expect("billing", "other-billing-questions", "low"));
        let renamed = service("acct-billing-2", "Account and Billing", &[("x", "Other"), ("y", "Cost and Usage Reports")]);
        assert_eq!(chosen(&[general.clone(), renamed], &severities[..1])?, expect("acct-billing-2", "y", "urgent"));
        let bare = service("billing", "Billing", &[("only", "Only")]);
        assert_eq!(chosen(&[bare], &[])?, expect("billing", "only", "low"));
        assert_eq!(chosen(&[general], &severities)?, None);
        assert_eq!(chosen(&[service("billing", "Billing", &[])], &severities)?, None);
        Ok(())
    }

    /// One case: it is found by its subject again.
    #[test]
    fn a_case_is_opened_once() -> Result<(), crate::names::NameError> {
        let backfill = backfill()?;
        let case = |subject: &str| SupportCase { display_id: "1".to_owned(), subject: subject.to_owned() };
        assert_eq!(backfill.matching_case(&[case("another"), case(&format!("{} once more", backfill.subject()))]), None);
        assert!(backfill.matching_case(&[case("another"), case(&backfill.subject())]).is_some());
        Ok(())
    }
}
