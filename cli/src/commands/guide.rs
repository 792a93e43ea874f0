//! `hawser setup guide`: how to make role and policies by hand.

use clap::Args;
use hawser_cli::{error::CommandError, setup::guide};

use crate::commands::common::{Output, SetupArguments, SetupInput, help, print_text};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup guide --account 111122223333 --profile cost-insights --set VendorAccountId=999988887777 --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13 --bucket acme-billing"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    setup: SetupArguments,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let SetupInput { template, parameters, target, billing, quota } = arguments.setup.read()?;
    let profile = arguments.setup.settings.profile()?;
    let page = guide::page(&template, profile.as_ref(), &parameters, &target, billing.as_ref(), quota)?;
    print_text("page", &page, output);
    Ok(())
}
