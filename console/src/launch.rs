//! A launch: what the vendor puts into one launch link. A token that signs notices, and the external ID of the role. It connects
//! one stack, or, where it is made for an organization, one stack in each account of it.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::{
    names::{AccountId, OrganizationId, StackId},
    refusal::{Reason, Refusal},
    secret::Secret,
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

/// One launch as it is stored.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Ours, for people.
    pub id: String,
    /// `whsec_…`: signs every notice of the stack.
    pub token: Secret,
    /// Made by us and only by us (F-39).
    pub external_id: String,
    /// Who may use it.
    pub audience: Audience,
    /// From here on it connects no new stack.
    pub expires_at: OffsetDateTime,
    /// The one stack that it has connected; for an organization, the one in the account that is being looked at.
    pub stack_id: Option<String>,
    /// Whether that stack was removed since, which makes room for another one in its account. Only for an organization.
    pub vacant: bool,
}

/// Who may use a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One stack, in this account when the vendor knows it already.
    Stack(Option<AccountId>),
    /// Each account of one organization, for one stack at a time. What is not known is learned from the first stack.
    Organization(Organization),
}

/// An organization, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// `o-…`
    #[serde(rename = "organizationId")]
    pub id: Option<OrganizationId>,
    /// The account that pays.
    pub management_account_id: Option<AccountId>,
}

impl Organization {
    /// What a notice says its account belongs to; nothing when it is in no organization, or could not see.
    ///
    /// It is the account's own word, with AWS's word that it is this account's. A vendor that wants more compares the accounts
    /// with `organizations:ListAccounts` of the connected management account.
    pub fn from_notice(data: &Value) -> Option<Self> {
        let facts = &data["organization"];
        let id = OrganizationId::from_str(facts["organizationId"].as_str()?).ok()?;
        let account = AccountId::from_str(facts["managementAccountId"].as_str()?).ok()?;
        Some(Self { id: Some(id), management_account_id: Some(account) })
    }

    /// Whether nothing that is known of both differs.
    fn allows(&self, stated: &Self) -> bool {
        fn same<T: PartialEq>(known: Option<&T>, stated: Option<&T>) -> bool {
            known.is_none() || known == stated
        }
        same(self.id.as_ref(), stated.id.as_ref())
            && same(self.management_account_id.as_ref(), stated.management_account_id.as_ref())
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
    pub fn new(entropy: &Entropy, audience: Audience, now: OffsetDateTime, hours: u32) -> Self {
        let (token, rest) = entropy.split_at(TOKEN_BYTES);
        let (external_id, id) = rest.split_at(EXTERNAL_ID_BYTES);
        let hours = hours.min(audience.expires_in_hours_max());
        Self {
            id: hex::encode(id),
            token: Secret::new(format!("whsec_{}", STANDARD.encode(token))),
            external_id: hex::encode(external_id),
            audience,
            expires_at: now + Duration::hours(i64::from(hours)),
            stack_id: None,
            vacant: false,
        }
    }

    /// Whether this launch may speak for a stack in this account: it is bound to it, or free and fresh. `stated` is the organization
    /// that the account says it is in.
    ///
    /// # Errors
    /// Used by another stack, expired, or made for another account or organization.
    pub fn admit(&self, stack: &StackId, stated: Option<&Organization>, now: OffsetDateTime) -> Result<(), Refusal> {
        if let Audience::Stack(Some(account)) = &self.audience
            && *account != stack.account
        {
            return Err(Reason::LaunchOfOtherAccount.with(format!("this is `{}`", stack.account)));
        }
        match &self.stack_id {
            Some(bound) if bound == stack.as_str() => return Ok(()),
            Some(_) if !self.vacant => return Err(self.used()),
            _ if now >= self.expires_at => return Err(Reason::LaunchExpired.into()),
            _ => {}
        }
        match (&self.audience, stated) {
            (Audience::Stack(_), _) => Ok(()),
            (Audience::Organization(known), Some(stated)) if known.allows(stated) => Ok(()),
            (Audience::Organization(_), Some(_)) => Err(Reason::LaunchOfOtherOrganization.into()),
            (Audience::Organization(_), None) => Err(Reason::LaunchOutsideOrganization.into()),
        }
    }

    /// Why it connects no further stack.
    pub fn used(&self) -> Refusal {
        match self.audience {
            Audience::Stack(_) => Reason::LaunchUsed.into(),
            Audience::Organization(_) => Reason::LaunchUsedInAccount.into(),
        }
    }

    /// What the vendor needs for the launch link. The only place where the token leaves this program.
    pub fn disclose(&self) -> Disclosure<'_> {
        Disclosure {
            launch_id: &self.id,
            token: self.token.expose(),
            external_id: &self.external_id,
            account_id: match &self.audience {
                Audience::Stack(account) => account.as_ref().map(AccountId::as_str),
                Audience::Organization(_) => None,
            },
            organization: match &self.audience {
                Audience::Stack(_) => None,
                Audience::Organization(organization) => Some(organization),
            },
            expires_at: self.expires_at,
        }
    }
}

/// The answer to the making of a launch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disclosure<'a> {
    launch_id: &'a str,
    token: &'a str,
    external_id: &'a str,
    account_id: Option<&'a str>,
    organization: Option<&'a Organization>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}
