//! A page for people who make role and policies by hand in the console: the same texts as every other way has.

use std::{collections::BTreeMap, fmt::Write as _};

use hawser::VERSION;

use crate::{
    error::{CommandCode, CommandError},
    profile::Profile,
    setup::{
        BillingLocation, SetupTarget,
        json::pretty,
        link::console_host,
        needed,
        policies::{self, PackPolicy},
        secret_name, trust, value,
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
    let external_id = needed(template, parameters, "ExternalId", "the page")?;
    let vendor = value(template, parameters, "VendorName").unwrap_or_else(|| format!("account {vendor_account}"));
    let existing_role = value(template, parameters, "ExistingRoleName");
    let path = value(template, parameters, "RolePath").unwrap_or_default();
    if path != "/" && (existing_role.is_none() || !grants.boundaries.is_empty()) {
        let why = format!(
            "the console has no field for the path `{path}` of new roles and policies; use `hawser setup script`, or RolePath=/"
        );
        return Err(CommandError::new(CommandCode::UnsupportedHere, why));
    }
    let boundary = value(template, parameters, "PermissionsBoundaryArn");
    let with_user = grants.read_access_key.is_some();
    let mut text = format!(
        "# Connect AWS account {} to {vendor} by hand\n\nMade by hawser {VERSION}. The policies are the same that the CloudFormation template makes.\n",
        target.account
    );
    if let Some(profile) = profile {
        let _ = write!(
            text,
            "\n{}\n\n**{vendor} gets:** {}\n\n**{vendor} never does this:** {}\n",
            profile.summary,
            profile.texts.grants.trim(),
            profile.texts.never.trim()
        );
    }
    let _ = write!(text, "\n## What is granted\n\n| pack | mode | what it is for |\n| --- | --- | --- |\n");
    for pack in &grants.packs {
        let _ = writeln!(text, "| {} | {} | {} |", pack.title, pack.mode, pack.purpose);
    }
    if billing.is_none() && grants.packs.iter().any(|pack| pack.pack == "billing") {
        text.push_str(
            "\n> The billing pack below names a placeholder bucket, because the real one was not given. Make this page again with `--bucket`, `--prefix` and `--kms-key` once you know it.\n",
        );
    }
    let console = format!("https://{}/iam/home", console_host(target.partition));
    let _ = write!(text, "\n## 1. Policies\n\nIn {console}#/policies, for each policy below:\n\n");
    let _ = writeln!(
        text,
        "1. Choose **Create policy**, then **JSON**.\n2. Replace what is there by the document and choose **Next**.\n3. Enter the name that stands above the document and choose **Create policy**."
    );
    let beside =
        grants.boundaries.iter().map(|policy| (policy, "Attached to nobody; it is the boundary of roles that the vendor makes."));
    for (policy, to) in beside
        .chain(grants.read_access_key.iter().map(|policy| (policy, "For the role: it lets the vendor read the access key.")))
    {
        let _ = write!(text, "\n### `{}`\n\n{}. {to}\n\n", policy.name, policy.description);
        let _ = write!(text, "```json\n{}\n```\n", pretty(&policy.document));
    }
    for pack in &grants.packs {
        policy(&mut text, pack);
    }
    let attached: Vec<String> = grants
        .packs
        .iter()
        .flat_map(|pack| {
            let of_aws = pack.managed_policies.iter().map(|arn| arn.rsplit('/').next().unwrap_or_default().to_owned());
            std::iter::once(pack.name.clone()).chain(of_aws)
        })
        .map(|name| format!("`{name}`"))
        .collect();
    let attached = attached.join(", ");
    let boundary_step = boundary
        .map(|arn| format!("\n   Open **Set permissions boundary**, choose **Use a permissions boundary** and pick `{arn}`."))
        .unwrap_or_default();
    if with_user {
        let _ = write!(
            text,
            "\n## 2. User\n\n1. In {console}#/users choose **Create user**, enter the name `{}` and leave console access off.\n\
             2. Choose **Attach policies directly** and tick {attached}.{boundary_step}\n3. Choose **Create user**.\n\
             4. Open the user, **Security credentials**, **Create access key**, **Third-party service**.\n\
             5. In another window, open Secrets Manager in {} and **Store a new secret**, **Other type of secret**, with the keys \
             `AccessKeyId` and `SecretAccessKey` and the name `{}`. Copy the two values from the first window to it, and nowhere \
             else; `hawser setup script --user` does this without showing them.\n\
             6. To replace the key later: make a second one, store it in the same secret, wait until the vendor uses it, remove the \
             first.\n",
            target.name,
            target.region,
            secret_name(target)
        );
    }
    let number = if with_user { 3 } else { 2 };
    let of_role = if with_user {
        format!("`{}`", grants.read_access_key.iter().map(|p| p.name.as_str()).collect::<String>())
    } else {
        attached
    };
    match &existing_role {
        Some(role) => {
            let _ = write!(
                text,
                "\n## {number}. Role\n\n1. In {console}#/roles open `{role}`.\n2. Under **Trust relationships** choose **Edit trust policy** and add the \
                 statement below to what is there.\n3. Under **Permissions** choose **Add permissions**, **Attach policies**, and tick {of_role}.\n"
            );
        }
        None => {
            let _ = write!(
                text,
                "\n## {number}. Role\n\n1. In {console}#/roles choose **Create role**, then **Custom trust policy**.\n2. Replace what is there by the \
                 trust policy below and choose **Next**.\n3. Tick {of_role} and choose **Next**.{boundary_step}\n4. Enter the role name `{}` and choose **Create role**.\n",
                target.name
            );
        }
    }
    let _ = write!(
        text,
        "\nThe trust policy lets in account {vendor_account} with the external ID `{external_id}`, and nobody else. Never leave the external ID out: without it, \
         anybody's account at the vendor could be pointed at this role.\n\n```json\n{}\n```\n",
        pretty(&trust)
    );
    let role = existing_role.as_deref().unwrap_or(&target.name);
    let role_path = if existing_role.is_some() { path.as_str() } else { "/" };
    let _ = write!(
        text,
        "\n## {}. Tell {vendor}\n\nEnter in the vendor's product:\n\n- the role `arn:{}:iam::{}:role{role_path}{role}`\n- the external ID `{external_id}`\n",
        number + 1,
        target.partition,
        target.account
    );
    if with_user {
        let _ = writeln!(text, "- the ARN of the secret `{}`", secret_name(target));
    }
    let _ = write!(
        text,
        "\n## To disconnect\n\n{}Remove the policies above in {console}#/policies. Nothing of the vendor's is left.\n",
        match (&existing_role, with_user) {
            (Some(role), _) =>
                format!("Take the statement out of the trust policy of `{role}` and detach the policies from it. "),
            (None, true) => format!(
                "Remove the role `{}`, then the user `{}` with its access keys, and the secret `{}`. ",
                target.name,
                target.name,
                secret_name(target)
            ),
            (None, false) => format!("Remove the role `{}`. ", target.name),
        }
    );
    Ok(text)
}

fn policy(text: &mut String, pack: &PackPolicy) {
    let _ = write!(text, "\n### `{}`\n\n{}. {}\n\n", pack.name, pack.title, pack.purpose);
    // In the order of the document, and only of statements that are in it.
    for statement in pack.document["Statement"].as_array().into_iter().flatten() {
        let sid = statement["Sid"].as_str().unwrap_or_default();
        let _ = writeln!(text, "- `{sid}`: {}", pack.why.get(sid).map(String::as_str).unwrap_or_default());
    }
    let _ = write!(text, "\n```json\n{}\n```\n", pretty(&pack.document));
    for arn in &pack.managed_policies {
        let _ = write!(text, "\nWith it goes AWS's own policy `{}` (`{arn}`).\n", arn.rsplit('/').next().unwrap_or_default());
    }
}
