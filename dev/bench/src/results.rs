//! What came out, as it is written to `result.json`.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fs, thread};

use serde::Serialize;

use crate::budget::Line;
use crate::cycle::{Samples, Variant};
use crate::handlers::{Handler, HandlerName, Package};
use crate::session::{BenchSetup, Sample, ms};
use crate::stats::Summary;
use crate::workload::Workload;

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where and how it was measured.
    pub run: Run,
    /// By handler.
    pub packages: BTreeMap<HandlerName, Package>,
    /// By workload, way and handler.
    pub measured: BTreeMap<Workload, BTreeMap<Variant, BTreeMap<HandlerName, Measures>>>,
    /// The lines of the performance budget.
    pub budget: Vec<Line>,
}

/// Where and how.
#[derive(Debug, Serialize)]
pub struct Run {
    /// When it ended, UTC.
    pub at: String,
    /// Processor, as the kernel calls it.
    pub processor: String,
    /// Cores that may be used.
    pub cores: usize,
    pub kernel: String,
    pub cycles: usize,
    /// Added to every call where there is latency, ms.
    pub latency_ms: f64,
    /// Added to the opening of every connection, ms.
    pub connecting_ms: f64,
    /// How the CPU of the small function was made.
    pub throttle: String,
    /// Public roots that every handler had to load.
    pub public_roots: usize,
}

impl Run {
    /// The machine's part filled in.
    pub fn here(setup: &BenchSetup<'_>, latency: Duration, cycles: usize, at: String) -> Self {
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
            latency_ms: ms(latency),
            connecting_ms: ms(setup.connecting),
            throttle: setup.throttle.describe(),
            public_roots: setup.authority.public_roots,
        }
    }
}

/// One measure of one handler.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Over all samples.
    #[serde(flatten)]
    pub summary: Summary,
    /// Median to the plain handler's median; none where that is zero.
    pub ratio_to_plain: Option<f64>,
}

/// All measures of one handler in one way.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measures {
    /// See [`Sample::to_response_ms`].
    pub to_response_ms: Measured,
    /// See [`Sample::to_done_ms`].
    pub to_done_ms: Measured,
    /// See [`Sample::init_ms`].
    pub init_ms: Measured,
    /// See [`Sample::cpu_ms`].
    pub cpu_ms: Measured,
    /// See [`Sample::cpu_after_init_ms`].
    pub cpu_after_init_ms: Measured,
    /// See [`Sample::peak_memory_mb`].
    pub peak_memory_mb: Measured,
    /// See [`Sample::rounds`].
    pub rounds: Measured,
    /// See [`Sample::rounds_after`].
    pub rounds_after: Measured,
    /// See [`Sample::connections`].
    pub connections: Measured,
    /// See [`Sample::probes`].
    pub probes: Measured,
}

impl Measures {
    fn of(samples: &[Sample], plain: &[Sample]) -> Option<Self> {
        let measure = |of: fn(&Sample) -> f64| {
            let summary = Summary::of(samples.iter().map(of))?;
            let base = Summary::of(plain.iter().map(of)).map(|it| it.median).filter(|it| *it > 0.0);
            Some(Measured { summary, ratio_to_plain: base.map(|it| summary.median / it) })
        };
        Some(Self {
            to_response_ms: measure(|it| it.to_response_ms)?,
            to_done_ms: measure(|it| it.to_done_ms)?,
            init_ms: measure(|it| it.init_ms)?,
            cpu_ms: measure(|it| it.cpu_ms)?,
            cpu_after_init_ms: measure(|it| it.cpu_after_init_ms)?,
            peak_memory_mb: measure(|it| it.peak_memory_mb)?,
            rounds: measure(|it| it.rounds)?,
            rounds_after: measure(|it| it.rounds_after)?,
            connections: measure(|it| it.connections)?,
            probes: measure(|it| it.probes)?,
        })
    }
}

impl Results {
    /// Puts handlers and samples together.
    pub fn new(run: Run, handlers: &[Handler], samples: &Samples) -> Self {
        let packages = handlers.iter().map(|it| (it.name, it.package.clone())).collect();
        let mut results = Self { run, packages, measured: BTreeMap::new(), budget: Vec::new() };
        for (&(workload, variant, name), of_handler) in samples {
            let plain = samples.get(&(workload, variant, HandlerName::Plain)).map_or(&[][..], Vec::as_slice);
            if let Some(measures) = Measures::of(of_handler, plain) {
                results.measured.entry(workload).or_default().entry(variant).or_default().insert(name, measures);
            }
        }
        results.budget = crate::budget::compare(&results);
        results
    }

    /// The measures of one handler in one way, if it was measured.
    pub fn of(&self, workload: Workload, variant: Variant, name: HandlerName) -> Option<&Measures> {
        self.measured.get(&workload)?.get(&variant)?.get(&name)
    }
}
