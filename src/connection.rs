//! `Custom::AccountConnection`: tells the vendor, and proves who tells.
//!
//! The notice is one HTTPS POST, a CloudEvents 1.0 structured event signed as Standard Webhooks do, holding a proof of
//! identity that only this account can make. `docs/notices.md` is the contract with vendors.

use std::{fmt, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::{
    aws::Fault,
    connection::{notice::Sent, status::DeliveryStatus},
    error::{Code, Failure},
    identity::ProofKind,
    names::{one_line, shorten},
    ports::{NoResponse, Ports, VendorResponse},
    protocol::{
        lifecycle::{ResourceFate, is_awaited, is_generated_by_cloudformation, is_going, is_stack_rolling_back, resource_fate},
        origin::{Origin, RequestType},
        reply::Attributes,
        retry::NOTICE,
    },
};

pub mod notice;
pub mod status;
pub mod terms;

pub use terms::{ConnectionRequest, LOGICAL_ID, RESOURCE_TYPE, Terms, Way, physical_id};

/// The names of all attributes of this resource type, on Create and Update alike (F-30).
pub const ATTRIBUTES: [&str; 3] = ["ConnectionId", "Message", "NoticeId"];

/// On Delete and on the way back from a failed Update, how long the vendor may keep the customer waiting before the stack
/// goes on without it (F-28).
const BEST_EFFORT_LIMIT: Duration = Duration::from_secs(30);

/// How long before the end of the work the last try at the vendor ends, so that the answer names the vendor and not the time.
const CAUSE_MARGIN: Duration = Duration::from_millis(500);

/// How long a notice is sent again as it was signed: vendors refuse a signature that is five minutes old (Standard Webhooks), and a
/// token proof ends then.
const PROOFS_FRESH_FOR: Duration = Duration::from_secs(4 * 60);

/// How many of the vendor's own words reach the stack event.
const MESSAGE_BYTES_MAX: usize = 600;

/// Longest connection id taken from a vendor; longer ones are refused, an id is never cut.
const CONNECTION_ID_BYTES_MAX: usize = 256;

/// What the vendor is told of a request, decided before it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticePlan<'a> {
    /// On Create and Update. Its answer decides.
    Required(notice::Type, &'a Terms),
    /// On Delete. The stack goes whatever it answers.
    Removal(&'a Terms),
    /// It cannot know of the connection that a Delete names.
    NeverNotified,
    /// What a Delete says of the connection cannot be read.
    Unreadable(&'a Failure),
}

/// Decides what the vendor is told.
///
/// # Errors
/// What CloudFormation refused or could not answer, after all tries.
pub async fn decide<'a>(origin: &Origin, asked: &'a ConnectionRequest, ports: &Ports<'_>) -> Result<NoticePlan<'a>, Failure> {
    Ok(match asked {
        ConnectionRequest::Ensure(terms) if origin.request_type == RequestType::Update => {
            NoticePlan::Required(notice::Type::Updated, terms)
        }
        ConnectionRequest::Ensure(terms) => NoticePlan::Required(notice::Type::Established, terms),
        ConnectionRequest::Remove(_) if !may_have_been_notified(origin, ports).await? => NoticePlan::NeverNotified,
        ConnectionRequest::Remove(Ok(terms)) => NoticePlan::Removal(terms),
        ConnectionRequest::Remove(Err(failure)) => NoticePlan::Unreadable(failure),
    })
}

impl NoticePlan<'_> {
    /// The decision in words.
    pub fn decision(&self) -> String {
        match self {
            Self::Required(..) => "the vendor is notified, with a proof of identity; its answer decides".to_owned(),
            Self::Removal(_) => "the vendor is notified; the stack is deleted whatever it answers".to_owned(),
            Self::NeverNotified => "nothing of this stack has this physical id, or the stack keeps it".to_owned(),
            Self::Unreadable(failure) => format!("the vendor cannot be notified: {failure}"),
        }
    }
}

/// The one step that there is.
impl fmt::Display for NoticePlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, terms) = match self {
            Self::Required(kind, terms) => (*kind, terms),
            Self::Removal(terms) => (notice::Type::Removed, terms),
            Self::NeverNotified | Self::Unreadable(_) => return f.write_str("send no notice"),
        };
        let packs: Vec<String> = terms.packs.iter().map(|(pack, mode)| format!("{pack} {mode}")).collect();
        let granted = if packs.is_empty() { "no permission packs".to_owned() } else { packs.join(", ") };
        let (vendor, kind, role) = (terms.notice_url.authority(), kind.as_str(), &terms.role_arn);
        write!(f, "notify `{vendor}` (`{kind}`) about role `{role}` with {granted}")
    }
}

/// Tells the vendor what was decided, and reads its answer.
///
/// # Errors
/// On Create and Update, a vendor that refuses or cannot be reached. Never on Delete, and never while the stack is rolling
/// back: the customer can always remove the stack, and always have it back as it was (HW-C5, HW-C6, F-28).
pub async fn carry_out(
    origin: &Origin,
    plan: &NoticePlan<'_>,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<(Attributes, Vec<String>), Failure> {
    match plan {
        NoticePlan::Required(kind, terms) => {
            // Late, repeated or made up by whoever may invoke the function, it would replace what the vendor has (HW-I2).
            let goes_back = async { *kind == notice::Type::Updated && is_stack_rolling_back(origin, ports).await };
            // Beside the look, so that a token costs no round. It goes nowhere if the stack does not wait.
            let sealed = SealedNotice::new(origin, terms, (*kind, notice::id(origin)), notice::data(origin, terms), ports);
            let (rolling_back, is_awaited, sealed) = tokio::join!(goes_back, is_awaited(origin, ports), sealed);
            if !is_awaited {
                let cause = "the stack does not wait for this request any more, so the vendor was not notified";
                return Err(Failure::new(Code::RequestOutdated, cause));
            }
            let until = if rolling_back { until.min(ports.clock.now() + BEST_EFFORT_LIMIT) } else { until };
            let notified = match sealed {
                Ok(sealed) => sealed.send(until, ports).await,
                Err(failure) => Err(failure),
            };
            match notified {
                // What is undone here is what the vendor refused or never heard of.
                Err(failure) if rolling_back => {
                    warn!(code = failure.code.as_str(), "the stack rolls back although the vendor was not notified: {failure}");
                    let acknowledgement = Acknowledgement { notice_id: notice::id(origin), receipt: Receipt::default() };
                    Ok((acknowledgement.attributes(), vec![format!("rolled back, but the vendor was not notified: {failure}")]))
                }
                acknowledgement => Ok((acknowledgement?.attributes(), Vec::new())),
            }
        }
        NoticePlan::Removal(terms) => {
            let remark = notify_removed(origin, terms, notice::id(origin), until, ports).await;
            Ok((Attributes::new(), remark.into_iter().collect()))
        }
        NoticePlan::NeverNotified => Ok(Default::default()),
        NoticePlan::Unreadable(failure) => Ok((Attributes::new(), vec![format!("the vendor was not notified: {failure}")])),
    }
}

/// Takes back what a Create told the vendor, because the stack did not wait for it (HW-L7, F-34).
pub async fn retract(origin: &Origin, terms: &Terms, until: OffsetDateTime, ports: &Ports<'_>) {
    notify_removed(origin, terms, notice::retraction_id(origin, ports.clock.now()), until, ports).await;
}

/// Tells the vendor that the connection ends, and what the reader of the stack event should know if that failed.
async fn notify_removed(origin: &Origin, terms: &Terms, id: String, until: OffsetDateTime, ports: &Ports<'_>) -> Option<String> {
    let until = until.min(ports.clock.now() + BEST_EFFORT_LIMIT);
    let removal = (notice::Type::Removed, id);
    let failure = send_notice(origin, terms, removal, notice::data(origin, terms), until, ports).await.err()?;
    warn!(code = failure.code.as_str(), "the stack is deleted although the vendor was not notified: {failure}");
    Some(format!("removed, but the vendor was not notified: {failure}"))
}

/// Whether the vendor can know of the connection that a Delete names, and it ends. Under our own id it knows, and CloudFormation tells
/// whether the resource goes. Under an id that CloudFormation made up it can if the resource is going: then a Create told it and was
/// never answered (F-34).
async fn may_have_been_notified(origin: &Origin, ports: &Ports<'_>) -> Result<bool, Fault> {
    let id = origin.physical_id.as_deref().unwrap_or_default();
    if id == physical_id(origin) {
        return is_going(origin, ports).await;
    }
    if !is_generated_by_cloudformation(id) {
        return Ok(false);
    }
    match resource_fate(origin, id, ports).await {
        Ok(resource_fate) => Ok(resource_fate == ResourceFate::Deleting),
        // A role that may not ask must not keep the stack from going; a vendor that never heard of it answers 404.
        Err(fault) if fault.is_denial() => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// The vendor's agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Acknowledgement {
    notice_id: String,
    receipt: Receipt,
}

/// What a vendor may say in a 2xx answer beside the notice's id; anything else in it is its own business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Its name for the connection.
    pub connection_id: String,
    /// For the customer.
    pub message: String,
}

impl Acknowledgement {
    fn attributes(self) -> Attributes {
        Attributes::from([
            ("ConnectionId", self.receipt.connection_id),
            ("Message", self.receipt.message),
            ("NoticeId", self.notice_id),
        ])
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VendorAnswer {
    Accepted(Receipt),
    /// Try again, after the vendor's own wait if it named one; the failure counts if there is no time left.
    TryAgain(Failure, Option<Duration>),
    Refused(Failure),
}

/// Reads an answer to the notice with this id: a total function over statuses (HW-C4).
pub fn interpret(kind: notice::Type, id: &str, answer: &VendorResponse) -> VendorAnswer {
    match answer.status {
        200..=299 => match receipt(id, &answer.body) {
            Ok(Some(receipt)) => VendorAnswer::Accepted(receipt),
            // Some proxy's, firewall's or login page's: only what read the notice knows its id.
            Ok(None) => VendorAnswer::TryAgain(
                Failure::new(Code::VendorAnswerForeign, format!("the answer {} does not repeat the notice's id", answer.status)),
                answer.retry_after,
            ),
            Err(why) => VendorAnswer::Refused(Failure::new(Code::VendorRefused, why)),
        },
        // Gone already is what a removal wants (F-28).
        404 | 410 if kind == notice::Type::Removed => VendorAnswer::Accepted(Receipt::default()),
        // The vendor removed the connection by itself, or never had it: telling it again does not help.
        404 | 410 if matches!(kind, notice::Type::Status | notice::Type::Alive) => VendorAnswer::Accepted(Receipt::default()),
        408 | 425 | 429 | 500..=599 => VendorAnswer::TryAgain(
            unreachable(format!("the vendor answered {}{}", answer.status, vendor_message(&answer.body))),
            answer.retry_after,
        ),
        300..=399 => VendorAnswer::Refused(Failure::new(
            Code::VendorRedirected,
            format!("the vendor's address answered {} with a redirect", answer.status),
        )),
        status => VendorAnswer::Refused(Failure::new(
            Code::VendorRefused,
            format!("the vendor answered {status}{}", vendor_message(&answer.body)),
        )),
    }
}

fn unreachable(last: impl Into<String>) -> Failure {
    Failure::new(Code::VendorUnreachable, last)
}

/// What a body with the notice's id says; `None` of any other. The id alone counts: what is not a text is its own business.
fn receipt(id: &str, body: &[u8]) -> Result<Option<Receipt>, String> {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    if word("noticeId") != id {
        return Ok(None);
    }
    if word("connectionId").len() > CONNECTION_ID_BYTES_MAX {
        return Err(format!("the vendor's connection id is longer than {CONNECTION_ID_BYTES_MAX} bytes"));
    }
    let message = shorten(&one_line(word("message")), MESSAGE_BYTES_MAX);
    Ok(Some(Receipt { connection_id: one_line(word("connectionId")), message }))
}

/// The vendor's own words: `detail` or `title` of `application/problem+json` (RFC 9457).
fn vendor_message(body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let word = |name: &str| problem.as_ref()?.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let said = word("detail").or_else(|| word("title"));
    said.map_or_else(String::new, |said| format!(": {}", shorten(&one_line(&said), MESSAGE_BYTES_MAX)))
}

/// Tells the vendor that the connection is there, and how delivery fares where anything is delivered (HW-D1).
///
/// # Errors
/// A vendor that refuses or cannot be reached.
pub async fn notify_alive(
    origin: &Origin,
    terms: &Terms,
    status: Option<DeliveryStatus>,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<(), Failure> {
    let kind = if status.is_some() { notice::Type::Status } else { notice::Type::Alive };
    let data = notice::data(origin, terms).with_status(status);
    send_notice(origin, terms, (kind, notice::id(origin)), data, until, ports).await.map(|_| ())
}

async fn send_notice(
    origin: &Origin,
    terms: &Terms,
    kind_and_id: (notice::Type, String),
    data: notice::Data,
    until: OffsetDateTime,
    ports: &Ports<'_>,
) -> Result<Acknowledgement, Failure> {
    SealedNotice::new(origin, terms, kind_and_id, data, ports).await?.send(until, ports).await
}

/// A notice that can be sent.
struct SealedNotice<'a> {
    kind: notice::Type,
    terms: &'a Terms,
    draft: notice::Draft<'a>,
    notice: notice::Notice,
}

impl<'a> SealedNotice<'a> {
    async fn new(
        origin: &'a Origin,
        terms: &'a Terms,
        kind_and_id: (notice::Type, String),
        data: notice::Data,
        ports: &Ports<'_>,
    ) -> Result<Self, Failure> {
        let kind = kind_and_id.0;
        let mut draft = notice::Draft::new(origin, kind_and_id, data, ports.clock.now())?;
        let notice = prove_and_seal(&mut draft, terms, ports).await?;
        Ok(Self { kind, terms, draft, notice })
    }

    /// Sends it until the vendor has answered, with fresh proofs where it takes long.
    async fn send(self, until: OffsetDateTime, ports: &Ports<'_>) -> Result<Acknowledgement, Failure> {
        let Self { kind, terms, mut draft, mut notice } = self;
        let in_time = |last: Failure| {
            let cause = format!("`{}` did not accept the notice in time: {}", terms.notice_url.authority(), last.cause);
            Failure { cause, ..last }
        };
        let mut tries = NOTICE.tries(ports.clock, Some(until - CAUSE_MARGIN));
        let mut last = unreachable("there was no time left to try");
        loop {
            if ports.clock.now() - notice.sealed_at >= PROOFS_FRESH_FOR {
                notice = prove_and_seal(&mut draft, terms, ports).await?;
            }
            let limit = tries.limit();
            if limit.is_zero() {
                return Err(in_time(last));
            }
            let asked_for;
            (last, asked_for) = match ports.vendor.post(terms.notice_url.as_url(), &notice.headers, &notice.body, limit).await {
                Ok(answer) => match interpret(kind, &notice.id, &answer) {
                    VendorAnswer::Accepted(receipt) => {
                        info!(notice = notice.id, kind = kind.as_str(), status = answer.status, "the vendor was notified");
                        ports.progress.done(&format!("notified `{}` (`{}`)", terms.notice_url.authority(), kind.as_str()));
                        return Ok(Acknowledgement { notice_id: notice.id, receipt });
                    }
                    VendorAnswer::Refused(failure) => return Err(failure),
                    VendorAnswer::TryAgain(why, after) => (why, after),
                },
                Err(NoResponse::Untrusted(why)) => {
                    let cause = format!("the certificate of `{}` does not verify: {why}", terms.notice_url.authority());
                    return Err(Failure::new(Code::VendorCertificateInvalid, cause));
                }
                Err(NoResponse::Failed(why)) => (unreachable(why), None),
            };
            if !tries.again(&last.cause, asked_for).await {
                return Err(in_time(last));
            }
        }
    }
}

async fn prove_and_seal(draft: &mut notice::Draft<'_>, terms: &Terms, ports: &Ports<'_>) -> Result<notice::Notice, Failure> {
    let now = ports.clock.now();
    let mut kinds = terms.identity_proof.kinds();
    draft.proven_by(kinds);
    let mut token = None;
    if kinds.contains(&ProofKind::Token) {
        match ports.identity.token(&draft.proof_request(&terms.notice_url, now)?).await {
            Ok(made) => token = Some(made),
            Err(why) => {
                kinds = terms.identity_proof.kinds_without(&why)?;
                draft.proven_by(kinds);
                info!("AWS STS made no token, so the notice is proven by a signed request alone: {why}");
            }
        }
    }
    let mut proofs = Vec::new();
    if kinds.contains(&ProofKind::Request) {
        proofs.push(Sent::Request(ports.identity.prove(&draft.proof_request(&terms.notice_url, now)?).await?));
    }
    proofs.extend(token.map(|token| Sent::Token { token }));
    draft.seal(&terms.token, &proofs, now)
}
