"""What stands around the handler: AWS, the mailbox for responses and the vendor, all from one Rust program (`dev/src/bin/emulator.rs`)."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

# The account of the events, as its root: MiniStack takes the account's number for an access key.
ACCOUNT = "111122223333"
SECRET = "test"


class Services:
    """Listens on `host`, an address of this machine that the handler can reach."""

    def __init__(self, repository: pathlib.Path, host: str) -> None:
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", repository / "target"))
        program = repository / target / "debug" / "emulator"
        # It ends when its standard input does, so it never outlives this process.
        self._process = subprocess.Popen([program, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        addresses = self._read()
        # AWS_ENDPOINT_URL, the file of SSL_CERT_FILE, and the host and port of the vendor.
        self.endpoint = addresses["endpoint"]
        self.authority = pathlib.Path(addresses["authority"])
        self.vendor = addresses["vendor"]

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"`{self._process.args[0]}` ended")
        return json.loads(line)

    def _ask(self, **question):
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def response_url(self, *ids: str) -> str:
        """A presigned URL for the response to these stack, logical and request ids."""
        return self._ask(response_url=ids)

    def received(self, token: str) -> dict:
        """The uploads and notices since the last call; `token` is the launch token that notices should be signed with."""
        return self._ask(received=token)

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
