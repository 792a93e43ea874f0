//! What a stack costs: the arithmetic, what it is taken from, and the page.

use std::{env, fs};

use hawser_cli::{
    cost::{self, BillSize, Parts},
    template::{ResolveContext, Template},
};

use crate::support::{read, root};

const ALL: Parts = Parts { check: true, bill: true, secret: true };

fn dollars(parts: Parts, bill: BillSize, what: &str) -> f64 {
    cost::monthly(parts, bill).iter().find(|cost| cost.what == what).unwrap().dollars
}

#[test]
fn costs_are_runs_gigabytes_and_requests_times_their_prices() {
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    let one = BillSize { gigabytes: 2.0, months: 3.0 };
    // Four runs a day of ten seconds at 128 MB, and four requests.
    near(dollars(ALL, one, "function"), 30.0 * 4.0 * (10.0 * 0.125 * 0.0000166667 + 0.0000002));
    near(dollars(ALL, one, "log"), 120.0 * 10.0 / 1e6 * 0.5);
    near(dollars(ALL, one, "schedule"), 0.00012);
    near(dollars(ALL, one, "storage of the bill"), 6.0 * 0.023);
    near(dollars(ALL, one, "delivery of the bill"), 600.0 * 0.000005);
    near(dollars(ALL, one, "reading it, requests"), 600.0 * 0.0000004);
    near(dollars(ALL, one, "reading it from another Region"), 60.0 * 0.02);
    near(dollars(ALL, one, "secret with the access key"), 0.4);
    let none = Parts { check: false, bill: false, secret: false };
    assert!(cost::monthly(none, one).is_empty());
}

#[test]
fn what_costs_is_read_off_the_template() {
    let parts = |changes: &[(&str, &str)]| {
        let parameters = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let context = ResolveContext { parameters, partial: true, ..ResolveContext::default() };
        Parts::of(&Template::ours().resolve(&context).unwrap())
    };
    assert_eq!(parts(&[]), Parts { secret: false, ..ALL });
    assert_eq!(parts(&[("AccessMethod", "AccessKey")]), ALL);
    assert_eq!(parts(&[("BillingKind", "None")]), Parts { check: true, bill: false, secret: false });
    let template = read("template.yaml");
    assert!(template.contains("MemorySize: 128\n"), "cli/src/cost.rs counts with it");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`make bless` says so by a variable")]
fn the_page_has_the_same_costs() {
    let page = read("docs/connect.md");
    let (before, rest) = page.split_once("by `make bless` -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /costs -->").unwrap();
    let expected = format!("{before}by `make bless` -->\n{}<!-- /costs -->{after}", cost::page());
    if env::var_os("HAWSER_BLESS").is_some() {
        fs::write(root().join("docs/connect.md"), &expected).unwrap();
    }
    assert!(read("docs/connect.md") == expected, "docs/connect.md is out of date: run `make bless`");
}
