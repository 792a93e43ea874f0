//! Why a notice is not taken, in words for the person who reads the stack event.
//!
//! The handler puts `detail` into the failure reason of the stack, so each one ends with what to do next and holds
//! nothing that the notice carried except names that were checked first.

use serde::Serialize;
use thiserror::Error;

use crate::names::AccountId;

/// Every answer to `POST /notices` that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request could not be read as HTTP with a notice in it.
    #[error("the request is not a notice: {0}; a Hawser stack sends it by itself, deploy the template unchanged")]
    Request(&'static str),
    /// The wrong media type.
    #[error("the request's content type is not `application/cloudevents+json`; deploy the template unchanged")]
    MediaType,
    /// The body is over the limit.
    #[error("the notice is larger than {0} bytes; ask the vendor, this is not a notice that Hawser sends")]
    TooLarge(usize),
    /// The body did not arrive in time.
    #[error("the notice did not arrive within {0} seconds; it can be sent again")]
    TooSlow(u64),
    /// The body is not a notice of the documented form. Holds the place in it, never the content.
    #[error("the notice does not have the documented form at `{0}`; deploy the newest version of the template")]
    Malformed(String),
    /// The notice contradicts itself, or says what no stack can say.
    #[error("the notice contradicts itself: {0}; deploy the template unchanged")]
    Inconsistent(&'static str),
    /// No launch has this external id and token.
    #[error(
        "the launch token and external id of this stack were not issued together by this vendor; \
         deploy again from a new launch link, without changing its parameters"
    )]
    SignatureUnknown,
    /// The signature's time is too far from ours.
    #[error("the notice was signed {0} seconds away from the vendor's clock; it is refused as a possible replay, deploy again")]
    Stale(u64),
    /// The launch token was not used in time.
    #[error("the launch link has expired; ask the vendor for a new one and deploy again from it")]
    LaunchExpired,
    /// The launch token already belongs to another stack.
    #[error("the launch link was already used by another stack; ask the vendor for a new one, each connects one stack")]
    LaunchUsed,
    /// The launch was made for another account.
    #[error(
        "the launch link was made for another account than `{0}`; sign in to the account it was made for, or ask the vendor for a new one"
    )]
    LaunchOfOtherAccount(AccountId),
    /// The organization's launch has connected another stack of this account, and that one was not removed.
    #[error(
        "this account is already connected by another stack of this roll-out; remove one of the two, each account is connected once"
    )]
    LaunchUsedInAccount,
    /// The launch was made for, or has connected, another organization.
    #[error(
        "the launch link was made for another organization than the one of this account; roll out from the organization's own management account, \
         or ask the vendor for a new link"
    )]
    LaunchOfOtherOrganization,
    /// An organization's launch in an account that belongs to none, or cannot see to which.
    #[error(
        "the launch link is for the accounts of one organization, and this account could not determine which one it belongs to; \
         allow `organizations:DescribeOrganization` in it, or ask the vendor for a link for one account"
    )]
    LaunchOutsideOrganization,
    /// The external id in the notice is not the issued one (F-39).
    #[error(
        "the external id of this stack is not the one that the vendor issued with the launch link; leave the parameter `ExternalId` as the link sets it"
    )]
    ExternalId,
    /// The same id was used for another notice.
    #[error("another notice with the same id was received before; deploy again")]
    IdReused,
    /// The proof is not a request that we forward.
    #[error("the proof of identity is refused: {0}; deploy the template unchanged")]
    Proof(&'static str),
    /// STS did not accept the proof. Holds STS's error code.
    #[error("AWS STS did not accept the proof of identity (`{0}`); deploy again")]
    StsRefused(String),
    /// STS could not be reached or is busy.
    #[error("AWS STS could not be asked about the proof of identity; the notice can be sent again in a few seconds")]
    StsUnavailable,
    /// STS answered with something that is not one identity.
    #[error("the answer of AWS STS about the proof of identity is not usable: {0}; if the problem persists, ask the vendor")]
    StsAnswer(&'static str),
    /// STS named someone else than the notice does.
    #[error("AWS says that the notice's sender is not the one it claims: {0}; deploy the template unchanged")]
    Identity(&'static str),
    /// A removal of a connection that we do not have: for a stack that is being deleted, as good as done.
    #[error("no connection of this stack is known; there is nothing to remove")]
    ConnectionUnknown,
    /// A billing status of a connection that we do not have.
    #[error("no connection of this stack is known; update the stack, or deploy it again from a new launch link")]
    StatusOfUnknown,
    /// A billing status of a connection whose stack told us that it goes.
    #[error("the connection of this stack was removed; delete the stack, or deploy it again from a new launch link")]
    StatusOfRemoved,
    /// Our own database.
    #[error("the vendor could not store the notice; it can be sent again in a few seconds")]
    Storage,
}

impl Refusal {
    /// Stable: the last part of the problem's `type`, and the word in our log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request(_) => "request-malformed",
            Self::MediaType => "media-type",
            Self::TooLarge(_) => "notice-too-large",
            Self::TooSlow(_) => "notice-too-slow",
            Self::Malformed(_) => "notice-malformed",
            Self::Inconsistent(_) => "notice-inconsistent",
            Self::SignatureUnknown => "signature-unknown",
            Self::Stale(_) => "signature-stale",
            Self::LaunchExpired => "launch-expired",
            Self::LaunchUsed => "launch-used",
            Self::LaunchOfOtherAccount(_) => "launch-of-other-account",
            Self::LaunchUsedInAccount => "launch-used-in-account",
            Self::LaunchOfOtherOrganization => "launch-of-other-organization",
            Self::LaunchOutsideOrganization => "launch-outside-organization",
            Self::ExternalId => "external-id",
            Self::IdReused => "notice-id-reused",
            Self::Proof(_) => "proof-refused",
            Self::StsRefused(_) => "sts-refused",
            Self::StsUnavailable => "sts-unavailable",
            Self::StsAnswer(_) => "sts-answer",
            Self::Identity(_) => "identity-mismatch",
            Self::ConnectionUnknown => "connection-unknown",
            Self::StatusOfUnknown => "status-of-unknown",
            Self::StatusOfRemoved => "status-of-removed",
            Self::Storage => "storage",
        }
    }

    /// The HTTP status. 408 and 5xx are the ones that a stack sends again.
    pub fn status(&self) -> u16 {
        match self {
            Self::Request(_) | Self::Malformed(_) => 400,
            Self::SignatureUnknown | Self::Stale(_) => 401,
            Self::LaunchExpired
            | Self::LaunchUsed
            | Self::LaunchOfOtherAccount(_)
            | Self::LaunchUsedInAccount
            | Self::LaunchOfOtherOrganization
            | Self::LaunchOutsideOrganization
            | Self::ExternalId
            | Self::Proof(_)
            | Self::StsRefused(_)
            | Self::Identity(_) => 403,
            Self::ConnectionUnknown | Self::StatusOfUnknown => 404,
            Self::TooSlow(_) => 408,
            Self::IdReused => 409,
            Self::StatusOfRemoved => 410,
            Self::TooLarge(_) => 413,
            Self::MediaType => 415,
            Self::Inconsistent(_) => 422,
            Self::StsAnswer(_) => 502,
            Self::StsUnavailable | Self::Storage => 503,
        }
    }

    fn title(&self) -> &'static str {
        if *self == Self::ConnectionUnknown {
            return "Nothing to remove";
        }
        match self.status() {
            400 | 408 | 413 | 415 | 422 => "The notice cannot be read",
            401 => "The notice's signature is not accepted",
            404 | 410 => "There is no such connection",
            409 => "The notice was used before",
            502 | 503 => "The vendor cannot verify the notice now",
            _ => "The connection is refused",
        }
    }

    /// The body of the answer (RFC 9457).
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:hawser:problem:{}", self.code()),
            title: self.title(),
            status: self.status(),
            detail: self.to_string(),
        }
    }
}

/// `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A URN ending in [`Refusal::code`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for all problems of a kind.
    pub title: &'static str,
    /// The HTTP status again.
    pub status: u16,
    /// What went wrong here, and what to do next.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_readable() {
        let problem = Refusal::LaunchExpired.problem();
        assert_eq!(problem.kind, "urn:hawser:problem:launch-expired");
        assert_eq!(problem.status, 403);
        assert!(problem.detail.contains("ask the vendor for a new one"));
    }
}
