//! `hawser preflight`: a look before a launch.

use std::process::ExitCode;

use clap::Args;
use hawser_cli::{
    error::{CommandError, Exit},
    preflight::{Outcome, check},
    template::Template,
};

use crate::commands::{
    common::{Output, Settings, out, print_json},
    person::{CredentialArguments, QuotaArguments},
};

/// What `--help` says first.
pub(crate) const LONG: &str = "Checks whether a launch of the stack would succeed in this account, with your own credentials, and changes nothing: the account's place in its organization, what would be done about billing data and why, which permissions a launch needs and which of them you lack, quotas, a stack of the same name, the organization of a roll-out, and what could not be determined.";

#[derive(Debug, Args)]
#[command(
    after_help = concat!(
        "Example:\n  hawser preflight --profile cost-insights --region eu-west-1\n\n",
        "Exit codes: 0 ready: no problem was found; 1 AWS or a file; 2 the command line is wrong; 3 the launch would fail;\n4 could not look at what the result depends on."
    )
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    person: CredentialArguments,
    /// The stack's name.
    #[arg(long, value_name = "NAME", default_value = "hawser")]
    stack_name: String,
    /// For a roll-out to an organization: the template with a StackSet (OrganizationalUnitIds), launched in the management account.
    #[arg(long)]
    organization: bool,
    #[command(flatten)]
    quota: QuotaArguments,
}

pub(crate) async fn run(arguments: Arguments, output: Output) -> Result<ExitCode, CommandError> {
    let template = match arguments.organization {
        true => Template::ours().for_organization()?,
        false => Template::ours(),
    };
    let parameters = arguments.settings.parameters(&template)?;
    let person = arguments.person.find().await?;
    let inquiry = person.request(template, parameters, arguments.quota.managed_policies_quota);
    let report = check(&inquiry, &arguments.stack_name, &person.ports(), &person, &person).await?;
    match output {
        Output::Text => out!("{report}"),
        Output::Json => print_json(&serde_json::to_value(&report).unwrap_or_default()),
    }
    // The report says why, in either form.
    Ok(match report.outcome {
        Outcome::Ready => ExitCode::SUCCESS,
        Outcome::WouldFail => Exit::Refused.into(),
        Outcome::CouldNotLook => Exit::CouldNotLook.into(),
    })
}
