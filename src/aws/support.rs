//! AWS Support.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Fault;

/// The calls of AWS Support. Each can be [`FaultKind::NoSubscription`](super::FaultKind::NoSubscription).
#[async_trait]
pub trait Support: Send + Sync {
    /// `support:DescribeServices`: what a case can be about.
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault>;
    /// `support:DescribeSeverityLevels`: the codes, as AWS orders them.
    async fn support_severities(&self) -> Result<Vec<String>, Fault>;
    /// `support:DescribeCases`, every page, resolved ones as well, those opened after the given time.
    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault>;
    /// `support:CreateCase`; the new case's id. The service knows no idempotency token.
    async fn open_case(&self, case: &NewCase) -> Result<String, Fault>;
}

/// A service that AWS Support takes cases about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportService {
    pub code: String,
    pub name: String,
    /// Its categories: code and name.
    pub categories: Vec<(String, String)>,
}

/// A case as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportCase {
    /// What a person calls it by; the longer id where there is none.
    pub display_id: String,
    pub subject: String,
}

/// A case to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// From [`Support::support_services`].
    pub service: String,
    /// From [`Support::support_services`].
    pub category: String,
    /// From [`Support::support_severities`].
    pub severity: String,
    pub subject: String,
    /// At most 8,000 characters.
    pub body: String,
}
