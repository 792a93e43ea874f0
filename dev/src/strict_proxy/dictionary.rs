//! The tables of Data Exports: their columns, and what can be configured about them (Data Exports User Guide, "Table
//! dictionary").
//!
//! The lists are this project's copy, kept apart from what the handler's tests use, so that one checks the other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::scenario::Scenario;

/// `dictionary.json`, which is compiled in.
static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(|| {
    // The file is part of this program, and a test reads it.
    serde_json::from_str(include_str!("dictionary.json")).unwrap_or_default()
});

#[derive(Debug, Default, Deserialize)]
struct Dictionary {
    tables: Vec<Table>,
}

/// One table.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    description: String,
    /// How many exports of it an account may have.
    pub(super) quota: usize,
    properties: Vec<Property>,
    /// `name type`, or `name type PROPERTY` for a column that is there only while the property is `TRUE`.
    columns: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Property {
    name: String,
    /// None of them: any.
    values: Vec<String>,
    default: String,
    description: String,
}

/// Chosen properties of a table.
pub(super) type Chosen = BTreeMap<String, String>;

/// The tables of this run's AWS.
pub(super) fn tables(scenario: &Scenario) -> Vec<Table> {
    let mut tables = DICTIONARY.tables.clone();
    tables.retain(|table| !scenario.tables_missing.contains(&table.name));
    for table in &mut tables {
        let added = scenario.columns_added.get(&table.name).into_iter().flatten();
        table.columns.extend(added.map(|name| format!("{name} string")));
        table.columns.retain(|column| !scenario.columns_missing.iter().any(|missing| column.split(' ').next() == Some(missing)));
    }
    tables
}

impl Table {
    /// As ListTables names it.
    pub(super) fn summary(&self, account: &str) -> Value {
        let properties = self.properties.iter().map(|property| {
            json!({"Name": property.name, "ValidValues": property.values, "DefaultValue": property.default(account),
                   "Description": property.description})
        });
        json!({"TableName": self.name, "Description": self.description, "TableProperties": properties.collect::<Value>()})
    }

    /// The properties that hold, with the defaults of those that were left out; the reason when one is not known or has a value
    /// that is not allowed.
    pub(super) fn configured(&self, account: &str, chosen: &Chosen) -> Result<Chosen, String> {
        for (name, value) in chosen {
            let Some(property) = self.properties.iter().find(|property| property.name == *name) else {
                return Err(format!("Table property {name} is not a property of table {}.", self.name));
            };
            if !property.values.is_empty() && !property.values.contains(value) {
                return Err(format!("{value} is not a valid value of table property {name}: {:?}.", property.values));
            }
            let view = format!("arn:aws:billing::{account}:billingview/");
            if name == "BILLING_VIEW_ARN" && !value.starts_with(&view) {
                return Err(format!("{value} is not a billing view of this account."));
            }
        }
        let mut all: Chosen = self.properties.iter().map(|one| (one.name.clone(), one.default(account))).collect();
        all.extend(chosen.clone());
        Ok(all)
    }

    /// Name and type of each column that the table has when it is configured like this.
    pub(super) fn columns<'a>(&'a self, configured: &'a Chosen) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.columns.iter().filter_map(|column| {
            let mut words = column.split(' ');
            let (name, kind) = (words.next()?, words.next()?);
            words.next().is_none_or(|needs| configured.get(needs).is_some_and(|value| value == "TRUE")).then_some((name, kind))
        })
    }

    /// As GetTable describes it.
    pub(super) fn description(&self, configured: &Chosen) -> Value {
        let columns = self.columns(configured).map(|(name, kind)| json!({"Name": name, "Type": kind, "Description": ""}));
        json!({"TableName": self.name, "Description": self.description, "TableProperties": configured,
               "Schema": columns.collect::<Value>()})
    }
}

impl Property {
    fn default(&self, account: &str) -> String {
        match self.name.as_str() {
            "BILLING_VIEW_ARN" => format!("arn:aws:billing::{account}:billingview/primary"),
            _ => self.default.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::BTreeSet;

    use super::*;

    fn table(name: &str, scenario: &Scenario) -> Table {
        tables(scenario).into_iter().find(|table| table.name == name).unwrap()
    }

    fn count(name: &str, chosen: &[(&str, &str)]) -> usize {
        let table = table(name, &Scenario::default());
        let chosen = chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        table.columns(&table.configured("111122223333", &chosen).unwrap()).count()
    }

    #[test]
    fn the_dictionary_is_whole() {
        let tables = tables(&Scenario::default());
        assert!(tables.len() >= 5 && tables.is_sorted_by_key(|table| table.name.clone()));
        for table in tables {
            let names: BTreeSet<&str> = table.columns.iter().map(|column| column.split(' ').next().unwrap()).collect();
            assert_eq!(names.len(), table.columns.len(), "{}: a column twice", table.name);
            for column in &table.columns {
                let needs = column.split(' ').nth(2);
                let known = needs.is_none_or(|needs| table.properties.iter().any(|property| property.name == needs));
                assert!(known, "{}: {column}", table.name);
            }
        }
    }

    #[test]
    fn columns_come_and_go_with_properties() {
        let all = ["INCLUDE_RESOURCES", "INCLUDE_SPLIT_COST_ALLOCATION_DATA", "INCLUDE_CAPACITY_RESERVATION_DATA"];
        assert_eq!(count("COST_AND_USAGE_REPORT", &[]), 113);
        assert_eq!(count("COST_AND_USAGE_REPORT", &[("INCLUDE_RESOURCES", "TRUE")]), 114);
        assert_eq!(count("COST_AND_USAGE_REPORT", &all.map(|name| (name, "TRUE"))), 113 + 1 + 11 + 3);
        assert_eq!(count("FOCUS_1_0_AWS", &[]), 48);
    }

    #[test]
    fn properties_are_checked() {
        let table = table("COST_AND_USAGE_REPORT", &Scenario::default());
        let refused =
            |name: &str, value: &str| table.configured("111122223333", &[(name.to_owned(), value.to_owned())].into()).is_err();
        assert!(refused("TIME_GRANULARITY", "WEEKLY"));
        assert!(refused("INCLUDE_RESOURCES", "true"));
        assert!(refused("INCLUDE_EVERYTHING", "TRUE"));
        assert!(refused("BILLING_VIEW_ARN", "arn:aws:billing::444455556666:billingview/primary"));
        assert!(!refused("BILLING_VIEW_ARN", "arn:aws:billing::111122223333:billingview/primary"));
    }

    #[test]
    fn a_scenario_changes_tables_and_columns() {
        let scenario = Scenario {
            tables_missing: vec!["FOCUS_1_2_AWS".into()],
            columns_added: [("FOCUS_1_0_AWS".to_owned(), vec!["x_New".to_owned()])].into(),
            columns_missing: vec!["x_Operation".into()],
            ..Scenario::default()
        };
        assert!(!tables(&scenario).iter().any(|table| table.name == "FOCUS_1_2_AWS"));
        let focus = table("FOCUS_1_0_AWS", &scenario);
        let none = Chosen::new();
        let names: Vec<&str> = focus.columns(&none).map(|(name, _)| name).collect();
        assert!(names.contains(&"x_New") && !names.contains(&"x_Operation"), "{names:?}");
    }
}
