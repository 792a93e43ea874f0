"""The form of a recording, and what it means that an answer agrees with it.

A recording is the calls of one story, in order; where the answer of real AWS is known, it stands beside the call. `<name>` in a text
stands for a value that differs from run to run: the first answer (or request) that has it says what it is, and from then on it is that.
`<any>` is never remembered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HOME_REGION = "us-east-1"
# The account of every recording, and of the emulator's tests.
ACCOUNT = "111122223333"
PLACEHOLDER = re.compile(r"<([a-z][a-z0-9-]*)>")
ANY = "any"
# A value that was not there, on either side of a difference.
ABSENT = "absent"


@dataclass
class Call:
    """One call: `service:Operation`, or `wait`: until the stack has the status."""

    call: str
    with_: dict[str, Any] = field(default_factory=dict)
    region: str = HOME_REGION
    account: str = ACCOUNT
    # Of events: the logical id they are about.
    of: str | None = None
    answer: dict[str, Any] | None = None
    # Lists whose order says nothing, by their field.
    any_order: tuple[str, ...] = ()


@dataclass
class Recording:
    name: str
    about: str
    calls: list[Call]


@dataclass(frozen=True)
class Difference:
    recording: str
    call: str
    # Of the answer: `status`, `error.Message`, `body.Stacks.0.Tags`.
    field: str
    recorded: Any
    answered: Any

    def __str__(self) -> str:
        return f"{self.recording}: {self.call}: {self.field}: recorded {self.recorded!r}, answered {self.answered!r}"


def load(folder: Path) -> list[Recording]:
    """Every recording below a folder, by name; those of `make live` are compared with its runs (live.py)."""
    found = []
    for path in sorted(path for path in folder.glob("*/*.yaml") if path.parent.name != "live"):
        document = yaml.safe_load(path.read_text())
        calls = [Call(**{"with_" if key == "with" else key: value for key, value in call.items()}) for call in document["calls"]]
        found.append(Recording(f"{path.parent.name}/{path.stem}", document["about"], calls))
    return found


def filled(value: Any, known: dict[str, str], new: Any) -> Any:
    """A request with its placeholders filled; `new` makes the value of one that is met for the first time."""
    if isinstance(value, dict):
        return {key: filled(one, known, new) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known, new) for one in value]
    if not isinstance(value, str):
        return value
    return PLACEHOLDER.sub(lambda match: known.setdefault(match[1], new(match[1])), value)


def agrees(recorded: str, answered: str, known: dict[str, str]) -> bool:
    """Whether a text is the recorded one, with each placeholder standing for one value."""
    pattern, names, at = "", [], 0
    for match in PLACEHOLDER.finditer(recorded):
        pattern += re.escape(recorded[at:match.start()])
        name, at = match[1], match.end()
        if name in known:
            pattern += re.escape(known[name])
        elif name in names:
            pattern += f"(?P=p{names.index(name)})"
        elif name == ANY:
            pattern += ".*?"
        else:
            pattern += f"(?P<p{len(names)}>.+?)"
            names.append(name)
    found = re.fullmatch(pattern + re.escape(recorded[at:]), answered, re.DOTALL)
    if found:
        known.update({name: found[f"p{index}"] for index, name in enumerate(names)})
    return bool(found)


def compare(
    recorded: Any, answered: Any, known: dict[str, str], any_order: tuple[str, ...] = (), at: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which an answer differs: which are missing, which came in addition, and which have another value."""
    if at in any_order and isinstance(answered, list):
        answered = sorted(answered, key=repr)
    if isinstance(recorded, dict) and isinstance(answered, str):
        # A document within a text, such as a policy.
        try:
            answered = json.loads(answered)
        except ValueError:
            pass
    if isinstance(recorded, dict) and isinstance(answered, dict):
        for key in recorded.keys() | answered.keys():
            yield from compare(recorded.get(key, ABSENT), answered.get(key, ABSENT), known, any_order, f"{at}.{key}".lstrip("."))
    elif isinstance(recorded, list) and isinstance(answered, list) and len(recorded) == len(answered):
        for index, (one, other) in enumerate(zip(recorded, answered, strict=True)):
            yield from compare(one, other, known, any_order, f"{at}.{index}")
    elif recorded == f"<{ANY}>" and answered != ABSENT:
        return
    elif isinstance(recorded, str) and recorded != ABSENT and isinstance(answered, str) and answered != ABSENT:
        if not agrees(recorded, answered, known):
            yield at, recorded, answered
    elif recorded != answered:
        yield at, recorded, answered
