"""The probes of the packs, against AWS's own models: botocore sends each of them, and what it sends is what the console sends.

`console/tests/console/probe/requests.json` has the console's requests, which a test of the console compares with its code.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import urllib.parse
from collections.abc import Iterator

import botocore.session
from botocore.config import Config
from botocore.validate import ParamValidator

from . import actions, audit, packs
from .checks import Finding
from .packs import listed

REQUESTS = pathlib.Path(__file__).resolve().parents[2] / "console/tests/console/probe/requests.json"
SERVICES = pathlib.Path(__file__).resolve().parents[2] / "stack/services.yaml"
# botocore's names of services, where they are not IAM's.
MODELS = {"elasticfilesystem": "efs", "s3-control": "s3control", "tag": "resourcegroupstaggingapi"}
# Where the action does not have the operation's name (Service Authorization Reference).
OTHER_ACTIONS = {
    ("apigateway", "GetRestApis"): "apigateway:GET",  # The action is the HTTP method.
    ("s3", "ListBuckets"): "s3:ListAllMyBuckets",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3-control", "ListAccessPoints"): "s3:ListAccessPoints",  # The part of S3 with the account in its host has no prefix of its own.
}
# Probes that also succeed by another statement of some pack, with the reason why there is no better one. With the pack security-audit
# most succeed by AWS's own policy too: what is tried is that the vendor can make the call, not which policy allows it.
SHARED = {
    "FindBillingBucket": "the statement has one action",
    "ReadBuckets": "all else needs a bucket's name",
    "ReadLaunchTemplates": "the statement has one action",
    "ReadStartSettings": "the other action lists start-up scripts",
}
# Partitions that botocore makes up a host for, though the service is not there.
NOT_THERE = {
    ("bcm-data-exports", "aws-us-gov"): "AWS GovCloud (US) is billed through a standard account",
    ("billing", "aws-us-gov"): "the same",
    ("cur", "aws-us-gov"): "the same",
    ("cur", "aws-eusc"): "the partition has Data Exports only",
}
# What a probe is filled in with in the recorded requests.
ACCOUNT = "111122223333"
FILLED = {"{account}": ACCOUNT, "{billingBucket}": "acme.billing-111122223333", "{billingPrefix}": "hawser/1a2b 3c4d"}
# Headers that every request of botocore's has, and what signing adds.
BOTOCORE_ONLY = {"user-agent", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "authorization", "amz-sdk-invocation-id",
                 "amz-sdk-request", "content-length", "accept", "x-amzn-query-mode", "x-amz-user-agent", "host"}


class _Stop(Exception):
    pass


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@functools.cache
def _client(service: str, region: str):
    return _session().create_client(
        service, region_name=region, aws_access_key_id="ASIAEXAMPLE", aws_secret_access_key="-", aws_session_token="-",
        config=Config(s3={"addressing_style": "path", "us_east_1_regional_endpoint": "regional"}),
    )


def _speak(service: str, protocol: str) -> None:
    """Lets botocore speak one of a service's protocols, which it would otherwise choose itself."""
    metadata = _session().get_component("data_loader").load_service_model(service, "service-2")["metadata"]
    assert protocol in metadata.get("protocols", [metadata["protocol"]]), f"{service} does not speak {protocol}"
    metadata["protocol"], metadata["protocols"] = protocol, [protocol]


def _sent(service: str, operation: str, parameters: dict, region: str) -> dict:
    """What botocore sends, in the form of the record."""
    client, seen = _client(service, region), []

    def stop(request, **_):
        seen.append(request)
        raise _Stop

    client.meta.events.register_first("before-send", stop, unique_id="probe")
    try:
        client._make_api_call(operation, parameters)
    except _Stop:
        pass
    finally:
        client.meta.events.unregister("before-send", unique_id="probe")
    request = seen[0]
    url = urllib.parse.urlsplit(request.url)
    headers = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", headers["authorization"])
    assert scope, headers["authorization"]
    body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
    return {
        "method": request.method, "host": url.netloc, "path": url.path, "query": url.query, "body": body, "region": scope[1],
        "signingName": scope[2], "headers": {name: value for name, value in headers.items() if name not in BOTOCORE_ONLY},
    }


def _meaning(request: dict, operation: str) -> dict:
    """A request without what has no meaning: the order of parameters, spaces in JSON, an encoding for keys that nobody reads."""
    query = set(urllib.parse.parse_qsl(request["query"], keep_blank_values=True))
    if operation == "ListObjectsV2":
        query.discard(("encoding-type", "url"))
    body = request["body"]
    body = json.loads(body) if body.startswith("{") else sorted(urllib.parse.parse_qsl(body, keep_blank_values=True))
    return {**request, "query": query, "body": body}


def _filled(probe: dict, partition: str) -> dict:
    def fill(value):
        if isinstance(value, str):
            for place, text in {**FILLED, "{partition}": partition}.items():
                value = value.replace(place, text)
        return value

    # Every request to this service has it, so the table of services does.
    account = {"AccountId": ACCOUNT} if probe["service"] == "s3-control" else {}
    return {name: fill(value) for name, value in probe["parameters"].items()} | account


def _statements(template: dict) -> dict[str, dict]:
    """The template's statements by Sid."""
    policies = [resource for name, resource in template["Resources"].items() if name.startswith("Pack") and name.endswith("Policy")]
    given = [one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]]
    plain = [one["Fn::If"][1] if "Fn::If" in one else one for one in given]
    return {one["Sid"]: one for one in plain}


def _check_model(probe: dict, protocol: str) -> Iterator[str]:
    model = _client(MODELS.get(probe["service"], probe["service"]), "us-east-1").meta.service_model
    if probe["operation"] not in model.operation_names:
        yield f"{probe['operation']} is not an operation"
        return
    shape = model.operation_model(probe["operation"])
    parameters = _filled(probe, "aws")
    if shape.input_shape is None:
        if parameters:
            yield f"{probe['operation']} has no parameters"
    elif (errors := ParamValidator().validate(parameters, shape.input_shape)).has_errors():
        yield errors.generate_report()
    # EC2's model has no errors.
    known = {error.metadata.get("error", {}).get("code", error.name) for error in shape.error_shapes}
    if protocol != "ec2" and not known.issuperset(probe["allowed"]):
        yield f"{sorted(set(probe['allowed']) - known)} is none of the operation's errors: {sorted(known)}"


def _check_action(probe: dict, statements: dict[str, dict], shown: set[str]) -> Iterator[str]:
    action, named = probe["action"], f"{probe['service']}:{probe['operation']}"
    if action != OTHER_ACTIONS.get((probe["service"], probe["operation"]), named):
        yield f"{named} does not need {action}"
    known = actions.lookup(action)
    # An API that changes nothing may be of the level Write because of what it returns; none of these is.
    if known is None or known["access_level"] not in actions.READING:
        yield f"{action} does not read, or is not an action"
    own = shown if probe["sid"] == "SecurityAudit" else listed(statements[probe["sid"]]["Action"])
    if action not in own:
        yield f"the statement does not allow {action}"
    others = [sid for sid, one in statements.items() if one["Effect"] == "Allow" and sid != probe["sid"] and action in listed(one["Action"])]
    if others and probe["sid"] not in SHARED:
        yield f"{action} is also allowed by {', '.join(others)}: try what only this statement allows, or say why not"
    if not others and probe["sid"] in SHARED:
        yield "nothing else allows its action: SHARED should not name it"


def _check_requests(probe: dict) -> Iterator[str]:
    name = MODELS.get(probe["service"], probe["service"])
    for region, recorded in probe["requests"].items():
        partition = _session().get_partition_for_region(region)
        if isinstance(recorded, str):
            if (probe["service"], partition) not in NOT_THERE:
                yield f"{partition}: {recorded}, but botocore has an endpoint"
            continue
        # A service of one Region is called there.
        if (regions := _session().get_available_regions(name, partition)) == [recorded["region"]]:
            region = regions[0]
        sent = _sent(name, probe["operation"], _filled(probe, partition), region)
        ours, theirs = _meaning(recorded, probe["operation"]), _meaning(sent, probe["operation"])
        for part in ours:
            if ours[part] != theirs[part]:
                yield f"{region}: {part} is {ours[part]!r}, and botocore's {theirs[part]!r}"


def check(template: dict) -> Iterator[Finding]:
    import yaml

    services = yaml.safe_load(SERVICES.read_text())
    for name, service in services.items():
        _speak(MODELS.get(name, name), re.sub(r"-1\.[01]$", "", service["protocol"]))
    statements, shown = _statements(template), audit.shown(audit.read())
    probes = json.loads(REQUESTS.read_text())
    for probe in probes:
        found = list(_check_model(probe, services[probe["service"]]["protocol"])) + list(_check_action(probe, statements, shown))
        for what in found or _check_requests(probe):
            yield Finding("probe", f"{probe['pack']} {probe['sid']}", what)
    called = {(probe["service"], probe["operation"]) for probe in probes}
    for entry in sorted((set(OTHER_ACTIONS) - called) | {one for one in NOT_THERE if one[0] not in services}):
        yield Finding("probe", str(entry), "no probe calls it")
    for sid in sorted(set(SHARED) - {probe["sid"] for probe in probes}):
        yield Finding("probe", sid, "has no probe")


def main() -> int:
    found = list(check(packs.read()))
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
