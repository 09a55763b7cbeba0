//! The outermost loop under a swarm: one UDP socket per address family, all links of a swarm behind it, their timers.
//!
//! A [`Connection`] is a [`crate::link`] behind its own mutex with its place in the routing table. Messages go
//! caller → [`Connection::send`] → wire on the caller's own thread when the link is idle, and wire → driver task →
//! [`Handler::message`] otherwise: no hop through the swarm's brain. The handler is called with no lock held.

use crate::protocol::{ConnectionId, IceCandidate};
use bytes::BytesMut;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a swarm reaches the world. Everything has a default.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    pub ice_servers: Vec<IceServer>,
    /// Only relayed candidates are gathered and used (W3C `iceTransportPolicy: "relay"`).
    pub relay_only: bool,
    /// Local addresses to bind and to offer as candidates. Empty: every address of every suitable interface.
    pub bind_addresses: Vec<IpAddr>,
    /// Interface names to use; empty: all.
    pub interfaces: Vec<String>,
    pub ipv4: bool,
    pub ipv6: bool,
    /// Loopback addresses are candidates too. Needed for peers on one machine without a network.
    pub loopback: bool,
    /// 0: any free port.
    pub port: u16,
    /// Largest message taken and sent on a channel: what `a=max-message-size` says. At most 262,144.
    pub max_message_size: usize,
    /// A send that would take a channel's queue over this is refused with [`SendError::WouldBlock`].
    pub send_high_water: usize,
    /// [`Handler::writable`] follows when the queue falls to this.
    pub send_low_water: usize,
    /// Messages queued on a channel at most: small ones cost far more memory than their bytes.
    pub send_high_messages: usize,
    pub ice_keepalive: Duration,
    /// Without an answer for this long a link is disconnected …
    pub ice_disconnected_timeout: Duration,
    /// … and this long after that it has failed.
    pub ice_failed_timeout: Duration,
    /// The engine's random source and so on stay the engine's; this is for what we draw ourselves.
    pub socket_buffer: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host[:port]`, `turn:host[:port][?transport=udp]`.
    pub url: String,
    pub username: String,
    pub credential: String,
}

/// A channel of a connection: its SCTP stream id. 0 or 1, whichever the role gives, is `fast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOptions {
    pub ordered: bool,
    pub reliability: Reliability,
    pub protocol: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    Reliable,
    MaxRetransmits(u16),
    /// Milliseconds.
    MaxLifetime(u16),
}

/// Called on the driver's task or on the thread that called into the connection; never with a lock held, never for one
/// connection from two threads at once. Must not block.
pub trait Handler: Send + Sync + 'static {
    /// A local candidate; `None` once, when there will be no more.
    fn local_candidate(&self, connection: &Arc<Connection>, candidate: Option<IceCandidate>);
    /// The `fast` channel is open. Messages are held until [`Connection::start_reading`].
    fn open(&self, connection: &Arc<Connection>);
    /// ICE's view changed, after `open`.
    fn ice_connected(&self, connection: &Arc<Connection>, connected: bool);
    /// A further channel is open: the other side's (`label` not `fast`), or our own of [`Connection::open_channel`].
    fn channel_open(
        &self,
        connection: &Arc<Connection>,
        channel: ChannelId,
        label: &str,
        options: &ChannelOptions,
        remote: bool,
    );
    fn channel_closed(&self, connection: &Arc<Connection>, channel: ChannelId);
    /// One message. [`Connection::pause_reading`] in here holds back the next one until [`Connection::resume_reading`].
    fn message(&self, connection: &Arc<Connection>, channel: ChannelId, is_text: bool, data: BytesMut);
    /// After a `WouldBlock` on that channel there is room again; once per `WouldBlock` episode.
    fn writable(&self, connection: &Arc<Connection>, channel: ChannelId);
    /// The last call for this connection; not after [`Connection::close`].
    fn ended(&self, connection: &Arc<Connection>, end: crate::mesh::LinkEnd);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the send buffer is full")]
    WouldBlock,
    #[error("the message is larger than the other side takes ({0} bytes)")]
    TooLarge(usize),
    #[error("the channel is not open")]
    NotOpen,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    #[error("{0}")]
    Io(String),
    /// A configuration that cannot work, with the reason.
    #[error("{0}")]
    Config(String),
    /// What the other side sent cannot be used, with the engine's words.
    #[error("{0}")]
    Engine(String),
}

/// Shared by all who use a swarm's sockets; the driver ends when [`Driver::shut_down`] is called.
#[derive(Clone)]
pub struct Driver {}

impl Driver {
    /// Binds the sockets and starts the driver's task on `runtime`; begins with STUN and TURN at once, so that candidates
    /// are there before the first offer where they can be. Must not need to be called within the runtime.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        config: DriverConfig,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, DriverError> {
        let _ = (runtime, config, handler);
        todo!()
    }

    /// A new connection with its `fast` channel and its offer (SDP), local description set. Candidates follow by the handler.
    pub fn offer(&self, id: ConnectionId) -> Result<(Arc<Connection>, String), DriverError> {
        let _ = id;
        todo!()
    }

    /// A new connection from a remote offer, with its answer.
    pub fn answer(&self, id: ConnectionId, offer: &str) -> Result<(Arc<Connection>, String), DriverError> {
        let _ = (id, offer);
        todo!()
    }

    pub fn stats(&self) -> DriverStats {
        todo!()
    }

    /// Waits for connections that are flushing (their deadlines bound it), closes every other at once (no `ended` follows),
    /// releases TURN allocations, closes the sockets; completes when the task is gone.
    pub async fn shut_down(&self) {
        todo!()
    }
}

/// One link of a swarm. All methods may be called from any thread.
pub struct Connection {}

impl Connection {
    pub fn id(&self) -> &ConnectionId {
        todo!()
    }

    /// The other end is a rtcswarm: its SDP says so (`a=rtcswarm:1`). Known once a remote description is set.
    pub fn is_native(&self) -> bool {
        todo!()
    }

    pub fn apply_answer(self: &Arc<Self>, sdp: &str) -> Result<(), DriverError> {
        let _ = sdp;
        todo!()
    }

    /// A renegotiation by the other side: gives the answer.
    pub fn apply_offer(self: &Arc<Self>, sdp: &str) -> Result<String, DriverError> {
        let _ = sdp;
        todo!()
    }

    /// Candidates may come before the remote description; unusable ones (TCP, unresolvable) are ignored.
    pub fn add_remote_candidate(self: &Arc<Self>, candidate: Option<&IceCandidate>) {
        let _ = candidate;
        todo!()
    }

    /// The channel `fast`, once known.
    pub fn fast(&self) -> Option<ChannelId> {
        todo!()
    }

    /// Asks for a further channel; [`Handler::channel_open`] follows.
    pub fn open_channel(self: &Arc<Self>, label: &str, options: &ChannelOptions) -> Result<ChannelId, DriverError> {
        let _ = (label, options);
        todo!()
    }

    pub fn close_channel(self: &Arc<Self>, channel: ChannelId) {
        let _ = channel;
        todo!()
    }

    /// Queues one message whole, or nothing. Sends on this thread when the link is idle. The limit is for
    /// the application; `urgent` (control messages) may pass it.
    pub fn send(
        self: &Arc<Self>,
        channel: ChannelId,
        is_text: bool,
        data: &[u8],
        urgent: bool,
    ) -> Result<(), SendError> {
        let _ = (channel, is_text, data, urgent);
        todo!()
    }

    /// Bytes accepted by `send` and not yet acknowledged by the other side.
    pub fn buffered(&self, channel: ChannelId) -> usize {
        let _ = channel;
        todo!()
    }

    /// A number of the owner's, 0 at first; lock-free.
    pub fn set_tag(&self, tag: u64) {
        let _ = tag;
        todo!()
    }

    pub fn tag(&self) -> u64 {
        todo!()
    }

    /// Take no more messages until [`Self::resume_reading`]. Lock-free, and callable from inside [`Handler::message`] and under
    /// locks of the owner's: a resume that comes after it, from any thread, is never lost.
    pub fn pause_reading(&self) {
        todo!()
    }

    /// Delivers the messages held back since `open`.
    pub fn start_reading(self: &Arc<Self>) {
        self.resume_reading()
    }

    pub fn resume_reading(self: &Arc<Self>) {
        todo!()
    }

    pub fn stats(&self) -> ConnectionStats {
        todo!()
    }

    /// Ends the connection at once, or (`flush`: until) when what is queued has left or `deadline` is there. Idempotent.
    pub fn close(self: &Arc<Self>, flush: Option<Instant>) {
        let _ = flush;
        todo!()
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionStats {
    /// The last round trip that was measured (ICE checks or SCTP), if any.
    pub round_trip: Option<Duration>,
    pub relayed: bool,
    pub local_address: Option<std::net::SocketAddr>,
    pub remote_address: Option<std::net::SocketAddr>,
    pub local_candidate_type: &'static str,
    pub remote_candidate_type: &'static str,
    /// Payload of messages.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub buffered: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverStats {
    pub connections: usize,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    /// Datagrams that belong to no connection.
    pub datagrams_unrouted: u64,
    /// What the kernel gave, in bytes.
    pub socket_receive_buffer: usize,
    pub socket_send_buffer: usize,
    pub local_addresses: Vec<std::net::SocketAddr>,
    /// Why STUN or TURN servers gave nothing, in words.
    pub ice_server_errors: Vec<String>,
}
