//! Denials as AWS words them.

use hawser::aws::{FaultKind, PolicyType};

use crate::{
    ACCOUNT,
    freedoms::{Freedoms, pick},
    refusal::Refusal,
};

impl Freedoms {
    /// AWS denies a call, and says as much as it pleases. Where `named`, it names the policy that denies.
    pub fn denied(&mut self, action: &'static str, named: bool) -> Refusal {
        let by = named.then(|| pick(&mut self.random, &PolicyType::ALL));
        let (said, explicit, traced) = (self.random.bool(), self.random.bool(), self.random.bool());
        if by.is_none() && !said {
            return Refusal::new(FaultKind::Denied, "AccessDenied", "Access Denied");
        }
        denied(action, by, explicit, traced)
    }
}

/// AWS's text for a denial: by a policy of a type, with an explicit deny or because none allows; or by nobody's allowing it. The newer
/// texts end with an authorization id and a link.
pub fn denied(action: &'static str, by: Option<PolicyType>, explicit: bool, traced: bool) -> Refusal {
    let mut text =
        format!("User: arn:aws:sts::{ACCOUNT}:assumed-role/acme-HandlerRole/acme is not authorized to perform: {action}");
    let name = by.unwrap_or(PolicyType::IdentityBasedPolicy).as_str();
    let kind = match by {
        Some(PolicyType::IdentityBasedPolicy) => {
            text.push_str(" with an explicit deny in an identity-based policy");
            FaultKind::DeniedBy(PolicyType::IdentityBasedPolicy)
        }
        Some(by) if explicit => {
            text.push_str(&format!(" on resource: \"*\" with an explicit deny in a {name}"));
            FaultKind::DeniedBy(by)
        }
        by => {
            text.push_str(&format!(" because no {name} allows the {action} action"));
            by.map_or(FaultKind::Denied, FaultKind::DeniedBy)
        }
    };
    if traced {
        let id = "0f3c9a5e7b2d4c6e8a1b3d5f7092b4d6";
        let console = "https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1";
        text.push_str(&format!(
            ". Go to {console}#/authorization-details/{id} for complete details, or call GetRequestAuthorizationDetails with the \
             following authorization id: {id}"
        ));
    }
    Refusal::new(kind, "AccessDenied", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the doubles say is what the handler reads.
    #[test]
    fn each_denial_names_its_policy() {
        for by in PolicyType::ALL.map(Some).into_iter().chain([None]) {
            for (explicit, traced) in [(false, false), (false, true), (true, false), (true, true)] {
                let refusal = denied("s3:PutBucketPolicy", by, explicit, traced);
                assert_eq!(PolicyType::of_message(&refusal.message), by, "{}", refusal.message);
                assert_eq!(refusal.kind, by.map_or(FaultKind::Denied, FaultKind::DeniedBy), "{}", refusal.message);
                assert_eq!(refusal.message.contains("authorization id"), traced);
            }
        }
    }
}
