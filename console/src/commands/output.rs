//! What a command prints: JSON lines for programs, a table for people.

use std::{
    error::Error,
    io::{self, IsTerminal as _, Write},
};

use serde_json::Value;

use crate::{api::answer::shown, names::is_unseen};

/// A column's title, and where its value is.
pub type Column = (&'static str, &'static str);
/// Wider cells are cut: the whole is in the JSON.
const CELL_CHARS_MAX: usize = 48;

/// Where it goes.
pub struct Output {
    to: Box<dyn Write>,
    for_people: bool,
    has_head: bool,
}

impl Output {
    /// The standard output, for people where that is a terminal.
    pub fn standard() -> Self {
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal())
    }

    /// Anything.
    pub fn new(to: Box<dyn Write>, for_people: bool) -> Self {
        Self { to, for_people, has_head: false }
    }

    /// One value: one line, or, for people, several.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn one(&mut self, value: &Value) -> Result<(), Box<dyn Error>> {
        let text = if self.for_people { format!("{value:#}") } else { value.to_string() };
        // Line breaks are the form's own: in a text JSON escapes them.
        let lines: Vec<_> = text.lines().map(shown).collect();
        writeln!(self.to, "{}", lines.join("\n"))?;
        Ok(self.to.flush()?)
    }

    /// A sentence for people, a value for programs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn either(&mut self, sentence: &str, value: &Value) -> Result<(), Box<dyn Error>> {
        if !self.for_people {
            return self.one(value);
        }
        writeln!(self.to, "{}", seen(sentence))?;
        Ok(self.to.flush()?)
    }

    /// A line for each.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn rows(&mut self, columns: &[Column], rows: &[Value]) -> Result<(), Box<dyn Error>> {
        if !self.for_people {
            rows.iter().try_for_each(|row| self.one(row))?;
            return Ok(());
        }
        let mut lines: Vec<Vec<String>> = Vec::new();
        if !self.has_head {
            self.has_head = true;
            lines.push(columns.iter().map(|(title, _)| (*title).to_owned()).collect());
        }
        lines.extend(rows.iter().map(|row| columns.iter().map(|(_, pointer)| cell(row.pointer(pointer))).collect()));
        let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns.len()).map(width).collect();
        for line in &lines {
            let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(self.to, "{}", cells.join("  ").trim_end())?;
        }
        Ok(self.to.flush()?)
    }
}

/// A value as people read it, without anything that a terminal would obey.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    };
    let mut text = seen(&text);
    if let Some((at, _)) = text.char_indices().nth(CELL_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

fn seen(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(for_people: bool, rows: &[Value]) -> String {
        let kept = Kept::default();
        let mut output = Output::new(Box::new(kept.clone()), for_people);
        for row in rows {
            output.rows(&[("A", "/a"), ("B", "/b")], std::slice::from_ref(row)).unwrap();
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn programs_get_lines_and_people_a_table() {
        let rows = [json!({"a": "\u{202e}x\u{9b}\n", "b": null}), json!({"a": "y".repeat(60), "b": ["c", 1]})];
        let lines = printed(false, &rows);
        assert_eq!(lines.lines().next().unwrap(), "{\"a\":\"\\u202ex\\u009b\\n\",\"b\":null}");
        assert_eq!(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>(), rows);
        let table = printed(true, &rows);
        let cut = format!("{}…  c,1", "y".repeat(48));
        assert_eq!(table.lines().collect::<Vec<_>>(), ["A     B", "\u{fffd}x\u{fffd}\u{fffd}  -", &cut]);
    }
}
