//! What the published binary is made of, as CycloneDX has it: by `cargo cyclonedx`, for the handler's features alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The workspace's other packages have dependencies and features that the handler has not.
const MEMBERS: &str = "members = [\"console\", \"dev\", \"dev/bench\"]";

/// The feature that the handler is built with (Makefile, `build`).
const FEATURES: &str = "aws";

/// What Lambda runs; the list is the same for arm64.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// In place of the folder that it was made in, so that it is the same wherever it is made.
const ANYWHERE: &str = "file:///hawser";

/// The bill of materials of the package in `repository`.
///
/// # Errors
/// `cargo cyclonedx` is missing or fails.
pub fn sbom(repository: &Path) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let copy = std::fs::canonicalize(folder.path())?;
    let manifest = std::fs::read_to_string(repository.join("Cargo.toml"))?;
    ensure!(manifest.contains(MEMBERS), "Cargo.toml does not hold `{MEMBERS}`");
    std::fs::write(copy.join("Cargo.toml"), manifest.replace(MEMBERS, "members = []"))?;
    std::fs::copy(repository.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    for sources in ["src", "tests"] {
        std::os::unix::fs::symlink(repository.join(sources), copy.join(sources))?;
    }
    let made = Command::new("cargo")
        .args(["cyclonedx", "--quiet", "--manifest-path"])
        .arg(copy.join("Cargo.toml"))
        .args(["--format", "json", "--spec-version", "1.5", "--override-filename", "sbom", "--no-build-deps"])
        .args(["--no-default-features", "--features", FEATURES, "--target", TARGET])
        // The time of the build would make each one different.
        .env("SOURCE_DATE_EPOCH", "0")
        .output()
        .context("could not run `cargo cyclonedx`")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "`cargo cyclonedx` failed (hint: `make package` installs it): {said}");
    let text = std::fs::read_to_string(copy.join("sbom.json")).context("`cargo cyclonedx` wrote nothing")?;
    let text = text.replace(&format!("file://{}", copy.display()), ANYWHERE);
    ensure!(text.contains("\"lambda_runtime\""), "the bill of materials is not the handler's");
    ensure!(!text.contains(&copy.display().to_string()), "the bill of materials names the folder that it was made in");
    Ok(text)
}
