//! AWS Organizations.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Fault;
use crate::names::AccountId;

/// The calls of AWS Organizations.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// `organizations:DescribeOrganization`; `None` is `AWSOrganizationsNotInUseException`.
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault>;
    /// `organizations:ListDelegatedServicesForAccount`, every page: what the account administers for its organization.
    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault>;
    /// `organizations:ListOutboundResponsibilityTransfers` or its inbound sister, every page, of type `BILLING`.
    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault>;
}

/// What `organizations:DescribeOrganization` tells of the organization, as far as Hawser needs it. The management
/// account's e-mail address is left behind at the port on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `o-…`.
    pub id: String,
    /// The account that pays for all others; every field is optional in AWS's model.
    pub management_account: Option<AccountId>,
    /// `ALL` or `CONSOLIDATED_BILLING`; both include consolidated billing.
    pub feature_set: String,
}

/// Which way a bill is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// This organization's bill goes to another one's management account.
    Outbound,
    /// Another organization's bill comes here.
    Inbound,
}

/// A transfer of the responsibility for a bill (AWS Organizations API Reference, `ResponsibilityTransfer`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingTransfer {
    /// `ACCEPTED` or another status.
    pub status: String,
    /// The other organization's management account.
    pub other: Option<AccountId>,
    /// From when on.
    pub start: Option<OffsetDateTime>,
    /// Until when; open where absent.
    pub end: Option<OffsetDateTime>,
}

impl BillingTransfer {
    /// Whether it decides who receives the bill at a time.
    pub fn is_in_force(&self, at: OffsetDateTime) -> bool {
        self.status == "ACCEPTED" && self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at < end)
    }
}
