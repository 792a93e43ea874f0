//! `hawser setup script`: a script of AWS CLI calls.

use clap::Args;
use hawser_cli::{
    setup::{
        policies::{MANAGED_POLICIES_MAX, MANAGED_POLICIES_QUOTA_MAX},
        script,
    },
    template::Template,
};

use crate::commands::common::{Abort, BillingArguments, Output, Settings, TargetArguments, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup script --account 111122223333 --profile security-posture --set VendorAccountId=999988887777 --set ExternalId=customer-4711"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    billing: BillingArguments,
    /// An existing role; the packs are attached to it and nothing else about it changes. The same as --set ExistingRoleName=NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    existing_role: Option<String>,
    /// Create a user with an access key, which is stored in Secrets Manager only. The same as --set AccessMethod=AccessKey.
    #[arg(long)]
    user: bool,
    /// How many managed policies a role or user of this account takes.
    #[arg(long, value_name = "N", default_value_t = MANAGED_POLICIES_MAX as u64,
        value_parser = clap::value_parser!(u64).range(1..=MANAGED_POLICIES_QUOTA_MAX as u64))]
    managed_policies_quota: u64,
    /// Output format; in JSON the script is in `script`.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<(), Abort> {
    let template = Template::ours();
    let set = &mut arguments.settings.set;
    set.extend(arguments.existing_role.map(|name| ("ExistingRoleName".to_owned(), name)));
    set.extend(arguments.user.then(|| ("AccessMethod".to_owned(), "AccessKey".to_owned())));
    let parameters = arguments.settings.parameters(&template)?;
    let (target, billing) = (arguments.target.target()?, arguments.billing.location()?);
    let quota = usize::try_from(arguments.managed_policies_quota).unwrap_or(MANAGED_POLICIES_MAX);
    let script = script::script(&template, &parameters, &target, billing.as_ref(), quota)?;
    match arguments.output {
        Output::Text => out!("{script}"),
        Output::Json => print_json(&serde_json::json!({ "script": script })),
    }
    Ok(())
}
