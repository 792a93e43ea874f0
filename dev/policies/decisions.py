"""Requests and what becomes of them, decided by MiniStack's own policy evaluator.

It knows everything that IAM's documents say of one account's policies but policy variables, which are put in here (IAM, "IAM
policy elements: variables and tags"). A request that is refused must be refused with every other pack attached as well.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import json
import re
from collections.abc import Iterable, Iterator

import yaml
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from ministack.services.cloudformation.engine import CfnLoader

from . import actions, packs
from .checks import HERE, IN_ONE_CALL, TOGETHER, Finding, Reviewed
from .packs import listed

# A session of the vendor's role, as STS names it: the role's own id, and what the vendor called the session.
WHO = {
    "aws:PrincipalArn": packs.ROLE,
    "aws:userid": "AROA1A2B3C4D5E6F7G8H9:anna",
    "aws:PrincipalAccount": packs.ACCOUNT,
}
# The identity policy of a role whose boundary is in question: the vendor may write anything into it.
# Asked of resources that the list does not have: of sessions (Systems Manager, "Sample IAM policies for Session Manager"), and
# of the resources of REST APIs, whose service has the prefix of another (Service Authorization Reference, "Amazon API Gateway
# Management").
ELSEWHERE = {"ssmmessages:OpenDataChannel", "apigateway:GET"}
WORDS = {"allow", "deny", "packs", "setting", "unless", "beside", "boundary", "needs", "action", "arn", "context"}
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclasses.dataclass(frozen=True)
class Request:
    what: str
    packs: dict[str, str]
    setting: dict[str, str]
    boundary: str
    # A call can need more than one permission: (action, resource, context). It is allowed when all of them are.
    needs: list[tuple[str, str, dict]]
    expect: str
    # Other packs that allow what this one does not.
    unless: tuple[str, ...] = ()
    beside: bool = False


def read(text: str | None = None) -> list[Request]:
    entries = yaml.load((HERE / "requests.yaml").read_text() if text is None else text, CfnLoader)
    found = []
    for entry in entries:
        expect = "allow" if "allow" in entry else "deny"
        strange = [name for call in (entry, *entry.get("needs", [])) for name in call if name not in WORDS]
        if strange:
            raise KeyError(f"requests.yaml, {entry[expect]}: {strange}")
        calls = [
            (action, resource, call.get("context", {}))
            for call in entry.get("needs", [entry])
            for action in listed(call["action"])
            for resource in listed(call.get("arn", "*"))
        ]
        setting = packs.SETTINGS[entry["setting"]] if isinstance(entry.get("setting"), str) else entry.get("setting", {})
        # One refusal is enough for a call that needs several permissions, and none of several calls may pass.
        for needs in [calls] if expect == "allow" or "needs" in entry else [[call] for call in calls]:
            found.append(Request(
                entry[expect], entry["packs"], setting, entry.get("boundary", ""), needs, expect,
                tuple(entry.get("unless", [])), entry.get("beside") == "anything",
            ))
    return found


class Decider:
    """The policies of each combination are made once."""

    def __init__(self, template: dict) -> None:
        self.template = template
        self.known: dict[str, dict] = {}
        self.read: dict[str, list] = {}
        self.by_policy: dict[tuple, str] = {}

    def policies(self, chosen: dict[str, str], setting: dict[str, str]) -> dict[str, list]:
        key = json.dumps([chosen, setting], sort_keys=True)
        if key not in self.known:
            made = packs.policies(self.template, chosen, setting)
            self.known[key] = {name: self.parsed(policy) for name, policy in made.items()}
        return self.known[key]

    def parsed(self, policy: dict) -> list:
        """A policy, parsed once: the same text is the same object."""
        text = _variables(policy)
        if text not in self.read:
            self.read[text] = parse_policy_document(json.loads(text))
        return self.read[text]

    def decide(self, request: Request, chosen: dict[str, str]) -> str:
        return "deny" if self.refused(request, chosen) else "allow"

    def refused(self, request: Request, chosen: dict[str, str]) -> set[str]:
        """The actions of a request that are not allowed."""
        made = self.policies(chosen, request.setting)
        identity = [policy for name, policy in made.items() if name in chosen]
        limits = []
        found = set()
        if request.beside:
            identity.append(parse_policy_document(ANYTHING))
        if request.boundary:
            identity, limits = [parse_policy_document(ANYTHING)], [[made[request.boundary]]]
        for action, resource, context in request.needs:
            if evaluate(asked(action, resource, context), identity, *limits).decision != "Allow":
                found.add(action)
        return found

    def passes(self, request: Request, chosen: dict[str, str]) -> bool:
        """The same for many combinations: what each policy says of a request is asked once, and a denial wins."""
        made = self.policies(chosen, request.setting)
        identity = [policy for name, policy in made.items() if name in chosen]
        identity += [self.parsed(ANYTHING)] if request.beside else []
        return all(self._allowed(need, identity) for need in request.needs)

    def _allowed(self, need: tuple[str, str, dict], identity: list) -> bool:
        said = set()
        for policy in identity:
            key = (id(need), id(policy))
            if key not in self.by_policy:
                self.by_policy[key] = evaluate(asked(*need), [policy]).decision
            said.add(self.by_policy[key])
        return "Allow" in said and "Deny" not in said


def _variables(policy: dict) -> str:
    """`${aws:userid}` and its like: what the caller is. One that it has not is an error, as it would match nothing."""
    return re.sub(r"\$\{(aws:\w+)\}", lambda match: WHO[match[1]], json.dumps(policy))


def asked(action: str, resource: str, context: dict) -> EvalContext:
    return EvalContext(
        principal_arn=WHO["aws:PrincipalArn"],
        principal_type="AssumedRole",
        # The evaluator takes it for the account of a resource whose ARN has none.
        principal_account=context.get("aws:ResourceAccount", packs.ACCOUNT),
        action=action,
        resource_arn=resource,
        region=packs.REGION,
        source_ip="192.0.2.1",
        secure_transport=True,
        service_context={key.lower(): value for key, value in {**WHO, **context}.items()},
        principal_keys={},
    )


def possible(request: Request) -> Iterator[Finding]:
    """What is asked is what AWS asks: a refusal of anything else says nothing."""
    where = f"requests.yaml, {request.what}"
    for action, resource, context in request.needs:
        if actions.lookup(action) is None:
            yield Finding("decisions", where, f"{action} is not an AWS action")
        elif (resource == "*") != (not actions.resource_types(action)) or not actions.takes(action, resource):
            if action not in ELSEWHERE:
                yield Finding("decisions", where, f"{action} is never asked of {resource}")
        else:
            for key in context:
                if not actions.has_key(action, key):
                    yield Finding("decisions", where, f"{action} never has the key {key}")


def pairs(template: dict, requests: Iterable[Request]) -> Iterator[tuple[Request, dict[str, str]]]:
    """Each request that is refused, with each two packs at their widest, once with its own packs and once without.

    All packs together are not enough: one may deny what two others allow.
    """
    widest = packs.widest(template)
    for request in requests:
        if request.expect == "allow" or request.boundary:
            continue
        for two in itertools.combinations(widest, 2):
            if set(two) & set(request.unless):
                continue
            chosen = {pack: widest[pack] for pack in two}
            yield request, chosen | request.packs
            if not request.beside:
                yield request, chosen | {pack: mode for pack, mode in request.packs.items() if pack in two}


def check_pairs(template: dict, requests: Iterable[Request]) -> Iterator[Finding]:
    decider = Decider(template)
    for request, chosen in pairs(template, requests):
        if decider.passes(request, chosen):
            yield Finding("pairs", f"requests.yaml, {request.what}", f"allowed with {chosen}")


def check_user_boundary(template: dict, requests: Iterable[Request]) -> Iterator[Finding]:
    """The vendor's own user may do what its packs grant: its boundary leaves room for each request that must be allowed."""
    decider = Decider(template)
    for request in requests:
        if request.expect == "deny" or request.boundary or request.beside:
            continue
        setting = {**request.setting, **packs.SETTINGS["by access key"]}
        made = decider.policies(request.packs, setting)
        identity = [policy for name, policy in made.items() if name in request.packs]
        for need in request.needs:
            context = asked(*need)
            granted = evaluate(context, identity).decision == "Allow"
            if granted and evaluate(context, identity, [made["VendorUserBoundary"]]).decision != "Allow":
                yield Finding("user_boundary", f"requests.yaml, {request.what}", f"the boundary refuses {need[0]} to the vendor's user")


def check_user_actions(template: dict, audit: Iterable[str]) -> Iterator[Finding]:
    """The same for each action that a pack grants or SecurityAudit shows, on some resource."""
    made = packs.policies(template, packs.widest(template), packs.SETTINGS["by access key"])
    granted = {
        action for pack in packs.names(template) for statement in made[pack]["Statement"]
        if statement["Effect"] == "Allow" for action in listed(statement["Action"])
    }
    denied = {action for one in made["security-audit"]["Statement"] if one["Effect"] == "Deny" for action in listed(one["Action"])}
    for action in sorted((granted | set(audit)) - denied):
        if not any(_room(statement, action) for statement in made["VendorUserBoundary"]["Statement"]):
            yield Finding("user_boundary", "VendorUserBoundary", f"refuses {action}, which a pack grants")


def _room(statement: dict, action: str) -> bool:
    if "NotAction" in statement:
        return not any(fnmatch.fnmatchcase(action, pattern) for pattern in statement["NotAction"])
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))


def check(template: dict, requests: Iterable[Request], escalations: dict[str, dict[str, set[str]]], reviewed: Reviewed) -> Iterator[Finding]:
    requests = list(requests)
    decider = Decider(template)
    modes = packs.names(template)
    everything = packs.widest(template)
    for request in requests:
        yield from possible(request)
        where = f"requests.yaml, {request.what}"
        decided = decider.decide(request, request.packs)
        if decided != request.expect:
            yield Finding("decisions", where, f"expected {request.expect}, decided {decided}, with {request.packs}")
        others = {pack: mode for pack, mode in everything.items() if pack not in request.unless} | request.packs
        if request.expect == decided == "deny" and decider.decide(request, others) != "deny":
            yield Finding("decisions", where, f"denied with {request.packs}, and allowed when the others are there too")
    for pack, known in modes.items():
        for mode in known:
            for expect in ("allow", "deny"):
                if not any(one.packs == {pack: mode} and one.expect == expect and not one.boundary for one in requests):
                    yield Finding("decisions", "requests.yaml", f"no request that {pack} {mode} must {expect}")
    # What is known as a way up has been tried, on its own pack, and was refused.
    for pack, ways in escalations.items():
        tried = set()
        for request in requests:
            about = (request.boundary,) if request.boundary else (*request.packs, TOGETHER)
            if request.expect == "deny" and pack in about:
                tried |= decider.refused(request, request.packs)
        for name, needed in ways.items():
            if pack == IN_ONE_CALL:
                at_once = (one for one in requests if one.expect == "deny" and needed <= {action for action, _, _ in one.needs})
                tried = needed if any(at_once) else set()
            if not needed & tried and not reviewed.excuses("ways", pack=pack, way=name):
                yield Finding("escalations", f"{pack}", f"{name} is a known escalation, and no request shows that it is denied")
