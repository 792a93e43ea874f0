//! `hawser template`: the template itself.

use std::path::PathBuf;

use clap::Args;
use hawser_cli::{
    error::{CommandCode, CommandError},
    published,
    template::{Architecture, INLINE_BYTES_MAX, PublishedCode, Template},
};
use serde_json::json;

use crate::commands::common::{Output, Settings, help, out};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser template --code s3://acme-onboarding-eu-west-1/hawser/code/0123456789ab.zip --inline --profile security-posture"
    "hawser template --local-code --organization"
))]
pub(crate) struct Arguments {
    /// Check what a vendor published: minisign's signature of SHA256SUMS in this folder, and every file there against it.
    #[arg(long, value_name = "FOLDER", requires = "public_key", conflicts_with_all = ["code", "local_code", "inline", "organization", "without_access_key"])]
    verify: Option<PathBuf>,
    /// The vendor's public key of minisign, or its file. Get it from another place than the files.
    #[arg(long, value_name = "KEY|FILE.pub", requires = "verify")]
    public_key: Option<String>,
    /// The function's code as it was published: a zip in S3, in the Region of the stack.
    #[arg(long, value_name = "s3://BUCKET/KEY", conflicts_with = "local_code")]
    code: Option<PublishedCode>,
    /// The processor that the code was built for.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Architecture::X86_64, requires = "code")]
    architecture: Architecture,
    /// Leave the code a path in this repository: to read the template, or to upload the code with `aws cloudformation package`.
    /// CloudFormation does not accept such a template.
    #[arg(long)]
    local_code: bool,
    /// Compact JSON without what only readers need, as it is sent in a request: below 51,200 bytes. All packs together pass that, so
    /// packs that are off are left out; so they are with a profile or parameters.
    #[arg(long)]
    inline: bool,
    /// The template for an organization's management account: the same stack, and with it a StackSet that connects the members.
    #[arg(long)]
    organization: bool,
    /// Leave the access key out for good: the parameter AccessMethod, the user, its key and its secret.
    #[arg(long)]
    without_access_key: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    if let (Some(folder), Some(public_key)) = (&arguments.verify, &arguments.public_key) {
        let verified = published::verify(folder, public_key)?;
        match output {
            Output::Text => out!("{}\n", verified.iter().map(|name| format!("verified  {name}")).collect::<Vec<_>>().join("\n")),
            Output::Json => out!("{}\n", json!({ "verified": verified })),
        }
        return Ok(());
    }
    if arguments.code.is_none() && !arguments.local_code {
        let cause = "the template needs the function's code in S3, and where that is published is not known here";
        return Err(CommandError::new(CommandCode::TemplateCodeMissing, cause));
    }
    let settings = &arguments.settings;
    let template = match arguments.without_access_key {
        true => Template::ours().without_access_key(),
        false => Template::ours(),
    };
    let template = if arguments.organization { template.for_organization()? } else { template };
    let parameters = settings.parameters(&template)?;
    let narrow = arguments.inline || settings.profile.is_some() || !settings.set.is_empty();
    let template = if narrow { template.without_disabled_packs(&parameters) } else { template };
    let template = match &arguments.code {
        Some(code) => template.with_code(code, arguments.architecture),
        None => template,
    };
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
