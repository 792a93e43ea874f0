//! A launch: what the vendor puts into one launch link. A token that signs notices, and the external ID of the role. It connects
//! one stack, or, where it is made for an organization, one stack in each account of it.

use std::{collections::BTreeSet, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::{
    names::{AccountId, CustomerId, OrganizationId, StackId},
    refusal::{Reason, Refusal},
    secret::Secret,
    speaker::Way,
};

/// The default, and the limit, of how long an unused launch can be used. A day is enough to find the person who may
/// deploy; the token is visible in the stack's parameters, so it is not for longer than a week.
pub const EXPIRES_IN_HOURS_DEFAULT: u32 = 24;
/// See [`EXPIRES_IN_HOURS_DEFAULT`].
pub const EXPIRES_IN_HOURS_MAX: u32 = 7 * 24;
/// A StackSet also connects accounts that join the organization later, all with the one token it has. A year, after which the
/// vendor gives the roll-out a new one.
pub const ORGANIZATION_EXPIRES_IN_HOURS_MAX: u32 = 366 * 24;

/// The token's key: as long as the output of its HMAC-SHA256. Standard Webhooks allows 24 to 64 bytes.
const TOKEN_BYTES: usize = 32;
/// Unguessable and unique for every launch (IAM user guide, "access to AWS accounts owned by third parties").
const EXTERNAL_ID_BYTES: usize = 16;
/// Only has to be unique.
const LAUNCH_ID_BYTES: usize = 8;

/// What the vendor decides about a launch.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whose it is: names, takeovers and lists are within one customer.
    pub customer_id: CustomerId,
    /// Who may use it.
    pub audience: Audience,
    /// On which ways; not empty.
    pub ways: BTreeSet<Way>,
    /// A name that the role of the handler may have beside the one that CloudFormation makes: for templates that name it.
    pub handler_role_name: Option<String>,
}

impl Terms {
    /// For stacks with the roles that CloudFormation names.
    pub fn new(customer_id: CustomerId, audience: Audience) -> Self {
        Self { customer_id, audience, ways: [Way::Stack].into(), handler_role_name: None }
    }
}

/// One launch as it is stored.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Ours, for people.
    pub id: String,
    /// `whsec_…`: signs every notice of the stack.
    pub token: Secret,
    /// Made by us and only by us (F-39).
    pub external_id: String,
    pub terms: Terms,
    /// From here on it connects no new stack.
    pub expires_at: OffsetDateTime,
    /// From here on it is good for nothing but removals.
    pub revoked_at: Option<OffsetDateTime>,
    /// Whether a stack of it has gone over to another launch of the same audience: then it connects no new one.
    pub replaced: bool,
    /// The stack that it has connected; for an organization, the one in the account that is being looked at.
    pub bound: Option<Binding>,
}

/// A launch is a stack's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub stack_id: String,
    /// When that ends, because the stack has gone over to another launch.
    pub until: Option<OffsetDateTime>,
    /// Whether the stack was removed since, which makes room for another one in its account. Only for an organization.
    pub vacant: bool,
    /// Whether it is so only because a role that AWS has still to judge asked to speak for the stack with it.
    pub reserved: bool,
}

/// For this long after a stack has gone over to a new launch, or to a new role, the earlier one counts as well: an update may be
/// rolled back, and CloudFormation gives one a day at most (AWS CloudFormation quotas, stack timeouts).
pub const EARLIER_VALID_FOR: Duration = Duration::hours(24);

/// A heartbeat that comes this long after an update, and is signed with the launch of before, says that the update was rolled back: one
/// that began before the update has ended by then (Lambda runs a function for 15 minutes at most).
pub const ROLLED_BACK_AFTER: Duration = Duration::minutes(15);

/// Who may use a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One stack, in this account when the vendor knows it already.
    Stack(Option<AccountId>),
    /// Each account of one organization, for one stack at a time.
    Organization(Organization),
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// `o-…`
    #[serde(rename = "organizationId")]
    pub id: OrganizationId,
    /// The account that pays.
    pub management_account_id: AccountId,
}

impl Organization {
    /// What a notice says its account belongs to; nothing when it is in no organization, or could not see. It is the account's own
    /// word, with AWS's word that it is this account's.
    pub fn from_notice(data: &Value) -> Option<Self> {
        let facts = &data["organization"];
        Some(Self {
            id: OrganizationId::from_str(facts["organizationId"].as_str()?).ok()?,
            management_account_id: AccountId::from_str(facts["managementAccountId"].as_str()?).ok()?,
        })
    }
}

impl Audience {
    /// The longest time in which such a launch can be used.
    pub fn expires_in_hours_max(&self) -> u32 {
        match self {
            Self::Stack(_) => EXPIRES_IN_HOURS_MAX,
            Self::Organization(_) => ORGANIZATION_EXPIRES_IN_HOURS_MAX,
        }
    }
}

/// Fresh randomness, from the operating system in the binary and from anywhere in tests.
pub type Entropy = [u8; TOKEN_BYTES + EXTERNAL_ID_BYTES + LAUNCH_ID_BYTES];

impl Launch {
    /// A new launch, unused.
    pub fn new(entropy: &Entropy, terms: Terms, now: OffsetDateTime, hours: u32) -> Self {
        let (token, rest) = entropy.split_at(TOKEN_BYTES);
        let (external_id, id) = rest.split_at(EXTERNAL_ID_BYTES);
        let hours = hours.min(terms.audience.expires_in_hours_max());
        Self {
            id: hex::encode(id),
            token: Secret::new(format!("whsec_{}", STANDARD.encode(token))),
            external_id: hex::encode(external_id),
            terms,
            expires_at: now + Duration::hours(i64::from(hours)),
            revoked_at: None,
            replaced: false,
            bound: None,
        }
    }

    /// Whether it is this stack's own, now.
    pub fn is_bound_to(&self, stack: &StackId, now: OffsetDateTime) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.stack_id == stack.as_str() && bound.until.is_none_or(|until| now < until))
    }

    /// Whether this stack has it only until AWS has judged the role that asked to speak with it.
    pub fn is_reserved(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.reserved)
    }

    /// Whether its stack has gone over to another launch.
    pub fn is_earlier(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.until.is_some())
    }

    /// Whether this launch may speak for a stack in this account: it is bound to it, or free and fresh.
    ///
    /// # Errors
    /// Used by another stack, replaced, expired, or made for another account.
    pub fn admit(&self, stack: &StackId, now: OffsetDateTime) -> Result<(), Refusal> {
        if let Audience::Stack(Some(account)) = &self.terms.audience
            && *account != stack.account
        {
            return Err(Reason::LaunchOfOtherAccount.with(format!("this is `{}`", stack.account)));
        }
        match &self.bound {
            _ if self.is_bound_to(stack, now) => Ok(()),
            Some(bound) if bound.stack_id == stack.as_str() => Err(Reason::LaunchReplaced.into()),
            Some(bound) if !bound.vacant => Err(self.used()),
            _ if self.replaced => Err(Reason::LaunchReplaced.into()),
            _ if now >= self.expires_at => Err(Reason::LaunchExpired.into()),
            _ => Ok(()),
        }
    }

    /// Whether the account of this notice is one that it was made for: as the account says, and as AWS says where a token vouched
    /// (`attested`: the organization's id in it). Others wait until AWS confirms them.
    pub fn expects(&self, data: &Value, attested: Option<&str>) -> bool {
        match &self.terms.audience {
            Audience::Stack(_) => true,
            Audience::Organization(organization) => {
                Organization::from_notice(data).as_ref() == Some(organization)
                    && attested.is_none_or(|id| id == organization.id.as_str())
            }
        }
    }

    /// Where it stands now.
    pub fn state(&self, now: OffsetDateTime) -> LaunchState {
        match &self.bound {
            _ if self.revoked_at.is_some() => LaunchState::Revoked,
            _ if self.replaced || self.is_earlier() => LaunchState::Replaced,
            Some(bound) if !bound.reserved => LaunchState::Used,
            _ if now >= self.expires_at => LaunchState::Expired,
            _ => LaunchState::Open,
        }
    }

    /// Why it connects no further stack.
    pub fn used(&self) -> Refusal {
        match self.terms.audience {
            Audience::Stack(_) => Reason::LaunchUsed.into(),
            Audience::Organization(_) => Reason::LaunchUsedInAccount.into(),
        }
    }

    /// What the vendor needs for the launch link. The only place where the token leaves this program.
    pub fn disclose(&self) -> Disclosure<'_> {
        Disclosure {
            launch_id: &self.id,
            customer_id: &self.terms.customer_id,
            token: self.token.expose(),
            external_id: &self.external_id,
            ways: &self.terms.ways,
            handler_role_name: self.terms.handler_role_name.as_deref(),
            account_id: match &self.terms.audience {
                Audience::Stack(account) => account.as_ref().map(AccountId::as_str),
                Audience::Organization(_) => None,
            },
            organization: match &self.terms.audience {
                Audience::Stack(_) => None,
                Audience::Organization(organization) => Some(organization),
            },
            expires_at: self.expires_at,
        }
    }
}

/// Where a launch stands: derived, never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LaunchState {
    /// It connects new stacks.
    Open,
    /// It has connected its stack, whose notices it signs.
    Used,
    /// Its stack has gone over to a newer one.
    Replaced,
    /// Its time is over, and it connects no new stack.
    Expired,
    /// It was revoked: it is good for nothing but removals.
    Revoked,
}

/// A launch as it is listed, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "launchId": "6f5e4d3c2b1a0918", "customerId": "customer-4711", "state": "used", "externalId": "8c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f",
    "ways": ["stack"], "handlerRoleName": null, "accountId": null, "organization": null,
    "stackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/hawser/51af3dc0-da77-11e4-872e-1234567db123",
    "expiresAt": "2026-11-23T10:00:00Z", "revokedAt": null
}))]
pub struct LaunchView {
    pub launch_id: String,
    pub customer_id: CustomerId,
    pub state: LaunchState,
    /// The external ID of the stack's role. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// On which ways it may be used.
    pub ways: BTreeSet<Way>,
    /// A name that the handler's role may have beside the one that CloudFormation makes.
    pub handler_role_name: Option<String>,
    /// The only account that may use it.
    pub account_id: Option<AccountId>,
    /// The organization whose accounts may use it, one stack in each.
    pub organization: Option<Organization>,
    /// The stack that it has connected; null for an organization, whose connections name the launch.
    pub stack_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

impl LaunchView {
    /// How it stands now.
    pub fn new(launch: Launch, now: OffsetDateTime) -> Self {
        let state = launch.state(now);
        let (account_id, organization) = match launch.terms.audience {
            Audience::Stack(account) => (account, None),
            Audience::Organization(organization) => (None, Some(organization)),
        };
        Self {
            launch_id: launch.id,
            customer_id: launch.terms.customer_id,
            state,
            external_id: Some(launch.external_id),
            ways: launch.terms.ways,
            handler_role_name: launch.terms.handler_role_name,
            account_id,
            organization,
            stack_id: launch.bound.filter(|bound| !bound.reserved).map(|bound| bound.stack_id),
            expires_at: launch.expires_at,
            revoked_at: launch.revoked_at,
        }
    }

    /// As lists have it.
    #[must_use]
    pub fn without_external_id(self) -> Self {
        Self { external_id: None, ..self }
    }
}

/// The answer to the making of a launch.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disclosure<'a> {
    launch_id: &'a str,
    customer_id: &'a CustomerId,
    token: &'a str,
    external_id: &'a str,
    ways: &'a BTreeSet<Way>,
    handler_role_name: Option<&'a str>,
    account_id: Option<&'a str>,
    organization: Option<&'a Organization>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}
