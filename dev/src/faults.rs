//! How a call goes wrong: the same vocabulary towards AWS, the vendor and the upload of responses.
//!
//! [`scenario`](crate::strict_proxy::scenario) holds the data: which call meets what. Here is what that does to a caller, once for all
//! three parties: [`Faults`] finds the fault of a call, [`before`] may end the call instead of making it, [`after`] may keep
//! its answer from arriving.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use crate::{
    serve::{Answer, Ending, Peer},
    strict_proxy::{
        calls::lock,
        scenario::{Chaos, Fault, FaultAnswer, Scenario},
    },
};

/// The faults of a run, and how often each operation was called since they were set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    plan: Mutex<(Vec<Fault>, Option<Chaos>)>,
    counts: Mutex<BTreeMap<(String, String), usize>>,
}

impl Faults {
    /// Sets the plan, and begins to count again.
    pub(crate) fn set(&self, scenario: &Scenario) {
        *lock(&self.plan) = (scenario.faults.clone(), scenario.chaos.clone());
        lock(&self.counts).clear();
    }

    /// What meets the next call of this operation. A listed fault goes before a random one.
    pub(crate) fn next(&self, service: &str, operation: &str) -> Option<FaultAnswer> {
        let nth = {
            let mut counts = lock(&self.counts);
            let count = counts.entry((service.to_owned(), operation.to_owned())).or_default();
            *count += 1;
            *count
        };
        let (faults, chaos) = &*lock(&self.plan);
        let listed = faults.iter().find(|fault| fault.meets(service, operation, nth)).map(|fault| fault.answer.clone());
        listed.or_else(|| chaos.as_ref()?.roll(service, operation, nth))
    }
}

/// An answer of the service's own that says no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum InjectedError {
    Throttled,
    Denied,
    Failed,
    /// The error of this name.
    Named(String),
}

/// Before a call is made: nothing when it is to be made, else how it ends.
pub(crate) async fn before(
    fault: Option<&FaultAnswer>,
    peer: Peer,
    refuse: impl FnOnce(InjectedError) -> Answer,
) -> Option<Result<Answer, Ending>> {
    Some(match fault? {
        FaultAnswer::Throttle => Ok(refuse(InjectedError::Throttled)),
        FaultAnswer::Deny => Ok(refuse(InjectedError::Denied)),
        FaultAnswer::ServerError => Ok(refuse(InjectedError::Failed)),
        FaultAnswer::Error(name) => Ok(refuse(InjectedError::Named(name.clone()))),
        FaultAnswer::Reset => Err(Ending::Reset),
        FaultAnswer::KillBefore => {
            peer.kill();
            Err(Ending::Close)
        }
        FaultAnswer::LatencyMs(ms) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            return None;
        }
        FaultAnswer::LateMs(_) | FaultAnswer::Truncate | FaultAnswer::Lost | FaultAnswer::KillAfter => return None,
    })
}

/// After a call was made: its answer, or how it is lost.
pub(crate) async fn after(fault: Option<&FaultAnswer>, peer: Peer, answer: Answer) -> Result<Answer, Ending> {
    match fault {
        Some(FaultAnswer::Truncate) => Err(Ending::cut(answer).await),
        Some(FaultAnswer::Lost) => Err(Ending::Close),
        Some(FaultAnswer::KillAfter) => {
            peer.kill();
            Err(Ending::Close)
        }
        Some(FaultAnswer::LateMs(ms)) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Ok(answer)
        }
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(operation: &str, nth: Option<usize>, answer: FaultAnswer) -> Fault {
        Fault { service: "s3".into(), operation: operation.into(), nth, answer }
    }

    #[test]
    fn a_fault_applies_to_the_call_it_names() {
        let faults = Faults::default();
        let listed = vec![fault("A", Some(2), FaultAnswer::Lost), fault("B", None, FaultAnswer::Reset)];
        faults.set(&Scenario { faults: listed, ..Scenario::default() });
        let met = |operation| faults.next("s3", operation);
        assert_eq!([met("A"), met("A"), met("A")], [None, Some(FaultAnswer::Lost), None]);
        assert_eq!([met("B"), met("B"), met("C")], [Some(FaultAnswer::Reset), Some(FaultAnswer::Reset), None]);
        assert_eq!(faults.next("cur", "B"), None);
        faults.set(&Scenario::default());
        assert_eq!(met("B"), None);
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_about_as_many_as_asked_for() {
        let rolled = |seed| {
            let faults = Faults::default();
            let chaos = Chaos { seed, percent: 20, answers: vec![FaultAnswer::Lost, FaultAnswer::Reset] };
            faults.set(&Scenario { chaos: Some(chaos), ..Scenario::default() });
            (0..500).map(|_| faults.next("s3", "A")).collect::<Vec<_>>()
        };
        assert_eq!(rolled(1), rolled(1));
        assert_ne!(rolled(1), rolled(2));
        let met = rolled(1).into_iter().flatten().collect::<Vec<_>>();
        assert!((60..140).contains(&met.len()), "{}", met.len());
        assert!(met.contains(&FaultAnswer::Lost) && met.contains(&FaultAnswer::Reset));
    }
}
