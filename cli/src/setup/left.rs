//! What outlives a stack: what the vendor made with the packs, and data that is kept (`hawser disconnect --list-left`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::template::{Mode, Template};

/// One thing that stays when a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The pack that can have made it; none for billing data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<&'static str>,
    pub stays: &'static str,
    /// Where to look for it.
    pub place: &'static str,
    /// What lists it, for the AWS CLI, where one command does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The id of a pack whose mode matters, and what stays of it: what, where, and the AWS CLI's command. `{Parameter}` stands for the
/// parameter's value. The rows of the table "What outlives a stack" in docs/connect.md.
const ROWS: [(Option<&str>, &str, &str, Option<&str>); 8] = [
    (
        None,
        "the bucket with its data, unless `BillingRetention` is `Delete`; a reused report or export",
        "S3, tag `hawser:stack-id`",
        Some("aws resourcegroupstaggingapi get-resources --region us-east-1 --tag-filters Key=hawser:stack-id"),
    ),
    (
        Some("cloud-iam"),
        "**users with their access keys and passwords, which go on working**; memberships in groups",
        "IAM, **Users**, path `ManagedUsersPath`",
        Some("aws iam list-users --path-prefix {ManagedUsersPath}"),
    ),
    (
        Some("analytics-engine"),
        "instances that go on running, volumes, security groups, key pairs, launch templates, placement groups",
        "EC2, tag `hawser:engine` with the stack's name",
        Some("aws resourcegroupstaggingapi get-resources --tag-filters Key=hawser:engine"),
    ),
    (
        Some("analytics-engine"),
        "roles and instance profiles",
        "IAM, path `/<stack name>-engine/` below `RolePath`",
        Some("aws iam list-roles --path-prefix {RolePath}"),
    ),
    (
        Some("analytics-engine"),
        "the policy `EngineBoundary`, the boundary of these roles",
        "IAM, **Policies**; delete the roles first",
        Some("aws iam list-policies --scope Local --path-prefix {RolePath}"),
    ),
    (
        Some("analytics-engine"),
        "secrets",
        "Secrets Manager, `compute-engine/<stack name>/`",
        Some("aws secretsmanager list-secrets --filters Key=name,Values=compute-engine/"),
    ),
    (
        Some("load-balancing"),
        "certificates, DNS records",
        "Certificate Manager; Route 53, the hosted zone",
        Some("aws acm list-certificates"),
    ),
    (
        Some("optimizers"),
        "every change as it was last made; snapshots, scaling policies and schedules",
        "the resources themselves",
        None,
    ),
];

/// Sessions end, and leave nothing.
const LEAVES_NOTHING: &str = "session-manager";

/// What can be left of a connection with these parameters; of any connection where none are given.
pub fn left(template: &Template, parameters: &BTreeMap<String, String>) -> Vec<Left> {
    let value = |name: &str| -> String {
        let default = || template.parameters().into_iter().find(|parameter| parameter.name == name)?.default;
        parameters.get(name).cloned().or_else(default).unwrap_or_default()
    };
    let packs = template.packs();
    // Whatever has no row of its own changes what is there, and that stays as it is.
    let has_row = |name: &str| name == LEAVES_NOTHING || ROWS.iter().any(|(pack, ..)| *pack == Some(name));
    let writes = |id: &str| {
        let of_it = packs.iter().filter(|pack| pack.name == id || (id == "optimizers" && !has_row(&pack.name)));
        of_it.map(|pack| value(&pack.parameter)).any(|mode| mode == Mode::ReadWrite.as_str())
    };
    let rows = ROWS.into_iter().filter(|(pack, ..)| match pack {
        _ if parameters.is_empty() => true,
        None => value("BillingKind") != "None",
        Some(id) => writes(id),
    });
    let filled = |command: &str| {
        ["ManagedUsersPath", "RolePath"]
            .iter()
            .fold(command.to_owned(), |text, name| text.replace(&format!("{{{name}}}"), &value(name)))
    };
    rows.map(|(pack, stays, place, command)| Left { pack, stays, place, command: command.map(filled) }).collect()
}
