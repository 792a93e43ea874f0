"""Makes the calls of a recording at an endpoint and compares what comes back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .form import ACCOUNT, Call, Difference, Recording, compare, filled

# The emulator takes an account id as the key of its root, and this as its secret.
ROOT_SECRET = "test"
# A call that no service has: wait until a stack has a status.
WAIT = "wait"
# Between two looks at a stack, and how many there are: half a minute.
LOOK_SECONDS, LOOKS = 0.1, 300
# One try, so that an answer is the first one; and the emulator has no host for each bucket.
CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False)


class Replay:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def client(self, service: str, region: str, account: str = ACCOUNT) -> Any:
        keys = {"aws_access_key_id": account, "aws_secret_access_key": ROOT_SECRET}
        return boto3.client(service, region_name=region, endpoint_url=self.endpoint, config=CONFIG, **keys)

    def differences(self, recording: Recording) -> Iterator[Difference]:
        """Where the answers are not the recorded ones. A call without a recorded answer has to succeed."""
        known: dict[str, str] = {"region": recording.calls[0].region}
        for call in recording.calls:
            wanted = filled(call.with_, known, lambda name: f"{name}-{uuid.uuid4().hex[:12]}")
            if call.call == WAIT:
                status = self.settled(wanted["StackName"], call)
                if status != wanted["StackStatus"]:
                    yield Difference(recording.name, WAIT, "StackStatus", wanted["StackStatus"], status)
                continue
            service, operation = call.call.split(":")
            answer = answered(self.client(service, call.region, call.account), operation, wanted)
            if call.answer is None:
                if answer["status"] >= 300:
                    yield Difference(recording.name, call.call, "status", "success", answer["error"])
                continue
            for at, one, other in compare(call.answer, reduced(answer, call), known, call.any_order):
                yield Difference(recording.name, call.call, at, one, other)

    def settled(self, stack: str, call: Call) -> str:
        """The status of a stack once nothing is under way."""
        for _ in range(LOOKS):
            stacks = self.client("cloudformation", call.region, call.account).describe_stacks(StackName=stack)["Stacks"]
            if not stacks[0]["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(LOOK_SECONDS)
        return stacks[0]["StackStatus"]


def answered(client: Any, operation: str, wanted: dict) -> dict[str, Any]:
    """The answer in the form of a recording's."""
    method = next(name for name, known in client.meta.method_to_api_mapping.items() if known == operation)
    try:
        answer = getattr(client, method)(**wanted)
    except ClientError as error:
        answer = error.response
    about = answer.pop("ResponseMetadata")
    found = {"status": about["HTTPStatusCode"], "headers": about["HTTPHeaders"]}
    error = answer.pop("Error", None)
    return {**found, "body": answer} if error is None else {**found, "error": error}


def reduced(answer: dict[str, Any], call: Call) -> dict[str, Any]:
    """The parts of an answer that the recording has."""
    headers = {name: value for name, value in answer["headers"].items() if name in call.answer.get("headers", {})}
    answer = {**answer, "headers": headers}
    if not headers:
        del answer["headers"]
    events = call.answer.get("events")
    if events is not None:
        answer["events"] = history(answer.pop("body")["StackEvents"], call.of, set(events[0]))
    return answer


def history(newest_first: list[dict], of: str | None, fields: set[str]) -> list[dict]:
    """What happened to a resource; of what is said twice the last: a creation begins without an id, and then with one."""
    found: list[dict] = []
    for event in reversed(newest_first):
        if of is not None and event["LogicalResourceId"] != of:
            continue
        shown = {name: value for name, value in event.items() if name in fields}
        if found and found[-1]["ResourceStatus"] == shown["ResourceStatus"]:
            found.pop()
        found.append(shown)
    return found
