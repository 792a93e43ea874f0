//! What a Data Export asks for: its table, the table's configuration, its columns. Pure.
//!
//! Nothing of AWS's table dictionary is copied here but what a vendor can rely on: a query names the columns that the
//! dictionary has today, so that a column which AWS adds or takes away is no failure (HW-B9).
//!
//! Sources: Data Exports User Guide, "Data query" and "Data Exports table dictionary"; FOCUS specification 1.0, "Columns".

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    aws::{DataExport, SPLIT_PROPERTY, Table, TableConfigurations, TableProperty},
    billing::request::Kind,
    error::{Code, Failure},
};

/// The table of CUR 2.0.
pub const CUR_TABLE: &str = "COST_AND_USAGE_REPORT";

/// Longest query (`QueryStatement`, Data Exports API Reference).
pub const QUERY_BYTES_MAX: usize = 36_000;

/// The most granular form of a table. A property that the dictionary does not know, or not with this value, is left out.
/// Who acted is nobody's cost, and asked for only where the customer wants it ([`IAM_PRINCIPALS`]).
const WANTED: [(&str, &str); 4] = [
    ("TIME_GRANULARITY", "HOURLY"),
    ("INCLUDE_RESOURCES", "TRUE"),
    (SPLIT_PROPERTY, "TRUE"),
    ("INCLUDE_CAPACITY_RESERVATION_DATA", "TRUE"),
];

/// The property of CUR 2.0 by which it says who acted.
pub const IAM_PRINCIPALS: &str = "INCLUDE_IAM_PRINCIPAL_DATA";

/// The column that this adds.
pub const IAM_PRINCIPAL_COLUMN: &str = "line_item_iam_principal";

/// Whether who acted is among the columns.
pub fn has_iam_principals(columns: &[String]) -> bool {
    columns.iter().any(|column| column.eq_ignore_ascii_case(IAM_PRINCIPAL_COLUMN))
}

/// Whether an export says who acted: its table is asked for it, and its query for the column.
pub fn includes_iam_principals(export: &DataExport) -> bool {
    let is_configured =
        export.tables.values().any(|properties| properties.get(IAM_PRINCIPALS).is_some_and(|value| value == "TRUE"));
    let asked = || read(&export.query).is_none_or(|asked| asked.columns.is_none_or(|columns| has_iam_principals(&columns)));
    is_configured && asked()
}

/// Columns that a vendor can rely on in CUR 2.0, whoever made the export. An export of the customer's without one of them is
/// not reused.
pub const CUR2_COLUMNS: [&str; 30] = [
    "bill_bill_type",
    "bill_billing_entity",
    "bill_billing_period_end_date",
    "bill_billing_period_start_date",
    "bill_invoice_id",
    "bill_payer_account_id",
    "identity_line_item_id",
    "identity_time_interval",
    "line_item_currency_code",
    "line_item_line_item_description",
    "line_item_line_item_type",
    "line_item_operation",
    "line_item_product_code",
    "line_item_resource_id",
    "line_item_unblended_cost",
    "line_item_unblended_rate",
    "line_item_usage_account_id",
    "line_item_usage_amount",
    "line_item_usage_end_date",
    "line_item_usage_start_date",
    "line_item_usage_type",
    "pricing_public_on_demand_cost",
    "pricing_term",
    "pricing_unit",
    "product",
    "product_region_code",
    "reservation_effective_cost",
    "reservation_reservation_a_r_n",
    "resource_tags",
    "savings_plan_savings_plan_effective_cost",
];

/// Columns that a vendor can rely on in FOCUS: those that version 1.0 has and later 1.x keep.
pub const FOCUS_COLUMNS: [&str; 28] = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountId",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "ResourceId",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "Tags",
];

/// Columns that a vendor can rely on in the legacy report: those that are there whatever the account uses. Names as in a CSV
/// file; Parquet writes `lineItem/UsageAmount` as `line_item_usage_amount`.
///
/// Source: Cost and Usage Reports User Guide, "Data dictionary".
pub const REPORT_COLUMNS: [&str; 19] = [
    "identity/LineItemId",
    "identity/TimeInterval",
    "bill/BillType",
    "bill/BillingEntity",
    "bill/BillingPeriodEndDate",
    "bill/BillingPeriodStartDate",
    "bill/InvoiceId",
    "bill/PayerAccountId",
    "lineItem/CurrencyCode",
    "lineItem/LineItemDescription",
    "lineItem/LineItemType",
    "lineItem/Operation",
    "lineItem/ProductCode",
    "lineItem/ResourceId",
    "lineItem/UnblendedCost",
    "lineItem/UsageAccountId",
    "lineItem/UsageAmount",
    "lineItem/UsageStartDate",
    "lineItem/UsageType",
];

/// The columns of a kind that a vendor can rely on.
pub fn guaranteed_columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::None => &[],
        Kind::CostAndUsageReport => &REPORT_COLUMNS,
        Kind::CostAndUsageReport2 => &CUR2_COLUMNS,
        Kind::Focus => &FOCUS_COLUMNS,
    }
}

/// Which kind of data a table holds.
pub fn kind_of(table: &str) -> Option<Kind> {
    if table == CUR_TABLE {
        return Some(Kind::CostAndUsageReport2);
    }
    focus_version(table).map(|_| Kind::Focus)
}

/// The minor version of a FOCUS 1.x table, such as 2 of `FOCUS_1_2_AWS`. A later major version would be another contract.
fn focus_version(table: &str) -> Option<u32> {
    table.strip_prefix("FOCUS_1_")?.strip_suffix("_AWS")?.parse().ok()
}

/// A table and how it is to be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredTable {
    pub table: String,
    /// Property to value.
    pub properties: BTreeMap<String, String>,
    /// What holds for each of them where an export does not give it, if AWS says.
    pub defaults: BTreeMap<String, String>,
}

impl ConfiguredTable {
    /// Whether an export's table is configured like this, whatever else AWS tells of it: it gives back properties that nobody sent,
    /// such as `BILLING_VIEW_ARN`, and no properties at all as null (F-47).
    pub fn is_met_by(&self, tables: &TableConfigurations) -> bool {
        let given =
            |name| tables.get(&self.table).and_then(|properties| properties.get(name)).or_else(|| self.defaults.get(name));
        self.properties.iter().all(|(name, value)| given(name) == Some(value))
    }
}

/// A configured table and the columns that it has then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSource {
    pub configured: ConfiguredTable,
    /// Its columns, in AWS's order.
    pub columns: Vec<String>,
}

impl TableSource {
    /// What an export from it asks for: its query and its table's configuration.
    ///
    /// # Errors
    /// As [`statement`].
    pub fn definition(&self) -> Result<(String, TableConfigurations), Failure> {
        let ConfiguredTable { table, properties, .. } = &self.configured;
        Ok((statement(table, &self.columns)?, [(table.clone(), properties.clone())].into()))
    }
}

/// The table for a kind in its most granular form: the newest, or the one that an export of ours is on already. Such an export
/// also stays without split cost allocation data, if AWS did not accept them when it was made. Whether it says who acted is as asked.
///
/// # Errors
/// [`Code::BillingTableMissing`] if the account is offered no such table.
pub fn configure(
    (kind, iam_principals): (Kind, bool),
    tables: &[Table],
    ours: Option<&DataExport>,
) -> Result<ConfiguredTable, Failure> {
    let stays_on = ours.and_then(table_of);
    let fits = |table: &&Table| match &stays_on {
        Some(stays_on) => table.name == *stays_on,
        None => kind_of(&table.name) == Some(kind),
    };
    let unsplit = ours.is_some_and(|ours| {
        ours.tables.values().any(|properties| properties.get(SPLIT_PROPERTY).is_some_and(|value| value == "FALSE"))
    });
    let Some(table) = tables.iter().filter(fits).max_by_key(|table| focus_version(&table.name)) else {
        let cause = format!("AWS offers this account no table for a {}", kind.title());
        return Err(Failure::new(Code::BillingTableMissing, cause));
    };
    let wanted = |(name, value): (&str, &str)| {
        let property = table.properties.iter().find(|property| property.name == name)?;
        let value = if unsplit && name == SPLIT_PROPERTY { "FALSE" } else { value };
        let legal = property.valid_values.is_empty() || property.valid_values.iter().any(|legal| legal == value);
        legal.then(|| (name.to_owned(), value.to_owned()))
    };
    // Where it is off it is not sent, as its default is off, but to switch it off.
    let was_on = ours.is_some_and(|ours| ours.tables.values().any(|properties| properties.get(IAM_PRINCIPALS).is_some()));
    let who_acted = (iam_principals || was_on).then_some((IAM_PRINCIPALS, if iam_principals { "TRUE" } else { "FALSE" }));
    let properties: BTreeMap<String, String> = WANTED.into_iter().chain(who_acted).filter_map(wanted).collect();
    let default = |property: &TableProperty| {
        let default = property.default.clone().filter(|_| properties.contains_key(&property.name))?;
        Some((property.name.clone(), default))
    };
    let defaults = table.properties.iter().filter_map(default).collect();
    Ok(ConfiguredTable { table: table.name.clone(), properties, defaults })
}

/// The table of an export; its query names it, where AWS gives no configuration back.
pub fn table_of(export: &DataExport) -> Option<String> {
    export.tables.keys().next().cloned().or_else(|| read(&export.query).map(|asked| asked.table))
}

/// The query for every column that the table has.
///
/// # Errors
/// [`Code::BillingTableMissing`] if the dictionary names no column, or more than fit a query.
pub fn statement(table: &str, columns: &[String]) -> Result<String, Failure> {
    let statement = format!("SELECT {} FROM {table}", columns.join(", "));
    if columns.is_empty() || statement.len() > QUERY_BYTES_MAX {
        let cause = format!("AWS's dictionary names {} columns of table {table}, which make no query", columns.len());
        return Err(Failure::new(Code::BillingTableMissing, cause));
    }
    Ok(statement)
}

/// The guaranteed columns that a table lacks.
pub fn missing_columns<'a>(kind: Kind, columns: &[String]) -> Vec<&'a str> {
    guaranteed_columns(kind)
        .iter()
        .copied()
        .filter(|column| !columns.iter().any(|known| known.eq_ignore_ascii_case(column)))
        .collect()
}

/// What a query of the customer's asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectQuery {
    pub table: String,
    /// Its columns; `None` for `*`.
    pub columns: Option<Vec<String>>,
    /// Whether rows are left out.
    pub filtered: bool,
}

/// Reads a query: columns by their own names, one table, perhaps a filter. `None` for what is none of that, such as an
/// expression in place of a column: what it delivers under a column's name is not known.
pub fn read(query: &str) -> Option<SelectQuery> {
    let words: Vec<&str> = query.split_whitespace().collect();
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    let (first, rest) = words.split_first()?;
    let from = rest.iter().position(|word| is(word, "FROM"))?;
    let (columns, rest) = rest.split_at(from);
    let table = rest.get(1)?.trim_end_matches(';').trim_matches('"');
    let after = rest.get(2..).unwrap_or_default();
    if !is(first, "SELECT") || after.first().is_some_and(|word| !is(word, "WHERE") && *word != ";") {
        return None;
    }
    let columns = columns.join(" ");
    let columns = if columns.trim() == "*" { None } else { Some(columns.split(',').map(column).collect::<Option<Vec<_>>>()?) };
    Some(SelectQuery { table: table.to_owned(), columns, filtered: after.first().is_some_and(|word| is(word, "WHERE")) })
}

/// Whether two queries ask for the same columns of the same table, in whatever order and letter case.
pub fn same_data(one: &str, other: &str) -> bool {
    let asked = |query: &str| {
        let SelectQuery { table, columns, filtered } = read(query)?;
        let columns = columns.map(|columns| columns.iter().map(|column| column.to_lowercase()).collect::<BTreeSet<_>>());
        // What a filter says is not read.
        (!filtered).then_some((table, columns))
    };
    one == other || asked(one).is_some_and(|one| asked(other) == Some(one))
}

/// The name a selected column is delivered under: itself, or a part of a map column given a name of its own.
fn column(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let name = match words.as_slice() {
        [name] => name,
        [_, keyword, name] if keyword.eq_ignore_ascii_case("AS") => name,
        _ => return None,
    };
    let name = name.trim_matches('"');
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::TableProperty;

    #[test]
    fn queries_of_customers_are_read() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let asked = |columns, filtered| Some(SelectQuery { table: CUR_TABLE.to_owned(), columns, filtered });
        for (query, expected) in [
            ("SELECT a, b FROM COST_AND_USAGE_REPORT", asked(names(&["a", "b"]), false)),
            ("select a,b\n from COST_AND_USAGE_REPORT ;", asked(names(&["a", "b"]), false)),
            ("SELECT * FROM COST_AND_USAGE_REPORT", asked(None, false)),
            ("SELECT a FROM COST_AND_USAGE_REPORT WHERE b = 'c'", asked(names(&["a"]), true)),
            ("SELECT product.region AS r, \"b\" FROM \"COST_AND_USAGE_REPORT\"", asked(names(&["r", "b"]), false)),
            ("SELECT a + 1 FROM COST_AND_USAGE_REPORT", None),
            ("SELECT concat(a) AS a b FROM COST_AND_USAGE_REPORT", None),
            ("SELECT a FROM COST_AND_USAGE_REPORT GROUP BY a", None),
            ("SELECT FROM COST_AND_USAGE_REPORT", None),
            ("SELECT a", None),
            ("", None),
        ] {
            assert_eq!(read(query), expected, "{query}");
        }
    }

    fn table(name: &str, properties: &[(&str, &[&str])]) -> Table {
        let property = |(name, values): &(&str, &[&str])| TableProperty {
            name: (*name).to_owned(),
            valid_values: values.iter().map(|value| (*value).to_owned()).collect(),
            default: None,
        };
        Table { name: name.to_owned(), properties: properties.iter().map(property).collect() }
    }

    #[test]
    fn the_same_columns_in_another_order_are_the_same_data() {
        let one = "SELECT a, b, c FROM COST_AND_USAGE_REPORT";
        for (other, same) in [
            (one, true),
            ("select C, a,\n b from COST_AND_USAGE_REPORT", true),
            ("SELECT a, b FROM COST_AND_USAGE_REPORT", false),
            ("SELECT a, b, c, d FROM COST_AND_USAGE_REPORT", false),
            ("SELECT a, b, c FROM FOCUS_1_2_AWS", false),
            ("SELECT a, b, c FROM COST_AND_USAGE_REPORT WHERE a = 'b'", false),
            ("SELECT * FROM COST_AND_USAGE_REPORT", false),
            ("", false),
        ] {
            assert_eq!(same_data(one, other), same, "{other}");
        }
        let filtered = "SELECT a FROM COST_AND_USAGE_REPORT WHERE a = 'b'";
        assert!(same_data(filtered, filtered));
        assert!(!same_data(filtered, "SELECT a FROM COST_AND_USAGE_REPORT WHERE a = 'c'"));
    }

    /// F-47: AWS gives back more than was sent, and a table without properties as null.
    #[test]
    fn a_configuration_is_met_by_what_was_asked_for_and_by_whatever_aws_adds() -> Result<(), Failure> {
        let cur = Table {
            name: CUR_TABLE.to_owned(),
            properties: vec![
                TableProperty { name: "TIME_GRANULARITY".to_owned(), valid_values: vec![], default: Some("HOURLY".to_owned()) },
                TableProperty { name: "INCLUDE_RESOURCES".to_owned(), valid_values: vec![], default: Some("FALSE".to_owned()) },
            ],
        };
        let configured = configure((Kind::CostAndUsageReport2, false), &[cur], None)?;
        let given = |properties: &[(&str, &str)]| {
            let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            configured.is_met_by(&[(CUR_TABLE.to_owned(), properties)].into())
        };
        assert!(given(&[("TIME_GRANULARITY", "HOURLY"), ("INCLUDE_RESOURCES", "TRUE")]));
        assert!(given(&[("INCLUDE_RESOURCES", "TRUE"), ("BILLING_VIEW_ARN", "arn:aws:billing::1:billingview/primary")]));
        assert!(!given(&[("TIME_GRANULARITY", "DAILY"), ("INCLUDE_RESOURCES", "TRUE")]));
        assert!(!given(&[("TIME_GRANULARITY", "HOURLY")]), "left out, resources are not included");
        assert!(!configured.is_met_by(&TableConfigurations::new()));
        let focus = configure((Kind::Focus, false), &[table("FOCUS_1_0_AWS", &[])], None)?;
        assert!(focus.is_met_by(&TableConfigurations::new()), "null is empty");
        Ok(())
    }

    /// HW-B9: the dictionary decides, not this file.
    #[test]
    fn only_what_the_dictionary_knows_is_configured() {
        let cur = table(
            CUR_TABLE,
            &[("TIME_GRANULARITY", &["DAILY", "HOURLY"]), ("INCLUDE_RESOURCES", &[]), (SPLIT_PROPERTY, &["FALSE"])],
        );
        let configured = configure((Kind::CostAndUsageReport2, false), &[cur], None).map(|configured| configured.properties);
        let expected = BTreeMap::from([("INCLUDE_RESOURCES", "TRUE"), ("TIME_GRANULARITY", "HOURLY")]);
        let expected = expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(configured, Ok(expected));
    }

    #[test]
    fn the_newest_focus_is_taken_and_an_export_stays_on_its_table() {
        let tables =
            ["FOCUS_1_0_AWS", "FOCUS_1_10_AWS", "FOCUS_1_2_AWS", "FOCUS_2_0_AWS", CUR_TABLE].map(|name| table(name, &[]));
        let chosen = |stay: Option<&str>| {
            // Without a property to tell, AWS gives no configuration back.
            let ours = stay.map(|table| DataExport { query: format!("SELECT a FROM {table}"), ..DataExport::default() });
            configure((Kind::Focus, false), &tables, ours.as_ref()).map(|configured| configured.table)
        };
        assert_eq!(chosen(None), Ok("FOCUS_1_10_AWS".to_owned()));
        assert_eq!(chosen(Some("FOCUS_1_0_AWS")), Ok("FOCUS_1_0_AWS".to_owned()));
        assert_eq!(chosen(Some("FOCUS_1_1_AWS")).map_err(|failure| failure.code), Err(Code::BillingTableMissing));
        assert_eq!(configure((Kind::Focus, false), &[], None).map_err(|failure| failure.code), Err(Code::BillingTableMissing));
    }

    #[test]
    fn a_query_names_every_column_once() {
        let asked = |columns: &[&str]| statement(CUR_TABLE, &columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
        assert_eq!(asked(&["a", "b"]), Ok("SELECT a, b FROM COST_AND_USAGE_REPORT".to_owned()));
        assert_eq!(asked(&[]).map_err(|failure| failure.code), Err(Code::BillingTableMissing));
        let many = "c".repeat(QUERY_BYTES_MAX);
        assert_eq!(asked(&[&many]).map_err(|failure| failure.code), Err(Code::BillingTableMissing));
    }
}
