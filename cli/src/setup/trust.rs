//! The trust policy of the vendor's role.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    setup::{SetupError, SetupTarget, context, needed, value},
    template::Template,
};

/// What the template's role trusts: the vendor's account, with the external id, and nobody else.
///
/// # Errors
/// [`SetupError::ExternalIdEmpty`] and [`SetupError::Missing`]: a stack's own id stands in for an empty external id, and here is none.
pub fn trust_policy(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
) -> Result<Value, SetupError> {
    needed(template, parameters, "VendorAccountId", "a trust policy")?;
    if value(template, parameters, "ExternalId").is_none() {
        return Err(SetupError::ExternalIdEmpty);
    }
    // The role is the customer's own where the template makes none; its trust is the same.
    let mut parameters = parameters.clone();
    parameters.remove("ExistingRoleName");
    let resolved = template.resolve(&context(template, &parameters, target, None))?;
    Ok(resolved.resources()["VendorRole"]["Properties"]["AssumeRolePolicyDocument"].clone())
}
