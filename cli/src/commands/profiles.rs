//! `hawser profiles`: the named sets of parameters.

use clap::Args;
use hawser_cli::{error::CommandError, profile::Profile, template::Template};
use serde_json::json;

use crate::commands::common::{Output, Settings, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!("hawser profiles" "hawser profiles cost-insights"))]
pub(crate) struct Arguments {
    /// Show this one: a name, or the path of a file that ends in `.toml`.
    #[arg(value_name = "NAME|FILE.toml")]
    show: Option<String>,
}

pub(crate) fn run(arguments: Arguments, output: Output) -> Result<(), CommandError> {
    let template = Template::ours();
    let settings = Settings { profile: arguments.show, set: Vec::new() };
    // A profile that the template does not take is none.
    settings.parameters(&template)?;
    match (settings.profile()?, output) {
        (Some(profile), Output::Json) => print_json(&json!(profile)),
        (Some(profile), Output::Text) => show(&profile, &template),
        (None, Output::Json) => {
            let about = |profile: &Profile| json!({ "name": profile.name, "title": profile.title, "summary": profile.summary });
            print_json(&json!({ "profiles": Profile::all().iter().map(about).collect::<Vec<_>>() }));
        }
        (None, Output::Text) => {
            let all = Profile::all();
            let width = all.iter().map(|profile| profile.name.len()).max().unwrap_or_default();
            all.iter().for_each(|profile| out!("{:width$}  {}\n", profile.name, profile.summary));
        }
    }
    Ok(())
}

fn show(profile: &Profile, template: &Template) {
    out!("{} ({})\n{}\n\n", profile.title, profile.name, profile.summary);
    out!("The vendor gets:\n  {}\n\n", profile.texts.grants.trim());
    out!("The vendor never does this:\n  {}\n\n", profile.texts.never.trim());
    out!("Parameters (all others keep their defaults):\n");
    for parameter in template.parameters() {
        if let Some(value) = profile.parameters.get(&parameter.name) {
            out!("  {} = {value}  ({})\n", parameter.name, parameter.label);
        }
    }
}
