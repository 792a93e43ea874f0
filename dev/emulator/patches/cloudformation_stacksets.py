"""AWS::CloudFormation::StackSet with the permission model SERVICE_MANAGED, which MiniStack does not have.

A stack of the StackSet's template is made in each account of its organizational units, by CloudFormation itself, in the
account's own name. Never in the management account ("Deployment targets"). The organization is MiniStack's own, so accounts are
made and moved with the API of Organizations; an account that is moved gets its stack or loses it, as AutoDeployment says.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import organizations
from ministack.services.cloudformation import provisioners, stacks

from . import add, patch

# Between two looks at a member's stack.
POLL_SECONDS = 0.1
# Longer than a stack takes; a hung one shows as a failure of the operation.
LIMIT_SECONDS = 120

_stack_sets: dict[str, dict] = {}  # by their physical ids


def _cloudformation(account: str, region: str):
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    return boto3.client("cloudformation", region_name=region, endpoint_url=endpoint, aws_access_key_id=account,
                        aws_secret_access_key="test")


def _within(parent: str | None, units: set[str]) -> bool:
    """Whether an account with this parent is in one of the units, or in one below them."""
    while parent:
        if parent in units:
            return True
        parent = (organizations._ous.get(parent) or {}).get("_ParentId")
        if parent is None:
            return any(unit.startswith("r-") for unit in units)
    return False


def _accounts(group: dict, filtered: bool = True) -> list[str]:
    """The accounts of the calling organization that a group of stack instances is for."""
    targets = group["DeploymentTargets"]
    units, named = set(targets["OrganizationalUnitIds"]), set(targets.get("Accounts") or [])
    kind = targets.get("AccountFilterType", "NONE") if filtered else "NONE"
    if kind == "UNION" or (kind == "NONE") != (not named or not filtered):
        raise ValueError(f"AccountFilterType {kind} does not go with these Accounts")
    found = [account for account, record in organizations._accounts.items()
             if account != get_account_id() and record["Status"] == "ACTIVE" and _within(record["_ParentId"], units)]
    return sorted(account for account in found if {"NONE": True, "INTERSECTION": account in named,
                                                   "DIFFERENCE": account not in named}[kind])


def _ended(cloudformation, stack_id: str) -> str:
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:
        status = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(POLL_SECONDS)
    return "TIMED_OUT"


def _deploy(stack_set: dict, account: str, region: str) -> bool:
    """Creates or updates the stack of one account."""
    cloudformation, props = _cloudformation(account, region), stack_set["props"]
    what = {"TemplateURL": props["TemplateURL"], "Capabilities": props.get("Capabilities", []), "Parameters": props["Parameters"]}
    stack_id = stack_set["instances"].get((account, region))
    try:
        if stack_id is None:
            name = f"StackSet-{props['StackSetName']}-{new_uuid()}"
            stack_id = cloudformation.create_stack(StackName=name, **what)["StackId"]
            stack_set["instances"][(account, region)] = stack_id
        else:
            cloudformation.update_stack(StackName=stack_id, **what)
    except cloudformation.exceptions.ClientError as error:
        if "No updates are to be performed" in str(error):
            return True
        print(f"StackSet: {account}: {error}", flush=True)
        return False
    return _ended(cloudformation, stack_id) in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def _remove(stack_set: dict, account: str, region: str) -> bool:
    cloudformation = _cloudformation(account, region)
    stack_id = stack_set["instances"].pop((account, region))
    cloudformation.delete_stack(StackName=stack_id)
    return _ended(cloudformation, stack_id) == "DELETE_COMPLETE"


def _operate(stack_set: dict, work, instances) -> None:
    """One operation: all accounts at once, and a failure when more than the tolerance fail."""
    instances = list(instances)
    if not instances:
        return
    with ThreadPoolExecutor(len(instances)) as pool:
        failed = [instance for instance, done in zip(instances, pool.map(lambda one: work(stack_set, *one), instances)) if not done]
    tolerance = len(instances) * int(stack_set["props"]["OperationPreferences"].get("FailureTolerancePercentage", 0)) // 100
    if len(failed) > tolerance:
        accounts = ", ".join(account for account, _ in failed)
        raise RuntimeError(f"StackSet operation failed: more than {tolerance} of {len(instances)} accounts failed ({accounts})")


def _targets(stack_set: dict, filtered: bool = True) -> set[tuple[str, str]]:
    groups = stack_set["props"].get("StackInstancesGroup") or []
    return {(account, region) for group in groups for region in group["Regions"] for account in _accounts(group, filtered)}


def create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    if props["PermissionModel"] != "SERVICE_MANAGED":
        raise ValueError("only service-managed StackSets are known here")
    physical_id = f"{props['StackSetName']}:{new_uuid()}"
    stack_set = {"props": props, "instances": {}, "account": get_account_id(), "region": get_region()}
    _stack_sets[physical_id] = stack_set
    try:
        _operate(stack_set, _deploy, sorted(_targets(stack_set)))
    except Exception:
        # CloudFormation then removes what there is, as of any resource that failed.
        delete(physical_id, props)
        raise
    return physical_id, {"StackSetId": physical_id}


def update(physical_id: str, old_props: dict, new_props: dict, stack_name: str) -> tuple[str, dict]:
    stack_set = _stack_sets[physical_id]
    stack_set["props"] = new_props
    targets = _targets(stack_set)
    _operate(stack_set, _remove, set(stack_set["instances"]) - targets)
    _operate(stack_set, _deploy, sorted(targets))
    return physical_id, {"StackSetId": physical_id}


def delete(physical_id: str, props: dict) -> None:
    stack_set = _stack_sets.pop(physical_id, None)
    if stack_set is not None:
        _operate(stack_set, _remove, list(stack_set["instances"]))


def _enabled(value) -> bool:
    return str(value).lower() == "true"


@patch(organizations._DISPATCH, "MoveAccount")
def move_account(original, payload):
    """The StackSets of the organization follow an account that is moved, without the filter, which is for operations.

    CloudFormation User Guide, "Enable or disable automatic deployments for StackSets in AWS Organizations".
    """
    answer = original(payload)
    account, moved = get_account_id(), payload.get("AccountId")
    if answer[0] == 200:
        threading.Thread(target=_follow, args=(account, moved), daemon=True).start()
    return answer


def _follow(management_account: str, moved: str) -> None:
    for stack_set in list(_stack_sets.values()):
        deployment = stack_set["props"].get("AutoDeployment") or {}
        if stack_set["account"] != management_account or not _enabled(deployment.get("Enabled")):
            continue
        with request_scope(management_account, stack_set["region"]):
            targets = {one for one in _targets(stack_set, filtered=False) if one[0] == moved}
        have = {one for one in stack_set["instances"] if one[0] == moved}
        for account, region in targets - have:
            _deploy(stack_set, account, region)
        for account, region in have - targets:
            if _enabled(deployment.get("RetainStacksOnAccountRemoval")):
                stack_set["instances"].pop((account, region))
            else:
                _remove(stack_set, account, region)


@patch(stacks, "_runs_on_worker_thread")
def run_on_worker_thread(original, resource_type: str) -> bool:
    """A StackSet waits for the stacks of its members, so it must not block MiniStack's event loop."""
    return resource_type == "AWS::CloudFormation::StackSet" or original(resource_type)


add(provisioners._RESOURCE_HANDLERS, "AWS::CloudFormation::StackSet", {"create": create, "update": update, "delete": delete})
