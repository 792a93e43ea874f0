//! Writes the probes of `packs/` as JSON for the console, which therefore contains no YAML parser.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment where to write")]
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for source in ["packs", "stack/services.yaml"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    fs::write(out.join("probes.json"), hawser_stack::probes(&root)?)?;
    Ok(())
}
