//! The glossary's retired words stay out of identifiers.

use std::{collections::BTreeMap, path::Path, process::Command};

/// Word to what is used instead, from the fenced block `retired` of `docs/glossary.md`.
fn retired(glossary: &str) -> BTreeMap<String, String> {
    let block = glossary.split("```retired\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let rows = block.lines().filter_map(|line| line.trim().split_once(' '));
    rows.map(|(word, instead)| (word.to_owned(), instead.trim().to_owned())).collect()
}

/// What is no identifier, replaced by blanks: comments, strings and characters. Lines stay where they are.
fn code_only(text: &str, python: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match comment_or_literal(rest, python) {
            0 => {
                out.push(first);
                // The whole word: what looks like the prefix of a literal inside of one is none.
                let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()).max(first.len_utf8());
                out.push_str(&rest[first.len_utf8()..word]);
                word
            }
            length => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                length
            }
        };
        rest = &rest[length..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The length of the comment or literal that text begins with; 0 if it begins with code.
fn comment_or_literal(text: &str, python: bool) -> usize {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let quoted = |quote: char, from: usize| {
        let mut escaped = false;
        let end = text[from..].char_indices().find(|(_, c)| {
            let ends = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |(at, _)| from + at + 1)
    };
    if python {
        return match text {
            _ if text.starts_with('#') => until("\n", 0) - usize::from(text.contains('\n')),
            _ if text.starts_with("\"\"\"") => until("\"\"\"", 3),
            _ if text.starts_with('"') => quoted('"', 1),
            _ if text.starts_with('\'') => quoted('\'', 1),
            _ => 0,
        };
    }
    let raw = text.trim_start_matches(['b', 'c']).strip_prefix('r').filter(|_| text.starts_with(['r', 'b', 'c']));
    let hashes = raw.map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let (Some(raw), Some(hashes)) = (raw, hashes)
        && raw[hashes..].starts_with('"')
    {
        let from = text.len() - raw.len() + hashes + 1;
        return until(&format!("\"{}", "#".repeat(hashes)), from);
    }
    match text {
        _ if text.starts_with("//") => until("\n", 0) - usize::from(text.contains('\n')),
        _ if text.starts_with("/*") => until("*/", 2),
        _ if text.starts_with('"') => quoted('"', 1),
        // A character, and not a lifetime.
        _ if text.starts_with("'\\") => quoted('\'', 1),
        _ if text.starts_with('\'') && text.chars().nth(2) == Some('\'') => text.chars().take(3).map(char::len_utf8).sum(),
        _ => 0,
    }
}

/// The parts of `snake_case` and `CamelCase`, in lower case.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut previous = '_';
    for c in identifier.chars() {
        match c {
            '_' => {}
            _ if previous == '_' || (c.is_ascii_uppercase() && !previous.is_ascii_uppercase()) => parts.push(c.to_string()),
            _ => parts.last_mut().unwrap().push(c),
        }
        previous = c;
    }
    parts.iter().map(|part| part.to_ascii_lowercase()).collect()
}

/// Each retired word in an identifier, as `file:line: identifier: not `word`, but instead`.
fn found(file: &str, text: &str, retired: &BTreeMap<String, String>) -> Vec<String> {
    let code = code_only(text, file.ends_with(".py"));
    let lines = code.lines().enumerate().flat_map(|(index, line)| line.split(|c| !is_word(c)).map(move |word| (index + 1, word)));
    let hits = lines.flat_map(|(line, identifier)| {
        let hit = move |part: String| retired.get(&part).map(|instead| (line, identifier, part, instead));
        parts(identifier).into_iter().filter_map(hit)
    });
    hits.map(|(line, identifier, word, instead)| format!("{file}:{line}: {identifier}: not `{word}`, but {instead}")).collect()
}

#[test]
fn no_identifier_contains_a_retired_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let retired = retired(&std::fs::read_to_string(root.join("docs/glossary.md")).unwrap());
    assert!(retired.len() > 20, "the glossary has no list of retired words");
    let listed = Command::new("git").args(["ls-files", "*.rs", "*.py"]).current_dir(root).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // A file that was removed and not yet committed is still listed.
    let files: Vec<&str> = listed.lines().filter(|file| root.join(file).is_file()).collect();
    assert!(files.len() > 100, "git lists too few files");
    let hits: Vec<String> =
        files.iter().flat_map(|file| found(file, &std::fs::read_to_string(root.join(file)).unwrap(), &retired)).collect();
    assert!(hits.is_empty(), "{} retired words, see docs/glossary.md:\n{}", hits.len(), hits.join("\n"));
}

#[test]
fn only_identifiers_are_searched() {
    let retired = BTreeMap::from([("wish".to_owned(), "request".to_owned())]);
    let text = "// wish\n/* wish */ let a = \"wish \\\" wish\"; let b = r#\"a wish\"# ; let c = ('\\'', '\"');\nfn my_wish<'a>(x: &'a MyWish) {} wished";
    assert_eq!(
        found("a.rs", text, &retired),
        ["a.rs:3: my_wish: not `wish`, but request", "a.rs:3: MyWish: not `wish`, but request"]
    );
    assert_eq!(found("a.py", "# wish\nwish = 'wish' \"\"\"\nwish\"\"\"", &retired), ["a.py:2: wish: not `wish`, but request"]);
}
