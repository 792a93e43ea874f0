//! What came out, as it is written to `result.json`.

use std::collections::BTreeMap;
use std::{fs, thread};

use serde::Serialize;

use crate::budget::{self, Line};
use crate::cycle::Samples;
use crate::handlers::{Handler, HandlerName, Package};
use crate::network::{Network, Variant};
use crate::session::BenchSetup;
use crate::stats::{Measure, Summary, summaries};
use crate::workload::Workload;
use crate::world::S3Ways;

type ByHandler = BTreeMap<HandlerName, BTreeMap<Measure, Summary>>;

/// The whole result.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// Where and how it was measured.
    pub(crate) run: Run,
    /// By handler.
    pub(crate) packages: BTreeMap<HandlerName, Package>,
    /// By network, workload, way and handler.
    pub(crate) measured: BTreeMap<Network, BTreeMap<Workload, BTreeMap<Variant, ByHandler>>>,
    /// The lines of the performance budget.
    pub(crate) budget: Vec<Line>,
}

/// Where and how.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// When it ended, UTC.
    pub(crate) at: String,
    /// Processor, as the kernel calls it.
    pub(crate) processor: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) cycles: usize,
    pub(crate) s3: S3Ways,
    /// How the CPU of the small function was made.
    pub(crate) throttle: String,
    /// Public roots that every handler had to load.
    pub(crate) public_roots: usize,
}

impl Run {
    /// The machine's part filled in.
    pub(crate) fn here(setup: &BenchSetup<'_>, cycles: usize, at: String) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|it| it.strip_prefix("model name")?.split_once(':').map(|(_, it)| it.trim().to_owned()))
            .unwrap_or_else(|| "unknown".to_owned());
        Self {
            at,
            processor,
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cycles,
            s3: setup.s3,
            throttle: setup.throttle.describe(),
            public_roots: setup.authority.public_roots,
        }
    }
}

impl Results {
    /// Puts handlers and samples together.
    pub(crate) fn new(run: Run, handlers: &[Handler], samples: &Samples) -> Self {
        let packages = handlers.iter().map(|it| (it.name, it.package.clone())).collect();
        let mut results = Self { run, packages, measured: BTreeMap::new(), budget: Vec::new() };
        for (&(network, workload, variant, name), of_handler) in samples {
            let plain = samples.get(&(network, workload, variant, HandlerName::Plain)).map_or(&[][..], Vec::as_slice);
            let by_name = results.measured.entry(network).or_default().entry(workload).or_default().entry(variant).or_default();
            by_name.insert(name, summaries(of_handler, plain));
        }
        let hawser =
            |network, variant, measure| results.of(network, Workload::BillingExport, variant, HandlerName::Hawser, measure);
        let package = results.packages.get(&HandlerName::Hawser);
        results.budget = budget::compare(hawser, package.map(|it| it.published_zip_bytes.unwrap_or(it.zip_bytes)));
        results
    }

    /// One measure of one handler in one way, if it was measured.
    pub(crate) fn of(
        &self,
        network: Network,
        workload: Workload,
        variant: Variant,
        name: HandlerName,
        measure: Measure,
    ) -> Option<Summary> {
        self.measured.get(&network)?.get(&workload)?.get(&variant)?.get(&name)?.get(&measure).copied()
    }
}
