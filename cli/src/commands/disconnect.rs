//! `hawser disconnect`: ends what `hawser connect` began.

use clap::Args;
use hawser_cli::connect::{Direct, stackless::Standing};
use serde_json::json;

use crate::commands::{
    common::{Output, Settings, Stop, help, out, print_json},
    person::{Lines, PersonArguments, TokenArguments, confirm, half_way, refuse_token_in, show, wish},
};

/// What `--help` says first.
pub(crate) const LONG: &str = "Ends a connection that `hawser connect` made: tells the vendor, then removes role, packs and billing export. Delivered data stays, with its bucket, unless BillingRetention is Delete. Shows what it will do and asks first. Give the same settings as to `hawser connect`: the connection is known by the account and ConnectionName.\n\nA connection that a stack made is ended by deleting the stack.";

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
    person: PersonArguments,
    /// Do not tell the vendor. The launch token is not needed then.
    #[arg(long)]
    without_notice: bool,
    /// Do not ask whether to go on.
    #[arg(long)]
    yes: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Stop> {
    let tells = !arguments.without_notice;
    refuse_token_in(&arguments.settings)?;
    let person = arguments.person.find().await?;
    let wish = wish(&arguments.settings, &arguments.token, &person, None, tells)?;
    let (lines, ports) = (Lines::new(arguments.output), person.ports());
    let standing = Standing::new(ports.cloud, lines.clone());
    let direct = Direct::new(&wish, ports, &standing, &person, &*lines)?;
    let plan = direct.plan_end(tells).await?;
    let something = show(&plan, &lines);
    if something {
        confirm(arguments.yes)?;
        lines.say("\n");
    }
    let done = match direct.disconnect(&plan).await {
        Ok(done) => done,
        Err(why) => return Err(half_way(why, &direct.what_is_there().await, "disconnect")),
    };
    match arguments.output {
        Output::Json => print_json(&json!({ "plan": plan, "done": done })),
        Output::Text if something => {
            out!("\ndisconnected: nothing of the connection is left but what the plan keeps\n");
            done.remarks.iter().for_each(|remark| out!("note: {remark}\n"));
        }
        Output::Text => {}
    }
    Ok(())
}
