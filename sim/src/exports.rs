//! Data Exports in memory.
//!
//! Source: AWS Billing and Cost Management Data Exports API Reference, the operations of these names.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hawser::{
    aws::{DataExport, DataExports, Execution, ExportStatus, ExportSummary, Fault, FaultKind, TEST_OBJECT, Table, Tags},
    names::{Partition, rfc3339},
};
use tokio::time::Instant;

use crate::{
    account::{Account, Inner},
    account_file::ExportFile,
    calls::{fault, refused},
    objects::Object,
    stack::ACCOUNT,
    tables::{Dictionary, SPLIT, table_of, uuid},
};

/// An export as the account has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Its definition and health.
    pub export: DataExport,
    pub tags: Tags,
    /// Its newest run.
    pub execution: Option<Execution>,
}

impl Exported {
    /// An export as a file describes it, never run.
    pub(super) fn from_file(file: ExportFile, dictionary: &Dictionary) -> Self {
        let (export, tags) = file.into_export(dictionary);
        Self { export, tags, execution: None }
    }
}

/// Who puts the data of exports into buckets.
pub(super) const EXPORT_SERVICE: &str = "bcm-data-exports.amazonaws.com";

/// Longest name of an export.
const NAME_BYTES_MAX: usize = 128;

/// Longest query.
const QUERY_CHARS_MAX: usize = 36_000;

/// Format and compression that go together.
const FORMATS: [(&str, &str); 3] = [("PARQUET", "PARQUET"), ("TEXT_OR_CSV", "GZIP"), ("TEXT_OR_CSV", "ZIP")];

impl Account {
    /// A call of Data DataExports, which an account may be kept from altogether.
    async fn export_call<T>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut Inner) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call(action, |inner| {
            if inner.exports_denied { Err(fault(action, FaultKind::Denied, "AccessDeniedException")) } else { effect(inner) }
        })
        .await
    }
}

impl Inner {
    /// What `CreateExport` and `UpdateExport` look at alike.
    fn check_export(&mut self, action: &'static str, export: &DataExport) -> Result<(), Fault> {
        let legal_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if export.name.is_empty() || export.name.len() > NAME_BYTES_MAX || !export.name.bytes().all(legal_name) {
            return Err(refused(action, "Export name is not valid"));
        }
        if export.query.chars().count() > QUERY_CHARS_MAX {
            return Err(refused(action, "Query statement is too long"));
        }
        if !FORMATS.contains(&(&export.format, &export.compression)) {
            return Err(refused(action, "Format and compression do not go together"));
        }
        let overwrites = ["OVERWRITE_REPORT", "CREATE_NEW_REPORT"].contains(&export.overwrite.as_str());
        if !overwrites || !["CUSTOM", "ATHENA", "REDSHIFT"].contains(&export.output_type.as_str()) {
            return Err(refused(action, "Output configuration is not valid"));
        }
        if export.prefix.is_empty() || export.prefix.starts_with('/') || export.prefix.ends_with('/') {
            return Err(refused(action, "S3 prefix is not valid"));
        }
        self.dictionary.check(&export.query, &export.tables).map_err(|why| refused(action, &why))?;
        let is_on = |properties: &BTreeMap<String, String>| properties.get(SPLIT).is_some_and(|value| value == "TRUE");
        if !self.split_cost_allocation && export.tables.values().any(is_on) {
            let why = format!("{SPLIT} is not valid: the account has not opted in to split cost allocation data");
            return Err(refused(action, &why));
        }
        let (seen, now) = (self.policy_is_seen(&export.bucket), self.now());
        let bucket = self.state.buckets.get_mut(&export.bucket).filter(|bucket| bucket.owner == export.bucket_owner);
        let Some(bucket) = bucket.filter(|bucket| seen && bucket.admits(EXPORT_SERVICE) && bucket.region == export.region) else {
            let message = "Failed to verify customer bucket permission.".to_owned();
            return Err(Fault { message, ..fault(action, FaultKind::BucketUnverified, "ValidationException") });
        };
        bucket.objects.insert(TEST_OBJECT.to_owned(), Object::holding("", now));
        Ok(())
    }

    fn exports_of(&self, table: &str) -> usize {
        let tables = self.state.exports.values().filter_map(|known| table_of(&known.export.query));
        tables.filter(|of| of == table).count()
    }
}

#[async_trait]
impl DataExports for Account {
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault> {
        let name = |known: &Exported| ExportSummary { arn: known.export.arn.clone(), name: known.export.name.clone() };
        let all = |inner: &mut Inner| Ok(inner.state.exports.values().map(name).collect());
        self.export_call("bcm-data-exports:ListExports", all).await
    }

    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault> {
        let action = "bcm-data-exports:GetExport";
        self.export_call(action, |inner| Ok(inner.export(action, arn)?.export.clone())).await
    }

    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault> {
        let action = "bcm-data-exports:ListTagsForResource";
        self.export_call(action, |inner| Ok(inner.export(action, arn)?.tags.clone())).await
    }

    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault> {
        let action = "bcm-data-exports:CreateExport";
        self.export_call(action, |inner| {
            inner.check_export(action, export)?;
            if inner.names_unique && inner.state.exports.values().any(|known| known.export.name == export.name) {
                let message = format!("An export with the name {} already exists.", export.name);
                return Err(Fault { message, ..fault(action, FaultKind::Exists, "ValidationException") });
            }
            let table = table_of(&export.query).unwrap_or_default();
            if inner.exports_of(&table) >= inner.dictionary.quota(&table) {
                let message = format!("The account has as many exports of {table} as it may have.");
                return Err(Fault { message, ..fault(action, FaultKind::LimitReached, "ServiceQuotaExceededException") });
            }
            inner.exports_made += 1;
            let region = self.region();
            let id = uuid(&[&export.name, &inner.exports_made.to_string()]);
            let partition = Partition::of_region(&region);
            let arn = format!("arn:{partition}:bcm-data-exports:{region}:{ACCOUNT}:export/{}-{id}", export.name);
            let created_at = Some(rfc3339(inner.now()));
            let status = ExportStatus { code: "HEALTHY".to_owned(), created_at, ..ExportStatus::default() };
            let export = DataExport { arn: arn.clone(), status, ..export.clone() };
            inner.state.exports.insert(arn.clone(), Exported { export, tags: tags.clone(), execution: None });
            Ok(arn)
        })
        .await
    }

    async fn update_export(&self, export: &DataExport) -> Result<(), Fault> {
        let action = "bcm-data-exports:UpdateExport";
        self.export_call(action, |inner| {
            let known = inner.export(action, &export.arn)?.export.clone();
            if known.name != export.name || table_of(&known.query) != table_of(&export.query) {
                return Err(refused(action, "Export name and table cannot be changed"));
            }
            inner.check_export(action, export)?;
            inner.export(action, &export.arn)?.export = DataExport { status: known.status, ..export.clone() };
            Ok(())
        })
        .await
    }

    async fn delete_export(&self, arn: &str) -> Result<(), Fault> {
        let remove = |inner: &mut Inner| {
            inner.state.exports.remove(arn);
            Ok(())
        };
        self.export_call("bcm-data-exports:DeleteExport", remove).await
    }

    async fn list_tables(&self) -> Result<Vec<Table>, Fault> {
        self.export_call("bcm-data-exports:ListTables", |inner| Ok(inner.dictionary.tables())).await
    }

    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        let action = "bcm-data-exports:GetTable";
        let columns = |inner: &mut Inner| inner.dictionary.columns(table, properties).map_err(|why| refused(action, &why));
        self.export_call(action, columns).await
    }

    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault> {
        let action = "bcm-data-exports:ListExecutions";
        self.export_call(action, |inner| Ok(inner.export(action, arn)?.execution.clone())).await
    }
}

impl Inner {
    fn export(&mut self, action: &'static str, arn: &str) -> Result<&mut Exported, Fault> {
        self.state.exports.get_mut(arn).ok_or_else(|| fault(action, FaultKind::Missing, "ResourceNotFoundException"))
    }

    /// Whether the services that deliver see the newest policy of a bucket.
    pub(super) fn policy_is_seen(&self, bucket: &str) -> bool {
        self.policy_written.get(bucket).is_none_or(|at| Instant::now() >= *at + self.lags.policy)
    }
}
