//! `hawser plan`: what the handler would do.

use std::path::{Path, PathBuf};

use clap::Args;
use hawser_account::AccountFile;
use hawser_cli::{error::CommandError, plan::dry_run};
use serde::de::DeserializeOwned;

use crate::commands::common::{Output, file_error, help, out, read_text};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser plan --event events/billing-export-create.json --account docs/examples/account-with-reports.json"
))]
pub(crate) struct Arguments {
    /// A custom resource event, as CloudFormation sends it, or the schedule's; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// What the account looks like: its organization, reports and buckets.
    #[arg(long, value_name = "FILE")]
    account: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let event: serde_json::Value = read(&arguments.event)?;
    let account: AccountFile = read(&arguments.account)?;
    let run = dry_run(&event, account).await?;
    match output {
        Output::Text => out!("{run}"),
        Output::Json => out!("{}\n", serde_json::to_string_pretty(&run).unwrap_or_default()),
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CommandError> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|why| file_error(format!("`{}` does not have the expected form: {why}", path.display())))
}
