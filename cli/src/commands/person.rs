//! What the commands have in common that run with a person's own credentials.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use hawser::names::Region;
use hawser_cli::{
    connect::{CommandError, ConnectRequest, ConnectionPlan, sdk::CallerSession, stackless::Progress},
    template::Template,
};

use crate::commands::common::{Abort, Exit, Output, Settings, out, read_text};

/// Holds the launch token where there is no file of it.
const TOKEN_VARIABLE: &str = "HAWSER_LAUNCH_TOKEN";

/// Whose credentials, and where.
#[derive(Debug, Args)]
pub(crate) struct CredentialArguments {
    /// A profile of the AWS CLI, whose credentials are used. Otherwise they are found as the AWS CLI finds them.
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,
    /// The Region that the template's own Region stands for; otherwise the AWS CLI's.
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
}

impl CredentialArguments {
    pub(crate) async fn find(&self) -> Result<CallerSession, Abort> {
        Ok(CallerSession::find(self.aws_profile.as_deref(), self.region.as_ref().map(Region::as_str)).await?)
    }
}

/// The launch token, which no argument ever holds: other users of a machine see each other's.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// A file that holds the launch token of the vendor's launch link; otherwise HAWSER_LAUNCH_TOKEN in the environment.
    #[arg(long, value_name = "FILE")]
    launch_token_file: Option<PathBuf>,
}

impl TokenArguments {
    fn token(&self) -> Result<Option<String>, Abort> {
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment here")]
        let variable = || std::env::var(TOKEN_VARIABLE).ok();
        let text = match &self.launch_token_file {
            Some(file) => Some(read_text(file)?),
            None => variable(),
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

/// Refuses a launch token among the arguments, before anything else is done.
pub(crate) fn check_token_is_no_setting(settings: &Settings) -> Result<(), Abort> {
    if !settings.set.iter().any(|(name, _)| name == "LaunchToken") {
        return Ok(());
    }
    let why = "the launch token must not be an argument, which other users of this machine can see. Pass it with --launch-token-file or HAWSER_LAUNCH_TOKEN.";
    Err(Abort::new(Exit::Usage, "TOKEN_IN_ARGUMENTS", why))
}

/// A token that signs nothing, where nobody is told: the template wants one.
const NO_TOKEN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Gathers what is asked for; without a token if nobody is to be told.
pub(crate) fn connect_request(
    settings: &Settings,
    token: &TokenArguments,
    person: &CallerSession,
    quota: Option<u64>,
    notifies: bool,
) -> Result<ConnectRequest, Abort> {
    let template = Template::ours();
    let mut parameters = settings.parameters(&template)?;
    let token = if notifies { token.token()? } else { Some(NO_TOKEN.to_owned()) };
    match token {
        Some(token) => {
            parameters.insert("LaunchToken".to_owned(), token);
        }
        None => {
            let why = "there is no launch token. Pass it with --launch-token-file or HAWSER_LAUNCH_TOKEN.";
            return Err(Abort::new(Exit::Usage, "CONNECT_TOKEN", why));
        }
    }
    template.check(&parameters)?;
    Ok(ConnectRequest {
        template,
        parameters,
        caller: person.caller().clone(),
        region: person.region().clone(),
        managed_policies_quota: quota,
    })
}

/// Prints what was done, as it is done. Where programs read the output, people read the other one.
#[derive(Debug)]
pub(crate) struct ProgressPrinter(pub(crate) Output);

impl ProgressPrinter {
    pub(crate) fn new(output: Output) -> Arc<Self> {
        Arc::new(Self(output))
    }

    pub(crate) fn print(&self, text: &str) {
        match self.0 {
            Output::Text => out!("{text}"),
            Output::Json => eprint!("{text}"),
        }
    }
}

impl Progress for ProgressPrinter {
    fn done(&self, what: &str) {
        self.print(&format!("  {what}\n"));
    }
}

/// Asks whether to go on, unless that was answered with `--yes`.
pub(crate) fn confirm(yes: bool) -> Result<(), Abort> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let why = "there is no terminal to ask for confirmation. Read the plan, then pass --yes.";
        return Err(Abort::new(Exit::Usage, "CONFIRMATION_MISSING", why));
    }
    eprint!("\nContinue? [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Abort::new(Exit::Refused, "DECLINED", "nothing was changed."))
}

/// Shows a plan; whether there is anything to do.
pub(crate) fn show(plan: &ConnectionPlan, lines: &ProgressPrinter) -> bool {
    lines.print(&plan.to_string());
    !plan.is_empty()
}

/// A run that stopped half-way: what there is, and how to go on.
pub(crate) fn interrupted(why: CommandError, there: &[String], command: &str) -> Abort {
    let mut stop = Abort::from(why);
    let there = if there.is_empty() { "nothing of this connection is in the account".to_owned() } else { there.join(", ") };
    stop.message = format!(
        "{}\n  there is now: {there}\n  run `hawser {command}` again to continue, or `hawser disconnect` to remove it",
        stop.message
    );
    stop
}

impl From<CommandError> for Abort {
    fn from(refusal: CommandError) -> Self {
        let exit = match &refusal {
            CommandError::Template(error) => return Self::from(error.clone()),
            _ if refusal.is_aws_error() => Exit::External,
            _ if ["CONNECT_EXTERNAL_ID", "CONNECT_TOKEN", "REGION_ELSEWHERE"].contains(&refusal.code()) => Exit::Usage,
            _ => Exit::Refused,
        };
        Self { exit, code: refusal.code().to_owned(), message: refusal.to_string() }
    }
}
