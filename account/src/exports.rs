//! Data Exports.
//!
//! Source: AWS Billing and Cost Management Data Exports API Reference, the operations of these names.

use std::collections::BTreeMap;

use hawser::{
    aws::{DataExport, Execution, ExportStatus, ExportSummary, FaultKind, Table, TableProperty, Tags},
    names::{Partition, rfc3339},
};

use crate::{
    freedoms::TableForm,
    refusal::Refusal,
    services::{Exported, NO_SPLIT, Services},
    tables::{SPLIT, table_of, uuid},
};

/// Who puts the data of exports into buckets.
pub const EXPORT_SERVICE: &str = "bcm-data-exports.amazonaws.com";

/// Longest name of an export.
const NAME_BYTES_MAX: usize = 128;

/// What AWS adds to a table's configuration, with the defaults that hold anyway.
const ADDED_PROPERTIES: [&str; 2] = ["BILLING_VIEW_ARN", "INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY"];

/// Longest query.
const QUERY_CHARS_MAX: usize = 36_000;

impl Services {
    /// Nobody in an account that is kept from Data Exports may call it at all.
    pub fn may_use_exports(&self) -> Result<(), Refusal> {
        let denied = || Err(Refusal::new(FaultKind::Denied, "AccessDeniedException", ""));
        if self.exports_denied { denied() } else { Ok(()) }
    }

    pub fn list_exports(&self) -> Vec<ExportSummary> {
        let known = self.state.exports.values().filter(|known| self.is_listed(&known.export.arn)).map(summary);
        let gone = self.late.exports.iter().filter(|(_, went)| !self.is_forgotten(*went)).map(|(summary, _)| summary.clone());
        known.chain(gone).collect()
    }

    pub fn export(&self, arn: &str) -> Result<&Exported, Refusal> {
        self.state.exports.get(arn).ok_or_else(missing)
    }

    /// An export as `GetExport` gives it back.
    pub fn shown_export(&self, arn: &str) -> Result<DataExport, Refusal> {
        let mut export = self.export(arn)?.export.clone();
        if self.freedoms.tables == TableForm::Completed {
            for (table, properties) in &mut export.tables {
                self.complete(table, properties);
            }
            export.tables.retain(|_, properties| !properties.is_empty());
        }
        Ok(export)
    }

    /// Adds what AWS adds to the configuration of CUR 2.0, where it is configured at all.
    fn complete(&self, table: &str, properties: &mut BTreeMap<String, String>) {
        let Some(table) = self.dictionary.table(table).ok().filter(|_| !properties.is_empty()) else { return };
        for property in table.properties.iter().filter(|property| ADDED_PROPERTIES.contains(&property.name.as_str())) {
            properties.entry(property.name.clone()).or_insert_with(|| property.default_in(&self.account));
        }
    }

    /// What `CreateExport` and `UpdateExport` look at alike, before the bucket.
    fn check_export(&self, export: &DataExport) -> Result<(), Refusal> {
        let legal_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if export.name.is_empty() || export.name.len() > NAME_BYTES_MAX || !export.name.bytes().all(legal_name) {
            return Err(Refusal::invalid("Export name is not valid"));
        }
        if export.query.chars().count() > QUERY_CHARS_MAX {
            return Err(Refusal::invalid("Query statement is too long"));
        }
        match (&*export.output_type, &*export.format, &*export.compression, &*export.overwrite) {
            ("CUSTOM", "PARQUET", "PARQUET", "OVERWRITE_REPORT" | "CREATE_NEW_REPORT")
            | ("CUSTOM", "TEXT_OR_CSV", "GZIP" | "ZIP", "OVERWRITE_REPORT" | "CREATE_NEW_REPORT")
            | ("ATHENA", "PARQUET", "PARQUET", "OVERWRITE_REPORT")
            | ("REDSHIFT", "TEXT_OR_CSV", "GZIP", "CREATE_NEW_REPORT") => {}
            _ => return Err(Refusal::invalid("OutputType, Format, Compression and Overwrite do not go together.")),
        }
        if export.prefix.is_empty() || export.prefix.starts_with('/') || export.prefix.ends_with('/') {
            return Err(Refusal::invalid("S3Prefix is not valid."));
        }
        self.dictionary.check(&self.account, &export.query, &export.tables).map_err(Refusal::invalid)?;
        let is_on = |properties: &BTreeMap<String, String>| properties.get(SPLIT).is_some_and(|value| value == "TRUE");
        if !self.split_cost_allocation && export.tables.values().any(is_on) {
            return Err(Refusal::invalid(NO_SPLIT));
        }
        Ok(())
    }

    /// What `CreateExport` looks at before the bucket.
    pub fn check_new_export(&self, export: &DataExport) -> Result<(), Refusal> {
        self.check_export(export)?;
        if self.is_held_back(&export.name) {
            let message = format!("An export with the name {} already exists.", export.name);
            return Err(Refusal::new(FaultKind::Exists, "ValidationException", message));
        }
        if self.export_names_unique && self.state.exports.values().any(|known| known.export.name == export.name) {
            let message = format!("An export with the name {} already exists.", export.name);
            return Err(Refusal::new(FaultKind::Exists, "ValidationException", message));
        }
        let table = table_of(&export.query).unwrap_or_default();
        let quota = self.export_quota.unwrap_or_else(|| self.dictionary.quota(&table));
        let of_table = |known: &&Exported| table_of(&known.export.query).as_ref() == Some(&table);
        if self.state.exports.values().filter(of_table).count() >= quota {
            let message = format!("The account has as many exports of {table} as it may have.");
            return Err(Refusal::new(FaultKind::LimitReached, "ServiceQuotaExceededException", message));
        }
        Ok(())
    }

    /// Adds an export whose bucket was verified; its ARN.
    pub fn create_export(&mut self, export: &DataExport, tags: &Tags, region: &str) -> Result<String, Refusal> {
        self.check_new_export(export)?;
        Ok(self.insert_export(export, tags, region))
    }

    /// Adds an export without any check; its ARN.
    pub fn insert_export(&mut self, export: &DataExport, tags: &Tags, region: &str) -> String {
        self.exports_made += 1;
        let id = uuid(&[&export.name, &self.exports_made.to_string()]);
        let (partition, account) = (Partition::of_region(region), &self.account);
        let arn = format!("arn:{partition}:bcm-data-exports:{region}:{account}:export/{}-{id}", export.name);
        let created_at = Some(rfc3339(self.now));
        let status = ExportStatus { code: "HEALTHY".to_owned(), created_at, ..ExportStatus::default() };
        let export = DataExport { arn: arn.clone(), status, ..export.clone() };
        self.note_made(&arn, tags);
        self.state.exports.insert(arn.clone(), Exported { export, tags: tags.clone(), execution: None });
        arn
    }

    /// What `UpdateExport` looks at before the bucket.
    pub fn check_changed_export(&self, export: &DataExport) -> Result<(), Refusal> {
        let known = &self.export(&export.arn)?.export;
        if known.name != export.name || table_of(&known.query) != table_of(&export.query) {
            return Err(Refusal::invalid("Export name and table cannot be changed"));
        }
        self.check_export(export)
    }

    /// Changes an export whose bucket was verified.
    pub fn update_export(&mut self, export: &DataExport) -> Result<(), Refusal> {
        self.check_changed_export(export)?;
        let shown = self.shown_export(&export.arn)?;
        if (DataExport { status: shown.status.clone(), ..export.clone() }) == shown {
            self.idle_writes.push(format!("export `{}` is updated, and nothing changes", export.name));
        }
        let known = self.state.exports.get_mut(&export.arn).ok_or_else(missing)?;
        known.export = DataExport { status: known.export.status.clone(), ..export.clone() };
        Ok(())
    }

    /// One that is gone already is success.
    pub fn delete_export(&mut self, arn: &str) -> Result<(), Refusal> {
        if let Some(went) = self.state.exports.remove(arn) {
            self.note_freed(&went.export.name);
            self.late.exports.push((summary(&went), self.now));
        }
        Ok(())
    }

    pub fn list_tables(&self) -> Vec<Table> {
        let tables = self.dictionary.tables().into_iter().map(|table| Table {
            properties: table
                .properties
                .iter()
                .map(|property| {
                    let default = property.default_in(&self.account);
                    TableProperty {
                        name: property.name.clone(),
                        valid_values: property.values.clone(),
                        default: (!default.is_empty()).then_some(default),
                    }
                })
                .collect(),
            name: table.name,
        });
        tables.collect()
    }

    pub fn table_columns(&self, table: &str, properties: &BTreeMap<String, String>) -> Result<Vec<String>, Refusal> {
        self.dictionary.columns(&self.account, table, properties).map_err(Refusal::invalid)
    }

    pub fn last_execution(&self, arn: &str) -> Result<Option<Execution>, Refusal> {
        Ok(self.export(arn)?.execution.clone())
    }
}

fn summary(known: &Exported) -> ExportSummary {
    ExportSummary { arn: known.export.arn.clone(), name: known.export.name.clone() }
}

fn missing() -> Refusal {
    Refusal::new(FaultKind::Missing, "ResourceNotFoundException", "")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::file::{AccountFile, ExportFile};

    fn check(file: AccountFile, change: impl FnOnce(&mut DataExport)) -> Result<(), String> {
        let services = Services::new(file);
        let wanted = ExportFile {
            query: Some("SELECT bill_payer_account_id, line_item_resource_id FROM COST_AND_USAGE_REPORT".to_owned()),
            ..ExportFile::hourly("hawser-1", "b")
        };
        let (mut export, _) = wanted.into_export(&services.dictionary);
        change(&mut export);
        services.check_export(&export).map_err(|refusal| refusal.message)
    }

    #[test]
    fn definitions_are_checked_against_the_table() {
        let wrong = |change: fn(&mut DataExport)| check(AccountFile::default(), change).unwrap_err();
        assert_eq!(check(AccountFile::default(), |_| {}), Ok(()));
        assert!(wrong(|export| export.tables.clear()).contains("line_item_resource_id"), "a column that its property brings");
        assert!(wrong(|export| export.query = "SELECT a FROM COST_AND_USAGE_REPORT".to_owned()).contains("Column a"));
        assert!(wrong(|export| export.query = "SELECT a FROM NO_TABLE".to_owned()).contains("NO_TABLE"));
        assert!(wrong(|export| export.tables = [("FOCUS_1_2_AWS".to_owned(), BTreeMap::new())].into()).contains("FOCUS_1_2_AWS"));
        let property = |export: &mut DataExport, name: &str, value: &str| {
            let tables = export.tables.values_mut();
            tables.for_each(|properties| drop(properties.insert(name.to_owned(), value.to_owned())));
        };
        assert!(
            check(AccountFile::default(), |export| property(export, "TIME_GRANULARITY", "WEEKLY"))
                .unwrap_err()
                .contains("WEEKLY")
        );
        assert!(check(AccountFile::default(), |export| property(export, "TIME", "HOURLY")).unwrap_err().contains("TIME"));
        assert!(wrong(|export| export.compression = "GZIP".to_owned()).contains("go together"));
        assert!(wrong(|export| export.prefix = String::new()).contains("S3Prefix"));
    }

    #[test]
    fn split_cost_allocation_wants_an_opt_in() {
        let not_opted_in = AccountFile { split_cost_allocation: false, ..AccountFile::default() };
        assert_eq!(
            check(not_opted_in.clone(), |export| export.tables.values_mut().for_each(|table| drop(table.remove(SPLIT)))),
            Ok(())
        );
        assert!(check(not_opted_in, |_| {}).unwrap_err().contains("Split cost allocation"));
    }
}
