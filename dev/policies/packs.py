"""The policies of the template: every pack in each of its modes, in every setting that makes a difference to one.

Read by PyYAML and resolved here, apart from the handler's own reader (`src/template/`): two readings of the same text.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re

import yaml

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "template.yaml"
MODES = ("ReadOnly", "ReadWrite")
# AWS's own policy that goes with a pack is AWS's to change, and not in the template.
NO_VALUE = object()

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
        "RolePath": "/vendors/",
    },
}
ATTRIBUTES = {
    ("BillingExport", "ReadableBucketArn"): BUCKET,
    ("BillingExport", "ReadableKeys"): "hawser/*",
    ("BillingExport", "ReadableObjectsArn"): f"{BUCKET}/hawser/*",
    ("BillingExport", "DecryptableKeyArn"): KEY,
    ("VendorUser", "Arn"): USER,
    ("VendorRole", "Arn"): ROLE,
}
REFERENCES = {"EngineBoundary": BOUNDARY, "VendorRole": ROLE.split("/")[-1], "VendorUser": USER.split("/")[-1]}


class Loader(yaml.SafeLoader):
    """`!Ref X` as CloudFormation's JSON has it: `{"Ref": "X"}`."""


def _short_form(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, object]:
    if isinstance(node, yaml.ScalarNode):
        value: object = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _short_form)
# IAM's own version, and CloudFormation's, are texts and not dates.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str | None = None) -> dict:
    return yaml.load(TEMPLATE.read_text() if text is None else text, Loader)


class Resolver:
    """One template with all parameters given."""

    def __init__(self, template: dict, parameters: dict[str, str]) -> None:
        self.template = template
        self.pseudo = {
            "AWS::Partition": PARTITION, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": STACK_NAME, "AWS::StackId": STACK_ID,
        }
        self.pseudo.update({name: value for name, value in parameters.items() if name in self.pseudo})
        self.parameters = {name: str(about.get("Default", "")) for name, about in template["Parameters"].items()}
        unknown = parameters.keys() - self.parameters.keys() - self.pseudo.keys()
        if unknown:
            raise KeyError(f"the template has no parameter {sorted(unknown)}")
        self.parameters.update(parameters)

    def holds(self, condition: object) -> bool:
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        [(name, value)] = condition.items()
        if name == "Condition":
            return self.holds(value)
        if name == "Fn::Equals":
            return self.value(value[0]) == self.value(value[1])
        if name == "Fn::Not":
            return not self.holds(value[0])
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)(self.holds(one) for one in value)
        raise ValueError(f"no condition: {name}")

    def reference(self, name: str) -> object:
        for known in (self.pseudo, self.parameters, REFERENCES):
            if name in known:
                return known[name]
        if name == "AWS::NoValue":
            return NO_VALUE
        raise KeyError(f"nothing is known of {name}")

    def substitute(self, text: str, more: dict[str, object]) -> str:
        def one(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in more:
                return str(self.value(more[name]))
            if "." in name:
                return str(ATTRIBUTES[tuple(name.split(".", 1))])
            return str(self.reference(name))

        return re.sub(r"\$\{([^}]+)\}", one, text)

    def value(self, value: object) -> object:
        if isinstance(value, list):
            return [kept for one in value if (kept := self.value(one)) is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, inner)] = value.items()
            if name == "Ref":
                return self.reference(inner)
            if name == "Fn::If":
                return self.value(inner[1] if self.holds(inner[0]) else inner[2])
            if name == "Fn::Sub":
                return self.substitute(inner, {}) if isinstance(inner, str) else self.substitute(inner[0], inner[1])
            if name == "Fn::GetAtt":
                return ATTRIBUTES[tuple(inner)]
            if name == "Fn::Select":
                return self.value(inner[1])[int(inner[0])]
            if name == "Fn::Split":
                return str(self.value(inner[1])).split(inner[0])
            if name == "Fn::Join":
                return inner[0].join(str(one) for one in self.value(inner[1]))
            if name.startswith("Fn::"):
                raise ValueError(f"{name} is not resolved here")
        return {key: kept for key, one in value.items() if (kept := self.value(one)) is not NO_VALUE}


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
    resolver = Resolver(template, {**GIVEN, **chosen, **setting})
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy" and resolver.holds(resource.get("Condition") or {"Fn::And": []}):
            about = resource.get("Metadata", {}).get("Pack", {}).get("Name")
            if about or name == "EngineBoundary":
                found[about or name] = resolver.value(resource["Properties"]["PolicyDocument"])
    return found


def documents(template: dict) -> list[Document]:
    """Every policy of every pack once: a setting that changes nothing about it adds none."""
    found: list[Document] = []
    for pack, modes in names(template).items():
        for mode in modes:
            seen: list[dict] = []
            for setting, parameters in SETTINGS.items():
                policy = policies(template, {pack: mode}, parameters)[pack]
                if policy not in seen:
                    seen.append(policy)
                    found.append(Document(pack, mode, setting, policy))
    return found


def boundaries(template: dict) -> list[Document]:
    """What limits the roles that a pack lets the vendor make, with and without sessions."""
    found = []
    for setting, more in (("alone", {}), ("with sessions", {"session-manager": "ReadWrite"})):
        made = policies(template, {"analytics-engine": "ReadWrite", **more}, {})
        found.append(Document("EngineBoundary", "ReadWrite", setting, made["EngineBoundary"]))
    return found
