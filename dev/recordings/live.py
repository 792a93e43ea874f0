"""`python -m dev.recordings.live RECORDED PLAYED`: compares what a run of `make live` recorded in AWS with what another run recorded,
such as one at the emulator: step by step, and of each call the answers in their order."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

from .form import ABSENT, Difference, compare

# What is said once however often it is asked: how many looks a stack took is no difference.
POLLED = {"cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents", "cloudformation:DescribeStackResources"}


def by_call(path: Path) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for call in yaml.safe_load(path.read_text())["calls"] if path.exists() else []:
        found[call["call"]].append(call["answer"])
    return found


def differences(recorded: Path, played: Path) -> Iterator[Difference]:
    for path in sorted(recorded.glob("*.yaml")):
        if path.name == "beliefs.yaml":
            continue
        known: dict[str, str] = {}
        other = by_call(played / path.name)
        for call, answers in by_call(path).items():
            # The last look is the one that the step went on from.
            pairs = [(answers[-1], other[call][-1:])] if call in POLLED else [
                (answer, other[call][index:index + 1]) for index, answer in enumerate(answers)]
            for answer, answered in pairs:
                if not answered:
                    yield Difference(path.stem, call, "answer", "recorded", ABSENT)
                    continue
                for at, one, another in compare(answer, answered[0], known):
                    yield Difference(path.stem, call, at, one, another)


def main(recorded: str, played: str) -> int:
    found = [str(one) for one in differences(Path(recorded), Path(played))]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
