//! Every rule of `docs/requirements.md` is cited by code and by a test, and every citation names a rule.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{files_below, read};

/// Rule ids in a text: `HW-` with a capital letter and digits.
fn rules_in(text: &str) -> BTreeSet<String> {
    let id = |rest: &str| {
        let digits = rest.get(1..)?.chars().take_while(char::is_ascii_digit).count();
        (rest.starts_with(|c: char| c.is_ascii_uppercase()) && digits > 0).then(|| format!("HW-{}", &rest[..=digits]))
    };
    text.split("HW-").skip(1).filter_map(id).collect()
}

fn cited_below(places: &[&str]) -> BTreeSet<String> {
    let may_cite = |path: &Path| {
        path.extension().is_some_and(|kind| ["rs", "py", "yaml"].iter().any(|known| kind == *known)) && !path.ends_with(file!())
    };
    let files = files_below(places).into_iter().filter(|path| may_cite(path));
    files.flat_map(|path| rules_in(&fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_rule_is_obeyed_somewhere_and_tested_somewhere() {
    let rules = rules_in(&read("docs/requirements.md"));
    assert!(rules.len() >= 30, "rules went missing: {rules:?}");
    let code = cited_below(&["src", "cli/src", "console/src", "template.yaml"]);
    let tests = cited_below(&["tests", "cli/tests", "console/tests", "dev/tests", "dev/sam", "dev/policies", "sim/src"]);
    let by_no_code: Vec<&String> = rules.difference(&code).collect();
    let by_no_test: Vec<&String> = rules.difference(&tests).collect();
    let unknown: Vec<&String> = code.union(&tests).filter(|rule| !rules.contains(*rule)).collect();
    assert!(
        by_no_code.is_empty() && by_no_test.is_empty() && unknown.is_empty(),
        "cited by no code: {by_no_code:?}\ncited by no test: {by_no_test:?}\nnot a rule: {unknown:?}"
    );
}

#[test]
fn rule_ids_are_found_as_they_are_written() {
    let found = rules_in("HW-A1, F-3; HW-B12. HW-x1 HW- HW-C");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["HW-A1", "HW-B12"]);
}
