//! `hawser setup guide`: how to make role and policies by hand.

use clap::Args;
use hawser_cli::{
    setup::{
        guide,
        policies::{MANAGED_POLICIES_MAX, MANAGED_POLICIES_QUOTA_MAX},
    },
    template::Template,
};

use crate::commands::common::{Abort, BillingArguments, Output, Settings, TargetArguments, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup guide --account 111122223333 --profile cost-insights --set VendorAccountId=999988887777 --set ExternalId=customer-4711 --bucket acme-billing"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    billing: BillingArguments,
    /// How many managed policies a role or user of this account takes.
    #[arg(long, value_name = "N", default_value_t = MANAGED_POLICIES_MAX as u64,
        value_parser = clap::value_parser!(u64).range(1..=MANAGED_POLICIES_QUOTA_MAX as u64))]
    managed_policies_quota: u64,
    /// Output format: Markdown, or JSON with the Markdown in `page`.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Abort> {
    let template = Template::ours();
    let parameters = arguments.settings.parameters(&template)?;
    let profile = arguments.settings.profile()?;
    let (target, billing) = (arguments.target.target()?, arguments.billing.location()?);
    let quota = usize::try_from(arguments.managed_policies_quota).unwrap_or(MANAGED_POLICIES_MAX);
    let page = guide::page(&template, profile.as_ref(), &parameters, &target, billing.as_ref(), quota)?;
    match arguments.output {
        Output::Text => out!("{page}"),
        Output::Json => print_json(&serde_json::json!({ "page": page })),
    }
    Ok(())
}
