//! `hawser connect`: connects without a stack.

use clap::Args;
use hawser_cli::connect::{StacklessConnection, stackless::StacklessAws};
use serde_json::json;

use crate::commands::{
    common::{Abort, Output, Settings, help, out, print_json},
    person::{
        CredentialArguments, ProgressPrinter, TokenArguments, check_token_is_no_setting, confirm, connect_request, interrupted,
        show,
    },
};

/// What a stack has and this has not.
const NO_WATCH: &str = "There is no function in this account, so the vendor is not told whether billing data arrives.";

/// What `--help` says first.
pub(crate) const LONG: &str = "Connects this account with your own credentials: no stack, no function. The same code as in a stack makes the billing data, and role and packs are those of the template. Shows its plan and asks for confirmation first. Run it again with other settings to change the connection, and with the same to finish what was interrupted.\n\nThe connection is known by the account and ConnectionName. There is no function in the account afterwards, so the vendor is not told whether billing data arrives; launch the stack if that is wanted.";

#[derive(Debug, Args)]
#[command(
    after_help = help!(
        "hawser connect --profile cost-insights --set VendorName=Acme --set VendorAccountId=999988887777 --set NoticeUrl=https://acme.example/notices --set ExternalId=customer-4711 --launch-token-file token.txt"
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    person: CredentialArguments,
    /// How many managed policies AWS allows on a role of this account, where it was asked to allow more than 10.
    #[arg(long, value_name = "N")]
    managed_policies_quota: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Abort> {
    check_token_is_no_setting(&arguments.settings)?;
    let person = arguments.person.find().await?;
    let request = connect_request(&arguments.settings, &arguments.token, &person, arguments.managed_policies_quota, true)?;
    let (lines, ports) = (ProgressPrinter::new(arguments.output), person.ports());
    let aws = StacklessAws::new(ports.cloud, lines.clone());
    let direct = StacklessConnection::new(&request, ports, &aws, &person, &*lines)?;
    let plan = direct.plan().await?;
    let something = show(&plan, &lines);
    if something {
        lines.print(&format!("\n{NO_WATCH}\n"));
        confirm(arguments.yes)?;
        lines.print("\n");
    }
    let done = match direct.connect(&plan).await {
        Ok(done) => done,
        Err(why) => return Err(interrupted(why, &direct.existing_resources().await, "connect")),
    };
    match arguments.output {
        Output::Json => print_json(&json!({ "plan": plan, "done": done })),
        Output::Text if something => {
            out!("\nconnected: the vendor can assume `{}`\n", done.role_arn);
            if !done.message.is_empty() {
                out!("the vendor says: {}\n", done.message);
            }
            done.remarks.iter().for_each(|remark| out!("note: {remark}\n"));
        }
        Output::Text => {}
    }
    Ok(())
}
