//! What commands have in common: groups of arguments and the two forms of output.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use clap::{Args, ValueEnum};
use hawser::names::{AccountId, Region};
pub(crate) use hawser_cli::settings::{Settings, file_error, read_text};
use hawser_cli::{
    error::{CommandCode, CommandError},
    setup::{
        BillingLocation, SetupTarget, json,
        policies::{MANAGED_POLICIES_MAX, MANAGED_POLICIES_QUOTA_MAX},
    },
    template::Template,
};
use serde_json::Value;

/// The end of a help text: examples, each a line that works as it stands, and the exit codes.
macro_rules! help {
    ($($example:literal)*) => {
        concat!(
            $("Example:\n  ", $example, "\n\n",)*
            "Exit codes: 0 done; 1 a file or AWS; 2 the command line is wrong; 3 the stack would fail, or a rule refuses this."
        )
    };
}
pub(crate) use help;

/// `print!` without the panic: what is being done goes on, and [`finish`] says at the end that the output is not whole.
macro_rules! out {
    ($($text:tt)*) => {
        $crate::commands::common::write(format_args!($($text)*))
    };
}
pub(crate) use out;

/// Why standard output is not whole.
static WRITE_ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// What a shell says of a program that SIGPIPE ended, which is how a program ends whose reader has stopped reading (`| head`).
const EXIT_READER_GONE: u8 = 141;

/// Writes to standard output until that fails, and nothing afterwards: a file with a gap would look whole.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    print_with(|| io::stdout().write_fmt(text));
}

/// The same for what prints itself.
pub(crate) fn print_with(print: impl FnOnce() -> io::Result<()>) {
    let mut error = WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if error.is_none() {
        *error = print().err();
    }
}

/// Writes to standard error, where a failure has nobody left to be told.
pub(crate) fn complain(text: impl Display) {
    drop(io::stderr().write_fmt(format_args!("{text}")));
}

/// The exit code, after all output: an error if some of it could not be written. That its reader left early is said by the exit
/// code alone.
pub(crate) fn finish(exit: ExitCode) -> ExitCode {
    let error = WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(error) = error.or_else(|| io::stdout().flush().err()) else { return exit };
    if exit != ExitCode::SUCCESS {
        return exit;
    }
    if error.kind() == io::ErrorKind::BrokenPipe {
        return EXIT_READER_GONE.into();
    }
    let error = CommandError::new(CommandCode::OutputFailed, format!("the output is not whole: {error}"));
    complain(format_args!("error: {error}\n"));
    error.exit().into()
}

/// Says why a command stopped: to people on standard error, to programs as JSON.
pub(crate) fn print_error(error: &CommandError, output: Output) -> ExitCode {
    match output {
        Output::Text => complain(format_args!("error: {error}\n")),
        Output::Json => print_json(&serde_json::json!({ "code": error.code(), "reason": error.reason() })),
    }
    error.exit().into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The account that policies are for.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The account that is being connected.
    #[arg(long, value_name = "ACCOUNT ID")]
    pub(crate) account: AccountId,
    /// A Region of the account, which determines the partition.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub(crate) region: Region,
    /// The prefix of the names of new users, roles and policies, in place of a stack name.
    #[arg(long, value_name = "NAME", default_value = "hawser")]
    pub(crate) name: String,
}

impl TargetArguments {
    pub(crate) fn target(&self) -> Result<SetupTarget, CommandError> {
        SetupTarget::new(&self.account, &self.region, &self.name)
    }
}

/// Holds the launch token where there is no file of it.
const TOKEN_VARIABLE: &str = "HAWSER_LAUNCH_TOKEN";

/// Where the launch token is. No argument holds the token itself: other users of a machine see each other's.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// A file that holds the launch token of the vendor's launch link; otherwise HAWSER_LAUNCH_TOKEN in the environment.
    #[arg(long, value_name = "FILE")]
    launch_token_file: Option<PathBuf>,
}

impl TokenArguments {
    /// The token, if there is one.
    pub(crate) fn read(&self) -> Result<Option<String>, CommandError> {
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment here")]
        let variable = || std::env::var(TOKEN_VARIABLE).ok();
        let text = match &self.launch_token_file {
            Some(file) => Some(read_text(file)?),
            None => variable(),
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// Refuses one that is given as a parameter.
    pub(crate) fn refuse_in(settings: &Settings) -> Result<(), CommandError> {
        if settings.set.iter().any(|(name, _)| name == "LaunchToken") {
            let cause = "the launch token must not be an argument, which other users of this machine can see";
            return Err(CommandError::new(CommandCode::TokenInArguments, cause));
        }
        Ok(())
    }
}

/// Where billing data is, for policies that are written before or without a stack.
#[derive(Debug, Args)]
pub(crate) struct BillingArguments {
    /// The bucket with the billing data. Without it, the billing pack names a placeholder bucket, and says so.
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<String>,
    /// Where in the bucket, down to the folder of the report. Without it, the whole bucket.
    #[arg(long, value_name = "PREFIX", requires = "bucket")]
    pub(crate) prefix: Option<String>,
    /// The ARN of the KMS key that the bucket encrypts with.
    #[arg(long, value_name = "ARN", requires = "bucket")]
    pub(crate) kms_key: Option<String>,
}

impl BillingArguments {
    pub(crate) fn location(&self) -> Result<Option<BillingLocation>, CommandError> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let prefix = self.prefix.as_deref().unwrap_or_default();
        Ok(Some(BillingLocation::new(bucket, prefix, self.kms_key.as_deref())?))
    }
}

/// What the texts that create a role or a user are made of.
#[derive(Debug, Args)]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    billing: BillingArguments,
    /// How many managed policies a role or user of this account takes.
    #[arg(long, value_name = "N", default_value_t = MANAGED_POLICIES_MAX as u64,
        value_parser = clap::value_parser!(u64).range(1..=MANAGED_POLICIES_QUOTA_MAX as u64))]
    managed_policies_quota: u64,
}

/// The same, read.
pub(crate) struct SetupInput {
    pub(crate) template: Template,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) target: SetupTarget,
    pub(crate) billing: Option<BillingLocation>,
    pub(crate) quota: usize,
}

impl SetupArguments {
    pub(crate) fn read(&self) -> Result<SetupInput, CommandError> {
        let template = Template::ours();
        Ok(SetupInput {
            parameters: self.settings.parameters(&template)?,
            template,
            target: self.target.target()?,
            billing: self.billing.location()?,
            quota: usize::try_from(self.managed_policies_quota).unwrap_or(MANAGED_POLICIES_MAX),
        })
    }
}

/// One text: as it is for people, under a name for programs.
pub(crate) fn print_text(name: &str, text: &str, output: Output) {
    match output {
        Output::Text => out!("{text}"),
        Output::Json => print_json(&serde_json::json!({ name: text })),
    }
}

/// Where files are written, and over which.
#[derive(Debug, Args)]
pub(crate) struct FolderArguments {
    /// Write the files into this folder, instead of printing them.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// Replace files in the folder that differ.
    #[arg(long, requires = "dir")]
    overwrite: bool,
}

impl FolderArguments {
    /// Writes files into the folder, which is made if it is not there, and returns their paths; none without a folder. A file that is
    /// there and differs may be somebody's work, so that nothing is written then.
    pub(crate) fn write(&self, files: &[(String, String)]) -> Result<Vec<PathBuf>, CommandError> {
        let Some(folder) = &self.dir else { return Ok(Vec::new()) };
        let failed = |path: &Path, why: io::Error| file_error(format!("could not write `{}`: {why}", path.display()));
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
        let differs = |path: &PathBuf, text: &str| {
            // A link to nowhere is there too.
            path.symlink_metadata().is_ok() && !fs::read(path).is_ok_and(|there| there == text.as_bytes())
        };
        let different: Vec<bool> = paths.iter().zip(files).map(|(path, (_, text))| differs(path, text)).collect();
        let in_the_way: Vec<String> =
            paths.iter().zip(&different).filter(|(_, differs)| **differs).map(|(path, _)| path.display().to_string()).collect();
        if !in_the_way.is_empty() && !self.overwrite {
            let cause = format!("`{}` is there and differs; nothing was written", in_the_way.join("`, `"));
            return Err(CommandError::new(CommandCode::FileExists, cause));
        }
        for (path, (_, text)) in paths.iter().zip(files) {
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|why| failed(parent, why))?;
            fs::write(path, text).map_err(|why| failed(path, why))?;
        }
        Ok(paths)
    }
}

/// JSON for people and programs: keys of policies in the order in which they are read.
pub(crate) fn print_json(value: &Value) {
    out!("{}\n", json::pretty(value));
}
