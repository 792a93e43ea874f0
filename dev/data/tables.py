"""The columns of each kind of export, derived from the line items of a legacy report.

Sources: Cost and Usage Reports User Guide, "Data dictionary" and "Querying Cost and Usage Reports using Amazon Athena" (the rule of
column names); FOCUS specification 1.0 and 1.2. Names and types of the columns of Data Exports are those of `account/tables.json`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

from .items import Item

Value = str | dict[str, str]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its name, its type in words of Data Exports (`string`, `double`, `timestamp`, `map`), and its value in a row."""

    name: str
    type: str
    value: Callable[[Item], Value]


def dictionary(table: str) -> dict[str, str]:
    """The type of each column of a table of Data Exports, in our words, by name."""
    tables = json.loads((Path(__file__).parents[2] / "account/tables.json").read_text())
    columns = next(known["columns"] for known in tables if known["name"] == table)
    return {name: kind.partition("<")[0] for name, kind, *_ in map(str.split, columns)}


def flat(name: str) -> str:
    """A legacy name as Athena, Parquet and CUR 2.0 have it: `lineItem/UsageAmount` is `line_item_usage_amount`."""
    spaced = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([A-Z])", r"_\1", name).lower())
    return re.sub(r"_+", "_", spaced).strip("_")


def type_of(name: str) -> str:
    """The type of a column, from its flat name."""
    if re.search(r"_(start|end)_date$|_(start|end)_time$|Period(Start|End)$", name):
        return "timestamp"
    if re.search(r"_(cost|rate|amount|factor|quantity|units|discount|ratio|usage|value|reservations|fee)$", name):
        return "double"
    return "string"


def legacy(items: list[Item]) -> list[Column]:
    """The report's own columns: those that the items have."""
    return [Column(name, type_of(flat(name)), lambda item, name=name: item[name]) for name in items[0]]


def legacy_parquet(items: list[Item]) -> list[Column]:
    """The same, with the names that Parquet has. AWS merges names that become the same; the first one stands here."""
    columns: dict[str, Column] = {}
    for column in legacy(items):
        columns.setdefault(flat(column.name), dataclasses.replace(column, name=flat(column.name)))
    return list(columns.values())


# Columns of CUR 2.0 of which a legacy report has no like: with what stands in them here.
CUR2_OWN: dict[str, Callable[[Item], Value]] = {
    "bill_invoicing_entity": lambda item: item["lineItem/LegalEntity"],
    "bill_payer_account_name": lambda item: f"account {item['bill/PayerAccountId']}",
    "line_item_usage_account_name": lambda item: f"account {item['lineItem/UsageAccountId']}",
    "pricing_public_on_demand_cost": lambda item: item["pricing/publicOnDemandCost"],
    "pricing_public_on_demand_rate": lambda item: item["pricing/publicOnDemandRate"],
    "product_region_code": lambda item: item["product/regionCode"] or item["product/region"],
}
CUR2_MAPS = {"cost_category": "costCategory", "discount": "discount", "product": "product", "resource_tags": "resourceTags"}

CUR2_TYPES = dictionary("COST_AND_USAGE_REPORT")
# Attributes of products with a column of their own; all others are in the map `product`.
CUR2_PRODUCT = {name for name in CUR2_TYPES if name.startswith("product_")}


def entries(item: Item, category: str) -> dict[str, str]:
    """A map column: the filled columns of a category, by flat name, without those that have a column of their own."""
    own = CUR2_PRODUCT if category == "product" else set()
    found = {}
    for name, value in item.items():
        group, _, rest = name.partition("/")
        if group == category and value and flat(name) not in own:
            found[flat(rest)] = value
    return found


def cur2(items: list[Item], names: list[str] | None) -> list[Column]:
    """The named columns of CUR 2.0, or all that the items have."""
    known = {flat(name): name for name in items[0]}

    def column(name: str) -> Column:
        if name in CUR2_MAPS:
            return Column(name, "map", lambda item: entries(item, CUR2_MAPS[name]))
        if name in CUR2_OWN:
            return Column(name, CUR2_TYPES[name], CUR2_OWN[name])
        return Column(name, CUR2_TYPES.get(name) or type_of(name), lambda item: item.get(known.get(name, ""), ""))

    def is_flat(name: str) -> bool:
        category = known[name].partition("/")[0]
        return category not in CUR2_MAPS.values() or name in CUR2_PRODUCT

    return [column(name) for name in names or sorted({*filter(is_flat, known), *CUR2_OWN, *CUR2_MAPS})]


SERVICE_CATEGORIES = {"AmazonEC2": "Compute", "AmazonRDS": "Databases", "AmazonS3": "Storage", "AWSDataTransfer": "Networking"}
CHARGE_CATEGORIES = {"Tax": "Tax", "Credit": "Credit", "Refund": "Credit", "Fee": "Purchase", "RIFee": "Purchase"}


def covered(item: Item) -> bool:
    """Whether a savings plan pays for the usage."""
    return item["lineItem/LineItemType"] == "SavingsPlanCoveredUsage"


def tags(item: Item) -> dict[str, str]:
    """Tags with the keys that people gave them; AWS's own keep their prefix."""
    names = {name.removeprefix("resourceTags/"): value for name, value in item.items() if name.startswith("resourceTags/")}
    return {name.removeprefix("user:"): value for name, value in names.items() if value}


def of(name: str) -> Callable[[Item], Value]:
    return lambda item: item.get(name, "")


def always(value: str) -> Callable[[Item], Value]:
    return lambda item: value


FOCUS: dict[str, Callable[[Item], Value]] = {
    "AvailabilityZone": of("lineItem/AvailabilityZone"),
    "BilledCost": lambda item: "0" if covered(item) else item["lineItem/UnblendedCost"],
    "BillingAccountId": of("bill/PayerAccountId"),
    "BillingAccountName": lambda item: f"account {item['bill/PayerAccountId']}",
    "BillingCurrency": of("lineItem/CurrencyCode"),
    "BillingPeriodEnd": of("bill/BillingPeriodEndDate"),
    "BillingPeriodStart": of("bill/BillingPeriodStartDate"),
    "ChargeCategory": lambda item: CHARGE_CATEGORIES.get(item["lineItem/LineItemType"], "Usage"),
    "ChargeClass": always(""),
    "ChargeDescription": of("lineItem/LineItemDescription"),
    "ChargeFrequency": always("Usage-Based"),
    "ChargePeriodEnd": of("lineItem/UsageEndDate"),
    "ChargePeriodStart": of("lineItem/UsageStartDate"),
    "CommitmentDiscountId": lambda item: item["savingsPlan/SavingsPlanArn"] or item["reservation/ReservationARN"],
    "CommitmentDiscountType": lambda item: "Savings Plan" if covered(item) else "",
    "ConsumedQuantity": of("lineItem/UsageAmount"),
    "ConsumedUnit": of("pricing/unit"),
    "ContractedCost": of("lineItem/UnblendedCost"),
    "ContractedUnitPrice": of("lineItem/UnblendedRate"),
    "EffectiveCost": lambda item: item["savingsPlan/SavingsPlanEffectiveCost"] if covered(item) else item["lineItem/UnblendedCost"],
    "InvoiceId": of("bill/InvoiceId"),
    "InvoiceIssuerName": of("lineItem/LegalEntity"),
    "ListCost": of("pricing/publicOnDemandCost"),
    "ListUnitPrice": of("pricing/publicOnDemandRate"),
    "PricingCategory": lambda item: "Committed" if covered(item) else "Standard",
    "PricingQuantity": of("lineItem/UsageAmount"),
    "PricingUnit": of("pricing/unit"),
    "ProviderName": always("AWS"),
    "PublisherName": of("lineItem/LegalEntity"),
    "RegionId": of("product/region"),
    "RegionName": of("product/location"),
    "ResourceId": of("lineItem/ResourceId"),
    "ServiceCategory": lambda item: SERVICE_CATEGORIES.get(item["product/servicecode"], "Other"),
    "ServiceName": of("product/ProductName"),
    "SkuId": of("product/sku"),
    "SkuPriceId": of("pricing/RateCode"),
    "SubAccountId": of("lineItem/UsageAccountId"),
    "SubAccountName": lambda item: f"account {item['lineItem/UsageAccountId']}",
    "Tags": tags,
    "x_CostCategories": lambda item: entries(item, "costCategory"),
    "x_Discounts": lambda item: {},
    "x_Operation": of("lineItem/Operation"),
    "x_ServiceCode": of("product/servicecode"),
    "x_UsageType": of("lineItem/UsageType"),
}
FOCUS_TYPES = dictionary("FOCUS_1_0_AWS") | dictionary("FOCUS_1_2_AWS")


def focus(names: list[str] | None) -> list[Column]:
    """The named columns of FOCUS, or all that are mapped here."""
    empty = {"map": lambda item: {}}
    kinds = [(name, FOCUS_TYPES.get(name, "string")) for name in names or FOCUS]
    return [Column(name, kind, FOCUS.get(name) or empty.get(kind) or always("")) for name, kind in kinds]
