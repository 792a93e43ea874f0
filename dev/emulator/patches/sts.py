"""AWS STS: tokens for other parties (outbound identity federation), and the keys to verify them.

MiniStack signs them with a secret, in the name of the root user, for every account. Sources: STS API Reference,
`GetWebIdentityToken`; IAM User Guide, "Outbound identity federation" and "Token claims"; IAM API Reference,
`EnableOutboundWebIdentityFederation` and its siblings; Service Authorization Reference, STS.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import ssl
import threading
import time
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import iam, sts

from . import add, patch
from .iam import BY_PARAMETERS, Check, numbered, one

ZONE = "tokens.sts.global.api.aws"
PORT = int(os.environ.pop("HAWSER_ISSUERS_PORT"))
CERTIFICATE = os.environ.pop("HAWSER_ISSUERS_CERTIFICATE")
KEY = os.environ.pop("HAWSER_ISSUERS_KEY")

# Host name -> the issuer of an account. One that was switched off serves no keys any more, and is never an account's again.
_issuers: dict[str, Issuer] = {}


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


class Issuer:
    """The issuer of one account, with one key."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.host = f"{uuid.uuid4()}.{ZONE}"
        self.key_id = str(uuid.uuid4())
        self.key = ec.generate_private_key(ec.SECP384R1())

    def key_set(self) -> dict:
        public = self.key.public_key().public_numbers()
        x, y = (encoded(number.to_bytes(48, "big")) for number in (public.x, public.y))
        return {"keys": [{"kid": self.key_id, "kty": "EC", "crv": "P-384", "use": "sig", "alg": "ES384", "x": x, "y": y}]}

    def sign(self, claims: dict) -> str:
        header = {"alg": "ES384", "kid": self.key_id, "typ": "JWT"}
        message = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        r, s = utils.decode_dss_signature(self.key.sign(message.encode(), ec.ECDSA(hashes.SHA384())))
        return f"{message}.{encoded(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"


def issuer_of(account: str) -> Issuer | None:
    return next((issuer for issuer in _issuers.values() if issuer.account == account), None)


# --- What IAM checks --------------------------------------------------------------------------------------------------


def tags(parameters: dict) -> dict[str, str]:
    keys = [key for key in parameters if key.startswith("Tags.member.") and key.endswith(".Key")]
    return {one(parameters, key): one(parameters, key[:-3] + "Value") for key in keys}


def token_checks(operation: str, parameters: dict, _region: str, _account: str) -> list[Check]:
    """A token with tags takes another action for these."""
    if operation != "GetWebIdentityToken":
        return []
    named = {"aws:tagkeys": list(tags(parameters))} if tags(parameters) else {}
    context = {"sts:identitytokenaudience": numbered(parameters, "Audience.member"),
               "sts:signingalgorithm": one(parameters, "SigningAlgorithm"),
               "sts:durationseconds": one(parameters, "DurationSeconds") or "300"}
    return [Check("*", named | context), *([Check("*", named, "sts:TagGetWebIdentityToken")] if named else [])]


add(BY_PARAMETERS, "sts", token_checks)


# --- The calls --------------------------------------------------------------------------------------------------------


@patch(sts, "handle_request")
async def make_token(original, method, path, headers, body, query_params):
    """The token of a role's session names the role, its account, the function whose credentials they are, and the request's tags."""
    parameters = dict(query_params) | sts.parse_qs(body.decode("utf-8", "replace"))
    if one(parameters, "Action") != "GetWebIdentityToken":
        return await original(method, path, headers, body, query_params)
    checked = await original(method, path, headers, body, query_params)
    if checked[0] != 200:
        return checked
    account = get_account_id()
    issuer = issuer_of(account)
    if issuer is None:
        return sts._error(403, "OutboundWebIdentityFederationDisabledException",
                          "Outbound web identity federation is not enabled for this account.", ns="sts")
    principal, aws = sts._caller_identity(headers, query_params)["userArn"], {}
    if ":assumed-role/" in principal:
        _, role, name = principal.split("/")
        principal = iam._roles[role]["Arn"]
        # AssumeRole says who asked; a function's session was asked for by nobody.
        if "SourcePrincipalArn" not in sts._sessions[extract_access_key_id(headers, query_params)]:
            aws = {"lambda_source_function_arn": f"arn:aws:lambda:{get_region()}:{account}:function:{name}"}
    now = int(time.time())
    seconds = int(one(parameters, "DurationSeconds") or 300)
    token = issuer.sign({
        "iss": f"https://{issuer.host}", "sub": principal, "aud": numbered(parameters, "Audience.member")[0],
        "iat": now, "exp": now + seconds, "jti": str(uuid.uuid4()),
        "https://sts.amazonaws.com/": {"aws_account": account, "source_region": get_region(), "principal_id": principal,
                                       "request_tags": tags(parameters), **aws},
    })
    return sts._xml(200, "GetWebIdentityTokenResponse",
                    f"<GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken>"
                    f"<Expiration>{sts._future(seconds)}</Expiration></GetWebIdentityTokenResult>", ns="sts")


def federation(operation: str, issuer: Issuer):
    return iam._xml(200, f"{operation}Response",
                    f"<{operation}Result><IssuerIdentifier>https://{issuer.host}</IssuerIdentifier>"
                    f"<JwtVendingEnabled>true</JwtVendingEnabled></{operation}Result>")


def enable(_parameters):
    if issuer_of(get_account_id()):
        return iam._error(409, "FeatureEnabled", "Outbound identity federation is already enabled for this account.")
    issuer = Issuer(get_account_id())
    _issuers[issuer.host] = issuer
    return federation("EnableOutboundWebIdentityFederation", issuer)


def disabled():
    return iam._error(404, "FeatureDisabled", "Outbound identity federation is not enabled for this account.")


def disable(_parameters):
    issuer = issuer_of(get_account_id())
    if issuer is None:
        return disabled()
    del _issuers[issuer.host]
    return iam._xml(200, "DisableOutboundWebIdentityFederationResponse", "")


def show(_parameters):
    issuer = issuer_of(get_account_id())
    return federation("GetOutboundWebIdentityFederationInfo", issuer) if issuer else disabled()


add(iam._IAM_HANDLERS, "EnableOutboundWebIdentityFederation", enable)
add(iam._IAM_HANDLERS, "DisableOutboundWebIdentityFederation", disable)
add(iam._IAM_HANDLERS, "GetOutboundWebIdentityFederationInfo", show)


# --- The keys ---------------------------------------------------------------------------------------------------------

_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_tls.load_cert_chain(CERTIFICATE, KEY)


class Keys(http.server.BaseHTTPRequestHandler):
    """A proxy behind which are the issuers of the run under AWS's own names, with certificates of the run's authority."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_CONNECT(self) -> None:  # noqa: N802
        if not self.path.endswith(f".{ZONE}:443"):
            return self.send_error(403)
        self.send_response(200)
        self.end_headers()
        self.connection = _tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_GET(self) -> None:  # noqa: N802
        issuer = _issuers.get(self.headers.get("host", ""))
        if issuer is None or not isinstance(self.connection, ssl.SSLSocket) or self.path != "/.well-known/jwks.json":
            return self.send_error(404)
        body = json.dumps(issuer.key_set()).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Nothing: the proxy's clients say what they could not fetch."""


threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Keys).serve_forever, daemon=True).start()
