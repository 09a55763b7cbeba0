//! The world in which meshes and a hub run: virtual time, sockets that are in order and may break, links that open and
//! fail, members that come, go and crash. Everything random comes from the seed.

use super::links::{End, Links};
use super::member::{Life, Member};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtcswarm::hub::{CloseReason, Hub, HubConfig, Output, Principal, Rooms, SessionId};
use rtcswarm::mesh::{Action, EndReason, Input, LinkEnd, Mesh, MeshConfig, MeshEvent};
use rtcswarm::protocol::{ClientMessage, ConnectionId, Control, IceCandidate, RoomId, ServerMessage};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub type Outcome = Result<(), String>;

/// How hard a time everyone has. Probabilities are per occasion.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Longest way of a message, one way.
    pub latency: Duration,
    /// The engine refuses to make or to take an offer.
    pub refused: f64,
    /// An answered link does not open at all, or at one end only.
    pub stillborn: f64,
}

#[derive(Debug)]
enum Happening {
    ToServer { socket: usize, text: String },
    ToClient { socket: usize, message: ServerMessage },
    ClosedByServer { socket: usize, reason: CloseReason },
    ClosedByClient { socket: usize },
    Connect { node: usize },
    ServerNotices { socket: usize },
    ClientNotices { socket: usize },
    Candidate { node: usize, connection: ConnectionId, last: bool },
    Opens { connection: ConnectionId, side: usize },
    Control { connection: ConnectionId, side: usize, control: Control },
    Ends { connection: ConnectionId, side: usize, cause: LinkEnd },
    Timer { node: usize },
    HubTimer,
}

/// One transport between a member and the server.
struct Socket {
    node: usize,
    session: SessionId,
    /// Nothing passes any more, though nobody may have noticed.
    cut: bool,
    server_closed: bool,
    /// When the last message to the server, to the client arrives: it is a stream.
    last: [Duration; 2],
}

pub struct World {
    pub random: StdRng,
    pub now: Duration,
    pub weather: Weather,
    pub members: Vec<Member>,
    pub links: Links,
    pub hub: Hub,
    pub answer_timeout: Duration,
    pub connect_timeout: Duration,
    /// How often each kind of thing happened: to see that the stories have it in them.
    pub happened: BTreeMap<&'static str, usize>,
    pub trace: Option<Vec<String>>,
    start: Instant,
    hub_config: HubConfig,
    sockets: Vec<Socket>,
    by_session: BTreeMap<SessionId, usize>,
    queue: BinaryHeap<Reverse<(Duration, u64, Entry)>>,
    next: u64,
    hub_timer: Option<Duration>,
    peer_ids: Arc<AtomicU64>,
}

/// Makes a happening sortable: the queue orders by time and by when it was planned.
#[derive(Debug)]
struct Entry(Happening);

impl PartialEq for Entry {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

macro_rules! trace {
    ($world:expr, $($format:tt)*) => {
        if $world.trace.is_some() {
            let line = format!("{:>10.1} {}", $world.now.as_secs_f64() * 1e3, format!($($format)*));
            $world.trace.iter_mut().for_each(|lines| lines.push(line.clone()));
        }
    };
}

const MILLISECOND: Duration = Duration::from_millis(1);

impl World {
    pub fn new(random: StdRng, hub_config: HubConfig, weather: Weather) -> Self {
        Self {
            random,
            now: Duration::ZERO,
            weather,
            members: Vec::new(),
            links: Links::default(),
            hub: Hub::new(hub_config.clone()),
            answer_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            happened: BTreeMap::new(),
            trace: None,
            start: Instant::now(),
            hub_config,
            sockets: Vec::new(),
            by_session: BTreeMap::new(),
            queue: BinaryHeap::new(),
            next: 0,
            hub_timer: None,
            peer_ids: Arc::new(AtomicU64::new(1)),
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.happened.entry(kind).or_default() += 1;
    }

    pub fn instant(&self) -> Instant {
        self.start + self.now
    }

    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.random.random_range(low.as_micros() as u64..=high.as_micros() as u64))
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability)
    }

    fn plan(&mut self, at: Duration, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((at.max(self.now), self.next, Entry(happening))));
    }

    fn latency(&mut self) -> Duration {
        let longest = self.weather.latency;
        self.between(MILLISECOND / 10, longest.max(MILLISECOND))
    }

    /// A member starts to run, and connects.
    pub fn join(&mut self, user_id: &str, peer_buffer: usize, max_peers: usize) -> Outcome {
        let config = MeshConfig {
            room: RoomId::from("room"),
            user_id: user_id.to_owned(),
            peer_buffer,
            max_peers,
            answer_timeout: self.answer_timeout,
            connect_timeout: self.connect_timeout,
            close_timeout: Duration::from_secs(1),
            reconnect_timeout: Duration::from_secs(60),
        };
        let mesh = Mesh::new(config, self.peer_ids.clone(), self.random.random());
        let node = self.members.len();
        trace!(self, "{user_id}#{node} starts, buffer {peer_buffer}, at most {max_peers}");
        self.members.push(Member::new(user_id.to_owned(), mesh, peer_buffer, max_peers));
        let delay = self.latency();
        self.plan(self.now + delay, Happening::Connect { node });
        self.input(node, Input::Start)
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|node| self.members[*node].life == Life::Running).collect()
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
        if let Some(socket) = self.members[node].socket.take() {
            self.sockets[socket].cut = true;
            let noticed = self.between(Duration::ZERO, Duration::from_secs(5));
            self.plan(self.now + noticed, Happening::ServerNotices { socket });
        }
        for id in self.links.of(node) {
            let side = self.links.side(&id, node).unwrap();
            self.links.all.get_mut(&id).unwrap().ends[side] = End::Gone;
            self.fail_end(&id, 1 - side);
        }
    }

    /// The transport dies; the two ends notice in their own time.
    pub fn lose_socket(&mut self, node: usize) {
        let Some(socket) = self.members[node].socket else { return };
        trace!(self, "{} loses its socket {socket}", self.name(node));
        self.cut(socket);
    }

    fn cut(&mut self, socket: usize) {
        if std::mem::replace(&mut self.sockets[socket].cut, true) {
            return;
        }
        let noticed = self.between(Duration::ZERO, Duration::from_secs(6));
        self.plan(self.now + noticed, Happening::ClientNotices { socket });
        let noticed = self.between(Duration::ZERO, Duration::from_secs(6));
        self.plan(self.now + noticed, Happening::ServerNotices { socket });
    }

    /// A link's path dies, both members stay.
    pub fn break_link(&mut self, id: &ConnectionId) {
        trace!(self, "{id} breaks");
        self.links.all.get_mut(id).unwrap().broken = true;
        for side in [0, 1] {
            self.fail_end(id, side);
        }
    }

    fn fail_end(&mut self, id: &ConnectionId, side: usize) {
        let link = &self.links.all[id];
        // Before ICE has begun there is nothing that could fail: deadlines do the rest.
        if link.ends[side] == End::Gone || !link.answered {
            return;
        }
        let noticed = self.between(MILLISECOND, Duration::from_secs(8));
        self.plan(self.now + noticed, Happening::Ends { connection: id.clone(), side, cause: LinkEnd::IceFailed });
    }

    /// A new process in place of the server: it knows nothing, and every socket is lost.
    pub fn restart_hub(&mut self) {
        trace!(self, "the server restarts");
        self.hub = Hub::new(self.hub_config.clone());
        self.hub_timer = None;
        self.by_session.clear();
        for socket in 0..self.sockets.len() {
            self.sockets[socket].server_closed = true;
            self.cut(socket);
        }
    }

    pub fn name(&self, node: usize) -> String {
        format!("{}#{node}", self.members[node].user_id)
    }

    /// Runs until that time.
    pub fn run_until(&mut self, until: Duration) -> Outcome {
        while self.queue.peek().is_some_and(|Reverse((at, _, _))| *at <= until) {
            let Some(Reverse((at, _, Entry(happening)))) = self.queue.pop() else { break };
            self.now = at;
            self.happen(happening)?;
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Outcome {
        match happening {
            Happening::ToServer { socket, text } => {
                let Socket { cut, server_closed, session, node, .. } = self.sockets[socket];
                if cut || server_closed {
                    return Ok(());
                }
                self.count(client_kind(&text));
                trace!(self, "{} -> server: {}", self.name(node), brief(&text));
                self.hub.receive(self.instant(), session, &text);
                self.hear_hub()
            }
            Happening::ToClient { socket, message } => {
                let Socket { cut, node, .. } = self.sockets[socket];
                if cut || self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                self.count(server_kind(&message));
                trace!(self, "server -> {}: {}", self.name(node), brief(&message.to_json()));
                self.input(node, Input::Signal(message))
            }
            Happening::ClosedByServer { socket, reason } => {
                let Socket { cut, node, .. } = self.sockets[socket];
                if cut || self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                match reason {
                    CloseReason::Left => Ok(()),
                    _ => Err(format!("{} was thrown out: {reason:?}", self.name(node))),
                }
            }
            Happening::ClosedByClient { socket } | Happening::ServerNotices { socket } => {
                let Socket { session, server_closed, node, .. } = self.sockets[socket];
                if server_closed {
                    return Ok(());
                }
                trace!(self, "server notices that socket {socket} of {} is gone", self.name(node));
                self.sockets[socket].server_closed = true;
                self.by_session.remove(&session);
                self.hub.disconnect(self.instant(), session);
                self.hear_hub()
            }
            Happening::ClientNotices { socket } => {
                let node = self.sockets[socket].node;
                if self.members[node].socket != Some(socket) {
                    return Ok(());
                }
                trace!(self, "{} notices that its socket {socket} is gone", self.name(node));
                self.members[node].socket = None;
                let back_off = self.between(MILLISECOND, Duration::from_secs(12));
                self.plan(self.now + back_off, Happening::Connect { node });
                self.input(node, Input::SignalingDown)
            }
            Happening::Connect { node } => self.connect(node),
            Happening::Candidate { node, connection, last } => {
                if self.links.side(&connection, node).is_none() {
                    return Ok(());
                }
                let candidate = (!last).then(|| IceCandidate { candidate: "candidate:1".into(), ..Default::default() });
                self.input(node, Input::LinkCandidate { connection, candidate })
            }
            Happening::Opens { connection, side } => self.opens(connection, side),
            Happening::Control { connection, side, control } => {
                let link = &self.links.all[&connection];
                let (Some(node), End::Open) = (link.nodes[side], link.ends[side]) else { return Ok(()) };
                trace!(self, "{} hears {control:?} on {connection}", self.name(node));
                self.input(node, Input::Control { connection, control })
            }
            Happening::Ends { connection, side, cause } => {
                let link = self.links.all.get_mut(&connection).unwrap();
                let (Some(node), true) = (link.nodes[side], link.ends[side] != End::Gone) else { return Ok(()) };
                link.ends[side] = End::Gone;
                trace!(self, "{}: {connection} ended, {cause:?}", self.name(node));
                self.input(node, Input::LinkEnded { connection, cause })
            }
            Happening::Timer { node } => {
                if self.members[node].timer != Some(self.now) || self.members[node].life != Life::Running {
                    return Ok(());
                }
                self.members[node].timer = None;
                self.input(node, Input::Timeout)?;
                match self.members[node].mesh.poll_timeout() {
                    Some(at) if at <= self.instant() => {
                        Err(format!("{}: a deadline that does not pass", self.name(node)))
                    }
                    _ => Ok(()),
                }
            }
            Happening::HubTimer => {
                if self.hub_timer != Some(self.now) {
                    return Ok(());
                }
                self.hub_timer = None;
                self.hub.handle_timeout(self.instant());
                if self.hub.poll_timeout().is_some_and(|at| at <= self.instant()) {
                    return Err("the hub has a deadline that does not pass".into());
                }
                self.hear_hub()
            }
        }
    }

    fn connect(&mut self, node: usize) -> Outcome {
        if self.members[node].life != Life::Running || self.members[node].socket.is_some() {
            return Ok(());
        }
        let principal = Principal { user_id: self.members[node].user_id.clone(), rooms: Rooms::Any };
        let session = self.hub.connect(self.instant(), principal);
        let socket = self.sockets.len();
        self.by_session.insert(session, socket);
        self.sockets.push(Socket { node, session, cut: false, server_closed: false, last: [Duration::ZERO; 2] });
        trace!(self, "{} is connected by socket {socket}", self.name(node));
        self.members[node].session_begins(socket);
        self.hear_hub()?;
        self.input(node, Input::SignalingUp)
    }

    /// Sends what the hub says, in order on each socket.
    fn hear_hub(&mut self) -> Outcome {
        while let Some(output) = self.hub.poll_output() {
            let (session, happening): (_, fn(usize, Output) -> Happening) = match &output {
                Output::Send { session, .. } => (*session, |socket, output| match output {
                    Output::Send { message, .. } => Happening::ToClient { socket, message },
                    Output::Close { reason, .. } => Happening::ClosedByServer { socket, reason },
                }),
                Output::Close { session, .. } => (*session, |socket, output| match output {
                    Output::Send { message, .. } => Happening::ToClient { socket, message },
                    Output::Close { reason, .. } => Happening::ClosedByServer { socket, reason },
                }),
            };
            let Some(socket) = self.by_session.get(&session).copied() else {
                return Err(format!("the hub speaks to a session that is gone: {output:?}"));
            };
            if matches!(output, Output::Close { .. }) {
                self.sockets[socket].server_closed = true;
                self.by_session.remove(&session);
            }
            let happening = happening(socket, output);
            self.send(socket, 1, happening);
        }
        let timer = self.hub.poll_timeout().map(|at| at.saturating_duration_since(self.start));
        if timer != self.hub_timer {
            self.hub_timer = timer.map(|at| at.max(self.now));
            if let Some(at) = self.hub_timer {
                self.plan(at, Happening::HubTimer);
            }
        }
        Ok(())
    }

    /// On a socket, in order. Direction 0 is to the server.
    fn send(&mut self, socket: usize, direction: usize, happening: Happening) {
        let arrives = (self.now + self.latency()).max(self.sockets[socket].last[direction]);
        self.sockets[socket].last[direction] = arrives;
        self.plan(arrives, happening);
    }

    pub fn input(&mut self, node: usize, input: Input) -> Outcome {
        if self.members[node].life != Life::Running {
            return Ok(());
        }
        let now = self.instant();
        self.members[node].mesh.handle(now, input);
        self.settle(node)
    }

    /// Does what a mesh wants done.
    fn settle(&mut self, node: usize) -> Outcome {
        while let Some(action) = self.members[node].mesh.poll_action() {
            let described = self.trace.is_some().then(|| format!("{action:?}"));
            if let Some(described) = described.filter(|text| !text.starts_with("Signal(")) {
                trace!(self, "{} does {}", self.name(node), brief(&described));
            }
            self.perform(node, action.clone()).map_err(|e| format!("{} did {action:?}: {e}", self.name(node)))?;
        }
        self.members[node].failed.clear();
        let timer = self.members[node].mesh.poll_timeout().map(|at| at.saturating_duration_since(self.start));
        if timer != self.members[node].timer {
            let timer = timer.map(|at| at.max(self.now));
            self.members[node].timer = timer;
            if let Some(at) = timer {
                self.plan(at, Happening::Timer { node });
            }
        }
        Ok(())
    }

    /// The links' answers come at once, as in the real swarm: before the actions that are queued already.
    fn perform(&mut self, node: usize, action: Action) -> Outcome {
        if self.members[node].life != Life::Running {
            return Err("an action after the last event".into());
        }
        let now = self.instant();
        match action {
            Action::Signal(message) => {
                let socket = self.members[node].check_signal(&message)?;
                self.send(socket, 0, Happening::ToServer { socket, text: message.to_json() });
            }
            Action::CreateOffer { connection } => {
                self.links.offer(&connection, node)?;
                if self.refuse(node, &connection, 0) {
                    return Ok(());
                }
                let sdp = format!("v=0\r\na=fingerprint:sha-256 {node}\r\n");
                self.members[node].mesh.handle(now, Input::LinkOffer { connection: connection.clone(), sdp });
                self.gather(node, &connection);
            }
            Action::AcceptOffer { connection, .. } => {
                self.links.accept(&connection, node)?;
                self.no_rivals(node, &connection)?;
                if self.refuse(node, &connection, 1) {
                    return Ok(());
                }
                let sdp = format!("v=0\r\na=fingerprint:sha-256 {node}\r\n");
                self.members[node].mesh.handle(now, Input::LinkAnswer { connection: connection.clone(), sdp });
                self.gather(node, &connection);
            }
            Action::ApplyAnswer { connection, .. } => {
                if self.must_have(node, &connection)? {
                    self.links.all.get_mut(&connection).unwrap().answered = true;
                    self.no_rivals(node, &connection)?;
                    self.begin_to_open(&connection);
                }
            }
            Action::AddCandidate { connection, .. } => {
                self.must_have(node, &connection)?;
            }
            Action::RestartIce { connection } | Action::RepeatOffer { connection } => {
                self.must_have(node, &connection)?;
            }
            Action::SendControl { connection, control } => {
                if self.must_have(node, &connection)? {
                    self.send_control(node, connection, control)?;
                }
            }
            Action::CloseLink { connection, flush } => {
                if self.must_have(node, &connection)? {
                    self.close_link(node, &connection, flush);
                }
            }
            Action::Event(event) => self.event(node, &event)?,
        }
        Ok(())
    }

    /// Whether a node still has that link; an error unless it failed a moment ago.
    fn must_have(&mut self, node: usize, id: &ConnectionId) -> Result<bool, String> {
        match self.links.side(id, node) {
            Some(_) => Ok(true),
            None if self.members[node].failed.contains(id) => Ok(false),
            None => Err("that link is gone".into()),
        }
    }

    fn refuse(&mut self, node: usize, id: &ConnectionId, side: usize) -> bool {
        let refused = self.chance(self.weather.refused);
        if refused {
            trace!(self, "the engine of {} refuses {id}", self.name(node));
            self.links.all.get_mut(id).unwrap().ends[side] = End::Gone;
            self.members[node].failed.insert(id.clone());
            let cause = LinkEnd::Error("refused".into());
            let now = self.instant();
            self.members[node].mesh.handle(now, Input::LinkEnded { connection: id.clone(), cause });
        }
        refused
    }

    /// Two connections between the same two sockets break each other: whoever begins a second one must have closed the
    /// first.
    fn no_rivals(&self, node: usize, id: &ConnectionId) -> Outcome {
        match self.links.rivals(id, node).first() {
            Some(rival) => Err(format!("{rival} is alive between the same two")),
            None => Ok(()),
        }
    }

    fn gather(&mut self, node: usize, id: &ConnectionId) {
        let mut at = self.now;
        for last in [false, true] {
            at += self.between(Duration::ZERO, 20 * MILLISECOND);
            self.plan(at, Happening::Candidate { node, connection: id.clone(), last });
        }
    }

    fn begin_to_open(&mut self, id: &ConnectionId) {
        if self.chance(self.weather.stillborn) {
            let only = self.random.random_range(0..=2);
            trace!(self, "{id} does not open but at end {only}");
            self.links.all.get_mut(id).unwrap().broken = true;
            if only < 2 {
                let delay = self.latency();
                self.plan(self.now + delay, Happening::Opens { connection: id.clone(), side: only });
                self.fail_end(id, only);
            }
            return;
        }
        for side in [0, 1] {
            let delay = self.latency();
            self.plan(self.now + delay, Happening::Opens { connection: id.clone(), side });
        }
    }

    fn opens(&mut self, connection: ConnectionId, side: usize) -> Outcome {
        let link = self.links.all.get_mut(&connection).unwrap();
        let (Some(node), End::Begun) = (link.nodes[side], link.ends[side]) else { return Ok(()) };
        // The other end must have lived at least until it had said its part.
        if link.ends[1 - side] == End::Gone {
            return Ok(());
        }
        link.ends[side] = End::Open;
        self.input(node, Input::LinkOpen { connection, native: true })
    }

    fn send_control(&mut self, node: usize, id: ConnectionId, control: Control) -> Outcome {
        let side = self.links.side(&id, node).unwrap();
        let delay = self.latency();
        let link = self.links.all.get_mut(&id).unwrap();
        if link.ends[side] != End::Open {
            return Err("that link is not open".into());
        }
        let arrives = (self.now + delay).max(link.last[side]);
        link.last[side] = arrives;
        if !link.broken {
            self.plan(arrives, Happening::Control { connection: id, side: 1 - side, control });
        }
        Ok(())
    }

    fn close_link(&mut self, node: usize, id: &ConnectionId, flush: bool) {
        let side = self.links.side(id, node).unwrap();
        let delay = self.latency();
        // A good bye may be lost, and then the other end has only silence to go by.
        let silent = !flush && self.chance(0.2);
        let link = self.links.all.get_mut(id).unwrap();
        link.ends[side] = End::Gone;
        let other = 1 - side;
        if link.ends[other] == End::Gone || !link.answered || link.broken {
            return;
        }
        if silent {
            return self.fail_end(id, other);
        }
        let arrives = (self.now + delay).max(link.last[side]);
        let ended = Happening::Ends { connection: id.clone(), side: other, cause: LinkEnd::RemoteClosed };
        self.plan(arrives, ended);
    }

    fn event(&mut self, node: usize, event: &MeshEvent) -> Outcome {
        let links = &self.links;
        let is_open =
            |id: &ConnectionId| links.side(id, node).is_some_and(|side| links.all[id].ends[side] == End::Open);
        self.members[node].check_event(event, is_open)?;
        self.count(event_kind(event));
        if *event == MeshEvent::Closed {
            if let Some(leak) = self.links.of(node).first() {
                return Err(format!("closed without closing {leak}"));
            }
            if let Some(socket) = self.members[node].socket {
                self.send(socket, 0, Happening::ClosedByClient { socket });
            }
            if self.members[node].mesh.counts() != (0, 0) || self.members[node].mesh.poll_timeout().is_some() {
                return Err("something is left in the mesh".into());
            }
        }
        Ok(())
    }

    /// The application closes a peer, at this end.
    pub fn close_peer(&mut self, node: usize, other: usize) -> Outcome {
        let user_id = self.members[other].user_id.clone();
        let Some(peer) = self.members[node].peer_of(&user_id) else { return Ok(()) };
        trace!(self, "{} closes its peer {user_id}", self.name(node));
        self.members[node].shunned.insert(user_id);
        self.input(node, Input::ClosePeer { peer })
    }

    /// Nothing that this user's earlier selves said is still on its way. Their `init` would supersede a later one that
    /// was faster, on another socket.
    pub fn is_heard_out(&self, user_id: &str) -> bool {
        let mut sockets = self.sockets.iter().filter(|socket| self.members[socket.node].user_id == user_id);
        sockets.all(|socket| socket.cut || socket.server_closed || socket.last[0] <= self.now)
    }

    pub fn socket_is_up(&self, node: usize) -> bool {
        self.members[node].socket.is_some_and(|socket| !self.sockets[socket].cut)
    }

    /// Nobody is connected to the server any more.
    pub fn nobody_connected(&self) -> bool {
        self.by_session.is_empty()
    }
}

/// Seeds a world's random source.
pub fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn brief(text: &str) -> String {
    text.chars().take(160).collect()
}

fn client_kind(text: &str) -> &'static str {
    match ClientMessage::parse(text) {
        Ok(Some(ClientMessage::Init { connections, .. })) if connections.is_empty() => "init",
        Ok(Some(ClientMessage::Init { .. })) => "init with connections",
        Ok(Some(ClientMessage::Drop { .. })) => "drop",
        _ => "other to server",
    }
}

fn server_kind(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::OfferRequest => "offerRequest",
        ServerMessage::LeaveSwarm { .. } => "leaveSwarm",
        ServerMessage::Linked { .. } => "linked",
        ServerMessage::Error { .. } => "error",
        _ => "other to client",
    }
}

fn event_kind(event: &MeshEvent) -> &'static str {
    match event {
        MeshEvent::PeerOpen { .. } => "peer open",
        MeshEvent::PeerClosed { reason, .. } => match reason {
            EndReason::RemoteClose => "closed by remote",
            EndReason::Left => "closed, left",
            EndReason::ConnectionLost => "closed, lost",
            _ => "closed otherwise",
        },
        MeshEvent::PeerFailed { reason, .. } => match reason {
            EndReason::AnswerTimeout => "failed, no answer",
            EndReason::ConnectTimeout => "failed, no channel",
            EndReason::TooManyPeers => "failed, too many",
            EndReason::Left => "failed, left",
            _ => "failed otherwise",
        },
        _ => "other event",
    }
}
