//! The command line for vendors, and for people who look before they launch.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{
    common::{Output, finish, help, print_error, print_with},
    connect, disconnect, guide, link, plan, policies, preflight, profiles, script, template, terraform, trust,
};
use hawser_cli::error::{CommandCode, CommandError, Exit};

/// Connects AWS accounts to a vendor's product.
#[derive(Debug, Parser)]
#[command(version, after_help = help!())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Output format.
    #[arg(long, global = true, display_order = 100, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Each way to connect, and what is worth a look before. A new command is a module with `Arguments` and `run`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print what the handler would do with an event, and why, without touching AWS.
    Plan(plan::Arguments),
    /// Print what a setup method needs: link, policies, trust, script, Terraform module or guide.
    #[command(subcommand)]
    Setup(Setup),
    /// Print the template as CloudFormation accepts it.
    Template(template::Arguments),
    /// List the profiles, or show one.
    Profiles(profiles::Arguments),
    /// Check whether a launch would succeed, without changing anything.
    #[command(long_about = preflight::LONG)]
    Preflight(preflight::Arguments),
    /// Connect this account without a stack, with your own credentials.
    #[command(long_about = connect::LONG)]
    Connect(connect::Arguments),
    /// Disconnect an account that `hawser connect` connected.
    #[command(long_about = disconnect::LONG)]
    Disconnect(disconnect::Arguments),
}

/// The setup methods that are texts. None grants what another does not.
#[derive(Debug, Subcommand)]
enum Setup {
    /// Print the launch link, and the same steps without it.
    Link(link::Arguments),
    /// Print the policies of the packs as JSON.
    Policies(policies::Arguments),
    /// Print the trust policy of the vendor's role.
    Trust(trust::Arguments),
    /// Print a script of AWS CLI calls that creates the role and policies, or a user with an access key.
    Script(script::Arguments),
    /// Write a Terraform module with role, packs and billing data.
    Terraform(terraform::Arguments),
    /// Print a guide to creating the role and policies by hand.
    Guide(guide::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    finish(match Arguments::try_parse() {
        Ok(arguments) => run(arguments).await,
        Err(why) => not_parsed(&why),
    })
}

async fn run(Arguments { command, output }: Arguments) -> ExitCode {
    let done = match command {
        Command::Plan(arguments) => plan::run(&arguments, output).await,
        Command::Setup(method) => match method {
            Setup::Link(arguments) => link::run(&arguments, output),
            Setup::Policies(arguments) => policies::run(&arguments, output),
            Setup::Trust(arguments) => trust::run(&arguments, output),
            Setup::Script(arguments) => script::run(arguments, output),
            Setup::Terraform(arguments) => terraform::run(&arguments, output),
            Setup::Guide(arguments) => guide::run(&arguments, output),
        },
        Command::Template(arguments) => template::run(&arguments, output),
        Command::Profiles(arguments) => profiles::run(arguments, output),
        Command::Preflight(arguments) => match preflight::run(arguments, output).await {
            Ok(exit) => return exit,
            Err(error) => Err(error),
        },
        Command::Connect(arguments) => connect::run(&arguments, output).await,
        Command::Disconnect(arguments) => disconnect::run(&arguments, output).await,
    };
    done.map_or_else(|error| print_error(&error, output), |()| ExitCode::SUCCESS)
}

/// A help text, or a wrong command line: for programs, if it asks for JSON, wherever that stands in it.
fn not_parsed(why: &clap::Error) -> ExitCode {
    if !why.use_stderr() {
        print_with(|| why.print());
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().collect();
    let json = words.iter().any(|word| word == "--output=json") || words.windows(2).any(|pair| pair == ["--output", "json"]);
    if json {
        let text = why.to_string();
        let cause = text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
        return print_error(&CommandError::new(CommandCode::CommandLine, cause), Output::Json);
    }
    // Nobody is left to be told that this failed.
    drop(why.print());
    Exit::Usage.into()
}
