//! Every belief of `docs/beliefs.md` is cited by the code that relies on it, and every citation names a belief.

use std::{collections::BTreeSet, fs};

use crate::support::{files_below, read};

/// Ids of beliefs in a text: `B-` and digits, not within another word.
fn beliefs_in(text: &str) -> BTreeSet<u32> {
    let at_word = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "-_`".contains(c));
    let number = |at: usize| text[at + 2..].split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    text.match_indices("B-").filter(|(at, _)| at_word(*at)).filter_map(|(at, _)| number(at)).collect()
}

#[test]
fn each_belief_is_cited_where_it_is_relied_on() {
    let page = read("docs/beliefs.md");
    let rows = page.lines().filter(|line| line.starts_with("| B-"));
    let listed: Vec<u32> = rows.clone().flat_map(|row| beliefs_in(row.split(" | ").next().unwrap())).collect();
    assert_eq!(
        listed,
        (1..=u32::try_from(listed.len()).unwrap()).collect::<Vec<_>>(),
        "ids are in order, and none is used again"
    );
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.trim().is_empty()), "{row}");
    }
    let files = files_below(&["src", "cli/src", "console/src", "stack", "packs"]);
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    let cited: BTreeSet<u32> = texts.flat_map(|text| beliefs_in(&text)).collect();
    assert_eq!(cited, listed.into_iter().collect(), "cited by code, and listed in docs/beliefs.md");
}

#[test]
fn a_belief_is_found_as_it_is_written() {
    assert_eq!(beliefs_in("(B-3), B-12. HW-B1 F-2 AB-4 B- B-x").into_iter().collect::<Vec<_>>(), [3, 12]);
}
