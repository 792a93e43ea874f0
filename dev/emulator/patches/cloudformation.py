"""AWS CloudFormation: requests to custom resources, roll-back, and what it shows of stacks and resources."""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import string
import threading
import time
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack.core.responses import new_uuid, now_iso
from ministack.services import cloudformation, lambda_svc
from ministack.services.cloudformation import changesets, custom_resource, engine, handlers, provisioners, stacks

from . import lambda_functions, patch

FRONT_URL = os.environ.pop("HAWSER_PROXY_URL").rstrip("/")
RESPONSE_KEY = os.environ.pop("HAWSER_RESPONSE_KEY")

RESPONSE_EXPIRES_SECONDS = 7200
RESPONSE_ACCESS_KEY = "AKIACLOUDFORMATION00"
# The random end of the ids that CloudFormation generates when a resource gave none.
GENERATED_ID_LENGTH = 13
# "CloudFormation attempts to delete the old resource up to three times" in the clean-up of an update.
CLEANUP_TRIES = 3
# ServiceTimeout, when the resource does not say.
SERVICE_TIMEOUT_SECONDS = 3600
STACK = "AWS::CloudFormation::Stack"
# Between two looks at a stack that is to be deleted.
LOOK_SECONDS = 0.05

_failed_creates: dict[tuple[str, str], dict] = {}  # (StackId, LogicalResourceId) -> its record
_not_deleted: set[tuple[str, str]] = set()  # (stack name, LogicalResourceId)
_shown: dict[tuple[str, str], dict] = {}  # (StackId, LogicalResourceId) -> how CloudFormation shows the resource
_answered: dict[tuple[str, str], dict] = {}  # the same, of an Update that was answered by a function which has not ended


def _stack(stack_name: str) -> dict:
    return cloudformation._stacks.get(stack_name) or {}


def _stack_event(stack_id: str, stack_name: str, status: str, reason: str = "") -> None:
    stacks._add_event(stack_id, stack_name, stack_name, "AWS::CloudFormation::Stack", status, reason, stack_id)


# --- Custom resources -------------------------------------------------------------------------------------------------


def _response_url(event: dict) -> str:
    """The presigned URL for the response to this request, signed by botocore as S3 does it."""
    region = event["StackId"].split(":")[3]
    bucket = f"cloudformation-custom-resource-response-{region.replace('-', '')}"
    key = quote(f"{event['StackId']}|{event['LogicalResourceId']}|{event['RequestId']}", safe="/")
    request = AWSRequest(method="PUT", url=f"{FRONT_URL}/{bucket}/{key}")
    credentials = Credentials(RESPONSE_ACCESS_KEY, RESPONSE_KEY)
    S3SigV4QueryAuth(credentials, "s3", region, expires=RESPONSE_EXPIRES_SECONDS).add_auth(request)
    return request.url


def _request(event: dict) -> dict | None:
    """Sends one request; the response that the strict proxy accepted, or none within ServiceTimeout."""
    token = event["ResourceProperties"]["ServiceToken"]
    record, config, _ = lambda_svc._get_func_record_for_ref(token)
    if record is None or config is None:
        raise ValueError(f"Custom resource ServiceToken {token!r} not found.")
    timeout = float(event["ResourceProperties"].get("ServiceTimeout", SERVICE_TIMEOUT_SECONDS))
    until = time.monotonic() + timeout
    responded = custom_resource.register_token(event["RequestId"])
    arguments = (lambda_functions.invoke_asynchronously, lambda_svc._execution_record_for_config(record, config), event)
    runs = threading.Thread(target=contextvars.copy_context().run, args=arguments, daemon=True)
    runs.start()
    responded.wait(timeout)
    _show_answer(event)
    runs.join(max(0.0, until - time.monotonic()))
    _answered.pop((event["StackId"], event["LogicalResourceId"]), None)
    with custom_resource._lock:
        return custom_resource._pending.pop(event["RequestId"])["result"]


def _show_answer(event: dict) -> None:
    """Shows what became of an Update as soon as it is answered, which the function may still be waiting for.

    CloudFormation Template Reference, "Custom resource request and response reference": CloudFormation goes on with the response.
    """
    with custom_resource._lock:
        response = custom_resource._pending[event["RequestId"]]["result"]
    if response is None or event["RequestType"] != "Update":
        return
    answered = {"ResourceStatus": "UPDATE_FAILED"}
    if response["Status"] == "SUCCESS":
        answered = {"ResourceStatus": "UPDATE_COMPLETE", "PhysicalResourceId": response["PhysicalResourceId"]}
    _answered[(event["StackId"], event["LogicalResourceId"])] = {**answered, "Timestamp": now_iso()}


@patch(provisioners, "_physical_name")
def physical_name(original, stack_name, logical_id, *, max_len=128, **kwargs):
    """Cuts the stack's name in a name that is too long, and keeps the logical id.

    CloudFormation does so for the roles of a StackSet's stacks. MiniStack cuts from the end.
    """
    whole = original(stack_name, logical_id, max_len=len(stack_name) + len(logical_id) + max_len, **kwargs)
    kept = len(stack_name) - max(0, len(whole) - max_len)
    if kept <= 0:
        return original(stack_name, logical_id, max_len=max_len, **kwargs)
    return whole[:kept] + whole[len(stack_name) :]


@patch(custom_resource, "invoke_custom_resource")
def invoke_custom_resource(_original, request_type, logical_id, props, stack_name, stack_id, resource_type, physical_id=None,
                           old_props=None):
    """Invokes the function asynchronously, with a presigned S3 URL for the response, and waits for at most ServiceTimeout.

    CloudFormation User Guide, "Custom resources", "Custom resource request and response reference", and "Update behaviors":
    the clean-up after an update tries each Delete three times. A Create that failed is known by the id of its response, or by
    one that CloudFormation generates. MiniStack invokes the function once and synchronously, with a URL that anybody can use.
    It goes on only when the function has ended, so that its log is complete.
    """
    cleaning_up = request_type == "Delete" and _stack(stack_name).get("StackStatus", "").endswith("_CLEANUP_IN_PROGRESS")
    for _ in range(CLEANUP_TRIES if cleaning_up else 1):
        event = {"RequestType": request_type, "RequestId": new_uuid(), "StackId": stack_id, "ResourceType": resource_type,
                 "LogicalResourceId": logical_id, "ResourceProperties": custom_resource._normalise_resource_properties(props)}
        if physical_id is not None:
            event["PhysicalResourceId"] = physical_id
        if old_props is not None:
            event["OldResourceProperties"] = custom_resource._normalise_resource_properties(old_props)
        response = _request({**event, "ResponseURL": _response_url(event)})
        if response and response["Status"] == "SUCCESS":
            return response["PhysicalResourceId"], response.get("Data") or {}
    if request_type == "Create":
        generated = "".join(random.choices(string.ascii_uppercase + string.digits, k=GENERATED_ID_LENGTH))
        _failed_creates[(stack_id, logical_id)] = {
            "PhysicalResourceId": (response or {}).get("PhysicalResourceId") or f"{stack_name}-{logical_id}-{generated}",
            "ResourceType": resource_type, "ResourceStatus": "CREATE_FAILED", "LogicalResourceId": logical_id,
            "Properties": props, "Attributes": {}}
    if response is None:
        raise TimeoutError("CloudFormation did not receive a response from your Custom Resource. "
                           f"Please check your logs for requestId [{event['RequestId']}].")
    raise RuntimeError("Received response status [FAILED] from custom resource. Message returned: "
                       f"{response.get('Reason')} (RequestId: {event['RequestId']})")


# --- Roll-back and deletion -------------------------------------------------------------------------------------------


async def _update_back(stack_name, stack_id, stack, operation) -> dict:
    """Sends an Update to each replaced custom resource of a failed update; the records of those that fail."""
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
        except Exception:  # MiniStack has written the event; its own reverts continue in the same way.
            failed[logical_id] = {"PhysicalResourceId": made_id, "ResourceType": kind, "Attributes": attributes,
                                  "RevertFrom": made["Properties"], "RevertTo": before["Properties"]}
    return failed


def _show_previous(stack_id, operation) -> None:
    """Shows again what an update replaced: from here on this is the resource, and its replacement is deleted beside it."""
    previous = (operation.get("previous_stack") or {}).get("_resources", {}) if operation.get("is_update") else {}
    for logical_id in operation.get("created") or []:
        before, shown = previous.get(logical_id), _shown.get((stack_id, logical_id))
        if before and shown and not before["ResourceType"].startswith("Custom::"):
            shown.update(ResourceStatus="UPDATE_COMPLETE", PhysicalResourceId=before["PhysicalResourceId"], Timestamp=now_iso())


@patch(stacks, "_roll_back_operation")
async def roll_back(original, stack_name, stack_id, stack, operation, *args, **kwargs):
    """Goes back to what was replaced before it updates what depends on it; updates a replaced custom resource back before its
    replacement is deleted; deletes a resource whose Create failed; keeps in the stack what could not be deleted.

    CloudFormation User Guide, "Stack failure options", "Custom resources" (a failed Create is followed by a Delete), and
    "Continue rolling back an update". MiniStack does the first without showing it, and none of the three others.
    """
    _show_previous(stack_id, operation)
    failed = await _update_back(stack_name, stack_id, stack, operation)
    logical_id = operation.get("failed_logical_id")
    record = _failed_creates.pop((stack_id, logical_id), None)
    if record is not None:
        # The last that was made is deleted first.
        stack.setdefault("_resources", {})[logical_id] = record
        operation = {**operation, "created": [*(operation.get("created") or []), logical_id]}
    await original(stack_name, stack_id, stack, operation, *args, **kwargs)
    if failed:
        stack["StackStatus"] = "UPDATE_ROLLBACK_FAILED"
        stack["_rollback_failed"] = {**stack.get("_rollback_failed", {}), **failed}
        _stack_event(stack_id, stack_name, "UPDATE_ROLLBACK_FAILED", stacks._rollback_failure_reason(stack["_rollback_failed"]))
    if stack["StackStatus"] == "ROLLBACK_FAILED":
        for name, left in stack.get("_rollback_failed", {}).items():
            stack["_resources"][name] = {"LogicalResourceId": name, "Attributes": {}, **left, "ResourceStatus": "DELETE_FAILED"}
    if stack.pop("_deleted_meanwhile", None):
        # Its deletion is under way, so nobody sees it at rest in between.
        stack["StackStatus"] = "DELETE_IN_PROGRESS"


@patch(stacks, "_delete_resource")
def delete_resource(original, resource_type, physical_id, props, stack_name=None, logical_id=None, *args, **kwargs):
    """Deletes a resource before those that it depends on, and so deletes none that a resource still needs which it could not
    delete.

    CloudFormation Template Reference, "DependsOn attribute". MiniStack goes on with the others.
    """
    stack = _stack(stack_name)
    if stack.get("StackStatus") == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
        # The clean-up tells of what it deletes. `tests/recordings/cloudformation/replacement.yaml`
        event = (stack["StackId"], stack_name, logical_id, resource_type)
        stacks._add_event(*event, "DELETE_IN_PROGRESS", physical_id=physical_id)
        result = original(resource_type, physical_id, props, stack_name, logical_id, *args, **kwargs)
        stacks._add_event(*event, "DELETE_COMPLETE", physical_id=physical_id)
        return result
    if stack.get("StackStatus") not in ("DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
        return original(resource_type, physical_id, props, stack_name, logical_id, *args, **kwargs)
    definitions = (_stack(stack_name).get("_template") or {}).get("Resources", {})
    waiting = [other for name, other in _not_deleted if name == stack_name and other != logical_id]
    _not_deleted.add((stack_name, logical_id))
    if logical_id in stacks._with_dependencies(waiting, definitions, set(definitions)):
        raise RuntimeError(f"{logical_id} is still needed")
    result = original(resource_type, physical_id, props, stack_name, logical_id, *args, **kwargs)
    _not_deleted.discard((stack_name, logical_id))
    return result


@patch(handlers, "_delete_stack_async")
async def delete_stack(original, stack_name, stack_id, *args, **kwargs):
    """A stack that is deleted while it is created creates nothing more, and deletes what it has and what was under way.

    CloudFormation API Reference, DeleteStack; which of its answers AWS gives meanwhile is not documented (B-3). MiniStack goes on creating
    beside the deletion.
    """
    stack = _stack(stack_name)
    if stack.get("StackStatus") == "CREATE_IN_PROGRESS":
        stack["_deleted_meanwhile"] = True
    while stack.get("_deleted_meanwhile") and stack["StackStatus"].endswith("_IN_PROGRESS"):
        await asyncio.sleep(LOOK_SECONDS)
    stack.pop("_deleted_meanwhile", None)
    await original(stack_name, stack_id, *args, **kwargs)


# --- What it shows ----------------------------------------------------------------------------------------------------


@patch(stacks, "_resolve_stack_outputs")
def show_clean_up(original, outputs, conditions, resources, parameters, mappings, stack_name, stack_id):
    """Shows UPDATE_COMPLETE_CLEANUP_IN_PROGRESS while it deletes what an update replaced or removed.

    CloudFormation User Guide, "Stack status codes". MiniStack shows UPDATE_IN_PROGRESS.
    """
    resolved = original(outputs, conditions, resources, parameters, mappings, stack_name, stack_id)
    if _stack(stack_name).get("StackStatus") == "UPDATE_IN_PROGRESS":
        _stack(stack_name)["StackStatus"] = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        _stack_event(stack_id, stack_name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    return resolved


@patch(stacks, "_add_event")
def record_status(original, stack_id, stack_name, logical_id, resource_type, status, reason="", physical_id="", *args, **kwargs):
    """Records the status of each resource for `describe_resources`; says of what an update adds that it is created, and of what is
    created that this has begun, with its id.

    CloudFormation User Guide, "View stack events"; `tests/recordings/cloudformation/`, replacement and resources.
    """
    if status == "CREATE_IN_PROGRESS" and _stack(stack_name).get("_deleted_meanwhile"):
        raise RuntimeError("Resource creation cancelled")
    shown = _shown.setdefault((stack_id, logical_id), {"ResourceType": resource_type, "PhysicalResourceId": ""})
    before = shown.get("ResourceStatus", "DELETE_COMPLETE")
    if resource_type != STACK and status.startswith("UPDATE_") and (before == "DELETE_COMPLETE" or before.startswith("CREATE_IN")):
        status = status.replace("UPDATE_", "CREATE_")
    known = shown["PhysicalResourceId"] if before != "DELETE_COMPLETE" else ""
    if resource_type != STACK and status in ("CREATE_COMPLETE", "UPDATE_COMPLETE") and physical_id not in ("", known):
        begun = status.replace("COMPLETE", "IN_PROGRESS")
        original(stack_id, stack_name, logical_id, resource_type, begun, "Resource creation Initiated", physical_id)
    # A replaced resource has two ids, and the deletion of one is not that of the resource.
    other = physical_id and shown["PhysicalResourceId"] not in ("", physical_id)
    if not (other and status.startswith("DELETE_")):
        shown.update(ResourceStatus=status, PhysicalResourceId=physical_id or shown["PhysicalResourceId"], Timestamp=now_iso())
    return original(stack_id, stack_name, logical_id, resource_type, status, reason, physical_id, *args, **kwargs)


@patch(handlers._ACTION_HANDLERS, "DescribeStackResources")
def describe_resources(original, params, gone=True):
    """Shows a resource from its creation until after its deletion, with the status it has now.

    CloudFormation API Reference, DescribeStackResources. MiniStack shows it between the two, as complete.
    """
    stack = handlers._resolve_stack(handlers._p(params, "StackName"))
    if stack is None:
        return original(params)
    kept, stack_id = stack.get("_resources", {}), stack["StackId"]
    shown = {name: {**shown, **_answered.get((of, name), {})} for (of, name), shown in _shown.items()
             if of == stack_id and name != stack["StackName"] if gone or name in kept}
    # Requests are handled one at a time, so no other sees this.
    stack["_resources"] = {name: {**kept.get(name, {}), **resource} for name, resource in shown.items()}
    try:
        return original(params)
    finally:
        stack["_resources"] = kept


@patch(handlers._ACTION_HANDLERS, "DescribeStackResource")
def describe_resource(original, params):
    """Shows one resource of those that the stack has, with the status it has now. `tests/recordings/cloudformation/removed-resource`."""
    return describe_resources(original, params, gone=False)


@patch(changesets, "_resolve_props_for_diff")
def leave_out_conditional(original, template, parameters, stack_name, stack_id):
    """A resource whose condition is false is not part of the stack; when it becomes true, the change set adds the resource.

    CloudFormation Template Reference, "Conditions". MiniStack counts the resource as existing.
    """
    resolved = original(template, parameters, stack_name, stack_id)
    if not resolved:
        return resolved
    conditions = engine._evaluate_conditions(template, parameters)
    resources = {name: resource for name, resource in resolved["Resources"].items()
                 if conditions.get(resource.get("Condition"), True)}
    return {**resolved, "Resources": resources}
