"""Starts MiniStack and closes the gaps that only its own process can close.

MiniStack (PyPI package `ministack`) keeps the state and takes the decisions: CloudFormation, Lambda, IAM, S3,
STS, CUR. This file adds what AWS documents and this version does not do. Everything that can be seen on the wire is closed by
the strict front instead (`dev/src/front/`). `docs/emulator.md` lists both.

1. The response URL of a custom resource is a presigned S3 upload at the front, in the shape CloudFormation gives it.
   Its function is invoked asynchronously: a run that ends with an error is followed by others with the same event.
2. A custom resource whose Create failed is deleted by the rollback, with the id of the FAILED answer, or with one that
   CloudFormation makes up when no answer came. A replacement that is rolled back is updated back before it is deleted;
   a clean-up Delete is tried three times; and stack and resources show what CloudFormation is doing with them.
3. Calls that need more than one permission need all of them, and billing calls are checked on the report, export or table
   they name (`permissions.py`). The services that only the front knows are authorised here like all others.
4. A function whose role may not write logs leaves none (MiniStack writes them whatever the role says).
5. Access keys, secrets, policies and change sets are what CloudFormation makes of them (`provision.py`).
6. Calls are decided on the resources and under the condition keys that AWS decides them by (`resources.py`).
7. Templates and code are read from buckets of other accounts, as their policies allow (`published.py`), and there are
   service-managed StackSets (`stacksets.py`).

Every name replaced here is looked up first: another MiniStack version stops at start instead of running unpatched.
"""

from __future__ import annotations

import contextvars
import json
import os
import random
import signal
import string
import sys
import threading
import time
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import permissions
import provision
import published
import resources
import stacksets
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import now_iso
from ministack.services import cloudformation, lambda_svc, organizations, s3
from ministack.services.cloudformation import changesets, custom_resource, handlers, helpers, stacks

# Taken out of the environment at once: the handler inherits what is left of it.
FRONT_URL = os.environ.pop("HAWSER_FRONT_URL").rstrip("/")
RESPONSE_KEY = os.environ.pop("HAWSER_RESPONSE_KEY")
HANDLER_LOG = os.environ.pop("HAWSER_HANDLER_LOG")
REQUEST_LOG = os.environ.pop("HAWSER_REQUEST_LOG")

# CloudFormation's response URLs are good for two hours.
RESPONSE_EXPIRES_SECONDS = 7200
RESPONSE_ACCESS_KEY = "AKIACLOUDFORMATION00"
# The random end of the ids that CloudFormation makes up when a resource gave none.
MADE_UP_ID_LENGTH = 13
# Lambda delivers an event that ended with an error twice more, after one minute and after two; here nobody waits.
REDELIVERY_SECONDS = 0.05
REDELIVERIES = 2
# "CloudFormation attempts to delete the old resource up to three times" in the clean-up of an update.
CLEANUP_TRIES = 3
# What CloudFormation waits for an answer when the resource does not say.
SERVICE_TIMEOUT_SECONDS = 3600


def replace(module, name: str, make) -> None:
    """Replaces `module.name` by `make(original)`; a missing name is an error."""
    original = getattr(module, name, None)
    if original is None:
        raise SystemExit(f"this MiniStack has no {module.__name__}.{name}: the pinned version has changed")
    setattr(module, name, make(original))


def replace_action(name: str, make) -> None:
    """The same for an operation of CloudFormation."""
    if name not in handlers._ACTION_HANDLERS:
        raise SystemExit(f"this MiniStack has no CloudFormation operation {name}: the pinned version has changed")
    handlers._ACTION_HANDLERS[name] = make(handlers._ACTION_HANDLERS[name])


# --- 1. Response URLs -------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_token_of_request: dict[str, str] = {}  # RequestId -> MiniStack's own token
_request_of_resource: dict[tuple[str, str], str] = {}  # (StackId, LogicalResourceId) -> the newest RequestId
_answer_to_request: dict[str, dict] = {}  # RequestId -> what the handler answered


def response_url(event: dict) -> str:
    """The presigned URL for this event's answer, signed by botocore as S3 does it."""
    region = event["StackId"].split(":")[3]
    bucket = f"cloudformation-custom-resource-response-{region.replace('-', '')}"
    key = quote(f"{event['StackId']}|{event['LogicalResourceId']}|{event['RequestId']}", safe="/")
    request = AWSRequest(method="PUT", url=f"{FRONT_URL}/{bucket}/{key}")
    credentials = Credentials(RESPONSE_ACCESS_KEY, RESPONSE_KEY)
    S3SigV4QueryAuth(credentials, "s3", region, expires=RESPONSE_EXPIRES_SECONDS).add_auth(request)
    return request.url


def invoking_asynchronously(original):
    """CloudFormation's requests go to Lambda's queue of events; all other invocations stay as they are.

    MiniStack's CloudFormation goes on when the answer is there and the queue is done with the event, so that the function's
    log is complete; it gives up after ServiceTimeout, whatever the function is still doing.
    """

    def execute(record, event):
        own = event.get("ResponseURL", "") if isinstance(event, dict) else ""
        if "/_ministack/cfn-response/" not in own:
            return original(record, event)
        token = own.rsplit("/", 1)[1]
        with _lock:
            _token_of_request[event["RequestId"]] = token
            _request_of_resource[(event["StackId"], event["LogicalResourceId"])] = event["RequestId"]
        event = {**event, "ResponseURL": response_url(event)}
        timeout = float(event["ResourceProperties"].get("ServiceTimeout", SERVICE_TIMEOUT_SECONDS))
        until = time.monotonic() + timeout
        context = contextvars.copy_context()
        runs = threading.Thread(target=context.run, args=(deliver, original, record, event), daemon=True)
        runs.start()
        runs.join(timeout)
        answered = custom_resource._pending[token]["event"]
        answered.wait(max(0.0, until - time.monotonic()))
        # Whoever waits now is told that nothing came; MiniStack would wait for ServiceTimeout once more.
        answered.set()
        return {}

    return execute


def deliver(invoke, record, event) -> None:
    """One event of Lambda's queue: delivered again while it ends with an error, as often as the function's settings say."""
    settings = lambda_svc._event_invoke_config(record, "$LATEST") or {}
    for run in range(1 + settings.get("MaximumRetryAttempts", REDELIVERIES)):
        if run > 0:
            time.sleep(REDELIVERY_SECONDS)
        result = invoke(record, event)
        failed = bool(result.get("error"))
        why = (result.get("body") or {}).get("errorMessage", "") if failed else ""
        line = {"request": event["RequestId"], "type": event["RequestType"], "stack": event["StackId"],
                "resource": event["LogicalResourceId"], "id": event.get("PhysicalResourceId", ""), "run": run + 1, "error": why}
        with _lock, open(REQUEST_LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if not failed:
            return


def by_request_id(original):
    """The front hands an accepted answer on under its RequestId; MiniStack waits under its token."""

    def deliver(request_id: str, response: dict) -> bool:
        with _lock:
            token = _token_of_request.get(request_id)
            if token is None or request_id in _answer_to_request:
                return False
            _answer_to_request[request_id] = response
        return original(token, response)

    return deliver


# --- 2. Delete after a failed Create ----------------------------------------------------------------------------------

_failed_creates: dict[tuple[str, str], dict] = {}


_not_deleted: set[tuple[str, str]] = set()  # (stack name, LogicalResourceId)


def keeping_what_is_needed(original):
    """What a resource depends on is deleted after it, and so not at all while the resource cannot be deleted."""

    def delete(resource_type, physical_id, props, stack_name=None, logical_id=None, *args, **kwargs):
        stack = cloudformation._stacks.get(stack_name) or {}
        if stack.get("StackStatus") not in ("DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            return original(resource_type, physical_id, props, stack_name, logical_id, *args, **kwargs)
        definitions = (stack.get("_template") or {}).get("Resources", {})
        waiting = [other for name, other in _not_deleted if name == stack_name and other != logical_id]
        if logical_id in stacks._with_dependencies(waiting, definitions, set(definitions)):
            _not_deleted.add((stack_name, logical_id))
            raise RuntimeError(f"{logical_id} is still needed")
        _not_deleted.add((stack_name, logical_id))
        result = original(resource_type, physical_id, props, stack_name, logical_id, *args, **kwargs)
        _not_deleted.discard((stack_name, logical_id))
        return result

    return delete


def keeping_what_a_rollback_could_not_delete(original):
    """It stays in the stack, so that DeleteStack finds it."""

    async def roll_back(stack_name, stack_id, stack, operation, *args, **kwargs):
        await original(stack_name, stack_id, stack, operation, *args, **kwargs)
        if stack["StackStatus"] == "ROLLBACK_FAILED":
            for logical_id, record in stack.get("_rollback_failed", {}).items():
                stack["_resources"][logical_id] = {"LogicalResourceId": logical_id, "Attributes": {}, **record,
                                                   "ResourceStatus": "DELETE_FAILED"}

    return roll_back


def trying_clean_up_again(original):
    """An old resource is not given up at the first failure, once the update itself has succeeded."""

    def invoke(request_type, logical_id, props, stack_name, *args, **kwargs):
        cleaning_up = (cloudformation._stacks.get(stack_name) or {}).get("StackStatus", "").endswith("_CLEANUP_IN_PROGRESS")
        tries = CLEANUP_TRIES if request_type == "Delete" and cleaning_up else 1
        for _ in range(tries - 1):
            try:
                return original(request_type, logical_id, props, stack_name, *args, **kwargs)
            except (RuntimeError, TimeoutError):
                pass
        return original(request_type, logical_id, props, stack_name, *args, **kwargs)

    return invoke


def remembering_failed_creates(original):
    def invoke(request_type, logical_id, props, stack_name, stack_id, resource_type, *args, **kwargs):
        try:
            return original(request_type, logical_id, props, stack_name, stack_id, resource_type, *args, **kwargs)
        except (RuntimeError, TimeoutError) as failure:
            with _lock:
                request_id = _request_of_resource.get((stack_id, logical_id), "")
                answer = _answer_to_request.get(request_id)
            if request_type == "Create":
                made_up = "".join(random.choices(string.ascii_uppercase + string.digits, k=MADE_UP_ID_LENGTH))
                physical_id = (answer or {}).get("PhysicalResourceId") or f"{stack_name}-{logical_id}-{made_up}"
                with _lock:
                    _failed_creates[(stack_id, logical_id)] = {
                        "PhysicalResourceId": physical_id,
                        "ResourceType": resource_type,
                        "ResourceStatus": "CREATE_FAILED",
                        "LogicalResourceId": logical_id,
                        "Properties": props,
                        "Attributes": {},
                    }
            if answer is None:
                raise TimeoutError(
                    "CloudFormation did not receive a response from your Custom Resource. "
                    f"Please check your logs for requestId [{request_id}]."
                ) from failure
            raise RuntimeError(
                f"Received response status [FAILED] from custom resource. Message returned: {failure} "
                f"(RequestId: {request_id})"
            ) from failure

    return invoke


def deleting_failed_creates(original):
    """MiniStack's own rollback then deletes the resource first, as it was made last."""

    async def roll_back(stack_name, stack_id, stack, operation, *args, **kwargs):
        logical_id = operation.get("failed_logical_id")
        with _lock:
            record = _failed_creates.pop((stack_id, logical_id), None)
        if record is not None:
            stack.setdefault("_resources", {})[logical_id] = record
            operation = {**operation, "created": [*(operation.get("created") or []), logical_id]}
        return await original(stack_name, stack_id, stack, operation, *args, **kwargs)

    return roll_back


def updating_replacements_back(original):
    """A custom resource that was replaced is asked to go back, as any other, before the replacement is deleted."""

    async def roll_back(stack_name, stack_id, stack, operation, *args, **kwargs):
        previous = (operation.get("previous_stack") or {}).get("_resources", {}) if operation.get("is_update") else {}
        failed = {}
        for logical_id in operation.get("created") or []:
            made, before = stack["_resources"].get(logical_id), previous.get(logical_id)
            if not made or not before or not made["ResourceType"].startswith("Custom::"):
                continue
            if made["PhysicalResourceId"] == before["PhysicalResourceId"]:
                continue
            stack["StackStatus"] = "UPDATE_ROLLBACK_IN_PROGRESS"
            kind, made_id, attributes = made["ResourceType"], made["PhysicalResourceId"], made["Attributes"]
            try:
                await stacks._revert_update(stack_id, stack_name, logical_id, kind, made_id, made["Properties"],
                                            before["Properties"], attributes, before)
            except Exception:  # MiniStack has written the event; its own reverts go on in the same way.
                failed[logical_id] = {"PhysicalResourceId": made_id, "ResourceType": kind, "Attributes": attributes,
                                      "RevertFrom": made["Properties"], "RevertTo": before["Properties"]}
        await original(stack_name, stack_id, stack, operation, *args, **kwargs)
        if failed:
            stack["StackStatus"] = "UPDATE_ROLLBACK_FAILED"
            stack["_rollback_failed"] = {**stack.get("_rollback_failed", {}), **failed}
            reason = stacks._rollback_failure_reason(stack["_rollback_failed"])
            stacks._add_event(stack_id, stack_name, stack_name, "AWS::CloudFormation::Stack", "UPDATE_ROLLBACK_FAILED",
                              reason, stack_id)

    return roll_back


def showing_the_clean_up(original):
    """After the last resource of an update CloudFormation says so, and only then deletes what was replaced or removed."""

    def resolve(outputs, conditions, resources, parameters, mappings, stack_name, stack_id):
        resolved = original(outputs, conditions, resources, parameters, mappings, stack_name, stack_id)
        stack = cloudformation._stacks.get(stack_name) or {}
        if stack.get("StackStatus") == "UPDATE_IN_PROGRESS":
            stack["StackStatus"] = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            stacks._add_event(stack_id, stack_name, stack_name, "AWS::CloudFormation::Stack",
                              "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", physical_id=stack_id)
        return resolved

    return resolve


_shown: dict[tuple[str, str], dict] = {}  # (StackId, LogicalResourceId) -> how CloudFormation shows the resource


def showing_resources_by_events(original):
    """MiniStack knows a resource between its creation and its deletion only; CloudFormation at all times."""

    def add(stack_id, stack_name, logical_id, resource_type, status, reason="", physical_id="", *args, **kwargs):
        shown = _shown.setdefault((stack_id, logical_id), {"ResourceType": resource_type, "PhysicalResourceId": ""})
        # Of a replaced resource two ids are alive, and the deletion of one is not that of the resource.
        other = physical_id and shown["PhysicalResourceId"] not in ("", physical_id)
        if not (other and status.startswith("DELETE_")):
            physical_id_now = physical_id or shown["PhysicalResourceId"]
            shown.update(ResourceStatus=status, PhysicalResourceId=physical_id_now, Timestamp=now_iso())
        return original(stack_id, stack_name, logical_id, resource_type, status, reason, physical_id, *args, **kwargs)

    return add


def describing_resources_by_events(original):
    def describe(params):
        stack = handlers._resolve_stack(handlers._p(params, "StackName"))
        if stack is None:
            return original(params)
        kept, stack_id = stack.get("_resources", {}), stack["StackId"]
        shown = {name: shown for (of, name), shown in _shown.items() if of == stack_id and name != stack["StackName"]}
        # Requests are handled one at a time, so nobody else sees this.
        stack["_resources"] = {name: {**kept.get(name, {}), **resource} for name, resource in shown.items()}
        try:
            return original(params)
        finally:
            stack["_resources"] = kept

    return describe


# --- 4. Logs ----------------------------------------------------------------------------------------------------------


def denied_log_actions(config: dict, group: str) -> list[str]:
    """What Lambda would do to write logs to `group`, and the function's role does not allow."""
    from ministack.services import cloudwatch_logs

    function = config.get("FunctionArn", "").split(":")
    region, account = function[3], function[4]
    role = config.get("Role", "").rsplit("/", 1)[-1]
    policies = iam_evaluator._gather_role_policies(role, account)
    needed = ["logs:CreateLogStream", "logs:PutLogEvents"]
    if group not in cloudwatch_logs._log_groups:
        needed.append("logs:CreateLogGroup")
    return [
        action
        for action in needed
        if iam_evaluator.evaluate(
            iam_evaluator.EvalContext(
                principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{function[6]}",
                principal_type="AssumedRole",
                principal_account=account,
                action=action,
                resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:stream",
                region=region,
                service_context={},
                principal_keys={},
            ),
            policies,
        ).decision
        != "Allow"
    ]


def emitting_allowed_logs(original):
    def emit(func, request_id, log_text, *args, **kwargs):
        config = func.get("config") or func
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
        denied = denied_log_actions(config, group)
        with _lock, open(HANDLER_LOG, "a", encoding="utf-8") as file:
            line = {"function": config.get("FunctionName"), "group": group, "requestId": request_id,
                    "written": not denied, "denied": denied, "lines": (log_text or "").splitlines()}
            file.write(json.dumps(line) + "\n")
        if not denied:
            original(func, request_id, log_text, *args, **kwargs)

    return emit


replace(lambda_svc, "_execute_function_with_config_scope", invoking_asynchronously)
replace(custom_resource, "deliver_response", by_request_id)
replace(custom_resource, "invoke_custom_resource", remembering_failed_creates)
replace(custom_resource, "invoke_custom_resource", trying_clean_up_again)
replace(stacks, "_roll_back_operation", deleting_failed_creates)
replace(stacks, "_roll_back_operation", updating_replacements_back)
replace(stacks, "_roll_back_operation", keeping_what_a_rollback_could_not_delete)
replace(stacks, "_delete_resource", keeping_what_is_needed)
replace(stacks, "_resolve_stack_outputs", showing_the_clean_up)
replace(stacks, "_add_event", showing_resources_by_events)
replace_action("DescribeStackResources", describing_resources_by_events)
replace(iam_actions, "extract_resource_arn", permissions.billing_resource)
replace(iam_actions, "s3_additional_checks", permissions.more_s3_checks)
replace(iam_actions, "access_denied_response", permissions.naming_what_was_denied)
replace(iam_evaluator, "enforce", permissions.all_that_is_needed)
replace(iam_actions, "extract_resource_arn", resources.naming_resources)
replace(iam_evaluator, "enforce", resources.deciding_each)
resources.know_resources()
replace(changesets, "_resolve_props_for_diff", provision.leaving_out_what_is_not_made)
permissions.authorise_what_the_front_serves()
provision.provision()
stacksets.provision()
replace(stacks, "_runs_on_worker_thread", stacksets.known_to_block)
replace(organizations, "_move_account", stacksets.moving_accounts)
organizations._DISPATCH["MoveAccount"] = organizations._move_account
replace(helpers, "_resolve_document", published.from_virtual_hosts)
replace(s3, "_get_object_data", published.from_other_accounts)
replace(s3, "bucket_region", published.of_other_accounts)
replace(lambda_svc, "_emit_lambda_logs", emitting_allowed_logs)

def end_with_the_starter() -> None:
    """Waits for the end of standard input, then ends this process group: the emulator and its functions."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    from ministack.app import main

    threading.Thread(target=end_with_the_starter, daemon=True).start()
    main()
