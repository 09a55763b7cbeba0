//! One link of a member, run as the driver's connection runs it, in the order of its calls; what the owner hears goes through the
//! driver's own queues.

use crate::driver::deliveries::Deliveries;
use crate::driver::outbox::{Admitted, Outbox};
use crate::link::{stun, ChannelId, Datagram, Link, Output, Report, SendError};
use crate::protocol::ConnectionId;
use bytes::BytesMut;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

pub(super) struct Slot {
    pub id: ConnectionId,
    pub link: Link,
    pub deliveries: Deliveries,
    pub outbox: Outbox,
    pub ufrag: Option<String>,
    /// What the member's table knows of us.
    pub addresses: Vec<SocketAddr>,
    settled: Option<SocketAddr>,
    /// The earliest deadline that is planned.
    pub armed: Option<Instant>,
    /// Its owner reads.
    pub started: bool,
    pub open: bool,
    /// Closed by its owner, but what is queued may leave until then.
    pub flushing: Option<Instant>,
    pub gone: bool,
    /// Everything that was sent is acknowledged. A part of it says nothing: the engine counts what came out of order, too.
    pub acknowledged: bool,
    /// Of the other side's, by name.
    pub streams: BTreeSet<String>,
}

/// What a pump gave.
pub(super) struct Pumped {
    pub datagrams: Vec<Datagram>,
    /// Addresses that are this link's, and whether they have proved it.
    pub learned: Vec<(SocketAddr, bool)>,
    /// To be planned.
    pub deadline: Option<Instant>,
}

impl Slot {
    pub fn new(id: ConnectionId, link: Link, outbox: Outbox) -> Self {
        Self {
            id,
            ufrag: link.local_ufrag(),
            link,
            deliveries: Deliveries::default(),
            outbox,
            addresses: Vec::new(),
            settled: None,
            armed: None,
            started: false,
            open: false,
            flushing: None,
            gone: false,
            acknowledged: false,
            streams: BTreeSet::new(),
        }
    }

    /// On `fast`; as from the application unless it is urgent. What waits leaves by the next pump.
    pub fn send(&mut self, now: Instant, is_text: bool, data: BytesMut, urgent: bool) -> Result<(), SendError> {
        if !urgent {
            if let Admitted::Later { .. } = self.outbox.admit(is_text, &data)? {
                return Ok(());
            }
        }
        if self.gone || self.flushing.is_some() {
            return Err(SendError::NotOpen);
        }
        let taken = self.feed(now, true);
        let sent = self.link.send(now, ChannelId::FAST, is_text, data, true);
        self.outbox.look(self.link.fast(), taken);
        sent.map(|_| ())
    }

    fn feed(&mut self, now: Instant, all: bool) -> usize {
        let mut bytes = 0;
        for message in self.outbox.take(all) {
            bytes += message.data.len();
            // Only the end of the link can be in its way.
            let _ = self.link.send(now, ChannelId::FAST, message.is_text, message.data, true);
        }
        bytes
    }

    pub fn pump(&mut self, now: Instant) -> Pumped {
        let reading = self.flushing.is_some() || self.started;
        let mut output = Output::default();
        let taken = self.feed(now, self.flushing.is_some());
        let mut deadline = self.link.pump(now, reading, &mut output);
        let fast = self.link.fast();
        self.acknowledged = fast.is_some_and(|fast| fast.outstanding == 0) && self.outbox.is_empty();
        if self.outbox.settle(fast, taken) {
            output.reports.push(Report::Writable(ChannelId::FAST));
        }
        self.open |= output.reports.iter().any(|report| matches!(report, Report::Open));
        if let Some(until) = self.flushing {
            let over = self.link.is_ended() || now >= until || self.link.buffered_in_all() == 0;
            if over {
                self.say_goodbye(now, &mut output);
                self.gone = true;
            } else {
                deadline = Some(deadline.map_or(until, |deadline| deadline.min(until)));
            }
        }
        let learned = self.learn(&output.datagrams);
        let deadline = deadline.filter(|deadline| !self.gone && self.armed.is_none_or(|armed| *deadline < armed));
        self.armed = deadline.or(self.armed);
        self.deliveries.push(output.reports);
        Pumped { datagrams: output.datagrams, learned, deadline }
    }

    /// It is over, and its owner knows. `ours`: the other side does not.
    pub fn vanish(&mut self, now: Instant, ours: bool) -> Vec<Datagram> {
        let mut output = Output::default();
        if !std::mem::replace(&mut self.gone, true) && ours {
            self.say_goodbye(now, &mut output);
        }
        output.datagrams
    }

    fn say_goodbye(&mut self, now: Instant, output: &mut Output) {
        self.link.close();
        self.link.pump(now, false, output);
    }

    fn learn(&mut self, datagrams: &[Datagram]) -> Vec<(SocketAddr, bool)> {
        let mut learned = Vec::new();
        for datagram in datagrams {
            if self.settled == Some(datagram.remote) || !stun::is_stun(&datagram.data) {
                continue;
            }
            let certain = stun::is_binding_success(&datagram.data);
            if certain {
                self.settled = Some(datagram.remote);
            }
            let known = self.addresses.contains(&datagram.remote);
            if !known {
                self.addresses.push(datagram.remote);
            }
            if certain || !known {
                learned.push((datagram.remote, certain));
            }
        }
        learned
    }
}
