//! `docs/errors.md` is written from the code and is complete; codes are unique and used (HW-W1).

use std::{collections::BTreeSet, fmt::Write, fs};

use hawser::error::{Code, FixedBy};

use crate::support::{assert_written, files_below, read};

/// What each code means: its documentation comment in `src/error.rs`.
fn interpret(code: Code) -> String {
    let text = read("src/error.rs");
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(&format!("= \"{code}\","))).unwrap();
    let mut comment: Vec<&str> = lines[..at].iter().rev().map_while(|line| line.trim().strip_prefix("/// ")).collect();
    comment.reverse();
    comment.join(" ")
}

fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every failure begins with one of these codes, in the stack event, the log and the vendor's view alike:\n\
         `CODE: what happened. What to do next. [aws request …]`. Codes never change their meaning; new ones may come.\n\n\
         This page is written from `src/error.rs` (`make bless`).\n\n\
         | code | meaning | who can mend it | next step |\n| --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let who = match code.fixed_by() {
            FixedBy::Customer => "customer",
            FixedBy::Vendor => "vendor",
            FixedBy::Aws => "AWS",
            FixedBy::Hawser => "Hawser",
        };
        writeln!(page, "| `{code}` | {} | {who} | {} |", interpret(*code), code.next_step()).unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_code_says() {
    assert_written("docs/errors.md", &page());
}

/// F-6.
#[test]
fn codes_are_unique_and_have_a_next_step() {
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.as_str().chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{code}");
        assert!(code.next_step().ends_with('.'), "{code}");
        assert!(!interpret(*code).is_empty(), "{code} has no meaning");
    }
}

#[test]
fn every_code_is_answered_with_by_some_line_of_code() {
    let code: String = files_below(&["src"]).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for known in Code::ALL {
        assert!(code.contains(&format!("Code::{known:?}")), "{known} is never used");
    }
}
