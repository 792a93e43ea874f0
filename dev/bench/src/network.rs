//! What the network between a handler and what it calls costs. Each is measured in every cycle, and has a table of its own.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::handlers::HandlerName;
use crate::throttle::MEMORY_MB;

/// A way of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Variant {
    /// First event of a process, all the machine's CPU, with latency.
    Cold,
    /// The same with the CPU of a 128 MB function after init.
    Cold128Mb,
    /// The same with that of 512 MB; Hawser alone, for what a function's memory costs.
    Cold512Mb,
    /// Later events, with latency.
    Warm,
    /// Later events, without.
    WarmNoLatency,
}

impl Variant {
    /// The memory of the function whose CPU it has after init; none: all the machine's.
    pub(crate) fn memory_mb(self) -> Option<u32> {
        match self {
            Self::Cold128Mb => Some(MEMORY_MB),
            Self::Cold512Mb => Some(4 * MEMORY_MB),
            Self::Cold | Self::Warm | Self::WarmNoLatency => None,
        }
    }
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Network {
    /// A function in the Region that it calls: a new connection costs two round trips.
    Near,
    /// The same, with connections that cost their CPU time only.
    FreeConnections,
    /// A function in Sydney, whose billing services are in us-east-1.
    Far,
}

impl Network {
    pub(crate) const ALL: [Self; 3] = [Self::Near, Self::FreeConnections, Self::Far];

    /// Added to every call.
    pub(crate) fn latency(self) -> Duration {
        Duration::from_millis(if self == Self::Far { 200 } else { 30 })
    }

    /// Added to the opening of every connection.
    pub(crate) fn connecting(self) -> Duration {
        Duration::from_millis(match self {
            Self::Near => 60,
            Self::FreeConnections => 0,
            Self::Far => 400,
        })
    }

    /// Whether a handler is measured so. A far network says little that a near one does not, and takes long.
    pub(crate) fn measures(self, name: HandlerName, variant: Variant) -> bool {
        if variant == Variant::Cold512Mb {
            return self == Self::Near && name == HandlerName::Hawser;
        }
        self != Self::Far || (name != HandlerName::Python && matches!(variant, Variant::Cold | Variant::Warm))
    }
}
