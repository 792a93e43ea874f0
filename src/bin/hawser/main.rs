//! The command line for vendors, and for people who look before they launch.
#![expect(clippy::print_stderr, reason = "a command line prints")]

mod cli;
mod common;
#[cfg(feature = "direct")]
mod connect;
#[cfg(feature = "direct")]
mod disconnect;
mod link;
mod page;
#[cfg(feature = "direct")]
mod person;
mod plan;
mod policies;
#[cfg(feature = "direct")]
mod preflight;
mod profiles;
mod template;
mod terraform;
mod trust;

use crate::common::out;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::help;

/// Connects AWS accounts to a vendor's product.
#[derive(Debug, Parser)]
#[command(version, after_help = help!())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Each way to connect, and what is worth a look before. A new command is a module with `Arguments` and `run`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print what the handler would do with an event, and why, without touching AWS.
    Plan(plan::Arguments),
    /// Print the launch link, and the way by the template's address.
    Link(link::Arguments),
    /// Print the policies of the packs as JSON.
    Policies(policies::Arguments),
    /// Print the trust policy of the vendor's role.
    Trust(trust::Arguments),
    /// Print a script of AWS CLI calls that makes role and policies, or a user with an access key.
    Cli(cli::Arguments),
    /// Write a Terraform module with role, packs and billing data.
    Terraform(terraform::Arguments),
    /// Print a page that says how to make role and policies by hand.
    Page(page::Arguments),
    /// Print the template as CloudFormation takes it.
    Template(template::Arguments),
    /// List the profiles, or show one.
    Profiles(profiles::Arguments),
    /// Look whether a launch would succeed, without changing anything.
    #[cfg(feature = "direct")]
    #[command(long_about = preflight::LONG)]
    Preflight(preflight::Arguments),
    /// Connect this account without a stack, with your own credentials.
    #[cfg(feature = "direct")]
    #[command(long_about = connect::LONG)]
    Connect(connect::Arguments),
    /// End what `hawser connect` began.
    #[cfg(feature = "direct")]
    #[command(long_about = disconnect::LONG)]
    Disconnect(disconnect::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (output, done) = match Arguments::parse().command {
        Command::Plan(arguments) => (arguments.output, plan::run(arguments).await),
        Command::Link(arguments) => (arguments.output, link::run(arguments)),
        Command::Policies(arguments) => (arguments.output, policies::run(arguments)),
        Command::Trust(arguments) => (arguments.output, trust::run(arguments)),
        Command::Cli(arguments) => (arguments.output, cli::run(arguments)),
        Command::Terraform(arguments) => (arguments.output, terraform::run(arguments)),
        Command::Page(arguments) => (arguments.output, page::run(arguments)),
        Command::Template(arguments) => (arguments.output, template::run(arguments)),
        Command::Profiles(arguments) => (arguments.output, profiles::run(arguments)),
        #[cfg(feature = "direct")]
        Command::Preflight(arguments) => {
            let output = arguments.output;
            match preflight::run(arguments).await {
                Ok(exit) => return exit,
                Err(stop) => (output, Err(stop)),
            }
        }
        #[cfg(feature = "direct")]
        Command::Connect(arguments) => (arguments.output, connect::run(arguments).await),
        #[cfg(feature = "direct")]
        Command::Disconnect(arguments) => (arguments.output, disconnect::run(arguments).await),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            match output {
                common::Output::Text => eprintln!("error: {}", stop.message),
                common::Output::Json => out!("{}\n", stop.json()),
            }
            stop.exit.into()
        }
    }
}
