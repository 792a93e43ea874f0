//! The command line for vendors, and for people who look before they launch.
#![expect(clippy::print_stderr, reason = "a command line prints")]

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{
    common::{Output, help, out},
    connect, disconnect, guide, link, plan, policies, preflight, profiles, script, template, terraform, trust,
};

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
    let (output, done) = match Arguments::parse().command {
        Command::Plan(arguments) => (arguments.output, plan::run(arguments).await),
        Command::Setup(method) => match method {
            Setup::Link(arguments) => (arguments.output, link::run(arguments)),
            Setup::Policies(arguments) => (arguments.output, policies::run(arguments)),
            Setup::Trust(arguments) => (arguments.output, trust::run(arguments)),
            Setup::Script(arguments) => (arguments.output, script::run(arguments)),
            Setup::Terraform(arguments) => (arguments.output, terraform::run(arguments)),
            Setup::Guide(arguments) => (arguments.output, guide::run(arguments)),
        },
        Command::Template(arguments) => (arguments.output, template::run(arguments)),
        Command::Profiles(arguments) => (arguments.output, profiles::run(arguments)),
        Command::Preflight(arguments) => {
            let output = arguments.output;
            match preflight::run(arguments).await {
                Ok(exit) => return exit,
                Err(stop) => (output, Err(stop)),
            }
        }
        Command::Connect(arguments) => (arguments.output, connect::run(arguments).await),
        Command::Disconnect(arguments) => (arguments.output, disconnect::run(arguments).await),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            match output {
                Output::Text => eprintln!("error: {}", stop.message),
                Output::Json => out!("{}\n", stop.json()),
            }
            stop.exit.into()
        }
    }
}
