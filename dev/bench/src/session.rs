//! One handler process in a world of its own, and what is measured of one event.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::handlers::{Handler, HandlerName};
use crate::process::Process;
use crate::record::rounds;
use crate::runtime_api::RuntimeApi;
use crate::stub::StubAws;
use crate::throttle::{CpuQuota, Throttle};
use crate::tls::Authority;
use crate::workload::{Event, Workload, faults};

/// Longer than any handler needs, the slowest under the smallest CPU included.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What was measured of one event.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// From the start (of the process for the first event, else of the event) until the response had arrived, ms.
    pub to_response_ms: f64,
    /// From the same start until the runtime reported the event as done, ms.
    pub to_done_ms: f64,
    /// From the start of the process until it asked for its first event, ms; 0 for later events.
    pub init_ms: f64,
    /// CPU time from that start until the event was done, ms.
    pub cpu_ms: f64,
    /// The part of it after init, ms.
    pub cpu_after_init_ms: f64,
    /// The most memory the process ever held, MB.
    pub peak_memory_mb: f64,
    /// Longest chain of calls that did not overlap, up to the response.
    pub rounds: f64,
    /// The same of the calls after it: nobody waits for those.
    pub rounds_after: f64,
    /// TLS connections opened since that start.
    pub connections: f64,
    /// Requests that only opened a connection ahead of need; they count in no round.
    pub probes: f64,
}

/// A handler process that waits for events.
pub struct Session {
    name: HandlerName,
    world: StubAws,
    api: RuntimeApi,
    process: Process,
    // After the process: the cgroup can be removed only when its process has ended.
    cpu_quota: CpuQuota,
}

/// What every session of the run shares.
pub struct BenchSetup<'a> {
    pub authority: &'a Authority,
    /// The PEM file with what the handlers trust.
    pub roots: &'a Path,
    /// How processes are throttled.
    pub throttle: &'a Throttle,
    /// Added to the opening of every connection.
    pub connecting: Duration,
}

impl Session {
    /// Starts a handler and waits for nothing. What it calls before its first event has `latency` too.
    pub async fn start(handler: &Handler, setup: &BenchSetup<'_>, latency: Duration) -> Result<Self, Error> {
        let world = StubAws::open(setup.authority, setup.connecting).await?;
        world.state().latency = latency;
        let api = RuntimeApi::start().await?;
        let process = Process::start(handler.command(&world, api.address, setup.roots))?;
        let cpu_quota = setup.throttle.attach(process.pid())?;
        Ok(Self { name: handler.name, world, api, process, cpu_quota })
    }

    /// The first event of a process: the cold start, `small` with the CPU of a 128 MB function after init.
    pub async fn first(&mut self, workload: Workload, number: u64, latency: Duration, small: bool) -> Result<Sample, Error> {
        self.invoke(workload, number, latency, Some(small)).await
    }

    /// A later event of the same process.
    pub async fn again(&mut self, workload: Workload, number: u64, latency: Duration) -> Result<Sample, Error> {
        self.invoke(workload, number, latency, None).await
    }

    /// Ends the process.
    pub async fn end(mut self) -> Result<(), Error> {
        self.process.kill().await
    }

    async fn invoke(&mut self, workload: Workload, number: u64, latency: Duration, cold: Option<bool>) -> Result<Sample, Error> {
        let failed = |why: String, process: &Process| Error::Handler {
            handler: self.name.as_str(),
            workload: workload.name(),
            why,
            printed: process.printed(),
        };
        let event = Event::new(workload, number, &self.world);
        if cold.is_none() {
            self.world.reset();
        }
        // No reset before the first event: connections that were opened during init count.
        {
            let mut state = self.world.state();
            state.latency = latency;
            event.announce(&mut state);
        }
        let asked = tokio::select! {
            asked = self.api.asked() => asked,
            end = self.process.ended() => Err(end),
            () = tokio::time::sleep(TIME_LIMIT) => Err("it did not ask for an event in time".to_owned()),
        };
        let asked = asked.map_err(|why| failed(why, &self.process))?;
        if cold == Some(true) {
            self.cpu_quota.enforce()?;
        }
        let cpu_before = self.process.cpu_time()?;
        let handed_over = self.api.send_event(event.json.clone());
        let outcome = tokio::select! {
            outcome = self.api.outcome() => outcome,
            end = self.process.ended() => Err(end),
            () = tokio::time::sleep(TIME_LIMIT) => Err(format!("no outcome within {TIME_LIMIT:?}")),
        };
        let outcome = outcome.map_err(|why| failed(why, &self.process))?;
        let cpu_after = self.process.cpu_time()?;
        let state = self.world.state();
        let mut faults = faults(workload, self.name.depth(), &event, &state);
        faults.extend(outcome.result.err().map(|error| format!("it told Lambda of an error: {error}")));
        let Some(responded) = state.responded.filter(|_| faults.is_empty()) else {
            return Err(failed(faults.join("; "), &self.process));
        };
        let (start, cpu_start) = match cold {
            Some(_) => (self.process.started, Duration::ZERO),
            None => (handed_over, cpu_before),
        };
        let calls = |after| state.calls.iter().filter(move |it| (it.start > responded) == after).map(|it| (it.start, it.end));
        Ok(Sample {
            to_response_ms: ms(responded - start),
            to_done_ms: ms(outcome.at - start),
            init_ms: cold.map_or(0.0, |_| ms(asked.saturating_duration_since(self.process.started))),
            cpu_ms: ms(cpu_after.saturating_sub(cpu_start)),
            cpu_after_init_ms: ms(cpu_after.saturating_sub(cpu_before)),
            #[expect(clippy::cast_precision_loss, reason = "a size in kilobytes is far below 2^52")]
            peak_memory_mb: self.process.peak_memory_kb()? as f64 / 1024.0,
            #[expect(clippy::cast_precision_loss, reason = "about ten")]
            rounds: rounds::<Instant>(calls(false)) as f64,
            #[expect(clippy::cast_precision_loss, reason = "about ten")]
            rounds_after: rounds::<Instant>(calls(true)) as f64,
            #[expect(clippy::cast_precision_loss, reason = "about ten")]
            connections: state.connections as f64,
            #[expect(clippy::cast_precision_loss, reason = "about ten")]
            probes: state.probes as f64,
        })
    }
}

/// In milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
