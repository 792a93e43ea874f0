//! The trust policy of the vendor's role.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    error::{CommandCode, CommandError},
    setup::{SetupTarget, context, needed, value},
    template::Template,
};

/// What the template's role trusts: the vendor's account, with the external ID, and nobody else.
///
/// # Errors
/// [`CommandCode::ExternalIdEmpty`] and [`CommandCode::ParameterMissing`]: a stack's own id stands in for an empty external ID, and here is none.
pub fn trust_policy(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
) -> Result<Value, CommandError> {
    needed(template, parameters, "VendorAccountId", "a trust policy")?;
    if value(template, parameters, "ExternalId").is_none() {
        let cause = "`ExternalId` is empty and there is no stack to generate one; without it any other customer of the vendor could be given access to this account";
        return Err(CommandError::new(CommandCode::ExternalIdEmpty, cause));
    }
    // The role is the customer's own where the template makes none; its trust is the same.
    let mut parameters = parameters.clone();
    parameters.remove("ExistingRoleName");
    let resolved = template.resolve(&context(template, &parameters, target, None))?;
    Ok(resolved.resources()["VendorRole"]["Properties"]["AssumeRolePolicyDocument"].clone())
}
