"""The events: read, pointed at this run's mailbox and vendor, and their answers compared with what was expected."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

from .mailbox import Upload
from .vendor import Notice

# What the files name in place of this run's vendor.
VENDOR = "vendor.example"
# How a signature in the files begins; a log that holds this has leaked one.
EXAMPLE_SIGNATURE = "example0example0"
# How long the function may take where the expectation does not say: what template.yaml gives it.
FUNCTION_TIMEOUT_SECONDS = 120
# A response must leave this long before the function is stopped.
SPARE_SECONDS = 1


@dataclasses.dataclass
class Event:
    """One file. `target` is path and query of its response URL: they must come back byte for byte."""

    name: str
    raw: bytes
    content: object
    expected: dict
    target: str

    @property
    def timeout(self) -> int:
        return self.expected.get("functionTimeoutSeconds", FUNCTION_TIMEOUT_SECONDS)

    @property
    def region(self) -> str:
        """Where CloudFormation would run it: the stack's Region."""
        parts = (self.field("StackId") or str(self.detail.get("StackId", ""))).split(":")
        return parts[3] if len(parts) > 3 else "eu-west-1"

    @property
    def token(self) -> str:
        """The launch token in its properties, or nothing."""
        properties = self.content.get("ResourceProperties") if isinstance(self.content, dict) else None
        properties = properties or self.detail.get("Properties")
        return properties.get("LaunchToken", "") if isinstance(properties, dict) else ""

    @property
    def detail(self) -> dict:
        """What the stack's schedule says; empty in a request of CloudFormation's."""
        return self.content.get("detail", {}) if isinstance(self.content, dict) else {}

    def field(self, name: str) -> str:
        return str(self.content.get(name, "")) if isinstance(self.content, dict) else ""

    def pointed_at(self, mailbox: str, vendor: str) -> bytes:
        """The event as it is sent. Only scheme, host and port of two addresses change; malformed files stay as they are."""
        if not isinstance(self.content, dict):
            return self.raw
        content = json.loads(self.raw)
        if self.target:
            content["ResponseURL"] = mailbox + self.target
        of_the_schedule = content.get("detail", {}).get("Properties")
        for properties in (content.get("ResourceProperties"), content.get("OldResourceProperties"), of_the_schedule):
            if isinstance(properties, dict) and "NoticeUrl" in properties:
                properties["NoticeUrl"] = properties["NoticeUrl"].replace(VENDOR, vendor)
        return json.dumps(content).encode()


def load(folder: pathlib.Path, only: str | None = None) -> list[Event]:
    """All events, in the order of `expected.json`; a file that stands there and is missing, or the other way, ends the run."""
    expected = json.loads((folder / "expected.json").read_text())
    files = {path.name for path in folder.glob("*.json")} - {"expected.json"}
    if files != set(expected):
        raise SystemExit(f"events/ and events/expected.json differ: {', '.join(sorted(files ^ set(expected)))}")
    events = []
    for name in [only] if only else expected:
        raw = (folder / name).read_bytes()
        try:
            content = json.loads(raw)
        except ValueError:
            content = None
        url = content.get("ResponseURL", "") if isinstance(content, dict) else ""
        found = re.fullmatch(r"https://[^/]+(/.*)", url)
        events.append(Event(name, raw, content, expected[name], found[1] if found else ""))
    return events


def launch_token(events: list[Event]) -> str:
    """The example token that notices are signed with."""
    return next((event.token for event in events if event.expected.get("notice")), "")


@dataclasses.dataclass
class Run:
    """What came of one event: the invocation's own result, what it printed, and how long it took."""

    result: str
    output: str
    seconds: float
    uploads: list[Upload]
    notices: list[Notice]


def problems(event: Event, run: Run, attributes: dict[str, set[str]]) -> list[str]:
    """Everything about a run that is not as expected; none is a pass. `attributes` is what the template reads, by resource."""
    wrong = []
    wanted = event.expected
    for secret in (EXAMPLE_SIGNATURE, event.token, "AWS4-HMAC-SHA256 Credential="):
        if secret and secret in run.output:
            wrong.append("a secret was printed")
    if wanted["status"] == "UNANSWERABLE":
        if run.uploads:
            wrong.append("a response was sent, where there is no address")
        if "errorMessage" not in run.result and "errorMessage" not in run.output:
            wrong.append(f"the invocation did not fail: {run.result[:200]}")
        if wanted.get("code", "") not in run.output + run.result:
            wrong.append(f"the log does not say {wanted['code']}")
        return wrong
    if wanted["status"] == "NOTICE":
        if run.uploads:
            wrong.append("a response was sent, where there is no address")
        if "errorMessage" in run.result:
            wrong.append(f"the invocation failed: {run.result[:200]}")
        return wrong + notice_problems(wanted, run) + time_problems(event, run)
    if len(run.uploads) != 1:
        return [*wrong, f"{len(run.uploads)} responses were sent: {run.result[:300]}"]
    upload = run.uploads[0]
    wrong += upload.problems
    if upload.target != event.target:
        wrong.append("path or query of the response URL changed on the way")
    response = json.loads(upload.body)
    if response.get("Status") != wanted["status"]:
        wrong.append(f"Status is {response.get('Status')}: {response.get('Reason')}")
    if "code" in wanted and not any(response.get("Reason", "").startswith(f"{code}: ") for code in codes(wanted)):
        wrong.append(f"Reason does not begin with {' or '.join(codes(wanted))}: {response.get('Reason')}")
    if wanted.get("reason", "") not in response.get("Reason", ""):
        wrong.append(f"Reason does not say `{wanted['reason']}`: {response.get('Reason')}")
    for field in ("StackId", "RequestId", "LogicalResourceId"):
        if response.get(field, "") != event.field(field):
            wrong.append(f"{field} is not repeated")
    physical_id = response.get("PhysicalResourceId", "")
    if not 1 <= len(physical_id.encode()) <= 1024:
        wrong.append("PhysicalResourceId must have 1 to 1,024 bytes")
    if physical_id != wanted.get("physicalId", physical_id):
        wrong.append(f"PhysicalResourceId is {physical_id}, not {wanted['physicalId']}")
    if wanted["status"] == "SUCCESS" and event.field("RequestType") in ("Create", "Update"):
        missing = attributes.get(event.field("LogicalResourceId"), set()) - set(response.get("Data", {}))
        if missing:
            wrong.append(f"the template reads attributes that are not there: {', '.join(sorted(missing))}")
    return wrong + notice_problems(wanted, run) + time_problems(event, run)


def notice_problems(wanted: dict, run: Run) -> list[str]:
    """What is not as expected of what the vendor got."""
    if "notice" not in wanted:
        return []
    wrong = []
    types = {notice.type for notice in run.notices}
    if types != ({wanted["notice"]} if wanted["notice"] else set()):
        wrong.append(f"the vendor got {', '.join(sorted(types)) or 'nothing'}")
    if not all(notice.signed for notice in run.notices):
        wrong.append("a notice is not signed with the launch token")
    for notice in run.notices if "billing" in wanted else []:
        told = {"state": notice.billing.get("state"), "code": (notice.billing.get("problem") or {}).get("code")}
        if told != wanted["billing"]:
            wrong.append(f"the vendor is told {told}, not {wanted['billing']}")
    return wrong


def time_problems(event: Event, run: Run) -> list[str]:
    """Whether the function was nearly stopped."""
    return [f"it took {run.seconds:.1f} s of {event.timeout} s"] if run.seconds > event.timeout - SPARE_SECONDS else []


def codes(expected: dict) -> list[str]:
    code = expected["code"]
    return code if isinstance(code, list) else [code]
