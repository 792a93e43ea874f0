//! The delivery watch, told through simulated months: an account in memory in which AWS delivers as it does.
//!
//! What the watch says of realistic files on an emulator is in `dev/tests/emulator/watch.rs`.

use std::{collections::BTreeSet, time::Duration};

use hawser::{
    aws::{StackDescription, StackResource},
    billing::STALLED_AFTER,
    billing::{self, policy},
    connection,
    delivery::{self, DeliveryCheck},
    error::Code,
    handler::{self, Unhandled},
    request::Request,
};
use hawser_account::{
    AccountFile,
    buckets::Object,
    file::{BucketFile, OrganizationFile, ReportFile},
};
use hawser_sim::{InjectedFault, World, script::VENDOR_CALL};
use serde_json::{Map, Value, json};
use time::{Date, format_description::well_known::Rfc3339, macros::date};

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f";
const TOKEN: &str = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
/// The schedule's.
const EVERY: Duration = Duration::from_secs(6 * 3600);
const TIME_OUT: Duration = Duration::from_secs(120);

/// A stack that was created, and its watch.
struct Watched {
    world: World,
    properties: Map<String, Value>,
    physical_id: Value,
    export: Map<String, Value>,
    beats: u32,
}

impl Watched {
    async fn create(account: AccountFile, properties: Value) -> Self {
        let world = World::new(account);
        let mut properties: Map<String, Value> = properties.as_object().unwrap().clone();
        properties.insert("NamePrefix".to_owned(), json!("acme"));
        let mut watched = Self { world, properties, physical_id: Value::Null, export: Map::new(), beats: 0 };
        let response = watched.request("Create").await;
        watched.physical_id = response["PhysicalResourceId"].clone();
        watched
    }

    /// One request of CloudFormation's about the billing export; its attributes are what the schedule knows from then on.
    async fn request(&mut self, kind: &str) -> Value {
        let request = format!("{kind}-{}", self.world.now().unix_timestamp());
        let status = format!("{}_IN_PROGRESS", kind.to_uppercase());
        let physical_id = self.physical_id.as_str().unwrap_or_default().to_owned();
        let resource = StackResource { status: status.clone(), physical_id };
        self.world.cloudformation.show_stack(STACK, StackDescription { status, ..StackDescription::default() });
        self.world.cloudformation.show_resource(STACK, "BillingExport", resource);
        let mut event = json!({
            "RequestType": kind, "RequestId": request, "StackId": STACK, "ResourceType": billing::RESOURCE_TYPE,
            "ResponseURL": format!("https://cloudformation-custom-resource-response.s3.amazonaws.com/{request}"),
            "LogicalResourceId": "BillingExport", "ResourceProperties": self.properties, "OldResourceProperties": self.properties,
        });
        if !self.physical_id.is_null() {
            event["PhysicalResourceId"] = self.physical_id.clone();
        }
        handler::answer(&event, self.world.now() + TIME_OUT, &self.world.ports()).await.unwrap();
        let response = self.world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).pop().unwrap();
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        self.export = response["Data"].as_object().unwrap().clone();
        response
    }

    /// The stack at rest, as CloudFormation describes it.
    fn description(&self) -> StackDescription {
        let terms = json!({
            "AccessKeyId": "", "TemplateVersion": "0.1.0",
            "Organization": { "AccountRole": self.export["AccountRole"] }, "Billing": self.export,
        });
        let texts =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let given = [("LaunchToken", TOKEN), ("NoticeUrl", "https://vendor.example/notices"), ("ConnectionName", "main")];
        let packs = [("PackBilling", "ReadOnly"), ("PackCloudIam", "ReadWrite"), ("PackEc2", "None"), ("Regions", "eu-west-1")];
        let made = [("RoleArn", "arn:aws:iam::111122223333:role/vendor"), ("ExternalId", "ext-1"), ("Terms", &terms.to_string())];
        StackDescription {
            status: "UPDATE_COMPLETE".to_owned(),
            parameters: texts(&[given.as_slice(), &packs].concat()),
            outputs: texts(&made),
        }
    }

    /// One heartbeat of the stack in a world, where CloudFormation describes it so.
    async fn run(&self, world: &World, invocation: &str, description: StackDescription) -> Result<(), Unhandled> {
        world.cloudformation.show_stack(STACK, description);
        handler::handle(&delivery_check(), invocation, world.now() + TIME_OUT, &world.ports()).await
    }

    /// What the vendor is told by the next heartbeat.
    async fn check(&mut self) -> Value {
        self.beats += 1;
        let stated = self.world.vendor.notices().len();
        let before = self.world.account.state();
        let invocation = format!("invocation-{}", self.beats);
        self.run(&self.world, &invocation, self.description()).await.unwrap();
        assert_eq!(self.world.account.state(), before, "HW-D3: the watch writes nothing");
        let notices = self.world.vendor.notices();
        assert_eq!(notices.len(), stated + 1, "one heartbeat, one notice");
        let notice = notices.last().unwrap();
        assert_eq!(notice["type"], "hawser.billing.status");
        assert_eq!(notice["data"]["billingExport"]["name"], self.export["Name"]);
        let packs = json!({ "billing": "ReadOnly", "cloud-iam": "ReadWrite" });
        assert_eq!(notice["data"]["packs"], packs, "the heartbeat tells all that the connection told");
        notice["data"]["billingStatus"].clone()
    }

    /// Lets time pass until a day and hour, with a heartbeat every six hours; each must say the same state.
    async fn until(&mut self, day: Date, state: &str) -> Value {
        let mut last = Value::Null;
        while self.world.now().date() < day {
            tokio::time::sleep(EVERY).await;
            last = self.check().await;
            assert_eq!(last["state"], state, "{}: {last}", self.world.now());
        }
        last
    }

    /// AWS delivers every day, at the hour that it is, and the closed month once more in the first days of the next.
    async fn deliver_daily_until(&mut self, day: Date) -> Value {
        let mut last = Value::Null;
        while self.world.now().date() < day {
            self.world.account.deliver();
            let today = self.world.now().date();
            if today.day() <= 6 && today > date!(2026 - 12 - 01) {
                tokio::time::sleep(Duration::from_secs(60)).await;
                self.world.account.deliver_month(today.replace_day(1).unwrap().previous_day().unwrap());
            }
            for _ in 0..4 {
                last = self.check().await;
                assert_eq!(last["state"], "delivered", "{}: {last}", self.world.now());
                tokio::time::sleep(EVERY).await;
            }
        }
        last
    }

    fn bucket(&self) -> String {
        self.export["BucketName"].as_str().unwrap().to_owned()
    }

    /// Bytes and number of the data files of a period, counted in the bucket by their own names.
    fn stored(&self, period: Date) -> (usize, u64) {
        let state = self.world.account.state();
        let month = u8::from(period.month());
        let parts = [
            format!("/year={}/month={month}/", period.year()),
            format!("/BILLING_PERIOD={}-{month:02}/", period.year()),
            format!("/{}{month:02}01-", period.year()),
        ];
        let objects = state.buckets[&self.bucket()].objects.iter();
        let data = objects.filter(|(key, _)| {
            parts.iter().any(|part| key.contains(part)) && [".parquet", ".gz"].iter().any(|end| key.ends_with(end))
        });
        data.fold((0, 0), |(files, bytes), (_, object)| (files + 1, bytes + object.size))
    }

    /// Somebody takes the statements away that let AWS deliver.
    fn break_policy(&self) {
        let bucket = self.bucket();
        self.world.account.change(|state| {
            let broken = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
            state.buckets.get_mut(&bucket).unwrap().policy = Some(broken);
        });
    }
}

/// What the schedule sends.
fn delivery_check() -> Value {
    json!({ "source": delivery::SOURCE, "detail-type": delivery::DETAIL_TYPE, "detail": { "StackId": STACK } })
}

fn problem(status: &Value) -> (String, String) {
    let text = |field: &str| status["problem"][field].as_str().unwrap_or_default().to_owned();
    assert!(!text("nextStep").is_empty(), "{status}");
    (text("code"), text("cause"))
}

/// F-15, F-31, HW-D1: waiting, first data, daily data, month close, a policy that the customer breaks, and how it heals: in every
/// kind and format.
#[tokio::test(start_paused = true)]
async fn a_month_of_delivery_checks_is_reported_correctly() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        for format in ["Parquet", "Csv"] {
            let mut watched = Watched::create(AccountFile::default(), json!({ "Kind": kind, "Format": format })).await;
            let due_by = watched.export["FirstDataDueBy"].clone();
            assert_eq!(due_by, "2026-11-23T10:00:00Z", "{kind} {format}");

            let status = watched.check().await;
            assert_eq!(
                (&status["state"], &status["dueBy"], &status["first"], &status["problem"]),
                (&json!("waiting"), &due_by, &Value::Null, &Value::Null)
            );
            // AWS says 24 hours and often takes a day more.
            let status = watched.until(date!(2026 - 11 - 24), "waiting").await;
            assert_eq!(status["dueBy"], due_by, "{kind} {format}");

            watched.world.account.deliver();
            let first = watched.check().await;
            let (files, bytes) = watched.stored(date!(2026 - 11 - 24));
            assert!(files > 0 && bytes > 0);
            assert_eq!(
                (&first["state"], &first["dueBy"], &first["problem"]),
                (&json!("delivered"), &json!(""), &Value::Null),
                "{first}"
            );
            assert_eq!(first["first"]["period"], "2026-11");
            assert_eq!((&first["latest"]["files"], &first["latest"]["bytes"]), (&json!(files), &json!(bytes)), "{kind} {format}");
            let manifest = first["latest"]["manifest"].as_str().unwrap();
            assert!(watched.world.account.state().buckets[&watched.bucket()].objects.contains_key(manifest), "{manifest}");

            let daily = watched.deliver_daily_until(date!(2026 - 12 - 20)).await;
            assert_eq!(
                (&daily["first"]["period"], &daily["latest"]["period"]),
                (&json!("2026-11"), &json!("2026-12")),
                "{kind} {format}"
            );
            let (files, bytes) = watched.stored(date!(2026 - 12 - 01));
            assert_eq!((&daily["latest"]["files"], &daily["latest"]["bytes"]), (&json!(files), &json!(bytes)), "{kind} {format}");

            // The customer's new rule for buckets replaces the policy: known at once, and not only when AWS has failed.
            watched.break_policy();
            let (code, cause) = problem(&watched.check().await);
            assert_eq!(code, "BILLING_DELIVERY_FAILED");
            assert!(cause.contains("policy") && cause.contains(&watched.bucket()), "{cause}");
            watched.world.account.deliver();
            let failed = watched.check().await;
            let (_, cause) = problem(&failed);
            assert!(cause.contains("ERROR_PERMISSIONS") || cause.contains("INSUFFICIENT_PERMISSION"), "{cause}");
            assert_eq!(failed["latest"]["period"], "2026-12", "what has come is still there: {failed}");

            // The next step says how: an Update of the stack.
            watched.properties.insert("Repair".to_owned(), json!("2"));
            watched.request("Update").await;
            watched.world.account.deliver();
            let recovered = watched.check().await;
            assert_eq!((&recovered["state"], &recovered["problem"]), (&json!("delivered"), &Value::Null), "{kind} {format}");
        }
    }
}

/// F-46: the policy comes back in another form, is replaced by AWS's own, or by one whose meaning is not known. Each is told for
/// what it is, and no delivery is called failed that goes on.
#[tokio::test(start_paused = true)]
async fn a_policy_in_another_form_is_no_problem_and_an_unclear_one_a_risk() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        let mut watched = Watched::create(AccountFile::default(), json!({ "Kind": kind })).await;
        watched.world.account.deliver();
        let bucket = watched.bucket();
        let policy_of = |watched: &Watched| -> Value {
            serde_json::from_str(watched.world.account.state().buckets[&bucket].policy.as_deref().unwrap()).unwrap()
        };
        let put = |watched: &Watched, policy: &Value| {
            let text = policy.to_string();
            watched.world.account.change(|state| state.buckets.get_mut(&bucket).unwrap().policy = Some(text));
        };
        let mut given_back = policy_of(&watched);
        for statement in given_back["Statement"].as_array_mut().unwrap() {
            for list in ["/Principal/Service", "/Action", "/Resource", "/Condition/ArnLike/aws:SourceArn"] {
                statement.pointer_mut(list).and_then(Value::as_array_mut).into_iter().for_each(|list| list.reverse());
            }
        }
        given_back["Statement"].as_array_mut().unwrap().reverse();
        put(&watched, &given_back);
        let status = watched.check().await;
        assert_eq!((&status["state"], &status["problem"]), (&json!("delivered"), &Value::Null), "{kind}: {status}");
        watched.properties.insert("Repair".to_owned(), json!("2"));
        watched.request("Update").await;
        assert_eq!(policy_of(&watched), given_back, "{kind}: the same policy was written again");

        let arn = format!("arn:aws:s3:::{bucket}");
        let mut theirs = json!({ "Version": "2012-10-17", "Statement": {
            "Sid": "EnableAWSDataExportsToWriteToS3AndCheckPolicy", "Effect": "Allow",
            "Principal": { "Service": ["billingreports.amazonaws.com", "bcm-data-exports.amazonaws.com"] },
            "Action": ["s3:PutObject", "s3:GetBucketPolicy"], "Resource": [arn, format!("{arn}/*")],
            "Condition": { "StringLike": { "aws:SourceAccount": "111122223333" } },
        } });
        put(&watched, &theirs);
        let status = watched.check().await;
        assert_eq!((&status["state"], &status["problem"]), (&json!("delivered"), &Value::Null), "{kind}: {status}");

        theirs["Statement"]["Condition"] = json!({ "StringEquals": { "aws:SourceOrgID": "o-a1b2c3d4e5" } });
        put(&watched, &theirs);
        let status = watched.check().await;
        assert_eq!(status["state"], "delivered", "{kind}: {status}");
        let (code, cause) = problem(&status);
        assert_eq!(code, "BILLING_DELIVERY_AT_RISK", "{kind}");
        assert!(cause.contains("may no longer let AWS deliver"), "{cause}");
    }
}

/// HW-D1: late data, missing data, a removed export and a removed bucket each say what happened.
#[tokio::test(start_paused = true)]
async fn what_goes_wrong_has_a_code_a_cause_and_a_next_step() {
    let oldest_of = |state: &hawser_account::AccountState, bucket: &str, end: &str| {
        state.buckets[bucket].objects.keys().rfind(|key| key.ends_with(end)).unwrap().clone()
    };
    for kind in ["CostAndUsageReport", "CostAndUsageReport2"] {
        // Never a first delivery.
        let mut watched = Watched::create(AccountFile::default(), json!({ "Kind": kind })).await;
        watched.until(date!(2026 - 11 - 24), "waiting").await;
        tokio::time::sleep(EVERY * 4).await;
        let status = watched.check().await;
        let (code, cause) = problem(&status);
        assert_eq!((&status["state"], code.as_str()), (&json!("stalled"), "BILLING_DATA_LATE"), "{cause}");
        assert!(cause.contains("2026-11-23T10:00:00Z"), "{cause}");

        // Deliveries end.
        watched.world.account.deliver();
        let last = watched.world.now();
        tokio::time::sleep(Duration::try_from(STALLED_AFTER).unwrap()).await;
        assert_eq!(watched.check().await["state"], "delivered", "exactly {STALLED_AFTER} is not late");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let status = watched.check().await;
        let (code, cause) = problem(&status);
        assert_eq!((&status["state"], code.as_str()), (&json!("stalled"), "BILLING_DATA_LATE"));
        assert!(cause.contains(&last.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()), "{cause}");

        // A lifecycle rule of the customer's takes a file away.
        watched.world.account.deliver();
        let bucket = watched.bucket();
        watched.world.account.change(|state| {
            let file = oldest_of(state, &bucket, "00001.snappy.parquet");
            state.buckets.get_mut(&bucket).unwrap().objects.remove(&file);
        });
        let status = watched.check().await;
        let (code, cause) = problem(&status);
        assert_eq!((&status["state"], code.as_str()), (&json!("failed"), "BILLING_DATA_MISSING"));
        assert!(cause.contains("00001.snappy.parquet"), "{cause}");

        // A manifest that is none.
        watched.world.account.deliver();
        let now = watched.world.now();
        watched.world.account.change(|state| {
            let manifest = oldest_of(state, &bucket, "Manifest.json");
            let broken = hawser_account::buckets::Object::holding("{\"reportKeys\": 7}", now);
            state.buckets.get_mut(&bucket).unwrap().objects.insert(manifest, broken);
        });
        assert_eq!(problem(&watched.check().await).0, "BILLING_DATA_MISSING");

        // Somebody deletes the bucket, then the export.
        let whole = watched.world.account.state();
        watched.world.account.change(|state| drop(state.buckets.remove(&bucket)));
        let status = watched.check().await;
        let (code, cause) = problem(&status);
        assert_eq!((&status["state"], code.as_str()), (&json!("failed"), "BILLING_DELIVERY_FAILED"));
        assert!(cause.contains("does not exist"), "{cause}");
        watched.world.account.change(|state| {
            *state = whole.clone();
            state.reports.clear();
            state.exports.clear();
        });
        let status = watched.check().await;
        assert_eq!((&status["state"], problem(&status).0.as_str()), (&json!("failed"), "BILLING_EXPORT_GONE"));
        watched.properties.insert("Repair".to_owned(), json!("again"));
        watched.request("Update").await;
        watched.world.account.deliver();
        assert_eq!(watched.check().await["state"], "delivered", "the next step helps");
    }
}

/// F-32: data of a reused report and of a bucket that something else delivers to are found too, and nothing is written there.
#[tokio::test(start_paused = true)]
async fn what_the_customer_brought_is_watched_as_well() {
    let account = || AccountFile {
        reports: vec![ReportFile {
            format: "textORcsv".to_owned(),
            compression: "GZIP".to_owned(),
            ..ReportFile::hourly("finance", "finance-data")
        }],
        buckets: vec![BucketFile::customers("finance-data")],
        ..AccountFile::default()
    };
    let brought = [
        json!({ "Kind": "CostAndUsageReport", "Format": "Csv" }),
        json!({ "Kind": "CostAndUsageReport", "ExistingExport": "finance" }),
        json!({ "Kind": "CostAndUsageReport", "ExistingBucket": "finance-data", "ExistingPrefix": "billing/finance" }),
        json!({ "Kind": "CostAndUsageReport", "ExistingBucket": "finance-data", "ExistingPrefix": "billing/" }),
    ];
    for properties in brought {
        let mut watched = Watched::create(account(), properties.clone()).await;
        assert_eq!(watched.export["Origin"], "reused", "{properties}");
        let status = watched.check().await;
        // F-48: AWS says that the report delivers; of a bucket nobody knows whether something will ever arrive there.
        let code = if properties["ExistingBucket"].is_null() { "BILLING_DATA_MISSING" } else { "BILLING_DATA_NOT_FOUND" };
        assert_eq!((&status["state"], problem(&status).0.as_str()), (&json!("failed"), code), "{properties}");
        // The report keeps every version: one level more, and the manifest in two places.
        watched.world.account.change(|state| {
            state.reports.get_mut("finance").unwrap().0.versioning = "CREATE_NEW_REPORT".to_owned();
        });
        watched.world.account.deliver();
        tokio::time::sleep(EVERY).await;
        watched.world.account.deliver();
        let status = watched.check().await;
        assert_eq!(status["state"], "delivered", "{properties}: {status}");
        let (files, _) = watched.stored(date!(2026 - 11 - 22));
        assert_eq!(status["latest"]["files"], json!(files / 2), "the newest version's files only: {properties}: {status}");
    }
}

/// F-48: wherever AWS wrote, in whatever letter case, with whatever beside it, a manifest of any size up to the limit.
#[tokio::test(start_paused = true)]
async fn data_are_found_wherever_aws_writes_them() {
    const LIMIT: usize = hawser::aws::OBJECT_BYTES_MAX;
    let focus = |period: &str, execution: &str| {
        let data = format!("p/n/data/{period}=2026-11/{execution}n-00001.snappy.parquet");
        (
            format!("p/n/metadata/{period}=2026-11/{execution}n-Manifest.json"),
            json!({ "dataFiles": [format!("s3://b/{data}")] }),
            data,
        )
    };
    let report = |prefix: &str| {
        let data = format!("{prefix}n/20261101-20261201/n-1.csv.gz");
        (format!("{prefix}n/20261101-20261201/n-Manifest.json"), json!({ "reportKeys": [&data] }), data)
    };
    let padded = |size: usize| {
        let (key, mut manifest, data) = focus("BILLING_PERIOD", "");
        manifest["columns"] = json!("");
        manifest["columns"] = "c".repeat(size - manifest.to_string().len()).into();
        (key, manifest, data)
    };
    for (what, prefix, name, (key, manifest, data), beside, expected) in [
        ("CUR 2.0", "p", "n", focus("BILLING_PERIOD", ""), "", "delivered"),
        ("FOCUS", "p", "n", focus("billing_period", ""), "", "delivered"),
        ("another letter case", "p", "n", focus("Billing_Period", ""), "", "delivered"),
        ("every execution kept", "p", "n", focus("billing_period", "20261122T100000Z-5a37/"), "", "delivered"),
        (
            "a sidecar",
            "p",
            "n",
            focus("billing_period", ""),
            "p/n/metadata/billing_period=2026-11/n-Manifest-FOCUS.json",
            "delivered",
        ),
        (
            "a newer sidecar",
            "p",
            "n",
            focus("billing_period", ""),
            "p/n/metadata/billing_period=2026-11/x-Manifest.json",
            "delivered",
        ),
        ("brought without prefix", "", "", report("reports/"), "", "delivered"),
        ("brought, a long prefix", "", "", report("a/b/c/"), "", "delivered"),
        ("brought, very deep", "", "", report("a/b/c/d/e/f/g/h/i/"), "", "delivered"),
        ("brought, in a folder called data", "", "", report("data/"), "", "delivered"),
        ("brought without prefix, FOCUS", "", "", focus("billing_period", ""), "", "delivered"),
        ("brought, a level too high", "p", "", focus("BILLING_PERIOD", ""), "", "delivered"),
        ("brought, at the report", "reports/n", "", report("reports/"), "", "delivered"),
        ("brought, somewhere else", "elsewhere", "", report("reports/"), "", "BILLING_DATA_NOT_FOUND"),
        (
            "brought, other things only",
            "",
            "",
            ("log/2026/11/22.gz".to_owned(), json!({}), "log/2026/11/23.gz".to_owned()),
            "",
            "BILLING_DATA_NOT_FOUND",
        ),
        ("a large manifest", "p", "n", padded(5_178_800), "", "delivered"),
        ("the largest manifest", "p", "n", padded(LIMIT), "", "delivered"),
        ("a manifest too large", "p", "n", padded(LIMIT + 1), "", "BILLING_DATA_MISSING"),
    ] {
        let account: AccountFile = serde_json::from_value(json!({
            "buckets": [{ "name": "b", "region": "eu-west-1" }],
            "reports": [{ "name": "n", "bucket": "b", "prefix": prefix, "region": "eu-west-1" }],
        }))
        .unwrap();
        let mut watched = Watched::create(account, json!({ "ExistingBucket": "b", "Kind": "CostAndUsageReport" })).await;
        watched.export.insert("Prefix".to_owned(), json!(prefix));
        watched.export.insert("Name".to_owned(), json!(name));
        let put = |watched: &Watched, key: &str, body: &str| {
            let object = Object::holding(body, watched.world.now());
            watched.world.account.change(|state| {
                state.buckets.get_mut("b").unwrap().objects.insert(key.to_owned(), object);
            });
        };
        put(&watched, &key, &manifest.to_string());
        put(&watched, &data, "data");
        tokio::time::sleep(Duration::from_secs(60)).await;
        if !beside.is_empty() {
            put(&watched, beside, "{}");
        }
        let status = watched.check().await;
        if expected == "delivered" {
            assert_eq!((&status["state"], &status["problem"]), (&json!("delivered"), &Value::Null), "{what}: {status}");
            assert_eq!(
                (&status["latest"]["period"], &status["latest"]["files"], &status["latest"]["manifest"]),
                (&json!("2026-11"), &json!(1), &json!(key)),
                "{what}: {status}"
            );
        } else {
            assert_eq!((&status["state"], problem(&status).0.as_str()), (&json!("failed"), expected), "{what}: {status}");
        }
    }
}

/// F-48: of several exports below a place that was brought the newest data count, however deep they are and whatever is beside them.
#[tokio::test(start_paused = true)]
async fn the_newest_data_of_a_brought_place_count() {
    let stopped = |prefix: &str| (format!("{prefix}old/20260101-20260201/old-Manifest.json"), 300);
    let live = |prefix: &str| (format!("{prefix}n/metadata/BILLING_PERIOD=2026-11/n-Manifest.json"), 1);
    let months = |name: &str, hours: u64| {
        let month = move |month: u64| {
            (format!("{name}/2026{month:02}01-2026{:02}01/{name}-Manifest.json", month + 1), hours + 700 * (11 - month))
        };
        (7..12).map(month).collect::<Vec<_>>()
    };
    let several = [months("a", 1), months("b", 400), months("c", 400), months("d", 400), months("e", 400)].concat();
    let accounts: Vec<(String, u64)> = (0..200).map(|number| (format!("AWSLogs/{number:012}/x"), 1)).collect();
    let wide: Vec<(String, u64)> = (0..150).map(|number| (format!("team-{number:03}/a/b/x"), 1)).collect();
    for (what, objects, expected) in [
        ("a stopped report nearer", vec![stopped("finance/"), live("exports/cur2/")], "delivered"),
        ("a stopped report deeper", vec![stopped("a/b/c/finance/"), live("")], "delivered"),
        ("a stopped report alone", vec![stopped("finance/")], "stalled"),
        ("of several exports the first in the alphabet", several, "delivered"),
        ("beside many folders", [accounts, vec![live("billing/finance/")]].concat(), "delivered"),
        ("among too many folders", [wide, vec![live("zzz/finance/")]].concat(), "not everything"),
    ] {
        let account: AccountFile =
            serde_json::from_value(json!({ "buckets": [{ "name": "b", "region": "eu-west-1" }] })).unwrap();
        let mut watched = Watched::create(account, json!({ "ExistingBucket": "b", "Kind": "CostAndUsageReport" })).await;
        for (key, hours) in &objects {
            let manifest = json!({ "dataFiles": [] }).to_string();
            let object = Object::holding(&manifest, watched.world.now() - Duration::from_secs(hours * 3600));
            watched.world.account.change(|state| {
                state.buckets.get_mut("b").unwrap().objects.insert(key.clone(), object);
            });
        }
        let status = watched.check().await;
        match expected {
            "not everything" => {
                let (code, cause) = problem(&status);
                assert_eq!((&status["state"], code.as_str()), (&json!("failed"), "BILLING_DATA_NOT_FOUND"), "{what}: {status}");
                assert!(cause.contains(expected) && cause.contains("ExistingPrefix"), "{cause}");
            }
            _ => assert_eq!(status["state"], expected, "{what}: {status}"),
        }
    }
}

/// HW-D4: what says nothing about the account is no status: the event fails, Lambda runs it again, and the vendor hears the same
/// notice under the same id.
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_reported_as_the_customers_failure() {
    for (call, injected) in [
        ("cur:DescribeReportDefinitions", InjectedFault::Unavailable),
        ("s3:GetBucketPolicy", InjectedFault::Throttled),
        ("s3:ListBucket", InjectedFault::Unavailable),
        ("s3:GetObject", InjectedFault::Throttled),
    ] {
        let watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
        watched.world.account.deliver();
        watched.world.script.inject_all(call, injected);
        let run = watched.run(&watched.world, "once", watched.description()).await;
        assert!(matches!(run, Err(Unhandled::NotNotified(_))), "{call}: {run:?}");
        assert!(watched.world.vendor.notices().is_empty(), "{call}");
    }
    let mut watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
    watched.world.account.deliver();
    watched.world.script.inject_all("s3:ListBucket", InjectedFault::Denied);
    let status = watched.check().await;
    assert_eq!(
        (&status["state"], problem(&status).0),
        (&json!("failed"), Code::AwsAccessDenied.as_str().to_owned()),
        "a denial is the account's"
    );
}

/// HW-C2, HW-D4.
#[tokio::test(start_paused = true)]
async fn a_vendor_that_was_down_is_notified_by_the_next_run_under_the_same_id() {
    let watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
    watched.world.script.inject_all(VENDOR_CALL, InjectedFault::Unavailable);
    let began = watched.world.now();
    let run = watched.run(&watched.world, "one", watched.description()).await;
    assert!(run.is_err_and(|why| why.to_string().starts_with("VENDOR_UNREACHABLE")));
    assert!(watched.world.now() - began < time::Duration::seconds(60), "it does not wait for its time-out");
    let again = World::new(AccountFile::default());
    let ids = async |world: &World, invocation: &str| {
        watched.run(world, invocation, watched.description()).await.unwrap();
        world.vendor.notices().last().unwrap()["id"].clone()
    };
    let first = ids(&again, "one").await;
    assert_eq!(first, ids(&again, "one").await, "the vendor can tell a repetition");
    assert_ne!(first, ids(&again, "two").await, "and each heartbeat from every other");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_delivery_check_of_ours_fails_clearly() {
    let watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
    let handle = async |event: &Value| {
        handler::handle(event, "one", watched.world.now() + TIME_OUT, &watched.world.ports()).await.unwrap_err().to_string()
    };
    let (mut no_stack, mut nothing) = (delivery_check(), delivery_check());
    no_stack["detail"]["StackId"] = json!("acme");
    nothing["detail"] = json!("text");
    for event in [no_stack, nothing] {
        assert!(handle(&event).await.starts_with("EVENT_INVALID"), "{event}");
    }
    // A stack that CloudFormation does not know.
    let mut unknown = delivery_check();
    unknown["detail"]["StackId"] = json!(STACK.replace("acme", "unknown"));
    assert!(handle(&unknown).await.starts_with("AWS_REFUSED"));
    // The schedule's own shape without our Input is answered like any event that says nowhere to answer to.
    let foreign = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    assert!(handle(&foreign).await.starts_with("EVENT_UNANSWERABLE"));
    // A template that somebody changed.
    let changed = |change: fn(&mut StackDescription)| {
        let mut description = watched.description();
        change(&mut description);
        description
    };
    for (description, code) in [
        (changed(|stack| stack.outputs.clear()), "PROPERTY_MISSING"),
        (
            changed(|stack| drop(stack.outputs.insert("Terms".to_owned(), "{\"NoticeUrl\": \"\"\"}".to_owned()))),
            "PROPERTY_MISSING",
        ),
        (changed(|stack| stack.parameters.clear()), "PROPERTY_MISSING"),
        (changed(|stack| drop(stack.parameters.insert("LaunchToken".to_owned(), "****".to_owned()))), "PROPERTY_INVALID"),
    ] {
        let run = watched.run(&watched.world, "one", description).await;
        assert!(run.as_ref().is_err_and(|why| why.to_string().starts_with(code)), "{code}: {run:?}");
    }
    assert!(watched.world.vendor.notices().is_empty());
}

/// HW-D5: a rotated token and external id are used at once, and a stack that is changed, or not connected, says nothing.
#[tokio::test(start_paused = true)]
async fn a_delivery_check_reports_what_its_stack_is_now() {
    let watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
    let statuses = [
        ("CREATE_COMPLETE", true),
        ("UPDATE_COMPLETE", true),
        ("UPDATE_ROLLBACK_COMPLETE", true),
        ("UPDATE_FAILED", true),
        ("UPDATE_ROLLBACK_FAILED", true),
        ("IMPORT_COMPLETE", true),
        ("IMPORT_ROLLBACK_COMPLETE", true),
        ("a status of next year", true),
        ("CREATE_IN_PROGRESS", false),
        ("UPDATE_IN_PROGRESS", false),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", false),
        ("UPDATE_ROLLBACK_IN_PROGRESS", false),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", false),
        ("IMPORT_IN_PROGRESS", false),
        ("CREATE_FAILED", false),
        ("ROLLBACK_COMPLETE", false),
        ("ROLLBACK_FAILED", false),
        ("DELETE_IN_PROGRESS", false),
        ("DELETE_FAILED", false),
        ("DELETE_COMPLETE", false),
    ];
    for (status, speaks) in statuses {
        let before = watched.world.vendor.notices().len();
        let description = StackDescription { status: status.to_owned(), ..watched.description() };
        watched.run(&watched.world, status, description).await.unwrap();
        assert_eq!(watched.world.vendor.notices().len() - before, usize::from(speaks), "{status}");
    }
    let rotated = "whsec_YW5vdGhlci1zZWNyZXQtdGhhdC1pcy1uZXZlci1zZWVu";
    let mut description = watched.description();
    description.parameters.insert("LaunchToken".to_owned(), rotated.to_owned());
    description.outputs.insert("ExternalId".to_owned(), "ext-2".to_owned());
    assert_ne!(DeliveryCheck::of(&description), DeliveryCheck::of(&watched.description()));
    watched.run(&watched.world, "rotated", description).await.unwrap();
    assert_eq!(watched.world.vendor.notices().last().unwrap()["data"]["externalId"], "ext-2");
}

/// HW-I1: whoever may invoke the function could name another stack.
#[tokio::test(start_paused = true)]
async fn a_delivery_check_of_another_stack_is_refused() {
    let mut watched = Watched::create(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" })).await;
    watched.world.account.own_stack = STACK.replace("acme", "other").parse().ok();
    let run = watched.run(&watched.world, "one", watched.description()).await;
    assert!(run.is_err_and(|why| why.to_string().starts_with("EVENT_OF_ANOTHER_STACK")));
    watched.world.account.own_stack = STACK.parse().ok();
    watched.run(&watched.world, "one", watched.description()).await.unwrap();
    assert_eq!(watched.world.vendor.notices().len(), 1);
}

/// Stacks that were made in the same minute do not call the vendor in the same minute for years; each keeps its own.
#[tokio::test(start_paused = true)]
async fn each_stack_has_a_minute_of_its_own() {
    let schedule = async |kind: &str, stack: u32| {
        let world = World::new(AccountFile::default());
        let stack = format!("arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/{stack}");
        let event = json!({
            "RequestType": "Create", "RequestId": "r-1", "StackId": stack, "ResourceType": billing::RESOURCE_TYPE,
            "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/x", "LogicalResourceId": "BillingExport",
            "ResourceProperties": { "Kind": kind, "NamePrefix": "acme" },
        });
        let request = Request::parse(&event).unwrap();
        let done = handler::fulfil(&request, world.now() + TIME_OUT, &world.ports()).await.unwrap();
        let schedule = done.attributes["Schedule"].clone();
        let (minute, hour) = schedule.strip_prefix("cron(").unwrap().strip_suffix(" * * ? *)").unwrap().split_once(' ').unwrap();
        let hour = if kind == "None" { hour } else { hour.strip_suffix("/6").unwrap() };
        (hour.parse::<u32>().unwrap(), minute.parse::<u32>().unwrap())
    };
    for (kind, hours, minutes_min) in [("CostAndUsageReport", 6, 150), ("None", 24, 180)] {
        let mut seen = BTreeSet::new();
        for stack in 0..200 {
            let (hour, minute) = schedule(kind, stack).await;
            assert!(hour < hours && minute < 60, "{kind}: {hour} {minute}");
            seen.insert((hour, minute));
        }
        assert!(seen.len() > minutes_min, "{kind}: {} minutes of 200 stacks", seen.len());
        assert_eq!(schedule(kind, 7).await, schedule(kind, 7).await);
    }
}

/// An account moves, and nobody updates its stack: the next heartbeat says where it is now. What AWS does not say is no news.
#[tokio::test(start_paused = true)]
async fn a_changed_organization_is_reported_by_the_next_delivery_check() {
    let member = |payer: &str| OrganizationFile::Member {
        id: "o-exampleorgid".to_owned(),
        management_account: Some(payer.to_owned()),
        feature_set: "ALL".to_owned(),
    };
    let facts = |role: &str, payer: &str, id: &str, features: &str| json!({ "accountRole": role, "managementAccountId": payer, "organizationId": id, "featureSet": features });
    let properties = json!({ "Kind": "CostAndUsageReport" });
    let mut watched =
        Watched::create(AccountFile { organization: member("111122223333"), ..AccountFile::default() }, properties).await;
    let management = facts("management", "111122223333", "o-exampleorgid", "ALL");
    for (organization, expected) in [
        (member("111122223333"), management),
        (member("444455556666"), facts("member", "444455556666", "o-exampleorgid", "ALL")),
        (OrganizationFile::None, facts("standalone", "", "", "")),
        // What the stack knew when it was made.
        (OrganizationFile::Denied, facts("management", "", "", "")),
    ] {
        watched.world.account.move_to(organization);
        watched.check().await;
        assert_eq!(watched.world.vendor.notices().last().unwrap()["data"]["organization"], expected);
    }
    watched.world.script.inject_all("organizations:DescribeOrganization", InjectedFault::Unavailable);
    assert_eq!(watched.check().await["state"], "waiting", "an outage of Organizations withholds no status");
}

/// HW-D6: where there is no export there is nothing to watch, and the vendor still hears that the stack is there.
#[tokio::test(start_paused = true)]
async fn without_an_export_the_connection_is_alive() {
    let watched = Watched::create(AccountFile::default(), json!({ "Kind": "None" })).await;
    watched.run(&watched.world, "one", watched.description()).await.unwrap();
    let notices = watched.world.vendor.notices();
    let [notice] = notices.as_slice() else { panic!("{} notices", notices.len()) };
    assert_eq!((&notice["type"], notice["data"].get("billingStatus")), (&json!("hawser.connection.alive"), None));
    assert_eq!(
        (&notice["data"]["roleArn"], &notice["data"]["organization"]["accountRole"]),
        (&json!("arn:aws:iam::111122223333:role/vendor"), &json!("standalone"))
    );
}

/// A vendor that removed the connection by itself, or knows only that it ended, is not told again by Lambda's repetitions.
#[test]
fn a_vendor_without_the_connection_is_not_asked_again() {
    for status in [404, 410] {
        let answer = hawser::ports::VendorResponse { status, retry_after: None, body: Vec::new() };
        for kind in [connection::notice::Type::Status, connection::notice::Type::Alive] {
            let interpret = connection::interpret(kind, "id", &answer);
            assert!(matches!(interpret, connection::VendorAnswer::Accepted(_)), "{status}");
        }
    }
}

/// The policy that the watch takes for whole is the one that was written.
#[test]
fn an_unchanged_policy_is_not_reported_as_broken() {
    let bucket = "acme-data".parse().unwrap();
    let (account, region) = ("111122223333".parse().unwrap(), "us-east-1".parse().unwrap());
    let merge = |text: Option<&str>| policy::merge(text, &bucket, hawser::names::Partition::Aws, &account, &region).unwrap();
    let made = merge(None).unwrap();
    assert_eq!(merge(Some(&made)), None);
}
