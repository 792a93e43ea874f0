"""Decides what a bucket policy allows an AWS service to do, with MiniStack's own policy evaluator.

Reads `{"policy": "...", "service": "...", "account": "...", "checks": [{"action", "resource", "context"}]}` on stdin and
writes a list of decisions (`Allow`, `Deny`, `ImplicitDeny`). The strict front asks it before a report is made, because
nothing inside the emulator ever calls as `billingreports.amazonaws.com`.
"""

import json
import sys

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

request = json.load(sys.stdin)
decisions = [
    evaluate_resource_policy(
        request["policy"],
        EvalContext(
            principal_arn=f"arn:aws:iam::000000000000:service/{request['service']}",
            principal_type="Service",
            principal_account="000000000000",
            action=check["action"],
            resource_arn=check["resource"],
            region=request["region"],
            secure_transport=True,
            service_context={key.lower(): value for key, value in check["context"].items()},
            principal_keys={},
        ),
        service=request["service"],
    ).decision
    for check in request["checks"]
]
json.dump(decisions, sys.stdout)
