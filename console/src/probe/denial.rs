//! What AWS's words about a refused call mean, and who can change it. Pure. Of the words themselves nothing is kept but the
//! error code, the policy's ARN and the authorization id: they can hold what AWS was sent.

use serde::Serialize;

hawser_codes::codes! {
    /// Why a probe was not answered as it should be.
    pub enum FindingCode { actor: &'static str }

    /// no policy of the role allows the call
    PermissionMissing = "permission-missing", "customer",
        "Update the stack with the pack, or attach the pack's policy to the role again.";
    /// an identity-based policy of the role denies the call
    DeniedByIdentityPolicy = "denied-by-identity-policy", "customer",
        "Remove the denial from the policies of the role.";
    /// a service control policy of the organization denies the call
    DeniedByScp = "denied-by-scp", "organization",
        "Exempt the role from the service control policy that denies this action.";
    /// a resource control policy of the organization denies the call
    DeniedByRcp = "denied-by-rcp", "organization",
        "Exempt the vendor's account (`aws:PrincipalAccount`) or the role from the resource control policy that denies this action.";
    /// the role's permissions boundary does not allow the call
    DeniedByBoundary = "denied-by-boundary", "customer",
        "Allow the action in the permissions boundary of the role.";
    /// the session policy with which the role was assumed does not allow the call
    DeniedBySessionPolicy = "denied-by-session-policy", "vendor",
        "Allow the action in the session policy with which the role is assumed.";
    /// the policy of a resource denies the call
    DeniedByResourcePolicy = "denied-by-resource-policy", "customer",
        "Let the policy of the resource, such as the bucket policy, allow the role this action.";
    /// the policy of the VPC endpoint through which the call went does not allow it
    DeniedByEndpointPolicy = "denied-by-endpoint-policy", "vendor",
        "Allow the action in the policy of the VPC endpoint in the vendor's network.";
    /// AWS denies the call and states why in an encoded message only
    DeniedEncoded = "denied-encoded", "customer",
        "Find the call in CloudTrail, and decode its error message with `sts:DecodeAuthorizationMessage`.";
    /// AWS denies the call and does not state which policy denies it
    Denied = "denied", "customer",
        "Compare the policies of the role with the pack, then look for a denial in policies of resources and of the organization.";
    /// the Region is not enabled in the account
    RegionNotEnabled = "region-not-enabled", "customer",
        "Enable the Region in the account, or leave it out of the connection's Regions.";
    /// the account is not subscribed to the service
    ServiceNotEnabled = "service-not-enabled", "customer",
        "Use the service once in the account, or wait until AWS has activated the new account.";
    /// AWS does not accept the session's credentials or the time of the signature
    SessionRefused = "session-refused", "vendor",
        "Compare the clock of the console's machine with the time; the next test assumes the role again.";
    /// AWS answers with an error that the probe does not expect
    Unexpected = "probe-unexpected", "vendor",
        "Update the console, and report the error code if it remains.";
    /// AWS limits the rate of calls in the account
    Throttled = "probe-throttled", "aws",
        "Wait, it is tried again.";
    /// AWS does not answer
    Unanswered = "probe-unanswered", "aws",
        "Wait, it is tried again; if only this console gets no answer, check its way to the internet.";
}

/// What was found, and nothing that is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    #[serde(serialize_with = "code_text")]
    pub code: FindingCode,
    /// AWS's error code, or what happened in place of an answer.
    pub aws_code: String,
    /// The policy that denies, where AWS names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_arn: Option<String>,
    /// With it the customer's administrator can look up the denial for 24 hours (`GetRequestAuthorizationDetails`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_id: Option<String>,
}

impl Finding {
    /// One that follows from the error code alone.
    pub fn new(code: FindingCode, aws_code: &str) -> Self {
        Self { code, aws_code: aws_code.to_owned(), policy_arn: None, authorization_id: None }
    }

    /// A denial, by the words of which AWS made it (IAM User Guide, "Troubleshoot access denied error messages").
    pub fn denied(aws_code: &str, message: &str) -> Self {
        let (code, after) = denied_by(message);
        Self {
            code,
            aws_code: aws_code.to_owned(),
            policy_arn: after.and_then(|at| policy_arn(&message[at..])),
            authorization_id: authorization_id(message),
        }
    }

    /// What was found, for people: nothing but codes, names and ids.
    pub fn describe(&self, action: &str) -> String {
        let policy = self.policy_arn.as_ref().map(|arn| format!(" by `{arn}`")).unwrap_or_default();
        let id = self.authorization_id.as_ref().map(|id| format!(" (authorization id {id})")).unwrap_or_default();
        format!("`{}` for `{action}`{policy}{id}", self.aws_code)
    }

    /// Who can change it: `customer` and `organization` are their administrators.
    pub fn actor(&self) -> &'static str {
        self.code.actor()
    }
}

fn code_text<S: serde::Serializer>(code: &FindingCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

/// AWS's names of the policies.
const POLICIES: [(&str, FindingCode); 7] = [
    ("service control policy", FindingCode::DeniedByScp),
    ("resource control policy", FindingCode::DeniedByRcp),
    ("permissions boundary", FindingCode::DeniedByBoundary),
    ("session policy", FindingCode::DeniedBySessionPolicy),
    ("vpc endpoint policy", FindingCode::DeniedByEndpointPolicy),
    ("resource-based policy", FindingCode::DeniedByResourcePolicy),
    ("identity-based policy", FindingCode::DeniedByIdentityPolicy),
];

/// Which policy it was, and where its name ends in the message.
fn denied_by(message: &str) -> (FindingCode, Option<usize>) {
    // Of the same length as the message, so that a place in one is a place in the other.
    let lower = message.to_ascii_lowercase();
    for (name, code) in POLICIES {
        for article in ["a", "an", "the"] {
            let phrase = format!("explicit deny in {article} {name}");
            if let Some(at) = lower.find(&phrase) {
                return (code, Some(at + phrase.len()));
            }
        }
        if lower.contains(&format!("because no {name} allows")) {
            let code = if code == FindingCode::DeniedByIdentityPolicy { FindingCode::PermissionMissing } else { code };
            return (code, None);
        }
    }
    if lower.contains("encoded authorization failure message") {
        return (FindingCode::DeniedEncoded, None);
    }
    (FindingCode::Denied, None)
}

/// The ARN that stands right behind the policy's name.
fn policy_arn(rest: &str) -> Option<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || ":/_+=,.@-".contains(c);
    let arn = rest.trim_start_matches([':', ' ', '(', '"']);
    let end = arn.find(|c| !is_legal(c)).unwrap_or(arn.len());
    let arn = arn[..end].trim_end_matches(['.', ',']);
    (arn.starts_with("arn:") && arn.contains(":policy/") && arn.len() <= 512).then(|| arn.to_owned())
}

fn authorization_id(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once("authorization id: ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    (1..=64).contains(&end).then(|| rest[..end].to_owned())
}
