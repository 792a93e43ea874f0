"""On which resources, and under which condition keys, a call is decided, where MiniStack names another resource or none.

The permission packs narrow what they let through by resource, by tags and by conditions; without this file MiniStack would decide
on something else than AWS does. From the Service Authorization Reference, "Actions, resources, and condition keys" of EC2, EC2
Auto Scaling, ECS, EKS, ELB, EFS, IAM, Lambda, RDS, Route 53 and Certificate Manager, for the calls that `dev/tests/emulator/calls/` makes.
"""

from __future__ import annotations

import contextvars
import json
import re
from dataclasses import dataclass, field

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import alb, autoscaling, ec2, ecs, eks, iam, rds, tagging


@dataclass
class Decision:
    """One action on one resource, with the condition keys of just this one."""

    arn: str
    context: dict = field(default_factory=dict)
    # Another action than the call's, such as iam:PassRole.
    action: str = ""


_decisions: contextvars.ContextVar[tuple] = contextvars.ContextVar("decisions", default=())

# Prefix of an id -> type in an ARN.
EC2_TYPES = {"i": "instance", "vol": "volume", "snap": "snapshot", "sg": "security-group", "subnet": "subnet", "vpc": "vpc",
             "eni": "network-interface", "lt": "launch-template", "key": "key-pair", "pg": "placement-group"}
# Their ARNs name no account.
EC2_WITHOUT_ACCOUNT = ("image", "snapshot")
# What RunInstances always makes besides the instance.
EC2_STARTED = ("instance", "volume", "network-interface")
# The actions that have "iam:PermissionsBoundary". Of a call that sets a boundary it is the one in the request, of all others it is
# what the user or role has.
IAM_BOUNDED = ("AttachRolePolicy", "AttachUserPolicy", "DeleteRolePermissionsBoundary", "DeleteRolePolicy",
               "DeleteUserPermissionsBoundary", "DeleteUserPolicy", "DetachRolePolicy", "DetachUserPolicy", "PutRolePolicy",
               "PutUserPolicy")
IAM_BOUNDING = ("PutRolePermissionsBoundary", "PutUserPermissionsBoundary")
IAM_MAKES = {"CreateUser": ("user", "UserName"), "CreateRole": ("role", "RoleName")}
IAM_STORES = (("UserName", "user", "_users"), ("RoleName", "role", "_roles"), ("GroupName", "group", "_groups"),
              ("InstanceProfileName", "instance-profile", "_instance_profiles"))


def one(asked: dict, name: str) -> str:
    """A parameter of the query protocol, which MiniStack keeps as a list or as a text."""
    value = asked.get(name, "")
    return value[0] if isinstance(value, list) else value


def numbered(asked: dict, name: str) -> list[str]:
    """`InstanceId.1`, `InstanceId.2` and so on."""
    return [one(asked, key) for key in asked if re.fullmatch(rf"{re.escape(name)}\.\d+", key)]


# --- EC2 --------------------------------------------------------------------------------------------------------------


def ec2_arn(kind: str, name: str, region: str, account: str) -> str:
    return f"arn:aws:ec2:{region}:{'' if kind in EC2_WITHOUT_ACCOUNT else account}:{kind}/{name}"


def tags_by_type(asked: dict) -> dict[str, dict[str, str]]:
    """The tags that a request sets, by what they are for."""
    found: dict[str, dict[str, str]] = {}
    for key in asked:
        if match := re.fullmatch(r"(TagSpecification\.\d+)\.Tag\.(\d+)\.Key", key):
            specification, number = match.groups()
            kind = one(asked, f"{specification}.ResourceType")
            found.setdefault(kind, {})[one(asked, key)] = one(asked, f"{specification}.Tag.{number}.Value")
    return found


def request_tags(tags: dict[str, str]) -> dict:
    return {f"aws:requesttag/{name}".lower(): value for name, value in tags.items()} | ({"aws:tagkeys": list(tags)} if tags else {})


def tagging_at_creation(operation: str, tags: dict, region: str, account: str) -> list[Decision]:
    return [Decision(ec2_arn(kind, "*", region, account), {"ec2:createaction": operation, **request_tags(given)}, "ec2:CreateTags")
            for kind, given in tags.items()]


def ec2_needs(operation: str, asked: dict, region: str, account: str) -> list[Decision]:
    def on(kind, name, context=None):
        return Decision(ec2_arn(kind, name, region, account), context or {})

    tags = tags_by_type(asked)
    if operation == "RunInstances":
        image = one(asked, "ImageId")
        owner = (ec2._images.get(image) or {}).get("OwnerId") or "amazon"
        groups = numbered(asked, "SecurityGroupId") or [
            name for name, group in ec2._security_groups.items() if group.get("GroupName") == "default"][:1]
        needed = [on(kind, "*", request_tags(tags.get(kind, {}))) for kind in EC2_STARTED]
        needed += [on("image", image, {"ec2:owner": owner}), on("subnet", one(asked, "SubnetId") or "*")]
        needed += [on("security-group", group) for group in groups]
        profile = one(asked, "IamInstanceProfile.Name") or one(asked, "IamInstanceProfile.Arn").rpartition("/")[2]
        for role in (iam._instance_profiles.get(profile) or {}).get("Roles", []):
            passed = iam._roles.get(role if isinstance(role, str) else role["RoleName"]) or {}
            needed.append(Decision(passed.get("Arn", "*"), {"iam:passedtoservice": "ec2.amazonaws.com"}, "iam:PassRole"))
        return needed + tagging_at_creation(operation, tags, region, account)
    if operation == "CreateSnapshot":
        made = on("snapshot", "*", request_tags(tags.get("snapshot", {})))
        return [on("volume", one(asked, "VolumeId")), made, *tagging_at_creation(operation, tags, region, account)]
    if operation == "CreateSecurityGroup":
        made = on("security-group", "*", request_tags(tags.get("security-group", {})))
        return [made, on("vpc", one(asked, "VpcId") or "*"), *tagging_at_creation(operation, tags, region, account)]
    if operation == "ModifyInstanceAttribute":
        attributes = {name.split(".")[0] for name in asked if name.endswith((".Value", "UserData"))} | {one(asked, "Attribute")}
        context = {f"ec2:attribute/{name}".lower(): name for name in attributes if name}
        return [on("instance", one(asked, "InstanceId"), context)]
    if operation == "DeleteSnapshot":
        return [on("snapshot", one(asked, "SnapshotId"))]
    if operation in ("CreateTags", "DeleteTags"):
        given = {one(asked, key): one(asked, key[:-3] + "Value") for key in asked if re.fullmatch(r"Tag\.\d+\.Key", key)}
        return [on(EC2_TYPES.get(name.split("-")[0], "*"), name, request_tags(given)) for name in numbered(asked, "ResourceId")]
    return [on("instance", name) for name in numbered(asked, "InstanceId")]


# --- IAM --------------------------------------------------------------------------------------------------------------


def iam_needs(operation: str, asked: dict, _region: str, account: str) -> list[Decision]:
    """Names become ARNs with their paths."""
    path = one(asked, "Path") or "/"
    if operation in IAM_MAKES:
        kind, parameter = IAM_MAKES[operation]
        boundary = one(asked, "PermissionsBoundary")
        return [Decision(f"arn:aws:iam::{account}:{kind}{path}{one(asked, parameter)}",
                         {"iam:permissionsboundary": boundary} if boundary else {})]
    if operation == "CreateInstanceProfile":
        return [Decision(f"arn:aws:iam::{account}:instance-profile{path}{one(asked, 'InstanceProfileName')}")]
    # "AddUserToGroup" and its like are decided on the group, and "AddRoleToInstanceProfile" on the profile.
    order = reversed(IAM_STORES) if one(asked, "GroupName") or one(asked, "InstanceProfileName") else IAM_STORES
    for parameter, kind, store in order:
        name = one(asked, parameter)
        if not name:
            continue
        record = getattr(iam, store).get(name) or {}
        boundary = one(asked, "PermissionsBoundary") if operation in IAM_BOUNDING else record.get("PermissionsBoundary")
        context = {"iam:permissionsboundary": boundary} if boundary and operation in IAM_BOUNDED + IAM_BOUNDING else {}
        if policy := one(asked, "PolicyArn"):
            context["iam:policyarn"] = policy
        return [Decision(record.get("Arn") or f"arn:aws:iam::{account}:{kind}/{name}", context)]
    return []


# --- The others -------------------------------------------------------------------------------------------------------


def autoscaling_needs(_operation: str, asked: dict, _region: str, _account: str) -> list[Decision]:
    instance = one(asked, "InstanceId")
    for name, group in autoscaling._asgs.items():
        members = [member.get("InstanceId") for member in group.get("Instances", [])]
        if name == one(asked, "AutoScalingGroupName") or (instance and instance in members):
            return [Decision(group["AutoScalingGroupARN"])]
    return []


def ecs_needs(operation: str, asked: dict, region: str, account: str) -> list[Decision]:
    cluster = (asked.get("cluster") or "default").rpartition("/")[2]
    context = {"ecs:cluster": f"arn:aws:ecs:{region}:{account}:cluster/{cluster}"}
    if asked.get("enableExecuteCommand") is not None:
        context["ecs:enable-execute-command"] = str(asked["enableExecuteCommand"]).lower()
    service = asked.get("service") or asked.get("serviceName")
    if service and isinstance(service, str):
        name = service.rpartition("/")[2]
        return [Decision(f"arn:aws:ecs:{region}:{account}:service/{cluster}/{name}", context)]
    task = asked.get("task")
    if task:
        return [Decision(f"arn:aws:ecs:{region}:{account}:task/{cluster}/{task.rpartition('/')[2]}", context)]
    return []


def route53_needs(path: str, body: str) -> list[Decision]:
    match = re.match(r"/2013-04-01/hostedzone/([^/]+)/rrset", path)
    if not match:
        return []
    types = sorted(set(re.findall(r"<Type>(\w+)</Type>", body)))
    return [Decision(f"arn:aws:route53:::hostedzone/{match.group(1)}", {"route53:changeresourcerecordsetsrecordtypes": types})]


def by_path(service: str, method: str, path: str, body: str, region: str, account: str) -> list[Decision]:
    """REST services, which name their resource in the path."""
    if service == "route53" and method == "POST":
        return route53_needs(path, body)
    if service == "eks" and (match := re.match(r"/clusters/([^/]+)/node-groups/([^/]+)", path)):
        group = eks._nodegroups.get("/".join(match.groups())) or {}
        return [Decision(group.get("nodegroupArn") or f"arn:aws:eks:{region}:{account}:nodegroup/{'/'.join(match.groups())}/*")]
    if service == "elasticfilesystem" and (match := re.match(r"/2015-02-01/resource-tags/(fs[^/]+)", path)):
        return [Decision(f"arn:aws:elasticfilesystem:{region}:{account}:file-system/{match.group(1)}")]
    if service == "lambda" and (match := re.match(r"/[\d-]+/functions/([^/]+)/configuration", path)) and method == "PUT":
        layers = json.loads(body or "{}").get("Layers")
        context = {"lambda:layer": layers} if layers else {}
        return [Decision(f"arn:aws:lambda:{region}:{account}:function:{match.group(1)}", context)]
    return []


BY_PARAMETERS = {"ec2": ec2_needs, "iam": iam_needs, "autoscaling": autoscaling_needs}
BY_PATH = ("route53", "eks", "elasticfilesystem", "lambda")


def naming_resources(original):
    def extract(service, method, path, headers, body, query_params, region, account_id):
        arn = original(service, method, path, headers, body, query_params, region, account_id)
        _decisions.set(())
        found = []
        if service in BY_PARAMETERS:
            found = BY_PARAMETERS[service](one(query_params, "Action"), query_params, region, account_id)
        elif service == "ecs" and body[:1] == b"{":
            found = ecs_needs(headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body), region, account_id)
        elif service == "acm" and headers.get("x-amz-target", "").endswith(".RequestCertificate"):
            asked = json.loads(body)
            found = [Decision("*", {"acm:validationmethod": asked.get("ValidationMethod", "EMAIL")})]
        elif service in BY_PATH:
            found = by_path(service, method, path, body.decode("utf-8", "replace"), region, account_id)
        _decisions.set(tuple(found))
        return found[0].arn if found else arn

    return extract


def deciding_each(original):
    """All that a call needs must be allowed; the first that is not denies it."""

    def enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        found = _decisions.get()
        if not found or found[0].arn != resource_arn:
            return original(access_key_id, iam_action, service, region, resource_arn, service_context)
        several = len(found) > 1
        for decision in found:
            context = {key: value for key, value in (service_context or {}).items()
                       if not (several and key.lower().startswith(("aws:requesttag/", "aws:tagkeys")))}
            action = decision.action or iam_action
            denied = original(access_key_id, action, service, region, decision.arn, {**context, **decision.context})
            if denied is not None:
                return denied
        return None

    return enforce


# --- aws:ResourceTag ---------------------------------------------------------------------------------------------------


def collect_ec2():
    for name, tags in ec2._tags.items():
        kind = EC2_TYPES.get(name.split("-")[0])
        if kind:
            yield ec2_arn(kind, name, tagging.get_region(), get_account_id()), tags


def collect_autoscaling():
    for name, group in autoscaling._asgs.items():
        tags = autoscaling._tags.get(name) or group.get("Tags") or []
        yield group["AutoScalingGroupARN"], [{"Key": tag["Key"], "Value": tag.get("Value", "")} for tag in tags]


def collect_flat(store):
    """`{ARN: tags}`, whichever of the three forms the service keeps them in."""

    def collect():
        for arn, tags in store.items():
            if isinstance(tags, dict):
                yield arn, [{"Key": key, "Value": value} for key, value in tags.items()]
            else:
                yield arn, [{"Key": tag.get("Key", tag.get("key")), "Value": tag.get("Value", tag.get("value", ""))} for tag in tags]

    return collect


COLLECTORS = {"ec2": collect_ec2, "autoscaling": collect_autoscaling, "ecs": collect_flat(ecs._tags), "eks": collect_flat(eks._tags),
              "rds": collect_flat(rds._tags), "elasticloadbalancing": collect_flat(alb._tags)}


# --- SimulatePrincipalPolicy ------------------------------------------------------------------------------------------


def simulating_with_context(original):
    """ContextEntries are conditions of the call, and a role's or user's path is not part of its name."""

    def simulate(asked):
        context, number = {}, 1
        while key := one(asked, f"ContextEntries.member.{number}.ContextKeyName"):
            context[key.lower()] = [one(asked, name) for name in asked
                                    if name.startswith(f"ContextEntries.member.{number}.ContextKeyValues.member.")]
            number += 1
        principal = one(asked, "PolicySourceArn")
        kind, _, name = principal.rpartition(":")[2].partition("/")
        asked = {**asked, "PolicySourceArn": f"{principal.rpartition(':')[0]}:{kind}/{name.rpartition('/')[2]}"}
        if not context:
            return original(asked)
        evaluate = iam_evaluator.evaluate

        def with_context(decided, *policies):
            given = {name: values[0] if len(values) == 1 else values for name, values in context.items()}
            decided.service_context = {**decided.service_context, **given}
            return evaluate(decided, *policies)

        # Requests are handled one at a time, so nobody else sees this.
        iam_evaluator.evaluate = with_context
        try:
            return original(asked)
        finally:
            iam_evaluator.evaluate = evaluate

    return simulate


def know_resources() -> None:
    """A collector that MiniStack has come to have is an error: then ours must not stand in its place."""
    for service, collect in COLLECTORS.items():
        if service in tagging._RESOURCE_TAG_COLLECTORS:
            raise SystemExit(f"this MiniStack knows the tags of {service}: the pinned version has changed")
        tagging._RESOURCE_TAG_COLLECTORS[service] = collect
    name = "SimulatePrincipalPolicy"
    handlers = next((table for table in vars(iam).values() if isinstance(table, dict) and callable(table.get(name))), None)
    if handlers is None:
        raise SystemExit(f"this MiniStack has no {name}: the pinned version has changed")
    handlers[name] = simulating_with_context(handlers[name])
