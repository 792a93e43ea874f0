//! CloudFormation and Organizations, as far as a look before a launch asks them.

use async_trait::async_trait;
use aws_sdk_cloudformation::{config::Builder, types::OrganizationStatus};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hawser::{aws::Fault, names::Region, sdk::fault::fault};

use super::CallerSession;
use crate::preflight::{BillSegment, Surroundings};

#[async_trait]
impl Surroundings for CallerSession {
    async fn stack_named(&self, name: &str, region: &Region) -> Result<Option<String>, Fault> {
        let there = aws_types::region::Region::new(region.as_str().to_owned());
        let client = aws_sdk_cloudformation::Client::from_conf(Builder::from(&self.config).region(there).build());
        match client.describe_stacks().stack_name(name).send().await {
            Ok(answer) => Ok(answer.stacks().iter().find_map(|stack| Some(stack.stack_status()?.as_str().to_owned()))),
            // The API has no code of its own for a name that it does not know.
            Err(why) if why.code() == Some("ValidationError") => Ok(None),
            Err(why) => Err(fault("cloudformation:DescribeStacks", why)),
        }
    }

    async fn stack_sets_are_trusted(&self) -> Result<bool, Fault> {
        let answer = aws_sdk_cloudformation::Client::new(&self.config).describe_organizations_access().send().await;
        let answer = answer.map_err(|why| fault("cloudformation:DescribeOrganizationsAccess", why))?;
        Ok(answer.status() == Some(&OrganizationStatus::Enabled))
    }

    async fn has_unit(&self, id: &str) -> Result<bool, Fault> {
        let client = aws_sdk_organizations::Client::new(&self.config);
        if id.starts_with("r-") {
            let answer = client.list_roots().send().await.map_err(|why| fault("organizations:ListRoots", why))?;
            return Ok(answer.roots().iter().any(|root| root.id() == Some(id)));
        }
        match client.describe_organizational_unit().organizational_unit_id(id).send().await {
            Ok(_) => Ok(true),
            Err(why) if why.code() == Some("OrganizationalUnitNotFoundException") => Ok(false),
            Err(why) => Err(fault("organizations:DescribeOrganizationalUnit", why)),
        }
    }

    async fn bill_segments(&self) -> Result<Vec<BillSegment>, Fault> {
        // One page holds a hundred, and a month has a few.
        let answer = aws_sdk_billing::Client::new(&self.config).list_billing_view_segments().send().await;
        let answer = answer.map_err(|why| fault("billing:ListBillingViewSegments", why))?;
        let segment = |known: &aws_sdk_billing::types::BillingViewSegmentsListElement| BillSegment {
            domain: known.domain().map(|domain| domain.as_str().to_owned()).unwrap_or_default(),
            management_account: known.management_account_id().map(str::to_owned),
            transfer_account: known.billing_transfer_account_id().map(str::to_owned),
            group_account: known.billing_group_primary_account_id().map(str::to_owned),
        };
        Ok(answer.items().iter().map(segment).collect())
    }
}
