//! `hawser connect`: connects without a stack.

use clap::Args;
use hawser_cli::error::CommandError;

use crate::commands::{
    common::{Output, help},
    person::{Action, ConnectionArguments, QuotaArguments},
};

/// What `--help` says first.
pub(crate) const LONG: &str = "Connects this account with your own credentials: no stack, no function. The same code as in a stack makes the billing data, and role and packs are those of the template. Shows its plan and asks for confirmation first. Run it again with other settings to change the connection, and with the same to finish what was interrupted.\n\nThe connection is known by the account and ConnectionName. There is no function in the account afterwards, so the vendor is not told whether billing data arrives; launch the stack if that is wanted.";

#[derive(Debug, Args)]
#[command(
    after_help = help!(
        "hawser connect --profile cost-insights --set VendorName=Acme --set VendorAccountId=999988887777 --set NoticeUrl=https://acme.example/notices --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13 --launch-token-file token.txt"
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    quota: QuotaArguments,
}

pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    arguments.connection.run(Action::Connect, arguments.quota.managed_policies_quota, output).await
}
