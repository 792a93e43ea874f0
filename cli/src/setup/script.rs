//! A shell script of AWS CLI calls that makes what the template would: policies, role or user, and how to undo it. A secret
//! key goes through a pipe into Secrets Manager (HW-P6).

use std::{collections::BTreeMap, fmt::Write as _};

use hawser::{VERSION, names::digest_hex};
use serde_json::Value;

use crate::{
    error::CommandError,
    setup::{
        BillingLocation, SetupTarget,
        json::pretty,
        needed,
        policies::{self, Grants},
        policy_name, secret_name, trust, value,
    },
    template::{Pack, Template},
};

/// The functions of the script; what differs by connection comes before and after.
const FUNCTIONS: &str = include_str!("script.sh");

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
    let vendor = value(template, parameters, "VendorName");
    let vendor_account = needed(template, parameters, "VendorAccountId", "the script")?;
    let external_id = needed(template, parameters, "ExternalId", "the script")?;
    let existing_role = value(template, parameters, "ExistingRoleName").unwrap_or_default();
    let with_user = grants.read_access_key.is_some();
    let to = vendor
        .as_deref()
        .map_or_else(|| format!("account {vendor_account}"), |name| format!("{name} (account {vendor_account})"));
    let mut text = format!(
        "#!/usr/bin/env bash\n# Connects AWS account {} to {to}. Made by hawser {VERSION}; read it before you run it.\n#\n",
        target.account
    );
    text.push_str(
        "#   bash connect.sh          make what is missing, bring up to date what is there, print the role's ARN\n\
         #   bash connect.sh undo     remove all of it\n",
    );
    if with_user {
        text.push_str(
            "#   bash connect.sh rotate   make a new access key, into the same secret, and say how to remove the old one\n",
        );
    }
    text.push_str(
        "#\n# It can be run again at any time. What it makes carries the tag hawser:connection, and nothing without it is changed\n\
         # or removed. It needs bash and the AWS CLI, version 2 or 1.\n",
    );
    if billing.is_none() && grants.packs.iter().any(|pack| pack.pack == "billing") {
        text.push_str(
            "#\n# The billing pack names a placeholder bucket, because the real one was not given (--bucket, --prefix, --kms-key).\n",
        );
    }
    text.push_str("set -euo pipefail\n\n");
    let path = value(template, parameters, "RolePath").unwrap_or_default();
    let boundary = value(template, parameters, "PermissionsBoundaryArn").unwrap_or_default();
    // The same for the same connection, whatever else changes.
    let mark = digest_hex(&[&target.account, &vendor_account, &external_id, &target.name], 8);
    for (name, value) in [
        ("ACCOUNT", target.account.as_str()),
        ("PARTITION", target.partition.as_str()),
        ("REGION", &target.region),
        ("NAME", &target.name),
        ("ROLE_PATH", &path),
        ("BOUNDARY", &boundary),
        ("EXISTING_ROLE", &existing_role),
        ("EXTERNAL_ID", &external_id),
        ("CONNECTION", &mark),
        ("DESCRIPTION", &format!("Assumed by {to} with this connection's external ID")),
        ("SECRET", if with_user { secret_name(target) } else { String::new() }.as_str()),
        ("WITH_USER", if with_user { "yes" } else { "" }),
    ] {
        let _ = writeln!(text, "{name}={}", quote(value));
    }
    text.push('\n');
    text.push_str(FUNCTIONS);
    text.push_str("\ntrust_policy() {\n  cat <<'JSON'\n");
    text.push_str(&pretty(&trust));
    text.push_str("\nJSON\n}\n\n");
    calls(&mut text, &grants, &not_granted(template, &grants, target, existing_role.is_empty()));
    text.push_str("\nmain \"$@\"\n");
    Ok(text)
}

/// The calls that take back what an earlier script granted and this one does not. What AWS itself has is left on a role of the
/// customer's: who attached it there is not known.
fn not_granted(template: &Template, grants: &Grants, target: &SetupTarget, role_is_ours: bool) -> String {
    let mut undo = "  # Not granted any more, should an earlier script have granted it.\n".to_owned();
    let on = |pack: &Pack| grants.packs.iter().any(|granted| granted.pack == pack.name);
    for pack in template.packs().iter().filter(|pack| !on(pack)) {
        let _ = writeln!(undo, "  undo_policy {} vendor", quote(&policy_name(target, &pack.logical_id)));
        for name in pack.managed_policies.iter().filter(|_| role_is_ours) {
            let _ = writeln!(undo, "  detach {} vendor", quote(&format!("arn:{}:iam::aws:policy/{name}", target.partition)));
        }
    }
    undo
}

/// `connect_policies` and `undo_policies`: one call for each policy, in the order in which they need each other.
fn calls(text: &mut String, grants: &Grants, not_granted: &str) {
    let (mut make, mut undo) = (not_granted.to_owned(), vec![not_granted.to_owned()]);
    let made = |name: &str, description: &str, to: &str, document: &Value| {
        let document = pretty(document);
        let digest = digest_hex(&[&document], 16);
        format!("  policy {} {} {to} {digest} <<'JSON'\n{document}\nJSON\n", quote(name), quote(description))
    };
    let beside = grants.boundaries.iter().map(|policy| (policy, "nobody"));
    for (policy, to) in beside.chain(grants.read_access_key.iter().map(|policy| (policy, "role"))) {
        make.push_str(&made(&policy.name, &policy.description, to, &policy.document));
        undo.push(format!("  undo_policy {} {to}\n", quote(&policy.name)));
    }
    for pack in &grants.packs {
        make.push_str(&made(&pack.name, &format!("Hawser pack {}", pack.pack), "vendor", &pack.document));
        undo.push(format!("  undo_policy {} vendor\n", quote(&pack.name)));
        for arn in &pack.managed_policies {
            let _ = writeln!(make, "  attach {} vendor", quote(arn));
            undo.push(format!("  detach {} vendor\n", quote(arn)));
        }
    }
    undo.reverse();
    let _ = write!(text, "connect_policies() {{\n{make}}}\n\nundo_policies() {{\n{}}}\n", undo.concat());
}

/// One word for a shell, whatever is in it.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
