//! What `setup` and `docs` share: the repository's files, the program, and templates of a few lines.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hawser_cli::template::Template;

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub(crate) fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program, at the root of the repository and without credentials: what needs them ends there.
pub(crate) fn hawser() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawser"));
    command.current_dir(root()).env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// The commands that the help text of a command lists; of the program's own, if the command is empty.
pub(crate) fn commands_of(command: &str) -> BTreeSet<String> {
    let help = hawser().args(command.split_whitespace()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let first = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    first.filter(|command| *command != "help").map(str::to_owned).collect()
}

/// A template of this text, as YAML or JSON.
pub(crate) fn template_of(text: &str) -> Template {
    Template::read(&hawser_stack::to_json(text).unwrap()).unwrap()
}
