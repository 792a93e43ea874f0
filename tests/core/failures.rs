//! `docs/failures.md` says of each failure that users of comparable stacks met which test proves that it does not happen
//! here. It is written from `docs/failures.yaml` and from what the tests themselves cite, so it cannot claim more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use serde::Deserialize;

use crate::support::{assert_written, cases::CASES, files_below, root, yaml};

/// How many failures are known. A row is never dropped, whatever becomes of its test.
const ROWS: u32 = 64;

/// Where citations count, and where they are only checked for naming a row.
const PLACES: [&str; 8] = ["src", "cli", "sim", "publish", "tests", "console", "dev", "template.yaml"];

/// What is tested here is the test equipment, which proves nothing about Hawser.
const EQUIPMENT: [&str; 3] = ["dev/src/", "dev/bench/", "dev/tests/emulator/front.rs"];

/// Files whose citations are examples of citations.
const EXAMPLES: [&str; 2] = ["tests/core/failures.rs", "tests/core/requirements.rs"];

/// One failure, as `docs/failures.yaml` holds it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    f: u32,
    /// What went wrong for others.
    wrong: String,
    /// Public threads about it; none where it was read in public source.
    seen: Vec<String>,
    /// What Hawser does instead.
    hawser: String,
    #[serde(default)]
    status: Status,
    /// What is not there yet.
    #[serde(default)]
    missing: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// Tests prove the whole of the row.
    #[default]
    Proved,
    /// Tests prove a part; `missing` says what else there is to the row.
    Partly,
    /// Nothing proves it; `missing` says why.
    NotYet,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Partly => "partly",
            Self::NotYet => "not yet",
        }
    }
}

/// What in a file cites a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Citer {
    /// A test function, or a case of `tests/core/cases.rs`.
    Test(String),
    /// Anything else, by its line.
    Line(usize),
}

/// What cites which row.
type Citations = BTreeSet<(u32, Citer)>;

fn rows() -> Vec<Row> {
    yaml("docs/failures.yaml")
}

/// The numbers of the rows that a line cites: `F-` and one or two digits as a word of its own, so not `UTF-8`, not a piece
/// of a hash.
fn cited_in(line: &str) -> Vec<u32> {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut cited = Vec::new();
    for (at, _) in line.match_indices("F-") {
        let digits: String = line[at + 2..].chars().take_while(char::is_ascii_digit).collect();
        let (before, after) = (line[..at].chars().next_back(), line[at + 2 + digits.len()..].chars().next());
        if !before.is_some_and(part_of_a_word) && !after.is_some_and(part_of_a_word) && (1..=2).contains(&digits.len()) {
            cited.push(digits.parse().unwrap());
        }
    }
    cited
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// Every citation of a Rust file. What stands in the comments, the attributes or the body of a test function is cited by that
/// test; rustfmt puts the brace that ends a function below its beginning.
fn citations(text: &str) -> Citations {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeSet::new();
    let (mut head, mut at) = (0, 0);
    while at < lines.len() {
        let line = lines[at].trim_start();
        let Some(name) = function(line) else {
            if !["//", "#["].iter().any(|start| line.starts_with(start)) || line.starts_with("//!") {
                found.extend(
                    (head..=at).flat_map(|at| cited_in(lines[at]).into_iter().map(move |row| (row, Citer::Line(at + 1)))),
                );
                head = at + 1;
            }
            at += 1;
            continue;
        };
        let closing = format!("{}}}", &lines[at][..lines[at].len() - line.len()]);
        let in_one_line = line.ends_with('}') || line.ends_with(';');
        let length = if in_one_line { Some(0) } else { lines[at..].iter().position(|line| *line == closing) };
        let end = at + length.unwrap_or(lines.len() - 1 - at);
        let is_test = lines[head..at].iter().any(|line| ["#[test]", "#[tokio::test"].iter().any(|a| line.trim().starts_with(a)));
        for (number, line) in lines.iter().enumerate().take(end + 1).skip(head) {
            let citer = if is_test { Citer::Test(name.to_owned()) } else { Citer::Line(number + 1) };
            found.extend(cited_in(line).into_iter().map(|row| (row, citer.clone())));
        }
        (head, at) = (end + 1, end + 1);
    }
    found
}

/// All citations of the repository, by path from its root.
fn all_citations() -> BTreeMap<String, Citations> {
    let mut all = BTreeMap::new();
    for path in files_below(&PLACES) {
        let shown = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if !EXAMPLES.contains(&shown.as_str())
            && let Some(read) = reader(&path)
        {
            all.insert(shown, read(&fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

/// How a file's citations are read, if it is one that may have some.
fn reader(path: &Path) -> Option<fn(&str) -> Citations> {
    let story: fn(&str) -> _ = |text| cited_in(text).into_iter().map(|row| (row, Citer::Test(String::new()))).collect();
    let plain: fn(&str) -> _ = |text| {
        let line = |(at, line): (usize, &str)| cited_in(line).into_iter().map(move |row| (row, Citer::Line(at + 1)));
        text.lines().enumerate().flat_map(line).collect()
    };
    match path.extension()?.to_str()? {
        "rs" => Some(citations),
        "yaml" if path.starts_with(root().join(CASES)) => Some(story),
        "py" | "yaml" => Some(plain),
        _ => None,
    }
}

/// The tests that cite each row, as links from `docs/`.
fn proofs(all: &BTreeMap<String, Citations>) -> BTreeMap<u32, BTreeSet<String>> {
    let mut proofs: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (path, citations) in all.iter().filter(|(path, _)| !EQUIPMENT.iter().any(|equipment| path.starts_with(equipment))) {
        for (row, citer) in citations {
            let Citer::Test(name) = citer else { continue };
            let link =
                if path.starts_with(CASES) { format!("[`{path}`](../{path})") } else { format!("[`{path}::{name}`](../{path})") };
            proofs.entry(*row).or_default().insert(link);
        }
    }
    proofs
}

fn page(rows: &[Row], proofs: &BTreeMap<u32, BTreeSet<String>>) -> String {
    let with = |status: Status| rows.iter().filter(|row| row.status == status).count();
    let mut page = format!(
        "# Failures of account-onboarding stacks\n\n\
         What real users of comparable stacks ran into, what Hawser does instead, and the test that proves it. {} rows: {} proved, \
         {} partly, {} not yet.\n\n\
         This page is written from `docs/failures.yaml` and from the tests that cite a row as `F-n` (`make bless`). A file of \
         `tests/cases` is a case of `tests/core/cases.rs`.\n\n\
         | F | what went wrong for others | what Hawser does | test | status |\n| --- | --- | --- | --- | --- |\n",
        rows.len(),
        with(Status::Proved),
        with(Status::Partly),
        with(Status::NotYet),
    );
    for row in rows {
        let seen: Vec<String> = row.seen.iter().enumerate().map(|(n, url)| format!("[{}]({url})", n + 1)).collect();
        let seen = if seen.is_empty() { "read in public source".to_owned() } else { seen.join(" ") };
        let tests: Vec<&str> = proofs.get(&row.f).into_iter().flatten().map(String::as_str).collect();
        let missing = row.missing.as_ref().map_or_else(String::new, |missing| format!(": {}", missing.trim_end()));
        writeln!(
            page,
            "| F-{} | {} ({seen}) | {} | {} | {}{missing} |",
            row.f,
            row.wrong.trim_end(),
            row.hawser.trim_end(),
            tests.join("<br>"),
            row.status.as_str(),
        )
        .unwrap();
    }
    page
}

#[test]
fn every_row_is_proved_or_says_what_is_missing() {
    let (rows, proofs) = (rows(), proofs(&all_citations()));
    assert_eq!(rows.iter().map(|row| row.f).collect::<Vec<_>>(), (1..=ROWS).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for row in &rows {
        let (f, tests) = (row.f, proofs.get(&row.f).map_or(0, BTreeSet::len));
        match (row.status, tests) {
            (Status::Proved, 0) => wrong.push(format!("F-{f}: no test cites it; write one, or say `not-yet` and why")),
            (Status::Partly, 0) => wrong.push(format!("F-{f}: no test cites it, so it is `not-yet`")),
            (Status::NotYet, 1..) => wrong.push(format!("F-{f}: a test cites it, so it is `partly` or `proved`")),
            _ => {}
        }
        if row.missing.is_some() == (row.status == Status::Proved) {
            wrong.push(format!("F-{f}: `missing` says what is not there yet, and only that"));
        }
        for text in [&row.wrong, &row.hawser].into_iter().chain(&row.missing) {
            assert!(!text.contains(['|', '\n']) && !text.trim().is_empty(), "F-{f}: `{text}` is no cell of a table");
        }
        assert!(row.seen.iter().all(|url| url.starts_with("https://")), "F-{f}: {:?}", row.seen);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_citation_names_a_row() {
    let all = all_citations();
    assert!(all.values().map(BTreeSet::len).sum::<usize>() > 100, "citations went missing");
    for (path, citations) in all {
        for (row, citer) in citations {
            assert!((1..=ROWS).contains(&row), "{path}: F-{row} is no row of docs/failures.yaml ({citer:?})");
        }
    }
}

#[test]
fn the_page_says_what_rows_and_tests_say() {
    assert_written("docs/failures.md", &page(&rows(), &proofs(&all_citations())));
}

#[test]
fn a_citation_is_a_word_of_its_own() {
    assert_eq!(cited_in("/// HW-A1, F-3; (F-12). F-44: `F-7` F-9"), [3, 12, 44, 7, 9]);
    for none in ["UTF-8", "0F-12ab", "-F-1", "F-", "F-x", "F-123", "F-1a", "xF-2", "F-2-3", "F-2_x", "f-1"] {
        assert!(cited_in(none).is_empty(), "{none}");
    }
}

#[test]
fn a_citation_belongs_to_the_test_it_stands_in() {
    let text = "//! F-1\n\
        /// F-2\nfn helper() {\n    // F-3\n}\n\n\
        /// F-4.\n#[tokio::test(start_paused = true)]\nasync fn one() {\n    if x {\n    }\n    call(\"F-5\");\n}\n\
        // F-6\n\nmod tests {\n    #[test]\n    fn two() {\n        // F-7\n    }\n    fn three() { \"F-8\" }\n}\n";
    let test = |name: &str| Citer::Test(name.to_owned());
    let expected = [
        (1, Citer::Line(1)),
        (2, Citer::Line(2)),
        (3, Citer::Line(4)),
        (4, test("one")),
        (5, test("one")),
        (6, Citer::Line(14)),
        (7, test("two")),
        (8, Citer::Line(21)),
    ];
    // A comment that an empty line parts from the next function is nobody's.
    assert_eq!(citations(text), expected.into());
}
