//! Whom a datagram is for, and who wants to be woken when.

use super::connection::Connection;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A connection's place in the table; never used again in this swarm.
pub(super) type Key = u64;

/// STUN binding requests are routed by our ICE fragment, all else by the remote address, which is learned from what the
/// engine sends: it sends to nobody that it has not authenticated, or was not told of by signaling.
#[derive(Default)]
pub(super) struct Table {
    connections: HashMap<Key, Arc<Connection>>,
    by_address: HashMap<SocketAddr, Arc<Connection>>,
    by_ufrag: HashMap<String, Arc<Connection>>,
    next: Key,
}

impl Table {
    pub fn next_key(&mut self) -> Key {
        self.next += 1;
        self.next
    }

    pub fn insert(&mut self, connection: &Arc<Connection>, ufrag: Option<String>) {
        self.connections.insert(connection.key(), connection.clone());
        if let Some(ufrag) = ufrag {
            self.by_ufrag.insert(ufrag, connection.clone());
        }
    }

    pub fn rename(&mut self, connection: &Arc<Connection>, from: Option<&str>, to: Option<&str>) {
        if let Some(from) = from {
            self.by_ufrag.remove(from);
        }
        if let Some(to) = to {
            self.by_ufrag.insert(to.to_owned(), connection.clone());
        }
    }

    pub fn get(&self, key: Key) -> Option<&Arc<Connection>> {
        self.connections.get(&key)
    }

    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.connections.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// `certain`: the address has proved that it is this connection's. Otherwise who was first keeps it.
    pub fn learn(&mut self, address: SocketAddr, connection: &Arc<Connection>, certain: bool) {
        if !self.connections.contains_key(&connection.key()) {
            return;
        }
        if certain {
            self.by_address.insert(address, connection.clone());
        } else {
            self.by_address.entry(address).or_insert_with(|| connection.clone());
        }
    }

    pub fn by_ufrag(&self, ufrag: &str) -> Option<&Arc<Connection>> {
        self.by_ufrag.get(ufrag)
    }

    pub fn by_address(&self, address: &SocketAddr) -> Option<&Arc<Connection>> {
        self.by_address.get(address)
    }

    pub fn remove(&mut self, key: Key, ufrag: Option<&str>, addresses: &[SocketAddr]) {
        self.connections.remove(&key);
        if let Some(ufrag) = ufrag {
            self.by_ufrag.remove(ufrag);
        }
        self.unlearn(key, addresses);
    }

    /// Addresses that are this connection's no more.
    pub fn unlearn(&mut self, key: Key, addresses: &[SocketAddr]) {
        for address in addresses {
            if self.by_address.get(address).is_some_and(|connection| connection.key() == key) {
                self.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
impl Table {
    /// Connections, addresses, fragments.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.connections.len(), self.by_address.len(), self.by_ufrag.len())
    }
}

/// Deadlines, lazily: a connection's newer and later deadline does not remove the older one, which then finds nothing due.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Until when the driver's task sleeps.
    pub sleeping_until: Option<Instant>,
}

impl Timers {
    /// Whether the task sleeps too long for this.
    pub fn arm(&mut self, at: Instant, key: Key) -> bool {
        self.heap.push(Reverse((at, key)));
        self.sleeping_until.is_some_and(|until| at < until)
    }

    /// One connection that is due, or when the next one is.
    pub fn pop_due(&mut self, now: Instant) -> Result<Key, Option<Instant>> {
        match self.heap.peek() {
            Some(Reverse((at, key))) if *at <= now => {
                let key = *key;
                self.heap.pop();
                Ok(key)
            }
            next => Err(next.map(|Reverse((at, _))| *at)),
        }
    }
}
