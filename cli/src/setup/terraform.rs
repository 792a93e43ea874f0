//! A Terraform module: the same role, packs and billing data. Every policy is the template's own, with its conditions and references
//! written in HCL, so that a pack is switched by a variable as it is by a parameter.

mod hcl;

use std::{collections::BTreeMap, fmt::Write as _};

use hawser::{
    VERSION,
    billing::{DATA_ROOT, Kind, plan, policy, query},
    names::Partition,
};
use hcl::{Writer, aligned, interpolation, quoted, snake};
use serde_json::Value;

use crate::{
    error::{CommandCode, CommandError},
    setup::{USER_BOUNDARY, policy_suffix, value},
    template::{Parameter, Template},
};

/// The newest FOCUS table when this was written; a variable names a newer one.
const FOCUS_TABLE: &str = "FOCUS_1_2_AWS";

/// Parameters that are variables whatever the packs need.
const ALWAYS: [&str; 16] = [
    "VendorName",
    "VendorAccountId",
    "ExternalId",
    "RolePath",
    "PermissionsBoundaryArn",
    "ExistingRoleName",
    "BillingKind",
    "BillingFormat",
    "BillingRetention",
    "BillingVersioning",
    "IncludeIamPrincipalData",
    "NamePrefix",
    "ExistingBucket",
    "ExistingPrefix",
    "HostedZoneId",
    "ManagedUsersPath",
];

/// Makes the files of the module, by name. The parameters become the defaults of its variables.
///
/// # Errors
/// [`CommandCode::UnsupportedHere`] for an access key, which Terraform would keep in its state; and what the template refuses.
pub fn module(template: &Template, parameters: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, CommandError> {
    if value(template, parameters, "AccessMethod").as_deref() == Some("AccessKey") {
        return Err(unsupported(
            "Terraform keeps the secret part of an access key in its state, where everybody who reads the state reads it; use the template, `hawser setup script --user`, or AccessMethod=Role",
        ));
    }
    if value(template, parameters, "ExistingExport").is_some() {
        return Err(unsupported(
            "a module cannot look for the bucket of an export; name it with ExistingBucket and ExistingPrefix",
        ));
    }
    if let Some((name, _)) = parameters.iter().find(|(_, value)| hcl::is_marked(value)) {
        return Err(CommandError::new(
            CommandCode::ParameterInvalid,
            format!("`{name}` has a private use character (U+E000 or U+E001), which no value needs and a module cannot hold"),
        ));
    }
    if value(template, parameters, "BucketNamespace").as_deref() == Some("AccountRegional") {
        return Err(unsupported(
            "only newer versions of Terraform's provider know the account-regional namespace; create the bucket in it and name it with ExistingBucket and ExistingPrefix",
        ));
    }
    let mut writer = Writer::new(template);
    let packs = packs(template, &mut writer)?;
    let main = main(template, &mut writer)?;
    let billing = billing()?;
    let conditions = writer.conditions()?;
    let main = main.replace("@CONDITIONS@\n", &conditions);
    let variables = variables(template, parameters, &writer);
    let example = example(&variables);
    let variables: String = variables.into_iter().map(|(_, text)| text).collect();
    Ok(vec![
        ("main.tf".to_owned(), main),
        ("packs.tf".to_owned(), packs),
        ("billing.tf".to_owned(), billing),
        ("variables.tf".to_owned(), format!("{}{variables}", own_variables())),
        ("outputs.tf".to_owned(), include_str!("terraform/outputs.tf").to_owned()),
        ("README.md".to_owned(), readme(template)),
        ("example/main.tf".to_owned(), example),
    ])
}

fn unsupported(why: impl std::fmt::Display) -> CommandError {
    CommandError::new(CommandCode::UnsupportedHere, why)
}

fn main(template: &Template, writer: &mut Writer<'_>) -> Result<String, CommandError> {
    let role = &template.json()["Resources"]["VendorRole"]["Properties"];
    writer.use_condition("MakesRole");
    writer.use_condition("HasBoundary");
    let text = include_str!("terraform/main.tf");
    Ok(text
        .replace("@VERSION@", VERSION)
        .replace("@DESCRIPTION@", &writer.expression(&role["Description"], 1)?)
        .replace("@TRUST@", &writer.expression(&role["AssumeRolePolicyDocument"], 1)?))
}

fn packs(template: &Template, writer: &mut Writer<'_>) -> Result<String, CommandError> {
    let mut text = String::from("# One policy for each pack, switched by its variable.\n");
    let packs = template.packs();
    for id in template.resource_names() {
        let resource = &template.json()["Resources"][id.as_str()];
        let properties = &resource["Properties"];
        let pack = packs.iter().find(|pack| pack.logical_id == *id);
        let is_boundary = resource["Type"] == "AWS::IAM::ManagedPolicy" && properties["Roles"].is_null();
        // A module makes no user.
        if pack.is_none() && (!is_boundary || id == USER_BOUNDARY) {
            continue;
        }
        let label = snake(id.strip_suffix("Policy").unwrap_or(id));
        let condition = writer.use_condition(resource["Condition"].as_str().unwrap_or_default());
        if let Some(pack) = pack {
            let _ = write!(text, "\n# {}. {}\n", pack.title, pack.purpose);
            writer.reasons = pack.statements.iter().map(|one| (one.sid.clone(), one.why.clone())).collect();
        } else {
            let _ = write!(text, "\n# {}.\n", properties["Description"].as_str().unwrap_or_default());
            writer.reasons.clear();
        }
        let entries = [
            ("count", format!("{condition} ? 1 : 0")),
            ("name", quoted(&format!("{}{}", interpolation("local.name"), policy_suffix(id)))),
            ("path", "var.role_path".to_owned()),
            ("description", writer.expression(&properties["Description"], 1)?),
        ];
        let policy = writer.expression(&properties["PolicyDocument"], 1)?;
        let _ = write!(
            text,
            "resource \"aws_iam_policy\" \"{label}\" {{\n{}\n  policy = jsonencode({policy})\n}}\n",
            aligned(&entries, 1)
        );
        let Some(pack) = pack else { continue };
        let own = (label.clone(), format!("aws_iam_policy.{label}[0].arn"));
        let of_aws = pack.managed_policies.iter().map(|name| {
            let arn = format!("arn:{}:iam::aws:policy/{name}", interpolation("local.partition"));
            (format!("{label}_managed_{}", snake(name)), quoted(&arn))
        });
        for (label, arn) in std::iter::once(own).chain(of_aws) {
            let entries =
                [("count", format!("{condition} ? 1 : 0")), ("role", "local.role_name".to_owned()), ("policy_arn", arn)];
            let _ = write!(text, "\nresource \"aws_iam_role_policy_attachment\" \"{label}\" {{\n{}}}\n", aligned(&entries, 1));
        }
    }
    Ok(text)
}

/// The bucket's policy is what the handler writes; only what a module knows later is a reference.
fn billing() -> Result<String, CommandError> {
    const BUCKET: &str = "a-bucket-of-terraform";
    const ACCOUNT: &str = "000000000000";
    let region = Partition::Aws.billing_region().ok_or_else(|| unsupported("no billing Region"))?;
    let bucket = BUCKET.parse().map_err(unsupported)?;
    let account = ACCOUNT.parse().map_err(unsupported)?;
    let policy = policy::merge(None, &bucket, Partition::Aws, &account, &region).map_err(unsupported)?;
    let policy: Value = serde_json::from_str(&policy.unwrap_or_default()).map_err(unsupported)?;
    let policy = replaced(&policy, &|text| {
        text.replace(&format!("arn:aws:cur:{region}:"), &format!("arn:aws:cur:{}:", interpolation("local.billing_region")))
            .replace(
                &format!("arn:aws:bcm-data-exports:{region}:"),
                &format!("arn:aws:bcm-data-exports:{}:", interpolation("local.billing_region")),
            )
            .replace("arn:aws:", &format!("arn:{}:", interpolation("local.partition")))
            .replace(BUCKET, &interpolation("local.new_bucket"))
            .replace(ACCOUNT, &interpolation("local.account_id"))
    });
    let statement = |kind, table: &str| -> Result<String, CommandError> {
        let columns: Vec<String> = query::guaranteed_columns(kind).iter().map(|column| (*column).to_owned()).collect();
        query::statement(table, &columns).map_err(unsupported)
    };
    let focus = statement(Kind::Focus, "@TABLE@")?.replace("@TABLE@", &interpolation("var.focus_table"));
    let cur2 = statement(Kind::CostAndUsageReport2, query::CUR_TABLE)?;
    let cur2 = cur2.replace(" FROM ", &format!("{} FROM ", interpolation("local.cur2_columns")));
    Ok(include_str!("terraform/billing.tf")
        .replace("@IAM_PRINCIPAL_COLUMN@", query::IAM_PRINCIPAL_COLUMN)
        .replace("@DATA_ROOT@", DATA_ROOT.trim_end_matches('/'))
        .replace("@UPLOAD_DAYS@", &plan::UPLOAD_DAYS_MAX.to_string())
        .replace("@BUCKET_POLICY@", &hcl::literal(&policy, 1))
        .replace("@CUR2_TABLE@", query::CUR_TABLE)
        .replace("@CUR2_QUERY@", &quoted(&cur2))
        .replace("@FOCUS_QUERY@", &quoted(&focus)))
}

fn replaced(value: &Value, with: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::from(with(text)),
        Value::Array(items) => items.iter().map(|item| replaced(item, with)).collect(),
        Value::Object(pairs) => Value::Object(pairs.iter().map(|(key, value)| (key.clone(), replaced(value, with))).collect()),
        other => other.clone(),
    }
}

fn own_variables() -> String {
    include_str!("terraform/variables.tf").replace("@FOCUS_TABLE@", FOCUS_TABLE).trim_start().to_owned()
}

/// One variable for each parameter that the module needs, by name, with the template's own constraints.
fn variables(template: &Template, parameters: &BTreeMap<String, String>, writer: &Writer<'_>) -> Vec<(String, String)> {
    let needed =
        |parameter: &Parameter| ALWAYS.contains(&parameter.name.as_str()) || writer.parameters().contains(&parameter.name);
    let text = |parameter: Parameter| {
        let given = parameters.get(&parameter.name).or(parameter.default.as_ref()).cloned();
        (snake(&parameter.name), variable(&parameter, given))
    };
    template.parameters().into_iter().filter(needed).map(text).collect()
}

/// A root module that runs as it stands: Terraform asks for what has no value yet.
fn example(variables: &[(String, String)]) -> String {
    let open: Vec<&(String, String)> = variables.iter().filter(|(_, text)| !text.contains("\n  default ")).collect();
    let arguments: Vec<(&str, String)> = open.iter().map(|(name, _)| (name.as_str(), format!("var.{name}"))).collect();
    let declared: String = open.iter().map(|(_, text)| text.as_str()).collect();
    let text = include_str!("terraform/example.tf").replace("@VARIABLES@\n", &declared);
    match arguments.is_empty() {
        true => text.replace("\n@ARGUMENTS@\n", ""),
        false => text.replace("@ARGUMENTS@\n", &aligned(&arguments, 1)),
    }
}

fn variable(parameter: &Parameter, default: Option<String>) -> String {
    let name = snake(&parameter.name);
    let is_external_id = parameter.name == "ExternalId";
    let kind = if parameter.kind == "Number" { "number" } else { "string" };
    // Nothing stands in for an empty external ID without a stack, so its description ends there.
    let description = match parameter.description.split_once(". Keep the value") {
        Some((sentence, _)) if is_external_id => format!("{sentence}."),
        _ => parameter.description.clone(),
    };
    let mut entries = vec![("description", quoted(&description)), ("type", kind.to_owned())];
    if let Some(default) = default.filter(|default| !is_external_id || !default.is_empty()) {
        entries.push(("default", if kind == "number" { default } else { quoted(&default) }));
    }
    let mut text = format!("\nvariable \"{name}\" {{\n{}", aligned(&entries, 1));
    let mut validation = |condition: String, message: &str| {
        let message = quoted(&format!("{name} {message}."));
        let entries = [("condition", condition), ("error_message", message)];
        let _ = write!(text, "\n  validation {{\n{}  }}\n", aligned(&entries, 2));
    };
    if !parameter.allowed.is_empty() {
        let words: Vec<String> = parameter.allowed.iter().map(|word| quoted(word)).collect();
        let message = format!("must be one of {}", parameter.allowed.join(", "));
        validation(format!("contains([{}], var.{name})", words.join(", ")), &message);
    }
    let (pattern, length) = parameter.pattern.as_deref().map(repeatable).unwrap_or_default();
    if let Some(max) = parameter.limits.max_length.or(length) {
        validation(format!("length(var.{name}) <= {max}"), &format!("must have at most {max} characters"));
    }
    if !pattern.is_empty() {
        let whole = quoted(&format!("^(?:{pattern})$"));
        let message = parameter.constraint.clone().unwrap_or_else(|| format!("must match {pattern}"));
        validation(format!("can(regex({whole}, var.{name}))"), &message);
    }
    // As the handler does.
    if parameter.name == "ExistingPrefix" {
        let why = "must be a prefix of keys in the bucket, such as billing/finance, and no address";
        validation(format!("!can(regex(\"://|^arn:|^/+$\", var.{name}))"), why);
    }
    if is_external_id {
        let why = "must not be empty: it is what keeps the vendor's other customers out";
        validation(format!("var.{name} != \"\""), why);
    }
    text.push_str("}\n");
    text
}

/// Terraform's expressions (RE2) repeat up to this often.
const REPEATED_MAX: u64 = 1_000;

/// A pattern without a repetition that Terraform refuses, and the length that takes its place.
fn repeatable(pattern: &str) -> (String, Option<u64>) {
    let Some((before, (least, most), after)) = pattern.split_once('{').and_then(|(before, rest)| {
        let (counts, after) = rest.split_once('}')?;
        Some((before, counts.split_once(',')?, after))
    }) else {
        return (pattern.to_owned(), None);
    };
    let (rest, length) = repeatable(after);
    match most.parse::<u64>() {
        Ok(most) if most > REPEATED_MAX => (format!("{before}{{{least},}}{rest}"), Some(most)),
        _ => (format!("{before}{{{least},{most}}}{rest}"), length),
    }
}

fn readme(template: &Template) -> String {
    let mut packs = String::new();
    for pack in template.packs() {
        let modes: Vec<String> = pack.modes.iter().map(|mode| format!("`{}`", mode.as_str())).collect();
        let _ = writeln!(packs, "| `{}` | {} | {} |", snake(&pack.parameter), modes.join(", "), pack.purpose);
    }
    include_str!("terraform/README.md").replace("@VERSION@", VERSION).replace("@PACKS@\n", &packs)
}
