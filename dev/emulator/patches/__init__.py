"""What AWS does and MiniStack 1.5.33 does not, where only MiniStack's own process can do it. One file for each service.

Each patch replaces one function or adds one entry, and its docstring says what AWS does and where that is documented. A name that
is missing, or an entry that is there already, stops the start: another version of MiniStack never runs half patched.
"""

from __future__ import annotations

import functools


def changed(what: str) -> SystemExit:
    return SystemExit(f"the pinned version of MiniStack has changed: {what}")


def patch(owner, name: str):
    """Replaces a function of a module, or an entry of a table; the new one gets the original as its first argument."""

    def replace(function):
        table = owner if isinstance(owner, dict) else vars(owner)
        if name not in table:
            raise changed(f"there is no {name}")
        table[name] = functools.wraps(function)(functools.partial(function, table[name]))
        return function

    return replace


def add(table: dict, key, value) -> None:
    """Adds an entry that MiniStack does not have."""
    if key in table:
        raise changed(f"there is {key}")
    table[key] = value
