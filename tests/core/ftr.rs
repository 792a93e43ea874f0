//! `docs/ftr.md` says where Hawser meets each item of AWS's Foundational Technical Review on access to customers' accounts, and which
//! test proves it. It is written from `docs/ftr.yaml`, and cannot name a test that is not there.

use std::fmt::Write;

use serde::Deserialize;

use crate::support::{assert_written, read, yaml};

/// One item, as `docs/ftr.yaml` holds it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    item: String,
    asks: String,
    hawser: String,
    /// What is not met, or is not Hawser's to meet.
    #[serde(default)]
    missing: Option<String>,
    /// `path::function`
    tests: Vec<String>,
}

#[test]
fn every_item_is_proved_by_tests_that_exist() {
    let items: Vec<Item> = yaml("docs/ftr.yaml");
    let mut page = "# AWS's Foundational Technical Review\n\n\
        AWS reviews the products of its partners (Partner Hosted FTR). This page lists its items on access to customers' accounts, and what \
        the IAM User Guide adds for third parties: where Hawser meets each, and the test that proves it.\n\n\
        This page is written from `docs/ftr.yaml` (`make bless`).\n\n\
        | item | AWS asks | Hawser | test |\n| --- | --- | --- | --- |\n"
        .to_owned();
    for Item { item, asks, hawser, missing, tests } in items {
        assert!(missing.is_some() || !tests.is_empty(), "{item}: {asks}");
        let links = tests.iter().map(|test| {
            let (path, function) = test.split_once("::").unwrap();
            assert!(read(path).contains(&format!("fn {function}(")), "there is no test `{test}`");
            format!("[`{function}`](../{path})")
        });
        let links = links.collect::<Vec<_>>().join("<br>");
        let missing = missing.map(|missing| format!(" Missing: {missing}")).unwrap_or_default();
        for cell in [&item, &asks, &hawser, &missing] {
            assert!(!cell.contains(['|', '\n']), "`{cell}` is no cell of a table");
        }
        writeln!(page, "| {item} | {asks} | {hawser}{missing} | {links} |").unwrap();
    }
    assert_written("docs/ftr.md", &page);
}
