"""Where AWS lays a delivery: pure.

Sources: Cost and Usage Reports User Guide, "Understanding your report versions", "Setting up Athena using CloudFormation templates"
and "Viewing your Cost and Usage Reports"; Data Exports User Guide, "Understanding export delivery".
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import uuid

from .tables import Column

LEGACY = "CostAndUsageReport"
KINDS = (LEGACY, "CostAndUsageReport2", "Focus")
FORMATS = ("Parquet", "Csv")
VERSIONINGS = ("OVERWRITE_REPORT", "CREATE_NEW_REPORT")
ENDINGS = {"Parquet": "snappy.parquet", "Csv": "csv.gz"}


@dataclasses.dataclass(frozen=True)
class Export:
    """A report or an export, as far as its deliveries depend on it."""

    kind: str
    format: str
    versioning: str
    name: str
    prefix: str
    bucket: str
    account: str
    arn: str

    @property
    def root(self) -> str:
        # An empty prefix of a legacy report gives keys that begin with `/`.
        return f"{self.prefix}/{self.name}"

    @property
    def is_new(self) -> bool:
        return self.versioning == "CREATE_NEW_REPORT"


@dataclasses.dataclass(frozen=True)
class Place:
    """The keys of one delivery of one billing period. The first manifest is the one that is read for the newest delivery."""

    run: str
    data: str
    manifests: list[str]
    months: tuple[str, str]


def of(export: Export, period: str, at: datetime.datetime) -> Place:
    """The place of a delivery of the period `YYYY-MM` that is made at this time."""
    year, month = map(int, period.split("-"))
    start = datetime.date(year, month, 1)
    months = (start.strftime("%Y%m%d"), next_month(start).strftime("%Y%m%d"))
    manifest = f"{export.name}-Manifest.json"
    if export.kind == LEGACY:
        run = at.strftime("%Y%m%dT%H%M%SZ")
        folder = f"{export.root}/{months[0]}-{months[1]}"
        if export.format == "Parquet":
            data = f"{export.root}/{export.name}/year={year}/month={month}"
        else:
            data = f"{folder}/{run}" if export.is_new else folder
        manifests = [f"{folder}/{manifest}"]
        # The user guide shows the copy of each run for Athena as well.
        if export.is_new or export.format == "Parquet":
            manifests.append(f"{folder}/{run}/{manifest}")
        return Place(run, data, manifests, months)
    run = str(uuid.uuid4())
    partition = f"BILLING_PERIOD={period}"
    level = f"/{at.strftime('%Y-%m-%dT%H:%M:%S')}.{at.microsecond // 1000:03d}Z-{run}" if export.is_new else ""
    manifests = [f"{export.root}/metadata/{partition}/{manifest}"]
    if export.is_new:
        manifests.append(f"{export.root}/metadata/{partition}{level}/{manifest}")
    return Place(run, f"{export.root}/data/{partition}{level}", manifests, months)


def file_key(export: Export, place: Place, number: int) -> str:
    """The key of a data file; AWS counts them from 1."""
    return f"{place.data}/{export.name}-{number:05d}.{ENDINGS[export.format]}"


def manifest(export: Export, place: Place, keys: list[str], columns: list[Column]) -> dict[str, object]:
    """What the manifest says."""
    if export.kind != LEGACY:
        return {
            "executionId": place.run,
            "exportArn": export.arn,
            "columns": [{"name": column.name, "type": column.type} for column in columns],
            "dataFiles": [f"s3://{export.bucket}/{key}" for key in keys],
            "additionalOutputFiles": [],
        }
    is_parquet = export.format == "Parquet"
    start, end = (f"{day}T000000.000Z" for day in place.months)
    # Legacy columns go by category and name, in a report of Parquet files too.
    named = [dict(zip(("category", "name"), column.name.split("/", 1), strict=True)) for column in columns]
    return {
        "assemblyId": place.run,
        "account": export.account,
        "columns": named,
        "charset": "UTF-8",
        "compression": "Parquet" if is_parquet else "GZIP",
        "contentType": "Parquet" if is_parquet else "text/csv",
        "reportId": hashlib.sha256(f"{export.account}/{export.name}".encode()).hexdigest(),
        "reportName": export.name,
        "billingPeriod": {"start": start, "end": end},
        "bucket": export.bucket,
        "reportKeys": keys,
        "additionalArtifactKeys": [],
    }


def athena_keys(export: Export, place: Place) -> dict[str, str]:
    """What comes beside the data of a report with the artifact ATHENA."""
    folder = f"{export.root}/{place.months[0]}-{place.months[1]}"
    return {
        "status": f"{export.root}/{export.name}/cost_and_usage_data_status/cost_and_usage_data_status.parquet",
        "create-table": f"{folder}/{export.name}-create-table.sql",
        "crawler": f"{folder}/crawler-cfn.yml",
    }


def next_month(start: datetime.date) -> datetime.date:
    return (start + datetime.timedelta(days=31)).replace(day=1)
