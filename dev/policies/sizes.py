"""How large policies are, alone and together, and how many are attached.

IAM counts characters without white space (IAM, "IAM and AWS STS quotas").
"""

from __future__ import annotations

import collections
import json
import re
import tomllib
from collections.abc import Iterator

from . import packs
from .checks import Finding

MANAGED_MAX = 6_144
INLINE_MAX = 10_240
ATTACHED_MAX = 10
PROFILES = packs.TEMPLATE.parent / "profiles"
# CloudFormation's longest stack name, the longest names of a partition and a Region, and a long path of an organization's.
LONG = {
    "the longest names": {"AWS::StackName": "s" * 128, "AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-1"},
    "long names": {"AWS::StackName": "s" * 64, "RolePath": f"/{'p' * 62}/", "ManagedUsersPath": f"/{'u' * 62}/"},
}


def characters(policy: object) -> int:
    return len(re.sub(r"\s", "", json.dumps(policy, separators=(",", ":"))))


def profiles() -> dict[str, dict[str, str]]:
    """What each profile sets."""
    found = {path.name: tomllib.loads(path.read_text())["parameters"] for path in sorted(PROFILES.glob("*.toml"))}
    return {name: {parameter: str(value) for parameter, value in given.items()} for name, given in found.items()}


def check(template: dict, chosen: dict[str, dict[str, str]]) -> Iterator[Finding]:
    most = packs.widest(template)
    longest = {names: {**packs.SETTINGS["by access key"], **setting} for names, setting in LONG.items()}
    for names, setting in {**packs.SETTINGS, **longest}.items():
        for name, policy in packs.policies(template, most, setting).items():
            if (size := characters(policy)) > MANAGED_MAX:
                yield Finding("sizes", f"{name}, {names}", f"{size} characters, and IAM takes {MANAGED_MAX}")
            # So that what holds for each holds for any combination: another pack may take back a denial, and no more.
            alone = packs.policies(template, {name: most[name]}, setting)[name] if name in most else policy
            more = [one for one in alone["Statement"] if one not in policy["Statement"]]
            if any(one["Effect"] == "Allow" for one in more) or any(one not in alone["Statement"] for one in policy["Statement"]):
                yield Finding("sizes", f"{name}, {names}", "is another policy when other packs are there")
    for profile, given in chosen.items():
        attached = attachments(template, given)
        if len(attached) > ATTACHED_MAX:
            yield Finding("sizes", f"profiles/{profile}", f"{len(attached)} policies, and a role takes {ATTACHED_MAX}: {attached}")


def attachments(template: dict, given: dict[str, str]) -> list[str]:
    """The policies on the vendor's role, or on its user: the packs', and AWS's own that go with them."""
    values = {name: str(about.get("Default", "")) for name, about in template["Parameters"].items()} | given
    found = []
    for resource in template["Resources"].values():
        about = resource.get("Metadata", {}).get("Pack")
        if about and values[resource["Condition"]] != "None":
            found += [about["Name"], *about.get("ManagedPolicies", [])]
    return found


def report(template: dict) -> str:
    """How many of all combinations of packs and modes fit into one policy, or into a role's inline ones."""
    sums = collections.Counter({characters({"Version": "2012-10-17", "Statement": []}): 1})
    for pack, known in packs.names(template).items():
        statements = [packs.policies(template, {pack: mode}, {})[pack]["Statement"] for mode in known]
        # A comma for each statement, less the brackets.
        each = [0, *(characters(found) - 1 for found in statements)]
        more: collections.Counter[int] = collections.Counter()
        for size, ways in sums.items():
            for one in each:
                more[size + one] += ways
        sums = more
    every, most = sum(sums.values()), max(sums)
    fits = {limit: sum(ways for size, ways in sums.items() if size <= limit) for limit in (MANAGED_MAX, INLINE_MAX)}
    shares = [f"{count:,} ({100 * count / every:.1f} %) fit {what}" for count, what in (
        (fits[MANAGED_MAX], f"one managed policy of {MANAGED_MAX:,}"), (fits[INLINE_MAX], f"the {INLINE_MAX:,} of inline policies"),
    )]
    return f"{every:,} combinations of packs: {'; '.join(shares)}; all together have {most:,}"
