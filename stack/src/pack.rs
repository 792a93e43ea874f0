//! The files of `packs/`: one permission pack each.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    document,
    probe::{self, ProbeOrReason, probe_or_reason},
};

/// What a pack lets the vendor do. Ordered: the later includes the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    ReadOnly,
    ReadWrite,
}

/// A permission pack: one managed policy, switched by one parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pack {
    /// Its short name, as notices have it, and its file's: `ec2`.
    pub name: String,
    /// The parameter that switches it, and the condition under which it is there: `PackEc2`.
    pub parameter: String,
    /// The condition that holds in the mode ReadWrite only: `PackEc2Writes`. None for a pack without that mode.
    pub writes: Option<String>,
    /// The policy's resource: `PackEc2Policy`.
    pub policy: String,
    /// A few words: in pages, and beside the parameter in the CloudFormation console.
    pub title: String,
    /// A sentence below the parameter in the CloudFormation console.
    pub description: String,
    /// What the pack is for, in each of its modes.
    pub purpose: String,
    /// The modes there are besides `None`.
    pub modes: Vec<Mode>,
    /// The mode of a stack that does not say.
    pub default: Option<Mode>,
    /// AWS's own policies that go with it.
    pub managed_policies: Vec<String>,
    /// How these are tried.
    pub probe: Option<ProbeOrReason>,
    pub statements: Vec<Statement>,
    /// The comment with which the file begins.
    pub comment: Vec<String>,
}

/// One statement of a pack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statement {
    /// Its id, unique among all packs.
    pub sid: String,
    /// The first mode that has it.
    pub mode: Mode,
    /// The condition of the template under which it is there; none where it is whenever the pack is.
    pub condition: Option<String>,
    /// Why it is there.
    pub why: String,
    pub probe: ProbeOrReason,
    /// The statement in its long form.
    pub json: Value,
    /// The statement as the file has it, with its comments.
    pub text: String,
    /// The comment above it.
    pub comment: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    title: String,
    description: String,
    purpose: String,
    default: Option<Mode>,
    #[serde(default)]
    managed_policies: Vec<String>,
    probe: Option<probe::Entry>,
    statements: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    mode: Mode,
    /// A condition of the frame that holds in the mode ReadWrite only, in place of the pack's own; or any, of a denial.
    when: Option<String>,
    why: String,
    probe: Option<probe::Entry>,
    no_probe: Option<String>,
    #[serde(flatten)]
    statement: Map<String, Value>,
}

/// All packs of a folder: those that a stack has by default first, then by name.
///
/// # Errors
/// When a file cannot be read or is not a pack; the message names it.
pub fn packs(folder: &Path) -> anyhow::Result<Vec<Pack>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a file's name is not text")?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        found.push(pack(name, &text).with_context(|| path.display().to_string())?);
    }
    found.sort_by_key(|pack| (pack.default.is_none(), pack.name.clone()));
    Ok(found)
}

fn pack(name: &str, text: &str) -> anyhow::Result<Pack> {
    let file: File = serde_json::from_value(document::value(text)?)?;
    let parameter = format!("Pack{}", name.split('-').map(capitalized).collect::<String>());
    let writes = file.statements.iter().any(|entry| entry.mode == Mode::ReadWrite).then(|| format!("{parameter}Writes"));
    let texts = statement_texts(text)?;
    ensure!(texts.len() == file.statements.len(), "a statement begins with `  - Sid: `");
    let mut statements = Vec::new();
    for (entry, (text, comment)) in file.statements.into_iter().zip(texts) {
        let json = Value::Object(entry.statement);
        ensure!(document::value(&text)? == json, "the layout differs from that of the other packs:\n{text}");
        let narrows = entry.mode == Mode::ReadWrite || json["Effect"] == "Deny";
        ensure!(entry.when.is_none() || narrows, "`when` is for ReadWrite and for denials");
        statements.push(Statement {
            sid: json["Sid"].as_str().context("a `Sid` is a text")?.to_owned(),
            mode: entry.mode,
            condition: entry.when.or_else(|| writes.clone().filter(|_| entry.mode == Mode::ReadWrite)),
            why: entry.why,
            probe: probe_or_reason(&json, entry.probe, entry.no_probe)?,
            json,
            text,
            comment,
        });
    }
    ensure!(file.probe.is_some() != file.managed_policies.is_empty(), "AWS's managed policies have one `probe` of the pack");
    Ok(Pack {
        policy: format!("{parameter}Policy"),
        modes: if writes.is_some() { vec![Mode::ReadOnly, Mode::ReadWrite] } else { vec![Mode::ReadOnly] },
        name: name.to_owned(),
        parameter,
        writes,
        title: file.title,
        description: file.description,
        purpose: file.purpose,
        default: file.default,
        managed_policies: file.managed_policies,
        probe: file.probe.map(|entry| entry.probe().map(ProbeOrReason::Probe)).transpose()?,
        statements,
        comment: text.lines().take_while(|line| line.starts_with('#')).map(str::to_owned).collect(),
    })
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1.min(word.len()));
    first.to_ascii_uppercase() + rest
}

/// The text of each statement without the keys that IAM does not have, and the comment above it.
fn statement_texts(file: &str) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let (mut comment, mut is_ours) = (Vec::new(), false);
    for line in file.lines().skip_while(|line| *line != "statements:").skip(1) {
        if let Some(first) = line.strip_prefix("  - ") {
            found.push((format!("{first}\n"), std::mem::take(&mut comment)));
            is_ours = false;
        } else if let (Some(line), Some((text, _))) = (line.strip_prefix("    "), found.last_mut()) {
            if !line.starts_with(' ') {
                is_ours = ["mode:", "noProbe:", "probe:", "when:", "why:"].iter().any(|key| line.starts_with(key));
            }
            if !is_ours {
                text.push_str(line);
                text.push('\n');
            }
        } else if line.starts_with("  #") {
            comment.push(line.trim_start().to_owned());
        } else if !line.is_empty() {
            bail!("not part of a statement: `{line}`");
        }
    }
    Ok(found)
}
