//! The command line of what an operator does by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::uri::Authority;

use super::database::Database;
use crate::{
    access::Scope,
    api_token::EXPIRES_IN_DAYS_DEFAULT,
    names::{AccountId, CustomerId},
    view::State,
};

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// Of this customer only.
    #[arg(long, value_name = "ID")]
    pub customer_id: Option<CustomerId>,
    /// Of this AWS account only.
    #[arg(long, value_name = "ID")]
    pub account_id: Option<AccountId>,
    /// In one of these states, separated by commas. Without it: in any but `unconfirmed`.
    #[arg(long = "state", value_name = "STATE", value_parser = state, value_delimiter = ',')]
    pub states: Vec<State>,
    /// With this text in the label, the name or the account id.
    #[arg(long)]
    pub text: Option<String>,
}

/// `show`, `verify`, `disconnect`
#[derive(Debug, Args)]
pub struct ConnectionArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// Which connection: its `connectionId`.
    #[arg(long, value_name = "ID")]
    pub connection_id: String,
}

/// `token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it as JSON, this once.
    Create(TokenCreateArgs),
    /// List all tokens, without the tokens themselves.
    List(Database),
    /// Revoke a token at once.
    Revoke(TokenRevokeArgs),
}

/// `token create`
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// For people: who has it.
    #[arg(long)]
    pub name: String,
    /// What it is good for, separated by commas: `read`, `manage` (connections), `launch`, `admin` (all of it, and tokens).
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope, value_delimiter = ',', required = true)]
    pub scopes: Vec<Scope>,
    /// The only customer whose data it sees; all customers when left out.
    #[arg(long, value_name = "ID")]
    pub customer_id: Option<CustomerId>,
    /// How long it is good: at most 366 days.
    #[arg(long, default_value_t = EXPIRES_IN_DAYS_DEFAULT)]
    pub expires_in_days: u32,
}

/// `token revoke`
#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// Which token: its `tokenId`.
    #[arg(long, value_name = "ID")]
    pub token_id: String,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// The authority of the notice URL, as `serve` has it: whether the listener can be reached by it is then a check, too.
    #[arg(long, env = "HAWSER_CONSOLE_AUTHORITY", value_delimiter = ',')]
    pub authority: Vec<Authority>,
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// The new file.
    pub file: PathBuf,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would replace the command's own help")]
    pub database: Database,
    /// The backup.
    pub file: PathBuf,
}

fn state(text: &str) -> Result<State, String> {
    let all = State::ALL.map(State::as_str).join(", ");
    State::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| format!("none of {all}"))
}

fn scope(text: &str) -> Result<Scope, String> {
    let all = Scope::ALL.map(Scope::as_str).join(", ");
    Scope::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| format!("none of {all}"))
}
