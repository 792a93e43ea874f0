//! Data Exports (`bcm-data-exports`) on the wire, which the emulator does not have. It decides what IAM allows, and keeps the buckets
//! (Data Exports API Reference and User Guide).

use hawser::aws::{DataExport, Tags};
use hawser_account::{
    Refusal,
    services::Exported,
    tables::{Configuration, Property, TableEntry, uuid},
};
use serde_json::{Value, json};

use super::{
    delivery::Delivery,
    paging,
    scenario::{ExportStatus, Scenario},
    shared::{AwsCall, BILLING_REGION, Shared, internal},
    wire::AwsError,
};

/// The tags of one resource, at most.
const TAGS_MAX: usize = 50;

/// The answer to a call that IAM allows.
pub(super) async fn answer(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let scenario = shared.scenario();
    let (account, input) = (aws_call.account.as_str(), &aws_call.input);
    let arn = input["ExportArn"].as_str().or(input["ResourceArn"].as_str()).unwrap_or_default();
    let export = || shared.ask(aws_call, |services| services.export(arn).cloned());
    match aws_call.operation.as_str() {
        "ListTables" => {
            let tables = shared.services(account, |services| services.dictionary.tables());
            list(aws_call, "Tables", tables.iter().map(|table| summary(table, account)).collect())
        }
        "GetTable" => shared.ask(aws_call, |services| {
            let table = services.dictionary.table(aws_call.text("TableName")).map_err(Refusal::invalid)?;
            let chosen = serde_json::from_value(input["TableProperties"].clone()).unwrap_or_default();
            let configured = table.configured(account, &chosen).map_err(Refusal::invalid)?;
            Ok(description(&table, &configured))
        }),
        "ListExports" => {
            let known: Vec<Exported> = shared.services(account, |services| services.state.exports.values().cloned().collect());
            let summary = |Exported { export, .. }: &Exported| json!({"ExportArn": export.arn, "ExportName": export.name, "ExportStatus": status(export, &scenario)});
            list(aws_call, "Exports", known.iter().map(summary).collect())
        }
        "GetExport" => {
            let Exported { export, .. } = export()?;
            Ok(json!({"Export": definition(&export), "ExportStatus": status(&export, &scenario)}))
        }
        "CreateExport" => create(shared, aws_call).await,
        "UpdateExport" => update(shared, aws_call).await,
        "DeleteExport" => shared.ask(aws_call, |services| {
            services.export(arn)?;
            services.delete_export(arn)?;
            Ok(json!({"ExportArn": arn}))
        }),
        "ListExecutions" => list(aws_call, "Executions", executions(&export()?.export, &scenario)),
        "GetExecution" => {
            let executions = executions(&export()?.export, &scenario);
            let found = executions.into_iter().find(|execution| execution["ExecutionId"] == input["ExecutionId"]);
            found.ok_or_else(|| AwsError::new(400, "ResourceNotFoundException", "The execution does not exist."))
        }
        "ListTagsForResource" => {
            let tags = export()?.tags;
            list(aws_call, "ResourceTags", tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect())
        }
        "TagResource" => {
            let mut tags_now = export()?.tags;
            tags_now.extend(tags(&input["ResourceTags"])?);
            if tags_now.len() > TAGS_MAX {
                return Err(invalid(&format!("A resource can have {TAGS_MAX} tags.")));
            }
            Ok(retag(shared, account, arn, tags_now))
        }
        "UntagResource" => {
            let mut tags_now = export()?.tags;
            let keys = input["ResourceTagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            keys.for_each(|key| drop(tags_now.remove(key)));
            Ok(retag(shared, account, arn, tags_now))
        }
        other => Err(AwsError::new(400, "UnknownOperationException", format!("`{other}` is not served"))),
    }
}

fn retag(shared: &Shared, account: &str, arn: &str, tags: Tags) -> Value {
    shared.services(account, |services| {
        if let Some(known) = services.state.exports.get_mut(arn) {
            known.tags = tags;
        }
    });
    json!({})
}

async fn create(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let account = aws_call.account.as_str();
    let (export, tags) = (read(&aws_call.input["Export"], ""), tags(&aws_call.input["ResourceTags"])?);
    shared.ask(aws_call, |services| services.check_new_export(&export))?;
    let arn = format!("arn:aws:bcm-data-exports:{BILLING_REGION}:{account}:export/{}-{}", export.name, uuid(&[&export.name]));
    let delivery = delivery(account, &arn, &export);
    verify(shared, &delivery).await?;
    delivery.write_test_object(shared).await.map_err(|error| internal(&error))?;
    // Somebody may have been faster while the bucket was looked at: all is checked again.
    let arn = shared.ask(aws_call, |services| services.create_export(&export, &tags, BILLING_REGION))?;
    Ok(json!({"ExportArn": arn}))
}

async fn update(shared: &Shared, aws_call: &AwsCall) -> Result<Value, AwsError> {
    let (arn, definition) = (aws_call.text("ExportArn"), &aws_call.input["Export"]);
    if definition["ExportArn"].as_str().is_some_and(|other| other != arn) {
        return Err(invalid("ExportArn of the export is not that of the request."));
    }
    let export = read(definition, arn);
    shared.ask(aws_call, |services| services.check_changed_export(&export))?;
    verify(shared, &delivery(&aws_call.account, arn, &export)).await?;
    shared.ask(aws_call, |services| services.update_export(&export))?;
    Ok(json!({"ExportArn": arn}))
}

/// A definition in the words of the port.
fn read(definition: &Value, arn: &str) -> DataExport {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let destination = |member: &str| text(&format!("/DestinationConfigurations/S3Destination/{member}"));
    let output = |member: &str| destination(&format!("S3OutputConfigurations/{member}"));
    DataExport {
        arn: arn.to_owned(),
        name: text("/Name"),
        description: text("/Description"),
        query: text("/DataQuery/QueryStatement"),
        tables: serde_json::from_value(definition["DataQuery"]["TableConfigurations"].clone()).unwrap_or_default(),
        bucket: destination("S3Bucket"),
        bucket_owner: Some(destination("S3BucketOwner")).filter(|owner| !owner.is_empty()),
        prefix: destination("S3Prefix"),
        region: destination("S3Region"),
        output_type: output("OutputType"),
        format: output("Format"),
        compression: output("Compression"),
        overwrite: output("Overwrite"),
        status: hawser::aws::ExportStatus::default(),
    }
}

/// A definition as the service writes it.
fn definition(export: &DataExport) -> Value {
    let mut written = json!({
        "ExportArn": export.arn, "Name": export.name,
        "DataQuery": {"QueryStatement": export.query, "TableConfigurations": export.tables},
        "DestinationConfigurations": {"S3Destination": {
            "S3Bucket": export.bucket, "S3Prefix": export.prefix, "S3Region": export.region,
            "S3OutputConfigurations": {"OutputType": export.output_type, "Format": export.format,
                                       "Compression": export.compression, "Overwrite": export.overwrite}}},
        "RefreshCadence": {"Frequency": "SYNCHRONOUS"}});
    if !export.description.is_empty() {
        written["Description"] = json!(export.description);
    }
    if let Some(owner) = &export.bucket_owner {
        written["DestinationConfigurations"]["S3Destination"]["S3BucketOwner"] = json!(owner);
    }
    written
}

async fn verify(shared: &Shared, delivery: &Delivery<'_>) -> Result<(), AwsError> {
    match delivery.allowed(shared).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(invalid("S3 bucket permission validation failed. Check the policy of the bucket.")),
        Err(error) => Err(internal(&error)),
    }
}

/// An export may go to a bucket of another account, if it says so.
fn delivery<'a>(account: &'a str, arn: &str, export: &'a DataExport) -> Delivery<'a> {
    let (name, prefix) = (&export.name, &export.prefix);
    Delivery {
        principal: "bcm-data-exports.amazonaws.com",
        account,
        source_arn: arn.to_owned(),
        owner: export.bucket_owner.as_deref().unwrap_or(account),
        bucket: &export.bucket,
        region: &export.region,
        reads: &[],
        key: format!("{prefix}/{name}/metadata/BILLING_PERIOD=2026-11/{name}-Manifest.json"),
    }
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

fn tags(list: &Value) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
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
    paging::list(aws_call, member, items, size.min(paging::SMALL)).map_err(|_| invalid("NextToken is not valid."))
}

fn invalid(why: &str) -> AwsError {
    AwsError::new(400, "ValidationException", why)
}

/// Everything that an account has, for tests: definition, tags and time.
pub(super) fn shown(shared: &Shared, account: &str) -> Vec<Value> {
    let known: Vec<Exported> = shared.services(account, |services| services.state.exports.values().cloned().collect());
    let shown = |Exported { export, tags, .. }: &Exported| {
        json!({"arn": export.arn, "name": export.name, "definition": definition(export), "tags": tags,
               "created": export.status.created_at})
    };
    known.iter().map(shown).collect()
}

/// An export that was there before, made without any check; its ARN.
pub(super) fn put(shared: &Shared, account: &str, definition: &Value) -> String {
    let export = read(definition, "");
    shared.services(account, |services| services.insert_export(&export, &Tags::new(), BILLING_REGION))
}

fn scripted(export: &DataExport, scenario: &Scenario) -> ExportStatus {
    let found = scenario.export_status.get(&export.name).or_else(|| scenario.export_status.get("*"));
    found.cloned().unwrap_or_else(|| ExportStatus { code: "HEALTHY".into(), ..ExportStatus::default() })
}

fn status(export: &DataExport, scenario: &Scenario) -> Value {
    let (scripted, created) = (scripted(export, scenario), &export.status.created_at);
    let mut status = json!({"StatusCode": scripted.code, "CreatedAt": created, "LastUpdatedAt": created});
    for (name, value) in [("StatusReason", scripted.reason), ("LastRefreshedAt", scripted.last_refreshed_at)] {
        if let Some(value) = value {
            status[name] = json!(value);
        }
    }
    status
}

fn executions(export: &DataExport, scenario: &Scenario) -> Vec<Value> {
    let runs = scripted(export, scenario).executions.into_iter().enumerate().map(|(number, run)| {
        let mut status = json!({"StatusCode": run.code, "CreatedAt": run.created_at, "LastUpdatedAt": run.created_at});
        if let Some(reason) = run.reason {
            status["StatusReason"] = json!(reason);
        }
        json!({"ExecutionId": format!("execution-{number}"), "ExecutionStatus": status})
    });
    runs.collect()
}
