//! IAM and STS on the wire: what is sent with a person's credentials, and each answer in our words.

use std::collections::BTreeMap;

use hawser::aws::FaultKind;
use hawser_cli::{
    connect::{
        CallerKind,
        iam::{Iam, Policy, Role, Verdict},
        sdk::{CallerSession, web},
    },
    error::{CommandError, Exit},
    preflight::Surroundings,
    template::Template,
};
use serde_json::json;

use crate::canned::Canned;

pub(crate) const WHO: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
    <Arn>arn:aws:sts::111122223333:assumed-role/Admin/anna</Arn><UserId>AROA:anna</UserId><Account>111122223333</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

fn answer(operation: &str, result: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{operation}Result>{result}</{operation}Result></{operation}Response>"
    )
}

fn refusal(code: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    )
}

/// A person, after AWS said who it is.
async fn person(answers: &[(u16, String)]) -> (CallerSession, Canned) {
    let all: Vec<(u16, &str)> =
        [(200, WHO)].into_iter().chain(answers.iter().map(|(status, body)| (*status, body.as_str()))).collect();
    let canned = Canned::with(&all);
    (CallerSession::of(web().unwrap(), canned.config()).await.unwrap(), canned)
}

/// What was asked of IAM last, by parameter.
fn asked(canned: &Canned) -> BTreeMap<String, String> {
    let sent = canned.sent().pop().unwrap();
    url::form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn the_identity_is_the_one_that_aws_states() {
    let (person, canned) = person(&[]).await;
    let request = person.request(Template::ours(), BTreeMap::new(), None);
    let caller = &request.caller;
    assert_eq!((caller.kind(), caller.role_name()), (CallerKind::Role, Some("Admin")));
    assert_eq!((caller.account.as_str(), request.region.as_str()), ("111122223333", "eu-west-1"));
    assert!(canned.sent()[0].uri.starts_with("https://sts.eu-west-1.amazonaws.com"));

    let elsewhere = WHO.replace("arn:aws:", "arn:aws-cn:");
    let canned = Canned::with(&[(200, elsewhere.as_str())]);
    let why = CallerSession::of(web().unwrap(), canned.config()).await.err().unwrap();
    assert_eq!(why.code(), "REGION_ELSEWHERE", "{why}");
    let expired = refusal("ExpiredToken");
    let canned = Canned::with(&[(403, expired.as_str())]);
    let why: CommandError = CallerSession::of(web().unwrap(), canned.config()).await.err().unwrap();
    assert!(why.exit() == Exit::External && why.to_string().contains("ExpiredToken"), "{why}");
}

/// F-5: IAM says whose policy it is that denies, and every page is read.
#[tokio::test]
async fn the_simulators_word_in_ours() {
    let result = |action: &str, decision: &str, more: &str| {
        format!(
            "<member><EvalActionName>{action}</EvalActionName><EvalResourceName>*</EvalResourceName><EvalDecision>{decision}</EvalDecision>{more}</member>"
        )
    };
    let scp = "<OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail>";
    let allowed_by_scp = scp.replace("false", "true");
    let boundary = "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>";
    let first = [
        result("iam:GetRole", "allowed", &allowed_by_scp),
        result("iam:CreateRole", "explicitDeny", scp),
        result("iam:DeleteRole", "implicitDeny", scp),
        result("iam:PassRole", "implicitDeny", boundary),
    ];
    let asks = "<MissingContextValues><member>aws:SourceVpc</member></MissingContextValues>";
    let second = [result("iam:TagRole", "explicitDeny", &allowed_by_scp), result("iam:UpdateRole", "implicitDeny", asks)];
    let page = |results: &[String], more: &str| {
        answer("SimulatePrincipalPolicy", &format!("<EvaluationResults>{}</EvaluationResults>{more}", results.concat()))
    };
    let (person, canned) = person(&[
        (200, page(&first, "<IsTruncated>true</IsTruncated><Marker>next</Marker>")),
        (200, page(&second, "<IsTruncated>false</IsTruncated>")),
    ])
    .await;
    let actions = vec!["iam:GetRole".to_owned(), "iam:CreateRole".to_owned()];
    let context = [("iam:PassedToService".to_owned(), "lambda.amazonaws.com".to_owned())];
    let decisions = person.simulate("arn:aws:iam::111122223333:role/Admin", &actions, "arn:x", &context).await.unwrap();
    let decision = |action: &str, verdict| (action.to_owned(), verdict);
    let counted: Vec<bool> = decisions.iter().map(|decision| decision.counts_organization).collect();
    assert_eq!(counted, [true, true, true, false, true, false]);
    assert_eq!(decisions.last().unwrap().missing_context, ["aws:SourceVpc"]);
    let verdicts: Vec<(String, Verdict)> = decisions.into_iter().map(|decision| (decision.action, decision.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            decision("iam:GetRole", Verdict::Allowed),
            decision("iam:CreateRole", Verdict::DeniedByOrganization),
            decision("iam:DeleteRole", Verdict::DeniedByOrganization),
            decision("iam:PassRole", Verdict::OutsideOfBoundary),
            decision("iam:TagRole", Verdict::Denied),
            decision("iam:UpdateRole", Verdict::NotAllowed),
        ]
    );
    let asked = asked(&canned);
    assert_eq!((asked["Marker"].as_str(), asked["ActionNames.member.2"].as_str()), ("next", "iam:CreateRole"));
    assert_eq!(asked["ContextEntries.member.1.ContextKeyName"], "iam:PassedToService");
    assert_eq!(asked["ResourceArns.member.1"], "arn:x");
    // IAM is asked where the partition has it, whatever the person's Region.
    assert!(canned.sent()[1].header("authorization").contains("/us-east-1/iam/aws4_request"));
}

#[tokio::test]
async fn roles_and_policies_are_read_as_iam_writes_them() {
    let document = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let tags = "<Tags><member><Key>hawser:stack-id</Key><Value>arn</Value></member></Tags>";
    let role = format!(
        "<Role><Path>/team/</Path><RoleName>r</RoleName><RoleId>AROA</RoleId><Arn>arn:r</Arn><CreateDate>2026-11-22T10:00:00Z</CreateDate>\
         <AssumeRolePolicyDocument>{document}</AssumeRolePolicyDocument><Description>d</Description>\
         <PermissionsBoundary><PermissionsBoundaryArn>arn:b</PermissionsBoundaryArn></PermissionsBoundary>{tags}</Role>"
    );
    let policy =
        format!("<Policy><PolicyName>p</PolicyName><Path>/</Path><DefaultVersionId>v7</DefaultVersionId>{tags}</Policy>");
    let version = format!("<PolicyVersion><Document>{document}</Document><VersionId>v7</VersionId></PolicyVersion>");
    let (person, canned) = person(&[
        (200, answer("GetRole", &role)),
        (200, answer("GetPolicy", &policy)),
        (200, answer("GetPolicyVersion", &version)),
    ])
    .await;
    let empty = json!({"Version": "2012-10-17", "Statement": []});
    let marked = BTreeMap::from([("hawser:stack-id".to_owned(), "arn".to_owned())]);
    let expected = Role {
        name: "r".to_owned(),
        arn: "arn:r".to_owned(),
        path: "/team/".to_owned(),
        description: "d".to_owned(),
        trust: empty.clone(),
        boundary: Some("arn:b".to_owned()),
        tags: marked.clone(),
    };
    assert_eq!(person.role("r").await.unwrap(), Some(expected));
    let expected = Policy {
        name: "p".to_owned(),
        arn: "arn:p".to_owned(),
        path: "/".to_owned(),
        description: String::new(),
        document: empty,
        tags: marked,
    };
    assert_eq!(person.policy("arn:p").await.unwrap(), Some(expected));
    assert_eq!(asked(&canned)["VersionId"], "v7");
}

#[tokio::test]
async fn what_is_missing_is_no_failure_and_the_rest_is() {
    let missing = || (404, refusal("NoSuchEntity"));
    let (one, _) = person(&[missing(), missing(), missing(), missing()]).await;
    assert_eq!(one.role("r").await.unwrap(), None);
    assert_eq!(one.policy("arn:p").await.unwrap(), None);
    one.delete_role("r").await.unwrap();
    one.detach("r", "arn:p").await.unwrap();
    for (status, code, kind) in [
        (404, "NoSuchEntity", FaultKind::Missing),
        (409, "EntityAlreadyExists", FaultKind::Exists),
        (409, "LimitExceeded", FaultKind::LimitReached),
        (403, "AccessDenied", FaultKind::Denied),
        (409, "DeleteConflict", FaultKind::Conflict),
    ] {
        let (person, _) = person(&[(status, refusal(code))]).await;
        let fault = person.attach("r", "arn:p").await.unwrap_err();
        assert_eq!((fault.action, fault.kind), ("iam:AttachRolePolicy", kind), "{code}");
    }
    // The oldest first: `v9` comes before `v10`.
    let versions: String = ["v10", "v9", "v11"]
        .map(|id| format!("<member><VersionId>{id}</VersionId><IsDefaultVersion>{}</IsDefaultVersion></member>", id == "v11"))
        .concat();
    let listed = answer("ListPolicyVersions", &format!("<Versions>{versions}</Versions><IsTruncated>false</IsTruncated>"));
    let (person, _) = person(&[(200, listed)]).await;
    assert_eq!(person.old_versions("arn:p").await.unwrap(), ["v9", "v10"]);
}

/// What Billing says of a month, and nothing where it does not let one ask.
#[tokio::test]
async fn the_segments_of_a_bill_are_read() {
    let answer = r#"{"items":[{"domain":"PRO_FORMA","managementAccountId":"999988887777","billingGroupPrimaryAccountId":"444455556666"},{"domain":"BILLABLE"}]}"#;
    let (caller, canned) = person(&[(200, answer.to_owned())]).await;
    let segments = caller.bill_segments().await.unwrap();
    assert_eq!(segments.iter().map(|segment| segment.domain.as_str()).collect::<Vec<_>>(), ["PRO_FORMA", "BILLABLE"]);
    assert_eq!(segments[0].group_account.as_deref(), Some("444455556666"));
    assert_eq!((&segments[1].management_account, &segments[1].transfer_account), (&None, &None));
    let sent = canned.sent().pop().unwrap();
    assert!(
        sent.uri.starts_with("https://billing.") && sent.header("x-amz-target").ends_with("ListBillingViewSegments"),
        "{sent:?}"
    );
    let denied = r#"{"__type":"AccessDeniedException","message":"no"}"#;
    let (caller, _) = person(&[(400, denied.to_owned())]).await;
    assert_eq!(caller.bill_segments().await.unwrap_err().kind, FaultKind::Denied);
}
