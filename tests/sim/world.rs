//! The world in which members and a hub run: virtual time, and everything random from the seed.

use super::happening::{Happening, Queue};
use super::healing::Healing;
use super::js::Js;
use super::links::Links;
use super::member::{Brain, Life, Member};
use super::native::Native;
use super::sockets::Socket;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtcswarm::hub::{Hub, HubConfig, SessionId};
use rtcswarm::mesh::{Input, Mesh, MeshConfig};
use rtcswarm::protocol::{ConnectionId, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub type Outcome = Result<(), String>;

pub const SECOND: Duration = Duration::from_secs(1);
/// For a lost peer to have another link.
pub const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// How hard a time everyone has. Probabilities are per occasion.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Longest way of a message, one way.
    pub latency: Duration,
    /// A signaling message, and what comes after it on its socket, is some seconds late.
    pub stragglers: f64,
    /// The engine refuses to make or to take an offer.
    pub refused: f64,
    /// An answered link does not open at all, or at one end only.
    pub stillborn: f64,
}

pub struct World {
    pub random: StdRng,
    pub now: Duration,
    pub weather: Weather,
    pub members: Vec<Member>,
    pub links: Links,
    pub hub: Hub,
    pub hub_config: HubConfig,
    /// No server listens before.
    pub server_back: Duration,
    /// Candidates of each member for each connection.
    pub addresses: usize,
    /// How often each kind of thing happened: to see that the stories have it in them.
    pub happened: BTreeMap<&'static str, usize>,
    pub trace: Option<Vec<String>>,
    /// A native member heard a JS member say `close` in-band.
    pub said_close: BTreeSet<(usize, usize)>,
    /// Users of whom an older process took the room back from a newer one.
    pub contended: BTreeSet<String>,
    pub healing: Healing,
    /// A member is being told that its signaling is lost.
    pub losing_signaling: bool,
    /// Everything is settled: why anything should be repaired now is to be explained.
    pub calm: bool,
    pub start: Instant,
    pub sockets: Vec<Socket>,
    pub by_session: BTreeMap<SessionId, usize>,
    pub hub_timer: Option<Duration>,
    queue: Queue,
    peer_ids: Arc<AtomicU64>,
}

impl World {
    pub fn new(random: StdRng, hub_config: HubConfig, weather: Weather) -> Self {
        Self {
            random,
            now: Duration::ZERO,
            weather,
            members: Vec::new(),
            links: Links::default(),
            hub: Hub::new(hub_config.clone()),
            hub_config,
            server_back: Duration::ZERO,
            addresses: 1,
            happened: BTreeMap::new(),
            trace: None,
            said_close: BTreeSet::new(),
            contended: BTreeSet::new(),
            healing: Healing::default(),
            losing_signaling: false,
            calm: false,
            start: Instant::now(),
            sockets: Vec::new(),
            by_session: BTreeMap::new(),
            hub_timer: None,
            queue: Queue::default(),
            peer_ids: Arc::new(AtomicU64::new(1)),
        }
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.happened.entry(kind).or_default() += 1;
    }

    pub fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// By a member's own clock.
    pub fn instant_of(&self, node: usize) -> Instant {
        self.instant() - self.members[node].lag
    }

    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.random.random_range(low.as_micros() as u64..=high.as_micros() as u64))
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability)
    }

    pub fn plan(&mut self, at: Duration, happening: Happening) {
        self.queue.plan(at.max(self.now), happening);
    }

    pub fn latency(&mut self) -> Duration {
        let longest = self.weather.latency;
        self.between(MILLISECOND / 10, longest.max(MILLISECOND))
    }

    pub fn native(&mut self, user_id: &str, peer_buffer: usize, max_peers: usize) -> Brain {
        let config = MeshConfig {
            room: RoomId::from("room"),
            user_id: user_id.to_owned(),
            peer_buffer,
            max_peers,
            answer_timeout: SECOND * 10,
            connect_timeout: SECOND * 10,
            close_timeout: SECOND,
            reconnect_timeout: RECONNECT_TIMEOUT,
        };
        let mesh = Mesh::new(config, self.peer_ids.clone(), self.random.random());
        Brain::Native(Box::new(Native::new(mesh, max_peers)))
    }

    pub fn js(&mut self, user_id: &str, peer_buffer: usize) -> Brain {
        Brain::Js(Box::new(Js::new(user_id.to_owned(), peer_buffer, self.random.random())))
    }

    /// A member starts to run, and connects.
    pub fn join(&mut self, member: Member) -> Result<usize, String> {
        let node = self.members.len();
        let kind = if member.is_native() { "starts" } else { "starts, like the JS original" };
        let (buffer, most) = (member.peer_buffer, member.max_peers());
        self.members.push(member);
        self.disturb(node);
        trace!(self, "{} {kind}, buffer {buffer}, at most {most}", self.name(node));
        let delay = self.latency();
        self.plan(self.now + delay, Happening::Connect { node });
        self.input(node, Input::Start)?;
        Ok(node)
    }

    /// Members that run, in the room or not.
    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|node| self.members[*node].life == Life::Running).collect()
    }

    /// Members that are to be in the room.
    pub fn inside(&self) -> Vec<usize> {
        self.running().into_iter().filter(|node| !self.members[*node].outside).collect()
    }

    pub fn leave(&mut self, node: usize) -> Outcome {
        trace!(self, "{} leaves", self.name(node));
        self.input(node, Input::Close)?;
        if self.members[node].life != Life::Closed {
            return Err(format!("{} did not close", self.name(node)));
        }
        Ok(())
    }

    pub fn crash(&mut self, node: usize) {
        trace!(self, "{} crashes", self.name(node));
        self.members[node].life = Life::Crashed;
        if let Some(socket) = self.members[node].socket {
            let noticed = self.between(Duration::ZERO, SECOND * 30);
            self.kill(socket, [true; 2], SECOND * 30, noticed);
        }
        for id in self.links.of(node) {
            if let Some(side) = self.links.side(&id, node) {
                self.end_is_gone(&id, side, false);
            }
        }
    }

    pub fn disturb(&mut self, node: usize) {
        self.disturb_at(node, self.now);
    }

    pub fn disturb_at(&mut self, node: usize, at: Duration) {
        let disturbed = &mut self.members[node].disturbed;
        *disturbed = at.max(*disturbed);
    }

    pub fn disturb_ends(&mut self, id: &ConnectionId) {
        for node in self.links.all[id].nodes.into_iter().flatten() {
            self.disturb(node);
        }
    }

    pub fn name(&self, node: usize) -> String {
        format!("{}#{node}", self.members[node].user_id)
    }

    pub fn set_timer(&mut self, node: usize) {
        let lag = self.members[node].lag;
        let timer = self.members[node].poll_timeout().map(|at| at.saturating_duration_since(self.start) + lag);
        if timer != self.members[node].timer {
            let timer = timer.map(|at| at.max(self.now));
            self.members[node].timer = timer;
            if let Some(at) = timer {
                self.plan(at, Happening::Timer { node });
            }
        }
    }

    fn timer(&mut self, node: usize) -> Outcome {
        if self.members[node].timer != Some(self.now) || self.members[node].life != Life::Running {
            return Ok(());
        }
        self.members[node].timer = None;
        self.input(node, Input::Timeout)?;
        match self.members[node].poll_timeout() {
            Some(at) if at <= self.instant_of(node) => {
                Err(format!("{}: a deadline that does not pass", self.name(node)))
            }
            _ => Ok(()),
        }
    }

    /// Runs until that time.
    pub fn run_until(&mut self, until: Duration) -> Outcome {
        while let Some((at, happening)) = self.queue.pop_until(until) {
            self.now = at;
            let sleeper = self.addressee(&happening).filter(|node| self.members[*node].asleep.is_some());
            match sleeper {
                Some(node) => self.members[node].missed.push(happening),
                None => self.happen(happening)?,
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::ToServer { socket, text } => self.server_hears(socket, &text),
            Happening::ToClient { socket, message } => self.client_hears(socket, message),
            Happening::Ping { socket } => {
                self.pinged(socket);
                Ok(())
            }
            Happening::Pong { socket } => self.ponged(socket),
            Happening::ClosedByServer { socket, reason } => self.closed_by_server(socket, reason),
            Happening::ClosedByClient { socket } | Happening::ServerNotices { socket } => self.server_notices(socket),
            Happening::ClientNotices { socket } => self.client_notices(socket),
            Happening::Connect { node } => self.connect(node),
            Happening::Candidate { node, connection, last } => self.candidate(node, connection, last),
            Happening::Opens { connection, side, forced } => self.opens(connection, side, forced),
            Happening::Control { connection, side, control } => self.control(connection, side, control),
            Happening::Ends { connection, side, cause, path } => self.ends(connection, side, cause, path),
            Happening::PathState { connection, side, state, path } => self.path_state(connection, side, state, path),
            Happening::Heals { connection, path } => self.heals(connection, path),
            Happening::Timer { node } => self.timer(node),
            Happening::Wakes { node } => self.wakes(node),
            Happening::HubTimer => self.hub_timer(),
        }
    }

    /// The application closes a peer, at this end.
    pub fn close_peer(&mut self, node: usize, other: usize) -> Outcome {
        let user_id = self.members[other].user_id.clone();
        let Some(peer) = self.members[node].native().and_then(|native| native.peer_of(&user_id)) else { return Ok(()) };
        trace!(self, "{} closes its peer {user_id}", self.name(node));
        self.count("closed by the application");
        self.members[node].shunned.insert(user_id);
        self.input(node, Input::ClosePeer { peer })
    }

    /// Links between two nodes that are open at both ends.
    pub fn open_between(&self, one: usize, other: usize) -> usize {
        self.links.between(one, other).filter(|link| link.is_open()).count()
    }
}

/// Seeds a world's random source.
pub fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
