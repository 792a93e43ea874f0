"""Where the response goes: checks what S3 checks of an upload to a presigned URL, and keeps what it took."""

from __future__ import annotations

import dataclasses
import http.server
import threading

# "Maximum amount of data that a custom resource provider can pass" (AWS CloudFormation User Guide, quotas).
RESPONSE_BYTES_MAX = 4096


@dataclasses.dataclass
class Upload:
    """One request that came in; `problems` says why S3 or CloudFormation would not have taken it."""

    target: str
    body: bytes
    problems: list[str]


class Mailbox:
    """Listens on `host` and a free port."""

    def __init__(self, host: str) -> None:
        self.uploads: list[Upload] = []
        mailbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def upload(self) -> None:
                problems = []
                if self.command != "PUT":
                    problems.append(f"the method is {self.command}, not PUT")
                if self.headers.get("Content-Type", ""):
                    problems.append("Content-Type is not empty, which the signature does not cover")
                if self.headers.get("Transfer-Encoding"):
                    problems.append("the body is sent in chunks, which S3 refuses")
                length = self.headers.get("Content-Length", "")
                if not length.isdigit():
                    problems.append("there is no Content-Length")
                body = self.rfile.read(int(length)) if length.isdigit() else b""
                if len(body) > RESPONSE_BYTES_MAX:
                    problems.append(f"the response has {len(body)} bytes; {RESPONSE_BYTES_MAX} are allowed")
                mailbox.uploads.append(Upload(self.path, body, problems))
                self.send_response(403 if problems else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST = do_GET = upload

            def log_message(self, *_: object) -> None:
                pass  # the path is a bearer capability

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.origin = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self) -> list[Upload]:
        """What came in since the last call."""
        taken, self.uploads = self.uploads, []
        return taken

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
