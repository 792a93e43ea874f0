"""Answers what a bucket policy lets an AWS service do, by MiniStack's own policy evaluator.

Reads `{"policy": "...", "service": "...", "account": "...", "checks": [{"action", "resource", "context"}]}` on stdin and
writes a list of decisions (`Allow`, `Deny`, `ImplicitDeny`). The strict front asks it before a report is made, because
nothing inside the emulator ever calls as `billingreports.amazonaws.com`.
"""

import json
import sys

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

asked = json.load(sys.stdin)
decisions = [
    evaluate_resource_policy(
        asked["policy"],
        EvalContext(
            principal_arn=f"arn:aws:iam::000000000000:service/{asked['service']}",
            principal_type="Service",
            principal_account="000000000000",
            action=check["action"],
            resource_arn=check["resource"],
            region=asked["region"],
            secure_transport=True,
            service_context={key.lower(): value for key, value in check["context"].items()},
            principal_keys={},
        ),
        service=asked["service"],
    ).decision
    for check in asked["checks"]
]
json.dump(decisions, sys.stdout)
