"""AWS Lambda: the events of custom resources, and logs."""

from __future__ import annotations

import json
import os
import threading
import time

from ministack.core import iam_evaluator
from ministack.services import cloudwatch_logs, lambda_svc, sts

from . import patch

HANDLER_LOG = os.environ.pop("HAWSER_HANDLER_LOG")
REQUEST_LOG = os.environ.pop("HAWSER_REQUEST_LOG")

# "Lambda retries ... two more times": after one minute and after two. Here the retries follow at once.
RETRIES = 2
RETRY_SECONDS = 0.05

_lock = threading.Lock()


def _append(path: str, line: dict) -> None:
    with _lock, open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def invoke_asynchronously(record, event: dict) -> None:
    """Runs a function until a run ends without an error, as often as its settings allow.

    AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".
    """
    settings = lambda_svc._event_invoke_config(record, "$LATEST") or {}
    for run in range(1 + settings.get("MaximumRetryAttempts", RETRIES)):
        if run > 0:
            time.sleep(RETRY_SECONDS)
        result = lambda_svc._execute_function_with_config_scope(record, event)
        failed = bool(result.get("error"))
        error = (result.get("body") or {}).get("errorMessage", "") if failed else ""
        _append(REQUEST_LOG, {"request": event["RequestId"], "type": event["RequestType"], "stack": event["StackId"],
                              "resource": event["LogicalResourceId"], "id": event.get("PhysicalResourceId", ""),
                              "run": run + 1, "error": error})
        if not failed:
            return


@patch(sts, "register_session")
def register_session(original, access_key: str, session: dict) -> None:
    """The user id of a role's session begins with the role's unique id, also in a function.

    AWS IAM User Guide, "IAM identifiers"; AWS Security Token Service API Reference, `GetCallerIdentity`.
    """
    role_id, _, name = session["UserId"].partition(":")
    if ":assumed-role/" in session["Arn"] and not role_id.startswith("AROA"):
        account, role = session["Arn"].split(":")[4], session["Arn"].split("/")[1]
        session = session | {"UserId": f"{sts._role_id(f'arn:aws:iam::{account}:role/{role}')}:{name}"}
    return original(access_key, session)


def _denied_log_actions(config: dict, group: str) -> list[str]:
    """The actions that writing logs to `group` takes and the function's role does not allow."""
    function = config.get("FunctionArn", "").split(":")
    region, account = function[3], function[4]
    role = config.get("Role", "").rsplit("/", 1)[-1]
    policies = iam_evaluator._gather_role_policies(role, account)
    needed = ["logs:CreateLogStream", "logs:PutLogEvents"]
    if group not in cloudwatch_logs._log_groups:
        needed.append("logs:CreateLogGroup")

    def decision(action: str) -> str:
        context = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{function[6]}", principal_type="AssumedRole",
            principal_account=account, action=action, region=region, service_context={}, principal_keys={},
            resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:stream")
        return iam_evaluator.evaluate(context, policies).decision

    return [action for action in needed if decision(action) != "Allow"]


@patch(lambda_svc, "_emit_lambda_logs")
def write_allowed_logs(original, func, request_id, log_text, *args, **kwargs):
    """A function writes logs with its execution role, and loses them when the role does not allow it.

    AWS Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs": required permissions. MiniStack writes them
    whatever the role allows. The tests read what was written, and what was denied, from a file.
    """
    config = func.get("config") or func
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
    denied = _denied_log_actions(config, group)
    _append(HANDLER_LOG, {"function": config.get("FunctionName"), "group": group, "requestId": request_id,
                          "written": not denied, "denied": denied, "lines": (log_text or "").splitlines()})
    if not denied:
        original(func, request_id, log_text, *args, **kwargs)
