//! `hawser template`: the template itself.

use clap::Args;
use hawser_cli::{
    error::{CommandCode, CommandError},
    template::{INLINE_BYTES_MAX, Template},
};
use serde_json::json;

use crate::commands::common::{Output, Settings, help, out};

#[derive(Debug, Args)]
#[command(after_help = help!("hawser template --inline --profile security-posture" "hawser template --organization"))]
pub(crate) struct Arguments {
    /// Compact JSON without what only readers need, as it is sent in a request: below 51,200 bytes. All packs together pass that, so
    /// packs that are off are left out; so they are with a profile or parameters.
    #[arg(long)]
    inline: bool,
    /// The template for an organization's management account: the same stack, and with it a StackSet that connects the members.
    #[arg(long)]
    organization: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let settings = &arguments.settings;
    let template = match arguments.organization {
        true => Template::ours().for_organization()?,
        false => Template::ours(),
    };
    let parameters = settings.parameters(&template)?;
    let narrow = arguments.inline || settings.profile.is_some() || !settings.set.is_empty();
    let template = if narrow { template.without_disabled_packs(&parameters) } else { template };
    let text = match arguments.inline {
        true => template.inline(),
        false => serde_json::to_string_pretty(template.json()).unwrap_or_default(),
    };
    let max = arguments.inline.then_some(INLINE_BYTES_MAX);
    if let Some(max) = max.filter(|max| text.len() > *max) {
        let cause = format!("the template has {} bytes and CloudFormation takes {max} in a request", text.len());
        return Err(CommandError::new(CommandCode::TemplateTooLarge, cause));
    }
    match output {
        Output::Text => out!("{text}\n"),
        Output::Json => out!("{}\n", json!({ "bytes": text.len(), "bytesMax": max, "template": text })),
    }
    Ok(())
}
