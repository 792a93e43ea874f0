"""The account that a run works in: its clients, and what AWS answered to each call of a step."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

from dev.recordings.redact import Redaction

# Headers that say something about the account's resources.
HEADERS = ("x-amz-bucket-region",)
# Lists of everything in the account, of which only what the run made is its own.
OTHERS = {"Buckets", "Exports", "ReportDefinitions", "StackSummaries"}
CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=150)
# The emulator has one host for all buckets.
PATH_STYLE = Config(s3={"addressing_style": "path"})
BILLING_REGION = "us-east-1"


class Recorder:
    """The calls of each step, with their answers, without what is secret."""

    def __init__(self, redaction: Redaction, run: str) -> None:
        self.redaction, self.run = redaction, run
        self.step: str | None = None
        self.calls: dict[str, list[dict]] = {}

    def asked(self, params: dict, context: dict, **_: Any) -> None:
        context["hawser_asked"] = copy.deepcopy({name: value for name, value in params.items() if name != "Body"})

    def answered(self, response_dict: dict, parsed_response: dict | None, context: dict, event_name: str, **_: Any) -> None:
        if self.step is None or parsed_response is None:
            return
        _, service, operation = event_name.split(".")
        body = {name: value for name, value in parsed_response.items() if name not in ("ResponseMetadata", "Body", "Payload")}
        for name in OTHERS & body.keys():
            body[name] = [one for one in body[name] if self.run in repr(one)]
        error = body.pop("Error", None)
        answer = {"status": response_dict["status_code"], **({"error": error} if error else {"body": body})}
        headers = {name: response_dict["headers"][name] for name in HEADERS if name in response_dict["headers"]}
        if headers:
            answer["headers"] = headers
        call = {"call": f"{service}:{operation}", "with": context.get("hawser_asked", {}), "answer": answer}
        call = self.redaction.value(call)
        calls = self.calls.setdefault(self.step, [])
        # Of many looks that see the same, the first.
        if not any(call == known for known in calls):
            calls.append(call)

    def write(self, folder: Path, about: dict[str, str]) -> list[Path]:
        """One recording for each step, in the form of `tests/recordings/`."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for step, calls in self.calls.items():
            document = {"about": about[step], "recorded": datetime.date.today(), "calls": calls}
            path = folder / f"{step}.yaml"
            path.write_text(yaml.safe_dump(document, sort_keys=False, width=130, allow_unicode=True))
            paths.append(path)
        return paths


class Account:
    def __init__(self, recorder: Recorder, region: str, endpoint: str | None, profile: str | None) -> None:
        self.session = boto3.Session(profile_name=profile)
        self.recorder, self.region, self.endpoint = recorder, region, endpoint
        self.clients: dict[tuple[str, str], Any] = {}
        # Whose credentials these are; asked once, before anything else.
        self.id = ""

    def client(self, service: str, region: str | None = None) -> Any:
        key = (service, region or self.region)
        if key not in self.clients:
            config = CONFIG.merge(PATH_STYLE) if self.endpoint else CONFIG
            client = self.session.client(service, region_name=key[1], endpoint_url=self.endpoint, config=config)
            client.meta.events.register("before-parameter-build.*.*", self.recorder.asked)
            client.meta.events.register("response-received.*.*", self.recorder.answered)
            self.clients[key] = client
        return self.clients[key]

    def ask(self) -> str:
        self.id = self.client("sts").get_caller_identity()["Account"]
        return self.id
