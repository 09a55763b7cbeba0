//! What a swarm is told before it starts.

use super::media::TRACK_IDS;
use super::Error;
use crate::driver::DriverConfig;
pub use crate::driver::IceServer;
use crate::mesh::MeshConfig;
use crate::protocol::{RoomId, MAX_MESSAGE_SIZE};
use crate::signaling::SignalingConfig;
use std::net::IpAddr;
use std::time::Duration;

/// Which candidates may be used (W3C WebRTC 1.0, `RTCIceTransportPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IceTransportPolicy {
    #[default]
    All,
    /// Only through TURN servers: no address of this host is told to anyone.
    Relay,
}

/// How the swarm reaches its signaling server.
#[derive(Debug, Clone, Default)]
pub enum Signaling {
    /// The caller carries the messages: [`super::Event::Signal`] out, [`super::Swarm::dispatch`] in.
    #[default]
    Caller,
    /// The library keeps a WebSocket.
    WebSocket(SignalingConfig),
}

/// Everything has a default but the room and the user id.
#[derive(Debug, Clone)]
pub struct Config {
    pub room: String,
    /// The name of this member in the room; the server checks it against the token.
    pub user_id: String,
    pub signaling: Signaling,
    /// Spare offers kept on the server for who comes next. 0 saves memory and costs each joiner a round
    /// trip. Default 1.
    pub peer_buffer: usize,
    /// Peers at most. Default 128.
    pub max_peers: usize,
    pub ice_servers: Vec<IceServer>,
    pub ice_transport_policy: IceTransportPolicy,
    /// Local addresses to use; empty: those of all suitable interfaces.
    pub bind_addresses: Vec<IpAddr>,
    /// Names of interfaces to use; empty: all.
    pub interfaces: Vec<String>,
    pub ipv4: bool,
    pub ipv6: bool,
    /// Offer loopback addresses too: lets peers on one machine meet without a network. Default true.
    pub loopback: bool,
    /// The local UDP port; 0 (default): any.
    pub port: u16,
    /// The largest message in bytes, both ways; at most 262,144, the default. To a native peer, channels that are not both ordered
    /// and reliable take 49,152 at most.
    pub max_message_size: usize,
    /// Bytes that may wait for one channel of one peer before a send answers `WouldBlock`. Default 1 MiB.
    pub send_high_water: usize,
    /// When so few bytes wait, `Writable` follows a `WouldBlock`. Default a quarter of 1 MiB.
    pub send_low_water: usize,
    /// Bytes of received messages that may wait for the application before the channels are no longer read.
    /// Default 4 MiB.
    pub receive_queue: usize,
    /// Bytes of received media that may wait for the application before the oldest is dropped, and counted. Default 8 MiB.
    pub media_queue: usize,
    /// Media comes as RTP packets, as they come, and not as frames put in order. Default false.
    pub receive_rtp: bool,
    /// From "your offer was taken" to its answer. Default 15 s.
    pub answer_timeout: Duration,
    /// From the answer to the open channel. Default 20 s.
    pub connect_timeout: Duration,
    /// For what is still queued when a peer or the swarm is closed. Default 2 s.
    pub close_timeout: Duration,
    /// From the loss of an open link to the next one of the same peer, after which the peer is closed. Default 60 s.
    pub reconnect_timeout: Duration,
    /// Between ICE checks on a quiet link. Default 5 s.
    pub ice_keepalive: Duration,
    /// Silence until a link counts as disconnected; ICE is restarted then. Default 15 s.
    pub ice_disconnected_timeout: Duration,
    /// Silence from then on until it is given up and another is made. Default 15 s.
    pub ice_failed_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            room: String::new(),
            user_id: String::new(),
            signaling: Signaling::Caller,
            peer_buffer: 1,
            max_peers: 128,
            ice_servers: Vec::new(),
            ice_transport_policy: IceTransportPolicy::All,
            bind_addresses: Vec::new(),
            interfaces: Vec::new(),
            ipv4: true,
            ipv6: true,
            loopback: true,
            port: 0,
            max_message_size: MAX_MESSAGE_SIZE,
            send_high_water: 1 << 20,
            send_low_water: 1 << 18,
            receive_queue: 4 << 20,
            media_queue: 8 << 20,
            receive_rtp: false,
            answer_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(2),
            reconnect_timeout: Duration::from_secs(60),
            ice_keepalive: Duration::from_secs(5),
            ice_disconnected_timeout: Duration::from_secs(15),
            ice_failed_timeout: Duration::from_secs(15),
        }
    }
}

/// Bounds what a caller can ask for, so that no sum of deadlines overflows.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest room name or user id, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

impl Config {
    pub fn new(room: impl Into<String>, user_id: impl Into<String>) -> Self {
        Self { room: room.into(), user_id: user_id.into(), ..Self::default() }
    }

    /// Says what is wrong with it, if anything.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
        for (what, name) in [("room", &self.room), ("user id", &self.user_id)] {
            if name.is_empty() {
                return Err(Error::Invalid(format!("the {what} is missing")));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(Error::Invalid(format!("the {what} is longer than {MAX_NAME_BYTES} bytes")));
            }
            if name.contains('\0') {
                return Err(Error::Invalid(format!("the {what} contains a NUL character")));
            }
        }
        if !self.ipv4 && !self.ipv6 {
            return invalid("IPv4 and IPv6 are both switched off");
        }
        if self.peer_buffer > 64 {
            return invalid("peer_buffer is more than 64");
        }
        if self.max_peers == 0 || self.max_peers > 4096 {
            return invalid("max_peers is not between 1 and 4096");
        }
        if self.max_message_size == 0 || self.max_message_size > MAX_MESSAGE_SIZE {
            return invalid("max_message_size is not between 1 and 262144");
        }
        if self.send_high_water < self.max_message_size {
            return invalid("send_high_water is less than max_message_size: such a message could never be sent");
        }
        if self.send_low_water >= self.send_high_water {
            return invalid("send_low_water is not below send_high_water");
        }
        if self.receive_queue == 0 {
            return invalid("receive_queue is 0");
        }
        if self.media_queue == 0 {
            return invalid("media_queue is 0");
        }
        let deadlines = [
            self.answer_timeout,
            self.connect_timeout,
            self.close_timeout,
            self.reconnect_timeout,
            self.ice_keepalive,
            self.ice_disconnected_timeout,
            self.ice_failed_timeout,
        ];
        if deadlines.iter().any(|deadline| deadline.is_zero() || *deadline > LONGEST) {
            return invalid("a deadline is 0 or longer than a day");
        }
        if self.ice_transport_policy == IceTransportPolicy::Relay
            && !self.ice_servers.iter().any(|server| server.url.starts_with("turn"))
        {
            return invalid("the transport policy is relay, and there is no TURN server");
        }
        Ok(())
    }

    pub(super) fn mesh(&self) -> MeshConfig {
        MeshConfig {
            room: RoomId(self.room.clone()),
            user_id: self.user_id.clone(),
            peer_buffer: self.peer_buffer,
            max_peers: self.max_peers,
            answer_timeout: self.answer_timeout,
            connect_timeout: self.connect_timeout,
            close_timeout: self.close_timeout,
            reconnect_timeout: self.reconnect_timeout,
        }
    }

    pub(super) fn driver(&self) -> DriverConfig {
        DriverConfig {
            ice_servers: self.ice_servers.clone(),
            relay_only: self.ice_transport_policy == IceTransportPolicy::Relay,
            bind_addresses: self.bind_addresses.clone(),
            interfaces: self.interfaces.clone(),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            loopback: self.loopback,
            port: self.port,
            max_message_size: self.max_message_size,
            send_high_water: self.send_high_water,
            send_low_water: self.send_low_water,
            // Small messages cost about 85 bytes of queue each beside their own.
            send_high_messages: (self.send_high_water / 64).max(64),
            ice_keepalive: self.ice_keepalive,
            ice_disconnected_timeout: self.ice_disconnected_timeout,
            ice_failed_timeout: self.ice_failed_timeout,
            socket_buffer: 2 << 20,
            track_ids: TRACK_IDS.clone(),
            receive_rtp: self.receive_rtp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_fine_with_a_room_and_a_user() {
        assert_eq!(Config::new("room", "user").validate(), Ok(()));
        assert!(Config::new("", "user").validate().is_err());
        assert!(Config::new("room", "").validate().is_err());
    }

    #[test]
    fn what_could_never_work_is_refused() {
        let refused: [fn(&mut Config); 9] = [
            |c| c.room = "r".repeat(MAX_NAME_BYTES + 1),
            |c| c.user_id = "a\0b".into(),
            |c| (c.ipv4, c.ipv6) = (false, false),
            |c| c.max_peers = 0,
            |c| c.max_message_size = MAX_MESSAGE_SIZE + 1,
            |c| c.send_high_water = 1000,
            |c| c.send_low_water = c.send_high_water,
            |c| c.connect_timeout = Duration::ZERO,
            |c| c.ice_transport_policy = IceTransportPolicy::Relay,
        ];
        for change in refused {
            let mut config = Config::new("room", "user");
            change(&mut config);
            assert!(matches!(config.validate(), Err(Error::Invalid(_))));
        }
    }
}
