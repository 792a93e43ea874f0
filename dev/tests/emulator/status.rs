//! A handler that asks CloudFormation how its own stack and its own resource are doing gets the truth at every moment.
//!
//! The stack here is a probe: a custom resource whose function calls DescribeStacks and DescribeStackResources with its role's credentials and answers
//! with what it was told. The same answers are what Hawser's handler goes by.

use hawser_dev::{
    constants::{CUSTOMER, STACK_REGION},
    emulator::Emulator,
    stack::{Parameters, Stack},
    strict_proxy::scenario::Scenario,
};

/// `Watched` gets another id with each generation; `After` fails when it is told to.
const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Generation: { Type: String }
  Fail: { Type: String, Default: "" }
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{ Effect: Allow, Principal: { Service: lambda.amazonaws.com }, Action: sts:AssumeRole }]
      Policies:
        - PolicyName: Probe
          PolicyDocument:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Action: [ACTIONS], Resource: !Sub RESOURCE }]
  Probe:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.11
      Handler: index.handler
      Timeout: 20
      Role: !GetAtt Role.Arn
      Code:
        ZipFile: |
          import json, os, urllib.request
          import botocore.exceptions, botocore.session

          def handler(event, context):
              asked, properties = event["RequestType"], event["ResourceProperties"]
              session = botocore.session.get_session()
              client = session.create_client("cloudformation", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
              try:
                  stack = client.describe_stacks(StackName=event["StackId"])["Stacks"][0]["StackStatus"]
                  resource = client.describe_stack_resources(
                      StackName=event["StackId"], LogicalResourceId=event["LogicalResourceId"])["StackResources"][0]
                  told = stack + " " + resource["ResourceStatus"] + " " + resource.get("PhysicalResourceId", "")
              except botocore.exceptions.ClientError as error:
                  told = error.response["Error"]["Message"]
              fails = asked == properties.get("Fail")
              answer = {
                  "Status": "FAILED" if fails else "SUCCESS", "Reason": "as told",
                  "PhysicalResourceId": event.get("PhysicalResourceId", "") if asked == "Delete" or fails and asked == "Update"
                      else "probe-" + properties.get("Generation", "after"),
                  "StackId": event["StackId"], "RequestId": event["RequestId"],
                  "LogicalResourceId": event["LogicalResourceId"], "Data": {"Asked": asked, "Told": told},
              }
              url = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT")
              urllib.request.urlopen(url)
  Watched:
    Type: Custom::Probe
    Properties: { ServiceToken: !GetAtt Probe.Arn, ServiceTimeout: 30, Generation: !Ref Generation }
  After:
    Type: Custom::Probe
    DependsOn: Watched
    Properties: { ServiceToken: !GetAtt Probe.Arn, ServiceTimeout: 30, Fail: !Ref Fail }
"#;

struct Probe {
    emulator: Emulator,
    template: String,
    seen: usize,
}

impl Probe {
    async fn new(actions: &str, resource: &str) -> Self {
        let emulator = Emulator::start(Scenario::default()).await.unwrap();
        let template = TEMPLATE.replace("ACTIONS", actions).replace("RESOURCE", &format!("{resource:?}"));
        Self { emulator, template, seen: 0 }
    }

    async fn create(&mut self, fail: &str) -> (Stack, String) {
        let account = self.emulator.root(CUSTOMER, STACK_REGION);
        let created = Stack::create(&account, "probe", &self.template, &parameters("1", fail), &mut |_| {}).await;
        let (stack, outcome) = created.unwrap();
        (stack, outcome.status)
    }

    async fn update(&mut self, stack: &mut Stack, generation: &str, fail: &str) -> String {
        stack.update(&self.template, &parameters(generation, fail), &mut |_| {}).await.unwrap().status
    }

    /// What the handler was told since the last look: resource, request, status.
    fn reported(&mut self) -> Vec<String> {
        let uploads = self.emulator.front().uploads().split_off(self.seen);
        self.seen += uploads.len();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let line = |upload: &hawser_dev::strict_proxy::calls::Upload| {
            let data = &upload.body["Data"];
            format!("{} {} {}", upload.logical_id, text(&data["Asked"]), text(&data["Told"]))
        };
        uploads.iter().map(line).collect()
    }
}

fn parameters(generation: &str, fail: &str) -> Parameters {
    [("Generation", generation), ("Fail", fail)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

const BOTH: &str = "cloudformation:DescribeStacks, cloudformation:DescribeStackResources";

/// HW-L7, HW-L8, HW-L9, HW-C6 go by these.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_and_its_resources_have_the_right_status_at_every_moment() {
    let mut probe = Probe::new(BOTH, "${AWS::StackId}").await;
    let (mut stack, status) = probe.create("").await;
    assert_eq!(status, "CREATE_COMPLETE");
    assert_eq!(
        probe.reported(),
        ["Watched Create CREATE_IN_PROGRESS CREATE_IN_PROGRESS ", "After Create CREATE_IN_PROGRESS CREATE_IN_PROGRESS "]
    );

    assert_eq!(probe.update(&mut stack, "2", "").await, "UPDATE_COMPLETE");
    assert_eq!(
        probe.reported(),
        [
            "Watched Update UPDATE_IN_PROGRESS UPDATE_IN_PROGRESS probe-1",
            "Watched Delete UPDATE_COMPLETE_CLEANUP_IN_PROGRESS UPDATE_COMPLETE probe-2",
        ]
    );

    // Both go back to their earlier properties; the id of the failed attempt goes last.
    assert_eq!(probe.update(&mut stack, "3", "Update").await, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(
        probe.reported(),
        [
            "Watched Update UPDATE_IN_PROGRESS UPDATE_IN_PROGRESS probe-2",
            "After Update UPDATE_IN_PROGRESS UPDATE_IN_PROGRESS probe-after",
            "Watched Update UPDATE_ROLLBACK_IN_PROGRESS UPDATE_IN_PROGRESS probe-3",
            "After Update UPDATE_ROLLBACK_IN_PROGRESS UPDATE_IN_PROGRESS probe-after",
            "Watched Delete UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS UPDATE_COMPLETE probe-2",
        ]
    );

    stack.delete(&mut |_| {}).await.unwrap();
    assert_eq!(
        probe.reported(),
        [
            "After Delete DELETE_IN_PROGRESS DELETE_IN_PROGRESS probe-after",
            "Watched Delete DELETE_IN_PROGRESS DELETE_IN_PROGRESS probe-2",
        ]
    );

    let (_, status) = probe.create("Create").await;
    assert_eq!(status, "ROLLBACK_COMPLETE");
    assert_eq!(
        probe.reported(),
        [
            "Watched Create CREATE_IN_PROGRESS CREATE_IN_PROGRESS ",
            "After Create CREATE_IN_PROGRESS CREATE_IN_PROGRESS ",
            "After Delete ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS probe-after",
            "Watched Delete ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS probe-1",
        ]
    );
    let calls = probe.emulator.front().calls().all();
    assert!(
        calls.len() > 20 && calls.iter().all(|call| call.service == "cloudformation" && call.principal == "role"),
        "{calls:?}"
    );
}

/// The role needs the action for it, and for its own stack.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reported_without_the_permission() {
    let (own, other) = ("${AWS::StackId}", "arn:aws:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/other/*");
    for (actions, resource, missing) in [
        ("cloudformation:DescribeStackResources", own, "cloudformation:DescribeStacks"),
        ("cloudformation:DescribeStacks", own, "cloudformation:DescribeStackResources"),
        (BOTH, other, "cloudformation:DescribeStacks"),
    ] {
        let mut probe = Probe::new(actions, resource).await;
        probe.create("").await;
        let reported = probe.reported().remove(0);
        assert!(reported.contains(&format!("not authorized to perform: {missing} ")), "{reported}");
    }
}
