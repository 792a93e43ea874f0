//! `docs/errors.md` is written from the lists of codes; codes are unique, complete and used (HW-W1).

use std::{collections::BTreeSet, env, fs, path::Path};

use hawser::error::{Code, FixedBy};
use hawser_cli::error::CommandCode;
use hawser_console::{api::refusal::ApiCode, probe::FindingCode, problem::ProblemCode, refusal::Reason};

use crate::support::root;

/// A code as a row: the columns are the code, the meaning, one of its own, and the next step.
type Row = [String; 4];

fn handler() -> Vec<Row> {
    let who = |code: &Code| match code.fixed_by() {
        FixedBy::Customer => "customer",
        FixedBy::Vendor => "vendor",
        FixedBy::Aws => "AWS",
        FixedBy::Hawser => "Hawser",
    };
    Code::ALL.iter().map(|code| [code.as_str(), code.meaning(), who(code), code.next_step()].map(str::to_owned)).collect()
}

fn command_line() -> Vec<Row> {
    let exit = |code: &CommandCode| (code.exit() as u8).to_string();
    let row = |code: &CommandCode| [code.to_string(), code.meaning().to_owned(), exit(code), code.next_step().to_owned()];
    CommandCode::ALL.iter().map(row).collect()
}

fn console() -> Vec<Row> {
    let row = |reason: &Reason| {
        [reason.as_str(), reason.meaning(), &reason.status().to_string(), reason.next_step()].map(str::to_owned)
    };
    Reason::ALL.iter().map(row).collect()
}

fn problems() -> Vec<Row> {
    let row = |code: &ProblemCode| [code.as_str(), code.meaning(), code.actor(), code.next_step()].map(str::to_owned);
    ProblemCode::ALL.iter().map(row).collect()
}

fn api() -> Vec<Row> {
    let row = |code: &ApiCode| [code.as_str(), code.meaning(), &code.status().to_string(), code.next_step()].map(str::to_owned);
    ApiCode::ALL.iter().map(row).collect()
}

fn findings() -> Vec<Row> {
    let row = |code: &FindingCode| [code.as_str(), code.meaning(), code.actor(), code.next_step()].map(str::to_owned);
    FindingCode::ALL.iter().map(row).collect()
}

fn table(column: &str, rows: &[Row]) -> String {
    let line = |[code, meaning, own, next]: &Row| format!("| `{code}` | {meaning} | {own} | {next} |\n");
    let rows: String = rows.iter().map(line).collect();
    format!("| code | meaning | {column} | next step |\n| --- | --- | --- | --- |\n{rows}")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
fn the_page_says_what_the_code_says() {
    let page = format!(
        "# Errors\n\n\
         Every failure begins with one of these codes: `CODE: what happened. What to do next.` Codes never change their meaning; new\n\
         ones may come.\n\n\
         This page is written from `src/error.rs`, `cli/src/error.rs`, `console/src/refusal.rs`, `problem.rs`,\n\
         `api/refusal.rs` and `probe/denial.rs` (`make bless`).\n\n\
         ## Of the stack\n\n\
         In the stack event, the log and the vendor's view alike, with `[aws request …]` where AWS has a request id. The commands that run\n\
         the handler's code, such as `hawser connect`, fail with them too.\n\n{}\n\
         ## Of the commands\n\n\
         The number is the exit code ([commands.md](commands.md)); `make publish` is in [publishing.md](publishing.md#publish).\n\n{}\n\
         ## Of `hawser-console`\n\n\
         What the vendor's side answers to a notice that it does not take: `type` is `urn:hawser:problem:` and the code, `detail` the meaning\n\
         with what was found, and the next step. A stack sends the notice again after 408, 429 and 5xx. A removal counts as done\n\
         after `connection-unknown`.\n\n{}\n\
         Why AWS has not confirmed a connection ([console/README.md](../console/README.md#who-speaks)): the `problem` of the connection.\n\n{}\n\
         Why a call that tries a statement of a pack ([permissions.md](permissions.md#packs)) was not answered as it should be. `customer` and\n\
         `organization` are their administrators.\n\n{}\n\
         What `/api/v1` answers to what it refuses, as problem details (RFC 9457): `type` is `urn:hawser:problem:` and the code, `detail`\n\
         the meaning with what was found, `nextStep` the next step.\n\n{}",
        table("who can fix it", &handler()),
        table("exit", &command_line()),
        table("status", &console()),
        table("who acts", &problems()),
        table("who acts", &findings()),
        table("status", &api()),
    );
    let path = root().join("docs/errors.md");
    if env::var_os("HAWSER_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "docs/errors.md is out of date: run `make bless`");
}

/// F-6.
#[test]
fn codes_are_unique_and_have_a_meaning_and_a_next_step() {
    let rows = [handler(), command_line()].concat();
    let codes: BTreeSet<&String> = rows.iter().map(|[code, ..]| code).collect();
    assert_eq!(codes.len(), rows.len());
    for [code, meaning, _, next] in &rows {
        assert!(code.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{code}");
        assert!(meaning.ends_with('.') && next.ends_with('.'), "{code}");
    }
}

#[test]
fn every_code_is_answered_with_by_some_line_of_code() {
    fn read(path: &Path, text: &mut String) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| read(&entry.unwrap().path(), text));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let handler = Code::ALL.iter().map(|code| format!("Code::{code:?}")).collect();
    let command_line = CommandCode::ALL.iter().map(|code| format!("CommandCode::{code:?}")).collect();
    let console = Reason::ALL.iter().map(|reason| format!("Reason::{reason:?}")).collect();
    let problems = ProblemCode::ALL.iter().map(|code| format!("ProblemCode::{code:?}")).collect();
    let api = ApiCode::ALL.iter().map(|code| format!("ApiCode::{code:?}")).collect();
    // The file that declares them gives them as well.
    let findings = FindingCode::ALL.iter().map(|code| format!("FindingCode::{code:?}")).collect();
    let lists: [(&[&str], Vec<String>); 6] = [
        (&["src"], handler),
        (&["cli/src", "publish/src"], command_line),
        (&["console/src"], console),
        (&["console/src"], problems),
        (&["console/src"], api),
        (&["console/src"], findings),
    ];
    for (folders, codes) in lists {
        let mut text = String::new();
        folders.iter().for_each(|folder| read(&root().join(folder), &mut text));
        let unused: Vec<&String> = codes.iter().filter(|code| !text.contains(*code)).collect();
        assert!(unused.is_empty(), "{folders:?} never use {unused:?}");
    }
}
