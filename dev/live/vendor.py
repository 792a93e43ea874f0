"""A vendor's end for a run that has none: a function with a URL in the account itself, which accepts every notice and keeps nothing."""

from __future__ import annotations

from typing import Any

_CODE = """import base64, hashlib, json

def handler(event, context):
    body = event["body"]
    body = base64.b64decode(body) if event.get("isBase64Encoded") else body
    event = json.loads(body)
    stack = event.get("data", {}).get("stackId", "")
    body = json.dumps({"noticeId": event.get("id"), "connectionId": hashlib.sha256(stack.encode()).hexdigest()[:32]})
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body}
"""
_TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
_ANYBODY = {"FunctionName": {"Ref": "Function"}, "Principal": "*"}
# No permission to log: what a stranger sends to the URL is kept nowhere.
VENDOR: dict[str, Any] = {
    "Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": _TRUST}},
        "Function": {"Type": "AWS::Lambda::Function", "Properties": {
            "Runtime": "python3.13", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ZipFile": _CODE}}},
        "FunctionUrl": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Function"}, "AuthType": "NONE"}},
        # A public URL takes both permissions (AWS Lambda Developer Guide, "Control access to Lambda function URLs").
        "MayUseUrl": {"Type": "AWS::Lambda::Permission", "Properties": {
            **_ANYBODY, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}},
        "MayInvoke": {"Type": "AWS::Lambda::Permission", "Properties": {
            **_ANYBODY, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True}},
    },
    "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["FunctionUrl", "FunctionUrl"]}}},
}
