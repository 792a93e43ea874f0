//! CloudFormation through the SDK.

use async_trait::async_trait;
use aws_sdk_cloudformation as cloudformation;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{
    clients::Clients,
    fault::{fault, incomplete},
};
use crate::{
    aws::{Fault, StackDescription, StackResource, Stacks, Tags},
    names::StackId,
    protocol::lifecycle::is_being_deleted,
};

const DESCRIBE_STACKS: &str = "cloudformation:DescribeStacks";

impl Clients {
    async fn describe(&self, stack: &StackId) -> Result<cloudformation::types::Stack, Fault> {
        let answer = self.cloudformation.describe_stacks().stack_name(stack.as_str()).send().await;
        let stacks = answer.map_err(|why| fault(DESCRIBE_STACKS, why))?.stacks.unwrap_or_default();
        stacks.into_iter().next().ok_or_else(|| incomplete(DESCRIBE_STACKS))
    }
}

#[async_trait]
impl Stacks for Clients {
    async fn stack(&self, stack: &StackId) -> Result<StackDescription, Fault> {
        let known = self.describe(stack).await?;
        let status = known.stack_status.ok_or_else(|| incomplete(DESCRIBE_STACKS))?.as_str().to_owned();
        let parameters = known.parameters.unwrap_or_default().into_iter();
        let outputs = known.outputs.unwrap_or_default().into_iter();
        Ok(StackDescription {
            status,
            parameters: parameters.filter_map(|given| Some((given.parameter_key?, given.parameter_value?))).collect(),
            outputs: outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect(),
        })
    }

    async fn stack_tags(&self, stack: &StackId) -> Result<Tags, Fault> {
        let tags = match self.describe(stack).await {
            // As below.
            Err(fault) if fault.code == "ValidationError" => return Ok(Tags::new()),
            stack => stack?.tags.unwrap_or_default(),
        };
        Ok(tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value?))).collect())
    }

    async fn stack_resource(&self, stack: &StackId, logical_id: &str) -> Result<Option<StackResource>, Fault> {
        let request = self.cloudformation.describe_stack_resources().stack_name(stack.as_str());
        let answer = match request.logical_resource_id(logical_id).send().await {
            Ok(answer) => answer,
            // The API has no code of its own for a stack or a resource that it does not know.
            Err(why) if why.code() == Some("ValidationError") => return Ok(None),
            Err(why) => return Err(fault("cloudformation:DescribeStackResources", why)),
        };
        let resources = answer.stack_resources.unwrap_or_default().into_iter().map(|known| StackResource {
            status: known.resource_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            physical_id: known.physical_resource_id.unwrap_or_default(),
        });
        // Should a replaced one be listed beside the one that stays, the latter is the stack's (B-2).
        let mut resources: Vec<StackResource> = resources.collect();
        resources.sort_by_key(is_being_deleted);
        Ok(resources.into_iter().next())
    }
}
