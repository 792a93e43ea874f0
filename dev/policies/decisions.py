"""Requests and what becomes of them, decided by MiniStack's own policy evaluator.

It knows everything that IAM's documents say of one account's policies but policy variables, which are put in here (IAM, "IAM
policy elements: variables and tags"). A request that is refused must be refused with every other pack attached as well.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator

import yaml
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from ministack.services.cloudformation.engine import CfnLoader

from . import actions, packs
from .checks import HERE, TOGETHER, Finding, Reviewed
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

    def policies(self, chosen: dict[str, str], setting: dict[str, str]) -> dict[str, dict]:
        key = json.dumps([chosen, setting], sort_keys=True)
        if key not in self.known:
            made = packs.policies(self.template, chosen, setting)
            self.known[key] = {name: parse_policy_document(_variables(policy)) for name, policy in made.items()}
        return self.known[key]

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
            asked = EvalContext(
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
            if evaluate(asked, identity, *limits).decision != "Allow":
                found.add(action)
        return found


def _variables(policy: dict) -> dict:
    """`${aws:userid}` and its like: what the caller is. One that it has not is an error, as it would match nothing."""
    return json.loads(re.sub(r"\$\{(aws:\w+)\}", lambda match: WHO[match[1]], json.dumps(policy)))


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


def check(template: dict, requests: Iterable[Request], escalations: dict[str, dict[str, set[str]]], reviewed: Reviewed) -> Iterator[Finding]:
    requests = list(requests)
    decider = Decider(template)
    modes = packs.names(template)
    everything = {pack: known[-1] for pack, known in modes.items()}
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
            if not needed & tried and not reviewed.excuses("ways", pack=pack, way=name):
                yield Finding("escalations", f"{pack}", f"{name} is a known escalation, and no request shows that it is denied")
