//! `hawser setup script`: a script of AWS CLI calls.

use clap::Args;
use hawser_cli::{error::CommandError, setup::script};

use crate::commands::common::{Output, SetupArguments, SetupInput, help, print_text};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup script --account 111122223333 --profile security-posture --set VendorAccountId=999988887777 --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    setup: SetupArguments,
    /// An existing role; the packs are attached to it and nothing else about it changes. The same as --set ExistingRoleName=NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    existing_role: Option<String>,
    /// Create a user with an access key, which is stored in Secrets Manager only. The same as --set AccessMethod=AccessKey.
    #[arg(long)]
    user: bool,
}

pub(crate) fn run(mut arguments: Arguments, output: Output) -> Result<(), CommandError> {
    let set = &mut arguments.setup.settings.set;
    set.extend(arguments.existing_role.map(|name| ("ExistingRoleName".to_owned(), name)));
    set.extend(arguments.user.then(|| ("AccessMethod".to_owned(), "AccessKey".to_owned())));
    let SetupInput { template, parameters, target, billing, quota } = arguments.setup.read()?;
    print_text("script", &script::script(&template, &parameters, &target, billing.as_ref(), quota)?, output);
    Ok(())
}
