//! The run: cycles in which every handler is measured once in each way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::handlers::{Handler, HandlerName};
use crate::network::{Network, Variant};
use crate::session::{BenchSetup, Session};
use crate::stats::{Measure, Sample};
use crate::workload::Workload;

/// How many later events each handler gets in one cycle, per workload and latency: they are short, and vary more.
const WARM_PER_CYCLE: usize = 3;

/// Everything that was measured.
pub(crate) type Samples = BTreeMap<(Network, Workload, Variant, HandlerName), Vec<Sample>>;

/// How much to measure.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    pub(crate) cycles: usize,
    /// With which networks.
    pub(crate) networks: Vec<Network>,
}

/// Runs the plan; `progress` gets a line now and then.
pub(crate) async fn run(
    plan: &RunPlan,
    handlers: &[Handler],
    setup: &BenchSetup<'_>,
    progress: &mut impl FnMut(&str),
) -> anyhow::Result<Samples> {
    let mut run = Run { handlers, setup, samples: Samples::new(), events: 0 };
    let mut warm = Vec::new();
    for handler in handlers {
        progress(&format!("first run of {}, not counted", handler.name.as_str()));
        // Brings its files into memory, and shows that it does the work before anything is measured.
        let number = run.number();
        let mut session = Session::start(handler, setup, Network::FreeConnections).await?;
        session.first(Workload::BillingExport, number, Duration::ZERO, None).await?;
        let number = run.number();
        session.again(Workload::AccountConnection, number, Duration::ZERO).await?;
        warm.push((handler.name, session));
    }
    for cycle in 0..plan.cycles {
        for network in &plan.networks {
            run.cold(*network, cycle).await?;
            run.warm(*network, cycle, &mut warm).await?;
        }
        progress(&format!(
            "cycle {} of {}: {}",
            cycle + 1,
            plan.cycles,
            plan.networks.first().map_or_else(String::new, |first| run.last_cold(*first))
        ));
    }
    for (_, session) in warm {
        session.end().await?;
    }
    Ok(run.samples)
}

struct Run<'a> {
    handlers: &'a [Handler],
    setup: &'a BenchSetup<'a>,
    samples: Samples,
    events: u64,
}

impl Run<'_> {
    fn number(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn keep(&mut self, network: Network, workload: Workload, variant: Variant, name: HandlerName, sample: Sample) {
        self.samples.entry((network, workload, variant, name)).or_default().push(sample);
    }

    async fn cold(&mut self, network: Network, cycle: usize) -> anyhow::Result<()> {
        for workload in Workload::ALL {
            for variant in [Variant::Cold, Variant::Cold128Mb, Variant::Cold512Mb] {
                for handler in in_turn(self.handlers, cycle).filter(|handler| network.measures(handler.name, variant)) {
                    let number = self.number();
                    let mut session = Session::start(handler, self.setup, network).await?;
                    let sample = session.first(workload, number, network.latency(), variant.memory_mb()).await?;
                    session.end().await?;
                    self.keep(network, workload, variant, handler.name, sample);
                }
            }
        }
        Ok(())
    }

    /// Connections are open by then, so that they cost the same with every network.
    async fn warm(&mut self, network: Network, cycle: usize, sessions: &mut [(HandlerName, Session)]) -> anyhow::Result<()> {
        for workload in Workload::ALL {
            for (variant, latency) in [(Variant::Warm, network.latency()), (Variant::WarmNoLatency, Duration::ZERO)] {
                for turn in 0..WARM_PER_CYCLE {
                    let count = sessions.len();
                    for place in 0..count {
                        let Some((name, session)) = sessions.get_mut((place + cycle + turn) % count) else { continue };
                        if !network.measures(*name, variant) {
                            continue;
                        }
                        let number = self.number();
                        let sample = session.again(workload, number, latency).await?;
                        self.keep(network, workload, variant, *name, sample);
                    }
                }
            }
        }
        Ok(())
    }

    fn last_cold(&self, network: Network) -> String {
        let last = |variant, name| {
            let sample = self.samples.get(&(network, Workload::BillingExport, variant, name)).and_then(|it| it.last());
            sample.and_then(|it| it.get(&Measure::ToResponseMs).copied()).unwrap_or_default()
        };
        let each = self.handlers.iter().map(|it| {
            let name = it.name;
            format!("{} {:.0} and {:.0} ms", name.as_str(), last(Variant::Cold, name), last(Variant::Cold128Mb, name))
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// All of them, another one first each time: none always runs in the wake of the same neighbour.
fn in_turn<T>(all: &[T], turn: usize) -> impl Iterator<Item = &T> {
    all.iter().cycle().skip(turn % all.len().max(1)).take(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_first_in_turn_and_none_is_left_out() {
        let all = ["a", "b", "c"];
        let order = |turn| in_turn(&all, turn).copied().collect::<String>();
        assert_eq!([order(0), order(1), order(2), order(3)], ["abc", "bca", "cab", "abc"]);
        assert_eq!(in_turn::<u8>(&[], 1).count(), 0);
    }
}
