"""Mutation tests of the checks: plants faults, each of which must be found.

First one planted fault for each check. Then, in each statement of the template, one condition is removed or one resource is
widened at a time: a request, or a check, must notice.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator

from . import audit, checks, decisions, packs, sizes
from .checks import Finding, Reviewed

Everything = Callable[[dict, list[decisions.Request], Reviewed], Iterator[Finding]]


def statement(**words: object) -> dict:
    return {"Sid": "Planted", "Effect": "Allow", "Resource": "*", **words}


INSTANCE = "arn:aws:ec2:*:111122223333:instance/*"
UNPROTECTED = {"StringNotEquals": {"aws:ResourceTag/hawser:protected": "true"}}
# The check that must find the fault, the pack it is planted in, and the statement.
PLANTED: list[tuple[str, str, dict]] = [
    ("form", "common", {"Sid": "Planted", "Effect": "Allow", "NotAction": "iam:CreateUser", "Resource": "*"}),
    ("form", "common", statement(Sid="not a sid", Action="ec2:DescribeVpcs")),
    ("known", "common", statement(Action="ec2:DescribeNothing")),
    ("known", "common", statement(Action="ec2:describeVpcs")),
    ("known", "common", statement(Action="ec2:Describe*")),
    ("looks_only", "common", statement(Action="ec2:StopInstances", Resource=INSTANCE, Condition=UNPROTECTED)),
    ("no_data", "common", statement(Action="s3:GetObject", Resource="arn:aws:s3:::*/*")),
    ("no_data", "analytics-engine", statement(Action="secretsmanager:GetSecretValue")),
    ("valid", "common", statement(Action="ec2:DescribeVpcs", Resource=INSTANCE)),
    ("valid", "common", statement(Action="iam:GetUser", Resource=["arn:aws:iam::111122223333:user/*", INSTANCE])),
    ("valid", "common", statement(Action="iam:ListUsers", Condition={"StringEquals": {"ec2:Region": "eu-west-1"}})),
    ("valid", "load-balancing", statement(
        Action="route53:ChangeResourceRecordSets", Resource="arn:aws:route53:::hostedzone/Z1",
        Condition={"ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": ["A"]}},
    )),
    ("narrowed", "ec2", statement(Action="ec2:TerminateInstances", Condition=UNPROTECTED)),
    ("narrowed", "ec2", statement(Action="ec2:TerminateInstances", Resource=INSTANCE)),
    ("optimizes", "ec2", statement(Action="ec2:TerminateInstances", Resource=INSTANCE, Condition=UNPROTECTED)),
    ("optimizes", "ec2", statement(Action="ec2:CreateVolume", Resource="arn:aws:ec2:*:*:volume/*", Condition=UNPROTECTED)),
    ("optimizes", "ebs", statement(Action="ec2:DeleteVolume", Resource="arn:aws:ec2:*:111122223333:volume/*", Condition=UNPROTECTED)),
    ("optimizes", "s3", statement(Action="s3:PutBucketTagging", Resource="arn:aws:s3:::*", Condition=UNPROTECTED)),
    ("uses_keys", "ecs", statement(
        Action="ecs:UpdateService", Resource="arn:aws:ecs:*:111122223333:service/*",
        Condition={"StringNotEquals": {"aws:ResourceTag/hawser:protected": "true"}},
    )),
    ("passes_own_roles", "ecs", statement(Action="iam:PassRole")),
    ("passes_own_roles", "ecs", statement(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/own/*")),
    ("escalations", "ec2", statement(Action="ec2:RunInstances", Resource=INSTANCE)),
    ("escalations", "s3", statement(Action="s3:PutBucketAcl", Resource="arn:aws:s3:::*")),
    ("escalations", "lambda", statement(Action=["lambda:CreateFunction", "iam:PassRole"], Resource="*")),
    ("decisions", "ec2", statement(Action="iam:CreateUser", Resource="arn:aws:iam::111122223333:user/*")),
    ("clashes", "security-audit", {"Sid": "Planted", "Effect": "Deny", "Action": "ec2:DescribeVolumes", "Resource": "*"}),
    ("guide", "cloud-iam", statement(Action="iam:GetRole", Resource="arn:aws:iam::111122223333:role/*")),
    ("sizes", "common", statement(Action="ec2:DescribeVpcs", Resource=["arn:aws:ec2:*:111122223333:vpc/" + "v" * 6_000])),
]


def policy_of(template: dict, pack: str) -> dict:
    for name, resource in template["Resources"].items():
        if resource.get("Metadata", {}).get("Pack", {}).get("Name") == pack or name == pack:
            return resource["Properties"]["PolicyDocument"]
    raise KeyError(f"there is no pack {pack}")


class MutationTests:
    def __init__(self, template: dict, requests: list[decisions.Request], everything: Everything) -> None:
        self.template = template
        self.requests = requests
        self.everything = everything
        self.count = 0

    def run(self) -> Iterator[Finding]:
        yield from self.planted_faults()
        yield from self.faulty_inputs()
        yield from self.loosened_statements()

    def planted_faults(self) -> Iterator[Finding]:
        for name, pack, planted in PLANTED:
            changed = copy.deepcopy(self.template)
            policy_of(changed, pack)["Statement"].append(planted)
            self.count += 1
            if not any(one.check == name for one in self.everything(changed, self.requests, Reviewed())):
                yield Finding("mutation_tests", pack, f"{name} does not find {planted}")
        missing = {one.__name__ for one in checks.CHECKS} - {name for name, _, _ in PLANTED}
        if missing:
            yield Finding("mutation_tests", "mutation_tests.py", f"nothing is planted for {sorted(missing)}")

    def faulty_inputs(self) -> Iterator[Finding]:
        """Faults outside the template: in the reviewed exceptions, the requests and the profiles."""
        useless = Reviewed()
        useless.content["levels"].append({"pack": "ec2", "why": "Nobody knows."})
        untried = Reviewed()
        untried.content["together"].append(["ec2:StopInstances", "rds:StopDBInstance"])
        half = [one for one in self.requests if one.packs != {"ebs": "ReadWrite"}]
        strange = decisions.Request("strange", {"ec2": "ReadOnly"}, {}, "", [("ec2:StopInstances", "*", {"s3:prefix": "x"})], "deny")
        every = {packs.parameter(self.template, pack): modes[-1] for pack, modes in packs.names(self.template).items()}
        hidden = copy.deepcopy(self.template)
        logs = statement(Action="logs:FilterLogEvents", Resource="arn:aws:logs:*:111122223333:log-group:*")
        policy_of(hidden, "rds")["Statement"].append(logs)
        small = copy.deepcopy(self.template)
        policy_of(small, "VendorUserBoundary")["Statement"].pop(0)
        pinned = audit.read()
        grown = pinned | {"ec2:Describe*": pinned["ec2:Describe*"][1:]}
        documents = [one for one in packs.documents(self.template) if one.pack == audit.PACK]
        silent = [dataclasses.replace(one, policy={"Statement": one.allows}) for one in documents]
        for what, found in (
            # Beside all packs, security-audit denies it.
            ("what two packs allow and a third one hides", (True for _ in decisions.check_pairs(hidden, self.requests))),
            ("a boundary that is too small for the packs", (True for _ in decisions.check_user_boundary(small, self.requests))),
            ("a boundary that is too small for an audit", (True for _ in decisions.check_user_actions(small, audit.shown(pinned)))),
            ("an action that AWS has added to an audit", (True for _ in audit.check([], Reviewed(), grown))),
            ("data that an audit shows", (True for _ in audit.check(silent, Reviewed(), pinned))),
            ("an excuse that nothing needs", (one.check == "reviewed" for one in self.everything(self.template, self.requests, useless))),
            ("a way of two packs together that no request tries", (one.check == "escalations" for one in self.everything(self.template, self.requests, untried))),
            ("a mode without requests", (one.check == "decisions" for one in self.everything(self.template, half, Reviewed()))),
            ("a request that AWS never decides", (True for _ in decisions.possible(strange))),
            ("a profile of more policies than a role takes", (True for _ in sizes.check(self.template, {"every.toml": every}))),
        ):
            self.count += 1
            if not any(found):
                yield Finding("mutation_tests", "mutation_tests.py", f"{what} is not found")

    def loosened_statements(self) -> Iterator[Finding]:
        """Every restriction is covered by a request or a check."""
        for pack in [*packs.names(self.template), *packs.BOUNDARIES]:
            asked = [one for one in self.requests if pack in one.packs or pack == one.boundary]
            for path, what in restrictions(policy_of(self.template, pack)["Statement"]):
                changed = copy.deepcopy(self.template)
                sid = loosen(policy_of(changed, pack)["Statement"], path, what)
                self.count += 1
                decider = decisions.Decider(changed)
                if any(decider.decide(one, one.packs) != one.expect for one in asked):
                    continue
                documents = [one for one in packs.documents(changed) + packs.boundaries(changed) if one.pack == pack]
                if not any(True for _ in checks.check(documents, Reviewed())):
                    yield Finding("mutation_tests", f"{pack}, {sid}", f"nothing fails without {what}")


def restrictions(statements: list) -> Iterator[tuple[list, tuple[str, str]]]:
    """The path of each statement, and each of its restrictions; of a denial, the denial itself."""
    def walk(value: object, path: list) -> Iterator[tuple[list, dict]]:
        if isinstance(value, list):
            for index, one in enumerate(value):
                yield from walk(one, [*path, index])
        elif isinstance(value, dict) and "Effect" in value:
            yield path, value
        elif isinstance(value, dict) and "Fn::If" in value:
            yield from walk(value["Fn::If"][1:], [*path, "Fn::If"])

    for path, found in walk(statements, []):
        # The branches of `Fn::If` begin after the name of the condition.
        real = [key + 1 if path[index - 1] == "Fn::If" else key for index, key in enumerate(path)]
        if found["Effect"] != "Allow":
            yield real, ("Effect", "Deny")
            continue
        if found["Resource"] != "*" and "NotAction" not in found:
            yield real, ("Resource", "*")
        for operator, keys in found.get("Condition", {}).items():
            for key in keys:
                yield real, (operator, key)


def loosen(statements: list, path: list, what: tuple[str, str]) -> str:
    found: object = statements
    for key in path:
        found = found[key]
    first, second = what
    if first == "Resource":
        found["Resource"] = "*"
    elif first == "Effect":
        # Removes the denial: it now allows something that no request asks for.
        found["Action"] = "iam:GetUser"
        found["Resource"] = "arn:aws:iam::111122223333:user/nobody"
        found.pop("NotResource", None)
    else:
        del found["Condition"][first][second]
    return found["Sid"]
