"""The vendor's side, over TLS with an authority made for the run: takes notices, checks their signature, and on some paths
refuses, redirects or stays silent."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import pathlib
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# Longer than any function timeout of these runs.
SILENCE_SECONDS = 120


@dataclasses.dataclass
class Notice:
    """One notice, whether it was signed with the launch token, and what it says of billing data, if it does."""

    type: str
    signed: bool
    billing: dict


def make_authority(folder: pathlib.Path, host: str) -> pathlib.Path:
    """Writes `authority.pem`, and a server certificate for the address `host` with its key; gives the authority's path."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = (
        builder("Authority of this run", "Authority of this run", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        builder("Vendor of this run", "Authority of this run", key)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "vendor.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "vendor-key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "authority.pem"


def is_signed(headers, body: bytes, token: str) -> bool:
    """Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with the token's bytes as the key."""
    key = base64.b64decode(token.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(given, wanted) for given in headers.get("webhook-signature", "").split(" "))


class Vendor:
    """Listens on `host` and a free port; knows the launch token that notices are signed with."""

    def __init__(self, host: str, folder: pathlib.Path, token: str) -> None:
        self.notices: list[Notice] = []
        self._closing = threading.Event()
        vendor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = json.loads(body)
                billing = event["data"].get("billingStatus", {})
                vendor.notices.append(Notice(event["type"], is_signed(self.headers, body, token), billing))
                match self.path.rpartition("/")[2]:
                    case "refuse":
                        detail = {"title": "refused", "status": 400, "detail": "this launch link was used already"}
                        self.answer(400, detail, "application/problem+json")
                    case "redirect":
                        self.answer(302, {}, location="https://elsewhere.example/")
                    case "gone":
                        self.answer(410, {})
                    case "silent":
                        vendor._closing.wait(SILENCE_SECONDS)
                    case _:
                        self.answer(200, {"connectionId": "con-1", "message": "welcome"})

            def answer(self, status: int, content: dict, kind: str = "application/json", location: str = "") -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that hung up, as a stopped function does

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "vendor.pem", folder / "vendor-key.pem")
        self._server = Server((host, 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.authority = f"{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self) -> list[Notice]:
        """What came in since the last call."""
        taken, self.notices = self.notices, []
        return taken

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
