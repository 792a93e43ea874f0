//! The parameters that a command is given: a profile's, and single ones over them.

use std::{collections::BTreeMap, fmt::Display, fs, io, path::Path};

use clap::Args;

use crate::{
    error::{CommandCode, CommandError},
    profile::Profile,
    template::Template,
};

/// Which parameters the stack, or what takes its place, is made with.
#[derive(Debug, Args)]
pub struct Settings {
    /// A profile's name (`hawser profiles` lists them), or the path of a file that ends in `.toml`.
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub profile: Option<String>,
    /// A parameter of the template, such as `PackEc2=ReadOnly`. Can be given many times; it goes before the profile's.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `Parameter=Value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Settings {
    /// The named profile.
    ///
    /// # Errors
    /// There is none, or the file is none.
    pub fn profile(&self) -> Result<Option<Profile>, CommandError> {
        let Some(name) = &self.profile else { return Ok(None) };
        if name.ends_with(".toml") {
            let profile = Profile::read(&read_text(Path::new(name))?);
            return profile.map(Some).map_err(|error| error.with_line(format!("in `{name}`")));
        }
        Ok(Some(Profile::find(name)?))
    }

    /// The profile's parameters and those of `--set` over them, each checked against the template.
    ///
    /// # Errors
    /// What the template refuses, or as [`Settings::profile`].
    pub fn parameters(&self, template: &Template) -> Result<BTreeMap<String, String>, CommandError> {
        let mut parameters = self.profile()?.map(|profile| profile.parameters).unwrap_or_default();
        parameters.extend(self.set.iter().cloned());
        template.check(&parameters)?;
        Ok(parameters)
    }
}

/// A file that could not be read or written, or is not what it should be.
pub fn file_error(why: impl Display) -> CommandError {
    CommandError::new(CommandCode::File, why)
}

/// The text of a file, or of standard input where the path is `-`.
///
/// # Errors
/// [`CommandCode::File`].
pub fn read_text(path: &Path) -> Result<String, CommandError> {
    if path == Path::new("-") {
        return io::read_to_string(io::stdin()).map_err(|why| file_error(format!("could not read standard input: {why}")));
    }
    fs::read_to_string(path).map_err(|why| file_error(format!("could not read `{}`: {why}", path.display())))
}
