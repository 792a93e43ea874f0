//! AWS Organizations through the SDK.

use async_trait::async_trait;
use aws_sdk_organizations as organizations;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{
    clients::{Clients, when},
    fault::{fault, incomplete},
};
use crate::{
    aws::{BillingTransfer, Direction, Fault, Organization, Organizations},
    names::AccountId,
};

#[async_trait]
impl Organizations for Clients {
    async fn describe_organization(&self) -> Result<Option<Organization>, Fault> {
        let answer = self.organizations.describe_organization().send().await;
        let organization = match answer {
            Ok(answer) => answer.organization,
            Err(why) if why.code() == Some("AWSOrganizationsNotInUseException") => return Ok(None),
            Err(why) => return Err(fault("organizations:DescribeOrganization", why)),
        };
        // A success without an organization is no organization we know anything of: not "standalone".
        let known = organization.ok_or_else(|| incomplete("organizations:DescribeOrganization"))?;
        Ok(Some(Organization {
            id: known.id.unwrap_or_default(),
            management_account: known.master_account_id.and_then(|id| id.parse().ok()),
            feature_set: known.feature_set.map(|set| set.as_str().to_owned()).unwrap_or_default(),
        }))
    }

    async fn delegated_services(&self, account: &AccountId) -> Result<Vec<String>, Fault> {
        let request = self.organizations.list_delegated_services_for_account().account_id(account.as_str());
        let mut pages = request.into_paginator().items().send();
        let mut services = Vec::new();
        while let Some(service) = pages.next().await {
            let service = service.map_err(|why| fault("organizations:ListDelegatedServicesForAccount", why))?;
            services.extend(service.service_principal);
        }
        Ok(services)
    }

    async fn billing_transfers(&self, direction: Direction) -> Result<Vec<BillingTransfer>, Fault> {
        let billing = organizations::types::ResponsibilityTransferType::Billing;
        let (mut transfers, mut token) = (Vec::new(), None);
        loop {
            let page;
            (page, token) = match direction {
                Direction::Outbound => {
                    let request = self.organizations.list_outbound_responsibility_transfers().r#type(billing.clone());
                    let answer = request.set_next_token(token).send().await;
                    let answer = answer.map_err(|why| fault("organizations:ListOutboundResponsibilityTransfers", why))?;
                    (answer.responsibility_transfers, answer.next_token)
                }
                Direction::Inbound => {
                    let request = self.organizations.list_inbound_responsibility_transfers().r#type(billing.clone());
                    let answer = request.set_next_token(token).send().await;
                    let answer = answer.map_err(|why| fault("organizations:ListInboundResponsibilityTransfers", why))?;
                    (answer.responsibility_transfers, answer.next_token)
                }
            };
            transfers.extend(page.unwrap_or_default().into_iter().map(|known| transfer(known, direction)));
            if token.is_none() {
                return Ok(transfers);
            }
        }
    }
}

fn transfer(known: organizations::types::ResponsibilityTransfer, direction: Direction) -> BillingTransfer {
    let other = match direction {
        Direction::Outbound => known.target,
        Direction::Inbound => known.source,
    };
    BillingTransfer {
        status: known.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        other: other.and_then(|other| other.management_account_id?.parse().ok()),
        start: known.start_timestamp.as_ref().and_then(when),
        end: known.end_timestamp.as_ref().and_then(when),
    }
}
