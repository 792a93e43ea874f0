//! The tables of Data Exports, as AWS's table dictionary has them.
//!
//! Source of `tables.json`: AWS Data Exports User Guide, "Table dictionary".

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use hawser::names::digest_hex;
use serde::{Deserialize, Serialize};

/// The table of CUR 2.0.
pub const CUR2: &str = "COST_AND_USAGE_REPORT";

/// The account's property that must be on before split cost allocation data can be asked for.
pub const SPLIT: &str = "INCLUDE_SPLIT_COST_ALLOCATION_DATA";

#[expect(clippy::expect_used, reason = "the file is part of the program, and every test reads it")]
static KNOWN: LazyLock<Vec<TableEntry>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../tables.json")).expect("tables.json has the form of `TableEntry`"));

/// A table as AWS's dictionary has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    pub name: String,
    pub description: String,
    /// How many exports of it an account may have (Data Exports User Guide, "Quotas").
    pub quota: usize,
    pub properties: Vec<Property>,
    /// `name type`, or `name type PROPERTY` for a column that is there only while the property is `TRUE`.
    columns: Vec<String>,
}

/// What can be configured about a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    pub name: String,
    /// None of them: any.
    pub values: Vec<String>,
    default: String,
    pub description: String,
}

/// How a table is configured, by property.
pub type Configuration = BTreeMap<String, String>;

/// What an account's dictionary has differently from the one above.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TableFile {
    /// AWS does not offer the table here.
    pub gone: bool,
    /// A table that is not known above is like this one.
    pub like: Option<String>,
    /// Columns that AWS has added.
    pub with: Vec<String>,
    /// Columns that AWS does not have here.
    pub without: Vec<String>,
    /// Properties that AWS does not have here.
    pub without_properties: Vec<String>,
}

/// The dictionary of one account.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    changes: BTreeMap<String, TableFile>,
}

/// Why a table, its configuration or a query is refused.
pub type TableError = String;

impl Property {
    /// What holds in an account where the property is left out.
    pub fn default_in(&self, account: &str) -> String {
        match self.name.as_str() {
            "BILLING_VIEW_ARN" => format!("{}primary", billing_views(account)),
            _ => self.default.clone(),
        }
    }
}

fn billing_views(account: &str) -> String {
    format!("arn:aws:billing::{account}:billingview/")
}

impl TableEntry {
    /// The properties that hold, with the defaults of those that were left out.
    pub fn configured(&self, account: &str, chosen: &Configuration) -> Result<Configuration, TableError> {
        for (name, value) in chosen {
            let Some(property) = self.properties.iter().find(|property| property.name == *name) else {
                return Err(format!("Table property {name} is not a property of table {}.", self.name));
            };
            if !property.values.is_empty() && !property.values.contains(value) {
                return Err(format!("{value} is not a valid value of table property {name}: {:?}.", property.values));
            }
            if name == "BILLING_VIEW_ARN" && !value.starts_with(&billing_views(account)) {
                return Err(format!("{value} is not a billing view of this account."));
            }
        }
        let mut all: Configuration =
            self.properties.iter().map(|property| (property.name.clone(), property.default_in(account))).collect();
        all.extend(chosen.clone());
        Ok(all)
    }

    /// Name and type of each column that the table has when it is configured like this.
    pub fn columns<'a>(&'a self, configured: &'a Configuration) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.columns.iter().filter_map(|column| {
            let mut words = column.split(' ');
            let (name, kind) = (words.next()?, words.next()?);
            words.next().is_none_or(|needs| configured.get(needs).is_some_and(|value| value == "TRUE")).then_some((name, kind))
        })
    }
}

impl Dictionary {
    pub fn new(changes: BTreeMap<String, TableFile>) -> Self {
        Self { changes }
    }

    /// AWS adds a column to every table.
    pub fn grow(&mut self) {
        for known in &*KNOWN {
            let change = self.changes.entry(known.name.clone()).or_default();
            change.with.push(format!("added_{}", change.with.len() + 1));
        }
    }

    /// Every table, by name.
    pub fn tables(&self) -> Vec<TableEntry> {
        let names: BTreeSet<&String> = KNOWN.iter().map(|known| &known.name).chain(self.changes.keys()).collect();
        names.into_iter().filter_map(|name| self.table(name).ok()).collect()
    }

    pub fn table(&self, name: &str) -> Result<TableEntry, TableError> {
        let none = TableFile::default();
        let change = self.changes.get(name).unwrap_or(&none);
        let like = change.like.as_deref().unwrap_or(name);
        let known = KNOWN.iter().find(|known| known.name == like && !change.gone);
        let mut table = known.cloned().ok_or_else(|| format!("Table {name} does not exist"))?;
        name.clone_into(&mut table.name);
        table.properties.retain(|property| !change.without_properties.contains(&property.name));
        table.columns.extend(change.with.iter().map(|name| format!("{name} string")));
        table.columns.retain(|column| !change.without.iter().any(|gone| column.split(' ').next() == Some(gone)));
        table.columns.sort();
        Ok(table)
    }

    /// How many exports of a table an account may have.
    pub fn quota(&self, table: &str) -> usize {
        self.table(table).map_or(0, |table| table.quota)
    }

    /// The names of a table's columns in a configuration.
    pub fn columns(&self, account: &str, table: &str, chosen: &Configuration) -> Result<Vec<String>, TableError> {
        let table = self.table(table)?;
        let configured = table.configured(account, chosen)?;
        Ok(table.columns(&configured).map(|(name, _)| name.to_owned()).collect())
    }

    /// Checks a query against its table.
    pub fn check(&self, account: &str, query: &str, configurations: &BTreeMap<String, Configuration>) -> Result<(), TableError> {
        let (columns, table) = parsed(query).ok_or("QueryStatement is not of the form SELECT columns FROM table.")?;
        let known = self.table(&table)?;
        if let Some(other) = configurations.keys().find(|name| **name != table) {
            return Err(format!("TableConfigurations has table {other}, which QueryStatement does not select from."));
        }
        let configured = known.configured(account, configurations.get(&table).unwrap_or(&Configuration::new()))?;
        let has: BTreeSet<&str> = known.columns(&configured).map(|(name, _)| name).collect();
        let missing = columns.into_iter().find(|column| column != "*" && !has.contains(column.as_str()));
        missing
            .map_or(Ok(()), |column| Err(format!("Column {column} does not exist in table {table} with these table properties.")))
    }
}

/// The configuration that shows most: of CUR 2.0 hourly, with resources and split costs.
pub fn most_granular(table: &str) -> Configuration {
    let wanted = [("TIME_GRANULARITY", "HOURLY"), ("INCLUDE_RESOURCES", "TRUE"), (SPLIT, "TRUE")];
    let known = KNOWN.iter().find(|known| known.name == table);
    let has = |name: &str| known.is_none_or(|known| known.properties.iter().any(|property| property.name == name));
    wanted.iter().filter(|(name, _)| has(name)).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A UUID that is always the same for the same parts.
pub fn uuid(parts: &[&str]) -> String {
    let hex = digest_hex(parts, 16);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The table that a query selects from.
pub fn table_of(query: &str) -> Option<String> {
    parsed(query).map(|(_, table)| table)
}

/// The columns that a query selects.
pub fn columns_of(query: &str) -> Vec<String> {
    parsed(query).map(|(columns, _)| columns).unwrap_or_default()
}

/// Columns and table of `SELECT a, b FROM table WHERE …`, which is all the SQL that the service knows.
fn parsed(query: &str) -> Option<(Vec<String>, String)> {
    let mut words = query.trim().trim_end_matches(';').split_whitespace();
    words.next().filter(|word| word.eq_ignore_ascii_case("SELECT"))?;
    let list: Vec<&str> = words.by_ref().take_while(|word| !word.eq_ignore_ascii_case("FROM")).collect();
    let table = unquoted(words.next()?)?;
    if let Some(word) = words.next() {
        words.next().filter(|_| word.eq_ignore_ascii_case("WHERE"))?;
    }
    let columns = list.join(" ").split(',').map(column).collect::<Option<_>>()?;
    Some((columns, table.to_owned()))
}

/// `*`, or a column, perhaps with a path into a map and an alias: of `product['region'] AS region` it is `product`.
fn column(item: &str) -> Option<String> {
    let words: Vec<&str> = item.split_whitespace().collect();
    let path = match words[..] {
        [path] => path,
        [path, word, alias] if word.eq_ignore_ascii_case("AS") && unquoted(alias).is_some() => path,
        _ => return None,
    };
    let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    let leads_on = match rest.strip_prefix('.') {
        Some(key) => unquoted(key).is_some(),
        None => rest.is_empty() || (rest.starts_with("['") && rest.ends_with("']")),
    };
    let name = if name == "*" { Some(name) } else { unquoted(name) };
    name.filter(|_| leads_on).map(str::to_owned)
}

fn unquoted(name: &str) -> Option<&str> {
    let name = name.trim_matches('"');
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(name)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::ACCOUNT;

    fn configured(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn columns_depend_on_the_configuration() {
        let dictionary = Dictionary::default();
        let plain = dictionary.columns(ACCOUNT, CUR2, &configured(&[])).unwrap();
        assert_eq!(plain.len(), 113);
        assert!(!plain.contains(&"line_item_resource_id".to_owned()));
        let all = dictionary.columns(ACCOUNT, CUR2, &configured(&[("INCLUDE_RESOURCES", "TRUE"), (SPLIT, "TRUE")])).unwrap();
        assert_eq!(all.len(), 113 + 1 + 11);
        assert!(dictionary.columns(ACCOUNT, CUR2, &configured(&[("INCLUDE_RESOURCES", "yes")])).is_err());
        assert!(dictionary.columns(ACCOUNT, "FOCUS_1_0_AWS", &configured(&[("TIME_GRANULARITY", "HOURLY")])).is_err());
    }

    #[test]
    fn a_query_names_columns_that_its_table_has() {
        let dictionary = Dictionary::default();
        let none = BTreeMap::new();
        let of = |columns: &str| dictionary.check(ACCOUNT, &format!("SELECT {columns} FROM FOCUS_1_2_AWS"), &none);
        assert_eq!(of("BilledCost, Tags['team'] AS team,\n  InvoiceId"), Ok(()));
        assert_eq!(of("*"), Ok(()));
        assert!(of("BilledCost, Billedcost").is_err());
        assert!(dictionary.check(ACCOUNT, "SELECT x", &none).is_err());
        let resources = format!("SELECT line_item_resource_id FROM {CUR2}");
        assert!(dictionary.check(ACCOUNT, &resources, &none).is_err());
        assert_eq!(
            dictionary.check(
                ACCOUNT,
                &resources,
                &BTreeMap::from([(CUR2.to_owned(), configured(&[("INCLUDE_RESOURCES", "TRUE")]))])
            ),
            Ok(())
        );
    }

    #[test]
    fn an_account_can_have_other_tables() {
        let change = |text: &str| serde_json::from_str::<TableFile>(text).unwrap();
        let dictionary = Dictionary::new(BTreeMap::from([
            ("FOCUS_1_3_AWS".to_owned(), change(r#"{"like": "FOCUS_1_2_AWS", "with": ["New"], "without": ["Tags"]}"#)),
            ("FOCUS_1_0_AWS".to_owned(), change(r#"{"gone": true}"#)),
            (CUR2.to_owned(), change(r#"{"withoutProperties": ["INCLUDE_IAM_PRINCIPAL_DATA"]}"#)),
        ]));
        let names: Vec<String> = dictionary.tables().into_iter().map(|table| table.name).collect();
        assert!(names.contains(&"FOCUS_1_3_AWS".to_owned()) && !names.contains(&"FOCUS_1_0_AWS".to_owned()), "{names:?}");
        let columns = dictionary.columns(ACCOUNT, "FOCUS_1_3_AWS", &configured(&[("TIME_GRANULARITY", "HOURLY")])).unwrap();
        assert!(columns.contains(&"New".to_owned()) && !columns.contains(&"Tags".to_owned()));
        assert!(dictionary.columns(ACCOUNT, CUR2, &configured(&[("INCLUDE_IAM_PRINCIPAL_DATA", "TRUE")])).is_err());
    }

    #[test]
    fn queries_are_read() {
        let columns = |query: &str| parsed(query).map(|(columns, table)| (columns.join("+"), table));
        let found = |columns: &str, table: &str| Some((columns.to_owned(), table.to_owned()));
        assert_eq!(columns("select a, B.c AS d from T"), found("a+B", "T"));
        assert_eq!(columns("SELECT *\nFROM FOCUS_1_2_AWS WHERE a = 'b'"), found("*", "FOCUS_1_2_AWS"));
        for refused in ["SELECT a FROM T, U", "SELECT sum(a) FROM T", "SELECT a, FROM T", "SELECT a", "DELETE FROM T"] {
            assert_eq!(columns(refused), None, "{refused}");
        }
    }

    #[test]
    fn the_dictionary_is_whole() {
        let tables = Dictionary::default().tables();
        assert!(tables.len() >= 5 && tables.is_sorted_by_key(|table| table.name.clone()));
        for table in tables {
            let names: BTreeSet<&str> = table.columns.iter().filter_map(|column| column.split(' ').next()).collect();
            assert_eq!(names.len(), table.columns.len(), "{}: a column twice", table.name);
            for column in &table.columns {
                let needs = column.split(' ').nth(2);
                let known = needs.is_none_or(|needs| table.properties.iter().any(|property| property.name == needs));
                assert!(known, "{}: {column}", table.name);
            }
        }
    }

    #[test]
    fn properties_are_checked() {
        let dictionary = Dictionary::default();
        let refused = |name: &str, value: &str| dictionary.columns(ACCOUNT, CUR2, &configured(&[(name, value)])).is_err();
        assert!(refused("TIME_GRANULARITY", "WEEKLY"));
        assert!(refused("INCLUDE_RESOURCES", "true"));
        assert!(refused("INCLUDE_EVERYTHING", "TRUE"));
        assert!(refused("BILLING_VIEW_ARN", "arn:aws:billing::444455556666:billingview/primary"));
        assert!(!refused("BILLING_VIEW_ARN", "arn:aws:billing::111122223333:billingview/primary"));
    }
}
