//! Why a notice is not taken, in words for the person who reads the stack event.
//!
//! The handler puts `detail` into the failure reason of the stack, so each one ends with what to do next and holds
//! nothing that the notice carried except names that were checked first.

use std::fmt::{self, Display};

use serde::Serialize;
use thiserror::Error;

hawser_codes::codes! {
    /// Why an answer to `POST /notices` is not a success: the last part of the problem's `type`, and the word in our log. Of the
    /// statuses, 408, 429 and 5xx are the ones that a stack sends again.
    pub enum Reason { status: u16 }

    /// the request is not a notice
    Request = "request-malformed", 400,
        "a Hawser stack sends it by itself, deploy the template unchanged";
    /// the request's content type is not `application/cloudevents+json`
    MediaType = "media-type", 415,
        "deploy the template unchanged";
    /// the notice is too large
    TooLarge = "notice-too-large", 413,
        "ask the vendor, this is not a notice that Hawser sends";
    /// the notice did not arrive in time
    TooSlow = "notice-too-slow", 408,
        "it can be sent again";
    /// the notice does not have the documented form
    Malformed = "notice-malformed", 400,
        "deploy the newest version of the template";
    /// the notice is of a version that the vendor does not take; it takes `urn:hawser:notice:1`
    ContractVersion = "contract-version", 422,
        "ask the vendor which version of the template it supports";
    /// the notice contradicts itself
    Inconsistent = "notice-inconsistent", 422,
        "deploy the template unchanged";
    /// the launch token and external ID of this stack were not issued together by this vendor
    SignatureUnknown = "signature-unknown", 401,
        "deploy again from a new launch link, without changing its parameters";
    /// the signature's time differs too much from the vendor's clock, so this may be a replay
    Stale = "signature-stale", 401,
        "deploy again";
    /// the launch link has expired
    LaunchExpired = "launch-expired", 403,
        "ask the vendor for a new one and deploy again from it";
    /// the launch link was already used by another stack
    LaunchUsed = "launch-used", 403,
        "ask the vendor for a new one, each connects one stack";
    /// the launch link was made for another account
    LaunchOfOtherAccount = "launch-of-other-account", 403,
        "sign in to the account it was made for, or ask the vendor for a new one";
    /// this account is already connected by another stack of this roll-out
    LaunchUsedInAccount = "launch-used-in-account", 403,
        "remove one of the two, each account is connected once";
    /// the launch link was made for another organization than this account states, and too many of those wait already
    LaunchOfOtherOrganization = "launch-of-other-organization", 403,
        "roll out from the organization's own management account, or ask the vendor for a new link";
    /// the external ID of this stack is not the one that the vendor issued with the launch link
    // F-39.
    ExternalId = "external-id", 403,
        "leave the parameter `ExternalId` as the link sets it";
    /// another notice with the same id was received before
    IdReused = "notice-id-reused", 409,
        "deploy again";
    /// the proof of identity is not a request that the vendor forwards
    Proof = "proof-refused", 403,
        "deploy the template unchanged";
    /// the token is not one that AWS STS made for this notice
    Token = "token-refused", 403,
        "deploy the template unchanged; if outbound identity federation was switched on anew, update the stack with `IdentityProof` Auto";
    /// the vendor takes no notice without a token of AWS STS
    TokenRequired = "token-required", 403,
        "switch on outbound identity federation in the account's IAM settings, and deploy again with `IdentityProof` Auto";
    /// the keys of the account's token issuer could not be fetched
    IssuerUnavailable = "issuer-unavailable", 503,
        "the notice can be sent again in a few seconds";
    /// AWS STS did not accept the proof of identity
    StsRefused = "sts-refused", 403,
        "deploy again";
    /// AWS STS could not be asked about the proof of identity
    StsUnavailable = "sts-unavailable", 503,
        "the notice can be sent again in a few seconds";
    /// the answer of AWS STS about the proof of identity is not usable
    StsAnswer = "sts-answer", 502,
        "if the problem persists, ask the vendor";
    /// AWS says that the notice's sender is not the one it claims
    Identity = "identity-mismatch", 403,
        "deploy the template unchanged";
    /// the notice was not sent by the role of the stack's own handler
    Speaker = "speaker", 403,
        "deploy the template unchanged, or ask the vendor to allow the role's name";
    /// the launch link is not for connections that are made this way
    Way = "way", 403,
        "use the way that the vendor offers, or ask it for a link for this one";
    /// the launch link was revoked by the vendor
    LaunchRevoked = "launch-revoked", 403,
        "ask the vendor for a new one";
    /// the launch link was replaced by a newer one
    LaunchReplaced = "launch-replaced", 403,
        "update the stack with the parameters of the newer one";
    /// the launch link belongs to another customer of the vendor than the connection of this stack
    LaunchOfOtherCustomer = "launch-of-other-customer", 403,
        "ask the vendor for a new one";
    /// the connection of this stack was removed, which is final
    Removed = "connection-removed", 410,
        "deploy a new stack from a new launch link";
    /// no connection of this stack is known, so a removal has nothing to remove
    ConnectionUnknown = "connection-unknown", 404,
        "leave it, the stack counts this as done";
    /// no connection of this stack is known, so a heartbeat belongs to none
    StatusOfUnknown = "status-of-unknown", 404,
        "update the stack, or deploy it again from a new launch link";
    /// the connection of this stack was removed
    StatusOfRemoved = "status-of-removed", 410,
        "delete the stack, or deploy it again from a new launch link";
    /// too many notices from this address were refused
    TooManyRefused = "too-many-refused", 429,
        "wait a minute, and ask the vendor if it was not you";
    /// too many proofs made with this access key were refused by AWS STS
    TooManyBadProofs = "too-many-bad-proofs", 429,
        "wait a minute, then deploy again";
    /// the vendor checks as many notices of this launch as it can at one time
    Busy = "too-many-at-once", 429,
        "it can be sent again in a few seconds";
    /// the vendor could not store the notice
    Storage = "storage", 503,
        "it can be sent again in a few seconds";
}

impl Reason {
    /// A refusal for this reason that says more: what was found, never the content of the notice.
    pub fn with(self, found: impl Display) -> Refusal {
        Refusal { reason: self, found: found.to_string() }
    }

    fn title(self) -> &'static str {
        match self.status() {
            _ if self == Self::ConnectionUnknown => "Nothing to remove",
            400 | 408 | 413 | 415 | 422 => "The notice cannot be read",
            401 => "The notice's signature is not accepted",
            404 | 410 => "There is no such connection",
            409 => "The notice was used before",
            429 => "Too many notices",
            502 | 503 => "The vendor cannot verify the notice now",
            _ => "The connection is refused",
        }
    }
}

/// Every answer to `POST /notices` that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Refusal {
    pub reason: Reason,
    /// What was found, the end of the sentence; empty where the reason says all.
    pub found: String,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        reason.with("")
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.found.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}; {}", self.reason.meaning(), self.found, self.reason.next_step())
    }
}

impl Refusal {
    /// The body of the answer (RFC 9457).
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:hawser:problem:{}", self.reason),
            title: self.reason.title(),
            status: self.reason.status(),
            detail: self.to_string(),
        }
    }
}

/// `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A URN ending in the [`Reason`].
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
        let problem = Refusal::from(Reason::LaunchExpired).problem();
        assert_eq!(problem.kind, "urn:hawser:problem:launch-expired");
        assert_eq!(problem.status, 403);
        assert_eq!(problem.detail, "the launch link has expired; ask the vendor for a new one and deploy again from it");
        let detail = Reason::Proof.with("it is older than 15 minutes").to_string();
        assert_eq!(
            detail,
            "the proof of identity is not a request that the vendor forwards: it is older than 15 minutes; deploy the template unchanged"
        );
    }
}
