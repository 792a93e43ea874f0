//! The project's virtual environment: the emulator and AWS's service models come from it.

use std::path::{Path, PathBuf};

use anyhow::bail;
pub use hawser_publish::repository;

/// Names another virtual environment than the repository's `.venv`.
const VENV_VARIABLE: &str = "HAWSER_VENV";

/// The interpreter that has MiniStack.
pub fn python() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os(VENV_VARIABLE).map_or_else(|| repository().join(".venv"), PathBuf::from);
    let python = folder.join("bin/python");
    if !python.exists() {
        bail!("there is no virtual environment in `{}` (hint: run `make venv`)", folder.display());
    }
    Ok(python)
}

/// botocore's folder inside the virtual environment.
pub fn botocore() -> anyhow::Result<PathBuf> {
    let python = python()?;
    let library = python.parent().and_then(Path::parent).map(|root| root.join("lib")).unwrap_or_default();
    let found = std::fs::read_dir(&library)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/botocore")))
        .find(|path| path.is_dir());
    match found {
        Some(path) => Ok(path),
        None => bail!("`{}` holds no botocore (hint: run `make venv`)", library.display()),
    }
}
