"""What AWS's own policy SecurityAudit shows, against our list of data.

`security-audit.txt` is a copy of one version of the policy, and of what its wildcards stood for when it was looked at. A newer
version, or an action that AWS has added since, is a difference that somebody looks at. `python -m dev.policies.audit POLICY.json`,
with what `aws iam get-policy-version` answers, writes the file again and prints what is new.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterable, Iterator

from . import actions, packs
from .checks import HERE, Finding, Reviewed, is_data
from .packs import Document, listed

COPY = HERE / "security-audit.txt"
PACK = "security-audit"


def read(text: str | None = None) -> dict[str, list[str]]:
    """The policy's actions, each with those that it stood for."""
    lines = (COPY.read_text() if text is None else text).splitlines()
    entries = [line.split() for line in lines if line and not line.startswith("#")]
    return {pattern: names or [pattern] for pattern, *names in entries}


def shown(copy: dict[str, list[str]]) -> set[str]:
    """The actions of a copy."""
    return {f"{pattern.partition(':')[0]}:{name.rpartition(':')[2]}" for pattern, names in copy.items() for name in names}


def check(documents: Iterable[Document], reviewed: Reviewed, copy: dict[str, list[str]]) -> Iterator[Finding]:
    """What the policy allows is as it was looked at, and what of it is data is denied, in every setting."""
    for pattern, names in copy.items():
        service = pattern.partition(":")[0]
        # Actions that AWS has removed, or does not publish, allow nothing.
        added = [one.partition(":")[2] for one in actions.expand(pattern)]
        for name in sorted(set(added) - {one.rpartition(":")[2] for one in names}):
            yield Finding("audit", COPY.name, f"{pattern} also allows {service}:{name}, which nobody has looked at")
    seen = shown(copy)
    for document in documents:
        if document.pack != PACK:
            continue
        denied = {one for statement in document.statements if statement["Effect"] == "Deny" for one in listed(statement["Action"])}
        for action in sorted(seen - denied):
            if is_data(action, reviewed) and not reviewed.excuses("audit_shows", action=action):
                yield Finding("audit", str(document), f"{action} is data, AWS's policy allows it, and the pack does not deny it")


def text_of(document: dict, version: str) -> str:
    patterns = sorted({one for statement in document["Statement"] for one in listed(statement["Action"])})
    lines = [f"# AWS's managed policy SecurityAudit, {version}: each action, and what a wildcard stands for."]
    for pattern in patterns:
        stands_for = sorted(actions.expand(pattern))
        names = [one.partition(":")[2] for one in stands_for] if stands_for != [pattern] else []
        lines.append(" ".join([pattern, *names]))
    return "\n".join(lines) + "\n"


def main() -> None:
    answer = json.loads(pathlib.Path(sys.argv[1]).read_text())["PolicyVersion"]
    before = {name for names in read().values() for name in names} if COPY.exists() else set()
    COPY.write_text(text_of(answer["Document"], f"{answer['VersionId']} of {answer['CreateDate'][:10]}"))
    for name in sorted({name for names in read().values() for name in names} - before):
        print(name)


if __name__ == "__main__":
    main()
