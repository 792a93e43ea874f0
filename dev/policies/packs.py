"""The policies of the template: every pack in each of its modes, in every setting that makes a difference to one.

MiniStack's CloudFormation engine reads and resolves them, apart from the command line's own reader: two readings of the
same text.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterator

from ministack.services.cloudformation import engine

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "template.yaml"
MODES = ("ReadOnly", "ReadWrite")

PARTITION, REGION, ACCOUNT, VENDOR = "aws", "eu-west-1", "111122223333", "444455556666"
STACK_NAME = "hawser"
STACK_ID = f"arn:{PARTITION}:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK_NAME}/5f2a7c10-0000-11f0-8000-0a1b2c3d4e5f"
BUCKET = f"arn:{PARTITION}:s3:::hawser-{ACCOUNT}-0a1b2c"
KEY = f"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-5e6f7a8b9c0d"
ROLE = f"arn:{PARTITION}:iam::{ACCOUNT}:role/hawser-VendorRole-1A2B3C"
USER = f"arn:{PARTITION}:iam::{ACCOUNT}:user/hawser-VendorUser-1A2B3C"
BOUNDARY = f"arn:{PARTITION}:iam::{ACCOUNT}:policy/hawser-EngineBoundary-1A2B3C"

# What has no default, or whose value makes another policy.
GIVEN = {"VendorName": "Vendor", "VendorAccountId": VENDOR, "NoticeUrl": "https://vendor.example/notices", "LaunchToken": "-"}
SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "by access key": {"AccessMethod": "AccessKey"},
    "with limits": {
        "ManagedUsersBoundaryArn": f"arn:{PARTITION}:iam::{ACCOUNT}:policy/people",
        "ManagedUsersPath": "/people/vendor/",
        "EngineRoleArn": f"arn:{PARTITION}:iam::{ACCOUNT}:role/engine",
        "HostedZoneId": "Z0123456789ABCDEFGHIJ",
        "RecordName": "engine.example.com",
        "RolePath": "/vendors/",
    },
}
# Policies that limit what the vendor makes, and the vendor's own user.
BOUNDARIES = ("EngineBoundary", "VendorUserBoundary")
# What the policies refer to, as CloudFormation knows resources that it has created.
RESOURCES = {
    "BillingExport": {"PhysicalResourceId": "-", "Attributes": {
        "ReadableBucketArn": BUCKET,
        "ReadableKeys": "hawser/*",
        "ReadableObjectsArn": f"{BUCKET}/hawser/*",
        "DecryptableKeyArn": KEY,
    }},
    "VendorRole": {"PhysicalResourceId": ROLE.split("/")[-1], "Attributes": {"Arn": ROLE}},
    "VendorUser": {"PhysicalResourceId": USER.split("/")[-1], "Attributes": {"Arn": USER}},
    "EngineBoundary": {"PhysicalResourceId": BOUNDARY, "Attributes": {}},
    "VendorUserBoundary": {"PhysicalResourceId": BOUNDARY.replace("Engine", "VendorUser"), "Attributes": {}},
}
PSEUDO = {
    "AWS::Partition": PARTITION, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": STACK_NAME, "AWS::StackId": STACK_ID,
}


def read(text: str | None = None) -> dict:
    return engine._parse_template(TEMPLATE.read_text() if text is None else text)


# The last templates that were filled in: the same one is resolved thousands of times.
_FILLED: collections.deque[tuple[dict, dict, dict]] = collections.deque(maxlen=4)


def _filled(template: dict, values: dict[str, str]) -> dict:
    """MiniStack's engine has one partition, account and Region: pseudo parameters are filled in before."""
    for known, known_values, filled in _FILLED:
        if known is template and known_values == values:
            return filled
    text = json.dumps(template)
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value).replace(json.dumps({"Ref": name}), json.dumps(value))
    _FILLED.append((template, values, json.loads(text)))
    return _FILLED[-1][2]


class Resolver:
    """One template with all parameters given."""

    def __init__(self, template: dict, parameters: dict[str, str]) -> None:
        unknown = parameters.keys() - template["Parameters"].keys() - PSEUDO.keys()
        if unknown:
            raise KeyError(f"the template has no parameter {sorted(unknown)}")
        self.template = _filled(template, {name: parameters.get(name, value) for name, value in PSEUDO.items()})
        self.parameters = {
            name: {"Type": about["Type"], "Value": parameters.get(name, str(about.get("Default", "")))}
            for name, about in template["Parameters"].items()
        }
        self.conditions = engine._evaluate_conditions(self.template, self.parameters)

    def policies(self) -> Iterator[tuple[str, dict]]:
        """The packs' policies and the boundaries, of those that there are: name and document."""
        for name, resource in self.template["Resources"].items():
            pack = resource.get("Metadata", {}).get("Pack", {}).get("Name")
            if (pack or name in BOUNDARIES) and self.conditions[resource["Condition"]]:
                document = resource["Properties"]["PolicyDocument"]
                yield pack or name, engine._resolve_refs(
                    document, RESOURCES, self.parameters, self.conditions, {}, STACK_NAME, STACK_ID,
                )


@dataclasses.dataclass(frozen=True)
class Document:
    """One policy, as IAM gets it."""

    pack: str
    mode: str
    setting: str
    policy: dict

    def __str__(self) -> str:
        return f"{self.pack} {self.mode} ({self.setting})"

    @property
    def statements(self) -> list[dict]:
        return self.policy["Statement"]

    @property
    def allows(self) -> list[dict]:
        return [statement for statement in self.statements if statement["Effect"] == "Allow"]


def listed(value: object) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def parameter(template: dict, pack: str) -> str:
    """The parameter that switches a pack, which is also the condition of its policy."""
    for resource in template["Resources"].values():
        if resource.get("Metadata", {}).get("Pack", {}).get("Name") == pack:
            return resource["Condition"]
    raise KeyError(f"there is no pack {pack}")


def names(template: dict) -> dict[str, list[str]]:
    """The packs and their modes, in the template's order."""
    found = {}
    for resource in template["Resources"].values():
        about = resource.get("Metadata", {}).get("Pack")
        if about:
            allowed = template["Parameters"][resource["Condition"]]["AllowedValues"]
            found[about["Name"]] = [mode for mode in MODES if mode in allowed]
    return found


def policies(template: dict, packs: dict[str, str], setting: dict[str, str]) -> dict[str, dict]:
    """The documents of some packs together, and of every other policy whose condition holds with them."""
    chosen = {parameter(template, name): "None" for name in names(template)}
    chosen.update({parameter(template, name): mode for name, mode in packs.items()})
    return dict(Resolver(template, {**GIVEN, **chosen, **setting}).policies())


def widest(template: dict) -> dict[str, str]:
    """Every pack in the mode that grants most."""
    return {pack: modes[-1] for pack, modes in names(template).items()}


def documents(template: dict) -> list[Document]:
    """Every policy of every pack once, alone and beside all others: a setting that changes nothing about it adds none."""
    found: list[Document] = []
    for pack, modes in names(template).items():
        for mode in modes:
            seen: list[dict] = []
            for setting, parameters in SETTINGS.items():
                for others, beside in ({}, ""), (widest(template), " beside all others"):
                    policy = policies(template, others | {pack: mode}, parameters)[pack]
                    if policy not in seen:
                        seen.append(policy)
                        found.append(Document(pack, mode, setting + beside, policy))
    return found


def boundaries(template: dict) -> list[Document]:
    """What limits the roles that a pack lets the vendor make, with and without sessions."""
    found = []
    for setting, more in (("alone", {}), ("with sessions", {"session-manager": "ReadWrite"})):
        made = policies(template, {"analytics-engine": "ReadWrite", **more}, {})
        found.append(Document("EngineBoundary", "ReadWrite", setting, made["EngineBoundary"]))
    return found
