//! The result for people: Markdown tables that line up in a terminal too.

use std::fmt::Write as _;

use crate::handlers::{HandlerName, Package};
use crate::network::{Network, Variant};
use crate::results::Results;
use crate::stats::{Measure, Summary};
use crate::workload::Workload;

/// Everything, ready to be printed.
pub(crate) fn render(results: &Results) -> String {
    let run = &results.run;
    let ways =
        [(run.s3.conflicts, "; settings of one bucket conflict"), (run.s3.errors_close, "; errors of S3 close their connection")];
    let ways: String = ways.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what).collect();
    let mut text = format!(
        "{} cycles on {} cores of {}, kernel {}\n{} public TLS roots{}\n\
         128 MB: {}\nmedian [p10..p90], and its ratio to plain\n",
        run.cycles, run.cores, run.processor, run.kernel, run.public_roots, ways, run.throttle
    );
    for (name, package) in &results.packages {
        if let Some(versions) = &package.versions {
            let _ = writeln!(text, "{}: {versions}", name.as_str());
        }
    }
    for network in Network::ALL.into_iter().filter(|network| results.measured.contains_key(network)) {
        let (call, connection) = (network.latency().as_millis(), network.connecting().as_millis());
        let _ = writeln!(text, "\n{call} ms added to every call where it says so, {connection} ms to every new connection");
        for workload in Workload::ALL {
            let _ = write!(text, "\n{}, {}\n\n{}", workload.name(), workload.describe(), table(results, network, workload));
        }
    }
    let _ = write!(text, "\nMemory: a cold start of Hawser until it is done, which is what is billed\n\n{}", memory(results));
    let _ = write!(text, "\nBudget, on the Create of {}\n\n{}", Workload::BillingExport.name(), budget(results));
    text
}

fn table(results: &Results, network: Network, workload: Workload) -> String {
    let latency = format!("{} ms", network.latency().as_millis());
    let head = ["handler", "start to response", "with the CPU of 128 MB", &format!("warm, {latency}"), "rounds"];
    let until_done = format!("until done, {latency}");
    let more = [
        &until_done,
        "until done, 0 ms",
        "rounds after",
        "connections",
        "CPU time, cold",
        "of it after init",
        "peak memory",
        "zip",
    ];
    let mut rows = vec![head.into_iter().chain(more).map(str::to_owned).collect::<Vec<_>>()];
    for name in HandlerName::ALL {
        let cell = |variant, measure, unit, digits| cell(results.of(network, workload, variant, name, measure), unit, digits);
        let median = |variant, measure| {
            results.of(network, workload, variant, name, measure).map_or_else(dash, |it| it.median.to_string())
        };
        rows.push(vec![
            name.describe().to_owned(),
            cell(Variant::Cold, Measure::ToResponseMs, " ms", 0),
            cell(Variant::Cold128Mb, Measure::ToResponseMs, " ms", 0),
            cell(Variant::Warm, Measure::ToResponseMs, " ms", 0),
            median(Variant::Warm, Measure::Rounds),
            cell(Variant::Warm, Measure::ToDoneMs, " ms", 0),
            cell(Variant::WarmNoLatency, Measure::ToDoneMs, " ms", 1),
            median(Variant::Warm, Measure::RoundsAfter),
            median(Variant::Cold, Measure::Connections),
            cell(Variant::Cold, Measure::CpuMs, " ms", 0),
            cell(Variant::Cold, Measure::CpuAfterInitMs, " ms", 0),
            cell(Variant::Cold, Measure::PeakMemoryMb, " MB", 1),
            results.packages.get(&name).map_or_else(dash, size),
        ]);
    }
    markdown(&rows)
}

fn dash() -> String {
    "not measured".to_owned()
}

fn cell(summary: Option<Summary>, unit: &str, digits: usize) -> String {
    summary.map_or_else(dash, |Summary { median, p10, p90, ratio_to_plain, .. }| {
        let ratio = ratio_to_plain.map_or_else(String::new, |it| format!(" x{it:.2}"));
        format!("{median:.digits$}{unit} [{p10:.digits$}..{p90:.digits$}]{ratio}")
    })
}

#[expect(clippy::cast_precision_loss, reason = "a file size is far below 2^52")]
fn size(package: &Package) -> String {
    let megabytes = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
    match (package.published_zip_bytes, package.zip_bytes_with_sdk) {
        (Some(published), _) => format!("{} (published: {})", megabytes(package.zip_bytes), megabytes(published)),
        (None, Some(whole)) => format!("{} ({} with the SDK)", megabytes(package.zip_bytes), megabytes(whole)),
        (None, None) => megabytes(package.zip_bytes),
    }
}

/// What an event costs with more memory: its time times its memory.
fn memory(results: &Results) -> String {
    let mut rows = vec![["event", "memory", "until done", "billed"].map(str::to_owned).to_vec()];
    for workload in Workload::ALL {
        for variant in [Variant::Cold128Mb, Variant::Cold512Mb] {
            let memory_mb = variant.memory_mb().unwrap_or_default();
            let done = results.of(Network::Near, workload, variant, HandlerName::Hawser, Measure::ToDoneMs);
            let billed = done.map_or_else(dash, |it| format!("{:.0} GB ms", it.median * f64::from(memory_mb) / 1024.0));
            rows.push(vec![workload.name().to_owned(), format!("{memory_mb} MB"), cell(done, " ms", 0), billed]);
        }
    }
    markdown(&rows)
}

fn budget(results: &Results) -> String {
    let mut rows = vec![["line", "at most", "measured", ""].map(str::to_owned).to_vec()];
    for line in &results.budget {
        let number = |it: f64| format!("{it:.2} {}", line.unit).trim_end().to_owned();
        let measured = line.measured.map_or_else(dash, number);
        rows.push(vec![line.what.to_owned(), number(line.limit), measured, line.verdict().to_owned()]);
    }
    markdown(&rows)
}

/// Rows of equally many cells, the first of them the head.
fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|it| it.get(column)).map(|it| it.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if place == 0 {
            for width in &widths {
                let _ = write!(text, "| {} ", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = [vec!["a".to_owned(), "long head".to_owned()], vec!["wide cell".to_owned(), "b".to_owned()]];
        let expected = "| a         | long head |\n| --------- | --------- |\n| wide cell | b         |\n";
        assert_eq!(markdown(&rows), expected);
    }

    #[test]
    fn what_was_not_measured_has_no_number() {
        assert_eq!(cell(None, " ms", 0), "not measured");
    }
}
