"""The embedded AWS: MiniStack behind the strict front, started as one program that ends with us."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import socketserver
import subprocess
import threading

# The account of the events, as its root: MiniStack takes the account's number for an access key.
ACCOUNT = "111122223333"
SECRET = "test"


class Aws:
    """`endpoint` is what the handler gets as AWS_ENDPOINT_URL, on an address that it can reach."""

    def __init__(self, repository: pathlib.Path, host: str) -> None:
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", repository / "target"))
        program = repository / target / "debug" / "emulator"
        # It ends when its standard input does, so it never outlives this process.
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"`{program}` did not start")
        port = int(json.loads(line)["endpoint"].rpartition(":")[2])
        self._relay = None if host == "127.0.0.1" else Relay(host, port)
        self.endpoint = f"http://{host}:{self._relay.port if self._relay else port}"

    def close(self) -> None:
        if self._relay:
            self._relay.close()
        self._process.stdin.close()
        self._process.wait(timeout=30)


class Relay:
    """Makes a port of this machine's loopback reachable from a container, and from nothing else."""

    def __init__(self, host: str, port: int) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as inner:
                    threading.Thread(target=copy, args=(inner, self.request), daemon=True).start()
                    copy(self.request, inner)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass  # a stopped function hangs up

        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
