"""`python -m dev.recordings ENDPOINT`: replays every recording of AWS at the emulator, and fails where an answer differs that
`differences.yaml` does not list, or where a listed difference no longer occurs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from .form import Difference, load
from .replay import Replay

FOLDER = Path(__file__).parents[2] / "tests/recordings"


def listed(entry: dict, difference: Difference) -> bool:
    return entry["recording"] == difference.recording and re.fullmatch(entry["field"], difference.field) is not None


def main(endpoint: str) -> int:
    recordings, entries = load(FOLDER), yaml.safe_load((FOLDER / "differences.yaml").read_text())
    found = [difference for recording in recordings for difference in Replay(endpoint).differences(recording)]
    wrong = [str(one) for one in found if not any(listed(entry, one) for entry in entries)]
    wrong += [f"differences.yaml: no longer so: {entry}" for entry in entries if not any(listed(entry, one) for one in found)]
    print("\n".join(wrong))
    print(f"{len(recordings)} recordings, {len(found) - len(wrong)} listed differences, {len(wrong)} others")
    return 1 if wrong or not recordings else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
