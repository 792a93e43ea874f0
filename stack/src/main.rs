//! `make template`: writes `template.yaml`.

use std::{fs, path::Path};

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::write(root.join("template.yaml"), hawser_stack::template(&root)?)?;
    Ok(())
}
