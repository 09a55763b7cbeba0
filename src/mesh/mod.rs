//! The client's brain: which connections there should be, and in what state.
//!
//! Pure: inputs and the time go in by [`Mesh::handle`], actions come out of [`Mesh::poll_action`], and
//! [`Mesh::poll_timeout`] says when [`Input::Timeout`] is wanted. No sockets, no tokio, no WebRTC, no clock and no
//! random source of its own: the same seed and the same inputs give the same actions.
//!
//! Every decision of the protocol on the member's side is here: spare offers, who is whose peer, deadlines, duplicates,
//! glare, limits. In short:
//!
//! - Each user id is one peer with one working connection. Two running swarms have one connection at a time, since the
//!   engine cannot tell two between the same two sockets apart. A running swarm is known by its DTLS fingerprint. So
//!   while a connection is well, a further offer of the same swarm is held back, and answered if the connection ends
//!   meanwhile; and an answer to an offer of ours says that the other end has let go of what there was. Of two that
//!   begin at once the one with the lower id survives, at both ends.
//! - A connection of another instance (the member was restarted, or is a browser, where each connection is one) is made
//!   in parallel. When it opens it ends the old peer and begins a new one.
//! - `leaveSwarm` is a hint: an open connection stays until its path fails or the other end says `close` in-band.
//! - When signaling is lost, open connections live on. When it is back, `init` names them, what was half-way is begun
//!   anew, and fresh spares are offered under new ids.
//! - Who is silent towards the server has not left: its peer is waited for like any other whose link is lost.
//! - When a link loses its path, ICE is restarted for it. One that fails while both members stay is dropped at the server,
//!   which pairs the two anew: at once for one that was well for a while, with growing pauses for one that fails again.
//!   The peer waits for its next link and stays the same; it ends when that takes too long.
//! - Who goes over a limit that no honest peer reaches is cut off, and not let in again for a while (`limits`).
//! - Every wait has a deadline, and a peer has exactly one terminal event.
//!
//! The driver of a mesh (`swarm`, or the simulator) does what the actions say, in order, and reports
//! what came of it.

mod budget;
mod limits;
mod peers;
mod repair;
mod restart;
mod signals;
mod spares;
#[cfg(test)]
mod tests;

use crate::protocol::{
    ClientMessage, ConnectionId, Control, IceCandidate, Instance, RoomId, ServerMessage, SessionSignal,
};
pub(crate) use budget::Budget;
use rand::rngs::StdRng;
use rand::SeedableRng;
use repair::Repair;
use restart::Restart;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names a peer in the API: a remote member, over all its connections. Never used again in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

#[derive(Debug, Clone)]
pub struct MeshConfig {
    pub room: RoomId,
    pub user_id: String,
    /// Spare offers kept on the server; 0 is allowed and costs joiners one more round trip.
    pub peer_buffer: usize,
    /// Peers at most, spares included in the reckoning so that no accepted offer has to be turned away.
    pub max_peers: usize,
    /// From `offerAccepted` to the answer.
    pub answer_timeout: Duration,
    /// From the answer to the open channel.
    pub connect_timeout: Duration,
    /// How long a link may take to say goodbye before it is dropped.
    pub close_timeout: Duration,
    /// From the loss of an open link to the next one, after which the peer is given up.
    pub reconnect_timeout: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Begin: sends `init` and the first spares once signaling is up. Exactly once.
    Start,
    /// Leave the room for good.
    Close,
    /// The transport to the signaling server is ready for messages; a fresh session on the server's side.
    SignalingUp,
    /// The transport is lost; every link lives on.
    SignalingDown,
    /// The server gave a sign of life since [`Action::AskServer`].
    ServerAlive,
    /// From the server.
    Signal(ServerMessage),
    /// The link made its offer, for [`Action::CreateOffer`] or because it renegotiates.
    LinkOffer { connection: ConnectionId, sdp: String },
    /// The link made its answer, for [`Action::AcceptOffer`]; a link that renegotiates may put the answer off, or give none.
    LinkAnswer { connection: ConnectionId, sdp: String },
    /// A local candidate; `None` ends them.
    LinkCandidate { connection: ConnectionId, candidate: Option<IceCandidate> },
    /// The `fast` channel is open. `native` when the other end is a rtcswarm (its SDP says so).
    LinkOpen { connection: ConnectionId, native: bool },
    /// ICE's view of an open link changed.
    LinkState { connection: ConnectionId, state: LinkState },
    /// The address that an open link was sent from is no more.
    PathLost { connection: ConnectionId },
    /// This machine has other addresses than before, or other servers to learn them from: candidates are others.
    AddressesChanged,
    /// The link is gone, or never came to be. Last word about this connection, unless [`Action::CloseLink`] was first.
    LinkEnded { connection: ConnectionId, cause: LinkEnd },
    /// A control message came on the `fast` channel.
    Control { connection: ConnectionId, control: Control },
    /// The application wants to be rid of one peer.
    ClosePeer { peer: PeerId },
    /// Time went on.
    Timeout,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// To the server. Only ever between [`Input::SignalingUp`] and [`Input::SignalingDown`].
    Signal(ClientMessage),
    /// Ask the server for a sign of life, a ping; answered by [`Input::ServerAlive`], or by [`Input::SignalingDown`].
    AskServer,
    /// Make a link that offers; answered by [`Input::LinkOffer`], then [`Input::LinkCandidate`]s.
    CreateOffer {
        connection: ConnectionId,
    },
    /// Make a link (or, for a connection that has one, renegotiate it) from this offer; answered by
    /// [`Input::LinkAnswer`], then candidates.
    AcceptOffer {
        connection: ConnectionId,
        sdp: String,
    },
    ApplyAnswer {
        connection: ConnectionId,
        sdp: String,
    },
    AddCandidate {
        connection: ConnectionId,
        candidate: Option<IceCandidate>,
    },
    /// Look for a path anew under the same connection; [`Input::LinkOffer`] follows.
    RestartIce {
        connection: ConnectionId,
    },
    /// Signaling is back: an offer of the link's that is not answered is said again, by [`Input::LinkOffer`].
    RepeatOffer {
        connection: ConnectionId,
    },
    /// On the `fast` channel.
    SendControl {
        connection: ConnectionId,
        control: Control,
    },
    /// Give the application what has arrived on a link that is about to be dropped, before it hears anything else: the other end
    /// takes it for delivered. Nothing more is taken from its network, or for it.
    Drain {
        connection: ConnectionId,
    },
    /// Drop the link, at once or (`flush`) when what is queued for sending has left, the close deadline at the latest.
    /// No [`Input::LinkEnded`] is wanted, and one that was on its way is ignored.
    CloseLink {
        connection: ConnectionId,
        flush: bool,
    },
    Event(MeshEvent),
}

/// What the application hears.
#[derive(Debug, Clone, PartialEq)]
pub enum MeshEvent {
    /// A peer can be sent to. First event of a peer that ever opens. From here to `PeerClosed`, `connection` is its
    /// link.
    PeerOpen { peer: PeerId, user_id: String, connection: ConnectionId, native: bool },
    /// A newer link took over from the one named before, for the same peer.
    PeerSwitched { peer: PeerId, user_id: String, connection: ConnectionId, native: bool },
    /// The last event of a peer that was open.
    PeerClosed { peer: PeerId, user_id: String, reason: EndReason, detail: String },
    /// The only event of a peer that never opened.
    PeerFailed { peer: PeerId, user_id: String, reason: EndReason, detail: String },
    /// The link of an open peer changed state.
    PeerState { peer: PeerId, state: LinkState },
    /// Something went wrong that belongs to no peer's life: the server refused a message, a peer broke the protocol.
    Error { code: ErrorCode, detail: String },
    /// After [`Input::Close`], and after every other event.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    Connected,
    /// No answer to ICE's checks for a while; may come back, and ICE is restarted.
    Disconnected,
    /// ICE was restarted: another path is looked for, for the same link.
    Checking,
    /// The link is lost, and another one is made by way of the server. What was sent and is not acknowledged may be lost.
    Reconnecting,
}

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEnd {
    /// The other side closed its channel or its transport in good order.
    RemoteClosed,
    /// ICE failed: no path, or no consent any more.
    IceFailed,
    /// The engine refused something, with its words.
    Error(String),
    /// The other side went over a limit that no honest peer reaches, which it says.
    Excess(String),
}

/// Why a peer is no more, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// This side closed the swarm or the peer.
    LocalClose,
    /// The other side said `close`.
    RemoteClose,
    /// The server says that it left, and its link is gone.
    Left,
    /// The link's path is lost.
    ConnectionLost,
    /// No answer to our offer in time.
    AnswerTimeout,
    /// No open channel in time.
    ConnectTimeout,
    /// `max_peers` is reached, on this side or on the other; the detail says on which. It is tried again when there is room.
    TooManyPeers,
    /// What it sent could not be used.
    ProtocolError,
    /// It went over a limit that no honest peer reaches, and was cut off. It is not let in again for a while.
    LimitExceeded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The signaling server refused something.
    Refused,
    /// A peer or the server broke the protocol; nothing was lost but the message in question.
    Protocol,
    /// A STUN or TURN server gives nothing: it does not answer, or refuses the credentials.
    IceServer,
}

/// Signals kept for a connection that is not begun yet.
const MAX_HELD_SIGNALS: usize = 64;

/// See the module's documentation.
pub struct Mesh {
    config: MeshConfig,
    random: StdRng,
    peer_ids: Arc<AtomicU64>,
    life: Life,
    /// Signaling is up, and `init` is sent.
    joined: bool,
    /// Names this running swarm to the server, among those of the same user.
    instance: Instance,
    /// Since when the server is asked for a sign of life.
    asked: Option<Instant>,
    /// How many restarts were sent lately, and since when.
    restarts: Option<(Instant, usize)>,
    up: bool,
    connections: BTreeMap<ConnectionId, Connection>,
    /// By user id.
    peers: BTreeMap<String, Peer>,
    /// Spare offers to be kept: as configured, or as many as the server takes.
    buffer: usize,
    /// Offers that are to be made and that `max_peers`, or the engine, forbids for now.
    owed: usize,
    /// When an offer that could not be made is tried again.
    retry_spares: Option<Instant>,
    /// By user id: connections that failed.
    repairs: BTreeMap<String, Repair>,
    /// By user id: until when those that were cut off are not let in.
    shunned: BTreeMap<String, Instant>,
    /// By user id: peers that this side closed while they had no link, which they could not be told. Their instance, and until when
    /// they may come back by themselves.
    parted: BTreeMap<String, (String, Instant)>,
    actions: VecDeque<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    New,
    Running,
    Closed,
}

/// One link, or what is to become one.
struct Connection {
    /// None for a spare.
    user_id: Option<String>,
    stage: Stage,
    deadline: Option<Instant>,
    /// When its channel opened.
    opened: Option<Instant>,
    native: bool,
    /// Our offer was the first.
    offerer: bool,
    restart: Option<Restart>,
    /// The server has let go of it, and carries nothing for it.
    unlinked: bool,
    /// The server said that the other end left the room …
    left: bool,
    /// … for want of its signaling, and not by its own word.
    silent: bool,
    /// The other end's DTLS fingerprint: names the running swarm it belongs to.
    instance: Option<String>,
    /// The other end's renegotiations.
    offers: Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A spare offer, being made or waiting to be taken.
    Spare,
    /// Taken; the answer is awaited.
    Answering,
    /// Both descriptions are known; the channel is awaited.
    Connecting,
    Open,
}

/// A remote member.
struct Peer {
    id: PeerId,
    /// The open connection that is used.
    active: Option<ConnectionId>,
    /// There was one, and another is to come.
    lost: Option<Lost>,
    /// An offer that was accepted for us while there is another connection: answered if that ends.
    held: Option<Held>,
    /// A connection that failed beside an older one that may be well: reported if that fails too.
    unreported: Option<ConnectionId>,
}

/// What is known of a lost link to the other end.
struct Lost {
    until: Instant,
    instance: Option<String>,
}

struct Held {
    connection: ConnectionId,
    signals: Vec<SessionSignal>,
    deadline: Instant,
}

impl Mesh {
    /// `peer_ids` is shared by all meshes of a process; `seed` seeds the connection ids.
    pub fn new(config: MeshConfig, peer_ids: Arc<AtomicU64>, seed: [u8; 32]) -> Self {
        let mut random = StdRng::from_seed(seed);
        let instance = Instance { id: ConnectionId::random(&mut random).into(), resumes: false };
        Self {
            config,
            random,
            peer_ids,
            life: Life::New,
            joined: false,
            instance,
            asked: None,
            restarts: None,
            up: false,
            connections: BTreeMap::new(),
            peers: BTreeMap::new(),
            buffer: 0,
            owed: 0,
            retry_spares: None,
            repairs: BTreeMap::new(),
            shunned: BTreeMap::new(),
            parted: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.life == Life::Closed {
            return;
        }
        match input {
            Input::Start => {
                if self.life == Life::New {
                    self.life = Life::Running;
                    self.join(now);
                }
            }
            Input::Close => self.close(),
            Input::SignalingUp => {
                self.up = true;
                self.join(now);
            }
            Input::SignalingDown => self.signaling_down(now),
            Input::ServerAlive => self.server_alive(now),
            Input::Signal(message) => self.hear_server(now, message),
            Input::LinkOffer { connection, sdp } => self.offer_made(&connection, sdp),
            Input::LinkAnswer { connection, sdp } => self.answer_made(&connection, sdp),
            Input::LinkCandidate { connection, candidate } => {
                if self.connections.contains_key(&connection) {
                    self.signal(ClientMessage::Candidate { id: connection, candidate });
                }
            }
            Input::LinkOpen { connection, native } => self.link_open(now, &connection, native),
            Input::LinkState { connection, state } => self.link_state(now, &connection, state),
            Input::AddressesChanged => self.renew_spares(now),
            Input::PathLost { connection } => self.path_lost(now, &connection),
            Input::LinkEnded { connection, cause } => self.link_ended(now, &connection, cause),
            Input::Control { connection, control } => self.hear_peer(now, &connection, control),
            Input::ClosePeer { peer } => self.close_peer(now, peer),
            Input::Timeout => {}
        }
        self.expire(now);
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Timeout`] is wanted next, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.life == Life::Closed {
            return None;
        }
        let connections = self.connections.values().filter_map(|connection| connection.deadline);
        let held = self.peers.values().filter_map(|peer| peer.held.as_ref().map(|held| held.deadline));
        let repairs = self.repairs.values().filter_map(Repair::due);
        let others = self.next_restart().into_iter().chain(self.next_give_up()).chain(self.retry_spares);
        connections.chain(held).chain(repairs).chain(others).min()
    }

    /// Connections of any stage, peers of any stage: what is to be nothing in the end.
    pub fn counts(&self) -> (usize, usize) {
        (self.connections.len(), self.peers.len())
    }

    /// The open connections with their peers' user ids.
    pub fn open_links(&self) -> impl Iterator<Item = (&str, &ConnectionId)> {
        self.peers.iter().filter_map(|(user_id, peer)| Some((user_id.as_str(), peer.active.as_ref()?)))
    }

    fn event(&mut self, event: MeshEvent) {
        self.actions.push_back(Action::Event(event));
    }

    fn protocol_error(&mut self, detail: String) {
        self.event(MeshEvent::Error { code: ErrorCode::Protocol, detail });
    }

    /// Leaves: everyone is told, every peer has its terminal event, nothing comes after.
    fn close(&mut self) {
        for user_id in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.end_peer(&user_id, EndReason::LocalClose, "this side left the room");
        }
        for connection in std::mem::take(&mut self.connections).into_keys() {
            self.actions.push_back(Action::CloseLink { connection, flush: false });
        }
        self.repairs.clear();
        self.signal(ClientMessage::Close);
        self.life = Life::Closed;
        self.event(MeshEvent::Closed);
    }

    /// Does what deadlines ask for.
    fn expire(&mut self, now: Instant) {
        if self.life == Life::Closed {
            return;
        }
        let due: Vec<(ConnectionId, Stage)> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(id, connection)| (id.clone(), connection.stage))
            .collect();
        for (id, stage) in due {
            let (reason, detail) = match stage {
                Stage::Answering => (EndReason::AnswerTimeout, "no answer to our offer in time"),
                _ => (EndReason::ConnectTimeout, "no open channel in time"),
            };
            self.fail_connection(now, &id, reason, detail);
        }
        for peer in self.peers.values_mut() {
            if let Some(held) = peer.held.take_if(|held| held.deadline <= now) {
                // The server takes the two for linked by it.
                peer.unreported = Some(held.connection);
            }
        }
        if self.retry_spares.is_some_and(|at| at <= now) {
            self.fill_spares(now);
        }
        // There is room also when a spare was taken by who is a peer already.
        self.pay_owed(now);
        self.give_up_lost(now);
        self.send_restarts(now);
        self.send_repairs(now);
    }
}
