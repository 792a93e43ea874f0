//! Three kinds of export in two services: made, reused, brought, changed and removed in an account in memory.

use std::{collections::BTreeMap, time::Duration};

use hawser::{
    billing::{self, Kind, query},
    handler,
};
use hawser_account::{
    ACCOUNT, AccountFile, AccountState,
    file::{BucketFile, ExportFile, OrganizationFile, ReportFile, SupportFile, SupportPlan, TransferFile, TransfersFile},
    tables::TableFile,
};
use hawser_sim::{InjectedFault, World};
use serde_json::{Map, Value, json};

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70-c7a1-11f1-8000-0a1b2c3d4e5f";
const TIME_OUT: Duration = Duration::from_secs(120);

/// A stack's billing export, as CloudFormation drives it.
pub(crate) struct Export {
    pub(crate) world: World,
    properties: Map<String, Value>,
    pub(crate) physical_id: Option<String>,
    requests: u32,
}

impl Export {
    pub(crate) fn new(account: AccountFile, properties: Value) -> Self {
        let mut properties: Map<String, Value> = properties.as_object().unwrap().clone();
        properties.insert("NamePrefix".to_owned(), json!("acme"));
        Self { world: World::new(account), properties, physical_id: None, requests: 0 }
    }

    fn event(&self, kind: &str, request: &str, old: &Map<String, Value>) -> Value {
        let mut event = json!({
            "RequestType": kind, "RequestId": request, "StackId": STACK, "ResourceType": billing::RESOURCE_TYPE,
            "ResponseURL": format!("https://cloudformation-custom-resource-response.s3.amazonaws.com/{request}"),
            "LogicalResourceId": "BillingExport", "ResourceProperties": self.properties,
        });
        if kind == "Update" {
            event["OldResourceProperties"] = Value::Object(old.clone());
        }
        if let Some(id) = &self.physical_id {
            event["PhysicalResourceId"] = json!(id);
        }
        event
    }

    async fn deliver(&self, event: &Value) -> Value {
        let now = self.world.now();
        handler::answer(event, now + TIME_OUT, &self.world.ports()).await.unwrap();
        self.world.mailbox.responses(event["ResponseURL"].as_str().unwrap()).pop().unwrap()
    }

    pub(crate) async fn request(&mut self, kind: &str, old: &Map<String, Value>) -> Value {
        self.requests += 1;
        let event = self.event(kind, &format!("request-{}", self.requests), old);
        self.deliver(&event).await
    }

    pub(crate) async fn create(&mut self) -> Value {
        let response = self.request("Create", &Map::new()).await;
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        self.physical_id = response["PhysicalResourceId"].as_str().map(str::to_owned);
        response["Data"].clone()
    }

    /// An Update, and the clean-up Delete of the replaced id as CloudFormation sends it.
    pub(crate) async fn update(&mut self, changes: Value) -> Value {
        let (old, old_id) = (self.properties.clone(), self.physical_id.clone());
        self.properties.extend(changes.as_object().unwrap().clone());
        let response = self.request("Update", &old).await;
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        let new_id = response["PhysicalResourceId"].as_str().map(str::to_owned);
        if new_id != old_id {
            let new = std::mem::replace(&mut self.properties, old);
            self.physical_id = old_id;
            let cleaned = self.request("Delete", &Map::new()).await;
            assert_eq!(cleaned["Status"], "SUCCESS", "{cleaned}");
            self.properties = new;
        }
        self.physical_id = new_id;
        response["Data"].clone()
    }

    pub(crate) fn state(&self) -> AccountState {
        self.world.account.state()
    }

    /// What the account has by name, in both services.
    fn names(&self) -> Vec<String> {
        let state = self.state();
        let exports = state.exports.values().map(|known| known.export.name.clone());
        state.reports.keys().cloned().chain(exports).collect()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.world.script.calls().iter().map(ToString::to_string).collect()
    }
}

fn text(data: &Value, attribute: &str) -> String {
    data[attribute].as_str().unwrap_or_else(|| panic!("{attribute} in {data}")).to_owned()
}

/// A customer that has something of everything, in a bucket of its own.
fn customer() -> AccountFile {
    let focus = ExportFile { table: "FOCUS_1_2_AWS".to_owned(), ..ExportFile::hourly("focus", "finance-data") };
    AccountFile {
        reports: vec![ReportFile::hourly("finance", "finance-data")],
        exports: vec![ExportFile::hourly("cur-two", "finance-data"), focus],
        buckets: vec![BucketFile::customers("finance-data")],
        ..AccountFile::default()
    }
}

/// F-21, HW-B5, HW-B11: whatever the customer has is used if it suits, and named if it does not, whichever service it is in.
#[tokio::test(start_paused = true)]
async fn what_the_customer_has_is_used_whichever_service_it_is_in() {
    for (kind, name, others) in [
        ("CostAndUsageReport", "finance", ["cur-two", "focus"]),
        ("CostAndUsageReport2", "cur-two", ["finance", "focus"]),
        ("Focus", "focus", ["finance", "cur-two"]),
    ] {
        let mut export = Export::new(customer(), json!({ "Kind": kind }));
        let before = export.state();
        let data = export.create().await;
        assert_eq!((&data["Origin"], &data["Name"], &data["Kind"]), (&json!("reused"), &json!(name), &json!(kind)));
        let decision = text(&data, "Decision");
        for other in others {
            assert!(decision.contains(&format!("`{other}`: it is a ")), "{other} in {decision}");
        }
        assert_eq!(export.state(), before, "nothing of the customer's is changed");
        export.update(json!({ "Retention": "Delete" })).await;
        export.request("Delete", &Map::new()).await;
        assert_eq!(export.state(), before, "and nothing is removed");
    }
}

/// F-21: each reason for which an export cannot serve.
#[tokio::test(start_paused = true)]
async fn an_export_that_cannot_serve_is_named_with_the_reason() {
    let with = |changes: &[(&str, &str)]| {
        let all = [("TIME_GRANULARITY", "HOURLY"), ("INCLUDE_RESOURCES", "TRUE")];
        let all: BTreeMap<String, String> =
            all.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Some(all)
    };
    let base = || ExportFile::hourly("theirs", "finance-data");
    let view = "arn:aws:billing::111122223333:billingview/custom-1";
    for (export, reason) in [
        (ExportFile { configuration: with(&[("TIME_GRANULARITY", "DAILY")]), ..base() }, "it is daily"),
        (ExportFile { configuration: with(&[("INCLUDE_RESOURCES", "FALSE")]), ..base() }, "it has no resource ids"),
        (ExportFile { configuration: with(&[("BILLING_VIEW_ARN", view)]), ..base() }, "it covers one billing view only"),
        (
            ExportFile { format: "TEXT_OR_CSV".to_owned(), compression: "GZIP".to_owned(), ..base() },
            "its format is TEXT_OR_CSV/GZIP",
        ),
        (ExportFile { without: vec!["line_item_resource_id".to_owned()], ..base() }, "its query lacks `line_item_resource_id`"),
        (
            ExportFile {
                query: Some("SELECT * FROM COST_AND_USAGE_REPORT WHERE line_item_usage_account_id = '1'".to_owned()),
                ..base()
            },
            "its query filters out costs",
        ),
        (
            ExportFile { query: Some("SELECT sum(x) FROM COST_AND_USAGE_REPORT".to_owned()), ..base() },
            "its query is not a plain list",
        ),
        (
            ExportFile { status: "UNHEALTHY".to_owned(), reason: Some("BILL_OWNER_CHANGED".to_owned()), ..base() },
            "its last delivery was BILL_OWNER_CHANGED",
        ),
        (ExportFile { bucket_owner: Some("999988887777".to_owned()), ..base() }, "it delivers to account 999988887777"),
        (ExportFile { bucket: "gone".to_owned(), ..base() }, "its bucket does not exist"),
        (ExportFile { prefix: "a\"b".to_owned(), ..base() }, "its prefix contains characters"),
        (
            ExportFile { tags: [("hawser:stack-id".to_owned(), "another".to_owned())].into(), ..base() },
            "a Hawser stack created it",
        ),
        (ExportFile { table: "CARBON_EMISSIONS".to_owned(), ..base() }, "it is an export of CARBON_EMISSIONS"),
    ] {
        let account = AccountFile {
            exports: vec![export.clone()],
            buckets: vec![BucketFile::customers("finance-data")],
            ..AccountFile::default()
        };
        let mut asked = Export::new(account, json!({ "Kind": "CostAndUsageReport2" }));
        let data = asked.create().await;
        let decision = text(&data, "Decision");
        assert!(
            decision.starts_with("a new CUR 2.0 export") && decision.contains(&format!("not export `theirs`: {reason}")),
            "{decision}"
        );
    }
}

/// Of two that suit, the one with more detail, then the older; a third that the customer makes later changes nothing.
#[tokio::test(start_paused = true)]
async fn the_choice_among_exports_is_stable() {
    let older = ExportFile { created_at: "2024-01-01T00:00:00Z".to_owned(), ..ExportFile::hourly("zeta", "finance-data") };
    let newer = ExportFile { created_at: "2025-01-01T00:00:00Z".to_owned(), ..ExportFile::hourly("alpha", "finance-data") };
    let account = AccountFile {
        exports: vec![newer, older],
        buckets: vec![BucketFile::customers("finance-data")],
        ..AccountFile::default()
    };
    let mut export = Export::new(account, json!({ "Kind": "CostAndUsageReport2" }));
    let data = export.create().await;
    assert_eq!(data["Name"], "zeta");
    assert!(text(&data, "Decision").contains("export `alpha` is suitable too"), "{data}");
    export.world.account.change(|state| {
        let mut third = state.exports.values().next().unwrap().clone();
        third.export.arn = third.export.arn.replace("export/", "export/aaa-");
        third.export.status.created_at = Some("2026-11-22T00:00:00Z".to_owned());
        state.exports.insert(third.export.arn.clone(), third);
    });
    assert_eq!(export.update(json!({ "Retention": "Delete" })).await["Name"], "zeta");
}

/// HW-L3, HW-O4: every kind and format to every other one and back: the new one is there before the old one goes, what was
/// delivered stays, and nothing is left but that.
#[tokio::test(start_paused = true)]
async fn every_kind_becomes_every_other_and_goes() {
    let kinds = Kind::ALL.map(Kind::as_str);
    let all: Vec<(&str, &str)> = kinds.iter().flat_map(|kind| ["Parquet", "Csv"].map(|format| (*kind, format))).collect();
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
        let properties = |(kind, format): (&str, &str)| json!({ "Kind": kind, "Format": format, "Reuse": "Never" });
        // An account may have two exports of FOCUS: room for the old one and the new one.
        let mut account = customer();
        account.exports.retain(|export| export.name != "focus");
        let mut export = Export::new(account, properties(from));
        let theirs = export.state();
        let first = export.create().await;
        export.world.account.deliver();
        let second = export.update(properties(to)).await;
        export.world.account.deliver();
        let third = export.update(properties(from)).await;
        for (data, (kind, format)) in [(&first, from), (&second, to), (&third, from)] {
            assert_eq!(data["Kind"], kind, "{from:?} {to:?}");
            if kind != "None" {
                assert_eq!((&data["Format"], &data["Origin"]), (&json!(format), &json!("created")), "{from:?} {to:?}");
            }
        }
        let ours = usize::from(from.0 != "None");
        assert_eq!(export.names().len(), 2 + ours, "{from:?} {to:?}: {:?}", export.names());
        // Two exports never share a path, nor does one that was made again.
        let place = |data: &Value| (text(data, "BucketName"), text(data, "Prefix"), text(data, "Name"));
        if from != to && from.0 != "None" {
            assert_ne!(place(&first), place(&third), "{from:?} {to:?}");
        }
        let deleted = export.request("Delete", &Map::new()).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert_eq!(export.names().len(), 2, "{from:?} {to:?}: {:?}", export.names());
        let state = export.state();
        for data in [&first, &second].into_iter().filter(|data| !text(data, "Name").is_empty()) {
            let bucket = &state.buckets[&text(data, "BucketName")];
            assert!(bucket.objects.keys().any(|key| key.ends_with("Manifest.json")), "{from:?} {to:?}: data was lost");
        }
        assert_eq!(state.buckets["finance-data"].policy, theirs.buckets["finance-data"].policy);
        assert_eq!(export.world.account.violations(), Vec::<String>::new());
    }
}

/// Where there is no room for the new one beside the old one, the change is refused and the old one stays.
#[tokio::test(start_paused = true)]
async fn a_change_without_room_keeps_what_exists() {
    let mut export = Export::new(customer(), json!({ "Kind": "Focus", "Reuse": "Never" }));
    export.create().await;
    let before = export.names();
    let old = export.properties.clone();
    export.properties.insert("Format".to_owned(), json!("Csv"));
    let refused = export.request("Update", &old).await;
    assert!(refused["Reason"].as_str().unwrap().starts_with("BILLING_EXPORT_QUOTA"), "{refused}");
    let failed = std::mem::replace(&mut export.properties, old);
    let back = export.request("Update", &failed).await;
    assert_eq!((&back["Status"], export.names()), (&json!("SUCCESS"), before), "{back}");
}

/// F-23, F-24, HW-B8: whose bill it is, what follows, and what to do.
#[tokio::test(start_paused = true)]
async fn the_receiver_of_the_bill_is_named_correctly() {
    let organization = |payer: &str| OrganizationFile::Member {
        id: "o-example".to_owned(),
        management_account: Some(payer.to_owned()),
        feature_set: "ALL".to_owned(),
    };
    let transfer = |status: &str, start: time::OffsetDateTime| TransferFile {
        status: status.to_owned(),
        other: Some("555566667777".to_owned()),
        start: Some(start),
        end: None,
    };
    let (past, future) = (time::macros::datetime!(2026-01-01 0:00 UTC), time::macros::datetime!(2027-01-01 0:00 UTC));
    let member = || AccountFile { organization: organization("999988887777"), ..AccountFile::default() };
    let management = |transfers| AccountFile { organization: organization(ACCOUNT), transfers, ..AccountFile::default() };
    let outbound = |transfer| TransfersFile { outbound: vec![transfer], inbound: Vec::new() };
    let delegated = AccountFile { delegated_services: Some(vec!["guardduty.amazonaws.com".to_owned()]), ..member() };
    for kind in ["CostAndUsageReport", "CostAndUsageReport2"] {
        for (account, scope, made, says) in [
            (member(), "Payer", "none", vec!["account 999988887777 receives its bill", "reseller", "set Scope to Account"]),
            (member(), "Account", "created", vec!["costs of this account only", "999988887777"]),
            (
                delegated.clone(),
                "Payer",
                "none",
                vec!["delegated administrator of guardduty.amazonaws.com", "does not change that"],
            ),
            (
                AccountFile { organization: OrganizationFile::Denied, ..AccountFile::default() },
                "Account",
                "created",
                vec!["may contain the costs of this account only"],
            ),
            (
                management(outbound(transfer("ACCEPTED", past))),
                "Payer",
                "none",
                vec!["transferred to account 555566667777", "launch the stack there"],
            ),
            (management(outbound(transfer("ACCEPTED", past))), "Account", "created", vec!["transferred to account 555566667777"]),
            (management(outbound(transfer("ACCEPTED", future))), "Payer", "created", vec!["a new"]),
            (management(outbound(transfer("WITHDRAWN", past))), "Payer", "created", vec!["a new"]),
            (
                management(TransfersFile { inbound: vec![transfer("ACCEPTED", past)], outbound: Vec::new() }),
                "Payer",
                "created",
                vec!["does not contain the bills that were transferred from account 555566667777"],
            ),
        ] {
            let mut export = Export::new(account, json!({ "Kind": kind, "Scope": scope }));
            let data = export.create().await;
            let decision = text(&data, "Decision");
            assert_eq!(data["Origin"], made, "{decision}");
            for words in says {
                assert!(decision.contains(words), "`{words}` is not in: {decision}");
            }
        }
    }
}

/// HW-B8: an outage is no answer, and a refusal is said.
#[tokio::test(start_paused = true)]
async fn an_unreadable_transfer_is_not_guessed() {
    let organization = OrganizationFile::Member {
        id: "o-example".to_owned(),
        management_account: Some(ACCOUNT.to_owned()),
        feature_set: "ALL".to_owned(),
    };
    let account = || AccountFile { organization: organization.clone(), ..AccountFile::default() };
    for call in ["organizations:ListOutboundResponsibilityTransfers", "organizations:ListInboundResponsibilityTransfers"] {
        for injected in [InjectedFault::Throttled, InjectedFault::Unavailable] {
            let mut export = Export::new(account(), json!({ "Kind": "CostAndUsageReport" }));
            export.world.script.inject_all(call, injected);
            let response = export.request("Create", &Map::new()).await;
            assert_eq!((&response["Status"], export.names().len()), (&json!("FAILED"), 0), "{call} {injected:?}: {response}");
        }
        let mut export = Export::new(account(), json!({ "Kind": "CostAndUsageReport" }));
        export.world.script.inject_all(call, InjectedFault::Denied);
        assert!(text(&export.create().await, "Decision").contains("whether its bill is transferred"), "{call}");
    }
}

/// HW-B13: what the customer names is used, also if it falls short, and said so; what cannot be read is refused.
#[tokio::test(start_paused = true)]
async fn what_the_customer_brings_is_used_and_never_changed() {
    let daily = ReportFile { time_unit: "DAILY".to_owned(), ..ReportFile::hourly("daily", "finance-data") };
    let broken = ReportFile { last_status: Some("ERROR_NO_BUCKET".to_owned()), ..ReportFile::hourly("broken", "finance-data") };
    let account = || {
        let mut account = customer();
        account.reports.extend([daily.clone(), broken.clone()]);
        account.buckets.push(BucketFile { owner: Some("999988887777".to_owned()), ..BucketFile::customers("strangers") });
        account
    };
    let arn = account_arn(&account(), "cur-two");
    let (report, bucket) = (json!("CostAndUsageReport"), json!("finance-data"));
    for (existing, kind, says) in [
        (json!({ "ExistingExport": "finance" }), "CostAndUsageReport", "the existing report `finance`, as ExistingExport says"),
        (
            json!({ "ExistingExport": "arn:aws:cur:us-east-1:111122223333:definition/finance" }),
            "CostAndUsageReport",
            "the existing report `finance`",
        ),
        (json!({ "ExistingExport": "daily" }), "CostAndUsageReport", "but it is daily"),
        (json!({ "ExistingExport": "cur-two" }), "CostAndUsageReport2", "but it is a CUR 2.0 export"),
        (json!({ "ExistingExport": arn }), "CostAndUsageReport2", "the existing CUR 2.0 export `cur-two`"),
        (json!({ "ExistingBucket": bucket, "ExistingPrefix": "billing/finance/" }), "", "below `billing/finance`"),
        (json!({ "ExistingBucket": bucket }), "", "what delivers to it is not known"),
    ] {
        let mut properties = existing.clone();
        properties["Kind"] = report.clone();
        let mut export = Export::new(account(), properties);
        let before = export.state();
        let data = export.create().await;
        assert!(text(&data, "Decision").contains(says), "{existing}: {data}");
        assert_eq!(
            (&data["Origin"], &data["Kind"], &data["BucketName"]),
            (&json!("reused"), &json!(kind), &bucket),
            "{existing}"
        );
        // From what is brought to what is made, and back.
        export.update(json!({ "ExistingExport": "", "ExistingBucket": "", "ExistingPrefix": "", "Reuse": "Never" })).await;
        assert_eq!(export.names().len(), before.reports.len() + before.exports.len() + 1);
        export.update(existing.clone()).await;
        export.request("Delete", &Map::new()).await;
        assert_eq!(export.names().len(), before.reports.len() + before.exports.len());
        assert_eq!(export.state().buckets["finance-data"], before.buckets["finance-data"]);
    }
    for (existing, code, says) in [
        (json!({ "ExistingExport": "nobody" }), "BILLING_EXPORT_NOT_FOUND", "`finance`"),
        (json!({ "ExistingExport": "broken" }), "BILLING_EXPORT_UNUSABLE", "ERROR_NO_BUCKET"),
        (json!({ "ExistingBucket": "nowhere" }), "BILLING_EXPORT_UNUSABLE", "does not exist"),
        (json!({ "ExistingBucket": "strangers" }), "BILLING_EXPORT_UNUSABLE", "cannot be seen"),
        (json!({ "ExistingExport": "a", "ExistingBucket": "b" }), "PROPERTY_INVALID", "cannot be combined"),
        (json!({ "ExistingPrefix": "b" }), "PROPERTY_INVALID", "ExistingBucket"),
        (json!({ "ExistingBucket": "b/c" }), "PROPERTY_INVALID", "must be a bucket name"),
        (json!({ "ExistingExport": "a\"b" }), "PROPERTY_INVALID", "letters, digits"),
        (json!({ "ExistingExport": "finance", "Kind": "None" }), "PROPERTY_INVALID", "`Kind` is `None`"),
    ] {
        let mut export = Export::new(account(), existing.clone());
        let before = export.state();
        let response = export.request("Create", &Map::new()).await;
        let reason = response["Reason"].as_str().unwrap();
        assert!(response["Status"] == "FAILED" && reason.starts_with(code) && reason.contains(says), "{existing}: {reason}");
        assert_eq!(export.state(), before);
    }
}

/// F-52: where a policy of the account or its organization keeps the handler from looking at what is brought, it is named, and not the bucket
/// or export.
#[tokio::test(start_paused = true)]
async fn who_denies_the_look_at_what_is_brought_is_named() {
    for existing in [json!({ "ExistingBucket": "theirs" }), json!({ "ExistingExport": "finance" })] {
        let account: AccountFile = serde_json::from_value(json!({
            "buckets": [{ "name": "theirs" }], "reports": [{ "name": "finance", "bucket": "theirs" }],
        }))
        .unwrap();
        let mut export = Export::new(account, existing.clone());
        export.world.script.inject_all("s3:GetBucketLocation", InjectedFault::DeniedByPolicy);
        export.world.script.inject_all("s3:ListBucket", InjectedFault::DeniedByPolicy);
        let response = export.request("Create", &Map::new()).await;
        let reason = response["Reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("AWS_DENIED_BY_") && reason.contains("s3:GetBucketLocation"), "{existing}: {response}");
    }
}

fn account_arn(account: &AccountFile, name: &str) -> String {
    let state = World::new(account.clone()).account.state();
    state.exports.values().find(|known| known.export.name == name).unwrap().export.arn.clone()
}

/// The role is granted to decrypt with the key of a reused bucket, and with no other.
#[tokio::test(start_paused = true)]
async fn the_key_of_a_reused_bucket_is_reported() {
    let none = "arn:aws:kms:eu-west-1:111122223333:key/none";
    let arn = "arn:aws:kms:us-east-1:111122223333:key/1234";
    for (key, stated, granted, says) in [
        (None, "", none, ""),
        (Some(arn), arn, arn, ""),
        (Some("1234"), arn, arn, ""),
        (Some("alias/billing"), "", none, "use the ARN instead"),
        (Some("arn:aws:kms:us-east-1:111122223333:alias/billing"), "", none, "use the ARN instead"),
        (Some("alias/aws/s3"), "", none, ""),
        // What a policy would read as more than one key, or as none where the bucket is.
        (Some("arn:aws:kms:*:*:key/*"), "", none, "use the ARN instead"),
        (Some("arn:aws:kms:us-east-1:111122223333:key/*"), "", none, "use the ARN instead"),
        (Some("arn:aws:kms:us-east-1:111122223333:key/1234\"],\"x\":[\"y"), "", none, "key/1234'],'x':['y`: use the ARN instead"),
        (Some("arn:aws:kms:eu-west-1:111122223333:key/1234"), "", none, "use the ARN instead"),
        (Some("arn:aws-cn:kms:us-east-1:111122223333:key/1234"), "", none, "use the ARN instead"),
        (Some("arn:aws:kms:us-east-1:1111:key/1234"), "", none, "use the ARN instead"),
        (Some("arn:aws:s3:us-east-1:111122223333:key/1234"), "", none, "use the ARN instead"),
        (Some("1234/*"), "", none, "use the ARN instead"),
        (Some("${aws:userid}"), "", none, "use the ARN instead"),
    ] {
        let mut account = customer();
        account.buckets[0].kms_key = key.map(str::to_owned);
        let mut export = Export::new(account, json!({ "Kind": "CostAndUsageReport" }));
        let data = export.create().await;
        assert_eq!((text(&data, "KmsKeyArn").as_str(), text(&data, "DecryptableKeyArn").as_str()), (stated, granted), "{key:?}");
        let decision = text(&data, "Decision");
        assert!(decision.contains(says) && (says.is_empty() != decision.contains("ARN")), "{key:?}: {decision}");
    }
    let mut export = Export::new(customer(), json!({ "Kind": "CostAndUsageReport" }));
    export.world.script.inject_all("s3:GetEncryptionConfiguration", InjectedFault::DeniedByPolicy);
    let data = export.create().await;
    assert!(data["Origin"] == "reused" && text(&data, "Decision").contains("the key is not known"), "{data}");
}

/// A denial that lasts must not keep a stack from going of which nothing was made.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_closed_keeps_no_empty_stack() {
    for kind in ["CostAndUsageReport2", "Focus"] {
        let account = AccountFile { data_exports_denied: true, ..AccountFile::default() };
        let mut export = Export::new(account, json!({ "Kind": kind }));
        let failed = export.request("Create", &Map::new()).await;
        assert!(failed["Reason"].as_str().unwrap().starts_with("AWS_ACCESS_DENIED"), "{failed}");
        export.physical_id = failed["PhysicalResourceId"].as_str().map(str::to_owned);
        let deleted = export.request("Delete", &Map::new()).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    }
}

/// F-55: what AWS does not let the handler look at or remove is kept with its tags, whatever the retention, and the stack goes. Its
/// bucket is kept too, because a name that is free could become somebody else's while the export still delivers. What passes fails.
#[tokio::test(start_paused = true)]
async fn an_export_that_may_not_be_removed_is_kept_with_its_bucket() {
    let denied = [InjectedFault::Denied, InjectedFault::DeniedByPolicy, InjectedFault::Refused];
    for (kind, list, tags, delete) in [
        ("CostAndUsageReport", "cur:DescribeReportDefinitions", "cur:ListTagsForResource", "cur:DeleteReportDefinition"),
        ("Focus", "bcm-data-exports:ListExports", "bcm-data-exports:ListTagsForResource", "bcm-data-exports:DeleteExport"),
    ] {
        for (action, retention) in [list, tags, delete].into_iter().flat_map(|call| [(call, "Retain"), (call, "Delete")]) {
            for fault in denied.into_iter().chain([InjectedFault::Unavailable]) {
                let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind, "Retention": retention }));
                export.create().await;
                export.world.account.deliver();
                let before = export.state();
                export.world.script.inject_all(action, fault);
                let response = export.request("Delete", &Map::new()).await;
                let (reason, after) = (response["Reason"].as_str().unwrap_or_default(), export.state());
                let context = format!("{action} {fault:?} {retention}: {response}");
                assert_eq!((&after.reports, &after.exports), (&before.reports, &before.exports), "{context}");
                assert!(after.buckets.keys().eq(before.buckets.keys()), "{context}");
                if fault == InjectedFault::Unavailable {
                    assert_eq!(response["Status"], "FAILED", "{context}");
                    continue;
                }
                assert_eq!(response["Status"], "SUCCESS", "{context}");
                assert!(reason.contains("was kept") && reason.contains(&format!("`{action}`")), "{context}");
                // What was asked to go, and may go, goes.
                let is_data_left =
                    after.buckets.values().any(|bucket| bucket.objects.keys().any(|key| key.starts_with("hawser/")));
                assert_eq!(is_data_left, retention == "Retain" || action != delete, "{context}");
            }
        }
    }
}

/// F-55: `DeleteObjects` succeeds when S3 cannot remove single keys now; they are tried again, and only an outage that stays is a failure.
#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_removed_for_a_moment_keep_no_stack() {
    for (times, status) in [(1, "SUCCESS"), (2, "SUCCESS"), (usize::MAX, "FAILED")] {
        for fault in [InjectedFault::Throttled, InjectedFault::Unavailable] {
            let mut export = Export::new(AccountFile::default(), json!({ "Kind": "CostAndUsageReport", "Retention": "Delete" }));
            export.create().await;
            export.world.account.deliver();
            match times {
                usize::MAX => export.world.script.inject_all("s3:DeleteObject", fault),
                times => (0..times).for_each(|nth| export.world.script.inject("s3:DeleteObject", nth, fault)),
            }
            let response = export.request("Delete", &Map::new()).await;
            assert_eq!(response["Status"], status, "{fault:?} {times} times: {response}");
            assert_eq!(export.state().buckets.is_empty(), status == "SUCCESS", "{fault:?} {times} times");
        }
    }
}

/// A key that the customer gives to a bucket of ours later is told with the next Update.
#[tokio::test(start_paused = true)]
async fn the_key_of_our_own_bucket_is_reported_too() {
    let arn = "arn:aws:kms:us-east-1:111122223333:key/1234";
    let mut export = Export::new(AccountFile::default(), json!({ "Kind": "CostAndUsageReport2" }));
    let data = export.create().await;
    assert_eq!(data["KmsKeyArn"], "");
    let bucket = text(&data, "BucketName");
    export.world.account.change(|state| state.buckets.get_mut(&bucket).unwrap().kms_key = Some(arn.to_owned()));
    assert_eq!(export.update(json!({ "Retention": "Delete" })).await["DecryptableKeyArn"], arn);
}

/// HW-B9: what AWS adds is exported by the next Update, in place; what it lacks is no failure.
#[tokio::test(start_paused = true)]
async fn the_dictionary_decides_which_columns_are_exported() {
    let missing_columns = AccountFile {
        tables: [(query::CUR_TABLE.to_owned(), table(json!({ "without": ["bill_invoice_id"] })))].into(),
        ..AccountFile::default()
    };
    let mut export = Export::new(missing_columns, json!({ "Kind": "CostAndUsageReport2" }));
    let data = export.create().await;
    assert!(text(&data, "Decision").contains("AWS's table has no `bill_invoice_id`"), "{data}");
    let asked = query_of(&export);
    assert!(
        !asked.contains("bill_invoice_id") && asked.contains("line_item_usage_amount") && asked.contains("split_line_item"),
        "{asked}"
    );

    for kind in ["CostAndUsageReport2", "Focus"] {
        let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind }));
        let first = export.create().await;
        let columns = query::guaranteed_columns(if kind == "Focus" { Kind::Focus } else { Kind::CostAndUsageReport2 });
        assert!(columns.iter().all(|column| query_of(&export).contains(column)), "{}", query_of(&export));
        let full = query_of(&export);
        // An older definition, as if AWS had added columns since.
        export.world.account.change(|state| {
            let known = state.exports.values_mut().next().unwrap();
            let (head, table) = known.export.query.split_once(" FROM ").unwrap();
            known.export.query = format!("{} FROM {table}", head.rsplit_once(", ").unwrap().0);
        });
        assert_ne!(query_of(&export), full);
        let updated = export.update(json!({ "Retention": "Delete" })).await;
        assert_eq!(query_of(&export), full, "{kind}");
        let place = |data: &Value| (text(data, "Arn"), text(data, "Prefix"), text(data, "BucketName"));
        assert_eq!(place(&first), place(&updated), "in place");
    }
}

fn table(changes: Value) -> TableFile {
    serde_json::from_value(changes).unwrap()
}

fn query_of(export: &Export) -> String {
    export.state().exports.values().next().unwrap().export.query.clone()
}

/// "Split cost allocation where the account has it".
#[tokio::test(start_paused = true)]
async fn an_account_without_split_cost_allocation_has_everything_else() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2"] {
        let account = AccountFile { split_cost_allocation: false, ..AccountFile::default() };
        let mut export = Export::new(account, json!({ "Kind": kind }));
        let response = export.request("Create", &Map::new()).await;
        assert_eq!(response["Status"], "SUCCESS", "{response}");
        assert!(response["Reason"].as_str().unwrap().contains("split cost allocation data is left out"), "{response}");
        assert_eq!(export.names().len(), 1);
    }
    // Without them there is no room either: that is what is said, because it is what can be mended.
    let daily = ReportFile { time_unit: "DAILY".to_owned(), ..ReportFile::hourly("daily", "finance-data") };
    let full = AccountFile { split_cost_allocation: false, report_limit: 1, reports: vec![daily], ..AccountFile::default() };
    let mut export = Export::new(full, json!({ "Kind": "CostAndUsageReport" }));
    let response = export.request("Create", &Map::new()).await;
    assert!(response["Reason"].as_str().unwrap().starts_with("BILLING_REPORT_LIMIT"), "{response}");
}

/// HW-B10: an answer that was lost is looked for and not asked for again; what was made twice all the same is one in the end.
#[tokio::test(start_paused = true)]
async fn an_export_is_made_once() {
    for injected in [InjectedFault::AnswerLost, InjectedFault::HalfAnswer, InjectedFault::Unavailable, InjectedFault::Throttled] {
        let mut export = Export::new(AccountFile::default(), json!({ "Kind": "Focus" }));
        export.world.script.inject("bcm-data-exports:CreateExport", 1, injected);
        let response = export.request("Create", &Map::new()).await;
        assert_eq!(response["Status"], "SUCCESS", "{injected:?}: {response}");
        assert_eq!(export.names().len(), 1, "{injected:?}");
        assert!(response["Data"]["Arn"].as_str().unwrap().starts_with("arn:aws:bcm-data-exports:"), "{response}");
    }
    let mut export = Export::new(AccountFile::default(), json!({ "Kind": "Focus" }));
    let data = export.create().await;
    export.world.account.change(|state| {
        let mut twin = state.exports.values().next().unwrap().clone();
        twin.export.arn.push_str("-twin");
        state.exports.insert(twin.export.arn.clone(), twin);
    });
    let updated = export.update(json!({ "Retention": "Delete" })).await;
    assert_eq!((export.names().len(), &updated["Arn"]), (1, &data["Arn"]));
    export.request("Delete", &Map::new()).await;
    assert!(export.names().is_empty());
}

/// HW-B12: one case, whatever is delivered twice, lost, updated or made again; and a text where there is no plan for it.
#[tokio::test(start_paused = true)]
async fn past_months_are_requested_once() {
    let paid = || AccountFile { support: SupportFile { plan: SupportPlan::Paid, cases: Vec::new() }, ..AccountFile::default() };
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        for injected in [None, Some(InjectedFault::AnswerLost)] {
            let mut export = Export::new(paid(), json!({ "Kind": kind, "RequestBackfill": "true" }));
            if let Some(injected) = injected {
                export.world.script.inject("support:CreateCase", 1, injected);
            }
            let data = export.create().await;
            assert!(text(&data, "Backfill").starts_with("requested in the AWS Support case `Backfill of "), "{data}");
            let event = export.event("Create", "request-1", &Map::new());
            export.physical_id = None;
            export.deliver(&event).await;
            export.physical_id = Some(event["PhysicalResourceId"].as_str().unwrap().to_owned());
            export.update(json!({ "Retention": "Delete" })).await;
            let cases = export.state().cases;
            assert_eq!(cases.len(), 1, "{kind} {injected:?}: {cases:?}");
        }
    }
    // Nobody asked.
    let mut export = Export::new(paid(), json!({ "Kind": "Focus" }));
    let data = export.create().await;
    assert_eq!(data["Backfill"], "not requested");
    assert!(!export.calls().iter().any(|call| call.starts_with("support:")), "{:?}", export.calls());
    // No plan, or no answer: what to write, and where; and the stack is made.
    for injected in [
        None,
        Some(InjectedFault::Denied),
        Some(InjectedFault::Unavailable),
        Some(InjectedFault::Throttled),
        Some(InjectedFault::HalfAnswer),
    ] {
        let account = if injected.is_some() { paid() } else { AccountFile::default() };
        let mut export = Export::new(account, json!({ "Kind": "CostAndUsageReport", "RequestBackfill": "true" }));
        if let Some(injected) = injected {
            export.world.script.inject_all("support:DescribeCases", injected);
        }
        let data = export.create().await;
        let backfill = text(&data, "Backfill");
        let name = text(&data, "Name");
        assert!(
            backfill.contains("https://support.console.aws.amazon.com/") && backfill.contains(&name),
            "{injected:?}: {backfill}"
        );
    }
    // AWS would write into a bucket of the customer's.
    let account = AccountFile { support: SupportFile { plan: SupportPlan::Paid, cases: Vec::new() }, ..customer() };
    let mut export = Export::new(account, json!({ "Kind": "CostAndUsageReport", "RequestBackfill": "true" }));
    let data = export.create().await;
    assert!(text(&data, "Backfill").contains("because the export is yours"), "{data}");
    assert!(export.state().cases.is_empty());
}

/// HW-B11: the other service's silence is no failure; the silence of the one that is asked for is.
#[tokio::test(start_paused = true)]
async fn the_service_that_is_not_asked_for_may_be_silent() {
    for (kind, asked_for, other) in [
        ("CostAndUsageReport", "cur:DescribeReportDefinitions", "bcm-data-exports:ListExports"),
        ("Focus", "bcm-data-exports:ListExports", "cur:DescribeReportDefinitions"),
    ] {
        for injected in
            [InjectedFault::Denied, InjectedFault::DeniedByPolicy, InjectedFault::Unavailable, InjectedFault::Throttled]
        {
            let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind }));
            export.world.script.inject_all(other, injected);
            let data = export.create().await;
            assert!(text(&data, "Decision").contains("could not be listed"), "{kind} {injected:?}: {data}");
            export.physical_id = Some(export.physical_id.unwrap());
            let deleted = export.request("Delete", &Map::new()).await;
            assert_eq!(deleted["Status"], "SUCCESS", "{kind} {injected:?}: {deleted}");
            assert!(export.names().is_empty());

            let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind }));
            export.world.script.inject_all(asked_for, injected);
            let response = export.request("Create", &Map::new()).await;
            assert_eq!(response["Status"], "FAILED", "{kind} {injected:?}: {response}");
        }
    }
}

/// The quota of Data Exports, and the limit of reports, name what is there.
#[tokio::test(start_paused = true)]
async fn an_account_without_room_names_what_uses_it() {
    let five = (1..=5)
        .map(|n| ExportFile { without: vec!["product".to_owned()], ..ExportFile::hourly(&format!("full-{n}"), "finance-data") });
    let account =
        AccountFile { exports: five.collect(), buckets: vec![BucketFile::customers("finance-data")], ..AccountFile::default() };
    let mut export = Export::new(account.clone(), json!({ "Kind": "CostAndUsageReport2" }));
    let response = export.request("Create", &Map::new()).await;
    let reason = response["Reason"].as_str().unwrap();
    assert!(reason.starts_with("BILLING_EXPORT_QUOTA") && reason.contains("`full-1`") && reason.contains("`full-5`"), "{reason}");
    let mut legacy = Export::new(account, json!({ "Kind": "CostAndUsageReport" }));
    assert_eq!(legacy.create().await["Origin"], "created", "the two services count apart, as far as anyone knows");
}

/// F-47: `GetExport` tells more than was sent, or nothing of what is default.
#[tokio::test(start_paused = true)]
async fn an_update_that_changes_nothing_writes_nothing_whatever_aws_adds() {
    for kind in ["CostAndUsageReport2", "Focus"] {
        let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind }));
        export.create().await;
        export.world.account.change(|state| {
            for known in state.exports.values_mut() {
                for properties in known.export.tables.values_mut() {
                    let view = "arn:aws:billing::111122223333:billingview/primary".to_owned();
                    properties.insert("BILLING_VIEW_ARN".to_owned(), view);
                    if kind == "CostAndUsageReport2" {
                        properties.insert("INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY".to_owned(), "FALSE".to_owned());
                    }
                }
            }
        });
        let (before, calls) = (export.state(), export.calls().len());
        export.update(json!({ "Repair": "2" })).await;
        assert_eq!(export.state(), before, "{kind}");
        let calls = export.calls().split_off(calls);
        assert!(!calls.iter().any(|call| call.contains("UpdateExport")), "{kind}: {calls:?}");

        if kind == "Focus" {
            continue;
        }
        // With a column more in its dictionary, AWS's own properties stay in the whole definition that an update sends.
        export.world.account.change(|state| {
            let known = state.exports.values_mut().next().unwrap();
            known.export.query = "SELECT a FROM ".to_owned() + query::table_of(&known.export).unwrap().as_str();
        });
        export.update(json!({ "Repair": "3" })).await;
        assert_eq!(export.state(), before, "{kind}");
    }
}

/// F-45: a bucket answers in its own Region only; wherever it is, what the customer has is found and used.
#[tokio::test(start_paused = true)]
async fn a_bucket_in_any_region_serves() {
    for region in ["us-east-1", "eu-west-1", "ap-southeast-7"] {
        let account = || AccountFile {
            buckets: vec![BucketFile {
                region: region.to_owned(),
                kms_key: Some("1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()),
                ..BucketFile::customers("finance-data")
            }],
            reports: vec![ReportFile { region: region.to_owned(), ..ReportFile::hourly("finance", "finance-data") }],
            ..AccountFile::default()
        };
        for existing in [json!({}), json!({ "ExistingExport": "finance" }), json!({ "ExistingBucket": "finance-data" })] {
            let mut properties = existing.clone();
            properties["Kind"] = json!("CostAndUsageReport");
            let mut export = Export::new(account(), properties);
            let data = export.create().await;
            assert_eq!(
                (text(&data, "Origin"), text(&data, "BucketRegion")),
                ("reused".to_owned(), region.to_owned()),
                "{existing}"
            );
            let key = format!("arn:aws:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab");
            assert_eq!(text(&data, "KmsKeyArn"), key, "{existing}");
        }
        // What only adds a remark fails nothing, whatever S3 says.
        for injected in [InjectedFault::Denied, InjectedFault::DeniedByPolicy, InjectedFault::Refused] {
            let mut export = Export::new(account(), json!({ "Kind": "CostAndUsageReport" }));
            export.world.script.inject_all("s3:GetEncryptionConfiguration", injected);
            let data = export.create().await;
            assert_eq!(text(&data, "Origin"), "reused", "{region} {injected:?}");
            assert!(text(&data, "Decision").contains("the key is not known"), "{region} {injected:?}: {data}");
        }
    }
}

/// F-53: the answer of a HEAD says nothing of why.
#[tokio::test(start_paused = true)]
async fn why_our_bucket_may_not_be_read_is_asked_where_the_answer_has_a_body() {
    let mut probe = Export::new(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" }));
    let bucket = text(&probe.create().await, "BucketName");
    let strangers = BucketFile { owner: Some("444455556666".to_owned()), ..BucketFile::customers(&bucket) };
    let tags = probe.state().buckets[&bucket].tags.clone();
    let there = BucketFile { tags, policy: None, ..BucketFile::customers(&bucket) };
    for (buckets, injected, expected) in [
        (vec![], None, "SUCCESS"),
        (vec![there.clone()], None, "SUCCESS"),
        (vec![strangers], None, "BILLING_BUCKET_NOT_OURS"),
        (vec![there.clone()], Some(InjectedFault::DeniedByPolicy), "AWS_DENIED_BY_"),
        (vec![there], Some(InjectedFault::Unavailable), "AWS_UNAVAILABLE"),
    ] {
        let mut export = Export::new(AccountFile { buckets, ..AccountFile::default() }, json!({ "Kind": "CostAndUsageReport" }));
        export.world.script.inject_all("s3:ListBucket", InjectedFault::Denied);
        if let Some(injected) = injected {
            export.world.script.inject_all("s3:GetBucketTagging", injected);
        }
        let response = export.request("Create", &Map::new()).await;
        let reason = response["Reason"].as_str().unwrap_or_default();
        assert!(response["Status"] == expected || reason.starts_with(expected), "{expected}: {response}");
    }
}

/// F-45: our buckets are where the billing service is, so one of our name elsewhere is another account's.
#[tokio::test(start_paused = true)]
async fn a_bucket_of_our_name_in_another_region_is_not_ours() {
    let mut probe = Export::new(AccountFile::default(), json!({ "Kind": "CostAndUsageReport" }));
    let bucket = text(&probe.create().await, "BucketName");
    let elsewhere = BucketFile { region: "eu-west-1".to_owned(), policy: None, ..BucketFile::customers(&bucket) };
    let account = AccountFile { buckets: vec![elsewhere], ..AccountFile::default() };
    let response = Export::new(account, json!({ "Kind": "CostAndUsageReport" })).request("Create", &Map::new()).await;
    assert!(response["Reason"].as_str().is_some_and(|reason| reason.starts_with("BILLING_BUCKET_NOT_OURS")), "{response}");
}
