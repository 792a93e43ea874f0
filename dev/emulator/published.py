"""What a publisher puts into buckets for its customers: templates and code that other accounts read.

MiniStack reads both in the account that makes the stack, and takes the bucket for the first part of a template URL's path.
"""

from __future__ import annotations

from urllib.parse import urlparse, urlunparse

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, request_scope
from ministack.services import s3


def _path_style(url: str) -> str:
    """`https://bucket.s3.region.amazonaws.com/key` as `https://s3.region.amazonaws.com/bucket/key`."""
    parts = urlparse(url)
    bucket, dot, host = parts.netloc.partition(".s3.")
    return urlunparse(parts._replace(netloc=f"s3.{host}", path=f"/{bucket}{parts.path}")) if dot else url


def from_virtual_hosts(original):
    def resolve(params, body_key, url_key, label):
        url = params.get(url_key)
        if url:
            params = {**params, url_key: [_path_style(one) for one in url] if isinstance(url, list) else _path_style(url)}
        return original(params, body_key, url_key, label)

    return resolve


def _owner(bucket: str) -> str | None:
    """The account that has this bucket: names of buckets are unique."""
    return next((account for account, name in list(s3._buckets._data) if name == bucket), None)


def _readable(owner: str, bucket: str, key: str) -> bool:
    """Whether the bucket's policy lets the calling account read the object."""
    caller = get_account_id()
    asked = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{caller}:root", principal_type="Root", principal_account=caller, action="s3:GetObject",
        resource_arn=f"arn:aws:s3:::{bucket}/{key}", region="us-east-1", secure_transport=True)
    return iam_evaluator.resource_policy_allows(s3._bucket_policies.get_scoped(owner, None, bucket), asked, same_account=False)


def from_other_accounts(original):
    def read(bucket: str, key: str, *args, **kwargs):
        owner = _owner(bucket)
        if owner is None or owner == get_account_id():
            return original(bucket, key, *args, **kwargs)
        if not _readable(owner, bucket, key):
            return None
        with request_scope(owner, "us-east-1"):
            return original(bucket, key, *args, **kwargs)

    return read


def of_other_accounts(original):
    def region(bucket: str):
        owner = _owner(bucket)
        if owner is None:
            return original(bucket)
        with request_scope(owner, "us-east-1"):
            return original(bucket)

    return region
