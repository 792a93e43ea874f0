//! Data Exports (`bcm-data-exports`), which the emulator does not have. It decides what IAM allows; everything else is here: the
//! state of each account, and the checks of the service (Data Exports API Reference and User Guide).

use std::{collections::BTreeMap, sync::Mutex};

use hawser_account::tables::{Configuration, Dictionary, Property, TableEntry, TableFile};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    AwsCall, Shared,
    billing::{BILLING_REGION, internal},
    calls::lock,
    delivery::Delivery,
    paging,
    scenario::{ExportStatus, Scenario},
    wire::AwsError,
};

/// The exports of each account, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Store(Mutex<BTreeMap<String, Vec<StoredExport>>>);

/// An export.
#[derive(Clone, Debug)]
struct StoredExport {
    arn: String,
    definition: Value,
    tags: BTreeMap<String, String>,
    created: OffsetDateTime,
    updated: OffsetDateTime,
}

/// The tags of one resource, at most.
const TAGS_MAX: usize = 50;

/// The answer to a call that IAM allows.
pub(super) async fn answer(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let scenario = shared.scenario();
    let (account, input) = (aws_call.account.as_str(), &aws_call.input);
    let text = |member: &str| input[member].as_str().unwrap_or_default();
    let store = &shared.exports;
    match aws_call.operation.as_str() {
        "ListTables" => {
            list(aws_call, "Tables", dictionary(&scenario).tables().iter().map(|table| summary(table, account)).collect())
        }
        "GetTable" => {
            let table = table(&scenario, text("TableName"))?;
            let chosen = serde_json::from_value(input["TableProperties"].clone()).unwrap_or_default();
            let configured = table.configured(account, &chosen).map_err(|why| invalid(&why))?;
            Ok(description(&table, &configured))
        }
        "ListExports" => {
            let exports = store.all(account).into_iter().map(
                |export| json!({"ExportArn": export.arn, "ExportName": export.name(), "ExportStatus": export.status(&scenario)}),
            );
            list(aws_call, "Exports", exports.collect())
        }
        "GetExport" => {
            let export = store.one(account, text("ExportArn"))?;
            Ok(json!({"Export": export.definition, "ExportStatus": export.status(&scenario)}))
        }
        "CreateExport" => create(shared, &scenario, aws_call).await,
        "UpdateExport" => update(shared, &scenario, aws_call).await,
        "DeleteExport" => {
            let export = store.one(account, text("ExportArn"))?;
            store.change(account, |all| all.retain(|other| other.arn != export.arn));
            Ok(json!({"ExportArn": export.arn}))
        }
        "ListExecutions" => list(aws_call, "Executions", store.one(account, text("ExportArn"))?.executions(&scenario)),
        "GetExecution" => {
            let executions = store.one(account, text("ExportArn"))?.executions(&scenario);
            let found = executions.into_iter().find(|execution| execution["ExecutionId"] == input["ExecutionId"]);
            found.ok_or_else(|| not_found(text("ExecutionId"), "execution"))
        }
        "ListTagsForResource" => {
            let export = store.one(account, text("ResourceArn"))?;
            let tags = export.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            list(aws_call, "ResourceTags", tags)
        }
        "TagResource" => {
            let mut export = store.one(account, text("ResourceArn"))?;
            export.tags.extend(tags(&input["ResourceTags"])?);
            if export.tags.len() > TAGS_MAX {
                return Err(invalid(&format!("A resource can have {TAGS_MAX} tags.")));
            }
            store.replace(account, export);
            Ok(json!({}))
        }
        "UntagResource" => {
            let mut export = store.one(account, text("ResourceArn"))?;
            let keys = input["ResourceTagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            keys.for_each(|key| drop(export.tags.remove(key)));
            store.replace(account, export);
            Ok(json!({}))
        }
        other => Err(AwsError::new(400, "UnknownOperationException", format!("`{other}` is not served"))),
    }
}

async fn create(shared: &Shared, scenario: &Scenario, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let (account, export) = (aws_call.account.as_str(), &aws_call.input["Export"]);
    let name = export["Name"].as_str().unwrap_or_default();
    let table = checked(scenario, account, export)?;
    let tags = tags(&aws_call.input["ResourceTags"])?;
    let all = shared.exports.all(account);
    if !scenario.twin_exports && all.iter().any(|other| other.name() == name) {
        return Err(invalid(&format!("An export with the name {name} already exists.")));
    }
    let of_table = all.iter().filter(|other| other.table().as_ref() == Some(&table.name)).count();
    let quota = scenario.export_quota.unwrap_or(table.quota);
    if of_table >= quota {
        let text = format!("The account already has {quota} exports of table {}, which is the limit.", table.name);
        return Err(AwsError::new(400, "ServiceQuotaExceededException", text)
            .with("QuotaCode", "L-00000000")
            .with("ServiceCode", "bcm-data-exports")
            .with("ResourceId", name)
            .with("ResourceType", "export"));
    }
    let now = OffsetDateTime::now_utc();
    let arn = format!("arn:aws:bcm-data-exports:{BILLING_REGION}:{account}:export/{name}-{}", uuid(account, name, now));
    let delivery = delivery(account, &arn, export);
    verify(shared, &delivery).await?;
    delivery.write_test_object(shared).await.map_err(|error| internal(&error))?;
    let mut definition = export.clone();
    definition["ExportArn"] = json!(arn);
    let stored = StoredExport { arn: arn.clone(), definition, tags, created: now, updated: now };
    // Somebody may have been faster while the bucket was looked at.
    let taken = shared.exports.change(account, |all| {
        let taken = !scenario.twin_exports && all.iter().any(|other| other.name() == name);
        if !taken {
            all.push(stored);
        }
        taken
    });
    if taken {
        return Err(invalid(&format!("An export with the name {name} already exists.")));
    }
    Ok(json!({"ExportArn": arn}))
}

async fn update(shared: &Shared, scenario: &Scenario, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let (account, export) = (aws_call.account.as_str(), &aws_call.input["Export"]);
    let mut stored = shared.exports.one(account, aws_call.input["ExportArn"].as_str().unwrap_or_default())?;
    if export["ExportArn"].as_str().is_some_and(|arn| arn != stored.arn) {
        return Err(invalid("ExportArn of the export is not that of the request."));
    }
    // AWS::BCMDataExports::Export calls both create-only.
    if export["Name"] != stored.definition["Name"] || export["RefreshCadence"] != stored.definition["RefreshCadence"] {
        return Err(invalid("Name and RefreshCadence of an export cannot be changed."));
    }
    let table = checked(scenario, account, export)?;
    if stored.table().as_ref() != Some(&table.name) {
        return Err(invalid("The table of an export cannot be changed."));
    }
    verify(shared, &delivery(account, &stored.arn, export)).await?;
    stored.definition = export.clone();
    stored.definition["ExportArn"] = json!(stored.arn);
    stored.updated = OffsetDateTime::now_utc();
    let arn = stored.arn.clone();
    shared.exports.replace(account, stored);
    Ok(json!({"ExportArn": arn}))
}

/// What the service checks of a definition before it looks at the bucket: the query against the table, and the output.
fn checked(scenario: &Scenario, account: &str, export: &Value) -> Result<TableEntry, AwsError> {
    let query = &export["DataQuery"];
    let (columns, name) = parsed(query["QueryStatement"].as_str().unwrap_or_default())
        .ok_or_else(|| invalid("QueryStatement is not of the form SELECT columns FROM table."))?;
    let table = table(scenario, &name)?;
    let configurations: BTreeMap<String, Configuration> =
        serde_json::from_value(query["TableConfigurations"].clone()).unwrap_or_default();
    if let Some(other) = configurations.keys().find(|other| **other != name) {
        return Err(invalid(&format!("TableConfigurations has table {other}, which QueryStatement does not select from.")));
    }
    let chosen = configurations.get(&name).cloned().unwrap_or_default();
    let configured = table.configured(account, &chosen).map_err(|why| invalid(&why))?;
    if !scenario.split_cost_allocation
        && configured.get("INCLUDE_SPLIT_COST_ALLOCATION_DATA").is_some_and(|value| value == "TRUE")
    {
        return Err(invalid("Split cost allocation data is not enabled for this account."));
    }
    for column in columns.iter().filter(|column| *column != "*") {
        if !table.columns(&configured).any(|(name, _)| name == column) {
            return Err(invalid(&format!("Column {column} is not in table {name} with these table properties.")));
        }
    }
    let destination = &export["DestinationConfigurations"]["S3Destination"];
    combination(&destination["S3OutputConfigurations"]).map_err(invalid)?;
    if destination["S3Prefix"].as_str().is_none_or(str::is_empty) {
        return Err(invalid("S3Prefix must not be empty."));
    }
    Ok(table)
}

/// The columns of a query, without their paths and aliases, and its table.
fn parsed(query: &str) -> Option<(Vec<String>, String)> {
    let shape = regex::Regex::new(r"(?is)^\s*SELECT\s+(.+?)\s+FROM\s+([A-Z0-9_]+)(\s+WHERE\s+.+)?\s*;?\s*$").ok()?;
    let found = shape.captures(query)?;
    let one = regex::Regex::new(r"(?i)^(\*|[A-Z_][A-Z0-9_]*)(\.[A-Z0-9_]+)?(\s+AS\s+[A-Z_][A-Z0-9_]*)?$").ok()?;
    let columns = found[1].split(',').map(|column| Some(one.captures(column.trim())?[1].to_owned()));
    Some((columns.collect::<Option<_>>()?, found[2].to_owned()))
}

/// Which formats and compressions go together.
fn combination(output: &Value) -> Result<(), &'static str> {
    let text = |member: &str| output[member].as_str().unwrap_or_default();
    match (text("OutputType"), text("Format"), text("Compression"), text("Overwrite")) {
        ("CUSTOM", "PARQUET", "PARQUET", _)
        | ("CUSTOM", "TEXT_OR_CSV", "GZIP" | "ZIP", _)
        | ("ATHENA", "PARQUET", "PARQUET", "OVERWRITE_REPORT")
        | ("REDSHIFT", "TEXT_OR_CSV", "GZIP", "CREATE_NEW_REPORT") => Ok(()),
        _ => Err("OutputType, Format, Compression and Overwrite do not go together."),
    }
}

async fn verify(shared: &Shared, delivery: &Delivery<'_>) -> Result<(), AwsError> {
    match delivery.allowed(shared).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(invalid("S3 bucket permission validation failed. Check the policy of the bucket.")),
        Err(error) => Err(internal(&error)),
    }
}

/// An export may go to a bucket of another account, if it says so.
fn delivery<'a>(account: &'a str, arn: &str, export: &'a Value) -> Delivery<'a> {
    let destination = &export["DestinationConfigurations"]["S3Destination"];
    let text = |member: &str| destination[member].as_str().unwrap_or_default();
    let name = export["Name"].as_str().unwrap_or_default();
    Delivery {
        principal: "bcm-data-exports.amazonaws.com",
        account,
        source_arn: arn.to_owned(),
        owner: destination["S3BucketOwner"].as_str().unwrap_or(account),
        bucket: text("S3Bucket"),
        region: text("S3Region"),
        reads: &[],
        key: format!("{}/{name}/metadata/BILLING_PERIOD=2026-11/{name}-Manifest.json", text("S3Prefix")),
    }
}

fn table(scenario: &Scenario, name: &str) -> Result<TableEntry, AwsError> {
    dictionary(scenario).table(name).map_err(|why| invalid(&why))
}

/// The tables of this run's AWS.
fn dictionary(scenario: &Scenario) -> Dictionary {
    let mut changes: BTreeMap<String, TableFile> = BTreeMap::new();
    for table in Dictionary::default().tables() {
        let change = TableFile {
            gone: scenario.tables_missing.contains(&table.name),
            with: scenario.columns_added.get(&table.name).cloned().unwrap_or_default(),
            without: scenario.columns_missing.clone(),
            ..TableFile::default()
        };
        changes.insert(table.name, change);
    }
    Dictionary::new(changes)
}

/// As ListTables names it.
fn summary(table: &TableEntry, account: &str) -> Value {
    let property = |property: &Property| {
        json!({"Name": property.name, "ValidValues": property.values, "DefaultValue": property.default_in(account),
               "Description": property.description})
    };
    let properties: Value = table.properties.iter().map(property).collect();
    json!({"TableName": table.name, "Description": table.description, "TableProperties": properties})
}

/// As GetTable describes it.
fn description(table: &TableEntry, configured: &Configuration) -> Value {
    let columns = table.columns(configured).map(|(name, kind)| json!({"Name": name, "Type": kind, "Description": ""}));
    json!({"TableName": table.name, "Description": table.description, "TableProperties": configured,
           "Schema": columns.collect::<Value>()})
}

fn tags(list: &Value) -> Result<BTreeMap<String, String>, AwsError> {
    let mut tags = BTreeMap::new();
    for tag in list.as_array().into_iter().flatten() {
        let text = |member: &str| tag[member].as_str().unwrap_or_default().to_owned();
        if text("Key").starts_with("aws:") {
            return Err(invalid("Tag keys that begin with aws: are reserved."));
        }
        if tags.insert(text("Key"), text("Value")).is_some() {
            return Err(invalid("A tag key occurs twice."));
        }
    }
    Ok(tags)
}

fn list(aws_call: &AwsCall, member: &str, items: Vec<Value>) -> Result<Value, AwsError> {
    let size = aws_call.input["MaxResults"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(paging::SMALL);
    let (some, next) = paging::page(&aws_call.operation, items, aws_call.input["NextToken"].as_str(), size.min(paging::SMALL))
        .map_err(|_| invalid("NextToken is not valid."))?;
    let mut answer = json!({member: some});
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

fn invalid(why: &str) -> AwsError {
    AwsError::new(400, "ValidationException", why).with("Reason", "other")
}

fn not_found(id: &str, kind: &str) -> AwsError {
    let text = format!("The {kind} {id} does not exist.");
    AwsError::new(400, "ResourceNotFoundException", text).with("ResourceId", id).with("ResourceType", kind)
}

fn uuid(account: &str, name: &str, now: OffsetDateTime) -> String {
    let digest = hex::encode(Sha256::digest(format!("{account} {name} {}", now.unix_timestamp_nanos())));
    [&digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..32]].join("-")
}

fn written(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

impl Store {
    /// Everything that an account has, for tests: definition, tags and times.
    pub(super) fn shown(&self, account: &str) -> Vec<Value> {
        let shown = |export: StoredExport| {
            json!({"arn": export.arn, "name": export.name(), "definition": export.definition, "tags": export.tags,
                   "created": written(export.created), "updated": export.updated.unix_timestamp_nanos().to_string()})
        };
        self.all(account).into_iter().map(shown).collect()
    }

    /// An export that was there before, made without any check; its ARN.
    pub(super) fn put(&self, account: &str, mut definition: Value) -> String {
        let now = OffsetDateTime::now_utc();
        let name = definition["Name"].as_str().unwrap_or_default().to_owned();
        let arn = format!("arn:aws:bcm-data-exports:{BILLING_REGION}:{account}:export/{name}-{}", uuid(account, &name, now));
        definition["ExportArn"] = json!(arn);
        let stored = StoredExport { arn: arn.clone(), definition, tags: BTreeMap::new(), created: now, updated: now };
        self.change(account, |all| all.push(stored));
        arn
    }

    fn all(&self, account: &str) -> Vec<StoredExport> {
        lock(&self.0).get(account).cloned().unwrap_or_default()
    }

    fn one(&self, account: &str, arn: &str) -> Result<StoredExport, AwsError> {
        self.all(account).into_iter().find(|export| export.arn == arn).ok_or_else(|| not_found(arn, "export"))
    }

    fn change<T>(&self, account: &str, change: impl FnOnce(&mut Vec<StoredExport>) -> T) -> T {
        change(lock(&self.0).entry(account.to_owned()).or_default())
    }

    fn replace(&self, account: &str, export: StoredExport) {
        self.change(account, |all| {
            all.iter_mut().filter(|other| other.arn == export.arn).for_each(|other| *other = export.clone())
        });
    }
}

impl StoredExport {
    fn name(&self) -> &str {
        self.definition["Name"].as_str().unwrap_or_default()
    }

    fn table(&self) -> Option<String> {
        parsed(self.definition["DataQuery"]["QueryStatement"].as_str()?).map(|(_, table)| table)
    }

    fn scripted(&self, scenario: &Scenario) -> ExportStatus {
        let found = scenario.export_status.get(self.name()).or_else(|| scenario.export_status.get("*"));
        found.cloned().unwrap_or_else(|| ExportStatus { code: "HEALTHY".into(), ..ExportStatus::default() })
    }

    fn status(&self, scenario: &Scenario) -> Value {
        let scripted = self.scripted(scenario);
        let mut status =
            json!({"StatusCode": scripted.code, "CreatedAt": written(self.created), "LastUpdatedAt": written(self.updated)});
        for (name, value) in [("StatusReason", scripted.reason), ("LastRefreshedAt", scripted.last_refreshed_at)] {
            if let Some(value) = value {
                status[name] = json!(value);
            }
        }
        status
    }

    fn executions(&self, scenario: &Scenario) -> Vec<Value> {
        let runs = self.scripted(scenario).executions.into_iter().enumerate().map(|(number, run)| {
            let mut status = json!({"StatusCode": run.code, "CreatedAt": run.created_at, "LastUpdatedAt": run.created_at});
            if let Some(reason) = run.reason {
                status["StatusReason"] = json!(reason);
            }
            json!({"ExecutionId": format!("execution-{number}"), "ExecutionStatus": status})
        });
        runs.collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn export(changes: &[(&str, Value)]) -> Value {
        let mut export = json!({
            "Name": "hawser-1",
            "DataQuery": {
                "QueryStatement": "SELECT bill_payer_account_id, line_item_resource_id FROM COST_AND_USAGE_REPORT",
                "TableConfigurations": {"COST_AND_USAGE_REPORT": {"TIME_GRANULARITY": "HOURLY", "INCLUDE_RESOURCES": "TRUE"}}},
            "DestinationConfigurations": {"S3Destination": {
                "S3Bucket": "b", "S3Prefix": "hawser/1", "S3Region": "us-east-1",
                "S3OutputConfigurations": {"OutputType": "CUSTOM", "Format": "PARQUET", "Compression": "PARQUET",
                                           "Overwrite": "OVERWRITE_REPORT"}}},
            "RefreshCadence": {"Frequency": "SYNCHRONOUS"}});
        for (pointer, value) in changes {
            *export.pointer_mut(pointer).unwrap() = value.clone();
        }
        export
    }

    fn check(changes: &[(&str, Value)]) -> String {
        let checked = checked(&Scenario::default(), "111122223333", &export(changes));
        checked.map_or_else(|error| error.message, |table| table.name)
    }

    #[test]
    fn queries_are_read() {
        let columns = |query: &str| parsed(query).map(|(columns, table)| (columns.join("+"), table));
        let found = |columns: &str, table: &str| Some((columns.to_owned(), table.to_owned()));
        assert_eq!(columns("select a, B.c AS d from T"), found("a+B", "T"));
        assert_eq!(columns("SELECT *\nFROM FOCUS_1_2_AWS WHERE a = 'b'"), found("*", "FOCUS_1_2_AWS"));
        assert_eq!(columns("SELECT a FROM T, U"), None);
        assert_eq!(columns("SELECT sum(a) FROM T"), None);
        assert_eq!(columns("SELECT a, FROM T"), None);
        assert_eq!(columns("DELETE FROM T"), None);
    }

    #[test]
    fn definitions_are_checked_against_the_table() {
        let (query, tables) = ("/DataQuery/QueryStatement", "/DataQuery/TableConfigurations");
        assert_eq!(check(&[]), "COST_AND_USAGE_REPORT");
        assert!(check(&[(tables, json!({}))]).contains("line_item_resource_id"), "a column that its property brings");
        assert!(check(&[(query, json!("SELECT a FROM COST_AND_USAGE_REPORT"))]).contains("Column a"));
        assert!(check(&[(query, json!("SELECT a FROM NO_TABLE"))]).contains("NO_TABLE"));
        assert!(check(&[(tables, json!({"FOCUS_1_2_AWS": {}}))]).contains("FOCUS_1_2_AWS"));
        assert!(check(&[(tables, json!({"COST_AND_USAGE_REPORT": {"TIME_GRANULARITY": "WEEKLY"}}))]).contains("WEEKLY"));
        assert!(check(&[(tables, json!({"COST_AND_USAGE_REPORT": {"TIME": "HOURLY"}}))]).contains("TIME"));
        let destination = "/DestinationConfigurations/S3Destination";
        assert!(check(&[(&format!("{destination}/S3OutputConfigurations/Compression"), json!("GZIP"))]).contains("go together"));
        assert!(check(&[(&format!("{destination}/S3Prefix"), json!(""))]).contains("S3Prefix"));
    }

    #[test]
    fn split_cost_allocation_wants_an_opt_in() {
        let tables =
            json!({"COST_AND_USAGE_REPORT": {"INCLUDE_RESOURCES": "TRUE", "INCLUDE_SPLIT_COST_ALLOCATION_DATA": "TRUE"}});
        let export = export(&[("/DataQuery/TableConfigurations", tables)]);
        let not_opted_in = Scenario { split_cost_allocation: false, ..Scenario::default() };
        assert!(checked(&not_opted_in, "111122223333", &export).unwrap_err().message.contains("Split cost allocation"));
        assert!(checked(&Scenario::default(), "111122223333", &export).is_ok());
    }
}
