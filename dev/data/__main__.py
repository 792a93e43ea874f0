"""`python -m dev.data make | read`, from the root of the repository; the result is one line of JSON on stdout.

The bucket is reached by the AWS SDK's own environment variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …)."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import pathlib

import boto3
import botocore.config

from . import delivery, items, layouts


def s3():
    """Amazon S3, with the bucket in the path: an emulator has no name for each bucket."""
    return boto3.client("s3", config=botocore.config.Config(s3={"addressing_style": "path"}))


def make(options: argparse.Namespace) -> list[dict[str, object]]:
    """Makes a delivery of each month."""
    arns = {
        layouts.LEGACY: f"arn:aws:cur:us-east-1:{options.account}:definition/{options.name}",
    }
    example_arn = f"arn:aws:bcm-data-exports:us-east-1:{options.account}:export/{options.name}-00000000-0000-4000-8000-000000000000"
    export = layouts.Export(
        options.kind,
        options.format,
        options.versioning,
        options.name,
        options.prefix,
        options.bucket,
        options.account,
        options.arn or arns.get(options.kind, example_arn),
    )
    if export.kind == layouts.LEGACY and export.format == "Parquet" and export.is_new:
        raise SystemExit("AWS writes a legacy report in Parquet with OVERWRITE_REPORT only")
    client = None if options.folder else s3()

    def put(key: str, body: bytes) -> None:
        if client:
            client.put_object(Bucket=export.bucket, Key=key, Body=body)
        else:
            path = options.folder / key.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    line_items = items.make(options.account, options.member, options.first or options.last.replace(day=1), options.last)
    names = options.columns.split(",") if options.columns else None
    parts = delivery.deliver(export, line_items, names, options.files, options.at, put)
    return [dataclasses.asdict(part) for part in parts]


def read(options: argparse.Namespace) -> dict[str, object]:
    """Follows a manifest to the last row."""
    if options.folder:
        return delivery.follow(options.bucket, options.manifest, lambda key: (options.folder / key.lstrip("/")).read_bytes())
    client = s3()
    return delivery.follow(
        options.bucket, options.manifest, lambda key: client.get_object(Bucket=options.bucket, Key=key)["Body"].read()
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.data", description="Billing data as AWS delivers it.")
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make", help=make.__doc__)
    making.set_defaults(run=make)
    making.add_argument("--kind", choices=layouts.KINDS, required=True)
    making.add_argument("--format", choices=layouts.FORMATS, default="Parquet")
    making.add_argument("--versioning", choices=layouts.VERSIONINGS, default=layouts.VERSIONINGS[0])
    making.add_argument("--name", required=True, help="the report's or export's name")
    making.add_argument("--prefix", default="", help="its S3 prefix")
    making.add_argument("--account", default="111122223333", help="the payer")
    making.add_argument("--member", default="444455556666", help="another account on the bill")
    making.add_argument("--arn", help="the export's, for the manifest")
    making.add_argument("--columns", help="of CUR 2.0 and FOCUS, with commas between them; left out: all that have values")
    making.add_argument("--first", type=datetime.date.fromisoformat, help="the first day; left out: the first of the last day's month")
    making.add_argument("--last", type=datetime.date.fromisoformat, required=True, help="the last day, YYYY-MM-DD")
    making.add_argument("--files", type=int, default=1, help="data files of each month")
    making.add_argument(
        "--at", type=datetime.datetime.fromisoformat, default=datetime.datetime.now(datetime.UTC), help="when it is delivered"
    )
    reading = commands.add_parser("read", help=read.__doc__)
    reading.set_defaults(run=read)
    reading.add_argument("--manifest", required=True, help="the manifest's key")
    for command in (making, reading):
        command.add_argument("--bucket", required=True)
        command.add_argument("--folder", type=pathlib.Path, help="a folder in place of the bucket")
    options = parser.parse_args()
    print(json.dumps(options.run(options)))


main()
