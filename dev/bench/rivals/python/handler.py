"""The same two resources in Python, written the usual way: crhelper answers CloudFormation, boto3 calls AWS.

Clients are made at import, as AWS's best practices say; the calls follow one another. It makes no proof of identity and
decides nothing: it is a yardstick for cost, not a product.
"""

import base64
import hashlib
import hmac
import json
import logging
import time

import boto3
import urllib3
from botocore.exceptions import ClientError
from crhelper import CfnResource

BILLING_REGION = "us-east-1"

logger = logging.getLogger(__name__)
helper = CfnResource(json_logging=True, log_level="INFO", boto_level="CRITICAL")
organizations = boto3.client("organizations", region_name=BILLING_REGION)
reports = boto3.client("cur", region_name=BILLING_REGION)
s3 = boto3.client("s3", region_name=BILLING_REGION)
http = urllib3.PoolManager()


def handler(event, context):
    helper(event, context)


@helper.create
def create(event, _context):
    if event["ResourceType"] == "Custom::BillingExport":
        return create_export(event)
    return create_connection(event)


def create_export(event):
    stack_id = event["StackId"]
    account = stack_id.split(":")[4]
    prefix = event["ResourceProperties"]["NamePrefix"]
    key = stack_id.rsplit("/", 1)[1].replace("-", "")[:16]
    bucket = f"{prefix}-{account}-{key}"
    report = f"{prefix}-{key}"

    role = account_role(account)
    logger.info("account role: %s", role)
    for page in reports.get_paginator("describe_report_definitions").paginate(PaginationConfig={"PageSize": 5}):
        if any(it["ReportName"] == report for it in page["ReportDefinitions"]):
            raise ValueError(f"report {report} is already there")
    if bucket_exists(bucket, account):
        raise ValueError(f"bucket {bucket} is already there")
    make_bucket(bucket, account, event)
    reports.put_report_definition(
        ReportDefinition={
            "ReportName": report,
            "TimeUnit": "HOURLY",
            "Format": "Parquet",
            "Compression": "Parquet",
            "AdditionalSchemaElements": ["RESOURCES", "SPLIT_COST_ALLOCATION_DATA"],
            "S3Bucket": bucket,
            "S3Prefix": "hawser",
            "S3Region": BILLING_REGION,
            "AdditionalArtifacts": ["ATHENA"],
            "RefreshClosedReports": True,
            "ReportVersioning": "OVERWRITE_REPORT",
        },
        Tags=[{"Key": "hawser:stack-id", "Value": stack_id}],
    )
    logger.info("created report %s in bucket %s", report, bucket)
    helper.Data.update(
        {
            "Kind": "CostAndUsageReport",
            "Name": report,
            "Arn": f"arn:aws:cur:{BILLING_REGION}:{account}:definition/{report}",
            "BucketName": bucket,
            "BucketArn": f"arn:aws:s3:::{bucket}",
            "BucketRegion": BILLING_REGION,
            "Prefix": "hawser",
            "Format": "Parquet",
            "Origin": "created",
            "AccountRole": role,
        }
    )
    return f"{account}/{report}"


def account_role(account):
    try:
        organization = organizations.describe_organization()["Organization"]
    except organizations.exceptions.AWSOrganizationsNotInUseException:
        return "standalone"
    return "management" if organization["MasterAccountId"] == account else "member"


def bucket_exists(bucket, account):
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True


def make_bucket(bucket, account, event):
    s3.create_bucket(
        Bucket=bucket,
        ObjectOwnership="BucketOwnerEnforced",
        CreateBucketConfiguration={
            "Tags": [
                {"Key": "hawser:stack-id", "Value": event["StackId"]},
                {"Key": "hawser:logical-id", "Value": event["LogicalResourceId"]},
            ]
        },
    )
    s3.put_public_access_block(
        Bucket=bucket,
        ExpectedBucketOwner=account,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=bucket,
        ExpectedBucketOwner=account,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        ExpectedBucketOwner=account,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "hawser-unfinished-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
    )
    s3.put_bucket_policy(Bucket=bucket, ExpectedBucketOwner=account, Policy=json.dumps(delivery_policy(bucket, account)))


def delivery_policy(bucket, account):
    """The delivery policy of AWS's page "Setting up an Amazon S3 bucket for Cost and Usage Reports", TLS only."""
    principal = {"Service": "billingreports.amazonaws.com"}
    condition = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cur:{BILLING_REGION}:{account}:definition/*"},
    }
    whole, objects = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Check",
                "Effect": "Allow",
                "Principal": principal,
                "Action": ["s3:GetBucketAcl", "s3:GetBucketPolicy"],
                "Resource": whole,
                "Condition": condition,
            },
            {
                "Sid": "Write",
                "Effect": "Allow",
                "Principal": principal,
                "Action": "s3:PutObject",
                "Resource": objects,
                "Condition": condition,
            },
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [whole, objects],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }


def create_connection(event):
    properties = event["ResourceProperties"]
    stack_id = event["StackId"]
    account = stack_id.split(":")[4]
    notice_id = event["RequestId"].replace("-", "")
    notice = json.dumps(
        {
            "specversion": "1.0",
            "id": notice_id,
            "source": stack_id,
            "subject": account,
            "type": "hawser.connection.established",
            "datacontenttype": "application/json",
            "data": {
                "accountId": account,
                "roleArn": properties["RoleArn"],
                "externalId": properties["ExternalId"],
                "packs": properties["Packs"],
                "regions": properties["Regions"],
                "organization": properties["Organization"],
                "billingExport": properties["Billing"],
            },
        }
    ).encode()
    now = int(time.time())
    answer = http.request(
        "POST",
        properties["NoticeUrl"],
        body=notice,
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": notice_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(properties["LaunchToken"], notice_id, now, notice),
        },
    )
    if answer.status >= 300:
        raise ValueError(f"the vendor answered {answer.status}")
    said = json.loads(answer.data)
    helper.Data.update(
        {"ConnectionId": said.get("connectionId", ""), "Message": said.get("message", ""), "NoticeId": notice_id}
    )
    return f"connection/{notice_id}"


def sign(token, notice_id, now, body):
    """Sign as Standard Webhooks say: HMAC-SHA256 over id.timestamp.body with the token's bytes."""
    key = base64.b64decode(token.removeprefix("whsec_"))
    mac = hmac.new(key, f"{notice_id}.{now}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()
