//! Each call of AWS as it leaves the SDK: endpoint, Region, owner; and each kind of answer in our words.

use hawser::{
    aws::{
        BucketNamespace, Buckets, CostReports, FaultKind, Organizations, PolicyType, Report, StackResource, Stacks, Tags, Version,
    },
    names::{AccountId, BucketName, ExportName, Partition, Region, StackId},
};

use crate::canned::Canned;

fn billing(partition: Partition) -> Region {
    partition.billing_region().unwrap()
}

fn owner() -> AccountId {
    "111122223333".parse().unwrap()
}

fn bucket() -> BucketName {
    "acme-111122223333-0123456789abcdef".parse().unwrap()
}

fn report() -> Report {
    Report {
        name: "acme-0123456789abcdef".to_owned(),
        time_unit: "HOURLY".to_owned(),
        format: "Parquet".to_owned(),
        compression: "Parquet".to_owned(),
        elements: vec!["RESOURCES".to_owned()],
        bucket: bucket().as_str().to_owned(),
        prefix: "hawser/0a1b2c3d".to_owned(),
        region: "us-east-1".to_owned(),
        artifacts: vec!["ATHENA".to_owned()],
        versioning: "OVERWRITE_REPORT".to_owned(),
        refresh_closed: true,
        billing_view: None,
        last_status: None,
        last_delivery: None,
    }
}

#[tokio::test]
async fn billing_lives_in_its_own_region_of_each_partition() {
    // HW-B1, F-13, F-14: whatever Region the stack is in (here eu-west-1), and in no partition a host that does not exist.
    for (partition, host) in [
        (Partition::Aws, "cur.us-east-1.amazonaws.com"),
        (Partition::AwsCn, "cur.cn-northwest-1.amazonaws.com.cn"),
        (Partition::AwsEusc, "cur.eusc-de-east-1.amazonaws.eu"),
    ] {
        let canned = Canned::with(&[(200, "{}")]);
        let region = billing(partition);
        canned.clients(&region).describe_reports().await.unwrap();
        let sent = canned.sent();
        assert!(sent[0].uri.starts_with(&format!("https://{host}")), "{}", sent[0].uri);
        assert!(sent[0].header("authorization").contains(&format!("/{region}/cur/aws4_request")));
    }
    assert_eq!(Partition::AwsUsGov.billing_region(), None, "F-25");
}

#[tokio::test]
async fn every_page_of_reports_is_read() {
    // HW-B4: a page holds five.
    let page = |names: &[&str], next: &str| {
        let reports: Vec<String> = names.iter().map(|name| format!(
            r#"{{"ReportName":"{name}","TimeUnit":"HOURLY","Format":"Parquet","Compression":"Parquet","AdditionalSchemaElements":["RESOURCES","NEW"],"S3Bucket":"b","S3Prefix":"p","S3Region":"mars-1","ReportStatus":{{"lastStatus":"SUCCESS","lastDelivery":"20261121T080000Z"}}}}"#
        )).collect();
        format!(r#"{{"ReportDefinitions":[{}]{next}}}"#, reports.join(","))
    };
    let canned = Canned::with(&[(200, &page(&["a", "b", "c", "d", "e"], r#","NextToken":"more""#)), (200, &page(&["f"], ""))]);
    let reports = canned.clients(&billing(Partition::Aws)).describe_reports().await.unwrap();
    assert_eq!(reports.iter().map(|report| report.name.as_str()).collect::<String>(), "abcdef");
    assert!(canned.sent()[1].body.contains("more"));
    // What AWS adds after this SDK was built arrives as it is.
    assert_eq!((reports[0].elements[1].as_str(), reports[0].region.as_str()), ("NEW", "mars-1"));
    assert_eq!(reports[5].last_status.as_deref(), Some("SUCCESS"));
}

#[tokio::test]
async fn every_bucket_call_names_the_owner_and_goes_by_path() {
    // HW-O5.
    let canned = Canned::with(&[(200, ""), (404, ""), (200, "<Tagging><TagSet/></Tagging>"), (200, r#"{"Version":"x"}"#)]);
    let (clients, bucket, owner) = (canned.clients(&billing(Partition::Aws)), bucket(), owner());
    assert!(clients.bucket_exists(&bucket, &owner).await.unwrap());
    assert!(!clients.bucket_exists(&bucket, &owner).await.unwrap());
    assert_eq!(clients.bucket_tags(&bucket, &owner).await.unwrap(), Tags::new());
    assert_eq!(clients.bucket_policy(&bucket, &owner).await.unwrap().as_deref(), Some(r#"{"Version":"x"}"#));
    clients.block_public_access(&bucket, &owner).await.unwrap();
    clients.encrypt_bucket(&bucket, &owner).await.unwrap();
    clients.expire_uploads(&bucket, &owner, 7).await.unwrap();
    clients.put_bucket_policy(&bucket, &owner, "{}").await.unwrap();
    clients.delete_bucket(&bucket, &owner).await.unwrap();
    let version = Version { key: "k".to_owned(), version_id: "null".to_owned() };
    canned.answers.lock().unwrap().push_back((200, "<DeleteResult/>".to_owned()));
    clients.delete_versions(&bucket, &owner, &[version]).await.unwrap();
    let sent = canned.sent();
    assert_eq!(sent.len(), 10);
    for sent in sent {
        let at = "https://s3.us-east-1.amazonaws.com/acme-111122223333-0123456789abcdef";
        assert!(sent.uri.starts_with(at), "{} {}", sent.method, sent.uri);
        assert_eq!(sent.header("x-amz-expected-bucket-owner"), owner.as_str(), "{} {}", sent.method, sent.uri);
    }
}

#[tokio::test]
async fn a_bucket_is_created_with_its_ownership_tags() {
    // HW-O1; and us-east-1 is where a bucket is made without a constraint.
    let tags = Tags::from([("hawser:stack-id".to_owned(), "arn:aws:cloudformation:…".to_owned())]);
    for (partition, constraint) in [(Partition::Aws, false), (Partition::AwsCn, true)] {
        let canned = Canned::default();
        canned.clients(&billing(partition)).create_bucket(&bucket(), BucketNamespace::Global, &tags).await.unwrap();
        let sent = &canned.sent()[0];
        assert!(sent.body.contains("<Key>hawser:stack-id</Key>"), "{}", sent.body);
        assert_eq!(sent.body.contains("<LocationConstraint>cn-northwest-1</LocationConstraint>"), constraint);
        assert!(!sent.body.contains("us-east-1"));
        assert_eq!(sent.header("x-amz-object-ownership"), "BucketOwnerEnforced");
        assert_eq!(sent.header("x-amz-bucket-namespace"), "");
    }
}

/// F-50: a policy that forbids to set the ownership that S3 gives by itself keeps no bucket from being made; another denial does.
#[tokio::test]
async fn a_bucket_is_created_where_its_ownership_may_not_be_set() {
    let denial = |action: &str| {
        format!(
            "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: {action} on resource: x with an explicit deny in a service control policy</Message></Error>"
        )
    };
    let canned = Canned::with(&[(403, &denial("s3:PutBucketOwnershipControls")), (200, "")]);
    let clients = canned.clients(&billing(Partition::Aws));
    clients.create_bucket(&bucket(), BucketNamespace::Global, &Tags::new()).await.unwrap();
    let ownership: Vec<String> = canned.sent().iter().map(|sent| sent.header("x-amz-object-ownership").to_owned()).collect();
    assert_eq!(ownership, ["BucketOwnerEnforced", ""]);
    let canned = Canned::with(&[(403, &denial("s3:CreateBucket"))]);
    let clients = canned.clients(&billing(Partition::Aws));
    clients.create_bucket(&bucket(), BucketNamespace::Global, &Tags::new()).await.unwrap_err();
    assert_eq!(canned.sent().len(), 1);
}

/// F-49: without tags, S3 hears nothing of any; and S3 refuses a name of the account-regional namespace without its header.
#[tokio::test]
async fn a_bucket_is_created_without_tags_and_in_either_namespace() {
    let name: BucketName = "acme-0123456789abcdef-111122223333-us-east-1-an".parse().unwrap();
    let canned = Canned::default();
    let clients = canned.clients(&billing(Partition::Aws));
    clients.create_bucket(&name, BucketNamespace::AccountRegional, &Tags::new()).await.unwrap();
    let sent = &canned.sent()[0];
    assert_eq!((sent.body.as_str(), sent.header("x-amz-bucket-namespace")), ("", "account-regional"));
}

/// F-49, F-51: tags that come after the creation.
#[tokio::test]
async fn what_exists_is_tagged() {
    let tags = Tags::from([("CostCenter".to_owned(), "42".to_owned())]);
    let canned = Canned::with(&[(204, ""), (200, "{}")]);
    let clients = canned.clients(&billing(Partition::Aws));
    clients.put_bucket_tags(&bucket(), &owner(), &tags).await.unwrap();
    clients.tag_report(&ExportName::existing("acme-0123456789abcdef"), &tags).await.unwrap();
    let sent = canned.sent();
    assert!(sent[0].uri.ends_with("?tagging"), "{}", sent[0].uri);
    assert!(sent[0].body.contains("<Tag><Key>CostCenter</Key><Value>42</Value></Tag>"), "{}", sent[0].body);
    assert_eq!(sent[0].header("x-amz-expected-bucket-owner"), owner().as_str());
    assert!(sent[1].header("x-amz-target").ends_with(".TagResource"));
    let body: serde_json::Value = serde_json::from_str(&sent[1].body).unwrap();
    let expected = serde_json::json!({ "ReportName": "acme-0123456789abcdef", "Tags": [{ "Key": "CostCenter", "Value": "42" }] });
    assert_eq!(body, expected);
}

/// F-49, B-1: which refusals of a creation may be of its tags.
#[tokio::test]
async fn refusals_that_may_be_of_tags_are_distinguished() {
    let refusal = |code: &str, message: &str| format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let denial = |action: &str| {
        format!(
            "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: {action} on resource: x with an explicit deny in a service control policy"
        )
    };
    for (status, code, message, expected) in [
        (400, "UnsupportedArgument", "An argument you provided is not supported", true),
        (501, "NotImplemented", "A header you provided implies functionality that is not implemented", true),
        (400, "MalformedXML", "The XML you provided was not well-formed", true),
        (400, "InvalidTag", "The tag provided was not a valid tag", true),
        (403, "AccessDenied", "Access Denied", true),
        (403, "AccessDenied", denial("s3:TagResource").as_str(), true),
        (403, "AccessDenied", denial("s3:PutBucketTagging").as_str(), true),
        (403, "AccessDenied", denial("s3:CreateBucket").as_str(), false),
        (409, "BucketAlreadyExists", "The requested bucket name is not available", false),
        (400, "InvalidBucketName", "The specified bucket is not valid", false),
        (400, "MissingNamespaceHeader", "The requested bucket is an account-regional namespace bucket", false),
        (503, "SlowDown", "Reduce your request rate", false),
    ] {
        let canned = Canned::with(&[(status, &refusal(code, message)), (status, &refusal(code, message))]);
        let clients = canned.clients(&billing(Partition::Aws));
        let fault = clients.create_bucket(&bucket(), BucketNamespace::Global, &Tags::new()).await.unwrap_err();
        assert_eq!(fault.may_be_of_tags(), expected, "{fault:?}");
    }
}

/// F-51.
#[tokio::test]
async fn the_stacks_own_tags_are_read() {
    let stacks = |tags: &str| {
        format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>acme</StackName><CreationTime>2026-11-22T10:00:00Z</CreationTime><StackStatus>CREATE_IN_PROGRESS</StackStatus>{tags}</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
        )
    };
    let unknown = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id x does not exist</Message></Error></ErrorResponse>";
    let tagged = stacks("<Tags><member><Key>CostCenter</Key><Value>42</Value></member></Tags>");
    let canned = Canned::with(&[(200, &tagged), (200, &stacks("")), (400, unknown)]);
    let clients = canned.clients(&stack().region);
    assert_eq!(clients.stack_tags(&stack()).await.unwrap(), Tags::from([("CostCenter".to_owned(), "42".to_owned())]));
    for _ in 0..2 {
        assert_eq!(clients.stack_tags(&stack()).await.unwrap(), Tags::new());
    }
}

#[tokio::test]
async fn a_report_is_created_as_desired_with_its_ownership_tags() {
    let canned = Canned::with(&[(200, "{}")]);
    let tags = Tags::from([("hawser:stack-id".to_owned(), "arn".to_owned())]);
    canned.clients(&billing(Partition::Aws)).put_report(&report(), &tags).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&canned.sent()[0].body).unwrap();
    assert_eq!(body["ReportDefinition"]["AdditionalArtifacts"], serde_json::json!(["ATHENA"]));
    assert_eq!(body["ReportDefinition"]["RefreshClosedReports"], true);
    assert_eq!(body["Tags"], serde_json::json!([{ "Key": "hawser:stack-id", "Value": "arn" }]));
}

#[tokio::test]
async fn refusals_are_distinguished() {
    let not_in_use = r#"{"__type":"AWSOrganizationsNotInUseException","Message":"no"}"#;
    let denied = r#"{"__type":"AccessDeniedException","Message":"denied"}"#;
    let scp =
        r#"{"__type":"AccessDeniedException","Message":"not authorized with an explicit deny in a service control policy"}"#;
    let canned = Canned::with(&[
        (400, not_in_use),
        (400, denied),
        (400, scp),
        (
            200,
            r#"{"Organization":{"Id":"o-1","MasterAccountId":"111122223333","MasterAccountEmail":"x@example.com","FeatureSet":"ALL"}}"#,
        ),
        (200, "{}"),
    ]);
    let clients = canned.clients(&billing(Partition::Aws));
    // HW-B2, F-22: only this one means standalone.
    assert_eq!(clients.describe_organization().await.unwrap(), None);
    assert_eq!(clients.describe_organization().await.unwrap_err().kind, FaultKind::Denied);
    assert_eq!(
        clients.describe_organization().await.unwrap_err().kind,
        FaultKind::DeniedBy(PolicyType::ServiceControlPolicy),
        "F-5"
    );
    let known = clients.describe_organization().await.unwrap().unwrap();
    assert_eq!(known.management_account.unwrap(), owner());
    assert_eq!(clients.describe_organization().await.unwrap_err().kind, FaultKind::Unavailable);
}

#[tokio::test]
async fn a_missing_report_counts_as_removed() {
    let missing = r#"{"__type":"ValidationException","Message":"report does not exist"}"#;
    let listed = r#"{"ReportDefinitions":[{"ReportName":"acme-0123456789abcdef","TimeUnit":"HOURLY","Format":"Parquet","Compression":"Parquet","AdditionalSchemaElements":[],"S3Bucket":"b","S3Prefix":"p","S3Region":"us-east-1"}]}"#;
    let name = ExportName::existing("acme-0123456789abcdef");
    let gone = Canned::with(&[(400, missing), (200, "{}")]);
    gone.clients(&billing(Partition::Aws)).delete_report(&name).await.unwrap();
    let there = Canned::with(&[(400, missing), (200, listed)]);
    let fault = there.clients(&billing(Partition::Aws)).delete_report(&name).await.unwrap_err();
    assert_eq!((fault.kind, fault.action), (FaultKind::Refused, "cur:DeleteReportDefinition"));
}

#[tokio::test]
async fn old_regions_answer_with_no_constraint_or_with_eu() {
    let answer = |constraint: &str| {
        format!(r#"<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{constraint}</LocationConstraint>"#)
    };
    let canned = Canned::with(&[(200, &answer("")), (200, &answer("EU")), (200, &answer("ap-south-1"))]);
    let clients = canned.clients(&billing(Partition::Aws));
    for expected in ["us-east-1", "eu-west-1", "ap-south-1"] {
        assert_eq!(clients.bucket_region(&bucket(), &owner()).await.unwrap().as_str(), expected);
    }
}

/// F-45: where S3 says that a bucket is, with whatever status it refuses; a HEAD's answer has nothing else (HeadBucket API
/// reference). An outage says it too, and stays one.
#[tokio::test]
async fn where_a_bucket_is_comes_with_every_refusal() {
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>…</Message></Error>");
    for (status, body, kind) in [
        (301, String::new(), FaultKind::Refused),
        (301, error("PermanentRedirect"), FaultKind::Refused),
        (307, error("TemporaryRedirect"), FaultKind::Refused),
        (400, String::new(), FaultKind::Refused),
        (400, error("IllegalLocationConstraintException"), FaultKind::Refused),
        (400, error("AuthorizationHeaderMalformed"), FaultKind::Refused),
        (403, String::new(), FaultKind::Denied),
        (403, error("AccessDenied"), FaultKind::Denied),
        (503, error("SlowDown"), FaultKind::Throttled),
        (500, String::new(), FaultKind::Unavailable),
    ] {
        let answer = (status, body.as_str());
        let mut canned = Canned::with(&[answer; 12]);
        canned.bucket_region = Some("ap-southeast-7");
        let clients = canned.clients(&billing(Partition::Aws));
        let (bucket, owner) = (bucket(), owner());
        for fault in [
            clients.bucket_exists(&bucket, &owner).await.unwrap_err(),
            clients.bucket_region(&bucket, &owner).await.unwrap_err(),
            clients.bucket_key(&bucket, &owner).await.unwrap_err(),
            clients.bucket_tags(&bucket, &owner).await.unwrap_err(),
            clients.bucket_policy(&bucket, &owner).await.unwrap_err(),
        ] {
            assert_eq!(fault.kind, kind, "{} {status} {body}", fault.action);
            assert_eq!(fault.bucket_region, Some("ap-southeast-7".parse().unwrap()), "{} {status} {body}", fault.action);
        }
    }
}

#[tokio::test]
async fn keys_that_could_not_be_deleted_are_a_fault_though_the_call_succeeded() {
    let body = "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
    let canned = Canned::with(&[(200, body)]);
    let version = Version { key: "k".to_owned(), version_id: "null".to_owned() };
    let fault = canned.clients(&billing(Partition::Aws)).delete_versions(&bucket(), &owner(), &[version]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    // What may pass is said first: it is worth another try.
    let both = "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error><Error><Key>l</Key><Code>SlowDown</Code></Error></DeleteResult>";
    let canned = Canned::with(&[(200, both)]);
    let versions = ["k", "l"].map(|key| Version { key: key.to_owned(), version_id: "null".to_owned() });
    let fault = canned.clients(&billing(Partition::Aws)).delete_versions(&bucket(), &owner(), &versions).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Throttled);
}

/// HW-L5: another run was faster.
#[tokio::test]
async fn keys_in_a_bucket_that_is_gone_are_deleted() {
    let gone = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let canned = Canned::with(&[(404, gone), (403, "<Error><Code>AccessDenied</Code></Error>")]);
    let clients = canned.clients(&billing(Partition::Aws));
    let version = Version { key: "k".to_owned(), version_id: "null".to_owned() };
    clients.delete_versions(&bucket(), &owner(), std::slice::from_ref(&version)).await.unwrap();
    let fault = clients.delete_versions(&bucket(), &owner(), &[version]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
}

#[tokio::test]
async fn throttling_is_tried_again_and_then_said() {
    // F-44.
    let slow = r#"{"__type":"ThrottlingException","Message":"slow down"}"#;
    let canned = Canned::with(&[(400, slow), (200, "{}"), (400, slow), (400, slow)]);
    let clients = canned.clients(&billing(Partition::Aws));
    assert_eq!(clients.describe_reports().await.unwrap(), Vec::new());
    assert_eq!(clients.describe_reports().await.unwrap_err().kind, FaultKind::Throttled);
}

fn stack() -> StackId {
    "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70".parse().unwrap()
}

/// HW-C6, HW-L8: the stack's own words, asked by its ARN in its own Region.
#[tokio::test]
async fn a_stack_is_asked_by_its_id_where_it_is() {
    let status = r#"<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>acme</StackName>
        <CreationTime>2026-11-22T10:00:00Z</CreationTime><StackStatus>UPDATE_ROLLBACK_IN_PROGRESS</StackStatus></member></Stacks>
        </DescribeStacksResult></DescribeStacksResponse>"#;
    let resources = r#"<DescribeStackResourcesResponse><DescribeStackResourcesResult><StackResources><member>
        <LogicalResourceId>BillingExport</LogicalResourceId><PhysicalResourceId>hawser/a</PhysicalResourceId><Timestamp>2026-11-22T10:00:00Z</Timestamp>
        <ResourceType>Custom::BillingExport</ResourceType><ResourceStatus>DELETE_IN_PROGRESS</ResourceStatus></member></StackResources>
        </DescribeStackResourcesResult></DescribeStackResourcesResponse>"#;
    let canned = Canned::with(&[(200, status), (200, resources)]);
    let clients = canned.clients(&stack().region);
    assert_eq!(clients.stack_status(&stack()).await.unwrap(), "UPDATE_ROLLBACK_IN_PROGRESS");
    let known = clients.stack_resource(&stack(), "BillingExport").await.unwrap();
    assert_eq!(known, Some(StackResource { status: "DELETE_IN_PROGRESS".to_owned(), physical_id: "hawser/a".to_owned() }));
    for sent in canned.sent() {
        assert!(sent.uri.starts_with("https://cloudformation.eu-west-1.amazonaws.com"), "{}", sent.uri);
        assert!(
            sent.body.contains("StackName=arn%3Aaws%3Acloudformation%3Aeu-west-1%3A111122223333%3Astack%2Facme%2F5e0c1b70"),
            "{}",
            sent.body
        );
    }
    assert!(canned.sent()[1].body.contains("LogicalResourceId=BillingExport"), "{}", canned.sent()[1].body);
}

/// HW-L6: a stack that CloudFormation does not know, such as that of an event written by hand, is no fault.
#[tokio::test]
async fn an_unknown_stack_is_known_as_such_and_a_denial_as_one() {
    let error = |code: &str| {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>Stack with id x does not exist</Message></Error></ErrorResponse>"
        )
    };
    let canned = Canned::with(&[(400, &error("ValidationError")), (403, &error("AccessDenied"))]);
    let clients = canned.clients(&stack().region);
    assert_eq!(clients.stack_resource(&stack(), "BillingExport").await.unwrap(), None);
    let fault = clients.stack_status(&stack()).await.unwrap_err();
    assert_eq!((fault.kind, fault.action), (FaultKind::Denied, "cloudformation:DescribeStacks"));
}
