"""Long because it is one file to copy: a receiver of notices with each step of docs/notices.md, "Verify a notice".

    pip install standardwebhooks cloudevents "pyjwt[crypto]"
    python receiver.py --authority hawser.example.com --launches launches.json

`launches.json` is a list of what you issued: {"token", "externalId", "customerId", "expiresAt", "accountId", "ways"}. Put TLS before
it: stacks send to `https://<authority>/notices`.

Its memory is this process. In a service, `Receiver`'s dictionaries are tables, `lock` is a transaction, and old rows are deleted. It
leaves to you, see "Who speaks for a stack": to let AWS confirm connections and candidates (the speaker before then counts for a day),
take-overs by a new stack, and limits against strangers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from calendar import timegm
from dataclasses import dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

CONTRACT = "urn:hawser:notice:1"
MEDIA_TYPE = "application/cloudevents+json"
NOTICE_BYTES_MAX, STS_BYTES_MAX, KEYS_BYTES_MAX, TOKEN_BYTES_MAX = 64 * 1024, 8 * 1024, 32 * 1024, 8 * 1024
HOUR = 3600

ESTABLISHED, UPDATED, REMOVED = "hawser.connection.established", "hawser.connection.updated", "hawser.connection.removed"
ALIVE, STATUS = "hawser.connection.alive", "hawser.billing.status"
# The types that are known, in their order within one second.
RANKS = {ESTABLISHED: 0, ALIVE: 1, STATUS: 2, UPDATED: 3, REMOVED: 4}
SCHEDULED = {ALIVE, STATUS}

# Of each partition the suffix of its hosts, and the form of its Regions: no dot is in it, so a host stays below AWS's suffix.
PARTITIONS = {
    "aws": ("amazonaws.com", "(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]{1,12}-[0-9]{1,2}"),
    "aws-cn": ("amazonaws.com.cn", "cn-[a-z]{1,12}-[0-9]{1,2}"),
    "aws-us-gov": ("amazonaws.com", "us-gov-[a-z]{1,12}-[0-9]{1,2}"),
    "aws-eusc": ("amazonaws.eu", "eusc-de-[a-z]{1,12}-[0-9]{1,2}"),
}
UTC = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z"
STS_BODY = "Action=GetCallerIdentity&Version=2011-06-15"
STS_NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
HEADERS = {"authorization", "content-type", "host", "x-amz-date", "x-hawser-audience", "x-hawser-event-sha256"}
ISSUER = "https://[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[.]tokens[.]sts[.]global[.]api[.]aws"
# The algorithms of AWS STS, with the type of key that each needs.
ALGORITHMS = {"ES384": ("EC", "P-384"), "RS256": ("RSA", None)}

# The fields of `data` that this version knows. A set is an open enumeration, `"*"` stands for any name, `(None, …)` may be null.
TEXT, COUNT = str, int
FIRST = {"period": TEXT, "manifest": TEXT, "deliveredAt": TEXT}
DATA = {
    **dict.fromkeys(["accountId", "partition", "region", "stackId", "resource", "connectionName", "roleArn", "externalId"], TEXT),
    **dict.fromkeys(["accessKeySecretArn", "accessKeyId", "templateVersion", "handlerVersion"], TEXT),
    "way": {"stack", "direct"},
    "packs": {"*": {"ReadOnly", "ReadWrite"}},
    "regions": [TEXT],
    "organization": {
        "accountRole": {"management", "member", "standalone", "unknown"},
        **dict.fromkeys(["managementAccountId", "organizationId", "featureSet"], TEXT),
    },
    "billingExport": {
        "kind": {"None", "CostAndUsageReport", "CostAndUsageReport2", "Focus"},
        "format": {"Parquet", "Csv"},
        "compression": {"Parquet", "GZIP", "ZIP"},
        "refreshesClosedMonths": {"true", "false"},
        "versioning": {"OverwriteReport", "CreateNewReport"},
        "iamPrincipalData": {"true", "false"},
        "origin": {"created", "reused", "none"},
        **dict.fromkeys(["name", "arn", "bucketName", "bucketArn", "bucketRegion", "prefix"], TEXT),
        **dict.fromkeys(["decision", "firstDataDueBy", "backfill", "kmsKeyArn"], TEXT),
    },
}
BILLING_STATUS = {
    "state": {"waiting", "delivered", "stalled", "failed"},
    "checkedAt": TEXT,
    "dueBy": TEXT,
    "first": (None, FIRST),
    "latest": (None, {**FIRST, "files": COUNT, "bytes": COUNT}),
    "problem": (None, {"code": TEXT, "cause": TEXT, "nextStep": TEXT}),
}

# Why a notice is refused: status, meaning, next step. The customer reads them in the stack event.
REDEPLOY, AGAIN, UNCHANGED = "deploy again from a new launch link", "it can be sent again in a few seconds", "deploy the template unchanged"
PROBLEMS = {
    "media-type": (415, f"the content type is not `{MEDIA_TYPE}`", UNCHANGED),
    "notice-too-large": (413, "the notice is too large", "ask us"),
    "notice-malformed": (400, "the notice does not have the documented form", "deploy the newest version of the template"),
    "contract-version": (422, f"we take notices of `{CONTRACT}` only", "ask us which version of the template we support"),
    "notice-inconsistent": (422, "the notice contradicts itself", UNCHANGED),
    "signature-unknown": (401, "the signature is not of a launch of ours, or not of now", REDEPLOY),
    "launch-expired": (403, "the launch link has expired", REDEPLOY),
    "launch-replaced": (403, "the launch link was replaced by a newer one", "update the stack with the newer one's parameters"),
    "launch-used": (403, "the launch link was used by another stack", REDEPLOY),
    "launch-of-other-account": (403, "the launch link was made for another account", REDEPLOY),
    "launch-of-other-customer": (403, "the launch link was made for another customer", REDEPLOY),
    "way": (403, "the launch link is not for connections that are made this way", REDEPLOY),
    "external-id": (403, "the external ID is not the launch link's", "leave the parameter `ExternalId` as the link sets it"),
    "notice-id-reused": (409, "another notice had this id", "deploy again"),
    "proof-refused": (403, "the proof of identity is not one that we take", UNCHANGED),
    "token-refused": (403, "the token is not one that AWS STS made for this notice", UNCHANGED),
    "issuer-unavailable": (503, "the keys of the account's token issuer could not be fetched", AGAIN),
    "sts-refused": (403, "AWS STS did not accept the proof of identity", "deploy again"),
    "sts-unavailable": (503, "AWS STS could not be asked", AGAIN),
    "sts-answer": (502, "the answer of AWS STS is not usable", AGAIN),
    "identity-mismatch": (403, "AWS says that another principal sent the notice", UNCHANGED),
    "speaker": (403, "the notice was not sent by the stack's own handler", UNCHANGED),
    "connection-removed": (410, "the connection was removed", "deploy a new stack from a new launch link"),
    "connection-unknown": (404, "there is no such connection", "leave it, there is nothing to remove"),
    "status-of-unknown": (404, "there is no such connection", "update the stack, or deploy it again"),
    "status-of-removed": (410, "the connection was removed", "delete the stack, or deploy it again"),
}


class Refused(Exception):
    """Says what is wrong, and never repeats what the notice has there: it could be a signature."""

    def __init__(self, code: str, found: str = ""):
        self.code = code
        self.status, meaning, next_step = PROBLEMS[code]
        self.detail = f"{meaning}{': ' * bool(found)}{found}; {next_step}"
        super().__init__(self.detail)


def require(holds, code: str, found: str = "") -> None:
    if not holds:
        raise Refused(code, found)


@dataclass
class Launch:
    """What you issue for one launch link."""

    token: str
    external_id: str
    customer_id: str
    expires_at: float
    account_id: str = ""
    ways: tuple[str, ...] = ("stack",)
    # The stack that it connected, and until when it is this stack's.
    stack_id: str = ""
    until: float = math.inf

    @classmethod
    def read(cls, issued: dict) -> Launch:
        optional = issued.get("accountId", ""), tuple(issued.get("ways", ["stack"]))
        return cls(issued["token"], issued["externalId"], issued["customerId"], issued["expiresAt"], *optional)

    def is_bound_to(self, stack_id: str, now: float) -> bool:
        return self.stack_id == stack_id and now < self.until


@dataclass(frozen=True)
class Speaker:
    """A principal that AWS vouched for."""

    # Unique in AWS for ever; empty if only a token vouched.
    id: str
    # A role's name; empty of a user.
    role: str
    # Issuer, role and function, if a token vouched.
    bearer: tuple[str, str, str] | None = None

    def is_same(self, other: Speaker) -> bool:
        if self.id and other.id:
            return self.id == other.id
        return self.bearer is not None and self.bearer == other.bearer


@dataclass
class Notice:
    """A notice whose form is good: its parts agree with each other."""

    id: str
    type: str
    time: float
    stack_id: str
    stack: str
    partition: str
    region: str
    account: str
    data: dict
    status: dict | None
    # What each proof covers, and what makes two notices the same.
    digest: str
    fingerprint: str

    @property
    def position(self) -> tuple[float, int]:
        return self.time, RANKS.get(self.type, -1)


@dataclass
class Connection:
    customer_id: str
    way: str
    speaker: Speaker
    data: dict
    # The newest notice that described it, and the newest of all that came from CloudFormation.
    described: tuple[float, int]
    latest: tuple[float, int]
    removed_at: float | None = None
    # Another role that says it is the stack's handler, and its notice: it counts once AWS confirms it.
    candidate: tuple[Speaker, Notice] | None = None
    status: dict | None = None


# Step 3, first half: one document for all readers.


def read(body: bytes) -> dict:
    def names(pairs):
        require(len(dict(pairs)) == len(pairs) and all(name.isascii() for name, _ in pairs), "notice-malformed", "names")
        return dict(pairs)

    def whole(text):
        require(text != "-0" and len(text) <= 17 and abs(int(text)) < 2**53, "notice-malformed", "a number")
        return int(text)

    def refuse(_):
        raise Refused("notice-malformed", "a number")

    try:
        event = json.loads(body.decode(), object_pairs_hook=names, parse_int=whole, parse_float=refuse, parse_constant=refuse)
        require(depth(event) <= 16, "notice-malformed", "depth")
        json.dumps(event, ensure_ascii=False).encode()  # refuses half of a surrogate pair
    except (ValueError, RecursionError):
        raise Refused("notice-malformed") from None
    require(isinstance(event, dict), "notice-malformed")
    require(event.get("dataschema") == CONTRACT, "contract-version")
    return event


def depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def sha256(value) -> str:
    """Of the form of RFC 8785, which for what `read` lets through is this one."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


MISSING = object()


def known(value, shape):
    """What this version knows of a value. Unknown fields are dropped; what is missing, and an unknown word, is empty."""
    if isinstance(shape, tuple):
        return None if value is None or value is MISSING else known(value, shape[1])
    if isinstance(shape, dict):
        fields = {} if value is MISSING else value
        require(isinstance(fields, dict), "notice-malformed", "an object")
        names = fields if "*" in shape else shape
        return {name: known(fields.get(name, MISSING), shape.get("*") or shape[name]) for name in names}
    if isinstance(shape, list):
        items = [] if value is MISSING else value
        require(isinstance(items, list), "notice-malformed", "a list")
        return [known(item, shape[0]) for item in items]
    if shape is COUNT:
        count = 0 if value is MISSING else value
        require(type(count) is int and count >= 0, "notice-malformed", "a number")
        return count
    text = "" if value is MISSING else value
    require(isinstance(text, str), "notice-malformed", "a text")
    return text if shape is TEXT or text in shape else ""


# Step 3, second half.


def utc(text: str) -> float:
    try:
        require(re.fullmatch(UTC, text), "notice-malformed", "a time")
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refused("notice-malformed", "a time") from None


def check_format(event: dict, body: bytes, webhook_id: str, now: float) -> Notice:
    try:
        from_structured_event(HTTPMessage({"content-type": MEDIA_TYPE}, body))
    except Exception:  # the SDK has no one error for what is not an event
        raise Refused("notice-malformed", "not a CloudEvent") from None
    outer = known(event, dict.fromkeys(["specversion", "id", "source", "subject", "type", "time", "datacontenttype"], TEXT))
    data = known(event.get("data"), DATA)
    require(outer["specversion"] == "1.0" and outer["datacontenttype"] == "application/json", "notice-malformed")
    require(outer["id"] == webhook_id and re.fullmatch("[0-9a-f]{32}", webhook_id), "notice-inconsistent", "`id`")
    # One from the future would keep all honest ones after it from counting.
    require(utc(outer["time"]) <= now + 300, "notice-inconsistent", "`time` is in the future")
    partition, region, account, stack_id = (data[name] for name in ("partition", "region", "accountId", "stackId"))
    require(partition in PARTITIONS, "notice-malformed", "`partition`")
    require(re.fullmatch(PARTITIONS[partition][1], region), "notice-inconsistent", "`region`")
    require(re.fullmatch("[0-9]{12}", account), "notice-inconsistent", "`accountId`")
    stack = re.fullmatch(f"arn:{partition}:cloudformation:{region}:{account}:stack/([A-Za-z0-9-]+)/[A-Za-z0-9-]+", stack_id)
    require(stack and len(stack_id) <= 256, "notice-inconsistent", "`stackId`")
    require(outer["source"] == stack_id and outer["subject"] == account, "notice-inconsistent", "`source` or `subject`")
    require(1 <= len(data["resource"].encode()) <= 1024, "notice-inconsistent", "`resource`")
    is_role = re.fullmatch(f"arn:{partition}:iam::{account}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+", data["roleArn"])
    require(is_role or (data["roleArn"] == "" and outer["type"] == REMOVED), "notice-inconsistent", "`roleArn`")
    require("externalId" in event["data"], "notice-malformed", "`externalId`")
    status = None
    if outer["type"] == STATUS:
        status = known(event["data"].get("billingStatus"), BILLING_STATUS)
        require(utc(status["checkedAt"]) <= now + 300, "notice-inconsistent", "`checkedAt` is in the future")
    same = {name: value for name, value in data.items() if name != "organization" or outer["type"] not in SCHEDULED}
    return Notice(
        *(outer["id"], outer["type"], utc(outer["time"]), stack_id, stack[1], partition, region, account, data, status),
        digest=sha256({**event, "data": {name: value for name, value in event["data"].items() if name != "proofs"}}),
        fingerprint=sha256([outer["type"], stack_id, account, same]),
    )


# Step 4: the proofs, as far as they can be checked without asking anybody.


def proofs_of(data: dict) -> tuple[dict | None, str | None]:
    """The signed request and the token; kinds that are not known are skipped."""
    proofs = data.get("proofs")
    require(isinstance(proofs, list) and all(isinstance(proof, dict) for proof in proofs), "notice-malformed", "`proofs`")
    kinds = [proof.get("kind") for proof in proofs]
    require(all(isinstance(kind, str) for kind in kinds), "notice-malformed", "`proofs`")
    require(data.get("proofKinds", kinds) == kinds, "notice-inconsistent", "`proofKinds`")
    require(kinds.count("request") <= 1 and kinds.count("token") <= 1, "notice-malformed", "`proofs`")
    request, token = (next((proof for proof in proofs if proof["kind"] == kind), None) for kind in ("request", "token"))
    require(request or token, "proof-refused", "there is none of a kind that we know")
    require(token is None or isinstance(token.get("token"), str), "notice-malformed", "`proofs`")
    return request, token and token["token"]


def check_request(proof: dict, notice: Notice, authority: str, now: float) -> tuple[str, dict]:
    """The one URL that the request may have, and its headers. They are a stranger's, so they must be exactly the expected ones."""
    host = f"sts.{notice.region}.{PARTITIONS[notice.partition][0]}"
    url, headers = f"https://{host}/", proof.get("headers")
    require(proof.get("method") == "POST" and proof.get("body") == STS_BODY and proof.get("url") == url, "proof-refused", "request")
    require(isinstance(headers, dict) and set(headers) - {"x-amz-security-token"} == HEADERS, "proof-refused", "headers")
    legal = (isinstance(value, str) and re.fullmatch("[ -~]{1,8192}", value) for value in headers.values())
    require(all(legal), "proof-refused", "headers")
    require(headers["content-type"] == "application/x-www-form-urlencoded" and headers["host"] == host, "proof-refused", "headers")
    require(headers["x-hawser-audience"] == authority, "proof-refused", "it was made for another vendor")
    require(headers["x-hawser-event-sha256"] == notice.digest, "proof-refused", "it covers another event")
    date = headers["x-amz-date"]
    require(re.fullmatch("[0-9]{8}T[0-9]{6}Z", date), "proof-refused", "date")
    try:
        age = now - timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refused("proof-refused", "date") from None
    require(-300 <= age <= 900, "proof-refused", "it is older than 15 minutes, or from the future")
    signed = ";".join(sorted(set(headers) - {"authorization"}))
    form = (
        f"AWS4-HMAC-SHA256 Credential=[A-Za-z0-9]+/{date[:8]}/{notice.region}/sts/aws4_request, "
        f"SignedHeaders={signed}, Signature=[0-9a-f]{{64}}"
    )
    require(re.fullmatch(form, headers["authorization"]), "proof-refused", "authorization")
    return url, headers


# Steps 6 and 7: AWS's word.


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def fetch(request: urllib.request.Request, bytes_max: int) -> tuple[int, bytes]:
    """Status and body of an answer; a redirect is one, too."""
    try:
        with urllib.request.build_opener(NoRedirects).open(request, timeout=4) as answer:
            status, body = answer.status, answer.read(bytes_max + 1)
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read(bytes_max + 1)
    return (status, body) if len(body) <= bytes_max else (502, b"")


def ask_sts(url: str, headers: dict) -> tuple[int, str]:
    """Sends the request: `url` is what `check_request` made. An OSError says that nobody answered."""
    status, body = fetch(urllib.request.Request(url, STS_BODY.encode(), headers, method="POST"), STS_BYTES_MAX)
    return status, body.decode(errors="replace")


def fetch_keys(issuer: str) -> dict | None:
    """The key set of a token issuer, or None if it cannot be had."""
    try:
        status, body = fetch(urllib.request.Request(f"{issuer}/.well-known/jwks.json"), KEYS_BYTES_MAX)
        return json.loads(body) if status == 200 else None
    except (OSError, ValueError):
        return None


def speaker_of(status: int, text: str, notice: Notice) -> Speaker:
    """Who signed the request, as AWS STS says."""
    if status != 200:
        busy = status == 429 or status >= 500 or re.search("<Code>(Throttling|ThrottlingException|RequestLimitExceeded)</Code>", text)
        raise Refused("sts-unavailable" if busy else "sts-refused" if status >= 400 else "sts-answer")
    try:
        require("<!" not in text, "sts-answer")
        root = ElementTree.fromstring(text)
        results = root.findall(f"{STS_NAMESPACE}GetCallerIdentityResult")
        require(root.tag == f"{STS_NAMESPACE}GetCallerIdentityResponse" and len(results) == 1, "sts-answer")
        fields = [(child.tag.removeprefix(STS_NAMESPACE), child.text or "") for child in results[0]]
        require(sorted(name for name, _ in fields) == ["Account", "Arn", "UserId"], "sts-answer")
    except (ElementTree.ParseError, ValueError):
        raise Refused("sts-answer") from None
    identity, account, partition = dict(fields), notice.account, notice.partition
    require(identity["Account"] == account, "identity-mismatch", "another account")
    unique_id, _, name = identity["UserId"].partition(":")
    session = re.fullmatch(f"arn:{partition}:sts::{account}:assumed-role/([^/]+)/([^/]+)", identity["Arn"])
    if session and unique_id.startswith("AROA") and name == session[2]:
        return Speaker(unique_id, session[1])
    user = re.fullmatch(f"arn:{partition}:iam::{account}:user(/[^/]+)+", identity["Arn"])
    require(user and unique_id.startswith("AIDA") and not name, "identity-mismatch", "neither a role's session nor a user")
    return Speaker(unique_id, "")


def is_handler_role(name: str, stack: str) -> bool:
    kept = range(34, 41) if len(stack) > 38 else [len(stack)]
    return any(re.fullmatch(re.escape(stack[:chars]) + "-HandlerRole-[A-Za-z0-9]{10,16}", name) for chars in kept)


class Issuers:
    """The key sets of token issuers. One that was fetched is kept until a newer one can be had."""

    def __init__(self, fetch_keys):
        self.fetch_keys, self.sets, self.tried, self.fetched = fetch_keys, {}, {}, {}

    def keys(self, issuer: str, key_id: str, now: float) -> list | None:
        has_it = any(key.get("kid") == key_id for key in self.sets.get(issuer, []))
        if not (has_it and now - self.fetched[issuer] < 6 * HOUR) and now - self.tried.get(issuer, -math.inf) >= 10:
            self.tried[issuer] = now
            keys = (self.fetch_keys(issuer) or {}).get("keys")
            if isinstance(keys, list) and 1 <= len(keys) <= 16 and all(isinstance(key, dict) for key in keys):
                self.sets[issuer], self.fetched[issuer] = keys, now
        # A set that lacks the key says something of the token only where it is the newest.
        has_it = any(key.get("kid") == key_id for key in self.sets.get(issuer, []))
        return self.sets.get(issuer) if has_it or self.fetched.get(issuer) == self.tried.get(issuer) else None


def check_token(token: str, notice: Notice, authority: str, issuers: Issuers, now: float) -> tuple[str, tuple] | None:
    """The token's id, and whom it vouches for; None if the issuer's keys cannot be had."""
    try:
        require(len(token) <= TOKEN_BYTES_MAX, "token-refused", "too large")
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        algorithm, key_id = unverified["header"].get("alg"), unverified["header"].get("kid")
        issuer = unverified["payload"].get("iss")
        require(algorithm in ALGORITHMS and isinstance(key_id, str), "token-refused", "algorithm or key")
        require(isinstance(issuer, str) and re.fullmatch(ISSUER, issuer), "token-refused", "issuer")
        keys = issuers.keys(issuer, key_id, now)
        if keys is None:
            return None
        fits = (
            key
            for key in keys
            if key.get("kid") == key_id
            and key.get("use", "sig") == "sig"
            and (key.get("kty"), key.get("crv")) == ALGORITHMS[algorithm]
        )
        key = next(fits, None)
        require(key, "token-refused", "its key is not its issuer's")
        claims = jwt.decode(
            token,
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            audience=authority,
            issuer=issuer,
            leeway=60,
            options={"require": ["iss", "sub", "aud", "iat", "exp", "jti"]},
        )
    except jwt.PyJWTError:
        raise Refused("token-refused") from None
    require(claims["aud"] in (authority, [authority]), "token-refused", "audience")
    require(now - claims["iat"] <= 300 + 60, "token-refused", "older than five minutes")
    require(isinstance(claims["jti"], str) and 1 <= len(claims["jti"]) <= 256, "token-refused", "id")
    aws, subject = claims.get("https://sts.amazonaws.com/"), claims["sub"]
    require(isinstance(aws, dict) and aws.get("aws_account") == notice.account, "token-refused", "another account's")
    role = re.fullmatch(f"arn:{notice.partition}:iam::{notice.account}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+", subject)
    require(role, "token-refused", "its subject is not a role of the account")
    require(aws.get("subject_mode", "AWSIdentity") == "AWSIdentity", "token-refused", "its subject is of the sender's choice")
    require(aws.get("principal_id", subject) == subject, "token-refused", "its subject is not who asked for it")
    tags = aws.get("request_tags")
    require(isinstance(tags, dict) and tags.get("hawser-event-sha256") == notice.digest, "token-refused", "it covers another event")
    function = ""
    if "lambda_source_function_arn" in aws:
        arn = f"arn:{notice.partition}:lambda:{notice.region}:{notice.account}:function:([A-Za-z0-9_-]+)(:[!-~]+)?"
        found = re.fullmatch(arn, str(aws["lambda_source_function_arn"]))
        require(found, "token-refused", "another account's or Region's function")
        function = found[1]
    return claims["jti"], (issuer, subject, function)


class Receiver:
    """All steps, and what is remembered between notices."""

    def __init__(self, authority: str, launches: list[Launch], ask_sts=ask_sts, fetch_keys=fetch_keys):
        self.authority, self.launches, self.ask_sts, self.issuers = authority, launches, ask_sts, Issuers(fetch_keys)
        self.lock = threading.Lock()
        self.connections: dict[str, Connection] = {}
        # Notice id to fingerprint and answer; token id to notice id; issuer to account; stack and resource to a removal that came first.
        self.accepted: dict[str, tuple[str, dict]] = {}
        self.tokens: dict[str, str] = {}
        self.issuer_accounts: dict[str, str] = {}
        self.removals: dict[tuple[str, str, str], tuple[float, int]] = {}

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, str, dict]:
        """One notice in; status, content type and JSON out. Only who read the notice can repeat its id, which the stack checks."""
        try:
            return 200, "application/json", self.take({name.lower(): value for name, value in headers.items()}, body)
        except Refused as refused:
            problem = {"type": f"urn:hawser:problem:{refused.code}", "title": "The notice is refused"}
            return refused.status, "application/problem+json", {**problem, "status": refused.status, "detail": refused.detail}

    def take(self, headers: dict[str, str], body: bytes) -> dict:
        now = time.time()
        require(len(body) <= NOTICE_BYTES_MAX, "notice-too-large")
        require(headers.get("content-type", "").split(";")[0].strip().lower() == MEDIA_TYPE, "media-type")
        event = read(body)
        launch = self.verify_signature(headers, body, event)
        notice = check_format(event, body, headers["webhook-id"], now)
        proof, token = proofs_of(event["data"])
        request = proof and check_request(proof, notice, self.authority, now)
        with self.lock:
            if answer := self.admit(launch, notice, now):
                return answer
        speaker, token_id = self.prove(notice, request, token, now)
        if notice.type not in RANKS:
            return acknowledgment(notice, "ignored: we do not know notices of this type yet", connection_id="")
        with self.lock:
            # It may have come twice at once.
            if answer := self.admit(launch, notice, now):
                return answer
            if token_id:
                self.admit_token(token_id, notice, speaker)
            answer = acknowledgment(notice, self.store(launch, notice, speaker, now))
            self.accepted[notice.id] = notice.fingerprint, answer
            if token_id:
                self.tokens[token_id] = notice.id
                if speaker.id:
                    self.issuer_accounts[speaker.bearer[0]] = notice.account
            return answer

    def verify_signature(self, headers: dict[str, str], body: bytes, event: dict) -> Launch:
        """Step 2: the launch whose token signed the body. The names in it are only keys to look up here."""
        data = event["data"] if isinstance(event.get("data"), dict) else {}
        for launch in self.launches:
            if launch.external_id == data.get("externalId") or (launch.stack_id and launch.stack_id == data.get("stackId")):
                try:
                    Webhook(launch.token).verify(body, headers, json_parse=False)
                    return launch
                except (WebhookVerificationError, ValueError):
                    continue
        raise Refused("signature-unknown")

    def admit(self, launch: Launch, notice: Notice, now: float) -> dict | None:
        """Step 5: the earlier answer to the same notice, or whether this launch may say this."""
        if prior := self.accepted.get(notice.id):
            require(prior[0] == notice.fingerprint, "notice-id-reused")
            return prior[1]
        connection, removal, scheduled = self.connections.get(notice.stack_id), notice.type == REMOVED, notice.type in SCHEDULED
        if removal and connection is None:
            require(way_of(notice, None) in launch.ways, "way")
            return None
        external_id = notice.data["externalId"]
        require(external_id == launch.external_id or (removal and not external_id), "external-id")
        require(connection is None or connection.customer_id == launch.customer_id, "launch-of-other-customer")
        bound = launch.is_bound_to(notice.stack_id, now)
        require(connection or bound or not scheduled, "status-of-unknown")
        require(bound or not (removal or scheduled), "launch-used")
        if connection and connection.removed_at is not None and not removal:
            require(not scheduled, "status-of-removed")
            require(now < connection.removed_at + 15 * 60, "connection-removed")
        require(way_of(notice, connection) in launch.ways, "way")
        require(connection is None or connection.way == way_of(notice, connection), "way")
        require(launch.account_id in ("", notice.account), "launch-of-other-account")
        if not bound:
            require(launch.stack_id != notice.stack_id, "launch-replaced")
            require(not launch.stack_id, "launch-used")
            require(now < launch.expires_at, "launch-expired")
        return None

    def prove(self, notice: Notice, request: tuple | None, token: str | None, now: float) -> tuple[Speaker, str | None]:
        """Every proof that is there must hold, and all name one role."""
        speaker, attested = None, None
        if request:
            try:
                speaker = speaker_of(*self.ask_sts(*request), notice)
            except OSError:
                raise Refused("sts-unavailable") from None
        if token:
            attested = check_token(token, notice, self.authority, self.issuers, now)
        if attested is None:
            require(speaker, "issuer-unavailable")
            return speaker, None
        token_id, bearer = attested
        role = bearer[1].rsplit("/", 1)[1]
        require(speaker is None or speaker.role == role, "token-refused", "it names another role than the request")
        return replace(speaker or Speaker("", role), bearer=bearer), token_id

    def store(self, launch: Launch, notice: Notice, speaker: Speaker, now: float) -> str:
        """Step 8: who speaks for the stack, then what the notice changes. Returns a sentence for the stack event."""
        connection, position = self.connections.get(notice.stack_id), notice.position
        if connection is None:
            way = way_of(notice, None)
            require(way == "direct" or is_handler_role(speaker.role, notice.stack), "speaker")
            place = launch.token, notice.stack_id, notice.data["resource"]
            if notice.type == REMOVED:
                # Its creation may still come; in a table, at most 16 of a launch for 24 hours.
                self.removals[place] = max(position, self.removals.get(place, position))
                raise Refused("connection-unknown")
            self.bind(launch, notice.stack_id, now)
            latest = max(position, self.removals.pop(place, position))
            removed_at = now if latest != position else None
            connection = Connection(launch.customer_id, way, speaker, notice.data, position, latest, removed_at)
            connection.status = notice.status
            self.connections[notice.stack_id] = connection
            return "stored, but this stack has already been removed" if removed_at else "connected"

        if not connection.speaker.is_same(speaker):
            may_ask = connection.way == "stack" and notice.type == UPDATED and launch.until == math.inf
            has_token = speaker.bearer or not connection.speaker.bearer
            require(may_ask and has_token and is_handler_role(speaker.role, notice.stack), "speaker")
            connection.candidate = speaker, notice
            return "stored; it counts once AWS confirms that the role which sent it is this stack's"
        if notice.type == REMOVED:
            if connection.data["resource"] != notice.data["resource"]:
                return "ignored: another resource of this stack describes the connection"
            if position < connection.latest:
                return "stored, but a newer notice of this stack takes precedence"
            connection.latest, connection.removed_at = position, connection.removed_at or now
            return "disconnected"
        if notice.status and not (connection.status and utc(connection.status["checkedAt"]) > utc(notice.status["checkedAt"])):
            connection.status = notice.status
        if position < connection.described:
            return "stored, but a newer notice of this stack takes precedence"
        # What it was known by before, it is known by from now on as well.
        before = connection.speaker
        connection.speaker = replace(speaker, id=speaker.id or before.id, bearer=speaker.bearer or before.bearer)
        connection.data, connection.described = notice.data, position
        if notice.type in SCHEDULED:
            return "stored"
        self.bind(launch, notice.stack_id, now)
        connection.latest = max(position, connection.latest)
        if connection.latest != position:
            return "stored, but this stack has already been removed"
        connection.removed_at = None
        return "connected"

    def admit_token(self, token_id: str, notice: Notice, speaker: Speaker) -> None:
        """A token is good once, and an issuer is one account's: of the first that it came with, beside a request that AWS vouched for."""
        require(self.tokens.get(token_id, notice.id) == notice.id, "token-refused", "it was used before")
        owner = self.issuer_accounts.get(speaker.bearer[0], notice.account)
        require(owner == notice.account, "token-refused", "its issuer is another account's")

    def bind(self, launch: Launch, stack_id: str, now: float) -> None:
        """The launch is this stack's; one that was before stays valid for a day, because the update may be rolled back."""
        for other in self.launches:
            if other is not launch and other.stack_id == stack_id:
                other.until = min(other.until, now + 24 * HOUR)
        launch.stack_id, launch.until = stack_id, math.inf


def way_of(notice: Notice, connection: Connection | None) -> str:
    """What is not `direct` has the stricter rules."""
    if connection and not notice.data["way"]:
        return connection.way
    return notice.data["way"] or "stack"


def acknowledgment(notice: Notice, message: str, connection_id: str | None = None) -> dict:
    if connection_id is None:
        connection_id = "con-" + hashlib.sha256(notice.stack_id.encode()).hexdigest()[:20]
    return {"noticeId": notice.id, "connectionId": connection_id, "message": message}


def server(receiver: Receiver, host: str, port: int) -> ThreadingHTTPServer:
    """A small server, for behind one that ends TLS."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self):
            length = self.headers.get("content-length", "")
            if self.path != "/notices" or not re.fullmatch("[0-9]{1,9}", length):
                return self.send_error(404 if self.path != "/notices" else 411)
            # One byte over the limit is enough to know.
            body = self.rfile.read(min(int(length), NOTICE_BYTES_MAX + 1))
            status, media_type, answer = receiver.answer(dict(self.headers), body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(text)))
            if status == 503:
                self.send_header("retry-after", "2")
            self.end_headers()
            self.wfile.write(text)

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--authority", required=True, help="host of your notice URL, and the port unless it is 443")
    arguments.add_argument("--launches", required=True, help="a JSON file")
    arguments.add_argument("--port", type=int, default=8080)
    options = arguments.parse_args()
    with open(options.launches) as file:
        launches = [Launch.read(launch) for launch in json.load(file)]
    server(Receiver(options.authority, launches), "127.0.0.1", options.port).serve_forever()


if __name__ == "__main__":
    main()
