"""IAM: the actions, resources and condition keys by which a call is authorised, and the calls that only the strict proxy answers.

MiniStack checks signatures and evaluates the policies of role, session and boundary. For these calls it names another resource
than AWS, or fewer actions. Source: Service Authorization Reference, "Actions, resources, and condition keys" of EC2, EC2 Auto
Scaling, ECS, EKS, ELB, EFS, IAM, Lambda, RDS, Route 53, Certificate Manager, Cost and Usage Report, Data Exports and Support, for
the calls that `dev/tests/emulator/` makes.
"""

from __future__ import annotations

import contextvars
import json
import re
from dataclasses import dataclass, field

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id
from ministack.services import alb, autoscaling, ec2, ecs, eks, iam, organizations, rds, tagging

from . import add, patch


@dataclass
class Check:
    """One action on one resource, with the condition keys of this one only."""

    arn: str
    context: dict = field(default_factory=dict)
    # Another action than the call's, such as iam:PassRole.
    action: str = ""


_checks: contextvars.ContextVar[tuple] = contextvars.ContextVar("checks", default=())
_denied: contextvars.ContextVar[Check | None] = contextvars.ContextVar("denied", default=None)

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


def one(parameters: dict, name: str) -> str:
    """A parameter of the query protocol, which MiniStack keeps as a list or as a text."""
    value = parameters.get(name, "")
    return value[0] if isinstance(value, list) else value


def numbered(parameters: dict, name: str) -> list[str]:
    """`InstanceId.1`, `InstanceId.2` and so on."""
    return [one(parameters, key) for key in parameters if re.fullmatch(rf"{re.escape(name)}\.\d+", key)]


# --- EC2 --------------------------------------------------------------------------------------------------------------


def ec2_arn(kind: str, name: str, region: str, account: str) -> str:
    return f"arn:aws:ec2:{region}:{'' if kind in EC2_WITHOUT_ACCOUNT else account}:{kind}/{name}"


def tags_by_type(parameters: dict) -> dict[str, dict[str, str]]:
    """The tags that a request sets, by what they are for."""
    found: dict[str, dict[str, str]] = {}
    for key in parameters:
        if match := re.fullmatch(r"(TagSpecification\.\d+)\.Tag\.(\d+)\.Key", key):
            specification, number = match.groups()
            kind = one(parameters, f"{specification}.ResourceType")
            found.setdefault(kind, {})[one(parameters, key)] = one(parameters, f"{specification}.Tag.{number}.Value")
    return found


def request_tags(tags: dict[str, str]) -> dict:
    return {f"aws:requesttag/{name}".lower(): value for name, value in tags.items()} | ({"aws:tagkeys": list(tags)} if tags else {})


def tagging_at_creation(operation: str, tags: dict, region: str, account: str) -> list[Check]:
    return [Check(ec2_arn(kind, "*", region, account), {"ec2:createaction": operation, **request_tags(given)}, "ec2:CreateTags")
            for kind, given in tags.items()]


def ec2_checks(operation: str, parameters: dict, region: str, account: str) -> list[Check]:
    def on(kind, name, context=None):
        return Check(ec2_arn(kind, name, region, account), context or {})

    tags = tags_by_type(parameters)
    if operation == "RunInstances":
        image = one(parameters, "ImageId")
        owner = (ec2._images.get(image) or {}).get("OwnerId") or "amazon"
        groups = numbered(parameters, "SecurityGroupId") or [
            name for name, group in ec2._security_groups.items() if group.get("GroupName") == "default"][:1]
        checks = [on(kind, "*", request_tags(tags.get(kind, {}))) for kind in EC2_STARTED]
        checks += [on("image", image, {"ec2:owner": owner}), on("subnet", one(parameters, "SubnetId") or "*")]
        checks += [on("security-group", group) for group in groups]
        profile = one(parameters, "IamInstanceProfile.Name") or one(parameters, "IamInstanceProfile.Arn").rpartition("/")[2]
        for role in (iam._instance_profiles.get(profile) or {}).get("Roles", []):
            passed = iam._roles.get(role if isinstance(role, str) else role["RoleName"]) or {}
            checks.append(Check(passed.get("Arn", "*"), {"iam:passedtoservice": "ec2.amazonaws.com"}, "iam:PassRole"))
        return checks + tagging_at_creation(operation, tags, region, account)
    if operation == "CreateSnapshot":
        made = on("snapshot", "*", request_tags(tags.get("snapshot", {})))
        return [on("volume", one(parameters, "VolumeId")), made, *tagging_at_creation(operation, tags, region, account)]
    if operation == "CreateSecurityGroup":
        made = on("security-group", "*", request_tags(tags.get("security-group", {})))
        return [made, on("vpc", one(parameters, "VpcId") or "*"), *tagging_at_creation(operation, tags, region, account)]
    if operation == "ModifyInstanceAttribute":
        attributes = {name.split(".")[0] for name in parameters if name.endswith((".Value", "UserData"))} | {one(parameters, "Attribute")}
        context = {f"ec2:attribute/{name}".lower(): name for name in attributes if name}
        return [on("instance", one(parameters, "InstanceId"), context)]
    if operation == "DeleteSnapshot":
        return [on("snapshot", one(parameters, "SnapshotId"))]
    if operation in ("CreateTags", "DeleteTags"):
        given = {one(parameters, key): one(parameters, key[:-3] + "Value") for key in parameters if re.fullmatch(r"Tag\.\d+\.Key", key)}
        return [on(EC2_TYPES.get(name.split("-")[0], "*"), name, request_tags(given)) for name in numbered(parameters, "ResourceId")]
    return [on("instance", name) for name in numbered(parameters, "InstanceId")]


# --- IAM --------------------------------------------------------------------------------------------------------------


def iam_checks(operation: str, parameters: dict, _region: str, account: str) -> list[Check]:
    """Names become ARNs with their paths."""
    path = one(parameters, "Path") or "/"
    if operation in IAM_MAKES:
        kind, parameter = IAM_MAKES[operation]
        boundary = one(parameters, "PermissionsBoundary")
        return [Check(f"arn:aws:iam::{account}:{kind}{path}{one(parameters, parameter)}",
                         {"iam:permissionsboundary": boundary} if boundary else {})]
    if operation == "CreateInstanceProfile":
        return [Check(f"arn:aws:iam::{account}:instance-profile{path}{one(parameters, 'InstanceProfileName')}")]
    # "AddUserToGroup" and its like are authorised on the group, and "AddRoleToInstanceProfile" on the profile.
    order = reversed(IAM_STORES) if one(parameters, "GroupName") or one(parameters, "InstanceProfileName") else IAM_STORES
    for parameter, kind, store in order:
        name = one(parameters, parameter)
        if not name:
            continue
        record = getattr(iam, store).get(name) or {}
        boundary = one(parameters, "PermissionsBoundary") if operation in IAM_BOUNDING else record.get("PermissionsBoundary")
        context = {"iam:permissionsboundary": boundary} if boundary and operation in IAM_BOUNDED + IAM_BOUNDING else {}
        if policy := one(parameters, "PolicyArn"):
            context["iam:policyarn"] = policy
        return [Check(record.get("Arn") or f"arn:aws:iam::{account}:{kind}/{name}", context)]
    return []


# --- The others -------------------------------------------------------------------------------------------------------


def autoscaling_checks(_operation: str, parameters: dict, _region: str, _account: str) -> list[Check]:
    instance = one(parameters, "InstanceId")
    for name, group in autoscaling._asgs.items():
        members = [member.get("InstanceId") for member in group.get("Instances", [])]
        if name == one(parameters, "AutoScalingGroupName") or (instance and instance in members):
            context = {}
            if zones := one(parameters, "VPCZoneIdentifier"):
                context["autoscaling:vpczoneidentifiers"] = zones.split(",")
            if configuration := one(parameters, "LaunchConfigurationName"):
                context["autoscaling:launchconfigurationname"] = configuration
            if any(name.startswith(("LaunchTemplate.", "MixedInstancesPolicy.")) for name in parameters):
                context["autoscaling:launchtemplateversionspecified"] = "true"
            return [Check(group["AutoScalingGroupARN"], context)]
    return []


def ecs_checks(operation: str, parameters: dict, region: str, account: str) -> list[Check]:
    cluster = (parameters.get("cluster") or "default").rpartition("/")[2]
    context = {"ecs:cluster": f"arn:aws:ecs:{region}:{account}:cluster/{cluster}"}
    if parameters.get("enableExecuteCommand") is not None:
        context["ecs:enable-execute-command"] = str(parameters["enableExecuteCommand"]).lower()
    if task_definition := parameters.get("taskDefinition"):
        family = task_definition.rpartition("/")[2]
        context["ecs:task-definition"] = f"arn:aws:ecs:{region}:{account}:task-definition/{family}"
    if network := (parameters.get("networkConfiguration") or {}).get("awsvpcConfiguration"):
        context["ecs:subnet"] = network.get("subnets", [])
        context["ecs:auto-assign-public-ip"] = str(network.get("assignPublicIp") == "ENABLED").lower()
    if "serviceConnectConfiguration" in parameters:
        context["ecs:enable-service-connect"] = str(parameters["serviceConnectConfiguration"].get("enabled", False)).lower()
    service = parameters.get("service") or parameters.get("serviceName")
    if service and isinstance(service, str):
        name = service.rpartition("/")[2]
        return [Check(f"arn:aws:ecs:{region}:{account}:service/{cluster}/{name}", context)]
    task = parameters.get("task")
    if task:
        return [Check(f"arn:aws:ecs:{region}:{account}:task/{cluster}/{task.rpartition('/')[2]}", context)]
    return []


def acm_checks(operation: str, parameters: dict, _region: str, _account: str) -> list[Check]:
    if operation != "RequestCertificate":
        return []
    names = [parameters.get("DomainName"), *parameters.get("SubjectAlternativeNames", [])]
    return [Check("*", {"acm:validationmethod": parameters.get("ValidationMethod", "EMAIL"), "acm:domainnames": names})]


def route53_checks(path: str, body: str) -> list[Check]:
    match = re.match(r"/2013-04-01/hostedzone/([^/]+)/rrset", path)
    if not match:
        return []
    types = sorted(set(re.findall(r"<Type>(\w+)</Type>", body)))
    names = sorted({name.lower().rstrip(".") for name in re.findall(r"<Name>([^<]+)</Name>", body)})
    context = {"route53:changeresourcerecordsetsrecordtypes": types, "route53:changeresourcerecordsetsnormalizedrecordnames": names}
    return [Check(f"arn:aws:route53:::hostedzone/{match.group(1)}", context)]


def by_path(service: str, method: str, path: str, body: str, region: str, account: str) -> list[Check]:
    """REST services, which name their resource in the path."""
    if service == "route53" and method == "POST":
        return route53_checks(path, body)
    if service == "eks" and (match := re.match(r"/clusters/([^/]+)/node-groups/([^/]+)", path)):
        group = eks._nodegroups.get("/".join(match.groups())) or {}
        return [Check(group.get("nodegroupArn") or f"arn:aws:eks:{region}:{account}:nodegroup/{'/'.join(match.groups())}/*")]
    if service == "elasticfilesystem" and (match := re.match(r"/2015-02-01/resource-tags/(fs[^/]+)", path)):
        return [Check(f"arn:aws:elasticfilesystem:{region}:{account}:file-system/{match.group(1)}")]
    if service == "lambda" and (match := re.match(r"/[\d-]+/functions/([^/]+)/configuration", path)) and method == "PUT":
        asked = json.loads(body or "{}")
        context = {"lambda:layer": asked["Layers"]} if asked.get("Layers") else {}
        if subnets := (asked.get("VpcConfig") or {}).get("SubnetIds"):
            context["lambda:subnetids"] = subnets
        return [Check(f"arn:aws:lambda:{region}:{account}:function:{match.group(1)}", context)]
    return []


# --- Billing ----------------------------------------------------------------------------------------------------------

# "To create an export of CUR or FOCUS data you also need cur:PutReportDefinition" (Data Exports, "Access management").
NEED_A_REPORT_PERMISSION = ("COST_AND_USAGE_REPORT", "FOCUS_")


def report_checks(operation: str, parameters: dict, region: str, account: str) -> list[Check]:
    """A call that names a report is authorised on it; one that creates it with tags also needs cur:TagResource."""
    name = parameters.get("ReportName") or (parameters.get("ReportDefinition") or {}).get("ReportName")
    arn = f"arn:aws:cur:{region}:{account}:definition/{name}" if name else "*"
    tags = operation == "PutReportDefinition" and parameters.get("Tags")
    return [Check(arn), Check(arn, action="cur:TagResource")] if tags else [Check(arn)]


def export_checks(operation: str, parameters: dict, region: str, account: str) -> list[Check]:
    """CreateExport and UpdateExport are authorised on the export and on its table; tags and bills take two actions more."""
    prefix = f"arn:aws:bcm-data-exports:{region}:{account}:"
    if operation == "GetTable":
        return [Check(f"{prefix}table/{parameters.get('TableName')}")]
    if operation not in ("CreateExport", "UpdateExport"):
        return [Check(parameters.get("ExportArn") or parameters.get("ResourceArn") or "*")]
    export = parameters.get("Export") or {}
    arn = parameters.get("ExportArn") or f"{prefix}export/{export.get('Name')}"
    tables = re.findall(r"\bFROM\s+(\w+)", (export.get("DataQuery") or {}).get("QueryStatement", ""), re.IGNORECASE)
    checks = [Check(arn), *(Check(f"{prefix}table/{table}") for table in tables)]
    if parameters.get("ResourceTags"):
        checks.append(Check(arn, action="bcm-data-exports:TagResource"))
    if operation == "CreateExport" and any(table.startswith(NEED_A_REPORT_PERMISSION) for table in tables):
        checks.append(Check(f"arn:aws:cur:{region}:{account}:/putReportDefinition", action="cur:PutReportDefinition"))
    return checks


# --- Authorisation ----------------------------------------------------------------------------------------------------

BY_PARAMETERS = {"ec2": ec2_checks, "iam": iam_checks, "autoscaling": autoscaling_checks}
BY_JSON = {"ecs": ecs_checks, "cur": report_checks, "bcm-data-exports": export_checks, "acm": acm_checks}
BY_PATH = ("route53", "eks", "elasticfilesystem", "lambda")


@patch(iam_actions, "extract_resource_arn")
def name_resource(original, service, method, path, headers, body, query_params, region, account_id):
    """Names the resource of a call, and keeps all that AWS checks of it for `enforce`.

    Service Authorization Reference, "Resource types". MiniStack names the cluster, or the name without its path, or `*`.
    """
    _denied.set(None)
    checks = []
    if service in BY_PARAMETERS:
        checks = BY_PARAMETERS[service](one(query_params, "Action"), query_params, region, account_id)
    elif service in BY_JSON and body[:1] == b"{":
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        checks = BY_JSON[service](operation, json.loads(body), region, account_id)
    elif service in BY_PATH:
        checks = by_path(service, method, path, body.decode("utf-8", "replace"), region, account_id)
    _checks.set(tuple(checks))
    return checks[0].arn if checks else original(service, method, path, headers, body, query_params, region, account_id)


@patch(iam_evaluator, "enforce")
def enforce(original, access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
    """Allows a call when each of its checks is allowed; the first that is not is named in the denial.

    Service Authorization Reference, "Dependent actions"; KMS Developer Guide, "kms:ViaService". MiniStack makes one check.
    """
    context = service_context or {}
    if iam_action.startswith("kms:") and service == "s3":
        context = {**context, "kms:ViaService": f"s3.{region}.amazonaws.com"}
    checks = _checks.get()
    if not checks or checks[0].arn != resource_arn:
        return original(access_key_id, iam_action, service, region, resource_arn, context)
    if service == "ec2" and len(checks) > 1:
        # Each check of EC2 has the tags for its own resource.
        context = {key: value for key, value in context.items() if not key.lower().startswith(("aws:requesttag/", "aws:tagkeys"))}
    for check in checks:
        action = check.action or iam_action
        denied = original(access_key_id, action, service, region, check.arn, {**context, **check.context})
        if denied is not None:
            _denied.set(Check(check.arn, action=action))
            return denied
    return None


@patch(iam_actions, "access_denied_response")
def name_denied(original, service, action, principal_arn, request_id, **known):
    """Billing services name the action and the resource that were denied.

    IAM User Guide, "Troubleshoot access denied error messages". MiniStack names the call's own action and no resource.
    """
    if service in ("cur", *SERVED_BY_PROXY) and not known.get("error_code"):
        denied = _denied.get() or Check(known.get("resource_arn", "*"), action=action)
        action, explicit = denied.action, known.get("explicit_deny", False)
        known["message"] = iam_actions.identity_denial_message(action, principal_arn, denied.arn, explicit)
    return original(service, action, principal_arn, request_id, **known)


# --- Services of the strict proxy -------------------------------------------------------------------------------------

# Signing name -> target prefix of the services that MiniStack does not have. It authorises their calls and answers `{}`; the
# strict proxy puts its own answer in the place of that.
SERVED_BY_PROXY = {"bcm-data-exports": "AWSBillingAndCostManagementDataExports", "support": "AWSSupport_20130415"}
ORGANIZATIONS_OPERATIONS = (
    "ListDelegatedServicesForAccount", "ListInboundResponsibilityTransfers", "ListOutboundResponsibilityTransfers",
)
EMPTY = (200, {"Content-Type": "application/x-amz-json-1.1"}, b"{}")


async def _authorise_only(_method, _path, _headers, _body, _query_params):
    return EMPTY


for _service, _target in SERVED_BY_PROXY.items():
    add(router.SERVICE_PATTERNS, _service,
        {"target_prefixes": [_target], "host_patterns": [rf"{_service}\."], "credential_scope": _service})
    iam_actions.SERVICE_TO_IAM_NAMESPACE[_service] = _service
    add(app.SERVICE_HANDLERS, _service, _authorise_only)
for _operation in ORGANIZATIONS_OPERATIONS:
    add(organizations._DISPATCH, _operation, lambda _parameters: EMPTY)


# --- aws:ResourceTag (IAM User Guide, "Controlling access to AWS resources using tags")  ---------------------------------------------------------------------------------------------------


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


for _service, _collect in {"ec2": collect_ec2, "autoscaling": collect_autoscaling, "ecs": collect_flat(ecs._tags), "eks": collect_flat(eks._tags),
                           "rds": collect_flat(rds._tags), "elasticloadbalancing": collect_flat(alb._tags)}.items():
    add(tagging._RESOURCE_TAG_COLLECTORS, _service, _collect)


# --- SimulatePrincipalPolicy ------------------------------------------------------------------------------------------


@patch(iam._IAM_HANDLERS, "SimulatePrincipalPolicy")
def simulate_with_context(original, parameters):
    """ContextEntries are condition keys of the simulated call, and the ARN of a principal contains its path.

    IAM API Reference, SimulatePrincipalPolicy. MiniStack ignores the keys and does not find the principal.
    """
    context, number = {}, 1
    while key := one(parameters, f"ContextEntries.member.{number}.ContextKeyName"):
        context[key.lower()] = [one(parameters, name) for name in parameters
                                if name.startswith(f"ContextEntries.member.{number}.ContextKeyValues.member.")]
        number += 1
    principal = one(parameters, "PolicySourceArn")
    kind, _, name = principal.rpartition(":")[2].partition("/")
    parameters = {**parameters, "PolicySourceArn": f"{principal.rpartition(':')[0]}:{kind}/{name.rpartition('/')[2]}"}
    evaluate = iam_evaluator.evaluate

    def with_context(call, *policies):
        given = {name: values[0] if len(values) == 1 else values for name, values in context.items()}
        call.service_context = {**call.service_context, **given}
        return evaluate(call, *policies)

    # Requests are handled one at a time, so no other sees this.
    iam_evaluator.evaluate = with_context
    try:
        return original(parameters)
    finally:
        iam_evaluator.evaluate = evaluate


# --- AWS managed policies ---------------------------------------------------------------------------------------------

# AWS Managed Policy Reference, ViewOnlyAccess, which MiniStack does not have: the few of its actions that the tests need.
VIEW_ONLY_ACCESS = "job-function/ViewOnlyAccess"
_VIEW_ONLY = {"Effect": "Allow", "Action": ["ec2:Describe*", "iam:List*", "rds:Describe*", "s3:ListAllMyBuckets"], "Resource": "*"}
add(iam._aws_managed_policies, f"arn:aws:iam::aws:policy/{VIEW_ONLY_ACCESS}", iam._make_aws_managed_record(
    VIEW_ONLY_ACCESS, json.dumps({"Version": "2012-10-17", "Statement": [_VIEW_ONLY]})))
