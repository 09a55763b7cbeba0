//! One TURN allocation (RFC 8656) over UDP, shared by all links of a swarm.

use crate::link::Datagram;
use bytes::BytesMut;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;
use webrtc::sansio::Protocol;
use webrtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use webrtc::turn::client::{Client, ClientConfig, Event};

/// Datagrams for one peer that wait for the permission to send to it.
const PENDING: usize = 32;
/// Peers that we may ask permissions for.
const MAX_PEERS: usize = 4096;

pub(crate) struct Allocation {
    client: Client,
    server: SocketAddr,
    local: SocketAddr,
    relayed: Option<SocketAddr>,
    permitted: HashSet<SocketAddr>,
    pending: HashMap<SocketAddr, VecDeque<BytesMut>>,
}

/// What came of it.
pub(crate) enum TurnEvent {
    Allocated(SocketAddr),
    Failed(String),
    /// A datagram of a peer, relayed.
    Data {
        from: SocketAddr,
        data: BytesMut,
    },
}

impl Allocation {
    pub fn new(
        now: Instant,
        local: SocketAddr,
        server: SocketAddr,
        username: &str,
        credential: &str,
    ) -> Result<Self, String> {
        let config = ClientConfig {
            turn_serv_addr: server.to_string(),
            local_addr: local,
            transport_protocol: TransportProtocol::UDP,
            username: username.to_owned(),
            password: credential.to_owned(),
            ..ClientConfig::default()
        };
        let provider = webrtc::crypto::default_provider().map_err(|e| e.to_string())?;
        let mut client = Client::new(config, provider).map_err(|e| e.to_string())?;
        client.allocate(now).map_err(|e| e.to_string())?;
        let (permitted, pending) = (HashSet::new(), HashMap::new());
        Ok(Self { client, server, local, relayed: None, permitted, pending })
    }

    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Sends to a peer through the server; waits for the permission where there is none yet.
    pub fn send(&mut self, now: Instant, to: SocketAddr, data: BytesMut) {
        let Some(relayed) = self.relayed else { return };
        let Ok(mut relay) = self.client.relay(relayed) else { return };
        if self.permitted.contains(&to) && relay.send_to(now, &data, to).is_ok() {
            return;
        }
        if self.pending.len() >= MAX_PEERS && !self.pending.contains_key(&to) {
            return;
        }
        let pending = self.pending.entry(to).or_default();
        if pending.len() < PENDING {
            pending.push_back(data);
        }
        // Gives nothing when one is under way already.
        if relay.create_permission(now, to).is_err() {
            self.pending.remove(&to);
        }
    }

    /// A datagram of the server.
    pub fn handle(&mut self, now: Instant, data: &[u8]) {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: self.server,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        // What the client refuses is not ours to act on.
        let _ = self.client.handle_read(TaggedBytesMut { now, transport, message: data.into() });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        // It gives no errors but those that come as events.
        let _ = self.client.handle_timeout(now);
    }

    pub fn deadline(&mut self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// Gives the allocation back.
    pub fn release(&mut self, now: Instant) {
        if let Some(mut relay) = self.relayed.and_then(|relayed| self.client.relay(relayed).ok()) {
            // The server forgets it by itself in ten minutes otherwise.
            let _ = relay.close(now);
        }
    }

    pub fn poll_events(&mut self, now: Instant, mut hear: impl FnMut(TurnEvent)) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::AllocateResponse(_, relayed) => {
                    self.relayed = Some(relayed);
                    hear(TurnEvent::Allocated(relayed));
                }
                Event::AllocateError(_, error) => hear(TurnEvent::Failed(error.to_string())),
                Event::TransactionTimeout(_) if self.relayed.is_none() => {
                    hear(TurnEvent::Failed("it does not answer".into()));
                }
                Event::CreatePermissionResponse(_, peer) => {
                    self.permitted.insert(peer);
                    let (pending, relayed) = (self.pending.remove(&peer), self.relayed);
                    let relay = relayed.and_then(|relayed| self.client.relay(relayed).ok());
                    if let (Some(pending), Some(mut relay)) = (pending, relay) {
                        for data in pending {
                            // Lost, as datagrams are.
                            let _ = relay.send_to(now, &data, peer);
                        }
                    }
                }
                Event::CreatePermissionError(_, error) => {
                    tracing::debug!(%error, server = %self.server, "the TURN server refuses a permission");
                    self.pending.clear();
                }
                Event::DataIndicationOrChannelData(_, from, data) => hear(TurnEvent::Data { from, data }),
                _ => {}
            }
        }
    }

    pub fn poll_datagrams(&mut self, datagrams: &mut Vec<Datagram>) {
        while let Some(packet) = self.client.poll_write() {
            datagrams.push(Datagram { local: self.local, remote: packet.transport.peer_addr, data: packet.message });
        }
    }
}
