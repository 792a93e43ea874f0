"""Takes out of an answer what belongs to the account that gave it: ids, names, tokens, times. The same value becomes the same
placeholder within one recording, so that the recording can still be compared."""

from __future__ import annotations

import datetime
import re
from typing import Any

from .form import ACCOUNT, ANY

# What a value looks like that nobody else may read, and its placeholder. The first that fits wins.
PATTERNS = [
    ("token", r"whsec_[A-Za-z0-9+/=]+"),
    ("signature", r"X-Amz-(?:Signature|Credential|Security-Token)=[^&\s\"]+"),
    ("email", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    ("access-key", r"\b(?:AKIA|ASIA|AIDA|AROA|ANPA)[A-Z0-9]{12,}\b"),
    ("host", r"\b[a-z0-9]{20,}\.lambda-url\.[a-z0-9-]+\.on\.aws\b"),
    ("organization", r"\b(?:o-[a-z0-9]{10,32}|ou-[a-z0-9]{4,32}-[a-z0-9]{8,32})\b"),
    ("uuid", r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    # What CloudFormation and Hawser put at the end of names, and canonical ids; the hash of an object is no secret.
    ("hash", r"\b(?:[0-9a-f]{16}|[0-9a-f]{40,})\b"),
    ("generated", r"(?<=-)(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{12,13}\b"),
    ("account", r"\b\d{12}\b"),
]
PATTERN = re.compile("|".join(f"(?P<p{index}>{pattern})" for index, (_, pattern) in enumerate(PATTERNS)))
# Members that hold a secret whatever it looks like, and those that say which request it was.
SECRET = {"LogResult", "ResponseURL", "SecretAccessKey", "SessionToken"}
DROPPED = {"DisplayName", "HostId", "Owner", "RequestId", "RequestToken"}


class Redaction:
    """The placeholders of one run. `known` are values that are to be hidden whatever they look like, with their names."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = {ACCOUNT: ACCOUNT, **known}
        self.counts: dict[str, int] = {}

    def placeholder(self, name: str, value: str) -> str:
        if value not in self.known:
            number = self.counts[name] = self.counts.get(name, 0) + 1
            self.known[value] = f"<{name}-{number}>"
        return self.known[value]

    def text(self, text: str) -> str:
        for value in sorted(filter(None, self.known), key=len, reverse=True):
            text = text.replace(value, self.known[value])
        # What stands between placeholders.
        parts = re.split(r"(<[a-z][a-z0-9-]*>)", text)
        parts[::2] = [PATTERN.sub(self.found, part) for part in parts[::2]]
        return "".join(parts)

    def found(self, match: re.Match) -> str:
        return self.placeholder(PATTERNS[int(match.lastgroup[1:])][0], match[0])

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            kept = {name: one for name, one in value.items() if name not in DROPPED}
            return {name: "<secret>" if name in SECRET else self.value(one) for name, one in kept.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, datetime.datetime):
            return f"<{ANY}>"
        return self.text(value) if isinstance(value, str) else value
