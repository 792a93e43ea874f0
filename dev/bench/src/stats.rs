//! What is measured, its medians and spread. No mean: one slow sample on a shared machine should not move the result.

use std::collections::BTreeMap;

use serde::Serialize;

/// What is measured of one event. Its start is that of the process for the first event, else that of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// From the start until the response had arrived.
    ToResponseMs,
    /// From the start until the runtime reported the event as done.
    ToDoneMs,
    /// From the start of the process until it asked for its first event; 0 for later events.
    InitMs,
    /// CPU time from the start until the event was done.
    CpuMs,
    /// The part of it after init.
    CpuAfterInitMs,
    /// The most memory the process ever held.
    PeakMemoryMb,
    /// Longest chain of calls that did not overlap, up to the response.
    Rounds,
    /// The same of the calls after it: nobody waits for those.
    RoundsAfter,
    /// TLS connections opened since the start.
    Connections,
    /// Requests that only opened a connection ahead of need; they count in no round.
    Probes,
}

/// What was measured of one event.
pub(crate) type Sample = BTreeMap<Measure, f64>;

/// One measure of one handler over all its samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) n: usize,
    pub(crate) median: f64,
    /// Nine of ten are above.
    pub p10: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// Median to the plain handler's median; none where that is zero.
    pub(crate) ratio_to_plain: Option<f64>,
}

/// Each measure over some samples, beside those of the plain handler.
pub(crate) fn summaries(samples: &[Sample], plain: &[Sample]) -> BTreeMap<Measure, Summary> {
    let of = |samples: &[Sample], measure| samples.iter().filter_map(|it| it.get(&measure).copied()).collect::<Vec<_>>();
    let measures = samples.first().into_iter().flat_map(BTreeMap::keys);
    measures.filter_map(|&measure| Some((measure, Summary::of(of(samples, measure), of(plain, measure))?))).collect()
}

impl Summary {
    /// `None` without samples: an unmeasured thing has no number.
    fn of(samples: Vec<f64>, plain: Vec<f64>) -> Option<Self> {
        let (sorted, plain) = (sorted(samples), sorted(plain));
        let median = percentile(&sorted, 0.5)?;
        let base = percentile(&plain, 0.5).filter(|it| *it > 0.0);
        Some(Self {
            n: sorted.len(),
            median,
            p10: percentile(&sorted, 0.1)?,
            p90: percentile(&sorted, 0.9)?,
            ratio_to_plain: base.map(|it| median / it),
        })
    }
}

fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples
}

/// The value below which `share` of the sorted samples lie, linear between neighbours.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index into a short slice"
)]
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_samples_no_number() {
        assert_eq!(Summary::of(Vec::new(), vec![1.0]), None);
    }

    #[test]
    fn one_sample_is_all_of_it_and_without_a_base_there_is_no_ratio() {
        let expected = Summary { n: 1, median: 7.0, p10: 7.0, p90: 7.0, ratio_to_plain: None };
        assert_eq!(Summary::of(vec![7.0], Vec::new()), Some(expected));
        assert_eq!(Summary::of(vec![7.0], vec![0.0]), Some(expected));
    }

    #[test]
    fn an_even_count_takes_the_middle_of_two() {
        let summary = Summary::of(vec![4.0, 1.0, 3.0, 2.0], vec![5.0]);
        assert_eq!(summary.map(|it| (it.median, it.ratio_to_plain)), Some((2.5, Some(0.5))));
    }

    #[test]
    fn order_does_not_matter_and_one_outlier_does_not_move_the_median() {
        let samples = vec![1000.0, 3.0, 1.0, 5.0, 2.0, 4.0, 6.0, 8.0, 7.0, 9.0, 10.0];
        let summary = Summary::of(samples, Vec::new());
        assert_eq!(summary, Some(Summary { n: 11, median: 6.0, p10: 2.0, p90: 10.0, ratio_to_plain: None }));
    }

    #[test]
    fn between_two_samples_the_percentile_is_linear() {
        assert_eq!(percentile(&[0.0, 10.0], 0.1), Some(1.0));
        assert_eq!(percentile(&[0.0, 10.0], 0.9), Some(9.0));
    }
}
