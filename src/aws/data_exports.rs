//! Data Exports (service `bcm-data-exports`), in the service's own words so that nothing is lost in translation.
//!
//! Source: AWS Billing and Cost Management Data Exports API Reference, `Export`, `ExportStatus` and `Table`.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Fault, Tags};

/// The calls of Data Exports (`bcm-data-exports`).
#[async_trait]
pub trait DataExports: Send + Sync {
    /// `bcm-data-exports:ListExports`, every page (HW-B4).
    async fn list_exports(&self) -> Result<Vec<ExportSummary>, Fault>;
    /// `bcm-data-exports:GetExport`
    async fn get_export(&self, arn: &str) -> Result<DataExport, Fault>;
    /// `bcm-data-exports:ListTagsForResource`, every page.
    async fn export_tags(&self, arn: &str) -> Result<Tags, Fault>;
    /// `bcm-data-exports:CreateExport`, without tags if there are none; the new export's ARN. The service knows no idempotency token.
    async fn create_export(&self, export: &DataExport, tags: &Tags) -> Result<String, Fault>;
    /// `bcm-data-exports:TagResource`: adds these tags to those it has.
    async fn tag_export(&self, arn: &str, tags: &Tags) -> Result<(), Fault>;
    /// `bcm-data-exports:UpdateExport`, which takes the whole definition.
    async fn update_export(&self, export: &DataExport) -> Result<(), Fault>;
    /// `bcm-data-exports:DeleteExport`; one that is gone already is success.
    async fn delete_export(&self, arn: &str) -> Result<(), Fault>;
    /// `bcm-data-exports:ListTables`, every page.
    async fn list_tables(&self) -> Result<Vec<Table>, Fault>;
    /// `bcm-data-exports:GetTable`: the names of the columns that a table has in the given configuration.
    async fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Fault>;
    /// `bcm-data-exports:ListExecutions`: the newest execution of an export; `None` before the first.
    async fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Fault>;
}

/// Whether CUR 2.0 splits the costs of shared compute; an account may not be opted in to it.
pub const SPLIT_PROPERTY: &str = "INCLUDE_SPLIT_COST_ALLOCATION_DATA";

/// Table configurations: by table, by property. Every value is a string, also `TRUE` and `FALSE`.
pub type TableConfigurations = BTreeMap<String, BTreeMap<String, String>>;

/// An export's definition and health.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataExport {
    /// `arn:…:export/<name>-<uuid>`; empty before it is created.
    pub arn: String,
    /// Its name, which AWS does not promise to be unique.
    pub name: String,
    /// What a person reads in the console.
    pub description: String,
    /// `SELECT …  FROM <table>`.
    pub query: String,
    /// How its table is configured.
    pub tables: TableConfigurations,
    /// Where data is delivered.
    pub bucket: String,
    /// Whose bucket it is; the export's own account when absent.
    pub bucket_owner: Option<String>,
    pub prefix: String,
    pub region: String,
    /// `CUSTOM`, `ATHENA` or `REDSHIFT`.
    pub output_type: String,
    /// `PARQUET` or `TEXT_OR_CSV`.
    pub format: String,
    /// `PARQUET`, `GZIP` or `ZIP`.
    pub compression: String,
    /// `OVERWRITE_REPORT` or `CREATE_NEW_REPORT`.
    pub overwrite: String,
    /// How it fares; read only.
    pub status: ExportStatus,
}

impl DataExport {
    /// Whether it splits the costs of shared compute.
    pub fn is_split(&self) -> bool {
        self.tables.values().any(|properties| properties.get(SPLIT_PROPERTY).is_some_and(|value| value == "TRUE"))
    }
}

/// How an export fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportStatus {
    /// `HEALTHY` or `UNHEALTHY`; healthy from the start, before any data.
    pub code: String,
    /// `INSUFFICIENT_PERMISSION`, `BILL_OWNER_CHANGED`, `INTERNAL_FAILURE` or `DEPRECATED`.
    pub reason: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339; absent until the first data.
    pub last_refreshed_at: Option<String>,
}

/// An export as `ListExports` names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportSummary {
    pub arn: String,
    pub name: String,
}

/// A table that can be exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// Such as `COST_AND_USAGE_REPORT`.
    pub name: String,
    pub properties: Vec<TableProperty>,
}

/// What can be configured about a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableProperty {
    /// Such as `TIME_GRANULARITY`.
    pub name: String,
    /// Its legal values; any, where AWS names none.
    pub valid_values: Vec<String>,
    /// What holds when it is left out.
    pub default: Option<String>,
}

/// One run of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// `ExecutionStatusCode`, such as `DELIVERY_SUCCESS` or `QUERY_FAILURE`.
    pub code: String,
    /// `ExecutionStatusReason`, such as `INSUFFICIENT_PERMISSION`.
    pub reason: Option<String>,
    /// When it began, RFC 3339.
    pub created_at: Option<String>,
}

impl Execution {
    /// Whether it failed, at the query or at the delivery.
    pub fn has_failed(&self) -> bool {
        self.code.ends_with("_FAILURE")
    }
}
