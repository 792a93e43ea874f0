//! The connections of strangers that are open, and which of them has to go when there are too many.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// Open connections of strangers. Together with the database's files and the calls to AWS it stays below the 1,024 file descriptors
/// that a program has where nobody raised the limit.
const CONNECTIONS_MAX: usize = 512;
/// One subscriber has a whole network of this many bits in IPv6 (RFC 6177), so that is what counts as one address.
const IPV6_NETWORK_BITS: u32 = 64;

/// What counts as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> IPV6_NETWORK_BITS << IPV6_NETWORK_BITS).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// All of them.
#[derive(Clone, Default)]
pub(super) struct Slots {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// By age: the number of a connection only grows.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

struct Connection {
    network: IpAddr,
    state: Arc<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Its request is here, and has no answer yet.
    works: AtomicBool,
    lost: Notify,
}

/// One connection's place; it is free again when this is dropped.
pub struct Slot {
    number: u64,
    state: Arc<State>,
    slots: Slots,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Slots {
    /// A slot for a connection from this address, at the cost of a waiting one where all are taken. None where all are at work.
    pub(super) fn take(&self, address: IpAddr) -> Option<Slot> {
        let mut open = self.lock();
        if open.connections.len() >= CONNECTIONS_MAX {
            let victim = open.oldest_of_the_largest()?;
            if let Some(victim) = open.connections.remove(&victim) {
                victim.state.lost.notify_one();
            }
        }
        let (number, state) = (open.next, Arc::<State>::default());
        open.next += 1;
        open.connections.insert(number, Connection { network: network(address), state: Arc::clone(&state) });
        drop(open);
        Some(Slot { number, state, slots: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The oldest connection that waits, of the network that has most of those.
    fn oldest_of_the_largest(&self) -> Option<u64> {
        let mut waiting: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, connection) in &self.connections {
            if !connection.state.works.load(Ordering::Relaxed) {
                waiting.entry(connection.network).or_insert((0, *number)).0 += 1;
            }
        }
        waiting.into_values().max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest))).map(|(_, oldest)| oldest)
    }
}

impl Slot {
    /// Says that the request is here whole: until the answer, which `Working` stands for, nobody else gets the slot.
    pub fn work(self: &Arc<Self>) -> Working {
        self.state.works.store(true, Ordering::Relaxed);
        Working(Arc::clone(self))
    }

    /// Until another connection has the slot.
    pub(super) async fn lost(&self) {
        self.state.lost.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().connections.remove(&self.number);
    }
}

/// A request that is being answered.
pub struct Working(Arc<Slot>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.state.works.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// F-61.
    #[test]
    fn the_largest_network_loses_its_oldest() {
        let slots = Slots::default();
        let honest = slots.take(address(1)).unwrap();
        let crowd: Vec<_> = (1..CONNECTIONS_MAX).map(|_| Arc::new(slots.take(address(2)).unwrap())).collect();
        let _working = crowd[0].work();
        let _next = slots.take(address(3)).unwrap();
        let is_open = |slot: &Slot| slots.lock().connections.contains_key(&slot.number);
        assert!(is_open(&honest) && is_open(&crowd[0]) && !is_open(&crowd[1]) && is_open(&crowd[2]));
        assert_eq!(slots.lock().connections.len(), CONNECTIONS_MAX);
        drop(crowd);
        assert_eq!(slots.lock().connections.len(), 3, "honest, next, and the one at work");
    }

    #[test]
    fn nothing_at_work_is_lost() {
        let slots = Slots::default();
        let all: Vec<_> = (0..CONNECTIONS_MAX).map(|_| Arc::new(slots.take(address(2)).unwrap())).collect();
        let mut working: Vec<_> = all.iter().map(Slot::work).collect();
        assert!(slots.take(address(1)).is_none());
        working.pop();
        assert!(slots.take(address(1)).is_some());
    }

    #[test]
    fn networks() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
