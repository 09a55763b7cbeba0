//! The world in which whole swarms run: virtual time, a queue of what happens next, and members whose links exchange real datagrams.

use super::journal::Journal;
use super::member::{Key, Letter, Life, Member};
use super::network::{Fate, Network, Weather};
use super::pairs::Pairs;
use super::signaling::Signaling;
use super::source;
use super::traffic::Ledger;
use super::Outcome;
use crate::hub::{CloseReason, HubConfig};
use crate::link::{stun, Datagram};
use crate::mesh::Input;
use crate::protocol::{ConnectionId, ServerMessage};
use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) enum Happening {
    ToServer {
        socket: usize,
        text: String,
    },
    Ping {
        socket: usize,
    },
    Pong {
        socket: usize,
    },
    ToClient {
        socket: usize,
        message: ServerMessage,
    },
    ClosedByServer {
        socket: usize,
        reason: CloseReason,
    },
    ServerNotices {
        socket: usize,
    },
    ClientNotices {
        socket: usize,
    },
    Connect {
        node: usize,
    },
    HubTimer,
    Timer {
        node: usize,
    },
    LinkTimer {
        node: usize,
        key: Key,
    },
    /// The member's addresses are known to this link.
    Gathered {
        node: usize,
        key: Key,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        data: BytesMut,
    },
    /// The application of a member says something to its peers.
    Talk {
        node: usize,
    },
}

pub(super) struct World {
    pub random: StdRng,
    pub now: Duration,
    pub journal: Journal,
    pub members: Vec<Member>,
    pub network: Network,
    pub signaling: Signaling,
    pub ledger: Ledger,
    pub pairs: Pairs,
    pub close_timeout: Duration,
    /// Links of which the server has told a member that the other end left, and that were open.
    pub said_to_have_left: BTreeSet<ConnectionId>,
    /// Between two messages of one member to its peers; none: they are silent.
    pub talk: Option<Duration>,
    start: Instant,
    queue: BTreeMap<(Duration, u64), Happening>,
    planned: u64,
    pub peer_ids: Arc<AtomicU64>,
}

impl World {
    pub fn new(random: StdRng, traced: bool, hub: HubConfig, latency: Duration, weather: Weather) -> Self {
        Self {
            random,
            now: Duration::ZERO,
            journal: Journal::new(traced),
            members: Vec::new(),
            network: Network::new(weather),
            signaling: Signaling::new(hub, latency),
            ledger: Ledger::default(),
            pairs: Pairs::default(),
            close_timeout: Duration::from_secs(1),
            said_to_have_left: BTreeSet::new(),
            talk: Some(Duration::from_millis(700)),
            start: Instant::now(),
            queue: BTreeMap::new(),
            planned: 0,
            peer_ids: Arc::new(AtomicU64::new(1)),
        }
    }

    pub fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// Of what has passed already: the beginning.
    pub fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.random.random_range(low.as_micros() as u64..=high.as_micros() as u64))
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    pub fn say(&mut self, text: String) {
        self.journal.say(self.now, text);
    }

    pub fn name(&self, node: usize) -> String {
        format!("{}#{node}", self.members[node].user_id)
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|node| self.members[*node].life == Life::Running).collect()
    }

    pub fn plan(&mut self, at: Duration, happening: Happening) {
        self.planned += 1;
        self.queue.insert((at.max(self.now), self.planned), happening);
    }

    pub fn run_until(&mut self, until: Duration) -> Outcome {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            source::set_time(at);
            self.happen(happening)?;
        }
        self.now = until;
        source::set_time(until);
        Ok(())
    }

    /// Whose processor it takes.
    fn worker(&self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Timer { node }
            | Happening::LinkTimer { node, .. }
            | Happening::Gathered { node, .. }
            | Happening::Talk { node }
            | Happening::Connect { node } => Some(*node),
            Happening::Datagram { to, .. } => self.network.host(*to),
            Happening::ToClient { socket, .. }
            | Happening::ClosedByServer { socket, .. }
            | Happening::Pong { socket }
            | Happening::ClientNotices { socket } => Some(self.signaling.owner(*socket)),
            Happening::ToServer { .. }
            | Happening::Ping { .. }
            | Happening::ServerNotices { .. }
            | Happening::HubTimer => None,
        }
    }

    fn happen(&mut self, happening: Happening) -> Outcome {
        let asleep = self.worker(&happening).map(|node| self.members[node].asleep);
        if let Some(until) = asleep.filter(|until| self.now < *until) {
            // In the order in which they were due.
            self.plan(until, happening);
            return Ok(());
        }
        match happening {
            Happening::Timer { node } => self.mesh_timeout(node),
            Happening::LinkTimer { node, key } => self.link_timeout(node, key),
            Happening::Gathered { node, key } => {
                self.announce(node, key);
                self.settle(node)
            }
            Happening::Datagram { from, to, data } => self.arrive(from, to, data),
            Happening::Talk { node } => self.talk(node),
            other => self.happen_in_signaling(other),
        }
    }

    fn mesh_timeout(&mut self, node: usize) -> Outcome {
        if self.members[node].timer.is_none_or(|at| self.now < at) || self.members[node].life != Life::Running {
            return Ok(());
        }
        self.members[node].timer = None;
        self.input(node, Input::Timeout)?;
        match self.members[node].mesh.poll_timeout() {
            Some(at) if at <= self.instant() => Err(format!("{}: a deadline that does not pass", self.name(node))),
            _ => Ok(()),
        }
    }

    /// It may have been overtaken by an earlier one.
    fn link_timeout(&mut self, node: usize, key: Key) -> Outcome {
        let now = self.instant();
        let Some(slot) = self.members[node].table.slots.get_mut(&key) else { return Ok(()) };
        if slot.armed.is_none_or(|armed| armed > now) {
            return Ok(());
        }
        slot.armed = None;
        self.pump(node, key)?;
        self.settle(node)
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, data: BytesMut) -> Outcome {
        let Some(node) = self.network.host(to) else { return Ok(()) };
        let now = self.instant();
        let Member { table, base, .. } = &mut self.members[node];
        let found = table.route(from, &data);
        let Some((key, slot)) = found.and_then(|key| Some((key, table.slots.get_mut(&key)?))) else {
            self.journal.count("unrouted datagram");
            return Ok(());
        };
        if !slot.gone {
            slot.link.handle_datagram(now, *base, from, data);
        }
        self.pump(node, key)?;
        self.settle(node)
    }

    /// Takes out what a link has to say, and passes it on.
    pub fn pump(&mut self, node: usize, key: Key) -> Outcome {
        let now = self.instant();
        let table = &mut self.members[node].table;
        let Some(slot) = table.slots.get_mut(&key).filter(|slot| !slot.gone) else { return Ok(()) };
        let pumped = slot.pump(now);
        let (gone, acknowledged, id) = (slot.gone, slot.acknowledged, slot.id.clone());
        for (address, certain) in pumped.learned {
            table.learn(address, key, certain);
        }
        if let Some(deadline) = pumped.deadline {
            self.plan(self.since_start(deadline), Happening::LinkTimer { node, key });
        }
        self.transmit(node, pumped.datagrams)?;
        if gone {
            self.members[node].table.remove(key);
        } else {
            self.deliver(node, key)?;
            if acknowledged {
                self.check_acknowledged(node, &id)?;
            }
        }
        Ok(())
    }

    /// What the other side has acknowledged it has delivered, if its application reads.
    fn check_acknowledged(&mut self, node: usize, id: &ConnectionId) -> Outcome {
        let reads = |member: &Member| {
            let slot = member.table.of(id);
            member.life == Life::Running && slot.is_some_and(|slot| slot.started && slot.flushing.is_none())
        };
        let others = (0..self.members.len()).filter(|other| *other != node);
        match others.map(|other| &self.members[other]).find(|other| reads(other)) {
            Some(other) => self
                .ledger
                .is_complete(id, node)
                .map_err(|error| format!("{} has acknowledged everything, and yet: {error}", other.user_id)),
            None => Ok(()),
        }
    }

    pub fn transmit(&mut self, node: usize, datagrams: Vec<Datagram>) -> Outcome {
        for Datagram { local, remote, data } in datagrams {
            let Member { base, seen, .. } = self.members[node];
            if local != base {
                return Err(format!("{} sends from {local}, which is not its own", self.name(node)));
            }
            let fate = self.network.fate(&mut self.random, self.now, node, remote);
            self.journal.note(self.now, &data, || {
                let kind = match &data[..] {
                    data if stun::is_stun(data) => "STUN",
                    data if stun::is_dtls(data) => "DTLS",
                    _ => "other",
                };
                format!("#{node} {seen} -> {remote}: {kind}, {} bytes: {fate:?}", data.len())
            });
            let copies = match fate {
                Fate::Arrives => 1,
                Fate::Twice => 2,
                Fate::Lost | Fate::Cut | Fate::Nowhere => 0,
            };
            self.journal.count(match fate {
                Fate::Arrives => "datagram that arrives",
                Fate::Twice => "datagram that arrives twice",
                Fate::Lost => "datagram that is lost",
                Fate::Cut => "datagram into a cut",
                Fate::Nowhere => "datagram to nowhere",
            });
            for _ in 0..copies {
                let way = self.network.way(&mut self.random);
                let copy = Happening::Datagram { from: seen, to: remote, data: data.clone() };
                self.plan(self.now + way, copy);
            }
        }
        Ok(())
    }

    /// A member's mesh hears something, and everything that follows from it is done.
    pub fn input(&mut self, node: usize, input: Input) -> Outcome {
        if self.members[node].life != Life::Running {
            return Ok(());
        }
        let now = self.instant();
        self.members[node].mesh.handle(now, input);
        self.settle(node)
    }

    /// Does what a mesh wants done, and reads its letters only then, as the room's task does.
    pub fn settle(&mut self, node: usize) -> Outcome {
        loop {
            if self.members[node].life != Life::Running {
                return Ok(());
            }
            let now = self.instant();
            if let Some(action) = self.members[node].mesh.poll_action() {
                self.perform(node, action).map_err(|error| format!("{}: {error}", self.name(node)))?;
            } else if let Some(letter) = self.members[node].letters.pop_front() {
                let input = match letter {
                    Letter::Input(input) => Some(input),
                    Letter::Open(key) => self.opened(node, key),
                };
                if let Some(Input::LinkEnded { connection, .. }) = &input {
                    self.members[node].table.by_id.remove(connection);
                }
                if let Some(input) = input {
                    self.members[node].mesh.handle(now, input);
                }
            } else {
                break;
            }
        }
        let timer = self.members[node].mesh.poll_timeout().map(|at| self.since_start(at));
        if timer != self.members[node].timer {
            let timer = timer.map(|at| at.max(self.now));
            self.members[node].timer = timer;
            if let Some(at) = timer {
                self.plan(at, Happening::Timer { node });
            }
        }
        Ok(())
    }
}
