//! A shell script of AWS CLI calls that makes what the template would: policies, role or user, and how to undo it. A secret
//! key goes through a pipe into Secrets Manager (HW-P6).

use std::collections::BTreeMap;

use hawser::{VERSION, names::digest_hex};
use minijinja::{Value, context, value::Serde};

use crate::{
    error::CommandError,
    setup::{
        BillingLocation, SetupTarget, needed,
        page::{render, target_values},
        policies::{self, Boundary, Grants, PackPolicy},
        policy_name, secret_name, trust, value,
    },
    template::{Pack, Template},
};

/// Makes the script.
///
/// # Errors
/// [`CommandError`]: what the template or IAM would refuse.
pub fn script(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    target: &SetupTarget,
    billing: Option<&BillingLocation>,
    quota: usize,
) -> Result<String, CommandError> {
    let grants = policies::grants(template, parameters, target, billing)?;
    policies::check_count(&grants.packs, quota)?;
    let trust = trust::trust_policy(template, parameters, target)?;
    let vendor_account = needed(template, parameters, "VendorAccountId", "the script")?;
    let external_id = needed(template, parameters, "ExternalId", "the script")?;
    let existing_role = value(template, parameters, "ExistingRoleName").unwrap_or_default();
    let mut to = format!("account {vendor_account}");
    if let Some(name) = value(template, parameters, "VendorName") {
        to = format!("{name} ({to})");
    }
    // What an earlier script may have granted and this one does not. What AWS itself has is left on a role of the customer's: who
    // attached it there is not known.
    let role_is_ours = existing_role.is_empty();
    let not_granted = |pack: &Pack| {
        let arns = pack.managed_policies.iter().filter(|_| role_is_ours);
        let arns: Vec<String> = arns.map(|name| format!("arn:{}:iam::aws:policy/{name}", target.partition)).collect();
        context! { name => policy_name(target, &pack.logical_id), managed_policies => arns }
    };
    let is_granted = |pack: &&Pack| grants.packs.iter().any(|granted| granted.pack == pack.name);
    let not_granted: Vec<Value> = template.packs().iter().filter(|pack| !is_granted(pack)).map(not_granted).collect();
    let values = context! {
        version => VERSION,
        target => target_values(target),
        has_placeholder_bucket => policies::has_placeholder_bucket(&grants, billing),
        path => value(template, parameters, "RolePath").unwrap_or_default(),
        boundary => value(template, parameters, "PermissionsBoundaryArn").unwrap_or_default(),
        // The same for the same connection, whatever else changes.
        connection => digest_hex(&[&target.account, &vendor_account, &external_id, &target.name], 8),
        secret => secret_name(target),
        functions => include_str!("script.sh"),
        key_policy => grants.read_access_key.is_some(),
        policies => script_policies(&grants),
        trust => Serde(trust),
        not_granted,
        existing_role,
        external_id,
        to,
    };
    Ok(render(include_str!("connect.sh.jinja"), values))
}

/// Every policy and to whom it is attached, in the order in which they need each other.
fn script_policies(grants: &Grants) -> Vec<Value> {
    let besides =
        |policy: &Boundary, to: &str| context! { to, managed_policies => Vec::<String>::new(), ..Value::from(Serde(policy)) };
    let of_pack = |pack: &PackPolicy| {
        context! { to => "vendor", description => format!("Hawser pack {}", pack.pack), ..Value::from(Serde(pack)) }
    };
    let boundaries = grants.boundaries.iter().map(|policy| besides(policy, if policy.of_user { "user" } else { "nobody" }));
    let of_key = grants.read_access_key.iter().map(|policy| besides(policy, "role"));
    boundaries.chain(of_key).chain(grants.packs.iter().map(of_pack)).collect()
}
