"""The events: read, addressed to this run's services, and their results compared with what was expected."""

from __future__ import annotations

import dataclasses
import json
import pathlib

# What the files name in place of this run's vendor.
VENDOR = "vendor.example"
# How long the function may take where the expectation does not say: what template.yaml gives it.
FUNCTION_TIMEOUT_SECONDS = 120
# A response must leave this long before the function is stopped.
SPARE_SECONDS = 1


@dataclasses.dataclass
class Event:
    """One file. `content` is not an object where the file is not."""

    name: str
    raw: bytes
    content: object
    expected: dict

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
        """What the stack's schedule says; empty in a request of CloudFormation."""
        return self.content.get("detail", {}) if isinstance(self.content, dict) else {}

    def field(self, name: str) -> str:
        return str(self.content.get(name, "")) if isinstance(self.content, dict) else ""

    def addressed_to(self, services) -> tuple[bytes, str]:
        """The event as it is sent, and its response URL. Two addresses change; malformed files stay as they are."""
        if not isinstance(self.content, dict):
            return self.raw, ""
        content, url = json.loads(self.raw), ""
        if self.field("ResponseURL").startswith("https://"):
            url = content["ResponseURL"] = services.response_url(*map(self.field, ("StackId", "LogicalResourceId", "RequestId")))
        for properties in (content.get("ResourceProperties"), content.get("OldResourceProperties")):
            if isinstance(properties, dict) and "NoticeUrl" in properties:
                properties["NoticeUrl"] = properties["NoticeUrl"].replace(VENDOR, services.vendor)
        return json.dumps(content).encode(), url


def load(folder: pathlib.Path, only: str | None = None) -> list[Event]:
    """All events, in the order of `expected.json`; a file that stands there and is missing, or the other way, ends the run."""
    expected = json.loads((folder / "expected.json").read_text())
    files = {path.name for path in folder.glob("*.json")} - {"expected.json"}
    if files != set(expected):
        raise SystemExit(f"events/ and events/expected.json differ: {', '.join(sorted(files ^ set(expected)))}")
    if only is not None and only not in expected:
        raise SystemExit(f"events/{only} is not there; there are: {', '.join(sorted(expected))}")
    events = []
    for name in [only] if only is not None else expected:
        raw = (folder / name).read_bytes()
        try:
            content = json.loads(raw)
        except ValueError:
            content = None
        events.append(Event(name, raw, content, expected[name]))
    return events


def launch_token(events: list[Event]) -> str:
    """The example token that notices are signed with."""
    return next((event.token for event in events if event.expected.get("notice")), "")


@dataclasses.dataclass
class Run:
    """What came of one event: the invocation's own result, what it printed, how long it took, its response URL, and what was
    received: uploads as `{"problem", "response"}`, notices as `{"type", "signed", "billing"}`."""

    result: str
    output: str
    seconds: float
    url: str
    uploads: list[dict]
    notices: list[dict]


def problems(event: Event, run: Run, attributes: dict[str, set[str]]) -> list[str]:
    """How a run differs from what was expected; none is a pass. `attributes` is what the template reads, by resource."""
    wrong, expected = [], event.expected
    signature = run.url.rpartition("X-Amz-Signature=")[2]
    if any(secret in run.output for secret in (signature, event.token, "AWS4-HMAC-SHA256 Credential=") if secret):
        wrong.append("a secret was printed")
    if expected["status"] == "UNANSWERABLE" and run.uploads:
        wrong.append("a response was sent, but the event has no address for it")
    if expected["status"] == "UNANSWERABLE":
        if "errorMessage" not in run.result and "errorMessage" not in run.output:
            wrong.append(f"the invocation did not fail: {run.result[:200]}")
        if expected.get("code", "") not in run.output + run.result:
            wrong.append(f"the log does not contain {expected['code']}")
        return wrong
    if len(run.uploads) != 1:
        wrong.append(f"{len(run.uploads)} responses were sent: {run.result[:300]}")
    elif run.uploads[0]["problem"]:
        wrong.append(f"the response was refused: {run.uploads[0]['problem']}")
    else:
        wrong += response_problems(event, run.uploads[0]["response"], attributes)
    if run.seconds > event.timeout - SPARE_SECONDS:
        wrong.append(f"it took {run.seconds:.1f} s of {event.timeout} s")
    return wrong + notice_problems(expected, run)


def response_problems(event: Event, response: dict, attributes: dict[str, set[str]]) -> list[str]:
    """How a response that CloudFormation accepts differs from what was expected."""
    wrong, expected, reason = [], event.expected, response.get("Reason", "")
    if response["Status"] != expected["status"]:
        wrong.append(f"Status is {response['Status']}: {reason}")
    if "code" in expected and not any(reason.startswith(f"{code}: ") for code in codes(expected)):
        wrong.append(f"Reason does not begin with {' or '.join(codes(expected))}: {reason}")
    if expected.get("reason", "") not in reason:
        wrong.append(f"Reason does not contain `{expected['reason']}`: {reason}")
    physical_id = response["PhysicalResourceId"]
    if physical_id != expected.get("physicalId", physical_id):
        wrong.append(f"PhysicalResourceId is {physical_id}, not {expected['physicalId']}")
    if expected["status"] == "SUCCESS" and event.field("RequestType") in ("Create", "Update"):
        missing = attributes.get(event.field("LogicalResourceId"), set()) - set(response.get("Data", {}))
        if missing:
            wrong.append(f"the template reads attributes that are missing: {', '.join(sorted(missing))}")
    return wrong


def notice_problems(expected: dict, run: Run) -> list[str]:
    """How the notices that the vendor received differ from what was expected."""
    if "notice" not in expected:
        return []
    wrong = []
    types = {notice["type"] for notice in run.notices}
    if types != ({expected["notice"]} if expected["notice"] else set()):
        wrong.append(f"the vendor received {', '.join(sorted(types)) or 'nothing'}")
    if not all(notice["signed"] for notice in run.notices):
        wrong.append("a notice is not signed with the launch token")
    return wrong


def codes(expected: dict) -> list[str]:
    code = expected["code"]
    return code if isinstance(code, list) else [code]
