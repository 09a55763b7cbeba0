//! What is going to happen, in the order of virtual time.

use rtcswarm::hub::CloseReason;
use rtcswarm::mesh::{LinkEnd, LinkState};
use rtcswarm::protocol::{ConnectionId, Control, ServerMessage};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

#[derive(Debug)]
pub enum Happening {
    ToServer {
        socket: usize,
        text: String,
    },
    ToClient {
        socket: usize,
        message: ServerMessage,
    },
    Ping {
        socket: usize,
    },
    Pong {
        socket: usize,
    },
    ClosedByServer {
        socket: usize,
        reason: CloseReason,
    },
    ClosedByClient {
        socket: usize,
    },
    Connect {
        node: usize,
    },
    ServerNotices {
        socket: usize,
    },
    ClientNotices {
        socket: usize,
    },
    Candidate {
        node: usize,
        connection: ConnectionId,
        last: bool,
    },
    /// `forced`: at this end only, whatever the path is like.
    Opens {
        connection: ConnectionId,
        side: usize,
        forced: bool,
    },
    Control {
        connection: ConnectionId,
        side: usize,
        control: Control,
    },
    /// With a number only if the path is still as it was then.
    Ends {
        connection: ConnectionId,
        side: usize,
        cause: LinkEnd,
        path: Option<u32>,
    },
    PathState {
        connection: ConnectionId,
        side: usize,
        state: LinkState,
        path: u32,
    },
    Heals {
        connection: ConnectionId,
        path: u32,
    },
    Timer {
        node: usize,
    },
    Wakes {
        node: usize,
    },
    HubTimer,
}

/// By time, and at the same time by when it was planned.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<(Duration, u64, Entry)>>,
    planned: u64,
}

impl Queue {
    pub fn plan(&mut self, at: Duration, happening: Happening) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, Entry(happening))));
    }

    pub fn pop_until(&mut self, until: Duration) -> Option<(Duration, Happening)> {
        if self.heap.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            self.heap.pop().map(|Reverse((at, _, Entry(happening)))| (at, happening))
        } else {
            None
        }
    }
}

/// Sortable, and equal to every other: time and number come first.
#[derive(Debug)]
struct Entry(Happening);

impl PartialEq for Entry {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
