"""`python -m dev.house`, from the root of the repository: the limits of the repository's shape, each with its measure.

Import circles, imports from a later layer and long files without a reason fail; the other limits are only printed. A line is a line of a
tracked file, whatever it holds. A file of over 500 lines says in its first line `Long because` and why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from . import circles, rust

HERE = Path.cwd().resolve()
LONG = 500
REASON = "Long because "
FILES_MAX = 1150
HANDLER_LINES_MAX = 9000
# 5 % fewer than before the repository was laid out anew.
CODE_LINES_MAX = 62473 * 95 // 100


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def crates() -> list[Path]:
    """The first file of each library and program of the workspace."""
    metadata = json.loads(run("cargo", "metadata", "--no-deps", "--format-version", "1"))
    targets = [target for package in metadata["packages"] for target in package["targets"]]
    return sorted({Path(one["src_path"]) for one in targets if {"lib", "bin"} & set(one["kind"])})


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def is_test(path: Path) -> bool:
    return "tests" in path.parts or path.stem == "tests" or path.stem.startswith("test_")


def within(what: str, number: int, limit: int) -> None:
    print(f"{what}: {number:,} of at most {limit:,}: {'ok' if number <= limit else f'over by {number - limit:,}'}")


def main() -> int:
    tracked = [path for path in map(Path, run("git", "ls-files", "-z").split("\0")) if path.is_file()]
    code = {path: lines(path) for path in tracked if path.suffix in {".rs", ".py", ".sh"}}
    firsts = crates()
    wrong = [finding for first in firsts for finding in circles.findings(first, HERE)]
    imports = "see above" if wrong else "no circle, and no import from a later layer"
    long = sorted((path for path in code if len(code[path]) > LONG), key=lambda path: -len(code[path]))
    for path in long:
        if not is_test(path) and REASON not in code[path][0]:
            wrong.append(f"{path}: {len(code[path])} lines; split it, or say in its first line `{REASON}…`")
    for finding in wrong:
        print(finding)
    print(f"imports: {len(firsts)} crates; {imports}")
    print(f"files over {LONG} lines: {', '.join(f'{path} ({len(code[path])})' for path in long) or 'none'}")
    within("tracked files", len(tracked), FILES_MAX)
    handler = list(rust.crate(HERE / "src/lib.rs").all())
    own = {module.file for module in handler} | {HERE / "src/main.rs"}
    within(
        "lines of the handler without its tests",
        sum(len(lines(file)) for file in own) - sum(module.test_lines for module in handler),
        HANDLER_LINES_MAX,
    )
    within("lines of Rust, Python and shell", sum(map(len, code.values())), CODE_LINES_MAX)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
