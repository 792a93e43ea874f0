//! AWS Organizations.
//!
//! Source: AWS Organizations API Reference: who may call `ListDelegatedServicesForAccount` and
//! `ListOutboundResponsibilityTransfers`.

use hawser::aws::{BillingTransfer, Direction, FaultKind, Organization};

use crate::{
    file::{OrganizationFile, TransferFile},
    refusal::Refusal,
    services::Services,
};

/// The account's place, as its calls are answered by it.
enum Membership {
    Management,
    Member,
}

impl Services {
    fn membership(&self) -> Result<Membership, Refusal> {
        match &self.organization {
            OrganizationFile::None => Err(not_in_use()),
            OrganizationFile::Denied => Err(denied()),
            OrganizationFile::Member { management_account, .. } if management_account.as_ref() == Some(&self.account) => {
                Ok(Membership::Management)
            }
            OrganizationFile::Member { .. } => Ok(Membership::Member),
        }
    }

    pub fn describe_organization(&self) -> Result<Option<Organization>, Refusal> {
        match &self.organization {
            OrganizationFile::None => Ok(None),
            OrganizationFile::Denied => Err(denied()),
            OrganizationFile::Member { id, management_account, feature_set } => Ok(Some(Organization {
                id: id.clone(),
                management_account: management_account.as_ref().and_then(|id| id.parse().ok()),
                feature_set: feature_set.clone(),
            })),
        }
    }

    /// A member that administers nothing may not even ask; the management account is no delegated administrator.
    pub fn delegated_services(&self, account: &str) -> Result<Vec<String>, Refusal> {
        match (self.membership()?, &self.delegated) {
            (Membership::Member, Some(services)) if account == self.account => Ok(services.clone()),
            (Membership::Member, None) => Err(denied()),
            _ => Err(Refusal::new(
                FaultKind::Refused,
                "AccountNotRegisteredException",
                "The specified account is not a delegated administrator for any service.",
            )),
        }
    }

    /// Refuses what only a management account may ask.
    pub fn check_management(&self) -> Result<(), Refusal> {
        match self.membership()? {
            Membership::Member => Err(denied()),
            Membership::Management => Ok(()),
        }
    }

    /// Only a management account has a bill that can be transferred.
    pub fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Refusal> {
        self.check_management()?;
        let transfers = match direction {
            Direction::Outbound => &self.transfers.outbound,
            Direction::Inbound => &self.transfers.inbound,
        };
        Ok(transfers.iter().map(transfer).collect())
    }
}

/// What an account hears that is in no organization.
pub fn not_in_use() -> Refusal {
    let text = "Your account is not a member of an organization.";
    Refusal::new(FaultKind::Refused, "AWSOrganizationsNotInUseException", text)
}

fn transfer(file: &TransferFile) -> BillingTransfer {
    BillingTransfer {
        status: file.status.clone(),
        other: file.other.as_ref().and_then(|id| id.parse().ok()),
        start: file.start,
        end: file.end,
    }
}

fn denied() -> Refusal {
    Refusal::new(FaultKind::Denied, "AccessDeniedException", "You don't have permissions to access this resource.")
}
