//! The tables of Data Exports, as AWS's table dictionary has them.
//!
//! Source: AWS Data Exports User Guide, "Table dictionary": `COST_AND_USAGE_REPORT`, `FOCUS_1_0_AWS`, `FOCUS_1_2_AWS`,
//! `COST_OPTIMIZATION_RECOMMENDATIONS`, `CARBON_EMISSIONS`.

use std::collections::{BTreeMap, BTreeSet};

use hawser::{
    aws::{Table, TableProperty},
    names::digest_hex,
};
use serde::{Deserialize, Serialize};

/// The table of CUR 2.0.
pub const CUR2: &str = "COST_AND_USAGE_REPORT";

/// The account's property that must be on before split cost allocation data can be asked for.
pub(super) const SPLIT: &str = "INCLUDE_SPLIT_COST_ALLOCATION_DATA";

const FLAG: &[&str] = &["TRUE", "FALSE"];
const GRANULARITY: (&str, &[&str], &str) = ("TIME_GRANULARITY", &["HOURLY", "DAILY", "MONTHLY"], "HOURLY");

/// Name, legal values (any, where there are none), default.
type Property = (&'static str, &'static [&'static str], &'static str);

/// Columns that a table has only while this property is `TRUE`.
type Optional = (&'static str, &'static str);

struct Known {
    name: &'static str,
    properties: &'static [Property],
    columns: &'static str,
    optional: &'static [Optional],
    /// How many exports of it an account may have (Data Exports User Guide, "Quotas").
    quota: usize,
}

const KNOWN: [Known; 5] = [
    Known {
        name: CUR2,
        properties: &[
            GRANULARITY,
            ("INCLUDE_RESOURCES", FLAG, "FALSE"),
            (SPLIT, FLAG, "FALSE"),
            ("INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY", FLAG, "FALSE"),
            ("INCLUDE_CAPACITY_RESERVATION_DATA", FLAG, "FALSE"),
            ("INCLUDE_IAM_PRINCIPAL_DATA", FLAG, "FALSE"),
            ("BILLING_VIEW_ARN", &[], ""),
        ],
        columns: "bill_bill_type bill_billing_entity bill_billing_period_end_date bill_billing_period_start_date
            bill_invoice_id bill_invoicing_entity bill_payer_account_id bill_payer_account_name
            cost_category discount discount_bundled_discount discount_total_discount
            identity_line_item_id identity_time_interval
            line_item_availability_zone line_item_blended_cost line_item_blended_rate line_item_currency_code
            line_item_legal_entity line_item_line_item_description line_item_line_item_type line_item_net_unblended_cost
            line_item_net_unblended_rate line_item_normalization_factor line_item_normalized_usage_amount line_item_operation
            line_item_product_code line_item_tax_type line_item_unblended_cost line_item_unblended_rate
            line_item_usage_account_id line_item_usage_account_name line_item_usage_amount line_item_usage_end_date
            line_item_usage_start_date line_item_usage_type
            pricing_currency pricing_lease_contract_length pricing_offering_class pricing_public_on_demand_cost
            pricing_public_on_demand_rate pricing_purchase_option pricing_rate_code pricing_rate_id pricing_term pricing_unit
            product product_comment product_fee_code product_fee_description product_from_location product_from_location_type
            product_from_region_code product_instance_family product_instance_type product_instancesku product_location
            product_location_type product_operation product_pricing_unit product_product_family product_region_code
            product_servicecode product_sku product_to_location product_to_location_type product_to_region_code
            product_usagetype
            reservation_amortized_upfront_cost_for_usage reservation_amortized_upfront_fee_for_billing_period
            reservation_availability_zone reservation_effective_cost reservation_end_time reservation_modification_status
            reservation_net_amortized_upfront_cost_for_usage reservation_net_amortized_upfront_fee_for_billing_period
            reservation_net_effective_cost reservation_net_recurring_fee_for_usage
            reservation_net_unused_amortized_upfront_fee_for_billing_period reservation_net_unused_recurring_fee
            reservation_net_upfront_value reservation_normalized_units_per_reservation reservation_number_of_reservations
            reservation_recurring_fee_for_usage reservation_reservation_a_r_n reservation_start_time
            reservation_subscription_id reservation_total_reserved_normalized_units reservation_total_reserved_units
            reservation_units_per_reservation reservation_unused_amortized_upfront_fee_for_billing_period
            reservation_unused_normalized_unit_quantity reservation_unused_quantity reservation_unused_recurring_fee
            reservation_upfront_value
            resource_tags
            savings_plan_amortized_upfront_commitment_for_billing_period savings_plan_end_time
            savings_plan_instance_type_family savings_plan_net_amortized_upfront_commitment_for_billing_period
            savings_plan_net_recurring_commitment_for_billing_period savings_plan_net_savings_plan_effective_cost
            savings_plan_offering_type savings_plan_payment_option savings_plan_purchase_term
            savings_plan_recurring_commitment_for_billing_period savings_plan_region savings_plan_savings_plan_a_r_n
            savings_plan_savings_plan_effective_cost savings_plan_savings_plan_rate savings_plan_start_time
            savings_plan_total_commitment_to_date savings_plan_used_commitment",
        optional: &[
            ("INCLUDE_RESOURCES", "line_item_resource_id"),
            (
                SPLIT,
                "split_line_item_actual_usage split_line_item_net_split_cost split_line_item_net_unused_cost
                split_line_item_parent_resource_id split_line_item_public_on_demand_split_cost
                split_line_item_public_on_demand_unused_cost split_line_item_reserved_usage split_line_item_split_cost
                split_line_item_split_usage split_line_item_split_usage_ratio split_line_item_unused_cost",
            ),
            (
                "INCLUDE_CAPACITY_RESERVATION_DATA",
                "capacity_reservation_capacity_reservation_arn capacity_reservation_capacity_reservation_status
                capacity_reservation_capacity_reservation_type",
            ),
            ("INCLUDE_IAM_PRINCIPAL_DATA", "line_item_iam_principal"),
        ],
        quota: 5,
    },
    Known {
        name: "FOCUS_1_0_AWS",
        properties: &[],
        columns: "AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd
            BillingPeriodStart ChargeCategory ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart
            CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountStatus
            CommitmentDiscountType ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost
            InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingQuantity PricingUnit ProviderName PublisherName
            RegionId RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName SkuId SkuPriceId SubAccountId
            SubAccountName Tags x_CostCategories x_Discounts x_Operation x_ServiceCode x_UsageType",
        optional: &[],
        quota: 2,
    },
    Known {
        name: "FOCUS_1_2_AWS",
        properties: &[GRANULARITY],
        columns: "AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency
            BillingPeriodEnd BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass
            ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId
            CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType
            CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceId
            InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
            PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName
            RegionId RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId
            SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags x_CostCategories x_Discounts
            x_Operation x_ServiceCode",
        optional: &[],
        quota: 2,
    },
    Known {
        name: "COST_OPTIMIZATION_RECOMMENDATIONS",
        properties: &[("FILTER", &[], "{}"), ("INCLUDE_ALL_RECOMMENDATIONS", FLAG, "FALSE")],
        columns: "account_id action_type currency_code current_resource_details current_resource_summary current_resource_type
            estimated_monthly_cost_after_discount estimated_monthly_savings_after_discount
            estimated_savings_percentage_after_discount implementation_effort last_refresh_timestamp recommendation_id
            recommendation_source recommended_resource_details recommended_resource_summary recommended_resource_type region
            resource_arn restart_needed rollback_possible tags",
        optional: &[],
        quota: 2,
    },
    Known {
        name: "CARBON_EMISSIONS",
        properties: &[],
        columns: "last_refresh_timestamp location model_version payer_account_id product_code region_code
            total_lbm_emissions_unit total_lbm_emissions_value total_mbm_emissions_unit total_mbm_emissions_value
            usage_account_id usage_month",
        optional: &[],
        quota: 2,
    },
];

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
pub(super) struct Dictionary {
    changes: BTreeMap<String, TableFile>,
}

/// Why a table or its configuration is refused.
pub(super) type TableError = String;

impl Dictionary {
    pub(super) fn new(changes: BTreeMap<String, TableFile>) -> Self {
        Self { changes }
    }

    /// AWS adds a column to every table.
    pub(super) fn grow(&mut self) {
        for known in &KNOWN {
            let change = self.changes.entry(known.name.to_owned()).or_default();
            change.with.push(format!("added_{}", change.with.len() + 1));
        }
    }

    /// Every table, as `ListTables` has it.
    pub(super) fn tables(&self) -> Vec<Table> {
        let known = KNOWN.iter().map(|known| known.name.to_owned());
        let names: BTreeSet<String> = known.chain(self.changes.keys().cloned()).collect();
        names.iter().filter_map(|name| Some(Table { name: name.clone(), properties: self.properties(name)? })).collect()
    }

    /// How many exports of a table an account may have.
    pub(super) fn quota(&self, table: &str) -> usize {
        self.known(table).map_or(0, |known| known.quota)
    }

    /// The columns of a table in a configuration, as `GetTable` has them.
    pub(super) fn columns(&self, table: &str, configuration: &BTreeMap<String, String>) -> Result<Vec<String>, TableError> {
        let known = self.known(table).ok_or_else(|| format!("Table {table} does not exist"))?;
        let properties = self.properties(table).unwrap_or_default();
        for (name, value) in configuration {
            let property = properties.iter().find(|property| property.name == *name);
            let property = property.ok_or_else(|| format!("Table property {name} is not valid for table {table}"))?;
            if !property.valid_values.is_empty() && !property.valid_values.contains(value) {
                return Err(format!("Value {value} of table property {name} is not valid"));
            }
        }
        let is_on = |property: &str| configuration.get(property).is_some_and(|value| value == "TRUE");
        let optional =
            known.optional.iter().filter(|(property, _)| is_on(property)).flat_map(|(_, names)| names.split_whitespace());
        let change = self.changes.get(table);
        let with = change.into_iter().flat_map(|change| &change.with).map(String::as_str);
        let columns: BTreeSet<&str> = known.columns.split_whitespace().chain(optional).chain(with).collect();
        let stays = |column: &&str| change.is_none_or(|change| change.without.iter().all(|gone| gone != column));
        Ok(columns.into_iter().filter(stays).map(str::to_owned).collect())
    }

    /// Checks a query against its table: `SELECT a, b FROM table WHERE …`, which is all the SQL that the service knows.
    pub(super) fn check(
        &self,
        query: &str,
        configurations: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<(), TableError> {
        let table = table_of(query).ok_or("Query statement could not be parsed")?;
        if let Some(other) = configurations.keys().find(|name| **name != table) {
            return Err(format!("Table configuration of {other} does not belong to the query"));
        }
        let none = BTreeMap::new();
        let has = self.columns(&table, configurations.get(&table).unwrap_or(&none))?;
        let missing = columns_of(query).into_iter().find(|column| column != "*" && !has.contains(column));
        missing.map_or(Ok(()), |column| Err(format!("Column {column} does not exist in table {table}")))
    }

    fn known(&self, table: &str) -> Option<&'static Known> {
        let change = self.changes.get(table);
        if change.is_some_and(|change| change.gone) {
            return None;
        }
        let like = change.and_then(|change| change.like.as_deref()).unwrap_or(table);
        KNOWN.iter().find(|known| known.name == like)
    }

    fn properties(&self, table: &str) -> Option<Vec<TableProperty>> {
        let gone = self.changes.get(table).map(|change| change.without_properties.as_slice()).unwrap_or_default();
        let known = self.known(table)?.properties.iter().filter(|(name, ..)| gone.iter().all(|gone| gone != name));
        let property = |(name, values, default): &Property| TableProperty {
            name: (*name).to_owned(),
            valid_values: values.iter().map(|value| (*value).to_owned()).collect(),
            default: (!default.is_empty()).then(|| (*default).to_owned()),
        };
        Some(known.map(property).collect())
    }
}

/// The configuration that shows most: of CUR 2.0 hourly, with resources and split costs.
pub(super) fn most_granular(table: &str) -> BTreeMap<String, String> {
    let wanted = [("TIME_GRANULARITY", "HOURLY"), ("INCLUDE_RESOURCES", "TRUE"), (SPLIT, "TRUE")];
    let known = KNOWN.iter().find(|known| known.name == table);
    let has = |name: &str| known.is_none_or(|known| known.properties.iter().any(|(property, ..)| *property == name));
    wanted.iter().filter(|(name, _)| has(name)).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A UUID that is always the same for the same parts.
pub(super) fn uuid(parts: &[&str]) -> String {
    let hex = digest_hex(parts, 16);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The table that a query selects from.
pub(super) fn table_of(query: &str) -> Option<String> {
    let mut words = query.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("FROM"));
    words.nth(1).map(|table| table.trim_matches('"').to_owned())
}

/// The columns that a query selects: of `product['region'] AS region` it is `product`.
pub(super) fn columns_of(query: &str) -> Vec<String> {
    let end = query.split_whitespace().take_while(|word| !word.eq_ignore_ascii_case("FROM")).collect::<Vec<_>>().join(" ");
    let list = end.get("SELECT".len()..).unwrap_or_default().to_owned();
    let name = |item: &str| item.trim().split([' ', '[', '.']).next().unwrap_or_default().trim_matches('"').to_owned();
    list.split(',').map(name).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    fn configured(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn columns_depend_on_the_configuration() {
        let dictionary = Dictionary::default();
        let plain = dictionary.columns(CUR2, &configured(&[])).unwrap();
        assert_eq!(plain.len(), 113);
        assert!(!plain.contains(&"line_item_resource_id".to_owned()));
        let all = dictionary.columns(CUR2, &configured(&[("INCLUDE_RESOURCES", "TRUE"), (SPLIT, "TRUE")])).unwrap();
        assert_eq!(all.len(), 113 + 1 + 11);
        assert!(dictionary.columns(CUR2, &configured(&[("INCLUDE_RESOURCES", "yes")])).is_err());
        assert!(dictionary.columns("FOCUS_1_0_AWS", &configured(&[("TIME_GRANULARITY", "HOURLY")])).is_err());
    }

    #[test]
    fn a_query_names_columns_that_its_table_has() {
        let dictionary = Dictionary::default();
        let none = BTreeMap::new();
        let of = |columns: &str| dictionary.check(&format!("SELECT {columns} FROM FOCUS_1_2_AWS"), &none);
        assert_eq!(of("BilledCost, Tags['team'] AS team,\n  InvoiceId"), Ok(()));
        assert_eq!(of("*"), Ok(()));
        assert!(of("BilledCost, Billedcost").is_err());
        assert!(dictionary.check("SELECT x", &none).is_err());
        let resources = format!("SELECT line_item_resource_id FROM {CUR2}");
        assert!(dictionary.check(&resources, &none).is_err());
        assert_eq!(
            dictionary.check(&resources, &BTreeMap::from([(CUR2.to_owned(), configured(&[("INCLUDE_RESOURCES", "TRUE")]))])),
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
        let columns = dictionary.columns("FOCUS_1_3_AWS", &configured(&[("TIME_GRANULARITY", "HOURLY")])).unwrap();
        assert!(columns.contains(&"New".to_owned()) && !columns.contains(&"Tags".to_owned()));
        assert!(dictionary.columns(CUR2, &configured(&[("INCLUDE_IAM_PRINCIPAL_DATA", "TRUE")])).is_err());
    }
}
