"""Line items, made by koku-nise. It is run as a program of its own and never imported: its licence is the AGPL."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

# Two accounts of one bill, with names that CSV has to quote and JSON to escape.
TAGS = {"resourceTags/user:environment": "production", "resourceTags/user:team": 'größe, "a"'}
GENERATORS = [
    {
        "EC2Generator": {
            "processor_arch": "64-bit",
            "resource_id": 55555555,
            "product_sku": "VEAJHRNKTJQA",
            "region": "eu-west-1a",
            "tags": TAGS,
            "instance_type": {
                "inst_type": "m5.large",
                "physical_cores": "1",
                "vcpu": "2",
                "memory": "8 GiB",
                "storage": "EBS Only",
                "family": "General Purpose",
                "cost": "0.096",
                "rate": "0.096",
                "saving": "0.045",
            },
        }
    },
    {"S3Generator": {"product_sku": "VEAJHRNAAAAA", "amount": 5, "rate": "0.023"}},
    {"EBSGenerator": {"resource_id": 12345678, "disk_size": 100, "tags": TAGS}},
    {"RDSGenerator": {"resource_id": "abcdefgh"}},
    {"DataTransferGenerator": {"resource_id": 55555555, "amount": 5, "rate": "0.09"}},
]

# The order of the groups of columns in AWS's files; nise sorts by name.
CATEGORIES = ["identity", "bill", "lineItem", "product", "pricing", "reservation", "savingsPlan", "costCategory", "resourceTags"]

# nise writes these as Python prints a time.
USAGE_DATES = ("lineItem/UsageStartDate", "lineItem/UsageEndDate")

Item = dict[str, str]


def make(payer: str, member: str, first: datetime.date, last: datetime.date) -> dict[str, list[Item]]:
    """The items of the days from `first` to `last`, by billing period (`YYYY-MM`)."""
    with tempfile.TemporaryDirectory(prefix="hawser-items-") as name:
        folder = pathlib.Path(name)
        # JSON is YAML.
        accounts = {"payer": payer, "user": [payer, member], "currency_code": "USD"}
        (folder / "static.yml").write_text(json.dumps({"generators": GENERATORS, "accounts": accounts}))
        (folder / "bucket").mkdir()
        command = [
            pathlib.Path(sys.executable).parent / "nise", "report", "aws",
            "--start-date", first.isoformat(), "--end-date", last.isoformat(),
            "--static-report-file", folder / "static.yml", "--aws-s3-bucket-name", folder / "bucket",
            "--aws-s3-report-name", "items", "--aws-s3-report-prefix", "made",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"nise ended with {done.returncode}: {done.stderr[-2000:]}")
        periods: dict[str, list[Item]] = {}
        for path in sorted((folder / "bucket").rglob("*.csv.gz")):
            with gzip.open(path, "rt", newline="") as file:
                for item in csv.DictReader(file):
                    periods.setdefault(item["bill/BillingPeriodStartDate"][:7], []).append(corrected(item))
    if not periods:
        raise SystemExit(f"nise made nothing from {first} to {last}")
    return dict(sorted(periods.items()))


def corrected(item: Item) -> Item:
    """An item with AWS's order of columns and AWS's form of times."""
    for name in USAGE_DATES:
        item[name] = datetime.datetime.fromisoformat(item[name]).strftime("%Y-%m-%dT%H:%M:%SZ")
    # nise prints Python's word for nothing in some columns of savings plans.
    return {name: "" if item[name] == "None" else item[name] for name in sorted(item, key=rank)}


def rank(column: str) -> tuple[int, str]:
    """A column's place in AWS's order."""
    category, _, name = column.partition("/")
    return CATEGORIES.index(category), name
