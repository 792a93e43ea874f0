//! The delivery watch, end to end: a stack of each kind, billing data in its bucket laid out as AWS does, and what the vendor is told.
//!
//! What the notice points to is then read by the role that the stack grants, and by nothing else: every file of the manifest, with
//! well-kept readers of Parquet and CSV, down to the last row. `dev/data` makes the data and reads it back; it needs `.venv/data`
//! (`make data-venv`).

use std::{collections::BTreeSet, path::Path, process::Stdio};

use hawser::billing::{Kind, query};
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, VENDOR, assume},
    stack::Stack,
    strict_proxy::{
        calls::Call,
        scenario::{ReportStatus, Scenario},
        shared::BILLING_REGION,
    },
    vendor::{Console, Script},
    venv, watch,
};
use serde_json::{Value, json};

use crate::world::{Testbed, describe};

/// The external ID of [`Testbed`]'s launch.
const EXTERNAL_ID: &str = "external-id-of-the-test";

/// The end of a month and the beginning of the next one.
const FIRST_DAY: &str = "2026-10-31";
const LAST_DAY: &str = "2026-11-02";

/// Data files of each month.
const FILES: usize = 2;

/// An export to deliver for, as the notice tells the vendor of it or as the customer has it.
struct Export {
    kind: &'static str,
    format: String,
    versioning: &'static str,
    name: String,
    prefix: String,
    bucket: String,
    arn: String,
    /// Of a Data Export: the columns that its query asks for.
    columns: Option<String>,
}

impl Export {
    /// What the stack's notice says, and for a Data Export what was asked of AWS.
    async fn of(world: &Testbed, kind: &'static str) -> Self {
        let reported = &world.vendor.notices()[0].event["data"]["billingExport"];
        let text = |name: &str| reported[name].as_str().unwrap().to_owned();
        assert_eq!(reported["kind"], kind);
        let arn = text("arn");
        let columns = if kind == "CostAndUsageReport" { None } else { Some(columns_of(world, &arn).await) };
        Self {
            kind,
            format: text("format"),
            versioning: "OVERWRITE_REPORT",
            name: text("name"),
            prefix: text("prefix"),
            bucket: text("bucketName"),
            arn,
            columns,
        }
    }

    /// Delivers two months into the bucket, as AWS would.
    async fn deliver(&self, world: &Testbed) -> Vec<Value> {
        let files = FILES.to_string();
        let mut args = vec!["make", "--kind", self.kind, "--format", &self.format, "--versioning", self.versioning];
        args.extend(["--name", &self.name, "--prefix", &self.prefix, "--bucket", &self.bucket, "--account", CUSTOMER]);
        args.extend(["--first", FIRST_DAY, "--last", LAST_DAY, "--files", &files, "--arn", &self.arn]);
        args.extend(self.columns.as_deref().into_iter().flat_map(|columns| ["--columns", columns]));
        let made = tool(world.emulator.url(), CUSTOMER, &args).await;
        let made = made.as_array().unwrap().clone();
        assert_eq!(made.len(), 2, "{made:?}");
        made
    }
}

/// The columns of an export's query.
async fn columns_of(world: &Testbed, arn: &str) -> String {
    let account = Account::root(world.emulator.front().url(), CUSTOMER, BILLING_REGION);
    let target = "AWSBillingAndCostManagementDataExports.GetExport";
    let (status, answer) = account.json("bcm-data-exports", target, &json!({"ExportArn": arn})).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let asked = query::read(answer["Export"]["DataQuery"]["QueryStatement"].as_str().unwrap()).unwrap();
    asked.columns.unwrap().join(",")
}

/// Runs `python -m dev.data` as the root of this account at this endpoint.
pub(crate) async fn tool(endpoint: &str, account: &str, args: &[&str]) -> Value {
    let python = venv::repository().join(".venv/data/bin/python");
    assert!(python.exists(), "there is no `{}` (hint: run `make data-venv`)", python.display());
    let output = tokio::process::Command::new(python)
        .args(["-m", "dev.data"])
        .args(args)
        .current_dir(venv::repository())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs([("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", account), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env("AWS_DEFAULT_REGION", BILLING_REGION)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One look of the watch, which the vendor took. Whatever it finds, it changes nothing (HW-D3), and tells beside it what the
/// connection's own notice told (HW-D2).
async fn run_check(world: &Testbed, stack: &Stack) -> Value {
    let before = world.emulator.front().calls().all().len();
    let run = watch::run(stack, &world.vendor).await.unwrap();
    assert_eq!(run.error, None, "{}", world.emulator.handler_log());
    let calls = world.emulator.front().calls().all().split_off(before).into_iter();
    let calls: Vec<Call> = calls.filter(|call| call.principal != "vendor").collect();
    let reads = |call: &Call| ["Describe", "Get", "List"].iter().any(|verb| call.operation.starts_with(verb));
    assert!(!calls.is_empty() && calls.iter().all(reads), "{:?}", calls.iter().map(describe).collect::<Vec<_>>());
    let [notice] = run.notices.as_slice() else { panic!("{} notices", run.notices.len()) };
    assert_eq!(notice.kind(), "hawser.billing.status");
    let connection = world.vendor.notices().into_iter().rfind(|notice| notice.kind().starts_with("hawser.connection."));
    let reported = |event: &Value| {
        let mut data = event["data"].as_object().unwrap().clone();
        data.retain(|name, _| name != "proofs" && name != "billingStatus");
        data
    };
    assert_eq!(reported(&notice.event), reported(&connection.unwrap().event));
    run.status().clone()
}

/// The state's word, and the problem's code and cause.
fn verdict(status: &Value) -> (&str, &str, &str) {
    let [state, code, cause] = [&status["state"], &status["problem"]["code"], &status["problem"]["cause"]];
    (state.as_str().unwrap(), code.as_str().unwrap_or_default(), cause.as_str().unwrap_or_default())
}

/// HW-D1: what the watch must say of a delivery, after it was waited for.
fn assert_delivered(status: &Value, made: &[Value]) {
    assert_eq!(verdict(status), ("delivered", "", ""), "{status}");
    let (oldest, newest) = (&made[0], &made[1]);
    assert_eq!((&status["first"]["period"], &status["first"]["manifest"]), (&oldest["period"], &oldest["manifest"]));
    let latest = &status["latest"];
    assert_eq!((&latest["period"], &latest["manifest"]), (&newest["period"], &newest["manifest"]));
    assert_eq!((&latest["files"], &latest["bytes"]), (&json!(FILES), &newest["bytes"]), "{status}");
}

/// Reads what the notice points to with the role that it names: first the manifest, then each file, then every row.
async fn assert_readable(world: &Testbed, export: &Export, status: &Value, made: &Value) {
    let role = world.vendor.notices()[0].event["data"]["roleArn"].as_str().unwrap().to_owned();
    let vendor = assume(&world.emulator, VENDOR, &role, Some(EXTERNAL_ID)).await.unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let manifest_key = status["latest"]["manifest"].as_str().unwrap();
    let manifest: Value = serde_json::from_slice(&fetch(&vendor, export, manifest_key, folder.path()).await).unwrap();
    let named = manifest["reportKeys"].as_array().or(manifest["dataFiles"].as_array()).unwrap();
    for file in named {
        let key = file.as_str().unwrap().trim_start_matches(&format!("s3://{}/", export.bucket)).to_owned();
        fetch(&vendor, export, &key, folder.path()).await;
    }
    let place = folder.path().display().to_string();
    let args = ["read", "--bucket", &export.bucket, "--manifest", manifest_key, "--folder", &place];
    let read = tool("http://127.0.0.1:1", CUSTOMER, &args).await;
    for member in ["files", "bytes", "rows", "columns"] {
        assert_eq!(read[member], made[member], "{member}");
    }
    let (read_cost, made_cost) = (read["cost"].as_f64().unwrap(), made["cost"].as_f64().unwrap());
    assert!(made_cost > 0.0 && (read_cost - made_cost).abs() < 1e-6, "{read_cost} {made_cost}");
    let columns: BTreeSet<&str> = read["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap()).collect();
    let lacking: Vec<String> = guaranteed(export).into_iter().filter(|column| !columns.contains(column.as_str())).collect();
    assert!(!guaranteed(export).is_empty() && lacking.is_empty(), "{lacking:?}");

    // And nothing beside it.
    world.deliver(&export.bucket, "elsewhere/secret").await;
    let beside = vendor.s3().get_object().bucket(&export.bucket).key("elsewhere/secret").send().await;
    assert!(beside.is_err(), "the role reads more than billing data");
}

async fn fetch(vendor: &Account, export: &Export, key: &str, folder: &Path) -> Vec<u8> {
    let answer = vendor.s3().get_object().bucket(&export.bucket).key(key).send().await;
    let answer = answer.unwrap_or_else(|error| panic!("the role may not read `{key}`: {error:?}"));
    let body = answer.body.collect().await.unwrap().to_vec();
    let path = folder.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &body).unwrap();
    body
}

/// The columns that vendors can rely on, with the names that the file format has.
fn guaranteed(export: &Export) -> Vec<String> {
    let kind = match export.kind {
        "CostAndUsageReport" => Kind::CostAndUsageReport,
        "CostAndUsageReport2" => Kind::CostAndUsageReport2,
        _ => Kind::Focus,
    };
    let names = query::guaranteed_columns(kind).iter().map(|name| (*name).to_owned());
    let flat = kind == Kind::CostAndUsageReport && export.format == "Parquet";
    names.map(|name| if flat { in_parquet(&name) } else { name }).collect()
}

/// `lineItem/UsageAmount` is `line_item_usage_amount` in Parquet (Cost and Usage Reports User Guide, "Column names").
fn in_parquet(name: &str) -> String {
    let spaced: String = name.chars().map(|c| if c.is_ascii_uppercase() { format!("_{c}") } else { c.to_string() }).collect();
    spaced.to_lowercase().replace(['/', ':'], "_").replace("__", "_")
}

/// An export of the stack's own, from nothing to the last row.
async fn own_export_is_reported_and_readable(kind: &'static str, format: &str) {
    let world = Testbed::new("standalone").await;
    let stack = world.created(&[("BillingKind", kind), ("BillingFormat", format), ("BillingReuse", "Never")]).await;
    let export = Export::of(&world, kind).await;
    assert_eq!(export.format, format);

    let waiting = run_check(&world, &stack).await;
    assert_eq!(verdict(&waiting), ("waiting", "", ""), "{waiting}");
    let due = &world.vendor.notices()[0].event["data"]["billingExport"]["firstDataDueBy"];
    assert_eq!((&waiting["dueBy"], &waiting["first"], &waiting["latest"]), (due, &json!(null), &json!(null)));

    let made = export.deliver(&world).await;
    let delivered = run_check(&world, &stack).await;
    assert_delivered(&delivered, &made);
    assert_readable(&world, &export, &delivered, &made[1]).await;
    world.assert_notices_fit_the_schema(&["established", "billing.status"]);
    world.assert_no_leaks();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_parquet_is_reported_and_readable() {
    own_export_is_reported_and_readable("CostAndUsageReport", "Parquet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_csv_is_reported_and_readable() {
    own_export_is_reported_and_readable("CostAndUsageReport", "Csv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cur2_export_in_parquet_is_reported_and_readable() {
    own_export_is_reported_and_readable("CostAndUsageReport2", "Parquet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cur2_export_in_csv_is_reported_and_readable() {
    own_export_is_reported_and_readable("CostAndUsageReport2", "Csv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_focus_export_in_parquet_is_reported_and_readable() {
    own_export_is_reported_and_readable("Focus", "Parquet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_focus_export_in_csv_is_reported_and_readable() {
    own_export_is_reported_and_readable("Focus", "Csv").await;
}

/// HW-B5, F-19: a report of the customer's that keeps every version: the newest counts, and the older one is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_reused_report_with_a_folder_for_each_version_is_reported_and_readable() {
    let world = Testbed::new("standalone").await;
    let csv = [
        ("Format", json!("textORcsv")),
        ("Compression", json!("GZIP")),
        ("AdditionalArtifacts", json!([])),
        ("ReportVersioning", json!("CREATE_NEW_REPORT")),
    ];
    world.customers_report("theirs", "theirs-111122223333", &csv, true).await;
    let stack = world.created(&[("BillingFormat", "Csv")]).await;
    let export = Export { versioning: "CREATE_NEW_REPORT", ..Export::of(&world, "CostAndUsageReport").await };
    assert_eq!(
        (export.name.as_str(), export.bucket.as_str(), export.prefix.as_str()),
        ("theirs", "theirs-111122223333", "billing")
    );
    export.deliver(&world).await;
    // The assembly's folder is named by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let made = export.deliver(&world).await;
    let keys = world.keys(&export.bucket).await;
    assert_eq!(keys.iter().filter(|key| key.ends_with(".csv.gz")).count(), 2 * 2 * FILES, "{keys:?}");
    let delivered = run_check(&world, &stack).await;
    assert_delivered(&delivered, &made);
    assert_readable(&world, &export, &delivered, &made[1]).await;
    world.assert_notices_fit_the_schema(&["billing.status"]);
}

/// HW-B13: a bucket that something else delivers to: a Data Export that keeps every execution.
#[tokio::test(flavor = "multi_thread")]
async fn an_existing_bucket_is_reported_and_readable() {
    let world = Testbed::new("standalone").await;
    let bucket = "brought-111122223333";
    world.billing().s3().create_bucket().bucket(bucket).send().await.unwrap();
    let stack = world
        .created(&[("BillingKind", "CostAndUsageReport2"), ("ExistingBucket", bucket), ("ExistingPrefix", "exports/acme")])
        .await;
    let reported = &world.vendor.notices()[0].event["data"]["billingExport"];
    assert_eq!(
        (&reported["bucketName"], &reported["prefix"], &reported["name"]),
        (&json!(bucket), &json!("exports/acme"), &json!(""))
    );
    let status = run_check(&world, &stack).await;
    let (state, code, _) = verdict(&status);
    assert_eq!((state, code), ("failed", "BILLING_DATA_NOT_FOUND"), "nobody knows whether anything will arrive there: {status}");
    let columns = query::guaranteed_columns(Kind::CostAndUsageReport2).join(",");
    let export = Export {
        kind: "CostAndUsageReport2",
        format: "Parquet".to_owned(),
        versioning: "CREATE_NEW_REPORT",
        name: "daily".to_owned(),
        prefix: "exports/acme".to_owned(),
        bucket: bucket.to_owned(),
        arn: "arn:aws:bcm-data-exports:us-east-1:111122223333:export/daily-1".to_owned(),
        columns: Some(columns),
    };
    let made = export.deliver(&world).await;
    let delivered = run_check(&world, &stack).await;
    assert_delivered(&delivered, &made);
    assert_readable(&world, &export, &delivered, &made[1]).await;
    world.assert_notices_fit_the_schema(&["billing.status"]);
}

/// HW-D1, F-15, F-21, F-31, F-32: what people do to a bucket is said with its cause, and is said no more when it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_delivery_is_reported_with_its_cause() {
    let world = Testbed::new("standalone").await;
    let mut stack = world.created(&[("BillingReuse", "Never")]).await;
    let export = Export::of(&world, "CostAndUsageReport").await;
    let s3 = world.billing().s3();
    let bucket = export.bucket.as_str();

    // Somebody replaces the bucket's policy. An update of the stack mends it.
    s3.delete_bucket_policy().bucket(bucket).send().await.unwrap();
    let status = run_check(&world, &stack).await;
    let (state, code, cause) = verdict(&status);
    assert_eq!((state, code), ("failed", "BILLING_DELIVERY_FAILED"), "{status}");
    assert!(cause.contains(&format!("the policy of bucket `{bucket}`")), "{cause}");
    world.updated(&mut stack, &[("BillingReuse", "Never"), ("BillingRetention", "Delete")]).await;
    assert_eq!(verdict(&run_check(&world, &stack).await).0, "waiting");

    // Somebody removes a file that the manifest names.
    let made = export.deliver(&world).await;
    assert_delivered(&run_check(&world, &stack).await, &made);
    let file = made[1]["files"][0].as_str().unwrap();
    s3.delete_object().bucket(bucket).key(file).send().await.unwrap();
    let status = run_check(&world, &stack).await;
    let (state, code, cause) = verdict(&status);
    assert_eq!((state, code), ("failed", "BILLING_DATA_MISSING"), "{status}");
    assert!(cause.contains(file), "{cause}");
    // The next delivery brings it again.
    let made = export.deliver(&world).await;
    assert_delivered(&run_check(&world, &stack).await, &made);

    // A manifest that is none.
    let manifest = made[1]["manifest"].as_str().unwrap();
    world.deliver(bucket, manifest).await;
    let status = run_check(&world, &stack).await;
    let (state, code, cause) = verdict(&status);
    assert_eq!((state, code), ("failed", "BILLING_DATA_MISSING"), "{status}");
    assert!(cause.contains(manifest), "{cause}");

    // The report is removed.
    world.billing().reports().delete_report_definition().report_name(&export.name).send().await.unwrap();
    assert_eq!(verdict(&run_check(&world, &stack).await).1, "BILLING_EXPORT_GONE");
    // And the bucket with all that was in it.
    for key in world.keys(bucket).await {
        s3.delete_object().bucket(bucket).key(key).send().await.unwrap();
    }
    s3.delete_bucket().bucket(bucket).send().await.unwrap();
    assert_eq!(verdict(&run_check(&world, &stack).await).0, "failed");
    world.assert_notices_fit_the_schema(&["billing.status"]);
    world.assert_no_leaks();
}

/// AWS says itself that it could not deliver.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_report_is_reported() {
    let world = Testbed::new("standalone").await;
    let stack = world.created(&[("BillingReuse", "Never")]).await;
    let name = Export::of(&world, "CostAndUsageReport").await.name;
    let failed = ReportStatus { last_delivery: "20261121T031500Z".into(), last_status: "ERROR_PERMISSIONS".into() };
    world
        .emulator
        .front()
        .set_scenario(Scenario { report_status: [(name, failed)].into(), ..Scenario::named("standalone").unwrap() });
    let status = run_check(&world, &stack).await;
    let (state, code, cause) = verdict(&status);
    assert_eq!((state, code), ("failed", "BILLING_DELIVERY_FAILED"), "{status}");
    assert!(cause.contains("ERROR_PERMISSIONS"), "{cause}");
}

/// What the vendor's answer does to the function, and the real vendor's own word on all of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_vendor_takes_a_status() {
    let mut world = Testbed::new("standalone").await;
    let console = Console::start(&world.emulator, &world.vendor.authority()).await.unwrap();
    let launch = console.launch(CUSTOMER).await.unwrap();
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    world.parameters.insert("LaunchToken".into(), launch.token.clone());
    world.parameters.insert("ExternalId".into(), launch.external_id.clone());
    let mut stack = world.created(&[("BillingReuse", "Never")]).await;
    let export = Export::of(&world, "CostAndUsageReport").await;
    let billing = async || console.connections().await.unwrap()[0]["billing"].clone();
    assert_eq!(billing().await["state"], "unheard");

    run_check(&world, &stack).await;
    let reported = billing().await;
    assert!(reported["summary"].as_str().unwrap().starts_with("waiting for AWS, first data due by 20"), "{reported}");
    let made = export.deliver(&world).await;
    let status = run_check(&world, &stack).await;
    let reported = billing().await;
    assert_eq!((&reported["state"], &reported["status"]), (&json!("delivered"), &status));
    let summary = reported["summary"].as_str().unwrap();
    assert!(summary.starts_with("delivered: latest 2026-11 at ") && summary.contains(", 2 files, "), "{summary} {made:?}");

    // A vendor that does not know the connection is left in peace; another refusal is an error of the function.
    for (status, expected) in [(404, None), (410, None), (403, Some("VENDOR_REFUSED"))] {
        world.vendor.set_script(Script::Refuse { status, detail: "no".into() });
        let run = watch::run(&stack, &world.vendor).await.unwrap();
        let error = run.error.unwrap_or_default();
        assert!(expected.map_or(error.is_empty(), |code| error.contains(code)), "{status}: {error}");
        assert_eq!(run.notices.len(), 1, "{status}");
    }
    world.vendor.set_script(Script::Relay(console.listening().to_owned()));
    world.deleted(&mut stack).await;
    assert_eq!(console.connections().await.unwrap()[0]["state"], "removed");
    let log = console.log();
    for secret in world.vendor.notices().iter().flat_map(hawser_dev::vendor::Notice::secrets) {
        assert!(!log.contains(&secret));
    }
}
