"""Which fields answers have, as real AWS was recorded (`tests/recordings/`): S3, IAM and CloudFormation leave out what is empty.

The rules of a service are in its own file; here is only what its answers look like. `make emulator-test` replays every recording.
"""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

from defusedxml.ElementTree import fromstring
from ministack.services import cloudformation, iam, s3, sts
from ministack.services.cloudformation import handlers, helpers

from . import patch
from .iam import one

# --- XML --------------------------------------------------------------------------------------------------------------


def local(element) -> str:
    return element.tag.rpartition("}")[2]


def rewritten(answer: tuple, change) -> tuple:
    """An XML answer after `change` had its root element; what is no success stays as it is."""
    status, headers, body = answer
    if status != 200:
        return answer
    root = fromstring(body)
    ElementTree.register_namespace("", root.tag.partition("}")[0].lstrip("{"))
    change(root)
    return status, headers, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def each(root, name: str):
    return [element for element in root.iter() if local(element) == name]


def without(element, *names: str, empty_only: bool = True) -> None:
    for child in list(element):
        if local(child) in names and not (empty_only and (child.text or len(child))):
            element.remove(child)


def with_text(element, name: str, text: str = "") -> None:
    """Adds a child unless there is one."""
    if all(local(child) != name for child in element):
        ElementTree.SubElement(element, element.tag.replace(local(element), name)).text = text


# --- Amazon S3 --------------------------------------------------------------------------------------------------------

# Errors that name the bucket.
NAMES_BUCKET = {"BucketAlreadyOwnedByYou", "BucketNotEmpty", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchLifecycleConfiguration",
                "NoSuchPublicAccessBlockConfiguration", "NoSuchTagSet", "OwnershipControlsNotFoundError"}
# AWS Billing User Guide, "User-defined tag restrictions": letters, numbers, spaces and these.
SESSION_NAME = re.compile(r"[\w+=,.@-]*")
TAG_TEXT = re.compile(r"[\w\s+\-=._:/@]*")


@patch(s3, "_error")
def name_bucket(original, code, message, status, resource="", extra=None, headers=None):
    """An error names the bucket, and no path."""
    extra = dict(extra or {})
    if code in NAMES_BUCKET:
        extra.setdefault("BucketName", resource.split("/")[1] if "/" in resource else resource)
    status, headers, body = original(code, message, status, "", extra, headers)
    return status, headers, body.replace(b"<Resource />", b"")


def _tag_refused(tags: dict):
    for key, value in tags.items():
        for name, text, said in (("TagKey", key, {"TagKey": key}), ("TagValue", value, {"TagKey": key, "TagValue": value})):
            if not TAG_TEXT.fullmatch(text):
                return s3._error("InvalidTag", f"The {name} you have provided is invalid", 400, extra=said)
    return None


@patch(s3, "_validate_bucket_tags")
def refuse_tags(original, tags, *args, **kwargs):
    """Tags have letters, numbers, spaces and a few signs."""
    return original(tags, *args, **kwargs) or _tag_refused(tags)


@patch(s3, "_create_bucket")
def create_bucket(original, name, body, headers=None, endpoint_region=None):
    """Names the new bucket's ARN and, outside us-east-1, its host. The owner of a bucket may make it again in us-east-1, without
    tags and without another Region's constraint."""
    if name in s3._buckets and (s3._location_constraint(body) or s3._parse_tags_xml(body) if body else False):
        return s3._error("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.",
                         409, f"/{name}")
    status, found, answer = original(name, body, headers, endpoint_region)
    if status == 200:
        found = {**found, "x-amz-bucket-arn": f"arn:aws:s3:::{name}"}
        if s3.bucket_region(name) != "us-east-1":
            found["Location"] = f"http://{name}.s3.amazonaws.com/"
    return status, found, answer


@patch(s3, "_head_bucket")
def head_bucket(original, name):
    """Says that the name is no alias of an access point."""
    status, headers, body = original(name)
    return status, {**headers, "x-amz-access-point-alias": "false"} if status == 200 else headers, body


@patch(s3, "_delete_objects")
def delete_objects(original, bucket, body, headers=None):
    """A version that is not there is an error beside success."""
    answer = original(bucket, body, headers)
    kept = s3._bucket_versioning.get(bucket)

    def change(root):
        for deleted in each(root, "Deleted"):
            version = {local(child): child.text for child in deleted}.get("VersionId")
            if kept or version in (None, "null"):
                continue
            deleted.tag = deleted.tag.replace("Deleted", "Error")
            with_text(deleted, "Code", "NoSuchVersion")
            with_text(deleted, "Message", "The specified version does not exist.")
    return rewritten(answer, change)


@patch(s3, "_list_object_versions")
def list_object_versions(original, bucket, parameters):
    """Says how keys are encoded when it was asked to encode them; owners have no name."""
    def change(root):
        for owner in each(root, "Owner"):
            without(owner, "DisplayName", empty_only=False)
        if encoding := one(parameters, "encoding-type"):
            with_text(root, "EncodingType", encoding)
    return rewritten(original(bucket, parameters), change)


# --- AWS STS ----------------------------------------------------------------------------------------------------------


@patch(sts, "_invalid_role_arn")
def invalid_role_arn(_original, arn):
    """The words for an ARN that is none."""
    return sts._error(400, "ValidationError", f"{arn} is invalid", ns="sts")


@patch(sts, "_assumed_role_arn")
def assumed_role_arn(original, arn, session):
    """The words for the name of a session that is none."""
    if not SESSION_NAME.fullmatch(session or ""):
        return None, sts._error(400, "ValidationError", f"1 validation error detected: Value '{session}' at 'roleSessionName' failed to "
                                f"satisfy constraint: Member must satisfy regular expression pattern: {SESSION_NAME.pattern}", ns="sts")
    return original(arn, session)


@patch(sts, "_xml")
def assume_role(original, status, name, inner, **kwargs):
    """A session without policies and tags has no packed size."""
    return original(status, name, inner.replace("<PackedPolicySize>0</PackedPolicySize>", "") if name == "AssumeRoleResponse" else inner,
                    **kwargs)


# --- IAM --------------------------------------------------------------------------------------------------------------


@patch(iam, "_role_xml")
def role(original, name, *args, **kwargs):
    """A description that was not given is left out."""
    return original(name, *args, **kwargs).replace("<Description></Description>", "")


def _roles(action: str, change) -> None:
    @patch(iam._IAM_HANDLERS, action)
    def shape(original, parameters):
        return rewritten(original(parameters), change)


# A new role is shown without the longest session, one of many without its tags, and one alone with its last use.
_roles("CreateRole", lambda root: [without(one_role, "MaxSessionDuration", empty_only=False) for one_role in each(root, "Role")])
_roles("GetRole", lambda root: [with_text(one_role, "RoleLastUsed") for one_role in each(root, "Role")])
_roles("ListRoles", lambda root: [without(one_role, "Tags", empty_only=False) for one_role in each(root, "member")])
_roles("GetPolicy", lambda root: [with_text(policy, "Tags") for policy in each(root, "Policy")])


@patch(iam._IAM_HANDLERS, "CreateRole")
def create_role(original, parameters):
    """The trust has to be JSON."""
    try:
        json.loads(one(parameters, "AssumeRolePolicyDocument"))
    except ValueError:
        return iam._error(400, "MalformedPolicyDocument", "This policy contains invalid Json", ns="iam")
    return original(parameters)


def _attach(action: str) -> None:
    @patch(iam._IAM_HANDLERS, action)
    def attach(original, parameters):
        arn = one(parameters, "PolicyArn")
        if not arn.startswith("arn:"):
            return iam._error(400, "ValidationError", "Invalid ARN:  Could not be parsed!", ns="iam")
        # Of AWS's own policies MiniStack has a few only.
        if iam._lookup_policy(arn) is None and not iam._is_aws_managed_arn(arn):
            return iam._error(404, "NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", ns="iam")
        return original(parameters)


_attach("AttachRolePolicy")
_attach("AttachUserPolicy")


@patch(iam._IAM_HANDLERS, "DeletePolicy")
def delete_policy(original, parameters):
    """The words for a policy that is not there."""
    arn = one(parameters, "PolicyArn")
    if iam._lookup_policy(arn) is None:
        return iam._error(404, "NoSuchEntity", f"Policy {arn} was not found.", ns="iam")
    return original(parameters)


def _simulated(result) -> None:
    """What the simulator says beside its decision; where the account has no service control policy, they allow everything."""
    said = {local(child): child.text or "" for child in result}
    with_text(result, "EvalDecisionDetails")
    with_text(result, "OrganizationsDecisionDetail")
    for detail in each(result, "OrganizationsDecisionDetail"):
        with_text(detail, "AllowedByOrganizations", "true")
    with_text(result, "ResourceSpecificResults")
    for results in each(result, "ResourceSpecificResults"):
        with_text(results, "member")
        for specific in results:
            with_text(specific, "EvalResourceName", said["EvalResourceName"])
            with_text(specific, "EvalResourceDecision", said["EvalDecision"])
            with_text(specific, "MatchedStatements")
            with_text(specific, "MissingContextValues")


@patch(iam._IAM_HANDLERS, "SimulatePrincipalPolicy")
def simulate(original, parameters):
    return rewritten(original(parameters), lambda root: [
        _simulated(result) for results in each(root, "EvaluationResults") for result in list(results)])


# --- AWS CloudFormation -----------------------------------------------------------------------------------------------

# What a stack that has none is shown without.
EMPTY = ("StackStatusReason", "LastUpdatedTime", "Description", "Capabilities", "Parameters", "Outputs")


@patch(handlers._ACTION_HANDLERS, "DescribeStacks")
def describe_stacks(original, parameters):
    """A stack is shown without what it does not have; one that was never updated has no time of an update."""
    def change(root):
        for stacks in each(root, "Stacks"):
            for shown in stacks:
                fields = {local(child): child.text for child in shown}
                known = next(one for one in cloudformation._stacks.values() if one["StackId"] == fields["StackId"])
                without(shown, *EMPTY)
                if not any(event["ResourceStatus"].startswith("UPDATE_") for event in cloudformation._stack_events[known["StackId"]]):
                    without(shown, "LastUpdatedTime", empty_only=False)
                with_text(shown, "RollbackConfiguration")
                with_text(shown, "NotificationARNs")
                for output in [one for outputs in each(shown, "Outputs") for one in outputs]:
                    without(output, "Description")
                if fields["StackStatus"] == "DELETE_COMPLETE":
                    without(shown, "EnableTerminationProtection", "Outputs", empty_only=False)
                    with_text(shown, "DeletionTime", known.get("DeletionTime") or fields["CreationTime"])
    return rewritten(original(parameters), change)


@patch(handlers._ACTION_HANDLERS, "DescribeStackEvents")
def describe_events(original, parameters):
    """A deleted stack is known by its id only."""
    name = one(parameters, "StackName")
    stack = cloudformation._stacks.get(name)
    if stack is not None and name != stack["StackId"] and stack["StackStatus"] == "DELETE_COMPLETE":
        return handlers._error("ValidationError", f"Stack [{name}] does not exist")
    return original(parameters)


@patch(handlers._ACTION_HANDLERS, "DescribeStackResource")
def describe_resource(original, parameters):
    """The words for a resource that is not there; one that is there has metadata, if none then empty ones."""
    answer = original(parameters)
    if answer[0] != 200 and b"does not exist in stack" in answer[2]:
        resource, stack = one(parameters, "LogicalResourceId"), one(parameters, "StackName")
        return handlers._error("ValidationError", f"Resource {resource} does not exist for stack {stack}")
    return rewritten(answer, lambda root: [with_text(detail, "Metadata", "{}") for detail in each(root, "StackResourceDetail")])


@patch(handlers._ACTION_HANDLERS, "UpdateStack")
def update_stack(original, parameters):
    """The words for a stack that is deleted."""
    name = one(parameters, "StackName")
    if any(stack["StackId"] == name and stack["StackStatus"] == "DELETE_COMPLETE" for stack in cloudformation._stacks.values()):
        return handlers._error("ValidationError", f"Stack:{name} is in DELETE_COMPLETE state and can not be updated.")
    return original(parameters)


@patch(helpers, "stack_name_problems")
def stack_name_problems(original, name):
    """The pattern that CloudFormation names takes an ARN too."""
    arn = "|arn:[-a-zA-Z0-9:/._+]*"
    return [problem if arn in problem or "pattern" not in problem else problem + arn for problem in original(name)]
