//! What a customer may switch on: new versions in place of overwriting, and in CUR 2.0 who caused each cost.

use hawser::billing::query::{IAM_PRINCIPAL_COLUMN, IAM_PRINCIPALS};
use hawser_account::{
    AccountFile, AccountState,
    file::{BucketFile, ExportFile, ReportFile},
};
use serde_json::{Map, Value, json};

use crate::kinds::Export;

/// What AWS has: its word for the versions, and whether it makes files for Athena.
fn made(state: &AccountState) -> (String, bool) {
    let reports = state.reports.values().map(|(report, _)| (report.versioning.clone(), !report.artifacts.is_empty()));
    let exports = state.exports.values().map(|known| (known.export.overwrite.clone(), false));
    reports.chain(exports).next().unwrap()
}

/// HW-L3: AWS cannot change it in place, so that the other one has another name and place; and back.
#[tokio::test(start_paused = true)]
async fn a_delivery_comes_beside_the_earlier_ones_where_that_is_asked_for() {
    for kind in ["CostAndUsageReport", "CostAndUsageReport2", "Focus"] {
        for format in ["Parquet", "Csv"] {
            let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind, "Format": format }));
            let athena = kind == "CostAndUsageReport" && format == "Parquet";
            assert_eq!(export.create().await["Versioning"], "OverwriteReport");
            assert_eq!(made(&export.state()), ("OVERWRITE_REPORT".to_owned(), athena), "{kind} {format}");
            let first = export.physical_id.clone();
            let data = export.update(json!({ "Versioning": "CreateNewReport" })).await;
            assert_eq!((&data["Versioning"], &data["Origin"]), (&json!("CreateNewReport"), &json!("created")), "{data}");
            // AWS refuses the files for Athena with versions.
            assert_eq!(made(&export.state()), ("CREATE_NEW_REPORT".to_owned(), false), "{kind} {format}");
            assert_ne!(export.physical_id, first);
            export.update(json!({ "Versioning": "OverwriteReport" })).await;
            assert_eq!(export.physical_id, first);
            assert_eq!(made(&export.state()), ("OVERWRITE_REPORT".to_owned(), athena), "{kind} {format}");
            // Whatever it was, it goes with the stack.
            export.request("Delete", &Map::new()).await;
            assert!(export.state().reports.is_empty() && export.state().exports.is_empty());
        }
    }
}

/// HW-B9: switched on and off in place, and nothing is written while nothing changes.
#[tokio::test(start_paused = true)]
async fn who_caused_each_cost_is_switched_on_and_off_in_place() {
    let mut export = Export::new(AccountFile::default(), json!({ "Kind": "CostAndUsageReport2" }));
    let asked = |export: &Export| {
        let known = export.state().exports.values().next().unwrap().export.clone();
        let property = known.tables.values().find_map(|properties| properties.get(IAM_PRINCIPALS).cloned());
        (property, known.query.contains(IAM_PRINCIPAL_COLUMN))
    };
    assert_eq!(export.create().await["IamPrincipalData"], "false");
    assert_eq!(asked(&export), (None, false));
    let id = export.physical_id.clone();
    for (switch, property) in [("true", "TRUE"), ("false", "FALSE"), ("true", "TRUE")] {
        let data = export.update(json!({ "IncludeIamPrincipalData": switch })).await;
        assert_eq!(data["IamPrincipalData"], switch, "{data}");
        assert_eq!(asked(&export), (Some(property.to_owned()), switch == "true"));
        assert_eq!(export.physical_id, id);
        let before = export.calls().len();
        export.update(json!({ "Retention": "Delete" })).await;
        export.update(json!({ "Retention": "Retain" })).await;
        assert!(!export.calls()[before..].iter().any(|call| call.contains("UpdateExport")), "{switch}");
    }
    for kind in ["CostAndUsageReport", "Focus"] {
        let mut export = Export::new(AccountFile::default(), json!({ "Kind": kind, "IncludeIamPrincipalData": "true" }));
        let response = export.request("Create", &Map::new()).await;
        assert!(response["Reason"].as_str().unwrap().starts_with("PROPERTY_INVALID"), "{response}");
    }
    // Where AWS does not offer it, the export is made without, and the decision says so.
    let account: AccountFile = serde_json::from_value(
        json!({ "tables": { "COST_AND_USAGE_REPORT": { "withoutProperties": [IAM_PRINCIPALS], "without": [IAM_PRINCIPAL_COLUMN] } } }),
    )
    .unwrap();
    let mut export = Export::new(account, json!({ "Kind": "CostAndUsageReport2", "IncludeIamPrincipalData": "true" }));
    let data = export.create().await;
    assert_eq!(data["IamPrincipalData"], "false");
    assert!(data["Decision"].as_str().unwrap().contains(&format!("AWS's table has no `{IAM_PRINCIPAL_COLUMN}`")), "{data}");
}

/// F-54: an export of the customer's serves if it has what is asked for; what it has beside that is said.
#[tokio::test(start_paused = true)]
async fn an_existing_export_is_compared_in_what_is_asked_for() {
    let with_principals: ExportFile = serde_json::from_value(json!({
        "name": "who", "bucket": "finance-data",
        "configuration": { "TIME_GRANULARITY": "HOURLY", "INCLUDE_RESOURCES": "TRUE", "INCLUDE_IAM_PRINCIPAL_DATA": "TRUE" },
    }))
    .unwrap();
    let versions = |name: &str| ReportFile {
        versioning: "CREATE_NEW_REPORT".to_owned(),
        format: "textORcsv".to_owned(),
        compression: "GZIP".to_owned(),
        ..ReportFile::hourly(name, "finance-data")
    };
    let account = |reports: Vec<ReportFile>, exports: Vec<ExportFile>| AccountFile {
        reports,
        exports,
        buckets: vec![BucketFile::customers("finance-data")],
        ..AccountFile::default()
    };
    let plain = || ExportFile::hourly("plain", "finance-data");
    let csv = json!({ "Kind": "CostAndUsageReport", "Format": "Csv" });
    let kept = json!({ "Kind": "CostAndUsageReport", "Format": "Csv", "Versioning": "CreateNewReport" });
    let cur2 = json!({ "Kind": "CostAndUsageReport2" });
    let who = json!({ "Kind": "CostAndUsageReport2", "IncludeIamPrincipalData": "true" });
    let overwriting = || ReportFile { versioning: "OVERWRITE_REPORT".to_owned(), ..versions("one") };
    for (account, properties, name, says) in [
        (account(vec![versions("all")], vec![]), &csv, "all", "comes beside the earlier ones (CREATE_NEW_REPORT)"),
        (account(vec![versions("all")], vec![]), &kept, "all", "the existing report `all`"),
        (account(vec![overwriting()], vec![]), &kept, "", "not `one`: each delivery overwrites the earlier ones"),
        (account(vec![overwriting(), versions("all")], vec![]), &kept, "all", "not `one`: each delivery overwrites"),
        (account(vec![], vec![with_principals.clone()]), &cur2, "who", "it also says which IAM principal caused each cost"),
        (account(vec![], vec![with_principals.clone()]), &who, "who", "the existing CUR 2.0 export `who`"),
        (account(vec![], vec![plain()]), &who, "", "not export `plain`: it does not say which IAM principal caused each cost"),
        (account(vec![], vec![plain(), with_principals]), &who, "who", "not export `plain`"),
    ] {
        let mut export = Export::new(account, properties.clone());
        let data = export.create().await;
        let decision = data["Decision"].as_str().unwrap();
        assert!(decision.contains(says), "{properties}: {decision}");
        let origin = if name.is_empty() { "created" } else { "reused" };
        assert_eq!(data["Origin"], origin, "{properties}: {data}");
        assert!(name.is_empty() || data["Name"] == name, "{properties}: {data}");
        let asked = |name: &str, default: &str| properties.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
        if name != "all" {
            assert_eq!(data["Versioning"], asked("Versioning", "OverwriteReport"), "{properties}");
        }
        if name != "who" {
            assert_eq!(data["IamPrincipalData"], asked("IncludeIamPrincipalData", "false"), "{properties}");
        }
    }
}
