"""Removes what a run made, however it ended, and says what is left."""

from __future__ import annotations

from botocore.exceptions import ClientError

from .account import BILLING_REGION
from .life import Failed, Run


def stacks(run: Run) -> list[dict]:
    found = run.account.client("cloudformation").get_paginator("list_stacks").paginate().build_full_result()["StackSummaries"]
    return [one for one in found if one["StackName"].startswith(f"{run.name}-") and one["StackStatus"] != "DELETE_COMPLETE"]


def empty(run: Run, bucket: str) -> None:
    s3 = run.account.client("s3", region_of(run, bucket))
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [{"Key": one["Key"], "VersionId": one["VersionId"]}
                 for one in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if found:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
    s3.delete_bucket(Bucket=bucket)


def region_of(run: Run, bucket: str) -> str:
    constraint = run.account.client("s3", BILLING_REGION).get_bucket_location(Bucket=bucket)["LocationConstraint"]
    return {None: "us-east-1", "EU": "eu-west-1"}.get(constraint, constraint)


def clean(run: Run) -> None:
    """Stacks first, the vendor's end last, because the others notify it; then what no stack holds. One failure stops nothing."""
    exports = run.account.client("bcm-data-exports", BILLING_REGION)
    reports = run.account.client("cur", BILLING_REGION)

    def stack(found: dict) -> None:
        # A creation can be ended by a deletion; an update has to come to its own end.
        for status in run.looks(found["StackId"]):
            if status == "CREATE_IN_PROGRESS":
                break
        run.account.client("cloudformation").delete_stack(StackName=found["StackId"])
        run.expect(found["StackId"], "DELETE_COMPLETE")

    for found in sorted(stacks(run), key=lambda one: one["StackName"].endswith("-vendor")):
        attempt(stack, found)
    for export in run.exports(run.name):
        attempt(lambda one: exports.delete_export(ExportArn=one["ExportArn"]), export)
    for report in run.reports(run.name):
        attempt(lambda one: reports.delete_report_definition(ReportName=one), report)
    for bucket in run.buckets(run.name):
        attempt(lambda one: empty(run, one), bucket)


def attempt(action, thing) -> None:
    try:
        action(thing)
    except (ClientError, Failed) as failed:
        print(f"    could not remove {thing}: {failed}")


def left(run: Run) -> list[str]:
    """What is still there under the run's name."""
    return [*(f"stack {one['StackName']} ({one['StackStatus']})" for one in stacks(run)),
            *(f"export {one['ExportName']}" for one in run.exports(run.name)),
            *(f"report {name}" for name in run.reports(run.name)), *(f"bucket {name}" for name in run.buckets(run.name))]
