//! The world in which whole swarms run: virtual time, a queue of what happens next, and members whose links exchange real datagrams.

use super::journal::Journal;
use super::member::{Key, Letter, Life, Member};
use super::network::{Fate, Network, Weather};
use super::pairs::Pairs;
use super::signaling::Signaling;
use super::source;
use super::traffic::Ledger;
use super::Outcome;
use crate::driver::DriverConfig;
use crate::hub::{CloseReason, HubConfig};
use crate::link::{stun, Datagram, LinkConfig};
use crate::mesh::{Input, Mesh, MeshConfig};
use crate::protocol::{ConnectionId, RoomId, ServerMessage};
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
    peer_ids: Arc<AtomicU64>,
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
            | Happening::ClientNotices { socket } => Some(self.signaling.owner(*socket)),
            Happening::ToServer { .. } | Happening::ServerNotices { .. } | Happening::HubTimer => None,
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

    /// A member starts to run, and connects. Behind a NAT others know another address of it than it has itself.
    pub fn join(&mut self, user_id: &str, peer_buffer: usize, nat: bool) -> Outcome {
        let config = MeshConfig {
            room: RoomId::from("room"),
            user_id: user_id.to_owned(),
            peer_buffer,
            max_peers: 64,
            answer_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(8),
            close_timeout: self.close_timeout,
        };
        let links = DriverConfig {
            ice_keepalive: Duration::from_secs(2),
            ice_disconnected_timeout: Duration::from_secs(4),
            ice_failed_timeout: Duration::from_secs(4),
            ..DriverConfig::for_tests()
        };
        let links = LinkConfig::new(&links, None)?;
        let mesh = Mesh::new(config, self.peer_ids.clone(), self.random.random());
        let node = self.members.len();
        let outside = self.network.fresh_address();
        let base = if nat { SocketAddr::from(([10, 0, 0, 1 + node as u8], 5000)) } else { outside };
        self.network.attach(outside, node);
        self.members.push(Member::new(user_id.to_owned(), mesh, links, base, outside));
        self.say(format!("{user_id}#{node} starts at {base}, seen at {outside}, buffer {peer_buffer}"));
        let delay = self.between(MILLISECOND, self.signaling.latency.max(MILLISECOND));
        self.plan(self.now + delay, Happening::Connect { node });
        let delay = self.between(MILLISECOND, Duration::from_secs(1));
        self.plan(self.now + delay, Happening::Talk { node });
        self.input(node, Input::Start)
    }

    pub fn leave(&mut self, node: usize) -> Outcome {
        self.journal.count("leave");
        self.say(format!("{} leaves", self.name(node)));
        self.input(node, Input::Close)?;
        if self.members[node].life != Life::Closed {
            return Err(format!("{} did not close", self.name(node)));
        }
        Ok(())
    }

    pub fn crash(&mut self, node: usize) {
        self.journal.count("crash");
        self.say(format!("{} crashes", self.name(node)));
        self.members[node].life = Life::Crashed;
        self.network.detach(self.members[node].seen);
        self.members[node].table = super::member::Table::default();
        self.members[node].letters.clear();
        self.abandon_socket(node);
    }

    /// The application closes a peer, at this end: the two need not be connected any more.
    pub fn close_peer(&mut self, node: usize, other: usize) -> Outcome {
        let user_id = self.members[other].user_id.clone();
        let Some(peer) = self.members[node].peer_of(&user_id) else { return Ok(()) };
        self.say(format!("{} closes its peer {user_id}", self.name(node)));
        self.members[node].shunned.push(user_id);
        self.input(node, Input::ClosePeer { peer })
    }

    /// The network sees it at another address from now on. New links are told so.
    pub fn move_away(&mut self, node: usize) {
        self.journal.count("address change");
        let (old, new) = (self.members[node].seen, self.network.fresh_address());
        self.network.detach(old);
        self.network.attach(new, node);
        self.members[node].seen = new;
        self.say(format!("{} is seen at {new}, and no more at {old}", self.name(node)));
    }
}
