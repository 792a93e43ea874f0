//! What customers have. Calls are in the words of each service's API reference.

use super::{Fixture, FixtureId, json, query, rest};

pub(super) const EC2: &str = "2016-11-15";
pub(super) const IAM: &str = "2010-05-08";
pub(super) const RDS: &str = "2014-10-31";
pub(super) const AUTOSCALING: &str = "2011-01-01";
pub(super) const CLOUDWATCH: &str = "2010-08-01";
pub(super) const BALANCING: &str = "2015-12-01";

/// The boundary of managed users, unless the customer names another.
pub(super) const VIEW_ONLY: &str = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess";

/// What customers have.
pub(crate) const FIXTURES: &[Fixture] = &[
    Fixture {
        name: "private_bucket",
        made_by: rest("s3:CreateBucket", "s3", "PUT", "/private-{n}", ""),
        id: FixtureId::Chosen("private-{n}"),
    },
    Fixture {
        name: "private_object",
        made_by: rest("s3:PutObject", "s3", "PUT", "/{private_bucket}/letters", "dear"),
        id: FixtureId::Chosen("/{private_bucket}/letters"),
    },
    Fixture {
        name: "log_group",
        made_by: json("logs:CreateLogGroup", "logs", "Logs_20140328.CreateLogGroup", r#"{"logGroupName": "thing-{n}"}"#),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "secret",
        made_by: json(
            "secretsmanager:CreateSecret",
            "secretsmanager",
            "secretsmanager.CreateSecret",
            r#"{"Name": "thing-{n}", "SecretString": "a secret of theirs"}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "parameter",
        made_by: json(
            "ssm:PutParameter",
            "ssm",
            "AmazonSSM.PutParameter",
            r#"{"Name": "thing-{n}", "Value": "theirs", "Type": "String"}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "file_system",
        made_by: rest(
            "elasticfilesystem:CreateFileSystem",
            "elasticfilesystem",
            "POST",
            "/2015-02-01/file-systems",
            r#"{"CreationToken": "thing-{n}"}"#,
        ),
        id: FixtureId::Found(r#""FileSystemId":\s*"([^"]+)""#),
    },
    Fixture {
        name: "instance",
        made_by: query(
            "ec2:RunInstances",
            "ec2",
            EC2,
            &[("ImageId", "ami-12345678"), ("MinCount", "1"), ("MaxCount", "1"), ("InstanceType", "t3.micro")],
        ),
        id: FixtureId::Found("<instanceId>(.+?)</instanceId>"),
    },
    Fixture {
        name: "their_user",
        made_by: query("iam:CreateUser", "iam", IAM, &[("UserName", "thing-{n}")]),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "protected_instance",
        made_by: query("ec2:CreateTags", "ec2", EC2, &[("ResourceId.1", "{instance}"), PROTECTED_KEY, PROTECTED_VALUE]),
        id: FixtureId::Chosen("{instance}"),
    },
    Fixture {
        name: "engine_instance",
        made_by: query(
            "ec2:CreateTags",
            "ec2",
            EC2,
            &[("ResourceId.1", "{instance}"), ("Tag.1.Key", "hawser:engine"), ("Tag.1.Value", "{stack}")],
        ),
        id: FixtureId::Chosen("{instance}"),
    },
    Fixture {
        name: "volume",
        made_by: query("ec2:CreateVolume", "ec2", EC2, &[("AvailabilityZone", "eu-west-1a"), ("Size", "10")]),
        id: FixtureId::Found("<volumeId>(.+?)</volumeId>"),
    },
    Fixture {
        name: "protected_volume",
        made_by: query("ec2:CreateTags", "ec2", EC2, &[("ResourceId.1", "{volume}"), PROTECTED_KEY, PROTECTED_VALUE]),
        id: FixtureId::Chosen("{volume}"),
    },
    Fixture {
        name: "managed_volume",
        made_by: query("ec2:CreateTags", "ec2", EC2, &[("ResourceId.1", "{volume}"), MANAGED_KEY, MANAGED_VALUE]),
        id: FixtureId::Chosen("{volume}"),
    },
    Fixture {
        name: "launch_configuration",
        made_by: query(
            "autoscaling:CreateLaunchConfiguration",
            "autoscaling",
            AUTOSCALING,
            &[("LaunchConfigurationName", "thing-{n}"), ("ImageId", "ami-12345678"), ("InstanceType", "t3.micro")],
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "group",
        made_by: query(
            "autoscaling:CreateAutoScalingGroup",
            "autoscaling",
            AUTOSCALING,
            &[
                ("AutoScalingGroupName", "thing-{n}"),
                ("LaunchConfigurationName", "{launch_configuration}"),
                ("MinSize", "0"),
                ("MaxSize", "2"),
                ("AvailabilityZones.member.1", "eu-west-1a"),
            ],
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "protected_group",
        made_by: query(
            "autoscaling:CreateOrUpdateTags",
            "autoscaling",
            AUTOSCALING,
            &[
                ("Tags.member.1.ResourceId", "{group}"),
                ("Tags.member.1.ResourceType", "auto-scaling-group"),
                ("Tags.member.1.Key", "hawser:protected"),
                ("Tags.member.1.Value", "true"),
                ("Tags.member.1.PropagateAtLaunch", "false"),
            ],
        ),
        id: FixtureId::Chosen("{group}"),
    },
    Fixture {
        name: "cluster",
        made_by: json(
            "ecs:CreateCluster",
            "ecs",
            "AmazonEC2ContainerServiceV20141113.CreateCluster",
            r#"{"clusterName": "thing-{n}"}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "task",
        made_by: json(
            "ecs:RegisterTaskDefinition",
            "ecs",
            "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition",
            r#"{"family": "thing-{n}", "containerDefinitions": [{"name": "web", "image": "web", "memory": 64}]}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "service",
        made_by: json(
            "ecs:CreateService",
            "ecs",
            "AmazonEC2ContainerServiceV20141113.CreateService",
            r#"{"cluster": "{cluster}", "serviceName": "thing-{n}", "taskDefinition": "{task}", "desiredCount": 0}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "protected_service",
        made_by: json(
            "ecs:TagResource",
            "ecs",
            "AmazonEC2ContainerServiceV20141113.TagResource",
            r#"{"resourceArn": "arn:aws:ecs:eu-west-1:{account}:service/{cluster}/{service}", "tags": [{"key": "hawser:protected", "value": "true"}]}"#,
        ),
        id: FixtureId::Chosen("{service}"),
    },
    Fixture {
        name: "kubernetes",
        made_by: rest(
            "eks:CreateCluster",
            "eks",
            "POST",
            "/clusters",
            r#"{"name": "thing-{n}", "roleArn": "{function_role}", "resourcesVpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}}"#,
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "nodes",
        made_by: rest(
            "eks:CreateNodegroup",
            "eks",
            "POST",
            "/clusters/{kubernetes}/node-groups",
            r#"{"nodegroupName": "nodes", "nodeRole": "{function_role}", "subnets": ["subnet-1"]}"#,
        ),
        id: FixtureId::Chosen("/clusters/{kubernetes}/node-groups/nodes"),
    },
    Fixture {
        name: "function_role",
        made_by: query("iam:CreateRole", "iam", IAM, &[("RoleName", "thing-{n}"), ("AssumeRolePolicyDocument", TRUSTS_LAMBDA)]),
        id: FixtureId::Chosen("arn:aws:iam::{account}:role/thing-{n}"),
    },
    Fixture {
        name: "function",
        made_by: rest("lambda:CreateFunction", "lambda", "POST", "/2015-03-31/functions", FUNCTION),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "managed_function",
        made_by: rest(
            "lambda:TagResource",
            "lambda",
            "POST",
            "/2017-03-31/tags/arn:aws:lambda:eu-west-1:{account}:function:{function}",
            r#"{"Tags": {"hawser:managed": "true"}}"#,
        ),
        id: FixtureId::Chosen("{function}"),
    },
    Fixture {
        name: "protected_function",
        made_by: rest(
            "lambda:TagResource",
            "lambda",
            "POST",
            "/2017-03-31/tags/arn:aws:lambda:eu-west-1:{account}:function:{function}",
            r#"{"Tags": {"hawser:managed": "true", "hawser:protected": "true"}}"#,
        ),
        id: FixtureId::Chosen("{function}"),
    },
    Fixture {
        name: "database",
        made_by: query("rds:CreateDBInstance", "rds", RDS, DATABASE),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "managed_database",
        made_by: query(
            "rds:AddTagsToResource",
            "rds",
            RDS,
            &[
                ("ResourceName", "arn:aws:rds:eu-west-1:{account}:db:{database}"),
                ("Tags.member.1.Key", "hawser:managed"),
                ("Tags.member.1.Value", "true"),
            ],
        ),
        id: FixtureId::Chosen("{database}"),
    },
    Fixture {
        name: "protected_database",
        made_by: query(
            "rds:AddTagsToResource",
            "rds",
            RDS,
            &[
                ("ResourceName", "arn:aws:rds:eu-west-1:{account}:db:{database}"),
                ("Tags.member.1.Key", "hawser:protected"),
                ("Tags.member.1.Value", "true"),
            ],
        ),
        id: FixtureId::Chosen("{database}"),
    },
    Fixture {
        name: "managed_user",
        made_by: query(
            "iam:CreateUser",
            "iam",
            IAM,
            &[("UserName", "thing-{n}"), ("Path", "/hawser/"), ("PermissionsBoundary", VIEW_ONLY)],
        ),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "protected_user",
        made_by: query(
            "iam:TagUser",
            "iam",
            IAM,
            &[("UserName", "{managed_user}"), ("Tags.member.1.Key", "hawser:protected"), ("Tags.member.1.Value", "true")],
        ),
        id: FixtureId::Chosen("{managed_user}"),
    },
    Fixture {
        name: "admins",
        made_by: query("iam:CreateGroup", "iam", IAM, &[("GroupName", "thing-{n}")]),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "their_role",
        made_by: query("iam:CreateRole", "iam", IAM, &[("RoleName", "thing-{n}"), ("AssumeRolePolicyDocument", TRUSTS_LAMBDA)]),
        id: FixtureId::Chosen("thing-{n}"),
    },
    Fixture {
        name: "engine_group",
        made_by: query(
            "ec2:CreateSecurityGroup",
            "ec2",
            EC2,
            &[
                ("GroupName", "thing-{n}"),
                ("GroupDescription", "engine"),
                ("TagSpecification.1.ResourceType", "security-group"),
                ("TagSpecification.1.Tag.1.Key", "hawser:engine"),
                ("TagSpecification.1.Tag.1.Value", "{stack}"),
            ],
        ),
        id: FixtureId::Found("<groupId>(.+?)</groupId>"),
    },
    Fixture {
        name: "zone",
        made_by: rest(
            "route53:CreateHostedZone",
            "route53",
            "POST",
            "/2013-04-01/hostedzone",
            "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>thing-{n}.example</Name>\
             <CallerReference>{n}</CallerReference></CreateHostedZoneRequest>",
        ),
        id: FixtureId::Found("<Id>/hostedzone/(.+?)</Id>"),
    },
];

pub(super) const PROTECTED_KEY: (&str, &str) = ("Tag.1.Key", "hawser:protected");
pub(super) const PROTECTED_VALUE: (&str, &str) = ("Tag.1.Value", "true");
pub(super) const MANAGED_KEY: (&str, &str) = ("Tag.1.Key", "hawser:managed");
pub(super) const MANAGED_VALUE: (&str, &str) = ("Tag.1.Value", "true");

pub(super) const TRUSTS_LAMBDA: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;

/// A function whose code is an empty zip, which nobody runs.
const FUNCTION: &str = r#"{"FunctionName": "thing-{n}", "Runtime": "python3.12", "Handler": "index.handler", "Role": "{function_role}", "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}"#;

const DATABASE: &[(&str, &str)] = &[
    ("DBInstanceIdentifier", "thing-{n}"),
    ("DBInstanceClass", "db.t3.micro"),
    ("Engine", "mysql"),
    ("MasterUsername", "someone"),
    ("MasterUserPassword", "long-enough-for-rds"),
    ("AllocatedStorage", "20"),
];
