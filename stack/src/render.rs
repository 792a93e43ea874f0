//! The text of `template.yaml`.

use std::path::Path;

use anyhow::Context as _;
use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig, value::Serde};

use crate::{document, pack::packs};

/// Lines are filled up to this column.
const WIDTH: usize = 128;

/// What `template.yaml` should be, by the files below `root`, the repository's own folder.
///
/// # Errors
/// When a file is missing or wrong; the message names it.
pub fn template(root: &Path) -> anyhow::Result<String> {
    let frame = root.join("stack/template.yaml.jinja");
    let text = std::fs::read_to_string(&frame).with_context(|| frame.display().to_string())?;
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("reference", |name: &str| format!("${{{name}}}"));
    environment.add_function("entry", entry);
    let packs = packs(&root.join("packs"))?;
    let text = environment.render_str(&text, context! { packs => Serde(packs) })?;
    document::read(&text).context("the result is not a template")?;
    Ok(text)
}

/// A key and a text, on one line if it fits there; `indent` is the key's column.
fn entry(key: &str, text: &str, indent: usize) -> String {
    let is_plain = !text.contains(": ") && !text.contains(" #") && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_plain && indent + key.len() + 2 + text.len() <= WIDTH {
        return format!("{key}: {text}");
    }
    let margin = " ".repeat(indent + 2);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| margin.len() + line.len() + 1 + word.len() <= WIDTH);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    format!("{key}: >-\n{margin}{}", lines.join(&format!("\n{margin}")))
}
