//! `hawser disconnect`: ends what `hawser connect` began.

use clap::Args;
use hawser_cli::{error::CommandError, setup::left::left, template::Template};

use crate::commands::{
    common::{Output, help, out, print_json},
    person::{Action, ConnectionArguments},
};

/// What `--help` says first.
pub(crate) const LONG: &str = "Ends a connection that `hawser connect` made: tells the vendor, then removes role, packs and billing export. Delivered data stays, with its bucket, unless BillingRetention is Delete. Shows its plan and asks for confirmation first. Give the same settings as to `hawser connect`: the connection is known by the account and ConnectionName.\n\nA connection that a stack made is ended by deleting the stack.";

#[derive(Debug, Args)]
#[command(
    after_help = help!(
        "hawser disconnect --profile cost-insights --set VendorName=Acme --set VendorAccountId=999988887777 --set NoticeUrl=https://acme.example/notices --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13 --launch-token-file token.txt"
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Do not notify the vendor. The launch token is not needed then.
    #[arg(long)]
    without_notice: bool,
    /// Only show what outlives a connection or a stack with these settings, or any where none are given, and how to look for it. AWS
    /// is not asked.
    #[arg(long)]
    list_left: bool,
}

pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    if arguments.list_left {
        let template = Template::ours();
        let all = left(&template, &arguments.connection.parameters(&template)?);
        match output {
            Output::Json => print_json(&serde_json::json!({ "left": all })),
            Output::Text => {
                for one in &all {
                    let of = one.pack.map(|pack| format!(" ({pack})")).unwrap_or_default();
                    out!("{}{of}\n    where: {}\n", one.stays.replace("**", ""), one.place.replace("**", ""));
                    one.command.iter().for_each(|command| out!("    {command}\n"));
                }
            }
        }
        return Ok(());
    }
    arguments.connection.run(Action::Disconnect { notifies: !arguments.without_notice }, None, output).await
}
