"""What a call needs to be allowed, where MiniStack asks for less than AWS or does not know the service.

MiniStack checks signatures and evaluates the policies of role, session and boundary. This file says which actions on which
resources a call is about: Service Authorization Reference, "Actions, resources, and condition keys" of S3, Cost and Usage
Report, Data Exports and Support; KMS Developer Guide, "kms:ViaService".
"""

from __future__ import annotations

import contextvars
import json
import re

from defusedxml.ElementTree import ParseError, fromstring

from ministack import app
from ministack.core import iam_actions, router
from ministack.services import organizations, s3

# Signing name -> target prefix of the services that MiniStack does not have. It authorises their calls and answers `{}`; the
# front puts the answer in its place.
SERVED_BY_THE_FRONT = {"bcm-data-exports": "AWSBillingAndCostManagementDataExports", "support": "AWSSupport_20130415"}
# The same of single operations.
ORGANIZATIONS_OPERATIONS = (
    "ListDelegatedServicesForAccount", "ListInboundResponsibilityTransfers", "ListOutboundResponsibilityTransfers",
)
# "To create an export of CUR or FOCUS data you also need cur:PutReportDefinition" (Data Exports, "Access management").
NEED_A_REPORT_PERMISSION = ("COST_AND_USAGE_REPORT", "FOCUS_")

_also_needed: contextvars.ContextVar[tuple] = contextvars.ContextVar("also_needed", default=())  # (action, ARN)
_denied: contextvars.ContextVar[tuple | None] = contextvars.ContextVar("denied", default=None)


def report_needs(operation: str, asked: dict, region: str, account: str) -> tuple[str, list]:
    """Calls that name a report are authorised on it; one that is made with tags also needs cur:TagResource."""
    name = asked.get("ReportName") or (asked.get("ReportDefinition") or {}).get("ReportName")
    arn = f"arn:aws:cur:{region}:{account}:definition/{name}" if name else "*"
    return arn, [("cur:TagResource", arn)] if operation == "PutReportDefinition" and asked.get("Tags") else []


def export_needs(operation: str, asked: dict, region: str, account: str) -> tuple[str, list]:
    """CreateExport and UpdateExport are authorised on the export and on its table; tags and bills take two actions more."""
    prefix = f"arn:aws:bcm-data-exports:{region}:{account}:"
    if operation == "GetTable":
        return f"{prefix}table/{asked.get('TableName')}", []
    if operation not in ("CreateExport", "UpdateExport"):
        return asked.get("ExportArn") or asked.get("ResourceArn") or "*", []
    export = asked.get("Export") or {}
    arn = asked.get("ExportArn") or f"{prefix}export/{export.get('Name')}"
    query = export.get("DataQuery") or {}
    tables = re.findall(r"\bFROM\s+(\w+)", query.get("QueryStatement", ""), re.IGNORECASE)
    also = [(f"bcm-data-exports:{operation}", f"{prefix}table/{table}") for table in tables]
    if asked.get("ResourceTags"):
        also.append(("bcm-data-exports:TagResource", arn))
    if operation == "CreateExport" and any(table.startswith(NEED_A_REPORT_PERMISSION) for table in tables):
        also.append(("cur:PutReportDefinition", f"arn:aws:cur:{region}:{account}:/putReportDefinition"))
    return arn, also


NEEDS = {"cur": report_needs, "bcm-data-exports": export_needs}


def billing_resource(original):
    def extract(service, method, path, headers, body, query_params, region, account_id):
        _also_needed.set(())
        _denied.set(None)
        if service not in NEEDS:
            return original(service, method, path, headers, body, query_params, region, account_id)
        try:
            asked = json.loads(body or b"{}")
        except ValueError:
            return "*"
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        arn, also = NEEDS[service](operation, asked, region, account_id)
        _also_needed.set(tuple(also))
        return arn

    return extract


def all_that_is_needed(original):
    """The first that is not allowed denies the call, and is named."""

    def enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        if iam_action.startswith("kms:") and service == "s3":
            service_context = {**(service_context or {}), "kms:ViaService": f"s3.{region}.amazonaws.com"}
        denied = original(access_key_id, iam_action, service, region, resource_arn, service_context)
        for action, arn in _also_needed.get():
            if denied is None:
                denied = original(access_key_id, action, service, region, arn, service_context)
                if denied is not None:
                    _denied.set((action, arn))
        return denied

    return enforce


def naming_what_was_denied(original):
    """In AWS's words, which name the resource."""

    def respond(service, action, principal_arn, request_id, **known):
        action, arn = _denied.get() or (action, known.get("resource_arn", "*"))
        if service in (*NEEDS, *SERVED_BY_THE_FRONT) and not known.get("error_code"):
            explicit = known.get("explicit_deny", False)
            known["message"] = iam_actions.identity_denial_message(action, principal_arn, arn, explicit)
        return original(service, action, principal_arn, request_id, **known)

    return respond


def local_names(body: bytes) -> set[str]:
    """The names of all elements of an XML body, without namespaces."""
    try:
        return {element.tag.rpartition("}")[2] for element in fromstring(body).iter()} if body else set()
    except (ParseError, ValueError):
        return set()


def default_key(bucket: str) -> str:
    """The KMS key that a bucket encrypts new objects with, empty for S3's own."""
    try:
        rules = fromstring(s3._bucket_encryption.get(bucket) or "<none/>")
    except (ParseError, ValueError):
        return ""
    return next((element.text or "" for element in rules.iter() if element.tag.endswith("KMSMasterKeyID")), "")


def more_s3_checks(original):
    """CreateBucket's extra permissions, the first key of DeleteObjects when it names a version, and the key of what is read."""

    def checks(method, path, headers, body, query_params):
        found = list(original(method, path, headers, body, query_params))
        parts = [part for part in path.split("/") if part]
        if len(parts) > 1 and iam_actions._s3_action(method, path, query_params) == "GetObject" and default_key(parts[0]):
            found.append(("kms:Decrypt", default_key(parts[0])))
        if len(parts) != 1:
            return found
        bucket_arn = f"arn:aws:s3:::{parts[0]}"
        if iam_actions._s3_action(method, path, query_params) == "CreateBucket":
            if headers.get("x-amz-object-ownership"):
                found.append(("s3:PutBucketOwnershipControls", bucket_arn))
            if "Tag" in local_names(body):
                found.append(("s3:TagResource", bucket_arn))
        if method == "POST" and "delete" in query_params:
            for arn, version in iam_actions._s3_batch_delete_targets(parts[0], body)[:1]:
                if version:
                    found.append(("s3:DeleteObjectVersion", arn))
        return found

    return checks


def authorise_what_the_front_serves() -> None:
    """A service or operation that MiniStack has come to know is an error: then the front must not answer in its place."""

    def empty():
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, b"{}"

    async def serve(method, path, headers, body, query_params):
        return empty()

    for service, target in SERVED_BY_THE_FRONT.items():
        if service in app.SERVICE_HANDLERS or service in router.SERVICE_PATTERNS:
            raise SystemExit(f"this MiniStack serves {service} itself: the pinned version has changed")
        router.SERVICE_PATTERNS[service] = {
            "target_prefixes": [target], "host_patterns": [rf"{service}\."], "credential_scope": service,
        }
        iam_actions.SERVICE_TO_IAM_NAMESPACE[service] = service
        app.SERVICE_HANDLERS[service] = serve
    for operation in ORGANIZATIONS_OPERATIONS:
        if operation in organizations._DISPATCH:
            raise SystemExit(f"this MiniStack serves organizations:{operation} itself: the pinned version has changed")
        organizations._DISPATCH[operation] = lambda _asked: empty()
