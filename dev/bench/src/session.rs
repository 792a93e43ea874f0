//! One handler process in a world of its own, and what is measured of one event.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::handlers::{Handler, HandlerName};
use crate::network::Network;
use crate::process::Process;
use crate::record::rounds;
use crate::runtime_api::RuntimeApi;
use crate::stats::{Measure, Sample};
use crate::stub::StubAws;
use crate::throttle::{CpuQuota, Throttle};
use crate::tls::Authority;
use crate::workload::{self, Workload, faults};
use crate::world::S3Ways;

/// Longer than any handler needs, the slowest under the smallest CPU included.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A handler process that waits for events.
pub(crate) struct Session {
    name: HandlerName,
    world: StubAws,
    api: RuntimeApi,
    process: Process,
    // After the process: the cgroup can be removed only when its process has ended.
    cpu_quota: CpuQuota,
}

/// What every session of the run shares.
pub(crate) struct BenchSetup<'a> {
    pub(crate) authority: &'a Authority,
    /// The PEM file with what the handlers trust.
    pub(crate) roots: &'a Path,
    /// How processes are throttled.
    pub(crate) throttle: &'a Throttle,
    pub(crate) s3: S3Ways,
}

impl Session {
    /// Starts a handler and waits for nothing. What it calls before its first event has the network's latency too.
    pub(crate) async fn start(handler: &Handler, setup: &BenchSetup<'_>, network: Network) -> anyhow::Result<Self> {
        let world = StubAws::open(setup.authority, network.connecting(), setup.s3).await?;
        world.state().latency = network.latency();
        let api = RuntimeApi::start().await?;
        let process = Process::start(handler.command(&world, api.address, setup.roots))?;
        let cpu_quota = setup.throttle.attach(process.pid())?;
        Ok(Self { name: handler.name, world, api, process, cpu_quota })
    }

    /// The first event of a process: the cold start, with the CPU of a function of this memory after init.
    pub(crate) async fn first(
        &mut self,
        workload: Workload,
        number: u64,
        latency: Duration,
        memory_mb: Option<u32>,
    ) -> anyhow::Result<Sample> {
        self.invoke(workload, number, latency, Some(memory_mb)).await
    }

    /// A later event of the same process.
    pub(crate) async fn again(&mut self, workload: Workload, number: u64, latency: Duration) -> anyhow::Result<Sample> {
        self.invoke(workload, number, latency, None).await
    }

    /// Ends the process.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    async fn invoke(
        &mut self,
        workload: Workload,
        number: u64,
        latency: Duration,
        cold: Option<Option<u32>>,
    ) -> anyhow::Result<Sample> {
        let failed = |why: String, process: &Process| {
            let (handler, workload, printed) = (self.name.as_str(), workload.name(), process.printed());
            anyhow!("{handler} did not do the work of {workload}: {why}\nthe last it printed:\n{printed}")
        };
        let event = workload::event(workload, number, &self.world);
        if cold.is_none() {
            self.world.reset();
        }
        // No reset before the first event: connections that were opened during init count.
        {
            let mut state = self.world.state();
            state.latency = latency;
            state.event = event.clone();
        }
        let asked = tokio::select! {
            asked = self.api.asked() => asked,
            end = self.process.ended() => Err(end),
            () = tokio::time::sleep(TIME_LIMIT) => Err("it did not ask for an event in time".to_owned()),
        };
        let asked = asked.map_err(|why| failed(why, &self.process))?;
        if let Some(Some(memory_mb)) = cold {
            self.cpu_quota.enforce(memory_mb)?;
        }
        let cpu_before = self.process.cpu_time()?;
        let handed_over = self.api.send_event(event.json);
        let outcome = tokio::select! {
            outcome = self.api.outcome() => outcome,
            end = self.process.ended() => Err(end),
            () = tokio::time::sleep(TIME_LIMIT) => Err(format!("no outcome within {TIME_LIMIT:?}")),
        };
        let outcome = outcome.map_err(|why| failed(why, &self.process))?;
        let cpu_after = self.process.cpu_time()?;
        let state = self.world.state();
        let mut faults = faults(workload, self.name.depth(), &state);
        faults.extend(outcome.result.err().map(|error| format!("it told Lambda of an error: {error}")));
        let Some(responded) = state.responded.filter(|_| faults.is_empty()) else {
            return Err(failed(faults.join("; "), &self.process));
        };
        let (start, cpu_start) = match cold {
            Some(_) => (self.process.started, Duration::ZERO),
            None => (handed_over, cpu_before),
        };
        let calls = |after| state.calls.iter().filter(move |it| (it.start > responded) == after).map(|it| (it.start, it.end));
        #[expect(clippy::cast_precision_loss, reason = "counts of about ten, and a size in kilobytes far below 2^52")]
        let [peak_kb, rounds_before, rounds_after, connections, probes] = [
            self.process.peak_memory_kb()? as f64,
            rounds::<Instant>(calls(false)) as f64,
            rounds::<Instant>(calls(true)) as f64,
            state.connections as f64,
            state.probes as f64,
        ];
        Ok(Sample::from([
            (Measure::ToResponseMs, ms(responded - start)),
            (Measure::ToDoneMs, ms(outcome.at - start)),
            (Measure::InitMs, cold.map_or(0.0, |_| ms(asked.saturating_duration_since(self.process.started)))),
            (Measure::CpuMs, ms(cpu_after.saturating_sub(cpu_start))),
            (Measure::CpuAfterInitMs, ms(cpu_after.saturating_sub(cpu_before))),
            (Measure::PeakMemoryMb, peak_kb / 1024.0),
            (Measure::Rounds, rounds_before),
            (Measure::RoundsAfter, rounds_after),
            (Measure::Connections, connections),
            (Measure::Probes, probes),
        ]))
    }
}

/// In milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
