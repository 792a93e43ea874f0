//! What a launch finds: a stack of its name, and an organization that lets StackSets in.

use async_trait::async_trait;
use hawser::{aws::Fault, names::Region};

/// A time in which one kind of costs is seen in the account's own billing view (AWS Billing API Reference,
/// `BillingViewSegmentsListElement`). Ids of accounts are as AWS writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillSegment {
    /// `BILLABLE`, what AWS charges; `PRO_FORMA`, what AWS Billing Conductor makes of it.
    pub domain: String,
    /// Of a member.
    pub management_account: Option<String>,
    /// Where the bill is transferred to.
    pub transfer_account: Option<String>,
    /// The first account of the billing group that this one is in.
    pub group_account: Option<String>,
}

/// The calls that tell of it.
#[async_trait]
pub trait Surroundings: Send + Sync {
    /// `cloudformation:DescribeStacks` by name, in a Region: the stack's status; `None` if there is none of the name.
    async fn stack_named(&self, name: &str, region: &Region) -> Result<Option<String>, Fault>;
    /// `cloudformation:DescribeOrganizationsAccess`: whether StackSets has trusted access to the organization.
    async fn stack_sets_are_trusted(&self) -> Result<bool, Fault>;
    /// `organizations:DescribeOrganizationalUnit`, or `organizations:ListRoots` for a root: whether the organization has it.
    async fn has_unit(&self, id: &str) -> Result<bool, Fault>;
    /// `billing:ListBillingViewSegments`: what the account's own billing view shows this month.
    async fn bill_segments(&self) -> Result<Vec<BillSegment>, Fault>;
}
