"""The life of a stack, step by step. Each step says what it is about, what it found, and which beliefs of docs/beliefs.md it settled."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .account import BILLING_REGION, Account
from .vendor import VENDOR

REPOSITORY = Path(__file__).parents[2]
CODE = "Code: target/lambda/hawser"
RESOURCE = "BillingExport"
CLEANING_UP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
# The tag of everything that a run makes.
TAG = "hawser-live"
# Parameters of the stack that nobody else may read.
HIDDEN = {"ExternalId": "<external-id>", "LaunchToken": "<launch-token>", "NoticeUrl": "<notice-url>"}
# Longer than three tries of a custom resource take.
STACK_SECONDS = 2400
# As long as a function may run, whose Create nobody waits for any more, and a margin.
LATE_SECONDS = 150
# A new bucket policy is seen within seconds.
POLICY_TRIES = 6


class Failed(Exception):
    """A step that did not come out as it should."""


@dataclass
class Belief:
    """What a run says of a row of docs/beliefs.md."""

    id: str
    holds: bool
    how: str


@dataclass
class Run:
    account: Account
    # The beginning of every name: stacks, buckets, exports.
    name: str
    # Of a vendor that takes notices; without one the run makes its own.
    notice_url: str | None
    # Where the report of another Region is.
    elsewhere: str
    beliefs: list[Belief] = field(default_factory=list)
    token: str = field(default_factory=lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    external_id: str = field(default_factory=lambda: secrets.token_hex(16))
    template_url: str = ""

    @property
    def look_seconds(self) -> float:
        return 0.1 if self.account.endpoint else 1

    def settle(self, belief: str, holds: bool, how: str) -> None:
        self.beliefs.append(Belief(belief, holds, how))
        print(f"    {belief}: {'holds' if holds else 'DOES NOT HOLD'}: {how}")

    # --- Stacks -------------------------------------------------------------------------------------------------------

    def parameters(self, **changed: str) -> list[dict[str, str]]:
        given = {
            "VendorName": "make live", "VendorAccountId": self.account.id, "NoticeUrl": self.notice_url or "",
            "ExternalId": self.external_id, "LaunchToken": self.token, "Regions": self.account.region, "NamePrefix": self.name,
            "BillingKind": "CostAndUsageReport2", "BillingReuse": "Never", "BillingRetention": "Delete", **changed,
        }
        return [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]

    def stack(self, suffix: str) -> str:
        return f"{self.name}-{suffix}"

    def begin(self, suffix: str, **changed: str) -> str:
        answer = self.account.client("cloudformation").create_stack(
            StackName=self.stack(suffix), TemplateURL=self.template_url, Parameters=self.parameters(**changed),
            Capabilities=["CAPABILITY_IAM"], Tags=self.tags())
        return answer["StackId"]

    def remember(self) -> None:
        """Learns of a stack that is there already what its recordings have to hide."""
        stack = self.account.client("cloudformation").describe_stacks(StackName=self.stack("a"))["Stacks"][0]
        for parameter in stack["Parameters"]:
            if parameter["ParameterKey"] in HIDDEN:
                self.account.recorder.redaction.known[parameter["ParameterValue"]] = HIDDEN[parameter["ParameterKey"]]

    def tags(self) -> list[dict[str, str]]:
        return [{"Key": TAG, "Value": self.name}]

    def looks(self, stack: str) -> Iterator[str]:
        """The status of a stack, look by look, until nothing is under way."""
        began = time.monotonic()
        while time.monotonic() - began < STACK_SECONDS:
            status = self.account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
            yield status
            if not status.endswith("_IN_PROGRESS"):
                return
            time.sleep(self.look_seconds)
        raise Failed(f"{stack} is still not done after {STACK_SECONDS} s")

    def expect(self, stack: str, wanted: str, each: Callable[[str], None] = lambda status: None) -> None:
        status = ""
        for status in self.looks(stack):
            each(status)
        if status != wanted:
            failed = [event for event in self.events(stack) if event["ResourceStatus"].endswith("_FAILED")]
            why = failed[0].get("ResourceStatusReason", "") if failed else ""
            raise Failed(f"{stack} is {status} and not {wanted}: {why}")
        print(f"    {stack.rpartition('/')[0].rpartition('/')[2] or stack}: {status}")

    def events(self, stack: str) -> list[dict]:
        pages = self.account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def update(self, suffix: str, each: Callable[[str], None] = lambda status: None, **changed: str) -> None:
        name = self.stack(suffix)
        self.account.client("cloudformation").update_stack(
            StackName=name, TemplateURL=self.template_url, Parameters=self.parameters(**changed), Capabilities=["CAPABILITY_IAM"],
            Tags=self.tags())
        self.expect(name, "UPDATE_COMPLETE", each)

    def resource(self, stack: str) -> dict:
        """How the custom resource is shown; nothing where it is not."""
        try:
            found = self.account.client("cloudformation").describe_stack_resources(StackName=stack, LogicalResourceId=RESOURCE)
        except ClientError:
            return {}
        return next(iter(found["StackResources"]), {})

    def outputs(self, suffix: str) -> dict[str, str]:
        stack = self.account.client("cloudformation").describe_stacks(StackName=self.stack(suffix))["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    # --- What it makes ------------------------------------------------------------------------------------------------

    def exports(self, prefix: str) -> list[dict]:
        pages = self.account.client("bcm-data-exports", BILLING_REGION).get_paginator("list_exports").paginate()
        return [export for page in pages for export in page["Exports"] if export["ExportName"].startswith(prefix)]

    def reports(self, prefix: str) -> list[str]:
        pages = self.account.client("cur", BILLING_REGION).get_paginator("describe_report_definitions").paginate()
        names = [report["ReportName"] for page in pages for report in page["ReportDefinitions"]]
        return [name for name in names if name.startswith(prefix)]

    def buckets(self, prefix: str) -> list[str]:
        buckets = self.account.client("s3", BILLING_REGION).list_buckets()["Buckets"]
        return [bucket["Name"] for bucket in buckets if bucket["Name"].startswith(prefix)]

    def made(self) -> dict:
        """The export of the first stack, and the policy of its bucket, as AWS gives them back."""
        exports = self.account.client("bcm-data-exports", BILLING_REGION)
        export = self.exports(self.name)[0]["ExportArn"]
        found = exports.get_export(ExportArn=export)["Export"]
        bucket = found["DestinationConfigurations"]["S3Destination"]["S3Bucket"]
        policy = self.account.client("s3", BILLING_REGION).get_bucket_policy(Bucket=bucket)["Policy"]
        return {"export": found, "policy": json.loads(policy)}

    def make_bucket(self, name: str, region: str) -> None:
        s3 = self.account.client("s3", region)
        location = {} if region == "us-east-1" else {"LocationConstraint": region}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={**location, "Tags": self.tags()})

    def prepare(self) -> None:
        """Puts template and code where CloudFormation reads them, and makes a vendor's end if there is none."""
        bucket, s3 = f"{self.name}-artifacts", self.account.client("s3")
        self.make_bucket(bucket, self.account.region)
        code = (REPOSITORY / "target/lambda/hawser-x86_64.zip").read_bytes()
        s3.put_object(Bucket=bucket, Key="hawser.zip", Body=code)
        template = (REPOSITORY / "template.yaml").read_text()
        if template.count(CODE) != 1:
            raise Failed(f"template.yaml does not name its code as `{CODE}`, once")
        template = template.replace(CODE, f"Code: {{ S3Bucket: {bucket}, S3Key: hawser.zip }}")
        s3.put_object(Bucket=bucket, Key="template.yaml", Body=template.encode())
        host = f"{self.account.endpoint}/{bucket}" if self.account.endpoint else \
            f"https://{bucket}.s3.{self.account.region}.amazonaws.com"
        self.template_url = f"{host}/template.yaml"
        if self.notice_url is None:
            name = self.stack("vendor")
            self.account.client("cloudformation").create_stack(
                StackName=name, TemplateBody=json.dumps(VENDOR), Capabilities=["CAPABILITY_IAM"], Tags=self.tags())
            self.expect(name, "CREATE_COMPLETE")
            self.notice_url = self.outputs("vendor")["Url"]


# --- The steps --------------------------------------------------------------------------------------------------------


def create(run: Run) -> None:
    """A stack is created with a Data Export."""
    run.begin("a")
    try:
        run.expect(run.stack("a"), "CREATE_COMPLETE")
    except Failed as failed:
        if "TagResource" in str(failed):
            run.settle("B-1", False, str(failed))
        raise
    exports = run.account.client("bcm-data-exports", BILLING_REGION)
    export = run.exports(run.name)[0]["ExportArn"]
    tags = exports.list_tags_for_resource(ResourceArn=export)["ResourceTags"]
    if tags:
        run.settle("B-1", True, f"the handler's role created an export with {len(tags)} tags")
    found = run.made()["export"]
    try:
        exports.update_export(ExportArn=export, Export=found)
        run.settle("B-14", True, "UpdateExport took what GetExport had given")
    except ClientError as refused:
        run.settle("B-14", False, str(refused))
    try:
        again = exports.create_export(Export={name: value for name, value in found.items() if name != "ExportArn"})
        exports.delete_export(ExportArn=again["ExportArn"])
        print("    two exports may have one name; that leaves B-12 open")
    except ClientError as refused:
        error = refused.response["Error"]
        run.settle("B-12", error["Code"] == "ValidationException" and "already exist" in error["Message"], str(refused))


def unchanged(run: Run) -> None:
    """An update that changes nothing leaves everything as it is; one with the same parameters is refused."""
    before = run.made()
    run.update("a", BillingRepair="again")
    after = run.made()
    if before != after:
        raise Failed("an update that changes nothing changed the export or the policy of its bucket")
    try:
        run.update("a", BillingRepair="again")
    except ClientError as refused:
        print(f"    {refused}")


def check(run: Run) -> None:
    """The delivery check before the first data."""
    state = invoke(run)
    if state not in ("Waiting", "Delivered"):
        raise Failed(f"the delivery check found `{state}`")


def check_after(run: Run) -> None:
    """The delivery check after the first data."""
    state = invoke(run)
    if state != "Delivered":
        raise Failed(f"the delivery check found `{state}` though data is there")
    run.settle("B-8", True, "AWS delivered to a bucket that refuses requests without TLS")


def data_has_arrived(run: Run) -> bool:
    bucket, s3 = run.outputs("a")["BucketName"], run.account.client("s3", BILLING_REGION)
    keys = [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for one in page.get("Contents", [])]
    return any("/data/" in key for key in keys)


def invoke(run: Run) -> str:
    """Sends the function what its schedule sends, and reads from its log what it found."""
    resources = run.account.client("cloudformation").describe_stack_resources(StackName=run.stack("a"))["StackResources"]
    ids = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in resources}
    target = run.account.client("events").list_targets_by_rule(Rule=ids["DeliveryWatch"])["Targets"][0]
    answer = run.account.client("lambda").invoke(FunctionName=ids["Handler"], Payload=target["Input"].encode(), LogType="Tail")
    if "FunctionError" in answer:
        raise Failed(f"the delivery check failed: {answer['Payload'].read().decode()}")
    for line in reversed(base64.b64decode(answer["LogResult"]).decode().splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        state = said.get("state") or said.get("fields", {}).get("state")
        if state:
            print(f"    the delivery check found `{state}`")
            return state
    raise Failed("the delivery check logged no state")


def kind(run: Run) -> None:
    """Another kind of export: the new export comes, and then the old one goes."""
    old, seen = run.exports(run.name)[0]["ExportArn"], []

    def look(status: str) -> None:
        if status == CLEANING_UP:
            seen.append(run.resource(run.stack("a")))

    run.update("a", look, BillingKind="Focus")
    new = run.resource(run.stack("a"))["PhysicalResourceId"]
    left = [export["ExportArn"] for export in run.exports(run.name)]
    if old in left or len(left) != 1:
        raise Failed(f"after the change of kind the exports are {left}")
    if seen:
        shown = {(one.get("PhysicalResourceId") == new, one.get("ResourceStatus", "")) for one in seen}
        right = all(is_new and not status.startswith("DELETE_") for is_new, status in shown)
        run.settle("B-2", right, f"while the old export was deleted, DescribeStackResources showed {sorted(s for _, s in shown)}")


def elsewhere(run: Run) -> None:
    """A report that delivers to another Region is used."""
    name, account = f"{run.name}-elsewhere", run.account.id
    run.make_bucket(name, run.elsewhere)
    statement = {
        "Effect": "Allow", "Principal": {"Service": "billingreports.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    policy = {"Version": "2012-10-17", "Statement": [
        {**statement, "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"], "Resource": f"arn:aws:s3:::{name}"},
        {**statement, "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*"}]}
    run.account.client("s3", run.elsewhere).put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    report = {
        "ReportName": name, "TimeUnit": "HOURLY", "Format": "Parquet", "Compression": "Parquet",
        "AdditionalSchemaElements": ["RESOURCES"], "S3Bucket": name, "S3Prefix": "live", "S3Region": run.elsewhere,
        "AdditionalArtifacts": ["ATHENA"], "RefreshClosedReports": True, "ReportVersioning": "OVERWRITE_REPORT"}
    for last in (*[False] * (POLICY_TRIES - 1), True):
        try:
            run.account.client("cur", BILLING_REGION).put_report_definition(ReportDefinition=report, Tags=run.tags())
            break
        except ClientError:
            # The service does not see a policy at once.
            if last:
                raise
            time.sleep(5)
    for question in ("get_bucket_encryption", "get_bucket_location"):
        # The client follows a bucket by itself; what counts is recorded on the way.
        getattr(run.account.client("s3", BILLING_REGION), question)(Bucket=name)
    for call in run.account.recorder.calls["elsewhere"]:
        if call["answer"]["status"] in (301, 400) and call["call"] in ("s3:GetBucketEncryption", "s3:GetBucketLocation"):
            region = call["answer"].get("headers", {}).get("x-amz-bucket-region")
            run.settle("B-11", region == run.elsewhere, f"{call['call']} {call['answer']['status']} named {region}")
    run.begin("c", BillingKind="CostAndUsageReport", BillingReuse="WhenSuitable", ExistingExport=name, NamePrefix=f"{run.name}c")
    run.expect(run.stack("c"), "CREATE_COMPLETE")
    print(f"    {run.outputs('c')['Decision']}")


def cancelled(run: Run) -> None:
    """A creation that is cancelled leaves nothing behind, even where the function is still at work."""
    prefix, cloudformation = f"{run.name}b", run.account.client("cloudformation")
    stack = run.begin("b", NamePrefix=prefix)
    for _ in run.looks(stack):
        if run.resource(stack).get("ResourceStatus") == "CREATE_IN_PROGRESS":
            break
    cloudformation.delete_stack(StackName=stack)
    seen: list[str] = []
    run.expect(stack, "DELETE_COMPLETE", lambda _: seen.append(run.resource(stack).get("ResourceStatus", "not listed")))
    statuses = list(dict.fromkeys(seen))
    run.settle("B-3", "not listed" not in statuses and statuses[-1].startswith("DELETE_"), f"DescribeStackResources showed {statuses}")
    began = time.monotonic()
    while left := [export["ExportName"] for export in run.exports(prefix)] + run.buckets(prefix):
        if time.monotonic() - began > LATE_SECONDS:
            raise Failed(f"a cancelled creation left {left}")
        time.sleep(run.look_seconds)


def delete(run: Run) -> None:
    """A stack is deleted with everything that it made."""
    for suffix in ("c", "a"):
        stacks = [one for one in run.account.client("cloudformation").get_paginator("list_stacks").paginate().build_full_result()[
            "StackSummaries"] if one["StackName"] == run.stack(suffix) and one["StackStatus"] != "DELETE_COMPLETE"]
        for stack in stacks:
            run.account.client("cloudformation").delete_stack(StackName=stack["StackId"])
            run.expect(stack["StackId"], "DELETE_COMPLETE")
    if left := [export["ExportName"] for export in run.exports(run.name)]:
        raise Failed(f"the deleted stack left {left}")


# Until the run may wait for data, and from then on.
FIRST: list[Callable[[Run], None]] = [create, unchanged, kind, elsewhere, cancelled, check]
LAST: list[Callable[[Run], None]] = [delete]
AFTER: list[Callable[[Run], None]] = [check_after, delete]


def about() -> dict[str, str]:
    return {step.__name__: (step.__doc__ or "").strip() for step in [*FIRST, *AFTER]}


def play(run: Run, steps: list[Callable[[Run], Any]]) -> list[str]:
    """Plays the steps, and says which failed. A failed creation ends it; nothing else can be asked then."""
    wrong = []
    for step in steps:
        print(f"== {step.__name__}: {(step.__doc__ or '').strip()}")
        run.account.recorder.step = step.__name__
        try:
            step(run)
        except (Failed, ClientError) as failed:
            wrong.append(f"{step.__name__}: {failed}")
            print(f"    FAILED: {failed}")
            if step is create:
                break
        finally:
            run.account.recorder.step = None
    return wrong
