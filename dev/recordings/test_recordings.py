"""`python -m unittest dev.recordings.test_recordings`: the comparison sees every kind of difference, and no recording holds a secret."""

from __future__ import annotations

import datetime
import re
import tempfile
import unittest
from collections import defaultdict
from pathlib import Path

import yaml
from botocore.loaders import Loader

from .form import ABSENT, compare
from .live import differences
from .redact import Redaction

RECORDINGS = Path(__file__).parents[2] / "tests/recordings"


def fields(recorded, answered, known=None):
    return [at for at, _, _ in compare(recorded, answered, {} if known is None else known)]


class Comparison(unittest.TestCase):
    def test_a_field_is_missing_too_many_or_another(self):
        self.assertEqual(list(compare({"a": 1}, {}, {})), [("a", 1, ABSENT)])
        self.assertEqual(list(compare({}, {"a": 1}, {})), [("a", ABSENT, 1)])
        self.assertEqual(fields({"a": [{"b": 1}]}, {"a": [{"b": 2}]}), ["a.0.b"])
        self.assertEqual(fields({"a": [1]}, {"a": [1, 2]}), ["a"])
        self.assertEqual(fields({"a": True}, {"a": "true"}), ["a"])
        self.assertEqual(fields({"a": {"b": 1}}, {"a": '{"b": 1}'}), [])

    def test_a_placeholder_is_one_value(self):
        known = {}
        self.assertEqual(fields(["arn:<role>/x", "<role>"], ["arn:r1/x", "r1"], known), [])
        self.assertEqual(known, {"role": "r1"})
        self.assertEqual(fields("<role>", "r2", known), [""])
        self.assertEqual(fields("<b>-<b>", "1-2"), [""])
        self.assertEqual(fields(["<any>", "<any>"], [1, "2"]), [])
        self.assertEqual(fields({"a": "<any>"}, {}), ["a"])
        self.assertEqual(list(compare({"a": [1, 2]}, {"a": [2, 1]}, {}, ("a",))), [])

    def test_runs_are_compared_by_step_and_call(self):
        with tempfile.TemporaryDirectory() as folder:
            one, other = Path(folder) / "one", Path(folder) / "other"
            for path, code in ((one, "A"), (other, "B")):
                path.mkdir()
                call = {"call": "s3:HeadBucket", "answer": {"status": 400, "error": {"Code": code}}}
                (path / "create.yaml").write_text(yaml.safe_dump({"calls": [call, call]}))
            self.assertEqual([one.field for one in differences(one, other)], ["error.Code", "error.Code"])
            self.assertEqual(list(differences(one, one)), [])
            (other / "create.yaml").unlink()
            self.assertEqual({one.answered for one in differences(one, other)}, {ABSENT})


class Redacted(unittest.TestCase):
    def test_what_belongs_to_an_account_is_taken_out(self):
        secret = {
            "token": "whsec_dGhpcyBpcyBub3QgYSBzZWNyZXQ=",
            "signature": "https://b/k?X-Amz-Signature=0f0f&X-Amz-Credential=ASIA1/2",
            "email": "billing.owner+aws@example.com",
            "access-key": "AKIAIOSFODNN7EXAMPLE",
            "organization": "o-a1b2c3d4e5",
            "uuid": "4a40a69c-e634-4f68-b778-7157757128a1",
            "hash": "hawser-0123456789abcdef",
            "generated": "stack-HandlerRole-1A2B3C4D5E6F",
            "account": "arn:aws:iam::444455556666:role/x",
        }
        redacted = Redaction({}).value(secret)
        for name, text in secret.items():
            self.assertIn(f"<{name}-1>", redacted[name], text)
        self.assertEqual(Redaction({}).value({"SessionToken": "t", "RequestId": "r"}), {"SessionToken": "<secret>"})
        self.assertEqual(Redaction({}).value([datetime.datetime(2026, 11, 22)]), ["<any>"])

    def test_one_value_has_one_placeholder(self):
        redaction = Redaction({"acme": "<run>"})
        text = "acme-444455556666 777788889999 444455556666 acme"
        self.assertEqual(redaction.text(text), "<run>-<account-1> <account-2> <account-1> <run>")
        self.assertEqual(redaction.text("<account-1>"), "<account-1>")

    def test_no_recording_holds_what_would_be_taken_out(self):
        # Accounts that no one has, which the recordings need.
        made_up = {"000000000002": "000000000002"}
        paths = list(RECORDINGS.glob("*/*.yaml"))
        self.assertGreater(len(paths), 40)
        for path in paths:
            redaction = Redaction(made_up)
            redaction.value(yaml.safe_load(path.read_text()))
            self.assertEqual(redaction.counts, {}, path)


# Whose errors a file of a double answers with; the others serve more than one service.
SERVICES = {
    "bucket_policy.rs": "s3", "buckets.rs": "s3", "exports.rs": "bcm-data-exports", "organizations.rs": "organizations",
    "reports.rs": "cur", "s3.rs": "s3", "support.rs": "support", "upload.rs": "s3"}
CODE = re.compile(
    r"(?:Refusal::new\(\s*[\w:]+,|AwsError::new\(\s*\d+,|\(\d{3},|\|refusal)\s*\"([A-Z]\w+)\""
    r'|"([A-Z]\w+(?:Exception|Redirect|Denied|Aborted))"')


class Codes(unittest.TestCase):
    def test_every_code_is_recorded_or_in_the_services_model_or_on_a_page(self):
        listed = yaml.safe_load((RECORDINGS / "codes.yaml").read_text())
        recorded = {call["answer"]["error"]["Code"] for path in RECORDINGS.glob("*/*.yaml")
                    for call in yaml.safe_load(path.read_text())["calls"] if "error" in call.get("answer", {})}
        models = {service: errors(service) for service in {*SERVICES.values(), "cloudformation", "sts"}}
        root, used = RECORDINGS.parents[1], defaultdict(set)
        for path in [*root.glob("account/src/*.rs"), *root.glob("dev/src/strict_proxy/*.rs"), *root.glob("sim/src/*.rs")]:
            known = models[SERVICES[path.name]] if path.name in SERVICES else set().union(*models.values())
            code = path.read_text().partition("#[cfg(test)]")[0]
            for name in {one or other for one, other in CODE.findall(code)} - recorded - known:
                used[name].add(path.name)
        self.assertEqual({name: used[name] for name in used.keys() - listed.keys()}, {}, "in no recording, model or list")
        self.assertEqual(listed.keys() - used.keys(), set(), "listed for nothing")


def errors(service: str) -> set[str]:
    """The codes of the errors that a service's model names."""
    shapes = Loader().load_service_model(service, "service-2")["shapes"].items()
    return {shape.get("error", {}).get("code", name) for name, shape in shapes if shape.get("exception")}


if __name__ == "__main__":
    unittest.main()
