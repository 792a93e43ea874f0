"""Amazon S3: permissions of its calls, and objects that other accounts read.

Publishers keep templates and code in buckets that their customers' accounts read. MiniStack reads both in the account that makes
the stack, and takes the bucket for the first part of a template URL's path.
"""

from __future__ import annotations

from urllib.parse import urlparse, urlunparse

from defusedxml.ElementTree import ParseError, fromstring
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, request_scope
from ministack.services import s3
from ministack.services.cloudformation import helpers

from . import patch


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


@patch(iam_actions, "s3_additional_checks")
def additional_checks(original, method, path, headers, body, query_params):
    """CreateBucket with ownership or tags, DeleteObjects of versions, and reading under a KMS key take more than one permission.

    Amazon S3 API Reference, CreateBucket, "Permissions", and DeleteObjects; Amazon S3 User Guide, "Using SSE-KMS".
    """
    checks = list(original(method, path, headers, body, query_params))
    parts = [part for part in path.split("/") if part]
    action = iam_actions._s3_action(method, path, query_params)
    if len(parts) > 1 and action == "GetObject" and default_key(parts[0]):
        checks.append(("kms:Decrypt", default_key(parts[0])))
    if len(parts) != 1:
        return checks
    bucket_arn = f"arn:aws:s3:::{parts[0]}"
    if action == "CreateBucket":
        if headers.get("x-amz-object-ownership"):
            checks.append(("s3:PutBucketOwnershipControls", bucket_arn))
        if "Tag" in local_names(body):
            checks.append(("s3:TagResource", bucket_arn))
    if method == "POST" and "delete" in query_params:
        # The first key; MiniStack adds the others.
        for arn, version in iam_actions._s3_batch_delete_targets(parts[0], body)[:1]:
            if version:
                checks.append(("s3:DeleteObjectVersion", arn))
    return checks


# --- Objects of other accounts ----------------------------------------------------------------------------------------


@patch(helpers, "_resolve_document")
def read_virtual_hosts(original, params, body_key, url_key, label):
    """The URL of a template may name the bucket in its host. Amazon S3 User Guide, "Virtual hosting of buckets"."""
    url = params.get(url_key)
    if url:
        params = {**params, url_key: [_path_style(one) for one in url] if isinstance(url, list) else _path_style(url)}
    return original(params, body_key, url_key, label)


def _path_style(url: str) -> str:
    """`https://bucket.s3.region.amazonaws.com/key` as `https://s3.region.amazonaws.com/bucket/key`."""
    parts = urlparse(url)
    bucket, dot, host = parts.netloc.partition(".s3.")
    return urlunparse(parts._replace(netloc=f"s3.{host}", path=f"/{bucket}{parts.path}")) if dot else url


def _owner(bucket: str) -> str | None:
    """The account that has this bucket: names of buckets are unique."""
    return next((account for account, name in list(s3._buckets._data) if name == bucket), None)


def _readable(owner: str, bucket: str, key: str) -> bool:
    """Whether the bucket's policy lets the calling account read the object."""
    caller = get_account_id()
    call = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{caller}:root", principal_type="Root", principal_account=caller, action="s3:GetObject",
        resource_arn=f"arn:aws:s3:::{bucket}/{key}", region="us-east-1", secure_transport=True)
    return iam_evaluator.resource_policy_allows(s3._bucket_policies.get_scoped(owner, None, bucket), call, same_account=False)


@patch(s3, "_get_object_data")
def read_other_accounts(original, bucket: str, key: str, *args, **kwargs):
    """A template or code is read from another account's bucket if the bucket's policy allows it.

    Amazon S3 User Guide, "Bucket owner granting cross-account bucket permissions".
    """
    owner = _owner(bucket)
    if owner is None or owner == get_account_id():
        return original(bucket, key, *args, **kwargs)
    if not _readable(owner, bucket, key):
        return None
    with request_scope(owner, "us-east-1"):
        return original(bucket, key, *args, **kwargs)


@patch(s3, "bucket_region")
def region_of_other_accounts(original, bucket: str):
    """A bucket's Region does not depend on who asks. Amazon S3 API Reference, HeadBucket."""
    owner = _owner(bucket)
    if owner is None:
        return original(bucket)
    with request_scope(owner, "us-east-1"):
        return original(bucket)
