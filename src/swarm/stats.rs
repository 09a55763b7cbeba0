//! Figures about a swarm and its peers.

use crate::driver::DriverStats;
use crate::link::ConnectionStats;
use std::net::SocketAddr;
use std::time::Duration;

/// One peer's link, now.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStats {
    /// The last measured round trip, if any yet.
    pub round_trip: Option<Duration>,
    /// Through a TURN server at either end.
    pub relayed: bool,
    pub local_address: Option<SocketAddr>,
    pub remote_address: Option<SocketAddr>,
    /// `host`, `srflx`, `prflx` or `relay` (RFC 8445), or empty.
    pub local_candidate_type: &'static str,
    pub remote_candidate_type: &'static str,
    /// Payload of messages, in bytes, over all channels of the present link.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    /// Bytes accepted and not acknowledged yet, over all channels.
    pub buffered: usize,
    /// Datagrams of media that were more than the way takes, and were not sent.
    pub media_dropped: u64,
    /// The other end is a rtcswarm.
    pub native: bool,
}

impl PeerStats {
    pub(super) fn new(stats: ConnectionStats, native: bool) -> Self {
        Self {
            round_trip: stats.round_trip,
            relayed: stats.relayed,
            local_address: stats.local_address,
            remote_address: stats.remote_address,
            local_candidate_type: stats.local_candidate_type,
            remote_candidate_type: stats.remote_candidate_type,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            messages_sent: stats.messages_sent,
            messages_received: stats.messages_received,
            buffered: stats.buffered,
            media_dropped: stats.media_dropped,
            native,
        }
    }
}

/// A swarm's figures, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmStats {
    /// Open peers.
    pub peers: usize,
    /// Links of any state, spares included.
    pub connections: usize,
    /// Events that wait to be taken.
    pub queued_events: usize,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    /// Datagrams that belonged to no link.
    pub datagrams_unrouted: u64,
    /// What the kernel gave, in bytes; small ones cost throughput.
    pub socket_receive_buffer: usize,
    pub socket_send_buffer: usize,
    pub local_addresses: Vec<SocketAddr>,
    /// Addresses as STUN servers see them.
    pub reflexive_addresses: Vec<SocketAddr>,
    /// Addresses at TURN servers.
    pub relayed_addresses: Vec<SocketAddr>,
    /// Why STUN or TURN servers gave nothing, in words.
    pub ice_server_errors: Vec<String>,
    /// Tasks in the library's runtime, which all swarms of the process share: some for each swarm, and none for a link.
    pub tasks: usize,
}

impl SwarmStats {
    pub(super) fn new(stats: DriverStats, peers: usize, queued_events: usize, tasks: usize) -> Self {
        Self {
            peers,
            connections: stats.connections,
            queued_events,
            datagrams_sent: stats.datagrams_sent,
            datagrams_received: stats.datagrams_received,
            datagrams_unrouted: stats.datagrams_unrouted,
            socket_receive_buffer: stats.socket_receive_buffer,
            socket_send_buffer: stats.socket_send_buffer,
            local_addresses: stats.local_addresses,
            reflexive_addresses: stats.reflexive_addresses,
            relayed_addresses: stats.relayed_addresses,
            ice_server_errors: stats.ice_server_errors,
            tasks,
        }
    }
}
