//! Data Exports through the SDK.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_bcmdataexports as exports;
use aws_smithy_types::{error::operation::BuildError, retry::RetryConfig};

use super::{
    clients::{Clients, when},
    fault::{fault, incomplete, unreadable},
};
use crate::{
    aws::{DataExport, DataExports, Execution, ExportStatus, ExportSummary, Fault, FaultKind, Table, TableProperty, Tags},
    names::rfc3339,
};

#[async_trait]
impl DataExports for Clients {
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault> {
        let mut all = Vec::new();
        let mut exports = self.exports.list_exports().into_paginator().items().send();
        while let Some(export) = exports.next().await {
            let export = export.map_err(|why| fault("bcm-data-exports:ListExports", why))?;
            all.push(ExportSummary { arn: export.export_arn, name: export.export_name });
        }
        Ok(all)
    }

    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault> {
        let action = "bcm-data-exports:GetExport";
        let answer = self.exports.get_export().export_arn(arn).send().await.map_err(|why| fault(action, why))?;
        let export = answer.export.ok_or_else(|| incomplete(action))?;
        Ok(DataExport { arn: arn.to_owned(), ..data_export(export, answer.export_status) })
    }

    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault> {
        let (mut tags, mut token) = (Tags::new(), None);
        loop {
            let answer = self.exports.list_tags_for_resource().resource_arn(arn).set_next_token(token).send().await;
            let answer = answer.map_err(|why| fault("bcm-data-exports:ListTagsForResource", why))?;
            tags.extend(answer.resource_tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
            token = answer.next_token;
            if token.is_none() {
                return Ok(tags);
            }
        }
    }

    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault> {
        let action = "bcm-data-exports:CreateExport";
        let tags = (!tags.is_empty()).then(|| self::tags(tags)).transpose().map_err(|_| unreadable(action))?;
        let definition = definition(export).map_err(|_| unreadable(action))?;
        // Never repeated by the SDK: the service would make a second export.
        let once = exports::Config::builder().retry_config(RetryConfig::disabled());
        let request = self.exports.create_export().export(definition).set_resource_tags(tags);
        let answer = request.customize().config_override(once).send().await;
        answer.map_err(|why| fault(action, why))?.export_arn.ok_or_else(|| incomplete(action))
    }

    async fn tag_export(&self, arn: &str, tags: &Tags) -> Result<(), Fault> {
        let action = "bcm-data-exports:TagResource";
        let tags = self::tags(tags).map_err(|_| unreadable(action))?;
        let answer = self.exports.tag_resource().resource_arn(arn).set_resource_tags(Some(tags)).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn update_export(&self, export: &DataExport) -> Result<(), Fault> {
        let action = "bcm-data-exports:UpdateExport";
        let definition = definition(export).map_err(|_| unreadable(action))?;
        let answer = self.exports.update_export().export_arn(&export.arn).export(definition).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn delete_export(&self, arn: &str) -> Result<(), Fault> {
        match self.exports.delete_export().export_arn(arn).send().await.map_err(|why| fault("bcm-data-exports:DeleteExport", why))
        {
            Err(fault) if fault.kind != FaultKind::Missing => Err(fault),
            _ => Ok(()),
        }
    }

    async fn list_tables(&self) -> Result<Vec<Table>, Fault> {
        let mut all = Vec::new();
        let mut tables = self.exports.list_tables().into_paginator().items().send();
        while let Some(table) = tables.next().await {
            let table = table.map_err(|why| fault("bcm-data-exports:ListTables", why))?;
            let properties = table.table_properties.unwrap_or_default().into_iter().map(|property| TableProperty {
                name: property.name.unwrap_or_default(),
                valid_values: property.valid_values.unwrap_or_default(),
                default: property.default_value,
            });
            all.push(Table { name: table.table_name.unwrap_or_default(), properties: properties.collect() });
        }
        Ok(all)
    }

    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        let properties = properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let answer = self.exports.get_table().table_name(table).set_table_properties(Some(properties)).send().await;
        let answer = answer.map_err(|why| fault("bcm-data-exports:GetTable", why))?;
        Ok(answer.schema.unwrap_or_default().into_iter().filter_map(|column| column.name).collect())
    }

    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault> {
        let mut newest: Option<(i64, Execution)> = None;
        let mut executions = self.exports.list_executions().export_arn(arn).into_paginator().items().send();
        while let Some(execution) = executions.next().await {
            let execution = execution.map_err(|why| fault("bcm-data-exports:ListExecutions", why))?;
            let Some(status) = execution.execution_status else { continue };
            // AWS promises no order.
            let at = status.created_at.as_ref().map(aws_smithy_types::DateTime::secs).unwrap_or_default();
            if newest.as_ref().is_none_or(|(known, _)| at >= *known) {
                let code = status.status_code.map(|code| code.as_str().to_owned()).unwrap_or_default();
                let reason = status.status_reason.map(|reason| reason.as_str().to_owned());
                let created_at = status.created_at.as_ref().and_then(when).map(rfc3339);
                newest = Some((at, Execution { code, reason, created_at }));
            }
        }
        Ok(newest.map(|(_, execution)| execution))
    }
}

fn tags(tags: &Tags) -> Result<Vec<exports::types::ResourceTag>, BuildError> {
    tags.iter().map(|(key, value)| exports::types::ResourceTag::builder().key(key).value(value).build()).collect()
}

fn data_export(known: exports::types::Export, status: Option<exports::types::ExportStatus>) -> DataExport {
    let query = known.data_query;
    let destination = known.destination_configurations.and_then(|configurations| configurations.s3_destination);
    let output = destination.as_ref().and_then(|destination| destination.s3_output_configurations.clone());
    let word = |word: Option<&str>| word.unwrap_or_default().to_owned();
    let tables = query.as_ref().and_then(|query| query.table_configurations.clone()).unwrap_or_default();
    DataExport {
        arn: known.export_arn.unwrap_or_default(),
        name: known.name,
        description: known.description.unwrap_or_default(),
        query: query.map(|query| query.query_statement).unwrap_or_default(),
        tables: tables.into_iter().map(|(table, properties)| (table, properties.into_iter().collect())).collect(),
        output_type: word(output.as_ref().map(|output| output.output_type.as_str())),
        format: word(output.as_ref().map(|output| output.format.as_str())),
        compression: word(output.as_ref().map(|output| output.compression.as_str())),
        overwrite: word(output.as_ref().map(|output| output.overwrite.as_str())),
        bucket: destination.as_ref().map(|destination| destination.s3_bucket.clone()).unwrap_or_default(),
        bucket_owner: destination.as_ref().and_then(|destination| destination.s3_bucket_owner.clone()),
        prefix: destination.as_ref().map(|destination| destination.s3_prefix.clone()).unwrap_or_default(),
        region: destination.map(|destination| destination.s3_region).unwrap_or_default(),
        status: status.map(health).unwrap_or_default(),
    }
}

fn health(known: exports::types::ExportStatus) -> ExportStatus {
    ExportStatus {
        code: known.status_code.map(|code| code.as_str().to_owned()).unwrap_or_default(),
        reason: known.status_reason.map(|reason| reason.as_str().to_owned()),
        created_at: known.created_at.as_ref().and_then(when).map(rfc3339),
        last_refreshed_at: known.last_refreshed_at.as_ref().and_then(when).map(rfc3339),
    }
}

fn definition(export: &DataExport) -> Result<exports::types::Export, BuildError> {
    let mut query = exports::types::DataQuery::builder().query_statement(&export.query);
    for (table, properties) in &export.tables {
        query = query.table_configurations(table, properties.clone().into_iter().collect());
    }
    let output = exports::types::S3OutputConfigurations::builder()
        .output_type(export.output_type.as_str().into())
        .format(export.format.as_str().into())
        .compression(export.compression.as_str().into())
        .overwrite(export.overwrite.as_str().into())
        .build()?;
    let destination = exports::types::S3Destination::builder()
        .s3_bucket(&export.bucket)
        .set_s3_bucket_owner(export.bucket_owner.clone())
        .s3_prefix(&export.prefix)
        .s3_region(&export.region)
        .s3_output_configurations(output)
        .build()?;
    let cadence = exports::types::RefreshCadence::builder().frequency(exports::types::FrequencyOption::Synchronous).build()?;
    exports::types::Export::builder()
        .set_export_arn((!export.arn.is_empty()).then(|| export.arn.clone()))
        .name(&export.name)
        .set_description((!export.description.is_empty()).then(|| export.description.clone()))
        .data_query(query.build()?)
        .destination_configurations(exports::types::DestinationConfigurations::builder().s3_destination(destination).build())
        .refresh_cadence(cadence)
        .build()
}
