//! What strangers may cost us: refused notices, questions to AWS, lines of log (F-61).
//!
//! Only what was refused is counted. What is counted it is for, is chosen so that nobody can use up another's: answers that explain a
//! refusal for the network that gets them, bad proofs for the launch, the network and the credentials that they name, and those of a network for its share of the places. So a stack whose
//! notices are good is never refused for what others sent, from the same address or with the same token.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::{Reason, Refusal};

/// Refusals that a network gets explained, and logged, at once, and then per minute. Behind one address may be a whole roll-out whose
/// launch has expired; somebody who tries tokens learns nothing from more.
const REFUSALS: Allowance = Allowance { at_once: 120, per_minute: 60 };
/// Proofs that AWS did not vouch for, of one launch, network and access key. A handler makes a new proof for every attempt and gives
/// up after minutes.
const BAD_PROOFS: Allowance = Allowance { at_once: 5, per_minute: 6 };
/// The same of one launch and network, whatever access keys they name: an access key costs nothing to invent. Behind one address may be a
/// whole roll-out, which makes good proofs, and each of them gives one back; so what is beyond this is not refused, and has a part of the
/// places only.
const BAD_PROOFS_OF_NETWORK: Allowance = Allowance { at_once: 60, per_minute: 120 };
/// Requests with one token of the API. A program that follows every connection of a large vendor asks for some pages a second; one that
/// asks without end shares the database with the notices.
const REQUESTS: Allowance = Allowance { at_once: REQUESTS_AT_ONCE, per_minute: 600 };
/// Requests with one token of the API at once; after that there are ten a second.
pub const REQUESTS_AT_ONCE: u32 = 300;
/// Networks, or launches with network and key, that are remembered. What is forgotten first is nearest to having its whole allowance.
const SOURCES_MAX: usize = 10_000;

/// Notices that wait for AWS at one time, of all launches and of one. AWS STS answers in some 100 ms, and a StackSet rolls out to
/// hundreds of accounts a minute.
const QUESTIONS_MAX: usize = 128;
/// See [`QUESTIONS_MAX`]: so that one token does not take them all.
const QUESTIONS_PER_LAUNCH_MAX: usize = 32;
/// Of these, the places of all networks whose proofs are bad: the other half is for the others.
const QUESTIONS_OF_SUSPECTS_MAX: usize = QUESTIONS_PER_LAUNCH_MAX / 2;
/// For one of these places. A stack waits ten seconds for an answer, and AWS may take four of them.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    at_once: u32,
    per_minute: u32,
}

impl Allowance {
    fn interval(self) -> time::Duration {
        time::Duration::MINUTE / self.per_minute
    }
}

/// What was used up, by source: the time at which all of it will be there again.
#[derive(Debug)]
struct Used<K> {
    allowance: Allowance,
    full_at: Mutex<BTreeMap<K, OffsetDateTime>>,
}

impl<K: Ord> Used<K> {
    fn new(allowance: Allowance) -> Self {
        Self { allowance, full_at: Mutex::default() }
    }

    /// Whether nothing is left.
    fn is_spent(&self, source: &K, now: OffsetDateTime) -> bool {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = full_at.get(source).copied().unwrap_or(now);
        full_at - now > self.allowance.interval() * (self.allowance.at_once - 1)
    }

    /// Counts one.
    fn spend(&self, source: K, now: OffsetDateTime) {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SOURCES_MAX && !all.contains_key(&source) {
            all.retain(|_, full_at| *full_at > now);
            // Still full: the half that is nearest to its whole allowance goes.
            if all.len() >= SOURCES_MAX {
                let mut times: Vec<_> = all.values().copied().collect();
                let (_, middle, _) = times.select_nth_unstable(SOURCES_MAX / 2);
                let middle = *middle;
                all.retain(|_, full_at| *full_at > middle);
            }
        }
        let full_at = all.entry(source).or_insert(now);
        *full_at = (*full_at).max(now) + self.allowance.interval();
    }

    /// Takes one back.
    fn give_back(&self, source: &K) {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = all.get_mut(source) {
            *full_at -= self.allowance.interval();
        }
    }
}

/// Who sent a proof: the launch whose token signed its notice, the network, and the access key or the token's issuer that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prover {
    /// [`Launch::id`](crate::launch::Launch::id)
    pub launch_id: String,
    /// None in tests without a listener.
    pub network: Option<IpAddr>,
    /// An access key's id, or an issuer. Not a secret.
    pub signer: String,
}

impl Prover {
    fn source(&self) -> (String, Option<IpAddr>) {
        (self.launch_id.clone(), self.network)
    }
}

/// The places of one launch among those that ask AWS.
#[derive(Debug, Clone)]
struct LaunchPlaces {
    all: Arc<Semaphore>,
    /// Beside one of these, one of all.
    of_suspects: Arc<Semaphore>,
}

impl LaunchPlaces {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(QUESTIONS_PER_LAUNCH_MAX)),
            of_suspects: Arc::new(Semaphore::new(QUESTIONS_OF_SUSPECTS_MAX)),
        }
    }

    /// Whether somebody holds one of them, or waits for it.
    fn is_used(&self) -> bool {
        [&self.all, &self.of_suspects].into_iter().any(|semaphore| Arc::strong_count(semaphore) > 1)
    }
}

/// The counters of one console.
#[derive(Debug, Clone)]
pub struct Limits {
    refusals: Arc<Used<IpAddr>>,
    /// By token of the API.
    requests: Arc<Used<String>>,
    bad_proofs: Arc<Used<Prover>>,
    /// By launch and network.
    bad_proofs_of_network: Arc<Used<(String, Option<IpAddr>)>>,
    questions: Arc<Semaphore>,
    questions_per_launch: Arc<Mutex<BTreeMap<String, LaunchPlaces>>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            refusals: Arc::new(Used::new(REFUSALS)),
            requests: Arc::new(Used::new(REQUESTS)),
            bad_proofs: Arc::new(Used::new(BAD_PROOFS)),
            bad_proofs_of_network: Arc::new(Used::new(BAD_PROOFS_OF_NETWORK)),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            questions_per_launch: Arc::default(),
        }
    }
}

/// The right to ask AWS about one notice.
#[derive(Debug)]
pub struct Place {
    _launch: OwnedSemaphorePermit,
    _suspect: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Limits {
    /// Counts a request with this token of the API.
    ///
    /// # Errors
    /// There were too many: after so many seconds there may be another one.
    pub fn count_request(&self, token_id: &str, now: OffsetDateTime) -> Result<(), u64> {
        let token_id = token_id.to_owned();
        if self.requests.is_spent(&token_id, now) {
            let wait = REQUESTS.interval().whole_seconds().unsigned_abs();
            return Err(wait.max(1));
        }
        self.requests.spend(token_id, now);
        Ok(())
    }

    /// A refusal as this network gets it: as it is, or, once it had enough of them, that it had enough.
    pub fn refuse(&self, network: IpAddr, refusal: Refusal, now: OffsetDateTime) -> Refusal {
        // A vendor that cannot answer now is not what somebody did wrong.
        if refusal.reason.status() >= 500 {
            return refusal;
        }
        if self.refusals.is_spent(&network, now) {
            return Reason::TooManyRefused.into();
        }
        self.refusals.spend(network, now);
        refusal
    }

    /// Whether AWS may be asked about this one's proof at all.
    ///
    /// # Errors
    /// [`Reason::TooManyBadProofs`].
    pub fn admit(&self, prover: &Prover, now: OffsetDateTime) -> Result<(), Refusal> {
        if self.bad_proofs.is_spent(prover, now) { Err(Reason::TooManyBadProofs.into()) } else { Ok(()) }
    }

    /// AWS vouched for this one's proof, and the notice was taken.
    pub fn count_good_proof(&self, prover: &Prover) {
        self.bad_proofs_of_network.give_back(&prover.source());
    }

    /// AWS did not vouch for this one's proof, or it was another principal's than the stack's own.
    pub fn count_bad_proof(&self, prover: Prover, now: OffsetDateTime) {
        self.bad_proofs_of_network.spend(prover.source(), now);
        self.bad_proofs.spend(prover, now);
    }

    /// Waits for a place among those that ask AWS.
    ///
    /// # Errors
    /// [`Reason::Busy`]: there was none in time.
    pub async fn place(&self, prover: &Prover, now: OffsetDateTime) -> Result<Place, Refusal> {
        let suspect = self.bad_proofs_of_network.is_spent(&prover.source(), now);
        let own = {
            let mut all = self.questions_per_launch.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for are not kept.
            all.retain(|id, places| *id == prover.launch_id || places.is_used());
            all.entry(prover.launch_id.clone()).or_insert_with(LaunchPlaces::new).clone()
        };
        let both = async {
            // The narrowest first: who waits for it holds nothing of the others'.
            let suspect = if suspect { Some(own.of_suspects.acquire_owned().await.ok()?) } else { None };
            let launch = own.all.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.questions).acquire_owned().await.ok()?;
            Some(Place { _launch: launch, _suspect: suspect, _all: all })
        };
        timeout(QUESTION_TIMEOUT, both).await.ok().flatten().ok_or_else(|| Reason::Busy.into())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn allowances_come_back() {
        let (now, used) = (datetime!(2026-11-22 10:00:00 UTC), Used::new(Allowance { at_once: 2, per_minute: 6 }));
        for spent in [false, false, true] {
            assert_eq!(used.is_spent(&"a", now), spent);
            used.spend("a", now);
        }
        assert!(!used.is_spent(&"b", now));
        assert!(used.is_spent(&"a", now + time::Duration::seconds(19)));
        assert!(!used.is_spent(&"a", now + time::Duration::seconds(20)));
    }

    /// F-61: bad proofs, each with an access key of its own, take half of a launch's places, and the honest stacks of other networks have
    /// the rest.
    #[tokio::test]
    async fn a_network_of_bad_proofs_has_half_of_the_places() {
        let (now, limits) = (datetime!(2026-11-22 10:00:00 UTC), Limits::default());
        let prover = |network: [u8; 4], key: usize| Prover {
            launch_id: "launch".to_owned(),
            network: Some(network.into()),
            signer: format!("ASIA{key}"),
        };
        let attacker = |key| prover([192, 0, 2, 1], key);
        for key in 0..60 {
            assert!(limits.admit(&attacker(key), now).is_ok());
            limits.count_bad_proof(attacker(key), now);
        }
        let mut held = Vec::new();
        for key in 0..QUESTIONS_OF_SUSPECTS_MAX {
            held.extend(limits.place(&attacker(key), now).await);
        }
        assert_eq!(limits.place(&attacker(99), now).await.map(drop), Err(Reason::Busy.into()));
        for key in 0..QUESTIONS_OF_SUSPECTS_MAX {
            held.extend(limits.place(&prover([198, 51, 100, 1], key), now).await);
        }
        assert_eq!(held.len(), QUESTIONS_PER_LAUNCH_MAX);
        drop(held);
        // A good proof gives one back, and so does half a second.
        limits.count_good_proof(&attacker(100));
        assert!(!limits.bad_proofs_of_network.is_spent(&attacker(0).source(), now));
        limits.count_bad_proof(attacker(101), now);
        assert!(limits.bad_proofs_of_network.is_spent(&attacker(0).source(), now));
        assert!(!limits.bad_proofs_of_network.is_spent(&attacker(0).source(), now + time::Duration::seconds(1)));
    }

    #[test]
    fn sources_are_bounded_and_the_busiest_are_remembered() {
        let (now, used) = (datetime!(2026-11-22 10:00:00 UTC), Used::new(BAD_PROOFS));
        for _ in 0..BAD_PROOFS.at_once {
            used.spend(0, now);
        }
        for source in 1..3 * SOURCES_MAX {
            used.spend(source, now);
        }
        assert!(used.full_at.lock().is_ok_and(|all| all.len() <= SOURCES_MAX));
        assert!(used.is_spent(&0, now));
    }
}
