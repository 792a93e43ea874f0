//! A page for people who make role and policies by hand in the console: the same texts as every other way has.

use std::collections::BTreeMap;

use hawser::VERSION;
use minijinja::{context, value::Serde};

use crate::{
    error::{CommandCode, CommandError},
    profile::Profile,
    setup::{
        BillingLocation, SetupTarget,
        link::console_host,
        needed,
        page::{render, target_values},
        policies, secret_name, trust, value,
    },
    template::Template,
};

/// Makes the page.
///
/// # Errors
/// [`CommandError`]: what the template or IAM would refuse.
pub fn page(
    template: &Template,
    profile: Option<&Profile>,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
    billing: Option<&BillingLocation>,
    quota: usize,
) -> Result<String, CommandError> {
    let grants = policies::grants(template, parameters, target, billing)?;
    policies::check_count(&grants.packs, quota)?;
    let trust = trust::trust_policy(template, parameters, target)?;
    let vendor_account = needed(template, parameters, "VendorAccountId", "the page")?;
    let existing_role = value(template, parameters, "ExistingRoleName");
    let path = value(template, parameters, "RolePath").unwrap_or_default();
    if path != "/" && (existing_role.is_none() || !grants.boundaries.is_empty()) {
        let why = format!(
            "the console has no field for the path `{path}` of new roles and policies; use `hawser setup script`, or RolePath=/"
        );
        return Err(CommandError::new(CommandCode::UnsupportedHere, why));
    }
    let boundary = value(template, parameters, "PermissionsBoundaryArn");
    let values = context! {
        version => VERSION,
        vendor => value(template, parameters, "VendorName").unwrap_or_else(|| format!("account {vendor_account}")),
        vendor_account,
        external_id => needed(template, parameters, "ExternalId", "the page")?,
        profile => Serde(profile),
        has_placeholder_bucket => policies::has_placeholder_bucket(&grants, billing),
        console => format!("https://{}/iam/home", console_host(target.partition)),
        target => target_values(target),
        key_policy => Serde(&grants.read_access_key),
        user_boundary => boundary.clone().or_else(|| grants.boundaries.iter().find(|one| one.of_user).map(|one| one.name.clone())),
        boundary,
        secret => secret_name(target),
        grants => Serde(&grants),
        trust => Serde(trust),
        existing_role,
        path,
    };
    Ok(render(include_str!("guide.md.jinja"), values))
}
