//! The table. Calls are in the words of each service's API reference.

use super::{
    Call, Check,
    fixtures::{
        AUTOSCALING, BALANCING, CLOUDWATCH, EC2, IAM, MANAGED_KEY, MANAGED_VALUE, PROTECTED_KEY, RDS, TRUSTS_LAMBDA, VIEW_ONLY,
    },
    json, query, rest, simulated, simulated_with,
};

const INSTANCE: &str = "arn:aws:ec2:eu-west-1:{account}:instance/i-1";
const STOP: Call = query("ec2:StopInstances", "ec2", EC2, &[("InstanceId.1", "{instance}")]);
const SCALE: Call = query(
    "autoscaling:SetDesiredCapacity",
    "autoscaling",
    AUTOSCALING,
    &[("AutoScalingGroupName", "{group}"), ("DesiredCapacity", "0")],
);
const RESIZE_VOLUME: Call = query("ec2:ModifyVolume", "ec2", EC2, &[("VolumeId", "{volume}"), ("Size", "20")]);
const DELETE_VOLUME: Call = query("ec2:DeleteVolume", "ec2", EC2, &[("VolumeId", "{volume}")]);
const SCALE_SERVICE: Call = json(
    "ecs:UpdateService",
    "ecs",
    "AmazonEC2ContainerServiceV20141113.UpdateService",
    r#"{"cluster": "{cluster}", "service": "{service}", "desiredCount": 0}"#,
);
const DELETE_SERVICE: Call = json(
    "ecs:DeleteService",
    "ecs",
    "AmazonEC2ContainerServiceV20141113.DeleteService",
    r#"{"cluster": "{cluster}", "service": "{service}", "force": true}"#,
);
const NODES: &str = "arn:aws:eks:eu-west-1:{account}:nodegroup/fleet/nodes/1";
const SCALE_NODES: Call = simulated("eks:UpdateNodegroupConfig", NODES);
const DELETE_NODES: Call = rest("eks:DeleteNodegroup", "eks", "DELETE", "{nodes}", "");
const SET_CONCURRENCY: Call = rest(
    "lambda:PutFunctionConcurrency",
    "lambda",
    "PUT",
    "/2017-10-31/functions/{function}/concurrency",
    r#"{"ReservedConcurrentExecutions": 1}"#,
);
/// GetFunction answers with an address of the code.
const READ_CODE: Call = rest("lambda:GetFunction", "lambda", "GET", "/2015-03-31/functions/{function}", "");
const INVOKE: Call = simulated("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:{account}:function:letters");
const STOP_DATABASE: Call = query("rds:StopDBInstance", "rds", RDS, &[("DBInstanceIdentifier", "{database}")]);
const DELETE_DATABASE: Call =
    query("rds:DeleteDBInstance", "rds", RDS, &[("DBInstanceIdentifier", "{database}"), ("SkipFinalSnapshot", "true")]);
const ANALYSE_BUCKET: Call = rest(
    "s3:PutMetricsConfiguration",
    "s3",
    "PUT",
    "/{private_bucket}?metrics&id=all",
    "<MetricsConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Id>all</Id></MetricsConfiguration>",
);
const DELETE_BUCKET: Call = rest("s3:DeleteBucket", "s3", "DELETE", "/{private_bucket}", "");
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const ALL: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
const MAKE_USER: Call =
    query("iam:CreateUser", "iam", IAM, &[("UserName", "thing-{n}"), ("Path", "/hawser/"), ("PermissionsBoundary", VIEW_ONLY)]);
const MAKE_KEY: Call = query("iam:CreateAccessKey", "iam", IAM, &[("UserName", "{managed_user}")]);
const ENGINE_ROLE: &str = "arn:aws:iam::{account}:role/{stack}-engine/one";
const START_ENGINE: Call = query(
    "ec2:RunInstances",
    "ec2",
    EC2,
    &[
        ("ImageId", "ami-12345678"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SecurityGroupId.1", "{engine_group}"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "hawser:engine"),
        ("TagSpecification.1.Tag.1.Value", "{stack}"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.2.Tag.1.Key", "hawser:engine"),
        ("TagSpecification.2.Tag.1.Value", "{stack}"),
        ("TagSpecification.3.ResourceType", "network-interface"),
        ("TagSpecification.3.Tag.1.Key", "hawser:engine"),
        ("TagSpecification.3.Tag.1.Value", "{stack}"),
    ],
);
const START_SESSION: Call = simulated_with(
    "ssm:StartSession",
    "arn:aws:ec2:eu-west-1:{account}:instance/i-1",
    &[("ssm:resourceTag/hawser:engine", "{stack}")],
);
const REQUEST_CERTIFICATE: Call = json(
    "acm:RequestCertificate",
    "acm",
    "CertificateManager.RequestCertificate",
    r#"{"DomainName": "engine.example", "ValidationMethod": "DNS"}"#,
);
/// In a zone that nobody named to the stack.
const CHANGE_RECORD: Call = rest(
    "route53:ChangeResourceRecordSets",
    "route53",
    "POST",
    "/2013-04-01/hostedzone/{zone}/rrset",
    "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change>\
     <Action>CREATE</Action><ResourceRecordSet><Name>www.thing.example</Name><Type>A</Type><TTL>60</TTL><ResourceRecords>\
     <ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes>\
     </ChangeBatch></ChangeResourceRecordSetsRequest>",
);
const TERMINATE: Call = query("ec2:TerminateInstances", "ec2", EC2, &[("InstanceId.1", "{instance}")]);
const DELETE_USER: Call = query("iam:DeleteUser", "iam", IAM, &[("UserName", "{their_user}")]);
const READ_OBJECT: Call = rest("s3:GetObject", "s3", "GET", "{private_object}", "");
/// The value of a secret of the customer's.
pub(crate) const READ_SECRET: Call =
    json("secretsmanager:GetSecretValue", "secretsmanager", "secretsmanager.GetSecretValue", r#"{"SecretId": "{secret}"}"#);
const READ_PARAMETER: Call = json("ssm:GetParameter", "ssm", "AmazonSSM.GetParameter", r#"{"Name": "{parameter}"}"#);
const READ_LOG: Call =
    json("logs:FilterLogEvents", "logs", "Logs_20140328.FilterLogEvents", r#"{"logGroupName": "{log_group}"}"#);

/// What each mode of each pack lets through, and what not.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        pack: "billing",
        mode: "ReadOnly",
        allowed: &[
            json("cur:DescribeReportDefinitions", "cur", "AWSOrigamiServiceGatewayService.DescribeReportDefinitions", "{}"),
            simulated("organizations:ListAccounts", "*"),
            rest("s3:ListBucket", "s3", "GET", "/{bucket}?list-type=2&prefix={folder}", ""),
            simulated("ce:GetCostAndUsage", "*"),
        ],
        forbidden: &[
            simulated("cur:DeleteReportDefinition", "arn:aws:cur:us-east-1:{account}:definition/{report}"),
            READ_OBJECT,
            simulated("ce:CreateAnomalyMonitor", "*"),
        ],
    },
    Check {
        pack: "security-audit",
        mode: "ReadOnly",
        allowed: &[
            query("iam:ListUsers", "iam", IAM, &[]),
            query("ec2:DescribeInstances", "ec2", EC2, &[]),
            rest("s3:ListBucket", "s3", "GET", "/{private_bucket}?list-type=2", ""),
            rest(
                "elasticfilesystem:ListTagsForResource",
                "elasticfilesystem",
                "GET",
                "/2015-02-01/resource-tags/{file_system}",
                "",
            ),
        ],
        forbidden: &[READ_OBJECT, READ_LOG, READ_SECRET, READ_PARAMETER, TERMINATE, DELETE_USER],
    },
    Check {
        pack: "common",
        mode: "ReadOnly",
        allowed: &[
            query("cloudwatch:ListMetrics", "monitoring", CLOUDWATCH, &[]),
            json("tag:GetResources", "tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", "{}"),
            query("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing", BALANCING, &[]),
            json("dynamodb:ListTables", "dynamodb", "DynamoDB_20120810.ListTables", "{}"),
            json("kinesis:ListStreams", "kinesis", "Kinesis_20131202.ListStreams", "{}"),
            json("logs:DescribeLogGroups", "logs", "Logs_20140328.DescribeLogGroups", "{}"),
            simulated("xray:GetServiceGraph", "*"),
            simulated("appmesh:ListMeshes", "*"),
        ],
        forbidden: &[
            READ_LOG,
            READ_OBJECT,
            READ_SECRET,
            READ_PARAMETER,
            json(
                "dynamodb:CreateTable",
                "dynamodb",
                "DynamoDB_20120810.CreateTable",
                r#"{"TableName": "thing-{n}", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST"}"#,
            ),
            simulated("xray:BatchGetTraces", "*"),
            simulated("dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:{account}:table/letters"),
            simulated("kinesis:GetRecords", "arn:aws:kinesis:eu-west-1:{account}:stream/letters"),
        ],
    },
    Check {
        pack: "ebs",
        mode: "ReadOnly",
        allowed: &[query("ec2:DescribeVolumes", "ec2", EC2, &[])],
        forbidden: &[RESIZE_VOLUME, DELETE_VOLUME, simulated("ebs:GetSnapshotBlock", "arn:aws:ec2:eu-west-1::snapshot/snap-1")],
    },
    Check {
        pack: "ebs",
        mode: "ReadWrite",
        allowed: &[
            query("ec2:DescribeVolumes", "ec2", EC2, &[]),
            RESIZE_VOLUME,
            query(
                "ec2:CreateSnapshot",
                "ec2",
                EC2,
                &[
                    ("VolumeId", "{volume}"),
                    ("TagSpecification.1.ResourceType", "snapshot"),
                    ("TagSpecification.1.Tag.1.Key", "hawser:managed"),
                    ("TagSpecification.1.Tag.1.Value", "true"),
                ],
            ),
            query("ec2:DeleteVolume", "ec2", EC2, &[("VolumeId", "{managed_volume}")]),
        ],
        forbidden: &[
            query("ec2:ModifyVolume", "ec2", EC2, &[("VolumeId", "{protected_volume}"), ("Size", "20")]),
            DELETE_VOLUME,
            // Neither make a volume one's own, nor take the customer's protection away.
            query("ec2:CreateTags", "ec2", EC2, &[("ResourceId.1", "{volume}"), MANAGED_KEY, MANAGED_VALUE]),
            query("ec2:DeleteTags", "ec2", EC2, &[("ResourceId.1", "{protected_volume}"), PROTECTED_KEY]),
            simulated("ebs:GetSnapshotBlock", "arn:aws:ec2:eu-west-1::snapshot/snap-1"),
        ],
    },
    Check {
        pack: "ec2",
        mode: "ReadOnly",
        allowed: &[
            query("ec2:DescribeInstances", "ec2", EC2, &[]),
            query("autoscaling:DescribeAutoScalingGroups", "autoscaling", AUTOSCALING, &[]),
        ],
        forbidden: &[STOP, TERMINATE, SCALE],
    },
    Check {
        pack: "ec2",
        mode: "ReadWrite",
        allowed: &[
            query("ec2:DescribeInstances", "ec2", EC2, &[]),
            STOP,
            simulated_with("ec2:ModifyInstanceAttribute", INSTANCE, &[("ec2:Attribute/InstanceType", "t3.small")]),
            SCALE,
        ],
        forbidden: &[
            TERMINATE,
            query("ec2:StopInstances", "ec2", EC2, &[("InstanceId.1", "{protected_instance}")]),
            // A way to run code as the instance's role.
            simulated_with("ec2:ModifyInstanceAttribute", INSTANCE, &[("ec2:Attribute/UserData", "ZWNobw==")]),
            query(
                "autoscaling:SetDesiredCapacity",
                "autoscaling",
                AUTOSCALING,
                &[("AutoScalingGroupName", "{protected_group}"), ("DesiredCapacity", "0")],
            ),
            query("ec2:DeleteTags", "ec2", EC2, &[("ResourceId.1", "{protected_instance}"), PROTECTED_KEY]),
        ],
    },
    Check {
        pack: "ecs",
        mode: "ReadOnly",
        allowed: &[json("ecs:ListClusters", "ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", "{}")],
        forbidden: &[SCALE_SERVICE, DELETE_SERVICE],
    },
    Check {
        pack: "ecs",
        mode: "ReadWrite",
        allowed: &[
            json("ecs:ListClusters", "ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", "{}"),
            SCALE_SERVICE,
            simulated_with(
                "application-autoscaling:RegisterScalableTarget",
                "arn:aws:application-autoscaling:eu-west-1:{account}:scalable-target/1",
                &[("application-autoscaling:service-namespace", "ecs")],
            ),
        ],
        forbidden: &[
            DELETE_SERVICE,
            json(
                "ecs:UpdateService",
                "ecs",
                "AmazonEC2ContainerServiceV20141113.UpdateService",
                r#"{"cluster": "{cluster}", "service": "{protected_service}", "desiredCount": 0}"#,
            ),
            // A shell in the customer's containers.
            json(
                "ecs:UpdateService",
                "ecs",
                "AmazonEC2ContainerServiceV20141113.UpdateService",
                r#"{"cluster": "{cluster}", "service": "{service}", "enableExecuteCommand": true}"#,
            ),
            simulated("ecs:ExecuteCommand", "arn:aws:ecs:eu-west-1:{account}:task/fleet/1"),
            simulated_with(
                "application-autoscaling:RegisterScalableTarget",
                "arn:aws:application-autoscaling:eu-west-1:{account}:scalable-target/1",
                &[("application-autoscaling:service-namespace", "dynamodb")],
            ),
        ],
    },
    Check {
        pack: "eks",
        mode: "ReadOnly",
        allowed: &[rest("eks:ListClusters", "eks", "GET", "/clusters", "")],
        forbidden: &[SCALE_NODES, DELETE_NODES],
    },
    Check {
        pack: "eks",
        mode: "ReadWrite",
        allowed: &[rest("eks:ListClusters", "eks", "GET", "/clusters", ""), SCALE_NODES],
        forbidden: &[
            DELETE_NODES,
            simulated_with("eks:UpdateNodegroupConfig", NODES, &[("aws:ResourceTag/hawser:protected", "true")]),
            simulated("eks:CreateAccessEntry", "arn:aws:eks:eu-west-1:{account}:cluster/fleet"),
        ],
    },
    Check {
        pack: "lambda",
        mode: "ReadOnly",
        allowed: &[rest("lambda:ListFunctions", "lambda", "GET", "/2015-03-31/functions/", "")],
        forbidden: &[SET_CONCURRENCY, READ_CODE, INVOKE],
    },
    Check {
        pack: "lambda",
        mode: "ReadWrite",
        allowed: &[
            rest("lambda:ListFunctions", "lambda", "GET", "/2015-03-31/functions/", ""),
            SET_CONCURRENCY,
            rest(
                "lambda:UpdateFunctionConfiguration",
                "lambda",
                "PUT",
                "/2015-03-31/functions/{managed_function}/configuration",
                r#"{"MemorySize": 256}"#,
            ),
        ],
        forbidden: &[
            READ_CODE,
            INVOKE,
            rest(
                "lambda:UpdateFunctionConfiguration",
                "lambda",
                "PUT",
                "/2015-03-31/functions/{function}/configuration",
                r#"{"MemorySize": 256}"#,
            ),
            rest(
                "lambda:PutFunctionConcurrency",
                "lambda",
                "PUT",
                "/2017-10-31/functions/{protected_function}/concurrency",
                r#"{"ReservedConcurrentExecutions": 1}"#,
            ),
            simulated("lambda:UpdateFunctionCode", "arn:aws:lambda:eu-west-1:{account}:function:letters"),
        ],
    },
    Check {
        pack: "rds",
        mode: "ReadOnly",
        allowed: &[query("rds:DescribeDBInstances", "rds", RDS, &[])],
        forbidden: &[STOP_DATABASE, simulated("rds:DownloadDBLogFilePortion", "*"), DELETE_DATABASE],
    },
    Check {
        pack: "rds",
        mode: "ReadWrite",
        allowed: &[
            query("rds:DescribeDBInstances", "rds", RDS, &[]),
            STOP_DATABASE,
            query(
                "rds:ModifyDBInstance",
                "rds",
                RDS,
                &[("DBInstanceIdentifier", "{managed_database}"), ("DBInstanceClass", "db.t3.small")],
            ),
        ],
        forbidden: &[
            DELETE_DATABASE,
            query("rds:StopDBInstance", "rds", RDS, &[("DBInstanceIdentifier", "{protected_database}")]),
            // A new password is a way to the data.
            query(
                "rds:ModifyDBInstance",
                "rds",
                RDS,
                &[("DBInstanceIdentifier", "{database}"), ("MasterUserPassword", "another-long-enough")],
            ),
            simulated("rds:DownloadDBLogFilePortion", "*"),
        ],
    },
    Check {
        pack: "s3",
        mode: "ReadOnly",
        allowed: &[
            rest("s3:ListAllMyBuckets", "s3", "GET", "/", ""),
            rest("s3:GetBucketVersioning", "s3", "GET", "/{private_bucket}?versioning", ""),
        ],
        forbidden: &[READ_OBJECT, ANALYSE_BUCKET, DELETE_BUCKET],
    },
    Check {
        pack: "s3",
        mode: "ReadWrite",
        allowed: &[rest("s3:ListAllMyBuckets", "s3", "GET", "/", ""), ANALYSE_BUCKET],
        forbidden: &[
            READ_OBJECT,
            DELETE_BUCKET,
            // Expiry would delete the customer's data.
            simulated("s3:PutLifecycleConfiguration", "arn:aws:s3:::private"),
            simulated("s3:PutBucketPolicy", "arn:aws:s3:::private"),
            simulated("s3:PutBucketTagging", "arn:aws:s3:::private"),
        ],
    },
    Check {
        pack: "cloud-iam",
        mode: "ReadOnly",
        allowed: &[query("iam:ListUsers", "iam", IAM, &[]), query("iam:GetUser", "iam", IAM, &[("UserName", "{their_user}")])],
        forbidden: &[MAKE_USER, DELETE_USER, MAKE_KEY],
    },
    Check {
        pack: "cloud-iam",
        mode: "ReadWrite",
        allowed: &[
            query("iam:ListUsers", "iam", IAM, &[]),
            MAKE_USER,
            MAKE_KEY,
            query("iam:AttachUserPolicy", "iam", IAM, &[("UserName", "{managed_user}"), ("PolicyArn", ADMINISTRATOR)]),
            query("iam:DeleteUser", "iam", IAM, &[("UserName", "{managed_user}")]),
        ],
        forbidden: &[
            // Without the boundary, elsewhere, of others, of a protected one.
            query("iam:CreateUser", "iam", IAM, &[("UserName", "thing-{n}"), ("Path", "/hawser/")]),
            query("iam:CreateUser", "iam", IAM, &[("UserName", "thing-{n}"), ("PermissionsBoundary", VIEW_ONLY)]),
            DELETE_USER,
            query("iam:CreateAccessKey", "iam", IAM, &[("UserName", "{their_user}")]),
            query("iam:CreateAccessKey", "iam", IAM, &[("UserName", "{protected_user}")]),
            query("iam:AttachUserPolicy", "iam", IAM, &[("UserName", "{their_user}"), ("PolicyArn", ADMINISTRATOR)]),
            query("iam:AddUserToGroup", "iam", IAM, &[("UserName", "{managed_user}"), ("GroupName", "{admins}")]),
            query("iam:DeleteUserPermissionsBoundary", "iam", IAM, &[("UserName", "{managed_user}")]),
            query(
                "iam:PutUserPolicy",
                "iam",
                IAM,
                &[("UserName", "{managed_user}"), ("PolicyName", "all"), ("PolicyDocument", ALL)],
            ),
            query("iam:AttachRolePolicy", "iam", IAM, &[("RoleName", "{their_role}"), ("PolicyArn", ADMINISTRATOR)]),
        ],
    },
    Check {
        pack: "analytics-engine",
        mode: "ReadOnly",
        allowed: &[query("ec2:DescribeInstances", "ec2", EC2, &[])],
        forbidden: &[START_ENGINE, TERMINATE, READ_SECRET, simulated("iam:PassRole", ENGINE_ROLE)],
    },
    Check {
        pack: "analytics-engine",
        mode: "ReadWrite",
        allowed: &[
            START_ENGINE,
            query("ec2:TerminateInstances", "ec2", EC2, &[("InstanceId.1", "{engine_instance}")]),
            json(
                "secretsmanager:CreateSecret",
                "secretsmanager",
                "secretsmanager.CreateSecret",
                r#"{"Name": "compute-engine/thing-{n}", "SecretString": "the engine's"}"#,
            ),
            query(
                "iam:CreateRole",
                "iam",
                IAM,
                &[
                    ("RoleName", "thing-{n}"),
                    ("Path", "/{stack}-engine/"),
                    ("AssumeRolePolicyDocument", TRUSTS_LAMBDA),
                    ("PermissionsBoundary", "{engine_boundary}"),
                ],
            ),
            simulated_with("iam:PassRole", ENGINE_ROLE, &[("iam:PassedToService", "ec2.amazonaws.com")]),
        ],
        forbidden: &[
            // Without the tag.
            query(
                "ec2:RunInstances",
                "ec2",
                EC2,
                &[("ImageId", "ami-12345678"), ("MinCount", "1"), ("MaxCount", "1"), ("SecurityGroupId.1", "{engine_group}")],
            ),
            TERMINATE,
            READ_SECRET,
            // Make an instance of the customer's one's own.
            query(
                "ec2:CreateTags",
                "ec2",
                EC2,
                &[("ResourceId.1", "{instance}"), ("Tag.1.Key", "hawser:engine"), ("Tag.1.Value", "{stack}")],
            ),
            simulated_with("iam:PassRole", ENGINE_ROLE, &[("iam:PassedToService", "lambda.amazonaws.com")]),
            simulated_with(
                "iam:PassRole",
                "arn:aws:iam::{account}:role/administrator",
                &[("iam:PassedToService", "ec2.amazonaws.com")],
            ),
            query(
                "iam:CreateRole",
                "iam",
                IAM,
                &[("RoleName", "thing-{n}"), ("Path", "/{stack}-engine/"), ("AssumeRolePolicyDocument", TRUSTS_LAMBDA)],
            ),
        ],
    },
    Check {
        pack: "session-manager",
        mode: "ReadOnly",
        allowed: &[simulated("ssm:DescribeSessions", "*")],
        forbidden: &[START_SESSION, READ_PARAMETER],
    },
    Check {
        pack: "session-manager",
        mode: "ReadWrite",
        allowed: &[simulated("ssm:DescribeSessions", "*"), START_SESSION],
        forbidden: &[
            simulated_with(
                "ssm:StartSession",
                "arn:aws:ec2:eu-west-1:{account}:instance/i-1",
                &[("ssm:resourceTag/hawser:engine", "another")],
            ),
            simulated("ssm:StartSession", "arn:aws:ssm:eu-west-1::document/AWS-StartPortForwardingSession"),
            simulated("ssm:SendCommand", "arn:aws:ec2:eu-west-1:{account}:instance/i-1"),
            READ_PARAMETER,
        ],
    },
    Check {
        pack: "load-balancing",
        mode: "ReadOnly",
        allowed: &[
            query("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing", BALANCING, &[]),
            rest("route53:ListHostedZones", "route53", "GET", "/2013-04-01/hostedzone", ""),
        ],
        forbidden: &[REQUEST_CERTIFICATE, CHANGE_RECORD],
    },
    Check {
        pack: "load-balancing",
        mode: "ReadWrite",
        allowed: &[
            rest("route53:ListHostedZones", "route53", "GET", "/2013-04-01/hostedzone", ""),
            REQUEST_CERTIFICATE,
            simulated_with(
                "route53:ChangeResourceRecordSets",
                "arn:aws:route53:::hostedzone/ZENGINE",
                &[("route53:ChangeResourceRecordSetsRecordTypes", "A")],
            ),
        ],
        forbidden: &[
            CHANGE_RECORD,
            simulated_with(
                "route53:ChangeResourceRecordSets",
                "arn:aws:route53:::hostedzone/ZENGINE",
                &[("route53:ChangeResourceRecordSetsRecordTypes", "MX")],
            ),
            // By mail, whoever reads the mail of the domain would decide.
            json(
                "acm:RequestCertificate",
                "acm",
                "CertificateManager.RequestCertificate",
                r#"{"DomainName": "engine.example", "ValidationMethod": "EMAIL"}"#,
            ),
            simulated("acm:ExportCertificate", "arn:aws:acm:eu-west-1:{account}:certificate/1"),
        ],
    },
];
