//! The result for people: Markdown tables that line up in a terminal too.

use std::fmt::Write as _;

use crate::cycle::Variant;
use crate::handlers::{HandlerName, Package};
use crate::results::{Measured, Measures, Results};
use crate::workload::Workload;

/// Everything, ready to be printed.
pub fn render(results: &Results) -> String {
    let run = &results.run;
    let mut text = format!(
        "{} cycles on {} cores of {}, kernel {}\n{} public TLS roots; {} ms added to every call where it says so, {} ms to every new connection\n\
         128 MB: {}\nmedian [p10..p90], and its ratio to plain\n",
        run.cycles, run.cores, run.processor, run.kernel, run.public_roots, run.latency_ms, run.connecting_ms, run.throttle
    );
    for (name, package) in &results.packages {
        if let Some(versions) = &package.versions {
            let _ = writeln!(text, "{}: {versions}", name.as_str());
        }
    }
    for workload in Workload::ALL {
        let _ = write!(text, "\n{}, {}\n\n{}", workload.name(), workload.describe(), table(results, workload));
    }
    let _ = write!(text, "\nBudget, on the Create of {}\n\n{}", Workload::BillingExport.name(), budget(results));
    text
}

fn table(results: &Results, workload: Workload) -> String {
    let latency = format!("{} ms", results.run.latency_ms);
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
        let of = |variant| results.of(workload, variant, name);
        let (cold, small, warm, quick) =
            (of(Variant::Cold), of(Variant::Cold128Mb), of(Variant::Warm), of(Variant::WarmNoLatency));
        rows.push(vec![
            name.describe().to_owned(),
            cell(cold, |it| it.to_response_ms, " ms", 0),
            cell(small, |it| it.to_response_ms, " ms", 0),
            cell(warm, |it| it.to_response_ms, " ms", 0),
            plain_cell(warm, |it| it.rounds),
            cell(warm, |it| it.to_done_ms, " ms", 0),
            cell(quick, |it| it.to_done_ms, " ms", 1),
            plain_cell(warm, |it| it.rounds_after),
            plain_cell(cold, |it| it.connections),
            cell(cold, |it| it.cpu_ms, " ms", 0),
            cell(cold, |it| it.cpu_after_init_ms, " ms", 0),
            cell(cold, |it| it.peak_memory_mb, " MB", 1),
            results.packages.get(&name).map_or_else(dash, size),
        ]);
    }
    markdown(&rows)
}

fn dash() -> String {
    "not measured".to_owned()
}

fn cell(measures: Option<&Measures>, of: fn(&Measures) -> Measured, unit: &str, digits: usize) -> String {
    measures.map(of).map_or_else(dash, |Measured { summary, ratio_to_plain }| {
        let ratio = ratio_to_plain.map_or_else(String::new, |it| format!(" x{it:.2}"));
        format!("{:.digits$}{unit} [{:.digits$}..{:.digits$}]{ratio}", summary.median, summary.p10, summary.p90)
    })
}

fn plain_cell(measures: Option<&Measures>, of: fn(&Measures) -> Measured) -> String {
    measures.map(of).map_or_else(dash, |it| format!("{}", it.summary.median))
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
        assert_eq!(cell(None, |it| it.to_done_ms, " ms", 0), "not measured");
        assert_eq!(plain_cell(None, |it| it.rounds), "not measured");
    }
}
