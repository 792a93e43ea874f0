//! What was called, and how many of the calls had to wait for one another.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;

/// Who was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    Organizations,
    /// AWS Cost and Usage Reports.
    Cur,
    #[serde(rename = "bcm-data-exports")]
    DataExports,
    /// Amazon S3.
    S3,
    CloudFormation,
    /// AWS Security Token Service.
    Sts,
    /// CloudFormation's presigned response URL.
    Mailbox,
    /// The vendor's notice URL.
    Vendor,
}

impl Service {
    /// All of them, one listener each.
    pub(crate) const ALL: [Self; 8] = [
        Self::Organizations,
        Self::Cur,
        Self::DataExports,
        Self::S3,
        Self::CloudFormation,
        Self::Sts,
        Self::Mailbox,
        Self::Vendor,
    ];
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Organizations => "organizations",
            Self::Cur => "cur",
            Self::DataExports => "bcm-data-exports",
            Self::S3 => "s3",
            Self::CloudFormation => "cloudformation",
            Self::Sts => "sts",
            Self::Mailbox => "mailbox",
            Self::Vendor => "vendor",
        })
    }
}

/// One call, as the stub saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) service: Service,
    /// The API's name for it.
    pub(crate) operation: &'static str,
    /// The request's headers were there.
    pub(crate) start: Instant,
    /// The answer was ready to be sent, injected latency included.
    pub(crate) end: Instant,
}

/// How often each operation was called, as `service:Operation`.
pub(crate) fn tally(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(format!("{}:{}", call.service, call.operation)).or_default() += 1;
    }
    counts
}

/// The longest chain of calls that did not overlap: how many times the handler waited for the network, one wait after
/// the other. Calls made together count once.
///
/// Taking, again and again, the call that ends first among those that start after the last one taken gives a longest chain.
pub(crate) fn rounds<T: Copy + Ord>(intervals: impl IntoIterator<Item = (T, T)>) -> usize {
    let mut by_end: Vec<(T, T)> = intervals.into_iter().collect();
    by_end.sort_by_key(|&(_, end)| end);
    let mut last: Option<T> = None;
    let mut count = 0;
    for (start, end) in by_end {
        if last.is_none_or(|it| start >= it) {
            count += 1;
            last = Some(end);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_calls_make_no_round() {
        assert_eq!(rounds::<u32>([]), 0);
    }

    #[test]
    fn calls_after_one_another_each_cost_a_round() {
        assert_eq!(rounds([(0, 30), (31, 61), (62, 92)]), 3);
        assert_eq!(rounds([(0, 30), (30, 60)]), 2, "a call may start at the instant the last one ended");
    }

    #[test]
    fn calls_made_together_cost_one() {
        assert_eq!(rounds([(0, 30), (1, 31), (29, 59)]), 1);
    }

    #[test]
    fn a_long_call_does_not_hide_the_short_ones_beside_it() {
        assert_eq!(rounds([(0, 100), (0, 30), (31, 60), (61, 99)]), 3);
    }

    #[test]
    fn the_shape_of_a_create_with_reads_and_settings_together() {
        let reads = [(0, 30), (0, 31), (1, 31), (2, 32)];
        let transfers = [(33, 63), (34, 64)];
        let bucket = [(65, 95)];
        let settings = [(96, 126), (96, 127), (98, 128), (99, 129)];
        let report_and_answer = [(130, 160), (161, 191)];
        let all = reads.into_iter().chain(transfers).chain(bucket).chain(settings).chain(report_and_answer);
        assert_eq!(rounds(all), 6);
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        assert_eq!(rounds([(62, 92), (0, 30), (31, 61)]), 3);
    }

    #[test]
    fn the_greedy_count_is_the_longest_chain_by_brute_force() {
        // Every set of up to 5 intervals on a small line, made by a fixed-step walk over the possibilities.
        let intervals: Vec<(u32, u32)> = (0..6).flat_map(|a| (a + 1..7).map(move |b| (a, b))).collect();
        let mut state = 1_u64;
        for _ in 0..2_000 {
            let picked: Vec<(u32, u32)> = (0..5)
                .filter_map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let at = usize::try_from((state >> 33) % intervals.len() as u64).ok()?;
                    intervals.get(at).copied()
                })
                .collect();
            assert_eq!(rounds(picked.iter().copied()), longest_chain(&picked), "{picked:?}");
        }
    }

    fn longest_chain(intervals: &[(u32, u32)]) -> usize {
        (0_u32..1 << intervals.len())
            .filter_map(|chosen| {
                let mut chain: Vec<(u32, u32)> =
                    intervals.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, &it)| it).collect();
                chain.sort_unstable();
                chain.windows(2).all(|pair| pair[1].0 >= pair[0].1).then_some(chain.len())
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn the_tally_counts_by_service_and_operation() {
        let now = Instant::now();
        let call = |service, operation| Call { service, operation, start: now, end: now };
        let calls = [call(Service::S3, "HeadBucket"), call(Service::Cur, "PutReportDefinition"), call(Service::S3, "HeadBucket")];
        let expected = [("cur:PutReportDefinition".to_owned(), 1), ("s3:HeadBucket".to_owned(), 2)];
        assert_eq!(tally(&calls), BTreeMap::from(expected));
    }
}
