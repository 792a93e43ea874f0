"""The receivers of docs/examples/receiver, in Python and JavaScript, do the same: what the kept notices say, and what docs/notices.md says.

Every notice goes over HTTP to both, each with its own copy of the official libraries. Only AWS STS, the keys of issuers and the clock are
the tests'. The schema and what is kept and shown is read by jsonschema and by Ajv in strict mode. `make receivers-test` runs it.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import http.client
import http.server
import json
import subprocess
import sys
import threading
import unittest
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import jwt
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs/notices/v1"
sys.path.insert(0, str(ROOT / "docs/examples/receiver"))

import receiver  # noqa: E402

PROBLEM = "urn:hawser:problem:"
ISSUER = "https://00000009-1111-4222-8333-444455556666.tokens.sts.global.api.aws"
KEY = ec.generate_private_key(ec.SECP384R1())
KEY_ID = "test"


def setUpModule():
    """No line for each request."""
    http.server.BaseHTTPRequestHandler.log_message = lambda *_: None


def javascript(**what) -> dict:
    command = ["node", ROOT / ".cache/receivers/harness.mjs"]
    return json.loads(subprocess.run(command, input=json.dumps(what), check=True, capture_output=True, text=True).stdout)


def python(case: dict) -> list[dict]:
    """The answers to the notices of one case, one after the other, over HTTP."""
    now = {}

    def ask(*_):
        if now["sts"] is None:
            raise OSError("nobody answers")
        return now["sts"]["status"], now["sts"]["text"]

    launches = [receiver.Launch.read(launch) for launch in case["launches"]]
    server = receiver.server(receiver.Receiver(case["authority"], launches, ask, lambda _: now["keys"]), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    answers = []
    for now in case["steps"]:
        with time_machine.travel(now["clock"], tick=False):
            client = http.client.HTTPConnection(*server.server_address, timeout=10)
            client.request("POST", "/notices", base64.b64decode(now["body"]), now["headers"])
            answer = client.getresponse()
            answers.append({"status": answer.status, "type": answer.headers["content-type"], "answer": json.load(answer)})
            client.close()
    server.shutdown()
    server.server_close()
    return answers


class Notice:
    """A kept notice, to be changed, proven again as far as that takes no key of AWS's, and signed again."""

    def __init__(self, name: str):
        self.case = json.loads((KEPT / name / "case.json").read_text())
        self.body = (KEPT / name / "body.json").read_bytes()
        self.event = json.loads(self.body)
        self.headers, self.token = dict(self.case["headers"]), self.case["token"]
        self.clock = int(datetime.fromisoformat(self.case["clock"]).timestamp())
        sts = self.case["sts"]
        self.sts, self.keys = {"status": sts["status"], "text": sts["body"]}, self.case.get("keys")

    @property
    def request(self) -> dict:
        return next(proof for proof in self.event["data"]["proofs"] if proof["kind"] == "request")

    def digest(self) -> str:
        data = {name: value for name, value in self.event["data"].items() if name != "proofs"}
        text = json.dumps({**self.event, "data": data}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def prove(self) -> Notice:
        self.request["headers"]["x-hawser-event-sha256"] = self.digest()
        return self

    def sign(self, body: bytes | None = None) -> Notice:
        self.body = json.dumps(self.event, ensure_ascii=False).encode() if body is None else body
        at = int(self.headers["webhook-timestamp"])
        moment = datetime.fromtimestamp(at, timezone.utc)
        signature = Webhook(self.token).sign(self.headers["webhook-id"], moment, self.body.decode(errors="replace"))
        self.headers["webhook-signature"] = signature
        return self

    def later(self, seconds: int, type_: str, id_: str) -> Notice:
        """The same stack's next notice."""
        at = datetime.fromtimestamp(self.clock + seconds, timezone.utc)
        self.clock += seconds
        self.headers |= {"webhook-id": id_, "webhook-timestamp": str(self.clock)}
        self.event |= {"type": type_, "id": id_, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        headers = self.request["headers"]
        day = headers["x-amz-date"][:8]
        headers["x-amz-date"] = at.strftime("%Y%m%dT%H%M%SZ")
        headers["authorization"] = headers["authorization"].replace(f"/{day}/", f"/{headers['x-amz-date'][:8]}/")
        return self

    def step(self) -> dict:
        body = base64.b64encode(self.body).decode()
        return {"clock": self.clock, "headers": self.headers, "body": body, "sts": self.sts, "keys": self.keys}

    def launch(self, **changes) -> dict:
        launch = {"token": self.token, "externalId": self.case["externalId"], "customerId": "customer-4711"}
        return {**launch, "expiresAt": self.clock + receiver.HOUR, "accountId": "", "ways": ["stack", "direct"], **changes}


def established(change=lambda event: None) -> Notice:
    """The first notice of a stack, with a change that its proof covers."""
    notice = Notice("established")
    change(notice.event)
    return notice.prove().sign()


def case(*notices: Notice, launches: list[dict] | None = None) -> dict:
    last = notices[-1]
    return {
        "authority": last.case["authority"],
        "launches": [last.launch()] if launches is None else launches,
        "steps": [notice.step() for notice in notices],
    }


def outcome(answer: dict, notice_id: str) -> int | str:
    """200, or the code of the refusal."""
    if answer["status"] == 200:
        assert answer["type"] == "application/json" and answer["answer"]["noticeId"] == notice_id, answer
        return 200
    assert answer["type"] == "application/problem+json", answer
    assert answer["answer"]["status"] == answer["status"] and answer["answer"]["detail"], answer
    return answer["answer"]["type"].removeprefix(PROBLEM)


class Receivers(unittest.TestCase):
    def check(self, expected: list[tuple[str, dict, list]]) -> None:
        """Both receivers have these outcomes: each a case with its name and one outcome for each of its notices."""
        answers = javascript(cases=[one for _, one, _ in expected])["answers"]
        self.assertEqual(len(answers), len(expected))
        for (name, one, outcomes), of_javascript in zip(expected, answers):
            with self.subTest(name):
                ids = [step["headers"].get("webhook-id") for step in one["steps"]]
                of_python = python(one)
                self.assertEqual([outcome(*pair) for pair in zip(of_python, ids)], outcomes, f"Python: {of_python}")
                self.assertEqual([outcome(*pair) for pair in zip(of_javascript, ids)], outcomes, f"JavaScript: {of_javascript}")
                self.assertEqual([answer["status"] for answer in of_python], [answer["status"] for answer in of_javascript])

    def test_kept_notices_are_answered_as_they_were(self):
        names = sorted(folder.name for folder in KEPT.iterdir() if folder.is_dir())
        self.assertGreaterEqual(len(names), 20)
        cases, expected = [], []
        for name in names:
            last = Notice(name)
            cases.append(case(*map(Notice, last.case["after"]), last))
            answer = last.case["answer"]
            is_good = answer["status"] == 200
            expected.append((answer["status"], answer["body"]["connectionId"] if is_good else answer["body"]["type"]))
        for language, answers in (("Python", map(python, cases)), ("JavaScript", javascript(cases=cases)["answers"])):
            for name, (status, word), all_ in zip(names, expected, answers):
                with self.subTest(f"{language}: {name}"):
                    self.assertEqual({answer["status"] for answer in all_[:-1]} - {200}, set())
                    found = all_[-1]["answer"]
                    self.assertEqual((all_[-1]["status"], found.get("connectionId", found.get("type"))), (status, word), found)

    def test_what_was_tampered_with_is_refused(self):
        cases = []
        for name in ("established", "established-token", "future", "minimal", "established-direct"):
            byte, key, stale, kind, big = (Notice(name) for _ in range(5))
            byte.body += b" "
            key.token = "whsec_" + base64.b64encode(b"k" * 32).decode()
            key.sign()
            stale.clock += 301
            kind.headers["content-type"] = "application/json"
            big.sign(big.body + b" " * (64 * 1024 + 1 - len(big.body)))
            launch = Notice(name).launch()
            for what, notice, code in (
                ("another body", byte, "signature-unknown"),
                ("another token", key, "signature-unknown"),
                ("late", stale, "signature-unknown"),
                ("another content type", kind, "media-type"),
                ("too large", big, "notice-too-large"),
            ):
                cases.append((f"{name}: {what}", case(notice, launches=[launch]), [code]))
            full = Notice(name)
            full.sign(full.body + b" " * (64 * 1024 - len(full.body)))
            cases.append((f"{name}: the largest", case(full), [200]))
        # Whoever has the launch token can sign anything; the proof is of one event only.
        for pointer, value, code in (
            ("type", "hawser.connection.updated", "proof-refused"),
            ("time", "2026-11-22T10:00:01Z", "proof-refused"),
            ("time", "2026-11-22T11:00:00+01:00", "notice-malformed"),
            ("time", "2026-13-22T10:00:00Z", "notice-malformed"),
            ("time", "2026-11-22T10:06:00Z", "notice-inconsistent"),
            ("source", "https://example.com", "notice-inconsistent"),
            ("subject", "999999999999", "notice-inconsistent"),
            ("specversion", "0.3", "notice-malformed"),
            ("dataschema", "urn:hawser:notice:2", "contract-version"),
            ("datacontenttype", "text/plain", "notice-malformed"),
            ("id", "0" * 32, "notice-inconsistent"),
            ("Later", "x", "notice-malformed"),
            ("data.connectionName", "other", "proof-refused"),
            ("data.later", {"a": 1}, "proof-refused"),
            ("data.accountId", "999999999999", "notice-inconsistent"),
            ("data.accountId", "111122223333\n", "notice-inconsistent"),
            ("data.partition", "aws-later", "notice-malformed"),
            ("data.region", "cn-north-1", "notice-inconsistent"),
            ("data.region", "eu-west-1.example.com/", "notice-inconsistent"),
            ("data.roleArn", "arn:aws:iam::999999999999:role/x", "notice-inconsistent"),
            ("data.roleArn", "", "notice-inconsistent"),
            ("data.resource", "", "notice-inconsistent"),
            ("data.externalId", "other", "signature-unknown"),
            ("data.regions", "eu-west-1", "notice-malformed"),
            ("data.packs", {"billing": True}, "notice-malformed"),
            ("data.organization", None, "notice-malformed"),
            ("data.proofKinds", ["token"], "notice-inconsistent"),
            ("data.proofs", {}, "notice-malformed"),
            ("data.proofs", [], "notice-inconsistent"),
            ("data.proofs", [{"kind": 1}], "notice-malformed"),
            ("data.proofs", [{"kind": "token"}], "notice-inconsistent"),
            ("data.proofs.0.kind", "token", "notice-inconsistent"),
            ("data.proofs.0.url", "https://sts.example.com/", "proof-refused"),
            ("data.proofs.0.url", "http://sts.eu-west-1.amazonaws.com/", "proof-refused"),
            ("data.proofs.0.url", "https://sts.eu-west-1.amazonaws.com:443/", "proof-refused"),
            ("data.proofs.0.url", "https://sts.us-east-1.amazonaws.com/", "proof-refused"),
            ("data.proofs.0.method", "GET", "proof-refused"),
            ("data.proofs.0.body", "Action=AssumeRole&Version=2011-06-15", "proof-refused"),
            ("data.proofs.0.headers", None, "proof-refused"),
            ("data.proofs.0.headers.accept", "application/json", "proof-refused"),
            ("data.proofs.0.headers.Host", "sts.eu-west-1.amazonaws.com", "proof-refused"),
            ("data.proofs.0.headers.host", "sts.example.com", "proof-refused"),
            ("data.proofs.0.headers.content-type", "application/json", "proof-refused"),
            ("data.proofs.0.headers.x-hawser-audience", "evil.example.com", "proof-refused"),
            ("data.proofs.0.headers.x-hawser-event-sha256", "0" * 64, "proof-refused"),
            ("data.proofs.0.headers.x-amz-security-token", "a\r\nb: c", "proof-refused"),
            ("data.proofs.0.headers.x-amz-security-token", "x" * 8193, "proof-refused"),
            ("data.proofs.0.headers.x-amz-date", "20261122T094459Z", "proof-refused"),
            ("data.proofs.0.headers.x-amz-date", "20261122T100503Z", "proof-refused"),
            ("data.proofs.0.headers.x-amz-date", "20261322T100000Z", "proof-refused"),
            ("data.proofs.0.headers.x-amz-date", "2026-11-22T10:00:00Z", "proof-refused"),
            ("data.proofs.0.headers.x-amz-date", "20261122T10000Z", "proof-refused"),
            ("data.proofs.0.headers.authorization", "AWS4-HMAC-SHA256 x", "proof-refused"),
        ):
            notice = Notice("established")
            *path, last = (int(name) if name.isdigit() else name for name in pointer.split("."))
            holder = notice.event
            for name in path:
                holder = holder[name]
            holder[last] = value
            cases.append((f"{pointer}: {value}"[:80], case(notice.sign(), launches=[Notice("established").launch()]), [code]))
        for old, new in ((";x-hawser-audience", ""), ("/sts/", "/s3/"), ("/eu-west-1/", "/us-east-1/"), ("/20261122/", "/20261121/")):
            notice = Notice("established")
            headers = notice.request["headers"]
            headers["authorization"] = headers["authorization"].replace(old, new, 1)
            cases.append((f"authorization without {old}", case(notice.sign()), ["proof-refused"]))
        signed = Notice("established")
        headers = signed.request["headers"]
        headers |= {"accept": "x", "authorization": headers["authorization"].replace("SignedHeaders=", "SignedHeaders=accept;")}
        cases.append(("a header more, and signed", case(signed.sign()), ["proof-refused"]))
        empty = established(lambda event: event["data"].update(proofKinds=["token"]))
        empty.event["data"]["proofs"] = [{"kind": "token"}]
        cases.append(("a token that is none", case(empty.sign()), ["notice-malformed"]))
        # Names that agree with each other, and are none.
        for old, new in (
            ("eu-west-1", "cn-north-1"),
            ("eu-west-1", "eu-west-1.example.com"),
            ("111122223333", "11112222333"),
            ("stack/hawser/", f"stack/{'a' * 200}/"),
        ):
            notice = Notice("established")
            notice.event = json.loads(json.dumps(notice.event).replace(old, new))
            cases.append((f"{old}: {new}"[:60], case(notice.prove().sign()), ["notice-inconsistent"]))
        for name, value, code in (
            ("checkedAt", "", "notice-malformed"),
            ("checkedAt", "2026-11-22T25:00:00Z", "notice-malformed"),
            ("checkedAt", "2026-11-22T17:06:00Z", "notice-inconsistent"),
            ("state", None, "notice-malformed"),
            ("latest", [], "notice-malformed"),
            ("latest", {"files": -1}, "notice-malformed"),
            ("latest", {"bytes": "1"}, "notice-malformed"),
            ("later", {}, 200),
        ):
            notice = Notice("status-delivered")
            notice.event["data"]["billingStatus"][name] = value
            launches = [Notice("established").launch()]
            cases.append((f"{name}: {value}", case(Notice("established"), notice.prove().sign(), launches=launches), [200, code]))
        twice = Notice("established")
        twice.event["data"] |= {"proofs": twice.event["data"]["proofs"] * 2, "proofKinds": ["request"] * 2}
        cases.append(("two requests", case(twice.sign()), ["notice-malformed"]))
        self.check(cases)

    def test_what_a_later_handler_may_send_is_taken(self):
        def everywhere(event):
            event["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            data = event["data"]
            for holder in (data, data["organization"], data["billingExport"]):
                holder["later"] = [{"": [None, True, -(2**53 - 1), "é\u007f\u0001\U0001f600"]}]

        def words(event):
            event["data"] |= {"way": "pipeline", "packs": {"quantum": "WriteOnly"}}
            event["data"]["organization"]["accountRole"] = "later"
            event["data"]["billingExport"] |= {"kind": "later", "format": "later", "origin": "later"}

        def less(event):
            names = "accountId partition region stackId resource externalId roleArn proofs".split()
            event["data"] = {name: event["data"][name] for name in names}

        unknown_type = established().later(60, "hawser.connection.rotated", "1" * 32).prove().sign()
        self.check(
            [
                ("fields", case(established(everywhere)), [200]),
                ("words", case(established(words)), [200]),
                ("less", case(established(less)), [200]),
                ("a type, after and before the connection", case(established(), unknown_type), [200, 200]),
                ("a type alone", case(unknown_type), [200]),
            ]
        )
        described = receiver.known(established(words).event["data"], receiver.DATA)
        self.assertEqual((described["way"], described["packs"]), ("", {"quantum": ""}))

    def test_all_readers_see_the_same_document(self):
        text = Notice("established").event["data"]
        nested = "[" * 14 + "0" + "]" * 14  # below the event and its data
        values = {
            **dict.fromkeys(["0", "-1", "null", "9007199254740991", '"\\ud83d\\ude00"', '{"a":1}', "true", "[[], {}]", nested], True),
            **dict.fromkeys(["9007199254740992", "-9007199254740992", "1.0", "1e3", "-0", "NaN", "-Infinity", "01"], False),
            **dict.fromkeys(['"\\ud800"', '{"a":1,"a":1}', '{"é":1}', '{"\\u0061":1,"a":1}', f"[{nested}]", "[" * 9999, '"\x01"'], False),
        }
        cases = []
        for value, is_good in values.items():
            notice = Notice("established")
            body = json.dumps({**notice.event, "data": {**text, "later": "?"}}, ensure_ascii=False).replace('"?"', value)
            # A document that is read is refused for its proof only: that is of another one.
            cases.append((value[:40], case(notice.sign(body.encode())), ["proof-refused" if is_good else "notice-malformed"]))
        for body in (b"", b"[]", b"null", b"\xff", b"\xef\xbb\xbf" + Notice("established").body, b'{"data": 1'):
            wanted = "notice-malformed"
            cases.append((repr(body[:20]), case(Notice("established").sign(body)), [wanted]))
        self.check(cases)

    def test_who_speaks_for_a_stack(self):
        xml = Notice("established").sts["text"]
        role, user_id = "assumed-role/hawser-HandlerRole-1A2B3C4D5E6F/hawser-Handler-3C4D", "AROA123456789EXAMPLE"

        def said(*changes: tuple[str, str], status: int = 200) -> Notice:
            notice = established()
            for old, new in changes:
                assert old in xml
                notice.sts["text"] = notice.sts["text"].replace(old, new)
            notice.sts["status"] = status
            return notice

        def second(type_: str, *changes: tuple[str, str]) -> dict:
            notice = Notice("established").later(60, type_, "2" * 32).prove().sign()
            for change in changes:
                notice.sts["text"] = notice.sts["text"].replace(*change)
            return case(established(), notice)

        namesake = (user_id, "AROA987654321EXAMPLE")
        vendor_b = (role, "assumed-role/vendor-b/hawser-Handler-3C4D")
        user = (f"sts::111122223333:{role}", "iam::111122223333:user/team/mallory")
        unreachable = established()
        unreachable.sts = None
        self.check(
            [
                ("STS cannot be reached", case(unreachable), ["sts-unavailable"]),
                ("a user", case(said(user, (f"{user_id}:hawser-Handler-3C4D", "AIDA123456789EXAMPLE"))), ["speaker"]),
                ("another role", case(said(vendor_b)), ["speaker"]),
                ("another stack's handler", case(said(("/hawser-HandlerRole", "/hawser-b-HandlerRole"))), ["speaker"]),
                ("another account", case(said(("111122223333", "999999999999"))), ["identity-mismatch"]),
                ("another account's role", case(said(("sts::111122223333", "sts::999999999999"))), ["identity-mismatch"]),
                ("the root user", case(said((f"sts::111122223333:{role}", "iam::111122223333:root"))), ["identity-mismatch"]),
                ("a federated user", case(said(("assumed-role/", "federated-user/"))), ["identity-mismatch"]),
                ("another session", case(said(("EXAMPLE:hawser-Handler-3C4D", "EXAMPLE:x"))), ["identity-mismatch"]),
                ("a second account", case(said(("<Account>", "<Account>1</Account><Account>"))), ["sts-answer"]),
                ("a document type", case(said(("<GetCallerIdentityResponse", "<!DOCTYPE x><GetCallerIdentityResponse"))), ["sts-answer"]),
                ("another namespace", case(said(("2011-06-15", "2012-06-15"))), ["sts-answer"]),
                ("another answer", case(said(("GetCallerIdentityResponse", "AssumeRoleResponse"))), ["sts-answer"]),
                ("another line", case(said(("</Account>", "\n</Account>"))), ["identity-mismatch"]),
                ("a redirect", case(said(status=302)), ["sts-answer"]),
                ("an expired credential", case(said(status=403)), ["sts-refused"]),
                ("STS is down", case(said(status=503)), ["sts-unavailable"]),
                ("STS is busy", case(said((xml, "<Code>Throttling</Code>"), status=400)), ["sts-unavailable"]),
                ("an update by a role of the same name waits", second(receiver.UPDATED, namesake), [200, 200]),
                ("a removal by a role of the same name", second(receiver.REMOVED, namesake), [200, "speaker"]),
                ("an update by another role", second(receiver.UPDATED, namesake, vendor_b), [200, "speaker"]),
            ]
        )

    def test_repeated_late_and_out_of_order(self):
        first = established()
        again = Notice("established").later(240, receiver.ESTABLISHED, first.headers["webhook-id"]).prove().sign()
        other = established(lambda event: event["data"].update(connectionName="other"))

        def then(seconds, type_, digit, change=lambda event: None, token=None, external_id=None):
            notice = Notice("established").later(seconds, type_, digit * 32)
            change(notice.event)
            notice.token = token or notice.token
            if external_id:
                notice.event["data"]["externalId"] = external_id
            return notice.prove().sign()

        removed, updated = then(120, receiver.REMOVED, "3"), then(60, receiver.UPDATED, "4")
        alive = then(180, receiver.ALIVE, "5")
        by_other_resource = then(120, receiver.REMOVED, "6", lambda event: event["data"].update(resource="hawser/other"))
        other_stack = then(60, receiver.ESTABLISHED, "7", lambda event: rename(event, "hawser-b"))
        token = "whsec_" + base64.b64encode(b"n" * 24).decode()
        rotated = then(60, receiver.UPDATED, "8", token=token, external_id="new")
        old = first.launch()
        new = {**old, "token": token, "externalId": "new"}
        day, gone = 24 * receiver.HOUR, "status-of-removed"
        very_late, late_update = then(1100, receiver.UPDATED, "b"), then(day + 120, receiver.UPDATED, "f")
        of_other = {**new, "customerId": "customer-4712"}
        removal = then(120, receiver.REMOVED, "d", lambda event: event["data"].pop("externalId"))
        direct = then(60, receiver.UPDATED, "e", lambda event: event["data"].update(way="direct"))
        soon, late = then(3600, receiver.ALIVE, "9"), then(day + 120, receiver.ALIVE, "a")
        self.check(
            [
                ("the same notice", case(first, first, again), [200, 200, 200]),
                ("another notice of the same id", case(first, other), [200, "notice-id-reused"]),
                ("an update", case(first, updated, removed, launches=[old]), [200, 200, 200]),
                ("an update that was overtaken by the removal", case(first, removed, updated, launches=[old]), [200, 200, 200]),
                ("a heartbeat", case(first, alive, launches=[old]), [200, 200]),
                ("a heartbeat of what nobody knows", case(alive), ["status-of-unknown"]),
                ("a heartbeat of what was removed", case(first, removed, alive, launches=[old]), [200, 200, gone]),
                ("a creation after its removal", case(removed, first, alive, launches=[old]), ["connection-unknown", 200, gone]),
                ("another resource's removal", case(first, by_other_resource, alive, launches=[old]), [200, 200, 200]),
                ("an update long after the removal", case(first, removed, very_late), [200, 200, "connection-removed"]),
                ("another stack", case(first, other_stack, launches=[old]), [200, "launch-used"]),
                ("an expired launch", case(first, launches=[{**old, "expiresAt": first.clock}]), ["launch-expired"]),
                ("a launch for another account", case(first, launches=[{**old, "accountId": "999999999999"}]), ["launch-of-other-account"]),
                ("a launch for stacks", case(Notice("established-direct"), launches=[{**old, "ways": ["stack"]}]), ["way"]),
                ("a new launch, the old one for a day", case(first, rotated, soon, launches=[old, new]), [200, 200, 200]),
                ("and no longer", case(first, rotated, late, launches=[old, new]), [200, 200, "launch-used"]),
                ("and for no update", case(first, rotated, late_update, launches=[old, new]), [200, 200, "launch-replaced"]),
                ("another external ID", case(first, then(60, receiver.ALIVE, "0", external_id="x"), launches=[old]), [200, "external-id"]),
                ("a removal without external ID", case(first, removal, launches=[old]), [200, "notice-malformed"]),
                ("another way", case(first, direct, launches=[old]), [200, "way"]),
                ("another customer's launch", case(first, rotated, launches=[old, of_other]), [200, "launch-of-other-customer"]),
                ("no launch", case(first, launches=[]), ["signature-unknown"]),
            ]
        )

    def test_tokens(self):
        def token_notice(*kinds: str, of=None, claims=lambda claims, aws: None, header=None, key=KEY, algorithm="ES384", **aws) -> Notice:
            notice = of or Notice("established")
            account = notice.event["data"]["accountId"]
            notice.event["data"]["proofKinds"] = list(kinds)
            of_aws = {"aws_account": account, "request_tags": {"hawser-event-sha256": notice.digest()}, **aws}
            subject = f"arn:aws:iam::{account}:role/hawser-HandlerRole-1A2B3C4D5E6F"
            own = {"iss": ISSUER, "sub": subject, "aud": notice.case["authority"], "iat": notice.clock, "exp": notice.clock + 300}
            own |= {"jti": "one", "https://sts.amazonaws.com/": of_aws}
            claims(own, of_aws)
            token = jwt.encode(own, key, algorithm, {"kid": KEY_ID, **(header or {})})
            proofs = {"request": notice.prove().request, "token": {"kind": "token", "token": token}}
            notice.event["data"]["proofs"] = [proofs[kind] for kind in kinds]
            public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
            notice.keys = {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "ES384"}]}
            return notice.sign()

        def changed(*kinds: str, **changes) -> Notice:
            return token_notice(*kinds, claims=lambda claims, aws: claims.update(changes))

        both, alone = ("request", "token"), ("token",)
        clock = Notice("established").clock
        refused = {
            "another issuer": changed(*both, iss="https://example.com"),
            "an issuer of a longer name": changed(*both, iss=f"{ISSUER}.example.com"),
            "another vendor": changed(*both, aud="evil.example.com"),
            "several audiences": changed(*both, aud=["hawser.example.com:8443", "evil.example.com"]),
            "old": changed(*both, iat=clock - 361, exp=clock + 300),
            "expired": changed(*both, exp=clock - 61),
            "from the future": changed(*both, iat=clock + 61),
            "another account's role": changed(*both, sub="arn:aws:iam::999999999999:role/hawser-HandlerRole-1A2B3C4D5E6F"),
            "a user": changed(*both, sub="arn:aws:iam::111122223333:user/x"),
            "another role than the request's": changed(*both, sub="arn:aws:iam::111122223333:role/hawser-HandlerRole-1A2B3C4D5E6G"),
            "too large": changed(*both, later="x" * 8192),
            "an empty id": changed(*both, jti=""),
            "without an id": token_notice(*both, claims=lambda claims, aws: claims.pop("jti")),
            "another account": token_notice(*both, aws_account="999999999999"),
            "a subject of choice": token_notice(*both, subject_mode="Custom"),
            "another principal": token_notice(*both, principal_id="arn:aws:iam::111122223333:role/x"),
            "another event": token_notice(*both, request_tags={"hawser-event-sha256": "0" * 64}),
            "another Region's function": token_notice(*both, lambda_source_function_arn="arn:aws:lambda:us-east-1:111122223333:function:x"),
            "another key": token_notice(*both, key=ec.generate_private_key(ec.SECP384R1())),
            "an unknown key": token_notice(*both, header={"kid": "other"}),
            "another algorithm": token_notice(*both, key="s" * 48, algorithm="HS384"),
            "no algorithm": token_notice(*both, key=None, algorithm="none"),
        }
        cases = [(name, case(notice), ["token-refused"]) for name, notice in refused.items()]
        no_keys, nothing, foreign = token_notice(*both), token_notice(*alone), token_notice(*both)
        no_keys.keys = nothing.keys = None
        foreign.keys["keys"][0]["use"] = "enc"
        with_function = token_notice(*both, lambda_source_function_arn="arn:aws:lambda:eu-west-1:111122223333:function:hawser-Handler:1")
        first, alone_first = token_notice(*both), token_notice(*alone)
        later = Notice("established").later(60, receiver.UPDATED, "c" * 32)
        again = token_notice(*both, of=later)
        stranger = Notice("established")
        stranger.event = json.loads(json.dumps(stranger.event).replace("111122223333", "222233334444"))
        stranger.event["data"]["externalId"], stranger.token = "new", "whsec_" + base64.b64encode(b"n" * 24).decode()
        stranger.sts["text"] = stranger.sts["text"].replace("111122223333", "222233334444")
        stranger = token_notice(*both, of=stranger.later(60, receiver.ESTABLISHED, "d" * 32), claims=lambda own, aws: own.update(jti="two"))
        launches = [first.launch(), {**stranger.launch(), "externalId": "new"}]
        cases += [
            ("both", case(token_notice(*both)), [200]),
            ("alone", case(token_notice(*alone)), [200]),
            ("one audience in a list", case(changed(*both, aud=["hawser.example.com:8443"])), [200]),
            ("clocks differ", case(changed(*both, iat=clock + 59)), [200]),
            ("of a function", case(with_function), [200]),
            ("an earlier notice's token", case(first, again), [200, "token-refused"]),
            ("another account's issuer", case(first, stranger, launches=launches), [200, "token-refused"]),
            ("an issuer that is nobody's yet", case(alone_first, stranger, launches=launches), [200, 200]),
            ("no key set, with a request", case(no_keys), [200]),
            ("no key set, alone", case(nothing), ["issuer-unavailable"]),
            ("a key for something else", case(foreign), ["token-refused"]),
        ]
        self.check(cases)

    def test_the_question_to_sts(self):
        """The receivers' own client, on a server of ours: what it sends, and that it follows no redirect."""
        seen = []

        class Sts(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                seen.append((self.path, self.headers["x-amz-date"], self.rfile.read(int(self.headers["content-length"])).decode()))
                body = b"x" * (9000 if self.path == "/large" else 10)
                self.send_response(302 if self.path == "/redirect" else 200)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sts)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        paths = ("/", "/redirect", "/large")
        urls = [f"http://127.0.0.1:{server.server_port}{path}" for path in paths]
        answers = javascript(urls=urls)["sts"]
        self.assertEqual([receiver.ask_sts(url, {"x-amz-date": "1"}) for url in urls], [(a["status"], a["text"]) for a in answers])
        self.assertEqual([(a["status"], a["text"]) for a in answers], [(200, "x" * 10), (302, "x" * 10), (502, "")])
        self.assertEqual(seen, [(path, "1", receiver.STS_BODY) for path in paths] * 2)
        server.shutdown()
        server.server_close()


def rename(event: dict, stack: str) -> None:
    event["source"] = event["data"]["stackId"] = event["data"]["stackId"].replace("/hawser/", f"/{stack}/")


class Schema(unittest.TestCase):
    schema = json.loads((ROOT / "docs/notice.schema.json").read_text())

    def test_jsonschema_and_ajv_take_the_same_notices(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)
        validator = jsonschema.Draft202012Validator(self.schema)
        documents = {path.parent.name: json.loads(path.read_text()) for path in sorted(KEPT.glob("*/body.json"))}
        wanted = {name: name != "future-major" for name in documents}
        examples = sorted((ROOT / "docs/examples").glob("notice-*.json"))
        self.assertTrue(examples)
        for path in examples:
            documents[path.name], wanted[path.name] = json.loads(path.read_text()), True
        status = copy.deepcopy(documents["status-delivered"])
        shown = (ROOT / "docs/notices.md").read_text().split("```json\n")[1].split("```")[0]
        status["data"]["billingStatus"] = json.loads(shown)
        documents["docs/notices.md"], wanted["docs/notices.md"] = status, True
        for name, change in {
            "an id in capitals": lambda event: event.update(id="A" * 32),
            "no role": lambda event: event["data"].update(roleArn=""),
            "an unknown partition": lambda event: event["data"].update(partition="aws-later"),
            "no proofs": lambda event: event["data"].update(proofs=[]),
            "another header": lambda event: event["data"]["proofs"][0]["headers"].update(accept="x"),
            "another method": lambda event: event["data"]["proofs"][0].update(method="GET"),
            "no status": lambda event: event.update(type=receiver.STATUS),
        }.items():
            documents[name] = copy.deepcopy(documents["established"])
            change(documents[name])
            wanted[name] = False
        of_ajv = javascript(schema={"schema": self.schema, "documents": list(documents.values())})["verdicts"]
        self.assertEqual(dict(zip(documents, of_ajv)), wanted)
        self.assertEqual({name: validator.is_valid(document) for name, document in documents.items()}, wanted)

    def test_the_receivers_know_the_schemas_fields(self):
        """A field or a word that is new in the schema belongs into `DATA` of both receivers."""
        shapes = javascript()["shapes"]
        wanted = {name: field for name, field in self.fields("data").items() if name not in ("proofs", "proofKinds", "billingStatus")}
        self.assertEqual(self.of_python(receiver.DATA), wanted)
        self.assertEqual(self.of_javascript({"fields": shapes["data"]}), wanted)
        self.assertEqual(self.of_python(receiver.BILLING_STATUS), self.fields("billingStatus"))
        self.assertEqual(self.of_javascript({"fields": shapes["billingStatus"]}), self.fields("billingStatus"))
        self.assertEqual(list(receiver.PARTITIONS), self.schema["$defs"]["data"]["properties"]["partition"]["enum"])

    def fields(self, name: str) -> dict:
        return {name: self.of_schema(field, name) for name, field in self.schema["$defs"][name]["properties"].items()}

    def of_schema(self, field: dict, name: str = ""):
        if "$ref" in field:
            target = field["$ref"].removeprefix("#/$defs/")
            return self.fields(target) if "properties" in self.schema["$defs"][target] else self.of_schema(self.schema["$defs"][target])
        if "anyOf" in field:
            return self.of_schema(field["anyOf"][-1])
        if "additionalProperties" in field:
            return {"*": self.of_schema(field["additionalProperties"])}
        if field["type"] == "array":
            return [self.of_schema(field["items"])]
        # The one list that AWS keeps: it is taken as it comes.
        words = None if name == "featureSet" else field.get("examples")
        return sorted(set(words) - {""}) if words else {"string": "text", "integer": "count"}[field["type"]]

    def of_python(self, shape):
        if isinstance(shape, tuple):
            return self.of_python(shape[1])
        if isinstance(shape, dict):
            return {name: self.of_python(inner) for name, inner in shape.items()}
        if isinstance(shape, list):
            return [self.of_python(shape[0])]
        return sorted(shape) if isinstance(shape, set) else {str: "text", int: "count"}[shape]

    def of_javascript(self, shape):
        if isinstance(shape, list):
            return [self.of_javascript(shape[0])]
        if isinstance(shape, str):
            return shape
        if "fields" in shape:
            return {name: self.of_javascript(inner) for name, inner in shape["fields"].items()}
        if "oneOf" in shape:
            return sorted(shape["oneOf"])
        return self.of_javascript(shape["orNull"]) if "orNull" in shape else {"*": self.of_javascript(shape["each"])}


if __name__ == "__main__":
    unittest.main()
