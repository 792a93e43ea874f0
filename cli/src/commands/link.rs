//! `hawser setup link`: the launch link.

use clap::Args;
use hawser::names::Region;
use hawser_cli::{error::CommandError, setup::link, template::Template};

use crate::commands::common::{Output, Settings, TokenArguments, help, out};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup link --template-url https://acme-onboarding-eu-west-1.s3.eu-west-1.amazonaws.com/template.yaml --region eu-west-1 --profile cost-insights --set ExternalId=3f9c6a52-8d1e-4c07-b5a4-9e27d0f86b13"
))]
pub(crate) struct Arguments {
    /// Where the template is published. An object in S3, because CloudFormation reads templates from S3 only.
    #[arg(long, value_name = "URL")]
    template_url: String,
    /// The Region of the stack; it determines which console the link opens.
    #[arg(long, value_name = "REGION")]
    region: Region,
    /// The stack's name.
    #[arg(long, value_name = "NAME", default_value = "hawser")]
    stack_name: String,
    /// For a roll-out to an organization: a link to the published template with a StackSet, for the management account.
    #[arg(long)]
    organization: bool,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let template = match arguments.organization {
        true => Template::ours().for_organization()?,
        false => Template::ours(),
    };
    TokenArguments::refuse_in(&arguments.settings)?;
    let mut parameters = arguments.settings.parameters(&template)?;
    parameters.extend(arguments.token.read()?.map(|token| ("LaunchToken".to_owned(), token)));
    let link = link::link(&template, &arguments.template_url, &arguments.region, &arguments.stack_name, &parameters)?;
    match output {
        Output::Json => out!("{}\n", serde_json::to_string_pretty(&link).unwrap_or_default()),
        Output::Text => {
            out!("Launch link ({} of at most {} bytes):\n\n{}\n\n", link.bytes, link.bytes_max, link.url);
            if !link.to_fill_in.is_empty() {
                out!(
                    "It does not fill in these, which need a value unless the published template has one: {}\n\n",
                    link.to_fill_in.join(", ")
                );
            }
            link.notes.iter().for_each(|note| out!("Note: {note}.\n\n"));
            out!("The same without the link:\n\n");
            for (number, step) in (1..).zip(&link.steps) {
                out!("{number:>3}. {step}\n");
            }
        }
    }
    Ok(())
}
