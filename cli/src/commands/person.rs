//! What the commands have in common that run with a person's own credentials: `connect` and `disconnect` are one run.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, IsTerminal},
};

use clap::Args;
use hawser::{
    names::Region,
    ports::{Ports, Progress},
};
use hawser_cli::{
    connect::{ConnectRequest, StacklessConnection, sdk::CallerSession},
    error::{CommandCode, CommandError},
    setup::link,
    template::Template,
};
use serde_json::json;

use crate::commands::common::{Output, Settings, TokenArguments, complain, out, print_json};

/// What a stack has and this has not.
const NO_DELIVERY_CHECK: &str = "There is no function in this account, so the vendor is not told whether billing data arrives.";

/// Whose credentials, and where.
#[derive(Debug, Args)]
pub(crate) struct CredentialArguments {
    /// A profile of the AWS CLI, whose credentials are used and no others. Without it they are found as the AWS CLI finds them.
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,
    /// The Region that the template's own Region stands for; otherwise the AWS CLI's.
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
}

impl CredentialArguments {
    pub(crate) async fn find(&self) -> Result<CallerSession, CommandError> {
        if let Some(region) = &self.region {
            link::check_region(region)?;
        }
        CallerSession::find(self.aws_profile.as_deref(), self.region.as_ref().map(Region::as_str)).await
    }
}

/// A quota that AWS may have raised.
#[derive(Debug, Args)]
pub(crate) struct QuotaArguments {
    /// How many managed policies AWS allows on a role of this account, where it was asked to allow more than 10.
    #[arg(long, value_name = "N")]
    pub(crate) managed_policies_quota: Option<u64>,
}

/// Which connection, and with whose word.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    person: CredentialArguments,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

/// What is done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Connect,
    Disconnect { notifies: bool },
}

/// A token that signs nothing, where nobody is told: the template wants one.
const NO_TOKEN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl ConnectionArguments {
    /// The parameters that are given, without a token.
    pub(crate) fn parameters(&self, template: &Template) -> Result<BTreeMap<String, String>, CommandError> {
        TokenArguments::refuse_in(&self.settings)?;
        self.settings.parameters(template)
    }

    /// Plans, asks for confirmation and does it.
    pub(crate) async fn run(&self, action: Action, quota: Option<u64>, output: Output) -> Result<(), CommandError> {
        TokenArguments::refuse_in(&self.settings)?;
        let person = self.person.find().await?;
        let request = self.request(&person, quota, action != Action::Disconnect { notifies: false })?;
        let printer = ProgressPrinter(output);
        let connection = StacklessConnection::new(&request, Ports { progress: &printer, ..person.ports() }, &person)?;
        let (command, plan) = match action {
            Action::Connect => ("connect", connection.plan().await?),
            Action::Disconnect { notifies } => ("disconnect", connection.plan_disconnect(notifies).await?),
        };
        printer.print(&plan.to_string());
        let something = !plan.is_empty();
        if something {
            if action == Action::Connect {
                printer.print(&format!("\n{NO_DELIVERY_CHECK}\n"));
            }
            self.confirm()?;
            printer.print("\n");
        }
        let done = match action {
            Action::Connect => connection.connect(&plan).await,
            Action::Disconnect { .. } => connection.disconnect(&plan).await,
        };
        let done = match done {
            Ok(done) => done,
            Err(why) => return Err(interrupted(why, &connection.existing_resources().await, command)),
        };
        if output == Output::Json {
            print_json(&json!({ "plan": plan, "done": done }));
        } else if something {
            match action {
                Action::Connect => out!("\nconnected: the vendor can assume `{}`\n", done.role_arn),
                Action::Disconnect { .. } => {
                    out!("\ndisconnected: nothing of the connection is left except what the plan keeps\n");
                }
            }
            if action == Action::Connect && !done.message.is_empty() {
                out!("the vendor says: {}\n", done.message);
            }
            done.remarks.iter().for_each(|remark| out!("note: {remark}\n"));
        }
        Ok(())
    }

    /// Gathers what is asked for; without a token if nobody is to be told.
    fn request(&self, person: &CallerSession, quota: Option<u64>, notifies: bool) -> Result<ConnectRequest, CommandError> {
        let template = Template::ours();
        let mut parameters = self.settings.parameters(&template)?;
        let token = if notifies { self.token.read()? } else { Some(NO_TOKEN.to_owned()) };
        let token = token.ok_or_else(|| CommandError::new(CommandCode::ConnectToken, "there is no launch token"))?;
        parameters.insert("LaunchToken".to_owned(), token);
        template.check(&parameters)?;
        Ok(person.request(template, parameters, quota))
    }

    /// Asks whether to go on, unless that was answered with `--yes`.
    fn confirm(&self) -> Result<(), CommandError> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(CommandError::new(CommandCode::ConfirmationMissing, "there is no terminal to ask for confirmation"));
        }
        complain("\nContinue? [y/N] ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
            return Ok(());
        }
        Err(CommandError::new(CommandCode::Declined, "the plan was not confirmed"))
    }
}

/// Prints what was done, as it is done. Where programs read the output, people read the other one.
#[derive(Debug)]
struct ProgressPrinter(Output);

impl ProgressPrinter {
    fn print(&self, text: &str) {
        match self.0 {
            Output::Text => out!("{text}"),
            Output::Json => complain(text),
        }
    }
}

impl Progress for ProgressPrinter {
    fn done(&self, what: &str) {
        self.print(&format!("  {what}\n"));
    }
}

/// A run that stopped half-way: what there is, and how to go on.
fn interrupted(why: CommandError, there: &[String], command: &str) -> CommandError {
    let there = if there.is_empty() { "nothing of this connection is in the account".to_owned() } else { there.join(", ") };
    why.with_line(format!("there is now: {there}"))
        .with_line(format!("run `hawser {command}` again to continue, or `hawser disconnect` to remove it"))
}
