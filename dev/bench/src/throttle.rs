//! The CPU of a small function. Lambda gives 1,769 MB one whole core, and less memory its share of one; it runs the init
//! phase at full speed. So a process is attached while it starts, and its quota is enforced when it asks for its first event.
//!
//! With a writable cgroup v1 `cpu` controller the kernel's own bandwidth control does it (`cpu.cfs_quota_us`), as on Lambda.
//! Elsewhere the process is stopped and continued by signals, by the same account: a quota per period, debt carried, savings not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::cpu_time;

/// What Lambda gives least, and the template's default.
pub(crate) const MEMORY_MB: u32 = 128;
/// The memory that buys one whole core, AWS Lambda Developer Guide, "Configure Lambda function memory".
pub(crate) const MEMORY_OF_ONE_CORE_MB: u32 = 1_769;
/// How often the quota is filled up. Lambda does not say; published measurements of its throttling see 20 ms.
pub(crate) const PERIOD: Duration = Duration::from_millis(20);
/// How often the signal throttle looks: a small part of the period, and far above what a look costs.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Where the cgroup v1 `cpu` controller is usually mounted.
const CPU_MOUNTS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"];

/// CPU time per period.
fn quota(memory_mb: u32) -> Duration {
    PERIOD * memory_mb / MEMORY_OF_ONE_CORE_MB
}

/// How processes are throttled on this machine.
#[derive(Debug, Clone)]
pub(crate) enum Throttle {
    /// By the kernel, in a cgroup made below this one.
    Cgroup(PathBuf),
    /// By stopping and continuing the process.
    Signals,
}

impl Throttle {
    /// The kernel's way where we may, else signals.
    pub(crate) fn find() -> Self {
        CPU_MOUNTS.iter().map(Path::new).find(|it| try_cgroup(it).is_ok()).map_or(Self::Signals, |it| Self::Cgroup(it.to_owned()))
    }

    /// Which way, for the record.
    pub(crate) fn describe(&self) -> String {
        let (quota, period) = (quota(MEMORY_MB).as_micros(), PERIOD.as_micros());
        match self {
            Self::Cgroup(_) => format!("cgroup v1 bandwidth, {quota} us in every {period} us"),
            Self::Signals => format!("SIGSTOP and SIGCONT by the process's CPU clock, {quota} us in every {period} us"),
        }
    }

    /// Attaches to `pid` without slowing it yet.
    pub(crate) fn attach(&self, pid: Pid) -> anyhow::Result<CpuQuota> {
        Ok(match self {
            Self::Cgroup(parent) => CpuQuota::Cgroup(Cgroup::around(parent, pid)?),
            Self::Signals => CpuQuota::Signals { pid, stop: Arc::default(), thread: None },
        })
    }
}

fn try_cgroup(parent: &Path) -> anyhow::Result<()> {
    Cgroup::make(parent, "try")?.set_quota(MEMORY_MB)
}

/// The CPU quota of one process. Lifted when dropped.
#[derive(Debug)]
pub(crate) enum CpuQuota {
    /// See [`Throttle::Cgroup`].
    Cgroup(Cgroup),
    /// See [`Throttle::Signals`].
    Signals {
        pid: Pid,
        /// Set when the thread is to end.
        stop: Arc<AtomicBool>,
        /// Watches the CPU clock once the quota is enforced.
        thread: Option<thread::JoinHandle<()>>,
    },
}

impl CpuQuota {
    /// From now on the process has the CPU of a function of this memory.
    pub(crate) fn enforce(&mut self, memory_mb: u32) -> anyhow::Result<()> {
        match self {
            Self::Cgroup(group) => group.set_quota(memory_mb),
            Self::Signals { pid, stop, thread } => {
                let (pid, stop) = (*pid, Arc::clone(stop));
                let (used, quota) = (cpu_time(pid)?, quota(memory_mb));
                *thread = Some(thread::spawn(move || hold(pid, used, quota, &stop)));
                Ok(())
            }
        }
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        if let Self::Signals { stop, thread, .. } = self {
            stop.store(true, Ordering::Relaxed);
            if let Some(thread) = thread.take() {
                // A panic of that thread has been printed; the process is about to be killed in any case.
                let _ = thread.join();
            }
        }
    }
}

/// A cgroup of our own, removed when dropped (its process must have ended by then).
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    fn make(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let path = parent.join(format!("hawser-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path).context(format!("making `{}`", path.display()))?;
        Ok(Self { path })
    }

    fn around(parent: &Path, pid: Pid) -> anyhow::Result<Self> {
        let group = Self::make(parent, &pid.to_string())?;
        group.write("cgroup.procs", &pid.to_string())?;
        Ok(group)
    }

    fn set_quota(&self, memory_mb: u32) -> anyhow::Result<()> {
        self.write("cpu.cfs_period_us", &PERIOD.as_micros().to_string())?;
        self.write("cpu.cfs_quota_us", &quota(memory_mb).as_micros().to_string())
    }

    fn write(&self, file: &str, value: &str) -> anyhow::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, value).context(format!("writing `{value}` to `{}`", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // An empty group that stays costs nothing, and there is nobody to tell.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The account that decides whether a process may run, as the kernel's bandwidth control keeps it.
#[derive(Debug)]
struct Allowance {
    quota: i128,
    period: Duration,
    left: i128,
    used: Duration,
    periods: u128,
}

impl Allowance {
    fn new(quota: Duration, period: Duration, used: Duration) -> Self {
        let quota = nanos(quota);
        Self { quota, period, left: quota, used, periods: 0 }
    }

    /// Whether the process may run, `elapsed` after the start with `used` CPU time on its clock.
    fn may_run(&mut self, elapsed: Duration, used: Duration) -> bool {
        self.left -= nanos(used.saturating_sub(self.used));
        self.used = used;
        let periods = elapsed.as_nanos() / self.period.as_nanos();
        let passed = i128::try_from(periods - self.periods).unwrap_or(i128::MAX);
        self.periods = periods;
        // A debt is paid off period by period; what was not used is gone.
        self.left = self.left.saturating_add(self.quota.saturating_mul(passed)).min(self.quota);
        self.left > 0
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn hold(pid: Pid, used: Duration, quota: Duration, stop: &AtomicBool) {
    let start = Instant::now();
    let mut allowance = Allowance::new(quota, PERIOD, used);
    let mut running = true;
    while !stop.load(Ordering::Relaxed) {
        // No clock, no signal: the process has ended.
        let Ok(used) = cpu_time(pid) else { return };
        let may = allowance.may_run(start.elapsed(), used);
        if may != running {
            let signal = if may { Signal::SIGCONT } else { Signal::SIGSTOP };
            if kill(pid, signal).is_err() {
                return;
            }
            running = may;
        }
        thread::sleep(POLL_INTERVAL);
    }
    if !running {
        let _ = kill(pid, Signal::SIGCONT);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn allowance() -> Allowance {
        Allowance::new(us(1_000), us(20_000), us(500))
    }

    #[test]
    fn the_quota_is_the_share_of_a_128_mb_function() {
        assert_eq!(quota(MEMORY_MB).as_micros(), 1_447);
    }

    #[test]
    fn what_was_used_before_does_not_count() {
        assert!(allowance().may_run(us(0), us(500)));
    }

    #[test]
    fn a_period_gives_its_quota_and_no_more() {
        let mut it = allowance();
        assert!(it.may_run(us(900), us(1_400)));
        assert!(!it.may_run(us(1_100), us(1_500)), "1,000 us used");
        assert!(!it.may_run(us(19_999), us(1_500)), "still the first period");
        assert!(it.may_run(us(20_000), us(1_500)), "the next period fills it up");
    }

    #[test]
    fn a_debt_is_paid_before_it_runs_again() {
        let mut it = allowance();
        assert!(!it.may_run(us(5_000), us(4_000)), "3,500 us used of 1,000");
        assert!(!it.may_run(us(20_000), us(4_000)));
        assert!(!it.may_run(us(40_000), us(4_000)));
        assert!(it.may_run(us(60_000), us(4_000)), "4,000 granted, 3,500 used");
        assert!(!it.may_run(us(61_000), us(4_500)), "and the rest of it used up");
    }

    #[test]
    fn what_is_not_used_is_not_saved() {
        let mut it = allowance();
        assert!(it.may_run(us(200_000), us(500)), "idle for ten periods");
        assert!(!it.may_run(us(201_000), us(1_500)), "one quota, not ten");
    }

    #[test]
    fn signals_hold_a_busy_process_to_its_share() {
        // Not a timed test: only that it is held at all, and far below a whole core.
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(busy.id()).unwrap());
        let mut cpu_quota = Throttle::Signals.attach(pid).unwrap();
        cpu_quota.enforce(MEMORY_MB).unwrap();
        let (start, before) = (Instant::now(), cpu_time(pid).unwrap());
        while start.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(20));
        }
        let (elapsed, used) = (start.elapsed(), cpu_time(pid).unwrap().saturating_sub(before));
        drop(cpu_quota);
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used * 2 < elapsed, "{used:?} used in {elapsed:?}");
    }
}
