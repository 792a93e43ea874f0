//! One handler process: started with Lambda's environment and nothing else, measured from outside, always ended.

use std::collections::VecDeque;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// Lines of the handler's output that are kept to explain a failure.
const KEPT_LINES: usize = 30;

/// How often the end of a killed process is looked for, a millisecond apart.
const KILL_POLLS: usize = 200;

/// A running handler. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// Just before the process was asked for.
    pub(crate) started: Instant,
    printed: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts `command` with its output kept.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn().context(format!("starting {:?}", command.as_std().get_program()))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let pid = pid.context("a process without an id")?;
        let printed = Arc::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(keep(out, Arc::clone(&printed)));
        }
        if let Some(out) = child.stderr.take() {
            tokio::spawn(keep(out, Arc::clone(&printed)));
        }
        Ok(Self { child, pid, started, printed })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// CPU time of all its threads so far, ended ones included, to the nanosecond.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time(self.pid)
    }

    /// The most memory it ever held (`VmHWM`), in kilobytes.
    pub(crate) fn peak_memory_kb(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).context(format!("reading `{path}`"))?;
        peak_of(&status).with_context(|| format!("`{path}` has no `VmHWM`"))
    }

    /// Waits until it ends by itself, which no handler should.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("the process ended: {status}"),
            Err(error) => format!("the process cannot be waited for: {error}"),
        }
    }

    /// Ends it and waits for the end, so that it takes no CPU from the next sample.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("ending a handler")
    }

    /// The tail of what it printed.
    pub(crate) fn printed(&self) -> String {
        let lines = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After an error nobody awaited the end. It must have ended before its cgroup can be removed, and SIGKILL is quick.
        if self.child.start_kill().is_ok() {
            for _ in 0..KILL_POLLS {
                match self.child.try_wait() {
                    Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                    _ => return,
                }
            }
        }
    }
}

/// CPU time of process `pid`.
pub(crate) fn cpu_time(pid: Pid) -> anyhow::Result<Duration> {
    let spec = clock_getcpuclockid(pid).and_then(clock_gettime);
    Ok(spec.with_context(|| format!("reading the CPU clock of process {pid}"))?.into())
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

async fn keep(out: impl AsyncRead + Unpin, into: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status() {
        let status = "Name:\tbootstrap\nVmPeak:\t  99999 kB\nVmHWM:\t   16384 kB\nVmRSS:\t   12000 kB\n";
        assert_eq!(peak_of(status), Some(16_384));
        assert_eq!(peak_of("Name:\tbootstrap\n"), None);
    }

    #[test]
    fn our_own_cpu_clock_moves_forward() {
        let before = cpu_time(Pid::this()).ok();
        let mut sum = 0_u64;
        for i in 0..2_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i * i));
        }
        let after = cpu_time(Pid::this()).ok();
        assert!(before.is_some() && after > before, "{before:?} {after:?} {sum}");
    }
}
