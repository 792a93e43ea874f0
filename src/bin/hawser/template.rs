//! `hawser template`: the template itself.

use clap::Args;
use hawser::template::{INLINE_BYTES_MAX, Template};
use serde_json::json;

use crate::common::{Exit, Output, Stop, help};

#[derive(Debug, Args)]
#[command(after_help = help!("hawser template --inline"))]
pub(crate) struct Arguments {
    /// Compact JSON without what only readers need, as it is sent in a request: below 51,200 bytes.
    #[arg(long)]
    inline: bool,
    /// How to print it. The template is JSON in both forms; for programs it comes with its size.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Stop> {
    let template = Template::ours();
    let text = match arguments.inline {
        true => template.inline(),
        false => serde_json::to_string_pretty(template.json()).unwrap_or_default(),
    };
    let max = arguments.inline.then_some(INLINE_BYTES_MAX);
    if let Some(max) = max.filter(|max| text.len() > *max) {
        let why = format!("the template has {} bytes and CloudFormation takes {max} in a request; send it by S3", text.len());
        return Err(Stop::new(Exit::Refused, "TEMPLATE_TOO_LARGE", why));
    }
    match arguments.output {
        Output::Text => println!("{text}"),
        Output::Json => println!("{}", json!({ "bytes": text.len(), "bytesMax": max, "template": text })),
    }
    Ok(())
}
