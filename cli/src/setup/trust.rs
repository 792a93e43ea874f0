//! The trust policy of the vendor's role.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    setup::{Place, WayError, needed, setting, value},
    template::Template,
};

/// What the template's role trusts: the vendor's account, with the external id, and nobody else.
///
/// # Errors
/// [`WayError::ExternalIdEmpty`] and [`WayError::Missing`]: a stack's own id stands in for an empty external id, and here is none.
pub fn trust_policy(template: &Template, parameters: &BTreeMap<String, String>, place: &Place) -> Result<Value, WayError> {
    needed(template, parameters, "VendorAccountId", "a trust policy")?;
    if value(template, parameters, "ExternalId").is_none() {
        return Err(WayError::ExternalIdEmpty);
    }
    // The role is the customer's own where the template makes none; its trust is the same.
    let mut parameters = parameters.clone();
    parameters.remove("ExistingRoleName");
    let resolved = template.resolve(&setting(template, &parameters, place, None))?;
    Ok(resolved.resources()["VendorRole"]["Properties"]["AssumeRolePolicyDocument"].clone())
}
