//! `docs/coverage.md` says where Hawser has what five public onboarding guides offer. Every pack, parameter, command, test and action
//! that it names is looked up here; `documents.rs` follows its links.

use std::{collections::BTreeSet, fs, path::PathBuf};

use hawser_cli::template::Template;
use serde_json::Value;

use crate::support::{commands_of, read, root};

/// The guides, with the number of rows and of policies that each has. A row is never removed.
const GUIDES: [(&str, usize, usize); 5] = [
    ("Cost insights", 27, 0),
    ("Autonomous optimizer", 40, 17),
    ("Security posture", 27, 1),
    ("Cloud IAM", 14, 1),
    ("Analytics engine", 18, 6),
];

/// What a text has in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of each row of a section's table.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// A policy of a guide, taken apart into its actions.
struct Policy<'a> {
    name: &'a str,
    /// How many actions the guide's policy has.
    size: usize,
    /// A pack with its mode, or a resource of the template.
    places: Vec<&'a str>,
    tests: Vec<&'a str>,
    granted: Vec<String>,
    left_out: Vec<String>,
}

impl<'a> Policy<'a> {
    fn read(section: &'a str) -> Self {
        let (name, text) = section.split_once("\n\n").unwrap();
        let (head, lists) = text.split_once("\n\n").unwrap();
        let (places, tests) = head.split_once("; tests: ").unwrap();
        let actions = |start: &str| lists.lines().filter_map(|line| line.strip_prefix(start)).flat_map(actions).collect();
        Self {
            name,
            size: places.split_once(' ').unwrap().0.parse().unwrap(),
            places: quoted(places),
            tests: quoted(tests),
            granted: actions("- granted: "),
            left_out: actions("- left out: "),
        }
    }
}

/// The actions of a line such as `` `ec2: CreateTags DeleteTags`, `kms: DescribeKey`: the reason ``.
fn actions(line: &str) -> Vec<String> {
    let of_service =
        |(service, names): (&str, &str)| names.split(' ').map(|name| format!("{service}:{name}")).collect::<Vec<_>>();
    quoted(line).into_iter().filter_map(|words| words.split_once(": ")).flat_map(of_service).collect()
}

/// The guides' sections, each with its heading, and the policies of each.
fn guides(page: &str) -> Vec<(&str, &str, Vec<Policy<'_>>)> {
    let read = |section| {
        let mut parts = str::split(section, "\n### ");
        let (name, text) = parts.next().unwrap().split_once('\n').unwrap();
        (name, text, parts.map(Policy::read).collect())
    };
    page.split("\n## ").skip(1).map(read).collect()
}

/// Whether an action of the template, perhaps with a wildcard, is this one or includes it.
fn includes(granted: &str, action: &str) -> bool {
    match granted.split_once('*') {
        Some((start, rest)) => action
            .strip_prefix(start)
            .is_some_and(|left| left.char_indices().map(|(at, _)| at).chain([left.len()]).any(|at| includes(rest, &left[at..]))),
        None => granted.eq_ignore_ascii_case(action),
    }
}

/// The actions that a pack in a mode allows (`ec2 ReadOnly`), or the policies within a resource (`EngineBoundary`).
fn allowed(template: &Template, place: &str) -> Option<Vec<String>> {
    let Some((pack, mode)) = place.split_once(' ') else {
        let mut found = Vec::new();
        allowed_within(template.json()["Resources"].get(place)?, &mut found);
        return Some(found);
    };
    let pack = template.packs().into_iter().find(|known| known.name == pack)?;
    let mode = *pack.modes.iter().find(|known| known.as_str() == mode)?;
    let statements = pack.statements.into_iter().filter(|statement| statement.effect == "Allow" && statement.mode <= mode);
    Some(statements.flat_map(|statement| statement.actions).collect())
}

fn allowed_within(value: &Value, found: &mut Vec<String>) {
    if value["Effect"] == "Allow" {
        let action = &value["Action"];
        let listed = action.as_array().map_or_else(|| vec![action], |all| all.iter().collect());
        found.extend(listed.into_iter().filter_map(Value::as_str).map(str::to_owned));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| allowed_within(item, found)),
        Value::Object(pairs) => pairs.values().for_each(|item| allowed_within(item, found)),
        _ => {}
    }
}

/// The names of all test functions, and of the checks that `make check` runs over every statement.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<PathBuf> =
        ["tests", "cli", "console", "dev", "src", "publish", "sim", "stack"].iter().map(|place| root().join(place)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let (rust, checks) = (path.extension().is_some_and(|kind| kind == "rs"), path.ends_with("dev/policies/checks.py"));
        if !rust && !checks {
            continue;
        }
        let mut is_test = checks;
        for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = ["fn ", "async fn ", "def "].iter().find_map(|start| line.strip_prefix(start));
            if let Some(name) = name.filter(|_| is_test) {
                found.insert(name.split(['(', '<']).next().unwrap().to_owned());
                is_test = checks;
            }
        }
    }
    found
}

#[test]
fn every_row_names_what_there_is() {
    let template = Template::ours();
    let (commands, tests) = (commands_of(""), tests());
    let parameters: BTreeSet<String> =
        template.for_organization().unwrap().parameters().into_iter().map(|one| one.name).collect();
    let known = |word: &str| match word.strip_prefix("hawser ") {
        Some(command) => commands.contains(command.split(' ').next().unwrap()),
        None => parameters.contains(word) || allowed(&template, word).is_some_and(|actions| !actions.is_empty()),
    };
    let page = read("docs/coverage.md");
    let guides = guides(&page);
    let mut wrong = Vec::new();
    for (_, text, policies) in &guides {
        for row in rows(text) {
            let [_, status, how, places, named] = row[..] else { panic!("not five cells: {row:?}") };
            let empty = how.is_empty() || (places.is_empty() || named.is_empty()) && status != "not ours";
            let unknown = quoted(places).into_iter().find(|word| !known(word));
            let untested = quoted(named).into_iter().find(|test| !tests.contains(*test));
            if empty
                || unknown.is_some()
                || untested.is_some()
                || !["yes", "another way", "not ours", "missing"].contains(&status)
            {
                wrong.push(format!("{row:?}: empty {empty}, unknown {unknown:?}, no test {untested:?}"));
            }
        }
        let untested = policies.iter().flat_map(|policy| &policy.tests).filter(|test| !tests.contains(**test));
        wrong.extend(untested.map(|test| format!("no test {test}")));
    }
    let sizes: Vec<_> = guides.iter().map(|(name, text, policies)| (*name, rows(text).len(), policies.len())).collect();
    assert_eq!(sizes, GUIDES);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_action_of_a_policy_is_granted_or_left_out() {
    let template = Template::ours();
    let page = read("docs/coverage.md");
    let mut wrong = Vec::new();
    for Policy { name, size, places, granted, left_out, .. } in guides(&page).into_iter().flat_map(|(_, _, policies)| policies) {
        let allowed: Vec<String> = places.iter().flat_map(|place| allowed(&template, place).unwrap()).collect();
        let is_allowed = |action: &String| allowed.iter().any(|one| includes(one, action));
        let distinct: BTreeSet<&String> = granted.iter().chain(&left_out).collect();
        if distinct.len() != size || granted.len() + left_out.len() != size {
            wrong.push(format!("{name}: {} actions, not {size}", distinct.len()));
        }
        wrong
            .extend(granted.iter().filter(|action| !is_allowed(action)).map(|action| format!("{name}: {action} is not granted")));
        wrong.extend(left_out.iter().filter(|action| is_allowed(action)).map(|action| format!("{name}: {action} is granted")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn actions_and_wildcards_are_read_as_iam_reads_them() {
    assert!(includes("ec2:Describe*", "ec2:DescribeVolumes") && includes("s3:*", "s3:GetObject") && includes("a:*b*c", "a:xbyc"));
    assert!(!includes("ec2:Describe*", "ec2:RunInstances") && !includes("s3:GetObject", "s3:GetObjectAcl"));
    assert!(!includes("a:*b", "a:bc"));
    assert_eq!(actions("`ec2: A B`, `kms: C`: for `a reason`"), ["ec2:A", "ec2:B", "kms:C"]);
}
