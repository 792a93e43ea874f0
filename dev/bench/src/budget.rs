//! The performance budget: what the handler may cost beside a plain sequential Rust handler in the same run.
//! Compared and said, never asserted: a shared machine is no judge.

use serde::Serialize;

use crate::cycle::Variant;
use crate::handlers::HandlerName;
use crate::results::{Measures, Results};
use crate::workload::Workload;

/// The zip that a customer's Lambda loads at every cold start.
const ZIP_MB: f64 = 5.0;
/// Until the response: reads together, who pays the bill, the bucket, its settings together, the report, the response.
const ROUNDS: f64 = 6.0;

/// One line of the budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub what: &'static str,
    /// What the number is.
    pub unit: &'static str,
    /// At most this.
    pub limit: f64,
    /// What was measured; none when it was not.
    pub measured: Option<f64>,
}

impl Line {
    /// Whether it is met; a line that was not measured is not.
    pub fn met(&self) -> bool {
        self.measured.is_some_and(|it| it <= self.limit)
    }

    /// For people.
    pub fn verdict(&self) -> &'static str {
        match self.measured {
            None => "NOT MEASURED",
            Some(_) if self.met() => "met",
            Some(_) => "MISSED",
        }
    }
}

/// All lines, on the Create of `Custom::BillingExport`.
pub fn compare(results: &Results) -> Vec<Line> {
    const RATIO: &str = "of plain";
    let hawser = |variant| results.of(Workload::BillingExport, variant, HandlerName::Hawser);
    let ratio = |what, limit, variant, of: fn(&Measures) -> Option<f64>| Line {
        what,
        unit: RATIO,
        limit,
        measured: hawser(variant).and_then(of),
    };
    let zip = results.packages.get(&HandlerName::Hawser).map(|it| it.published_zip_bytes.unwrap_or(it.zip_bytes));
    vec![
        ratio("start to response", 0.55, Variant::Cold, |it| it.to_response_ms.ratio_to_plain),
        ratio("start to response, CPU of 128 MB", 0.4, Variant::Cold128Mb, |it| it.to_response_ms.ratio_to_plain),
        ratio("warm, to response", 0.6, Variant::Warm, |it| it.to_response_ms.ratio_to_plain),
        ratio("peak memory", 1.0, Variant::Cold, |it| it.peak_memory_mb.ratio_to_plain),
        ratio("CPU time, cold", 1.0, Variant::Cold, |it| it.cpu_ms.ratio_to_plain),
        ratio("CPU time, warm", 1.0, Variant::Warm, |it| it.cpu_ms.ratio_to_plain),
        Line { what: "rounds", unit: "", limit: ROUNDS, measured: hawser(Variant::Warm).map(|it| it.rounds.summary.median) },
        #[expect(clippy::cast_precision_loss, reason = "a file size is far below 2^52")]
        Line { what: "zip", unit: "MB", limit: ZIP_MB, measured: zip.map(|it| it as f64 / 1e6) },
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
