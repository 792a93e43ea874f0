"""AWS CloudFormation: access keys, secrets, policies and roles.

AWS CloudFormation Template Reference: AWS::IAM::AccessKey, AWS::IAM::ManagedPolicy, AWS::IAM::Role, AWS::SecretsManager::Secret;
IAM User Guide, "IAM and AWS STS quotas".
"""

from __future__ import annotations

import json
import re

from ministack.core import iam_evaluator
from ministack.services import iam, secretsmanager
from ministack.services.cloudformation import provisioners

from . import add, changed

# "Access keys assigned to an IAM user", which no request raises.
ACCESS_KEYS_PER_USER = 2
# "Managed policies attached to an IAM role", and to a user: the default, of which more can be asked for.
POLICIES_PER_ENTITY = 10
# "Managed policies cannot exceed 6,144 characters"; white space does not count.
POLICY_CHARACTERS = 6144

ENTITIES = (("Roles", "role", "PoliciesPerRole", iam._roles), ("Users", "user", "PoliciesPerUser", iam._users))


def checked(answer, resource_type: str):
    """The answer of an IAM operation, which fails the resource when it is an error."""
    status, _headers, body = answer
    if status >= 400:
        provisioners._rds_raise(status, body, resource_type, "request")
    return body.decode() if isinstance(body, bytes) else body


# --- Access keys ------------------------------------------------------------------------------------------------------


def create_access_key(_logical_id, props, _stack_name):
    """Ref is the id of the key; the secret is an attribute, which CloudFormation knows from the creation only."""
    user = props["UserName"]
    if sum(key["UserName"] == user for key in iam._access_keys.values()) >= ACCESS_KEYS_PER_USER:
        raise ValueError(f"Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS_PER_USER}")
    body = checked(iam._create_access_key({"UserName": user}), "AWS::IAM::AccessKey")
    key = re.search(r"<AccessKeyId>(.+?)</AccessKeyId>", body).group(1)
    if props.get("Status"):
        iam._access_keys[key]["Status"] = props["Status"]
    return key, {"SecretAccessKey": iam._access_keys[key]["SecretAccessKey"]}


def update_access_key(physical_id, _old, new, _stack_name):
    """Only the status changes in place; UserName and Serial make another key."""
    record = iam._access_keys[physical_id]
    record["Status"] = new.get("Status") or "Active"
    return physical_id, {"SecretAccessKey": record["SecretAccessKey"]}


def delete_access_key(physical_id, _props):
    iam._access_keys.pop(physical_id, None)


ACCESS_KEY = {"create": create_access_key, "update": update_access_key, "delete": delete_access_key}


# --- Secrets ----------------------------------------------------------------------------------------------------------


def by_arn(handler):
    """The id of a secret is its ARN; MiniStack's is its name, which no policy can use as a resource."""

    def name_of(physical_id):
        return next((name for name, secret in secretsmanager._secrets.items() if secret["ARN"] == physical_id), physical_id)

    def create(logical_id, props, stack_name):
        _name, attributes = handler["create"](logical_id, props, stack_name)
        return attributes["Arn"], attributes

    def update(physical_id, old, new, stack_name, logical_id=None):
        _name, attributes = handler["update"](name_of(physical_id), old, new, stack_name, logical_id)
        return attributes["Arn"], attributes

    def delete(physical_id, props):
        handler["delete"](name_of(physical_id), props)

    return {**handler, "create": create, "update": update, "delete": delete}


# --- Policies ---------------------------------------------------------------------------------------------------------


def refuse_bad_policy(props) -> None:
    """What CreatePolicy and CreatePolicyVersion refuse."""
    document = props.get("PolicyDocument", {})
    if wrong := iam_evaluator.validate_policy_document(document):
        raise ValueError(wrong)
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    if len(re.sub(r"\s", "", text)) > POLICY_CHARACTERS:
        raise ValueError(f"Cannot exceed quota for PolicySize: {POLICY_CHARACTERS}")


def refuse_attachment(props, arn: str | None) -> None:
    """What AttachRolePolicy and AttachUserPolicy refuse: who does not exist, and one too many."""
    for prop, kind, quota, store in ENTITIES:
        for name in props.get(prop) or []:
            if name not in store:
                raise ValueError(f"The {kind} with name {name} cannot be found.")
            attached = store[name].get("AttachedPolicies", [])
            if arn not in attached and len(attached) >= POLICIES_PER_ENTITY:
                raise ValueError(f"Cannot exceed quota for {quota}: {POLICIES_PER_ENTITY}")


def refusing(handler):
    """MiniStack takes any document, and attaches to those it finds."""

    def create(logical_id, props, stack_name):
        refuse_bad_policy(props)
        refuse_attachment(props, None)
        return handler["create"](logical_id, props, stack_name)

    def update(physical_id, old, new, stack_name, logical_id=None):
        refuse_bad_policy(new)
        refuse_attachment(new, physical_id)
        return handler["update"](physical_id, old, new, stack_name, logical_id)

    return {**handler, "create": create, "update": update}


def bounded(handler):
    """A role's PermissionsBoundary, which MiniStack leaves out."""

    def bound(name, props):
        boundary = props.get("PermissionsBoundary")
        if boundary and (refused := iam._boundary_policy_error(boundary)):
            checked(refused, "AWS::IAM::Role")
        iam._roles[name]["PermissionsBoundary"] = boundary

    def create(logical_id, props, stack_name):
        name, attributes = handler["create"](logical_id, props, stack_name)
        bound(name, props)
        return name, attributes

    def update(physical_id, old, new, stack_name, logical_id=None):
        name, attributes = handler["update"](physical_id, old, new, stack_name, logical_id)
        bound(name, new)
        return name, attributes

    return {**handler, "create": create, "update": update}


# --- Registration -----------------------------------------------------------------------------------------------------

_handlers, _replacing = provisioners._RESOURCE_HANDLERS, provisioners._REPLACING_PROPERTIES
add(_handlers, "AWS::IAM::AccessKey", ACCESS_KEY)
add(_replacing, "AWS::IAM::AccessKey", ("Serial", "UserName"))
_replacing.setdefault("AWS::SecretsManager::Secret", ("Name",))
for _type, _stricter in (("AWS::IAM::ManagedPolicy", refusing), ("AWS::IAM::Role", bounded), ("AWS::SecretsManager::Secret", by_arn)):
    if not _handlers[_type].get("update_with_logical_id"):
        raise changed(f"{_type} is updated in another way")
    _handlers[_type] = _stricter(_handlers[_type])
