"""Starts MiniStack (PyPI package `ministack`) with the patches of `patches/`, and ends with the process that started it.

MiniStack keeps the state and takes the decisions: CloudFormation, Lambda, IAM, S3, STS, CUR. What differs from AWS on the wire is
the strict proxy's, in Rust; what only MiniStack's own process can do is patched here. `docs/emulator.md` lists both.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

# The patches take their settings out of the environment, because the handler inherits what is left of it.
import patches.cloudformation
import patches.cloudformation_stacksets
import patches.cloudformation_types
import patches.iam
import patches.lambda_functions
import patches.s3
import patches.sts

# After the others: what an answer looks like in the end.
import patches.answers  # noqa: F401 isort: skip


def end_with_the_starter() -> None:
    """Waits for the end of standard input, then ends this process group: the emulator and its functions."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    from ministack.app import main

    threading.Thread(target=end_with_the_starter, daemon=True).start()
    main()
