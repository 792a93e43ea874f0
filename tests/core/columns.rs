//! `docs/columns.md` is written from the code, and the guaranteed columns are in AWS's dictionary as the simulation has it.

use std::{collections::BTreeSet, fmt::Write};

use hawser::{
    aws::Cloud,
    billing::{
        Kind,
        query::{configure, guaranteed_columns},
    },
};
use hawser_account::AccountFile;
use hawser_sim::World;

use crate::support::assert_written;

fn page() -> String {
    let mut page = String::from(
        "# Columns you can rely on\n\n\
         Every export has many more columns than these. These are there whatever the account uses, whoever made the export, in every\n\
         version: an export of the customer's that lacks one is not reused, unless the customer names it. Should AWS stop offering one,\n\
         `decision` in the notice says so.\n\n\
         This page is written from `src/billing/query.rs` (`make bless`).\n",
    );
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::None) {
        let about = match kind {
            Kind::CostAndUsageReport => {
                "Names as in a CSV file. In Parquet the same columns are in snake case: `lineItem/UsageAmount` is `line_item_usage_amount`."
            }
            Kind::CostAndUsageReport2 => "`product` and `resource_tags` are maps.",
            _ => "The newest FOCUS 1.x that AWS offers when the export is made. `Tags` is a map.",
        };
        let columns: Vec<String> = guaranteed_columns(kind).iter().map(|column| format!("`{column}`")).collect();
        writeln!(page, "\n## {} (`{}`)\n\n{about}\n\n{}", kind.title(), kind.as_str(), columns.join(", ")).unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_code_says() {
    assert_written("docs/columns.md", &page());
}

/// HW-B9: what is guaranteed is what a new export has.
#[tokio::test(start_paused = true)]
async fn what_is_guaranteed_is_in_the_dictionary_once() {
    let world = World::new(AccountFile::default());
    let aws = world.account.at(&"us-east-1".parse().unwrap());
    let tables = aws.list_tables().await.unwrap();
    for kind in [Kind::CostAndUsageReport2, Kind::Focus] {
        let configured = configure((kind, false), &tables, None).unwrap();
        let columns: BTreeSet<String> =
            aws.table_columns(&configured.table, &configured.properties).await.unwrap().into_iter().collect();
        for column in guaranteed_columns(kind) {
            assert!(columns.contains(*column), "{column} is not in {}", configured.table);
        }
    }
    for kind in Kind::ALL {
        let once: BTreeSet<&str> = guaranteed_columns(kind).iter().copied().collect();
        assert_eq!(once.len(), guaranteed_columns(kind).len(), "{}", kind.title());
    }
}
