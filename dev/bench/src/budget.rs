//! The performance budget: what the handler may cost beside a plain sequential Rust handler in the same run.
//! Compared and said, never asserted: a shared machine is no judge.

use serde::Serialize;

use crate::network::{Network, Variant};
use crate::stats::{Measure, Summary};

/// The zip that a customer's Lambda loads at every cold start.
const ZIP_MB: f64 = 4.0;
/// Until the response: reads together, the bucket, its settings together, the report, the response.
const ROUNDS: f64 = 5.0;
/// One for each service, the response and a second one where calls of one service run together.
const CONNECTIONS: f64 = 7.0;

/// One line of the budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    /// What the number is.
    pub(crate) unit: &'static str,
    /// At most this.
    pub(crate) limit: f64,
    /// What was measured; none when it was not.
    pub(crate) measured: Option<f64>,
}

impl Line {
    /// For people; a line that was not measured is not met.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.measured {
            None => "NOT MEASURED",
            Some(it) if it <= self.limit => "met",
            Some(_) => "MISSED",
        }
    }
}

/// All lines, on the Create of `Custom::BillingExport`; `hawser` is what was measured of it with one network in one way.
pub(crate) fn compare(hawser: impl Fn(Network, Variant, Measure) -> Option<Summary>, zip_bytes: Option<u64>) -> Vec<Line> {
    use Network::{FreeConnections, Near};
    let ratio = |what, limit, network, variant, measure| {
        let measured = hawser(network, variant, measure).and_then(|it| it.ratio_to_plain);
        Line { what, unit: "of plain", limit, measured }
    };
    let count = |what, limit, variant, measure| Line {
        what,
        unit: "",
        limit,
        measured: hawser(Near, variant, measure).map(|it| it.median),
    };
    vec![
        ratio("start to response", 0.42, Near, Variant::Cold, Measure::ToResponseMs),
        ratio("start to response, CPU of 128 MB", 0.22, Near, Variant::Cold128Mb, Measure::ToResponseMs),
        ratio("start to response, connections free", 0.48, FreeConnections, Variant::Cold, Measure::ToResponseMs),
        ratio("the same, CPU of 128 MB", 0.2, FreeConnections, Variant::Cold128Mb, Measure::ToResponseMs),
        ratio("warm, to response", 0.5, Near, Variant::Warm, Measure::ToResponseMs),
        count("rounds", ROUNDS, Variant::Warm, Measure::Rounds),
        count("connections", CONNECTIONS, Variant::Cold, Measure::Connections),
        ratio("peak memory", 0.6, Near, Variant::Cold, Measure::PeakMemoryMb),
        ratio("CPU time, cold", 0.25, Near, Variant::Cold, Measure::CpuMs),
        ratio("CPU time, warm", 0.75, Near, Variant::Warm, Measure::CpuMs),
        #[expect(clippy::cast_precision_loss, reason = "a file size is far below 2^52")]
        Line { what: "zip", unit: "MB", limit: ZIP_MB, measured: zip_bytes.map(|it| it as f64 / 1e6) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_met_up_to_its_limit_and_not_when_unmeasured() {
        let line = |measured| Line { what: "warm", unit: "of plain", limit: 0.6, measured };
        assert_eq!(line(Some(0.6)).verdict(), "met");
        assert_eq!(line(Some(0.61)).verdict(), "MISSED");
        assert_eq!(line(None).verdict(), "NOT MEASURED");
    }
}
