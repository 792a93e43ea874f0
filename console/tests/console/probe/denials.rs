//! What AWS's answers mean, by table.

use hawser_console::probe::{Answer, FindingCode, FindingCode::*, Outcome, judge};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{answer, probe_of};
use crate::support::SESSION_TOKEN;

const USER: &str = "User: arn:aws:sts::111122223333:assumed-role/hawser-VendorRole-1A2B/hawser-console is not authorized to perform: \
                    ecs:ListClusters on resource: *";

fn judged(answer: &Answer) -> Outcome {
    judge(probe_of("ReadServices"), answer)
}

fn with_header(status: u16, name: &'static str, value: &str, body: &str) -> Answer {
    let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())]);
    Answer { headers, ..answer(status, body) }
}

fn json(code: &str, message: &str) -> String {
    serde_json::json!({ "__type": code, "message": message }).to_string()
}

fn query_xml(code: &str, message: &str) -> String {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    format!(r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">{error}<RequestId>1</RequestId></ErrorResponse>"#)
}

fn ec2_xml(code: &str, message: &str) -> String {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    format!(r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"#)
}

fn s3_xml(code: &str, message: &str) -> String {
    let ids = "<RequestId>1</RequestId><HostId>h</HostId>";
    format!(r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message>{ids}</Error>"#)
}

/// The texts of IAM User Guide, "Troubleshoot access denied error messages", and of recorded answers of AWS.
#[test]
fn the_policy_that_denies_is_known_by_its_name() {
    let cases: &[(&str, FindingCode, &str)] = &[
        ("because no identity-based policy allows the ecs:ListClusters action", PermissionMissing, "customer"),
        ("with an explicit deny in an identity-based policy", DeniedByIdentityPolicy, "customer"),
        ("with an explicit deny in a service control policy", DeniedByScp, "organization"),
        ("because no service control policy allows the ecs:ListClusters action", DeniedByScp, "organization"),
        ("with an explicit deny in a resource control policy", DeniedByRcp, "organization"),
        ("because no resource control policy allows the ecs:ListClusters action", DeniedByRcp, "organization"),
        ("with an explicit deny in a permissions boundary", DeniedByBoundary, "customer"),
        ("because no permissions boundary allows the ecs:ListClusters action", DeniedByBoundary, "customer"),
        ("with an explicit deny in a session policy", DeniedBySessionPolicy, "vendor"),
        ("because no session policy allows the ecs:ListClusters action", DeniedBySessionPolicy, "vendor"),
        ("with an explicit deny in a resource-based policy", DeniedByResourcePolicy, "customer"),
        ("because no resource-based policy allows the ecs:ListClusters action", DeniedByResourcePolicy, "customer"),
        ("with an explicit deny in a VPC endpoint policy", DeniedByEndpointPolicy, "vendor"),
        ("because no VPC endpoint policy allows the ecs:ListClusters action", DeniedByEndpointPolicy, "vendor"),
        ("with an explicit deny in a policy of a kind to come", Denied, "customer"),
        ("with an explicit deny", Denied, "customer"),
        ("", Denied, "customer"),
        ("für “ecs” because no permissions boundary allows the ecs:ListClusters action", DeniedByBoundary, "customer"),
    ];
    for (why, code, actor) in cases {
        for (end, policy, id) in [
            ("", None, None),
            (": arn:aws:organizations::999988887777:policy/o-exampleorgid/service_control_policy/p-1", Some("p-1"), None),
            (
                ". Go to https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1#/authorization-details/0f3c9a5e for complete \
                 details, or call GetRequestAuthorizationDetails with the following authorization id: 0f3c9a5e",
                None,
                Some("0f3c9a5e"),
            ),
        ] {
            let Outcome::Denied(finding) = judged(&answer(400, &json("AccessDeniedException", &format!("{USER} {why}{end}"))))
            else {
                panic!("{why}");
            };
            assert_eq!((finding.code, finding.actor()), (*code, *actor), "{why}{end}");
            let explicit = why.contains("explicit") && *code != Denied;
            assert_eq!(
                finding.policy_arn.as_deref().map(|arn| arn.ends_with(policy.unwrap_or("?"))),
                policy.filter(|_| explicit).map(|_| true)
            );
            assert_eq!(finding.authorization_id.as_deref(), id);
        }
    }
}

#[test]
fn a_denial_is_known_in_every_protocol() {
    let said = format!("{USER} because no identity-based policy allows the ecs:ListClusters action");
    let ec2 = format!("You are not authorized to perform this operation. {said}");
    let encoded = "You are not authorized to perform this operation. Encoded authorization failure message: 1a2b-3c4d";
    let cases = [
        (answer(400, &json("AccessDeniedException", &said)), PermissionMissing, "AccessDeniedException"),
        (answer(400, &json("com.amazon.coral.service#AccessDeniedException", &said)), PermissionMissing, "AccessDeniedException"),
        (answer(400, &json("com.amazonaws.x#UnauthorizedException", "no")), Denied, "UnauthorizedException"),
        (answer(403, &format!(r#"{{"Message":"{said}"}}"#)), PermissionMissing, "HTTP 403"),
        (answer(403, &format!(r#"{{"code":"ForbiddenException","message":"{said}"}}"#)), PermissionMissing, "ForbiddenException"),
        (
            with_header(
                403,
                "x-amzn-errortype",
                "AccessDeniedException:http://internal.amazon.com/coral/com.x/",
                &format!(r#"{{"Message":"{said}"}}"#),
            ),
            PermissionMissing,
            "AccessDeniedException",
        ),
        (with_header(403, "x-amzn-errortype", "AccessDeniedException", ""), Denied, "AccessDeniedException"),
        (
            with_header(400, "x-amzn-query-error", "AccessDenied;Sender", &json("com.amazonaws.x#AccessDeniedException", &said)),
            PermissionMissing,
            "AccessDenied",
        ),
        (answer(403, &query_xml("AccessDenied", &said)), PermissionMissing, "AccessDenied"),
        (answer(403, &query_xml("AuthorizationError", &said)), PermissionMissing, "AuthorizationError"),
        (answer(403, &ec2_xml("UnauthorizedOperation", &ec2)), PermissionMissing, "UnauthorizedOperation"),
        (answer(403, &ec2_xml("Client.UnauthorizedOperation", encoded)), DeniedEncoded, "Client.UnauthorizedOperation"),
        (answer(403, &ec2_xml("UnauthorizedAccess", "m")), Denied, "UnauthorizedAccess"),
        (answer(403, &s3_xml("AccessDenied", &said.replace('"', "&quot;"))), PermissionMissing, "AccessDenied"),
        // Recorded: S3 to the owner that was not expected, and to a form that its policy does not allow.
        (answer(403, &s3_xml("AccessDenied", "Access Denied")), Denied, "AccessDenied"),
        (
            answer(
                403,
                &s3_xml(
                    "AccessDenied",
                    "Invalid according to Policy: Policy Condition failed: [&quot;eq&quot;, &quot;$key&quot;]",
                ),
            ),
            Denied,
            "AccessDenied",
        ),
        (answer(403, ""), Denied, "HTTP 403"),
        (answer(403, "<html>no</html>"), Denied, "HTTP 403"),
        (answer(400, &json("SomethingNew", &said)), PermissionMissing, "SomethingNew"),
    ];
    for (answer, code, aws_code) in cases {
        let Outcome::Denied(finding) = judged(&answer) else { panic!("{aws_code}: {answer:?}") };
        assert_eq!((finding.code, finding.aws_code.as_str()), (code, aws_code), "{answer:?}");
    }
}

#[test]
fn what_is_no_denial_says_so() {
    let cases = [
        (
            answer(403, &query_xml("InvalidClientTokenId", "The security token included in the request is invalid")),
            RegionNotEnabled,
            "customer",
        ),
        (
            answer(400, &json("UnrecognizedClientException", "The security token included in the request is invalid.")),
            RegionNotEnabled,
            "customer",
        ),
        (
            answer(401, &ec2_xml("AuthFailure", "AWS was not able to validate the provided access credentials")),
            RegionNotEnabled,
            "customer",
        ),
        (answer(403, &s3_xml("InvalidAccessKeyId", "m")), RegionNotEnabled, "customer"),
        (answer(401, &ec2_xml("OptInRequired", "You are not subscribed to this service.")), ServiceNotEnabled, "customer"),
        (
            answer(400, &json("SubscriptionRequiredException", "The AWS Access Key Id needs a subscription for the service")),
            ServiceNotEnabled,
            "customer",
        ),
        (answer(403, &query_xml("ExpiredToken", "m")), SessionRefused, "vendor"),
        (answer(400, &json("ExpiredTokenException", "m")), SessionRefused, "vendor"),
        (answer(403, &json("InvalidSignatureException", "Signature not yet current")), SessionRefused, "vendor"),
        (answer(403, &s3_xml("SignatureDoesNotMatch", "m")), SessionRefused, "vendor"),
        (answer(403, &s3_xml("RequestTimeTooSkewed", "m")), SessionRefused, "vendor"),
        (answer(400, &s3_xml("AuthorizationHeaderMalformed", "m")), SessionRefused, "vendor"),
        (answer(403, &json("MissingAuthenticationTokenException", "m")), SessionRefused, "vendor"),
        (answer(400, &query_xml("Throttling", "Rate exceeded")), Throttled, "aws"),
        (answer(400, &json("ThrottlingException", "Rate exceeded")), Throttled, "aws"),
        (with_header(429, "x-amzn-errortype", "TooManyRequestsException", "{}"), Throttled, "aws"),
        (answer(503, &ec2_xml("RequestLimitExceeded", "m")), Throttled, "aws"),
        (answer(503, &s3_xml("SlowDown", "m")), Throttled, "aws"),
        (answer(429, ""), Throttled, "aws"),
        (answer(500, &s3_xml("InternalError", "m")), Unanswered, "aws"),
        (answer(503, "<html>"), Unanswered, "aws"),
        (answer(301, &s3_xml("PermanentRedirect", "m")), Unexpected, "vendor"),
        (answer(404, &s3_xml("NoSuchBucket", "m")), Unexpected, "vendor"),
        (answer(400, &json("ValidationException", "m")), Unexpected, "vendor"),
        (answer(400, ""), Unexpected, "vendor"),
    ];
    for (answer, code, actor) in cases {
        let outcome = judged(&answer);
        let finding = outcome.finding().unwrap();
        assert_eq!((finding.code, finding.actor()), (code, actor), "{answer:?}");
        let fits = match outcome {
            Outcome::NotEnabled(_) => matches!(code, RegionNotEnabled | ServiceNotEnabled),
            Outcome::Throttled(_) => code == Throttled,
            Outcome::Unavailable(_) => matches!(code, SessionRefused | Unanswered | Unexpected),
            Outcome::Allowed | Outcome::Denied(_) => false,
        };
        assert!(fits, "{answer:?}");
    }
}

/// AWS repeats parts of a request in its words, and anyone can answer in its place.
#[test]
fn a_finding_repeats_nothing_of_awss_words_but_names() {
    let encoded = "Encoded authorization failure message: q7Y2FJ9dXoWexJ2kTAfRUqF";
    let secrets = [SESSION_TOKEN, "q7Y2FJ9dXoWexJ2kTAfRUqF", "evil.example"];
    let message =
        format!("{USER} token={SESSION_TOKEN} {encoded} with an explicit deny in a service control policy: https://evil.example");
    let id = format!("authorization id: {SESSION_TOKEN}");
    for answer in [
        answer(400, &json("AccessDeniedException", &message)),
        answer(400, &json(&format!("AccessDenied {SESSION_TOKEN}"), &message)),
        answer(403, &ec2_xml("UnauthorizedOperation", &message)),
        answer(403, &s3_xml(&format!("x-{SESSION_TOKEN}"), &format!("{message}{id}"))),
        with_header(403, "x-amzn-errortype", &format!("{SESSION_TOKEN} evil.example"), &message),
        answer(400, &json("ValidationException", &message)),
    ] {
        let outcome = judged(&answer);
        let printed = format!("{outcome:?} {}", serde_json::to_string(&outcome).unwrap());
        assert!(outcome.finding().is_some());
        assert!(!secrets.iter().any(|secret| printed.contains(secret)), "{printed}");
    }
}

#[test]
fn every_finding_has_someone_who_can_act() {
    for code in FindingCode::ALL {
        assert!(["customer", "organization", "vendor", "aws"].contains(&code.actor()), "{code}");
        assert!(code.next_step().ends_with('.'), "{code}");
    }
}
