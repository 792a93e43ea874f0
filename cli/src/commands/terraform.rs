//! `hawser setup terraform`: a module.

use clap::Args;
use hawser_cli::{error::CommandError, setup::terraform, template::Template};

use crate::commands::common::{FolderArguments, Output, Settings, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup terraform --dir target/hawser-module --profile cost-insights --set VendorAccountId=999988887777 --overwrite"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: FolderArguments,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let template = Template::ours();
    let parameters = arguments.settings.parameters(&template)?;
    let files = terraform::module(&template, &parameters)?;
    let written = arguments.folder.write(&files)?;
    match output {
        Output::Json if written.is_empty() => {
            let files: serde_json::Map<String, serde_json::Value> =
                files.into_iter().map(|(name, text)| (name, text.into())).collect();
            print_json(&serde_json::json!({ "module": files }));
        }
        Output::Json => {
            let written: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
            print_json(&serde_json::json!({ "files": written }));
        }
        Output::Text if written.is_empty() => {
            files.iter().for_each(|(name, text)| out!("# --- {name}\n{text}\n"));
        }
        Output::Text => written.iter().for_each(|path| out!("{}\n", path.display())),
    }
    Ok(())
}
