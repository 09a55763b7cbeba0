//! The client's brain: which connections there should be, and in what state.
//!
//! Pure: inputs and the time go in by [`Mesh::handle`], actions come out of [`Mesh::poll_action`], and
//! [`Mesh::poll_timeout`] says when [`Input::Timeout`] is wanted. No sockets, no tokio, no WebRTC, no clock and no random
//! source of its own: the same seed and the same inputs give the same actions.
//!
//! Every decision of the protocol on the member's side is here: spare offers, who is whose peer, deadlines, duplicates,
//! glare, limits. The driver of a mesh (`swarm`, or the simulator) does what the actions say, in order, and reports
//! what came of it.

use crate::protocol::{ClientMessage, ConnectionId, Control, IceCandidate, RoomId, ServerMessage};
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
    /// From the server.
    Signal(ServerMessage),
    /// The link made its offer, for [`Action::CreateOffer`] or [`Action::RestartIce`].
    LinkOffer { connection: ConnectionId, sdp: String },
    /// The link made its answer, for [`Action::AcceptOffer`].
    LinkAnswer { connection: ConnectionId, sdp: String },
    /// A local candidate; `None` ends them.
    LinkCandidate { connection: ConnectionId, candidate: Option<IceCandidate> },
    /// The `fast` channel is open. `native` when the other end is a rtcswarm (its SDP says so).
    LinkOpen { connection: ConnectionId, native: bool },
    /// ICE's view of an open link changed.
    LinkState { connection: ConnectionId, state: LinkState },
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
    /// On the `fast` channel.
    SendControl {
        connection: ConnectionId,
        control: Control,
    },
    /// Drop the link, at once or (`flush`) when what is queued for sending has left, the close deadline at the latest. No
    /// [`Input::LinkEnded`] is wanted, and one that was on its way is ignored.
    CloseLink {
        connection: ConnectionId,
        flush: bool,
    },
    Event(MeshEvent),
}

/// What the application hears.
#[derive(Debug, Clone, PartialEq)]
pub enum MeshEvent {
    /// A peer can be sent to. First event of a peer that ever opens. From here to `PeerClosed`, `connection` is its link.
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
    /// No answer to ICE's checks for a while; may come back.
    Disconnected,
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
    /// `max_peers` is reached.
    TooManyPeers,
    /// What it sent could not be used.
    ProtocolError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The signaling server refused something.
    Refused,
    /// A peer or the server broke the protocol; nothing was lost but the message in question.
    Protocol,
}

/// See the module's documentation.
pub struct Mesh {}

impl Mesh {
    /// `peer_ids` is shared by all meshes of a process; `seed` seeds the connection ids.
    pub fn new(config: MeshConfig, peer_ids: Arc<AtomicU64>, seed: [u8; 32]) -> Self {
        let _ = (config, peer_ids, seed);
        todo!()
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        let _ = (now, input);
        todo!()
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// When [`Input::Timeout`] is wanted next, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
