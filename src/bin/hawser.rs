//! The command line for vendors, and for people who look before they launch.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use hawser::{dry_run::dry_run, sim::AccountFile};
use serde::de::DeserializeOwned;

/// Connects AWS accounts to a vendor's product.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done; 1 a file cannot be read; 2 the command line is wrong; 3 the stack would fail."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what the handler would do with an event, and why, without touching AWS.
    #[command(
        after_help = "Example:\n  hawser plan --event events/billing-export-create.json --account tests/cases/standalone-creates/account.json"
    )]
    Plan {
        /// A custom resource event, as CloudFormation sends it.
        #[arg(long, value_name = "FILE")]
        event: PathBuf,
        /// What the account looks like: its organization, reports and buckets.
        #[arg(long, value_name = "FILE")]
        account: PathBuf,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The exit code of an event that would fail its stack.
const WOULD_FAIL: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Plan { event, account, output } = Arguments::parse().command;
    let files = read(&event).and_then(|event| Ok((event, read::<AccountFile>(&account)?)));
    let (event, account): (serde_json::Value, AccountFile) = match files {
        Ok(files) => files,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::FAILURE;
        }
    };
    match dry_run(&event, account).await {
        Ok(run) => {
            match output {
                Output::Text => print!("{run}"),
                Output::Json => println!("{}", serde_json::to_string_pretty(&run).unwrap_or_default()),
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            match output {
                Output::Text => println!("the stack would fail\n  {failure}"),
                Output::Json => {
                    println!("{}", serde_json::json!({ "code": failure.code.as_str(), "reason": failure.to_string() }))
                }
            }
            ExitCode::from(WOULD_FAIL)
        }
    }
}

fn read<T: DeserializeOwned>(path: &PathBuf) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("could not read `{}`: {why}", path.display()))?;
    serde_json::from_str(&text).map_err(|why| format!("`{}` is not what is expected there: {why}", path.display()))
}
