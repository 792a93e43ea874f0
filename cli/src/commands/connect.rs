//! `hawser connect`: connects without a stack.

use clap::Args;
use hawser_cli::connect::{Direct, stackless::Standing};
use serde_json::json;

use crate::commands::{
    common::{Output, Settings, Stop, help, out, print_json},
    person::{Lines, PersonArguments, TokenArguments, confirm, half_way, refuse_token_in, show, wish},
};

/// What a stack has and this has not.
const NO_WATCH: &str = "There is no function in this account, so nobody tells the vendor how billing data arrives.";

/// What `--help` says first.
pub(crate) const LONG: &str = "Connects this account with your own credentials: no stack, no function. The same code as in a stack makes the billing data, and role and packs are those of the template. Shows what it will do and asks first. Run it again with other settings to change the connection, and with the same to finish what was interrupted.\n\nThe connection is known by the account and ConnectionName. There is no function in the account afterwards, so nobody tells the vendor how billing data arrives; launch the stack if that is wanted.";

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
    person: PersonArguments,
    /// How many managed policies AWS allows on a role of this account, where it was asked to allow more than 10.
    #[arg(long, value_name = "N")]
    managed_policies_quota: Option<u64>,
    /// Do not ask whether to go on.
    #[arg(long)]
    yes: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Stop> {
    refuse_token_in(&arguments.settings)?;
    let person = arguments.person.find().await?;
    let wish = wish(&arguments.settings, &arguments.token, &person, arguments.managed_policies_quota, true)?;
    let (lines, ports) = (Lines::new(arguments.output), person.ports());
    let standing = Standing::new(ports.cloud, lines.clone());
    let direct = Direct::new(&wish, ports, &standing, &person, &*lines)?;
    let plan = direct.plan().await?;
    let something = show(&plan, &lines);
    if something {
        lines.say(&format!("\n{NO_WATCH}\n"));
        confirm(arguments.yes)?;
        lines.say("\n");
    }
    let done = match direct.connect(&plan).await {
        Ok(done) => done,
        Err(why) => return Err(half_way(why, &direct.what_is_there().await, "connect")),
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
