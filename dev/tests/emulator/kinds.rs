//! Each kind of billing data, made, changed to each other kind and back, and deleted.

use std::collections::{BTreeMap, BTreeSet};

use hawser::billing::{Kind, query::guaranteed_columns};
use hawser_dev::{
    stack::Stack,
    strict_proxy::{calls::Call, scenario::Scenario},
};
use serde_json::{Value, json};

use crate::{
    lives::account_resources,
    world::{Testbed, describe},
};

const NONE: &str = "None";
const REPORT: &str = "CostAndUsageReport";
const CUR2: &str = "CostAndUsageReport2";
const FOCUS: &str = "Focus";

/// Every change of one kind to another, once.
const WALK: [&str; 13] = [NONE, REPORT, CUR2, REPORT, FOCUS, REPORT, NONE, CUR2, FOCUS, CUR2, NONE, FOCUS, NONE];

/// What the customer has: a report and exports that do not suit, in a bucket with data, and a bucket of a name like ours.
async fn customers_resources(world: &Testbed) -> BTreeMap<String, String> {
    let (daily, bucket) = (json!("DAILY"), "theirs-111122223333");
    world.customers_report("theirs", bucket, &[("TimeUnit", daily.clone())], true).await;
    for table in ["COST_AND_USAGE_REPORT", "FOCUS_1_2_AWS"] {
        let granularity = format!("/DataQuery/TableConfigurations/{table}/TIME_GRANULARITY");
        world.customers_export(&format!("theirs-{table}"), table, bucket, &[(&granularity, daily.clone())]);
    }
    for key in ["billing/theirs/20261101-20261201/theirs-Manifest.json", "exports/theirs/data/part.parquet", "hawser/holiday.jpg"]
    {
        world.deliver(bucket, key).await;
    }
    world.billing().s3().create_bucket().bucket("hawser-111122223333-photos").send().await.unwrap();
    world.deliver("hawser-111122223333-photos", "hawser/holiday.jpg").await;
    account_resources(world, None).await
}

/// Names of the reports and exports that carry the stack's mark.
async fn made(world: &Testbed, stack: &Stack) -> (Vec<String>, Vec<String>) {
    let account_resources = account_resources(world, Some(stack.id())).await;
    let of = |word: &str| {
        let names = account_resources.keys().filter_map(|key| key.strip_prefix(word)?.strip_prefix(' ')?.split(' ').next());
        names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    };
    (of("report"), of("export"))
}

/// Where the vendor was told that the data are: bucket, prefix and name.
fn reported(world: &Testbed, kind: &str) -> [String; 3] {
    let notice = world.vendor.notices().pop().unwrap();
    let billing = &notice.event["data"]["billingExport"];
    assert_eq!(billing["kind"], kind, "{billing}");
    ["bucketName", "prefix", "name"].map(|member| billing[member].as_str().unwrap().to_owned())
}

/// The kind is there, alone, most granular, and the vendor knows it; something is delivered, as AWS would.
async fn expect_kind(world: &Testbed, stack: &Stack, kind: &str) -> Option<(String, String)> {
    let (reports, exports) = made(world, stack).await;
    let expected = match kind {
        NONE => (0, 0),
        REPORT => (1, 0),
        _ => (0, 1),
    };
    assert_eq!((reports.len(), exports.len()), expected, "{kind}: {reports:?} {exports:?}");
    let [bucket, prefix, name] = reported(world, kind);
    if kind == NONE {
        assert_eq!([bucket, prefix, name], [const { String::new() }; 3]);
        return None;
    }
    assert_eq!(reports.iter().chain(&exports).collect::<Vec<_>>(), [&name]);
    if let Some(export) = world.exports().iter().find(|export| export["name"] == name.as_str()) {
        let query = &export["definition"]["DataQuery"];
        let (table, promised, column) = if kind == CUR2 {
            ("COST_AND_USAGE_REPORT", guaranteed_columns(Kind::CostAndUsageReport2), "split_line_item_split_cost")
        } else {
            ("FOCUS_1_2_AWS", guaranteed_columns(Kind::Focus), "x_Discounts")
        };
        assert_eq!(query["TableConfigurations"][table]["TIME_GRANULARITY"], "HOURLY", "{query}");
        let statement = query["QueryStatement"].as_str().unwrap();
        let selected: BTreeSet<&str> = statement.split([' ', ',']).collect();
        let missing: Vec<_> = promised.iter().chain([&column]).filter(|column| !selected.contains(*column)).collect();
        assert!(promised.len() > 10 && missing.is_empty() && !statement.contains('*'), "{missing:?}: {statement}");
        assert_eq!(export["definition"]["DestinationConfigurations"]["S3Destination"]["S3Prefix"], prefix.as_str());
    }
    let key = format!("{prefix}/{name}/data/{kind}.parquet");
    world.deliver(&bucket, &key).await;
    Some((bucket, key))
}

/// Nothing stops being delivered before its successor is.
fn expect_no_gap(from: &str, to: &str, calls: &[Call]) {
    let at =
        |operations: [&str; 2]| calls.iter().position(|call| call.status == 200 && operations.contains(&call.operation.as_str()));
    let (created, deleted) = (at(["PutReportDefinition", "CreateExport"]), at(["DeleteReportDefinition", "DeleteExport"]));
    let list: Vec<String> = calls.iter().map(describe).collect();
    assert_eq!((created.is_some(), deleted.is_some()), (to != NONE, from != NONE), "{from} to {to}: {list:#?}");
    assert!(to == NONE || from == NONE || created < deleted, "{from} to {to}: a gap in {list:#?}");
}

/// The whole walk with one way of retention; what is there afterwards, by bucket and key.
async fn walk(retention: &str) -> (Testbed, Vec<(String, String)>) {
    let world = Testbed::new("standalone").await;
    let before = customers_resources(&world).await;
    let wanted = |kind| [("BillingKind", kind), ("BillingRetention", retention)];
    let mut stack = world.created(&wanted(WALK[0])).await;
    let mut delivered = Vec::from_iter(expect_kind(&world, &stack, WALK[0]).await);
    for pair in WALK.windows(2) {
        let mark = world.emulator.front().calls().mark();
        world.updated(&mut stack, &wanted(pair[1])).await;
        expect_no_gap(pair[0], pair[1], &world.emulator.front().calls().since(mark));
        delivered.extend(expect_kind(&world, &stack, pair[1]).await);
        assert_eq!(account_resources(&world, None).await, before, "{pair:?}");
    }
    world.deleted(&mut stack).await;
    assert_eq!(made(&world, &stack).await, (vec![], vec![]));
    assert_eq!(account_resources(&world, None).await, before);
    world.assert_all_fit();
    world.assert_no_leaks();
    world.assert_notices_fit_the_schema(&["established", "updated", "removed"]);
    (world, delivered)
}

/// F-27: with `Retain` all that was ever delivered is where it was, through every change and after the end.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_becomes_every_other_and_the_data_stays() {
    let (world, delivered) = walk("Retain").await;
    assert_eq!(delivered.len(), 9);
    for (bucket, key) in delivered {
        assert!(world.keys(&bucket).await.contains(&key), "{bucket}/{key}");
    }
}

/// With `Delete` a kind that was replaced leaves neither data nor bucket.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_becomes_every_other_and_the_data_is_deleted() {
    let (world, _) = walk("Delete").await;
    let mut left = world.buckets().await;
    left.sort();
    assert_eq!(left, ["hawser-111122223333-photos", "theirs-111122223333"]);
}

/// Each kind in the other format, created and deleted; side by side, because stacks do not know of each other.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_comes_and_goes_as_csv() {
    let world = Testbed::new("management").await;
    let before = customers_resources(&world).await;
    for kind in [REPORT, CUR2, FOCUS] {
        let (mut stack, outcome) =
            world.create_named(&format!("hawser-{kind}"), &[("BillingKind", kind), ("BillingFormat", "Csv")]).await;
        world.expect_status(&outcome, "CREATE_COMPLETE");
        let (bucket, key) = expect_kind(&world, &stack, kind).await.unwrap();
        if let Some(export) = world.exports().iter().find(|export| export["tags"]["hawser:stack-id"] == stack.id()) {
            let output = &export["definition"]["DestinationConfigurations"]["S3Destination"]["S3OutputConfigurations"];
            let expected =
                json!({"OutputType": "CUSTOM", "Format": "TEXT_OR_CSV", "Compression": "GZIP", "Overwrite": "OVERWRITE_REPORT"});
            assert_eq!(*output, expected);
        }
        world.deleted(&mut stack).await;
        assert_eq!(made(&world, &stack).await, (vec![], vec![]));
        assert!(world.keys(&bucket).await.contains(&key), "{bucket}/{key}");
    }
    assert_eq!(
        account_resources(&world, None).await.into_iter().filter(|(key, _)| before.contains_key(key)).collect::<BTreeMap<_, _>>(),
        before
    );
    world.assert_all_fit();
}

/// The newest FOCUS table there is; a column that AWS adds is taken up in place, one that it lacks is no failure; and split cost
/// allocation is left out where the payer has not opted in.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_used_as_they_are() {
    let world = Testbed::new("standalone").await;
    let aws = |scenario: Scenario| world.emulator.front().set_scenario(scenario);
    aws(Scenario {
        tables_missing: vec!["FOCUS_1_2_AWS".into()],
        columns_missing: vec!["x_Operation".into()],
        ..Scenario::default()
    });
    let mut focus = world.created(&[("BillingKind", FOCUS)]).await;
    let query = |export: &Value| export["definition"]["DataQuery"]["QueryStatement"].as_str().unwrap().to_owned();
    let first = world.exports().remove(0);
    assert!(query(&first).ends_with("FROM FOCUS_1_0_AWS") && !query(&first).contains("x_Operation"), "{first}");

    // A newer table does not move an export that delivers; a new column of its own table is taken up.
    aws(Scenario { columns_added: [("FOCUS_1_0_AWS".to_owned(), vec!["x_New".to_owned()])].into(), ..Scenario::default() });
    let mark = world.emulator.front().calls().mark();
    world.updated(&mut focus, &[("BillingKind", FOCUS), ("BillingRetention", "Delete")]).await;
    let second = world.exports().remove(0);
    assert_eq!(second["arn"], first["arn"]);
    assert!(query(&second).ends_with("FROM FOCUS_1_0_AWS") && query(&second).contains("x_New"), "{second}");
    let calls = world.emulator.front().calls().since(mark);
    assert_eq!(calls.iter().filter(|call| call.operation == "UpdateExport").count(), 1);
    world.deleted(&mut focus).await;

    aws(Scenario { split_cost_allocation: false, ..Scenario::default() });
    let (mut plain, outcome) = world.create_named("hawser-plain", &[("BillingKind", CUR2)]).await;
    world.expect_status(&outcome, "CREATE_COMPLETE");
    let export = world.exports().remove(0);
    let properties = &export["definition"]["DataQuery"]["TableConfigurations"]["COST_AND_USAGE_REPORT"];
    assert_ne!(properties["INCLUDE_SPLIT_COST_ALLOCATION_DATA"], "TRUE", "{export}");
    assert!(!query(&export).contains("split_line_item"), "{export}");
    world.deleted(&mut plain).await;
    assert_eq!(world.exports(), Vec::<Value>::new());
    world.assert_all_fit();
}

/// F-15: `BillingRepair` has what this stack made looked at again, and the policy that the customer took away put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_bucket_is_repaired_on_request() {
    let world = Testbed::new("standalone").await;
    let wanted = |repair| [("BillingKind", CUR2), ("BillingRepair", repair)];
    let mut stack = world.created(&wanted("")).await;
    let [bucket, ..] = reported(&world, CUR2);
    let s3 = world.billing().s3();
    let policy = async || s3.get_bucket_policy().bucket(&bucket).send().await.ok()?.policy().map(str::to_owned);
    let before = policy().await;
    assert!(before.as_ref().is_some_and(|policy| policy.contains("bcm-data-exports.amazonaws.com")), "{before:?}");
    s3.delete_bucket_policy().bucket(&bucket).send().await.unwrap();
    world.updated(&mut stack, &wanted("2026-11-22")).await;
    assert_eq!(policy().await, before);
    assert_eq!(world.exports().len(), 1);
    world.deleted(&mut stack).await;
}
