//! Turns the templates into JSON for the command line, which therefore contains no YAML parser.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment where to write")]
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["template", "organization"] {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../{name}.yaml"));
        println!("cargo::rerun-if-changed={}", source.display());
        fs::write(out.join(format!("{name}.json")), hawser_stack::to_json(&fs::read_to_string(source)?)?)?;
    }
    Ok(())
}
