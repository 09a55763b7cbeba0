//! The outermost loop under a swarm: one UDP socket per address family, all links of a swarm behind it, their timers.
//!
//! A [`Connection`] is a [`crate::link`] behind its own mutex with its place in the routing table. Messages go
//! caller → [`Connection::send`] → wire on the caller's own thread when little is on its way, by an outbox and the driver's task when
//! more is, and wire → driver's task → [`Handler::messages`] on the way in; while a thread of the application's waits for messages that
//! come one after the other, it reads them itself ([`Driver::lead`]). No hop through the swarm's brain. The handler is called with no
//! lock held but the one that keeps datagrams in order.

mod connection;
pub(crate) mod deliveries;
mod gather;
mod lead;
pub(crate) mod outbox;
mod pacer;
mod readdress;
mod spin;
mod table;
mod task;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use task::{Driver, CONVERSATION};

use crate::link::{ChannelId, ChannelOptions, MediaReport, Message};
use crate::mesh::{LinkEnd, LinkState};
use crate::protocol::IceCandidate;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::Duration;

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
    /// Asked of the kernel for each socket, both ways, in bytes.
    pub socket_buffer: usize,
    /// Names the other sides' tracks.
    pub track_ids: Arc<AtomicU64>,
    /// Media comes as RTP packets and not as frames.
    pub receive_rtp: bool,
}

#[cfg(any(test, fuzzing))]
impl DriverConfig {
    /// Loopback, and nothing of the world.
    pub(crate) fn for_tests() -> Self {
        Self {
            ice_servers: Vec::new(),
            relay_only: false,
            bind_addresses: vec!["127.0.0.1".parse().unwrap()],
            interfaces: Vec::new(),
            ipv4: true,
            ipv6: true,
            loopback: true,
            port: 0,
            max_message_size: 262_144,
            send_high_water: 1 << 20,
            send_low_water: 1 << 18,
            send_high_messages: 16_384,
            ice_keepalive: Duration::from_secs(5),
            ice_disconnected_timeout: Duration::from_secs(15),
            ice_failed_timeout: Duration::from_secs(15),
            socket_buffer: 2 << 20,
            track_ids: Arc::new(AtomicU64::new(1)),
            receive_rtp: false,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host[:port]`, `turn:host[:port][?transport=udp]`.
    pub url: String,
    pub username: String,
    pub credential: String,
}

/// Called on the driver's task or on a thread that called into the driver or the connection; with no lock held but the one of who reads
/// the sockets, never for one connection from two threads at once. Must not block, nor read the sockets.
pub trait Handler: Send + Sync + 'static {
    /// A local candidate; `None` once, when there will be no more.
    fn local_candidate(&self, connection: &Arc<Connection>, candidate: Option<IceCandidate>);
    /// The `fast` channel is open. Messages are held until [`Connection::start_reading`].
    fn open(&self, connection: &Arc<Connection>);
    /// ICE's view changed, after `open`.
    fn ice_state(&self, connection: &Arc<Connection>, state: LinkState);
    /// The address that it was sent from is no more; [`Connection::restart_ice`] finds another path.
    fn path_lost(&self, connection: &Arc<Connection>);
    /// The addresses of this machine are others than before. The connections have been told.
    fn addresses_changed(&self);
    /// There are other STUN and TURN servers: candidates by the ones before are no more. The connections have been told.
    fn servers_changed(&self);
    /// A STUN or TURN server gives nothing, with the reason.
    fn ice_server_failed(&self, error: String);
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
    /// Messages in order, to be taken from the front: all of them, or until a [`Connection::pause_reading`] in here, which holds
    /// back the rest until [`Connection::resume_reading`].
    fn messages(&self, connection: &Arc<Connection>, messages: &mut VecDeque<Message>);
    /// Of tracks and streams, and what comes on them; held like messages until [`Connection::start_reading`], but by no
    /// [`Connection::pause_reading`].
    fn media(&self, connection: &Arc<Connection>, report: MediaReport);
    /// An offer of ours that renegotiates an open connection, or our answer to one that was put off: for the other side.
    fn description(&self, connection: &Arc<Connection>, sdp: String, is_offer: bool);
    /// After a `WouldBlock` on that channel there is room again; once per `WouldBlock` episode.
    fn writable(&self, connection: &Arc<Connection>, channel: ChannelId);
    /// The last call for this connection; not after [`Connection::close`].
    fn ended(&self, connection: &Arc<Connection>, end: LinkEnd);
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
    pub local_addresses: Vec<SocketAddr>,
    /// Ours, as STUN servers see them.
    pub reflexive_addresses: Vec<SocketAddr>,
    /// Ours, at TURN servers.
    pub relayed_addresses: Vec<SocketAddr>,
    /// Why STUN or TURN servers gave nothing, in words.
    pub ice_server_errors: Vec<String>,
}
