//! The account's place in its organization: whose bill is it?

use serde::Serialize;

use crate::{
    aws::{Fault, Organization},
    names::AccountId,
};

/// The account's role in billing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillingPosition {
    /// It pays for the whole organization: its report covers every account.
    Management(Organization),
    /// Another account pays: a report made here would hold this account's costs only (F-23).
    Member(Organization),
    /// In no organization: it is its own payer (F-22).
    Standalone,
    /// Not known, and why. Nothing is set up on a guess.
    Unknown(String),
}

/// The same role as an attribute: `BillingPosition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PositionName {
    /// [`BillingPosition::Management`]
    Management,
    /// [`BillingPosition::Member`]
    Member,
    /// [`BillingPosition::Standalone`]
    Standalone,
    /// [`BillingPosition::Unknown`]
    Unknown,
}

impl PositionName {
    /// The attribute's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Member => "member",
            Self::Standalone => "standalone",
            Self::Unknown => "unknown",
        }
    }
}

impl BillingPosition {
    /// Classifies the account from AWS's answer; `None` is `AWSOrganizationsNotInUseException`, the only answer that
    /// means standalone (HW-B2). A denied call is [`BillingPosition::Unknown`], never a guess (F-22).
    ///
    /// # Errors
    /// Throttling and outages after all retries: not a fact about the account, so the request fails and can be
    /// tried again.
    pub fn classify(own: &AccountId, answer: Result<Option<Organization>, Fault>) -> Result<Self, Fault> {
        match answer {
            Ok(None) => Ok(Self::Standalone),
            Ok(Some(organization)) => Ok(match &organization.management_account {
                Some(management) if management == own => Self::Management(organization),
                Some(_) => Self::Member(organization),
                None => Self::Unknown("AWS did not name the management account".to_owned()),
            }),
            Err(fault) if fault.is_outage() => Err(fault),
            Err(fault) => Ok(Self::Unknown(fault.to_string())),
        }
    }

    /// The role's name.
    pub fn name(&self) -> PositionName {
        match self {
            Self::Management(_) => PositionName::Management,
            Self::Member(_) => PositionName::Member,
            Self::Standalone => PositionName::Standalone,
            Self::Unknown(_) => PositionName::Unknown,
        }
    }

    /// The organization, where the account is in one.
    pub fn organization(&self) -> Option<&Organization> {
        match self {
            Self::Management(organization) | Self::Member(organization) => Some(organization),
            Self::Standalone | Self::Unknown(_) => None,
        }
    }
}
