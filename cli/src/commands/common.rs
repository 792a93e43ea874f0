//! What commands have in common: settings, the two forms of output, how they stop.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use hawser::names::{AccountId, Region};
use hawser_cli::{
    profile::{Profile, ProfileError},
    setup::{BillingLocation, SetupError, SetupTarget, json},
    template::{Template, TemplateError},
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

/// `print!`, and without the panic where nobody reads any more (`hawser template | plan_header`): what is being done goes on.
macro_rules! out {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!($($text)*)))
    };
}
pub(crate) use out;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The exit codes besides 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A file that cannot be read or written, or AWS.
    External = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The stack would fail, or a rule refuses this.
    Refused = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked. Printed once, in `main`.
#[derive(Debug)]
pub(crate) struct Abort {
    pub(crate) exit: Exit,
    /// Stable, for programs.
    pub(crate) code: String,
    /// For people; begins with the code, or with none where a file is to blame.
    pub(crate) message: String,
}

impl Abort {
    pub(crate) fn new(exit: Exit, code: &str, why: impl Display) -> Self {
        Self { exit, code: code.to_owned(), message: format!("{code}: {why}") }
    }

    /// A file that could not be read or written, or is not what it should be.
    pub(crate) fn file(why: impl Display) -> Self {
        Self { exit: Exit::External, code: "FILE".to_owned(), message: why.to_string() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::json!({ "code": self.code, "reason": self.message })
    }
}

impl From<TemplateError> for Abort {
    fn from(error: TemplateError) -> Self {
        let exit = match error {
            TemplateError::Invalid(_) => Exit::External,
            TemplateError::RuleFailed { .. } => Exit::Refused,
            _ => Exit::Usage,
        };
        Self { exit, code: error.code().to_owned(), message: error.to_string() }
    }
}

impl From<ProfileError> for Abort {
    fn from(error: ProfileError) -> Self {
        let exit = if matches!(error, ProfileError::Unknown { .. }) { Exit::Usage } else { Exit::External };
        Self { exit, code: error.code().to_owned(), message: error.to_string() }
    }
}

impl From<SetupError> for Abort {
    fn from(error: SetupError) -> Self {
        let exit = if error.is_usage() { Exit::Usage } else { Exit::Refused };
        Self { exit, code: error.code().to_owned(), message: error.to_string() }
    }
}

/// Which parameters the stack, or what takes its place, is made with.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A profile's name (`hawser profiles` lists them), or the path of a file that ends in `.toml`.
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub(crate) profile: Option<String>,
    /// A parameter of the template, such as `PackEc2=ReadOnly`. Can be given many times; it goes before the profile's.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `Parameter=Value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Settings {
    pub(crate) fn profile(&self) -> Result<Option<Profile>, Abort> {
        let Some(name) = &self.profile else { return Ok(None) };
        if name.ends_with(".toml") {
            let in_file = |error: ProfileError| Abort { message: format!("{error}\n  in `{name}`"), ..Abort::from(error) };
            return Profile::read(&read_text(Path::new(name))?).map(Some).map_err(in_file);
        }
        Ok(Some(Profile::find(name)?))
    }

    /// The profile's parameters and those of `--set` over them, each checked against the template.
    pub(crate) fn parameters(&self, template: &Template) -> Result<BTreeMap<String, String>, Abort> {
        let mut parameters = self.profile()?.map(|profile| profile.parameters).unwrap_or_default();
        parameters.extend(self.set.iter().cloned());
        template.check(&parameters)?;
        Ok(parameters)
    }
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
    pub(crate) fn target(&self) -> Result<SetupTarget, Abort> {
        Ok(SetupTarget::new(&self.account, &self.region, &self.name)?)
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
    pub(crate) fn location(&self) -> Result<Option<BillingLocation>, Abort> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let prefix = self.prefix.as_deref().unwrap_or_default();
        Ok(Some(BillingLocation::new(bucket, prefix, self.kms_key.as_deref())?))
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, Abort> {
    fs::read_to_string(path).map_err(|why| Abort::file(format!("could not read `{}`: {why}", path.display())))
}

/// Writes files into a folder, which is made if it is not there, and returns their paths.
pub(crate) fn write_files(folder: &Path, files: &[(String, String)]) -> Result<Vec<PathBuf>, Abort> {
    let command_error = |path: &Path, why: std::io::Error| Abort::file(format!("could not write `{}`: {why}", path.display()));
    let write = |(name, text): &(String, String)| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|why| command_error(&path, why)).map(|()| path)
    };
    fs::create_dir_all(folder).map_err(|why| command_error(folder, why))?;
    files.iter().map(write).collect()
}

/// JSON for people and programs: keys of policies in the order in which they are read.
pub(crate) fn print_json(value: &Value) {
    out!("{}\n", json::pretty(value));
}
