"""`python -m dev.policies`, from the root of the repository: everything, and one line for each finding."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from . import audit, checks, decisions, mutation_tests, packs, probes, sizes
from .checks import Finding


def guide(template: dict) -> Iterator[Finding]:
    """The pack that a guide lists action by action has these and no others."""
    wanted = {line for line in (checks.HERE / "cloud-iam.txt").read_text().splitlines() if not line.startswith("#")}
    policy = packs.policies(template, {"cloud-iam": "ReadWrite"}, {})["cloud-iam"]
    allowed = {action for one in policy["Statement"] if one["Effect"] == "Allow" for action in packs.listed(one["Action"])}
    for action in sorted(wanted ^ allowed):
        yield Finding("guide", "cloud-iam", f"{action} is in {'the guide' if action in wanted else 'the pack'} only")


def everything(template: dict, requests: list[decisions.Request], reviewed: checks.Reviewed) -> Iterator[Finding]:
    documents = packs.documents(template) + packs.boundaries(template)
    yield from checks.check(documents, reviewed)
    yield from checks.clashes(template, documents)
    copy = audit.read()
    yield from audit.check(documents, reviewed, copy)
    yield from decisions.check(template, requests, checks.escalations(documents, reviewed), reviewed)
    yield from decisions.check_user_boundary(template, requests)
    yield from decisions.check_user_actions(template, audit.shown(copy))
    yield from guide(template)
    yield from sizes.check(template, sizes.profiles())
    yield from reviewed.unused()


def main() -> int:
    template = packs.read()
    requests = decisions.read()
    findings = [*everything(template, requests, checks.Reviewed()), *decisions.check_pairs(template, requests), *probes.check(template)]
    mutations = mutation_tests.MutationTests(template, requests, everything)
    if not findings:
        findings = list(mutations.run())
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings")
        return 1
    every = {action for one in packs.documents(template) for given in one.allows for action in packs.listed(given["Action"])}
    print(f"{len(packs.names(template))} packs with {len(every)} actions of {len({action.split(':')[0] for action in every})} services")
    print(f"{len(requests)} requests decided, {sum(one.expect == 'deny' for one in requests)} of them denied; {mutations.count} planted faults found")
    print(f"{sum(1 for _ in decisions.pairs(template, requests)):,} of these with pairs of packs at their widest; 0 allowed")
    print(sizes.report(template))
    return 0


if __name__ == "__main__":
    sys.exit(main())
