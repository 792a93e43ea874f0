"""The handler under AWS's own runtime interface emulator, which comes with the SAM command line. No Docker."""

from __future__ import annotations

import http.client
import pathlib
import platform
import socket
import subprocess
import time

import samcli

from . import services

# The emulator listens within milliseconds; this allows for a busy machine.
START_LIMIT_SECONDS = 20
# The emulator itself stops a function that takes too long; this is for the case that it does not.
ANSWER_SPARE_SECONDS = 30


def program() -> pathlib.Path:
    arch = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    return pathlib.Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{arch}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class InterfaceEmulator:
    """Starts a new execution environment for each event: every run is a cold start."""

    name = "rie"

    def __init__(self, bootstrap: pathlib.Path, around: services.Services) -> None:
        self._bootstrap = bootstrap
        self._environment = {
            "AWS_ACCESS_KEY_ID": services.ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": services.SECRET,
            "AWS_ENDPOINT_URL": around.endpoint,
            "SSL_CERT_FILE": str(around.authority),
            "AWS_LAMBDA_FUNCTION_NAME": "Handler",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        }

    def invoke(self, event: bytes, region: str, timeout: int) -> tuple[str, str]:
        """What the invocation gave, and everything that was printed."""
        port = free_port()
        environment = {**self._environment, "AWS_REGION": region, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout)}
        process = subprocess.Popen(
            [
                program(),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{port}",
                "--runtime-api-address",
                f"127.0.0.1:{free_port()}",
                self._bootstrap,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            result = post(port, event, timeout + ANSWER_SPARE_SECONDS)
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=30)
        return result, output


def post(port: int, event: bytes, limit: float) -> str:
    started = time.monotonic()
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() - started > START_LIMIT_SECONDS:
                raise SystemExit("the runtime interface emulator did not start") from None
            time.sleep(0.02)
            continue
        connection.request("POST", "/2015-03-31/functions/function/invocations", event)
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()
