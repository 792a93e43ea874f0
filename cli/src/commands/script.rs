//! `hawser setup script`: a script of AWS CLI calls.

use clap::Args;
use hawser_cli::{
    setup::{
        policies::{MANAGED_POLICIES_MAX, MANAGED_POLICIES_QUOTA_MAX},
        script,
    },
    template::Template,
};

use crate::commands::common::{BillingArguments, Output, PlaceArguments, Settings, Stop, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup script --account 111122223333 --profile security-posture --set VendorAccountId=999988887777 --set ExternalId=customer-4711"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    billing: BillingArguments,
    /// A role that you have; the packs are attached to it and it stays as it is. The same as --set ExistingRoleName=NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    existing_role: Option<String>,
    /// Make a user with an access key, which goes into Secrets Manager and nowhere else. The same as --set AccessMethod=AccessKey.
    #[arg(long)]
    user: bool,
    /// How many managed policies a role or user of this account takes.
    #[arg(long, value_name = "N", default_value_t = MANAGED_POLICIES_MAX as u64,
        value_parser = clap::value_parser!(u64).range(1..=MANAGED_POLICIES_QUOTA_MAX as u64))]
    managed_policies_quota: u64,
    /// How to print it; for programs the script comes as `script`.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<(), Stop> {
    let template = Template::ours();
    let set = &mut arguments.settings.set;
    set.extend(arguments.existing_role.map(|name| ("ExistingRoleName".to_owned(), name)));
    set.extend(arguments.user.then(|| ("AccessMethod".to_owned(), "AccessKey".to_owned())));
    let parameters = arguments.settings.parameters(&template)?;
    let (place, billing) = (arguments.place.place()?, arguments.billing.place()?);
    let quota = usize::try_from(arguments.managed_policies_quota).unwrap_or(MANAGED_POLICIES_MAX);
    let script = script::script(&template, &parameters, &place, billing.as_ref(), quota)?;
    match arguments.output {
        Output::Text => out!("{script}"),
        Output::Json => print_json(&serde_json::json!({ "script": script })),
    }
    Ok(())
}
