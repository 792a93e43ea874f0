//! Medians and spread. No mean: one slow sample on a shared machine should not move the result.

use serde::Serialize;

/// One measure over all its samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub n: usize,
    pub median: f64,
    /// Nine of ten are above.
    pub p10: f64,
    /// Nine of ten are below.
    pub p90: f64,
}

impl Summary {
    /// `None` without samples: an unmeasured thing has no number.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            n: sorted.len(),
            median: percentile(&sorted, 0.5)?,
            p10: percentile(&sorted, 0.1)?,
            p90: percentile(&sorted, 0.9)?,
        })
    }
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
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn one_sample_is_all_of_it() {
        assert_eq!(Summary::of([7.0]), Some(Summary { n: 1, median: 7.0, p10: 7.0, p90: 7.0 }));
    }

    #[test]
    fn an_even_count_takes_the_middle_of_two() {
        assert_eq!(Summary::of([4.0, 1.0, 3.0, 2.0]).map(|it| it.median), Some(2.5));
    }

    #[test]
    fn order_does_not_matter_and_one_outlier_does_not_move_the_median() {
        let samples = [1000.0, 3.0, 1.0, 5.0, 2.0, 4.0, 6.0, 8.0, 7.0, 9.0, 10.0];
        let summary = Summary::of(samples);
        assert_eq!(summary, Some(Summary { n: 11, median: 6.0, p10: 2.0, p90: 10.0 }));
    }

    #[test]
    fn between_two_samples_the_percentile_is_linear() {
        assert_eq!(percentile(&[0.0, 10.0], 0.1), Some(1.0));
        assert_eq!(percentile(&[0.0, 10.0], 0.9), Some(9.0));
    }
}
