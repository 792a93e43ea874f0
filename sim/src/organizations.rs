//! What the organization tells of itself.
//!
//! Source: AWS Organizations API Reference: who may call `ListDelegatedServicesForAccount` and
//! `ListOutboundResponsibilityTransfers`.

use hawser::aws::{BillingTransfer, Direction, Fault, FaultKind, Organization};

use crate::{
    account::Inner,
    account_file::{OrganizationFile, TransferFile},
    calls::fault,
    stack::ACCOUNT,
};

/// The account's place, as its calls are answered by it.
enum Membership {
    Nowhere,
    Management,
    Member,
}

impl Inner {
    fn membership(&self, action: &'static str) -> Result<Membership, Fault> {
        match &self.organization {
            OrganizationFile::None => Ok(Membership::Nowhere),
            OrganizationFile::Denied => Err(denied(action)),
            OrganizationFile::Member { management_account: Some(payer), .. } if payer == ACCOUNT => Ok(Membership::Management),
            OrganizationFile::Member { .. } => Ok(Membership::Member),
        }
    }

    pub(super) fn described(&self, action: &'static str) -> Result<Option<Organization>, Fault> {
        match &self.organization {
            OrganizationFile::None => Ok(None),
            OrganizationFile::Denied => Err(denied(action)),
            OrganizationFile::Member { id, management_account, feature_set } => Ok(Some(Organization {
                id: id.clone(),
                management_account: management_account.as_ref().and_then(|id| id.parse().ok()),
                feature_set: feature_set.clone(),
            })),
        }
    }

    /// A member that administers nothing may not even ask; the management account is no delegated administrator.
    pub(super) fn delegated_services(&self, action: &'static str, account: &str) -> Result<Vec<String>, Fault> {
        match (self.membership(action)?, &self.delegated) {
            (Membership::Nowhere, _) => Err(fault(action, FaultKind::Refused, "AWSOrganizationsNotInUseException")),
            (Membership::Member, Some(services)) if account == ACCOUNT => Ok(services.clone()),
            (Membership::Member, _) => Err(denied(action)),
            (Membership::Management, _) => Err(fault(action, FaultKind::Refused, "AccountNotRegisteredException")),
        }
    }

    /// Only a management account has a bill that can be transferred.
    pub(super) fn billing_transfers(&self, action: &'static str, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        match self.membership(action)? {
            Membership::Nowhere => Err(fault(action, FaultKind::Refused, "AWSOrganizationsNotInUseException")),
            Membership::Member => Err(denied(action)),
            Membership::Management => {
                let transfers = match direction {
                    Direction::Outbound => &self.transfers.outbound,
                    Direction::Inbound => &self.transfers.inbound,
                };
                Ok(transfers.iter().map(transfer).collect())
            }
        }
    }
}

fn transfer(file: &TransferFile) -> BillingTransfer {
    BillingTransfer {
        status: file.status.clone(),
        other: file.other.as_ref().and_then(|id| id.parse().ok()),
        start: file.start,
        end: file.end,
    }
}

fn denied(action: &'static str) -> Fault {
    fault(action, FaultKind::Denied, "AccessDeniedException")
}
