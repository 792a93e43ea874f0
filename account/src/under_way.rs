//! Calls that get in each other's way while they are under way (see [`Overlap`] and [`Rate`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hawser::aws::FaultKind;

use crate::{
    freedoms::{Freedoms, Overlap, RATE_MAX, Rate},
    port::conflict,
    refusal::Refusal,
};

/// What calls can meet at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meeting {
    /// The settings of a bucket.
    Settings(String),
    /// Data Exports, for one caller.
    Exports(String),
}

/// The calls under way.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(Arc<Mutex<BTreeMap<Meeting, usize>>>);

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Entered {
    under_way: UnderWay,
    meeting: Meeting,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.under_way.counts().entry(self.meeting.clone()).and_modify(|count| *count -= 1);
    }
}

impl UnderWay {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<Meeting, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and says why it is refused if there are too many.
    pub fn enter(&self, meeting: Meeting, freedoms: &Freedoms) -> (Entered, Option<Refusal>) {
        let entered = Entered { under_way: self.clone(), meeting: meeting.clone() };
        let mut counts = self.counts();
        let count = counts.entry(meeting).or_default();
        *count += 1;
        let refusal = match entered.meeting {
            Meeting::Settings(_) => (*count > 1 && freedoms.overlap == Overlap::Aborted).then(conflict),
            Meeting::Exports(_) => (*count > RATE_MAX && freedoms.rate == Rate::Limited)
                .then(|| Refusal::new(FaultKind::Throttled, "ThrottlingException", "Rate exceeded")),
        };
        drop(counts);
        (entered, refusal)
    }
}
