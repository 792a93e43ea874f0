//! `hawser disconnect`: ends what `hawser connect` began.

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

/// What `--help` says first.
pub(crate) const LONG: &str = "Ends a connection that `hawser connect` made: tells the vendor, then removes role, packs and billing export. Delivered data stays, with its bucket, unless BillingRetention is Delete. Shows its plan and asks for confirmation first. Give the same settings as to `hawser connect`: the connection is known by the account and ConnectionName.\n\nA connection that a stack made is ended by deleting the stack.";

#[derive(Debug, Args)]
#[command(
    after_help = help!(
        "hawser disconnect --profile cost-insights --set VendorName=Acme --set VendorAccountId=999988887777 --set NoticeUrl=https://acme.example/notices --set ExternalId=customer-4711 --launch-token-file token.txt"
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    person: CredentialArguments,
    /// Do not notify the vendor. The launch token is not needed then.
    #[arg(long)]
    without_notice: bool,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Abort> {
    let notifies = !arguments.without_notice;
    check_token_is_no_setting(&arguments.settings)?;
    let person = arguments.person.find().await?;
    let request = connect_request(&arguments.settings, &arguments.token, &person, None, notifies)?;
    let (lines, ports) = (ProgressPrinter::new(arguments.output), person.ports());
    let aws = StacklessAws::new(ports.cloud, lines.clone());
    let direct = StacklessConnection::new(&request, ports, &aws, &person, &*lines)?;
    let plan = direct.plan_disconnect(notifies).await?;
    let something = show(&plan, &lines);
    if something {
        confirm(arguments.yes)?;
        lines.print("\n");
    }
    let done = match direct.disconnect(&plan).await {
        Ok(done) => done,
        Err(why) => return Err(interrupted(why, &direct.existing_resources().await, "disconnect")),
    };
    match arguments.output {
        Output::Json => print_json(&json!({ "plan": plan, "done": done })),
        Output::Text if something => {
            out!("\ndisconnected: nothing of the connection is left except what the plan keeps\n");
            done.remarks.iter().for_each(|remark| out!("note: {remark}\n"));
        }
        Output::Text => {}
    }
    Ok(())
}
