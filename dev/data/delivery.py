"""Writes a whole delivery, and reads it back from its manifest."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator

from . import files, items, layouts, tables
from .layouts import LEGACY, Export

# The column whose sum shows that the rows read are the rows written.
COSTS = {
    (LEGACY, "Csv"): "lineItem/UnblendedCost",
    (LEGACY, "Parquet"): "line_item_unblended_cost",
    ("CostAndUsageReport2", "Csv"): "line_item_unblended_cost",
    ("CostAndUsageReport2", "Parquet"): "line_item_unblended_cost",
    ("Focus", "Csv"): "BilledCost",
    ("Focus", "Parquet"): "BilledCost",
}


@dataclasses.dataclass(frozen=True)
class Delivered:
    """One billing period of a delivery."""

    period: str
    manifest: str
    files: list[str]
    bytes: int
    rows: int
    cost: float
    columns: list[str]


Put = Callable[[str, bytes], None]


def deliver(
    export: Export, made: dict[str, list[items.Item]], names: list[str] | None, count: int, at: datetime.datetime, put: Put
) -> Iterator[Delivered]:
    """Puts every object of a delivery, the manifest last, as AWS does."""
    for period, rows in made.items():
        place = layouts.of(export, period, at)
        if export.kind == LEGACY:
            columns = tables.legacy_parquet(rows) if export.format == "Parquet" else tables.legacy(rows)
        else:
            columns = tables.cur2(rows, names) if export.kind == "CostAndUsageReport2" else tables.focus(names)
        written: dict[str, bytes] = {}
        for number in range(count):
            part = rows[number * len(rows) // count : (number + 1) * len(rows) // count]
            written[layouts.file_key(export, place, number + 1)] = files.write(export.format, columns, part)
        if export.kind == LEGACY and export.format == "Parquet":
            keys = layouts.athena_keys(export, place)
            put(keys["status"], files.status("READY"))
            put(keys["create-table"], create_table(export, columns).encode())
            put(keys["crawler"], b"AWSTemplateFormatVersion: 2010-09-09\nDescription: A crawler for Athena\n")
        for key, body in written.items():
            put(key, body)
        described = tables.legacy(rows) if export.kind == LEGACY else columns
        manifest = json.dumps(layouts.manifest(export, place, list(written), described), indent=2).encode()
        for key in reversed(place.manifests):
            put(key, manifest)
        cost_column = next(column for column in columns if column.name == COSTS[export.kind, export.format])
        yield Delivered(
            period,
            place.manifests[0],
            list(written),
            sum(map(len, written.values())),
            len(rows),
            sum(float(cost_column.value(row) or 0) for row in rows),
            [column.name for column in columns],
        )


def create_table(export: Export, columns: list[tables.Column]) -> str:
    listed = ",\n  ".join(f"`{column.name}` {column.type}" for column in columns)
    table = tables.flat(export.name)
    location = f"s3://{export.bucket}/{export.root}/{export.name}/"
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table} (\n  {listed}\n)\nPARTITIONED BY (year string, month string)\n"
        f"STORED AS PARQUET LOCATION '{location}';\n"
    )


def follow(bucket: str, manifest: str, get: Callable[[str], bytes]) -> dict[str, object]:
    """Reads every file that a manifest names: their number, bytes, rows, columns and costs."""
    document = json.loads(get(manifest))
    keys = document.get("reportKeys") or [in_bucket(bucket, uri) for uri in document["dataFiles"]]
    total: collections.Counter[str] = collections.Counter()
    columns: list[str] = []
    for key in keys:
        body = get(key)
        rows, found, cost = files.read(key, body, set(COSTS.values()))
        if columns and found != columns:
            raise SystemExit(f"`{key}` has other columns than the previous file")
        columns = found
        total.update(bytes=len(body), rows=rows, cost=cost)
    return {"files": keys, "columns": columns, **total}


def in_bucket(bucket: str, uri: str) -> str:
    start = f"s3://{bucket}/"
    if not uri.startswith(start):
        raise SystemExit(f"`{uri}` is not in bucket `{bucket}`")
    return uri.removeprefix(start)
