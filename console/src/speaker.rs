//! Who speaks for a stack (F-60). An account is full of principals, other vendors' roles among them, and the launch token is visible in
//! it, so that a notice comes from the account says little.
//!
//! The role's *name* admits a stack's first notice: CloudFormation makes it of the stack's name, and to name a role takes rights in IAM
//! that no pack gives a vendor's role but analytics-engine, below a path of its own, which a session does not show. From then on the
//! role's unique id counts, which no other role ever has, also not one of the same name (IAM user guide, "IAM identifiers").

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    names::StackId,
    refusal::{Reason, Refusal},
    token::Bearer,
};

/// The logical id of the handler's role: part of the contract.
pub const HANDLER_ROLE: &str = "HandlerRole";
/// A role's name has at most 64 characters (IAM quotas), and CloudFormation's own part of it after the stack's name 26.
const STACK_NAME_CHARS_MAX: usize = 38;
/// Of a longer stack name CloudFormation keeps a part. Which, AWS does not say: the rest of the name leaves room for this much.
const CUT_STACK_NAME_CHARS: std::ops::RangeInclusive<usize> = 34..=40;
/// What CloudFormation adds by chance: 12 or 13 letters and digits have been seen.
const SUFFIX_CHARS: std::ops::RangeInclusive<usize> = 10..=16;

/// How a connection is made. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By a stack, whose function speaks.
    Stack,
    /// By a person with `hawser connect`.
    Direct,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stack, Self::Direct];

    /// The word in a notice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Direct => "direct",
        }
    }

    /// Whatever is not `direct` has the stricter rules.
    pub fn of(word: &str) -> Self {
        if word == Self::Direct.as_str() { Self::Direct } else { Self::Stack }
    }
}

/// A principal that AWS vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    /// The role's or user's unique id, `AROA…` or `AIDA…`. Empty where only a token vouched, which does not say it.
    pub id: String,
    /// As `sts:GetCallerIdentity` writes it: of a role, the session. Where only a token vouched, the role's own.
    pub arn: String,
    /// Whom a token vouched for.
    #[serde(default)]
    pub bearer: Option<Bearer>,
}

impl Speaker {
    /// Who speaks, by all proofs that held: they name one role.
    ///
    /// # Errors
    /// [`Reason::Token`] if they do not, [`Reason::IssuerUnavailable`] if there is a token alone and it could not be checked.
    pub fn proven(by_request: Option<Self>, by_token: Option<&Bearer>) -> Result<Self, Refusal> {
        let bearer = by_token.cloned();
        match (by_request, bearer) {
            (Some(speaker), bearer) => {
                let name = bearer.as_ref().and_then(|bearer| bearer.role_arn.rsplit('/').next());
                if name.is_some() && speaker.role_name() != name {
                    return Err(Reason::Token.with("it names another role than the request does"));
                }
                Ok(Self { bearer, ..speaker })
            }
            (None, Some(bearer)) => Ok(Self { id: String::new(), arn: bearer.role_arn.clone(), bearer: Some(bearer) }),
            (None, None) => Err(Reason::IssuerUnavailable.into()),
        }
    }

    /// Whether it is the same principal. A role's unique id says so, which no other role ever has; between one that is known by id and
    /// one by token, what a token said of both: issuer, role and function.
    pub fn is(&self, other: &Self) -> bool {
        if self.id.is_empty() || other.id.is_empty() {
            self.bearer.is_some() && self.bearer == other.bearer
        } else {
            self.id == other.id
        }
    }

    /// With what was known of it before, and this time was not said.
    #[must_use]
    pub fn and_before(&self, before: &Self) -> Self {
        Self {
            id: if self.id.is_empty() { before.id.clone() } else { self.id.clone() },
            arn: self.arn.clone(),
            bearer: self.bearer.clone().or_else(|| before.bearer.clone()),
        }
    }

    /// A role's name; None of a user.
    pub fn role_name(&self) -> Option<&str> {
        match self.arn.split_once(":assumed-role/") {
            Some((_, session)) => session.split('/').next(),
            None => self.arn.split_once(":role/")?.1.rsplit('/').next(),
        }
    }

    /// The name of the role's session: of a function, its own name, and of anybody else, any. A token says which function it was.
    pub fn session_name(&self) -> Option<&str> {
        match self.arn.split_once(":assumed-role/") {
            Some((_, session)) => session.split('/').nth(1),
            None => self.bearer.as_ref()?.function.as_deref(),
        }
    }

    /// Whether this one may speak first for a stack, or in place of the role that did: a role that CloudFormation named for it, or the
    /// one other name that the launch allows.
    ///
    /// # Errors
    /// [`Reason::Speaker`].
    pub fn admit(&self, stack: &StackId, way: Way, other_name: Option<&str>) -> Result<(), Refusal> {
        let named = |name: &str| Some(name) == other_name || is_handler_role(name, stack.name());
        match (way, self.role_name()) {
            (Way::Direct, _) => Ok(()),
            (Way::Stack, Some(name)) if named(name) => Ok(()),
            (Way::Stack, Some(_)) => Err(Reason::Speaker.with("another role of the account sent it")),
            (Way::Stack, None) => Err(Reason::Speaker.with("a user sent it")),
        }
    }
}

/// `<stack name>-HandlerRole-<suffix>`, as CloudFormation names the role (B-20).
pub fn is_handler_role(name: &str, stack: &str) -> bool {
    let suffix_of = |prefix: &str| name.strip_prefix(prefix)?.strip_prefix('-')?.strip_prefix(HANDLER_ROLE)?.strip_prefix('-');
    let is_suffix = |suffix: &str| SUFFIX_CHARS.contains(&suffix.len()) && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut prefixes = if stack.len() > STACK_NAME_CHARS_MAX { CUT_STACK_NAME_CHARS } else { stack.len()..=stack.len() };
    prefixes.any(|chars| stack.get(..chars).and_then(suffix_of).is_some_and(is_suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F-60.
    #[test]
    fn roles_of_a_handler() {
        let long = "a".repeat(30) + "-bcdefghijkl";
        let cut = |chars: usize| format!("{}-HandlerRole-1A2B3C4D5E", &long[..chars]);
        for (name, stack, good) in [
            ("hawser-HandlerRole-1A2B3C4D5E6F", "hawser", true),
            ("hawser-HandlerRole-AbCdEfGhIjKlM", "hawser", true),
            ("hawser-HandlerRole-1A2B3C4D5", "hawser", false),
            ("hawser-HandlerRole-1A2B3C4D5E6F7G8H9", "hawser", false),
            ("hawser-HandlerRole-1A2B3C4D5E_F", "hawser", false),
            ("hawser-HandlerRole-", "hawser", false),
            ("hawser-VendorRole-1A2B3C4D5E6F", "hawser", false),
            ("hawser-b-HandlerRole-1A2B3C4D5E6F", "hawser", false),
            ("b-hawser-HandlerRole-1A2B3C4D5E6F", "hawser", false),
            ("hawse-HandlerRole-1A2B3C4D5E6F", "hawser", false),
            ("Hawser-HandlerRole-1A2B3C4D5E6F", "hawser", false),
            (&cut(33), &long, false),
            (&cut(34), &long, true),
            (&cut(38), &long, true),
            (&cut(40), &long, true),
            (&cut(41), &long, false),
            (&cut(42), &long, false),
            // At the limit it is whole.
            (&cut(38), &long[..38], true),
            (&cut(37), &long[..38], false),
            (&cut(39), &long[..39], true),
            (&cut(38), &long[..39], true),
        ] {
            assert_eq!(is_handler_role(name, stack), good, "{name} of {stack}");
        }
    }
}
